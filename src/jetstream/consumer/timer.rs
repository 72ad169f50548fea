//! Deadlines of a consumer: one at a time, the earliest of all.

use super::event::{Event, EventKind};
use super::single::{Consumer, Context, Shared, Target};

/// Nanoseconds that every consumer lives unused: the answer to its creation comes first.
const INACTIVE_MIN_NS: u64 = 250_000_000;
/// Nanoseconds until what can not happen now is looked at again.
const RECHECK_NS: u64 = 1_000_000_000;

impl Consumer {
    /// When [`Consumer::tick`] has something to do, in nanoseconds of the monotonic clock; never
    /// later than necessary, `u64::MAX` for never.
    pub(super) fn next_deadline(&self, now_mono_ns: u64, now_unix_ns: i64) -> u64 {
        let mut at = self.state.pending.earliest();
        let paused = self.pause_remaining(now_unix_ns);
        if paused > 0 {
            at = at.min(now_mono_ns.saturating_add(paused));
        }
        if self.resume_at > now_mono_ns {
            at = at.min(self.resume_at);
        }
        if let Some(replay) = &self.replay
            && replay.ready_at > now_mono_ns
        {
            at = at.min(replay.ready_at);
        }
        // Without it, the journal is looked after at the end of this turn.
        if let Some(saver) = &self.saver
            && !self.is_dirty
        {
            at = at.min(saver.save_at());
        }
        at = at.min(self.unpin_at()).min(self.inactive_at());
        match &self.target {
            Target::Pull(queue) => at.min(queue.next_at().unwrap_or(u64::MAX)),
            Target::Push(push) => {
                if let Some(rate) = &push.rate
                    && rate.ready_at() > now_mono_ns
                {
                    at = at.min(rate.ready_at());
                }
                match u64::try_from(self.config.idle_heartbeat) {
                    Ok(beat) if beat > 0 && push.active => {
                        at.min(push.last_sent.saturating_add(beat))
                    }
                    _ => at,
                }
            }
        }
    }

    /// When the consumer goes if nobody uses it; `u64::MAX` for never.
    fn inactive_at(&self) -> u64 {
        let Ok(threshold) = u64::try_from(self.config.inactive_threshold) else {
            return u64::MAX;
        };
        if threshold == 0 || matches!(&self.target, Target::Push(push) if push.active) {
            return u64::MAX;
        }
        self.idle_since
            .saturating_add(threshold.max(INACTIVE_MIN_NS))
    }

    /// Acts on deadlines that have passed.
    pub(super) fn tick(&mut self, shared: &mut Shared, context: &mut Context<'_>) {
        let now = context.bus.now();
        if self.state.pending.earliest() <= now.mono_ns {
            self.state.pending.expire(now.mono_ns);
            self.give_up_single(shared);
            // Deadlines of messages that left meanwhile are dropped, too.
            self.state.pending.next_due();
        }
        if self.paused_until.is_some_and(|until| until <= now.unix_ns) {
            let until = self.paused_until.take().unwrap_or_default();
            shared.events.push(Event {
                consumer: self.name.clone(),
                kind: EventKind::Paused {
                    paused: false,
                    pause_until: until,
                },
            });
        }
        if self.unpin_at() <= now.mono_ns {
            self.unpin(shared, context, "timeout");
        }
        self.tick_requests(shared, context);
        self.tick_heartbeat(shared, context);
        self.tick_inactive(shared, context);
    }

    fn tick_heartbeat(&mut self, shared: &mut Shared, context: &mut Context<'_>) {
        let now = context.bus.now().mono_ns;
        let Target::Push(push) = &mut self.target else {
            return;
        };
        let beat = match u64::try_from(self.config.idle_heartbeat) {
            Ok(beat) if beat > 0 => beat,
            _ => return,
        };
        if !push.active || push.last_sent.saturating_add(beat) > now {
            return;
        }
        push.last_sent = now;
        let stalled = push.flow.as_ref().map_or(&b""[..], |flow| flow.stalled());
        super::status::heartbeat(
            &mut shared.header,
            self.state.delivered.consumer,
            self.state.delivered.stream,
            stalled,
        );
        Self::send_header(shared, context.bus, self.config.deliver_subject.as_bytes());
    }

    fn tick_inactive(&mut self, shared: &mut Shared, context: &mut Context<'_>) {
        let now = context.bus.now().mono_ns;
        if self.inactive_at() > now {
            return;
        }
        // Requests that wait are use, as long as their clients are there.
        if self.count_waiting(shared, context.bus) > 0 {
            self.idle_since = now;
            return;
        }
        // It is deleted in this turn; if that fails, say so again later.
        self.idle_since = self.idle_since.saturating_add(RECHECK_NS);
        shared.events.push(Event {
            consumer: self.name.clone(),
            kind: EventKind::Inactive,
        });
    }
}
