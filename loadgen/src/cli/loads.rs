//! The subcommands that offer load, and the works they mean.

use super::values::{self, at_least_one, count, publishers, rate, seconds, some};
use super::{Common, Place, enough_files, nanoseconds};
use crate::engine::Work;
use crate::error::Error;
use crate::payload::HEAD;
use crate::result::RunResult;
use crate::schedule::{Arrivals, Pattern};
use crate::server_process::ServerProcess;
use crate::work::connect::Connect;
use crate::work::echo::Echo;
use crate::work::js::consume::{Ack, Consume, ConsumeOptions, Mode, Source};
use crate::work::js::publish::{self, Publish};
use crate::work::js::{Storage, StreamOptions};
use crate::work::listen::Listen;
use crate::work::memory::{self, Held};
use crate::work::relay::{Pace, Relay, Shape};
use crate::work::request::{Demand, Request};
use crate::work::stalled::Stalled;
use crate::work::storm::Storm;
use clap::{Args, Subcommand};
use std::time::Duration;

/// Messages a second of `fanout` and others that multiply, unless told.
const RATE_OF_MANY: u64 = 1000;

/// Messages a second of the others, unless told.
const RATE_OF_ONE: u64 = 10_000;

#[derive(Debug, Clone, Subcommand)]
pub enum LoadCommand {
    /// Publish, to whoever listens.
    Pub(PubArgs),
    /// Subscribe and count what others publish.
    Sub(SubArgs),
    /// Publishers with subscribers of their own: pairs, or 1 to N.
    Pubsub(PubsubArgs),
    /// Messages that every subscriber gets: 1 to N, M to N.
    Fanout(FanoutArgs),
    /// Requests answered by responders in a queue group.
    Request(RequestArgs),
    /// Each connection sends messages to itself (closed loop).
    Echo(EchoArgs),
    /// Load on JetStream.
    #[command(subcommand)]
    Js(JsCommand),
    /// Connections that come at a rate.
    Connect(ConnectArgs),
    /// One publisher on schedule to ten readers; beside one that stops.
    Paced(PacedArgs),
    /// `paced` while hostile connections come in.
    Storm(StormArgs),
    /// Hold idle connections with one subscription each and weigh them.
    Idle(IdleArgs),
    /// Add subscriptions on distinct subjects and weigh them.
    Subs(SubsArgs),
}

/// A schedule.
#[derive(Debug, Clone, Args)]
pub struct ScheduleArgs {
    /// Messages a second of all publishers together (20k, 1M) [default: 10k;
    /// 1k where each goes to many].
    #[arg(long, value_parser = rate)]
    rate: Option<u64>,
    /// fixed: at equal distances; poisson: independent of each other;
    /// burst:N: N at the same moment.
    #[arg(long, default_value = "fixed", value_parser = values::arrivals)]
    arrivals: Arrivals,
    /// Poisson arrivals are the same for the same seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl ScheduleArgs {
    fn pattern(&self, default: u64) -> Pattern {
        Pattern {
            rate: self.rate.unwrap_or(default),
            arrivals: self.arrivals,
            seed: self.seed,
        }
    }
}

/// How publishers are paced.
#[derive(Debug, Clone, Args)]
pub struct PaceArgs {
    #[command(flatten)]
    schedule: ScheduleArgs,
    /// Closed loop: a publisher's next message goes out when all have the one
    /// before.
    #[arg(long, conflicts_with_all = ["rate", "asap"])]
    closed: bool,
    /// As fast as it goes.
    #[arg(long, conflicts_with = "rate")]
    asap: bool,
    /// With --asap: messages a publisher may be ahead of its slowest
    /// subscriber.
    #[arg(long, default_value_t = 20_000, value_parser = at_least_one)]
    window: u64,
}

impl PaceArgs {
    fn pace(&self, default_rate: u64) -> Pace {
        if self.closed {
            Pace::Closed
        } else if self.asap {
            Pace::Window(self.window)
        } else {
            Pace::Open(self.schedule.pattern(default_rate))
        }
    }
}

#[derive(Debug, Clone, Args)]
pub struct PubArgs {
    /// Subject [default: one that nobody else uses].
    #[arg(long)]
    subject: Option<String>,
    /// Payload bytes.
    #[arg(long, default_value_t = 128)]
    size: usize,
    /// Connections.
    #[arg(long, default_value_t = 1, value_parser = publishers)]
    conns: usize,
    /// Number of the first publisher in its messages: other processes that
    /// publish to the same subscribers need others [default: by the process].
    #[arg(long)]
    id: Option<u16>,
    #[command(flatten)]
    pace: PaceArgs,
}

#[derive(Debug, Clone, Args)]
pub struct SubArgs {
    #[arg(long, default_value = ">")]
    subject: String,
    #[arg(long)]
    queue: Option<String>,
    /// Connections, each with the subscription.
    #[arg(long, default_value_t = 1, value_parser = some)]
    subs: usize,
    /// The messages are other loadgens' on this host: measure their latency
    /// and check their order.
    #[arg(long)]
    stamped: bool,
}

#[derive(Debug, Clone, Args)]
pub struct PubsubArgs {
    /// Publishers, each with a subject of its own.
    #[arg(long, default_value_t = 1, value_parser = publishers)]
    pairs: usize,
    /// Subscribers of each.
    #[arg(long, default_value_t = 1, value_parser = some)]
    subs: usize,
    /// The subscribers of a publisher are one queue group.
    #[arg(long)]
    queue: bool,
    /// Payload bytes, at least 16.
    #[arg(long, default_value_t = 128)]
    size: usize,
    #[command(flatten)]
    pace: PaceArgs,
}

#[derive(Debug, Clone, Args)]
pub struct FanoutArgs {
    /// Publishers.
    #[arg(long, default_value_t = 1, value_parser = publishers)]
    pubs: usize,
    /// Subscribers; each gets what every publisher sends.
    #[arg(long, default_value_t = 50, value_parser = some)]
    subs: usize,
    /// Payload bytes, at least 16.
    #[arg(long, default_value_t = 64)]
    size: usize,
    #[command(flatten)]
    pace: PaceArgs,
}

#[derive(Debug, Clone, Args)]
pub struct RequestArgs {
    /// Connections that ask.
    #[arg(long, default_value_t = 1, value_parser = publishers)]
    conns: usize,
    /// Connections that answer, one queue group; 0: somebody else answers on
    /// --subject.
    #[arg(long, default_value_t = 1)]
    responders: usize,
    /// [default: one that nobody else uses]
    #[arg(long)]
    subject: Option<String>,
    /// Payload bytes, at least 16.
    #[arg(long, default_value_t = 128)]
    size: usize,
    #[command(flatten)]
    schedule: ScheduleArgs,
    /// Closed loop: --inflight requests on each connection, the next one when
    /// a reply has come.
    #[arg(long, conflicts_with = "rate")]
    closed: bool,
    /// With --closed: requests in flight on each connection.
    #[arg(long, default_value_t = 1, requires = "closed", value_parser = some)]
    inflight: usize,
}

#[derive(Debug, Clone, Args)]
pub struct EchoArgs {
    #[arg(long, default_value_t = 50, value_parser = some)]
    conns: usize,
    /// Messages in flight on each connection.
    #[arg(long, default_value_t = 1, value_parser = some)]
    inflight: usize,
    /// Payload bytes, at least 16.
    #[arg(long, default_value_t = 16)]
    size: usize,
}

#[derive(Debug, Clone, Subcommand)]
pub enum JsCommand {
    /// Publish into a stream: one at a time, in a window, or in batches.
    Pub(JsPubArgs),
    /// Consume from a stream: pull, push, or ordered.
    Consume(JsConsumeArgs),
}

#[derive(Debug, Clone, Args)]
pub struct StreamArgs {
    /// A stream that exists [default: one is made, and removed at the end].
    #[arg(long)]
    stream: Option<String>,
    #[arg(long, value_enum, default_value_t = Storage::File, conflicts_with = "stream")]
    storage: Storage,
    #[arg(long, default_value_t = 1, conflicts_with = "stream", value_parser = some)]
    replicas: usize,
}

impl StreamArgs {
    fn options(&self, atomic: bool) -> StreamOptions {
        StreamOptions {
            existing: self.stream.clone(),
            storage: self.storage,
            replicas: self.replicas,
            atomic,
        }
    }
}

#[derive(Debug, Clone, Args)]
pub struct JsPubArgs {
    #[command(flatten)]
    stream: StreamArgs,
    /// Connections.
    #[arg(long, default_value_t = 1, value_parser = publishers)]
    conns: usize,
    /// Payload bytes.
    #[arg(long, default_value_t = 128)]
    size: usize,
    #[command(flatten)]
    schedule: ScheduleArgs,
    /// As fast as the window allows.
    #[arg(long, conflicts_with = "rate")]
    asap: bool,
    /// Closed loop: the next message when the one before is stored.
    #[arg(long, conflicts_with_all = ["rate", "asap", "batch"])]
    sync: bool,
    /// Messages of a connection without an acknowledgement, at most.
    #[arg(long, default_value_t = 1000, value_parser = at_least_one)]
    window: u64,
    /// Atomic batches of this many.
    #[arg(long, value_parser = at_least_one)]
    batch: Option<u64>,
}

#[derive(Debug, Clone, Args)]
pub struct JsConsumeArgs {
    #[command(flatten)]
    stream: StreamArgs,
    /// A push consumer instead of a pull consumer.
    #[arg(long)]
    push: bool,
    /// A push consumer for each connection that is made anew after a gap.
    #[arg(long, conflicts_with = "push")]
    ordered: bool,
    #[arg(long, value_enum, default_value_t = Ack::Explicit)]
    ack: Ack,
    /// Messages of a pull request.
    #[arg(long, default_value_t = 500, value_parser = at_least_one)]
    batch: u64,
    /// Seconds after which a pull request ends.
    #[arg(long, default_value_t = 30.0, value_parser = seconds)]
    expires: f64,
    /// [default: the server's]
    #[arg(long, value_parser = at_least_one)]
    max_ack_pending: Option<u64>,
    /// Connections that consume; they share one consumer unless ordered.
    #[arg(long, default_value_t = 1, value_parser = some)]
    conns: usize,
    /// Connections that publish meanwhile, on schedule.
    #[arg(long, default_value_t = 1, value_parser = publishers)]
    pubs: usize,
    /// Payload bytes, at least 16.
    #[arg(long, default_value_t = 128)]
    size: usize,
    #[command(flatten)]
    schedule: ScheduleArgs,
    /// Publish this many before the run instead, then consume as fast as it
    /// goes.
    #[arg(long, conflicts_with_all = ["rate", "pubs", "stream"], value_parser = at_least_one)]
    prefill: Option<u64>,
}

#[derive(Debug, Clone, Args)]
pub struct ConnectArgs {
    #[command(flatten)]
    schedule: ScheduleArgs,
    /// Seconds that each stays.
    #[arg(long, default_value_t = 1.0, value_parser = seconds)]
    hold: f64,
}

#[derive(Debug, Clone, Args)]
pub struct PacedArgs {
    #[command(flatten)]
    readers: ReaderArgs,
    /// One subscriber more that never reads, from the begin of measuring.
    #[arg(long)]
    stalled_sub: bool,
}

/// A publisher on schedule and its readers.
#[derive(Debug, Clone, Args)]
pub struct ReaderArgs {
    /// Messages a second.
    #[arg(long, default_value_t = 20_000, value_parser = rate)]
    rate: u64,
    #[arg(long, default_value = "fixed", value_parser = values::arrivals)]
    arrivals: Arrivals,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[arg(long, default_value_t = 10, value_parser = some)]
    subs: usize,
    /// Payload bytes, at least 16.
    #[arg(long, default_value_t = 1024)]
    size: usize,
}

#[derive(Debug, Clone, Args)]
pub struct StormArgs {
    #[command(flatten)]
    readers: ReaderArgs,
    /// Hostile connections.
    #[arg(long, default_value_t = 3000)]
    conns: usize,
    /// How many of them come in a second.
    #[arg(long, default_value_t = 1000, value_parser = at_least_one)]
    per_second: u64,
}

#[derive(Debug, Clone, Args)]
pub struct IdleArgs {
    #[arg(long, default_value_t = 5000, value_parser = some)]
    conns: usize,
    /// Seconds before the server is weighed.
    #[arg(long, default_value_t = 1.0, value_parser = seconds)]
    settle: f64,
}

#[derive(Debug, Clone, Args)]
pub struct SubsArgs {
    #[arg(long, default_value_t = 1_000_000, value_parser = count)]
    count: u64,
    /// Seconds before the server is weighed.
    #[arg(long, default_value_t = 1.0, value_parser = seconds)]
    settle: f64,
}

type Works = Vec<Box<dyn Work>>;

impl LoadCommand {
    /// The works it means; `None` for what only weighs.
    pub fn works(&self, server: Option<ServerProcess>) -> Result<Option<Works>, Error> {
        let work: Box<dyn Work> = match self {
            LoadCommand::Pub(args) => Box::new(Relay::new(args.shape())),
            LoadCommand::Sub(args) => Box::new(Listen {
                subject: args.subject.clone(),
                queue: args.queue.clone(),
                subs: args.subs,
                stamped: args.stamped,
            }),
            LoadCommand::Pubsub(args) => Box::new(Relay::new(Shape {
                name: "pubsub",
                subject: None,
                lanes: args.pairs,
                pubs: 1,
                subs: args.subs,
                queue: args.queue,
                size: checked(args.size)?,
                pace: args.pace.pace(RATE_OF_ONE),
                first_source: 0,
            })),
            LoadCommand::Fanout(args) => Box::new(Relay::new(Shape {
                name: "fanout",
                subject: None,
                lanes: 1,
                pubs: args.pubs,
                subs: args.subs,
                queue: false,
                size: checked(args.size)?,
                pace: args.pace.pace(RATE_OF_MANY),
                first_source: 0,
            })),
            LoadCommand::Request(args) => Box::new(args.work()?),
            LoadCommand::Echo(args) => Box::new(Echo {
                conns: args.conns,
                inflight: args.inflight,
                size: checked(args.size)?,
            }),
            LoadCommand::Js(JsCommand::Pub(args)) => Box::new(args.work()),
            LoadCommand::Js(JsCommand::Consume(args)) => Box::new(args.work()?),
            LoadCommand::Connect(args) => Box::new(Connect::new(
                args.schedule.pattern(RATE_OF_MANY),
                nanoseconds(args.hold),
            )),
            LoadCommand::Paced(args) => {
                let relay = args.readers.relay("paced")?;
                let stalled = Stalled {
                    subject: relay.subject(),
                };
                let mut works: Works = vec![Box::new(relay)];
                if args.stalled_sub {
                    works.push(Box::new(stalled));
                }
                return Ok(Some(works));
            }
            LoadCommand::Storm(args) => {
                return Ok(Some(vec![
                    Box::new(args.readers.relay("storm")?),
                    Box::new(Storm {
                        count: args.conns,
                        per_second: args.per_second,
                        server,
                    }),
                ]));
            }
            LoadCommand::Idle(_) | LoadCommand::Subs(_) => return Ok(None),
        };
        Ok(Some(vec![work]))
    }

    /// Weighs what `idle` and `subs` make the server hold.
    pub fn weigh(&self, common: &Common, place: &Place) -> Result<RunResult, Error> {
        if let Some(cpus) = &common.cpus {
            crate::sys::pin_current_thread(&cpus.0)
                .map_err(Error::system(format!("pinning to {cpus}")))?;
        }
        let (held, settle) = match self {
            LoadCommand::Idle(args) => {
                enough_files(args.conns)?;
                (Held::Connections(args.conns), args.settle)
            }
            LoadCommand::Subs(args) => (Held::Subscriptions(args.count as usize), args.settle),
            _ => return Err(Error::Usage("only idle and subs weigh".into())),
        };
        let settle = Duration::from_secs_f64(settle);
        memory::weigh(held, place.target.clone(), place.process, settle)
    }
}

impl PubArgs {
    fn shape(&self) -> Shape {
        Shape {
            name: "pub",
            subject: self.subject.clone(),
            lanes: 1,
            pubs: self.conns,
            subs: 0,
            queue: false,
            size: self.size,
            pace: self.pace.pace(RATE_OF_ONE),
            first_source: self.id.unwrap_or(std::process::id() as u16),
        }
    }
}

impl RequestArgs {
    fn work(&self) -> Result<Request, Error> {
        if self.responders == 0 && self.subject.is_none() {
            return Err(Error::Usage(
                "--responders 0 needs the --subject that somebody answers on".into(),
            ));
        }
        let demand = if self.closed {
            Demand::Closed(self.inflight)
        } else {
            Demand::Open(self.schedule.pattern(RATE_OF_MANY))
        };
        Ok(Request::new(
            self.conns,
            self.responders,
            demand,
            checked(self.size)?,
            self.subject.clone(),
        ))
    }
}

impl JsPubArgs {
    fn work(&self) -> Publish {
        let open = !self.asap && !self.sync;
        Publish::new(
            self.stream.options(self.batch.is_some()),
            self.conns,
            self.size,
            open.then(|| self.schedule.pattern(RATE_OF_ONE)),
            if self.sync {
                publish::SYNC
            } else {
                self.window
            },
            self.batch,
        )
    }
}

impl JsConsumeArgs {
    fn work(&self) -> Result<Consume, Error> {
        let source = match (self.prefill, &self.stream.stream) {
            (Some(count), _) => Source::Filled(count),
            (None, Some(_)) if self.schedule.rate.is_none() => Source::Found,
            (None, _) => Source::Live {
                pattern: self.schedule.pattern(RATE_OF_ONE),
                conns: self.pubs,
            },
        };
        let options = ConsumeOptions {
            mode: match (self.push, self.ordered) {
                (false, false) => Mode::Pull,
                (true, _) => Mode::Push,
                (_, true) => Mode::Ordered,
            },
            ack: self.ack,
            source,
            conns: self.conns,
            batch: self.batch,
            expires_ns: nanoseconds(self.expires),
            max_ack_pending: self.max_ack_pending,
            size: checked(self.size)?,
        };
        Ok(Consume::new(self.stream.options(false), options))
    }
}

impl ReaderArgs {
    fn relay(&self, name: &'static str) -> Result<Relay, Error> {
        Ok(Relay::new(Shape {
            name,
            subject: None,
            lanes: 1,
            pubs: 1,
            subs: self.subs,
            queue: false,
            size: checked(self.size)?,
            pace: Pace::Open(Pattern {
                rate: self.rate,
                arrivals: self.arrivals,
                seed: self.seed,
            }),
            first_source: 0,
        }))
    }
}

/// A payload size that has room for the head that all checks need.
fn checked(size: usize) -> Result<usize, Error> {
    if size < HEAD {
        return Err(Error::Usage(format!(
            "--size {size} is too small: sequence number, time and check word take {HEAD} bytes"
        )));
    }
    Ok(size)
}
