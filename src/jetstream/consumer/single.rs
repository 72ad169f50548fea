//! One consumer: its parts, and what is asked of it from outside the delivery of messages.

use std::collections::VecDeque;

use crate::jetstream::bus::{Bus, Outgoing, Token};
use crate::jetstream::error::{ApiError, ErrorCode};
use crate::jetstream::time::Time;
use crate::store::{Disk, Log};

use super::ack::AckSubjects;
use super::config::{AckPolicy, ConsumerConfig, DeliverPolicy, PriorityPolicy, ReplayPolicy};
use super::event::Event;
use super::position::{Position, filter_of};
use super::priority::Pin;
use super::push::{Flow, Push, Rate};
use super::saver::Saver;
use super::state::{Saved, State};
use super::status;
use super::validate;
use super::waiting::WaitingQueue;

/// What consumers work with during one call.
pub struct Context<'a> {
    pub log: &'a mut Log,
    pub bus: &'a mut dyn Bus,
    pub disk: &'a mut dyn Disk,
}

/// What consumers need to know of their stream.
#[derive(Clone, Debug, Default)]
pub struct StreamFacts {
    pub account: u16,
    /// Slot of the stream, for tokens.
    pub slot: u32,
    pub name: String,
    /// The stream wants to hear of acknowledged messages (interest, work queue).
    pub wants_acknowledged: bool,
    /// Each message is for one consumer only.
    pub work_queue: bool,
    /// Largest message, in bytes: the burst of a rate limit.
    pub max_payload: u64,
    /// API level of this server.
    pub api_level: u32,
}

/// What all consumers of a stream share: facts, and what they have to tell.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub facts: StreamFacts,
    /// Ranges (first, last) of stream sequences that were acknowledged.
    pub acknowledged: Vec<(u64, u64)>,
    pub events: Vec<Event>,
    /// Header blocks are rendered here.
    pub header: Vec<u8>,
}

/// How messages reach their receiver.
#[derive(Debug)]
pub(super) enum Target {
    Pull(WaitingQueue),
    Push(Push),
}

/// Pace of a replay at the original speed.
#[derive(Debug)]
pub(super) struct Replay {
    /// Messages behind this one come at once.
    pub until: u64,
    /// When the last message was stored, in nanoseconds since 1970.
    pub last_unix_ns: Option<i64>,
    /// When the next message may go, in nanoseconds of the monotonic clock.
    pub ready_at: u64,
}

/// A consumer.
#[derive(Debug)]
pub struct Consumer {
    pub(super) slot: u32,
    pub(super) name: String,
    pub(super) created_unix_ns: i64,
    pub(super) config: ConsumerConfig,
    pub(super) state: State,
    pub(super) position: Position,
    pub(super) target: Target,
    pub(super) pin: Pin,
    pub(super) replay: Option<Replay>,
    /// Percentage of acknowledgements that are reported.
    pub(super) sample: u8,
    pub(super) ack_subjects: AckSubjects,
    pub(super) saver: Option<Saver>,
    /// Acknowledgements to confirm once the journal has got that far; no number yet if the
    /// change was not yet given to it.
    pub(super) confirmations: VecDeque<(Option<u64>, Vec<u8>)>,
    /// Nanoseconds since 1970; deliveries wait until then.
    pub(super) paused_until: Option<i64>,
    /// Of the monotonic clock: when it was last used (pull), or lost its interest (push).
    pub(super) idle_since: u64,
    /// Of the monotonic clock: receivers were behind, go on then.
    pub(super) resume_at: u64,
    /// Its entry in the heap of deadlines; `u64::MAX` for none.
    pub(super) scheduled_at: u64,
    /// It stands in the list of consumers with something to do.
    pub(super) is_ready: bool,
    /// Its journal has work at the end of the turn.
    pub(super) is_dirty: bool,
    /// It stands in the list of those.
    pub(super) is_listed: bool,
}

impl Consumer {
    pub(super) fn new(
        slot: u32,
        name: String,
        config: ConsumerConfig,
        created_unix_ns: i64,
        facts: &StreamFacts,
        log: &Log,
        now: u64,
    ) -> Self {
        let position = Position::start(&config, log);
        let state = State::new(position.next());
        Self::build(
            slot,
            name,
            config,
            created_unix_ns,
            state,
            position,
            facts,
            log,
            now,
        )
    }

    pub(super) fn restore(
        slot: u32,
        name: String,
        config: ConsumerConfig,
        saved: Saved,
        facts: &StreamFacts,
        log: &Log,
        now: u64,
    ) -> Self {
        let position = Position::resume(&config, saved.next, saved.listed);
        Self::build(
            slot,
            name,
            config,
            saved.created_unix_ns,
            saved.state,
            position,
            facts,
            log,
            now,
        )
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of two constructors")]
    fn build(
        slot: u32,
        name: String,
        config: ConsumerConfig,
        created_unix_ns: i64,
        state: State,
        position: Position,
        facts: &StreamFacts,
        log: &Log,
        now: u64,
    ) -> Self {
        let target = if config.is_push() {
            Target::Push(Push {
                active: false,
                last_sent: now,
                flow: config.flow_control.then(|| Flow::new(&facts.name, &name)),
                rate: rate_of(&config, facts),
            })
        } else {
            Target::Pull(WaitingQueue::default())
        };
        let replay = (config.replay_policy == ReplayPolicy::Original).then(|| Replay {
            until: log.last_sequence(),
            last_unix_ns: None,
            ready_at: 0,
        });
        let mut consumer = Self {
            slot,
            ack_subjects: AckSubjects::new(facts.name.as_bytes(), name.as_bytes()),
            name,
            created_unix_ns,
            sample: 0,
            paused_until: None,
            config,
            state,
            position,
            target,
            pin: Pin::default(),
            replay,
            saver: None,
            confirmations: VecDeque::new(),
            idle_since: now,
            resume_at: 0,
            scheduled_at: u64::MAX,
            is_ready: false,
            is_dirty: false,
            is_listed: false,
        };
        consumer.apply_config();
        consumer
    }

    /// Takes over what of the configuration is kept in another form.
    fn apply_config(&mut self) {
        self.sample = validate::parse_sample(&self.config.sample_freq).unwrap_or(0);
        self.paused_until = self
            .config
            .pause_until
            .filter(|until| !until.is_zero())
            .map(Time::unix_ns);
        if let Target::Pull(queue) = &mut self.target {
            queue.set_prioritised(self.config.priority_policy == PriorityPolicy::Prioritized);
        }
    }

    /// Name of the consumer.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn config(&self) -> &ConsumerConfig {
        &self.config
    }

    /// Whether deliveries wait for acknowledgements.
    #[inline]
    pub(super) fn tracks(&self) -> bool {
        self.config.ack_policy != AckPolicy::None
    }

    #[inline]
    pub(super) fn is_paused(&self, unix_ns: i64) -> bool {
        self.paused_until.is_some_and(|until| unix_ns < until)
    }

    /// When a message is due again that was now delivered for the `deliveries`th time, in
    /// nanoseconds of the monotonic clock.
    #[inline]
    pub(super) fn due_at(&self, deliveries: u32, now: u64) -> u64 {
        let steps = &self.config.backoff;
        let wait = if steps.is_empty() {
            self.config.ack_wait
        } else {
            let at = (deliveries.max(1) as usize - 1).min(steps.len() - 1);
            steps[at]
        };
        match u64::try_from(wait) {
            // Flow control: only its answers count.
            Ok(0) | Err(_) => u64::MAX,
            Ok(wait) => now.saturating_add(wait),
        }
    }

    /// Whether the stream has to keep this message for the consumer.
    pub fn wants(&self, sequence: u64, subject: &[u8]) -> bool {
        self.state.pending.get(sequence).is_some()
            || self.state.pending.is_exhausted(sequence)
            || self.position.is_ahead(sequence, subject)
    }

    /// After a restart or a purge: messages that the log lost meanwhile are not pending any more.
    pub(super) fn forget_removed(&mut self, log: &Log, unix_ns: i64) {
        let gone: Vec<u64> = self
            .state
            .pending
            .iter()
            .map(|entry| entry.stream_sequence)
            .filter(|&sequence| log.meta(sequence).is_none())
            .collect();
        for sequence in gone {
            self.state.acked(sequence);
            self.state.acked_at = unix_ns;
            self.note(|changes| changes.acked(sequence));
        }
        let gone: Vec<u64> = self
            .state
            .pending
            .exhausted()
            .map(|(sequence, _)| sequence)
            .filter(|&sequence| log.meta(sequence).is_none())
            .collect();
        for sequence in gone {
            self.state.pending.forget_exhausted(sequence);
        }
        self.position.recount();
        let first = log.first_sequence();
        if self.position.next() < first {
            self.position.seek_forward(first);
            self.state.passed(first);
            self.note(|changes| changes.passed(first));
        }
    }

    /// Changes the configuration; `new` was checked against the old one.
    pub(super) fn reconfigure(&mut self, new: ConsumerConfig, facts: &StreamFacts) {
        let filter = filter_of(&new);
        if filter != *self.position.filter() {
            self.position.set_filter(filter);
        }
        let pause_until = self.config.pause_until;
        self.config = ConsumerConfig { pause_until, ..new };
        if let Target::Push(push) = &mut self.target {
            push.rate = rate_of(&self.config, facts);
        }
        self.apply_config();
    }

    /// Sets or clears the pause; tells whether it is paused now.
    pub(super) fn pause(&mut self, until: Option<Time>, now_unix_ns: i64) -> bool {
        self.config.pause_until = until.filter(|time| !time.is_zero());
        self.paused_until = self.config.pause_until.map(Time::unix_ns);
        self.is_paused(now_unix_ns)
    }

    /// Starts again at `sequence`, or behind the floor. Returns where.
    ///
    /// # Errors
    /// 10204 for a start before the one that the configuration allows.
    pub(super) fn reset(&mut self, sequence: Option<u64>, log: &Log) -> Result<u64, ApiError> {
        let next = sequence.unwrap_or(self.state.floor.stream + 1).max(1);
        if sequence.is_some() {
            let problem = match self.config.deliver_policy {
                DeliverPolicy::All => None,
                DeliverPolicy::ByStartSequence => {
                    (next < self.config.opt_start_seq).then_some("below start seq")
                }
                DeliverPolicy::ByStartTime => {
                    let time = self.config.opt_start_time.unwrap_or_default();
                    (next < log.sequence_at_time(time.unix_ns())).then_some("below start time")
                }
                _ => Some("not allowed"),
            };
            if let Some(problem) = problem {
                return Err(ErrorCode::ConsumerInvalidReset.with(problem));
            }
        }
        self.state.reset(next);
        self.position.seek(next);
        self.note(|changes| changes.reset(next));
        Ok(next)
    }

    /// Sends a status to the receiver of a pull request.
    pub(super) fn send_status(shared: &mut Shared, bus: &mut dyn Bus, reply: &[u8], text: &[u8]) {
        status::plain(&mut shared.header, text);
        Self::send_header(shared, bus, reply);
    }

    /// Sends the block in the shared buffer.
    pub(super) fn send_header(shared: &mut Shared, bus: &mut dyn Bus, reply: &[u8]) {
        // A status that nobody wants is lost, as on nats-server.
        let _ = bus.publish(
            shared.facts.account,
            &Outgoing::status(reply, &shared.header),
        );
    }

    /// The token under which interest in the deliver subject is reported.
    pub(super) fn interest_token(&self, facts: &StreamFacts) -> Token {
        Token::consumer(facts.slot, self.slot, 0)
    }

    /// Tells waiting clients that the consumer goes away.
    pub(super) fn say_goodbye(&mut self, shared: &mut Shared, bus: &mut dyn Bus, text: &[u8]) {
        if let Target::Pull(queue) = &mut self.target {
            while let Some(request) = queue.get(0) {
                Self::send_status(shared, bus, &request.reply, text);
                queue.remove(0);
            }
        }
    }

    /// Interest in the deliver subject came or went.
    pub(super) fn set_active(&mut self, active: bool, now: u64) {
        let Target::Push(push) = &mut self.target else {
            return;
        };
        if push.active && !active {
            self.idle_since = now;
            if let Some(flow) = &mut push.flow {
                flow.reset();
            }
        }
        if active && !push.active {
            push.last_sent = now;
        }
        push.active = active;
    }

    /// Whether somebody waits for messages.
    #[inline]
    pub(super) fn has_receiver(&self) -> bool {
        match &self.target {
            Target::Pull(queue) => !queue.is_empty(),
            Target::Push(push) => push.active,
        }
    }

    /// Everything that a restart needs, as one piece.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // Plain values always serialise.
        let config = serde_json::to_vec(&self.config).unwrap_or_default();
        let (next, listed) = self.position.parts();
        super::state::encode(
            &mut bytes,
            &config,
            self.created_unix_ns,
            &self.state,
            next,
            listed,
        );
        bytes
    }
}

fn rate_of(config: &ConsumerConfig, facts: &StreamFacts) -> Option<Rate> {
    (config.rate_limit_bps > 0).then(|| Rate::new(config.rate_limit_bps, facts.max_payload))
}
