//! Routing one message to everyone who is to have it.

use std::time::Duration;

use bytes::Bytes;

use super::auth::user_info_json;
use super::core::{Core, CoreId};
use super::effect::LogLevel;
use super::route::{Group, Route, RouteRef};
use super::stamp::ServerStamp;
use super::subscriptions::{NO_QUEUE, QueueId, SubId};
use super::wire::{self, MessageRecord, RunItem};
use crate::protocol::quote::push_quoted;
use crate::protocol::render::{self, PermissionsViolation};
use crate::protocol::{ErrorText, Publish, headers};
use crate::subject;

/// Tails of at least this many bytes are referenced by the connections that
/// receive them instead of copied, if there are several.
pub const SHARED_TAIL_BYTES_MIN: usize = 16 * 1024;

/// Times a message for a queue group may go from a core whose member left to
/// another. Interest converges within one exchange, so more than a few mean
/// that every member refuses it (deny rules, echo).
pub const QUEUE_HOPS_MAX: u8 = 16;

/// The service that tells a client who it is.
const USER_INFO_SUBJECT: &[u8] = b"$SYS.REQ.USER.INFO";

/// A message on its way through a core.
pub(super) struct Message<'a> {
    pub account: u16,
    /// The subject it is routed by.
    pub subject: &'a [u8],
    /// The subject that readers see, if it is another one: a stored message
    /// goes to an inbox under its own subject.
    pub shown: Option<&'a [u8]>,
    pub reply: &'a [u8],
    /// `Some` for a message with headers (never an empty block).
    pub header_len: Option<usize>,
    /// Headers and payload.
    pub body: &'a [u8],
    /// " [reply ]sizes\r\nbody\r\n".
    pub tail: &'a [u8],
    /// The tail, once several connections reference it.
    pub shared: Option<Bytes>,
    /// The tail for subscribers without header support; empty until one needs it.
    pub headless: Vec<u8>,
    /// The publisher's connection id.
    pub origin: u64,
    /// The connection that must not receive it, because its echo is off.
    pub excluded: Option<u32>,
    pub hops: u8,
    /// Its publisher is on another core.
    pub remote: bool,
}

impl<'a> Message<'a> {
    /// The subject that readers see.
    #[inline]
    pub fn shown(&self) -> &'a [u8] {
        self.shown.unwrap_or(self.subject)
    }
}

/// What became of a message on this core.
#[derive(Default)]
pub(super) struct Outcome {
    /// Copies handed to connections, and the bytes of their bodies.
    pub delivered: u32,
    pub bytes: u64,
    /// Copies for the server's own subscriptions.
    pub internal: u32,
    /// A reader that takes it without being slow.
    pub healthy_reader: Option<u32>,
    /// A slow reader got (or, by configuration, lost) it.
    pub slow: bool,
}

impl Outcome {
    /// Nobody on this core wanted it.
    #[inline]
    pub fn is_nobody(&self) -> bool {
        self.delivered == 0 && self.internal == 0 && !self.slow
    }
}

/// Subjects and replies with these first bytes may be reserved.
#[inline]
fn may_be_reserved(subject: &[u8]) -> bool {
    matches!(subject.first(), Some(b'_' | b'$'))
}

fn is_literal_and_valid(subject: &[u8]) -> bool {
    subject::is_valid_publish(subject) && subject::is_literal(subject)
}

/// A subject in the quotes of log lines.
pub(super) fn quoted(subject: &[u8]) -> String {
    let mut text = Vec::with_capacity(subject.len() + 2);
    push_quoted(&mut text, subject);
    String::from_utf8_lossy(&text).into_owned()
}

fn is_reserved_subject(subject: &[u8]) -> bool {
    subject.starts_with(b"_GR_.") || subject.starts_with(b"$NRG.")
}

fn is_reserved_reply(reply: &[u8]) -> bool {
    reply.starts_with(b"_R_.") || reply.starts_with(b"_GR_.") || reply.starts_with(b"$JS.ACK.")
}

/// What a message takes from the connection that publishes it.
#[derive(Clone, Copy)]
struct Publisher {
    slot: u32,
    account: u16,
    cid: u64,
    echo: bool,
    hint: RouteRef,
}

impl Core {
    /// PUB or HPUB from a client.
    #[inline]
    pub(super) fn publish(&mut self, slot: u32, publish: &Publish<'_>) {
        let Some(conn) = self.conns[slot as usize].as_deref_mut() else {
            return;
        };
        let bytes = publish.body.len() as u64;
        conn.received.messages += 1;
        conn.received.bytes += bytes;
        self.counters.received.messages += 1;
        self.counters.received.bytes += bytes;
        let unusual = conn.verbose
            || conn.pedantic
            || conn.permissions.is_some()
            || may_be_reserved(publish.subject)
            || may_be_reserved(publish.reply)
            || conn.mapped;
        let publisher = Publisher {
            slot,
            account: conn.account,
            cid: conn.cid,
            echo: conn.echo,
            hint: conn.route_hint,
        };
        if unusual {
            self.publish_unusual(publisher, publish);
        } else {
            self.publish_admitted(publisher, publish);
        }
    }

    /// Of a connection, or to a subject, that must be looked at first.
    #[cold]
    fn publish_unusual(&mut self, publisher: Publisher, publish: &Publish<'_>) {
        let mut mapped = Vec::new();
        let changed = self.map_subject(publisher.account, publish.subject, &mut mapped);
        let subject = if changed { &mapped } else { publish.subject };
        let publish = Publish {
            subject,
            ..*publish
        };
        if self.admit(publisher.slot, &publish) {
            self.publish_admitted(publisher, &publish);
        }
    }

    #[inline]
    fn publish_admitted(&mut self, publisher: Publisher, publish: &Publish<'_>) {
        let header_len = publish.header_len.filter(|&len| len > 0);
        let mut scratch = Vec::new();
        let tail = match publish.tail {
            Some(tail) => tail,
            None => {
                scratch = std::mem::take(&mut self.scratch);
                scratch.clear();
                render::tail(&mut scratch, publish);
                &scratch
            }
        };
        let mut message = Message {
            account: publisher.account,
            subject: publish.subject,
            shown: None,
            reply: publish.reply,
            header_len,
            body: publish.body,
            tail,
            shared: None,
            headless: self.take_headless(),
            origin: publisher.cid,
            excluded: (!publisher.echo).then_some(publisher.slot),
            hops: 0,
            remote: false,
        };
        self.route(publisher.slot, publisher.hint, &mut message);
        self.headless = message.headless;
        if scratch.capacity() > 0 {
            self.scratch = scratch;
        }
    }

    /// What the account's mappings make of a subject; false if it stays as it is.
    fn map_subject(&mut self, account: u16, subject: &[u8], mapped: &mut Vec<u8>) -> bool {
        let links = &self.accounts[usize::from(account)].links;
        if links.mappings.is_empty() {
            return false;
        }
        let links = std::sync::Arc::clone(links);
        let random = self.rng.next();
        let changed = links
            .mapping(subject)
            .is_some_and(|mapping| mapping.apply(subject, random, mapped));
        if !changed || !subject::is_valid_publish(mapped) {
            mapped.clear();
        }
        !mapped.is_empty()
    }

    /// Memory for [`Message::headless`], reused from message to message.
    #[inline]
    pub(super) fn take_headless(&mut self) -> Vec<u8> {
        let mut headless = std::mem::take(&mut self.headless);
        headless.clear();
        headless
    }

    /// Checks that only some publishers or subjects need. Returns whether the
    /// message goes on.
    #[cold]
    fn admit(&mut self, slot: u32, publish: &Publish<'_>) -> bool {
        // In nats-server's order: it checks the form while it reads the line.
        if self.conn(slot).is_some_and(|c| c.pedantic) && !is_literal_and_valid(publish.subject) {
            self.reply_error(slot, ErrorText::InvalidPublishSubject);
        }
        if is_reserved_subject(publish.subject) || !self.may_publish(slot, publish.subject) {
            self.refuse_publish(slot, publish.subject);
            return false;
        }
        if is_reserved_reply(publish.reply) {
            self.reply_violation(
                slot,
                &PermissionsViolation::Reply {
                    reply: publish.reply,
                },
            );
            self.log_publish_violation(slot, publish.reply);
            return false;
        }
        self.reply_ok_if_verbose(slot);
        if publish.subject == USER_INFO_SUBJECT && !publish.reply.is_empty() {
            return !self.answer_user_info(slot, publish.reply);
        }
        !self.pass_account_request(slot, publish)
    }

    fn may_publish(&mut self, slot: u32, subject: &[u8]) -> bool {
        let now = Duration::from_nanos(self.now.mono_ns);
        self.conn_mut(slot)
            .and_then(|conn| conn.permissions.as_deref_mut())
            .is_none_or(|permissions| permissions.may_publish(subject, now))
    }

    fn refuse_publish(&mut self, slot: u32, subject: &[u8]) {
        self.reply_violation(slot, &PermissionsViolation::Publish { subject });
        self.log_publish_violation(slot, subject);
    }

    fn log_publish_violation(&mut self, slot: u32, subject: &[u8]) {
        let subject = quoted(subject);
        self.log_connection(
            LogLevel::Error,
            slot,
            &format!("Publish Violation - Subject {subject}"),
        );
    }

    /// Delivers a client's message on this core and sends it to the others.
    #[inline]
    fn route(&mut self, slot: u32, hint: RouteRef, message: &mut Message<'_>) {
        let account = &self.accounts[usize::from(message.account)];
        let at = self.routes.find_near(
            hint,
            self.id,
            message.account,
            account,
            &self.subs,
            message.subject,
        );
        let route = self.routes.take(at);
        let mut outcome = Outcome::default();
        let cores = self.deliver_by(at, route, message, &mut outcome);
        self.count_deliveries(&outcome);
        let nobody = outcome.is_nobody() && cores == 0;
        if nobody {
            self.no_responders(slot, message);
        } else {
            self.note_readers(slot, at, &outcome, cores, message.body.len());
        }
    }

    /// To all that the route leads to; it goes back to its place. Returns the cores that were sent
    /// the message.
    #[inline]
    pub(super) fn deliver_by(
        &mut self,
        at: RouteRef,
        route: Box<Route>,
        message: &mut Message<'_>,
        outcome: &mut Outcome,
    ) -> u64 {
        if route.beyond.is_some() {
            return self.route_across(at, route, message, outcome);
        }
        let cores = self.deliver_in_account(&route, message, outcome);
        self.routes.put(at, route);
        cores
    }

    /// The same without what lies beyond the account.
    #[inline]
    pub(super) fn deliver_in_account(
        &mut self,
        route: &Route,
        message: &mut Message<'_>,
        outcome: &mut Outcome,
    ) -> u64 {
        self.deliver_plain(route, message, outcome);
        if route.groups.is_empty() && route.cores == 0 {
            return 0;
        }
        self.route_beyond(route, message, outcome)
    }

    #[inline]
    pub(super) fn count_deliveries(&mut self, outcome: &Outcome) {
        self.counters.delivered.messages += u64::from(outcome.delivered);
        self.counters.delivered.bytes += outcome.bytes;
    }

    /// To this core's plain subscriptions.
    #[inline]
    pub(super) fn deliver_plain(
        &mut self,
        route: &Route,
        message: &mut Message<'_>,
        outcome: &mut Outcome,
    ) {
        if message.tail.len() >= SHARED_TAIL_BYTES_MIN && route.locals.len() > 1 {
            message.shared = Some(Bytes::copy_from_slice(message.tail));
        }
        // Another subscriber first for every message: being last in a large
        // fan-out costs microseconds, and nobody should always pay them.
        let count = route.locals.len();
        if count == 1 {
            self.deliver(route.locals[0], message, outcome);
        } else if count > 1 {
            let start = self.rng.below(count as u64) as usize;
            for &sub in route.locals[start..].iter().chain(&route.locals[..start]) {
                self.deliver(sub, message, outcome);
            }
        }
    }

    /// To queue groups and other cores. Returns the cores that were sent it.
    pub(super) fn route_beyond(
        &mut self,
        route: &Route,
        message: &mut Message<'_>,
        outcome: &mut Outcome,
    ) -> u64 {
        let mut cores = route.cores;
        // Picks on other cores, in the order of the groups.
        let mut picks = std::mem::take(&mut self.queue_picks);
        picks.clear();
        for group in &route.groups {
            if !self.skipped_groups.is_empty() && self.skipped_groups.contains(&group.queue) {
                continue;
            }
            match self.pick(group, message, outcome) {
                Pick::Delivered | Pick::Nobody => {}
                Pick::Remote(core) => {
                    cores |= core.bit();
                    picks.push((core, group.queue));
                }
            }
        }
        let mut left = cores;
        while left != 0 {
            let core = CoreId(left.trailing_zeros() as u8);
            left &= left - 1;
            self.send_message(core, message, route.cores & core.bit() != 0, &picks);
        }
        self.queue_picks = picks;
        cores
    }

    /// One member of the group on any core, each equally likely; a local member
    /// that cannot take it passes it on.
    fn pick(&mut self, group: &Group, message: &mut Message<'_>, outcome: &mut Outcome) -> Pick {
        if group.weight == 0 {
            return Pick::Nobody;
        }
        let at = self.rng.below(group.weight);
        let locals = group.local.len() as u64;
        if at >= locals
            && let Some(core) = group.core_of(at - locals)
        {
            return Pick::Remote(core);
        }
        if self.deliver_to_member(&group.local, at as usize, message, outcome) {
            return Pick::Delivered;
        }
        self.pick_remote(group)
    }

    fn pick_remote(&mut self, group: &Group) -> Pick {
        let weight: u64 = group.remote.iter().map(|&(_, w)| u64::from(w)).sum();
        // Below no weight there is nobody, whatever number is drawn.
        let at = self.rng.below(weight);
        group.core_of(at).map_or(Pick::Nobody, Pick::Remote)
    }

    /// To the first of the members, starting at `start`, that can take it.
    fn deliver_to_member(
        &mut self,
        members: &[SubId],
        start: usize,
        message: &mut Message<'_>,
        outcome: &mut Outcome,
    ) -> bool {
        (0..members.len()).any(|n| {
            let member = members[(start + n) % members.len()];
            self.deliver(member, message, outcome)
        })
    }

    /// Hands a message to another core.
    fn send_message(
        &mut self,
        core: CoreId,
        message: &mut Message<'_>,
        plain: bool,
        picks: &[(CoreId, QueueId)],
    ) {
        self.counters.mesh_messages_out += 1;
        let parcel = message.tail.len() >= wire::PARCEL_BYTES_MIN;
        if parcel {
            let body = message
                .shared
                .get_or_insert_with(|| Bytes::copy_from_slice(message.tail))
                .clone();
            self.peers[core.index()].outbox.push_parcel(body);
        }
        if plain
            && !parcel
            && message.hops == 0
            && message.shown.is_none()
            && !picks.iter().any(|(to, _)| *to == core)
        {
            let item = RunItem {
                reply_len: message.reply.len(),
                header_len: message.header_len,
                body_len: message.body.len(),
                tail: message.tail,
            };
            self.peers[core.index()].outbox.push_plain(
                message.account,
                message.origin,
                message.subject,
                &item,
            );
            return;
        }
        let record = MessageRecord {
            account: message.account,
            plain,
            hops: message.hops,
            origin: message.origin,
            subject: message.subject,
            shown: message.shown.unwrap_or_default(),
            reply_len: message.reply.len(),
            header_len: message.header_len,
            body_len: message.body.len(),
            tail: (!parcel).then_some(message.tail),
            queues: &[],
        };
        let queues = &self.queues;
        let names = picks
            .iter()
            .filter(|(to, _)| *to == core)
            .map(|&(_, queue)| queues.name(queue));
        wire::put_message(self.peers[core.index()].outbox.stream(), &record, names);
    }

    /// A message from another core.
    pub(super) fn receive_message(
        &mut self,
        from: CoreId,
        record: &MessageRecord<'_>,
        tail: &[u8],
    ) {
        self.counters.mesh_messages_in += 1;
        let Some(body_at) = tail.len().checked_sub(record.body_len + 2) else {
            debug_assert!(false, "a tail shorter than its body");
            return;
        };
        // The publisher's connection is on another core, unless the message was
        // handed back to the core that it came from.
        let excluded = if record.hops > 0 {
            self.cid_slots
                .get(&record.origin)
                .copied()
                .filter(|&slot| self.conn(slot).is_some_and(|c| !c.echo))
        } else {
            None
        };
        let mut message = Message {
            account: record.account,
            subject: record.subject,
            shown: (!record.shown.is_empty()).then_some(record.shown),
            reply: tail.get(1..1 + record.reply_len).unwrap_or_default(),
            header_len: record.header_len,
            body: &tail[body_at..tail.len() - 2],
            tail,
            shared: None,
            headless: self.take_headless(),
            origin: record.origin,
            excluded,
            hops: record.hops,
            remote: true,
        };
        let account = &self.accounts[usize::from(message.account)];
        let hint = self.peers[from.index()].route_hint;
        let at = self.routes.find_near(
            hint,
            self.id,
            message.account,
            account,
            &self.subs,
            message.subject,
        );
        self.peers[from.index()].route_hint = at;
        let route = self.routes.take(at);
        let mut outcome = Outcome::default();
        if record.plain {
            self.deliver_plain(&route, &mut message, &mut outcome);
        }
        for name in wire::queues(record.queues) {
            self.serve_queue(&route, name, &mut message, &mut outcome);
        }
        let responses = route.beyond.as_ref().is_some_and(|b| b.responses);
        self.routes.put(at, route);
        if responses {
            self.cross_response(&mut message, &mut outcome, 0);
        }
        self.count_deliveries(&outcome);
        self.headless = message.headless;
        if outcome.slow && outcome.healthy_reader.is_none() {
            self.report_slow(from, record.origin);
        }
    }

    /// The sender chose this core's members of the group. If they left in the
    /// meantime, the message goes to where members are now.
    fn serve_queue(
        &mut self,
        route: &Route,
        name: &[u8],
        message: &mut Message<'_>,
        outcome: &mut Outcome,
    ) {
        let queue = self.queues.find(name).unwrap_or(NO_QUEUE);
        let Some(group) = route
            .groups
            .iter()
            .find(|g| g.queue == queue && queue != NO_QUEUE)
        else {
            self.counters.queue_orphans += 1;
            return;
        };
        let start = self.rng.below(group.local.len().max(1) as u64) as usize;
        if self.deliver_to_member(&group.local, start, message, outcome) {
            return;
        }
        match self.pick_remote(group) {
            Pick::Remote(core) if message.hops < QUEUE_HOPS_MAX => {
                self.counters.handed_on += 1;
                message.hops += 1;
                self.send_message(core, message, false, &[(core, queue)]);
                message.hops -= 1;
            }
            _ => self.counters.queue_orphans += 1,
        }
    }

    /// Tells a requester that nobody listens.
    fn no_responders(&mut self, slot: u32, message: &Message<'_>) {
        if message.reply.is_empty() || !self.conn(slot).is_some_and(|c| c.no_responders) {
            return;
        }
        let mut found = None;
        let account = &self.accounts[usize::from(message.account)];
        account.for_each_target(self.id, &self.subs, message.reply, |target| {
            if let super::interest::Target::Local(id) = target
                && self.subs.get(id).conn == slot
            {
                found = Some(id);
            }
        });
        let Some(id) = found else {
            return;
        };
        let mut line = std::mem::take(&mut self.status_line);
        line.clear();
        headers::render_no_responders(&mut line, message.reply, self.subs.sid(id), message.subject);
        if let Some(conn) = self.conns[slot as usize].as_deref_mut() {
            conn.out.push(&mut self.pool, &line);
            // A requester that does not read its answers is a slow consumer, too.
            if conn.out.pending() > self.settings.max_pending {
                self.note_overflow(slot);
            }
            self.mark_dirty(slot);
        }
        self.status_line = line;
    }

    /// Publishes a message of the server itself to one connection's subscription.
    fn answer_user_info(&mut self, slot: u32, reply: &[u8]) -> bool {
        let Some((identity, account)) = self
            .conn(slot)
            .and_then(|c| Some((c.identity.clone()?, c.account)))
        else {
            return false;
        };
        self.system_sequence += 1;
        let server = &self.settings.identity;
        let stamp = ServerStamp::new(server, self.system_sequence, self.now.unix_ns);
        let json = user_info_json(&stamp, &identity);
        let body = json.as_bytes();
        let mut tail = Vec::with_capacity(body.len() + 16);
        render::plain_tail(&mut tail, b"", body);
        let mut message = Message {
            account,
            subject: reply,
            shown: None,
            reply: b"",
            header_len: None,
            body,
            tail: &tail,
            shared: None,
            headless: Vec::new(),
            origin: 0,
            excluded: None,
            hops: 0,
            remote: false,
        };
        self.route(slot, RouteRef::default(), &mut message);
        true
    }
}

/// Where a queue group's message went.
enum Pick {
    Delivered,
    Remote(CoreId),
    Nobody,
}
