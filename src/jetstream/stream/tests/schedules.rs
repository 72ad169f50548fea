use super::support::{Bench, SECOND};

fn bench() -> Bench {
    Bench::new(
        r#""name":"S","subjects":["s.>","t.>"],"allow_msg_schedules":true,"allow_msg_ttl":true"#,
    )
}

const LATER: &str = "@at 2030-01-01T00:00:00Z";

/// Answers of nats-server 2.15.1.
#[test]
fn schedules_are_checked_as_nats_server_does() {
    let mut bench = bench();
    let zone = "Nats-Schedule-Time-Zone";
    let target = "Nats-Schedule-Target";
    for (fields, number) in [
        (vec![("Nats-Schedule", "@at x"), (target, "t.1")], 10189),
        (vec![("Nats-Schedule", "@at"), (target, "t.1")], 10189),
        (
            vec![("Nats-Schedule", "@at 2030-01-01"), (target, "t.1")],
            10189,
        ),
        (
            vec![("Nats-Schedule", "@every 500ms"), (target, "t.1")],
            10189,
        ),
        (
            vec![("Nats-Schedule", "@every 1s "), (target, "t.1")],
            10189,
        ),
        (
            vec![("Nats-Schedule", "@every  1s"), (target, "t.1")],
            10189,
        ),
        (
            vec![("Nats-Schedule", "0 0 0 30 2 *"), (target, "t.1")],
            10189,
        ),
        (vec![("Nats-Schedule", LATER), (target, "s.1")], 10190),
        (vec![("Nats-Schedule", LATER), (target, "x.1")], 10190),
        (vec![("Nats-Schedule", LATER), (target, "t.*")], 10190),
        (vec![("Nats-Schedule", LATER), (target, "t..1")], 10190),
        (vec![("Nats-Schedule", LATER)], 10190),
        (
            vec![
                ("Nats-Schedule", LATER),
                (target, "t.1"),
                ("Nats-Schedule-Source", "s.1"),
            ],
            10203,
        ),
        (
            vec![
                ("Nats-Schedule", LATER),
                (target, "t.1"),
                ("Nats-Schedule-Source", "t.1"),
            ],
            10203,
        ),
        (
            vec![
                ("Nats-Schedule", LATER),
                (target, "t.1"),
                ("Nats-Schedule-Source", "t.*"),
            ],
            10203,
        ),
        (
            vec![
                ("Nats-Schedule", LATER),
                (target, "t.1"),
                ("Nats-Schedule-TTL", "x"),
            ],
            10191,
        ),
        (
            vec![
                ("Nats-Schedule", LATER),
                (target, "t.1"),
                ("Nats-Schedule-TTL", "500ms"),
            ],
            10191,
        ),
        (
            vec![
                ("Nats-Schedule", LATER),
                (target, "t.1"),
                ("Nats-Schedule-Rollup", "all"),
            ],
            10192,
        ),
        (
            vec![
                ("Nats-Schedule", LATER),
                (target, "t.1"),
                ("Nats-Rollup", "all"),
            ],
            10192,
        ),
        (
            vec![("Nats-Schedule", "@daily"), (target, "t.1"), (zone, "x")],
            10223,
        ),
        (
            vec![("Nats-Schedule", "@daily"), (target, "t.1"), (zone, "")],
            10223,
        ),
        (
            vec![("Nats-Schedule", LATER), (target, "t.1"), (zone, "UTC")],
            10189,
        ),
        (
            vec![
                ("Nats-Schedule", "@every 1h"),
                (target, "t.1"),
                (zone, "UTC"),
            ],
            10189,
        ),
        (vec![("Nats-Scheduler", "x")], 10212),
        (vec![("Nats-Schedule-Next", "x")], 10212),
    ] {
        let answer = bench.publish("s.1", "x", &fields);
        assert!(
            answer.contains(&format!(r#""err_code":{number},"#)),
            "{fields:?}: {answer}"
        );
    }
    for fields in [
        vec![("Nats-Schedule", LATER), (target, "t.1")],
        vec![("Nats-Schedule", "@every 1.5s"), (target, "t.1")],
        vec![
            ("Nats-Schedule", "0 0 0 * * *"),
            (target, "t.1"),
            (zone, "Europe/Berlin"),
        ],
        vec![
            ("Nats-Schedule", "@daily"),
            (target, "t.1"),
            (zone, "Local"),
        ],
        vec![
            ("Nats-Schedule", LATER),
            (target, "t.1"),
            ("Nats-Schedule-TTL", "never"),
        ],
        vec![
            ("Nats-Schedule", LATER),
            (target, "t.1"),
            ("Nats-Rollup", "sub"),
        ],
    ] {
        let answer = bench.publish("s.1", "x", &fields);
        assert!(
            answer.contains(r#""seq""#) && !answer.contains("error"),
            "{fields:?}: {answer}"
        );
    }
    // Each took the place of the one before.
    let messages = bench.messages();
    assert_eq!(messages.len(), 1);
    assert!(messages[0].2.ends_with("Nats-Rollup: sub\r\n\r\n"));
}

/// Messages as they were seen on nats-server 2.15.1.
#[test]
fn schedules_of_one_time_are_published_and_gone() {
    let mut bench = bench();
    let at = "@at 2027-01-15T08:00:05Z";
    let fields = [
        ("Nats-Schedule", at),
        ("Nats-Schedule-Target", "t.1"),
        ("Foo", "bar"),
        ("Nats-Schedule-TTL", "5m"),
        ("Nats-Msg-Id", "mm"),
    ];
    bench.publish("s.1", "one", &fields);
    bench.publish("t.9", "data9", &[("Quux", "1")]);
    let source = [
        ("Nats-Schedule", at),
        ("Nats-Schedule-Target", "t.4"),
        ("Nats-Schedule-Source", "t.9"),
        ("Nats-Schedule-Rollup", "sub"),
        ("Foo", "bar"),
    ];
    bench.publish("s.4", "orig", &source);
    bench.pass(5 * SECOND - 1);
    assert_eq!(bench.sequences(), [1, 2, 3]);
    bench.pass(1);
    let messages = bench.messages();
    assert_eq!(bench.sequences(), [2, 4, 5]);
    assert_eq!(
        messages[1].2,
        "NATS/1.0\r\nFoo: bar\r\nNats-Scheduler: s.1\r\nNats-Schedule-Next: purge\r\nNats-TTL: 5m\r\n\r\n"
    );
    assert_eq!(
        (messages[1].1.as_str(), messages[1].3.as_str()),
        ("t.1", "one")
    );
    assert_eq!(
        messages[2].2,
        "NATS/1.0\r\nQuux: 1\r\nNats-Scheduler: s.4\r\nNats-Schedule-Next: purge\r\nNats-Rollup: sub\r\n\r\n"
    );
    assert_eq!(
        (messages[2].1.as_str(), messages[2].3.as_str()),
        ("t.4", "data9")
    );
    bench.pass(300 * SECOND);
    assert_eq!(bench.sequences(), [2, 5]);
    bench.check();
}

#[test]
fn recurring_schedules_come_again_until_they_expire() {
    let mut bench = bench();
    let every = [
        ("Nats-Schedule", "@every 2s"),
        ("Nats-Schedule-Target", "t.2"),
        ("Nats-TTL", "5"),
    ];
    bench.publish("s.2", "two", &every);
    bench.pass(SECOND);
    assert_eq!(bench.sequences(), [1]);
    bench.pass(SECOND);
    bench.pass(2 * SECOND);
    let messages = bench.messages();
    assert_eq!(messages.len(), 3);
    assert_eq!(
        messages[2].2,
        "NATS/1.0\r\nNats-Scheduler: s.2\r\nNats-Schedule-Next: 2027-01-15T08:00:06Z\r\n\r\n"
    );
    bench.pass(SECOND);
    assert_eq!(bench.sequences(), [2, 3]);
    bench.pass(10 * SECOND);
    assert_eq!(bench.sequences(), [2, 3]);
    bench.check();
}

#[test]
fn a_message_may_end_a_schedule() {
    let mut bench = bench();
    bench.publish(
        "s.1",
        "x",
        &[("Nats-Schedule", LATER), ("Nats-Schedule-Target", "t.1")],
    );
    let end = [("Nats-Scheduler", "s.1"), ("Nats-Schedule-Next", "purge")];
    assert!(bench.publish("s.2", "x", &end).contains(r#""seq":2"#));
    assert_eq!(bench.sequences(), [2]);
    let other = [("Nats-Scheduler", "s.2"), ("Nats-Schedule-Next", "purge")];
    assert!(bench.publish("t.2", "x", &other).contains("10212"));
}
