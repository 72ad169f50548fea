//! Keys and values of the file.

use std::num::NonZeroU32;
use std::time::Duration;

use super::super::*;
use super::support::Memory;

fn error(text: &str) -> String {
    Memory::new(text).load(&[]).expect_err(text)
}

fn options(text: &str) -> Options {
    Memory::new(text).options(&[])
}

#[test]
fn a_file_without_settings_gives_the_defaults() {
    let loaded = Memory::new("# nothing").load(&[]).expect("valid");
    assert_eq!(
        loaded.warnings.to_string(),
        "c.conf: config has no values or is empty\n"
    );
    let expected = Options {
        config_file: "c.conf".into(),
        config_digest: loaded.options.config_digest.clone(),
        ..Options::default()
    };
    assert_eq!(loaded.options, expected);
    assert!(loaded.cautions.is_empty());
}

#[test]
fn every_option_is_read() {
    let text = r#"
        listen: "[::1]:-1", client_advertise: "a:1", server_name: n, server_tags: [B, b, " c "]
        server_metadata { k: v }, http: 8222, http_base_path: "/x"
        pid_file: p, ports_file_dir: d, log_file: l, log_size_limit: 1k, log_max_num: 3
        logtime: off, logtime_utc: on, debug: true, trace: true, max_traced_msg_len: 9
        syslog: true, remote_syslog: "udp://h:1"
        max_connections: 0, max_subscriptions: 7, max_sub_tokens: 8, max_control_line: 1k, max_payload: 2k
        max_pending: 1MB, max_closed_clients: 5, ping_interval: "100ms", ping_max: 4
        write_deadline: 3s, write_timeout: retry, no_fast_producer_stall: true, no_header_support: true
        disable_sublist_cache: true, connect_error_reports: 11, reconnect_error_reports: 12
        lame_duck_duration: 30s, lame_duck_grace_period: 5s, no_system_account: true, allow_non_tls: true
        jetstream: { enabled: false, domain: d }, cluster {}, ringwire { cpus: "2-4,8", spin: 50 }
    "#;
    let read = options(text);
    let expected = Options {
        config_file: read.config_file.clone(),
        config_digest: read.config_digest.clone(),
        host: "::1".into(),
        port: -1,
        client_advertise: "a:1".into(),
        server_name: "n".into(),
        server_tags: vec!["b".into(), "c".into()],
        server_metadata: [("k".to_owned(), "v".to_owned())].into(),
        websocket: WebSocketOptions::default(),
        jetstream: JetStreamOptions {
            domain: "d".into(),
            ..JetStreamOptions::default()
        },
        feature_flags: Default::default(),
        http_host: "::1".into(),
        http_port: 8222,
        http_base_path: "/x".into(),
        pid_file: "p".into(),
        ports_file_dir: "d".into(),
        log: LogOptions {
            debug: true,
            trace: true,
            trace_verbose: false,
            trace_headers: false,
            max_traced_msg_len: 9,
            time: false,
            time_utc: true,
            file: "l".into(),
            size_limit: 1000,
            max_files: 3,
            syslog: true,
            remote_syslog: "udp://h:1".into(),
        },
        max_connections: -1,
        max_subscriptions: 7,
        max_sub_tokens: 8,
        max_control_line: 1000,
        max_payload: 2000,
        max_pending: 1 << 20,
        max_closed_clients: 5,
        ping_interval: Duration::from_millis(100),
        ping_max: 4,
        write_deadline: Duration::from_secs(3),
        write_timeout: WriteTimeout::Retry,
        no_fast_producer_stall: true,
        no_header_support: true,
        disable_sublist_cache: true,
        no_system_account: true,
        connect_error_reports: 11,
        reconnect_error_reports: 12,
        lame_duck_duration: Duration::from_secs(30),
        lame_duck_grace_period: Duration::from_secs(5),
        authorization: AuthorizationConfig::default(),
        accounts: Vec::new(),
        global_mappings: Vec::new(),
        system_account: String::new(),
        trust: TrustOptions::default(),
        placement: Placement::Cpus(vec![2, 3, 4, 8]),
        spin: Spin::For(Duration::from_micros(50)),
        host_options: HostOptions::default(),
    };
    assert_eq!(read, expected);
}

#[test]
fn users_and_permissions() {
    let read = options(
        r#"authorization {
            timeout: 1.5
            default_permissions: { publish: d }
            users: [
                { user: a, pass: x, permissions: {
                    pub: { allow: [p.>, q ], deny: r }, sub: ["s v1", t ], allow_responses: { max: 5, ttl: "1m" } } }
                { username: b, password: y }
                { user: c, permissions: { subscribe: {}, allow_responses: true } }
            ]
        }
        no_auth_user: b"#,
    )
    .authorization;
    let strings = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
    let a = read.users[0].permissions.as_ref().expect("own permissions");
    let publish = a.publish.as_ref().expect("publish rules");
    assert_eq!(publish.allow, Some(strings(&["p.>", "q"])));
    assert_eq!(publish.deny, strings(&["r"]));
    assert_eq!(
        a.subscribe.as_ref().and_then(|s| s.allow.clone()),
        Some(strings(&["s v1", "t"]))
    );
    assert_eq!(
        a.allow_responses,
        Some(ResponseRule {
            max: 5,
            expires: Duration::from_secs(60)
        })
    );
    assert_eq!(read.users[1].permissions, read.default_permissions);
    let c = read.users[2].permissions.as_ref().expect("own permissions");
    assert_eq!(
        c.publish.as_ref().and_then(|p| p.allow.clone()),
        Some(Vec::new())
    );
    assert_eq!(c.subscribe, Some(SubjectRules::default()));
    assert_eq!(c.allow_responses, Some(ResponseRule::default()));
    assert_eq!(read.no_auth_user, "b");
    assert_eq!(read.timeout, Duration::from_millis(1500));
    assert!(read.is_required());
    let shown = format!("{read:?}");
    assert!(
        !shown.contains("\"x\"") && !shown.contains("\"y\""),
        "{shown}"
    );
}

#[test]
fn values_are_refused_with_the_texts_of_nats_server() {
    let conversion = |found: &str, wanted: &str| {
        format!("c.conf:1:0: interface conversion: interface {{}} is {found}, not {wanted}")
    };
    for (text, message) in [
        ("port = \"abc\"", conversion("string", "int64")),
        ("port: {}", conversion("map[string]interface {}", "int64")),
        (
            "port: 2019-01-01T00:00:00Z",
            conversion("time.Time", "int64"),
        ),
        ("debug = \"true\"", conversion("string", "bool")),
        ("host: [a]", conversion("[]interface {}", "string")),
        (
            "listen = \"4333\"",
            "c.conf:1:0: could not parse address string \"4333\"".into(),
        ),
        (
            "listen = \"a:b\"",
            "c.conf:1:0: could not parse port \"b\"".into(),
        ),
        (
            "listen: true",
            "c.conf:1:0: expected port or host:port, got bool".into(),
        ),
        (
            "server_name = \"a b\"",
            "c.conf:1:0: server name cannot contain spaces".into(),
        ),
        (
            "max_payload: 2147483648",
            "c.conf:1:0: max_payload value is too big".into(),
        ),
        (
            "max_sub_tokens: 256",
            "c.conf:1:0: max_sub_tokens value is too big".into(),
        ),
        (
            "write_timeout: x",
            "c.conf:1:0: write_timeout must be 'default', 'close' or 'retry'".into(),
        ),
        (
            "lame_duck_duration = 5s",
            "c.conf:1:0: invalid lame_duck_duration of 5s, minimum is 30 seconds".into(),
        ),
        (
            "authorization { user: a, pass: b, token: c }",
            "c.conf:1:0: Cannot have a user/pass and token".into(),
        ),
        (
            "authorization { user: a, users: [] }",
            "c.conf:1:0: Can not have a single user/pass and a users array".into(),
        ),
        (
            "authorization { users: [{user: a}, {user: a}] }",
            "c.conf:1:0: Duplicate user \"a\" detected".into(),
        ),
        (
            "authorization { users: [{password: a}] }",
            "c.conf:1:25: User entry requires a user".into(),
        ),
        (
            "authorization { users: [{user: a, permissions: {publish: \"a b\"}}] }",
            "subject \"a b\" is not a valid subject".into(),
        ),
        (
            "authorization { users: [{user: a, permissions: {subscribe: \"a b..c\"}}] }",
            "queue \"b..c\" is not a valid queue".into(),
        ),
        // After the merge of file and flags.
        (
            "max_payload: 100MB, max_pending: 10MB",
            "max_payload (104857600) cannot be higher than max_pending (10485760)".into(),
        ),
        (
            "lame_duck_duration: 31s, lame_duck_grace_period: 40s",
            "lame duck grace period (40s) should be strictly lower than lame duck duration (31s)"
                .into(),
        ),
        (
            "no_auth_user: foo",
            "no_auth_user: \"foo\" present, but users/nkeys are not defined".into(),
        ),
        (
            "client_advertise: \"foo:bar\"",
            "Error setting server INFO with ClientAdvertise value of foo:bar, \
             err=strconv.Atoi: parsing \"bar\": invalid syntax"
                .into(),
        ),
        (
            "port: 99999",
            "Error listening on port: 0.0.0.0:99999, \"listen tcp: address 99999: invalid port\""
                .into(),
        ),
    ] {
        assert_eq!(error(text), message, "{text:?}");
    }
}

#[test]
fn a_part_that_is_not_built_is_refused_by_name() {
    assert_eq!(
        error("websocket { tls {} }"),
        "c.conf:1:12: \"websocket tls\" is not built yet in ringwire"
    );
}

#[test]
fn what_is_not_built_is_refused_by_name() {
    for key in [
        "cluster { name: x }",
        "leafnodes { port: 1 }",
        "gateway { name: x }",
        "mqtt { port: 1 }",
        "tls {}",
        "https: 8443",
        "proxy_protocol: true",
        "ocsp: true",
        "resolver_tls { ca_file: x }",
        "prof_port: 1",
    ] {
        let name = key.split([':', ' ']).next().expect("a key");
        let expected = format!("c.conf:2:2: \"{name}\" is not built yet in ringwire");
        assert_eq!(error(&format!("debug: true\n {key}")), expected);
    }
    assert_eq!(
        error("accounts { A { msg_trace: x } }"),
        "c.conf:1:15: \"accounts.msg_trace\" is not built yet in ringwire"
    );
    options(
        "jetstream: false, cluster {}, leaf {}, accounts {}, proxy_protocol: false, https_port: 0, a: 1, port: $a",
    );
    assert_eq!(
        error("authorization { auth_callout { issuer: x } }"),
        "c.conf:1:16: \"auth_callout\" is not built yet in ringwire"
    );
}

#[test]
fn options_of_operator_mode_are_checked() {
    for (text, message) in [
        (
            "operator: x",
            "c.conf:1:0: error parsing operator JWT: open x: no such file or directory",
        ),
        (
            "trusted_keys: ABC",
            "c.conf:1:0: trust key \"ABC\" required to be a valid public operator nkey",
        ),
        (
            "resolver_preload { A: x }",
            "c.conf:1:19: invalid account JWT",
        ),
        (
            "resolver: FOO",
            "c.conf:1:0: error parsing account resolver, should be MEM or  URL(\"url\") or a map \
             containing dir and type state=[FULL|CACHE])",
        ),
        (
            "resolver: { type: full, dir: x }",
            "c.conf:1:0: \"resolver: type full\" is not built yet in ringwire",
        ),
        (
            "resolver: URL(https://a/)",
            "c.conf:1:0: \"resolver: URL other than http\" is not built yet in ringwire",
        ),
        ("default_sentinel: x", "default sentinel JWT not valid"),
        (
            "resolver_pinned_accounts: x",
            "pinned account key \"x\" is not a valid public account nkey",
        ),
    ] {
        assert_eq!(error(text), message, "{text}");
    }
    let url = options("resolver: URL(http://a:1/x)").trust;
    assert_eq!(
        url.resolver,
        Some(Resolver::Url("http://a:1/x/".to_owned()))
    );
}

#[test]
fn nkeys_take_the_place_of_name_and_password() {
    const NKEY: &str = "UBF55G5BFMVWF6VXDB4NVOZ2DTPOVSFKLCEN7I22LVF4ONAFTNHOC6GQ";
    const ACCOUNT: &str = "AAK3QIC6MSUSRWAUKH4UFXPAITJFC3FUJFTHN3MLBEPUVCTNNUCORHUE";
    let users = |entries: &str| format!("authorization {{ users: [ {entries} ] }}");
    let read = options(&users(&format!("{{nkey: {NKEY}}}")));
    assert_eq!(read.authorization.users[0].nkey, NKEY);
    for (entries, expected) in [
        (
            "{nkey: ABC}".to_owned(),
            "c.conf:1:26: Not a valid public nkey for a user".to_owned(),
        ),
        (
            format!("{{nkey: {ACCOUNT}}}"),
            "c.conf:1:26: Not a valid public nkey for a user".to_owned(),
        ),
        (
            format!("{{nkey: {NKEY}}},{{nkey: {NKEY}}}"),
            format!("c.conf:1:0: Duplicate nkey \"{NKEY}\" detected"),
        ),
        (
            format!("{{nkey: {NKEY}, user: a}}"),
            "c.conf:1:90: Nkey users do not take usernames or passwords".to_owned(),
        ),
        (
            "{nkey: \"\"}".to_owned(),
            "c.conf:1:26: User entry requires a user".to_owned(),
        ),
    ] {
        assert_eq!(error(&users(&entries)), expected, "{entries}");
    }
}

#[test]
fn bare_seconds_are_a_warning_that_only_a_test_run_fails_on() {
    let source = Memory::new("ping_interval = 5");
    let warning = "c.conf:1:0: invalid use of field \"ping_interval\": \
                   ping_interval should be converted to a duration";
    assert_eq!(source.test(), Err(warning.to_owned()));
    let loaded = source.load(&[]).expect("valid");
    assert_eq!(loaded.options.ping_interval, Duration::from_secs(5));
    assert_eq!(loaded.warnings.to_string(), format!("{warning}\n"));
}

#[test]
fn cautions() {
    let cautions = |text: &str| Memory::new(text).load(&[]).expect("valid").cautions;
    assert_eq!(
        cautions("authorization { user: a, pass: b }"),
        [Caution::PlainTextPasswords]
    );
    assert_eq!(
        cautions("authorization { users: [{user: a}] }"),
        [Caution::PlainTextPasswords]
    );
    assert_eq!(cautions("authorization { user: a, pass: $2a$11$abc }"), []);
    assert_eq!(cautions("authorization { token: a }"), []);
    assert_eq!(cautions("max_payload: 9mb"), [Caution::LargePayloads]);
}

#[test]
fn extensions() {
    assert_eq!(
        options("ringwire { cores: 3 }").placement,
        Placement::Count(NonZeroU32::MIN.saturating_add(2))
    );
    assert_eq!(
        options("ringwire { cpus: [0, 2 ] }").placement,
        Placement::Cpus(vec![0, 2])
    );
    assert_eq!(options("ringwire { spin: Forever }").spin, Spin::Forever);
    assert_eq!(
        options("ringwire { spin: 2ms }").spin,
        Spin::For(Duration::from_millis(2))
    );
    let host = options(
        "ringwire { busy_poll: '20us', lock_memory: true, huge_pages: true, realtime: 10, \
         accept: Incoming_CPU }",
    )
    .host_options;
    assert_eq!(
        host,
        HostOptions {
            busy_poll: 20,
            lock_memory: true,
            huge_pages: true,
            realtime: 10,
            accept: Accept::IncomingCpu
        }
    );
    assert!(error("ringwire { busy_poll: 100001 }").contains("at most 100000"));
    assert!(error("ringwire { busy_poll: true }").contains("microseconds or a duration"));
    assert!(error("ringwire { lock_memory: 1 }").contains("true or false"));
    assert!(error("ringwire { realtime: 100 }").contains("between 1 and 99"));
    assert!(error("ringwire { accept: most }").contains("least, round_robin or incoming_cpu"));
    assert!(error("ringwire { cores: 0 }").contains("between 1 and"));
    assert!(error("ringwire { cpus: '5-2' }").contains("backwards"));
    assert!(error("ringwire { cpus: '0-99999999' }").contains("above"));
    assert!(error("ringwire { cpus: '0', cores: 1 }").contains("exclude each other"));
    assert!(error("ringwire { x: 1 }").contains("unknown field \"x\""));
}

#[test]
fn the_jetstream_block() {
    let read = options(
        r#"
        store_dir: "/s"
        jetstream {
            max_mem: 1GB, max_file_store: "10G", domain: hub, sync_interval: "5s", strict: false
            max_buffered_msgs: 10, max_buffered_size: 1MB, request_queue_limit: 7, unique_tag: az
            limits {
                max_ack_pending: 5, max_request_batch: 6, duplicate_window: "1m", max_ha_assets: 2
                batch { max_inflight_per_stream: 1, max_inflight_total: 2, max_msgs: 3, timeout: "4s" }
            }
        }
        "#,
    );
    let expected = JetStreamOptions {
        enabled: true,
        store_dir: "/s".into(),
        max_memory: 1 << 30,
        max_file: 10 << 30,
        domain: "hub".into(),
        sync: SyncPolicy::Interval(Duration::from_secs(5)),
        strict: false,
        max_ack_pending: 5,
        max_request_batch: 6,
        duplicate_window: Duration::from_secs(60),
        batch_max_inflight_per_stream: 1,
        batch_max_inflight_total: 2,
        batch_max_msgs: 3,
        batch_timeout: Duration::from_secs(4),
        max_buffered_msgs: 10,
        max_buffered_size: 1 << 20,
        request_queue_limit: 7,
    };
    assert_eq!(read.jetstream, expected);
    for (text, enabled) in [
        ("jetstream: enabled", true),
        ("jetstream: true", true),
        ("jetstream {}", true),
        ("jetstream: disabled", false),
        ("jetstream { enabled: false, max_mem: 1 }", false),
    ] {
        assert_eq!(options(text).jetstream.enabled, enabled, "{text}");
    }
    assert_eq!(
        options("jetstream { sync: always }").jetstream.sync,
        SyncPolicy::BeforeAck
    );
}

/// The texts are nats-server's.
#[test]
fn mistakes_in_the_jetstream_block_are_named() {
    for (text, message) in [
        (
            "jetstream: 5",
            "Expected map, bool or string to define JetStream, got int64",
        ),
        (
            "jetstream: foo",
            "Expected 'enabled' or 'disabled' for string value, got 'foo'",
        ),
        ("jetstream { foo: 1 }", "unknown field \"foo\""),
        (
            "jetstream { max_mem: abc }",
            "max_mem_store strconv.ParseInt: parsing \"ab\": invalid syntax",
        ),
        (
            "jetstream { sync: foo }",
            "error parsing sync: time: invalid duration \"foo\"",
        ),
        (
            "store_dir: a\njetstream { store_dir: b }",
            "Duplicate 'store_dir' configuration",
        ),
        ("jetstream { limits { foo: 1 } }", "unknown field \"foo\""),
        (
            "jetstream { key: x }",
            "\"jetstream.key\" is not built yet in ringwire",
        ),
    ] {
        let error = error(text);
        assert!(error.ends_with(message), "{text}: {error}");
    }
}
