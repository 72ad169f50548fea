//! Acknowledgements: their subject and their verbs.
//!
//! `$JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<ns>.<pending>`, or
//! `$JS.ACK.<domain or _>.<account hash>.<stream>. ...` and at most one token more.

use super::text::{parse_u64, push_u64};

/// What all subjects of acknowledgements start with.
pub const PREFIX: &[u8] = b"$JS.ACK.";

/// The subject of an acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckSubject<'a> {
    pub stream: &'a [u8],
    pub consumer: &'a [u8],
    pub delivered: u64,
    pub stream_sequence: u64,
    pub consumer_sequence: u64,
}

impl<'a> AckSubject<'a> {
    /// Takes a subject apart; `None` if it is none that was given out.
    #[inline]
    pub fn parse(subject: &'a [u8]) -> Option<Self> {
        let rest = subject.strip_prefix(PREFIX)?;
        let (first, rest) = token(rest)?;
        let (second, rest) = token(rest)?;
        Self::numbers(first, second, rest, false).or_else(|| {
            let (stream, rest) = token(rest)?;
            let (consumer, rest) = token(rest)?;
            Self::numbers(stream, consumer, rest, true)
        })
    }

    #[inline]
    fn numbers(
        stream: &'a [u8],
        consumer: &'a [u8],
        rest: &'a [u8],
        may_go_on: bool,
    ) -> Option<Self> {
        let (delivered, rest) = number(rest)?;
        let (stream_sequence, rest) = number(rest)?;
        let (consumer_sequence, rest) = number(rest)?;
        let (_time, rest) = token(rest)?;
        match memchr::memchr(b'.', rest) {
            None => {}
            Some(_) if may_go_on => {}
            Some(_) => return None,
        }
        Some(Self {
            stream,
            consumer,
            delivered,
            stream_sequence,
            consumer_sequence,
        })
    }
}

/// The token up to the next separator, and what follows.
#[inline]
fn token(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|&b| b == b'.')?;
    Some((&text[..end], &text[end + 1..]))
}

#[inline]
fn number(text: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0u64;
    for (at, &byte) in text.iter().enumerate() {
        if byte == b'.' {
            return (at > 0).then_some((number, &text[at + 1..]));
        }
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    None
}

/// Renders the subjects of one consumer's acknowledgements into one buffer.
#[derive(Debug)]
pub struct AckSubjects {
    text: Vec<u8>,
    prefix: usize,
}

impl AckSubjects {
    pub fn new(stream: &[u8], consumer: &[u8]) -> Self {
        let mut text = PREFIX.to_vec();
        text.extend_from_slice(stream);
        text.push(b'.');
        text.extend_from_slice(consumer);
        text.push(b'.');
        let prefix = text.len();
        Self { text, prefix }
    }

    /// The subject for one delivery. `unix_ns` is the time at which the message was stored.
    #[inline]
    pub fn render(
        &mut self,
        delivered: u64,
        stream_sequence: u64,
        consumer_sequence: u64,
        unix_ns: i64,
        pending: u64,
    ) -> &[u8] {
        self.text.truncate(self.prefix);
        for number in [delivered, stream_sequence, consumer_sequence] {
            push_u64(&mut self.text, number);
            self.text.push(b'.');
        }
        if unix_ns < 0 {
            self.text.push(b'-');
        }
        push_u64(&mut self.text, unix_ns.unsigned_abs());
        self.text.push(b'.');
        push_u64(&mut self.text, pending);
        &self.text
    }
}

/// What an acknowledgement says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb<'a> {
    Ack,
    /// Deliver again, after so many nanoseconds if given.
    Nak {
        delay: Option<i64>,
    },
    /// Work is in progress: the time starts anew.
    Progress,
    /// Do not deliver again.
    Term {
        reason: &'a [u8],
    },
    /// Acknowledged, and here is a pull request; its body.
    Next {
        body: &'a [u8],
    },
    /// Something else, which changes nothing.
    Unknown,
}

impl<'a> Verb<'a> {
    /// Reads the payload of an acknowledgement.
    #[inline]
    pub fn parse(payload: &'a [u8]) -> Self {
        match payload {
            b"" | b"+ACK" | b"+OK" => Self::Ack,
            b"+WPI" => Self::Progress,
            [b'+', b'N', b'X', b'T', body @ ..] => Self::Next { body },
            [b'-', b'N', b'A', b'K', rest @ ..] => Self::Nak { delay: delay(rest) },
            [b'+', b'T', b'E', b'R', b'M', rest @ ..] => Self::Term {
                reason: rest.trim_ascii(),
            },
            _ => Self::Unknown,
        }
    }
}

/// The delay of a NAK: `{"delay":ns}` or a duration.
fn delay(rest: &[u8]) -> Option<i64> {
    let rest = rest.trim_ascii();
    if rest.is_empty() {
        return None;
    }
    if rest[0] == b'{' {
        #[derive(serde::Deserialize)]
        struct Options {
            #[serde(default)]
            delay: i64,
        }
        let options: Options = serde_json::from_slice(rest).ok()?;
        return Some(options.delay);
    }
    super::text::parse_duration(std::str::from_utf8(rest).ok()?)
}

/// A plain number, as the body of `+NXT` and of pull requests.
pub fn plain_number(text: &[u8]) -> Option<u64> {
    parse_u64(text.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn subjects_come_in_two_versions() {
        let expected = AckSubject {
            stream: b"S",
            consumer: b"C",
            delivered: 2,
            stream_sequence: 30,
            consumer_sequence: 4,
        };
        for subject in [
            "$JS.ACK.S.C.2.30.4.1795632963075220941.9",
            "$JS.ACK._.hash.S.C.2.30.4.1795632963075220941.9",
            "$JS.ACK.hub.hash.S.C.2.30.4.1795632963075220941.9.rnd",
        ] {
            assert_eq!(
                AckSubject::parse(subject.as_bytes()),
                Some(expected),
                "{subject}"
            );
        }
        for bad in [
            "$JS.ACK.S.C.2.30.4.1",
            "$JS.ACK.S.C.2.30.4.1.9.8",
            "$JS.ACK.S.C.x.30.4.1.9",
            "$JS.ACK.S.C.2.30.99999999999999999999999.1.9",
            "$JS.ACK.S.C",
            "$JS.FC.S.C.2.30.4.1.9",
            "",
        ] {
            assert_eq!(AckSubject::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn verbs_have_many_spellings() {
        for (payload, verb) in [
            ("", Verb::Ack),
            ("+ACK", Verb::Ack),
            ("+OK", Verb::Ack),
            ("+WPI", Verb::Progress),
            ("-NAK", Verb::Nak { delay: None }),
            ("-NAK {\"delay\": 5}", Verb::Nak { delay: Some(5) }),
            (
                "-NAK 10s",
                Verb::Nak {
                    delay: Some(10_000_000_000),
                },
            ),
            ("-NAK what", Verb::Nak { delay: None }),
            ("-NAK {\"delay\"", Verb::Nak { delay: None }),
            ("+TERM", Verb::Term { reason: b"" }),
            (
                "+TERM  it is over",
                Verb::Term {
                    reason: b"it is over",
                },
            ),
            ("+NXT", Verb::Next { body: b"" }),
            ("+NXT 5", Verb::Next { body: b" 5" }),
            ("+ack", Verb::Unknown),
            ("hello", Verb::Unknown),
        ] {
            assert_eq!(Verb::parse(payload.as_bytes()), verb, "{payload}");
        }
    }

    proptest! {
        #[test]
        fn what_is_rendered_is_parsed(
            delivered in any::<u64>(),
            stream_sequence in any::<u64>(),
            consumer_sequence in any::<u64>(),
            unix_ns in any::<i64>(),
            pending in any::<u64>(),
        ) {
            let mut subjects = AckSubjects::new(b"ORDERS", b"worker-1");
            subjects.render(1, 1, 1, 1, 1);
            let subject =
                subjects.render(delivered, stream_sequence, consumer_sequence, unix_ns, pending);
            let text = format!(
                "$JS.ACK.ORDERS.worker-1.{delivered}.{stream_sequence}.{consumer_sequence}.{unix_ns}.{pending}"
            );
            prop_assert_eq!(std::str::from_utf8(subject).unwrap(), &text);
            prop_assert_eq!(AckSubject::parse(subject), Some(AckSubject {
                stream: b"ORDERS",
                consumer: b"worker-1",
                delivered,
                stream_sequence,
                consumer_sequence,
            }));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = AckSubject::parse(&bytes);
            let _ = Verb::parse(&bytes);
        }
    }
}
