//! Puts the result of a run together from what its threads leave behind.

use super::coordinator::{Ended, Sample};
use super::worker::Second;
use super::{CountedBy, Plan, Work};
use crate::result::{
    INTERVAL_NS, Interval, Latencies, LoadThread, Machine, PackedLatencies, RunResult, Server,
    ServerCost,
};
use crate::server_process::Switches;
use std::collections::BTreeMap;

/// Sends of this share of the rate asked for pass as the rate.
const RATE_KEPT: f64 = 0.99;

/// Seconds of sends that may be overdue at the end: a pause, not a backlog
/// that grows.
const OVERDUE_PASSES: f64 = 0.05;

/// From this share of time on the load generator may have been the limit.
const BUSY_LIMIT: f64 = 0.95;

/// A lag behind the schedule that is worth a word (ns), at its 99th percentile.
const LAG_WORTH_A_WORD: u64 = 1_000_000;

/// Begin and end of the measured part, as far as it came.
#[derive(Default)]
pub struct Window {
    pub begin: Option<Sample>,
    pub end: Option<Sample>,
    pub busy_at_end: Option<Sample>,
    pub started_unix_ms: u64,
    /// Read just before the begin and after the drain, because it takes long.
    pub switches: [Option<Switches>; 2],
}

/// The seconds of one load.
pub struct Series {
    threads: usize,
    whole: Latencies,
    seconds: BTreeMap<u64, Interval>,
    /// Seconds that some threads have not handed over yet.
    open: BTreeMap<u64, (usize, Latencies)>,
}

impl Series {
    pub fn new(threads: usize) -> Series {
        Series {
            threads,
            whole: Latencies::default(),
            seconds: BTreeMap::new(),
            open: BTreeMap::new(),
        }
    }

    pub fn add(&mut self, second: &Second) {
        self.whole.merge(&second.latency);
        let interval = self
            .seconds
            .entry(second.index)
            .or_insert_with(|| Interval {
                start_ns: second.index * INTERVAL_NS,
                ..Interval::default()
            });
        interval.sent += second.sent;
        interval.received += second.received;
        interval.bytes += second.bytes;
        let (missing, latency) = self
            .open
            .entry(second.index)
            .or_insert_with(|| (self.threads, Latencies::default()));
        latency.merge(&second.latency);
        *missing -= 1;
        if *missing == 0 {
            interval.latency = PackedLatencies::of(latency);
            self.open.remove(&second.index);
        }
    }

    /// All seconds without holes.
    fn intervals(&self) -> Vec<Interval> {
        let mut intervals: Vec<Interval> = self.seconds.values().cloned().collect();
        for interval in &mut intervals {
            if let Some((_, latency)) = self.open.get(&(interval.start_ns / INTERVAL_NS)) {
                interval.latency = PackedLatencies::of(latency);
            }
        }
        crate::result::merge_intervals([intervals])
    }
}

/// A result for each work.
pub fn assemble(
    works: &[Box<dyn Work>],
    plan: &Plan,
    ended: &Ended,
    resident_before: u64,
) -> Vec<RunResult> {
    let cost = cost(works, plan, &ended.window, resident_before);
    let threads = threads(plan, ended);
    works
        .iter()
        .enumerate()
        .map(|(index, work)| {
            let mut result = RunResult {
                title: work.title(),
                command: std::env::args().collect(),
                loadgen_version: env!("CARGO_PKG_VERSION").into(),
                machine: Machine::read(),
                server: Server {
                    address: format!("{}:{}", plan.target.host, plan.target.port),
                    name: ended.info.server_name.clone(),
                    version: ended.info.version.clone(),
                    ..Server::default()
                },
                pacing: work.pacing(),
                parameters: work.parameters(),
                started_unix_ms: ended.window.started_unix_ms,
                warmup_ns: plan.warmup_ns,
                latency_measured: work.latency_measured().into(),
                latency: ended.series[index].whole.clone(),
                intervals: ended.series[index].intervals(),
                threads: threads.clone(),
                cost: cost.clone(),
                complete: ended.error.is_none() && !ended.stopped,
                ..RunResult::default()
            };
            add_window(&mut result, &ended.window, index);
            add_rests(&mut result, ended, index);
            add_faults(&mut result, ended);
            judge_schedule(&mut result, work.as_ref(), plan);
            result
        })
        .collect()
}

fn add_window(result: &mut RunResult, window: &Window, index: usize) {
    let (Some(begin), Some(end)) = (&window.begin, &window.end) else {
        result
            .faults
            .push("ended before the warm-up was over".into());
        return;
    };
    result.measured_ns = end.at - begin.at;
    let (from, to) = (begin.loads[index], end.loads[index]);
    result.measured_sent = to.sent - from.sent;
    result.measured_received = to.received - from.received;
    result.measured_bytes = to.bytes - from.bytes;
}

fn add_rests(result: &mut RunResult, ended: &Ended, index: usize) {
    let mut lag = Latencies::default();
    for rest in &ended.rests {
        let (words, tally) = &rest.loads[index];
        result.counts.merge(&tally.counts());
        result.counts.lost += words.lost;
        result.notes.extend(words.notes.iter().cloned());
        if let Some(growth) = &words.growth {
            result.growth = Some(growth.clone());
        }
        lag.merge(&tally.lag);
    }
    if !lag.is_empty() {
        result.schedule_lag = Some(lag);
    }
}

fn add_faults(result: &mut RunResult, ended: &Ended) {
    if let Some(error) = &ended.error {
        result.faults.push(error.to_string());
    }
    let (mut count, mut first) = (0, None);
    for rest in &ended.rests {
        count += rest.server_errors.0;
        first = first.or_else(|| rest.server_errors.1.clone());
    }
    if let Some(text) = first {
        result
            .faults
            .push(format!("{count} -ERR from the server, the first '{text}'"));
    }
    if ended.stopped {
        result.notes.push("stopped by a signal".into());
    }
}

/// Says where the load generator did not do what was asked of it.
fn judge_schedule(result: &mut RunResult, work: &dyn Work, plan: &Plan) {
    let busiest = result.busiest().unwrap_or(0.0);
    let Some(pattern) = work.pattern().filter(|_| result.complete) else {
        return;
    };
    let share = work.seconds().map_or(1.0, |(from, until)| {
        let end = (plan.warmup_ns + plan.measure_ns) as f64 / 1e9;
        let begin = plan.warmup_ns as f64 / 1e9;
        (until.min(end) - from.max(begin)).max(0.0) / (end - begin).max(1e-9)
    });
    let asked = pattern.rate as f64 * share;
    let overdue = (1.0 - result.sent_per_second() / asked.max(1.0)) * result.seconds();
    let kept = result.sent_per_second() >= asked * RATE_KEPT
        || overdue <= OVERDUE_PASSES.max(pattern.grain());
    let lag = result
        .schedule_lag
        .as_ref()
        .map_or(0, |lag| if lag.is_empty() { 0 } else { lag.at(0.99) });
    if kept && lag < LAG_WORTH_A_WORD {
        return;
    }
    let cause = if busiest >= BUSY_LIMIT {
        "the load generator had no time left: give it more cores (--cpus), or ask for less"
    } else {
        "the server did not take more, or the load generator's cores were taken away"
    };
    let what = format!(
        "behind its own schedule: the 99th percentile of sends was {:.1} ms late, \
         {:.0} of {asked:.0} messages a second were sent; {cause}",
        lag as f64 / 1e6,
        result.sent_per_second(),
    );
    if kept {
        result.notes.push(what);
    } else {
        result.faults.push(what);
    }
}

fn threads(plan: &Plan, ended: &Ended) -> Vec<LoadThread> {
    let busy = |thread: usize| {
        let (begin, end) = (ended.window.begin.as_ref()?, ended.window.end.as_ref()?);
        let worked = end.busy[thread].saturating_sub(begin.busy[thread]);
        Some(worked as f64 / (end.at - begin.at).max(1) as f64)
    };
    plan.threads
        .iter()
        .enumerate()
        .map(|(thread, &cpu)| LoadThread {
            cpu,
            connections: ended
                .rests
                .iter()
                .find(|rest| rest.thread == thread)
                .map_or(0, |rest| rest.connections),
            busy: busy(thread).unwrap_or(0.0),
        })
        .collect()
}

/// What the server spent, for all works together.
fn cost(
    works: &[Box<dyn Work>],
    plan: &Plan,
    window: &Window,
    resident_before: u64,
) -> Option<ServerCost> {
    let server = plan.server?;
    let (begin, end) = (window.begin.as_ref()?, window.end.as_ref()?);
    let cpu_ns = end.cpu_ns?.saturating_sub(begin.cpu_ns?);
    let seconds = (end.at - begin.at).max(1) as f64 / 1e9;
    let mut messages = 0;
    for (index, work) in works.iter().enumerate() {
        let (from, to) = (begin.loads[index], end.loads[index]);
        messages += match work.counted_by() {
            CountedBy::Published => to.sent - from.sent,
            CountedBy::Delivered => to.received - from.received,
        };
    }
    let [Some(before), Some(after)] = window.switches else {
        return None;
    };
    Some(ServerCost {
        cpu_ns,
        messages,
        counted_by: match works.first().map(|work| work.counted_by()) {
            Some(CountedBy::Published) => "published".into(),
            _ => "delivered".into(),
        },
        cpus_used: cpu_ns as f64 / 1e9 / seconds,
        resident_before,
        resident_after: server.resident().unwrap_or(0),
        resident_peak: server.resident_peak().unwrap_or(0),
        voluntary_switches: after.voluntary.saturating_sub(before.voluntary),
        involuntary_switches: after.involuntary.saturating_sub(before.involuntary),
    })
}
