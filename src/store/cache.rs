//! What was read from segments, kept for the next reader: bounded, and shared by all logs of a core.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::aligned::Aligned;

/// Buffers of evicted windows kept for reuse, in bytes. They count towards the budget.
const POOL_BYTES: usize = 4 * 1024 * 1024;
/// Larger buffers return to the allocator.
const POOL_BUFFER_MAX: usize = 1024 * 1024;

/// Whose file, and which byte of it a window begins at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct WindowKey {
    pub(super) owner: u32,
    pub(super) file: u32,
    pub(super) start: u32,
}

/// A stretch of a file in memory.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) start: u32,
    /// Bytes of the buffer that are the file's.
    pub(super) used: usize,
    pub(super) buffer: Aligned,
}

impl Window {
    /// All from a byte of the file on, if at least `length` bytes of it are here.
    pub(super) fn from(&self, offset: u32, length: usize) -> Option<&[u8]> {
        let at = offset.checked_sub(self.start)? as usize;
        let bytes = self.buffer[..self.used].get(at..)?;
        (bytes.len() >= length).then_some(bytes)
    }
}

#[derive(Debug)]
struct Slot {
    window: Arc<Window>,
    /// Asked for since the hand passed it.
    recent: bool,
    /// Of this slot among those that had the same key; the queue may still hold older ones.
    ticket: u64,
}

#[derive(Default)]
struct Inner {
    budget: usize,
    used: usize,
    slots: BTreeMap<WindowKey, Slot>,
    /// In the order of arrival, for second-chance eviction; entries without a slot are skipped.
    hand: VecDeque<(WindowKey, u64)>,
    tickets: u64,
    pool: Vec<Aligned>,
    pooled: usize,
}

/// A handle on the cache of one core.
///
/// Uncontended, since one core has one; the lock makes it safe to hand about.
#[derive(Clone)]
pub struct BlockCache {
    inner: Arc<Mutex<Inner>>,
}

impl fmt::Debug for BlockCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.inner();
        write!(f, "BlockCache({} of {} bytes)", inner.used, inner.budget)
    }
}

impl BlockCache {
    /// A cache that holds at most `budget` bytes; what is being written, read or handed out comes
    /// on top.
    pub fn new(budget: usize) -> Self {
        let inner = Inner {
            budget,
            ..Inner::default()
        };
        Self {
            inner: Arc::new(Mutex::new(inner)),
        }
    }

    /// Bytes held, those of spare buffers included.
    pub fn memory_bytes(&self) -> usize {
        let inner = self.inner();
        inner.used + inner.pooled
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A buffer of at least `bytes`. Its content is arbitrary.
    pub(super) fn buffer(&self, bytes: usize) -> Aligned {
        let mut inner = self.inner();
        let fit = inner
            .pool
            .iter()
            .rposition(|b| b.len() >= bytes && b.len() <= bytes.saturating_mul(4));
        match fit {
            Some(at) => {
                let buffer = inner.pool.swap_remove(at);
                inner.pooled -= buffer.len();
                buffer
            }
            None => Aligned::new(bytes.next_power_of_two()),
        }
    }

    /// Gives back a buffer that is not needed.
    pub(super) fn recycle(&self, buffer: Aligned) {
        self.inner().recycle(buffer);
    }

    /// A window that has `length` bytes from `offset` on.
    pub(super) fn get(
        &self,
        owner: u32,
        file: u32,
        offset: u32,
        length: usize,
    ) -> Option<Arc<Window>> {
        let mut inner = self.inner();
        let low = WindowKey {
            owner,
            file,
            start: 0,
        };
        let high = WindowKey {
            start: offset,
            ..low
        };
        let slots = inner.slots.range_mut(low..=high).rev();
        for (_, slot) in slots.take(4) {
            if slot.window.from(offset, length).is_some() {
                slot.recent = true;
                return Some(Arc::clone(&slot.window));
            }
        }
        None
    }

    /// Keeps a window, and evicts others above the budget.
    pub(super) fn insert(&self, owner: u32, file: u32, window: Arc<Window>) {
        let key = WindowKey {
            owner,
            file,
            start: window.start,
        };
        let mut inner = self.inner();
        inner.tickets += 1;
        let ticket = inner.tickets;
        inner.used += window.buffer.len();
        let slot = Slot {
            window,
            recent: false,
            ticket,
        };
        if let Some(old) = inner.slots.insert(key, slot) {
            inner.give_up(old.window);
        }
        inner.hand.push_back((key, ticket));
        inner.evict();
    }

    /// Forgets windows of a file: all, or one owner's files if `file` is `None`.
    pub(super) fn forget(&self, owner: u32, file: Option<u32>) {
        let low = WindowKey {
            owner,
            file: file.unwrap_or(0),
            start: 0,
        };
        let high = WindowKey {
            owner,
            file: file.unwrap_or(u32::MAX),
            start: u32::MAX,
        };
        let mut inner = self.inner();
        let keys: Vec<_> = inner
            .slots
            .range(low..=high)
            .map(|entry| *entry.0)
            .collect();
        for key in keys {
            if let Some(slot) = inner.slots.remove(&key) {
                inner.give_up(slot.window);
            }
        }
    }
}

impl Inner {
    fn recycle(&mut self, buffer: Aligned) {
        if buffer.len() <= POOL_BUFFER_MAX
            && self.pooled + buffer.len() <= POOL_BYTES.min(self.budget / 4)
        {
            self.pooled += buffer.len();
            self.pool.push(buffer);
        }
    }

    fn give_up(&mut self, window: Arc<Window>) {
        self.used -= window.buffer.len();
        if let Ok(window) = Arc::try_unwrap(window) {
            self.recycle(window.buffer);
        }
    }

    fn evict(&mut self) {
        while self.used + self.pooled > self.budget {
            let Some((key, ticket)) = self.hand.pop_front() else {
                break;
            };
            let Some(slot) = self.slots.get_mut(&key).filter(|s| s.ticket == ticket) else {
                continue;
            };
            if slot.recent {
                slot.recent = false;
                self.hand.push_back((key, ticket));
            } else if let Some(slot) = self.slots.remove(&key) {
                self.give_up(slot.window);
            }
        }
        // Taken and forgotten windows leave their place in the queue behind.
        if self.hand.len() > 2 * self.slots.len() + 64 {
            let slots = &self.slots;
            self.hand
                .retain(|(key, ticket)| slots.get(key).is_some_and(|s| s.ticket == *ticket));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::disk::BLOCK;

    fn window(start: u32) -> Arc<Window> {
        Arc::new(Window {
            start,
            used: BLOCK,
            buffer: Aligned::new(BLOCK),
        })
    }

    #[test]
    fn the_budget_holds_and_what_is_asked_for_stays() {
        let cache = BlockCache::new(4 * BLOCK);
        let step = BLOCK as u32;
        for at in 0..4 {
            cache.insert(1, 0, window(at * step));
        }
        assert!(cache.get(1, 0, 0, 1).is_some());
        for at in 4..7 {
            cache.insert(1, 0, window(at * step));
        }
        assert!(cache.memory_bytes() <= 4 * BLOCK);
        assert!(cache.get(1, 0, 0, BLOCK).is_some());
        assert!(cache.get(1, 0, step, 1).is_none());
        assert!(cache.get(1, 0, 6 * step + 5, BLOCK - 5).is_some());
        assert!(cache.get(1, 0, 6 * step + 5, BLOCK).is_none());
        assert!(cache.get(2, 0, 0, 1).is_none());
        cache.forget(1, None);
        assert!(cache.get(1, 0, 0, 1).is_none());
        assert!(cache.memory_bytes() <= BLOCK);
    }
}
