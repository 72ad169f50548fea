//! SUB, UNSUB and the rules of subjects.

use crate::common::{Client, Server};

fn texts(client: &mut Client) -> Vec<String> {
    client.sync_messages().iter().map(|m| m.text()).collect()
}

#[test]
fn invalid_subjects_are_refused_and_the_connection_stays() {
    let server = Server::start();
    let mut client = Client::ready(server.addr());
    for subject in ["foo..bar", "foo.", ".foo", "foo.>.bar", ".", ">.a"] {
        client.send(format!("SUB {subject} 1\r\n"));
        client.expect_err("Invalid Subject");
    }
    client.flush();
}

#[test]
fn wildcard_characters_within_a_token_are_text() {
    let server = Server::start();
    let mut client = Client::ready(server.addr());
    client.send("SUB foo* 1\r\nSUB foo> 2\r\nSUB foo>.b 3\r\nSUB *a.b 4\r\n");
    for (subject, sid) in [("foo*", "1"), ("foo>", "2"), ("foo>.b", "3"), ("*a.b", "4")] {
        client.publish(subject, "x");
        assert_eq!(client.msg().sid, sid);
    }
    for subject in ["food", "foo", "food.b", "aa.b"] {
        client.publish(subject, "x");
    }
    client.flush();
}

#[test]
fn the_full_wildcard_needs_one_token_more() {
    let server = Server::start();
    let mut client = Client::ready(server.addr());
    client.send("SUB foo.> 1\r\n");
    client.publish("foo", "no");
    client.publish("foo.a", "one");
    client.publish("foo.a.b", "two");
    assert_eq!(texts(&mut client), ["one", "two"]);
}

#[test]
fn the_single_wildcard_stands_for_exactly_one_token() {
    let server = Server::start();
    let mut client = Client::ready(server.addr());
    client.send("SUB foo.*.baz 1\r\n");
    for subject in ["foo.bar.baz", "foo.baz", "foo.a.b.baz", "foo.bar.bazz"] {
        client.publish(subject, subject);
    }
    assert_eq!(texts(&mut client), ["foo.bar.baz"]);
}

#[test]
fn a_sid_in_use_keeps_its_first_subject() {
    let server = Server::start();
    let mut client = Client::connect(server.addr());
    client.send("SUB a 1\r\nSUB b 1\r\n");
    client.expect_ok();
    client.expect_ok();
    client.login("");
    client.send("SUB a 1\r\nSUB b 1\r\nPUB b 1\r\nb\r\nPUB a 1\r\na\r\n");
    assert_eq!(texts(&mut client), ["a"]);
}

#[test]
fn unsub_ends_delivery_and_frees_the_sid() {
    let server = Server::start();
    let mut client = Client::ready(server.addr());
    client.send("SUB a 1\r\n");
    client.publish("a", "1");
    client.send("UNSUB 1\r\n");
    client.publish("a", "2");
    client.send("SUB b 1\r\n");
    client.publish("b", "3");
    assert_eq!(texts(&mut client), ["1", "3"]);
}

#[test]
fn unsub_from_another_connection_is_that_connections_own() {
    let server = Server::start();
    let mut one = Client::ready(server.addr());
    let mut two = Client::ready(server.addr());
    one.send("SUB a 1\r\n");
    one.flush();
    two.send("UNSUB 1\r\n");
    two.flush();
    two.publish("a", "x");
    assert_eq!(one.msg().text(), "x");
}

#[test]
fn auto_unsubscribe_delivers_exactly_max_messages() {
    let server = Server::start();
    let mut client = Client::ready(server.addr());
    client.send("SUB a 1\r\nUNSUB 1 3\r\n");
    for i in 0..10 {
        client.publish("a", i.to_string());
    }
    assert_eq!(texts(&mut client), ["0", "1", "2"]);
}

#[test]
fn auto_unsubscribe_counts_from_the_sub() {
    let server = Server::start();
    let mut client = Client::ready(server.addr());
    client.send("SUB a 1\r\n");
    client.publish("a", "0");
    client.publish("a", "1");
    client.send("UNSUB 1 3\r\n");
    client.publish("a", "2");
    client.publish("a", "3");
    assert_eq!(texts(&mut client), ["0", "1", "2"]);
}

#[test]
fn auto_unsubscribe_below_what_was_received_removes_at_once() {
    let server = Server::start();
    let mut client = Client::ready(server.addr());
    client.send("SUB a 1\r\n");
    client.publish("a", "0");
    client.publish("a", "1");
    client.send("UNSUB 1 2\r\n");
    client.publish("a", "2");
    assert_eq!(texts(&mut client), ["0", "1"]);
}

#[test]
fn auto_unsubscribe_of_zero_or_no_number_removes_at_once() {
    let server = Server::start();
    let mut client = Client::ready(server.addr());
    client.send("SUB a 1\r\nSUB a 2\r\nUNSUB 1 0\r\nUNSUB 2 many\r\n");
    client.publish("a", "x");
    client.flush();
}

#[test]
fn a_later_unsub_replaces_the_maximum() {
    let server = Server::start();
    let mut client = Client::ready(server.addr());
    client.send("SUB a 1\r\nUNSUB 1 2\r\n");
    client.publish("a", "0");
    client.send("UNSUB 1 4\r\n");
    for i in 1..10 {
        client.publish("a", i.to_string());
    }
    assert_eq!(texts(&mut client), ["0", "1", "2", "3"]);
}

#[test]
fn auto_unsubscribe_holds_for_messages_of_several_publishers() {
    let server = Server::builder().cores(2).start();
    let mut subscriber = Client::ready(server.addr());
    subscriber.send("SUB a 1\r\nUNSUB 1 50\r\n");
    subscriber.flush();
    let mut publishers: Vec<Client> = (0..4).map(|_| Client::ready(server.addr())).collect();
    for i in 0..40 {
        for publisher in &mut publishers {
            publisher.publish("a", i.to_string());
        }
    }
    for publisher in &mut publishers {
        publisher.flush();
    }
    for _ in 0..50 {
        subscriber.msg();
    }
    subscriber.flush();
}

#[test]
fn one_connection_may_hold_several_subscriptions_to_one_subject() {
    let server = Server::start();
    let mut client = Client::ready(server.addr());
    client.send("SUB a 1\r\nSUB a 2\r\nSUB a 3\r\n");
    client.publish("a", "x");
    assert_eq!(texts(&mut client).len(), 3);
}

#[test]
fn closing_a_connection_ends_its_subscriptions() {
    let server = Server::builder().monitor().start();
    let mut requester = Client::ready(server.addr());
    requester.send("SUB inbox 1\r\n");
    let mut subscriber = Client::ready(server.addr());
    subscriber.send("SUB a 1\r\n");
    subscriber.flush();
    drop(subscriber);
    server.wait_number("/varz", "/connections", 1);
    requester.send("PUB a inbox 0\r\n\r\n");
    let answer = String::from_utf8(requester.msg().headers.unwrap()).unwrap();
    assert!(answer.starts_with("NATS/1.0 503\r\n"), "{answer}");
}

#[test]
fn long_and_deep_subjects_work() {
    let server = Server::start();
    let mut client = Client::ready(server.addr());
    let deep = vec!["t"; 1000].join(".");
    let long = "x".repeat(4000);
    client.send(format!("SUB {deep} 1\r\nSUB {long} 2\r\n"));
    client.publish(&deep, "deep");
    client.publish(&long, "long");
    assert_eq!(texts(&mut client), ["deep", "long"]);
}
