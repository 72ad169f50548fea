//! What a core must know of the server's options.

use std::sync::Arc;
use std::time::Duration;

use super::auth::AuthConfig;
use crate::protocol::ServerInfo;

/// Immutable settings, shared by all cores; a reload hands out new ones.
#[derive(Clone)]
pub struct Settings {
    /// Fields of INFO that are the same for every connection.
    pub info: ServerInfo,
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
    /// Clients may use headers.
    pub headers: bool,
    /// Who may connect.
    pub auth: Arc<AuthConfig>,
    /// Log protocol lines.
    pub trace: bool,
    /// Log only the headers of traced messages.
    pub trace_headers: bool,
    /// Log connection events.
    pub debug: bool,
    /// Longest traced payload, in bytes; 0 for no limit.
    pub max_traced_msg_len: usize,
}
