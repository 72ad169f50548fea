//! A stream's consumers with a log in memory and a bus that remembers what was sent.

mod acks;
mod administration;
mod journals;
mod model;
mod priority_groups;
mod pulls;
mod pushes;

use std::collections::BTreeSet;

use crate::broker::{CoreId, LogLevel, Now};
use crate::jetstream::bus::{Bus, Delivery, Incoming, Outgoing, Token};
use crate::store::{
    BlockCache, Compression, Disk, JournalConfig, Log, LogConfig, NewMessage, Op, Removal,
    StorageKind, SyncPolicy, Tag,
};

use super::{Allowed, Consumers, Context, CreateConsumerRequest, EventKind, Plan, StreamFacts};

/// A message that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub to: String,
    pub subject: String,
    pub reply: String,
    pub header: String,
    pub payload: String,
}

/// A bus that keeps what is sent and has interest where it was told to.
pub struct TestBus {
    pub now: Now,
    pub sent: Vec<Sent>,
    pub deaf: BTreeSet<String>,
    pub congested: bool,
    pub watched: Vec<String>,
    random: u64,
}

impl Bus for TestBus {
    fn now(&self) -> Now {
        self.now
    }

    fn random(&mut self) -> u64 {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        self.random
    }

    fn core(&self) -> CoreId {
        CoreId(0)
    }

    fn cores(&self) -> usize {
        1
    }

    fn publish(&mut self, _: u16, message: &Outgoing<'_>) -> Delivery {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        if self.deaf.contains(&text(message.to)) {
            return Delivery::Nobody;
        }
        self.sent.push(Sent {
            to: text(message.to),
            subject: text(message.subject),
            reply: text(message.reply),
            header: text(message.header),
            payload: text(message.payload),
        });
        if self.congested {
            Delivery::Congested
        } else {
            Delivery::Sent
        }
    }

    fn has_interest(&mut self, _: u16, subject: &[u8]) -> bool {
        !self.deaf.contains(std::str::from_utf8(subject).unwrap())
    }

    fn subscribe(&mut self, _: u16, _: &[u8], _: Token) {}
    fn unsubscribe(&mut self, _: u16, _: &[u8], _: Token) {}

    fn watch(&mut self, _: u16, subject: &[u8], _: Token) {
        self.watched
            .push(String::from_utf8(subject.to_vec()).unwrap());
    }

    fn unwatch(&mut self, _: u16, subject: &[u8], _: Token) {
        self.watched.retain(|watched| watched.as_bytes() != subject);
    }

    fn barrier(&self) -> u64 {
        0
    }

    fn passed(&self, _: u64) -> bool {
        true
    }

    fn send(&mut self, _: CoreId, _: &[u8]) {}
    fn log(&mut self, _: LogLevel, _: String) {}
}

/// A disk that nothing is to reach.
pub struct NoDisk;

impl Disk for NoDisk {
    fn submit(&mut self, _: Tag, op: Op) {
        panic!("unexpected {op:?}");
    }
}

pub const SECOND: u64 = 1_000_000_000;

/// A stream `S` with its consumers.
pub struct World {
    pub log: Log,
    pub bus: TestBus,
    pub disk: NoDisk,
    pub consumers: Consumers,
    pub facts: StreamFacts,
    /// Consumers have journals, in memory.
    pub journals: bool,
}

impl World {
    pub fn new() -> Self {
        Self::with(StreamFacts::default())
    }

    pub fn with(facts: StreamFacts) -> Self {
        let facts = StreamFacts {
            name: "S".to_owned(),
            max_payload: 1024 * 1024,
            api_level: 5,
            ..facts
        };
        let mut disk = NoDisk;
        let config = LogConfig {
            directory: String::new(),
            storage: StorageKind::Memory,
            sync: SyncPolicy::Always,
            compression: Compression::None,
            identity: 1,
            seed: 1,
            first_sequence: 1,
            segment_bytes: crate::store::SEGMENT_BYTES,
            cache: BlockCache::new(0),
        };
        Self {
            log: Log::create(1, config, &mut disk),
            bus: TestBus {
                now: Now {
                    mono_ns: 1_000 * SECOND,
                    unix_ns: 1_700_000_000 * SECOND as i64,
                },
                sent: Vec::new(),
                deaf: BTreeSet::new(),
                congested: false,
                watched: Vec::new(),
                random: 7,
            },
            disk,
            consumers: Consumers::new(facts.clone(), 1),
            facts,
            journals: false,
        }
    }

    pub fn split(&mut self) -> (&mut Consumers, Context<'_>) {
        let context = Context {
            log: &mut self.log,
            bus: &mut self.bus,
            disk: &mut self.disk,
        };
        (&mut self.consumers, context)
    }

    /// Stores a message; the clock goes on by a microsecond.
    pub fn publish(&mut self, subject: &str, payload: &str) -> u64 {
        self.publish_with(subject, "", payload)
    }

    pub fn publish_with(&mut self, subject: &str, header: &str, payload: &str) -> u64 {
        self.bus.now.mono_ns += 1_000;
        self.bus.now.unix_ns += 1_000;
        let sequence = self
            .log
            .append(&NewMessage {
                sequence: None,
                unix_ns: self.bus.now.unix_ns,
                subject: subject.as_bytes(),
                header: header.as_bytes(),
                payload: payload.as_bytes(),
                wake: None,
            })
            .unwrap();
        self.consumers.appended(sequence, subject.as_bytes());
        sequence
    }

    /// Removes a message.
    pub fn remove(&mut self, sequence: u64) {
        let Some(meta) = self.log.meta(sequence) else {
            return;
        };
        let subject = self.log.subject(meta.subject).to_vec();
        self.log.remove(sequence, Removal::Keep);
        let (consumers, mut context) = self.split();
        consumers.removed(&mut context, sequence, &subject);
    }

    /// Removes everything below `first`.
    pub fn purge(&mut self, first: u64) {
        self.log.truncate_front(first, u64::MAX);
        let (consumers, mut context) = self.split();
        consumers.purged(&mut context);
    }

    pub fn try_create(&mut self, config: &str) -> Result<u32, u16> {
        let body = format!(r#"{{"stream_name":"S","config":{config}}}"#);
        let request = CreateConsumerRequest::parse(body.as_bytes(), true).unwrap();
        let plan = self.plan(request)?;
        let journal = self.journals.then(|| {
            let config = JournalConfig {
                path: String::new(),
                identity: 1,
                memory: true,
            };
            (7 + self.consumers.len() as u32, config)
        });
        let (consumers, mut context) = self.split();
        Ok(match plan {
            Plan::Create(name, config) => consumers.create(&mut context, name, *config, journal),
            Plan::Update(slot, config) => {
                consumers.update(&mut context, slot, *config);
                slot
            }
            Plan::Keep(slot) => slot,
        })
    }

    pub fn plan(&mut self, mut request: CreateConsumerRequest) -> Result<Plan, u16> {
        if request.config.is_durable() {
            request.config.name.clone_from(&request.config.durable_name);
        }
        let allowed = Allowed {
            work_queue: self.facts.work_queue,
            stream_replicas: 1,
            ..Allowed::default()
        };
        let bus = &mut self.bus;
        self.consumers
            .plan(request, &allowed, -1, || bus.random())
            .map_err(|error| error.code.number())
    }

    /// Makes (or changes) a consumer.
    pub fn create(&mut self, config: &str) -> u32 {
        self.try_create(config).unwrap()
    }

    /// A pull request whose answers go to `reply`.
    pub fn pull(&mut self, name: &str, body: &str, reply: &str) {
        let (consumers, mut context) = self.split();
        let message = Incoming {
            reply: reply.as_bytes(),
            payload: body.as_bytes(),
            ..Incoming::default()
        };
        assert!(consumers.pull(&mut context, name.as_bytes(), &message));
        self.settle();
    }

    /// Answers a message, with a reply subject if it is not empty.
    pub fn ack(&mut self, subject: &str, body: &str, reply: &str) {
        let (consumers, mut context) = self.split();
        let message = Incoming {
            subject: subject.as_bytes(),
            reply: reply.as_bytes(),
            payload: body.as_bytes(),
            ..Incoming::default()
        };
        assert!(consumers.acknowledge(&mut context, &message));
        self.settle();
    }

    pub fn settle(&mut self) {
        let (consumers, mut context) = self.split();
        while consumers.settle(&mut context, 1_000) == 0 && consumers.has_backlog() {}
    }

    /// Lets time pass, deadline by deadline.
    pub fn pass(&mut self, nanoseconds: u64) {
        let end = self.bus.now.mono_ns + nanoseconds;
        loop {
            let next = self.consumers.next_deadline().unwrap_or(u64::MAX).min(end);
            let step = next.saturating_sub(self.bus.now.mono_ns);
            self.bus.now.mono_ns += step;
            self.bus.now.unix_ns += step as i64;
            let (consumers, mut context) = self.split();
            consumers.tick(&mut context);
            self.settle();
            if self.bus.now.mono_ns >= end {
                break;
            }
        }
    }

    /// What was sent since the last call.
    pub fn sent(&mut self) -> Vec<Sent> {
        std::mem::take(&mut self.bus.sent)
    }

    /// Payloads of the messages sent since the last call; of statuses their first line.
    pub fn heard(&mut self) -> Vec<String> {
        self.sent()
            .into_iter()
            .map(|sent| {
                if sent.reply.is_empty() && sent.payload.is_empty() && !sent.header.is_empty() {
                    let line = sent.header.lines().next().unwrap_or_default();
                    format!("{} {}", sent.to, &line["NATS/1.0 ".len()..])
                } else {
                    sent.payload
                }
            })
            .collect()
    }

    pub fn info(&mut self, name: &str) -> super::ConsumerInfo {
        let (consumers, mut context) = self.split();
        let slot = consumers.find(name).unwrap();
        consumers.info(&mut context, slot).unwrap()
    }

    /// delivered (consumer, stream), floor (consumer, stream), ack pending, redelivered, pending.
    pub fn numbers(&mut self, name: &str) -> [u64; 7] {
        let info = self.info(name);
        [
            info.delivered.consumer_seq,
            info.delivered.stream_seq,
            info.ack_floor.consumer_seq,
            info.ack_floor.stream_seq,
            info.num_ack_pending,
            info.num_redelivered,
            info.num_pending,
        ]
    }

    pub fn events(&mut self) -> Vec<EventKind> {
        self.consumers
            .take_events()
            .into_iter()
            .map(|event| event.kind)
            .collect()
    }
}
