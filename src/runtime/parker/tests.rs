use std::io::Write;
use std::os::unix::net::UnixStream;

use super::*;
use crate::runtime::net_event::{Event, RingConfig};

/// Sockets that become ready at once; more than the kernel runs in one entry.
const BURST: u32 = 100;

struct Burst {
    ring: NetRing<Vec<u8>>,
    seat: Seat,
    peers: Vec<UnixStream>,
}

impl Burst {
    fn new() -> Self {
        let mut ring = NetRing::new(&RingConfig {
            receive_buffers: 256,
            ..RingConfig::default()
        })
        .unwrap();
        let (seat, _waker) = Seat::new().unwrap();
        ring.register_event_fd(seat.as_fd()).unwrap();
        let peers = (0..BURST)
            .map(|slot| {
                let (ours, theirs) = UnixStream::pair().unwrap();
                ring.open(slot, ours.into()).unwrap();
                theirs
            })
            .collect();
        while !ring.is_quiescent() {
            ring.turn().unwrap();
        }
        Self { ring, seat, peers }
    }

    fn strike(&mut self) {
        for peer in &mut self.peers {
            peer.write_all(b"x").unwrap();
        }
    }

    /// Handles what one turn brings; returns how many sockets received.
    fn turn(&mut self) -> u32 {
        self.ring.turn().unwrap();
        let mut received = 0;
        while let Some(event) = self.ring.next_event() {
            assert!(matches!(event, Event::Received { .. }));
            received += 1;
        }
        received
    }

    fn is_signalled(&self) -> bool {
        let mut poll = libc::pollfd {
            fd: self.seat.as_fd().as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one valid entry.
        unsafe { libc::poll(&raw mut poll, 1, 0) > 0 }
    }
}

/// The kernel fact behind the rule: one entry leaves work behind, and the signal
/// of its arrival is spent.
#[test]
fn one_entry_before_sleep_loses_work() {
    let mut burst = Burst::new();
    assert!(burst.ring.listen_for_work().unwrap());
    burst.strike();
    assert!(burst.is_signalled());
    // Woken: as a core does that enters once and sleeps again.
    burst.ring.stop_listening_for_work();
    burst.seat.bell.empty();
    let received = burst.turn();
    assert!(received < BURST, "the kernel ran all {received} at once");
    assert!(!burst.is_signalled(), "it would sleep for ever");
    // What the rule looks at shows the rest, and so does its last look.
    assert!(!burst.ring.is_quiescent());
    assert!(!burst.ring.listen_for_work().unwrap());
}

#[test]
fn turning_until_quiescent_gets_everything() {
    let mut burst = Burst::new();
    assert!(burst.ring.listen_for_work().unwrap());
    burst.strike();
    burst.ring.stop_listening_for_work();
    let mut received = 0;
    while !burst.ring.is_quiescent() {
        received += burst.turn();
    }
    assert_eq!(received, BURST);
}

/// Work that arrives while signals are off is found by the look after turning
/// them on.
#[test]
fn work_that_came_unannounced_prevents_sleep() {
    let mut burst = Burst::new();
    burst.peers[0].write_all(b"x").unwrap();
    assert!(!burst.is_signalled());
    assert!(!burst.ring.listen_for_work().unwrap());
}

#[test]
fn a_waker_signals_a_plain_thread_once_a_sleep() {
    let (seat, waker) = Seat::new().unwrap();
    let waits = std::thread::spawn(move || {
        seat.wait(|| true, None).unwrap();
        seat
    });
    // Takes effect before or after the thread falls asleep; only after does it
    // signal, so ring until the thread is through.
    while !waits.is_finished() {
        waker.wake();
        std::thread::yield_now();
    }
    let seat = waits.join().unwrap();
    seat.wait(|| false, None).unwrap();
    seat.wait(|| true, Some(Duration::ZERO)).unwrap();
}

/// Why signals are off while the core is awake: each entry that posts completions
/// would signal, and each sleep would end at once.
#[test]
fn completions_signal_too_while_signals_are_on() {
    let mut burst = Burst::new();
    burst.ring.listen_for_work().unwrap();
    burst.peers[0].write_all(b"x").unwrap();
    burst.seat.bell.empty();
    assert_eq!(burst.turn(), 1);
    assert!(burst.is_signalled());
    assert!(burst.ring.is_quiescent());
}
