//! Messages that go with time: by age and by their own time to live; and the markers they leave.

use super::Stream;
use super::context::Context;
use super::duration::TimeToLive;
use super::headers::PublishHeaders;
use super::limits::Record;
use super::publish::{Rollup, marker_header};
use crate::store::{Removal, WakeKind};

/// Messages removed in one call at most, so that a turn stays short.
const EXPIRE_BUDGET: usize = 4096;

impl Stream {
    /// Removes what has expired.
    pub(super) fn expire(&mut self, cx: &mut Context<'_>) {
        let now = cx.bus.now().unix_ns;
        let mut budget = EXPIRE_BUDGET;
        while budget > 0
            && let Some((sequence, kind)) = self.log.due(now)
        {
            match kind {
                WakeKind::Expire => self.expire_message(cx, sequence),
                WakeKind::Schedule => self.due_schedules.push_back(sequence),
            }
            budget -= 1;
        }
        while budget > 0
            && let Some((sequence, unix_ns)) = self.next_aging()
        {
            if self.end_of_age(unix_ns) > now {
                break;
            }
            self.expire_message(cx, sequence);
            budget -= 1;
        }
        self.derived.window.expire(now);
    }

    /// When the next message goes by age, in nanoseconds since 1970.
    pub(super) fn next_age(&self, now: i64) -> Option<i64> {
        if self.config.max_age <= 0 {
            return None;
        }
        let mut sequence = self.log.next(self.age_from)?;
        while self.derived.never.contains(&sequence) {
            sequence = self.log.next(sequence + 1)?;
        }
        let meta = self.log.meta(sequence)?;
        Some(self.end_of_age(meta.unix_ns).max(now))
    }

    fn end_of_age(&self, unix_ns: i64) -> i64 {
        unix_ns.saturating_add(self.config.max_age)
    }

    /// The oldest message that can go by age, and its time.
    fn next_aging(&mut self) -> Option<(u64, i64)> {
        if self.config.max_age <= 0 {
            return None;
        }
        loop {
            let sequence = self.log.next(self.age_from)?;
            if self.derived.never.contains(&sequence) {
                self.age_from = sequence + 1;
                continue;
            }
            return Some((sequence, self.log.meta(sequence)?.unix_ns));
        }
    }

    fn expire_message(&mut self, cx: &mut Context<'_>, sequence: u64) {
        let Some(meta) = self.log.meta(sequence) else {
            return;
        };
        let leaves_marker =
            self.config.subject_delete_marker_ttl > 0 && !self.derived.markers.contains(&sequence);
        let subject = match leaves_marker {
            true => self.log.subject(meta.subject).to_vec(),
            false => Vec::new(),
        };
        let removed = self.remove(cx, sequence, Removal::Keep);
        if leaves_marker && removed.is_some_and(|removed| removed.subject_gone) {
            self.store_marker(cx, &subject);
        }
    }

    /// Stores what tells that a subject's last message went by age.
    fn store_marker(&mut self, cx: &mut Context<'_>, subject: &[u8]) {
        let ttl = self.config.subject_delete_marker_ttl;
        let header = marker_header("MaxAge", ttl);
        let record = Record {
            sequence: None,
            unix_ns: self.next_time(cx),
            subject,
            header: &header,
            payload: b"",
            headers: &PublishHeaders::parse(&header),
            ttl: Some(TimeToLive::Seconds(ttl / 1_000_000_000)),
            rollup: Some(Rollup::Subject),
            due: None,
        };
        // A log that takes no marker takes no messages either; publishers are told.
        let _ = self.store(cx, &record);
    }
}
