//! Reloads.

use super::super::*;
use super::support::Memory;

fn reload(old: &str, new: &str) -> Result<Vec<String>, String> {
    let old = Memory::new(old).options(&[]);
    let new = Memory::new(new).options(&[]);
    match diff(&old, &new) {
        Ok(changes) => Ok(changes.iter().map(ToString::to_string).collect()),
        Err(error) => Err(error.to_string()),
    }
}

/// The log of nats-server 2.15.1 after SIGHUP, line for line.
#[test]
fn changes_are_logged_as_nats_server_logs_them() {
    let lines = reload(
        "no_fast_producer_stall: true",
        "ping_interval: 3s, ping_max: 9, debug: true, trace: true, logtime_utc: true, max_connections: 9
         client_advertise: 'a:1', authorization: {users: [{user: a, password: b}], timeout: 2.25}
         max_control_line: 5k, max_payload: 5k, pid_file: x.pid, write_deadline: 1500ms, server_tags: a
         server_metadata: {a: b}, max_traced_msg_len: 5, connect_error_reports: 5, reconnect_error_reports: 5",
    )
    .expect("everything here can change");
    let expected = "Reload: client_advertise = a:1
Reloaded: trace = true
Reloaded: debug = true
Reloaded: logtime_utc = true
Reloaded: max_connections = 9
Reloaded: authorization users
Reloaded: accounts
Reloaded: ping_interval = 3s
Reloaded: ping_max = 9
Reloaded: authorization timeout = 2.25
Reloaded: max_control_line = 5000
Reloaded: max_payload = 5000
Reloaded: fast producers will be stalled
Reloaded: pid_file = x.pid
Reloaded: write_deadline = 1.5s
Reloaded: max_traced_msg_len = 5
Reloaded: connect_error_reports = 5
Reloaded: reconnect_error_reports = 5
Reloaded: tags
Reloaded: metadata";
    assert_eq!(lines.join("\n"), expected);
}

#[test]
fn what_is_fixed_refuses_the_whole_reload() {
    for (new, change) in [
        (
            "max_pending: 32MB",
            "MaxPending: old=67108864, new=33554432",
        ),
        ("write_timeout: retry", "WriteTimeout: old=, new=retry"),
        (
            "lame_duck_duration: 90s",
            "LameDuckDuration: old=2m0s, new=1m30s",
        ),
        ("max_subscriptions: 10", "MaxSubs: old=0, new=10"),
        ("server_name: foo", "ServerName: old=, new=foo"),
        ("http_port: 8222", "HTTPPort: old=0, new=8222"),
        ("log_max_num: 5", "LogMaxFiles: old=0, new=5"),
        (
            "no_header_support: true",
            "NoHeaderSupport: old=false, new=true",
        ),
        (
            "feature_flags: {a: true}",
            "FeatureFlags: old=map[], new=map[a:true]",
        ),
        ("port: 4333", "Port: old=4222, new=4333"),
        ("ringwire { realtime: 5 }", "Realtime: old=0, new=5"),
        (
            "ringwire { accept: round_robin }",
            "Accept: old=least, new=round_robin",
        ),
    ] {
        let expected = format!("config reload not supported for {change}");
        assert_eq!(
            reload("ping_max: 2", &format!("ping_max: 5, {new}")),
            Err(expected)
        );
    }
}

#[test]
fn a_random_port_stays_the_one_that_was_opened() {
    let mut old = Memory::new("port: -1, http_port: -1").options(&[]);
    let new = old.clone();
    (old.port, old.http_port) = (34567, 34568);
    assert_eq!(
        diff(&old, &new),
        Ok(vec![
            Change::AuthorizationUsers { changed: false },
            Change::Accounts
        ])
    );
}

#[test]
fn a_change_of_users_is_told_from_none() {
    let old = Memory::new("authorization { users: [{user: a, pass: b}] }").options(&[]);
    let new = Memory::new("authorization { users: [{user: a, pass: c}] }").options(&[]);
    let changes = diff(&old, &new).expect("users can change");
    assert_eq!(changes[0], Change::AuthorizationUsers { changed: true });
}
