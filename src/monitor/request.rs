//! From a target to an endpoint, and from a snapshot to its answer.

use std::collections::BTreeMap;

use super::connz::ConnzQuery;
use super::health::HealthQuery;
use super::jsz::JszQuery;
use super::query::{Query, percent_decode};
use super::response::Response;
use super::snapshot::Snapshot;
use super::subsz::SubszQuery;
use super::{absent, accounts, corez, index, metrics, varz};

/// A request that has been understood, its options checked.
#[derive(Debug, Clone)]
pub struct Request {
    endpoint: Endpoint,
    /// Its name in `http_req_stats`; `None` if nothing is found there.
    name: Option<&'static str>,
}

#[derive(Debug, Clone)]
enum Endpoint {
    Index {
        base_path: String,
    },
    Varz,
    Connz(Box<ConnzQuery>),
    Subsz(SubszQuery),
    Healthz(HealthQuery),
    Accountz(Option<String>),
    Accstatz {
        unused: bool,
        /// Empty: all.
        only: Vec<String>,
    },
    Routez,
    Gatewayz,
    Leafz,
    Jsz(JszQuery),
    Metrics,
    Corez,
    /// The answer is known without a snapshot.
    Fixed(Response),
}

/// Which parts of a [`Snapshot`] an answer is made of, besides the server's own figures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Needs<'a> {
    /// Connections, to be picked with [`super::connz::Collector`]: open ones if
    /// `state.open()`, closed ones if `state.closed()`, subscriptions as `subs` says.
    pub connections: Option<&'a ConnzQuery>,
    /// The index' figures and the first [`SubszQuery::keep`] subscriptions.
    pub subscriptions: Option<&'a SubszQuery>,
    pub accounts: bool,
    /// Figures of each core.
    pub cores: bool,
    pub slow_consumers: bool,
    /// The streams of each account, with their consumers.
    pub streams: bool,
}

impl Request {
    /// Understands a target such as `/connz?limit=5`. `base_path` is `http_base_path` of the
    /// configuration: empty, or like `/base`.
    ///
    /// Every target yields a request: what is wrong with it is its answer.
    pub fn parse(target: &str, base_path: &str) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let Some(path) = percent_decode(path.as_bytes(), false) else {
            return Request::fixed(Response::text(400, "400 Bad Request"));
        };
        let path = String::from_utf8_lossy(&path);
        let Some(path) = path.strip_prefix(base_path) else {
            return Request::fixed(Response::not_found());
        };
        // nats-server serves its page at the base path itself, without a slash at the end.
        let root = if base_path.is_empty() { "/" } else { "" };
        if path == root {
            return Request {
                endpoint: index_at(base_path),
                name: Some("/"),
            };
        }
        Self::of(path, &Query::parse(query))
    }

    /// The request that a system service makes of an endpoint, e.g. `/varz`. Answers are those of
    /// the monitoring port; healthz tells its status code too.
    pub fn of_service(path: &str, query: &Query) -> Self {
        let mut request = Self::of(path, query);
        if let Endpoint::Healthz(query) = &mut request.endpoint {
            query.tell_code = true;
        }
        request
    }

    /// The figures of accounts, those of `only` if it names any.
    pub fn of_accounts(unused: bool, only: Vec<String>) -> Self {
        Request {
            endpoint: Endpoint::Accstatz { unused, only },
            name: None,
        }
    }

    fn of(path: &str, query: &Query) -> Self {
        let (name, endpoint) = match path {
            "/varz" => ("/varz", Ok(Endpoint::Varz)),
            "/connz" => ("/connz", connz(query)),
            "/subsz" | "/subscriptionsz" => ("/subsz", subsz(query)),
            "/healthz" => ("/healthz", healthz(query)),
            "/accountz" => ("/accountz", Ok(accountz(query))),
            "/accstatz" => ("/accstatz", accstatz(query)),
            "/routez" => ("/routez", no(query, &["subs"], Endpoint::Routez)),
            "/gatewayz" => (
                "/gatewayz",
                no(query, &["subs", "accs"], Endpoint::Gatewayz),
            ),
            "/leafz" => ("/leafz", no(query, &["subs"], Endpoint::Leafz)),
            "/jsz" => ("/jsz", jsz(query)),
            "/metrics" => ("/metrics", Ok(Endpoint::Metrics)),
            "/corez" => ("/corez", Ok(Endpoint::Corez)),
            "/raftz" => ("/raftz", Err("No Raft nodes registered".to_owned())),
            _ => return Request::fixed(Response::not_found()),
        };
        let status = if name == "/raftz" { 404 } else { 400 };
        Request {
            endpoint: endpoint.unwrap_or_else(|text| Endpoint::Fixed(Response::text(status, text))),
            name: Some(name),
        }
    }

    fn fixed(response: Response) -> Self {
        Request {
            endpoint: Endpoint::Fixed(response),
            name: None,
        }
    }

    /// What has to be gathered for the answer.
    pub fn needs(&self) -> Needs<'_> {
        let none = Needs::default();
        match &self.endpoint {
            Endpoint::Connz(query) => Needs {
                connections: Some(query),
                // To tell an account without connections from one that does not exist.
                accounts: query.account.is_some(),
                ..none
            },
            Endpoint::Subsz(query) => Needs {
                subscriptions: Some(query),
                ..none
            },
            Endpoint::Accountz(_) | Endpoint::Accstatz { .. } => Needs {
                accounts: true,
                ..none
            },
            Endpoint::Metrics => Needs {
                cores: true,
                slow_consumers: true,
                ..none
            },
            Endpoint::Corez => Needs {
                cores: true,
                ..none
            },
            Endpoint::Index { .. }
            | Endpoint::Varz
            | Endpoint::Routez
            | Endpoint::Gatewayz
            | Endpoint::Leafz
            | Endpoint::Fixed(_) => none,
            Endpoint::Jsz(query) => Needs {
                streams: query.needs_streams(),
                ..none
            },
            Endpoint::Healthz(query) => Needs {
                streams: query.needs_streams(),
                ..none
            },
        }
    }

    /// The answer, from a snapshot that holds what [`Request::needs`] names.
    pub fn respond(&self, snapshot: &Snapshot) -> Response {
        let server = &snapshot.server;
        match &self.endpoint {
            Endpoint::Index { base_path } => index::respond(base_path),
            Endpoint::Varz => varz::respond(server),
            Endpoint::Connz(query) => query.respond(snapshot),
            Endpoint::Subsz(query) => query.respond(snapshot),
            Endpoint::Healthz(query) => query.respond(&snapshot.health, server.jetstream.as_ref()),
            Endpoint::Accountz(account) => accounts::accountz(account.as_deref(), snapshot),
            Endpoint::Accstatz { unused, only } => accounts::accstatz(*unused, only, snapshot),
            Endpoint::Routez => absent::routez(server),
            Endpoint::Gatewayz => absent::gatewayz(server),
            Endpoint::Leafz => absent::leafz(server),
            Endpoint::Jsz(query) => query.respond(server),
            Endpoint::Metrics => metrics::respond(snapshot),
            Endpoint::Corez => corez::respond(snapshot),
            Endpoint::Fixed(response) => response.clone(),
        }
    }
}

/// An endpoint, or the complaint that becomes its answer.
type Parsed = Result<Endpoint, String>;

fn index_at(base_path: &str) -> Endpoint {
    Endpoint::Index {
        base_path: base_path.to_owned(),
    }
}

fn connz(query: &Query) -> Parsed {
    ConnzQuery::parse(query)
        .map(|query| Endpoint::Connz(Box::new(query)))
        .map_err(|error| error.to_string())
}

fn subsz(query: &Query) -> Parsed {
    SubszQuery::parse(query)
        .map(Endpoint::Subsz)
        .map_err(|error| error.to_string())
}

fn healthz(query: &Query) -> Parsed {
    HealthQuery::parse(query)
        .map(Endpoint::Healthz)
        .map_err(|error| error.to_string())
}

fn jsz(query: &Query) -> Parsed {
    JszQuery::parse(query)
        .map(Endpoint::Jsz)
        .map_err(|error| error.to_string())
}

fn accountz(query: &Query) -> Endpoint {
    Endpoint::Accountz(Some(query.text("acc")).filter(|name| !name.is_empty()))
}

fn accstatz(query: &Query) -> Parsed {
    query
        .bool("unused")
        .map(|unused| Endpoint::Accstatz {
            unused,
            only: Vec::new(),
        })
        .map_err(|error| error.to_string())
}

fn no(query: &Query, booleans: &[&'static str], endpoint: Endpoint) -> Parsed {
    absent::check(query, booleans)
        .map(|()| endpoint)
        .map_err(|error| error.to_string())
}

/// Counts requests by endpoint, for `http_req_stats`. Bounded by the number of endpoints.
#[derive(Debug, Clone, Default)]
pub struct RequestStats(BTreeMap<&'static str, u64>);

impl RequestStats {
    /// Counts a request, also one that is answered with a complaint; nats-server does so before it
    /// answers, so that varz counts itself.
    pub fn count(&mut self, request: &Request) {
        if let Some(name) = request.name {
            *self.0.entry(name).or_default() += 1;
        }
    }

    /// The counts so far, for [`super::snapshot::ServerSnapshot::http_requests`].
    pub fn counts(&self) -> &BTreeMap<&'static str, u64> {
        &self.0
    }
}
