//! Creating, changing, pausing, resetting and removing, as asked of nats-server 2.15.1.

use super::*;
use crate::jetstream::time::Time;

#[test]
fn consumers_start_where_their_policy_says() {
    let mut world = World::new();
    for subject in ["s.0", "s.1", "s.2", "s.3", "s.4", "s.1", "s.2", "s.3"] {
        world.publish(subject, "x");
    }
    // delivered (and floor) of the stream, pending.
    for (config, start, pending) in [
        (r#""deliver_policy":"all""#, 0, 8),
        (r#""deliver_policy":"last""#, 7, 1),
        (r#""deliver_policy":"new""#, 8, 0),
        (
            r#""deliver_policy":"by_start_sequence","opt_start_seq":3"#,
            2,
            6,
        ),
        (
            r#""deliver_policy":"by_start_sequence","opt_start_seq":100"#,
            99,
            0,
        ),
        (
            r#""deliver_policy":"by_start_time","opt_start_time":"2030-01-01T00:00:00Z""#,
            8,
            0,
        ),
        (
            r#""deliver_policy":"by_start_time","opt_start_time":"2020-01-01T00:00:00Z""#,
            0,
            8,
        ),
        (
            r#""deliver_policy":"last_per_subject","filter_subject":"s.*""#,
            0,
            5,
        ),
        (
            r#""deliver_policy":"last_per_subject","filter_subjects":["s.1","s.2"]"#,
            5,
            2,
        ),
        (r#""deliver_policy":"last","filter_subject":"s.1""#, 5, 1),
        (
            r#""deliver_policy":"last","filter_subjects":["s.1","s.2"]"#,
            6,
            1,
        ),
        (r#""deliver_policy":"last","filter_subject":"zz""#, 0, 0),
        (r#""filter_subject":"s.1""#, 0, 2),
    ] {
        let slot = world.create(&format!(r#"{{"durable_name":"c",{config}}}"#));
        assert_eq!(
            world.numbers("c"),
            [0, start, 0, start, 0, 0, pending],
            "{config}"
        );
        let (consumers, mut context) = world.split();
        assert!(consumers.delete(&mut context, slot));
    }
}

#[test]
fn the_last_of_each_subject_comes_in_the_order_of_the_log() {
    let mut world = World::new();
    for subject in ["s.0", "s.1", "s.2", "s.1"] {
        world.publish(subject, subject);
    }
    world.create(
        r#"{"durable_name":"c","deliver_policy":"last_per_subject","filter_subject":"s.*"}"#,
    );
    world.publish("s.0", "new");
    assert_eq!(world.numbers("c")[6], 4);
    // It is gone before it could be delivered.
    world.remove(3);
    assert_eq!(world.numbers("c")[6], 3);
    world.pull("c", r#"{"batch":9,"no_wait":true}"#, "p");
    assert_eq!(world.heard(), ["s.0", "s.1", "new", "p 404 No Messages"]);
    assert_eq!(world.numbers("c"), [3, 5, 3, 5, 0, 0, 0]);
}

#[test]
fn removed_messages_are_neither_pending_nor_to_come() {
    let mut world = World::new();
    for at in 0..20 {
        world.publish(&format!("s.{at}"), "x");
    }
    world.create(r#"{"durable_name":"a","ack_policy":"explicit"}"#);
    world.create(r#"{"durable_name":"f","filter_subject":"s.15"}"#);
    world.pull("a", "3", "p");
    assert_eq!(world.numbers("a"), [3, 3, 0, 0, 3, 0, 17]);
    world.remove(1);
    assert_eq!(
        world.events(),
        [EventKind::Terminated {
            consumer_sequence: 1,
            stream_sequence: 1,
            deliveries: 1,
            reason: "Unacknowledged message was deleted".to_owned(),
        }]
    );
    world.remove(10);
    assert_eq!(world.numbers("a"), [3, 3, 1, 1, 2, 0, 16]);
    world.purge(3);
    assert_eq!(world.numbers("a"), [3, 3, 2, 2, 1, 0, 16]);
    world.purge(12);
    assert_eq!(world.numbers("a"), [3, 11, 3, 11, 0, 0, 9]);
    assert_eq!(world.numbers("f")[6], 1);
    world.purge(21);
    assert_eq!(world.numbers("a"), [3, 20, 3, 20, 0, 0, 0]);
    assert_eq!(world.numbers("f"), [0, 20, 0, 20, 0, 0, 0]);
    world.publish("s.1", "y");
    assert_eq!(world.numbers("a")[6], 1);
    assert_eq!(world.numbers("f")[6], 0);
}

#[test]
fn requests_create_keep_or_update() {
    let mut world = World::new();
    let plan = |world: &mut World, action: &str, config: &str| {
        let body = format!(r#"{{"stream_name":"S","config":{config},"action":"{action}"}}"#);
        let request = CreateConsumerRequest::parse(body.as_bytes(), true).unwrap();
        world.plan(request).map(|plan| match plan {
            Plan::Create(name, config) => format!("create {name} {}", config.name),
            Plan::Update(slot, _) => format!("update {slot}"),
            Plan::Keep(slot) => format!("keep {slot}"),
        })
    };
    let plain = r#"{"durable_name":"a","ack_policy":"explicit"}"#;
    let other = r#"{"durable_name":"a","ack_policy":"explicit","description":"d"}"#;
    assert_eq!(plan(&mut world, "", plain).unwrap(), "create a a");
    assert_eq!(plan(&mut world, "update", plain), Err(10_149));
    world.create(plain);
    assert_eq!(plan(&mut world, "create", plain).unwrap(), "keep 0");
    assert_eq!(plan(&mut world, "create", other), Err(10_148));
    assert_eq!(plan(&mut world, "", other).unwrap(), "update 0");
    assert_eq!(plan(&mut world, "update", other).unwrap(), "update 0");
    let unnamed = plan(&mut world, "", "{}").unwrap();
    assert_eq!(unnamed.len(), "create 12345678 ".len());
    world.create(other);
    assert_eq!(world.info("a").config.description, "d");
    // The pause is not a matter of updates.
    world.create(
        r#"{"durable_name":"a","ack_policy":"explicit","pause_until":"2100-01-01T00:00:00Z"}"#,
    );
    assert!(!world.info("a").paused);
    // Neither is a deliver subject that is in use.
    world.create(r#"{"durable_name":"p","deliver_subject":"dd"}"#);
    let (consumers, mut context) = world.split();
    consumers.interest(&mut context, 1, true);
    let moved = r#"{"durable_name":"p","deliver_subject":"ee"}"#;
    assert_eq!(plan(&mut world, "", moved), Err(10_013));
    let (consumers, mut context) = world.split();
    consumers.interest(&mut context, 1, false);
    world.create(moved);
    assert_eq!(world.bus.watched, ["ee"]);
}

#[test]
fn a_new_filter_counts_anew() {
    let mut world = World::new();
    for subject in ["s.0", "s.1", "s.0"] {
        world.publish(subject, subject);
    }
    world.create(r#"{"durable_name":"a","filter_subject":"s.0"}"#);
    assert_eq!(world.numbers("a")[6], 2);
    world.pull("a", "1", "p");
    world.create(r#"{"durable_name":"a"}"#);
    assert_eq!(world.numbers("a")[6], 2);
    world.publish("s.9", "s.9");
    world.pull("a", r#"{"batch":9,"no_wait":true}"#, "p");
    assert_eq!(
        world.heard(),
        ["s.0", "s.1", "s.0", "s.9", "p 404 No Messages"]
    );
}

#[test]
fn in_a_work_queue_each_message_has_one_consumer() {
    let mut world = World::with(StreamFacts {
        work_queue: true,
        wants_acknowledged: true,
        ..StreamFacts::default()
    });
    let explicit = |name: &str, rest: &str| {
        format!(r#"{{"durable_name":"{name}","ack_policy":"explicit"{rest}}}"#)
    };
    let mut check = |config: String, code: u16| {
        let result = world.try_create(&config).err().unwrap_or(0);
        assert_eq!(result, code, "{config}");
    };
    check(r#"{"durable_name":"a"}"#.to_owned(), 10_084);
    check(
        r#"{"durable_name":"a","ack_policy":"all"}"#.to_owned(),
        10_098,
    );
    check(explicit("a", r#","deliver_policy":"new""#), 10_101);
    check(explicit("a", r#","filter_subject":"w.1""#), 0);
    check(explicit("b", r#","filter_subject":"w.1""#), 10_100);
    check(explicit("b", r#","filter_subject":"w.*""#), 10_100);
    check(explicit("b", ""), 10_099);
    check(explicit("b", r#","filter_subject":"w.2""#), 0);
    check(explicit("c", r#","filter_subjects":["w.3","w.4"]"#), 0);
    check(explicit("d", r#","filter_subjects":["w.5","w.4"]"#), 10_100);
    check(explicit("a", r#","filter_subject":"w.2""#), 10_100);
    check(r#"{"direct":true,"deliver_subject":"x"}"#.to_owned(), 0);
}

#[test]
fn a_paused_consumer_keeps_requests_and_delivers_nothing() {
    let mut world = World::new();
    world.publish("s", "x");
    let slot = world.create(r#"{"durable_name":"a","ack_policy":"explicit"}"#);
    let until = Time::from_unix_ns(world.bus.now.unix_ns + 2 * SECOND as i64);
    let (consumers, mut context) = world.split();
    let info = consumers.pause(&mut context, slot, Some(until)).unwrap();
    assert!(info.paused);
    assert_eq!(info.pause_remaining, 2 * SECOND);
    assert!(world.info("a").paused);
    world.pull("a", r#"{"no_wait":true}"#, "p");
    world.pull("a", r#"{"expires":250000000}"#, "p");
    world.pull("a", r#"{"expires":9000000000}"#, "p");
    world.pass(SECOND);
    assert_eq!(
        world.heard(),
        ["p 404 No Messages", "p 408 Request Timeout"]
    );
    world.pass(SECOND);
    assert_eq!(world.heard(), ["x"]);
    assert!(!world.info("a").paused);
    let events = world.events();
    assert!(matches!(events[0], EventKind::Paused { paused: true, .. }));
    assert!(matches!(events[1], EventKind::Paused { paused: false, .. }));
    // No time at all lets it go on, and there is nothing to say about it.
    let (consumers, mut context) = world.split();
    let info = consumers.pause(&mut context, slot, None).unwrap();
    assert!(!info.paused && info.pause_until.is_zero());
    assert_eq!(world.events(), []);
}

#[test]
fn a_reset_starts_again() {
    let mut world = World::new();
    for at in 0..6 {
        world.publish("s", &at.to_string());
    }
    let slot = world.create(r#"{"durable_name":"a","ack_policy":"explicit"}"#);
    world.pull("a", "3", "p");
    let first = world.sent()[0].reply.clone();
    world.ack(&first, "", "");
    let reset = |world: &mut World, slot: u32, sequence: Option<u64>| {
        let (consumers, mut context) = world.split();
        consumers
            .reset(&mut context, slot, sequence)
            .map_err(|error| error.description.into_owned())
    };
    assert_eq!(reset(&mut world, slot, None), Ok(2));
    assert_eq!(world.numbers("a"), [0, 1, 0, 1, 0, 0, 5]);
    world.pull("a", "1", "p");
    assert_eq!(world.heard(), ["1"]);
    assert_eq!(reset(&mut world, slot, Some(300)), Ok(300));
    assert_eq!(world.numbers("a"), [0, 299, 0, 299, 0, 0, 0]);
    for (policy, problem) in [
        (r#""deliver_policy":"new""#, "invalid reset: not allowed"),
        (r#""deliver_policy":"last""#, "invalid reset: not allowed"),
        (
            r#""deliver_policy":"by_start_sequence","opt_start_seq":20"#,
            "invalid reset: below start seq",
        ),
        (
            r#""deliver_policy":"by_start_time","opt_start_time":"2027-01-01T00:00:00Z""#,
            "invalid reset: below start time",
        ),
    ] {
        let slot = world.create(&format!(r#"{{"name":"r",{policy}}}"#));
        assert_eq!(reset(&mut world, slot, Some(3)).unwrap_err(), problem);
        let (consumers, mut context) = world.split();
        consumers.delete(&mut context, slot);
    }
}

#[test]
fn waiting_clients_hear_of_the_end() {
    let mut world = World::new();
    let slot = world.create(r#"{"durable_name":"a"}"#);
    world.pull("a", r#"{"expires":9000000000}"#, "p");
    let (consumers, mut context) = world.split();
    assert!(consumers.delete(&mut context, slot));
    assert!(!consumers.delete(&mut context, slot));
    assert!(consumers.find("a").is_none());
    assert_eq!(world.heard(), ["p 409 Consumer Deleted"]);
    world.create(r#"{"durable_name":"b"}"#);
    world.pull("b", r#"{"expires":9000000000}"#, "p");
    let (consumers, mut context) = world.split();
    consumers.stop(&mut context);
    assert_eq!(world.heard(), ["p 409 Server Shutdown"]);
}

#[test]
fn unused_pull_consumers_go() {
    let mut world = World::new();
    world.create(r#"{"name":"a"}"#);
    world.pass(4 * SECOND);
    world.pull("a", r#"{"expires":7000000000}"#, "p");
    world.pass(8 * SECOND);
    assert_eq!(world.events(), []);
    world.pass(5 * SECOND / 2);
    assert_eq!(world.events(), [EventKind::Inactive]);
    let (consumers, mut context) = world.split();
    consumers.delete(&mut context, 0);
    // However short the threshold: the answer to the creation comes first.
    let slot = world.create(r#"{"durable_name":"short","inactive_threshold":1}"#);
    world.pass(SECOND / 10);
    assert_eq!(world.events(), []);
    world.pass(SECOND / 4);
    assert_eq!(world.events(), [EventKind::Inactive]);
    let (consumers, mut context) = world.split();
    consumers.delete(&mut context, slot);
    world.create(r#"{"durable_name":"stays"}"#);
    world.pass(1_000 * SECOND);
    assert_eq!(world.events(), []);
    assert_eq!(world.consumers.next_deadline(), None);
}

#[test]
fn info_is_written_as_by_nats_server() {
    let mut world = World::new();
    for _ in 0..5 {
        world.publish("s.1", "x");
    }
    world.create(
        r#"{"durable_name":"C1","ack_policy":"explicit","ack_wait":1000000000,"max_deliver":2}"#,
    );
    let info = world.info("C1");
    let json = serde_json::to_string(&info).unwrap();
    assert_eq!(
        json,
        r#"{"stream_name":"S","name":"C1","created":"2023-11-14T22:13:20.000005Z","config":{"durable_name":"C1","name":"C1","deliver_policy":"all","ack_policy":"explicit","ack_wait":1000000000,"max_deliver":2,"replay_policy":"instant","max_waiting":512,"max_ack_pending":1000,"num_replicas":0,"metadata":{"_nats.req.level":"0"}},"delivered":{"consumer_seq":0,"stream_seq":0},"ack_floor":{"consumer_seq":0,"stream_seq":0},"num_ack_pending":0,"num_redelivered":0,"num_waiting":0,"num_pending":5,"ts":"2023-11-14T22:13:20.000005Z"}"#
    );
}
