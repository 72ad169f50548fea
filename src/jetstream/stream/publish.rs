//! A message from a publisher: what is checked, in nats-server's order, and what is answered.

use super::ack::DUPLICATE;
use super::config::Retention;
use super::context::{Context, Room};
use super::counter::Counter;
use super::duration::{TimeToLive, push_duration};
use super::fast_batch;
use super::headers::{self, PublishHeaders, name};
use super::limits::Record;
use super::schedule::Schedule;
use super::{Storage, Stream};
use crate::jetstream::bus::{Incoming, Outgoing};
use crate::jetstream::error::{ApiError, ErrorCode};
use crate::protocol::headers as blocks;
use crate::protocol::number::push_decimal;
use crate::protocol::quote::push_quoted;
use crate::store::{AppendError, Fetch, Filter};
use crate::subject::is_literal;

/// Largest header block, in bytes (10097).
pub const HEADER_MAX: usize = u16::MAX as usize;

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Done,
    /// It needs something that is being read: to be tried again after a completion.
    Wait,
}

/// A message, its subject transformed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Publish<'a> {
    pub subject: &'a [u8],
    pub reply: &'a [u8],
    pub header: &'a [u8],
    pub payload: &'a [u8],
}

/// What a message's headers ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rollup {
    /// Older messages of its subject go.
    Subject,
    /// All older messages go.
    All,
}

/// A message that passed the checks.
#[derive(Debug, Default)]
pub(super) struct Checked {
    pub rollup: Option<Rollup>,
    pub ttl: Option<TimeToLive>,
    pub increment: Option<Counter>,
    pub schedule: Option<Schedule>,
}

/// The value of a counter, and what its last message says of the origins it is summed from.
pub(super) type CounterState = (Counter, Option<Vec<u8>>);

/// Why a message is not stored.
#[derive(Debug)]
pub(super) enum Stop {
    Refused(ApiError),
    /// It was stored already, under this sequence.
    Duplicate(u64),
}

impl From<ApiError> for Stop {
    fn from(error: ApiError) -> Self {
        Self::Refused(error)
    }
}

impl From<ErrorCode> for Stop {
    fn from(code: ErrorCode) -> Self {
        Self::Refused(code.into())
    }
}

impl Stream {
    /// A message on one of the stream's subjects.
    pub fn publish(&mut self, cx: &mut Context<'_>, message: &Incoming<'_>) {
        let may_go = self.started && self.backlog.is_empty();
        if may_go && self.ingest(cx, message) == Progress::Done {
            return;
        }
        let settings = cx.settings;
        let queued = self.backlog.push(
            message,
            settings.max_buffered_messages,
            settings.max_buffered_bytes,
        );
        if !queued {
            self.refuse_overload(cx, message.reply);
        }
    }

    /// Takes up messages that waited for something to be read.
    pub(super) fn drain_backlog(&mut self, cx: &mut Context<'_>) {
        while let Some(message) = self.backlog.pop() {
            if self.ingest(cx, &message.view()) == Progress::Wait {
                self.backlog.unpop(message);
                break;
            }
        }
    }

    fn ingest(&mut self, cx: &mut Context<'_>, message: &Incoming<'_>) -> Progress {
        if message.reply.ends_with(fast_batch::SUFFIX) {
            return self.ingest_fast(cx, message);
        }
        match self.accept(cx, message) {
            Ok(progress) => progress,
            Err(error) => {
                self.refuse(cx, message.reply, &error);
                Progress::Done
            }
        }
    }

    fn accept(
        &mut self,
        cx: &mut Context<'_>,
        message: &Incoming<'_>,
    ) -> Result<Progress, ApiError> {
        if self.config.sealed {
            return Err(ErrorCode::StreamSealed.into());
        }
        let mut buffer = std::mem::take(&mut self.scratch_subject);
        buffer.clear();
        let publish = Publish {
            subject: self.transformed(cx, message.subject, &mut buffer),
            reply: message.reply,
            header: message.header,
            payload: message.payload,
        };
        let accepted = self.accept_publish(cx, &publish);
        self.scratch_subject = buffer;
        accepted
    }

    /// The subject that a message published to `subject` is stored under.
    pub(super) fn transformed<'a>(
        &self,
        cx: &mut Context<'_>,
        subject: &'a [u8],
        buffer: &'a mut Vec<u8>,
    ) -> &'a [u8] {
        match &self.transform {
            Some(transform) if transform.apply(subject, cx.bus.random(), buffer) => buffer,
            _ => subject,
        }
    }

    fn accept_publish(
        &mut self,
        cx: &mut Context<'_>,
        publish: &Publish<'_>,
    ) -> Result<Progress, ApiError> {
        self.check_size(publish.header, publish.payload)?;
        if publish.header.is_empty() {
            if self.config.allow_msg_counter {
                return Err(ErrorCode::MessageIncrementMissing.into());
            }
            return self.commit(cx, publish, &PublishHeaders::default(), Checked::default());
        }
        let headers = PublishHeaders::parse(publish.header);
        if headers.batch_id.is_some() {
            return self.accept_batch(cx, publish, &headers);
        }
        match self.check(cx, publish, &headers) {
            Ok(checked) => self.commit(cx, publish, &headers, checked),
            Err(Stop::Refused(error)) => Err(error),
            Err(Stop::Duplicate(sequence)) => {
                self.acknowledge(cx, publish.reply, sequence, DUPLICATE);
                Ok(Progress::Done)
            }
        }
    }

    /// # Errors
    /// 10054 and 10097.
    pub(super) fn check_size(&self, header: &[u8], payload: &[u8]) -> Result<(), ApiError> {
        if let Ok(max) = usize::try_from(self.config.max_msg_size)
            && header.len() + payload.len() > max
        {
            return Err(ErrorCode::StreamMessageExceedsMaximum.into());
        }
        if header.len() > HEADER_MAX {
            return Err(ErrorCode::StreamHeaderExceedsMaximum.into());
        }
        Ok(())
    }

    pub(super) fn check(
        &mut self,
        cx: &mut Context<'_>,
        publish: &Publish<'_>,
        headers: &PublishHeaders<'_>,
    ) -> Result<Checked, Stop> {
        let increment = self.check_increment(headers, publish.payload)?;
        self.check_source(headers)?;
        self.check_expected(publish.subject, headers)?;
        let schedule = self.check_schedule(cx, publish.subject, publish.header, headers)?;
        if let Some(id) = headers.msg_id
            && let Some(sequence) = self.derived.window.find(id, cx.bus.now().unix_ns)
        {
            return Err(Stop::Duplicate(sequence));
        }
        if let Some(id) = headers.expected_last_msg_id
            && id != self.derived.last_msg_id
        {
            let last = String::from_utf8_lossy(&self.derived.last_msg_id);
            return Err(ErrorCode::StreamWrongLastMessageId.with(last).into());
        }
        Ok(Checked {
            rollup: match schedule {
                // A schedule takes the place of the one before.
                Some(_) => Some(Rollup::Subject),
                None => self.check_rollup(headers)?,
            },
            ttl: self.check_ttl(headers)?,
            increment,
            schedule,
        })
    }

    /// # Errors
    /// 10168 to 10171.
    pub(super) fn check_increment(
        &self,
        headers: &PublishHeaders<'_>,
        payload: &[u8],
    ) -> Result<Option<Counter>, ApiError> {
        let Some(text) = headers.increment else {
            if self.config.allow_msg_counter {
                return Err(ErrorCode::MessageIncrementMissing.into());
            }
            return Ok(None);
        };
        let conflicts = [
            headers.expected_stream,
            headers.expected_last_sequence,
            headers.expected_last_subject_sequence,
            headers.expected_last_subject_sequence_subject,
            headers.expected_last_msg_id,
            headers.rollup,
        ];
        let Some(increment) =
            Counter::parse(text).filter(|_| conflicts.iter().all(Option::is_none))
        else {
            return Err(ErrorCode::MessageIncrementInvalid.into());
        };
        if !self.config.allow_msg_counter {
            return Err(ErrorCode::MessageIncrementDisabled.into());
        }
        if !payload.is_empty() {
            return Err(ErrorCode::MessageIncrementPayload.into());
        }
        Ok(Some(increment))
    }

    /// # Errors
    /// 10227: only the server itself says where a message comes from.
    pub(super) fn check_source(&self, headers: &PublishHeaders<'_>) -> Result<(), ApiError> {
        match headers.stream_source {
            Some(_) => Err(ErrorCode::MessageStreamSourceInvalid.into()),
            None => Ok(()),
        }
    }

    fn check_expected(&self, subject: &[u8], headers: &PublishHeaders<'_>) -> Result<(), ApiError> {
        self.check_expected_stream(headers)?;
        if let Some(digits) = headers.expected_last_sequence {
            let last = self.log.last_sequence();
            if headers::sequence(digits) != Some(last) {
                return Err(ErrorCode::StreamWrongLastSequence.with(last));
            }
        }
        let of = headers.expected_last_subject_sequence_subject;
        match headers.expected_last_subject_sequence {
            Some(digits) => {
                let last = self.last_of(of.unwrap_or(subject));
                if headers::sequence(digits) != Some(last) {
                    return Err(ErrorCode::StreamWrongLastSequence.with(last));
                }
                Ok(())
            }
            None if of.is_some() => {
                Err(ErrorCode::StreamExpectedLastSequencePerSubjectInvalid.into())
            }
            None => Ok(()),
        }
    }

    /// # Errors
    /// 10060.
    pub(super) fn check_expected_stream(
        &self,
        headers: &PublishHeaders<'_>,
    ) -> Result<(), ApiError> {
        match headers.expected_stream {
            Some(name) if name != self.config.name.as_bytes() => {
                Err(ErrorCode::StreamNotMatch.into())
            }
            _ => Ok(()),
        }
    }

    /// The last sequence of a subject or pattern; 0 if there is none.
    pub(super) fn last_of(&self, subject: &[u8]) -> u64 {
        if is_literal(subject) {
            self.log.find_subject(subject).map_or(0, |state| state.last)
        } else {
            self.log
                .last_matching(&Filter::new(&[subject]), u64::MAX)
                .unwrap_or(0)
        }
    }

    /// # Errors
    /// 10111.
    pub(super) fn check_rollup(
        &self,
        headers: &PublishHeaders<'_>,
    ) -> Result<Option<Rollup>, ApiError> {
        let Some(value) = headers.rollup else {
            return Ok(None);
        };
        if !self.config.allow_rollup_hdrs || self.config.deny_purge {
            return Err(ErrorCode::StreamRollup.with("rollup not permitted"));
        }
        if value.eq_ignore_ascii_case(b"sub") {
            Ok(Some(Rollup::Subject))
        } else if value.eq_ignore_ascii_case(b"all") {
            Ok(Some(Rollup::All))
        } else {
            let mut text = b"rollup value invalid: ".to_vec();
            push_quoted(&mut text, value);
            Err(ErrorCode::StreamRollup.with(String::from_utf8_lossy(&text)))
        }
    }

    /// # Errors
    /// 10165 and 10166.
    pub(super) fn check_ttl(
        &self,
        headers: &PublishHeaders<'_>,
    ) -> Result<Option<TimeToLive>, ApiError> {
        let Some(value) = headers.ttl else {
            return Ok(None);
        };
        let Some(ttl) = TimeToLive::parse(value) else {
            return Err(ErrorCode::MessageTtlInvalid.into());
        };
        if !self.config.allow_msg_ttl {
            return Err(ErrorCode::MessageTtlDisabled.into());
        }
        Ok(Some(ttl))
    }

    /// Stores a checked message and answers.
    pub(super) fn commit(
        &mut self,
        cx: &mut Context<'_>,
        publish: &Publish<'_>,
        headers: &PublishHeaders<'_>,
        checked: Checked,
    ) -> Result<Progress, ApiError> {
        let Some(increment) = &checked.increment else {
            let sequence = self.commit_record(cx, publish, headers, &checked)?;
            self.acknowledge(cx, publish.reply, sequence, b"");
            return Ok(Progress::Done);
        };
        let Some((before, sources)) = self.counter_value(cx, publish.subject)? else {
            return Ok(Progress::Wait);
        };
        let mut payload = b"{\"val\":\"".to_vec();
        before.plus(increment).push(&mut payload);
        payload.extend_from_slice(b"\"}");
        let mut header = Vec::new();
        if let Some(sources) = &sources {
            let is_sources = |field: &[u8]| field == name::COUNTER_SOURCES.as_bytes();
            blocks::strip(publish.header, is_sources, &mut header);
            // A block in which a field was found ends in an empty line.
            let _ = blocks::append(&mut header, name::COUNTER_SOURCES, sources);
        }
        let counted = Publish {
            payload: &payload,
            header: match sources {
                Some(_) => &header,
                None => publish.header,
            },
            ..*publish
        };
        let sequence = self.commit_record(cx, &counted, headers, &checked)?;
        // The body without its braces is what the acknowledgement shows, too.
        let mut extra = vec![b','];
        extra.extend_from_slice(&payload[1..payload.len() - 1]);
        self.acknowledge(cx, publish.reply, sequence, &extra);
        Ok(Progress::Done)
    }

    /// The value of a subject's counter and what is known of its origins; `None` while it is
    /// being read.
    ///
    /// # Errors
    /// 10172: the last message is no counter.
    pub(super) fn counter_value(
        &mut self,
        cx: &mut Context<'_>,
        subject: &[u8],
    ) -> Result<Option<CounterState>, ApiError> {
        let Some(state) = self.log.find_subject(subject) else {
            return Ok(Some((Counter::default(), None)));
        };
        match self.log.get(state.last, cx.disk) {
            Fetch::Message(stored) => match Counter::from_payload(stored.payload) {
                Some(value) => {
                    let sources = blocks::get(stored.header, name::COUNTER_SOURCES.as_bytes());
                    Ok(Some((value, sources.map(<[u8]>::to_vec))))
                }
                None => Err(ErrorCode::MessageCounterBroken.into()),
            },
            Fetch::Loading => Ok(None),
            Fetch::Missing => Ok(Some((Counter::default(), None))),
            Fetch::Damaged => Err(ErrorCode::MessageCounterBroken.into()),
        }
    }

    /// Stores a message unless limits or lack of interest stand against it. Returns its sequence.
    pub(super) fn commit_record(
        &mut self,
        cx: &mut Context<'_>,
        publish: &Publish<'_>,
        headers: &PublishHeaders<'_>,
        checked: &Checked,
    ) -> Result<u64, ApiError> {
        let mut header_buffer = std::mem::take(&mut self.scratch_header);
        header_buffer.clear();
        let mut ttl = checked.ttl;
        let header = match (self.raised_ttl(ttl), &checked.schedule) {
            (Some(seconds), _) => {
                ttl = Some(TimeToLive::Seconds(seconds));
                rewrite_ttl(publish.header, seconds, &mut header_buffer);
                &header_buffer
            }
            (None, Some(_)) => {
                let is_rollup = |field: &[u8]| field == name::ROLLUP.as_bytes();
                blocks::strip(publish.header, is_rollup, &mut header_buffer);
                // A block in which a field was found ends in an empty line.
                let _ = blocks::append(&mut header_buffer, name::ROLLUP, b"sub");
                &header_buffer
            }
            (None, None) => publish.header,
        };
        let record = Record {
            sequence: None,
            unix_ns: self.next_time(cx),
            subject: publish.subject,
            header,
            payload: publish.payload,
            headers,
            ttl,
            rollup: checked.rollup,
            due: checked.schedule.as_ref().map(|schedule| schedule.next),
        };
        let stored = self.try_store(cx, &record);
        if let Ok(sequence) = stored {
            if checked.schedule.is_some() {
                self.arm(sequence);
            } else if headers.scheduler.is_some() {
                self.end_schedule(cx, headers);
            }
        }
        self.scratch_header = header_buffer;
        stored
    }

    pub(super) fn try_store(
        &mut self,
        cx: &mut Context<'_>,
        record: &Record<'_>,
    ) -> Result<u64, ApiError> {
        let size = self.log.accounted(
            record.subject.len(),
            record.header.len(),
            record.payload.len(),
        );
        if self.config.retention == Retention::Interest
            && record.due.is_none()
            && !cx.consumers.is_interested(record.subject)
        {
            return Ok(self.skip(record));
        }
        self.check_discard_new(record.subject, size, record.rollup)?;
        self.check_room(cx, size)?;
        self.store(cx, record)
            .map_err(|error| self.append_error(error))
    }

    /// # Errors
    /// 10002, 10028 and 10047.
    pub(super) fn check_room(&self, cx: &Context<'_>, size: u64) -> Result<(), ApiError> {
        let storage = self.config.storage;
        match (cx.usage.room(storage, size), storage) {
            (Room::Enough, _) => Ok(()),
            (Room::AccountFull, _) => Err(ErrorCode::AccountResourcesExceeded.into()),
            (Room::ServerFull, Storage::Memory) => Err(ErrorCode::MemoryResourcesExceeded.into()),
            (Room::ServerFull, Storage::File) => Err(ErrorCode::StorageResourcesExceeded.into()),
        }
    }

    /// Gives a sequence to a message that nobody is interested in.
    fn skip(&mut self, record: &Record<'_>) -> u64 {
        let sequence = self.log.last_sequence() + 1;
        self.log.skip_to(sequence);
        if record.header.is_empty() {
            self.derived.note_plain();
        } else {
            self.derived.note(sequence, record.unix_ns, record.headers);
            self.derived.forget(sequence);
        }
        sequence
    }

    pub(super) fn append_error(&self, error: AppendError) -> ApiError {
        match error {
            AppendError::TooLarge => ErrorCode::StreamMessageExceedsMaximum.into(),
            AppendError::Busy => ErrorCode::StreamTooManyRequests.into(),
            AppendError::Failed => match self.log.failure() {
                Some(failure) => ErrorCode::StreamStore.with(failure),
                None => ErrorCode::StreamStore.with(error),
            },
            AppendError::NoSpace | AppendError::Sequence => ErrorCode::StreamStore.with(error),
        }
    }

    /// The time of a message that is stored now: never before the last one's.
    pub(super) fn next_time(&self, cx: &Context<'_>) -> i64 {
        let now = cx.bus.now().unix_ns;
        match self.log.state().last_unix_ns {
            Some(last) => now.max(last),
            None => now,
        }
    }

    /// Seconds that a shorter time to live is raised to: what is to leave a marker lives as long
    /// as the marker.
    fn raised_ttl(&self, ttl: Option<TimeToLive>) -> Option<i64> {
        let marker = self.config.subject_delete_marker_ttl / 1_000_000_000;
        match ttl {
            Some(TimeToLive::Seconds(seconds)) if seconds < marker => Some(marker),
            _ => None,
        }
    }

    /// Answers that a message is stored, as soon as it is as durable as the stream promises.
    pub(super) fn acknowledge(
        &mut self,
        cx: &mut Context<'_>,
        reply: &[u8],
        sequence: u64,
        extra: &[u8],
    ) {
        if reply.is_empty() || self.config.no_ack {
            return;
        }
        let mark = self.mark();
        if self.waiting.is_empty() && self.log.reached(mark) {
            self.scratch.clear();
            self.ack_writer.push(&mut self.scratch, sequence, extra);
            let _ = cx
                .bus
                .publish(self.account, &Outgoing::plain(reply, &self.scratch));
        } else {
            self.waiting.push(mark, sequence, reply, extra);
        }
    }

    /// Answers that a message is not stored.
    pub(super) fn refuse(&mut self, cx: &mut Context<'_>, reply: &[u8], error: &ApiError) {
        if reply.is_empty() || self.config.no_ack {
            return;
        }
        self.scratch.clear();
        self.ack_writer.push_error(&mut self.scratch, error);
        let header: &[u8] = match error.code {
            ErrorCode::StreamTooManyRequests => b"NATS/1.0 429 Too Many Requests\r\n\r\n",
            _ => b"",
        };
        let answer = Outgoing {
            header,
            ..Outgoing::plain(reply, &self.scratch)
        };
        let _ = cx.bus.publish(self.account, &answer);
    }

    fn refuse_overload(&mut self, cx: &mut Context<'_>, reply: &[u8]) {
        self.refuse(cx, reply, &ErrorCode::StreamTooManyRequests.into());
    }
}

/// The header block with another time to live, at its end.
fn rewrite_ttl(header: &[u8], seconds: i64, out: &mut Vec<u8>) {
    blocks::strip(header, |field| field == name::TTL.as_bytes(), out);
    let mut value = Vec::new();
    push_decimal(&mut value, usize::try_from(seconds).unwrap_or(0));
    // A block in which a field was found ends in an empty line.
    let _ = blocks::append(out, name::TTL, &value);
}

/// The header block of a subject delete marker.
pub(super) fn marker_header(reason: &str, ttl_ns: i64) -> Vec<u8> {
    let mut header = Vec::new();
    let mut ttl = Vec::new();
    push_duration(&mut ttl, ttl_ns);
    // Appending to an empty block cannot fail.
    let _ = blocks::append(&mut header, name::MARKER_REASON, reason.as_bytes());
    let _ = blocks::append(&mut header, name::TTL, &ttl);
    let _ = blocks::append(&mut header, name::ROLLUP, b"sub");
    header
}
