//! What one run found: everything that the terminal, the exports and the
//! report page show, in one value that survives a trip through JSON.
//!
//! The engine fills it: every thread keeps [`Interval`]s and [`Latencies`] of
//! its own, which [`merge_intervals`] and [`Latencies::merge`] bring together
//! after the run.

mod comparison;
mod latencies;
mod machine;

pub use comparison::{Better, Compared, ComparedRow, Comparison, Side, Unit};
pub use latencies::{Latencies, PackedLatencies, QUANTILES, SAMPLES_BEYOND};
pub use machine::Machine;

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Length of an [`Interval`] (ns).
pub const INTERVAL_NS: u64 = 1_000_000_000;

/// How load is offered. Every output names it beside the latency, since the
/// same server gives other figures under each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pacing {
    /// A schedule of intended send times that the server cannot slow down.
    /// Latency counts from the intended time.
    #[default]
    OpenLoop,
    /// A message is sent when an earlier one has arrived. Latency counts from
    /// the send time and hides what a stall would have done to others.
    ClosedLoop,
    /// As many messages as the server takes. Latency is mostly queueing.
    AsFastAsItGoes,
}

impl fmt::Display for Pacing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Pacing::OpenLoop => "open loop",
            Pacing::ClosedLoop => "closed loop",
            Pacing::AsFastAsItGoes => "as fast as it goes",
        })
    }
}

/// One parameter of the workload, in the order in which it is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameter {
    pub name: String,
    pub value: String,
}

/// The server under load.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Server {
    /// host:port.
    pub address: String,
    /// From INFO.
    pub name: String,
    /// From INFO.
    pub version: String,
    /// The command that started it, where loadgen did.
    pub command: Option<String>,
    /// Its CPUs, where loadgen pinned it.
    pub cpus: Option<String>,
}

/// Messages of the whole run: warm-up, measured part and drain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Messages published, or requests made.
    pub sent: u64,
    /// Messages that arrived, duplicates included.
    pub received: u64,
    /// Should have arrived and did not.
    pub lost: u64,
    pub duplicated: u64,
    /// Arrived after a later one of the same publisher.
    pub reordered: u64,
    /// Of another length than was sent, or without our head.
    pub damaged: u64,
}

impl Counts {
    /// Whether every message arrived exactly once, in order and unchanged.
    pub fn clean(&self) -> bool {
        self.lost == 0 && self.duplicated == 0 && self.reordered == 0 && self.damaged == 0
    }

    /// Each kind of fault with its count, none for none.
    pub fn complaints(&self) -> Vec<String> {
        [
            (self.lost, "lost"),
            (self.duplicated, "duplicated"),
            (self.reordered, "reordered"),
            (self.damaged, "damaged"),
        ]
        .into_iter()
        .filter(|&(count, _)| count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect()
    }

    pub fn merge(&mut self, other: &Counts) {
        self.sent += other.sent;
        self.received += other.received;
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.reordered += other.reordered;
        self.damaged += other.damaged;
    }
}

/// One second of the run. Sent counts where it was sent, received and latency
/// where it arrived; so seconds after the measured part hold what was still
/// under way.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Interval {
    /// From the begin of the measured part (ns), a multiple of [`INTERVAL_NS`].
    pub start_ns: u64,
    pub sent: u64,
    pub received: u64,
    /// Payload bytes received.
    pub bytes: u64,
    pub latency: PackedLatencies,
}

impl Interval {
    fn merge(&mut self, other: &Interval) {
        self.sent += other.sent;
        self.received += other.received;
        self.bytes += other.bytes;
        self.latency.merge(&other.latency);
    }
}

/// Brings the intervals of several threads together: one for each second, in
/// order, seconds in which nothing happened included.
pub fn merge_intervals(threads: impl IntoIterator<Item = Vec<Interval>>) -> Vec<Interval> {
    let mut seconds: BTreeMap<u64, Interval> = BTreeMap::new();
    for interval in threads.into_iter().flatten() {
        let second = interval.start_ns / INTERVAL_NS;
        match seconds.get_mut(&second) {
            Some(merged) => merged.merge(&interval),
            None => {
                seconds.insert(second, interval);
            }
        }
    }
    let count = seconds.last_key_value().map_or(0, |(last, _)| last + 1);
    let empty = |second| Interval {
        start_ns: second * INTERVAL_NS,
        ..Interval::default()
    };
    (0..count)
        .map(|second| seconds.remove(&second).unwrap_or_else(|| empty(second)))
        .collect()
}

/// One thread of the load generator.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LoadThread {
    /// CPU it was pinned to.
    pub cpu: Option<usize>,
    pub connections: usize,
    /// Share of the measured part in which it worked (or was preempted while
    /// working), 0 to 1. Near 1 means that it was the limit itself.
    pub busy: f64,
}

/// What the server process spent in the measured part.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServerCost {
    /// CPU time of all its threads, user and kernel (ns).
    pub cpu_ns: u64,
    /// What the CPU time is divided by.
    pub messages: u64,
    /// Which messages these are: "delivered", "published", "requests".
    pub counted_by: String,
    /// CPU time by wall time: 1.0 is one CPU fully used.
    pub cpus_used: f64,
    /// Resident memory before any connection, at the end, and the highest
    /// ever (bytes).
    pub resident_before: u64,
    pub resident_after: u64,
    pub resident_peak: u64,
    /// Context switches in the measured part, of threads that lived throughout.
    pub voluntary_switches: u64,
    pub involuntary_switches: u64,
}

impl ServerCost {
    /// `None` when there was no message.
    pub fn cpu_ns_per_message(&self) -> Option<f64> {
        (self.messages > 0).then(|| self.cpu_ns as f64 / self.messages as f64)
    }
}

/// Growth of the server's memory by things that it holds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Growth {
    /// What was added: "connections", "subscriptions".
    pub what: String,
    pub count: u64,
    /// Resident memory (bytes).
    pub resident_before: u64,
    pub resident_after: u64,
    /// The highest seen between, where it was sampled.
    pub resident_peak: u64,
}

impl Growth {
    /// Bytes for each thing added, `None` where nothing was.
    pub fn bytes_each(&self) -> Option<f64> {
        let grown = self.resident_after as f64 - self.resident_before as f64;
        (self.count > 0).then(|| grown / self.count as f64)
    }
}

/// One more figure of a workload: connections a second, the highest rate found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    pub name: String,
    pub value: f64,
    pub unit: String,
}

/// One rate that a search for the highest rate tried.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Step {
    /// Messages a second that were asked for.
    pub rate: u64,
    /// Why the rate does not hold, `None` if it does.
    pub objection: Option<String>,
    pub sent_per_second: f64,
    pub received_per_second: f64,
    pub latency: PackedLatencies,
}

/// The search that a result is the best run of.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Search {
    /// What must hold: "p99 ≤ 1 ms".
    pub objective: String,
    pub limit_ns: u64,
    /// In the order in which they were tried.
    pub steps: Vec<Step>,
}

/// The result of one run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunResult {
    /// The subcommand and its shape in a few words: "fanout 1 to 50".
    pub title: String,
    /// The exact command line, one word each.
    pub command: Vec<String>,
    /// Version of loadgen.
    pub loadgen_version: String,
    pub machine: Machine,
    pub server: Server,
    pub pacing: Pacing,
    pub parameters: Vec<Parameter>,
    /// Begin of the measured part, Unix time (ms).
    pub started_unix_ms: u64,
    pub warmup_ns: u64,
    /// Length of the measured part; warm-up and drain excluded.
    pub measured_ns: u64,
    /// From where to where latency is measured: "intended send time to arrival".
    pub latency_measured: String,
    /// Of messages intended in the measured part.
    pub latency: Latencies,
    pub intervals: Vec<Interval>,
    pub counts: Counts,
    /// Messages sent and received in the measured part, and payload bytes
    /// received.
    pub measured_sent: u64,
    pub measured_received: u64,
    pub measured_bytes: u64,
    /// How far sends were behind their intended time; `None` without a schedule.
    /// It is part of the latency, though the load generator caused it.
    pub schedule_lag: Option<Latencies>,
    pub threads: Vec<LoadThread>,
    pub cost: Option<ServerCost>,
    pub growth: Option<Growth>,
    pub figures: Vec<Figure>,
    pub search: Option<Search>,
    /// What a reader should know and nobody did wrong.
    pub notes: Vec<String>,
    /// What went wrong beside the counts: errors of the server, connections
    /// that ended, why the run ended early.
    pub faults: Vec<String>,
    /// Whether the run went to its end.
    pub complete: bool,
}

impl RunResult {
    /// Whether the run went to its end, without a fault, and every message
    /// arrived as it should.
    pub fn is_clean(&self) -> bool {
        self.complete && self.faults.is_empty() && self.counts.clean()
    }

    /// Seconds of the measured part.
    pub fn seconds(&self) -> f64 {
        self.measured_ns as f64 / 1e9
    }

    /// Messages a second received in the measured part; 0 without one.
    pub fn received_per_second(&self) -> f64 {
        self.per_second(self.measured_received)
    }

    /// Messages a second sent in the measured part; 0 without one.
    pub fn sent_per_second(&self) -> f64 {
        self.per_second(self.measured_sent)
    }

    /// Payload bytes a second received in the measured part; 0 without one.
    pub fn bytes_per_second(&self) -> f64 {
        self.per_second(self.measured_bytes)
    }

    fn per_second(&self, count: u64) -> f64 {
        match self.measured_ns {
            0 => 0.0,
            _ => count as f64 / self.seconds(),
        }
    }

    /// The busiest thread's share of time, `None` where none was measured.
    pub fn busiest(&self) -> Option<f64> {
        self.threads
            .iter()
            .map(|thread| thread.busy)
            .max_by(f64::total_cmp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(second: u64, values: &[u64]) -> Interval {
        let mut latency = Latencies::default();
        values.iter().for_each(|&value| latency.record(value));
        Interval {
            start_ns: second * INTERVAL_NS,
            sent: 1,
            received: values.len() as u64,
            bytes: 10,
            latency: PackedLatencies::of(&latency),
        }
    }

    #[test]
    fn intervals_of_threads_become_one_series_without_holes() {
        let merged = merge_intervals([
            vec![interval(0, &[5]), interval(3, &[7])],
            vec![interval(0, &[900, 6]), interval(1, &[])],
        ]);
        let starts: Vec<u64> = merged.iter().map(|i| i.start_ns / INTERVAL_NS).collect();
        assert_eq!(starts, [0, 1, 2, 3]);
        assert_eq!((merged[0].sent, merged[0].received), (2, 3));
        assert_eq!(merged[0].latency.unpack().max(), 900);
        assert_eq!((merged[2].received, merged[3].bytes), (0, 10));
        assert!(merge_intervals([]).is_empty());
    }

    #[test]
    fn json_comes_back_as_it_went() {
        let mut result = RunResult {
            title: "pubsub \"1 to 1\"".into(),
            command: vec!["loadgen".into(), "pub".into()],
            pacing: Pacing::AsFastAsItGoes,
            parameters: vec![Parameter {
                name: "size".into(),
                value: "16 B".into(),
            }],
            intervals: vec![interval(0, &[5, 1_000_000])],
            schedule_lag: Some(Latencies::default()),
            threads: vec![LoadThread::default()],
            cost: Some(ServerCost::default()),
            growth: Some(Growth::default()),
            figures: vec![Figure::default()],
            search: Some(Search {
                steps: vec![Step::default()],
                ..Search::default()
            }),
            complete: true,
            ..RunResult::default()
        };
        for value in [1, 1500, 1500, 80_000, 7_000_000_000] {
            result.latency.record(value);
        }
        let json = serde_json::to_string(&result).unwrap();
        assert_eq!(serde_json::from_str::<RunResult>(&json).unwrap(), result);
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["pacing"], "as-fast-as-it-goes");
        assert_eq!(value["latency"]["p50"], 1500);
    }

    #[test]
    fn rates_of_a_run_that_measured_nothing_are_zero() {
        let empty = RunResult::default();
        assert_eq!(empty.received_per_second(), 0.0);
        assert_eq!(empty.busiest(), None);
        assert!(!empty.is_clean(), "it did not go to its end");
        assert_eq!(ServerCost::default().cpu_ns_per_message(), None);
        assert_eq!(Growth::default().bytes_each(), None);
    }
}
