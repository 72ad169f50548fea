//! Endpoints about what this server does not have: `/routez`, `/gatewayz`, `/leafz`.
//!
//! Each says "none" as nats-server does without clusters, so that tools which ask all
//! endpoints go on working.

use std::collections::BTreeMap;

use serde::Serialize;

use super::format;
use super::query::{BadValue, Query};
use super::response::Response;
use super::snapshot::ServerSnapshot;

/// Checks the options that `/routez`, `/gatewayz` and `/leafz` have.
pub fn check(query: &Query, booleans: &[&'static str]) -> Result<(), BadValue> {
    for name in booleans {
        query.bool(name)?;
    }
    Ok(())
}

#[derive(Serialize)]
struct Routez<'a> {
    server_id: &'a str,
    server_name: &'a str,
    now: String,
    num_routes: u64,
    routes: [(); 0],
}

/// No routes.
pub fn routez(server: &ServerSnapshot) -> Response {
    Response::json(&Routez {
        server_id: &server.server_id,
        server_name: &server.server_name,
        now: format::rfc3339(server.now),
        num_routes: 0,
        routes: [],
    })
}

#[derive(Serialize)]
struct Gatewayz<'a> {
    server_id: &'a str,
    now: String,
    outbound_gateways: BTreeMap<(), ()>,
    inbound_gateways: BTreeMap<(), ()>,
}

/// No gateways.
pub fn gatewayz(server: &ServerSnapshot) -> Response {
    Response::json(&Gatewayz {
        server_id: &server.server_id,
        now: format::rfc3339(server.now),
        outbound_gateways: BTreeMap::new(),
        inbound_gateways: BTreeMap::new(),
    })
}

#[derive(Serialize)]
struct Leafz<'a> {
    server_id: &'a str,
    now: String,
    leafnodes: u64,
    leafs: [(); 0],
}

/// No leaf nodes.
pub fn leafz(server: &ServerSnapshot) -> Response {
    Response::json(&Leafz {
        server_id: &server.server_id,
        now: format::rfc3339(server.now),
        leafnodes: 0,
        leafs: [],
    })
}
