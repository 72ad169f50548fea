//! `request`: requesters with a wildcard inbox each, as client libraries have
//! it, and responders that send the payload back, in one queue group; or the
//! responders of somebody else.

use super::pending::Pending;
use super::{BATCH_MAX, MAX_UNSENT, last_token, parameter, pattern_parameters, unique_subject};
use crate::connection::net::{ConnId, Net};
use crate::connection::protocol::Msg;
use crate::engine::{LastWords, Load, Share, Tally, Work};
use crate::error::Error;
use crate::payload::{Checker, HEAD, Stamp, body};
use crate::result::{Pacing, Parameter};
use crate::schedule::{Pattern, Schedule};
use crate::sequence::{Arrival, Tracker};
use crate::sys::monotonic_ns;
use std::io::Write;

/// When requests are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demand {
    Open(Pattern),
    /// This many in flight on each connection.
    Closed(usize),
}

pub struct Request {
    conns: usize,
    /// 0: somebody else answers.
    responders: usize,
    demand: Demand,
    size: usize,
    subject: String,
    inbox: String,
}

impl Request {
    pub fn new(
        conns: usize,
        responders: usize,
        demand: Demand,
        size: usize,
        subject: Option<String>,
    ) -> Request {
        Request {
            conns,
            responders,
            demand,
            size,
            subject: subject.unwrap_or_else(|| unique_subject("service")),
            inbox: format!("_INBOX.{}", unique_subject("request")),
        }
    }
}

impl Work for Request {
    fn title(&self) -> String {
        match self.responders {
            0 => format!("request by {}, other responders", self.conns),
            count => format!("request by {}, {count} responders", self.conns),
        }
    }

    fn pacing(&self) -> Pacing {
        match self.demand {
            Demand::Open(_) => Pacing::OpenLoop,
            Demand::Closed(_) => Pacing::ClosedLoop,
        }
    }

    fn parameters(&self) -> Vec<Parameter> {
        let mut parameters = vec![parameter("size", format!("{} B", self.size))];
        match &self.demand {
            Demand::Open(pattern) => parameters.extend(pattern_parameters(pattern)),
            Demand::Closed(count) => {
                parameters.push(parameter("in flight", format!("{count} a connection")));
            }
        }
        parameters
    }

    fn latency_measured(&self) -> &'static str {
        match self.demand {
            Demand::Open(_) => "intended time of the request to its reply",
            Demand::Closed(_) => "request to reply",
        }
    }

    fn pattern(&self) -> Option<Pattern> {
        match &self.demand {
            Demand::Open(pattern) => Some(*pattern),
            Demand::Closed(_) => None,
        }
    }

    fn connections(&self) -> usize {
        self.conns + self.responders
    }

    fn load(&self, share: Share) -> Box<dyn Load> {
        let own: Vec<usize> = share.of(self.conns).collect();
        let askers = own.iter().map(|&id| Asker {
            id,
            conn: 0,
            replies: Tracker::default(),
            pending: Pending::default(),
        });
        Box::new(RequestLoad {
            askers: askers.collect(),
            responders: share.of(self.responders).count(),
            own_service: self.responders > 0,
            // Several responders, or a schedule, may answer in any order.
            order_matters: self.responders == 1,
            schedule: match self.demand {
                Demand::Open(pattern) => Some(Schedule::new(pattern, self.conns, own)),
                Demand::Closed(_) => None,
            },
            inflight: match self.demand {
                Demand::Open(_) => 0,
                Demand::Closed(count) => count,
            },
            filler: body(self.size),
            checker: Checker::new(self.size),
            subject: self.subject.clone(),
            inbox: self.inbox.clone(),
            started: false,
            unanswered: 0,
            tally: Tally::default(),
        })
    }
}

struct Asker {
    /// Of all requesters.
    id: usize,
    conn: ConnId,
    replies: Tracker,
    /// Other responders need not send our stamp back.
    pending: Pending,
}

/// A thread's requesters and responders. Tags of responders come first.
struct RequestLoad {
    askers: Vec<Asker>,
    responders: usize,
    own_service: bool,
    order_matters: bool,
    schedule: Option<Schedule>,
    inflight: usize,
    filler: Vec<u8>,
    checker: Checker,
    subject: String,
    inbox: String,
    started: bool,
    /// Requests that were answered with 503, no responders.
    unanswered: u64,
    tally: Tally,
}

impl RequestLoad {
    fn ask(&mut self, place: usize, at: u64, out: &mut Vec<u8>) {
        let asker = &mut self.askers[place];
        let sequence = asker.pending.push(at);
        self.tally.sent += 1;
        self.tally.awaited += 1;
        let stamp = Stamp {
            source: asker.id as u16,
            sequence,
            at,
        };
        let size = self.filler.len();
        self.filler[..HEAD].copy_from_slice(&stamp.encode(size));
        let (subject, inbox, id) = (&self.subject, &self.inbox, asker.id);
        // Writing to a vector cannot fail.
        let _ = write!(out, "PUB {subject} {inbox}.{id}.{sequence} {size}\r\n");
        out.extend_from_slice(&self.filler);
        out.extend_from_slice(b"\r\n");
    }

    fn answer(&self, msg: &Msg<'_>, out: &mut Vec<u8>) {
        if let Some(reply) = msg.reply {
            out.extend_from_slice(b"PUB ");
            out.extend_from_slice(reply);
            let _ = write!(out, " {}\r\n", msg.payload.len());
            out.extend_from_slice(msg.payload);
            out.extend_from_slice(b"\r\n");
        }
    }

    /// Takes note of a reply; whether it was expected.
    fn reply(&mut self, place: usize, now: u64, msg: &Msg<'_>) -> bool {
        let asker = &mut self.askers[place];
        let unanswered = msg.status() == Some(503);
        let sound = unanswered
            || !self.own_service
            || self.checker.stamp(msg.payload, now).is_some_and(|stamp| {
                Some(stamp.sequence) == last_token(msg.subject)
                    && usize::from(stamp.source) == asker.id
            });
        let sequence = last_token(msg.subject).filter(|&sequence| sequence < asker.pending.sent());
        let (true, Some(sequence)) = (sound, sequence) else {
            self.tally.damaged += 1;
            return false;
        };
        let Some(at) = asker.pending.settle(sequence) else {
            self.tally.duplicated += 1;
            return false;
        };
        self.tally.arrived += 1;
        if unanswered {
            // Not a reply: it stays missing and counts as lost.
            self.unanswered += 1;
            return true;
        }
        self.tally.received(msg.payload);
        if asker.replies.saw(sequence) == Arrival::Late && self.order_matters {
            self.tally.reordered += 1;
        }
        self.tally.latency(at, now);
        true
    }
}

impl Load for RequestLoad {
    fn open(&mut self, net: &mut Net) -> Result<(), Error> {
        let service = (self.subject.clone(), Some("loadgen".to_owned()));
        let entries = (0..self.responders).map(|tag| (tag, service.0.clone(), service.1.clone()));
        net.connect_subscribers(entries)?;
        let inboxes = self.askers.iter().enumerate().map(|(place, asker)| {
            let inbox = format!("{}.{}.*", self.inbox, asker.id);
            (self.responders + place, inbox, None)
        });
        let ids = net.connect_subscribers(inboxes)?;
        for (asker, id) in self.askers.iter_mut().zip(ids) {
            asker.conn = id;
        }
        Ok(())
    }

    fn start(&mut self, _net: &mut Net, from: u64) -> Result<(), Error> {
        if let Some(schedule) = &mut self.schedule {
            schedule.start(from);
        }
        Ok(())
    }

    fn publish(&mut self, net: &mut Net, now: u64) -> Result<(), Error> {
        for _ in 0..BATCH_MAX {
            let Some(schedule) = &mut self.schedule else {
                break;
            };
            let (due, place) = (schedule.due(), schedule.sender());
            if due > now || due >= self.tally.until {
                return Ok(());
            }
            let conn = self.askers[place].conn;
            if net.unsent(conn) >= MAX_UNSENT {
                return Ok(());
            }
            schedule.advance();
            self.tally.lag(due, now);
            self.ask(place, due, net.out(conn));
        }
        if self.schedule.is_none() && !self.started {
            self.started = true;
            for place in 0..self.askers.len() {
                let (now, conn) = (monotonic_ns(), self.askers[place].conn);
                for _ in 0..self.inflight {
                    self.ask(place, now, net.out(conn));
                }
            }
        }
        Ok(())
    }

    fn next_due(&self, _now: u64) -> u64 {
        self.schedule.as_ref().map_or(u64::MAX, Schedule::due)
    }

    fn is_quiet(&self, now: u64) -> bool {
        match &self.schedule {
            Some(schedule) => schedule.due() >= self.tally.until,
            None => now >= self.tally.until,
        }
    }

    fn message(&mut self, tag: usize, now: u64, msg: &Msg<'_>, out: &mut Vec<u8>) {
        let Some(place) = tag.checked_sub(self.responders) else {
            self.answer(msg, out);
            return;
        };
        let expected = self.reply(place, now, msg);
        if expected && self.schedule.is_none() && now < self.tally.until {
            self.ask(place, now, out);
        }
    }

    fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }

    fn conclude(&mut self, _net: &mut Net) -> LastWords {
        let missing = |asker: &Asker| asker.replies.lost(asker.pending.sent());
        let lost = self.askers.iter().map(missing);
        LastWords {
            lost: lost.sum(),
            notes: match self.unanswered {
                0 => Vec::new(),
                count => vec![format!("{count} requests found no responder")],
            },
            ..LastWords::default()
        }
    }
}
