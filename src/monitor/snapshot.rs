//! What the control thread hands to the monitor: plain figures, gathered from the cores.
//!
//! Nothing here is computed from a clock of its own. Times are [`UnixNanos`], lengths of time are
//! nanoseconds, sizes are bytes; counters count since the start of the server unless said otherwise.

use std::collections::BTreeMap;

use super::format::UnixNanos;

/// Everything that one answer may need. What [`super::Needs`] does not ask for may stay empty.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Identity, options and sums; every endpoint needs it.
    pub server: ServerSnapshot,
    /// Whether the server can do its work.
    pub health: Health,
    /// The accounts, for accountz, accstatz and connz.
    pub accounts: Vec<AccountSnapshot>,
    /// The connections that [`super::connz::Collector`] kept of all cores and of the closed ones.
    pub connections: ConnectionPage,
    /// Subscriptions and the index' figures, for subsz.
    pub subscriptions: SubszSnapshot,
    /// One entry a core, in order of core numbers, for corez and metrics.
    pub cores: Vec<CoreSnapshot>,
    /// Connections that are behind or were cut off for it, for metrics; worst first.
    pub slow_consumers: Vec<SlowConsumerSnapshot>,
}

/// The answer of healthz.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Health {
    /// Clients are served.
    #[default]
    Ok,
    /// Clients are not served now; the text says why.
    Unavailable(String),
}

/// Identity, options in force and sums over all cores: the values of varz.
#[derive(Debug, Clone, Default)]
pub struct ServerSnapshot {
    /// Public key of the server, 56 characters.
    pub server_id: String,
    /// `server_name`, by default the id.
    pub server_name: String,
    /// The nats-server version whose features are offered, as in INFO.
    pub version: String,
    /// Ringwire's own version.
    pub ringwire_version: String,
    /// Commit of this build, shortened; may be empty.
    pub git_commit: String,
    /// Compiler of this build. The key in varz is `go`, which exporters show as they find it.
    pub compiler: String,
    /// The values of the options that varz shows.
    pub options: OptionsSnapshot,
    /// When the server started.
    pub start: UnixNanos,
    /// When this snapshot was taken.
    pub now: UnixNanos,
    /// When the configuration was last read.
    pub config_load_time: UnixNanos,
    /// `sha256:` and the digest of the configuration file, empty without one.
    pub config_digest: String,
    /// Resident memory, bytes.
    pub memory: u64,
    /// Use of the CPU over the last moments, percent of one CPU.
    pub cpu_percent: f64,
    /// CPUs of the host.
    pub host_cpus: usize,
    /// Cores of the broker, one thread each.
    pub cores: usize,
    /// Open client connections.
    pub connections: u64,
    /// Client connections ever accepted.
    pub total_connections: u64,
    /// Subscriptions in force.
    pub subscriptions: u64,
    /// Messages and bytes of clients.
    pub traffic: Traffic,
    /// Connections cut off because they did not read in time.
    pub slow_consumers: KindCounts,
    /// Connections closed because they did not answer PING.
    pub stale_connections: KindCounts,
    /// How often a publisher was held back for a slow reader.
    pub stalled_clients: u64,
    /// `None`: JetStream is off.
    pub jetstream: Option<JetStreamSnapshot>,
    /// Requests to the monitoring port by endpoint, see [`super::RequestStats`].
    pub http_requests: BTreeMap<&'static str, u64>,
}

/// JetStream's settings and sums over all cores.
#[derive(Debug, Clone, Default)]
pub struct JetStreamSnapshot {
    /// Bytes.
    pub max_memory: i64,
    /// Bytes.
    pub max_storage: i64,
    pub store_dir: String,
    /// Nanoseconds; 0: flushed before each acknowledgement.
    pub sync_interval: u64,
    pub strict: bool,
    pub domain: String,
    /// -1 or 0: none.
    pub max_ack_pending: i64,
    /// -1 or 0: none.
    pub max_request_batch: i64,
    pub default_max_consumers: i64,
    pub api_level: u64,
    pub api_total: u64,
    pub api_errors: u64,
    /// Bytes in use.
    pub memory: u64,
    /// Bytes in use.
    pub storage: u64,
    /// Bytes promised to streams by `max_bytes`.
    pub reserved_memory: u64,
    /// Bytes promised to streams by `max_bytes`.
    pub reserved_storage: u64,
    pub streams: u64,
    pub consumers: u64,
    pub messages: u64,
    pub bytes: u64,
    pub accounts: Vec<JetStreamAccountSnapshot>,
    /// What is wrong with streams, for healthz: damage, failed disks.
    pub problems: Vec<String>,
}

impl JetStreamSnapshot {
    /// Adds what another core reports.
    pub fn add(&mut self, other: JetStreamSnapshot) {
        self.api_total += other.api_total;
        self.api_errors += other.api_errors;
        self.memory += other.memory;
        self.storage += other.storage;
        self.reserved_memory += other.reserved_memory;
        self.reserved_storage += other.reserved_storage;
        self.streams += other.streams;
        self.consumers += other.consumers;
        self.messages += other.messages;
        self.bytes += other.bytes;
        self.problems.extend(other.problems);
        for part in other.accounts {
            match self.accounts.iter_mut().find(|a| a.name == part.name) {
                Some(account) => account.add(part),
                None => self.accounts.push(part),
            }
        }
    }
}

impl JetStreamAccountSnapshot {
    fn add(&mut self, other: JetStreamAccountSnapshot) {
        self.memory += other.memory;
        self.storage += other.storage;
        self.reserved_memory += other.reserved_memory;
        self.reserved_storage += other.reserved_storage;
        self.api_total += other.api_total;
        self.api_errors += other.api_errors;
        self.streams.extend(other.streams);
        self.streams.sort_by(|a, b| a.name.cmp(&b.name));
    }
}

/// One account's use of JetStream.
#[derive(Debug, Clone, Default)]
pub struct JetStreamAccountSnapshot {
    pub name: String,
    pub memory: u64,
    pub storage: u64,
    pub reserved_memory: u64,
    pub reserved_storage: u64,
    pub api_total: u64,
    pub api_errors: u64,
    /// By name.
    pub streams: Vec<StreamSnapshot>,
}

/// One stream; parts that JetStream's API renders as well are its JSON.
#[derive(Debug, Clone, Default)]
pub struct StreamSnapshot {
    pub name: String,
    pub created: UnixNanos,
    /// JSON.
    pub config: String,
    /// JSON.
    pub state: String,
    /// By name.
    pub consumers: Vec<ConsumerSnapshot>,
}

/// One consumer.
#[derive(Debug, Clone, Default)]
pub struct ConsumerSnapshot {
    pub name: String,
    /// JSON of the consumer info.
    pub info: String,
}

/// Options in force that varz shows; units as in the configuration unless the name says otherwise.
#[derive(Debug, Clone, Default)]
pub struct OptionsSnapshot {
    /// Client listener, the advertised address if there is one.
    pub host: String,
    /// Client port, the one really bound.
    pub port: u16,
    /// Clients must log in.
    pub auth_required: bool,
    /// Addresses of this and other servers for clients to try; left out if empty.
    pub connect_urls: Vec<String>,
    /// Zero means no limit.
    pub max_connections: u64,
    /// Subscriptions a connection; zero means no limit, and the key is left out.
    pub max_subscriptions: u64,
    /// Nanoseconds.
    pub ping_interval: u64,
    /// Unanswered pings before a connection is stale.
    pub ping_max: u32,
    /// Monitoring listener.
    pub http_host: String,
    /// Monitoring port, the one really bound.
    pub http_port: u16,
    /// Path before every endpoint, empty or like `/base`.
    pub http_base_path: String,
    /// Monitoring port with TLS, zero without.
    pub https_port: u16,
    /// Seconds a client has to log in.
    pub auth_timeout: f64,
    /// The WebSocket listener; all empty without one.
    pub websocket: WebSocketSnapshot,
    /// Bytes of a protocol line.
    pub max_control_line: u64,
    /// Bytes of a message.
    pub max_payload: u64,
    /// Bytes that may wait for one client.
    pub max_pending: u64,
    /// Seconds a TLS handshake may take.
    pub tls_timeout: f64,
    /// Nanoseconds a client may leave data unread.
    pub write_deadline: u64,
    /// `server_tags`.
    pub tags: Vec<String>,
    /// `server_metadata`.
    pub metadata: BTreeMap<String, String>,
    /// Name of the system account.
    pub system_account: String,
}

/// Messages and bytes in both directions; `in` is what clients sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    pub in_msgs: u64,
    pub in_bytes: u64,
    pub out_msgs: u64,
    pub out_bytes: u64,
}

impl Traffic {
    /// Adds another's.
    pub fn add(&mut self, other: &Traffic) {
        self.in_msgs += other.in_msgs;
        self.in_bytes += other.in_bytes;
        self.out_msgs += other.out_msgs;
        self.out_bytes += other.out_bytes;
    }
}

impl AccountSnapshot {
    /// Adds what another core knows of the same account.
    pub fn add(&mut self, other: &AccountSnapshot) {
        self.client_connections += other.client_connections;
        self.leafnode_connections += other.leafnode_connections;
        self.stats.subscriptions += other.stats.subscriptions;
        self.traffic.add(&other.traffic);
        self.slow_consumers += other.slow_consumers;
    }
}

/// A count by kind of connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct KindCounts {
    pub clients: u64,
    pub routes: u64,
    pub gateways: u64,
    pub leafs: u64,
}

impl KindCounts {
    /// The sum over all kinds.
    pub fn total(&self) -> u64 {
        self.clients + self.routes + self.gateways + self.leafs
    }
}

/// The connections of one page and how many there were to choose from.
#[derive(Debug, Clone, Default)]
pub struct ConnectionPage {
    /// In the order asked for, from the first of all; the offset is applied when answering.
    pub connections: Vec<ConnSnapshot>,
    /// Connections of the asked state and account, whether or not they pass the other filters.
    pub total: u64,
}

/// The numbers of a connection: what sorting needs, cheap to copy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConnFigures {
    /// Number of the connection, never used twice.
    pub cid: u64,
    pub start: UnixNanos,
    /// When a message or a change of subscriptions last passed.
    pub last_activity: UnixNanos,
    /// When it was closed; `None` while it is open.
    pub stop: Option<UnixNanos>,
    /// Last round trip measured, nanoseconds; zero if none was.
    pub rtt: u64,
    /// Bytes waiting to be sent.
    pub pending_bytes: u64,
    pub traffic: Traffic,
    /// How often a publisher was held back for this reader; left out of connz if zero.
    pub stalls: u64,
    /// Subscriptions in force, also if their list is cut.
    pub subscriptions: u64,
}

/// One client connection, open or closed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConnSnapshot {
    pub figures: ConnFigures,
    /// Address of the peer.
    pub ip: String,
    /// Port of the peer.
    pub port: u16,
    /// Core that owns it.
    pub core: usize,
    /// It came by the WebSocket port.
    pub websocket: bool,
    /// Why it was closed, in nats-server's words (`Client Closed`); empty while it is open.
    pub reason: String,
    /// `name` of CONNECT, empty if not given.
    pub name: String,
    /// `lang` of CONNECT.
    pub lang: String,
    /// `version` of CONNECT: the client library's.
    pub version: String,
    /// Who logged in; empty without authentication.
    pub authorized_user: String,
    /// The user of CONNECT, whether or not it was let in.
    pub user_given: String,
    /// Account it belongs to. Closed before it had one: empty.
    pub account: String,
    /// Who vouches for its nkey; empty without one.
    pub issuer_key: String,
    /// Its claims; empty without, or where they alone let in.
    pub jwt: String,
    /// Its account's name for people; empty if that is [`Self::account`].
    pub account_name: String,
    /// Tags of its claims.
    pub tags: Vec<String>,
    /// Its subscriptions, if asked for; at most [`super::connz::MAX_LISTED_SUBSCRIPTIONS`].
    pub subs: Vec<SubSnapshot>,
}

/// What /varz shows of the `websocket` block; what is empty is left out.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WebSocketSnapshot {
    pub host: String,
    /// The one really bound.
    pub port: u16,
    pub advertise: String,
    pub no_auth_user: String,
    pub jwt_cookie: String,
    /// Nanoseconds.
    pub handshake_timeout: u64,
    /// Seconds.
    pub auth_timeout: f64,
    pub no_tls: bool,
    pub same_origin: bool,
    pub allowed_origins: Vec<String>,
    pub compression: bool,
}

/// One subscription.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SubSnapshot {
    /// Account, shown by subsz and for closed connections.
    pub account: String,
    pub subject: String,
    /// Queue group, empty if none.
    pub queue: String,
    /// The client's name for it.
    pub sid: String,
    /// Messages delivered to it.
    pub msgs: u64,
    /// Messages after which it ends; zero means never.
    pub max: u64,
    pub cid: u64,
}

/// Figures of a subscription index, summed over what is exact on each core.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct SublistStats {
    pub subscriptions: u64,
    /// Subjects in the route caches.
    pub cached: u64,
    pub inserts: u64,
    pub removes: u64,
    /// Subjects looked up, in the cache or not.
    pub matches: u64,
    /// Look-ups answered by the cache.
    pub cache_hits: u64,
    /// Most subscriptions that one cached subject has.
    pub max_fanout: u64,
    /// Subscriptions of all cached subjects together, for the mean.
    pub total_fanout: u64,
}

/// Subscriptions in all, and those listed.
#[derive(Debug, Clone, Default)]
pub struct SubszSnapshot {
    /// Of the account asked for, or of all.
    pub stats: SublistStats,
    /// How many subscriptions pass account and test subject.
    pub total: u64,
    /// The first of these, as many as [`super::subsz::SubszQuery::keep`] asks for.
    pub list: Vec<SubSnapshot>,
}

/// One account.
#[derive(Debug, Clone, Default)]
pub struct AccountSnapshot {
    pub name: String,
    pub is_system: bool,
    /// When its definition was last changed.
    pub update_time: UnixNanos,
    pub client_connections: u64,
    pub leafnode_connections: u64,
    pub stats: SublistStats,
    pub traffic: Traffic,
    pub slow_consumers: u64,
    /// JetStream is on for it.
    pub jetstream: bool,
}

/// A spread of values of which only the cuts are kept.
///
/// `count` and `sum` run since the start of the server; quantiles and `max` are those of the last
/// window (see [`CoreSnapshot::window`]), so that a page which is looked at shows the present.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Spread {
    pub count: u64,
    pub sum: u64,
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub p999: u64,
    pub p9999: u64,
    pub max: u64,
}

/// One core's own figures.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct CoreSnapshot {
    pub core: usize,
    /// CPU it is pinned to.
    pub cpu: Option<usize>,
    pub connections: u64,
    pub subscriptions: u64,
    #[serde(flatten)]
    pub traffic: CoreTraffic,
    /// Length of the window that quantiles cover, nanoseconds.
    pub window: u64,
    /// Turns of the loop.
    pub turns: u64,
    /// How often the core went to sleep.
    pub parks: u64,
    /// Time not asleep, nanoseconds.
    pub busy: u64,
    /// Length of a turn that did work: from taking a receive completion until the
    /// kernel has been given the sends that follow from it, nanoseconds.
    pub latency: Spread,
    /// Messages a turn.
    pub messages_per_turn: Spread,
    /// Sends a submit.
    pub sends_per_submit: Spread,
    /// Rings from this core to the others.
    pub rings: Vec<RingSnapshot>,
}

/// [`Traffic`] as corez writes it, and the part that crossed to other cores.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct CoreTraffic {
    pub in_msgs: u64,
    pub in_bytes: u64,
    pub out_msgs: u64,
    pub out_bytes: u64,
    /// Messages handed to other cores.
    pub remote_msgs: u64,
}

/// One single-producer ring between two cores.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct RingSnapshot {
    /// Core that reads it.
    pub to: usize,
    /// Bytes it holds.
    pub capacity: u64,
    /// Bytes in it now.
    pub depth: u64,
    /// Bytes that wait beside it because it is full.
    pub overflow: u64,
}

/// A connection that does not keep up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SlowConsumerSnapshot {
    pub cid: u64,
    pub name: String,
    pub account: String,
    pub core: usize,
    /// Bytes waiting for it; at the moment it was cut off if it was.
    pub pending_bytes: u64,
    /// When it was cut off; `None` while it is connected.
    pub cut_off: Option<UnixNanos>,
}
