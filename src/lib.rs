//! Ringwire: a NATS-compatible message broker for dedicated Linux hosts.
//!
//! The layers, from the inside out; an inner one never names an outer one:
//! [`protocol`] and [`subject`] are pure codecs and data structures, [`broker`]
//! is the state machine of one core (events in, effects out), [`jetstream`] is the same for
//! streams and consumers, [`config`] and
//! [`monitor`] turn options and snapshots into values and text, and [`runtime`]
//! is the only layer that touches sockets, files, clocks and threads.

pub mod broker;
pub mod config;
pub mod jetstream;
pub mod jwt;
pub mod monitor;
pub mod protocol;
pub mod runtime;
pub mod store;
pub mod subject;
pub mod system;
pub mod transport;
