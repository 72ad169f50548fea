//! The clocks.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::broker::Now;

/// Reads the monotonic and the wall clock.
///
/// The wall clock is read once and advanced by the monotonic one in between:
/// one system clock read a turn instead of two. It is read anew when a second
/// has passed, so that steps of the wall clock are followed.
#[derive(Clone, Copy)]
pub struct Clock {
    /// What the monotonic readings count from.
    origin: Instant,
    origin_mono_ns: u64,
    wall_ns: i64,
    wall_read_at: u64,
}

/// Nanoseconds after which the wall clock is read again.
const WALL_MAX_AGE_NS: u64 = 1_000_000_000;

fn wall() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX))
}

impl Clock {
    /// A clock whose monotonic readings are those of `CLOCK_MONOTONIC`, which
    /// the ring's timers use.
    pub fn new() -> Self {
        let mut spec = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: `spec` is a valid place for the result.
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut spec) };
        let mono = spec.tv_sec as u64 * 1_000_000_000 + spec.tv_nsec as u64;
        Self {
            origin: Instant::now(),
            origin_mono_ns: mono,
            wall_ns: wall(),
            wall_read_at: mono,
        }
    }

    /// The time.
    #[inline]
    pub fn now(&mut self) -> Now {
        let mono_ns = self.origin_mono_ns + self.origin.elapsed().as_nanos() as u64;
        let age = mono_ns - self.wall_read_at;
        if age > WALL_MAX_AGE_NS {
            self.wall_ns = wall();
            self.wall_read_at = mono_ns;
            return Now {
                mono_ns,
                unix_ns: self.wall_ns,
            };
        }
        Now {
            mono_ns,
            unix_ns: self.wall_ns + age as i64,
        }
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}
