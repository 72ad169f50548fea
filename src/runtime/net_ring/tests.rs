use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;

use super::*;

/// A ring on a plain thread that blocks until the next event.
struct Harness {
    ring: NetRing<Vec<u8>>,
}

/// Far beyond anything but a defect; bounds a failing test, decides nothing.
const PATIENCE: Duration = Duration::from_secs(20);

impl Harness {
    fn new(config: RingConfig) -> Self {
        let ring = NetRing::new(&config).unwrap();
        Self { ring }
    }

    fn small() -> Self {
        Self::new(RingConfig {
            submission_entries: 8,
            completion_entries: 16,
            receive_buffers: 4,
            receive_buffer_bytes: 64,
            max_slots: 1000,
            ..RingConfig::default()
        })
    }

    fn next(&mut self) -> Event<Vec<u8>> {
        loop {
            if let Some(event) = self.ring.next_event() {
                return event;
            }
            if self.ring.turn().unwrap() == 0 {
                self.ring.submission.wait(PATIENCE).unwrap();
            }
        }
    }

    fn open_pair(&mut self, slot: u32) -> UnixStream {
        let (ours, theirs) = UnixStream::pair().unwrap();
        self.ring.open(slot, ours.into()).unwrap();
        theirs
    }

    /// The next event, which must be bytes for `slot`.
    fn bytes(&mut self, slot: u32) -> Vec<u8> {
        match self.next() {
            Event::Received { slot: got, data } if got == slot => data.to_vec(),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn accepts_receives_and_sends() {
    let mut harness = Harness::small();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    harness.ring.listen(0, listener.into()).unwrap();
    let mut clients = Vec::new();
    for slot in 0..3 {
        clients.push(TcpStream::connect(address).unwrap());
        match harness.next() {
            Event::Accepted { listener: 0, fd } => harness.ring.open(slot, fd).unwrap(),
            other => panic!("{other:?}"),
        }
    }
    clients[1].write_all(b"hello").unwrap();
    assert_eq!(harness.bytes(1), b"hello");
    harness.ring.send(1, b"world".to_vec());
    match harness.next() {
        Event::Sent {
            slot: 1,
            buffer,
            result: Ok(5),
        } => assert_eq!(buffer, b"world"),
        other => panic!("{other:?}"),
    }
    let mut answer = [0; 5];
    clients[1].read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"world");
}

#[test]
fn a_peer_that_leaves_ends_the_receive_and_close_frees_the_slot() {
    let mut harness = Harness::small();
    let peer = harness.open_pair(7);
    drop(peer);
    let Event::ReceiveEnded {
        slot: 7,
        cause: End::Eof,
    } = harness.next()
    else {
        panic!()
    };
    harness.ring.send(7, vec![1; 10]);
    let Event::Sent {
        slot: 7,
        result: Err(libc::EPIPE),
        ..
    } = harness.next()
    else {
        panic!()
    };
    harness.ring.close(7);
    let Event::Drained { slot: 7 } = harness.next() else {
        panic!()
    };
    let _again = harness.open_pair(7);
    let taken = UnixStream::pair().unwrap().0;
    let refused = harness.ring.open(7, taken.into()).unwrap_err();
    assert_eq!(refused.reason, NotOpenedReason::InUse);
}

#[test]
fn a_send_that_is_given_up_tells_how_much_went() {
    let mut harness = Harness::small();
    let mut peer = harness.open_pair(0);
    let bytes: Vec<u8> = (0..64 << 20).map(|n: u32| (n / 7) as u8).collect();
    harness.ring.send(0, bytes.clone());
    harness.ring.turn().unwrap();
    harness.ring.cancel_send(0);
    let Event::Sent {
        slot: 0,
        result: Ok(went),
        ..
    } = harness.next()
    else {
        panic!()
    };
    assert!(0 < went && went < bytes.len());

    // The peer has taken nothing since: not a byte of another one goes.
    harness.ring.send(0, vec![0; 64 << 20]);
    harness.ring.turn().unwrap();
    harness.ring.cancel_send(0);
    let Event::Sent { result, .. } = harness.next() else {
        panic!()
    };
    assert_eq!(result, Err(libc::ECANCELED));
    let mut received = vec![0; went];
    peer.read_exact(&mut received).unwrap();
    assert!(received == bytes[..went]);
}

#[test]
fn close_returns_the_buffer_of_a_stuck_send() {
    let mut harness = Harness::small();
    let _peer = harness.open_pair(0);
    // More than any socket buffer takes, and the peer does not read.
    harness.ring.send(0, vec![0; 64 << 20]);
    harness.ring.turn().unwrap();
    assert!(harness.ring.is_sending(0));
    harness.ring.close(0);
    match harness.next() {
        Event::Sent { buffer, result, .. } => {
            assert_eq!(buffer.len(), 64 << 20);
            assert_ne!(result, Ok(64 << 20));
        }
        other => panic!("{other:?}"),
    }
    let Event::Drained { slot: 0 } = harness.next() else {
        panic!()
    };
    assert_eq!(harness.ring.in_flight(), 0);
}

#[test]
fn misplaced_sends_come_back() {
    let mut harness = Harness::small();
    harness.ring.send(3, vec![1]);
    let Event::Sent {
        result: Err(libc::EBADF),
        ..
    } = harness.next()
    else {
        panic!()
    };
    let _peer = harness.open_pair(3);
    harness.ring.send(3, vec![1]);
    harness.ring.send(3, vec![2]);
    match harness.next() {
        Event::Sent { buffer, result, .. } => {
            assert_eq!((buffer, result), (vec![2], Err(libc::EALREADY)));
        }
        other => panic!("{other:?}"),
    }
    match harness.next() {
        Event::Sent { buffer, result, .. } => assert_eq!((buffer, result), (vec![1], Ok(1))),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_paused_slot_is_silent_until_resumed() {
    let mut harness = Harness::small();
    let mut peer = harness.open_pair(0);
    peer.write_all(b"before").unwrap();
    harness.ring.turn().unwrap();
    harness.ring.pause(0);
    assert_eq!(harness.bytes(0), b"before");
    let Event::ReceiveEnded {
        slot: 0,
        cause: End::Paused,
    } = harness.next()
    else {
        panic!()
    };
    peer.write_all(b"while").unwrap();
    assert_eq!(harness.ring.turn().unwrap(), 0);
    assert!(harness.ring.is_quiescent());
    harness.ring.resume(0);
    assert_eq!(harness.bytes(0), b"while");
}

#[test]
fn a_resume_overtakes_its_pause() {
    let mut harness = Harness::small();
    let mut peer = harness.open_pair(0);
    harness.ring.turn().unwrap();
    harness.ring.pause(0);
    harness.ring.resume(0);
    peer.write_all(b"on").unwrap();
    assert_eq!(harness.bytes(0), b"on");
}

#[test]
fn scarce_buffers_starve_nobody() {
    let mut harness = Harness::small();
    const SLOTS: u32 = 32;
    const BYTES: usize = 64 * 50;
    let mut peers: Vec<_> = (0..SLOTS).map(|slot| harness.open_pair(slot)).collect();
    for peer in &mut peers {
        peer.write_all(&[7; BYTES]).unwrap();
    }
    let mut received = vec![0; SLOTS as usize];
    while received.iter().any(|count| *count < BYTES) {
        match harness.next() {
            Event::Received { slot, data } => received[slot as usize] += data.len(),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(received, vec![BYTES; SLOTS as usize]);
}

#[test]
fn held_buffers_stop_receiving_and_their_return_resumes_it() {
    let mut harness = Harness::small();
    let mut peer = harness.open_pair(0);
    peer.write_all(&[1; 64 * 6]).unwrap();
    let mut held = Vec::new();
    while held.len() < 4 {
        match harness.next() {
            Event::Received { data, .. } => held.push(data),
            other => panic!("{other:?}"),
        }
    }
    // All buffers are out: nothing comes, and nothing spins.
    harness.ring.turn().unwrap();
    assert!(harness.ring.next_event().is_none());
    assert!(harness.ring.is_quiescent());
    held.clear();
    let rest = harness.bytes(0).len() + harness.bytes(0).len();
    assert_eq!(rest, 128);
}

#[test]
fn many_parts_go_out_in_order() {
    let mut ring: NetRing<Vec<bytes::Bytes>> = NetRing::new(&RingConfig::default()).unwrap();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    ring.open(0, ours.into()).unwrap();
    let parts: Vec<bytes::Bytes> = (0..100_u8)
        .map(|number| bytes::Bytes::from(vec![number; 3]))
        .collect();
    let expected = parts.concat();
    ring.send(0, parts);
    ring.turn().unwrap();
    let mut got = vec![0; expected.len()];
    theirs.read_exact(&mut got).unwrap();
    assert_eq!(got, expected);
}

#[test]
fn timers_come_and_earlier_ones_replace_later_ones() {
    let mut harness = Harness::small();
    harness.ring.set_timer(Duration::MAX / 4);
    harness.ring.turn().unwrap();
    // Long past on the monotonic clock.
    harness.ring.set_timer(Duration::from_nanos(1));
    assert!(matches!(harness.next(), Event::Timer));
    harness.ring.set_timer(Duration::from_nanos(1));
    harness.ring.set_timer(Duration::MAX / 4);
    assert!(matches!(harness.next(), Event::Timer));
}

#[test]
fn a_stopped_listener_frees_its_port() {
    let mut harness = Harness::small();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    harness.ring.listen(2, listener.into()).unwrap();
    harness.ring.turn().unwrap();
    harness.ring.stop_listening(2);
    assert!(matches!(
        harness.next(),
        Event::ListenerClosed { listener: 2 }
    ));
    TcpListener::bind(address).unwrap();
}

#[test]
fn a_dropped_ring_frees_its_port_at_once() {
    let mut harness = Harness::small();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    harness.ring.listen(0, listener.into()).unwrap();
    let _peer = harness.open_pair(0);
    harness.ring.send(0, vec![0; 64 << 20]);
    harness.ring.turn().unwrap();
    drop(harness);
    TcpListener::bind(address).unwrap();
}

#[test]
fn slots_beyond_the_limit_are_refused() {
    let mut harness = Harness::small();
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let refused = harness.ring.open(1000, ours.into()).unwrap_err();
    assert_eq!(refused.reason, NotOpenedReason::OutOfRange);
}

#[test]
fn a_slot_is_small() {
    assert!(size_of::<Slot<Vec<u8>>>() <= 48);
}

#[test]
fn thousands_of_slots_come_and_go_with_a_tiny_ring() {
    let mut harness = Harness::small();
    const SLOTS: u32 = 300;
    for round in 0..3 {
        let mut peers: Vec<_> = (0..SLOTS).map(|slot| harness.open_pair(slot)).collect();
        for peer in &mut peers {
            peer.write_all(b"x").unwrap();
        }
        let mut drained = 0;
        while drained < SLOTS {
            match harness.next() {
                Event::Received { slot, .. } => harness.ring.send(slot, vec![round]),
                Event::Sent { slot, result, .. } => {
                    assert_eq!(result, Ok(1));
                    harness.ring.close(slot);
                }
                Event::Drained { .. } => drained += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(harness.ring.in_flight(), 0);
        for peer in &mut peers {
            let mut all = Vec::new();
            peer.read_to_end(&mut all).unwrap();
            assert_eq!(all, [round]);
        }
    }
}
