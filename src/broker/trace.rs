//! Log lines about connections, and the trace of protocol lines.
//!
//! The forms are those of nats-server: tools grep for them.

use super::connection::Connection;
use super::core::Core;
use super::effect::{Effect, LogLevel};
use super::publish::{Message, quoted};
use super::subscriptions::SubId;
use crate::protocol::Command;

/// CONNECT's JSON without its secrets.
fn redacted(json: &[u8]) -> String {
    const SECRETS: [&str; 4] = ["pass", "auth_token", "jwt", "sig"];
    match serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(json) {
        Ok(mut fields) => {
            for (name, value) in &mut fields {
                if SECRETS
                    .iter()
                    .any(|secret| name.eq_ignore_ascii_case(secret))
                {
                    *value = "[REDACTED]".into();
                }
            }
            serde_json::Value::Object(fields).to_string()
        }
        // What cannot be read cannot be redacted.
        Err(_) => "[unreadable]".to_owned(),
    }
}

/// How log lines name a connection: `127.0.0.1:5 - cid:1 - "v1:lang:name" - "$G/user:x"`.
fn label(conn: &Connection, account: &str) -> String {
    use std::fmt::Write as _;

    let mut label = format!("{} - cid:{}", conn.peer, conn.cid);
    if let Some(options) = &conn.options {
        let parts: Vec<&str> = [&options.version, &options.lang, &options.name]
            .into_iter()
            .map(|part| &**part)
            .filter(|part| !part.is_empty())
            .collect();
        if !parts.is_empty() {
            let version = if options.version.is_empty() { "" } else { "v" };
            let name = quoted(format!("{version}{}", parts.join(":")).as_bytes());
            let _ = write!(label, " - {name}");
        }
    }
    if let Some(identity) = conn.identity.as_ref().filter(|i| !i.user.is_empty()) {
        let _ = write!(label, " - \"{account}/user:{}\"", identity.user);
    }
    label
}

/// A size with the leading zeros that it came with.
fn as_written(size: usize, width: u8) -> String {
    format!("{size:0width$}", width = usize::from(width))
}

impl Core {
    /// Logs something about a connection.
    pub(super) fn log_connection(&mut self, level: LogLevel, slot: u32, text: &str) {
        let wanted = match level {
            LogLevel::Debug => self.settings.debug,
            LogLevel::Trace => self.settings.trace,
            LogLevel::Info | LogLevel::Warn | LogLevel::Error => true,
        };
        if !wanted {
            return;
        }
        if let Some(conn) = self.conn(slot) {
            let account = &self.accounts[usize::from(conn.account)].name;
            let line = format!("{} - {text}", label(conn, account));
            self.effects.push(Effect::Log { level, line });
        }
    }

    pub(super) fn log_subscription_violation(
        &mut self,
        slot: u32,
        subject: &[u8],
        queue: &[u8],
        sid: &[u8],
    ) {
        let sid = String::from_utf8_lossy(sid);
        let subject = quoted(subject);
        let text = if queue.is_empty() {
            format!("Subscription Violation - Subject {subject}, SID {sid}")
        } else {
            let queue = quoted(queue);
            format!("Subscription Violation - Subject {subject}, Queue: {queue}, SID {sid}")
        };
        self.log_connection(LogLevel::Error, slot, &text);
    }

    /// A line that came from the client.
    #[cold]
    pub(super) fn trace_in(&mut self, slot: u32, command: &Command<'_>) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let line = match command {
            Command::Connect(json) => format!("CONNECT {}", redacted(json)),
            Command::Publish(publish) => {
                let mut line = format!(
                    "{} {}",
                    if publish.header_len.is_some() {
                        "HPUB"
                    } else {
                        "PUB"
                    },
                    text(publish.subject)
                );
                for part in [
                    (!publish.reply.is_empty()).then(|| text(publish.reply)),
                    publish
                        .header_len
                        .map(|len| as_written(len, publish.widths.header)),
                    Some(as_written(publish.body.len(), publish.widths.total)),
                ]
                .into_iter()
                .flatten()
                {
                    line.push(' ');
                    line.push_str(&part);
                }
                line
            }
            Command::Subscribe {
                subject,
                queue,
                sid,
            } => {
                let queue = if queue.is_empty() {
                    String::new()
                } else {
                    format!("{} ", text(queue))
                };
                format!("SUB {} {queue}{}", text(subject), text(sid))
            }
            Command::Unsubscribe { sid, max } => match max {
                Some(max) => format!("UNSUB {} {max}", text(sid)),
                None => format!("UNSUB {}", text(sid)),
            },
            Command::Ping => "PING".to_owned(),
            Command::Pong => "PONG".to_owned(),
            Command::Ok | Command::Err(_) | Command::Info(_) => return,
        };
        self.log_connection(LogLevel::Trace, slot, &format!("<<- [{line}]"));
        if let Command::Publish(publish) = command {
            self.trace_payload("<<-", slot, publish.header_len, publish.body);
        }
    }

    /// The payload behind its line; an empty one has none.
    fn trace_payload(&mut self, arrow: &str, slot: u32, header_len: Option<usize>, body: &[u8]) {
        if body.is_empty() {
            return;
        }
        let shown = match header_len {
            Some(len) if self.settings.trace_headers => &body[..len],
            _ => body,
        };
        let max = self.settings.max_traced_msg_len;
        let line = if max > 0 && shown.len() > max {
            format!("{arrow} MSG_PAYLOAD: [{}...]", quoted(&shown[..max]))
        } else {
            format!("{arrow} MSG_PAYLOAD: [{}]", quoted(shown))
        };
        self.log_connection(LogLevel::Trace, slot, &line);
    }

    /// A reply to the client, with its line end.
    #[cold]
    pub(super) fn trace_out(&mut self, slot: u32, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        let line = line.trim_end();
        let line = match line {
            "+OK" => "OK".to_owned(),
            // The log leaves out the quotes around the text.
            _ => match line
                .strip_prefix("-ERR '")
                .and_then(|rest| rest.strip_suffix('\''))
            {
                Some(text) => format!("-ERR {text}"),
                None => line.to_owned(),
            },
        };
        self.log_connection(LogLevel::Trace, slot, &format!("->> [{line}]"));
    }

    #[cold]
    pub(super) fn trace_delivery(&mut self, slot: u32, id: SubId, message: &Message<'_>) {
        let head_end = message.tail.len() - message.body.len() - 4;
        let mut line = Vec::new();
        line.extend_from_slice(if message.header_len.is_some() {
            b"HMSG "
        } else {
            b"MSG "
        });
        line.extend_from_slice(message.shown());
        line.push(b' ');
        line.extend_from_slice(self.subs.sid(id));
        line.extend_from_slice(&message.tail[..head_end]);
        self.trace_out(slot, &line);
        self.trace_payload("->>", slot, message.header_len, message.body);
    }
}
