//! The parser against the real server's observed answers, against the model, and against itself
//! under every way of cutting the bytes.

use super::parser::KEPT_CARRY;
use super::parser_model::{Event, model};
use super::{ParseError, ParseLimits, Parser, Violation};
use proptest::prelude::*;

/// Feeds a script in pieces and checks the promises of [`Parser::next`] on the way.
fn feed<'a>(
    parser: &mut Parser,
    pieces: impl IntoIterator<Item = &'a [u8]>,
    limits: &ParseLimits,
) -> Vec<Event> {
    let mut events = Vec::new();
    for mut piece in pieces {
        loop {
            let (taken, result) = parser.next(piece, limits);
            match result {
                Ok(Some(command)) => events.push(command.into()),
                Ok(None) => {
                    assert_eq!(taken, piece.len(), "no command, but input left");
                    break;
                }
                Err(error) => {
                    events.push(Event::Error(error));
                    return events;
                }
            }
            piece = &piece[taken..];
        }
    }
    events
}

fn parse(script: &[u8], limits: &ParseLimits) -> Vec<Event> {
    feed(&mut Parser::new(), [script], limits)
}

fn with_headers() -> ParseLimits {
    ParseLimits {
        headers: true,
        ..ParseLimits::default()
    }
}

/// The only event of a script under the default limits.
fn only(script: &[u8]) -> Event {
    let events = parse(script, &with_headers());
    assert_eq!(events.len(), 1, "{events:?}");
    events[0].clone()
}

fn error_of(script: &[u8]) -> ParseError {
    match only(script) {
        Event::Error(error) => error,
        other => panic!("{:?} gave {other:?}", script.escape_ascii().to_string()),
    }
}

/// Answers of nats-server 2.15.1: `-ERR 'Unknown Protocol Operation'`.
#[test]
fn refuses_wrong_bytes_with_an_error() {
    for script in [
        "\r\n",
        "\n",
        " PING\r\n",
        "\tPING\r\n",
        "PIN\r\n",
        "X",
        "\0",
        "GET / HTTP/1.1\r\n",
        "A",
        "PA",
        "PUX",
        "SX",
        "HX",
        "+O\r\n",
        "+X",
        "-ERR\r\n",
        "-ERRx\r\n",
        "MSG a 1 2\r\nhi\r\n",
        "HMSG a 1 2 2\r\nhi\r\n",
        "RS+ a\r\n",
        "A+ a\r\n",
        "UNSUB\r\n",
        "SUB\r\n",
        "SUBfoo 1\r\n",
        "PUB\r\n",
        "PUBfoo 2\r\n",
        "HPUB\r\n",
        "HPUBa 2 2\r\n",
        "CO\r\n",
        "PUB foo 2\r\nhi\n",
        "PUB foo 2\r\nhixx",
        "PUB foo 2\r\nhix",
        "PUB foo 2\r\nhi\rx",
    ] {
        let error = error_of(script.as_bytes());
        assert_eq!(error, ParseError::UnknownOperation, "{script:?}");
        assert_eq!(error.text(), Some("Unknown Protocol Operation"));
    }
}

/// Answers of nats-server 2.15.1: closed without a word.
#[test]
fn refuses_wrong_arguments_in_silence() {
    use Violation::{ArgumentCount, HeaderBeyondMessage, HeaderSize, Size};
    for (script, expected) in [
        ("SUB \r\n", ArgumentCount),
        ("SUB foo\r\n", ArgumentCount),
        ("SUB a b c d\r\n", ArgumentCount),
        ("SUB foo\x0b1\r\n", ArgumentCount),
        ("UNSUB \r\n", ArgumentCount),
        ("UNSUB 1 2 3\r\n", ArgumentCount),
        ("PUB \r\n", ArgumentCount),
        ("PUB foo\r\n", ArgumentCount),
        ("PUB foo bar x 2\r\n", Size),
        ("PUB foo bar x 2 3\r\n", ArgumentCount),
        ("PUB foo -1\r\n", Size),
        ("PUB foo +2\r\n", Size),
        ("PUB foo abc\r\n", Size),
        ("PUB foo 0x2\r\n", Size),
        ("PUB foo 1000000000\r\n", Size),
        ("PUB foo 0000000002\r\n", Size),
        ("PUB foo 99999999999999999999\r\n", Size),
        ("PUB foo 2\r\r\n", Size),
        ("PUB foo \r2\r\n", Size),
        ("HPUB \r\n", ArgumentCount),
        ("HPUB foo 2\r\n", ArgumentCount),
        ("HPUB a b c d 2 2\r\n", ArgumentCount),
        ("HPUB a b c 2 2\r\n", ArgumentCount),
        ("HPUB foo 3 2\r\n", HeaderBeyondMessage),
        ("HPUB foo x 2\r\n", HeaderSize),
        ("HPUB foo -1 2\r\n", HeaderSize),
        ("HPUB foo 9999999 5\r\n", HeaderBeyondMessage),
        ("HPUB foo 2 x\r\n", Size),
    ] {
        let error = error_of(script.as_bytes());
        let ParseError::ProtocolViolation { cause, .. } = error else {
            panic!("{script:?} gave {error:?}");
        };
        assert_eq!(error.text(), None);
        // Which of several faults is named does not reach the wire.
        if script != "PUB foo bar x 2\r\n" && script != "HPUB a b c 2 2\r\n" {
            assert_eq!(cause, expected, "{script:?}");
        }
    }
    let events = parse(b"HPUB foo 0 0\r\n\r\n", &ParseLimits::default());
    assert!(matches!(
        events.as_slice(),
        [Event::Error(ParseError::ProtocolViolation {
            cause: Violation::HeadersNotSupported,
            ..
        })]
    ));
}

#[test]
fn tolerates_what_the_real_server_tolerates() {
    for script in [
        "PING\n",
        "ping\r\n",
        "PING junk\r\n",
        "PINGjunk\r\n",
        "PING\rX\n",
    ] {
        assert_eq!(only(script.as_bytes()), Event::Ping, "{script:?}");
    }
    assert_eq!(only(b"PONG x\r\n"), Event::Pong);
    assert_eq!(only(b"+OKjunk more\r\n"), Event::Ok);
    assert_eq!(only(b"-ERR 'x'\r\n"), Event::Err(b"'x'".to_vec()));
    assert_eq!(only(b"-ERR \r\n"), Event::Err(vec![]));
    assert_eq!(only(b"INFO{}\r\n"), Event::Info(b"{}".to_vec()));
    assert_eq!(only(b"connect\t {} \r\n"), Event::Connect(b"{} ".to_vec()));
    let subscribe = |subject: &str, queue: &str, sid: &str| Event::Subscribe {
        subject: subject.into(),
        queue: queue.into(),
        sid: sid.into(),
    };
    assert_eq!(only(b"sUb foo 1\n"), subscribe("foo", "", "1"));
    assert_eq!(only(b"SUB  foo\tq\t\t1  \r\n"), subscribe("foo", "q", "1"));
    assert_eq!(only(b"SUB foo 1 \r \r\n"), subscribe("foo", "", "1"));
    assert_eq!(only(b"SUB f\roo 1\r\n"), subscribe("f", "oo", "1"));
    for (script, max) in [
        ("UNSUB 1\r\n", None),
        ("unsub\t1 5\n", Some(5)),
        ("UNSUB 1 999999999\r\n", Some(999_999_999)),
        ("UNSUB 1 1000000000\r\n", Some(0)),
        ("UNSUB 1 abc\r\n", Some(0)),
        ("UNSUB 1 -1\r\n", Some(0)),
    ] {
        let sid = b"1".to_vec();
        assert_eq!(only(script.as_bytes()), Event::Unsubscribe { sid, max });
    }
}

#[test]
fn keeps_the_tail_of_canonical_lines_only() {
    let tail = |script: &str| match only(script.as_bytes()) {
        Event::Publish { tail, .. } => tail.map(|tail| String::from_utf8(tail).unwrap()),
        other => panic!("{other:?}"),
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(tail("PUB foo 2\r\nhi\r\n"), some(" 2\r\nhi\r\n"));
    assert_eq!(tail("pub \tfoo 0\r\n\r\n"), some(" 0\r\n\r\n"));
    assert_eq!(tail("PUB a r.1 2\r\nhi\r\n"), some(" r.1 2\r\nhi\r\n"));
    assert_eq!(tail("PUB a 12 2\r\nhi\r\n"), some(" 12 2\r\nhi\r\n"));
    assert_eq!(tail("HPUB a 1 2\r\nhi\r\n"), some(" 1 2\r\nhi\r\n"));
    assert_eq!(tail("HPUB a r 1 2\r\nhi\r\n"), some(" r 1 2\r\nhi\r\n"));
    // Leading zeros are echoed, so they are canonical.
    assert_eq!(tail("PUB foo 02\r\nhi\r\n"), some(" 02\r\nhi\r\n"));
    assert_eq!(tail("PUB a r 00\r\n\r\n"), some(" r 00\r\n\r\n"));
    assert_eq!(tail("HPUB a 01 2\r\nhi\r\n"), some(" 01 2\r\nhi\r\n"));
    assert_eq!(tail("HPUB a 5 1 2\r\nhi\r\n"), some(" 5 1 2\r\nhi\r\n"));
    assert_eq!(tail("HPUB a 1x 1 2\r\nhi\r\n"), some(" 1x 1 2\r\nhi\r\n"));
    assert_eq!(tail("HPUB a 1 02\r\nhi\r\n"), some(" 1 02\r\nhi\r\n"));
    for script in [
        "PUB foo 2\nhi\r\n",
        "PUB foo  2\r\nhi\r\n",
        "PUB foo\t2\r\nhi\r\n",
        "PUB foo 2 \r\nhi\r\n",
        "HPUB a 0 2\r\nhi\r\n",
        "HPUB a 00 2\r\nhi\r\n",
    ] {
        assert_eq!(tail(script), None, "{script:?}");
    }
}

#[test]
fn counts_the_control_line_without_verb_blanks_and_line_end() {
    let limits = ParseLimits::default();
    let too_long = vec![Event::Error(ParseError::MaxControlLine { limit: 4096 })];
    let line = |subject: usize, end: &str| format!("SUB {} 1{end}", "a".repeat(subject));
    assert_eq!(parse(line(4094, "\r\n").as_bytes(), &limits).len(), 1);
    assert_eq!(parse(line(4095, "\r\n").as_bytes(), &limits), too_long);
    assert_eq!(parse(line(4094, "\r").as_bytes(), &limits), vec![]);
    assert_eq!(parse(line(4095, "").as_bytes(), &limits), too_long);
    let blanks = format!("SUB {}a 1\r\n", " ".repeat(5000));
    assert_eq!(parse(blanks.as_bytes(), &limits).len(), 1);
    let trailing = format!("SUB a 1{}\r\n", " ".repeat(4094));
    assert_eq!(parse(trailing.as_bytes(), &limits), too_long);
    let junk = format!("PING {}\r\n", "x".repeat(10_000));
    assert_eq!(parse(junk.as_bytes(), &limits), vec![Event::Ping]);
}

#[test]
fn refuses_a_payload_before_it_arrives() {
    let limits = ParseLimits::default();
    let error = |size| {
        vec![Event::Error(ParseError::MaxPayload {
            size,
            limit: 1 << 20,
        })]
    };
    assert_eq!(parse(b"PUB foo 1048577\r\n", &limits), error(1_048_577));
    assert_eq!(parse(b"PUB foo 999999999\r\n", &limits), error(999_999_999));
    assert_eq!(parse(b"PUB foo 1048576\r\n", &limits), vec![]);
    assert_eq!(
        parse(b"HPUB a 5 9999999\r\n", &with_headers()),
        error(9_999_999)
    );
    let unlimited = ParseLimits {
        max_payload: -1,
        ..limits
    };
    assert_eq!(parse(b"PUB foo 999999999\r\n", &unlimited), vec![]);
}

#[test]
fn announced_sizes_blanks_and_junk_take_little_memory() {
    let limits = ParseLimits {
        max_payload: -1,
        ..ParseLimits::default()
    };
    let mut parser = Parser::new();
    feed(&mut parser, [&b"PUB foo 999999999\r\nx"[..]], &limits);
    assert_eq!(parser.carried(), 20);
    assert!(parser.memory() <= 8 * 1024, "{}", parser.memory());
    for start in ["PING ", "SUB ", "CONNECT "] {
        let mut parser = Parser::new();
        let filler = if start == "PING " { "x" } else { " " }.repeat(100_000);
        let pieces = [start.as_bytes(), filler.as_bytes(), filler.as_bytes()];
        assert_eq!(feed(&mut parser, pieces, &limits), vec![]);
        assert!(parser.carried() <= limits.max_control_line, "{start}");
    }
}

#[test]
fn keeps_a_bounded_carry_between_messages_and_gives_it_back() {
    let limits = ParseLimits::default();
    let mut parser = Parser::new();
    let mut message = b"PUB foo 500000\r\n".to_vec();
    message.resize(message.len() + 500_000, b'x');
    message.extend(b"\r\nPING\r\n");
    let events = feed(&mut parser, message.chunks(60_000), &limits);
    assert_eq!(events.len(), 2);
    assert_eq!(parser.carried(), 0);
    assert!(parser.memory() <= KEPT_CARRY);
    parser.trim();
    assert_eq!(parser.memory(), 0);
}

/// Scripts of valid, nearly valid and broken pieces, with limits small enough to be met.
fn scripts() -> impl Strategy<Value = Vec<u8>> {
    let subject = "[a-c.*>\r\u{1}é]{1,9}";
    let blank = "[ ]|[ \t]{1,3}";
    let end = prop_oneof![6 => Just("\r\n"), 1 => Just("\n"), 1 => Just("\r\r\n")];
    let payload = prop::collection::vec(any::<u8>(), 0..45);
    let message = (
        "PUB|pub|HPUB|hPuB",
        subject,
        prop::option::of("[a-c0-9.]{1,5}"),
        (blank, 0usize..20, "0{0,2}"),
        payload,
        end.clone(),
    )
        .prop_map(
            |(verb, subject, reply, (blank, header, zeros), payload, end)| {
                let mut script = format!("{verb} {subject}{blank}");
                if let Some(reply) = reply {
                    script += &format!("{reply}{blank}");
                }
                if verb.len() == 4 {
                    script += &format!("{zeros}{}{blank}", header.min(payload.len() + 1));
                }
                script += &format!("{zeros}{}{end}", payload.len());
                [script.as_bytes(), &payload, b"\r\n"].concat()
            },
        );
    let line = (
        "SUB|sub|UNSUB|PING|PONG|\\+OK|-ERR|INFO|CONNECT|connect|MSG",
        "[ \t]{0,3}",
        "([a-c0-9]{1,6}[ \t\r]{0,2}){0,5}",
        end,
    )
        .prop_map(|(verb, blank, rest, end)| format!("{verb}{blank}{rest}{end}").into_bytes());
    let noise = prop::collection::vec(any::<u8>(), 1..6);
    let piece = prop_oneof![8 => message, 6 => line, 1 => noise];
    (
        prop::collection::vec(piece, 0..8),
        any::<prop::sample::Index>(),
        any::<bool>(),
    )
        .prop_map(|(pieces, cut, whole)| {
            let mut script = pieces.concat();
            if !whole && !script.is_empty() {
                script.truncate(cut.index(script.len()));
            }
            script
        })
}

fn limits() -> impl Strategy<Value = ParseLimits> {
    let small = (8usize..40, -1i64..50, prop::bool::weighted(0.8));
    prop_oneof![
        3 => Just(with_headers()),
        1 => small.prop_map(|(max_control_line, max_payload, headers)| ParseLimits {
            max_control_line,
            max_payload,
            headers,
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn agrees_with_the_model_however_the_bytes_are_cut(
        script in scripts(),
        limits in limits(),
        sizes in prop::collection::vec(1usize..40, 1..20),
    ) {
        let expected = model(&script, &limits);
        prop_assert_eq!(&parse(&script, &limits), &expected, "in one piece");
        let bytes = feed(&mut Parser::new(), script.chunks(1), &limits);
        prop_assert_eq!(&bytes, &expected, "byte by byte");
        let mut rest = script.as_slice();
        let mut pieces = Vec::new();
        for size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, behind) = rest.split_at(rest.len().min(*size));
            pieces.push(piece);
            rest = behind;
        }
        let cut = feed(&mut Parser::new(), pieces, &limits);
        prop_assert_eq!(&cut, &expected, "cut at random");
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(script in prop::collection::vec(any::<u8>(), 0..200)) {
        let limits = ParseLimits::default();
        prop_assert_eq!(parse(&script, &limits), model(&script, &limits));
    }
}
