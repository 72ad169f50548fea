//! `/corez`: the figures of each core. Ringwire's own; nats-server has no such endpoint.
//!
//! Lengths of time are nanoseconds. Counters and each spread's `count` and `sum` run since the start
//! of the server, quantiles cover the last `window`.

use serde::Serialize;

use super::format;
use super::response::Response;
use super::snapshot::{CoreSnapshot, Snapshot};

#[derive(Serialize)]
struct Corez<'a> {
    server_id: &'a str,
    now: String,
    /// [`Corez::now`] as a number, for rates between two answers.
    now_unix_nanos: i64,
    cores: &'a [CoreSnapshot],
}

/// The answer to `/corez`.
pub fn respond(snapshot: &Snapshot) -> Response {
    Response::json(&Corez {
        server_id: &snapshot.server.server_id,
        now: format::rfc3339(snapshot.server.now),
        now_unix_nanos: snapshot.server.now,
        cores: &snapshot.cores,
    })
}
