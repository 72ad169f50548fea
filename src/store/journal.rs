//! A small durable state: a snapshot and the changes since.

use super::disk::{Completed, Disk};
use super::message::LogFailure;

/// What a journal is made of.
#[derive(Clone, Debug)]
pub struct JournalConfig {
    /// Path of its files below the store directory, without ending: `acme/orders/consumers/c1`.
    /// The directory must exist.
    pub path: String,
    /// As [`LogConfig::identity`](super::LogConfig::identity).
    pub identity: u64,
    /// Kept in memory only, durable at once.
    pub memory: bool,
}

/// The state that a journal holds: the last snapshot and the deltas behind it, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    pub snapshot: Vec<u8>,
    pub deltas: Vec<Vec<u8>>,
}

/// A small durable state.
#[derive(Debug)]
pub struct Journal {
    last: u64,
    recovered: Recovered,
}

impl Journal {
    /// Makes a new journal with a first snapshot, which is durable when
    /// [`durable`](Self::durable) is at least 1.
    pub fn create(owner: u32, config: JournalConfig, snapshot: &[u8], disk: &mut dyn Disk) -> Self {
        let _ = (owner, config, snapshot, disk);
        Self {
            last: 1,
            recovered: Recovered::default(),
        }
    }

    /// Opens a journal that was made before.
    pub fn open(owner: u32, config: JournalConfig, disk: &mut dyn Disk) -> Self {
        Self::create(owner, config, &[], disk)
    }

    /// Takes the completion of an operation of this owner.
    pub fn completed(&mut self, done: Completed, disk: &mut dyn Disk) {
        let _ = (done, disk);
    }

    /// Whether recovery is over.
    pub fn is_ready(&self) -> bool {
        true
    }

    /// Why the journal refuses changes for good.
    pub fn failure(&self) -> Option<&LogFailure> {
        None
    }

    /// What was recovered; taken once, when ready. `None` if there is no journal of this name.
    pub fn recovered(&mut self) -> Option<Recovered> {
        Some(std::mem::take(&mut self.recovered))
    }

    /// Adds a change. Returns its number, to compare with [`durable`](Self::durable).
    pub fn append(&mut self, delta: &[u8]) -> u64 {
        let _ = delta;
        self.last += 1;
        self.last
    }

    /// Replaces all before by a snapshot. Returns its number.
    pub fn snapshot(&mut self, state: &[u8]) -> u64 {
        let _ = state;
        self.last += 1;
        self.last
    }

    /// Whether the deltas have grown so much that a snapshot is worth it.
    pub fn wants_snapshot(&self) -> bool {
        false
    }

    /// Hands what accumulated to the disk, at the end of a turn.
    pub fn flush(&mut self, disk: &mut dyn Disk) {
        let _ = disk;
    }

    /// The number of the last change that is durable, with all before it.
    pub fn durable(&self) -> u64 {
        self.last
    }

    /// Whether nothing is under way.
    pub fn is_idle(&self) -> bool {
        true
    }

    /// Closes the file; completions are taken until [idle](Self::is_idle).
    pub fn close(&mut self, disk: &mut dyn Disk) {
        let _ = disk;
    }

    /// Removes the journal and its files.
    pub fn destroy(&mut self, disk: &mut dyn Disk) {
        let _ = disk;
    }
}
