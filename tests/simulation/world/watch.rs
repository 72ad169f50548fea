//! What is checked about the server from outside, after every turn: memory,
//! reasons to close a connection, and that no core sleeps on its work.

use ringwire::broker::CoreId;

use super::World;
use crate::check::{Promise, Violation};
use crate::node::Closed;

/// Records that are no client's messages (interest, acknowledgements, messages
/// that are handed on) may exceed an outbox's bound by this much, in bytes.
const OUTBOX_SLACK: usize = 64 * 1024;
/// What -ERR, INFO and PONGs may add to a reader's waiting output, in bytes.
const REPLY_SLACK: usize = 1024;
/// A 503 to a requester is shorter than this, in bytes.
const NO_RESPONDERS_BYTES: usize = 256;

impl World {
    /// Takes note of connections that the server closed.
    pub(super) fn note_closed(&mut self) -> Result<(), Violation> {
        for closed in std::mem::take(&mut self.closed) {
            let id = closed.client;
            self.judge_close(&closed)?;
            let stamp = self.history.stamp();
            self.history.clients[id].closed = Some((stamp, closed.reason));
        }
        Ok(())
    }

    /// Whether the server had a reason to close this connection.
    fn judge_close(&mut self, closed: &Closed) -> Result<(), Violation> {
        let id = closed.client;
        let record = &self.history.clients[id];
        let fail = |text: String| Err(Violation::new(Promise::SlowReader, text));
        match &closed.reason[..] {
            "Client Closed" if record.finished.is_some() => Ok(()),
            "Read Error" | "Write Error" if record.reset.is_some() => Ok(()),
            "Slow Consumer (Pending Bytes)" => {
                self.met.cut_off += 1;
                if self.plan.spares_prompt_readers() && !record.never_reads {
                    return fail(format!("client {id} was cut off though it always read"));
                }
                let owed = self.owed(id);
                if owed <= self.plan.max_pending {
                    return fail(format!("client {id} was cut off; it was owed {owed} bytes"));
                }
                let messages = self.history.messages.iter();
                let largest = messages.map(|m| m.delivered_bytes()).max().unwrap_or(0);
                if closed.pending > self.plan.max_pending + largest + REPLY_SLACK {
                    let text = format!("{} bytes waited for client {id}", closed.pending);
                    return Err(Violation::new(Promise::Memory, text));
                }
                Ok(())
            }
            "Slow Consumer (Write Deadline)" if record.never_reads => {
                self.met.cut_off += 1;
                Ok(())
            }
            reason => fail(format!("client {id} was closed: {reason}")),
        }
    }

    /// Bytes that may wait for a client at most, from all that was published.
    fn owed(&self, id: usize) -> usize {
        let subs = self.history.subs.iter().filter(|sub| sub.client == id);
        let matching = subs.flat_map(|sub| {
            let messages = self.history.messages.iter();
            messages.filter(|message| sub.matches(&message.subject))
        });
        let published: usize = matching.map(|message| message.delivered_bytes()).sum();
        let answers = self
            .history
            .messages
            .iter()
            .filter(|message| message.publisher == id && message.reply.is_some())
            .count()
            * NO_RESPONDERS_BYTES;
        (published + answers + REPLY_SLACK).saturating_sub(self.sockets[id].sent)
    }

    /// What waits for other cores is bounded.
    pub(super) fn check_memory(&mut self, node: usize) -> Result<(), Violation> {
        let one_each = self.nodes[node].connections() * (self.plan.payload_max + 256);
        self.met.digest = self.met.digest.rotate_left(1) ^ self.now;
        let pause_bytes = self.nodes[node].core.outbox_pause_bytes();
        let bound = pause_bytes + one_each + OUTBOX_SLACK;
        for to in (0..self.plan.cores).filter(|&to| to != node) {
            let pending = self.nodes[node].core.outbox(CoreId(to as u8)).pending();
            self.met.full_outboxes += u64::from(pending > pause_bytes);
            self.met.digest ^= pending as u64;
            if pending > bound {
                let text = format!("{pending} bytes wait on core {node} for core {to}");
                return Err(Violation::new(Promise::Memory, text));
            }
        }
        Ok(())
    }

    /// A core that sleeps until the next event has nothing to send.
    pub(super) fn check_sleep(&mut self, node: usize) -> Result<(), Violation> {
        let node = &mut self.nodes[node];
        if node.is_awake(&self.sockets, &self.mesh, self.now) {
            return Ok(());
        }
        match node.forgotten(&self.sockets) {
            Some(text) => Err(Violation::new(Promise::Progress, text)),
            None => Ok(()),
        }
    }
}
