//! The segments of a log: their names, and what is in them.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::store::disk::FileId;
use crate::store::index::{Entry, Place};

use super::record::message_length;

/// Ending of a segment's name.
const SEGMENT: &str = ".seg";
/// Ending of a compacted segment that is being written.
pub(super) const UNFINISHED: &str = ".tmp";
/// Ending of a checkpoint's name.
const CHECKPOINT: &str = ".index";

/// Identity of a segment on disk. A compacted one stands for a range of numbers, and for the same
/// numbers the highest generation counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    pub(super) number: u32,
    pub(super) last_number: u32,
    pub(super) generation: u32,
}

impl Name {
    /// Of a segment that is written to.
    pub(super) const fn new(number: u32) -> Self {
        Self {
            number,
            last_number: number,
            generation: 0,
        }
    }

    pub(super) fn file(&self) -> String {
        let Self {
            number,
            last_number,
            generation,
        } = self;
        format!("{number:08x}-{last_number:08x}-{generation:04x}{SEGMENT}")
    }

    pub(super) fn parse(file: &str) -> Option<Self> {
        let mut parts = file.strip_suffix(SEGMENT)?.split('-');
        let mut part = || u32::from_str_radix(parts.next()?, 16).ok();
        let name = Self {
            number: part()?,
            last_number: part()?,
            generation: part()?,
        };
        (name.number <= name.last_number && name.file() == file).then_some(name)
    }

    /// Whether the other stands for nothing that this one does not stand for, and is older.
    pub(super) fn supersedes(&self, other: &Self) -> bool {
        self.number <= other.number
            && self.last_number >= other.last_number
            && self.generation > other.generation
    }
}

pub(super) fn checkpoint_file(number: u32) -> String {
    format!("{number:08x}{CHECKPOINT}")
}

pub(super) fn parse_checkpoint_file(file: &str) -> Option<u32> {
    let number = u32::from_str_radix(file.strip_suffix(CHECKPOINT)?, 16).ok()?;
    (checkpoint_file(number) == file).then_some(number)
}

/// Whether a segment can be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum ReadHandle {
    #[default]
    Closed,
    Opening,
    Open(FileId),
    /// It could not be opened.
    Broken,
}

/// A segment.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) name: Name,
    pub(super) first_commit: u64,
    /// Byte where its last frame ends.
    pub(super) end: u32,
    /// Up to here frames are written, so that reading finds them.
    pub(super) written: u32,
    /// Bytes of records of messages that are not removed, and their number.
    pub(super) live_bytes: u64,
    pub(super) live: u64,
    /// Messages that the file holds, removed ones included.
    pub(super) total: u64,
    /// Sequences of those: first and last; 0 and 0 without any.
    pub(super) sequences: (u64, u64),
    /// Lowest and highest sequence that removal records in it speak of.
    pub(super) removals: Option<(u64, u64)>,
    /// No more written to, and cut to its length.
    pub(super) sealed: bool,
    /// A part of it is damaged: it is never compacted.
    pub(super) damaged: bool,
    pub(super) reader: ReadHandle,
    /// Reads under way.
    pub(super) reads: u32,
    /// On its way out.
    pub(super) dropping: bool,
}

impl Segment {
    pub(super) fn new(name: Name, first_commit: u64) -> Self {
        Self {
            name,
            first_commit,
            end: 0,
            written: 0,
            live_bytes: 0,
            live: 0,
            total: 0,
            sequences: (0, 0),
            removals: None,
            sealed: false,
            damaged: false,
            reader: ReadHandle::Closed,
            reads: 0,
            dropping: false,
        }
    }

    /// Notes a message that is in it.
    pub(super) fn add(&mut self, sequence: u64, entry: &Entry) {
        self.note(sequence);
        self.live += 1;
        self.live_bytes += record_length(entry);
    }

    /// Notes a message that is in it and removed already.
    pub(super) fn note(&mut self, sequence: u64) {
        self.total += 1;
        if self.sequences.0 == 0 {
            self.sequences.0 = sequence;
        }
        self.sequences.1 = sequence.max(self.sequences.1);
    }

    pub(super) fn subtract(&mut self, entry: &Entry) {
        self.live = self.live.saturating_sub(1);
        self.live_bytes = self.live_bytes.saturating_sub(record_length(entry));
    }

    pub(super) fn note_removals(&mut self, first: u64, last: u64) {
        let (low, high) = self.removals.unwrap_or((first, last));
        self.removals = Some((low.min(first), high.max(last)));
    }

    /// Bytes that compaction would free.
    pub(super) fn garbage(&self) -> u64 {
        u64::from(self.end).saturating_sub(self.live_bytes + super::record::FIRST_FRAME as u64)
    }
}

/// Bytes of a message's record.
pub(super) fn record_length(entry: &Entry) -> u64 {
    message_length(entry.text(), entry.has_stored_wake()) as u64
}

/// Segments by the number that [`Place`] names them by, which ascends with time of creation but
/// says nothing of their order in the log.
pub(super) type Segments = BTreeMap<u32, Segment>;

/// The byte range of a message's record.
pub(super) fn extent_of(entry: &Entry) -> (Place, Range<u64>) {
    let start = u64::from(entry.place.offset);
    (entry.place, start..start + record_length(entry))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_and_others_are_not_names() {
        let name = Name {
            number: 0x1f,
            last_number: 0xffff_ffff,
            generation: 0x12345,
        };
        assert_eq!(Name::parse(&name.file()), Some(name));
        for other in [
            "",
            ".seg",
            "00000001-00000000-0000.seg",
            "1-1-0.seg",
            "00000001-00000001-0000-0.seg",
            "00000001-00000001-0000.tmp",
        ] {
            assert_eq!(Name::parse(other), None, "{other}");
        }
        assert_eq!(parse_checkpoint_file(&checkpoint_file(77)), Some(77));
        assert_eq!(parse_checkpoint_file("77.index"), None);
    }
}
