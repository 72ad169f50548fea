//! Storing a message, and what has to go for it.

use super::Stream;
use super::context::Context;
use super::duration::TimeToLive;
use super::headers::PublishHeaders;
use super::manage::Purge;
use super::publish::Rollup;
use super::schedule::earlier;
use crate::jetstream::error::{ApiError, ErrorCode};
use crate::store::{AppendError, NewMessage, Removal, Removed};
use crate::subject::is_literal;

/// A message to store.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    /// Given by a mirror's origin; `None` for the next.
    pub sequence: Option<u64>,
    pub unix_ns: i64,
    pub subject: &'a [u8],
    pub header: &'a [u8],
    pub payload: &'a [u8],
    /// What the header says.
    pub headers: &'a PublishHeaders<'a>,
    pub ttl: Option<TimeToLive>,
    pub rollup: Option<Rollup>,
    /// When it is due, if it is a schedule, in nanoseconds since 1970.
    pub due: Option<i64>,
}

impl Stream {
    /// Appends a message and does what follows from it: consumers and republishing, rollup, and
    /// limits that discard old messages.
    pub(super) fn store(
        &mut self,
        cx: &mut Context<'_>,
        record: &Record<'_>,
    ) -> Result<u64, AppendError> {
        let expires = record.ttl.and_then(|ttl| ttl.end(record.unix_ns));
        let wake = earlier(record.due, expires);
        let previous = match &self.republisher {
            Some(_) => (self.log.find_subject(record.subject)).map_or(0, |state| state.last),
            None => 0,
        };
        let sequence = self.log.append(&NewMessage {
            sequence: record.sequence,
            unix_ns: record.unix_ns,
            subject: record.subject,
            header: record.header,
            payload: record.payload,
            wake,
        })?;
        let size = self.log.accounted(
            record.subject.len(),
            record.header.len(),
            record.payload.len(),
        );
        cx.usage.used(self.config.storage, size as i64);
        if record.header.is_empty() {
            self.derived.note_plain();
        } else {
            self.derived.note(sequence, record.unix_ns, record.headers);
        }
        cx.consumers.stored(&self.log, sequence, record.subject);
        if let Some(republisher) = &mut self.republisher {
            republisher.publish(cx.bus, self.account, record, sequence, previous);
        }
        match record.rollup {
            Some(Rollup::Subject) => self.roll_up(cx, record.subject),
            Some(Rollup::All) => self.remove_below(cx, sequence),
            None => {}
        }
        self.discard_old(cx, record.subject);
        Ok(sequence)
    }

    /// # Errors
    /// 10077: a limit is reached, and new messages give way.
    pub(super) fn check_discard_new(
        &self,
        subject: &[u8],
        size: u64,
        rollup: Option<Rollup>,
    ) -> Result<(), ApiError> {
        if !self.discards_new() {
            return Ok(());
        }
        let full = |text: &'static str| Err(ErrorCode::StreamStore.with(text));
        let state = self.log.state();
        let limit = |limit: i64| u64::try_from(limit).ok().filter(|limit| *limit > 0);
        let subject_full = limit(self.config.max_msgs_per_subject).is_some_and(|max| {
            (self.log.find_subject(subject)).is_some_and(|state| state.count >= max)
        });
        if subject_full && self.config.discard_new_per_subject && rollup.is_none() {
            return full("maximum messages per subject exceeded");
        }
        // A full subject gives up an old message for the new one: their number stays.
        if limit(self.config.max_msgs).is_some_and(|max| state.messages >= max) && !subject_full {
            return full("maximum messages exceeded");
        }
        if limit(self.config.max_bytes).is_some_and(|max| state.bytes + size > max) {
            return full("maximum bytes exceeded");
        }
        Ok(())
    }

    /// Removes what is over the limits after a message of `subject` was stored.
    fn discard_old(&mut self, cx: &mut Context<'_>, subject: &[u8]) {
        if let Ok(max) = u64::try_from(self.config.max_msgs_per_subject)
            && max > 0
        {
            self.keep_last(cx, subject, max);
        }
        self.discard_totals(cx);
    }

    fn discard_totals(&mut self, cx: &mut Context<'_>) {
        let max_messages = u64::try_from(self.config.max_msgs).unwrap_or(u64::MAX);
        let max_bytes = u64::try_from(self.config.max_bytes).unwrap_or(u64::MAX);
        if max_messages == u64::MAX && max_bytes == u64::MAX {
            return;
        }
        loop {
            let state = self.log.state();
            if state.messages <= max_messages && state.bytes <= max_bytes {
                break;
            }
            if self
                .remove(cx, state.first_sequence, Removal::Keep)
                .is_none()
            {
                break;
            }
        }
    }

    /// Removes all but the last messages of a subject.
    fn keep_last(&mut self, cx: &mut Context<'_>, subject: &[u8], keep: u64) {
        while let Some(state) = self.log.find_subject(subject) {
            if state.count <= keep || self.remove(cx, state.first, Removal::Keep).is_none() {
                break;
            }
        }
    }

    /// Removes what a message on this subject rolls up. As on nats-server, a message that was
    /// published on a subject with wildcards rolls up all that they match.
    fn roll_up(&mut self, cx: &mut Context<'_>, subject: &[u8]) {
        match std::str::from_utf8(subject) {
            Ok(filter) if !is_literal(subject) => self.purge_filtered(
                cx,
                &Purge {
                    sequence: 0,
                    keep: 1,
                    filter: filter.to_owned(),
                },
            ),
            _ => self.keep_last(cx, subject, 1),
        }
    }

    /// Removes all messages below a sequence.
    pub(super) fn remove_below(&mut self, cx: &mut Context<'_>, first: u64) {
        let before = self.log.state().bytes;
        self.log.truncate_front(first, u64::MAX);
        let after = self.log.state().bytes;
        cx.usage
            .used(self.config.storage, after as i64 - before as i64);
        for set in [&mut self.derived.never, &mut self.derived.markers] {
            *set = set.split_off(&first);
        }
        self.schedules.forget_below(first);
        cx.consumers.purged(&self.log);
    }

    /// Brings the stream within its limits, whichever they were before.
    pub(super) fn enforce_limits(&mut self, cx: &mut Context<'_>) {
        if let Ok(max) = u64::try_from(self.config.max_msgs_per_subject)
            && max > 0
        {
            let mut over = Vec::new();
            self.log.for_each_subject(b">", |subject, state| {
                if state.count > max {
                    over.push(subject.to_vec());
                }
            });
            for subject in over {
                self.keep_last(cx, &subject, max);
            }
        }
        self.discard_totals(cx);
    }

    /// Removes a message, and tells the account and the consumers.
    pub(super) fn remove(
        &mut self,
        cx: &mut Context<'_>,
        sequence: u64,
        how: Removal,
    ) -> Option<Removed> {
        let meta = self.log.meta(sequence)?;
        let subject = self.log.subject(meta.subject);
        // The number of a subject that loses its last message is void behind the removal.
        cx.consumers.removed(sequence, subject);
        let removed = self.log.remove(sequence, how)?;
        cx.usage
            .used(self.config.storage, -(removed.meta.size as i64));
        self.derived.forget(sequence);
        self.schedules.forget(sequence);
        Some(removed)
    }
}
