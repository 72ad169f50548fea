//! Direct get: messages as they were stored, not wrapped in JSON.
//!
//! A get may have to wait for the disk; then it is kept and goes on after a completion. A batch
//! goes on in steps, so that a long one leaves room for others.

use super::request::MessageGetRequest;
use crate::jetstream::bus::{Bus, Delivery, Incoming, Outgoing};
use crate::jetstream::json;
use crate::jetstream::settings::API_LEVEL;
use crate::jetstream::time::Time;
use crate::protocol::headers;
use crate::store::{Disk, Fetch, Filter, FilterCursor, Log, Stored};

/// Subjects above which a get of the last messages of many is refused.
pub const MULTI_LAST_MAX: usize = 1_024;
/// Bytes of a batch whose request names no limit.
pub const BATCH_BYTES: usize = 64 * 1024 * 1024;

/// Statuses, as header blocks.
const EMPTY_REQUEST: &[u8] = b"NATS/1.0 408 Empty Request\r\n\r\n";
const MALFORMED_REQUEST: &[u8] = b"NATS/1.0 408 Malformed Request\r\n\r\n";
const BAD_REQUEST: &[u8] = b"NATS/1.0 408 Bad Request\r\n\r\n";
const NOT_FOUND: &[u8] = b"NATS/1.0 404 Message Not Found\r\n\r\n";
const NO_RESULTS: &[u8] = b"NATS/1.0 404 No Results\r\n\r\n";
const TOO_MANY: &[u8] = b"NATS/1.0 413 Too Many Results\r\n\r\n";
const REQUIRED_LEVEL: &[u8] = b"NATS/1.0 412 Required Api Level\r\n\r\n";
const UNREADABLE: &[u8] = b"NATS/1.0 500 message is damaged\r\n\r\n";

/// The header that names the API level a request needs.
pub const REQUIRED_LEVEL_HEADER: &[u8] = b"Nats-Required-Api-Level";

/// Whether this server has the API level that the request needs.
pub fn has_required_level(header: &[u8]) -> bool {
    if header.is_empty() {
        return true;
    }
    headers::get(header, REQUIRED_LEVEL_HEADER).is_none_or(|level| {
        std::str::from_utf8(level)
            .ok()
            .and_then(|text| text.trim().parse::<u32>().ok())
            .is_some_and(|level| level <= API_LEVEL)
    })
}

/// How far a get came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    Done,
    /// Go on after a completion of the disk.
    Loading,
    /// Go on in a later turn.
    Budget,
}

/// A get under way.
#[derive(Debug)]
pub struct DirectGet {
    reply: Vec<u8>,
    no_header: bool,
    source: Source,
}

#[derive(Debug)]
enum Source {
    /// One message.
    One(u64),
    /// Those that pass a filter, from a sequence on.
    Range {
        cursor: FilterCursor,
        next: u64,
        batch: Batch,
    },
    /// Some, by sequence, ascending; `at` is the next one.
    Listed {
        sequences: Vec<u64>,
        at: usize,
        up_to: u64,
        batch: Batch,
    },
}

#[derive(Debug)]
struct Batch {
    /// Messages that may still be sent.
    left: u64,
    bytes_max: usize,
    bytes: usize,
    /// Messages that follow.
    pending: u64,
    last_sequence: u64,
}

impl Batch {
    fn new(request: &MessageGetRequest, pending: u64) -> Self {
        Self {
            left: u64::try_from(request.batch).unwrap_or(0),
            bytes_max: usize::try_from(request.max_bytes)
                .ok()
                .filter(|&bytes| bytes > 0)
                .unwrap_or(BATCH_BYTES),
            bytes: 0,
            pending,
            last_sequence: 0,
        }
    }

    fn is_over(&self) -> bool {
        self.left == 0 || self.bytes >= self.bytes_max
    }
}

/// Reads a request on `$JS.API.DIRECT.GET.<stream>`, or on `.<stream>.<subject>` with `subject`.
/// Answers at once what needs no message.
pub fn start(
    message: &Incoming<'_>,
    subject: Option<&[u8]>,
    log: &Log,
    bus: &mut dyn Bus,
) -> Option<DirectGet> {
    if message.reply.is_empty() {
        return None;
    }
    match prepare(message, subject, log) {
        Ok(get) => Some(get),
        Err(status) => {
            let _ = bus.publish(message.account, &Outgoing::status(message.reply, status));
            None
        }
    }
}

fn prepare(
    message: &Incoming<'_>,
    subject: Option<&[u8]>,
    log: &Log,
) -> Result<DirectGet, &'static [u8]> {
    if !has_required_level(message.header) {
        return Err(REQUIRED_LEVEL);
    }
    let mut request = MessageGetRequest::default();
    json::decode(&mut request, message.payload, "JSApiMsgGetRequest", false)
        .map_err(|_| MALFORMED_REQUEST)?;
    let has_multi = !request.multi_last.is_empty();
    let get = |source| {
        Ok(DirectGet {
            reply: message.reply.to_vec(),
            // nats-server writes the headers of the last messages of many all the same.
            no_header: request.no_hdr && !has_multi,
            source,
        })
    };
    if let Some(subject) = subject {
        let only_no_hdr = MessageGetRequest {
            no_hdr: request.no_hdr,
            ..MessageGetRequest::default()
        };
        if request != only_no_hdr {
            return Err(BAD_REQUEST);
        }
        return get(Source::One(last_on(log, subject).ok_or(NOT_FOUND)?));
    }
    let has_last = !request.last_by_subj.is_empty();
    let has_next = !request.next_by_subj.is_empty();
    if request.seq == 0 && !has_last && !has_next && !has_multi && request.start_time.is_none() {
        return Err(EMPTY_REQUEST);
    }
    let is_bad = (request.seq > 0 && (has_last || request.start_time.is_some()))
        || (has_last && (request.start_time.is_some() || has_next || request.batch > 0))
        || (has_multi && (has_last || has_next))
        || (request.up_to_seq > 0 && request.up_to_time.is_some());
    if is_bad {
        return Err(BAD_REQUEST);
    }
    let from = match request.start_time {
        Some(time) => log.sequence_at_time(time.unix_ns()),
        None => request.seq,
    };
    if has_multi {
        let (sequences, up_to) = multi_last(&request, from, log)?;
        let mut batch = Batch::new(&request, sequences.len() as u64);
        if request.batch <= 0 {
            batch.left = u64::MAX;
        }
        return get(Source::Listed {
            sequences,
            at: 0,
            up_to,
            batch,
        });
    }
    if has_last {
        let sequence = last_on(log, request.last_by_subj.as_bytes()).ok_or(NOT_FOUND)?;
        return get(Source::One(sequence));
    }
    let filter = match has_next {
        true => Filter::new(&[&request.next_by_subj]),
        false => Filter::default(),
    };
    if request.batch != 0 {
        let pending = log.count_matching(&filter, from);
        if pending == 0 {
            return Err(NOT_FOUND);
        }
        return get(Source::Range {
            cursor: FilterCursor::new(filter),
            next: from,
            batch: Batch::new(&request, pending),
        });
    }
    if has_next || request.start_time.is_some() {
        let sequence = log.next_matching(&mut FilterCursor::new(filter), from);
        return get(Source::One(sequence.ok_or(NOT_FOUND)?));
    }
    get(Source::One(request.seq))
}

/// The last message that `subject`, which may be a pattern, matches.
pub fn last_on(log: &Log, subject: &[u8]) -> Option<u64> {
    if crate::subject::is_literal(subject) {
        return log.find_subject(subject).map(|state| state.last);
    }
    log.last_matching(&Filter::new(&[subject]), log.last_sequence())
}

fn multi_last(
    request: &MessageGetRequest,
    from: u64,
    log: &Log,
) -> Result<(Vec<u64>, u64), &'static [u8]> {
    let up_to = match request.up_to_time {
        Some(time) => log
            .sequence_at_time(time.unix_ns())
            .saturating_sub(1)
            .min(log.last_sequence()),
        None if request.up_to_seq > 0 => request.up_to_seq,
        None => log.last_sequence(),
    };
    if request.up_to_time.is_some() && up_to == 0 {
        return Err(NO_RESULTS);
    }
    let filter = Filter::new(&request.multi_last);
    let mut sequences = log.last_per_subject(&filter, up_to);
    if sequences.len() > MULTI_LAST_MAX {
        return Err(TOO_MANY);
    }
    sequences.retain(|&sequence| sequence >= from);
    if sequences.is_empty() {
        return Err(NO_RESULTS);
    }
    Ok((sequences, up_to))
}

impl DirectGet {
    /// Sends what can be sent now, at most `budget` messages.
    pub fn proceed(
        &mut self,
        account: u16,
        stream: &str,
        log: &mut Log,
        bus: &mut dyn Bus,
        disk: &mut dyn Disk,
        budget: &mut usize,
    ) -> Progress {
        let mut header = Vec::new();
        loop {
            if *budget == 0 {
                return Progress::Budget;
            }
            let Some(sequence) = self.next_sequence(log) else {
                self.send_end(account, bus);
                return Progress::Done;
            };
            *budget -= 1;
            let stored = match log.get(sequence, disk) {
                Fetch::Message(stored) => stored,
                Fetch::Loading => return Progress::Loading,
                found @ (Fetch::Missing | Fetch::Damaged) => {
                    let status = match found {
                        Fetch::Damaged => UNREADABLE,
                        _ => NOT_FOUND,
                    };
                    if matches!(self.source, Source::One(_)) || status == UNREADABLE {
                        let _ = bus.publish(account, &Outgoing::status(&self.reply, status));
                        return Progress::Done;
                    }
                    // It went between two steps of the batch.
                    self.pass(sequence, 0, 0);
                    continue;
                }
            };
            header.clear();
            if !self.no_header {
                self.put_header(&mut header, stream, &stored);
            }
            let delivery = bus.publish(
                account,
                &Outgoing {
                    to: &self.reply,
                    subject: &self.reply,
                    reply: b"",
                    header: &header,
                    payload: stored.payload,
                },
            );
            let bytes = stored.subject.len() + stored.header.len() + stored.payload.len();
            if matches!(self.source, Source::One(_)) {
                return Progress::Done;
            }
            self.pass(sequence, bytes, 1);
            match delivery {
                Delivery::Sent => {}
                Delivery::Congested => return Progress::Budget,
                // The requester is gone; the rest is for nobody.
                Delivery::Nobody => return Progress::Done,
            }
        }
    }

    fn next_sequence(&mut self, log: &Log) -> Option<u64> {
        match &mut self.source {
            Source::One(sequence) => Some(*sequence),
            Source::Range {
                cursor,
                next,
                batch,
            } => {
                if batch.is_over() {
                    return None;
                }
                let sequence = log.next_matching(cursor, *next)?;
                *next = sequence;
                Some(sequence)
            }
            Source::Listed {
                sequences,
                at,
                batch,
                ..
            } => {
                if batch.is_over() {
                    return None;
                }
                sequences.get(*at).copied()
            }
        }
    }

    /// Steps behind a message of a batch.
    fn pass(&mut self, sequence: u64, bytes: usize, sent: u64) {
        let no_header = self.no_header;
        let batch = match &mut self.source {
            Source::One(_) => return,
            Source::Range { next, batch, .. } => {
                *next = sequence + 1;
                batch
            }
            Source::Listed { at, batch, .. } => {
                *at += 1;
                batch
            }
        };
        batch.bytes += bytes;
        batch.left = batch.left.saturating_sub(sent);
        // As nats-server, which counts down while it writes headers.
        if !no_header || sent == 0 {
            batch.pending = batch.pending.saturating_sub(1);
        }
        if sent > 0 {
            batch.last_sequence = sequence;
        }
    }

    fn put_header(&self, out: &mut Vec<u8>, stream: &str, stored: &Stored<'_>) {
        match stored.header.strip_suffix(b"\r\n") {
            Some(open) if stored.header.ends_with(b"\r\n\r\n") => out.extend_from_slice(open),
            _ => out.extend_from_slice(b"NATS/1.0\r\n"),
        }
        put_field(out, "Nats-Stream", stream.as_bytes());
        put_field(out, "Nats-Subject", stored.subject);
        put_number(out, "Nats-Sequence", stored.sequence);
        out.extend_from_slice(b"Nats-Time-Stamp: ");
        Time::from_unix_ns(stored.unix_ns).push(out);
        out.extend_from_slice(b"\r\n");
        if let Source::Range { batch, .. } | Source::Listed { batch, .. } = &self.source {
            put_number(out, "Nats-Num-Pending", batch.pending.saturating_sub(1));
            put_number(out, "Nats-Last-Sequence", batch.last_sequence);
        }
        out.extend_from_slice(b"\r\n");
    }

    fn send_end(&self, account: u16, bus: &mut dyn Bus) {
        let (batch, up_to) = match &self.source {
            Source::One(_) => return,
            Source::Range { batch, .. } => (batch, None),
            Source::Listed { batch, up_to, .. } => (batch, Some(*up_to)),
        };
        let mut header = b"NATS/1.0 204 EOB\r\n".to_vec();
        put_number(&mut header, "Nats-Num-Pending", batch.pending);
        put_number(&mut header, "Nats-Last-Sequence", batch.last_sequence);
        if let Some(up_to) = up_to {
            put_number(&mut header, "Nats-UpTo-Sequence", up_to);
        }
        header.extend_from_slice(b"\r\n");
        let _ = bus.publish(account, &Outgoing::status(&self.reply, &header));
    }
}

fn put_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn put_number(out: &mut Vec<u8>, name: &str, value: u64) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    crate::protocol::number::push_decimal(out, value as usize);
    out.extend_from_slice(b"\r\n");
}
