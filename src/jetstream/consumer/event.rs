//! What consumers report: the substance of advisories and metrics.

/// Something that happened to a consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Name of the consumer.
    pub consumer: String,
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// `max_deliver`: a message would be due again, but was delivered often enough.
    MaxDeliveries {
        stream_sequence: u64,
        deliveries: u64,
    },
    /// `nak`.
    Naked {
        consumer_sequence: u64,
        stream_sequence: u64,
        deliveries: u64,
    },
    /// `terminated`.
    Terminated {
        consumer_sequence: u64,
        stream_sequence: u64,
        deliveries: u64,
        reason: String,
    },
    /// `consumer_ack`, a metric.
    Acknowledged {
        consumer_sequence: u64,
        stream_sequence: u64,
        deliveries: u64,
        /// Nanoseconds since the delivery.
        ack_time: u64,
    },
    /// `consumer_pause`.
    Paused {
        paused: bool,
        /// Nanoseconds since 1970.
        pause_until: i64,
    },
    /// `consumer_group_pinned`.
    Pinned { group: String, pin: String },
    /// `consumer_group_unpinned`; the reason is `admin` or `timeout`.
    Unpinned { group: String, reason: &'static str },
    /// Nobody used it for longer than its threshold: it is to be deleted.
    Inactive,
}
