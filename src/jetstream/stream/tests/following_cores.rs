//! Mirrors and sources over the API of whole cores.

use crate::jetstream::settings::JetStreamSettings;
use crate::jetstream::testing::{Cluster, Files};

const SECOND: u64 = 1_000_000_000;

fn messages(cluster: &mut Cluster, stream: &str) -> (u64, u64) {
    let info = cluster.api(&format!("STREAM.INFO.{stream}"), "");
    let info: serde_json::Value = serde_json::from_str(&info).unwrap();
    let number = |name: &str| info["state"][name].as_u64().unwrap();
    (number("messages"), number("last_seq"))
}

#[test]
fn mirrors_and_sources_follow_their_origin_across_cores_and_restarts() {
    let settings = JetStreamSettings {
        version: "2.15.1".to_owned(),
        ..JetStreamSettings::default()
    };
    for cores in 1..=3 {
        let mut cluster = Cluster::new(cores, &settings, Files::default());
        cluster.api("STREAM.CREATE.OR", r#"{"name":"OR","subjects":["o.>"]}"#);
        for number in 0..5 {
            cluster.publish(&format!("o.{number}"), "", "", b"x");
        }
        cluster.api("STREAM.MSG.DELETE.OR", r#"{"seq":2}"#);
        let made = cluster.api(
            "STREAM.CREATE.MI",
            r#"{"name":"MI","mirror":{"name":"OR"}}"#,
        );
        assert!(made.contains(r#""did_create":true"#), "{made}");
        cluster.api(
            "STREAM.CREATE.SO",
            r#"{"name":"SO","sources":[{"name":"OR","filter_subject":"o.3"}]}"#,
        );
        cluster.wait(SECOND / 10);
        assert_eq!(messages(&mut cluster, "MI"), (4, 5), "{cores} cores");
        assert_eq!(messages(&mut cluster, "SO"), (1, 1), "{cores} cores");
        cluster.publish("o.3", "", "", b"y");
        assert_eq!(messages(&mut cluster, "MI"), (5, 6));
        assert_eq!(messages(&mut cluster, "SO"), (2, 2));
        // Heartbeats keep it going, and nothing comes twice.
        for _ in 0..20 {
            cluster.wait(SECOND / 2);
        }
        assert_eq!(messages(&mut cluster, "MI"), (5, 6));

        let files = cluster.stop();
        let mut cluster = Cluster::new(cores, &settings, files);
        cluster.publish("o.3", "", "", b"z");
        for _ in 0..20 {
            cluster.wait(SECOND / 2);
        }
        assert_eq!(messages(&mut cluster, "OR"), (6, 7));
        assert_eq!(messages(&mut cluster, "MI"), (6, 7), "{cores} cores");
        assert_eq!(messages(&mut cluster, "SO"), (3, 3), "{cores} cores");
    }
}
