//! The kinds of load.

pub mod connect;
pub mod echo;
pub mod js;
pub mod listen;
pub mod memory;
pub mod mix;
mod pending;
pub mod relay;
pub mod request;
pub mod stalled;
pub mod storm;

use crate::result::Parameter;
use crate::schedule::Pattern;
use std::sync::atomic::{AtomicU64, Ordering};

/// Sid of the one subscription that connections of most loads have.
pub const ONLY_SID: u64 = 1;

/// Bytes that may wait for a socket that does not take them. Beyond it,
/// messages stay in the schedule; their latency runs on all the same.
pub const MAX_UNSENT: usize = 64 * 1024 * 1024;

/// Messages of a schedule sent in one turn of the loop; what has come is read
/// between turns, however late the schedule is.
pub const BATCH_MAX: usize = 4096;

/// Bytes rendered at a time where the server sets the pace.
pub const CHUNK: usize = 64 * 1024;

/// A prefix of subjects that two runs at the same time, or two loads of one
/// run, do not share.
pub fn unique_subject(what: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("loadgen.{what}.{}-{count}", std::process::id())
}

/// A parameter as results show it.
pub fn parameter(name: &str, value: impl ToString) -> Parameter {
    Parameter {
        name: name.into(),
        value: value.to_string(),
    }
}

/// The parameters of a schedule.
pub fn pattern_parameters(pattern: &Pattern) -> Vec<Parameter> {
    vec![
        parameter("rate", format!("{}/s", pattern.rate)),
        parameter("arrivals", pattern.arrivals),
    ]
}

/// A counter of its own cache line, written by one thread.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Cell(AtomicU64);

impl Cell {
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    #[inline]
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Release);
    }

    /// Takes one off; what was there before.
    #[inline]
    pub fn take(&self) -> u64 {
        self.0.fetch_sub(1, Ordering::AcqRel)
    }

    #[inline]
    pub fn add(&self, count: u64) -> u64 {
        self.0.fetch_add(count, Ordering::AcqRel)
    }
}

/// `count` of them.
pub fn cells(count: usize) -> Box<[Cell]> {
    (0..count).map(|_| Cell::default()).collect()
}

/// The number at the end of a reply subject.
fn last_token(subject: &[u8]) -> Option<u64> {
    let dot = memchr::memrchr(b'.', subject)?;
    crate::connection::protocol::number(&subject[dot + 1..])
}
