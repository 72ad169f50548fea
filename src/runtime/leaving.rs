//! Sockets that are being closed.
//!
//! A connection that ends with a message (an error, the last deliveries) goes
//! through: send what waits; shut the write side; read and throw away what the
//! peer still sends until it closes, too; close. Without that the kernel
//! answers unread input with a reset, and the client may lose the error that
//! says why it was closed. All of it is bounded by [`LINGER`].

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// How long the steps may take together.
pub const LINGER: Duration = Duration::from_millis(500);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Output is still to be sent; `peer_ended` if the peer closed its side.
    Flushing { peer_ended: bool },
    /// The write side is shut; waiting for the peer's end.
    Lingering,
    /// The ring was told to close it.
    Closed,
}

/// What the caller is to do with a socket now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Wait,
    ShutdownWrite,
    Close,
}

/// All sockets of a core that are being closed.
#[derive(Default)]
pub struct Leaving {
    sockets: HashMap<u32, (u64, Phase)>,
    /// In the order of their deadlines; the serial tells a reused slot.
    deadlines: VecDeque<(u64, u32, u64)>,
    serial: u64,
}

impl Leaving {
    /// Starts with a socket whose output is to be sent first. Times are
    /// nanoseconds of the monotonic clock.
    pub fn begin(&mut self, slot: u32, now: u64) {
        self.serial += 1;
        let phase = Phase::Flushing { peer_ended: false };
        self.sockets.insert(slot, (self.serial, phase));
        let by = now + LINGER.as_nanos() as u64;
        self.deadlines.push_back((by, slot, self.serial));
    }

    /// Notes a socket that the caller closes at once.
    pub fn close_now(&mut self, slot: u32) {
        self.serial += 1;
        self.sockets.insert(slot, (self.serial, Phase::Closed));
    }

    /// Whether the socket is being closed.
    pub fn contains(&self, slot: u32) -> bool {
        !self.sockets.is_empty() && self.sockets.contains_key(&slot)
    }

    /// Whether no socket is being closed.
    pub fn is_empty(&self) -> bool {
        self.sockets.is_empty()
    }

    /// The socket is closed and its slot free.
    pub fn forget(&mut self, slot: u32) {
        self.sockets.remove(&slot);
    }

    /// All output was sent.
    pub fn flushed(&mut self, slot: u32) -> Step {
        match self.sockets.get_mut(&slot) {
            Some((_, phase @ Phase::Flushing { peer_ended: false })) => {
                *phase = Phase::Lingering;
                Step::ShutdownWrite
            }
            Some((_, phase @ Phase::Flushing { peer_ended: true })) => {
                *phase = Phase::Closed;
                Step::Close
            }
            _ => Step::Wait,
        }
    }

    /// The peer closed its side.
    pub fn peer_ended(&mut self, slot: u32) -> Step {
        match self.sockets.get_mut(&slot) {
            Some((_, Phase::Flushing { peer_ended })) => {
                *peer_ended = true;
                Step::Wait
            }
            Some((_, phase @ Phase::Lingering)) => {
                *phase = Phase::Closed;
                Step::Close
            }
            _ => Step::Wait,
        }
    }

    /// When [`Leaving::overdue`] has something, at the latest.
    pub fn next_deadline(&self) -> Option<u64> {
        self.deadlines.front().map(|&(by, _, _)| by)
    }

    /// A socket that took too long: the caller closes it. Call until `None`.
    pub fn overdue(&mut self, now: u64) -> Option<u32> {
        while let Some(&(by, slot, serial)) = self.deadlines.front() {
            let live = matches!(self.sockets.get(&slot), Some((s, phase)) if *s == serial && *phase != Phase::Closed);
            if live && by > now {
                return None;
            }
            self.deadlines.pop_front();
            if live {
                self.sockets.insert(slot, (serial, Phase::Closed));
                return Some(slot);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATE: u64 = LINGER.as_nanos() as u64;

    #[test]
    fn output_goes_before_the_write_side_and_that_before_the_socket() {
        let mut leaving = Leaving::default();
        leaving.begin(3, 0);
        assert_eq!(leaving.flushed(3), Step::ShutdownWrite);
        assert_eq!(leaving.peer_ended(3), Step::Close);
        leaving.forget(3);
        assert!(leaving.is_empty());
        assert_eq!(leaving.overdue(LATE), None);
    }

    #[test]
    fn a_peer_that_ended_first_is_not_waited_for() {
        let mut leaving = Leaving::default();
        leaving.begin(3, 0);
        assert_eq!(leaving.peer_ended(3), Step::Wait);
        assert_eq!(leaving.flushed(3), Step::Close);
    }

    #[test]
    fn who_takes_too_long_is_closed_once() {
        let mut leaving = Leaving::default();
        leaving.begin(3, 0);
        leaving.begin(4, 1);
        assert_eq!(leaving.overdue(LATE - 1), None);
        assert_eq!(leaving.overdue(LATE), Some(3));
        assert_eq!(leaving.overdue(LATE), None);
        assert_eq!(leaving.flushed(3), Step::Wait);
        assert_eq!(leaving.next_deadline(), Some(LATE + 1));
    }

    #[test]
    fn the_deadline_of_a_former_user_of_a_slot_does_not_count() {
        let mut leaving = Leaving::default();
        leaving.begin(3, 0);
        leaving.forget(3);
        leaving.begin(3, 10);
        assert_eq!(leaving.overdue(LATE), None);
        assert_eq!(leaving.overdue(LATE + 10), Some(3));
    }
}
