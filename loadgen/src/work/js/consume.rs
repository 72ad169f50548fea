//! `js consume`: consumers of a stream, by pull, push, or ordered; beside
//! publishers on schedule, or as fast as they go from a stream that is full.

use super::api::Api;
use super::deliver::ConsumeLoad;
use super::{Stream, StreamOptions};
use crate::connection::handshake::Target;
use crate::engine::{Load, Share, Work};
use crate::error::Error;
use crate::payload::{Stamp, Template};
use crate::result::{Pacing, Parameter, RunResult};
use crate::schedule::Pattern;
use crate::sequence::Seen;
use crate::sys::{monotonic_ns, stop_requested};
use crate::work::{Cell, cells, parameter, pattern_parameters, unique_subject};
use clap::ValueEnum;
use serde_json::{Value, json};
use std::fmt;
use std::sync::{Arc, OnceLock};

/// Messages between two acknowledgements while a stream is filled.
const FILL_STEP: u64 = 500;

/// Nanoseconds that a push consumer stays without interest: longer than the
/// set-up of a run takes.
const INACTIVE_NS: u64 = 60_000_000_000;

/// Idle heartbeat of push consumers, as client libraries ask for it (ns).
const HEARTBEAT_NS: u64 = 5_000_000_000;

/// How messages come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Pull,
    Push,
    /// A push consumer for each connection, made anew after a gap.
    Ordered,
}

/// What is acknowledged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Ack {
    #[default]
    Explicit,
    None,
}

impl fmt::Display for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Ack::Explicit => "explicit",
            Ack::None => "none",
        })
    }
}

/// Where messages come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Publishers of this run, on schedule.
    Live { pattern: Pattern, conns: usize },
    /// This many, published before the run.
    Filled(u64),
    /// Whatever is in a stream that was there before.
    Found,
}

/// The flags of `js consume`.
#[derive(Debug, Clone)]
pub struct ConsumeOptions {
    pub mode: Mode,
    pub ack: Ack,
    pub source: Source,
    /// Connections that consume; they share one consumer unless ordered.
    pub conns: usize,
    /// Messages of a pull request.
    pub batch: u64,
    /// Nanoseconds after which a pull request ends.
    pub expires_ns: u64,
    pub max_ack_pending: Option<u64>,
    /// Payload bytes.
    pub size: usize,
}

/// What threads share.
pub struct Board {
    /// Messages sent, one cell a publisher.
    pub sent: Box<[Cell]>,
    /// Taken by any consumer, one a publisher.
    pub seen: Vec<Seen>,
    /// Messages consumed by all connections.
    pub consumed: Cell,
    /// Reconnections of ordered consumers.
    pub recreated: Cell,
    /// What went wrong first.
    pub fault: OnceLock<String>,
}

/// What the loads of all threads know.
#[derive(Debug, Clone)]
pub struct Setting {
    pub options: ConsumeOptions,
    pub stream: Stream,
    /// Name of the shared consumer, and the begin of names of ordered ones.
    pub consumer: String,
    /// Deliveries of consumer connection N come to this subject + `.N.`
    pub inbox: String,
    /// Messages that all connections together are to consume, where known.
    pub total: Option<u64>,
}

pub struct Consume {
    stream_options: StreamOptions,
    setting: Setting,
    board: Arc<Board>,
}

impl Consume {
    pub fn new(stream_options: StreamOptions, options: ConsumeOptions) -> Consume {
        let publishers = match options.source {
            Source::Live { conns, .. } => conns,
            Source::Filled(_) | Source::Found => 1,
        };
        let name = unique_subject("consumer");
        Consume {
            stream_options,
            board: Arc::new(Board {
                sent: cells(publishers),
                seen: (0..publishers).map(|_| Seen::default()).collect(),
                consumed: Cell::default(),
                recreated: Cell::default(),
                fault: OnceLock::new(),
            }),
            setting: Setting {
                options,
                stream: Stream::default(),
                inbox: format!("_INBOX.{name}"),
                consumer: name.replace('.', "_"),
                total: None,
            },
        }
    }

    /// Publishes the messages that are to be consumed.
    fn fill(&self, api: &mut Api, count: u64) -> Result<(), Error> {
        let subject = self.setting.stream.subject_of(0);
        let template = Template::new(&subject, self.setting.options.size);
        let head = template.len() - self.setting.options.size - 2;
        let mut sequence = 0;
        while sequence < count {
            if stop_requested() {
                return Err(Error::Usage("stopped while the stream was filled".into()));
            }
            let mut commands = Vec::new();
            let step = FILL_STEP.min(count - sequence);
            let mut last = Vec::new();
            for index in 0..step {
                let stamp = Stamp {
                    source: 0,
                    sequence,
                    at: monotonic_ns(),
                };
                sequence += 1;
                if index + 1 == step {
                    template.render(&mut last, stamp);
                } else {
                    template.render(&mut commands, stamp);
                }
            }
            let body = &last[head..last.len() - 2];
            api.store(&commands, &subject, body)?;
        }
        self.board.sent[0].set(count);
        Ok(())
    }

    fn create_consumers(&self, api: &mut Api) -> Result<(), Error> {
        let Setting {
            options, consumer, ..
        } = &self.setting;
        match options.mode {
            Mode::Ordered => {
                for conn in 0..options.conns {
                    let name = format!("{consumer}_{conn}_0");
                    let (subject, body) = self.setting.ordered(&name, conn, 0, None);
                    api.request(&subject, &body)?;
                }
            }
            Mode::Pull | Mode::Push => {
                let mut config = json!({
                    "name": consumer,
                    "durable_name": consumer,
                    "deliver_policy": "all",
                    "ack_policy": options.ack.to_string(),
                });
                if let Some(limit) = options.max_ack_pending {
                    config["max_ack_pending"] = limit.into();
                }
                if options.mode == Mode::Push {
                    config["deliver_subject"] = format!("{}.push", self.setting.inbox).into();
                    if options.conns > 1 {
                        config["deliver_group"] = "loadgen".into();
                    } else {
                        config["flow_control"] = true.into();
                        config["idle_heartbeat"] = HEARTBEAT_NS.into();
                    }
                }
                let (subject, body) = self.setting.create(consumer, config);
                api.request(&subject, &body)?;
            }
        }
        Ok(())
    }
}

impl Setting {
    fn create(&self, name: &str, config: Value) -> (String, String) {
        let stream = &self.stream.name;
        let body = json!({"stream_name": stream, "config": config, "action": "create"});
        let subject = format!("CONSUMER.CREATE.{stream}.{name}");
        (subject, body.to_string())
    }

    /// The request, below `$JS.API.`, that makes ordered consumer `name` of
    /// connection `conn`, its body, and where it delivers to.
    pub fn ordered(
        &self,
        name: &str,
        conn: usize,
        generation: u64,
        from: Option<u64>,
    ) -> (String, String) {
        let mut config = json!({
            "name": name,
            "deliver_subject": self.ordered_subject(conn, generation),
            "ack_policy": "none",
            "deliver_policy": "all",
            "max_deliver": 1,
            "mem_storage": true,
            "num_replicas": 1,
            "flow_control": true,
            "idle_heartbeat": HEARTBEAT_NS,
            "inactive_threshold": INACTIVE_NS,
        });
        if let Some(from) = from {
            config["deliver_policy"] = "by_start_sequence".into();
            config["opt_start_seq"] = from.into();
        }
        self.create(name, config)
    }

    pub fn ordered_subject(&self, conn: usize, generation: u64) -> String {
        format!("{}.{conn}.{generation}", self.inbox)
    }

    /// How often each message is to arrive.
    pub fn copies(&self) -> u64 {
        match self.options.mode {
            Mode::Ordered => self.options.conns as u64,
            Mode::Pull | Mode::Push => 1,
        }
    }
}

impl Work for Consume {
    fn title(&self) -> String {
        let options = &self.setting.options;
        let mode = match options.mode {
            Mode::Pull => "pull",
            Mode::Push => "push",
            Mode::Ordered => "ordered",
        };
        format!("js consume, {mode}, {} connections", options.conns)
    }

    fn pacing(&self) -> Pacing {
        match self.setting.options.source {
            Source::Live { .. } => Pacing::OpenLoop,
            Source::Filled(_) | Source::Found => Pacing::AsFastAsItGoes,
        }
    }

    fn parameters(&self) -> Vec<Parameter> {
        let options = &self.setting.options;
        let mut parameters = self.stream_options.parameters();
        match options.source {
            Source::Live { pattern, conns } => {
                parameters.push(parameter("size", format!("{} B", options.size)));
                parameters.push(parameter("publishers", conns));
                parameters.extend(pattern_parameters(&pattern));
            }
            Source::Filled(count) => {
                parameters.push(parameter("size", format!("{} B", options.size)));
                parameters.push(parameter("published before", count));
            }
            Source::Found => {}
        }
        if options.mode != Mode::Ordered {
            parameters.push(parameter("ack", options.ack));
        }
        if options.mode == Mode::Pull {
            parameters.push(parameter("batch", options.batch));
        }
        parameters
    }

    fn latency_measured(&self) -> &'static str {
        match self.setting.options.source {
            Source::Live { .. } => "intended publish time to arrival at the consumer",
            Source::Filled(_) | Source::Found => "nothing: the messages were there before",
        }
    }

    fn pattern(&self) -> Option<Pattern> {
        match self.setting.options.source {
            Source::Live { pattern, .. } => Some(pattern),
            Source::Filled(_) | Source::Found => None,
        }
    }

    fn connections(&self) -> usize {
        let publishers = match self.setting.options.source {
            Source::Live { conns, .. } => conns,
            Source::Filled(_) | Source::Found => 0,
        };
        self.setting.options.conns + publishers
    }

    fn prepare(&mut self, target: &Target) -> Result<(), Error> {
        let mut api = Api::connect(target)?;
        self.setting.stream = self.stream_options.open(&mut api)?;
        self.setting.total = match self.setting.options.source {
            Source::Live { .. } => None,
            Source::Found => Some(self.setting.stream.messages * self.setting.copies()),
            Source::Filled(count) => {
                self.fill(&mut api, count)?;
                Some(count * self.setting.copies())
            }
        };
        self.create_consumers(&mut api)
    }

    fn load(&self, share: Share) -> Box<dyn Load> {
        Box::new(ConsumeLoad::new(
            share,
            self.setting.clone(),
            Arc::clone(&self.board),
        ))
    }

    fn conclude(&mut self, target: &Target, result: &mut RunResult) {
        if let Some(fault) = self.board.fault.get() {
            result.faults.push(fault.clone());
        }
        let consumed = self.board.consumed.get();
        match self.setting.total {
            Some(total) if consumed < total => result.notes.push(format!(
                "{consumed} of {total} messages were consumed in the time given"
            )),
            _ => {}
        }
        if self.board.recreated.get() > 0 {
            result.notes.push(format!(
                "ordered consumers were made anew {} times after gaps",
                self.board.recreated.get()
            ));
        }
        let removed = match &self.stream_options.existing {
            None => self.setting.stream.remove(target),
            Some(stream) if self.setting.options.mode != Mode::Ordered => {
                let subject = format!("CONSUMER.DELETE.{stream}.{}", self.setting.consumer);
                Api::connect(target).and_then(|mut api| api.request(&subject, "").map(|_| ()))
            }
            Some(_) => Ok(()),
        };
        if let Err(error) = removed {
            result
                .notes
                .push(format!("something stays behind: {error}"));
        }
    }
}
