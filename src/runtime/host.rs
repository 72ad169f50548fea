//! What of the host costs latency: looked at once when the server starts.
//!
//! `tuning/check` looks at more, from outside and without a server.

use std::fmt;
use std::fs;
use std::path::Path;

use super::cpus::format_list;
use super::listener::BACKLOG;
use super::preflight::MEMLOCK_BYTES;

/// Idle states that take longer to leave are reported, in microseconds.
const WAKE_MICROS: u64 = 20;

/// Clock sources that are read without a system call.
const FAST_CLOCKS: [&str; 4] = [
    "tsc",
    "kvm-clock",
    "arch_sys_counter",
    "hyperv_clocksource_tsc_page",
];

/// How the cores use their CPUs, which decides what matters.
#[derive(Clone, Copy, Debug, Default)]
pub struct Use {
    /// The operator gave the cores CPUs of their own, or means to: CPUs were named, cores spin,
    /// poll the network card or run under SCHED_FIFO. On other hosts nobody expects isolation.
    pub dedicated: bool,
    /// Cores never sleep.
    pub spins_forever: bool,
    /// They run under SCHED_FIFO.
    pub realtime: bool,
    /// The limit of locked memory does not apply (CAP_IPC_LOCK).
    pub locks_freely: bool,
}

/// A setting that is not right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is and how it stands, in a few words.
    pub state: String,
    /// What it costs and what to do.
    pub remedy: &'static str,
}

/// All of them on one line.
pub struct Summary<'a>(pub &'a [Finding]);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Host settings that cost latency: ")?;
        for (number, finding) in self.0.iter().enumerate() {
            let separator = if number > 0 { "; " } else { "" };
            write!(f, "{separator}{}", finding.state)?;
        }
        f.write_str(" (tuning/check, or -D, says what to do)")
    }
}

/// Looks at the settings of `cpus` under `root`, which is `/` but in tests. What the kernel does
/// not show, as in most virtual machines, is not reported.
pub fn survey(root: &Path, cpus: &[usize], usage: Use) -> Vec<Finding> {
    let host = Host { root, cpus };
    let mut findings = Vec::new();
    let mut add = |state: Option<String>, remedy| {
        findings.extend(state.map(|state| Finding { state, remedy }));
    };
    add(
        host.clock_source(),
        "each reading of the clock is a system call: boot with clocksource=tsc tsc=reliable if \
         the CPU's TSC is invariant",
    );
    add(
        host.governor(),
        "the CPU is slow when a message comes after a pause: cpupower frequency-set -g performance",
    );
    if !usage.spins_forever {
        add(
            host.idle_states(),
            "a core that sleeps wakes late: cpupower idle-set -D 20, or --spin forever",
        );
    }
    add(
        host.transparent_huge_pages(),
        "a page fault may wait until the kernel has made a huge page: echo madvise \
         >/sys/kernel/mm/transparent_hugepage/enabled",
    );
    add(
        host.accept_queue(),
        "a burst of clients may have to connect again: sysctl -w net.core.somaxconn=4096",
    );
    if !usage.locks_freely {
        add(
            host.locked_memory(),
            "the rings of a further core, or larger ones, may be refused: LimitMEMLOCK=64M in the \
             service, or `ulimit -l`",
        );
    }
    if usage.dedicated {
        add(
            host.not_in(
                "sys/devices/system/cpu/isolated",
                "not isolated from other processes",
            ),
            "any process may take a core's CPU for milliseconds: boot with isolcpus=",
        );
        add(
            host.siblings(),
            "the other hyper-thread takes half of the core's speed when it works: name one of \
             each pair in --cpus and leave the other idle",
        );
    }
    if usage.spins_forever {
        add(
            host.not_in(
                "sys/devices/system/cpu/nohz_full",
                "with the scheduler's tick",
            ),
            "some microseconds, a hundred to a thousand times a second: boot with nohz_full= and \
             rcu_nocbs=",
        );
    }
    if usage.realtime && usage.spins_forever {
        add(
            host.not_in(
                "sys/devices/system/cpu/isolated",
                "have real-time cores that never sleep beside other processes",
            ),
            "while such a process waits, the kernel stops the core for 50 ms of each second: \
             isolate the CPUs, or let cores sleep (--spin 50us)",
        );
    }
    if usage.realtime {
        add(
            host.unthrottled(),
            "a core under SCHED_FIFO that never sleeps takes its CPU from the kernel's own \
             threads: sysctl -w kernel.sched_rt_runtime_us=950000",
        );
    }
    findings
}

struct Host<'a> {
    root: &'a Path,
    cpus: &'a [usize],
}

impl Host<'_> {
    /// A file's text without the line end; `None` if there is no such file.
    fn read(&self, path: &str) -> Option<String> {
        let text = fs::read_to_string(self.root.join(path)).ok()?;
        Some(text.trim().to_owned())
    }

    fn clock_source(&self) -> Option<String> {
        let source =
            self.read("sys/devices/system/clocksource/clocksource0/current_clocksource")?;
        (!FAST_CLOCKS.contains(&source.as_str())).then(|| format!("clock source {source}"))
    }

    fn governor(&self) -> Option<String> {
        let governor = |cpu: &usize| {
            self.read(&format!(
                "sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor"
            ))
        };
        let wrong: Vec<(usize, String)> = self
            .cpus
            .iter()
            .filter_map(|cpu| Some((*cpu, governor(cpu)?)))
            .filter(|(_, governor)| governor != "performance")
            .collect();
        let (_, first) = wrong.first()?;
        let cpus = wrong.iter().map(|(cpu, _)| *cpu);
        Some(format!("governor {first} on CPUs {}", list(cpus)))
    }

    fn idle_states(&self) -> Option<String> {
        let deep = self.cpus.iter().copied().filter(|cpu| {
            let directory = format!("sys/devices/system/cpu/cpu{cpu}/cpuidle");
            (0..)
                .map(|state| format!("{directory}/state{state}"))
                .map_while(|state| Some((self.read(&format!("{state}/latency"))?, state)))
                .any(|(latency, state)| {
                    latency
                        .parse()
                        .is_ok_and(|micros: u64| micros > WAKE_MICROS)
                        && self.read(&format!("{state}/disable")).as_deref() == Some("0")
                })
        });
        let cpus = list(deep);
        (!cpus.is_empty()).then(|| format!("idle states above {WAKE_MICROS} µs on CPUs {cpus}"))
    }

    fn transparent_huge_pages(&self) -> Option<String> {
        let text = self.read("sys/kernel/mm/transparent_hugepage/enabled")?;
        text.contains("[always]")
            .then(|| "transparent huge pages always".to_owned())
    }

    fn accept_queue(&self) -> Option<String> {
        let value: i64 = self.read("proc/sys/net/core/somaxconn")?.parse().ok()?;
        (value < i64::from(BACKLOG)).then(|| format!("net.core.somaxconn {value}"))
    }

    /// The limit, if it is below what [`preflight`](super::preflight) asks for one core, for
    /// each core.
    fn locked_memory(&self) -> Option<String> {
        let limits = self.read("proc/self/limits")?;
        let limit = limits
            .lines()
            .find_map(|line| line.strip_prefix("Max locked memory"))?
            .split_whitespace()
            .next()?;
        // "unlimited" is no number.
        let bytes: u64 = limit.parse().ok()?;
        let cores = self.cpus.len() as u64;
        (bytes < cores * MEMLOCK_BYTES)
            .then(|| format!("{} KiB of locked memory for {cores} cores", bytes >> 10))
    }

    fn unthrottled(&self) -> Option<String> {
        let value = self.read("proc/sys/kernel/sched_rt_runtime_us")?;
        (value == "-1").then(|| "no limit on real-time threads".to_owned())
    }

    /// The CPUs that the list in a file does not name. A missing file names none.
    fn not_in(&self, path: &str, what: &str) -> Option<String> {
        let named = parse_list(&self.read(path).unwrap_or_default());
        let missing = list(self.cpus.iter().copied().filter(|cpu| !named.contains(cpu)));
        (!missing.is_empty()).then(|| format!("CPUs {missing} {what}"))
    }

    fn siblings(&self) -> Option<String> {
        let shared = list(self.cpus.iter().copied().filter(|cpu| {
            let path = format!("sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
            self.read(&path)
                .is_some_and(|siblings| parse_list(&siblings).len() > 1)
        }));
        (!shared.is_empty()).then(|| format!("CPUs {shared} share a physical core with another"))
    }
}

fn list(cpus: impl Iterator<Item = usize>) -> String {
    let mut cpus: Vec<usize> = cpus.collect();
    cpus.sort_unstable();
    cpus.dedup();
    format_list(&cpus)
}

/// A list of the kernel's, such as `2-5,8`; what is none, such as `(null)`, is empty.
pub fn parse_list(text: &str) -> Vec<usize> {
    /// More CPUs than any kernel has: bounds what a broken file may ask for.
    const MOST: usize = 1 << 16;
    text.split(',')
        .filter_map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let first: usize = first.trim().parse().ok()?;
            let last: usize = last.trim().parse().ok()?;
            (last < MOST).then_some(first..=last)
        })
        .flatten()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEDICATED: Use = Use {
        dedicated: true,
        spins_forever: true,
        realtime: true,
        locks_freely: true,
    };

    fn host(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{text}\n")).unwrap();
        }
        root
    }

    fn states(files: &[(&str, &str)], cpus: &[usize], usage: Use) -> Vec<String> {
        survey(host(files).path(), cpus, usage)
            .into_iter()
            .map(|finding| finding.state)
            .collect()
    }

    #[test]
    fn what_is_wrong_is_named() {
        let files = [
            (
                "sys/devices/system/clocksource/clocksource0/current_clocksource",
                "hpet",
            ),
            (
                "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor",
                "powersave",
            ),
            (
                "sys/devices/system/cpu/cpu2/cpufreq/scaling_governor",
                "performance",
            ),
            ("sys/devices/system/cpu/cpu1/cpuidle/state0/latency", "0"),
            ("sys/devices/system/cpu/cpu1/cpuidle/state0/disable", "0"),
            ("sys/devices/system/cpu/cpu1/cpuidle/state1/latency", "133"),
            ("sys/devices/system/cpu/cpu1/cpuidle/state1/disable", "0"),
            ("sys/devices/system/cpu/cpu2/cpuidle/state0/latency", "133"),
            ("sys/devices/system/cpu/cpu2/cpuidle/state0/disable", "1"),
            (
                "sys/kernel/mm/transparent_hugepage/enabled",
                "[always] madvise never",
            ),
            ("proc/sys/net/core/somaxconn", "128"),
            (
                "proc/self/limits",
                "Limit Soft Hard Units\nMax locked memory 524288 unlimited bytes",
            ),
        ];
        assert_eq!(
            states(&files, &[1, 2], Use::default()),
            [
                "clock source hpet",
                "governor powersave on CPUs 1",
                "idle states above 20 µs on CPUs 1",
                "transparent huge pages always",
                "net.core.somaxconn 128",
                "512 KiB of locked memory for 2 cores",
            ]
        );
    }

    #[test]
    fn dedicated_hosts_are_looked_at_more_closely() {
        let files = [
            ("sys/devices/system/cpu/isolated", "2-3"),
            ("sys/devices/system/cpu/nohz_full", "(null)"),
            (
                "sys/devices/system/cpu/cpu3/topology/thread_siblings_list",
                "3,7",
            ),
            ("proc/sys/kernel/sched_rt_runtime_us", "-1"),
        ];
        assert!(states(&files, &[1, 2, 3], Use::default()).is_empty());
        assert_eq!(
            states(&files, &[1, 2, 3], DEDICATED),
            [
                "CPUs 1 not isolated from other processes",
                "CPUs 3 share a physical core with another",
                "CPUs 1-3 with the scheduler's tick",
                "CPUs 1 have real-time cores that never sleep beside other processes",
                "no limit on real-time threads",
            ]
        );
    }

    #[test]
    fn a_tuned_host_and_one_that_shows_nothing_are_quiet() {
        let files = [
            ("sys/devices/system/cpu/isolated", "2-3"),
            ("sys/devices/system/cpu/nohz_full", "2-3"),
            (
                "sys/kernel/mm/transparent_hugepage/enabled",
                "always [madvise] never",
            ),
            ("proc/sys/net/core/somaxconn", "4096"),
            (
                "proc/self/limits",
                "Max locked memory unlimited unlimited bytes",
            ),
            ("proc/sys/kernel/sched_rt_runtime_us", "950000"),
        ];
        let limited = Use {
            locks_freely: false,
            ..DEDICATED
        };
        assert!(states(&files, &[2, 3], limited).is_empty());
        assert!(states(&[], &[0], Use::default()).is_empty());
    }

    #[test]
    fn the_summary_is_one_line_that_is_not_the_ready_line() {
        let findings = survey(host(&[]).path(), &[0, 1], DEDICATED);
        let text = Summary(&findings).to_string();
        assert!(!text.contains('\n') && !text.contains("client connections"));
        assert!(text.starts_with("Host settings that cost latency: CPUs 0-1 not isolated"));
    }

    #[test]
    fn lists_of_the_kernel_are_read() {
        assert_eq!(parse_list("0-2,5"), [0, 1, 2, 5]);
        assert!(parse_list("").is_empty());
        assert!(parse_list("(null)").is_empty());
        assert!(parse_list("0-99999999999").is_empty());
    }
}
