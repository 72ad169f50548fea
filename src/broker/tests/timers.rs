//! Pings, stale connections, and the deadlines of authentication and writing.

use std::time::Duration;

use super::driver::{Client, World, settings, settings_with_auth};
use crate::broker::auth::AuthRules;
use crate::broker::{CloseMode, Settings};

/// The first PING comes within this time.
const FIRST_PING_MAX: Duration = Duration::from_millis(2_400);
const INTERVAL: Duration = Duration::from_secs(120);

fn answer_first_ping(world: &mut World, client: Client) {
    world.pass(FIRST_PING_MAX);
    assert_eq!(world.output(client), "PING\r\n");
    world.send(client, "PONG\r\n");
}

#[test]
fn the_first_ping_comes_soon_and_measures_the_round_trip() {
    let mut world = World::new(1, settings());
    let [client] = world.clients();
    world.pass(Duration::from_millis(1_999));
    assert_eq!(world.output(client), "");
    world.pass(Duration::from_millis(401));
    assert_eq!(world.output(client), "PING\r\n");
    world.pass(Duration::from_micros(250));
    world.send(client, "PONG\r\n");
    let rtt = world.cores[0].conn(client.slot).map(|c| c.rtt_ns);
    assert_eq!(rtt, Some(250_000));
}

#[test]
fn a_client_that_talks_is_not_pinged() {
    let mut world = World::new(1, settings());
    let [client] = world.clients();
    answer_first_ping(&mut world, client);
    for _ in 0..5 {
        world.pass(INTERVAL - Duration::from_secs(10));
        assert_eq!(world.output(client), "");
        world.send(client, "PUB foo 0\r\n\r\n");
    }
}

#[test]
fn a_client_that_answers_no_ping_is_stale() {
    let mut world = World::new(1, settings());
    let [client] = world.clients();
    answer_first_ping(&mut world, client);
    for _ in 0..2 {
        world.pass(INTERVAL);
        assert_eq!(world.output(client), "PING\r\n");
    }
    world.pass(INTERVAL);
    assert_eq!(world.output(client), "-ERR 'Stale Connection'\r\n");
    assert_eq!(world.ended(client), Some("Stale Connection"));
    assert_eq!(world.cores[0].counters().stale_connections, 1);
}

#[test]
fn a_pong_counts_for_all_pings() {
    let mut world = World::new(1, settings());
    let [client] = world.clients();
    answer_first_ping(&mut world, client);
    for _ in 0..5 {
        world.pass(INTERVAL);
        world.pass(INTERVAL);
        assert_eq!(world.output(client), "PING\r\nPING\r\n");
        world.send(client, "PONG\r\n");
    }
    assert_eq!(world.ended(client), None);
}

#[test]
fn credentials_must_come_in_time() {
    let rules = AuthRules {
        token: Some("t".to_owned()),
        timeout: Duration::from_secs(1),
        ..AuthRules::default()
    };
    let mut world = World::new(1, settings_with_auth(&rules));
    let (late, punctual) = (world.accept(0), world.accept(0));
    world.send(punctual, "CONNECT {\"auth_token\":\"t\"}\r\n");
    assert_eq!(world.output(punctual), "+OK\r\n");
    world.pass(Duration::from_millis(999));
    assert_eq!(world.output(late), "");
    world.pass(Duration::from_millis(1));
    assert_eq!(world.output(late), "-ERR 'Authentication Timeout'\r\n");
    assert_eq!(world.ended(late), Some("Authentication Timeout"));
    assert_eq!(world.ended(punctual), None);
}

#[test]
fn a_send_that_makes_no_progress_ends_the_connection() {
    let mut world = World::new(1, settings());
    let [reader, publisher] = world.clients();
    world.send(reader, "SUB foo 1\r\n");
    world.block(reader, true);
    world.send(publisher, "PUB foo 0\r\n\r\n");
    world.pass(Duration::from_millis(9_999));
    assert_eq!(world.ended(reader), None);
    world.pass(Duration::from_millis(1));
    assert_eq!(world.ended(reader), Some("Slow Consumer (Write Deadline)"));
    assert_eq!(world.closing(reader), Some(CloseMode::Now));
    let counters = world.cores[0].counters();
    assert_eq!(counters.slow_consumers, 1);
    assert_eq!(counters.slow_by_write_deadline, 1);
}

#[test]
fn the_write_deadline_begins_with_each_send() {
    let mut world = World::new(1, settings());
    let [reader, publisher] = world.clients();
    world.send(reader, "SUB foo 1\r\n");
    for _ in 0..4 {
        world.block(reader, true);
        world.send(publisher, "PUB foo 0\r\n\r\n");
        world.pass(Duration::from_secs(6));
        world.block(reader, false);
        world.settle();
        assert_eq!(world.ended(reader), None);
    }
}

#[test]
fn write_timeout_retry_keeps_the_connection() {
    let mut world = World::new(
        1,
        Settings {
            write_timeout_retry: true,
            ping_interval: Duration::from_secs(3600),
            ..settings()
        },
    );
    let [reader, publisher] = world.clients();
    world.send(reader, "SUB foo 1\r\n");
    world.block(reader, true);
    world.send(publisher, "PUB foo 0\r\n\r\n");
    for _ in 0..5 {
        world.pass(Duration::from_secs(10));
    }
    assert_eq!(world.ended(reader), None);
    world.block(reader, false);
    world.settle();
    assert!(world.output(reader).starts_with("MSG foo 1 0\r\n\r\n"));
}
