//! Configured limits and what passing them does.

use crate::common::{Client, Server};

#[test]
fn max_control_line_counts_the_arguments() {
    let server = Server::start();
    let mut client = Client::ready(server.addr());
    // 4094 + blank + sid are 4096 bytes.
    client.send(format!("SUB {} 1\r\n", "a".repeat(4094)));
    client.flush();
    client.send(format!("SUB {} 2\r\n", "a".repeat(4095)));
    client.expect_err_and_close("maximum control line exceeded");
}

#[test]
fn max_control_line_is_enforced_before_the_line_ends() {
    let server = Server::start();
    let mut client = Client::ready(server.addr());
    client.send(format!("PUB {}", "a".repeat(5000)));
    client.expect_err_and_close("maximum control line exceeded");
}

#[test]
fn max_control_line_applies_to_connect() {
    let server = Server::start();
    let mut client = Client::connect(server.addr());
    client.send(format!("CONNECT {{\"name\":\"{}\"}}\r\n", "n".repeat(4096)));
    client.expect_err_and_close("maximum control line exceeded");
}

#[test]
fn max_control_line_is_configurable() {
    let server = Server::with_config("max_control_line: 8KB\n");
    let mut client = Client::ready(server.addr());
    client.send(format!("SUB {} 1\r\n", "a".repeat(8000)));
    client.flush();
    client.send(format!("SUB {} 2\r\n", "a".repeat(8192)));
    client.expect_err_and_close("maximum control line exceeded");
}

#[test]
fn max_payload_is_refused_before_the_payload_is_read() {
    let server = Server::start();
    let mut client = Client::ready(server.addr());
    client.send("PUB a 1048577\r\n");
    client.expect_err_and_close("Maximum Payload Violation");
}

#[test]
fn max_payload_itself_passes() {
    let server = Server::start();
    let mut client = Client::ready(server.addr());
    client.send("SUB a 1\r\n");
    let payload = vec![7; 1_048_576];
    client.publish("a", &payload);
    assert!(client.msg().payload == payload);
}

#[test]
fn max_payload_is_configurable_and_in_info() {
    let server = Server::with_config("max_payload: 10\n");
    let mut client = Client::ready(server.addr());
    assert_eq!(client.info["max_payload"], 10);
    client.send("SUB a 1\r\n");
    client.publish("a", "0123456789");
    assert_eq!(client.msg().text(), "0123456789");
    client.send("PUB a 11\r\n");
    client.expect_err_and_close("Maximum Payload Violation");
}

#[test]
fn max_subscriptions_refuses_the_next_and_stays_open() {
    let server = Server::with_config("max_subscriptions: 2\n");
    let mut client = Client::ready(server.addr());
    client.send("SUB a 1\r\nSUB b 2\r\nSUB c 3\r\n");
    client.expect_err("maximum subscriptions exceeded");
    client.publish("c", "x");
    client.flush();
    client.send("UNSUB 1\r\nSUB c 3\r\n");
    client.publish("c", "y");
    assert_eq!(client.msg().text(), "y");
    // The limit is each connection's.
    let mut other = Client::ready(server.addr());
    other.send("SUB a 1\r\nSUB b 2\r\n");
    other.flush();
}

#[test]
fn max_connections_refuses_the_next_after_its_info() {
    let server = Server::builder()
        .config("max_connections: 2\n")
        .monitor()
        .start();
    let first = Client::ready(server.addr());
    let _second = Client::ready(server.addr());
    let mut third = Client::connect(server.addr());
    third.expect_err_and_close("maximum connections exceeded");
    drop(first);
    server.wait_number("/varz", "/connections", 1);
    Client::ready(server.addr());
}

#[test]
fn max_sub_tokens_refuses_deeper_subscriptions() {
    let server = Server::with_config("max_sub_tokens: 3\n");
    let mut client = Client::ready(server.addr());
    client.send("SUB a.b.c 1\r\n");
    client.flush();
    client.send("SUB a.b.c.d 2\r\n");
    client.expect_err("Permissions Violation for Subscription to \"a.b.c.d\", too many tokens");
    client.flush();
}

#[test]
fn max_pending_closes_a_reader_that_fell_behind_without_a_word() {
    let server = Server::builder()
        .config("max_payload: 64KB\nmax_pending: 128KB\nwrite_deadline: \"60s\"\n")
        .monitor()
        .start();
    let mut slow = Client::ready_with(server.addr(), r#""name":"slow""#);
    slow.send("SUB a 1\r\n");
    slow.flush();
    let mut publisher = Client::ready(server.addr());
    let payload = vec![b'x'; 64 * 1024];
    // More than the kernel's buffers of one connection hold.
    for _ in 0..1000 {
        publisher.publish("a", &payload);
        publisher.flush();
    }
    server.wait_number("/varz", "/slow_consumers", 1);
    server.wait_log("Slow Consumer");
    // nats-server may be within a write to it until it reads.
    let rest = slow.rest();
    server.wait_number("/varz", "/connections", 1);
    assert!(rest.len() < 1000 * payload.len());
    assert!(!String::from_utf8_lossy(&rest).contains("-ERR"));
}
