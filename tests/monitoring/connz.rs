//! /connz: one line for each connection, open or closed.

use serde_json::Value;

use crate::common::{Client, Server, get};

fn named(server: &Server, name: &str) -> Client {
    Client::ready_with(
        server.addr(),
        &format!(r#""name":"{name}","lang":"rust","version":"1.2.3""#),
    )
}

/// The names in the order of the list.
fn names(connz: &Value) -> Vec<&str> {
    connz["connections"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["name"].as_str().unwrap_or(""))
        .collect()
}

#[test]
fn a_connection_is_described() {
    let server = Server::builder().cores(2).monitor().start();
    let mut client = named(&server, "me");
    client.send("SUB a 1\r\nSUB b q 2\r\n");
    client.publish("a", "12345");
    client.msg();
    client.publish("x", "123");
    client.flush();
    server.wait_number("/connz", "/connections/0/in_msgs", 2);
    // The PONG may still be on its way.
    server.wait_number("/connz", "/connections/0/pending_bytes", 0);
    let connz = server.get_json("/connz");
    assert_eq!(connz["num_connections"], 1);
    assert_eq!(connz["total"], 1);
    assert_eq!(connz["offset"], 0);
    assert_eq!(connz["limit"], 1024);
    assert_eq!(connz["server_id"], client.info["server_id"]);
    let me = &connz["connections"][0];
    assert_eq!(me["cid"], client.info["client_id"]);
    assert_eq!(me["kind"], "Client");
    assert_eq!(me["type"], "nats");
    assert_eq!(me["ip"], "127.0.0.1");
    assert_eq!(me["port"], client.local_port());
    assert_eq!(me["name"], "me");
    assert_eq!(me["lang"], "rust");
    assert_eq!(me["version"], "1.2.3");
    assert_eq!(me["in_msgs"], 2);
    assert_eq!(me["in_bytes"], 8);
    assert_eq!(me["out_msgs"], 1);
    assert_eq!(me["out_bytes"], 5);
    assert_eq!(me["subscriptions"], 2);
    assert_eq!(me["pending_bytes"], 0);
    for text in ["start", "last_activity", "uptime", "idle"] {
        assert!(me[text].is_string(), "{text}");
    }
    assert!(me.get("subscriptions_list").is_none());
}

#[test]
fn subscriptions_are_listed_on_request() {
    let server = Server::builder().monitor().start();
    let mut client = named(&server, "me");
    client.send("SUB a.* 1\r\nSUB b q 2\r\n");
    client.flush();
    let connz = server.get_json("/connz?subs=1");
    let mut list: Vec<&str> = connz["connections"][0]["subscriptions_list"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s.as_str().unwrap())
        .collect();
    list.sort_unstable();
    assert_eq!(list, ["a.*", "b"]);
    let connz = server.get_json("/connz?subs=detail");
    let list = connz["connections"][0]["subscriptions_list_detail"]
        .as_array()
        .unwrap();
    let queue = list.iter().find(|s| s["subject"] == "b").unwrap();
    assert_eq!(
        (&queue["qgroup"], &queue["sid"]),
        (&"q".into(), &"2".into())
    );
}

#[test]
fn lists_are_sorted_as_asked() {
    let server = Server::builder().cores(2).monitor().start();
    // Each leads in one order.
    let mut talker = named(&server, "talker");
    let mut listener = named(&server, "listener");
    let mut hoarder = named(&server, "hoarder");
    listener.send("SUB words 1\r\n");
    listener.flush();
    hoarder.send("SUB a 1\r\nSUB b 2\r\nSUB c 3\r\n");
    hoarder.flush();
    for _ in 0..10 {
        talker.publish("words", "many words");
        listener.msg();
    }
    talker.flush();
    server.wait_number("/connz?sort=msgs_to", "/connections/0/out_msgs", 10);
    for (order, first) in [
        ("cid", "talker"),
        ("start", "talker"),
        ("subs", "hoarder"),
        ("msgs_to", "listener"),
        ("bytes_to", "listener"),
        ("msgs_from", "talker"),
        ("bytes_from", "talker"),
        ("last", "talker"),
        ("idle", "hoarder"),
    ] {
        let connz = server.get_json(&format!("/connz?sort={order}"));
        let names = names(&connz);
        assert_eq!(names.len(), 3);
        // Ages of a few milliseconds are no order to test.
        if !matches!(order, "last" | "idle") {
            assert_eq!(names[0], first, "by {order}");
        }
    }
    for order in ["pending", "uptime", "rtt"] {
        server.get_json(&format!("/connz?sort={order}"));
    }
}

#[test]
fn an_unknown_order_is_a_bad_request() {
    let server = Server::builder().monitor().start();
    for query in [
        "sort=nosuch",
        "limit=x",
        "offset=x",
        "cid=x",
        "state=nosuch",
    ] {
        assert_eq!(
            get(server.monitor(), &format!("/connz?{query}")).status,
            400,
            "{query}"
        );
    }
}

#[test]
fn offset_and_limit_page_through_the_list() {
    let server = Server::builder().cores(2).monitor().start();
    let _clients: Vec<Client> = (0..5).map(|i| named(&server, &format!("c{i}"))).collect();
    let connz = server.get_json("/connz?offset=1&limit=2");
    assert_eq!(names(&connz), ["c1", "c2"]);
    assert_eq!(connz["total"], 5);
    assert_eq!(connz["num_connections"], 2);
    let connz = server.get_json("/connz?offset=4&limit=2");
    assert_eq!(names(&connz), ["c4"]);
    let connz = server.get_json("/connz?offset=9");
    assert_eq!(connz["num_connections"], 0);
}

#[test]
fn one_connection_is_found_by_its_id() {
    let server = Server::builder().cores(2).monitor().start();
    let _one = named(&server, "one");
    let two = named(&server, "two");
    let cid = &two.info["client_id"];
    let connz = server.get_json(&format!("/connz?cid={cid}"));
    assert_eq!(names(&connz), ["two"]);
}

#[test]
fn users_are_shown_and_filtered_on_request() {
    let server = Server::builder()
        .config("authorization { users = [ {user: a, password: p}, {user: b, password: p} ] }\n")
        .monitor()
        .start();
    let _a = Client::ready_with(server.addr(), r#""user":"a","pass":"p","name":"of a""#);
    let _b = Client::ready_with(server.addr(), r#""user":"b","pass":"p","name":"of b""#);
    let plain = server.get_json("/connz");
    assert!(plain["connections"][0].get("authorized_user").is_none());
    let connz = server.get_json("/connz?auth=true");
    assert_eq!(connz["connections"][0]["authorized_user"], "a");
    assert_eq!(connz["connections"][0]["name_tag"], "$G");
    let connz = server.get_json("/connz?auth=true&user=b");
    assert_eq!(names(&connz), ["of b"]);
}

#[test]
fn closed_connections_are_kept_with_their_reason() {
    let server = Server::builder().cores(2).monitor().start();
    let left = named(&server, "left");
    drop(left);
    let mut confused = named(&server, "confused");
    confused.send("NONSENSE\r\n");
    confused.rest();
    let mut wordless = named(&server, "wordless");
    wordless.send("SUB a\r\n");
    wordless.rest();
    let mut big = named(&server, "big");
    big.send("PUB a 1048577\r\n");
    big.rest();
    let mut long = named(&server, "long");
    long.send(format!("SUB {} 1\r\n", "a".repeat(5000)));
    long.rest();
    let _open = named(&server, "open");
    server.wait_number("/connz?state=closed", "/num_connections", 5);
    let connz = server.get_json("/connz?state=closed");
    for (name, reason) in [
        ("left", "Client Closed"),
        ("confused", "Protocol Violation"),
        ("wordless", "Protocol Violation"),
        ("big", "Maximum Message Payload Exceeded"),
        ("long", "Maximum Control Line Exceeded"),
    ] {
        let closed = connz["connections"]
            .as_array()
            .unwrap()
            .iter()
            .find(|c| c["name"] == name)
            .unwrap_or_else(|| panic!("{name}"));
        assert_eq!(closed["reason"], reason, "{name}");
        assert!(closed["stop"].is_string(), "{name}");
    }
    assert_eq!(names(&server.get_json("/connz?state=open")), ["open"]);
    assert_eq!(server.get_json("/connz?state=any")["num_connections"], 6);
    server.get_json("/connz?state=closed&sort=stop");
    server.get_json("/connz?state=closed&sort=reason");
}

#[test]
fn as_many_closed_connections_are_kept_as_configured() {
    let server = Server::builder()
        .config("max_closed_clients: 3\n")
        .cores(1)
        .monitor()
        .start();
    for i in 0..6 {
        drop(named(&server, &format!("c{i}")));
        // Closed in this order, one after the other.
        server.wait_number("/varz", "/connections", 0);
    }
    let connz = server.get_json("/connz?state=closed");
    assert_eq!(names(&connz), ["c3", "c4", "c5"]);
}
