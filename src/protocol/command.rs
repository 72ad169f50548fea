//! The commands a client may send, as views into the bytes that carried them.

/// One parsed command. Every slice points into the receive buffer or into the parser's carry-over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command<'a> {
    /// `CONNECT {json}`: the text after the verb, undecoded (see [`super::connect`]).
    Connect(&'a [u8]),
    /// `PUB` or `HPUB` with its whole payload.
    Publish(Publish<'a>),
    /// `SUB <subject> [queue] <sid>`.
    Subscribe {
        /// Subject or pattern, not validated here.
        subject: &'a [u8],
        /// Queue group; empty means none.
        queue: &'a [u8],
        /// The client's name for the subscription: any bytes without blanks.
        sid: &'a [u8],
    },
    /// `UNSUB <sid> [max]`.
    Unsubscribe {
        /// The subscription's name.
        sid: &'a [u8],
        /// Deliveries after which it ends, counted from the SUB. `Some(0)` (also for what is no
        /// number, as on the real server) and `None` end it at once.
        max: Option<u64>,
    },
    /// `PING`, whatever followed on its line.
    Ping,
    /// `PONG`, whatever followed on its line.
    Pong,
    /// `+OK`, which a client has no reason to send; ignored.
    Ok,
    /// `-ERR <text>`: the client's complaint. The real server logs it and closes without an answer.
    Err(&'a [u8]),
    /// `INFO {json}`: tolerated and ignored if it is JSON (see [`super::info::tolerated_from_client`]).
    Info(&'a [u8]),
}

/// A published message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Publish<'a> {
    /// Subject as sent: no blank and no LF in it, otherwise unvalidated.
    pub subject: &'a [u8],
    /// Reply subject; empty means none.
    pub reply: &'a [u8],
    /// Bytes of `body` that are headers: `Some` for HPUB (0 is legal), `None` for PUB.
    /// Never above `body.len()`.
    pub header_len: Option<usize>,
    /// Headers and payload, without the closing CRLF.
    pub body: &'a [u8],
    /// How the sizes were written; nats-server repeats them so in every delivery.
    pub widths: SizeWidths,
    /// Everything after the subject up to and including the payload's CRLF, exactly as received:
    /// `" [reply ][header_size ]size\r\nbody\r\n"`.
    ///
    /// Present if the line was canonical: single spaces, CRLF, no trailing blanks. Leading zeros
    /// of a size are canonical: `PUB a 007` is delivered as `MSG a 1 007`, as nats-server does.
    /// A delivery is then `"MSG " subject " " sid tail`, or the same with `"HMSG "` if
    /// `header_len` is `Some`. Absent for an HPUB of header size 0, which is delivered as `MSG`.
    /// [`super::render::tail`] makes the same from the other fields.
    pub tail: Option<&'a [u8]>,
}

/// Digits that the sizes of a message were written with, leading zeros counted: 1 to
/// [`MAX_SIZE_DIGITS`](super::number::MAX_SIZE_DIGITS) each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SizeWidths {
    /// Of the header size; 0 for PUB, which has none.
    pub header: u8,
    /// Of the total size.
    pub total: u8,
}

impl<'a> Publish<'a> {
    /// The header block; empty for PUB.
    pub fn headers(&self) -> &'a [u8] {
        &self.body[..self.header_len.unwrap_or(0)]
    }

    /// The payload behind the header block.
    pub fn payload(&self) -> &'a [u8] {
        &self.body[self.header_len.unwrap_or(0)..]
    }
}

/// The verbs a client may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Connect,
    Pub,
    Hpub,
    Sub,
    Unsub,
    Ping,
    Pong,
    Ok,
    Err,
    Info,
}

/// What may stand between a verb and the end of its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Syntax {
    /// Anything; it is not looked at and not bounded (`PING junk`).
    Ignored,
    /// Arguments, which may follow without a blank (`CONNECT{}`).
    Attached,
    /// Arguments, after at least one blank.
    Separated,
}

impl Verb {
    /// Length of the longest name.
    pub(super) const LONGEST: usize = 7;

    /// Upper-case spelling; the wire accepts any case.
    pub const fn name(self) -> &'static str {
        match self {
            Verb::Connect => "CONNECT",
            Verb::Pub => "PUB",
            Verb::Hpub => "HPUB",
            Verb::Sub => "SUB",
            Verb::Unsub => "UNSUB",
            Verb::Ping => "PING",
            Verb::Pong => "PONG",
            Verb::Ok => "+OK",
            Verb::Err => "-ERR",
            Verb::Info => "INFO",
        }
    }

    pub(super) const fn syntax(self) -> Syntax {
        match self {
            Verb::Ping | Verb::Pong | Verb::Ok => Syntax::Ignored,
            Verb::Connect | Verb::Info => Syntax::Attached,
            Verb::Pub | Verb::Hpub | Verb::Sub | Verb::Unsub | Verb::Err => Syntax::Separated,
        }
    }

    /// The only verb that can start with these bytes.
    pub(super) fn recognise(bytes: &[u8]) -> Recognised {
        let Some(&first) = bytes.first() else {
            return Recognised::Partial;
        };
        let verb = match first.to_ascii_uppercase() {
            b'P' => match bytes.get(1).map(u8::to_ascii_uppercase) {
                Some(b'U') => Verb::Pub,
                Some(b'I') => Verb::Ping,
                Some(b'O') => Verb::Pong,
                Some(_) => return Recognised::Unknown,
                None => return Recognised::Partial,
            },
            b'H' => Verb::Hpub,
            b'S' => Verb::Sub,
            b'U' => Verb::Unsub,
            b'C' => Verb::Connect,
            b'I' => Verb::Info,
            b'+' => Verb::Ok,
            b'-' => Verb::Err,
            _ => return Recognised::Unknown,
        };
        let name = verb.name().as_bytes();
        let known = bytes.len().min(name.len());
        if !bytes[..known].eq_ignore_ascii_case(&name[..known]) {
            Recognised::Unknown
        } else if known < name.len() {
            Recognised::Partial
        } else {
            Recognised::Verb(verb)
        }
    }
}

/// What [`Verb::recognise`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recognised {
    Verb(Verb),
    /// All bytes fit, more are needed.
    Partial,
    Unknown,
}
