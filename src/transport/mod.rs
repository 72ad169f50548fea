//! What stands between a socket and its connection's core, where that is not nothing: TLS and
//! WebSocket. Bytes in, bytes out: nothing here touches a socket or a clock.
//!
//! A plain connection has no [`Transport`] and pays nothing for those that have one. With one,
//! received bytes go through [`Transport::receive`], and what the core wants to send through
//! [`Transport::encode`]. What the transport itself has to say (handshakes, alerts) waits in it
//! and goes with the next send.
//!
//! Memory: what is waiting is counted by the core in the bytes it gave, until the socket has taken
//! all that became of them. What the transport adds is bounded by its own limits.

mod certificate;
mod tls;
mod websocket;

use std::sync::Arc;
use std::time::Duration;

pub use self::tls::{PENDING_BYTES_MAX, Tls, TlsRole};
pub use self::websocket::{DEFAULT_HANDSHAKE_TIMEOUT, WebSocket, WebSockets};
use crate::broker::{Batch, CloseReason, Kind, Opening, TlsFacts, UpgradeFacts};
use crate::protocol::websocket::{Deflater, HandshakeError};

/// What [`Transport::receive`] found.
#[derive(Debug)]
pub enum Received<'a> {
    /// Bytes for the core.
    Data(&'a [u8]),
    /// The client began with its side of the transport.
    Began,
    /// TLS is up; [`Received::Established`] follows.
    Secured(TlsFacts),
    /// The transport is up.
    Established,
    /// The client does not even begin with it.
    NoHandshake,
    /// It went wrong, with the words of the log.
    TlsFailed(&'a str),
    /// A WebSocket upgrade was granted; `Established` follows.
    Upgraded(UpgradeFacts),
    /// A WebSocket upgrade was refused; the client may try again.
    UpgradeRefused(HandshakeError),
    /// A leaf node came by WebSocket: there are none yet.
    Leafnode,
    /// The client says that nothing more comes.
    Ended,
    /// Nothing more is read; the text, if any, is for the log.
    Failed(Option<String>),
}

/// The transport of one connection.
#[derive(Debug, Default)]
pub struct Transport {
    tls: Option<Tls>,
    /// What it says by itself, waiting for the next send.
    output: Vec<u8>,
    /// Of a connection of the WebSocket port.
    websocket: Option<WebSocket>,
    closed: bool,
}

impl Transport {
    /// Bytes came from the socket; they may be overwritten. `unix_ns`: the wall clock.
    pub fn receive(
        &mut self,
        input: &mut [u8],
        unix_ns: i64,
        mut deliver: impl FnMut(Received<'_>),
    ) {
        if let Some(tls) = &mut self.tls {
            tls.receive(input, &mut self.output, &mut deliver);
        } else if let Some(websocket) = &mut self.websocket {
            websocket.receive(input, unix_ns, &mut deliver);
        } else {
            deliver(Received::Data(input));
        }
    }

    /// Whether a handshake waits for [`Transport::advance`].
    pub fn wants_to_advance(&self) -> bool {
        self.tls.as_ref().is_some_and(Tls::wants_to_advance)
    }

    /// Goes on with a handshake, which takes the CPU some tenths of a millisecond.
    pub fn advance(&mut self, mut deliver: impl FnMut(Received<'_>)) {
        if let Some(tls) = &mut self.tls {
            tls.advance(&mut self.output, &mut deliver);
        }
    }

    /// Appends what the transport has to say and then what becomes of `batch`.
    pub fn encode(&mut self, batch: Option<&Batch>, deflater: &mut Deflater, into: &mut Vec<u8>) {
        into.append(&mut self.output);
        if let Some(websocket) = &mut self.websocket {
            websocket.encode(batch, deflater, into);
            return;
        }
        let tls = self.tls.as_mut().filter(|tls| !tls.is_plain());
        let segments = batch.iter().flat_map(|batch| batch.segments());
        match tls {
            Some(tls) => {
                for segment in segments {
                    tls.encrypt(segment.as_slice(), into);
                }
                tls.flush(into);
            }
            None => {
                for segment in segments {
                    into.extend_from_slice(segment.as_slice());
                }
            }
        }
    }

    /// Whether [`Transport::encode`] has something to send without a batch.
    pub fn has_output(&self) -> bool {
        !self.output.is_empty() || self.websocket.as_ref().is_some_and(WebSocket::has_output)
    }

    /// Everything of the core was encoded: says goodbye, once.
    pub fn close(&mut self, reason: CloseReason) {
        self.closed = true;
        if let Some(tls) = &mut self.tls {
            tls.close(&mut self.output);
        }
        if let Some(websocket) = &mut self.websocket {
            websocket.close(reason);
        }
    }

    /// Whether [`Transport::close`] was called.
    pub fn is_closed(&self) -> bool {
        self.closed
    }
}

/// Which connections get which transport. One for all cores; a reload hands out a new one.
#[derive(Clone, Debug, Default)]
pub struct Transports {
    /// TLS of the client port.
    pub tls: Option<TlsListener>,
    /// If there is a WebSocket port.
    pub websocket: Option<WebSockets>,
}

/// TLS of a port.
#[derive(Clone, Debug)]
pub struct TlsListener {
    pub role: Arc<TlsRole>,
    /// How long a handshake may take.
    pub timeout: Duration,
    /// INFO waits for the handshake, with `Some` only so long.
    pub first: Option<Option<Duration>>,
}

impl Transports {
    /// How a connection of this kind begins, and its transport.
    pub fn open(&self, kind: Kind) -> (Opening, Option<Box<Transport>>) {
        if let (Kind::WebSocket, Some(websocket)) = (kind, &self.websocket) {
            let transport = Transport {
                websocket: Some(websocket.session(false)),
                ..Transport::default()
            };
            return (websocket.opening(), Some(Box::new(transport)));
        }
        let (Kind::Client, Some(tls)) = (kind, &self.tls) else {
            return (Opening::Plain, None);
        };
        let timeout = tls.timeout;
        let opening = match tls.first {
            Some(info_after) => Opening::TransportFirst {
                timeout,
                info_after,
            },
            None if tls.role.optional => Opening::Either { timeout },
            None => Opening::InfoFirst { timeout },
        };
        let transport = Transport {
            tls: Some(Tls::new(Arc::clone(&tls.role))),
            ..Transport::default()
        };
        (opening, Some(Box::new(transport)))
    }
}
