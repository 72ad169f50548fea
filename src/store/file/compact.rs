//! Compaction: the messages of some segments, one behind the other in the log, that are not
//! removed are copied into one that stands for all of them.
//!
//! It is written under another name and renamed when it is complete, and when all removals that it
//! relies on are flushed. Then the index moves over to it, a step at a time, and the old files go.
//! If both are found at start, the new one counts.

use std::collections::VecDeque;

use super::FileLog;
use super::record::{
    Digest, FIRST_FRAME, FRAME_HEAD, FrameHead, MessageRecord, Record, SegmentHead,
};
use super::scan::{Found, Limits, Progress, Scan};
use super::segment::{Name, Segment, UNFINISHED};
use crate::store::aligned::Aligned;
use crate::store::disk::{
    BLOCK, Completed, Disk, FileId, Op, OpenMode, Output, block_down, block_up,
};
use crate::store::index::{Index, Place};
use crate::store::log::Mark;

/// Bytes read at a time.
const STEP: usize = 256 * 1024;
/// Bytes of a frame of the copy from which on another one is begun.
const FRAME: usize = 128 * 1024;
/// Messages whose place is changed in one step.
const MOVES: usize = 2048;

#[derive(Clone, Copy, Debug)]
pub(super) enum Doing {
    OpenSource,
    OpenTarget,
    Cut,
    Read,
    Write,
    Sync,
    Rename,
    SyncDir,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    OpenTarget,
    OpenSource,
    Copy,
    /// All is copied; the head comes last.
    Head,
    Sync,
    Wait(Mark),
    Rename,
    SyncDir,
    Move,
    /// Something failed: what was written goes.
    Abandon,
}

#[derive(Debug)]
pub(super) struct Compaction {
    run: Vec<u32>,
    /// Of the segment that results.
    key: u32,
    name: Name,
    target: FileId,
    target_open: bool,
    source: Option<FileId>,
    /// Place in `run` of the segment that is read.
    at: usize,
    scan: Scan,
    data: Vec<u8>,
    data_at: u64,
    wanted: u64,
    stage: Stage,
    busy: bool,
    /// Frames that are not written; the first byte is the file's at `written`.
    out: Vec<u8>,
    written: u64,
    frame: Vec<u8>,
    /// The last sequence in it.
    frame_last: u64,
    records: u32,
    digest: Digest,
    /// Copied messages: sequence and where they came from and are.
    moves: VecDeque<(u64, Place, u32)>,
    segment: Segment,
    first_commit: u64,
    last_commit: u64,
    last_sequence: u64,
    damaged: bool,
}

impl Compaction {
    pub(super) fn uses(&self, key: u32) -> bool {
        self.run.contains(&key) || self.key == key
    }

    pub(super) fn files(&self) -> Vec<FileId> {
        let target = self.target_open.then_some(self.target);
        target.into_iter().chain(self.source).collect()
    }

    /// Puts the frame that accumulated behind the others.
    fn close_frame(&mut self, identity: u64) {
        if self.records == 0 {
            return;
        }
        let head = FrameHead {
            identity,
            commit: self.first_commit,
            flushed: self.first_commit,
            length: (FRAME_HEAD + self.frame.len()) as u32,
            records: self.records,
            last_sequence: self.frame_last,
            digest: self.digest.finish(),
            last_unix_ns: 0,
        };
        let at = self.out.len();
        self.out.resize(at + FRAME_HEAD, 0);
        head.write(&mut self.out[at..]);
        self.out.append(&mut self.frame);
        self.records = 0;
        self.digest = Digest::default();
    }
}

impl FileLog {
    pub(super) fn start_compaction(&mut self, run: Vec<u32>, index: &Index, disk: &mut dyn Disk) {
        let segments: Vec<&Segment> = run.iter().filter_map(|k| self.segments.get(k)).collect();
        let (Some(first), Some(last)) = (segments.first(), segments.last()) else {
            return;
        };
        let generation = segments
            .iter()
            .map(|s| s.name.generation)
            .max()
            .unwrap_or(0);
        let name = Name {
            number: first.name.number,
            last_number: last.name.last_number,
            generation: generation + 1,
        };
        let first_commit = first.first_commit;
        // The commit before the next segment begins.
        let next = self
            .segments
            .values()
            .filter(|s| s.name.number > name.last_number && s.first_commit > 0)
            .min_by_key(|s| s.name.number);
        let last_commit = match next {
            Some(next) => next.first_commit - 1,
            None => self.writer.flushed.commit,
        };
        let last_sequence = segments.iter().map(|s| s.sequences.1).max().unwrap_or(0);
        let key = self.next_key;
        self.next_key += 1;
        self.carry(&run, index);
        let target = self.operations.file();
        let mut segment = Segment::new(name, first_commit);
        segment.sealed = true;
        self.compaction = Some(Box::new(Compaction {
            run,
            key,
            name,
            target,
            target_open: false,
            source: None,
            at: 0,
            scan: Scan {
                at: FIRST_FRAME.into(),
                expected: 0,
            },
            data: Vec::new(),
            data_at: 0,
            wanted: 0,
            stage: Stage::OpenTarget,
            busy: true,
            out: Vec::new(),
            written: FIRST_FRAME.into(),
            frame: Vec::new(),
            frame_last: 0,
            records: 0,
            digest: Digest::default(),
            moves: VecDeque::new(),
            segment,
            first_commit,
            last_commit,
            last_sequence,
            damaged: false,
        }));
        let open = Op::Open {
            file: target,
            path: self.path(&unfinished(&name)),
            mode: OpenMode::Write { create: true },
        };
        self.compact_op(Doing::OpenTarget, open, disk);
    }

    fn compact_op(&mut self, doing: Doing, op: Op, disk: &mut dyn Disk) {
        if let Some(compaction) = &mut self.compaction {
            compaction.busy = true;
        }
        self.operations
            .submit(super::Doing::Compaction(doing), op, disk);
    }

    /// The next step, if none is under way.
    pub(super) fn compaction_work(&mut self, index: &mut Index, disk: &mut dyn Disk) {
        let Some(compaction) = self.compaction.as_deref_mut().filter(|c| !c.busy) else {
            return;
        };
        match compaction.stage {
            Stage::OpenSource => self.open_source(disk),
            Stage::Copy => self.copy_step(disk),
            Stage::Head => {
                let end = compaction.written as u32 + compaction.out.len() as u32;
                if !compaction.out.is_empty() {
                    self.write_out(true, disk);
                    return;
                }
                compaction.stage = Stage::Sync;
                let end = compaction.segment.end.max(end);
                let head = SegmentHead {
                    identity: self.config.identity,
                    number: compaction.name.number,
                    last_number: compaction.name.last_number,
                    generation: compaction.name.generation,
                    end,
                    first_commit: compaction.first_commit,
                    last_commit: compaction.last_commit,
                    last_sequence: compaction.last_sequence,
                    last_unix_ns: 0,
                };
                let mut buffer = Aligned::new(BLOCK);
                head.write(&mut buffer);
                let write = Op::Write {
                    file: compaction.target,
                    offset: 0,
                    range: 0..BLOCK,
                    buffer,
                    sync: false,
                };
                self.compact_op(Doing::Write, write, disk);
            }
            Stage::Sync => {
                let sync = Op::Sync {
                    file: compaction.target,
                };
                self.compact_op(Doing::Sync, sync, disk);
            }
            Stage::Wait(mark) if mark.0 <= self.writer.flushed.commit => {
                compaction.stage = Stage::Rename;
                let name = compaction.name;
                let rename = Op::Rename {
                    from: self.path(&unfinished(&name)),
                    to: self.path(&name.file()),
                };
                self.compact_op(Doing::Rename, rename, disk);
            }
            Stage::Move => self.move_step(index, disk),
            Stage::Abandon => self.abandon_compaction(disk),
            _ => {}
        }
    }

    fn open_source(&mut self, disk: &mut dyn Disk) {
        let file = self.operations.file();
        let Some(compaction) = self.compaction.as_deref_mut() else {
            return;
        };
        let Some(key) = compaction.run.get(compaction.at).copied() else {
            compaction.close_frame(self.config.identity);
            compaction.segment.end = compaction.written as u32 + compaction.out.len() as u32;
            compaction.segment.written = compaction.segment.end;
            compaction.stage = Stage::Head;
            self.write_out(true, disk);
            return;
        };
        let Some(segment) = self.segments.get(&key) else {
            compaction.stage = Stage::Abandon;
            return;
        };
        compaction.source = Some(file);
        compaction.scan = Scan {
            at: FIRST_FRAME.into(),
            expected: 0,
        };
        compaction.data.clear();
        compaction.data_at = FIRST_FRAME.into();
        let open = Op::Open {
            file,
            path: format!("{}/{}", self.config.directory, segment.name.file()),
            mode: OpenMode::Read,
        };
        self.compact_op(Doing::OpenSource, open, disk);
    }

    fn copy_step(&mut self, disk: &mut dyn Disk) {
        let Some(compaction) = self.compaction.as_deref_mut() else {
            return;
        };
        if compaction.out.len() >= STEP {
            self.write_out(false, disk);
            return;
        }
        let Some(file) = compaction.source else {
            compaction.stage = Stage::OpenSource;
            return self.open_source(disk);
        };
        let from = compaction.data_at + compaction.data.len() as u64;
        let wanted = block_up(compaction.wanted).saturating_sub(from) as usize;
        let read = Op::Read {
            file,
            offset: from,
            buffer: Aligned::new(wanted.clamp(STEP, 16 * STEP)),
        };
        self.compact_op(Doing::Read, read, disk);
    }

    /// Writes whole blocks of what is encoded; all of it at the end.
    fn write_out(&mut self, all: bool, disk: &mut dyn Disk) {
        let Some(compaction) = self.compaction.as_deref_mut() else {
            return;
        };
        let length = if all {
            compaction.out.len()
        } else {
            compaction.out.len() - compaction.out.len() % BLOCK
        };
        if length == 0 {
            return;
        }
        let mut buffer = Aligned::new(length);
        buffer[..length].copy_from_slice(&compaction.out[..length]);
        compaction.out.drain(..length);
        let write = Op::Write {
            file: compaction.target,
            offset: compaction.written,
            range: 0..buffer.len(),
            buffer,
            sync: false,
        };
        compaction.written += length as u64;
        self.compact_op(Doing::Write, write, disk);
    }

    pub(super) fn compaction_step(
        &mut self,
        doing: Doing,
        done: Completed,
        index: &mut Index,
        disk: &mut dyn Disk,
    ) {
        let mark = self.mark();
        let Some(compaction) = self.compaction.as_deref_mut() else {
            return;
        };
        compaction.busy = false;
        if let Err(_error) = &done.result {
            compaction.stage = Stage::Abandon;
            self.compaction_work(index, disk);
            return;
        }
        match doing {
            Doing::OpenTarget => {
                compaction.target_open = true;
                let cut = Op::Truncate {
                    file: compaction.target,
                    length: 0,
                };
                self.compact_op(Doing::Cut, cut, disk);
            }
            Doing::Cut => compaction.stage = Stage::OpenSource,
            Doing::OpenSource => compaction.stage = Stage::Copy,
            Doing::Read => self.copy_read(done, index, disk),
            Doing::Write => {}
            Doing::Sync => compaction.stage = Stage::Wait(mark),
            Doing::Rename => {
                compaction.stage = Stage::SyncDir;
                let path = self.config.directory.clone();
                self.compact_op(Doing::SyncDir, Op::SyncDir { path }, disk);
            }
            Doing::SyncDir => {
                compaction.stage = Stage::Move;
                let (key, segment) = (compaction.key, compaction.segment.clone());
                self.segments.insert(key, segment);
            }
        }
        self.compaction_work(index, disk);
    }

    fn copy_read(&mut self, done: Completed, index: &Index, disk: &mut dyn Disk) {
        let Some(compaction) = self.compaction.as_deref_mut() else {
            return;
        };
        let buffer = done.buffer.unwrap_or_else(|| Aligned::new(1));
        let bytes = match done.result {
            Ok(Output::Read { bytes }) => bytes.min(buffer.len()),
            _ => 0,
        };
        compaction.data.extend_from_slice(&buffer[..bytes]);
        let key = compaction.run[compaction.at];
        let end = self.segments.get(&key).map_or(0, |segment| segment.end);
        let limits = Limits {
            identity: self.config.identity,
            next_commit: None,
            // Nothing but frames is expected up to its end.
            compacted_end: Some(end.into()),
            headless: false,
            length: u64::from(end),
        };
        let data = std::mem::take(&mut compaction.data);
        let read_to = compaction.data_at + data.len() as u64;
        let view = &data[..data.len() - read_to.saturating_sub(u64::from(end)) as usize];
        let mut scan = compaction.scan;
        let data_at = compaction.data_at;
        let (seed, identity) = (self.seed, self.config.identity);
        let progress = scan.run(view, data_at, &limits, &mut |found| match found {
            Found::Record(at, Record::Message(message)) => {
                let place = Place {
                    segment: key,
                    offset: at as u32,
                };
                if index
                    .get(message.sequence)
                    .is_some_and(|e| e.place == place)
                {
                    copy(compaction, seed, identity, place, &message);
                }
            }
            Found::Damage(..) => compaction.damaged = true,
            Found::Record(..) | Found::Erased(_) | Found::Frame(_) => {}
        });
        compaction.scan = scan;
        let ended = match progress {
            Progress::More(wanted) => {
                compaction.wanted = wanted;
                let used = (block_down(scan.at) - data_at) as usize;
                compaction.data = data;
                compaction.data.drain(..used);
                compaction.data_at += used as u64;
                bytes == 0
            }
            Progress::End(_) => true,
        };
        if compaction.damaged || (ended && scan.at < u64::from(end)) {
            // It keeps its place, so that what is damaged can still be looked at.
            compaction.stage = Stage::Abandon;
            if let Some(segment) = self.segments.get_mut(&key) {
                segment.damaged = true;
            }
            return;
        }
        if ended {
            compaction.at += 1;
            compaction.stage = Stage::OpenSource;
            if let Some(file) = compaction.source.take() {
                self.operations
                    .submit(super::Doing::Nothing, Op::Close { file }, disk);
            }
        }
    }

    /// Points the index at the copies, and lets go of the old files at the end.
    fn move_step(&mut self, index: &mut Index, disk: &mut dyn Disk) {
        let Some(compaction) = self.compaction.as_deref_mut() else {
            return;
        };
        let key = compaction.key;
        for _ in 0..MOVES {
            let Some((sequence, from, offset)) = compaction.moves.pop_front() else {
                break;
            };
            let Some(entry) = index.get(sequence).filter(|e| e.place == from).copied() else {
                if let Some(segment) = self.segments.get_mut(&key) {
                    segment.note(sequence);
                }
                continue;
            };
            if let Some(old) = self.segments.get_mut(&from.segment) {
                old.subtract(&entry);
            }
            if let Some(segment) = self.segments.get_mut(&key) {
                segment.add(sequence, &entry);
            }
            let place = Place {
                segment: key,
                offset,
            };
            index.set_place(sequence, place);
        }
        if !compaction.moves.is_empty() {
            return;
        }
        let reading = |key: &u32| self.segments.get(key).is_some_and(|s| s.reads > 0);
        if compaction.run.iter().any(reading) {
            return;
        }
        let files = compaction.files();
        let run = std::mem::take(&mut compaction.run);
        self.compaction = None;
        for file in files {
            self.operations
                .submit(super::Doing::Nothing, Op::Close { file }, disk);
        }
        for key in run {
            self.drop_segment(key, disk);
        }
        self.checkpoint.stale = true;
        self.reclaim.look = true;
    }

    fn abandon_compaction(&mut self, disk: &mut dyn Disk) {
        let Some(compaction) = self.compaction.take() else {
            return;
        };
        for file in compaction.files() {
            self.operations
                .submit(super::Doing::Nothing, Op::Close { file }, disk);
        }
        let path = self.path(&unfinished(&compaction.name));
        self.operations
            .submit(super::Doing::Nothing, Op::Remove { path }, disk);
    }
}

fn unfinished(name: &Name) -> String {
    format!("{}{UNFINISHED}", name.file())
}

fn copy(
    compaction: &mut Compaction,
    seed: super::record::Seed,
    identity: u64,
    from: Place,
    message: &MessageRecord<'_>,
) {
    let at = compaction.frame.len();
    compaction.frame.resize(at + message.length(), 0);
    let sum = message.write(seed, &mut compaction.frame[at..]);
    compaction.digest.add(sum);
    compaction.records += 1;
    compaction.frame_last = message.sequence;
    let offset = compaction.written as usize + compaction.out.len() + FRAME_HEAD + at;
    compaction
        .moves
        .push_back((message.sequence, from, offset as u32));
    if compaction.frame.len() >= FRAME {
        compaction.close_frame(identity);
    }
}
