//! Options: the configuration language of nats-server, its command line, and reloads.
//!
//! The way of a start: [`parse_arguments`] gives a [`Command`]; [`load`] reads the file named by its
//! [`Flags`] through a [`Source`] and gives a [`Configuration`]; at a reload [`load`] runs again
//! with the same flags and [`diff`] says what changes. Texts of errors are those of nats-server,
//! since test harnesses and operators match them.
//!
//! Everything but [`SystemSource`] is free of input and output.
//!
//! ```
//! use ringwire::config::{Command, SystemSource, load, parse_arguments};
//!
//! let Ok(Command::Run(flags)) = parse_arguments(["-p", "-1", "--name", "a"]) else { unreachable!() };
//! let options = load(&flags, &SystemSource).expect("no file is named").options;
//! assert_eq!((options.port, options.server_name.as_str()), (-1, "a"));
//! ```

mod account_links;
mod accounts;
mod authorization;
mod cli;
pub mod defaults;
mod diagnostics;
mod extensions;
mod flags;
mod jetstream;
mod lexer;
mod options;
mod parser;
mod read;
mod read_authorization;
mod read_options;
mod reload;
mod source;
mod startup;
#[cfg(test)]
mod tests;
mod text;
mod trust;
mod unbuilt;
mod validate;
mod value;
mod websocket;

pub use authorization::{
    AuthorizationConfig, PermissionsConfig, ResponseRule, SubjectRules, UserConfig, is_bcrypt,
};
pub use cli::{CliError, Command, Flags, SignalCommand, SignalRequest, parse as parse_arguments};
pub use diagnostics::{Diagnostic, FileError, Problem, Report};
pub use flags::{HELP, HELP_TLS, PEER_VERSION, version_text};
pub use jetstream::{JetStreamOptions, SyncPolicy};
pub use options::{Accept, HostOptions, LogOptions, Options, Placement, Spin, WriteTimeout};
pub use parser::{
    MAX_ENVIRONMENT_DEPTH, MAX_EXPANSION, MAX_INCLUDE_DEPTH, MAX_INCLUDED_FILES, MAX_NESTING,
    ParseError, Source,
};
pub use reload::{Change, ReloadError, diff};
pub use source::{MAX_FILE_BYTES, SystemSource};
pub use startup::{ConfigError, Configuration, load, test_config};
pub use text::{duration_text, quoted};
pub use trust::{Resolver, TrustOptions};
pub use validate::{Caution, ValidationError, validate};
pub use value::Position;
pub use websocket::WebSocketOptions;
