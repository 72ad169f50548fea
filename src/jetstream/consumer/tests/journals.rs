//! When changes go to the journal. These journals are in memory and durable at once.

use super::*;

#[test]
fn changes_nobody_waits_for_are_written_a_little_later() {
    let mut world = World::new();
    world.journals = true;
    let slot = world.create(r#"{"durable_name":"a","ack_policy":"explicit"}"#);
    for _ in 0..3 {
        world.publish("s", "x");
    }
    assert!(world.consumers.is_durable(slot));
    world.pull("a", "3", "p");
    assert!(!world.consumers.is_durable(slot));
    let acks = world.sent();
    world.ack(&acks[0].reply, "", "");
    assert!(!world.consumers.is_durable(slot));
    world.pass(SECOND);
    assert!(world.consumers.is_durable(slot));
    // Who waits for a confirmation is not kept waiting.
    world.ack(&acks[1].reply, "", "ok");
    assert_eq!(world.heard(), [""]);
    assert!(world.consumers.is_durable(slot));
    world.ack(&acks[2].reply, "", "");
    let (consumers, mut context) = world.split();
    consumers.stop(&mut context);
    assert!(world.consumers.is_saved());
}

#[test]
fn nothing_is_left_to_do_when_all_is_written() {
    let mut world = World::new();
    world.journals = true;
    world.create(r#"{"durable_name":"a"}"#);
    world.publish("s", "x");
    world.pull("a", "1", "p");
    world.pass(SECOND);
    assert_eq!(world.consumers.next_deadline(), None);
    assert!(!world.consumers.has_backlog());
}
