//! Who a connection turned out to be.

use std::sync::Arc;

use super::GLOBAL_ACCOUNT;
use crate::broker::permissions::Permissions;

/// What names a user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UserKind {
    /// A name, or nothing.
    #[default]
    Name,
    /// A public nkey of the configuration.
    Nkey,
    /// The public nkey in a user's claims.
    Token,
}

impl UserKind {
    /// In front of the name in log lines.
    pub fn label(self) -> &'static str {
        match self {
            Self::Name => "user",
            Self::Nkey => "nkey",
            Self::Token => "jwt",
        }
    }
}

/// When a connection ends, and which claims end then. Nanoseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    User(i64),
    Account(i64),
}

impl Expiry {
    /// Nanoseconds since 1970.
    pub fn unix_ns(self) -> i64 {
        match self {
            Self::User(at) | Self::Account(at) => at,
        }
    }
}

/// What claims say of a user.
#[derive(Debug, Default)]
pub struct TokenFacts {
    /// The claims as they came, for monitoring; `None` if they alone let in.
    pub token: Option<Arc<str>>,
    /// The user's name for people.
    pub user_name: String,
    /// The account's name for people.
    pub account_name: String,
    /// Who signed the claims: the account, or a signing key of it.
    pub issuer_key: String,
    pub tags: Vec<String>,
    /// Seconds since 1970.
    pub issued_at: i64,
    pub expires: Option<Expiry>,
    /// Subscriptions of a connection; `None` for no limit.
    pub max_subscriptions: Option<u64>,
    /// Bytes of a message; `None` for no limit.
    pub max_payload: Option<u64>,
}

/// Who a connection is.
#[derive(Debug)]
pub struct Identity {
    /// The user's name as monitoring shows it; empty for nobody in particular.
    pub user: String,
    /// What that name is.
    pub kind: UserKind,
    /// The account that it belongs to.
    pub account: Arc<str>,
    /// What it may do; `None` for everything.
    pub permissions: Option<Arc<Permissions>>,
    /// Only of users with claims.
    pub token: Option<Box<TokenFacts>>,
}

impl Default for Identity {
    fn default() -> Self {
        Self {
            user: String::new(),
            kind: UserKind::Name,
            account: GLOBAL_ACCOUNT.into(),
            permissions: None,
            token: None,
        }
    }
}

impl Identity {
    /// Who vouches for an nkey: who signed its claims, else the account that lists it.
    pub fn issuer_key(&self) -> &str {
        match (&self.token, self.kind) {
            (Some(token), _) => &token.issuer_key,
            (None, UserKind::Nkey) => &self.account,
            (None, UserKind::Name | UserKind::Token) => "",
        }
    }
}
