//! The INFO that the server sends: first on every connection, and later when something changes.

use serde::Serialize;
use serde::de::IgnoredAny;

use super::go_json;

/// Contents of an INFO, in nats-server's order of fields. Optional ones are left out when false,
/// zero or empty.
///
/// Cheap to copy: keep one with what all connections share, and fill in the rest for each:
/// `ServerInfo { client_id, client_ip, ..shared }`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ServerInfo<'a> {
    /// Public nkey of this process, `N...`.
    pub server_id: &'a str,
    /// Configured name, else the id; no spaces.
    pub server_name: &'a str,
    /// Semantic version; clients gate features on it.
    pub version: &'a str,
    /// 1 towards clients.
    pub proto: i32,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub git_commit: &'a str,
    /// Never left out, though no Go is involved.
    pub go: &'a str,
    pub host: &'a str,
    pub port: u16,
    /// False only with `no_header_support`.
    pub headers: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub auth_required: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub tls_required: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub tls_verify: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub tls_available: bool,
    /// Bytes of headers and payload; -1 means unlimited.
    pub max_payload: i64,
    #[serde(skip_serializing_if = "is_false")]
    pub jetstream: bool,
    /// Connection id, from 1.
    #[serde(skip_serializing_if = "is_zero")]
    pub client_id: u64,
    /// Peer address as the server sees it.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub client_ip: &'a str,
    /// To be signed by clients with nkeys.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub nonce: &'a str,
    /// Name of the cluster.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub cluster: &'a str,
    #[serde(skip_serializing_if = "is_false")]
    pub cluster_dynamic: bool,
    /// JetStream domain.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub domain: &'a str,
    /// `host:port` of servers to reconnect to; for WebSocket clients those of their kind.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub connect_urls: &'a [String],
    /// Lame duck mode: the server is about to go.
    #[serde(skip_serializing_if = "is_false")]
    pub ldm: bool,
    /// Marks the INFO after the first PING as the answer to CONNECT.
    #[serde(skip_serializing_if = "is_false")]
    pub connect_info: bool,
    /// Account that the connection is bound to, in that INFO.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub remote_account: &'a str,
    /// Bound to the system account.
    #[serde(skip_serializing_if = "is_false")]
    pub acc_is_sys: bool,
    /// JetStream API level; 0 is left out.
    #[serde(skip_serializing_if = "is_zero")]
    pub api_lvl: u64,
    /// Public x25519 key of the server, `X...`.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub xkey: &'a str,
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

impl ServerInfo<'_> {
    /// Appends `INFO {json} \r\n`; the blank before CRLF is nats-server's.
    pub fn render(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"INFO ");
        let written = go_json::append(out, self);
        debug_assert!(
            written.is_ok(),
            "strings, numbers and booleans always encode"
        );
        out.extend_from_slice(b" \r\n");
    }
}

/// Whether an INFO from a client is ignored; otherwise the connection is closed in silence.
///
/// Known difference: the real server also closes for known fields of the wrong type.
pub fn tolerated_from_client(json: &[u8]) -> bool {
    let first = json.iter().find(|byte| !byte.is_ascii_whitespace());
    matches!(first, Some(b'{' | b'n')) && serde_json::from_slice::<IgnoredAny>(json).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(info: &ServerInfo<'_>) -> String {
        let mut out = Vec::new();
        info.render(&mut out);
        String::from_utf8(out).unwrap()
    }

    /// As captured from nats-server 2.15.1, values shortened.
    #[test]
    fn renders_as_the_real_server_does() {
        let shared = ServerInfo {
            server_id: "NA",
            server_name: "srv<1>",
            version: "2.15.1",
            proto: 1,
            git_commit: "b2fd3ef",
            go: "go1.27.2",
            host: "127.0.0.1",
            port: 37907,
            headers: true,
            max_payload: 1_048_576,
            api_lvl: 5,
            xkey: "XA",
            ..ServerInfo::default()
        };
        let first = ServerInfo {
            jetstream: true,
            client_id: 6,
            client_ip: "127.0.0.1",
            ..shared
        };
        let expected = concat!(
            r#"INFO {"server_id":"NA","server_name":"srv\u003c1\u003e","version":"2.15.1","#,
            r#""proto":1,"git_commit":"b2fd3ef","go":"go1.27.2","host":"127.0.0.1","port":37907,"#,
            r#""headers":true,"max_payload":1048576,"jetstream":true,"client_id":6,"#,
            r#""client_ip":"127.0.0.1","api_lvl":5,"xkey":"XA"} "#,
            "\r\n"
        );
        assert_eq!(rendered(&first), expected);
        let urls = ["a:1".to_owned(), "b:2".to_owned()];
        let later = rendered(&ServerInfo {
            auth_required: true,
            max_payload: -1,
            cluster: "c",
            connect_urls: &urls,
            ldm: true,
            connect_info: true,
            remote_account: "$G",
            acc_is_sys: true,
            ..shared
        });
        assert!(later.contains(r#""headers":true,"auth_required":true,"max_payload":-1"#));
        let expected = concat!(
            r#""cluster":"c","connect_urls":["a:1","b:2"],"ldm":true,"connect_info":true,"#,
            r#""remote_account":"$G","acc_is_sys":true,"api_lvl":5"#
        );
        assert!(later.contains(expected), "{later}");
    }

    #[test]
    fn tolerates_objects_and_null() {
        for json in ["{}", " {\"a\":[1]} ", "null"] {
            assert!(tolerated_from_client(json.as_bytes()), "{json}");
        }
        for json in ["", "junk", "[]", "5", "{\"x\":1}x", "nul"] {
            assert!(!tolerated_from_client(json.as_bytes()), "{json}");
        }
    }
}
