//! WebSocket over sockets: requests and their refusals, frames, credentials, limits, monitoring;
//! and official clients, one of them in a browser.

mod client;
mod clients;
#[path = "../common/mod.rs"]
mod common;
#[path = "../identity/signer.rs"]
#[allow(dead_code, reason = "of these two only the claims are used")]
mod signer;
#[path = "../identity/tree.rs"]
#[allow(dead_code, reason = "see above")]
mod tree;

use client::{BINARY, CLOSE, COMPRESSED, FINAL, PING, PONG, WebSocket, listener, request};
use common::{Client, Server, eventually, is_ringwire};
use tree::Tree;

/// A server with a `websocket` block that has these options, too, and with more of its own.
fn server(block: &str, more: &str) -> Server {
    Server::builder()
        .config(&config(block, more))
        .monitor()
        .start()
}

fn config(block: &str, more: &str) -> String {
    format!("websocket {{ listen: \"127.0.0.1:-1\", no_tls: true\n{block} }}\n{more}\n")
}

const USERS: &str = "authorization { users [{user: a, password: b}, {user: c, password: d}] }";
const CONNECT: &str = "CONNECT {\"verbose\":false}\r\nPING\r\n";

#[test]
fn info_comes_in_a_frame_of_its_own() {
    let server = server("", "");
    let at = listener(&server);
    let mut client = WebSocket::connect(at, &[]);
    let frame = client.frame().expect("INFO");
    assert_eq!(frame.first, FINAL | BINARY);
    let info = String::from_utf8(frame.payload).unwrap();
    let json: serde_json::Value =
        serde_json::from_str(info.strip_prefix("INFO ").unwrap()).unwrap();
    assert_eq!(json["host"], "127.0.0.1");
    assert_eq!(json["port"], at.port());
    client.send(CONNECT);
    client.expect("PONG\r\n");
}

#[test]
fn requests_that_are_no_upgrade_are_refused() {
    let server = server("", "");
    let at = listener(&server);
    for (line, change, status, log) in [
        (
            "POST /",
            ("Host", "a"),
            "405 Method Not Allowed",
            "request method must be GET",
        ),
        (
            "GET /mqtt",
            ("Host", "a"),
            "404 Not Found",
            "mqtt websocket endpoint not enabled",
        ),
        (
            "GET /",
            ("Upgrade", "h2c"),
            "400 Bad Request",
            "invalid value for header 'Upgrade'",
        ),
        (
            "GET /",
            ("Connection", "close"),
            "400 Bad Request",
            "invalid value for header 'Connection'",
        ),
        (
            "GET /",
            ("Sec-WebSocket-Key", "-"),
            "400 Bad Request",
            "key missing",
        ),
        (
            "GET /",
            ("Sec-WebSocket-Key", "abc"),
            "400 Bad Request",
            "invalid websocket key",
        ),
        (
            "GET /",
            ("Sec-WebSocket-Version", "12"),
            "400 Bad Request",
            "invalid version",
        ),
    ] {
        let mut client = WebSocket::open(at);
        client.send_raw(request(line, &[change]).as_bytes());
        let head = client.read_head();
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status}\r\n")),
            "{head}"
        );
        assert!(head.contains("\r\nSec-Websocket-Version: 13\r\n"), "{head}");
        server.wait_log(&format!("websocket handshake error: {log}"));
    }
    let mut client = WebSocket::open(at);
    client.send_raw(b"CONNECT {}\r\nPING\r\n");
    assert_eq!(
        String::from_utf8_lossy(&client.read_end()),
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Connection: close\r\n\r\n400 Bad Request"
    );
    // Data right behind the request is not waited for, and not taken.
    let mut client = WebSocket::open(at);
    client.send_raw(&[request("GET /", &[]).as_bytes(), &[0x82, 0x80]].concat());
    assert_eq!(client.read_end(), b"");
    server.wait_log("client sent data before handshake is complete");
    // Not one of them was a client.
    assert_eq!(server.get_json("/connz?state=all")["total"], 0);
}

#[test]
fn a_better_request_may_follow_a_refused_one() {
    let server = server("", "");
    let mut client = WebSocket::open(listener(&server));
    client.send_raw(request("GET /", &[("Upgrade", "-")]).as_bytes());
    assert!(client.read_head().starts_with("HTTP/1.1 400 "));
    client.send_raw(request("GET /", &[]).as_bytes());
    assert!(client.read_head().contains("HTTP/1.1 101 "));
    client.expect("INFO {");
}

#[test]
fn pages_of_other_origins_are_refused() {
    let same = server("same_origin: true", "");
    let listed = server("allowed_origins: [\"http://a.b\", \"https://c:8443\"]", "");
    for (server, origin, granted) in [
        (&same, "http://localhost:80", true),
        (&same, "https://localhost", false),
        (&same, "http://evil", false),
        (&same, "null", false),
        (&listed, "http://A.B:80", true),
        (&listed, "https://c:8443", true),
        (&listed, "https://c", false),
    ] {
        let mut client = WebSocket::open(listener(server));
        client.send_raw(request("GET /", &[("Origin", origin)]).as_bytes());
        let head = client.read_head();
        let expected = if granted { "101" } else { "403" };
        assert_eq!(&head[9..12], expected, "{origin}");
    }
    same.wait_log("origin not allowed: not same origin");
    same.wait_log("origin not allowed: parse \"null\": invalid URI for request");
    listed.wait_log("origin not allowed: not in the allowed list");
}

#[test]
fn messages_cross_between_kinds_and_cores() {
    for cores in [1, 2, 4] {
        let server = Server::builder()
            .config(&config("", ""))
            .cores(cores)
            .start();
        let at = listener(&server);
        let mut readers: Vec<WebSocket> = (0..4).map(|_| WebSocket::ready(at, &[])).collect();
        for reader in &mut readers {
            reader.send("SUB big 1\r\n");
            reader.sync();
        }
        let mut plain = Client::ready(server.addr());
        plain.send("SUB small 1\r\n");
        plain.flush();
        let mut writer = WebSocket::ready(at, &[]);
        // A command cut by frames, a ping between them.
        writer.send_frame(BINARY, b"PUB sm");
        writer.send_frame(FINAL | PING, b"between");
        writer.send_frame(FINAL, b"all 2\r\nhi\r\n");
        let pong = writer.frame().expect("a pong");
        assert_eq!(
            (pong.first, &*pong.payload),
            (FINAL | PONG, &b"between"[..])
        );
        assert_eq!(plain.msg().text(), "hi");
        let body = "x".repeat(300_000);
        writer.send(&format!("PUB big {}\r\n{body}\r\n", body.len()));
        for reader in &mut readers {
            let mut data = String::new();
            while !data.ends_with("x\r\n") {
                data.push_str(&reader.expect("x"));
            }
            assert_eq!(data, format!("MSG big 1 300000\r\n{body}\r\n"));
        }
    }
}

#[test]
fn browsers_get_short_frames() {
    let server = server("", "");
    let mut client = WebSocket::ready(listener(&server), &[("User-Agent", "Mozilla/5.0")]);
    client.send(&format!(
        "SUB a 1\r\nPUB a 50000\r\n{}\r\n",
        "x".repeat(50_000)
    ));
    let mut bytes = 0;
    while bytes < 50_000 {
        let frame = client.frame().expect("a frame");
        assert_eq!(frame.first, FINAL | BINARY);
        assert!(frame.payload.len() <= 4096);
        bytes += frame.payload.len();
    }
}

#[test]
fn compression_is_agreed_and_keeps_nothing_between_messages() {
    let server = server("compression: true", "");
    let offer = [(
        "Sec-WebSocket-Extensions",
        "permessage-deflate; client_max_window_bits",
    )];
    let mut client = WebSocket::open(listener(&server));
    client.send_raw(request("GET /", &offer).as_bytes());
    assert!(client.read_head().contains(
        "\r\nSec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; \
         client_no_context_takeover\r\n"
    ));
    let info = client.frame().expect("INFO");
    assert_eq!(info.first, FINAL | COMPRESSED | BINARY);
    assert!(inflate(&info.payload).starts_with(b"INFO {"));
    client.send("CONNECT {\"verbose\":false}\r\nSUB a 1\r\n");
    let message = format!("PUB a 5000\r\n{}\r\n", "y".repeat(5000));
    for _ in 0..3 {
        client.send_frame(FINAL | COMPRESSED | BINARY, &deflate(message.as_bytes()));
        let mut data = Vec::new();
        while data.len() < 5016 {
            let frame = client.frame().expect("a frame");
            assert_eq!(frame.first, FINAL | COMPRESSED | BINARY);
            assert!(frame.payload.len() < 200);
            data.extend(inflate(&frame.payload));
        }
        assert_eq!(
            data,
            format!("MSG a 1 5000\r\n{}\r\n", "y".repeat(5000)).as_bytes()
        );
    }
    // Little is sent as it is.
    client.send("PING\r\n");
    let pong = client.frame().expect("PONG");
    assert_eq!(pong.first, FINAL | BINARY);
}

fn inflate(bytes: &[u8]) -> Vec<u8> {
    use std::io::Read as _;
    let whole = [bytes, &[0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff]].concat();
    let mut inflated = Vec::new();
    flate2::read::DeflateDecoder::new(&whole[..])
        .read_to_end(&mut inflated)
        .expect("deflated data");
    inflated
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.flush().unwrap();
    let mut deflated = encoder.get_ref().clone();
    deflated.truncate(deflated.len() - 4);
    deflated
}

#[test]
fn a_close_frame_is_answered_with_itself() {
    let server = server("", "");
    let mut client = WebSocket::ready(listener(&server), &[]);
    client.send_frame(FINAL | CLOSE, b"\x0f\xa0bye");
    let close = loop {
        let frame = client.frame().expect("a close frame");
        if frame.first == FINAL | CLOSE {
            break frame;
        }
    };
    assert_eq!(close.payload, b"\x0f\xa0bye");
    assert_eq!(client.frame(), None);
    server.wait_number("/connz?state=closed", "/total", 1);
    let closed = server.get_json("/connz?state=closed");
    assert_eq!(closed["connections"][0]["reason"], "Client Closed");
}

/// The close frame before the end, if one came: nats-server may lose it.
fn close_of(client: &mut WebSocket) -> Option<(u16, String)> {
    let mut last = None;
    while let Some(frame) = client.frame() {
        if frame.first == FINAL | CLOSE {
            let code = u16::from_be_bytes([frame.payload[0], frame.payload[1]]);
            last = Some((
                code,
                String::from_utf8(frame.payload[2..].to_vec()).unwrap(),
            ));
        }
    }
    assert!(last.is_some() || !is_ringwire(), "no close frame");
    last
}

#[test]
fn frames_that_break_the_protocol_end_the_connection() {
    let server = server("compression: true", "max_payload: 70000");
    let at = listener(&server);
    let offer = [("Sec-WebSocket-Extensions", "permessage-deflate")];
    let bomb = deflate(&vec![b' '; 1_000_000]);
    for (first, payload, code, text) in [
        (0x83, &b"PING\r\n"[..], 1002, "unknown opcode 3"),
        (0xa2, b"PING\r\n", 1002, "RSV2 and RSV3 must be clear"),
        (0x80, b"PING\r\n", 1002, "invalid continuation frame"),
        (0x09, b"", 1002, "control frame does not have final bit set"),
        (0x88, b"a", 1002, "close frame payload cannot be 1 byte"),
        (
            0x88,
            &[3, 0xe8, 0xff],
            1007,
            "invalid utf8 body in close frame",
        ),
        (0xc2, &bomb, 1009, "maximum payload exceeded"),
        (0xc2, &[0xff; 4], 1002, "flate: corrupt input"),
    ] {
        let mut client = WebSocket::connect(at, &offer);
        client.frame().expect("INFO");
        client.send_frame(first, payload);
        if let Some(close) = close_of(&mut client) {
            assert_eq!(close, (code, text.to_owned()));
        }
        server.wait_log(&format!("read error: {text}"));
    }
    let mut client = WebSocket::ready(at, &[]);
    client.send_raw(b"\x82\x06PING\r\n");
    if let Some(close) = close_of(&mut client) {
        assert_eq!(close, (1002, "mask bit missing".to_owned()));
    }
    // A length that lies is no reason to end, and none to wait for it.
    let mut client = WebSocket::ready(at, &[]);
    client.send_raw(b"\x82\xff\x40\0\0\0\0\0\0\0\0\0\0\0PING\r\n");
    client.expect("PONG\r\n");
}

#[test]
fn masks_can_be_left_out_by_agreement() {
    let server = server("", "");
    let mut client = WebSocket::connect(listener(&server), &[("Nats-No-Masking", "true")]);
    client.send_raw(b"\x82\x06PING\r\n");
    client.expect("PONG\r\n");
}

#[test]
fn errors_are_told_before_the_close_frame() {
    let server = server("", &format!("max_payload: 1000\n{USERS}"));
    let mut client = WebSocket::connect(listener(&server), &[]);
    client.expect("\"auth_required\":true");
    client.send("CONNECT {\"user\":\"a\",\"pass\":\"wrong\"}\r\n");
    let error = client.frame().expect("an error");
    assert_eq!(error.payload, b"-ERR 'Authorization Violation'\r\n");
    let close = close_of(&mut client);
    assert_eq!(close, Some((1008, "Authentication Failure".to_owned())));
    let mut client = WebSocket::connect(listener(&server), &[]);
    client.send("CONNECT {\"user\":\"a\",\"pass\":\"b\",\"verbose\":false}\r\nPUB a 2000\r\n");
    let close = close_of(&mut client);
    assert_eq!(
        close,
        Some((1009, "Maximum Message Payload Exceeded".to_owned()))
    );
}

/// Who a client is that sends these cookies and this CONNECT; `None` if it is refused.
fn user(server: &Server, cookies: &str, connect: &str) -> Option<String> {
    let cookie = [("Cookie", cookies)];
    let headers = if cookies.is_empty() { &[][..] } else { &cookie };
    let mut client = WebSocket::connect(listener(server), headers);
    client.expect("INFO {");
    client.send(&format!(
        "CONNECT {{\"verbose\":false{connect}}}\r\nPING\r\n"
    ));
    let answer = String::from_utf8(client.frame()?.payload).unwrap();
    if answer.starts_with("-ERR 'Authorization Violation'") {
        return None;
    }
    assert!(answer.starts_with("PONG"), "{answer}");
    let connections = server.get_json("/connz?auth=1&sort=cid");
    let last = connections["connections"].as_array()?.last()?.clone();
    assert_eq!(last["type"], "websocket");
    Some(
        last["authorized_user"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
    )
}

#[test]
fn cookies_stand_for_what_connect_leaves_out() {
    let cookies = "user_cookie: U, pass_cookie: P, token_cookie: T";
    let users = server(cookies, USERS);
    let token = server(cookies, "authorization { token: secret }");
    let other = ",\"user\":\"c\",\"pass\":\"d\"";
    assert_eq!(user(&users, "x; U=\"a\"; P=b", "").as_deref(), Some("a"));
    assert_eq!(user(&users, "U=a", ""), None);
    assert_eq!(user(&users, "U=a; P=b", other).as_deref(), Some("c"));
    assert_eq!(user(&users, "U=a; P=b", ",\"pass\":\"wrong\""), None);
    assert_eq!(user(&users, "U=a; U=z; P=b", ""), None);
    assert_eq!(user(&token, "T=secret", "").as_deref(), Some("[REDACTED]"));
    assert_eq!(user(&token, "T=secret", ",\"auth_token\":\"wrong\""), None);
}

#[test]
fn a_cookie_can_hold_claims() {
    let tree = Tree::new();
    let server = server("jwt_cookie: J", &tree.config(&serde_json::json!({})));
    let none = serde_json::json!({});
    let token = tree.user_token(&serde_json::json!({"bearer_token": true}), &none);
    let name = user(&server, &format!("J={token}"), "");
    assert_eq!(name, Some(tree.user.public_key()));
    assert_eq!(user(&server, "J=forged", ""), None);
    assert_eq!(user(&server, "", ""), None);
}

#[test]
fn users_are_bound_to_kinds_of_connections() {
    let users = "authorization { users [
        {user: s, password: b, allowed_connection_types: [STANDARD]},
        {user: w, password: b, allowed_connection_types: [WEBSOCKET]} ] }";
    let server = server("", users);
    assert_eq!(user(&server, "", ",\"user\":\"s\",\"pass\":\"b\""), None);
    let name = user(&server, "", ",\"user\":\"w\",\"pass\":\"b\"");
    assert_eq!(name.as_deref(), Some("w"));
    let mut plain = Client::connect(server.addr());
    plain.login("\"user\":\"w\",\"pass\":\"b\"");
    plain.expect_err_and_close("Authorization Violation");
}

#[test]
fn the_listener_can_have_users_of_its_own() {
    let named = server("no_auth_user: c", USERS);
    assert_eq!(user(&named, "", "").as_deref(), Some("c"));
    let mut plain = Client::connect(named.addr());
    plain.send("PING\r\n");
    plain.expect_err_and_close("Authorization Violation");
    let single = server("authorization { user: u, password: p }", "");
    assert_eq!(
        user(&single, "", ",\"user\":\"u\",\"pass\":\"p\"").as_deref(),
        Some("u")
    );
    assert_eq!(user(&single, "", ""), None);
    Client::ready(single.addr());
    let timed = server("authorization { user: u, password: p, timeout: 0.05 }", "");
    let mut client = WebSocket::connect(listener(&timed), &[]);
    let close = close_of(&mut client);
    assert_eq!(close, Some((1008, "Authentication Timeout".to_owned())));
}

#[test]
fn a_reader_that_falls_behind_is_cut_off() {
    let server = server("", "max_pending: 2000000, write_deadline: \"30s\"");
    let at = listener(&server);
    let mut reader = WebSocket::ready(at, &[]);
    reader.send("SUB a 1\r\n");
    reader.sync();
    let mut writer = WebSocket::ready(at, &[]);
    let message = format!("PUB a 100000\r\n{}\r\n", "x".repeat(100_000));
    eventually("the end of the slow reader", || {
        writer.send(&message);
        (server.get_json("/varz")["slow_consumers"] == 1).then_some(())
    });
    let closed = server.get_json("/connz?state=closed");
    assert_eq!(
        closed["connections"][0]["reason"],
        "Slow Consumer (Pending Bytes)"
    );
}

#[test]
fn the_server_tells_of_its_listener_and_keeps_it() {
    let block =
        "same_origin: true, compression: true, handshake_timeout: \"3s\", headers: {X-A: b}";
    let directory = tempfile::tempdir().unwrap();
    let ports = format!("ports_file_dir: {:?}", directory.path());
    let server = server(block, &ports);
    let at = listener(&server);
    server.wait_log("Websocket not configured with TLS. DO NOT USE IN PRODUCTION!");
    assert_eq!(
        server.get_json("/varz")["websocket"],
        serde_json::json!({
            "host": "127.0.0.1", "port": at.port(), "handshake_timeout": 3_000_000_000u64,
            "no_tls": true, "same_origin": true, "compression": true,
        })
    );
    let file = std::fs::read_dir(directory.path())
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let listed: serde_json::Value =
        serde_json::from_slice(&std::fs::read(file.path()).unwrap()).unwrap();
    assert_eq!(listed["websocket"][0], format!("ws://{at}"));
    let mut client = WebSocket::open(at);
    client.send_raw(request("GET /", &[]).as_bytes());
    assert!(client.read_head().contains("\r\nX-A: b\r\n"));
    server.rewrite_config(&config("same_origin: true", &ports));
    server.signal("HUP");
    server.wait_log("config reload not supported for Websocket");
}

#[test]
fn a_client_behind_a_proxy_is_named_in_the_log() {
    let server = server("", "debug: true");
    let at = listener(&server);
    let _client = WebSocket::connect(at, &[("X-Forwarded-For", "::1, 1.2.3.4")]);
    let line = server.wait_log("Client connection created");
    assert!(
        line.contains("[::1]/127.0.0.1:") && line.contains(" - wid:"),
        "{line}"
    );
}

#[test]
fn the_last_words_are_a_close_frame() {
    let mut server = server("", "max_connections: 1");
    let at = listener(&server);
    let mut first = WebSocket::ready(at, &[]);
    let mut second = WebSocket::connect(at, &[]);
    second.expect("-ERR 'maximum connections exceeded'\r\n");
    let close = close_of(&mut second);
    assert_eq!(
        close,
        Some((1008, "Maximum Connections Exceeded".to_owned()))
    );
    server.signal("TERM");
    assert_eq!(
        close_of(&mut first),
        Some((1001, "Server Shutdown".to_owned()))
    );
    server.wait_exit();
}

#[test]
fn a_request_that_does_not_end_is_not_waited_for() {
    let server = server("handshake_timeout: \"100ms\"", "");
    let at = listener(&server);
    let mut silent = WebSocket::open(at);
    assert_eq!(silent.read_end(), b"");
    let mut slow = WebSocket::open(at);
    slow.send_raw(b"GET / HT");
    let answer = slow.read_end();
    assert!(answer.starts_with(b"HTTP/1.1 400 Bad Request\r\n"));
}

#[test]
fn blocks_that_cannot_be_are_refused() {
    for (text, error) in [
        ("websocket: 5", "Expected websocket to be a map, got int64"),
        (
            "websocket { port: -1 }",
            "nats-server: websocket requires TLS configuration",
        ),
        (
            "websocket { port: -1, no_tls: true, allowed_origins: \"foo\" }",
            "unable to parse allowed origin: parse \"foo\": invalid URI for request",
        ),
        (
            "websocket { port: -1, no_tls: true, no_auth_user: x }",
            "no_auth_user: \"x\" present, but users/nkeys are not defined",
        ),
        (
            "websocket { port: -1, no_tls: true, jwt_cookie: c }",
            "trusted operators or trusted keys configuration is required for JWT authentication via cookie \"c\"",
        ),
        (
            "websocket { port: -1, no_tls: true, headers: {sec-websocket-foo: c} }",
            "websocket: invalid header \"sec-websocket-foo\", \"Sec-WebSocket-\" prefix not allowed",
        ),
        (
            "websocket { port: -1, no_tls: true, headers: {Upgrade: c} }",
            "websocket: invalid header \"Upgrade\" not allowed",
        ),
        (
            "websocket { port: 99999, no_tls: true }",
            "Unable to listen for websocket connections: listen tcp: address 99999: invalid port",
        ),
        (
            "websocket { port: -1, no_tls: true, foo: 1 }",
            "unknown field \"foo\"",
        ),
    ] {
        let mut server = Server::builder().config(text).spawn();
        let (status, output) = server.wait_output();
        assert_eq!(status.code(), Some(1));
        assert!(output.contains(error), "{text}: {output}");
    }
    let text =
        format!("websocket {{ port: -1, no_tls: true, authorization {{ token: t }} }}\n{USERS}");
    let mut server = Server::builder().config(&text).spawn();
    let (_, output) = server.wait_output();
    assert!(
        output
            .contains("websocket authentication token not compatible with presence of users/nkeys")
    );
}
