//! Requests to services of other accounts that wait for their responses.
//!
//! A request that crosses into the account of its service gets a reply subject of ours there,
//! `_R_.<core>.<number>`. Each core subscribes to its own ones in every account whose services
//! are imported; what is published to them finds its way back by the entry here.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use super::accounts::{ResponseKind, ServiceTerms};
use super::timers::nanos;

/// Requests of one core that wait for responses. Beyond it the one that expires first is given up.
pub const OPEN_RESPONSES_MAX: usize = 1024 * 1024;

/// Bytes of a part of a reply subject.
const PART_BYTES: usize = 6;

/// What reply subjects begin with.
const PREFIX: &[u8] = b"_R_.";

/// Expiries that may be kept beside twice the open requests.
const STALE_EXPIRIES_MAX: usize = 1024;

type Id = [u8; PART_BYTES];

/// Where a response goes.
pub(super) struct Response {
    /// The requester's account, and its reply subject there.
    pub account: u16,
    pub reply: Box<[u8]>,
    pub terms: Arc<ServiceTerms>,
    /// Nanoseconds of the monotonic clock.
    expires: u64,
}

/// All of one core.
pub(super) struct Responses {
    prefix: Id,
    open: HashMap<Id, Response>,
    expiries: BinaryHeap<Reverse<(u64, Id)>>,
    /// Accounts in which the core is subscribed to its reply subjects.
    pub subscribed: Vec<u16>,
}

/// Letters and digits that spell a number.
fn spell(mut number: u64) -> Id {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    std::array::from_fn(|_| {
        let digit = DIGITS[(number % 62) as usize];
        number /= 62;
        digit
    })
}

impl Responses {
    /// None; `seed` is random and differs between cores.
    pub fn new(seed: u64) -> Self {
        Self {
            prefix: spell(seed),
            open: HashMap::new(),
            expiries: BinaryHeap::new(),
            subscribed: Vec::new(),
        }
    }

    /// The pattern of this core's reply subjects.
    pub fn pattern(&self) -> Vec<u8> {
        [PREFIX, &self.prefix, b".*"].concat()
    }

    /// Appends a new reply subject for a request from `account` with this reply subject.
    pub fn open(
        &mut self,
        account: u16,
        reply: &[u8],
        terms: &Arc<ServiceTerms>,
        now: u64,
        mut random: impl FnMut() -> u64,
        subject: &mut Vec<u8>,
    ) -> Id {
        self.expire(now);
        let id = loop {
            let id = spell(random());
            if !self.open.contains_key(&id) {
                break id;
            }
        };
        let expires = now.saturating_add(nanos(terms.threshold));
        self.open.insert(
            id,
            Response {
                account,
                reply: reply.into(),
                terms: Arc::clone(terms),
                expires,
            },
        );
        self.expiries.push(Reverse((expires, id)));
        subject.extend_from_slice(PREFIX);
        subject.extend_from_slice(&self.prefix);
        subject.push(b'.');
        subject.extend_from_slice(&id);
        id
    }

    /// Gives up a request that nobody received.
    pub fn close(&mut self, id: Id) {
        self.open.remove(&id);
    }

    /// Forgets requests whose terms are not in force any more.
    pub fn retain(&mut self, in_force: impl Fn(&Response) -> bool) {
        self.open.retain(|_, response| in_force(response));
    }

    fn id_of(&self, subject: &[u8]) -> Option<Id> {
        let rest = subject.strip_prefix(PREFIX)?.strip_prefix(&self.prefix)?;
        rest.strip_prefix(b".")?.try_into().ok()
    }

    /// Where a message of the service's account to `subject` goes.
    pub fn peek(&self, account: u16, subject: &[u8], now: u64) -> Option<&Response> {
        let response = self.open.get(&self.id_of(subject)?)?;
        (response.terms.account == account && now <= response.expires).then_some(response)
    }

    /// Where a response goes; it was the last one if its terms say so.
    pub fn take(
        &mut self,
        account: u16,
        subject: &[u8],
        body_is_empty: bool,
        now: u64,
    ) -> Option<(u16, Box<[u8]>)> {
        let found = self.peek(account, subject, now)?;
        let way = (found.account, found.reply.clone());
        let last = match found.terms.response {
            ResponseKind::Singleton => true,
            ResponseKind::Streamed => false,
            ResponseKind::Chunked => body_is_empty,
        };
        let id = self.id_of(subject)?;
        if last {
            self.open.remove(&id);
        } else if let Some(response) = self.open.get_mut(&id) {
            response.expires = now.saturating_add(nanos(response.terms.threshold));
        }
        Some(way)
    }

    fn expire(&mut self, now: u64) {
        while let Some(&Reverse((at, id))) = self.expiries.peek() {
            let full = self.open.len() >= OPEN_RESPONSES_MAX;
            if at > now && !full {
                break;
            }
            self.expiries.pop();
            match self.open.get(&id) {
                // It was put off meanwhile.
                Some(open) if open.expires > at && !full => {
                    self.expiries.push(Reverse((open.expires, id)));
                }
                Some(_) => {
                    self.open.remove(&id);
                }
                None => {}
            }
        }
        if self.expiries.len() > 2 * self.open.len() + STALE_EXPIRIES_MAX {
            let open = self.open.iter();
            self.expiries = open.map(|(id, r)| Reverse((r.expires, *id))).collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn terms(response: ResponseKind) -> Arc<ServiceTerms> {
        Arc::new(ServiceTerms {
            account: 5,
            response,
            threshold: Duration::from_nanos(100),
            share: false,
        })
    }

    #[test]
    fn responses_end_by_their_kind_and_their_time() {
        let mut responses = Responses::new(77);
        let mut number = 0;
        let mut open = |responses: &mut Responses, kind, now| {
            let mut subject = Vec::new();
            let random = || {
                number += 1;
                number
            };
            responses.open(3, b"r", &terms(kind), now, random, &mut subject);
            subject
        };
        let one = open(&mut responses, ResponseKind::Singleton, 0);
        assert!(crate::subject::matches(&responses.pattern(), &one));
        assert!(responses.take(4, &one, false, 1).is_none());
        assert!(responses.take(5, &one, false, 1).is_some());
        assert!(responses.take(5, &one, false, 1).is_none());
        let chunks = open(&mut responses, ResponseKind::Chunked, 0);
        for now in [90, 180] {
            assert!(responses.take(5, &chunks, false, now).is_some());
        }
        assert!(responses.take(5, &chunks, true, 190).is_some());
        assert!(responses.take(5, &chunks, false, 190).is_none());
        let late = open(&mut responses, ResponseKind::Streamed, 200);
        assert!(responses.take(5, &late, false, 301).is_none());
        open(&mut responses, ResponseKind::Singleton, 400);
        assert_eq!(responses.open.len(), 1);
    }

    #[test]
    fn answered_requests_leave_no_memory_behind() {
        let mut responses = Responses::new(1);
        let mut number = 0;
        for _ in 0..10_000 {
            let mut subject = Vec::new();
            let random = || {
                number += 1;
                number
            };
            let terms = terms(ResponseKind::Singleton);
            responses.open(3, b"r", &terms, 0, random, &mut subject);
            assert!(responses.take(5, &subject, false, 0).is_some());
        }
        assert!(responses.expiries.len() <= 2 * STALE_EXPIRIES_MAX);
    }
}
