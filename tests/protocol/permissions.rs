//! Permissions of users: what they may publish and subscribe to, and how a refusal reads.

use crate::common::{Client, Server};

const USERS: &str = r#"
authorization { users = [
    {user: admin, password: p}
    {user: alice, password: p, permissions: {
        publish: { allow: ["out.>", "*.any"], deny: ["out.secret", "out.deep.>"] }
        subscribe: { allow: ["in.>"], deny: ["in.secret"] }
    }}
    {user: queues, password: p, permissions: {
        subscribe: { allow: ["only v1", "both", "both v1", "any", "wild v1.*"] }
    }}
    {user: noqueue, password: p, permissions: { subscribe: { deny: ["jobs bad", "jobs worse.>"] } }}
    {user: replier, password: p, permissions: { subscribe: "requests", allow_responses: true }}
    {user: replier2, password: p, permissions: {
        publish: "log"
        subscribe: "requests"
        allow_responses: { max: 2, expires: "1m" }
    }}
] }
"#;

fn login(server: &Server, user: &str) -> Client {
    Client::ready_with(server.addr(), &format!(r#""user":"{user}","pass":"p""#))
}

#[track_caller]
fn publish_refused(client: &mut Client, subject: &str) {
    client.publish(subject, "");
    client.expect_err(&format!(
        "Permissions Violation for Publish to \"{subject}\""
    ));
}

#[track_caller]
fn subscribe_refused(client: &mut Client, subject: &str, queue: Option<&str>) {
    let using = queue.map_or(String::new(), |q| format!(" using queue \"{q}\""));
    client.send(format!("SUB {subject} {} 77\r\n", queue.unwrap_or("")));
    client.expect_err(&format!(
        "Permissions Violation for Subscription to \"{subject}\"{using}"
    ));
}

#[track_caller]
fn subscribe_accepted(client: &mut Client, subject: &str, queue: Option<&str>) {
    client.send(format!("SUB {subject} {} 78\r\n", queue.unwrap_or("")));
    client.flush();
    client.send("UNSUB 78\r\n");
}

#[test]
fn publish_is_allowed_by_the_list_and_deny_beats_allow() {
    let server = Server::with_config(USERS);
    let mut admin = login(&server, "admin");
    admin.send("SUB > 1\r\n");
    admin.flush();
    let mut alice = login(&server, "alice");
    publish_refused(&mut alice, "out.secret");
    publish_refused(&mut alice, "out.deep.a.b");
    publish_refused(&mut alice, "out");
    publish_refused(&mut alice, "other");
    alice.publish("x.any", "1");
    alice.publish("out.a", "2");
    alice.publish("out.deep", "3");
    alice.flush();
    for text in ["1", "2", "3"] {
        assert_eq!(admin.msg().text(), text);
    }
    admin.flush();
}

#[test]
fn subscribe_must_be_a_subset_of_an_allow_entry() {
    let server = Server::with_config(USERS);
    let mut alice = login(&server, "alice");
    subscribe_refused(&mut alice, ">", None);
    subscribe_refused(&mut alice, "*.a", None);
    subscribe_refused(&mut alice, "in", None);
    subscribe_refused(&mut alice, "other", None);
    subscribe_accepted(&mut alice, "in.>", None);
    subscribe_accepted(&mut alice, "in.*", None);
    subscribe_accepted(&mut alice, "in.a.b", Some("anyqueue"));
}

#[test]
fn a_subscription_inside_a_denied_subject_is_refused() {
    let server = Server::with_config(USERS);
    let mut alice = login(&server, "alice");
    subscribe_refused(&mut alice, "in.secret", None);
    subscribe_refused(&mut alice, "in.secret", Some("q"));
}

#[test]
fn a_subscription_wider_than_a_denied_subject_is_filtered_at_delivery() {
    let server = Server::with_config(USERS);
    let mut alice = login(&server, "alice");
    alice.send("SUB in.> 1\r\n");
    alice.flush();
    let mut admin = login(&server, "admin");
    admin.publish("in.secret", "hidden");
    admin.publish("in.open", "shown");
    admin.flush();
    assert_eq!(alice.msg().text(), "shown");
    alice.flush();
}

#[test]
fn queue_permissions_allow_named_queues() {
    let server = Server::with_config(USERS);
    let mut client = login(&server, "queues");
    subscribe_refused(&mut client, "only", None);
    subscribe_refused(&mut client, "only", Some("v2"));
    subscribe_accepted(&mut client, "only", Some("v1"));
    subscribe_accepted(&mut client, "both", None);
    subscribe_accepted(&mut client, "both", Some("v1"));
    subscribe_refused(&mut client, "both", Some("v2"));
    subscribe_accepted(&mut client, "any", Some("whatever"));
    subscribe_accepted(&mut client, "wild", Some("v1.x"));
    subscribe_refused(&mut client, "wild", Some("v2.x"));
}

#[test]
fn queue_permissions_deny_named_queues() {
    let server = Server::with_config(USERS);
    let mut client = login(&server, "noqueue");
    subscribe_refused(&mut client, "jobs", Some("bad"));
    subscribe_refused(&mut client, "jobs", Some("worse.still"));
    subscribe_accepted(&mut client, "jobs", Some("good"));
    subscribe_accepted(&mut client, "jobs", None);
}

#[test]
fn allow_responses_grants_one_reply_to_a_delivered_request() {
    let server = Server::with_config(USERS);
    let mut replier = login(&server, "replier");
    replier.send("SUB requests 1\r\n");
    replier.flush();
    publish_refused(&mut replier, "inbox.1");
    let mut admin = login(&server, "admin");
    admin.send("SUB inbox.* 1\r\nPUB requests inbox.1 0\r\n\r\n");
    assert_eq!(replier.msg().reply.as_deref(), Some("inbox.1"));
    publish_refused(&mut replier, "inbox.2");
    replier.publish("inbox.1", "answer");
    replier.flush();
    publish_refused(&mut replier, "inbox.1");
    assert_eq!(admin.msg().text(), "answer");
    admin.flush();
}

#[test]
fn allow_responses_counts_up_to_its_maximum_beside_an_allow_list() {
    let server = Server::with_config(USERS);
    let mut replier = login(&server, "replier2");
    replier.send("SUB requests 1\r\n");
    replier.publish("log", "");
    replier.flush();
    let mut admin = login(&server, "admin");
    admin.send("SUB inbox.* 1\r\nPUB requests inbox.1 0\r\n\r\n");
    replier.msg();
    replier.publish("inbox.1", "1");
    replier.publish("inbox.1", "2");
    replier.flush();
    publish_refused(&mut replier, "inbox.1");
    assert_eq!(admin.msg().text(), "1");
    assert_eq!(admin.msg().text(), "2");
    admin.flush();
}

#[test]
fn the_subject_in_a_refusal_is_escaped() {
    let server = Server::with_config(USERS);
    let mut alice = login(&server, "alice");
    alice.send(b"PUB q\"b\\c\x01\x7f\xc3\xa9 0\r\n\r\n");
    alice.expect_err(r#"Permissions Violation for Publish to "q\"b\\c\x01\x7fé""#);
    alice.send(b"PUB bad\xff 0\r\n\r\n");
    alice.expect_err(r#"Permissions Violation for Publish to "bad\xff""#);
}

#[test]
fn verbose_has_no_ok_for_what_was_refused() {
    let server = Server::with_config(USERS);
    let mut client = Client::connect(server.addr());
    client.send("CONNECT {\"user\":\"alice\",\"pass\":\"p\"}\r\n");
    client.expect_ok();
    publish_refused(&mut client, "other");
    subscribe_refused(&mut client, "other", None);
    client.publish("out.a", "");
    client.expect_ok();
    client.flush();
}

#[test]
fn default_permissions_apply_to_users_without_their_own() {
    let server = Server::with_config(
        r#"authorization {
            default_permissions: { publish: "common" }
            users = [
                {user: a, password: p}
                {user: b, password: p, permissions: { publish: "special" }}
            ]
        }"#,
    );
    let mut a = login(&server, "a");
    a.publish("common", "");
    publish_refused(&mut a, "special");
    let mut b = login(&server, "b");
    b.publish("special", "");
    publish_refused(&mut b, "common");
}
