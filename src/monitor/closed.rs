//! The connections that closed last, for `/connz?state=closed`.

use std::collections::VecDeque;

use super::snapshot::ConnSnapshot;

/// Closed connections remembered if the configuration does not say: `max_closed_clients` of
/// nats-server.
pub const DEFAULT_MAX_CLOSED: usize = 10_000;

/// Most subscriptions remembered of one closed connection, so that ten thousand clients with ten
/// thousand subscriptions each leave no gibibytes behind. `subscriptions` tells the true number.
pub const MAX_CLOSED_SUBSCRIPTIONS: usize = 64;

/// A bounded memory of closed connections; the oldest makes room for the newest.
#[derive(Debug)]
pub struct ClosedRing {
    max: usize,
    ring: VecDeque<ConnSnapshot>,
    total: u64,
}

impl Default for ClosedRing {
    fn default() -> Self {
        Self::new(DEFAULT_MAX_CLOSED)
    }
}

impl ClosedRing {
    /// Remembers at most `max` connections; zero remembers none.
    pub fn new(max: usize) -> Self {
        ClosedRing {
            max,
            ring: VecDeque::new(),
            total: 0,
        }
    }

    /// Remembers a connection whose stop and reason are set.
    pub fn push(&mut self, mut conn: ConnSnapshot) {
        self.total += 1;
        if self.max == 0 {
            return;
        }
        if self.ring.len() >= self.max {
            self.ring.pop_front();
        }
        conn.subs.truncate(MAX_CLOSED_SUBSCRIPTIONS);
        conn.subs.shrink_to_fit();
        self.ring.push_back(conn);
    }

    /// From the oldest to the newest.
    pub fn iter(&self) -> impl Iterator<Item = &ConnSnapshot> {
        self.ring.iter()
    }

    /// Connections remembered.
    pub fn len(&self) -> usize {
        self.ring.len()
    }

    /// Is none remembered?
    pub fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    /// Connections ever closed.
    pub fn total(&self) -> u64 {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::snapshot::{ConnFigures, SubSnapshot};

    fn conn(cid: u64, subs: usize) -> ConnSnapshot {
        ConnSnapshot {
            figures: ConnFigures {
                cid,
                stop: Some(1),
                ..Default::default()
            },
            subs: vec![SubSnapshot::default(); subs],
            ..Default::default()
        }
    }

    #[test]
    fn the_oldest_makes_room() {
        let mut ring = ClosedRing::new(3);
        (1..=5).for_each(|cid| ring.push(conn(cid, 0)));
        let cids: Vec<u64> = ring.iter().map(|c| c.figures.cid).collect();
        assert_eq!(cids, [3, 4, 5]);
        assert_eq!((ring.len(), ring.total()), (3, 5));
    }

    #[test]
    fn zero_remembers_none_but_counts() {
        let mut ring = ClosedRing::new(0);
        ring.push(conn(1, 0));
        assert!(ring.is_empty());
        assert_eq!(ring.total(), 1);
    }

    #[test]
    fn long_lists_of_subscriptions_are_cut() {
        let mut ring = ClosedRing::default();
        ring.push(conn(1, 1_000));
        assert_eq!(
            ring.iter().next().unwrap().subs.len(),
            MAX_CLOSED_SUBSCRIPTIONS
        );
    }
}
