//! Where a consumer stands in the log: which message comes next, and how many are to come.

use std::collections::VecDeque;

use crate::store::{Filter, FilterCursor, Log};

use super::config::{ConsumerConfig, DeliverPolicy};

/// The place of a consumer in its stream's log.
#[derive(Debug)]
pub struct Position {
    cursor: FilterCursor,
    /// No message below this is delivered for the first time, except those of `listed`.
    next: u64,
    /// Found, and not yet delivered.
    found: Option<u64>,
    /// There was no message from `next` on when last looked.
    at_end: bool,
    /// The last messages of all subjects, ascending, when the consumer was made: they come
    /// before `next`.
    listed: VecDeque<u64>,
    /// Messages that are still to be delivered for the first time.
    pending: u64,
    /// `pending` has to be counted again.
    recount: bool,
}

/// The filter of a configuration.
pub fn filter_of(config: &ConsumerConfig) -> Filter {
    let patterns: Vec<&str> = config.filters().collect();
    Filter::new(&patterns)
}

impl Position {
    /// Where a new consumer starts.
    pub fn start(config: &ConsumerConfig, log: &Log) -> Self {
        let filter = filter_of(config);
        let first = log.first_sequence().max(1);
        let last = log.last_sequence();
        let mut listed = VecDeque::new();
        let next = match config.deliver_policy {
            DeliverPolicy::All => first,
            DeliverPolicy::Last if filter.is_all() => last.max(1),
            DeliverPolicy::Last => log.last_matching(&filter, last).unwrap_or(first),
            DeliverPolicy::New => last + 1,
            DeliverPolicy::ByStartSequence => config.opt_start_seq.max(first),
            DeliverPolicy::ByStartTime => {
                let time = config.opt_start_time.unwrap_or_default();
                log.sequence_at_time(time.unix_ns()).max(first)
            }
            DeliverPolicy::LastPerSubject => {
                listed = log.last_per_subject(&filter, last).into();
                last + 1
            }
        };
        Self::new(filter, next, listed)
    }

    /// At a known place, after a restart.
    pub fn resume(config: &ConsumerConfig, next: u64, listed: VecDeque<u64>) -> Self {
        Self::new(filter_of(config), next, listed)
    }

    fn new(filter: Filter, next: u64, listed: VecDeque<u64>) -> Self {
        Self {
            cursor: FilterCursor::new(filter),
            next,
            found: None,
            at_end: false,
            listed,
            pending: 0,
            recount: true,
        }
    }

    /// The first sequence that may be delivered for the first time.
    pub fn next(&self) -> u64 {
        self.listed.front().copied().unwrap_or(self.next)
    }

    /// Where the consumer goes on behind the listed messages, and these.
    pub fn parts(&self) -> (u64, &VecDeque<u64>) {
        (self.next, &self.listed)
    }

    pub fn filter(&self) -> &Filter {
        self.cursor.filter()
    }

    /// Takes a new filter; the place stays.
    pub fn set_filter(&mut self, filter: Filter) {
        self.cursor = FilterCursor::new(filter);
        self.found = None;
        self.at_end = false;
        self.recount = true;
    }

    /// Goes to `next`.
    pub fn seek(&mut self, next: u64) {
        self.next = next;
        self.listed.clear();
        self.found = None;
        self.at_end = false;
        self.recount = true;
    }

    /// Goes on from `next`, as nothing below exists any more.
    pub fn seek_forward(&mut self, next: u64) {
        self.next = self.next.max(next);
        self.listed.retain(|&sequence| sequence >= next);
        self.recount();
    }

    /// Whether a message of this sequence and subject is still to be delivered for the first
    /// time.
    pub fn is_ahead(&self, sequence: u64, subject: &[u8]) -> bool {
        if sequence >= self.next {
            self.filter().matches(subject)
        } else {
            !self.listed.is_empty() && self.listed.binary_search(&sequence).is_ok()
        }
    }

    /// The next message, which may not be durable yet.
    #[inline]
    pub fn peek(&mut self, log: &Log) -> Option<u64> {
        if let Some(&sequence) = self.listed.front() {
            return Some(sequence);
        }
        if self.found.is_none() && !self.at_end {
            self.found = log.next_matching(&mut self.cursor, self.next);
            self.at_end = self.found.is_none();
        }
        self.found
    }

    /// The message that was peeked at is delivered.
    #[inline]
    pub fn advance(&mut self, sequence: u64) {
        self.pending = self.pending.saturating_sub(1);
        self.pass(sequence);
    }

    /// The message that was peeked at does not exist any more.
    pub fn pass(&mut self, sequence: u64) {
        if self.listed.front() == Some(&sequence) {
            self.listed.pop_front();
        } else {
            self.next = sequence + 1;
            self.found = None;
        }
    }

    /// A message was appended that passes the filter.
    #[inline]
    pub fn appended(&mut self, sequence: u64) {
        if sequence >= self.next {
            self.pending += 1;
            self.at_end = false;
        }
    }

    /// A message was removed from the log.
    #[inline]
    pub fn removed(&mut self, sequence: u64, subject: &[u8]) {
        if sequence < self.next && self.listed.is_empty() {
            return;
        }
        if self.found == Some(sequence) {
            self.found = None;
        }
        if self.is_ahead(sequence, subject) {
            self.pending = self.pending.saturating_sub(1);
            if sequence < self.next
                && let Ok(at) = self.listed.binary_search(&sequence)
            {
                self.listed.remove(at);
            }
        }
    }

    /// Many messages were removed at once, or counting went astray.
    pub fn recount(&mut self) {
        self.recount = true;
        self.found = None;
        self.at_end = false;
    }

    /// Messages that are still to be delivered for the first time.
    #[inline]
    pub fn pending(&mut self, log: &Log) -> u64 {
        if self.recount {
            self.recount = false;
            self.listed.retain(|&sequence| log.meta(sequence).is_some());
            self.pending =
                self.listed.len() as u64 + log.count_matching(self.cursor.filter(), self.next);
        }
        self.pending
    }
}
