//! Runs a workload: set-up, warm-up, the measured part, and the wait for what
//! is still under way.

use crate::error::Error;
use crate::handshake::Target;
use crate::meter::Meter;
use crate::net::{Handler, Net};
use crate::report::{Cost, Growth, Latency, Report};
use crate::server_process::{ServerProcess, Switches};
use crate::sys::{monotonic_ns, stop_requested};

/// How a run is measured.
#[derive(Debug, Clone)]
pub struct Plan {
    pub target: Target,
    pub server: Option<ServerProcess>,
    /// Nanoseconds before measuring begins.
    pub warmup_ns: u64,
    /// Nanoseconds of the measured part.
    pub measure_ns: u64,
    /// Sleep in `epoll_wait` instead of spinning (closed loops only).
    pub block: bool,
}

/// Nanoseconds without an arrival after which what is under way is given up.
/// Longer than the longest stall a server imposes on a publisher (10 s).
const PATIENCE_NS: u64 = 15_000_000_000;

/// The same once publishing has stopped.
const DRAIN_PATIENCE_NS: u64 = 3_000_000_000;

/// Waits of blocking loops, milliseconds: they look at the clock this often.
const BLOCK_MS: i32 = 20;

/// Which messages a server's CPU time is divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CountedBy {
    Published,
    Delivered,
}

/// A kind of load.
pub trait Workload: Handler {
    /// The subcommand and how it offers load.
    fn describe(&self) -> (&'static str, String);

    /// Makes connections and subscriptions.
    fn open(&mut self, net: &mut Net) -> Result<(), Error>;

    /// Publishes what is due. Called once a turn while publishing.
    fn publish(&mut self, net: &mut Net, now: u64) -> Result<(), Error>;

    /// Measuring begins.
    fn begin(&mut self, _net: &mut Net, _now: u64) -> Result<(), Error> {
        Ok(())
    }

    /// The measured part is over. Publishing stops.
    fn finish(&mut self, _net: &mut Net) -> Result<(), Error> {
        Ok(())
    }

    fn meter(&mut self) -> &mut Meter;

    /// Whether all that was published has arrived.
    fn drained(&mut self) -> bool {
        self.meter().outstanding() == 0
    }

    /// Whether publishing depends on the clock, so that the loop must spin.
    fn keeps_time(&self) -> bool {
        false
    }

    /// Which messages the server's CPU time is divided by.
    fn counted_by(&self) -> CountedBy {
        CountedBy::Delivered
    }

    /// What its latency figures measure.
    fn latency_label(&self) -> &'static str {
        "round trip"
    }

    /// Last words: notes, and the memory that was held.
    fn conclude(&mut self, _net: &mut Net) -> (Vec<String>, Option<Growth>) {
        (Vec::new(), None)
    }
}

/// Counters at one moment.
#[derive(Debug, Clone, Copy, Default)]
struct Sample {
    at: u64,
    published: u64,
    delivered: u64,
    cpu_ns: Option<u64>,
    busy_ns: u64,
}

/// Runs `work` to its end. An error means that nothing was measured; a run
/// that broke off later has its reason in the report.
pub fn run<W: Workload>(mut work: W, plan: &Plan) -> Result<Report, Error> {
    let mut net = Net::new(plan.target.clone())?;
    let resident_before = match plan.server {
        Some(server) => server.resident()?,
        None => 0,
    };
    work.open(&mut net)?;

    let mut window = Window::default();
    let outcome = measure(&mut work, &mut net, plan, &mut window);
    let (notes, growth) = work.conclude(&mut net);
    let mut report = report(&mut work, &net, &window, plan, resident_before);
    report.error = outcome.err().map(|error| error.to_string());
    report.growth = growth;
    report.notes.extend(notes);
    if let (count @ 1.., Some(first)) = net.server_errors() {
        report
            .notes
            .push(format!("{count} -ERR from the server, the first '{first}'"));
    }
    Ok(report)
}

/// Begin and end of the measured part, as far as it came.
#[derive(Default)]
struct Window {
    begin: Option<Sample>,
    end: Option<Sample>,
    /// Read just before the begin and after the drain, because it takes long.
    switches: [Option<(u64, Switches)>; 2],
}

fn measure<W: Workload>(
    work: &mut W,
    net: &mut Net,
    plan: &Plan,
    window: &mut Window,
) -> Result<(), Error> {
    let outcome = publish_and_measure(work, net, plan, window);
    if window.begin.is_some() && window.end.is_none() {
        window.end = Some(sample(work, net, plan));
    }
    work.meter().publishing = false;
    let outcome = outcome
        .and_then(|()| work.finish(net))
        .and_then(|()| drain(work, net));
    window.switches[1] = switches(plan);
    outcome
}

fn switches(plan: &Plan) -> Option<(u64, Switches)> {
    let switches = plan.server?.switches().ok()?;
    Some((monotonic_ns(), switches))
}

fn publish_and_measure<W: Workload>(
    work: &mut W,
    net: &mut Net,
    plan: &Plan,
    window: &mut Window,
) -> Result<(), Error> {
    let timeout = if plan.block && !work.keeps_time() {
        BLOCK_MS
    } else {
        0
    };
    let start = monotonic_ns();
    let mut watchdog = Watchdog::new(start, PATIENCE_NS);
    while !stop_requested() {
        let now = monotonic_ns();
        if window.begin.is_none() && now - start >= plan.warmup_ns {
            work.begin(net, now)?;
            window.switches[0] = switches(plan);
            let begin = sample(work, net, plan);
            work.meter().begin(begin.at);
            window.begin = Some(begin);
        }
        if let Some(begin) = window.begin
            && now.saturating_sub(begin.at) >= plan.measure_ns
        {
            window.end = Some(sample(work, net, plan));
            break;
        }
        let published = work.meter().published;
        work.publish(net, now)?;
        if work.meter().published != published {
            net.worked(monotonic_ns() - now);
        }
        net.turn(work, timeout)?;
        watchdog.check(work.meter(), now)?;
    }
    Ok(())
}

/// Waits for what is under way. What does not come counts as lost.
fn drain<W: Workload>(work: &mut W, net: &mut Net) -> Result<(), Error> {
    let mut progress = (work.meter().delivered, monotonic_ns());
    while !work.drained() {
        net.turn(work, BLOCK_MS)?;
        let now = monotonic_ns();
        if work.meter().delivered != progress.0 {
            progress = (work.meter().delivered, now);
        } else if now - progress.1 > DRAIN_PATIENCE_NS {
            return Ok(());
        }
    }
    Ok(())
}

/// Ends a run in which messages are under way but nothing arrives.
struct Watchdog {
    delivered: u64,
    since: u64,
    patience: u64,
}

impl Watchdog {
    fn new(now: u64, patience: u64) -> Watchdog {
        Watchdog {
            delivered: 0,
            since: now,
            patience,
        }
    }

    fn check(&mut self, meter: &Meter, now: u64) -> Result<(), Error> {
        if meter.delivered != self.delivered || meter.outstanding() == 0 {
            self.delivered = meter.delivered;
            self.since = now;
        } else if now.saturating_sub(self.since) > self.patience {
            return Err(Error::Stalled {
                seconds: (now - self.since) as f64 / 1e9,
                missing: meter.outstanding(),
            });
        }
        Ok(())
    }
}

fn sample<W: Workload>(work: &mut W, net: &Net, plan: &Plan) -> Sample {
    // A server that is gone has no figures; the rest is still reported.
    let cpu_ns = plan.server.and_then(|server| server.cpu_ns().ok());
    let meter = work.meter();
    Sample {
        at: monotonic_ns(),
        published: meter.published,
        delivered: meter.delivered,
        cpu_ns,
        busy_ns: net.busy_ns(),
    }
}

fn report<W: Workload>(
    work: &mut W,
    net: &Net,
    window: &Window,
    plan: &Plan,
    resident_before: u64,
) -> Report {
    let (name, mode) = work.describe();
    let counted_by = work.counted_by();
    let label = work.latency_label();
    let meter = work.meter();
    let mut report = Report {
        work: name.to_owned(),
        mode,
        server: net.info().clone(),
        faults: meter.faults(),
        latency: Latency::of(&meter.latency, label),
        ..Report::default()
    };
    let (Some(begin), Some(end)) = (window.begin, window.end) else {
        report
            .notes
            .push("ended before the warm-up was over".into());
        return report;
    };
    let seconds = (end.at - begin.at) as f64 / 1e9;
    report.seconds = seconds;
    report.published = end.published - begin.published;
    report.delivered = end.delivered - begin.delivered;
    report.published_per_second = report.published as f64 / seconds;
    report.delivered_per_second = report.delivered as f64 / seconds;
    report.busy = (end.busy_ns - begin.busy_ns) as f64 / 1e9 / seconds;

    if let (Some(from), Some(to)) = (begin.cpu_ns, end.cpu_ns) {
        let messages = match counted_by {
            CountedBy::Published => report.published,
            CountedBy::Delivered => report.delivered,
        };
        let cpu_ns = to.saturating_sub(from) as f64;
        let (voluntary, involuntary) = switch_rates(window).unwrap_or_default();
        report.cost = Some(Cost {
            cpu_us_per_message: match messages {
                0 => 0.0,
                count => cpu_ns / 1000.0 / count as f64,
            },
            cpus_used: cpu_ns / 1e9 / seconds,
            voluntary_switches_per_second: voluntary,
            involuntary_switches_per_second: involuntary,
            resident_before,
            resident_after: plan
                .server
                .and_then(|server| server.resident().ok())
                .unwrap_or(0),
        });
    }
    report
}

/// Voluntary and involuntary context switches a second.
fn switch_rates(window: &Window) -> Option<(f64, f64)> {
    let [Some((begin, from)), Some((end, to))] = window.switches else {
        return None;
    };
    let seconds = end.saturating_sub(begin).max(1) as f64 / 1e9;
    let rate = |from: u64, to: u64| to.saturating_sub(from) as f64 / seconds;
    Some((
        rate(from.voluntary, to.voluntary),
        rate(from.involuntary, to.involuntary),
    ))
}
