//! The flush barrier of JetStream: what a reply announces is in force on every core.

use serde_json::{Value, json};

use super::{Node, on_cores};

fn a_created_stream_stores_what_anybody_publishes_next(cores: usize) {
    let node = Node::start(cores);
    let mut js = node.js();
    let mut others: Vec<_> = (0..8).map(|_| node.js()).collect();
    for round in 0..20 {
        let name = format!("S{round}");
        let subject = format!("s.{round}");
        js.add_stream(&name, &[&subject], json!({}));
        for (n, other) in others.iter_mut().enumerate() {
            assert_eq!(other.publish(&subject, "x")["seq"], n + 1, "{name}");
        }
        js.api_ok(&format!("STREAM.DELETE.{name}"), Value::Null);
        for other in &mut others {
            let answer = other.request(&subject, "x");
            assert!(
                answer.headers.is_some(),
                "503 after the delete, got {answer:?}"
            );
        }
    }
}

fn a_created_consumer_answers_whoever_asks_next(cores: usize) {
    let node = Node::start(cores);
    let mut js = node.js();
    js.add_stream("S", &["s"], json!({}));
    js.publish("s", "x");
    let mut others: Vec<_> = (0..8).map(|_| node.js()).collect();
    for round in 0..20 {
        let name = format!("C{round}");
        js.add_consumer("S", &name, json!({"ack_policy": "none"}));
        let other = &mut others[round % 8];
        assert_eq!(other.fetch("S", &name, 1).len(), 1, "{name}");
    }
}

fn names_and_lists_gather_all_cores(cores: usize) {
    let node = Node::start(cores);
    let mut js = node.js();
    let names: Vec<String> = (0..30).map(|n| format!("S{n:02}")).collect();
    for name in &names {
        js.add_stream(name, &[&format!("s.{name}")], json!({"storage": "memory"}));
        js.publish(&format!("s.{name}"), "x");
    }
    let listed = js.api_ok("STREAM.NAMES", Value::Null);
    assert_eq!(listed["streams"], json!(names));
    let listed = js.api_ok("STREAM.LIST", Value::Null);
    let streams = listed["streams"].as_array().expect("streams");
    assert_eq!(streams.len(), 30);
    assert!(streams.iter().all(|s| s["state"]["messages"] == 1));
    let account = js.api_ok("INFO", Value::Null);
    assert_eq!(account["streams"], 30);
    let twice = js.api(
        "STREAM.CREATE.X",
        json!({"name": "X", "subjects": ["s.S07"]}),
    );
    assert_eq!(twice["error"]["err_code"], 10065);
}

on_cores!(
    a_created_stream_stores_what_anybody_publishes_next,
    a_created_consumer_answers_whoever_asks_next,
    names_and_lists_gather_all_cores,
);
