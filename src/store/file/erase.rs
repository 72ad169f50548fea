//! Overwriting what was removed.
//!
//! The head of a record stays, so that those behind it are found; the rest of it is overwritten.
//! Blocks are written with otherwise the same bytes, so that a torn write harms nothing else.

use std::collections::VecDeque;

use super::FileLog;
use super::record::RECORD_HEAD;
use super::segment::extent_of;
use crate::store::aligned::Aligned;
use crate::store::disk::{Completed, Disk, FileId, Op, OpenMode, Output, block_down, block_up};
use crate::store::index::Entry;
use crate::store::log::Mark;

/// What removed messages are overwritten with. Not zero, for a sector of zeros at the end of the
/// log is taken for one that was never written.
pub(super) const FILLING: u8 = 0xe5;

#[derive(Debug)]
struct Erasure {
    segment: u32,
    start: u64,
    end: u64,
    mark: Mark,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Opening,
    Reading,
    Writing,
}

#[derive(Debug, Default)]
pub(super) struct Erasures {
    waiting: VecDeque<Erasure>,
    now: Option<(FileId, Step)>,
}

impl Erasures {
    pub(super) fn is_active(&self) -> bool {
        !self.waiting.is_empty()
    }
}

impl FileLog {
    /// Asks for a removed message to be overwritten.
    pub(in crate::store) fn note_erase(&mut self, entry: &Entry) {
        let (place, bytes) = extent_of(entry);
        // The last block of the log is written again with the next frame, which would bring it
        // back: that frame goes elsewhere.
        if self.writer.active_key() == Some(place.segment) {
            self.writer.roll = true;
        }
        let mark = self.mark();
        self.erasures.waiting.push_back(Erasure {
            segment: place.segment,
            start: bytes.start + RECORD_HEAD as u64,
            end: bytes.end,
            mark,
        });
    }

    pub(super) fn erase_work(&mut self, disk: &mut dyn Disk) {
        if self.erasures.now.is_some() {
            return;
        }
        let Some(next) = self.erasures.waiting.front() else {
            return;
        };
        if next.mark.0 > self.writer.flushed.commit {
            return;
        }
        let compacting = self.compaction.as_ref();
        if compacting.is_some_and(|compaction| compaction.uses(next.segment)) {
            return;
        }
        let Some(segment) = self.segments.get(&next.segment) else {
            // The file is gone with it.
            self.erasures.waiting.pop_front();
            return;
        };
        if self.writer.uses(next.segment) {
            // Soon it is not: the last block is being left.
            return;
        }
        let path = self.path(&segment.name.file());
        let file = self.operations.file();
        self.erasures.now = Some((file, Step::Opening));
        let open = Op::Open {
            file,
            path,
            mode: OpenMode::Write { create: false },
        };
        self.operations.submit(super::Doing::Erasure, open, disk);
    }

    fn erase_read(&mut self, file: FileId, disk: &mut dyn Disk) {
        let Some(erasure) = self.erasures.waiting.front() else {
            return;
        };
        self.erasures.now = Some((file, Step::Reading));
        let start = block_down(erasure.start);
        let read = Op::Read {
            file,
            offset: start,
            buffer: Aligned::new((block_up(erasure.end) - start) as usize),
        };
        self.operations.submit(super::Doing::Erasure, read, disk);
    }

    pub(super) fn erasure_step(&mut self, done: Completed, disk: &mut dyn Disk) {
        let (Some((file, step)), Some(erasure)) =
            (self.erasures.now, self.erasures.waiting.front())
        else {
            return;
        };
        let start = block_down(erasure.start);
        let opened = step != Step::Opening || done.result.is_ok();
        match (step, done.result, done.buffer) {
            (Step::Opening, Ok(_), _) => {
                self.erase_read(file, disk);
                return;
            }
            (Step::Reading, Ok(Output::Read { bytes }), Some(mut buffer))
                if bytes as u64 + start >= erasure.end =>
            {
                let from = (erasure.start - start) as usize;
                let to = (erasure.end - start) as usize;
                buffer[from..to].fill(FILLING);
                self.erasures.now = Some((file, Step::Writing));
                let write = Op::Write {
                    file,
                    offset: start,
                    range: 0..buffer.len(),
                    buffer,
                    sync: true,
                };
                self.operations.submit(super::Doing::Erasure, write, disk);
                return;
            }
            // What cannot be read cannot be told from what must stay; the message is removed.
            _ => {}
        }
        let key = erasure.segment;
        self.erasures.waiting.pop_front();
        self.erasures.now = None;
        self.reads.forget(key);
        self.config.cache.forget(self.owner, Some(key));
        if opened {
            self.operations
                .submit(super::Doing::Nothing, Op::Close { file }, disk);
        }
    }
}
