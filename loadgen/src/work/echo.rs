//! `echo`: each connection publishes to a subject that only it subscribes to,
//! with a fixed number of messages in flight.

use super::{parameter, unique_subject};
use crate::connection::net::{ConnId, Net};
use crate::connection::protocol::Msg;
use crate::engine::{LastWords, Load, Share, Tally, Work};
use crate::error::Error;
use crate::payload::{Checker, Stamp, Template};
use crate::result::{Pacing, Parameter};
use crate::sequence::{Arrival, Tracker};
use crate::sys::monotonic_ns;

pub struct Echo {
    pub conns: usize,
    /// Messages in flight on each connection.
    pub inflight: usize,
    /// Payload bytes.
    pub size: usize,
}

impl Work for Echo {
    fn title(&self) -> String {
        format!("echo on {} connections", self.conns)
    }

    fn pacing(&self) -> Pacing {
        Pacing::ClosedLoop
    }

    fn parameters(&self) -> Vec<Parameter> {
        vec![
            parameter("size", format!("{} B", self.size)),
            parameter("in flight", format!("{} a connection", self.inflight)),
        ]
    }

    fn latency_measured(&self) -> &'static str {
        "send time to return"
    }

    fn connections(&self) -> usize {
        self.conns
    }

    fn load(&self, share: Share) -> Box<dyn Load> {
        let subject = unique_subject("echo");
        let loops = share.of(self.conns).enumerate().map(|(place, _)| {
            let subject = format!("{subject}.{}.{place}", share.thread);
            Loop {
                template: Template::new(&subject, self.size),
                subject,
                conn: 0,
                sent: 0,
                flow: Tracker::default(),
            }
        });
        Box::new(EchoLoad {
            loops: loops.collect(),
            inflight: self.inflight,
            checker: Checker::new(self.size),
            started: false,
            tally: Tally::default(),
        })
    }
}

/// One connection. Its tag is its place.
struct Loop {
    subject: String,
    template: Template,
    conn: ConnId,
    sent: u64,
    flow: Tracker,
}

struct EchoLoad {
    loops: Vec<Loop>,
    inflight: usize,
    checker: Checker,
    started: bool,
    tally: Tally,
}

impl Loop {
    fn send(&mut self, at: u64, out: &mut Vec<u8>, tally: &mut Tally) {
        let stamp = Stamp {
            source: 0,
            sequence: self.sent,
            at,
        };
        self.template.render(out, stamp);
        self.sent += 1;
        tally.sent += 1;
        tally.awaited += 1;
    }
}

impl Load for EchoLoad {
    fn open(&mut self, net: &mut Net) -> Result<(), Error> {
        let entries = self.loops.iter().enumerate();
        let entries = entries.map(|(tag, own)| (tag, own.subject.clone(), None));
        let ids = net.connect_subscribers(entries)?;
        for (own, id) in self.loops.iter_mut().zip(ids) {
            own.conn = id;
        }
        Ok(())
    }

    fn publish(&mut self, net: &mut Net, _now: u64) -> Result<(), Error> {
        if self.started {
            return Ok(());
        }
        self.started = true;
        for own in &mut self.loops {
            let now = monotonic_ns();
            for _ in 0..self.inflight {
                own.send(now, net.out(own.conn), &mut self.tally);
            }
        }
        Ok(())
    }

    fn is_quiet(&self, now: u64) -> bool {
        now >= self.tally.until
    }

    #[inline]
    fn message(&mut self, tag: usize, now: u64, msg: &Msg<'_>, out: &mut Vec<u8>) {
        self.tally.received(msg.payload);
        let own = &mut self.loops[tag];
        let stamp = self.checker.stamp(msg.payload, now);
        let Some(stamp) = stamp.filter(|stamp| stamp.sequence < own.sent) else {
            self.tally.damaged += 1;
            return;
        };
        match own.flow.saw(stamp.sequence) {
            Arrival::InOrder => {}
            Arrival::Late => self.tally.reordered += 1,
            Arrival::Duplicate => {
                self.tally.duplicated += 1;
                return;
            }
        }
        self.tally.arrived += 1;
        self.tally.latency(stamp.at, now);
        if now < self.tally.until {
            own.send(now, out, &mut self.tally);
        }
    }

    fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }

    fn conclude(&mut self, _net: &mut Net) -> LastWords {
        LastWords {
            lost: self.loops.iter().map(|own| own.flow.lost(own.sent)).sum(),
            ..LastWords::default()
        }
    }
}
