//! The configuration of a stream: its fields in the order of nats-server's JSON.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::jetstream::json::{self, Decode, JsonError, Node, Place, Value};
use crate::jetstream::settings::API_LEVEL;
use crate::jetstream::time::Time;
use crate::json_object;

/// API level that the server needs at least to serve the stream; stored.
const REQUIRED_LEVEL: &str = "_nats.req.level";
/// API level of the answering server; added to answers only.
const SERVER_LEVEL: &str = "_nats.level";
/// Version of the answering server; added to answers only.
const SERVER_VERSION: &str = "_nats.ver";

/// When messages go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Retention {
    /// When a limit is reached.
    #[default]
    Limits,
    /// When every consumer that wants them has acknowledged them.
    Interest,
    /// When a consumer has acknowledged them.
    WorkQueue,
}

/// What gives way when a limit is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Discard {
    #[default]
    Old,
    New,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Storage {
    #[default]
    File,
    Memory,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    #[default]
    None,
    S2,
}

/// When a publish is acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PersistMode {
    #[default]
    Default,
    /// Before the message is on disk.
    Async,
}

macro_rules! choices {
    ($($type:ty: $($name:literal => $value:ident),*;)*) => {$(
        impl Decode for $type {
            fn decode(&mut self, node: &Node<'_>, _: &Place<'_>) -> Result<(), JsonError> {
                *self = json::choice(node, &[$(($name, Self::$value)),*])?;
                Ok(())
            }
        }
    )*};
}

choices! {
    Retention: "limits" => Limits, "interest" => Interest, "workqueue" => WorkQueue;
    Discard: "old" => Old, "new" => New;
    Storage: "file" => File, "memory" => Memory;
    PersistMode: "default" => Default, "async" => Async;
}

impl Decode for Compression {
    fn decode(&mut self, node: &Node<'_>, _: &Place<'_>) -> Result<(), JsonError> {
        *self = match &node.value {
            Value::Text(text) if text == "none" => Self::None,
            Value::Text(text) if text == "s2" => Self::S2,
            Value::Text(_) | Value::Null => {
                return Err(JsonError("unknown compression algorithm".to_owned()));
            }
            other => {
                let found = match other {
                    Value::Bool(_) => "bool",
                    Value::Number(_) => "number",
                    Value::Array(_) => "array",
                    _ => "object",
                };
                let text = format!("json: cannot unmarshal {found} into Go value of type string");
                return Err(JsonError(text));
            }
        };
        Ok(())
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Where a cluster should put the stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Placement {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cluster: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub preferred: String,
}

json_object!(Placement, "server.Placement", {
    "cluster" => cluster,
    "tags" => tags,
    "preferred" => preferred,
});

/// A subject transform: see [`crate::subject::Transform`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SubjectTransform {
    pub src: String,
    pub dest: String,
}

json_object!(SubjectTransform, "server.SubjectTransformConfig", {
    "src" => src,
    "dest" => dest,
});

/// A copy of every stored message, published on another subject.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Republish {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub src: String,
    pub dest: String,
    #[serde(skip_serializing_if = "is_default")]
    pub headers_only: bool,
}

json_object!(Republish, "server.RePublish", {
    "src" => src,
    "dest" => dest,
    "headers_only" => headers_only,
});

/// Where a stream of another account or domain is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ExternalStream {
    /// What stands for `$JS.API`.
    pub api: String,
    /// Prefix of the inboxes to deliver to.
    pub deliver: String,
}

json_object!(ExternalStream, "server.ExternalStream", { "api" => api, "deliver" => deliver });

/// A durable consumer at the origin, made beforehand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SourceConsumer {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub deliver_subject: String,
}

json_object!(SourceConsumer, "server.StreamConsumerSource", {
    "name" => name,
    "deliver_subject" => deliver_subject,
});

/// A stream that this one follows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StreamSource {
    pub name: String,
    #[serde(skip_serializing_if = "is_default")]
    pub opt_start_seq: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opt_start_time: Option<Time>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub filter_subject: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subject_transforms: Vec<SubjectTransform>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalStream>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumer: Option<SourceConsumer>,
}

json_object!(StreamSource, "server.StreamSource", {
    "name" => name,
    "opt_start_seq" => opt_start_seq,
    "opt_start_time" => opt_start_time,
    "filter_subject" => filter_subject,
    "subject_transforms" => subject_transforms with json::objects,
    "external" => external,
    "consumer" => consumer,
});

/// Defaults and limits for the stream's consumers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ConsumerLimits {
    /// Nanoseconds; 0: none.
    #[serde(skip_serializing_if = "is_default")]
    pub inactive_threshold: i64,
    /// 0: none.
    #[serde(skip_serializing_if = "is_default")]
    pub max_ack_pending: i64,
}

json_object!(ConsumerLimits, "server.StreamConsumerLimits", {
    "inactive_threshold" => inactive_threshold with json::duration,
    "max_ack_pending" => max_ack_pending with json::int,
});

/// What a stream is to be. Limits of -1 are none; times are in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StreamConfig {
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<String>,
    pub retention: Retention,
    pub max_consumers: i64,
    pub max_msgs: i64,
    pub max_bytes: i64,
    /// 0: none.
    pub max_age: i64,
    pub max_msgs_per_subject: i64,
    pub max_msg_size: i32,
    pub discard: Discard,
    pub storage: Storage,
    pub num_replicas: i64,
    #[serde(skip_serializing_if = "is_default")]
    pub no_ack: bool,
    /// 0: none.
    #[serde(skip_serializing_if = "is_default")]
    pub duplicate_window: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mirror: Option<StreamSource>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<StreamSource>,
    pub compression: Compression,
    #[serde(skip_serializing_if = "is_default")]
    pub first_seq: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject_transform: Option<SubjectTransform>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub republish: Option<Republish>,
    pub allow_direct: bool,
    pub mirror_direct: bool,
    #[serde(skip_serializing_if = "is_default")]
    pub discard_new_per_subject: bool,
    pub sealed: bool,
    pub deny_delete: bool,
    pub deny_purge: bool,
    pub allow_rollup_hdrs: bool,
    pub consumer_limits: ConsumerLimits,
    pub allow_msg_ttl: bool,
    #[serde(skip_serializing_if = "is_default")]
    pub subject_delete_marker_ttl: i64,
    #[serde(skip_serializing_if = "is_default")]
    pub allow_msg_counter: bool,
    #[serde(skip_serializing_if = "is_default")]
    pub allow_atomic: bool,
    #[serde(skip_serializing_if = "is_default")]
    pub allow_msg_schedules: bool,
    #[serde(skip_serializing_if = "is_default")]
    pub persist_mode: PersistMode,
    #[serde(skip_serializing_if = "is_default")]
    pub allow_batched: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

/// A request to create or update a stream: its configuration, and whether values that the server
/// would put right are errors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamRequest {
    pub config: StreamConfig,
    pub pedantic: bool,
}

macro_rules! config_fields {
    ($type:ty, $go:literal, [$($at:tt)*], { $($extra:tt)* }) => {
        json_object!($type, $go, {
            "name" => $($at)*name,
            "description" => $($at)*description,
            "subjects" => $($at)*subjects,
            "retention" => $($at)*retention,
            "max_consumers" => $($at)*max_consumers with json::int,
            "max_msgs" => $($at)*max_msgs,
            "max_bytes" => $($at)*max_bytes,
            "max_age" => $($at)*max_age with json::duration,
            "max_msgs_per_subject" => $($at)*max_msgs_per_subject,
            "max_msg_size" => $($at)*max_msg_size,
            "discard" => $($at)*discard,
            "storage" => $($at)*storage,
            "num_replicas" => $($at)*num_replicas with json::int,
            "no_ack" => $($at)*no_ack,
            "duplicate_window" => $($at)*duplicate_window with json::duration,
            "placement" => $($at)*placement,
            "mirror" => $($at)*mirror,
            "sources" => $($at)*sources with json::pointers,
            "compression" => $($at)*compression,
            "first_seq" => $($at)*first_seq,
            "subject_transform" => $($at)*subject_transform,
            "republish" => $($at)*republish,
            "allow_direct" => $($at)*allow_direct,
            "mirror_direct" => $($at)*mirror_direct,
            "discard_new_per_subject" => $($at)*discard_new_per_subject,
            "sealed" => $($at)*sealed,
            "deny_delete" => $($at)*deny_delete,
            "deny_purge" => $($at)*deny_purge,
            "allow_rollup_hdrs" => $($at)*allow_rollup_hdrs,
            "consumer_limits" => $($at)*consumer_limits,
            "allow_msg_ttl" => $($at)*allow_msg_ttl,
            "subject_delete_marker_ttl" => $($at)*subject_delete_marker_ttl with json::duration,
            "allow_msg_counter" => $($at)*allow_msg_counter,
            "allow_atomic" => $($at)*allow_atomic,
            "allow_msg_schedules" => $($at)*allow_msg_schedules,
            "persist_mode" => $($at)*persist_mode,
            "allow_batched" => $($at)*allow_batched,
            "metadata" => $($at)*metadata,
            $($extra)*
        });
    };
}

config_fields!(StreamConfig, "server.StreamConfig", [], {});
config_fields!(StreamRequest, "server.StreamConfigRequest", [config.], { "pedantic" => pedantic });

impl StreamRequest {
    /// Reads the body of a create or update request.
    ///
    /// # Errors
    /// The text for error 10025.
    pub fn parse(body: &[u8], strict: bool) -> Result<Self, JsonError> {
        let mut request = Self::default();
        json::decode(&mut request, body, "StreamConfigRequest", strict)?;
        Ok(request)
    }
}

impl StreamConfig {
    /// Reads a configuration that this server wrote, unknown fields ignored.
    ///
    /// # Errors
    /// What is no configuration.
    pub fn parse(text: &[u8]) -> Result<Self, JsonError> {
        let mut config = Self::default();
        json::decode(&mut config, text, "StreamConfig", false)?;
        Ok(config)
    }

    /// The lowest API level whose servers know everything that is configured.
    pub fn required_level(&self) -> u32 {
        let has_consumer = |source: &StreamSource| source.consumer.is_some();
        if self.allow_batched
            || self.mirror.as_ref().is_some_and(has_consumer)
            || self.sources.iter().any(has_consumer)
        {
            4
        } else if self.allow_msg_counter
            || self.allow_atomic
            || self.allow_msg_schedules
            || self.persist_mode == PersistMode::Async
        {
            2
        } else {
            u32::from(self.allow_msg_ttl || self.subject_delete_marker_ttl > 0)
        }
    }

    /// Puts the metadata that is stored with the stream in order: the required level comes, what
    /// is added to answers goes.
    pub fn set_stored_metadata(&mut self) {
        self.metadata.remove(SERVER_LEVEL);
        self.metadata.remove(SERVER_VERSION);
        let level = self.required_level().to_string();
        self.metadata.insert(REQUIRED_LEVEL.to_owned(), level);
    }

    /// The configuration as answers of create, update and info show it.
    pub fn with_server_metadata(&self, version: &str) -> Self {
        let mut shown = self.clone();
        let level = API_LEVEL.to_string();
        shown.metadata.insert(SERVER_LEVEL.to_owned(), level);
        shown
            .metadata
            .insert(SERVER_VERSION.to_owned(), version.to_owned());
        shown
    }

    /// Subjects that messages stored by this stream are received on.
    pub fn listens(&self) -> impl Iterator<Item = &str> {
        self.subjects.iter().map(String::as_str)
    }
}
