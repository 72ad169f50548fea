//! The request that makes a connection a WebSocket, and its answer.

use std::fmt::{self, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha1::{Digest, Sha1};

use super::origin::{Origin, OriginError};
use super::{HEAD_BYTES_MAX, HEADERS_MAX};

/// Hashed with the client's key (RFC 6455, section 1.3).
const ACCEPT_GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// Bytes of a client's key.
const KEY_BYTES: usize = 16;
const DEFLATE: &str = "permessage-deflate";
/// What is agreed on, whatever parameters the client proposed.
const DEFLATE_AGREED: &str =
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/// What the `websocket` block says about requests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// Compress if the client asks for it.
    pub compression: bool,
    /// Pages of other hosts than the server are refused.
    pub same_origin: bool,
    /// If not empty, pages of other origins are refused.
    pub allowed_origins: Vec<Origin>,
    /// Added to the answer: name and value.
    pub headers: Vec<(String, String)>,
    /// Names of the cookies that stand for fields of CONNECT; empty: none.
    pub cookies: Cookies,
}

/// Credentials in cookies: their names in [`Rules`], their values in [`Upgrade`]. Empty if there is none.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Cookies {
    pub jwt: String,
    pub user: String,
    pub pass: String,
    pub token: String,
}

/// Shows nothing secret.
impl fmt::Debug for Cookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cookies").finish_non_exhaustive()
    }
}

impl Cookies {
    /// Whether none is set.
    pub fn is_empty(&self) -> bool {
        [&self.jwt, &self.user, &self.pass, &self.token]
            .iter()
            .all(|field| field.is_empty())
    }

    /// The values of the cookies that these are the names of. Of two of a name the last counts.
    fn values(&self, headers: &[httparse::Header<'_>]) -> Self {
        let mut values = Self::default();
        if self.is_empty() {
            return values;
        }
        for cookie in fields(headers, "Cookie").flat_map(|line| line.split(';')) {
            let Some((name, value)) = cookie.trim().split_once('=') else {
                continue;
            };
            let value = value
                .strip_prefix('"')
                .and_then(|value| value.strip_suffix('"'))
                .unwrap_or(value);
            for (wanted, target) in [
                (&self.jwt, &mut values.jwt),
                (&self.user, &mut values.user),
                (&self.pass, &mut values.pass),
                (&self.token, &mut values.token),
            ] {
                if !wanted.is_empty() && wanted == name {
                    value.clone_into(target);
                }
            }
        }
        values
    }
}

/// A request that is granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upgrade {
    /// The answer, whole.
    pub answer: Vec<u8>,
    pub deflate: bool,
    /// The client's frames are not masked.
    pub no_masking: bool,
    pub browser: bool,
    /// Safari: does not put compressed fragments together.
    pub whole_deflated: bool,
    /// The client is a leaf node.
    pub leafnode: bool,
    pub cookies: Cookies,
    /// The client behind a proxy by `X-Forwarded-For`, as log lines show it; empty without one.
    pub forwarded_for: String,
}

/// Why a request is refused; the text is for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HandshakeError {
    NoMqtt,
    Method,
    NoHost,
    Header(&'static str),
    NoKey,
    InvalidKey,
    Version,
    NotSameOrigin,
    NotAllowedOrigin,
    Origin(OriginError),
    /// There was something behind the request.
    EarlyData,
}

impl HandshakeError {
    /// Status and its words.
    fn status(&self) -> (u16, &'static str) {
        match self {
            Self::NoMqtt => (404, "Not Found"),
            Self::Method => (405, "Method Not Allowed"),
            Self::NotSameOrigin | Self::NotAllowedOrigin | Self::Origin(_) => (403, "Forbidden"),
            _ => (400, "Bad Request"),
        }
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoMqtt => "mqtt websocket endpoint not enabled",
            Self::Method => "request method must be GET",
            Self::NoHost => "'Host' missing in request",
            Self::Header(name) => return write!(f, "invalid value for header '{name}'"),
            Self::NoKey => "key missing",
            Self::InvalidKey => "invalid websocket key",
            Self::Version => "invalid version",
            Self::NotSameOrigin => "origin not allowed: not same origin",
            Self::NotAllowedOrigin => "origin not allowed: not in the allowed list",
            Self::Origin(error) => return write!(f, "origin not allowed: {error}"),
            Self::EarlyData => "client sent data before handshake is complete",
        })
    }
}

impl std::error::Error for HandshakeError {}

/// What is no request at all: answered, and the connection closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    Request,
    NoHost,
    Version,
    HeadTooLarge,
}

impl Malformed {
    /// Appends the answer.
    pub fn answer(self, into: &mut Vec<u8>) {
        let status = match self {
            Self::Request => "400 Bad Request",
            Self::NoHost => "400 Bad Request: missing required Host header",
            Self::Version => "505 HTTP Version Not Supported: unsupported protocol version",
            Self::HeadTooLarge => "431 Request Header Fields Too Large",
        };
        let text = format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n{status}"
        );
        into.extend_from_slice(text.as_bytes());
    }
}

/// A refused request: how it is answered, and what of the connection follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub error: HandshakeError,
    /// Another request may follow.
    pub keep_alive: bool,
    /// Bytes of body behind the head.
    pub body: u64,
    /// HTTP/1.0.
    old: bool,
    without_body: bool,
}

impl Refusal {
    /// Appends the answer. `date` as HTTP writes it.
    pub fn answer(&self, date: &str, into: &mut Vec<u8>) {
        let (code, words) = self.error.status();
        let version = if self.old { "1.0" } else { "1.1" };
        let connection = match (self.old, self.keep_alive) {
            (true, true) => "Connection: keep-alive\r\n",
            (false, false) => "Connection: close\r\n",
            _ => "",
        };
        let mut text = format!(
            "HTTP/{version} {code} {words}\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Sec-Websocket-Version: 13\r\nX-Content-Type-Options: nosniff\r\nDate: {date}\r\n\
             Content-Length: {}\r\n{connection}\r\n",
            words.len() + 1
        );
        if !self.without_body {
            let _ = writeln!(text, "{words}");
        }
        into.extend_from_slice(text.as_bytes());
    }
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Its head has not ended.
    Incomplete,
    Malformed(Malformed),
    /// `length` bytes of head.
    Refused {
        length: usize,
        refusal: Refusal,
    },
    Granted {
        length: usize,
        upgrade: Box<Upgrade>,
    },
}

/// Looks at the request at the start of `input`. `secure`: it came by TLS.
pub fn judge(input: &[u8], rules: &Rules, secure: bool) -> Verdict {
    // The parser skips empty lines before a request; nats-server does not.
    if input
        .first()
        .is_some_and(|&byte| byte == b'\r' || byte == b'\n')
    {
        return Verdict::Malformed(Malformed::Request);
    }
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let length = match request.parse(input) {
        Ok(httparse::Status::Complete(length)) if length <= HEAD_BYTES_MAX => length,
        Ok(httparse::Status::Partial) if input.len() <= HEAD_BYTES_MAX => {
            return Verdict::Incomplete;
        }
        Ok(_) | Err(httparse::Error::TooManyHeaders) => {
            return Verdict::Malformed(Malformed::HeadTooLarge);
        }
        Err(httparse::Error::Version) if names_a_version(input) => {
            return Verdict::Malformed(Malformed::Version);
        }
        Err(_) => return Verdict::Malformed(Malformed::Request),
    };
    let (method, path) = (
        request.method.unwrap_or_default(),
        request.path.unwrap_or_default(),
    );
    let old = request.version == Some(0);
    let headers = &*request.headers;
    let mut hosts = fields(headers, "Host");
    let host = hosts.next();
    if hosts.next().is_some() {
        return Verdict::Malformed(Malformed::Request);
    }
    if host.is_none() && !old {
        return Verdict::Malformed(Malformed::NoHost);
    }
    let host = host_of(path).or(host).unwrap_or_default();
    match grant(method, path, host, headers, rules, secure) {
        Ok(upgrade) => Verdict::Granted {
            length,
            upgrade: Box::new(upgrade),
        },
        Err(error) => {
            // A body of unknown length is not read: the connection ends instead.
            let body = fields(headers, "Content-Length")
                .next()
                .map_or(Some(0), |length| length.parse().ok());
            let chunked = fields(headers, "Transfer-Encoding").next().is_some();
            let keep_alive = if old {
                has_token(headers, "Connection", "keep-alive")
            } else {
                !has_token(headers, "Connection", "close")
            };
            Verdict::Refused {
                length,
                refusal: Refusal {
                    error,
                    keep_alive: keep_alive && body.is_some() && !chunked,
                    body: body.unwrap_or(0),
                    old,
                    without_body: method == "HEAD",
                },
            }
        }
    }
}

/// In nats-server's order.
fn grant(
    method: &str,
    path: &str,
    host: &str,
    headers: &[httparse::Header<'_>],
    rules: &Rules,
    secure: bool,
) -> Result<Upgrade, HandshakeError> {
    let path = path.split('?').next().unwrap_or_default();
    if path.ends_with("/mqtt") {
        return Err(HandshakeError::NoMqtt);
    }
    if method != "GET" {
        return Err(HandshakeError::Method);
    }
    if host.is_empty() {
        return Err(HandshakeError::NoHost);
    }
    if !has_token(headers, "Upgrade", "websocket") {
        return Err(HandshakeError::Header("Upgrade"));
    }
    if !has_token(headers, "Connection", "upgrade") {
        return Err(HandshakeError::Header("Connection"));
    }
    let key = first(headers, "Sec-WebSocket-Key");
    if key.is_empty() {
        return Err(HandshakeError::NoKey);
    }
    if BASE64.decode(key).map_or(0, |key| key.len()) != KEY_BYTES {
        return Err(HandshakeError::InvalidKey);
    }
    if !has_token(headers, "Sec-WebSocket-Version", "13") {
        return Err(HandshakeError::Version);
    }
    check_origin(headers, host, rules, secure)?;
    let deflate = rules.compression
        && fields(headers, "Sec-WebSocket-Extensions")
            .flat_map(|line| line.split(','))
            .any(|offer| {
                let name = offer.split(';').next().unwrap_or_default();
                name.trim().eq_ignore_ascii_case(DEFLATE)
            });
    let no_masking = first(headers, "Nats-No-Masking").eq_ignore_ascii_case("true");
    let agent = first(headers, "User-Agent");
    let browser = agent.starts_with("Mozilla/");
    let forwarded_for = first(headers, "X-Forwarded-For")
        .split(',')
        .next()
        .and_then(|address| address.trim().parse().ok())
        .map_or(String::new(), |address| match address {
            std::net::IpAddr::V4(address) => address.to_string(),
            std::net::IpAddr::V6(address) => format!("[{address}]"),
        });
    Ok(Upgrade {
        answer: answer(key, deflate, no_masking, rules),
        deflate,
        no_masking,
        browser,
        whole_deflated: browser && agent.contains("Version/") && agent.contains("Safari/"),
        leafnode: path.ends_with("/leafnode"),
        cookies: rules.cookies.values(headers),
        forwarded_for,
    })
}

fn check_origin(
    headers: &[httparse::Header<'_>],
    host: &str,
    rules: &Rules,
    secure: bool,
) -> Result<(), HandshakeError> {
    if !rules.same_origin && rules.allowed_origins.is_empty() {
        return Ok(());
    }
    let mut address = first(headers, "Origin");
    if address.is_empty() {
        address = first(headers, "Sec-WebSocket-Origin");
    }
    // Not a browser.
    if address.is_empty() {
        return Ok(());
    }
    let origin = Origin::parse(address).map_err(HandshakeError::Origin)?;
    if rules.same_origin && !origin.is_same(secure, host) {
        return Err(HandshakeError::NotSameOrigin);
    }
    if !rules.allowed_origins.is_empty() && !rules.allowed_origins.contains(&origin) {
        return Err(HandshakeError::NotAllowedOrigin);
    }
    Ok(())
}

fn answer(key: &str, deflate: bool, no_masking: bool, rules: &Rules) -> Vec<u8> {
    let mut hash = Sha1::new();
    hash.update(key.as_bytes());
    hash.update(ACCEPT_GUID);
    let mut text = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n",
        BASE64.encode(hash.finalize())
    );
    if deflate {
        let _ = write!(text, "Sec-WebSocket-Extensions: {DEFLATE_AGREED}\r\n");
    }
    if no_masking {
        text.push_str("Nats-No-Masking: true\r\n");
    }
    for (name, value) in &rules.headers {
        let _ = write!(text, "{name}: {value}\r\n");
    }
    text.push_str("\r\n");
    text.into_bytes()
}

/// The host in a target that is a whole address.
fn host_of(target: &str) -> Option<&str> {
    let (_, rest) = target.split_once("://")?;
    if target.starts_with('/') {
        return None;
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    Some(&rest[..end])
}

/// Whether the first line ends with some version of HTTP.
fn names_a_version(input: &[u8]) -> bool {
    let line = input
        .split(|&byte| byte == b'\n')
        .next()
        .unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let word = line.rsplit(|&byte| byte == b' ').next().unwrap_or_default();
    matches!(word, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
        if major.is_ascii_digit() && minor.is_ascii_digit())
}

/// The values of a header that are text.
fn fields<'h>(headers: &'h [httparse::Header<'h>], name: &'h str) -> impl Iterator<Item = &'h str> {
    headers
        .iter()
        .filter(move |header| header.name.eq_ignore_ascii_case(name))
        .filter_map(|header| std::str::from_utf8(header.value).ok())
        .map(str::trim)
}

fn first<'h>(headers: &'h [httparse::Header<'h>], name: &'h str) -> &'h str {
    fields(headers, name).next().unwrap_or_default()
}

/// Whether a list of words has this one, in whatever case.
fn has_token(headers: &[httparse::Header<'_>], name: &str, token: &str) -> bool {
    fields(headers, name)
        .flat_map(|line| line.split(','))
        .any(|word| word.trim().eq_ignore_ascii_case(token))
}
