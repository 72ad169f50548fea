//! Pull requests and their statuses, as asked of nats-server 2.15.1.

use super::*;

fn world(messages: usize) -> World {
    let mut world = World::new();
    for at in 0..messages {
        world.publish(&format!("s.{at}"), "x");
    }
    world.create(r#"{"durable_name":"a","ack_policy":"explicit"}"#);
    world
}

#[test]
fn messages_come_with_the_subject_to_acknowledge_on() {
    let mut world = world(2);
    world.pull("a", r#"{"batch":2,"no_wait":true}"#, "in.p");
    let time = 1_700_000_000_000_001_000u64;
    let expected = |subject: &str, reply: String| Sent {
        to: "in.p".to_owned(),
        subject: subject.to_owned(),
        reply,
        header: String::new(),
        payload: "x".to_owned(),
    };
    assert_eq!(
        world.sent(),
        [
            expected("s.0", format!("$JS.ACK.S.a.1.1.1.{time}.1")),
            expected("s.1", format!("$JS.ACK.S.a.1.2.2.{}.0", time + 1_000)),
        ]
    );
    assert_eq!(world.numbers("a"), [2, 2, 0, 0, 2, 0, 0]);
}

#[test]
fn a_request_that_does_not_wait_ends_when_all_was_delivered() {
    let mut world = world(3);
    world.pull(
        "a",
        r#"{"batch":2,"no_wait":true,"expires":500000000}"#,
        "p",
    );
    assert_eq!(world.heard(), ["x", "x"]);
    world.pull(
        "a",
        r#"{"batch":6,"no_wait":true,"expires":500000000}"#,
        "p",
    );
    assert_eq!(world.heard(), ["x", "p 404 No Messages"]);
    // With nothing there at all it waits until it expires, or for the first messages.
    world.pull(
        "a",
        r#"{"batch":6,"no_wait":true,"expires":500000000}"#,
        "p",
    );
    assert!(world.heard().is_empty());
    world.pass(SECOND / 2);
    let sent = world.sent();
    assert_eq!(
        sent[0].header,
        "NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 6\r\nNats-Pending-Bytes: 0\r\n\r\n"
    );
    world.pull(
        "a",
        r#"{"batch":6,"no_wait":true,"expires":500000000}"#,
        "p",
    );
    world.publish("s.9", "late");
    world.settle();
    assert_eq!(world.heard(), ["late", "p 404 No Messages"]);
    world.pull("a", r#"{"no_wait":true}"#, "p");
    assert_eq!(world.heard(), ["p 404 No Messages"]);
}

#[test]
fn requests_in_front_come_first() {
    let mut world = world(0);
    world.pull("a", r#"{"batch":10,"expires":1000000000}"#, "w1");
    world.pull("a", r#"{"batch":1,"no_wait":true}"#, "w2");
    assert_eq!(world.heard(), ["w2 404 No Messages"]);
    world.publish("s.1", "x");
    // Before the first request is served.
    let (consumers, mut context) = world.split();
    let message = Incoming {
        reply: b"w3",
        payload: br#"{"batch":1,"no_wait":true}"#,
        ..Incoming::default()
    };
    consumers.pull(&mut context, b"a", &message);
    world.settle();
    assert_eq!(world.heard(), ["w3 408 Requests Pending", "x"]);
}

#[test]
fn too_many_requests_are_refused_unless_they_have_a_heartbeat() {
    let mut world = World::new();
    world.create(r#"{"durable_name":"c","ack_policy":"explicit","max_waiting":2}"#);
    for reply in ["w1", "w2", "w3"] {
        world.pull("c", r#"{"batch":1,"expires":1000000000}"#, reply);
    }
    world.pull(
        "c",
        r#"{"batch":1,"expires":1000000000,"idle_heartbeat":200000000}"#,
        "w4",
    );
    world.pull("c", r#"{"batch":1,"no_wait":true}"#, "w5");
    assert_eq!(
        world.heard(),
        ["w3 409 Exceeded MaxWaiting", "w5 404 No Messages"]
    );
    assert_eq!(world.info("c").num_waiting, 2);
    // A client that left makes room.
    world.bus.deaf.insert("w1".to_owned());
    assert_eq!(world.info("c").num_waiting, 1);
    world.pull("c", r#"{"batch":1,"expires":1000000000}"#, "w6");
    assert!(world.heard().is_empty());
}

#[test]
fn requests_beyond_the_consumers_limits_are_refused() {
    let mut world = World::new();
    world
        .create(r#"{"durable_name":"d","max_batch":2,"max_expires":60000000000,"max_bytes":1024}"#);
    world.pull("d", r#"{"batch":3}"#, "p");
    world.pull("d", r#"{"batch":1,"expires":61000000000}"#, "p");
    world.pull("d", r#"{"batch":1,"max_bytes":1025,"expires":1000}"#, "p");
    world.pull(
        "d",
        r#"{"batch":1,"expires":10000000,"idle_heartbeat":6000000}"#,
        "p",
    );
    world.pull("d", r#"{"batch":"x"}"#, "p");
    world.pull("d", r#"{"min_pending":3}"#, "p");
    world.pull("d", r#"{"id":"x"}"#, "p");
    assert_eq!(
        world.heard(),
        [
            "p 409 Exceeded MaxRequestBatch of 2",
            "p 409 Exceeded MaxRequestExpires of 1m0s",
            "p 409 Exceeded MaxRequestMaxBytes of 1024",
            "p 400 Bad Request - heartbeat value too large",
            "p 400 Bad Request - json: cannot unmarshal string into Go struct field .batch of type int",
            "p 400 Bad Request - Not a Overflow Priority consumer",
            "p 400 Bad Request - Not a Pinned Client Priority consumer",
        ]
    );
}

#[test]
fn requests_take_turns() {
    let mut world = World::new();
    world.create(r#"{"durable_name":"e","ack_policy":"explicit"}"#);
    world.pull("e", r#"{"batch":3,"expires":1000000000}"#, "w1");
    world.pull("e", r#"{"batch":2,"expires":1000000000}"#, "w2");
    for at in 0..5 {
        world.publish("s", &at.to_string());
    }
    world.settle();
    let to: Vec<String> = world.sent().into_iter().map(|sent| sent.to).collect();
    assert_eq!(to, ["w1", "w2", "w1", "w2", "w1"]);
}

/// Sizes count subject, acknowledgement subject, header and payload.
#[test]
fn bytes_end_a_request() {
    for spare in [-1, 0, 1] {
        let mut world = world(3);
        let size = ("s.0".len() + "$JS.ACK.S.a.1.1.1.1700000000000001000.2".len() + 1) as i64;
        let limit = size + spare;
        let body = format!(r#"{{"batch":10,"max_bytes":{limit},"expires":250000000}}"#);
        world.pull("a", &body, "p");
        world.pass(SECOND);
        let sent = world.sent();
        let ended = |messages: i64, bytes: i64| {
            format!(
                "NATS/1.0 409 Message Size Exceeds MaxBytes\r\nNats-Pending-Messages: {messages}\r\nNats-Pending-Bytes: {bytes}\r\n\r\n"
            )
        };
        let headers: Vec<String> = sent.into_iter().map(|sent| sent.header).collect();
        let expected = match spare {
            -1 => vec![ended(10, limit)],
            // Exactly its bytes: it ends without a word.
            0 => vec![String::new()],
            _ => vec![String::new(), ended(9, 1)],
        };
        assert_eq!(headers, expected, "{spare}");
    }
}

#[test]
fn heartbeats_come_until_the_request_ends() {
    let mut world = world(1);
    world.pull("a", r#"{"batch":1,"expires":1000000000}"#, "p");
    world.sent();
    world.pull(
        "a",
        r#"{"batch":10,"expires":1000000000,"idle_heartbeat":200000000}"#,
        "p",
    );
    world.pass(300_000_000);
    world.publish("s.h", "h");
    world.settle();
    world.pass(700_000_000);
    let sent = world.sent();
    assert_eq!(
        sent[0].header,
        "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 1\r\nNats-Last-Stream: 1\r\n\r\n"
    );
    assert_eq!(sent[1].payload, "h");
    let beats = sent[2..5].iter().all(|beat| {
        beat.header
            == "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 2\r\nNats-Last-Stream: 2\r\n\r\n"
    });
    assert!(beats, "{sent:?}");
    assert!(
        sent[5]
            .header
            .starts_with("NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 9")
    );
    assert_eq!(sent.len(), 6);
}

#[test]
fn a_request_whose_client_left_loses_no_message() {
    let mut world = World::new();
    world.create(r#"{"durable_name":"j","ack_policy":"explicit"}"#);
    world.pull("j", r#"{"batch":2,"expires":5000000000}"#, "gone");
    world.pull("j", r#"{"batch":2,"expires":5000000000}"#, "p");
    world.bus.deaf.insert("gone".to_owned());
    world.publish("s", "1");
    world.settle();
    let sent = world.sent();
    assert_eq!(sent.len(), 1);
    assert_eq!((sent[0].to.as_str(), sent[0].payload.as_str()), ("p", "1"));
    assert_eq!(world.numbers("j"), [1, 1, 0, 0, 1, 0, 0]);
}

#[test]
fn messages_that_wait_for_acknowledgement_are_limited() {
    let mut world = World::new();
    world.create(r#"{"durable_name":"m","ack_policy":"explicit","max_ack_pending":2}"#);
    for _ in 0..4 {
        world.publish("s", "x");
    }
    world.pull("m", r#"{"batch":5,"expires":5000000000}"#, "p");
    let sent = world.sent();
    assert_eq!(sent.len(), 2);
    world.ack(&sent[1].reply, "", "");
    assert_eq!(world.heard(), ["x"]);
    assert_eq!(world.numbers("m"), [3, 3, 0, 0, 2, 0, 1]);
}

#[test]
fn the_wrong_kind_and_the_wrong_level_are_said() {
    let mut world = world(1);
    world.create(r#"{"durable_name":"l","deliver_subject":"zz"}"#);
    world.pull("l", "1", "p");
    assert_eq!(world.heard(), ["p 409 Consumer is push based"]);
    for (level, answer) in [("9", "p 412 Required Api Level"), ("5", "x")] {
        let header = format!("NATS/1.0\r\nNats-Required-Api-Level: {level}\r\n\r\n");
        let (consumers, mut context) = world.split();
        let message = Incoming {
            reply: b"p",
            header: header.as_bytes(),
            ..Incoming::default()
        };
        consumers.pull(&mut context, b"a", &message);
        world.settle();
        assert_eq!(world.heard(), [answer]);
    }
    let (consumers, mut context) = world.split();
    assert!(!consumers.pull(&mut context, b"nope", &Incoming::default()));
}

#[test]
fn a_receiver_that_is_behind_gets_a_rest() {
    let mut world = world(3);
    world.bus.congested = true;
    world.pull("a", r#"{"batch":3,"expires":5000000000}"#, "p");
    assert_eq!(world.heard(), ["x"]);
    assert!(!world.consumers.has_backlog());
    world.bus.congested = false;
    world.pass(10_000_000);
    assert_eq!(world.heard(), ["x", "x"]);
}

#[test]
fn headers_only_tells_the_size() {
    let mut world = World::new();
    world.publish("s", "hello");
    world.publish_with("s", "NATS/1.0\r\nA: b\r\n\r\n", "hi");
    world.create(r#"{"durable_name":"h","headers_only":true}"#);
    world.pull("h", "2", "p");
    let sent = world.sent();
    assert_eq!(sent[0].header, "NATS/1.0\r\nNats-Msg-Size: 5\r\n\r\n");
    assert_eq!(
        sent[1].header,
        "NATS/1.0\r\nA: b\r\nNats-Msg-Size: 2\r\n\r\n"
    );
    assert!(sent.iter().all(|sent| sent.payload.is_empty()));
}
