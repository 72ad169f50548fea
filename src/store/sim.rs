//! A simulated disk that fails in every way a real one may, from a seed. For tests.
//!
//! Operations wait until [`SimDisk::step`] carries one out, chosen by chance: so they complete in
//! any order. What was written and not flushed is lost or kept sector by sector when the power
//! goes; what a killed process had under way may happen later. Reads, writes and flushes can be
//! made to fail, bits to flip, and room to run out.

use std::collections::{BTreeMap, BTreeSet};

use super::aligned::Aligned;
use super::disk::{BLOCK, Completed, DirEntry, Disk, DiskError, FileId, Op, OpenMode, Output, Tag};

/// What is written wholly or not at all, in bytes.
const SECTOR: usize = 512;

/// How likely operations fail, in a million.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    pub reads: u32,
    /// Of writes; some of the sectors reach the disk nevertheless.
    pub writes: u32,
    pub syncs: u32,
    /// Bytes that all files together may have.
    pub room: Option<u64>,
}

#[derive(Clone, Debug)]
enum Unflushed {
    Write { offset: u64, bytes: Vec<u8> },
    Length(u64),
}

#[derive(Clone, Debug, Default)]
struct Node {
    /// What reads see.
    content: Vec<u8>,
    /// What survives a loss of power for sure.
    flushed: Vec<u8>,
    unflushed: Vec<Unflushed>,
}

#[derive(Debug)]
struct OpenFile {
    node: usize,
    path: String,
    locked: bool,
}

/// A change of names.
#[derive(Clone, Debug)]
struct NameChange {
    directory: String,
    path: String,
    node: Option<usize>,
}

#[derive(Debug)]
struct Waiting {
    tag: Tag,
    op: Op,
    /// Of a process that was killed: nobody hears of it.
    orphan: bool,
    /// What the file was when its process was killed.
    node: Option<usize>,
}

/// A simulated disk.
#[derive(Debug)]
pub struct SimDisk {
    random: u64,
    pub faults: Faults,
    nodes: Vec<Node>,
    names: BTreeMap<String, usize>,
    flushed_names: BTreeMap<String, usize>,
    unflushed_names: Vec<NameChange>,
    directories: BTreeSet<String>,
    open: BTreeMap<FileId, OpenFile>,
    waiting: Vec<Waiting>,
    /// Operations carried out so far.
    pub steps: u64,
    /// Prints each of them.
    pub trace: bool,
}

impl SimDisk {
    /// An empty disk; the seed decides about order and faults.
    pub fn new(seed: u64) -> Self {
        Self {
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            faults: Faults::default(),
            nodes: Vec::new(),
            names: BTreeMap::new(),
            flushed_names: BTreeMap::new(),
            unflushed_names: Vec::new(),
            directories: BTreeSet::new(),
            open: BTreeMap::new(),
            waiting: Vec::new(),
            steps: 0,
            trace: false,
        }
    }

    fn random(&mut self) -> u64 {
        // xorshift64*
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    fn chance(&mut self, in_a_million: u32) -> bool {
        in_a_million > 0 && self.random() % 1_000_000 < u64::from(in_a_million)
    }

    /// Whether operations wait.
    pub fn is_busy(&self) -> bool {
        self.waiting.iter().any(|waiting| !waiting.orphan)
    }

    /// Carries out one operation. `None` if none can be; an operation of a killed process is
    /// carried out without an answer.
    pub fn step(&mut self) -> Option<Completed> {
        loop {
            let ready: Vec<usize> = (0..self.waiting.len()).filter(|at| self.may(*at)).collect();
            if ready.is_empty() {
                return None;
            }
            let at = ready[self.random() as usize % ready.len()];
            let waiting = self.waiting.swap_remove(at);
            self.steps += 1;
            if self.trace {
                let late = if waiting.orphan { " (late)" } else { "" };
                eprintln!("{}{late} {:?}", self.steps, waiting.op);
            }
            if waiting.orphan {
                self.carry_out_orphan(waiting);
            } else {
                return Some(self.carry_out(waiting.tag, waiting.op));
            }
        }
    }

    /// Whether nothing that it must wait for is before it. Later operations are not reordered
    /// before earlier ones on the same file by closing it or taking its lock.
    fn may(&self, at: usize) -> bool {
        match &self.waiting[at].op {
            Op::Close { file } => !self
                .waiting
                .iter()
                .enumerate()
                .any(|(other, w)| other != at && file_of(&w.op) == Some(*file) && !w.orphan),
            Op::Open {
                path,
                mode: OpenMode::Write { .. },
                ..
            } => {
                let node = self.names.get(path).copied();
                let held = |w: &Waiting| w.orphan && w.node.is_some() && w.node == node;
                !self.waiting.iter().any(held)
            }
            _ => true,
        }
    }

    fn carry_out(&mut self, tag: Tag, op: Op) -> Completed {
        let (result, buffer) = match op {
            Op::Read {
                file,
                offset,
                mut buffer,
            } => {
                assert!(offset.is_multiple_of(BLOCK as u64));
                let result = self.read(file, offset, &mut buffer);
                (result, Some(buffer))
            }
            Op::Write {
                file,
                offset,
                buffer,
                range,
                sync,
            } => {
                let aligned = [offset as usize, range.start, range.end];
                assert!(aligned.iter().all(|at| at.is_multiple_of(BLOCK)));
                let node = self.open.get(&file).map(|open| open.node);
                let result = self.write(node, offset, &buffer[range], sync);
                (result, Some(buffer))
            }
            op => (self.control(op), None),
        };
        Completed {
            tag,
            result,
            buffer,
        }
    }

    fn carry_out_orphan(&mut self, waiting: Waiting) {
        match waiting.op {
            Op::Write {
                offset,
                buffer,
                range,
                sync,
                ..
            } => {
                let _ = self.write(waiting.node, offset, &buffer[range], sync);
            }
            Op::Remove { .. } | Op::Rename { .. } | Op::MakeDir { .. } => {
                let _ = self.control(waiting.op);
            }
            _ => {}
        }
    }

    fn read(
        &mut self,
        file: FileId,
        offset: u64,
        buffer: &mut Aligned,
    ) -> Result<Output, DiskError> {
        if self.chance(self.faults.reads) {
            return Err(DiskError::Io(5));
        }
        let node = self.open.get(&file).ok_or(DiskError::Io(9))?.node;
        let content = &self.nodes[node].content;
        let from = (offset as usize).min(content.len());
        let bytes = buffer.len().min(content.len() - from);
        buffer[..bytes].copy_from_slice(&content[from..from + bytes]);
        Ok(Output::Read { bytes })
    }

    fn write(
        &mut self,
        node: Option<usize>,
        offset: u64,
        bytes: &[u8],
        sync: bool,
    ) -> Result<Output, DiskError> {
        let node = node.ok_or(DiskError::Io(9))?;
        let end = offset as usize + bytes.len();
        self.make_room(node, end as u64)?;
        if self.chance(self.faults.writes) {
            for (at, sector) in bytes.chunks(SECTOR).enumerate() {
                if self.random().is_multiple_of(2) {
                    let at = offset as usize + at * SECTOR;
                    put(&mut self.nodes[node].content, at, sector);
                    put(&mut self.nodes[node].flushed, at, sector);
                }
            }
            return Err(DiskError::Io(5));
        }
        let node = &mut self.nodes[node];
        put(&mut node.content, offset as usize, bytes);
        if sync {
            // Lengths set before are part of what is flushed with it.
            let flushed = &mut node.flushed;
            let (start, end) = (offset, end as u64);
            for change in std::mem::take(&mut node.unflushed) {
                match change {
                    Unflushed::Length(length) => flushed.resize(length as usize, 0),
                    Unflushed::Write { offset, bytes } => {
                        // What is written over is not written again later.
                        let sectors = bytes.chunks(SECTOR).enumerate();
                        for (at, sector) in sectors {
                            let offset = offset + (at * SECTOR) as u64;
                            if offset < start || offset >= end {
                                let bytes = sector.to_vec();
                                node.unflushed.push(Unflushed::Write { offset, bytes });
                            }
                        }
                    }
                }
            }
            put(flushed, start as usize, bytes);
        } else {
            node.unflushed.push(Unflushed::Write {
                offset,
                bytes: bytes.to_vec(),
            });
        }
        Ok(Output::Done)
    }

    fn used(&self) -> u64 {
        let nodes: BTreeSet<usize> = self.names.values().copied().collect();
        nodes
            .iter()
            .map(|node| self.nodes[*node].content.len() as u64)
            .sum()
    }

    fn make_room(&self, node: usize, length: u64) -> Result<(), DiskError> {
        let has = self.nodes[node].content.len() as u64;
        match self.faults.room {
            Some(room) if length > has && self.used() + length - has > room => {
                Err(DiskError::NoSpace)
            }
            _ => Ok(()),
        }
    }

    fn control(&mut self, op: Op) -> Result<Output, DiskError> {
        match op {
            Op::MakeDir { path } => {
                self.directories.insert(path);
            }
            Op::List { path } => {
                if !self.directories.contains(&path) {
                    return Err(DiskError::NotFound);
                }
                return Ok(Output::Names(self.list(&path)));
            }
            Op::Open { file, path, mode } => return self.open(file, path, mode),
            Op::Close { file } => {
                self.open.remove(&file);
            }
            Op::Sync { file } => {
                let failed = self.chance(self.faults.syncs);
                let node = self.open.get(&file).ok_or(DiskError::Io(9))?.node;
                let node = &mut self.nodes[node];
                if failed {
                    // What was not flushed is forgotten: asking again would succeed.
                    node.unflushed.clear();
                    return Err(DiskError::Io(5));
                }
                node.flushed.clone_from(&node.content);
                node.unflushed.clear();
            }
            Op::Allocate { file, length } => {
                let node = self.open.get(&file).ok_or(DiskError::Io(9))?.node;
                self.make_room(node, length)?;
                let content = &mut self.nodes[node].content;
                if content.len() < length as usize {
                    content.resize(length as usize, 0);
                    self.nodes[node].unflushed.push(Unflushed::Length(length));
                }
            }
            Op::Truncate { file, length } => {
                let node = self.open.get(&file).ok_or(DiskError::Io(9))?.node;
                let node = &mut self.nodes[node];
                node.content.resize(length as usize, 0);
                node.unflushed.push(Unflushed::Length(length));
            }
            Op::Rename { from, to } => {
                let node = *self.names.get(&from).ok_or(DiskError::NotFound)?;
                self.set_name(from, None);
                self.set_name(to, Some(node));
            }
            Op::Remove { path } => {
                if !self.names.contains_key(&path) {
                    return Err(DiskError::NotFound);
                }
                self.set_name(path, None);
            }
            Op::RemoveTree { path } => {
                let below = format!("{path}/");
                self.directories
                    .retain(|directory| *directory != path && !directory.starts_with(&below));
                let names: Vec<String> = self
                    .names
                    .keys()
                    .filter(|name| name.starts_with(&below))
                    .cloned()
                    .collect();
                for name in names {
                    self.set_name(name, None);
                }
            }
            Op::SyncDir { path } => {
                let changes = std::mem::take(&mut self.unflushed_names);
                for change in changes {
                    if change.directory == path {
                        apply(&mut self.flushed_names, &change);
                    } else {
                        self.unflushed_names.push(change);
                    }
                }
            }
            Op::Read { .. } | Op::Write { .. } => unreachable!("handled by the caller"),
        }
        Ok(Output::Done)
    }

    fn list(&self, path: &str) -> Vec<DirEntry> {
        let below = format!("{path}/");
        let rest = |name: &str| {
            let rest = name.strip_prefix(&below)?;
            (!rest.contains('/')).then(|| rest.to_owned())
        };
        let files = self.names.iter().filter_map(|(name, node)| {
            Some(DirEntry {
                name: rest(name)?,
                is_dir: false,
                length: self.nodes[*node].content.len() as u64,
            })
        });
        let directories = self.directories.iter().filter_map(|name| {
            Some(DirEntry {
                name: rest(name)?,
                is_dir: true,
                length: 0,
            })
        });
        files.chain(directories).collect()
    }

    fn open(&mut self, file: FileId, path: String, mode: OpenMode) -> Result<Output, DiskError> {
        assert!(!self.open.contains_key(&file), "{file:?} is open");
        let node = match (self.names.get(&path), mode) {
            (Some(node), _) => *node,
            (None, OpenMode::Write { create: true }) => {
                self.nodes.push(Node::default());
                let node = self.nodes.len() - 1;
                self.set_name(path.clone(), Some(node));
                node
            }
            (None, _) => return Err(DiskError::NotFound),
        };
        let locked = matches!(mode, OpenMode::Write { .. });
        if locked
            && self
                .open
                .values()
                .any(|open| open.locked && open.node == node)
        {
            return Err(DiskError::Locked);
        }
        let length = self.nodes[node].content.len() as u64;
        self.open.insert(file, OpenFile { node, path, locked });
        Ok(Output::Opened { length })
    }

    fn set_name(&mut self, path: String, node: Option<usize>) {
        let change = NameChange {
            directory: path.rsplit_once('/').map_or("", |p| p.0).to_owned(),
            path,
            node,
        };
        apply(&mut self.names, &change);
        self.unflushed_names.push(change);
    }

    /// The process is killed: what it had under way may happen later, or not at all.
    pub fn kill(&mut self) {
        if self.trace {
            eprintln!("killed");
        }
        for waiting in &mut self.waiting {
            if !waiting.orphan {
                waiting.orphan = true;
                let open = file_of(&waiting.op).and_then(|file| self.open.get(&file));
                waiting.node = open.map(|open| open.node);
            }
        }
        let waiting = std::mem::take(&mut self.waiting);
        for waiting in waiting {
            let late = matches!(
                waiting.op,
                Op::Write { .. } | Op::Remove { .. } | Op::Rename { .. } | Op::MakeDir { .. }
            );
            if late && !self.random().is_multiple_of(4) {
                self.waiting.push(waiting);
            }
        }
        self.open.clear();
    }

    /// The power goes: of what was not flushed, some sectors are there and some are not.
    pub fn power_loss(&mut self) {
        if self.trace {
            eprintln!("power lost");
        }
        let waiting = std::mem::take(&mut self.waiting);
        for waiting in waiting {
            let node = match file_of(&waiting.op) {
                Some(_) if waiting.orphan => waiting.node,
                Some(file) => self.open.get(&file).map(|open| open.node),
                None => None,
            };
            if let (
                Some(node),
                Op::Write {
                    offset,
                    buffer,
                    range,
                    ..
                },
            ) = (node, waiting.op)
            {
                self.nodes[node].unflushed.push(Unflushed::Write {
                    offset,
                    bytes: buffer[range].to_vec(),
                });
            }
        }
        for node in 0..self.nodes.len() {
            for change in std::mem::take(&mut self.nodes[node].unflushed) {
                match change {
                    Unflushed::Write { offset, bytes } => {
                        let all = self.random().is_multiple_of(4);
                        for (at, sector) in bytes.chunks(SECTOR).enumerate() {
                            if all || self.random().is_multiple_of(2) {
                                let at = offset as usize + at * SECTOR;
                                put(&mut self.nodes[node].flushed, at, sector);
                            }
                        }
                    }
                    Unflushed::Length(length) => {
                        if self.random().is_multiple_of(2) {
                            self.nodes[node].flushed.resize(length as usize, 0);
                        }
                    }
                }
            }
            self.nodes[node].content = self.nodes[node].flushed.clone();
        }
        let changes = std::mem::take(&mut self.unflushed_names);
        let kept = self.random() as usize % (changes.len() + 1);
        for change in &changes[..kept] {
            apply(&mut self.flushed_names, change);
        }
        self.names = self.flushed_names.clone();
        self.open.clear();
    }

    /// All files by path, with what reads see.
    pub fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.names
            .iter()
            .map(|(path, node)| (path.as_str(), self.nodes[*node].content.as_slice()))
    }

    /// Paths of files that are open, for tests of leaks.
    pub fn open_paths(&self) -> Vec<&str> {
        self.open.values().map(|open| open.path.as_str()).collect()
    }

    /// Flips a bit of a file, on the disk as well.
    ///
    /// # Panics
    /// If there is no such file or byte.
    pub fn flip(&mut self, path: &str, byte: usize, bit: u8) {
        let node = &mut self.nodes[self.names[path]];
        if self.trace {
            let around = &node.content[byte & !511..][..SECTOR];
            eprintln!("bit {bit} of byte {byte} of {path} flips, in sector {around:?}");
        }
        node.content[byte] ^= 1 << bit;
        if let Some(byte) = node.flushed.get_mut(byte) {
            *byte ^= 1 << bit;
        }
    }

    /// Removes a file behind everybody's back.
    pub fn lose(&mut self, path: &str) {
        self.names.remove(path);
        self.flushed_names.remove(path);
    }
}

impl Disk for SimDisk {
    fn submit(&mut self, tag: Tag, op: Op) {
        self.waiting.push(Waiting {
            tag,
            op,
            orphan: false,
            node: None,
        });
    }
}

fn file_of(op: &Op) -> Option<FileId> {
    match op {
        Op::Close { file }
        | Op::Read { file, .. }
        | Op::Write { file, .. }
        | Op::Sync { file }
        | Op::Allocate { file, .. }
        | Op::Truncate { file, .. }
        | Op::Open { file, .. } => Some(*file),
        _ => None,
    }
}

fn put(content: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if content.len() < at + bytes.len() {
        content.resize(at + bytes.len(), 0);
    }
    content[at..at + bytes.len()].copy_from_slice(bytes);
}

fn apply(names: &mut BTreeMap<String, usize>, change: &NameChange) {
    match change.node {
        Some(node) => names.insert(change.path.clone(), node),
        None => names.remove(&change.path),
    };
}
