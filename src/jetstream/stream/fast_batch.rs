//! Fast batches: streams of messages whose flow the server paces.
//!
//! What controls them stands in the reply subject, `<prefix>.<id>.<flow>.<gap>.<sequence>.<op>.$FI`,
//! so that messages need no headers. Texts and order were asked of nats-server 2.15.1.

use std::collections::BTreeMap;

use super::Stream;
use super::batch::BATCH_ID_MAX;
use super::context::Context;
use super::publish::{Progress, Publish, Stop};
use super::quoted::push_json_text;
use super::{headers::PublishHeaders, publish::Checked};
use crate::jetstream::bus::Incoming;
use crate::jetstream::error::{ApiError, ErrorCode};
use crate::protocol::{go_json, number::push_decimal};

/// End of the reply subject of a message of a fast batch.
pub(super) const SUFFIX: &[u8] = b".$FI";

/// Messages between acknowledgements if none is asked for.
const FLOW_DEFAULT: u64 = 10;
/// Most messages between acknowledgements.
const FLOW_MAX: u64 = u16::MAX as u64;

#[derive(Debug)]
struct Batch {
    /// The sequence within the batch that comes next.
    next: u64,
    /// The last one acknowledged.
    acknowledged: u64,
    flow: u64,
    /// Of the stream; 0: nothing stored yet.
    stored: u64,
    /// Monotonic clock, in nanoseconds.
    deadline: u64,
}

/// Fast batches in progress.
#[derive(Debug, Default)]
pub struct FastBatches {
    by_id: BTreeMap<Vec<u8>, Batch>,
}

impl FastBatches {
    /// When the next batch is given up, in nanoseconds of the monotonic clock.
    pub fn next_deadline(&self) -> Option<u64> {
        self.by_id.values().map(|batch| batch.deadline).min()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Start,
    Append,
    /// The last message.
    Commit,
    /// The end; the message is not stored.
    End,
    Ping,
}

/// What a reply subject says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Control<'a> {
    id: &'a [u8],
    flow: u64,
    gap_fails: bool,
    sequence: u64,
    operation: Operation,
}

impl<'a> Control<'a> {
    fn parse(reply: &'a [u8]) -> Option<Self> {
        let mut tokens = reply.strip_suffix(SUFFIX)?.rsplit(|byte| *byte == b'.');
        let number = |token: &[u8]| std::str::from_utf8(token).ok()?.parse::<u64>().ok();
        let operation = match tokens.next()? {
            b"0" => Operation::Start,
            b"1" => Operation::Append,
            b"2" => Operation::Commit,
            b"3" => Operation::End,
            b"4" => Operation::Ping,
            _ => return None,
        };
        let sequence = number(tokens.next()?)?;
        let gap_fails = match tokens.next()? {
            b"ok" => false,
            b"fail" => true,
            _ => return None,
        };
        let flow = match number(tokens.next()?)? {
            0 => FLOW_DEFAULT,
            flow => flow.min(FLOW_MAX),
        };
        let id = tokens.next()?;
        tokens.next()?;
        let is_possible = match operation {
            Operation::Start => sequence == 1,
            Operation::Append | Operation::End => sequence > 1,
            Operation::Commit | Operation::Ping => sequence > 0,
        };
        is_possible.then_some(Self {
            id,
            flow,
            gap_fails,
            sequence,
            operation,
        })
    }
}

impl Stream {
    pub(super) fn ingest_fast(&mut self, cx: &mut Context<'_>, message: &Incoming<'_>) -> Progress {
        match self.accept_fast(cx, message) {
            Ok(progress) => progress,
            Err(error) => {
                self.refuse(cx, message.reply, &error);
                Progress::Done
            }
        }
    }

    fn accept_fast(
        &mut self,
        cx: &mut Context<'_>,
        message: &Incoming<'_>,
    ) -> Result<Progress, ApiError> {
        if !self.config.allow_batched {
            return Err(ErrorCode::BatchPublishDisabled.into());
        }
        if self.config.sealed {
            return Err(ErrorCode::StreamSealed.into());
        }
        let Some(control) = Control::parse(message.reply) else {
            return Err(ErrorCode::BatchPublishInvalidPattern.into());
        };
        if control.id.is_empty() || control.id.len() > BATCH_ID_MAX {
            return Err(ErrorCode::BatchPublishInvalidBatchId.into());
        }
        self.join_fast(cx, &control, message.reply)?;
        let Some(batch) = self.fast_batches.by_id.get_mut(control.id) else {
            return Err(ErrorCode::BatchPublishUnknownBatchId.into());
        };
        batch.deadline = cx.bus.now().mono_ns + cx.settings.limits.batch_timeout_ns;
        let (expected, seen) = (batch.next, batch.acknowledged);
        match control.operation {
            Operation::Ping => {
                if control.sequence >= expected {
                    batch.next = control.sequence + 1;
                    self.tell_gap(cx, message.reply, expected, control.sequence + 1);
                    if control.gap_fails {
                        self.end_fast(cx, &control, message.reply, expected - 1);
                        return Ok(Progress::Done);
                    }
                }
                self.tell_flow(cx, &control, message.reply, seen);
                return Ok(Progress::Done);
            }
            _ if control.sequence != expected => {
                self.tell_gap(cx, message.reply, expected, control.sequence);
                if batch_ends_at_gap(&control) {
                    self.end_fast(cx, &control, message.reply, expected - 1);
                    return Ok(Progress::Done);
                }
            }
            _ => {}
        }
        if control.operation == Operation::End {
            let count = control.sequence - 1;
            self.end_fast(cx, &control, message.reply, count);
            return Ok(Progress::Done);
        }
        self.store_fast(cx, &control, message, expected)
    }

    /// Begins a batch with its first message.
    fn join_fast(
        &mut self,
        cx: &mut Context<'_>,
        control: &Control<'_>,
        reply: &[u8],
    ) -> Result<(), ApiError> {
        let begins = match control.operation {
            Operation::Start => true,
            Operation::Commit => control.sequence == 1,
            _ => false,
        };
        if !begins || self.fast_batches.by_id.contains_key(control.id) {
            return Ok(());
        }
        if self.fast_batches.by_id.len() >= cx.settings.limits.fast_batches_per_stream
            || !cx.usage.begin_fast_batch()
        {
            return Err(ErrorCode::BatchPublishTooManyInflight.into());
        }
        let batch = Batch {
            next: 1,
            acknowledged: 0,
            flow: control.flow,
            stored: 0,
            deadline: u64::MAX,
        };
        self.fast_batches.by_id.insert(control.id.to_vec(), batch);
        if control.operation == Operation::Start {
            self.tell_flow(cx, control, reply, 0);
        }
        Ok(())
    }

    fn store_fast(
        &mut self,
        cx: &mut Context<'_>,
        control: &Control<'_>,
        message: &Incoming<'_>,
        expected: u64,
    ) -> Result<Progress, ApiError> {
        let mut buffer = std::mem::take(&mut self.scratch_subject);
        buffer.clear();
        let publish = Publish {
            subject: self.transformed(cx, message.subject, &mut buffer),
            reply: b"",
            header: message.header,
            payload: message.payload,
        };
        let stored = self.try_fast(cx, &publish);
        self.scratch_subject = buffer;
        let sequence = control.sequence;
        match stored {
            Ok(stored) => {
                if let Some(batch) = self.fast_batches.by_id.get_mut(control.id) {
                    batch.stored = stored.unwrap_or(batch.stored);
                    batch.next = sequence + 1;
                }
            }
            Err(error) => {
                let mut body = b"{\"type\":\"err\",\"seq\":".to_vec();
                push_decimal(&mut body, sequence as usize);
                body.extend_from_slice(b",\"error\":");
                // An error always serializes.
                let _ = go_json::append(&mut body, &error);
                body.push(b'}');
                self.tell(cx, message.reply, &body);
                if control.gap_fails {
                    self.end_fast(cx, control, message.reply, expected - 1);
                    return Ok(Progress::Done);
                }
                if let Some(batch) = self.fast_batches.by_id.get_mut(control.id) {
                    batch.next = sequence + 1;
                    batch.acknowledged = sequence;
                }
            }
        }
        if control.operation == Operation::Commit {
            self.end_fast(cx, control, message.reply, sequence);
            return Ok(Progress::Done);
        }
        if let Some(batch) = self.fast_batches.by_id.get_mut(control.id)
            && sequence >= batch.acknowledged + batch.flow
        {
            batch.acknowledged = sequence;
            self.tell_flow(cx, control, message.reply, sequence);
        }
        Ok(Progress::Done)
    }

    /// Checks and stores a message; `None` if it is a duplicate.
    fn try_fast(
        &mut self,
        cx: &mut Context<'_>,
        publish: &Publish<'_>,
    ) -> Result<Option<u64>, ApiError> {
        self.check_size(publish.header, publish.payload)?;
        let headers = PublishHeaders::parse(publish.header);
        let checked = if publish.header.is_empty() {
            Checked::default()
        } else {
            match self.check(cx, publish, &headers) {
                Ok(checked) => checked,
                Err(Stop::Refused(error)) => return Err(error),
                Err(Stop::Duplicate(_)) => return Ok(None),
            }
        };
        if checked.increment.is_some() || self.config.allow_msg_counter {
            return Err(ErrorCode::MessageIncrementInvalid.into());
        }
        self.commit_record(cx, publish, &headers, &checked)
            .map(Some)
    }

    /// Ends a batch and answers with its last sequence and how many messages it had.
    fn end_fast(&mut self, cx: &mut Context<'_>, control: &Control<'_>, reply: &[u8], count: u64) {
        let Some(batch) = self.fast_batches.by_id.remove(control.id) else {
            return;
        };
        cx.usage.end_fast_batch();
        let stored = match batch.stored {
            0 => self.log.last_sequence(),
            stored => stored,
        };
        let mut extra = b",\"batch\":".to_vec();
        push_json_text(&mut extra, &String::from_utf8_lossy(control.id));
        extra.extend_from_slice(b",\"count\":");
        push_decimal(&mut extra, count as usize);
        self.acknowledge(cx, reply, stored, &extra);
    }

    fn tell_flow(
        &mut self,
        cx: &mut Context<'_>,
        control: &Control<'_>,
        reply: &[u8],
        sequence: u64,
    ) {
        let flow = (self.fast_batches.by_id.get(control.id)).map_or(control.flow, |b| b.flow);
        let mut body = b"{\"type\":\"ack\",\"seq\":".to_vec();
        push_decimal(&mut body, sequence as usize);
        body.extend_from_slice(b",\"msgs\":");
        push_decimal(&mut body, flow as usize);
        body.push(b'}');
        self.tell(cx, reply, &body);
    }

    fn tell_gap(&mut self, cx: &mut Context<'_>, reply: &[u8], expected: u64, sequence: u64) {
        let mut body = b"{\"type\":\"gap\",\"last_seq\":".to_vec();
        push_decimal(&mut body, expected as usize);
        body.extend_from_slice(b",\"seq\":");
        push_decimal(&mut body, sequence as usize);
        body.push(b'}');
        self.tell(cx, reply, &body);
    }

    /// Sends a body behind what waits for the disk before it.
    fn tell(&mut self, cx: &mut Context<'_>, reply: &[u8], body: &[u8]) {
        if self.config.no_ack {
            return;
        }
        let mark = self.mark();
        self.waiting.push_body(mark, reply, body);
        self.send_acks(cx);
    }

    /// Gives up fast batches that wait for too long.
    pub(super) fn expire_fast_batches(&mut self, cx: &mut Context<'_>) {
        let now = cx.bus.now().mono_ns;
        let before = self.fast_batches.by_id.len();
        (self.fast_batches.by_id).retain(|_, batch| batch.deadline > now);
        for _ in self.fast_batches.by_id.len()..before {
            cx.usage.end_fast_batch();
        }
    }

    pub(super) fn drop_fast_batches(&mut self, cx: &mut Context<'_>) {
        while self.fast_batches.by_id.pop_first().is_some() {
            cx.usage.end_fast_batch();
        }
    }
}

/// A batch that begins again is over, too.
fn batch_ends_at_gap(control: &Control<'_>) -> bool {
    control.gap_fails || control.operation == Operation::Start
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reply_subjects_say_what_to_do() {
        let parsed = |reply: &'static str| Control::parse(reply.as_bytes());
        let start = parsed("a.b.id.3.ok.1.0.$FI").unwrap();
        assert_eq!((start.id, start.flow, start.sequence), (&b"id"[..], 3, 1));
        assert_eq!(start.operation, Operation::Start);
        assert_eq!(
            parsed("p.id.0.fail.7.1.$FI").map(|c| (c.flow, c.gap_fails)),
            Some((10, true))
        );
        assert_eq!(
            parsed("p.id.70000.ok.1.2.$FI").map(|c| c.flow),
            Some(65_535)
        );
        for bad in [
            "inb.$FI",
            "inb.a.b.$FI",
            "id.3.ok.1.0.$FI",
            "p.id.3.zz.1.0.$FI",
            "p.id.3.ok.1.9.$FI",
            "p.id.3.ok.x.0.$FI",
            "p.id.3.ok.0.0.$FI",
            "p.id.3.ok.2.0.$FI",
            "p.id.3.ok.1.1.$FI",
            "p.id.3.ok.1.3.$FI",
        ] {
            assert_eq!(parsed(bad), None, "{bad}");
        }
    }
}
