//! A log in files.
//!
//! | file | idea |
//! |---|---|
//! | `record`, `bytes` | the format of segments |
//! | `segment` | names of files; what is in each segment |
//! | `write` | frames: what accumulates, one write at a time, the next segment in advance |
//! | `read` | windows of segments through the cache |
//! | `recover`, `scan` | from files to an index |
//! | `checkpoint`, `image` | the index on disk: writing it in steps, its format |
//! | `reclaim`, `compact` | space of what was removed |
//! | `erase` | overwriting what was removed |
//!
//! # What survives
//! A commit is acknowledged when its write is complete and durable. The next commit begins where
//! it ended, so its write repeats the last block with the same bytes: whatever sectors of a torn
//! write reach the disk, those of the earlier commit hold what they held (a sector is written or
//! not; database logs rely on the same). After a start nothing is written into a segment of
//! before: the first message goes into a new one, whose head says which commits the old ones end
//! with, so a late write of a killed predecessor finds nobody who reads it. It cannot be late
//! unnoticed either: segments are read under the lock that such a write holds.

mod bytes;
mod checkpoint;
mod compact;
mod erase;
pub(super) mod fuzzing;
mod image;
mod read;
mod reclaim;
mod record;
mod recover;
mod scan;
mod segment;
mod write;

use std::collections::HashMap;

use self::checkpoint::Checkpoint;
use self::compact::Compaction;
use self::erase::Erasures;
use self::read::Reads;
use self::reclaim::Reclaim;
use self::record::Seed;
use self::recover::Recovery;
use self::segment::Segments;
use self::write::Writer;
use super::disk::{Completed, Disk, DiskError, FileId, Op, Tag};
use super::index::Index;
use super::log::{LogConfig, Mark, SyncPolicy};
use super::message::{Damage, LogFailure, Replay};

pub(super) use self::bytes::Reader;
pub(super) use self::record::PADDING;
pub(super) use self::scan::has_zero_sector;

/// Damaged ranges remembered; further ones are only counted into the last.
const DAMAGE_MAX: usize = 1024;

/// What a completion is for.
#[derive(Clone, Debug)]
enum Doing {
    /// A new log's directory, or the directory above.
    Making,
    Recovery(recover::Doing),
    Write(write::Doing),
    Read(read::Doing),
    Checkpoint(checkpoint::Doing),
    Compaction(compact::Doing),
    Erasure,
    /// Whatever comes of it, nobody waits.
    Nothing,
}

#[derive(Debug)]
enum Phase {
    /// The directory is being made.
    Making {
        left: u32,
    },
    Recovering(Box<Recovery>),
    Ready,
    Closed,
}

/// The state of a log in files beside its index.
#[derive(Debug)]
pub(super) struct FileLog {
    owner: u32,
    config: LogConfig,
    seed: Seed,
    phase: Phase,
    failure: Option<LogFailure>,
    damage: Vec<Damage>,
    operations: Operations,
    /// What the checkpoint holds for the stream, until it is told.
    blob: Option<Vec<u8>>,
    segments: Segments,
    /// What [`Segments`] are keyed by, for the next one.
    next_key: u32,
    /// Number in the name of the next segment.
    next_number: u32,
    writer: Writer,
    reads: Reads,
    checkpoint: Checkpoint,
    compaction: Option<Box<Compaction>>,
    reclaim: Reclaim,
    erasures: Erasures,
}

/// Operations under way.
#[derive(Debug)]
struct Operations {
    owner: u32,
    next: u32,
    next_file: u32,
    doing: HashMap<u32, Doing>,
}

impl Operations {
    fn submit(&mut self, doing: Doing, op: Op, disk: &mut dyn Disk) {
        self.next = self.next.wrapping_add(1);
        self.doing.insert(self.next, doing);
        let tag = Tag {
            owner: self.owner,
            op: self.next,
        };
        disk.submit(tag, op);
    }

    fn file(&mut self) -> FileId {
        self.next_file = self.next_file.wrapping_add(1);
        FileId {
            owner: self.owner,
            number: self.next_file,
        }
    }
}

impl FileLog {
    fn new(owner: u32, config: LogConfig, phase: Phase) -> Self {
        Self {
            owner,
            seed: Seed::of(config.identity),
            config,
            phase,
            failure: None,
            damage: Vec::new(),
            operations: Operations {
                owner,
                next: 0,
                next_file: 0,
                doing: HashMap::new(),
            },
            blob: None,
            segments: Segments::new(),
            next_key: 1,
            next_number: 1,
            writer: Writer::default(),
            reads: Reads::default(),
            checkpoint: Checkpoint::default(),
            compaction: None,
            reclaim: Reclaim::default(),
            erasures: Erasures::default(),
        }
    }

    pub(super) fn create(
        owner: u32,
        config: LogConfig,
        index: &Index,
        disk: &mut dyn Disk,
    ) -> Self {
        let mut log = Self::new(owner, config, Phase::Closed);
        log.make(index, disk);
        log
    }

    fn make(&mut self, index: &Index, disk: &mut dyn Disk) {
        let path = self.config.directory.clone();
        self.phase = Phase::Making { left: 2 };
        self.writer.start(0, index.last_sequence());
        self.writer.parent = Some(parent_of(&path));
        self.operations
            .submit(Doing::Making, Op::MakeDir { path }, disk);
    }

    pub(super) fn open(owner: u32, config: LogConfig, disk: &mut dyn Disk) -> Self {
        let path = config.directory.clone();
        let mut log = Self::new(owner, config, Phase::Recovering(Box::default()));
        let list = Op::List { path };
        log.operations
            .submit(Doing::Recovery(recover::Doing::List), list, disk);
        log
    }

    fn path(&self, file: &str) -> String {
        format!("{}/{file}", self.config.directory)
    }

    pub(super) fn is_ready(&self) -> bool {
        matches!(self.phase, Phase::Ready)
    }

    pub(super) fn failure(&self) -> Option<&LogFailure> {
        self.failure.as_ref()
    }

    pub(super) fn damage(&self) -> &[Damage] {
        &self.damage
    }

    /// Remembers damage, once for each place.
    fn report(&mut self, damage: Damage) {
        let known = self
            .damage
            .iter()
            .any(|known| known.path == damage.path && known.bytes.start == damage.bytes.start);
        if !known && self.damage.len() < DAMAGE_MAX {
            self.damage.push(damage);
        }
    }

    fn fail(&mut self, failure: LogFailure) {
        self.failure.get_or_insert(failure);
    }

    fn fail_write(&mut self, path: String, error: DiskError) {
        self.fail(LogFailure::Write { path, error });
    }

    pub(super) fn completed(
        &mut self,
        done: Completed,
        index: &mut Index,
        disk: &mut dyn Disk,
        replay: &mut dyn Replay,
    ) {
        let Some(doing) = self.operations.doing.remove(&done.tag.op) else {
            return;
        };
        match doing {
            Doing::Making => self.made(done, disk),
            Doing::Recovery(doing) => self.recovery_step(doing, done, index, disk, replay),
            Doing::Write(doing) => self.write_step(doing, done, index, disk),
            Doing::Read(doing) => self.read_step(doing, done),
            Doing::Checkpoint(doing) => self.checkpoint_step(doing, done, disk),
            Doing::Compaction(doing) => self.compaction_step(doing, done, index, disk),
            Doing::Erasure => self.erasure_step(done, disk),
            Doing::Nothing => {
                if let Some(buffer) = done.buffer {
                    self.config.cache.recycle(buffer);
                }
            }
        }
        self.flush(index, disk);
    }

    fn made(&mut self, done: Completed, disk: &mut dyn Disk) {
        let path = self.config.directory.clone();
        match (done.result, &mut self.phase) {
            (Err(error), _) => self.fail_write(path, error),
            (Ok(_), Phase::Making { left }) => {
                *left -= 1;
                if *left == 0 {
                    self.phase = Phase::Ready;
                } else {
                    let path = self.writer.parent.take().unwrap_or_default();
                    let sync = Op::SyncDir { path };
                    self.operations.submit(Doing::Making, sync, disk);
                }
            }
            _ => {}
        }
    }

    /// The end of a turn.
    pub(super) fn flush(&mut self, index: &mut Index, disk: &mut dyn Disk) {
        if !self.is_ready() || self.failure.is_some() {
            return;
        }
        self.flush_writes(index, disk);
        self.maintain(index, disk);
        self.checkpoint_work(index, disk);
    }

    pub(super) fn mark(&self) -> Mark {
        Mark(self.writer.commit + u64::from(self.has_changes()))
    }

    pub(super) fn reached(&self, mark: Mark) -> bool {
        match self.config.sync {
            SyncPolicy::Always => mark.0 <= self.writer.flushed.commit,
            SyncPolicy::Interval => mark.0 <= self.writer.written.commit,
            SyncPolicy::Async => true,
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        let waits = self.is_ready()
            && self.failure.is_none()
            && (self.has_changes()
                || self.checkpoint.is_active()
                || self.compaction.is_some()
                || self.erasures.is_active());
        self.operations.doing.is_empty() && !waits
    }

    pub(super) fn disk_bytes(&self) -> u64 {
        let sealed = self
            .segments
            .values()
            .map(|s| u64::from(s.end))
            .sum::<u64>();
        sealed + self.checkpoint.disk_bytes()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.writer.memory_bytes() + self.segments.len() * size_of::<segment::Segment>()
    }

    pub(super) fn close(&mut self, disk: &mut dyn Disk) {
        self.close_files(disk);
        self.config.cache.forget(self.owner, None);
        self.phase = Phase::Closed;
    }

    fn close_files(&mut self, disk: &mut dyn Disk) {
        let mut files: Vec<FileId> = self.writer.files();
        for segment in self.segments.values_mut() {
            if let segment::ReadHandle::Open(file) = segment.reader {
                files.push(file);
            }
            segment.reader = segment::ReadHandle::Broken;
        }
        files.extend(self.checkpoint.file());
        files.extend(self.recovery_files());
        files.extend(self.compaction.iter().flat_map(|c| c.files()));
        for file in files {
            self.operations
                .submit(Doing::Nothing, Op::Close { file }, disk);
        }
    }

    pub(super) fn destroy(&mut self, disk: &mut dyn Disk) {
        self.close(disk);
        let path = self.config.directory.clone();
        let parent = parent_of(&path);
        self.operations
            .submit(Doing::Nothing, Op::RemoveTree { path }, disk);
        let sync = Op::SyncDir { path: parent };
        self.operations.submit(Doing::Nothing, sync, disk);
    }
}

/// The directory that a path lies in; empty for the store directory.
pub(super) fn parent_of(path: &str) -> String {
    path.rsplit_once('/')
        .map(|(parent, _)| parent.to_owned())
        .unwrap_or_default()
}
