//! Runs loads: threads with pinned cores, phases, and the result.
//!
//! A [`Work`] is a kind of load as the command line describes it. Each thread
//! gets a part of it, a [`Load`], which owns some of its connections. The
//! coordinator (the calling thread) starts them, looks at their counters once
//! a second, and puts the result together.

mod control;
mod coordinator;
mod outcome;
mod tally;
mod worker;

pub use coordinator::run;
pub use tally::Tally;

use crate::connection::handshake::Target;
use crate::connection::net::{Net, OnClose};
use crate::connection::protocol::Msg;
use crate::error::Error;
use crate::result::{Growth, Pacing, Parameter, RunResult};
use crate::schedule::Pattern;
use crate::server_process::ServerProcess;

/// How a run is measured. Times in nanoseconds.
#[derive(Debug, Clone)]
pub struct Plan {
    pub target: Target,
    pub server: Option<ServerProcess>,
    /// Threads, and the CPU each is pinned to.
    pub threads: Vec<Option<usize>>,
    /// Before measuring begins.
    pub warmup_ns: u64,
    /// Of the measured part.
    pub measure_ns: u64,
    /// Without an arrival while messages are under way: then the run ends.
    pub patience_ns: u64,
    /// The same once publishing is over.
    pub drain_patience_ns: u64,
    /// Sleep while there is nothing to do instead of spinning.
    pub block: bool,
}

/// Which part of a work a thread has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    pub thread: usize,
    pub threads: usize,
}

impl Share {
    /// Those of `count` things that this thread has.
    pub fn of(self, count: usize) -> impl Iterator<Item = usize> {
        (self.thread..count).step_by(self.threads.max(1))
    }
}

/// Which messages the server's CPU time is divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CountedBy {
    Published,
    Delivered,
}

/// A kind of load, as the command line describes it.
pub trait Work {
    /// The subcommand and its shape in a few words.
    fn title(&self) -> String;

    fn pacing(&self) -> Pacing;

    fn parameters(&self) -> Vec<Parameter>;

    /// From where to where latency is measured.
    fn latency_measured(&self) -> &'static str;

    fn counted_by(&self) -> CountedBy {
        CountedBy::Delivered
    }

    /// The schedule of its sends, all threads together.
    fn pattern(&self) -> Option<Pattern> {
        None
    }

    /// Connections of all threads.
    fn connections(&self) -> usize;

    /// What has to be there before connections are made, such as streams.
    fn prepare(&mut self, _target: &Target) -> Result<(), Error> {
        Ok(())
    }

    /// The part of one thread.
    fn load(&self, share: Share) -> Box<dyn Load>;

    /// Offered only in a part of the run: seconds from its start, and its end.
    fn seconds(&self) -> Option<(f64, f64)> {
        None
    }

    /// Whether it goes along with the first work of a run and has no result
    /// of its own.
    fn is_aside(&self) -> bool {
        false
    }

    /// Last words, and removal of what [`Work::prepare`] made.
    fn conclude(&mut self, _target: &Target, _result: &mut RunResult) {}
}

/// What a load says at its end.
#[derive(Debug, Default)]
pub struct LastWords {
    /// Messages that should have arrived here and did not.
    pub lost: u64,
    pub notes: Vec<String>,
    pub growth: Option<Growth>,
}

/// The part of a work that runs on one thread. `tag` is the number that the
/// load gave a connection when it opened it.
pub trait Load: Send {
    /// Makes connections and subscriptions.
    fn open(&mut self, net: &mut Net) -> Result<(), Error>;

    /// Load is offered from now on; its schedule begins at `from` (ns).
    fn start(&mut self, _net: &mut Net, _from: u64) -> Result<(), Error> {
        Ok(())
    }

    /// Measuring begins.
    fn begin(&mut self, _net: &mut Net, _now: u64) -> Result<(), Error> {
        Ok(())
    }

    /// Publishes what is due. Called once a turn until publishing is over.
    fn publish(&mut self, net: &mut Net, now: u64) -> Result<(), Error>;

    /// When there is something to publish again (ns), as far as it depends on
    /// the clock; `u64::MAX` if only arrivals count.
    fn next_due(&self, _now: u64) -> u64 {
        u64::MAX
    }

    /// Whether all that was to be published is.
    fn is_quiet(&self, now: u64) -> bool;

    /// Publishing is over.
    fn finish(&mut self, _net: &mut Net) -> Result<(), Error> {
        Ok(())
    }

    /// A message arrived at `now`; what is appended to `out` is sent back.
    fn message(&mut self, tag: usize, now: u64, msg: &Msg<'_>, out: &mut Vec<u8>);

    fn pong(&mut self, _tag: usize, _now: u64, _out: &mut Vec<u8>) {}

    fn info(&mut self, _tag: usize, _json: &[u8], _out: &mut Vec<u8>) {}

    fn closed(&mut self, _tag: usize, _how: &str) -> OnClose {
        OnClose::EndRun
    }

    fn tally(&mut self) -> &mut Tally;

    fn conclude(&mut self, _net: &mut Net) -> LastWords {
        LastWords::default()
    }
}

/// What happens while a run goes on, for whoever shows it.
pub trait Observer {
    /// Connections are made.
    fn connected(&mut self, _connections: usize) {}

    /// A second of the measured part is over (or of the warm-up, when negative).
    fn second(&mut self, _live: &Live) {}
}

/// The state of a run once a second. All works together.
#[derive(Debug, Clone, Default)]
pub struct Live {
    /// Nanoseconds since measuring began; negative in the warm-up.
    pub elapsed_ns: i64,
    /// In the last second, or what it really was.
    pub sent_per_second: f64,
    pub received_per_second: f64,
    /// Of the last second that is complete.
    pub latency: crate::result::Latencies,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_divide_things_among_them() {
        let share = |thread| {
            let share = Share { thread, threads: 3 };
            share.of(7).collect::<Vec<_>>()
        };
        assert_eq!(share(0), [0, 3, 6]);
        assert_eq!(share(1), [1, 4]);
        assert_eq!(share(2), [2, 5]);
    }
}
