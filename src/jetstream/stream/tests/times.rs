use super::support::{Bench, SECOND, START_NS};

#[test]
fn messages_go_by_age_in_time() {
    let mut bench = Bench::new(
        r#""name":"A","subjects":["a.>"],"max_age":2000000000,"duplicate_window":1000000000"#,
    );
    assert_eq!(bench.stream.next_deadline(bench.bus.now), None);
    bench.store("a.1", 1);
    bench.pass(SECOND);
    bench.store("a.1", 2);
    let deadline = bench.stream.next_deadline(bench.bus.now).unwrap();
    assert_eq!(deadline, bench.bus.now.mono_ns + SECOND as u64);
    bench.pass(SECOND - 1);
    assert_eq!(bench.sequences(), [1, 2]);
    bench.pass(1);
    assert_eq!(bench.sequences(), [2]);
    bench.pass(SECOND);
    assert!(bench.sequences().is_empty());
    bench.check();
}

/// As on nats-server 2.15.1.
#[test]
fn a_time_to_live_shortens_a_life_and_never_means_never() {
    let mut bench =
        Bench::new(r#""name":"O","subjects":["o.>"],"allow_msg_ttl":true,"max_age":2000000000"#);
    bench.store("o.1", 1);
    for (subject, ttl) in [("o.2", "5s"), ("o.3", "never"), ("o.4", "1s")] {
        bench.publish(subject, "x", &[("Nats-TTL", ttl)]);
    }
    bench.store("o.5", 5);
    bench.pass(SECOND);
    assert_eq!(bench.sequences(), [1, 2, 3, 5]);
    bench.pass(SECOND);
    assert_eq!(bench.sequences(), [3]);
    assert_eq!(bench.stream.next_deadline(bench.bus.now), None);
    bench.store("o.6", 6);
    bench.pass(2 * SECOND);
    assert_eq!(bench.sequences(), [3]);
    bench.check();
}

/// As on nats-server 2.15.1.
#[test]
fn the_last_message_of_a_subject_leaves_a_marker() {
    let mut bench = Bench::new(
        r#""name":"M","subjects":["m.>"],"subject_delete_marker_ttl":3000000000,"max_age":2000000000,"duplicate_window":1000000000"#,
    );
    bench.store("m.1", 1);
    bench.store("m.2", 2);
    bench.store("m.2", 3);
    bench.publish("m.3", "x", &[("Nats-TTL", "1")]);
    bench.publish("m.4", "x", &[("Nats-TTL", "never")]);
    let raised = &bench.messages()[3].2;
    assert_eq!(raised, "NATS/1.0\r\nNats-TTL: 3\r\n\r\n");
    bench.pass(2 * SECOND);
    let marker =
        "NATS/1.0\r\nNats-Marker-Reason: MaxAge\r\nNats-TTL: 3s\r\nNats-Rollup: sub\r\n\r\n";
    let left: Vec<_> = bench
        .messages()
        .into_iter()
        .map(|(sequence, subject, header, payload)| {
            assert!(sequence == 5 || (header == marker && payload.is_empty()));
            (sequence, subject)
        })
        .collect();
    let expected = [(5, "m.4"), (6, "m.1"), (7, "m.2"), (8, "m.3")];
    assert_eq!(
        left,
        expected.map(|(sequence, subject)| (sequence, subject.to_owned()))
    );
    // Markers go by age as well, and leave nothing.
    bench.pass(2 * SECOND);
    assert_eq!(bench.sequences(), [5]);
    bench.check();
}

#[test]
fn purges_leave_no_markers_and_rollups_go_by_subject() {
    let mut bench =
        Bench::new(r#""name":"T","subjects":["t.>"],"subject_delete_marker_ttl":3000000000"#);
    bench.store("t.1", 1);
    bench.store("t.2", 2);
    bench.store("t.2", 3);
    bench.publish("t.2", "", &[("Nats-Rollup", "sub")]);
    assert_eq!(bench.sequences(), [1, 4]);
    bench.publish("t.1", "", &[("Nats-Rollup", "all")]);
    assert_eq!(bench.sequences(), [5]);
    bench
        .with(|stream, cx| stream.purge(cx, &Default::default()))
        .unwrap();
    assert!(bench.sequences().is_empty());
    bench.check();
}

#[test]
fn times_never_go_back() {
    let mut bench = Bench::new(r#""name":"A","subjects":["a.>"]"#);
    bench.store("a.1", 1);
    bench.bus.now.unix_ns -= 5 * SECOND;
    bench.store("a.1", 2);
    assert_eq!(bench.stream.log().meta(2).unwrap().unix_ns, START_NS);
}
