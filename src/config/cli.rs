//! The command line: nats-server's flags and ours.
//!
//! The rules are those of Go's flag package, which differ from what Rust programs usually do: one
//! dash or two for every flag, no bundling, `-DV` is a name of its own, `-D false` is `-D` and
//! the argument `false`, flags end at the first argument without a dash.

use std::fmt;

use super::extensions;
use super::flags::{FLAGS, Flag, Takes};
use super::options::{Accept, Options, Placement, Spin};
use super::text::quoted;
use super::validate::ValidationError;

/// What the command line asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Run the server.
    Run(Flags),
    /// Check the configuration file of the flags and exit.
    TestConfig(Flags),
    /// Signal another process and exit.
    Signal(SignalRequest),
    /// Print [`super::HELP`] to standard output, exit status 0.
    Help,
    /// Print [`super::HELP_TLS`] to standard output, exit status 0.
    HelpTls,
    /// Print [`super::version_text`] to standard output, exit status 0.
    Version,
}

/// The commands of `--signal`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignalCommand {
    /// End at once (SIGKILL).
    Stop,
    /// End in order (SIGINT).
    Quit,
    /// End in order (SIGTERM).
    Term,
    /// Open the log file anew (SIGUSR1).
    Reopen,
    /// Read the configuration again (SIGHUP).
    Reload,
    /// Lame duck mode (SIGUSR2).
    LameDuck,
}

impl SignalCommand {
    /// The command of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "stop" => SignalCommand::Stop,
            "quit" => SignalCommand::Quit,
            "term" => SignalCommand::Term,
            "reopen" => SignalCommand::Reopen,
            "reload" => SignalCommand::Reload,
            "ldm" => SignalCommand::LameDuck,
            _ => return None,
        })
    }
}

/// `--signal COMMAND[=TARGET]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignalRequest {
    pub command: SignalCommand,
    /// A process ID or the path of a PID file; empty: the only server that runs.
    pub target: String,
}

/// A command line that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CliError {
    /// A flag is wrong. nats-server prints the message alone to standard error, then its help to
    /// standard output, and exits with 0; here the exit status is 1.
    Usage(String),
    /// Printed to standard error after `nats-server: `; exit status 1.
    Refused(String),
}

impl CliError {
    /// The exit status.
    pub fn exit_status(&self) -> u8 {
        match self {
            // nats-server exits with 0 here; a supervisor could not tell.
            CliError::Usage(_) | CliError::Refused(_) => 1,
        }
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CliError::Usage(message) => f.write_str(message),
            CliError::Refused(message) => write!(f, "nats-server: {message}"),
        }
    }
}

impl std::error::Error for CliError {}

/// The options given as flags. They are kept apart from [`Options`], since they win over the file
/// again at every reload.
#[derive(Clone, PartialEq, Default)]
pub struct Flags {
    /// The configuration file; empty: none.
    pub config: String,
    host: Option<String>,
    port: Option<i64>,
    name: Option<String>,
    pid_file: Option<String>,
    http_port: Option<i64>,
    client_advertise: Option<String>,
    ports_file_dir: Option<String>,
    log_file: Option<String>,
    log_time: Option<bool>,
    log_time_utc: Option<bool>,
    syslog: Option<bool>,
    jetstream: Option<bool>,
    store_dir: Option<String>,
    remote_syslog: Option<String>,
    debug: Option<bool>,
    trace: Option<bool>,
    trace_verbose: Option<bool>,
    log_size_limit: Option<i64>,
    max_traced_msg_len: Option<i64>,
    user: Option<String>,
    password: Option<String>,
    token: Option<String>,
    tls: Option<bool>,
    tls_cert: Option<String>,
    tls_key: Option<String>,
    tls_verify: Option<bool>,
    tls_ca_cert: Option<String>,
    placement: Option<Placement>,
    spin: Option<Spin>,
    busy_poll: Option<u32>,
    lock_memory: Option<bool>,
    huge_pages: Option<bool>,
    realtime: Option<u8>,
    accept: Option<Accept>,
}

/// Names the file only: the flags may hold a password.
impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flags")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Flags {
    /// Puts the flags over the options of the file.
    ///
    /// # Errors
    /// Flags of TLS without a certificate and its key.
    pub(super) fn apply(&self, options: &mut Options) -> Result<(), ValidationError> {
        fn set<T: Clone>(target: &mut T, value: &Option<T>) {
            if let Some(value) = value {
                *target = value.clone();
            }
        }
        set(&mut options.host, &self.host);
        set(&mut options.port, &self.port);
        set(&mut options.server_name, &self.name);
        set(&mut options.pid_file, &self.pid_file);
        set(&mut options.http_port, &self.http_port);
        set(&mut options.client_advertise, &self.client_advertise);
        set(&mut options.ports_file_dir, &self.ports_file_dir);
        set(&mut options.log.file, &self.log_file);
        set(&mut options.log.time, &self.log_time);
        set(&mut options.log.time_utc, &self.log_time_utc);
        set(&mut options.log.syslog, &self.syslog);
        set(&mut options.jetstream.enabled, &self.jetstream);
        set(&mut options.jetstream.store_dir, &self.store_dir);
        set(&mut options.log.remote_syslog, &self.remote_syslog);
        set(&mut options.log.debug, &self.debug);
        set(&mut options.log.trace, &self.trace);
        set(&mut options.log.trace_verbose, &self.trace_verbose);
        set(&mut options.log.size_limit, &self.log_size_limit);
        set(
            &mut options.log.max_traced_msg_len,
            &self.max_traced_msg_len,
        );
        set(&mut options.authorization.user, &self.user);
        set(&mut options.authorization.password, &self.password);
        set(&mut options.authorization.token, &self.token);
        self.apply_tls(options)?;
        set(&mut options.placement, &self.placement);
        set(&mut options.spin, &self.spin);
        let host = &mut options.host_options;
        set(&mut host.busy_poll, &self.busy_poll);
        set(&mut host.lock_memory, &self.lock_memory);
        set(&mut host.huge_pages, &self.huge_pages);
        set(&mut host.realtime, &self.realtime);
        set(&mut host.accept, &self.accept);
        Ok(())
    }
}

impl Flags {
    /// Any flag of TLS asks for it, with a certificate from flags, too; they win over the file.
    fn apply_tls(&self, options: &mut Options) -> Result<(), ValidationError> {
        match self.tls {
            Some(false) => {
                options.tls = None;
                return Ok(());
            }
            None if self.tls_cert.is_none()
                && self.tls_key.is_none()
                && self.tls_ca_cert.is_none()
                && self.tls_verify != Some(true) =>
            {
                return Ok(());
            }
            _ => {}
        }
        let Some(certificate) = &self.tls_cert else {
            return Err(ValidationError::TlsCertificateMissing);
        };
        let Some(key) = &self.tls_key else {
            return Err(ValidationError::TlsKeyMissing);
        };
        let mut tls = options.tls.take().unwrap_or_default();
        tls.certificates = vec![(certificate.clone(), key.clone())];
        tls.verify = self.tls_verify.unwrap_or(tls.verify);
        if let Some(file) = &self.tls_ca_cert {
            tls.ca_file.clone_from(file);
        }
        options.tls = Some(tls);
        Ok(())
    }
}

/// A value of the kind that the flag takes.
enum Given {
    Bool(bool),
    Int(i64),
    Text(String),
}

impl Given {
    fn is_default(&self) -> bool {
        match self {
            Given::Bool(on) => !on,
            Given::Int(number) => *number == 0,
            Given::Text(text) => text.is_empty(),
        }
    }

    fn text(self) -> String {
        match self {
            Given::Text(text) => text,
            Given::Int(number) => number.to_string(),
            Given::Bool(on) => on.to_string(),
        }
    }
}

/// What is asked for besides running.
#[derive(Default)]
struct Asked {
    help: bool,
    help_tls: bool,
    version: bool,
    test: bool,
    signal: String,
    /// The name of a flag that is not built.
    not_built: Option<String>,
}

/// Reads the arguments after the program's name.
pub fn parse<I, S>(arguments: I) -> Result<Command, CliError>
where
    I: IntoIterator<Item = S>,
    S: Into<String>,
{
    let arguments: Vec<String> = arguments.into_iter().map(Into::into).collect();
    let mut flags = Flags::default();
    let mut asked = Asked::default();
    let mut rest = arguments.as_slice();
    while let Some((name, inline)) = split_flag(&mut rest)? {
        let Some((_, flag, takes)) = FLAGS.iter().find(|(known, _, _)| *known == name) else {
            return Err(CliError::Usage(format!(
                "flag provided but not defined: -{name}"
            )));
        };
        let given = take_value(name, *takes, inline, &mut rest)?;
        apply_flag(*flag, name, given, &mut flags, &mut asked)?;
    }
    decide(flags, asked, rest)
}

/// Takes one flag off the arguments: its name and the value after `=`. None at the first argument
/// that is no flag.
fn split_flag<'a>(rest: &mut &'a [String]) -> Result<Option<(&'a str, Option<&'a str>)>, CliError> {
    let Some((first, after)) = rest.split_first() else {
        return Ok(None);
    };
    if first.len() < 2 || !first.starts_with('-') {
        return Ok(None);
    }
    *rest = after;
    if first == "--" {
        return Ok(None);
    }
    let name = first
        .strip_prefix("--")
        .or_else(|| first.strip_prefix('-'))
        .unwrap_or(first);
    if name.is_empty() || name.starts_with(['-', '=']) {
        return Err(CliError::Usage(format!("bad flag syntax: {first}")));
    }
    Ok(Some(match name.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (name, None),
    }))
}

fn take_value(
    name: &str,
    takes: Takes,
    inline: Option<&str>,
    rest: &mut &[String],
) -> Result<Given, CliError> {
    if takes == Takes::Bool {
        return match inline {
            None => Ok(Given::Bool(true)),
            Some(text) => parse_bool(text).map(Given::Bool).ok_or_else(|| {
                CliError::Usage(format!(
                    "invalid boolean value {} for -{name}: parse error",
                    quoted(text)
                ))
            }),
        };
    }
    let text = match (inline, rest.split_first()) {
        (Some(text), _) => text,
        (None, Some((text, after))) => {
            *rest = after;
            text
        }
        (None, None) => return Err(CliError::Usage(format!("flag needs an argument: -{name}"))),
    };
    if takes == Takes::Text {
        return Ok(Given::Text(text.to_owned()));
    }
    parse_int(text).map(Given::Int).map_err(|reason| {
        CliError::Usage(format!(
            "invalid value {} for flag -{name}: {reason}",
            quoted(text)
        ))
    })
}

fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// An integer in any of Go's notations: `0x`, `0o`, `0b`, a leading zero for octal, `_` between
/// digits of a number with or without prefix.
fn parse_int(text: &str) -> Result<i64, &'static str> {
    const MALFORMED: &str = "parse error";
    let (negative, unsigned) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = unsigned.to_ascii_lowercase();
    let (radix, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    // An underscore stands between digits, or between a prefix and a digit.
    let leading = digits.starts_with('_') && radix == 10;
    let plain = digits.replace('_', "");
    let valid = !plain.is_empty() && plain.chars().all(|c| c.is_digit(radix));
    if leading || digits.ends_with('_') || digits.contains("__") || !valid {
        return Err(MALFORMED);
    }
    let sign = if negative { "-" } else { "" };
    i64::from_str_radix(&format!("{sign}{plain}"), radix).map_err(|_| "value out of range")
}

fn apply_flag(
    flag: Flag,
    name: &str,
    given: Given,
    flags: &mut Flags,
    asked: &mut Asked,
) -> Result<(), CliError> {
    match (flag, given) {
        (Flag::NotBuilt, given) => {
            if !given.is_default() && asked.not_built.is_none() {
                asked.not_built = Some(name.to_owned());
            }
        }
        (Flag::Tls, Given::Bool(on)) => flags.tls = Some(on),
        (Flag::TlsCert, given) => flags.tls_cert = Some(given.text()),
        (Flag::TlsKey, given) => flags.tls_key = Some(given.text()),
        (Flag::TlsVerify, Given::Bool(on)) => flags.tls_verify = Some(on),
        (Flag::TlsCaCert, given) => flags.tls_ca_cert = Some(given.text()),
        (Flag::Port, Given::Int(port)) => flags.port = Some(port),
        (Flag::HttpPort, Given::Int(port)) => flags.http_port = Some(port),
        (Flag::LogSizeLimit, Given::Int(bytes)) => flags.log_size_limit = Some(bytes),
        (Flag::MaxTracedMsgLen, Given::Int(bytes)) => flags.max_traced_msg_len = Some(bytes),
        (Flag::Cores, Given::Int(count)) => {
            flags.placement = Some(extensions::cores(count).map_err(CliError::Refused)?);
        }
        (Flag::Realtime, Given::Int(priority)) => {
            flags.realtime = Some(extensions::realtime(priority).map_err(CliError::Refused)?);
        }
        (flag, Given::Bool(on)) => apply_switch(flag, on, flags, asked),
        (flag, given) => apply_text(flag, given.text(), flags, asked)?,
    }
    Ok(())
}

fn apply_switch(flag: Flag, on: bool, flags: &mut Flags, asked: &mut Asked) {
    match flag {
        Flag::TestConfig => asked.test = on,
        Flag::Help => asked.help = on,
        Flag::HelpTls => asked.help_tls = on,
        Flag::Version => asked.version = on,
        Flag::LogTime => flags.log_time = Some(on),
        Flag::LogTimeUtc => flags.log_time_utc = Some(on),
        Flag::Syslog => flags.syslog = Some(on),
        Flag::JetStream => flags.jetstream = Some(on),
        Flag::LockMemory => flags.lock_memory = Some(on),
        Flag::HugePages => flags.huge_pages = Some(on),
        Flag::Debug => flags.debug = Some(on),
        Flag::Trace => flags.trace = Some(on),
        Flag::TraceVerbose | Flag::DebugTrace | Flag::DebugTraceVerbose => {
            flags.trace = Some(on);
            if flag != Flag::DebugTrace {
                flags.trace_verbose = Some(on);
            }
            if flag != Flag::TraceVerbose {
                flags.debug = Some(on);
            }
        }
        _ => {}
    }
}

fn apply_text(
    flag: Flag,
    text: String,
    flags: &mut Flags,
    asked: &mut Asked,
) -> Result<(), CliError> {
    let target = match flag {
        Flag::Config => {
            flags.config = text;
            return Ok(());
        }
        Flag::Signal => {
            asked.signal = text;
            return Ok(());
        }
        Flag::Cpus => {
            flags.placement = Some(extensions::cpus(&text).map_err(CliError::Refused)?);
            return Ok(());
        }
        Flag::Spin => {
            flags.spin = Some(extensions::spin(&text).map_err(CliError::Refused)?);
            return Ok(());
        }
        Flag::BusyPoll => {
            flags.busy_poll = Some(extensions::busy_poll(&text).map_err(CliError::Refused)?);
            return Ok(());
        }
        Flag::Accept => {
            flags.accept = Some(extensions::accept(&text).map_err(CliError::Refused)?);
            return Ok(());
        }
        Flag::Host => &mut flags.host,
        Flag::Name => &mut flags.name,
        Flag::PidFile => &mut flags.pid_file,
        Flag::ClientAdvertise => &mut flags.client_advertise,
        Flag::PortsFileDir => &mut flags.ports_file_dir,
        Flag::LogFile => &mut flags.log_file,
        Flag::RemoteSyslog => &mut flags.remote_syslog,
        Flag::StoreDir => &mut flags.store_dir,
        Flag::User => &mut flags.user,
        Flag::Password => &mut flags.password,
        Flag::Token => &mut flags.token,
        _ => return Ok(()),
    };
    *target = Some(text);
    Ok(())
}

fn decide(flags: Flags, asked: Asked, rest: &[String]) -> Result<Command, CliError> {
    if asked.version {
        return Ok(Command::Version);
    }
    if asked.help {
        return Ok(Command::Help);
    }
    if asked.help_tls {
        return Ok(Command::HelpTls);
    }
    if let Some(argument) = rest.first() {
        return match argument.to_lowercase().as_str() {
            "version" => Ok(Command::Version),
            "help" => Ok(Command::Help),
            _ => Err(CliError::Refused(format!(
                "unrecognized command: {}",
                quoted(argument)
            ))),
        };
    }
    if !asked.signal.is_empty() {
        let (name, target) = asked.signal.split_once('=').unwrap_or((&asked.signal, ""));
        let command = SignalCommand::from_name(name)
            .ok_or_else(|| CliError::Refused(format!("unknown signal {}", quoted(name))))?;
        return Ok(Command::Signal(SignalRequest {
            command,
            target: target.to_owned(),
        }));
    }
    if let Some(name) = asked.not_built {
        let dashed = match name.as_str() {
            // By the name of what it asks for.
            "ms" => "--https_port".to_owned(),
            name => format!("--{name}"),
        };
        return Err(CliError::Refused(format!(
            "{} is not built yet in ringwire",
            quoted(&dashed)
        )));
    }
    if !asked.test {
        return Ok(Command::Run(flags));
    }
    if flags.config.is_empty() {
        let message = "must specify [-c, --config] option to check configuration file syntax";
        return Err(CliError::Refused(message.to_owned()));
    }
    Ok(Command::TestConfig(flags))
}
