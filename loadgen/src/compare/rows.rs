//! The table of workloads that two servers are compared by.

use crate::result::{Better, RunResult, Unit};

/// One figure taken from a result.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    pub label: &'static str,
    pub unit: Unit,
    pub better: Better,
    pub of: fn(&RunResult) -> Option<f64>,
}

/// One workload of the table.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Name for `--rows`.
    pub key: &'static str,
    pub title: &'static str,
    /// The subcommand with its flags.
    pub arguments: &'static [&'static str],
    /// Seconds it needs, where the general ones do not fit: measured, warm-up.
    pub seconds: (Option<f64>, Option<f64>),
    pub metrics: &'static [Metric],
    /// How many of the first metrics stand in the short table of `suite`.
    pub headlines: usize,
    /// Whether the server needs JetStream.
    pub jetstream: bool,
}

const CPU: Metric = Metric {
    label: "CPU a message",
    unit: Unit::Nanoseconds,
    better: Better::Lower,
    of: |result| result.cost.as_ref()?.cpu_ns_per_message(),
};
const RATE: Metric = Metric {
    label: "received",
    unit: Unit::PerSecond,
    better: Better::Higher,
    of: |result| (result.measured_ns > 0).then(|| result.received_per_second()),
};
const P50: Metric = latency("p50", |result| quantile(result, 0.5));
const P99: Metric = latency("p99", |result| quantile(result, 0.99));
const P99_9: Metric = latency("p99.9", |result| quantile(result, 0.999));
const P99_99: Metric = latency("p99.99", |result| quantile(result, 0.9999));
const GROWTH: Metric = Metric {
    label: "memory growth",
    unit: Unit::Bytes,
    better: Better::Lower,
    of: |result| {
        let growth = result.growth.as_ref()?;
        let grown = growth.resident_after.saturating_sub(growth.resident_before);
        Some(grown as f64)
    },
};
const BYTES_EACH: Metric = Metric {
    label: "bytes each",
    unit: Unit::Bytes,
    better: Better::Lower,
    of: |result| result.growth.as_ref()?.bytes_each(),
};
const RESIDENT: Metric = Metric {
    label: "resident before load",
    unit: Unit::Bytes,
    better: Better::Lower,
    of: |result| Some(result.growth.as_ref()?.resident_before as f64),
};

const fn latency(label: &'static str, of: fn(&RunResult) -> Option<f64>) -> Metric {
    Metric {
        label,
        unit: Unit::Nanoseconds,
        better: Better::Lower,
        of,
    }
}

fn quantile(result: &RunResult, quantile: f64) -> Option<f64> {
    (!result.latency.is_empty()).then(|| result.latency.at(quantile) as f64)
}

const CLOSED: &[Metric] = &[CPU, RATE, P50, P99];
const OPEN: &[Metric] = &[P50, P99, P99_9, P99_99, CPU];

/// Of `Row`: no time of its own.
const GENERAL: (Option<f64>, Option<f64>) = (None, None);

/// All rows, in the order of the table.
pub const ROWS: &[Row] = &[
    Row {
        key: "echo1",
        title: "50 connections, one 16 B message in flight each, self-echo",
        arguments: &["echo", "--conns", "50", "--inflight", "1", "--size", "16"],
        seconds: GENERAL,
        metrics: CLOSED,
        headlines: 1,
        jetstream: false,
    },
    Row {
        key: "echo16",
        title: "50 connections, 16 in flight",
        arguments: &["echo", "--conns", "50", "--inflight", "16", "--size", "16"],
        seconds: GENERAL,
        metrics: CLOSED,
        headlines: 1,
        jetstream: false,
    },
    Row {
        key: "echo2000",
        title: "1 connection, 2000 in flight",
        arguments: &["echo", "--conns", "1", "--inflight", "2000", "--size", "16"],
        seconds: GENERAL,
        metrics: CLOSED,
        headlines: 1,
        jetstream: false,
    },
    Row {
        key: "one",
        title: "1 to 1 stream of 16 B",
        arguments: &["pubsub", "--asap", "--subs", "1", "--size", "16"],
        seconds: GENERAL,
        metrics: &[CPU, RATE],
        headlines: 1,
        jetstream: false,
    },
    Row {
        key: "ten",
        title: "1 to 10 of 16 B, per delivery",
        arguments: &["pubsub", "--asap", "--subs", "10", "--size", "16"],
        seconds: GENERAL,
        metrics: &[CPU, RATE],
        headlines: 1,
        jetstream: false,
    },
    Row {
        key: "fan50",
        title: "one 64 B message at a time to 50 subscribers, per delivery",
        arguments: &["fanout", "--closed", "--subs", "50", "--size", "64"],
        seconds: GENERAL,
        metrics: CLOSED,
        headlines: 1,
        jetstream: false,
    },
    Row {
        key: "fan200",
        title: "the same to 200 subscribers",
        arguments: &["fanout", "--closed", "--subs", "200", "--size", "64"],
        seconds: GENERAL,
        metrics: CLOSED,
        headlines: 1,
        jetstream: false,
    },
    Row {
        key: "request",
        title: "requests, 10 connections with one in flight, one responder",
        arguments: &["request", "--closed", "--conns", "10", "--inflight", "1"],
        seconds: GENERAL,
        metrics: CLOSED,
        headlines: 1,
        jetstream: false,
    },
    Row {
        key: "paced",
        title: "ten readers of 20,000 × 1 KiB a second",
        arguments: &["paced", "--rate", "20000", "--subs", "10", "--size", "1024"],
        seconds: GENERAL,
        metrics: OPEN,
        headlines: 3,
        jetstream: false,
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
        seconds: (Some(10.0), None),
        metrics: OPEN,
        headlines: 3,
        jetstream: false,
    },
    Row {
        key: "storm",
        title: "ten readers of 5,000 × 128 B while 3,000 hostile connections come in",
        arguments: &[
            "storm", "--conns", "3000", "--rate", "5000", "--subs", "10", "--size", "128",
        ],
        seconds: (Some(5.0), None),
        metrics: &[P50, P99, P99_9, GROWTH],
        headlines: 4,
        jetstream: false,
    },
    Row {
        key: "idle",
        title: "idle connection with one subscription",
        arguments: &["idle", "--conns", "5000"],
        seconds: GENERAL,
        metrics: &[BYTES_EACH, RESIDENT],
        headlines: 2,
        jetstream: false,
    },
    Row {
        key: "subs",
        title: "subscription on a subject of its own",
        arguments: &["subs", "--count", "1000000"],
        seconds: GENERAL,
        metrics: &[BYTES_EACH],
        headlines: 1,
        jetstream: false,
    },
    Row {
        key: "jspub",
        title: "JetStream publish, file storage, window 1000, 128 B",
        arguments: &[
            "js",
            "pub",
            "--asap",
            "--window",
            "1000",
            "--size",
            "128",
            "--storage",
            "file",
        ],
        seconds: GENERAL,
        metrics: CLOSED,
        headlines: 1,
        jetstream: true,
    },
    Row {
        key: "jspull",
        title: "JetStream pull, 128 B, explicit ack",
        arguments: &[
            "js",
            "consume",
            "--prefill",
            "1000000",
            "--batch",
            "500",
            "--size",
            "128",
            "--storage",
            "file",
            "--ack",
            "explicit",
        ],
        // The messages are used up earlier.
        seconds: (Some(60.0), Some(0.2)),
        metrics: &[CPU, RATE],
        headlines: 1,
        jetstream: true,
    },
];

/// The rows named in `keys`; for an empty list all, those of JetStream only
/// for servers that have it. The unknown name otherwise.
pub fn select(keys: &[String], jetstream: bool) -> Result<Vec<&'static Row>, String> {
    if keys.is_empty() {
        let fits = |row: &&Row| jetstream || !row.jetstream;
        return Ok(ROWS.iter().filter(fits).collect());
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
            assert!((1..=row.metrics.len()).contains(&row.headlines));
        }
    }

    #[test]
    fn unknown_rows_are_named() {
        assert_eq!(select(&["jspub".into()], false).unwrap()[0].key, "jspub");
        assert_eq!(select(&["nope".into()], true).unwrap_err(), "nope");
    }

    #[test]
    fn rows_of_jetstream_need_a_server_that_has_it() {
        assert_eq!(select(&[], true).unwrap().len(), ROWS.len());
        let plain = select(&[], false).unwrap();
        assert!(plain.len() < ROWS.len() && plain.iter().all(|row| !row.jetstream));
    }
}
