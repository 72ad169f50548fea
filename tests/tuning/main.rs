//! The scripts of `tuning/` on a copy of what they read and write below /sys and /proc, and the
//! service's unit. No privileges are needed, nothing of this host is changed.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// A host with four CPUs, of which nothing is tuned.
const FILES: &[(&str, &str)] = &[
    ("proc/irq/10/smp_affinity_list", "0-3"),
    ("proc/irq/10/effective_affinity_list", "2"),
    ("proc/irq/10/eth9-rx-0/.keep", ""),
    ("proc/irq/11/smp_affinity_list", "0"),
    ("proc/irq/11/effective_affinity_list", "0"),
    ("proc/irq/11/disk/.keep", ""),
    ("proc/irq/12/smp_affinity_list", "0-3"),
    ("proc/irq/default_smp_affinity", "f"),
    ("proc/sys/kernel/io_uring_disabled", "0"),
    ("proc/sys/kernel/numa_balancing", "1"),
    ("proc/sys/net/core/somaxconn", "128"),
    ("proc/sys/vm/nr_hugepages", "0"),
    ("proc/sys/vm/stat_interval", "1"),
    ("proc/7/comm", "irqbalance"),
    ("proc/meminfo", "Hugepagesize:       2048 kB"),
    ("sys/class/net/eth9/device/msi_irqs/10", ""),
    ("sys/class/net/eth9/device/numa_node", "0"),
    ("sys/class/net/eth9/gro_flush_timeout", "0"),
    ("sys/class/net/eth9/napi_defer_hard_irqs", "0"),
    ("sys/class/net/eth9/queues/rx-0/.keep", ""),
    (
        "sys/devices/system/clocksource/clocksource0/available_clocksource",
        "tsc hpet",
    ),
    (
        "sys/devices/system/clocksource/clocksource0/current_clocksource",
        "hpet",
    ),
    ("sys/devices/system/cpu/isolated", ""),
    ("sys/devices/system/cpu/online", "0-3"),
    ("sys/devices/system/node/node0/cpulist", "0-3"),
    ("sys/devices/virtual/workqueue/cpumask", "f"),
    (
        "sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages",
        "0",
    ),
    (
        "sys/kernel/mm/transparent_hugepage/enabled",
        "[always] madvise never",
    ),
];

/// Of each CPU, below `sys/devices/system/cpu/cpuN`.
const CPU_FILES: &[(&str, &str)] = &[
    ("cpufreq/scaling_governor", "powersave"),
    ("cpuidle/state0/disable", "0"),
    ("cpuidle/state0/latency", "1"),
    ("cpuidle/state1/disable", "0"),
    ("cpuidle/state1/latency", "133"),
    ("cpuidle/state1/name", "C6"),
];

/// Tools that the scripts call: they write down how, and answer like a card that coalesces.
const ETHTOOL: &str = r#"#!/bin/sh
case $1 in
    -c) printf 'Adaptive RX: on  TX: off\nrx-usecs:\t50\ntx-usecs:\tn/a\n' ;;
    -l) printf 'Maximums:\nCombined:\t8\nCurrent hardware settings:\nCombined:\t4\n' ;;
    *) echo "ethtool $*" >>"$TUNING_ROOT/calls" ;;
esac
"#;
const SYSTEMCTL: &str = r#"#!/bin/sh
[ "$1" = is-active ] || echo "systemctl $*" >>"$TUNING_ROOT/calls"
"#;

struct Host {
    root: TempDir,
}

impl Host {
    fn new() -> Self {
        let host = Self {
            root: tempfile::tempdir().expect("a directory"),
        };
        for (path, text) in FILES {
            host.write(path, text);
        }
        for cpu in 0..4 {
            for (path, text) in CPU_FILES {
                host.write(&format!("sys/devices/system/cpu/cpu{cpu}/{path}"), text);
            }
        }
        for (name, script) in [("ethtool", ETHTOOL), ("systemctl", SYSTEMCTL)] {
            host.write(&format!("bin/{name}"), script);
            let mode = fs::Permissions::from_mode(0o755);
            fs::set_permissions(host.path(&format!("bin/{name}")), mode).expect("a mode");
        }
        host
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("below the root")).expect("directories");
        fs::write(path, format!("{text}\n")).expect("a file");
    }

    fn read(&self, path: &str) -> String {
        let text = fs::read_to_string(self.path(path)).expect(path);
        text.trim_end().to_owned()
    }

    /// Every file with its text.
    fn files(&self) -> BTreeMap<PathBuf, String> {
        fn walk(directory: &Path, files: &mut BTreeMap<PathBuf, String>) {
            for entry in fs::read_dir(directory).expect("a directory") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    walk(&path, files);
                } else {
                    let text = fs::read_to_string(&path).expect("text");
                    files.insert(path, text);
                }
            }
        }
        let mut files = BTreeMap::new();
        walk(self.root.path(), &mut files);
        files
    }

    /// Runs a script; returns its exit status and all it said.
    fn run(&self, script: &str, args: &[&str]) -> (i32, String) {
        let tools = self.path("bin");
        let path = std::env::var("PATH").expect("a path");
        let Output {
            status,
            stdout,
            stderr,
        } = Command::new(
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("tuning")
                .join(script),
        )
        .args(args)
        .env("TUNING_ROOT", self.root.path())
        .env("PATH", format!("{}:{path}", tools.display()))
        .output()
        .expect("bash");
        let text = [stdout, stderr].map(|bytes| String::from_utf8(bytes).expect("text"));
        (status.code().expect("no signal"), text.concat())
    }
}

#[test]
fn check_names_what_is_wrong_and_changes_nothing() {
    let host = Host::new();
    let before = host.files();
    let (status, text) = host.run("check", &["--nic", "eth9", "2-3"]);
    assert_eq!(before, host.files());
    for line in [
        "slow  somaxconn          128",
        "slow  clocksource        hpet",
        "slow  isolation          not isolated from other processes: 2,3",
        "slow  governor           2:powersave 3:powersave",
        "slow  C-states           slow to wake: 2:C6 3:C6",
        "slow  interrupts         IRQs served by these CPUs: 10\n",
        "slow  irqbalance         runs",
        "ok    NUMA               all on node 0",
        "slow  NUMA balancing     on",
        "ok    eth9               on node 0",
        "slow  THP                always",
        "n/a   huge pages         0 free",
        "slow  eth9 queues        1 for 2 cores",
        "slow  eth9 coalescing    packets wait up to 50 µs",
    ] {
        assert!(text.contains(line), "no {line:?} in:\n{text}");
    }
    // This process's own limits are checked, too: they may fail.
    assert_eq!(status, i32::from(text.contains("FAIL")), "{text}");
}

#[test]
fn check_fails_if_the_broker_would_not_start() {
    let host = Host::new();
    host.write("proc/sys/kernel/io_uring_disabled", "2");
    let (status, text) = host.run("check", &[]);
    assert_eq!(status, 1);
    let line = "FAIL  io_uring           kernel.io_uring_disabled = 2";
    assert!(text.contains(line), "{text}");
}

#[test]
fn a_dry_run_says_the_same_as_apply_and_changes_nothing() {
    let host = Host::new();
    let before = host.files();
    let args = ["--nic", "eth9", "--huge-pages", "2", "2,3"];
    let (status, said) = host.run("apply", &[&["--dry-run"], &args[..]].concat());
    assert_eq!(status, 0, "{said}");
    assert_eq!(before, host.files());
    let (status, done) = host.run("apply", &args);
    assert_eq!((status, done), (0, said));
}

#[test]
fn what_apply_changes_undo_puts_back() {
    let host = Host::new();
    let before = host.files();
    let (status, text) = host.run("apply", &["--huge-pages", "2", "2-3"]);
    assert_eq!(status, 0, "{text}");
    for (path, now) in [
        (
            "sys/devices/system/cpu/cpu2/cpufreq/scaling_governor",
            "performance",
        ),
        (
            "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor",
            "powersave",
        ),
        ("sys/devices/system/cpu/cpu3/cpuidle/state1/disable", "1"),
        ("sys/devices/system/cpu/cpu3/cpuidle/state0/disable", "0"),
        ("proc/irq/10/smp_affinity_list", "0,1"),
        ("proc/irq/11/smp_affinity_list", "0"),
        ("proc/irq/12/smp_affinity_list", "0-3"),
        ("proc/irq/default_smp_affinity", "00000003"),
        ("sys/devices/virtual/workqueue/cpumask", "00000003"),
        ("sys/kernel/mm/transparent_hugepage/enabled", "madvise"),
        (
            "sys/devices/system/clocksource/clocksource0/current_clocksource",
            "tsc",
        ),
        ("proc/sys/net/core/somaxconn", "4096"),
        ("proc/sys/kernel/numa_balancing", "0"),
        ("proc/sys/vm/nr_hugepages", "2"),
        ("calls", "systemctl stop irqbalance"),
    ] {
        assert_eq!(host.read(path), now, "{path}");
    }
    assert!(text.contains("isolcpus=2-3 irqaffinity=0,1"), "{text}");
    let (status, text) = host.run("check", &["2-3"]);
    assert!(
        !text.contains("slow  governor") && !text.contains("slow  THP"),
        "{status} {text}"
    );

    let (status, text) = host.run("undo", &[]);
    assert_eq!(status, 0, "{text}");
    assert!(host.read("calls").ends_with("systemctl start irqbalance"));
    fs::remove_file(host.path("calls")).expect("the calls");
    // The kernel would show its choice in brackets again.
    let choice = "sys/kernel/mm/transparent_hugepage/enabled";
    assert_eq!(host.read(choice), "always");
    host.write(choice, "[always] madvise never");
    assert_eq!(before, host.files());
    let (status, text) = host.run("undo", &[]);
    assert_eq!(status, 2, "{text}");
}

#[test]
fn applying_twice_keeps_the_first_state() {
    let host = Host::new();
    assert_eq!(host.run("apply", &["3"]).0, 0);
    let state = host.read("run/ringwire-tuning.state");
    assert_eq!(host.run("apply", &["2-3"]).0, 0);
    assert!(host.read("run/ringwire-tuning.state").starts_with(&state));
    assert_eq!(host.read("proc/irq/10/smp_affinity_list"), "0,1");
    assert_eq!(host.run("undo", &[]).0, 0);
    assert_eq!(host.read("proc/irq/10/smp_affinity_list"), "0-3");
    assert_eq!(host.read("proc/irq/default_smp_affinity"), "f");
}

#[test]
fn the_network_card_is_set_and_put_back() {
    let host = Host::new();
    let (status, text) = host.run(
        "apply",
        &["--nic", "eth9", "--local-queues", "--busy-poll", "2,3"],
    );
    assert_eq!(status, 0, "{text}");
    // A queue's interrupt on its core's CPU, though all others were moved away.
    assert_eq!(host.read("proc/irq/10/smp_affinity_list"), "2");
    assert_eq!(host.read("sys/class/net/eth9/napi_defer_hard_irqs"), "2");
    assert_eq!(host.run("undo", &[]).0, 0);
    assert_eq!(host.read("proc/irq/10/smp_affinity_list"), "0-3");
    assert_eq!(host.read("sys/class/net/eth9/napi_defer_hard_irqs"), "0");
    let calls = host.read("calls");
    let ethtool: Vec<&str> = calls.lines().filter(|c| c.starts_with("ethtool")).collect();
    assert_eq!(
        ethtool,
        [
            "ethtool -C eth9 adaptive-rx off",
            "ethtool -C eth9 rx-usecs 0",
            "ethtool -L eth9 combined 2",
            "ethtool -L eth9 combined 4",
            "ethtool -C eth9 rx-usecs 50",
            "ethtool -C eth9 adaptive-rx on",
        ]
    );
}

#[test]
fn bad_usage_is_refused() {
    let host = Host::new();
    let before = host.files();
    for args in [
        &[][..],
        &["0-3"],
        &["4"],
        &["x"],
        &["1", "2"],
        &["--nic", "eth8", "1"],
        &["--local-queues", "1"],
        &["--huge-pages", "many", "1"],
        &["--huge-pages"],
        &["--frobnicate", "1"],
    ] {
        let (status, text) = host.run("apply", args);
        assert_eq!(status, 2, "{args:?}: {text}");
        assert!(!text.is_empty(), "{args:?}");
    }
    for args in [&["4"][..], &["1", "2"], &["--nic"], &["--nic", "eth8"]] {
        assert_eq!(host.run("check", args).0, 2, "{args:?}");
    }
    assert_eq!(before, host.files());
}

/// CPUs beyond 32: masks are groups of 32 bits.
#[test]
fn masks_have_groups() {
    let host = Host::new();
    for cpu in 4..40 {
        host.write(&format!("sys/devices/system/cpu/cpu{cpu}/.keep"), "");
    }
    host.write("sys/devices/system/cpu/online", "0-39");
    let (status, text) = host.run("apply", &["0-31,34-39"]);
    assert_eq!(status, 0, "{text}");
    assert_eq!(
        host.read("proc/irq/default_smp_affinity"),
        "00000003,00000000"
    );
}

#[test]
fn the_unit_is_valid_and_hardened() {
    let unit = fs::read_to_string("tuning/ringwire.service").expect("the unit");
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("ringwire.service");
    // The program is not installed where tests run.
    fs::write(&path, unit.replace("/usr/local/bin/ringwire", "/bin/true")).expect("a copy");
    let analyze = |args: &[&str]| {
        Command::new("systemd-analyze")
            .args(args)
            .arg(&path)
            .output()
    };
    let Ok(output) = analyze(&["verify", "--man=no"]) else {
        println!("skipped: no systemd-analyze");
        return;
    };
    let text = String::from_utf8_lossy(&output.stderr);
    let about_unit: Vec<&str> = text.lines().filter(|l| l.contains("ringwire")).collect();
    assert!(about_unit.is_empty(), "{text}");
    // Exposure in tenths, of 100.
    let output = analyze(&["security", "--offline=true", "--threshold=20"]).expect("it ran before");
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text.lines().last().unwrap_or_default();
    assert!(output.status.success(), "{last}");
}
