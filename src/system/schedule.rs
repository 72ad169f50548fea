//! When the server speaks by itself: its figures, and each account's connections.

use std::time::Duration;

/// The first figures after the start.
const STATSZ_FIRST: Duration = Duration::from_millis(250);
/// The second; then the time doubles.
const STATSZ_SECOND: Duration = Duration::from_secs(1);
/// The longest time between figures.
const STATSZ_INTERVAL: Duration = Duration::from_secs(10);
/// Between the events of accounts whose connections do not change.
const ACCOUNTS_INTERVAL: Duration = Duration::from_secs(30);

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    Statsz,
    Accounts,
}

/// Times of the next messages, in nanoseconds of the monotonic clock.
#[derive(Debug)]
pub struct Schedule {
    statsz_at: u64,
    statsz_interval: u64,
    accounts_at: u64,
}

fn nanos(time: Duration) -> u64 {
    time.as_nanos() as u64
}

impl Schedule {
    /// Of a server that starts at `now`.
    pub fn new(now: u64) -> Self {
        Self {
            statsz_at: now + nanos(STATSZ_FIRST),
            statsz_interval: nanos(STATSZ_SECOND),
            accounts_at: now + nanos(ACCOUNTS_INTERVAL),
        }
    }

    /// When something is due next.
    pub fn next(&self) -> u64 {
        self.statsz_at.min(self.accounts_at)
    }

    /// What is due, if anything is.
    pub fn take(&mut self, now: u64) -> Option<Due> {
        if self.statsz_at <= now {
            self.statsz_at = now + self.statsz_interval;
            self.statsz_interval = (self.statsz_interval * 2).min(nanos(STATSZ_INTERVAL));
            return Some(Due::Statsz);
        }
        if self.accounts_at <= now {
            self.accounts_at = now + nanos(ACCOUNTS_INTERVAL);
            return Some(Due::Accounts);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_come_often_at_first() {
        let mut schedule = Schedule::new(0);
        let mut times = Vec::new();
        while times.len() < 8 {
            let at = schedule.next();
            if schedule.take(at) == Some(Due::Statsz) {
                times.push(at / 1_000_000);
            }
        }
        assert_eq!(times, [250, 1250, 3250, 7250, 15250, 25250, 35250, 45250]);
    }
}
