//! An answer before it becomes HTTP.

use serde::Serialize;

use super::format;

/// Status, kind and body of an answer, as yet without a connection to send it on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// HTTP status code.
    pub status: u16,
    /// Value of `Content-Type`.
    pub content_type: &'static str,
    /// Further headers of this answer, names and values.
    pub headers: &'static [(&'static str, &'static str)],
    pub body: Vec<u8>,
}

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
/// The Prometheus text exposition format, version 0.0.4.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Pages of other origins may read the JSON.
const CORS: &[(&str, &str)] = &[("Access-Control-Allow-Origin", "*")];
const NO_SNIFF: &[(&str, &str)] = &[("X-Content-Type-Options", "nosniff")];
/// The page brings its own script and style and talks to nobody but this server.
const OWN_CONTENT: &[(&str, &str)] = &[
    ("X-Content-Type-Options", "nosniff"),
    (
        "Content-Security-Policy",
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
         connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'",
    ),
];

impl Response {
    /// Pretty JSON, status 200.
    pub fn json<T: Serialize>(value: &T) -> Self {
        Response {
            status: 200,
            content_type: JSON,
            headers: CORS,
            body: format::pretty_json(value),
        }
    }

    /// The same for a value that holds JSON as text.
    pub fn json_indented<T: Serialize>(value: &T) -> Self {
        Response {
            body: format::indent(&format::compact_json(value)),
            ..Response::json(&())
        }
    }

    /// JSON on one line.
    pub fn compact_json<T: Serialize>(status: u16, value: &T) -> Self {
        Response {
            status,
            content_type: JSON,
            headers: CORS,
            body: format::compact_json(value),
        }
    }

    /// A text for people, such as the complaint about a request.
    pub fn text(status: u16, text: impl Into<String>) -> Self {
        Response {
            status,
            content_type: TEXT,
            headers: &[],
            body: text.into().into_bytes(),
        }
    }

    /// A page, status 200.
    pub fn html(page: impl Into<String>) -> Self {
        Response {
            status: 200,
            content_type: HTML,
            headers: OWN_CONTENT,
            body: page.into().into_bytes(),
        }
    }

    /// Metrics for Prometheus, status 200.
    pub fn prometheus(text: String) -> Self {
        Response {
            status: 200,
            content_type: PROMETHEUS,
            headers: &[],
            body: text.into_bytes(),
        }
    }

    /// There is no such path.
    pub fn not_found() -> Self {
        Response {
            headers: NO_SNIFF,
            ..Response::text(404, "404 page not found\n")
        }
    }
}
