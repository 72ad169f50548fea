//! The monitoring port: counters, lists, sort orders, closed connections.

#[path = "../common/mod.rs"]
mod common;

mod connz;
mod http;
mod subsz;
mod varz;
