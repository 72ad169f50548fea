//! Which messages a consumer wants: a filter, and a cursor that finds the next one.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::ControlFlow;

use super::Index;
use crate::subject::{TAIL, is_literal, matches};

/// Messages looked at one after the other before a cursor gathers the subjects that match.
const SCAN: u64 = 4096;

/// Subject patterns; a message passes if any matches. No pattern is all messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    patterns: Vec<Box<[u8]>>,
}

impl Filter {
    /// A filter of some patterns.
    pub fn new<P: AsRef<[u8]>>(patterns: &[P]) -> Self {
        if patterns.iter().any(|pattern| pattern.as_ref() == TAIL) {
            return Self::default();
        }
        Self {
            patterns: patterns.iter().map(|p| p.as_ref().into()).collect(),
        }
    }

    /// Whether every message passes.
    pub fn is_all(&self) -> bool {
        self.patterns.is_empty()
    }

    /// The one literal subject that passes, if it is a filter of one.
    pub fn literal(&self) -> Option<&[u8]> {
        match self.patterns.as_slice() {
            [one] if is_literal(one) => Some(one),
            _ => None,
        }
    }

    /// Whether messages of a subject pass.
    pub fn matches(&self, subject: &[u8]) -> bool {
        self.is_all() || self.patterns.iter().any(|p| matches(p, subject))
    }

    /// Visits each subject that passes once: by pattern, and in the order of their bytes.
    fn for_each_subject(&self, index: &Index, mut visit: impl FnMut(u32)) {
        if self.is_all() {
            index.for_each_subject(TAIL, b"", |_, state| {
                visit(state.id);
                ControlFlow::Continue(())
            });
        }
        for (at, pattern) in self.patterns.iter().enumerate() {
            index.for_each_subject(pattern, b"", |text, state| {
                if !self.patterns[..at].iter().any(|p| matches(p, text)) {
                    visit(state.id);
                }
                ControlFlow::Continue(())
            });
        }
    }
}

/// A filter and what is known of where it matches.
///
/// The position may go anywhere; forward is cheap. Where matches are dense, messages are looked at
/// one after the other. Where [`SCAN`] of them in a row do not match, the subjects that do are
/// gathered, once, and their lists merged; later messages are looked at as they come.
#[derive(Clone, Debug, Default)]
pub struct FilterCursor {
    filter: Filter,
    /// The next message of each subject that passes, as far as `merged`.
    heap: BinaryHeap<Reverse<(u64, u32)>>,
    /// The heap covers sequences from here ...
    merged_from: u64,
    /// ... up to here. 0 without a heap.
    merged: u64,
    /// No message in this range of sequences (start, end) passes.
    barren: (u64, u64),
}

impl FilterCursor {
    /// A cursor of a filter.
    pub fn new(filter: Filter) -> Self {
        Self {
            filter,
            ..Self::default()
        }
    }

    /// The filter.
    pub fn filter(&self) -> &Filter {
        &self.filter
    }
}

impl Index {
    /// The first message from `from` on that passes.
    pub fn next_matching(&self, cursor: &mut FilterCursor, from: u64) -> Option<u64> {
        if cursor.filter.is_all() {
            return self.next(from);
        }
        if let Some(subject) = cursor.filter.literal() {
            let id = self.subjects.find(subject)?;
            // The usual case, one behind the last answer, without a search.
            let (start, end) = cursor.barren;
            if from == end
                && let Some(entry) = self.get(start)
                && entry.subject == id
            {
                let next = self.behind(start, entry);
                if let Some(next) = next {
                    cursor.barren = (next, next + 1);
                }
                return next;
            }
            let next = self.next_of(id, from);
            if let Some(next) = next {
                cursor.barren = (next, next + 1);
            }
            return next;
        }
        self.next_merged(cursor, from)
    }

    fn next_merged(&self, cursor: &mut FilterCursor, from: u64) -> Option<u64> {
        let mut from = from.max(self.first);
        if from >= cursor.barren.0 && from < cursor.barren.1 {
            from = cursor.barren.1;
        } else {
            cursor.barren = (from, from);
        }
        let covered =
            |cursor: &FilterCursor, at: u64| cursor.merged_from <= at && at <= cursor.merged;
        loop {
            if !covered(cursor, from) {
                match self.scan(cursor, from) {
                    Scanned::Found(sequence) => return Some(sequence),
                    Scanned::End => return None,
                    Scanned::Barren => {
                        from = cursor.barren.1;
                        self.merge(cursor, from);
                    }
                }
            }
            if let Some(sequence) = self.pop_to(cursor, from) {
                cursor.barren.1 = sequence;
                return Some(sequence);
            }
            from = from.max(cursor.merged + 1);
            cursor.barren.1 = from;
        }
    }

    /// Looks at up to [`SCAN`] messages from `from` on.
    fn scan(&self, cursor: &mut FilterCursor, from: u64) -> Scanned {
        let mut at = from;
        for _ in 0..SCAN {
            let Some(sequence) = self.next(at) else {
                cursor.barren.1 = at.max(self.last + 1);
                return Scanned::End;
            };
            let Some(entry) = self.get(sequence) else {
                return Scanned::End;
            };
            if cursor.filter.matches(self.subject(entry.subject)) {
                cursor.barren.1 = sequence;
                return Scanned::Found(sequence);
            }
            at = sequence + 1;
        }
        cursor.barren.1 = at;
        Scanned::Barren
    }

    fn merge(&self, cursor: &mut FilterCursor, from: u64) {
        let mut heap = std::mem::take(&mut cursor.heap).into_vec();
        heap.clear();
        cursor.filter.for_each_subject(self, |id| {
            if let Some(next) = self.next_of(id, from) {
                heap.push(Reverse((next, id)));
            }
        });
        cursor.heap = heap.into();
        cursor.merged_from = from;
        cursor.merged = self.last;
    }

    /// The first message of the heap from `from` on. It stays on the heap.
    fn pop_to(&self, cursor: &mut FilterCursor, from: u64) -> Option<u64> {
        while let Some(mut top) = cursor.heap.peek_mut() {
            let Reverse((sequence, id)) = *top;
            let alive = self.get(sequence).is_some();
            if alive && sequence >= from {
                return Some(sequence);
            }
            // If the subject is gone and its number is another's by now, all its messages are
            // behind what was merged.
            let next = if alive {
                self.next_of(id, from)
            } else {
                self.next_of(id, from.max(sequence))
            };
            match next {
                Some(next) if next <= cursor.merged => *top = Reverse((next, id)),
                _ => {
                    std::collections::binary_heap::PeekMut::pop(top);
                }
            }
            cursor.merged_from = cursor.merged_from.max(from);
        }
        None
    }

    /// Number of messages from `from` on that pass.
    pub fn count_matching(&self, filter: &Filter, from: u64) -> u64 {
        if filter.is_all() {
            return self.count_from(from);
        }
        let mut count = 0;
        filter.for_each_subject(self, |id| count += self.count_of(id, from));
        count
    }

    /// The last message up to `up_to` that passes.
    pub fn last_matching(&self, filter: &Filter, up_to: u64) -> Option<u64> {
        if filter.is_all() {
            return self.previous(up_to);
        }
        let mut last = None;
        filter.for_each_subject(self, |id| last = last.max(self.previous_of(id, up_to)));
        last
    }

    /// The last message up to `up_to` of each subject that passes, ascending.
    pub fn last_per_subject(&self, filter: &Filter, up_to: u64) -> Vec<u64> {
        let mut all = Vec::new();
        filter.for_each_subject(self, |id| all.extend(self.previous_of(id, up_to)));
        all.sort_unstable();
        all
    }
}

enum Scanned {
    Found(u64),
    /// None up to the end of the log.
    End,
    /// None so far.
    Barren,
}
