//! `echo`: each connection publishes to a subject that only it subscribes to,
//! with a fixed number of messages in flight.

use super::unique_subject;
use crate::driver::Workload;
use crate::error::Error;
use crate::meter::Meter;
use crate::net::{ConnId, Handler, Net};
use crate::payload::{Stamp, Template};
use crate::protocol::Msg;
use crate::sys::monotonic_ns;

pub struct Echo {
    inflight: usize,
    /// One for each connection, which is also its flow.
    templates: Vec<Template>,
    meter: Meter,
    started: bool,
}

impl Echo {
    pub fn new(conns: usize, inflight: usize, size: usize) -> Echo {
        let subject = unique_subject("echo");
        Echo {
            inflight,
            templates: (0..conns)
                .map(|conn| Template::new(&format!("{subject}.{conn}"), None, size))
                .collect(),
            meter: Meter::new(conns, size),
            started: false,
        }
    }

    fn send(&mut self, conn: ConnId, now: u64, out: &mut Vec<u8>) {
        let sequence = self.meter.sending(conn);
        self.meter.published += 1;
        let stamp = Stamp {
            source: 0,
            sequence,
            at: now,
        };
        self.templates[conn].render(out, stamp);
    }
}

impl Handler for Echo {
    #[inline]
    fn message(&mut self, conn: ConnId, now: u64, msg: &Msg<'_>, out: &mut Vec<u8>) {
        let Some(stamp) = self.meter.arrived(conn, msg) else {
            return;
        };
        self.meter.latency(stamp.at, now);
        if self.meter.publishing {
            self.send(conn, now, out);
        }
    }
}

impl Workload for Echo {
    fn describe(&self) -> (&'static str, String) {
        let (conns, inflight) = (self.templates.len(), self.inflight);
        let mode = format!("closed loop, {conns} connections, {inflight} in flight each");
        ("echo", mode)
    }

    fn open(&mut self, net: &mut Net) -> Result<(), Error> {
        let subject = unique_subject("echo");
        let subjects = (0..self.templates.len()).map(|conn| (format!("{subject}.{conn}"), None));
        net.connect_subscribers(subjects)?;
        Ok(())
    }

    fn publish(&mut self, net: &mut Net, _now: u64) -> Result<(), Error> {
        if self.started {
            return Ok(());
        }
        self.started = true;
        for conn in 0..self.templates.len() {
            let now = monotonic_ns();
            for _ in 0..self.inflight {
                self.send(conn, now, net.out(conn));
            }
            net.flush(conn)?;
        }
        Ok(())
    }

    fn meter(&mut self) -> &mut Meter {
        &mut self.meter
    }
}
