//! The driver's part for connections with a [`Transport`]: their bytes take a way round.

use std::collections::VecDeque;

use super::buffer_ring::Chunk;
use super::driver::Driver;
use super::outgoing::{Encoded, Outgoing};
use crate::broker::{CloseReason, Core, LogLevel};
use crate::protocol::websocket::Deflater;
use crate::transport::{Received, Transport};

/// Buffers for encoded output that a core keeps for reuse.
const POOLED_BUFFERS_MAX: usize = 16;
/// Handshakes that a core works on in one turn: each takes it some tenths of a millisecond, in which
/// the other connections wait.
const HANDSHAKES_PER_TURN: usize = 2;
/// Larger ones are freed, in bytes.
const POOLED_BUFFER_BYTES_MAX: usize = 256 * 1024;

/// The transports of a core's connections, by slot.
#[derive(Default)]
pub struct Encodings {
    slots: Vec<Option<Box<Transport>>>,
    /// Connections whose transport has something to send, or may have.
    waiting: Vec<u32>,
    /// Connections with bytes of a handshake, oldest first.
    handshakes: VecDeque<u32>,
    /// Empty.
    buffers: Vec<Vec<u8>>,
    /// Of all WebSocket connections.
    deflater: Deflater,
}

impl Encodings {
    /// The transport of a connection that has one.
    #[inline]
    pub fn get(&mut self, slot: u32) -> Option<&mut Transport> {
        self.slots.get_mut(slot as usize)?.as_deref_mut()
    }

    pub fn insert(&mut self, slot: u32, transport: Box<Transport>) {
        let index = slot as usize;
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, || None);
        }
        self.slots[index] = Some(transport);
    }

    pub fn remove(&mut self, slot: u32) {
        if let Some(entry) = self.slots.get_mut(slot as usize) {
            *entry = None;
        }
    }

    /// Looks at the connection's transport before the turn ends.
    pub fn note(&mut self, slot: u32) {
        self.waiting.push(slot);
    }

    /// Whether transports wait to be looked at.
    pub fn has_waiting(&self) -> bool {
        !self.waiting.is_empty() || !self.handshakes.is_empty()
    }

    fn keep(&mut self, mut buffer: Vec<u8>) {
        if self.buffers.len() < POOLED_BUFFERS_MAX && buffer.capacity() <= POOLED_BUFFER_BYTES_MAX {
            buffer.clear();
            self.buffers.push(buffer);
        }
    }
}

/// Tells the core what a transport found.
fn deliver(core: &mut Core, slot: u32, received: Received<'_>) {
    let fail = |core: &mut Core, level, text: &str| {
        let line = format!("TLS handshake error: {text}");
        core.opening_failed(slot, CloseReason::TlsHandshakeFailure, level, &line);
    };
    match received {
        Received::Data(bytes) => core.receive(slot, bytes),
        Received::Began => core.opening_began(slot),
        Received::Secured(facts) => core.secured(slot, facts),
        Received::Established => core.established(slot),
        Received::Ended => core.receive_ended(slot, None),
        Received::NoHandshake => {
            let text = "tls: first record does not look like a TLS handshake";
            fail(core, LogLevel::Debug, text);
        }
        Received::TlsFailed(text) if core.is_opening(slot) => fail(core, LogLevel::Error, text),
        Received::Upgraded(facts) => core.upgraded(slot, facts),
        Received::UpgradeRefused(error) => core.upgrade_refused(slot, &error),
        Received::Leafnode => core.transport_failed(slot, None),
        Received::Failed(text) => core.transport_failed(slot, text.as_deref()),
        // As nats-server closes whoever sends what is no record.
        Received::TlsFailed(_) => core.receive_ended(slot, Some(libc::EPROTO)),
    }
}

impl Driver {
    /// Bytes came for a connection with a transport.
    pub(super) fn receive_encoded(&mut self, slot: u32, mut data: Chunk) {
        // Nobody reads any more what a connection says that is being closed.
        if self.leaving.contains(slot) {
            return;
        }
        let core = &mut self.core;
        let Some(transport) = self.encodings.get(slot) else {
            return;
        };
        let now = core.unix_ns();
        let waited = transport.wants_to_advance();
        let mut peer_is_leaf = false;
        transport.receive(&mut data, now, |received| {
            peer_is_leaf |= matches!(received, Received::Leafnode);
            deliver(core, slot, received);
        });
        let begins = !waited && transport.wants_to_advance();
        let waits = transport.has_output();
        if begins {
            self.encodings.handshakes.push_back(slot);
        }
        if peer_is_leaf {
            self.control
                .error("Not configured to accept leaf node connections".to_owned());
        }
        if waits {
            self.encodings.note(slot);
        }
    }

    /// Works on a few handshakes.
    pub(super) fn advance_handshakes(&mut self) {
        for _ in 0..HANDSHAKES_PER_TURN {
            let Some(slot) = self.encodings.handshakes.pop_front() else {
                return;
            };
            // The slot may belong to another connection by now, which is none the worse for it.
            if self.leaving.contains(slot) {
                continue;
            }
            let core = &mut self.core;
            let Some(transport) = self.encodings.get(slot) else {
                continue;
            };
            transport.advance(|received| deliver(core, slot, received));
            if transport.has_output() {
                self.encodings.note(slot);
            }
        }
    }

    /// Sends for a connection with a transport what waits, in the core and in the transport.
    /// Returns how many sends that were.
    pub(super) fn send_encoded(&mut self, slot: u32) -> usize {
        // Its end looks for more.
        if self.ring.is_sending(slot) {
            return 0;
        }
        let batch = self.core.take_batch(slot);
        let mut bytes = self.encodings.buffers.pop().unwrap_or_default();
        let mut deflater = std::mem::take(&mut self.encodings.deflater);
        if let Some(transport) = self.encodings.get(slot) {
            transport.encode(batch.as_ref(), &mut deflater, &mut bytes);
        }
        self.encodings.deflater = deflater;
        if bytes.is_empty() {
            self.encodings.keep(bytes);
            // Nothing became of it, so nothing waits.
            if let Some(batch) = batch {
                let len = batch.len();
                self.core.sent(slot, batch, Ok(len));
            }
            return 0;
        }
        let encoded = Encoded {
            bytes,
            sent: 0,
            batch,
        };
        self.ring.send(slot, Outgoing::Encoded(encoded));
        1
    }

    /// A send of a connection with a transport ended.
    pub(super) fn encoded_sent(
        &mut self,
        slot: u32,
        mut encoded: Encoded,
        result: Result<usize, i32>,
    ) {
        encoded.sent += result.unwrap_or(0);
        let whole = encoded.rest().is_empty();
        if !whole && result.is_ok_and(|count| count > 0) && self.core.is_giving_up(slot) {
            self.core.send_goes_on(slot);
            self.ring.send(slot, Outgoing::Encoded(encoded));
            return;
        }
        self.encodings.keep(encoded.bytes);
        match encoded.batch {
            Some(batch) => {
                let all = batch.len();
                let errno = result.err().unwrap_or(libc::EPIPE);
                let sent = if whole { Ok(all) } else { Err(errno) };
                self.core.sent(slot, batch, sent);
            }
            None if !whole => self
                .core
                .receive_ended(slot, Some(result.err().unwrap_or(libc::EPIPE))),
            None => {}
        }
        self.encodings.note(slot);
    }

    /// Sends what transports have to say by themselves. Returns how many sends that were.
    pub(super) fn send_waiting(&mut self) -> usize {
        let mut sends = 0;
        for slot in std::mem::take(&mut self.encodings.waiting) {
            sends += self.send_encoded(slot);
        }
        sends
    }

    /// Whether the connection, which is being closed, has nothing more to send.
    pub(super) fn has_sent_all(&mut self, slot: u32) -> bool {
        if !self.core.is_flushed(slot) {
            return false;
        }
        let reason = self.core.close_reason(slot);
        let Some(transport) = self.encodings.get(slot) else {
            return true;
        };
        if !transport.is_closed() {
            transport.close(reason.unwrap_or(CloseReason::ClientClosed));
        }
        if transport.has_output() {
            self.encodings.note(slot);
            return false;
        }
        !self.ring.is_sending(slot)
    }
}
