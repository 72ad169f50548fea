//! `fanout`: one message at a time to many subscribers; the next one goes out
//! when all have it.

use super::unique_subject;
use crate::driver::Workload;
use crate::error::Error;
use crate::meter::Meter;
use crate::net::{ConnId, Handler, Net};
use crate::payload::{Stamp, Template};
use crate::protocol::Msg;
use crate::sys::monotonic_ns;

pub struct Fanout {
    subs: usize,
    subject: String,
    template: Template,
    publisher: ConnId,
    /// Subscribers that do not have the current message yet.
    waiting: usize,
    meter: Meter,
}

impl Fanout {
    pub fn new(subs: usize, size: usize) -> Fanout {
        let subject = unique_subject("fanout");
        Fanout {
            subs,
            template: Template::new(&subject, None, size),
            subject,
            publisher: subs,
            waiting: 0,
            meter: Meter::new(subs, size),
        }
    }
}

impl Handler for Fanout {
    #[inline]
    fn message(&mut self, conn: ConnId, now: u64, msg: &Msg<'_>, _out: &mut Vec<u8>) {
        if let Some(stamp) = self.meter.arrived(conn, msg) {
            self.waiting = self.waiting.saturating_sub(1);
            if self.waiting == 0 {
                self.meter.latency(stamp.at, now);
            }
        }
    }
}

impl Workload for Fanout {
    fn describe(&self) -> (&'static str, String) {
        let mode = format!("closed loop, 1 message at a time to {}", self.subs);
        ("fanout", mode)
    }

    fn open(&mut self, net: &mut Net) -> Result<(), Error> {
        let subject = self.subject.clone();
        net.connect_subscribers((0..self.subs).map(|_| (subject.clone(), None)))?;
        self.publisher = net.connect()?;
        Ok(())
    }

    fn publish(&mut self, net: &mut Net, _now: u64) -> Result<(), Error> {
        if self.waiting > 0 {
            return Ok(());
        }
        self.waiting = self.subs;
        let stamp = Stamp {
            source: 0,
            sequence: self.meter.published,
            at: monotonic_ns(),
        };
        self.meter.published += 1;
        for flow in 0..self.subs {
            self.meter.sending(flow);
        }
        self.template.render(net.out(self.publisher), stamp);
        net.flush(self.publisher)
    }

    fn meter(&mut self) -> &mut Meter {
        &mut self.meter
    }

    fn latency_label(&self) -> &'static str {
        "from publish to the last subscriber"
    }
}
