//! `/varz`: identity, options and sums of the server.

use std::collections::BTreeMap;

use serde::Serialize;

use super::format::{self, GoFloat, elapsed};
use super::jsz::VarzJetStream;
use super::response::Response;
use super::snapshot::{KindCounts, ServerSnapshot, WebSocketSnapshot};

/// Protocol version offered to clients: 1, INFO may come at any time.
const CLIENT_PROTOCOL: u32 = 1;

/// The answer to `/varz`.
pub fn respond(server: &ServerSnapshot) -> Response {
    Response::json(&Varz::new(server))
}

/// A block of nats-server's that this server has no part of.
#[derive(Serialize)]
struct Absent {}

/// JetStream's waits for the disk; no stream, no wait.
#[derive(Serialize, Default)]
struct DiskWaits {
    waiters: u64,
    waits: u64,
    wait_time: u64,
    max_wait_time: u64,
}

/// The `websocket` block. What is not set is left out.
#[derive(Serialize)]
struct VarzWebSocket<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    host: &'a str,
    #[serde(skip_serializing_if = "no_port")]
    port: u16,
    #[serde(skip_serializing_if = "str::is_empty")]
    advertise: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    no_auth_user: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    jwt_cookie: &'a str,
    #[serde(skip_serializing_if = "zero")]
    handshake_timeout: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_timeout: Option<GoFloat>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    no_tls: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    same_origin: bool,
    #[serde(skip_serializing_if = "no_items")]
    allowed_origins: &'a [String],
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    compression: bool,
}

fn no_port(port: &u16) -> bool {
    *port == 0
}

impl<'a> VarzWebSocket<'a> {
    fn new(s: &'a WebSocketSnapshot) -> Self {
        Self {
            host: &s.host,
            port: s.port,
            advertise: &s.advertise,
            no_auth_user: &s.no_auth_user,
            jwt_cookie: &s.jwt_cookie,
            handshake_timeout: s.handshake_timeout,
            auth_timeout: (s.auth_timeout != 0.0).then_some(GoFloat(s.auth_timeout)),
            no_tls: s.no_tls,
            same_origin: s.same_origin,
            allowed_origins: &s.allowed_origins,
            compression: s.compression,
        }
    }
}

/// nats-server's keys in its order, and `ringwire_version`.
#[derive(Serialize)]
struct Varz<'a> {
    server_id: &'a str,
    server_name: &'a str,
    version: &'a str,
    ringwire_version: &'a str,
    proto: u32,
    git_commit: &'a str,
    go: &'a str,
    host: &'a str,
    port: u16,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    auth_required: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    tls_required: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    tls_verify: bool,
    #[serde(skip_serializing_if = "no_items")]
    connect_urls: &'a [String],
    max_connections: u64,
    #[serde(skip_serializing_if = "zero")]
    max_subscriptions: u64,
    ping_interval: u64,
    ping_max: u32,
    http_host: &'a str,
    http_port: u16,
    http_base_path: &'a str,
    https_port: u16,
    auth_timeout: GoFloat,
    max_control_line: u64,
    max_payload: u64,
    max_pending: u64,
    cluster: Absent,
    gateway: Absent,
    leaf: Absent,
    mqtt: Absent,
    websocket: VarzWebSocket<'a>,
    jetstream: VarzJetStream,
    tls_timeout: GoFloat,
    write_deadline: u64,
    start: String,
    now: String,
    uptime: String,
    mem: u64,
    cores: usize,
    gomaxprocs: usize,
    cpu: GoFloat,
    connections: u64,
    total_connections: u64,
    routes: u64,
    remotes: u64,
    leafnodes: u64,
    in_msgs: u64,
    in_bytes: u64,
    in_client_msgs: u64,
    in_client_bytes: u64,
    out_msgs: u64,
    out_bytes: u64,
    out_client_msgs: u64,
    out_client_bytes: u64,
    slow_consumers: u64,
    stale_connections: u64,
    stalled_clients: u64,
    subscriptions: u64,
    http_req_stats: &'a BTreeMap<&'static str, u64>,
    config_load_time: String,
    config_digest: &'a str,
    #[serde(skip_serializing_if = "no_items")]
    tags: &'a [String],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: &'a BTreeMap<String, String>,
    system_account: &'a str,
    slow_consumer_stats: KindCounts,
    stale_connection_stats: KindCounts,
    disk_io_wait_stats: DiskWaits,
}

fn zero(number: &u64) -> bool {
    *number == 0
}

fn no_items(items: &&[String]) -> bool {
    items.is_empty()
}

impl<'a> Varz<'a> {
    fn new(s: &'a ServerSnapshot) -> Self {
        let o = &s.options;
        Varz {
            server_id: &s.server_id,
            server_name: &s.server_name,
            version: &s.version,
            ringwire_version: &s.ringwire_version,
            proto: CLIENT_PROTOCOL,
            git_commit: &s.git_commit,
            go: &s.compiler,
            host: &o.host,
            port: o.port,
            auth_required: o.auth_required,
            tls_required: o.tls_required,
            tls_verify: o.tls_verify,
            connect_urls: &o.connect_urls,
            max_connections: o.max_connections,
            max_subscriptions: o.max_subscriptions,
            ping_interval: o.ping_interval,
            ping_max: o.ping_max,
            http_host: &o.http_host,
            http_port: o.http_port,
            http_base_path: &o.http_base_path,
            https_port: o.https_port,
            auth_timeout: GoFloat(o.auth_timeout),
            max_control_line: o.max_control_line,
            max_payload: o.max_payload,
            max_pending: o.max_pending,
            cluster: Absent {},
            gateway: Absent {},
            leaf: Absent {},
            mqtt: Absent {},
            websocket: VarzWebSocket::new(&o.websocket),
            jetstream: VarzJetStream::new(s.jetstream.as_ref()),
            tls_timeout: GoFloat(o.tls_timeout),
            write_deadline: o.write_deadline,
            start: format::rfc3339(s.start),
            now: format::rfc3339(s.now),
            uptime: format::uptime(elapsed(s.start, s.now)),
            mem: s.memory,
            cores: s.host_cpus,
            gomaxprocs: s.cores,
            cpu: GoFloat(s.cpu_percent),
            connections: s.connections,
            total_connections: s.total_connections,
            routes: 0,
            remotes: 0,
            leafnodes: 0,
            in_msgs: s.traffic.in_msgs,
            in_bytes: s.traffic.in_bytes,
            // Clients are all there is: no routes, gateways or leaf nodes bring messages yet.
            in_client_msgs: s.traffic.in_msgs,
            in_client_bytes: s.traffic.in_bytes,
            out_msgs: s.traffic.out_msgs,
            out_bytes: s.traffic.out_bytes,
            out_client_msgs: s.traffic.out_msgs,
            out_client_bytes: s.traffic.out_bytes,
            slow_consumers: s.slow_consumers.total(),
            stale_connections: s.stale_connections.total(),
            stalled_clients: s.stalled_clients,
            subscriptions: s.subscriptions,
            http_req_stats: &s.http_requests,
            config_load_time: format::rfc3339(s.config_load_time),
            config_digest: &s.config_digest,
            tags: &o.tags,
            metadata: &o.metadata,
            system_account: &o.system_account,
            slow_consumer_stats: s.slow_consumers,
            stale_connection_stats: s.stale_connections,
            disk_io_wait_stats: DiskWaits::default(),
        }
    }
}
