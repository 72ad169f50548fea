//! Frames: what accumulates between two writes, one write at a time, and the next segment in
//! advance.

use super::record::{
    ALIGN, Digest, FIRST_FRAME, FRAME_HEAD, FrameHead, MessageRecord, SegmentHead, write_removed,
};
use super::segment::{Name, Segment};
use super::{FileLog, Phase};
use crate::store::aligned::Aligned;
use crate::store::cache::Window;
use crate::store::disk::{
    BLOCK, Completed, Disk, DiskError, FileId, Op, OpenMode, block_down, block_up,
};
use crate::store::index::{Entry, Index, Place};
use crate::store::log::{PENDING_MAX, SyncPolicy};
use crate::store::message::{AppendError, Damage, NewMessage};

/// Smallest segment file, in bytes. Each next one is as large as all before, up to the configured
/// size.
const SEGMENT_MIN: u32 = 256 * 1024;
/// Bytes of a segment that is made where there is no room for more, beside what waits for it.
const SCANT: u32 = 16 * 1024;
/// Part of a segment that messages leave to removals, so that a full disk can be emptied.
const fn reserve(capacity: u32) -> u32 {
    if capacity / 8 < 64 * 1024 {
        capacity / 8
    } else {
        64 * 1024
    }
}
/// No frame may reach beyond: offsets are 32 bits.
const OFFSET_MAX: usize = 1 << 31;
/// Removed ranges of one record.
const RANGES_MAX: usize = 4096;

#[derive(Clone, Copy, Debug)]
pub(super) enum Doing {
    /// The file of a segment to come, by key.
    Prepare(u32),
    Frame,
    Sync(Point),
    Retire(u32),
    Reread,
}

/// A commit and the last sequence with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) commit: u64,
    pub(super) sequence: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Wanted,
    Opening,
    Cutting,
    Allocating,
    Syncing,
    Ready,
    /// The disk is full: from `Wanted` again when somebody needs it.
    Full,
}

/// A segment that is or will be written to.
#[derive(Debug)]
struct Target {
    key: u32,
    name: Name,
    file: FileId,
    capacity: u32,
    step: Step,
    /// The file is open, so `Wanted` goes on with its room.
    opened: bool,
    /// There was no room for it; until there is, nothing is entrusted to it.
    doubtful: bool,
    /// There was room only for this much: it takes removals, so that the disk can be emptied, and
    /// no message.
    scant: Option<u32>,
}

impl Target {
    fn is_full(&self) -> bool {
        self.doubtful && self.step != Step::Ready
    }
}

/// What accumulates.
#[derive(Debug)]
pub(super) struct Frame {
    /// Key of the segment.
    pub(super) segment: u32,
    pub(super) buffer: Aligned,
    /// The file's byte that the buffer begins with.
    pub(super) buffer_at: u32,
    /// Where in the buffer the frame begins and ends.
    start: usize,
    pub(super) used: usize,
    records: u32,
    digest: Digest,
}

impl Frame {
    /// The file's byte that it begins at.
    pub(super) fn position(&self) -> u32 {
        self.buffer_at + self.start as u32
    }
}

/// A write under way, or waiting for room.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) segment: u32,
    pub(super) buffer_at: u32,
    start: usize,
    used: usize,
    point: Point,
    /// The buffer, while it waits.
    stalled: Option<Aligned>,
}

#[derive(Debug)]
struct Retired {
    target: Target,
    step: RetireStep,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RetireStep {
    Waiting,
    Syncing,
    Cutting,
    Closing,
}

#[derive(Debug, Default)]
pub(super) struct Writer {
    /// Of a log that is being made: the directory above.
    pub(super) parent: Option<String>,
    /// The last frame sealed.
    pub(super) commit: u64,
    pub(super) written: Point,
    pub(super) flushed: Point,
    syncing: bool,
    active: Option<Target>,
    spare: Option<Target>,
    retired: Vec<Retired>,
    pub(super) open: Option<Frame>,
    pub(super) flight: Option<Flight>,
    /// Content of the last block of the active segment, as far as it is written.
    edge: Vec<u8>,
    /// The next frame goes to a new segment.
    pub(super) roll: bool,
    /// Bytes of the last frame: a guess for the next.
    hint: usize,
    /// Somebody was refused for want of room since it was last looked for.
    refused: bool,
    /// Ranges of removed messages that no record says yet.
    removed: Vec<(u64, u64)>,
    /// So it is with those before the first message.
    pub(super) front_moved: bool,
    skipped: bool,
    /// Key of the segment with the last record about the front.
    pub(super) front_segment: u32,
    /// Bytes of frames since the log was opened.
    pub(super) bytes: u64,
    /// What was acknowledged in the block that a failed write covered: offset and content.
    reread: Option<(u32, u32, Vec<u8>)>,
}

impl Writer {
    /// Begins behind a commit.
    pub(super) fn start(&mut self, commit: u64, sequence: u64) {
        self.commit = commit;
        self.written = Point { commit, sequence };
        self.flushed = self.written;
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let flight = self.flight.as_ref().map_or(0, |flight| flight.used);
        self.open.as_ref().map_or(0, |frame| frame.buffer.len()) + flight + BLOCK
    }

    pub(super) fn files(&self) -> Vec<FileId> {
        let targets = self.active.iter().chain(&self.spare);
        let retired = self
            .retired
            .iter()
            .filter(|retired| retired.step != RetireStep::Closing)
            .map(|retired| &retired.target);
        targets
            .chain(retired)
            .filter(|target| target.opened)
            .map(|target| target.file)
            .collect()
    }

    /// Whether a segment is, was or will be written to.
    pub(super) fn uses(&self, key: u32) -> bool {
        let is = |target: &Target| target.key == key;
        self.active.as_ref().is_some_and(is)
            || self.spare.as_ref().is_some_and(is)
            || self.retired.iter().any(|retired| is(&retired.target))
    }

    /// The segment that the next frame goes to, if there is room.
    pub(super) fn active_key(&self) -> Option<u32> {
        self.active.as_ref().map(|active| active.key)
    }

    fn is_full(&self) -> bool {
        let scant = self
            .active
            .as_ref()
            .is_some_and(|active| active.scant.is_some());
        let spare = self.spare.as_ref().is_some_and(|s| s.step == Step::Ready);
        self.active.as_ref().is_some_and(Target::is_full)
            || (scant && (!spare || self.open.is_some()))
            || self.flight.as_ref().is_some_and(|f| f.stalled.is_some())
    }
}

impl FileLog {
    /// Whether there is something that no frame under way or written says.
    pub(super) fn has_changes(&self) -> bool {
        let writer = &self.writer;
        writer.open.is_some() || !writer.removed.is_empty() || writer.front_moved || writer.skipped
    }

    pub(in crate::store) fn durable(&self, index: &Index) -> u64 {
        match self.config.sync {
            SyncPolicy::Always => self.writer.flushed.sequence,
            SyncPolicy::Interval => self.writer.written.sequence,
            SyncPolicy::Async if self.failure.is_none() => index.last_sequence(),
            SyncPolicy::Async => self.writer.written.sequence,
        }
    }

    pub(in crate::store) fn append(
        &mut self,
        sequence: u64,
        message: &NewMessage<'_>,
        index: &mut Index,
    ) -> Result<(), AppendError> {
        if self.failure.is_some() || !matches!(self.phase, Phase::Ready | Phase::Making { .. }) {
            return Err(AppendError::Failed);
        }
        if message.subject.len() > usize::from(u16::MAX) {
            return Err(AppendError::TooLarge);
        }
        let record = MessageRecord {
            sequence,
            unix_ns: message.unix_ns,
            wake: message.wake,
            subject: message.subject,
            header: message.header,
            payload: message.payload,
        };
        let length = record.length();
        self.frame_for(length, index)?;
        let Some(frame) = &mut self.writer.open else {
            return Err(AppendError::Failed);
        };
        let end = frame.used + length;
        frame.buffer.grow(end, frame.used);
        let sum = record.write(self.seed, &mut frame.buffer[frame.used..end]);
        let place = Place {
            segment: frame.segment,
            offset: frame.buffer_at + frame.used as u32,
        };
        let text = message.subject.len() + message.header.len() + message.payload.len();
        let mut entry = Entry::new(
            message.unix_ns,
            place,
            text,
            !message.header.is_empty(),
            message.wake.is_some(),
        );
        entry.set_stored_wake(message.wake.is_some());
        if index
            .push(sequence, message.subject, entry, message.wake)
            .is_err()
        {
            return Err(AppendError::TooLarge);
        }
        frame.used = end;
        frame.records += 1;
        frame.digest.add(sum);
        if let Some(segment) = self.segments.get_mut(&place.segment) {
            segment.add(sequence, &entry);
        }
        Ok(())
    }

    /// Makes sure that a frame is open and may take `length` more bytes.
    fn frame_for(&mut self, length: usize, index: &Index) -> Result<(), AppendError> {
        if self.writer.is_full() {
            self.writer.refused = true;
            return Err(AppendError::NoSpace);
        }
        let spare_full = self.writer.spare.as_ref().is_some_and(Target::is_full);
        if let Some(frame) = &self.writer.open {
            let waiting = self.writer.flight.as_ref().map_or(0, |flight| flight.used);
            let end = frame.buffer_at as usize + frame.used + length;
            if frame.used + length + waiting > PENDING_MAX || end > OFFSET_MAX {
                return Err(AppendError::Busy);
            }
            let capacity = self
                .writer
                .active
                .as_ref()
                .map_or(0, |active| active.capacity);
            if spare_full && end > (capacity - reserve(capacity)) as usize {
                self.writer.refused = true;
                return Err(AppendError::NoSpace);
            }
            return Ok(());
        }
        if !self.fits(length) && spare_full {
            self.writer.refused = true;
            return Err(AppendError::NoSpace);
        }
        self.open_frame(length, index);
        Ok(())
    }

    /// Whether a frame with a record of this length goes into the active segment.
    fn fits(&self, length: usize) -> bool {
        let Some(active) = self.writer.active.as_ref().filter(|_| !self.writer.roll) else {
            return false;
        };
        if active.scant.is_some() && length > 0 {
            return false;
        }
        let end = self
            .segments
            .get(&active.key)
            .map_or(0, |segment| segment.end);
        if end == 0 {
            return true;
        }
        let limit = active.capacity - reserve(active.capacity);
        end as usize + FRAME_HEAD + length <= limit as usize
    }

    fn open_frame(&mut self, length: usize, index: &Index) {
        if !self.fits(length) {
            let target = match self.writer.spare.take() {
                Some(spare) => spare,
                None => self.new_target(length),
            };
            self.retire_active();
            self.writer.active = Some(target);
        }
        let Some(active) = &self.writer.active else {
            return;
        };
        let first_commit = self.writer.commit + 1;
        let segment = self
            .segments
            .entry(active.key)
            .or_insert_with(|| Segment::new(active.name, first_commit));
        let fresh = segment.end == 0;
        let (buffer_at, start) = if fresh {
            segment.first_commit = first_commit;
            (0, FIRST_FRAME as usize)
        } else {
            let block = block_down(u64::from(segment.end)) as u32;
            (block, (segment.end - block) as usize)
        };
        let expected = start + FRAME_HEAD + length.max(self.writer.hint.min(1 << 20));
        let mut buffer = self.config.cache.buffer(expected.max(BLOCK));
        if fresh {
            let head = SegmentHead {
                identity: self.config.identity,
                number: active.name.number,
                last_number: active.name.last_number,
                generation: active.name.generation,
                first_commit,
                last_sequence: index.last_sequence(),
                last_unix_ns: index.state().last_unix_ns.unwrap_or(0),
                ..SegmentHead::default()
            };
            head.write(&mut buffer);
        } else {
            buffer[..start].copy_from_slice(&self.writer.edge[..start]);
        }
        self.writer.open = Some(Frame {
            segment: active.key,
            buffer,
            buffer_at,
            start,
            used: start + FRAME_HEAD,
            records: 0,
            digest: Digest::default(),
        });
    }

    /// Writes no more to the active segment.
    fn retire_active(&mut self) {
        if let Some(target) = self.writer.active.take() {
            let step = RetireStep::Waiting;
            self.writer.retired.push(Retired { target, step });
        }
        self.writer.roll = false;
        self.writer.edge.clear();
    }

    fn new_target(&mut self, length: usize) -> Target {
        let key = self.next_key;
        self.next_key += 1;
        let number = self.next_number;
        self.next_number += 1;
        let all: u64 = self.segments.values().map(|s| u64::from(s.end)).sum();
        let limit = self.config.segment_bytes.max(SEGMENT_MIN);
        let usual = all
            .next_power_of_two()
            .clamp(u64::from(SEGMENT_MIN), u64::from(limit));
        let needed = block_up((FIRST_FRAME as usize + FRAME_HEAD + length) as u64) * 8 / 7;
        let capacity = block_up(usual.max(needed)).min(OFFSET_MAX as u64) as u32;
        Target {
            key,
            name: Name::new(number),
            file: self.operations.file(),
            capacity,
            step: Step::Wanted,
            opened: false,
            doubtful: false,
            scant: None,
        }
    }

    /// Notes that a message is gone, for the next frame.
    pub(in crate::store) fn note_removed(&mut self, sequence: u64, entry: &Entry, index: &Index) {
        if let Some(segment) = self.segments.get_mut(&entry.place.segment) {
            segment.subtract(entry);
            if segment.live == 0 || segment.garbage() > segment.live_bytes {
                self.reclaim.look = true;
            }
        }
        // What is removed may be the room that is missing.
        self.writer.refused |= self.writer.is_full();
        if sequence < index.first_sequence() {
            self.writer.front_moved = true;
        } else {
            self.note_range(sequence, sequence);
        }
    }

    pub(super) fn note_range(&mut self, first: u64, last: u64) {
        match self.writer.removed.last_mut() {
            Some(range) if range.1 + 1 == first => range.1 = last,
            Some(range) if range.0 == last + 1 => range.0 = first,
            _ => self.writer.removed.push((first, last)),
        }
    }

    pub(in crate::store) fn note_skip(&mut self) {
        self.writer.skipped = true;
    }

    /// Submits what is possible.
    pub(super) fn flush_writes(&mut self, index: &Index, disk: &mut dyn Disk) {
        self.retry(disk);
        if self.writer.roll && self.writer.open.is_none() && self.writer.flight.is_none() {
            self.retire_active();
        }
        if self.has_changes() && self.writer.flight.is_none() {
            if self.writer.open.is_none() {
                let room = self
                    .writer
                    .spare
                    .as_ref()
                    .is_none_or(|spare| !spare.is_full());
                // Removals may use what messages leave free.
                let fits = self.writer.active.is_some() && !self.writer.roll;
                if fits && !room && !self.fits(0) {
                    self.open_in_active(index);
                } else {
                    self.open_frame(0, index);
                }
            }
            let ready = self
                .writer
                .active
                .as_ref()
                .is_some_and(|active| active.step == Step::Ready);
            // Nothing may be on disk in this segment while something before it is not flushed.
            let flushed = self.config.sync == SyncPolicy::Always || self.writer.retired.is_empty();
            if ready && flushed {
                self.seal(index, disk);
            }
        }
        self.prepare(disk);
        self.retire(disk);
    }

    /// Opens a frame in the active segment even if it does not fit.
    fn open_in_active(&mut self, index: &Index) {
        if let Some(active) = &mut self.writer.active {
            let capacity = std::mem::replace(&mut active.capacity, u32::MAX);
            self.open_frame(0, index);
            if let Some(active) = &mut self.writer.active {
                active.capacity = capacity;
            }
        }
    }

    /// Writes the open frame.
    fn seal(&mut self, index: &Index, disk: &mut dyn Disk) {
        let Some(mut frame) = self.writer.open.take() else {
            return;
        };
        self.seal_removals(&mut frame, index);
        self.writer.skipped = false;
        let Some(active) = &self.writer.active else {
            return;
        };
        self.writer.commit += 1;
        let head = FrameHead {
            identity: self.config.identity,
            commit: self.writer.commit,
            flushed: self.writer.flushed.commit,
            length: (frame.used - frame.start) as u32,
            records: frame.records,
            last_sequence: index.last_sequence(),
            digest: frame.digest.finish(),
            last_unix_ns: index.state().last_unix_ns.unwrap_or(0),
        };
        head.write(&mut frame.buffer[frame.start..]);
        let padded = frame.used.next_multiple_of(BLOCK);
        frame.buffer.grow(padded, frame.used);
        frame.buffer[frame.used..padded].fill(0);
        let edge = frame.used - frame.used % BLOCK;
        self.writer.edge.clear();
        self.writer
            .edge
            .extend_from_slice(&frame.buffer[edge..frame.used]);
        self.writer.hint = frame.used - frame.start;
        self.writer.bytes += u64::from(head.length);
        let end = frame.buffer_at + frame.used as u32;
        if let Some(segment) = self.segments.get_mut(&frame.segment) {
            segment.end = end;
        }
        self.writer.flight = Some(Flight {
            segment: frame.segment,
            buffer_at: frame.buffer_at,
            start: frame.start,
            used: frame.used,
            point: Point {
                commit: self.writer.commit,
                sequence: head.last_sequence,
            },
            stalled: None,
        });
        let write = Op::Write {
            file: active.file,
            offset: u64::from(frame.buffer_at),
            buffer: frame.buffer,
            range: 0..padded,
            sync: self.config.sync == SyncPolicy::Always,
        };
        let doing = super::Doing::Write(Doing::Frame);
        self.operations.submit(doing, write, disk);
    }

    /// Adds the records of removals to the frame that is about to be written.
    fn seal_removals(&mut self, frame: &mut Frame, index: &Index) {
        let mut removed = std::mem::take(&mut self.writer.removed);
        let first = index.first_sequence();
        if self.writer.front_moved {
            self.writer.front_moved = false;
            self.writer.front_segment = frame.segment;
            removed.retain(|range| range.1 >= first);
            removed.push((0, first - 1));
        } else if removed.is_empty() {
            return;
        }
        removed.sort_unstable();
        removed.dedup_by(|next, kept| {
            let joined = next.0 <= kept.1.saturating_add(1);
            if joined {
                kept.1 = kept.1.max(next.1);
            }
            joined
        });
        if let Some(segment) = self.segments.get_mut(&frame.segment) {
            // Those about the front are known by `front_segment`.
            for range in removed.iter().filter(|range| range.0 > 0) {
                segment.note_removals(range.0, range.1);
            }
        }
        let mut record = Vec::new();
        for ranges in removed.chunks(RANGES_MAX) {
            record.clear();
            let sum = write_removed(self.seed, ranges, &mut record);
            debug_assert!(record.len().is_multiple_of(ALIGN));
            let end = frame.used + record.len();
            frame.buffer.grow(end, frame.used);
            frame.buffer[frame.used..end].copy_from_slice(&record);
            frame.used = end;
            frame.records += 1;
            frame.digest.add(sum);
        }
        removed.clear();
        self.writer.removed = removed;
    }

    /// Looks for room again, if somebody wanted some.
    fn retry(&mut self, disk: &mut dyn Disk) {
        if !std::mem::take(&mut self.writer.refused) {
            return;
        }
        for target in [&mut self.writer.active, &mut self.writer.spare] {
            if let Some(target) = target.as_mut().filter(|t| t.step == Step::Full) {
                target.step = Step::Wanted;
            }
        }
        let Some(flight) = &mut self.writer.flight else {
            return;
        };
        if let (Some(buffer), Some(active)) = (flight.stalled.take(), &self.writer.active) {
            let write = Op::Write {
                file: active.file,
                offset: u64::from(flight.buffer_at),
                buffer,
                range: 0..flight.used.next_multiple_of(BLOCK),
                sync: self.config.sync == SyncPolicy::Always,
            };
            let doing = super::Doing::Write(Doing::Frame);
            self.operations.submit(doing, write, disk);
        }
    }

    /// Makes the file of the active segment, or of the next one when the active is half full.
    fn prepare(&mut self, disk: &mut dyn Disk) {
        if let Some(active) = &self.writer.active {
            let end = self
                .segments
                .get(&active.key)
                .map_or(0, |segment| segment.end);
            if active.step == Step::Ready
                && (end > active.capacity / 2 || active.scant.is_some())
                && self.writer.spare.is_none()
            {
                self.writer.spare = Some(self.new_target(0));
            }
        }
        for target in [&mut self.writer.active, &mut self.writer.spare] {
            let Some(target) = target.as_mut().filter(|t| t.step == Step::Wanted) else {
                continue;
            };
            let op = if target.opened {
                target.step = Step::Allocating;
                Op::Allocate {
                    file: target.file,
                    length: u64::from(target.capacity),
                }
            } else {
                target.step = Step::Opening;
                Op::Open {
                    file: target.file,
                    path: format!("{}/{}", self.config.directory, target.name.file()),
                    mode: OpenMode::Write { create: true },
                }
            };
            let doing = super::Doing::Write(Doing::Prepare(target.key));
            self.operations.submit(doing, op, disk);
        }
    }

    fn prepared(&mut self, key: u32, done: Completed, disk: &mut dyn Disk) {
        let directory = self.config.directory.clone();
        let is_active = self.writer.active_key() == Some(key);
        let targets = [&mut self.writer.active, &mut self.writer.spare];
        let Some(target) = targets.into_iter().flatten().find(|t| t.key == key) else {
            return;
        };
        let file = target.file;
        let next = match (done.result, target.step) {
            (Err(DiskError::NoSpace), Step::Allocating) if is_active && target.scant.is_none() => {
                let waiting = self.writer.open.as_ref().map_or(0, |frame| frame.used);
                let length = block_up(waiting as u64) + u64::from(SCANT);
                target.scant = Some(length as u32);
                Op::Allocate { file, length }
            }
            (Err(DiskError::NoSpace), _) => {
                target.scant = None;
                target.step = Step::Full;
                target.doubtful = true;
                if is_active {
                    // Not even removals can be written.
                    self.discard_checkpoints(disk);
                }
                return;
            }
            (Err(error), _) => {
                let path = format!("{directory}/{}", target.name.file());
                self.fail_write(path, error);
                return;
            }
            (Ok(_), Step::Opening) => {
                target.opened = true;
                target.step = Step::Cutting;
                Op::Truncate { file, length: 0 }
            }
            (Ok(_), Step::Cutting) => {
                target.step = Step::Allocating;
                Op::Allocate {
                    file,
                    length: u64::from(target.capacity),
                }
            }
            (Ok(_), Step::Allocating) => {
                target.step = Step::Syncing;
                Op::SyncDir { path: directory }
            }
            (Ok(_), _) => {
                target.step = Step::Ready;
                target.capacity = target.scant.unwrap_or(target.capacity);
                target.doubtful &= target.scant.is_some();
                return;
            }
        };
        let doing = super::Doing::Write(Doing::Prepare(key));
        self.operations.submit(doing, next, disk);
    }

    /// Flushes, cuts and closes segments that are not written to any more.
    fn retire(&mut self, disk: &mut dyn Disk) {
        let flying = self.writer.flight.as_ref().map(|flight| flight.segment);
        let synced = self.config.sync == SyncPolicy::Always;
        for retired in &mut self.writer.retired {
            let target = &retired.target;
            if retired.step != RetireStep::Waiting || flying == Some(target.key) {
                continue;
            }
            let end = self
                .segments
                .get(&target.key)
                .map_or(0, |segment| segment.end);
            let op = if synced {
                retired.step = RetireStep::Cutting;
                Op::Truncate {
                    file: target.file,
                    length: block_up(u64::from(end)),
                }
            } else {
                retired.step = RetireStep::Syncing;
                Op::Sync { file: target.file }
            };
            let doing = super::Doing::Write(Doing::Retire(target.key));
            self.operations.submit(doing, op, disk);
        }
    }

    fn retired(&mut self, key: u32, done: &Completed, disk: &mut dyn Disk) {
        let Some(at) = self.writer.retired.iter().position(|r| r.target.key == key) else {
            return;
        };
        let retired = &mut self.writer.retired[at];
        let file = retired.target.file;
        if let Err(error) = done.result
            && retired.step == RetireStep::Syncing
        {
            let path = self.path(&self.writer.retired[at].target.name.file());
            self.fail_write(path, error);
            return;
        }
        if retired.step == RetireStep::Syncing {
            retired.step = RetireStep::Cutting;
            let end = self.segments.get(&key).map_or(0, |segment| segment.end);
            let length = block_up(u64::from(end));
            let doing = super::Doing::Write(Doing::Retire(key));
            self.operations
                .submit(doing, Op::Truncate { file, length }, disk);
            return;
        }
        // A file that could not be cut is only larger than it need be.
        if retired.step == RetireStep::Cutting {
            retired.step = RetireStep::Closing;
            let doing = super::Doing::Write(Doing::Retire(key));
            self.operations.submit(doing, Op::Close { file }, disk);
            return;
        }
        self.writer.retired.swap_remove(at);
        if let Some(segment) = self.segments.get_mut(&key) {
            segment.sealed = true;
        }
        self.reclaim.look = true;
    }

    pub(in crate::store) fn wants_sync(&self) -> bool {
        self.config.sync != SyncPolicy::Always
            && self.writer.written.commit > self.writer.flushed.commit
    }

    pub(in crate::store) fn sync(&mut self, disk: &mut dyn Disk) {
        // What is in a retired segment is flushed when it is retired.
        if !self.wants_sync() || self.writer.syncing || !self.writer.retired.is_empty() {
            return;
        }
        let Some(active) = &self.writer.active else {
            // All is in retired segments, and so flushed.
            self.writer.flushed = self.writer.written;
            return;
        };
        if active.step == Step::Ready {
            self.writer.syncing = true;
            let doing = super::Doing::Write(Doing::Sync(self.writer.written));
            let sync = Op::Sync { file: active.file };
            self.operations.submit(doing, sync, disk);
        }
    }

    pub(super) fn write_step(
        &mut self,
        doing: Doing,
        done: Completed,
        index: &mut Index,
        disk: &mut dyn Disk,
    ) {
        match doing {
            Doing::Prepare(key) => self.prepared(key, done, disk),
            Doing::Frame => self.frame_written(done, index, disk),
            Doing::Sync(point) => {
                self.writer.syncing = false;
                match done.result {
                    Ok(_) => self.writer.flushed = point,
                    Err(error) => self.write_failed(error, None, index, disk),
                }
            }
            Doing::Retire(key) => self.retired(key, &done, disk),
            Doing::Reread => self.reread(done, index),
        }
    }

    fn frame_written(&mut self, done: Completed, index: &mut Index, disk: &mut dyn Disk) {
        let Some(mut flight) = self.writer.flight.take() else {
            return;
        };
        match done.result {
            Ok(_) => {
                self.writer.written = flight.point;
                if self.config.sync == SyncPolicy::Always {
                    self.writer.flushed = flight.point;
                }
                let end = flight.buffer_at + flight.used as u32;
                if let Some(segment) = self.segments.get_mut(&flight.segment) {
                    segment.written = end;
                }
                if let Some(buffer) = done.buffer {
                    let window = Window {
                        start: flight.buffer_at,
                        used: flight.used,
                        buffer,
                    };
                    self.config
                        .cache
                        .insert(self.owner, flight.segment, window.into());
                }
            }
            Err(DiskError::NoSpace) => {
                flight.stalled = done.buffer;
                self.writer.flight = Some(flight);
            }
            Err(error) => {
                let acknowledged = done.buffer.map(|buffer| {
                    let bytes = buffer[..flight.start].to_vec();
                    (flight.segment, flight.buffer_at, bytes)
                });
                self.write_failed(error, acknowledged, index, disk);
            }
        }
    }

    /// Stops the log: what is not acknowledged is taken back, and what is acknowledged in the
    /// block that was being written is read again.
    fn write_failed(
        &mut self,
        error: DiskError,
        acknowledged: Option<(u32, u32, Vec<u8>)>,
        index: &mut Index,
        disk: &mut dyn Disk,
    ) {
        let file = self.writer.active.as_ref().map(|active| active.file);
        let name = self.writer.active.as_ref().map(|active| active.name.file());
        let path = self.path(&name.unwrap_or_default());
        self.writer.open = None;
        self.writer.flight = None;
        self.fail_write(path, error);
        let durable = self.durable(index);
        while let Some(last) = index.previous(u64::MAX).filter(|last| *last > durable) {
            if let Some((entry, _)) = index.remove(last)
                && let Some(segment) = self.segments.get_mut(&entry.place.segment)
            {
                segment.subtract(&entry);
            }
        }
        if let Some((segment, offset, bytes)) = acknowledged.filter(|(_, _, b)| !b.is_empty())
            && let Some(file) = file
        {
            let read = Op::Read {
                file,
                offset: u64::from(offset),
                buffer: Aligned::new(bytes.len()),
            };
            self.writer.reread = Some((segment, offset, bytes));
            let doing = super::Doing::Write(Doing::Reread);
            self.operations.submit(doing, read, disk);
        }
    }

    fn reread(&mut self, done: Completed, index: &Index) {
        let Some((key, offset, bytes)) = self.writer.reread.take() else {
            return;
        };
        let same =
            done.result.is_ok() && done.buffer.is_some_and(|buffer| buffer.starts_with(&bytes));
        let Some(segment) = self.segments.get(&key).filter(|_| !same) else {
            return;
        };
        let last = index.previous(u64::MAX).unwrap_or(0);
        let mut first = last + 1;
        while let Some(before) = index.previous(first.saturating_sub(1)).filter(|s| *s > 0) {
            match index.get(before) {
                Some(entry) if entry.place.segment == key && entry.place.offset >= offset => {
                    first = before;
                }
                _ => break,
            }
        }
        let damage = Damage {
            path: self.path(&segment.name.file()),
            bytes: u64::from(offset)..u64::from(offset) + bytes.len() as u64,
            first,
            last,
        };
        self.report(damage);
    }
}
