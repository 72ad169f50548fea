//! Reading messages: from what accumulates, from the cache, or from the disk in windows.

use std::sync::Arc;

use super::FileLog;
use super::record::{Record, is_intact, parse_record, sequence_of};
use super::segment::{ReadHandle, Segment, extent_of};
use crate::store::cache::Window;
use crate::store::disk::{BLOCK, Completed, Disk, Op, OpenMode, block_down, block_up};
use crate::store::index::{Entry, Index, Place};
use crate::store::message::{Damage, Fetch, Stored};

/// Bytes read at once where reading goes forward.
const AHEAD: u64 = 128 * 1024;
/// Readers of one log whose going forward is noticed.
const READERS: usize = 8;
/// Segments of a log that are open for reading at a time, those being read besides.
const OPEN_MAX: usize = 16;
/// Stretches that could not be read, remembered until the log is opened again.
const BROKEN_MAX: usize = 256;

#[derive(Clone, Copy, Debug)]
pub(super) enum Doing {
    Open {
        segment: u32,
        file: crate::store::disk::FileId,
    },
    /// Two that begin at the same byte may be under way, if the second goes further.
    Load { segment: u32, start: u32, end: u32 },
}

#[derive(Debug)]
struct Load {
    segment: u32,
    start: u32,
    end: u32,
    /// How much of it was written when it was asked for.
    written: u32,
}

#[derive(Debug, Default)]
pub(super) struct Reads {
    /// The window of the message handed out.
    held: Option<(u32, Arc<Window>)>,
    loads: Vec<Load>,
    /// Where the last loads ended: segment and byte.
    ends: [(u32, u32); READERS],
    turn: usize,
    /// Stretches (segment, start, end) that could not be read.
    broken: Vec<(u32, u32, u32)>,
}

impl Reads {
    fn loading(&self, segment: u32, start: u32, end: u32) -> bool {
        self.loads
            .iter()
            .any(|load| load.segment == segment && load.start <= start && end <= load.end)
    }

    /// Forgets what is held of a segment.
    pub(super) fn forget(&mut self, segment: u32) {
        self.held.take_if(|held| held.0 == segment);
        self.broken.retain(|broken| broken.0 != segment);
    }
}

enum Found {
    /// In the open frame: offset in its buffer.
    Open(usize),
    Held,
    Loading,
    Broken,
}

impl FileLog {
    pub(in crate::store) fn get<'a>(
        &'a mut self,
        sequence: u64,
        index: &'a Index,
        disk: &mut dyn Disk,
    ) -> Fetch<'a> {
        let Some(entry) = index.get(sequence) else {
            return Fetch::Missing;
        };
        let (place, bytes) = extent_of(entry);
        let length = (bytes.end - bytes.start) as usize;
        let found = self.locate(place, length, disk);
        match found {
            Found::Loading => return Fetch::Loading,
            Found::Broken => {
                self.report_message(sequence, entry);
                return Fetch::Damaged;
            }
            Found::Open(_) | Found::Held => {}
        }
        // In two steps, for what is handed out borrows from `self`.
        let intact = self.bytes_at(&found, place, length).is_some_and(|bytes| {
            is_intact(self.seed, bytes) && sequence_of(bytes) == Some(sequence)
        });
        if !intact {
            self.report_message(sequence, entry);
            return Fetch::Damaged;
        }
        match self.bytes_at(&found, place, length).and_then(parse_record) {
            Some(Record::Message(message)) => Fetch::Message(Stored {
                sequence,
                unix_ns: message.unix_ns,
                subject: message.subject,
                header: message.header,
                payload: message.payload,
            }),
            _ => Fetch::Damaged,
        }
    }

    fn bytes_at(&self, found: &Found, place: Place, length: usize) -> Option<&[u8]> {
        match found {
            Found::Open(at) => self.writer.open.as_ref()?.buffer.get(*at..*at + length),
            _ => Some(&self.reads.held.as_ref()?.1.from(place.offset, length)?[..length]),
        }
    }

    fn report_message(&mut self, sequence: u64, entry: &Entry) {
        let (place, bytes) = extent_of(entry);
        let Some(segment) = self.segments.get_mut(&place.segment) else {
            let damage = Damage {
                path: self.config.directory.clone(),
                bytes,
                first: sequence,
                last: sequence,
            };
            self.report(damage);
            return;
        };
        segment.damaged = true;
        let name = segment.name;
        let damage = Damage {
            path: self.path(&name.file()),
            bytes,
            first: sequence,
            last: sequence,
        };
        self.report(damage);
    }

    fn locate(&mut self, place: Place, length: usize, disk: &mut dyn Disk) -> Found {
        if let Some(frame) = &self.writer.open
            && frame.segment == place.segment
            && place.offset >= frame.buffer_at
        {
            return Found::Open((place.offset - frame.buffer_at) as usize);
        }
        if let Some((segment, window)) = &self.reads.held
            && *segment == place.segment
            && window.from(place.offset, length).is_some()
        {
            return Found::Held;
        }
        let cached = self
            .config
            .cache
            .get(self.owner, place.segment, place.offset, length);
        if let Some(window) = cached {
            self.read_ahead(place, &window, disk);
            self.reads.held = Some((place.segment, window));
            return Found::Held;
        }
        let end = place.offset + length as u32;
        let Some(segment) = self.segments.get_mut(&place.segment) else {
            return Found::Broken;
        };
        if end > segment.written {
            // It is being written.
            return Found::Loading;
        }
        let broken = |broken: &(u32, u32, u32)| {
            broken.0 == place.segment && broken.1 < end && place.offset < broken.2
        };
        if self.reads.broken.iter().any(broken) {
            return Found::Broken;
        }
        match segment.reader {
            ReadHandle::Broken => return Found::Broken,
            ReadHandle::Opening => return Found::Loading,
            ReadHandle::Closed => {
                self.open_reader(place.segment, disk);
                return Found::Loading;
            }
            ReadHandle::Open(_) => {}
        }
        let start = block_down(u64::from(place.offset));
        // Forward: it begins where a load ended, or the message was cut by that end.
        let near = |last: &&mut (u32, u32)| {
            last.0 == place.segment && place.offset <= last.1 && last.1 < end.max(place.offset + 1)
                || (last.0, last.1) == (place.segment, start as u32)
        };
        let forward = self.reads.ends.iter_mut().find(near).is_some();
        let least = block_up(u64::from(end));
        let wanted = if forward {
            (start + AHEAD).max(least)
        } else {
            least
        };
        self.load(place.segment, start as u32, wanted, disk);
        Found::Loading
    }

    /// Starts reading what follows a window, once its second half is reached.
    fn read_ahead(&mut self, place: Place, window: &Window, disk: &mut dyn Disk) {
        let end = window.start + window.used as u32;
        if (window.used as u64) < AHEAD
            || place.offset - window.start < window.used as u32 / 2
            || !u64::from(end).is_multiple_of(BLOCK as u64)
        {
            return;
        }
        let Some(segment) = self.segments.get(&place.segment) else {
            return;
        };
        let open = matches!(segment.reader, ReadHandle::Open(_));
        if !open
            || end >= segment.written
            || self
                .config
                .cache
                .get(self.owner, place.segment, end, 1)
                .is_some()
        {
            return;
        }
        self.load(place.segment, end, u64::from(end) + AHEAD, disk);
    }

    fn load(&mut self, key: u32, start: u32, wanted: u64, disk: &mut dyn Disk) {
        let Some(segment) = self.segments.get_mut(&key) else {
            return;
        };
        let ReadHandle::Open(file) = segment.reader else {
            return;
        };
        let end = wanted.min(block_up(u64::from(segment.written))) as u32;
        if end <= start || self.reads.loading(key, start, end) {
            return;
        }
        segment.reads += 1;
        self.reads.loads.push(Load {
            segment: key,
            start,
            end,
            written: segment.written,
        });
        let turn = match self
            .reads
            .ends
            .iter()
            .position(|last| *last == (key, start))
        {
            Some(turn) => turn,
            None => {
                self.reads.turn = (self.reads.turn + 1) % READERS;
                self.reads.turn
            }
        };
        self.reads.ends[turn] = (key, end);
        let length = (end - start) as usize;
        let read = Op::Read {
            file,
            offset: u64::from(start),
            buffer: self.read_buffer(length),
        };
        let doing = super::Doing::Read(Doing::Load {
            segment: key,
            start,
            end,
        });
        self.operations.submit(doing, read, disk);
    }

    /// A buffer of exactly `length` bytes: a read fills all of it.
    fn read_buffer(&self, length: usize) -> crate::store::aligned::Aligned {
        let buffer = self.config.cache.buffer(length);
        if buffer.len() == length {
            return buffer;
        }
        self.config.cache.recycle(buffer);
        crate::store::aligned::Aligned::new(length)
    }

    pub(super) fn open_reader(&mut self, key: u32, disk: &mut dyn Disk) {
        self.close_some_reader(disk);
        let file = self.operations.file();
        let Some(segment) = self.segments.get_mut(&key) else {
            return;
        };
        segment.reader = ReadHandle::Opening;
        let open = Op::Open {
            file,
            path: format!("{}/{}", self.config.directory, segment.name.file()),
            mode: OpenMode::Read,
        };
        let doing = super::Doing::Read(Doing::Open { segment: key, file });
        self.operations.submit(doing, open, disk);
    }

    fn close_some_reader(&mut self, disk: &mut dyn Disk) {
        let open = |segment: &Segment| matches!(segment.reader, ReadHandle::Open(_));
        if self.segments.values().filter(|s| open(s)).count() < OPEN_MAX {
            return;
        }
        let held = self.reads.held.as_ref().map(|held| held.0);
        let idle = self
            .segments
            .iter_mut()
            .find(|(key, s)| open(s) && s.reads == 0 && Some(**key) != held);
        if let Some((_, segment)) = idle {
            self.operations.close_reader(segment, disk);
        }
    }

    pub(super) fn read_step(&mut self, doing: Doing, done: Completed) {
        match doing {
            Doing::Open { segment, file } => {
                if let Some(segment) = self.segments.get_mut(&segment) {
                    segment.reader = match done.result {
                        Ok(_) => ReadHandle::Open(file),
                        Err(_) => ReadHandle::Broken,
                    };
                }
            }
            Doing::Load {
                segment,
                start,
                end,
            } => self.loaded(segment, start, end, done),
        }
    }

    fn loaded(&mut self, key: u32, start: u32, end: u32, done: Completed) {
        let at = self
            .reads
            .loads
            .iter()
            .position(|load| (load.segment, load.start, load.end) == (key, start, end));
        let Some(load) = at.map(|at| self.reads.loads.swap_remove(at)) else {
            return;
        };
        if let Some(segment) = self.segments.get_mut(&key) {
            segment.reads -= 1;
        }
        let wanted = load.end.min(load.written) - start;
        match (done.result, done.buffer) {
            (Ok(crate::store::disk::Output::Read { bytes }), Some(buffer))
                if bytes as u64 >= u64::from(wanted) =>
            {
                let window = Window {
                    start,
                    used: wanted as usize,
                    buffer,
                };
                let window = Arc::new(window);
                self.config
                    .cache
                    .insert(self.owner, key, Arc::clone(&window));
                // Under a tiny budget it may be gone from the cache already.
                self.reads.held = Some((key, window));
            }
            _ => {
                if self.reads.broken.len() < BROKEN_MAX {
                    self.reads.broken.push((key, start, load.end));
                }
            }
        }
    }
}

impl super::Operations {
    pub(super) fn close_reader(&mut self, segment: &mut Segment, disk: &mut dyn Disk) {
        if let ReadHandle::Open(file) = segment.reader {
            segment.reader = ReadHandle::Closed;
            self.submit(super::Doing::Nothing, Op::Close { file }, disk);
        }
    }
}
