//! The reply to `$SYS.REQ.USER.INFO`.
//!
//! Field names, their order and their absence are those of nats-server 2.15.1.

use std::io;

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter};

use super::Identity;
use crate::broker::ServerStamp;
use crate::broker::permissions::{PermissionRules, ResponseRule, SubjectRules};

/// The reply to a connection of this identity.
pub fn user_info_json(server: &ServerStamp, identity: &Identity) -> String {
    let token = identity.token.as_deref();
    let reply = Reply {
        server,
        data: UserInfo {
            user: &identity.user,
            account: &identity.account,
            account_name: token.map_or(&identity.account, |token| &token.account_name),
            user_name: token.map_or("", |token| &token.user_name),
            permissions: identity
                .permissions
                .as_ref()
                .map(|permissions| PermissionsInfo::from(permissions.rules())),
        },
    };
    let mut json = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut json, HtmlSafe);
    // Strings, numbers and structs written to memory: neither half can fail.
    match reply.serialize(&mut serializer) {
        Ok(()) => String::from_utf8(json).unwrap_or_default(),
        Err(_) => String::new(),
    }
}

#[derive(Serialize)]
struct Reply<'a> {
    server: &'a ServerStamp,
    data: UserInfo<'a>,
}

#[derive(Serialize)]
struct UserInfo<'a> {
    user: &'a str,
    account: &'a str,
    /// As `account`, unless claims name it.
    account_name: &'a str,
    /// As claims name the user.
    #[serde(skip_serializing_if = "str::is_empty")]
    user_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    permissions: Option<PermissionsInfo>,
}

#[derive(Serialize)]
struct PermissionsInfo {
    publish: SubjectsInfo,
    subscribe: SubjectsInfo,
    #[serde(skip_serializing_if = "Option::is_none")]
    responses: Option<ResponsesInfo>,
}

#[derive(Default, Serialize)]
struct SubjectsInfo {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    allow: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    deny: Vec<String>,
}

#[derive(Serialize)]
struct ResponsesInfo {
    max: i64,
    /// Nanoseconds.
    #[serde(rename = "ttl")]
    expires_nanos: i64,
}

impl From<PermissionRules> for PermissionsInfo {
    fn from(rules: PermissionRules) -> Self {
        Self {
            publish: rules.publish.unwrap_or_default().into(),
            subscribe: rules.subscribe.unwrap_or_default().into(),
            responses: rules.allow_responses.map(Into::into),
        }
    }
}

impl From<SubjectRules> for SubjectsInfo {
    fn from(rules: SubjectRules) -> Self {
        Self {
            allow: rules.allow.unwrap_or_default(),
            deny: rules.deny,
        }
    }
}

impl From<ResponseRule> for ResponsesInfo {
    fn from(rule: ResponseRule) -> Self {
        Self {
            max: rule.max,
            expires_nanos: rule.expires_nanos,
        }
    }
}

/// Escapes what Go's encoder escapes so that JSON may stand in HTML.
struct HtmlSafe;

impl Formatter for HtmlSafe {
    fn write_string_fragment<W>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()>
    where
        W: ?Sized + io::Write,
    {
        let mut plain = CompactFormatter;
        let mut rest = fragment;
        while let Some(at) = rest.find(['<', '>', '&', '\u{2028}', '\u{2029}']) {
            plain.write_string_fragment(writer, &rest[..at])?;
            let mut chars = rest[at..].chars();
            if let Some(special) = chars.next() {
                write!(writer, "\\u{:04x}", u32::from(special))?;
            }
            rest = chars.as_str();
        }
        plain.write_string_fragment(writer, rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use crate::broker::permissions::Permissions;

    fn server() -> ServerStamp {
        ServerStamp {
            name: "n".into(),
            host: "127.0.0.1".into(),
            id: "NA".into(),
            cluster: String::new(),
            domain: String::new(),
            ver: "2.15.1".into(),
            tags: Vec::new(),
            metadata: std::collections::BTreeMap::new(),
            jetstream: false,
            flags: 0,
            seq: 9,
            time: "2026-11-22T21:58:01.281026217Z".into(),
        }
    }

    fn data(user: &str, permissions: Option<&PermissionRules>) -> String {
        let identity = Identity {
            user: user.into(),
            permissions: permissions.map(|rules| Arc::new(Permissions::new(rules).unwrap())),
            ..Identity::default()
        };
        let json = user_info_json(&server(), &identity);
        let head = concat!(
            r#"{"server":{"name":"n","host":"127.0.0.1","id":"NA","ver":"2.15.1","#,
            r#""jetstream":false,"flags":0,"seq":9,"time":"2026-11-22T21:58:01.281026217Z"},"#,
            r#""data":"#
        );
        let data = json
            .strip_prefix(head)
            .and_then(|rest| rest.strip_suffix('}'));
        data.unwrap_or_else(|| panic!("{json}")).to_owned()
    }

    fn subjects(allow: &[&str], deny: &[&str]) -> Option<SubjectRules> {
        let owned = |list: &[&str]| list.iter().map(|&entry| entry.to_owned()).collect();
        Some(SubjectRules {
            allow: Some(owned(allow)),
            deny: owned(deny),
        })
    }

    #[test]
    fn without_permissions() {
        assert_eq!(
            data("", None),
            r#"{"user":"","account":"$G","account_name":"$G"}"#
        );
        assert_eq!(
            data("a\"é<\u{2028}", None),
            r#"{"user":"a\"é\u003c\u2028","account":"$G","account_name":"$G"}"#
        );
    }

    #[test]
    fn with_permissions() {
        let rules = PermissionRules {
            publish: subjects(&[], &["x"]),
            subscribe: subjects(&["zz.>", "foo  q"], &[]),
            allow_responses: None,
        };
        assert_eq!(
            data("u", Some(&rules)),
            concat!(
                r#"{"user":"u","account":"$G","account_name":"$G","permissions":{"#,
                r#""publish":{"deny":["x"]},"subscribe":{"allow":["zz.\u003e","foo q"]}}}"#
            )
        );
        assert_eq!(
            data("u", Some(&PermissionRules::default())),
            concat!(
                r#"{"user":"u","account":"$G","account_name":"$G","permissions":{"#,
                r#""publish":{},"subscribe":{}}}"#
            )
        );
    }

    #[test]
    fn with_responses() {
        let rules = PermissionRules {
            publish: subjects(&["a"], &[]),
            subscribe: None,
            allow_responses: Some(ResponseRule::default()),
        };
        assert_eq!(
            data("u", Some(&rules)),
            concat!(
                r#"{"user":"u","account":"$G","account_name":"$G","permissions":{"#,
                r#""publish":{"allow":["a"]},"subscribe":{},"#,
                r#""responses":{"max":1,"ttl":120000000000}}}"#
            )
        );
    }
}
