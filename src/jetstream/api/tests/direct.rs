use super::*;

const NOT_FOUND: &str = "NATS/1.0 404 Message Not Found||";
const BAD: &str = "NATS/1.0 408 Bad Request||";
const EMPTY: &str = "NATS/1.0 408 Empty Request||";
const MALFORMED: &str = "NATS/1.0 408 Malformed Request||";

/// Five messages on s.0 to s.4, then one with a header on s.1 and one on s.2.
fn filled(cluster: &mut Cluster) {
    cluster.api(
        "STREAM.CREATE.S",
        r#"{"name":"S","subjects":["s.>"],"allow_direct":true}"#,
    );
    for n in 0..5 {
        cluster.publish(&format!("s.{n}"), "", "", b"x");
    }
    cluster.publish("s.1", "", "NATS/1.0\r\nA: b\r\n\r\n", b"hdr");
    cluster.publish("s.2", "", "", b"y");
}

fn get(cluster: &mut Cluster, subject: &str, body: &str) -> Vec<String> {
    let subject = format!("$JS.API.DIRECT.GET.S{subject}");
    let answers = cluster.request_all(&subject, "", body.as_bytes());
    answers.iter().map(|answer| masked(answer)).collect()
}

/// Sequence, pending and last sequence of the messages of a batch, then its end.
fn batch(cluster: &mut Cluster, body: &str) -> (Vec<(u64, u64, u64)>, String) {
    let mut answers = get(cluster, "", body);
    let end = answers.pop().unwrap();
    let number = |answer: &str, name: &str| -> u64 {
        let from = answer.split_once(&format!("|{name}: ")).unwrap().1;
        from.split_once('|').unwrap().0.parse().unwrap()
    };
    let messages = answers.iter().map(|answer| {
        (
            number(answer, "Nats-Sequence"),
            number(answer, "Nats-Num-Pending"),
            number(answer, "Nats-Last-Sequence"),
        )
    });
    (messages.collect(), end)
}

#[test]
fn one_message_is_got() {
    on_cores(|cluster| {
        filled(cluster);
        let first =
            "NATS/1.0|Nats-Stream: S|Nats-Subject: s.0|Nats-Sequence: 1|Nats-Time-Stamp: TIME||x";
        let sixth = "NATS/1.0|A: b|Nats-Stream: S|Nats-Subject: s.1|Nats-Sequence: 6|Nats-Time-Stamp: TIME||hdr";
        let second =
            "NATS/1.0|Nats-Stream: S|Nats-Subject: s.1|Nats-Sequence: 2|Nats-Time-Stamp: TIME||x";
        for (body, expected) in [
            ("", EMPTY),
            ("null", EMPTY),
            ("{", MALFORMED),
            (r#"{"x":1}"#, EMPTY),
            (r#"{"seq":1}"#, first),
            (r#"{"seq":99}"#, NOT_FOUND),
            (r#"{"seq":6}"#, sixth),
            (r#"{"seq":6,"no_hdr":true}"#, "hdr"),
            (r#"{"last_by_subj":"s.1"}"#, sixth),
            (r#"{"last_by_subj":"zz"}"#, NOT_FOUND),
            (r#"{"next_by_subj":"s.1"}"#, second),
            (r#"{"next_by_subj":"s.1","seq":3}"#, sixth),
            (r#"{"start_time":"2020-01-01T00:00:00Z"}"#, first),
            (r#"{"start_time":"2099-01-01T00:00:00Z"}"#, NOT_FOUND),
            (r#"{"start_time":"2020-01-01T00:00:00Z","seq":1}"#, BAD),
            (r#"{"start_time":"x"}"#, MALFORMED),
            (r#"{"seq":1,"last_by_subj":"s.1"}"#, BAD),
            (r#"{"batch":3}"#, EMPTY),
            (r#"{"batch":3,"seq":60}"#, NOT_FOUND),
            (r#"{"multi_last":[]}"#, EMPTY),
            (r#"{"multi_last":["q"]}"#, "NATS/1.0 404 No Results||"),
            (
                r#"{"multi_last":["s.>"],"up_to_time":"2000-01-01T00:00:00Z"}"#,
                "NATS/1.0 404 No Results||",
            ),
            (
                r#"{"multi_last":["s.>"],"up_to_seq":3,"up_to_time":"2099-01-01T00:00:00Z"}"#,
                BAD,
            ),
            (r#"{"multi_last":["s.>"],"last_by_subj":"s.1"}"#, BAD),
            (r#"{"last_by_subj":"s.1","batch":2}"#, BAD),
            (
                r#"{"batch":-1,"seq":1}"#,
                "NATS/1.0 204 EOB|Nats-Num-Pending: 7|Nats-Last-Sequence: 0||",
            ),
        ] {
            assert_eq!(get(cluster, "", body), [expected], "{body}");
        }
        for (subject, body, expected) in [
            (".s.1", "", sixth),
            (".s.1", r#"{"no_hdr":true}"#, "hdr"),
            (".zz", "", NOT_FOUND),
            (".s.1", r#"{"seq":1}"#, BAD),
            (".s.1", "{", MALFORMED),
        ] {
            assert_eq!(get(cluster, subject, body), [expected], "{subject} {body}");
        }
    });
}

#[test]
fn batches_count_down() {
    on_cores(|cluster| {
        filled(cluster);
        assert_eq!(
            batch(cluster, r#"{"batch":3,"seq":2}"#),
            (
                vec![(2, 5, 0), (3, 4, 2), (4, 3, 3)],
                "NATS/1.0 204 EOB|Nats-Num-Pending: 3|Nats-Last-Sequence: 4||".to_owned()
            )
        );
        assert_eq!(
            batch(cluster, r#"{"batch":3,"seq":6}"#),
            (
                vec![(6, 1, 0), (7, 0, 6)],
                "NATS/1.0 204 EOB|Nats-Num-Pending: 0|Nats-Last-Sequence: 7||".to_owned()
            )
        );
        assert_eq!(
            batch(cluster, r#"{"batch":2,"next_by_subj":"s.1"}"#),
            (
                vec![(2, 1, 0), (6, 0, 2)],
                "NATS/1.0 204 EOB|Nats-Num-Pending: 0|Nats-Last-Sequence: 6||".to_owned()
            )
        );
        // A message counts with its subject: four bytes here.
        assert_eq!(
            batch(cluster, r#"{"batch":9,"seq":1,"max_bytes":4}"#)
                .0
                .len(),
            1
        );
        assert_eq!(
            batch(cluster, r#"{"batch":9,"seq":1,"max_bytes":5}"#)
                .0
                .len(),
            2
        );
        assert_eq!(
            get(
                cluster,
                "",
                r#"{"next_by_subj":"s.1","batch":2,"no_hdr":true}"#
            ),
            [
                "x",
                "hdr",
                "NATS/1.0 204 EOB|Nats-Num-Pending: 2|Nats-Last-Sequence: 6||"
            ]
        );
    });
}

#[test]
fn the_last_of_many_subjects_is_got() {
    on_cores(|cluster| {
        filled(cluster);
        let end = |rest: &str| format!("NATS/1.0 204 EOB|{rest}||");
        assert_eq!(
            batch(cluster, r#"{"multi_last":["s.>"]}"#),
            (
                vec![(1, 4, 0), (4, 3, 1), (5, 2, 4), (6, 1, 5), (7, 0, 6)],
                end("Nats-Num-Pending: 0|Nats-Last-Sequence: 7|Nats-UpTo-Sequence: 7")
            )
        );
        assert_eq!(
            batch(cluster, r#"{"multi_last":["s.1","s.2"],"batch":1}"#),
            (
                vec![(6, 1, 0)],
                end("Nats-Num-Pending: 1|Nats-Last-Sequence: 6|Nats-UpTo-Sequence: 7")
            )
        );
        assert_eq!(
            batch(cluster, r#"{"multi_last":["s.>"],"up_to_seq":3}"#),
            (
                vec![(1, 2, 0), (2, 1, 1), (3, 0, 2)],
                end("Nats-Num-Pending: 0|Nats-Last-Sequence: 3|Nats-UpTo-Sequence: 3")
            )
        );
        assert_eq!(
            batch(cluster, r#"{"multi_last":["s.>"],"seq":3,"batch":2}"#),
            (
                vec![(4, 3, 0), (5, 2, 4)],
                end("Nats-Num-Pending: 2|Nats-Last-Sequence: 5|Nats-UpTo-Sequence: 7")
            )
        );
    });
}

#[test]
fn a_stream_that_does_not_allow_it_is_not_there() {
    on_cores(|cluster| {
        cluster.api("STREAM.CREATE.S", r#"{"name":"S"}"#);
        assert_eq!(get(cluster, "", r#"{"seq":1}"#), ["no responders"]);
        cluster.api("STREAM.UPDATE.S", r#"{"name":"S","allow_direct":true}"#);
        assert_eq!(get(cluster, "", r#"{"seq":1}"#), [NOT_FOUND]);
        cluster.api("STREAM.DELETE.S", "");
        assert_eq!(get(cluster, "", r#"{"seq":1}"#), ["no responders"]);
    });
}
