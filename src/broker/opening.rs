//! Connections whose transport (TLS, WebSocket) has to come up before commands do.
//!
//! The runtime says with [`NewConnection::opening`] how a connection begins, and calls
//! [`Core::established`] or [`Core::opening_failed`] when that is decided. Until then the core sends
//! nothing but INFO, expects nothing, and keeps the deadline.

use core::net::SocketAddr;
use std::time::Duration;

use super::close::CloseReason;
use super::connection::{Connection, Phase};
use super::core::Core;
use super::effect::{CloseMode, Effect, LogLevel};
use super::timers::nanos;
use crate::protocol::ErrorText;
use crate::protocol::websocket::{Cookies, HandshakeError};

/// What talks to the server over a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A client on the client port.
    #[default]
    Client,
    /// A client on the WebSocket port.
    WebSocket,
}

/// How a connection begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Opening {
    /// INFO goes out at once and commands may come at once.
    #[default]
    Plain,
    /// INFO goes out at once, in plain text; then the transport comes up.
    InfoFirst {
        /// How long the transport may take.
        timeout: Duration,
    },
    /// As [`Opening::InfoFirst`], but the client may also go on in plain text. Until it says
    /// something, only the time to authenticate counts, if it has to.
    Either {
        /// How long the transport may take once it began.
        timeout: Duration,
    },
    /// INFO goes out when the transport is up.
    TransportFirst {
        /// How long the transport may take.
        timeout: Duration,
        /// If the client says nothing for this long, it goes on as [`Opening::InfoFirst`].
        info_after: Option<Duration>,
    },
}

/// A new connection.
#[derive(Clone, Copy, Debug)]
pub struct NewConnection {
    /// Its number, unique in the process.
    pub cid: u64,
    pub peer: SocketAddr,
    pub kind: Kind,
    pub opening: Opening,
    /// It is told so and closed (after INFO, as nats-server does).
    pub refused: Option<ErrorText>,
}

/// What of a WebSocket upgrade matters while the connection lives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpgradeFacts {
    /// The client behind a proxy, as log lines show it; empty without one.
    pub forwarded_for: String,
    /// Stand for what CONNECT leaves out.
    pub cookies: Cookies,
}

/// State of a connection in [`Phase::Opening`]. Times are nanoseconds of the monotonic clock.
pub struct OpeningState {
    /// The transport must be up by then.
    pub by: u64,
    /// INFO goes out in plain text then; `u64::MAX`: not before the transport is up.
    pub info_at: u64,
    /// It went.
    pub informed: bool,
    /// How long the transport may take once it began, if it need not begin.
    pub optional: Option<Duration>,
    /// It is told so once it can be told anything.
    pub refused: Option<ErrorText>,
}

impl OpeningState {
    /// The earlier of its times.
    pub(super) fn next(&self) -> u64 {
        self.by.min(self.info_at)
    }
}

impl Core {
    /// Puts a fresh connection where its arrival says. Returns whether INFO goes out now.
    pub(super) fn begin_opening(&self, conn: &mut Connection, opening: Opening) -> bool {
        let now = self.now.mono_ns;
        let mut optional = None;
        let (timeout, info_after, informed) = match opening {
            Opening::Plain => return true,
            Opening::InfoFirst { timeout } => (timeout, None, true),
            Opening::Either { timeout } => {
                optional = Some(timeout);
                let auth = &self.settings.auth;
                let by = if auth.auth_required() {
                    auth.timeout()
                } else {
                    Duration::MAX
                };
                (by, None, true)
            }
            Opening::TransportFirst {
                timeout,
                info_after,
            } => (timeout, info_after, false),
        };
        conn.phase = Phase::Opening;
        conn.opening = Some(Box::new(OpeningState {
            by: now.saturating_add(nanos(timeout)),
            info_at: info_after.map_or(u64::MAX, |after| now.saturating_add(nanos(after))),
            informed,
            optional,
            refused: None,
        }));
        informed
    }

    /// The client began with its side of the transport: INFO waits until that is up.
    pub fn opening_began(&mut self, slot: u32) {
        let now = self.now.mono_ns;
        if let Some(opening) = self.conn_mut(slot).and_then(|c| c.opening.as_deref_mut()) {
            opening.info_at = u64::MAX;
            if let Some(timeout) = opening.optional.take() {
                opening.by = now.saturating_add(nanos(timeout));
            }
            self.schedule(slot);
        }
        let line = "Starting TLS client connection handshake";
        self.log_connection(LogLevel::Debug, slot, line);
    }

    /// The peer is gone before the transport came up.
    pub(super) fn opening_ended(&mut self, slot: u32) {
        let began = self
            .conn(slot)
            .and_then(|c| c.opening.as_deref())
            .is_some_and(|opening| opening.optional.is_none());
        if began {
            self.opening_failed(
                slot,
                CloseReason::TlsHandshakeFailure,
                LogLevel::Error,
                "TLS handshake error: EOF",
            );
        } else {
            self.close(slot, CloseReason::ClientClosed, CloseMode::AfterFlush);
        }
    }

    /// The transport is up: commands may come.
    pub fn established(&mut self, slot: u32) {
        let Some(conn) = self.conn_mut(slot) else {
            return;
        };
        if conn.phase != Phase::Opening {
            return;
        }
        let opening = conn.opening.take();
        let is_websocket = conn.kind == Kind::WebSocket;
        let informed = opening.as_ref().is_none_or(|opening| opening.informed);
        let refused = opening.and_then(|opening| opening.refused);
        self.expect_commands(slot);
        if !informed {
            self.send_first_info(slot);
        }
        self.schedule(slot);
        // Before the upgrade it was no client.
        if is_websocket {
            self.log_connection(LogLevel::Debug, slot, "Client connection created");
        }
        if let Some(error) = refused {
            self.close_with_error(slot, error, CloseReason::MaxConnectionsExceeded);
        }
    }

    /// A WebSocket upgrade was granted; [`Core::established`] follows.
    pub fn upgraded(&mut self, slot: u32, facts: UpgradeFacts) {
        if let Some(conn) = self.conn_mut(slot)
            && facts != UpgradeFacts::default()
        {
            conn.upgrade = Some(Box::new(facts));
        }
    }

    /// A WebSocket upgrade was refused: for the log. The client may try again.
    pub fn upgrade_refused(&mut self, slot: u32, error: &HandshakeError) {
        if let Some(conn) = self.conn(slot) {
            let line = format!("{} - websocket handshake error: {error}", conn.peer);
            let level = LogLevel::Error;
            self.effects.push(Effect::Log { level, line });
        }
    }

    /// Nothing more is read from the connection, for it broke the rules of its transport (`text`), or
    /// will never have one. What that has to say is still sent.
    pub fn transport_failed(&mut self, slot: u32, text: Option<&str>) {
        if let Some(text) = text {
            let line = format!("read error: {text}");
            self.log_connection(LogLevel::Error, slot, &line);
        }
        self.close(slot, CloseReason::ReadError, CloseMode::AfterFlush);
    }

    /// Why a connection is closing.
    pub fn close_reason(&self, slot: u32) -> Option<CloseReason> {
        self.conn(slot)?.close_reason
    }

    /// The transport will not come up. What it wants to say about that is still sent.
    pub fn opening_failed(&mut self, slot: u32, reason: CloseReason, level: LogLevel, line: &str) {
        self.log_connection(level, slot, line);
        self.close(slot, reason, CloseMode::AfterFlush);
    }

    /// Looks at the deadlines of a connection that opens. Returns whether it was closed.
    pub(super) fn check_opening(&mut self, slot: u32) -> bool {
        let now = self.now.mono_ns;
        let Some(opening) = self.conn_mut(slot).and_then(|c| c.opening.as_deref_mut()) else {
            return false;
        };
        if opening.by <= now {
            if opening.optional.is_some() {
                self.log_connection(LogLevel::Error, slot, "Authentication Timeout");
                self.close_with_error(
                    slot,
                    ErrorText::AuthenticationTimeout,
                    CloseReason::AuthenticationTimeout,
                );
            } else {
                self.opening_timed_out(slot);
            }
            return true;
        }
        if opening.info_at <= now {
            opening.info_at = u64::MAX;
            opening.informed = true;
            self.send_first_info(slot);
        }
        false
    }

    /// As nats-server, which says nothing to a client in the middle of a handshake.
    fn opening_timed_out(&mut self, slot: u32) {
        let is_websocket = self.conn(slot).is_some_and(|c| c.kind == Kind::WebSocket);
        let reason = if is_websocket {
            CloseReason::ReadError
        } else {
            self.log_connection(LogLevel::Debug, slot, "TLS handshake timeout");
            CloseReason::TlsHandshakeFailure
        };
        self.close(slot, reason, CloseMode::AfterFlush);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bench, SECOND, settings};
    use super::*;

    fn arrive(bench: &mut Bench, opening: Opening) -> u32 {
        bench.core.arrive(NewConnection {
            cid: 77,
            peer: ([127, 0, 0, 1], 4000).into(),
            kind: Kind::Client,
            opening,
            refused: None,
        })
    }

    const TIMEOUT: Duration = Duration::from_secs(2);

    #[test]
    fn info_first_goes_out_once_and_the_ping_waits() {
        let mut bench = Bench::new(1, settings());
        let slot = arrive(&mut bench, Opening::InfoFirst { timeout: TIMEOUT });
        assert!(bench.output(slot).starts_with("INFO {"));
        bench.advance(SECOND);
        bench.core.established(slot);
        assert_eq!(bench.output(slot), "");
        assert_eq!(bench.phase(slot), Some(Phase::Open));
        bench.advance(3 * SECOND);
        assert_eq!(bench.output(slot), "PING\r\n");
    }

    #[test]
    fn transport_first_waits_with_info() {
        let mut bench = Bench::new(1, settings());
        let opening = Opening::TransportFirst {
            timeout: TIMEOUT,
            info_after: Some(Duration::from_millis(50)),
        };
        let slot = arrive(&mut bench, opening);
        bench.core.opening_began(slot);
        bench.advance(SECOND);
        assert_eq!(bench.output(slot), "");
        bench.core.established(slot);
        assert!(bench.output(slot).starts_with("INFO {"));
    }

    #[test]
    fn a_client_that_says_nothing_gets_info_after_the_pause() {
        let mut bench = Bench::new(1, settings());
        let opening = Opening::TransportFirst {
            timeout: TIMEOUT,
            info_after: Some(Duration::from_millis(50)),
        };
        let slot = arrive(&mut bench, opening);
        assert_eq!(bench.output(slot), "");
        bench.advance(SECOND / 20);
        assert!(bench.output(slot).starts_with("INFO {"));
        bench.core.established(slot);
        assert_eq!(bench.output(slot), "");
    }

    #[test]
    fn a_transport_that_does_not_come_up_ends_the_connection() {
        let mut bench = Bench::new(1, settings());
        let slot = arrive(&mut bench, Opening::InfoFirst { timeout: TIMEOUT });
        bench.output(slot);
        bench.advance(2 * SECOND);
        assert_eq!(bench.phase(slot), Some(Phase::Closing));
        assert_eq!(bench.output(slot), "");
    }
}
