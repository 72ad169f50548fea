//! The machine that a run took place on. Sources: `proc(5)`, `sysfs`.

use serde::{Deserialize, Serialize};
use std::fs;

/// What a reader needs to judge the figures. Empty or `None` where the system
/// does not tell.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Machine {
    pub cpu_model: String,
    /// CPUs online.
    pub cpus: usize,
    /// Kernel release.
    pub kernel: String,
    /// Frequency governor of the first CPU.
    pub governor: Option<String>,
    /// That this is a guest, and whose.
    pub hypervisor: Option<String>,
    pub clock_source: Option<String>,
    /// Bytes of memory.
    pub memory: u64,
    /// Words of the kernel command line that isolate CPUs.
    pub isolation: Vec<String>,
}

impl Machine {
    pub fn read() -> Machine {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let cmdline = fs::read_to_string("/proc/cmdline").unwrap_or_default();
        Machine {
            cpu_model: cpu_model(&cpuinfo),
            cpus: cpus(&cpuinfo),
            kernel: line("/proc/sys/kernel/osrelease").unwrap_or_default(),
            governor: line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            hypervisor: hypervisor(&cpuinfo),
            clock_source: line("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
            memory: memory(&meminfo),
            isolation: isolation(&cmdline),
        }
    }
}

/// The content of a one-line file.
fn line(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// The value behind `name :` in the format of cpuinfo.
fn entry<'a>(cpuinfo: &'a str, name: &str) -> Option<&'a str> {
    cpuinfo.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim())
    })
}

fn cpu_model(cpuinfo: &str) -> String {
    // arm64 has no model name, only numbers of implementer and part.
    entry(cpuinfo, "model name")
        .map(str::to_owned)
        .or_else(|| {
            let implementer = entry(cpuinfo, "CPU implementer")?;
            Some(format!(
                "implementer {implementer} part {}",
                entry(cpuinfo, "CPU part")?
            ))
        })
        .unwrap_or_default()
}

fn cpus(cpuinfo: &str) -> usize {
    cpuinfo
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count()
}

fn memory(meminfo: &str) -> u64 {
    let kib = entry(meminfo, "MemTotal").and_then(|value| value.split(' ').next()?.parse().ok());
    kib.map_or(0, |kib: u64| kib * 1024)
}

/// The `hypervisor` flag is set for guests only (CPUID leaf 1, ECX bit 31).
fn hypervisor(cpuinfo: &str) -> Option<String> {
    let vendor = line("/sys/class/dmi/id/sys_vendor");
    let product = line("/sys/class/dmi/id/product_name");
    let guest = entry(cpuinfo, "flags")
        .is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor"));
    let named = [line("/sys/hypervisor/type"), vendor, product];
    let named: Vec<String> = named.into_iter().flatten().collect();
    guest.then(|| match named.as_slice() {
        [] => "virtual machine".into(),
        names => format!("virtual machine ({})", names.join(", ")),
    })
}

fn isolation(cmdline: &str) -> Vec<String> {
    const KEYS: [&str; 4] = ["isolcpus=", "nohz_full=", "rcu_nocbs=", "irqaffinity="];
    cmdline
        .split_whitespace()
        .filter(|word| KEYS.iter().any(|key| word.starts_with(key)))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CPUINFO: &str = "processor\t: 0\nmodel name\t: Example CPU @ 2.5GHz\nflags\t\t: fpu hypervisor lm\n\nprocessor\t: 1\nmodel name\t: Example CPU @ 2.5GHz\n";

    #[test]
    fn reads_the_formats_of_proc() {
        assert_eq!(cpu_model(CPUINFO), "Example CPU @ 2.5GHz");
        assert_eq!(cpus(CPUINFO), 2);
        assert!(hypervisor(CPUINFO).unwrap().starts_with("virtual machine"));
        assert_eq!(hypervisor("flags : fpu lm\n"), None);
        assert_eq!(
            cpu_model("CPU implementer : 0x41\nCPU part : 0xd0c\n"),
            "implementer 0x41 part 0xd0c"
        );
        assert_eq!(memory("MemTotal:       24675404 kB\n"), 24_675_404 * 1024);
        assert_eq!(
            isolation("quiet isolcpus=2-5 root=/dev/vda nohz_full=2-5"),
            ["isolcpus=2-5", "nohz_full=2-5"]
        );
    }

    #[test]
    fn this_machine_has_a_kernel_and_cpus() {
        let machine = Machine::read();
        assert!(machine.cpus > 0 && !machine.kernel.is_empty());
        assert!(machine.memory > 0);
    }
}
