//! `js pub`: messages into a stream, each acknowledged: one at a time, in a
//! window, or in atomic batches.

use super::api::Api;
use super::{Stream, StreamOptions};
use crate::connection::handshake::Target;
use crate::connection::net::{ConnId, Net};
use crate::connection::protocol::Msg;
use crate::engine::{LastWords, Load, Share, Tally, Work};
use crate::error::Error;
use crate::payload::{HEAD, Stamp, body};
use crate::result::{Pacing, Parameter, RunResult};
use crate::schedule::{Pattern, Schedule};
use crate::work::pending::Pending;
use crate::work::{
    BATCH_MAX, CHUNK, Cell, MAX_UNSENT, last_token, parameter, pattern_parameters, unique_subject,
};
use std::io::Write;
use std::sync::{Arc, OnceLock};

/// The window of `--sync`: the next message when the one before is stored.
pub const SYNC: u64 = 1;

/// Acknowledgements of all threads together.
#[derive(Default)]
struct Board {
    acknowledged: Cell,
    refused: Cell,
    /// The first reason.
    reason: OnceLock<String>,
}

pub struct Publish {
    pub options: StreamOptions,
    pub conns: usize,
    pub size: usize,
    /// A schedule; as fast as the window allows without one.
    pub pattern: Option<Pattern>,
    /// Messages of a connection without an acknowledgement, at most.
    pub window: u64,
    /// Messages of an atomic batch.
    pub batch: Option<u64>,
    stream: Stream,
    board: Arc<Board>,
}

impl Publish {
    pub fn new(
        options: StreamOptions,
        conns: usize,
        size: usize,
        pattern: Option<Pattern>,
        window: u64,
        batch: Option<u64>,
    ) -> Publish {
        Publish {
            options,
            conns,
            size,
            pattern,
            window: window.max(batch.unwrap_or(1)),
            batch,
            stream: Stream::default(),
            board: Arc::default(),
        }
    }
}

impl Work for Publish {
    fn title(&self) -> String {
        let how = match self.batch {
            Some(count) => format!("atomic batches of {count}"),
            None if self.window == SYNC => "one at a time".into(),
            None => format!("window {}", self.window),
        };
        format!("js pub by {}, {how}", self.conns)
    }

    fn pacing(&self) -> Pacing {
        match self.pattern {
            Some(_) => Pacing::OpenLoop,
            None if self.window == SYNC => Pacing::ClosedLoop,
            None => Pacing::AsFastAsItGoes,
        }
    }

    fn parameters(&self) -> Vec<Parameter> {
        let mut parameters = vec![parameter("size", format!("{} B", self.size))];
        parameters.extend(self.options.parameters());
        parameters.extend(self.pattern.iter().flat_map(pattern_parameters));
        parameters.push(parameter("window", self.window));
        if let Some(batch) = self.batch {
            parameters.push(parameter("batch", batch));
        }
        parameters
    }

    fn latency_measured(&self) -> &'static str {
        match self.pattern {
            Some(_) => "intended send time to acknowledgement",
            None => "send time to acknowledgement",
        }
    }

    fn pattern(&self) -> Option<Pattern> {
        self.pattern
    }

    fn connections(&self) -> usize {
        self.conns
    }

    fn prepare(&mut self, target: &Target) -> Result<(), Error> {
        self.stream = self.options.open(&mut Api::connect(target)?)?;
        Ok(())
    }

    fn load(&self, share: Share) -> Box<dyn Load> {
        let own: Vec<usize> = share.of(self.conns).collect();
        let inbox = format!("_INBOX.{}", unique_subject("ack"));
        let publishers = own.iter().map(|&id| Publisher {
            id,
            conn: 0,
            subject: self.stream.subject_of(id),
            inbox: format!("{inbox}.{id}"),
            pending: Pending::default(),
            lost: 0,
        });
        Box::new(PublishLoad {
            publishers: publishers.collect(),
            schedule: self
                .pattern
                .map(|pattern| Schedule::new(pattern, self.conns, own)),
            payload: body(self.size),
            window: self.window,
            batch: self.batch,
            board: Arc::clone(&self.board),
            tally: Tally::default(),
        })
    }

    fn conclude(&mut self, target: &Target, result: &mut RunResult) {
        if let Some(reason) = self.board.reason.get() {
            let count = self.board.refused.get();
            result.faults.push(format!(
                "{count} messages were not stored, the first: {reason}"
            ));
        }
        let acknowledged = self.board.acknowledged.get();
        match self.stream.count(target) {
            Ok(held) => {
                let stored = held.saturating_sub(self.stream.messages);
                if stored < acknowledged {
                    result.counts.lost += acknowledged - stored;
                    result.faults.push(format!(
                        "the stream has {stored} of {acknowledged} acknowledged messages"
                    ));
                } else {
                    result.notes.push(format!(
                        "the stream has all {acknowledged} acknowledged messages"
                    ));
                }
            }
            Err(error) => result.faults.push(error.to_string()),
        }
        if let Err(error) = self.stream.remove(target) {
            result.notes.push(format!("the stream stays: {error}"));
        }
    }
}

/// A connection. Its tag is its place.
struct Publisher {
    /// Of all publishers.
    id: usize,
    conn: ConnId,
    subject: String,
    /// Acknowledgements come to this subject with a number behind it.
    inbox: String,
    pending: Pending,
    lost: u64,
}

struct PublishLoad {
    publishers: Vec<Publisher>,
    schedule: Option<Schedule>,
    payload: Vec<u8>,
    window: u64,
    batch: Option<u64>,
    board: Arc<Board>,
    tally: Tally,
}

impl PublishLoad {
    /// Renders the next message of publisher `place`.
    fn send(&mut self, place: usize, at: u64, out: &mut Vec<u8>) {
        let publisher = &mut self.publishers[place];
        let sequence = publisher.pending.push(at);
        self.tally.sent += 1;
        self.tally.awaited += 1;
        if self.payload.len() >= HEAD {
            let stamp = Stamp {
                source: publisher.id as u16,
                sequence,
                at,
            };
            let head = stamp.encode(self.payload.len());
            self.payload[..HEAD].copy_from_slice(&head);
        }
        match self.batch {
            None => {
                let (subject, inbox, size) =
                    (&publisher.subject, &publisher.inbox, self.payload.len());
                // Writing to a vector cannot fail.
                let _ = write!(out, "PUB {subject} {inbox}.{sequence} {size}\r\n");
            }
            Some(size) => {
                let (batch, place) = (sequence / size, sequence % size);
                let commit = (place + 1 == size).then_some("1");
                publisher.batch_head(batch, place, commit, self.payload.len(), out);
            }
        }
        out.extend_from_slice(&self.payload);
        out.extend_from_slice(b"\r\n");
    }
}

impl Publisher {
    /// HPUB and the headers of message `place` of `batch`, from 0.
    fn batch_head(
        &self,
        batch: u64,
        place: u64,
        commit: Option<&str>,
        size: usize,
        out: &mut Vec<u8>,
    ) {
        let Publisher { subject, inbox, .. } = self;
        // The inbox is unique, and so is the batch: at most 64 characters.
        let name = inbox.trim_start_matches("_INBOX.loadgen.");
        let mut headers = format!(
            "NATS/1.0\r\nNats-Batch-Id: {name}-{batch}\r\nNats-Batch-Sequence: {}\r\n",
            place + 1
        );
        let mut reply = String::new();
        if let Some(commit) = commit {
            headers.push_str(&format!("Nats-Batch-Commit: {commit}\r\n"));
            reply = format!("{inbox}.{batch} ");
        }
        headers.push_str("\r\n");
        let _ = write!(
            out,
            "HPUB {subject} {reply}{} {}\r\n{headers}",
            headers.len(),
            headers.len() + size
        );
    }
}

impl Load for PublishLoad {
    fn open(&mut self, net: &mut Net) -> Result<(), Error> {
        let inboxes = self.publishers.iter().enumerate();
        let inboxes = inboxes.map(|(tag, own)| (tag, format!("{}.*", own.inbox), None));
        let ids = net.connect_subscribers(inboxes)?;
        for (publisher, id) in self.publishers.iter_mut().zip(ids) {
            publisher.conn = id;
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
        for _ in 0..BATCH_MAX {
            let Some(schedule) = &mut self.schedule else {
                break;
            };
            let (due, place) = (schedule.due(), schedule.sender());
            if due > now || due >= self.tally.until {
                return Ok(());
            }
            let publisher = &self.publishers[place];
            let conn = publisher.conn;
            if publisher.pending.span() >= self.window || net.unsent(conn) >= MAX_UNSENT {
                return Ok(());
            }
            schedule.advance();
            self.tally.lag(due, now);
            self.send(place, due, net.out(conn));
        }
        if self.schedule.is_some() || now >= self.tally.until {
            return Ok(());
        }
        for place in 0..self.publishers.len() {
            let conn = self.publishers[place].conn;
            let room = self.window - self.publishers[place].pending.span().min(self.window);
            // Whole batches only; and small windows are filled at once.
            let step = self.batch.unwrap_or(1);
            let mut left = room / step * step;
            while left > 0 && net.unsent(conn) < CHUNK {
                for _ in 0..step {
                    self.send(place, now, net.out(conn));
                }
                left -= step;
            }
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

    /// Commits the batches that are not full.
    fn finish(&mut self, net: &mut Net) -> Result<(), Error> {
        let Some(size) = self.batch else {
            return Ok(());
        };
        for publisher in &self.publishers {
            let (batch, place) = (
                publisher.pending.sent() / size,
                publisher.pending.sent() % size,
            );
            if place > 0 {
                let out = net.out(publisher.conn);
                publisher.batch_head(batch, place, Some("eob"), 0, out);
                out.extend_from_slice(b"\r\n");
            }
        }
        Ok(())
    }

    fn message(&mut self, tag: usize, now: u64, msg: &Msg<'_>, _out: &mut Vec<u8>) {
        let publisher = &mut self.publishers[tag];
        let Some(number) = last_token(msg.subject) else {
            self.tally.damaged += 1;
            return;
        };
        let size = self.batch.unwrap_or(1);
        let refused = msg.status().is_some() || is_error(msg.payload);
        let (mut settled, mut repeated) = (0, false);
        let from = number.saturating_mul(size);
        for sequence in from..from.saturating_add(size).min(publisher.pending.sent()) {
            match publisher.pending.settle(sequence) {
                Some(at) => {
                    settled += 1;
                    if !refused {
                        self.tally.latency(at, now);
                    }
                }
                None => repeated = true,
            }
        }
        self.tally.arrived += settled;
        if refused {
            publisher.lost += settled;
            self.board.refused.add(settled);
            self.board.reason.get_or_init(|| match msg.status() {
                Some(503) => "503, no stream takes the subject".into(),
                Some(status) => format!("status {status}"),
                None => String::from_utf8_lossy(msg.payload).into_owned(),
            });
            return;
        }
        if repeated || settled == 0 {
            self.tally.duplicated += 1;
        }
        self.tally.received += settled;
        self.tally.bytes += settled * self.payload.len() as u64;
        self.board.acknowledged.add(settled);
    }

    fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }

    fn conclude(&mut self, _net: &mut Net) -> LastWords {
        let missing = self.tally.awaited.saturating_sub(self.tally.arrived);
        let refused: u64 = self.publishers.iter().map(|own| own.lost).sum();
        LastWords {
            lost: missing + refused,
            ..LastWords::default()
        }
    }
}

/// Whether an acknowledgement says that nothing was stored. Errors stand at
/// the begin of it.
fn is_error(payload: &[u8]) -> bool {
    payload.starts_with(b"{\"error\":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_have_headers_and_the_last_one_a_reply() {
        let publisher = Publisher {
            id: 0,
            conn: 0,
            subject: "s.0".into(),
            inbox: "_INBOX.loadgen.ack.1-2.0".into(),
            pending: Pending::default(),
            lost: 0,
        };
        let mut out = Vec::new();
        publisher.batch_head(7, 0, None, 5, &mut out);
        let text = String::from_utf8(out.clone()).unwrap();
        let (line, headers) = text.split_once("\r\n").unwrap();
        assert_eq!(
            line,
            format!("HPUB s.0 {} {}", headers.len(), headers.len() + 5)
        );
        assert!(headers.contains("Nats-Batch-Id: ack.1-2.0-7\r\nNats-Batch-Sequence: 1\r\n"));
        out.clear();
        publisher.batch_head(7, 1, Some("1"), 5, &mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("HPUB s.0 _INBOX.loadgen.ack.1-2.0.7 "));
        assert!(text.contains("Nats-Batch-Commit: 1\r\n\r\n"));
    }

    #[test]
    fn errors_are_told_from_acknowledgements() {
        assert!(is_error(
            b"{\"error\":{\"code\":400},\"stream\":\"S\",\"seq\":0}"
        ));
        assert!(!is_error(b"{\"stream\":\"S\",\"seq\":1}"));
    }
}
