//! Problems of a configuration file, with the texts that nats-server gives them.

use std::fmt;

use super::parser::ParseError;
use super::text::quoted;
use super::value::{Kind, Position};

/// What is wrong with one value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// No option has this name here.
    UnknownField(String),
    /// A value of another type is needed. The names of types are those of nats-server's messages.
    WrongType {
        found: &'static str,
        wanted: &'static str,
    },
    /// An option that nats-server has and this server does not have yet.
    NotBuilt(String),
    /// Warning: a bare number where a duration should stand.
    BareSeconds(String),
    /// A message in full.
    Text(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::UnknownField(name) => write!(f, "unknown field {}", quoted(name)),
            Problem::WrongType { found, wanted } => {
                write!(
                    f,
                    "interface conversion: interface {{}} is {found}, not {wanted}"
                )
            }
            Problem::NotBuilt(name) => write!(f, "{} is not built yet in ringwire", quoted(name)),
            Problem::BareSeconds(name) => {
                write!(
                    f,
                    "invalid use of field {}: {name} should be converted to a duration",
                    quoted(name)
                )
            }
            Problem::Text(text) => f.write_str(text),
        }
    }
}

/// A problem and where it is; some of nats-server's messages name no place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    pub position: Option<Position>,
    pub problem: Problem,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.position {
            Some(position) => write!(f, "{position}: {}", self.problem),
            None => self.problem.fmt(f),
        }
    }
}

/// Everything that was found wrong with the values of a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// The server starts in spite of these; `-t` fails.
    pub warnings: Vec<Diagnostic>,
    pub errors: Vec<Diagnostic>,
}

impl Report {
    pub fn is_empty(&self) -> bool {
        self.warnings.is_empty() && self.errors.is_empty()
    }

    pub(super) fn error(&mut self, position: &Position, problem: Problem) {
        self.errors.push(Diagnostic {
            position: Some(position.clone()),
            problem,
        });
    }

    pub(super) fn text(&mut self, position: &Position, text: impl Into<String>) {
        self.error(position, Problem::Text(text.into()));
    }

    /// An error without a place.
    pub(super) fn placeless(&mut self, text: impl Into<String>) {
        self.errors.push(Diagnostic {
            position: None,
            problem: Problem::Text(text.into()),
        });
    }

    pub(super) fn wrong_type(&mut self, position: &Position, found: &Kind, wanted: &'static str) {
        self.error(
            position,
            Problem::WrongType {
                found: found.type_name(),
                wanted,
            },
        );
    }

    pub(super) fn warn(&mut self, position: Option<&Position>, problem: Problem) {
        self.warnings.push(Diagnostic {
            position: position.cloned(),
            problem,
        });
    }
}

/// One line for each warning and error, warnings first, each with its line end.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.warnings
            .iter()
            .chain(&self.errors)
            .try_for_each(|diagnostic| writeln!(f, "{diagnostic}"))
    }
}

/// Why a configuration file gives no options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileError {
    /// It cannot be read or is not in the configuration language.
    Parse(ParseError),
    /// Its values are wrong. There is at least one error.
    Values(Report),
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FileError::Parse(error) => error.fmt(f),
            FileError::Values(report) => report.fmt(f),
        }
    }
}

impl std::error::Error for FileError {}

impl From<ParseError> for FileError {
    fn from(error: ParseError) -> Self {
        FileError::Parse(error)
    }
}
