//! /subsz.

use crate::common::{Client, Server};

#[test]
fn subscriptions_are_counted() {
    let server = Server::builder().cores(2).monitor().start();
    let before = server.get_json("/subsz")["num_subscriptions"]
        .as_u64()
        .unwrap();
    let mut one = Client::ready(server.addr());
    let mut two = Client::ready(server.addr());
    one.send("SUB a 1\r\nSUB b 2\r\n");
    two.send("SUB a q 1\r\n");
    one.flush();
    two.flush();
    server.wait_number("/subsz", "/num_subscriptions", before + 3);
    one.send("UNSUB 1\r\n");
    one.flush();
    server.wait_number("/subsz", "/num_subscriptions", before + 2);
    drop(two);
    server.wait_number("/subsz", "/num_subscriptions", before + 1);
    let subsz = server.get_json("/subsz");
    for number in [
        "num_cache",
        "num_inserts",
        "num_removes",
        "num_matches",
        "max_fanout",
    ] {
        assert!(subsz[number].is_number(), "{number}");
    }
    assert!(subsz["cache_hit_rate"].is_number());
}

#[test]
fn subscriptions_are_listed_and_tested_against_a_subject() {
    let server = Server::builder().cores(2).monitor().start();
    let mut client = Client::ready(server.addr());
    client.send("SUB orders.* 1\r\nSUB orders.eu q 2\r\nSUB other 3\r\n");
    client.flush();
    let subjects = |path: &str| -> Vec<String> {
        let subsz = server.get_json(path);
        let mut list: Vec<String> = subsz["subscriptions_list"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|s| s["cid"] == client.info["client_id"])
            .map(|s| s["subject"].as_str().unwrap().to_owned())
            .collect();
        list.sort();
        list
    };
    assert_eq!(
        subjects("/subsz?subs=1"),
        ["orders.*", "orders.eu", "other"]
    );
    assert_eq!(
        subjects("/subsz?subs=1&test=orders.eu"),
        ["orders.*", "orders.eu"]
    );
    assert_eq!(subjects("/subscriptionsz?subs=1&test=other"), ["other"]);
}
