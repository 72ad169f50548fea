//! Entries under dense `u32` ids that are reused after removal.

use super::segmented::Segmented;

/// Largest number of entries; the id above the last one can serve as "none".
pub(super) const MAX_ENTRIES: u32 = u32::MAX;

/// An id that no entry ever has.
pub(super) const NONE: u32 = u32::MAX;

/// A pool of entries. It does not know which are in use: the owner marks a
/// vacant entry in the entry itself, where there is room, instead of a tag here.
#[derive(Debug)]
pub(super) struct Slab<T> {
    entries: Segmented<T>,
    /// Ids to reuse, the one freed last first: its entry is still in the cache.
    free: Segmented<u32>,
}

impl<T> Slab<T> {
    pub(super) const fn new() -> Self {
        Self {
            entries: Segmented::new(),
            free: Segmented::new(),
        }
    }

    /// Stores an entry; `None` if all ids are taken.
    pub(super) fn insert(&mut self, entry: T) -> Option<u32> {
        if let Some(id) = self.free.pop() {
            self.entries[id] = entry;
            return Some(id);
        }
        let id = u32::try_from(self.entries.len())
            .ok()
            .filter(|&id| id < MAX_ENTRIES)?;
        self.entries.push(entry);
        Some(id)
    }

    /// Gives `id` back and leaves `vacant` in its place.
    pub(super) fn remove(&mut self, id: u32, vacant: T) {
        self.entries[id] = vacant;
        self.free.push(id);
    }

    /// The entry under an id, vacant or not; `None` if the id was never given out.
    pub(super) fn get(&self, id: u32) -> Option<&T> {
        self.entries.get(id)
    }

    /// Number of entries in use.
    pub(super) fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// All ids ever given out are below this.
    pub(super) fn id_bound(&self) -> usize {
        self.entries.len()
    }

    /// All entries in the order of their ids, vacant ones included.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.entries.iter()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.entries.memory_bytes() + self.free.memory_bytes()
    }
}

impl<T> std::ops::Index<u32> for Slab<T> {
    type Output = T;

    #[inline]
    fn index(&self, id: u32) -> &T {
        &self.entries[id]
    }
}

impl<T> std::ops::IndexMut<u32> for Slab<T> {
    #[inline]
    fn index_mut(&mut self, id: u32) -> &mut T {
        &mut self.entries[id]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_dense_and_reused() {
        let mut slab = Slab::new();
        let ids: Vec<_> = (0..4).map(|n| slab.insert(n).unwrap()).collect();
        assert_eq!(ids, [0, 1, 2, 3]);
        slab.remove(1, -1);
        slab.remove(2, -1);
        assert_eq!((slab.len(), slab.id_bound()), (2, 4));
        assert_eq!(slab.insert(7), Some(2));
        assert_eq!(slab.insert(8), Some(1));
        assert_eq!(slab.insert(9), Some(4));
        assert!(slab.iter().eq(&[0, 8, 7, 3, 9]));
    }
}
