use super::support::{Bench, START_NS};
use crate::jetstream::stream::Purge;
use crate::store::Stored;

fn purge(bench: &mut Bench, sequence: u64, keep: u64, filter: &str) -> Result<u64, u16> {
    let purge = Purge {
        sequence,
        keep,
        filter: filter.to_owned(),
    };
    bench
        .with(|stream, cx| stream.purge(cx, &purge))
        .map_err(|error| error.code.number())
}

/// As asked of nats-server 2.15.1, step by step.
#[test]
fn purges_remove_what_they_name() {
    let mut bench = Bench::new(r#""name":"P","subjects":["p.>"]"#);
    for number in 0..9 {
        bench.store(&format!("p.{}", number % 3), number + 1);
    }
    assert_eq!(purge(&mut bench, 3, 0, ""), Ok(2));
    assert_eq!(purge(&mut bench, 3, 1, ""), Err(10003));
    assert_eq!(purge(&mut bench, 0, 0, "p.1"), Ok(2));
    assert_eq!(purge(&mut bench, 0, 1, "p.2"), Ok(2));
    assert_eq!(purge(&mut bench, 5, 0, "p.0"), Ok(1));
    assert_eq!(bench.sequences(), [7, 9]);
    let state = bench.stream.state(0, true);
    assert_eq!(
        (state.first_seq, state.last_seq, state.num_deleted),
        (7, 9, 1)
    );
    assert_eq!(state.deleted, Some(vec![8]));
    assert_eq!(purge(&mut bench, 0, 2, ""), Ok(0));
    assert_eq!(purge(&mut bench, 0, 0, "zz"), Ok(0));
    assert_eq!(purge(&mut bench, 0, 0, "a..b"), Ok(0));
    assert_eq!(purge(&mut bench, 100, 0, ""), Ok(2));
    let state = bench.stream.state(0, false);
    assert_eq!(
        (state.messages, state.first_seq, state.last_seq),
        (0, 100, 99)
    );
    assert_eq!(purge(&mut bench, 0, 0, ""), Ok(0));
    bench.store("p.1", 100);
    assert_eq!(purge(&mut bench, 1_000_000, 0, ""), Ok(1));
    bench.store("p.1", 1_000_000);
    bench.check();
}

#[test]
fn purges_keep_the_last_messages() {
    for keep in 0..12 {
        let mut bench = Bench::new(r#""name":"P","subjects":["p.>"]"#);
        for number in 1..=10 {
            bench.store("p.1", number);
        }
        bench
            .with(|stream, cx| stream.delete_message(cx, 5, true))
            .unwrap();
        let expected: u64 = if keep == 0 {
            9
        } else {
            9u64.saturating_sub(keep)
        };
        assert_eq!(purge(&mut bench, 0, keep, ""), Ok(expected), "{keep}");
        assert_eq!(bench.sequences().len() as u64, 9 - expected);
        bench.check();
    }
}

/// Texts of nats-server 2.15.1.
#[test]
fn what_is_denied_is_told() {
    let mut bench =
        Bench::new(r#""name":"D","subjects":["d"],"deny_delete":true,"deny_purge":true"#);
    bench.store("d", 1);
    assert_eq!(purge(&mut bench, 0, 0, ""), Err(10110));
    let error = bench
        .with(|stream, cx| stream.delete_message(cx, 1, true))
        .unwrap_err();
    assert_eq!(error.description, "message delete not permitted");

    let mut free = Bench::new(r#""name":"D","subjects":["d"]"#);
    free.store("d", 1);
    free.with(|stream, cx| stream.delete_message(cx, 1, false))
        .unwrap();
    let error = free
        .with(|stream, cx| stream.delete_message(cx, 1, false))
        .unwrap_err();
    assert_eq!(
        (error.code.number(), &*error.description),
        (10043, "sequence 1 not found")
    );
    assert_eq!(free.notes.removed, [(1, "d".to_owned())]);
}

#[test]
fn sealed_streams_take_and_give_up_nothing() {
    let mut bench = Bench::new(r#""name":"S","subjects":["s"]"#);
    bench.store("s", 1);
    let mut config = bench.stream.config().clone();
    config.sealed = true;
    bench.with(|stream, cx| stream.update(cx, config));
    let refused = r#"{"error":{"code":400,"err_code":10109,"description":"invalid operation on sealed stream"},"stream":"S","seq":0}"#;
    assert_eq!(bench.publish("s", "x", &[]), refused);
    assert_eq!(
        bench.publish("s", "x", &[("Nats-Expected-Stream", "x")]),
        refused
    );
    assert_eq!(purge(&mut bench, 0, 0, ""), Err(10109));
    assert!(
        bench
            .with(|stream, cx| stream.delete_message(cx, 1, true))
            .is_err()
    );
}

#[test]
fn updates_take_effect_at_once() {
    let mut bench = Bench::new(r#""name":"U","subjects":["u.>","v"]"#);
    for number in 1..=6 {
        bench.store("u.1", number);
    }
    let mut config = bench.stream.config().clone();
    config.max_msgs_per_subject = 4;
    config.subjects = vec!["u.>".to_owned(), "w".to_owned()];
    bench.with(|stream, cx| stream.update(cx, config));
    assert_eq!(bench.sequences(), [3, 4, 5, 6]);
    let subjects: Vec<_> = bench
        .bus
        .subscriptions
        .iter()
        .map(|s| s.0.as_str())
        .collect();
    assert_eq!(subjects, ["u.>", "w"]);
    let mut config = bench.stream.config().clone();
    config.max_msgs = 1;
    bench.with(|stream, cx| stream.update(cx, config));
    assert_eq!(bench.sequences(), [6]);
    bench.check();
    bench.with(|stream, cx| stream.stop(cx));
    assert_eq!(bench.bus.subscriptions, []);
}

#[test]
fn a_new_stream_begins_where_it_is_told_to() {
    let mut bench = Bench::new(r#""name":"F","subjects":["f"],"first_seq":10"#);
    let state = bench.stream.state(0, false);
    assert_eq!((state.first_seq, state.last_seq), (10, 9));
    bench.store("f", 10);
    let new = Bench::new(r#""name":"N","subjects":["n"]"#);
    let state = new.stream.state(3, false);
    assert_eq!(
        serde_json::to_string(&state).unwrap(),
        r#"{"messages":0,"bytes":0,"first_seq":0,"first_ts":"0001-01-01T00:00:00Z","last_seq":0,"last_ts":"0001-01-01T00:00:00Z","consumer_count":3}"#
    );
}

#[test]
fn messages_of_a_snapshot_are_taken_over_as_they_were() {
    let mut bench = Bench::new(
        r#""name":"R","subjects":["r.>"],"allow_msg_ttl":true,"republish":{"src":">","dest":"rp.>"}"#,
    );
    for (sequence, header) in [(3, &b"NATS/1.0\r\nNats-Msg-Id: a\r\n\r\n"[..]), (7, b"")] {
        let message = Stored {
            sequence,
            unix_ns: START_NS - 5,
            subject: b"r.1",
            header,
            payload: b"x",
        };
        bench
            .with(|stream, cx| stream.restore_message(cx, &message))
            .unwrap();
    }
    assert_eq!(bench.sequences(), [3, 7]);
    assert!(bench.bus.sent.is_empty());
    assert_eq!(bench.stream.log().meta(7).unwrap().unix_ns, START_NS - 5);
    let id = [("Nats-Msg-Id", "a")];
    assert!(
        bench
            .publish("r.1", "x", &id)
            .contains(r#""seq":3,"duplicate": true"#)
    );
    bench.check();
}
