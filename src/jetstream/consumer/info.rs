//! What the API shows of a consumer.

use serde::{Serialize, Serializer};

use crate::jetstream::time::Time;

use super::config::ConsumerConfig;
use super::single::{Consumer, Context, Shared, Target};
use super::state::Sequences;

/// Sequences with the time of the last change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SequenceInfo {
    pub consumer_seq: u64,
    pub stream_seq: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_active: Option<Time>,
}

impl SequenceInfo {
    /// `unix_ns` is 0 for never.
    fn new(sequences: Sequences, unix_ns: i64) -> Self {
        Self {
            consumer_seq: sequences.consumer,
            stream_seq: sequences.stream,
            last_active: (unix_ns != 0).then(|| Time::from_unix_ns(unix_ns)),
        }
    }
}

/// State of a priority group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GroupInfo {
    pub group: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pinned_client_id: String,
    pub pinned_ts: Time,
}

/// ConsumerInfo of the API, in the order of its fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConsumerInfo {
    pub stream_name: String,
    pub name: String,
    pub created: Time,
    /// With the stored metadata only: what else the server shows is added by the API.
    pub config: ConsumerConfig,
    pub delivered: SequenceInfo,
    pub ack_floor: SequenceInfo,
    pub num_ack_pending: u64,
    pub num_redelivered: u64,
    pub num_waiting: u64,
    pub num_pending: u64,
    #[serde(skip_serializing_if = "is_false")]
    pub push_bound: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub paused: bool,
    /// Nanoseconds.
    #[serde(skip_serializing_if = "is_zero")]
    pub pause_remaining: u64,
    pub ts: Time,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub priority_groups: Vec<GroupInfo>,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The answer to a pause request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PauseInfo {
    pub paused: bool,
    pub pause_until: Time,
    /// Nanoseconds.
    pub pause_remaining: u64,
}

impl Serialize for PauseInfo {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut fields = serializer.serialize_struct("PauseInfo", 3)?;
        fields.serialize_field("paused", &self.paused)?;
        fields.serialize_field("pause_until", &self.pause_until)?;
        if self.pause_remaining > 0 {
            fields.serialize_field("pause_remaining", &self.pause_remaining)?;
        }
        fields.end()
    }
}

impl Consumer {
    pub(super) fn info(&mut self, shared: &Shared, context: &mut Context<'_>) -> ConsumerInfo {
        let now = context.bus.now().unix_ns;
        let pause_remaining = self.pause_remaining(now);
        let group = self.config.priority_groups.first().map(|group| GroupInfo {
            group: group.clone(),
            pinned_client_id: String::from_utf8_lossy(&self.pin.id).into_owned(),
            pinned_ts: if self.pin.is_set() {
                Time::from_unix_ns(self.pin.since_unix_ns)
            } else {
                Time::ZERO
            },
        });
        ConsumerInfo {
            stream_name: shared.facts.name.clone(),
            name: self.name.clone(),
            created: Time::from_unix_ns(self.created_unix_ns),
            config: self.config.clone(),
            delivered: SequenceInfo::new(self.state.delivered, self.state.delivered_at),
            ack_floor: SequenceInfo::new(self.state.floor, self.state.acked_at),
            num_ack_pending: self.state.pending.len() as u64,
            num_redelivered: self.state.pending.redelivered() as u64,
            num_waiting: self.count_waiting(shared, context.bus) as u64,
            num_pending: self.position.pending(context.log),
            push_bound: matches!(&self.target, Target::Push(push) if push.active),
            paused: pause_remaining > 0,
            pause_remaining,
            ts: Time::from_unix_ns(now),
            priority_groups: group.into_iter().collect(),
        }
    }

    /// Nanoseconds until deliveries go on.
    pub(super) fn pause_remaining(&self, now_unix_ns: i64) -> u64 {
        self.paused_until.map_or(0, |until| {
            u64::try_from(until.saturating_sub(now_unix_ns)).unwrap_or(0)
        })
    }

    pub(super) fn pause_info(&self, now_unix_ns: i64) -> PauseInfo {
        let pause_remaining = self.pause_remaining(now_unix_ns);
        PauseInfo {
            paused: pause_remaining > 0,
            pause_until: self.config.pause_until.unwrap_or(Time::ZERO),
            pause_remaining,
        }
    }
}
