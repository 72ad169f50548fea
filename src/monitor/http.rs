//! HTTP/1.1 for the monitoring port, without sockets: bytes in, requests out; answers in, bytes out.
//!
//! ```
//! use ringwire::monitor::{Request, Snapshot, http::HttpConnection};
//!
//! let mut connection = HttpConnection::default();
//! let mut output = Vec::new();
//! connection.receive(b"GET /healthz HTTP/1.1\r\nHost: broker\r\n\r\n");
//! while let Some(head) = connection.next_request(&mut output) {
//!     let answer = Request::parse(&head.target, "").respond(&Snapshot::default());
//!     connection.answer(&answer, 0, &mut output);
//! }
//! assert!(output.ends_with(b"{\"status\":\"ok\"}"));
//! ```
//!
//! As nats-server does, the endpoints answer every ordinary method alike; HEAD gets no body. A
//! request's body is skipped. The caller closes connections that stay silent.

use std::io::Write as _;

use super::format::{self, UnixNanos};
use super::response::Response;

/// Longest head of a request, bytes: request line and headers. Longer ones are answered with 414
/// or 431.
pub const MAX_HEAD: usize = 8 * 1024;

/// Most headers of a request; more are answered with 431.
pub const MAX_HEADERS: usize = 64;

/// Longest body that is skipped, bytes; requests with longer ones are answered with 413.
pub const MAX_BODY: u64 = 64 * 1024;

/// Methods that are answered; others get 405.
const METHODS: &[&str] = &[
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE",
];

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHead {
    pub method: String,
    /// Path and query, as received.
    pub target: String,
}

/// One connection to the monitoring port.
///
/// Requests sent ahead wait until the one before is answered.
#[derive(Debug, Default)]
pub struct HttpConnection {
    input: Vec<u8>,
    /// Bytes of a body still to be skipped.
    body_left: u64,
    /// How the request that was handed out wants its answer.
    unanswered: Option<Reply>,
    closing: bool,
}

/// How an answer is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reply {
    /// HTTP/1.0 was spoken.
    old: bool,
    keep_alive: bool,
    without_body: bool,
}

/// A request that cannot be understood. It is answered here, and the connection closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    Malformed,
    NoHost,
    Method,
    BodyTooLarge,
    TargetTooLong,
    HeadTooLarge,
    TransferCoding,
    Version,
}

impl Refusal {
    /// Status line without the version; nats-server repeats it as the body.
    fn status(self) -> &'static str {
        match self {
            Refusal::Malformed => "400 Bad Request",
            Refusal::NoHost => "400 Bad Request: missing required Host header",
            Refusal::Method => "405 Method Not Allowed",
            Refusal::BodyTooLarge => "413 Content Too Large",
            Refusal::TargetTooLong => "414 URI Too Long",
            Refusal::HeadTooLarge => "431 Request Header Fields Too Large",
            Refusal::TransferCoding => "501 Not Implemented: transfer coding",
            Refusal::Version => "505 HTTP Version Not Supported: unsupported protocol version",
        }
    }

    fn write(self, output: &mut Vec<u8>) {
        let status = self.status();
        let allow = match self {
            Refusal::Method => "Allow: GET, HEAD\r\n",
            _ => "",
        };
        write_all(
            output,
            format_args!(
                "HTTP/1.1 {status}\r\n{allow}Content-Type: text/plain; charset=utf-8\r\n\
                 Content-Length: {}\r\nConnection: close\r\n\r\n{status}",
                status.len()
            ),
        );
    }
}

/// A head that is complete.
struct Parsed {
    head: RequestHead,
    reply: Reply,
    length: usize,
    body: u64,
}

impl HttpConnection {
    /// Takes bytes from the socket. To keep memory bounded, read only while
    /// [`HttpConnection::wants_input`] says so, a few kibibytes at a time.
    pub fn receive(&mut self, bytes: &[u8]) {
        if self.closing {
            return;
        }
        let body = usize::try_from(self.body_left).unwrap_or(usize::MAX);
        let skipped = body.min(bytes.len());
        self.body_left -= skipped as u64;
        self.input.extend_from_slice(&bytes[skipped..]);
    }

    /// Should the socket be read? Not while a full head's worth of bytes waits.
    pub fn wants_input(&self) -> bool {
        !self.closing && self.input.len() <= MAX_HEAD
    }

    /// Must the connection be closed once all output is sent?
    pub fn is_closing(&self) -> bool {
        self.closing
    }

    /// The next request, once the one before has been answered. Requests that cannot be understood
    /// are answered into `output` without the caller.
    pub fn next_request(&mut self, output: &mut Vec<u8>) -> Option<RequestHead> {
        if self.closing || self.unanswered.is_some() || self.input.is_empty() {
            return None;
        }
        match parse(&self.input) {
            Ok(None) => None,
            Ok(Some(parsed)) => {
                let body = usize::try_from(parsed.body).unwrap_or(usize::MAX);
                let skipped = body.min(self.input.len() - parsed.length);
                self.body_left = parsed.body - skipped as u64;
                self.input.drain(..parsed.length + skipped);
                self.unanswered = Some(parsed.reply);
                Some(parsed.head)
            }
            Err(refusal) => {
                refusal.write(output);
                self.close();
                None
            }
        }
    }

    /// Writes the answer to the request that was handed out last; without one it writes nothing.
    pub fn answer(&mut self, response: &Response, now: UnixNanos, output: &mut Vec<u8>) {
        let Some(reply) = self.unanswered.take() else {
            return;
        };
        let version = if reply.old { "1.0" } else { "1.1" };
        let status = response.status;
        write_all(
            output,
            format_args!("HTTP/{version} {status} {}\r\n", reason(status)),
        );
        for (name, value) in response.headers {
            write_all(output, format_args!("{name}: {value}\r\n"));
        }
        write_all(
            output,
            format_args!(
                "Content-Type: {}\r\nDate: {}\r\nContent-Length: {}\r\n",
                response.content_type,
                format::http_date(now),
                response.body.len()
            ),
        );
        match (reply.old, reply.keep_alive) {
            (true, true) => output.extend_from_slice(b"Connection: keep-alive\r\n"),
            (false, false) => output.extend_from_slice(b"Connection: close\r\n"),
            _ => {}
        }
        output.extend_from_slice(b"\r\n");
        if !reply.without_body {
            output.extend_from_slice(&response.body);
        }
        if !reply.keep_alive {
            self.close();
        }
    }

    fn close(&mut self) {
        self.closing = true;
        self.input = Vec::new();
    }
}

/// Writing into memory cannot fail.
fn write_all(output: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    let _ = output.write_fmt(text);
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        503 => "Service Unavailable",
        _ => "",
    }
}

/// The head at the start of `input`, or nothing if its end has not come yet.
fn parse(input: &[u8]) -> Result<Option<Parsed>, Refusal> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let too_large = |head: &[u8]| {
        if head[..MAX_HEAD].contains(&b'\n') {
            Refusal::HeadTooLarge
        } else {
            Refusal::TargetTooLong
        }
    };
    let length = match request.parse(input) {
        Ok(httparse::Status::Complete(length)) if length <= MAX_HEAD => length,
        Ok(httparse::Status::Partial) if input.len() <= MAX_HEAD => return Ok(None),
        Ok(_) => return Err(too_large(input)),
        Err(httparse::Error::TooManyHeaders) => return Err(Refusal::HeadTooLarge),
        Err(httparse::Error::Version) if names_a_version(input) => return Err(Refusal::Version),
        Err(_) => return Err(Refusal::Malformed),
    };
    let method = request.method.ok_or(Refusal::Malformed)?;
    let target = origin_form(request.path.unwrap_or_default()).ok_or(Refusal::Malformed)?;
    let old = request.version == Some(0);
    let fields = Fields::read(request.headers)?;
    if !old && !fields.host {
        return Err(Refusal::NoHost);
    }
    if !METHODS.contains(&method) {
        return Err(Refusal::Method);
    }
    Ok(Some(Parsed {
        head: RequestHead {
            method: method.to_owned(),
            target: target.to_owned(),
        },
        reply: Reply {
            old,
            keep_alive: !fields.close && (!old || fields.keep_alive),
            without_body: method == "HEAD",
        },
        length,
        body: fields.content_length.unwrap_or(0),
    }))
}

/// The headers that matter here.
#[derive(Default)]
struct Fields {
    host: bool,
    close: bool,
    keep_alive: bool,
    content_length: Option<u64>,
}

impl Fields {
    fn read(headers: &[httparse::Header<'_>]) -> Result<Self, Refusal> {
        let mut fields = Fields::default();
        for header in headers {
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            if is("host") {
                if std::mem::replace(&mut fields.host, true) {
                    return Err(Refusal::Malformed);
                }
            } else if is("connection") {
                for option in header.value.split(|&b| b == b',') {
                    let option = option.trim_ascii();
                    fields.close |= option.eq_ignore_ascii_case(b"close");
                    fields.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                }
            } else if is("content-length") {
                let length = content_length(header.value)?;
                // Two lengths are how requests are smuggled; equal ones are still one too many.
                if fields.content_length.replace(length).is_some() {
                    return Err(Refusal::Malformed);
                }
            } else if is("transfer-encoding") {
                return Err(Refusal::TransferCoding);
            }
        }
        Ok(fields)
    }
}

fn content_length(value: &[u8]) -> Result<u64, Refusal> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(Refusal::Malformed);
    }
    let text = std::str::from_utf8(value).map_err(|_| Refusal::Malformed)?;
    match text.parse() {
        Ok(length) if length <= MAX_BODY => Ok(length),
        // More digits than a u64 has room for are more bytes than the limit, too.
        _ => Err(Refusal::BodyTooLarge),
    }
}

/// Path and query of a target, of one with scheme and host as well.
fn origin_form(target: &str) -> Option<&str> {
    if target.starts_with('/') {
        return Some(target);
    }
    let rest = target
        .strip_prefix("http://")
        .or_else(|| target.strip_prefix("https://"))?;
    Some(rest.find('/').map_or("/", |slash| &rest[slash..]))
}

/// Does the first line end in a version of HTTP, if not one that is spoken here?
fn names_a_version(input: &[u8]) -> bool {
    let line = input.split(|&b| b == b'\n').next().unwrap_or_default();
    let mut words = line.trim_ascii_end().split(|&b| b == b' ');
    let third = words.nth(2).unwrap_or_default();
    words.next().is_none()
        && matches!(third, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What comes back for these bytes if every request is answered with its target.
    fn exchange(chunks: &[&[u8]]) -> (String, bool) {
        let mut connection = HttpConnection::default();
        let mut output = Vec::new();
        for chunk in chunks {
            connection.receive(chunk);
            while let Some(head) = connection.next_request(&mut output) {
                connection.answer(&Response::text(200, head.target), 0, &mut output);
            }
        }
        (String::from_utf8(output).unwrap(), connection.is_closing())
    }

    fn ok(target: &str, extra: &str) -> String {
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Date: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Length: {}\r\n{extra}\r\n{target}",
            target.len()
        )
    }

    #[test]
    fn connections_stay_open_in_http_1_1() {
        let request: &[u8] = b"GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\n";
        assert_eq!(exchange(&[request]), (ok("/a?b=c", ""), false));
        let close: &[u8] = b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: foo, Close\r\n\r\n";
        assert_eq!(
            exchange(&[close, request]),
            (ok("/a", "Connection: close\r\n"), true)
        );
    }

    #[test]
    fn connections_close_in_http_1_0_unless_asked_to_stay() {
        let (text, closed) = exchange(&[b"GET /a HTTP/1.0\r\n\r\n"]);
        assert!(text.starts_with("HTTP/1.0 200 OK\r\n") && closed, "{text}");
        let (text, closed) = exchange(&[b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"]);
        assert!(text.contains("Connection: keep-alive\r\n") && !closed);
    }

    #[test]
    fn head_has_the_length_but_no_body() {
        let (text, _) = exchange(&[b"HEAD /abc HTTP/1.1\r\nHost: x\r\n\r\n"]);
        assert!(text.ends_with("Content-Length: 4\r\n\r\n"), "{text}");
    }

    #[test]
    fn bodies_are_skipped_and_requests_sent_ahead_wait() {
        let all: &[u8] = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello\
            GET http://host/b HTTP/1.1\r\nHost: x\r\n\r\n";
        let expected = (ok("/a", "") + &ok("/b", ""), false);
        assert_eq!(exchange(&[all]), expected);

        let mut connection = HttpConnection::default();
        let mut output = Vec::new();
        connection.receive(all);
        assert_eq!(connection.next_request(&mut output).unwrap().target, "/a");
        assert_eq!(connection.next_request(&mut output), None);
        connection.answer(&Response::not_found(), 0, &mut output);
        assert_eq!(connection.next_request(&mut output).unwrap().target, "/b");
    }

    #[test]
    fn what_cannot_be_understood_is_refused_and_closed() {
        let long_target = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(MAX_HEAD));
        let long_header = format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "a".repeat(MAX_HEAD));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(100));
        let cases: &[(&str, &str)] = &[
            ("GARBAGE\r\n\r\n", "400 Bad Request"),
            (
                "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{3}\u{3}",
                "400 Bad Request",
            ),
            ("GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", "400 Bad Request"),
            ("GET /a\r\n\r\n", "400 Bad Request"),
            ("GET a HTTP/1.1\r\nHost: x\r\n\r\n", "400 Bad Request"),
            ("GET * HTTP/1.1\r\nHost: x\r\n\r\n", "400 Bad Request"),
            (
                "GET / HTTP/1.1\r\n\r\n",
                "400 Bad Request: missing required Host header",
            ),
            (
                "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
                "400 Bad Request",
            ),
            (
                "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
                "400 Bad Request",
            ),
            (
                "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
                "400 Bad Request",
            ),
            (
                "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n",
                "413 Content Too Large",
            ),
            (
                "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
                "501 Not Implemented: transfer coding",
            ),
            (
                "BREW / HTTP/1.1\r\nHost: x\r\n\r\n",
                "405 Method Not Allowed",
            ),
            (
                "GET / HTTP/2.0\r\nHost: x\r\n\r\n",
                "505 HTTP Version Not Supported: unsupported protocol version",
            ),
            (&long_target, "414 URI Too Long"),
            (&long_header, "431 Request Header Fields Too Large"),
            (&many, "431 Request Header Fields Too Large"),
        ];
        for (request, status) in cases {
            let (text, closed) = exchange(&[request.as_bytes()]);
            let first = format!("HTTP/1.1 {status}\r\n");
            assert!(
                text.starts_with(&first) && closed,
                "{request:.60?} gave {text:?}"
            );
            assert!(text.ends_with(status));
        }
    }

    #[test]
    fn an_endless_head_is_cut_off_and_memory_stays_bounded() {
        let mut connection = HttpConnection::default();
        let mut output = Vec::new();
        connection.receive(b"GET / HTTP/1.1\r\nHost: x\r\n");
        let mut received = 0;
        while connection.wants_input() {
            connection.receive(b"A: bbbbbbbbbbbb\r\n");
            received += 17;
            assert_eq!(connection.next_request(&mut output), None);
            assert!(received < 2 * MAX_HEAD);
        }
        assert!(output.starts_with(b"HTTP/1.1 431 "));
        assert_eq!(connection.input.capacity(), 0);
    }

    proptest! {
        #[test]
        fn how_bytes_are_cut_does_not_matter(cuts in proptest::collection::vec(1usize..40, 0..20)) {
            let all: &[u8] = b"GET /one HTTP/1.1\r\nHost: x\r\n\r\n\
                POST /two HTTP/1.1\r\nhost: x\r\ncontent-length: 11\r\n\r\nGET / HTTP/\
                HEAD /three?q HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nGET /never HTTP/1.1\r\n";
            let mut rest = all;
            let mut chunks = Vec::new();
            for cut in cuts {
                let (chunk, after) = rest.split_at(cut.min(rest.len()));
                chunks.push(chunk);
                rest = after;
            }
            chunks.push(rest);
            prop_assert_eq!(exchange(&chunks), exchange(&[all]));
        }

        #[test]
        fn no_bytes_are_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            exchange(&[&bytes]);
            exchange(&[b"GET /", &bytes]);
            exchange(&[b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: ", &bytes]);
        }
    }
}
