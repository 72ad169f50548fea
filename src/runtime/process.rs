//! What the kernel knows about this process.

use std::fs;
use std::time::Instant;

/// Resident memory, in bytes; 0 if the kernel does not say.
pub fn resident_bytes() -> u64 {
    let pages = fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok())
        .unwrap_or(0);
    pages * page_bytes()
}

fn page_bytes() -> u64 {
    // SAFETY: asks for a constant of the system.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(bytes).unwrap_or(4096)
}

/// User and system time of all threads, in seconds.
fn cpu_seconds() -> f64 {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: `usage` is a valid place for the result, and all zeroes is a valid value.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

/// Use of the CPU between two looks.
pub struct CpuMeter {
    at: Instant,
    used: f64,
    percent: f64,
}

/// Looks closer together than this repeat the former answer, in seconds.
const SHORTEST_LOOK: f64 = 0.2;

impl CpuMeter {
    /// Starts to measure.
    pub fn new() -> Self {
        Self {
            at: Instant::now(),
            used: cpu_seconds(),
            percent: 0.0,
        }
    }

    /// Percent of one CPU since the last look.
    pub fn percent(&mut self) -> f64 {
        let elapsed = self.at.elapsed().as_secs_f64();
        if elapsed > SHORTEST_LOOK {
            let used = cpu_seconds();
            self.percent = (used - self.used) / elapsed * 100.0;
            self.used = used;
            self.at = Instant::now();
        }
        self.percent
    }
}

impl Default for CpuMeter {
    fn default() -> Self {
        Self::new()
    }
}
