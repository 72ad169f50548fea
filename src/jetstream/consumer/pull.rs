//! Pull requests: taking them in, expiry, heartbeats, pins.

use crate::broker::Now;
use crate::jetstream::bus::Bus;
use crate::protocol::headers;

use super::config::PriorityPolicy;
use super::deliver::end_request;
use super::event::{Event, EventKind};
use super::request::PullRequest;
use super::single::{Consumer, Context, Shared, Target};
use super::waiting::NEVER;
use super::{priority, status, text};

/// Header that names the API level a request needs.
pub const REQUIRED_LEVEL: &[u8] = b"Nats-Required-Api-Level";

impl Consumer {
    /// Takes a pull request.
    pub(super) fn pull(
        &mut self,
        shared: &mut Shared,
        context: &mut Context<'_>,
        reply: &[u8],
        header: &[u8],
        payload: &[u8],
    ) {
        if reply.is_empty() {
            return;
        }
        let now = context.bus.now();
        if !header.is_empty() && needs_more(header, shared.facts.api_level) {
            Self::send_status(shared, context.bus, reply, b"412 Required Api Level");
            return;
        }
        if self.config.is_push() {
            Self::send_status(shared, context.bus, reply, b"409 Consumer is push based");
            return;
        }
        self.idle_since = now.mono_ns;
        let request = match PullRequest::parse(payload) {
            Ok(request) => request,
            Err(problem) => {
                let text = format!("400 Bad Request - {problem}");
                Self::send_status(shared, context.bus, reply, text.as_bytes());
                return;
            }
        };
        if let Some(refusal) = self.check_limits(&request) {
            Self::send_status(shared, context.bus, reply, refusal.as_bytes());
            return;
        }
        if let Err(refusal) = priority::check(&self.config, &request, &self.pin) {
            Self::send_status(shared, context.bus, reply, refusal);
            return;
        }
        if !request.id.is_empty() {
            self.pin.used_at = now.mono_ns;
        }
        if request.no_wait && self.refuse_no_wait(shared, context, &request, reply, now) {
            return;
        }
        if self.is_full(shared, context) {
            if request.idle_heartbeat <= 0 {
                Self::send_status(shared, context.bus, reply, b"409 Exceeded MaxWaiting");
            }
            return;
        }
        if request.expires < 0 {
            let bytes = u64::try_from(request.max_bytes).unwrap_or(0);
            let wanted = request.wanted();
            status::with_pending(&mut shared.header, b"408 Request Timeout", wanted, bytes);
            Self::send_header(shared, context.bus, reply);
            return;
        }
        self.enqueue(&request, reply, now.mono_ns);
    }

    fn enqueue(&mut self, request: &PullRequest<'_>, reply: &[u8], now: u64) {
        let Target::Pull(queue) = &mut self.target else {
            return;
        };
        let positive = |number: i64| u64::try_from(number).unwrap_or(0);
        queue.add(|waiting| {
            waiting.reply.extend_from_slice(reply);
            waiting.left = request.wanted();
            waiting.bytes_left = Some(positive(request.max_bytes)).filter(|&bytes| bytes > 0);
            waiting.expires_at = match positive(request.expires) {
                0 => NEVER,
                time => now.saturating_add(time),
            };
            waiting.heartbeat = positive(request.idle_heartbeat);
            waiting.beat_at = now.saturating_add(waiting.heartbeat);
            waiting.no_wait = request.no_wait;
            waiting.min_pending = positive(request.min_pending);
            waiting.min_ack_pending = positive(request.min_ack_pending);
            waiting.priority = request.priority.clamp(0, priority::PRIORITY_MAX) as u8;
            waiting.pin.extend_from_slice(&request.id);
        });
    }

    /// The status for a request that asks for more than the consumer allows.
    fn check_limits(&self, request: &PullRequest<'_>) -> Option<String> {
        let config = &self.config;
        if config.max_batch > 0 && request.batch > config.max_batch {
            return Some(format!(
                "409 Exceeded MaxRequestBatch of {}",
                config.max_batch
            ));
        }
        if config.max_expires > 0 && request.expires > config.max_expires {
            return Some(format!(
                "409 Exceeded MaxRequestExpires of {}",
                text::duration(config.max_expires)
            ));
        }
        if config.max_bytes > 0 && request.max_bytes > config.max_bytes {
            return Some(format!(
                "409 Exceeded MaxRequestMaxBytes of {}",
                config.max_bytes
            ));
        }
        let beat = request.idle_heartbeat;
        if beat > 0 && beat.saturating_mul(2) > request.expires {
            return Some("400 Bad Request - heartbeat value too large".to_owned());
        }
        None
    }

    /// Answers a request that does not wait, if nothing can be delivered now.
    fn refuse_no_wait(
        &mut self,
        shared: &mut Shared,
        context: &mut Context<'_>,
        request: &PullRequest<'_>,
        reply: &[u8],
        now: Now,
    ) -> bool {
        let mut available = self.position.pending(context.log) + self.state.pending.queued() as u64;
        if self.is_paused(now.unix_ns) {
            available = 0;
        }
        let Target::Pull(queue) = &self.target else {
            return false;
        };
        if available == 0 {
            if request.expires == 0 {
                Self::send_status(shared, context.bus, reply, b"404 No Messages");
            }
            return request.expires == 0;
        }
        let before = queue.wanted();
        if before >= available {
            Self::send_status(shared, context.bus, reply, b"408 Requests Pending");
            return true;
        }
        false
    }

    /// Whether no more requests may wait. Those whose clients left make room.
    fn is_full(&mut self, shared: &mut Shared, context: &mut Context<'_>) -> bool {
        let Ok(limit) = usize::try_from(self.config.max_waiting) else {
            return false;
        };
        let Target::Pull(queue) = &mut self.target else {
            return true;
        };
        if queue.len() < limit {
            return false;
        }
        let mut at = 0;
        while let Some(request) = queue.get(at) {
            if context
                .bus
                .has_interest(shared.facts.account, &request.reply)
            {
                at += 1;
            } else {
                queue.remove(at);
            }
        }
        queue.len() >= limit
    }

    /// Requests that wait and whose clients are still there.
    pub(super) fn count_waiting(&self, shared: &Shared, bus: &mut dyn Bus) -> usize {
        match &self.target {
            Target::Push(_) => 0,
            Target::Pull(queue) => queue
                .iter()
                .filter(|request| bus.has_interest(shared.facts.account, &request.reply))
                .count(),
        }
    }

    /// Ends requests that have expired, and sends heartbeats to the others.
    pub(super) fn tick_requests(&mut self, shared: &mut Shared, context: &mut Context<'_>) {
        let now = context.bus.now();
        let pending = self.position.pending(context.log);
        let paused = self.is_paused(now.unix_ns);
        let (last_consumer, last_stream) =
            (self.state.delivered.consumer, self.state.delivered.stream);
        let Target::Pull(queue) = &mut self.target else {
            return;
        };
        if queue.next_at().is_none_or(|at| at > now.mono_ns) {
            return;
        }
        let mut at = 0;
        while let Some(request) = queue.get_mut(at) {
            if request.expires_at <= now.mono_ns {
                end_request(shared, context, queue, at, b"408 Request Timeout");
                continue;
            }
            let ends = request.was_delivered || request.expires_at == NEVER;
            if request.no_wait && ends && (paused || pending > 0) {
                // It was held up, be it by acknowledgements; nobody waits for it to end.
                Self::send_status(shared, context.bus, &request.reply, b"404 No Messages");
                queue.remove(at);
                continue;
            }
            if request.heartbeat > 0 && request.beat_at <= now.mono_ns {
                request.beat_at = now.mono_ns.saturating_add(request.heartbeat);
                status::heartbeat(&mut shared.header, last_consumer, last_stream, b"");
                Self::send_header(shared, context.bus, &request.reply);
            }
            at += 1;
        }
        queue.reschedule();
    }

    /// Ends requests that hold another pin than the group's.
    pub(super) fn end_wrong_pins(&mut self, shared: &mut Shared, context: &mut Context<'_>) {
        let Target::Pull(queue) = &mut self.target else {
            return;
        };
        let mut at = 0;
        while let Some(request) = queue.get(at) {
            if request.pin.is_empty() || request.pin == self.pin.id {
                at += 1;
            } else {
                end_request(shared, context, queue, at, b"423 Nats-Wrong-Pin-Id");
            }
        }
    }

    /// Takes the pin from its client.
    pub(super) fn unpin(
        &mut self,
        shared: &mut Shared,
        context: &mut Context<'_>,
        reason: &'static str,
    ) {
        if !self.pin.is_set() {
            return;
        }
        self.pin.clear();
        shared.events.push(Event {
            consumer: self.name.clone(),
            kind: EventKind::Unpinned {
                group: self
                    .config
                    .priority_groups
                    .first()
                    .cloned()
                    .unwrap_or_default(),
                reason,
            },
        });
        self.end_wrong_pins(shared, context);
    }

    /// When the pin is lost for want of requests; `u64::MAX` if it is not.
    pub(super) fn unpin_at(&self) -> u64 {
        if self.config.priority_policy != PriorityPolicy::PinnedClient || !self.pin.is_set() {
            return u64::MAX;
        }
        let timeout = u64::try_from(self.config.priority_timeout).unwrap_or(0);
        self.pin.used_at.saturating_add(timeout)
    }
}

/// Whether a request needs a higher API level than `level`.
fn needs_more(header: &[u8], level: u32) -> bool {
    headers::get(header, REQUIRED_LEVEL).is_some_and(|value| {
        let digits = value.trim_ascii();
        text::parse_u64(digits).is_none_or(|needed| needed > u64::from(level))
    })
}
