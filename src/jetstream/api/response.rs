//! Bodies of responses: `{"type", "error"?, data...}`.

use serde::Serialize;

use super::endpoint::{Endpoint, TYPE_PREFIX};
use crate::jetstream::error::ApiError;
use crate::protocol::go_json;

/// The fields that stand in a response of this kind even if it is an error.
fn fields_beside_error(endpoint: Endpoint) -> &'static str {
    match endpoint {
        Endpoint::StreamNames => r#""total":0,"offset":0,"limit":0,"streams":null"#,
        Endpoint::StreamList => r#""total":0,"offset":0,"limit":0,"streams":[]"#,
        Endpoint::StreamInfo => r#""total":0,"offset":0,"limit":0"#,
        Endpoint::StreamPurge => r#""purged":0"#,
        Endpoint::StreamRestore => r#""deliver_subject":"""#,
        Endpoint::ConsumerNames | Endpoint::ConsumerList => {
            r#""total":0,"offset":0,"limit":0,"consumers":[]"#
        }
        Endpoint::ConsumerPause => r#""paused":false,"pause_until":"0001-01-01T00:00:00Z""#,
        Endpoint::ConsumerReset => r#""reset_seq":0"#,
        _ => "",
    }
}

/// The response to a request that failed.
pub fn failure(endpoint: Endpoint, error: &ApiError) -> Vec<u8> {
    let mut body = Body::new(endpoint);
    body.field("error", error);
    let beside = fields_beside_error(endpoint);
    if !beside.is_empty() {
        body.raw(beside.as_bytes());
    }
    body.finish()
}

/// `{"type", "success": true}`.
pub fn success(endpoint: Endpoint) -> Vec<u8> {
    let mut body = Body::new(endpoint);
    body.field("success", &true);
    body.finish()
}

/// A response under construction.
pub struct Body {
    out: Vec<u8>,
}

impl Body {
    /// A response of `endpoint` without data.
    pub fn new(endpoint: Endpoint) -> Self {
        let mut out = Vec::with_capacity(256);
        out.extend_from_slice(b"{\"type\":\"");
        out.extend_from_slice(TYPE_PREFIX.as_bytes());
        out.extend_from_slice(endpoint.response_type().as_bytes());
        out.push(b'"');
        Self { out }
    }

    /// Adds a field.
    pub fn field<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> &mut Self {
        self.out.extend_from_slice(b",\"");
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        append(&mut self.out, value);
        self
    }

    /// Adds the fields of an object.
    pub fn fields<T: Serialize + ?Sized>(&mut self, object: &T) -> &mut Self {
        let at = self.out.len();
        append(&mut self.out, object);
        debug_assert_eq!(self.out.get(at), Some(&b'{'), "an object");
        if self.out.len() > at + 2 {
            self.out[at] = b',';
            self.out.pop();
        } else {
            self.out.truncate(at);
        }
        self
    }

    /// Adds fields that are JSON already: `"a":1,"b":2`.
    pub fn raw(&mut self, fields: &[u8]) -> &mut Self {
        self.out.push(b',');
        self.out.extend_from_slice(fields);
        self
    }

    /// The whole response.
    pub fn finish(mut self) -> Vec<u8> {
        self.out.push(b'}');
        self.out
    }
}

/// Appends JSON as nats-server writes it.
pub fn append<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    if let Err(error) = go_json::append(out, value) {
        // Only maps whose keys are no text fail, and no response has one.
        debug_assert!(false, "response JSON: {error}");
        out.extend_from_slice(b"null");
    }
}

/// JSON as nats-server writes it.
pub fn json<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    append(&mut out, value);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jetstream::error::ErrorCode;

    /// Captured from nats-server 2.15.1.
    #[test]
    fn failures_have_the_fields_of_nats_server() {
        for (endpoint, code, expected) in [
            (
                Endpoint::StreamDelete,
                ErrorCode::StreamNotFound,
                r#"{"type":"io.nats.jetstream.api.v1.stream_delete_response","error":{"code":404,"err_code":10059,"description":"stream not found"}}"#,
            ),
            (
                Endpoint::ConsumerList,
                ErrorCode::StreamNotFound,
                r#"{"type":"io.nats.jetstream.api.v1.consumer_list_response","error":{"code":404,"err_code":10059,"description":"stream not found"},"total":0,"offset":0,"limit":0,"consumers":[]}"#,
            ),
            (
                Endpoint::ConsumerPause,
                ErrorCode::ConsumerNotFound,
                r#"{"type":"io.nats.jetstream.api.v1.consumer_pause_response","error":{"code":404,"err_code":10014,"description":"consumer not found"},"paused":false,"pause_until":"0001-01-01T00:00:00Z"}"#,
            ),
        ] {
            let body = failure(endpoint, &code.into());
            assert_eq!(String::from_utf8(body).unwrap(), expected);
        }
        let body = success(Endpoint::StreamDelete);
        assert_eq!(
            String::from_utf8(body).unwrap(),
            r#"{"type":"io.nats.jetstream.api.v1.stream_delete_response","success":true}"#
        );
    }

    #[test]
    fn fields_of_an_object_follow_the_type() {
        #[derive(Serialize)]
        struct Data {
            purged: u64,
        }
        let mut body = Body::new(Endpoint::StreamPurge);
        body.field("success", &true).fields(&Data { purged: 3 });
        assert_eq!(
            String::from_utf8(body.finish()).unwrap(),
            r#"{"type":"io.nats.jetstream.api.v1.stream_purge_response","success":true,"purged":3}"#
        );
        let mut body = Body::new(Endpoint::ConsumerUnpin);
        body.fields(&serde_json::Map::new());
        assert_eq!(
            String::from_utf8(body.finish()).unwrap(),
            r#"{"type":"io.nats.jetstream.api.v1.consumer_unpin_response"}"#
        );
    }
}
