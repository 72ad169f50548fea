//! The result of a run for a terminal. What went wrong comes first.

use super::numbers::{bytes, digits, nanoseconds, percent, seconds, whole};
use crate::result::{Latencies, QUANTILES, RunResult};
use std::fmt::Write;

/// Width of the names at the left.
const NAME: usize = 10;

/// Width of a column of latencies.
const COLUMN: usize = 10;

/// All there is to say about a run, lines ended.
pub fn summary(result: &RunResult) -> String {
    let mut out = String::new();
    for complaint in complaints(result) {
        line(&mut out, &complaint);
    }
    line(&mut out, &format!("{} ({})", result.title, result.pacing));
    let server = &result.server;
    let mut row = |name: &str, text: String| line(&mut out, &format!("  {name:NAME$} {text}"));
    row(
        "server",
        format!("{} {} at {}", server.version, server.name, server.address),
    );
    if result.measured_ns > 0 {
        row("measured", seconds(result.measured_ns));
        row(
            "sent",
            format!(
                "{:>12}/s   {} in all",
                digits(result.sent_per_second()),
                whole(result.counts.sent)
            ),
        );
        row(
            "received",
            format!(
                "{:>12}/s   {} in all, {}/s",
                digits(result.received_per_second()),
                whole(result.counts.received),
                bytes(result.bytes_per_second())
            ),
        );
    }
    for figure in &result.figures {
        row(
            &figure.name,
            format!("{} {}", digits(figure.value), figure.unit),
        );
    }
    if !result.latency.is_empty() {
        row(
            "latency",
            format!(
                "{} ({} messages)",
                result.latency_measured,
                whole(result.latency.count())
            ),
        );
        for text in percentiles(&result.latency) {
            row("", text);
        }
    }
    if let Some(lag) = &result.schedule_lag {
        row(
            "schedule",
            format!(
                "sent late by p50 {}, p99 {}, max {}",
                nanoseconds(lag.at(0.5) as f64),
                nanoseconds(lag.at(0.99) as f64),
                nanoseconds(lag.max() as f64)
            ),
        );
    }
    if let Some(text) = cost(result) {
        row("cost", text);
    }
    if let Some(text) = memory(result) {
        row("memory", text);
    }
    if result.measured_ns > 0 && !result.threads.is_empty() {
        let busy: Vec<String> = result.threads.iter().map(|t| percent(t.busy)).collect();
        row("loadgen", format!("{} busy", busy.join(", ")));
    }
    for note in &result.notes {
        row("note", note.clone());
    }
    out
}

/// What went wrong, the worst first.
pub fn complaints(result: &RunResult) -> Vec<String> {
    let mut complaints = Vec::new();
    let counts = &result.counts;
    if !counts.clean() {
        complaints.push(format!(
            "FAULTY: {} ({} sent, {} received)",
            counts.complaints().join(", "),
            whole(counts.sent),
            whole(counts.received)
        ));
    }
    if !result.complete {
        complaints.push("ENDED EARLY: what was measured so far follows".into());
    }
    complaints.extend(result.faults.iter().map(|fault| format!("FAULT: {fault}")));
    complaints
}

fn percentiles(latency: &Latencies) -> [String; 2] {
    let mut names = String::new();
    let mut values = String::new();
    for (name, quantile) in QUANTILES {
        // A star: see below.
        let few = !latency.supports(quantile);
        let name = format!("{name}{}", if few { "*" } else { "" });
        let _ = write!(names, "{name:>COLUMN$}");
        let value = nanoseconds(latency.at(quantile) as f64);
        let _ = write!(values, "{value:>COLUMN$}");
    }
    let _ = write!(names, "{:>COLUMN$}", "max");
    let _ = write!(values, "{:>COLUMN$}", nanoseconds(latency.max() as f64));
    if names.contains('*') {
        values.push_str("   * fewer than 10 messages were slower");
    }
    [names, values]
}

/// What the server spent, `None` where it is not known.
fn cost(result: &RunResult) -> Option<String> {
    let cost = result.cost.as_ref()?;
    let each = match cost.cpu_ns_per_message() {
        Some(each) => format!("{} CPU a message ({})", nanoseconds(each), cost.counted_by),
        None => "no message".into(),
    };
    let rate = |switches: u64| digits(switches as f64 / result.seconds().max(1e-9));
    Some(format!(
        "{each}, {} CPUs used, {} + {} context switches a second (voluntary + not)",
        digits(cost.cpus_used),
        rate(cost.voluntary_switches),
        rate(cost.involuntary_switches)
    ))
}

fn memory(result: &RunResult) -> Option<String> {
    if let Some(growth) = &result.growth {
        let each = growth
            .bytes_each()
            .map(|each| format!(", {} bytes each", digits(each)));
        let peak = (growth.resident_peak > 0)
            .then(|| format!(" (peak {})", bytes(growth.resident_peak as f64)));
        return Some(format!(
            "{} {}: {} -> {}{}{}",
            whole(growth.count),
            growth.what,
            bytes(growth.resident_before as f64),
            bytes(growth.resident_after as f64),
            peak.unwrap_or_default(),
            each.unwrap_or_default()
        ));
    }
    let cost = result.cost.as_ref()?;
    Some(format!(
        "{} -> {} (peak {})",
        bytes(cost.resident_before as f64),
        bytes(cost.resident_after as f64),
        bytes(cost.resident_peak as f64)
    ))
}

fn line(out: &mut String, text: &str) {
    out.push_str(text.trim_end());
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::page::tests::example;
    use crate::result::Growth;

    #[test]
    fn a_loss_is_the_first_line() {
        let mut result = example();
        result.counts.lost = 3;
        result.counts.reordered = 1;
        result.complete = false;
        result.faults.push("connection 1 ended".into());
        let text = summary(&result);
        let first: Vec<&str> = text.lines().take(3).collect();
        assert!(
            first[0].starts_with("FAULTY: 3 lost, 1 reordered ("),
            "{text}"
        );
        assert!(first[1].starts_with("ENDED EARLY"), "{text}");
        assert_eq!(first[2], "FAULT: connection 1 ended");
    }

    #[test]
    fn a_clean_run_begins_with_its_title() {
        let result = example();
        let text = summary(&result);
        assert!(text.starts_with("fanout 1 to 10 (open loop)\n"), "{text}");
        for word in ["p99.99", "max", "CPU a message", "sent late", "% busy"] {
            assert!(text.contains(word), "{word}: {text}");
        }
    }

    #[test]
    fn quantiles_of_few_samples_are_marked() {
        let mut latency = Latencies::default();
        (1..=100).for_each(|n| latency.record(n * 1000));
        let [names, values] = percentiles(&latency);
        assert!(names.contains("p90 ") && names.contains("p99*"), "{names}");
        assert!(values.contains("fewer than 10"), "{values}");
    }

    #[test]
    fn nothing_measured_is_still_something_to_read() {
        let growth = Growth {
            what: "connections".into(),
            count: 5000,
            resident_before: 1 << 20,
            resident_after: 3 << 20,
            resident_peak: 0,
        };
        let result = RunResult {
            growth: Some(growth),
            ..RunResult::default()
        };
        let text = summary(&result);
        assert!(
            text.contains("5,000 connections: 1.00 MiB -> 3.00 MiB"),
            "{text}"
        );
        assert!(!text.contains("latency"), "{text}");
    }
}
