//! The `websocket` block: its own listener, who may come by it, and how.

use std::fmt;
use std::time::Duration;

use super::authorization::UserConfig;
use super::diagnostics::{Problem, Report};
use super::options::Options;
use super::text::{duration_text, parse_duration, quoted};
use super::validate::{ValidationError, advertise_problem};
use super::value::{Kind, Value};
use super::{defaults, read, read_authorization};
use crate::protocol::websocket::origin::Origin;

/// The block. Without a port there is no listener.
#[derive(Clone, PartialEq, Default)]
pub struct WebSocketOptions {
    pub host: String,
    /// 0: no listener; [`defaults::RANDOM_PORT`]: any port.
    pub port: i64,
    /// What clients of a cluster are told instead of the listener's address.
    pub advertise: String,
    /// The listener does without TLS.
    pub no_tls: bool,
    /// In place of the server's `no_auth_user`; empty: that one.
    pub no_auth_user: String,
    /// The only user by this listener; empty: the server's users.
    pub user: String,
    pub password: String,
    /// Goes before `user`; empty: not set.
    pub token: String,
    /// In place of the server's; zero: that one.
    pub auth_timeout: Duration,
    /// Names of the cookies that stand for fields of CONNECT; empty: none.
    pub jwt_cookie: String,
    pub user_cookie: String,
    pub pass_cookie: String,
    pub token_cookie: String,
    pub same_origin: bool,
    pub allowed_origins: Vec<String>,
    pub compression: bool,
    /// Zero: [`crate::transport::DEFAULT_HANDSHAKE_TIMEOUT`].
    pub handshake_timeout: Duration,
    /// In place of the server's; zero: that one.
    pub ping_interval: Duration,
    /// Added to the answer of an upgrade, in this order.
    pub headers: Vec<(String, String)>,
}

/// As nats-server prints the fields, without what is secret.
impl fmt::Display for WebSocketOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secret = |text: &str| if text.is_empty() { "" } else { "[REDACTED]" };
        let headers: Vec<String> = self
            .headers
            .iter()
            .map(|(name, value)| format!("{name}:{value}"))
            .collect();
        write!(
            f,
            "{{{} {} {} {} {} {} {} {} {} {} {} {} {} <nil> false map[] {} [{}] {} {} {} map[{}] <nil>}}",
            self.host,
            self.port,
            self.advertise,
            self.no_auth_user,
            self.jwt_cookie,
            self.user_cookie,
            self.pass_cookie,
            self.token_cookie,
            self.user,
            secret(&self.password),
            secret(&self.token),
            self.auth_timeout.as_secs_f64(),
            self.no_tls,
            self.same_origin,
            self.allowed_origins.join(" "),
            self.compression,
            duration_text(self.handshake_timeout),
            duration_text(self.ping_interval),
            headers.join(" "),
        )
    }
}

/// Shows nothing secret.
impl fmt::Debug for WebSocketOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WebSocketOptions{self}")
    }
}

impl WebSocketOptions {
    /// Whether there is a listener.
    pub fn is_on(&self) -> bool {
        self.port != 0
    }

    pub(super) fn fill_defaults(&mut self) {
        if self.is_on() && self.host.is_empty() {
            self.host = defaults::HOST.to_owned();
        }
    }
}

/// Headers that the answer has anyway.
const OWN_HEADERS: [&str; 3] = ["Upgrade", "Connection", "Host"];
const RESERVED_PREFIX: &str = "sec-websocket-";

/// Handles the key of the block; false if it is another.
pub(super) fn top_level(
    name: &str,
    value: &Value,
    options: &mut Options,
    report: &mut Report,
) -> bool {
    if !matches!(name, "websocket" | "ws") {
        return false;
    }
    let Kind::Map(map) = &value.kind else {
        let found = value.kind.type_name();
        let text = format!("Expected websocket to be a map, got {found}");
        report.text(&value.position, text);
        return true;
    };
    let block = &mut options.websocket;
    for (key, value) in map.iter() {
        match key.to_lowercase().as_str() {
            "listen" => {
                if let Some(listen) = read::listen(value, report) {
                    set(&mut block.host, listen.host);
                    block.port = listen.port;
                }
            }
            "port" => set(&mut block.port, read::integer(value, report)),
            "host" | "net" => text(&mut block.host, value, report),
            "advertise" => text(&mut block.advertise, value, report),
            "no_tls" => set(&mut block.no_tls, read::boolean(value, report)),
            "same_origin" => set(&mut block.same_origin, read::boolean(value, report)),
            "allowed_origins" | "allowed_origin" | "allow_origins" | "allow_origin" | "origins"
            | "origin" => set(&mut block.allowed_origins, origins(value, report)),
            "handshake_timeout" => set(
                &mut block.handshake_timeout,
                handshake_timeout(value, report),
            ),
            "compress" | "compression" => {
                set(&mut block.compression, read::boolean(value, report));
            }
            "authorization" | "authentication" => authorization(value, block, report),
            "jwt_cookie" => text(&mut block.jwt_cookie, value, report),
            "user_cookie" => text(&mut block.user_cookie, value, report),
            "pass_cookie" => text(&mut block.pass_cookie, value, report),
            "token_cookie" => text(&mut block.token_cookie, value, report),
            "no_auth_user" => text(&mut block.no_auth_user, value, report),
            "ping_interval" => set(
                &mut block.ping_interval,
                read::duration("ping_interval", value, report),
            ),
            "headers" => set(&mut block.headers, headers(value, report)),
            "tls" => report.error(
                &value.position,
                Problem::NotBuilt("websocket tls".to_owned()),
            ),
            _ if value.used_as_variable.get() => {}
            _ => report.error(&value.position, Problem::UnknownField(key.to_owned())),
        }
    }
    true
}

fn set<T>(target: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *target = value;
    }
}

fn text(target: &mut String, value: &Value, report: &mut Report) {
    set(target, read::string(value, report).map(str::to_owned));
}

fn origins(value: &Value, report: &mut Report) -> Option<Vec<String>> {
    let wrong = |value: &Value, report: &mut Report| {
        let found = value.kind.type_name();
        let text = format!("error parsing allowed origins: unsupported type {found}");
        report.text(&value.position, text);
    };
    match &value.kind {
        Kind::String(origin) => Some(vec![origin.clone()]),
        Kind::Array(values) => {
            let mut origins = Vec::with_capacity(values.len());
            for value in values {
                match &value.kind {
                    Kind::String(origin) => origins.push(origin.clone()),
                    _ => {
                        wrong(value, report);
                        return None;
                    }
                }
            }
            Some(origins)
        }
        _ => {
            wrong(value, report);
            None
        }
    }
}

/// Seconds, or a duration string.
fn handshake_timeout(value: &Value, report: &mut Report) -> Option<Duration> {
    let refuse = |text: String, report: &mut Report| {
        report.text(&value.position, text);
        None
    };
    let negative = || "handshake_timeout value can not be negative".to_owned();
    match &value.kind {
        Kind::Integer(seconds) => match u64::try_from(*seconds) {
            Ok(seconds) => Some(Duration::from_secs(seconds)),
            Err(_) => refuse(negative(), report),
        },
        Kind::String(text) => match parse_duration(text) {
            Ok(duration) if duration.negative => refuse(negative(), report),
            Ok(duration) => Some(duration.length),
            Err(error) => refuse(error.to_string(), report),
        },
        other => {
            let found = other.type_name();
            refuse(
                format!("error parsing handshake timeout: unsupported type {found}"),
                report,
            )
        }
    }
}

/// One user or a token; the server's users are not repeated here.
fn authorization(value: &Value, block: &mut WebSocketOptions, report: &mut Report) {
    let Some(map) = read::map(value, report) else {
        return;
    };
    for (key, value) in map.iter() {
        match key.to_lowercase().as_str() {
            "user" | "username" => text(&mut block.user, value, report),
            "pass" | "password" => text(&mut block.password, value, report),
            "token" => text(&mut block.token, value, report),
            "timeout" => set(
                &mut block.auth_timeout,
                read_authorization::timeout(value, report),
            ),
            _ if value.used_as_variable.get() => {}
            _ => report.error(&value.position, Problem::UnknownField(key.to_owned())),
        }
    }
}

fn headers(value: &Value, report: &mut Report) -> Option<Vec<(String, String)>> {
    let Kind::Map(map) = &value.kind else {
        let found = value.kind.type_name();
        let text = format!("error parsing headers: unsupported type {found}");
        report.text(&value.position, text);
        return None;
    };
    let mut headers = Vec::new();
    for (key, value) in map.iter() {
        let Kind::String(text) = &value.kind else {
            let found = value.kind.type_name();
            let text = format!("error parsing header key {key}: unsupported type {found}");
            report.text(&value.position, text);
            return None;
        };
        headers.push((key.to_owned(), text.clone()));
    }
    Some(headers)
}

/// What of the block does not go together, in nats-server's words; nothing is checked without a listener.
pub(super) fn validate(options: &Options) -> Result<(), ValidationError> {
    let block = &options.websocket;
    if !block.is_on() {
        return Ok(());
    }
    let refuse = |text: String| Err(ValidationError::WebSocket { text });
    if block.port != defaults::RANDOM_PORT && u16::try_from(block.port).is_err() {
        return Err(ValidationError::WebSocketPort { port: block.port });
    }
    if !block.no_tls {
        return refuse("websocket requires TLS configuration".to_owned());
    }
    if let Some(reason) = advertise_problem(&block.advertise) {
        return Err(ValidationError::WebSocketAdvertise { reason });
    }
    for origin in &block.allowed_origins {
        if let Err(error) = Origin::parse(origin) {
            return refuse(format!("unable to parse allowed origin: {error}"));
        }
    }
    let users = &options.authorization.users;
    let user = &block.no_auth_user;
    if !user.is_empty() {
        if users.is_empty() {
            return Err(ValidationError::NoAuthUserWithoutUsers { user: user.clone() });
        }
        let is_known = |known: &UserConfig| known.user == *user || known.nkey == *user;
        if !users.iter().any(is_known) {
            return Err(ValidationError::NoAuthUserUnknown { user: user.clone() });
        }
    }
    // Where claims decide, too, there are no others beside them.
    if !users.is_empty() || options.trust.is_on() {
        for (field, is_set) in [
            ("username", !block.user.is_empty()),
            ("token", !block.token.is_empty()),
        ] {
            if is_set {
                return refuse(format!(
                    "websocket authentication {field} not compatible with presence of users/nkeys"
                ));
            }
        }
    }
    if !block.jwt_cookie.is_empty() && !options.trust.is_on() {
        return refuse(format!(
            "trusted operators or trusted keys configuration is required for JWT authentication via cookie {}",
            quoted(&block.jwt_cookie)
        ));
    }
    for (name, value) in &block.headers {
        if name.to_lowercase().starts_with(RESERVED_PREFIX) {
            return refuse(format!(
                "websocket: invalid header {}, \"Sec-WebSocket-\" prefix not allowed",
                quoted(name)
            ));
        }
        let own = OWN_HEADERS.iter().any(|own| own.eq_ignore_ascii_case(name));
        // nats-server takes line ends and sends them.
        let lines = name.contains(['\r', '\n', ':']) || value.contains(['\r', '\n']);
        if own || lines {
            return refuse(format!(
                "websocket: invalid header {} not allowed",
                quoted(name)
            ));
        }
    }
    Ok(())
}
