//! Push consumers: interest, flow control, heartbeats and rate.

use super::state::Sequences;
use super::text::push_u64;

/// Bytes that may be on their way at most.
pub const WINDOW_MAX: u64 = 32 * 1024 * 1024;
/// Bytes with which the window starts.
pub const WINDOW_START: u64 = WINDOW_MAX / 16;

/// What a push consumer knows of its receiver.
#[derive(Debug, Default)]
pub struct Push {
    /// Somebody listens on the deliver subject.
    pub active: bool,
    /// When the last message was sent, in nanoseconds of the monotonic clock.
    pub last_sent: u64,
    pub flow: Option<Flow>,
    pub rate: Option<Rate>,
}

/// The window of flow control.
#[derive(Debug)]
pub struct Flow {
    /// Bytes that may be on their way.
    window: u64,
    /// Bytes sent and not confirmed.
    outstanding: u64,
    /// Bytes that the request under way confirms.
    asked: u64,
    /// `$JS.FC.<stream>.<consumer>.`, and the request's own token behind it.
    subject: Vec<u8>,
    prefix: usize,
    waits: bool,
    /// The last delivery that the request under way covers.
    covers: Sequences,
}

impl Flow {
    pub fn new(stream: &str, consumer: &str) -> Self {
        let subject = format!("$JS.FC.{stream}.{consumer}.").into_bytes();
        Self {
            window: WINDOW_START,
            outstanding: 0,
            asked: 0,
            prefix: subject.len(),
            subject,
            waits: false,
            covers: Sequences::default(),
        }
    }

    /// Whether nothing more may be sent before an answer.
    pub fn is_full(&self) -> bool {
        self.outstanding > self.window
    }

    /// Counts a message; tells whether it is time to ask for a confirmation.
    pub fn sent(&mut self, bytes: u64) -> bool {
        self.outstanding += bytes;
        if !self.waits {
            return self.outstanding > self.window / 2;
        }
        if self.outstanding - self.asked >= self.window {
            self.asked += bytes;
        }
        false
    }

    /// The subject of a new request, which covers everything up to the delivery `last`.
    pub fn ask(&mut self, random: u64, last: Sequences) -> &[u8] {
        self.subject.truncate(self.prefix);
        push_u64(&mut self.subject, random >> 1);
        self.waits = true;
        self.asked = self.outstanding;
        self.covers = last;
        &self.subject
    }

    /// The subject of the request that waits for its answer; empty: none.
    pub fn stalled(&self) -> &[u8] {
        if self.waits { &self.subject } else { b"" }
    }

    /// Takes an answer; tells up to which delivery it confirms.
    pub fn answered(&mut self, subject: &[u8]) -> Option<Sequences> {
        if !self.waits || subject != self.subject {
            return None;
        }
        self.waits = false;
        self.outstanding = self.outstanding.saturating_sub(self.asked);
        self.asked = 0;
        self.window = (self.window * 2).min(WINDOW_MAX);
        Some(self.covers)
    }

    /// The receiver left: nothing is on its way any more.
    pub fn reset(&mut self) {
        self.outstanding = 0;
        self.asked = 0;
        self.waits = false;
        self.window = WINDOW_START;
    }
}

/// A limit on bits per second, with room for one burst.
#[derive(Debug)]
pub struct Rate {
    bits_per_second: u64,
    /// Nanoseconds that a burst takes at this rate.
    burst_ns: u64,
    /// When all that was sent is paid for.
    paid_at: u64,
}

impl Rate {
    /// `burst` in bytes.
    pub fn new(bits_per_second: u64, burst: u64) -> Self {
        let mut rate = Self {
            bits_per_second: bits_per_second.max(1),
            burst_ns: 0,
            paid_at: 0,
        };
        rate.burst_ns = rate.cost(burst);
        rate
    }

    fn cost(&self, bytes: u64) -> u64 {
        let ns = u128::from(bytes) * 8 * 1_000_000_000 / u128::from(self.bits_per_second);
        u64::try_from(ns).unwrap_or(u64::MAX)
    }

    /// When the next message may be sent, in nanoseconds of the monotonic clock.
    pub fn ready_at(&self) -> u64 {
        self.paid_at.saturating_sub(self.burst_ns)
    }

    /// Pays for a message.
    pub fn sent(&mut self, bytes: u64, now: u64) {
        self.paid_at = self.paid_at.max(now).saturating_add(self.cost(bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_grows_with_each_answer() {
        let mut flow = Flow::new("S", "C");
        assert!(!flow.sent(WINDOW_START / 2));
        assert!(flow.sent(1));
        let last = Sequences {
            consumer: 3,
            stream: 17,
        };
        let subject = flow.ask(8, last).to_vec();
        assert_eq!(subject, b"$JS.FC.S.C.4");
        assert_eq!(flow.stalled(), subject);
        assert!(!flow.sent(WINDOW_START / 2));
        assert!(flow.is_full());
        assert_eq!(flow.answered(b"$JS.FC.S.C.5"), None);
        assert_eq!(flow.answered(&subject), Some(last));
        assert_eq!(flow.answered(&subject), None);
        assert!(!flow.is_full());
        assert_eq!(flow.outstanding, WINDOW_START / 2);
        assert_eq!(flow.window, 2 * WINDOW_START);
        for _ in 0..10 {
            let subject = flow.ask(2, last).to_vec();
            flow.answered(&subject);
        }
        assert_eq!(flow.window, WINDOW_MAX);
    }

    #[test]
    fn a_rate_lets_one_burst_pass() {
        // 1000 bytes a second, 500 at once.
        let mut rate = Rate::new(8_000, 500);
        assert_eq!(rate.ready_at(), 0);
        let now = 10_000_000_000;
        rate.sent(400, now);
        assert!(rate.ready_at() <= now);
        rate.sent(400, now);
        assert_eq!(rate.ready_at(), now + 300_000_000);
    }
}
