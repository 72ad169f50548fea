//! The requests on `$JS.API` and their responses.
//!
//! | file | idea |
//! |---|---|
//! | `endpoint` | which subjects there are, and what they name |
//! | `request` | bodies of requests |
//! | `response` | bodies of responses |
//! | `direct` | direct get: a message, or many, as they were stored |
//! | `snapshot`, `restore`, `archive` | a stream as a sequence of chunks, and back |

pub(in crate::jetstream) mod archive;
pub(in crate::jetstream) mod consumers;
pub(in crate::jetstream) mod direct;
pub(in crate::jetstream) mod dispatch;
pub mod endpoint;
pub(in crate::jetstream) mod lists;
pub(in crate::jetstream) mod messages;
pub mod request;
pub mod response;
pub(in crate::jetstream) mod restore;
pub(in crate::jetstream) mod snapshot;
pub(in crate::jetstream) mod streams;

pub use endpoint::{Endpoint, PREFIX};

/// Names of streams or consumers on one page.
pub const NAMES_PAGE: usize = 1_024;
/// Streams or consumers on one page.
pub const LIST_PAGE: usize = 256;
/// Subjects in one answer of stream info.
pub const SUBJECTS_PAGE: usize = 100_000;

#[cfg(test)]
mod tests;
