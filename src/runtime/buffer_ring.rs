//! Provided buffers: the memory that the kernel fills on multishot receives.
//!
//! One pool a core. The kernel takes a buffer only at the moment it has bytes
//! to put into it, so an idle connection owns none. A filled buffer comes to
//! the consumer as a [`Chunk`]; dropping the chunk gives it back.
//!
//! The pages come from an anonymous mapping, so that buffers which were never
//! filled cost address space but no memory. Layout of the shared ring:
//! `struct io_uring_buf_ring` of the kernel's `include/uapi/linux/io_uring.h`.

use std::cell::Cell;
use std::io;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;

/// The only buffer group of a ring.
pub(super) const GROUP: u16 = 0;

/// Most buffers that one ring can register (kernel limit, 2^15).
pub const MAX_BUFFERS: u16 = 1 << 15;

/// Private anonymous memory, unmapped on drop.
struct Mapping {
    start: NonNull<u8>,
    bytes: usize,
}

impl Mapping {
    fn new(bytes: usize) -> io::Result<Self> {
        Self::with_flags(bytes, libc::MAP_NORESERVE)
    }

    /// Memory in huge pages of `page_bytes` (the system's default size), all of them there when
    /// this returns: a huge page that is missing later would be a SIGBUS.
    fn in_huge_pages(bytes: usize, page_bytes: usize) -> io::Result<Self> {
        let mapping = Self::with_flags(bytes.next_multiple_of(page_bytes), libc::MAP_HUGETLB)?;
        // SAFETY: exactly the fresh mapping, which nothing else uses.
        let filled = unsafe {
            libc::madvise(
                mapping.start.as_ptr().cast(),
                mapping.bytes,
                libc::MADV_POPULATE_WRITE,
            )
        };
        if filled != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(mapping)
    }

    fn with_flags(bytes: usize, flags: i32) -> io::Result<Self> {
        // SAFETY: a fresh anonymous mapping at an address of the kernel's choice
        // touches no memory of this program.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | flags,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or_else(io::Error::last_os_error)?;
        Ok(Self { start, bytes })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping that `new` made, unmapped once.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}

struct Memory {
    /// `count` entries of [`BufRingEntry`], shared with the kernel.
    ring: Mapping,
    /// `count` buffers of `size` bytes.
    buffers: Mapping,
    /// A power of two.
    count: u16,
    size: u32,
    /// Entries published so far, wrapping; the kernel reads its copy in the ring.
    tail: Cell<u16>,
    /// Chunks that exist.
    lent: Cell<u16>,
}

impl Memory {
    fn buffer(&self, id: u16) -> *mut u8 {
        debug_assert!(id < self.count);
        // SAFETY: `id < count` (checked where ids enter, in `chunk`), so the
        // result lies within the mapping of `count * size` bytes.
        unsafe {
            self.buffers
                .start
                .as_ptr()
                .add(usize::from(id) * self.size as usize)
        }
    }

    /// Hands buffer `id` to the kernel. The caller must own it.
    fn publish(&self, id: u16) {
        let base = self.ring.start.as_ptr().cast::<BufRingEntry>();
        let tail = self.tail.get();
        let position = usize::from(tail & (self.count - 1));
        // SAFETY: `position < count` and the mapping holds `count` entries, page
        // aligned. The kernel reads entries below the tail only, and no more
        // than `count` buffers exist, so this entry is ours until the tail moves.
        // The fields are written one by one because the tail itself overlays
        // the unused last field of entry 0.
        unsafe {
            let entry = &mut *base.add(position);
            entry.set_addr(self.buffer(id) as u64);
            entry.set_len(self.size);
            entry.set_bid(id);
        }
        let tail = tail.wrapping_add(1);
        self.tail.set(tail);
        // SAFETY: `base` is the first entry of the ring, valid and initialised
        // (anonymous memory is zero). The kernel only reads the tail; Release
        // orders the entry's fields before it.
        unsafe {
            let shared = BufRingEntry::tail(base).cast_mut();
            AtomicU16::from_ptr(shared).store(tail, Ordering::Release);
        }
    }
}

/// The pool of one ring.
pub(super) struct BufferRing {
    memory: Rc<Memory>,
}

impl BufferRing {
    /// Maps `count` buffers of `size` bytes and publishes all of them. `huge_page` is the size of
    /// the huge pages that they shall lie in, in bytes, the system's default size; `None` for
    /// ordinary pages.
    ///
    /// # Errors
    /// `InvalidInput` unless `count` is a power of two up to [`MAX_BUFFERS`] and
    /// `size` is positive; the system's error if memory cannot be mapped.
    pub fn new(count: u16, size: u32, huge_page: Option<usize>) -> io::Result<Self> {
        if !count.is_power_of_two() || count > MAX_BUFFERS || size == 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "receive buffers must be a power of two up to {MAX_BUFFERS} and not empty, \
                     got {count} of {size} bytes"
                ),
            ));
        }
        let entries = usize::from(count);
        let memory = Memory {
            ring: Mapping::new(entries * size_of::<BufRingEntry>())?,
            buffers: match huge_page {
                None => Mapping::new(entries * size as usize)?,
                Some(page) => Mapping::in_huge_pages(entries * size as usize, page)?,
            },
            count,
            size,
            tail: Cell::new(0),
            lent: Cell::new(0),
        };
        for id in 0..count {
            memory.publish(id);
        }
        Ok(Self {
            memory: Rc::new(memory),
        })
    }

    /// Registers the pool with `ring` as group [`GROUP`].
    ///
    /// # Safety
    /// The pool must outlive the ring's operations: it is dropped after the
    /// last completion, or not at all.
    pub unsafe fn register(&self, ring: &io_uring::IoUring) -> io::Result<()> {
        let address = self.memory.ring.start.as_ptr() as u64;
        // SAFETY: address and length describe a live page-aligned mapping; the
        // caller promises that it stays.
        unsafe {
            ring.submitter()
                .register_buf_ring_with_flags(address, self.memory.count, GROUP, 0)
        }
    }

    /// Takes over the buffer that a completion names. `None` if the kernel named
    /// something that does not exist.
    ///
    /// # Safety
    /// The completion of this buffer must not have been seen before: one chunk a
    /// buffer.
    pub unsafe fn chunk(&self, id: u16, length: u32) -> Option<Chunk> {
        if id >= self.memory.count || length > self.memory.size {
            return None;
        }
        self.memory.lent.set(self.memory.lent.get() + 1);
        Some(Chunk {
            memory: Rc::clone(&self.memory),
            id,
            length,
        })
    }

    /// Buffers not lent to the consumer. Some may hold data of completions that
    /// were not reaped yet.
    pub fn available(&self) -> u16 {
        self.memory.count - self.memory.lent.get()
    }

    /// Keeps the memory mapped for ever: for a ring that could not be drained.
    pub fn leak(&self) {
        std::mem::forget(Rc::clone(&self.memory));
    }
}

/// Received bytes in a buffer of the pool; dropping it gives the buffer back.
///
/// Hold chunks for as short as possible: when all are out, no socket of this
/// core receives.
pub struct Chunk {
    memory: Rc<Memory>,
    id: u16,
    length: u32,
}

impl Deref for Chunk {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the kernel gave this buffer away with the completion and takes
        // it back only after `publish` in `drop`; it holds `length <= size` bytes
        // and `memory` keeps the mapping.
        unsafe { std::slice::from_raw_parts(self.memory.buffer(self.id), self.length as usize) }
    }
}

impl DerefMut for Chunk {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`; chunks cannot be cloned, so nothing else refers to the buffer.
        unsafe { std::slice::from_raw_parts_mut(self.memory.buffer(self.id), self.length as usize) }
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        self.memory.lent.set(self.memory.lent.get() - 1);
        self.memory.publish(self.id);
    }
}

impl std::fmt::Debug for Chunk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chunk")
            .field("id", &self.id)
            .field("length", &self.length)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_counts_the_kernel_would_refuse() {
        for (count, size) in [(0, 64), (3, 64), (4, 0)] {
            let refused = BufferRing::new(count, size, None)
                .err()
                .map(|error| error.kind());
            assert_eq!(refused, Some(io::ErrorKind::InvalidInput));
        }
    }

    #[test]
    fn lends_and_takes_back() {
        let pool = BufferRing::new(4, 64, None).unwrap();
        assert_eq!(pool.available(), 4);
        // SAFETY: no kernel is involved; each id is taken once.
        let (first, second) = unsafe { (pool.chunk(0, 64).unwrap(), pool.chunk(3, 1).unwrap()) };
        assert_eq!((first.len(), second.len()), (64, 1));
        assert_eq!(pool.available(), 2);
        drop(first);
        drop(second);
        assert_eq!(pool.available(), 4);
        assert_eq!(pool.memory.tail.get(), 6);
    }

    #[test]
    fn refuses_buffers_that_do_not_exist() {
        let pool = BufferRing::new(4, 64, None).unwrap();
        // SAFETY: refused before anything is lent.
        unsafe {
            assert!(pool.chunk(4, 1).is_none());
            assert!(pool.chunk(0, 65).is_none());
        }
    }
}
