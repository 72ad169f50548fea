//! Delivery: which message goes to whom, and what is written down about it.

use crate::jetstream::bus::{Delivery, Outgoing};
use crate::store::Fetch;

use super::config::{AckPolicy, PriorityPolicy};
use super::event::{Event, EventKind};
use super::single::{Consumer, Context, Shared, Target};
use super::{priority, status};

/// Nanoseconds that deliveries rest when a receiver is behind.
pub const CONGESTION_REST_NS: u64 = 1_000_000;

/// Why a consumer stopped delivering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stopped {
    /// There is nothing to deliver, nobody to deliver it to, or a time to wait for.
    Idle,
    /// The budget is used up.
    Budget,
    /// The next message is being read from the disk, or not yet durable.
    Held,
}

/// What to deliver next.
enum Choice {
    New(u64),
    Again {
        sequence: u64,
        deliveries: u64,
    },
    /// All was delivered; what is stored later comes later.
    End,
    /// The next message is not yet durable.
    NotDurable,
    /// Too many messages wait for acknowledgement.
    Blocked,
}

/// What became of one message.
enum Outcome {
    Delivered,
    /// The message is gone: choose again.
    Gone,
    /// The request was ended: choose again.
    RequestEnded,
    /// Nobody listens on the deliver subject.
    NoInterest,
    Loading,
}

impl Consumer {
    /// Delivers up to `budget` messages.
    pub(super) fn pump(
        &mut self,
        shared: &mut Shared,
        context: &mut Context<'_>,
        budget: &mut u32,
    ) -> Stopped {
        let now = context.bus.now();
        if self.is_paused(now.unix_ns) {
            return Stopped::Idle;
        }
        loop {
            if now.mono_ns < self.resume_at {
                return Stopped::Idle;
            }
            let Some(request) = self.choose_target(shared, context) else {
                return Stopped::Idle;
            };
            let choice = self.choose_message(shared, context);
            let outcome = match choice {
                Choice::End => {
                    self.end_no_wait(shared, context);
                    return Stopped::Idle;
                }
                Choice::Blocked => return Stopped::Idle,
                Choice::NotDurable => return Stopped::Held,
                _ if *budget == 0 => return Stopped::Budget,
                Choice::New(sequence) => self.deliver(shared, context, request, sequence, None),
                Choice::Again {
                    sequence,
                    deliveries,
                } => self.deliver(shared, context, request, sequence, Some(deliveries)),
            };
            match outcome {
                Outcome::Delivered => *budget -= 1,
                Outcome::Gone | Outcome::RequestEnded => {}
                Outcome::NoInterest => return Stopped::Idle,
                Outcome::Loading => return Stopped::Held,
            }
        }
    }

    /// The request to serve next, by its place in the queue; `None` if nothing may be sent.
    #[inline]
    fn choose_target(&mut self, shared: &mut Shared, context: &mut Context<'_>) -> Option<usize> {
        let policy = self.config.priority_policy;
        match &self.target {
            Target::Push(push) => {
                let full = push.flow.as_ref().is_some_and(super::push::Flow::is_full);
                let paid = push
                    .rate
                    .as_ref()
                    .is_none_or(|rate| rate.ready_at() <= context.bus.now().mono_ns);
                (push.active && !full && paid && self.is_in_pace(context)).then_some(0)
            }
            Target::Pull(queue) => {
                if queue.is_empty() || !self.is_in_pace(context) {
                    return None;
                }
                if matches!(policy, PriorityPolicy::None | PriorityPolicy::Prioritized) {
                    return Some(0);
                }
                self.choose_in_group(shared, context)
            }
        }
    }

    /// Whether the pace of a replay allows for a message now.
    #[inline]
    fn is_in_pace(&self, context: &Context<'_>) -> bool {
        self.replay
            .as_ref()
            .is_none_or(|replay| replay.ready_at <= context.bus.now().mono_ns)
    }

    fn choose_in_group(&mut self, shared: &mut Shared, context: &mut Context<'_>) -> Option<usize> {
        if self.pin.is_set() {
            self.end_wrong_pins(shared, context);
        }
        let pending = self.position.pending(context.log);
        let ack_pending = self.state.pending.len() as u64;
        let Target::Pull(queue) = &self.target else {
            return None;
        };
        let chosen = queue.iter().position(|request| {
            priority::may_serve(
                self.config.priority_policy,
                request,
                &self.pin,
                pending,
                ack_pending,
            )
        });
        if chosen.is_none() {
            // What there is, is not for them.
            self.end_no_wait(shared, context);
        }
        chosen
    }

    /// The message to deliver next. Messages that used up their deliveries are given up here,
    /// when they would be due.
    #[inline]
    fn choose_message(&mut self, shared: &mut Shared, context: &mut Context<'_>) -> Choice {
        if self.state.pending.queued() > 0 {
            let limit = self.config.max_deliver;
            while let Some(entry) = self.state.pending.next_queued() {
                let deliveries = u64::from(entry.deliveries);
                if limit <= 0 || deliveries < limit as u64 {
                    return Choice::Again {
                        sequence: entry.stream_sequence,
                        deliveries: deliveries + 1,
                    };
                }
                self.give_up(shared, entry.stream_sequence, deliveries);
            }
        }
        let limit = self.config.max_ack_pending;
        let blocked = limit > 0 && self.tracks() && self.state.pending.len() as u64 >= limit as u64;
        if blocked {
            return Choice::Blocked;
        }
        match self.position.peek(context.log) {
            Some(sequence) if sequence <= context.log.durable() => Choice::New(sequence),
            Some(_) => Choice::NotDurable,
            None => Choice::End,
        }
    }

    /// A message that may be delivered once only is given up as soon as it would be due again,
    /// others when somebody would receive them (as nats-server 2.15.1).
    pub(super) fn give_up_single(&mut self, shared: &mut Shared) {
        if self.config.max_deliver != 1 {
            return;
        }
        while let Some(entry) = self.state.pending.next_queued() {
            self.give_up(shared, entry.stream_sequence, u64::from(entry.deliveries));
        }
    }

    /// A message was delivered as often as it may be.
    fn give_up(&mut self, shared: &mut Shared, sequence: u64, deliveries: u64) {
        self.state.exhausted(sequence);
        self.note(|changes| changes.exhausted(sequence));
        shared.events.push(Event {
            consumer: self.name.clone(),
            kind: EventKind::MaxDeliveries {
                stream_sequence: sequence,
                deliveries,
            },
        });
    }

    fn deliver(
        &mut self,
        shared: &mut Shared,
        context: &mut Context<'_>,
        request: usize,
        sequence: u64,
        again: Option<u64>,
    ) -> Outcome {
        let pending = self.position.pending(context.log);
        let message = match context.log.get(sequence, context.disk) {
            Fetch::Message(message) => message,
            Fetch::Loading => return Outcome::Loading,
            Fetch::Missing | Fetch::Damaged => {
                self.skip(sequence, again.is_some());
                return Outcome::Gone;
            }
        };
        let pending = if again.is_some() {
            pending
        } else {
            pending.saturating_sub(1)
        };
        let reply = self.ack_subjects.render(
            again.unwrap_or(1),
            sequence,
            self.state.delivered.consumer + 1,
            message.unix_ns,
            pending,
        );

        let mut header = message.header;
        let mut payload = message.payload;
        let pins = self.config.priority_policy == PriorityPolicy::PinnedClient;
        if self.config.headers_only || pins {
            shared.header.clear();
            shared.header.extend_from_slice(header);
            if self.config.headers_only {
                status::add_number(&mut shared.header, b"Nats-Msg-Size", payload.len() as u64);
                payload = b"";
            }
        }
        if pins {
            pin_to(
                self.config.priority_groups.first(),
                &self.name,
                &mut self.pin,
                &mut self.target,
                request,
                context.bus,
                &mut shared.events,
            );
            status::add_field(&mut shared.header, b"Nats-Pin-Id", &self.pin.id);
        }
        if self.config.headers_only || pins {
            header = &shared.header;
        }

        let size = (message.subject.len() + reply.len() + header.len() + payload.len()) as u64;
        let to = match &mut self.target {
            Target::Push(_) => self.config.deliver_subject.as_bytes(),
            Target::Pull(queue) => {
                let Some(waiting) = queue.get_mut(request) else {
                    return Outcome::RequestEnded;
                };
                if waiting.bytes_left.is_some_and(|left| size > left) {
                    end_request(
                        shared,
                        context,
                        queue,
                        request,
                        b"409 Message Size Exceeds MaxBytes",
                    );
                    return Outcome::RequestEnded;
                }
                &waiting.reply
            }
        };
        let outgoing = Outgoing {
            to,
            subject: message.subject,
            reply,
            header,
            payload,
        };
        let unix_ns = message.unix_ns;
        match context.bus.publish(shared.facts.account, &outgoing) {
            Delivery::Nobody => return self.nobody(request),
            Delivery::Sent => {}
            Delivery::Congested => {
                let now = context.bus.now().mono_ns;
                self.resume_at = now.saturating_add(CONGESTION_REST_NS);
            }
        }
        self.was_delivered(shared, context, sequence, again);
        self.keep_pace(context, sequence, unix_ns);
        self.served(shared, context, request, size);
        Outcome::Delivered
    }

    /// Writes down that a message was sent.
    #[inline]
    fn was_delivered(
        &mut self,
        shared: &mut Shared,
        context: &mut Context<'_>,
        sequence: u64,
        again: Option<u64>,
    ) {
        let now = context.bus.now();
        self.state.delivered_at = now.unix_ns;
        match again {
            Some(deliveries) => {
                let deliveries = u32::try_from(deliveries).unwrap_or(u32::MAX);
                let due_at = self.due_at(deliveries, now.mono_ns);
                self.state.redelivered(sequence, due_at);
                self.note(|changes| changes.redelivered(sequence));
            }
            None => {
                let tracks = self.tracks();
                let due_at = tracks.then(|| self.due_at(1, now.mono_ns));
                self.state.delivered(sequence, due_at);
                self.position.advance(sequence);
                self.note(|changes| changes.delivered(sequence));
                if !tracks && shared.facts.wants_acknowledged {
                    shared.acknowledge(sequence, sequence);
                }
            }
        }
    }

    /// A message that was to be delivered does not exist any more, or can not be read.
    fn skip(&mut self, sequence: u64, again: bool) {
        if again {
            self.state.acked(sequence);
            self.note(|changes| changes.acked(sequence));
        } else {
            self.position.pass(sequence);
        }
    }

    /// Nobody took the message: it stays where it was.
    fn nobody(&mut self, request: usize) -> Outcome {
        match &mut self.target {
            Target::Pull(queue) => {
                queue.remove(request);
                Outcome::RequestEnded
            }
            Target::Push(push) => {
                // The change of interest is on its way to us.
                push.active = false;
                Outcome::NoInterest
            }
        }
    }

    /// In a replay at the original pace, the next message waits as long as it did then.
    fn keep_pace(&mut self, context: &mut Context<'_>, sequence: u64, unix_ns: i64) {
        let Some(replay) = &mut self.replay else {
            return;
        };
        if sequence >= replay.until {
            self.replay = None;
            return;
        }
        replay.last_unix_ns = Some(unix_ns);
        let next = self.position.peek(context.log);
        let Some(meta) = next.and_then(|next| context.log.meta(next)) else {
            return;
        };
        let gap = u64::try_from(meta.unix_ns.saturating_sub(unix_ns)).unwrap_or(0);
        if let Some(replay) = &mut self.replay {
            replay.ready_at = context.bus.now().mono_ns.saturating_add(gap);
        }
    }

    /// Accounts of a message that was sent: the request's or the window's.
    #[inline]
    fn served(
        &mut self,
        shared: &mut Shared,
        context: &mut Context<'_>,
        request: usize,
        size: u64,
    ) {
        let now = context.bus.now().mono_ns;
        match &mut self.target {
            Target::Pull(queue) => {
                let Some(waiting) = queue.get_mut(request) else {
                    return;
                };
                waiting.left = waiting.left.saturating_sub(1);
                waiting.was_delivered = true;
                waiting.beat_at = now.saturating_add(waiting.heartbeat);
                if let Some(left) = &mut waiting.bytes_left {
                    *left -= size.min(*left);
                }
                let (left, bytes_left) = (waiting.left, waiting.bytes_left);
                // A request that got exactly its bytes ends without a word, as on nats-server.
                if left == 0 && bytes_left.is_some_and(|left| left > 0) {
                    end_request(shared, context, queue, request, b"409 Batch Completed");
                } else if left == 0 || bytes_left == Some(0) {
                    queue.remove(request);
                } else {
                    queue.rotate(request);
                }
            }
            Target::Push(push) => {
                push.last_sent = now;
                if let Some(rate) = &mut push.rate {
                    rate.sent(size, now);
                }
                let Some(flow) = &mut push.flow else {
                    return;
                };
                if flow.sent(size) {
                    let subject = flow.ask(context.bus.random(), self.state.delivered);
                    status::plain(&mut shared.header, b"100 FlowControl Request");
                    let to = self.config.deliver_subject.as_bytes();
                    let _ = context.bus.publish(
                        shared.facts.account,
                        &Outgoing {
                            reply: subject,
                            ..Outgoing::status(to, &shared.header)
                        },
                    );
                }
            }
        }
    }

    /// Notes a change for the journal.
    #[inline]
    pub(super) fn note(&mut self, change: impl FnOnce(&mut super::state::Changes)) {
        if let Some(saver) = &mut self.saver {
            change(&mut saver.changes);
            self.is_dirty = true;
        }
    }

    /// Everything was delivered: requests that do not wait for more end.
    fn end_no_wait(&mut self, shared: &mut Shared, context: &mut Context<'_>) {
        let Target::Pull(queue) = &mut self.target else {
            return;
        };
        let mut at = 0;
        while let Some(request) = queue.get(at) {
            let waits = !request.no_wait
                || (!request.was_delivered && request.expires_at != super::waiting::NEVER);
            if waits {
                at += 1;
                continue;
            }
            Self::send_status(shared, context.bus, &request.reply, b"404 No Messages");
            queue.remove(at);
        }
    }

    /// Whether messages delivered by flow control only are confirmed by its answers.
    pub(super) fn is_acked_by_flow(&self) -> bool {
        self.config.ack_policy == AckPolicy::FlowControl
    }
}

impl Shared {
    /// Tells the stream that a consumer is done with messages `first` to `last`.
    #[inline]
    pub fn acknowledge(&mut self, first: u64, last: u64) {
        match self.acknowledged.last_mut() {
            Some((_, end)) if *end + 1 == first => *end = last,
            _ => self.acknowledged.push((first, last)),
        }
    }
}

/// Ends a request with a status that says what is missing.
pub(super) fn end_request(
    shared: &mut Shared,
    context: &mut Context<'_>,
    queue: &mut super::waiting::WaitingQueue,
    at: usize,
    text: &[u8],
) {
    if let Some(request) = queue.get(at) {
        let bytes = request.bytes_left.unwrap_or(0);
        status::with_pending(&mut shared.header, text, request.left, bytes);
        let _ = context.bus.publish(
            shared.facts.account,
            &Outgoing::status(&request.reply, &shared.header),
        );
        queue.remove(at);
    }
}

/// Pins the group to the client of a request, if it is pinned to nobody.
fn pin_to(
    group: Option<&String>,
    consumer: &str,
    pin: &mut priority::Pin,
    target: &mut Target,
    request: usize,
    bus: &mut dyn crate::jetstream::bus::Bus,
    events: &mut Vec<Event>,
) {
    let Target::Pull(queue) = target else {
        return;
    };
    if pin.is_set() {
        return;
    }
    let random = [bus.random(), bus.random()];
    let now = bus.now();
    pin.give(random, now.mono_ns, now.unix_ns);
    if let Some(waiting) = queue.get_mut(request) {
        waiting.pin.clone_from(&pin.id);
    }
    events.push(Event {
        consumer: consumer.to_owned(),
        kind: EventKind::Pinned {
            group: group.cloned().unwrap_or_default(),
            pin: String::from_utf8_lossy(&pin.id).into_owned(),
        },
    });
}
