//! A simulated TCP connection with bounded buffers, both ends.

use std::collections::VecDeque;

use ringwire::broker::{Batch, CloseMode};

use super::rng::Rng;

/// Broken pipe, on Linux.
const BROKEN_PIPE: i32 = 32;
/// Connection reset, on Linux.
const RESET: i32 = 104;
/// How long a connection that is being closed may take to flush, in
/// nanoseconds; the runtime's own limit.
const LINGER: u64 = 500_000_000;
/// Receives that complete for one socket in one turn, at most.
const READS_PER_TURN: usize = 8;

/// A completion of one socket.
pub enum Event {
    Received(Vec<u8>),
    Ended(Option<i32>),
    Sent(Batch, Result<usize, i32>),
    /// The server's end is closed.
    Drained,
}

struct Sending {
    batch: Batch,
    bytes: Vec<u8>,
    /// How many of them the kernel took.
    taken: usize,
}

/// One connection.
#[derive(Default)]
pub struct Socket {
    /// From the client, not yet received.
    pub up: VecDeque<u8>,
    /// The client sends no more.
    pub fin: bool,
    /// The client vanished.
    pub reset: bool,
    /// To the client, not yet read: the kernel's buffer.
    pub down: VecDeque<u8>,
    /// Bytes of the sends that completed, in all.
    pub sent: usize,
    capacity: usize,
    reading: bool,
    ended: bool,
    sending: Option<Sending>,
    leaving: Option<CloseMode>,
    leave_by: u64,
    /// The server has closed its end.
    pub released: bool,
}

impl Socket {
    /// An open connection whose kernel buffer to the client holds `capacity` bytes.
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity,
            reading: true,
            ..Self::default()
        }
    }

    fn sent_ready(&self) -> bool {
        self.sending.as_ref().is_some_and(|sending| {
            sending.taken == sending.bytes.len()
                || self.reset
                || self.leaving == Some(CloseMode::Now)
        })
    }

    fn readable(&self) -> bool {
        self.reading
            && !self.ended
            && self.leaving.is_none()
            && (!self.up.is_empty() || self.fin || self.reset)
    }

    fn drained(&self) -> bool {
        self.leaving == Some(CloseMode::Now) && self.sending.is_none() && !self.released
    }

    /// Whether its core would be woken.
    pub fn has_event(&self) -> bool {
        !self.released && (self.sent_ready() || self.readable() || self.drained())
    }

    /// When the server gives up flushing, if it is doing that.
    pub fn deadline(&self) -> Option<u64> {
        (self.leaving == Some(CloseMode::AfterFlush) && !self.released).then_some(self.leave_by)
    }

    /// A send is under way.
    pub fn is_sending(&self) -> bool {
        self.sending.is_some()
    }

    /// What completed by the start of a turn; with `lazily` perhaps not all of it.
    pub fn complete(
        &mut self,
        rng: &mut Rng,
        read_bytes: usize,
        lazily: bool,
        events: &mut Vec<Event>,
    ) {
        if self.sent_ready()
            && !(lazily && rng.chance(25))
            && let Some(sending) = self.sending.take()
        {
            let result = if self.reset {
                Err(BROKEN_PIPE)
            } else {
                Ok(sending.taken)
            };
            self.sent += sending.taken;
            events.push(Event::Sent(sending.batch, result));
        }
        if self.reset && self.readable() {
            self.ended = true;
            events.push(Event::Ended(Some(RESET)));
        }
        for _ in 0..READS_PER_TURN {
            if !self.readable() || (lazily && rng.chance(25)) {
                break;
            }
            if self.up.is_empty() {
                self.ended = true;
                events.push(Event::Ended(None));
                break;
            }
            let count = rng.between(1, read_bytes).min(self.up.len());
            events.push(Event::Received(self.up.drain(..count).collect()));
        }
        if self.drained() {
            self.released = true;
            events.push(Event::Drained);
        }
    }

    /// The kernel moves up to `most` bytes of the send under way to its buffer.
    pub fn transfer(&mut self, most: usize) -> usize {
        let room = self.capacity.saturating_sub(self.down.len());
        let Some(sending) = &mut self.sending else {
            return 0;
        };
        let count = (sending.bytes.len() - sending.taken).min(room).min(most);
        self.down
            .extend(&sending.bytes[sending.taken..sending.taken + count]);
        sending.taken += count;
        count
    }

    /// Starts a send.
    pub fn send(&mut self, batch: Batch) {
        assert!(self.sending.is_none(), "one send at a time");
        self.sending = Some(Sending {
            bytes: batch.to_vec(),
            batch,
            taken: 0,
        });
    }

    /// Stops or starts receiving.
    pub fn set_reading(&mut self, reading: bool) {
        self.reading = reading;
    }

    /// Closes the server's end as asked.
    pub fn leave(&mut self, mode: CloseMode, now: u64) {
        self.leaving = Some(mode);
        self.leave_by = now + LINGER;
    }

    /// Goes on with closing.
    pub fn continue_leaving(&mut self, flushed: bool, now: u64) {
        if self.leaving == Some(CloseMode::AfterFlush) && (flushed || now >= self.leave_by) {
            self.leaving = Some(CloseMode::Now);
        }
    }
}
