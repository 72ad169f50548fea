//! The calling thread of a run: phases, samples once a second, and the wait
//! for what is still under way. It sleeps on the loads' CPUs, so that the
//! server has its own for itself.

use super::control::{Control, Phase, ThreadGauge, Times};
use super::outcome::{Series, Window, assemble};
use super::worker::{Event, Line, Rest, Worker};
use super::{Live, Observer, Plan, Share, Work};
use crate::connection::handshake::ServerInfo;
use crate::error::Error;
use crate::result::{Latencies, RunResult};
use crate::server_process::{ServerProcess, Switches};
use crate::sys::{self, monotonic_ns, stop_requested};
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

/// Between the last connection and the first message (ns).
const LEAD_NS: u64 = 5_000_000;

const SECOND_NS: u64 = 1_000_000_000;

/// Between two looks at signals and at what is under way.
const LOOK_NS: u64 = 50_000_000;
const DRAIN_LOOK_NS: u64 = 2_000_000;

/// How long threads may take for their last words.
const CONCLUDE_PATIENCE: Duration = Duration::from_secs(30);

/// Counters of all threads at one moment; one entry a load.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    pub at: u64,
    pub loads: Vec<LoadSample>,
    /// Nanoseconds of work, one entry a thread.
    pub busy: Vec<u64>,
    /// Of the server.
    pub cpu_ns: Option<u64>,
}

#[derive(Debug, Clone, Copy, Default)]
pub struct LoadSample {
    pub sent: u64,
    pub received: u64,
    pub bytes: u64,
    pub awaited: u64,
    pub arrived: u64,
}

impl Sample {
    pub fn sent(&self) -> u64 {
        self.loads.iter().map(|load| load.sent).sum()
    }

    pub fn received(&self) -> u64 {
        self.loads.iter().map(|load| load.received).sum()
    }

    fn outstanding(&self) -> u64 {
        let missing = |load: &LoadSample| load.awaited.saturating_sub(load.arrived);
        self.loads.iter().map(missing).sum()
    }

    fn arrived(&self) -> u64 {
        self.loads
            .iter()
            .map(|load| load.arrived + load.received)
            .sum()
    }
}

/// Runs `works` to their end; a result for each that is not aside. An error
/// means that nothing was measured; a run that broke off later has its reason
/// in the result.
pub fn run(
    mut works: Vec<Box<dyn Work>>,
    plan: &Plan,
    observer: &mut dyn Observer,
) -> Result<Vec<RunResult>, Error> {
    let cpus: Vec<usize> = plan.threads.iter().flatten().copied().collect();
    if !cpus.is_empty() {
        sys::pin_current_thread(&cpus).map_err(Error::system(format!("pinning to {cpus:?}")))?;
    }
    let resident_before = match plan.server {
        Some(server) => server.resident()?,
        None => 0,
    };
    let mut prepared = 0;
    let mut failure = None;
    for work in &mut works {
        if let Err(error) = work.prepare(&plan.target) {
            failure = Some(error);
            break;
        }
        prepared += 1;
    }
    let outcome = match failure {
        Some(error) => Err(error),
        None => run_threads(&works, plan, observer),
    };
    let mut results = match &outcome {
        Ok(ended) => assemble(&works, plan, ended, resident_before),
        Err(_) => (0..works.len()).map(|_| RunResult::default()).collect(),
    };
    for (work, result) in works.iter_mut().zip(&mut results).take(prepared) {
        work.conclude(&plan.target, result);
    }
    outcome?;
    Ok(fold_asides(&works, results))
}

/// Adds what goes along with the first work to its result.
fn fold_asides(works: &[Box<dyn Work>], results: Vec<RunResult>) -> Vec<RunResult> {
    let mut kept: Vec<RunResult> = Vec::new();
    for (work, result) in works.iter().zip(results) {
        match kept.first_mut() {
            Some(first) if work.is_aside() => {
                first.notes.extend(result.notes);
                first.figures.extend(result.figures);
                first.growth = first.growth.take().or(result.growth);
                first.title = format!("{} {}", first.title, work.title());
                first.parameters.extend(work.parameters());
            }
            _ => kept.push(result),
        }
    }
    kept
}

/// What is left when all threads have ended.
pub struct Ended {
    pub window: Window,
    pub series: Vec<Series>,
    pub rests: Vec<Rest>,
    pub info: ServerInfo,
    /// Why the run ended early.
    pub error: Option<Error>,
    pub stopped: bool,
}

fn run_threads(
    works: &[Box<dyn Work>],
    plan: &Plan,
    observer: &mut dyn Observer,
) -> Result<Ended, Error> {
    let threads = plan.threads.len();
    let control = Control::default();
    let gauges: Vec<ThreadGauge> = (0..threads)
        .map(|_| ThreadGauge::new(works.len()))
        .collect();
    let (events, inbox) = mpsc::channel();
    let mut spares = Vec::new();
    std::thread::scope(|scope| {
        for (thread, gauge) in gauges.iter().enumerate() {
            let (spare, spare_inbox) = mpsc::channel();
            spares.push(spare);
            let line = Line {
                events: events.clone(),
                spare: spare_inbox,
            };
            let worker = Worker::new(Share { thread, threads }, plan, works, line);
            let control = &control;
            scope.spawn(move || worker.run(control, gauge));
        }
        drop(events);
        let mut course = Course {
            plan,
            control: &control,
            gauges: &gauges,
            inbox,
            spares,
            observer,
            series: works.iter().map(|_| Series::new(threads)).collect(),
            rests: Vec::new(),
            info: ServerInfo::default(),
            error: None,
            latest: Latencies::default(),
        };
        let outcome = course.go();
        control.enter(Phase::Over);
        let window = outcome?;
        course.collect_rests(threads);
        Ok(Ended {
            window,
            series: course.series,
            rests: course.rests,
            info: course.info,
            error: course.error,
            stopped: stop_requested(),
        })
    })
}

struct Course<'a> {
    plan: &'a Plan,
    control: &'a Control,
    gauges: &'a [ThreadGauge],
    inbox: Receiver<Event>,
    spares: Vec<Sender<Latencies>>,
    observer: &'a mut dyn Observer,
    series: Vec<Series>,
    rests: Vec<Rest>,
    info: ServerInfo,
    /// The first that ended the run.
    error: Option<Error>,
    /// Of the last second handed over, all loads and threads.
    latest: Latencies,
}

impl Course<'_> {
    fn go(&mut self) -> Result<Window, Error> {
        self.wait_for_connections()?;
        let start = monotonic_ns() + LEAD_NS;
        let begin = start + self.plan.warmup_ns;
        let end = begin + self.plan.measure_ns;
        self.control.set_times(Times { start, begin, end });
        self.control.enter(Phase::Run);

        let mut window = Window::default();
        self.publish(&mut window, begin, end);
        if self.error.is_none() {
            self.drain();
        }
        window.switches[1] = self.plan.server.and_then(switches);
        Ok(window)
    }

    fn wait_for_connections(&mut self) -> Result<(), Error> {
        let (mut ready, mut connections) = (0, 0);
        while ready < self.plan.threads.len() {
            match self.inbox.recv_timeout(Duration::from_nanos(LOOK_NS)) {
                Ok(Event::Ready(info, opened)) => {
                    self.info = info;
                    ready += 1;
                    connections += opened;
                }
                Ok(Event::Failed(error)) => return Err(error),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) if !stop_requested() => {}
                Err(_) => return Err(Error::Usage("stopped before anything was measured".into())),
            }
        }
        self.observer.connected(connections);
        Ok(())
    }

    /// Warm-up and measured part.
    fn publish(&mut self, window: &mut Window, begin: u64, end: u64) {
        let mut watchdog = Watchdog::new(self.plan.patience_ns);
        let mut last = self.sample(false);
        // Seconds before `begin`, then those after it.
        let warmup_seconds = self.plan.warmup_ns / SECOND_NS;
        let mut tick = begin - warmup_seconds * SECOND_NS;
        loop {
            let next = tick.min(end);
            self.wait_until(next.min(monotonic_ns() + LOOK_NS));
            let now = monotonic_ns();
            let done = self.error.is_some() || stop_requested() || self.is_exhausted();
            if now >= begin && window.begin.is_none() {
                window.switches[0] = self.plan.server.and_then(switches);
                window.started_unix_ms = unix_ms();
                window.begin = Some(self.sample(true));
            }
            if now >= end || done {
                window.end = window.begin.is_some().then(|| self.sample(true));
                window.busy_at_end = window.end.clone();
                self.control.end_at(now.min(end));
                return;
            }
            if let Err(error) = watchdog.check(&self.sample(false), now) {
                self.error = Some(error);
                continue;
            }
            if now >= tick {
                let sample = self.sample(false);
                self.show(&last, &sample, begin);
                last = sample;
                tick += SECOND_NS;
            }
        }
    }

    /// Waits for what is under way. What does not come counts as lost.
    fn drain(&mut self) {
        let mut progress = (self.sample(false), monotonic_ns());
        let catch_up_until = progress.1.saturating_add(self.plan.drain_patience_ns);
        loop {
            let quiet = self
                .gauges
                .iter()
                .flat_map(|thread| &thread.loads)
                .all(|load| load.quiet.load(Acquire));
            let sample = self.sample(false);
            if quiet && sample.outstanding() == 0 || self.error.is_some() {
                return;
            }
            let now = monotonic_ns();
            if !quiet && now > catch_up_until {
                // What is overdue stays unsent.
                self.control.end_at(0);
            }
            let moved = sample.arrived() + sample.sent();
            if moved != progress.0.arrived() + progress.0.sent() {
                progress = (sample, now);
            } else if now - progress.1 > self.plan.drain_patience_ns {
                return;
            }
            self.wait_until(now + DRAIN_LOOK_NS);
        }
    }

    fn is_exhausted(&self) -> bool {
        (0..self.series.len()).all(|load| {
            let mut threads = self.gauges.iter().map(|thread| &thread.loads[load]);
            threads.any(|gauge| gauge.exhausted.load(Relaxed))
        })
    }

    /// Handles what threads send until `deadline`.
    fn wait_until(&mut self, deadline: u64) {
        loop {
            let left = deadline.saturating_sub(monotonic_ns());
            match self.inbox.recv_timeout(Duration::from_nanos(left)) {
                Ok(event) => self.handle(event),
                Err(RecvTimeoutError::Timeout) => return,
                Err(RecvTimeoutError::Disconnected) => {
                    let lost = || Error::Usage("a thread of loadgen is gone".into());
                    self.error.get_or_insert_with(lost);
                    return;
                }
            }
            if self.error.is_some() {
                return;
            }
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Ready(..) => {}
            Event::Failed(error) => {
                self.error.get_or_insert(error);
            }
            Event::Done(rest) => self.rests.push(rest),
            Event::Second(mut second) => {
                self.latest.merge(&second.latency);
                self.series[second.load].add(&second);
                second.latency.clear();
                // A thread that has ended needs none.
                let _ = self.spares[second.thread].send(second.latency);
            }
        }
    }

    fn collect_rests(&mut self, threads: usize) {
        while self.rests.len() < threads {
            match self.inbox.recv_timeout(CONCLUDE_PATIENCE) {
                Ok(event) => self.handle(event),
                Err(_) => return,
            }
        }
    }

    fn show(&mut self, last: &Sample, sample: &Sample, begin: u64) {
        let seconds = (sample.at - last.at).max(1) as f64 / 1e9;
        let live = Live {
            elapsed_ns: sample.at as i64 - begin as i64,
            sent_per_second: (sample.sent() - last.sent()) as f64 / seconds,
            received_per_second: (sample.received() - last.received()) as f64 / seconds,
            latency: std::mem::take(&mut self.latest),
        };
        self.observer.second(&live);
    }

    fn sample(&self, with_server: bool) -> Sample {
        let mut loads = vec![LoadSample::default(); self.series.len()];
        for thread in self.gauges {
            for (sum, gauge) in loads.iter_mut().zip(&thread.loads) {
                sum.sent += gauge.sent.load(Relaxed);
                sum.received += gauge.received.load(Relaxed);
                sum.bytes += gauge.bytes.load(Relaxed);
                sum.arrived += gauge.arrived.load(Relaxed);
                sum.awaited += gauge.awaited.load(Relaxed);
            }
        }
        // A server that is gone has no figures; the rest is still reported.
        let server = self.plan.server.filter(|_| with_server);
        Sample {
            cpu_ns: server.and_then(|server| server.cpu_ns().ok()),
            at: monotonic_ns(),
            loads,
            busy: self
                .gauges
                .iter()
                .map(|thread| thread.busy.load(Relaxed))
                .collect(),
        }
    }
}

fn switches(server: ServerProcess) -> Option<Switches> {
    server.switches().ok()
}

fn unix_ms() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64)
}

/// Ends a run in which messages are under way but nothing arrives.
struct Watchdog {
    arrived: u64,
    since: Option<u64>,
    patience: u64,
}

impl Watchdog {
    fn new(patience: u64) -> Watchdog {
        Watchdog {
            arrived: 0,
            since: None,
            patience,
        }
    }

    fn check(&mut self, sample: &Sample, now: u64) -> Result<(), Error> {
        let since = *self.since.get_or_insert(now);
        if sample.arrived() != self.arrived || sample.outstanding() == 0 {
            self.arrived = sample.arrived();
            self.since = Some(now);
        } else if now.saturating_sub(since) > self.patience {
            return Err(Error::Stalled {
                seconds: (now - since) as f64 / 1e9,
                missing: sample.outstanding(),
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_barks_only_while_messages_are_under_way() {
        let sample = |awaited, arrived| Sample {
            loads: vec![LoadSample {
                awaited,
                arrived,
                ..LoadSample::default()
            }],
            ..Sample::default()
        };
        let mut watchdog = Watchdog::new(100);
        assert!(watchdog.check(&sample(5, 5), 0).is_ok());
        assert!(
            watchdog.check(&sample(5, 5), 1000).is_ok(),
            "nothing missing"
        );
        assert!(watchdog.check(&sample(9, 6), 1001).is_ok(), "one arrived");
        assert!(watchdog.check(&sample(9, 6), 1101).is_ok());
        let error = watchdog.check(&sample(9, 6), 1102).unwrap_err();
        assert!(error.to_string().contains("3 messages"), "{error}");
    }
}
