//! The CPUs this process may use.

use std::fmt;
use std::io;

/// The CPUs of the calling thread's affinity mask, ascending, by system number.
///
/// # Errors
/// The system's error from `sched_getaffinity`.
pub fn allowed() -> io::Result<Vec<usize>> {
    // SAFETY: all-zero is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel fills a live set of the size given.
    if unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let bits = size_of::<libc::cpu_set_t>() * 8;
    // SAFETY: `cpu` is below the set's number of bits.
    Ok((0..bits)
        .filter(|cpu| unsafe { libc::CPU_ISSET(*cpu, &set) })
        .collect())
}

/// Which CPUs the operator asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CpuChoice {
    /// All of the affinity mask.
    All,
    /// The first so many of the affinity mask.
    Count(usize),
    /// These, by system number.
    List(Vec<usize>),
}

/// Why a choice cannot be met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CpuError {
    /// More cores than the mask has CPUs.
    TooMany { wanted: usize, allowed: usize },
    /// Not in the mask: it does not exist or is denied to this process.
    NotAllowed { cpu: usize, allowed: Vec<usize> },
    /// Named twice: two data threads on one CPU would halve each other.
    Twice { cpu: usize },
    /// No CPU at all.
    Empty,
}

impl fmt::Display for CpuError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany { wanted, allowed } => write!(
                f,
                "{wanted} cores asked for, but this process may use only {allowed} CPUs: \
                 lower --cores, or widen the affinity mask (taskset, cpuset, CPUAffinity=)"
            ),
            Self::NotAllowed { cpu, allowed } => write!(
                f,
                "CPU {cpu} does not exist or is outside this process's affinity mask ({}): \
                 change --cpus, or widen the mask (taskset, cpuset, CPUAffinity=)",
                format_list(allowed)
            ),
            Self::Twice { cpu } => write!(f, "CPU {cpu} is named twice in --cpus"),
            Self::Empty => f.write_str("no CPU is named: give --cores at least 1"),
        }
    }
}

impl std::error::Error for CpuError {}

/// The CPUs to pin to, one core each.
///
/// # Errors
/// [`CpuError`], with the remedy in its text.
pub fn choose(choice: &CpuChoice, allowed: &[usize]) -> Result<Vec<usize>, CpuError> {
    let chosen = match choice {
        CpuChoice::All => allowed.to_vec(),
        CpuChoice::Count(wanted) if *wanted > allowed.len() => {
            return Err(CpuError::TooMany {
                wanted: *wanted,
                allowed: allowed.len(),
            });
        }
        CpuChoice::Count(wanted) => allowed[..*wanted].to_vec(),
        CpuChoice::List(list) => {
            for (position, &cpu) in list.iter().enumerate() {
                if !allowed.contains(&cpu) {
                    let allowed = allowed.to_vec();
                    return Err(CpuError::NotAllowed { cpu, allowed });
                }
                if list[..position].contains(&cpu) {
                    return Err(CpuError::Twice { cpu });
                }
            }
            list.clone()
        }
    };
    if chosen.is_empty() {
        return Err(CpuError::Empty);
    }
    Ok(chosen)
}

/// Writes `[0, 1, 2, 5]` as `0-2,5`. The input is ascending.
pub fn format_list(cpus: &[usize]) -> String {
    let mut text = String::new();
    let mut rest = cpus;
    while let Some(&first) = rest.first() {
        let run = rest
            .iter()
            .zip(first..)
            .take_while(|(cpu, expected)| *cpu == expected)
            .count();
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(&first.to_string());
        if run > 1 {
            text.push('-');
            text.push_str(&rest[run - 1].to_string());
        }
        rest = &rest[run..];
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_met_or_refused() {
        let allowed = [2, 3, 5];
        let choose = |choice| choose(&choice, &allowed);
        assert_eq!(choose(CpuChoice::All), Ok(vec![2, 3, 5]));
        assert_eq!(choose(CpuChoice::Count(2)), Ok(vec![2, 3]));
        assert_eq!(choose(CpuChoice::List(vec![5, 2])), Ok(vec![5, 2]));
        assert_eq!(choose(CpuChoice::Count(0)), Err(CpuError::Empty));
        assert_eq!(
            choose(CpuChoice::Count(4)),
            Err(CpuError::TooMany {
                wanted: 4,
                allowed: 3
            })
        );
        assert_eq!(
            choose(CpuChoice::List(vec![2, 2])),
            Err(CpuError::Twice { cpu: 2 })
        );
        let refused = choose(CpuChoice::List(vec![4])).unwrap_err().to_string();
        assert!(refused.contains("CPU 4") && refused.contains("2-3,5"));
    }

    #[test]
    fn lists_are_written_in_ranges() {
        for (cpus, text) in [
            (vec![], ""),
            (vec![7], "7"),
            (vec![0, 1, 2, 5], "0-2,5"),
            (vec![1, 3, 4], "1,3-4"),
        ] {
            assert_eq!(format_list(&cpus), text);
        }
    }

    #[test]
    fn this_process_has_a_cpu() {
        assert!(!allowed().unwrap().is_empty());
    }
}
