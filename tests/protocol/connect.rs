//! CONNECT and its options.

use crate::common::{Client, Frame, Server};

#[test]
fn connect_is_optional_and_a_bare_session_is_verbose() {
    let server = Server::start();
    let mut client = Client::connect(server.addr());
    client.send("SUB a 1\r\nPUB a 2\r\nhi\r\n");
    client.expect_ok();
    client.expect_ok();
    assert_eq!(client.msg().text(), "hi");
    client.flush();
}

#[test]
fn empty_connect_keeps_verbose() {
    let server = Server::start();
    let mut client = Client::connect(server.addr());
    client.send("CONNECT {}\r\n");
    client.expect_ok();
    client.flush();
}

#[test]
fn verbose_acknowledges_connect_pub_sub_unsub_but_not_ping_and_pong() {
    let server = Server::start();
    let mut client = Client::connect(server.addr());
    client.send("CONNECT {\"verbose\":true}\r\n");
    client.expect_ok();
    client.send("SUB a 1\r\n");
    client.expect_ok();
    client.send("UNSUB 1\r\n");
    client.expect_ok();
    client.send("UNSUB unknown\r\n");
    client.expect_ok();
    client.send("PUB a 0\r\n\r\n");
    client.expect_ok();
    client.send("PONG\r\n");
    client.flush();
}

#[test]
fn not_verbose_acknowledges_nothing() {
    let server = Server::start();
    let mut client = Client::ready(server.addr());
    client.send("SUB a 1\r\nUNSUB 1\r\nPUB a 0\r\n\r\n");
    client.flush();
}

#[test]
fn unknown_connect_fields_are_ignored() {
    let server = Server::start();
    let mut client = Client::ready_with(server.addr(), r#""shoe_size":44,"list":[1,{"a":null}]"#);
    client.flush();
}

#[test]
fn pedantic_reports_a_wildcard_in_a_publish_subject_and_still_delivers() {
    let server = Server::start();
    let mut client = Client::connect(server.addr());
    client.send("CONNECT {\"verbose\":true,\"pedantic\":true}\r\nSUB foo.* 1\r\n");
    client.expect_ok();
    client.expect_ok();
    client.publish("foo.*", "x");
    client.expect_err("Invalid Publish Subject");
    client.expect_ok();
    assert_eq!(client.msg().subject, "foo.*");
    client.flush();
}

#[test]
fn echo_off_keeps_own_messages_from_this_connection_only() {
    let server = Server::start();
    let mut quiet = Client::ready_with(server.addr(), r#""echo":false"#);
    let mut other = Client::ready(server.addr());
    quiet.send("SUB a 1\r\n");
    other.send("SUB a 1\r\n");
    other.flush();
    quiet.flush();
    quiet.publish("a", "from quiet");
    quiet.flush();
    assert_eq!(other.msg().text(), "from quiet");
    other.publish("a", "from other");
    assert_eq!(other.msg().text(), "from other");
    assert_eq!(quiet.msg().text(), "from other");
    quiet.flush();
}

#[test]
fn echo_off_gives_a_queue_message_to_another_member() {
    let server = Server::start();
    let mut quiet = Client::ready_with(server.addr(), r#""echo":false"#);
    let mut other = Client::ready(server.addr());
    quiet.send("SUB a q 1\r\n");
    quiet.flush();
    other.send("SUB a q 1\r\n");
    other.flush();
    for i in 0..50 {
        quiet.publish("a", i.to_string());
    }
    quiet.flush();
    for i in 0..50 {
        assert_eq!(other.msg().text(), i.to_string());
    }
}

#[test]
fn a_second_connect_drops_all_subscriptions() {
    let server = Server::start();
    let mut client = Client::ready(server.addr());
    client.send("SUB a 1\r\n");
    client.flush();
    client.login("");
    client.publish("a", "x");
    client.flush();
    client.send("SUB a 1\r\n");
    client.publish("a", "y");
    assert_eq!(client.msg().text(), "y");
}

#[test]
fn a_second_connect_changes_the_options_that_it_names() {
    let server = Server::start();
    let mut client = Client::ready(server.addr());
    client.send("CONNECT {\"verbose\":true}\r\n");
    client.expect_ok();
    client.send("SUB a 1\r\n");
    client.expect_ok();
    client.flush();
}

#[test]
fn connect_that_is_not_json_closes_without_a_word() {
    let server = Server::start();
    for connect in [
        "CONNECT\r\n",
        "CONNECT {\r\n",
        "CONNECT []\r\n",
        "CONNECT junk\r\n",
        "CONNECT {\"verbose\":1}\r\n",
    ] {
        let mut client = Client::connect(server.addr());
        client.send(connect);
        client.expect_closed();
    }
}

#[test]
fn connect_refuses_other_protocol_versions() {
    let server = Server::start();
    for version in ["2", "-1"] {
        let mut client = Client::connect(server.addr());
        client.send(format!("CONNECT {{\"protocol\":{version}}}\r\n"));
        client.expect_err_and_close("invalid client protocol");
    }
}

#[test]
fn no_responders_requires_headers() {
    let server = Server::start();
    let mut client = Client::connect(server.addr());
    client.send("CONNECT {\"no_responders\":true}\r\n");
    client.expect_err_and_close("no responders requires headers support");
}

#[test]
fn connect_with_the_legacy_account_fields_is_refused() {
    let server = Server::start();
    for fields in [
        "\"account\":\"x\"",
        "\"account\":\"x\",\"new_account\":true",
    ] {
        let mut client = Client::connect(server.addr());
        client.send(format!("CONNECT {{{fields}}}\r\n"));
        client.expect_err_and_close("Authorization Violation");
    }
}

#[test]
fn any_credentials_are_accepted_where_none_are_required() {
    let server = Server::start();
    Client::ready_with(server.addr(), r#""user":"x","pass":"y","auth_token":"z""#);
}

#[test]
fn ping_is_answered_before_connect() {
    let server = Server::start();
    let mut client = Client::connect(server.addr());
    client.send("PING\r\n");
    assert_eq!(client.frame(), Frame::Pong);
}
