use super::*;

/// Takes a snapshot: the response, and the chunks.
fn snapshot(cluster: &mut Cluster, body: &str) -> (String, Vec<Vec<u8>>) {
    let response = cluster.api("STREAM.SNAPSHOT.S", body);
    let mut chunks = Vec::new();
    loop {
        let received = cluster.received();
        let mut is_over = received.is_empty();
        for message in received {
            if message.payload.is_empty() {
                assert_eq!(message.header, b"NATS/1.0 204\r\n\r\n");
                is_over = true;
            } else {
                chunks.push(message.payload);
                let reply = String::from_utf8(message.reply).unwrap();
                if !reply.is_empty() {
                    cluster.publish(&reply, "", "", b"");
                }
            }
        }
        if is_over {
            return (response, chunks);
        }
    }
}

fn filled(cluster: &mut Cluster) {
    cluster.api("STREAM.CREATE.S", r#"{"name":"S","subjects":["s.>"]}"#);
    for n in 0..50u8 {
        let header = if n % 3 == 0 {
            "NATS/1.0\r\nA: b\r\n\r\n"
        } else {
            ""
        };
        cluster.publish(&format!("s.{}", n % 7), "", header, &[n; 300]);
    }
    cluster.api("STREAM.MSG.DELETE.S", r#"{"seq":3}"#);
    cluster.api("STREAM.MSG.DELETE.S", r#"{"seq":50}"#);
    cluster.api(
        "CONSUMER.CREATE.S.c",
        r#"{"stream_name":"S","config":{"durable_name":"c","ack_policy":"explicit"}}"#,
    );
    cluster.subscribe("inbox");
    cluster.publish("$JS.API.CONSUMER.MSG.NEXT.S.c", "inbox", "", b"2");
    let first = cluster.received().remove(0);
    cluster.publish(&String::from_utf8(first.reply).unwrap(), "", "", b"+ACK");
}

#[test]
fn a_requester_may_subscribe_after_it_was_answered() {
    const MILLISECOND: u64 = 1_000_000;
    on_cores(|cluster| {
        filled(cluster);
        let body = r#"{"deliver_subject":"snap"}"#;
        cluster.api("STREAM.SNAPSHOT.S", body);
        cluster.wait(1_500 * MILLISECOND);
        cluster.subscribe("snap");
        cluster.wait(10 * MILLISECOND);
        let received = cluster.received();
        assert!(received.len() > 1);
        let last = received.last().expect("an end");
        assert_eq!(last.header, b"NATS/1.0 204\r\n\r\n");
        // Nobody came.
        let late = r#"{"deliver_subject":"late"}"#;
        cluster.api("STREAM.SNAPSHOT.S", late);
        cluster.wait(2_500 * MILLISECOND);
        cluster.subscribe("late");
        cluster.wait(10 * MILLISECOND);
        assert!(cluster.received().is_empty());
    });
}

#[test]
fn a_stream_comes_back_from_its_snapshot() {
    on_cores(|cluster| {
        filled(cluster);
        cluster.subscribe("snap");
        let stream = masked(&cluster.api("STREAM.INFO.S", ""));
        let consumer = masked(&cluster.api("CONSUMER.INFO.S.c", ""));
        let (response, chunks) = snapshot(
            cluster,
            r#"{"deliver_subject":"snap","chunk_size":1024,"window_size":4096}"#,
        );
        assert!(chunks.len() > 10);
        assert!(
            chunks[..chunks.len() - 1]
                .iter()
                .all(|chunk| chunk.len() == 1024)
        );
        let mut response: serde_json::Value = serde_json::from_str(&response).unwrap();
        response.as_object_mut().unwrap().remove("type");
        let restore = response.to_string();
        let exists = cluster.api("STREAM.RESTORE.S", &restore);
        assert!(exists.contains(r#""err_code":10130"#), "{exists}");
        cluster.api("STREAM.DELETE.S", "");
        let begun = cluster.api("STREAM.RESTORE.S", &restore);
        let begun: serde_json::Value = serde_json::from_str(&begun).unwrap();
        let deliver = begun["deliver_subject"].as_str().unwrap();
        assert!(deliver.starts_with("$JS.SNAPSHOT.RESTORE.S."));
        for chunk in &chunks {
            assert_eq!(cluster.request_all(deliver, "", chunk), [""]);
            // Nobody can use it yet.
            assert!(!cluster.publish("s.1", "", "", b""));
        }
        let restored = cluster.request_all(deliver, "", b"").remove(0);
        assert!(
            restored.starts_with(
                r#"{"type":"io.nats.jetstream.api.v1.stream_create_response","config""#
            ),
            "{restored}"
        );
        let state = |info: &str| info.split_once(r#""state""#).unwrap().1.to_owned();
        assert_eq!(
            state(&masked(&cluster.api("STREAM.INFO.S", ""))),
            state(&stream)
        );
        assert_eq!(masked(&cluster.api("CONSUMER.INFO.S.c", "")), consumer);
        let message = cluster.api("STREAM.MSG.GET.S", r#"{"seq":4}"#);
        assert!(
            message.contains(r#""subject":"s.3","seq":4,"hdrs":"TkFU"#),
            "{message}"
        );
        let info = cluster.api("INFO", "");
        let stored: serde_json::Value = serde_json::from_str(&info).unwrap();
        let info: serde_json::Value =
            serde_json::from_str(&cluster.api("STREAM.INFO.S", "")).unwrap();
        assert_eq!(stored["storage"], info["state"]["bytes"]);
        assert_eq!(
            cluster.request_all("s.9", "", b"x"),
            [r#"{"stream":"S","seq":51}"#]
        );
    });
}

#[test]
fn what_is_no_snapshot_is_refused() {
    on_cores(|cluster| {
        let begun = cluster.api("STREAM.RESTORE.S", r#"{"config":{"name":"S"},"state":{}}"#);
        let begun: serde_json::Value = serde_json::from_str(&begun).unwrap();
        let deliver = begun["deliver_subject"].as_str().unwrap();
        cluster.request_all(deliver, "", b"garbage");
        let failed = cluster.request_all(deliver, "", b"").remove(0);
        assert_eq!(
            failed,
            r#"{"type":"io.nats.jetstream.api.v1.stream_create_response","error":{"code":500,"err_code":10062,"description":"restore failed: s2: corrupt input"}}"#
        );
        assert_eq!(cluster.request_all(deliver, "", b"x"), ["no responders"]);
        let created = cluster.api("STREAM.CREATE.S", r#"{"name":"S"}"#);
        assert!(created.contains("did_create"), "{created}");
        // A restore that is never continued goes, too.
        cluster.api("STREAM.RESTORE.T", r#"{"config":{"name":"T"},"state":{}}"#);
        cluster.wait(31_000_000_000);
        let created = cluster.api("STREAM.CREATE.T", r#"{"name":"T"}"#);
        assert!(created.contains("did_create"), "{created}");
    });
}

#[test]
fn bad_requests_are_told_apart() {
    on_cores(|cluster| {
        cluster.api("STREAM.CREATE.S", r#"{"name":"S"}"#);
        let snapshot = |code: u16, number: u16, text: &str| {
            format!(
                r#"{{"type":"%.stream_snapshot_response","error":{{"code":{code},"err_code":{number},"description":"{text}"}}}}"#
            )
        };
        let restore = |code: u16, number: u16, text: &str| {
            format!(
                r#"{{"type":"%.stream_restore_response","error":{{"code":{code},"err_code":{number},"description":"{text}"}},"deliver_subject":""}}"#
            )
        };
        let bad = "deliver subject not valid";
        expect(
            cluster,
            &[
                (
                    "STREAM.SNAPSHOT.S",
                    "",
                    &snapshot(400, 10_003, "bad request"),
                ),
                ("STREAM.SNAPSHOT.S", "null", &snapshot(400, 10_015, bad)),
                (
                    "STREAM.SNAPSHOT.S",
                    r#"{"deliver_subject":"a.*"}"#,
                    &snapshot(400, 10_015, bad),
                ),
                (
                    "STREAM.SNAPSHOT.Z",
                    r#"{"deliver_subject":"d"}"#,
                    &snapshot(404, 10_059, "stream not found"),
                ),
                ("STREAM.RESTORE.S", "", &restore(400, 10_003, "bad request")),
                (
                    "STREAM.RESTORE.T",
                    "{}",
                    &restore(400, 10_003, "bad request"),
                ),
                (
                    "STREAM.RESTORE.T",
                    r#"{"config":{"name":"X"}}"#,
                    &restore(400, 10_056, "stream name in subject does not match request"),
                ),
            ],
        );
    });
}
