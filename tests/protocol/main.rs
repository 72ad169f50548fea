//! The client protocol over real sockets: each test is named after the fact that it checks.
//!
//! Facts were observed on nats-server 2.15.1; run these tests against one with
//! `RINGWIRE_TEST_SERVER=/path/to/nats-server`.

#[path = "../common/mod.rs"]
mod common;

mod auth;
mod connect;
mod framing;
mod headers;
mod info;
mod limits;
mod permissions;
mod publish;
mod queue_groups;
mod subscribe;
mod timers;
