//! What consumers get.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::client::{Js, is_status, stream_sequence};
use super::{Node, on_cores};

fn what_is_not_acknowledged_comes_again(cores: usize) {
    let node = Node::start(cores);
    let mut js = node.js();
    js.add_stream("S", &["s"], json!({}));
    js.add_consumer("S", "C", json!({"ack_wait": 200_000_000}));
    js.publish("s", "a");
    let first = js.next("S", "C");
    let second = js.next("S", "C");
    assert_eq!(stream_sequence(&first), stream_sequence(&second));
    js.ack(&second);
    let info = js.api_ok("CONSUMER.INFO.S.C", Value::Null);
    assert_eq!(info["num_ack_pending"], 0);
    assert_eq!(info["ack_floor"]["stream_seq"], 1);
    assert_eq!(js.fetch("S", "C", 1).len(), 0);
}

/// Each worker takes and acknowledges; a work queue is empty in the end and nothing came twice.
fn a_work_queue_gives_each_message_to_one_worker(cores: usize) {
    const WORKERS: usize = 4;
    const MESSAGES: usize = 200;
    let node = Node::start(cores);
    let mut js = node.js();
    js.add_stream("W", &["w.>"], json!({"retention": "workqueue"}));
    js.add_consumer("W", "C", json!({}));
    for n in 0..MESSAGES {
        js.publish(&format!("w.{n}"), "job");
    }
    let workers: Vec<_> = (0..WORKERS)
        .map(|_| {
            let mut js = node.js();
            std::thread::spawn(move || {
                let mut done = Vec::new();
                loop {
                    let batch = js.fetch("W", "C", 10);
                    if batch.is_empty() {
                        return done;
                    }
                    for msg in batch {
                        js.ack(&msg);
                        done.push(msg.subject);
                    }
                }
            })
        })
        .collect();
    let mut done: Vec<String> = workers
        .into_iter()
        .flat_map(|worker| worker.join().expect("a worker"))
        .collect();
    done.sort();
    let mut expected: Vec<String> = (0..MESSAGES).map(|n| format!("w.{n}")).collect();
    expected.sort();
    assert_eq!(done, expected);
    assert_eq!(js.state("W")["messages"], 0);
}

fn a_push_consumer_delivers_while_somebody_listens(cores: usize) {
    let node = Node::start(cores);
    let mut js = node.js();
    js.add_stream("S", &["s"], json!({}));
    js.publish("s", "1");
    js.add_consumer("S", "P", json!({"deliver_subject": "to.me"}));
    let mut listener = Js::connect(node.server.addr());
    listener.client.send("SUB to.me me\r\n");
    let first = listener.client.msg();
    assert_eq!((first.subject.as_str(), first.text().as_str()), ("s", "1"));
    listener.ack(&first);
    js.publish("s", "2");
    assert_eq!(listener.client.msg().text(), "2");
    let info = js.api_ok("CONSUMER.INFO.S.P", Value::Null);
    assert_eq!(info["push_bound"], true);
    assert_eq!(info["delivered"]["stream_seq"], 2);
}

fn a_group_of_listeners_shares_what_is_pushed(cores: usize) {
    const MESSAGES: usize = 60;
    let node = Node::start(cores);
    let mut js = node.js();
    js.add_stream("S", &["s"], json!({}));
    let config = json!({"deliver_subject": "to.group", "deliver_group": "g", "ack_policy": "none"});
    let mut listeners: Vec<Js> = (0..3).map(|_| node.js()).collect();
    for listener in &mut listeners {
        listener.client.send("SUB to.group g me\r\n");
        listener.client.flush();
    }
    js.add_consumer("S", "P", config);
    for n in 0..MESSAGES {
        js.publish("s", format!("{n}"));
    }
    let threads: Vec<_> = listeners
        .into_iter()
        .map(|mut listener| {
            std::thread::spawn(move || {
                let mut got = 0;
                while let Some(line) = listener.client.line_or_close() {
                    got += usize::from(line.starts_with("MSG "));
                }
                got
            })
        })
        .collect();
    // The third of three requests sees all deliveries counted.
    loop {
        let info = js.api_ok("CONSUMER.INFO.S.P", Value::Null);
        if info["delivered"]["consumer_seq"] == MESSAGES {
            break;
        }
    }
    node.server.signal("TERM");
    let got: usize = threads
        .into_iter()
        .map(|t| t.join().expect("a listener"))
        .sum();
    assert_eq!(got, MESSAGES);
}

fn filters_choose_and_counts_are_exact(cores: usize) {
    let node = Node::start(cores);
    let mut js = node.js();
    js.add_stream("S", &["s.>"], json!({}));
    for n in 0..30 {
        js.publish(&format!("s.{}.x", n % 3), format!("{n}"));
    }
    let created = js.add_consumer("S", "C", json!({"filter_subject": "s.1.*"}));
    assert_eq!(created["num_pending"], 10);
    let got: Vec<String> = js.fetch("S", "C", 4).iter().map(|m| m.text()).collect();
    assert_eq!(got, ["1", "4", "7", "10"]);
    js.publish("s.1.y", "new");
    js.publish("s.2.y", "other");
    let info = js.api_ok("CONSUMER.INFO.S.C", Value::Null);
    assert_eq!(
        (&info["num_pending"], &info["num_ack_pending"]),
        (&json!(7), &json!(4))
    );
    js.api_ok("STREAM.PURGE.S", json!({"filter": "s.1.x"}));
    let info = js.api_ok("CONSUMER.INFO.S.C", Value::Null);
    assert_eq!(info["num_pending"], 1);
    let left = js.fetch("S", "C", 10);
    assert_eq!(left.iter().map(|m| m.text()).collect::<Vec<_>>(), ["new"]);
}

fn requests_wait_expire_and_say_why(cores: usize) {
    let node = Node::start(cores);
    let mut js = node.js();
    js.add_stream("S", &["s"], json!({}));
    js.add_consumer("S", "C", json!({}));
    let subject = "$JS.API.CONSUMER.MSG.NEXT.S.C";
    let status = |js: &mut Js, body: &str| {
        let answer = js.request(subject, body);
        assert!(is_status(&answer), "{answer:?}");
        String::from_utf8(answer.headers.unwrap()).unwrap()
    };
    assert!(status(&mut js, "{\"no_wait\":true}").starts_with("NATS/1.0 404 No Messages\r\n"));
    let expired = status(&mut js, "{\"batch\":2,\"expires\":50000000}");
    assert!(
        expired.starts_with("NATS/1.0 408 Request Timeout\r\n"),
        "{expired}"
    );
    assert!(
        expired.contains("Nats-Pending-Messages: 2\r\n"),
        "{expired}"
    );
    let bad = status(
        &mut js,
        "{\"expires\":1000000000,\"idle_heartbeat\":900000000}",
    );
    assert!(
        bad.starts_with("NATS/1.0 400 Bad Request - heartbeat value too large"),
        "{bad}"
    );
    let missing = js.request("$JS.API.CONSUMER.MSG.NEXT.S.nobody", "");
    let headers = String::from_utf8(missing.headers.unwrap()).unwrap();
    assert!(headers.starts_with("NATS/1.0 503"), "{headers}");
}

/// The last message of each key, by direct get and by a consumer.
fn the_last_of_each_subject(cores: usize) {
    let node = Node::start(cores);
    let mut js = node.js();
    js.add_stream(
        "KV",
        &["kv.>"],
        json!({"max_msgs_per_subject": 1, "allow_direct": true}),
    );
    let mut last = BTreeMap::new();
    for n in 0..50 {
        let key = format!("kv.{}", n % 7);
        js.publish(&key, format!("{n}"));
        last.insert(key, format!("{n}"));
    }
    for (key, value) in &last {
        let got = js.request(&format!("$JS.API.DIRECT.GET.KV.{key}"), "");
        assert_eq!(got.text(), *value);
        let headers = String::from_utf8(got.headers.unwrap()).unwrap();
        assert!(
            headers.contains(&format!("Nats-Subject: {key}\r\n")),
            "{headers}"
        );
    }
    js.add_consumer(
        "KV",
        "C",
        json!({"deliver_policy": "last_per_subject", "filter_subject": "kv.>", "ack_policy": "none"}),
    );
    let got: BTreeMap<String, String> = js
        .fetch("KV", "C", 100)
        .into_iter()
        .map(|m| (m.subject.clone(), m.text()))
        .collect();
    assert_eq!(got, last);
}

on_cores!(
    what_is_not_acknowledged_comes_again,
    a_work_queue_gives_each_message_to_one_worker,
    a_push_consumer_delivers_while_somebody_listens,
    a_group_of_listeners_shares_what_is_pushed,
    filters_choose_and_counts_are_exact,
    requests_wait_expire_and_say_why,
    the_last_of_each_subject,
);
