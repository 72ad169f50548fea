//! HPUB and HMSG.

use crate::common::{Client, Server};

/// 10 + 9 + 2 bytes.
const HEADERS: &str = "NATS/1.0\r\nKey: V1\r\n\r\n";

fn hpub(subject: &str, headers: &str, payload: &str) -> String {
    let (head, total) = (headers.len(), headers.len() + payload.len());
    format!("HPUB {subject} {head} {total}\r\n{headers}{payload}\r\n")
}

#[test]
fn headers_reach_a_subscriber_that_asked_for_them() {
    let server = Server::start();
    let mut client = Client::ready(server.addr());
    client.send(format!("SUB a 1\r\n{}", hpub("a re", HEADERS, "hi")));
    assert_eq!(client.line(), "HMSG a 1 re 21 23");
    assert_eq!(client.line(), "NATS/1.0");
    assert_eq!(client.line(), "Key: V1");
    assert_eq!(client.line(), "");
    assert_eq!(client.line(), "hi");
    client.flush();
}

#[test]
fn headers_are_cut_off_for_a_subscriber_without_them() {
    let server = Server::start();
    let mut plain = Client::connect(server.addr());
    plain.send("CONNECT {\"verbose\":false}\r\nSUB a 1\r\n");
    plain.flush();
    let mut client = Client::ready(server.addr());
    client.send(hpub("a", HEADERS, "hi"));
    assert_eq!(plain.line(), "MSG a 1 2");
    assert_eq!(plain.line(), "hi");
    plain.flush();
}

#[test]
fn hpub_without_negotiated_headers_closes_without_a_word() {
    let server = Server::start();
    let mut client = Client::connect(server.addr());
    client.send("CONNECT {\"verbose\":false}\r\n");
    client.send(hpub("a", HEADERS, "hi"));
    client.expect_closed();
}

#[test]
fn an_empty_header_part_makes_a_plain_message() {
    let server = Server::start();
    let mut client = Client::ready(server.addr());
    client.send("SUB a 1\r\nHPUB a 0 2\r\nhi\r\n");
    assert_eq!(client.line(), "MSG a 1 2");
    assert_eq!(client.line(), "hi");
}

#[test]
fn header_bytes_are_not_looked_at() {
    let server = Server::start();
    let mut client = Client::ready(server.addr());
    client.send(format!("SUB a 1\r\n{}", hpub("a", "junk", "hi")));
    let msg = client.msg();
    assert_eq!(msg.headers.as_deref(), Some(&b"junk"[..]));
    assert_eq!(msg.text(), "hi");
}

#[test]
fn headers_with_an_empty_payload_arrive() {
    let server = Server::start();
    let mut client = Client::ready(server.addr());
    client.send(format!("SUB a 1\r\n{}", hpub("a", HEADERS, "")));
    let msg = client.msg();
    assert_eq!(msg.headers.as_deref(), Some(HEADERS.as_bytes()));
    assert_eq!(msg.text(), "");
}

#[test]
fn max_payload_counts_headers_and_payload() {
    let server = Server::with_config("max_payload: 30\n");
    let mut client = Client::ready(server.addr());
    client.send(format!("SUB a 1\r\n{}", hpub("a", HEADERS, "123456789")));
    assert_eq!(client.msg().text(), "123456789");
    client.send(format!("HPUB a {} {}\r\n", HEADERS.len(), 31));
    client.expect_err_and_close("Maximum Payload Violation");
}

#[test]
fn no_header_support_shows_in_info_and_refuses_hpub() {
    let server = Server::with_config("no_header_support: true\n");
    let mut client = Client::connect(server.addr());
    assert_eq!(client.info["headers"], false);
    client.send("CONNECT {\"verbose\":false,\"headers\":true}\r\n");
    client.send(hpub("a", HEADERS, "hi"));
    client.expect_closed();
}
