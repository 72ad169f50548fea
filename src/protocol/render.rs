//! What the server writes, appended to an output buffer.

use super::command::Publish;
use super::errors::ErrorText;
use super::number::{push_decimal, push_padded_decimal};
use super::quote::push_quoted;

pub const OK: &[u8] = b"+OK\r\n";
pub const PING: &[u8] = b"PING\r\n";
pub const PONG: &[u8] = b"PONG\r\n";

/// A refused action, told to the client by name; the connection stays open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PermissionsViolation<'a> {
    /// The subject may not be published to.
    Publish { subject: &'a [u8] },
    /// The reply subject is reserved.
    Reply { reply: &'a [u8] },
    /// The subject may not be subscribed to; `queue` is empty for a plain subscription.
    Subscribe { subject: &'a [u8], queue: &'a [u8] },
    /// A subscription was ended because, since a reload, it may not be.
    Removed { subject: &'a [u8], sid: &'a [u8] },
    /// The subject has more than `max_sub_tokens` tokens.
    TooManyTokens { subject: &'a [u8] },
}

/// Appends `-ERR '<text>'` CRLF.
pub fn error(out: &mut Vec<u8>, error: ErrorText) {
    error_start(out);
    out.extend_from_slice(error.text().as_bytes());
    error_end(out);
}

/// Appends the `-ERR` of a refused action.
pub fn permissions_violation(out: &mut Vec<u8>, violation: &PermissionsViolation<'_>) {
    error_start(out);
    out.extend_from_slice(b"Permissions Violation for ");
    match *violation {
        PermissionsViolation::Publish { subject } => {
            out.extend_from_slice(b"Publish to ");
            push_quoted(out, subject);
        }
        PermissionsViolation::Reply { reply } => {
            out.extend_from_slice(b"Publish with Reply of ");
            push_quoted(out, reply);
        }
        PermissionsViolation::Subscribe { subject, queue } => {
            out.extend_from_slice(b"Subscription to ");
            push_quoted(out, subject);
            if !queue.is_empty() {
                out.extend_from_slice(b" using queue ");
                push_quoted(out, queue);
            }
        }
        PermissionsViolation::Removed { subject, sid } => {
            out.extend_from_slice(b"Subscription to ");
            push_quoted(out, subject);
            out.extend_from_slice(b" (sid ");
            push_quoted(out, sid);
            out.push(b')');
        }
        PermissionsViolation::TooManyTokens { subject } => {
            out.extend_from_slice(b"Subscription to ");
            push_quoted(out, subject);
            out.extend_from_slice(b", too many tokens");
        }
    }
    error_end(out);
}

fn error_start(out: &mut Vec<u8>) {
    out.extend_from_slice(b"-ERR '");
}

fn error_end(out: &mut Vec<u8>) {
    out.extend_from_slice(b"'\r\n");
}

/// Appends what follows the subject and the sid in a delivery of a published message: what
/// [`Publish::tail`] holds, made from the other fields.
pub fn tail(out: &mut Vec<u8>, message: &Publish<'_>) {
    out.push(b' ');
    push_reply(out, message.reply);
    if let Some(length) = message.header_len.filter(|&length| length > 0) {
        push_padded_decimal(out, length, message.widths.header);
        out.push(b' ');
    }
    push_padded_decimal(out, message.body.len(), message.widths.total);
    push_body(out, message.body);
}

/// Appends the same for a message without headers that nobody announced a size of: one of the
/// server's own, or one whose headers were cut off.
pub fn plain_tail(out: &mut Vec<u8>, reply: &[u8], payload: &[u8]) {
    out.push(b' ');
    push_reply(out, reply);
    push_decimal(out, payload.len());
    push_body(out, payload);
}

/// Appends the same for a message of the server's own that may have headers (a whole block or
/// nothing).
pub fn own_tail(out: &mut Vec<u8>, reply: &[u8], header: &[u8], payload: &[u8]) {
    out.push(b' ');
    push_reply(out, reply);
    if !header.is_empty() {
        push_decimal(out, header.len());
        out.push(b' ');
    }
    push_decimal(out, header.len() + payload.len());
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(header);
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\r\n");
}

fn push_reply(out: &mut Vec<u8>, reply: &[u8]) {
    if !reply.is_empty() {
        out.extend_from_slice(reply);
        out.push(b' ');
    }
}

fn push_body(out: &mut Vec<u8>, body: &[u8]) {
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
    out.extend_from_slice(b"\r\n");
}

/// Appends a published message as one subscription receives it. `headers` says whether its
/// connection takes them; if not, they are cut off.
pub fn delivery(out: &mut Vec<u8>, message: &Publish<'_>, sid: &[u8], headers: bool) {
    let with_headers = message.header_len.is_some_and(|length| length > 0);
    let verb: &[u8] = if with_headers && headers {
        b"HMSG "
    } else {
        b"MSG "
    };
    for part in [verb, message.subject, b" ", sid] {
        out.extend_from_slice(part);
    }
    match message.tail {
        _ if with_headers && !headers => plain_tail(out, message.reply, message.payload()),
        Some(received) => out.extend_from_slice(received),
        None => tail(out, message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Command, ParseLimits, Parser};

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn errors_are_quoted_lines() {
        let stale = text(|out| error(out, ErrorText::StaleConnection));
        assert_eq!(stale, "-ERR 'Stale Connection'\r\n");
        let rendered = |violation| text(|out| permissions_violation(out, &violation));
        let (subject, queue) = (&b"a\"b"[..], &b""[..]);
        for (violation, expected) in [
            (
                PermissionsViolation::Publish { subject },
                r#"Publish to "a\"b""#,
            ),
            (
                PermissionsViolation::Reply { reply: b"r" },
                r#"Publish with Reply of "r""#,
            ),
            (
                PermissionsViolation::Subscribe { subject, queue },
                r#"Subscription to "a\"b""#,
            ),
            (
                PermissionsViolation::Subscribe {
                    subject,
                    queue: b"q",
                },
                r#"Subscription to "a\"b" using queue "q""#,
            ),
            (
                PermissionsViolation::TooManyTokens { subject },
                r#"Subscription to "a\"b", too many tokens"#,
            ),
        ] {
            let expected = format!("-ERR 'Permissions Violation for {expected}'\r\n");
            assert_eq!(rendered(violation), expected);
        }
    }

    /// Canonical and uncanonical lines must be delivered alike, with and without headers.
    #[test]
    fn delivers_alike_with_and_without_a_tail() {
        let limits = ParseLimits {
            headers: true,
            ..ParseLimits::default()
        };
        for (published, with_headers, without) in [
            (
                "PUB s 2\r\nhi\r\n",
                "MSG s 1 2\r\nhi\r\n",
                "MSG s 1 2\r\nhi\r\n",
            ),
            (
                "PUB s\t2\nhi\r\n",
                "MSG s 1 2\r\nhi\r\n",
                "MSG s 1 2\r\nhi\r\n",
            ),
            (
                "PUB s 02\r\nhi\r\n",
                "MSG s 1 02\r\nhi\r\n",
                "MSG s 1 02\r\nhi\r\n",
            ),
            (
                "PUB s\tr  002 \nhi\r\n",
                "MSG s 1 r 002\r\nhi\r\n",
                "MSG s 1 r 002\r\nhi\r\n",
            ),
            (
                "HPUB s 03 005\r\nhdrhi\r\n",
                "HMSG s 1 03 005\r\nhdrhi\r\n",
                "MSG s 1 2\r\nhi\r\n",
            ),
            (
                "HPUB s  03 005\nhdrhi\r\n",
                "HMSG s 1 03 005\r\nhdrhi\r\n",
                "MSG s 1 2\r\nhi\r\n",
            ),
            (
                "HPUB s 00 02\r\nhi\r\n",
                "MSG s 1 02\r\nhi\r\n",
                "MSG s 1 02\r\nhi\r\n",
            ),
            (
                "PUB s r 0\r\n\r\n",
                "MSG s 1 r 0\r\n\r\n",
                "MSG s 1 r 0\r\n\r\n",
            ),
            (
                "PUB s r 0 \n\r\n",
                "MSG s 1 r 0\r\n\r\n",
                "MSG s 1 r 0\r\n\r\n",
            ),
            (
                "HPUB s 3 5\r\nhdrhi\r\n",
                "HMSG s 1 3 5\r\nhdrhi\r\n",
                "MSG s 1 2\r\nhi\r\n",
            ),
            (
                "HPUB s  r 3 5\r\nhdrhi\r\n",
                "HMSG s 1 r 3 5\r\nhdrhi\r\n",
                "MSG s 1 r 2\r\nhi\r\n",
            ),
            (
                "HPUB s 0 2\r\nhi\r\n",
                "MSG s 1 2\r\nhi\r\n",
                "MSG s 1 2\r\nhi\r\n",
            ),
        ] {
            let mut parser = Parser::new();
            let (_, parsed) = parser.next(published.as_bytes(), &limits);
            let Ok(Some(Command::Publish(message))) = parsed else {
                panic!("{published:?} gave {parsed:?}");
            };
            let delivered = |headers| text(|out| delivery(out, &message, b"1", headers));
            assert_eq!(delivered(true), with_headers, "{published:?}");
            assert_eq!(delivered(false), without, "{published:?}");
        }
    }
}
