//! `request`: requesters with a wildcard inbox each, as client libraries have
//! it, and responders in one queue group that send the payload back.

use super::unique_subject;
use crate::driver::Workload;
use crate::error::Error;
use crate::meter::Meter;
use crate::net::{ConnId, Handler, Net};
use crate::payload::Stamp;
use crate::protocol::Msg;
use crate::sys::monotonic_ns;
use std::io::Write;

pub struct Request {
    conns: usize,
    responders: usize,
    inflight: usize,
    size: usize,
    subject: String,
    inbox: String,
    filler: Vec<u8>,
    /// Requests that were answered with 503, no responders.
    unanswered: u64,
    meter: Meter,
    started: bool,
}

impl Request {
    /// Connections below `responders` answer, the others ask.
    pub fn new(conns: usize, responders: usize, inflight: usize, size: usize) -> Request {
        let mut meter = Meter::new(conns, size);
        // Several responders answer in any order: that is no fault.
        meter.order_matters = responders <= 1;
        Request {
            conns,
            responders,
            inflight,
            size,
            subject: unique_subject("service"),
            inbox: format!("_INBOX.loadgen{}", std::process::id()),
            filler: vec![b'.'; size],
            unanswered: 0,
            meter,
            started: false,
        }
    }

    fn ask(&mut self, conn: ConnId, now: u64, out: &mut Vec<u8>) {
        let flow = conn - self.responders;
        let sequence = self.meter.sending(flow);
        self.meter.published += 1;
        let stamp = Stamp {
            source: flow as u16,
            sequence,
            at: now,
        }
        .encode();
        self.filler[..stamp.len()].copy_from_slice(&stamp);
        let (subject, inbox, size) = (&self.subject, &self.inbox, self.size);
        // Writing to a vector cannot fail.
        let _ = write!(out, "PUB {subject} {inbox}.{flow}.{sequence} {size}\r\n");
        out.extend_from_slice(&self.filler);
        out.extend_from_slice(b"\r\n");
    }
}

impl Handler for Request {
    fn message(&mut self, conn: ConnId, now: u64, msg: &Msg<'_>, out: &mut Vec<u8>) {
        if conn < self.responders {
            if let Some(reply) = msg.reply {
                out.extend_from_slice(b"PUB ");
                out.extend_from_slice(reply);
                let _ = write!(out, " {}\r\n", msg.payload.len());
                out.extend_from_slice(msg.payload);
                out.extend_from_slice(b"\r\n");
            }
            return;
        }
        if msg.status() == Some(503) {
            self.unanswered += 1;
        }
        let Some(stamp) = self.meter.arrived(conn - self.responders, msg) else {
            return;
        };
        self.meter.latency(stamp.at, now);
        if self.meter.publishing {
            self.ask(conn, now, out);
        }
    }
}

impl Workload for Request {
    fn describe(&self) -> (&'static str, String) {
        let Request {
            conns,
            inflight,
            responders,
            ..
        } = self;
        let mode = format!(
            "closed loop, {conns} requesters, {inflight} in flight each, {responders} responders; counts replies"
        );
        ("request", mode)
    }

    fn open(&mut self, net: &mut Net) -> Result<(), Error> {
        let service = (self.subject.clone(), Some("loadgen".to_owned()));
        net.connect_subscribers((0..self.responders).map(|_| service.clone()))?;
        let inboxes = (0..self.conns).map(|conn| (format!("{}.{conn}.*", self.inbox), None));
        net.connect_subscribers(inboxes)?;
        Ok(())
    }

    fn publish(&mut self, net: &mut Net, _now: u64) -> Result<(), Error> {
        if self.started {
            return Ok(());
        }
        self.started = true;
        for conn in self.responders..self.responders + self.conns {
            let now = monotonic_ns();
            for _ in 0..self.inflight {
                self.ask(conn, now, net.out(conn));
            }
            net.flush(conn)?;
        }
        Ok(())
    }

    fn meter(&mut self) -> &mut Meter {
        &mut self.meter
    }

    fn conclude(&mut self, _net: &mut Net) -> (Vec<String>, Option<crate::report::Growth>) {
        let notes = match self.unanswered {
            0 => Vec::new(),
            count => vec![format!("{count} requests found no responder")],
        };
        (notes, None)
    }
}
