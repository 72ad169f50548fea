use super::*;
use crate::jetstream::stream::config::StreamRequest;

fn origin() -> StreamConfig {
    StreamConfig {
        name: "ORIG".to_owned(),
        subjects: vec!["orig.>".to_owned()],
        max_msg_size: 100,
        allow_direct: true,
        ..StreamConfig::default()
    }
}

fn with<T>(pedantic: bool, act: impl FnOnce(&Surroundings<'_>) -> T) -> T {
    let settings = JetStreamSettings::default();
    act(&Surroundings {
        settings: &settings,
        limits: &JetStreamLimits::default(),
        pedantic,
        find: &|name| (name == "ORIG").then(origin),
        other_subjects: &|visit| visit("orig.>"),
    })
}

fn create(body: &str) -> Result<StreamConfig, ApiError> {
    let mut request = StreamRequest::parse(body.as_bytes(), true).unwrap();
    if request.config.name.is_empty() {
        request.config.name = "E".to_owned();
    }
    with(request.pedantic, |around| {
        check_create(request.config, around)
    })
}

/// Answers of nats-server 2.15.1.
#[test]
fn refusals_are_those_of_nats_server() {
    for (body, number, text) in include!("refusals.in") {
        let error = create(body).unwrap_err();
        assert_eq!(
            (error.code.number(), &*error.description),
            (number, text),
            "{body}"
        );
    }
}

/// Answers of nats-server 2.15.1.
#[test]
fn what_nats_server_accepts_is_accepted() {
    for body in include!("accepted.in") {
        assert!(create(body).is_ok(), "{body}: {:?}", create(body));
    }
}

/// Captured from nats-server 2.15.1.
#[test]
fn defaults_and_json_are_those_of_nats_server() {
    let shown = |body: &str| {
        let mut out = Vec::new();
        let config = create(body).unwrap().with_server_metadata("2.15.1");
        crate::protocol::go_json::append(&mut out, &config).unwrap();
        String::from_utf8(out).unwrap()
    };
    assert_eq!(
        shown(r#"{"name":"ORDERS","subjects":["orders.>"]}"#),
        r#"{"name":"ORDERS","subjects":["orders.\u003e"],"retention":"limits","max_consumers":-1,"max_msgs":-1,"max_bytes":-1,"max_age":0,"max_msgs_per_subject":-1,"max_msg_size":-1,"discard":"old","storage":"file","num_replicas":1,"duplicate_window":120000000000,"compression":"none","allow_direct":false,"mirror_direct":false,"sealed":false,"deny_delete":false,"deny_purge":false,"allow_rollup_hdrs":false,"consumer_limits":{},"allow_msg_ttl":false,"metadata":{"_nats.level":"5","_nats.req.level":"0","_nats.ver":"2.15.1"}}"#
    );
    assert_eq!(
        shown(
            r#"{"name":"F","description":"d","subjects":["f.>"],"max_consumers":5,"max_msgs":100,"max_bytes":10000,"max_age":3600000000000,"max_msgs_per_subject":10,"max_msg_size":1000,"discard":"new","placement":{"cluster":"","tags":["a"]},"compression":"s2","first_seq":10,"subject_transform":{"src":"f.*","dest":"f.x.{{wildcard(1)}}"},"republish":{"src":"f.>","dest":"rp.>","headers_only":true},"allow_direct":true,"discard_new_per_subject":true,"deny_delete":true,"deny_purge":true,"consumer_limits":{"inactive_threshold":1000000000,"max_ack_pending":5},"allow_msg_ttl":true,"metadata":{"b":"1","a":"2"},"sources":[{"name":"X","opt_start_seq":3,"filter_subject":"x.>","external":{"api":"$JS.d.API","deliver":"dd"}},{"name":"Y","opt_start_time":"2026-01-01T00:00:00Z","subject_transforms":[{"src":"a.*","dest":"b.{{wildcard(1)}}"}]}],"allow_atomic":true,"allow_batched":true}"#
        ),
        r#"{"name":"F","description":"d","subjects":["f.\u003e"],"retention":"limits","max_consumers":5,"max_msgs":100,"max_bytes":10000,"max_age":3600000000000,"max_msgs_per_subject":10,"max_msg_size":1000,"discard":"new","storage":"file","num_replicas":1,"placement":{"tags":["a"]},"sources":[{"name":"X","opt_start_seq":3,"filter_subject":"x.\u003e","external":{"api":"$JS.d.API","deliver":"dd"}},{"name":"Y","opt_start_time":"2026-01-01T00:00:00Z","subject_transforms":[{"src":"a.*","dest":"b.{{wildcard(1)}}"}]}],"compression":"s2","first_seq":10,"subject_transform":{"src":"f.*","dest":"f.x.{{wildcard(1)}}"},"republish":{"src":"f.\u003e","dest":"rp.\u003e","headers_only":true},"allow_direct":true,"mirror_direct":false,"discard_new_per_subject":true,"sealed":false,"deny_delete":true,"deny_purge":true,"allow_rollup_hdrs":false,"consumer_limits":{"inactive_threshold":1000000000,"max_ack_pending":5},"allow_msg_ttl":true,"allow_atomic":true,"allow_batched":true,"metadata":{"_nats.level":"5","_nats.req.level":"4","_nats.ver":"2.15.1","a":"2","b":"1"}}"#
    );
    let markers = shown(r#"{"subject_delete_marker_ttl":1000000000}"#);
    assert!(markers.contains(r#""allow_rollup_hdrs":true,"consumer_limits":{},"allow_msg_ttl":true,"subject_delete_marker_ttl":1000000000,"#));
    assert!(markers.contains(r#""_nats.req.level":"1""#));
    let mirror = shown(r#"{"mirror":{"name":"ORIG","opt_start_seq":4}}"#);
    assert!(mirror.starts_with(r#"{"name":"E","retention":"limits""#));
    assert!(mirror.contains(r#""num_replicas":1,"mirror":{"name":"ORIG","opt_start_seq":4},"compression":"none","allow_direct":false,"mirror_direct":true"#));
    let user = shown(r#"{"metadata":{"_nats.x":"1","_nats.level":"9","_nats.req.level":"7"}}"#);
    assert!(user.ends_with(
        r#"{"_nats.level":"5","_nats.req.level":"0","_nats.ver":"2.15.1","_nats.x":"1"}}"#
    ));
}

/// What is stored reads back as it was.
#[test]
fn configurations_survive_their_json() {
    let config = create(
        r#"{"name":"F","subjects":["f.<>"],"sources":[{"name":"X","opt_start_time":"2026-01-01T00:00:00+02:00"}],"republish":{"src":"f.>","dest":"rp.>"},"retention":"interest","storage":"memory","metadata":{"a":"b"}}"#,
    )
    .unwrap();
    let text = serde_json::to_vec(&config).unwrap();
    assert_eq!(StreamConfig::parse(&text).unwrap(), config);
}

#[test]
fn long_texts_are_refused() {
    let long = |length: usize| "x".repeat(length);
    let name = |length| create(&format!(r#"{{"name":"{}"}}"#, long(length)));
    assert!(name(NAME_MAX).is_ok());
    assert_eq!(
        name(NAME_MAX + 1).unwrap_err().description,
        "stream name is too long, maximum allowed is 255"
    );
    let description = |length| create(&format!(r#"{{"description":"{}"}}"#, long(length)));
    assert!(description(DESCRIPTION_MAX).is_ok());
    assert_eq!(
        description(DESCRIPTION_MAX + 1).unwrap_err().description,
        "stream description is too long, maximum allowed is 4096"
    );
    let metadata = create(&format!(
        r#"{{"metadata":{{"a":"{}"}}}}"#,
        long(METADATA_MAX)
    ));
    assert_eq!(
        metadata.unwrap_err().description,
        "stream metadata exceeds maximum size of 131072 bytes"
    );
}

/// Answers of nats-server 2.15.1.
#[test]
fn updates_change_what_may_change() {
    for (before, after, expected) in include!("updates.in") {
        let old = create(before).unwrap();
        let mut request = StreamRequest::parse(after.as_bytes(), true).unwrap();
        request.config.name = old.name.clone();
        let answer = with(false, |around| check_update(&old, request.config, around));
        let text = match &answer {
            Ok(_) => "",
            Err(error) => &*error.description,
        };
        assert_eq!(text, expected, "{before} {after}");
    }
    let old = create("{}").unwrap();
    let sealed = StreamConfig {
        sealed: true,
        ..old.clone()
    };
    let sealed = with(false, |around| check_update(&old, sealed, around)).unwrap();
    assert!(sealed.deny_delete && sealed.deny_purge && sealed.discard == Discard::New);
}
