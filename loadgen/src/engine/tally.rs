//! What one load counts on one thread.

use crate::result::{Counts, Latencies};

/// Counters of a load on one thread. All times are monotonic nanoseconds.
#[derive(Debug)]
pub struct Tally {
    /// No message intended at or after this moment is sent.
    pub until: u64,
    /// Latency counts for messages intended at or after this moment.
    measured_from: u64,
    /// Messages sent.
    pub sent: u64,
    /// Messages that arrived, duplicates included.
    pub received: u64,
    /// Payload bytes that arrived.
    pub bytes: u64,
    /// Arrivals to come from all that was sent: messages, replies, PONGs.
    pub awaited: u64,
    /// How many of them came.
    pub arrived: u64,
    pub duplicated: u64,
    pub reordered: u64,
    pub damaged: u64,
    /// Of the current second.
    pub latency: Latencies,
    /// How far sends were behind their schedule.
    pub lag: Latencies,
    /// Nothing more will come, though the time is not over.
    pub exhausted: bool,
}

impl Default for Tally {
    fn default() -> Tally {
        Tally {
            until: u64::MAX,
            measured_from: u64::MAX,
            sent: 0,
            received: 0,
            bytes: 0,
            awaited: 0,
            arrived: 0,
            duplicated: 0,
            reordered: 0,
            damaged: 0,
            latency: Latencies::default(),
            lag: Latencies::default(),
            exhausted: false,
        }
    }
}

impl Tally {
    /// Messages intended from `from` on are measured.
    pub fn measure_from(&mut self, from: u64) {
        self.measured_from = from;
    }

    /// A message arrived.
    #[inline]
    pub fn received(&mut self, payload: &[u8]) {
        self.received += 1;
        self.bytes += payload.len() as u64;
    }

    /// Counts `now - since` as the latency of a message intended at `since`.
    #[inline]
    pub fn latency(&mut self, since: u64, now: u64) {
        if since >= self.measured_from {
            self.latency.record(now.saturating_sub(since));
        }
    }

    /// A message intended at `due` is sent at `now`.
    #[inline]
    pub fn lag(&mut self, due: u64, now: u64) {
        if due >= self.measured_from {
            self.lag.record(now.saturating_sub(due));
        }
    }

    /// The counts, without what was lost.
    pub fn counts(&self) -> Counts {
        Counts {
            sent: self.sent,
            received: self.received,
            lost: 0,
            duplicated: self.duplicated,
            reordered: self.reordered,
            damaged: self.damaged,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_warm_up_has_no_latency() {
        let mut tally = Tally::default();
        tally.latency(10, 20);
        tally.measure_from(100);
        tally.latency(99, 1000);
        tally.latency(100, 350);
        assert_eq!((tally.latency.count(), tally.latency.max()), (1, 250));
        tally.lag(99, 100);
        assert!(tally.lag.is_empty());
    }
}
