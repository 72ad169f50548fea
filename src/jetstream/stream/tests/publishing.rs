use proptest::prelude::*;

use super::support::{Bench, SECOND};

fn error(number: u16, status: u16, text: &str, stream: &str) -> String {
    format!(
        r#"{{"error":{{"code":{status},"err_code":{number},"description":"{text}"}},"stream":"{stream}","seq":0}}"#
    )
}

/// Subject, headers, answer.
type Step = (&'static str, Vec<(&'static str, &'static str)>, String);

/// Answers of nats-server 2.15.1, in the order in which they were asked for.
#[test]
fn headers_are_checked_as_nats_server_does() {
    let mut bench = Bench::new(
        r#""name":"A","subjects":["a.>"],"allow_msg_ttl":true,"allow_rollup_hdrs":true"#,
    );
    let wrong_last = |last: u64| error(10071, 400, &format!("wrong last sequence: {last}"), "A");
    let ok = |sequence: u64| format!(r#"{{"stream":"A","seq":{sequence}}}"#);
    let last_subject = "Nats-Expected-Last-Subject-Sequence";
    let last_subject_of = "Nats-Expected-Last-Subject-Sequence-Subject";
    bench.store("a.1", 1);
    let steps: Vec<Step> = vec![
        ("a.1", vec![("Nats-Msg-Id", "m1")], ok(2)),
        (
            "a.1",
            vec![("Nats-Msg-Id", "m1")],
            r#"{"stream":"A","seq":2,"duplicate": true}"#.to_owned(),
        ),
        ("a.1", vec![("Nats-Msg-Id", "")], ok(3)),
        (
            "a.1",
            vec![("Nats-Expected-Stream", "B")],
            error(10060, 400, "expected stream does not match", "A"),
        ),
        ("a.1", vec![("Nats-Expected-Stream", "A")], ok(4)),
        (
            "a.1",
            vec![("Nats-Expected-Last-Sequence", "99")],
            wrong_last(4),
        ),
        (
            "a.1",
            vec![("Nats-Expected-Last-Sequence", "x")],
            wrong_last(4),
        ),
        (
            "a.1",
            vec![("Nats-Expected-Last-Sequence", "-1")],
            wrong_last(4),
        ),
        ("a.1", vec![("Nats-Expected-Last-Sequence", "4")], ok(5)),
        ("a.1", vec![(last_subject, "0")], wrong_last(5)),
        ("a.2", vec![(last_subject, "0")], ok(6)),
        ("a.2", vec![(last_subject, "0")], wrong_last(6)),
        (
            "a.3",
            vec![(last_subject, "3"), (last_subject_of, "a.1")],
            wrong_last(5),
        ),
        (
            "a.3",
            vec![(last_subject, "3"), (last_subject_of, "a.>")],
            wrong_last(6),
        ),
        (
            "a.3",
            vec![(last_subject, "3"), (last_subject_of, "a..b")],
            wrong_last(0),
        ),
        (
            "a.3",
            vec![(last_subject, "6"), (last_subject_of, "a.*")],
            ok(7),
        ),
        (
            "a.3",
            vec![(last_subject_of, "a.1")],
            error(
                10193,
                400,
                "missing sequence for expected last sequence per subject",
                "A",
            ),
        ),
        (
            "a.1",
            vec![("Nats-Expected-Last-Msg-Id", "zz")],
            error(10070, 400, "wrong last msg ID: ", "A"),
        ),
        ("a.1", vec![("Nats-Msg-Id", "m9")], ok(8)),
        (
            "a.1",
            vec![("Nats-Expected-Last-Msg-Id", "m8")],
            error(10070, 400, "wrong last msg ID: m9", "A"),
        ),
        ("a.1", vec![("Nats-Expected-Last-Msg-Id", "m9")], ok(9)),
        (
            "a.1",
            vec![("Nats-Rollup", "zzz")],
            error(10111, 500, r#"rollup value invalid: \"zzz\""#, "A"),
        ),
        ("a.1", vec![("Nats-Rollup", "SUB")], ok(10)),
        (
            "a.1",
            vec![("Nats-TTL", "0")],
            error(10165, 400, "invalid per-message TTL", "A"),
        ),
        ("a.1", vec![("Nats-TTL", "1")], ok(11)),
        (
            "a.1",
            vec![("Nats-Incr", "5")],
            error(10168, 400, "message counters is disabled", "A"),
        ),
        (
            "a.1",
            vec![("Nats-Incr", "x")],
            error(10171, 400, "message counter increment is invalid", "A"),
        ),
        (
            "a.1",
            vec![("Nats-Batch-Id", "5")],
            error(10174, 400, "atomic publish is disabled", "A"),
        ),
        (
            "a.1",
            vec![("Nats-Schedule", "5")],
            error(10188, 400, "message schedules is disabled", "A"),
        ),
        (
            "a.1",
            vec![("Nats-Stream-Source", "5")],
            error(
                10227,
                400,
                "message stream source header is not allowed",
                "A",
            ),
        ),
        (
            "a.1",
            vec![("Nats-Scheduler", "5")],
            error(10212, 400, "message schedules invalid scheduler", "A"),
        ),
        ("a.1", vec![("Nats-Marker-Reason", "5")], ok(12)),
    ];
    for (subject, fields, expected) in steps {
        assert_eq!(bench.publish(subject, "x", &fields), expected, "{fields:?}");
    }
    assert_eq!(bench.sequences(), [6, 7, 10, 11, 12]);
    assert_eq!(bench.notes.stored.len(), 12);
    assert_eq!(bench.notes.removed.len(), 7);
    bench.check();
}

/// Which of two errors nats-server 2.15.1 answers.
#[test]
fn of_two_errors_the_first_in_order_is_told() {
    let mut bench = Bench::new(r#""name":"B","subjects":["b.>"],"deny_purge":true"#);
    bench.publish("b.1", "x", &[("Nats-Msg-Id", "dup")]);
    let wrong = [
        ("Nats-Batch-Id", "b", 10174),
        ("Nats-Incr", "x", 10171),
        ("Nats-Expected-Stream", "Q", 10060),
        ("Nats-Expected-Last-Sequence", "77", 10071),
        ("Nats-Expected-Last-Subject-Sequence", "88", 10071),
        ("Nats-Schedule", "x", 10188),
        ("Nats-Msg-Id", "dup", 0),
        ("Nats-Expected-Last-Msg-Id", "q", 10070),
        ("Nats-Rollup", "zz", 10111),
        ("Nats-TTL", "x", 10165),
    ];
    for (at, first) in wrong.iter().enumerate() {
        for second in &wrong[at + 1..] {
            let answer = bench.publish("b.1", "x", &[(second.0, second.1), (first.0, first.1)]);
            let expected = match first.2 {
                0 => r#""duplicate": true"#.to_owned(),
                number => format!(r#""err_code":{number},"#),
            };
            assert!(answer.contains(&expected), "{first:?} {second:?}: {answer}");
        }
    }
}

#[test]
fn messages_without_a_reply_and_streams_without_acks_are_answered_nothing() {
    let mut bench = Bench::new(r#""name":"A","subjects":["a.>"]"#);
    bench.publish_to("a.1", "x", &[], "");
    bench.publish_to("a.1", "x", &[("Nats-TTL", "x")], "");
    assert_eq!(bench.bus.sent, []);
    assert_eq!(bench.sequences(), [1]);
    let mut silent = Bench::new(r#""name":"A","subjects":["a.>"],"no_ack":true"#);
    assert_eq!(silent.publish("a.1", "x", &[]), "nothing");
    assert_eq!(silent.publish("a.1", "x", &[("Nats-TTL", "x")]), "nothing");
    assert_eq!(silent.sequences(), [1]);
}

/// Answers of nats-server 2.15.1.
#[test]
fn counters_add_up() {
    let mut bench = Bench::new(
        r#""name":"C","subjects":["c.>"],"allow_msg_counter":true,"allow_rollup_hdrs":true"#,
    );
    let ok = |sequence: u64, value: &str| {
        format!(r#"{{"stream":"C","seq":{sequence},"val":"{value}"}}"#)
    };
    let refused = |number: u16| format!(r#""err_code":{number},"#);
    assert!(bench.publish("c.1", "x", &[]).contains(&refused(10169)));
    assert!(
        bench
            .publish("c.1", "", &[("Nats-Incr", "")])
            .contains(&refused(10169))
    );
    assert_eq!(bench.publish("c.1", "", &[("Nats-Incr", "1")]), ok(1, "1"));
    assert_eq!(bench.publish("c.1", "", &[("Nats-Incr", "+5")]), ok(2, "6"));
    assert_eq!(
        bench.publish("c.2", "", &[("Nats-Incr", "-2")]),
        ok(3, "-2")
    );
    let huge = "99999999999999999999999999999999999";
    let sum = "100000000000000000000000000000000005";
    assert_eq!(bench.publish("c.1", "", &[("Nats-Incr", huge)]), ok(4, sum));
    assert!(
        bench
            .publish("c.1", "q", &[("Nats-Incr", "1")])
            .contains(&refused(10170))
    );
    for conflict in [
        "Nats-Rollup",
        "Nats-Expected-Stream",
        "Nats-Expected-Last-Msg-Id",
    ] {
        let answer = bench.publish("c.1", "", &[("Nats-Incr", "1"), (conflict, "C")]);
        assert!(answer.contains(&refused(10171)), "{answer}");
    }
    let id = [("Nats-Incr", "1"), ("Nats-Msg-Id", "z")];
    bench.publish("c.2", "", &id);
    assert_eq!(
        bench.publish("c.2", "", &id),
        r#"{"stream":"C","seq":5,"duplicate": true}"#
    );
    let last = bench.messages().pop().unwrap();
    assert_eq!(last.2, "NATS/1.0\r\nNats-Incr: 1\r\nNats-Msg-Id: z\r\n\r\n");
    assert_eq!(last.3, r#"{"val":"-1"}"#);
}

/// Captured from nats-server 2.15.1.
#[test]
fn copies_are_published_with_where_they_come_from() {
    let mut bench =
        Bench::new(r#""name":"RP","subjects":["a.>"],"republish":{"src":"a.>","dest":"rp.>"}"#);
    bench.store("a.1", 1);
    bench.publish("a.1", "hello", &[("Foo", "bar")]);
    bench.store("a.2", 3);
    let copies: Vec<_> = bench.bus.sent.drain(..).collect();
    let time = "2027-01-15T08:00:00Z";
    assert_eq!(
        copies[0].header,
        format!(
            "NATS/1.0\r\nNats-Stream: RP\r\nNats-Subject: a.1\r\nNats-Sequence: 1\r\nNats-Time-Stamp: {time}\r\nNats-Last-Sequence: 0\r\n\r\n"
        )
    );
    assert_eq!(
        (copies[1].to.as_str(), copies[1].payload.as_str()),
        ("rp.1", "hello")
    );
    assert_eq!(
        copies[1].header,
        format!(
            "NATS/1.0\r\nFoo: bar\r\nNats-Stream: RP\r\nNats-Subject: a.1\r\nNats-Sequence: 2\r\nNats-Time-Stamp: {time}\r\nNats-Last-Sequence: 1\r\n\r\n"
        )
    );
    assert!(copies[2].header.contains("Nats-Last-Sequence: 0\r\n"));

    let mut sizes = Bench::new(
        r#""name":"RP2","subjects":["b.>"],"republish":{"src":"b.*","dest":"rp.z.{{wildcard(1)}}","headers_only":true}"#,
    );
    sizes.publish("b.1.2", "hello", &[]);
    assert_eq!(sizes.bus.sent, []);
    sizes.publish("b.1", "hello", &[]);
    let copy = sizes.bus.sent.pop().unwrap();
    assert_eq!((copy.to.as_str(), copy.payload.as_str()), ("rp.z.1", ""));
    assert!(
        copy.header
            .ends_with("Nats-Last-Sequence: 0\r\nNats-Msg-Size: 5\r\n\r\n")
    );
}

#[test]
fn subjects_are_transformed_before_anything_else() {
    let mut bench = Bench::new(
        r#""name":"T","subjects":["c.>"],"subject_transform":{"src":"c.*","dest":"d.{{wildcard(1)}}"},"republish":{"src":">","dest":"rp.>"}"#,
    );
    bench.store("c.1", 1);
    bench.store("c.1.2", 2);
    let last = [("Nats-Expected-Last-Subject-Sequence", "1")];
    assert_eq!(
        bench.publish("c.1", "x", &last),
        r#"{"stream":"T","seq":3}"#
    );
    let subjects: Vec<_> = bench
        .messages()
        .into_iter()
        .map(|message| message.1)
        .collect();
    assert_eq!(subjects, ["d.1", "c.1.2", "d.1"]);
    assert_eq!(bench.bus.sent[0].to, "rp.d.1");
}

#[test]
fn duplicates_are_told_within_the_window_only() {
    let mut bench = Bench::new(r#""name":"A","subjects":["a.>"],"duplicate_window":2000000000"#);
    let id = [("Nats-Msg-Id", "1")];
    assert!(!bench.publish("a.1", "x", &id).contains("duplicate"));
    bench.pass(SECOND);
    assert!(
        bench
            .publish("a.1", "x", &id)
            .contains(r#""seq":1,"duplicate": true"#)
    );
    bench.pass(SECOND);
    assert!(!bench.publish("a.1", "x", &id).contains("duplicate"));
}

#[test]
fn account_limits_hold() {
    let mut bench = Bench::new(r#""name":"A","subjects":["a.>"]"#);
    bench.usage.most = 50;
    bench.store("a.1", 1);
    bench.store("a.1", 2);
    let answer = bench.publish("a.1", "x", &[]);
    assert_eq!(
        answer,
        error(10002, 400, "resource limits exceeded for account", "A")
    );
    bench.check();
}

proptest! {
    /// Sequences go up by one, in the order of the publishes; what has an id that was stored
    /// within the window is told its sequence and not stored again.
    #[test]
    fn order_and_duplicates_are_exact(
        publishes in prop::collection::vec((0u8..5, 0u8..4, 0i64..900_000_000), 1..60),
    ) {
        const WINDOW: i64 = 2 * SECOND;
        let mut bench = Bench::new(&format!(
            r#""name":"A","subjects":["a.>"],"duplicate_window":{WINDOW}"#
        ));
        let mut stored: Vec<(String, Option<String>, i64)> = Vec::new();
        let mut now = 0;
        for (id, subject, wait) in publishes {
            bench.pass(wait);
            now += wait;
            let subject = format!("a.{subject}");
            let id = (id > 0).then(|| id.to_string());
            let known = id.as_ref().and_then(|id| {
                let same = |(_, other, at): &(String, Option<String>, i64)| {
                    other.as_ref() == Some(id) && now - at < WINDOW
                };
                stored.iter().rposition(same)
            });
            let fields: Vec<_> = id.iter().map(|id| ("Nats-Msg-Id", id.as_str())).collect();
            let answer = bench.publish(&subject, "x", &fields);
            let expected = match known {
                Some(at) => format!(r#"{{"stream":"A","seq":{},"duplicate": true}}"#, at + 1),
                None => {
                    stored.push((subject, id, now));
                    format!(r#"{{"stream":"A","seq":{}}}"#, stored.len())
                }
            };
            prop_assert_eq!(answer, expected);
        }
        let found: Vec<_> = bench.messages().into_iter().map(|m| (m.0, m.1)).collect();
        let expected: Vec<_> = (1..).zip(stored.into_iter().map(|s| s.0)).collect();
        prop_assert_eq!(found, expected);
    }
}
