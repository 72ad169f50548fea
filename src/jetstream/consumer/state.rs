//! What a consumer has delivered and what of it was acknowledged: the part that survives a
//! restart, and its form in the journal.
//!
//! The journal holds a snapshot and changes. Both are bytes: a version, then numbers in the
//! variable length of LEB128. Changes are replayed through the same functions that made them, so
//! that floors and counts come out as they were.

use std::collections::VecDeque;

use super::pending::{Entry, Pending};

/// A pair of sequences, as the API shows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sequences {
    pub consumer: u64,
    pub stream: u64,
}

/// Deliveries and acknowledgements.
#[derive(Debug, Default)]
pub struct State {
    /// The last delivery, and the highest stream sequence delivered.
    pub delivered: Sequences,
    /// Nanoseconds since 1970; 0: never.
    pub delivered_at: i64,
    /// Everything up to here was acknowledged.
    pub floor: Sequences,
    /// Nanoseconds since 1970; 0: never.
    pub acked_at: i64,
    pub pending: Pending,
}

impl State {
    /// Nothing delivered; the first message to come is `next`.
    pub fn new(next: u64) -> Self {
        let start = Sequences {
            consumer: 0,
            stream: next.saturating_sub(1),
        };
        Self {
            delivered: start,
            floor: start,
            ..Self::default()
        }
    }

    /// A message was delivered for the first time. `due_at` is `None` if it needs no
    /// acknowledgement.
    #[inline]
    pub fn delivered(&mut self, stream_sequence: u64, due_at: Option<u64>) {
        self.delivered.consumer += 1;
        self.delivered.stream = self.delivered.stream.max(stream_sequence);
        match due_at {
            Some(due_at) => {
                self.pending
                    .insert(stream_sequence, self.delivered.consumer, 1, due_at);
            }
            None => self.floor = self.delivered,
        }
    }

    /// A pending message was delivered again.
    #[inline]
    pub fn redelivered(&mut self, stream_sequence: u64, due_at: u64) {
        self.delivered.consumer += 1;
        self.pending.delivered_again(stream_sequence);
        self.pending.postpone(stream_sequence, due_at);
    }

    /// A message was acknowledged, or is not to be delivered again. `None` if it was not pending.
    #[inline]
    pub fn acked(&mut self, stream_sequence: u64) -> Option<Entry> {
        let entry = self.pending.remove(stream_sequence)?;
        self.raise_floor();
        Some(entry)
    }

    /// Everything up to the delivery `to` was acknowledged; `left` hears of each message that
    /// was pending. The floor is the delivery itself, but below whatever is still pending.
    pub fn acked_up_to(&mut self, to: Sequences, left: impl FnMut(&Entry)) {
        let stream = to.stream.min(self.delivered.stream);
        self.pending.remove_up_to(stream, left);
        let next = self.pending.first().map(|entry| entry.consumer_sequence);
        let highest = next.map_or(self.delivered.consumer, |next| next - 1);
        let floor = Sequences {
            consumer: to.consumer.min(highest),
            stream,
        };
        if floor.stream > self.floor.stream {
            self.floor.stream = floor.stream;
            self.floor.consumer = self.floor.consumer.max(floor.consumer);
        }
    }

    /// A pending message used up its deliveries. The floor stays where it is.
    pub fn exhausted(&mut self, stream_sequence: u64) {
        self.pending.exhaust(stream_sequence);
    }

    /// Messages below `next` will not be delivered: they do not exist any more.
    pub fn passed(&mut self, next: u64) {
        self.delivered.stream = self.delivered.stream.max(next.saturating_sub(1));
        self.raise_floor();
    }

    #[inline]
    fn raise_floor(&mut self) {
        match self.pending.first() {
            None => self.floor = self.delivered,
            Some(first) => {
                let floor = Sequences {
                    consumer: first.consumer_sequence - 1,
                    stream: first.stream_sequence - 1,
                };
                if floor.consumer > self.floor.consumer {
                    self.floor = floor;
                }
            }
        }
    }

    /// Starts again at `next`, with nothing delivered.
    pub fn reset(&mut self, next: u64) {
        *self = Self::new(next);
    }
}

const DELIVERED: u8 = 1;
const REDELIVERED: u8 = 2;
const ACKED: u8 = 3;
const ACKED_UP_TO: u8 = 4;
const EXHAUSTED: u8 = 5;
const RESET: u8 = 6;
const PASSED: u8 = 7;

/// Changes that were not yet given to the journal. Runs of sequences, which are the usual case,
/// take one entry.
#[derive(Debug, Default)]
pub struct Changes {
    bytes: Vec<u8>,
    /// Kind, first sequence and length of the run that is not yet in `bytes`.
    run: Option<(u8, u64, u64)>,
}

impl Changes {
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.run.is_none()
    }

    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    #[inline]
    pub fn delivered(&mut self, stream_sequence: u64) {
        self.extend_run(DELIVERED, stream_sequence);
    }

    #[inline]
    pub fn acked(&mut self, stream_sequence: u64) {
        self.extend_run(ACKED, stream_sequence);
    }

    #[inline]
    fn extend_run(&mut self, kind: u8, sequence: u64) {
        match &mut self.run {
            Some((k, first, length)) if *k == kind && *first + *length == sequence => *length += 1,
            _ => {
                self.end_run();
                self.run = Some((kind, sequence, 1));
            }
        }
    }

    fn end_run(&mut self) {
        if let Some((kind, first, length)) = self.run.take() {
            self.bytes.push(kind);
            push_number(&mut self.bytes, first);
            push_number(&mut self.bytes, length);
        }
    }

    fn push(&mut self, kind: u8, sequence: u64) {
        self.end_run();
        self.bytes.push(kind);
        push_number(&mut self.bytes, sequence);
    }

    pub fn redelivered(&mut self, stream_sequence: u64) {
        self.push(REDELIVERED, stream_sequence);
    }

    pub fn acked_up_to(&mut self, to: Sequences) {
        self.push(ACKED_UP_TO, to.stream);
        push_number(&mut self.bytes, to.consumer);
    }

    pub fn exhausted(&mut self, stream_sequence: u64) {
        self.push(EXHAUSTED, stream_sequence);
    }

    /// Deliveries start anew at `next`.
    pub fn reset(&mut self, next: u64) {
        self.push(RESET, next);
    }

    /// Messages below `next` will not be delivered.
    pub fn passed(&mut self, next: u64) {
        self.push(PASSED, next);
    }

    /// All changes, as one piece for the journal.
    pub fn bytes(&mut self) -> &[u8] {
        self.end_run();
        &self.bytes
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.run = None;
    }
}

fn push_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Takes a number off the front.
fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

fn take_bytes<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take_number(bytes)?).ok()?;
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

/// Version of the snapshot's form.
const VERSION: u8 = 1;

/// Everything that a restart needs to know of a consumer.
#[derive(Debug, Default)]
pub struct Saved {
    /// Its configuration as JSON.
    pub config: Vec<u8>,
    pub created_unix_ns: i64,
    pub state: State,
    /// Where it goes on in the log.
    pub next: u64,
    /// See [`super::position::Position::parts`].
    pub listed: VecDeque<u64>,
}

/// Why a journal does not make a consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SavedError {
    /// A version that this program does not know.
    Version(u8),
    /// The bytes are cut short or make no sense.
    Malformed,
}

impl std::fmt::Display for SavedError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Version(version) => write!(f, "unknown version {version} of consumer state"),
            Self::Malformed => f.write_str("malformed consumer state"),
        }
    }
}

impl std::error::Error for SavedError {}

/// Appends the snapshot of a consumer.
pub fn encode(
    out: &mut Vec<u8>,
    config: &[u8],
    created_unix_ns: i64,
    state: &State,
    next: u64,
    listed: &VecDeque<u64>,
) {
    out.push(VERSION);
    push_number(out, config.len() as u64);
    out.extend_from_slice(config);
    for number in [
        created_unix_ns as u64,
        next,
        state.delivered.consumer,
        state.delivered.stream,
        state.delivered_at as u64,
        state.floor.consumer,
        state.floor.stream,
        state.acked_at as u64,
        state.pending.len() as u64,
    ] {
        push_number(out, number);
    }
    let mut last = Sequences::default();
    for entry in state.pending.iter() {
        push_number(out, entry.stream_sequence - last.stream);
        push_number(out, entry.consumer_sequence - last.consumer);
        push_number(out, u64::from(entry.deliveries));
        last = Sequences {
            consumer: entry.consumer_sequence,
            stream: entry.stream_sequence,
        };
    }
    push_number(out, state.pending.exhausted().count() as u64);
    for (sequence, deliveries) in state.pending.exhausted() {
        push_number(out, sequence);
        push_number(out, u64::from(deliveries));
    }
    push_number(out, listed.len() as u64);
    for &sequence in listed {
        push_number(out, sequence);
    }
}

/// Reads a snapshot. What was pending is due at `due_at`, in nanoseconds of the monotonic clock.
///
/// # Errors
/// [`SavedError`].
pub fn decode(bytes: &[u8], due_at: u64) -> Result<Saved, SavedError> {
    match bytes.split_first() {
        Some((&VERSION, rest)) => take_saved(rest, due_at).ok_or(SavedError::Malformed),
        Some((&version, _)) => Err(SavedError::Version(version)),
        None => Err(SavedError::Malformed),
    }
}

fn take_saved(mut bytes: &[u8], due_at: u64) -> Option<Saved> {
    let b = &mut bytes;
    let mut saved = Saved {
        config: take_bytes(b)?.to_vec(),
        created_unix_ns: take_number(b)? as i64,
        next: take_number(b)?,
        ..Saved::default()
    };
    let state = &mut saved.state;
    state.delivered.consumer = take_number(b)?;
    state.delivered.stream = take_number(b)?;
    state.delivered_at = take_number(b)? as i64;
    state.floor.consumer = take_number(b)?;
    state.floor.stream = take_number(b)?;
    state.acked_at = take_number(b)? as i64;
    let mut last = Sequences::default();
    for _ in 0..take_number(b)? {
        last.stream = last.stream.checked_add(take_number(b)?)?;
        last.consumer = last.consumer.checked_add(take_number(b)?)?;
        if last.stream == 0 || last.consumer == 0 {
            return None;
        }
        let deliveries = u32::try_from(take_number(b)?).ok()?;
        state
            .pending
            .insert(last.stream, last.consumer, deliveries, due_at);
    }
    for _ in 0..take_number(b)? {
        let sequence = take_number(b)?;
        let deliveries = u32::try_from(take_number(b)?).ok()?;
        state.pending.restore_exhausted(sequence, deliveries);
    }
    for _ in 0..take_number(b)? {
        saved.listed.push_back(take_number(b)?);
    }
    bytes.is_empty().then_some(saved)
}

impl Saved {
    /// Replays a piece of [`Changes`]. `tracks` is whether deliveries await acknowledgement.
    ///
    /// # Errors
    /// [`SavedError::Malformed`].
    pub fn replay(&mut self, bytes: &[u8], tracks: bool, due_at: u64) -> Result<(), SavedError> {
        self.take_changes(bytes, tracks, due_at)
            .ok_or(SavedError::Malformed)
    }

    fn take_changes(&mut self, mut bytes: &[u8], tracks: bool, due_at: u64) -> Option<()> {
        let b = &mut bytes;
        while let Some((&kind, rest)) = b.split_first() {
            *b = rest;
            let sequence = take_number(b)?;
            match kind {
                DELIVERED => {
                    for offset in 0..take_number(b)? {
                        let sequence = sequence.checked_add(offset)?;
                        self.state.delivered(sequence, tracks.then_some(due_at));
                        if self.listed.front() == Some(&sequence) {
                            self.listed.pop_front();
                        } else {
                            self.next = self.next.max(sequence.checked_add(1)?);
                        }
                    }
                }
                ACKED => {
                    for offset in 0..take_number(b)? {
                        let sequence = sequence.checked_add(offset)?;
                        if self.state.acked(sequence).is_none() {
                            self.state.pending.forget_exhausted(sequence);
                        }
                    }
                }
                REDELIVERED => self.state.redelivered(sequence, due_at),
                ACKED_UP_TO => {
                    let to = Sequences {
                        consumer: take_number(b)?,
                        stream: sequence,
                    };
                    self.state.acked_up_to(to, |_| {});
                }
                EXHAUSTED => self.state.exhausted(sequence),
                RESET => {
                    self.state.reset(sequence);
                    self.next = sequence;
                    self.listed.clear();
                }
                PASSED => {
                    self.next = self.next.max(sequence);
                    self.state.passed(sequence);
                }
                _ => return None,
            }
        }
        Some(())
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
