//! Priority groups, as asked of nats-server 2.15.1.

use super::*;

fn world(policy: &str) -> World {
    let mut world = World::new();
    world.create(&format!(
        r#"{{"durable_name":"a","ack_policy":"explicit","priority_groups":["A"],"priority_policy":"{policy}"}}"#
    ));
    world
}

fn pin_of(sent: &Sent) -> String {
    let value = sent.header.split("Nats-Pin-Id: ").nth(1).unwrap();
    value.trim_end().to_owned()
}

#[test]
fn the_group_has_to_be_named() {
    for policy in ["overflow", "pinned_client", "prioritized"] {
        let mut world = world(policy);
        world.pull("a", r#"{"no_wait":true}"#, "p");
        world.pull("a", r#"{"no_wait":true,"group":"B"}"#, "p");
        world.pull("a", r#"{"no_wait":true,"group":"A"}"#, "p");
        assert_eq!(
            world.heard(),
            [
                "p 400 Bad Request - Priority Group missing",
                "p 400 Bad Request - Invalid Priority Group",
                "p 404 No Messages"
            ]
        );
    }
}

#[test]
fn overflow_serves_when_much_waits() {
    let mut world = world("overflow");
    for at in 0..3 {
        world.publish("s", &at.to_string());
    }
    world.pull(
        "a",
        r#"{"batch":2,"expires":500000000,"group":"A","min_pending":3}"#,
        "m1",
    );
    assert_eq!(world.heard(), ["0"]);
    world.pass(SECOND);
    assert_eq!(world.heard(), ["m1 408 Request Timeout"]);
    world.pull(
        "a",
        r#"{"batch":1,"expires":500000000,"group":"A","min_ack_pending":2}"#,
        "m2",
    );
    assert!(world.heard().is_empty());
    world.pull("a", r#"{"batch":1,"expires":500000000,"group":"A"}"#, "m3");
    assert_eq!(world.heard(), ["1", "2"]);
    world.publish("s", "3");
    world.pull(
        "a",
        r#"{"no_wait":true,"group":"A","min_pending":100}"#,
        "m4",
    );
    assert_eq!(world.heard(), ["m4 404 No Messages"]);
}

#[test]
fn low_priorities_come_first() {
    let mut world = world("prioritized");
    for (priority, reply) in [(5, "five"), (1, "one"), (10, "ten"), (-1, "minus")] {
        let body =
            format!(r#"{{"batch":2,"expires":1000000000,"group":"A","priority":{priority}}}"#);
        world.pull("a", &body, reply);
    }
    for _ in 0..4 {
        world.publish("s", "x");
    }
    world.settle();
    let to: Vec<String> = world.sent().into_iter().map(|sent| sent.to).collect();
    assert_eq!(to, ["ten", "minus", "one", "one", "five", "five"]);
}

#[test]
fn one_client_has_the_pin() {
    let mut world = world("pinned_client");
    world.pull("a", r#"{"batch":1,"expires":9000000000,"group":"A"}"#, "w1");
    world.pull("a", r#"{"batch":1,"expires":9000000000,"group":"A"}"#, "w2");
    world.publish("s", "0");
    world.publish("s", "1");
    world.settle();
    let sent = world.sent();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].to, "w1");
    let pin = pin_of(&sent[0]);
    assert_eq!(pin.len(), 22);
    let info = world.info("a");
    assert_eq!(info.priority_groups[0].pinned_client_id, pin);
    world.pull(
        "a",
        r#"{"batch":1,"expires":1,"group":"A","id":"wrong"}"#,
        "w3",
    );
    assert_eq!(world.heard(), ["w3 423 Nats-Pin-Id mismatch"]);
    let body = format!(r#"{{"batch":2,"expires":9000000000,"group":"A","id":"{pin}"}}"#);
    world.pull("a", &body, "w4");
    assert_eq!(world.heard(), ["1"]);
    assert_eq!(
        world.events(),
        [EventKind::Pinned {
            group: "A".to_owned(),
            pin
        }]
    );
    // Without its pin the client's request ends, and the other one is served.
    let (consumers, mut context) = world.split();
    assert!(consumers.unpin(&mut context, 0, "B").is_err());
    consumers.unpin(&mut context, 0, "A").unwrap();
    assert_eq!(world.heard(), ["w4 423 Nats-Wrong-Pin-Id"]);
    world.publish("s", "2");
    world.settle();
    let sent = world.sent();
    assert_eq!((sent[0].to.as_str(), sent[0].payload.as_str()), ("w2", "2"));
    let kinds = world.events();
    assert_eq!(
        kinds[0],
        EventKind::Unpinned {
            group: "A".to_owned(),
            reason: "admin"
        }
    );
    assert!(matches!(kinds[1], EventKind::Pinned { .. }));
}

#[test]
fn a_pin_is_lost_in_time() {
    let mut world = world("pinned_client");
    world.publish("s", "0");
    world.pull("a", r#"{"batch":1,"expires":9000000000,"group":"A"}"#, "w1");
    world.sent();
    world.events();
    world.pass(119 * SECOND);
    assert_eq!(world.events(), []);
    world.pass(SECOND);
    assert_eq!(
        world.events(),
        [EventKind::Unpinned {
            group: "A".to_owned(),
            reason: "timeout"
        }]
    );
    assert_eq!(world.info("a").priority_groups[0].pinned_client_id, "");
}
