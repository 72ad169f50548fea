//! What a configuration or a JWT says about an account. Nothing is checked here.

use std::time::Duration;

use crate::broker::permissions::PermissionRules;

/// One account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountRules {
    /// Its name; the public nkey for an account of a JWT.
    pub name: String,
    /// A name for people, if it has one beside [`Self::name`] (JWT accounts).
    pub name_tag: String,
    /// Configured public nkey (`A...`); empty without one.
    pub nkey: String,
    pub stream_exports: Vec<StreamExport>,
    pub service_exports: Vec<ServiceExport>,
    pub stream_imports: Vec<StreamImport>,
    pub service_imports: Vec<ServiceImport>,
    pub mappings: Vec<MappingRule>,
    pub limits: AccountLimits,
    /// For its users without permissions of their own.
    pub default_permissions: Option<PermissionRules>,
    pub jetstream: JetStreamRules,
}

impl AccountRules {
    /// An account without rules.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }
}

/// Whether an account may use JetStream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum JetStreamRules {
    /// As the server: `$G` may if JetStream is on and no other account is configured for it.
    #[default]
    Unset,
    Disabled,
    Enabled(JetStreamLimits),
}

/// JetStream limits of an account; -1 is none. Names and meaning as in account info.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JetStreamLimits {
    /// Bytes.
    pub max_memory: i64,
    /// Bytes.
    pub max_storage: i64,
    pub max_streams: i64,
    /// Of the whole account.
    pub max_consumers: i64,
    pub max_ack_pending: i64,
    /// Bytes of one stream.
    pub memory_max_stream_bytes: i64,
    /// Bytes of one stream.
    pub storage_max_stream_bytes: i64,
    /// Streams must say `max_bytes`.
    pub max_bytes_required: bool,
}

impl Default for JetStreamLimits {
    fn default() -> Self {
        Self {
            max_memory: -1,
            max_storage: -1,
            max_streams: -1,
            max_consumers: -1,
            max_ack_pending: -1,
            memory_max_stream_bytes: -1,
            storage_max_stream_bytes: -1,
            max_bytes_required: false,
        }
    }
}

/// Who may import.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Access {
    #[default]
    Public,
    /// These accounts, by name.
    Accounts(Vec<String>),
    /// Accounts whose import was activated by a token: see `activated` of the imports.
    Token,
}

/// Messages that other accounts may subscribe to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamExport {
    pub subject: String,
    pub access: Access,
    /// Token of the subject, from 1, that must be the importing account's name; 0: none.
    pub account_token_position: usize,
}

/// How many messages answer a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResponseKind {
    /// One.
    #[default]
    Singleton,
    /// Any number.
    Streamed,
    /// Any number, the last one empty.
    Chunked,
}

/// Which requests are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// So many of a hundred.
    Percent(u8),
    /// Those whose headers ask for it.
    Headers,
}

/// Where the latency of a service is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LatencyRule {
    pub sampling: Sampling,
    pub subject: String,
}

/// Requests that other accounts may send.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceExport {
    pub subject: String,
    pub access: Access,
    pub response: ResponseKind,
    /// How long responses may take; `None` for nats-server's two minutes.
    pub threshold: Option<Duration>,
    pub latency: Option<LatencyRule>,
    /// See [`StreamExport::account_token_position`].
    pub account_token_position: usize,
    /// Message traces go on into this account.
    pub allow_trace: bool,
}

/// Messages of another account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamImport {
    /// Name of the exporting account.
    pub account: String,
    /// Subject there.
    pub subject: String,
    /// Subject here; empty: as there. May refer to wildcards (`$1`).
    pub to: String,
    /// In front of the subject there, with a dot; only without `to`.
    pub prefix: String,
    /// A token of the exporting account was checked.
    pub activated: bool,
    pub allow_trace: bool,
}

/// Requests to another account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceImport {
    /// Name of the exporting account.
    pub account: String,
    /// Subject there.
    pub subject: String,
    /// Subject here that requests are sent to; empty: as there.
    pub to: String,
    /// Requests name their sender in a header.
    pub share: bool,
    /// A token of the exporting account was checked.
    pub activated: bool,
}

/// One way that a mapped subject may go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MappingDestination {
    pub subject: String,
    /// Of a hundred messages, so many.
    pub weight: u8,
    /// Only in this cluster; empty: in all.
    pub cluster: String,
}

/// What becomes of the subject of published messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MappingRule {
    pub source: String,
    pub destinations: Vec<MappingDestination>,
}

/// Limits of an account; `None` is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccountLimits {
    pub max_connections: Option<u64>,
    pub max_leaf_nodes: Option<u64>,
    /// Of each of its connections, as on nats-server.
    pub max_subscriptions: Option<u64>,
    /// Bytes; a smaller one of the server wins.
    pub max_payload: Option<u64>,
}
