//! Repeated runs of the same workloads against one server or two.

use super::{Machine, RunResult};
use serde::{Deserialize, Serialize};

/// What a figure is measured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    Nanoseconds,
    Bytes,
    PerSecond,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Better {
    Lower,
    Higher,
}

/// One of the servers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Side {
    /// "A", "B", or a name such as "nats-server 2.15.1".
    pub label: String,
    pub command: String,
}

/// One figure of all runs of a row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Compared {
    pub label: String,
    pub unit: Unit,
    pub better: Better,
    /// Whether it stands in the short table of `suite`.
    pub headline: bool,
    /// One list for each side, one value for each of its runs.
    pub values: Vec<Vec<f64>>,
}

/// One workload.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ComparedRow {
    /// Its name for `--rows`.
    pub key: String,
    pub title: String,
    /// What `loadgen` was called with, but for the server.
    pub arguments: Vec<String>,
    pub figures: Vec<Compared>,
    /// One list for each side.
    pub runs: Vec<Vec<RunResult>>,
}

impl ComparedRow {
    /// Why its figures of side `side` are to be taken with care, `None` if
    /// all its runs were clean.
    pub fn complaint(&self, side: usize) -> Option<String> {
        let runs = self.runs.get(side)?;
        let unclean = runs.iter().filter(|run| !run.is_clean()).count();
        if unclean == 0 {
            return None;
        }
        let mut counts = super::Counts::default();
        runs.iter().for_each(|run| counts.merge(&run.counts));
        let mut what = counts.complaints();
        if let Some(fault) = runs.iter().find_map(|run| run.faults.first()) {
            what.push(fault.clone());
        }
        if runs.iter().any(|run| !run.complete) {
            what.push("ended early".into());
        }
        Some(format!(
            "{unclean} of {} runs faulty: {}",
            runs.len(),
            what.join(", ")
        ))
    }
}

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Comparison {
    /// The exact command line, one word each.
    pub command: Vec<String>,
    pub loadgen_version: String,
    pub machine: Machine,
    pub started_unix_ms: u64,
    /// CPUs of the servers, as given.
    pub server_cpus: Option<String>,
    /// One or two.
    pub sides: Vec<Side>,
    pub rows: Vec<ComparedRow>,
    /// Why it ended early.
    pub error: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::Counts;

    #[test]
    fn a_faulty_run_is_named() {
        let clean = RunResult {
            complete: true,
            ..RunResult::default()
        };
        let lost = RunResult {
            counts: Counts {
                lost: 3,
                ..Counts::default()
            },
            ..clean.clone()
        };
        let row = ComparedRow {
            runs: vec![vec![clean.clone(), clean.clone()], vec![clean, lost]],
            ..ComparedRow::default()
        };
        assert_eq!(row.complaint(0), None);
        assert_eq!(row.complaint(1).unwrap(), "1 of 2 runs faulty: 3 lost");
        assert_eq!(row.complaint(2), None, "no such side");
    }
}
