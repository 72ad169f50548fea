//! Operators: whom a server trusts.

use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;

use super::account::AccountData;
use super::token::{Claims, ClaimsData, TokenError, decode, is_key, or_default};

/// `nats` of an operator's claims.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct OperatorData {
    #[serde(default, deserialize_with = "or_default")]
    pub signing_keys: Vec<String>,
    /// Where accounts can be asked for.
    #[serde(default, deserialize_with = "or_default")]
    pub account_server_url: String,
    #[serde(default, deserialize_with = "or_default")]
    pub system_account: String,
    /// Oldest server that may be used, `major.minor.update`.
    #[serde(default, deserialize_with = "or_default")]
    pub assert_server_version: String,
    /// Only signing keys sign, of the operator and of accounts.
    #[serde(default, deserialize_with = "or_default")]
    pub strict_signing_key_usage: bool,
    #[serde(default, deserialize_with = "or_default")]
    pub tags: Vec<String>,
}

impl ClaimsData for OperatorData {
    const KIND: &'static str = "operator";
    const ISSUERS: &'static [char] = &['O'];
}

/// Why an account's claims are not trusted. The texts are nats-server's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrustError {
    /// Malformed, of another account, by somebody who is not trusted, or not of this time.
    Validation,
}

impl fmt::Display for TrustError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Validation => "account validation failed",
        })
    }
}

impl std::error::Error for TrustError {}

impl From<TokenError> for TrustError {
    fn from(_: TokenError) -> Self {
        Self::Validation
    }
}

/// Keys that vouch for accounts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trust {
    keys: HashSet<String>,
    /// Keys of operators whose accounts use signing keys only.
    strict: HashSet<String>,
}

impl Trust {
    /// The keys of these operators.
    pub fn new<'a>(operators: impl IntoIterator<Item = &'a Claims<OperatorData>>) -> Self {
        let mut trust = Self::default();
        for operator in operators {
            let data = &operator.data;
            let strict = data.strict_signing_key_usage;
            let own = (!strict).then_some(&operator.subject);
            for key in own.into_iter().chain(&data.signing_keys) {
                trust.keys.insert(key.clone());
                if strict {
                    trust.strict.insert(key.clone());
                }
            }
        }
        trust
    }

    /// Adds a key without an operator's claims.
    pub fn add_key(&mut self, key: &str) {
        self.keys.insert(key.to_owned());
    }

    /// Whether nothing is trusted.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether the accounts that this key vouches for use signing keys only.
    pub fn is_strict(&self, issuer: &str) -> bool {
        self.strict.contains(issuer)
    }

    /// The claims of account `name`, if they are valid and vouched for. `now` in seconds since
    /// 1970.
    ///
    /// # Errors
    /// [`TrustError`].
    pub fn account(
        &self,
        name: &str,
        token: &str,
        now: i64,
    ) -> Result<Claims<AccountData>, TrustError> {
        let claims: Claims<AccountData> = decode(token)?;
        if claims.subject != name || !self.keys.contains(&claims.issuer) {
            return Err(TrustError::Validation);
        }
        if claims.time_issue(now).is_none() && claims.issues().is_empty() {
            Ok(claims)
        } else {
            Err(TrustError::Validation)
        }
    }
}

impl Claims<OperatorData> {
    /// What is wrong with the claims; empty if nothing is. `now` in seconds since 1970.
    pub fn issues(&self, now: i64) -> Vec<String> {
        let mut issues = Vec::new();
        issues.extend(self.time_issue(now).map(str::to_owned));
        if !is_key(&self.subject, 'O') {
            issues.push("subject is not an operator public key".to_owned());
        }
        for key in &self.data.signing_keys {
            if !is_key(key, 'O') {
                issues.push(format!("{key} is not an operator public key"));
            }
        }
        let system = &self.data.system_account;
        if !system.is_empty() && !is_key(system, 'A') {
            issues.push(format!("{system:?} is not an account public key"));
        }
        issues
    }
}
