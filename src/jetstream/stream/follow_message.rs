//! Messages of streams that are followed.

use std::collections::BTreeMap;

use super::Stream;
use super::context::Context;
use super::counter::Counter;
use super::duration::TimeToLive;
use super::follow::{Again, Followed, Phase};
use super::headers::{self, PublishHeaders, name};
use super::limits::Record;
use super::source_header::SourceHeader;
use crate::jetstream::bus::{Incoming, Outgoing};
use crate::protocol::headers as blocks;
use crate::store::{Fetch, Removal};
use crate::subject::matches;

/// Values of the origins of a counter: stream, subject, value.
type CounterSources = BTreeMap<String, BTreeMap<String, String>>;

/// What the reply subject of a delivery says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Delivery {
    /// Of the origin.
    sequence: u64,
    /// Of the consumer.
    delivered: u64,
    unix_ns: i64,
    pending: u64,
}

impl Delivery {
    /// `$JS.ACK.<stream>.<consumer>.<count>.<sequence>.<delivered>.<time>.<pending>`, or the form
    /// with domain and account before the stream, and maybe a random token at the end.
    fn parse(reply: &[u8]) -> Option<Self> {
        let tokens: Vec<&[u8]> = reply.split(|byte| *byte == b'.').collect();
        if !reply.starts_with(b"$JS.ACK.") {
            return None;
        }
        let start = match tokens.len() {
            9 => 5,
            11.. => 7,
            _ => return None,
        };
        let number = |at: usize| headers::sequence(tokens.get(start + at)?);
        Some(Self {
            sequence: number(0)?,
            delivered: number(1)?,
            unix_ns: i64::try_from(number(2)?).ok()?,
            pending: number(3)?,
        })
    }
}

/// Why a delivery was not taken.
enum Refused {
    /// Something is being read, or there is no room: to be delivered again later.
    Later,
}

impl Stream {
    /// A message of a followed stream, or a sign of life.
    pub(super) fn delivered(
        &mut self,
        cx: &mut Context<'_>,
        number: usize,
        message: &Incoming<'_>,
    ) {
        self.followers.all[number].see(cx.bus.now());
        if let Some(status) = blocks::status(message.header) {
            if status.code == 100 {
                self.sign_of_life(cx, number, message);
            } else {
                // The consumer is gone.
                self.restart(cx, number, Again::AtOnce);
            }
            return;
        }
        let Some(delivery) = Delivery::parse(message.reply) else {
            return;
        };
        let followed = &mut self.followers.all[number];
        // The first messages may overtake the answer that tells of the consumer.
        if matches!(followed.phase, Phase::Resting(_)) || delivery.delivered <= followed.delivered {
            return;
        }
        let is_durable = followed.source.consumer.is_some();
        if delivery.delivered != followed.delivered + 1 && !is_durable {
            return self.restart(cx, number, Again::AtOnce);
        }
        followed.delivered = delivery.delivered;
        followed.lag = delivery.pending;
        let taken = match followed.is_mirror {
            true => self.take_mirrored(cx, number, message, delivery),
            false => self.take_sourced(cx, number, message, delivery),
        };
        if taken.is_err() {
            self.restart(cx, number, Again::NoRoom);
        }
    }

    /// A heartbeat or a flow control request.
    fn sign_of_life(&mut self, cx: &mut Context<'_>, number: usize, message: &Incoming<'_>) {
        let stalled = blocks::get(message.header, b"Nats-Consumer-Stalled");
        let answer_to = match message.reply {
            b"" => stalled.unwrap_or_default(),
            reply => reply,
        };
        if !answer_to.is_empty() {
            let _ = cx
                .bus
                .publish(self.account, &Outgoing::plain(answer_to, b""));
        }
        let last = blocks::get(message.header, b"Nats-Last-Consumer").and_then(headers::sequence);
        let followed = &self.followers.all[number];
        if last.is_some_and(|last| last > followed.delivered)
            && followed.source.consumer.is_none()
            && followed.phase == Phase::Following
        {
            self.restart(cx, number, Again::AtOnce);
        }
    }

    /// The subject under which a message is stored here: by the source's transforms, then the
    /// stream's own.
    fn followed_subject(
        &self,
        cx: &mut Context<'_>,
        followed: &Followed,
        subject: &[u8],
    ) -> Vec<u8> {
        let mut changed = Vec::new();
        let applies = followed
            .transforms
            .iter()
            .find(|(source, _)| source.is_empty() || matches(source.as_bytes(), subject));
        let applied = match applies {
            Some((_, Some(transform))) => transform.apply(subject, cx.bus.random(), &mut changed),
            _ => false,
        };
        if !applied {
            changed.extend_from_slice(subject);
        }
        let mut buffer = Vec::new();
        self.transformed(cx, &changed, &mut buffer).to_vec()
    }

    /// A mirror keeps sequences and times.
    fn take_mirrored(
        &mut self,
        cx: &mut Context<'_>,
        number: usize,
        message: &Incoming<'_>,
        delivery: Delivery,
    ) -> Result<(), Refused> {
        if delivery.sequence <= self.log.last_sequence() {
            return Ok(());
        }
        let subject = self.followed_subject(cx, &self.followers.all[number], message.subject);
        let headers = PublishHeaders::parse(message.header);
        let record = Record {
            sequence: Some(delivery.sequence),
            unix_ns: delivery.unix_ns,
            subject: &subject,
            header: message.header,
            payload: message.payload,
            headers: &headers,
            ttl: self.followed_ttl(&headers),
            rollup: None,
            due: None,
        };
        self.take(cx, &record)?;
        // What was removed at the origin while it was away is not told; what expired here before
        // it came, goes at once.
        Ok(())
    }

    fn followed_ttl(&self, headers: &PublishHeaders<'_>) -> Option<TimeToLive> {
        headers
            .ttl
            .filter(|_| self.config.allow_msg_ttl)
            .and_then(TimeToLive::parse)
    }

    fn take(&mut self, cx: &mut Context<'_>, record: &Record<'_>) -> Result<(), Refused> {
        let size = self.log.accounted(
            record.subject.len(),
            record.header.len(),
            record.payload.len(),
        );
        self.check_discard_new(record.subject, size, None)
            .and_then(|()| self.check_room(cx, size))
            .map_err(|_| Refused::Later)?;
        let stored = self.store(cx, record).map_err(|_| Refused::Later)?;
        // Interest streams keep only what somebody waits for.
        if self.config.retention == super::Retention::Interest
            && !cx.consumers.is_interested(record.subject)
        {
            self.remove(cx, stored, Removal::Keep);
        }
        Ok(())
    }

    fn take_sourced(
        &mut self,
        cx: &mut Context<'_>,
        number: usize,
        message: &Incoming<'_>,
        delivery: Delivery,
    ) -> Result<(), Refused> {
        let followed = &self.followers.all[number];
        let known = self.derived.sourced.get(&followed.key);
        if known.is_some_and(|known| *known >= delivery.sequence) {
            return Ok(());
        }
        let subject = self.followed_subject(cx, followed, message.subject);
        let followed = &self.followers.all[number];
        let mut origin = Vec::new();
        SourceHeader {
            stream: &followed.stream_name,
            sequence: delivery.sequence,
            filters: &followed.filters,
            destinations: &followed.destinations,
            subject: message.subject,
            identity: &followed.identity,
        }
        .push(&mut origin);
        let mut header = Vec::new();
        blocks::strip(message.header, is_not_passed_on, &mut header);
        let incoming = PublishHeaders::parse(message.header);
        let mut payload = None;
        let mut counter_sources = None;
        if self.config.allow_msg_counter {
            let origin_name = String::from_utf8_lossy(&followed.stream_name).into_owned();
            let (delta, total, sources) =
                self.count_sourced(cx, &subject, &origin_name, message.subject, message.payload)?;
            let mut text = Vec::new();
            delta.push(&mut text);
            let mut counted = Vec::new();
            blocks::strip(&header, |field| field == b"Nats-Incr", &mut counted);
            header.clear();
            // Appending to an empty block cannot fail; the rest was taken apart before.
            let _ = blocks::append(&mut header, "Nats-Incr", &text);
            for (name, value) in blocks::fields(&counted) {
                let _ = blocks::append(&mut header, &String::from_utf8_lossy(name), value);
            }
            let mut body = b"{\"val\":\"".to_vec();
            total.push(&mut body);
            body.extend_from_slice(b"\"}");
            payload = Some(body);
            counter_sources = Some(sources);
        }
        if blocks::append(&mut header, name::STREAM_SOURCE, &origin).is_err() {
            // A block that is none cannot be added to: the message goes without it.
            header.clear();
            let _ = blocks::append(&mut header, name::STREAM_SOURCE, &origin);
        }
        if let Some(sources) = counter_sources {
            let text = serde_json::to_vec(&sources).unwrap_or_default();
            let _ = blocks::append(&mut header, name::COUNTER_SOURCES, &text);
        }
        let headers = PublishHeaders::parse(&header);
        let record = Record {
            sequence: None,
            unix_ns: self.next_time(cx),
            subject: &subject,
            header: &header,
            payload: payload.as_deref().unwrap_or(message.payload),
            headers: &headers,
            ttl: self.followed_ttl(&incoming),
            rollup: None,
            due: None,
        };
        self.take(cx, &record)
    }

    /// What a sourced counter adds, the sum with it, and what is known of all origins.
    fn count_sourced(
        &mut self,
        cx: &mut Context<'_>,
        subject: &[u8],
        origin: &str,
        origin_subject: &[u8],
        payload: &[u8],
    ) -> Result<(Counter, Counter, CounterSources), Refused> {
        let mut total = Counter::default();
        let mut sources = CounterSources::new();
        if let Some(state) = self.log.find_subject(subject) {
            match self.log.get(state.last, cx.disk) {
                Fetch::Message(stored) => {
                    total = Counter::from_payload(stored.payload).unwrap_or_default();
                    sources = counter_sources(stored.header);
                }
                Fetch::Loading => return Err(Refused::Later),
                Fetch::Missing | Fetch::Damaged => {}
            }
        }
        let value = Counter::from_payload(payload).unwrap_or_default();
        let origin_subject = String::from_utf8_lossy(origin_subject).into_owned();
        let known = sources
            .entry(origin.to_owned())
            .or_default()
            .entry(origin_subject)
            .or_default();
        let before = Counter::parse(known.as_bytes()).unwrap_or_default();
        let delta = value.minus(&before);
        let mut text = Vec::new();
        value.push(&mut text);
        *known = String::from_utf8_lossy(&text).into_owned();
        let sum = total.plus(&delta);
        Ok((delta, sum, sources))
    }
}

/// What a message says of the origins of its counter.
fn counter_sources(header: &[u8]) -> CounterSources {
    blocks::get(header, name::COUNTER_SOURCES.as_bytes())
        .and_then(|text| serde_json::from_slice(text).ok())
        .unwrap_or_default()
}

/// Headers that only the origin has a use for.
fn is_not_passed_on(field: &[u8]) -> bool {
    field == name::STREAM_SOURCE.as_bytes()
        || field == name::COUNTER_SOURCES.as_bytes()
        || field.starts_with(b"Nats-Expected-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_reply_subjects_are_understood() {
        let expected = Some(Delivery {
            sequence: 7,
            delivered: 3,
            unix_ns: 1_795_634_114_622_629_556,
            pending: 0,
        });
        let parsed = |reply: &str| Delivery::parse(reply.as_bytes());
        let tail = "1.7.3.1795634114622629556.0";
        assert_eq!(parsed(&format!("$JS.ACK.OR.JS_SRC_x-y.{tail}")), expected);
        assert_eq!(parsed(&format!("$JS.ACK._.hash.OR.c.{tail}")), expected);
        assert_eq!(
            parsed(&format!("$JS.ACK._.hash.OR.c.{tail}.random")),
            expected
        );
        for bad in ["", "x", "$JS.ACK.OR.c.1.7.3.0", "$JS.FC.OR.c.1.7.3.9.0"] {
            assert_eq!(parsed(bad), None, "{bad}");
        }
    }
}
