//! What acknowledgements do.

use crate::jetstream::bus::Outgoing;

use super::ack::{AckSubject, Verb};
use super::config::AckPolicy;
use super::event::{Event, EventKind};
use super::pending::Entry;
use super::single::{Consumer, Context, Shared, Target};
use super::state::Sequences;

impl Consumer {
    /// Takes an acknowledgement.
    pub(super) fn acknowledge(
        &mut self,
        shared: &mut Shared,
        context: &mut Context<'_>,
        subject: &AckSubject<'_>,
        reply: &[u8],
        payload: &[u8],
    ) {
        let sequence = subject.stream_sequence;
        // Never delivered: as if it had not been said.
        if sequence > self.state.delivered.stream {
            return;
        }
        match Verb::parse(payload) {
            Verb::Ack => self.ack(shared, context, subject),
            Verb::Next { body } => {
                self.ack(shared, context, subject);
                self.pull(shared, context, reply, b"", body);
                return;
            }
            Verb::Nak { delay } => self.nak(shared, context, sequence, delay),
            Verb::Progress => {
                let now = context.bus.now().mono_ns;
                if let Some(entry) = self.state.pending.get(sequence) {
                    let due_at = self.due_at(entry.deliveries, now);
                    self.state.pending.postpone(sequence, due_at);
                }
            }
            Verb::Term { reason } => self.term(shared, context, sequence, reason),
            Verb::Unknown => {}
        }
        if !reply.is_empty() {
            self.confirm(shared, context, reply);
        }
    }

    #[inline]
    fn ack(&mut self, shared: &mut Shared, context: &mut Context<'_>, subject: &AckSubject<'_>) {
        let sequence = subject.stream_sequence;
        self.state.acked_at = context.bus.now().unix_ns;
        match self.config.ack_policy {
            AckPolicy::Explicit => {
                if let Some(entry) = self.state.acked(sequence) {
                    self.note(|changes| changes.acked(sequence));
                    if self.sample > 0 {
                        self.sample_ack(shared, context, &entry);
                    }
                } else if self.state.pending.forget_exhausted(sequence) {
                    self.note(|changes| changes.acked(sequence));
                } else {
                    return;
                }
                if shared.facts.wants_acknowledged {
                    shared.acknowledge(sequence, sequence);
                }
            }
            AckPolicy::All => {
                let to = Sequences {
                    consumer: subject.consumer_sequence,
                    stream: sequence,
                };
                self.ack_up_to(shared, context, to);
            }
            AckPolicy::None | AckPolicy::FlowControl => {}
        }
    }

    /// Everything up to the delivery `to` is acknowledged.
    pub(super) fn ack_up_to(
        &mut self,
        shared: &mut Shared,
        context: &mut Context<'_>,
        to: Sequences,
    ) {
        if to.stream <= self.state.floor.stream {
            return;
        }
        let mut last = None;
        let wants = shared.facts.wants_acknowledged;
        self.state.acked_up_to(to, |entry| {
            last = Some(*entry);
            if wants {
                shared.acknowledge(entry.stream_sequence, entry.stream_sequence);
            }
        });
        self.note(|changes| changes.acked_up_to(to));
        if let Some(entry) = last
            && self.sample > 0
        {
            self.sample_ack(shared, context, &entry);
        }
    }

    fn nak(
        &mut self,
        shared: &mut Shared,
        context: &mut Context<'_>,
        sequence: u64,
        delay: Option<i64>,
    ) {
        let Some(entry) = self.state.pending.get(sequence).copied() else {
            return;
        };
        match delay.and_then(|delay| u64::try_from(delay).ok()) {
            Some(delay) if delay > 0 => {
                let due_at = context.bus.now().mono_ns.saturating_add(delay);
                self.state.pending.postpone(sequence, due_at);
            }
            _ => {
                self.state.pending.enqueue(sequence);
            }
        }
        shared.events.push(Event {
            consumer: self.name.clone(),
            kind: EventKind::Naked {
                consumer_sequence: entry.consumer_sequence,
                stream_sequence: sequence,
                deliveries: u64::from(entry.deliveries),
            },
        });
    }

    fn term(
        &mut self,
        shared: &mut Shared,
        context: &mut Context<'_>,
        sequence: u64,
        reason: &[u8],
    ) {
        let Some(entry) = self.state.acked(sequence) else {
            return;
        };
        self.state.acked_at = context.bus.now().unix_ns;
        self.note(|changes| changes.acked(sequence));
        if shared.facts.wants_acknowledged {
            shared.acknowledge(sequence, sequence);
        }
        self.terminated(shared, &entry, &String::from_utf8_lossy(reason));
    }

    /// The stream lost a message. If it was delivered and not acknowledged, it never will be.
    pub(super) fn removed(
        &mut self,
        shared: &mut Shared,
        sequence: u64,
        subject: &[u8],
        unix_ns: i64,
    ) {
        self.position.removed(sequence, subject);
        if sequence > self.state.delivered.stream {
            return;
        }
        if let Some(entry) = self.state.acked(sequence) {
            self.state.acked_at = unix_ns;
            self.note(|changes| changes.acked(sequence));
            self.terminated(shared, &entry, "Unacknowledged message was deleted");
        } else if self.state.pending.forget_exhausted(sequence) {
            self.note(|changes| changes.acked(sequence));
        }
    }

    /// Reports that a message will not be delivered again.
    pub(super) fn terminated(&self, shared: &mut Shared, entry: &Entry, reason: &str) {
        shared.events.push(Event {
            consumer: self.name.clone(),
            kind: EventKind::Terminated {
                consumer_sequence: entry.consumer_sequence,
                stream_sequence: entry.stream_sequence,
                deliveries: u64::from(entry.deliveries),
                reason: reason.to_owned(),
            },
        });
    }

    fn sample_ack(&mut self, shared: &mut Shared, context: &mut Context<'_>, entry: &Entry) {
        if self.sample < 100 && context.bus.random() % 100 >= u64::from(self.sample) {
            return;
        }
        let now = context.bus.now().mono_ns;
        // The deadline tells when the last delivery was.
        let ack_time = entry.due_at().map_or(0, |due_at| {
            let wait = self.due_at(entry.deliveries, now).saturating_sub(now);
            now.saturating_add(wait).saturating_sub(due_at)
        });
        shared.events.push(Event {
            consumer: self.name.clone(),
            kind: EventKind::Acknowledged {
                consumer_sequence: entry.consumer_sequence,
                stream_sequence: entry.stream_sequence,
                deliveries: u64::from(entry.deliveries),
                ack_time,
            },
        });
    }

    /// Confirms an acknowledgement once what it did is durable.
    fn confirm(&mut self, shared: &mut Shared, context: &mut Context<'_>, reply: &[u8]) {
        match &self.saver {
            Some(saver) if !saver.is_durable() => {
                self.confirmations
                    .push_back((saver.number(), reply.to_vec()));
                self.is_dirty = true;
            }
            _ => {
                let message = Outgoing::plain(reply, b"");
                let _ = context.bus.publish(shared.facts.account, &message);
            }
        }
    }

    /// An answer to a flow control request.
    pub(super) fn flow_answered(
        &mut self,
        shared: &mut Shared,
        context: &mut Context<'_>,
        subject: &[u8],
    ) {
        let Target::Push(push) = &mut self.target else {
            return;
        };
        let covers = push.flow.as_mut().and_then(|flow| flow.answered(subject));
        if let Some(to) = covers
            && self.is_acked_by_flow()
        {
            self.state.acked_at = context.bus.now().unix_ns;
            self.ack_up_to(shared, context, to);
        }
    }

    /// At the end of a turn: gives changes to the journal, and confirms what became durable.
    pub(super) fn save(&mut self, shared: &mut Shared, context: &mut Context<'_>) {
        let now = context.bus.now().mono_ns;
        let Some(saver) = &mut self.saver else {
            return;
        };
        if saver.journal.failure().is_some() {
            // Nothing becomes durable any more: no promise is made, nothing piles up.
            saver.changes.clear();
            self.confirmations.clear();
            return;
        }
        if saver.journal.wants_snapshot() {
            self.snapshot(context);
        }
        let waits = !self.confirmations.is_empty();
        let Some(saver) = &mut self.saver else {
            return;
        };
        let number = saver.save(waits, now, context.disk);
        let durable = saver.journal.durable();
        self.number_confirmations(number);
        while let Some((_, reply)) = self
            .confirmations
            .pop_front_if(|(change, _)| change.is_some_and(|change| change <= durable))
        {
            let message = Outgoing::plain(&reply, b"");
            let _ = context.bus.publish(shared.facts.account, &message);
        }
    }

    /// The changes that the last confirmations wait for have this number in the journal.
    fn number_confirmations(&mut self, number: u64) {
        for (change, _) in self.confirmations.iter_mut().rev() {
            if change.is_some() {
                break;
            }
            *change = Some(number);
        }
    }

    /// Writes everything down anew.
    pub(super) fn snapshot(&mut self, context: &mut Context<'_>) {
        if self.saver.is_none() {
            return;
        }
        let bytes = self.encode();
        let Some(saver) = &mut self.saver else {
            return;
        };
        let number = saver.snapshot(&bytes, context.disk);
        self.number_confirmations(number);
        self.is_dirty = true;
    }
}
