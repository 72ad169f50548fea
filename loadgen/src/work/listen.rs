//! `sub`: subscribes and counts what others publish. Messages of a loadgen on
//! the same host have their latency measured.

use crate::driver::Workload;
use crate::error::Error;
use crate::meter::Meter;
use crate::net::{ConnId, Handler, Net};
use crate::payload::Stamp;
use crate::protocol::Msg;

pub struct Listen {
    subject: String,
    queue: Option<String>,
    subs: usize,
    /// Whether payloads come from loadgen and carry its stamps.
    stamped: bool,
    meter: Meter,
}

impl Listen {
    pub fn new(subject: String, queue: Option<String>, subs: usize, stamped: bool) -> Listen {
        Listen {
            subject,
            queue,
            subs,
            stamped,
            meter: Meter::new(0, 0),
        }
    }
}

impl Handler for Listen {
    #[inline]
    fn message(&mut self, _conn: ConnId, now: u64, msg: &Msg<'_>, _out: &mut Vec<u8>) {
        self.meter.delivered += 1;
        if self.stamped
            && let Some(stamp) = Stamp::decode(msg.payload)
        {
            self.meter.latency(stamp.at, now);
        }
    }
}

impl Workload for Listen {
    fn describe(&self) -> (&'static str, String) {
        (
            "sub",
            format!("{} subscribers of {}", self.subs, self.subject),
        )
    }

    fn open(&mut self, net: &mut Net) -> Result<(), Error> {
        let entry = (self.subject.clone(), self.queue.clone());
        net.connect_subscribers((0..self.subs).map(|_| entry.clone()))?;
        Ok(())
    }

    fn publish(&mut self, _net: &mut Net, _now: u64) -> Result<(), Error> {
        Ok(())
    }

    fn meter(&mut self) -> &mut Meter {
        &mut self.meter
    }

    fn drained(&mut self) -> bool {
        true
    }

    fn latency_label(&self) -> &'static str {
        "from the publisher's stamp"
    }
}
