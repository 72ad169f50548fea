use std::io::Write;
use std::os::unix::net::UnixStream;

use super::*;
use crate::runtime::net_event::{Event, RingConfig};

/// Sockets that become ready at once; more than the kernel runs in one entry.
const BURST: u32 = 100;

struct Burst {
    ring: NetRing<Vec<u8>>,
    peers: Vec<UnixStream>,
}

impl Burst {
    fn new() -> Self {
        let mut ring = NetRing::new(&RingConfig {
            receive_buffers: 256,
            ..RingConfig::default()
        })
        .unwrap();
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
        Self { ring, peers }
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
}

/// The kernel fact that who sleeps outside of the ring must know.
#[test]
fn one_entry_leaves_work_behind() {
    let mut burst = Burst::new();
    burst.strike();
    let received = burst.turn();
    assert!(received < BURST, "the kernel ran all {received} at once");
    assert!(!burst.ring.is_quiescent());
}

#[test]
fn sleep_ends_at_once_over_work_that_is_left() {
    let mut burst = Burst::new();
    burst.strike();
    let mut received = 0;
    while received < BURST {
        // Hangs if the rest were forgotten.
        burst.ring.sleep().unwrap();
        received += burst.turn();
    }
    assert_eq!(received, BURST);
    assert!(burst.ring.is_quiescent());
}

#[test]
fn a_waker_ends_one_sleep_of_the_ring_each_time() {
    let (seat, waker) = Seat::new().unwrap();
    let mut ring = NetRing::<Vec<u8>>::new(&RingConfig::default()).unwrap();
    let parker = Parker::new(seat, &mut ring).unwrap();
    for _ in 0..3 {
        let woken = waker.clone();
        // Signals between the core's word that it sleeps and its sleep.
        let wakes = move || {
            woken.wake();
            true
        };
        assert_eq!(parker.park(&mut ring, wakes).unwrap(), Parked::Slept);
        ring.turn().unwrap();
        assert!(ring.next_event().is_none());
        assert!(ring.is_quiescent(), "a write is noticed once");
    }
}

#[test]
fn who_finds_something_inbound_does_not_sleep() {
    let (seat, waker) = Seat::new().unwrap();
    let mut ring = NetRing::<Vec<u8>>::new(&RingConfig::default()).unwrap();
    let parker = Parker::new(seat, &mut ring).unwrap();
    assert_eq!(parker.park(&mut ring, || false).unwrap(), Parked::NotAtAll);
    waker.wake();
    ring.turn().unwrap();
    assert!(ring.is_quiescent(), "who is awake needs no signal");
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
