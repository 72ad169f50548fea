//! The model: what clients may, must and must not get.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::history::{History, Message, Stamp, Sub};

/// A promise that was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// Well-formed, expected protocol lines.
    Protocol,
    /// Messages arrive as they were sent.
    Content,
    /// No delivery that was not asked for.
    Unwanted,
    /// No message twice.
    Once,
    /// The order of each publisher.
    Order,
    /// No message lost, the flush barrier.
    Delivery,
    /// One member of each queue group.
    Queue,
    /// Exactly as many as asked for.
    Limit,
    /// 503 if and only if nobody is interested.
    NoResponders,
    /// Bounded memory.
    Memory,
    /// Only slow readers are cut off, and they are.
    SlowReader,
    /// Everything comes to rest.
    Progress,
}

/// How it was broken.
#[derive(Debug)]
pub struct Violation {
    pub promise: Promise,
    pub text: String,
}

impl Violation {
    /// A broken promise.
    pub fn new(promise: Promise, text: impl Into<String>) -> Self {
        Self {
            promise,
            text: text.into(),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.promise, self.text)
    }
}

/// What arrived, in the words of the protocol.
pub struct Arrival {
    pub client: usize,
    pub sid: usize,
    pub subject: String,
    pub reply: Option<String>,
    pub header: Vec<u8>,
    pub payload: Vec<u8>,
}

/// Judges deliveries as they arrive, and the whole at the end.
#[derive(Default)]
pub struct Checker {
    /// Newest message from each publisher on each plain subscription.
    newest: BTreeMap<(usize, usize), usize>,
    /// Plain subscriptions that got a message.
    plain: BTreeSet<(usize, usize)>,
    /// The member of each group that got a message.
    members: BTreeMap<(usize, &'static str), usize>,
}

impl Checker {
    /// A message arrived at a client.
    pub fn arrived(&mut self, history: &mut History, arrival: &Arrival) -> Result<(), Violation> {
        let sid = arrival.sid;
        let unsubscribed = match history.subs.get(sid) {
            Some(sub) if sub.client == arrival.client => sub.unsub_flushed.is_some(),
            _ => {
                let text = format!("client {} has no sid {sid}", arrival.client);
                return Err(Violation::new(Promise::Protocol, text));
            }
        };
        if unsubscribed {
            let text = format!("sid {sid} got {} after UNSUB and its PONG", arrival.subject);
            return Err(Violation::new(Promise::Unwanted, text));
        }
        if arrival.header.starts_with(b"NATS/1.0 503") {
            return no_responders(history, arrival);
        }
        self.delivered(history, arrival)
    }

    fn delivered(&mut self, history: &mut History, arrival: &Arrival) -> Result<(), Violation> {
        let sid = arrival.sid;
        let index = message_index(&arrival.payload, history)?;
        let message = &mut history.messages[index];
        let sub = &mut history.subs[sid];
        if arrival.subject != message.subject
            || arrival.reply != message.reply
            || arrival.header != message.header(index)
            || arrival.payload != message.payload(index)
        {
            let text = format!("message {index} arrived changed at sid {sid}");
            return Err(Violation::new(Promise::Content, text));
        }
        let echoed = message.publisher == sub.client && !history.clients[sub.client].echo;
        if echoed || !sub.matches(&message.subject) {
            let text = format!("sid {sid} must not get message {index}");
            return Err(Violation::new(Promise::Unwanted, text));
        }
        message.deliveries += 1;
        sub.deliveries += 1;
        let publisher = message.publisher;
        match sub.queue {
            Some(queue) => {
                if let Some(other) = self.members.insert((index, queue), sid) {
                    let text = format!("message {index} went to {other} and {sid} of {queue}");
                    return Err(Violation::new(Promise::Once, text));
                }
            }
            None => {
                if !self.plain.insert((index, sid)) {
                    let text = format!("sid {sid} got message {index} twice");
                    return Err(Violation::new(Promise::Once, text));
                }
                if let Some(before) = self.newest.insert((sid, publisher), index)
                    && before > index
                {
                    let text = format!("sid {sid} got message {index} after {before}");
                    return Err(Violation::new(Promise::Order, text));
                }
            }
        }
        Ok(())
    }

    /// Everything came to rest.
    pub fn at_end(&self, history: &History) -> Result<(), Violation> {
        let mut required = vec![0u64; history.subs.len()];
        for (index, message) in history.messages.iter().enumerate() {
            if !history.clients[message.publisher].was_heard() {
                continue;
            }
            let mut groups: BTreeMap<&'static str, Vec<&Sub>> = BTreeMap::new();
            for (sid, sub) in history.subs.iter().enumerate() {
                if !wanted(history, message, sub) {
                    continue;
                }
                match sub.queue {
                    Some(queue) => groups.entry(queue).or_default().push(sub),
                    None if must_reach(history, message, sub) => {
                        required[sid] += 1;
                        if sub.is_lasting() && !self.plain.contains(&(index, sid)) {
                            let text = format!(
                                "message {index} of client {} on {} is missing at sid {sid} ({})",
                                message.publisher, message.subject, sub.pattern
                            );
                            return Err(Violation::new(Promise::Delivery, text));
                        }
                    }
                    None => {}
                }
            }
            for (queue, members) in groups {
                self.check_group(history, index, queue, &members)?;
            }
            check_missing_no_responders(history, index)?;
        }
        check_limits(history, &required)
    }

    /// Exactly one member, if one was there all the time and none could have
    /// taken the message with it when it left.
    fn check_group(
        &self,
        history: &History,
        index: usize,
        queue: &'static str,
        members: &[&Sub],
    ) -> Result<(), Violation> {
        let message = &history.messages[index];
        let stayed = members
            .iter()
            .any(|sub| sub.is_lasting() && must_reach(history, message, sub));
        let could_vanish = members.iter().any(|sub| {
            let client = &history.clients[sub.client];
            !client.is_healthy()
                && client
                    .closed
                    .as_ref()
                    .is_none_or(|(at, _)| *at > message.sent)
        });
        if stayed && !could_vanish && !self.members.contains_key(&(index, queue)) {
            let text = format!(
                "message {index} on {} reached no member of {queue}",
                message.subject
            );
            return Err(Violation::new(Promise::Queue, text));
        }
        Ok(())
    }
}

fn message_index(payload: &[u8], history: &History) -> Result<usize, Violation> {
    let digits = payload.split(|&byte| byte == b'.').next();
    digits
        .and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok())
        .filter(|&index| index < history.messages.len())
        .ok_or_else(|| Violation::new(Promise::Content, "a payload that nobody sent"))
}

/// The subscription matches, and its client's own messages are not excluded.
fn wanted(history: &History, message: &Message, sub: &Sub) -> bool {
    sub.matches(&message.subject)
        && (sub.client != message.publisher || history.clients[sub.client].echo)
}

/// In force before the message was sent, at a client that stayed.
fn must_reach(history: &History, message: &Message, sub: &Sub) -> bool {
    sub.flushed.is_some_and(|at| at < message.sent) && history.clients[sub.client].is_healthy()
}

/// A 503 arrived.
fn no_responders(history: &mut History, arrival: &Arrival) -> Result<(), Violation> {
    let index = arrival.subject.rsplit('.').next();
    let index: Option<usize> = index.and_then(|text| text.parse().ok());
    let found = index.filter(|&index| {
        history.messages.get(index).is_some_and(|message| {
            message.publisher == arrival.client && message.reply.as_ref() == Some(&arrival.subject)
        })
    });
    let Some(index) = found else {
        let text = format!("503 for no request of client {}", arrival.client);
        return Err(Violation::new(Promise::NoResponders, text));
    };
    let message = &history.messages[index];
    let listens = |sub: &Sub| {
        let client = &history.clients[sub.client];
        let leaving = client.finished.or(client.reset).is_some() || client.closed.is_some();
        let in_force = sub.flushed.is_some_and(|at| at < message.sent);
        wanted(history, message, sub) && in_force && sub.is_lasting() && !leaving
    };
    if let Some(sid) = history.subs.iter().position(listens) {
        let text = format!("503 for message {index} although sid {sid} listens");
        return Err(Violation::new(Promise::NoResponders, text));
    }
    if message.no_responders || message.deliveries > 0 {
        let text = format!("503 for message {index}, which was answered or delivered");
        return Err(Violation::new(Promise::NoResponders, text));
    }
    history.messages[index].no_responders = true;
    history.subs[arrival.sid].deliveries += 1;
    Ok(())
}

/// A request that nobody could have heard got its 503.
fn check_missing_no_responders(history: &History, index: usize) -> Result<(), Violation> {
    let message = &history.messages[index];
    let requester = &history.clients[message.publisher];
    let asked = message.reply.is_some()
        && requester.is_healthy()
        && requester.inbox.is_some_and(|sid| {
            history.subs[sid]
                .flushed
                .is_some_and(|at| at < message.sent)
        });
    if !asked || message.no_responders {
        return Ok(());
    }
    let gone = |sub: &Sub| sub.unsub_flushed.is_some_and(|at: Stamp| at < message.sent);
    let heard = history
        .subs
        .iter()
        .any(|sub| wanted(history, message, sub) && !gone(sub));
    if heard {
        return Ok(());
    }
    let text = format!("no 503 for message {index} on {}", message.subject);
    Err(Violation::new(Promise::NoResponders, text))
}

/// UNSUB with a maximum: no more, and no fewer if there were enough.
fn check_limits(history: &History, required: &[u64]) -> Result<(), Violation> {
    for (sid, sub) in history.subs.iter().enumerate() {
        let Some(limit) = sub.limit else { continue };
        // What came before the limit was in force does not end.
        let most = limit.max(sub.delivered_at_limit_flush.unwrap_or(u64::MAX));
        let least = if sub.unsub_sent.is_none() && sub.queue.is_none() {
            limit.min(required[sid])
        } else {
            0
        };
        if sub.deliveries > most || sub.deliveries < least {
            let text = format!(
                "sid {sid} got {} messages, limit {limit}, due {}",
                sub.deliveries, required[sid]
            );
            return Err(Violation::new(Promise::Limit, text));
        }
    }
    Ok(())
}
