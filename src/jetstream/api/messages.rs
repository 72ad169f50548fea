//! Requests about single messages, and reads that wait for the disk.

use std::collections::VecDeque;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::direct::{self, DirectGet, Progress};
use super::dispatch::{Handled, Outcome, OwnedRequest};
use super::request::{self, MessageDeleteRequest, MessageGetRequest};
use super::response;
use crate::jetstream::JetStream;
use crate::jetstream::bus::{Bus, Incoming};
use crate::jetstream::entry::Entry;
use crate::jetstream::error::{ApiError, ErrorCode};
use crate::jetstream::node::Parts;
use crate::jetstream::time::Time;
use crate::store::{Disk, Fetch, Filter, FilterCursor, Log, Stored};

/// A read that was begun.
#[derive(Debug)]
pub(in crate::jetstream) enum Read {
    /// It waits for a completion of the disk.
    Direct(DirectGet),
    /// It can go on in the next turn.
    Ready(DirectGet),
    Message {
        request: OwnedRequest,
        sequence: u64,
        no_header: bool,
    },
}

impl Read {
    /// Whether it can go on without an event.
    pub fn is_runnable(&self) -> bool {
        matches!(self, Self::Ready(_))
    }
}

#[derive(Serialize)]
struct Message<'a> {
    subject: &'a str,
    seq: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    hdrs: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<String>,
    time: Time,
}

fn message_body(request: &OwnedRequest, stored: &Stored<'_>, no_header: bool) -> Vec<u8> {
    let encode = |bytes: &[u8]| (!bytes.is_empty()).then(|| STANDARD.encode(bytes));
    let mut body = response::Body::new(request.endpoint);
    body.field(
        "message",
        &Message {
            subject: &String::from_utf8_lossy(stored.subject),
            seq: stored.sequence,
            hdrs: encode(stored.header).filter(|_| !no_header),
            data: encode(stored.payload),
            time: Time::from_unix_ns(stored.unix_ns),
        },
    );
    body.finish()
}

/// The sequence of the message that a request asks for.
fn wanted(asked: &MessageGetRequest, log: &Log) -> Option<u64> {
    if !asked.last_by_subj.is_empty() {
        return direct::last_on(log, asked.last_by_subj.as_bytes());
    }
    let from = match asked.start_time {
        Some(time) => log.sequence_at_time(time.unix_ns()),
        None => asked.seq,
    };
    if !asked.next_by_subj.is_empty() {
        let filter = Filter::new(&[&asked.next_by_subj]);
        return log.next_matching(&mut FilterCursor::new(filter), from);
    }
    if asked.start_time.is_some() {
        return log.next(from);
    }
    Some(asked.seq)
}

fn check(asked: &MessageGetRequest) -> Result<(), ApiError> {
    let has_last = !asked.last_by_subj.is_empty();
    let has_next = !asked.next_by_subj.is_empty();
    let has_time = asked.start_time.is_some();
    let is_empty = asked.seq == 0 && !has_last && !has_next && !has_time;
    let is_batch = asked.batch != 0 || asked.max_bytes != 0 || !asked.multi_last.is_empty();
    let is_bad = (asked.seq > 0 && (has_last || has_time)) || (has_last && (has_next || has_time));
    if is_empty || is_batch || is_bad {
        return Err(ErrorCode::BadRequest.into());
    }
    Ok(())
}

impl JetStream {
    pub(in crate::jetstream) fn message_get(
        &mut self,
        bus: &mut dyn Bus,
        disk: &mut dyn Disk,
        request: &OwnedRequest,
    ) -> Handled {
        if request.payload.is_empty() {
            return Err(ErrorCode::BadRequest.into());
        }
        let asked: MessageGetRequest =
            request::parse(&request.payload, "JSApiMsgGetRequest", self.settings.strict)?;
        check(&asked)?;
        let (slot, _) = self.find(request)?;
        let (entry, parts) = self
            .split(slot, bus, disk)
            .ok_or(ErrorCode::StreamNotFound)?;
        let stream = entry
            .stream
            .as_deref_mut()
            .ok_or(ErrorCode::StreamNotFound)?;
        let log = stream.log_mut();
        let sequence = wanted(&asked, log).ok_or(ErrorCode::NoMessageFound)?;
        match log.get(sequence, parts.disk) {
            Fetch::Message(stored) => {
                let body = message_body(request, &stored, asked.no_hdr);
                Ok(Outcome::Answer(body))
            }
            Fetch::Loading => {
                entry.reads.push_back(Read::Message {
                    request: request.clone(),
                    sequence,
                    no_header: asked.no_hdr,
                });
                self.touch(slot);
                Ok(Outcome::Elsewhere)
            }
            Fetch::Missing => Err(ErrorCode::NoMessageFound.into()),
            Fetch::Damaged => Err(ErrorCode::StreamGeneral.with("message is damaged")),
        }
    }

    pub(in crate::jetstream) fn message_delete(
        &mut self,
        bus: &mut dyn Bus,
        disk: &mut dyn Disk,
        request: &OwnedRequest,
    ) -> Handled {
        if request.payload.is_empty() {
            return Err(ErrorCode::BadRequest.into());
        }
        let asked: MessageDeleteRequest = request::parse(
            &request.payload,
            "JSApiMsgDeleteRequest",
            self.settings.strict,
        )?;
        let (slot, _) = self.find(request)?;
        let (entry, mut parts) = self
            .split(slot, bus, disk)
            .ok_or(ErrorCode::StreamNotFound)?;
        entry
            .with_stream(&mut parts, |stream, cx| {
                stream.delete_message(cx, asked.seq, !asked.no_erase)
            })
            .ok_or(ErrorCode::StreamNotFound)??;
        self.touch(slot);
        self.hold_removal(request, slot, response::success(request.endpoint))
    }

    /// Sends answers to reads whose messages came from the disk.
    pub(in crate::jetstream) fn answer_reads(&mut self, bus: &mut dyn Bus, slot: u32) {
        let Some(Some(entry)) = self.entries.get_mut(slot as usize) else {
            return;
        };
        for (request, answer) in std::mem::take(&mut entry.answers) {
            match answer {
                Ok(body) => self.respond(bus, &request, &body),
                Err(error) => self.respond_error(bus, &request, &error),
            }
        }
    }
}

impl Entry {
    /// A direct get; `false` only if the stream is not there.
    pub fn direct_get(
        &mut self,
        parts: &mut Parts<'_>,
        message: &Incoming<'_>,
        subject: Option<&[u8]>,
    ) -> bool {
        let Some(stream) = self.stream.as_deref_mut() else {
            return false;
        };
        if let Some(mut get) = direct::start(message, subject, stream.log(), parts.bus) {
            let mut budget = DIRECT_AT_ONCE;
            let progress = get.proceed(
                self.account,
                &self.name,
                stream.log_mut(),
                parts.bus,
                parts.disk,
                &mut budget,
            );
            if let Some(read) = kept(get, progress) {
                self.reads.push_back(read);
            }
        }
        true
    }

    /// Goes on with reads.
    pub fn proceed_reads(&mut self, parts: &mut Parts<'_>, budget: usize) {
        let Some(stream) = self.stream.as_deref_mut() else {
            return;
        };
        let mut budget = budget;
        let mut kept_reads = VecDeque::with_capacity(self.reads.len());
        for read in self.reads.drain(..) {
            match read {
                Read::Direct(mut get) | Read::Ready(mut get) => {
                    let progress = get.proceed(
                        self.account,
                        &self.name,
                        stream.log_mut(),
                        parts.bus,
                        parts.disk,
                        &mut budget,
                    );
                    kept_reads.extend(kept(get, progress));
                }
                Read::Message {
                    request,
                    sequence,
                    no_header,
                } => {
                    let answer = match stream.log_mut().get(sequence, parts.disk) {
                        Fetch::Message(stored) => Ok(message_body(&request, &stored, no_header)),
                        Fetch::Missing => Err(ErrorCode::NoMessageFound.into()),
                        Fetch::Damaged => Err(ErrorCode::StreamGeneral.with("message is damaged")),
                        Fetch::Loading => {
                            kept_reads.push_back(Read::Message {
                                request,
                                sequence,
                                no_header,
                            });
                            continue;
                        }
                    };
                    self.answers.push((request, answer));
                }
            }
        }
        self.reads = kept_reads;
    }
}

/// Messages that a direct get sends as soon as it comes.
const DIRECT_AT_ONCE: usize = 16;

fn kept(get: DirectGet, progress: Progress) -> Option<Read> {
    match progress {
        Progress::Done => None,
        Progress::Loading => Some(Read::Direct(get)),
        Progress::Budget => Some(Read::Ready(get)),
    }
}
