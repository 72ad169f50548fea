//! A stream's log: messages by sequence, on disk or in memory.

use std::ops::ControlFlow;

use super::cache::BlockCache;
use super::disk::{Completed, Disk};
use super::index::filter::{Filter, FilterCursor};
use super::index::{Entry, Index, Place, TEXT_MAX};
use super::memory::Memory;
use super::message::{
    AppendError, Damage, Fetch, LogFailure, LogState, MessageMeta, NewMessage, Removal, Removed,
    Replay, SubjectState, WakeKind,
};

/// Bytes that may wait for the disk before [`AppendError::Busy`].
pub const PENDING_MAX: usize = 256 * 1024 * 1024;

/// Where messages are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageKind {
    File,
    Memory,
}

/// When a message counts as [durable](Log::durable).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncPolicy {
    /// Written and flushed: it survives a loss of power.
    Always,
    /// Written; flushes are asked for from outside, with [`Log::sync`].
    Interval,
    /// At once; written soon after.
    Async,
}

/// How record bytes are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    None,
    /// Accepted; records are stored plain for now.
    S2,
}

/// What a log is made of.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// Directory of the log below the store directory. Unused by memory logs.
    pub directory: String,
    pub storage: StorageKind,
    pub sync: SyncPolicy,
    pub compression: Compression,
    /// A random number that stays with the log: what was written under another is not read.
    pub identity: u64,
    /// Seed of hash tables, which clients cannot know.
    pub seed: u64,
    /// The first sequence a new log gives; 0 counts as 1.
    pub first_sequence: u64,
    /// Size of a segment file, in bytes; [`SEGMENT_BYTES`](super::SEGMENT_BYTES) by default.
    pub segment_bytes: u32,
    /// Where what was read is kept; shared by all logs of a core.
    pub cache: BlockCache,
}

/// A point in the order of a log's changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(pub(super) u64);

/// A stream's log.
#[derive(Debug)]
pub struct Log {
    index: Index,
    body: Body,
}

#[derive(Debug)]
enum Body {
    Memory(Memory),
}

impl Log {
    /// Makes a new log. It takes messages at once; none is durable before
    /// [`is_ready`](Self::is_ready).
    pub fn create(owner: u32, config: LogConfig, disk: &mut dyn Disk) -> Self {
        let _ = (owner, disk);
        let mut index = Index::new(config.seed);
        index.skip_to(config.first_sequence.saturating_sub(1));
        Self {
            index,
            body: Body::Memory(Memory::default()),
        }
    }

    /// Opens a log that was made before. Until it [is ready](Self::is_ready) it refuses messages
    /// and has none. A memory log comes back empty.
    pub fn open(owner: u32, config: LogConfig, disk: &mut dyn Disk) -> Self {
        Self::create(owner, config, disk)
    }

    /// Takes the completion of an operation of this owner.
    pub fn completed(&mut self, done: Completed, disk: &mut dyn Disk, replay: &mut dyn Replay) {
        let _ = (done, disk, replay);
    }

    /// Whether recovery is over, or a new log's directory is durable.
    pub fn is_ready(&self) -> bool {
        true
    }

    /// Why the log refuses messages for good. What is stored stays readable.
    pub fn failure(&self) -> Option<&LogFailure> {
        None
    }

    /// What was found damaged since the log was opened.
    pub fn damage(&self) -> &[Damage] {
        &[]
    }

    /// Adds a message and returns its sequence. It is not durable yet.
    ///
    /// # Errors
    /// [`AppendError`]; the log is then as it was.
    pub fn append(&mut self, message: &NewMessage<'_>) -> Result<u64, AppendError> {
        let last = self.index.last_sequence();
        let sequence = message.sequence.unwrap_or(last + 1);
        if sequence <= last {
            return Err(AppendError::Sequence);
        }
        let text = message.subject.len() + message.header.len() + message.payload.len();
        if text > TEXT_MAX {
            return Err(AppendError::TooLarge);
        }
        let has_header = !message.header.is_empty();
        let Body::Memory(memory) = &mut self.body;
        let mut entry = Entry::new(
            message.unix_ns,
            Place::default(),
            text,
            has_header,
            message.wake.is_some(),
        );
        entry.place = memory.append(sequence, message);
        let place = entry.place;
        if self
            .index
            .push(sequence, message.subject, entry, message.wake)
            .is_err()
        {
            memory.remove(place, false, &mut self.index);
            return Err(AppendError::TooLarge);
        }
        Ok(sequence)
    }

    /// Hands what accumulated to the disk, at the end of a turn. One write is under way at a
    /// time; the next one takes all that came meanwhile. Calls without work cost nothing.
    pub fn flush(&mut self, disk: &mut dyn Disk) {
        let _ = disk;
    }

    /// Flushes what was written ([`SyncPolicy::Interval`]), if anything was.
    pub fn sync(&mut self, disk: &mut dyn Disk) {
        let _ = disk;
    }

    /// Whether something was written and not flushed, so that [`sync`](Self::sync) has work.
    pub fn wants_sync(&self) -> bool {
        false
    }

    /// The last sequence that is as durable as the policy promises, with all before it.
    pub fn durable(&self) -> u64 {
        self.index.last_sequence()
    }

    /// A mark behind all changes so far, removals included.
    pub fn mark(&self) -> Mark {
        Mark(0)
    }

    /// Whether all changes before the mark are as durable as the policy promises.
    pub fn reached(&self, mark: Mark) -> bool {
        mark <= Mark(0)
    }

    /// Reads a message.
    pub fn get(&mut self, sequence: u64, disk: &mut dyn Disk) -> Fetch<'_> {
        let _ = disk;
        let Body::Memory(memory) = &self.body;
        match memory.get(&self.index, sequence) {
            Some(stored) => Fetch::Message(stored),
            None => Fetch::Missing,
        }
    }

    /// What is known of a message without reading it.
    pub fn meta(&self, sequence: u64) -> Option<MessageMeta> {
        self.index.meta(sequence)
    }

    /// Removes a message. `None` if there is none. The removal is durable when a
    /// [mark](Self::mark) taken behind it is reached.
    pub fn remove(&mut self, sequence: u64, how: Removal) -> Option<Removed> {
        let (entry, subject_gone) = self.index.remove(sequence)?;
        let Body::Memory(memory) = &mut self.body;
        memory.remove(entry.place, how == Removal::Erase, &mut self.index);
        Some(Removed {
            meta: super::index::meta_of(&entry),
            subject_gone,
        })
    }

    /// Removes up to `budget` messages below `first`, from the front. Returns how many; fewer
    /// than the budget means that all are gone.
    pub fn truncate_front(&mut self, first: u64, budget: u64) -> u64 {
        let mut removed = 0;
        while removed < budget
            && self.index.first_sequence() < first
            && self
                .remove(self.index.first_sequence(), Removal::Keep)
                .is_some()
        {
            removed += 1;
        }
        removed
    }

    /// Totals.
    pub fn state(&self) -> LogState {
        self.index.state()
    }

    /// The last sequence given.
    pub fn last_sequence(&self) -> u64 {
        self.index.last_sequence()
    }

    /// The first message's sequence, or one behind the last sequence.
    pub fn first_sequence(&self) -> u64 {
        self.index.first_sequence()
    }

    /// Makes the next sequence the one behind `sequence`, if that is above the last one.
    pub fn skip_to(&mut self, sequence: u64) {
        self.index.skip_to(sequence);
    }

    /// Text of a subject by number; empty if the number is void.
    pub fn subject(&self, id: u32) -> &[u8] {
        self.index.subject(id)
    }

    /// The state of a subject that has messages.
    pub fn find_subject(&self, subject: &[u8]) -> Option<SubjectState> {
        self.index.find_subject(subject)
    }

    /// Visits the subjects that a pattern matches, in the order of their bytes.
    pub fn for_each_subject(&self, pattern: &[u8], mut visit: impl FnMut(&[u8], &SubjectState)) {
        self.index.for_each_subject(pattern, b"", |text, state| {
            visit(text, state);
            ControlFlow::Continue(())
        });
    }

    /// The same from the first subject not below `from`, until `visit` breaks off.
    pub fn for_each_subject_from(
        &self,
        pattern: &[u8],
        from: &[u8],
        visit: impl FnMut(&[u8], &SubjectState) -> ControlFlow<()>,
    ) {
        self.index.for_each_subject(pattern, from, visit);
    }

    /// The first message from `from` on.
    pub fn next(&self, from: u64) -> Option<u64> {
        self.index.next(from)
    }

    /// The last message up to `from`.
    pub fn previous(&self, from: u64) -> Option<u64> {
        self.index.previous(from)
    }

    /// The first message from `from` on that passes the cursor's filter.
    pub fn next_matching(&self, cursor: &mut FilterCursor, from: u64) -> Option<u64> {
        self.index.next_matching(cursor, from)
    }

    /// Number of messages from `from` on that pass.
    pub fn count_matching(&self, filter: &Filter, from: u64) -> u64 {
        self.index.count_matching(filter, from)
    }

    /// The last message up to `up_to` that passes.
    pub fn last_matching(&self, filter: &Filter, up_to: u64) -> Option<u64> {
        self.index.last_matching(filter, up_to)
    }

    /// The last message up to `up_to` of each subject that passes, ascending.
    pub fn last_per_subject(&self, filter: &Filter, up_to: u64) -> Vec<u64> {
        self.index.last_per_subject(filter, up_to)
    }

    /// The message behind this one on the same subject.
    pub fn next_on_subject(&self, sequence: u64) -> Option<u64> {
        self.index.next_on_subject(sequence)
    }

    /// The first message of a subject (by number) from `from` on.
    pub fn next_of(&self, subject: u32, from: u64) -> Option<u64> {
        self.index.next_of(subject, from)
    }

    /// The last message of a subject (by number) up to `up_to`.
    pub fn previous_of(&self, subject: u32, up_to: u64) -> Option<u64> {
        self.index.previous_of(subject, up_to)
    }

    /// The first message at or behind a time; one behind the last sequence if there is none.
    pub fn sequence_at_time(&self, unix_ns: i64) -> u64 {
        self.index.at_time(unix_ns)
    }

    /// Ranges (first, last) of sequences without a message, between the first and the last
    /// sequence, ascending.
    pub fn deleted(&self) -> Deleted<'_> {
        Deleted {
            index: &self.index,
            at: self.index.first_sequence(),
        }
    }

    /// The earliest time, in nanoseconds since 1970, that a message is due.
    pub fn next_wake(&self) -> Option<i64> {
        self.index.next_wake()
    }

    /// Takes the wake of a message that is due. If the message is neither removed nor its wake
    /// set anew, the wake comes back when the log is opened again.
    pub fn due(&mut self, unix_ns: i64) -> Option<(u64, WakeKind)> {
        self.index.due(unix_ns)
    }

    /// Sets or clears when a message is due, in memory only.
    pub fn set_wake(&mut self, sequence: u64, wake: Option<(WakeKind, i64)>) {
        self.index.set_wake(sequence, wake);
    }

    /// When and why a message is due.
    pub fn wake(&self, sequence: u64) -> Option<(WakeKind, i64)> {
        self.index.wake(sequence)
    }

    /// Starts a checkpoint: the index and a blob of the stream's own state, as of now. It is
    /// written in steps by [`flush`](Self::flush). One at a time; a call meanwhile is ignored.
    pub fn checkpoint(&mut self, blob: &[u8], disk: &mut dyn Disk) {
        let _ = (blob, disk);
    }

    /// Whether enough was written behind the last checkpoint that a new one is worth it.
    pub fn wants_checkpoint(&self) -> bool {
        false
    }

    /// Whether nothing is under way: no write, no checkpoint, no compaction. With a checkpoint
    /// behind the last change the next start replays nothing.
    pub fn is_idle(&self) -> bool {
        true
    }

    /// Bytes of memory held: index, buffers, for memory logs the messages.
    pub fn memory_bytes(&self) -> usize {
        let Body::Memory(memory) = &self.body;
        self.index.memory_bytes() + memory.memory_bytes()
    }

    /// Bytes of files.
    pub fn disk_bytes(&self) -> u64 {
        0
    }

    /// Closes the files of a log that is not used any more. It takes completions until it is
    /// [idle](Self::is_idle).
    pub fn close(&mut self, disk: &mut dyn Disk) {
        let _ = disk;
    }

    /// Removes a log with all its files.
    pub fn destroy(&mut self, disk: &mut dyn Disk) {
        let _ = disk;
    }
}

/// Iterator of [`Log::deleted`].
#[derive(Debug)]
pub struct Deleted<'a> {
    index: &'a Index,
    at: u64,
}

impl Iterator for Deleted<'_> {
    type Item = (u64, u64);

    fn next(&mut self) -> Option<(u64, u64)> {
        let last = self.index.last_sequence();
        while self.at <= last && self.index.get(self.at).is_some() {
            self.at += 1;
        }
        if self.at > last || self.index.is_empty() {
            return None;
        }
        let start = self.at;
        self.at = self.index.next(start).unwrap_or(last + 1);
        Some((start, self.at - 1))
    }
}
