//! How many connections each core has, for spreading new ones.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::broker::CoreId;
use crate::config::Accept;

/// One core's numbers, on a cache line of their own: each core writes only its
/// own, once a turn in which they changed, and only the accepting core reads.
#[repr(align(128))]
#[derive(Default)]
struct Load {
    /// Connections given to the core, written by the accepting core.
    assigned: AtomicU64,
    /// Connections that ended on it, written by the core itself.
    ended: AtomicU64,
}

/// The numbers of all cores.
pub struct Loads {
    cores: Vec<Load>,
    cid: AtomicU64,
    accept: Accept,
    /// Connections given away, for taking turns.
    given: AtomicU64,
}

impl Loads {
    /// Numbers for `cores` cores, among which connections are spread in this way.
    pub fn new(cores: usize, accept: Accept) -> Self {
        Self {
            cores: (0..cores).map(|_| Load::default()).collect(),
            cid: AtomicU64::new(0),
            accept,
            given: AtomicU64::new(0),
        }
    }

    /// How many cores there are.
    pub fn cores(&self) -> usize {
        self.cores.len()
    }

    /// The next connection's number, from 1.
    pub fn next_cid(&self) -> u64 {
        self.cid.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn load(&self, core: usize) -> u64 {
        let load = &self.cores[core];
        let assigned = load.assigned.load(Ordering::Relaxed);
        assigned.saturating_sub(load.ended.load(Ordering::Relaxed))
    }

    /// Open connections, including those on their way to a core.
    pub fn total(&self) -> usize {
        (0..self.cores.len())
            .map(|core| self.load(core) as usize)
            .sum()
    }

    /// How connections are spread.
    pub fn accept(&self) -> Accept {
        self.accept
    }

    /// Chooses the core for one more connection. `near` is the core on the CPU that
    /// its packets come in on, if there is one; only [`Accept::IncomingCpu`] asks.
    pub fn assign(&self, near: Option<CoreId>) -> CoreId {
        let given = self.given.fetch_add(1, Ordering::Relaxed);
        let least = || (0..self.cores.len()).min_by_key(|&core| self.load(core));
        let core = match (self.accept, near) {
            (Accept::RoundRobin, _) => Some((given % self.cores.len() as u64) as usize),
            (Accept::IncomingCpu, Some(near)) => Some(usize::from(near.0)),
            _ => least(),
        };
        let core = core.unwrap_or(0);
        self.cores[core].assigned.fetch_add(1, Ordering::Relaxed);
        CoreId(core as u8)
    }

    /// Core `id` has had `total` connections, of which `open` are left.
    #[inline]
    pub fn publish(&self, id: CoreId, total: u64, open: usize) {
        let ended = total - open as u64;
        let cell = &self.cores[usize::from(id.0)].ended;
        if cell.load(Ordering::Relaxed) != ended {
            cell.store(ended, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_loaded_core_gets_the_next_connection() {
        let loads = Loads::new(2, Accept::Least);
        let assign = || loads.assign(Some(CoreId(1)));
        assert_eq!(assign(), CoreId(0));
        assert_eq!(assign(), CoreId(1));
        assert_eq!(assign(), CoreId(0));
        loads.publish(CoreId(0), 2, 0);
        assert_eq!(assign(), CoreId(0));
        assert_eq!(loads.total(), 2);
    }

    #[test]
    fn cores_take_turns_whatever_their_load() {
        let loads = Loads::new(3, Accept::RoundRobin);
        let mut assigned = Vec::new();
        for _ in 0..4 {
            assigned.push(loads.assign(None).0);
            loads.publish(CoreId(0), 2, 0);
        }
        assert_eq!(assigned, [0, 1, 2, 0]);
    }

    #[test]
    fn a_connection_goes_where_its_packets_are() {
        let loads = Loads::new(3, Accept::IncomingCpu);
        assert_eq!(loads.assign(Some(CoreId(2))), CoreId(2));
        assert_eq!(loads.assign(Some(CoreId(2))), CoreId(2));
        assert_eq!(loads.assign(None), CoreId(0));
        assert_eq!(loads.assign(None), CoreId(1));
    }
}
