//! All answers were asked of nats-server 2.15.1.

use super::*;
use crate::jetstream::json;

fn config(text: &str) -> ConsumerConfig {
    let mut config = ConsumerConfig::default();
    json::decode(&mut config, text.as_bytes(), "ConsumerConfig", true).unwrap();
    if config.is_durable() {
        config.name.clone_from(&config.durable_name);
    }
    config
}

fn run(text: &str, allowed: &Allowed<'_>, pedantic: bool) -> Result<String, (u16, String)> {
    let mut config = config(text);
    prepare(&mut config, allowed, pedantic)
        .map_err(|e| (e.code.number(), e.description.into_owned()))?;
    Ok(serde_json::to_string(&config).unwrap())
}

fn allowed(subjects: &[String]) -> Allowed<'_> {
    Allowed {
        subjects,
        stream_replicas: 1,
        ..Allowed::default()
    }
}

#[test]
fn defaults_are_filled_in() {
    let subjects = ["s.>".to_owned()];
    for (given, expected) in [
        (
            "{}",
            r#"{"deliver_policy":"all","ack_policy":"none","max_deliver":-1,"replay_policy":"instant","max_waiting":512,"inactive_threshold":5000000000,"num_replicas":0}"#,
        ),
        (
            r#"{"name":"n1","ack_policy":"explicit"}"#,
            r#"{"name":"n1","deliver_policy":"all","ack_policy":"explicit","ack_wait":30000000000,"max_deliver":-1,"replay_policy":"instant","max_waiting":512,"max_ack_pending":1000,"inactive_threshold":5000000000,"num_replicas":0}"#,
        ),
        (
            r#"{"durable_name":"b1","max_deliver":-5,"ack_policy":"explicit"}"#,
            r#"{"durable_name":"b1","name":"b1","deliver_policy":"all","ack_policy":"explicit","ack_wait":30000000000,"max_deliver":-1,"replay_policy":"instant","max_waiting":512,"max_ack_pending":1000,"num_replicas":0}"#,
        ),
        (
            r#"{"durable_name":"b3","max_deliver":3,"backoff":[1000000000,2,3],"ack_policy":"explicit"}"#,
            r#"{"durable_name":"b3","name":"b3","deliver_policy":"all","ack_policy":"explicit","ack_wait":1000000000,"max_deliver":3,"backoff":[1000000000,2,3],"replay_policy":"instant","max_waiting":512,"max_ack_pending":1000,"num_replicas":0}"#,
        ),
        (
            r#"{"durable_name":"b5","max_deliver":3,"backoff":[1000000000],"ack_policy":"none"}"#,
            r#"{"durable_name":"b5","name":"b5","deliver_policy":"all","ack_policy":"none","ack_wait":1000000000,"max_deliver":3,"backoff":[1000000000],"replay_policy":"instant","max_waiting":512,"num_replicas":0}"#,
        ),
        (
            r#"{"durable_name":"b6","ack_policy":"explicit","backoff":[1000000000],"ack_wait":7}"#,
            r#"{"durable_name":"b6","name":"b6","deliver_policy":"all","ack_policy":"explicit","ack_wait":1000000000,"max_deliver":-1,"backoff":[1000000000],"replay_policy":"instant","max_waiting":512,"max_ack_pending":1000,"num_replicas":0}"#,
        ),
        (
            r#"{"durable_name":"b11","ack_policy":"explicit","max_ack_pending":-7,"max_waiting":-7}"#,
            r#"{"durable_name":"b11","name":"b11","deliver_policy":"all","ack_policy":"explicit","ack_wait":30000000000,"max_deliver":-1,"replay_policy":"instant","max_waiting":512,"max_ack_pending":-1,"num_replicas":0}"#,
        ),
        (
            r#"{"durable_name":"b7","ack_policy":"explicit","deliver_subject":"yy","idle_heartbeat":-5}"#,
            r#"{"durable_name":"b7","name":"b7","deliver_policy":"all","ack_policy":"explicit","ack_wait":30000000000,"max_deliver":-1,"replay_policy":"instant","max_ack_pending":1000,"deliver_subject":"yy","num_replicas":0}"#,
        ),
        (
            r#"{"durable_name":"fc2","ack_policy":"flow_control","deliver_subject":"x"}"#,
            r#"{"durable_name":"fc2","name":"fc2","deliver_policy":"all","ack_policy":"flow_control","max_deliver":-1,"replay_policy":"instant","max_ack_pending":1000,"flow_control":true,"deliver_subject":"x","idle_heartbeat":1000000000,"num_replicas":0}"#,
        ),
        (
            r#"{"durable_name":"g","priority_groups":["A","A"],"priority_policy":"pinned_client","priority_timeout":-5}"#,
            r#"{"durable_name":"g","name":"g","deliver_policy":"all","ack_policy":"none","max_deliver":-1,"replay_policy":"instant","max_waiting":512,"num_replicas":0,"priority_groups":["A","A"],"priority_policy":"pinned_client","priority_timeout":120000000000}"#,
        ),
        (
            r#"{"durable_name":"m","max_batch":-1,"max_bytes":-1,"max_expires":-1,"inactive_threshold":-1}"#,
            r#"{"durable_name":"m","name":"m","deliver_policy":"all","ack_policy":"none","max_deliver":-1,"replay_policy":"instant","max_waiting":512,"num_replicas":0}"#,
        ),
        (
            r#"{"direct":true,"deliver_subject":"z"}"#,
            r#"{"deliver_policy":"all","ack_policy":"none","max_deliver":-1,"replay_policy":"instant","deliver_subject":"z","inactive_threshold":5000000000,"num_replicas":0,"direct":true}"#,
        ),
    ] {
        assert_eq!(
            run(given, &allowed(&subjects), false).as_deref(),
            Ok(expected),
            "{given}"
        );
    }
}

#[test]
fn limits_of_the_stream_are_defaults_too() {
    let limits = Allowed {
        max_ack_pending: 50,
        inactive_threshold: 10_000_000_000,
        stream_replicas: 1,
        ..Allowed::default()
    };
    let explicit = run(
        r#"{"durable_name":"a","ack_policy":"explicit"}"#,
        &limits,
        false,
    )
    .unwrap();
    assert!(explicit.contains(r#""max_ack_pending":50,"inactive_threshold":10000000000"#));
    let none = run(r#"{"ack_policy":"none"}"#, &limits, false).unwrap();
    assert!(none.contains(r#""max_ack_pending":50,"inactive_threshold":10000000000"#));
    let unlimited = r#"{"durable_name":"a","ack_policy":"explicit","max_ack_pending":-1}"#;
    assert!(run(unlimited, &limits, false).is_ok());
    let error = |text| run(text, &limits, false).unwrap_err();
    assert_eq!(
        error(r#"{"durable_name":"b","ack_policy":"explicit","max_ack_pending":51}"#),
        (
            10_121,
            "consumer max ack pending exceeds system limit of 50".into()
        )
    );
    assert_eq!(
        error(r#"{"durable_name":"b","inactive_threshold":20000000000}"#),
        (
            10_153,
            "consumer inactive threshold exceeds system limit of 10s".into()
        )
    );
}

#[test]
fn rules_have_their_codes_and_texts() {
    let subjects = ["s.>".to_owned()];
    let long_name = format!(r#"{{"durable_name":"{}"}}"#, "x".repeat(256));
    let long_text = format!(r#"{{"description":"{}"}}"#, "x".repeat(5000));
    let long_metadata = format!(r#"{{"metadata":{{"a":"{}"}}}}"#, "b".repeat(200_000));
    for (given, code, text) in [
        (
            r#"{"name":"a.b"}"#,
            10_052,
            "consumer name can not contain '.', '*', '>', '\\', '/'",
        ),
        (
            r#"{"name":"a/b"}"#,
            10_127,
            "Consumer name can not contain path separators",
        ),
        (
            r#"{"name":"a\\b","num_replicas":-1}"#,
            10_127,
            "Consumer name can not contain path separators",
        ),
        (
            &long_name,
            10_102,
            "consumer name is too long, maximum allowed is 255",
        ),
        (
            &long_text,
            10_107,
            "consumer description is too long, maximum allowed is 4096",
        ),
        (
            &long_metadata,
            10_135,
            "consumer metadata exceeds maximum size of 128KB",
        ),
        (
            r#"{"deliver_policy":"last_per_subject"}"#,
            10_094,
            "consumer delivery policy is deliver last per subject, but optional filter subject is not set",
        ),
        (
            r#"{"deliver_policy":"by_start_sequence"}"#,
            10_094,
            "consumer delivery policy is deliver by start sequence, but optional start sequence is not set",
        ),
        (
            r#"{"deliver_policy":"by_start_time"}"#,
            10_094,
            "consumer delivery policy is deliver by start time, but optional start time is not set",
        ),
        (
            r#"{"deliver_policy":"by_start_sequence","opt_start_seq":1,"opt_start_time":"2020-01-01T00:00:00Z"}"#,
            10_094,
            "consumer delivery policy is deliver by start sequence, but optional start time is also set",
        ),
        (
            r#"{"deliver_policy":"all","opt_start_seq":1}"#,
            10_094,
            "consumer delivery policy is deliver all, but optional start sequence is also set",
        ),
        (
            r#"{"deliver_policy":"new","opt_start_time":"2020-01-01T00:00:00Z"}"#,
            10_094,
            "consumer delivery policy is deliver new, but optional start time is also set",
        ),
        (
            r#"{"deliver_policy":"by_start_time","opt_start_time":"2020-01-01T00:00:00Z","opt_start_seq":4}"#,
            10_094,
            "consumer delivery policy is deliver by start time, but optional start start sequence is also set",
        ),
        (
            r#"{"ack_wait":-1}"#,
            10_183,
            "consumer ack wait needs to be positive",
        ),
        (
            r#"{"max_deliver":2,"backoff":[1,2,3],"ack_policy":"explicit"}"#,
            10_116,
            "max deliver is required to be > length of backoff values",
        ),
        (
            r#"{"max_deliver":3,"backoff":[1000000000,-2,3],"ack_policy":"explicit"}"#,
            10_184,
            "consumer backoff needs to be positive",
        ),
        (
            r#"{"filter_subject":"s.1","filter_subjects":["s.2"]}"#,
            10_136,
            "consumer cannot have both FilterSubject and FilterSubjects specified",
        ),
        (
            r#"{"filter_subjects":["s.2","s.*"]}"#,
            10_138,
            "consumer subject filters cannot overlap",
        ),
        (
            r#"{"filter_subjects":["s.2","s.2"]}"#,
            10_138,
            "consumer subject filters cannot overlap",
        ),
        (
            r#"{"filter_subjects":["s.2",""]}"#,
            10_139,
            "consumer filter in FilterSubjects cannot be empty",
        ),
        (r#"{"filter_subject":"s..a"}"#, 10_052, "invalid subject"),
        (r#"{"filter_subject":" "}"#, 10_052, "invalid subject"),
        (
            r#"{"rate_limit_bps":100}"#,
            10_086,
            "consumer in pull mode can not have rate limit set",
        ),
        (
            r#"{"sample_freq":"x"}"#,
            10_095,
            "failed to parse consumer sampling configuration: strconv.Atoi: parsing \"x\": invalid syntax",
        ),
        (
            r#"{"sample_freq":"-1"}"#,
            10_095,
            "failed to parse consumer sampling configuration: <nil>",
        ),
        (
            r#"{"sample_freq":" 30"}"#,
            10_095,
            "failed to parse consumer sampling configuration: strconv.Atoi: parsing \" 30\": invalid syntax",
        ),
        (
            r#"{"max_expires":1}"#,
            10_115,
            "consumer max request expires needs to be >= 1ms",
        ),
        (
            r#"{"flow_control":true}"#,
            10_089,
            "consumer flow control requires a push based consumer",
        ),
        (
            r#"{"idle_heartbeat":1000000000}"#,
            10_088,
            "consumer idle heartbeat requires a push based consumer",
        ),
        (
            r#"{"deliver_subject":"a.*"}"#,
            10_079,
            "consumer deliver subject has wildcards",
        ),
        (
            r#"{"deliver_subject":"s.1"}"#,
            10_081,
            "consumer deliver subject forms a cycle",
        ),
        (
            r#"{"deliver_subject":"a..b"}"#,
            10_112,
            "invalid push consumer deliver subject",
        ),
        (
            r#"{"deliver_subject":"a b"}"#,
            10_112,
            "invalid push consumer deliver subject",
        ),
        (
            r#"{"deliver_subject":"a","flow_control":true}"#,
            10_108,
            "consumer with flow control also needs heartbeats",
        ),
        (
            r#"{"deliver_subject":"a","idle_heartbeat":1000}"#,
            10_083,
            "consumer idle heartbeat needs to be >= 100ms",
        ),
        (
            r#"{"deliver_subject":"a","max_waiting":1}"#,
            10_080,
            "consumer in push mode can not set max waiting",
        ),
        (
            r#"{"num_replicas":-1}"#,
            10_133,
            "replicas count cannot be negative",
        ),
        (
            r#"{"num_replicas":3}"#,
            10_074,
            "replicas > 1 not supported in non-clustered mode",
        ),
        (
            r#"{"direct":true}"#,
            10_090,
            "consumer direct requires a push based consumer",
        ),
        (
            r#"{"durable_name":"d","direct":true,"deliver_subject":"z"}"#,
            10_091,
            "consumer direct requires an ephemeral consumer",
        ),
        (
            r#"{"priority_groups":["A"]}"#,
            10_196,
            "consumer can not have priority groups when policy is none",
        ),
        (
            r#"{"priority_policy":"overflow"}"#,
            10_159,
            "Setting PriorityPolicy requires at least one PriorityGroup to be set",
        ),
        (
            r#"{"priority_groups":[""],"priority_policy":"overflow"}"#,
            10_161,
            "Group name cannot be an empty string",
        ),
        (
            r#"{"priority_groups":["a b"],"priority_policy":"overflow"}"#,
            10_162,
            "Valid priority group name must match A-Z, a-z, 0-9, -_/=)+ and may not exceed 16 characters",
        ),
        (
            r#"{"priority_timeout":5000000000}"#,
            10_197,
            "PinnedTTL cannot be set when PriorityPolicy is none",
        ),
        (
            r#"{"priority_groups":["A"],"priority_policy":"overflow","deliver_subject":"x"}"#,
            10_178,
            "priority groups can not be used with push consumers",
        ),
        (
            r#"{"ack_policy":"flow_control"}"#,
            10_218,
            "flow control ack policy requires a push based consumer",
        ),
        (
            r#"{"ack_policy":"flow_control","deliver_subject":"x","ack_wait":1000000000}"#,
            10_221,
            "flow control ack policy requires unset ack wait",
        ),
        (
            r#"{"ack_policy":"flow_control","deliver_subject":"x","max_deliver":4}"#,
            10_222,
            "flow control ack policy requires unset max deliver",
        ),
        (
            r#"{"ack_policy":"flow_control","deliver_subject":"x","max_ack_pending":-1}"#,
            10_220,
            "flow control ack policy requires max ack pending",
        ),
    ] {
        let error = run(given, &allowed(&subjects), false).unwrap_err();
        assert_eq!(error, (code, text.to_owned()), "{given}");
    }
}

#[test]
fn pedantic_requests_are_not_corrected() {
    for (given, text) in [
        (
            r#"{"ack_policy":"explicit","ack_wait":5,"backoff":[10]}"#,
            "first backoff value has to equal batch AckWait",
        ),
        (r#"{"max_deliver":-4}"#, "max_deliver must be set to -1"),
        (
            r#"{"max_ack_pending":-4}"#,
            "max_ack_pending must be set to -1",
        ),
        (r#"{"max_waiting":-4}"#, "max_waiting must not be negative"),
        (
            r#"{"inactive_threshold":-4}"#,
            "inactive_threshold must not be negative",
        ),
        (r#"{"max_batch":-4}"#, "max_batch must not be negative"),
        (r#"{"max_bytes":-4}"#, "max_bytes must not be negative"),
        (
            r#"{"priority_groups":["A"],"priority_policy":"pinned_client","priority_timeout":-5}"#,
            "priority_timeout must not be negative",
        ),
    ] {
        let error = run(given, &allowed(&[]), true).unwrap_err();
        assert_eq!(error, (10_157, format!("pedantic mode: {text}")), "{given}");
    }
    assert!(run(r#"{"ack_policy":"explicit"}"#, &allowed(&[]), true).is_ok());
    let error = run(
        r#"{"ack_policy":"flow_control","deliver_subject":"x"}"#,
        &allowed(&[]),
        true,
    );
    assert_eq!(error.unwrap_err().0, 10_219);
}

#[test]
fn some_things_stay_as_they_were() {
    let pull = r#"{"durable_name":"a","ack_policy":"explicit"}"#;
    let push = r#"{"durable_name":"a","ack_policy":"explicit","deliver_subject":"dd","idle_heartbeat":1000000000,"flow_control":true}"#;
    let by_sequence =
        r#"{"durable_name":"a","deliver_policy":"by_start_sequence","opt_start_seq":2}"#;
    let by_time = r#"{"durable_name":"a","deliver_policy":"by_start_time","opt_start_time":"2020-01-01T00:00:00Z"}"#;
    let changed = |text: &str, from: &str, to: &str| text.replace(from, to);
    let check = |old: &str, new: String| {
        let mut old = config(old);
        let mut new = config(&new);
        prepare(&mut old, &Allowed::default(), false).unwrap();
        prepare(&mut new, &Allowed::default(), false).unwrap();
        check_update(&old, &new)
            .err()
            .map(|e| (e.code.number(), e.description.into_owned()))
    };
    let added = |text: &str, more: &str| changed(text, "{", &format!("{{{more},"));
    for (old, new, text) in [
        (
            pull,
            changed(pull, "explicit", "none"),
            "ack policy can not be updated",
        ),
        (
            pull,
            added(pull, r#""deliver_policy":"new""#),
            "deliver policy can not be updated",
        ),
        (
            pull,
            added(pull, r#""replay_policy":"original""#),
            "replay policy can not be updated",
        ),
        (
            pull,
            added(pull, r#""max_waiting":3"#),
            "max waiting can not be updated",
        ),
        (
            pull,
            added(pull, r#""mem_storage":true"#),
            "storage type can not be updated",
        ),
        (
            pull,
            added(pull, r#""deliver_subject":"q""#),
            "can not update pull consumer to push based",
        ),
        (
            pull,
            added(pull, r#""sourcing":true"#),
            "sourcing can not be updated",
        ),
        (
            by_sequence,
            changed(by_sequence, ":2", ":3"),
            "start sequence can not be updated",
        ),
        (
            by_time,
            changed(by_time, "2020", "2021"),
            "start time can not be updated",
        ),
        (
            push,
            changed(push, "1000000000", "2000000000"),
            "heart beats can not be updated",
        ),
        (
            push,
            changed(push, "true", "false"),
            "flow control can not be updated",
        ),
    ] {
        assert_eq!(check(old, new), Some((10_012, text.to_owned())), "{text}");
    }
    for (old, new) in [
        (
            pull,
            added(
                pull,
                r#""ack_wait":5000000000,"max_deliver":7,"max_ack_pending":7"#,
            ),
        ),
        (
            pull,
            added(
                pull,
                r#""filter_subjects":["s.1","s.2"],"sample_freq":"30""#,
            ),
        ),
        (
            pull,
            added(
                pull,
                r#""max_batch":3,"num_replicas":1,"backoff":[1000000000]"#,
            ),
        ),
        (
            pull,
            added(
                pull,
                r#""priority_groups":["A"],"priority_policy":"overflow""#,
            ),
        ),
        (
            push,
            added(push, r#""rate_limit_bps":100,"deliver_group":"g""#),
        ),
        (push, changed(push, "dd", "ee")),
    ] {
        assert_eq!(check(old, new.clone()), None, "{new}");
    }
}
