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
    /// The size of a header block is not one to nine decimal digits.
    HeaderSize,
    /// The header block is said to be larger than the message.
    HeaderBeyondMessage,
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

/// As nats-server logs it, without the arguments that it quotes behind some.
impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ParseError::UnknownOperation => f.write_str("unknown protocol operation"),
            ParseError::ProtocolViolation { verb, cause } => {
                let process = match verb {
                    Verb::Pub => "processPub",
                    Verb::Hpub => "processHeaderPub",
                    Verb::Sub => "processSub",
                    Verb::Unsub => "processUnsub",
                    other => other.name(),
                };
                let cause = match (cause, verb) {
                    (Violation::HeadersNotSupported, _) => {
                        return f.write_str("message headers not supported");
                    }
                    (Violation::ArgumentCount, _) => "Parse Error",
                    (Violation::Size, Verb::Hpub) => "Bad or Missing Total Size",
                    (Violation::Size, _) => "Bad or Missing Size",
                    (Violation::HeaderSize, _) => "Bad or Missing Header Size",
                    (Violation::HeaderBeyondMessage, _) => "Header Size larger then TotalSize",
                };
                write!(f, "{process} {cause}")
            }
            ParseError::MaxControlLine { .. } => f.write_str("maximum control line exceeded"),
            ParseError::MaxPayload { size, limit } => {
                write!(f, "maximum payload exceeded: {size} vs {limit}")
            }
        }
    }
}

impl std::error::Error for ParseError {}
