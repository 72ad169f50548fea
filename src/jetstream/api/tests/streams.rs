use super::*;
use crate::jetstream::testing::Message;

#[test]
fn streams_are_made_changed_and_removed() {
    on_cores(|cluster| {
        let config = default_config("S", r#""s.\u003e""#);
        let created = format!(
            r#"{{"type":"%.stream_create_response","config":{config},"created":"TIME","state":{EMPTY_STATE},"ts":"TIME","did_create":true}}"#
        );
        let wider = default_config("S", r#""s.\u003e","u""#);
        let updated = format!(
            r#"{{"type":"%.stream_update_response","config":{wider},"created":"TIME","state":{EMPTY_STATE},"ts":"TIME"}}"#
        );
        let info = format!(
            r#"{{"type":"%.stream_info_response","total":0,"offset":0,"limit":0,"config":{wider},"created":"TIME","state":{EMPTY_STATE},"cluster":{{"leader":"srv"}},"ts":"TIME"}}"#
        );
        expect(
            cluster,
            &[
                (
                    "STREAM.CREATE.S",
                    r#"{"name":"S","subjects":["s.>"]}"#,
                    &created,
                ),
                (
                    "STREAM.CREATE.S",
                    r#"{"name":"S","subjects":["s.>"]}"#,
                    &created,
                ),
                (
                    "STREAM.CREATE.S",
                    r#"{"name":"S","subjects":["t.>"]}"#,
                    r#"{"type":"%.stream_create_response","error":{"code":400,"err_code":10058,"description":"stream name already in use with a different configuration"}}"#,
                ),
                (
                    "STREAM.CREATE.T",
                    r#"{"name":"T","subjects":["s.a"]}"#,
                    r#"{"type":"%.stream_create_response","error":{"code":400,"err_code":10065,"description":"subjects overlap with an existing stream"}}"#,
                ),
                (
                    "STREAM.CREATE.T",
                    r#"{"name":"U"}"#,
                    r#"{"type":"%.stream_create_response","error":{"code":400,"err_code":10056,"description":"stream name in subject does not match request"}}"#,
                ),
                (
                    "STREAM.CREATE.T",
                    r#"{"name":"T","foo":1}"#,
                    r#"{"type":"%.stream_create_response","error":{"code":400,"err_code":10025,"description":"invalid JSON: json: unknown field \"foo\""}}"#,
                ),
                (
                    "STREAM.CREATE.T",
                    r#"{"name":"T","num_replicas":3}"#,
                    r#"{"type":"%.stream_create_response","error":{"code":500,"err_code":10074,"description":"replicas \u003e 1 not supported in non-clustered mode"}}"#,
                ),
                (
                    "STREAM.UPDATE.S",
                    r#"{"name":"S","subjects":["s.>","u"]}"#,
                    &updated,
                ),
                (
                    "STREAM.UPDATE.T",
                    r#"{"name":"T"}"#,
                    r#"{"type":"%.stream_update_response","error":{"code":404,"err_code":10059,"description":"stream not found"}}"#,
                ),
                (
                    "STREAM.UPDATE.S",
                    r#"{"name":"X"}"#,
                    r#"{"type":"%.stream_update_response","error":{"code":400,"err_code":10056,"description":"stream name in subject does not match request"}}"#,
                ),
                ("STREAM.INFO.S", "", &info),
                ("STREAM.INFO.S", "null", &info),
                (
                    "STREAM.DELETE.S",
                    "x",
                    r#"{"type":"%.stream_delete_response","error":{"code":400,"err_code":10038,"description":"expected an empty request payload"}}"#,
                ),
                (
                    "STREAM.DELETE.S",
                    "",
                    r#"{"type":"%.stream_delete_response","success":true}"#,
                ),
                (
                    "STREAM.DELETE.S",
                    "",
                    r#"{"type":"%.stream_delete_response","error":{"code":404,"err_code":10059,"description":"stream not found"}}"#,
                ),
                (
                    "STREAM.INFO.S",
                    "",
                    r#"{"type":"%.stream_info_response","error":{"code":404,"err_code":10059,"description":"stream not found"},"total":0,"offset":0,"limit":0}"#,
                ),
                (
                    "STREAM.LEADER.STEPDOWN.S",
                    "",
                    r#"{"type":"%.stream_leader_stepdown_response","error":{"code":503,"err_code":10010,"description":"JetStream clustering support required"}}"#,
                ),
                (
                    "STREAM.CREATE.S",
                    r#"{"name":"S","subjects":["s.>"]}"#,
                    &created,
                ),
            ],
        );
        // Nobody is there for what the deleted stream stored.
        assert!(!cluster.publish("u", "", "", b""));
        assert!(cluster.publish("s.1", "", "", b""));
    });
}

#[test]
fn lists_have_pages() {
    on_cores(|cluster| {
        expect(
            cluster,
            &[
                (
                    "STREAM.NAMES",
                    "",
                    r#"{"type":"%.stream_names_response","total":0,"offset":0,"limit":1024,"streams":null}"#,
                ),
                (
                    "STREAM.LIST",
                    "null",
                    r#"{"type":"%.stream_list_response","total":0,"offset":0,"limit":256,"streams":[]}"#,
                ),
                (
                    "STREAM.NAMES",
                    "{",
                    r#"{"type":"%.stream_names_response","error":{"code":400,"err_code":10025,"description":"invalid JSON: unexpected EOF"},"total":0,"offset":0,"limit":0,"streams":null}"#,
                ),
            ],
        );
        let names: Vec<String> = (0..300).map(|n| format!("S{n:03}")).collect();
        for name in &names {
            let answer = cluster.api(
                &format!("STREAM.CREATE.{name}"),
                &format!(r#"{{"name":"{name}","storage":"memory"}}"#),
            );
            assert!(answer.contains("did_create"), "{answer}");
        }
        let quoted: Vec<_> = names.iter().map(|name| format!("\"{name}\"")).collect();
        expect(
            cluster,
            &[
                (
                    "STREAM.NAMES",
                    r#"{"offset":297}"#,
                    r#"{"type":"%.stream_names_response","total":300,"offset":297,"limit":1024,"streams":["S297","S298","S299"]}"#,
                ),
                (
                    "STREAM.NAMES",
                    r#"{"offset":500}"#,
                    r#"{"type":"%.stream_names_response","total":300,"offset":300,"limit":1024,"streams":null}"#,
                ),
                (
                    "STREAM.NAMES",
                    r#"{"subject":"S123"}"#,
                    r#"{"type":"%.stream_names_response","total":1,"offset":0,"limit":1024,"streams":["S123"]}"#,
                ),
                (
                    "STREAM.NAMES",
                    "",
                    &format!(
                        r#"{{"type":"%.stream_names_response","total":300,"offset":0,"limit":1024,"streams":[{}]}}"#,
                        quoted.join(",")
                    ),
                ),
            ],
        );
        let first = cluster.api("STREAM.LIST", "");
        let second = cluster.api("STREAM.LIST", r#"{"offset":256}"#);
        let listed = |page: &str| -> Vec<String> {
            let page: serde_json::Value = serde_json::from_str(page).unwrap();
            assert_eq!(page["total"], 300);
            let streams = page["streams"].as_array().unwrap();
            streams
                .iter()
                .map(|stream| stream["config"]["name"].as_str().unwrap().to_owned())
                .collect()
        };
        assert_eq!([listed(&first), listed(&second)].concat(), names);
        // Only the stored metadata is in lists.
        assert!(first.contains(r#""metadata":{"_nats.req.level":"0"}}"#));
    });
}

#[test]
fn account_info_counts_requests_and_errors() {
    on_cores(|cluster| {
        let info = |counts: &str, total: u64, errors: u64| {
            format!(
                r#"{{"type":"%.account_info_response",{counts},"limits":{{"max_memory":-1,"max_storage":-1,"max_streams":-1,"max_consumers":-1,"max_ack_pending":-1,"memory_max_stream_bytes":-1,"storage_max_stream_bytes":-1,"max_bytes_required":false}},"api":{{"level":5,"total":{total},"errors":{errors}}}}}"#
            )
        };
        let empty = r#""memory":0,"storage":0,"reserved_memory":0,"reserved_storage":0,"streams":0,"consumers":0"#;
        expect(
            cluster,
            &[
                ("INFO", "", &info(empty, 0, 0)),
                ("INFO", "x", &info(empty, 1, 0)),
            ],
        );
        cluster.api("STREAM.CREATE.A", r#"{"name":"A","max_bytes":1000}"#);
        cluster.api("STREAM.CREATE.B", r#"{"name":"B","storage":"memory"}"#);
        cluster.api("STREAM.INFO.Z", "");
        cluster.api(
            "CONSUMER.CREATE.A.c",
            r#"{"stream_name":"A","config":{"durable_name":"c"}}"#,
        );
        cluster.publish("A", "", "", b"hello");
        cluster.publish("B", "", "", b"hello");
        let used = r#""memory":22,"storage":36,"reserved_memory":0,"reserved_storage":1000,"streams":2,"consumers":1"#;
        expect(cluster, &[("INFO", "", &info(used, 6, 1))]);
        // Got messages do not count, and messages that cannot be deleted are no errors.
        cluster.api("STREAM.MSG.GET.A", r#"{"seq":1}"#);
        cluster.api("STREAM.MSG.DELETE.A", r#"{"seq":9}"#);
        cluster.api("STREAM.MSG.GET.A", r#"{"seq":9}"#);
        cluster.api("STREAM.DELETE.A", "");
        cluster.api("STREAM.DELETE.B", "");
        expect(cluster, &[("INFO", "", &info(empty, 11, 2))]);
        // Requests that nobody knows are not answered and do not count.
        expect(
            cluster,
            &[("FOO", "", ""), ("META.LEADER.STEPDOWN", "", "")],
        );
        expect(cluster, &[("INFO", "", &info(empty, 12, 2))]);
    });
}

#[test]
fn required_levels_are_compared() {
    on_cores(|cluster| {
        let level = |cluster: &mut Cluster, level: &str| {
            let header = format!("NATS/1.0\r\nNats-Required-Api-Level: {level}\r\n\r\n");
            cluster
                .request_all("$JS.API.STREAM.NAMES", &header, b"")
                .remove(0)
        };
        assert!(!level(cluster, "5").contains("error"));
        for above in ["6", "x"] {
            let answer = level(cluster, above);
            assert!(
                answer.contains(r#""code":412,"err_code":10185"#),
                "{answer}"
            );
        }
    });
}

#[test]
fn subjects_and_deleted_messages_are_told() {
    on_cores(|cluster| {
        cluster.api("STREAM.CREATE.S", r#"{"name":"S","subjects":["s.>"]}"#);
        for subject in ["s.1", "s.2", "s.2"] {
            cluster.publish(subject, "", "", b"x");
        }
        let state = |cluster: &mut Cluster, body: &str| {
            let answer = cluster.api("STREAM.INFO.S", body);
            let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
            let paging = ["total", "offset", "limit"].map(|field| answer[field].as_u64().unwrap());
            (paging, answer["state"].clone())
        };
        let (paging, all) = state(cluster, r#"{"subjects_filter":">"}"#);
        assert_eq!(paging, [2, 0, 100_000]);
        assert_eq!(all["subjects"], serde_json::json!({"s.1": 1, "s.2": 2}));
        let (paging, rest) = state(cluster, r#"{"subjects_filter":">","offset":1}"#);
        assert_eq!(paging, [2, 1, 100_000]);
        assert_eq!(rest["subjects"], serde_json::json!({"s.2": 2}));
        let (paging, none) = state(cluster, r#"{"subjects_filter":"q"}"#);
        assert_eq!(paging, [0, 0, 0]);
        assert!(none.get("subjects").is_none());
        cluster.api("STREAM.MSG.DELETE.S", r#"{"seq":2}"#);
        let (_, deleted) = state(cluster, r#"{"deleted_details":true}"#);
        assert_eq!(deleted["deleted"], serde_json::json!([2]));
        assert_eq!(deleted["num_deleted"], 1);
    });
}

#[test]
fn advisories_precede_the_response_and_the_audit_follows() {
    on_cores(|cluster| {
        cluster.subscribe("$JS.EVENT.>");
        cluster.subscribe("reply");
        cluster.publish("$JS.API.STREAM.CREATE.S", "reply", "", br#"{"name":"S"}"#);
        let subjects = |messages: &[Message]| -> Vec<String> {
            messages
                .iter()
                .map(|message| String::from_utf8_lossy(&message.subject).into_owned())
                .collect()
        };
        let received = cluster.received();
        assert_eq!(
            subjects(&received),
            [
                "$JS.EVENT.ADVISORY.STREAM.CREATED.S",
                "reply",
                "$JS.EVENT.ADVISORY.API"
            ]
        );
        let advisory = masked(&received[0].text());
        let advisory: serde_json::Value = serde_json::from_str(&advisory).unwrap();
        assert_eq!(
            advisory["type"],
            "io.nats.jetstream.advisory.v1.stream_action"
        );
        assert_eq!(advisory["action"], "create");
        assert_eq!(advisory["id"].as_str().unwrap().len(), 22);
        let audit: serde_json::Value = serde_json::from_str(&received[2].text()).unwrap();
        assert_eq!(audit["request"], r#"{"name":"S"}"#);
        assert_eq!(audit["response"], received[1].text());
        let create = br#"{"stream_name":"S","config":{"durable_name":"c"}}"#;
        cluster.publish("$JS.API.CONSUMER.CREATE.S.c", "reply", "", create);
        assert_eq!(
            subjects(&cluster.received()),
            [
                "$JS.EVENT.ADVISORY.CONSUMER.CREATED.S.c",
                "reply",
                "$JS.EVENT.ADVISORY.API"
            ]
        );
        cluster.publish("$JS.API.STREAM.DELETE.S", "reply", "", b"");
        assert_eq!(
            subjects(&cluster.received()),
            [
                "$JS.EVENT.ADVISORY.CONSUMER.DELETED.S.c",
                "$JS.EVENT.ADVISORY.STREAM.DELETED.S",
                "reply",
                "$JS.EVENT.ADVISORY.API"
            ]
        );
    });
}

#[test]
fn a_flood_of_requests_is_dropped() {
    let settings = JetStreamSettings {
        request_queue_limit: 10,
        ..settings()
    };
    let mut cluster = Cluster::new(2, &settings, Files::default());
    cluster.subscribe("reply");
    cluster.subscribe("$JS.EVENT.>");
    cluster.flood("$JS.API.STREAM.NAMES", "reply", 25);
    let received = cluster.received();
    let dropped: Vec<u64> = received
        .iter()
        .filter(|message| message.subject == b"$JS.EVENT.ADVISORY.API.LIMIT_REACHED")
        .map(|message| {
            let advisory: serde_json::Value = serde_json::from_str(&message.text()).unwrap();
            advisory["dropped"].as_u64().unwrap()
        })
        .collect();
    assert_eq!(dropped, [10, 10]);
    let answers = received
        .iter()
        .filter(|message| message.subject == b"reply");
    assert_eq!(answers.count(), 5);
}

#[test]
fn a_domain_is_another_way_to_the_same_api() {
    let settings = JetStreamSettings {
        domain: Some("hub".to_owned()),
        ..settings()
    };
    let mut cluster = Cluster::new(2, &settings, Files::default());
    let answer = cluster
        .request_all(
            "$JS.hub.API.STREAM.CREATE.S",
            "",
            br#"{"name":"S","subjects":["s"]}"#,
        )
        .remove(0);
    assert!(answer.contains(r#","domain":"hub","#), "{answer}");
    let answers = cluster.request_all("$JS.hub.API.CONSUMER.MSG.NEXT.S.c", "", b"");
    assert_eq!(
        answers,
        ["NATS/1.0 503|Nats-Subject: $JS.API.CONSUMER.MSG.NEXT.S.c||"]
    );
    assert_eq!(
        cluster.request_all("s", "", b"x"),
        [r#"{"stream":"S", "domain":"hub", "seq":1}"#.replace(", ", ",")]
    );
}

#[test]
fn streams_survive_a_restart_on_another_number_of_cores() {
    let mut cluster = Cluster::new(4, &settings(), Files::default());
    for name in ["A", "B", "C", "D", "E"] {
        let body = format!(r#"{{"name":"{name}","description":"{name}!"}}"#);
        cluster.api(&format!("STREAM.CREATE.{name}"), &body);
    }
    cluster.api("STREAM.CREATE.M", r#"{"name":"M","storage":"memory"}"#);
    cluster.api("STREAM.UPDATE.B", r#"{"name":"B","subjects":["b.>"]}"#);
    cluster.api("STREAM.DELETE.C", "");
    let before = masked(&cluster.api("STREAM.INFO.B", ""));
    for cores in [1, 3] {
        let files = cluster.stop();
        cluster = Cluster::new(cores, &settings(), files);
        assert_eq!(
            cluster.api("STREAM.NAMES", ""),
            r#"{"type":"io.nats.jetstream.api.v1.stream_names_response","total":4,"offset":0,"limit":1024,"streams":["A","B","D","E"]}"#
        );
        assert_eq!(masked(&cluster.api("STREAM.INFO.B", "")), before);
    }
    let files = cluster.crash();
    let mut cluster = Cluster::new(2, &settings(), files);
    assert_eq!(masked(&cluster.api("STREAM.INFO.B", "")), before);
    assert!(cluster.publish("b.1", "", "", b""));
}
