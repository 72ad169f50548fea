//! A small durable state: a snapshot and the changes since.
//!
//! A journal is one file (for a moment two): commits, each written by one operation, the first of
//! which is a snapshot. The next snapshot begins the next file; when that is durable, the old one
//! goes. A commit has a checksum over all of it and ascends by one, so a torn one, which nobody
//! was told of, is cut off, and a damaged one is told from it by the commit behind it.

use std::collections::HashMap;

use super::aligned::Aligned;
use super::disk::{BLOCK, Completed, Disk, DiskError, FileId, Op, OpenMode, Output, Tag, block_up};
use super::file::Reader;
use super::message::{Damage, LogFailure};

const MAGIC: u32 = u32::from_le_bytes(*b"RwJ1");
/// Bytes of a commit's head: magic, checksum over the rest of the head, identity, commit, length of
/// all of it, number of items, checksum over the items, padding.
const HEAD: usize = 40;
const ALIGN: usize = 8;
/// Ending of a journal's files, behind the path and a number.
const ENDING: &str = ".state";
/// Smallest file, in bytes.
const FILE_MIN: u64 = 16 * 1024;
/// Bytes of changes that make a snapshot worth it: at least these, and four times the last
/// snapshot.
const WORTH: u64 = 64 * 1024;
/// Bytes read first, and at a time at most. Thousands of journals recover at once, and most are
/// small.
const FIRST_STEP: usize = FILE_MIN as usize;
const STEP: usize = 256 * 1024;

/// What a journal is made of.
#[derive(Clone, Debug)]
pub struct JournalConfig {
    /// Path of its files below the store directory, without ending: `acme/orders/consumers/c1`.
    /// The directory must exist, and no other journal's path may be this one followed by a dot.
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    List,
    OpenOld,
    Read,
    Flush,
    FlushDir,
    OpenNew,
    Cut,
    Allocate,
    Write,
    SyncDir,
    Nothing,
}

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    Opening,
    Ready,
    Closed,
}

/// A small durable state.
#[derive(Debug)]
pub struct Journal {
    owner: u32,
    config: JournalConfig,
    phase: Phase,
    failure: Option<LogFailure>,
    damage: Vec<Damage>,
    recovered: Option<Recovered>,
    next_op: u32,
    next_file: u32,
    doing: HashMap<u32, Doing>,
    /// Number of the change given last, and of those written.
    last: u64,
    durable: u64,
    /// Changes that wait: length and bytes of each.
    waiting: Vec<u8>,
    waiting_items: u32,
    /// They begin with a snapshot, and so with a new file.
    waiting_snapshot: bool,
    /// Number of the newest file; the present one, once it is open.
    number: u32,
    file: Option<FileId>,
    /// Older files, which go when the new one is durable.
    old: Vec<(u32, Option<FileId>)>,
    /// The write under way is the first of its file.
    fresh: bool,
    commit: u64,
    end: u64,
    /// Content of the last block, as far as it is written.
    edge: Vec<u8>,
    /// A write and what comes with it is under way: up to this change.
    flight: Option<u64>,
    /// What is written when the new file is ready or there is room again, at which byte, and how
    /// much of it.
    prepared: Option<(Aligned, u64, usize)>,
    /// There was no room; it is looked for again when something is added.
    stalled: bool,
    added: bool,
    flight_at: (u64, usize),
    snapshot_bytes: u64,
    delta_bytes: u64,
    /// Of recovery: files not tried yet, the one that is read, and what was read of it.
    candidates: Vec<u32>,
    reading: u32,
    data: Vec<u8>,
    /// What was recovered, as items. The first write after it goes into a new file, which begins
    /// with these: so nothing that a killed predecessor has under way can reach what is written.
    base: Option<(Vec<u8>, u32)>,
}

impl Journal {
    fn new(owner: u32, config: JournalConfig, phase: Phase) -> Self {
        Self {
            owner,
            config,
            phase,
            failure: None,
            damage: Vec::new(),
            recovered: None,
            next_op: 0,
            next_file: 0,
            doing: HashMap::new(),
            last: 0,
            durable: 0,
            waiting: Vec::new(),
            waiting_items: 0,
            waiting_snapshot: false,
            number: 0,
            file: None,
            old: Vec::new(),
            fresh: false,
            commit: 0,
            end: 0,
            edge: Vec::new(),
            flight: None,
            prepared: None,
            stalled: false,
            added: false,
            flight_at: (0, 0),
            snapshot_bytes: 0,
            delta_bytes: 0,
            candidates: Vec::new(),
            reading: 0,
            data: Vec::new(),
            base: None,
        }
    }

    /// Makes a new journal with a first snapshot, which is durable when
    /// [`durable`](Self::durable) is at least 1.
    pub fn create(owner: u32, config: JournalConfig, snapshot: &[u8], disk: &mut dyn Disk) -> Self {
        let mut journal = Self::new(owner, config, Phase::Ready);
        journal.snapshot(snapshot);
        journal.flush(disk);
        journal
    }

    /// Opens a journal that was made before. A journal in memory is ready, and empty.
    pub fn open(owner: u32, config: JournalConfig, disk: &mut dyn Disk) -> Self {
        let memory = config.memory;
        let mut journal = Self::new(owner, config, Phase::Opening);
        if memory {
            journal.phase = Phase::Ready;
            return journal;
        }
        let path = journal.directory();
        journal.submit(Doing::List, Op::List { path }, disk);
        journal
    }

    fn directory(&self) -> String {
        super::file::parent_of(&self.config.path)
    }

    fn path(&self, number: u32) -> String {
        format!("{}.{number:08x}{ENDING}", self.config.path)
    }

    fn submit(&mut self, doing: Doing, op: Op, disk: &mut dyn Disk) {
        self.next_op = self.next_op.wrapping_add(1);
        self.doing.insert(self.next_op, doing);
        let tag = Tag {
            owner: self.owner,
            op: self.next_op,
        };
        disk.submit(tag, op);
    }

    fn new_file(&mut self) -> FileId {
        self.next_file = self.next_file.wrapping_add(1);
        FileId {
            owner: self.owner,
            number: self.next_file,
        }
    }

    fn fail(&mut self, failure: LogFailure) {
        self.failure.get_or_insert(failure);
    }

    /// Whether recovery is over.
    pub fn is_ready(&self) -> bool {
        self.phase == Phase::Ready
    }

    /// Why the journal refuses changes for good.
    pub fn failure(&self) -> Option<&LogFailure> {
        self.failure.as_ref()
    }

    /// What was found damaged when it was opened. The state is what the rest says.
    pub fn damage(&self) -> &[Damage] {
        &self.damage
    }

    /// What was recovered; taken once, when ready. `None` if there is no journal of this name.
    pub fn recovered(&mut self) -> Option<Recovered> {
        self.recovered.take()
    }

    /// Adds a change. Returns its number, to compare with [`durable`](Self::durable).
    pub fn append(&mut self, delta: &[u8]) -> u64 {
        self.last += 1;
        if self.config.memory {
            return self.last;
        }
        self.delta_bytes += delta.len() as u64 + 4;
        self.wait(delta);
        self.last
    }

    fn wait(&mut self, item: &[u8]) {
        put_item(&mut self.waiting, item);
        self.waiting_items += 1;
        self.added = true;
    }

    /// Replaces all before by a snapshot. Returns its number.
    pub fn snapshot(&mut self, state: &[u8]) -> u64 {
        self.last += 1;
        if self.config.memory {
            return self.last;
        }
        // What waits is in the snapshot.
        self.waiting.clear();
        self.waiting_items = 0;
        self.waiting_snapshot = true;
        self.base = None;
        self.snapshot_bytes = state.len() as u64;
        self.delta_bytes = 0;
        self.wait(state);
        self.last
    }

    /// Whether the deltas have grown so much that a snapshot is worth it.
    pub fn wants_snapshot(&self) -> bool {
        self.delta_bytes > WORTH.max(4 * self.snapshot_bytes)
    }

    /// The number of the last change that is durable, with all before it.
    pub fn durable(&self) -> u64 {
        if self.config.memory {
            self.last
        } else {
            self.durable
        }
    }

    /// Whether nothing is under way or waits.
    pub fn is_idle(&self) -> bool {
        self.doing.is_empty()
            && (self.waiting_items == 0 || self.failure.is_some() || self.phase != Phase::Ready)
    }

    /// Closes the file; completions are taken until [idle](Self::is_idle).
    pub fn close(&mut self, disk: &mut dyn Disk) {
        self.phase = Phase::Closed;
        let old = self.old.iter_mut().filter_map(|(_, file)| file.take());
        let files: Vec<FileId> = self.file.take().into_iter().chain(old).collect();
        for file in files {
            self.submit(Doing::Nothing, Op::Close { file }, disk);
        }
    }

    /// Removes the journal and its files.
    pub fn destroy(&mut self, disk: &mut dyn Disk) {
        let mut numbers: Vec<u32> = self.old.iter().map(|(number, _)| *number).collect();
        if self.number > 0 {
            numbers.push(self.number);
        }
        numbers.dedup();
        self.close(disk);
        for number in numbers {
            let path = self.path(number);
            self.submit(Doing::Nothing, Op::Remove { path }, disk);
        }
        let path = self.directory();
        self.submit(Doing::Nothing, Op::SyncDir { path }, disk);
    }

    /// Hands what accumulated to the disk, at the end of a turn. One write is under way at a time.
    pub fn flush(&mut self, disk: &mut dyn Disk) {
        if self.phase != Phase::Ready || self.failure.is_some() {
            return;
        }
        let added = std::mem::take(&mut self.added);
        if self.stalled && added {
            self.stalled = false;
            self.start_write(disk);
        }
        if self.waiting_items == 0 || self.flight.is_some() {
            return;
        }
        self.commit += 1;
        let mut snapshot = std::mem::take(&mut self.waiting_snapshot);
        if let Some((mut base, items)) = self.base.take() {
            base.extend_from_slice(&self.waiting);
            self.waiting = base;
            self.waiting_items += items;
            snapshot = true;
        }
        if snapshot {
            self.end = 0;
            self.edge.clear();
        }
        let used = self.edge.len();
        let length = (HEAD + self.waiting.len()).next_multiple_of(ALIGN);
        let mut buffer = Aligned::new(used + length);
        buffer[..used].copy_from_slice(&self.edge);
        let commit = &mut buffer[used..used + length];
        commit[..4].copy_from_slice(&MAGIC.to_le_bytes());
        commit[8..16].copy_from_slice(&self.config.identity.to_le_bytes());
        commit[16..24].copy_from_slice(&self.commit.to_le_bytes());
        commit[24..28].copy_from_slice(&(length as u32).to_le_bytes());
        commit[28..32].copy_from_slice(&self.waiting_items.to_le_bytes());
        commit[HEAD..HEAD + self.waiting.len()].copy_from_slice(&self.waiting);
        commit[HEAD + self.waiting.len()..].fill(super::file::PADDING);
        let sum = crc32fast::hash(&commit[HEAD..]);
        commit[32..36].copy_from_slice(&sum.to_le_bytes());
        commit[36..HEAD].fill(super::file::PADDING);
        let sum = crc32fast::hash(&commit[8..HEAD]);
        commit[4..8].copy_from_slice(&sum.to_le_bytes());
        self.waiting.clear();
        self.waiting_items = 0;
        self.flight = Some(self.last);
        let end = used + length;
        self.edge.clear();
        self.edge.extend_from_slice(&buffer[end - end % BLOCK..end]);
        let padded = end.next_multiple_of(BLOCK);
        self.fresh = snapshot || self.file.is_none();
        if self.fresh {
            if self.number > 0 {
                self.old.push((self.number, self.file.take()));
            }
            self.number += 1;
            self.end = length as u64;
            self.prepared = Some((buffer, 0, padded));
        } else {
            self.prepared = Some((buffer, self.end - used as u64, padded));
            self.end += length as u64;
        }
        self.start_write(disk);
    }

    fn start_write(&mut self, disk: &mut dyn Disk) {
        let Some(file) = self.file else {
            let file = self.new_file();
            self.file = Some(file);
            let open = Op::Open {
                file,
                path: self.path(self.number),
                mode: OpenMode::Write { create: true },
            };
            self.submit(Doing::OpenNew, open, disk);
            return;
        };
        if let Some((buffer, offset, length)) = self.prepared.take() {
            self.flight_at = (offset, length);
            let write = Op::Write {
                file,
                offset,
                buffer,
                range: 0..length,
                sync: true,
            };
            self.submit(Doing::Write, write, disk);
        }
    }

    /// Takes the completion of an operation of this owner.
    pub fn completed(&mut self, done: Completed, disk: &mut dyn Disk) {
        let Some(doing) = self.doing.remove(&done.tag.op) else {
            return;
        };
        match doing {
            Doing::List => self.listed(done, disk),
            Doing::OpenOld | Doing::Read => self.recover(doing, done, disk),
            Doing::Flush | Doing::FlushDir => self.flushed(doing, done, disk),
            Doing::Nothing => {}
            _ if self.phase == Phase::Closed => {}
            Doing::OpenNew | Doing::Cut | Doing::Allocate | Doing::Write | Doing::SyncDir => {
                self.written(doing, done, disk);
            }
        }
        self.flush(disk);
    }

    fn written(&mut self, doing: Doing, done: Completed, disk: &mut dyn Disk) {
        let path = self.path(self.number);
        let Some(file) = self.file else { return };
        match (doing, done.result) {
            (Doing::OpenNew, Err(DiskError::NoSpace)) => {
                self.file = None;
                self.stalled = true;
            }
            (Doing::Write, Err(DiskError::NoSpace)) => {
                let (offset, length) = self.flight_at;
                self.prepared = done.buffer.map(|buffer| (buffer, offset, length));
                self.stalled = true;
            }
            // Room is not reserved then; the write finds out whether there is some.
            (Doing::Allocate, Err(DiskError::NoSpace) | Ok(_)) => self.start_write(disk),
            (_, Err(error)) => self.fail(LogFailure::Write { path, error }),
            (Doing::OpenNew, Ok(_)) => {
                self.submit(Doing::Cut, Op::Truncate { file, length: 0 }, disk);
            }
            (Doing::Cut, Ok(_)) => {
                let length = block_up(self.end + WORTH.min(4 * self.end)).max(FILE_MIN);
                self.submit(Doing::Allocate, Op::Allocate { file, length }, disk);
            }
            (Doing::Write, Ok(_)) if self.fresh => {
                self.fresh = false;
                let path = self.directory();
                self.submit(Doing::SyncDir, Op::SyncDir { path }, disk);
            }
            _ => {
                self.durable = self.flight.take().unwrap_or(self.durable);
                for (number, file) in std::mem::take(&mut self.old) {
                    if let Some(file) = file {
                        self.submit(Doing::Nothing, Op::Close { file }, disk);
                    }
                    let path = self.path(number);
                    self.submit(Doing::Nothing, Op::Remove { path }, disk);
                }
            }
        }
    }

    fn listed(&mut self, done: Completed, disk: &mut dyn Disk) {
        let names = match done.result {
            Ok(Output::Names(names)) => names,
            Ok(_) | Err(DiskError::NotFound) => Vec::new(),
            Err(error) => {
                let path = self.directory();
                self.fail(LogFailure::Open { path, error });
                return;
            }
        };
        let base = self.config.path.rsplit('/').next().unwrap_or_default();
        let number = |name: &str| {
            let rest = name.strip_prefix(base)?.strip_prefix('.')?;
            let digits = rest.strip_suffix(ENDING)?;
            let number = u32::from_str_radix(digits, 16).ok()?;
            (digits == format!("{number:08x}")).then_some(number)
        };
        let mut numbers: Vec<u32> = names.iter().filter_map(|e| number(&e.name)).collect();
        numbers.sort_unstable();
        // All of these go when the next file is durable.
        self.number = numbers.last().copied().unwrap_or(0);
        let older = numbers.iter().take(numbers.len().saturating_sub(1));
        self.old = older.map(|number| (*number, None)).collect();
        self.candidates = numbers;
        self.next_candidate(disk);
    }

    /// Reads the newest file that was not tried yet.
    fn next_candidate(&mut self, disk: &mut dyn Disk) {
        let Some(number) = self.candidates.pop() else {
            self.phase = Phase::Ready;
            return;
        };
        self.data.clear();
        let file = self.new_file();
        self.file = Some(file);
        let open = Op::Open {
            file,
            path: self.path(number),
            // Under the lock that late writes of a killed predecessor hold.
            mode: OpenMode::Write { create: false },
        };
        self.reading = number;
        self.submit(Doing::OpenOld, open, disk);
    }

    fn recover(&mut self, doing: Doing, done: Completed, disk: &mut dyn Disk) {
        let number = self.reading;
        let Some(file) = self.file else { return };
        let more = match (doing, done.result) {
            (Doing::OpenOld, Err(DiskError::NotFound)) => {
                // It was old: a predecessor that was just killed removed it.
                self.file = None;
                self.next_candidate(disk);
                return;
            }
            (_, Err(error)) => {
                let path = self.path(number);
                self.fail(LogFailure::Open { path, error });
                return;
            }
            (Doing::Read, Ok(Output::Read { bytes })) => {
                let buffer = done.buffer.as_deref().unwrap_or_default();
                self.data
                    .extend_from_slice(&buffer[..bytes.min(buffer.len())]);
                bytes == buffer.len()
            }
            _ => true,
        };
        if more {
            let read = Op::Read {
                file,
                offset: self.data.len() as u64,
                buffer: Aligned::new(self.data.len().clamp(FIRST_STEP, STEP)),
            };
            self.submit(Doing::Read, read, disk);
            return;
        }
        let data = std::mem::take(&mut self.data);
        let found = decode(&data, self.config.identity);
        let Some(state) = found.state else {
            // The snapshot was never whole, so the file before it is still there; if it is not,
            // the state is lost.
            if self.candidates.is_empty() && found.had_something {
                self.report(number, 0..data.len() as u64);
            }
            self.file = None;
            self.submit(Doing::Nothing, Op::Close { file }, disk);
            self.next_candidate(disk);
            return;
        };
        for range in found.damage {
            self.report(number, range);
        }
        self.commit = found.commit;
        self.snapshot_bytes = state.snapshot.len() as u64;
        self.delta_bytes = state.deltas.iter().map(|d| d.len() as u64 + 4).sum();
        let mut base = Vec::new();
        put_item(&mut base, &state.snapshot);
        for delta in &state.deltas {
            put_item(&mut base, delta);
        }
        self.base = Some((base, 1 + state.deltas.len() as u32));
        self.recovered = Some(state);
        // A killed predecessor may not have come to flush it, and from now on it is durable.
        self.submit(Doing::Flush, Op::Sync { file }, disk);
    }

    fn flushed(&mut self, doing: Doing, done: Completed, disk: &mut dyn Disk) {
        let Some(file) = self.file else { return };
        if let Err(error) = done.result {
            let path = self.path(self.reading);
            self.fail(LogFailure::Open { path, error });
        } else if doing == Doing::Flush {
            let path = self.directory();
            self.submit(Doing::FlushDir, Op::SyncDir { path }, disk);
        } else {
            self.file = None;
            self.submit(Doing::Nothing, Op::Close { file }, disk);
            self.phase = Phase::Ready;
        }
    }

    fn report(&mut self, number: u32, bytes: std::ops::Range<u64>) {
        let path = self.path(number);
        self.damage.push(Damage {
            path,
            bytes,
            first: 1,
            last: 0,
        });
    }
}

fn put_item(out: &mut Vec<u8>, item: &[u8]) {
    out.extend_from_slice(&(item.len() as u32).to_le_bytes());
    out.extend_from_slice(item);
}

/// What a journal's file says.
#[derive(Debug, Default)]
struct Found {
    /// `None` without an intact snapshot.
    state: Option<Recovered>,
    /// The last commit.
    commit: u64,
    damage: Vec<std::ops::Range<u64>>,
    /// There are commits, even if no snapshot.
    had_something: bool,
}

/// A commit.
struct Commit<'a> {
    number: u64,
    length: usize,
    items: Vec<&'a [u8]>,
}

/// A commit's head: number, length, number of items, checksum over them.
fn read_head(bytes: &[u8], identity: u64) -> Option<(u64, usize, u32, u32)> {
    let bytes = bytes.get(..HEAD)?;
    let mut head = Reader::new(bytes);
    let (magic, sum) = (head.u32()?, head.u32()?);
    if magic != MAGIC || head.u64()? != identity || crc32fast::hash(&bytes[8..]) != sum {
        return None;
    }
    let (number, length) = (head.u64()?, head.u32()? as usize);
    let sane = length >= HEAD && length.is_multiple_of(ALIGN);
    sane.then_some((number, length, head.u32()?, head.u32()?))
}

fn read_commit(bytes: &[u8], identity: u64) -> Option<Commit<'_>> {
    let (number, length, count, sum) = read_head(bytes, identity)?;
    let items = bytes.get(HEAD..length)?;
    if crc32fast::hash(items) != sum {
        return None;
    }
    let mut body = Reader::new(items);
    let mut items = Vec::new();
    for _ in 0..count {
        let length = body.u32()? as usize;
        items.push(body.bytes(length)?);
    }
    Some(Commit {
        number,
        length,
        items,
    })
}

/// Reads a journal's file.
fn decode(data: &[u8], identity: u64) -> Found {
    let mut found = Found::default();
    let mut at = 0;
    loop {
        let rest = &data[at.min(data.len())..];
        let commit = read_commit(rest, identity)
            .filter(|commit| found.commit == 0 || commit.number == found.commit + 1);
        if let Some(commit) = commit {
            at += commit.length;
            found.take(commit, at);
            continue;
        }
        // Behind a torn commit there is nothing; behind a damaged one there is the next.
        let expected = found.commit + 1;
        let next = memchr::memmem::find_iter(rest, b"RwJ1").find(|skipped| {
            *skipped > 0
                && skipped % ALIGN == 0
                && read_commit(&rest[*skipped..], identity)
                    .is_some_and(|commit| commit.number > expected || found.commit == 0)
        });
        if let Some(skipped) = next {
            found.had_something = true;
            found.damage.push(at as u64..(at + skipped) as u64);
            at += skipped;
            if let Some(commit) = read_commit(&data[at..], identity) {
                found.commit = commit.number - 1;
            }
            continue;
        }
        // The last one: torn, or written whole and changed since.
        let used = rest.iter().rposition(|byte| *byte != 0);
        let used = used.map_or(0, |at| at + 1).max(HEAD).min(rest.len());
        let ours = rest.starts_with(&MAGIC.to_le_bytes())
            || rest
                .get(8..16)
                .is_some_and(|id| id == identity.to_le_bytes());
        let last = match read_head(rest, identity) {
            Some((_, length, _, _)) => rest.get(..length),
            None => ours.then(|| &rest[..used]),
        };
        if let Some(last) = last.filter(|last| !super::file::has_zero_sector(last, at as u64)) {
            found.had_something = true;
            found.damage.push(at as u64..(at + last.len()) as u64);
        }
        return found;
    }
}

impl Found {
    fn take(&mut self, commit: Commit<'_>, end: usize) {
        self.had_something = true;
        self.commit = commit.number;
        let mut items = commit.items.into_iter();
        if end == commit.length {
            self.state = items.next().map(|snapshot| Recovered {
                snapshot: snapshot.to_vec(),
                deltas: Vec::new(),
            });
        }
        if let Some(state) = &mut self.state {
            state.deltas.extend(items.map(<[u8]>::to_vec));
        }
    }
}

/// Decodes arbitrary bytes; see [`fuzzing`](super::fuzzing).
pub(super) fn fuzz(bytes: &[u8]) {
    const IDENTITY: u64 = 7;
    let mut bytes = bytes.to_vec();
    if bytes.len() > HEAD + ALIGN {
        let length = bytes.len() & !(ALIGN - 1);
        bytes[..4].copy_from_slice(&MAGIC.to_le_bytes());
        bytes[8..16].copy_from_slice(&IDENTITY.to_le_bytes());
        bytes[24..28].copy_from_slice(&(length as u32).to_le_bytes());
        let sum = crc32fast::hash(&bytes[HEAD..length]);
        bytes[32..36].copy_from_slice(&sum.to_le_bytes());
        let sum = crc32fast::hash(&bytes[8..HEAD]);
        bytes[4..8].copy_from_slice(&sum.to_le_bytes());
    }
    let found = decode(&bytes, IDENTITY);
    assert!(found.damage.len() <= bytes.len());
}
