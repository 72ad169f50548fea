//! Kill and restart: what was acknowledged is there, once, in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use super::client::stream_sequence;
use super::common::is_ringwire;
use super::{Node, on_cores};

fn what_was_acknowledged_survives_a_kill(cores: usize) {
    const ROUNDS: usize = 4;
    const PUBLISHERS: usize = 4;
    let mut node = Node::start(cores);
    let mut js = node.js();
    js.add_stream("S", &["s.*"], json!({}));
    // Sequence and payload of everything acknowledged.
    let mut acknowledged: Vec<(u64, String)> = Vec::new();
    for round in 0..ROUNDS {
        let stop = Arc::new(AtomicBool::new(false));
        let threads: Vec<_> = (0..PUBLISHERS)
            .map(|publisher| {
                let mut js = node.js();
                let stop = Arc::clone(&stop);
                std::thread::spawn(move || {
                    let mut done = Vec::new();
                    for n in 0.. {
                        let payload = format!("{round}.{publisher}.{n}");
                        let reply = js.reply();
                        js.client
                            .send_anyway(request(&format!("s.{publisher}"), &reply, &payload));
                        let Some(line) = js.client.line_or_close() else {
                            break;
                        };
                        let Some(body) = js.client.line_or_close() else {
                            break;
                        };
                        assert!(line.starts_with("MSG "), "{line}");
                        let ack: Value = serde_json::from_str(&body).expect("an ack");
                        done.push((ack["seq"].as_u64().expect("a sequence"), payload));
                        if n == 50 {
                            stop.store(true, Ordering::Relaxed);
                        }
                    }
                    done
                })
            })
            .collect();
        while !stop.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
        node.server.kill();
        for thread in threads {
            acknowledged.extend(thread.join().expect("a publisher"));
        }
        node.restart(cores);
    }
    let mut js = node.js();
    let state = js.state("S");
    assert!(
        state["messages"].as_u64() >= Some(acknowledged.len() as u64),
        "{state}"
    );
    acknowledged.sort();
    assert!(
        acknowledged.windows(2).all(|w| w[0].0 < w[1].0),
        "a sequence twice"
    );
    for (seq, payload) in acknowledged {
        assert_eq!(js.stored("S", seq), Ok(payload.into_bytes()), "{seq}");
    }
}

fn request(subject: &str, reply: &str, payload: &str) -> String {
    format!("PUB {subject} {reply} {}\r\n{payload}\r\n", payload.len())
}

/// nats-server loses what was acknowledged moments before a kill; here a confirmed
/// acknowledgement is on disk.
fn consumers_go_on_where_they_were(cores: usize) {
    if !is_ringwire() {
        println!("skipped: nats-server does not promise it");
        return;
    }
    let mut node = Node::start(cores);
    let mut js = node.js();
    js.add_stream("S", &["s"], json!({}));
    js.add_consumer("S", "C", json!({"ack_wait": 60_000_000_000_u64}));
    for n in 1..=20 {
        js.publish("s", format!("{n}"));
    }
    for msg in js.fetch("S", "C", 7) {
        js.ack(&msg);
    }
    node.restart(cores);
    let mut js = node.js();
    let info = js.api_ok("CONSUMER.INFO.S.C", Value::Null);
    assert_eq!(info["ack_floor"]["stream_seq"], 7);
    assert_eq!(info["num_pending"], 13);
    let next = js.next("S", "C");
    assert_eq!(stream_sequence(&next), 8);
}

fn what_was_deleted_stays_deleted(cores: usize) {
    let mut node = Node::start(cores);
    let mut js = node.js();
    js.add_stream("S", &["s.>"], json!({}));
    js.add_stream("GONE", &["gone"], json!({}));
    for n in 1..=30 {
        js.publish(&format!("s.{}", n % 3), format!("{n}"));
    }
    js.api_ok("STREAM.MSG.DELETE.S", json!({"seq": 5}));
    js.api_ok("STREAM.PURGE.S", json!({"filter": "s.0"}));
    js.api_ok("STREAM.DELETE.GONE", Value::Null);
    let before = js.state("S");
    node.restart(cores);
    let mut js = node.js();
    let after = js.state("S");
    for field in ["messages", "bytes", "first_seq", "last_seq", "num_subjects"] {
        assert_eq!(before[field], after[field], "{field}");
    }
    assert!(js.stored("S", 5).is_err());
    assert_eq!(js.stored("S", 4), Ok(b"4".to_vec()));
    let answer = js.api("STREAM.INFO.GONE", Value::Null);
    assert_eq!(answer["error"]["err_code"], 10059);
}

fn a_message_id_is_remembered_over_a_restart(cores: usize) {
    let mut node = Node::start(cores);
    let mut js = node.js();
    js.add_stream("S", &["s"], json!({}));
    let id = [("Nats-Msg-Id", "one")];
    js.publish_with("s", &id, "a");
    node.restart(cores);
    let mut js = node.js();
    let again = js.publish_with("s", &id, "b");
    assert_eq!(again["duplicate"], true, "{again}");
}

on_cores!(
    what_was_acknowledged_survives_a_kill,
    consumers_go_on_where_they_were,
    what_was_deleted_stays_deleted,
    a_message_id_is_remembered_over_a_restart,
);
