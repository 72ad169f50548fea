//! What publishers get.

use serde_json::json;

use super::{Node, on_cores};

fn each_message_gets_the_next_sequence(cores: usize) {
    let node = Node::start(cores);
    let mut js = node.js();
    js.add_stream("S", &["s.>"], json!({}));
    for seq in 1..=10 {
        let ack = js.publish("s.a", format!("{seq}"));
        assert_eq!(ack, json!({"stream": "S", "seq": seq}));
    }
    let state = js.state("S");
    assert_eq!(state["messages"], 10);
    assert_eq!(state["num_subjects"], 1);
    // 22 + subject + payload + 8, as nats-server accounts for it.
    assert_eq!(state["bytes"], 10 * (22 + 3 + 1 + 8) + 1);
    assert_eq!(js.stored("S", 7), Ok(b"7".to_vec()));
}

fn many_publishers_share_a_stream_and_keep_their_order(cores: usize) {
    const PUBLISHERS: usize = 8;
    const MESSAGES: usize = 200;
    let node = Node::start(cores);
    let mut js = node.js();
    js.add_stream("S", &["s.*"], json!({}));
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|publisher| {
            let mut js = node.js();
            std::thread::spawn(move || {
                for n in 0..MESSAGES {
                    js.send(&format!("s.{publisher}"), &[], format!("{n}").as_bytes());
                }
                let mut last = 0;
                for _ in 0..MESSAGES {
                    let msg = js.client.msg();
                    let ack: serde_json::Value = serde_json::from_slice(&msg.payload).unwrap();
                    let seq = ack["seq"].as_u64().expect("a sequence");
                    assert!(seq > last, "acknowledgements in order");
                    last = seq;
                }
            })
        })
        .collect();
    for publisher in publishers {
        publisher.join().expect("a publisher");
    }
    assert_eq!(js.state("S")["messages"], PUBLISHERS * MESSAGES);
    js.add_consumer("S", "C", json!({"ack_policy": "none"}));
    let mut next = [0; PUBLISHERS];
    let messages = js.fetch("S", "C", PUBLISHERS * MESSAGES);
    assert_eq!(messages.len(), PUBLISHERS * MESSAGES);
    for msg in messages {
        let publisher: usize = msg.subject[2..].parse().unwrap();
        assert_eq!(msg.text(), next[publisher].to_string());
        next[publisher] += 1;
    }
}

fn a_message_id_is_stored_once(cores: usize) {
    let node = Node::start(cores);
    let mut js = node.js();
    js.add_stream("S", &["s"], json!({}));
    let id = [("Nats-Msg-Id", "one")];
    assert_eq!(js.publish_with("s", &id, "a")["seq"], 1);
    let again = node.js().publish_with("s", &id, "b");
    assert_eq!(again, json!({"stream": "S", "seq": 1, "duplicate": true}));
    assert_eq!(js.state("S")["messages"], 1);
}

fn expectations_are_checked(cores: usize) {
    let node = Node::start(cores);
    let mut js = node.js();
    js.add_stream("S", &["s.>"], json!({}));
    js.publish("s.a", "1");
    let code = |answer: serde_json::Value| answer["error"]["err_code"].clone();
    for (header, value, expected) in [
        ("Nats-Expected-Stream", "T", 10060),
        ("Nats-Expected-Last-Sequence", "5", 10071),
        ("Nats-Expected-Last-Msg-Id", "x", 10070),
        ("Nats-Expected-Last-Subject-Sequence", "9", 10071),
    ] {
        let answer = js.publish_with("s.a", &[(header, value)], "no");
        assert_eq!(code(answer), expected, "{header}");
    }
    let good = [
        ("Nats-Expected-Stream", "S"),
        ("Nats-Expected-Last-Sequence", "1"),
        ("Nats-Expected-Last-Subject-Sequence", "1"),
    ];
    assert_eq!(js.publish_with("s.a", &good, "2")["seq"], 2);
    let none = [("Nats-Expected-Last-Subject-Sequence", "0")];
    assert_eq!(js.publish_with("s.new", &none, "3")["seq"], 3);
}

fn limits_drop_the_oldest_or_refuse_the_newest(cores: usize) {
    let node = Node::start(cores);
    let mut js = node.js();
    js.add_stream("OLD", &["old"], json!({"max_msgs": 3}));
    js.add_stream("NEW", &["new"], json!({"max_msgs": 3, "discard": "new"}));
    for n in 0..5 {
        js.publish("old", format!("{n}"));
    }
    let state = js.state("OLD");
    assert_eq!(
        (&state["first_seq"], &state["messages"]),
        (&json!(3), &json!(3))
    );
    for _ in 0..3 {
        js.publish("new", "x");
    }
    let refused = js.publish("new", "x");
    assert_eq!(refused["error"]["err_code"], 10077);
    assert_eq!(refused["error"]["description"], "maximum messages exceeded");
    assert_eq!(js.state("NEW")["last_seq"], 3);
}

fn nobody_stores_it_is_told_at_once(cores: usize) {
    let node = Node::start(cores);
    let mut js = node.js();
    js.add_stream("S", &["s"], json!({}));
    js.api_ok("STREAM.DELETE.S", serde_json::Value::Null);
    let answer = js.request("s", "x");
    let headers = String::from_utf8(answer.headers.expect("a status")).unwrap();
    assert!(headers.starts_with("NATS/1.0 503"), "{headers}");
}

on_cores!(
    each_message_gets_the_next_sequence,
    many_publishers_share_a_stream_and_keep_their_order,
    a_message_id_is_stored_once,
    expectations_are_checked,
    limits_drop_the_oldest_or_refuse_the_newest,
    nobody_stores_it_is_told_at_once,
);
