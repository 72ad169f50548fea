//! Publish acknowledgements: their text, and those that wait for the disk.

use std::collections::VecDeque;

use super::quoted::push_json_text;
use crate::jetstream::bus::{Bus, Outgoing};
use crate::jetstream::error::ApiError;
use crate::protocol::{go_json, number::push_decimal};
use crate::store::{Log, Mark};

/// Renders acknowledgements of one stream. What is the same in all is made once.
#[derive(Debug)]
pub struct AckWriter {
    /// `{"stream":"S","seq":`, with the domain if there is one.
    start: Vec<u8>,
    /// `"stream":"S","seq":0}`.
    failed: Vec<u8>,
}

impl AckWriter {
    pub fn new(stream: &str, domain: Option<&str>) -> Self {
        let mut start = b"{\"stream\":".to_vec();
        push_json_text(&mut start, stream);
        let mut failed = start[1..].to_vec();
        failed.extend_from_slice(b",\"seq\":0}");
        if let Some(domain) = domain {
            start.extend_from_slice(b",\"domain\":");
            push_json_text(&mut start, domain);
        }
        start.extend_from_slice(b",\"seq\":");
        Self { start, failed }
    }

    /// `{"stream":"S","seq":1}` with `extra` before the brace.
    pub fn push(&self, out: &mut Vec<u8>, sequence: u64, extra: &[u8]) {
        out.extend_from_slice(&self.start);
        push_decimal(out, sequence as usize);
        out.extend_from_slice(extra);
        out.push(b'}');
    }

    /// `{"error":{...},"stream":"S","seq":0}`.
    pub fn push_error(&self, out: &mut Vec<u8>, error: &ApiError) {
        out.extend_from_slice(b"{\"error\":");
        // An error always serializes.
        let _ = go_json::append(out, error);
        out.push(b',');
        out.extend_from_slice(&self.failed);
    }
}

/// What a duplicate's acknowledgement has behind the sequence, blank included.
pub const DUPLICATE: &[u8] = b",\"duplicate\": true";

#[derive(Debug)]
struct Waiting {
    mark: Mark,
    sequence: u64,
    reply: usize,
    extra: usize,
    kind: Kind,
}

/// What is sent when the mark is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Ack,
    /// A body of its own.
    Body,
}

/// Acknowledgements in the order of their messages, until the log has reached their marks.
#[derive(Debug, Default)]
pub struct WaitingAcks {
    waiting: VecDeque<Waiting>,
    /// Reply subjects and extras of those that wait, one behind the other.
    texts: Vec<u8>,
    /// Where those of the first begin.
    start: usize,
}

/// Texts below this are not moved to the front.
const MOVE_BYTES: usize = 64 * 1024;

impl WaitingAcks {
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Adds an acknowledgement of `sequence`.
    pub fn push(&mut self, mark: Mark, sequence: u64, reply: &[u8], extra: &[u8]) {
        self.add(mark, sequence, reply, extra, Kind::Ack);
    }

    /// Adds an answer with a body of its own.
    pub fn push_body(&mut self, mark: Mark, reply: &[u8], body: &[u8]) {
        self.add(mark, 0, reply, body, Kind::Body);
    }

    fn add(&mut self, mark: Mark, sequence: u64, reply: &[u8], extra: &[u8], kind: Kind) {
        self.texts.extend_from_slice(reply);
        self.texts.extend_from_slice(extra);
        self.waiting.push_back(Waiting {
            mark,
            sequence,
            reply: reply.len(),
            extra: extra.len(),
            kind,
        });
    }

    /// Sends what the log has reached. `scratch` is memory for the texts.
    pub fn send(
        &mut self,
        log: &Log,
        writer: &AckWriter,
        account: u16,
        bus: &mut dyn Bus,
        scratch: &mut Vec<u8>,
    ) {
        while let Some(next) = self.waiting.front() {
            if !log.reached(next.mark) {
                break;
            }
            let behind_reply = self.start + next.reply;
            let end = behind_reply + next.extra;
            let reply = &self.texts[self.start..behind_reply];
            let extra = &self.texts[behind_reply..end];
            scratch.clear();
            match next.kind {
                Kind::Ack => writer.push(scratch, next.sequence, extra),
                Kind::Body => scratch.extend_from_slice(extra),
            }
            // Whoever is gone or behind has no use for it.
            let _ = bus.publish(account, &Outgoing::plain(reply, scratch));
            self.start = end;
            self.waiting.pop_front();
        }
        if self.waiting.is_empty() {
            self.texts.clear();
            self.start = 0;
        } else if self.start > MOVE_BYTES.max(self.texts.len() / 2) {
            self.texts.drain(..self.start);
            self.start = 0;
        }
    }

    /// Gives up all: their messages may not be durable.
    pub fn clear(&mut self) {
        self.waiting.clear();
        self.texts.clear();
        self.start = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jetstream::error::ErrorCode;

    /// Captured from nats-server 2.15.1.
    #[test]
    fn bodies_are_those_of_nats_server() {
        let text = |write: &dyn Fn(&mut Vec<u8>)| {
            let mut out = Vec::new();
            write(&mut out);
            String::from_utf8(out).unwrap()
        };
        let plain = AckWriter::new("ORDERS", None);
        assert_eq!(
            text(&|out| plain.push(out, 1, b"")),
            r#"{"stream":"ORDERS","seq":1}"#
        );
        assert_eq!(
            text(&|out| plain.push(out, 2, DUPLICATE)),
            r#"{"stream":"ORDERS","seq":2,"duplicate": true}"#
        );
        let error = ErrorCode::StreamWrongLastSequence.with(2);
        let expected = r#"{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 2"},"stream":"ORDERS","seq":0}"#;
        assert_eq!(text(&|out| plain.push_error(out, &error)), expected);
        let domain = AckWriter::new("A", Some("dom"));
        assert_eq!(
            text(&|out| domain.push(out, 1, b",\"val\":\"1\"")),
            r#"{"stream":"A","domain":"dom","seq":1,"val":"1"}"#
        );
        let error = ErrorCode::StreamNotMatch.into();
        assert!(
            text(&|out| domain.push_error(out, &error)).ends_with(r#"},"stream":"A","seq":0}"#)
        );
    }
}
