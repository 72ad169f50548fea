//! Events on `$JS.EVENT`: what happened, for whoever listens.
//!
//! Nothing is rendered unless somebody has interest in the subject.

use serde::Serialize;

use super::api::response;
use super::bus::{Bus, ClientInfo, Outgoing};
use super::time::Time;

/// What the subjects of advisories start with.
const SUBJECT_PREFIX: &str = "$JS.EVENT.ADVISORY.";
/// What the types of advisories start with.
const TYPE_PREFIX: &str = "io.nats.jetstream.advisory.v1.";

/// Characters of unique ids.
const ID_ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Length of a unique id, as nats-server's.
const ID_LENGTH: usize = 22;

/// A unique id of 22 letters and digits.
pub fn unique_id(bus: &mut dyn Bus) -> String {
    random_text(bus, ID_LENGTH)
}

/// `length` random letters and digits, 62 of them to choose from.
pub fn random_text(bus: &mut dyn Bus, length: usize) -> String {
    /// 62^10 is below 2^64, so one random number gives ten characters.
    const PER_NUMBER: usize = 10;
    let mut text = String::with_capacity(length);
    let mut number = 0;
    for at in 0..length {
        if at % PER_NUMBER == 0 {
            number = bus.random();
        }
        text.push(char::from(ID_ALPHABET[(number % 62) as usize]));
        number /= 62;
    }
    text
}

/// Publishes the advisory `kind` (e.g. `stream_action`) on `suffix` (e.g. `STREAM.CREATED.S`) if
/// somebody listens. `fields` are what follows the time.
pub fn publish<T: Serialize>(
    bus: &mut dyn Bus,
    account: u16,
    suffix: &str,
    kind: &str,
    fields: impl FnOnce(&mut dyn Bus) -> T,
) {
    let subject = format!("{SUBJECT_PREFIX}{suffix}");
    publish_on(bus, account, &subject, TYPE_PREFIX, kind, fields);
}

/// As [`publish`], for any subject and prefix of the type.
pub fn publish_on<T: Serialize>(
    bus: &mut dyn Bus,
    account: u16,
    subject: &str,
    type_prefix: &str,
    kind: &str,
    fields: impl FnOnce(&mut dyn Bus) -> T,
) {
    if !bus.has_interest(account, subject.as_bytes()) {
        return;
    }
    let fields = fields(bus);
    let event = Event {
        kind: format!("{type_prefix}{kind}"),
        id: unique_id(bus),
        timestamp: Time::from_unix_ns(bus.now().unix_ns),
        fields,
    };
    let body = response::json(&event);
    let _ = bus.publish(account, &Outgoing::plain(subject.as_bytes(), &body));
}

#[derive(Serialize)]
struct Event<T> {
    #[serde(rename = "type")]
    kind: String,
    id: String,
    timestamp: Time,
    #[serde(flatten)]
    fields: T,
}

/// Of `stream_action`: `create`, `modify` or `delete`.
#[derive(Serialize)]
pub struct StreamAction<'a> {
    pub stream: &'a str,
    pub action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<&'a str>,
}

/// Of `consumer_action`: `create` or `delete`.
#[derive(Serialize)]
pub struct ConsumerAction<'a> {
    pub stream: &'a str,
    pub consumer: &'a str,
    pub action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<&'a str>,
}

/// Of `consumer_pause`.
#[derive(Serialize)]
pub struct ConsumerPause<'a> {
    pub stream: &'a str,
    pub consumer: &'a str,
    pub paused: bool,
    pub pause_until: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<&'a str>,
}

/// Of `consumer_group_unpinned`.
#[derive(Serialize)]
pub struct ConsumerUnpinned<'a> {
    pub account: &'a str,
    pub stream: &'a str,
    pub consumer: &'a str,
    pub group: &'a str,
    /// `admin` or `timeout`.
    pub reason: &'static str,
}

/// Who made a request.
#[derive(Serialize)]
pub struct Client<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<Time>,
    #[serde(skip_serializing_if = "str::is_empty")]
    host: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    id: u64,
    acc: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    user: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    lang: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    ver: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    rtt: u64,
    server: &'a str,
    kind: &'static str,
    client_type: &'static str,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl<'a> Client<'a> {
    /// `info` is missing if the connection is one of another core, or gone.
    pub fn new(info: Option<&'a ClientInfo>, account: &'a str, server: &'a str) -> Self {
        let text = |field: fn(&ClientInfo) -> &String| info.map_or("", |i| field(i).as_str());
        Self {
            start: info.map(|info| Time::from_unix_ns(info.start_unix_ns)),
            host: text(|i| &i.host),
            id: info.map_or(0, |info| info.id),
            acc: account,
            user: text(|i| &i.user),
            name: text(|i| &i.name),
            lang: text(|i| &i.language),
            ver: text(|i| &i.version),
            rtt: info.map_or(0, |info| info.rtt_ns),
            server,
            kind: "Client",
            client_type: "nats",
        }
    }
}

/// Of `api_audit`.
#[derive(Serialize)]
pub struct Audit<'a> {
    pub server: &'a str,
    pub client: Client<'a>,
    pub subject: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub request: &'a str,
    pub response: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<&'a str>,
}

/// Of `api_limit_reached`.
#[derive(Serialize)]
pub struct LimitReached<'a> {
    pub server: &'a str,
    pub dropped: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<&'a str>,
}

/// Of `snapshot_create`, `snapshot_complete`, `restore_create` and `restore_complete`.
#[derive(Serialize)]
pub struct Transfer<'a, S: Serialize> {
    pub stream: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<S>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    pub client: Client<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<&'a str>,
}
