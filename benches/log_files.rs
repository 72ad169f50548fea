//! The log on real files, one blocking system call an operation: what a commit costs on this
//! machine, and how long a start takes, with and without a checkpoint.
//!
//! `RINGWIRE_BENCH_BYTES` is the size of the store (default 1 GB), `RINGWIRE_BENCH_DIR` where it
//! lies (default the system's directory for temporary files, which may be memory).

use std::collections::{HashMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::time::Instant;

use ringwire::store::{
    Aligned, BlockCache, Completed, Compression, Disk, DiskError, Fetch, FileId, Log, LogConfig,
    NewMessage, Op, OpenMode, Output, StorageKind, SyncPolicy, Tag,
};

/// Messages between two flushes: a window of publishers.
const TURN: u64 = 1000;
const PAYLOAD: usize = 1000;
const SUBJECTS: u64 = 100_000;

struct Files {
    root: PathBuf,
    open: HashMap<FileId, File>,
    done: VecDeque<Completed>,
}

impl Files {
    fn carry_out(&mut self, op: Op) -> (std::io::Result<Output>, Option<Aligned>) {
        match op {
            Op::Read {
                file,
                offset,
                mut buffer,
            } => {
                let mut bytes = 0;
                let result = loop {
                    match self.open[&file].read_at(&mut buffer[bytes..], offset + bytes as u64) {
                        Ok(0) => break Ok(Output::Read { bytes }),
                        Ok(read) => bytes += read,
                        Err(error) => break Err(error),
                    }
                };
                (result, Some(buffer))
            }
            Op::Write {
                file,
                offset,
                buffer,
                range,
                sync,
            } => {
                let file = &self.open[&file];
                let mut result = file.write_all_at(&buffer[range], offset);
                if sync && result.is_ok() {
                    result = file.sync_data();
                }
                (result.map(|()| Output::Done), Some(buffer))
            }
            op => (self.control(op), None),
        }
    }

    fn control(&mut self, op: Op) -> std::io::Result<Output> {
        let root = self.root.clone();
        match op {
            Op::MakeDir { path } => std::fs::create_dir_all(root.join(path))?,
            Op::List { path } => {
                let mut names = Vec::new();
                for entry in std::fs::read_dir(root.join(path))? {
                    let entry = entry?;
                    names.push(ringwire::store::disk::DirEntry {
                        name: entry.file_name().to_string_lossy().into_owned(),
                        is_dir: entry.file_type()?.is_dir(),
                        length: entry.metadata()?.len(),
                    });
                }
                return Ok(Output::Names(names));
            }
            Op::Open { file, path, mode } => {
                let opened = OpenOptions::new()
                    .read(true)
                    .write(mode != OpenMode::Read)
                    .create(mode == OpenMode::Write { create: true })
                    .custom_flags(libc::O_DIRECT)
                    .open(root.join(path))?;
                let length = opened.metadata()?.len();
                self.open.insert(file, opened);
                return Ok(Output::Opened { length });
            }
            Op::Close { file } => drop(self.open.remove(&file)),
            Op::Sync { file } => self.open[&file].sync_data()?,
            Op::Allocate { file, length } => {
                let has = self.open[&file].metadata()?.len();
                self.open[&file].set_len(length.max(has))?;
            }
            Op::Truncate { file, length } => self.open[&file].set_len(length)?,
            Op::Rename { from, to } => std::fs::rename(root.join(from), root.join(to))?,
            Op::Remove { path } => std::fs::remove_file(root.join(path))?,
            Op::RemoveTree { path } => std::fs::remove_dir_all(root.join(path))?,
            Op::SyncDir { path } => File::open(root.join(path))?.sync_all()?,
            Op::Read { .. } | Op::Write { .. } => {}
        }
        Ok(Output::Done)
    }

    fn drive(&mut self, log: &mut Log) {
        log.flush(self);
        while let Some(done) = self.done.pop_front() {
            log.completed(done, self, &mut ());
        }
    }
}

impl Disk for Files {
    fn submit(&mut self, tag: Tag, op: Op) {
        let (result, buffer) = self.carry_out(op);
        let result = result.map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => DiskError::NotFound,
            std::io::ErrorKind::StorageFull => DiskError::NoSpace,
            _ => DiskError::Io(error.raw_os_error().unwrap_or(0)),
        });
        self.done.push_back(Completed {
            tag,
            result,
            buffer,
        });
    }
}

fn config() -> LogConfig {
    LogConfig {
        directory: "store/stream".to_owned(),
        storage: StorageKind::File,
        sync: SyncPolicy::Always,
        compression: Compression::None,
        identity: 1,
        seed: 1,
        first_sequence: 0,
        segment_bytes: ringwire::store::SEGMENT_BYTES,
        cache: BlockCache::new(64 << 20),
    }
}

fn open(files: &mut Files, what: &str) -> Log {
    let start = Instant::now();
    let mut log = Log::open(1, config(), files);
    while !log.is_ready() && log.failure().is_none() {
        files.drive(&mut log);
    }
    assert_eq!(log.failure(), None);
    assert_eq!(log.damage(), &[]);
    println!("start {what}: {:.2?}", start.elapsed());
    log
}

fn main() {
    let bytes: u64 = std::env::var("RINGWIRE_BENCH_BYTES")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(1_000_000_000);
    let base = std::env::var_os("RINGWIRE_BENCH_DIR").map(PathBuf::from);
    let directory = tempfile::tempdir_in(base.unwrap_or_else(std::env::temp_dir)).expect("room");
    let mut files = Files {
        root: directory.path().to_owned(),
        open: HashMap::new(),
        done: VecDeque::new(),
    };
    let mut log = Log::create(1, config(), &mut files);
    files.drive(&mut log);

    let subjects: Vec<String> = (0..SUBJECTS)
        .map(|n| format!("orders.{}.{n}", n % 97))
        .collect();
    let payload = [7; PAYLOAD];
    let start = Instant::now();
    let mut count = 0u64;
    while log.state().bytes < bytes {
        for _ in 0..TURN {
            count += 1;
            let message = NewMessage {
                sequence: None,
                unix_ns: count as i64 * 1000,
                subject: subjects[(count * 7919 % SUBJECTS) as usize].as_bytes(),
                header: b"",
                payload: &payload,
                wake: None,
            };
            log.append(&message).expect("room");
        }
        files.drive(&mut log);
    }
    let took = start.elapsed();
    println!(
        "{count} messages of {PAYLOAD} bytes in commits of {TURN}: {took:.2?}, {:.0} a second",
        count as f64 / took.as_secs_f64()
    );
    println!(
        "memory {} bytes a message",
        log.memory_bytes() as u64 / log.state().messages
    );
    drop(log);
    files.open.clear();

    let mut log = open(&mut files, "without a checkpoint");
    let start = Instant::now();
    log.checkpoint(b"", &mut files);
    while !log.is_idle() {
        files.drive(&mut log);
    }
    println!("checkpoint: {:.2?}", start.elapsed());
    drop(log);
    files.open.clear();

    let mut log = open(&mut files, "with a checkpoint");
    let start = Instant::now();
    let mut read = 0u64;
    for sequence in 1..=count.min(1_000_000) {
        loop {
            match log.get(sequence, &mut files) {
                Fetch::Message(stored) => {
                    read += stored.payload.len() as u64;
                    break;
                }
                Fetch::Loading => files.drive(&mut log),
                other => panic!("message {sequence}: {other:?}"),
            }
        }
    }
    let took = start.elapsed();
    println!("{read} bytes of payload read in order: {took:.2?}");
    println!("log and index of {} bytes on disk", log.disk_bytes());
}
