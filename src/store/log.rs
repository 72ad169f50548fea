//! A stream's log: messages by sequence, on disk or in memory.

use std::ops::ControlFlow;

use super::cache::BlockCache;
use super::disk::{Completed, Disk};
use super::file::FileLog;
use super::index::filter::{Filter, FilterCursor};
use super::index::{Entry, Index, TEXT_MAX};
use super::memory::Memory;
use super::message::{
    AppendError, Damage, Fetch, LogFailure, LogState, MessageMeta, NewMessage, Removal, Removed,
    Replay, SubjectState, WakeKind, accounted, accounted_in_memory,
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
    File(Box<FileLog>),
}

impl Log {
    /// Makes a new log. It takes messages at once; none is durable before
    /// [`is_ready`](Self::is_ready).
    pub fn create(owner: u32, config: LogConfig, disk: &mut dyn Disk) -> Self {
        let mut index = Index::new(config.seed);
        index.skip_to(config.first_sequence.saturating_sub(1));
        let body = match config.storage {
            StorageKind::Memory => Body::Memory(Memory::default()),
            StorageKind::File => Body::File(Box::new(FileLog::create(owner, config, &index, disk))),
        };
        Self { index, body }
    }

    /// Opens a log that was made before. Until it [is ready](Self::is_ready) it refuses messages
    /// and what it says about those it has is not complete. A memory log comes back empty.
    pub fn open(owner: u32, config: LogConfig, disk: &mut dyn Disk) -> Self {
        if config.storage == StorageKind::Memory {
            return Self::create(owner, config, disk);
        }
        Self {
            index: Index::new(config.seed),
            body: Body::File(Box::new(FileLog::open(owner, config, disk))),
        }
    }

    /// Takes the completion of an operation of this owner. While the log is being opened, `replay`
    /// gets the blob of the checkpoint and the messages behind it.
    pub fn completed(&mut self, done: Completed, disk: &mut dyn Disk, replay: &mut dyn Replay) {
        if let Body::File(file) = &mut self.body {
            file.completed(done, &mut self.index, disk, replay);
        }
    }

    /// Whether recovery is over, or a new log's directory is durable.
    pub fn is_ready(&self) -> bool {
        match &self.body {
            Body::Memory(_) => true,
            Body::File(file) => file.is_ready(),
        }
    }

    /// Why the log refuses messages for good. What is stored stays readable.
    pub fn failure(&self) -> Option<&LogFailure> {
        match &self.body {
            Body::Memory(_) => None,
            Body::File(file) => file.failure(),
        }
    }

    /// What was found damaged since the log was opened.
    pub fn damage(&self) -> &[Damage] {
        match &self.body {
            Body::Memory(_) => &[],
            Body::File(file) => file.damage(),
        }
    }

    /// Bytes that nats-server counts for a message in a log of this storage. Its limits and what
    /// it tells of a stream are in these bytes.
    pub fn accounted(&self, subject: usize, header: usize, payload: usize) -> u64 {
        match &self.body {
            Body::Memory(_) => accounted_in_memory(subject, header, payload),
            Body::File(_) => accounted(subject, header, payload),
        }
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
        let memory = match &mut self.body {
            Body::Memory(memory) => memory,
            Body::File(file) => {
                file.append(sequence, message, &mut self.index)?;
                return Ok(sequence);
            }
        };
        let place = memory.append(sequence, message);
        let has_header = !message.header.is_empty();
        let has_wake = message.wake.is_some();
        let entry = Entry::new(message.unix_ns, place, text, has_header, has_wake).in_memory();
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
    /// time; the next one takes all that came meanwhile. What is appended between two calls is
    /// written in one piece: after a crash all of it is there or none. Calls without work cost
    /// nothing.
    pub fn flush(&mut self, disk: &mut dyn Disk) {
        if let Body::File(file) = &mut self.body {
            file.flush(&mut self.index, disk);
        }
    }

    /// Flushes what was written ([`SyncPolicy::Interval`], [`SyncPolicy::Async`]), if anything was.
    pub fn sync(&mut self, disk: &mut dyn Disk) {
        if let Body::File(file) = &mut self.body {
            file.sync(disk);
        }
    }

    /// Whether something was written and not flushed, so that [`sync`](Self::sync) has work.
    pub fn wants_sync(&self) -> bool {
        match &self.body {
            Body::Memory(_) => false,
            Body::File(file) => file.wants_sync(),
        }
    }

    /// The last sequence that is as durable as the policy promises, with all before it.
    pub fn durable(&self) -> u64 {
        match &self.body {
            Body::Memory(_) => self.index.last_sequence(),
            Body::File(file) => file.durable(&self.index),
        }
    }

    /// A mark behind all changes so far, removals included.
    pub fn mark(&self) -> Mark {
        match &self.body {
            Body::Memory(_) => Mark(0),
            Body::File(file) => file.mark(),
        }
    }

    /// Whether all changes before the mark are as durable as the policy promises.
    pub fn reached(&self, mark: Mark) -> bool {
        match &self.body {
            Body::Memory(_) => true,
            Body::File(file) => file.reached(mark),
        }
    }

    /// Reads a message.
    pub fn get(&mut self, sequence: u64, disk: &mut dyn Disk) -> Fetch<'_> {
        match &mut self.body {
            Body::Memory(memory) => match memory.get(&self.index, sequence) {
                Some(stored) => Fetch::Message(stored),
                None => Fetch::Missing,
            },
            Body::File(file) => file.get(sequence, &self.index, disk),
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
        match &mut self.body {
            Body::Memory(memory) => {
                memory.remove(entry.place, how == Removal::Erase, &mut self.index);
            }
            Body::File(file) => {
                file.note_removed(sequence, &entry, &self.index);
                if how == Removal::Erase {
                    file.note_erase(&entry);
                }
            }
        }
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
        if sequence <= self.index.last_sequence() {
            return;
        }
        self.index.skip_to(sequence);
        if let Body::File(file) = &mut self.body {
            file.note_skip();
        }
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
        if let Body::File(file) = &mut self.body {
            file.start_checkpoint(blob, &mut self.index, disk);
        }
    }

    /// Whether enough was written behind the last checkpoint that a new one is worth it.
    pub fn wants_checkpoint(&self) -> bool {
        match &self.body {
            Body::Memory(_) => false,
            Body::File(file) => file.wants_checkpoint(),
        }
    }

    /// Whether nothing is under way or waits: no write, no checkpoint, no compaction. With a
    /// checkpoint behind the last change the next start replays nothing.
    pub fn is_idle(&self) -> bool {
        match &self.body {
            Body::Memory(_) => true,
            Body::File(file) => file.is_idle(),
        }
    }

    /// Bytes of memory held: index, buffers, for memory logs the messages. Windows in the cache
    /// are counted [there](BlockCache::memory_bytes).
    pub fn memory_bytes(&self) -> usize {
        let body = match &self.body {
            Body::Memory(memory) => memory.memory_bytes(),
            Body::File(file) => file.memory_bytes(),
        };
        self.index.memory_bytes() + body
    }

    /// Bytes of files.
    pub fn disk_bytes(&self) -> u64 {
        match &self.body {
            Body::Memory(_) => 0,
            Body::File(file) => file.disk_bytes(),
        }
    }

    /// Closes the files of a log that is not used any more. It takes completions until it is
    /// [idle](Self::is_idle).
    pub fn close(&mut self, disk: &mut dyn Disk) {
        if let Body::File(file) = &mut self.body {
            file.close(disk);
        }
    }

    /// Removes a log with all its files.
    pub fn destroy(&mut self, disk: &mut dyn Disk) {
        if let Body::File(file) = &mut self.body {
            file.destroy(disk);
        }
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
