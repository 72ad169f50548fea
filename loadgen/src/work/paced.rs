//! `paced`: an open loop. Messages have a schedule, and latency is measured
//! from the scheduled moment, so that a server that stalls the publisher
//! cannot hide it (no coordinated omission).

use super::storm::Storm;
use super::{ONLY_SID, unique_subject};
use crate::driver::Workload;
use crate::error::Error;
use crate::meter::Meter;
use crate::net::{ConnId, Handler, Net, OnClose};
use crate::payload::{Stamp, Template};
use crate::protocol::{Msg, subscribe};
use crate::report::Growth;
use crate::sys::monotonic_ns;

/// Bytes that may wait for a socket that does not take them. Beyond it,
/// messages stay in the schedule; their latency runs on all the same.
const MAX_UNSENT: usize = 1024 * 1024;

/// Bytes read at the end from the subscriber that stalled, to see whether the
/// server cut it off. More than the kernel's buffers hold.
const STALLED_READ_LIMIT: usize = 256 * 1024 * 1024;

pub struct Paced {
    /// Messages a second.
    rate: u64,
    subs: usize,
    subject: String,
    template: Template,
    publisher: ConnId,
    /// The moment of message 0; set at the first turn.
    start: Option<u64>,
    /// A subscriber that never reads, added when measuring begins.
    stalled: Option<ConnId>,
    with_stalled: bool,
    storm: Option<Storm>,
    meter: Meter,
}

impl Paced {
    /// `rate` messages a second, at least one.
    pub fn new(rate: u64, subs: usize, size: usize) -> Paced {
        let subject = unique_subject("paced");
        Paced {
            rate: rate.max(1),
            subs,
            template: Template::new(&subject, None, size),
            subject,
            publisher: subs,
            start: None,
            stalled: None,
            with_stalled: false,
            storm: None,
            meter: Meter::new(subs, size),
        }
    }

    pub fn with_stalled_subscriber(mut self, yes: bool) -> Paced {
        self.with_stalled = yes;
        self
    }

    pub fn with_storm(mut self, storm: Storm) -> Paced {
        self.storm = Some(storm);
        self
    }
}

/// When message `n` is due.
fn due(start: u64, rate: u64, n: u64) -> u64 {
    let offset = u128::from(n) * 1_000_000_000 / u128::from(rate);
    start.saturating_add(u64::try_from(offset).unwrap_or(u64::MAX))
}

impl Handler for Paced {
    #[inline]
    fn message(&mut self, conn: ConnId, now: u64, msg: &Msg<'_>, _out: &mut Vec<u8>) {
        if let Some(stamp) = self.meter.arrived(conn, msg) {
            self.meter.latency(stamp.at, now);
        }
    }

    fn closed(&mut self, conn: ConnId) -> OnClose {
        if Some(conn) == self.stalled {
            OnClose::GoOn
        } else {
            OnClose::EndRun
        }
    }
}

impl Workload for Paced {
    fn describe(&self) -> (&'static str, String) {
        let (rate, subs) = (self.rate, self.subs);
        let mut mode = format!("open loop, {rate}/s to {subs} subscribers");
        if self.with_stalled {
            mode.push_str(" beside one that never reads");
        }
        match &self.storm {
            Some(storm) => {
                mode.push_str(&format!(", {} hostile connections", storm.count()));
                ("storm", mode)
            }
            None => ("paced", mode),
        }
    }

    fn open(&mut self, net: &mut Net) -> Result<(), Error> {
        let subject = self.subject.clone();
        net.connect_subscribers((0..self.subs).map(|_| (subject.clone(), None)))?;
        self.publisher = net.connect()?;
        if self.with_stalled {
            self.stalled = Some(net.connect()?);
        }
        Ok(())
    }

    fn begin(&mut self, net: &mut Net, now: u64) -> Result<(), Error> {
        if let Some(stalled) = self.stalled {
            net.stop_reading(stalled)?;
            subscribe(net.out(stalled), &self.subject, None, ONLY_SID);
            net.flush(stalled)?;
        }
        if let Some(storm) = &mut self.storm {
            storm.begin(now, net.address());
        }
        Ok(())
    }

    fn publish(&mut self, net: &mut Net, now: u64) -> Result<(), Error> {
        let start = *self.start.get_or_insert(now);
        if let Some(storm) = &mut self.storm {
            storm.step(now);
        }
        let now = monotonic_ns();
        let before = self.meter.published;
        while net.unsent(self.publisher) < MAX_UNSENT {
            let at = due(start, self.rate, self.meter.published);
            if at > now {
                break;
            }
            let stamp = Stamp {
                source: 0,
                sequence: self.meter.published,
                at,
            };
            self.template.render(net.out(self.publisher), stamp);
            self.meter.published += 1;
        }
        let count = self.meter.published - before;
        if count == 0 {
            return Ok(());
        }
        for flow in 0..self.subs {
            self.meter.sending_many(flow, count);
        }
        net.flush(self.publisher)
    }

    fn meter(&mut self) -> &mut Meter {
        &mut self.meter
    }

    fn keeps_time(&self) -> bool {
        true
    }

    fn latency_label(&self) -> &'static str {
        "from the intended time"
    }

    fn conclude(&mut self, net: &mut Net) -> (Vec<String>, Option<Growth>) {
        let mut notes = Vec::new();
        if let Some(stalled) = self.stalled {
            let cut = net.drain_stalled(stalled, STALLED_READ_LIMIT);
            notes.push(if cut {
                "the subscriber that never reads was cut off".into()
            } else {
                "the subscriber that never reads was not cut off".into()
            });
        }
        let growth = self.storm.as_mut().and_then(|storm| {
            notes.push(storm.summary());
            storm.growth()
        });
        (notes, growth)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_does_not_drift() {
        assert_eq!(due(5, 3, 0), 5);
        assert_eq!(due(5, 3, 3), 1_000_000_005);
        assert_eq!(
            due(0, 3, 3_000_000_000_000),
            1_000_000_000_000_000_000_000u128.min(u128::from(u64::MAX)) as u64
        );
        assert_eq!(due(0, 20_000, 1), 50_000);
    }
}
