//! What a server sends a client, as an incremental parser, and the commands a
//! client sends. Format: the NATS client protocol reference.

use std::fmt;

/// Longest message (headers and payload, bytes) accepted from a server. The
/// largest `max_payload` that nats-server allows is 64 MiB.
pub const MAX_MESSAGE: usize = 64 * 1024 * 1024;

/// Longest control line (bytes) accepted from a server; INFO is the longest.
pub const MAX_LINE: usize = 64 * 1024;

/// A delivered message.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub struct Msg<'a> {
    pub subject: &'a [u8],
    pub sid: u64,
    pub reply: Option<&'a [u8]>,
    /// The header block of HMSG, empty for MSG.
    pub headers: &'a [u8],
    pub payload: &'a [u8],
}

impl Msg<'_> {
    /// The inline status of the header block, such as 503 for no responders.
    pub fn status(&self) -> Option<u16> {
        let rest = self.headers.strip_prefix(b"NATS/1.0 ")?;
        let digits = rest.get(..3)?;
        u16::try_from(number(digits)?).ok()
    }
}

/// One operation of the server.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum Op<'a> {
    Msg(Msg<'a>),
    Ping,
    Pong,
    Ok,
    /// The text of `-ERR`, without its quotes.
    Err(&'a [u8]),
    /// The JSON of `INFO`.
    Info(&'a [u8]),
}

/// Bytes that are not the NATS protocol.
#[derive(Debug, PartialEq, Eq, Clone)]
pub struct ParseError {
    /// The beginning of the line in question, printable.
    pub line: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server sent what is not NATS: \"{}\"", self.line)
    }
}

impl std::error::Error for ParseError {}

/// Parser of one connection.
///
/// A subscriber mostly sees the same head line again and again, so the parser
/// remembers the last one without a reply subject: where the next line has the
/// same bytes its fields are known without looking at them.
#[derive(Debug, Default)]
pub struct Parser {
    /// The remembered line with its CRLF; empty for none.
    line: Vec<u8>,
    head: Head,
}

/// A parsed MSG or HMSG line; subject and reply as offsets into the line.
#[derive(Debug, Default, Clone, Copy)]
struct Head {
    subject: (usize, usize),
    reply: Option<(usize, usize)>,
    sid: u64,
    header_len: usize,
    total_len: usize,
}

impl Parser {
    /// The first operation in `data` and the bytes it takes; `None` when it is
    /// not complete yet.
    #[inline]
    pub fn next<'a>(&mut self, data: &'a [u8]) -> Result<Option<(Op<'a>, usize)>, ParseError> {
        if !self.line.is_empty() && data.starts_with(&self.line) {
            return message(data, self.line.len(), &self.head);
        }
        self.next_line(data)
    }

    fn next_line<'a>(&mut self, data: &'a [u8]) -> Result<Option<(Op<'a>, usize)>, ParseError> {
        let Some(end) = memchr::memchr(b'\n', data) else {
            if data.len() > MAX_LINE {
                return Err(unexpected(data));
            }
            return Ok(None);
        };
        let taken = end + 1;
        let line = data[..end].strip_suffix(b"\r").unwrap_or(&data[..end]);
        let (verb, rest) = match memchr::memchr2(b' ', b'\t', line) {
            Some(at) => (&line[..at], line[at + 1..].trim_ascii()),
            None => (line, &b""[..]),
        };
        let op = match verb {
            b"MSG" | b"HMSG" => {
                let head = parse_head(line, verb.len(), verb == b"HMSG")
                    .ok_or_else(|| unexpected(line))?;
                if head.reply.is_none() {
                    self.line.clear();
                    self.line.extend_from_slice(&data[..taken]);
                    self.head = head;
                }
                return message(data, taken, &head);
            }
            b"PING" => Op::Ping,
            b"PONG" => Op::Pong,
            b"+OK" => Op::Ok,
            b"-ERR" => {
                let text = rest.strip_prefix(b"'").unwrap_or(rest);
                Op::Err(text.strip_suffix(b"'").unwrap_or(text))
            }
            b"INFO" => Op::Info(rest),
            _ => return Err(unexpected(line)),
        };
        Ok(Some((op, taken)))
    }
}

/// The message whose head line takes the first `line_len` bytes of `data`.
#[inline]
fn message<'a>(
    data: &'a [u8],
    line_len: usize,
    head: &Head,
) -> Result<Option<(Op<'a>, usize)>, ParseError> {
    let end = line_len + head.total_len;
    if data.len() < end + 2 {
        return Ok(None);
    }
    if &data[end..end + 2] != b"\r\n" {
        return Err(unexpected(&data[..line_len]));
    }
    let body = line_len + head.header_len;
    let msg = Msg {
        subject: &data[head.subject.0..head.subject.1],
        sid: head.sid,
        reply: head.reply.map(|(from, to)| &data[from..to]),
        headers: &data[line_len..body],
        payload: &data[body..end],
    };
    Ok(Some((Op::Msg(msg), end + 2)))
}

/// `subject sid [reply] [header bytes] total bytes`, from `from` on.
fn parse_head(line: &[u8], from: usize, with_headers: bool) -> Option<Head> {
    let mut fields = [(0, 0); 5];
    let mut count = 0;
    let mut at = from;
    while at < line.len() {
        if line[at] == b' ' || line[at] == b'\t' {
            at += 1;
            continue;
        }
        let end = memchr::memchr2(b' ', b'\t', &line[at..]).map_or(line.len(), |n| at + n);
        *fields.get_mut(count)? = (at, end);
        count += 1;
        at = end;
    }
    let sizes = if with_headers { 2 } else { 1 };
    let reply = match count.checked_sub(2 + sizes)? {
        0 => None,
        1 => Some(fields[2]),
        _ => return None,
    };
    let field = |index: usize| number(&line[fields[index].0..fields[index].1]);
    let total_len = usize::try_from(field(count - 1)?).ok()?;
    let header_len = if with_headers {
        usize::try_from(field(count - 2)?).ok()?
    } else {
        0
    };
    if total_len > MAX_MESSAGE || header_len > total_len {
        return None;
    }
    Some(Head {
        subject: fields[0],
        reply,
        sid: field(1)?,
        header_len,
        total_len,
    })
}

/// A decimal number of at most 19 digits.
pub fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 19 {
        return None;
    }
    digits.iter().try_fold(0u64, |sum, digit| {
        digit
            .is_ascii_digit()
            .then(|| sum * 10 + u64::from(digit - b'0'))
    })
}

fn unexpected(line: &[u8]) -> ParseError {
    const SHOWN: usize = 80;
    let shown = &line[..line.len().min(SHOWN)];
    ParseError {
        line: shown.escape_ascii().to_string(),
    }
}

/// Appends `SUB subject [queue] sid`.
pub fn subscribe(out: &mut Vec<u8>, subject: &str, queue: Option<&str>, sid: u64) {
    let line = match queue {
        Some(queue) => format!("SUB {subject} {queue} {sid}\r\n"),
        None => format!("SUB {subject} {sid}\r\n"),
    };
    out.extend_from_slice(line.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_all(data: &[u8]) -> Vec<String> {
        let mut parser = Parser::default();
        let (mut at, mut seen) = (0, Vec::new());
        while let Some((op, used)) = parser.next(&data[at..]).unwrap() {
            seen.push(format!("{op:?}"));
            at += used;
        }
        assert_eq!(at, data.len(), "everything is complete");
        seen
    }

    fn only(data: &[u8]) -> Op<'_> {
        Parser::default().next(data).unwrap().unwrap().0
    }

    #[test]
    fn reads_messages_with_and_without_reply_and_headers() {
        let Op::Msg(msg) = only(b"MSG a.b 7 5\r\nhello\r\n") else {
            panic!("not a message")
        };
        assert_eq!((msg.subject, msg.sid, msg.reply), (&b"a.b"[..], 7, None));
        assert_eq!(msg.payload, b"hello");

        let Op::Msg(msg) = only(b"MSG a 1 in.box 0\r\n\r\n") else {
            panic!("not a message")
        };
        assert_eq!((msg.reply, msg.payload), (Some(&b"in.box"[..]), &b""[..]));

        let Op::Msg(msg) = only(b"HMSG a 1 16 18\r\nNATS/1.0 503\r\n\r\nhi\r\n") else {
            panic!("not a message")
        };
        assert_eq!((msg.status(), msg.payload), (Some(503), &b"hi"[..]));
    }

    #[test]
    fn reads_the_other_operations() {
        assert_eq!(only(b"PING\r\n"), Op::Ping);
        assert_eq!(only(b"PONG\r\n"), Op::Pong);
        assert_eq!(only(b"+OK\r\n"), Op::Ok);
        assert_eq!(only(b"-ERR 'Slow Consumer'\r\n"), Op::Err(b"Slow Consumer"));
        assert_eq!(only(b"INFO {\"a\": 1} \r\n"), Op::Info(b"{\"a\": 1}"));
    }

    #[test]
    fn the_remembered_head_changes_nothing() {
        let stream =
            b"MSG a 1 2\r\nxx\r\nMSG a 1 2\r\nyy\r\nMSG a 1 3\r\nzzz\r\nPING\r\nMSG a 1 3\r\nqqq\r\n";
        let together = parse_all(stream);
        let fresh: Vec<String> = [
            &b"MSG a 1 2\r\nxx\r\n"[..],
            b"MSG a 1 2\r\nyy\r\n",
            b"MSG a 1 3\r\nzzz\r\n",
            b"PING\r\n",
            b"MSG a 1 3\r\nqqq\r\n",
        ]
        .iter()
        .flat_map(|part| parse_all(part))
        .collect();
        assert_eq!(together, fresh);
    }

    #[test]
    fn a_cut_anywhere_waits_for_more() {
        let whole = b"HMSG a.b 12 r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n";
        for cut in 0..whole.len() {
            assert_eq!(Parser::default().next(&whole[..cut]), Ok(None), "cut {cut}");
        }
        // Once more with the head remembered from an earlier message.
        let whole = b"MSG a 1 2\r\nhi\r\n";
        let mut parser = Parser::default();
        parser.next(whole).unwrap().unwrap();
        for cut in 0..whole.len() {
            assert_eq!(parser.next(&whole[..cut]), Ok(None), "cut {cut}");
        }
    }

    #[test]
    fn refuses_what_is_not_nats() {
        for bad in [
            &b"HTTP/1.1 400 Bad Request\r\n"[..],
            b"MSG a 1\r\n",
            b"MSG a 1 -5\r\n",
            b"MSG a x 5\r\n",
            b"MSG a 1 r 5 6\r\n",
            b"MSG a 1 99999999999\r\n",
            b"HMSG a 1 9 5\r\n",
            b"MSG a 1 2\r\nhi!!\r\n",
        ] {
            assert!(
                Parser::default().next(bad).is_err(),
                "{}",
                bad.escape_ascii()
            );
        }
        assert!(Parser::default().next(&vec![b'x'; MAX_LINE + 1]).is_err());
    }
}
