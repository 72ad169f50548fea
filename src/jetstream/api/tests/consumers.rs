use super::*;

const EPHEMERAL: &str = r#""deliver_policy":"all","ack_policy":"none","max_deliver":-1,"replay_policy":"instant","max_waiting":512,"inactive_threshold":5000000000,"num_replicas":0,"metadata":{"_nats.level":"5","_nats.req.level":"0","_nats.ver":"2.15.1"}"#;

fn stream(cluster: &mut Cluster) {
    cluster.api("STREAM.CREATE.S", r#"{"name":"S","subjects":["s.>"]}"#);
    for n in 0..5 {
        cluster.publish(&format!("s.{n}"), "", "", b"x");
    }
}

fn error(response: &str, code: u16, number: u16, text: &str) -> String {
    format!(
        r#"{{"type":"%.{response}","error":{{"code":{code},"err_code":{number},"description":"{text}"}}}}"#
    )
}

#[test]
fn consumers_are_made_in_three_forms() {
    on_cores(|cluster| {
        stream(cluster);
        let refused =
            |code, number, text: &str| error("consumer_create_response", code, number, text);
        let named = format!(
            r#"{{"type":"%.consumer_create_response","stream_name":"S","name":"c","created":"TIME","config":{{"name":"c",{EPHEMERAL}}},"delivered":{{"consumer_seq":0,"stream_seq":0}},"ack_floor":{{"consumer_seq":0,"stream_seq":0}},"num_ack_pending":0,"num_redelivered":0,"num_waiting":0,"num_pending":5,"ts":"TIME"}}"#
        );
        for (subject, body, expected) in [
            (
                "S",
                "",
                refused(400, 10_056, "stream name in subject does not match request"),
            ),
            (
                "S",
                "{",
                refused(400, 10_025, "invalid JSON: unexpected EOF"),
            ),
            (
                "S",
                r#"{"stream_name":"S","config":{"x":1}}"#,
                refused(400, 10_025, r#"invalid JSON: json: unknown field \"x\""#),
            ),
            (
                "Z",
                r#"{"stream_name":"Z","config":{}}"#,
                refused(404, 10_059, "stream not found"),
            ),
            (
                "Z.c",
                r#"{"stream_name":"Z","config":{"durable_name":"d"}}"#,
                refused(404, 10_059, "stream not found"),
            ),
            (
                "S.c",
                r#"{"stream_name":"S","config":{"durable_name":"d"}}"#,
                refused(
                    400,
                    10_017,
                    "consumer name in subject does not match durable name in request",
                ),
            ),
            (
                "S.c",
                r#"{"stream_name":"S","config":{"name":"d"}}"#,
                named.clone(),
            ),
            (
                "S.c.s.1",
                r#"{"stream_name":"S","config":{"name":"c","filter_subject":"s.2"}}"#,
                refused(
                    400,
                    10_131,
                    "Consumer create request did not match filtered subject from create subject",
                ),
            ),
            (
                "S.c.s.1",
                r#"{"stream_name":"S","config":{"name":"c","filter_subjects":["s.1"]}}"#,
                refused(
                    400,
                    10_137,
                    "consumer with multiple subject filters cannot use subject based API",
                ),
            ),
            (
                "S",
                r#"{"stream_name":"S","config":{"durable_name":"c"}}"#,
                refused(
                    400,
                    10_020,
                    "consumer expected to be ephemeral but a durable name was set in request",
                ),
            ),
            (
                "S.c",
                r#"{"stream_name":"S","config":{"name":"c","ack_policy":"explicit"},"action":"create"}"#,
                refused(400, 10_148, "consumer already exists"),
            ),
            (
                "S.c",
                r#"{"stream_name":"S","config":{"name":"c","ack_policy":"explicit"},"action":"update"}"#,
                refused(500, 10_012, "ack policy can not be updated"),
            ),
            (
                "S.z",
                r#"{"stream_name":"S","config":{"name":"z"},"action":"update"}"#,
                refused(400, 10_149, "consumer does not exist"),
            ),
        ] {
            expect(
                cluster,
                &[(&format!("CONSUMER.CREATE.{subject}"), body, &expected)],
            );
        }
        expect(
            cluster,
            &[
                (
                    "CONSUMER.DURABLE.CREATE.S.d",
                    r#"{"stream_name":"S","config":{"name":"d"}}"#,
                    &refused(
                        400,
                        10_018,
                        "consumer expected to be durable but a durable name was not set",
                    ),
                ),
                (
                    "CONSUMER.NAMES.S",
                    "",
                    r#"{"type":"%.consumer_names_response","total":1,"offset":0,"limit":1024,"consumers":["c"]}"#,
                ),
                (
                    "CONSUMER.NAMES.S",
                    r#"{"offset":9}"#,
                    r#"{"type":"%.consumer_names_response","total":1,"offset":1,"limit":1024,"consumers":[]}"#,
                ),
                (
                    "CONSUMER.NAMES.Z",
                    "",
                    r#"{"type":"%.consumer_names_response","error":{"code":404,"err_code":10059,"description":"stream not found"},"total":0,"offset":0,"limit":0,"consumers":[]}"#,
                ),
                (
                    "CONSUMER.INFO.S.c",
                    "",
                    &named.replace("consumer_create_response", "consumer_info_response"),
                ),
                (
                    "CONSUMER.INFO.S.c",
                    "x",
                    &error(
                        "consumer_info_response",
                        400,
                        10_038,
                        "expected an empty request payload",
                    ),
                ),
                (
                    "CONSUMER.INFO.S.z",
                    "",
                    &error("consumer_info_response", 404, 10_014, "consumer not found"),
                ),
                (
                    "CONSUMER.DELETE.S.c",
                    "",
                    r#"{"type":"%.consumer_delete_response","success":true}"#,
                ),
                (
                    "CONSUMER.DELETE.S.c",
                    "",
                    &error(
                        "consumer_delete_response",
                        404,
                        10_014,
                        "consumer not found",
                    ),
                ),
            ],
        );
        let list = cluster.api("CONSUMER.LIST.S", "");
        assert!(list.ends_with(r#""total":0,"offset":0,"limit":256,"consumers":[]}"#));
    });
}

#[test]
fn consumers_are_paused_reset_and_unpinned() {
    on_cores(|cluster| {
        stream(cluster);
        cluster.api(
            "CONSUMER.CREATE.S.c",
            r#"{"stream_name":"S","config":{"durable_name":"c"}}"#,
        );
        expect(
            cluster,
            &[
                (
                    "CONSUMER.PAUSE.S.c",
                    "",
                    r#"{"type":"%.consumer_pause_response","paused":false,"pause_until":"0001-01-01T00:00:00Z"}"#,
                ),
                (
                    "CONSUMER.PAUSE.S.c",
                    "{",
                    r#"{"type":"%.consumer_pause_response","error":{"code":400,"err_code":10025,"description":"invalid JSON: unexpected EOF"},"paused":false,"pause_until":"0001-01-01T00:00:00Z"}"#,
                ),
                (
                    "CONSUMER.UNPIN.S.c",
                    "",
                    &error(
                        "consumer_unpin_response",
                        400,
                        10_025,
                        "invalid JSON: unexpected end of JSON input",
                    ),
                ),
                (
                    "CONSUMER.UNPIN.S.c",
                    "null",
                    &error(
                        "consumer_unpin_response",
                        400,
                        10_025,
                        "invalid JSON: consumer group not specified",
                    ),
                ),
                (
                    "CONSUMER.UNPIN.S.c",
                    r#"{"group":"a"}"#,
                    &error(
                        "consumer_unpin_response",
                        400,
                        10_160,
                        "Provided priority group does not exist for this consumer",
                    ),
                ),
                (
                    "CONSUMER.RESET.S.c",
                    "{",
                    r#"{"type":"%.consumer_reset_response","error":{"code":400,"err_code":10025,"description":"invalid JSON: unexpected end of JSON input"},"reset_seq":0}"#,
                ),
                // nats-server says nothing.
                ("CONSUMER.RESET.S.z", "", ""),
            ],
        );
        let paused = cluster.api(
            "CONSUMER.PAUSE.S.c",
            r#"{"pause_until":"2099-01-01T00:00:00Z"}"#,
        );
        assert!(
            paused.contains(
                r#""paused":true,"pause_until":"2099-01-01T00:00:00Z","pause_remaining":"#
            )
        );
        let reset = cluster.api("CONSUMER.RESET.S.c", r#"{"seq":3}"#);
        assert!(
            reset.contains(r#""num_pending":3,"#) && reset.ends_with(r#""reset_seq":3}"#),
            "{reset}"
        );
    });
}

#[test]
fn a_message_is_pulled_and_acknowledged() {
    on_cores(|cluster| {
        stream(cluster);
        cluster.api(
            "CONSUMER.CREATE.S.c",
            r#"{"stream_name":"S","config":{"durable_name":"c","ack_policy":"explicit"}}"#,
        );
        cluster.subscribe("inbox");
        cluster.publish("$JS.API.CONSUMER.MSG.NEXT.S.c", "inbox", "", b"2");
        let received = cluster.received();
        let sequences: Vec<_> = received.iter().map(|m| m.subject.clone()).collect();
        assert_eq!(sequences, [b"s.0".to_vec(), b"s.1".to_vec()]);
        let reply = String::from_utf8(received[0].reply.clone()).unwrap();
        assert!(reply.starts_with("$JS.ACK.S.c.1.1.1."), "{reply}");
        assert_eq!(cluster.request_all(&reply, "", b"+ACK"), [""]);
        let info = cluster.api("CONSUMER.INFO.S.c", "");
        let info: serde_json::Value = serde_json::from_str(&info).unwrap();
        assert_eq!(info["ack_floor"]["stream_seq"], 1);
        assert_eq!(info["num_ack_pending"], 1);
        assert_eq!(info["num_pending"], 3);
        let missing = cluster.request_all("$JS.API.CONSUMER.MSG.NEXT.S.z", "", b"");
        assert_eq!(
            missing,
            ["NATS/1.0 503|Nats-Subject: $JS.API.CONSUMER.MSG.NEXT.S.z||"]
        );
        cluster.api("CONSUMER.DELETE.S.c", "");
        let gone = cluster.request_all("$JS.API.CONSUMER.MSG.NEXT.S.c", "", b"");
        assert_eq!(
            gone,
            ["NATS/1.0 503|Nats-Subject: $JS.API.CONSUMER.MSG.NEXT.S.c||"]
        );
    });
}

#[test]
fn consumers_of_a_stream_are_limited() {
    let mut settings = settings();
    settings.limits.default_max_consumers = 3;
    let mut cluster = Cluster::new(2, &settings, Files::default());
    stream(&mut cluster);
    let create = |cluster: &mut Cluster, name: &str| {
        let body = format!(r#"{{"stream_name":"S","config":{{"durable_name":"{name}"}}}}"#);
        cluster.api(&format!("CONSUMER.CREATE.S.{name}"), &body)
    };
    for name in ["a", "b", "c"] {
        assert!(!create(&mut cluster, name).contains("error"));
    }
    assert!(create(&mut cluster, "d").contains(r#""err_code":10026"#));
    assert!(!create(&mut cluster, "a").contains("error"));
    cluster.api("CONSUMER.DELETE.S.b", "");
    assert!(!create(&mut cluster, "d").contains("error"));
}

#[test]
fn durable_consumers_survive_a_restart() {
    let mut cluster = Cluster::new(2, &settings(), Files::default());
    stream(&mut cluster);
    for name in ["c", "d e"] {
        let body = format!(
            r#"{{"stream_name":"S","config":{{"durable_name":"{name}","ack_policy":"explicit"}}}}"#
        );
        cluster.api("CONSUMER.CREATE.S.c", &body);
    }
    let before = masked(&cluster.api("CONSUMER.INFO.S.c", ""));
    let files = cluster.stop();
    let mut cluster = Cluster::new(3, &settings(), files);
    assert_eq!(masked(&cluster.api("CONSUMER.INFO.S.c", "")), before);
}

#[test]
fn ephemeral_consumers_go_when_nobody_uses_them() {
    on_cores(|cluster| {
        stream(cluster);
        cluster.api(
            "CONSUMER.CREATE.S.c",
            r#"{"stream_name":"S","config":{"name":"c"}}"#,
        );
        cluster.subscribe("$JS.EVENT.>");
        cluster.wait(6_000_000_000);
        let events = cluster.received();
        assert_eq!(events.len(), 1, "{events:?}");
        assert_eq!(
            events[0].subject,
            b"$JS.EVENT.ADVISORY.CONSUMER.DELETED.S.c"
        );
        let info = cluster.api("CONSUMER.INFO.S.c", "");
        assert!(info.contains("10014"), "{info}");
    });
}
