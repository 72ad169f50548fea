//! How a server introduces itself in messages of the system account.

use std::collections::BTreeMap;

use serde::Serialize;

use super::settings::ServerIdentity;

/// Bit of `flags`: JetStream is on. The other bits that nats-server sets speak of its own
/// replication.
const FLAG_JETSTREAM: u64 = 1;

/// Who a system message is from; names, order and absence of the fields are nats-server's.
///
/// nats-server adds `feature_flags`, which speak of its own JetStream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServerStamp {
    /// The server's name; its id if it was given none.
    pub name: String,
    /// The host it listens on.
    pub host: String,
    /// Its public nkey.
    pub id: String,
    /// The name of its cluster.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cluster: String,
    /// The domain of its JetStream.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub domain: String,
    /// The version it claims.
    pub ver: String,
    /// `server_tags`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// `server_metadata`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Whether JetStream is enabled.
    pub jetstream: bool,
    /// Capabilities, for other servers.
    pub flags: u64,
    /// A number that each system message of this server raises.
    pub seq: u64,
    /// When the message was made, RFC 3339 in UTC with nanoseconds.
    pub time: String,
}

impl ServerStamp {
    /// The stamp of message `seq`, made at `unix_ns` (nanoseconds since 1970).
    pub fn new(server: &ServerIdentity, seq: u64, unix_ns: i64) -> Self {
        Self {
            name: server.server_name.clone(),
            host: server.host.clone(),
            id: server.server_id.clone(),
            cluster: String::new(),
            domain: server.domain.clone(),
            ver: server.version.clone(),
            tags: server.tags.clone(),
            metadata: server.metadata.clone(),
            jetstream: server.jetstream,
            flags: if server.jetstream { FLAG_JETSTREAM } else { 0 },
            seq,
            time: crate::monitor::format::rfc3339(unix_ns),
        }
    }
}
