//! `sub`: subscribes and counts what others publish. Messages of loadgens on
//! the same host have their latency measured and their order checked.

use super::parameter;
use crate::connection::net::Net;
use crate::connection::protocol::Msg;
use crate::engine::{LastWords, Load, Share, Tally, Work};
use crate::error::Error;
use crate::payload::Checker;
use crate::result::{Pacing, Parameter};
use crate::sequence::{Arrival, Tracker};
use std::collections::HashMap;

pub struct Listen {
    pub subject: String,
    pub queue: Option<String>,
    pub subs: usize,
    /// Payloads come from loadgens and carry their stamps.
    pub stamped: bool,
}

impl Work for Listen {
    fn title(&self) -> String {
        format!("sub, {} of \"{}\"", self.subs, self.subject)
    }

    fn pacing(&self) -> Pacing {
        Pacing::OpenLoop
    }

    fn parameters(&self) -> Vec<Parameter> {
        let queue = self.queue.iter().map(|queue| parameter("queue", queue));
        queue.collect()
    }

    fn latency_measured(&self) -> &'static str {
        "the time in the message to arrival"
    }

    fn connections(&self) -> usize {
        self.subs
    }

    fn load(&self, share: Share) -> Box<dyn Load> {
        Box::new(ListenLoad {
            subject: self.subject.clone(),
            queue: self.queue.clone(),
            stamped: self.stamped,
            flows: share.of(self.subs).map(|_| HashMap::new()).collect(),
            checker: Checker::any_length(),
            tally: Tally::default(),
        })
    }
}

struct ListenLoad {
    subject: String,
    queue: Option<String>,
    stamped: bool,
    /// For each subscriber, whose tag is its place: what it saw of each source.
    flows: Vec<HashMap<u16, Tracker>>,
    checker: Checker,
    tally: Tally,
}

impl Load for ListenLoad {
    fn open(&mut self, net: &mut Net) -> Result<(), Error> {
        let entry = (&self.subject, &self.queue);
        let entries = (0..self.flows.len()).map(|tag| (tag, entry.0.clone(), entry.1.clone()));
        net.connect_subscribers(entries)?;
        Ok(())
    }

    fn publish(&mut self, _net: &mut Net, _now: u64) -> Result<(), Error> {
        Ok(())
    }

    fn is_quiet(&self, now: u64) -> bool {
        now >= self.tally.until
    }

    #[inline]
    fn message(&mut self, tag: usize, now: u64, msg: &Msg<'_>, _out: &mut Vec<u8>) {
        self.tally.received(msg.payload);
        if !self.stamped {
            return;
        }
        let Some(stamp) = self.checker.stamp(msg.payload, now) else {
            self.tally.damaged += 1;
            return;
        };
        if self.queue.is_none() {
            let flow = self.flows[tag]
                .entry(stamp.source)
                .or_insert_with(|| Tracker::from(stamp.sequence));
            match flow.saw(stamp.sequence) {
                Arrival::InOrder => {}
                Arrival::Late => self.tally.reordered += 1,
                Arrival::Duplicate => {
                    self.tally.duplicated += 1;
                    return;
                }
            }
        }
        self.tally.latency(stamp.at, now);
    }

    fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }

    fn conclude(&mut self, _net: &mut Net) -> LastWords {
        let mut notes = Vec::new();
        if !self.stamped {
            notes.push("only counted; --stamped checks messages of other loadgens".into());
        } else if self.queue.is_some() {
            notes.push("a member of a queue group cannot tell what was lost".into());
        }
        let flows = self.flows.iter().flat_map(|flows| flows.values());
        LastWords {
            // Between the first and the last one that came.
            lost: flows.map(|flow| flow.lost(flow.next())).sum(),
            notes,
            ..LastWords::default()
        }
    }
}
