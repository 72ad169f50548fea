//! Handing one copy of a message to one subscription.

use std::time::Duration;

use super::connection::{Connection, Phase};
use super::core::{Core, Deferred};
use super::effect::LogLevel;
use super::internal::INTERNAL;
use super::output::ChunkPool;
use super::publish::{Message, Outcome};
use super::subscriptions::{SubId, Subscriptions};
use crate::protocol::render;

/// Appends the message for one subscription. Returns the bytes of its body.
#[inline]
fn render_for(
    conn: &mut Connection,
    pool: &mut ChunkPool,
    subs: &Subscriptions,
    id: SubId,
    message: &mut Message<'_>,
) -> usize {
    let sid = subs.sid(id);
    let subject = message.shown();
    match message.header_len {
        Some(header_len) if !conn.headers => {
            let payload = &message.body[header_len..];
            let reply = message.reply;
            let headless = &mut message.headless;
            if headless.is_empty() {
                render::plain_tail(headless, reply, payload);
            }
            conn.out
                .append(pool, [b"MSG ", subject, b" ", sid, headless]);
            payload.len()
        }
        header_len => {
            let verb: &[u8] = if header_len.is_some() {
                b"HMSG "
            } else {
                b"MSG "
            };
            match &message.shared {
                Some(shared) => {
                    conn.out.append(pool, [verb, subject, b" ", sid]);
                    conn.out.push_shared(pool, shared.clone());
                }
                None => conn
                    .out
                    .append(pool, [verb, subject, b" ", sid, message.tail]),
            }
            message.body.len()
        }
    }
}

impl Core {
    /// Hands a copy to one subscription. Returns false if it cannot have it.
    #[inline]
    pub(super) fn deliver(
        &mut self,
        id: SubId,
        message: &mut Message<'_>,
        outcome: &mut Outcome,
    ) -> bool {
        let sub = self.subs.get(id);
        let slot = sub.conn;
        if slot == INTERNAL {
            self.deliver_internal(id, message, outcome);
            return true;
        }
        if message.excluded == Some(slot) {
            return false;
        }
        let special = sub.has_limit || sub.filtered;
        let Some(conn) = self.conns[slot as usize].as_deref() else {
            return false;
        };
        if conn.phase == Phase::Closing {
            return false;
        }
        let pending = conn.out.pending();
        let max_pending = self.settings.max_pending;
        if pending > max_pending {
            self.refuse_overflowed(slot, outcome);
            return false;
        }
        if special && !self.admit_delivery(id, slot, message) {
            return false;
        }
        let threshold = if message.remote {
            self.remote_stall_threshold()
        } else {
            self.stall_threshold()
        };
        if pending > threshold {
            outcome.slow = true;
            self.note_slow(slot, message.remote);
            if self.settings.no_fast_producer_stall && pending > self.stall_threshold() {
                self.counters.dropped_for_slow += 1;
                return false;
            }
        } else {
            outcome.healthy_reader = Some(slot);
        }
        let Some(conn) = self.conns[slot as usize].as_deref_mut() else {
            return false;
        };
        self.subs.get_mut(id).delivered += 1;
        let bytes = render_for(conn, &mut self.pool, &self.subs, id, message) as u64;
        conn.delivered.messages += 1;
        conn.delivered.bytes += bytes;
        outcome.delivered += 1;
        outcome.bytes += bytes;
        if !conn.dirty {
            conn.dirty = true;
            self.dirty.push(slot);
        }
        let overflow = conn.out.pending() > max_pending;
        let grants = conn.permissions.is_some();
        if overflow {
            self.note_overflow(slot);
        }
        if grants {
            self.grant_response(slot, message.reply);
        }
        if self.settings.trace {
            self.trace_delivery(slot, id, message);
        }
        true
    }

    /// A reader over its limit gets nothing more until it is cut off at the end
    /// of the event: a ring full of messages would otherwise pile up first.
    #[cold]
    fn refuse_overflowed(&mut self, slot: u32, outcome: &mut Outcome) {
        outcome.slow = true;
        self.note_overflow(slot);
    }

    /// A message with a reply allows its receiver one answer, if configured.
    #[cold]
    fn grant_response(&mut self, slot: u32, reply: &[u8]) {
        let now = Duration::from_nanos(self.now.mono_ns);
        if !reply.is_empty()
            && let Some(permissions) = self
                .conn_mut(slot)
                .and_then(|c| c.permissions.as_deref_mut())
        {
            permissions.delivered(reply, now);
        }
    }

    /// Limits and deny rules of one subscription. Counts the last message.
    #[cold]
    fn admit_delivery(&mut self, id: SubId, slot: u32, message: &Message<'_>) -> bool {
        if let Some(max) = self.subs.limit(id) {
            let delivered = self.subs.get(id).delivered;
            if delivered >= max {
                return false;
            }
        }
        let sub = self.subs.get(id);
        if sub.filtered {
            let queue = self.queues.name(sub.queue);
            let allowed = self
                .conn(slot)
                .and_then(|c| c.permissions.as_deref())
                .is_none_or(|p| {
                    p.can_deliver(message.subject, (!queue.is_empty()).then_some(queue))
                });
            if !allowed {
                return false;
            }
        }
        if let Some(max) = self.subs.limit(id)
            && self.subs.get(id).delivered + 1 >= max
        {
            self.deferred.push(Deferred::Finished(id));
            if self.settings.debug {
                let (max, sid) = (
                    self.subs.get(id).delivered + 1,
                    String::from_utf8_lossy(self.subs.sid(id)),
                );
                let text = format!("Auto-unsubscribe limit of {max} reached for sid '{sid}'");
                self.log_connection(LogLevel::Debug, slot, &text);
            }
        }
        true
    }
}
