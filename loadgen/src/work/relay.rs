//! `pub`, `pubsub`, `fanout`, `paced`: publishers and subscribers, under any
//! pacing. Publishers and subscribers are divided into lanes, each with a
//! subject of its own; every subscriber of a lane gets what every publisher of
//! it sends, or one member of a queue group does.

use super::{
    BATCH_MAX, CHUNK, Cell, MAX_UNSENT, cells, parameter, pattern_parameters, unique_subject,
};
use crate::connection::net::{ConnId, Net};
use crate::connection::protocol::Msg;
use crate::engine::{CountedBy, LastWords, Load, Share, Tally, Work};
use crate::error::Error;
use crate::payload::{Checker, Stamp, Template};
use crate::result::{Pacing, Parameter};
use crate::schedule::{Pattern, Schedule};
use crate::sequence::{Arrival, Seen, Tracker};
use std::collections::VecDeque;
use std::sync::Arc;

/// Of messages sent as fast as it goes, every this many has its latency
/// measured: recording all would slow down the sender.
const SAMPLED: u64 = 64;

/// When messages are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// On schedule.
    Open(Pattern),
    /// The next message of a publisher when all have the one before.
    Closed,
    /// At most this many ahead of the slowest subscriber.
    Window(u64),
}

impl Pace {
    pub fn pacing(&self) -> Pacing {
        match self {
            Pace::Open(_) => Pacing::OpenLoop,
            Pace::Closed => Pacing::ClosedLoop,
            Pace::Window(_) => Pacing::AsFastAsItGoes,
        }
    }
}

/// Publishers and subscribers.
#[derive(Debug, Clone)]
pub struct Shape {
    /// The subcommand.
    pub name: &'static str,
    /// [default: one that nobody else uses].
    pub subject: Option<String>,
    pub lanes: usize,
    /// Of each lane.
    pub pubs: usize,
    /// Of each lane; 0: only publishing is measured.
    pub subs: usize,
    /// The subscribers of a lane are one queue group.
    pub queue: bool,
    /// Payload bytes.
    pub size: usize,
    pub pace: Pace,
    /// Number of the first publisher, where several processes publish.
    pub first_source: u16,
}

impl Shape {
    fn all_pubs(&self) -> usize {
        self.lanes * self.pubs
    }

    fn all_subs(&self) -> usize {
        self.lanes * self.subs
    }

    /// Arrivals of each message.
    fn copies(&self) -> u64 {
        if self.queue {
            1.min(self.subs as u64)
        } else {
            self.subs as u64
        }
    }
}

/// What publishers and subscribers on different threads share.
struct Board {
    /// Messages sent, one cell a publisher. Written before they are.
    sent: Box<[Cell]>,
    /// The number after the highest one seen, for each subscriber and each
    /// publisher of its lane.
    next: Box<[Cell]>,
    /// Arrivals of the current message to come, one cell a publisher; closed
    /// loops.
    missing: Box<[Cell]>,
    /// What queue groups saw, one a publisher.
    seen: Vec<Seen>,
}

pub struct Relay {
    shape: Shape,
    subject: String,
    board: Arc<Board>,
}

impl Relay {
    pub fn new(shape: Shape) -> Relay {
        let (pubs, subs) = (shape.all_pubs(), shape.all_subs());
        let board = Board {
            sent: cells(pubs),
            next: match shape.pace {
                Pace::Window(_) => cells(subs * shape.pubs),
                _ => cells(0),
            },
            missing: cells(pubs),
            seen: if shape.queue {
                (0..pubs).map(|_| Seen::default()).collect()
            } else {
                Vec::new()
            },
        };
        Relay {
            subject: shape
                .subject
                .clone()
                .unwrap_or_else(|| unique_subject(shape.name)),
            shape,
            board: Arc::new(board),
        }
    }

    /// The subject of the first lane.
    pub fn subject(&self) -> String {
        lane_subject(&self.subject, &self.shape, 0)
    }
}

fn lane_subject(subject: &str, shape: &Shape, lane: usize) -> String {
    if shape.lanes == 1 {
        subject.to_owned()
    } else {
        format!("{subject}.{lane}")
    }
}

impl Work for Relay {
    fn title(&self) -> String {
        let Shape {
            name,
            lanes,
            pubs,
            subs,
            queue,
            ..
        } = self.shape;
        let group = if queue { " in a queue group" } else { "" };
        match (lanes, pubs, subs) {
            (1, pubs, 0) => format!("{name} by {pubs}"),
            (1, pubs, subs) => format!("{name} {pubs} to {subs}{group}"),
            (lanes, pubs, subs) => format!("{name} {lanes} times {pubs} to {subs}{group}"),
        }
    }

    fn pacing(&self) -> Pacing {
        self.shape.pace.pacing()
    }

    fn parameters(&self) -> Vec<Parameter> {
        let mut parameters = vec![parameter("size", format!("{} B", self.shape.size))];
        match &self.shape.pace {
            Pace::Open(pattern) => parameters.extend(pattern_parameters(pattern)),
            Pace::Closed => parameters.push(parameter("in flight", "1 a publisher")),
            Pace::Window(_) if self.shape.subs == 0 => {}
            Pace::Window(window) => parameters.push(parameter(
                "window",
                format!("{window} ahead of the slowest"),
            )),
        }
        parameters
    }

    fn latency_measured(&self) -> &'static str {
        match (&self.shape.pace, self.shape.subs) {
            (Pace::Open(_), 0) => "intended send time to the server's PONG behind it, sampled",
            (_, 0) => "send time to the server's PONG behind it, sampled",
            (Pace::Open(_), _) => "intended send time to arrival",
            (Pace::Closed, _) => "send time to the last arrival",
            (Pace::Window(_), _) => "send time to arrival, one message in 64",
        }
    }

    fn counted_by(&self) -> CountedBy {
        match self.shape.subs {
            0 => CountedBy::Published,
            _ => CountedBy::Delivered,
        }
    }

    fn pattern(&self) -> Option<Pattern> {
        match &self.shape.pace {
            Pace::Open(pattern) => Some(*pattern),
            _ => None,
        }
    }

    fn connections(&self) -> usize {
        self.shape.all_pubs() + self.shape.all_subs()
    }

    fn load(&self, share: Share) -> Box<dyn Load> {
        let shape = &self.shape;
        let own_pubs: Vec<usize> = share.of(shape.all_pubs()).collect();
        let publishers = own_pubs.iter().map(|&id| {
            let subject = lane_subject(&self.subject, shape, id / shape.pubs);
            Publisher {
                id,
                conn: 0,
                template: Template::new(&subject, shape.size),
                sent: 0,
                room: 0,
                pings: VecDeque::new(),
            }
        });
        let subscribers = share.of(shape.all_subs()).map(|id| Subscriber {
            id,
            flows: (0..shape.pubs).map(|_| Tracker::default()).collect(),
        });
        let pattern = match shape.pace {
            Pace::Open(pattern) => Some(pattern),
            _ => None,
        };
        Box::new(RelayLoad {
            publishers: publishers.collect(),
            subscribers: subscribers.collect(),
            schedule: pattern.map(|pattern| Schedule::new(pattern, shape.all_pubs(), own_pubs)),
            shape: shape.clone(),
            subject: self.subject.clone(),
            board: Arc::clone(&self.board),
            checker: Checker::new(shape.size),
            alone: share.threads == 1,
            tally: Tally::default(),
        })
    }
}

struct Publisher {
    /// Of all publishers.
    id: usize,
    conn: ConnId,
    template: Template,
    sent: u64,
    /// Messages that may go out before the window is looked at again.
    room: u64,
    /// For each PING under way: when the message before it was to be sent.
    pings: VecDeque<u64>,
}

struct Subscriber {
    /// Of all subscribers.
    id: usize,
    /// One for each publisher of the lane.
    flows: Vec<Tracker>,
}

/// A thread's publishers and subscribers. Tags of subscribers are their
/// places in `subscribers`; publishers follow.
struct RelayLoad {
    shape: Shape,
    subject: String,
    board: Arc<Board>,
    publishers: Vec<Publisher>,
    subscribers: Vec<Subscriber>,
    schedule: Option<Schedule>,
    checker: Checker,
    /// No other thread has publishers or subscribers.
    alone: bool,
    tally: Tally,
}

impl RelayLoad {
    fn publish_on_schedule(&mut self, net: &mut Net, now: u64) {
        let Some(schedule) = &mut self.schedule else {
            return;
        };
        for _ in 0..BATCH_MAX {
            let due = schedule.due();
            if due > now || due >= self.tally.until {
                return;
            }
            let publisher = &mut self.publishers[schedule.sender()];
            if net.unsent(publisher.conn) >= MAX_UNSENT {
                return;
            }
            self.tally.lag(due, now);
            publisher.send(1, due, &self.board, self.shape.first_source, net);
            self.tally.sent += 1;
            self.tally.awaited += self.shape.copies();
            if self.shape.subs == 0 {
                publisher.ping(due, net, &mut self.tally, false);
            }
            schedule.advance();
        }
    }

    fn publish_windowed(&mut self, net: &mut Net, now: u64, window: u64) {
        for publisher in &mut self.publishers {
            if net.unsent(publisher.conn) > 0 {
                continue;
            }
            let chunk = (CHUNK / publisher.template.len()).max(1) as u64;
            if publisher.room < chunk {
                publisher.room = self.board.room(&self.shape, publisher, window);
            }
            let count = publisher.room.min(chunk);
            // Half-empty chunks would cost a system call for a few messages.
            if count == 0 || (count < chunk && window >= 2 * chunk) {
                continue;
            }
            publisher.send(count, now, &self.board, self.shape.first_source, net);
            publisher.room -= count;
            self.tally.sent += count;
            self.tally.awaited += count * self.shape.copies();
            if self.shape.subs == 0 {
                publisher.ping(now, net, &mut self.tally, false);
            }
        }
    }

    fn publish_one_at_a_time(&mut self, net: &mut Net, now: u64) {
        for publisher in &mut self.publishers {
            let idle = match self.shape.subs {
                0 => publisher.pings.is_empty(),
                _ => self.board.missing[publisher.id].get() == 0,
            };
            if !idle {
                continue;
            }
            self.board.missing[publisher.id].set(self.shape.copies());
            publisher.send(1, now, &self.board, self.shape.first_source, net);
            self.tally.sent += 1;
            self.tally.awaited += self.shape.copies();
            if self.shape.subs == 0 {
                publisher.ping(now, net, &mut self.tally, true);
            }
        }
    }
}

impl Publisher {
    fn send(&mut self, count: u64, at: u64, board: &Board, first: u16, net: &mut Net) {
        let source = first.wrapping_add(self.id as u16);
        let from = self.sent;
        self.sent += count;
        // Before the bytes: a subscriber on another thread may be quicker.
        board.sent[self.id].set(self.sent);
        let out = net.out(self.conn);
        for sequence in from..self.sent {
            let stamp = Stamp {
                source,
                sequence,
                at,
            };
            self.template.render(out, stamp);
        }
    }

    /// Asks the server for a sign that it has read so far, unless one is under
    /// way and another is not a `must`.
    fn ping(&mut self, at: u64, net: &mut Net, tally: &mut Tally, must: bool) {
        if must || self.pings.is_empty() {
            net.out(self.conn).extend_from_slice(b"PING\r\n");
            self.pings.push_back(at);
            tally.awaited += 1;
        }
    }
}

impl Board {
    /// Messages that `publisher` may send before it is `window` ahead of the
    /// slowest subscriber.
    fn room(&self, shape: &Shape, publisher: &Publisher, window: u64) -> u64 {
        let (lane, place) = (publisher.id / shape.pubs, publisher.id % shape.pubs);
        let subscribers = lane * shape.subs..(lane + 1) * shape.subs;
        let seen = |subscriber: usize| self.next[subscriber * shape.pubs + place].get();
        if shape.queue {
            // Counts of what members took: their sum is how far the group is.
            let taken: u64 = subscribers.map(seen).sum();
            return window.saturating_sub(publisher.sent.saturating_sub(taken));
        }
        match subscribers.map(seen).min() {
            Some(slowest) => window.saturating_sub(publisher.sent.saturating_sub(slowest)),
            None => u64::MAX,
        }
    }
}

impl Load for RelayLoad {
    fn open(&mut self, net: &mut Net) -> Result<(), Error> {
        let group = self.shape.queue.then(|| "loadgen".to_owned());
        let entries = self
            .subscribers
            .iter()
            .enumerate()
            .map(|(tag, subscriber)| {
                let lane = subscriber.id / self.shape.subs;
                let subject = lane_subject(&self.subject, &self.shape, lane);
                (tag, subject, group.clone())
            });
        net.connect_subscribers(entries)?;
        let first = self.subscribers.len();
        for (index, publisher) in self.publishers.iter_mut().enumerate() {
            publisher.conn = net.connect(first + index)?;
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
        match self.shape.pace {
            Pace::Open(_) => self.publish_on_schedule(net, now),
            _ if now >= self.tally.until => {}
            Pace::Closed => self.publish_one_at_a_time(net, now),
            Pace::Window(window) => self.publish_windowed(net, now, window),
        }
        Ok(())
    }

    fn next_due(&self, now: u64) -> u64 {
        /// How long arrivals on other threads may stay unnoticed (ns).
        const OTHERS: u64 = 100_000;
        match &self.schedule {
            Some(schedule) => schedule.due(),
            None if self.alone => u64::MAX,
            None => now + OTHERS,
        }
    }

    fn is_quiet(&self, now: u64) -> bool {
        match &self.schedule {
            Some(schedule) => schedule.due() >= self.tally.until,
            None => now >= self.tally.until,
        }
    }

    fn finish(&mut self, net: &mut Net) -> Result<(), Error> {
        if self.shape.subs == 0 {
            for publisher in &mut self.publishers {
                publisher.ping(0, net, &mut self.tally, true);
            }
        }
        Ok(())
    }

    #[inline]
    fn message(&mut self, tag: usize, now: u64, msg: &Msg<'_>, _out: &mut Vec<u8>) {
        self.tally.received(msg.payload);
        let (Some(stamp), Some(subscriber)) = (
            self.checker.stamp(msg.payload, now),
            self.subscribers.get_mut(tag),
        ) else {
            self.tally.damaged += 1;
            return;
        };
        let lane = subscriber.id / self.shape.subs;
        let id = usize::from(stamp.source.wrapping_sub(self.shape.first_source));
        let place = id.wrapping_sub(lane * self.shape.pubs);
        let known = place < self.shape.pubs && stamp.sequence < self.board.sent[id].get();
        if !known {
            self.tally.damaged += 1;
            return;
        }
        if self.shape.queue {
            if !self.board.seen[id].saw(stamp.sequence) {
                self.tally.duplicated += 1;
                return;
            }
            if let Some(cell) = self.board.next.get(subscriber.id * self.shape.pubs + place) {
                cell.set(cell.get() + 1);
            }
        } else {
            let flow = &mut subscriber.flows[place];
            match flow.saw(stamp.sequence) {
                Arrival::InOrder => {}
                Arrival::Late => self.tally.reordered += 1,
                Arrival::Duplicate => {
                    self.tally.duplicated += 1;
                    return;
                }
            }
            if let Some(cell) = self.board.next.get(subscriber.id * self.shape.pubs + place) {
                cell.set(flow.next());
            }
        }
        self.tally.arrived += 1;
        match self.shape.pace {
            Pace::Open(_) => self.tally.latency(stamp.at, now),
            Pace::Closed => {
                if self.board.missing[id].take() == 1 {
                    self.tally.latency(stamp.at, now);
                }
            }
            Pace::Window(_) => {
                if stamp.sequence.is_multiple_of(SAMPLED) {
                    self.tally.latency(stamp.at, now);
                }
            }
        }
    }

    fn pong(&mut self, tag: usize, now: u64, _out: &mut Vec<u8>) {
        let Some(index) = tag.checked_sub(self.subscribers.len()) else {
            return;
        };
        let publisher = &mut self.publishers[index];
        if let Some(at) = publisher.pings.pop_front() {
            self.tally.arrived += 1;
            if at > 0 {
                self.tally.latency(at, now);
            }
        }
    }

    fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }

    fn conclude(&mut self, _net: &mut Net) -> LastWords {
        let mut lost = 0;
        if self.shape.queue {
            if self.shape.subs > 0 {
                let seen =
                    |publisher: &Publisher| self.board.seen[publisher.id].lost(publisher.sent);
                lost = self.publishers.iter().map(seen).sum();
            }
        } else {
            for subscriber in &self.subscribers {
                let first = subscriber.id / self.shape.subs * self.shape.pubs;
                for (place, flow) in subscriber.flows.iter().enumerate() {
                    lost += flow.lost(self.board.sent[first + place].get());
                }
            }
        }
        LastWords {
            lost,
            ..LastWords::default()
        }
    }
}
