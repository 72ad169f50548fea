//! A publish into a stream: no allocation but for the memory that messages are kept in.

use ringwire::broker::{CoreId, LogLevel, Now};
use ringwire::jetstream::bus::{Bus, Delivery, Incoming, Outgoing, Token};
use ringwire::jetstream::settings::JetStreamSettings;
use ringwire::jetstream::stream::{
    Context, NoConsumers, NoLimits, Storage, Stream, StreamConfig, StreamSpec,
};
use ringwire::store::{
    BlockCache, Compression, Disk, Log, LogConfig, Op, SEGMENT_BYTES, StorageKind, SyncPolicy, Tag,
};

use crate::counting::measure;

const MESSAGES: u64 = 100_000;
/// Allocations allowed in all: segments and index pages of the log in memory.
const PAGES: u64 = MESSAGES / 50;

/// Counts acknowledgements.
#[derive(Default)]
struct Acks {
    count: u64,
    bytes: usize,
}

impl Bus for Acks {
    fn now(&self) -> Now {
        Now {
            mono_ns: 1,
            unix_ns: 1_800_000_000_000_000_000,
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
        self.count += 1;
        self.bytes += message.payload.len();
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

#[test]
fn publishes_without_headers() {
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
        name: "S".to_owned(),
        subjects: vec!["s.>".to_owned()],
        storage: Storage::Memory,
        max_msgs: 10_000,
        max_bytes: -1,
        max_msgs_per_subject: -1,
        max_msg_size: -1,
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
    let mut bus = Acks::default();
    let mut stream = Stream::new(spec, Log::create(1, log, &mut NoDisk));
    let settings = JetStreamSettings::default();
    let mut round = |count: u64| {
        let (mut disk, mut consumers, mut usage) = (NoDisk, NoConsumers, NoLimits);
        let mut cx = Context {
            bus: &mut bus,
            disk: &mut disk,
            consumers: &mut consumers,
            usage: &mut usage,
            settings: &settings,
        };
        stream.poll(&mut cx);
        for number in 0..count {
            let subject: &[u8] = if number % 2 == 0 { b"s.one" } else { b"s.two" };
            let message = Incoming {
                account: 0,
                subject,
                reply: b"_INBOX.abcdefghijkl.1",
                header: b"",
                payload: &[b'x'; 128],
                origin: 7,
            };
            stream.publish(&mut cx, &message);
            if number % 100 == 0 {
                stream.settle(&mut cx);
            }
        }
        stream.settle(&mut cx);
    };
    round(MESSAGES);
    let usage = measure(|| round(MESSAGES));
    assert_eq!(bus.count, 2 * MESSAGES);
    assert_eq!(stream.log().state().messages, 10_000);
    assert!(
        usage.allocations <= PAGES,
        "{} allocations for {MESSAGES} messages",
        usage.allocations
    );
}
