//! What the integration tests share: a server process, raw protocol clients, monitoring
//! requests, and waiting for a condition.
//!
//! The server under test is the `ringwire` binary of this build; `RINGWIRE_TEST_SERVER` names
//! another one. With the path of a real `nats-server` there, the same tests check themselves:
//! what they assert must hold there too, and where Ringwire differs on purpose the test says so
//! through [`is_ringwire`].

#![allow(
    dead_code,
    unused_imports,
    reason = "compiled into every test program, each of which uses its own part"
)]

mod client;
mod http;
mod server;
mod wait;

pub use client::{Client, Frame, Msg};
pub use http::{get, get_json};
pub use server::{Server, ServerBuilder, is_ringwire, server_binary};
pub use wait::{DEADLINE, eventually};
