//! `/subsz`: the subscription index, and its subscriptions in pages.

use serde::Serialize;

use super::connz::{Sub, page_of};
use super::format::{self, GoFloat};
use super::query::{BadValue, Query};
use super::response::Response;
use super::snapshot::{Snapshot, SublistStats};

/// The options of one request, checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SubszQuery {
    /// List subscriptions, not only the index' figures.
    pub list: bool,
    pub offset: usize,
    /// At least one, at most [`super::connz::MAX_LIMIT`].
    pub limit: usize,
    /// Only subscriptions that a message to this subject would reach.
    pub test: Option<String>,
    /// Only subscriptions of this account.
    pub account: Option<String>,
}

/// Why a request cannot be answered. The text is the body of the 400 answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadSubsz {
    Value(BadValue),
    /// `test` names no subject to publish to.
    TestSubject(String),
}

impl std::fmt::Display for BadSubsz {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            BadSubsz::Value(error) => error.fmt(f),
            BadSubsz::TestSubject(subject) => write!(
                f,
                "invalid test subject, must be valid publish subject: {subject}"
            ),
        }
    }
}

impl std::error::Error for BadSubsz {}

impl From<BadValue> for BadSubsz {
    fn from(error: BadValue) -> Self {
        BadSubsz::Value(error)
    }
}

impl SubszQuery {
    /// Checks the options in the order nats-server does.
    pub fn parse(query: &Query) -> Result<Self, BadSubsz> {
        let list = query.bool("subs")?;
        let (offset, limit) = page_of(query)?;
        let test = query.text("test");
        if !test.is_empty() && !is_publish_subject(&test) {
            return Err(BadSubsz::TestSubject(test));
        }
        let text = |name| Some(query.text(name)).filter(|text| !text.is_empty());
        Ok(SubszQuery {
            list,
            offset,
            limit,
            test: text("test"),
            account: text("acc"),
        })
    }

    /// How many subscriptions the cores have to hand over, counted from the first: a core may stop
    /// collecting (not counting) at this number.
    pub fn keep(&self) -> usize {
        if self.list {
            self.offset.saturating_add(self.limit)
        } else {
            0
        }
    }

    /// The answer.
    pub fn respond(&self, snapshot: &Snapshot) -> Response {
        let subscriptions = &snapshot.subscriptions;
        let page = subscriptions.list.iter().skip(self.offset).take(self.limit);
        Response::json(&Subsz {
            server_id: &snapshot.server.server_id,
            now: format::rfc3339(snapshot.server.now),
            stats: Stats::from(&subscriptions.stats),
            total: if self.list { subscriptions.total } else { 0 },
            offset: self.offset,
            limit: self.limit,
            subscriptions_list: if self.list {
                page.map(|sub| Sub::new(sub, true)).collect()
            } else {
                Vec::new()
            },
        })
    }
}

/// Without blanks, wildcards and empty tokens.
fn is_publish_subject(subject: &str) -> bool {
    let blank = |c| matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0c');
    !subject.contains(blank) && subject.split('.').all(|t| !matches!(t, "" | "*" | ">"))
}

#[derive(Serialize)]
struct Subsz<'a> {
    server_id: &'a str,
    now: String,
    #[serde(flatten)]
    stats: Stats,
    total: u64,
    offset: usize,
    limit: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subscriptions_list: Vec<Sub<'a>>,
}

/// The index' figures as subsz and accountz write them.
#[derive(Serialize)]
pub(super) struct Stats {
    num_subscriptions: u64,
    num_cache: u64,
    num_inserts: u64,
    num_removes: u64,
    num_matches: u64,
    cache_hit_rate: GoFloat,
    max_fanout: u64,
    avg_fanout: GoFloat,
}

impl From<&SublistStats> for Stats {
    fn from(s: &SublistStats) -> Self {
        let ratio = |part: u64, whole: u64| match whole {
            0 => GoFloat(0.0),
            _ => GoFloat(part as f64 / whole as f64),
        };
        Stats {
            num_subscriptions: s.subscriptions,
            num_cache: s.cached,
            num_inserts: s.inserts,
            num_removes: s.removes,
            num_matches: s.matches,
            cache_hit_rate: ratio(s.cache_hits, s.matches),
            max_fanout: s.max_fanout,
            avg_fanout: ratio(s.total_fanout, s.cached),
        }
    }
}
