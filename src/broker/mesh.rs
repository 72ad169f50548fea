//! What cores say to each other.
//!
//! Everything one core tells another travels in one order: interest, messages,
//! and the acknowledgement of interest. That order is what the promises rest
//! on: a message routed after interest was applied sees it, and a message sent
//! before another arrives before it.

use bytes::Bytes;

use super::connection::{Connection, Gate, Phase, pause};
use super::core::{CORES_MAX, Core, CoreId};
use super::wire::{self, Outbox, Record};
use crate::subject::PatternId;

/// Bytes that may wait for another core before the connections that feed it
/// are no longer read. Each read may exceed it by what one buffer holds.
pub const OUTBOX_PAUSE_BYTES: usize = 1024 * 1024;
/// The least that it is with a small `max_pending`, of which it is an eighth: what
/// waits between cores reaches the readers in any case.
pub const OUTBOX_PAUSE_BYTES_MIN: usize = 64 * 1024;
/// The part of it below which they are read again.
const OUTBOX_RESUME_PART: usize = 4;

impl Core {
    /// Bytes that may wait for another core, see [`OUTBOX_PAUSE_BYTES`].
    #[inline]
    pub fn outbox_pause_bytes(&self) -> usize {
        (self.settings.max_pending / 8).clamp(OUTBOX_PAUSE_BYTES_MIN, OUTBOX_PAUSE_BYTES)
    }

    /// What waits for core `to`.
    pub fn outbox(&mut self, to: CoreId) -> &mut Outbox {
        &mut self.peers[to.index()].outbox
    }

    /// Tells the others of a change of this core's interest.
    pub(super) fn announce(
        &mut self,
        slot: Option<u32>,
        account: u16,
        pattern: &[u8],
        queue: &[u8],
        weight: u32,
    ) {
        if self.peers.len() == 1 {
            return;
        }
        self.interest_sequence += 1;
        let sequence = self.interest_sequence;
        let me = self.id.index();
        for (core, peer) in self.peers.iter_mut().enumerate() {
            if core != me {
                wire::put_interest(
                    peer.outbox.stream(),
                    sequence,
                    account,
                    weight,
                    pattern,
                    queue,
                );
            }
        }
        let Some(slot) = slot else { return };
        if let Some(conn) = self.conn_mut(slot) {
            conn.interest_sequence = sequence;
        }
        // Who subscribes faster than other cores can follow waits as publishers do.
        let all = u64::MAX >> (CORES_MAX - self.peers.len());
        self.pause_if_outbox_full(slot, all);
    }

    /// A connection subscribed to what this core has announced already, perhaps
    /// a moment ago: its flush waits for the newest announcement, which is not
    /// older than that one.
    pub(super) fn rely_on_announced(&mut self, slot: u32) {
        let sequence = self.interest_sequence;
        if let Some(conn) = self.conn_mut(slot) {
            conn.interest_sequence = sequence;
        }
    }

    /// The newest change of this core's interest that is in force on every core.
    pub(super) fn applied_everywhere(&self) -> u64 {
        let me = self.id.index();
        self.peers
            .iter()
            .enumerate()
            .filter(|(core, _)| *core != me)
            .map(|(_, peer)| peer.applied_ours)
            .min()
            .unwrap_or(u64::MAX)
    }

    /// Holds replies until the connection's interest is in force everywhere.
    pub(super) fn hold(&mut self, slot: u32, lines: &[u8]) {
        let Some(conn) = self.conn_mut(slot) else {
            return;
        };
        let sequence = conn.interest_sequence;
        let new = conn.gate.is_none();
        let gate: &mut Gate = conn.gate.get_or_insert_default();
        gate.held.extend_from_slice(lines);
        match gate.steps.back_mut() {
            Some(last) if last.0 == sequence => last.1 = gate.held.len(),
            _ => gate.steps.push_back((sequence, gate.held.len())),
        }
        let waiting = conn.waiting();
        if new {
            self.gated.push(slot);
        }
        if waiting > self.settings.max_pending {
            self.note_overflow(slot);
        }
    }

    /// Lets go what the interest applied up to `applied` allows.
    pub(super) fn release_gate(&mut self, slot: u32, applied: u64) {
        let Some(conn) = self.conns[slot as usize].as_deref_mut() else {
            return;
        };
        let Some(mut gate) = conn.gate.take() else {
            return;
        };
        let mut ready = 0;
        while let Some(&(sequence, end)) = gate.steps.front() {
            if sequence > applied {
                break;
            }
            ready = end;
            gate.steps.pop_front();
        }
        conn.out.push(&mut self.pool, &gate.held[..ready]);
        if !gate.steps.is_empty() {
            gate.held.drain(..ready);
            for step in &mut gate.steps {
                step.1 -= ready;
            }
            conn.gate = Some(gate);
        }
        if ready > 0 {
            self.mark_dirty(slot);
        }
    }

    fn release_gates(&mut self) {
        let applied = self.applied_everywhere();
        let gated = std::mem::take(&mut self.gated);
        for slot in gated {
            self.release_gate(slot, applied);
            if self.conn(slot).is_some_and(|c| c.gate.is_some()) {
                self.gated.push(slot);
            } else {
                self.resume(slot, pause::BARRIER);
            }
        }
    }

    /// The interest in a pattern changed: routes that were resolved before are void.
    pub(super) fn interest_changed(&mut self, account: u16, pattern: PatternId) {
        let entry = &mut self.accounts[usize::from(account)];
        self.internal.watches.note(account, entry.subject(pattern));
        if entry.is_wildcard(pattern) {
            entry.generation += 1;
        } else {
            self.routes.forget(account, entry.subject(pattern));
        }
    }

    /// A body from another core; its record follows in the stream.
    pub fn receive_parcel(&mut self, from: CoreId, body: Bytes) {
        self.peers[from.index()].parcels.push_back(body);
    }

    /// Records from another core. Returns how many bytes were used; the caller
    /// presents the rest again, with more behind it.
    pub fn receive_records(&mut self, from: CoreId, stream: &[u8]) -> usize {
        let mut used = 0;
        while let Some(len) = wire::record_len(&stream[used..]) {
            let Some(bytes) = stream.get(used..used + len) else {
                break;
            };
            let Some(record) = wire::decode(bytes) else {
                debug_assert!(false, "a record that does not decode");
                used += len.max(1);
                continue;
            };
            if wire::wants_parcel(&record) && self.peers[from.index()].parcels.is_empty() {
                break;
            }
            used += len;
            self.apply(from, &record);
        }
        if used > 0 {
            self.settle_deferred();
        }
        used
    }

    fn apply(&mut self, from: CoreId, record: &Record<'_>) {
        match *record {
            Record::Message(ref message) => match message.tail {
                Some(tail) => self.receive_message(from, message, tail),
                None => {
                    if let Some(body) = self.peers[from.index()].parcels.pop_front() {
                        self.receive_message(from, message, &body);
                    }
                }
            },
            Record::Run(ref run) => self.receive_run(from, run),
            Record::Interest {
                sequence,
                account,
                weight,
                pattern,
                queue,
            } => {
                self.apply_interest(from, account, weight, pattern, queue);
                self.peers[from.index()].applied_theirs = sequence;
            }
            Record::Applied { sequence } => {
                self.peers[from.index()].applied_ours = sequence;
                self.release_gates();
            }
            Record::Slow { origin } => self.note_slow_core(from, origin),
            Record::Service(record) => self.internal.inbox.push_record(from, record),
            Record::Recovered => self.note_recovered_core(from),
        }
    }

    fn apply_interest(
        &mut self,
        from: CoreId,
        account: u16,
        weight: u32,
        pattern: &[u8],
        queue: &[u8],
    ) {
        self.ensure_account(account);
        let entry = &mut self.accounts[usize::from(account)];
        // A full index is reported by the core whose client subscribes; here
        // the same number of patterns exists, so it cannot fail alone.
        let applied = entry.set_remote(&mut self.queues, from, pattern, queue, weight);
        debug_assert!(applied.is_ok());
        self.internal.watches.note(account, pattern);
        if crate::subject::is_literal(pattern) {
            self.routes.forget(account, pattern);
        } else {
            self.accounts[usize::from(account)].generation += 1;
        }
    }

    /// Tells a core that all readers here of one of its publishers are slow;
    /// once a turn for each publisher.
    pub(super) fn report_slow(&mut self, to: CoreId, origin: u64) {
        let peer = &mut self.peers[to.index()];
        if !peer.slow_origins.contains(&origin) {
            peer.slow_origins.push(origin);
        }
    }

    /// Tells the cores that were told of slow readers that one recovered.
    pub(super) fn report_recovered(&mut self) {
        for peer in &mut self.peers {
            peer.recovered |= peer.told_slow;
        }
    }

    /// At the end of a turn: acknowledges interest and reports slow readers and
    /// recovered ones. In that order: who is slow after a recovery in the same turn
    /// reports it with the next message.
    pub(super) fn settle_mesh(&mut self) {
        let me = self.id.index();
        for (core, peer) in self.peers.iter_mut().enumerate() {
            if core == me {
                continue;
            }
            if peer.told != peer.applied_theirs {
                peer.told = peer.applied_theirs;
                wire::put_applied(peer.outbox.stream(), peer.told);
            }
            for origin in peer.slow_origins.drain(..) {
                wire::put_slow(peer.outbox.stream(), origin);
                peer.told_slow = true;
            }
            if std::mem::take(&mut peer.recovered) {
                wire::put_recovered(peer.outbox.stream());
                peer.told_slow = false;
            }
        }
    }

    /// Whether a core that this connection feeds does not keep up.
    pub(super) fn pause_if_outbox_full(&mut self, slot: u32, cores: u64) {
        let pause_bytes = self.outbox_pause_bytes();
        let mut left = cores;
        while left != 0 {
            let core = left.trailing_zeros() as usize;
            left &= left - 1;
            if self.peers[core].outbox.pending() > pause_bytes {
                let waits =
                    |c: &Connection| c.paused & pause::OUTBOX != 0 || c.phase == Phase::Closing;
                if !self.conn(slot).is_none_or(waits) {
                    self.pause(slot, pause::OUTBOX);
                    self.outbox_paused.push(slot);
                }
                return;
            }
        }
    }

    /// The runtime moved bytes into rings: publishers may go on if there is room.
    /// Returns whether some did: what came of it waits for another turn.
    #[must_use]
    pub fn outboxes_drained(&mut self) -> bool {
        let resume_bytes = self.outbox_pause_bytes() / OUTBOX_RESUME_PART;
        if self.outbox_paused.is_empty()
            || self
                .peers
                .iter()
                .any(|peer| peer.outbox.pending() > resume_bytes)
        {
            return false;
        }
        for slot in std::mem::take(&mut self.outbox_paused) {
            self.resume(slot, pause::OUTBOX);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bench, settings};
    use super::*;

    #[test]
    fn who_subscribes_faster_than_other_cores_follow_is_not_read() {
        let mut bench = Bench::new(2, settings());
        let slot = bench.client();
        let mut sid = 0;
        while bench.core.conn(slot).is_some_and(|c| c.paused == 0) {
            sid += 1;
            bench.receive(
                slot,
                format!("SUB a.long.subject.{sid} {sid}\r\n").as_bytes(),
            );
            assert!(bench.core.outbox(CoreId(1)).pending() < 2 * OUTBOX_PAUSE_BYTES);
        }
        assert_eq!(bench.core.outbox_paused, [slot]);

        let outbox = bench.core.outbox(CoreId(1));
        let waiting = outbox.unsent().len();
        outbox.advance(waiting);
        assert!(bench.core.outboxes_drained());
        assert!(bench.core.conn(slot).is_some_and(|c| c.paused == 0));
    }
}
