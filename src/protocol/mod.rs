//! Wire codec of the NATS client protocol.
//!
//! Bytes in, values out, and back: no socket, clock or random number is reached from here. The
//! reference is what nats-server 2.15.1 does on the wire; where this codec differs on purpose,
//! the item says so.

pub mod command;
pub mod errors;
pub mod number;
pub mod parse_error;
pub mod parser;
mod scan;

#[cfg(test)]
mod parser_model;
#[cfg(test)]
mod parser_tests;

pub use command::{Command, Publish, Verb};
pub use errors::ErrorText;
pub use parse_error::{ParseError, Violation};
pub use parser::Parser;
pub use scan::ParseLimits;
