//! One message in the index: 32 bytes.

use crate::store::message::accounted_in_memory;

/// Where a message's record is: a segment of the log and a byte offset in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    pub segment: u32,
    pub offset: u32,
}

/// What is known of a message without reading it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Entry {
    pub unix_ns: i64,
    pub place: Place,
    pub subject: u32,
    /// Bytes of subject, header and payload, and flags.
    size_and_flags: u32,
    /// Distance to the message before on the same subject; 0 is none, [`FAR`] is in a side table.
    pub(super) back: u32,
    /// The same to the message behind.
    pub(super) forth: u32,
}

/// A distance that does not fit.
pub(super) const FAR: u32 = u32::MAX;

const HAS_HEADER: u32 = 1 << 31;
const HAS_WAKE: u32 = 1 << 30;
/// The record on disk has a wake, which stays there when the wake itself is gone.
const HAS_STORED_WAKE: u32 = 1 << 29;
/// The message is in a memory log, which counts fewer bytes for it.
const IN_MEMORY: u32 = 1 << 28;
/// The largest message the index can describe: subject, header and payload together, in bytes.
pub const TEXT_MAX: usize = IN_MEMORY as usize - 1;

impl Entry {
    /// `text` is the number of bytes of subject, header and payload, at most [`TEXT_MAX`].
    pub fn new(unix_ns: i64, place: Place, text: usize, has_header: bool, has_wake: bool) -> Self {
        debug_assert!(text <= TEXT_MAX);
        let mut size_and_flags = text as u32;
        if has_header {
            size_and_flags |= HAS_HEADER;
        }
        if has_wake {
            size_and_flags |= HAS_WAKE;
        }
        Self {
            unix_ns,
            place,
            subject: 0,
            size_and_flags,
            back: 0,
            forth: 0,
        }
    }

    /// Bytes of subject, header and payload.
    pub fn text(&self) -> usize {
        (self.size_and_flags & TEXT_MAX as u32) as usize
    }

    /// Whether it has a header block.
    pub fn has_header(&self) -> bool {
        self.size_and_flags & HAS_HEADER != 0
    }

    /// Whether it has a wake.
    pub fn has_wake(&self) -> bool {
        self.size_and_flags & HAS_WAKE != 0
    }

    /// Whether its record has a wake.
    pub fn has_stored_wake(&self) -> bool {
        self.size_and_flags & HAS_STORED_WAKE != 0
    }

    /// Notes whether its record has a wake.
    pub fn set_stored_wake(&mut self, has: bool) {
        if has {
            self.size_and_flags |= HAS_STORED_WAKE;
        } else {
            self.size_and_flags &= !HAS_STORED_WAKE;
        }
    }

    /// As a message of a memory log.
    pub fn in_memory(mut self) -> Self {
        self.size_and_flags |= IN_MEMORY;
        self
    }

    /// Bytes as [`accounted`](crate::store::accounted) counts them, or as
    /// [`accounted_in_memory`](crate::store::accounted_in_memory).
    pub fn accounted(&self) -> u64 {
        if self.size_and_flags & IN_MEMORY != 0 {
            return accounted_in_memory(self.text(), 0, 0);
        }
        30 + self.text() as u64 + if self.has_header() { 4 } else { 0 }
    }

    pub(super) fn set_wake(&mut self, has: bool) {
        if has {
            self.size_and_flags |= HAS_WAKE;
        } else {
            self.size_and_flags &= !HAS_WAKE;
        }
    }
}

const _: () = assert!(size_of::<Entry>() == 32);
