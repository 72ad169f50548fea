//! Whole answers, to the byte.

use super::*;

/// Replaces the server's answer by the captured text and shows the first line that differs.
fn assert_same(answer: Response, captured: &str) {
    let body = body(answer);
    for (ours, theirs) in body.lines().zip(captured.trim().lines()) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(body, captured.trim());
}

#[test]
fn varz() {
    assert_same(
        ask("/varz"),
        r#"
{
  "server_id": "NBALXNGD",
  "server_name": "my\u003csrv\u003e\u0026",
  "version": "2.15.1",
  "ringwire_version": "0.1.0",
  "proto": 1,
  "git_commit": "b2fd3ef",
  "go": "rustc 1.95",
  "host": "127.0.0.1",
  "port": 40061,
  "max_connections": 65536,
  "ping_interval": 120000000000,
  "ping_max": 2,
  "http_host": "127.0.0.1",
  "http_port": 39297,
  "http_base_path": "",
  "https_port": 0,
  "auth_timeout": 2,
  "max_control_line": 4096,
  "max_payload": 1048576,
  "max_pending": 67108864,
  "cluster": {},
  "gateway": {},
  "leaf": {},
  "mqtt": {},
  "websocket": {},
  "jetstream": {},
  "tls_timeout": 2,
  "write_deadline": 10000000000,
  "start": "2026-11-22T21:52:14.704450283Z",
  "now": "2026-11-22T21:52:16.211994804Z",
  "uptime": "1s",
  "mem": 15228928,
  "cores": 2,
  "gomaxprocs": 2,
  "cpu": 1,
  "connections": 3,
  "total_connections": 5,
  "routes": 0,
  "remotes": 0,
  "leafnodes": 0,
  "in_msgs": 6,
  "in_bytes": 21,
  "in_client_msgs": 6,
  "in_client_bytes": 21,
  "out_msgs": 9,
  "out_bytes": 36,
  "out_client_msgs": 9,
  "out_client_bytes": 36,
  "slow_consumers": 0,
  "stale_connections": 0,
  "stalled_clients": 0,
  "subscriptions": 65,
  "http_req_stats": {
    "/": 1,
    "/varz": 1
  },
  "config_load_time": "2026-11-22T21:52:14.704450283Z",
  "config_digest": "",
  "system_account": "$SYS",
  "slow_consumer_stats": {
    "clients": 0,
    "routes": 0,
    "gateways": 0,
    "leafs": 0
  },
  "stale_connection_stats": {
    "clients": 0,
    "routes": 0,
    "gateways": 0,
    "leafs": 0
  },
  "disk_io_wait_stats": {
    "waiters": 0,
    "waits": 0,
    "wait_time": 0,
    "max_wait_time": 0
  }
}"#,
    );
}

#[test]
fn connz_with_details_and_logins() {
    assert_same(
        ask("/connz?subs=detail&auth=1"),
        r#"
{
  "server_id": "NBALXNGD",
  "now": "2026-11-22T21:52:16.211994804Z",
  "num_connections": 2,
  "total": 2,
  "offset": 0,
  "limit": 1024,
  "connections": [
    {
      "cid": 5,
      "kind": "Client",
      "type": "nats",
      "ip": "127.0.0.1",
      "port": 41306,
      "start": "2026-11-22T21:52:15.694687731Z",
      "last_activity": "2026-11-22T21:52:15.701455927Z",
      "rtt": "1.534589ms",
      "uptime": "0s",
      "idle": "0s",
      "pending_bytes": 0,
      "in_msgs": 3,
      "out_msgs": 4,
      "in_bytes": 15,
      "out_bytes": 17,
      "subscriptions": 2,
      "name": "alpha",
      "lang": "python3",
      "version": "2.16.0",
      "authorized_user": "u1",
      "subscriptions_list_detail": [
        {
          "subject": "foo.\u003e",
          "sid": "1",
          "msgs": 3,
          "cid": 5
        },
        {
          "subject": "work",
          "qgroup": "q1",
          "sid": "2",
          "msgs": 1,
          "cid": 5
        }
      ],
      "name_tag": "$G"
    },
    {
      "cid": 9,
      "kind": "Client",
      "type": "nats",
      "ip": "127.0.0.1",
      "port": 41346,
      "start": "2026-11-22T21:52:15.707960023Z",
      "last_activity": "2026-11-22T21:52:15.708058405Z",
      "rtt": "98µs",
      "uptime": "0s",
      "idle": "0s",
      "pending_bytes": 2000418,
      "in_msgs": 0,
      "out_msgs": 0,
      "in_bytes": 0,
      "out_bytes": 0,
      "stalls": 87,
      "subscriptions": 0,
      "account": "A",
      "name_tag": "A"
    }
  ]
}"#,
    );
}

#[test]
fn connz_of_closed_connections() {
    let head = r#"
{
  "server_id": "NBALXNGD",
  "now": "2026-11-22T21:52:16.211994804Z",
  "num_connections": 1,
  "total": 1,
  "offset": 0,
  "limit": 1024,
  "connections": [
    {
      "cid": 7,
      "kind": "Client",
      "type": "nats",
      "ip": "127.0.0.1",
      "port": 41322,
      "start": "2026-11-22T21:52:15.699415064Z",
      "last_activity": "2026-11-22T21:52:15.700791246Z",
      "stop": "2026-11-22T21:52:15.702150608Z",
      "reason": "Client Closed",
      "rtt": "498µs",
      "uptime": "0s",
      "idle": "0s",
      "pending_bytes": 0,
      "in_msgs": 0,
      "out_msgs": 0,
      "in_bytes": 0,
      "out_bytes": 0,
      "subscriptions": 1,
      "name": "gone",
      "lang": "python3",
      "version": "2.16.0",
"#;
    let subjects = r#"      "subscriptions_list": [
        "x.y"
      ]
    }
  ]
}"#;
    let details = r#"      "subscriptions_list_detail": [
        {
          "account": "$G",
          "account_tag": "$G",
          "subject": "x.y",
          "sid": "1",
          "msgs": 0,
          "cid": 7
        }
      ]
    }
  ]
}"#;
    assert_same(
        ask("/connz?state=closed&subs=1"),
        &format!("{head}{subjects}"),
    );
    assert_same(
        ask("/connz?state=closed&subs=detail&auth=1"),
        &format!("{head}{details}"),
    );
}

#[test]
fn connz_of_an_unknown_account() {
    assert_same(
        ask("/connz?acc=nope"),
        r#"
{
  "server_id": "",
  "now": "2026-11-22T21:52:16.211994804Z",
  "num_connections": 0,
  "total": 0,
  "offset": 0,
  "limit": 1024,
  "connections": null
}"#,
    );
}

#[test]
fn subsz() {
    let head = r#"
{
  "server_id": "NBALXNGD",
  "now": "2026-11-22T21:52:16.211994804Z",
  "num_subscriptions": 65,
  "num_cache": 7,
  "num_inserts": 66,
  "num_removes": 1,
  "num_matches": 15,
  "cache_hit_rate": 0.4,
  "max_fanout": 1,
  "avg_fanout": 0.5714285714285714,
"#;
    assert_same(
        ask("/subsz"),
        &format!("{head}  \"total\": 0,\n  \"offset\": 0,\n  \"limit\": 1024\n}}"),
    );
    let list = r#"  "total": 2,
  "offset": 1,
  "limit": 1,
  "subscriptions_list": [
    {
      "account": "$G",
      "account_tag": "$G",
      "subject": "lim",
      "sid": "3",
      "msgs": 0,
      "max": 5,
      "cid": 6
    }
  ]
}"#;
    assert_same(
        ask("/subscriptionsz?subs=1&limit=1&offset=1"),
        &format!("{head}{list}"),
    );
}

#[test]
fn accounts() {
    assert_same(
        ask("/accountz"),
        r#"
{
  "server_id": "NBALXNGD",
  "now": "2026-11-22T21:52:16.211994804Z",
  "system_account": "$SYS",
  "accounts": [
    "$G",
    "$SYS"
  ]
}"#,
    );
    assert_same(
        ask("/accountz?acc=$SYS"),
        r#"
{
  "server_id": "NBALXNGD",
  "now": "2026-11-22T21:52:16.211994804Z",
  "system_account": "$SYS",
  "account_detail": {
    "account_name": "$SYS",
    "update_time": "2026-11-22T21:52:14.704751252Z",
    "is_system": true,
    "expired": false,
    "complete": true,
    "jetstream_enabled": false,
    "leafnode_connections": 0,
    "client_connections": 0,
    "subscriptions": 9,
    "name_tag": "$SYS",
    "sublist_stats": {
      "num_subscriptions": 9,
      "num_cache": 0,
      "num_inserts": 10,
      "num_removes": 1,
      "num_matches": 2,
      "cache_hit_rate": 0,
      "max_fanout": 0,
      "avg_fanout": 0
    }
  }
}"#,
    );
    assert_same(
        ask("/accstatz"),
        r#"
{
  "server_id": "NBALXNGD",
  "now": "2026-11-22T21:52:16.211994804Z",
  "account_statz": [
    {
      "acc": "$G",
      "name": "$G",
      "conns": 3,
      "leafnodes": 0,
      "total_conns": 3,
      "num_subscriptions": 9,
      "sent": {
        "msgs": 9,
        "bytes": 36,
        "gateways": {
          "msgs": 0,
          "bytes": 0
        },
        "routes": {
          "msgs": 0,
          "bytes": 0
        },
        "leafs": {
          "msgs": 0,
          "bytes": 0
        }
      },
      "received": {
        "msgs": 6,
        "bytes": 21,
        "gateways": {
          "msgs": 0,
          "bytes": 0
        },
        "routes": {
          "msgs": 0,
          "bytes": 0
        },
        "leafs": {
          "msgs": 0,
          "bytes": 0
        }
      },
      "slow_consumers": 0
    }
  ]
}"#,
    );
}

#[test]
fn what_is_not_there() {
    let start = "{\n  \"server_id\": \"NBALXNGD\",\n";
    let now = "  \"now\": \"2026-11-22T21:52:16.211994804Z\",\n";
    assert_same(
        ask("/routez?subs=1"),
        &format!(
            "{start}  \"server_name\": \"my\\u003csrv\\u003e\\u0026\",\n{now}  \"num_routes\": 0,\n  \"routes\": []\n}}"
        ),
    );
    assert_same(
        ask("/gatewayz?accs=1"),
        &format!("{start}{now}  \"outbound_gateways\": {{}},\n  \"inbound_gateways\": {{}}\n}}"),
    );
    assert_same(
        ask("/leafz"),
        &format!("{start}{now}  \"leafnodes\": 0,\n  \"leafs\": []\n}}"),
    );
    assert_same(
        ask("/jsz?accounts=1"),
        r#"
{
  "memory": 0,
  "storage": 0,
  "reserved_memory": 0,
  "reserved_storage": 0,
  "accounts": 0,
  "ha_assets": 0,
  "api": {
    "level": 0,
    "total": 0,
    "errors": 0
  },
  "server_id": "NBALXNGD",
  "now": "2026-11-22T21:52:16.211994804Z",
  "disabled": true,
  "config": {
    "max_memory": 0,
    "max_storage": 0
  },
  "streams": 0,
  "consumers": 0,
  "messages": 0,
  "bytes": 0,
  "total": 0
}"#,
    );
}
