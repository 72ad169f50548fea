use proptest::prelude::*;

use super::model::{self, Frame, Said};
use super::*;

const MASK: [u8; 4] = [1, 0xfe, 3, 0x80];

fn frame(opcode: u8, payload: &[u8]) -> Frame {
    Frame {
        fin: true,
        compressed: false,
        opcode,
        payload: payload.to_vec(),
    }
}

/// Feeds bytes in pieces of these sizes, over and over.
fn decode(
    decoder: &mut Decoder,
    bytes: &[u8],
    sizes: &[usize],
    max: Option<usize>,
) -> (Vec<Said>, Option<FrameError>) {
    let mut said = Vec::new();
    let mut bytes = bytes.to_vec();
    let mut rest = &mut bytes[..];
    for &size in sizes.iter().cycle() {
        if rest.is_empty() {
            return (said, None);
        }
        let count = size.clamp(1, rest.len());
        let (input, after) = rest.split_at_mut(count);
        rest = after;
        let result = decoder.decode(input, max, |piece| match piece {
            Piece::Data(data) => model::push_data(&mut said, data),
            Piece::Ping(payload) => said.push(Said::Ping(payload.to_vec())),
            Piece::Pong => said.push(Said::Pong),
            Piece::Close(payload) => said.push(Said::Close(payload.to_vec())),
        });
        if let Err(error) = result {
            return (said, Some(error));
        }
    }
    (said, None)
}

fn refusal(bytes: &[u8]) -> Option<FrameError> {
    let whole = decode(&mut Decoder::new(true, false), bytes, &[bytes.len()], None);
    let single = decode(&mut Decoder::new(true, false), bytes, &[1], None);
    assert_eq!(whole.1, single.1);
    whole.1
}

fn masked(frame: &Frame) -> Vec<u8> {
    model::write(frame, Some(MASK))
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let encoder = Encoder {
        deflate: true,
        ..Encoder::default()
    };
    encoder.data(&mut Deflater::default(), std::iter::once(bytes), &mut out);
    model::frames(&out)[0].payload.clone()
}

#[test]
fn frames_that_break_the_protocol_are_refused_with_nats_servers_words() {
    let with = |change: &dyn Fn(&mut Frame)| {
        let mut frame = frame(2, b"PING\r\n");
        change(&mut frame);
        masked(&frame)
    };
    let mut begun = with(&|f| f.fin = false);
    begun.extend(with(&|_| ()));
    let mut reserved = with(&|_| ());
    reserved[0] |= 0x20;
    let cases = [
        (reserved, "RSV2 and RSV3 must be clear", 1002),
        (with(&|f| f.opcode = 3), "unknown opcode 3", 1002),
        (with(&|f| f.opcode = 11), "unknown opcode 11", 1002),
        (
            model::write(&frame(2, b"PING"), None),
            "mask bit missing",
            1002,
        ),
        (
            with(&|f| *f = frame(9, &[b'a'; 126])),
            "control frame length bigger than maximum allowed of 125 bytes",
            1002,
        ),
        (
            with(&|f| (f.opcode, f.fin) = (9, false)),
            "control frame does not have final bit set",
            1002,
        ),
        (
            with(&|f| (f.opcode, f.compressed) = (9, true)),
            "control frame must not be compressed",
            1002,
        ),
        (with(&|f| f.opcode = 0), "invalid continuation frame", 1002),
        (
            begun,
            "new message started before final frame for previous message was received",
            1002,
        ),
        (
            with(&|f| f.compressed = true),
            "compressed frame received without negotiated permessage-deflate",
            1002,
        ),
        (
            [&[0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0][..], &MASK].concat(),
            "invalid 64-bit payload length",
            1002,
        ),
        (
            with(&|f| *f = frame(8, b"a")),
            "close frame payload cannot be 1 byte",
            1002,
        ),
        (
            with(&|f| *f = frame(8, &1005u16.to_be_bytes())),
            "invalid close status code 1005",
            1002,
        ),
        (
            with(&|f| *f = frame(8, &[3, 0xe8, 0xff])),
            "invalid utf8 body in close frame",
            1007,
        ),
    ];
    for (bytes, text, code) in cases {
        let error = refusal(&bytes).expect(text);
        assert_eq!(
            (error.to_string().as_str(), error.close_code()),
            (text, code)
        );
    }
}

#[test]
fn a_length_that_lies_takes_no_memory_and_no_time() {
    let mut bytes = vec![0x82, 0xff];
    bytes.extend((i64::MAX as u64).to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(b"PING\r\n");
    let mut decoder = Decoder::new(true, false);
    let (said, error) = decode(&mut decoder, &bytes, &[3], None);
    assert_eq!(said, [Said::Data(b"PING\r\n".to_vec())]);
    assert_eq!(error, None);
}

#[test]
fn a_message_may_not_inflate_to_more_than_the_limit() {
    let frame = |bytes: &[u8]| Frame {
        compressed: true,
        ..frame(2, &deflate(bytes))
    };
    let bomb = masked(&frame(&vec![0; 10_000_000]));
    assert!(bomb.len() < 50_000);
    let (said, error) = decode(&mut Decoder::new(true, true), &bomb, &[100], Some(70_000));
    assert_eq!(error, Some(FrameError::MessageTooLong));
    let Some(Said::Data(data)) = said.first() else {
        panic!("nothing came before the limit");
    };
    assert!(data.len() <= 70_000);
    let fits = masked(&frame(&[0; 70_000]));
    let (said, error) = decode(&mut Decoder::new(true, true), &fits, &[100], Some(70_000));
    assert_eq!((said.len(), error), (1, None));
}

#[test]
fn what_is_not_deflated_data_is_refused() {
    let whole = deflate(&b"PING\r\n".repeat(20));
    let (cut, garbage) = (&whole[..whole.len() / 2], &[0xff; 4][..]);
    for payload in [cut, garbage] {
        let bytes = masked(&Frame {
            compressed: true,
            ..frame(2, payload)
        });
        let (_, error) = decode(&mut Decoder::new(true, true), &bytes, &[1], None);
        assert_eq!(error, Some(FrameError::CorruptDeflate));
    }
    let empty = masked(&Frame {
        compressed: true,
        ..frame(2, b"")
    });
    let result = decode(&mut Decoder::new(true, true), &empty, &[1], None);
    assert_eq!(result, (Vec::new(), None));
}

#[test]
fn a_deflated_message_that_ends_itself_is_whole() {
    use std::io::Write as _;
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(b"PING\r\n").expect("memory");
    let mut payload = encoder.finish().expect("memory");
    payload.extend(b"ignored");
    let bytes = masked(&Frame {
        compressed: true,
        ..frame(2, &payload)
    });
    let result = decode(&mut Decoder::new(true, true), &bytes, &[2], None);
    assert_eq!(result, (vec![Said::Data(b"PING\r\n".to_vec())], None));
}

/// Frames of valid messages, fragmented, with control frames between.
fn messages() -> impl Strategy<Value = Vec<Frame>> {
    let payload = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        prop::collection::vec(Just(b'x'), 0..70_000),
    ];
    let control = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..125).prop_map(|payload| frame(9, &payload)),
        Just(frame(10, b"p")),
    ];
    let message = (
        payload,
        any::<bool>(),
        prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        prop::option::of(control),
    )
        .prop_map(|(payload, compressed, cuts, control)| {
            let bytes = if compressed && payload.len() >= DEFLATE_BYTES_MIN {
                deflate(&payload)
            } else {
                payload.clone()
            };
            let compressed = compressed && payload.len() >= DEFLATE_BYTES_MIN;
            let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            ends.push(bytes.len());
            ends.sort_unstable();
            let (mut frames, mut from) = (Vec::new(), 0);
            for (number, &end) in ends.iter().enumerate() {
                frames.push(Frame {
                    fin: number + 1 == ends.len(),
                    compressed: compressed && number == 0,
                    opcode: if number == 0 { 2 } else { 0 },
                    payload: bytes[from..end].to_vec(),
                });
                from = end;
                frames.extend(control.clone());
            }
            frames
        });
    prop::collection::vec(message, 0..6).prop_map(|messages| messages.concat())
}

/// Data, and control frames: the decoder gives what it has of a compressed message before its end, the
/// model does not.
fn apart(said: Vec<Said>) -> (Vec<u8>, Vec<Said>) {
    let (mut data, mut control) = (Vec::new(), Vec::new());
    for one in said {
        match one {
            Said::Data(bytes) => data.extend(bytes),
            other => control.push(other),
        }
    }
    (data, control)
}

proptest! {
    #[test]
    fn decoding_is_what_the_model_says(
        frames in messages(),
        mask in any::<[u8; 4]>(),
        sizes in prop::collection::vec(1usize..5000, 1..8),
        close in any::<bool>(),
    ) {
        let mut frames = frames;
        if close {
            frames.push(frame(8, b"\x03\xe8bye"));
            frames.push(frame(2, b"not read"));
        }
        let bytes: Vec<u8> = frames.iter().flat_map(|f| model::write(f, Some(mask))).collect();
        let mut decoder = Decoder::new(true, true);
        let (said, error) = decode(&mut decoder, &bytes, &sizes, None);
        prop_assert_eq!(error, None);
        prop_assert_eq!(apart(said), apart(model::said(&model::frames(&bytes))));
        prop_assert_eq!(decoder.is_closed(), close);
    }

    #[test]
    fn any_bytes_are_decoded_alike_however_they_are_cut(
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(0x82), Just(0x80), Just(0xc2)], 0..400),
        sizes in prop::collection::vec(1usize..50, 1..8),
        deflate in any::<bool>(),
    ) {
        let whole = decode(&mut Decoder::new(true, deflate), &bytes, &[bytes.len().max(1)], Some(5000));
        let cut = decode(&mut Decoder::new(true, deflate), &bytes, &sizes, Some(5000));
        prop_assert_eq!(whole.1, cut.1);
        // Of a damaged stream more or less may have been given before that was noticed.
        if whole.1 != Some(FrameError::CorruptDeflate) {
            prop_assert_eq!(apart(whole.0), apart(cut.0));
        }
    }

    #[test]
    fn encoding_is_what_the_model_reads(
        parts in prop::collection::vec(prop::collection::vec(prop_oneof![any::<u8>(), Just(b'a')], 0..6000), 0..5),
        deflate in any::<bool>(),
        browser in any::<bool>(),
        whole_deflated in any::<bool>(),
    ) {
        let encoder = Encoder { deflate, browser, whole_deflated };
        let (mut deflater, mut bytes) = (Deflater::default(), Vec::new());
        // Twice: the second message must not refer to the first.
        for _ in 0..2 {
            encoder.data(&mut deflater, parts.iter().map(Vec::as_slice), &mut bytes);
        }
        let frames = model::frames(&bytes);
        let all = parts.concat();
        let mut expected = Vec::new();
        model::push_data(&mut expected, &all);
        model::push_data(&mut expected, &all);
        prop_assert_eq!(model::said(&frames), expected);
        let compressed = deflate && all.len() >= DEFLATE_BYTES_MIN;
        prop_assert_eq!(frames.iter().any(|f| f.compressed), compressed);
        if browser && !(compressed && whole_deflated) {
            prop_assert!(frames.iter().all(|f| f.payload.len() <= BROWSER_FRAME_BYTES));
        }
    }

    #[test]
    fn any_request_is_judged(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        judge(&bytes, &Rules::default(), false);
        let mut request = b"GET / HTTP/1.1\r\nHost: a\r\nOrigin: ".to_vec();
        request.extend(&bytes);
        request.extend(b"\r\n\r\n");
        judge(&request, &Rules { same_origin: true, ..Rules::default() }, true);
    }
}

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

fn request(path: &str, change: &[(&str, &str)]) -> Vec<u8> {
    let mut headers = vec![
        ("Host", "localhost:80"),
        ("Upgrade", "websocket"),
        ("Connection", "keep-alive, Upgrade"),
        ("Sec-WebSocket-Key", KEY),
        ("Sec-WebSocket-Version", "13"),
    ];
    for &(name, value) in change {
        headers.retain(|header| header.0 != name);
        if value != "-" {
            headers.push((name, value));
        }
    }
    let lines: Vec<String> = headers
        .iter()
        .map(|(n, v)| format!("{n}: {v}\r\n"))
        .collect();
    format!("{path} HTTP/1.1\r\n{}\r\n", lines.concat()).into_bytes()
}

fn refused(path: &str, change: &[(&str, &str)], rules: &Rules) -> String {
    match judge(&request(path, change), rules, false) {
        Verdict::Refused { refusal, .. } => {
            let mut answer = Vec::new();
            refusal.answer("D", &mut answer);
            let answer = String::from_utf8(answer).expect("text");
            format!("{} {}", &answer[9..12], refusal.error)
        }
        Verdict::Granted { .. } => "granted".to_owned(),
        other => format!("{other:?}"),
    }
}

#[test]
fn requests_are_refused_with_nats_servers_words() {
    let open = Rules::default();
    for (path, change, text) in [
        (
            "POST /mqtt",
            &[][..],
            "404 mqtt websocket endpoint not enabled",
        ),
        (
            "GET /x/mqtt?a",
            &[],
            "404 mqtt websocket endpoint not enabled",
        ),
        (
            "POST /",
            &[("Upgrade", "-")],
            "405 request method must be GET",
        ),
        ("GET /", &[("Host", "")], "400 'Host' missing in request"),
        (
            "GET /",
            &[("Upgrade", "h2c")],
            "400 invalid value for header 'Upgrade'",
        ),
        (
            "GET /",
            &[("Connection", "close")],
            "400 invalid value for header 'Connection'",
        ),
        (
            "GET /",
            &[("Sec-WebSocket-Key", "-"), ("Sec-WebSocket-Version", "-")],
            "400 key missing",
        ),
        (
            "GET /",
            &[("Sec-WebSocket-Key", "abc")],
            "400 invalid websocket key",
        ),
        (
            "GET /",
            &[("Sec-WebSocket-Version", "12")],
            "400 invalid version",
        ),
        ("GET /", &[("Sec-WebSocket-Version", "12, 13")], "granted"),
        ("GET /", &[("Upgrade", "foo, WebSocket")], "granted"),
        ("GET /mqtt/", &[], "granted"),
    ] {
        assert_eq!(refused(path, change, &open), text);
    }
    let same = Rules {
        same_origin: true,
        ..Rules::default()
    };
    let not_same = "403 origin not allowed: not same origin";
    for (origin, text) in [
        ("http://localhost", "granted"),
        ("http://LOCALHOST:80/path", "granted"),
        ("https://localhost", not_same),
        ("http://localhost:81", not_same),
        ("//localhost", not_same),
        (
            "null",
            "403 origin not allowed: parse \"null\": invalid URI for request",
        ),
        (
            "http://a b",
            "403 origin not allowed: parse \"http://a b\": invalid character \" \" in host name",
        ),
    ] {
        assert_eq!(
            refused("GET /", &[("Origin", origin)], &same),
            text,
            "{origin}"
        );
    }
    assert_eq!(
        refused("GET /", &[("Sec-WebSocket-Origin", "http://evil")], &same),
        not_same
    );
    let listed = Rules {
        allowed_origins: ["http://a.b", "https://c:8443"]
            .map(|address| origin::Origin::parse(address).expect("an address"))
            .to_vec(),
        ..Rules::default()
    };
    for (origin, allowed) in [
        ("http://A.B:80", true),
        ("https://c:8443", true),
        ("https://c", false),
        ("https://a.b", false),
    ] {
        let text = refused("GET /", &[("Origin", origin)], &listed);
        assert_eq!(text == "granted", allowed, "{origin}: {text}");
    }
}

#[test]
fn origins_that_cannot_be_read_are_named_as_nats_server_does() {
    for (address, text) in [
        ("", "parse \"\": empty url"),
        ("foo", "parse \"foo\": invalid URI for request"),
        ("://", "parse \"://\": missing protocol scheme"),
        ("%zz", "parse \"%zz\": invalid URI for request"),
        (
            "http://a.b:80x",
            "parse \"http://a.b:80x\": invalid port \":80x\" after host",
        ),
        ("http://[::1", "parse \"http://[::1\": missing ']' in host"),
    ] {
        let error = origin::Origin::parse(address).expect_err(address);
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn what_is_no_request_is_malformed() {
    for (bytes, expected) in [
        (&b"\r\nGET / HTTP/1.1\r\n\r\n"[..], Malformed::Request),
        (b"CONNECT {}\r\nPING\r\n", Malformed::Request),
        (b"\x16\x03\x01garbage\r\n\r\n", Malformed::Request),
        (b"GET / HTTP/1.1\r\nfoo\r\n\r\n", Malformed::Request),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            Malformed::Request,
        ),
        (b"GET / HTTP/1.1\r\n\r\n", Malformed::NoHost),
        (b"GET / HTTP/2.0\r\n\r\n", Malformed::Version),
    ] {
        let verdict = judge(bytes, &Rules::default(), false);
        assert_eq!(verdict, Verdict::Malformed(expected), "{bytes:?}");
    }
    let mut long = b"GET / HTTP/1.1\r\nHost: a\r\nX: ".to_vec();
    long.resize(HEAD_BYTES_MAX + 1, b'a');
    let verdict = judge(&long, &Rules::default(), false);
    assert_eq!(verdict, Verdict::Malformed(Malformed::HeadTooLarge));
}

fn granted(change: &[(&str, &str)], rules: &Rules) -> Upgrade {
    match judge(&request("GET /", change), rules, false) {
        Verdict::Granted { upgrade, .. } => *upgrade,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_was_asked_for_is_agreed_as_nats_server_does() {
    let rules = Rules {
        compression: true,
        headers: vec![("X-A".to_owned(), "b".to_owned())],
        ..Rules::default()
    };
    let all = [
        (
            "Sec-WebSocket-Extensions",
            "x-foo, Permessage-Deflate; client_max_window_bits",
        ),
        ("Nats-No-Masking", "true"),
        ("User-Agent", "Mozilla/5.0 Version/16.1 Safari/605"),
        ("X-Forwarded-For", "::1, 1.2.3.4"),
    ];
    let upgrade = granted(&all, &rules);
    assert!(upgrade.deflate && upgrade.no_masking && upgrade.browser && upgrade.whole_deflated);
    assert_eq!(upgrade.forwarded_for, "[::1]");
    assert_eq!(
        String::from_utf8_lossy(&upgrade.answer),
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
         Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; \
         client_no_context_takeover\r\nNats-No-Masking: true\r\nX-A: b\r\n\r\n"
    );
    let plain = granted(&[("Nats-No-Masking", "1")], &Rules::default());
    assert!(!plain.deflate && !plain.no_masking && !plain.browser);
    assert_eq!(
        String::from_utf8_lossy(&plain.answer),
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    );
}

#[test]
fn cookies_stand_for_credentials() {
    let rules = Rules {
        cookies: Cookies {
            user: "U".to_owned(),
            pass: "P".to_owned(),
            ..Cookies::default()
        },
        ..Rules::default()
    };
    let cookies = granted(&[("Cookie", "foo; =x; U=\"a\"; P=b=c;T=t; U=z;;")], &rules).cookies;
    assert_eq!(
        (&*cookies.user, &*cookies.pass, &*cookies.token),
        ("z", "b=c", "")
    );
    assert_eq!(format!("{cookies:?}"), "Cookies { .. }");
}

/// What a session says about these bytes, and what it answers.
fn hear(session: &mut Session, bytes: &[u8]) -> (Vec<String>, Vec<u8>) {
    let (mut heard, mut out) = (Vec::new(), Vec::new());
    let mut bytes = bytes.to_vec();
    session.hear(&mut bytes, &|| "D".to_owned(), None, |what| {
        heard.push(match what {
            Heard::Upgraded(_) => "upgraded".to_owned(),
            Heard::Data(data) => String::from_utf8_lossy(data).into_owned(),
            other => format!("{other:?}"),
        });
    });
    session.encode(&mut Deflater::default(), std::iter::empty(), &mut out);
    (heard, out)
}

fn session() -> Session {
    Session::new(std::sync::Arc::default(), false)
}

#[test]
fn a_refused_request_may_be_followed_by_a_better_one() {
    let mut session = session();
    let mut bytes = request("POST /", &[("Content-Length", "5")]);
    bytes.extend(b"hello");
    bytes.extend(request("GET /", &[]));
    let (heard, out) = hear(&mut session, &bytes);
    assert_eq!(heard, ["Refused(Method)", "upgraded"]);
    let expected = "HTTP/1.1 405 Method Not Allowed\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Sec-Websocket-Version: 13\r\nX-Content-Type-Options: nosniff\r\nDate: D\r\n\
         Content-Length: 19\r\n\r\nMethod Not Allowed\nHTTP/1.1 101 ";
    assert!(String::from_utf8_lossy(&out).starts_with(expected));
}

#[test]
fn data_before_the_answer_ends_the_connection() {
    let mut session = session();
    let mut bytes = request("GET /", &[]);
    bytes.push(0x82);
    let (heard, out) = hear(&mut session, &bytes);
    assert_eq!(heard, ["Refused(EarlyData)", "Hopeless"]);
    assert_eq!(out, b"");
}

#[test]
fn a_session_answers_pings_and_closes_once() {
    let mut session = session();
    let (heard, _) = hear(&mut session, &request("GET /", &[]));
    assert_eq!(heard, ["upgraded"]);
    let mut bytes = masked(&frame(2, b"PING\r\n"));
    bytes.extend(masked(&frame(9, b"hey")));
    bytes.extend(masked(&frame(8, b"\x0f\xa0bye")));
    let (heard, out) = hear(&mut session, &bytes);
    assert_eq!(heard, ["PING\r\n", "Ended"]);
    assert_eq!(model::frames(&out), [frame(10, b"hey")]);
    session.close(1001, "Server Shutdown");
    session.close(1001, "Server Shutdown");
    let mut out = Vec::new();
    session.encode(
        &mut Deflater::default(),
        std::iter::once(&b"late"[..]),
        &mut out,
    );
    assert_eq!(model::frames(&out), [frame(8, b"\x0f\xa0bye")]);
}

#[test]
fn a_broken_frame_is_answered_with_its_reason() {
    let mut session = session();
    hear(&mut session, &request("GET /", &[]));
    let (heard, _) = hear(&mut session, &model::write(&frame(2, b"PING\r\n"), None));
    assert_eq!(heard, ["Failed(NotMasked)"]);
    session.close(1001, "Read Error");
    let mut out = Vec::new();
    session.encode(&mut Deflater::default(), std::iter::empty(), &mut out);
    assert_eq!(model::frames(&out), [frame(8, b"\x03\xeamask bit missing")]);
}

#[test]
fn pings_of_a_client_that_does_not_read_take_no_memory() {
    let mut session = session();
    hear(&mut session, &request("GET /", &[]));
    let mut pings = masked(&frame(9, &[b'p'; 125])).repeat(1000);
    session.hear(&mut pings, &String::new, None, |_| ());
    let mut out = Vec::new();
    session.encode(&mut Deflater::default(), std::iter::empty(), &mut out);
    assert!(out.len() < 5000);
}

#[test]
fn a_reason_that_is_too_long_is_cut() {
    let mut session = session();
    hear(&mut session, &request("GET /", &[]));
    session.close(1011, &"é".repeat(100));
    let mut out = Vec::new();
    session.encode(&mut Deflater::default(), std::iter::empty(), &mut out);
    let close = &model::frames(&out)[0];
    assert!(close.payload.len() <= CONTROL_BYTES_MAX);
    assert!(
        std::str::from_utf8(&close.payload[2..])
            .expect("text")
            .ends_with("é...")
    );
}
