//! When messages are to be sent, independent of what becomes of them.

use std::fmt;
use std::str::FromStr;

/// Most messages a second of one run.
pub const MAX_RATE: u64 = 1_000_000_000;

const SECOND: u64 = 1_000_000_000;

/// How sends are spread over time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Arrivals {
    /// At equal distances.
    #[default]
    Fixed,
    /// Independent of each other: distances have an exponential distribution.
    Poisson,
    /// This many at the same moment, the bursts at equal distances.
    Burst(u64),
}

impl FromStr for Arrivals {
    type Err = String;

    fn from_str(text: &str) -> Result<Arrivals, String> {
        match text.split_once(':') {
            None if text == "fixed" => Ok(Arrivals::Fixed),
            None if text == "poisson" => Ok(Arrivals::Poisson),
            Some(("burst", count)) => match count.parse() {
                Ok(count @ 1..=1_000_000) => Ok(Arrivals::Burst(count)),
                _ => Err("a burst has 1 to 1000000 messages".into()),
            },
            _ => Err("not fixed, poisson or burst:N".into()),
        }
    }
}

impl fmt::Display for Arrivals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Arrivals::Fixed => f.write_str("fixed"),
            Arrivals::Poisson => f.write_str("poisson"),
            Arrivals::Burst(count) => write!(f, "burst:{count}"),
        }
    }
}

/// A rate and how it is spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pattern {
    /// Messages a second of all senders together, 1 to [`MAX_RATE`].
    pub rate: u64,
    pub arrivals: Arrivals,
    /// Poisson arrivals are the same for the same seed.
    pub seed: u64,
}

impl Pattern {
    /// Seconds of sends by which a count over any time may differ from the
    /// rate: the message, or the burst, at either end.
    pub fn grain(&self) -> f64 {
        let at_once = match self.arrivals {
            Arrivals::Burst(count) => count,
            Arrivals::Fixed | Arrivals::Poisson => 1,
        };
        2.0 * at_once as f64 / self.rate.max(1) as f64
    }
}

/// The schedule of those senders that one thread has. Senders take turns:
/// message `n` of the whole run belongs to sender `n` modulo their number.
#[derive(Debug)]
pub struct Schedule {
    pattern: Pattern,
    senders: u64,
    /// The senders of this thread, ascending.
    own: Vec<u64>,
    start: u64,
    /// Rounds of all senders that are over, and the place in `own`.
    round: u64,
    turn: usize,
    due: u64,
    /// Of the Poisson process (ns from `start`).
    elapsed: f64,
    random: u64,
}

impl Schedule {
    /// `own` of `senders` senders. Without any nothing is ever due.
    pub fn new(pattern: Pattern, senders: usize, own: Vec<usize>) -> Schedule {
        let own: Vec<u64> = own.into_iter().map(|sender| sender as u64).collect();
        // Distinct streams for the threads of a run; never 0, which xorshift keeps.
        let lane = own.first().copied().unwrap_or(0) + 1;
        let random = (pattern.seed ^ lane.wrapping_mul(0x9e37_79b9_7f4a_7c15)) | 1;
        Schedule {
            pattern: Pattern {
                rate: pattern.rate.clamp(1, MAX_RATE),
                ..pattern
            },
            senders: senders.max(1) as u64,
            own,
            start: 0,
            round: 0,
            turn: 0,
            due: u64::MAX,
            elapsed: 0.0,
            random,
        }
    }

    /// Message 0 of the run is due at `start` (ns).
    pub fn start(&mut self, start: u64) {
        self.start = start;
        self.find_due();
    }

    /// When the next message is due (ns), `u64::MAX` for never.
    #[inline]
    pub fn due(&self) -> u64 {
        self.due
    }

    /// Index in `own` of the sender of the next message.
    #[inline]
    pub fn sender(&self) -> usize {
        self.turn
    }

    /// The next message was sent.
    #[inline]
    pub fn advance(&mut self) {
        self.turn += 1;
        if self.turn >= self.own.len() {
            self.turn = 0;
            self.round += 1;
        }
        self.find_due();
    }

    fn find_due(&mut self) {
        let Some(sender) = self.own.get(self.turn) else {
            self.due = u64::MAX;
            return;
        };
        let index = self.round * self.senders + sender;
        self.due = match self.pattern.arrivals {
            Arrivals::Fixed => self.at(index),
            Arrivals::Burst(count) => self.at(index - index % count),
            Arrivals::Poisson => {
                let share = self.own.len() as f64 / self.senders as f64;
                let mean = SECOND as f64 / (self.pattern.rate as f64 * share);
                self.elapsed -= self.unit().ln() * mean;
                self.start.saturating_add(self.elapsed as u64)
            }
        };
    }

    /// When message `index` of an even schedule is due. Exact: no drift.
    fn at(&self, index: u64) -> u64 {
        let rate = self.pattern.rate;
        let whole = (index / rate).saturating_mul(SECOND);
        let part = index % rate * SECOND / rate;
        self.start.saturating_add(whole).saturating_add(part)
    }

    /// A number above 0 and at most 1.
    fn unit(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        ((self.random >> 11) + 1) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(rate: u64, arrivals: Arrivals, senders: usize, own: &[usize]) -> Schedule {
        let pattern = Pattern {
            rate,
            arrivals,
            seed: 7,
        };
        let mut schedule = Schedule::new(pattern, senders, own.to_vec());
        schedule.start(1000);
        schedule
    }

    fn take(schedule: &mut Schedule, count: usize) -> Vec<u64> {
        (0..count)
            .map(|_| {
                let due = schedule.due();
                schedule.advance();
                due
            })
            .collect()
    }

    #[test]
    fn a_fixed_rate_does_not_drift() {
        let mut thirds = schedule(3, Arrivals::Fixed, 1, &[0]);
        let dues = take(&mut thirds, 3001);
        assert_eq!(dues[..3], [1000, 333_334_333, 666_667_666]);
        assert_eq!(dues[3000], 1000 + 1000 * SECOND);
    }

    #[test]
    fn threads_share_one_schedule() {
        let all = take(&mut schedule(30, Arrivals::Fixed, 3, &[0, 1, 2]), 30);
        let mut parts = take(&mut schedule(30, Arrivals::Fixed, 3, &[0, 2]), 20);
        parts.extend(take(&mut schedule(30, Arrivals::Fixed, 3, &[1]), 10));
        parts.sort_unstable();
        assert_eq!(all, parts);
        assert_eq!(schedule(30, Arrivals::Fixed, 3, &[]).due(), u64::MAX);
    }

    #[test]
    fn senders_take_turns() {
        let mut schedule = schedule(10, Arrivals::Fixed, 3, &[0, 2]);
        let turns: Vec<usize> = (0..4)
            .map(|_| {
                let turn = schedule.sender();
                schedule.advance();
                turn
            })
            .collect();
        assert_eq!(turns, [0, 1, 0, 1]);
    }

    #[test]
    fn a_count_may_miss_what_is_at_its_ends() {
        let pattern = |rate, arrivals| Pattern {
            rate,
            arrivals,
            seed: 1,
        };
        assert_eq!(pattern(10, Arrivals::Fixed).grain(), 0.2);
        assert_eq!(pattern(5000, Arrivals::Burst(500)).grain(), 0.2);
    }

    #[test]
    fn bursts_keep_the_rate() {
        let dues = take(&mut schedule(1000, Arrivals::Burst(10), 1, &[0]), 1001);
        assert!(dues[..10].iter().all(|&due| due == 1000));
        assert_eq!(dues[10], 1000 + SECOND / 100);
        assert_eq!(dues[1000], 1000 + SECOND);
    }

    #[test]
    fn poisson_arrivals_keep_the_rate_and_are_exponential() {
        const COUNT: usize = 200_000;
        let dues = take(&mut schedule(1000, Arrivals::Poisson, 1, &[0]), COUNT);
        let gaps: Vec<f64> = dues.windows(2).map(|w| (w[1] - w[0]) as f64).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        assert!((mean - 1e6).abs() < 1e4, "{mean}");
        // A share of 1/e of the gaps is longer than the mean.
        let long = gaps.iter().filter(|&&gap| gap > mean).count() as f64 / gaps.len() as f64;
        assert!((long - 0.368).abs() < 0.01, "{long}");
        let again = take(&mut schedule(1000, Arrivals::Poisson, 1, &[0]), COUNT);
        assert_eq!(dues, again, "the seed decides");
    }

    #[test]
    fn far_ends_do_not_overflow() {
        let mut far = schedule(1, Arrivals::Fixed, 1, &[0]);
        far.round = u64::MAX / 2;
        far.find_due();
        assert_eq!(far.due(), u64::MAX);
        assert!("burst:0".parse::<Arrivals>().is_err());
        assert!("uniform".parse::<Arrivals>().is_err());
        assert_eq!("burst:64".parse(), Ok(Arrivals::Burst(64)));
        assert_eq!(Arrivals::Burst(64).to_string(), "burst:64");
    }
}
