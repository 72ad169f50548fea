use proptest::prelude::*;

use super::support::Bench;

fn store_error(text: &str) -> String {
    format!(r#""err_code":10077,"description":"{text}""#)
}

/// Answers of nats-server 2.15.1.
#[test]
fn full_streams_that_discard_new_messages_say_so() {
    let messages = store_error("maximum messages exceeded");
    let bytes = store_error("maximum bytes exceeded");
    let mut bench = Bench::new(
        r#""name":"L","subjects":["l.>"],"max_msgs":2,"discard":"new","max_msg_size":100"#,
    );
    bench.store("l.1", 1);
    let long = "y".repeat(101);
    assert!(
        bench
            .publish("l.1", &long, &[])
            .contains(r#""err_code":10054"#)
    );
    let header = [("A", "bbbbbbbbbbbbbbbbbbbb")];
    assert!(
        bench
            .publish("l.1", &long[..80], &header)
            .contains(r#""err_code":10054"#)
    );
    assert!(
        bench
            .publish("l.1", &long, &[("Nats-Expected-Stream", "x")])
            .contains("10054")
    );
    bench.store("l.1", 2);
    let id = [("Nats-Msg-Id", "a")];
    assert!(bench.publish("l.1", "x", &id).contains(&messages));
    assert!(
        bench.publish("l.1", "x", &id).contains(&messages),
        "not a duplicate"
    );

    let mut small =
        Bench::new(r#""name":"L2","subjects":["l2.>"],"max_bytes":100,"discard":"new""#);
    assert!(small.publish("l2.1", &long[..85], &[]).contains(&bytes));
    assert!(
        small
            .publish("l2.1", &long[..20], &[])
            .contains(r#""seq":1"#)
    );
    assert!(small.publish("l2.1", "xx", &[]).contains(r#""seq":2"#));
    assert!(small.publish("l2.1", &long[..30], &[]).contains(&bytes));

    let mut subjects = Bench::new(
        r#""name":"L3","subjects":["l3.>"],"max_msgs_per_subject":1,"discard":"new","discard_new_per_subject":true,"allow_rollup_hdrs":true"#,
    );
    subjects.store("l3.1", 1);
    let full = store_error("maximum messages per subject exceeded");
    assert!(subjects.publish("l3.1", "x", &[]).contains(&full));
    subjects.store("l3.2", 2);
    let rollup = [("Nats-Rollup", "sub")];
    assert!(
        subjects
            .publish("l3.1", "x", &rollup)
            .contains(r#""seq":3"#)
    );

    let mut both = Bench::new(
        r#""name":"L4","subjects":["l4.>"],"max_msgs_per_subject":1,"discard":"new","max_msgs":2"#,
    );
    both.store("l4.1", 1);
    both.store("l4.1", 2);
    both.store("l4.2", 3);
    both.store("l4.2", 4);
    assert!(both.publish("l4.3", "x", &[]).contains(&messages));
    both.check();
}

/// As on nats-server 2.15.1: it is acknowledged, and gone.
#[test]
fn a_message_larger_than_the_stream_pushes_itself_out() {
    let mut bench = Bench::new(r#""name":"L5","subjects":["l5.>"],"max_bytes":100"#);
    let answer = bench.publish("l5.1", &"x".repeat(200), &[]);
    assert_eq!(answer, r#"{"stream":"L5","seq":1}"#);
    let state = bench.stream.state(0, false);
    assert_eq!((state.messages, state.first_seq, state.last_seq), (0, 2, 1));
    bench.store("l5.1", 2);
    assert_eq!(bench.sequences(), [2]);
    bench.check();
}

#[test]
fn interest_streams_keep_only_what_somebody_needs() {
    let mut bench = Bench::new(r#""name":"I","subjects":["i.>"],"retention":"interest""#);
    bench.store("i.1", 1);
    assert!(bench.sequences().is_empty());
    bench.notes.interested = true;
    for sequence in 2..6 {
        bench.store("i.1", sequence);
    }
    bench.notes.needed = vec![3, 5];
    bench.with(|stream, cx| {
        for sequence in [2, 3, 99] {
            stream.acknowledged(cx, sequence);
        }
    });
    assert_eq!(bench.sequences(), [3, 4, 5]);
    bench.with(|stream, cx| {
        stream.consumers_changed();
        stream.settle(cx);
    });
    assert_eq!(bench.sequences(), [3, 5]);
    assert!(!bench.stream.has_backlog());
    bench.check();

    let mut queue = Bench::new(r#""name":"W","subjects":["w.>"],"retention":"workqueue""#);
    queue.store("w.1", 1);
    queue.notes.needed = vec![1];
    queue.with(|stream, cx| stream.acknowledged(cx, 1));
    assert!(queue.sequences().is_empty());
}

proptest! {
    /// Whatever is published, the limits hold after each message, and what is kept is what a list
    /// keeps that drops from its front.
    #[test]
    fn limits_are_exact(
        max_msgs in 1i64..8,
        max_per_subject in 1i64..4,
        max_bytes in 60i64..400,
        publishes in prop::collection::vec((0u8..4, 0usize..60), 1..60),
    ) {
        let mut bench = Bench::new(&format!(
            r#""name":"P","subjects":["p.>"],"max_msgs":{max_msgs},"max_msgs_per_subject":{max_per_subject},"max_bytes":{max_bytes}"#
        ));
        let mut kept: Vec<(u64, String, usize)> = Vec::new();
        for (sequence, (subject, size)) in (1u64..).zip(publishes) {
            let subject = format!("p.{subject}");
            bench.publish(&subject, &"x".repeat(size), &[]);
            kept.push((sequence, subject.clone(), 19 + size));
            while kept.iter().filter(|m| m.1 == subject).count() > max_per_subject as usize {
                let first = kept.iter().position(|m| m.1 == subject).unwrap();
                kept.remove(first);
            }
            while kept.len() > max_msgs as usize
                || kept.iter().map(|m| m.2).sum::<usize>() > max_bytes as usize
            {
                kept.remove(0);
            }
            let expected: Vec<u64> = kept.iter().map(|m| m.0).collect();
            prop_assert_eq!(bench.sequences(), expected);
            bench.check();
        }
        let gone = bench.notes.stored.len() - bench.notes.removed.len();
        prop_assert_eq!(gone, kept.len());
    }
}
