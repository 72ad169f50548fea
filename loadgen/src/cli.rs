//! The command line.

use crate::driver::{self, Plan};
use crate::error::Error;
use crate::handshake::Target;
use crate::payload::HEAD;
use crate::report::Report;
use crate::server_process::ServerProcess;
use crate::sys;
use crate::work::echo::Echo;
use crate::work::fanout::Fanout;
use crate::work::listen::Listen;
use crate::work::memory::{self, Held};
use crate::work::paced::Paced;
use crate::work::request::Request;
use crate::work::storm::Storm;
use crate::work::stream::Stream;
use clap::{Args, Parser, Subcommand};
use std::time::Duration;

/// Load generator for NATS servers.
///
/// Every run counts lost, duplicated and reordered messages and says so
/// first. Exit status: 0 clean, 1 nothing could be measured, 2 measured with
/// faults or ended early.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Cli {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub command: Command,
}

/// Flags of all subcommands.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// Server as host:port.
    #[arg(long, short, global = true, default_value = "127.0.0.1:4222")]
    pub server: String,
    /// User name for the server.
    #[arg(long, global = true, requires = "pass")]
    pub user: Option<String>,
    /// Password for the server.
    #[arg(long, global = true, requires = "user")]
    pub pass: Option<String>,
    /// Token for the server.
    #[arg(long, global = true, conflicts_with = "user")]
    pub token: Option<String>,
    /// CPU to run on.
    #[arg(long, global = true)]
    pub cpu: Option<usize>,
    /// Seconds of the measured part.
    #[arg(long, global = true, default_value_t = 5.0, value_parser = seconds)]
    pub seconds: f64,
    /// Seconds before measuring begins.
    #[arg(long, global = true, default_value_t = 1.0, value_parser = seconds)]
    pub warmup: f64,
    /// Process whose CPU time and memory are reported.
    #[arg(long, global = true)]
    pub server_pid: Option<u32>,
    /// Sleep while there is nothing to do instead of spinning. Open loops
    /// spin in any case.
    #[arg(long, global = true)]
    pub block: bool,
    /// Print the result as one JSON object.
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Publish as fast as it goes, to whoever listens.
    Pub {
        /// Subject [default: one that nobody else uses].
        #[arg(long)]
        subject: Option<String>,
        /// Payload bytes.
        #[arg(long, default_value_t = 128)]
        size: usize,
    },
    /// Subscribe and count.
    Sub {
        #[arg(long, default_value = ">")]
        subject: String,
        #[arg(long)]
        queue: Option<String>,
        /// Connections, each with the subscription.
        #[arg(long, default_value_t = 1, value_parser = at_least_one)]
        subs: usize,
        /// The messages are another loadgen's on this host: measure latency.
        #[arg(long)]
        stamped: bool,
    },
    /// One publisher to N subscribers as fast as it goes.
    Pubsub {
        #[arg(long, default_value_t = 1, value_parser = at_least_one)]
        subs: usize,
        /// Payload bytes, at least 16.
        #[arg(long, default_value_t = 16)]
        size: usize,
        /// Messages the publisher may be ahead of the slowest subscriber.
        #[arg(long, default_value_t = 20_000)]
        window: u64,
    },
    /// Each connection sends messages to itself.
    Echo {
        #[arg(long, default_value_t = 50, value_parser = at_least_one)]
        conns: usize,
        /// Messages in flight on each connection.
        #[arg(long, default_value_t = 1, value_parser = at_least_one)]
        inflight: usize,
        /// Payload bytes, at least 16.
        #[arg(long, default_value_t = 16)]
        size: usize,
    },
    /// One message at a time to N subscribers.
    Fanout {
        #[arg(long, default_value_t = 50, value_parser = at_least_one)]
        subs: usize,
        /// Payload bytes, at least 16.
        #[arg(long, default_value_t = 64)]
        size: usize,
    },
    /// Requests answered by a queue group of responders.
    Request {
        #[arg(long, default_value_t = 1, value_parser = at_least_one)]
        conns: usize,
        /// Requests in flight on each connection.
        #[arg(long, default_value_t = 1, value_parser = at_least_one)]
        inflight: usize,
        #[arg(long, default_value_t = 1, value_parser = at_least_one)]
        responders: usize,
        /// Payload bytes, at least 16.
        #[arg(long, default_value_t = 128)]
        size: usize,
    },
    /// A fixed rate; latency from the intended send times.
    Paced {
        #[command(flatten)]
        pace: Pace,
        /// One subscriber more that never reads, from the begin of measuring.
        #[arg(long)]
        stalled_sub: bool,
    },
    /// `paced` while hostile connections come in.
    Storm {
        #[command(flatten)]
        pace: Pace,
        /// Hostile connections.
        #[arg(long, default_value_t = 3000)]
        conns: usize,
        /// How many of them come in a second.
        #[arg(long, default_value_t = 1000)]
        per_second: u64,
    },
    /// Hold idle connections with one subscription each and weigh them.
    Idle {
        #[arg(long, default_value_t = 5000, value_parser = at_least_one)]
        conns: usize,
        /// Seconds before the server is weighed.
        #[arg(long, default_value_t = 1.0, value_parser = seconds)]
        settle: f64,
    },
    /// Add subscriptions on distinct subjects and weigh them.
    Subs {
        #[arg(long, default_value_t = 1_000_000, value_parser = at_least_one)]
        count: usize,
        /// Seconds before the server is weighed.
        #[arg(long, default_value_t = 1.0, value_parser = seconds)]
        settle: f64,
    },
    /// Run the table of workloads against two servers in turn.
    Compare(crate::compare::Options),
}

/// Flags of open loops.
#[derive(Debug, Clone, Args)]
pub struct Pace {
    /// Messages a second.
    #[arg(long, default_value_t = 20_000)]
    pub rate: u64,
    #[arg(long, default_value_t = 10, value_parser = at_least_one)]
    pub subs: usize,
    /// Payload bytes, at least 16.
    #[arg(long, default_value_t = 1024)]
    pub size: usize,
}

fn seconds(text: &str) -> Result<f64, String> {
    /// A day: longer runs are mistakes.
    const LONGEST: f64 = 86_400.0;
    match text.parse::<f64>() {
        Ok(value) if (0.0..=LONGEST).contains(&value) => Ok(value),
        _ => Err(format!("not a number of seconds from 0 to {LONGEST}")),
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(value) if value > 0 => Ok(value),
        _ => Err("not a whole number of at least 1".into()),
    }
}

impl Common {
    pub fn target(&self) -> Target {
        Target {
            server: self.server.clone(),
            user: self.user.clone(),
            pass: self.pass.clone(),
            token: self.token.clone(),
        }
    }

    fn plan(&self) -> Result<Plan, Error> {
        let nanoseconds = |seconds: f64| (seconds * 1e9) as u64;
        Ok(Plan {
            target: self.target(),
            server: self.server_pid.map(ServerProcess::new).transpose()?,
            warmup_ns: nanoseconds(self.warmup),
            measure_ns: nanoseconds(self.seconds),
            block: self.block,
        })
    }
}

/// Runs one workload.
pub fn measure(common: &Common, command: &Command) -> Result<Report, Error> {
    let plan = common.plan()?;
    let files = sys::raise_file_limit().map_err(Error::system("raising the file limit"))?;
    let enough_files = |conns: usize| {
        /// Descriptors that are not connections.
        const OTHERS: u64 = 32;
        if conns as u64 + OTHERS > files {
            return Err(Error::Usage(format!(
                "{conns} connections need {} file descriptors, the limit is {files} (raise it with ulimit -n)",
                conns as u64 + OTHERS
            )));
        }
        Ok(())
    };
    if let Some(cpu) = common.cpu {
        sys::pin_current_thread(cpu).map_err(Error::system(format!("pinning to CPU {cpu}")))?;
    }
    match command {
        Command::Pub { subject, size } => {
            let work = Stream::new(subject.clone(), 0, *size, u64::MAX);
            driver::run(work, &plan)
        }
        Command::Sub {
            subject,
            queue,
            subs,
            stamped,
        } => {
            enough_files(*subs)?;
            let work = Listen::new(subject.clone(), queue.clone(), *subs, *stamped);
            driver::run(work, &plan)
        }
        Command::Pubsub { subs, size, window } => {
            enough_files(*subs)?;
            let work = Stream::new(None, *subs, checked(*size)?, (*window).max(1));
            driver::run(work, &plan)
        }
        Command::Echo {
            conns,
            inflight,
            size,
        } => {
            enough_files(*conns)?;
            driver::run(Echo::new(*conns, *inflight, checked(*size)?), &plan)
        }
        Command::Fanout { subs, size } => {
            enough_files(*subs)?;
            driver::run(Fanout::new(*subs, checked(*size)?), &plan)
        }
        Command::Request {
            conns,
            inflight,
            responders,
            size,
        } => {
            enough_files(*conns + *responders)?;
            let work = Request::new(*conns, *responders, *inflight, checked(*size)?);
            driver::run(work, &plan)
        }
        Command::Paced { pace, stalled_sub } => {
            enough_files(pace.subs)?;
            let work = Paced::new(pace.rate, pace.subs, checked(pace.size)?);
            driver::run(work.with_stalled_subscriber(*stalled_sub), &plan)
        }
        Command::Storm {
            pace,
            conns,
            per_second,
        } => {
            enough_files(pace.subs + conns)?;
            let storm = Storm::new(*conns, *per_second, plan.server);
            let work = Paced::new(pace.rate, pace.subs, checked(pace.size)?);
            driver::run(work.with_storm(storm), &plan)
        }
        Command::Idle { conns, settle } => {
            enough_files(*conns)?;
            let held = Held::Connections(*conns);
            memory::weigh(held, plan.target, plan.server, duration(*settle))
        }
        Command::Subs { count, settle } => {
            let held = Held::Subscriptions(*count);
            memory::weigh(held, plan.target, plan.server, duration(*settle))
        }
        Command::Compare(_) => Err(Error::Usage("compare is not one workload".into())),
    }
}

fn duration(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// A payload size that has room for the head that all checks need.
fn checked(size: usize) -> Result<usize, Error> {
    if size < HEAD {
        return Err(Error::Usage(format!(
            "--size {size} is too small: sequence number and time take {HEAD} bytes"
        )));
    }
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_flags_may_stand_behind_the_subcommand() {
        let cli = Cli::parse_from(["loadgen", "echo", "--conns", "3", "--seconds", "0.5"]);
        assert_eq!(cli.common.seconds, 0.5);
        assert!(matches!(cli.command, Command::Echo { conns: 3, .. }));
        assert!(Cli::try_parse_from(["loadgen", "echo", "--conns", "0"]).is_err());
        assert!(Cli::try_parse_from(["loadgen", "echo", "--seconds", "-1"]).is_err());
        assert!(checked(15).is_err());
    }
}
