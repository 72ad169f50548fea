//! A run: a server of several cores, its clients, and the scheduler.

mod watch;

use std::sync::Arc;
use std::time::Duration;

use ringwire::broker::{ServerIdentity, Settings};

use super::check::{Checker, Promise, Violation};
use super::client::Client;
use super::fault::FaultyStream;
use super::history::History;
use super::link::{Link, Mesh};
use super::node::{Closed, Node, Nothing, Surroundings};
use super::plan::Plan;
use super::rng::Rng;
use super::socket::Socket;

/// Steps of the scheduler for each operation before a run counts as stuck.
const STEPS_PER_OPERATION: usize = 400;
/// Rounds of deadlines in which everything must come to rest.
const ROUNDS_MAX: usize = 20_000;

/// What a run met, to show that the tests reach what they are about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Met {
    pub messages: u64,
    pub deliveries: u64,
    pub no_responders: u64,
    pub handed_on: u64,
    pub cut_off: u64,
    pub stalls: u64,
    /// Turns after which an outbox was over the bytes that pause publishers.
    pub full_outboxes: u64,
    pub limits_reached: u64,
    /// Digest of all turns: equal if two runs were the same.
    pub digest: u64,
}

impl Met {
    /// Adds another run.
    pub fn add(&mut self, other: &Self) {
        self.messages += other.messages;
        self.deliveries += other.deliveries;
        self.no_responders += other.no_responders;
        self.handed_on += other.handed_on;
        self.cut_off += other.cut_off;
        self.stalls += other.stalls;
        self.full_outboxes += other.full_outboxes;
        self.limits_reached += other.limits_reached;
        self.digest = self.digest.rotate_left(5) ^ other.digest;
    }
}

/// The state of a run.
struct World {
    plan: Plan,
    rng: Rng,
    now: u64,
    nodes: Vec<Node>,
    mesh: Mesh,
    sockets: Vec<Socket>,
    clients: Vec<Client>,
    history: History,
    checker: Checker,
    closed: Vec<Closed>,
    /// Steps for which a core gets no turn.
    frozen: Vec<usize>,
    met: Met,
}

/// Runs a plan.
///
/// # Errors
/// The first promise that was broken.
pub fn run(plan: Plan, seed: u64) -> Result<Met, Violation> {
    let mut world = World::new(plan, seed);
    world.live()?;
    world.come_to_rest()?;
    world.checker.at_end(&world.history)?;
    Ok(world.summary())
}

fn settings(plan: &Plan) -> Settings {
    Settings {
        identity: ServerIdentity {
            server_id: "SIM".to_owned(),
            version: "2.15.1".to_owned(),
            headers: true,
            ..ServerIdentity::default()
        },
        max_pending: plan.max_pending,
        ping_interval: Duration::from_secs(20),
        ping_max: 1000,
        write_deadline: Duration::from_nanos(plan.write_deadline),
        ..Settings::default()
    }
}

impl World {
    fn new(plan: Plan, seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let settings = Arc::new(settings(&plan));
        let nodes = (0..plan.cores)
            .map(|id| Node::new(id, plan.cores, Arc::clone(&settings), rng.next()))
            .collect();
        let mesh = Mesh::new(plan.cores, || {
            let strike = rng.between(1, 30) as u32;
            let fault = plan.fault.map(|fault| FaultyStream::new(fault, strike));
            Link::new(plan.ring_bytes, plan.ring_parcels, fault)
        });
        Self {
            now: 1_000_000_000,
            nodes,
            mesh,
            sockets: Vec::new(),
            clients: Vec::new(),
            history: History::default(),
            checker: Checker::default(),
            closed: Vec::new(),
            frozen: vec![0; plan.cores],
            met: Met::default(),
            rng,
            plan,
        }
    }

    /// Clients work; everything happens in random order and amounts.
    fn live(&mut self) -> Result<(), Violation> {
        let mut operations = self.plan.operations;
        let steps = self.plan.operations * STEPS_PER_OPERATION;
        for _ in 0..steps {
            if operations == 0 {
                return Ok(());
            }
            self.now += self.rng.below(20_000) as u64;
            for frozen in &mut self.frozen {
                *frozen = frozen.saturating_sub(1);
            }
            match self.rng.below(1000) {
                0..450 => {
                    let node = self.rng.below(self.nodes.len());
                    if self.frozen[node] == 0 {
                        self.turn(node, true)?;
                    }
                }
                450..600 => operations -= usize::from(self.operate()),
                600..790 => self.move_bytes(),
                790..980 => self.read_some()?,
                980..990 if self.rng.chance(self.plan.freeze_percent * 10) => {
                    let node = self.rng.below(self.nodes.len());
                    self.frozen[node] = self.rng.between(10, 800);
                }
                990..995 => self.now += self.rng.below(5_000_000) as u64,
                995 => self.now += self.rng.below(300_000_000) as u64,
                _ => {}
            }
        }
        Ok(())
    }

    /// A client connects or does something. Returns whether one did.
    fn operate(&mut self) -> bool {
        if self.clients.len() < self.plan.clients && self.rng.chance(20) || self.clients.is_empty()
        {
            self.connect();
            return true;
        }
        let id = self.rng.below(self.clients.len());
        let record = &self.history.clients[id];
        if record.finished.is_some() || record.reset.is_some() || record.closed.is_some() {
            return false;
        }
        if record.never_reads && self.rng.chance(50) {
            return false;
        }
        let socket = &mut self.sockets[id];
        self.clients[id].act(&self.plan, &mut self.rng, &mut self.history, socket);
        true
    }

    fn connect(&mut self) {
        let id = self.clients.len();
        let core = self.rng.below(self.nodes.len());
        let mut socket = Socket::new(self.plan.socket_bytes);
        let mut client = Client::connect(id, core, &mut self.rng, &mut self.history, &mut socket);
        if id < self.plan.never_readers {
            client.stop_reading(&mut self.history, &mut socket);
        }
        self.clients.push(client);
        self.sockets.push(socket);
        self.nodes[core].adopt(id);
    }

    fn move_bytes(&mut self) {
        if !self.sockets.is_empty() {
            let id = self.rng.below(self.sockets.len());
            let most = self.rng.between(1, 2 * self.plan.socket_bytes);
            self.sockets[id].transfer(most);
        }
    }

    fn read_some(&mut self) -> Result<(), Violation> {
        if self.clients.is_empty() {
            return Ok(());
        }
        let id = self.rng.below(self.clients.len());
        let most = self.rng.between(1, 2 * self.plan.socket_bytes);
        let client = &mut self.clients[id];
        if client.stalled > 0 {
            client.stalled = client.stalled.saturating_sub(self.plan.clients * 4);
            return Ok(());
        }
        self.read(id, most)
    }

    fn read(&mut self, id: usize, most: usize) -> Result<(), Violation> {
        let record = &self.history.clients[id];
        if record.never_reads || record.reset.is_some() {
            return Ok(());
        }
        let socket = &mut self.sockets[id];
        self.clients[id].read(most, socket, &mut self.history, &mut self.checker)
    }

    /// A turn of one core, if it is awake. Returns whether it was.
    fn turn(&mut self, node: usize, lazily: bool) -> Result<bool, Violation> {
        if !self.nodes[node].is_awake(&self.sockets, &self.mesh, self.now) {
            return Ok(false);
        }
        self.nodes[node].turn(&mut Surroundings {
            now: self.now,
            rng: &mut self.rng,
            read_bytes: self.plan.read_bytes,
            lazily,
            sockets: &mut self.sockets,
            mesh: &mut self.mesh,
            closed: &mut self.closed,
            beside: &mut Nothing,
        });
        self.note_closed()?;
        self.check_memory(node)?;
        self.check_sleep(node)?;
        if self.plan.spares_prompt_readers() {
            self.read_promptly(node)?;
        }
        Ok(true)
    }

    /// Clients that read what there is at once, in plans that ask for it.
    fn read_promptly(&mut self, node: usize) -> Result<(), Violation> {
        for id in 0..self.clients.len() {
            if self.clients[id].core == node {
                while self.sockets[id].transfer(usize::MAX) > 0
                    && !self.history.clients[id].never_reads
                {
                    self.read(id, usize::MAX)?;
                }
            }
        }
        Ok(())
    }

    /// Everybody reads, nobody starts anything: all that waits must arrive.
    fn come_to_rest(&mut self) -> Result<(), Violation> {
        for id in 0..self.clients.len() {
            self.clients[id].stalled = 0;
            if self.history.clients[id].is_healthy() {
                let socket = &mut self.sockets[id];
                self.clients[id].ping(&mut self.history, socket);
            }
        }
        for _ in 0..ROUNDS_MAX {
            self.drain()?;
            if self.is_done() {
                return Ok(());
            }
            let sockets = &self.sockets;
            let deadlines = self.nodes.iter().filter_map(|n| n.next_deadline(sockets));
            match deadlines.min() {
                Some(at) => self.now = self.now.max(at),
                None => break,
            }
        }
        Err(Violation::new(Promise::Progress, self.unfinished()))
    }

    /// Turns until all cores sleep.
    fn drain(&mut self) -> Result<(), Violation> {
        for _ in 0..ROUNDS_MAX * 10 {
            let mut moved = false;
            for node in 0..self.nodes.len() {
                moved |= self.turn(node, false)?;
            }
            for id in 0..self.clients.len() {
                moved |= self.sockets[id].transfer(usize::MAX) > 0;
                if !self.sockets[id].down.is_empty() {
                    self.read(id, usize::MAX)?;
                }
            }
            if !moved {
                return Ok(());
            }
        }
        Err(Violation::new(Promise::Progress, "turns without end"))
    }

    /// Nobody waits for anything. A reader that stopped was cut off, or has
    /// nothing waiting.
    fn is_done(&self) -> bool {
        (0..self.clients.len()).all(|id| {
            let record = &self.history.clients[id];
            if record.closed.is_some() {
                return true;
            }
            if record.never_reads {
                return self.nodes[self.clients[id].core].waiting_for(id) == 0
                    && self.sockets[id].up.is_empty();
            }
            record.is_healthy() && !self.clients[id].is_waiting()
        })
    }

    fn unfinished(&self) -> String {
        let waiting = (0..self.clients.len()).filter(|&id| {
            self.clients[id].is_waiting() && self.history.clients[id].closed.is_none()
        });
        format!("clients {:?} wait for ever", waiting.collect::<Vec<_>>())
    }

    fn summary(&self) -> Met {
        let mut met = self.met;
        let history = &self.history;
        met.messages = history.messages.len() as u64;
        met.deliveries = history.messages.iter().map(|m| m.deliveries).sum();
        met.no_responders = history.messages.iter().filter(|m| m.no_responders).count() as u64;
        let reached = history
            .subs
            .iter()
            .filter(|s| s.limit == Some(s.deliveries));
        met.limits_reached = reached.count() as u64;
        for node in &self.nodes {
            met.handed_on += node.core.counters().handed_on;
            met.stalls += node.core.counters().stalls;
        }
        met.digest ^= met.deliveries;
        met
    }
}
