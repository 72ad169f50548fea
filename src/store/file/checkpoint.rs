//! Writing checkpoints, in steps.

use super::FileLog;
use super::image::{Encoder, Start};
use super::record::FIRST_FRAME;
use super::segment::checkpoint_file;
use crate::store::aligned::Aligned;
use crate::store::disk::{BLOCK, Completed, Disk, DiskError, FileId, Op, OpenMode, block_up};
use crate::store::index::Index;
use crate::store::log::Mark;

/// Bytes written at a time. One write is under way, not flushed: a flush of each would make the
/// flushes of the log wait for the growth of this file, too.
const STEP: usize = 1024 * 1024;
/// Bytes of log behind a checkpoint that make another one worth it: at least these, and at least
/// twice the size of the last one.
const WORTH: u64 = 32 * 1024 * 1024;

#[derive(Clone, Copy, Debug)]
pub(super) enum Doing {
    Open,
    Cut,
    Write,
    /// Of all but the last block.
    Sync,
    SyncDir,
    /// Of old ones that are given up.
    Discard,
    SyncDiscarded,
}

/// What is encoded next.
#[derive(Clone, Copy, Debug)]
enum Part {
    Subjects(u32),
    Entries(u64),
    Wakes(u64),
    Finish,
    /// All is encoded; it counts when the changes up to here are flushed.
    Wait(Mark),
    /// All but the last block is flushed.
    Last,
    SyncDir,
}

#[derive(Debug)]
struct Writing {
    number: u32,
    file: FileId,
    encoder: Encoder,
    part: Part,
    last_sequence: u64,
    /// The segment that it begins to replay in.
    segment: u32,
    /// Encoded and not written.
    waiting: Vec<u8>,
    written: u64,
    /// An operation is under way.
    busy: bool,
    opened: bool,
    /// [`Writer::bytes`](super::write::Writer::bytes) at the start.
    log_bytes: u64,
}

#[derive(Debug, Default)]
pub(super) struct Checkpoint {
    /// The highest number of one that is or was there.
    pub(super) newest: u32,
    /// Numbers of those that go when another is complete.
    pub(super) old: Vec<u32>,
    /// With the newest, the first segment that a start replays; `None` without any checkpoint.
    pub(super) replays_from: Option<u32>,
    /// Removals under way of checkpoints that are given up.
    discards: usize,
    pub(super) size: u64,
    writing: Option<Box<Writing>>,
    /// Bytes of log written when the newest began.
    log_bytes: u64,
    /// Another is wanted whatever was written.
    pub(super) stale: bool,
    /// Of one that was asked for while another was being written.
    next: Option<(Start, Vec<u8>)>,
}

impl Checkpoint {
    pub(super) fn is_active(&self) -> bool {
        self.writing.is_some() || self.next.is_some()
    }

    pub(super) fn disk_bytes(&self) -> u64 {
        self.size
    }

    pub(super) fn file(&self) -> Option<FileId> {
        let writing = self.writing.as_ref()?;
        writing.opened.then_some(writing.file)
    }
}

impl FileLog {
    pub(in crate::store) fn wants_checkpoint(&self) -> bool {
        let behind = self.writer.bytes - self.checkpoint.log_bytes;
        self.is_ready()
            && self.failure.is_none()
            && !self.checkpoint.is_active()
            && (self.checkpoint.stale || behind > WORTH.max(2 * self.checkpoint.size))
    }

    pub(in crate::store) fn start_checkpoint(
        &mut self,
        blob: &[u8],
        index: &mut Index,
        disk: &mut dyn Disk,
    ) {
        if !self.is_ready() || self.failure.is_some() {
            return;
        }
        self.flush(index, disk);
        if self.checkpoint.next.is_none() {
            self.checkpoint.next = Some((self.position(index), blob.to_vec()));
        }
        self.checkpoint_work(index, disk);
    }

    /// Where a checkpoint of this moment begins to replay: at the frame that is open, or would be.
    fn position(&self, index: &Index) -> Start {
        let active = self
            .writer
            .active_key()
            .and_then(|key| self.segments.get(&key));
        let newest = self.segments.values().max_by_key(|s| s.name.last_number);
        let open = self.writer.open.as_ref().and_then(|frame| {
            let segment = self.segments.get(&frame.segment)?;
            Some((segment.name.number, frame.position()))
        });
        let (segment, offset) = match (open, active.or(newest)) {
            (Some(open), _) => open,
            (None, Some(segment)) => (segment.name.last_number, segment.end.max(FIRST_FRAME)),
            (None, None) => (0, 0),
        };
        Start {
            identity: self.config.identity,
            segment,
            offset,
            commit: self.writer.commit + 1,
            blob_sequence: index.last_sequence(),
            ..Start::default()
        }
    }

    fn begin_checkpoint(&mut self, start: Start, blob: &[u8], index: &Index, disk: &mut dyn Disk) {
        let state = index.state();
        let start = Start {
            last_sequence: state.last_sequence,
            last_unix_ns: state.last_unix_ns,
            front_segment: self.writer.front_segment,
            ..start
        };
        let mut encoder = Encoder::default();
        encoder.start(&start, blob);
        encoder.segments(self.segments.iter().map(|(key, segment)| (*key, segment)));
        self.checkpoint.newest += 1;
        self.checkpoint.stale = false;
        let file = self.operations.file();
        let writing = Writing {
            number: self.checkpoint.newest,
            file,
            encoder,
            part: Part::Subjects(0),
            last_sequence: state.last_sequence,
            segment: start.segment,
            waiting: Vec::new(),
            written: 0,
            busy: true,
            opened: false,
            log_bytes: self.writer.bytes,
        };
        let open = Op::Open {
            file,
            path: self.path(&checkpoint_file(writing.number)),
            mode: OpenMode::Write { create: true },
        };
        self.checkpoint.writing = Some(Box::new(writing));
        self.operations
            .submit(super::Doing::Checkpoint(Doing::Open), open, disk);
    }

    /// Encodes and writes the next step, if the last one is written.
    pub(super) fn checkpoint_work(&mut self, index: &Index, disk: &mut dyn Disk) {
        if self.checkpoint.writing.is_none()
            && self.compaction.is_none()
            && let Some((start, blob)) = self.checkpoint.next.take()
        {
            self.begin_checkpoint(start, &blob, index, disk);
            return;
        }
        let mark = self.mark();
        let flushed = self.writer.flushed.commit;
        let Some(writing) = self.checkpoint.writing.as_deref_mut().filter(|w| !w.busy) else {
            return;
        };
        while writing.waiting.len() < STEP {
            let last = writing.last_sequence;
            writing.part = match writing.part {
                Part::Subjects(from) => match writing.encoder.subjects(index, from) {
                    Some(next) => Part::Subjects(next),
                    None => Part::Entries(0),
                },
                Part::Entries(from) => match writing.encoder.entries(index, from, last) {
                    Some(next) => Part::Entries(next),
                    None => Part::Wakes(0),
                },
                Part::Wakes(from) => match writing.encoder.wakes(index, from, last) {
                    Some(next) => Part::Wakes(next),
                    None => Part::Finish,
                },
                Part::Finish => {
                    writing.encoder.finish();
                    Part::Wait(mark)
                }
                part => part,
            };
            writing.waiting.append(&mut writing.encoder.take());
            if matches!(writing.part, Part::Wait(_) | Part::Last | Part::SyncDir) {
                break;
            }
        }
        let mut length = writing.waiting.len() - writing.waiting.len() % BLOCK;
        let mut sync = false;
        match writing.part {
            Part::Wait(mark) => {
                // The last block makes it complete, and so comes last, when all before it and the
                // log are flushed.
                let before_last = writing.waiting.len().saturating_sub(1);
                length = before_last - before_last % BLOCK;
                if length == 0 {
                    if mark.0 <= flushed {
                        writing.part = Part::Last;
                        writing.busy = true;
                        let flush = Op::Sync { file: writing.file };
                        self.operations
                            .submit(super::Doing::Checkpoint(Doing::Sync), flush, disk);
                    }
                    return;
                }
            }
            Part::Last => {
                length = block_up(writing.waiting.len() as u64) as usize;
                writing.waiting.resize(length, 0);
                writing.part = Part::SyncDir;
                sync = true;
            }
            Part::SyncDir => {
                writing.busy = true;
                let path = self.config.directory.clone();
                let doing = super::Doing::Checkpoint(Doing::SyncDir);
                self.operations.submit(doing, Op::SyncDir { path }, disk);
                return;
            }
            _ => {}
        }
        if length == 0 {
            return;
        }
        let mut buffer = Aligned::new(length);
        buffer[..length].copy_from_slice(&writing.waiting[..length]);
        writing.waiting.drain(..length);
        writing.busy = true;
        let write = Op::Write {
            file: writing.file,
            offset: writing.written,
            range: 0..buffer.len(),
            buffer,
            sync,
        };
        writing.written += length as u64;
        self.operations
            .submit(super::Doing::Checkpoint(Doing::Write), write, disk);
    }

    pub(super) fn checkpoint_step(&mut self, doing: Doing, done: Completed, disk: &mut dyn Disk) {
        if matches!(doing, Doing::Discard | Doing::SyncDiscarded) {
            self.discarded(doing, &done, disk);
            return;
        }
        let Some(writing) = self.checkpoint.writing.as_deref_mut() else {
            return;
        };
        writing.busy = false;
        if matches!(doing, Doing::Open) && done.result.is_ok() {
            writing.opened = true;
        }
        match (doing, done.result) {
            // The log is well without it; the next one is tried when more was written.
            (_, Err(error)) => {
                let number = writing.number;
                self.checkpoint.log_bytes = writing.log_bytes;
                self.finish_checkpoint(disk);
                self.remove_checkpoints(vec![number], disk);
                if error == DiskError::NoSpace {
                    self.discard_checkpoints(disk);
                }
            }
            (Doing::Open, Ok(_)) => {
                writing.busy = true;
                let cut = Op::Truncate {
                    file: writing.file,
                    length: 0,
                };
                self.operations
                    .submit(super::Doing::Checkpoint(Doing::Cut), cut, disk);
            }
            (Doing::SyncDir, Ok(_)) => {
                let (number, written) = (writing.number, writing.written);
                self.checkpoint.log_bytes = writing.log_bytes;
                self.checkpoint.size = written;
                self.checkpoint.replays_from = Some(writing.segment);
                self.reclaim.look = true;
                self.finish_checkpoint(disk);
                let old = std::mem::replace(&mut self.checkpoint.old, vec![number]);
                self.remove_checkpoints(old, disk);
            }
            (_, Ok(_)) => {}
        }
    }

    /// Gives up the checkpoints there are: segments must not wait for one that does not come, and
    /// the log says all that they say.
    pub(super) fn discard_checkpoints(&mut self, disk: &mut dyn Disk) {
        for number in std::mem::take(&mut self.checkpoint.old) {
            self.checkpoint.discards += 1;
            let path = self.path(&checkpoint_file(number));
            let doing = super::Doing::Checkpoint(Doing::Discard);
            self.operations.submit(doing, Op::Remove { path }, disk);
        }
    }

    fn discarded(&mut self, doing: Doing, done: &Completed, disk: &mut dyn Disk) {
        if matches!(doing, Doing::Discard) {
            self.checkpoint.discards -= 1;
            if self.checkpoint.discards == 0 {
                let path = self.config.directory.clone();
                let doing = super::Doing::Checkpoint(Doing::SyncDiscarded);
                self.operations.submit(doing, Op::SyncDir { path }, disk);
            }
        } else if done.result.is_ok() && self.checkpoint.old.is_empty() {
            self.checkpoint.size = 0;
            self.checkpoint.replays_from = None;
            self.reclaim.look = true;
        }
    }

    pub(super) fn remove_checkpoints(&mut self, numbers: Vec<u32>, disk: &mut dyn Disk) {
        for number in numbers {
            let path = self.path(&checkpoint_file(number));
            self.operations
                .submit(super::Doing::Nothing, Op::Remove { path }, disk);
        }
    }

    fn finish_checkpoint(&mut self, disk: &mut dyn Disk) {
        if let Some(writing) = self.checkpoint.writing.take()
            && writing.opened
        {
            let close = Op::Close { file: writing.file };
            self.operations.submit(super::Doing::Nothing, close, disk);
        }
    }
}
