//! A consumer's journal, and the changes that wait for it.

use crate::store::{Disk, Journal};

use super::state::Changes;

/// Nanoseconds that changes nobody waits for may stay in memory.
pub const SAVE_DELAY_NS: u64 = 100_000_000;
/// Bytes of changes that are written at once.
pub const SAVE_BYTES: usize = 16 * 1024;

/// What makes a consumer's state durable.
#[derive(Debug)]
pub struct Saver {
    /// The journal's number at the disk.
    pub owner: u32,
    pub journal: Journal,
    pub changes: Changes,
    /// When the oldest change came, in nanoseconds of the monotonic clock; 0 without any.
    dirty_since: u64,
    /// The number of the last change given to the journal.
    last: u64,
}

impl Saver {
    pub fn new(owner: u32, journal: Journal) -> Self {
        Self {
            owner,
            journal,
            changes: Changes::default(),
            dirty_since: 0,
            last: 1,
        }
    }

    /// The journal was read: what is in it is durable.
    pub fn resumed(&mut self) {
        self.last = self.journal.durable();
    }

    /// Whether everything so far is durable.
    pub fn is_durable(&self) -> bool {
        self.changes.is_empty() && self.journal.durable() >= self.last
    }

    /// The number that stands for all changes so far, if they were given to the journal.
    pub fn number(&self) -> Option<u64> {
        self.changes.is_empty().then_some(self.last)
    }

    /// When the changes are to be written although nobody waits; `u64::MAX` without any.
    pub fn save_at(&self) -> u64 {
        if self.dirty_since == 0 {
            u64::MAX
        } else {
            self.dirty_since.saturating_add(SAVE_DELAY_NS)
        }
    }

    /// At the end of a turn: gives changes to the journal if somebody waits (`urgent`), or they
    /// are old or many. Returns the number of the last change given.
    pub fn save(&mut self, urgent: bool, now: u64, disk: &mut dyn Disk) -> u64 {
        if !self.changes.is_empty() {
            if self.dirty_since == 0 {
                self.dirty_since = now.max(1);
            }
            if urgent || self.save_at() <= now || self.changes.len() >= SAVE_BYTES {
                self.last = self.journal.append(self.changes.bytes());
                self.changes.clear();
                self.dirty_since = 0;
            }
        }
        self.journal.flush(disk);
        self.last
    }

    /// Replaces everything by a snapshot, which includes the changes that wait.
    pub fn snapshot(&mut self, bytes: &[u8], disk: &mut dyn Disk) -> u64 {
        self.changes.clear();
        self.dirty_since = 0;
        self.last = self.journal.snapshot(bytes);
        self.journal.flush(disk);
        self.last
    }
}
