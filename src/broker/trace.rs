//! Log lines about connections, and the trace of protocol lines.
//!
//! The forms are those of nats-server: tools grep for them.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::connection::Connection;
use super::core::Core;
use super::effect::{Effect, LogLevel};
use super::opening::Kind;
use super::publish::{Message, quoted};
use super::subscriptions::SubId;
use crate::protocol::{Command, Verb};

/// The fields of a JSON object as they are written, in their order.
struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(Collect)
    }
}

/// CONNECT's JSON as it came, but for its secrets.
fn redacted(json: &[u8]) -> String {
    const SECRETS: [&str; 4] = ["pass", "auth_token", "jwt", "sig"];
    let read = std::str::from_utf8(json)
        .ok()
        .and_then(|text| Some((text, serde_json::from_str::<Fields<'_>>(text).ok()?)));
    let Some((text, Fields(fields))) = read else {
        // What cannot be read cannot be redacted.
        return "[unreadable]".to_owned();
    };
    let mut line = String::with_capacity(text.len());
    let mut copied = 0;
    for (name, value) in fields {
        if !SECRETS.iter().any(|s| name.eq_ignore_ascii_case(s)) {
            continue;
        }
        // Raw values lie in the text that was read.
        let at = value.get().as_ptr().addr() - text.as_ptr().addr();
        line.push_str(&text[copied..at]);
        line.push_str("\"[REDACTED]\"");
        copied = at + value.get().len();
    }
    line.push_str(&text[copied..]);
    line
}

/// How log lines name a connection: `127.0.0.1:5 - cid:1 - "v1:lang:name" - "$G/user:x"`, with
/// `nkey:` where that is the user's name.
fn label(conn: &Connection, account: &str) -> String {
    use std::fmt::Write as _;

    let mut label = match (conn.kind, &conn.upgrade) {
        (Kind::Client, _) => format!("{} - cid:{}", conn.peer, conn.cid),
        (Kind::WebSocket, Some(upgrade)) if !upgrade.forwarded_for.is_empty() => {
            format!("{}/{} - wid:{}", upgrade.forwarded_for, conn.peer, conn.cid)
        }
        (Kind::WebSocket, _) => format!("{} - wid:{}", conn.peer, conn.cid),
    };
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
        let kind = identity.kind.label();
        let _ = write!(label, " - \"{account}");
        if let Some(token) = identity
            .token
            .as_ref()
            .filter(|t| t.account_name != account)
        {
            let _ = write!(label, "/{}", token.account_name);
        }
        let _ = write!(label, "/{kind}:{}\"", identity.user);
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

    /// A line that came from the client and was refused.
    pub(super) fn trace_refused(&mut self, slot: u32, verb: Verb, arguments: &[u8]) {
        if self.settings.trace {
            let arguments = String::from_utf8_lossy(arguments);
            let text = format!("<<- [{} {arguments}]", verb.name());
            self.log_connection(LogLevel::Trace, slot, &text);
        }
    }

    /// A subscription ended.
    pub(super) fn trace_end(&mut self, slot: u32, id: SubId) {
        if self.settings.trace {
            let sid = String::from_utf8_lossy(self.subs.sid(id)).into_owned();
            self.log_connection(LogLevel::Trace, slot, &format!("<-> [DELSUB {sid}]"));
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

#[cfg(test)]
mod tests {
    use super::super::settings::Settings;
    use super::super::testing::Bench;
    use super::*;

    /// What a client's bytes leave in the log, without the name of the connection.
    fn logged(bytes: &[u8]) -> Vec<String> {
        let settings = Settings {
            trace: true,
            debug: true,
            ..Settings::default()
        };
        let mut bench = Bench::new(1, settings);
        let slot = bench.client();
        bench.effects.clear();
        bench.receive(slot, bytes);
        let lines = bench.effects.drain(..).filter_map(|effect| match effect {
            Effect::Log { line, .. } => Some(line),
            _ => None,
        });
        lines
            .map(|line| line.splitn(3, " - ").last().unwrap_or_default().to_owned())
            .collect()
    }

    /// As nats-server 2.15.1 logs them.
    #[test]
    fn refused_lines_are_traced_and_quoted() {
        for (line, trace, error) in [
            ("SUB foo", "SUB foo", r#"processSub Parse Error: "foo""#),
            (
                "UNSUB a b c",
                "UNSUB a b c",
                r#"processUnsub Parse Error: "a b c""#,
            ),
            (
                "PUB  a  b c d ",
                "PUB a  b c d ",
                r#"processPub Parse Error: "a  b c d ""#,
            ),
            (
                "PUB foo -1",
                "PUB foo -1",
                r#"processPub Bad or Missing Size: "foo -1""#,
            ),
            (
                "HPUB foo x 1",
                "HPUB foo x 1",
                r#"processHeaderPub Bad or Missing Header Size: "foo x 1""#,
            ),
            (
                "HPUB foo 5 x",
                "HPUB foo 5 x",
                r#"processHeaderPub Bad or Missing Total Size: "foo 5 x""#,
            ),
            (
                "HPUB foo 20 10",
                "HPUB foo 20 10",
                r#"processHeaderPub Header Size larger then TotalSize: "foo 20 10""#,
            ),
        ] {
            let lines = logged(format!("{line}\r\n").as_bytes());
            let closed = "Client connection closed: Protocol Violation";
            assert_eq!(lines, [&format!("<<- [{trace}]"), error, closed]);
        }
    }

    #[test]
    fn ends_of_subscriptions_are_traced() {
        assert_eq!(
            logged(b"SUB foo 1\r\nUNSUB 1 1\r\nPUB foo 1\r\nx\r\n"),
            [
                "<<- [SUB foo 1]",
                "<<- [UNSUB 1 1]",
                "<<- [PUB foo 1]",
                "<<- MSG_PAYLOAD: [\"x\"]",
                "Auto-unsubscribe limit of 1 reached for sid '1'",
                "->> [MSG foo 1 1]",
                "->> MSG_PAYLOAD: [\"x\"]",
                "<-> [DELSUB 1]",
            ]
        );
    }

    #[test]
    fn secrets_are_replaced_and_the_rest_stays_as_written() {
        for (json, shown) in [
            (
                r#"{"verbose":false,"b":1, "a" :[2]}"#,
                r#"{"verbose":false,"b":1, "a" :[2]}"#,
            ),
            (
                r#"{"user":"u","PASS":"p\"x","auth_token": "t","z":1}"#,
                r#"{"user":"u","PASS":"[REDACTED]","auth_token": "[REDACTED]","z":1}"#,
            ),
            (
                r#"{"p\u0061ss":{"deep":1},"sig":null}"#,
                r#"{"p\u0061ss":"[REDACTED]","sig":"[REDACTED]"}"#,
            ),
            (r#"{"pass":"p""#, "[unreadable]"),
            ("[]", "[unreadable]"),
        ] {
            assert_eq!(redacted(json.as_bytes()), shown);
        }
    }
}
