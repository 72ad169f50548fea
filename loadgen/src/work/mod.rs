//! The kinds of load.

pub mod echo;
pub mod fanout;
pub mod listen;
pub mod memory;
pub mod paced;
pub mod request;
pub mod storm;
pub mod stream;

/// Sid of the one subscription that connections of most workloads have.
pub const ONLY_SID: u64 = 1;

/// A prefix of subjects that two runs at the same time do not share.
pub fn unique_subject(what: &str) -> String {
    format!("loadgen.{what}.{}", std::process::id())
}
