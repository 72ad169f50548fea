//! Wire codec of the NATS client protocol.
//!
//! Bytes in, values out, and back: no socket, clock or random number is reached from here. The
//! reference is what nats-server 2.15.1 does on the wire; where this codec differs on purpose,
//! the item says so.

pub mod command;
pub mod connect;
pub mod errors;
pub mod go_json;
pub mod headers;
pub mod info;
pub mod number;
pub mod parse_error;
pub mod parser;
pub mod quote;
pub mod render;
mod scan;
mod scan_publish;
pub mod websocket;

#[cfg(test)]
mod parser_model;
#[cfg(test)]
mod parser_tests;

pub use command::{Command, Publish, SizeWidths, Verb};
pub use connect::{ConnectError, ConnectOptions};
pub use errors::ErrorText;
pub use info::ServerInfo;
pub use parse_error::{ParseError, Violation};
pub use parser::Parser;
pub use scan::ParseLimits;
