//! A stream whose home this core is, with its consumers and all that waits on it.

use std::collections::{HashMap, VecDeque};

use super::api::dispatch::OwnedRequest;
use super::api::messages::Read;
use super::bus::{Bus, Incoming, Kind, Token};
use super::consumer::{self, StreamFacts};
use super::error::ApiError;
use super::node::{META_CORE, Owner, Parts, context};
use super::peer::Record;
use super::settings::{Durability, JetStreamSettings};
use super::stream::config::{Compression, PersistMode, Retention, Storage, StreamConfig};
use super::stream::context::{Consumers, Context};
use super::stream::{Stream, StreamSpec};
use super::{advisory, json, layout};
use crate::broker::Now;
use crate::json_object;
use crate::store::{
    self, BlockCache, Completed, Journal, JournalConfig, Log, LogConfig, Mark, Op, StorageKind,
    SyncPolicy,
};

/// Messages that a stream's consumers deliver in one turn.
const DELIVERIES_PER_TURN: u32 = 512;
/// Messages that direct gets send in one turn.
const READS_PER_TURN: usize = 256;

/// How far a stream has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its directory is being made.
    Making,
    /// Its configuration is being read.
    Reading,
    /// Its log is being opened.
    Opening,
    /// Its consumers are being listed and opened.
    Recovering,
    /// Its content is being received.
    Restoring,
    Running,
    /// Its files are being closed and removed.
    Removing,
    /// It cannot be used.
    Failed,
}

/// What the journal of a stream says.
#[derive(Clone, Debug, Default, PartialEq)]
struct Saved {
    config: StreamConfig,
    created: i64,
    identity: String,
}

json_object!(Saved, "Saved", {
    "config" => config,
    "created" => created,
    "identity" => identity,
});

impl Saved {
    fn encode(config: &StreamConfig, created: i64, identity: &str) -> Vec<u8> {
        let mut out = b"{\"config\":".to_vec();
        super::api::response::append(&mut out, config);
        out.extend_from_slice(format!(",\"created\":{created},\"identity\":").as_bytes());
        super::api::response::append(&mut out, identity);
        out.push(b'}');
        out
    }
}

/// A stream of this core.
pub(super) struct Entry {
    pub account: u16,
    pub account_name: String,
    pub slot: u32,
    pub incarnation: u64,
    /// Empty until the configuration is known.
    pub name: String,
    pub directory: String,
    pub created_ns: i64,
    identity: String,
    phase: Phase,
    /// Of a stream that is being made.
    config: Option<StreamConfig>,
    journal_owner: u32,
    journal: Option<Journal>,
    /// Number of the journal's last change.
    pub journal_mark: u64,
    log_owner: u32,
    pub stream: Option<Box<Stream>>,
    pub consumers: consumer::Consumers,
    /// Journals of consumers.
    pub consumer_owners: HashMap<String, u32>,
    listing_consumers: bool,
    pub reads: VecDeque<Read>,
    /// Answers to reads that had to wait.
    pub answers: Vec<(OwnedRequest, Result<Vec<u8>, ApiError>)>,
    /// Besides the stream's own.
    subscribed: Vec<(Vec<u8>, Token)>,
    /// Ranges of acknowledged messages, reused.
    acknowledged: Vec<(u64, u64)>,
    removals: Removals,
    /// When the log is flushed at the latest, if acknowledgements do not wait for it.
    sync_at: u64,
    pub problem: Option<String>,
    /// The removal of its directory was asked for.
    pub is_removed: bool,
    /// It is to be filled before it runs.
    pub is_restoring: bool,
    /// Behind the restored messages.
    restored: Option<Mark>,
    pub is_dirty: bool,
    /// Its entry in the heap of deadlines; `u64::MAX` for none.
    pub scheduled_at: u64,
    pub snapshots: super::api::snapshot::Snapshots,
}

/// What makes a stream.
pub(super) struct NewEntry {
    pub account: u16,
    pub account_name: String,
    pub slot: u32,
    pub incarnation: u64,
    pub directory: String,
    pub created_ns: i64,
    pub seed: u64,
}

impl Entry {
    fn new(new: NewEntry, phase: Phase) -> Self {
        Self {
            account: new.account,
            account_name: new.account_name,
            slot: new.slot,
            incarnation: new.incarnation,
            name: String::new(),
            directory: new.directory,
            created_ns: new.created_ns,
            identity: String::new(),
            phase,
            config: None,
            journal_owner: 0,
            journal: None,
            journal_mark: 0,
            log_owner: 0,
            stream: None,
            consumers: consumer::Consumers::new(StreamFacts::default(), new.seed),
            consumer_owners: HashMap::new(),
            listing_consumers: false,
            reads: VecDeque::new(),
            answers: Vec::new(),
            subscribed: Vec::new(),
            acknowledged: Vec::new(),
            removals: Removals::default(),
            sync_at: u64::MAX,
            problem: None,
            is_removed: false,
            is_restoring: false,
            restored: None,
            is_dirty: false,
            scheduled_at: u64::MAX,
            snapshots: super::api::snapshot::Snapshots::default(),
        }
    }

    /// A new stream. If it is one on disk, its directory must be made next.
    pub fn create(new: NewEntry, config: StreamConfig, identity: String) -> Self {
        let mut entry = Self::new(new, Phase::Making);
        entry.name.clone_from(&config.name);
        entry.identity = identity;
        entry.config = Some(config);
        entry
    }

    /// A stream of an earlier run.
    pub fn open(new: NewEntry, parts: &mut Parts<'_>) -> Self {
        let mut entry = Self::new(new, Phase::Reading);
        entry.journal_owner = parts.allocate(Owner::Journal(entry.slot));
        let config = entry.journal_config(false, parts);
        let journal = Journal::open(entry.journal_owner, config, parts.disk);
        entry.journal = Some(journal);
        entry
    }

    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Whether it is not known yet what the stream is.
    pub fn is_opening(&self) -> bool {
        matches!(
            self.phase,
            Phase::Reading | Phase::Opening | Phase::Recovering
        )
    }

    /// What it is called in the log.
    pub fn title(&self) -> String {
        match self.name.as_str() {
            "" => self.directory.clone(),
            name => format!("{} > {name}", self.account_name),
        }
    }

    /// The configuration, as soon as it is known.
    pub fn config(&self) -> Option<&StreamConfig> {
        self.stream
            .as_ref()
            .map(|stream| stream.config())
            .or(self.config.as_ref())
    }

    /// Tells the meta core that the stream is there.
    pub fn announce(&self, bus: &mut dyn Bus) {
        let (Some(config), true) = (self.config(), self.phase == Phase::Running) else {
            return;
        };
        let config = super::api::response::json(config);
        let record = Record::Present {
            account: self.account,
            name: &self.name,
            created_ns: self.created_ns,
            config: &config,
        };
        bus.send(META_CORE, &record.to_vec());
    }

    fn journal_config(&self, memory: bool, parts: &mut Parts<'_>) -> JournalConfig {
        let _ = &parts;
        JournalConfig {
            path: format!("{}/stream", self.directory),
            identity: self.created_ns as u64,
            memory,
        }
    }

    fn log_config(
        &self,
        config: &StreamConfig,
        settings: &JetStreamSettings,
        cache: &BlockCache,
        seed: u64,
    ) -> LogConfig {
        LogConfig {
            directory: format!("{}/messages", self.directory),
            storage: match config.storage {
                Storage::File => StorageKind::File,
                Storage::Memory => StorageKind::Memory,
            },
            sync: match (config.persist_mode, settings.durability) {
                (PersistMode::Async, _) => SyncPolicy::Async,
                (PersistMode::Default, Durability::Flushed) => SyncPolicy::Always,
                (PersistMode::Default, Durability::Interval(_)) => SyncPolicy::Interval,
            },
            compression: match config.compression {
                Compression::None => store::Compression::None,
                Compression::S2 => store::Compression::S2,
            },
            identity: self.created_ns as u64,
            seed,
            first_sequence: config.first_seq,
            segment_bytes: store::SEGMENT_BYTES,
            cache: cache.clone(),
        }
    }

    /// The directory of a new stream is there, or not needed.
    pub fn directory_made(&mut self, parts: &mut Parts<'_>) {
        let Some(config) = self.config.take() else {
            return;
        };
        let memory = config.storage == Storage::Memory;
        self.journal_owner = parts.allocate(Owner::Journal(self.slot));
        let journal = self.journal_config(memory, parts);
        let saved = Saved::encode(&config, self.created_ns, &self.identity);
        self.journal_mark = 1;
        self.journal = Some(Journal::create(
            self.journal_owner,
            journal,
            &saved,
            parts.disk,
        ));
        self.make_stream(parts, config, true);
    }

    fn make_stream(&mut self, parts: &mut Parts<'_>, config: StreamConfig, is_new: bool) {
        self.log_owner = parts.allocate(Owner::Log(self.slot));
        let seed = parts.bus.random();
        let log_config = self.log_config(&config, parts.settings, parts.cache, seed);
        let log = if is_new {
            Log::create(self.log_owner, log_config, parts.disk)
        } else {
            Log::open(self.log_owner, log_config, parts.disk)
        };
        self.set_facts(&config, parts.settings);
        let spec = StreamSpec {
            slot: self.slot,
            account: self.account,
            account_name: self.account_name.clone(),
            config,
            created_unix_ns: self.created_ns,
            domain: parts.settings.domain.clone(),
            identity: self.identity.clone(),
            seed,
        };
        self.stream = Some(Box::new(Stream::new(spec, log)));
        self.phase = Phase::Opening;
        self.with_stream(parts, |stream, cx| stream.poll(cx));
    }

    fn set_facts(&mut self, config: &StreamConfig, settings: &JetStreamSettings) {
        self.consumers.set_facts(StreamFacts {
            account: self.account,
            slot: self.slot,
            name: config.name.clone(),
            wants_acknowledged: config.retention != Retention::Limits,
            work_queue: config.retention == Retention::WorkQueue,
            max_payload: settings.max_payload as u64,
            api_level: super::settings::API_LEVEL,
        });
    }

    /// Calls the stream with what it is handed.
    pub fn with_stream<R>(
        &mut self,
        parts: &mut Parts<'_>,
        call: impl FnOnce(&mut Stream, &mut Context<'_>) -> R,
    ) -> Option<R> {
        let stream = self.stream.as_deref_mut()?;
        let mut consumers = Attached {
            consumers: &mut self.consumers,
            removals: &mut self.removals,
        };
        let mut cx = context(parts, &mut consumers);
        let result = call(stream, &mut cx);
        if !self.removals.is_empty() {
            let mut cx = consumer::Context {
                log: stream.log_mut(),
                bus: &mut *parts.bus,
                disk: &mut *parts.disk,
            };
            self.removals.tell(&mut self.consumers, &mut cx);
        }
        Some(result)
    }

    /// Calls the consumers with what they are handed.
    pub fn with_consumers<R>(
        &mut self,
        parts: &mut Parts<'_>,
        call: impl FnOnce(&mut consumer::Consumers, &mut consumer::Context<'_>) -> R,
    ) -> Option<R> {
        let stream = self.stream.as_deref_mut()?;
        let mut cx = consumer::Context {
            log: stream.log_mut(),
            bus: &mut *parts.bus,
            disk: &mut *parts.disk,
        };
        Some(call(&mut self.consumers, &mut cx))
    }

    /// Takes a message of one of the stream's subscriptions. `false` if nobody is there for it.
    #[inline]
    pub fn message(
        &mut self,
        parts: &mut Parts<'_>,
        kind: Kind,
        token: Token,
        message: &Incoming<'_>,
    ) -> bool {
        if self.phase != Phase::Running {
            return false;
        }
        match kind {
            Kind::Publish => {
                self.with_stream(parts, |stream, cx| stream.publish(cx, message));
                true
            }
            Kind::Ack => self
                .with_consumers(parts, |consumers, cx| consumers.acknowledge(cx, message))
                .unwrap_or(false),
            Kind::Next => {
                let name = message.subject.rsplit(|&b| b == b'.').next();
                let name = name.unwrap_or_default();
                self.with_consumers(parts, |consumers, cx| consumers.pull(cx, name, message))
                    .unwrap_or(false)
            }
            Kind::FlowControl => {
                self.with_consumers(parts, |consumers, cx| consumers.flow_control(cx, message));
                true
            }
            Kind::DirectGet => self.direct_get(parts, message, None),
            Kind::DirectGetLast => {
                // `$JS.API.DIRECT.GET.<stream>.<subject>`: five tokens before it.
                let mut subject = crate::subject::tokens(message.subject);
                for _ in 0..5 {
                    subject.next();
                }
                self.direct_get(parts, message, subject.rest())
            }
            Kind::Stream => {
                let detail = token.detail();
                self.with_stream(parts, |stream, cx| stream.own_message(cx, detail, message));
                true
            }
            Kind::Snapshot => {
                self.snapshot_acknowledged(parts, token.detail(), message);
                true
            }
            Kind::Api | Kind::Consumer | Kind::Restore | Kind::Domain => true,
        }
    }

    /// A watched subject has interest, or has it no more.
    pub fn interest(&mut self, parts: &mut Parts<'_>, token: Token, interested: bool) {
        if token.kind() == Some(Kind::Consumer) {
            let (slot, _) = token.consumer_detail();
            self.with_consumers(parts, |consumers, cx| {
                consumers.interest(cx, slot, interested)
            });
        }
    }

    /// An operation of the journal is over.
    pub fn journal_completed(&mut self, parts: &mut Parts<'_>, done: Completed) {
        if let Some(journal) = &mut self.journal {
            journal.completed(done, parts.disk);
        }
    }

    /// An operation of the log is over.
    pub fn log_completed(&mut self, parts: &mut Parts<'_>, done: Completed) {
        self.with_stream(parts, |stream, cx| stream.completed(cx, done));
        self.consumers.log_progressed();
    }

    /// An operation of a consumer's journal is over.
    pub fn consumer_completed(&mut self, parts: &mut Parts<'_>, done: Completed) {
        self.with_consumers(parts, |consumers, cx| consumers.completed(cx, done));
    }

    /// Acts on times that have passed.
    pub fn tick(&mut self, parts: &mut Parts<'_>) {
        if self.phase != Phase::Running {
            return;
        }
        self.with_stream(parts, |stream, cx| stream.tick(cx));
        self.with_consumers(parts, |consumers, cx| consumers.tick(cx));
        let now = parts.bus.now().mono_ns;
        if now >= self.sync_at {
            self.sync_at = u64::MAX;
            if let Some(stream) = &mut self.stream {
                stream.log_mut().sync(parts.disk);
            }
        }
        self.tick_snapshots(parts);
    }

    /// When [`Entry::tick`] has something to do.
    pub fn next_deadline(&self, now: Now) -> Option<u64> {
        if self.phase != Phase::Running {
            return None;
        }
        let stream = self.stream.as_ref()?;
        [
            stream.next_deadline(now),
            self.consumers.next_deadline(),
            (self.sync_at != u64::MAX).then_some(self.sync_at),
            self.snapshots.next_deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// The end of a turn. Changes of the phase are acted upon by the node.
    pub fn settle(&mut self, parts: &mut Parts<'_>) {
        match self.phase {
            Phase::Making | Phase::Failed => {}
            Phase::Reading => self.settle_reading(parts),
            Phase::Opening => self.settle_opening(parts),
            Phase::Recovering => self.settle_recovering(parts),
            Phase::Restoring => self.settle_restoring(parts),
            Phase::Running => self.settle_running(parts),
            Phase::Removing => {}
        }
        if let Some(journal) = &mut self.journal {
            journal.flush(parts.disk);
        }
    }

    fn settle_reading(&mut self, parts: &mut Parts<'_>) {
        let Some(journal) = &mut self.journal else {
            return;
        };
        if let Some(failure) = journal.failure() {
            self.problem = Some(format!("its configuration cannot be read: {failure}"));
            self.phase = Phase::Failed;
            return;
        }
        if !journal.is_ready() {
            return;
        }
        let Some(recovered) = journal.recovered() else {
            // Never made to the end, or removed in part.
            self.phase = Phase::Removing;
            return;
        };
        let mut saved = Saved::default();
        let read = json::decode(&mut saved, &recovered.snapshot, "Saved", false);
        if let Err(error) = read {
            self.problem = Some(format!("its configuration cannot be read: {error}"));
            self.phase = Phase::Failed;
            return;
        }
        self.name.clone_from(&saved.config.name);
        self.created_ns = saved.created;
        self.identity = saved.identity;
        self.make_stream(parts, saved.config, false);
        self.settle_opening(parts);
    }

    fn settle_opening(&mut self, parts: &mut Parts<'_>) {
        self.with_stream(parts, |stream, cx| stream.poll(cx));
        let (Some(stream), Some(journal)) = (&mut self.stream, &self.journal) else {
            return;
        };
        let failure = stream
            .log()
            .failure()
            .or(journal.failure())
            .map(ToString::to_string);
        if let Some(failure) = failure {
            self.problem = Some(failure);
            self.phase = Phase::Failed;
            return;
        }
        stream.log_mut().flush(parts.disk);
        if stream.is_ready() && journal.durable() >= self.journal_mark {
            self.phase = Phase::Recovering;
        }
    }

    fn settle_recovering(&mut self, parts: &mut Parts<'_>) {
        if self.listing_consumers || !self.consumers.is_recovered() {
            return;
        }
        if self.is_restoring {
            self.phase = Phase::Restoring;
            return;
        }
        self.phase = Phase::Running;
        self.with_stream(parts, |stream, cx| stream.start(cx));
        self.subscribe(parts.bus);
    }

    fn settle_restoring(&mut self, parts: &mut Parts<'_>) {
        if let Some(stream) = &mut self.stream {
            stream.log_mut().flush(parts.disk);
        }
        self.with_consumers(parts, |consumers, cx| consumers.settle(cx, 0));
        if !self.is_restoring {
            self.settle_recovering(parts);
        }
    }

    /// All of the content is there.
    pub fn finish_restore(&mut self) {
        self.is_restoring = false;
        self.restored = self.stream.as_ref().map(|stream| stream.log().mark());
    }

    /// Whether what was restored is durable.
    pub fn is_durable(&self) -> bool {
        match (&self.stream, self.restored) {
            (Some(stream), Some(mark)) => stream.log().reached(mark),
            _ => true,
        }
    }

    /// The consumers are to be listed next; `false` if there is nothing to list.
    pub fn wants_consumers_listed(&mut self) -> bool {
        let on_disk = self
            .config()
            .is_some_and(|config| config.storage == Storage::File);
        self.listing_consumers = on_disk;
        on_disk
    }

    /// The names of the files in the consumers' directory are known.
    pub fn consumers_listed(&mut self, parts: &mut Parts<'_>, files: Vec<String>) {
        self.listing_consumers = false;
        let mut stems: Vec<String> = files
            .iter()
            .map(|file| file.split('.').next().unwrap_or_default().to_owned())
            .collect();
        stems.sort();
        stems.dedup();
        for stem in stems {
            let Some(name) = layout::consumer_of_file(&stem) else {
                continue;
            };
            let owner = parts.allocate(Owner::Consumer(self.slot));
            self.consumer_owners.insert(name.clone(), owner);
            let journal = self.consumer_journal(&stem);
            self.with_consumers(parts, |consumers, cx| {
                consumers.recover(cx, name, owner, journal);
            });
        }
    }

    /// The journal of a consumer whose files have this name.
    pub fn consumer_journal(&self, stem: &str) -> JournalConfig {
        JournalConfig {
            path: format!("{}/consumers/{stem}", self.directory),
            identity: self.created_ns as u64,
            memory: false,
        }
    }

    /// Receives what clients send about the stream, according to its configuration.
    pub fn subscribe(&mut self, bus: &mut dyn Bus) {
        let Some(stream) = &self.stream else {
            return;
        };
        let (name, slot) = (stream.name(), self.slot);
        let mut wanted = vec![
            (format!("$JS.API.CONSUMER.MSG.NEXT.{name}.*"), Kind::Next),
            (format!("$JS.ACK.{name}.>"), Kind::Ack),
            (format!("$JS.FC.{name}.>"), Kind::FlowControl),
        ];
        if stream.config().allow_direct {
            wanted.push((format!("$JS.API.DIRECT.GET.{name}"), Kind::DirectGet));
            wanted.push((format!("$JS.API.DIRECT.GET.{name}.>"), Kind::DirectGetLast));
        }
        let wanted: Vec<_> = wanted
            .into_iter()
            .map(|(pattern, kind)| (pattern.into_bytes(), Token::new(kind, slot, 0)))
            .collect();
        let account = self.account;
        self.subscribed.retain(|one| {
            let keep = wanted.contains(one);
            if !keep {
                bus.unsubscribe(account, &one.0, one.1);
            }
            keep
        });
        for one in wanted {
            if !self.subscribed.contains(&one) {
                bus.subscribe(account, &one.0, one.1);
                self.subscribed.push(one);
            }
        }
    }

    fn unsubscribe(&mut self, bus: &mut dyn Bus) {
        for (pattern, token) in self.subscribed.drain(..) {
            bus.unsubscribe(self.account, &pattern, token);
        }
    }

    fn settle_running(&mut self, parts: &mut Parts<'_>) {
        self.with_stream(parts, |stream, cx| stream.settle(cx));
        self.with_consumers(parts, |consumers, cx| {
            consumers.settle(cx, DELIVERIES_PER_TURN);
        });
        self.drop_acknowledged(parts);
        if !self.reads.is_empty() {
            self.proceed_reads(parts, READS_PER_TURN);
        }
        self.proceed_snapshots(parts);
        self.report_events(parts);
        let now = parts.bus.now().mono_ns;
        if let (Durability::Interval(interval), Some(stream)) =
            (parts.settings.durability, &self.stream)
            && self.sync_at == u64::MAX
            && stream.log().wants_sync()
        {
            self.sync_at = now.saturating_add(interval);
        }
    }

    /// Tells the stream what consumers are done with.
    pub fn drop_acknowledged(&mut self, parts: &mut Parts<'_>) {
        let mut acknowledged = std::mem::take(&mut self.acknowledged);
        self.consumers.take_acknowledged(&mut acknowledged);
        if !acknowledged.is_empty() {
            self.with_stream(parts, |stream, cx| {
                for &(first, last) in &acknowledged {
                    for sequence in first..=last {
                        stream.acknowledged(cx, sequence);
                    }
                }
            });
            acknowledged.clear();
        }
        self.acknowledged = acknowledged;
    }

    /// Whether [`Entry::settle`] should be called again without an event.
    pub fn has_backlog(&self) -> bool {
        self.phase == Phase::Running
            && (self.consumers.has_backlog()
                || self
                    .stream
                    .as_ref()
                    .is_some_and(|stream| stream.has_backlog())
                || self.reads.iter().any(Read::is_runnable)
                || self.snapshots.has_backlog())
    }

    /// Takes over a changed configuration.
    pub fn update(&mut self, parts: &mut Parts<'_>, config: StreamConfig) {
        self.set_facts(&config, parts.settings);
        let saved = Saved::encode(&config, self.created_ns, &self.identity);
        self.with_stream(parts, |stream, cx| stream.update(cx, config));
        if let Some(journal) = &mut self.journal {
            self.journal_mark = journal.snapshot(&saved);
        }
        self.subscribe(parts.bus);
    }

    /// Whether the configuration in force is durable.
    pub fn is_saved(&self) -> bool {
        self.journal
            .as_ref()
            .is_none_or(|journal| journal.durable() >= self.journal_mark)
    }

    /// Removes the stream with all its messages and consumers.
    pub fn destroy(&mut self, parts: &mut Parts<'_>) {
        self.drop_snapshots(parts);
        self.unsubscribe(parts.bus);
        let slots: Vec<u32> = self.consumers.names().map(|(_, slot)| slot).collect();
        self.with_consumers(parts, |consumers, cx| {
            for slot in slots {
                consumers.delete(cx, slot);
            }
        });
        self.reads.clear();
        self.with_stream(parts, |stream, cx| stream.destroy(cx));
        if let Some(journal) = &mut self.journal {
            journal.destroy(parts.disk);
        }
        self.phase = Phase::Removing;
    }

    /// Whether everything of a stream that is being removed is closed.
    pub fn is_closed(&self) -> bool {
        self.phase == Phase::Removing
            && self
                .stream
                .as_ref()
                .is_none_or(|stream| stream.log().is_idle())
            && self.journal.as_ref().is_none_or(Journal::is_idle)
            && self
                .consumer_owners
                .values()
                .all(|&owner| !self.consumers.owns(owner))
    }

    /// The stream cannot be used.
    pub fn failed(&mut self, reason: String) {
        self.problem = Some(reason);
        self.phase = Phase::Failed;
    }

    /// Numbers at the disk that are free again when the stream is gone.
    pub fn owners(&self) -> impl Iterator<Item = u32> {
        [self.journal_owner, self.log_owner]
            .into_iter()
            .chain(self.consumer_owners.values().copied())
    }

    /// The orderly end of the server.
    pub fn stop(&mut self, parts: &mut Parts<'_>) {
        if self.phase != Phase::Running {
            return;
        }
        self.with_consumers(parts, |consumers, cx| consumers.stop(cx));
        self.with_stream(parts, |stream, cx| stream.stop(cx));
    }

    /// Whether nothing is under way.
    pub fn is_idle(&self) -> bool {
        let stream = self
            .stream
            .as_ref()
            .is_none_or(|stream| stream.log().is_idle() || stream.log().failure().is_some());
        let journal = self
            .journal
            .as_ref()
            .is_none_or(|journal| journal.is_idle() || journal.failure().is_some());
        stream && journal && self.consumers.is_saved()
    }

    /// Operation that makes the directories of a new stream.
    pub fn make_directory(&self) -> Op {
        Op::MakeDir {
            path: format!("{}/consumers", self.directory),
        }
    }

    /// Whether it has a directory.
    pub fn is_on_disk(&self) -> bool {
        self.config()
            .is_none_or(|config| config.storage == Storage::File)
    }

    fn report_events(&mut self, parts: &mut Parts<'_>) {
        let Some(stream) = &mut self.stream else {
            return;
        };
        for event in stream.take_events() {
            advisory::stream_event(
                parts.bus,
                self.account,
                &self.account_name,
                &self.name,
                parts.settings,
                &event,
            );
        }
        if !self.consumers.has_events() {
            return;
        }
        for event in self.consumers.take_events() {
            if event.kind == consumer::EventKind::Inactive {
                self.delete_consumer(parts, &event.consumer);
                continue;
            }
            advisory::consumer_event(
                parts.bus,
                self.account,
                &self.account_name,
                &self.name,
                parts.settings,
                &event,
            );
        }
    }

    /// Removes a consumer and tells of it; gives back its number at the disk.
    pub fn delete_consumer(&mut self, parts: &mut Parts<'_>, name: &str) -> Option<Option<u32>> {
        let slot = self.consumers.find(name)?;
        self.with_consumers(parts, |consumers, cx| consumers.delete(cx, slot));
        let owner = self.consumer_owners.get(name).copied();
        self.drop_acknowledged(parts);
        if let Some(stream) = &mut self.stream {
            stream.consumers_changed();
        }
        parts.usage.accounts.own_mut(self.account).consumers -= 1;
        advisory::consumer_action(
            parts.bus,
            self.account,
            &self.name,
            name,
            "delete",
            parts.settings,
        );
        Some(owner)
    }
}

/// Removals told to consumers one by one; more at once are told as a purge.
const REMOVALS_MAX: usize = 16 * 1024;

/// Messages that went while the stream worked, for its consumers to be told afterwards.
#[derive(Default)]
struct Removals {
    subjects: Vec<u8>,
    /// Sequence, and where its subject ends.
    messages: Vec<(u64, usize)>,
    /// There were too many, or everything is to be counted anew.
    is_purge: bool,
}

impl Removals {
    #[inline]
    fn is_empty(&self) -> bool {
        self.messages.is_empty() && !self.is_purge
    }

    #[inline]
    fn push(&mut self, sequence: u64, subject: &[u8]) {
        if self.messages.len() >= REMOVALS_MAX {
            self.is_purge = true;
        }
        if !self.is_purge {
            self.subjects.extend_from_slice(subject);
            self.messages.push((sequence, self.subjects.len()));
        }
    }

    fn tell(&mut self, consumers: &mut consumer::Consumers, cx: &mut consumer::Context<'_>) {
        if self.is_purge {
            consumers.purged(cx);
        } else {
            let mut start = 0;
            for &(sequence, end) in &self.messages {
                consumers.removed(cx, sequence, &self.subjects[start..end]);
                start = end;
            }
        }
        self.is_purge = false;
        self.messages.clear();
        self.subjects.clear();
    }
}

/// The consumers of a stream, as the stream sees them.
struct Attached<'a> {
    consumers: &'a mut consumer::Consumers,
    removals: &'a mut Removals,
}

impl Consumers for Attached<'_> {
    #[inline]
    fn stored(&mut self, _log: &Log, sequence: u64, subject: &[u8]) {
        self.consumers.appended(sequence, subject);
    }

    #[inline]
    fn removed(&mut self, sequence: u64, subject: &[u8]) {
        if !self.consumers.is_empty() {
            self.removals.push(sequence, subject);
        }
    }

    fn purged(&mut self, _log: &Log) {
        self.removals.is_purge = !self.consumers.is_empty();
    }

    #[inline]
    fn is_interested(&mut self, subject: &[u8]) -> bool {
        self.consumers.is_interested(subject)
    }

    #[inline]
    fn needs(&mut self, sequence: u64, subject: &[u8]) -> bool {
        self.consumers.is_wanted(sequence, subject)
    }
}
