//! Messages that wake their stream at a time.

use std::collections::{BTreeMap, BTreeSet};

use crate::store::message::WakeKind;

/// Wakes by time and by message: about 80 bytes each.
#[derive(Debug, Default)]
pub(super) struct Wakes {
    by_time: BTreeSet<(i64, u64)>,
    by_sequence: BTreeMap<u64, (WakeKind, i64)>,
}

impl Wakes {
    pub(super) fn set(&mut self, sequence: u64, kind: WakeKind, unix_ns: i64) {
        self.remove(sequence);
        self.by_time.insert((unix_ns, sequence));
        self.by_sequence.insert(sequence, (kind, unix_ns));
    }

    pub(super) fn remove(&mut self, sequence: u64) -> Option<(WakeKind, i64)> {
        let (kind, unix_ns) = self.by_sequence.remove(&sequence)?;
        self.by_time.remove(&(unix_ns, sequence));
        Some((kind, unix_ns))
    }

    pub(super) fn get(&self, sequence: u64) -> Option<(WakeKind, i64)> {
        self.by_sequence.get(&sequence).copied()
    }

    pub(super) fn next(&self) -> Option<(i64, u64)> {
        self.by_time.first().copied()
    }

    /// The wake of the first message from `from` on that has one.
    pub(super) fn from(&self, from: u64) -> Option<(u64, WakeKind, i64)> {
        let (&sequence, &(kind, unix_ns)) = self.by_sequence.range(from..).next()?;
        Some((sequence, kind, unix_ns))
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.by_sequence.len() * 80
    }
}
