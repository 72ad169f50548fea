//! The figures that a server sends to the system account by itself and when it is pinged.

use serde::Serialize;

use super::format::{self, GoFloat};
use super::jsz::VarzJetStream;
use super::snapshot::{ServerSnapshot, Snapshot, Traffic};

#[derive(Debug, Serialize)]
struct Amount {
    msgs: u64,
    bytes: u64,
}

/// nats-server's keys in its order.
#[derive(Debug, Serialize)]
pub struct Statsz {
    start: String,
    mem: u64,
    cores: usize,
    cpu: GoFloat,
    connections: u64,
    total_connections: u64,
    active_accounts: u64,
    subscriptions: u64,
    sent: Amount,
    sent_to_clients: Amount,
    received: Amount,
    received_from_clients: Amount,
    slow_consumers: u64,
    active_servers: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    jetstream: Option<VarzJetStream>,
    gomaxprocs: usize,
}

fn sent(traffic: &Traffic) -> Amount {
    Amount {
        msgs: traffic.out_msgs,
        bytes: traffic.out_bytes,
    }
}

fn received(traffic: &Traffic) -> Amount {
    Amount {
        msgs: traffic.in_msgs,
        bytes: traffic.in_bytes,
    }
}

impl Statsz {
    /// From a snapshot that holds the accounts.
    pub fn new(snapshot: &Snapshot) -> Self {
        let server: &ServerSnapshot = &snapshot.server;
        let active = |a: &&super::snapshot::AccountSnapshot| a.client_connections > 0;
        Self {
            start: format::rfc3339(server.start),
            mem: server.memory,
            cores: server.host_cpus,
            cpu: GoFloat(server.cpu_percent),
            connections: server.connections,
            total_connections: server.total_connections,
            active_accounts: snapshot.accounts.iter().filter(active).count() as u64,
            subscriptions: server.subscriptions,
            // Clients are all there is: no routes, gateways or leaf nodes bring messages yet.
            sent: sent(&server.traffic),
            sent_to_clients: sent(&server.traffic),
            received: received(&server.traffic),
            received_from_clients: received(&server.traffic),
            slow_consumers: server.slow_consumers.total(),
            active_servers: 1,
            jetstream: server.jetstream.as_ref().map(VarzJetStream::without_place),
            gomaxprocs: server.cores,
        }
    }
}
