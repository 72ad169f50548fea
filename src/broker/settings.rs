//! What a core must know of the server's options.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::accounts::AccountTable;
use super::auth::AuthConfig;
use super::opening::Kind;
use super::tls::TlsRules;
use crate::protocol::ServerInfo;

/// Who this server is, as INFO tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerIdentity {
    /// Public nkey of this process, `N...`.
    pub server_id: String,
    /// Configured name, else the id.
    pub server_name: String,
    /// The version of nats-server whose features are offered; clients gate on it.
    pub version: String,
    /// Commit of this build, shortened; may be empty.
    pub git_commit: String,
    /// What built it: the field is called `go` and cannot be left out.
    pub compiler: String,
    pub host: String,
    pub port: u16,
    /// Where WebSocket clients are; 0: nowhere.
    pub websocket_port: u16,
    /// Headers are supported.
    pub headers: bool,
    /// Addresses for clients to reconnect to.
    pub connect_urls: Vec<String>,
    /// Public x25519 key, `X...`.
    pub xkey: String,
    /// JetStream is on.
    pub jetstream: bool,
    /// Its domain; empty for none.
    pub domain: String,
    /// `server_tags`, for the system account.
    pub tags: Vec<String>,
    /// `server_metadata`, for the system account.
    pub metadata: BTreeMap<String, String>,
}

impl ServerIdentity {
    /// The part of INFO that all connections share.
    pub fn info(&self) -> ServerInfo<'_> {
        ServerInfo {
            server_id: &self.server_id,
            server_name: &self.server_name,
            version: &self.version,
            proto: 1,
            git_commit: &self.git_commit,
            go: &self.compiler,
            host: &self.host,
            port: self.port,
            headers: self.headers,
            connect_urls: &self.connect_urls,
            api_lvl: API_LEVEL,
            xkey: &self.xkey,
            jetstream: self.jetstream,
            domain: &self.domain,
            ..ServerInfo::default()
        }
    }
}

/// The JetStream API level of the version in INFO; nats-server 2.15 announces it
/// with JetStream off, too.
pub const API_LEVEL: u64 = 5;

/// Immutable settings, shared by all cores; a reload hands out new ones.
#[derive(Clone)]
pub struct Settings {
    /// Who this server is.
    pub identity: ServerIdentity,
    /// Longest arguments of a control line, in bytes.
    pub max_control_line: usize,
    /// Largest headers plus payload, in bytes; -1 for no limit.
    pub max_payload: i64,
    /// Bytes that may wait for one client before it is cut off.
    pub max_pending: usize,
    /// Subscriptions of one connection; `None` for no limit.
    pub max_subscriptions: Option<usize>,
    /// Tokens of a subscription's subject; `None` for no limit.
    pub max_subscription_tokens: Option<usize>,
    /// Time between PINGs to a client that says nothing.
    pub ping_interval: Duration,
    /// Unanswered PINGs after which a connection is stale.
    pub ping_max: u32,
    /// How long a send may make no progress.
    pub write_deadline: Duration,
    /// A client whose send made some progress by the deadline is kept.
    pub write_timeout_retry: bool,
    /// Drop messages for slow readers instead of slowing the publisher down.
    pub no_fast_producer_stall: bool,
    /// TLS of the client port.
    pub tls: Option<TlsRules>,
    /// Who may connect.
    pub auth: Arc<AuthConfig>,
    /// What is different for clients on the WebSocket port.
    pub websocket: WebSocketSettings,
    /// The accounts and their ids.
    pub accounts: Arc<AccountTable>,
    /// Log protocol lines.
    pub trace: bool,
    /// Log only the headers of traced messages.
    pub trace_headers: bool,
    /// Log connection events.
    pub debug: bool,
    /// Longest traced payload, in bytes; 0 for no limit.
    pub max_traced_msg_len: usize,
}

/// What is different for clients on the WebSocket port.
#[derive(Clone, Default)]
pub struct WebSocketSettings {
    /// Told in INFO in place of the client port's.
    pub host: String,
    pub port: u16,
    /// In place of [`Settings::ping_interval`].
    pub ping_interval: Option<Duration>,
    /// In place of [`Settings::auth`].
    pub auth: Option<Arc<AuthConfig>>,
}

impl Settings {
    /// Who may connect by this kind of connection.
    pub fn auth_of(&self, kind: Kind) -> &Arc<AuthConfig> {
        match (kind, &self.websocket.auth) {
            (Kind::WebSocket, Some(auth)) => auth,
            _ => &self.auth,
        }
    }

    /// Time between PINGs to a client of this kind that says nothing.
    pub fn ping_interval_of(&self, kind: Kind) -> Duration {
        match (kind, self.websocket.ping_interval) {
            (Kind::WebSocket, Some(interval)) => interval,
            _ => self.ping_interval,
        }
    }
}

impl Default for Settings {
    /// What nats-server does without a configuration: everybody may connect, with headers.
    fn default() -> Self {
        Self {
            identity: ServerIdentity {
                headers: true,
                ..ServerIdentity::default()
            },
            max_control_line: 4096,
            max_payload: 1024 * 1024,
            max_pending: 64 * 1024 * 1024,
            max_subscriptions: None,
            max_subscription_tokens: None,
            ping_interval: Duration::from_secs(120),
            ping_max: 2,
            write_deadline: Duration::from_secs(10),
            write_timeout_retry: false,
            no_fast_producer_stall: false,
            tls: None,
            auth: Arc::new(AuthConfig::open()),
            websocket: WebSocketSettings::default(),
            accounts: Arc::default(),
            trace: false,
            trace_headers: false,
            debug: false,
            max_traced_msg_len: 0,
        }
    }
}
