//! Slow consumers and back-pressure.
//!
//! A reader is slow while more than three quarters of `max_pending` wait for
//! it. What happens then depends on whom the publisher feeds:
//!
//! - Among its readers are healthy ones: nothing. They get their messages as
//!   before; the slow one is cut off when it exceeds `max_pending`, or when its
//!   socket takes nothing for `write_deadline`.
//! - All its readers are slow: reading from the publisher stops until one of
//!   them has caught up, for at most [`STALL_NANOS_MAX`] at a time; then
//!   [`STALL_CREDIT_BYTES`] pass before it stops again. A bulk transfer thus runs
//!   at its reader's speed.
//!
//! Cores tell each other when all readers of a publisher are slow and when some
//! recovered. For publishers on other cores a reader is slow earlier, at half of
//! `max_pending` at the latest, since what is under way between two cores reaches
//! it whatever they are told ([`Core::remote_stall_threshold`]).
//!
//! nats-server pauses publishers for up to 10 ms per read of at most 64 KiB
//! whoever else they feed. Ours lets less through per time to slow readers
//! alone, so it cuts off nobody that nats-server would have spared.

use super::close::CloseReason;
use super::connection::{Phase, pause};
use super::core::{Core, CoreId, Deferred};
use super::effect::{CloseMode, LogLevel};
use super::internal::INTERNAL_ORIGIN;
use super::publish::Outcome;
use super::route::RouteRef;
use super::subscriptions::SubId;

/// Longest pause of a publisher whose readers are all slow.
pub const STALL_NANOS_MAX: u64 = 250_000_000;
/// Bytes a publisher may send between two pauses.
pub const STALL_CREDIT_BYTES: usize = 32 * 1024;
/// How long a healthy reader keeps a publisher from being stalled after it
/// received its last message, and a report of slow readers is believed.
pub const READER_MEMORY_NANOS: u64 = 1_000_000_000;

/// What may be under way between two cores beside what waits in the outbox: a full
/// ring, and what one more read of the publisher's socket brings.
const UNDER_WAY_BYTES: usize = 256 * 1024 + 32 * 1024;

impl Core {
    /// Bytes waiting above which a reader is slow.
    #[inline]
    pub(super) fn stall_threshold(&self) -> usize {
        self.settings.max_pending / 4 * 3
    }

    /// Bytes waiting above which a reader is slow for publishers on other cores.
    #[inline]
    pub(super) fn remote_stall_threshold(&self) -> usize {
        let max = self.settings.max_pending;
        let under_way = self.outbox_pause_bytes() + UNDER_WAY_BYTES;
        max.saturating_sub(under_way).clamp(max / 8, max / 2)
    }

    /// After a message: remembers who took it, and stalls its publisher if all were slow.
    #[inline]
    pub(super) fn note_readers(
        &mut self,
        slot: u32,
        route: RouteRef,
        outcome: &Outcome,
        cores: u64,
        bytes: usize,
    ) {
        if cores != 0 {
            self.pause_if_outbox_full(slot, cores);
        }
        let now = self.now.mono_ns;
        let Some(conn) = self.conns[slot as usize].as_deref_mut() else {
            return;
        };
        conn.route_hint = route;
        if let Some(reader) = outcome.healthy_reader {
            conn.stall.healthy_reader = Some(reader);
            conn.stall.healthy_at = now;
        }
        let slow_cores = cores & conn.stall.slow_cores;
        if outcome.slow || slow_cores != 0 {
            self.consider_stall(slot, outcome, cores, bytes);
        }
    }

    #[cold]
    fn consider_stall(&mut self, slot: u32, outcome: &Outcome, cores: u64, bytes: usize) {
        let now = self.now.mono_ns;
        let threshold = self.stall_threshold();
        if outcome.healthy_reader.is_some() || self.settings.no_fast_producer_stall {
            return;
        }
        let Some(conn) = self.conn(slot) else {
            return;
        };
        let stall = &conn.stall;
        let recent = |at: u64| now - at < READER_MEMORY_NANOS;
        if cores & !stall.slow_cores != 0 || (cores != 0 && !recent(stall.slow_cores_at)) {
            return;
        }
        let other_is_healthy = stall.healthy_reader.is_some_and(|reader| {
            recent(stall.healthy_at)
                && self
                    .conn(reader)
                    .is_some_and(|c| !c.slow && c.out.pending() <= threshold)
        });
        if other_is_healthy {
            return;
        }
        let Some(conn) = self.conn_mut(slot) else {
            return;
        };
        if conn.stall.credit > bytes {
            conn.stall.credit -= bytes;
            return;
        }
        conn.stall.count += 1;
        conn.stall.until = now + STALL_NANOS_MAX;
        self.counters.stalls += 1;
        self.pause(slot, pause::STALL);
        self.stalled.push(slot);
        self.schedule(slot);
    }

    /// Another core found only slow readers for a publisher of ours.
    pub(super) fn note_slow_core(&mut self, from: CoreId, origin: u64) {
        if origin & INTERNAL_ORIGIN != 0 {
            self.internal.note_slow(origin, self.now.mono_ns);
            return;
        }
        let now = self.now.mono_ns;
        let Some(&slot) = self.cid_slots.get(&origin) else {
            return;
        };
        if let Some(conn) = self.conn_mut(slot) {
            let stall = &mut conn.stall;
            if now - stall.slow_cores_at > READER_MEMORY_NANOS {
                stall.slow_cores = 0;
            }
            stall.slow_cores |= from.bit();
            stall.slow_cores_at = now;
        }
    }

    /// Slow readers of core `from` recovered: who waits for them goes on, and their
    /// core speaks up when they are slow again.
    pub(super) fn note_recovered_core(&mut self, from: CoreId) {
        self.internal.note_recovered();
        let stalled = std::mem::take(&mut self.stalled);
        for &slot in &stalled {
            if let Some(conn) = self.conn_mut(slot) {
                conn.stall.slow_cores &= !from.bit();
            }
        }
        for slot in stalled {
            self.end_stall(slot);
        }
    }

    /// The reader is above a stall threshold, that for publishers on other cores if
    /// `remote`: its recovery will be noticed.
    #[cold]
    pub(super) fn note_slow(&mut self, slot: u32, remote: bool) {
        if let Some(conn) = self.conn_mut(slot) {
            if remote {
                conn.pressed = true;
            } else {
                conn.slow = true;
            }
        }
    }

    /// After output went: whether a reader that was slow has caught up.
    #[inline]
    pub(super) fn note_recovery(&mut self, slot: u32) {
        let Some(conn) = self.conns[slot as usize].as_deref() else {
            return;
        };
        if conn.slow || conn.pressed {
            self.look_for_recovery(slot);
        }
    }

    #[cold]
    fn look_for_recovery(&mut self, slot: u32) {
        let (threshold, remote) = (self.stall_threshold(), self.remote_stall_threshold());
        let Some(conn) = self.conn_mut(slot) else {
            return;
        };
        let pending = conn.out.pending();
        let recovered = conn.slow && pending <= threshold;
        conn.slow &= !recovered;
        let told = conn.pressed && pending <= remote;
        conn.pressed &= !told;
        if told {
            self.report_recovered();
        }
        if recovered {
            self.resume_stalled();
        }
    }

    /// A reader recovered or is gone: its publishers go on.
    pub(super) fn resume_stalled(&mut self) {
        for slot in std::mem::take(&mut self.stalled) {
            self.end_stall(slot);
        }
    }

    /// The pause of a publisher is over.
    pub(super) fn end_stall(&mut self, slot: u32) {
        if let Some(conn) = self.conn_mut(slot)
            && conn.paused & pause::STALL != 0
        {
            conn.stall.until = 0;
            conn.stall.credit = STALL_CREDIT_BYTES;
            self.resume(slot, pause::STALL);
        }
    }

    /// The connection is to be cut off once no route is in use.
    #[cold]
    pub(super) fn note_overflow(&mut self, slot: u32) {
        let is_noted = |d: &Deferred| matches!(*d, Deferred::Overflow(other) if other == slot);
        if !self.deferred.iter().any(is_noted) {
            self.deferred.push(Deferred::Overflow(slot));
        }
    }

    /// Carries out what had to wait until no route was in use.
    pub(super) fn settle_deferred(&mut self) {
        while let Some(deferred) = self.deferred.pop() {
            match deferred {
                Deferred::Finished(id) => self.finish(id),
                Deferred::Overflow(slot) => self.cut_off(slot),
            }
        }
    }

    /// Ends the subscriptions that had their last message, and nothing else.
    pub(super) fn settle_finished(&mut self) {
        if self.deferred.is_empty() {
            return;
        }
        let mut deferred = std::mem::take(&mut self.deferred);
        deferred.retain(|deferred| match *deferred {
            Deferred::Finished(id) => {
                self.finish(id);
                false
            }
            Deferred::Overflow(_) => true,
        });
        self.deferred = deferred;
    }

    fn finish(&mut self, id: SubId) {
        let sub = self.subs.get(id);
        if !sub.dead && self.subs.limit(id).is_some_and(|max| sub.delivered >= max) {
            let slot = sub.conn;
            self.remove_subscription(slot, id);
        }
    }

    fn cut_off(&mut self, slot: u32) {
        let max_pending = self.settings.max_pending;
        if self
            .conn(slot)
            .is_none_or(|c| c.phase == Phase::Closing || c.waiting() <= max_pending)
        {
            return;
        }
        self.counters.slow_consumers += 1;
        self.log_connection(
            LogLevel::Info,
            slot,
            &format!("Slow Consumer Detected: MaxPending of {max_pending} Exceeded"),
        );
        self.close(slot, CloseReason::SlowConsumerPendingBytes, CloseMode::Now);
    }
}
