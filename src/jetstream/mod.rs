//! JetStream: streams, consumers and their API.
//!
//! One [`JetStream`] stands beside each [`crate::broker::Core`] and, like it, never touches a
//! socket, file, clock or source of randomness: what it needs comes through [`bus::Bus`] and
//! [`crate::store::Disk`], and both answer by events. A stream lives on one core, its *home*,
//! which its account and name decide. Core 0 is the *meta core*: it answers what concerns many
//! streams and hands on what concerns one.
//!
//! | file | idea |
//! |---|---|
//! | `node` | the state of one core and its entry points |
//! | `bus` | what is asked of the broker's core |
//! | `settings` | what it is configured with |
//! | `error` | the API's errors |
//! | `json`, `time` | how requests are read, and times in them |
//! | `entry`, `layout` | a stream whose home this is, and where it lies on disk |
//! | `held` | responses that wait until what they say is in force |
//! | `peer` | records between cores |
//! | `meta`, `account` | the catalogue of streams and the use of accounts |
//! | `api` | requests and responses |
//! | `advisory` | events on `$JS.EVENT` |
//! | `stream` | one stream: what it stores and for how long |
//! | `consumer` | one consumer: what it delivers and what was acknowledged |

mod account;
mod advisory;
pub mod api;
pub mod bus;
pub mod consumer;
mod entry;
pub mod error;
mod held;
pub mod json;
mod layout;
mod meta;
mod node;
pub mod peer;
mod report;
mod service;
pub mod settings;
pub mod stream;
#[cfg(test)]
mod testing;
pub mod time;

pub use self::node::JetStream;
pub use self::service::Service;
