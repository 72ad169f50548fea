//! What the API does with a stream's messages and configuration.

use super::Stream;
use super::config::{Retention, Storage, StreamConfig};
use super::context::Context;
use super::duration::TimeToLive;
use super::headers::PublishHeaders;
use super::limits::Record;
use crate::jetstream::error::{ApiError, ErrorCode};
use crate::store::{AppendError, Filter, FilterCursor, Removal, Stored};

/// Messages looked at in one call when consumers have gone or changed.
const INTEREST_BUDGET: usize = 4096;

/// What to purge; all by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Purge {
    /// Only messages below; 0: any.
    pub sequence: u64,
    /// How many of the last to keep.
    pub keep: u64,
    /// Subjects; empty: all.
    pub filter: String,
}

impl Stream {
    /// Removes messages and tells how many.
    ///
    /// # Errors
    /// 10003, 10109, 10110.
    pub fn purge(&mut self, cx: &mut Context<'_>, purge: &Purge) -> Result<u64, ApiError> {
        if purge.sequence > 0 && purge.keep > 0 {
            return Err(ErrorCode::BadRequest.into());
        }
        if self.config.sealed {
            return Err(ErrorCode::StreamSealed.into());
        }
        if self.config.deny_purge {
            return Err(ErrorCode::StreamPurge.with("stream purge not permitted"));
        }
        let before = self.log.state().messages;
        if purge.filter.is_empty() || purge.filter == ">" {
            let last = self.log.last_sequence();
            let first = match (purge.sequence, purge.keep) {
                (0, 0) => last + 1,
                (0, keep) => self.first_of_last(keep),
                (sequence, _) => sequence,
            };
            if first > self.log.first_sequence() {
                self.remove_below(cx, first);
            }
            if first > last {
                self.log.skip_to(first - 1);
            }
        } else {
            self.purge_filtered(cx, purge);
        }
        Ok(before - self.log.state().messages)
    }

    /// The first of the last `keep` messages.
    fn first_of_last(&self, keep: u64) -> u64 {
        let state = self.log.state();
        if state.messages <= keep {
            return state.first_sequence;
        }
        if keep <= state.messages / 2 {
            let mut first = state.last_sequence + 1;
            for _ in 0..keep {
                first = self.log.previous(first - 1).unwrap_or(state.first_sequence);
            }
            return first;
        }
        let mut first = state.first_sequence;
        for _ in 0..state.messages - keep {
            first = self.log.next(first + 1).unwrap_or(state.last_sequence + 1);
        }
        first
    }

    pub(super) fn purge_filtered(&mut self, cx: &mut Context<'_>, purge: &Purge) {
        let filter = Filter::new(&[purge.filter.as_bytes()]);
        let mut left = match purge.keep {
            0 => u64::MAX,
            keep => self.log.count_matching(&filter, 0).saturating_sub(keep),
        };
        let end = match purge.sequence {
            0 => u64::MAX,
            sequence => sequence,
        };
        let mut cursor = FilterCursor::new(filter);
        let mut from = self.log.first_sequence();
        while left > 0
            && let Some(sequence) = self.log.next_matching(&mut cursor, from)
        {
            if sequence >= end {
                break;
            }
            self.remove(cx, sequence, Removal::Keep);
            from = sequence + 1;
            left -= 1;
        }
    }

    /// Removes one message, its bytes overwritten if `erase`.
    ///
    /// # Errors
    /// 10043, 10057, 10109.
    pub fn delete_message(
        &mut self,
        cx: &mut Context<'_>,
        sequence: u64,
        erase: bool,
    ) -> Result<(), ApiError> {
        if self.config.sealed {
            return Err(ErrorCode::StreamSealed.into());
        }
        if self.config.deny_delete {
            return Err(ErrorCode::StreamMessageDelete.with("message delete not permitted"));
        }
        let how = if erase { Removal::Erase } else { Removal::Keep };
        match self.remove(cx, sequence, how) {
            Some(_) => Ok(()),
            None => Err(self.no_such_message(sequence)),
        }
    }

    /// What nats-server's stores say, each in its own way.
    fn no_such_message(&self, sequence: u64) -> ApiError {
        let log = self.log.state();
        match self.config.storage {
            Storage::File if sequence > log.last_sequence => {
                ErrorCode::StreamMessageDelete.with("stream store EOF")
            }
            Storage::File if sequence < log.first_sequence => {
                ErrorCode::StreamMessageDelete.with("no message found")
            }
            _ => ErrorCode::SequenceNotFound.with(sequence),
        }
    }

    /// Takes over a configuration that [was checked](super::validate::check_update) against the
    /// one in force.
    pub fn update(&mut self, cx: &mut Context<'_>, config: StreamConfig) {
        let old = std::mem::replace(&mut self.config, config);
        self.compile();
        let now = cx.bus.now().unix_ns;
        self.derived
            .window
            .set_window(self.config.duplicate_window, now);
        self.derived.has_sources = !self.config.sources.is_empty();
        if old.max_age != self.config.max_age {
            self.age_from = 0;
        }
        if !self.config.allow_atomic || self.config.sealed {
            self.drop_batches(cx);
        }
        if !self.config.allow_batched || self.config.sealed {
            self.drop_fast_batches(cx);
        }
        if self.started {
            self.enforce_limits(cx);
            self.expire(cx);
            self.listen(cx.bus);
            self.refollow(cx, &old);
            if self.config.retention != old.retention {
                self.consumers_changed();
            }
        }
    }

    /// Takes over a message of a snapshot under its sequence and time. Nothing is republished.
    ///
    /// # Errors
    /// What the log refuses.
    pub fn restore_message(
        &mut self,
        cx: &mut Context<'_>,
        message: &Stored<'_>,
    ) -> Result<(), AppendError> {
        let headers = PublishHeaders::parse(message.header);
        let record = Record {
            sequence: Some(message.sequence),
            unix_ns: message.unix_ns,
            subject: message.subject,
            header: message.header,
            payload: message.payload,
            headers: &headers,
            ttl: headers.ttl.and_then(TimeToLive::parse),
            rollup: None,
            due: self.restored_schedule(&headers, message.unix_ns),
        };
        let republisher = self.republisher.take();
        let stored = self.store(cx, &record);
        self.republisher = republisher;
        stored.map(|_| ())
    }

    /// A consumer is done with a message. Interest and work queue streams drop it if nobody else
    /// needs it.
    pub fn acknowledged(&mut self, cx: &mut Context<'_>, sequence: u64) {
        if self.is_limits_retention() {
            return;
        }
        let Some(meta) = self.log.meta(sequence) else {
            return;
        };
        let is_free = self.config.retention == Retention::WorkQueue
            || !cx.consumers.needs(sequence, self.log.subject(meta.subject));
        if is_free {
            self.remove(cx, sequence, Removal::Keep);
        }
    }

    /// A consumer was deleted, or wants other messages than before: interest streams drop what
    /// nobody needs any more, over the next turns.
    pub fn consumers_changed(&mut self) {
        if self.config.retention == Retention::Interest {
            self.interest_check = Some(0);
        }
    }

    pub(super) fn check_interest(&mut self, cx: &mut Context<'_>) {
        let Some(mut from) = self.interest_check else {
            return;
        };
        for _ in 0..INTEREST_BUDGET {
            let Some(sequence) = self.log.next(from) else {
                self.interest_check = None;
                return;
            };
            if let Some(meta) = self.log.meta(sequence)
                && !cx.consumers.needs(sequence, self.log.subject(meta.subject))
            {
                self.remove(cx, sequence, Removal::Keep);
            }
            from = sequence + 1;
        }
        self.interest_check = Some(from);
    }
}
