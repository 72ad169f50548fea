//! Subscriptions and messages of the server itself.
//!
//! Services beside the core (JetStream) subscribe and publish like a connection
//! that has no socket. What reaches them is queued in one [`Inbox`], in the order
//! in which the core saw it: messages, records of the same service on other
//! cores, and changes of interest in subjects that a service watches. The runtime
//! hands the inbox over later in the same turn, so publishing never re-enters a
//! service.

use std::collections::HashMap;

use super::core::{Core, CoreId, Now};
use super::effect::{Effect, LogLevel};
use super::publish::{Message, Outcome, SHARED_TAIL_BYTES_MIN};
use super::route::RouteRef;
use super::subscriptions::{NO_QUEUE, SubId};
use super::system::SYSTEM_TOKEN;
use crate::protocol::render;
use crate::subject::IndexFull;

/// In place of a connection's slot: the subscription is the server's own.
pub(super) const INTERNAL: u32 = u32::MAX;

/// Set in the origin of a message that a service published; the other bits are a
/// hash of the subject that it is routed by.
pub(super) const INTERNAL_ORIGIN: u64 = 1 << 63;

/// Capacity that an empty inbox keeps, in bytes.
const INBOX_RETAINED_BYTES_MAX: usize = 1024 * 1024;

/// A message that a service publishes.
#[derive(Clone, Copy, Debug)]
pub struct ServerMessage<'a> {
    pub account: u16,
    /// The subject it is routed by.
    pub to: &'a [u8],
    /// The subject that readers see; usually `to`.
    pub subject: &'a [u8],
    /// Empty for none.
    pub reply: &'a [u8],
    /// A whole header block, or empty.
    pub header: &'a [u8],
    pub payload: &'a [u8],
}

/// What became of a message that a service published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerDelivery {
    /// Nobody is subscribed.
    Nobody,
    /// Handed on.
    Sent,
    /// Handed on, but the readers or the way to their core do not keep up: stop for a while.
    Congested,
}

/// Something for a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival<'a> {
    /// A message for a subscription of the service.
    Message {
        token: u64,
        account: u16,
        /// The publisher's connection id; at least 2^63 for a message of a service.
        origin: u64,
        subject: &'a [u8],
        reply: &'a [u8],
        /// Empty for a message without headers.
        header: &'a [u8],
        payload: &'a [u8],
    },
    /// A record from the same service on another core.
    Record { from: CoreId, bytes: &'a [u8] },
    /// Interest in a watched subject began or ended.
    Interest { token: u64, interested: bool },
}

/// A connection as a service may name it to others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerClient {
    pub account: String,
    pub host: String,
    pub id: u64,
    pub name: String,
    pub user: String,
    pub lang: String,
    pub version: String,
    /// Nanoseconds since 1970.
    pub start_unix_ns: i64,
    /// Nanoseconds; 0 before the first PONG.
    pub rtt_ns: u64,
}

enum Head {
    Message {
        token: u64,
        account: u16,
        origin: u64,
        subject_len: u32,
        reply_len: u32,
        header_len: u32,
    },
    Record(CoreId),
    Interest {
        token: u64,
        interested: bool,
    },
}

struct Entry {
    head: Head,
    /// Where its bytes begin; they end where the next entry's begin.
    at: usize,
}

/// What waits for the services, oldest first.
#[derive(Default)]
pub struct Inbox {
    entries: Vec<Entry>,
    bytes: Vec<u8>,
}

impl Inbox {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What waits, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = Arrival<'_>> {
        let ends = self.entries.iter().skip(1).map(|next| next.at);
        let ends = ends.chain(std::iter::once(self.bytes.len()));
        self.entries
            .iter()
            .zip(ends)
            .map(|(entry, end)| entry.arrival(&self.bytes[entry.at..end]))
    }

    /// Forgets what waits and keeps some memory.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.bytes.clear();
        if self.bytes.capacity() > INBOX_RETAINED_BYTES_MAX {
            self.bytes = Vec::new();
        }
    }

    fn push(&mut self, head: Head) {
        let at = self.bytes.len();
        self.entries.push(Entry { head, at });
    }

    #[inline]
    fn push_message(&mut self, token: u64, message: &Message<'_>) {
        self.push(Head::Message {
            token,
            account: message.account,
            origin: message.origin,
            subject_len: message.shown().len() as u32,
            reply_len: message.reply.len() as u32,
            header_len: message.header_len.unwrap_or(0) as u32,
        });
        self.bytes.extend_from_slice(message.shown());
        self.bytes.extend_from_slice(message.reply);
        self.bytes.extend_from_slice(message.body);
    }

    pub(super) fn push_record(&mut self, from: CoreId, record: &[u8]) {
        self.push(Head::Record(from));
        self.bytes.extend_from_slice(record);
    }
}

impl Entry {
    fn arrival<'a>(&self, bytes: &'a [u8]) -> Arrival<'a> {
        match self.head {
            Head::Message {
                token,
                account,
                origin,
                subject_len,
                reply_len,
                header_len,
            } => {
                let (subject, rest) = bytes.split_at(subject_len as usize);
                let (reply, body) = rest.split_at(reply_len as usize);
                let (header, payload) = body.split_at(header_len as usize);
                Arrival::Message {
                    token,
                    account,
                    origin,
                    subject,
                    reply,
                    header,
                    payload,
                }
            }
            Head::Record(from) => Arrival::Record { from, bytes },
            Head::Interest { token, interested } => Arrival::Interest { token, interested },
        }
    }
}

struct Watch {
    token: u64,
    /// What the service was told last.
    told: Option<bool>,
}

type WatchedSubject = (u16, Box<[u8]>);

/// Subjects whose interest services want to know of.
#[derive(Default)]
pub(super) struct Watches {
    subjects: HashMap<WatchedSubject, Vec<Watch>>,
    /// Subjects to look at again.
    changed: Vec<WatchedSubject>,
    /// A wildcard's interest changed: all are to be looked at again.
    all_changed: bool,
    /// Interest in one account may be interest in another.
    pub linked: bool,
}

impl Watches {
    /// Where interest leads to may have changed.
    pub fn note_all(&mut self) {
        self.all_changed = !self.subjects.is_empty();
    }

    /// Interest in `pattern` changed.
    #[inline]
    pub fn note(&mut self, account: u16, pattern: &[u8]) {
        if !self.subjects.is_empty() {
            self.note_watched(account, pattern);
        }
    }

    #[cold]
    fn note_watched(&mut self, account: u16, pattern: &[u8]) {
        if self.linked || !crate::subject::is_literal(pattern) {
            self.all_changed = true;
            return;
        }
        let key = (account, pattern.into());
        if self.subjects.contains_key(&key) {
            self.changed.push(key);
        }
    }
}

/// The core's part of the server's own services.
#[derive(Default)]
pub(super) struct Internal {
    pub inbox: Inbox,
    pub watches: Watches,
    subscriptions: HashMap<(u16, Box<[u8]>, u64), SubId>,
    /// How many of them are the system services'.
    pub system_subscriptions: usize,
    tail: Vec<u8>,
    hint: RouteRef,
    /// Origins of messages whose readers on other cores are slow, and until when that is believed.
    slow: HashMap<u64, u64>,
}

/// How long a report of slow readers on another core is believed, unless that core says before
/// that some recovered.
const REMOTE_REST_NANOS: u64 = 10_000_000;

/// Slow origins remembered; beyond it all are forgotten.
const SLOW_ORIGINS_MAX: usize = 4096;

impl Internal {
    /// Another core found only slow readers for the messages of `origin`.
    pub fn note_slow(&mut self, origin: u64, now: u64) {
        if self.slow.len() >= SLOW_ORIGINS_MAX {
            self.slow.clear();
        }
        self.slow.insert(origin, now + REMOTE_REST_NANOS);
    }

    /// Slow readers of another core recovered.
    pub fn note_recovered(&mut self) {
        self.slow.clear();
    }

    fn is_slow(&mut self, origin: u64, now: u64) -> bool {
        match self.slow.get(&origin) {
            Some(&until) if now < until => true,
            Some(_) => {
                self.slow.remove(&origin);
                false
            }
            None => false,
        }
    }
}

impl Core {
    /// Subscribes a service; its messages come with `token`. A second time is no change.
    ///
    /// # Errors
    /// If the index is full.
    pub fn subscribe_server(
        &mut self,
        account: u16,
        pattern: &[u8],
        token: u64,
    ) -> Result<(), IndexFull> {
        let key = (account, pattern.into(), token);
        if self.internal.subscriptions.contains_key(&key) {
            return Ok(());
        }
        let entry = &mut self.accounts[usize::from(account)];
        let id = entry.pattern(pattern)?;
        let sub = self
            .subs
            .insert(INTERNAL, id, NO_QUEUE, &token.to_le_bytes(), false);
        let announcement = entry.attach(self.id, &mut self.subs, sub);
        self.interest_changed(account, id);
        if let Some(announcement) = announcement {
            self.announce(None, account, pattern, b"", announcement.weight);
        }
        self.internal.subscriptions.insert(key, sub);
        Ok(())
    }

    /// Ends a subscription of a service.
    pub fn unsubscribe_server(&mut self, account: u16, pattern: &[u8], token: u64) {
        let key = (account, pattern.into(), token);
        let Some(sub) = self.internal.subscriptions.remove(&key) else {
            return;
        };
        let id = self.subs.get(sub).pattern;
        let entry = &mut self.accounts[usize::from(account)];
        let announcement = entry.detach(self.id, &mut self.subs, sub);
        self.interest_changed(account, id);
        if let Some(announcement) = announcement {
            self.announce(None, account, pattern, b"", announcement.weight);
        }
        self.accounts[usize::from(account)].settle(id);
        self.subs.remove(sub);
    }

    /// A copy for a service.
    #[cold]
    pub(super) fn deliver_internal(
        &mut self,
        id: SubId,
        message: &Message<'_>,
        outcome: &mut Outcome,
    ) {
        let token = self.subs.sid(id).first_chunk::<8>();
        let token = u64::from_le_bytes(*token.expect("made by subscribe_server"));
        if token & SYSTEM_TOKEN != 0 {
            self.pass_system_request(message);
            outcome.internal += 1;
            return;
        }
        self.internal.inbox.push_message(token, message);
        outcome.internal += 1;
    }

    /// Publishes a message of a service.
    pub fn publish_server(&mut self, from: &ServerMessage<'_>) -> ServerDelivery {
        let mut tail = std::mem::take(&mut self.internal.tail);
        tail.clear();
        render::own_tail(&mut tail, from.reply, from.header, from.payload);
        let body_at = tail.len() - 2 - from.header.len() - from.payload.len();
        let mut message = Message {
            account: from.account,
            subject: from.to,
            shown: (from.subject != from.to).then_some(from.subject),
            reply: from.reply,
            header_len: (!from.header.is_empty()).then_some(from.header.len()),
            body: &tail[body_at..tail.len() - 2],
            tail: &tail,
            shared: None,
            headless: self.take_headless(),
            origin: INTERNAL_ORIGIN | self.sid_hash.text(from.to),
            excluded: None,
            hops: 0,
            remote: false,
        };
        let delivery = self.route_server(&mut message);
        self.headless = message.headless;
        if tail.capacity() <= SHARED_TAIL_BYTES_MIN {
            self.internal.tail = tail;
        }
        delivery
    }

    fn route_server(&mut self, message: &mut Message<'_>) -> ServerDelivery {
        let account = &self.accounts[usize::from(message.account)];
        let at = self.routes.find_near(
            self.internal.hint,
            self.id,
            message.account,
            account,
            &self.subs,
            message.subject,
        );
        self.internal.hint = at;
        let route = self.routes.take(at);
        let mut outcome = Outcome::default();
        let cores = self.deliver_by(at, route, message, &mut outcome);
        self.count_deliveries(&outcome);
        if outcome.is_nobody() && cores == 0 {
            return ServerDelivery::Nobody;
        }
        let pause_bytes = self.outbox_pause_bytes();
        let outbox_full = self.peers.iter().enumerate().any(|(core, peer)| {
            cores & CoreId(core as u8).bit() != 0 && peer.outbox.pending() > pause_bytes
        });
        let remote_slow = cores != 0
            && !self.internal.slow.is_empty()
            && self.internal.is_slow(message.origin, self.now.mono_ns);
        if outbox_full || remote_slow || (outcome.slow && outcome.healthy_reader.is_none()) {
            ServerDelivery::Congested
        } else {
            ServerDelivery::Sent
        }
    }

    /// Sends a record to the same service on another core; in order with the
    /// messages and the interest that this core sends it.
    pub fn send_record(&mut self, to: CoreId, record: &[u8]) {
        if to == self.id {
            self.internal.inbox.push_record(to, record);
        } else {
            super::wire::put_service(self.peers[to.index()].outbox.stream(), record);
        }
    }

    /// Whether anybody on any core would get a message to `subject`.
    pub fn has_interest(&self, account: u16, subject: &[u8]) -> bool {
        self.has_direct_interest(account, subject, 0)
            || self.has_interest_beyond(account, subject, 0)
    }

    /// Whether anybody on any core subscribed to `subject` itself, not by a wildcard.
    pub fn is_subscribed(&self, account: u16, subject: &[u8]) -> bool {
        self.accounts
            .get(usize::from(account))
            .is_some_and(|entry| entry.index().find(subject).is_some())
    }

    /// Reports changes of the interest in a literal subject from now on, and at
    /// once what it is now.
    pub fn watch_interest(&mut self, account: u16, subject: &[u8], token: u64) {
        let key = (account, Box::from(subject));
        let watches = &mut self.internal.watches;
        let watch = Watch { token, told: None };
        watches.subjects.entry(key.clone()).or_default().push(watch);
        watches.changed.push(key);
    }

    /// Ends [`Core::watch_interest`].
    pub fn unwatch_interest(&mut self, account: u16, subject: &[u8], token: u64) {
        let key = (account, Box::from(subject));
        if let Some(watching) = self.internal.watches.subjects.get_mut(&key) {
            watching.retain(|watch| watch.token != token);
            if watching.is_empty() {
                self.internal.watches.subjects.remove(&key);
            }
        }
    }

    /// The time of this turn.
    pub fn now(&self) -> Now {
        self.now
    }

    /// A random number, not for secrets.
    pub fn random(&mut self) -> u64 {
        self.rng.next()
    }

    /// Cores of the server.
    pub fn cores(&self) -> usize {
        self.peers.len()
    }

    /// The connection with this id, if it is one of this core.
    pub fn server_client(&self, cid: u64) -> Option<ServerClient> {
        let conn = self.conn(*self.cid_slots.get(&cid)?)?;
        let options = conn.options.as_deref();
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        Some(ServerClient {
            account: self.accounts[usize::from(conn.account)].name.to_string(),
            host: conn.peer.ip().to_canonical().to_string(),
            id: cid,
            name: text(options.map(|o| &*o.name)),
            user: text(conn.identity.as_ref().map(|i| i.user.as_str())),
            lang: text(options.map(|o| &*o.lang)),
            version: text(options.map(|o| &*o.version)),
            start_unix_ns: conn.started_unix_ns,
            rtt_ns: conn.rtt_ns,
        })
    }

    /// Writes a line about a service to the log.
    pub fn log_server(&mut self, level: LogLevel, line: String) {
        let wanted = match level {
            LogLevel::Debug => self.settings.debug,
            LogLevel::Trace => self.settings.trace,
            LogLevel::Info | LogLevel::Warn | LogLevel::Error => true,
        };
        if wanted {
            self.effects.push(Effect::Log { level, line });
        }
    }

    /// Number of the newest change of this core's interest; see [`Core::is_in_force`].
    pub fn interest_barrier(&self) -> u64 {
        self.interest_sequence
    }

    /// Whether every core has applied this core's interest up to a barrier.
    pub fn is_in_force(&self, barrier: u64) -> bool {
        self.applied_everywhere() >= barrier
    }

    /// Takes what waits for the services; `into` must be empty.
    pub fn take_inbox(&mut self, into: &mut Inbox) {
        debug_assert!(into.is_empty());
        self.report_interest();
        std::mem::swap(&mut self.internal.inbox, into);
    }

    /// Whether something waits for the services.
    pub fn has_inbox(&self) -> bool {
        let watches = &self.internal.watches;
        !self.internal.inbox.is_empty() || watches.all_changed || !watches.changed.is_empty()
    }

    fn report_interest(&mut self) {
        let watches = &mut self.internal.watches;
        let mut changed = std::mem::take(&mut watches.changed);
        if std::mem::take(&mut watches.all_changed) {
            changed = watches.subjects.keys().cloned().collect();
        }
        for key in changed {
            let interested = self.has_interest(key.0, &key.1);
            let internal = &mut self.internal;
            for watch in internal
                .watches
                .subjects
                .get_mut(&key)
                .into_iter()
                .flatten()
            {
                if watch.told != Some(interested) {
                    watch.told = Some(interested);
                    let token = watch.token;
                    internal.inbox.push(Head::Interest { token, interested });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bench, settings};
    use super::*;

    fn arrivals(bench: &mut Bench) -> Vec<String> {
        let mut inbox = Inbox::default();
        bench.core.take_inbox(&mut inbox);
        inbox.iter().map(|arrival| format!("{arrival:?}")).collect()
    }

    #[test]
    fn a_service_gets_messages_and_answers() {
        let mut bench = Bench::new(1, settings());
        let slot = bench.client();
        bench.core.subscribe_server(0, b"svc.*", 7).expect("room");
        bench.receive(
            slot,
            b"SUB r 1\r\nPUB svc.a r 2\r\nhi\r\nPUB other 2\r\nno\r\n",
        );
        let mut inbox = Inbox::default();
        bench.core.take_inbox(&mut inbox);
        let all: Vec<Arrival<'_>> = inbox.iter().collect();
        let [
            Arrival::Message {
                token: 7,
                subject: b"svc.a",
                reply: b"r",
                header: b"",
                payload: b"hi",
                ..
            },
        ] = all[..]
        else {
            panic!("{all:?}");
        };
        let answer = ServerMessage {
            account: 0,
            to: b"r",
            subject: b"shown.so",
            reply: b"ack.1",
            header: b"",
            payload: b"yes",
        };
        assert_eq!(bench.core.publish_server(&answer), ServerDelivery::Sent);
        let text = bench.output(slot);
        assert!(
            text.ends_with("MSG shown.so 1 ack.1 3\r\nyes\r\n"),
            "{text:?}"
        );
        bench.core.unsubscribe_server(0, b"svc.*", 7);
        bench.receive(slot, b"PUB svc.a 2\r\nhi\r\n");
        assert_eq!(arrivals(&mut bench), Vec::<String>::new());
    }

    #[test]
    fn interest_in_a_watched_subject_is_reported_when_it_changes() {
        let mut bench = Bench::new(1, settings());
        let slot = bench.client();
        bench.core.watch_interest(0, b"deliver.to", 5);
        let told = |interested| {
            vec![format!(
                "{:?}",
                Arrival::Interest {
                    token: 5,
                    interested
                }
            )]
        };
        assert_eq!(arrivals(&mut bench), told(false));
        bench.receive(slot, b"SUB deliver.* 1\r\n");
        assert_eq!(arrivals(&mut bench), told(true));
        bench.receive(slot, b"SUB deliver.to 2\r\nUNSUB 1\r\n");
        assert_eq!(arrivals(&mut bench), Vec::<String>::new());
        bench.receive(slot, b"UNSUB 2\r\n");
        assert_eq!(arrivals(&mut bench), told(false));
        bench.core.unwatch_interest(0, b"deliver.to", 5);
        bench.receive(slot, b"SUB deliver.to 2\r\n");
        assert_eq!(arrivals(&mut bench), Vec::<String>::new());
    }
}
