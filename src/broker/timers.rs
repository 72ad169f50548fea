//! Pings, stale connections, and the deadlines of authentication and writing.
//!
//! Every connection has at most one entry that counts in the heap, at the
//! earliest of its deadlines; when it fires, all of them are looked at. Entries
//! that were overtaken by an earlier one fire for nothing, once.

use std::cmp::Reverse;
use std::time::Duration;

use super::close::CloseReason;
use super::connection::Phase;
use super::core::Core;
use super::effect::{CloseMode, LogLevel};
use crate::protocol::ErrorText;

/// The first PING to a client comes this soon, to learn its round trip time.
pub const FIRST_PING: Duration = Duration::from_secs(2);

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Core {
    /// When [`Core::tick`] has something to do, in nanoseconds of the monotonic clock.
    pub fn next_deadline(&self) -> Option<u64> {
        self.timers.peek().map(|Reverse((at, _, _))| *at)
    }

    /// Acts on deadlines that have passed.
    pub fn tick(&mut self) {
        while let Some(&Reverse((at, slot, cid))) = self.timers.peek() {
            if at > self.now.mono_ns {
                break;
            }
            self.timers.pop();
            let due = self
                .conn(slot)
                .is_some_and(|c| c.cid == cid && c.timer_at == at && c.phase != Phase::Closing);
            if due {
                if let Some(conn) = self.conn_mut(slot) {
                    conn.timer_at = u64::MAX;
                }
                self.check_deadlines(slot);
            }
        }
        self.settle_deferred();
    }

    /// The first PING: within two seconds, plus up to a fifth so that clients
    /// that connected together are not pinged together.
    pub(super) fn first_ping_delay(&mut self) -> u64 {
        let delay = nanos(FIRST_PING.min(self.settings.ping_interval));
        delay + self.rng.below(delay / 5 + 1)
    }

    /// The connection's earliest deadline.
    pub(super) fn next_timer(&self, slot: u32) -> u64 {
        self.conn(slot).map_or(u64::MAX, |c| c.timer_at)
    }

    /// Puts the connection's earliest deadline into the heap, if it is earlier
    /// than the one that is there.
    pub(super) fn schedule(&mut self, slot: u32) {
        let write_deadline = nanos(self.settings.write_deadline);
        let Some(conn) = self.conn_mut(slot) else {
            return;
        };
        if conn.phase == Phase::Closing {
            return;
        }
        let mut at = conn.ping_at;
        if conn.auth_by != 0 {
            at = at.min(conn.auth_by);
        }
        if conn.send_began != 0 {
            at = at.min(conn.send_began.saturating_add(write_deadline));
        }
        if conn.stall.until != 0 {
            at = at.min(conn.stall.until);
        }
        if at < conn.timer_at {
            conn.timer_at = at;
            let cid = conn.cid;
            self.timers.push(Reverse((at, slot, cid)));
        }
    }

    fn check_deadlines(&mut self, slot: u32) {
        let now = self.now.mono_ns;
        let write_deadline = nanos(self.settings.write_deadline);
        let Some(conn) = self.conn(slot) else {
            return;
        };
        let passed = |at: u64| at != 0 && at <= now;
        let (auth_by, until, ping_at) = (conn.auth_by, conn.stall.until, conn.ping_at);
        let stuck = conn.send_began != 0 && conn.send_began.saturating_add(write_deadline) <= now;
        if passed(auth_by) && conn.phase != Phase::Verifying {
            self.log_connection(LogLevel::Error, slot, "Authentication Timeout");
            self.close_with_error(
                slot,
                ErrorText::AuthenticationTimeout,
                CloseReason::AuthenticationTimeout,
            );
            return;
        }
        if stuck && self.write_deadline_passed(slot) {
            return;
        }
        if passed(until) {
            self.stalled.retain(|&other| other != slot);
            self.end_stall(slot);
        }
        if passed(ping_at) {
            self.ping(slot);
        }
        self.schedule(slot);
    }

    /// Returns whether the connection was closed.
    fn write_deadline_passed(&mut self, slot: u32) -> bool {
        let now = self.now.mono_ns;
        if self.settings.write_timeout_retry {
            if let Some(conn) = self.conn_mut(slot) {
                conn.send_began = now;
            }
            return false;
        }
        self.counters.slow_consumers += 1;
        self.counters.slow_by_write_deadline += 1;
        let pending = self.conn(slot).map_or(0, |c| c.out.pending());
        let deadline = self.settings.write_deadline;
        self.log_connection(
            LogLevel::Info,
            slot,
            &format!("Slow Consumer Detected: WriteDeadline of {deadline:?} exceeded with {pending} total bytes waiting."),
        );
        self.close(slot, CloseReason::SlowConsumerWriteDeadline, CloseMode::Now);
        true
    }

    fn ping(&mut self, slot: u32) {
        let now = self.now.mono_ns;
        let interval = nanos(self.settings.ping_interval);
        let ping_max = self.settings.ping_max;
        let Some(conn) = self.conn_mut(slot) else {
            return;
        };
        conn.ping_at = now + interval;
        conn.parser.trim();
        if conn.phase != Phase::Open || (!conn.connected && conn.rtt_ns == 0 && conn.auth_by != 0) {
            return;
        }
        let heard = now - conn.last_received < interval && conn.rtt_ns != 0;
        if heard {
            return;
        }
        self.log_connection(LogLevel::Debug, slot, "Client Ping Timer");
        let Some(conn) = self.conn_mut(slot) else {
            return;
        };
        if conn.pings_out + 1 > ping_max {
            self.counters.stale_connections += 1;
            self.log_connection(LogLevel::Debug, slot, "Stale Client Connection - Closing");
            self.close_with_error(
                slot,
                ErrorText::StaleConnection,
                CloseReason::StaleConnection,
            );
            return;
        }
        conn.pings_out += 1;
        conn.ping_sent = now;
        if self.settings.trace {
            self.trace_out(slot, b"PING\r\n");
        }
        // Not a reply: it need not wait behind a PONG.
        if let Some(conn) = self.conns[slot as usize].as_deref_mut() {
            conn.out.push(&mut self.pool, b"PING\r\n");
            self.mark_dirty(slot);
        }
    }

    /// Ends a connection on request of the operator.
    pub fn kick(&mut self, slot: u32) {
        self.close(slot, CloseReason::ServerShutdown, CloseMode::Now);
    }
}
