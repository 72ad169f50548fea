//! A server of several cores with JetStream beside each, on one simulated disk.

use std::sync::Arc;

use ringwire::broker::{Core, CoreId, ServerIdentity, Settings};
use ringwire::jetstream::settings::JetStreamSettings;
use ringwire::jetstream::{JetStream, Service};
use ringwire::store::sim::SimDisk;
use ringwire::store::{Completed, Disk, FileId, Op, Tag};

use super::link::{Link, Mesh};
use super::node::{Beside, Closed, Node, Surroundings};
use super::rng::Rng;
use super::socket::Socket;

/// Bytes and parcels of a ring between two cores.
const RING_BYTES: usize = 64 * 1024;
const RING_PARCELS: usize = 16;
/// Owners of each core at the shared disk begin at multiples of this.
const OWNER_SHIFT: u32 = 24;

/// The disk as one core has it: its owners are not those of other cores.
struct CoreDisk<'a> {
    disk: &'a mut SimDisk,
    core: u32,
}

impl Disk for CoreDisk<'_> {
    fn submit(&mut self, tag: Tag, mut op: Op) {
        let base = self.core << OWNER_SHIFT;
        let own = |file: &mut FileId| file.owner |= base;
        match &mut op {
            Op::Open { file, .. }
            | Op::Close { file }
            | Op::Read { file, .. }
            | Op::Write { file, .. }
            | Op::Sync { file }
            | Op::Allocate { file, .. }
            | Op::Truncate { file, .. } => own(file),
            Op::MakeDir { .. }
            | Op::List { .. }
            | Op::Rename { .. }
            | Op::Remove { .. }
            | Op::RemoveTree { .. }
            | Op::SyncDir { .. } => {}
        }
        let owner = tag.owner | base;
        self.disk.submit(Tag { owner, ..tag }, op);
    }
}

/// JetStream of one core in its turn.
struct Turn<'a> {
    service: &'a mut Service,
    disk: CoreDisk<'a>,
    completed: Vec<Completed>,
    started: &'a mut bool,
}

impl Beside for Turn<'_> {
    fn turn(&mut self, core: &mut Core) -> bool {
        if !*self.started {
            *self.started = true;
            self.service.start(core, &mut self.disk);
        }
        let worked = self
            .service
            .turn(core, &mut self.disk, self.completed.drain(..));
        worked | self.service.has_backlog()
    }
}

struct Persistence {
    service: Service,
    completed: Vec<Completed>,
    started: bool,
}

/// The server.
pub struct Server {
    nodes: Vec<Node>,
    beside: Vec<Persistence>,
    mesh: Mesh,
}

impl Server {
    /// A server that has not begun to open its store.
    pub fn new(cores: usize, settings: &JetStreamSettings, rng: &mut Rng) -> Self {
        let broker = Arc::new(Settings {
            identity: ServerIdentity {
                server_id: "SIM".to_owned(),
                version: "2.15.1".to_owned(),
                headers: true,
                ..ServerIdentity::default()
            },
            ..Settings::default()
        });
        Self {
            nodes: (0..cores)
                .map(|id| Node::new(id, cores, Arc::clone(&broker), rng.next()))
                .collect(),
            beside: (0..cores)
                .map(|id| Persistence {
                    service: Service::new(JetStream::new(
                        CoreId(id as u8),
                        cores,
                        settings.clone(),
                    )),
                    completed: Vec::new(),
                    started: false,
                })
                .collect(),
            mesh: Mesh::new(cores, || Link::new(RING_BYTES, RING_PARCELS, None)),
        }
    }

    /// Number of cores.
    pub fn cores(&self) -> usize {
        self.nodes.len()
    }

    /// Whether clients are let in.
    pub fn is_ready(&self) -> bool {
        self.beside
            .iter()
            .all(|beside| beside.started && beside.service.jetstream.is_ready())
    }

    /// Hands a new connection to a core.
    pub fn adopt(&mut self, core: usize, connection: usize) {
        self.nodes[core].adopt(connection);
    }

    /// The disk is done with something.
    pub fn completed(&mut self, mut done: Completed) {
        let core = done.tag.owner >> OWNER_SHIFT;
        done.tag.owner &= (1 << OWNER_SHIFT) - 1;
        self.beside[core as usize].completed.push(done);
    }

    /// When a core must be woken at the latest.
    pub fn next_deadline(&self, sockets: &[Socket]) -> Option<u64> {
        let cores = self.nodes.iter().filter_map(|n| n.next_deadline(sockets));
        let beside = self.beside.iter();
        cores
            .chain(beside.filter_map(|beside| beside.service.next_deadline()))
            .min()
    }

    /// A turn of one core, if it is awake. Returns whether it was.
    pub fn turn(
        &mut self,
        core: usize,
        now: u64,
        lazily: bool,
        rng: &mut Rng,
        sockets: &mut [Socket],
        disk: &mut SimDisk,
    ) -> bool {
        let beside = &mut self.beside[core];
        let due = beside.service.next_deadline().is_some_and(|at| at <= now);
        let awake = due
            || !beside.started
            || !beside.completed.is_empty()
            || self.nodes[core].is_awake(sockets, &self.mesh, now);
        if !awake {
            return false;
        }
        let mut closed: Vec<Closed> = Vec::new();
        let mut turn = Turn {
            completed: std::mem::take(&mut beside.completed),
            service: &mut beside.service,
            disk: CoreDisk {
                disk,
                core: core as u32,
            },
            started: &mut beside.started,
        };
        self.nodes[core].turn(&mut Surroundings {
            now,
            rng,
            read_bytes: 4096,
            lazily,
            sockets,
            mesh: &mut self.mesh,
            closed: &mut closed,
            beside: &mut turn,
        });
        true
    }

    /// Begins an orderly end.
    pub fn stop(&mut self, disk: &mut SimDisk) {
        for (core, (node, beside)) in self.nodes.iter_mut().zip(&mut self.beside).enumerate() {
            let mut disk = CoreDisk {
                disk,
                core: core as u32,
            };
            beside.service.stop(&mut node.core, &mut disk);
        }
    }

    /// Whether the end is reached.
    pub fn is_stopped(&self) -> bool {
        self.beside.iter().all(|b| b.service.is_stopped())
    }
}
