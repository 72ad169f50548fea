//! One command at the start of contiguous bytes: the pure half of the parser.
//!
//! Nothing here keeps state. What the bytes do not settle comes back as [`Incomplete`], which
//! says how much of them must be kept; [`super::parser`] does the keeping.

use super::command::{Command, Publish, Recognised, SizeWidths, Syntax, Verb};
use super::number::parse_size;
use super::parse_error::{ParseError, Violation};

/// Limits that the parser enforces while it reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseLimits {
    /// Longest argument part of a control line in bytes: from behind the verb and its blanks up
    /// to the line end, trailing blanks included. A longer one is refused before its end arrives.
    pub max_control_line: usize,
    /// Largest message (headers and payload) in bytes; -1 means none beyond
    /// [`MAX_ANNOUNCED_SIZE`](super::number::MAX_ANNOUNCED_SIZE). Refused before the payload
    /// arrives.
    pub max_payload: i64,
    /// Whether the connection negotiated headers, so that HPUB is legal.
    pub headers: bool,
}

impl Default for ParseLimits {
    /// The defaults of nats-server, before CONNECT: 4096 bytes, 1 MiB, no headers.
    fn default() -> Self {
        ParseLimits {
            max_control_line: 4096,
            max_payload: 1024 * 1024,
            headers: false,
        }
    }
}

/// What a scan found at the start of its bytes.
#[derive(Debug)]
pub(super) enum Scan<'a> {
    /// A whole command and the number of bytes it took.
    Command(usize, Command<'a>),
    /// The bytes end inside the command.
    Incomplete(Incomplete),
}

/// Where the bytes ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Incomplete {
    /// Inside the verb.
    Verb,
    /// Behind a verb of `verb` bytes whose line has no end yet; nothing between them matters.
    Ignored { verb: usize },
    /// Inside the arguments, which start at `arguments`, behind a verb of `verb` bytes and
    /// perhaps blanks.
    Line { verb: usize, arguments: usize },
    /// Inside the payload; the command is `total` bytes long from its verb.
    Payload {
        verb: usize,
        arguments: usize,
        total: usize,
    },
}

/// Parses the command at the start of `bytes`.
pub(super) fn scan<'a>(bytes: &'a [u8], limits: &ParseLimits) -> Result<Scan<'a>, ParseError> {
    let verb = match Verb::recognise(bytes) {
        Recognised::Verb(verb) => verb,
        Recognised::Partial => return Ok(Scan::Incomplete(Incomplete::Verb)),
        Recognised::Unknown => return Err(ParseError::UnknownOperation),
    };
    let verb_len = verb.name().len();
    match verb.syntax() {
        Syntax::Ignored => return Ok(scan_ignored(bytes, verb, verb_len)),
        Syntax::Attached => {}
        Syntax::Separated => match bytes.get(verb_len) {
            Some(&separator) if is_blank(separator) => {}
            Some(_) => return Err(ParseError::UnknownOperation),
            None => {
                return Ok(Scan::Incomplete(Incomplete::Line {
                    verb: verb_len,
                    arguments: verb_len,
                }));
            }
        },
    }
    let blanks = bytes[verb_len..].iter().take_while(|&&b| is_blank(b));
    let start = verb_len + blanks.count();
    let line = match find_line(&bytes[start..], limits.max_control_line)? {
        Some(line) => line,
        None => {
            return Ok(Scan::Incomplete(Incomplete::Line {
                verb: verb_len,
                arguments: start,
            }));
        }
    };
    let end = start + line.length;
    let command = match verb {
        Verb::Pub | Verb::Hpub => {
            let head = PublishHead::parse(verb, &line, limits)?;
            let total = end + head.size + CRLF.len();
            match bytes.get(end + head.size..) {
                None | Some([]) | Some(b"\r") => {
                    return Ok(Scan::Incomplete(Incomplete::Payload {
                        verb: verb_len,
                        arguments: start,
                        total,
                    }));
                }
                Some([b'\r', b'\n', ..]) => {}
                Some(_) => return Err(ParseError::UnknownOperation),
            }
            let tail_start = start + head.subject.end;
            let publish = Publish {
                subject: &line.arguments[head.subject],
                reply: &line.arguments[head.reply],
                header_len: head.header_len,
                body: &bytes[end..end + head.size],
                widths: head.widths,
                tail: head.canonical.then(|| &bytes[tail_start..total]),
            };
            return Ok(Scan::Command(total, Command::Publish(publish)));
        }
        Verb::Sub => subscribe(line.arguments)?,
        Verb::Unsub => unsubscribe(line.arguments)?,
        Verb::Connect => Command::Connect(line.arguments),
        Verb::Info => Command::Info(line.arguments),
        Verb::Err => Command::Err(line.arguments),
        Verb::Ping => Command::Ping,
        Verb::Pong => Command::Pong,
        Verb::Ok => Command::Ok,
    };
    Ok(Scan::Command(end, command))
}

pub(super) const CRLF: &[u8; 2] = b"\r\n";

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

fn scan_ignored(bytes: &[u8], verb: Verb, verb_len: usize) -> Scan<'_> {
    let Some(line_feed) = memchr::memchr(b'\n', &bytes[verb_len..]) else {
        return Scan::Incomplete(Incomplete::Ignored { verb: verb_len });
    };
    let command = match verb {
        Verb::Ping => Command::Ping,
        Verb::Pong => Command::Pong,
        _ => Command::Ok,
    };
    Scan::Command(verb_len + line_feed + 1, command)
}

/// The argument part of a control line.
struct Line<'a> {
    /// Without the line end.
    arguments: &'a [u8],
    /// With the line end.
    length: usize,
    /// Whether the line end was CRLF rather than LF.
    carriage_return: bool,
}

/// Finds the line end, `None` if it has not arrived. At most two bytes above the limit are
/// looked at, so that a flood without a line end costs nothing.
fn find_line(bytes: &[u8], limit: usize) -> Result<Option<Line<'_>>, ParseError> {
    let window = &bytes[..bytes.len().min(limit.saturating_add(CRLF.len()))];
    let line_feed = memchr::memchr(b'\n', window);
    let (line, carriage_return) = match &window[..line_feed.unwrap_or(window.len())] {
        [line @ .., b'\r'] => (line, true),
        line => (line, false),
    };
    if line.len() > limit {
        return Err(ParseError::MaxControlLine { limit });
    }
    Ok(line_feed.map(|line_feed| Line {
        arguments: line,
        length: line_feed + 1,
        carriage_return,
    }))
}

/// Up to `N` arguments; `None` if there are more.
fn split<const N: usize>(
    arguments: &[u8],
    separates: impl Fn(u8) -> bool,
) -> Option<([std::ops::Range<usize>; N], usize)> {
    let mut found = [const { 0..0 }; N];
    let mut count = 0;
    let mut at = 0;
    while at < arguments.len() {
        if separates(arguments[at]) {
            at += 1;
            continue;
        }
        let rest = &arguments[at..];
        let length = rest.iter().position(|&b| separates(b));
        let end = at + length.unwrap_or(rest.len());
        *found.get_mut(count)? = at..end;
        count += 1;
        at = end;
    }
    Some((found, count))
}

/// SUB and UNSUB also split at a CR inside the line; PUB and HPUB do not. As the real server does.
fn is_blank_or_cr(byte: u8) -> bool {
    is_blank(byte) || byte == b'\r'
}

fn wrong_count(verb: Verb) -> ParseError {
    ParseError::ProtocolViolation {
        verb,
        cause: Violation::ArgumentCount,
    }
}

fn subscribe(arguments: &[u8]) -> Result<Command<'_>, ParseError> {
    let (found, count) = split::<3>(arguments, is_blank_or_cr).ok_or(wrong_count(Verb::Sub))?;
    let [first, second, third] = found.map(|range| &arguments[range]);
    let (subject, queue, sid) = match count {
        2 => (first, third, second),
        3 => (first, second, third),
        _ => return Err(wrong_count(Verb::Sub)),
    };
    Ok(Command::Subscribe {
        subject,
        queue,
        sid,
    })
}

fn unsubscribe(arguments: &[u8]) -> Result<Command<'_>, ParseError> {
    let (found, count) = split::<2>(arguments, is_blank_or_cr).ok_or(wrong_count(Verb::Unsub))?;
    let [sid, max] = found.map(|range| &arguments[range]);
    let max = match count {
        1 => None,
        2 => Some(parse_size(max).map_or(0, u64::from)),
        _ => return Err(wrong_count(Verb::Unsub)),
    };
    Ok(Command::Unsubscribe { sid, max })
}

/// The line of a PUB or HPUB, understood and within the limits.
struct PublishHead {
    /// Range in the arguments.
    subject: std::ops::Range<usize>,
    /// Range in the arguments; empty means none.
    reply: std::ops::Range<usize>,
    header_len: Option<usize>,
    /// Bytes of headers and payload.
    size: usize,
    widths: SizeWidths,
    /// Whether what follows the subject can be delivered as it stands ([`Publish::tail`]).
    canonical: bool,
}

impl PublishHead {
    fn parse(verb: Verb, line: &Line<'_>, limits: &ParseLimits) -> Result<Self, ParseError> {
        let violation = |cause| ParseError::ProtocolViolation { verb, cause };
        let with_headers = verb == Verb::Hpub;
        if with_headers && !limits.headers {
            return Err(violation(Violation::HeadersNotSupported));
        }
        let arguments = line.arguments;
        let (found, count) = split::<4>(arguments, is_blank).ok_or(wrong_count(verb))?;
        let numbers = 1 + usize::from(with_headers);
        let reply = match count.checked_sub(numbers) {
            Some(1) => 0..0,
            Some(2) => found[1].clone(),
            _ => return Err(wrong_count(verb)),
        };
        let (header_len, header_width) = if with_headers {
            let digits = &arguments[found[count - 2].clone()];
            let length = parse_size(digits).ok_or(violation(Violation::HeaderSize))?;
            (Some(length), digits.len())
        } else {
            (None, 0)
        };
        let digits = &arguments[found[count - 1].clone()];
        let size = parse_size(digits).ok_or(violation(Violation::Size))?;
        if header_len.is_some_and(|length| length > size) {
            return Err(violation(Violation::HeaderBeyondMessage));
        }
        if limits.max_payload >= 0 && i64::from(size) > limits.max_payload {
            return Err(ParseError::MaxPayload {
                size,
                limit: limits.max_payload,
            });
        }
        let used = &found[..count];
        let single_spaces = used
            .windows(2)
            .all(|pair| pair[0].end + 1 == pair[1].start && arguments[pair[0].end] == b' ');
        Ok(PublishHead {
            subject: found[0].clone(),
            reply,
            header_len: header_len.map(|length| length as usize),
            size: size as usize,
            // Parsed sizes have at most nine digits.
            widths: SizeWidths {
                header: header_width as u8,
                total: digits.len() as u8,
            },
            canonical: line.carriage_return
                && single_spaces
                && used[count - 1].end == arguments.len()
                && header_len != Some(0),
        })
    }
}
