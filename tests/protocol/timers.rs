//! PING of the server, stale connections, authentication that does not come.

use crate::common::{Client, Frame, Server};

const QUICK_PINGS: &str = "ping_interval: \"100ms\"\nping_max: 2\n";

#[test]
fn a_connection_that_answers_no_ping_is_stale() {
    let server = Server::with_config(QUICK_PINGS);
    let mut client = Client::connect(server.addr());
    client.login("");
    assert_eq!(client.raw_frame(), Frame::Ping);
    assert_eq!(client.raw_frame(), Frame::Ping);
    assert_eq!(
        client.raw_frame(),
        Frame::Err("Stale Connection".to_owned())
    );
    client.expect_closed();
}

#[test]
fn a_connection_that_answers_pings_stays() {
    let server = Server::with_config(QUICK_PINGS);
    let mut client = Client::ready(server.addr());
    for _ in 0..8 {
        assert_eq!(client.raw_frame(), Frame::Ping);
        client.send("PONG\r\n");
    }
    client.flush();
}

#[test]
fn a_pong_without_a_ping_does_no_harm() {
    let server = Server::start();
    let mut client = Client::ready(server.addr());
    client.send("PONG\r\nPONG\r\nPONG\r\n");
    client.flush();
}

#[test]
fn authentication_that_does_not_come_in_time_is_an_error() {
    let server = Server::with_config("authorization { user: a, password: b, timeout: 0.2 }\n");
    let mut client = Client::connect(server.addr());
    client.expect_err_and_close("Authentication Timeout");
}
