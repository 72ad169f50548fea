//! From flags and file to options: at the start, for `-t`, and at each reload.

use std::fmt;

use super::cli::Flags;
use super::diagnostics::{FileError, Report};
use super::options::Options;
use super::parser::Source;
use super::read_options::{FileOptions, read_file};
use super::validate::{Caution, ValidationError, validate};

/// Options that a server can run with.
#[derive(Debug, Clone, PartialEq)]
pub struct Configuration {
    pub options: Options,
    /// What to print on standard error before the start: lines that need no prefix, each with
    /// its line end (a line without a time, as nats-server does). Empty: nothing.
    pub warnings: Report,
    /// What to log as a warning once the log is open.
    pub cautions: Vec<Caution>,
}

/// Why there are no options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigError {
    File(FileError),
    Options(ValidationError),
}

impl ConfigError {
    /// Whether it is to be logged as a fatal line; the others are printed on standard error after
    /// `nats-server: `. The exit status is 1 either way.
    pub fn is_log_line(&self) -> bool {
        matches!(self, ConfigError::Options(error) if error.is_log_line())
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::File(error) => error.fmt(f),
            ConfigError::Options(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ConfigError {}

impl From<FileError> for ConfigError {
    fn from(error: FileError) -> Self {
        ConfigError::File(error)
    }
}

impl From<ValidationError> for ConfigError {
    fn from(error: ValidationError) -> Self {
        ConfigError::Options(error)
    }
}

/// The options of the flags and the file they name; flags win. Used at the start and at a reload.
pub fn load(flags: &Flags, source: &dyn Source) -> Result<Configuration, ConfigError> {
    let FileOptions {
        mut options,
        warnings,
    } = if flags.config.is_empty() {
        let options = Options {
            http_host: String::new(),
            ..Options::default()
        };
        FileOptions {
            options,
            warnings: Report::default(),
        }
    } else {
        read_file(source, &flags.config)?
    };
    flags.apply(&mut options)?;
    options.fill_defaults();
    let cautions = validate(&options)?;
    Ok(Configuration {
        options,
        warnings,
        cautions,
    })
}

/// The work of `-t`: reads the file of the flags and nothing more. Warnings count as errors here.
/// The text of success follows `nats-server: ` on standard error, with exit status 0.
pub fn test_config(flags: &Flags, source: &dyn Source) -> Result<String, FileError> {
    let file = read_file(source, &flags.config)?;
    if !file.warnings.is_empty() {
        return Err(FileError::Values(file.warnings));
    }
    Ok(format!(
        "configuration file {} is valid ({})",
        flags.config, file.options.config_digest
    ))
}
