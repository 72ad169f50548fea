//! SUB and UNSUB, with and without a number of messages.

use super::driver::{World, settings};
use crate::broker::Settings;

#[test]
fn a_limit_counts_from_sub() {
    let mut world = World::new(1, settings());
    let [client] = world.clients();
    let message = "PUB foo 0\r\n\r\n";
    world.send(client, format!("SUB foo 1\r\n{message}UNSUB 1 2\r\n"));
    assert_eq!(world.output(client), "MSG foo 1 0\r\n\r\n");
    assert_eq!(world.ask(client, message), "MSG foo 1 0\r\n\r\n");
    assert_eq!(world.ask(client, message), "");
}

#[test]
fn a_limit_that_is_reached_already_ends_the_subscription() {
    let mut world = World::new(1, settings());
    let [client] = world.clients();
    let message = "PUB foo 0\r\n\r\n";
    world.send(
        client,
        format!("SUB foo 1\r\n{message}{message}UNSUB 1 2\r\n"),
    );
    world.output(client);
    assert_eq!(world.ask(client, message), "");
}

#[test]
fn a_limit_holds_within_one_read() {
    let mut world = World::new(1, settings());
    let [client] = world.clients();
    let message = "PUB foo 0\r\n\r\n";
    assert_eq!(
        world.ask(
            client,
            format!("SUB foo 1\r\nUNSUB 1 1\r\n{message}{message}")
        ),
        "MSG foo 1 0\r\n\r\n"
    );
}

/// As nats-server: the sid is free as soon as the last message was delivered.
#[test]
fn a_finished_sid_is_free_within_the_same_read() {
    let mut world = World::new(1, settings());
    let [client] = world.clients();
    let output = world.ask(
        client,
        "SUB foo 1\r\nUNSUB 1 1\r\nPUB foo 0\r\n\r\nSUB bar 1\r\nPUB bar 1\r\nx\r\n",
    );
    assert_eq!(output, "MSG foo 1 0\r\n\r\nMSG bar 1 1\r\nx\r\n");
}

#[test]
fn a_finished_subscription_ignores_a_late_unsub() {
    let mut world = World::new(1, settings());
    let [client] = world.clients();
    let output = world.ask(
        client,
        "SUB foo 1\r\nUNSUB 1 1\r\nPUB foo 0\r\n\r\nUNSUB 1 5\r\nPUB foo 0\r\n\r\n",
    );
    assert_eq!(output, "MSG foo 1 0\r\n\r\n");
}

#[test]
fn a_finished_member_leaves_its_group_to_the_others() {
    let mut world = World::new(2, settings());
    let (publisher, limited, steady) = (world.client(0), world.client(0), world.client(1));
    world.send(limited, "SUB jobs workers 1\r\nUNSUB 1 3\r\n");
    world.send(steady, "SUB jobs workers 1\r\n");
    world.send(publisher, "PUB jobs 0\r\n\r\n".repeat(100));
    let got = |output: String| output.matches("MSG jobs").count();
    assert_eq!(got(world.output(limited)), 3);
    assert_eq!(got(world.output(steady)), 97);
}

#[test]
fn a_sid_that_exists_is_not_subscribed_again() {
    let mut world = World::new(1, settings());
    let [client] = world.clients();
    let output = world.ask(client, "SUB foo 1\r\nSUB bar 1\r\nPUB bar 0\r\n\r\n");
    assert_eq!(output, "");
    assert_eq!(
        world.ask(client, "PUB foo 0\r\n\r\n"),
        "MSG foo 1 0\r\n\r\n"
    );
}

#[test]
fn the_limit_of_subscriptions_refuses_one_and_closes_nothing() {
    let mut world = World::new(
        1,
        Settings {
            max_subscriptions: Some(2),
            ..settings()
        },
    );
    let [client] = world.clients();
    let refused = "-ERR 'maximum subscriptions exceeded'\r\n";
    assert_eq!(
        world.ask(client, "SUB a 1\r\nSUB b 2\r\nSUB c 3\r\n"),
        refused
    );
    assert_eq!(world.ask(client, "UNSUB 1\r\nSUB c 3\r\n"), "");
    assert_eq!(world.ended(client), None);
}

#[test]
fn echo_off_keeps_the_publishers_own_messages_from_it() {
    let mut world = World::new(1, settings());
    let [client, other] = world.clients();
    world.send(
        client,
        "CONNECT {\"verbose\":false,\"echo\":false}\r\nSUB foo 1\r\n",
    );
    world.output(client);
    assert_eq!(world.ask(client, "PUB foo 0\r\n\r\n"), "");
    world.send(other, "PUB foo 0\r\n\r\n");
    assert_eq!(world.output(client), "MSG foo 1 0\r\n\r\n");
}

#[test]
fn what_a_client_leaves_behind_is_nothing() {
    let mut world = World::new(2, settings());
    let [client, publisher] = world.clients();
    world.send(client, "SUB a.* 1\r\nSUB a.b workers 2\r\nSUB x 3\r\n");
    world.cores[0].receive_ended(client.slot, None);
    world.settle();
    for core in &world.cores {
        assert!(core.accounts[0].index().is_empty());
        assert!(core.subs.is_empty());
        assert_eq!(core.queues.find(b"workers"), None);
    }
    world.send(publisher, "PUB a.b 0\r\n\r\n");
    assert_eq!(world.output(client), "");
}
