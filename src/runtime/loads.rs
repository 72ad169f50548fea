//! How many connections each core has, for spreading new ones.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::broker::CoreId;

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
}

impl Loads {
    /// Numbers for `cores` cores.
    pub fn new(cores: usize) -> Self {
        Self {
            cores: (0..cores).map(|_| Load::default()).collect(),
            cid: AtomicU64::new(0),
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

    /// Chooses the core with the fewest connections for one more.
    pub fn assign(&self) -> CoreId {
        let core = (0..self.cores.len())
            .min_by_key(|&core| self.load(core))
            .unwrap_or(0);
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
        let loads = Loads::new(2);
        assert_eq!(loads.assign(), CoreId(0));
        assert_eq!(loads.assign(), CoreId(1));
        assert_eq!(loads.assign(), CoreId(0));
        loads.publish(CoreId(0), 2, 0);
        assert_eq!(loads.assign(), CoreId(0));
        assert_eq!(loads.total(), 2);
    }
}
