//! Cores without sockets: what the runtime's driver does, in one thread.
//!
//! Shared by the allocation tests and the benchmarks. Reuses its own memory, so
//! that what is measured is the broker's.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use ringwire::broker::{Batch, Core, CoreId, Effect, Now, ServerIdentity, Settings};

/// Nanoseconds that pass from one turn to the next.
const TURN_NANOS: u64 = 1_000;

/// The defaults of the program.
pub fn settings() -> Settings {
    Settings {
        identity: ServerIdentity {
            server_id: "NTEST".to_owned(),
            server_name: "test".to_owned(),
            version: "2.15.1".to_owned(),
            compiler: "rust".to_owned(),
            host: "127.0.0.1".to_owned(),
            port: 4222,
            headers: true,
            ..ServerIdentity::default()
        },
        ..Settings::default()
    }
}

/// A connection: its core's place and its slot there.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    pub core: usize,
    pub slot: u32,
}

/// A core and what the driver of its thread keeps.
struct Node {
    core: Core,
    /// Bytes on their way from each core.
    rings: Vec<Vec<u8>>,
    /// Sends that complete at the beginning of the next turn.
    in_flight: Vec<(u32, Batch)>,
    dirty: Vec<u32>,
    effects: Vec<Effect>,
}

/// Some cores, connected.
pub struct Cluster {
    nodes: Vec<Node>,
    now: Now,
    connected: u64,
    /// Bytes that left through sockets.
    pub sent_bytes: u64,
}

impl Cluster {
    /// `cores` cores with these settings.
    pub fn new(cores: usize, settings: Settings) -> Self {
        let settings = Arc::new(settings);
        let nodes = (0..cores)
            .map(|n| Node {
                core: Core::new(CoreId(n as u8), cores, Arc::clone(&settings), 7 + n as u64),
                rings: vec![Vec::new(); cores],
                in_flight: Vec::new(),
                dirty: Vec::new(),
                effects: Vec::new(),
            })
            .collect();
        Self {
            nodes,
            now: Now {
                mono_ns: 1_000_000_000,
                unix_ns: 1_700_000_000_000_000_000,
            },
            connected: 0,
            sent_bytes: 0,
        }
    }

    /// Messages handed to connections, on all cores.
    pub fn delivered(&self) -> u64 {
        self.nodes
            .iter()
            .map(|node| node.core.counters().delivered.messages)
            .sum()
    }

    /// A new client that has not said anything.
    pub fn connect(&mut self, core: usize) -> Client {
        self.connected += 1;
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1024));
        let node = &mut self.nodes[core];
        node.core.begin_turn(self.now);
        let slot = node.core.connect(self.connected, peer, None);
        Client { core, slot }
    }

    /// A new client as client libraries are: neither verbose nor pedantic, with
    /// headers and no-responders.
    pub fn client(&mut self, core: usize) -> Client {
        self.client_with(core, "\"headers\":true,\"no_responders\":true")
    }

    /// A new client with these further options (JSON members) in its CONNECT.
    pub fn client_with(&mut self, core: usize, options: &str) -> Client {
        let client = self.connect(core);
        let line = format!(
            "CONNECT {{\"verbose\":false,\"pedantic\":false,\"protocol\":1,{options}}}\r\nPING\r\n"
        );
        self.receive(client, line.as_bytes());
        self.settle();
        client
    }

    /// Bytes come from a client.
    pub fn receive(&mut self, client: Client, data: &[u8]) {
        self.nodes[client.core].core.receive(client.slot, data);
    }

    /// One turn of every core. Returns whether anything moved.
    pub fn turn(&mut self) -> bool {
        self.now.mono_ns += TURN_NANOS;
        self.now.unix_ns += TURN_NANOS as i64;
        (0..self.nodes.len()).fold(false, |moved, core| moved | self.turn_of(core))
    }

    fn turn_of(&mut self, at: usize) -> bool {
        let node = &mut self.nodes[at];
        node.core.begin_turn(self.now);
        let mut moved = !node.in_flight.is_empty();
        for (slot, batch) in node.in_flight.drain(..) {
            let len = batch.len();
            node.core.sent(slot, batch, Ok(len));
        }
        for (from, ring) in node.rings.iter_mut().enumerate() {
            if !ring.is_empty() {
                let used = node.core.receive_records(CoreId(from as u8), ring);
                ring.drain(..used);
                moved = true;
            }
        }
        if node
            .core
            .next_deadline()
            .is_some_and(|deadline| deadline <= self.now.mono_ns)
        {
            node.core.tick();
        }
        node.core.finish_turn();
        node.core.take_dirty(&mut node.dirty);
        for slot in node.dirty.drain(..) {
            if let Some(batch) = node.core.take_batch(slot) {
                self.sent_bytes += batch.len() as u64;
                node.in_flight.push((slot, batch));
                moved = true;
            }
        }
        node.core.take_effects(&mut node.effects);
        for effect in node.effects.drain(..) {
            if let Effect::Close { slot, .. } = effect {
                node.core.released(slot);
            }
        }
        moved | self.send_to_cores(at)
    }

    fn send_to_cores(&mut self, at: usize) -> bool {
        let mut moved = false;
        for to in (0..self.nodes.len()).filter(|&to| to != at) {
            let [node, peer] = self.nodes.get_disjoint_mut([at, to]).expect("two cores");
            let outbox = node.core.outbox(CoreId(to as u8));
            while let Some(body) = outbox.next_parcel() {
                peer.core.receive_parcel(CoreId(at as u8), body);
            }
            let unsent = outbox.unsent();
            if !unsent.is_empty() {
                peer.rings[at].extend_from_slice(unsent);
                let count = unsent.len();
                outbox.advance(count);
                moved = true;
            }
        }
        // The loop takes another turn in any case.
        let _ = self.nodes[at].core.outboxes_drained();
        moved
    }

    /// Turns until nothing moves.
    pub fn settle(&mut self) {
        while self.turn() {}
    }

    /// Bytes come from a client, and everything that follows from them happens.
    pub fn exchange(&mut self, client: Client, data: &[u8]) {
        self.receive(client, data);
        self.settle();
    }
}
