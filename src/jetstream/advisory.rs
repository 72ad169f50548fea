//! Events on `$JS.EVENT`: what happened, for whoever listens.
//!
//! Nothing is rendered unless somebody has interest in the subject.

use serde::Serialize;

use super::api::response;
use super::bus::{Bus, ClientInfo, Outgoing};
use super::consumer::{Event, EventKind};
use super::settings::JetStreamSettings;
use super::stream::event::StreamEvent;
use super::time::Time;

/// What the subjects of advisories start with.
const SUBJECT_PREFIX: &str = "$JS.EVENT.ADVISORY.";
/// What the types of advisories start with.
const TYPE_PREFIX: &str = "io.nats.jetstream.advisory.v1.";

/// What the types of metrics start with.
const METRIC_TYPE_PREFIX: &str = "io.nats.jetstream.metric.v1.";

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

/// Whether somebody listens to the advisory on `suffix`.
pub fn is_wanted(bus: &mut dyn Bus, account: u16, suffix: &str) -> bool {
    bus.has_interest(account, format!("{SUBJECT_PREFIX}{suffix}").as_bytes())
}

/// Publishes the advisory `kind` (e.g. `stream_action`) on `suffix` (e.g. `STREAM.CREATED.S`) if
/// somebody listens. `fields` are what follows the time.
pub fn publish<T: Serialize>(bus: &mut dyn Bus, account: u16, suffix: &str, kind: &str, fields: T) {
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
    fields: T,
) {
    if !bus.has_interest(account, subject.as_bytes()) {
        return;
    }
    let event = Envelope {
        kind: format!("{type_prefix}{kind}"),
        id: unique_id(bus),
        timestamp: Time::from_unix_ns(bus.now().unix_ns),
        fields,
    };
    let body = response::json(&event);
    let _ = bus.publish(account, &Outgoing::plain(subject.as_bytes(), &body));
}

#[derive(Serialize)]
struct Envelope<T> {
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
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<&'a str>,
    pub group: &'a str,
    /// `admin` or `timeout`.
    pub reason: &'static str,
}

/// A stream was made (`create`), changed (`modify`) or removed (`delete`).
pub fn stream_action(
    bus: &mut dyn Bus,
    account: u16,
    stream: &str,
    action: &'static str,
    settings: &JetStreamSettings,
) {
    let verb = match action {
        "create" => "CREATED",
        "delete" => "DELETED",
        _ => "UPDATED",
    };
    let fields = StreamAction {
        stream,
        action,
        domain: settings.domain.as_deref(),
    };
    let suffix = format!("STREAM.{verb}.{stream}");
    publish(bus, account, &suffix, "stream_action", fields);
}

/// A consumer was made (`create`) or removed (`delete`).
pub fn consumer_action(
    bus: &mut dyn Bus,
    account: u16,
    stream: &str,
    consumer: &str,
    action: &'static str,
    settings: &JetStreamSettings,
) {
    let verb = match action {
        "create" => "CREATED",
        _ => "DELETED",
    };
    let fields = ConsumerAction {
        stream,
        consumer,
        action,
        domain: settings.domain.as_deref(),
    };
    let suffix = format!("CONSUMER.{verb}.{stream}.{consumer}");
    publish(bus, account, &suffix, "consumer_action", fields);
}

/// What a stream told.
pub fn stream_event(
    bus: &mut dyn Bus,
    account: u16,
    account_name: &str,
    stream: &str,
    settings: &JetStreamSettings,
    event: &StreamEvent,
) {
    match event {
        StreamEvent::BatchAbandoned { batch, reason } => {
            let fields = BatchAbandoned {
                account: account_name,
                domain: settings.domain.as_deref(),
                stream,
                batch,
                reason: reason.text(),
            };
            let suffix = format!("STREAM.BATCH_ABANDONED.{stream}");
            publish(bus, account, &suffix, "stream_batch_abandoned", fields);
        }
    }
}

#[derive(Serialize)]
struct BatchAbandoned<'a> {
    account: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<&'a str>,
    stream: &'a str,
    batch: &'a str,
    reason: &'static str,
}

/// Of `max_deliver`.
#[derive(Serialize)]
struct MaxDeliveries<'a> {
    stream: &'a str,
    consumer: &'a str,
    stream_seq: u64,
    deliveries: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<&'a str>,
}

/// Of `nak` and `terminated`.
#[derive(Serialize)]
struct Refused<'a> {
    stream: &'a str,
    consumer: &'a str,
    consumer_seq: u64,
    stream_seq: u64,
    deliveries: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<&'a str>,
}

/// Of `consumer_ack`.
#[derive(Serialize)]
struct Sampled<'a> {
    stream: &'a str,
    consumer: &'a str,
    consumer_seq: u64,
    stream_seq: u64,
    /// Nanoseconds.
    ack_time: u64,
    deliveries: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<&'a str>,
}

/// Of `consumer_group_pinned`.
#[derive(Serialize)]
struct ConsumerPinned<'a> {
    account: &'a str,
    stream: &'a str,
    consumer: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<&'a str>,
    group: &'a str,
    pinned_id: &'a str,
}

/// What a consumer told.
pub fn consumer_event(
    bus: &mut dyn Bus,
    account: u16,
    account_name: &str,
    stream: &str,
    settings: &JetStreamSettings,
    event: &Event,
) {
    let consumer = event.consumer.as_str();
    let domain = settings.domain.as_deref();
    let suffix = |verb: &str| format!("CONSUMER.{verb}.{stream}.{consumer}");
    match &event.kind {
        EventKind::MaxDeliveries {
            stream_sequence,
            deliveries,
        } => {
            let fields = MaxDeliveries {
                stream,
                consumer,
                stream_seq: *stream_sequence,
                deliveries: *deliveries,
                domain,
            };
            let suffix = suffix("MAX_DELIVERIES");
            publish(bus, account, &suffix, "max_deliver", fields);
        }
        EventKind::Naked {
            consumer_sequence,
            stream_sequence,
            deliveries,
        } => {
            let fields = Refused {
                stream,
                consumer,
                consumer_seq: *consumer_sequence,
                stream_seq: *stream_sequence,
                deliveries: *deliveries,
                reason: "",
                domain,
            };
            publish(bus, account, &suffix("MSG_NAKED"), "nak", fields);
        }
        EventKind::Terminated {
            consumer_sequence,
            stream_sequence,
            deliveries,
            reason,
        } => {
            let fields = Refused {
                stream,
                consumer,
                consumer_seq: *consumer_sequence,
                stream_seq: *stream_sequence,
                deliveries: *deliveries,
                reason,
                domain,
            };
            publish(
                bus,
                account,
                &suffix("MSG_TERMINATED"),
                "terminated",
                fields,
            );
        }
        EventKind::Acknowledged {
            consumer_sequence,
            stream_sequence,
            deliveries,
            ack_time,
        } => {
            let fields = Sampled {
                stream,
                consumer,
                consumer_seq: *consumer_sequence,
                stream_seq: *stream_sequence,
                ack_time: *ack_time,
                deliveries: *deliveries,
                domain,
            };
            let subject = format!("$JS.EVENT.METRIC.CONSUMER.ACK.{stream}.{consumer}");
            publish_on(
                bus,
                account,
                &subject,
                METRIC_TYPE_PREFIX,
                "consumer_ack",
                fields,
            );
        }
        EventKind::Paused {
            paused,
            pause_until,
        } => {
            let fields = ConsumerPause {
                stream,
                consumer,
                paused: *paused,
                pause_until: match *pause_until {
                    0 | i64::MIN => Time::ZERO,
                    at => Time::from_unix_ns(at),
                },
                domain,
            };
            publish(bus, account, &suffix("PAUSE"), "consumer_pause", fields);
        }
        EventKind::Pinned { group, pin } => {
            let fields = ConsumerPinned {
                account: account_name,
                stream,
                consumer,
                domain,
                group,
                pinned_id: pin,
            };
            let suffix = suffix("PINNED");
            publish(bus, account, &suffix, "consumer_group_pinned", fields);
        }
        EventKind::Unpinned { group, reason } => {
            let fields = ConsumerUnpinned {
                account: account_name,
                stream,
                consumer,
                domain,
                group,
                reason,
            };
            let suffix = suffix("UNPINNED");
            publish(bus, account, &suffix, "consumer_group_unpinned", fields);
        }
        EventKind::Inactive => {}
    }
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
