//! Why a run could not begin, or ended early.

use std::fmt;
use std::io;

/// An error with the sentence a user reads.
#[derive(Debug)]
pub enum Error {
    /// No connection could be made to the server.
    Connect { address: String, source: io::Error },
    /// The server answered the handshake with something else.
    Handshake { address: String, detail: String },
    /// An open connection ended.
    Closed { connection: usize, detail: String },
    /// A system call failed.
    System { doing: String, source: io::Error },
    /// What was asked for cannot be done.
    Usage(String),
    /// Nothing arrived for too long while messages were under way.
    Stalled { seconds: f64, missing: u64 },
    /// A request to JetStream failed.
    JetStream { request: String, detail: String },
    /// A server under `compare` did not start, or a run there failed.
    Child(String),
}

impl Error {
    pub fn system(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
        let doing = doing.into();
        move |source| Error::System { doing, source }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Connect { address, source } => {
                write!(f, "cannot connect to {address}: {source}")?;
                if source.kind() == io::ErrorKind::ConnectionRefused {
                    write!(f, " (is a server listening there?)")?;
                }
                Ok(())
            }
            Error::Handshake { address, detail } => {
                write!(f, "{address} did not accept the connection: {detail}")
            }
            Error::Closed { connection, detail } => {
                write!(f, "connection {connection} ended: {detail}")
            }
            Error::System { doing, source } => write!(f, "{doing}: {source}"),
            Error::Usage(text) | Error::Child(text) => f.write_str(text),
            Error::JetStream { request, detail } => write!(f, "JetStream, {request}: {detail}"),
            Error::Stalled { seconds, missing } => write!(
                f,
                "nothing arrived for {seconds:.1} s while {missing} messages were under way"
            ),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Connect { source, .. } | Error::System { source, .. } => Some(source),
            _ => None,
        }
    }
}
