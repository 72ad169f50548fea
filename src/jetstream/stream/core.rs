//! The state of a stream and its entry points.

use std::collections::VecDeque;

use super::ack::{AckWriter, WaitingAcks};
use super::backlog::Backlog;
use super::batch::Batches;
use super::config::{Discard, Retention, Storage, StreamConfig};
use super::context::Context;
use super::derived::Derived;
use super::event::StreamEvent;
use super::fast_batch::FastBatches;
use super::follow::Followers;
use super::republish::Republisher;
use super::schedule::Schedules;
use crate::broker::Now;
use crate::jetstream::bus::{Bus, Incoming, Kind, Token};
use crate::store::{Completed, Log, Mark};
use crate::subject::Transform;

/// What names a stream and makes it.
#[derive(Clone, Debug)]
pub struct StreamSpec {
    /// Its place among the streams of the core: see [`Token`].
    pub slot: u32,
    pub account: u16,
    /// The account's name, for the metadata of consumers made at origins.
    pub account_name: String,
    pub config: StreamConfig,
    /// Wall clock, in nanoseconds since 1970.
    pub created_unix_ns: i64,
    pub domain: Option<String>,
    /// Eight characters that a stream made anew under the same name does not have.
    pub identity: String,
    /// Seed of hash tables, which clients cannot know.
    pub seed: u64,
}

/// One stream: a log, and the rules of what goes into it and for how long.
#[derive(Debug)]
pub struct Stream {
    pub(super) slot: u32,
    pub(super) account: u16,
    pub(super) account_name: String,
    pub(super) config: StreamConfig,
    pub(super) created_unix_ns: i64,
    pub(super) domain: Option<String>,
    pub(super) identity: String,
    pub(super) log: Log,
    /// Whether the log has become ready and what it replayed was taken over.
    pub(super) started: bool,
    pub(super) derived: Derived,
    pub(super) transform: Option<Transform>,
    pub(super) republisher: Option<Republisher>,
    pub(super) ack_writer: AckWriter,
    pub(super) waiting: WaitingAcks,
    pub(super) backlog: Backlog,
    pub(super) batches: Batches,
    pub(super) fast_batches: FastBatches,
    pub(super) followers: Followers,
    /// Messages below this are known not to go by age: they never expire.
    pub(super) age_from: u64,
    /// Schedules that are due and wait for their messages to be read.
    pub(super) due_schedules: VecDeque<u64>,
    pub(super) schedules: Schedules,
    /// From where on messages may have lost the last consumer that needed them.
    pub(super) interest_check: Option<u64>,
    /// Subjects that are subscribed to.
    pub(super) listening: Vec<String>,
    pub(super) events: Vec<StreamEvent>,
    /// Memory for rendering, reused.
    pub(super) scratch: Vec<u8>,
    /// Memory for a transformed subject, reused.
    pub(super) scratch_subject: Vec<u8>,
    /// Memory for a rewritten header block, reused.
    pub(super) scratch_header: Vec<u8>,
}

impl Stream {
    /// A stream over its log, which may still be opening.
    pub fn new(spec: StreamSpec, log: Log) -> Self {
        let config = spec.config;
        let derived = Derived::new(
            config.duplicate_window,
            spec.seed,
            !config.sources.is_empty(),
        );
        let mut stream = Self {
            slot: spec.slot,
            account: spec.account,
            account_name: spec.account_name,
            ack_writer: AckWriter::new(&config.name, spec.domain.as_deref()),
            created_unix_ns: spec.created_unix_ns,
            domain: spec.domain,
            identity: spec.identity,
            log,
            started: false,
            derived,
            transform: None,
            republisher: None,
            waiting: WaitingAcks::default(),
            backlog: Backlog::default(),
            batches: Batches::default(),
            fast_batches: FastBatches::default(),
            followers: Followers::default(),
            age_from: 0,
            due_schedules: VecDeque::new(),
            schedules: Schedules::default(),
            interest_check: None,
            listening: Vec::new(),
            events: Vec::new(),
            scratch: Vec::new(),
            scratch_subject: Vec::new(),
            scratch_header: Vec::new(),
            config,
        };
        stream.compile();
        stream
    }

    /// Compiles what the configuration describes. Configurations are checked before: what does
    /// not compile is left out.
    pub(super) fn compile(&mut self) {
        self.transform = self
            .config
            .subject_transform
            .as_ref()
            .filter(|transform| !transform.dest.is_empty())
            .and_then(|t| Transform::new(t.src.as_bytes(), t.dest.as_bytes()).ok());
        self.republisher = self
            .config
            .republish
            .as_ref()
            .and_then(|republish| Republisher::new(republish, &self.config.name));
    }

    pub fn config(&self) -> &StreamConfig {
        &self.config
    }

    pub fn name(&self) -> &str {
        &self.config.name
    }

    pub fn account(&self) -> u16 {
        self.account
    }

    pub fn slot(&self) -> u32 {
        self.slot
    }

    pub fn created_unix_ns(&self) -> i64 {
        self.created_unix_ns
    }

    /// What `Nats-Stream-Identity` says of this stream.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    pub fn log(&self) -> &Log {
        &self.log
    }

    pub fn log_mut(&mut self) -> &mut Log {
        &mut self.log
    }

    /// Whether the log is open and everything derived from it is in place.
    pub fn is_ready(&self) -> bool {
        self.started
    }

    /// What happened that others want to know, oldest first.
    pub fn take_events(&mut self) -> Vec<StreamEvent> {
        std::mem::take(&mut self.events)
    }

    /// Begins to receive messages and to follow other streams, once the stream
    /// [is ready](Self::is_ready).
    pub fn start(&mut self, cx: &mut Context<'_>) {
        self.listen(cx.bus);
        self.follow(cx);
    }

    /// Subscribes to the configured subjects, and no longer to those that are not.
    pub(super) fn listen(&mut self, bus: &mut dyn Bus) {
        let token = Token::new(Kind::Publish, self.slot, 0);
        let wanted = &self.config.subjects;
        self.listening.retain(|subject| {
            let keep = wanted.contains(subject);
            if !keep {
                bus.unsubscribe(self.account, subject.as_bytes(), token);
            }
            keep
        });
        for subject in wanted {
            if !self.listening.contains(subject) {
                bus.subscribe(self.account, subject.as_bytes(), token);
                self.listening.push(subject.clone());
            }
        }
    }

    /// Takes a completion of the log.
    pub fn completed(&mut self, cx: &mut Context<'_>, done: Completed) {
        self.log.completed(done, cx.disk, &mut self.derived);
        self.poll(cx);
    }

    /// Goes on with whatever waits for the log: to be called after completions, and once after
    /// the stream was made.
    pub fn poll(&mut self, cx: &mut Context<'_>) {
        if !self.started && self.log.is_ready() {
            self.take_over(cx);
        }
        if self.started {
            self.fire_schedules(cx);
            self.drain_backlog(cx);
        }
    }

    /// What was replayed may have been removed by a later entry of the log.
    fn take_over(&mut self, cx: &mut Context<'_>) {
        self.started = true;
        let log = &self.log;
        for set in [&mut self.derived.never, &mut self.derived.markers] {
            set.retain(|sequence| log.meta(*sequence).is_some());
        }
        self.derived.window.expire(cx.bus.now().unix_ns);
        cx.usage
            .used(self.config.storage, self.log.state().bytes as i64);
        // Limits may have changed while messages were there, and time has passed.
        self.enforce_limits(cx);
        self.expire(cx);
    }

    /// A message of one of the stream's own subscriptions ([`Kind::Stream`]).
    pub fn own_message(&mut self, cx: &mut Context<'_>, detail: u32, message: &Incoming<'_>) {
        self.followed(cx, detail, message);
    }

    /// The end of a turn: hands messages to the disk and acknowledges what is durable.
    pub fn settle(&mut self, cx: &mut Context<'_>) {
        self.check_interest(cx);
        if self.log.wants_checkpoint() {
            let blob = self.derived.encode();
            self.log.checkpoint(&blob, cx.disk);
        }
        self.log.flush(cx.disk);
        if self.log.failure().is_some() {
            // What was not durable may be lost: nobody is told that it is stored.
            self.waiting.clear();
        }
        self.send_acks(cx);
        self.settle_followers(cx);
    }

    pub(super) fn send_acks(&mut self, cx: &mut Context<'_>) {
        if !self.waiting.is_empty() {
            self.waiting.send(
                &self.log,
                &self.ack_writer,
                self.account,
                cx.bus,
                &mut self.scratch,
            );
        }
    }

    /// Whether [`settle`](Self::settle) should be called again without an event.
    pub fn has_backlog(&self) -> bool {
        self.interest_check.is_some() || self.followers.is_waiting_for_cores()
    }

    /// Acts on times that have passed.
    pub fn tick(&mut self, cx: &mut Context<'_>) {
        if !self.started {
            return;
        }
        self.expire(cx);
        self.fire_schedules(cx);
        self.expire_batches(cx);
        self.expire_fast_batches(cx);
        self.tick_followers(cx);
    }

    /// When [`tick`](Self::tick) has something to do, in nanoseconds of the monotonic clock.
    pub fn next_deadline(&self, now: Now) -> Option<u64> {
        if !self.started {
            return None;
        }
        let mono = |unix_ns: i64| {
            let wait = unix_ns.saturating_sub(now.unix_ns).max(0);
            now.mono_ns.saturating_add(wait as u64)
        };
        [
            self.next_age(now.unix_ns).map(mono),
            self.log.next_wake().map(mono),
            self.batches.next_deadline(),
            self.fast_batches.next_deadline(),
            self.followers.next_deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Starts the last checkpoint: with it the next start replays nothing. The log
    /// [is idle](Log::is_idle) when it is written.
    pub fn stop(&mut self, cx: &mut Context<'_>) {
        self.unlisten(cx);
        let blob = self.derived.encode();
        self.log.checkpoint(&blob, cx.disk);
        self.log.flush(cx.disk);
    }

    /// Removes the stream with all its messages.
    pub fn destroy(&mut self, cx: &mut Context<'_>) {
        self.unlisten(cx);
        let bytes = self.log.state().bytes as i64;
        cx.usage.used(self.config.storage, -bytes);
        self.drop_batches(cx);
        self.drop_fast_batches(cx);
        self.waiting.clear();
        self.log.destroy(cx.disk);
    }

    fn unlisten(&mut self, cx: &mut Context<'_>) {
        let token = Token::new(Kind::Publish, self.slot, 0);
        for subject in self.listening.drain(..) {
            cx.bus.unsubscribe(self.account, subject.as_bytes(), token);
        }
        self.unfollow(cx);
    }

    /// Marks the log's state now, to be reached before an acknowledgement.
    pub(super) fn mark(&self) -> Mark {
        self.log.mark()
    }

    pub(super) fn discards_new(&self) -> bool {
        self.config.discard == Discard::New
    }

    pub(super) fn is_limits_retention(&self) -> bool {
        self.config.retention == Retention::Limits
    }

    pub fn storage(&self) -> Storage {
        self.config.storage
    }
}
