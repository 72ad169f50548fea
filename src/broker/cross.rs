//! Messages that cross from one account into another.
//!
//! The core that a message is published on looks for its targets in every account that it
//! reaches: one more route, no copy of the message. A request is made anew, because it gets a
//! reply subject and a header of ours. What a stream import brought does not cross again; requests
//! go through as many accounts as import each other's services.

use std::sync::Arc;

use serde::Serialize;

use super::accounts::{Crossing, ServiceTerms};
use super::core::Core;
use super::publish::{Message, Outcome};
use super::route::{Beyond, Route, RouteRef};
use super::subscriptions::{NO_QUEUE, QueueId};
use crate::protocol::{headers, render};
use crate::subject::IndexFull;

/// Accounts that a request may cross into one after the other.
pub const CROSSINGS_MAX: u8 = 32;

/// In place of a connection's slot: reply subjects of requests that crossed.
pub(super) const RESPONSES: u32 = u32::MAX - 1;

/// The header that says where a request comes from.
const REQUEST_INFO: &str = "Nats-Request-Info";

/// Who sent a request; without `share` only the account and the round trip time in nanoseconds.
#[derive(Serialize)]
struct RequestInfo<'a> {
    #[serde(skip_serializing_if = "String::is_empty")]
    start: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    host: String,
    #[serde(skip_serializing_if = "is_zero")]
    id: u64,
    acc: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    svc: &'a str,
    #[serde(skip_serializing_if = "String::is_empty")]
    user: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    lang: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    ver: String,
    #[serde(skip_serializing_if = "is_zero")]
    rtt: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    server: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    kind: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    client_type: String,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Outcome {
    fn add(&mut self, other: &Self) {
        self.delivered += other.delivered;
        self.bytes += other.bytes;
        self.internal += other.internal;
        self.healthy_reader = self.healthy_reader.or(other.healthy_reader);
        self.slow |= other.slow;
    }
}

impl Core {
    /// Routes a message whose route leads beyond its account; the route goes back to its place.
    /// Returns the cores that were sent it.
    #[cold]
    pub(super) fn route_across(
        &mut self,
        at: RouteRef,
        route: Box<Route>,
        message: &mut Message<'_>,
        outcome: &mut Outcome,
    ) -> u64 {
        self.routes.put(at, route);
        match self.beyond(at) {
            Some(beyond) => self.deliver_and_cross(at, &beyond, message, outcome, 0),
            None => 0,
        }
    }

    fn beyond(&self, at: RouteRef) -> Option<Arc<Beyond>> {
        self.routes.peek(at)?.beyond.clone()
    }

    /// To the account of the message, whose route is at `at`, then beyond.
    fn deliver_and_cross(
        &mut self,
        at: RouteRef,
        beyond: &Beyond,
        message: &mut Message<'_>,
        outcome: &mut Outcome,
        depth: u8,
    ) -> u64 {
        debug_assert!(message.hops == 0);
        let chosen = self.choose_groups(at, beyond);
        self.skip_groups(&chosen, 0);
        let mut cores = self.deliver_here(message, outcome);
        self.skipped_groups.clear();
        if beyond.responses {
            cores |= self.cross_response(message, outcome, depth);
        }
        for (number, crossing) in beyond.crossings.iter().enumerate() {
            cores |= match &crossing.service {
                None => {
                    self.skip_groups(&chosen, number + 1);
                    let cores = self.cross_stream(crossing, message, outcome);
                    self.skipped_groups.clear();
                    cores
                }
                Some(terms) if depth < CROSSINGS_MAX => {
                    self.cross_request(crossing, terms, message, outcome, depth)
                }
                Some(_) => 0,
            };
        }
        cores
    }

    fn skip_groups(&mut self, chosen: &[(QueueId, usize)], part: usize) {
        self.skipped_groups.clear();
        let others = chosen.iter().filter(|(_, chosen)| *chosen != part);
        self.skipped_groups.extend(others.map(|(queue, _)| *queue));
    }

    /// A queue group has members in several accounts: which of them gets the message. The
    /// message's own account, whose route is at `at`, is number 0; the others follow as in `beyond`.
    fn choose_groups(&mut self, at: RouteRef, beyond: &Beyond) -> Vec<(QueueId, usize)> {
        let own = self.routes.peek(at).into_iter().flat_map(|r| &r.groups);
        let mut shares: Vec<(QueueId, usize, u64)> =
            own.map(|group| (group.queue, 0, group.weight)).collect();
        for (number, crossing) in beyond.crossings.iter().enumerate() {
            if crossing.service.is_some() {
                continue;
            }
            let account = &self.accounts[usize::from(crossing.account)];
            let (me, subs) = (self.id, &self.subs);
            let at = self
                .routes
                .find(me, crossing.account, account, subs, &crossing.subject);
            let groups = self.routes.peek(at).into_iter().flat_map(|r| &r.groups);
            shares.extend(groups.map(|g| (g.queue, number + 1, g.weight)));
        }
        let mut chosen: Vec<(QueueId, usize)> = Vec::new();
        for &(queue, _, _) in &shares {
            if queue == NO_QUEUE || chosen.iter().any(|(other, _)| *other == queue) {
                continue;
            }
            let of_queue = || shares.iter().filter(|share| share.0 == queue);
            let total: u64 = of_queue().map(|share| share.2).sum();
            let mut drawn = self.rng.below(total);
            let part = of_queue().find(|share| {
                let is_in = drawn < share.2;
                drawn = drawn.saturating_sub(share.2);
                is_in
            });
            chosen.push((queue, part.map_or(0, |share| share.1)));
        }
        chosen
    }

    /// To the subscriptions of the message's account on all cores. Returns the cores that were
    /// sent it.
    fn deliver_here(&mut self, message: &mut Message<'_>, outcome: &mut Outcome) -> u64 {
        let at = self.find_route(message);
        let route = self.routes.take(at);
        let cores = self.deliver_in_account(&route, message, outcome);
        self.routes.put(at, route);
        cores
    }

    fn find_route(&mut self, message: &Message<'_>) -> RouteRef {
        let account = &self.accounts[usize::from(message.account)];
        let (me, subs) = (self.id, &self.subs);
        self.routes
            .find(me, message.account, account, subs, message.subject)
    }

    fn cross_stream(
        &mut self,
        crossing: &Crossing,
        message: &mut Message<'_>,
        outcome: &mut Outcome,
    ) -> u64 {
        let mut there = Message {
            account: crossing.account,
            subject: &crossing.subject,
            shown: message.shown,
            shared: message.shared.clone(),
            headless: std::mem::take(&mut message.headless),
            remote: false,
            hops: 0,
            ..*message
        };
        let cores = self.deliver_here(&mut there, outcome);
        message.headless = there.headless;
        cores
    }

    /// A message that is or crosses into another account with all that this one imports.
    fn deliver_onwards(
        &mut self,
        message: &mut Message<'_>,
        outcome: &mut Outcome,
        depth: u8,
    ) -> u64 {
        let at = self.find_route(message);
        match self.beyond(at) {
            Some(beyond) => self.deliver_and_cross(at, &beyond, message, outcome, depth),
            None => self.deliver_here(message, outcome),
        }
    }

    /// A response on its way back. From another core as well: that is where it was published.
    #[cold]
    pub(super) fn cross_response(
        &mut self,
        message: &mut Message<'_>,
        outcome: &mut Outcome,
        depth: u8,
    ) -> u64 {
        let now = self.now.mono_ns;
        let found = self.responses.take(
            message.account,
            message.subject,
            message.body.is_empty(),
            now,
        );
        let Some((account, reply)) = found else {
            return 0;
        };
        if depth >= CROSSINGS_MAX {
            return 0;
        }
        let mut there = Message {
            account,
            subject: &reply,
            shown: message.shown.filter(|shown| *shown != message.subject),
            shared: message.shared.clone(),
            headless: std::mem::take(&mut message.headless),
            remote: false,
            hops: 0,
            ..*message
        };
        let cores = self.deliver_onwards(&mut there, outcome, depth + 1);
        message.headless = there.headless;
        cores
    }

    fn cross_request(
        &mut self,
        crossing: &Crossing,
        terms: &Arc<ServiceTerms>,
        message: &Message<'_>,
        outcome: &mut Outcome,
        depth: u8,
    ) -> u64 {
        let (header, payload) = message.body.split_at(message.header_len.unwrap_or(0));
        let header = self.request_header(header, message, terms.share);
        let mut reply = Vec::new();
        let mut id = None;
        if !message.reply.is_empty() {
            let (now, rng) = (self.now.mono_ns, &mut self.rng);
            let responses = &mut self.responses;
            let opened = responses.open(
                message.account,
                message.reply,
                terms,
                now,
                || rng.next(),
                &mut reply,
            );
            id = Some(opened);
        }
        let mut tail = Vec::with_capacity(header.len() + payload.len() + reply.len() + 32);
        render::own_tail(&mut tail, &reply, &header, payload);
        let body_at = tail.len() - 2 - header.len() - payload.len();
        let mut there = Message {
            account: crossing.account,
            subject: &crossing.subject,
            shown: None,
            reply: &reply,
            header_len: (!header.is_empty()).then_some(header.len()),
            body: &tail[body_at..tail.len() - 2],
            tail: &tail,
            shared: None,
            headless: Vec::new(),
            origin: message.origin,
            excluded: message.excluded,
            hops: 0,
            remote: false,
        };
        let mut of_request = Outcome::default();
        let cores = self.deliver_onwards(&mut there, &mut of_request, depth + 1);
        if of_request.is_nobody()
            && cores == 0
            && let Some(id) = id
        {
            self.responses.close(id);
        }
        outcome.add(&of_request);
        cores
    }

    /// The headers of a request, with what they say of its sender.
    fn request_header(&self, header: &[u8], message: &Message<'_>, share: bool) -> Vec<u8> {
        let Some(info) = self.request_info(message, share) else {
            return header.to_vec();
        };
        let mut block = Vec::with_capacity(header.len() + REQUEST_INFO.len() + info.len() + 16);
        if header.is_empty() {
            block.extend_from_slice(b"NATS/1.0\r\n\r\n");
        } else {
            headers::strip(header, |name| name == REQUEST_INFO.as_bytes(), &mut block);
        }
        match headers::append(&mut block, REQUEST_INFO, info.as_bytes()) {
            Ok(()) => block,
            // Not a block that could be changed: it goes as it came.
            Err(_) => header.to_vec(),
        }
    }

    fn request_info(&self, message: &Message<'_>, share: bool) -> Option<String> {
        let slot = *self.cid_slots.get(&message.origin)?;
        let conn = self.conn(slot)?;
        let account = &*self.accounts[usize::from(conn.account)].name;
        // Accounts on the way.
        let service = (message.account != conn.account)
            .then(|| &*self.accounts[usize::from(message.account)].name);
        let options = conn.options.as_deref();
        let shared = |text: &str| {
            if share {
                text.to_owned()
            } else {
                String::new()
            }
        };
        let info = RequestInfo {
            start: shared(&crate::monitor::format::rfc3339(conn.started_unix_ns)),
            host: shared(&conn.peer.ip().to_canonical().to_string()),
            id: if share { conn.cid } else { 0 },
            acc: account,
            svc: service.unwrap_or_default(),
            user: shared(conn.identity.as_ref().map_or("", |i| &i.user)),
            name: shared(options.map_or("", |o| &o.name)),
            lang: shared(options.map_or("", |o| &o.lang)),
            ver: shared(options.map_or("", |o| &o.version)),
            rtt: conn.rtt_ns,
            server: shared(&self.settings.identity.server_name),
            kind: shared("Client"),
            client_type: shared("nats"),
        };
        serde_json::to_string(&info).ok()
    }

    /// Subscribes this core to its reply subjects where services are imported from.
    pub(super) fn subscribe_responses(&mut self) {
        for id in 0..self.accounts.len() as u16 {
            let serves = self.accounts[usize::from(id)].links.serves;
            if serves && !self.responses.subscribed.contains(&id) {
                // An index that is full now has no room for anything else either.
                if self.subscribe_to_responses(id).is_ok() {
                    self.responses.subscribed.push(id);
                }
            }
        }
    }

    fn subscribe_to_responses(&mut self, account: u16) -> Result<(), IndexFull> {
        let pattern = self.responses.pattern();
        let entry = &mut self.accounts[usize::from(account)];
        let id = entry.pattern(&pattern)?;
        let sub = self.subs.insert(RESPONSES, id, NO_QUEUE, b"", false);
        self.internal.system_subscriptions += 1;
        let announcement = entry.attach(self.id, &mut self.subs, sub);
        self.interest_changed(account, id);
        if let Some(announcement) = announcement {
            self.announce(None, account, &pattern, b"", announcement.weight);
        }
        Ok(())
    }

    /// Whether anybody in another account would get a message to `subject`.
    pub(super) fn has_interest_beyond(&self, account: u16, subject: &[u8], depth: u8) -> bool {
        let Some(entry) = self.accounts.get(usize::from(account)) else {
            return false;
        };
        if depth >= CROSSINGS_MAX {
            return false;
        }
        entry.links.crossings(subject).iter().any(|crossing| {
            let (account, subject) = (crossing.account, &crossing.subject);
            self.has_direct_interest(account, subject, depth + 1)
                || (crossing.service.is_some()
                    && self.has_interest_beyond(account, subject, depth + 1))
        })
    }

    /// Whether anybody in the account would; a response would reach who waits for it.
    pub(super) fn has_direct_interest(&self, account: u16, subject: &[u8], depth: u8) -> bool {
        let Some(entry) = self.accounts.get(usize::from(account)) else {
            return false;
        };
        let (mut found, mut responses) = (false, false);
        entry.for_each_target(self.id, &self.subs, subject, |target| match target {
            super::interest::Target::Responses => responses = true,
            _ => found = true,
        });
        found
            || (responses
                && depth < CROSSINGS_MAX
                && self
                    .responses
                    .peek(account, subject, self.now.mono_ns)
                    .is_some_and(|way| {
                        self.has_direct_interest(way.account, &way.reply, depth + 1)
                            || self.has_interest_beyond(way.account, &way.reply, depth + 1)
                    }))
    }
}
