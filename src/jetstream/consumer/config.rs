//! What a consumer is to do: the configuration clients send and are shown.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::jetstream::json::{self, Decode, JsonError, Node, Place, Value};
use crate::jetstream::time::Time;
use crate::json_object;

macro_rules! policy {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $text)] $variant,)*
        }

        impl $name {
            /// The policy of this name in requests.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, policy)| *policy)
            }

            const NAMES: &[(&str, Self)] = &[$(($text, Self::$variant)),*];
        }

        impl Decode for $name {
            fn decode(&mut self, node: &Node<'_>, _: &Place<'_>) -> Result<(), JsonError> {
                if !matches!(node.value, Value::Null) {
                    *self = json::choice(node, Self::NAMES)?;
                }
                Ok(())
            }
        }
    };
}

policy! {
    /// With which message a new consumer starts.
    DeliverPolicy {
        #[default]
        All = "all",
        Last = "last",
        New = "new",
        ByStartSequence = "by_start_sequence",
        ByStartTime = "by_start_time",
        LastPerSubject = "last_per_subject",
    }
}

policy! {
    /// What counts as an acknowledgement.
    AckPolicy {
        #[default]
        None = "none",
        /// One acknowledges everything up to it.
        All = "all",
        Explicit = "explicit",
        /// Answers to flow control do.
        FlowControl = "flow_control",
    }
}

policy! {
    /// How fast what is stored is delivered.
    ReplayPolicy {
        #[default]
        Instant = "instant",
        /// At the pace at which it was stored.
        Original = "original",
    }
}

policy! {
    /// How the clients of a group share a pull consumer.
    PriorityPolicy {
        #[default]
        None = "none",
        Overflow = "overflow",
        PinnedClient = "pinned_client",
        Prioritized = "prioritized",
    }
}

/// Configuration of a consumer. Fields are in the order in which they are written; durations
/// are in nanoseconds, and 0 or empty stands for "not given".
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ConsumerConfig {
    #[serde(rename = "durable_name", skip_serializing_if = "String::is_empty")]
    pub durable_name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    pub deliver_policy: DeliverPolicy,
    #[serde(skip_serializing_if = "is_zero_u64")]
    pub opt_start_seq: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opt_start_time: Option<Time>,
    pub ack_policy: AckPolicy,
    #[serde(skip_serializing_if = "is_zero")]
    pub ack_wait: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub max_deliver: i64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub backoff: Vec<i64>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub filter_subject: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filter_subjects: Vec<String>,
    pub replay_policy: ReplayPolicy,
    #[serde(skip_serializing_if = "is_zero_u64")]
    pub rate_limit_bps: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sample_freq: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub max_waiting: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub max_ack_pending: i64,
    #[serde(skip_serializing_if = "is_false")]
    pub flow_control: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub headers_only: bool,
    #[serde(skip_serializing_if = "is_zero")]
    pub max_batch: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub max_expires: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub max_bytes: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub deliver_subject: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub deliver_group: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub idle_heartbeat: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub inactive_threshold: i64,
    pub num_replicas: i64,
    #[serde(skip_serializing_if = "is_false")]
    pub mem_storage: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub direct: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub sourcing: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause_until: Option<Time>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub priority_groups: Vec<String>,
    #[serde(skip_serializing_if = "is_no_priority")]
    pub priority_policy: PriorityPolicy,
    #[serde(skip_serializing_if = "is_zero")]
    pub priority_timeout: i64,
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

fn is_zero_u64(number: &u64) -> bool {
    *number == 0
}

fn is_false(flag: &bool) -> bool {
    !flag
}

fn is_no_priority(policy: &PriorityPolicy) -> bool {
    *policy == PriorityPolicy::None
}

impl ConsumerConfig {
    pub fn is_push(&self) -> bool {
        !self.deliver_subject.is_empty()
    }

    pub fn is_durable(&self) -> bool {
        !self.durable_name.is_empty()
    }

    /// All filters; none means every message.
    pub fn filters(&self) -> impl Iterator<Item = &str> {
        let one = (!self.filter_subject.is_empty()).then_some(self.filter_subject.as_str());
        one.into_iter()
            .chain(self.filter_subjects.iter().map(String::as_str))
    }

    /// The lowest API level that knows all of what is used, for `_nats.req.level`.
    pub fn required_level(&self) -> u32 {
        if self.ack_policy == AckPolicy::FlowControl {
            4
        } else if self.priority_policy != PriorityPolicy::None
            || self.pause_until.is_some_and(|time| !time.is_zero())
        {
            1
        } else {
            0
        }
    }
}

json_object!(ConsumerConfig, "server.ConsumerConfig", {
    "durable_name" => durable_name,
    "name" => name,
    "description" => description,
    "deliver_policy" => deliver_policy,
    "opt_start_seq" => opt_start_seq,
    "opt_start_time" => opt_start_time,
    "ack_policy" => ack_policy,
    "ack_wait" => ack_wait with json::duration,
    "max_deliver" => max_deliver with json::int,
    "backoff" => backoff with json::durations,
    "filter_subject" => filter_subject,
    "filter_subjects" => filter_subjects,
    "replay_policy" => replay_policy,
    "rate_limit_bps" => rate_limit_bps,
    "sample_freq" => sample_freq,
    "max_waiting" => max_waiting with json::int,
    "max_ack_pending" => max_ack_pending with json::int,
    "flow_control" => flow_control,
    "headers_only" => headers_only,
    "max_batch" => max_batch with json::int,
    "max_expires" => max_expires with json::duration,
    "max_bytes" => max_bytes with json::int,
    "deliver_subject" => deliver_subject,
    "deliver_group" => deliver_group,
    "idle_heartbeat" => idle_heartbeat with json::duration,
    "inactive_threshold" => inactive_threshold with json::duration,
    "num_replicas" => num_replicas with json::int,
    "mem_storage" => mem_storage,
    "direct" => direct,
    "sourcing" => sourcing,
    "metadata" => metadata,
    "pause_until" => pause_until,
    "priority_groups" => priority_groups,
    "priority_policy" => priority_policy with priority_policy,
    "priority_timeout" => priority_timeout with json::duration,
});

fn priority_policy(
    target: &mut PriorityPolicy,
    node: &Node<'_>,
    _: &Place<'_>,
) -> Result<(), JsonError> {
    match &node.value {
        Value::Null => return Ok(()),
        Value::Text(name) => {
            if let Some(policy) = PriorityPolicy::from_name(name) {
                *target = policy;
                return Ok(());
            }
        }
        _ => {}
    }
    let raw = String::from_utf8_lossy(node.raw);
    Err(JsonError(format!("unknown priority policy: {raw}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(text: &str) -> Result<ConsumerConfig, String> {
        let mut config = ConsumerConfig::default();
        json::decode(
            &mut config,
            text.as_bytes(),
            "CreateConsumerRequest.config",
            true,
        )
        .map_err(|e| e.0)?;
        Ok(config)
    }

    /// A configuration with every field that a pull or a push consumer can have, in the order in
    /// which nats-server 2.15.1 wrote it.
    #[test]
    fn fields_keep_the_order_of_nats_server() {
        let json = r#"{"durable_name":"all","name":"all","description":"d","deliver_policy":"by_start_sequence","opt_start_seq":2,"opt_start_time":"2020-01-01T00:00:00.123+02:00","ack_policy":"explicit","ack_wait":1000000000,"max_deliver":5,"backoff":[1000000000],"filter_subject":"s.*","filter_subjects":["s.1"],"replay_policy":"original","rate_limit_bps":1000,"sample_freq":"50%","max_waiting":5,"max_ack_pending":6,"flow_control":true,"headers_only":true,"max_batch":5,"max_expires":1000000000,"max_bytes":1000,"deliver_subject":"dd","deliver_group":"g","idle_heartbeat":1000000000,"inactive_threshold":60000000000,"num_replicas":1,"mem_storage":true,"direct":true,"sourcing":true,"metadata":{"a":"2","z":"1"},"pause_until":"2030-01-01T00:00:00.5Z","priority_groups":["A"],"priority_policy":"pinned_client","priority_timeout":120000000000}"#;
        let config = decode(json).unwrap();
        assert_eq!(serde_json::to_string(&config).unwrap(), json);
        let empty = decode("{}").unwrap();
        assert_eq!(
            serde_json::to_string(&empty).unwrap(),
            r#"{"deliver_policy":"all","ack_policy":"none","replay_policy":"instant","num_replicas":0}"#
        );
    }

    #[test]
    fn names_may_be_in_any_case_and_null_changes_nothing() {
        let config = decode(r#"{"Durable_Name":"x","ACK_POLICY":"all","backoff":null,"name":null,"ack_wait":null,"deliver_policy":null,"pause_until":null}"#).unwrap();
        assert_eq!(config.durable_name, "x");
        assert_eq!(config.ack_policy, AckPolicy::All);
    }

    /// Asked of nats-server 2.15.1.
    #[test]
    fn errors_have_the_texts_of_go() {
        for (json, text) in [
            (
                r#"{"deliver_policy":"bogus"}"#,
                r#"can not unmarshal "\"bogus\"""#,
            ),
            (r#"{"deliver_policy":3}"#, r#"can not unmarshal "3""#),
            (
                r#"{"ack_policy":"bogus"}"#,
                r#"can not unmarshal "\"bogus\"""#,
            ),
            (
                r#"{"priority_policy":"bogus"}"#,
                r#"unknown priority policy: "bogus""#,
            ),
            (
                r#"{"max_deliver":"x"}"#,
                "json: cannot unmarshal string into Go struct field CreateConsumerRequest.config.max_deliver of type int",
            ),
            (r#"{"foo":"x"}"#, r#"json: unknown field "foo""#),
            (
                r#"{"durable_name":3}"#,
                "json: cannot unmarshal number into Go struct field CreateConsumerRequest.config.durable_name of type string",
            ),
            (
                r#"{"ack_wait":"3s"}"#,
                "json: cannot unmarshal string into Go struct field CreateConsumerRequest.config.ack_wait of type time.Duration",
            ),
            (
                r#"{"backoff":3}"#,
                "json: cannot unmarshal number into Go struct field CreateConsumerRequest.config.backoff of type []time.Duration",
            ),
            (r#"{"name":"x9""#, "unexpected EOF"),
        ] {
            assert_eq!(decode(json).unwrap_err(), text, "{json}");
        }
    }

    #[test]
    fn levels_follow_what_is_used() {
        let level = |json| decode(json).unwrap().required_level();
        assert_eq!(level("{}"), 0);
        assert_eq!(level(r#"{"pause_until":"2030-01-01T00:00:00Z"}"#), 1);
        assert_eq!(level(r#"{"pause_until":"0001-01-01T00:00:00Z"}"#), 0);
        assert_eq!(level(r#"{"priority_policy":"overflow"}"#), 1);
    }
}
