//! `pub` and `pubsub`: one connection publishes as fast as it goes, to no or
//! to several subscriber connections.

use super::unique_subject;
use crate::driver::{CountedBy, Workload};
use crate::error::Error;
use crate::meter::Meter;
use crate::net::{ConnId, Handler, Net};
use crate::payload::{Stamp, Template};
use crate::protocol::Msg;

/// Bytes rendered at a time.
const CHUNK: usize = 64 * 1024;

pub struct Stream {
    subject: String,
    template: Template,
    subs: usize,
    /// Messages the publisher may be ahead of the slowest subscriber.
    window: u64,
    publisher: ConnId,
    meter: Meter,
    /// Set by the PONG for the PING after the last message.
    confirmed: bool,
}

impl Stream {
    /// `subs` may be 0: then only publishing is measured, `window` means
    /// nothing, and `subject` (if given) may be anybody's.
    pub fn new(subject: Option<String>, subs: usize, size: usize, window: u64) -> Stream {
        let subject = subject.unwrap_or_else(|| unique_subject("stream"));
        Stream {
            template: Template::new(&subject, None, size),
            subject,
            subs,
            window,
            publisher: subs,
            meter: Meter::new(subs, size),
            confirmed: false,
        }
    }

    fn room(&self) -> u64 {
        self.meter
            .flows
            .iter()
            .map(|flow| flow.tracker.next())
            .min()
            .map_or(u64::MAX, |slowest| {
                self.window.saturating_sub(self.meter.published - slowest)
            })
    }
}

impl Handler for Stream {
    #[inline]
    fn message(&mut self, conn: ConnId, _now: u64, msg: &Msg<'_>, _out: &mut Vec<u8>) {
        self.meter.arrived(conn, msg);
    }

    fn pong(&mut self, _conn: ConnId) {
        self.confirmed = true;
    }
}

impl Workload for Stream {
    fn describe(&self) -> (&'static str, String) {
        if self.subs == 0 {
            ("pub", "as fast as it goes".into())
        } else {
            let (subs, window) = (self.subs, self.window);
            let mode =
                format!("as fast as it goes, 1 to {subs}, at most {window} ahead of the slowest");
            ("pubsub", mode)
        }
    }

    fn open(&mut self, net: &mut Net) -> Result<(), Error> {
        let subject = self.subject.clone();
        net.connect_subscribers((0..self.subs).map(|_| (subject.clone(), None)))?;
        self.publisher = net.connect()?;
        Ok(())
    }

    fn publish(&mut self, net: &mut Net, now: u64) -> Result<(), Error> {
        if net.unsent(self.publisher) > 0 {
            return Ok(());
        }
        let chunk = (CHUNK / self.template.len()).max(1) as u64;
        let count = self.room().min(chunk);
        // Half-empty chunks would cost a system call for a few messages.
        if count == 0 || (count < chunk && self.window >= 2 * chunk) {
            return Ok(());
        }
        let out = net.out(self.publisher);
        for sequence in self.meter.published..self.meter.published + count {
            let stamp = Stamp {
                source: 0,
                sequence,
                at: now,
            };
            self.template.render(out, stamp);
        }
        self.meter.published += count;
        for flow in 0..self.subs {
            self.meter.sending_many(flow, count);
        }
        net.flush(self.publisher)
    }

    fn finish(&mut self, net: &mut Net) -> Result<(), Error> {
        net.out(self.publisher).extend_from_slice(b"PING\r\n");
        net.flush(self.publisher)
    }

    fn meter(&mut self) -> &mut Meter {
        &mut self.meter
    }

    fn drained(&mut self) -> bool {
        self.confirmed && self.meter.outstanding() == 0
    }

    fn counted_by(&self) -> CountedBy {
        if self.subs == 0 {
            CountedBy::Published
        } else {
            CountedBy::Delivered
        }
    }
}
