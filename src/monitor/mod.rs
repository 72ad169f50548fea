//! What the monitoring endpoints say, from snapshots of the cores.
//!
//! Everything here is pure: a [`Request`] is parsed from a target, tells what it [`Needs`], and
//! makes a [`Response`] from a [`Snapshot`]; [`http`] turns bytes into targets and answers into
//! bytes. Sockets, clocks and the gathering of snapshots are the runtime's.
//!
//! The endpoints of nats-server 2.15.1 answer with its keys, order, texts and status codes, for
//! tools read them. Of our own are `/metrics` (Prometheus), `/corez` (each core's figures) and the
//! page at `/`.

mod absent;
pub mod accounts;
pub mod closed;
pub mod connz;
mod corez;
pub mod format;
mod health;
pub mod http;
mod index;
mod jsz;
mod metrics;
pub mod query;
mod request;
mod response;
pub mod snapshot;
pub mod statsz;
pub mod subsz;
mod varz;

pub use closed::ClosedRing;
pub use request::{Needs, Request, RequestStats};
pub use response::Response;
pub use snapshot::Snapshot;

#[cfg(test)]
mod tests;
