//! Copies of stored messages on other subjects.

use super::config::Republish;
use super::limits::Record;
use crate::jetstream::bus::{Bus, Outgoing};
use crate::jetstream::time::Time;
use crate::protocol::headers::EMPTY_BLOCK;
use crate::protocol::number::push_decimal;
use crate::subject::Transform;

/// Publishes copies as `republish` says.
#[derive(Debug)]
pub struct Republisher {
    transform: Option<Transform>,
    headers_only: bool,
    stream: String,
    /// Memory for subjects and headers, reused.
    subject: Vec<u8>,
    header: Vec<u8>,
}

impl Republisher {
    /// `None` if source and destination make no transform.
    pub fn new(republish: &Republish, stream: &str) -> Option<Self> {
        let transform = match republish.dest.as_str() {
            "" => None,
            dest => Some(Transform::new(republish.src.as_bytes(), dest.as_bytes()).ok()?),
        };
        Some(Self {
            transform,
            headers_only: republish.headers_only,
            stream: stream.to_owned(),
            subject: Vec::new(),
            header: Vec::new(),
        })
    }

    /// Publishes a copy of a message; `previous` is the sequence before it on its subject.
    pub(super) fn publish(
        &mut self,
        bus: &mut dyn Bus,
        account: u16,
        record: &Record<'_>,
        sequence: u64,
        previous: u64,
    ) {
        self.subject.clear();
        let Some(transform) = &self.transform else {
            return;
        };
        if !transform.apply(record.subject, bus.random(), &mut self.subject) {
            return;
        }
        let header = &mut self.header;
        header.clear();
        let own = match record.header {
            block if block.ends_with(b"\r\n\r\n") => block,
            _ => EMPTY_BLOCK,
        };
        header.extend_from_slice(&own[..own.len() - 2]);
        let mut field = |name: &str, write: &dyn Fn(&mut Vec<u8>)| {
            header.extend_from_slice(name.as_bytes());
            header.extend_from_slice(b": ");
            write(header);
            header.extend_from_slice(b"\r\n");
        };
        field("Nats-Stream", &|out| {
            out.extend_from_slice(self.stream.as_bytes());
        });
        field("Nats-Subject", &|out| out.extend_from_slice(record.subject));
        field("Nats-Sequence", &|out| push_decimal(out, sequence as usize));
        field("Nats-Time-Stamp", &|out| {
            Time::from_unix_ns(record.unix_ns).push(out);
        });
        field("Nats-Last-Sequence", &|out| {
            push_decimal(out, previous as usize);
        });
        if self.headers_only {
            field("Nats-Msg-Size", &|out| {
                push_decimal(out, record.payload.len());
            });
        }
        header.extend_from_slice(b"\r\n");
        let copy = Outgoing {
            header,
            payload: if self.headers_only {
                b""
            } else {
                record.payload
            },
            ..Outgoing::plain(&self.subject, b"")
        };
        // A copy that nobody wants is no loss.
        let _ = bus.publish(account, &copy);
    }
}
