//! One thread of a run: an event loop that drives all its loads.

use super::control::{Control, Phase, ThreadGauge, Times};
use super::{LastWords, Load, Plan, Share, Tally, Work};
use crate::connection::handshake::ServerInfo;
use crate::connection::net::{Handler, Net, OnClose, Place};
use crate::connection::protocol::Msg;
use crate::error::Error;
use crate::result::{INTERVAL_NS, Latencies};
use crate::sys::{self, monotonic_ns};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;

/// Longest sleep of a loop that does not spin: it looks at the phase this
/// often (ns).
const BLOCK_NS: u64 = 20_000_000;

/// Between two looks at the phase before load begins.
const SETUP_LOOK: Duration = Duration::from_millis(1);

/// What a load did in one second of the measured part.
pub struct Second {
    pub load: usize,
    pub thread: usize,
    /// From the begin of the measured part.
    pub index: u64,
    pub sent: u64,
    pub received: u64,
    pub bytes: u64,
    pub latency: Latencies,
}

/// What a thread leaves behind.
pub struct Rest {
    pub thread: usize,
    /// Last words and final counters, one for each load.
    pub loads: Vec<(LastWords, Tally)>,
    pub connections: usize,
    /// `-ERR` lines, and the first.
    pub server_errors: (u64, Option<String>),
}

/// What threads tell the coordinator.
pub enum Event {
    /// Connections are made.
    Ready(ServerInfo, usize),
    Second(Second),
    /// The run cannot go on.
    Failed(Error),
    Done(Rest),
}

/// The thread's way to the coordinator and back.
pub struct Line {
    pub events: Sender<Event>,
    /// Histograms that were read and may be used again.
    pub spare: Receiver<Latencies>,
}

struct Loads {
    loads: Vec<Box<dyn Load>>,
}

impl Handler for Loads {
    #[inline]
    fn message(&mut self, place: Place, now: u64, msg: &Msg<'_>, out: &mut Vec<u8>) {
        self.loads[place.load].message(place.tag, now, msg, out);
    }

    fn pong(&mut self, place: Place, now: u64, out: &mut Vec<u8>) {
        self.loads[place.load].pong(place.tag, now, out);
    }

    fn info(&mut self, place: Place, json: &[u8], out: &mut Vec<u8>) {
        self.loads[place.load].info(place.tag, json, out);
    }

    fn closed(&mut self, place: Place, how: &str) -> OnClose {
        self.loads[place.load].closed(place.tag, how)
    }
}

/// When the loads of a thread are offered, seconds from the start.
type Spans = Vec<Option<(f64, f64)>>;

/// The thread's part of a run, ready to be moved there.
pub struct Worker {
    share: Share,
    cpu: Option<usize>,
    plan: Plan,
    loads: Vec<Box<dyn Load>>,
    spans: Spans,
    line: Line,
}

impl Worker {
    pub fn new(share: Share, plan: &Plan, works: &[Box<dyn Work>], line: Line) -> Worker {
        Worker {
            share,
            cpu: plan.threads[share.thread],
            plan: plan.clone(),
            loads: works.iter().map(|work| work.load(share)).collect(),
            spans: works.iter().map(|work| work.seconds()).collect(),
            line,
        }
    }

    /// Runs to the end. Errors go to the coordinator.
    pub fn run(self, control: &Control, gauge: &ThreadGauge) {
        let events = self.line.events.clone();
        if let Err(error) = self.set_up_and_run(control, gauge) {
            // Without a coordinator there is nobody to tell.
            let _ = events.send(Event::Failed(error));
        }
    }

    fn set_up_and_run(self, control: &Control, gauge: &ThreadGauge) -> Result<(), Error> {
        if let Some(cpu) = self.cpu {
            sys::pin_current_thread(&[cpu])
                .map_err(Error::system(format!("pinning to CPU {cpu}")))?;
        }
        if self.plan.block {
            sys::wake_on_time().map_err(Error::system("setting the timer slack"))?;
        }
        let mut net = Net::new(self.plan.target.clone())?;
        let mut loads = Loads { loads: self.loads };
        for (index, load) in loads.loads.iter_mut().enumerate() {
            net.for_load(index);
            load.open(&mut net)?;
        }
        net.flush()?;
        let ready = Event::Ready(net.info().clone(), net.connections());
        if self.line.events.send(ready).is_err() {
            return Ok(());
        }
        while control.phase() == Phase::SetUp {
            std::thread::sleep(SETUP_LOOK);
        }
        let mut course = Course::new(&loads, self.share.thread, control.times(), self.line);
        let outcome = course.go(
            &mut loads,
            &mut net,
            control,
            gauge,
            &self.spans,
            &self.plan,
        );
        if let Err(error) = outcome {
            let _ = course.line.events.send(Event::Failed(error));
            while control.phase() != Phase::Over {
                std::thread::sleep(SETUP_LOOK);
            }
        }
        course.cut(&mut loads);
        let server_errors = net.server_errors();
        let server_errors = (server_errors.0, server_errors.1.map(str::to_owned));
        let rest = Rest {
            thread: self.share.thread,
            connections: net.connections(),
            loads: loads
                .loads
                .iter_mut()
                .map(|load| {
                    let words = load.conclude(&mut net);
                    (words, std::mem::take(load.tally()))
                })
                .collect(),
            server_errors,
        };
        let _ = course.line.events.send(Event::Done(rest));
        Ok(())
    }
}

/// How far each load is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Waiting,
    Publishing,
    Quiet,
}

/// The counters of a load when the current second began.
#[derive(Debug, Clone, Copy, Default)]
struct Mark {
    sent: u64,
    received: u64,
    bytes: u64,
}

/// The course of a run on one thread.
struct Course {
    thread: usize,
    times: Times,
    line: Line,
    stages: Vec<Stage>,
    marks: Vec<Mark>,
    /// When the current second ends.
    next_cut: u64,
    /// The current second; `None` in the warm-up.
    second: Option<u64>,
}

impl Course {
    fn new(loads: &Loads, thread: usize, times: Times, line: Line) -> Course {
        let count = loads.loads.len();
        Course {
            thread,
            times,
            line,
            stages: vec![Stage::default(); count],
            marks: vec![Mark::default(); count],
            next_cut: times.begin,
            second: None,
        }
    }

    fn go(
        &mut self,
        loads: &mut Loads,
        net: &mut Net,
        control: &Control,
        gauge: &ThreadGauge,
        spans: &Spans,
        plan: &Plan,
    ) -> Result<(), Error> {
        for load in &mut loads.loads {
            load.tally().measure_from(self.times.begin);
        }
        while control.phase() == Phase::Run {
            let now = monotonic_ns();
            let end = control.times().end;
            if now >= self.next_cut {
                self.pass_cut(loads, net, now)?;
            }
            let mut wake = now + BLOCK_NS;
            let mut worked = false;
            for (index, load) in loads.loads.iter_mut().enumerate() {
                self.step(index, load.as_mut(), net, spans[index], now, end)?;
                let tally = load.tally();
                let counters = &gauge.loads[index];
                worked |= counters.sent.load(Relaxed) != tally.sent;
                counters.sent.store(tally.sent, Relaxed);
                counters.received.store(tally.received, Relaxed);
                counters.bytes.store(tally.bytes, Relaxed);
                counters.awaited.store(tally.awaited, Relaxed);
                counters.arrived.store(tally.arrived, Relaxed);
                counters.exhausted.store(tally.exhausted, Relaxed);
                let quiet = self.stages[index] == Stage::Quiet;
                counters
                    .quiet
                    .store(quiet, std::sync::atomic::Ordering::Release);
                if !quiet {
                    wake = wake.min(load.next_due(now));
                }
            }
            net.flush()?;
            if worked {
                net.worked(monotonic_ns() - now);
            }
            let timeout = if plan.block {
                wake.saturating_sub(monotonic_ns())
            } else {
                0
            };
            net.turn(loads, timeout)?;
            gauge.busy.store(net.busy_ns(), Relaxed);
        }
        Ok(())
    }

    /// Lets a load publish, and moves it to its next stage when it is time.
    fn step(
        &mut self,
        index: usize,
        load: &mut dyn Load,
        net: &mut Net,
        seconds: Option<(f64, f64)>,
        now: u64,
        end: u64,
    ) -> Result<(), Error> {
        let start = self.times.start;
        let after = |seconds: f64| start.saturating_add((seconds * 1e9) as u64);
        let (from, until) = seconds.map_or((start, end), |(from, until)| {
            (after(from), after(until).min(end))
        });
        match self.stages[index] {
            Stage::Waiting if now >= from => {
                net.for_load(index);
                load.tally().until = until;
                load.start(net, from)?;
                self.stages[index] = Stage::Publishing;
            }
            Stage::Waiting => {}
            Stage::Publishing => {
                // The run may end earlier than it was to.
                let tally = load.tally();
                tally.until = tally.until.min(end);
                net.for_load(index);
                load.publish(net, now)?;
                if load.is_quiet(now) {
                    load.finish(net)?;
                    self.stages[index] = Stage::Quiet;
                }
            }
            Stage::Quiet => {}
        }
        if self.stages[index] == Stage::Waiting && now >= end {
            self.stages[index] = Stage::Quiet;
        }
        Ok(())
    }

    /// A second is over, or the warm-up is.
    fn pass_cut(&mut self, loads: &mut Loads, net: &mut Net, now: u64) -> Result<(), Error> {
        if self.second.is_some() {
            self.cut(loads);
        } else {
            for (index, load) in loads.loads.iter_mut().enumerate() {
                net.for_load(index);
                load.begin(net, now)?;
                self.marks[index] = mark(load.tally());
            }
        }
        let second = now.saturating_sub(self.times.begin) / INTERVAL_NS;
        self.second = Some(second);
        self.next_cut = self.times.begin + (second + 1) * INTERVAL_NS;
        Ok(())
    }

    /// Hands the current second to the coordinator.
    fn cut(&mut self, loads: &mut Loads) {
        let Some(index) = self.second else {
            return;
        };
        for (load_index, load) in loads.loads.iter_mut().enumerate() {
            let tally = load.tally();
            let new = mark(tally);
            let old = std::mem::replace(&mut self.marks[load_index], new);
            let empty = self.line.spare.try_recv().unwrap_or_default();
            // A coordinator that is gone needs no figures.
            let _ = self.line.events.send(Event::Second(Second {
                load: load_index,
                thread: self.thread,
                index,
                sent: new.sent - old.sent,
                received: new.received - old.received,
                bytes: new.bytes - old.bytes,
                latency: std::mem::replace(&mut tally.latency, empty),
            }));
        }
    }
}

fn mark(tally: &Tally) -> Mark {
    Mark {
        sent: tally.sent,
        received: tally.received,
        bytes: tally.bytes,
    }
}
