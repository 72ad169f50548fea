//! A publish into a stream in memory, acknowledgement included: the state machine's own cost,
//! without sockets and disk.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringwire::broker::{CoreId, LogLevel, Now};
use ringwire::jetstream::bus::{Bus, Delivery, Incoming, Outgoing, Token};
use ringwire::jetstream::settings::JetStreamSettings;
use ringwire::jetstream::stream::{
    Context, NoConsumers, NoLimits, Storage, Stream, StreamConfig, StreamSpec,
};
use ringwire::store::{
    BlockCache, Compression, Disk, Log, LogConfig, Op, SEGMENT_BYTES, StorageKind, SyncPolicy, Tag,
};

/// Messages of one iteration.
const BATCH: u64 = 1_000;

/// Takes acknowledgements and drops them.
#[derive(Default)]
struct Sink {
    unix_ns: i64,
}

impl Bus for Sink {
    fn now(&self) -> Now {
        Now {
            mono_ns: self.unix_ns as u64,
            unix_ns: self.unix_ns,
        }
    }
    fn random(&mut self) -> u64 {
        4
    }
    fn core(&self) -> CoreId {
        CoreId(0)
    }
    fn cores(&self) -> usize {
        1
    }
    fn publish(&mut self, _account: u16, message: &Outgoing<'_>) -> Delivery {
        black_box(message);
        Delivery::Sent
    }
    fn has_interest(&mut self, _account: u16, _subject: &[u8]) -> bool {
        true
    }
    fn subscribe(&mut self, _account: u16, _pattern: &[u8], _token: Token) {}
    fn unsubscribe(&mut self, _account: u16, _pattern: &[u8], _token: Token) {}
    fn watch(&mut self, _account: u16, _subject: &[u8], _token: Token) {}
    fn unwatch(&mut self, _account: u16, _subject: &[u8], _token: Token) {}
    fn barrier(&self) -> u64 {
        0
    }
    fn passed(&self, _barrier: u64) -> bool {
        true
    }
    fn send(&mut self, _core: CoreId, _record: &[u8]) {}
    fn log(&mut self, _level: LogLevel, _text: String) {}
}

struct NoDisk;

impl Disk for NoDisk {
    fn submit(&mut self, _tag: Tag, op: Op) {
        panic!("a log in memory asked for {op:?}");
    }
}

fn stream(max_msgs: i64, max_msgs_per_subject: i64) -> Stream {
    let log = LogConfig {
        directory: String::new(),
        storage: StorageKind::Memory,
        sync: SyncPolicy::Always,
        compression: Compression::None,
        identity: 1,
        seed: 1,
        first_sequence: 1,
        segment_bytes: SEGMENT_BYTES,
        cache: BlockCache::new(0),
    };
    let config = StreamConfig {
        name: "ORDERS".to_owned(),
        subjects: vec!["orders.>".to_owned()],
        storage: Storage::Memory,
        max_msgs,
        max_bytes: -1,
        max_msgs_per_subject,
        max_msg_size: -1,
        duplicate_window: 1_000_000_000,
        ..StreamConfig::default()
    };
    let spec = StreamSpec {
        slot: 0,
        account: 0,
        account_name: "$G".to_owned(),
        config,
        created_unix_ns: 1,
        domain: None,
        identity: "abcdefgh".to_owned(),
        seed: 1,
    };
    Stream::new(spec, Log::create(1, log, &mut NoDisk))
}

fn publish(c: &mut Criterion) {
    let mut group = c.benchmark_group("stream");
    group.throughput(Throughput::Elements(BATCH));
    let settings = JetStreamSettings::default();
    for (name, limit, per_subject, with_id) in [
        ("publish", 100_000, -1, false),
        ("publish_per_subject", -1, 1, false),
        ("publish_with_id", 100_000, -1, true),
    ] {
        let mut stream = stream(limit, per_subject);
        let mut bus = Sink::default();
        let mut number = 0u64;
        let subjects: Vec<String> = (0..1_000).map(|n| format!("orders.eu.{n}")).collect();
        group.bench_function(name, |b| {
            b.iter(|| {
                bus.unix_ns += 1_000_000;
                let (mut disk, mut consumers, mut usage) = (NoDisk, NoConsumers, NoLimits);
                let mut cx = Context {
                    bus: &mut bus,
                    disk: &mut disk,
                    consumers: &mut consumers,
                    usage: &mut usage,
                    settings: &settings,
                };
                stream.poll(&mut cx);
                for _ in 0..BATCH {
                    number += 1;
                    let header = match with_id {
                        true => format!("NATS/1.0\r\nNats-Msg-Id: {number}\r\n\r\n"),
                        false => String::new(),
                    };
                    let message = Incoming {
                        account: 0,
                        subject: subjects[number as usize % subjects.len()].as_bytes(),
                        reply: b"_INBOX.abcdefghijkl.1",
                        header: header.as_bytes(),
                        payload: &[b'x'; 128],
                        origin: 7,
                    };
                    stream.publish(&mut cx, &message);
                }
                stream.settle(&mut cx);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, publish);
criterion_main!(benches);
