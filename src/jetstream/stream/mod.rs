//! One stream: what it takes, keeps, and for how long.
//!
//! A [`Stream`] is a state machine over its [log](crate::store::Log). Whatever is decided about a
//! message (its time, its sequence, whether it is a duplicate) is decided when it comes and stands
//! in the log; what the stream knows besides is derived from the log ([`derived`]). What surrounds
//! it comes with every call, in a [`context::Context`].
//!
//! | file | idea |
//! |---|---|
//! | `core` | the state and the entry points |
//! | `config`, `validate` | what a stream is to be, and whether it can |
//! | `publish`, `headers` | a message from a publisher: checks and answers |
//! | `ack`, `backlog` | answers that wait for the disk, messages that wait for a read |
//! | `limits`, `expire` | what goes because of others, or with time |
//! | `manage`, `info` | what the API does and shows |
//! | `derived`, `dedup` | what is known because of the messages stored |
//! | `batch`, `fast_batch` | messages that belong together |
//! | `schedule`, `cron` | messages that are published later, and again |
//! | `counter`, `duration`, `source_header`, `quoted` | values in headers and bodies |
//! | `republish` | copies on other subjects |
//! | `follow`, `follow_message` | mirrors and sources |
//! | `context`, `event` | what the stream is given, and what it tells |

mod ack;
mod backlog;
mod batch;
pub mod config;
pub mod context;
mod core;
mod counter;
mod cron;
mod dedup;
mod derived;
pub mod duration;
pub mod event;
mod expire;
mod fast_batch;
mod follow;
mod follow_message;
mod headers;
pub mod info;
mod limits;
mod manage;
mod publish;
mod quoted;
mod republish;
mod schedule;
mod source_header;
#[cfg(test)]
mod tests;
pub mod validate;

pub use self::config::{Discard, Retention, Storage, StreamConfig, StreamRequest};
pub use self::context::{Consumers, Context, NoConsumers, NoLimits, Room, Usage};
pub use self::core::{Stream, StreamSpec};
pub use self::event::{AbandonReason, StreamEvent};
pub use self::info::{SourceInfo, StreamInfo, StreamState};
pub use self::manage::Purge;
