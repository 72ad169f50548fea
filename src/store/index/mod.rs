//! What a log knows of its messages without reading them.
//!
//! # Memory
//! A message costs 32 bytes ([`Entry`]) and its share of a [chunk](sequences), 0.2 bytes while
//! chunks are full and at most as much again as the entry once others of its chunk are removed.
//! A subject costs 32 bytes of list, 12 of [order](order), and in the
//! [name table](crate::subject::Names) about 20 beside its text; each 256 messages of one subject
//! cost 16 more. A message that [wakes](wakes) costs 80 more.
//!
//! # Time
//! By sequence, last of a subject, next of a subject: constant. From anywhere within a subject: a
//! search among its anchors and at most 256 steps. Removal of a subject: its messages. Nothing
//! depends on the length of the log.

mod entry;
pub mod filter;
mod order;
mod sequences;
mod subjects;
#[cfg(test)]
mod tests;
mod wakes;

use std::collections::HashMap;
use std::ops::ControlFlow;

use self::entry::FAR;
pub use self::entry::{Entry, Place, TEXT_MAX};
use self::sequences::Sequences;
use self::subjects::Subjects;
use self::wakes::Wakes;
use super::message::{LogState, MessageMeta, SubjectState, WakeKind};
use crate::subject::IndexFull;

/// The index of one log.
#[derive(Debug)]
pub struct Index {
    sequences: Sequences,
    subjects: Subjects,
    wakes: Wakes,
    /// Neighbours farther than an entry can say: (sequence, forth) to the neighbour.
    far: HashMap<(u64, bool), u64>,
    bytes: u64,
    /// Of the first message, or one behind the last sequence.
    first: u64,
    last: u64,
    last_unix_ns: Option<i64>,
}

impl Index {
    /// An empty index whose hashes are seeded with `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            sequences: Sequences::default(),
            subjects: Subjects::with_seed(seed),
            wakes: Wakes::default(),
            far: HashMap::new(),
            bytes: 0,
            first: 1,
            last: 0,
            last_unix_ns: None,
        }
    }

    /// The last sequence ever given.
    pub fn last_sequence(&self) -> u64 {
        self.last
    }

    /// The first message's sequence, or one behind the last sequence.
    pub fn first_sequence(&self) -> u64 {
        self.first
    }

    /// Number of messages.
    pub fn len(&self) -> u64 {
        self.sequences.len()
    }

    /// Whether there is no message.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All subject numbers are below this.
    pub fn subject_bound(&self) -> usize {
        self.subjects.id_bound()
    }

    /// Totals.
    pub fn state(&self) -> LogState {
        let messages = self.len();
        LogState {
            messages,
            bytes: self.bytes,
            first_sequence: self.first,
            last_sequence: self.last,
            first_unix_ns: self.sequences.get(self.first).map(|entry| entry.unix_ns),
            last_unix_ns: self.last_unix_ns,
            subjects: self.subjects.len() as u64,
            deleted: if messages == 0 {
                0
            } else {
                self.last - self.first + 1 - messages
            },
        }
    }

    /// Adds a message behind all others: `sequence` is above the last one.
    ///
    /// # Errors
    /// [`IndexFull`]: too many subjects, or too much text in them.
    pub fn push(
        &mut self,
        sequence: u64,
        subject: &[u8],
        mut entry: Entry,
        wake: Option<(WakeKind, i64)>,
    ) -> Result<(), IndexFull> {
        debug_assert!(sequence > self.last);
        let id = self.subjects.find_or_insert(subject)?;
        self.push_under(sequence, id, &mut entry, wake);
        Ok(())
    }

    /// The number of a subject that is to get messages by
    /// [`push_interned`](Self::push_interned).
    ///
    /// # Errors
    /// [`IndexFull`].
    pub fn intern(&mut self, subject: &[u8]) -> Result<u32, IndexFull> {
        self.subjects.find_or_insert(subject)
    }

    /// As [`push`](Self::push), by the number of an interned subject. `None`, and nothing is
    /// added, if the sequence is not above the last one or the number is unknown.
    pub fn push_interned(&mut self, sequence: u64, subject: u32, mut entry: Entry) -> Option<()> {
        if sequence <= self.last || subject as usize >= self.subjects.id_bound() {
            return None;
        }
        self.push_under(sequence, subject, &mut entry, None);
        Some(())
    }

    /// Drops an interned subject if it has no message.
    pub fn drop_unused(&mut self, id: u32) {
        let in_use = (id as usize) < self.subjects.id_bound() && !self.subject(id).is_empty();
        if in_use && self.subjects.state(id).is_none() {
            self.subjects.remove(id);
        }
    }

    fn push_under(
        &mut self,
        sequence: u64,
        id: u32,
        entry: &mut Entry,
        wake: Option<(WakeKind, i64)>,
    ) {
        entry.subject = id;
        entry.set_wake(wake.is_some());
        let list = self.subjects.list_mut(id);
        if list.count > 0 {
            let before = list.last;
            list.push(sequence);
            entry.back = self.link(before, sequence, sequence, false);
            let forth = self.link(before, sequence, before, true);
            if let Some(before) = self.sequences.get_mut(before) {
                before.forth = forth;
            }
        } else {
            list.push(sequence);
        }
        self.sequences.insert(sequence, *entry);
        self.bytes += entry.accounted();
        if self.sequences.len() == 1 {
            self.first = sequence;
        }
        self.last = sequence;
        self.last_unix_ns = Some(entry.unix_ns);
        if let Some((kind, unix_ns)) = wake {
            self.wakes.set(sequence, kind, unix_ns);
        }
    }

    /// The distance between neighbours, for the field `forth` or `back` of the entry at `holder`.
    fn link(&mut self, before: u64, behind: u64, holder: u64, forth: bool) -> u32 {
        match u32::try_from(behind - before) {
            Ok(distance) if distance != FAR => distance,
            _ => {
                let other = if forth { behind } else { before };
                self.far.insert((holder, forth), other);
                FAR
            }
        }
    }

    fn behind(&self, sequence: u64, entry: &Entry) -> Option<u64> {
        match entry.forth {
            0 => None,
            FAR => self.far.get(&(sequence, true)).copied(),
            distance => Some(sequence + u64::from(distance)),
        }
    }

    fn before(&self, sequence: u64, entry: &Entry) -> Option<u64> {
        match entry.back {
            0 => None,
            FAR => self.far.get(&(sequence, false)).copied(),
            distance => Some(sequence - u64::from(distance)),
        }
    }

    /// Removes a message. The entry comes back, and whether it was its subject's last.
    pub fn remove(&mut self, sequence: u64) -> Option<(Entry, bool)> {
        let entry = self.sequences.remove(sequence)?;
        let (before, behind) = (self.before(sequence, &entry), self.behind(sequence, &entry));
        if entry.back == FAR {
            self.far.remove(&(sequence, false));
        }
        if entry.forth == FAR {
            self.far.remove(&(sequence, true));
        }
        let list = self.subjects.list_mut(entry.subject);
        list.remove(sequence, behind);
        if before.is_none() {
            list.first = behind.unwrap_or(0);
        }
        if behind.is_none() {
            list.last = before.unwrap_or(0);
        }
        let gone = list.count == 0;
        if gone {
            self.subjects.remove(entry.subject);
        }
        if let Some(before) = before {
            self.far.remove(&(before, true));
            let forth = match behind {
                Some(behind) => self.link(before, behind, before, true),
                None => 0,
            };
            if let Some(neighbour) = self.sequences.get_mut(before) {
                neighbour.forth = forth;
            }
        }
        if let Some(behind) = behind {
            self.far.remove(&(behind, false));
            let back = match before {
                Some(before) => self.link(before, behind, behind, false),
                None => 0,
            };
            if let Some(neighbour) = self.sequences.get_mut(behind) {
                neighbour.back = back;
            }
        }
        if entry.has_wake() {
            self.wakes.remove(sequence);
        }
        self.bytes -= entry.accounted();
        if sequence == self.first {
            self.first = self.sequences.next(sequence).unwrap_or(self.last + 1);
        }
        Some((entry, gone))
    }

    /// Makes `sequence` the last one given, if it is above it.
    pub fn skip_to(&mut self, sequence: u64) {
        if sequence > self.last {
            self.last = sequence;
            if self.is_empty() {
                self.first = sequence + 1;
            }
        }
    }

    /// Remembers the time of the last message, which may be removed already.
    pub fn set_last_unix_ns(&mut self, unix_ns: Option<i64>) {
        self.last_unix_ns = unix_ns;
    }

    /// The entry of a message.
    pub fn get(&self, sequence: u64) -> Option<&Entry> {
        self.sequences.get(sequence)
    }

    /// Moves a message's record.
    pub fn set_place(&mut self, sequence: u64, place: Place) {
        if let Some(entry) = self.sequences.get_mut(sequence) {
            entry.place = place;
        }
    }

    /// What is known of a message.
    pub fn meta(&self, sequence: u64) -> Option<MessageMeta> {
        self.get(sequence).map(meta_of)
    }

    /// The first message from `from` on.
    pub fn next(&self, from: u64) -> Option<u64> {
        self.sequences.next(from)
    }

    /// The last message up to `from`.
    pub fn previous(&self, from: u64) -> Option<u64> {
        self.sequences.previous(from)
    }

    /// Number of messages from `from` on.
    pub fn count_from(&self, from: u64) -> u64 {
        self.sequences.count_from(from)
    }

    /// The first message at or behind a time; one behind the last sequence if there is none.
    pub fn at_time(&self, unix_ns: i64) -> u64 {
        self.sequences.at_time(unix_ns).unwrap_or(self.last + 1)
    }

    /// Text of a subject; empty if the number is void.
    pub fn subject(&self, id: u32) -> &[u8] {
        self.subjects.text(id)
    }

    /// The state of a subject that has messages.
    pub fn find_subject(&self, subject: &[u8]) -> Option<SubjectState> {
        self.subjects.state(self.subjects.find(subject)?)
    }

    /// The state of a subject by number.
    pub fn subject_state(&self, id: u32) -> Option<SubjectState> {
        self.subjects.state(id)
    }

    /// Visits the subjects that `pattern` matches in the order of their bytes, from the first not
    /// below `from`.
    pub fn for_each_subject(
        &self,
        pattern: &[u8],
        from: &[u8],
        mut visit: impl FnMut(&[u8], &SubjectState) -> ControlFlow<()>,
    ) {
        self.subjects
            .for_each_match(pattern, from, |id, text| match self.subjects.state(id) {
                Some(state) => visit(text, &state),
                None => ControlFlow::Continue(()),
            });
    }

    /// The first message of a subject from `from` on.
    pub fn next_of(&self, id: u32, from: u64) -> Option<u64> {
        let list = self.subjects.list(id)?;
        if from <= list.first {
            return Some(list.first);
        }
        if from > list.last {
            return None;
        }
        let (mut at, _) = list.near(from);
        while at < from {
            at = self.behind(at, self.get(at)?)?;
        }
        Some(at)
    }

    /// The last message of a subject up to `up_to`.
    pub fn previous_of(&self, id: u32, up_to: u64) -> Option<u64> {
        let list = self.subjects.list(id)?;
        if up_to >= list.last {
            return Some(list.last);
        }
        if up_to < list.first {
            return None;
        }
        let (mut at, _) = list.near(up_to);
        while let Some(behind) = self.behind(at, self.get(at)?) {
            if behind > up_to {
                break;
            }
            at = behind;
        }
        Some(at)
    }

    /// The message behind this one on the same subject.
    pub fn next_on_subject(&self, sequence: u64) -> Option<u64> {
        self.behind(sequence, self.get(sequence)?)
    }

    /// Number of messages of a subject from `from` on.
    pub fn count_of(&self, id: u32, from: u64) -> u64 {
        let Some(list) = self.subjects.list(id) else {
            return 0;
        };
        if from <= list.first {
            return list.count;
        }
        if from > list.last {
            return 0;
        }
        let (start, mut count) = list.near(from);
        let end = list.near_end(from);
        let mut at = Some(start);
        while let Some(sequence) = at.filter(|&sequence| sequence <= end) {
            if sequence >= from {
                count += 1;
            }
            at = self.next_on_subject(sequence);
        }
        count
    }

    /// Sets or clears when a message is due.
    pub fn set_wake(&mut self, sequence: u64, wake: Option<(WakeKind, i64)>) {
        let Some(entry) = self.sequences.get_mut(sequence) else {
            return;
        };
        entry.set_wake(wake.is_some());
        match wake {
            Some((kind, unix_ns)) => self.wakes.set(sequence, kind, unix_ns),
            None => {
                self.wakes.remove(sequence);
            }
        }
    }

    /// When and why a message is due.
    pub fn wake(&self, sequence: u64) -> Option<(WakeKind, i64)> {
        self.wakes.get(sequence)
    }

    /// The first wake among messages from `from` on.
    pub fn wake_from(&self, from: u64) -> Option<(u64, WakeKind, i64)> {
        self.wakes.from(from)
    }

    /// The earliest time that a message is due.
    pub fn next_wake(&self) -> Option<i64> {
        self.wakes.next().map(|(unix_ns, _)| unix_ns)
    }

    /// Takes the wake of a message that is due.
    pub fn due(&mut self, unix_ns: i64) -> Option<(u64, WakeKind)> {
        let (at, sequence) = self.wakes.next()?;
        if at > unix_ns {
            return None;
        }
        let (kind, _) = self.wakes.remove(sequence)?;
        if let Some(entry) = self.sequences.get_mut(sequence) {
            entry.set_wake(false);
        }
        Some((sequence, kind))
    }

    /// Bytes allocated.
    pub fn memory_bytes(&self) -> usize {
        self.sequences.memory_bytes() + self.subjects.memory_bytes() + self.wakes.memory_bytes()
    }
}

pub(super) fn meta_of(entry: &Entry) -> MessageMeta {
    MessageMeta {
        subject: entry.subject,
        size: entry.accounted(),
        unix_ns: entry.unix_ns,
        has_wake: entry.has_wake(),
    }
}
