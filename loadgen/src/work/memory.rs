//! `idle` and `subs`: what connections and subscriptions cost in memory.

use super::unique_subject;
use crate::error::Error;
use crate::handshake::Target;
use crate::net::Net;
use crate::protocol::subscribe;
use crate::report::{Growth, Report};
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
) -> Result<Report, Error> {
    let mut net = Net::new(target)?;
    let resident = || server.map_or(Ok(0), |server| server.resident());
    let subject = unique_subject("held");
    let (before, what, outcome);
    match held {
        Held::Connections(count) => {
            what = "connections";
            before = resident()?;
            let subjects = (0..count).map(|n| (format!("{subject}.{n}"), None));
            outcome = net.connect_subscribers(subjects).map(|ids| ids.len());
        }
        Held::Subscriptions(count) => {
            what = "subscriptions";
            net.connect()?;
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
    let mut report = Report {
        work: what.into(),
        mode: format!("held for {:.1} s", settle.as_secs_f64()),
        server: net.info().clone(),
        error,
        growth: Some(Growth {
            what: what.into(),
            count,
            resident_before: before,
            resident_after: after,
            resident_peak: after.max(before),
            bytes_each: after.saturating_sub(before) as f64 / count.max(1) as f64,
        }),
        ..Report::default()
    };
    if server.is_none() {
        report
            .notes
            .push("give --server-pid to have the server weighed".into());
    }
    if let (1.., Some(text)) = net.server_errors() {
        report.notes.push(format!("the server said -ERR '{text}'"));
    }
    Ok(report)
}

fn add_subscriptions(net: &mut Net, subject: &str, count: usize) -> Result<usize, Error> {
    const CONN: usize = 0;
    for from in (0..count).step_by(SUBS_PER_BARRIER) {
        for n in from..(from + SUBS_PER_BARRIER).min(count) {
            let out = net.out(CONN);
            subscribe(out, &format!("{subject}.{n}"), None, n as u64 + 1);
        }
        net.flush(CONN)?;
        net.barrier(&[CONN])?;
    }
    Ok(count)
}
