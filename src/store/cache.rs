//! What was read from segments, kept for the next reader: bounded, and shared by all logs of a core.

use std::sync::{Arc, Mutex};

/// A handle on the cache of one core.
#[derive(Clone, Debug)]
pub struct BlockCache {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    budget: usize,
}

impl BlockCache {
    /// A cache that holds at most `budget` bytes (and what is being read or handed out besides).
    pub fn new(budget: usize) -> Self {
        Self {
            inner: Arc::new(Mutex::new(Inner { budget })),
        }
    }
}
