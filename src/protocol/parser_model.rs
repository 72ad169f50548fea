//! A second parser for tests: slow, over a whole script at once, written for being obviously
//! right, and sharing nothing with the real one but its types.

use super::{Command, ParseError, ParseLimits, Publish, SizeWidths, Verb, Violation};

/// A command that owns its bytes, and how the script ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Connect(Vec<u8>),
    Publish {
        subject: Vec<u8>,
        reply: Vec<u8>,
        header_len: Option<usize>,
        body: Vec<u8>,
        widths: SizeWidths,
        tail: Option<Vec<u8>>,
    },
    Subscribe {
        subject: Vec<u8>,
        queue: Vec<u8>,
        sid: Vec<u8>,
    },
    Unsubscribe {
        sid: Vec<u8>,
        max: Option<u64>,
    },
    Ping,
    Pong,
    Ok,
    Err(Vec<u8>),
    Info(Vec<u8>),
    Error(ParseError),
}

impl From<Command<'_>> for Event {
    fn from(command: Command<'_>) -> Self {
        match command {
            Command::Connect(text) => Event::Connect(text.to_vec()),
            Command::Publish(Publish {
                subject,
                reply,
                header_len,
                body,
                widths,
                tail,
            }) => Event::Publish {
                subject: subject.to_vec(),
                reply: reply.to_vec(),
                header_len,
                body: body.to_vec(),
                widths,
                tail: tail.map(<[u8]>::to_vec),
            },
            Command::Subscribe {
                subject,
                queue,
                sid,
            } => Event::Subscribe {
                subject: subject.to_vec(),
                queue: queue.to_vec(),
                sid: sid.to_vec(),
            },
            Command::Unsubscribe { sid, max } => Event::Unsubscribe {
                sid: sid.to_vec(),
                max,
            },
            Command::Ping => Event::Ping,
            Command::Pong => Event::Pong,
            Command::Ok => Event::Ok,
            Command::Err(text) => Event::Err(text.to_vec()),
            Command::Info(text) => Event::Info(text.to_vec()),
        }
    }
}

const VERBS: [Verb; 10] = [
    Verb::Connect,
    Verb::Pub,
    Verb::Hpub,
    Verb::Sub,
    Verb::Unsub,
    Verb::Ping,
    Verb::Pong,
    Verb::Ok,
    Verb::Err,
    Verb::Info,
];

/// Everything that a script says, up to its end or its first error.
pub fn model(mut script: &[u8], limits: &ParseLimits) -> Vec<Event> {
    let mut events = Vec::new();
    while !script.is_empty() {
        match first(script, limits) {
            Ok(Some((event, rest))) => {
                events.push(event);
                script = rest;
            }
            Ok(None) => break,
            Err(error) => {
                events.push(Event::Error(error));
                break;
            }
        }
    }
    events
}

type First<'a> = Result<Option<(Event, &'a [u8])>, ParseError>;

fn first<'a>(script: &'a [u8], limits: &ParseLimits) -> First<'a> {
    let upper = script.to_ascii_uppercase();
    let whole = VERBS
        .into_iter()
        .find(|verb| upper.starts_with(verb.name().as_bytes()));
    let Some(verb) = whole else {
        let possible = VERBS
            .iter()
            .any(|verb| verb.name().as_bytes().starts_with(&upper));
        return if possible {
            Ok(None)
        } else {
            Err(ParseError::UnknownOperation)
        };
    };
    let behind = &script[verb.name().len()..];
    if matches!(verb, Verb::Ping | Verb::Pong | Verb::Ok) {
        let Some(line_feed) = behind.iter().position(|&b| b == b'\n') else {
            return Ok(None);
        };
        let event = match verb {
            Verb::Ping => Event::Ping,
            Verb::Pong => Event::Pong,
            _ => Event::Ok,
        };
        return Ok(Some((event, &behind[line_feed + 1..])));
    }
    let separate = !matches!(verb, Verb::Connect | Verb::Info);
    if separate && behind.first().is_some_and(|b| !b" \t".contains(b)) {
        return Err(ParseError::UnknownOperation);
    }
    let blanks = behind.iter().take_while(|b| b" \t".contains(b)).count();
    let behind = &behind[blanks..];
    let line_feed = behind.iter().position(|&b| b == b'\n');
    let line = &behind[..line_feed.unwrap_or(behind.len())];
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.len() > limits.max_control_line {
        return Err(ParseError::MaxControlLine {
            limit: limits.max_control_line,
        });
    }
    let Some(line_feed) = line_feed else {
        return Ok(None);
    };
    let (line_end, rest) = (&behind[line.len()..=line_feed], &behind[line_feed + 1..]);
    match verb {
        Verb::Connect => Ok(Some((Event::Connect(line.to_vec()), rest))),
        Verb::Info => Ok(Some((Event::Info(line.to_vec()), rest))),
        Verb::Err => Ok(Some((Event::Err(line.to_vec()), rest))),
        Verb::Sub => Ok(Some((subscribe(line)?, rest))),
        Verb::Unsub => Ok(Some((unsubscribe(line)?, rest))),
        _ => publish(verb, line, line_end, rest, limits),
    }
}

fn words(line: &[u8], separators: &[u8]) -> Vec<Vec<u8>> {
    line.split(|b| separators.contains(b))
        .filter(|word| !word.is_empty())
        .map(<[u8]>::to_vec)
        .collect()
}

fn number(word: &[u8]) -> Option<u64> {
    let plain = word.len() <= 9 && word.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(word).ok()?;
    plain.then(|| text.parse().ok())?
}

fn violation<T>(verb: Verb, cause: Violation) -> Result<T, ParseError> {
    Err(ParseError::ProtocolViolation { verb, cause })
}

fn subscribe(line: &[u8]) -> Result<Event, ParseError> {
    let (subject, queue, sid) = match words(line, b" \t\r").as_slice() {
        [subject, sid] => (subject.clone(), vec![], sid.clone()),
        [subject, queue, sid] => (subject.clone(), queue.clone(), sid.clone()),
        _ => return violation(Verb::Sub, Violation::ArgumentCount),
    };
    Ok(Event::Subscribe {
        subject,
        queue,
        sid,
    })
}

fn unsubscribe(line: &[u8]) -> Result<Event, ParseError> {
    let (sid, max) = match words(line, b" \t\r").as_slice() {
        [sid] => (sid.clone(), None),
        [sid, max] => (sid.clone(), Some(number(max).unwrap_or(0))),
        _ => return violation(Verb::Unsub, Violation::ArgumentCount),
    };
    Ok(Event::Unsubscribe { sid, max })
}

fn publish<'a>(
    verb: Verb,
    line: &[u8],
    line_end: &[u8],
    rest: &'a [u8],
    limits: &ParseLimits,
) -> First<'a> {
    let with_headers = verb == Verb::Hpub;
    if with_headers && !limits.headers {
        return violation(verb, Violation::HeadersNotSupported);
    }
    let words = words(line, b" \t");
    let (subject, reply, header, size_word) = match (with_headers, words.as_slice()) {
        (false, [subject, size]) => (subject, None, None, size),
        (false, [subject, reply, size]) => (subject, Some(reply), None, size),
        (true, [subject, header, size]) => (subject, None, Some(header), size),
        (true, [subject, reply, header, size]) => (subject, Some(reply), Some(header), size),
        _ => return violation(verb, Violation::ArgumentCount),
    };
    let header_len = match header.map(|word| number(word)) {
        None => None,
        Some(Some(length)) => Some(length as usize),
        Some(None) => return violation(verb, Violation::HeaderSize),
    };
    let Some(size) = number(size_word) else {
        return violation(verb, Violation::Size);
    };
    if header_len.is_some_and(|length| length > size as usize) {
        return violation(verb, Violation::HeaderBeyondMessage);
    }
    if limits.max_payload != -1 && size as i64 > limits.max_payload {
        return Err(ParseError::MaxPayload {
            size: size as u32,
            limit: limits.max_payload,
        });
    }
    let size = size as usize;
    let Some(end) = rest.get(size..) else {
        return Ok(None);
    };
    if !b"\r\n".starts_with(&end[..end.len().min(2)]) {
        return Err(ParseError::UnknownOperation);
    }
    if end.len() < 2 {
        return Ok(None);
    }
    // What a delivery would render by itself: canonical means that it is what was received.
    let mut rendered = Vec::new();
    for word in reply.into_iter().chain(header).chain([size_word]) {
        rendered.push(b' ');
        rendered.extend(word);
    }
    let canonical = line[subject.len()..] == rendered && line_end == b"\r\n";
    rendered.extend(b"\r\n");
    rendered.extend(&rest[..size + 2]);
    Ok(Some((
        Event::Publish {
            subject: subject.clone(),
            reply: reply.cloned().unwrap_or_default(),
            header_len,
            body: rest[..size].to_vec(),
            widths: SizeWidths {
                header: header.map_or(0, |word| word.len() as u8),
                total: size_word.len() as u8,
            },
            tail: (canonical && header_len != Some(0)).then_some(rendered),
        },
        &rest[size + 2..],
    )))
}
