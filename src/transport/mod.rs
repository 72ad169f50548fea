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

mod websocket;

pub use websocket::{DEFAULT_HANDSHAKE_TIMEOUT, WebSocket, WebSockets};

use crate::broker::{Batch, CloseReason, Kind, Opening, UpgradeFacts};
use crate::protocol::websocket::{Deflater, HandshakeError};

/// What [`Transport::receive`] found.
#[derive(Debug)]
pub enum Received<'a> {
    /// Bytes for the core.
    Data(&'a [u8]),
    /// The client began with its side of the transport.
    Began,
    /// The transport is up.
    Established,
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
        match &mut self.websocket {
            Some(websocket) => websocket.receive(input, unix_ns, &mut deliver),
            None => deliver(Received::Data(input)),
        }
    }

    /// Appends what the transport has to say and then what becomes of `batch`.
    pub fn encode(&mut self, batch: Option<&Batch>, deflater: &mut Deflater, into: &mut Vec<u8>) {
        match &mut self.websocket {
            Some(websocket) => websocket.encode(batch, deflater, into),
            None => {
                for segment in batch.iter().flat_map(|batch| batch.segments()) {
                    into.extend_from_slice(segment.as_slice());
                }
            }
        }
    }

    /// Whether [`Transport::encode`] has something to send without a batch.
    pub fn has_output(&self) -> bool {
        self.websocket.as_ref().is_some_and(WebSocket::has_output)
    }

    /// Everything of the core was encoded: says goodbye, once.
    pub fn close(&mut self, reason: CloseReason) {
        self.closed = true;
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
    /// If there is a WebSocket port.
    pub websocket: Option<WebSockets>,
}

impl Transports {
    /// How a connection of this kind begins, and its transport.
    pub fn open(&self, kind: Kind) -> (Opening, Option<Box<Transport>>) {
        match (kind, &self.websocket) {
            (Kind::WebSocket, Some(websocket)) => {
                let transport = Transport {
                    websocket: Some(websocket.session(false)),
                    closed: false,
                };
                (websocket.opening(), Some(Box::new(transport)))
            }
            _ => (Opening::Plain, None),
        }
    }
}
