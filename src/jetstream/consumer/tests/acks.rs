//! Acknowledgements and redelivery, as asked of nats-server 2.15.1.

use super::*;

fn world(config: &str, messages: usize) -> (World, Vec<String>) {
    let mut world = World::new();
    world.create(config);
    for at in 0..messages {
        world.publish("s", &at.to_string());
    }
    world.pull("a", &messages.to_string(), "p");
    let replies = world.sent().into_iter().map(|sent| sent.reply).collect();
    (world, replies)
}

const EXPLICIT: &str = r#"{"durable_name":"a","ack_policy":"explicit","ack_wait":2000000000}"#;

#[test]
fn the_floor_follows_the_oldest_that_is_missing() {
    let (mut world, acks) = world(EXPLICIT, 4);
    world.ack(&acks[1], "+ACK", "ok");
    assert_eq!(world.heard(), [""]);
    assert_eq!(world.numbers("a"), [4, 4, 0, 0, 3, 0, 0]);
    world.ack(&acks[0], "", "");
    assert_eq!(world.numbers("a"), [4, 4, 2, 2, 2, 0, 0]);
    assert!(world.info("a").ack_floor.last_active.is_some());
    // Once more, and what was never delivered: nothing changes.
    world.ack(&acks[0], "", "ok");
    assert_eq!(world.heard(), [""]);
    world.ack("$JS.ACK.S.a.1.9.9.1.1", "", "ok");
    world.ack("$JS.ACK.S.a.1.9", "", "ok");
    assert!(world.heard().is_empty());
    world.ack(&acks[2], "+OK", "");
    world.ack(&acks[3], "+ACK", "");
    assert_eq!(world.numbers("a"), [4, 4, 4, 4, 0, 0, 0]);
}

#[test]
fn all_verbs_but_next_are_confirmed() {
    let (mut world, acks) = world(EXPLICIT, 1);
    for verb in ["+WPI", "garbage", "-NAK", "+TERM done", "+ACK"] {
        world.ack(&acks[0], verb, "ok");
        let sent = world.sent();
        assert_eq!(sent.len(), 1, "{verb}");
        assert_eq!((sent[0].to.as_str(), sent[0].payload.as_str()), ("ok", ""));
    }
}

#[test]
fn time_brings_messages_back_in_order() {
    let (mut world, acks) = world(EXPLICIT, 3);
    world.pass(SECOND);
    // Work in progress: the time starts anew.
    world.ack(&acks[0], "+WPI", "");
    world.pull("a", r#"{"batch":3,"expires":10000000000}"#, "p");
    world.pass(SECOND);
    let sent = world.sent();
    let replies: Vec<&str> = sent.iter().map(|sent| sent.reply.as_str()).collect();
    assert_eq!(replies.len(), 2);
    assert!(replies[0].starts_with("$JS.ACK.S.a.2.2.4."));
    assert!(replies[1].starts_with("$JS.ACK.S.a.2.3.5."));
    assert_eq!(world.numbers("a"), [5, 3, 0, 0, 3, 2, 0]);
    world.pass(SECOND);
    assert!(world.sent()[0].reply.starts_with("$JS.ACK.S.a.2.1.6."));
    assert_eq!(world.numbers("a"), [6, 3, 0, 0, 3, 3, 0]);
}

#[test]
fn a_nak_brings_it_back_at_once_or_later() {
    let (mut world, acks) = world(EXPLICIT, 2);
    world.publish("s", "new");
    world.ack(&acks[1], "-NAK {\"delay\":300000000}", "");
    world.ack(&acks[0], "-NAK", "");
    world.pull("a", r#"{"batch":3,"expires":10000000000}"#, "p");
    assert_eq!(world.heard(), ["0", "new"]);
    world.pass(300_000_000);
    assert_eq!(world.heard(), ["1"]);
    let naked = |sequence| EventKind::Naked {
        consumer_sequence: sequence,
        stream_sequence: sequence,
        deliveries: 1,
    };
    assert_eq!(world.events(), [naked(2), naked(1)]);
}

#[test]
fn a_terminated_message_does_not_come_back() {
    let (mut world, acks) = world(EXPLICIT, 1);
    world.ack(&acks[0], "+TERM  because of X ", "");
    assert_eq!(
        world.events(),
        [EventKind::Terminated {
            consumer_sequence: 1,
            stream_sequence: 1,
            deliveries: 1,
            reason: "because of X".to_owned(),
        }]
    );
    world.pull("a", r#"{"batch":1,"expires":10000000000}"#, "p");
    world.pass(5 * SECOND);
    assert!(world.heard().is_empty());
    assert_eq!(world.numbers("a"), [1, 1, 1, 1, 0, 0, 0]);
}

#[test]
fn next_acknowledges_and_asks_for_more() {
    let (mut world, acks) = world(EXPLICIT, 1);
    for at in 1..8 {
        world.publish("s", &at.to_string());
    }
    world.ack(&acks[0], "+NXT 2", "nx");
    assert_eq!(world.heard(), ["1", "2"]);
    world.ack(&acks[0], r#"+NXT {"batch":1,"no_wait":true}"#, "nx");
    world.ack(&acks[0], "+NXT", "nx");
    assert_eq!(world.heard(), ["3", "4"]);
    world.ack(&acks[0], "+NXT3", "nx");
    assert_eq!(world.heard(), ["5", "6", "7"]);
    assert_eq!(world.numbers("a"), [8, 8, 1, 1, 7, 0, 0]);
}

#[test]
fn one_acknowledgement_may_cover_all_before() {
    let (mut world, acks) = world(
        r#"{"durable_name":"a","ack_policy":"all","ack_wait":2000000000}"#,
        6,
    );
    world.ack(&acks[3], "+ACK", "x");
    assert_eq!(world.heard(), [""]);
    assert_eq!(world.numbers("a"), [6, 6, 4, 4, 2, 0, 0]);
    world.ack(&acks[5], "-NAK", "");
    world.pull("a", "1", "p");
    assert_eq!(world.heard(), ["5"]);
    world.ack(&acks[4], "+TERM", "");
    assert_eq!(world.numbers("a"), [7, 6, 5, 5, 1, 1, 0]);
}

#[test]
fn without_acknowledgement_the_floor_goes_along() {
    let (mut world, _) = world(r#"{"durable_name":"a"}"#, 3);
    assert_eq!(world.numbers("a"), [3, 3, 3, 3, 0, 0, 0]);
    assert!(world.info("a").ack_floor.last_active.is_none());
}

#[test]
fn backoff_stretches_the_time_and_the_last_step_repeats() {
    let (mut world, _) = world(
        r#"{"durable_name":"a","ack_policy":"explicit","backoff":[1000000000,3000000000]}"#,
        1,
    );
    world.pull("a", r#"{"batch":9,"expires":60000000000}"#, "p");
    world.pass(SECOND);
    assert_eq!(world.heard().len(), 1);
    world.pass(2 * SECOND);
    assert!(world.heard().is_empty());
    world.pass(SECOND);
    assert_eq!(world.heard().len(), 1);
    world.pass(3 * SECOND);
    assert_eq!(world.heard().len(), 1);
}

/// The advisory comes when the message would be delivered again, not before.
#[test]
fn deliveries_are_limited() {
    let (mut world, acks) = world(
        r#"{"durable_name":"a","ack_policy":"explicit","ack_wait":300000000,"max_deliver":2}"#,
        1,
    );
    world.pass(SECOND / 2);
    world.pull("a", "1", "p");
    assert_eq!(world.heard(), ["0"]);
    world.pass(SECOND / 2);
    assert_eq!(world.events(), []);
    assert_eq!(world.numbers("a"), [2, 1, 0, 0, 1, 1, 0]);
    world.pull("a", r#"{"no_wait":true}"#, "p");
    assert_eq!(world.heard(), ["p 404 No Messages"]);
    assert_eq!(
        world.events(),
        [EventKind::MaxDeliveries {
            stream_sequence: 1,
            deliveries: 2
        }]
    );
    // It counts as redelivered until it is acknowledged after all.
    assert_eq!(world.numbers("a"), [2, 1, 0, 0, 0, 1, 0]);
    world.ack(&acks[0], "", "");
    assert_eq!(world.numbers("a"), [2, 1, 0, 0, 0, 0, 0]);
}

/// With a single delivery nobody has to ask for it.
#[test]
fn a_single_delivery_is_given_up_when_its_time_is_over() {
    let (mut world, _) = world(
        r#"{"durable_name":"a","ack_policy":"explicit","ack_wait":300000000,"max_deliver":1}"#,
        1,
    );
    world.pass(SECOND);
    assert_eq!(
        world.events(),
        [EventKind::MaxDeliveries {
            stream_sequence: 1,
            deliveries: 1
        }]
    );
    assert_eq!(world.numbers("a"), [1, 1, 0, 0, 0, 0, 0]);
}

/// The floor is the delivery that was acknowledged, although later ones went to messages before.
#[test]
fn the_floor_of_many_is_the_delivery_that_was_acknowledged() {
    let (mut world, acks) = world(r#"{"durable_name":"a","ack_policy":"all"}"#, 6);
    world.publish("s", "6");
    world.ack(&acks[5], "-NAK", "");
    world.pull("a", "2", "p");
    assert_eq!(world.heard(), ["5", "6"]);
    world.ack(&acks[5], "", "");
    assert_eq!(world.numbers("a"), [8, 7, 6, 6, 1, 0, 0]);
}

#[test]
fn acknowledgements_are_sampled() {
    let (mut world, acks) = world(
        r#"{"durable_name":"a","ack_policy":"explicit","sample_freq":"100%"}"#,
        1,
    );
    world.pass(SECOND);
    world.ack(&acks[0], "", "");
    assert_eq!(
        world.events(),
        [EventKind::Acknowledged {
            consumer_sequence: 1,
            stream_sequence: 1,
            deliveries: 1,
            ack_time: SECOND,
        }]
    );
}

#[test]
fn the_stream_hears_what_it_may_let_go() {
    let mut world = World::with(StreamFacts {
        wants_acknowledged: true,
        ..StreamFacts::default()
    });
    world.create(EXPLICIT);
    world.create(r#"{"durable_name":"all","ack_policy":"all"}"#);
    world.create(r#"{"durable_name":"none"}"#);
    for _ in 0..3 {
        world.publish("s", "x");
    }
    let mut acknowledged = Vec::new();
    for (name, acks, expected) in [
        ("a", &[0, 1][..], &[(1, 2)][..]),
        ("all", &[1], &[(1, 2)]),
        ("none", &[], &[(1, 3)]),
    ] {
        world.pull(name, "3", "p");
        let sent = world.sent();
        for &at in acks {
            world.ack(&sent[at].reply, "", "");
        }
        world.consumers.take_acknowledged(&mut acknowledged);
        assert_eq!(acknowledged, expected, "{name}");
    }
    assert!(!world.consumers.is_wanted(1, b"s"));
    assert!(!world.consumers.is_wanted(2, b"s"));
    assert!(world.consumers.is_wanted(3, b"s"));
}
