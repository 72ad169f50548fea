//! Every default and bound of the options, with its unit.
//!
//! Values are those of nats-server 2.15.1 unless the comment says that they are ours.

use std::time::Duration;

/// Address of the client listener. A listener on it also answers on IPv6.
pub const HOST: &str = "0.0.0.0";

/// Port of the client listener.
pub const PORT: i64 = 4222;

/// The port number that asks for any free port.
pub const RANDOM_PORT: i64 = -1;

/// Client connections at a time.
pub const MAX_CONNECTIONS: i64 = 65_536;

/// Longest control line of a client, in bytes.
pub const MAX_CONTROL_LINE: i64 = 4096;

/// Largest message (headers and payload), in bytes.
pub const MAX_PAYLOAD: i64 = 1024 * 1024;

/// Payload limits above this many bytes draw a warning at the start.
pub const MAX_PAYLOAD_WARNING: i64 = 8 * 1024 * 1024;

/// The largest number that sizes of messages and control lines may be set to, in bytes.
pub const MAX_SIZE: i64 = i32::MAX as i64;

/// Bytes that may wait for one client before it is cut off.
pub const MAX_PENDING: i64 = 64 * 1024 * 1024;

/// Closed connections that the monitoring remembers.
pub const MAX_CLOSED_CLIENTS: i64 = 10_000;

/// The largest setting of tokens in a subject.
pub const MAX_SUB_TOKENS: i64 = u8::MAX as i64;

/// Time between two PINGs of the server on a quiet connection.
pub const PING_INTERVAL: Duration = Duration::from_secs(120);

/// PINGs without an answer before a connection counts as stale.
pub const PING_MAX: i64 = 2;

/// How long one write to a client may take.
pub const WRITE_DEADLINE: Duration = Duration::from_secs(10);

/// How long a client may take to authenticate.
pub const AUTH_TIMEOUT: Duration = Duration::from_secs(2);

/// Over how long a server in lame duck mode closes its clients, the grace period included.
pub const LAME_DUCK_DURATION: Duration = Duration::from_secs(120);

/// The shortest lame duck duration that a configuration file may set.
pub const MIN_LAME_DUCK_DURATION: Duration = Duration::from_secs(30);

/// How long a server in lame duck mode waits before it closes the first client.
pub const LAME_DUCK_GRACE_PERIOD: Duration = Duration::from_secs(10);

/// Every how many failed attempts a first connection to a peer is logged.
pub const CONNECT_ERROR_REPORTS: i64 = 3600;

/// Every how many failed attempts a reconnection to a peer is logged.
pub const RECONNECT_ERROR_REPORTS: i64 = 1;

/// Replies that `allow_responses` grants for each request.
pub const ALLOW_RESPONSES_MAX: i64 = 1;

/// How long `allow_responses` grants them.
pub const ALLOW_RESPONSES_EXPIRES: Duration = Duration::from_secs(120);

/// How long a core polls before it sleeps (ours).
pub const SPIN: Duration = Duration::ZERO;

/// The longest time that the network card may be polled, in microseconds (ours): whoever wants
/// more wants `spin`.
pub const MAX_BUSY_POLL: i64 = 100_000;

/// The highest priority of SCHED_FIFO (the kernel's).
pub const MAX_REALTIME: i64 = 99;

/// The highest CPU number that may be named (ours): what the kernel's affinity masks are built for.
pub const MAX_CPU: u32 = 8191;
