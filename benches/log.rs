//! CPU of the log: appending and committing, reading, finding, recovering. The disk costs nothing
//! here: it keeps what it is given in memory and completes at once.

use std::collections::HashMap;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringwire::store::{
    BlockCache, Completed, Compression, Disk, Fetch, FileId, Filter, FilterCursor, Log, LogConfig,
    NewMessage, Op, Output, Removal, StorageKind, SyncPolicy, Tag,
};

/// Messages between two flushes.
const TURN: u64 = 1000;

/// A disk that discards what is written.
#[derive(Default)]
struct Discard {
    done: Vec<Completed>,
    open: HashMap<FileId, u64>,
    written: u64,
}

impl Disk for Discard {
    fn submit(&mut self, tag: Tag, op: Op) {
        let (output, buffer) = match op {
            Op::Write { buffer, range, .. } => {
                self.written += range.len() as u64;
                (Output::Done, Some(buffer))
            }
            Op::Read { buffer, .. } => (Output::Read { bytes: 0 }, Some(buffer)),
            Op::List { .. } => (Output::Names(Vec::new()), None),
            Op::Open { file, .. } => {
                self.open.insert(file, 0);
                (Output::Opened { length: 0 }, None)
            }
            _ => (Output::Done, None),
        };
        self.done.push(Completed {
            tag,
            result: Ok(output),
            buffer,
        });
    }
}

impl Discard {
    fn drive(&mut self, log: &mut Log) {
        log.flush(self);
        while let Some(done) = self.done.pop() {
            log.completed(done, self, &mut ());
        }
    }
}

fn log(storage: StorageKind, disk: &mut Discard) -> Log {
    let config = LogConfig {
        directory: "s".to_owned(),
        storage,
        sync: SyncPolicy::Always,
        compression: Compression::None,
        identity: 1,
        seed: 1,
        first_sequence: 0,
        segment_bytes: ringwire::store::SEGMENT_BYTES,
        cache: BlockCache::new(64 << 20),
    };
    let mut log = Log::create(1, config, disk);
    disk.drive(&mut log);
    log
}

fn subjects(count: usize) -> Vec<Vec<u8>> {
    (0..count)
        .map(|n| format!("orders.{}.{n}", n % 97).into_bytes())
        .collect()
}

fn append(log: &mut Log, subject: &[u8], payload: &[u8]) -> u64 {
    let message = NewMessage {
        sequence: None,
        unix_ns: 1,
        subject,
        header: b"",
        payload,
        wake: None,
    };
    log.append(&message).expect("room")
}

fn appending(c: &mut Criterion) {
    let mut group = c.benchmark_group("append");
    group.throughput(Throughput::Elements(TURN));
    for (name, storage) in [("file", StorageKind::File), ("memory", StorageKind::Memory)] {
        for count in [1, 100_000] {
            let subjects = subjects(count);
            let mut disk = Discard::default();
            let mut log = log(storage, &mut disk);
            let mut at = 0;
            group.bench_function(format!("{name}/{count} subjects"), |b| {
                b.iter(|| {
                    for _ in 0..TURN {
                        at = (at + 7919) % subjects.len();
                        append(&mut log, &subjects[at], &[7; 128]);
                    }
                    disk.drive(&mut log);
                    // The log stays as long as it is.
                    while log.state().messages > 1_000_000 {
                        log.remove(log.first_sequence(), Removal::Keep);
                    }
                });
            });
        }
    }
    group.finish();
}

fn finding(c: &mut Criterion) {
    let mut group = c.benchmark_group("find");
    let subjects = subjects(100_000);
    let mut disk = Discard::default();
    let mut log = log(StorageKind::Memory, &mut disk);
    for n in 0..2_000_000u64 {
        append(
            &mut log,
            &subjects[n as usize * 7919 % subjects.len()],
            b"payload",
        );
    }
    let mut at = 0;
    group.bench_function("last of a subject", |b| {
        b.iter(|| {
            at = (at + 7919) % subjects.len();
            log.find_subject(black_box(&subjects[at]))
        });
    });
    group.bench_function("next of a literal filter", |b| {
        let mut cursor = FilterCursor::new(Filter::new(&[&subjects[5]]));
        let mut from = 0;
        b.iter(|| {
            from = log
                .next_matching(&mut cursor, from)
                .map_or(0, |found| found + 1);
        });
    });
    group.bench_function("next of a sparse wildcard filter", |b| {
        let mut cursor = FilterCursor::new(Filter::new(&["orders.5.*"]));
        let mut from = 0;
        b.iter(|| {
            from = log
                .next_matching(&mut cursor, from)
                .map_or(0, |found| found + 1);
        });
    });
    group.bench_function("count of a literal filter", |b| {
        let filter = Filter::new(&[&subjects[5]]);
        b.iter(|| log.count_matching(black_box(&filter), 1_000_000));
    });
    group.bench_function("get", |b| {
        let mut sequence = 0;
        b.iter(|| {
            sequence = sequence % 2_000_000 + 1;
            match log.get(sequence, &mut disk) {
                Fetch::Message(stored) => stored.payload.len(),
                _ => unreachable!("a memory log has it"),
            }
        });
    });
    group.bench_function("remove and append one of a subject", |b| {
        b.iter(|| {
            at = (at + 7919) % subjects.len();
            if let Some(state) = log.find_subject(&subjects[at]) {
                log.remove(state.first, Removal::Keep);
            }
            append(&mut log, &subjects[at], b"payload")
        });
    });
    group.finish();
    println!(
        "{} bytes of memory a message of 7 bytes, {} messages, {} subjects",
        log.memory_bytes() as u64 / log.state().messages,
        log.state().messages,
        log.state().subjects
    );
}

criterion_group!(benches, appending, finding);
criterion_main!(benches);
