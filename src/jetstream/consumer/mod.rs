//! Consumers: what is delivered to whom, and what of it was acknowledged.
//!
//! A stream owns its [`Consumers`]; they find messages in its log and publish them through the
//! bus. Time, randomness, disk and network come in as arguments.
//!
//! | file | idea |
//! |---|---|
//! | `set` | the consumers of one stream and their entry points |
//! | `single` | one consumer: its parts, life, and changes from outside |
//! | `config`, `create`, `validate` | configuration, requests, rules |
//! | `position` | where a consumer stands in the log, and how much is to come |
//! | `pending` | what was delivered and not acknowledged, and when it is due again |
//! | `state`, `saver` | what survives a restart, and its journal |
//! | `deliver` | choosing a message and a receiver |
//! | `request`, `waiting`, `pull`, `priority` | pull requests |
//! | `push` | flow control and rate of push consumers |
//! | `ack`, `acknowledge` | acknowledgements: their form, and what they do |
//! | `timer` | deadlines |
//! | `status`, `text` | what is rendered without machinery |
//! | `info`, `event` | what is shown and reported |

mod ack;
mod acknowledge;
mod config;

mod create;
mod deliver;
mod event;
mod info;
mod pending;
mod position;
mod priority;
mod pull;
mod push;
mod request;
mod saver;
mod set;
mod single;
mod state;
mod status;
#[cfg(test)]
mod tests;
mod text;
mod timer;
mod validate;
mod waiting;

pub use self::ack::{AckSubject, Verb};
pub use self::config::{AckPolicy, ConsumerConfig, DeliverPolicy, PriorityPolicy, ReplayPolicy};
pub use self::create::{Action, CreateConsumerRequest, CreateSubject};
pub use self::event::{Event, EventKind};
pub use self::info::{ConsumerInfo, GroupInfo, PauseInfo, SequenceInfo};
pub use self::set::{Consumers, Plan};
pub use self::single::{Consumer, Context, StreamFacts};
pub use self::validate::{Allowed, REQUIRED_LEVEL};
