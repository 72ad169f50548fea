//! PUB: delivery, subjects, reserved prefixes, no responders.

use crate::common::{Client, Server};

#[test]
fn a_message_carries_subject_sid_reply_and_payload() {
    let server = Server::start();
    let mut client = Client::ready(server.addr());
    client.send("SUB a.* abc-1\r\nPUB a.b re.ply 5\r\nhello\r\nPUB a.c 0\r\n\r\n");
    assert_eq!(client.line(), "MSG a.b abc-1 re.ply 5");
    assert_eq!(client.line(), "hello");
    assert_eq!(client.line(), "MSG a.c abc-1 0");
    assert_eq!(client.line(), "");
}

#[test]
fn every_matching_subscription_gets_its_copy() {
    let server = Server::start();
    let mut client = Client::ready(server.addr());
    client.send("SUB a.b 1\r\nSUB a.* 2\r\nSUB a.> 3\r\nSUB > 4\r\nSUB a.c 5\r\nSUB *.b 6\r\n");
    client.publish("a.b", "x");
    let mut sids: Vec<String> = client.sync_messages().into_iter().map(|m| m.sid).collect();
    sids.sort();
    assert_eq!(sids, ["1", "2", "3", "4", "6"]);
}

#[test]
fn wildcards_in_a_publish_subject_are_text() {
    let server = Server::start();
    let mut client = Client::ready(server.addr());
    client.send("SUB foo.* 1\r\nSUB foo.bar 2\r\nSUB > 3\r\n");
    client.publish("foo.*", "x");
    let mut sids: Vec<String> = client.sync_messages().into_iter().map(|m| m.sid).collect();
    sids.sort();
    assert_eq!(sids, ["1", "3"]);
}

#[test]
fn publish_subjects_with_an_empty_token_match_nobody() {
    let server = Server::start();
    let mut client = Client::ready(server.addr());
    client.send("SUB > 1\r\nSUB foo.> 2\r\n");
    for subject in [".foo", "foo..bar", "foo."] {
        client.publish(subject, "x");
    }
    client.flush();
}

#[test]
fn subjects_are_bytes_and_case_sensitive() {
    let server = Server::start();
    let mut client = Client::ready(server.addr());
    client.send("SUB grüße.日本 1\r\nSUB a 2\r\n");
    client.publish("grüße.日本", "x");
    assert_eq!(client.msg().subject, "grüße.日本");
    client.publish("A", "x");
    client.flush();
}

#[test]
fn reserved_subjects_are_refused_and_the_connection_stays() {
    let server = Server::start();
    let mut client = Client::ready(server.addr());
    client.send("SUB > 1\r\n");
    client.publish("_GR_.x", "");
    client.expect_err("Permissions Violation for Publish to \"_GR_.x\"");
    client.publish("$NRG.a", "");
    client.expect_err("Permissions Violation for Publish to \"$NRG.a\"");
    for reply in ["_R_.a", "_GR_.a", "$JS.ACK.a"] {
        client.send(format!("PUB x {reply} 0\r\n\r\n"));
        client.expect_err(&format!(
            "Permissions Violation for Publish with Reply of \"{reply}\""
        ));
    }
    client.flush();
}

#[test]
fn sys_subjects_are_ordinary_ones() {
    let server = Server::start();
    let mut client = Client::ready(server.addr());
    client.send("SUB $SYS.mine 1\r\n");
    client.publish("$SYS.mine", "x");
    assert_eq!(client.msg().text(), "x");
}

#[test]
fn no_responders_is_answered_with_503_and_the_subject() {
    let server = Server::start();
    let mut client = Client::ready(server.addr());
    client.send("SUB inbox.* 9\r\nPUB nobody.here inbox.1 4\r\nhelp\r\n");
    let n = 32 + "nobody.here".len();
    assert_eq!(client.line(), format!("HMSG inbox.1 9 {n} {n}"));
    assert_eq!(client.line(), "NATS/1.0 503");
    assert_eq!(client.line(), "Nats-Subject: nobody.here");
    assert_eq!(client.line(), "");
    assert_eq!(client.line(), "");
    client.flush();
}

#[test]
fn no_responders_is_not_answered_without_the_option() {
    let server = Server::start();
    let mut client = Client::connect(server.addr());
    client.send("CONNECT {\"verbose\":false,\"headers\":true}\r\nSUB inbox.* 9\r\n");
    client.send("PUB nobody inbox.1 0\r\n\r\n");
    client.flush();
}

#[test]
fn no_responders_is_not_answered_without_a_reply_or_with_a_receiver() {
    let server = Server::start();
    let mut client = Client::ready(server.addr());
    let mut responder = Client::ready(server.addr());
    responder.send("SUB somebody q 1\r\n");
    responder.flush();
    client.send("SUB inbox.* 9\r\nPUB nobody 0\r\n\r\nPUB somebody inbox.1 0\r\n\r\n");
    client.flush();
    assert_eq!(responder.msg().reply.as_deref(), Some("inbox.1"));
}

#[test]
fn no_responders_goes_only_to_a_plain_subscription_of_the_publisher() {
    let server = Server::start();
    let mut client = Client::ready(server.addr());
    let mut other = Client::ready(server.addr());
    other.send("SUB inbox.* 1\r\n");
    other.flush();
    client.send("PUB nobody inbox.1 0\r\n\r\n");
    client.flush();
    client.send("SUB inbox.* q 2\r\nPUB nobody inbox.1 0\r\n\r\n");
    client.flush();
    other.flush();
}

#[test]
fn a_request_is_answered_through_its_reply_subject() {
    let server = Server::start();
    let mut requester = Client::ready(server.addr());
    let mut responder = Client::ready(server.addr());
    responder.send("SUB service 1\r\n");
    responder.flush();
    requester.send("SUB _INBOX.x.* 1\r\nPUB service _INBOX.x.1 2\r\nhi\r\n");
    let request = responder.msg();
    responder.publish(request.reply.as_deref().unwrap(), "answer");
    let answer = requester.msg();
    assert_eq!((answer.text(), answer.headers), ("answer".to_owned(), None));
}
