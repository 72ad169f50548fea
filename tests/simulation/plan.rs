//! The shape of a run: sizes and probabilities, partly drawn from its seed.

use super::fault::Fault;
use super::rng::Rng;

/// What varies between the tests. Sizes are in bytes, times in nanoseconds of
/// the virtual clock.
#[derive(Clone, Debug)]
pub struct Plan {
    pub cores: usize,
    /// Clients over the run; some connect late.
    pub clients: usize,
    /// What clients do, in all.
    pub operations: usize,
    /// Capacity of the byte ring between two cores.
    pub ring_bytes: usize,
    /// Capacity of the parcel ring between two cores.
    pub ring_parcels: usize,
    /// Capacity of the kernel's buffer towards a client.
    pub socket_bytes: usize,
    /// Most that one completed receive carries.
    pub read_bytes: usize,
    /// The server's `max_pending`.
    pub max_pending: usize,
    /// The server's `write_deadline`.
    pub write_deadline: u64,
    /// Payloads above the parcel size, in percent of messages.
    pub large_percent: usize,
    /// Largest payload.
    pub payload_max: usize,
    /// Cores that get no turn for a while, in percent of the scheduler's steps.
    pub freeze_percent: usize,
    /// Clients that connect, subscribe and never read again.
    pub never_readers: usize,
    /// Clients may stop reading for a while, or vanish.
    pub unreliable_clients: bool,
    /// Of a hundred operations, how many end a client in order, right after a burst.
    pub leave_percent: usize,
    /// What the links between cores do wrong.
    pub fault: Option<Fault>,
}

impl Plan {
    /// Cores that work as intended, clients that come and go.
    pub fn ordinary(cores: usize, rng: &mut Rng) -> Self {
        Self {
            cores,
            clients: rng.between(3, 9),
            operations: rng.between(60, 220),
            ring_bytes: rng.pick(&[64, 300, 4096, 65_536]),
            ring_parcels: rng.pick(&[1, 2, 16]),
            socket_bytes: rng.pick(&[128, 2048, 32_768]),
            read_bytes: rng.pick(&[7, 100, 2048, 65_536]),
            max_pending: rng.pick(&[64 * 1024, 1024 * 1024, 64 * 1024 * 1024]),
            write_deadline: 10_000_000_000,
            large_percent: rng.pick(&[0, 3]),
            payload_max: 40_000,
            freeze_percent: rng.pick(&[0, 1]),
            never_readers: 0,
            unreliable_clients: rng.chance(70),
            leave_percent: 1,
            fault: None,
        }
    }

    /// Rings that hold less than one record.
    pub fn tiny_rings(rng: &mut Rng) -> Self {
        let cores = rng.between(2, 5);
        Self {
            ring_bytes: rng.between(1, 40),
            ring_parcels: 1,
            ..Self::ordinary(cores, rng)
        }
    }

    /// Outboxes that reach the bytes at which publishers are paused.
    pub fn full_outboxes(rng: &mut Rng) -> Self {
        let cores = rng.between(2, 4);
        Self {
            clients: rng.between(8, 14),
            operations: 120,
            ring_bytes: rng.pick(&[256, 65_536]),
            ring_parcels: rng.pick(&[1, 4, 12]),
            socket_bytes: 64 * 1024,
            read_bytes: 64 * 1024,
            max_pending: 64 * 1024 * 1024,
            large_percent: 60,
            payload_max: 120_000,
            freeze_percent: 6,
            unreliable_clients: false,
            leave_percent: 8,
            ..Self::ordinary(cores, rng)
        }
    }

    /// Readers that stop, among others that never do.
    ///
    /// What reaches one connection between two turns of its core is bounded by
    /// the rings and reads here, far below `max_pending`: a prompt reader is
    /// never cut off, whatever the scheduler does.
    pub fn slow_readers(rng: &mut Rng) -> Self {
        let cores = rng.between(1, 4);
        Self {
            clients: rng.between(5, 8),
            operations: rng.between(200, 400),
            ring_bytes: rng.pick(&[300, 1024]),
            ring_parcels: 1,
            socket_bytes: 2048,
            read_bytes: 256,
            max_pending: rng.pick(&[128 * 1024, 192 * 1024]),
            write_deadline: 2_000_000_000,
            large_percent: 0,
            payload_max: 1500,
            freeze_percent: 0,
            never_readers: rng.between(1, 3),
            unreliable_clients: false,
            leave_percent: 1,
            ..Self::ordinary(cores, rng)
        }
    }

    /// Whether prompt readers must never be cut off.
    pub fn spares_prompt_readers(&self) -> bool {
        self.never_readers > 0
    }
}
