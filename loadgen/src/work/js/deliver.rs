//! The connections of `js consume` on one thread.

use super::consume::{Ack, Board, Mode, Setting, Source};
use crate::connection::net::{ConnId, Net};
use crate::connection::protocol::{Msg, number, subscribe};
use crate::engine::{LastWords, Load, Share, Tally};
use crate::error::Error;
use crate::payload::{Checker, Stamp, Template};
use crate::schedule::Schedule;
use crate::sequence::{Arrival, Tracker};
use crate::work::{BATCH_MAX, MAX_UNSENT, ONLY_SID};
use serde_json::json;
use std::io::Write;
use std::sync::Arc;

/// A connection that consumes. Its tag is its place; publishers follow.
struct Consumer {
    /// Of all consuming connections.
    id: usize,
    conn: ConnId,
    /// What is left of pull requests.
    wanted: u64,
    /// What it saw of each publisher, where no other connection shares it.
    flows: Vec<Tracker>,
    /// Of an ordered consumer: how often it was made, the next consumer
    /// sequence, and the last stream sequence.
    generation: u64,
    next: u64,
    last: u64,
}

struct Publisher {
    id: usize,
    conn: ConnId,
    template: Template,
    sent: u64,
}

pub struct ConsumeLoad {
    setting: Setting,
    board: Arc<Board>,
    consumers: Vec<Consumer>,
    publishers: Vec<Publisher>,
    schedule: Option<Schedule>,
    checker: Checker,
    /// The body of a pull request.
    pull: String,
    first_thread: bool,
    tally: Tally,
}

/// The numbers in the reply subject of a delivery:
/// `$JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>`,
/// with domain and account hash before the stream in the newer form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Delivery {
    delivered: u64,
    stream_sequence: u64,
    consumer_sequence: u64,
}

impl Delivery {
    fn parse(reply: &[u8]) -> Option<Delivery> {
        let rest = reply.strip_prefix(b"$JS.ACK.")?;
        let count = memchr::memchr_iter(b'.', rest).count() + 1;
        let skipped = if count >= 9 { 4 } else { 2 };
        let mut tokens = rest.split(|&byte| byte == b'.').skip(skipped);
        let mut next = || number(tokens.next()?);
        Some(Delivery {
            delivered: next()?,
            stream_sequence: next()?,
            consumer_sequence: next()?,
        })
    }
}

impl ConsumeLoad {
    pub fn new(share: Share, setting: Setting, board: Arc<Board>) -> ConsumeLoad {
        let options = &setting.options;
        let (schedule, publishers) = match options.source {
            Source::Live { pattern, conns } => {
                let own: Vec<usize> = share.of(conns).collect();
                let publishers = own.iter().map(|&id| Publisher {
                    id,
                    conn: 0,
                    template: Template::new(&setting.stream.subject_of(id), options.size),
                    sent: 0,
                });
                let publishers = publishers.collect();
                (Some(Schedule::new(pattern, conns, own)), publishers)
            }
            Source::Filled(_) | Source::Found => (None, Vec::new()),
        };
        let consumers = share.of(options.conns).map(|id| Consumer {
            id,
            conn: 0,
            wanted: 0,
            flows: board.sent.iter().map(|_| Tracker::default()).collect(),
            generation: 0,
            next: 1,
            last: 0,
        });
        ConsumeLoad {
            consumers: consumers.collect(),
            publishers,
            schedule,
            checker: Checker::new(options.size),
            pull: json!({"batch": options.batch, "expires": options.expires_ns}).to_string(),
            first_thread: share.thread == 0,
            setting,
            board,
            tally: Tally::default(),
        }
    }

    /// Whether several connections get parts of the same sequence.
    fn shared(&self) -> bool {
        self.setting.options.mode != Mode::Ordered && self.setting.options.conns > 1
    }

    /// Asks for more when half of what was asked for has come.
    fn pull_more(&mut self, place: usize, out: &mut Vec<u8>) {
        let batch = self.setting.options.batch;
        let consumer = &mut self.consumers[place];
        while consumer.wanted <= batch / 2 {
            consumer.wanted += batch;
            let (stream, name) = (&self.setting.stream.name, &self.setting.consumer);
            let reply = format!("{}.{}", self.setting.inbox, consumer.id);
            let (body, size) = (&self.pull, self.pull.len());
            // Writing to a vector cannot fail.
            let _ = write!(
                out,
                "PUB $JS.API.CONSUMER.MSG.NEXT.{stream}.{name} {reply} {size}\r\n{body}\r\n"
            );
        }
    }

    /// A message with a status instead of content.
    fn status(&mut self, place: usize, status: u16, msg: &Msg<'_>, out: &mut Vec<u8>) {
        match status {
            // Flow control and idle heartbeats.
            100 => {
                let stalled = header(msg.headers, b"Nats-Consumer-Stalled:");
                if let Some(subject) = msg.reply.or(stalled) {
                    out.extend_from_slice(b"PUB ");
                    out.extend_from_slice(subject);
                    out.extend_from_slice(b" 0\r\n\r\n");
                }
            }
            404 | 408 | 409 => {
                let left = header(msg.headers, b"Nats-Pending-Messages:").and_then(number);
                let consumer = &mut self.consumers[place];
                consumer.wanted = consumer
                    .wanted
                    .saturating_sub(left.unwrap_or(consumer.wanted));
                if status == 409 {
                    let text = first_line(msg.headers);
                    self.board
                        .fault
                        .get_or_init(|| format!("pull request ended: {text}"));
                }
            }
            status => {
                self.board.fault.get_or_init(|| match status {
                    503 => "503: the consumer does not exist".into(),
                    _ => format!("the server answered {}", first_line(msg.headers)),
                });
            }
        }
    }

    /// Whether a message goes on from where an ordered consumer is. It is made
    /// anew after a gap.
    fn in_order(
        &mut self,
        place: usize,
        delivery: Delivery,
        msg: &Msg<'_>,
        out: &mut Vec<u8>,
    ) -> bool {
        let consumer = &mut self.consumers[place];
        if msg.sid != ordered_sid(consumer.generation) {
            return false;
        }
        if delivery.consumer_sequence == consumer.next {
            consumer.next += 1;
            consumer.last = delivery.stream_sequence;
            return true;
        }
        let _ = write!(out, "UNSUB {}\r\n", ordered_sid(consumer.generation));
        consumer.generation += 1;
        consumer.next = 1;
        let subject = self
            .setting
            .ordered_subject(consumer.id, consumer.generation);
        subscribe(out, &subject, None, ordered_sid(consumer.generation));
        self.board.recreated.add(1);
        let name = format!(
            "{}_{}_{}",
            self.setting.consumer, consumer.id, consumer.generation
        );
        let (request, body) = self.setting.ordered(
            &name,
            consumer.id,
            consumer.generation,
            Some(consumer.last + 1),
        );
        let reply = format!("{}.{}.api", self.setting.inbox, consumer.id);
        let _ = write!(
            out,
            "PUB $JS.API.{request} {reply} {}\r\n{body}\r\n",
            body.len()
        );
        false
    }

    /// Takes note of a message of source `id`.
    fn count(&mut self, place: usize, id: usize, sequence: u64) -> Option<()> {
        if self.shared() {
            if !self.board.seen.get(id)?.saw(sequence) {
                self.tally.duplicated += 1;
                return None;
            }
            return Some(());
        }
        match self.consumers[place].flows.get_mut(id)?.saw(sequence) {
            Arrival::InOrder => {}
            Arrival::Late => self.tally.reordered += 1,
            Arrival::Duplicate => {
                self.tally.duplicated += 1;
                return None;
            }
        }
        Some(())
    }

    fn data(&mut self, place: usize, now: u64, msg: &Msg<'_>, out: &mut Vec<u8>) {
        let delivery = msg.reply.and_then(Delivery::parse);
        let Some(delivery) = delivery else {
            // Answers to requests for a new ordered consumer have none.
            if msg.subject.ends_with(b".api") {
                if memchr::memmem::find(msg.payload, b"\"error\"").is_some() {
                    let text = String::from_utf8_lossy(msg.payload).into_owned();
                    self.board.fault.get_or_init(|| text);
                }
            } else {
                self.tally.damaged += 1;
            }
            return;
        };
        if self.setting.options.mode == Mode::Ordered && !self.in_order(place, delivery, msg, out) {
            return;
        }
        self.tally.received(msg.payload);
        if self.setting.options.mode != Mode::Ordered
            && self.setting.options.ack == Ack::Explicit
            && let Some(reply) = msg.reply
        {
            out.extend_from_slice(b"PUB ");
            out.extend_from_slice(reply);
            out.extend_from_slice(b" 4\r\n+ACK\r\n");
        }
        let (id, sequence, at) = match self.setting.options.source {
            Source::Found => {
                let first = self.setting.stream.first_sequence;
                (0, delivery.stream_sequence.wrapping_sub(first), None)
            }
            Source::Live { .. } | Source::Filled(_) => {
                let Some(stamp) = self.checker.stamp(msg.payload, now) else {
                    self.tally.damaged += 1;
                    return;
                };
                let sent = self.board.sent.get(usize::from(stamp.source));
                if sent.is_none_or(|sent| stamp.sequence >= sent.get()) {
                    self.tally.damaged += 1;
                    return;
                }
                (usize::from(stamp.source), stamp.sequence, Some(stamp.at))
            }
        };
        if self.count(place, id, sequence).is_none() {
            return;
        }
        self.tally.arrived += 1;
        let consumed = self.board.consumed.add(1) + 1;
        if self.setting.total.is_some_and(|total| consumed >= total) {
            self.tally.exhausted = true;
        }
        if let (Some(at), None) = (at, self.setting.total) {
            self.tally.latency(at, now);
        }
    }
}

/// Sid of the subscription of an ordered consumer that was made anew
/// `generation` times.
fn ordered_sid(generation: u64) -> u64 {
    ONLY_SID + 1 + generation
}

/// The value of a header.
fn header<'a>(headers: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let at = memchr::memmem::find(headers, name)? + name.len();
    let rest = &headers[at..];
    let end = memchr::memchr(b'\r', rest)?;
    Some(rest[..end].trim_ascii())
}

fn first_line(headers: &[u8]) -> String {
    let end = memchr::memchr(b'\r', headers).unwrap_or(headers.len());
    String::from_utf8_lossy(&headers[..end]).into_owned()
}

impl Load for ConsumeLoad {
    fn open(&mut self, net: &mut Net) -> Result<(), Error> {
        for place in 0..self.consumers.len() {
            self.consumers[place].conn = net.connect(place)?;
        }
        let first = self.consumers.len();
        for place in 0..self.publishers.len() {
            self.publishers[place].conn = net.connect(first + place)?;
        }
        Ok(())
    }

    /// Subscribes now and not earlier: what is there begins to come at once.
    fn start(&mut self, net: &mut Net, from: u64) -> Result<(), Error> {
        let inbox = self.setting.inbox.clone();
        for place in 0..self.consumers.len() {
            let consumer = &self.consumers[place];
            let (id, conn) = (consumer.id, consumer.conn);
            let out = net.out(conn);
            match self.setting.options.mode {
                Mode::Pull => {
                    subscribe(out, &format!("{inbox}.{id}"), None, ONLY_SID);
                    self.pull_more(place, net.out(conn));
                }
                Mode::Push => {
                    let group = (self.setting.options.conns > 1).then_some("loadgen");
                    subscribe(out, &format!("{inbox}.push"), group, ONLY_SID);
                }
                Mode::Ordered => {
                    // The server waits for interest in this very subject: a
                    // wildcard does not count.
                    let subject = self.setting.ordered_subject(id, 0);
                    subscribe(out, &subject, None, ordered_sid(0));
                    subscribe(out, &format!("{inbox}.{id}.api"), None, ONLY_SID);
                }
            }
        }
        if let Some(schedule) = &mut self.schedule {
            schedule.start(from);
        }
        if let (Some(total), true) = (self.setting.total, self.first_thread) {
            self.tally.awaited = total;
            self.tally.exhausted = total == 0;
        }
        Ok(())
    }

    fn publish(&mut self, net: &mut Net, now: u64) -> Result<(), Error> {
        if self.setting.options.mode == Mode::Pull {
            // Requests that ended are followed by new ones here.
            for place in 0..self.consumers.len() {
                let consumer = &self.consumers[place];
                if consumer.wanted <= self.setting.options.batch / 2 {
                    self.pull_more(place, net.out(self.consumers[place].conn));
                }
            }
        }
        for _ in 0..BATCH_MAX {
            let Some(schedule) = &mut self.schedule else {
                break;
            };
            let (due, place) = (schedule.due(), schedule.sender());
            if due > now || due >= self.tally.until {
                break;
            }
            let publisher = &mut self.publishers[place];
            if net.unsent(publisher.conn) >= MAX_UNSENT {
                break;
            }
            schedule.advance();
            self.tally.lag(due, now);
            self.tally.sent += 1;
            self.tally.awaited += self.setting.copies();
            let stamp = Stamp {
                source: publisher.id as u16,
                sequence: publisher.sent,
                at: due,
            };
            publisher.sent += 1;
            self.board.sent[publisher.id].set(publisher.sent);
            publisher.template.render(net.out(publisher.conn), stamp);
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

    fn finish(&mut self, _net: &mut Net) -> Result<(), Error> {
        if self.setting.total.is_some() {
            // What is left in the stream is not under way.
            self.tally.awaited = self.tally.arrived;
        }
        Ok(())
    }

    #[inline]
    fn message(&mut self, tag: usize, now: u64, msg: &Msg<'_>, out: &mut Vec<u8>) {
        if tag >= self.consumers.len() {
            return;
        }
        if let Some(status) = msg.status() {
            self.status(tag, status, msg, out);
            return;
        }
        self.data(tag, now, msg, out);
        if self.setting.options.mode == Mode::Pull {
            let consumer = &mut self.consumers[tag];
            consumer.wanted = consumer.wanted.saturating_sub(1);
            // While messages are to come: those on schedule all, others in time.
            if self.schedule.is_some() || self.setting.total.is_none() || now < self.tally.until {
                self.pull_more(tag, out);
            }
        }
    }

    fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }

    fn conclude(&mut self, _net: &mut Net) -> LastWords {
        let mut lost = 0;
        let complete = self.setting.total.is_none();
        if self.shared() {
            if complete {
                let missing = |own: &Publisher| self.board.seen[own.id].lost(own.sent);
                lost = self.publishers.iter().map(missing).sum();
            }
        } else {
            for consumer in &self.consumers {
                for (flow, sent) in consumer.flows.iter().zip(&self.board.sent) {
                    // Of what was there before, only gaps are known to be lost.
                    let until = if complete { sent.get() } else { flow.next() };
                    lost += flow.lost(until);
                }
            }
        }
        LastWords {
            lost,
            ..LastWords::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reply_subjects_tell_sequences() {
        let expected = Delivery {
            delivered: 1,
            stream_sequence: 42,
            consumer_sequence: 7,
        };
        for reply in [
            &b"$JS.ACK.S.C.1.42.7.1700000000.5"[..],
            b"$JS.ACK._.hash.S.C.1.42.7.1700000000.5",
            b"$JS.ACK._.hash.S.C.1.42.7.1700000000.5.random",
        ] {
            assert_eq!(Delivery::parse(reply), Some(expected));
        }
        assert_eq!(Delivery::parse(b"_INBOX.1"), None);
        assert_eq!(Delivery::parse(b"$JS.ACK.S.C.1"), None);
    }

    #[test]
    fn headers_of_statuses_are_read() {
        let block = b"NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 12\r\n\r\n";
        assert_eq!(header(block, b"Nats-Pending-Messages:"), Some(&b"12"[..]));
        assert_eq!(header(block, b"Nats-Pending-Bytes:"), None);
        assert_eq!(first_line(block), "NATS/1.0 408 Request Timeout");
    }
}
