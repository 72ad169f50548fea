use super::support::{Bench, SECOND};
use crate::jetstream::stream::{AbandonReason, StreamEvent};

fn bench() -> Bench {
    Bench::new(
        r#""name":"B","subjects":["b.>"],"allow_atomic":true,"allow_msg_ttl":true,"allow_rollup_hdrs":true"#,
    )
}

fn send(
    bench: &mut Bench,
    id: &str,
    sequence: &str,
    commit: &str,
    more: &[(&str, &str)],
) -> String {
    send_on(bench, "b.1", id, sequence, commit, more)
}

fn send_on(
    bench: &mut Bench,
    subject: &str,
    id: &str,
    sequence: &str,
    commit: &str,
    more: &[(&str, &str)],
) -> String {
    let mut fields = vec![("Nats-Batch-Id", id), ("Nats-Batch-Sequence", sequence)];
    if !commit.is_empty() {
        fields.push(("Nats-Batch-Commit", commit));
    }
    fields.extend_from_slice(more);
    bench.publish(subject, "x", &fields)
}

fn committed(sequence: u64, id: &str, count: u64) -> String {
    format!(r#"{{"stream":"B","seq":{sequence},"batch":"{id}","count":{count}}}"#)
}

fn abandoned(bench: &mut Bench) -> Vec<(String, AbandonReason)> {
    bench
        .stream
        .take_events()
        .into_iter()
        .map(|StreamEvent::BatchAbandoned { batch, reason }| (batch, reason))
        .collect()
}

/// Answers of nats-server 2.15.1, in the order in which they were asked for.
#[test]
fn batches_are_stored_whole_or_not_at_all() {
    let mut bench = bench();
    assert_eq!(send(&mut bench, "x", "1", "", &[]), "");
    assert_eq!(send(&mut bench, "x", "2", "", &[]), "");
    assert!(bench.sequences().is_empty());
    assert_eq!(send(&mut bench, "x", "3", "1", &[]), committed(3, "x", 3));
    let incomplete = r#""err_code":10176,"#;
    assert!(send(&mut bench, "y", "2", "", &[]).contains(incomplete));
    assert_eq!(send(&mut bench, "y", "1", "1", &[]), committed(4, "y", 1));
    assert_eq!(send(&mut bench, "z", "1", "", &[]), "");
    assert!(send(&mut bench, "z", "3", "", &[]).contains(incomplete));
    assert_eq!(
        abandoned(&mut bench),
        [("z".to_owned(), AbandonReason::Incomplete)]
    );
    assert!(send(&mut bench, "z", "2", "1", &[]).contains(incomplete));
    assert!(send(&mut bench, "q", "0", "", &[]).contains(incomplete));
    assert!(send(&mut bench, "q", "x", "", &[]).contains(r#""err_code":10175,"#));
    assert!(
        bench
            .publish("b.1", "x", &[("Nats-Batch-Id", "q")])
            .contains("10175")
    );
    let id = "q".repeat(65);
    assert_eq!(
        send(&mut bench, &id[..64], "1", "1", &[]),
        committed(5, &id[..64], 1)
    );
    assert!(send(&mut bench, &id, "1", "1", &[]).contains(r#""err_code":10179,"#));
    assert_eq!(send(&mut bench, "e", "1", "", &[]), "");
    assert_eq!(send(&mut bench, "e", "2", "eob", &[]), committed(6, "e", 1));
    let last = bench.messages().pop().unwrap();
    assert_eq!(
        last.2,
        "NATS/1.0\r\nNats-Batch-Id: e\r\nNats-Batch-Sequence: 1\r\nNats-Batch-Commit: 1\r\n\r\n"
    );
    assert!(send(&mut bench, "f", "1", "eob", &[]).contains(incomplete));
    assert_eq!(
        abandoned(&mut bench),
        [("f".to_owned(), AbandonReason::Incomplete)]
    );
    assert!(send(&mut bench, "g", "1", "0", &[]).contains(r#""err_code":10200,"#));
    assert_eq!(send(&mut bench, "g", "1", "", &[]), "");
    assert!(send(&mut bench, "g", "2", "x", &[]).contains(r#""err_code":10200,"#));
    assert!(send(&mut bench, "g", "2", "1", &[]).contains(incomplete));
    assert_eq!(send(&mut bench, "h", "1", "", &[]), "");
    assert!(send(&mut bench, "h", "1", "", &[]).contains(incomplete));
    assert_eq!(send(&mut bench, "h", "1", "1", &[]), committed(7, "h", 1));
    assert_eq!(bench.sequences(), [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(bench.usage.batches, 0);
    bench.check();
}

/// Answers of nats-server 2.15.1.
#[test]
fn messages_of_a_batch_are_checked_when_it_is_committed() {
    for (first, second, expected) in [
        (
            Some(("Nats-Expected-Stream", "Q")),
            None,
            "expected stream does not match",
        ),
        (
            Some(("Nats-Expected-Last-Sequence", "99")),
            None,
            "wrong last sequence: 0",
        ),
        (
            None,
            Some(("Nats-Expected-Last-Sequence", "99")),
            "wrong last sequence: 1",
        ),
        (
            None,
            Some(("Nats-Expected-Last-Sequence", "1")),
            r#"10164,"description":"wrong last sequence""#,
        ),
        (
            Some(("Nats-Expected-Last-Subject-Sequence", "9")),
            None,
            "wrong last sequence: 0",
        ),
        (
            None,
            Some(("Nats-Expected-Last-Subject-Sequence", "0")),
            r#"10164,"description":"wrong last sequence""#,
        ),
        (
            None,
            Some(("Nats-Expected-Last-Msg-Id", "a")),
            "atomic publish unsupported header used: Nats-Expected-Last-Msg-Id",
        ),
        (
            None,
            Some(("Nats-Rollup", "sub")),
            "batch rollup sub invalid",
        ),
        (
            Some(("Nats-Rollup", "zz")),
            None,
            r#"rollup value invalid: \"zz\""#,
        ),
        (Some(("Nats-TTL", "x")), None, "invalid per-message TTL"),
        (
            Some(("Nats-Incr", "1")),
            None,
            "message counters is disabled",
        ),
        (
            Some(("Nats-Schedule", "x")),
            None,
            "message schedules is disabled",
        ),
        (
            None,
            Some(("Nats-Stream-Source", "x")),
            "message stream source header is not allowed",
        ),
        (
            Some(("Nats-Msg-Id", "m")),
            Some(("Nats-Msg-Id", "m")),
            "atomic publish batch contains duplicate message id",
        ),
        (
            Some(("Nats-Msg-Id", "m")),
            None,
            r#""seq":2,"batch":"i","count":2"#,
        ),
        (
            Some(("Nats-Rollup", "sub")),
            None,
            r#""seq":2,"batch":"i","count":2"#,
        ),
        (
            Some(("Nats-Expected-Last-Sequence", "0")),
            None,
            r#""seq":2,"batch":"i","count":2"#,
        ),
    ] {
        let mut bench = bench();
        let first: Vec<_> = first.into_iter().collect();
        let second: Vec<_> = second.into_iter().collect();
        assert_eq!(send(&mut bench, "i", "1", "", &first), "");
        let answer = send(&mut bench, "i", "2", "1", &second);
        assert!(answer.contains(expected), "{first:?} {second:?}: {answer}");
        let stored = if answer.contains("error") { 0 } else { 2 };
        assert_eq!(bench.sequences().len(), stored);
    }
    let mut bench = bench();
    bench.publish("b.9", "x", &[("Nats-Msg-Id", "d2")]);
    send(&mut bench, "d", "1", "", &[("Nats-Msg-Id", "d2")]);
    assert!(send(&mut bench, "d", "2", "1", &[]).contains(r#""err_code":10201,"#));
}

#[test]
fn batches_have_limits() {
    let mut bench = bench();
    bench.settings.limits.batches_per_stream = 3;
    bench.settings.limits.batch_messages = 4;
    for id in ["a", "b", "c"] {
        assert_eq!(send(&mut bench, id, "1", "", &[]), "");
    }
    assert!(send(&mut bench, "d", "1", "", &[]).contains(r#""code":429,"err_code":10210,"#));
    for sequence in ["2", "3", "4"] {
        assert_eq!(send(&mut bench, "a", sequence, "", &[]), "");
    }
    let large = r#""err_code":10199,"description":"atomic publish batch is too large: 4""#;
    assert!(send(&mut bench, "a", "5", "1", &[]).contains(large));
    assert_eq!(
        abandoned(&mut bench),
        [("a".to_owned(), AbandonReason::Large)]
    );
    assert!(bench.stream.next_deadline(bench.bus.now).is_some());
    bench.pass(9 * SECOND);
    send(&mut bench, "c", "2", "", &[]);
    bench.pass(SECOND);
    assert_eq!(
        abandoned(&mut bench),
        [("b".to_owned(), AbandonReason::Timeout)]
    );
    assert_eq!(bench.usage.batches, 1);
    assert_eq!(send(&mut bench, "c", "3", "1", &[]), committed(3, "c", 3));
}

#[test]
fn limits_of_the_stream_hold_for_whole_batches() {
    let mut bench = Bench::new(
        r#""name":"B","subjects":["b.>"],"allow_atomic":true,"max_msgs":3,"discard":"new""#,
    );
    bench.store("b.1", 1);
    for sequence in ["1", "2"] {
        send_on(&mut bench, "b.2", "i", sequence, "", &[]);
    }
    let full = send_on(&mut bench, "b.2", "i", "3", "1", &[]);
    assert!(full.contains("maximum messages exceeded"));
    assert_eq!(bench.sequences(), [1]);
    send_on(&mut bench, "b.2", "j", "1", "", &[]);
    assert_eq!(
        send_on(&mut bench, "b.2", "j", "2", "1", &[]),
        committed(3, "j", 2)
    );
}

/// As on nats-server 2.15.1.
#[test]
fn counters_add_up_within_a_batch() {
    let mut bench =
        Bench::new(r#""name":"B","subjects":["b.>"],"allow_atomic":true,"allow_msg_counter":true"#);
    bench.publish("b.1", "", &[("Nats-Incr", "5")]);
    for (number, subject) in [("1", "b.1"), ("2", "b.2"), ("3", "b.1")] {
        let fields = [
            ("Nats-Batch-Id", "i"),
            ("Nats-Batch-Sequence", number),
            ("Nats-Incr", "2"),
        ];
        assert_eq!(bench.publish(subject, "", &fields), "");
    }
    let end = [
        ("Nats-Batch-Id", "i"),
        ("Nats-Batch-Sequence", "4"),
        ("Nats-Batch-Commit", "eob"),
    ];
    assert_eq!(bench.publish("b.1", "", &end), committed(4, "i", 3));
    let values: Vec<_> = bench.messages().into_iter().map(|m| m.3).collect();
    let expected = ["5", "7", "2", "9"].map(|value| format!(r#"{{"val":"{value}"}}"#));
    assert_eq!(values, expected);
}
