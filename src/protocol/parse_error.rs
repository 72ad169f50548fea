//! Why the parser refused a connection's bytes.

use std::fmt;

use super::command::Verb;
use super::errors::ErrorText;

/// A parse error ends the connection: what follows it in the stream has no meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParseError {
    /// A byte that no verb allows at this place, or a payload that does not end in CRLF.
    UnknownOperation,
    /// The verb was understood, its arguments were not. The client is told nothing.
    ProtocolViolation {
        /// The verb whose arguments are wrong.
        verb: Verb,
        /// What is wrong with them.
        cause: Violation,
    },
    /// Arguments longer than [`ParseLimits::max_control_line`](super::ParseLimits::max_control_line).
    MaxControlLine {
        /// The limit in force, in bytes.
        limit: usize,
    },
    /// A message announced larger than [`ParseLimits::max_payload`](super::ParseLimits::max_payload).
    MaxPayload {
        /// Announced size of headers and payload, in bytes.
        size: u32,
        /// The limit in force, in bytes.
        limit: i64,
    },
}

/// What is wrong with the arguments of a verb.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Violation {
    /// Too few or too many.
    ArgumentCount,
    /// The size of a message is not one to nine decimal digits.
    Size,
    /// The size of a header block is not one to nine decimal digits, or above the message's size.
    HeaderSize,
    /// HPUB from a client that did not ask for headers, or on a server that denies them.
    HeadersNotSupported,
}

impl ParseError {
    /// The `-ERR` to send before closing; `None` means that the connection is closed in silence.
    pub fn error(&self) -> Option<ErrorText> {
        match self {
            ParseError::UnknownOperation => Some(ErrorText::UnknownOperation),
            ParseError::ProtocolViolation { .. } => None,
            ParseError::MaxControlLine { .. } => Some(ErrorText::MaxControlLine),
            ParseError::MaxPayload { .. } => Some(ErrorText::MaxPayload),
        }
    }

    /// The text between the quotes of that `-ERR`.
    pub fn text(&self) -> Option<&'static str> {
        self.error().map(ErrorText::text)
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ParseError::UnknownOperation => f.write_str("unknown protocol operation"),
            ParseError::ProtocolViolation { verb, cause } => {
                let cause = match cause {
                    Violation::ArgumentCount => "wrong number of arguments",
                    Violation::Size => "bad message size",
                    Violation::HeaderSize => "bad header size",
                    Violation::HeadersNotSupported => "headers were not negotiated",
                };
                write!(f, "protocol violation in {}: {cause}", verb.name())
            }
            ParseError::MaxControlLine { limit } => {
                write!(f, "maximum control line of {limit} bytes exceeded")
            }
            ParseError::MaxPayload { size, limit } => {
                write!(
                    f,
                    "message of {size} bytes exceeds the maximum payload of {limit}"
                )
            }
        }
    }
}

impl std::error::Error for ParseError {}
