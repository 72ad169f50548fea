//! A stream as a sequence of chunks.
//!
//! Chunks go to the requester's subject, each with a reply subject on which it is acknowledged;
//! no more than a window of bytes is under way. A part of a chunk at the end has no reply subject.
//! The end is an empty message with a status.

use serde::Serialize;

use super::archive::{Writer, put_message};
use super::dispatch::{Handled, Outcome, OwnedRequest};
use super::request::{self, SnapshotRequest};
use super::response;
use crate::jetstream::JetStream;
use crate::jetstream::advisory::{self, Client, Transfer};
use crate::jetstream::bus::{Bus, Delivery, Incoming, Kind, Outgoing, Token};
use crate::jetstream::entry::Entry;
use crate::jetstream::error::ErrorCode;
use crate::jetstream::node::Parts;
use crate::jetstream::stream::info::StreamState;
use crate::jetstream::stream::validate::is_valid_subject;
use crate::jetstream::time::Time;
use crate::store::{Disk, Fetch};
use crate::subject::is_literal;

/// Bytes of a chunk if the request does not say, and what it may say.
pub const CHUNK: usize = 128 * 1024;
const CHUNK_MIN: usize = 1024;
const CHUNK_MAX: usize = 1024 * 1024;
/// Bytes under way if the request does not say, and what it may say.
pub const WINDOW: usize = 8 * 1024 * 1024;
const WINDOW_MIN: usize = 1024;
const WINDOW_MAX: usize = 32 * 1024 * 1024;
/// Nanoseconds without an acknowledgement after which a snapshot is given up.
const STALLED_NS: u64 = 5_000_000_000;
/// Nanoseconds that a requester may take to subscribe after it was answered; tools do that late.
/// Their subscription for all answers matches too, but what comes by it is lost on them.
const INTEREST_NS: u64 = 2_000_000_000;
/// How often it is looked whether it did.
const INTEREST_POLL_NS: u64 = 2_000_000;
/// Bytes of messages in one file of the archive.
const FILE: usize = 256 * 1024;

const END: &[u8] = b"NATS/1.0 204\r\n\r\n";
const NO_FLOW: &[u8] = b"NATS/1.0 408 No Flow Response\r\n\r\n";
const NO_INTEREST: &[u8] = b"NATS/1.0 408 No Interest\r\n\r\n";

/// Snapshots of one stream that are being sent.
#[derive(Default)]
pub(in crate::jetstream) struct Snapshots {
    running: Vec<Snapshot>,
    next_number: u32,
    /// Sending stopped because of a limit of this turn.
    has_backlog: bool,
}

struct Snapshot {
    number: u32,
    deliver: Vec<u8>,
    /// Subject of acknowledgements, without the numbers of the chunk.
    ack: String,
    chunk: usize,
    window: usize,
    with_consumers: bool,
    writer: Writer,
    stage: Stage,
    /// Messages that are not in a file of the archive yet.
    file: Vec<u8>,
    files: u64,
    chunks: u64,
    unacknowledged: usize,
    /// When something was sent or acknowledged, in nanoseconds of the monotonic clock.
    last_ns: u64,
    /// Nobody listened yet: until when that is waited for, and when it is looked at next.
    awaited: Option<(u64, u64)>,
    start: Time,
    request: OwnedRequest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Config,
    /// From this sequence on, up to the second.
    Messages(u64, u64),
    Consumers,
    Done,
}

/// What `end.json` says.
#[derive(Serialize)]
struct End {
    last_seq: u64,
}

#[derive(Serialize)]
struct Shown<'a> {
    config: &'a crate::jetstream::stream::StreamConfig,
    state: &'a StreamState,
}

impl Snapshots {
    pub fn next_deadline(&self) -> Option<u64> {
        let due = |one: &Snapshot| match one.awaited {
            Some((_, look_at)) => look_at,
            None => one.last_ns + STALLED_NS,
        };
        self.running.iter().map(due).min()
    }

    pub fn has_backlog(&self) -> bool {
        self.has_backlog
    }
}

fn bounded(asked: i64, default: usize, min: usize, max: usize) -> usize {
    match usize::try_from(asked) {
        Ok(0) | Err(_) => default,
        Ok(asked) => asked.clamp(min, max),
    }
}

impl JetStream {
    pub(in crate::jetstream) fn stream_snapshot(
        &mut self,
        bus: &mut dyn Bus,
        disk: &mut dyn Disk,
        request: &OwnedRequest,
    ) -> Handled {
        if request.payload.is_empty() {
            return Err(ErrorCode::BadRequest.into());
        }
        let asked: SnapshotRequest = request::parse(
            &request.payload,
            "JSApiStreamSnapshotRequest",
            self.settings.strict,
        )?;
        if !is_valid_subject(&asked.deliver_subject)
            || !is_literal(asked.deliver_subject.as_bytes())
        {
            return Err(ErrorCode::SnapshotDeliverSubjectInvalid.into());
        }
        let (slot, entry) = self.find(request)?;
        let stream = entry.stream.as_deref().ok_or(ErrorCode::StreamNotFound)?;
        let state = stream.state(entry.consumers.len() as u64, false);
        let mut body = response::Body::new(request.endpoint);
        body.fields(&Shown {
            config: stream.config(),
            state: &state,
        });
        self.respond(bus, request, &body.finish());
        let suffix = format!("STREAM.SNAPSHOT_CREATE.{}", request.stream());
        self.tell_transfer(bus, request, &suffix, "snapshot_create", |transfer| {
            transfer.state = Some(&state);
        });
        let id = advisory::unique_id(bus);
        if let Some((entry, mut parts)) = self.split(slot, bus, disk) {
            entry.start_snapshot(&mut parts, request, &asked, &id);
        }
        self.touch(slot);
        Ok(Outcome::Elsewhere)
    }

    /// Publishes an advisory about a snapshot or a restore.
    pub(in crate::jetstream) fn tell_transfer<'s>(
        &self,
        bus: &mut dyn Bus,
        request: &OwnedRequest,
        suffix: &str,
        kind: &str,
        fill: impl FnOnce(&mut Transfer<'_, &'s StreamState>),
    ) {
        let name = self.accounts.name(request.account);
        tell_transfer(bus, request, suffix, kind, name, &self.settings, fill);
    }
}

fn tell_transfer<'s>(
    bus: &mut dyn Bus,
    request: &OwnedRequest,
    suffix: &str,
    kind: &str,
    account_name: &str,
    settings: &crate::jetstream::settings::JetStreamSettings,
    fill: impl FnOnce(&mut Transfer<'_, &'s StreamState>),
) {
    if !advisory::is_wanted(bus, request.account, suffix) {
        return;
    }
    let info = bus.client(request.origin);
    let mut transfer = Transfer {
        stream: request.stream(),
        state: None,
        start: None,
        end: None,
        bytes: None,
        client: Client::new(info.as_ref(), account_name, &settings.server_name),
        domain: settings.domain.as_deref(),
    };
    fill(&mut transfer);
    advisory::publish(bus, request.account, suffix, kind, transfer);
}

impl Entry {
    fn start_snapshot(
        &mut self,
        parts: &mut Parts<'_>,
        request: &OwnedRequest,
        asked: &SnapshotRequest,
        id: &str,
    ) {
        let number = self.snapshots.next_number;
        self.snapshots.next_number = number.wrapping_add(1);
        let ack = format!("$JS.SNAPSHOT.ACK.{}.{id}", self.name);
        let token = Token::new(Kind::Snapshot, self.slot, number);
        parts
            .bus
            .subscribe(self.account, format!("{ack}.>").as_bytes(), token);
        let now = parts.bus.now();
        self.snapshots.running.push(Snapshot {
            number,
            deliver: asked.deliver_subject.clone().into_bytes(),
            ack,
            chunk: bounded(asked.chunk_size, CHUNK, CHUNK_MIN, CHUNK_MAX),
            window: bounded(asked.window_size, WINDOW, WINDOW_MIN, WINDOW_MAX),
            with_consumers: !asked.no_consumers,
            writer: Writer::new(),
            stage: Stage::Config,
            file: Vec::new(),
            files: 0,
            chunks: 0,
            unacknowledged: 0,
            last_ns: now.mono_ns,
            awaited: Some((now.mono_ns + INTEREST_NS, now.mono_ns)),
            start: Time::from_unix_ns(now.unix_ns),
            request: request.clone(),
        });
    }

    /// A chunk arrived: its size is the last token but one.
    pub fn snapshot_acknowledged(
        &mut self,
        parts: &mut Parts<'_>,
        number: u32,
        message: &Incoming<'_>,
    ) {
        let now = parts.bus.now().mono_ns;
        let size = message.subject.rsplit(|&b| b == b'.').nth(1);
        let size = size
            .and_then(|size| std::str::from_utf8(size).ok())
            .and_then(|size| size.parse::<usize>().ok());
        let running = &mut self.snapshots.running;
        if let (Some(size), Some(one)) = (size, running.iter_mut().find(|s| s.number == number)) {
            one.unacknowledged = one.unacknowledged.saturating_sub(size);
            one.last_ns = now;
        }
    }

    /// Gives up snapshots whose requesters are silent.
    pub fn tick_snapshots(&mut self, parts: &mut Parts<'_>) {
        let now = parts.bus.now().mono_ns;
        let stalled: Vec<u32> = self
            .snapshots
            .running
            .iter()
            .filter(|one| now >= one.last_ns + STALLED_NS)
            .map(|one| one.number)
            .collect();
        for number in stalled {
            self.end_snapshot(parts, number, NO_FLOW);
        }
    }

    /// Sends what may be sent.
    pub fn proceed_snapshots(&mut self, parts: &mut Parts<'_>) {
        self.snapshots.has_backlog = false;
        for at in (0..self.snapshots.running.len()).rev() {
            if let Some(status) = self.proceed_snapshot(parts, at) {
                let number = self.snapshots.running[at].number;
                self.end_snapshot(parts, number, status);
            }
        }
    }

    /// Sends of one snapshot; gives the status when it is over.
    fn proceed_snapshot(&mut self, parts: &mut Parts<'_>, at: usize) -> Option<&'static [u8]> {
        let one = &mut self.snapshots.running[at];
        if let Some((until, look_at)) = &mut one.awaited {
            let now = parts.bus.now().mono_ns;
            if parts.bus.is_subscribed(self.account, &one.deliver) || now >= *until {
                one.awaited = None;
                one.last_ns = now;
            } else {
                *look_at = now + INTEREST_POLL_NS;
                return None;
            }
        }
        loop {
            let one = &mut self.snapshots.running[at];
            if one.unacknowledged >= one.window {
                return None;
            }
            if one.writer.len() < one.chunk && one.stage != Stage::Done {
                if !self.fill_snapshot(parts, at) {
                    return None;
                }
                continue;
            }
            let piece = one.writer.take(one.chunk);
            if piece.is_empty() {
                return Some(END);
            }
            let is_whole = piece.len() == one.chunk;
            let reply = if is_whole {
                one.chunks += 1;
                one.unacknowledged += piece.len();
                format!("{}.{}.{}", one.ack, piece.len(), one.chunks)
            } else {
                String::new()
            };
            one.last_ns = parts.bus.now().mono_ns;
            let message = Outgoing {
                to: &one.deliver,
                subject: &one.deliver,
                reply: reply.as_bytes(),
                header: b"",
                payload: &piece,
            };
            match parts.bus.publish(self.account, &message) {
                Delivery::Nobody => return Some(NO_INTEREST),
                Delivery::Sent => {}
                Delivery::Congested => {
                    self.snapshots.has_backlog = true;
                    return None;
                }
            }
        }
    }

    /// Adds to the archive; `false` if the next message must be read first.
    fn fill_snapshot(&mut self, parts: &mut Parts<'_>, at: usize) -> bool {
        let one = &mut self.snapshots.running[at];
        let Some(stream) = self.stream.as_deref_mut() else {
            return false;
        };
        match one.stage {
            Stage::Config => {
                let config = response::json(stream.config());
                one.writer.file("stream.json", &config);
                let log = stream.log();
                one.stage = Stage::Messages(log.first_sequence(), log.last_sequence());
            }
            Stage::Messages(next, last) => {
                let sequence = stream.log().next(next).filter(|&sequence| sequence <= last);
                if let Some(sequence) = sequence {
                    let wake = stream.log().wake(sequence);
                    match stream.log_mut().get(sequence, parts.disk) {
                        Fetch::Message(stored) => put_message(&mut one.file, &stored, wake),
                        Fetch::Loading => return false,
                        // What cannot be read is missing from the copy, too.
                        Fetch::Missing | Fetch::Damaged => {}
                    }
                    one.stage = Stage::Messages(sequence + 1, last);
                }
                if one.file.len() >= FILE || (sequence.is_none() && !one.file.is_empty()) {
                    one.files += 1;
                    let file = std::mem::take(&mut one.file);
                    one.writer
                        .file(&format!("messages/{:08}", one.files), &file);
                }
                if sequence.is_none() {
                    let end = response::json(&End { last_seq: last });
                    one.writer.file("end.json", &end);
                    one.stage = Stage::Consumers;
                }
            }
            Stage::Consumers => {
                if one.with_consumers {
                    for (name, slot) in self.consumers.names() {
                        if let Some(state) = self.consumers.export(slot) {
                            one.writer.file(&format!("consumers/{name}"), &state);
                        }
                    }
                }
                one.writer.end();
                one.stage = Stage::Done;
            }
            Stage::Done => {}
        }
        true
    }

    fn end_snapshot(&mut self, parts: &mut Parts<'_>, number: u32, status: &[u8]) {
        let running = &mut self.snapshots.running;
        let Some(at) = running.iter().position(|one| one.number == number) else {
            return;
        };
        let one = running.remove(at);
        let token = Token::new(Kind::Snapshot, self.slot, number);
        let pattern = format!("{}.>", one.ack);
        parts
            .bus
            .unsubscribe(self.account, pattern.as_bytes(), token);
        let _ = parts
            .bus
            .publish(self.account, &Outgoing::status(&one.deliver, status));
        let end = Time::from_unix_ns(parts.bus.now().unix_ns);
        let suffix = format!("STREAM.SNAPSHOT_COMPLETE.{}", self.name);
        tell_transfer(
            parts.bus,
            &one.request,
            &suffix,
            "snapshot_complete",
            &self.account_name,
            parts.settings,
            |transfer| {
                transfer.start = Some(one.start);
                transfer.end = Some(end);
            },
        );
    }

    /// Ends all snapshots of a stream that goes.
    pub fn drop_snapshots(&mut self, parts: &mut Parts<'_>) {
        while let Some(one) = self.snapshots.running.first() {
            let number = one.number;
            self.end_snapshot(parts, number, b"NATS/1.0 500 stream deleted\r\n\r\n");
        }
    }
}
