use super::support::{Bench, SECOND};

fn bench() -> Bench {
    Bench::new(r#""name":"F","subjects":["f.>"],"allow_batched":true"#)
}

/// Sends one message and returns all that is answered.
fn send(bench: &mut Bench, control: &str, fields: &[(&str, &str)]) -> Vec<String> {
    let reply = format!("inb.{control}.$FI");
    let first = bench.publish_to("f.1", "x", fields, &reply);
    let mut answers: Vec<String> = (bench.bus.sent.drain(..))
        .map(|sent| sent.payload)
        .collect();
    if first != "nothing" {
        answers.push(first);
    }
    answers
}

/// Answers of nats-server 2.15.1, in the order in which they were asked for. How it paces many
/// batches at once is its own affair.
#[test]
fn the_flow_of_a_batch_is_answered_as_by_nats_server() {
    let mut bench = bench();
    let nothing: &[&str] = &[];
    let unknown = r#"{"error":{"code":400,"err_code":10208,"description":"batch publish ID unknown"},"stream":"F","seq":0}"#;
    let pattern = r#"{"error":{"code":400,"err_code":10206,"description":"batch publish pattern is invalid"},"stream":"F","seq":0}"#;
    let steps: [(&str, &[&str]); 24] = [
        ("a.3.ok.1.0", &[r#"{"type":"ack","seq":0,"msgs":3}"#]),
        ("a.3.ok.2.1", nothing),
        ("a.3.ok.3.1", &[r#"{"type":"ack","seq":3,"msgs":3}"#]),
        ("a.3.ok.4.1", nothing),
        (
            "a.3.ok.5.4",
            &[
                r#"{"type":"gap","last_seq":5,"seq":6}"#,
                r#"{"type":"ack","seq":3,"msgs":3}"#,
            ],
        ),
        ("a.3.ok.4.4", &[r#"{"type":"ack","seq":3,"msgs":3}"#]),
        (
            "a.3.ok.5.2",
            &[
                r#"{"type":"gap","last_seq":6,"seq":5}"#,
                r#"{"stream":"F","seq":5,"batch":"a","count":5}"#,
            ],
        ),
        ("b.2.ok.1.0", &[r#"{"type":"ack","seq":0,"msgs":2}"#]),
        (
            "b.2.ok.4.1",
            &[
                r#"{"type":"gap","last_seq":2,"seq":4}"#,
                r#"{"type":"ack","seq":4,"msgs":2}"#,
            ],
        ),
        ("b.2.ok.5.1", nothing),
        (
            "b.2.ok.6.3",
            &[r#"{"stream":"F","seq":8,"batch":"b","count":5}"#],
        ),
        ("c.2.fail.1.0", &[r#"{"type":"ack","seq":0,"msgs":2}"#]),
        (
            "c.2.fail.3.1",
            &[
                r#"{"type":"gap","last_seq":2,"seq":3}"#,
                r#"{"stream":"F","seq":9,"batch":"c","count":1}"#,
            ],
        ),
        ("c.2.fail.4.1", &[unknown]),
        ("c.2.fail.5.2", &[unknown]),
        ("d.10.ok.1.1", &[pattern]),
        ("d.10.ok.2.0", &[pattern]),
        ("d.0.ok.1.0", &[r#"{"type":"ack","seq":0,"msgs":10}"#]),
        ("d3.10.zz.1.0", &[pattern]),
        (
            "d7.10.ok.1.2",
            &[r#"{"stream":"F","seq":11,"batch":"d7","count":1}"#],
        ),
        ("d9.10.ok.1.4", &[unknown]),
        ("k.2.ok.1.0", &[r#"{"type":"ack","seq":0,"msgs":2}"#]),
        (
            "k.2.ok.1.0",
            &[
                r#"{"type":"gap","last_seq":2,"seq":1}"#,
                r#"{"stream":"F","seq":12,"batch":"k","count":1}"#,
            ],
        ),
        ("k.2.ok.2.3", &[unknown]),
    ];
    for (control, expected) in steps {
        assert_eq!(send(&mut bench, control, &[]), expected, "{control}");
    }
    bench.check();
}

/// Answers of nats-server 2.15.1.
#[test]
fn refused_messages_end_a_batch_only_if_it_wants_so() {
    let mut bench = bench();
    let refused = r#"{"type":"err","seq":2,"error":{"code":400,"err_code":10060,"description":"expected stream does not match"}}"#;
    let wrong = [("Nats-Expected-Stream", "Q")];
    let id = [("Nats-Msg-Id", "q")];
    send(&mut bench, "e.1.ok.1.0", &[]);
    assert_eq!(send(&mut bench, "e.1.ok.2.1", &wrong), [refused]);
    assert_eq!(
        send(&mut bench, "e.1.ok.3.1", &id),
        [r#"{"type":"ack","seq":3,"msgs":1}"#]
    );
    assert_eq!(
        send(&mut bench, "e.1.ok.4.1", &id),
        [r#"{"type":"ack","seq":4,"msgs":1}"#]
    );
    assert_eq!(
        send(&mut bench, "e.1.ok.5.2", &[]),
        [r#"{"stream":"F","seq":3,"batch":"e","count":5}"#]
    );
    send(&mut bench, "h.1.fail.1.0", &[]);
    let answers = send(&mut bench, "h.1.fail.2.1", &wrong);
    assert_eq!(
        answers,
        [refused, r#"{"stream":"F","seq":4,"batch":"h","count":1}"#]
    );
    assert_eq!(bench.usage.batches, 0);

    let mut off = Bench::new(r#""name":"G","subjects":["f.>"]"#);
    let answers = send(&mut off, "a.3.ok.1.0", &[]);
    assert_eq!(
        answers,
        [
            r#"{"error":{"code":400,"err_code":10205,"description":"batch publish is disabled"},"stream":"G","seq":0}"#
        ]
    );
}

#[test]
fn batches_are_bounded_and_forgotten() {
    let mut bench = bench();
    bench.settings.limits.fast_batches_per_stream = 2;
    send(&mut bench, "a.3.ok.1.0", &[]);
    send(&mut bench, "b.3.ok.1.0", &[]);
    assert!(send(&mut bench, "c.3.ok.1.0", &[])[0].contains(r#""code":429,"err_code":10211,"#));
    bench.pass(10 * SECOND);
    assert_eq!(bench.usage.batches, 0);
    assert!(send(&mut bench, "a.3.ok.2.1", &[])[0].contains("10208"));
}
