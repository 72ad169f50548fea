//! `/metrics`: the server's and its cores' figures in the Prometheus text format 0.0.4.
//!
//! The number of series is bounded: it grows with the cores (rings with their square), and at most
//! [`MAX_NAMED_SLOW_CONSUMERS`] connections are ever named.

use std::fmt::{Display, Write as _};

use super::response::Response;
use super::snapshot::{CoreSnapshot, KindCounts, RingSnapshot, Snapshot, Spread};

/// Most slow consumers that get series of their own: a storm of bad readers must not become a
/// storm of series. The totals count all of them.
pub const MAX_NAMED_SLOW_CONSUMERS: usize = 20;

/// Longest client name in a label, characters; clients choose their names freely.
pub const MAX_LABEL_CHARS: usize = 64;

/// The answer to `/metrics`.
pub fn respond(snapshot: &Snapshot) -> Response {
    let mut text = Exposition(String::with_capacity(8 * 1024));
    server(&mut text, snapshot);
    cores(&mut text, &snapshot.cores);
    slow_consumers(&mut text, snapshot);
    Response::prometheus(text.0)
}

fn server(text: &mut Exposition, snapshot: &Snapshot) {
    let s = &snapshot.server;
    text.family("info", "gauge", "Identity of the server; always 1.");
    let version = [
        ("version", s.ringwire_version.as_str()),
        ("nats_version", &s.version),
        ("server_id", &s.server_id),
        ("server_name", &s.server_name),
    ];
    text.sample("info", &version, 1);
    for (name, kind, help, value) in [
        (
            "start_time_seconds",
            "gauge",
            "Start, seconds since 1970.",
            s.start as f64 / 1e9,
        ),
        (
            "cpu_percent",
            "gauge",
            "Use of the CPU, percent of one.",
            s.cpu_percent,
        ),
    ] {
        text.family(name, kind, help);
        text.sample(name, &[], value);
    }
    for (name, kind, help, value) in [
        ("memory_bytes", "gauge", "Resident memory.", s.memory),
        (
            "connections",
            "gauge",
            "Open client connections.",
            s.connections,
        ),
        (
            "connections_total",
            "counter",
            "Client connections ever accepted.",
            s.total_connections,
        ),
        (
            "subscriptions",
            "gauge",
            "Subscriptions in force.",
            s.subscriptions,
        ),
        (
            "in_messages_total",
            "counter",
            "Messages from clients.",
            s.traffic.in_msgs,
        ),
        (
            "in_bytes_total",
            "counter",
            "Bytes of messages from clients.",
            s.traffic.in_bytes,
        ),
        (
            "out_messages_total",
            "counter",
            "Messages to clients.",
            s.traffic.out_msgs,
        ),
        (
            "out_bytes_total",
            "counter",
            "Bytes of messages to clients.",
            s.traffic.out_bytes,
        ),
        (
            "publisher_stalls_total",
            "counter",
            "Times a publisher was held back for a slow reader.",
            s.stalled_clients,
        ),
    ] {
        text.family(name, kind, help);
        text.sample(name, &[], value);
    }
    text.by_kind(
        "slow_consumers_total",
        "Connections cut off because they did not read in time.",
        &s.slow_consumers,
    );
    text.by_kind(
        "stale_connections_total",
        "Connections closed because they did not answer PING.",
        &s.stale_connections,
    );
}

/// A name, its type, its meaning, and where a core's value is found.
type CoreFamily = (
    &'static str,
    &'static str,
    &'static str,
    fn(&CoreSnapshot) -> u64,
);

const CORE_FAMILIES: &[CoreFamily] = &[
    (
        "core_connections",
        "gauge",
        "Connections the core owns.",
        |c| c.connections,
    ),
    (
        "core_subscriptions",
        "gauge",
        "Subscriptions of its connections.",
        |c| c.subscriptions,
    ),
    (
        "core_in_messages_total",
        "counter",
        "Messages its clients sent.",
        |c| c.traffic.in_msgs,
    ),
    (
        "core_in_bytes_total",
        "counter",
        "Bytes of messages its clients sent.",
        |c| c.traffic.in_bytes,
    ),
    (
        "core_out_messages_total",
        "counter",
        "Messages to its clients.",
        |c| c.traffic.out_msgs,
    ),
    (
        "core_out_bytes_total",
        "counter",
        "Bytes of messages to its clients.",
        |c| c.traffic.out_bytes,
    ),
    (
        "core_remote_messages_total",
        "counter",
        "Messages handed to other cores.",
        |c| c.traffic.remote_msgs,
    ),
    ("core_turns_total", "counter", "Turns of the loop.", |c| {
        c.turns
    }),
    (
        "core_parks_total",
        "counter",
        "Times the core went to sleep.",
        |c| c.parks,
    ),
];

/// A name, its meaning, where a core's values are found, and how many of their units make one of
/// the metric's.
type SpreadFamily = (
    &'static str,
    &'static str,
    fn(&CoreSnapshot) -> &Spread,
    f64,
);

const NANOSECONDS_PER_SECOND: f64 = 1e9;

const CORE_SPREADS: &[SpreadFamily] = &[
    (
        "core_latency_seconds",
        "From taking what was received until the kernel has what is sent for it: a turn.",
        |c| &c.latency,
        NANOSECONDS_PER_SECOND,
    ),
    (
        "core_turn_messages",
        "Messages a turn.",
        |c| &c.messages_per_turn,
        1.0,
    ),
    (
        "core_submit_sends",
        "Sends a submit.",
        |c| &c.sends_per_submit,
        1.0,
    ),
];

type RingFamily = (
    &'static str,
    &'static str,
    &'static str,
    fn(&RingSnapshot) -> u64,
);

const RING_FAMILIES: &[RingFamily] = &[
    ("ring_depth", "gauge", "Bytes in the ring.", |r| r.depth),
    (
        "ring_overflow",
        "gauge",
        "Bytes that wait because the ring is full.",
        |r| r.overflow,
    ),
];

fn cores(text: &mut Exposition, cores: &[CoreSnapshot]) {
    for (name, kind, help, value) in CORE_FAMILIES {
        text.family(name, kind, help);
        for core in cores {
            text.sample(name, &[("core", &core.core.to_string())], value(core));
        }
    }
    text.family(
        "core_busy_seconds_total",
        "counter",
        "Time the core did not sleep.",
    );
    for core in cores {
        let label = core.core.to_string();
        let seconds = core.busy as f64 / NANOSECONDS_PER_SECOND;
        text.sample("core_busy_seconds_total", &[("core", &label)], seconds);
    }
    for (name, help, spread, scale) in CORE_SPREADS {
        text.family(name, "summary", help);
        for core in cores {
            text.summary(name, &core.core.to_string(), spread(core), *scale);
        }
    }
    for (name, kind, help, value) in RING_FAMILIES {
        text.family(name, kind, help);
        for core in cores {
            let from = core.core.to_string();
            for ring in &core.rings {
                let labels = [("from", from.as_str()), ("to", &ring.to.to_string())];
                text.sample(name, &labels, value(ring));
            }
        }
    }
}

fn slow_consumers(text: &mut Exposition, snapshot: &Snapshot) {
    const PENDING: &str = "slow_consumer_pending_bytes";
    const CUT_OFF: &str = "slow_consumer_cut_off_time_seconds";
    let named = || {
        let first = snapshot.slow_consumers.iter();
        first.take(MAX_NAMED_SLOW_CONSUMERS)
    };
    text.family(
        PENDING,
        "gauge",
        "Bytes that wait for a connection which is behind, or waited when it was cut off.",
    );
    for slow in named() {
        let core = slow.core.to_string();
        let cid = slow.cid.to_string();
        let labels = [
            ("cid", cid.as_str()),
            ("name", &slow.name),
            ("account", &slow.account),
            ("core", &core),
        ];
        text.sample(PENDING, &labels, slow.pending_bytes);
    }
    text.family(CUT_OFF, "gauge", "When it was cut off, seconds since 1970.");
    for slow in named() {
        if let Some(at) = slow.cut_off {
            let cid = slow.cid.to_string();
            let labels = [("cid", cid.as_str()), ("name", &slow.name)];
            text.sample(CUT_OFF, &labels, at as f64 / NANOSECONDS_PER_SECOND);
        }
    }
}

/// The text as it grows. Writing into a `String` cannot fail, so its results are dropped.
struct Exposition(String);

impl Exposition {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(
            self.0,
            "# HELP ringwire_{name} {help}\n# TYPE ringwire_{name} {kind}"
        );
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let _ = write!(self.0, "ringwire_{name}");
        for (i, (label, text)) in labels.iter().enumerate() {
            let open = if i == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{open}{label}=\"{}\"", label_value(text));
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{close} {value}");
    }

    fn by_kind(&mut self, name: &str, help: &str, counts: &KindCounts) {
        self.family(name, "counter", help);
        for (kind, count) in [
            ("client", counts.clients),
            ("route", counts.routes),
            ("gateway", counts.gateways),
            ("leaf", counts.leafs),
        ] {
            self.sample(name, &[("kind", kind)], count);
        }
    }

    fn summary(&mut self, name: &str, core: &str, spread: &Spread, scale: f64) {
        for (quantile, value) in [
            ("0.5", spread.p50),
            ("0.9", spread.p90),
            ("0.99", spread.p99),
            ("0.999", spread.p999),
            ("0.9999", spread.p9999),
            ("1", spread.max),
        ] {
            let labels = [("core", core), ("quantile", quantile)];
            self.sample(name, &labels, value as f64 / scale);
        }
        let labels = [("core", core)];
        self.sample(&format!("{name}_sum"), &labels, spread.sum as f64 / scale);
        self.sample(&format!("{name}_count"), &labels, spread.count);
    }
}

/// Cuts a label's text to [`MAX_LABEL_CHARS`] and escapes what the format demands.
fn label_value(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars().take(MAX_LABEL_CHARS) {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            // The format allows them, terminals and browsers do not take them kindly.
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::snapshot::SlowConsumerSnapshot;

    fn text_of(snapshot: &Snapshot) -> String {
        String::from_utf8(respond(snapshot).body).unwrap()
    }

    fn two_cores() -> Snapshot {
        let mut snapshot = Snapshot::default();
        for core in 0..2 {
            snapshot.cores.push(CoreSnapshot {
                core,
                turns: 7,
                busy: 1_500_000_000,
                latency: Spread {
                    count: 3,
                    sum: 30_000,
                    p50: 9_000,
                    ..Default::default()
                },
                rings: vec![RingSnapshot {
                    to: 1 - core,
                    depth: 4,
                    ..Default::default()
                }],
                ..Default::default()
            });
        }
        snapshot
    }

    #[test]
    fn each_core_has_its_label() {
        let text = text_of(&two_cores());
        for line in [
            "# TYPE ringwire_core_turns_total counter",
            "ringwire_core_turns_total{core=\"0\"} 7",
            "ringwire_core_busy_seconds_total{core=\"1\"} 1.5",
            "ringwire_core_latency_seconds{core=\"1\",quantile=\"0.5\"} 0.000009",
            "ringwire_core_latency_seconds_sum{core=\"1\"} 0.00003",
            "ringwire_core_latency_seconds_count{core=\"1\"} 3",
            "ringwire_ring_depth{from=\"1\",to=\"0\"} 4",
            "ringwire_slow_consumers_total{kind=\"client\"} 0",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn every_sample_belongs_to_the_family_above_it() {
        let text = text_of(&two_cores());
        let mut family = "";
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                family = rest.split(' ').next().unwrap();
            } else if !line.starts_with('#') {
                let name = line.split(['{', ' ']).next().unwrap();
                let base = name.trim_end_matches("_sum").trim_end_matches("_count");
                assert!(name == family || base == family, "{line} under {family}");
                let value = line.rsplit(' ').next().unwrap();
                assert!(value.parse::<f64>().is_ok(), "{line}");
            }
        }
    }

    #[test]
    fn names_are_few_short_and_escaped() {
        let slow = SlowConsumerSnapshot {
            cid: 5,
            name: format!("a\"\\\n{}", "x".repeat(100)),
            cut_off: Some(1_500_000_000),
            ..Default::default()
        };
        let snapshot = Snapshot {
            slow_consumers: vec![slow; 100],
            ..Default::default()
        };
        let text = text_of(&snapshot);
        let named = |metric: &str| text.lines().filter(|l| l.starts_with(metric)).count();
        assert_eq!(
            named("ringwire_slow_consumer_pending_bytes{"),
            MAX_NAMED_SLOW_CONSUMERS
        );
        let name = format!("a\\\"\\\\\\n{}", "x".repeat(MAX_LABEL_CHARS - 4));
        assert!(text.contains(&format!(
            "ringwire_slow_consumer_cut_off_time_seconds{{cid=\"5\",name=\"{name}\"}} 1.5"
        )));
    }
}
