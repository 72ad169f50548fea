//! What is told of a stream.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Stream;
use super::config::{ExternalStream, StreamConfig, SubjectTransform};
use crate::jetstream::error::ApiError;
use crate::jetstream::time::Time;

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Messages and sequences of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StreamState {
    pub messages: u64,
    pub bytes: u64,
    pub first_seq: u64,
    pub first_ts: Time,
    pub last_seq: u64,
    pub last_ts: Time,
    #[serde(skip_serializing_if = "is_zero")]
    pub num_subjects: u64,
    /// Messages of each subject, if asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subjects: Option<BTreeMap<String, u64>>,
    #[serde(skip_serializing_if = "is_zero")]
    pub num_deleted: u64,
    /// Sequences without a message, if asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted: Option<Vec<u64>>,
    /// What is damaged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<LostData>,
    pub consumer_count: u64,
}

/// Messages that cannot be read back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LostData {
    /// Sequences; at most [`LOST_MAX`].
    pub msgs: Option<Vec<u64>>,
    pub bytes: u64,
}

/// Damaged sequences named in an answer.
pub const LOST_MAX: usize = 1_000;

/// The state of a mirror or a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SourceInfo {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalStream>,
    /// Messages at the origin that are not here.
    pub lag: u64,
    /// The last sequence taken, of sources.
    #[serde(skip_serializing_if = "is_zero")]
    pub seq: u64,
    /// Nanoseconds since the last sign of life; -1: never.
    pub active: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ApiError>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub filter_subject: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subject_transforms: Vec<SubjectTransform>,
}

/// `cluster` of a server without a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClusterInfo {
    pub leader: String,
}

/// A stream as answers show it, in nats-server's order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StreamInfo {
    pub config: StreamConfig,
    pub created: Time,
    pub state: StreamState,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// In answers to info only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mirror: Option<SourceInfo>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<SourceInfo>,
    pub ts: Time,
}

impl Stream {
    /// The state, with the sequences that have no message if `with_deleted`.
    pub fn state(&self, consumer_count: u64, with_deleted: bool) -> StreamState {
        let log = self.log.state();
        let time = |unix_ns: Option<i64>| unix_ns.map_or(Time::ZERO, Time::from_unix_ns);
        let is_new = log.last_sequence == 0 && log.messages == 0;
        let deleted = (with_deleted && log.deleted > 0).then(|| {
            self.log
                .deleted()
                .flat_map(|(first, last)| first..=last)
                .collect()
        });
        StreamState {
            messages: log.messages,
            bytes: log.bytes,
            first_seq: if is_new { 0 } else { log.first_sequence },
            first_ts: time(log.first_unix_ns),
            last_seq: log.last_sequence,
            last_ts: time(log.last_unix_ns),
            num_subjects: log.subjects,
            subjects: None,
            num_deleted: log.deleted,
            deleted,
            lost: self.lost(),
            consumer_count,
        }
    }

    fn lost(&self) -> Option<LostData> {
        let damage = self.log.damage();
        if damage.is_empty() {
            return None;
        }
        let sequences = damage.iter().flat_map(|damage| damage.first..=damage.last);
        Some(LostData {
            msgs: Some(sequences.take(LOST_MAX).collect()),
            bytes: damage.iter().map(|d| d.bytes.end - d.bytes.start).sum(),
        })
    }

    /// Everything that is told of the stream; `version` is the server's.
    pub fn info(&self, state: StreamState, version: &str, now_unix_ns: i64) -> StreamInfo {
        StreamInfo {
            config: self.config.with_server_metadata(version),
            created: Time::from_unix_ns(self.created_unix_ns),
            state,
            domain: self.domain.clone(),
            cluster: None,
            mirror: self.mirror_info(now_unix_ns),
            sources: self.source_infos(now_unix_ns),
            ts: Time::from_unix_ns(now_unix_ns),
        }
    }
}
