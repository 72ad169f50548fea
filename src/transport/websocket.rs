//! WebSocket as a transport: its sessions, and what a core learns of them.

use std::sync::Arc;
use std::time::Duration;

use super::Received;
use crate::broker::{Batch, CloseReason, Opening, UpgradeFacts};
use crate::monitor::format::http_date;
use crate::protocol::websocket::{Deflater, Heard, Rules, Session, close_code};

/// How long the upgrade may take if nothing else is configured. nats-server waits for ever.
pub const DEFAULT_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// What all connections of the WebSocket port share.
#[derive(Clone, Debug)]
pub struct WebSockets {
    pub rules: Arc<Rules>,
    pub handshake_timeout: Duration,
    /// What a compressed message may inflate to, in bytes; `None`: no limit.
    pub inflated_max: Option<usize>,
}

impl WebSockets {
    /// How a connection begins.
    pub fn opening(&self) -> Opening {
        Opening::TransportFirst {
            timeout: self.handshake_timeout,
            info_after: None,
        }
    }

    /// A session; `secure`: its bytes come by TLS.
    pub fn session(&self, secure: bool) -> WebSocket {
        WebSocket {
            session: Session::new(Arc::clone(&self.rules), secure),
            inflated_max: self.inflated_max,
        }
    }
}

/// One connection's WebSocket.
#[derive(Debug)]
pub struct WebSocket {
    session: Session,
    inflated_max: Option<usize>,
}

impl WebSocket {
    /// Bytes came; they are overwritten. `unix_ns`: the wall clock.
    pub fn receive(
        &mut self,
        input: &mut [u8],
        unix_ns: i64,
        deliver: &mut impl FnMut(Received<'_>),
    ) {
        let date = || http_date(unix_ns);
        self.session
            .hear(input, &date, self.inflated_max, |heard| match heard {
                Heard::Refused(error) => deliver(Received::UpgradeRefused(error)),
                Heard::Hopeless => deliver(Received::Failed(None)),
                Heard::Upgraded(upgrade) if upgrade.leafnode => {
                    deliver(Received::Leafnode);
                }
                Heard::Upgraded(upgrade) => {
                    deliver(Received::Upgraded(UpgradeFacts {
                        forwarded_for: upgrade.forwarded_for.clone(),
                        cookies: upgrade.cookies.clone(),
                    }));
                    deliver(Received::Established);
                }
                Heard::Data(data) => deliver(Received::Data(data)),
                Heard::Ended => deliver(Received::Ended),
                Heard::Failed(error) => deliver(Received::Failed(Some(error.to_string()))),
            });
    }

    /// Appends what the session has to say and then the frames of `batch`.
    pub fn encode(&mut self, batch: Option<&Batch>, deflater: &mut Deflater, into: &mut Vec<u8>) {
        let parts = batch
            .into_iter()
            .flat_map(|batch| batch.segments().map(|segment| segment.as_slice()));
        self.session.encode(deflater, parts, into);
    }

    pub fn has_output(&self) -> bool {
        self.session.has_output()
    }

    /// Everything was encoded: says goodbye.
    pub fn close(&mut self, reason: CloseReason) {
        self.session.close(code_of(reason), reason.text());
    }
}

/// The code of the close frame. As nats-server.
fn code_of(reason: CloseReason) -> u16 {
    use CloseReason as R;
    match reason {
        R::ClientClosed => close_code::NORMAL,
        R::WriteError | R::ReadError | R::StaleConnection | R::ServerShutdown => {
            close_code::GOING_AWAY
        }
        R::ParseError | R::ProtocolViolation | R::BadClientProtocolVersion => {
            close_code::PROTOCOL_ERROR
        }
        R::AuthenticationTimeout
        | R::AuthenticationFailure
        | R::SlowConsumerPendingBytes
        | R::SlowConsumerWriteDeadline
        | R::MaxConnectionsExceeded
        | R::MaxControlLineExceeded
        | R::MaxSubscriptionsExceeded
        | R::CredentialsRevoked => close_code::POLICY_VIOLATION,
        R::MaxPayloadExceeded => close_code::MESSAGE_TOO_BIG,
        R::TlsHandshakeFailure => close_code::TLS_HANDSHAKE,
        _ => close_code::INTERNAL_ERROR,
    }
}
