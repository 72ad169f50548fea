//! What an account says of a user.

use serde::{Deserialize, Deserializer};

use super::limits;
use super::token::{Claims, ClaimsData, is_key, or_default};

/// `nats` of a user's claims.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct UserData {
    /// The account, if a signing key of it signed.
    #[serde(default, deserialize_with = "or_default")]
    pub issuer_account: String,
    #[serde(default, deserialize_with = "or_default")]
    pub tags: Vec<String>,
    #[serde(flatten)]
    pub limits: UserLimits,
}

/// Permissions and limits: of a user, or the template of a scoped signing key.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct UserLimits {
    #[serde(default, rename = "pub", deserialize_with = "or_default")]
    pub publish: SubjectsData,
    #[serde(default, rename = "sub", deserialize_with = "or_default")]
    pub subscribe: SubjectsData,
    #[serde(default, rename = "resp", deserialize_with = "or_default")]
    pub responses: Option<ResponseData>,
    /// Networks it may come from; empty for all. One string with commas in version 1.
    #[serde(default, rename = "src", deserialize_with = "networks")]
    pub sources: Vec<String>,
    /// Times of the day at which it may be connected; empty for all.
    #[serde(default, deserialize_with = "or_default")]
    pub times: Vec<TimeRange>,
    /// Time zone of these; empty for the server's.
    #[serde(default, deserialize_with = "or_default")]
    pub times_location: String,
    /// Subscriptions of a connection; -1 for no limit.
    #[serde(default, deserialize_with = "or_default")]
    pub subs: i64,
    /// Bytes; nothing limits it in nats-server either.
    #[serde(default, deserialize_with = "or_default")]
    pub data: i64,
    /// Bytes of a message; -1 for no limit.
    #[serde(default, deserialize_with = "or_default")]
    pub payload: i64,
    /// The claims alone let in, without a signature of the nonce.
    #[serde(default, deserialize_with = "or_default")]
    pub bearer_token: bool,
    /// Only through a trusted proxy.
    #[serde(default, deserialize_with = "or_default")]
    pub proxy_required: bool,
    #[serde(default, deserialize_with = "or_default")]
    pub allowed_connection_types: Vec<String>,
}

/// Permissions that stand alone: an account's defaults.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct PermissionData {
    #[serde(default, rename = "pub", deserialize_with = "or_default")]
    pub publish: SubjectsData,
    #[serde(default, rename = "sub", deserialize_with = "or_default")]
    pub subscribe: SubjectsData,
    #[serde(default, rename = "resp", deserialize_with = "or_default")]
    pub responses: Option<ResponseData>,
}

/// Subjects that are allowed and denied.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct SubjectsData {
    /// Empty for all.
    #[serde(default, deserialize_with = "or_default")]
    pub allow: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub deny: Vec<String>,
}

/// The bounds of replies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct ResponseData {
    #[serde(default, deserialize_with = "or_default")]
    pub max: i64,
    /// Nanoseconds.
    #[serde(default, rename = "ttl", deserialize_with = "or_default")]
    pub expires_nanos: i64,
}

/// From `start` to `end`, each as `15:04:05`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct TimeRange {
    #[serde(default, deserialize_with = "or_default")]
    pub start: String,
    #[serde(default, deserialize_with = "or_default")]
    pub end: String,
}

impl ClaimsData for UserData {
    const KIND: &'static str = "user";
    const ISSUERS: &'static [char] = &['A'];
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Networks {
    List(Vec<String>),
    Text(String),
}

fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(match Option::<Networks>::deserialize(deserializer)? {
        None => Vec::new(),
        Some(Networks::List(list)) => list,
        Some(Networks::Text(text)) if text.trim().is_empty() => Vec::new(),
        Some(Networks::Text(text)) => text
            .split(',')
            .map(|part| part.trim().to_lowercase())
            .collect(),
    })
}

impl SubjectsData {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.allow.is_empty() && self.deny.is_empty()
    }

    fn issues(&self, queues: bool, issues: &mut Vec<String>) {
        for entry in self.allow.iter().chain(&self.deny) {
            let parts: Vec<&str> = entry.split(' ').collect();
            let valid = match parts[..] {
                [subject] => is_subject(subject),
                [subject, queue] => queues && is_subject(subject) && is_subject(queue),
                _ => false,
            };
            if !valid {
                issues.push(format!("subject {entry:?} is not a valid subject"));
            }
        }
    }
}

/// Templates hold letters that no client's subject has; what is empty or blank is wrong anyway.
fn is_subject(subject: &str) -> bool {
    !subject.is_empty()
        && !subject.contains(char::is_whitespace)
        && subject.split('.').all(|token| !token.is_empty())
}

impl UserLimits {
    /// Whether all of it is absent, as it must be beside a scope.
    pub fn is_absent(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn issues(&self, issues: &mut Vec<String>) {
        self.publish.issues(false, issues);
        self.subscribe.issues(true, issues);
        for source in &self.sources {
            if limits::network(source).is_none() {
                issues.push(format!("invalid cidr {source:?} in user src limits"));
            }
        }
        for range in &self.times {
            for (name, text) in [("start", &range.start), ("end", &range.end)] {
                if limits::time_of_day(text).is_none() {
                    issues.push(format!("{name} in time range is invalid {text:?}"));
                }
            }
        }
    }
}

impl Claims<UserData> {
    /// The account that these claims belong to.
    pub fn account(&self) -> &str {
        if self.data.issuer_account.is_empty() {
            &self.issuer
        } else {
            &self.data.issuer_account
        }
    }

    /// What is wrong with the claims, in nats-server's words; empty if nothing is. `now` in
    /// seconds since 1970.
    pub fn issues(&self, now: i64) -> Vec<String> {
        let mut issues = Vec::new();
        issues.extend(self.time_issue(now).map(str::to_owned));
        if !is_key(&self.subject, 'U') {
            issues.push("subject is not a user public key".to_owned());
        }
        if !self.data.issuer_account.is_empty() && !is_key(&self.data.issuer_account, 'A') {
            issues.push("account_id is not an account public key".to_owned());
        }
        self.data.limits.issues(&mut issues);
        issues
    }
}
