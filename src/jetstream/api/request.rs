//! Bodies of requests, apart from configurations of streams and consumers.
//!
//! The names of the types are those of nats-server, as they stand in the texts of its errors.

use crate::jetstream::error::{ApiError, ErrorCode};
use crate::jetstream::json::{self, Decode};
use crate::jetstream::time::Time;
use crate::json_object;

/// Reads a body; an empty one is the default.
///
/// # Errors
/// 10025 with the text of Go's decoder.
pub fn parse<T: Decode + Default>(
    body: &[u8],
    type_name: &'static str,
    strict: bool,
) -> Result<T, ApiError> {
    let mut request = T::default();
    json::decode(&mut request, body, type_name, strict)
        .map_err(|error| ErrorCode::InvalidJson.with(error))?;
    Ok(request)
}

/// As [`parse`], for the endpoints that read a body as a whole: unknown fields are fine, and an
/// end that comes too early is worded differently.
///
/// # Errors
/// 10025 with the text of Go's decoder.
pub fn parse_whole<T: Decode + Default>(
    body: &[u8],
    type_name: &'static str,
) -> Result<T, ApiError> {
    let mut request = T::default();
    json::decode(&mut request, body, type_name, false).map_err(|error| {
        match error.to_string().as_str() {
            "unexpected EOF" => ErrorCode::InvalidJson.with(UNEXPECTED_END),
            text => ErrorCode::InvalidJson.with(text),
        }
    })?;
    Ok(request)
}

/// Whether a body says nothing: there is none, or it is an object without fields.
pub fn is_empty(body: &[u8]) -> bool {
    let trim = |text: &mut &[u8]| {
        while let [b' ' | b'\t' | b'\r' | b'\n', rest @ ..] = *text {
            *text = rest;
        }
    };
    if body.is_empty() {
        return true;
    }
    let mut rest = body;
    for brace in [b'{', b'}'] {
        trim(&mut rest);
        match rest.split_first() {
            Some((&first, behind)) if first == brace => rest = behind,
            _ => return false,
        }
    }
    trim(&mut rest);
    rest.is_empty()
}

/// What Go says about a body that ends too early.
pub const UNEXPECTED_END: &str = "unexpected end of JSON input";

/// Of [`super::Endpoint::StreamNames`] and [`super::Endpoint::StreamList`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamsRequest {
    pub offset: i64,
    /// Only streams that could store a message on it.
    pub subject: String,
}

json_object!(StreamsRequest, "server.JSApiStreamNamesRequest", {
    "offset" => offset with json::int,
    "subject" => subject,
});

/// Of [`super::Endpoint::ConsumerNames`] and [`super::Endpoint::ConsumerList`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConsumersRequest {
    pub offset: i64,
}

json_object!(ConsumersRequest, "server.JSApiConsumersRequest", {
    "offset" => offset with json::int,
});

/// Of [`super::Endpoint::StreamInfo`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamInfoRequest {
    pub offset: i64,
    pub deleted_details: bool,
    pub subjects_filter: String,
}

json_object!(StreamInfoRequest, "server.JSApiStreamInfoRequest", {
    "offset" => offset with json::int,
    "deleted_details" => deleted_details,
    "subjects_filter" => subjects_filter,
});

/// Of [`super::Endpoint::StreamPurge`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PurgeRequest {
    /// Messages below it go; 0: all.
    pub seq: u64,
    /// Messages to keep; 0: none.
    pub keep: u64,
    pub filter: String,
}

json_object!(PurgeRequest, "server.JSApiStreamPurgeRequest", {
    "seq" => seq,
    "keep" => keep,
    "filter" => filter,
});

/// Of [`super::Endpoint::MessageGet`] and direct get.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageGetRequest {
    pub seq: u64,
    pub last_by_subj: String,
    pub next_by_subj: String,
    pub batch: i64,
    pub max_bytes: i64,
    pub start_time: Option<Time>,
    pub multi_last: Vec<String>,
    pub up_to_seq: u64,
    pub up_to_time: Option<Time>,
    pub no_hdr: bool,
}

json_object!(MessageGetRequest, "server.JSApiMsgGetRequest", {
    "seq" => seq,
    "last_by_subj" => last_by_subj,
    "next_by_subj" => next_by_subj,
    "batch" => batch with json::int,
    "max_bytes" => max_bytes with json::int,
    "start_time" => start_time,
    "multi_last" => multi_last,
    "up_to_seq" => up_to_seq,
    "up_to_time" => up_to_time,
    "no_hdr" => no_hdr,
});

/// Of [`super::Endpoint::MessageDelete`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageDeleteRequest {
    pub seq: u64,
    /// Do not overwrite the message on disk.
    pub no_erase: bool,
}

json_object!(MessageDeleteRequest, "server.JSApiMsgDeleteRequest", {
    "seq" => seq,
    "no_erase" => no_erase,
});

/// Of [`super::Endpoint::ConsumerPause`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PauseRequest {
    pub pause_until: Time,
}

json_object!(PauseRequest, "server.JSApiConsumerPauseRequest", {
    "pause_until" => pause_until,
});

/// Of [`super::Endpoint::ConsumerReset`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResetRequest {
    /// 0: behind what is acknowledged.
    pub seq: u64,
}

json_object!(ResetRequest, "server.JSApiConsumerResetRequest", {
    "seq" => seq,
});

/// Of [`super::Endpoint::ConsumerUnpin`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnpinRequest {
    pub group: String,
}

json_object!(UnpinRequest, "server.JSApiConsumerUnpinRequest", {
    "group" => group,
});

/// Of [`super::Endpoint::StreamSnapshot`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotRequest {
    pub deliver_subject: String,
    pub no_consumers: bool,
    /// Bytes of a chunk; 0: the default.
    pub chunk_size: i64,
    /// Bytes that may be on their way unacknowledged; 0: the default.
    pub window_size: i64,
    /// Check messages first; they always are.
    pub jsck: bool,
}

json_object!(SnapshotRequest, "server.JSApiStreamSnapshotRequest", {
    "deliver_subject" => deliver_subject,
    "no_consumers" => no_consumers,
    "chunk_size" => chunk_size with json::int,
    "window_size" => window_size with json::int,
    "jsck" => jsck,
});

#[cfg(test)]
mod tests {
    use super::*;

    /// Asked of nats-server 2.15.1.
    #[test]
    fn an_object_without_fields_says_nothing() {
        for empty in ["", "{}", " {}", "{ }\n", "\t{\r\n} "] {
            assert!(is_empty(empty.as_bytes()), "{empty:?}");
        }
        for full in [
            " ",
            "\n",
            "null",
            "[]",
            "x",
            "\"\"",
            "{}x",
            "{",
            "}",
            "{\"a\":1}",
        ] {
            assert!(!is_empty(full.as_bytes()), "{full:?}");
        }
    }
}
