//! The JSON options of requests, as nats-server decodes them.
//!
//! Each endpoint's options become the query that the monitoring port would have been asked with.
//! All of them, save those of actions, may name the servers that are to answer.

use crate::broker::ServerIdentity;
use crate::jetstream::json::{self, Decode, JsonError, Node, Place};
use crate::monitor::query::Query;

/// Which servers are to answer: those that pass all that is given.
#[derive(Default)]
pub struct Filter {
    server_name: String,
    cluster: String,
    host: String,
    exact_match: bool,
    tags: Vec<String>,
    domain: String,
}

impl Filter {
    /// Whether this server is among them.
    pub fn passes(&self, server: &ServerIdentity) -> bool {
        let text = |asked: &str, own: &str| {
            asked.is_empty()
                || if self.exact_match {
                    own == asked
                } else {
                    own.contains(asked)
                }
        };
        let tagged = |tag: &String| server.tags.iter().any(|own| own.eq_ignore_ascii_case(tag));
        text(&self.server_name, &server.server_name)
            && text(&self.host, &server.host)
            // A server alone has no cluster.
            && self.cluster.is_empty()
            && self.tags.iter().all(tagged)
            && (self.domain.is_empty() || self.domain == server.domain)
    }
}

/// Options of any endpoint, by name and kind.
pub struct Options {
    root: &'static str,
    go_type: &'static str,
    kinds: &'static [(&'static str, Kind, &'static str)],
    pub filter: Filter,
    pub query: Query,
    pub accounts: Vec<String>,
}

/// What a value must be.
#[derive(Clone, Copy)]
pub enum Kind {
    Bool,
    Int,
    Uint,
    Text,
    /// Of connections: 0 open, 1 closed, 2 both.
    State,
    /// `true` lists in detail.
    Detail,
    /// Names of accounts.
    Accounts,
}

/// The endpoints' options: name of the type in nats-server, and name, kind and name in the query
/// of each option. Options of which this server knows nothing are checked and go no further.
pub type Table = (
    &'static str,
    &'static str,
    &'static [(&'static str, Kind, &'static str)],
);

macro_rules! table {
    ($name:literal, $kinds:expr) => {
        ($name, concat!("server.", $name), $kinds)
    };
}

pub const STATSZ: Table = table!("StatszEventOptions", &[]);
pub const VARZ: Table = table!("VarzEventOptions", &[]);
pub const CONNZ: Table = table!(
    "ConnzEventOptions",
    &[
        ("sort", Kind::Text, "sort"),
        ("auth", Kind::Bool, "auth"),
        ("subscriptions", Kind::Bool, "subs"),
        ("subscriptions_detail", Kind::Detail, "subs"),
        ("offset", Kind::Int, "offset"),
        ("limit", Kind::Int, "limit"),
        ("cid", Kind::Uint, "cid"),
        ("mqtt_client", Kind::Text, "mqtt_client"),
        ("state", Kind::State, "state"),
        ("user", Kind::Text, "user"),
        ("acc", Kind::Text, "acc"),
        ("filter_subject", Kind::Text, "filter_subject"),
    ]
);
pub const SUBSZ: Table = table!(
    "SubszEventOptions",
    &[
        ("offset", Kind::Int, "offset"),
        ("limit", Kind::Int, "limit"),
        ("subscriptions", Kind::Bool, "subs"),
        ("account", Kind::Text, "acc"),
        ("test", Kind::Text, "test"),
    ]
);
pub const ROUTEZ: Table = table!(
    "RoutezEventOptions",
    &[
        ("subscriptions", Kind::Bool, ""),
        ("subscriptions_detail", Kind::Bool, ""),
    ]
);
pub const GATEWAYZ: Table = table!(
    "GatewayzEventOptions",
    &[
        ("name", Kind::Text, ""),
        ("accounts", Kind::Bool, ""),
        ("account_name", Kind::Text, ""),
        ("subscriptions", Kind::Bool, ""),
        ("subscriptions_detail", Kind::Bool, ""),
    ]
);
pub const LEAFZ: Table = table!(
    "LeafzEventOptions",
    &[
        ("subscriptions", Kind::Bool, ""),
        ("account", Kind::Text, ""),
    ]
);
pub const ACCOUNTZ: Table = table!("AccountzEventOptions", &[("account", Kind::Text, "acc")]);
pub const STATZ: Table = table!(
    "AccountStatzEventOptions",
    &[
        ("accounts", Kind::Accounts, ""),
        ("include_unused", Kind::Bool, "unused"),
    ]
);
pub const JSZ: Table = table!(
    "JszEventOptions",
    &[
        ("account", Kind::Text, "acc"),
        ("accounts", Kind::Bool, "accounts"),
        ("streams", Kind::Bool, "streams"),
        ("consumer", Kind::Bool, "consumers"),
        ("direct_consumer", Kind::Bool, "direct-consumers"),
        ("config", Kind::Bool, "config"),
        ("leader_only", Kind::Bool, "leader-only"),
        ("offset", Kind::Int, "offset"),
        ("limit", Kind::Int, "limit"),
        ("raft", Kind::Bool, "raft"),
        ("stream_leader_only", Kind::Bool, "stream-leader-only"),
    ]
);
pub const HEALTHZ: Table = table!(
    "HealthzEventOptions",
    &[
        ("js-enabled", Kind::Bool, "js-enabled"),
        ("js-enabled-only", Kind::Bool, "js-enabled-only"),
        ("js-server-only", Kind::Bool, "js-server-only"),
        ("js-meta-only", Kind::Bool, "js-meta-only"),
        ("account", Kind::Text, "account"),
        ("stream", Kind::Text, "stream"),
        ("consumer", Kind::Text, "consumer"),
        ("details", Kind::Bool, "details"),
    ]
);
pub const PROFILEZ: Table = table!(
    "ProfilezEventOptions",
    &[("name", Kind::Text, "name"), ("debug", Kind::Int, "")]
);
pub const EXPVARZ: Table = table!("ExpvarzEventOptions", &[]);
pub const IPQUEUESZ: Table = table!(
    "IpqueueszEventOptions",
    &[("all", Kind::Bool, ""), ("filter", Kind::Text, "")]
);
pub const RAFTZ: Table = table!(
    "RaftzEventOptions",
    &[("account", Kind::Text, ""), ("group", Kind::Text, "")]
);
/// Of requests about one account that have no others: only who is to answer.
pub const FILTER_ONLY: Table = table!("EventFilterOptions", &[]);

impl Options {
    /// Reads the payload of a request.
    ///
    /// # Errors
    /// The text of error 400.
    pub fn read(table: Table, payload: &[u8]) -> Result<Self, JsonError> {
        let (root, go_type, kinds) = table;
        let mut options = Self {
            root,
            go_type,
            kinds,
            filter: Filter::default(),
            query: Query::default(),
            accounts: Vec::new(),
        };
        match json::decode(&mut options, payload, root, false) {
            Ok(()) => Ok(options),
            // JetStream's decoder says where; here nats-server does not.
            Err(JsonError(text)) => Err(JsonError(match text.find(" at offset ") {
                Some(at) => text[..at].to_owned(),
                None => text,
            })),
        }
    }

    fn set(&mut self, name: &str, node: &Node<'_>, place: &Place<'_>) -> Result<(), JsonError> {
        let filter = &mut self.filter;
        match name {
            "server_name" => return filter.server_name.decode(node, place),
            "cluster" => return filter.cluster.decode(node, place),
            "host" => return filter.host.decode(node, place),
            "exact_match" => return filter.exact_match.decode(node, place),
            "tags" => return filter.tags.decode(node, place),
            "domain" => return filter.domain.decode(node, place),
            _ => {}
        }
        let Some(&(_, kind, query)) = self.kinds.iter().find(|(known, ..)| *known == name) else {
            return Ok(());
        };
        match kind {
            Kind::Bool | Kind::Detail => {
                let mut value = false;
                value.decode(node, place)?;
                if value && matches!(kind, Kind::Detail) {
                    // Wins over a plain list, which may have come first.
                    self.query.replace(query, "detail");
                } else if value {
                    self.query.set(query, "true");
                }
            }
            Kind::Int => {
                let mut value = 0;
                json::int(&mut value, node, place)?;
                self.query.set(query, value);
            }
            Kind::Uint => {
                let mut value = 0_u64;
                value.decode(node, place)?;
                self.query.set(query, value);
            }
            Kind::Text => {
                let mut value = String::new();
                value.decode(node, place)?;
                self.query.set(query, value);
            }
            Kind::State => {
                let mut value = 0;
                json::int(&mut value, node, place)
                    .map_err(|_| place.mismatch(node, "server.ConnState"))?;
                let state = match value {
                    1 => "closed",
                    2 => "all",
                    _ => "open",
                };
                self.query.set(query, state);
            }
            Kind::Accounts => self.accounts.decode(node, place)?,
        }
        Ok(())
    }
}

const FILTERS: [&str; 6] = [
    "server_name",
    "cluster",
    "host",
    "exact_match",
    "tags",
    "domain",
];

impl Decode for Options {
    fn decode(&mut self, node: &Node<'_>, place: &Place<'_>) -> Result<(), JsonError> {
        let fields = match &node.value {
            json::Value::Null => return Ok(()),
            json::Value::Object(fields) => fields,
            _ => return Err(place.mismatch(node, self.go_type)),
        };
        for (name, value) in fields {
            let names = || self.kinds.iter().map(|(n, ..)| *n).chain(FILTERS);
            let known = names()
                .find(|known| *known == name.as_ref())
                .or_else(|| names().find(|known| known.eq_ignore_ascii_case(name)));
            if let Some(known) = known {
                self.set(known, value, &place.field(known))?;
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct(self.root)
            .field("query", &self.query)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> ServerIdentity {
        ServerIdentity {
            server_name: "srv".into(),
            host: "127.0.0.1".into(),
            domain: "hub".into(),
            tags: vec!["az:1".into(), "x".into()],
            ..ServerIdentity::default()
        }
    }

    // As nats-server 2.15.1 answered or kept silent.
    #[test]
    fn filters_choose_servers() {
        for (payload, passes) in [
            ("", true),
            ("{}", true),
            (r#"{"name":"x"}"#, true),
            (r#"{"server_name":"srv"}"#, true),
            (r#"{"server_name":"sr"}"#, true),
            (r#"{"server_name":"nope"}"#, false),
            (r#"{"server_name":"sr","exact_match":true}"#, false),
            (r#"{"exact_match":true,"server_name":"srv"}"#, true),
            (r#"{"host":"127.0"}"#, true),
            (r#"{"host":"1.1"}"#, false),
            (r#"{"cluster":"x"}"#, false),
            (r#"{"tags":["AZ:1"]}"#, true),
            (r#"{"tags":["az:2"]}"#, false),
            (r#"{"domain":"hub"}"#, true),
            (r#"{"domain":"x"}"#, false),
        ] {
            let options = Options::read(STATSZ, payload.as_bytes()).expect(payload);
            assert_eq!(options.filter.passes(&server()), passes, "{payload}");
        }
    }

    #[test]
    fn errors_are_those_of_go() {
        for (table, payload, text) in [
            (
                STATSZ,
                "{bad",
                "invalid character 'b' looking for beginning of object key string",
            ),
            (
                STATSZ,
                "[]",
                "json: cannot unmarshal array into Go value of type server.StatszEventOptions",
            ),
            (
                HEALTHZ,
                "\"x\"",
                "json: cannot unmarshal string into Go value of type server.HealthzEventOptions",
            ),
            (
                CONNZ,
                r#"{"limit":"x"}"#,
                "json: cannot unmarshal string into Go struct field ConnzEventOptions.limit of type int",
            ),
            (
                CONNZ,
                r#"{"state":"closed"}"#,
                "json: cannot unmarshal string into Go struct field ConnzEventOptions.state of type server.ConnState",
            ),
        ] {
            let error = Options::read(table, payload.as_bytes()).expect_err(payload);
            assert_eq!(error.0, text);
        }
    }

    #[test]
    fn options_become_queries() {
        let payload =
            br#"{"subscriptions_detail":true,"subscriptions":true,"acc":"A","state":2,"CID":7}"#;
        let options = Options::read(CONNZ, payload).expect("good");
        assert_eq!(options.query.text("subs"), "detail");
        assert_eq!(options.query.text("acc"), "A");
        assert_eq!(options.query.text("state"), "all");
        assert_eq!(options.query.text("cid"), "7");
        let options = Options::read(STATZ, br#"{"accounts":["A","B"]}"#).expect("good");
        assert_eq!(options.accounts, ["A", "B"]);
    }
}
