//! Operator mode: whose claims are trusted, and where accounts' claims come from.

use std::collections::BTreeMap;
use std::fmt;

use super::diagnostics::{Problem, Report};
use super::parser::Source;
use super::read;
use super::text::quoted;
use super::value::{Kind, Map, Value};
use crate::jwt::{self, AccountData, Claims, OperatorData, Trust, UserData};

/// How a token begins: an opening brace and a quotation mark in base64.
const TOKEN_PREFIX: &str = "eyJ";

/// Where accounts' claims come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolver {
    /// From `resolver_preload` only.
    Memory,
    /// From an HTTP server, by the account's key behind this address.
    Url(String),
}

/// The options of operator mode. Off unless operators or trusted keys are given.
#[derive(Clone, Default, PartialEq)]
pub struct TrustOptions {
    /// Claims of operators, as tokens.
    pub operators: Vec<String>,
    /// Public keys of operators, without their claims.
    pub trusted_keys: Vec<String>,
    pub resolver: Option<Resolver>,
    /// Accounts' claims by public key, as tokens.
    pub preload: BTreeMap<String, String>,
    /// Accounts whose users are let in; empty: all.
    pub pinned: Vec<String>,
    /// A bearer's claims for clients that send none; empty: none.
    pub default_sentinel: String,
}

/// A sentinel lets in by itself, so it is not shown.
impl fmt::Debug for TrustOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustOptions")
            .field("operators", &self.operators)
            .field("trusted_keys", &self.trusted_keys)
            .field("resolver", &self.resolver)
            .field("preload", &self.preload)
            .field("pinned", &self.pinned)
            .finish_non_exhaustive()
    }
}

impl TrustOptions {
    /// Whether claims decide who may connect.
    pub fn is_on(&self) -> bool {
        !self.operators.is_empty() || !self.trusted_keys.is_empty()
    }

    /// The address that accounts are asked for at.
    pub fn resolver_url(&self) -> Option<&str> {
        match &self.resolver {
            Some(Resolver::Url(url)) => Some(url),
            Some(Resolver::Memory) | None => None,
        }
    }

    /// The operators' claims; they were checked when the file was read.
    pub fn operator_claims(&self) -> Vec<Claims<OperatorData>> {
        let tokens = self.operators.iter();
        tokens.filter_map(|token| jwt::decode(token).ok()).collect()
    }

    /// The keys that vouch for accounts.
    pub fn trust(&self) -> Trust {
        let mut trust = Trust::new(&self.operator_claims());
        for key in &self.trusted_keys {
            trust.add_key(key);
        }
        trust
    }

    /// The system account that an operator names.
    pub fn system_account(&self) -> Option<String> {
        self.operator_claims()
            .into_iter()
            .map(|operator| operator.data.system_account)
            .find(|account| !account.is_empty())
    }

    /// What is wrong with these options, in nats-server's words. `users` and `accounts`: whether
    /// some are configured directly.
    ///
    /// # Errors
    /// The text.
    pub fn check(&self, users: bool, accounts: bool, no_auth_user: bool) -> Result<(), String> {
        if !self.preload.is_empty() && self.resolver != Some(Resolver::Memory) {
            return Err(
                "resolver preloads only available for writeable resolver types \
                        MEM/DIR/CACHE_DIR"
                    .to_owned(),
            );
        }
        for key in &self.pinned {
            if !is_public_key(key, 'A') {
                let key = quoted(key);
                return Err(format!(
                    "pinned account key {key} is not a valid public account nkey"
                ));
            }
        }
        self.check_sentinel()?;
        if !self.operators.is_empty() && !self.trusted_keys.is_empty() {
            return Err("conflicting options for 'TrustedKeys' and 'TrustedOperators'".to_owned());
        }
        if self.operators.is_empty() {
            return Ok(());
        }
        if self.resolver.is_none() {
            return Err("could not fetch <\"/accounts/\">: Get \"/accounts/\": \
                        unsupported protocol scheme \"\""
                .to_owned());
        }
        if accounts {
            return Err("operators do not allow Accounts to be configured directly".to_owned());
        }
        if users {
            return Err("operators do not allow users to be configured directly".to_owned());
        }
        if no_auth_user {
            return Err("no_auth_user not compatible with Trusted Operator".to_owned());
        }
        for operator in self.operator_claims() {
            check_version(&operator)?;
        }
        Ok(())
    }

    /// Whether an account can be found and is vouched for, whatever the time.
    ///
    /// # Errors
    /// The text.
    pub fn check_account(&self, name: &str) -> Result<(), String> {
        if self.resolver_url().is_some() {
            // It is asked when the server starts.
            return Ok(());
        }
        let token = self.preload.get(name).ok_or("account missing")?;
        match self.trust().account(name, token, 0) {
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn check_sentinel(&self) -> Result<(), String> {
        if self.default_sentinel.is_empty() {
            return Ok(());
        }
        match jwt::decode::<UserData>(&self.default_sentinel) {
            Err(_) => Err("default sentinel JWT not valid".to_owned()),
            Ok(user) if !user.data.limits.bearer_token => {
                Err("default sentinel must be a bearer token".to_owned())
            }
            Ok(_) => Ok(()),
        }
    }
}

/// An operator may ask for a server that is at least so new.
fn check_version(operator: &Claims<OperatorData>) -> Result<(), String> {
    let numbers = |text: &str| -> Vec<u64> {
        text.split('.')
            .map(|part| part.parse().unwrap_or(0))
            .collect()
    };
    let wanted = numbers(&operator.data.assert_server_version);
    let have = numbers(super::PEER_VERSION);
    for ((wanted, have), part) in wanted.iter().zip(&have).zip(["major", "minor", "update"]) {
        if wanted > have {
            return Err(format!(
                "operator {} expected {part} version {wanted} > server {part} version {have}",
                operator.subject
            ));
        }
        if wanted < have {
            break;
        }
    }
    Ok(())
}

fn is_public_key(text: &str, letter: char) -> bool {
    text.starts_with(letter) && nkeys::KeyPair::from_public_key(text).is_ok()
}

/// Reads the keys of operator mode; operators may stand in files of their own.
pub(super) fn read(
    map: &Map,
    source: &dyn Source,
    options: &mut TrustOptions,
    report: &mut Report,
) {
    for (key, value) in map.iter() {
        match key.to_lowercase().as_str() {
            "operator" | "operators" | "root" | "roots" | "root_operator" | "root_operators" => {
                options.operators = operators(value, source, report);
            }
            "trusted" | "trusted_keys" => options.trusted_keys = trusted_keys(value, report),
            "resolver" | "account_resolver" | "accounts_resolver" => {
                options.resolver = resolver(key, value, report);
            }
            "resolver_preload" => options.preload = preload(value, report),
            "resolver_pinned_accounts" => options.pinned = texts(value, report),
            "default_sentinel" => {
                if let Some(token) = read::string(value, report) {
                    options.default_sentinel = token.to_owned();
                }
            }
            _ => {}
        }
    }
}

/// Whether a top-level key is one of [`read`].
pub(super) fn is_key(name: &str) -> bool {
    matches!(
        name,
        "operator"
            | "operators"
            | "root"
            | "roots"
            | "root_operator"
            | "root_operators"
            | "trusted"
            | "trusted_keys"
            | "resolver"
            | "account_resolver"
            | "accounts_resolver"
            | "resolver_preload"
            | "resolver_pinned_accounts"
            | "default_sentinel"
    )
}

/// One string or a list of them.
fn texts(value: &Value, report: &mut Report) -> Vec<String> {
    match &value.kind {
        Kind::Array(values) => values
            .iter()
            .filter_map(|value| read::string(value, report).map(str::to_owned))
            .collect(),
        _ => read::string(value, report)
            .map(str::to_owned)
            .into_iter()
            .collect(),
    }
}

fn operators(value: &Value, source: &dyn Source, report: &mut Report) -> Vec<String> {
    let mut tokens = Vec::new();
    for text in texts(value, report) {
        let token = if text.starts_with(TOKEN_PREFIX) {
            Ok(text)
        } else {
            source.read(&text).map(|bytes| token_in_file(&bytes))
        };
        let checked = token.and_then(|token| match jwt::decode::<OperatorData>(&token) {
            Ok(_) => Ok(token),
            Err(error) => Err(error.to_string()),
        });
        match checked {
            Ok(token) => tokens.push(token),
            Err(error) => report.text(
                &value.position,
                format!("error parsing operator JWT: {error}"),
            ),
        }
    }
    tokens
}

/// A file holds a token, by itself or between lines of dashes.
fn token_in_file(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let line = text
        .lines()
        .map(str::trim)
        .find(|line| line.starts_with(TOKEN_PREFIX));
    line.unwrap_or_default().to_owned()
}

fn trusted_keys(value: &Value, report: &mut Report) -> Vec<String> {
    let keys = texts(value, report);
    for key in &keys {
        if !is_public_key(key, 'O') {
            let key = quoted(key);
            report.text(
                &value.position,
                format!("trust key {key} required to be a valid public operator nkey"),
            );
        }
    }
    keys
}

fn resolver(key: &str, value: &Value, report: &mut Report) -> Option<Resolver> {
    let is_memory =
        |text: &str| text.eq_ignore_ascii_case("memory") || text.eq_ignore_ascii_case("mem");
    match &value.kind {
        Kind::String(text) if is_memory(text.trim()) => return Some(Resolver::Memory),
        Kind::String(text) if text.is_empty() => return None,
        Kind::String(text) if text.trim().to_lowercase().starts_with("url(") => {
            let url = text.trim();
            let url = url[4..].strip_suffix(')').unwrap_or_default().trim();
            let url = url.trim_matches('"');
            if url.starts_with("http://") && url.len() > "http://".len() {
                let slash = if url.ends_with('/') { "" } else { "/" };
                return Some(Resolver::Url(format!("{url}{slash}")));
            }
            let problem = Problem::NotBuilt(format!("{key}: URL other than http"));
            report.error(&value.position, problem);
        }
        Kind::Map(map) if map.is_empty() => return None,
        Kind::Map(map) => {
            let kind = map
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case("type"))
                .and_then(|(_, value)| read::string(value, report))
                .unwrap_or_default()
                .to_owned();
            if is_memory(&kind) {
                return Some(Resolver::Memory);
            }
            report.error(
                &value.position,
                Problem::NotBuilt(format!("{key}: type {kind}")),
            );
        }
        _ => report.text(
            &value.position,
            "error parsing account resolver, should be MEM or  URL(\"url\") or a map containing \
             dir and type state=[FULL|CACHE])",
        ),
    }
    None
}

fn preload(value: &Value, report: &mut Report) -> BTreeMap<String, String> {
    let mut accounts = BTreeMap::new();
    let Some(map) = read::map(value, report) else {
        return accounts;
    };
    for (name, value) in map.iter() {
        let Some(token) = read::string(value, report) else {
            continue;
        };
        match jwt::decode::<AccountData>(token) {
            Ok(_) => {
                accounts.insert(name.to_owned(), token.to_owned());
            }
            Err(_) => report.text(&value.position, "invalid account JWT"),
        }
    }
    accounts
}
