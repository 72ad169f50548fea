//! Cost of a message that is pulled and acknowledged, without the network around it: the log is
//! in memory, the bus swallows what is sent.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringwire::broker::{CoreId, LogLevel, Now};
use ringwire::jetstream::bus::{Bus, Delivery, Incoming, Outgoing, Token};
use ringwire::jetstream::consumer::{
    Allowed, Consumers, Context, CreateConsumerRequest, Plan, StreamFacts,
};
use ringwire::store::{
    BlockCache, Compression, Disk, Log, LogConfig, NewMessage, Op, SEGMENT_BYTES, StorageKind,
    SyncPolicy, Tag,
};

/// Messages of a pull request, and stored for it.
const BATCH: u64 = 100;

struct Sink {
    now: Now,
    /// Subjects to acknowledge on, one behind the other.
    replies: Vec<u8>,
    ends: Vec<usize>,
}

impl Bus for Sink {
    fn now(&self) -> Now {
        self.now
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
    fn publish(&mut self, _: u16, message: &Outgoing<'_>) -> Delivery {
        self.replies.extend_from_slice(message.reply);
        self.ends.push(self.replies.len());
        black_box(message);
        Delivery::Sent
    }
    fn has_interest(&mut self, _: u16, _: &[u8]) -> bool {
        true
    }
    fn subscribe(&mut self, _: u16, _: &[u8], _: Token) {}
    fn unsubscribe(&mut self, _: u16, _: &[u8], _: Token) {}
    fn watch(&mut self, _: u16, _: &[u8], _: Token) {}
    fn unwatch(&mut self, _: u16, _: &[u8], _: Token) {}
    fn barrier(&self) -> u64 {
        0
    }
    fn passed(&self, _: u64) -> bool {
        true
    }
    fn send(&mut self, _: CoreId, _: &[u8]) {}
    fn log(&mut self, _: LogLevel, _: String) {}
}

struct NoDisk;

impl Disk for NoDisk {
    fn submit(&mut self, _: Tag, op: Op) {
        panic!("a log in memory asked for {op:?}");
    }
}

struct World {
    log: Log,
    bus: Sink,
    disk: NoDisk,
    consumers: Consumers,
}

impl World {
    fn new(config: &str) -> Self {
        let mut disk = NoDisk;
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
        let log = Log::create(1, log, &mut disk);
        let now = Now {
            mono_ns: 1_000_000_000_000,
            unix_ns: 1_795_000_000_000_000_000,
        };
        let bus = Sink {
            now,
            replies: Vec::new(),
            ends: Vec::new(),
        };
        let facts = StreamFacts {
            name: "ORDERS".to_owned(),
            ..StreamFacts::default()
        };
        let consumers = Consumers::new(facts, 1);
        let mut world = Self {
            log,
            bus,
            disk,
            consumers,
        };
        let body = format!(r#"{{"stream_name":"ORDERS","config":{config}}}"#);
        let request = CreateConsumerRequest::parse(body.as_bytes(), true).expect("a request");
        let plan = world
            .consumers
            .plan(request, &Allowed::default(), -1, || 1)
            .expect("a plan");
        let Plan::Create(name, config) = plan else {
            panic!("a new consumer");
        };
        let mut context = Context {
            log: &mut world.log,
            bus: &mut world.bus,
            disk: &mut world.disk,
        };
        world.consumers.create(&mut context, name, *config, None);
        world
    }

    fn store(&mut self, messages: u64) {
        for _ in 0..messages {
            let message = NewMessage {
                sequence: None,
                unix_ns: self.bus.now.unix_ns,
                subject: b"orders.new",
                header: b"",
                payload: &[0; 128],
                wake: None,
            };
            let sequence = self.log.append(&message).expect("room");
            self.consumers.appended(sequence, b"orders.new");
        }
    }

    /// Pulls a batch, then acknowledges each message.
    fn work(&mut self) {
        self.bus.now.mono_ns += 1_000_000;
        let mut context = Context {
            log: &mut self.log,
            bus: &mut self.bus,
            disk: &mut self.disk,
        };
        let request = Incoming {
            reply: b"_INBOX.abcdefghijklmnop.1",
            payload: br#"{"expires":30000000000,"batch":100,"idle_heartbeat":15000000000}"#,
            ..Incoming::default()
        };
        self.consumers.pull(&mut context, b"worker", &request);
        self.consumers.settle(&mut context, 1_000);
        while self.consumers.has_backlog() {
            self.consumers.settle(&mut context, 1_000);
        }
        let replies = std::mem::take(&mut self.bus.replies);
        let mut start = 0;
        for &end in &self.bus.ends {
            let mut context = Context {
                log: &mut self.log,
                bus: &mut Deaf(self.bus.now),
                disk: &mut self.disk,
            };
            let ack = Incoming {
                subject: &replies[start..end],
                payload: b"+ACK",
                ..Incoming::default()
            };
            self.consumers.acknowledge(&mut context, &ack);
            start = end;
        }
        assert_eq!(self.bus.ends.len() as u64, BATCH);
        self.bus.replies = replies;
        self.bus.replies.clear();
        self.bus.ends.clear();
        let mut context = Context {
            log: &mut self.log,
            bus: &mut self.bus,
            disk: &mut self.disk,
        };
        self.consumers.settle(&mut context, 1_000);
    }
}

/// A bus for acknowledgements, which send nothing.
struct Deaf(Now);

impl Bus for Deaf {
    fn now(&self) -> Now {
        self.0
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
    fn publish(&mut self, _: u16, _: &Outgoing<'_>) -> Delivery {
        Delivery::Nobody
    }
    fn has_interest(&mut self, _: u16, _: &[u8]) -> bool {
        false
    }
    fn subscribe(&mut self, _: u16, _: &[u8], _: Token) {}
    fn unsubscribe(&mut self, _: u16, _: &[u8], _: Token) {}
    fn watch(&mut self, _: u16, _: &[u8], _: Token) {}
    fn unwatch(&mut self, _: u16, _: &[u8], _: Token) {}
    fn barrier(&self) -> u64 {
        0
    }
    fn passed(&self, _: u64) -> bool {
        true
    }
    fn send(&mut self, _: CoreId, _: &[u8]) {}
    fn log(&mut self, _: LogLevel, _: String) {}
}

fn pull_and_acknowledge(c: &mut Criterion) {
    let mut group = c.benchmark_group("consumer");
    group.throughput(Throughput::Elements(BATCH));
    for (name, filter) in [
        ("all", ""),
        ("literal filter", r#","filter_subject":"orders.new""#),
    ] {
        let config = format!(r#"{{"name":"worker","ack_policy":"explicit"{filter}}}"#);
        let mut world = World::new(&config);
        group.bench_function(format!("pull and acknowledge, {name}"), |b| {
            b.iter_custom(|rounds| {
                let mut spent = std::time::Duration::ZERO;
                for _ in 0..rounds {
                    world.store(BATCH);
                    let start = std::time::Instant::now();
                    world.work();
                    spent += start.elapsed();
                    let last = world.log.last_sequence();
                    world
                        .log
                        .truncate_front(last.saturating_sub(BATCH), u64::MAX);
                }
                spent
            });
        });
    }
    group.finish();
}

criterion_group!(benches, pull_and_acknowledge);
criterion_main!(benches);
