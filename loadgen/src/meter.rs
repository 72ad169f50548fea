//! Accounting of one run: what was published, what arrived, how late.

use crate::payload::Stamp;
use crate::protocol::Msg;
use crate::report::Faults;
use crate::sequence::{Arrival, Tracker};
use hdrhistogram::Histogram;

/// Longest latency told apart (ns): an hour. Longer ones count as this.
const LONGEST: u64 = 3_600_000_000_000;

/// Significant decimal digits of the latency histogram.
const DIGITS: u8 = 3;

/// One sequence expected at one place.
#[derive(Debug, Default)]
pub struct Flow {
    pub tracker: Tracker,
    /// How many messages were sent into it.
    pub sent: u64,
}

/// The counters of a run. A *flow* is one publisher's sequence as one
/// subscription sees it; how flows are numbered is the workload's affair.
pub struct Meter {
    /// Whether an arrival after a later one is a fault.
    pub order_matters: bool,
    /// False once the run only waits for what is under way.
    pub publishing: bool,
    /// PUB commands sent.
    pub published: u64,
    /// Messages that arrived, duplicates included.
    pub delivered: u64,
    pub flows: Vec<Flow>,
    pub latency: Histogram<u64>,
    /// Latency counts for messages intended at or after this moment (ns).
    measured_from: u64,
    /// Payload bytes each message must have.
    size: usize,
    awaited: u64,
    duplicated: u64,
    reordered: u64,
    damaged: u64,
}

impl Meter {
    /// A meter for `flows` flows of payloads of `size` bytes.
    pub fn new(flows: usize, size: usize) -> Meter {
        let latency = match Histogram::new_with_bounds(1, LONGEST, DIGITS) {
            Ok(histogram) => histogram,
            Err(error) => unreachable!("the bounds are constants: {error}"),
        };
        Meter {
            order_matters: true,
            publishing: true,
            published: 0,
            delivered: 0,
            flows: (0..flows).map(|_| Flow::default()).collect(),
            latency,
            measured_from: u64::MAX,
            size,
            awaited: 0,
            duplicated: 0,
            reordered: 0,
            damaged: 0,
        }
    }

    /// The warm-up is over.
    pub fn begin(&mut self, now: u64) {
        self.measured_from = now;
    }

    /// One message more is under way in `flow`; its sequence number.
    #[inline]
    pub fn sending(&mut self, flow: usize) -> u64 {
        let flow = &mut self.flows[flow];
        let sequence = flow.sent;
        flow.sent += 1;
        self.awaited += 1;
        sequence
    }

    /// `count` messages more are under way in `flow`.
    pub fn sending_many(&mut self, flow: usize, count: u64) {
        self.flows[flow].sent += count;
        self.awaited += count;
    }

    /// Takes note of an arrival in `flow` and returns its stamp, `None` where
    /// the payload is not one of ours or was seen before.
    #[inline]
    pub fn arrived(&mut self, flow: usize, msg: &Msg<'_>) -> Option<Stamp> {
        self.delivered += 1;
        let stamp = Stamp::decode(msg.payload).filter(|_| msg.payload.len() == self.size);
        let (Some(stamp), Some(flow)) = (stamp, self.flows.get_mut(flow)) else {
            self.damaged += 1;
            return None;
        };
        match flow.tracker.saw(stamp.sequence) {
            Arrival::InOrder => {}
            Arrival::Late => self.reordered += u64::from(self.order_matters),
            Arrival::Duplicate => {
                self.duplicated += 1;
                return None;
            }
        }
        Some(stamp)
    }

    /// Counts `now - since` as the latency of a message intended at `since`.
    #[inline]
    pub fn latency(&mut self, since: u64, now: u64) {
        if since >= self.measured_from {
            self.latency.saturating_record(now.saturating_sub(since));
        }
    }

    /// Deliveries still to come.
    pub fn outstanding(&self) -> u64 {
        self.awaited
            .saturating_sub(self.delivered - self.duplicated - self.damaged)
    }

    /// The faults, given that nothing more will arrive.
    pub fn faults(&self) -> Faults {
        Faults {
            lost: self
                .flows
                .iter()
                .map(|flow| flow.tracker.lost(flow.sent))
                .sum(),
            duplicated: self.duplicated,
            reordered: self.reordered,
            damaged: self.damaged,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deliver(meter: &mut Meter, flow: usize, sequence: u64) -> Option<Stamp> {
        let payload = Stamp {
            source: 0,
            sequence,
            at: 5,
        }
        .encode();
        arrive(meter, flow, &payload)
    }

    fn arrive(meter: &mut Meter, flow: usize, payload: &[u8]) -> Option<Stamp> {
        let msg = Msg {
            subject: b"s",
            sid: 1,
            reply: None,
            headers: b"",
            payload,
        };
        meter.arrived(flow, &msg)
    }

    #[test]
    fn counts_every_kind_of_fault() {
        let mut meter = Meter::new(2, 16);
        for _ in 0..5 {
            meter.sending(0);
            meter.sending(1);
        }
        for sequence in [0, 2, 1, 2, 4] {
            deliver(&mut meter, 0, sequence);
        }
        assert_eq!(deliver(&mut meter, 1, 0).unwrap().at, 5);
        assert!(arrive(&mut meter, 1, b"short").is_none());
        assert!(arrive(&mut meter, 1, &[0; 17]).is_none(), "wrong length");
        let faults = meter.faults();
        assert_eq!((faults.lost, faults.duplicated), (1 + 4, 1));
        assert_eq!((faults.reordered, faults.damaged), (1, 2));
        assert_eq!(meter.outstanding(), 5);
    }

    #[test]
    fn the_warm_up_has_no_latency() {
        let mut meter = Meter::new(1, 16);
        meter.latency(10, 20);
        meter.begin(100);
        meter.latency(99, 1000);
        meter.latency(100, 350);
        assert_eq!((meter.latency.len(), meter.latency.max()), (1, 250));
    }
}
