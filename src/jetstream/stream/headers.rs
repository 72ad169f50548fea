//! The headers of a publish that a stream understands, found in one walk.

use crate::protocol::headers;

macro_rules! publish_headers {
    ($($(#[$doc:meta])* $field:ident = $name:literal,)*) => {
        /// Values of the first header of each name; an empty value counts as none.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct PublishHeaders<'a> {
            $($(#[$doc])* pub $field: Option<&'a [u8]>,)*
        }

        impl<'a> PublishHeaders<'a> {
            /// Reads a header block; names are compared with their case.
            pub fn parse(block: &'a [u8]) -> Self {
                let mut found = Self::default();
                for (name, value) in headers::fields(block) {
                    let Some(rest) = name.strip_prefix(b"Nats-") else {
                        continue;
                    };
                    if value.is_empty() {
                        continue;
                    }
                    $(if rest == $name && found.$field.is_none() {
                        found.$field = Some(value);
                        continue;
                    })*
                }
                found
            }
        }
    };
}

publish_headers! {
    msg_id = b"Msg-Id",
    expected_stream = b"Expected-Stream",
    expected_last_sequence = b"Expected-Last-Sequence",
    expected_last_subject_sequence = b"Expected-Last-Subject-Sequence",
    expected_last_subject_sequence_subject = b"Expected-Last-Subject-Sequence-Subject",
    expected_last_msg_id = b"Expected-Last-Msg-Id",
    rollup = b"Rollup",
    ttl = b"TTL",
    increment = b"Incr",
    counter_sources = b"Counter-Sources",
    stream_source = b"Stream-Source",
    marker_reason = b"Marker-Reason",
    batch_id = b"Batch-Id",
    batch_sequence = b"Batch-Sequence",
    batch_commit = b"Batch-Commit",
    schedule = b"Schedule",
    schedule_ttl = b"Schedule-TTL",
    schedule_target = b"Schedule-Target",
    schedule_source = b"Schedule-Source",
    schedule_rollup = b"Schedule-Rollup",
    schedule_time_zone = b"Schedule-Time-Zone",
    scheduler = b"Scheduler",
    schedule_next = b"Schedule-Next",
}

/// Names of the headers that streams write.
pub mod name {
    pub const TTL: &str = "Nats-TTL";
    pub const MARKER_REASON: &str = "Nats-Marker-Reason";
    pub const ROLLUP: &str = "Nats-Rollup";
    pub const COUNTER_SOURCES: &str = "Nats-Counter-Sources";
    pub const STREAM_SOURCE: &str = "Nats-Stream-Source";
    pub const SCHEDULER: &str = "Nats-Scheduler";
    pub const SCHEDULE_NEXT: &str = "Nats-Schedule-Next";
}

/// A sequence as nats-server reads it from a header: digits only. What is none matches nothing.
pub fn sequence(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_of_a_name_counts_and_empty_ones_do_not() {
        let block = b"NATS/1.0\r\nNats-Msg-Id:\r\nNats-Msg-Id: a\r\nNats-Msg-Id: b\r\nnats-ttl: 5\r\nNats-TTL: 1s\r\nNats-Schedule-TTL: 7\r\nX: y\r\n\r\n";
        let found = PublishHeaders::parse(block);
        assert_eq!(found.msg_id, Some(&b"a"[..]));
        assert_eq!(found.ttl, Some(&b"1s"[..]));
        assert_eq!(found.schedule_ttl, Some(&b"7"[..]));
        assert_eq!(found.rollup, None);
        assert_eq!(PublishHeaders::parse(b""), PublishHeaders::default());
    }

    #[test]
    fn sequences_are_digits() {
        assert_eq!(sequence(b"04"), Some(4));
        assert_eq!(sequence(b"18446744073709551615"), Some(u64::MAX));
        for bad in [&b""[..], b"-1", b"+4", b"x", b"18446744073709551616"] {
            assert_eq!(sequence(bad), None);
        }
    }
}
