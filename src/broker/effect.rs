//! What a core asks the runtime to do.

use super::auth::VerifyJob;
use super::system::SystemRequest;
use crate::monitor::snapshot::ConnSnapshot;

/// How a connection's socket ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseMode {
    /// Send what waits, then close.
    AfterFlush,
    /// Close now; what waits is gone.
    Now,
}

/// Severity of a log line, as nats-server tags it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    Info,
    Warn,
    Error,
    Debug,
    Trace,
}

/// A request to the runtime, in the order it was made.
pub enum Effect {
    /// End the connection's socket; [`super::Core::released`] answers.
    Close { slot: u32, mode: CloseMode },
    /// Stop receiving from the connection.
    Pause { slot: u32 },
    /// Receive from it again.
    Resume { slot: u32 },
    /// Give up the send under way; [`super::Core::sent`] tells how much of it went.
    CancelSend { slot: u32 },
    /// Check credentials off the core; [`super::Core::verified`] answers.
    Verify {
        slot: u32,
        cid: u64,
        /// Nobody waits for the answer after this time of the monotonic clock, in nanoseconds.
        by: u64,
        job: Box<VerifyJob>,
    },
    /// A line for the log.
    Log { level: LogLevel, line: String },
    /// A connection ended: for the list of closed connections.
    Closed(Box<ConnSnapshot>),
    /// A client logged in, and somebody may want to hear of it.
    Connected(Box<ConnSnapshot>),
    /// A client is gone, and somebody may want to hear of it.
    Disconnected(Box<ConnSnapshot>),
    /// A request to the system services.
    System(Box<SystemRequest>),
}
