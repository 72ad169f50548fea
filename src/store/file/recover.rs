//! From files to an index: the newest checkpoint, and the log behind it.

use std::collections::{BTreeMap, VecDeque};

use super::image::Decoder;
use super::record::{FIRST_FRAME, HeadRead, Record, SegmentHead};
use super::scan::{Found, Limits, Progress, Scan};
use super::segment::{Name, Segment, UNFINISHED, checkpoint_file, parse_checkpoint_file};
use super::{FileLog, Phase};
use crate::store::aligned::Aligned;
use crate::store::disk::{
    BLOCK, Completed, Disk, DiskError, FileId, Op, OpenMode, Output, block_down, block_up,
};
use crate::store::index::{Entry, Index, Place};
use crate::store::message::{Damage, LogFailure, Replay, Stored};

/// How often the directory is listed again because a file in it went.
const AGAIN_MAX: u32 = 8;
/// Bytes read at a time, at the start of a file less: thousands of streams recover at once, and
/// most are small.
const STEP: usize = 1024 * 1024;
const FIRST_STEP: usize = 64 * 1024;

/// Bytes to read at `offset` of a file.
fn step(offset: u64) -> usize {
    usize::try_from(offset).map_or(STEP, |offset| offset.clamp(FIRST_STEP, STEP))
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Doing {
    List,
    OpenCheckpoint,
    ReadCheckpoint,
    /// Of the segment at this place in the list.
    OpenHead(usize),
    ReadHead(usize),
    ReadFrames,
    Sync,
}

/// A segment file that is there.
#[derive(Debug)]
struct Listed {
    name: Name,
    length: u64,
    key: u32,
    file: Option<FileId>,
    head: Option<SegmentHead>,
    /// Nothing in it was ever acknowledged.
    empty: bool,
    work: Work,
    /// The last block as it should be, if a torn frame begins in it.
    mended: Option<(u64, Aligned)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    /// The checkpoint knows all of it.
    None,
    /// Its frames from this byte on are replayed.
    Replay(u64),
    /// It was compacted after the checkpoint: only where its messages are is news.
    Relocate,
    /// Nothing is read; its file is longer than need be.
    Cut,
}

#[derive(Debug)]
struct Loading {
    number: u32,
    file: FileId,
    decoder: Box<Decoder>,
    data: Vec<u8>,
    at: u64,
}

#[derive(Debug)]
struct Scanning {
    at: usize,
    scan: Scan,
    data: Vec<u8>,
    data_at: u64,
    wanted: u64,
}

#[derive(Debug, Default)]
pub(super) struct Recovery {
    listed: Vec<Listed>,
    checkpoints: Vec<u32>,
    loading: Option<Loading>,
    scanning: Option<Scanning>,
    heads: VecDeque<usize>,
    /// The commit expected next; 0 before the first is known.
    expected: u64,
    /// Messages up to here stand in the checkpoint, ...
    known: u64,
    /// ... and those up to here are no news for the stream.
    told: u64,
    has_checkpoint: bool,
    front_segment: u32,
    /// Flushes under way at the end.
    syncs: usize,
    /// How often it was begun anew.
    again: u32,
}

impl FileLog {
    fn recovery(&mut self) -> Option<&mut Recovery> {
        match &mut self.phase {
            Phase::Recovering(recovery) => Some(recovery),
            _ => None,
        }
    }

    fn cannot_open(&mut self, path: String, error: DiskError) {
        self.fail(LogFailure::Open { path, error });
    }

    fn recover_op(&mut self, doing: Doing, op: Op, disk: &mut dyn Disk) {
        self.operations
            .submit(super::Doing::Recovery(doing), op, disk);
    }

    pub(super) fn recovery_step(
        &mut self,
        doing: Doing,
        done: Completed,
        index: &mut Index,
        disk: &mut dyn Disk,
        replay: &mut dyn Replay,
    ) {
        match doing {
            Doing::List => self.listed(done, index, disk),
            Doing::OpenCheckpoint => match done.result {
                Ok(_) => self.read_checkpoint(disk),
                Err(_) => self.next_checkpoint(index, disk),
            },
            Doing::ReadCheckpoint => self.checkpoint_read(done, index, disk),
            Doing::OpenHead(at) => self.head_opened(at, done, index, disk),
            Doing::ReadHead(at) => self.head_read(at, done, index, disk),
            Doing::ReadFrames => self.frames_read(done, index, disk, replay),
            Doing::Sync => self.synced(done, index, disk),
        }
        // The stream hears of the checkpoint when all files are there, and before any message.
        let settled = match &self.phase {
            Phase::Recovering(recovery) => recovery.scanning.is_some(),
            _ => true,
        };
        if settled && let Some(blob) = self.blob.take() {
            replay.checkpoint(&blob);
        }
    }

    fn listed(&mut self, done: Completed, index: &mut Index, disk: &mut dyn Disk) {
        let names = match done.result {
            Ok(Output::Names(names)) => names,
            Ok(_) => Vec::new(),
            Err(DiskError::NotFound) => {
                // Its making was interrupted.
                index.skip_to(self.config.first_sequence.saturating_sub(1));
                self.make(index, disk);
                return;
            }
            Err(error) => {
                self.cannot_open(self.config.directory.clone(), error);
                return;
            }
        };
        let mut segments: Vec<(Name, u64)> = Vec::new();
        let mut checkpoints = Vec::new();
        let mut junk = Vec::new();
        for entry in names {
            if let Some(name) = Name::parse(&entry.name) {
                segments.push((name, entry.length));
            } else if let Some(number) = parse_checkpoint_file(&entry.name) {
                checkpoints.push(number);
            } else if entry.name.ends_with(UNFINISHED) {
                junk.push(entry.name);
            }
        }
        segments.sort_unstable();
        let superseded = |name: &Name| segments.iter().any(|other| other.0.supersedes(name));
        let (old, valid): (Vec<_>, Vec<_>) = segments
            .iter()
            .copied()
            .partition(|(name, _)| superseded(name));
        junk.extend(old.iter().map(|(name, _)| name.file()));
        checkpoints.sort_unstable();
        self.checkpoint.newest = checkpoints.last().copied().unwrap_or(0);
        self.checkpoint.old.clone_from(&checkpoints);
        self.next_number = segments
            .iter()
            .map(|s| s.0.last_number + 1)
            .max()
            .unwrap_or(1);
        if let Some(recovery) = self.recovery() {
            recovery.checkpoints = checkpoints;
            recovery.listed = valid
                .into_iter()
                .map(|(name, length)| Listed {
                    name,
                    length,
                    key: 0,
                    file: None,
                    head: None,
                    empty: false,
                    work: Work::Replay(FIRST_FRAME.into()),
                    mended: None,
                })
                .collect();
        }
        for file in junk {
            let path = self.path(&file);
            self.operations
                .submit(super::Doing::Nothing, Op::Remove { path }, disk);
        }
        self.next_checkpoint(index, disk);
    }

    /// Opens the newest checkpoint that was not tried yet; without one all is replayed.
    fn next_checkpoint(&mut self, index: &mut Index, disk: &mut dyn Disk) {
        let file = self.operations.file();
        let seed = self.config.seed;
        let Some(recovery) = self.recovery() else {
            return;
        };
        let old = recovery.loading.take().map(|loading| loading.file);
        let next = recovery.checkpoints.pop();
        if let Some(number) = next {
            recovery.loading = Some(Loading {
                number,
                file,
                decoder: Box::new(Decoder::new(seed)),
                data: Vec::new(),
                at: 0,
            });
            let path = self.path(&checkpoint_file(number));
            let mode = OpenMode::Read;
            self.recover_op(Doing::OpenCheckpoint, Op::Open { file, path, mode }, disk);
        } else {
            self.plan(index, disk);
        }
        if let Some(file) = old {
            let close = Op::Close { file };
            self.operations.submit(super::Doing::Nothing, close, disk);
        }
    }

    fn read_checkpoint(&mut self, disk: &mut dyn Disk) {
        let Some(loading) = self.recovery().and_then(|r| r.loading.as_ref()) else {
            return;
        };
        let read = Op::Read {
            file: loading.file,
            offset: loading.at,
            buffer: Aligned::new(step(loading.at)),
        };
        self.recover_op(Doing::ReadCheckpoint, read, disk);
    }

    fn checkpoint_read(&mut self, done: Completed, index: &mut Index, disk: &mut dyn Disk) {
        let identity = self.config.identity;
        let Some(recovery) = self.recovery() else {
            return;
        };
        let Some(loading) = recovery.loading.as_mut() else {
            return;
        };
        let bytes = match (done.result, &done.buffer) {
            (Ok(Output::Read { bytes }), Some(buffer)) => &buffer[..bytes.min(buffer.len())],
            _ => &[],
        };
        let at_end = bytes.len() < step(loading.at);
        loading.at += bytes.len() as u64;
        loading.data.extend_from_slice(bytes);
        let used = loading.decoder.feed(&loading.data);
        let complete = loading.decoder.is_complete();
        match used {
            Some(used) if !complete && !at_end => {
                loading.data.drain(..used);
                // Sections are small; a length that is not is damage.
                if Decoder::wanted(&loading.data) > 64 * STEP {
                    self.next_checkpoint(index, disk);
                } else {
                    self.read_checkpoint(disk);
                }
            }
            Some(_) if complete && loading.decoder.start.identity == identity => {
                let size = loading.at;
                if let Some(loading) = recovery.loading.take() {
                    recovery.checkpoints.clear();
                    let number = loading.number;
                    let mut others = std::mem::replace(&mut self.checkpoint.old, vec![number]);
                    others.retain(|other| *other != number);
                    self.remove_checkpoints(others, disk);
                    let close = Op::Close { file: loading.file };
                    self.operations.submit(super::Doing::Nothing, close, disk);
                    self.checkpoint.size = size;
                    self.take_checkpoint(*loading.decoder, index);
                }
                self.plan(index, disk);
            }
            _ => self.next_checkpoint(index, disk),
        }
    }

    fn take_checkpoint(&mut self, mut decoder: Decoder, index: &mut Index) {
        decoder.drop_unused();
        *index = decoder.index;
        self.blob = Some(decoder.blob);
        for (key, segment) in decoder.segments {
            self.next_key = self.next_key.max(key + 1);
            self.segments.insert(key, segment);
        }
        let start = decoder.start;
        self.checkpoint.replays_from = Some(start.segment);
        if let Some(recovery) = self.recovery() {
            recovery.has_checkpoint = true;
            recovery.expected = start.commit;
            recovery.known = start.last_sequence;
            recovery.told = start.blob_sequence;
            recovery.front_segment = start.front_segment;
            for listed in &mut recovery.listed {
                listed.work = if listed.name.last_number < start.segment {
                    Work::None
                } else if listed.name == Name::new(start.segment) {
                    Work::Replay(start.offset.into())
                } else {
                    Work::Replay(FIRST_FRAME.into())
                };
            }
        }
        self.count_live(index);
    }

    /// Counts the messages of a loaded index into their segments.
    fn count_live(&mut self, index: &Index) {
        let mut next = index.next(0);
        while let Some(sequence) = next {
            let Some(entry) = index.get(sequence) else {
                break;
            };
            if let Some(segment) = self.segments.get_mut(&entry.place.segment) {
                segment.live += 1;
                segment.live_bytes += super::segment::record_length(entry);
            }
            next = index.next(sequence + 1);
        }
    }

    /// Gives each file its segment, and decides what is read.
    fn plan(&mut self, index: &mut Index, disk: &mut dyn Disk) {
        let Phase::Recovering(recovery) = &mut self.phase else {
            return;
        };
        let known: BTreeMap<Name, u32> = self
            .segments
            .iter()
            .map(|(key, segment)| (segment.name, *key))
            .collect();
        // Those that are not there were dropped since the checkpoint, if the log says so.
        for segment in self.segments.values_mut() {
            segment.dropping = true;
        }
        for listed in &mut recovery.listed {
            if let Some(key) = known.get(&listed.name) {
                listed.key = *key;
                if let Some(segment) = self.segments.get_mut(key) {
                    segment.dropping = false;
                    let long = listed.length > block_up(segment.end.into());
                    if listed.work == Work::None && long {
                        listed.work = Work::Cut;
                    }
                }
                continue;
            }
            listed.key = self.next_key;
            self.next_key += 1;
            self.segments
                .insert(listed.key, Segment::new(listed.name, 0));
            if listed.work == Work::None {
                listed.work = Work::Relocate;
            }
        }
        recovery.heads = (0..recovery.listed.len())
            .filter(|at| recovery.listed[*at].work != Work::None)
            .collect();
        self.next_head(index, disk);
    }

    /// Opens the segments that are read, under the lock, and reads their heads.
    fn next_head(&mut self, index: &mut Index, disk: &mut dyn Disk) {
        let file = self.operations.file();
        let Some(recovery) = self.recovery() else {
            return;
        };
        let Some(at) = recovery.heads.pop_front() else {
            self.next_scan(index, disk);
            return;
        };
        recovery.listed[at].file = Some(file);
        let path = recovery.listed[at].name.file();
        let open = Op::Open {
            file,
            path: self.path(&path),
            mode: OpenMode::Write { create: false },
        };
        self.recover_op(Doing::OpenHead(at), open, disk);
    }

    fn listed_path(&mut self, at: usize) -> String {
        let file = self.recovery().map(|r| r.listed[at].name.file());
        self.path(&file.unwrap_or_default())
    }

    fn head_opened(&mut self, at: usize, done: Completed, index: &mut Index, disk: &mut dyn Disk) {
        let path = self.listed_path(at);
        let Some(recovery) = self.recovery() else {
            return;
        };
        let listed = &mut recovery.listed[at];
        match (done.result, listed.file) {
            (Ok(Output::Opened { length }), Some(file)) => {
                listed.length = length;
                let read = Op::Read {
                    file,
                    offset: 0,
                    buffer: Aligned::new(BLOCK),
                };
                self.recover_op(Doing::ReadHead(at), read, disk);
            }
            (Ok(_), _) => self.cannot_open(path, DiskError::Io(0)),
            (Err(DiskError::NotFound), _) if recovery.again < AGAIN_MAX => {
                recovery.again += 1;
                listed.file = None;
                self.list_again(index, disk);
            }
            (Err(error), _) => self.cannot_open(path, error),
        }
    }

    /// A predecessor that was just killed removed a file after it was listed.
    fn list_again(&mut self, index: &mut Index, disk: &mut dyn Disk) {
        for file in self.recovery_files() {
            self.operations
                .submit(super::Doing::Nothing, Op::Close { file }, disk);
        }
        let again = self.recovery().map_or(AGAIN_MAX, |recovery| recovery.again);
        self.phase = Phase::Recovering(Box::new(Recovery {
            again,
            ..Recovery::default()
        }));
        self.segments.clear();
        self.blob = None;
        self.checkpoint.replays_from = None;
        *index = Index::new(self.config.seed);
        let path = self.config.directory.clone();
        self.recover_op(Doing::List, Op::List { path }, disk);
    }

    fn head_read(&mut self, at: usize, done: Completed, index: &mut Index, disk: &mut dyn Disk) {
        let path = self.listed_path(at);
        let identity = self.config.identity;
        let (bytes, buffer) = match (done.result, done.buffer) {
            (Ok(Output::Read { bytes }), Some(buffer)) => (bytes, buffer),
            (Ok(_), _) => (0, Aligned::new(1)),
            (Err(error), _) => {
                self.cannot_open(path, error);
                return;
            }
        };
        let read = SegmentHead::read(&buffer[..bytes.min(BLOCK)]);
        let Some(recovery) = self.recovery() else {
            return;
        };
        let listed = &mut recovery.listed[at];
        match read {
            HeadRead::Valid(head) if head.identity == identity => listed.head = Some(head),
            HeadRead::Valid(_) | HeadRead::Foreign => {
                self.fail(LogFailure::Format { path });
                return;
            }
            HeadRead::Empty | HeadRead::Damaged => {}
        }
        listed.empty = read == HeadRead::Empty;
        if read == HeadRead::Damaged {
            // Its frames say all that matters; only a compacted one's end is lost.
            let damage = Damage {
                path,
                bytes: 0..BLOCK as u64,
                first: 1,
                last: 0,
            };
            self.report(damage);
        }
        self.next_head(index, disk);
    }

    fn next_scan(&mut self, index: &mut Index, disk: &mut dyn Disk) {
        loop {
            let Phase::Recovering(recovery) = &mut self.phase else {
                return;
            };
            let from = recovery
                .scanning
                .take()
                .map_or(0, |scanning| scanning.at + 1);
            let read = |at: &usize| !matches!(recovery.listed[*at].work, Work::None | Work::Cut);
            let next = (from..recovery.listed.len()).find(read);
            let Some(at) = next else {
                self.sync_found(index, disk);
                return;
            };
            let listed = &recovery.listed[at];
            let start = match listed.work {
                Work::Replay(start) => start,
                _ => FIRST_FRAME.into(),
            };
            let head = listed.head;
            if let Some(segment) = self.segments.get_mut(&listed.key) {
                segment.first_commit = head.map_or(recovery.expected, |h| h.first_commit);
                segment.end = start as u32;
                segment.written = segment.end;
            }
            let mut expected = recovery.expected;
            if let Some(head) = head {
                // Older segments may be gone with all that was in them.
                if start == u64::from(FIRST_FRAME) && head.first_commit > expected {
                    expected = head.first_commit;
                }
                if listed.work == Work::Replay(FIRST_FRAME.into()) && head.end == 0 {
                    index.skip_to(head.last_sequence);
                }
            }
            if listed.work == Work::Relocate {
                expected = 0;
            }
            let skip = listed.empty && listed.length <= BLOCK as u64;
            recovery.scanning = Some(Scanning {
                at,
                scan: Scan {
                    at: start,
                    expected,
                },
                data: Vec::new(),
                data_at: block_down(start),
                wanted: 0,
            });
            if !skip {
                self.read_frames(disk);
                return;
            }
        }
    }

    fn read_frames(&mut self, disk: &mut dyn Disk) {
        let Some(recovery) = self.recovery() else {
            return;
        };
        let Some(scanning) = recovery.scanning.as_ref() else {
            return;
        };
        let Some(file) = recovery.listed[scanning.at].file else {
            return;
        };
        let from = scanning.data_at + scanning.data.len() as u64;
        let wanted = block_up(scanning.wanted).saturating_sub(from) as usize;
        let read = Op::Read {
            file,
            offset: from,
            buffer: Aligned::new(wanted.clamp(step(from), 16 * STEP)),
        };
        self.recover_op(Doing::ReadFrames, read, disk);
    }

    fn frames_read(
        &mut self,
        done: Completed,
        index: &mut Index,
        disk: &mut dyn Disk,
        replay: &mut dyn Replay,
    ) {
        let Phase::Recovering(recovery) = &mut self.phase else {
            return;
        };
        let Some(mut scanning) = recovery.scanning.take() else {
            return;
        };
        let at = scanning.at;
        let buffer = done.buffer.unwrap_or_else(|| Aligned::new(1));
        let bytes = match done.result {
            Ok(Output::Read { bytes }) => bytes.min(buffer.len()),
            Ok(_) => 0,
            Err(error) => {
                // What cannot be read may be acknowledged: nothing can be said about the log.
                let path = self.listed_path(at);
                self.cannot_open(path, error);
                return;
            }
        };
        scanning.data.extend_from_slice(&buffer[..bytes]);
        let ended = bytes < buffer.len();
        let listed = &mut recovery.listed[at];
        if ended {
            listed.length = scanning.data_at + scanning.data.len() as u64;
        }
        let length = listed.length;
        let listed_empty = listed.empty;
        let compacted = listed.head.filter(|head| head.end > 0);
        let compacted_end = match compacted {
            Some(head) => Some(head.end.into()),
            // Its head is damaged; behind its end there are less than a block of zeros.
            None => (listed.name.generation > 0).then_some(length),
        };
        let work = listed.work;
        let key = listed.key;
        let next_commit = recovery.listed[at + 1..]
            .iter()
            .filter(|next| !next.empty)
            .find_map(|next| next.head.map(|head| head.first_commit));
        let limits = Limits {
            identity: self.config.identity,
            next_commit,
            compacted_end,
            headless: listed_empty,
            length,
        };
        let known = recovery.known;
        let told = recovery.told;
        let has_checkpoint = recovery.has_checkpoint;
        let mut scan = scanning.scan;
        let mut applier = Applier {
            log: self,
            index,
            replay,
            key,
            relocate: work == Work::Relocate,
            known,
            told: if has_checkpoint { told } else { 0 },
        };
        let progress = scan.run(&scanning.data, scanning.data_at, &limits, &mut |found| {
            applier.apply(found);
        });
        scanning.scan = scan;
        match progress {
            Progress::More(wanted) if !ended => {
                let used = (block_down(scan.at) - scanning.data_at) as usize;
                scanning.data.drain(..used);
                scanning.data_at += used as u64;
                scanning.wanted = wanted;
                if let Some(recovery) = self.recovery() {
                    recovery.scanning = Some(scanning);
                }
                self.read_frames(disk);
            }
            Progress::More(_) | Progress::End(_) => {
                let end = scan.at;
                let mended = mend(&scanning.data, scanning.data_at, end);
                if let Some(segment) = self.segments.get_mut(&key) {
                    segment.end = end as u32;
                    segment.written = end as u32;
                    segment.sealed = true;
                }
                if let Some(recovery) = self.recovery() {
                    recovery.listed[at].mended = mended.filter(|_| compacted_end.is_none());
                    if work != Work::Relocate {
                        recovery.expected = match compacted {
                            Some(head) => recovery.expected.max(head.last_commit + 1),
                            None => scan.expected.max(recovery.expected),
                        };
                    }
                    recovery.scanning = Some(scanning);
                }
                if let Some(head) = compacted.filter(|_| work != Work::Relocate) {
                    index.skip_to(head.last_sequence);
                }
                self.next_scan(index, disk);
            }
        }
    }

    /// Flushes what was read: a killed predecessor may not have come to it, and from now on it
    /// counts as durable.
    fn sync_found(&mut self, index: &mut Index, disk: &mut dyn Disk) {
        for damage in &mut self.damage {
            damage.last = damage.last.min(index.last_sequence());
        }
        let Some(recovery) = self.recovery() else {
            return;
        };
        let files: Vec<FileId> = recovery.listed.iter().filter_map(|l| l.file).collect();
        recovery.syncs = files.len();
        for file in &files {
            self.recover_op(Doing::Sync, Op::Sync { file: *file }, disk);
        }
        if files.is_empty() {
            self.finish_recovery(index, disk);
        }
    }

    fn synced(&mut self, done: Completed, index: &mut Index, disk: &mut dyn Disk) {
        if let Err(error) = done.result {
            self.cannot_open(self.config.directory.clone(), error);
        }
        let Some(recovery) = self.recovery() else {
            return;
        };
        recovery.syncs -= 1;
        if recovery.syncs == 0 && self.failure.is_none() {
            self.finish_recovery(index, disk);
        }
    }

    fn finish_recovery(&mut self, index: &mut Index, disk: &mut dyn Disk) {
        let Phase::Recovering(recovery) = std::mem::replace(&mut self.phase, Phase::Ready) else {
            return;
        };
        index.skip_to(self.config.first_sequence.saturating_sub(1));
        for listed in recovery.listed {
            self.leave(listed, disk);
        }
        self.report_missing(index);
        self.segments.retain(|_, segment| !segment.dropping);
        let commit = recovery.expected.saturating_sub(1);
        self.writer.start(commit, index.last_sequence());
        self.writer.front_segment = recovery.front_segment;
        // Long replays are not to be repeated.
        self.checkpoint.stale = !recovery.has_checkpoint && !self.segments.is_empty();
        self.reclaim.look = true;
    }

    /// Lets go of a file that was read: without what is behind its end, for none of that was
    /// acknowledged, and without the file if there is nothing else.
    fn leave(&mut self, listed: Listed, disk: &mut dyn Disk) {
        let Some(file) = listed.file else { return };
        let path = self.path(&listed.name.file());
        let damaged = self.damage.iter().any(|damage| damage.path == path);
        let mut end = 0;
        let mut total = 0;
        if let Some(segment) = self.segments.get_mut(&listed.key) {
            segment.damaged = damaged;
            end = segment.end;
            total = segment.total;
        }
        let replayed = matches!(listed.work, Work::Replay(_));
        if listed.empty && !damaged && total == 0 && replayed {
            self.segments.remove(&listed.key);
            self.operations
                .submit(super::Doing::Nothing, Op::Remove { path }, disk);
        } else if !damaged {
            if let Some((offset, buffer)) = listed.mended {
                let write = Op::Write {
                    file,
                    offset,
                    range: 0..buffer.len(),
                    buffer,
                    sync: true,
                };
                self.operations.submit(super::Doing::Nothing, write, disk);
            }
            let length = block_up(end.into());
            if listed.length > length {
                let cut = Op::Truncate { file, length };
                self.operations.submit(super::Doing::Nothing, cut, disk);
            }
        }
        self.operations
            .submit(super::Doing::Nothing, Op::Close { file }, disk);
    }

    /// Files open for recovery.
    pub(super) fn recovery_files(&self) -> Vec<FileId> {
        let Phase::Recovering(recovery) = &self.phase else {
            return Vec::new();
        };
        let loading = recovery.loading.iter().map(|loading| loading.file);
        let listed = recovery.listed.iter().filter_map(|listed| listed.file);
        loading.chain(listed).collect()
    }

    /// Messages whose segment is not there.
    fn report_missing(&mut self, index: &Index) {
        let lost: Vec<(u32, Name)> = self
            .segments
            .iter()
            .filter(|(_, segment)| segment.dropping && segment.live > 0)
            .map(|(key, segment)| (*key, segment.name))
            .collect();
        for (key, name) in lost {
            let (mut first, mut last) = (u64::MAX, 0);
            let mut next = index.next(0);
            while let Some(sequence) = next {
                if index.get(sequence).is_some_and(|e| e.place.segment == key) {
                    first = first.min(sequence);
                    last = sequence;
                }
                next = index.next(sequence + 1);
            }
            if first <= last {
                let damage = Damage {
                    path: self.path(&name.file()),
                    bytes: 0..0,
                    first,
                    last,
                };
                self.report(damage);
            }
        }
    }
}

/// The block that a log ends in, without what follows the end; `None` if nothing follows.
fn mend(data: &[u8], data_at: u64, end: u64) -> Option<(u64, Aligned)> {
    let block = block_down(end);
    let from = usize::try_from(block.checked_sub(data_at)?).ok()?;
    let used = (end - block) as usize;
    let content = data.get(from..)?;
    let content = &content[..content.len().min(BLOCK)];
    if used == 0 || content.get(used..)?.iter().all(|byte| *byte == 0) {
        return None;
    }
    let mut buffer = Aligned::new(BLOCK);
    buffer[..used].copy_from_slice(&content[..used]);
    Some((block, buffer))
}

/// Applies what a scan finds.
struct Applier<'a, 'b> {
    log: &'a mut FileLog,
    index: &'a mut Index,
    replay: &'b mut dyn Replay,
    key: u32,
    relocate: bool,
    known: u64,
    told: u64,
}

impl Applier<'_, '_> {
    fn apply(&mut self, found: Found<'_>) {
        match found {
            Found::Record(at, Record::Message(message)) => {
                let place = Place {
                    segment: self.key,
                    offset: at as u32,
                };
                self.message(place, &message);
            }
            Found::Record(_, Record::Removed(ranges)) if !self.relocate => self.removed(&ranges),
            Found::Record(..) => {}
            Found::Damage(bytes, sequence) => self.damage(bytes, sequence),
            Found::Erased(sequence) => {
                // Not one that a message has: its head may be damaged, too.
                let free = self.index.get(sequence).is_none();
                if let Some(segment) = self.log.segments.get_mut(&self.key).filter(|_| free) {
                    segment.note(sequence);
                }
            }
            Found::Frame(head) => {
                if !self.relocate && head.last_sequence >= self.index.last_sequence() {
                    self.close_damage(head.last_sequence);
                    self.index.skip_to(head.last_sequence);
                    if head.last_sequence > self.known && head.last_unix_ns != 0 {
                        self.index.set_last_unix_ns(Some(head.last_unix_ns));
                    }
                }
            }
        }
    }

    fn message(&mut self, place: Place, message: &super::record::MessageRecord<'_>) {
        let sequence = message.sequence;
        let text = message.subject.len() + message.header.len() + message.payload.len();
        let has_header = !message.header.is_empty();
        let mut entry = Entry::new(message.unix_ns, place, text, has_header, false);
        entry.set_stored_wake(message.wake.is_some());
        if sequence <= self.index.last_sequence() {
            self.known_message(place, sequence, &entry);
            if sequence > self.told && sequence <= self.known {
                self.tell(message);
            }
            return;
        }
        if self.relocate {
            return;
        }
        self.close_damage(sequence - 1);
        let pushed = self
            .index
            .push(sequence, message.subject, entry, message.wake);
        if let Some(segment) = self.log.segments.get_mut(&self.key)
            && pushed.is_ok()
        {
            segment.add(sequence, &entry);
        }
        self.tell(message);
    }

    /// A message that the checkpoint knows, or that was removed. It is here now if the segment
    /// where it was is not there any more.
    fn known_message(&mut self, place: Place, sequence: u64, entry: &Entry) {
        let was = self.index.get(sequence).map(|known| known.place.segment);
        let moved = was.filter(|key| {
            let old = self.log.segments.get(key);
            *key != self.key && old.is_none_or(|old| old.dropping)
        });
        if let Some(from) = moved {
            self.index.set_place(sequence, place);
            if let Some(old) = self.log.segments.get_mut(&from) {
                old.subtract(entry);
            }
        }
        if let Some(segment) = self.log.segments.get_mut(&self.key) {
            if moved.is_some() {
                segment.add(sequence, entry);
            } else {
                segment.note(sequence);
            }
        }
    }

    fn tell(&mut self, message: &super::record::MessageRecord<'_>) {
        self.replay.message(&Stored {
            sequence: message.sequence,
            unix_ns: message.unix_ns,
            subject: message.subject,
            header: message.header,
            payload: message.payload,
        });
    }

    fn removed(&mut self, ranges: &[(u64, u64)]) {
        for &(first, last) in ranges {
            if let Some(segment) = self.log.segments.get_mut(&self.key) {
                if first > 0 {
                    segment.note_removals(first, last);
                } else if let Phase::Recovering(recovery) = &mut self.log.phase {
                    recovery.front_segment = self.key;
                }
            }
            let mut next = self.index.next(first);
            while let Some(sequence) = next.filter(|sequence| *sequence <= last) {
                if let Some((entry, _)) = self.index.remove(sequence)
                    && let Some(segment) = self.log.segments.get_mut(&entry.place.segment)
                {
                    segment.subtract(&entry);
                }
                next = self.index.next(sequence + 1);
            }
            // What was erased is not damaged.
            self.log.damage.retain(|damage| {
                damage.first > damage.last || damage.first < first || damage.last > last
            });
        }
    }

    fn damage(&mut self, bytes: std::ops::Range<u64>, sequence: Option<u64>) {
        let Some(segment) = self.log.segments.get(&self.key) else {
            return;
        };
        let mut damage = Damage {
            path: self.log.path(&segment.name.file()),
            bytes,
            first: self.index.last_sequence() + 1,
            last: if self.relocate { 0 } else { u64::MAX },
        };
        let place = Place {
            segment: self.key,
            offset: damage.bytes.start as u32,
        };
        let known = sequence.filter(|sequence| {
            self.index
                .get(*sequence)
                .is_some_and(|entry| entry.place == place)
        });
        match known {
            Some(sequence) => (damage.first, damage.last) = (sequence, sequence),
            // Messages that the checkpoint knows are found damaged when they are read.
            None if self.relocate => return,
            None => {}
        }
        self.log.report(damage);
    }

    /// Damage so far reaches at most up to this sequence.
    fn close_damage(&mut self, last: u64) {
        for damage in &mut self.log.damage {
            damage.last = damage.last.min(last);
        }
    }
}
