//! The table of workloads that two servers are compared by.

use crate::report::{Latency, Report};

/// One figure taken from a report.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    pub label: &'static str,
    pub of: fn(&Report) -> Option<f64>,
}

/// One workload of the table.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Name for `--rows`.
    pub key: &'static str,
    pub title: &'static str,
    /// The subcommand with its flags.
    pub arguments: &'static [&'static str],
    /// Seconds it needs, where the general `--seconds` would be too short.
    pub seconds: Option<f64>,
    pub metrics: &'static [Metric],
}

const CPU: Metric = Metric {
    label: "CPU µs per message",
    of: |report| Some(report.cost.as_ref()?.cpu_us_per_message),
};
const RATE: Metric = Metric {
    label: "delivered per second",
    of: |report| (report.seconds > 0.0).then_some(report.delivered_per_second),
};
const P50: Metric = Metric {
    label: "p50 µs",
    of: |report| latency_us(report, |latency| latency.p50),
};
const P99: Metric = Metric {
    label: "p99 µs",
    of: |report| latency_us(report, |latency| latency.p99),
};
const P99_9: Metric = Metric {
    label: "p99.9 µs",
    of: |report| latency_us(report, |latency| latency.p99_9),
};
const GROWTH: Metric = Metric {
    label: "memory growth MiB",
    of: |report| {
        let growth = report.growth.as_ref()?;
        let grown = growth.resident_after.saturating_sub(growth.resident_before);
        Some(grown as f64 / MIB)
    },
};
const BYTES_EACH: Metric = Metric {
    label: "bytes each",
    of: |report| Some(report.growth.as_ref()?.bytes_each),
};
const RESIDENT: Metric = Metric {
    label: "resident MiB before load",
    of: |report| Some(report.growth.as_ref()?.resident_before as f64 / MIB),
};

const MIB: f64 = 1024.0 * 1024.0;

fn latency_us(report: &Report, of: fn(&Latency) -> u64) -> Option<f64> {
    report
        .latency
        .as_ref()
        .map(|latency| of(latency) as f64 / 1000.0)
}

const CLOSED: &[Metric] = &[CPU, RATE, P50, P99];
const OPEN: &[Metric] = &[CPU, P50, P99, P99_9];

/// All rows, in the order of the table.
pub const ROWS: &[Row] = &[
    Row {
        key: "echo1",
        title: "50 connections, one 16 B message in flight each, self-echo",
        arguments: &["echo", "--conns", "50", "--inflight", "1", "--size", "16"],
        seconds: None,
        metrics: CLOSED,
    },
    Row {
        key: "echo16",
        title: "50 connections, 16 in flight",
        arguments: &["echo", "--conns", "50", "--inflight", "16", "--size", "16"],
        seconds: None,
        metrics: CLOSED,
    },
    Row {
        key: "echo2000",
        title: "1 connection, 2000 in flight",
        arguments: &["echo", "--conns", "1", "--inflight", "2000", "--size", "16"],
        seconds: None,
        metrics: CLOSED,
    },
    Row {
        key: "one",
        title: "1 to 1 stream of 16 B",
        arguments: &["pubsub", "--subs", "1", "--size", "16"],
        seconds: None,
        metrics: &[CPU, RATE],
    },
    Row {
        key: "ten",
        title: "1 to 10 of 16 B, per delivery",
        arguments: &["pubsub", "--subs", "10", "--size", "16"],
        seconds: None,
        metrics: &[CPU, RATE],
    },
    Row {
        key: "fan50",
        title: "one 64 B message at a time to 50 subscribers, per delivery",
        arguments: &["fanout", "--subs", "50", "--size", "64"],
        seconds: None,
        metrics: CLOSED,
    },
    Row {
        key: "fan200",
        title: "the same to 200 subscribers",
        arguments: &["fanout", "--subs", "200", "--size", "64"],
        seconds: None,
        metrics: CLOSED,
    },
    Row {
        key: "request",
        title: "requests, 10 connections with one in flight, one responder",
        arguments: &["request", "--conns", "10", "--inflight", "1"],
        seconds: None,
        metrics: CLOSED,
    },
    Row {
        key: "paced",
        title: "ten readers of 20,000 × 1 KiB a second",
        arguments: &["paced", "--rate", "20000", "--subs", "10", "--size", "1024"],
        seconds: None,
        metrics: OPEN,
    },
    Row {
        key: "stalled",
        title: "the same beside one that stopped",
        arguments: &[
            "paced",
            "--rate",
            "20000",
            "--subs",
            "10",
            "--size",
            "1024",
            "--stalled-sub",
        ],
        seconds: Some(10.0),
        metrics: OPEN,
    },
    Row {
        key: "storm",
        title: "ten readers of 5,000 × 128 B while 3,000 hostile connections come in",
        arguments: &[
            "storm", "--conns", "3000", "--rate", "5000", "--subs", "10", "--size", "128",
        ],
        seconds: Some(5.0),
        metrics: &[P50, P99, P99_9, GROWTH],
    },
    Row {
        key: "idle",
        title: "idle connection with one subscription",
        arguments: &["idle", "--conns", "5000"],
        seconds: None,
        metrics: &[BYTES_EACH, RESIDENT],
    },
    Row {
        key: "subs",
        title: "subscription on a subject of its own",
        arguments: &["subs", "--count", "1000000"],
        seconds: None,
        metrics: &[BYTES_EACH],
    },
];

/// The rows named in `keys`, all for an empty list. The unknown name otherwise.
pub fn select(keys: &[String]) -> Result<Vec<&'static Row>, String> {
    if keys.is_empty() {
        return Ok(ROWS.iter().collect());
    }
    keys.iter()
        .map(|key| {
            ROWS.iter()
                .find(|row| row.key == key)
                .ok_or_else(|| key.clone())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::Parser;

    #[test]
    fn every_row_is_a_valid_command_with_a_key_of_its_own() {
        for (index, row) in ROWS.iter().enumerate() {
            let arguments = ["loadgen"].iter().chain(row.arguments);
            assert!(Cli::try_parse_from(arguments).is_ok(), "{}", row.key);
            assert!(ROWS[..index].iter().all(|other| other.key != row.key));
        }
    }

    #[test]
    fn unknown_rows_are_named() {
        assert_eq!(select(&[]).unwrap().len(), ROWS.len());
        assert_eq!(select(&["ten".into()]).unwrap()[0].key, "ten");
        assert_eq!(select(&["nope".into()]).unwrap_err(), "nope");
    }
}
