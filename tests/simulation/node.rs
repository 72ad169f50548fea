//! One core and its loop: what the runtime's driver does, without I/O.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use ringwire::broker::{Core, CoreId, Effect, Now, Settings};

use super::link::Mesh;
use super::rng::Rng;
use super::socket::{Event, Socket};

/// Wall clock at virtual time 0, in nanoseconds since 1970.
const UNIX_START: i64 = 1_700_000_000_000_000_000;

/// A connection that the core closed.
pub struct Closed {
    pub client: usize,
    pub reason: String,
    /// Bytes that waited for it when it was closed.
    pub pending: usize,
}

/// A service of the server beside the core, as JetStream: part of every turn.
pub trait Beside {
    /// Its part of the turn. Returns whether the next must follow without an event.
    fn turn(&mut self, core: &mut Core) -> bool;
}

/// No service.
pub struct Nothing;

impl Beside for Nothing {
    fn turn(&mut self, _core: &mut Core) -> bool {
        false
    }
}

/// What a turn works on besides its core.
pub struct Surroundings<'a> {
    pub now: u64,
    pub rng: &'a mut Rng,
    pub read_bytes: usize,
    /// Completions and records may be seen late.
    pub lazily: bool,
    pub sockets: &'a mut [Socket],
    pub mesh: &'a mut Mesh,
    pub closed: &'a mut Vec<Closed>,
    pub beside: &'a mut dyn Beside,
}

/// A core of the simulated server.
pub struct Node {
    pub core: Core,
    id: usize,
    cores: usize,
    /// The last turn did something, so that the next follows without an event.
    worked: bool,
    /// Beginnings of records, by sending core.
    partial: Vec<Vec<u8>>,
    /// Clients that were accepted for this core.
    adoptions: Vec<usize>,
    clients: BTreeMap<u32, usize>,
}

impl Node {
    /// Core `id` of `cores`, without connections.
    pub fn new(id: usize, cores: usize, settings: Arc<Settings>, seed: u64) -> Self {
        Self {
            core: Core::new(CoreId(id as u8), cores, settings, seed),
            id,
            cores,
            worked: false,
            partial: vec![Vec::new(); cores],
            adoptions: Vec::new(),
            clients: BTreeMap::new(),
        }
    }

    /// Hands it a new connection.
    pub fn adopt(&mut self, client: usize) {
        self.adoptions.push(client);
    }

    /// Whether the real loop would run a turn now.
    pub fn is_awake(&self, sockets: &[Socket], mesh: &Mesh, now: u64) -> bool {
        self.worked
            || !self.adoptions.is_empty()
            || !mesh.is_empty_to(self.id)
            || self.clients.values().any(|&c| sockets[c].has_event())
            || self.next_deadline(sockets).is_some_and(|at| at <= now)
    }

    /// When it must be woken at the latest.
    pub fn next_deadline(&self, sockets: &[Socket]) -> Option<u64> {
        let leaving = self.clients.values().filter_map(|&c| sockets[c].deadline());
        leaving.chain(self.core.next_deadline()).min()
    }

    /// What a sleeping core must not have: something to send. Says what it is.
    pub fn forgotten(&mut self, sockets: &[Socket]) -> Option<String> {
        for to in (0..self.cores).filter(|&to| to != self.id) {
            let pending = self.core.outbox(CoreId(to as u8)).pending();
            if pending > 0 {
                return Some(format!(
                    "core {} sleeps with {pending} bytes for core {to}",
                    self.id
                ));
            }
        }
        self.clients.iter().find_map(|(&slot, &client)| {
            let pending = self.core.waiting_output(slot);
            (pending > 0 && !sockets[client].is_sending()).then(|| {
                format!(
                    "core {} sleeps with {pending} bytes for client {client}",
                    self.id
                )
            })
        })
    }

    /// Connections this core has.
    pub fn connections(&self) -> usize {
        self.clients.len()
    }

    /// Bytes that wait for the client, which is one of this core's.
    pub fn waiting_for(&self, client: usize) -> usize {
        let slot = self.clients.iter().find(|(_, c)| **c == client);
        slot.map_or(0, |(&slot, _)| self.core.waiting_output(slot))
    }

    /// One turn.
    pub fn turn(&mut self, around: &mut Surroundings<'_>) {
        let now = around.now;
        self.core.begin_turn(Now {
            mono_ns: now,
            unix_ns: UNIX_START + now as i64,
        });
        let mut worked = self.completions(around);
        worked |= self.receive_from_cores(around);
        for client in std::mem::take(&mut self.adoptions) {
            let peer = SocketAddr::from(([127, 0, 0, 1], 40_000 + client as u16));
            let slot = self.core.connect(client as u64 + 1, peer, None);
            self.clients.insert(slot, client);
            worked = true;
        }
        if self.core.next_deadline().is_some_and(|at| at <= now) {
            self.core.tick();
            worked = true;
        }
        worked |= around.beside.turn(&mut self.core);
        self.core.finish_turn();
        worked |= self.core.has_backlog();
        self.flush(around);
        worked |= self.send_to_cores(around);
        self.carry_out_effects(around);
        for (&slot, &client) in &self.clients {
            around.sockets[client].continue_leaving(self.core.is_flushed(slot), now);
        }
        self.worked = worked;
    }

    fn completions(&mut self, around: &mut Surroundings<'_>) -> bool {
        // All completions are there before the first is handled: a pause does
        // not keep away what was already received.
        let mut events = Vec::new();
        let mut all = Vec::new();
        for (&slot, &client) in &self.clients {
            let socket = &mut around.sockets[client];
            socket.complete(around.rng, around.read_bytes, around.lazily, &mut events);
            all.extend(events.drain(..).map(|event| (slot, event)));
        }
        let worked = !all.is_empty();
        for (slot, event) in all {
            match event {
                Event::Received(data) => self.core.receive(slot, &data),
                Event::Ended(errno) => self.core.receive_ended(slot, errno),
                Event::Sent(batch, result) => self.core.sent(slot, batch, result),
                Event::Drained => {
                    self.core.released(slot);
                    self.clients.remove(&slot);
                }
            }
        }
        worked
    }

    /// Presents what other cores sent, cut anywhere.
    fn receive_from_cores(&mut self, around: &mut Surroundings<'_>) -> bool {
        let mut worked = false;
        for from in (0..self.cores).filter(|&from| from != self.id) {
            let link = around.mesh.link(from, self.id);
            if link.is_empty() {
                continue;
            }
            worked = true;
            let id = CoreId(from as u8);
            let (core, partial) = (&mut self.core, &mut self.partial[from]);
            let mut bodies = false;
            while !(around.lazily && around.rng.chance(25)) {
                let Some(body) = link.pop_parcel() else { break };
                core.receive_parcel(id, body);
                bodies = true;
            }
            if bodies && !partial.is_empty() {
                let used = core.receive_records(id, partial);
                partial.drain(..used);
            }
            let shown = if around.lazily {
                around.rng.between(0, link.readable())
            } else {
                link.readable()
            };
            let bytes = link.take(shown);
            let cut = around.rng.between(0, bytes.len());
            for part in [&bytes[..cut], &bytes[cut..]] {
                partial.extend_from_slice(part);
                let used = core.receive_records(id, partial);
                partial.drain(..used);
            }
        }
        worked
    }

    fn flush(&mut self, around: &mut Surroundings<'_>) {
        let mut dirty = Vec::new();
        self.core.take_dirty(&mut dirty);
        for slot in dirty {
            if let Some(batch) = self.core.take_batch(slot) {
                around.sockets[self.clients[&slot]].send(batch);
            }
        }
    }

    /// Returns whether something is left.
    fn send_to_cores(&mut self, around: &mut Surroundings<'_>) -> bool {
        let mut left = false;
        for to in (0..self.cores).filter(|&to| to != self.id) {
            let link = around.mesh.link(self.id, to);
            let outbox = self.core.outbox(CoreId(to as u8));
            while let Some(body) = outbox.next_parcel() {
                if let Err(body) = link.push_parcel(body) {
                    outbox.return_parcel(body);
                    break;
                }
            }
            let count = link.push_bytes(outbox.unsent());
            outbox.advance(count);
            left |= !outbox.is_empty();
        }
        left | self.core.outboxes_drained()
    }

    fn carry_out_effects(&mut self, around: &mut Surroundings<'_>) {
        let mut effects = Vec::new();
        self.core.take_effects(&mut effects);
        for effect in effects {
            match effect {
                Effect::Close { slot, mode } => {
                    let now = around.now;
                    self.socket(slot, around).leave(mode, now);
                }
                Effect::Pause { slot } => self.socket(slot, around).set_reading(false),
                Effect::Resume { slot } => self.socket(slot, around).set_reading(true),
                Effect::Closed(snapshot) => around.closed.push(Closed {
                    client: snapshot.figures.cid as usize - 1,
                    reason: snapshot.reason.clone(),
                    pending: snapshot.figures.pending_bytes as usize,
                }),
                Effect::Verify { .. }
                | Effect::Log { .. }
                | Effect::CancelSend { .. }
                | Effect::Connected(_)
                | Effect::Disconnected(_)
                | Effect::System(_) => {}
            }
        }
    }

    fn socket<'a>(&self, slot: u32, around: &'a mut Surroundings<'_>) -> &'a mut Socket {
        &mut around.sockets[self.clients[&slot]]
    }
}
