//! Promise 2: the messages of one publisher reach one subscription in the order they were sent.

use std::thread;

use crate::common::{Client, Server};
use crate::on_cores;

on_cores!(
    messages_of_a_publisher_stay_in_order_across_connections,
    subjects_interleaved_by_a_publisher_stay_in_order,
    a_message_sent_on_in_answer_comes_after_its_cause,
);

const PUBLISHERS: usize = 4;
const MESSAGES: usize = 5000;

/// Sends `MESSAGES` numbered messages in batches.
fn publish_numbers(
    server: std::net::SocketAddr,
    publisher: usize,
    subject: impl Fn(usize) -> String,
) {
    let mut client = Client::ready(server);
    let mut batch = Vec::new();
    for i in 0..MESSAGES {
        let payload = format!("{publisher} {i}");
        let head = format!("PUB {} {}\r\n", subject(i), payload.len());
        batch.extend_from_slice(head.as_bytes());
        batch.extend_from_slice(payload.as_bytes());
        batch.extend_from_slice(b"\r\n");
        if i % 100 == 99 {
            client.send(&batch);
            batch.clear();
        }
    }
    client.send(&batch);
    client.flush();
}

/// Receives the numbers of all publishers, each publisher's in order.
fn receive_in_order(client: &mut Client) {
    let mut next = [0; PUBLISHERS];
    for _ in 0..PUBLISHERS * MESSAGES {
        let text = client.msg().text();
        let (publisher, number) = text.split_once(' ').unwrap();
        let publisher: usize = publisher.parse().unwrap();
        assert_eq!(number, next[publisher].to_string());
        next[publisher] += 1;
    }
    client.flush();
}

fn run(cores: usize, subscription: &str, subject: impl Fn(usize) -> String + Copy + Send) {
    let server = Server::builder().cores(cores).start();
    let mut subscribers: Vec<Client> = (0..4).map(|_| Client::ready(server.addr())).collect();
    for subscriber in &mut subscribers {
        subscriber.send(format!("SUB {subscription} 1\r\n"));
        subscriber.flush();
    }
    let addr = server.addr();
    thread::scope(|scope| {
        for publisher in 0..PUBLISHERS {
            scope.spawn(move || publish_numbers(addr, publisher, subject));
        }
        for subscriber in &mut subscribers {
            scope.spawn(move || receive_in_order(subscriber));
        }
    });
}

fn messages_of_a_publisher_stay_in_order_across_connections(cores: usize) {
    run(cores, "data", |_| "data".to_owned());
}

fn subjects_interleaved_by_a_publisher_stay_in_order(cores: usize) {
    run(cores, "data.>", |i| format!("data.{}.{}", i % 7, i % 3));
}

fn a_message_sent_on_in_answer_comes_after_its_cause(cores: usize) {
    let server = Server::builder().cores(cores).start();
    let mut publisher = Client::ready(server.addr());
    let mut relay = Client::ready(server.addr());
    relay.send("SUB first 1\r\n");
    relay.flush();
    publisher.send("SUB echoed 1\r\n");
    publisher.flush();
    for i in 0..500 {
        publisher.publish("first", i.to_string());
        let text = relay.msg().text();
        relay.publish("echoed", &text);
        assert_eq!(publisher.msg().text(), i.to_string());
    }
}
