//! What the server process has used: CPU time, memory, context switches.
//! Source of the formats: `proc(5)`.

use crate::error::Error;
use crate::sys;
use std::fs;
use std::path::PathBuf;

/// A process under observation.
#[derive(Debug, Clone, Copy)]
pub struct ServerProcess {
    pid: u32,
}

/// Context switches since the threads alive now began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Switches {
    pub voluntary: u64,
    pub involuntary: u64,
}

impl ServerProcess {
    /// Fails when there is no such process.
    pub fn new(pid: u32) -> Result<ServerProcess, Error> {
        let process = ServerProcess { pid };
        process.cpu_ns()?;
        Ok(process)
    }

    /// User and kernel time since it began, nanoseconds. Cheap: one system call.
    pub fn cpu_ns(&self) -> Result<u64, Error> {
        let doing = || format!("reading the CPU time of process {}", self.pid);
        sys::process_cpu_ns(self.pid).map_err(|error| Error::system(doing())(error))
    }

    /// Context switches. Reads a file for each thread: hundreds of
    /// microseconds, so not while latency is measured.
    pub fn switches(&self) -> Result<Switches, Error> {
        let tasks = format!("/proc/{}/task", self.pid);
        let entries = fs::read_dir(&tasks).map_err(Error::system(format!("reading {tasks}")))?;
        let mut sum = Switches::default();
        for entry in entries.flatten() {
            // A thread may end between the listing and the reading.
            if let Ok(status) = fs::read_to_string(entry.path().join("status")) {
                sum.voluntary += field(&status, "voluntary_ctxt_switches").unwrap_or(0);
                sum.involuntary += field(&status, "nonvoluntary_ctxt_switches").unwrap_or(0);
            }
        }
        Ok(sum)
    }

    /// Resident memory in bytes, exact: `smaps_rollup` walks the page tables,
    /// which takes milliseconds for gigabytes. The counter in `status` may be
    /// off by some pages for each thread and serves where the former is
    /// not readable.
    pub fn resident(&self) -> Result<u64, Error> {
        let path = |file: &str| PathBuf::from(format!("/proc/{}/{file}", self.pid));
        if let Ok(text) = fs::read_to_string(path("smaps_rollup"))
            && let Some(kib) = field(&text, "Rss")
        {
            return Ok(kib * 1024);
        }
        self.resident_estimate()
    }

    /// Resident memory in bytes by the kernel's running counter: cheap enough
    /// for sampling while latency is measured.
    pub fn resident_estimate(&self) -> Result<u64, Error> {
        self.status("VmRSS")
    }

    /// The most resident memory it ever had, in bytes, as exact as the
    /// estimate.
    pub fn resident_peak(&self) -> Result<u64, Error> {
        self.status("VmHWM")
    }

    fn status(&self, name: &str) -> Result<u64, Error> {
        let path = format!("/proc/{}/status", self.pid);
        let text = fs::read_to_string(&path).map_err(Error::system(format!("reading {path}")))?;
        Ok(field(&text, name).unwrap_or(0) * 1024)
    }
}

/// The number after `name:` at the beginning of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .find_map(|rest| rest.split_whitespace().next()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_fields_by_their_whole_name() {
        let text =
            "VmRSS:\t    1234 kB\nnonvoluntary_ctxt_switches:\t5\nvoluntary_ctxt_switches:\t7\n";
        assert_eq!(field(text, "VmRSS"), Some(1234));
        assert_eq!(field(text, "voluntary_ctxt_switches"), Some(7));
        assert_eq!(field(text, "nonvoluntary_ctxt_switches"), Some(5));
        assert_eq!(field(text, "Missing"), None);
    }

    #[test]
    fn observes_this_process() {
        let process = ServerProcess::new(std::process::id()).unwrap();
        assert!(process.cpu_ns().unwrap() > 0);
        assert!(process.switches().is_ok());
        assert!(process.resident().unwrap() > 4096);
        assert!(process.resident_estimate().unwrap() > 4096);
    }

    #[test]
    fn a_missing_process_is_an_error() {
        for pid in [0, u32::MAX / 4, u32::MAX] {
            assert!(ServerProcess::new(pid).is_err(), "{pid}");
        }
    }
}
