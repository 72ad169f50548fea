//! Lines, blanks, case, and what is answered to bytes that make no sense.

use crate::common::{Client, Server};

/// Sends these bytes on a fresh connection that is not verbose.
fn after_connect(server: &Server, bytes: impl AsRef<[u8]>) -> Client {
    let mut client = Client::ready(server.addr());
    client.send(bytes);
    client
}

#[test]
fn verbs_are_case_insensitive() {
    let server = Server::start();
    let mut client = after_connect(&server, "sUb a 1\r\npub a 1\r\nx\r\nHpUb a 0 1\r\ny\r\n");
    assert_eq!(client.msg().text(), "x");
    assert_eq!(client.msg().text(), "y");
    client.send("unsub 1\r\npublish");
    client.expect_err_and_close("Unknown Protocol Operation");
}

#[test]
fn blanks_and_tabs_separate_fields_in_any_number() {
    let server = Server::start();
    let mut client = after_connect(&server, "SUB \t a\t\t1 \r\nPUB\ta \t 1  \r\nx\r\n");
    assert_eq!(client.msg().text(), "x");
    client.send("UNSUB \t1\t\r\nPUB a 1\r\ny\r\n");
    client.flush();
}

#[test]
fn a_bare_line_feed_ends_a_control_line() {
    let server = Server::start();
    let mut client = after_connect(&server, "SUB a 1\nPUB a 2\nhi\r\n");
    assert_eq!(client.msg().text(), "hi");
    client.flush();
}

#[test]
fn text_after_ping_is_ignored() {
    let server = Server::start();
    let mut client = after_connect(&server, "PING junk\r\n");
    assert_eq!(client.line(), "PONG");
    client.flush();
}

#[test]
fn commands_may_arrive_byte_by_byte() {
    let server = Server::start();
    let mut client = Client::ready(server.addr());
    for byte in b"SUB some.subject 17\r\nPUB some.subject reply 11\r\nhello\r\nyou!\r\n" {
        client.send([*byte]);
        // An answer in between makes the kernel deliver the bytes one at a time.
        if *byte == b'\n' {
            continue;
        }
    }
    // The payload above is 11 bytes: its own CRLF belongs to it.
    let msg = client.msg();
    assert_eq!(msg.text(), "hello\r\nyou!");
    assert_eq!(msg.sid, "17");
    assert_eq!(msg.reply.as_deref(), Some("reply"));
}

#[test]
fn many_commands_may_arrive_at_once() {
    let server = Server::start();
    let mut client = Client::ready(server.addr());
    let mut bytes = b"SUB a.* 1\r\n".to_vec();
    for i in 0..2000 {
        let payload = i.to_string();
        bytes.extend_from_slice(format!("PUB a.b {}\r\n{payload}\r\n", payload.len()).as_bytes());
    }
    client.send(bytes);
    for i in 0..2000 {
        assert_eq!(client.msg().text(), i.to_string());
    }
    client.flush();
}

#[test]
fn a_payload_may_hold_any_bytes() {
    let server = Server::start();
    let mut client = after_connect(&server, "SUB a 1\r\n");
    let payload: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    client.publish("a", &payload);
    assert_eq!(client.msg().payload, payload);
    client.publish("a", "PUB a 3\r\n-ERR\r\n");
    assert_eq!(client.msg().text(), "PUB a 3\r\n-ERR\r\n");
}

#[test]
fn unknown_operations_are_named_and_close() {
    let server = Server::start();
    for bytes in [
        "FOO\r\n",
        "MSG a 1 2\r\nhi\r\n",
        "HMSG a 1 2 2\r\nhi\r\n",
        "RS+ $G a\r\n",
        "RMSG $G a 0\r\n\r\n",
        "LS+ a\r\n",
        "A+ x\r\n",
        "\r\n",
        "  PING\r\n",
        "PIN\r\n",
        "SUB\r\n",
        "PUB\r\n",
        "UNSUB\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "\0\0\0\0",
    ] {
        let mut client = after_connect(&server, bytes);
        client.expect_err_and_close("Unknown Protocol Operation");
    }
}

#[test]
fn a_tls_hello_on_a_plain_port_is_an_unknown_operation() {
    let server = Server::start();
    let mut client = Client::connect(server.addr());
    client.send([0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc]);
    client.expect_err_and_close("Unknown Protocol Operation");
}

#[test]
fn wrong_numbers_of_fields_and_bad_sizes_close_without_a_word() {
    let server = Server::start();
    for bytes in [
        "SUB foo\r\n",
        "SUB a b c d\r\n",
        "PUB foo\r\n",
        "PUB a b c 1\r\n",
        "PUB foo -1\r\n",
        "PUB foo +1\r\n",
        "PUB foo abc\r\n",
        "PUB foo 1x\r\n",
        "PUB foo 99999999999999999999\r\n",
        "UNSUB 1 2 3\r\n",
        "HPUB foo 1\r\n",
        "HPUB foo 4 3\r\n",
        "HPUB foo -1 3\r\n",
        "HPUB a b c 1 2\r\n",
    ] {
        let mut client = after_connect(&server, bytes);
        let rest = String::from_utf8(client.rest()).unwrap();
        assert_eq!(rest, "", "after {bytes:?}");
    }
}

#[test]
fn a_payload_without_its_line_end_is_an_unknown_operation() {
    let server = Server::start();
    for bytes in [
        "PUB a 2\r\nhiX\r\n",
        "PUB a 2\r\nhi\n\n",
        "PUB a 1\r\nhello\r\n",
    ] {
        let mut client = after_connect(&server, bytes);
        client.expect_err_and_close("Unknown Protocol Operation");
    }
}

#[test]
fn ok_and_info_from_a_client_are_ignored() {
    let server = Server::start();
    let mut client = after_connect(&server, "+OK\r\nINFO {}\r\n");
    client.flush();
}

#[test]
fn err_from_a_client_closes() {
    let server = Server::start();
    let mut client = after_connect(&server, "-ERR 'x'\r\n");
    client.expect_closed();
}

#[test]
fn messages_before_a_protocol_error_in_the_same_read_are_processed() {
    let server = Server::start();
    let mut watcher = after_connect(&server, "SUB a 1\r\n");
    watcher.flush();
    let mut client = after_connect(&server, "PUB a 1\r\n1\r\nPUB a 1\r\n2\r\nNONSENSE\r\n");
    client.expect_err_and_close("Unknown Protocol Operation");
    assert_eq!(watcher.msg().text(), "1");
    assert_eq!(watcher.msg().text(), "2");
}
