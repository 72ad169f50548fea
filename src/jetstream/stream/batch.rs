//! Atomic batches: messages that are held until the last one comes, then stored all or none.

use std::collections::{BTreeMap, BTreeSet};

use super::Stream;
use super::backlog::OwnedMessage;
use super::context::Context;
use super::event::{AbandonReason, StreamEvent};
use super::headers::{self, PublishHeaders, name};
use super::publish::{Checked, CounterState, Progress, Publish, Rollup};
use crate::jetstream::bus::{Incoming, Outgoing};
use crate::jetstream::error::{ApiError, ErrorCode};
use crate::protocol::headers as blocks;

/// Longest id of a batch, in bytes (10179).
pub const BATCH_ID_MAX: usize = 64;

#[derive(Debug)]
struct Batch {
    messages: Vec<OwnedMessage>,
    bytes: usize,
    /// Monotonic clock, in nanoseconds.
    deadline: u64,
}

/// Batches in progress.
#[derive(Debug, Default)]
pub struct Batches {
    by_id: BTreeMap<Vec<u8>, Batch>,
    /// Of all messages held.
    bytes: usize,
}

impl Batches {
    /// When the next batch is given up, in nanoseconds of the monotonic clock.
    pub fn next_deadline(&self) -> Option<u64> {
        self.by_id.values().map(|batch| batch.deadline).min()
    }
}

/// How a batch ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Commit {
    /// With this message.
    This,
    /// With the one before; this one is not stored.
    Before,
}

impl Stream {
    pub(super) fn accept_batch(
        &mut self,
        cx: &mut Context<'_>,
        publish: &Publish<'_>,
        headers: &PublishHeaders<'_>,
    ) -> Result<Progress, ApiError> {
        let id = headers.batch_id.unwrap_or_default();
        if !self.config.allow_atomic {
            return Err(ErrorCode::AtomicPublishDisabled.into());
        }
        if id.len() > BATCH_ID_MAX {
            return Err(ErrorCode::AtomicPublishInvalidBatchId.into());
        }
        let Some(sequence) = headers.batch_sequence.and_then(headers::sequence) else {
            return Err(ErrorCode::AtomicPublishMissingSequence.into());
        };
        let limits = &cx.settings.limits;
        if sequence > limits.batch_messages as u64 {
            self.abandon(cx, id, Some(AbandonReason::Large));
            return Err(ErrorCode::AtomicPublishTooLargeBatch.with(limits.batch_messages));
        }
        let commit = match headers.batch_commit {
            None => None,
            Some(b"1") => Some(Commit::This),
            Some(b"eob") => Some(Commit::Before),
            Some(_) => {
                self.abandon(cx, id, None);
                return Err(ErrorCode::AtomicPublishInvalidBatchCommit.into());
            }
        };
        self.join(cx, id, sequence, commit)?;
        if let Some(batch) = self.batches.by_id.get_mut(id) {
            batch.deadline = cx.bus.now().mono_ns + cx.settings.limits.batch_timeout_ns;
            if commit != Some(Commit::Before) {
                let message = OwnedMessage::new(&Incoming {
                    account: self.account,
                    subject: publish.subject,
                    reply: publish.reply,
                    header: publish.header,
                    payload: publish.payload,
                    origin: 0,
                });
                batch.bytes += message.bytes();
                self.batches.bytes += message.bytes();
                batch.messages.push(message);
            }
        }
        // nats-server bounds the number of messages only; memory is bounded as well here.
        if self.batches.bytes > cx.settings.max_buffered_bytes {
            self.abandon(cx, id, Some(AbandonReason::Large));
            return Err(ErrorCode::AtomicPublishTooManyInflight.into());
        }
        match commit {
            None => {
                if !publish.reply.is_empty() {
                    let _ = cx
                        .bus
                        .publish(self.account, &Outgoing::plain(publish.reply, b""));
                }
                Ok(Progress::Done)
            }
            Some(commit) => self.commit_batch(cx, id, commit, publish.reply),
        }
    }

    /// Finds the batch that a message belongs to, or begins one.
    fn join(
        &mut self,
        cx: &mut Context<'_>,
        id: &[u8],
        sequence: u64,
        commit: Option<Commit>,
    ) -> Result<(), ApiError> {
        let known = self.batches.by_id.get(id);
        let expected = known.map_or(1, |batch| batch.messages.len() as u64 + 1);
        let is_alone = expected == 1 && commit == Some(Commit::Before);
        if sequence != expected || is_alone {
            let is_there = known.is_some() || (is_alone && sequence == 1);
            self.abandon(cx, id, is_there.then_some(AbandonReason::Incomplete));
            return Err(ErrorCode::AtomicPublishIncomplete.into());
        }
        if known.is_none() {
            if self.batches.by_id.len() >= cx.settings.limits.batches_per_stream
                || !cx.usage.begin_batch()
            {
                return Err(ErrorCode::AtomicPublishTooManyInflight.into());
            }
            let batch = Batch {
                messages: Vec::new(),
                bytes: 0,
                deadline: u64::MAX,
            };
            self.batches.by_id.insert(id.to_vec(), batch);
        }
        Ok(())
    }

    /// Gives up a batch, and tells so for a reason.
    fn abandon(&mut self, cx: &mut Context<'_>, id: &[u8], reason: Option<AbandonReason>) {
        let was_there = match self.batches.by_id.remove(id) {
            Some(batch) => {
                self.batches.bytes -= batch.bytes;
                cx.usage.end_batch();
                true
            }
            None => false,
        };
        let tells = was_there || reason == Some(AbandonReason::Incomplete);
        if let Some(reason) = reason.filter(|_| tells) {
            self.events.push(StreamEvent::BatchAbandoned {
                batch: String::from_utf8_lossy(id).into_owned(),
                reason,
            });
        }
    }

    /// Gives up batches that wait for too long.
    pub(super) fn expire_batches(&mut self, cx: &mut Context<'_>) {
        let now = cx.bus.now().mono_ns;
        let late: Vec<Vec<u8>> = self
            .batches
            .by_id
            .iter()
            .filter(|(_, batch)| batch.deadline <= now)
            .map(|(id, _)| id.clone())
            .collect();
        for id in late {
            self.abandon(cx, &id, Some(AbandonReason::Timeout));
        }
    }

    pub(super) fn drop_batches(&mut self, cx: &mut Context<'_>) {
        while self.batches.by_id.pop_first().is_some() {
            cx.usage.end_batch();
        }
        self.batches.bytes = 0;
    }

    fn commit_batch(
        &mut self,
        cx: &mut Context<'_>,
        id: &[u8],
        commit: Commit,
        reply: &[u8],
    ) -> Result<Progress, ApiError> {
        let Some(mut batch) = self.batches.by_id.remove(id) else {
            return Err(ErrorCode::AtomicPublishIncomplete.into());
        };
        self.batches.bytes -= batch.bytes;
        cx.usage.end_batch();
        let checked = self.check_batch(cx, &batch)?;
        let Some(mut counters) = self.batch_counters(cx, &batch, &checked)? else {
            // The last message comes again when the counters are read.
            if commit == Commit::This
                && let Some(message) = batch.messages.pop()
            {
                batch.bytes -= message.bytes();
            }
            self.batches.bytes += batch.bytes;
            cx.usage.begin_batch();
            self.batches.by_id.insert(id.to_vec(), batch);
            return Ok(Progress::Wait);
        };
        let count = batch.messages.len();
        let mut last = 0;
        for (number, (message, checked)) in batch.messages.iter().zip(&checked).enumerate() {
            let view = message.view();
            let mut header = view.header.to_vec();
            let mut payload = Vec::new();
            if let (Some(increment), Some((value, sources))) =
                (&checked.increment, counters.get_mut(view.subject))
            {
                *value = value.plus(increment);
                payload.extend_from_slice(b"{\"val\":\"");
                value.push(&mut payload);
                payload.extend_from_slice(b"\"}");
                if let Some(sources) = sources {
                    // The block has the batch's id, so it ends in an empty line.
                    let _ = blocks::append(&mut header, name::COUNTER_SOURCES, sources);
                }
            }
            if commit == Commit::Before && number + 1 == count {
                // The block has the batch's id, so it ends in an empty line.
                let _ = blocks::append(&mut header, "Nats-Batch-Commit", b"1");
            }
            let publish = Publish {
                subject: view.subject,
                reply: b"",
                header: &header,
                payload: match checked.increment {
                    Some(_) => &payload,
                    None => view.payload,
                },
            };
            let headers = PublishHeaders::parse(&header);
            last = self.commit_record(cx, &publish, &headers, checked)?;
        }
        let mut extra = b",\"batch\":".to_vec();
        super::quoted::push_json_text(&mut extra, &String::from_utf8_lossy(id));
        extra.extend_from_slice(format!(",\"count\":{count}").as_bytes());
        self.acknowledge(cx, reply, last, &extra);
        Ok(Progress::Done)
    }

    /// The values that the batch's counters start from; `None` while they are being read.
    fn batch_counters(
        &mut self,
        cx: &mut Context<'_>,
        batch: &Batch,
        checked: &[Checked],
    ) -> Result<Option<BTreeMap<Vec<u8>, CounterState>>, ApiError> {
        let mut counters = BTreeMap::new();
        for (message, checked) in batch.messages.iter().zip(checked) {
            let subject = message.view().subject;
            if checked.increment.is_none() || counters.contains_key(subject) {
                continue;
            }
            let Some(state) = self.counter_value(cx, subject)? else {
                return Ok(None);
            };
            counters.insert(subject.to_vec(), state);
        }
        Ok(Some(counters))
    }

    /// Checks all messages of a batch against the stream and against each other.
    fn check_batch(
        &mut self,
        cx: &mut Context<'_>,
        batch: &Batch,
    ) -> Result<Vec<Checked>, ApiError> {
        let mut seen = Seen::default();
        let mut all = Vec::with_capacity(batch.messages.len());
        let mut size = 0;
        for (number, message) in batch.messages.iter().enumerate() {
            let view = message.view();
            let headers = PublishHeaders::parse(view.header);
            all.push(self.check_batched(cx, &view, &headers, number as u64, &mut seen)?);
            size += self
                .log
                .accounted(view.subject.len(), view.header.len(), view.payload.len());
            seen.subjects.insert(view.subject.to_vec());
        }
        self.check_batch_room(cx, batch, size)?;
        Ok(all)
    }

    /// Whether the limits leave room for all messages together.
    fn check_batch_room(&self, cx: &Context<'_>, batch: &Batch, size: u64) -> Result<(), ApiError> {
        if self.discards_new() {
            let state = self.log.state();
            let full = |text: &'static str| Err(ErrorCode::StreamStore.with(text));
            let over = |limit: i64, total: u64| {
                u64::try_from(limit).is_ok_and(|limit| limit > 0 && total > limit)
            };
            if over(
                self.config.max_msgs,
                state.messages + batch.messages.len() as u64,
            ) {
                return full("maximum messages exceeded");
            }
            if over(self.config.max_bytes, state.bytes + size) {
                return full("maximum bytes exceeded");
            }
            for message in &batch.messages {
                self.check_discard_new(message.view().subject, 0, None)?;
            }
        }
        self.check_room(cx, size)
    }

    fn check_batched(
        &mut self,
        cx: &mut Context<'_>,
        message: &Incoming<'_>,
        headers: &PublishHeaders<'_>,
        number: u64,
        seen: &mut Seen,
    ) -> Result<Checked, ApiError> {
        if headers.expected_last_msg_id.is_some() {
            return Err(ErrorCode::AtomicPublishUnsupportedHeader.with("Nats-Expected-Last-Msg-Id"));
        }
        let increment = self.check_increment(headers, message.payload)?;
        self.check_source(headers)?;
        self.check_expected_stream(headers)?;
        if let Some(digits) = headers.expected_last_sequence {
            let last = self.log.last_sequence() + number;
            if headers::sequence(digits) != Some(last) {
                return Err(ErrorCode::StreamWrongLastSequence.with(last));
            }
            if number > 0 {
                return Err(ErrorCode::StreamWrongLastSequenceConstant.into());
            }
        }
        let of = headers.expected_last_subject_sequence_subject;
        if let Some(digits) = headers.expected_last_subject_sequence {
            let subject = of.unwrap_or(message.subject);
            if seen.has_match(subject) {
                return Err(ErrorCode::StreamWrongLastSequenceConstant.into());
            }
            let last = self.last_of(subject);
            if headers::sequence(digits) != Some(last) {
                return Err(ErrorCode::StreamWrongLastSequence.with(last));
            }
        } else if of.is_some() {
            return Err(ErrorCode::StreamExpectedLastSequencePerSubjectInvalid.into());
        }
        let schedule = self.check_schedule(cx, message.subject, message.header, headers)?;
        if let Some(id) = headers.msg_id {
            let now = cx.bus.now().unix_ns;
            if !seen.ids.insert(id.to_vec()) || self.derived.window.find(id, now).is_some() {
                return Err(ErrorCode::AtomicPublishContainsDuplicateMessage.into());
            }
        }
        let rollup = match schedule {
            Some(_) => Some(Rollup::Subject),
            None => self.check_rollup(headers)?,
        };
        match rollup {
            Some(Rollup::Subject) if seen.subjects.contains(message.subject) => {
                return Err(ErrorCode::StreamRollup.with("batch rollup sub invalid"));
            }
            Some(Rollup::All) if number > 0 => {
                return Err(ErrorCode::StreamRollup.with("batch rollup all invalid"));
            }
            _ => {}
        }
        Ok(Checked {
            rollup,
            ttl: self.check_ttl(headers)?,
            increment,
            schedule,
        })
    }
}

/// What the messages of a batch have said so far.
#[derive(Debug, Default)]
struct Seen {
    subjects: BTreeSet<Vec<u8>>,
    ids: BTreeSet<Vec<u8>>,
}

impl Seen {
    fn has_match(&self, pattern: &[u8]) -> bool {
        self.subjects.contains(pattern)
            || (!crate::subject::is_literal(pattern)
                && (self.subjects.iter()).any(|s| crate::subject::matches(pattern, s)))
    }
}
