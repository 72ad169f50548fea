//! Slow readers: whom they hold up, and when they are cut off.

use std::time::Duration;

use super::driver::{Client, World, settings};
use crate::broker::stall::STALL_NANOS_MAX;
use crate::broker::{CloseMode, Settings};

/// Small, so that few messages fill it; a reader is slow from three quarters on.
const MAX_PENDING: usize = 8 * 1024;
/// Payload of a message, in bytes.
const PAYLOAD: usize = 512;

fn small() -> Settings {
    Settings {
        max_pending: MAX_PENDING,
        ..settings()
    }
}

fn message() -> String {
    format!("PUB foo {PAYLOAD}\r\n{}\r\n", "x".repeat(PAYLOAD))
}

/// Sends messages one by one, at most `max`, until the publisher is not read any
/// more. Returns how many.
fn publish_until_paused(world: &mut World, publisher: Client, max: usize) -> usize {
    (0..max)
        .take_while(|_| {
            world.send(publisher, message());
            !world.paused(publisher)
        })
        .count()
}

#[test]
fn one_slow_reader_alone_pauses_its_publisher() {
    let mut world = World::new(1, small());
    let [reader, publisher] = world.clients();
    world.send(reader, "SUB foo 1\r\n");
    world.block(reader, true);
    let sent = publish_until_paused(&mut world, publisher, 20);
    assert_eq!(
        sent,
        MAX_PENDING / 4 * 3 / PAYLOAD,
        "messages before the pause"
    );
    assert_eq!(world.ended(reader), None);
    assert_eq!(world.cores[0].counters().stalls, 1);

    // What it sent meanwhile waits, and follows when the reader has caught up.
    world.send(publisher, "PUB foo 4\r\nlast\r\n");
    world.block(reader, false);
    world.settle();
    assert!(!world.paused(publisher));
    let output = world.output(reader);
    assert_eq!(output.matches("MSG foo").count(), sent + 2);
    assert!(output.ends_with("\r\nlast\r\n"));
}

#[test]
fn the_pause_ends_with_its_time() {
    let mut world = World::new(1, small());
    let [reader, publisher] = world.clients();
    world.send(reader, "SUB foo 1\r\n");
    world.block(reader, true);
    publish_until_paused(&mut world, publisher, 20);
    world.pass(Duration::from_nanos(STALL_NANOS_MAX - 1));
    assert!(world.paused(publisher));
    world.pass(Duration::from_nanos(1));
    assert!(!world.paused(publisher));
}

#[test]
fn a_slow_reader_that_goes_releases_its_publisher() {
    let mut world = World::new(1, small());
    let [reader, publisher] = world.clients();
    world.send(reader, "SUB foo 1\r\n");
    world.block(reader, true);
    publish_until_paused(&mut world, publisher, 20);
    world.cores[0].receive_ended(reader.slot, Some(104));
    world.settle();
    assert!(!world.paused(publisher));
}

#[test]
fn a_healthy_reader_beside_a_slow_one_keeps_the_publisher_going() {
    let mut world = World::new(1, small());
    let [slow, healthy, publisher] = world.clients();
    world.send(slow, "SUB foo 1\r\n");
    world.send(healthy, "SUB foo 1\r\n");
    world.block(slow, true);
    let sent = publish_until_paused(&mut world, publisher, 20);
    assert_eq!(sent, 20, "never paused");
    assert_eq!(world.output(healthy).matches("MSG foo").count(), 20);
    assert_eq!(world.ended(slow), Some("Slow Consumer (Pending Bytes)"));
    assert_eq!(world.ended(healthy), None);
}

#[test]
fn a_reader_over_its_limit_is_cut_off_at_once() {
    let mut world = World::new(1, small());
    let [slow, publisher] = world.clients();
    world.send(slow, "SUB foo 1\r\n");
    world.block(slow, true);
    let body = "x".repeat(2 * MAX_PENDING);
    world.send(publisher, format!("PUB foo {}\r\n{body}\r\n", body.len()));
    assert_eq!(world.ended(slow), Some("Slow Consumer (Pending Bytes)"));
    assert_eq!(world.closing(slow), Some(CloseMode::Now));
    assert_eq!(world.cores[0].counters().slow_consumers, 1);
    assert!(world.cores[0].subs.is_empty());
}

#[test]
fn no_fast_producer_stall_drops_for_the_slow_reader_instead() {
    let mut world = World::new(
        1,
        Settings {
            no_fast_producer_stall: true,
            ..small()
        },
    );
    let [slow, publisher] = world.clients();
    world.send(slow, "SUB foo 1\r\n");
    world.block(slow, true);
    assert_eq!(publish_until_paused(&mut world, publisher, 20), 20);
    assert_eq!(world.ended(slow), None);
    let dropped = world.cores[0].counters().dropped_for_slow as usize;
    assert!(dropped > 0);
    world.block(slow, false);
    world.settle();
    assert_eq!(world.output(slow).matches("MSG foo").count(), 20 - dropped);
}

#[test]
fn a_slow_reader_on_another_core_pauses_the_publisher_until_it_recovers() {
    let mut world = World::new(2, small());
    let (reader, publisher) = (world.client(1), world.client(0));
    world.send(reader, "SUB foo 1\r\n");
    world.block(reader, true);
    let sent = publish_until_paused(&mut world, publisher, 16);
    assert!(sent < 16, "it is paused before the reader is cut off");
    assert_eq!(world.ended(reader), None);
    world.pass(Duration::from_nanos(STALL_NANOS_MAX / 2));
    assert!(world.paused(publisher));
    world.block(reader, false);
    world.settle();
    assert!(!world.paused(publisher));
    assert_eq!(world.output(reader).matches("MSG foo").count(), sent + 1);
}

#[test]
fn a_slow_reader_on_another_core_that_goes_releases_the_publisher() {
    let mut world = World::new(2, small());
    let (reader, publisher) = (world.client(1), world.client(0));
    world.send(reader, "SUB foo 1\r\n");
    world.block(reader, true);
    publish_until_paused(&mut world, publisher, 16);
    assert!(world.paused(publisher));
    world.cores[1].receive_ended(reader.slot, Some(104));
    world.settle();
    assert!(!world.paused(publisher));
}

#[test]
fn a_healthy_reader_on_a_third_core_keeps_the_publisher_going() {
    let mut world = World::new(3, small());
    let (slow, healthy, publisher) = (world.client(1), world.client(2), world.client(0));
    world.send(slow, "SUB foo 1\r\n");
    world.send(healthy, "SUB foo 1\r\n");
    world.block(slow, true);
    assert_eq!(publish_until_paused(&mut world, publisher, 20), 20);
    assert_eq!(world.output(healthy).matches("MSG foo").count(), 20);
    assert_eq!(world.ended(slow), Some("Slow Consumer (Pending Bytes)"));
}

#[test]
fn a_full_outbox_pauses_the_publisher_until_it_drains() {
    let mut world = World::new(2, settings());
    let (reader, publisher) = (world.client(1), world.client(0));
    world.send(reader, "SUB foo 1\r\n");
    world.mesh_blocked = true;
    let body = "x".repeat(100 * 1024);
    let large = format!("PUB foo {}\r\n{body}\r\n", body.len());
    let sent = (0..100)
        .take_while(|_| {
            world.send(publisher, &large);
            !world.paused(publisher)
        })
        .count();
    assert_eq!(sent, 10, "messages that fit below the mark of 1 MiB");
    world.send(publisher, "PUB foo 4\r\nlast\r\n");
    world.mesh_blocked = false;
    world.settle();
    assert!(!world.paused(publisher));
    let output = world.output(reader);
    assert_eq!(output.matches("MSG foo").count(), sent + 2);
    assert!(output.ends_with("\r\nlast\r\n"));
}
