//! The result of a run, for people and as JSON.

use crate::handshake::ServerInfo;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Messages that did not arrive exactly once, in order and unchanged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Faults {
    pub lost: u64,
    pub duplicated: u64,
    pub reordered: u64,
    /// Of another length than was sent, or without our head.
    pub damaged: u64,
}

impl Faults {
    pub fn any(&self) -> bool {
        *self != Faults::default()
    }
}

/// Latency percentiles in nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// From where to where it is measured.
    pub measured: String,
    pub count: u64,
    pub min: u64,
    pub mean: f64,
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub p99_9: u64,
    pub p99_99: u64,
    pub max: u64,
}

impl Latency {
    /// `None` when nothing was recorded.
    pub fn of(histogram: &Histogram<u64>, measured: &str) -> Option<Latency> {
        (!histogram.is_empty()).then(|| Latency {
            measured: measured.to_owned(),
            count: histogram.len(),
            min: histogram.min(),
            mean: histogram.mean(),
            p50: histogram.value_at_quantile(0.5),
            p90: histogram.value_at_quantile(0.9),
            p99: histogram.value_at_quantile(0.99),
            p99_9: histogram.value_at_quantile(0.999),
            p99_99: histogram.value_at_quantile(0.9999),
            max: histogram.max(),
        })
    }
}

/// What the server spent while it was measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// CPU time of all its threads, microseconds for each message counted;
    /// 0 when there was none.
    pub cpu_us_per_message: f64,
    /// CPU time by wall time: 1.0 is one CPU fully used.
    pub cpus_used: f64,
    /// Context switches a second, of threads that lived throughout.
    pub voluntary_switches_per_second: f64,
    pub involuntary_switches_per_second: f64,
    /// Resident memory in bytes, before any connection and at the end.
    pub resident_before: u64,
    pub resident_after: u64,
}

/// Growth of the server's memory by things it holds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Growth {
    /// What was added: "connections", "subscriptions".
    pub what: String,
    pub count: u64,
    /// Resident memory in bytes.
    pub resident_before: u64,
    pub resident_after: u64,
    /// The highest seen between, where it was sampled.
    pub resident_peak: u64,
    pub bytes_each: f64,
}

/// The result of one run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// The subcommand.
    pub work: String,
    /// How load is offered: closed loop, open loop, as fast as it goes.
    pub mode: String,
    pub server: ServerInfo,
    /// Length of the measured part, seconds; warm-up and drain excluded.
    pub seconds: f64,
    /// In the measured part.
    pub published: u64,
    pub delivered: u64,
    pub published_per_second: f64,
    pub delivered_per_second: f64,
    /// Of the whole run.
    pub faults: Faults,
    pub latency: Option<Latency>,
    pub cost: Option<Cost>,
    pub growth: Option<Growth>,
    /// Share of the time that the load generator worked (or was preempted
    /// while working); near 1 means that it was the limit itself.
    pub busy: f64,
    pub notes: Vec<String>,
    /// Why the run ended before its time.
    pub error: Option<String>,
}

impl Report {
    /// Whether the run went to its end and every message arrived as it should.
    pub fn is_clean(&self) -> bool {
        self.error.is_none() && !self.faults.any()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(error) = &self.error {
            writeln!(f, "ENDED EARLY  {error}")?;
        }
        if self.faults.any() {
            let Faults {
                lost,
                duplicated,
                reordered,
                damaged,
            } = self.faults;
            writeln!(
                f,
                "FAULTY  lost {lost}, duplicated {duplicated}, reordered {reordered}, damaged {damaged}"
            )?;
        }
        let ServerInfo {
            server_name,
            version,
            ..
        } = &self.server;
        writeln!(f, "{} ({})", self.work, self.mode)?;
        writeln!(f, "  server     {version} {server_name}")?;
        if self.seconds > 0.0 {
            writeln!(
                f,
                "  published  {:>12.0}/s   delivered {:>12.0}/s   over {:.2} s",
                self.published_per_second, self.delivered_per_second, self.seconds
            )?;
        }
        if let Some(latency) = &self.latency {
            writeln!(
                f,
                "  latency    {} of {} messages, µs",
                latency.measured, latency.count
            )?;
            let us = |ns: u64| ns as f64 / 1000.0;
            writeln!(
                f,
                "             min {:.1}  p50 {:.1}  p90 {:.1}  p99 {:.1}  p99.9 {:.1}  p99.99 {:.1}  max {:.1}",
                us(latency.min),
                us(latency.p50),
                us(latency.p90),
                us(latency.p99),
                us(latency.p99_9),
                us(latency.p99_99),
                us(latency.max)
            )?;
        }
        if let Some(cost) = &self.cost {
            writeln!(
                f,
                "  server     {:.3} CPU µs per message, {:.2} CPUs used, {:.0} + {:.0} switches/s, {:.1} -> {:.1} MiB",
                cost.cpu_us_per_message,
                cost.cpus_used,
                cost.voluntary_switches_per_second,
                cost.involuntary_switches_per_second,
                mib(cost.resident_before),
                mib(cost.resident_after)
            )?;
        }
        if let Some(growth) = &self.growth {
            writeln!(
                f,
                "  memory     {} {}: {:.1} -> {:.1} MiB (peak {:.1}), {:.0} bytes each",
                growth.count,
                growth.what,
                mib(growth.resident_before),
                mib(growth.resident_after),
                mib(growth.resident_peak),
                growth.bytes_each
            )?;
        }
        if self.seconds > 0.0 {
            writeln!(f, "  loadgen    {:.0} % busy", self.busy * 100.0)?;
        }
        for note in &self.notes {
            writeln!(f, "  note       {note}")?;
        }
        Ok(())
    }
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / (1024.0 * 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_wrong_comes_first() {
        let report = Report {
            work: "pubsub".into(),
            seconds: 1.0,
            faults: Faults {
                lost: 3,
                ..Faults::default()
            },
            error: Some("connection 1 ended".into()),
            ..Report::default()
        };
        assert!(!report.is_clean());
        let text = report.to_string();
        let mut lines = text.lines();
        assert!(lines.next().unwrap().starts_with("ENDED EARLY"));
        assert!(lines.next().unwrap().contains("lost 3"));
    }

    #[test]
    fn json_comes_back_as_it_went() {
        let mut histogram = Histogram::<u64>::new(3).unwrap();
        histogram.record(1500).unwrap();
        let report = Report {
            latency: Latency::of(&histogram, "round trip"),
            cost: Some(Cost::default()),
            growth: Some(Growth::default()),
            ..Report::default()
        };
        let json = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
        assert_eq!(Latency::of(&Histogram::new(3).unwrap(), ""), None);
    }
}
