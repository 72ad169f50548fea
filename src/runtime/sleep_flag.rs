//! "I sleep": the flag between one sleeper and many wakers.
//!
//! The sleeper says that it sleeps and *then* looks for work; a waker publishes
//! work and *then* looks whether the sleeper sleeps. With a sequentially
//! consistent fence between the two steps on both sides, at least one of them sees
//! the other (Dekker). `tests/sleep_flag_model.rs` runs this very file under loom.

use super::atomics::{AtomicBool, Ordering, fence};

/// On a cache line of its own: wakers read it after every batch, and it changes
/// only when the core sleeps or wakes.
#[derive(Default)]
#[repr(align(128))]
pub struct SleepFlag {
    asleep: AtomicBool,
}

impl SleepFlag {
    /// Sleeper: from here on wakers signal. Look for work after this call, and
    /// sleep only if there is none.
    pub fn fall_asleep(&self) {
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Sleeper: look for work after this call too, as a waker may have seen either.
    pub fn wake_up(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }

    /// Waker, after publishing: whether it is the one who has to signal. True for
    /// exactly one of several wakers of one sleep.
    pub fn take_if_asleep(&self) -> bool {
        fence(Ordering::SeqCst);
        self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::Relaxed)
    }
}
