//! `idle` and `subs`: what connections and subscriptions cost in memory.

use super::{parameter, unique_subject};
use crate::connection::handshake::Target;
use crate::connection::net::Net;
use crate::connection::protocol::subscribe;
use crate::error::Error;
use crate::result::{Growth, Machine, Pacing, RunResult, Server};
use crate::server_process::ServerProcess;
use std::time::Duration;

/// Subscriptions sent between two PINGs.
const SUBS_PER_BARRIER: usize = 10_000;

/// What the server is to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// This many connections with one subscription each.
    Connections(usize),
    /// This many subscriptions of one connection, on distinct subjects.
    Subscriptions(usize),
}

/// Makes the server hold it and weighs it after `settle`.
pub fn weigh(
    held: Held,
    target: Target,
    server: Option<ServerProcess>,
    settle: Duration,
) -> Result<RunResult, Error> {
    let mut net = Net::new(target)?;
    let address = net.address();
    let resident = || server.map_or(Ok(0), |server| server.resident());
    let subject = unique_subject("held");
    let (before, what, outcome);
    match held {
        Held::Connections(count) => {
            what = "connections";
            before = resident()?;
            let subjects = (0..count).map(|n| (n, format!("{subject}.{n}"), None));
            outcome = net.connect_subscribers(subjects).map(|ids| ids.len());
        }
        Held::Subscriptions(count) => {
            what = "subscriptions";
            net.connect(0)?;
            before = resident()?;
            outcome = add_subscriptions(&mut net, &subject, count);
        }
    }
    std::thread::sleep(settle);
    let after = resident()?;
    let (count, error) = match outcome {
        Ok(count) => (count as u64, None),
        Err(error) => (0, Some(error.to_string())),
    };
    let mut result = RunResult {
        title: format!("{what} held for {:.1} s", settle.as_secs_f64()),
        command: std::env::args().collect(),
        loadgen_version: env!("CARGO_PKG_VERSION").into(),
        machine: Machine::read(),
        server: Server {
            address: address.to_string(),
            name: net.info().server_name.clone(),
            version: net.info().version.clone(),
            ..Server::default()
        },
        pacing: Pacing::AsFastAsItGoes,
        parameters: vec![parameter(what, count)],
        complete: error.is_none(),
        faults: error.into_iter().collect(),
        growth: server.is_some().then(|| Growth {
            what: what.into(),
            count,
            resident_before: before,
            resident_after: after,
            resident_peak: after.max(before),
        }),
        ..RunResult::default()
    };
    if server.is_none() {
        result
            .notes
            .push("give --server-pid to have the server weighed".into());
    }
    if let (1.., Some(text)) = net.server_errors() {
        result.faults.push(format!("the server said -ERR '{text}'"));
    }
    Ok(result)
}

fn add_subscriptions(net: &mut Net, subject: &str, count: usize) -> Result<usize, Error> {
    const CONN: usize = 0;
    for from in (0..count).step_by(SUBS_PER_BARRIER) {
        for n in from..(from + SUBS_PER_BARRIER).min(count) {
            let out = net.out(CONN);
            subscribe(out, &format!("{subject}.{n}"), None, n as u64 + 1);
        }
        net.flush()?;
        net.barrier(&[CONN])?;
    }
    Ok(count)
}
