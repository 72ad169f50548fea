//! Mirrors and sources: following other streams.
//!
//! A followed stream is asked, over the API, for a consumer that pushes to an inbox of this
//! stream; whatever breaks (a message is missing, heartbeats stay out, the origin is gone), a new
//! one is asked for, from where this stream's own log ends. So nothing but the log has to be
//! remembered. Requests, names and headers are those of nats-server 2.15.1.

use super::Stream;
use super::config::{StreamConfig, StreamSource};
use super::context::Context;
use super::info::SourceInfo;
use super::quoted::push_json_text;
use super::source_header::{joined, key};
use crate::broker::Now;
use crate::jetstream::bus::{Bus, Incoming, Kind, Outgoing, Token};
use crate::jetstream::error::ApiError;
use crate::protocol::headers as blocks;
use crate::subject::Transform;

/// Nanoseconds between heartbeats that origins are asked for.
const HEARTBEAT_NS: u64 = 1_000_000_000;
/// Without a sign of life for so many nanoseconds, the consumer is made anew.
const STALLED_NS: u64 = 3 * HEARTBEAT_NS;
/// An answer to the request is waited for so many nanoseconds.
const ANSWER_NS: u64 = 5_000_000_000;
/// Nanoseconds before the first repetition; doubled with each, up to the longest.
const RETRY_NS: u64 = 500_000_000;
const RETRY_MAX_NS: u64 = 10_000_000_000;
/// Nanoseconds until a message is asked for again that this stream had no room for.
const NO_ROOM_NS: u64 = 2_000_000_000;
/// Nanoseconds after which an origin drops a consumer without interest.
const INACTIVE_NS: u64 = 10_000_000_000;

/// Where the following of one stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Until this time of the monotonic clock.
    Resting(u64),
    /// The inbox is subscribed to, and other cores may not know yet; until this barrier.
    Subscribed(u64),
    /// The consumer was asked for; an answer is waited for until this time.
    Asked(u64),
    /// Messages come.
    Following,
}

/// A stream that is followed.
#[derive(Debug)]
pub(super) struct Followed {
    pub source: StreamSource,
    pub is_mirror: bool,
    /// First parts of `Nats-Stream-Source`.
    pub stream_name: Vec<u8>,
    pub filters: Vec<u8>,
    pub destinations: Vec<u8>,
    pub key: Vec<u8>,
    /// Transforms in order; without a destination the subject stays.
    pub transforms: Vec<(String, Option<Transform>)>,
    pub phase: Phase,
    /// Details of the tokens of deliveries and of the answer.
    inbox: u32,
    answer: u32,
    /// Subjects of both; empty while resting.
    deliver_subject: String,
    answer_subject: String,
    /// The consumer's number of the last delivery.
    pub delivered: u64,
    /// Messages at the origin that are still to come.
    pub lag: u64,
    /// Monotonic clock at the last sign of life.
    pub seen: u64,
    /// The same by the wall clock; 0: never.
    pub seen_unix_ns: i64,
    pub error: Option<ApiError>,
    /// The origin's identity.
    pub identity: Vec<u8>,
    failures: u32,
    /// Monotonic clock at the last restart; 0: never.
    restarted: u64,
}

/// When following is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// Something was missed, or the consumer has gone.
    AtOnce,
    /// The origin does not answer: more and more rarely.
    Later,
    /// This stream does not take the message.
    NoRoom,
}

/// The streams that are followed.
#[derive(Debug, Default)]
pub struct Followers {
    pub(super) all: Vec<Followed>,
    /// The next detail of a token.
    next_detail: u32,
}

impl Followers {
    /// Whether an inbox is not yet known to all cores, which no event tells.
    pub fn is_waiting_for_cores(&self) -> bool {
        let is_waiting = |followed: &Followed| matches!(followed.phase, Phase::Subscribed(_));
        self.all.iter().any(is_waiting)
    }

    /// When the next timer is due, in nanoseconds of the monotonic clock.
    pub fn next_deadline(&self) -> Option<u64> {
        self.all
            .iter()
            .filter_map(|followed| match followed.phase {
                Phase::Resting(until) | Phase::Asked(until) => Some(until),
                Phase::Subscribed(_) => None,
                Phase::Following => Some(followed.seen + STALLED_NS),
            })
            .min()
    }
}

impl Followed {
    fn new(source: &StreamSource, is_mirror: bool) -> Self {
        let (filters, destinations) = if source.subject_transforms.is_empty() {
            (
                joined(std::iter::once(source.filter_subject.as_str())),
                joined(std::iter::empty()),
            )
        } else {
            let transforms = &source.subject_transforms;
            (
                joined(transforms.iter().map(|t| t.src.as_str())),
                joined(transforms.iter().map(|t| t.dest.as_str())),
            )
        };
        let mut stream_name = source.name.clone().into_bytes();
        if let Some(external) = source.external.as_ref().filter(|e| !e.api.is_empty()) {
            stream_name.push(b':');
            stream_name.extend_from_slice(&short_hash(external.api.as_bytes()));
        }
        let transforms = source
            .subject_transforms
            .iter()
            .map(|t| {
                let transform = match t.dest.as_str() {
                    "" => None,
                    dest => Transform::new(t.src.as_bytes(), dest.as_bytes()).ok(),
                };
                (t.src.clone(), transform)
            })
            .collect();
        Self {
            source: source.clone(),
            is_mirror,
            key: key(&stream_name, &filters, &destinations),
            stream_name,
            filters,
            destinations,
            transforms,
            phase: Phase::Resting(0),
            inbox: 0,
            answer: 0,
            deliver_subject: String::new(),
            answer_subject: String::new(),
            delivered: 0,
            lag: 0,
            seen: 0,
            seen_unix_ns: 0,
            error: None,
            identity: Vec::new(),
            failures: 0,
            restarted: 0,
        }
    }

    /// Where the origin's API is.
    fn api(&self) -> &str {
        match &self.source.external {
            Some(external) if !external.api.is_empty() => &external.api,
            _ => "$JS.API",
        }
    }

    fn filter_subjects(&self) -> Vec<&str> {
        if self.source.subject_transforms.is_empty() {
            let filter = self.source.filter_subject.as_str();
            return (!filter.is_empty()).then_some(filter).into_iter().collect();
        }
        let sources = self.source.subject_transforms.iter();
        sources
            .map(|t| if t.src.is_empty() { ">" } else { &t.src })
            .collect()
    }

    /// Body of the request for a consumer.
    fn request(&self, name: &str, start: &Start, stream: &str, account: &str) -> Vec<u8> {
        let mut out = b"{\"stream_name\":".to_vec();
        let text = push_json_text;
        text(&mut out, &self.source.name);
        out.extend_from_slice(b",\"config\":{\"name\":");
        text(&mut out, name);
        match start {
            Start::All => out.extend_from_slice(b",\"deliver_policy\":\"all\""),
            Start::Sequence(sequence) => out.extend_from_slice(
                format!(",\"deliver_policy\":\"by_start_sequence\",\"opt_start_seq\":{sequence}")
                    .as_bytes(),
            ),
            Start::Time(time) => {
                out.extend_from_slice(b",\"deliver_policy\":\"by_start_time\",\"opt_start_time\":");
                text(&mut out, time);
            }
        }
        out.extend_from_slice(
            b",\"ack_policy\":\"none\",\"ack_wait\":79200000000000,\"max_deliver\":1",
        );
        match self.filter_subjects().as_slice() {
            [] => {}
            [filter] => {
                out.extend_from_slice(b",\"filter_subject\":");
                text(&mut out, filter);
            }
            filters => {
                out.extend_from_slice(b",\"filter_subjects\":[");
                for (number, filter) in filters.iter().enumerate() {
                    if number > 0 {
                        out.push(b',');
                    }
                    text(&mut out, filter);
                }
                out.push(b']');
            }
        }
        out.extend_from_slice(
            b",\"replay_policy\":\"instant\",\"flow_control\":true,\"deliver_subject\":",
        );
        text(&mut out, &self.deliver_subject);
        out.extend_from_slice(
            format!(
                ",\"idle_heartbeat\":{HEARTBEAT_NS},\"inactive_threshold\":{INACTIVE_NS},\"num_replicas\":0,\"direct\":true,\"sourcing\":true,\"metadata\":{{"
            )
            .as_bytes(),
        );
        let kind = if self.is_mirror { "mirror" } else { "src" };
        text(&mut out, &format!("_nats.{kind}.acc"));
        out.push(b':');
        text(&mut out, account);
        out.push(b',');
        text(&mut out, &format!("_nats.{kind}.stream"));
        out.push(b':');
        text(&mut out, stream);
        out.extend_from_slice(b"}},\"action\":\"\"}");
        out
    }

    /// Takes note of a sign of life.
    pub fn see(&mut self, now: Now) {
        self.seen = now.mono_ns;
        self.seen_unix_ns = now.unix_ns;
    }

    /// Nanoseconds until the next attempt.
    fn backoff(&mut self) -> u64 {
        let wait = RETRY_NS << self.failures.min(5);
        self.failures += 1;
        wait.min(RETRY_MAX_NS)
    }
}

/// From where messages are asked for.
enum Start {
    All,
    Sequence(u64),
    Time(String),
}

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

fn letters(mut number: u64) -> [u8; 8] {
    std::array::from_fn(|_| {
        let letter = ALPHABET[(number % 62) as usize];
        number /= 62;
        letter
    })
}

/// Eight random letters.
fn random_name(bus: &mut dyn Bus) -> String {
    String::from_utf8_lossy(&letters(bus.random())).into_owned()
}

/// Eight letters that tell external streams of one name apart.
fn short_hash(text: &[u8]) -> [u8; 8] {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(text);
    let mut name = [0; 8];
    for (letter, byte) in name.iter_mut().zip(digest.iter()) {
        *letter = ALPHABET[usize::from(byte % 62)];
    }
    name
}

impl Stream {
    /// Begins to follow what is configured.
    pub(super) fn follow(&mut self, cx: &mut Context<'_>) {
        let config = &self.config;
        self.followers.all = (config.mirror.iter())
            .map(|mirror| Followed::new(mirror, true))
            .chain((config.sources.iter()).map(|source| Followed::new(source, false)))
            .collect();
        self.tick_followers(cx);
    }

    pub(super) fn unfollow(&mut self, cx: &mut Context<'_>) {
        for number in 0..self.followers.all.len() {
            self.leave(cx.bus, number);
        }
        self.followers.all.clear();
    }

    /// Follows what an update names, and no longer what it does not.
    pub(super) fn refollow(&mut self, cx: &mut Context<'_>, old: &StreamConfig) {
        if old.mirror == self.config.mirror && old.sources == self.config.sources {
            return;
        }
        self.unfollow(cx);
        if self.config.mirror.is_none() {
            // What the stream was as a mirror does not count for sources.
            let config = &self.config;
            let keys: Vec<Vec<u8>> = (config.sources.iter())
                .map(|source| Followed::new(source, false).key)
                .collect();
            self.derived.sourced.retain(|key, _| keys.contains(key));
        }
        self.follow(cx);
    }

    /// Gives up the inboxes of one followed stream.
    fn leave(&mut self, bus: &mut dyn Bus, number: usize) {
        let (slot, account) = (self.slot, self.account);
        let Some(followed) = self.followers.all.get_mut(number) else {
            return;
        };
        for (subject, detail) in [
            (&mut followed.deliver_subject, followed.inbox),
            (&mut followed.answer_subject, followed.answer),
        ] {
            if !subject.is_empty() {
                let token = Token::new(Kind::Stream, slot, detail);
                bus.unsubscribe(account, subject.as_bytes(), token);
                subject.clear();
            }
        }
    }

    /// Starts anew, at once or after a while.
    pub(super) fn restart(&mut self, cx: &mut Context<'_>, number: usize, when: Again) {
        self.leave(cx.bus, number);
        let now = cx.bus.now().mono_ns;
        if let Some(followed) = self.followers.all.get_mut(number) {
            let is_early = followed.restarted > 0 && now - followed.restarted < HEARTBEAT_NS;
            let wait = match when {
                Again::AtOnce if !is_early => 0,
                Again::AtOnce => RETRY_NS,
                Again::Later => followed.backoff(),
                Again::NoRoom => NO_ROOM_NS,
            };
            followed.restarted = now;
            followed.phase = Phase::Resting(now + wait);
        }
    }

    pub(super) fn tick_followers(&mut self, cx: &mut Context<'_>) {
        let now = cx.bus.now().mono_ns;
        for number in 0..self.followers.all.len() {
            let followed = &self.followers.all[number];
            match followed.phase {
                Phase::Resting(until) if until <= now => self.open_inbox(cx, number),
                Phase::Asked(until) if until <= now => self.restart(cx, number, Again::Later),
                Phase::Following if followed.seen + STALLED_NS <= now => {
                    self.restart(cx, number, Again::AtOnce);
                }
                _ => {}
            }
        }
    }

    /// Subscribes to a new inbox; the consumer is asked for when all cores know of it.
    fn open_inbox(&mut self, cx: &mut Context<'_>, number: usize) {
        let detail = self.followers.next_detail;
        self.followers.next_detail = detail.wrapping_add(2);
        let (slot, account) = (self.slot, self.account);
        let (inbox_name, answer_name) = (random_name(cx.bus), random_name(cx.bus));
        let followed = &mut self.followers.all[number];
        let letter = if followed.is_mirror { 'M' } else { 'S' };
        let durable = followed.source.consumer.as_ref();
        followed.deliver_subject = match (&durable, &followed.source.external) {
            (Some(consumer), _) => consumer.deliver_subject.clone(),
            (None, Some(external)) if !external.deliver.is_empty() => {
                format!("{}.{letter}.{inbox_name}", external.deliver)
            }
            _ => format!("$JS.{letter}.{inbox_name}"),
        };
        followed.answer_subject = match durable {
            Some(_) => String::new(),
            None => format!("$JSC.R.{answer_name}"),
        };
        (followed.inbox, followed.answer) = (detail, detail.wrapping_add(1));
        followed.delivered = 0;
        for (subject, detail) in [
            (&followed.deliver_subject, followed.inbox),
            (&followed.answer_subject, followed.answer),
        ] {
            if !subject.is_empty() {
                let token = Token::new(Kind::Stream, slot, detail);
                cx.bus.subscribe(account, subject.as_bytes(), token);
            }
        }
        followed.phase = match durable {
            // The consumer is there already.
            Some(_) => {
                followed.see(cx.bus.now());
                Phase::Following
            }
            None => Phase::Subscribed(cx.bus.barrier()),
        };
    }

    pub(super) fn settle_followers(&mut self, cx: &mut Context<'_>) {
        for number in 0..self.followers.all.len() {
            if let Phase::Subscribed(barrier) = self.followers.all[number].phase
                && cx.bus.passed(barrier)
            {
                self.ask(cx, number);
            }
        }
    }

    /// From where a followed stream's messages are missing.
    fn start_of(&self, followed: &Followed) -> Start {
        let last = if followed.is_mirror {
            self.log.last_sequence()
        } else {
            (self.derived.sourced.get(&followed.key)).map_or(0, |sequence| *sequence)
        };
        let source = &followed.source;
        if last > 0 {
            Start::Sequence(last + 1)
        } else if source.opt_start_seq > 0 {
            Start::Sequence(source.opt_start_seq)
        } else if let Some(time) = source.opt_start_time {
            Start::Time(time.to_string())
        } else {
            Start::All
        }
    }

    /// Asks the origin for a consumer.
    fn ask(&mut self, cx: &mut Context<'_>, number: usize) {
        let kind = match self.followers.all[number].is_mirror {
            true => "JS_MIRROR_",
            false => "JS_SRC_",
        };
        let name = format!("{kind}{}", random_name(cx.bus));
        let followed = &self.followers.all[number];
        let mut subject = format!(
            "{}.CONSUMER.CREATE.{}",
            followed.api(),
            followed.source.name
        );
        if let [filter] = followed.filter_subjects().as_slice() {
            subject.push_str(&format!(".{name}.{filter}"));
        }
        let start = self.start_of(followed);
        let body = followed.request(&name, &start, &self.config.name, &self.account_name);
        let mut header = Vec::new();
        // Appending to an empty block cannot fail.
        if followed.is_mirror {
            let _ = blocks::append(&mut header, "Nats-Required-Api-Level", b"4");
        } else {
            let _ = blocks::append(&mut header, "Nats-Required-Api-Level", b"5");
            let _ = blocks::append(&mut header, "Nats-Stream-Identity", &followed.identity);
        }
        let request = Outgoing {
            reply: followed.answer_subject.as_bytes(),
            header: &header,
            ..Outgoing::plain(subject.as_bytes(), &body)
        };
        // Without anybody there, no answer comes: asked again after a while.
        let _ = cx.bus.publish(self.account, &request);
        let now = cx.bus.now().mono_ns;
        self.followers.all[number].phase = Phase::Asked(now + ANSWER_NS);
    }

    /// A message on one of the inboxes.
    pub(super) fn followed(&mut self, cx: &mut Context<'_>, detail: u32, message: &Incoming<'_>) {
        let followers = &self.followers.all;
        if let Some(number) = followers
            .iter()
            .position(|f| f.answer == detail && matches!(f.phase, Phase::Asked(_)))
        {
            self.answered(cx, number, message);
        } else if let Some(number) = followers
            .iter()
            .position(|f| f.inbox == detail && !f.deliver_subject.is_empty())
        {
            self.delivered(cx, number, message);
        }
    }

    /// The origin's answer.
    fn answered(&mut self, cx: &mut Context<'_>, number: usize, message: &Incoming<'_>) {
        let answer: serde_json::Value = serde_json::from_slice(message.payload).unwrap_or_default();
        if let Some(error) = answer.get("error") {
            let number_of = |name: &str| error.get(name).and_then(serde_json::Value::as_u64);
            let code = number_of("err_code").and_then(|n| u16::try_from(n).ok());
            let text = error.get("description").and_then(|d| d.as_str());
            self.followers.all[number].error = code
                .and_then(|code| ApiError::from_wire(code, text.unwrap_or_default().to_owned()));
            return self.restart(cx, number, Again::Later);
        }
        if answer.get("name").is_none() {
            // Nobody serves the API there, for now.
            return self.restart(cx, number, Again::Later);
        }
        let identity = blocks::get(message.header, b"Nats-Stream-Identity");
        let pending = answer
            .get("num_pending")
            .and_then(serde_json::Value::as_u64);
        let (slot, account) = (self.slot, self.account);
        let followed = &mut self.followers.all[number];
        followed.identity = identity.unwrap_or_default().to_vec();
        if followed.delivered == 0 {
            // Else messages overtook the answer, which says how it was before them.
            followed.lag = pending.unwrap_or(0);
        }
        followed.see(cx.bus.now());
        followed.error = None;
        followed.failures = 0;
        followed.phase = Phase::Following;
        let token = Token::new(Kind::Stream, slot, followed.answer);
        cx.bus
            .unsubscribe(account, followed.answer_subject.as_bytes(), token);
        followed.answer_subject.clear();
    }

    /// What is told of the mirrored stream.
    pub(super) fn mirror_info(&self, now_unix_ns: i64) -> Option<SourceInfo> {
        let followed = self.followers.all.iter().find(|f| f.is_mirror)?;
        Some(self.followed_info(followed, now_unix_ns))
    }

    pub(super) fn source_infos(&self, now_unix_ns: i64) -> Vec<SourceInfo> {
        let sources = self.followers.all.iter().filter(|f| !f.is_mirror);
        sources
            .map(|followed| self.followed_info(followed, now_unix_ns))
            .collect()
    }

    fn followed_info(&self, followed: &Followed, now_unix_ns: i64) -> SourceInfo {
        let source = &followed.source;
        SourceInfo {
            name: source.name.clone(),
            external: source.external.clone(),
            lag: followed.lag,
            seq: match followed.is_mirror {
                true => 0,
                false => (self.derived.sourced.get(&followed.key)).map_or(0, |s| *s),
            },
            active: match followed.seen_unix_ns {
                0 => -1,
                seen => now_unix_ns.saturating_sub(seen).max(0),
            },
            error: followed.error.clone(),
            filter_subject: source.filter_subject.clone(),
            subject_transforms: source.subject_transforms.clone(),
        }
    }
}
