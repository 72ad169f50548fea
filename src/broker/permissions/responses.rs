//! Replies granted to a connection by the messages delivered to it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::ResponseRule;

/// Reply subjects for which a connection holds grants at the same time.
///
/// nats-server has no such limit. The oldest grant gives way to a new one.
pub const MAX_RESPONSE_GRANTS: usize = 65_536;

/// Bytes of reply subjects for which a connection holds grants at the same time.
///
/// nats-server has no such limit. The oldest grants give way to a new one.
pub const MAX_RESPONSE_GRANT_BYTES: usize = 4 * 1024 * 1024;

/// How much a [`ResponseTracker`] remembers; the default is the two constants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseLimits {
    /// Number of reply subjects.
    pub grants: usize,
    /// Bytes of their text in total.
    pub bytes: usize,
}

impl Default for ResponseLimits {
    fn default() -> Self {
        Self {
            grants: MAX_RESPONSE_GRANTS,
            bytes: MAX_RESPONSE_GRANT_BYTES,
        }
    }
}

/// Which replies a connection may publish beyond its allow list, and how often.
///
/// Each delivered message with a reply subject grants `max` replies for the
/// rule's time. Another message with the same reply subject adds its own and
/// starts the time anew. A grant that is used up or out of time is forgotten.
///
/// `now` is a reading of a clock that never goes back, from any origin that
/// stays the same for the tracker's life.
#[derive(Debug)]
pub struct ResponseTracker {
    /// Replies that one message grants; `None` for any number.
    max: Option<u64>,
    /// How long a grant lasts; `None` for ever.
    expires: Option<Duration>,
    limits: ResponseLimits,
    grants: HashMap<Arc<[u8]>, Grant>,
    /// Grants from the oldest to the latest, with the number each had when it
    /// was put here. Renewed and forgotten grants leave a stale line behind.
    by_age: VecDeque<(u64, Arc<[u8]>)>,
    /// The number of the next grant.
    next_number: u64,
    /// Text of all keys in `grants`.
    bytes: usize,
}

#[derive(Debug)]
struct Grant {
    /// Replies left; meaningless if there is no maximum.
    left: u64,
    since: Duration,
    /// Tells the current line in `by_age` from stale ones.
    number: u64,
}

/// Stale lines in `by_age` that are tolerated beyond as many as there are grants.
const STALE_SLACK: usize = 64;

impl ResponseTracker {
    /// A tracker without grants. The rule's defaults are filled in.
    pub fn new(rule: ResponseRule, limits: ResponseLimits) -> Self {
        let rule = rule.with_defaults();
        Self {
            // A negative number is none.
            max: u64::try_from(rule.max).ok(),
            expires: u64::try_from(rule.expires_nanos)
                .ok()
                .map(Duration::from_nanos),
            limits,
            grants: HashMap::new(),
            by_age: VecDeque::new(),
            next_number: 0,
            bytes: 0,
        }
    }

    /// Notes that a message with this reply subject was delivered at `now`.
    ///
    /// Not for replies that the connection may publish anyway.
    pub fn grant(&mut self, reply: &[u8], now: Duration) {
        self.forget_expired(now);
        let number = self.next_number;
        self.next_number += 1;
        let max = self.max.unwrap_or(0);
        let key = match self.grants.get_key_value(reply) {
            Some((key, _)) => Arc::clone(key),
            None => {
                self.bytes += reply.len();
                Arc::from(reply)
            }
        };
        let grant = self.grants.entry(Arc::clone(&key)).or_insert(Grant {
            left: 0,
            since: now,
            number,
        });
        grant.left = grant.left.saturating_add(max);
        grant.since = now;
        grant.number = number;
        self.by_age.push_back((number, key));
        while self.grants.len() > self.limits.grants || self.bytes > self.limits.bytes {
            self.forget_oldest();
        }
        self.drop_stale_lines();
    }

    /// Uses up one reply granted for this subject; `false` if there is none.
    pub fn try_use(&mut self, reply: &[u8], now: Duration) -> bool {
        let Some(grant) = self.grants.get_mut(reply) else {
            return false;
        };
        if is_expired(self.expires, grant.since, now) {
            self.forget(reply);
            return false;
        }
        if self.max.is_some() {
            grant.left -= 1;
            if grant.left == 0 {
                self.forget(reply);
            }
        }
        true
    }

    /// Reply subjects with a grant, those out of time included until noticed.
    pub fn len(&self) -> usize {
        self.grants.len()
    }

    /// Whether nothing is granted.
    pub fn is_empty(&self) -> bool {
        self.grants.is_empty()
    }

    fn forget_expired(&mut self, now: Duration) {
        while let Some((number, key)) = self.by_age.front() {
            match self.grants.get(key) {
                Some(grant) if grant.number == *number => {
                    if !is_expired(self.expires, grant.since, now) {
                        return;
                    }
                    self.forget_oldest();
                }
                _ => {
                    self.by_age.pop_front();
                }
            }
        }
    }

    /// Takes one line from the front of `by_age` and, unless stale, its grant.
    fn forget_oldest(&mut self) {
        if let Some((number, key)) = self.by_age.pop_front()
            && self
                .grants
                .get(&key)
                .is_some_and(|grant| grant.number == number)
        {
            self.forget(&key);
        }
    }

    fn forget(&mut self, reply: &[u8]) {
        if self.grants.remove(reply).is_some() {
            self.bytes -= reply.len();
        }
    }

    /// Keeps `by_age` within a constant factor of `grants`; amortised, since
    /// half of the lines are stale whenever they are gone through.
    fn drop_stale_lines(&mut self) {
        if self.by_age.len() > 2 * self.grants.len() + STALE_SLACK {
            let grants = &self.grants;
            self.by_age.retain(|(number, key)| {
                grants.get(key).is_some_and(|grant| grant.number == *number)
            });
        }
    }
}

fn is_expired(expires: Option<Duration>, since: Duration, now: Duration) -> bool {
    expires.is_some_and(|expires| now.saturating_sub(since) > expires)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn tracker(max: i64, expires_seconds: i64, limits: ResponseLimits) -> ResponseTracker {
        let rule = ResponseRule {
            max,
            expires_nanos: expires_seconds * 1_000_000_000,
        };
        ResponseTracker::new(rule, limits)
    }

    #[test]
    fn the_default_is_one_reply_within_two_minutes() {
        let mut tracker = tracker(0, 0, ResponseLimits::default());
        assert!(!tracker.try_use(b"r", seconds(0)));
        tracker.grant(b"r", seconds(0));
        assert!(tracker.try_use(b"r", seconds(120)));
        assert!(!tracker.try_use(b"r", seconds(120)));
        tracker.grant(b"r", seconds(200));
        assert!(!tracker.try_use(b"r", seconds(321)));
        assert!(tracker.is_empty());
    }

    #[test]
    fn negative_numbers_lift_the_limits() {
        let mut tracker = tracker(-1, -1, ResponseLimits::default());
        tracker.grant(b"r", seconds(0));
        for year in 0..100 {
            assert!(tracker.try_use(b"r", seconds(year * 31_557_600)));
        }
    }

    #[test]
    fn each_message_adds_replies_and_renews_the_time() {
        let mut tracker = tracker(1, 10, ResponseLimits::default());
        tracker.grant(b"r", seconds(0));
        tracker.grant(b"r", seconds(9));
        assert!(tracker.try_use(b"r", seconds(19)));
        assert!(tracker.try_use(b"r", seconds(19)));
        assert!(!tracker.try_use(b"r", seconds(19)));
    }

    #[test]
    fn a_reply_longer_than_the_limit_is_not_remembered() {
        let limits = ResponseLimits {
            grants: 10,
            bytes: 4,
        };
        let mut tracker = tracker(1, 10, limits);
        tracker.grant(b"abcde", seconds(0));
        assert!(tracker.is_empty());
        assert_eq!(tracker.bytes, 0);
    }

    #[test]
    fn used_grants_leave_no_growing_trace_behind_one_that_lasts() {
        let mut tracker = tracker(1, -1, ResponseLimits::default());
        tracker.grant(b"lasting", seconds(0));
        for number in 0..10_000_u32 {
            let reply = number.to_string();
            tracker.grant(reply.as_bytes(), seconds(1));
            assert!(tracker.try_use(reply.as_bytes(), seconds(1)));
            assert!(tracker.by_age.len() <= 2 * tracker.len() + STALE_SLACK + 2);
        }
        assert_eq!(tracker.len(), 1);
    }

    /// The rule, written down without regard to cost.
    struct Model {
        max: Option<u64>,
        expires: Option<Duration>,
        limits: ResponseLimits,
        /// Reply, replies left, time of the latest message; oldest first.
        grants: Vec<(Vec<u8>, u64, Duration)>,
    }

    impl Model {
        fn forget_expired(&mut self, now: Duration) {
            if let Some(expires) = self.expires {
                self.grants.retain(|grant| now - grant.2 <= expires);
            }
        }

        fn grant(&mut self, reply: &[u8], now: Duration) {
            self.forget_expired(now);
            let position = self.grants.iter().position(|grant| grant.0 == reply);
            let left = position.map_or(0, |position| self.grants.remove(position).1);
            let left = left + self.max.unwrap_or(0);
            self.grants.push((reply.to_vec(), left, now));
            while self.grants.len() > self.limits.grants
                || self.grants.iter().map(|grant| grant.0.len()).sum::<usize>() > self.limits.bytes
            {
                self.grants.remove(0);
            }
        }

        fn try_use(&mut self, reply: &[u8], now: Duration) -> bool {
            self.forget_expired(now);
            let Some(grant) = self.grants.iter_mut().find(|grant| grant.0 == reply) else {
                return false;
            };
            if self.max.is_some() {
                grant.1 -= 1;
            }
            if self.max.is_some() && grant.1 == 0 {
                self.grants.retain(|grant| grant.0 != reply);
            }
            true
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Grant(String),
        Use(String),
        Pass(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            "[a-d]{1,3}".prop_map(Step::Grant),
            "[a-d]{1,3}".prop_map(Step::Use),
            (0..4_u64).prop_map(Step::Pass),
        ]
    }

    proptest! {
        #[test]
        fn a_tracker_does_what_the_model_does(
            max in prop_oneof![Just(-1_i64), 1..4_i64],
            expires in prop_oneof![Just(-1_i64), 1..6_i64],
            grants in 1..6_usize,
            bytes in 2..16_usize,
            steps in prop::collection::vec(step(), 0..200),
        ) {
            let limits = ResponseLimits { grants, bytes };
            let mut tracker = tracker(max, expires, limits);
            let mut model = Model {
                max: u64::try_from(max).ok(),
                expires: u64::try_from(expires).ok().map(seconds),
                limits,
                grants: Vec::new(),
            };
            let mut now = seconds(0);
            for step in steps {
                match step {
                    Step::Grant(reply) => {
                        tracker.grant(reply.as_bytes(), now);
                        model.grant(reply.as_bytes(), now);
                    }
                    Step::Use(reply) => prop_assert_eq!(
                        tracker.try_use(reply.as_bytes(), now),
                        model.try_use(reply.as_bytes(), now)
                    ),
                    Step::Pass(time) => now += seconds(time),
                }
                prop_assert!(tracker.len() <= grants && tracker.bytes <= bytes);
                let held: usize = tracker.grants.keys().map(|key| key.len()).sum();
                prop_assert_eq!(tracker.bytes, held);
            }
        }
    }
}
