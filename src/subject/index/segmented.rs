//! A vector that grows by whole segments.
//!
//! A `Vec` of ten million entries copies all of them when it doubles, which
//! stops a core for tens of milliseconds and holds the memory twice meanwhile.
//! Here growth never moves an entry: only the short list of segments is copied.

use std::mem::size_of;

/// Entries a segment holds. The first one grows to it from nothing, so that small
/// vectors stay small.
const SEGMENT_LEN: usize = 1 << SEGMENT_SHIFT;
const SEGMENT_SHIFT: u32 = 10;

/// A growable array with stable entries, indexed by `u32`.
#[derive(Debug)]
pub(super) struct Segmented<T> {
    /// All full but the last, which is never empty.
    segments: Vec<Vec<T>>,
}

impl<T> Segmented<T> {
    pub(super) const fn new() -> Self {
        Self {
            segments: Vec::new(),
        }
    }

    /// Number of entries.
    pub(super) fn len(&self) -> usize {
        match self.segments.split_last() {
            Some((last, full)) => full.len() * SEGMENT_LEN + last.len(),
            None => 0,
        }
    }

    pub(super) fn push(&mut self, entry: T) {
        match self.segments.last_mut() {
            Some(last) if last.len() < SEGMENT_LEN => last.push(entry),
            Some(_) => {
                let mut segment = Vec::with_capacity(SEGMENT_LEN);
                segment.push(entry);
                self.segments.push(segment);
            }
            None => self.segments.push(vec![entry]),
        }
    }

    /// Takes the last entry; an emptied segment is given back to the allocator.
    pub(super) fn pop(&mut self) -> Option<T> {
        let last = self.segments.last_mut()?;
        let entry = last.pop();
        if last.is_empty() {
            self.segments.pop();
        }
        entry
    }

    pub(super) fn get(&self, index: u32) -> Option<&T> {
        self.segments
            .get((index >> SEGMENT_SHIFT) as usize)?
            .get(index as usize % SEGMENT_LEN)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.segments.iter().flatten()
    }

    /// Bytes allocated for the entries and the list of segments.
    pub(super) fn memory_bytes(&self) -> usize {
        // Only the first segment can have less than its full capacity.
        let entries = match self.segments.as_slice() {
            [] => 0,
            [only] => only.capacity(),
            several => several.len() * SEGMENT_LEN,
        };
        entries * size_of::<T>() + self.segments.capacity() * size_of::<Vec<T>>()
    }
}

impl<T> std::ops::Index<u32> for Segmented<T> {
    type Output = T;

    #[inline]
    fn index(&self, index: u32) -> &T {
        &self.segments[(index >> SEGMENT_SHIFT) as usize][index as usize % SEGMENT_LEN]
    }
}

impl<T> std::ops::IndexMut<u32> for Segmented<T> {
    #[inline]
    fn index_mut(&mut self, index: u32) -> &mut T {
        &mut self.segments[(index >> SEGMENT_SHIFT) as usize][index as usize % SEGMENT_LEN]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behaves_as_a_stack_across_segments() {
        let mut entries = Segmented::new();
        let count = 3 * SEGMENT_LEN as u32 + 5;
        for entry in 0..count {
            entries.push(entry);
            assert_eq!(entries.len(), entry as usize + 1);
        }
        assert!(entries.iter().copied().eq(0..count));
        assert_eq!(entries[SEGMENT_LEN as u32], SEGMENT_LEN as u32);
        assert_eq!(entries.get(count), None);
        for entry in (0..count).rev() {
            assert_eq!(entries.pop(), Some(entry));
        }
        assert_eq!(entries.pop(), None);
        assert_eq!(entries.len(), 0);
    }

    #[test]
    fn memory_returns_as_the_stack_shrinks() {
        let mut entries = Segmented::new();
        (0..10 * SEGMENT_LEN as u64).for_each(|entry| entries.push(entry));
        let full = entries.memory_bytes();
        assert!(full >= 10 * SEGMENT_LEN * size_of::<u64>());
        while entries.len() > SEGMENT_LEN {
            entries.pop();
        }
        assert!(entries.memory_bytes() < full / 5);
    }
}
