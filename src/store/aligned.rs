//! Buffers that O_DIRECT accepts.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use super::disk::BLOCK;

/// A buffer of whole [blocks](BLOCK), aligned to a block, zeroed when new.
///
/// Dereferences to all of it; how much is in use its owner knows.
pub struct Aligned {
    start: NonNull<u8>,
    capacity: usize,
}

// SAFETY: the allocation is owned by this value alone, like a `Box<[u8]>`.
unsafe impl Send for Aligned {}
// SAFETY: shared references only read.
unsafe impl Sync for Aligned {}

impl Aligned {
    /// A zeroed buffer of at least `bytes`, and at least one block.
    pub fn new(bytes: usize) -> Self {
        let layout = Self::layout(bytes.max(1).next_multiple_of(BLOCK));
        // SAFETY: the layout's size is not zero.
        let start = unsafe { alloc_zeroed(layout) };
        let Some(start) = NonNull::new(start) else {
            handle_alloc_error(layout)
        };
        Self {
            start,
            capacity: layout.size(),
        }
    }

    /// Makes the buffer at least `bytes` large and keeps its first `used` bytes; the rest is
    /// zero if it grew.
    pub fn grow(&mut self, bytes: usize, used: usize) {
        if bytes > self.capacity {
            let mut larger = Self::new(bytes.max(self.capacity.saturating_mul(2)));
            larger[..used].copy_from_slice(&self[..used]);
            *self = larger;
        }
    }

    fn layout(bytes: usize) -> Layout {
        Layout::from_size_align(bytes, BLOCK).expect("a buffer is smaller than the address space")
    }
}

impl Deref for Aligned {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `start` is an allocation of `capacity` initialised bytes that this value owns.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.capacity) }
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, and `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.capacity) }
    }
}

impl Drop for Aligned {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout.
        unsafe { dealloc(self.start.as_ptr(), Self::layout(self.capacity)) }
    }
}

impl fmt::Debug for Aligned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Aligned({} bytes)", self.capacity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_whole_aligned_blocks_and_keep_their_start_when_they_grow() {
        let mut buffer = Aligned::new(1);
        assert_eq!(buffer.len(), BLOCK);
        assert_eq!(buffer.as_ptr().addr() % BLOCK, 0);
        buffer[..3].copy_from_slice(b"abc");
        buffer[5] = 1;
        buffer.grow(BLOCK + 1, 3);
        assert_eq!(buffer.len(), 2 * BLOCK);
        assert_eq!(buffer.as_ptr().addr() % BLOCK, 0);
        assert_eq!(&buffer[..6], b"abc\0\0\0");
    }
}
