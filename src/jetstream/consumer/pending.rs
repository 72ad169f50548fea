//! Messages that were delivered and are not acknowledged, and when they are due again.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub stream_sequence: u64,
    /// Of its first delivery.
    pub consumer_sequence: u64,
    /// When it is due again, in nanoseconds of the monotonic clock; [`QUEUED`] if it already
    /// waits to be delivered again, [`GONE`] if it is no longer pending.
    due_at: u64,
    /// Deliveries so far.
    pub deliveries: u32,
}

/// It waits in the redelivery queue.
const QUEUED: u64 = u64::MAX - 1;
/// It left; its place is reclaimed later.
const GONE: u64 = u64::MAX;

impl Entry {
    fn is_gone(&self) -> bool {
        self.due_at == GONE
    }

    /// When it is due again, in nanoseconds of the monotonic clock; `None` if it waits to be
    /// delivered again.
    pub fn due_at(&self) -> Option<u64> {
        (self.due_at < QUEUED).then_some(self.due_at)
    }
}

/// Places of gone entries, or void deadlines, that are kept beside as many that count.
const SLACK: usize = 64;

/// The pending messages of one consumer, by stream sequence. New ones come with ascending
/// sequences, and acknowledgements come mostly in that order, too: then everything is O(1).
#[derive(Debug, Default)]
pub struct Pending {
    /// Ascending by both sequences; the first one counts.
    entries: VecDeque<Entry>,
    live: usize,
    /// Live entries that were delivered more than once.
    redelivered: usize,
    /// Deadlines that came in ascending order, most of them.
    in_order: VecDeque<(u64, u64)>,
    /// The others: of delayed messages.
    out_of_order: BinaryHeap<Reverse<(u64, u64)>>,
    /// Sequences to deliver again; those that are no longer queued are void.
    queue: VecDeque<u64>,
    queued: usize,
    /// Messages that used up their deliveries and were never acknowledged, with their number.
    exhausted: BTreeMap<u64, u32>,
    /// Those of them that were delivered more than once.
    exhausted_again: usize,
}

impl Pending {
    pub fn len(&self) -> usize {
        self.live
    }

    /// Messages that were delivered more than once and not acknowledged.
    pub fn redelivered(&self) -> usize {
        self.redelivered + self.exhausted_again
    }

    /// Messages that wait to be delivered again.
    pub fn queued(&self) -> usize {
        self.queued
    }

    /// The oldest message.
    pub fn first(&self) -> Option<&Entry> {
        self.entries.front()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| !entry.is_gone())
    }

    pub fn is_exhausted(&self, stream_sequence: u64) -> bool {
        self.exhausted.contains_key(&stream_sequence)
    }

    pub fn exhausted(&self) -> impl Iterator<Item = (u64, u32)> + '_ {
        self.exhausted.iter().map(|(&seq, &count)| (seq, count))
    }

    pub fn get(&self, stream_sequence: u64) -> Option<&Entry> {
        self.find(stream_sequence).map(|at| &self.entries[at])
    }

    #[inline]
    fn find(&self, stream_sequence: u64) -> Option<usize> {
        let first = self.entries.front()?;
        let distance = stream_sequence.checked_sub(first.stream_sequence)?;
        // Without gaps in the sequences the place is known.
        let guess = usize::try_from(distance).ok()?;
        let at = match self.entries.get(guess) {
            Some(entry) if entry.stream_sequence == stream_sequence => guess,
            _ => self
                .entries
                .binary_search_by_key(&stream_sequence, |entry| entry.stream_sequence)
                .ok()?,
        };
        (!self.entries[at].is_gone()).then_some(at)
    }

    /// Adds a message that is delivered for the first time (or, after a restart, again).
    #[inline]
    pub fn insert(
        &mut self,
        stream_sequence: u64,
        consumer_sequence: u64,
        deliveries: u32,
        due_at: u64,
    ) {
        let entry = Entry {
            stream_sequence,
            consumer_sequence,
            due_at: due_at.min(QUEUED - 1),
            deliveries,
        };
        let in_order = self
            .entries
            .back()
            .is_none_or(|last| last.stream_sequence < stream_sequence);
        if in_order {
            self.entries.push_back(entry);
        } else {
            match self
                .entries
                .binary_search_by_key(&stream_sequence, |entry| entry.stream_sequence)
            {
                Ok(at) => {
                    self.forget(at);
                    self.entries[at] = entry;
                }
                Err(at) => self.entries.insert(at, entry),
            }
        }
        self.live += 1;
        self.redelivered += usize::from(deliveries > 1);
        self.schedule(entry.due_at, stream_sequence);
    }

    /// Stops counting the entry at `at`.
    fn forget(&mut self, at: usize) {
        let entry = self.entries[at];
        if entry.is_gone() {
            return;
        }
        self.live -= 1;
        self.redelivered -= usize::from(entry.deliveries > 1);
        self.queued -= usize::from(entry.due_at == QUEUED);
        self.entries[at].due_at = GONE;
    }

    /// Takes a message out: it was acknowledged, or is given up.
    #[inline]
    pub fn remove(&mut self, stream_sequence: u64) -> Option<Entry> {
        let at = self.find(stream_sequence)?;
        let entry = self.entries[at];
        self.forget(at);
        self.reclaim();
        Some(entry)
    }

    #[inline]
    fn reclaim(&mut self) {
        while self.entries.front().is_some_and(Entry::is_gone) {
            self.entries.pop_front();
        }
        if self.entries.len() > 2 * self.live + SLACK {
            self.entries.retain(|entry| !entry.is_gone());
        }
        if self.in_order.len() > 2 * self.live + SLACK {
            self.sweep_deadlines();
        }
        if self.queued == 0 {
            self.queue.clear();
        }
    }

    fn sweep_deadlines(&mut self) {
        let mut deadlines = std::mem::take(&mut self.in_order);
        deadlines.retain(|&(due_at, seq)| self.is_due_at(seq, due_at));
        self.in_order = deadlines;
    }

    fn is_due_at(&self, stream_sequence: u64, due_at: u64) -> bool {
        self.get(stream_sequence)
            .is_some_and(|entry| entry.due_at == due_at)
    }

    #[inline]
    fn schedule(&mut self, due_at: u64, stream_sequence: u64) {
        if self.in_order.back().is_none_or(|&(last, _)| last <= due_at) {
            self.in_order.push_back((due_at, stream_sequence));
        } else {
            self.out_of_order.push(Reverse((due_at, stream_sequence)));
        }
    }

    /// Gives a pending message a new deadline. It leaves the redelivery queue.
    pub fn postpone(&mut self, stream_sequence: u64, due_at: u64) -> bool {
        let Some(at) = self.find(stream_sequence) else {
            return false;
        };
        let due_at = due_at.min(QUEUED - 1);
        let was_queued = self.entries[at].due_at == QUEUED;
        self.entries[at].due_at = due_at;
        if was_queued {
            self.queued -= 1;
            if self.queue.front() == Some(&stream_sequence) {
                self.queue.pop_front();
            } else {
                self.queue.retain(|&queued| queued != stream_sequence);
            }
        }
        self.schedule(due_at, stream_sequence);
        true
    }

    /// Counts one more delivery of a pending message.
    pub fn delivered_again(&mut self, stream_sequence: u64) -> Option<u32> {
        let at = self.find(stream_sequence)?;
        let entry = &mut self.entries[at];
        entry.deliveries = entry.deliveries.saturating_add(1);
        self.redelivered += usize::from(entry.deliveries == 2);
        Some(entry.deliveries)
    }

    /// Puts a pending message at the end of the redelivery queue, unless it is in it.
    pub fn enqueue(&mut self, stream_sequence: u64) -> bool {
        let Some(at) = self.find(stream_sequence) else {
            return false;
        };
        if self.entries[at].due_at == QUEUED {
            return false;
        }
        self.entries[at].due_at = QUEUED;
        self.queued += 1;
        self.queue.push_back(stream_sequence);
        true
    }

    /// The message to deliver again next; it stays in the queue.
    pub fn next_queued(&mut self) -> Option<Entry> {
        if self.queued == 0 {
            return None;
        }
        while let Some(&seq) = self.queue.front() {
            match self.get(seq) {
                Some(entry) if entry.due_at == QUEUED => return Some(*entry),
                _ => self.queue.pop_front(),
            };
        }
        None
    }

    /// Moves everything that is due at `now` to the redelivery queue, by sequence; tells how
    /// many that were.
    pub fn expire(&mut self, now: u64) -> usize {
        let mut due = Vec::new();
        while let Some(&(due_at, seq)) = self.in_order.front() {
            let counts = self.is_due_at(seq, due_at);
            if counts && due_at > now {
                break;
            }
            if counts {
                due.push(seq);
            }
            self.in_order.pop_front();
        }
        while let Some(&Reverse((due_at, seq))) = self.out_of_order.peek() {
            let counts = self.is_due_at(seq, due_at);
            if counts && due_at > now {
                break;
            }
            if counts {
                due.push(seq);
            }
            self.out_of_order.pop();
        }
        due.sort_unstable();
        due.iter().filter(|&&seq| self.enqueue(seq)).count()
    }

    /// When [`Pending::expire`] has something to do. Deadlines of messages that left are
    /// dropped on the way.
    pub fn next_due(&mut self) -> Option<u64> {
        while let Some(&(due_at, seq)) = self.in_order.front() {
            if self.is_due_at(seq, due_at) {
                break;
            }
            self.in_order.pop_front();
        }
        while let Some(&Reverse((due_at, seq))) = self.out_of_order.peek() {
            if self.is_due_at(seq, due_at) {
                break;
            }
            self.out_of_order.pop();
        }
        let first = self.in_order.front().map(|&(due_at, _)| due_at);
        let other = self.out_of_order.peek().map(|&Reverse((due_at, _))| due_at);
        [first, other].into_iter().flatten().min()
    }

    /// A bound on the next deadline that costs nothing: never later than the real one.
    #[inline]
    pub fn earliest(&self) -> u64 {
        let first = self
            .in_order
            .front()
            .map_or(u64::MAX, |&(due_at, _)| due_at);
        let other = self
            .out_of_order
            .peek()
            .map_or(u64::MAX, |&Reverse((due_at, _))| due_at);
        first.min(other)
    }

    /// Takes a pending message out that used up its deliveries; it still counts as redelivered.
    pub fn exhaust(&mut self, stream_sequence: u64) {
        if let Some(entry) = self.remove(stream_sequence) {
            self.restore_exhausted(stream_sequence, entry.deliveries);
        }
    }

    /// As [`Pending::exhaust`], for a message that was exhausted before a restart.
    pub fn restore_exhausted(&mut self, stream_sequence: u64, deliveries: u32) {
        let known = self.exhausted.insert(stream_sequence, deliveries);
        self.exhausted_again -= usize::from(known.is_some_and(|count| count > 1));
        self.exhausted_again += usize::from(deliveries > 1);
    }

    /// Forgets an exhausted message, if it is one: it was acknowledged after all, or is gone.
    #[inline]
    pub fn forget_exhausted(&mut self, stream_sequence: u64) -> bool {
        if self.exhausted.is_empty() {
            return false;
        }
        let known = self.exhausted.remove(&stream_sequence);
        self.exhausted_again -= usize::from(known.is_some_and(|count| count > 1));
        known.is_some()
    }

    /// Takes out everything up to `stream_sequence`, and tells each to `left`.
    pub fn remove_up_to(&mut self, stream_sequence: u64, mut left: impl FnMut(&Entry)) {
        while let Some(entry) = self.entries.front() {
            if entry.stream_sequence > stream_sequence {
                break;
            }
            let entry = *entry;
            if !entry.is_gone() {
                self.forget(0);
                left(&entry);
            }
            self.entries.pop_front();
        }
        while let Some((&sequence, _)) = self.exhausted.first_key_value() {
            if sequence > stream_sequence {
                break;
            }
            self.forget_exhausted(sequence);
        }
        self.reclaim();
    }
}

#[cfg(test)]
#[path = "pending_tests.rs"]
mod tests;
