//! No wake-up is lost: two pinned cores that do nothing but put each other to
//! sleep and wake each other, through sockets and through links.
//!
//! `cargo test --test parking` does some tens of thousands of cycles; a million:
//! `PARK_CYCLES=1000000 cargo test --test parking -- --nocapture`.

use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ringwire::runtime::cpus;
use ringwire::runtime::executor::{self, ExecutorConfig};
use ringwire::runtime::links::{LinkConfig, LinkReceiver, NodeLinks, mesh};
use ringwire::runtime::net_event::{Event, RingConfig};
use ringwire::runtime::net_ring::NetRing;
use ringwire::runtime::parker::{Parked, Parker};

/// Sockets between the two cores, half of them TCP over loopback.
const SOCKETS: usize = 64;

/// Sleeps to see, of both cores together, unless `PARK_CYCLES` says otherwise.
const DEFAULT_CYCLES: u64 = 20_000;

/// Without progress for so long, a wake-up was lost.
const STUCK: Duration = Duration::from_secs(20);

#[derive(Default)]
struct Progress {
    sleeps: AtomicU64,
    rounds: AtomicU64,
    done: AtomicBool,
}

/// Whose turn it is, on the link; the leader starts each round.
const YOUR_TURN: u8 = 1;
const STOP: u8 = 2;

struct Player {
    links: NodeLinks<()>,
    ring: NetRing<Vec<u8>>,
    parker: Parker,
    progress: Arc<Progress>,
    /// The other side may close its sockets.
    stopping: bool,
}

impl Player {
    fn new(mut links: NodeLinks<()>, sockets: Vec<OwnedFd>, progress: Arc<Progress>) -> Self {
        let mut ring = NetRing::new(&RingConfig::default()).unwrap();
        for (slot, fd) in sockets.into_iter().enumerate() {
            ring.open(slot as u32, fd).unwrap();
        }
        let (seat, _) = ringwire::runtime::parker::Seat::new().unwrap();
        let seat = std::mem::replace(&mut links.seat, seat);
        let parker = Parker::new(seat, &mut ring).unwrap();
        Self {
            links,
            ring,
            parker,
            progress,
            stopping: false,
        }
    }

    fn other(&self) -> usize {
        1 - self.links.node
    }

    fn tell(&mut self, word: u8) {
        let other = self.other();
        let link = self.links.to[other].as_mut().unwrap();
        assert_eq!(link.push_bytes(&[word]), 1);
        link.announce();
    }

    /// Sleeps whenever there is nothing to do, until `received` bytes came by
    /// sockets (each is handed to `reply`) or a word came by the link.
    fn await_news(&mut self, mut sockets: usize, reply: bool) -> Option<u8> {
        let by_link = sockets == 0;
        loop {
            let busy = self.ring.turn().unwrap() > 0;
            while let Some(event) = self.ring.next_event() {
                match event {
                    Event::Received { slot, data } => {
                        assert_eq!(data.len(), 1);
                        drop(data);
                        sockets = sockets.saturating_sub(1);
                        if reply {
                            self.ring.send(slot, vec![1]);
                        }
                    }
                    Event::Sent { result, .. } => assert_eq!(result, Ok(1)),
                    Event::ReceiveEnded { .. } if self.stopping => {}
                    other => panic!("{other:?}"),
                }
            }
            let other = self.other();
            let mut word = None;
            self.links.from[other].as_mut().unwrap().read(|first, _| {
                word = Some(first[0]);
                1
            });
            if word.is_some() {
                return word;
            }
            if !by_link && sockets == 0 {
                return None;
            }
            if busy {
                continue;
            }
            let inbound = &self.links.from;
            let quiet = || inbound.iter().flatten().all(LinkReceiver::is_empty);
            if self.parker.park(&mut self.ring, quiet).unwrap() == Parked::Slept {
                self.progress.sleeps.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Strikes a burst of sockets at once, waits for their echoes, passes a word
    /// through the links and back, and again.
    fn lead(mut self, cycles: u64) {
        let mut round = 0_u64;
        while self.progress.sleeps.load(Ordering::Relaxed) < cycles {
            let burst = 1 + (round * 7 % SOCKETS as u64) as usize;
            for slot in 0..burst {
                self.ring.send(slot as u32, vec![0]);
            }
            assert_eq!(self.await_news(burst, false), None);
            self.tell(YOUR_TURN);
            assert_eq!(self.await_news(0, false), Some(YOUR_TURN));
            round += 1;
            self.progress.rounds.store(round, Ordering::Relaxed);
        }
        self.stopping = true;
        self.tell(STOP);
        assert_eq!(self.await_news(0, false), Some(STOP));
        self.progress.done.store(true, Ordering::Relaxed);
    }

    fn follow(mut self) {
        loop {
            let word = self.await_news(0, true).unwrap();
            self.tell(word);
            if word == STOP {
                return;
            }
        }
    }
}

fn socket_pairs() -> (Vec<OwnedFd>, Vec<OwnedFd>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (0..SOCKETS)
        .map(|number| -> (OwnedFd, OwnedFd) {
            if number % 2 == 0 {
                let (left, right) = UnixStream::pair().unwrap();
                return (left.into(), right.into());
            }
            let left = TcpStream::connect(address).unwrap();
            let (right, _) = listener.accept().unwrap();
            left.set_nodelay(true).unwrap();
            right.set_nodelay(true).unwrap();
            (left.into(), right.into())
        })
        .unzip()
}

#[test]
fn no_wake_up_is_lost_between_cores_and_sockets() {
    let cycles = std::env::var("PARK_CYCLES")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(DEFAULT_CYCLES);
    let allowed = cpus::allowed().unwrap();
    let mut nodes = mesh::<()>(2, &LinkConfig::default()).unwrap();
    let (left, right) = socket_pairs();
    let (follower, leader) = (nodes.pop().unwrap(), nodes.pop().unwrap());
    let progress = Arc::new(Progress::default());
    let config = ExecutorConfig::default();

    let shared = Arc::clone(&progress);
    let first = executor::start(allowed[0], "leader", &config, move || async move {
        Player::new(leader, left, shared).lead(cycles);
    })
    .unwrap();
    let shared = Arc::clone(&progress);
    let cpu = allowed[1 % allowed.len()];
    let second = executor::start(cpu, "follower", &config, move || async move {
        Player::new(follower, right, shared).follow();
    })
    .unwrap();

    // The watchdog judges by progress, not by speed.
    let start = Instant::now();
    let mut seen = (0, Instant::now());
    while !progress.done.load(Ordering::Relaxed) {
        std::thread::park_timeout(Duration::from_millis(20));
        let now = progress.sleeps.load(Ordering::Relaxed) + progress.rounds.load(Ordering::Relaxed);
        if now != seen.0 {
            seen = (now, Instant::now());
        }
        assert!(
            seen.1.elapsed() < STUCK,
            "a wake-up was lost after {} sleeps in {} rounds",
            progress.sleeps.load(Ordering::Relaxed),
            progress.rounds.load(Ordering::Relaxed)
        );
    }
    first.join().unwrap();
    second.join().unwrap();
    println!(
        "{} sleeps in {} rounds, {:?}",
        progress.sleeps.load(Ordering::Relaxed),
        progress.rounds.load(Ordering::Relaxed),
        start.elapsed()
    );
}
