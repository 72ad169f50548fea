//! Pings, stale connections, and the deadlines of authentication and writing.
//!
//! Every connection has at most one entry that counts in the heap, at the
//! earliest of its deadlines; when it fires, all of them are looked at. An entry
//! that was overtaken by an earlier one is remembered and used when its time is
//! the earliest again: a connection that is stalled a hundred times a second
//! does not fill the heap with entries for its next PING.

use std::cmp::Reverse;
use std::time::Duration;

use super::close::CloseReason;
use super::connection::Phase;
use super::core::Core;
use super::effect::LogLevel;
use super::opening::Kind;
use crate::protocol::ErrorText;

/// The first PING to a client comes this soon, to learn its round trip time.
pub const FIRST_PING: Duration = Duration::from_secs(2);

/// Nanoseconds; a duration of more than 584 years is as good as that.
pub(super) fn nanos(duration: Duration) -> u64 {
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
            } else if let Some(conn) = self.conn_mut(slot)
                && conn.overtaken_timer_at == at
            {
                conn.overtaken_timer_at = 0;
            }
        }
        self.settle_deferred();
    }

    /// The first PING: within two seconds, plus up to a fifth so that clients
    /// that connected together are not pinged together.
    pub(super) fn first_ping_delay(&mut self, kind: Kind) -> u64 {
        let delay = nanos(FIRST_PING.min(self.settings.ping_interval_of(kind)));
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
        if let Some(opening) = &conn.opening {
            at = at.min(opening.next());
        }
        if conn.auth_by != 0 {
            at = at.min(conn.auth_by);
        }
        if conn.expires_at != 0 {
            at = at.min(conn.expires_at);
        }
        if conn.send_began != 0 {
            at = at.min(conn.send_began.saturating_add(write_deadline));
        }
        if conn.stall.until != 0 {
            at = at.min(conn.stall.until);
        }
        if at >= conn.timer_at {
            return;
        }
        let overtaken = std::mem::replace(&mut conn.timer_at, at);
        if at == conn.overtaken_timer_at {
            // Its entry is still there.
            conn.overtaken_timer_at = 0;
            return;
        }
        if overtaken != u64::MAX {
            conn.overtaken_timer_at = overtaken;
        }
        let cid = conn.cid;
        self.timers.push(Reverse((at, slot, cid)));
    }

    fn check_deadlines(&mut self, slot: u32) {
        let now = self.now.mono_ns;
        let write_deadline = nanos(self.settings.write_deadline);
        let Some(conn) = self.conn(slot) else {
            return;
        };
        let passed = |at: u64| at != 0 && at <= now;
        let (auth_by, until, ping_at) = (conn.auth_by, conn.stall.until, conn.ping_at);
        let expires_at = conn.expires_at;
        let stuck = conn.send_began != 0 && conn.send_began.saturating_add(write_deadline) <= now;
        if self.check_opening(slot) {
            return;
        }
        if passed(auth_by) {
            self.log_connection(LogLevel::Error, slot, "Authentication Timeout");
            self.close_with_error(
                slot,
                ErrorText::AuthenticationTimeout,
                CloseReason::AuthenticationTimeout,
            );
            return;
        }
        if passed(expires_at) {
            self.expire_credentials(slot);
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

    fn ping(&mut self, slot: u32) {
        let now = self.now.mono_ns;
        let Some(kind) = self.conn(slot).map(|conn| conn.kind) else {
            return;
        };
        let interval = nanos(self.settings.ping_interval_of(kind));
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
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::auth::{AuthConfig, AuthRules, UserRule};
    use super::super::connection::pause;
    use super::super::settings::Settings;
    use super::super::testing::{Bench, SECOND, settings};
    use super::*;

    /// A form that bcrypt accepts; nobody knows a password for it.
    const HASH: &str = "$2a$11$abcdefghijklmnopqrstuuabcdefghijklmnopqrstuvwxyzABCDC";

    fn with_hashed_user() -> Settings {
        let rules = AuthRules {
            users: vec![UserRule {
                name: "a".to_owned(),
                password: HASH.to_owned(),
                ..UserRule::default()
            }],
            ..AuthRules::default()
        };
        Settings {
            auth: Arc::new(AuthConfig::new(&rules).expect("valid rules")),
            ..settings()
        }
    }

    #[test]
    fn a_password_that_takes_too_long_to_check_is_an_authentication_timeout() {
        let mut bench = Bench::new(1, with_hashed_user());
        let slot = bench.accept();
        bench.receive(slot, b"CONNECT {\"user\":\"a\",\"pass\":\"x\"}\r\n");
        assert_eq!(bench.phase(slot), Some(Phase::Verifying));
        bench.advance(3 * SECOND);
        assert_eq!(bench.phase(slot), Some(Phase::Closing));
        assert!(
            bench
                .output(slot)
                .ends_with("-ERR 'Authentication Timeout'\r\n")
        );
        assert!(bench.core.next_deadline().is_none_or(|at| at > 3 * SECOND));
    }

    #[test]
    fn a_connection_that_is_stalled_often_keeps_few_timers() {
        let mut bench = Bench::new(1, settings());
        let slot = bench.client();
        for n in 1..=1000 {
            let until = SECOND + n * SECOND / 100;
            bench.core.pause(slot, pause::STALL);
            if let Some(conn) = bench.core.conn_mut(slot) {
                conn.stall.until = until;
            }
            bench.core.schedule(slot);
            bench.advance(SECOND / 100);
            assert!(bench.core.conn(slot).is_some_and(|c| c.paused == 0));
        }
        assert!(bench.core.timers.len() <= 3);
    }
}
