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

use crate::broker::{Batch, Kind, Opening};

/// What [`Transport::receive`] found.
#[derive(Debug)]
pub enum Received<'a> {
    /// Bytes for the core.
    Data(&'a [u8]),
    /// The client began with its side of the transport.
    Began,
    /// The transport is up.
    Established,
    /// The client says that nothing more comes.
    Ended,
}

/// The transport of one connection.
#[derive(Debug, Default)]
pub struct Transport {
    /// What it says by itself, waiting for the next send.
    output: Vec<u8>,
    closed: bool,
}

impl Transport {
    /// Bytes came from the socket; they may be overwritten.
    pub fn receive(&mut self, input: &mut [u8], mut deliver: impl FnMut(Received<'_>)) {
        deliver(Received::Data(input));
    }

    /// Appends what the transport has to say and then what becomes of `batch`.
    pub fn encode(&mut self, batch: Option<&Batch>, into: &mut Vec<u8>) {
        into.append(&mut self.output);
        for segment in batch.iter().flat_map(|batch| batch.segments()) {
            into.extend_from_slice(segment.as_slice());
        }
    }

    /// Whether [`Transport::encode`] has something to send without a batch.
    pub fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    /// Everything of the core was encoded: says goodbye, once.
    pub fn close(&mut self) {
        self.closed = true;
    }

    /// Whether [`Transport::close`] was called.
    pub fn is_closed(&self) -> bool {
        self.closed
    }
}

/// Which connections get which transport. One for all cores; a reload hands out a new one.
#[derive(Clone, Debug, Default)]
pub struct Transports {}

impl Transports {
    /// How a connection of this kind begins, and its transport.
    pub fn open(&self, _kind: Kind) -> (Opening, Option<Box<Transport>>) {
        (Opening::Plain, None)
    }
}
