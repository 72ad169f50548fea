//! Messages of one sender that wait for their answer.

use std::collections::VecDeque;

/// Intended times of messages without an answer, by sequence number.
#[derive(Debug, Default)]
pub struct Pending {
    /// From message `first` on; 0 for those that have their answer.
    times: VecDeque<u64>,
    first: u64,
}

impl Pending {
    /// One more, intended at `at`; its sequence number, from 0.
    pub fn push(&mut self, at: u64) -> u64 {
        self.times.push_back(at.max(1));
        self.sent() - 1
    }

    /// How many were pushed.
    pub fn sent(&self) -> u64 {
        self.first + self.times.len() as u64
    }

    /// From the oldest without an answer to the newest.
    pub fn span(&self) -> u64 {
        self.times.len() as u64
    }

    /// Takes the intended time of message `sequence`; `None` if it never was,
    /// or has its answer.
    pub fn settle(&mut self, sequence: u64) -> Option<u64> {
        let place = usize::try_from(sequence.checked_sub(self.first)?).ok()?;
        let at = std::mem::take(self.times.get_mut(place)?);
        while self.times.front() == Some(&0) {
            self.times.pop_front();
            self.first += 1;
        }
        (at > 0).then_some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_in_any_order_and_count_once() {
        let mut pending = Pending::default();
        for at in [10, 0, 30] {
            pending.push(at);
        }
        assert_eq!(
            pending.settle(1),
            Some(1),
            "a time of zero is moved by 1 ns"
        );
        assert_eq!((pending.settle(1), pending.span()), (None, 3));
        assert_eq!((pending.settle(0), pending.span()), (Some(10), 1));
        assert_eq!((pending.settle(0), pending.settle(3)), (None, None));
        assert_eq!((pending.settle(2), pending.span()), (Some(30), 0));
        assert_eq!((pending.push(40), pending.sent()), (3, 4));
    }
}
