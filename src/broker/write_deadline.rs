//! Sends that take too long: cut off, or tried again (`write_timeout: retry`).
//!
//! A send covers up to [`SEND_BYTES_MAX`](super::output::SEND_BYTES_MAX) and the kernel
//! does not say how far it is. So a send that is late is given up, which tells: if
//! nothing of it went, the reader is cut off, as by nats-server; otherwise the rest
//! is sent with a deadline of its own.

use std::time::Duration;

use super::close::CloseReason;
use super::connection::{Phase, WriteState};
use super::core::Core;
use super::effect::{CloseMode, Effect, LogLevel};
use super::output::Batch;
use super::timers::nanos;
use crate::monitor::format::go_duration;

impl Core {
    /// The send under way is late. Returns whether the connection was closed.
    pub(super) fn write_deadline_passed(&mut self, slot: u32) -> bool {
        let retry = self.settings.write_timeout_retry;
        let deadline = go_duration(nanos(self.settings.write_deadline));
        let Some(conn) = self.conn_mut(slot) else {
            return true;
        };
        let pending = conn.out.pending();
        let chunks = conn.out.pieces() + usize::from(conn.out.is_sending());
        let (state, since) = match conn.write {
            WriteState::InTime => ("Detected", conn.send_began),
            WriteState::Cancelling { since } | WriteState::Retrying { since } => ("State", since),
        };
        // No deadline while the kernel gives the send up.
        conn.send_began = 0;
        if conn.write == WriteState::InTime {
            self.counters.slow_consumers += 1;
            self.counters.slow_by_write_deadline += 1;
        }
        let text = format!(
            "Slow Consumer {state}: WriteDeadline of {deadline} exceeded with {chunks} chunks of {pending} total bytes."
        );
        self.log_connection(LogLevel::Info, slot, &text);
        if !retry {
            self.close(slot, CloseReason::SlowConsumerWriteDeadline, CloseMode::Now);
            return true;
        }
        if let Some(conn) = self.conn_mut(slot) {
            conn.write = WriteState::Cancelling { since };
        }
        self.effects.push(Effect::CancelSend { slot });
        false
    }

    /// Whether the send under way is being given up for its deadline.
    pub fn is_giving_up(&self, slot: u32) -> bool {
        self.conn(slot).is_some_and(|conn| {
            conn.phase != Phase::Closing && matches!(conn.write, WriteState::Cancelling { .. })
        })
    }

    /// It was, after `sent` bytes of it.
    pub(super) fn send_given_up(&mut self, slot: u32, batch: Batch, sent: usize) {
        let Some(conn) = self.conns[slot as usize].as_deref_mut() else {
            return;
        };
        conn.out.give_back(&mut self.pool, batch, sent);
        if sent == 0 {
            self.close(slot, CloseReason::SlowConsumerWriteDeadline, CloseMode::Now);
            return;
        }
        if let WriteState::Cancelling { since } = conn.write {
            conn.write = WriteState::Retrying { since };
        }
        self.mark_dirty(slot);
        self.note_recovery(slot);
    }

    /// It was, after some of it, and what is left cannot be made anew (it is encrypted): the runtime
    /// sends that, with a deadline of its own. [`Core::sent`] is for the whole then.
    pub fn send_goes_on(&mut self, slot: u32) {
        let now = self.now.mono_ns;
        if let Some(conn) = self.conn_mut(slot)
            && let WriteState::Cancelling { since } = conn.write
        {
            conn.write = WriteState::Retrying { since };
            conn.send_began = now;
            self.schedule(slot);
        }
    }

    /// A send went out whole. If others before it were late, that is over.
    #[inline]
    pub(super) fn note_sent(&mut self, slot: u32) {
        if self.conns[slot as usize]
            .as_deref()
            .is_some_and(|conn| conn.write != WriteState::InTime)
        {
            self.note_in_time(slot);
        }
    }

    #[cold]
    fn note_in_time(&mut self, slot: u32) {
        let now = self.now.mono_ns;
        let Some(conn) = self.conn_mut(slot) else {
            return;
        };
        let (WriteState::Cancelling { since } | WriteState::Retrying { since }) =
            std::mem::replace(&mut conn.write, WriteState::InTime)
        else {
            return;
        };
        let (chunks, pending) = (conn.out.pieces(), conn.out.pending());
        let took = Duration::from_nanos(now.saturating_sub(since)).as_secs_f64();
        let text = format!(
            "Slow Consumer Recovered: Flush took {took:.3}s with {chunks} chunks of {pending} total bytes."
        );
        self.log_connection(LogLevel::Info, slot, &text);
    }
}

#[cfg(test)]
mod tests {
    use super::super::settings::Settings;
    use super::super::testing::{Bench, SECOND, settings};
    use super::*;

    /// A reader of one message, and the send that is under way to it.
    fn late(bench: &mut Bench) -> (u32, Batch) {
        let slot = bench.client();
        bench.output(slot);
        bench.receive(slot, b"SUB foo 1\r\nPUB foo 5\r\nhello\r\n");
        let batch = bench.core.take_batch(slot).expect("a message");
        bench.advance(10 * SECOND);
        (slot, batch)
    }

    fn asked_to_cancel(bench: &mut Bench) -> bool {
        bench
            .effects
            .drain(..)
            .any(|effect| matches!(effect, Effect::CancelSend { .. }))
    }

    fn retrying() -> Settings {
        Settings {
            write_timeout_retry: true,
            ..settings()
        }
    }

    #[test]
    fn without_retry_a_late_send_is_the_end() {
        let mut bench = Bench::new(1, settings());
        let (slot, _batch) = late(&mut bench);
        assert_eq!(bench.phase(slot), Some(Phase::Closing));
        assert_eq!(bench.core.counters().slow_by_write_deadline, 1);
    }

    #[test]
    fn a_late_send_of_which_something_went_is_tried_again() {
        let mut bench = Bench::new(1, retrying());
        let (slot, batch) = late(&mut bench);
        assert!(asked_to_cancel(&mut bench));
        bench.core.sent(slot, batch, Ok(9));
        assert_eq!(bench.phase(slot), Some(Phase::Open));
        let rest = bench.core.take_batch(slot).expect("the rest");
        assert!(rest.to_vec().starts_with(b" 5\r\nhello\r\n"));

        // Late again, and nothing went.
        bench.advance(10 * SECOND);
        assert!(asked_to_cancel(&mut bench));
        bench.core.sent(slot, rest, Err(125));
        assert_eq!(bench.phase(slot), Some(Phase::Closing));
        assert_eq!(bench.core.counters().slow_consumers, 1);
    }

    #[test]
    fn a_reader_that_recovered_is_slow_anew_the_next_time() {
        let mut bench = Bench::new(1, retrying());
        for times in 1..=2 {
            let (slot, batch) = late(&mut bench);
            let len = batch.len();
            bench.core.sent(slot, batch, Ok(len));
            assert_eq!(bench.phase(slot), Some(Phase::Open));
            assert_eq!(bench.core.counters().slow_consumers, times);
        }
    }
}
