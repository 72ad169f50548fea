//! Push consumers, as asked of nats-server 2.15.1.

use super::*;

fn interest(world: &mut World, interested: bool) {
    let (consumers, mut context) = world.split();
    let (_, slot) = consumers.names().next().unwrap();
    consumers.interest(&mut context, slot, interested);
    world.settle();
}

#[test]
fn messages_flow_while_somebody_listens() {
    let mut world = World::new();
    world.publish("s", "1");
    world.create(
        r#"{"name":"p","deliver_subject":"dd","ack_policy":"explicit","idle_heartbeat":200000000}"#,
    );
    assert_eq!(world.bus.watched, ["dd"]);
    world.settle();
    assert!(world.heard().is_empty());
    interest(&mut world, true);
    assert_eq!(world.heard(), ["1"]);
    assert!(world.info("p").push_bound);
    world.publish("s", "2");
    world.settle();
    let sent = world.sent();
    assert_eq!(sent[0].to, "dd");
    assert_eq!(sent[0].subject, "s");
    assert!(sent[0].reply.starts_with("$JS.ACK.S.p.1.2.2."));
    interest(&mut world, false);
    world.publish("s", "3");
    world.settle();
    assert!(world.heard().is_empty());
    assert_eq!(world.numbers("p"), [2, 2, 0, 0, 2, 0, 1]);
}

#[test]
fn heartbeats_fill_the_silence() {
    let mut world = World::new();
    world.create(r#"{"name":"p","deliver_subject":"dd","idle_heartbeat":200000000}"#);
    world.pass(SECOND);
    assert!(world.heard().is_empty());
    interest(&mut world, true);
    world.pass(300_000_000);
    world.publish("s", "1");
    world.settle();
    world.pass(300_000_000);
    assert_eq!(
        world.heard(),
        ["dd 100 Idle Heartbeat", "1", "dd 100 Idle Heartbeat"]
    );
    // Also while it is paused.
    let (consumers, mut context) = world.split();
    let slot = consumers.find("p").unwrap();
    let until = crate::jetstream::time::Time::parse("2100-01-01T00:00:00Z").unwrap();
    consumers.pause(&mut context, slot, Some(until));
    world.publish("s", "2");
    world.pass(200_000_000);
    assert_eq!(world.heard(), ["dd 100 Idle Heartbeat"]);
}

#[test]
fn an_ephemeral_consumer_goes_when_nobody_listens() {
    let mut world = World::new();
    world.create(r#"{"name":"p","deliver_subject":"dd"}"#);
    interest(&mut world, true);
    world.pass(20 * SECOND);
    assert_eq!(world.events(), []);
    interest(&mut world, false);
    world.pass(4 * SECOND);
    interest(&mut world, true);
    world.pass(2 * SECOND);
    interest(&mut world, false);
    world.pass(5 * SECOND - 1);
    assert_eq!(world.events(), []);
    world.pass(1);
    assert_eq!(world.events(), [EventKind::Inactive]);
}

#[test]
fn flow_control_asks_and_waits() {
    let mut world = World::new();
    world.create(
        r#"{"name":"p","deliver_subject":"dd","flow_control":true,"idle_heartbeat":5000000000}"#,
    );
    interest(&mut world, true);
    let payload = "x".repeat(64 * 1024);
    for _ in 0..40 {
        world.publish("s", &payload);
        world.settle();
    }
    let sent = world.sent();
    let asked: Vec<&Sent> = sent.iter().filter(|sent| !sent.header.is_empty()).collect();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].header, "NATS/1.0 100 FlowControl Request\r\n\r\n");
    assert!(asked[0].reply.starts_with("$JS.FC.S.p."));
    // The window is 2 MiB: 32 messages and what crosses its end.
    assert_eq!(sent.len(), 1 + 32);
    let subject = asked[0].reply.clone();
    world.pass(5 * SECOND);
    let stalled = world.sent();
    assert!(
        stalled[0]
            .header
            .ends_with(&format!("Nats-Consumer-Stalled: {subject}\r\n\r\n"))
    );
    let (consumers, mut context) = world.split();
    let answer = Incoming {
        subject: subject.as_bytes(),
        ..Incoming::default()
    };
    consumers.flow_control(&mut context, &answer);
    world.settle();
    let sent = world.sent();
    assert_eq!(sent.iter().filter(|sent| sent.header.is_empty()).count(), 8);
}

#[test]
fn answers_to_flow_control_may_be_acknowledgements() {
    let mut world = World::new();
    world.create(
        r#"{"name":"p","deliver_subject":"dd","ack_policy":"flow_control","max_ack_pending":100}"#,
    );
    interest(&mut world, true);
    let payload = "x".repeat(600 * 1024);
    for _ in 0..3 {
        world.publish("s", &payload);
        world.settle();
    }
    assert_eq!(world.numbers("p"), [3, 3, 0, 0, 3, 0, 0]);
    let sent = world.sent();
    let asked = sent.iter().find(|sent| !sent.header.is_empty()).unwrap();
    let (consumers, mut context) = world.split();
    let answer = Incoming {
        subject: asked.reply.as_bytes(),
        ..Incoming::default()
    };
    consumers.flow_control(&mut context, &answer);
    assert_eq!(world.numbers("p"), [3, 3, 2, 2, 1, 0, 0]);
}

#[test]
fn a_rate_limit_spreads_messages() {
    let mut world = World::new();
    world.facts.max_payload = 100;
    let facts = world.facts.clone();
    world.consumers.set_facts(facts);
    // 100 bytes a second.
    world.create(r#"{"name":"p","deliver_subject":"dd","rate_limit_bps":800}"#);
    interest(&mut world, true);
    for _ in 0..10 {
        world.publish("s", &"x".repeat(60));
    }
    world.settle();
    let first = world.heard().len();
    assert!(first < 3, "{first}");
    world.pass(5 * SECOND);
    let later = world.heard().len();
    assert!((4..=6).contains(&later), "{later}");
}

#[test]
fn a_replay_keeps_the_original_pace() {
    let mut world = World::new();
    world.publish("s", "1");
    world.pass(2 * SECOND);
    world.publish("s", "2");
    world.pass(SECOND);
    world.publish("s", "3");
    world.create(r#"{"durable_name":"a","replay_policy":"original"}"#);
    world.pull("a", r#"{"batch":10,"expires":60000000000}"#, "p");
    assert_eq!(world.heard(), ["1"]);
    world.pass(2 * SECOND);
    assert!(world.heard().is_empty());
    world.pass(2_000);
    assert_eq!(world.heard(), ["2"]);
    world.pass(SECOND + 2_000);
    assert_eq!(world.heard(), ["3"]);
    // What is new comes at once.
    world.publish("s", "4");
    world.settle();
    assert_eq!(world.heard(), ["4"]);
}
