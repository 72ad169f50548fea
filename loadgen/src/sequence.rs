//! Which messages of one sequence arrived: exact counts of what was lost,
//! doubled or overtaken.

use std::collections::VecDeque;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Gaps remembered for one subscription. Beyond it the oldest gap counts as
/// lost for good, and what arrives late from it as a duplicate.
pub const MAX_GAPS: usize = 4096;

/// How an arrival stands to those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// The next one, or the first after a gap.
    InOrder,
    /// Missing until now: a later one came before it.
    Late,
    /// Seen before.
    Duplicate,
}

/// The sequence of one publisher as one subscription sees it.
#[derive(Debug, Default)]
pub struct Tracker {
    /// All below were seen, or are in `gaps` or `given_up`.
    next: u64,
    /// Missing ranges, ascending, ends exclusive.
    gaps: VecDeque<(u64, u64)>,
    given_up: u64,
}

impl Tracker {
    /// A tracker that expects nothing before `first`: it joined late.
    pub fn from(first: u64) -> Tracker {
        Tracker {
            next: first,
            ..Tracker::default()
        }
    }

    /// The sequence number after the highest one seen.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Takes note of `sequence`.
    #[inline]
    pub fn saw(&mut self, sequence: u64) -> Arrival {
        if sequence == self.next {
            self.next += 1;
            return Arrival::InOrder;
        }
        self.saw_out_of_line(sequence)
    }

    #[cold]
    fn saw_out_of_line(&mut self, sequence: u64) -> Arrival {
        if sequence > self.next {
            self.gaps.push_back((self.next, sequence));
            self.next = sequence + 1;
            self.trim();
            return Arrival::InOrder;
        }
        let index = self.gaps.partition_point(|&(_, to)| to <= sequence);
        match self.gaps.get(index).copied() {
            Some((from, to)) if from <= sequence => {
                self.gaps.remove(index);
                if sequence + 1 < to {
                    self.gaps.insert(index, (sequence + 1, to));
                }
                if from < sequence {
                    self.gaps.insert(index, (from, sequence));
                }
                self.trim();
                Arrival::Late
            }
            _ => Arrival::Duplicate,
        }
    }

    fn trim(&mut self) {
        while self.gaps.len() > MAX_GAPS
            && let Some((from, to)) = self.gaps.pop_front()
        {
            self.given_up += to - from;
        }
    }

    /// How many of the first `published` never arrived.
    pub fn lost(&self, published: u64) -> u64 {
        let missing: u64 = self.gaps.iter().map(|(from, to)| to - from).sum();
        missing + self.given_up + published.saturating_sub(self.next)
    }
}

/// Sequence numbers of one segment of [`Seen`].
const SEGMENT: u64 = 1 << 20;

/// Segments of [`Seen`]; sequence numbers beyond them are not told apart.
const SEGMENTS: usize = 4096;

/// The sequence numbers that any of several threads saw, in any order: what
/// members of a queue group have together. A bit each, taken as they come.
pub struct Seen {
    segments: Box<[OnceLock<Box<[AtomicU64]>>]>,
    distinct: AtomicU64,
}

impl Default for Seen {
    fn default() -> Seen {
        Seen {
            segments: (0..SEGMENTS).map(|_| OnceLock::new()).collect(),
            distinct: AtomicU64::new(0),
        }
    }
}

impl Seen {
    /// Takes note of `sequence`. True when it is the first time. The caller
    /// makes sure that it was sent: memory is taken for it.
    #[inline]
    pub fn saw(&self, sequence: u64) -> bool {
        let Some(segment) = self.segments.get((sequence / SEGMENT) as usize) else {
            self.distinct.fetch_add(1, Ordering::Relaxed);
            return true;
        };
        let words = segment.get_or_init(|| {
            (0..SEGMENT / 64)
                .map(|_| AtomicU64::new(0))
                .collect::<Box<[AtomicU64]>>()
        });
        let bit = 1 << (sequence % 64);
        let before = words[(sequence % SEGMENT / 64) as usize].fetch_or(bit, Ordering::Relaxed);
        let first = before & bit == 0;
        if first {
            self.distinct.fetch_add(1, Ordering::Relaxed);
        }
        first
    }

    /// How many of the first `published` never arrived.
    pub fn lost(&self, published: u64) -> u64 {
        published.saturating_sub(self.distinct.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn order_is_order() {
        let mut tracker = Tracker::default();
        for n in 0..100 {
            assert_eq!(tracker.saw(n), Arrival::InOrder);
        }
        assert_eq!((tracker.lost(100), tracker.lost(105)), (0, 5));
    }

    #[test]
    fn agrees_with_a_set_of_all_seen() {
        // A small generator instead of a dependency: every run is the same.
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut random = move |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        for _ in 0..200 {
            let mut tracker = Tracker::default();
            let (mut seen, mut highest) = (BTreeSet::new(), None);
            for _ in 0..random(300) {
                let sequence = random(120);
                let expected = if !seen.insert(sequence) {
                    Arrival::Duplicate
                } else if highest.is_some_and(|highest| sequence < highest) {
                    Arrival::Late
                } else {
                    Arrival::InOrder
                };
                highest = highest.max(Some(sequence));
                assert_eq!(tracker.saw(sequence), expected);
            }
            assert_eq!(tracker.lost(120), 120 - seen.len() as u64);
        }
    }

    #[test]
    fn gaps_beyond_the_limit_stay_lost() {
        let mut tracker = Tracker::default();
        let gaps = MAX_GAPS as u64 + 10;
        for n in 0..gaps {
            tracker.saw(2 * n + 1);
        }
        assert_eq!(tracker.lost(2 * gaps), gaps);
        assert_eq!(tracker.saw(0), Arrival::Duplicate);
        assert_eq!(tracker.saw(2 * gaps - 2), Arrival::Late);
        assert_eq!(tracker.lost(2 * gaps), gaps - 1);
    }

    #[test]
    fn who_joins_late_misses_nothing_before() {
        let mut tracker = Tracker::from(10);
        assert_eq!(tracker.saw(10), Arrival::InOrder);
        assert_eq!(tracker.saw(12), Arrival::InOrder);
        assert_eq!((tracker.lost(13), tracker.next()), (1, 13));
    }

    #[test]
    fn a_group_sees_each_number_once() {
        let seen = Seen::default();
        for sequence in [0, SEGMENT - 1, SEGMENT, 63, 64] {
            assert!(seen.saw(sequence));
            assert!(!seen.saw(sequence));
        }
        assert_eq!(seen.lost(7), 2);
        assert!(
            seen.saw(SEGMENT * SEGMENTS as u64),
            "beyond the last segment"
        );
    }
}
