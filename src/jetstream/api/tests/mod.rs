//! Scripts of requests, with the answers that nats-server 2.15.1 gave, on one, two and four cores.

mod consumers;
mod direct;
mod messages;
mod snapshots;
mod streams;

use crate::jetstream::settings::JetStreamSettings;
use crate::jetstream::testing::{Cluster, Files, masked};

fn settings() -> JetStreamSettings {
    JetStreamSettings {
        server_name: "srv".to_owned(),
        version: "2.15.1".to_owned(),
        ..JetStreamSettings::default()
    }
}

/// Runs `script` on one, two and four cores.
fn on_cores(script: impl Fn(&mut Cluster)) {
    for cores in [1, 2, 4] {
        let mut cluster = Cluster::new(cores, &settings(), Files::default());
        script(&mut cluster);
    }
}

/// Checks answers, in which `%` stands for `io.nats.jetstream.api.v1`.
fn expect(cluster: &mut Cluster, exchanges: &[(&str, &str, &str)]) {
    for (subject, payload, expected) in exchanges {
        let answer = masked(&cluster.api(subject, payload));
        let expected = expected.replace('%', "io.nats.jetstream.api.v1");
        assert_eq!(answer, expected, "{subject} {payload}");
    }
}

/// The configuration that nats-server makes of a stream with nothing but subjects.
fn default_config(name: &str, subjects: &str) -> String {
    format!(
        r#"{{"name":"{name}","subjects":[{subjects}],"retention":"limits","max_consumers":-1,"max_msgs":-1,"max_bytes":-1,"max_age":0,"max_msgs_per_subject":-1,"max_msg_size":-1,"discard":"old","storage":"file","num_replicas":1,"duplicate_window":120000000000,"compression":"none","allow_direct":false,"mirror_direct":false,"sealed":false,"deny_delete":false,"deny_purge":false,"allow_rollup_hdrs":false,"consumer_limits":{{}},"allow_msg_ttl":false,"metadata":{{"_nats.level":"5","_nats.req.level":"0","_nats.ver":"2.15.1"}}}}"#
    )
}

const EMPTY_STATE: &str = r#"{"messages":0,"bytes":0,"first_seq":0,"first_ts":"0001-01-01T00:00:00Z","last_seq":0,"last_ts":"0001-01-01T00:00:00Z","consumer_count":0}"#;
