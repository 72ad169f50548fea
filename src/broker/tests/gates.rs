//! The flush barrier: a PONG goes out when the connection's interest is in force
//! on every core.

use super::driver::{World, settings};

#[test]
fn a_pong_waits_for_the_other_cores() {
    let mut world = World::new(3, settings());
    let [client] = world.clients();
    world.mesh_blocked = true;
    assert_eq!(world.ask(client, "SUB foo 1\r\nPING\r\n"), "");
    world.mesh_blocked = false;
    world.settle();
    assert_eq!(world.output(client), "PONG\r\n");
}

#[test]
fn a_pong_without_new_interest_waits_for_nobody() {
    let mut world = World::new(2, settings());
    let [client, other] = world.clients();
    world.mesh_blocked = true;
    assert_eq!(world.ask(client, "PING\r\n"), "PONG\r\n");
    world.send(other, "SUB foo 1\r\n");
    // Another connection's interest is not its own.
    assert_eq!(world.ask(client, "PING\r\n"), "PONG\r\n");
}

#[test]
fn replies_keep_their_order_behind_a_pong_that_waits() {
    let mut world = World::new(2, settings());
    let [client] = world.clients();
    world.mesh_blocked = true;
    world.send(client, "CONNECT {\"verbose\":true}\r\n");
    assert_eq!(world.output(client), "+OK\r\n");
    // The first +OK does not wait, what follows the PING does.
    assert_eq!(
        world.ask(client, "SUB foo 1\r\nPING\r\nSUB foo..x 2\r\nUNSUB 9\r\n"),
        "+OK\r\n"
    );
    world.mesh_blocked = false;
    world.settle();
    assert_eq!(
        world.output(client),
        "PONG\r\n-ERR 'Invalid Subject'\r\n+OK\r\n"
    );
}

#[test]
fn messages_pass_a_pong_that_waits() {
    let mut world = World::new(2, settings());
    let [client, publisher] = world.clients();
    world.mesh_blocked = true;
    world.send(client, "SUB foo 1\r\nPING\r\n");
    world.send(publisher, "PUB foo 0\r\n\r\n");
    assert_eq!(world.output(client), "MSG foo 1 0\r\n\r\n");
    world.mesh_blocked = false;
    world.settle();
    assert_eq!(world.output(client), "PONG\r\n");
}

#[test]
fn after_the_pong_every_core_routes_to_the_subscription() {
    let mut world = World::new(4, settings());
    let publishers: Vec<_> = (0..4).map(|core| world.client(core)).collect();
    for subscription in ["SUB foo 1\r\n", "SUB f.* 1\r\n", "SUB foo workers 1\r\n"] {
        let client = world.client(2);
        assert_eq!(
            world.ask(client, format!("{subscription}PING\r\n")),
            "PONG\r\n"
        );
        let subject = if subscription.contains('*') {
            "f.x"
        } else {
            "foo"
        };
        for &publisher in &publishers {
            world.send(publisher, format!("PUB {subject} 0\r\n\r\n"));
            assert_eq!(
                world.output(client),
                format!("MSG {subject} 1 0\r\n\r\n"),
                "from core {}",
                publisher.core
            );
        }
        assert_eq!(world.ask(client, "UNSUB 1\r\nPING\r\n"), "PONG\r\n");
        for &publisher in &publishers {
            world.send(publisher, format!("PUB {subject} 0\r\n\r\n"));
        }
        assert_eq!(world.output(client), "");
    }
}

#[test]
fn a_connection_that_ends_gets_what_waited() {
    let mut world = World::new(2, settings());
    let [client] = world.clients();
    world.mesh_blocked = true;
    world.send(client, "SUB foo 1\r\nPING\r\nnonsense\r\n");
    // What follows the PING waits with it.
    assert_eq!(world.output(client), "");
    world.mesh_blocked = false;
    world.settle();
    assert_eq!(
        world.output(client),
        "PONG\r\n-ERR 'Unknown Protocol Operation'\r\n"
    );
}
