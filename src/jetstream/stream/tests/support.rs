//! What surrounds the stream under test.

use crate::broker::{CoreId, LogLevel, Now};
use crate::jetstream::bus::{Bus, Delivery, Incoming, Outgoing, Token};
use crate::jetstream::settings::JetStreamSettings;
use crate::jetstream::stream::*;
use crate::store::{
    BlockCache, Compression as LogCompression, Disk, Fetch, Log, LogConfig, Op, StorageKind,
    SyncPolicy, Tag,
};

/// A message that was published through the bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub to: String,
    pub reply: String,
    pub header: String,
    pub payload: String,
}

#[derive(Debug, Default)]
pub struct TestBus {
    pub now: Now,
    pub sent: Vec<Sent>,
    pub subscriptions: Vec<(String, Token)>,
    pub randoms: u64,
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Bus for TestBus {
    fn now(&self) -> Now {
        self.now
    }
    fn random(&mut self) -> u64 {
        self.randoms = self.randoms.wrapping_mul(6_364_136_223_846_793_005) + 1;
        self.randoms
    }
    fn core(&self) -> CoreId {
        CoreId(0)
    }
    fn cores(&self) -> usize {
        1
    }
    fn publish(&mut self, _account: u16, message: &Outgoing<'_>) -> Delivery {
        self.sent.push(Sent {
            to: text(message.to),
            reply: text(message.reply),
            header: text(message.header),
            payload: text(message.payload),
        });
        Delivery::Sent
    }
    fn has_interest(&mut self, _account: u16, _subject: &[u8]) -> bool {
        true
    }
    fn subscribe(&mut self, _account: u16, pattern: &[u8], token: Token) {
        self.subscriptions.push((text(pattern), token));
    }
    fn unsubscribe(&mut self, _account: u16, pattern: &[u8], token: Token) {
        let gone = (text(pattern), token);
        self.subscriptions.retain(|there| *there != gone);
    }
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

/// Memory logs ask for nothing.
pub struct NoDisk;

impl Disk for NoDisk {
    fn submit(&mut self, _tag: Tag, op: Op) {
        panic!("a memory log asked for {op:?}");
    }
}

/// Consumers that take notes.
#[derive(Debug, Default)]
pub struct Notes {
    pub stored: Vec<(u64, String)>,
    pub removed: Vec<(u64, String)>,
    pub purges: usize,
    pub interested: bool,
    /// Sequences that somebody needs.
    pub needed: Vec<u64>,
}

impl Consumers for Notes {
    fn stored(&mut self, log: &Log, sequence: u64, subject: &[u8]) {
        assert!(log.meta(sequence).is_some());
        self.stored.push((sequence, text(subject)));
    }
    fn removed(&mut self, sequence: u64, subject: &[u8]) {
        self.removed.push((sequence, text(subject)));
    }
    fn purged(&mut self, _log: &Log) {
        self.purges += 1;
    }
    fn is_interested(&mut self, _subject: &[u8]) -> bool {
        self.interested
    }
    fn needs(&mut self, sequence: u64, _subject: &[u8]) -> bool {
        self.needed.contains(&sequence)
    }
}

/// Use that is counted, with a limit.
#[derive(Debug)]
pub struct Counted {
    pub bytes: i64,
    pub most: i64,
    pub batches: i64,
}

impl Usage for Counted {
    fn room(&self, _storage: Storage, bytes: u64) -> Room {
        if self.bytes + bytes as i64 > self.most {
            Room::AccountFull
        } else {
            Room::Enough
        }
    }
    fn used(&mut self, _storage: Storage, bytes: i64) {
        self.bytes += bytes;
    }
    fn begin_batch(&mut self) -> bool {
        self.batches += 1;
        true
    }
    fn end_batch(&mut self) {
        self.batches -= 1;
    }
    fn begin_fast_batch(&mut self) -> bool {
        self.begin_batch();
        true
    }
    fn end_fast_batch(&mut self) {
        self.end_batch();
    }
}

pub const START_NS: i64 = 1_800_000_000_000_000_000;
pub const SECOND: i64 = 1_000_000_000;

pub struct Bench {
    pub stream: Stream,
    pub bus: TestBus,
    pub notes: Notes,
    pub usage: Counted,
    pub settings: JetStreamSettings,
}

/// A configuration from JSON, checked as the API would.
pub fn config(json: &str) -> StreamConfig {
    let settings = JetStreamSettings::default();
    let request = StreamRequest::parse(json.as_bytes(), true).unwrap();
    let around = validate::Surroundings {
        settings: &settings,
        limits: &Default::default(),
        pedantic: false,
        find: &|_| None,
        other_subjects: &|_| {},
    };
    validate::check_create(request.config, &around).unwrap()
}

pub fn memory_log(first_sequence: u64) -> Log {
    let config = LogConfig {
        directory: String::new(),
        storage: StorageKind::Memory,
        sync: SyncPolicy::Always,
        compression: LogCompression::None,
        identity: 1,
        seed: 1,
        first_sequence,
        segment_bytes: crate::store::SEGMENT_BYTES,
        cache: BlockCache::new(0),
    };
    Log::create(1, config, &mut NoDisk)
}

impl Bench {
    /// A stream of this configuration, without its braces.
    pub fn new(fields: &str) -> Self {
        let config = config(&format!("{{\"storage\":\"memory\",{fields}}}"));
        let log = memory_log(config.first_seq);
        let spec = StreamSpec {
            slot: 5,
            account: 0,
            account_name: "$G".to_owned(),
            config,
            created_unix_ns: START_NS,
            domain: None,
            identity: "abcdefgh".to_owned(),
            seed: 3,
        };
        let mut bench = Self {
            stream: Stream::new(spec, log),
            bus: TestBus::default(),
            notes: Notes::default(),
            usage: Counted {
                bytes: 0,
                most: i64::MAX,
                batches: 0,
            },
            settings: JetStreamSettings::default(),
        };
        bench.bus.now = Now {
            mono_ns: 1_000,
            unix_ns: START_NS,
        };
        bench.with(|stream, cx| {
            stream.poll(cx);
            stream.start(cx);
        });
        bench
    }

    pub fn with<T>(&mut self, act: impl FnOnce(&mut Stream, &mut Context<'_>) -> T) -> T {
        let mut disk = NoDisk;
        let mut cx = Context {
            bus: &mut self.bus,
            disk: &mut disk,
            consumers: &mut self.notes,
            usage: &mut self.usage,
            settings: &self.settings,
        };
        act(&mut self.stream, &mut cx)
    }

    /// Lets time pass, and timers fire.
    pub fn pass(&mut self, nanos: i64) {
        self.bus.now.unix_ns += nanos;
        self.bus.now.mono_ns += nanos as u64;
        self.with(|stream, cx| stream.tick(cx));
    }

    /// Publishes and returns what came back to the reply subject.
    pub fn publish(&mut self, subject: &str, payload: &str, fields: &[(&str, &str)]) -> String {
        self.publish_to(subject, payload, fields, "reply.1")
    }

    pub fn publish_to(
        &mut self,
        subject: &str,
        payload: &str,
        fields: &[(&str, &str)],
        reply: &str,
    ) -> String {
        let mut header = String::new();
        if !fields.is_empty() {
            header.push_str("NATS/1.0\r\n");
            for (name, value) in fields {
                header.push_str(&format!("{name}: {value}\r\n"));
            }
            header.push_str("\r\n");
        }
        let message = Incoming {
            account: 0,
            subject: subject.as_bytes(),
            reply: reply.as_bytes(),
            header: header.as_bytes(),
            payload: payload.as_bytes(),
            origin: 1,
        };
        self.with(|stream, cx| {
            stream.publish(cx, &message);
            stream.settle(cx);
        });
        match self.bus.sent.iter().rposition(|sent| sent.to == reply) {
            Some(at) => self.bus.sent.remove(at).payload,
            None => "nothing".to_owned(),
        }
    }

    /// Publishes without headers; it must be stored under this sequence.
    pub fn store(&mut self, subject: &str, sequence: u64) {
        let answer = self.publish(subject, "x", &[]);
        let name = self.stream.name();
        assert_eq!(answer, format!(r#"{{"stream":"{name}","seq":{sequence}}}"#));
    }

    /// All messages: sequence, subject, header, payload.
    pub fn messages(&mut self) -> Vec<(u64, String, String, String)> {
        let log = self.stream.log_mut();
        let mut all = Vec::new();
        let mut from = 0;
        while let Some(sequence) = log.next(from) {
            let Fetch::Message(stored) = log.get(sequence, &mut NoDisk) else {
                panic!("message {sequence} is not there");
            };
            all.push((
                sequence,
                text(stored.subject),
                text(stored.header),
                text(stored.payload),
            ));
            from = sequence + 1;
        }
        all
    }

    pub fn sequences(&mut self) -> Vec<u64> {
        self.messages().iter().map(|message| message.0).collect()
    }

    /// What is counted agrees with what is there.
    pub fn check(&mut self) {
        let state = self.stream.log().state();
        assert_eq!(self.usage.bytes, state.bytes as i64);
        let messages = self.messages();
        assert_eq!(messages.len() as u64, state.messages);
        let bytes: usize = messages
            .iter()
            .map(|(_, subject, header, payload)| 16 + subject.len() + header.len() + payload.len())
            .sum();
        assert_eq!(bytes as u64, state.bytes);
    }
}
