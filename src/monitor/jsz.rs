//! `/jsz`: JetStream's figures, and the parts of varz and healthz that are about it.

use serde::Serialize;
use serde_json::value::RawValue;

use super::format;
use super::query::{BadValue, Query};
use super::response::Response;
use super::snapshot::{JetStreamSnapshot, ServerSnapshot, StreamSnapshot};

/// Accounts of a page unless `limit` says otherwise, as nats-server.
const DEFAULT_LIMIT: usize = 1024;

/// The options of one request, checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JszQuery {
    account: String,
    accounts: bool,
    streams: bool,
    consumers: bool,
    config: bool,
    offset: usize,
    limit: usize,
}

impl JszQuery {
    /// Checks the options in the order nats-server does.
    pub fn parse(query: &Query) -> Result<Self, BadValue> {
        let accounts = query.bool("accounts")?;
        let streams = query.bool("streams")?;
        let consumers = query.bool("consumers")?;
        query.bool("direct-consumers")?;
        let config = query.bool("config")?;
        query.bool("leader-only")?;
        query.bool("stream-leader-only")?;
        query.bool("raft")?;
        let number = |name| Ok(usize::try_from(query.int(name)?).unwrap_or(0));
        let offset = number("offset")?;
        let limit = number("limit")?;
        Ok(Self {
            account: query.text("acc"),
            accounts: accounts || streams || consumers,
            streams: streams || consumers,
            consumers,
            config,
            offset,
            limit: if limit == 0 { DEFAULT_LIMIT } else { limit },
        })
    }

    /// Whether the answer lists streams.
    pub fn needs_streams(&self) -> bool {
        self.streams || !self.account.is_empty()
    }

    /// JetStream's figures; without JetStream the answer says that it is disabled.
    pub fn respond(&self, server: &ServerSnapshot) -> Response {
        let Some(js) = &server.jetstream else {
            return Response::json(&Jsz {
                now: format::rfc3339(server.now),
                server_id: &server.server_id,
                disabled: true,
                ..Jsz::default()
            });
        };
        let mut answer = Jsz {
            stats: Stats::of(js),
            server_id: &server.server_id,
            now: format::rfc3339(server.now),
            config: Config::of(js),
            limits: Some(Limits::of(js)),
            streams: js.streams,
            consumers: js.consumers,
            messages: js.messages,
            bytes: js.bytes,
            total: js.accounts.len() as u64,
            ..Jsz::default()
        };
        if self.needs_streams() {
            answer.streams_leader = js.streams;
            answer.consumers_leader = js.consumers;
        }
        if self.accounts || !self.account.is_empty() {
            let chosen = js
                .accounts
                .iter()
                .filter(|a| self.account.is_empty() || a.name == self.account)
                .skip(self.offset)
                .take(self.limit);
            answer.account_details = chosen
                .map(|account| AccountDetail {
                    name: &account.name,
                    id: &account.name,
                    memory: account.memory,
                    storage: account.storage,
                    // nats-server shows its "no limit", -1, without a sign.
                    reserved_memory: account.reserved_memory,
                    reserved_storage: account.reserved_storage,
                    accounts: 0,
                    ha_assets: 0,
                    api: Api {
                        level: 0,
                        total: account.api_total,
                        errors: account.api_errors,
                    },
                    stream_detail: if self.needs_streams() {
                        account
                            .streams
                            .iter()
                            .map(|s| self.stream(s, server))
                            .collect()
                    } else {
                        Vec::new()
                    },
                })
                .collect();
        }
        Response::json_indented(&answer)
    }

    fn stream<'a>(
        &self,
        stream: &'a StreamSnapshot,
        server: &'a ServerSnapshot,
    ) -> StreamDetail<'a> {
        StreamDetail {
            name: &stream.name,
            created: format::rfc3339(stream.created),
            cluster: Cluster {
                leader: &server.server_name,
            },
            config: self.config.then(|| raw(&stream.config)).flatten(),
            state: raw(&stream.state),
            consumer_detail: if self.consumers {
                stream
                    .consumers
                    .iter()
                    .filter_map(|c| raw(&c.info))
                    .collect()
            } else {
                Vec::new()
            },
        }
    }
}

/// JSON that JetStream rendered; left out if it is not JSON.
fn raw(json: &str) -> Option<Box<RawValue>> {
    RawValue::from_string(json.to_owned()).ok()
}

#[derive(Debug, Serialize, Default)]
struct Api {
    level: u64,
    total: u64,
    errors: u64,
}

#[derive(Debug, Serialize, Default)]
struct Stats {
    memory: u64,
    storage: u64,
    reserved_memory: u64,
    reserved_storage: u64,
    accounts: u64,
    ha_assets: u64,
    api: Api,
}

impl Stats {
    fn of(js: &JetStreamSnapshot) -> Self {
        Self {
            memory: js.memory,
            storage: js.storage,
            reserved_memory: js.reserved_memory,
            reserved_storage: js.reserved_storage,
            accounts: js.accounts.len() as u64,
            ha_assets: 0,
            api: Api {
                level: js.api_level,
                total: js.api_total,
                errors: js.api_errors,
            },
        }
    }
}

#[derive(Debug, Serialize, Default)]
struct Config {
    max_memory: i64,
    max_storage: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    store_dir: String,
    /// Nanoseconds; 0: flushed before each acknowledgement.
    #[serde(skip_serializing_if = "is_zero")]
    sync_interval: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    sync_always: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    domain: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    strict: bool,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Config {
    fn of(js: &JetStreamSnapshot) -> Self {
        Self {
            max_memory: js.max_memory,
            max_storage: js.max_storage,
            store_dir: js.store_dir.clone(),
            sync_interval: js.sync_interval,
            sync_always: js.sync_interval == 0,
            domain: js.domain.clone(),
            strict: js.strict,
        }
    }
}

#[derive(Debug, Serialize)]
struct Limits {
    #[serde(skip_serializing_if = "is_not_positive")]
    max_ack_pending: i64,
    #[serde(skip_serializing_if = "is_not_positive")]
    max_request_batch: i64,
    #[serde(skip_serializing_if = "is_not_positive")]
    default_max_consumers: i64,
}

fn is_not_positive(number: &i64) -> bool {
    *number <= 0
}

impl Limits {
    fn of(js: &JetStreamSnapshot) -> Self {
        Self {
            max_ack_pending: js.max_ack_pending,
            max_request_batch: js.max_request_batch,
            default_max_consumers: js.default_max_consumers,
        }
    }
}

#[derive(Serialize, Default)]
struct Jsz<'a> {
    #[serde(flatten)]
    stats: Stats,
    server_id: &'a str,
    now: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    disabled: bool,
    config: Config,
    #[serde(skip_serializing_if = "Option::is_none")]
    limits: Option<Limits>,
    streams: u64,
    #[serde(skip_serializing_if = "is_zero")]
    streams_leader: u64,
    consumers: u64,
    #[serde(skip_serializing_if = "is_zero")]
    consumers_leader: u64,
    messages: u64,
    bytes: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    account_details: Vec<AccountDetail<'a>>,
    total: u64,
}

#[derive(Serialize)]
struct AccountDetail<'a> {
    name: &'a str,
    id: &'a str,
    memory: u64,
    storage: u64,
    reserved_memory: u64,
    reserved_storage: u64,
    accounts: u64,
    ha_assets: u64,
    api: Api,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stream_detail: Vec<StreamDetail<'a>>,
}

#[derive(Serialize)]
struct Cluster<'a> {
    leader: &'a str,
}

#[derive(Serialize)]
struct StreamDetail<'a> {
    name: &'a str,
    created: String,
    cluster: Cluster<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    consumer_detail: Vec<Box<RawValue>>,
}

/// The value of `jetstream` in varz: an empty map without JetStream.
#[derive(Debug, Serialize, Default)]
pub(super) struct VarzJetStream {
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<Config>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stats: Option<Stats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limits: Option<Limits>,
}

impl VarzJetStream {
    pub fn new(js: Option<&JetStreamSnapshot>) -> Self {
        js.map_or_else(Self::default, |js| Self {
            config: Some(Config::of(js)),
            stats: Some(Stats::of(js)),
            limits: Some(Limits::of(js)),
        })
    }

    /// The same without where on the host the store is: system messages do not tell.
    pub fn without_place(js: &JetStreamSnapshot) -> Self {
        let mut own = Self::new(Some(js));
        if let Some(config) = &mut own.config {
            config.store_dir = String::new();
        }
        own
    }
}

#[cfg(test)]
mod tests {
    use super::super::snapshot::{ConsumerSnapshot, JetStreamAccountSnapshot};
    use super::*;

    fn server() -> ServerSnapshot {
        ServerSnapshot {
            server_id: "ID".into(),
            server_name: "name".into(),
            jetstream: Some(JetStreamSnapshot {
                max_memory: 10,
                max_storage: 20,
                store_dir: "/s/jetstream".into(),
                strict: true,
                default_max_consumers: 1000,
                api_level: 5,
                api_total: 2,
                streams: 1,
                consumers: 1,
                messages: 5,
                bytes: 215,
                storage: 215,
                accounts: vec![JetStreamAccountSnapshot {
                    name: "$G".into(),
                    storage: 215,
                    api_total: 2,
                    streams: vec![StreamSnapshot {
                        name: "S".into(),
                        config: r#"{"name":"S","subjects":["a.<"]}"#.into(),
                        state: r#"{"messages":5}"#.into(),
                        consumers: vec![ConsumerSnapshot {
                            name: "C".into(),
                            info: r#"{"name":"C","list":[]}"#.into(),
                        }],
                        ..StreamSnapshot::default()
                    }],
                    ..JetStreamAccountSnapshot::default()
                }],
                ..JetStreamSnapshot::default()
            }),
            ..ServerSnapshot::default()
        }
    }

    fn ask(query: &str) -> String {
        let query = JszQuery::parse(&Query::parse(query)).expect("good");
        let response = query.respond(&server());
        String::from_utf8(response.body).expect("text")
    }

    #[test]
    fn details_come_when_asked_for() {
        let plain = ask("");
        assert!(!plain.contains("account_details"));
        assert!(
            plain.contains("\n  \"config\": {\n    \"max_memory\": 10,"),
            "{plain}"
        );
        let accounts = ask("accounts=1");
        assert!(accounts.contains("\"account_details\"") && !accounts.contains("stream_detail"));
        let all = ask("consumers=1&config=1");
        assert!(all.contains("\"streams_leader\": 1"), "{all}");
        assert!(
            all.contains("          \"config\": {\n            \"name\": \"S\",\n            \"subjects\": [\n              \"a.\\u003c\"\n            ]\n          }"),
            "{all}"
        );
        assert!(all.contains("\"list\": []"), "{all}");
        assert!(!ask("acc=nope").contains("account_details"));
    }
}
