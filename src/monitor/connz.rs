//! `/connz`: the connections, sorted, filtered and in pages.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use serde::Serialize;

use super::format::{self, UnixNanos, elapsed};
use super::query::{BadValue, Query};
use super::response::Response;
use super::snapshot::{ConnFigures, ConnSnapshot, ConnectionPage, Snapshot, SubSnapshot};
use crate::subject::overlaps;

/// Connections or subscriptions of a page if the request names no number, as in nats-server.
pub const DEFAULT_LIMIT: usize = 1024;

/// Most connections or subscriptions of a page, whatever the request says: at about half a
/// kibibyte each an answer stays below 64 MiB.
pub const MAX_LIMIT: usize = 100_000;

/// Most subscriptions listed for one connection. `subscriptions` tells the true number.
pub const MAX_LISTED_SUBSCRIPTIONS: usize = 10_000;

/// By what connz sorts. Counters, sizes and times of idleness start with the largest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SortBy {
    #[default]
    Cid,
    Start,
    Subs,
    Pending,
    MsgsTo,
    MsgsFrom,
    BytesTo,
    BytesFrom,
    Last,
    Idle,
    Uptime,
    Stop,
    Reason,
    Rtt,
}

impl SortBy {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "" | "cid" => SortBy::Cid,
            "start" => SortBy::Start,
            "subs" => SortBy::Subs,
            "pending" => SortBy::Pending,
            "msgs_to" => SortBy::MsgsTo,
            "msgs_from" => SortBy::MsgsFrom,
            "bytes_to" => SortBy::BytesTo,
            "bytes_from" => SortBy::BytesFrom,
            "last" => SortBy::Last,
            "idle" => SortBy::Idle,
            "uptime" => SortBy::Uptime,
            "stop" => SortBy::Stop,
            "reason" => SortBy::Reason,
            "rtt" => SortBy::Rtt,
            _ => return None,
        })
    }
}

/// Which connections are asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum State {
    #[default]
    Open,
    Closed,
    /// Both.
    All,
}

impl State {
    /// Are open connections asked for?
    pub fn open(self) -> bool {
        self != State::Closed
    }

    /// Are closed connections asked for?
    pub fn closed(self) -> bool {
        self != State::Open
    }
}

/// How much is told of each connection's subscriptions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SubsDetail {
    /// Their number.
    #[default]
    Count,
    /// Their subjects.
    Subjects,
    /// Everything known.
    Full,
}

/// The options of one request, checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConnzQuery {
    pub sort: SortBy,
    pub state: State,
    pub subs: SubsDetail,
    /// Show who logged in, and the account.
    pub auth: bool,
    pub offset: usize,
    /// At least one, at most [`MAX_LIMIT`].
    pub limit: usize,
    /// Only this connection.
    pub cid: Option<u64>,
    /// Only connections of this user.
    pub user: Option<String>,
    /// Only connections of this account.
    pub account: Option<String>,
    /// Only connections with a subscription that this subject has messages in common with.
    pub filter_subject: Option<String>,
    /// Only this MQTT client: there are none yet, so that nothing is found.
    pub mqtt_client: bool,
}

/// Why a request cannot be answered. The text is the body of the 400 answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadConnz {
    Value(BadValue),
    State(String),
    Sort(String),
    /// `stop` and `reason` exist only once a connection is closed.
    OnlyClosed(&'static str),
    /// `filter_subject` without an account.
    FilterWithoutAccount,
}

impl std::fmt::Display for BadConnz {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            BadConnz::Value(error) => error.fmt(f),
            BadConnz::State(text) => write!(f, "Error decoding state for {text}"),
            BadConnz::Sort(text) => write!(f, "invalid sorting option: {text}"),
            BadConnz::OnlyClosed(sort) => {
                write!(f, "sort by {sort} only valid on closed connections")
            }
            BadConnz::FilterWithoutAccount => {
                f.write_str("filter by subject only valid with account filtering")
            }
        }
    }
}

impl std::error::Error for BadConnz {}

impl From<BadValue> for BadConnz {
    fn from(error: BadValue) -> Self {
        BadConnz::Value(error)
    }
}

/// `offset` and `limit` as nats-server understands them: what is not positive means the default.
pub(super) fn page_of(query: &Query) -> Result<(usize, usize), BadValue> {
    let offset = usize::try_from(query.int("offset")?).unwrap_or(0);
    let limit = match usize::try_from(query.int("limit")?) {
        Ok(0) | Err(_) => DEFAULT_LIMIT,
        Ok(limit) => limit.min(MAX_LIMIT),
    };
    Ok((offset, limit))
}

impl ConnzQuery {
    /// Checks the options in the order nats-server does, so that the same one is complained of.
    pub fn parse(query: &Query) -> Result<Self, BadConnz> {
        let auth = query.bool("auth")?;
        let subs = if query.bytes("subs").eq_ignore_ascii_case(b"detail") {
            SubsDetail::Full
        } else if query.bool("subs")? {
            SubsDetail::Subjects
        } else {
            SubsDetail::Count
        };
        let (offset, limit) = page_of(query)?;
        let cid = Some(query.uint("cid")?).filter(|&cid| cid > 0);
        let state_text = query.text("state");
        let state = match state_text.to_ascii_lowercase().as_str() {
            "" | "open" => State::Open,
            "closed" => State::Closed,
            "any" | "all" => State::All,
            _ => return Err(BadConnz::State(state_text)),
        };
        let sort_text = query.text("sort");
        let sort = SortBy::parse(&sort_text).ok_or(BadConnz::Sort(sort_text))?;
        match sort {
            SortBy::Stop if state != State::Closed => return Err(BadConnz::OnlyClosed("stop")),
            SortBy::Reason if state != State::Closed => return Err(BadConnz::OnlyClosed("reason")),
            _ => {}
        }
        let text = |name| Some(query.text(name)).filter(|text| !text.is_empty());
        if text("filter_subject").is_some() && text("acc").is_none() {
            return Err(BadConnz::FilterWithoutAccount);
        }
        Ok(ConnzQuery {
            sort,
            state,
            subs,
            auth,
            offset,
            // One number can name one connection only, and nats-server says so in `limit`.
            limit: if cid.is_some() { 1 } else { limit },
            cid,
            user: text("user"),
            account: text("acc"),
            filter_subject: text("filter_subject"),
            mqtt_client: text("mqtt_client").is_some(),
        })
    }

    /// The answer, from a page made by [`Collector`].
    pub fn respond(&self, snapshot: &Snapshot) -> Response {
        let now = snapshot.server.now;
        // nats-server answers for an account it does not know with an empty structure.
        let known = match &self.account {
            Some(name) => snapshot.accounts.iter().any(|a| a.name == *name),
            None => true,
        };
        let page: Vec<Conn<'_>> = snapshot
            .connections
            .connections
            .iter()
            .skip(self.offset)
            .take(self.limit)
            .map(|conn| Conn::new(conn, self, now))
            .collect();
        Response::json(&Connz {
            server_id: if known {
                &snapshot.server.server_id
            } else {
                ""
            },
            now: format::rfc3339(now),
            num_connections: if known { page.len() } else { 0 },
            total: if known { snapshot.connections.total } else { 0 },
            offset: self.offset,
            limit: self.limit,
            connections: known.then_some(page),
        })
    }
}

/// Picks the connections of one page without keeping more than the page.
///
/// Each core offers its connections to a collector of its own; the control thread adds the closed
/// ones and joins all with [`Collector::merge`]. Ties are ordered by `cid`.
#[derive(Debug)]
pub struct Collector {
    query: ConnzQuery,
    now: UnixNanos,
    keep: usize,
    /// The best `keep` so far, the worst of them on top.
    kept: BinaryHeap<Kept>,
    total: u64,
}

#[derive(Debug)]
struct Kept {
    key: SortKey,
    conn: ConnSnapshot,
}

/// Where a connection stands: smaller is earlier.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct SortKey {
    number: i128,
    /// Only when sorting by reason.
    text: String,
    cid: u64,
}

impl PartialEq for Kept {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Kept {}

impl PartialOrd for Kept {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Kept {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key)
    }
}

impl Collector {
    /// An empty collector; `now` must be the same on all cores and in the snapshot.
    pub fn new(query: &ConnzQuery, now: UnixNanos) -> Self {
        Collector {
            query: query.clone(),
            now,
            keep: query.offset.saturating_add(query.limit),
            kept: BinaryHeap::new(),
            total: 0,
        }
    }

    /// Offers one connection. `build` is called only if it belongs to the page as it stands.
    ///
    /// `reason` is that of a closed connection, else empty.
    pub fn offer(
        &mut self,
        figures: &ConnFigures,
        account: &str,
        user: &str,
        reason: &str,
        build: impl FnOnce() -> ConnSnapshot,
    ) {
        let query = &self.query;
        let asked = if figures.stop.is_some() {
            query.state.closed()
        } else {
            query.state.open()
        };
        if !asked || query.account.as_deref().is_some_and(|a| a != account) {
            return;
        }
        self.total += 1;
        if query.cid.is_some_and(|cid| cid != figures.cid)
            || query.user.as_deref().is_some_and(|u| u != user)
            || query.mqtt_client
        {
            return;
        }
        let key = sort_key(query.sort, self.now, figures, reason);
        let full = self.kept.len() >= self.keep;
        if full && self.kept.peek().is_none_or(|worst| worst.key <= key) {
            return;
        }
        if full {
            self.kept.pop();
        }
        self.kept.push(Kept { key, conn: build() });
    }

    /// The subject that a connection must have a subscription in common with, if one is asked for.
    pub fn filter_subject(&self) -> Option<&str> {
        self.query.filter_subject.as_deref()
    }

    /// Counts a connection that [`Collector::filter_subject`] leaves out.
    pub fn offer_filtered(&mut self, figures: &ConnFigures, account: &str) {
        let state = self.query.state;
        let asked = if figures.stop.is_some() {
            state.closed()
        } else {
            state.open()
        };
        if asked && self.query.account.as_deref().is_none_or(|a| a == account) {
            self.total += 1;
        }
    }

    /// Offers a closed connection.
    pub fn offer_closed(&mut self, conn: &ConnSnapshot) {
        if let Some(filter) = self.filter_subject() {
            let mut subjects = conn.subs.iter().map(|sub| sub.subject.as_bytes());
            if !subjects.any(|subject| overlaps(subject, filter.as_bytes())) {
                self.offer_filtered(&conn.figures, &conn.account);
                return;
            }
        }
        self.offer(
            &conn.figures,
            &conn.account,
            &conn.authorized_user,
            &conn.reason,
            || conn.clone(),
        );
    }

    /// Takes over what another core's collector for the same request kept.
    pub fn merge(&mut self, other: Collector) {
        self.total += other.total;
        self.kept.extend(other.kept);
        while self.kept.len() > self.keep {
            self.kept.pop();
        }
    }

    /// The connections from the first to the end of the page, in order.
    pub fn finish(self) -> ConnectionPage {
        let sorted = self.kept.into_sorted_vec();
        ConnectionPage {
            connections: sorted.into_iter().map(|kept| kept.conn).collect(),
            total: self.total,
        }
    }
}

fn sort_key(sort: SortBy, now: UnixNanos, c: &ConnFigures, reason: &str) -> SortKey {
    let ascending = i128::from;
    let descending = |value: u64| -i128::from(value);
    let number = match sort {
        SortBy::Cid | SortBy::Reason => 0,
        SortBy::Start => ascending(c.start),
        SortBy::Subs => descending(c.subscriptions),
        SortBy::Pending => descending(c.pending_bytes),
        SortBy::MsgsTo => descending(c.traffic.out_msgs),
        SortBy::MsgsFrom => descending(c.traffic.in_msgs),
        SortBy::BytesTo => descending(c.traffic.out_bytes),
        SortBy::BytesFrom => descending(c.traffic.in_bytes),
        SortBy::Last => -ascending(c.last_activity),
        SortBy::Idle => descending(elapsed(c.last_activity, now)),
        // The one that starts with the smallest, in nats-server too.
        SortBy::Uptime => i128::from(elapsed(c.start, c.stop.unwrap_or(now))),
        SortBy::Stop => -ascending(c.stop.unwrap_or(0)),
        SortBy::Rtt => descending(c.rtt),
    };
    let text = match sort {
        SortBy::Reason => reason.to_owned(),
        _ => String::new(),
    };
    SortKey {
        number,
        text,
        cid: c.cid,
    }
}

#[derive(Serialize)]
struct Connz<'a> {
    server_id: &'a str,
    now: String,
    num_connections: usize,
    total: u64,
    offset: usize,
    limit: usize,
    connections: Option<Vec<Conn<'a>>>,
}

fn empty(text: &&str) -> bool {
    text.is_empty()
}

fn zero(number: &u64) -> bool {
    *number == 0
}

#[derive(Serialize)]
struct Conn<'a> {
    cid: u64,
    kind: &'static str,
    r#type: &'static str,
    ip: &'a str,
    port: u16,
    start: String,
    last_activity: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop: Option<String>,
    #[serde(skip_serializing_if = "empty")]
    reason: &'a str,
    rtt: String,
    uptime: String,
    idle: String,
    pending_bytes: u64,
    in_msgs: u64,
    out_msgs: u64,
    in_bytes: u64,
    out_bytes: u64,
    #[serde(skip_serializing_if = "zero")]
    stalls: u64,
    subscriptions: u64,
    #[serde(skip_serializing_if = "empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "empty")]
    lang: &'a str,
    #[serde(skip_serializing_if = "empty")]
    version: &'a str,
    #[serde(skip_serializing_if = "empty")]
    authorized_user: &'a str,
    #[serde(skip_serializing_if = "empty")]
    account: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subscriptions_list: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subscriptions_list_detail: Vec<Sub<'a>>,
    #[serde(skip_serializing_if = "empty")]
    jwt: &'a str,
    #[serde(skip_serializing_if = "empty")]
    issuer_key: &'a str,
    #[serde(skip_serializing_if = "empty")]
    name_tag: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    tags: &'a [String],
}

/// The account of clients that name none; connz keeps its name out of `account`.
const GLOBAL_ACCOUNT: &str = "$G";

impl<'a> Conn<'a> {
    fn new(conn: &'a ConnSnapshot, query: &ConnzQuery, now: UnixNanos) -> Self {
        let c = &conn.figures;
        let global = conn.account == GLOBAL_ACCOUNT;
        let closed = c.stop.is_some();
        let end = c.stop.unwrap_or(now);
        let (auth, account) = (query.auth, conn.account.as_str());
        let listed = || conn.subs.iter().take(MAX_LISTED_SUBSCRIPTIONS);
        Conn {
            cid: c.cid,
            kind: "Client",
            r#type: if conn.websocket { "websocket" } else { "nats" },
            ip: &conn.ip,
            port: conn.port,
            start: format::rfc3339(c.start),
            last_activity: format::rfc3339(c.last_activity),
            stop: c.stop.map(format::rfc3339),
            reason: &conn.reason,
            rtt: format::rtt(c.rtt),
            uptime: format::uptime(elapsed(c.start, end)),
            idle: format::uptime(elapsed(c.last_activity, end)),
            pending_bytes: c.pending_bytes,
            in_msgs: c.traffic.in_msgs,
            out_msgs: c.traffic.out_msgs,
            in_bytes: c.traffic.in_bytes,
            out_bytes: c.traffic.out_bytes,
            stalls: c.stalls,
            subscriptions: c.subscriptions,
            name: &conn.name,
            lang: &conn.lang,
            version: &conn.version,
            authorized_user: if auth { &conn.authorized_user } else { "" },
            account: if auth && !global { account } else { "" },
            subscriptions_list: match query.subs {
                SubsDetail::Subjects => listed().map(|sub| sub.subject.as_str()).collect(),
                _ => Vec::new(),
            },
            subscriptions_list_detail: match query.subs {
                SubsDetail::Full => listed().map(|sub| Sub::new(sub, closed)).collect(),
                _ => Vec::new(),
            },
            jwt: if auth { &conn.jwt } else { "" },
            issuer_key: if auth { &conn.issuer_key } else { "" },
            name_tag: match conn.account_name.as_str() {
                _ if !auth || (global && closed) => "",
                "" => account,
                name => name,
            },
            tags: if auth { &conn.tags } else { &[] },
        }
    }
}

/// One subscription in connz or subsz.
#[derive(Serialize)]
pub(super) struct Sub<'a> {
    #[serde(skip_serializing_if = "empty")]
    account: &'a str,
    #[serde(skip_serializing_if = "empty")]
    account_tag: &'a str,
    subject: &'a str,
    #[serde(skip_serializing_if = "empty")]
    qgroup: &'a str,
    sid: &'a str,
    msgs: u64,
    #[serde(skip_serializing_if = "zero")]
    max: u64,
    cid: u64,
}

impl<'a> Sub<'a> {
    pub(super) fn new(sub: &'a SubSnapshot, with_account: bool) -> Self {
        let account = if with_account {
            sub.account.as_str()
        } else {
            ""
        };
        Sub {
            account,
            account_tag: account,
            subject: &sub.subject,
            qgroup: &sub.queue,
            sid: &sub.sid,
            msgs: sub.msgs,
            max: sub.max,
            cid: sub.cid,
        }
    }
}
