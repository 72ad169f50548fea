//! What the threads of a run share: the phase, the times, and the counters
//! that the coordinator reads while they work.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// Connections are made.
    SetUp,
    /// Load is offered; at its end, what is under way is waited for.
    Run,
    /// Threads conclude.
    Over,
}

/// The times of a run, monotonic nanoseconds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Times {
    /// Load begins.
    pub start: u64,
    /// Measuring begins.
    pub begin: u64,
    /// Measuring and publishing end.
    pub end: u64,
}

/// Orders from the coordinator to all threads.
#[derive(Debug, Default)]
pub struct Control {
    phase: AtomicU8,
    start: AtomicU64,
    begin: AtomicU64,
    end: AtomicU64,
}

impl Control {
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::SetUp,
            1 => Phase::Run,
            _ => Phase::Over,
        }
    }

    pub fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
    }

    /// Sets the times. Before [`Phase::Run`] is entered.
    pub fn set_times(&self, times: Times) {
        self.start.store(times.start, Ordering::Relaxed);
        self.begin.store(times.begin, Ordering::Relaxed);
        self.end.store(times.end, Ordering::Relaxed);
    }

    /// Ends publishing earlier than planned.
    pub fn end_at(&self, end: u64) {
        self.end.fetch_min(end, Ordering::Relaxed);
    }

    pub fn times(&self) -> Times {
        Times {
            start: self.start.load(Ordering::Relaxed),
            begin: self.begin.load(Ordering::Relaxed),
            end: self.end.load(Ordering::Relaxed),
        }
    }
}

/// Counters of one load on one thread, on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Gauge {
    pub sent: AtomicU64,
    pub received: AtomicU64,
    pub bytes: AtomicU64,
    pub awaited: AtomicU64,
    pub arrived: AtomicU64,
    /// Publishing is over.
    pub quiet: AtomicBool,
    /// See [`super::Tally::exhausted`].
    pub exhausted: AtomicBool,
}

/// Counters of one thread.
#[derive(Debug)]
pub struct ThreadGauge {
    /// Nanoseconds of work.
    pub busy: AtomicU64,
    pub loads: Vec<Gauge>,
}

impl ThreadGauge {
    pub fn new(loads: usize) -> ThreadGauge {
        ThreadGauge {
            busy: AtomicU64::new(0),
            loads: (0..loads).map(|_| Gauge::default()).collect(),
        }
    }
}
