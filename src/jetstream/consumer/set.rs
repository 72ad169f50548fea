//! The consumers of one stream.
//!
//! The stream owns a [`Consumers`] beside its log and tells it what is stored and removed; the
//! API makes, changes and removes consumers; messages of clients come in as acknowledgements,
//! pull requests and answers to flow control. Whatever happens, work is done at the end of the
//! turn ([`Consumers::settle`]) and at deadlines ([`Consumers::tick`]), and only for consumers
//! that have some: idle ones cost nothing.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use crate::broker::LogLevel;
use crate::jetstream::bus::Incoming;
use crate::jetstream::error::{ApiError, ErrorCode};
use crate::jetstream::json;
use crate::jetstream::time::Time;
use crate::store::{Completed, Journal, JournalConfig};
use crate::subject::{Index, PatternId, overlaps};

use super::ack::AckSubject;
use super::config::ConsumerConfig;
use super::create::{Action, CreateConsumerRequest};
use super::deliver::{Stopped, end_request};
use super::event::{Event, EventKind};
use super::info::{ConsumerInfo, PauseInfo};
use super::saver::Saver;
use super::single::{Consumer, Context, Shared, StreamFacts, Target};
use super::state;
use super::validate::{self, Allowed, DEFAULT_INACTIVE_THRESHOLD, REQUIRED_LEVEL};

/// Messages that one consumer delivers before the others have their turn.
const CONSUMER_BUDGET: u32 = 64;
/// Nanoseconds until a consumer that has something overdue is looked at again.
const OVERDUE_REST_NS: u64 = 1_000_000;
/// Characters of a name that the server makes up.
const NAME_LENGTH: usize = 8;

/// What a request to create or update comes down to.
#[derive(Debug, PartialEq, Eq)]
pub enum Plan {
    /// A new consumer of this name and configuration. Names that the server makes up stand only
    /// here.
    Create(String, Box<ConsumerConfig>),
    /// A change of the consumer in this slot.
    Update(u32, Box<ConsumerConfig>),
    /// The consumer in this slot is already like that.
    Keep(u32),
}

/// The consumers of one stream.
#[derive(Debug)]
pub struct Consumers {
    shared: Shared,
    slots: Vec<Option<Box<Consumer>>>,
    free: Vec<u32>,
    names: BTreeMap<String, u32>,
    /// The consumer that was named last.
    recent: u32,
    /// Filters, and which consumers have them; consumers without a filter are apart.
    filters: Index,
    by_filter: Vec<Vec<u32>>,
    unfiltered: Vec<u32>,
    /// Consumers whose filter changed while messages of the old one were pending.
    refiltered: Vec<u32>,
    matched: Vec<PatternId>,
    /// Consumers with something to deliver.
    ready: VecDeque<u32>,
    /// Consumers whose next message is not yet durable, or is being read.
    held: Vec<u32>,
    /// What was durable when last looked.
    durable: u64,
    /// Consumers whose journals have work.
    dirty: Vec<u32>,
    deadlines: BinaryHeap<Reverse<(u64, u32)>>,
    /// Journals by owner: of which consumer.
    owners: BTreeMap<u32, u32>,
    /// Journals that are being opened, with the consumer's name.
    opening: BTreeMap<u32, (String, Saver)>,
    /// Journals that are being removed.
    closing: BTreeMap<u32, Journal>,
}

impl Consumers {
    /// `seed` is for hash tables; clients can not know it.
    pub fn new(facts: StreamFacts, seed: u64) -> Self {
        Self {
            shared: Shared {
                facts,
                ..Shared::default()
            },
            slots: Vec::new(),
            free: Vec::new(),
            names: BTreeMap::new(),
            recent: 0,
            filters: Index::with_seed(seed),
            by_filter: Vec::new(),
            unfiltered: Vec::new(),
            refiltered: Vec::new(),
            matched: Vec::new(),
            ready: VecDeque::new(),
            held: Vec::new(),
            durable: 0,
            dirty: Vec::new(),
            deadlines: BinaryHeap::new(),
            owners: BTreeMap::new(),
            opening: BTreeMap::new(),
            closing: BTreeMap::new(),
        }
    }

    /// Facts about the stream that changed.
    pub fn set_facts(&mut self, facts: StreamFacts) {
        self.shared.facts = facts;
    }

    /// Number of consumers.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Names and slots, by name.
    pub fn names(&self) -> impl Iterator<Item = (&str, u32)> {
        self.names.iter().map(|(name, &slot)| (name.as_str(), slot))
    }

    /// The slot of a consumer.
    pub fn find(&self, name: &str) -> Option<u32> {
        self.names.get(name).copied()
    }

    /// The consumer in a slot.
    pub fn get(&self, slot: u32) -> Option<&Consumer> {
        self.slots.get(slot as usize)?.as_deref()
    }

    /// Names of the consumers beyond limits of their stream, of which values below 1 are none;
    /// the oldest first.
    pub fn beyond(&self, max_ack_pending: i64, inactive_threshold: i64) -> Vec<&str> {
        let exceeds = |value: i64, limit: i64| limit > 0 && value > limit;
        let mut beyond: Vec<&Consumer> = self
            .slots
            .iter()
            .flatten()
            .map(Box::as_ref)
            .filter(|consumer| {
                exceeds(consumer.config.max_ack_pending, max_ack_pending)
                    || exceeds(consumer.config.inactive_threshold, inactive_threshold)
            })
            .collect();
        beyond.sort_by_key(|consumer| consumer.created_unix_ns);
        beyond.iter().map(|consumer| consumer.name()).collect()
    }

    /// What a request comes down to. Its configuration is completed and checked on the way;
    /// `random` makes a name where none is given. `max_consumers` below 0 is no limit.
    ///
    /// # Errors
    /// The first rule that is broken, with nats-server's code and text.
    pub fn plan(
        &self,
        request: CreateConsumerRequest,
        allowed: &Allowed<'_>,
        max_consumers: i64,
        mut random: impl FnMut() -> u64,
    ) -> Result<Plan, ApiError> {
        let CreateConsumerRequest {
            mut config,
            action,
            pedantic,
            ..
        } = request;
        let names_threshold = config.inactive_threshold != 0 || allowed.inactive_threshold > 0;
        validate::prepare(&mut config, allowed, pedantic)?;
        config
            .metadata
            .retain(|key, _| key != "_nats.level" && key != "_nats.ver");
        let level = config.required_level().to_string();
        config.metadata.insert(REQUIRED_LEVEL.to_owned(), level);

        let existing = self.find(&config.name).filter(|_| !config.name.is_empty());
        let Some(consumer) = existing.and_then(|slot| self.get(slot)) else {
            if action == Action::Update {
                return Err(ErrorCode::ConsumerDoesNotExist.into());
            }
            let consumers = self.slots.iter().flatten();
            let count = consumers.filter(|other| !other.config.direct).count();
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            if max_consumers >= 0 && !config.direct && count >= max_consumers {
                return Err(ErrorCode::MaximumConsumersLimit.into());
            }
            self.check_work_queue(&config, None)?;
            let name = match config.name.as_str() {
                "" => self.make_name(&mut random),
                name => name.to_owned(),
            };
            return Ok(Plan::Create(name, Box::new(config)));
        };
        if !names_threshold {
            // As nats-server: the default comes with what the consumer was, not what it becomes,
            // and only in the place of another threshold.
            let old = &consumer.config;
            let keeps = old.inactive_threshold != 0 && !old.is_durable();
            config.inactive_threshold = if keeps { DEFAULT_INACTIVE_THRESHOLD } else { 0 };
        }
        if validate::is_same(&consumer.config, &config) {
            return Ok(Plan::Keep(consumer.slot));
        }
        if action == Action::Create {
            return Err(ErrorCode::ConsumerAlreadyExists.into());
        }
        validate::check_update(&consumer.config, &config)?;
        let moves = consumer.config.deliver_subject != config.deliver_subject;
        if moves && matches!(&consumer.target, Target::Push(push) if push.active) {
            return Err(ErrorCode::ConsumerNameExists.into());
        }
        self.check_work_queue(&config, Some(consumer.slot))?;
        Ok(Plan::Update(consumer.slot, Box::new(config)))
    }

    fn make_name(&self, random: &mut impl FnMut() -> u64) -> String {
        const ALPHABET: &[u8; 62] =
            b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        loop {
            let mut rest = random();
            let mut name = String::with_capacity(NAME_LENGTH);
            for _ in 0..NAME_LENGTH {
                name.push(char::from(ALPHABET[(rest % 62) as usize]));
                rest /= 62;
            }
            if !self.names.contains_key(&name) {
                return name;
            }
        }
    }

    /// In a work queue no two consumers may want the same message.
    fn check_work_queue(&self, config: &ConsumerConfig, own: Option<u32>) -> Result<(), ApiError> {
        if !self.shared.facts.work_queue || config.direct {
            return Ok(());
        }
        let mut others = self
            .slots
            .iter()
            .flatten()
            .filter(|other| Some(other.slot) != own && !other.config.direct);
        if config.filters().next().is_none() {
            return match others.next() {
                Some(_) => Err(ErrorCode::ConsumerWorkQueueMultipleUnfiltered.into()),
                None => Ok(()),
            };
        }
        let clash = others.any(|other| {
            other.config.filters().next().is_none()
                || other.config.filters().any(|theirs| {
                    config
                        .filters()
                        .any(|ours| overlaps(theirs.as_bytes(), ours.as_bytes()))
                })
        });
        if clash {
            return Err(ErrorCode::ConsumerWorkQueueNotUnique.into());
        }
        Ok(())
    }

    /// Makes a consumer as [planned](Self::plan). `journal` keeps its state across restarts;
    /// without one it lives in memory. Its creation is durable when [`Self::is_durable`] says so.
    pub fn create(
        &mut self,
        context: &mut Context<'_>,
        name: String,
        config: ConsumerConfig,
        journal: Option<(u32, JournalConfig)>,
    ) -> u32 {
        let now = context.bus.now();
        let slot = self.take_slot();
        let mut consumer = Box::new(Consumer::new(
            slot,
            name,
            config,
            now.unix_ns,
            &self.shared.facts,
            context.log,
            now.mono_ns,
        ));
        if let Some((owner, journal)) = journal {
            let snapshot = consumer.encode();
            let journal = Journal::create(owner, journal, &snapshot, context.disk);
            consumer.saver = Some(Saver::new(owner, journal));
            consumer.is_dirty = true;
            self.owners.insert(owner, slot);
        }
        self.insert(context, slot, consumer);
        slot
    }

    fn take_slot(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            (self.slots.len() - 1) as u32
        })
    }

    fn insert(&mut self, context: &mut Context<'_>, slot: u32, consumer: Box<Consumer>) {
        if consumer.config.is_push() {
            context.bus.watch(
                self.shared.facts.account,
                consumer.config.deliver_subject.as_bytes(),
                consumer.interest_token(&self.shared.facts),
            );
        }
        self.names.insert(consumer.name.clone(), slot);
        let config = consumer.config.clone();
        self.slots[slot as usize] = Some(consumer);
        self.add_filters(slot, &config);
        self.touched(slot, context);
    }

    fn add_filters(&mut self, slot: u32, config: &ConsumerConfig) {
        if config.filters().next().is_none() {
            self.unfiltered.push(slot);
            return;
        }
        for filter in config.filters() {
            match self.filters.insert(filter.as_bytes()) {
                Ok((id, _)) => {
                    let at = id.0 as usize;
                    if self.by_filter.len() <= at {
                        self.by_filter.resize_with(at + 1, Vec::new);
                    }
                    self.by_filter[at].push(slot);
                }
                // No room in the index: the consumer is asked about every message.
                Err(_) => self.unfiltered.push(slot),
            }
        }
    }

    fn remove_filters(&mut self, slot: u32, config: &ConsumerConfig) {
        self.unfiltered.retain(|&other| other != slot);
        for filter in config.filters() {
            let Some(id) = self.filters.find(filter.as_bytes()) else {
                continue;
            };
            let slots = &mut self.by_filter[id.0 as usize];
            slots.retain(|&other| other != slot);
            if slots.is_empty() {
                self.filters.remove(id);
            }
        }
    }

    /// Changes a consumer as [planned](Self::plan).
    pub fn update(&mut self, context: &mut Context<'_>, slot: u32, config: ConsumerConfig) {
        let Some(consumer) = self.slots.get_mut(slot as usize).and_then(Option::as_mut) else {
            return;
        };
        let old = consumer.config.clone();
        let facts = &self.shared.facts;
        consumer.reconfigure(config, facts);
        let new = consumer.config.clone();
        if old.deliver_subject != new.deliver_subject {
            let token = consumer.interest_token(facts);
            let account = facts.account;
            context
                .bus
                .unwatch(account, old.deliver_subject.as_bytes(), token);
            context
                .bus
                .watch(account, new.deliver_subject.as_bytes(), token);
            consumer.set_active(false, context.bus.now().mono_ns);
        }
        consumer.snapshot(context);
        let outlives = consumer.state.pending.len() > 0 && !old.filters().eq(new.filters());
        self.remove_filters(slot, &old);
        self.add_filters(slot, &new);
        if outlives && !self.refiltered.contains(&slot) {
            self.refiltered.push(slot);
        }
        self.make_ready(slot);
        self.touched(slot, context);
    }

    /// Removes a consumer. Its waiting clients are told.
    pub fn delete(&mut self, context: &mut Context<'_>, slot: u32) -> bool {
        let Some(mut consumer) = self.slots.get_mut(slot as usize).and_then(Option::take) else {
            return false;
        };
        consumer.say_goodbye(&mut self.shared, context.bus, b"409 Consumer Deleted");
        if consumer.config.is_push() {
            context.bus.unwatch(
                self.shared.facts.account,
                consumer.config.deliver_subject.as_bytes(),
                consumer.interest_token(&self.shared.facts),
            );
        }
        self.remove_filters(slot, &consumer.config);
        self.refiltered.retain(|&other| other != slot);
        self.names.remove(&consumer.name);
        if let Some(saver) = consumer.saver.take() {
            let mut journal = saver.journal;
            self.owners.remove(&saver.owner);
            journal.destroy(context.disk);
            if !journal.is_idle() {
                self.closing.insert(saver.owner, journal);
            }
        }
        self.free.push(slot);
        true
    }

    /// Whether the consumer's state, its creation or last change included, is durable.
    pub fn is_durable(&self, slot: u32) -> bool {
        self.get(slot)
            .and_then(|consumer| consumer.saver.as_ref())
            .is_none_or(Saver::is_durable)
    }

    /// What the API shows of a consumer.
    pub fn info(&mut self, context: &mut Context<'_>, slot: u32) -> Option<ConsumerInfo> {
        let consumer = self.slots.get_mut(slot as usize)?.as_mut()?;
        Some(consumer.info(&self.shared, context))
    }

    /// Pauses a consumer, or lets it go on (no time, or one that has passed).
    pub fn pause(
        &mut self,
        context: &mut Context<'_>,
        slot: u32,
        until: Option<Time>,
    ) -> Option<PauseInfo> {
        let now = context.bus.now();
        let consumer = self.slots.get_mut(slot as usize)?.as_mut()?;
        let was_paused = consumer.is_paused(now.unix_ns);
        let paused = consumer.pause(until, now.unix_ns);
        if paused || was_paused {
            self.shared.events.push(Event {
                consumer: consumer.name.clone(),
                kind: EventKind::Paused {
                    paused,
                    pause_until: until.unwrap_or(Time::ZERO).unix_ns(),
                },
            });
        }
        // A pause needs level 1 even if it is over already; its end needs none.
        let pauses = u32::from(consumer.config.pause_until.is_some());
        let level = consumer.config.required_level().max(pauses).to_string();
        consumer
            .config
            .metadata
            .insert(REQUIRED_LEVEL.to_owned(), level);
        let info = consumer.pause_info(now.unix_ns);
        consumer.snapshot(context);
        self.make_ready(slot);
        self.touched(slot, context);
        Some(info)
    }

    /// Starts a consumer again at a sequence, or behind its floor. Returns where.
    ///
    /// # Errors
    /// 10014, and 10204 for a sequence that its configuration does not allow.
    pub fn reset(
        &mut self,
        context: &mut Context<'_>,
        slot: u32,
        sequence: Option<u64>,
    ) -> Result<u64, ApiError> {
        let Some(consumer) = self.slots.get_mut(slot as usize).and_then(Option::as_mut) else {
            return Err(ErrorCode::ConsumerNotFound.into());
        };
        let next = consumer.reset(sequence, context.log)?;
        self.make_ready(slot);
        self.touched(slot, context);
        Ok(next)
    }

    /// Takes the pin of a group from its client.
    ///
    /// # Errors
    /// 10014, and 10160 for a group that the consumer does not have.
    pub fn unpin(
        &mut self,
        context: &mut Context<'_>,
        slot: u32,
        group: &str,
    ) -> Result<(), ApiError> {
        let Some(consumer) = self.slots.get_mut(slot as usize).and_then(Option::as_mut) else {
            return Err(ErrorCode::ConsumerNotFound.into());
        };
        if !consumer.config.priority_groups.iter().any(|g| g == group) {
            return Err(ErrorCode::ConsumerInvalidPriorityGroup.into());
        }
        if consumer.pin.is_set() {
            consumer.unpin(&mut self.shared, context, "admin");
        } else {
            // Told all the same, as nats-server does.
            self.shared.events.push(Event {
                consumer: consumer.name.clone(),
                kind: EventKind::Unpinned {
                    group: group.to_owned(),
                    reason: "admin",
                },
            });
        }
        self.make_ready(slot);
        self.touched(slot, context);
        Ok(())
    }

    /// The slot of a consumer by the bytes of its name; usually the one named last.
    #[inline]
    fn lookup(&mut self, name: &[u8]) -> Option<u32> {
        if let Some(Some(consumer)) = self.slots.get(self.recent as usize)
            && consumer.name.as_bytes() == name
        {
            return Some(self.recent);
        }
        let name = std::str::from_utf8(name).ok()?;
        let slot = *self.names.get(name)?;
        self.recent = slot;
        Some(slot)
    }

    /// A pull request for the consumer `name`; `false` if there is none.
    pub fn pull(&mut self, context: &mut Context<'_>, name: &[u8], message: &Incoming<'_>) -> bool {
        let Some(slot) = self.lookup(name) else {
            return false;
        };
        let Some(consumer) = self.slots[slot as usize].as_mut() else {
            return false;
        };
        consumer.pull(
            &mut self.shared,
            context,
            message.reply,
            message.header,
            message.payload,
        );
        self.make_ready(slot);
        self.touched(slot, context);
        true
    }

    /// An acknowledgement; `false` if its subject names no consumer of this stream.
    pub fn acknowledge(&mut self, context: &mut Context<'_>, message: &Incoming<'_>) -> bool {
        let Some(subject) = AckSubject::parse(message.subject) else {
            // Not one that was given out: no answer, as on nats-server.
            return true;
        };
        let Some(slot) = self.lookup(subject.consumer) else {
            return false;
        };
        let Some(consumer) = self.slots[slot as usize].as_mut() else {
            return false;
        };
        let before = consumer.state.pending.len();
        consumer.acknowledge(
            &mut self.shared,
            context,
            &subject,
            message.reply,
            message.payload,
        );
        let frees = consumer.state.pending.len() < before || consumer.state.pending.queued() > 0;
        if frees || message.payload.first() == Some(&b'+') {
            self.make_ready(slot);
        }
        self.touched(slot, context);
        true
    }

    /// An answer to flow control, on `$JS.FC.<stream>.<consumer>.<token>`.
    pub fn flow_control(&mut self, context: &mut Context<'_>, message: &Incoming<'_>) {
        let name = message.subject.split(|&b| b == b'.').nth(3);
        let Some(slot) = name.and_then(|name| self.lookup(name)) else {
            return;
        };
        if let Some(consumer) = self.slots[slot as usize].as_mut() {
            consumer.flow_answered(&mut self.shared, context, message.subject);
        }
        self.make_ready(slot);
        self.touched(slot, context);
    }

    /// Interest in a consumer's deliver subject came or went.
    pub fn interest(&mut self, context: &mut Context<'_>, slot: u32, interested: bool) {
        let Some(consumer) = self.slots.get_mut(slot as usize).and_then(Option::as_mut) else {
            return;
        };
        consumer.set_active(interested, context.bus.now().mono_ns);
        self.make_ready(slot);
        self.touched(slot, context);
    }

    /// Whether any consumer wants messages on this subject (interest retention).
    pub fn is_interested(&mut self, subject: &[u8]) -> bool {
        if !self.unfiltered.is_empty() {
            return true;
        }
        self.filters.match_all(subject, &mut self.matched);
        !self.matched.is_empty()
    }

    /// Whether any consumer still needs this message: it was not delivered or not acknowledged.
    pub fn is_wanted(&mut self, sequence: u64, subject: &[u8]) -> bool {
        self.for_each_interested(subject, |consumer| consumer.wants(sequence, subject))
            || self.refiltered.iter().any(|&slot| {
                self.get(slot)
                    .is_some_and(|consumer| consumer.wants(sequence, subject))
            })
    }

    /// Asks the consumers whose filters match, until one says `true`.
    fn for_each_interested(
        &mut self,
        subject: &[u8],
        mut ask: impl FnMut(&mut Consumer) -> bool,
    ) -> bool {
        self.filters.match_all(subject, &mut self.matched);
        let filtered = self
            .matched
            .iter()
            .flat_map(|id| &self.by_filter[id.0 as usize]);
        for &slot in self.unfiltered.iter().chain(filtered) {
            if let Some(consumer) = self.slots[slot as usize].as_mut()
                && ask(consumer)
            {
                return true;
            }
        }
        false
    }

    /// A message was appended to the log.
    #[inline]
    pub fn appended(&mut self, sequence: u64, subject: &[u8]) {
        if self.names.is_empty() {
            return;
        }
        let mut ready = std::mem::take(&mut self.ready);
        self.for_each_interested(subject, |consumer| {
            consumer.position.appended(sequence);
            if !consumer.is_ready && consumer.has_receiver() {
                consumer.is_ready = true;
                ready.push_back(consumer.slot);
            }
            false
        });
        self.ready = ready;
    }

    /// A message was removed from the log.
    #[inline]
    pub fn removed(&mut self, context: &mut Context<'_>, sequence: u64, subject: &[u8]) {
        if self.names.is_empty() {
            return;
        }
        let unix_ns = context.bus.now().unix_ns;
        let mut shared = std::mem::take(&mut self.shared);
        let mut dirty = std::mem::take(&mut self.dirty);
        let mut remove = |consumer: &mut Consumer| {
            consumer.removed(&mut shared, sequence, subject, unix_ns);
            if consumer.is_dirty && !consumer.is_listed {
                consumer.is_listed = true;
                dirty.push(consumer.slot);
            }
            false
        };
        self.for_each_interested(subject, &mut remove);
        for &slot in &self.refiltered {
            if let Some(consumer) = self.slots[slot as usize].as_mut()
                && !consumer.position.filter().matches(subject)
            {
                remove(consumer);
            }
        }
        self.shared = shared;
        self.dirty = dirty;
    }

    /// Many messages were removed from the log at once (purge).
    pub fn purged(&mut self, context: &mut Context<'_>) {
        for slot in 0..self.slots.len() as u32 {
            let Some(consumer) = self.slots[slot as usize].as_mut() else {
                continue;
            };
            let unix_ns = context.bus.now().unix_ns;
            consumer.forget_removed(context.log, unix_ns);
            self.make_ready(slot);
            self.touched(slot, context);
        }
    }

    /// The log went on: something became durable, or was read from the disk.
    pub fn log_progressed(&mut self) {
        self.ready.extend(self.held.drain(..));
    }

    /// Ranges (first, last) of messages that a consumer is done with since the last call. Only
    /// with [`StreamFacts::wants_acknowledged`].
    pub fn take_acknowledged(&mut self, into: &mut Vec<(u64, u64)>) {
        into.clear();
        std::mem::swap(into, &mut self.shared.acknowledged);
    }

    /// What there is to report since the last call.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.shared.events)
    }

    /// Whether there is anything to report.
    pub fn has_events(&self) -> bool {
        !self.shared.events.is_empty()
    }

    fn make_ready(&mut self, slot: u32) {
        if let Some(Some(consumer)) = self.slots.get_mut(slot as usize)
            && !consumer.is_ready
        {
            consumer.is_ready = true;
            self.ready.push_back(slot);
        }
    }

    /// After any call on a consumer: its deadline and its journal.
    #[inline]
    fn touched(&mut self, slot: u32, context: &Context<'_>) {
        let Some(Some(consumer)) = self.slots.get_mut(slot as usize) else {
            return;
        };
        let now = context.bus.now();
        let mut at = consumer.next_deadline(now.mono_ns, now.unix_ns);
        // What is due is done at the end of this turn, or waits for the disk.
        if at <= now.mono_ns {
            at = now.mono_ns.saturating_add(OVERDUE_REST_NS);
        }
        if at < consumer.scheduled_at {
            consumer.scheduled_at = at;
            self.deadlines.push(Reverse((at, slot)));
        }
        if consumer.is_dirty && !consumer.is_listed {
            consumer.is_listed = true;
            self.dirty.push(slot);
        }
    }

    /// When [`Self::tick`] has something to do, in nanoseconds of the monotonic clock.
    pub fn next_deadline(&self) -> Option<u64> {
        self.deadlines.peek().map(|Reverse((at, _))| *at)
    }

    /// Acts on deadlines that have passed.
    pub fn tick(&mut self, context: &mut Context<'_>) {
        let now = context.bus.now().mono_ns;
        while let Some(&Reverse((at, slot))) = self.deadlines.peek() {
            if at > now {
                break;
            }
            self.deadlines.pop();
            let Some(Some(consumer)) = self.slots.get_mut(slot as usize) else {
                continue;
            };
            if consumer.scheduled_at != at {
                continue;
            }
            consumer.scheduled_at = u64::MAX;
            consumer.tick(&mut self.shared, context);
            // Changes that are old enough are written down.
            consumer.is_dirty |= consumer
                .saver
                .as_ref()
                .is_some_and(|saver| saver.save_at() <= now);
            self.make_ready(slot);
            self.touched(slot, context);
        }
    }

    /// Whether there is something to deliver without any further event.
    pub fn has_backlog(&self) -> bool {
        !self.ready.is_empty()
    }

    /// At the end of a turn: delivers up to `budget` messages, writes down what changed, and
    /// confirms what became durable. Tells how much of the budget is left.
    pub fn settle(&mut self, context: &mut Context<'_>, budget: u32) -> u32 {
        let durable = context.log.durable();
        if durable > self.durable {
            self.durable = durable;
            self.log_progressed();
        }
        let mut left = budget;
        let mut turns = self.ready.len();
        while turns > 0 && left > 0 {
            turns -= 1;
            let Some(slot) = self.ready.pop_front() else {
                break;
            };
            let Some(Some(consumer)) = self.slots.get_mut(slot as usize) else {
                continue;
            };
            if !consumer.is_ready {
                continue;
            }
            let granted = left.min(CONSUMER_BUDGET);
            let mut rest = granted;
            let stopped = consumer.pump(&mut self.shared, context, &mut rest);
            left -= granted - rest;
            match stopped {
                Stopped::Idle => consumer.is_ready = false,
                Stopped::Budget => self.ready.push_back(slot),
                Stopped::Held => self.held.push(slot),
            }
            if rest < granted || stopped == Stopped::Idle {
                self.touched(slot, context);
            }
        }
        self.save(context);
        left
    }

    /// Consumers whose journals are busy come back with their completions, those that may wait
    /// with their deadline.
    fn save(&mut self, context: &mut Context<'_>) {
        for at in 0..self.dirty.len() {
            let slot = self.dirty[at];
            if let Some(Some(consumer)) = self.slots.get_mut(slot as usize) {
                consumer.save(&mut self.shared, context);
                consumer.is_dirty = false;
                self.touched(slot, context);
                if let Some(Some(consumer)) = self.slots.get_mut(slot as usize) {
                    consumer.is_listed = false;
                }
            }
        }
        self.dirty.clear();
    }

    /// Opens the journal of a consumer of an earlier run, when the log is ready. The consumer
    /// takes its place when the journal is read.
    pub fn recover(
        &mut self,
        context: &mut Context<'_>,
        name: String,
        owner: u32,
        journal: JournalConfig,
    ) {
        let journal = Journal::open(owner, journal, context.disk);
        self.opening
            .insert(owner, (name, Saver::new(owner, journal)));
        self.finish_opening(context, owner);
    }

    /// All that makes up a consumer, for [`Self::import`].
    pub fn export(&self, slot: u32) -> Option<Vec<u8>> {
        Some(self.get(slot)?.encode())
    }

    /// Makes a consumer of what was [exported](Self::export).
    ///
    /// # Errors
    /// What is no consumer.
    pub fn import(
        &mut self,
        context: &mut Context<'_>,
        name: String,
        exported: &[u8],
        journal: Option<(u32, JournalConfig)>,
    ) -> Result<(), String> {
        if self.names.contains_key(&name) {
            return Err(format!("consumer {name} is there twice"));
        }
        let now = context.bus.now();
        let (config, saved) = restore(exported, &[], now.mono_ns)?;
        let slot = self.take_slot();
        let facts = &self.shared.facts;
        let mut consumer = Box::new(Consumer::restore(
            slot,
            name,
            config,
            saved,
            facts,
            context.log,
            now.mono_ns,
        ));
        if let Some((owner, journal)) = journal {
            let snapshot = consumer.encode();
            let journal = Journal::create(owner, journal, &snapshot, context.disk);
            consumer.saver = Some(Saver::new(owner, journal));
            consumer.is_dirty = true;
            self.owners.insert(owner, slot);
        }
        self.insert(context, slot, consumer);
        Ok(())
    }

    /// Whether all journals were read.
    pub fn is_recovered(&self) -> bool {
        self.opening.is_empty()
    }

    /// Whether a journal of this number is one of a consumer's.
    pub fn owns(&self, owner: u32) -> bool {
        self.owners.contains_key(&owner)
            || self.opening.contains_key(&owner)
            || self.closing.contains_key(&owner)
    }

    /// A completion for one of the journals.
    pub fn completed(&mut self, context: &mut Context<'_>, done: Completed) {
        let owner = done.tag.owner;
        if let Some(&slot) = self.owners.get(&owner) {
            let Some(Some(consumer)) = self.slots.get_mut(slot as usize) else {
                return;
            };
            if let Some(saver) = &mut consumer.saver {
                saver.journal.completed(done, context.disk);
            }
            consumer.is_dirty = true;
            self.touched(slot, context);
        } else if let Some((_, saver)) = self.opening.get_mut(&owner) {
            saver.journal.completed(done, context.disk);
            self.finish_opening(context, owner);
        } else if let Some(journal) = self.closing.get_mut(&owner) {
            journal.completed(done, context.disk);
            if journal.is_idle() {
                self.closing.remove(&owner);
            }
        }
    }

    fn finish_opening(&mut self, context: &mut Context<'_>, owner: u32) {
        let Some((name, saver)) = self.opening.get_mut(&owner) else {
            return;
        };
        if let Some(failure) = saver.journal.failure() {
            let text = format!("JetStream consumer {name} can not be read: {failure:?}");
            context.bus.log(LogLevel::Error, text);
            self.opening.remove(&owner);
            return;
        }
        if !saver.journal.is_ready() {
            return;
        }
        let Some((name, mut saver)) = self.opening.remove(&owner) else {
            return;
        };
        let Some(recovered) = saver.journal.recovered() else {
            return;
        };
        let now = context.bus.now();
        let restored = restore(&recovered.snapshot, &recovered.deltas, now.mono_ns);
        let (config, saved) = match restored {
            Ok(restored) => restored,
            Err(problem) => {
                let text = format!("JetStream consumer {name} can not be restored: {problem}");
                context.bus.log(LogLevel::Error, text);
                return;
            }
        };
        let slot = self.take_slot();
        let facts = &self.shared.facts;
        let mut consumer = Box::new(Consumer::restore(
            slot,
            name,
            config,
            saved,
            facts,
            context.log,
            now.mono_ns,
        ));
        saver.resumed();
        consumer.saver = Some(saver);
        // The log may have lost messages, or their removal may be known only there.
        let acked_at = consumer.state.acked_at;
        consumer.forget_removed(context.log, acked_at);
        self.owners.insert(owner, slot);
        self.insert(context, slot, consumer);
    }

    /// An orderly end: everything is given to the journals. [`Self::is_saved`] tells when they
    /// are done.
    pub fn stop(&mut self, context: &mut Context<'_>) {
        for slot in 0..self.slots.len() as u32 {
            let Some(consumer) = self.slots[slot as usize].as_mut() else {
                continue;
            };
            if let Target::Pull(queue) = &mut consumer.target {
                while !queue.is_empty() {
                    end_request(&mut self.shared, context, queue, 0, b"409 Server Shutdown");
                }
            }
            if let Some(saver) = &mut consumer.saver {
                let now = context.bus.now().mono_ns;
                saver.save(true, now, context.disk);
            }
        }
    }

    /// Whether all that changed is durable.
    pub fn is_saved(&self) -> bool {
        self.slots
            .iter()
            .flatten()
            .filter_map(|consumer| consumer.saver.as_ref())
            .all(|saver| saver.is_durable() || saver.journal.failure().is_some())
    }
}

/// The configuration and state in a journal.
fn restore(
    snapshot: &[u8],
    deltas: &[Vec<u8>],
    now: u64,
) -> Result<(ConsumerConfig, state::Saved), String> {
    // What was pending is due one acknowledgement wait after the start.
    let mut saved = state::decode(snapshot, u64::MAX).map_err(|e| e.to_string())?;
    let mut config = ConsumerConfig::default();
    json::decode(&mut config, &saved.config, "ConsumerConfig", false).map_err(|e| e.0)?;
    let due_at = match u64::try_from(config.ack_wait) {
        Ok(0) | Err(_) => u64::MAX,
        Ok(wait) => now.saturating_add(wait),
    };
    if due_at != u64::MAX {
        saved = state::decode(snapshot, due_at).map_err(|e| e.to_string())?;
    }
    let tracks = config.ack_policy != super::config::AckPolicy::None;
    for delta in deltas {
        saved
            .replay(delta, tracks, due_at)
            .map_err(|e| e.to_string())?;
    }
    Ok((config, saved))
}
