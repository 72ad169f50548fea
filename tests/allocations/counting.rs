//! A global allocator that counts what each thread asks of it.
//!
//! Per thread, so that tests which run beside each other do not disturb each
//! other's figures.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// What a thread has asked of the allocator since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Calls that returned memory, growing what was there included.
    pub allocations: u64,
    /// Bytes taken and not given back. Negative where a thread frees what
    /// another took.
    pub live_bytes: i64,
}

thread_local! {
    static USAGE: Cell<Usage> = const { Cell::new(Usage { allocations: 0, live_bytes: 0 }) };
}

fn count(allocations: u64, bytes: i64) {
    // Nothing to count while a thread's own storage is torn down.
    let _ = USAGE.try_with(|cell| {
        let usage = cell.get();
        cell.set(Usage {
            allocations: usage.allocations + allocations,
            live_bytes: usage.live_bytes + bytes,
        });
    });
}

/// The calling thread's figures.
pub fn usage() -> Usage {
    USAGE.with(Cell::get)
}

/// Allocations and growth of memory while `work` runs on this thread.
pub fn measure(work: impl FnOnce()) -> Usage {
    let before = usage();
    work();
    let after = usage();
    Usage {
        allocations: after.allocations - before.allocations,
        live_bytes: after.live_bytes - before.live_bytes,
    }
}

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged; the counters
// beside it are plain thread-local cells, which do not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(1, layout.size() as i64);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(1, layout.size() as i64);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(0, -(layout.size() as i64));
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(1, size as i64 - layout.size() as i64);
        // SAFETY: as above.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;
