//! JetStream of one core: its state and its entry points.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;

use super::account::{AccountUsage, Accounts};
use super::api::dispatch::OwnedRequest;
use super::api::lists::Gather;
use super::api::{Endpoint, PREFIX};
use super::bus::{Bus, Incoming, Kind, Outgoing, Token};
use super::entry::{Entry, Phase};
use super::held::Held;
use super::meta::{Catalogue, Known};
use super::peer::Record;
use super::settings::JetStreamSettings;
use super::stream::config::StreamConfig;
use super::stream::context::Context;
use crate::broker::{CoreId, LogLevel};
use crate::store::{BlockCache, Completed, Disk};

/// The core that keeps the catalogue.
pub const META_CORE: CoreId = CoreId(0);
/// Subjects on which requests are taken whether they are known or not.
const UNKNOWN: [&str; 5] = [
    "$JS.API.*",
    "$JS.API.STREAM.>",
    "$JS.API.META.>",
    "$JS.API.SERVER.>",
    "$JS.API.ACCOUNT.>",
];
/// Owner of the node's own operations at the disk; those of streams and consumers follow.
pub(super) const NODE_OWNER: u32 = 0;

/// What an owner number at the disk stands for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Owner {
    /// The journal of a stream's configuration.
    Journal(u32),
    Log(u32),
    /// A consumer of the stream in this slot.
    Consumer(u32),
}

/// What only the meta core has.
#[derive(Default)]
pub(super) struct Meta {
    pub catalogue: Catalogue,
    /// Answers that wait for other cores, by number.
    pub gathers: HashMap<u32, Gather>,
    pub next_gather: u32,
    /// Cores that have yet to report their streams.
    pub unreported: u64,
}

/// JetStream of one core.
pub struct JetStream {
    pub(super) core: CoreId,
    pub(super) cores: usize,
    pub(super) settings: Arc<JetStreamSettings>,
    pub(super) accounts: Accounts,
    pub(super) batches: super::account::BatchCounts,
    pub(super) cache: BlockCache,
    pub(super) meta: Option<Meta>,
    /// Streams whose home this is, by slot.
    pub(super) entries: Vec<Option<Box<Entry>>>,
    pub(super) free_slots: Vec<u32>,
    pub(super) by_name: HashMap<u16, HashMap<String, u32>>,
    pub(super) owners: HashMap<u32, Owner>,
    pub(super) next_owner: u32,
    /// Counts the streams made, to tell one in a slot from its predecessor.
    pub(super) next_incarnation: u64,
    pub(super) operations: HashMap<u32, super::layout::Operation>,
    pub(super) next_operation: u32,
    /// Requests that clients have sent and that are not answered.
    pub(super) queue: VecDeque<OwnedRequest>,
    /// Responses that wait until what they say is in force.
    pub(super) held: VecDeque<Held>,
    /// Creations of streams whose predecessors of the same name are still being removed.
    pub(super) waiting_creates: VecDeque<(OwnedRequest, StreamConfig)>,
    /// Those that need not wait any more.
    pub(super) released_creates: Vec<(OwnedRequest, StreamConfig)>,
    /// Slots of streams with something to settle in this turn.
    pub(super) dirty: Vec<u32>,
    /// Times of streams, in nanoseconds of the monotonic clock; some are out of date.
    pub(super) deadlines: BinaryHeap<Reverse<(u64, u32)>>,
    pub(super) restores: super::api::restore::Restores,
    /// Directories that are being listed.
    pub(super) listing: usize,
    pub(super) started: bool,
    pub(super) reported: bool,
    pub(super) stopping: bool,
}

impl JetStream {
    /// JetStream of core `core` of `cores`; it does nothing before [`JetStream::start`].
    pub fn new(core: CoreId, cores: usize, settings: JetStreamSettings) -> Self {
        let settings = Arc::new(settings);
        let meta = (core == META_CORE).then(|| Meta {
            unreported: (0..cores).fold(0, |set, core| set | CoreId(core as u8).bit()),
            ..Meta::default()
        });
        Self {
            core,
            cores,
            accounts: Accounts::new(Arc::clone(&settings), cores),
            batches: super::account::BatchCounts::default(),
            cache: BlockCache::new(settings.cache_bytes),
            settings,
            meta,
            entries: Vec::new(),
            free_slots: Vec::new(),
            by_name: HashMap::new(),
            owners: HashMap::new(),
            next_owner: NODE_OWNER + 1,
            next_incarnation: 1,
            operations: HashMap::new(),
            next_operation: 0,
            queue: VecDeque::new(),
            held: VecDeque::new(),
            waiting_creates: VecDeque::new(),
            released_creates: Vec::new(),
            dirty: Vec::new(),
            deadlines: BinaryHeap::new(),
            restores: super::api::restore::Restores::default(),
            listing: 0,
            started: false,
            reported: false,
            stopping: false,
        }
    }

    /// Opens the store: finds the streams whose home this is and opens them.
    pub fn start(&mut self, bus: &mut dyn Bus, disk: &mut dyn Disk) {
        debug_assert!(!self.started);
        self.started = true;
        if self.meta.is_some() {
            self.subscribe_api(bus);
        }
        self.list_accounts(disk);
        self.report_when_open(bus);
    }

    fn subscribe_api(&self, bus: &mut dyn Bus) {
        for account in &self.settings.accounts {
            for &endpoint in Endpoint::ALL {
                let pattern = [PREFIX, endpoint.pattern().as_bytes()].concat();
                let token = Token::new(Kind::Api, 0, endpoint as u32);
                bus.subscribe(account.number, &pattern, token);
            }
            // Requests that this server does not know are not answered; without a subscription
            // requesters would be told that nobody is there.
            for pattern in UNKNOWN {
                let token = Token::new(Kind::Api, 0, u32::MAX);
                bus.subscribe(account.number, pattern.as_bytes(), token);
            }
            if let Some(domain) = &self.settings.domain {
                let pattern = format!("$JS.{domain}.API.>");
                let token = Token::new(Kind::Domain, 0, 0);
                bus.subscribe(account.number, pattern.as_bytes(), token);
            }
        }
    }

    /// Whether clients can use JetStream: all streams are open, here and (on the meta core)
    /// everywhere.
    pub fn is_ready(&self) -> bool {
        self.reported && self.meta.as_ref().is_none_or(|meta| meta.unreported == 0)
    }

    /// The home of a stream.
    pub(super) fn home(&self, account: u16, stream: &str) -> CoreId {
        let hash = super::layout::name_hash(self.accounts.name(account), stream);
        CoreId((hash % self.cores as u64) as u8)
    }

    /// Tells the meta core of the streams here, once, when all that were found are open.
    pub(super) fn report_when_open(&mut self, bus: &mut dyn Bus) {
        if self.reported
            || !self.started
            || self.listing > 0
            || self
                .entries
                .iter()
                .flatten()
                .any(|entry| entry.is_opening())
        {
            return;
        }
        self.reported = true;
        for entry in self.entries.iter().flatten() {
            entry.announce(bus);
        }
        bus.send(META_CORE, &Record::Reported.to_vec());
    }

    /// A message for one of the subscriptions.
    #[inline]
    pub fn message(
        &mut self,
        bus: &mut dyn Bus,
        disk: &mut dyn Disk,
        token: Token,
        message: &Incoming<'_>,
    ) {
        let Some(kind) = token.kind() else {
            return;
        };
        match kind {
            Kind::Api => {
                if let Some(endpoint) = Endpoint::from_number(token.detail()) {
                    self.enqueue(bus, endpoint, message);
                }
            }
            Kind::Domain => self.domain_message(bus, message),
            Kind::Restore => self.restore_message(bus, disk, token.detail(), message),
            _ => self.stream_message(bus, disk, kind, token, message),
        }
    }

    /// A request to the domain is one to the server: it goes out again without the domain.
    fn domain_message(&mut self, bus: &mut dyn Bus, message: &Incoming<'_>) {
        let Some(domain) = &self.settings.domain else {
            return;
        };
        let rest = message
            .subject
            .strip_prefix(b"$JS.")
            .and_then(|subject| subject.strip_prefix(domain.as_bytes()))
            .and_then(|subject| subject.strip_prefix(b".API."));
        let Some(rest) = rest else {
            return;
        };
        let plain = if rest.starts_with(b"$KV.") || rest.starts_with(b"$OBJ.") {
            rest.to_vec()
        } else {
            [PREFIX, rest].concat()
        };
        let out = Outgoing {
            to: &plain,
            subject: &plain,
            reply: message.reply,
            header: message.header,
            payload: message.payload,
        };
        if bus.publish(message.account, &out) == super::bus::Delivery::Nobody {
            send_no_responders(bus, message);
        }
    }

    fn stream_message(
        &mut self,
        bus: &mut dyn Bus,
        disk: &mut dyn Disk,
        kind: Kind,
        token: Token,
        message: &Incoming<'_>,
    ) {
        let slot = token.stream();
        let (entry, mut parts) = match self.split(slot, bus, disk) {
            Some(parts) => parts,
            None => return,
        };
        let is_known = entry.message(&mut parts, kind, token, message);
        self.touch(slot);
        if !is_known {
            send_no_responders(bus, message);
        }
    }

    /// A subject that is watched has interest, or has it no more.
    pub fn interest(
        &mut self,
        bus: &mut dyn Bus,
        disk: &mut dyn Disk,
        token: Token,
        interested: bool,
    ) {
        let slot = token.stream();
        if let Some((entry, mut parts)) = self.split(slot, bus, disk) {
            entry.interest(&mut parts, token, interested);
            self.touch(slot);
        }
    }

    /// A record of JetStream on another core, or on this one.
    pub fn peer(&mut self, bus: &mut dyn Bus, disk: &mut dyn Disk, from: CoreId, record: &[u8]) {
        let Some(record) = Record::decode(record) else {
            bus.log(
                LogLevel::Error,
                format!("JetStream: a record of core {} does not decode", from.0),
            );
            return;
        };
        match record {
            Record::Forward(request) => {
                if let Some(request) = OwnedRequest::from_record(&request) {
                    self.answer_forwarded(bus, disk, &request);
                }
            }
            Record::Create { request, config } => {
                if let (Some(request), Ok(config)) = (
                    OwnedRequest::from_record(&request),
                    StreamConfig::parse(config),
                ) {
                    self.home_create(bus, disk, request, config);
                }
            }
            Record::Update { request, config } => {
                if let (Some(request), Ok(config)) = (
                    OwnedRequest::from_record(&request),
                    StreamConfig::parse(config),
                ) {
                    self.home_update(bus, disk, request, config);
                }
            }
            Record::Present {
                account,
                name,
                created_ns,
                config,
            } => {
                if let (Some(meta), Ok(config)) = (&mut self.meta, StreamConfig::parse(config)) {
                    let known = Known { config, created_ns };
                    meta.catalogue.insert(account, name, known);
                }
            }
            Record::Absent { account, name } => {
                if let Some(meta) = &mut self.meta {
                    meta.catalogue.remove(account, name);
                }
            }
            Record::Reported => {
                if let Some(meta) = &mut self.meta {
                    meta.unreported &= !from.bit();
                }
            }
            Record::Usage { account, usage } => {
                if from != self.core {
                    self.accounts.heard(usize::from(from.0), account, usage);
                }
            }
            Record::AskUsage { gather, account } => {
                let usage = self.accounts.own(account);
                bus.send(from, &Record::TellUsage { gather, usage }.to_vec());
            }
            Record::TellUsage { gather, usage } => self.told_usage(bus, from, gather, usage),
            Record::AskInfos {
                gather,
                account,
                names,
            } => self.tell_infos(bus, from, gather, account, &names),
            Record::TellInfos { gather, infos } => self.told_infos(bus, from, gather, &infos),
        }
    }

    /// An operation of the disk is over.
    pub fn completed(&mut self, bus: &mut dyn Bus, disk: &mut dyn Disk, done: Completed) {
        if done.tag.owner == NODE_OWNER {
            self.node_completed(bus, disk, done);
            return;
        }
        let Some(&owner) = self.owners.get(&done.tag.owner) else {
            // The end of something that was given up.
            return;
        };
        let slot = match owner {
            Owner::Journal(slot) | Owner::Log(slot) | Owner::Consumer(slot) => slot,
        };
        if let Some((entry, mut parts)) = self.split(slot, bus, disk) {
            match owner {
                Owner::Journal(_) => entry.journal_completed(&mut parts, done),
                Owner::Log(_) => entry.log_completed(&mut parts, done),
                Owner::Consumer(_) => entry.consumer_completed(&mut parts, done),
            }
            self.touch(slot);
        }
    }

    /// Acts on times that have passed.
    pub fn tick(&mut self, bus: &mut dyn Bus, disk: &mut dyn Disk) {
        let now = bus.now().mono_ns;
        while let Some(&Reverse((at, slot))) = self.deadlines.peek() {
            if at > now {
                break;
            }
            self.deadlines.pop();
            let Some((entry, mut parts)) = self.split(slot, bus, disk) else {
                continue;
            };
            if entry.scheduled_at != at {
                continue;
            }
            entry.scheduled_at = u64::MAX;
            entry.tick(&mut parts);
            self.touch(slot);
        }
        self.tick_restores(bus, disk);
    }

    /// When [`JetStream::tick`] has something to do, in nanoseconds of the monotonic clock.
    pub fn next_deadline(&self) -> Option<u64> {
        let streams = self.deadlines.peek().map(|Reverse((at, _))| *at);
        let restores = self.restores.next_deadline();
        [streams, restores].into_iter().flatten().min()
    }

    /// The end of a turn: answers requests, hands messages to the disk, acknowledges what is
    /// durable, delivers, and sends responses whose time has come.
    pub fn settle(&mut self, bus: &mut dyn Bus, disk: &mut dyn Disk) {
        if !self.queue.is_empty() {
            self.answer_queued(bus, disk);
        }
        let mut dirty = std::mem::take(&mut self.dirty);
        for slot in dirty.drain(..) {
            self.settle_stream(bus, disk, slot);
        }
        for (request, config) in std::mem::take(&mut self.released_creates) {
            self.home_create(bus, disk, request, config);
        }
        // What was touched while settling waits for the next turn.
        dirty.append(&mut self.dirty);
        self.dirty = dirty;
        if !self.restores.is_empty() {
            self.proceed_restores(bus, disk);
        }
        if !self.held.is_empty() {
            self.release_held(bus, disk);
        }
        if self.cores > 1 {
            let (core, cores) = (self.core, self.cores);
            self.accounts
                .tell_changes(self.stopping, &mut |account, usage| {
                    let record = Record::Usage { account, usage }.to_vec();
                    for other in (0..cores).map(|n| CoreId(n as u8)).filter(|&n| n != core) {
                        bus.send(other, &record);
                    }
                });
        }
    }

    fn settle_stream(&mut self, bus: &mut dyn Bus, disk: &mut dyn Disk, slot: u32) {
        let Some((entry, mut parts)) = self.split(slot, bus, disk) else {
            return;
        };
        entry.is_dirty = false;
        let was = entry.phase();
        entry.settle(&mut parts);
        let is = entry.phase();
        let again = entry.has_backlog();
        let has_answers = !entry.answers.is_empty();
        let deadline = entry.next_deadline(parts.bus.now());
        if let Some(at) = deadline
            && at < entry.scheduled_at
        {
            entry.scheduled_at = at;
            self.deadlines.push(Reverse((at, slot)));
        }
        if has_answers {
            self.answer_reads(bus, slot);
        }
        if was != is {
            self.phase_changed(bus, disk, slot, is);
        }
        if is == Phase::Removing {
            self.remove_closed(disk, slot);
        }
        if again {
            self.touch(slot);
        }
    }

    /// A stream has something to settle at the end of this turn.
    #[inline]
    pub(super) fn touch(&mut self, slot: u32) {
        if let Some(Some(entry)) = self.entries.get_mut(slot as usize)
            && !entry.is_dirty
        {
            entry.is_dirty = true;
            self.dirty.push(slot);
        }
    }

    /// Whether there is work that no event will announce.
    pub fn has_backlog(&self) -> bool {
        !self.queue.is_empty() || !self.dirty.is_empty()
    }

    /// Begins an orderly end: what is known without reading the logs is written down.
    pub fn stop(&mut self, bus: &mut dyn Bus, disk: &mut dyn Disk) {
        if std::mem::replace(&mut self.stopping, true) {
            return;
        }
        for slot in 0..self.entries.len() as u32 {
            if let Some((entry, mut parts)) = self.split(slot, bus, disk) {
                entry.stop(&mut parts);
                self.touch(slot);
            }
        }
    }

    /// Whether the end is reached.
    pub fn is_stopped(&self) -> bool {
        self.stopping && self.entries.iter().flatten().all(|entry| entry.is_idle())
    }

    /// A stream and what it is handed.
    #[inline]
    pub(super) fn split<'a>(
        &'a mut self,
        slot: u32,
        bus: &'a mut dyn Bus,
        disk: &'a mut dyn Disk,
    ) -> Option<(&'a mut Entry, Parts<'a>)> {
        let entry = self.entries.get_mut(slot as usize)?.as_deref_mut()?;
        let account = entry.account;
        let parts = Parts {
            bus,
            disk,
            usage: AccountUsage {
                accounts: &mut self.accounts,
                account,
                batches: &mut self.batches,
                limits: &self.settings.limits,
            },
            settings: &self.settings,
            cache: &self.cache,
            owners: &mut self.owners,
            next_owner: &mut self.next_owner,
        };
        Some((entry, parts))
    }

    /// What a stream that is not in its slot yet is handed.
    pub(super) fn parts<'a>(
        &'a mut self,
        account: u16,
        bus: &'a mut dyn Bus,
        disk: &'a mut dyn Disk,
    ) -> Parts<'a> {
        Parts {
            bus,
            disk,
            usage: AccountUsage {
                accounts: &mut self.accounts,
                account,
                batches: &mut self.batches,
                limits: &self.settings.limits,
            },
            settings: &self.settings,
            cache: &self.cache,
            owners: &mut self.owners,
            next_owner: &mut self.next_owner,
        }
    }

    /// Slot of the stream of this name.
    pub(super) fn slot(&self, account: u16, name: &str) -> Option<u32> {
        self.by_name.get(&account)?.get(name).copied()
    }

    /// The running stream of this name.
    pub(super) fn running(&self, account: u16, name: &str) -> Option<(u32, &Entry)> {
        let slot = self.slot(account, name)?;
        let entry = self.entries.get(slot as usize)?.as_deref()?;
        (entry.phase() == Phase::Running).then_some((slot, entry))
    }
}

/// What a stream is handed with an event, apart from its consumers.
pub(super) struct Parts<'a> {
    pub bus: &'a mut dyn Bus,
    pub disk: &'a mut dyn Disk,
    pub usage: AccountUsage<'a>,
    pub settings: &'a JetStreamSettings,
    pub cache: &'a BlockCache,
    pub owners: &'a mut HashMap<u32, Owner>,
    pub next_owner: &'a mut u32,
}

impl Parts<'_> {
    /// A new owner number.
    pub fn allocate(&mut self, owner: Owner) -> u32 {
        let number = *self.next_owner;
        *self.next_owner += 1;
        self.owners.insert(number, owner);
        number
    }
}

/// Tells a requester that nobody is there, as the broker does where nobody subscribes.
pub(super) fn send_no_responders(bus: &mut dyn Bus, message: &Incoming<'_>) {
    if message.reply.is_empty() {
        return;
    }
    let header = [
        b"NATS/1.0 503\r\nNats-Subject: ".as_slice(),
        message.subject,
        b"\r\n\r\n",
    ]
    .concat();
    let _ = bus.publish(message.account, &Outgoing::status(message.reply, &header));
}

/// Used where a stream's context is made from parts.
pub(super) fn context<'c>(
    parts: &'c mut Parts<'_>,
    consumers: &'c mut dyn super::stream::context::Consumers,
) -> Context<'c> {
    Context {
        bus: &mut *parts.bus,
        disk: &mut *parts.disk,
        consumers,
        usage: &mut parts.usage,
        settings: parts.settings,
    }
}
