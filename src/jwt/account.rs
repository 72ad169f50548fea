//! What an operator says of an account.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use super::token::{Claims, ClaimsData, is_key, or_default};
use super::user::{PermissionData, UserLimits};

/// Who is meant by a revocation of everybody.
const ALL: &str = "*";

/// `nats` of an account's claims.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct AccountData {
    #[serde(default, deserialize_with = "or_default")]
    pub imports: Vec<ImportData>,
    #[serde(default, deserialize_with = "or_default")]
    pub exports: Vec<ExportData>,
    #[serde(default, deserialize_with = "or_default")]
    pub limits: AccountLimits,
    #[serde(default, deserialize_with = "or_default")]
    pub signing_keys: Vec<SigningKey>,
    /// Users' keys, or `*`, with the second since 1970 up to which claims are void.
    #[serde(default, deserialize_with = "or_default")]
    pub revocations: BTreeMap<String, i64>,
    #[serde(default, deserialize_with = "or_default")]
    pub default_permissions: PermissionData,
    #[serde(default, deserialize_with = "or_default")]
    pub mappings: BTreeMap<String, Vec<MappingData>>,
    #[serde(default, deserialize_with = "or_default")]
    pub authorization: AuthorizationData,
    #[serde(default, deserialize_with = "or_default")]
    pub tags: Vec<String>,
}

/// Users for whom an authentication service is not asked, and what it may do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct AuthorizationData {
    #[serde(default, deserialize_with = "or_default")]
    pub auth_users: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub allowed_accounts: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub xkey: String,
}

/// An import.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct ImportData {
    #[serde(default, deserialize_with = "or_default")]
    pub name: String,
    /// As the exporter names it.
    #[serde(default, deserialize_with = "or_default")]
    pub subject: String,
    /// Public key of the exporter.
    #[serde(default, deserialize_with = "or_default")]
    pub account: String,
    /// An activation, where the export asks for one.
    #[serde(default, deserialize_with = "or_default")]
    pub token: String,
    /// Version 1: a prefix for streams, the exporter's subject for services.
    #[serde(default, deserialize_with = "or_default")]
    pub to: String,
    /// Our name of it; may have `$1` for the first wildcard.
    #[serde(default, deserialize_with = "or_default")]
    pub local_subject: String,
    #[serde(default, rename = "type", deserialize_with = "or_default")]
    pub kind: ExportKind,
    #[serde(default, deserialize_with = "or_default")]
    pub share: bool,
    #[serde(default, deserialize_with = "or_default")]
    pub allow_trace: bool,
}

/// An export.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct ExportData {
    #[serde(default, deserialize_with = "or_default")]
    pub name: String,
    #[serde(default, deserialize_with = "or_default")]
    pub subject: String,
    #[serde(default, rename = "type", deserialize_with = "or_default")]
    pub kind: ExportKind,
    /// Importers need an activation.
    #[serde(default, deserialize_with = "or_default")]
    pub token_req: bool,
    /// Accounts' keys, or `*`, with the second since 1970 up to which activations are void.
    #[serde(default, deserialize_with = "or_default")]
    pub revocations: BTreeMap<String, i64>,
    /// `Singleton`, `Stream` or `Chunked`.
    #[serde(default, deserialize_with = "or_default")]
    pub response_type: String,
    /// Nanoseconds.
    #[serde(default, deserialize_with = "or_default")]
    pub response_threshold: i64,
    #[serde(default, deserialize_with = "or_default")]
    pub service_latency: Option<LatencyData>,
    /// Token of the subject that is the importer's key, from 1; 0 for none.
    #[serde(default, deserialize_with = "or_default")]
    pub account_token_position: u32,
    #[serde(default, deserialize_with = "or_default")]
    pub allow_trace: bool,
}

/// What is measured of a service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct LatencyData {
    /// Percent; 0 for requests whose headers ask for it.
    #[serde(default, deserialize_with = "sampling")]
    pub sampling: i64,
    #[serde(default, deserialize_with = "or_default")]
    pub results: String,
}

/// What is exported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ExportKind {
    /// Neither of them: not valid.
    #[default]
    Unknown,
    Stream,
    Service,
}

impl<'de> Deserialize<'de> for ExportKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match String::deserialize(deserializer)?.as_str() {
            "stream" => Self::Stream,
            "service" => Self::Service,
            _ => Self::Unknown,
        })
    }
}

/// A percentage, or `headers`.
fn sampling<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Rate {
        Percent(i64),
        Text(String),
    }
    match Option::<Rate>::deserialize(deserializer)? {
        None => Ok(0),
        Some(Rate::Percent(percent)) => Ok(percent),
        Some(Rate::Text(text)) if text.eq_ignore_ascii_case("headers") => Ok(0),
        Some(Rate::Text(text)) => text
            .trim_end_matches('%')
            .parse()
            .map_err(|_| serde::de::Error::custom("unknown sampling rate")),
    }
}

/// A target of a mapping.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct MappingData {
    #[serde(default, deserialize_with = "or_default")]
    pub subject: String,
    /// Percent; 0 for all.
    #[serde(default, deserialize_with = "or_default")]
    pub weight: u8,
    #[serde(default, deserialize_with = "or_default")]
    pub cluster: String,
}

/// Limits of an account; -1 for no limit.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct AccountLimits {
    #[serde(default, deserialize_with = "or_default")]
    pub subs: i64,
    #[serde(default, deserialize_with = "or_default")]
    pub data: i64,
    /// Bytes.
    #[serde(default, deserialize_with = "or_default")]
    pub payload: i64,
    #[serde(default, deserialize_with = "or_default")]
    pub imports: i64,
    #[serde(default, deserialize_with = "or_default")]
    pub exports: i64,
    /// Exports may have wildcards.
    #[serde(default, deserialize_with = "or_default")]
    pub wildcards: bool,
    #[serde(default, deserialize_with = "or_default")]
    pub disallow_bearer: bool,
    /// Connections.
    #[serde(default, deserialize_with = "or_default")]
    pub conn: i64,
    /// Leaf node connections.
    #[serde(default, deserialize_with = "or_default")]
    pub leaf: i64,
    #[serde(flatten)]
    pub jetstream: JetStreamLimits,
    /// By replicas: `R1`, `R3`.
    #[serde(default, deserialize_with = "or_default")]
    pub tiered_limits: BTreeMap<String, JetStreamLimits>,
}

/// Limits of JetStream; 0 bytes: none is allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct JetStreamLimits {
    #[serde(default, rename = "mem_storage", deserialize_with = "or_default")]
    pub memory: i64,
    #[serde(default, rename = "disk_storage", deserialize_with = "or_default")]
    pub disk: i64,
    #[serde(default, deserialize_with = "or_default")]
    pub streams: i64,
    #[serde(default, deserialize_with = "or_default")]
    pub consumer: i64,
    #[serde(default, deserialize_with = "or_default")]
    pub max_ack_pending: i64,
    #[serde(
        default,
        rename = "mem_max_stream_bytes",
        deserialize_with = "or_default"
    )]
    pub memory_max_stream_bytes: i64,
    #[serde(
        default,
        rename = "disk_max_stream_bytes",
        deserialize_with = "or_default"
    )]
    pub disk_max_stream_bytes: i64,
    #[serde(default, deserialize_with = "or_default")]
    pub max_bytes_required: bool,
}

/// A key that signs for the account.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SigningKey {
    /// Public nkey of an account.
    pub key: String,
    /// The permissions and limits of the users that it signs; `None`: those of their own claims.
    pub scope: Option<Box<UserLimits>>,
}

impl<'de> Deserialize<'de> for SigningKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Scoped {
            #[serde(default, deserialize_with = "or_default")]
            kind: String,
            #[serde(default, deserialize_with = "or_default")]
            key: String,
            #[serde(default, deserialize_with = "or_default")]
            template: UserLimits,
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Key(String),
            Scoped(Box<Scoped>),
        }
        match Either::deserialize(deserializer)? {
            Either::Key(key) => Ok(Self { key, scope: None }),
            Either::Scoped(scoped) if scoped.kind == "user_scope" => Ok(Self {
                key: scoped.key,
                scope: Some(Box::new(scoped.template)),
            }),
            Either::Scoped(_) => Err(serde::de::Error::custom("unknown kind of scope")),
        }
    }
}

impl ClaimsData for AccountData {
    const KIND: &'static str = "account";
    const ISSUERS: &'static [char] = &['A', 'O'];
}

/// `nats` of an activation's claims: the account in `sub` may import something.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct ActivationData {
    /// What may be imported.
    #[serde(default, deserialize_with = "or_default")]
    pub subject: String,
    #[serde(default, deserialize_with = "or_default")]
    pub kind: ExportKind,
    /// The exporter, if a signing key of it signed.
    #[serde(default, deserialize_with = "or_default")]
    pub issuer_account: String,
}

impl ClaimsData for ActivationData {
    const KIND: &'static str = "activation";
    const ISSUERS: &'static [char] = &['A', 'O'];
}

impl Claims<AccountData> {
    /// Whether the account's own key, unless that is forbidden (`strict`), or one of its signing
    /// keys is this.
    pub fn is_issuer(&self, key: &str, strict: bool) -> bool {
        (!strict && key == self.subject) || self.signing_key(key).is_some()
    }

    /// The signing key of this name.
    pub fn signing_key(&self, key: &str) -> Option<&SigningKey> {
        self.data.signing_keys.iter().find(|known| known.key == key)
    }

    /// Whether claims about this user, issued then, are void.
    pub fn is_revoked(&self, user: &str, issued_at: i64) -> bool {
        is_revoked(&self.data.revocations, user, issued_at)
    }

    /// What is wrong with the claims, apart from their time.
    pub fn issues(&self) -> Vec<String> {
        let mut issues = Vec::new();
        if !is_key(&self.subject, 'A') {
            issues.push("subject is not an account public key".to_owned());
        }
        let limits = &self.data.limits;
        for (what, count, limit) in [
            ("import", self.data.imports.len(), limits.imports),
            ("export", self.data.exports.len(), limits.exports),
        ] {
            if usize::try_from(limit).is_ok_and(|limit| count > limit) {
                issues.push(format!("the account contains more {what}s than allowed"));
            }
        }
        for signing_key in &self.data.signing_keys {
            if !is_key(&signing_key.key, 'A') {
                issues.push(format!("{} is not an account public key", signing_key.key));
            }
            if let Some(scope) = &signing_key.scope {
                scope.issues(&mut issues);
            }
        }
        issues
    }
}

impl ExportData {
    /// Whether activations of this account, issued then, are void.
    pub fn is_revoked(&self, account: &str, issued_at: i64) -> bool {
        is_revoked(&self.revocations, account, issued_at)
    }
}

fn is_revoked(revocations: &BTreeMap<String, i64>, key: &str, issued_at: i64) -> bool {
    [ALL, key]
        .iter()
        .filter_map(|name| revocations.get(*name))
        .any(|&until| issued_at <= until)
}
