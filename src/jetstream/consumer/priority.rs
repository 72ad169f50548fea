//! Priority groups: which of the waiting requests may be served.

use super::config::{ConsumerConfig, PriorityPolicy};
use super::request::PullRequest;
use super::waiting::Waiting;

/// Highest value of a request's priority.
pub const PRIORITY_MAX: i64 = 9;
/// Characters of a pin.
pub const PIN_LENGTH: usize = 22;

/// The client that a group is pinned to.
#[derive(Debug, Default)]
pub struct Pin {
    /// Empty: none.
    pub id: Vec<u8>,
    /// When it was given, in nanoseconds since 1970.
    pub since_unix_ns: i64,
    /// When its client last asked for messages, in nanoseconds of the monotonic clock.
    pub used_at: u64,
}

impl Pin {
    pub fn is_set(&self) -> bool {
        !self.id.is_empty()
    }

    /// Makes a new pin from random numbers.
    pub fn give(&mut self, random: [u64; 2], now: u64, unix_ns: i64) {
        const ALPHABET: &[u8; 62] =
            b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        self.id.clear();
        let [mut low, mut high] = random;
        for at in 0..PIN_LENGTH {
            let rest = if at % 2 == 0 { &mut low } else { &mut high };
            self.id.push(ALPHABET[(*rest % 62) as usize]);
            *rest /= 62;
        }
        self.since_unix_ns = unix_ns;
        self.used_at = now;
    }

    pub fn clear(&mut self) {
        self.id.clear();
        self.since_unix_ns = 0;
    }
}

/// Checks what a request says about groups. The error is the whole status.
///
/// # Errors
/// A status of 400 or 423.
pub fn check(
    config: &ConsumerConfig,
    request: &PullRequest<'_>,
    pin: &Pin,
) -> Result<(), &'static [u8]> {
    let policy = config.priority_policy;
    if policy != PriorityPolicy::None {
        if request.group.is_empty() {
            return Err(b"400 Bad Request - Priority Group missing");
        }
        let known = config
            .priority_groups
            .iter()
            .any(|group| group.as_bytes() == request.group.as_ref());
        if !known {
            return Err(b"400 Bad Request - Invalid Priority Group");
        }
    }
    if policy == PriorityPolicy::Prioritized && !(0..=PRIORITY_MAX).contains(&request.priority) {
        return Err(b"400 Bad Request - Priority must be between 0 and 9");
    }
    if policy != PriorityPolicy::Overflow
        && (request.min_pending > 0 || request.min_ack_pending > 0)
    {
        return Err(b"400 Bad Request - Not a Overflow Priority consumer");
    }
    if !request.id.is_empty() {
        if policy != PriorityPolicy::PinnedClient {
            return Err(b"400 Bad Request - Not a Pinned Client Priority consumer");
        }
        if request.id.as_ref() != pin.id.as_slice() {
            return Err(b"423 Nats-Pin-Id mismatch");
        }
    }
    Ok(())
}

/// Whether a waiting request may be served now.
pub fn may_serve(
    policy: PriorityPolicy,
    request: &Waiting,
    pin: &Pin,
    pending: u64,
    ack_pending: u64,
) -> bool {
    match policy {
        PriorityPolicy::None | PriorityPolicy::Prioritized => true,
        PriorityPolicy::Overflow => {
            let always = request.min_pending == 0 && request.min_ack_pending == 0;
            always
                || (request.min_pending > 0 && pending >= request.min_pending)
                || (request.min_ack_pending > 0 && ack_pending >= request.min_ack_pending)
        }
        PriorityPolicy::PinnedClient => !pin.is_set() || request.pin == pin.id,
    }
}
