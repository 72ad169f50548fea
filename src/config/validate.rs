//! Checks of the options as a whole, after file and flags are merged.

use std::fmt;
use std::time::Duration;

use super::authorization::{UserConfig, is_bcrypt};
use super::defaults;
use super::options::Options;
use super::read::split_host_port;
use super::text::{duration_text, quoted};
use super::websocket;
use crate::broker::accounts::{DEFAULT_SYSTEM_ACCOUNT, JetStreamRules};

/// Options that do not go together. The texts are nats-server's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValidationError {
    PayloadAbovePending {
        max_payload: i64,
        max_pending: i64,
    },
    GraceNotBelowLameDuck {
        grace: Duration,
        duration: Duration,
    },
    ServerNameWithSpaces,
    NoAuthUserWithoutUsers {
        user: String,
    },
    NoAuthUserUnknown {
        user: String,
    },
    SystemAccountMissing,
    /// `--tls` or a flag beside it, without `--tlscert`.
    TlsCertificateMissing,
    /// The same without `--tlskey`.
    TlsKeyMissing,
    JetStreamOnSystemAccount,
    /// Options of operator mode, with the text.
    Trust(String),
    ClientPort {
        host: String,
        port: i64,
    },
    MonitorPort {
        port: i64,
    },
    ClientAdvertise {
        value: String,
        reason: String,
    },
    /// Something in the `websocket` block.
    WebSocket {
        text: String,
    },
    WebSocketPort {
        port: i64,
    },
    WebSocketAdvertise {
        reason: String,
    },
}

impl ValidationError {
    /// nats-server prints most of these on standard error after its name and ends; the others go
    /// to the log as a fatal line.
    pub fn is_log_line(&self) -> bool {
        matches!(
            self,
            ValidationError::ClientPort { .. }
                | ValidationError::JetStreamOnSystemAccount
                | ValidationError::MonitorPort { .. }
                | ValidationError::ClientAdvertise { .. }
                | ValidationError::WebSocketPort { .. }
                | ValidationError::WebSocketAdvertise { .. }
        )
    }
}

impl fmt::Display for ValidationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ValidationError::PayloadAbovePending {
                max_payload,
                max_pending,
            } => {
                write!(
                    f,
                    "max_payload ({max_payload}) cannot be higher than max_pending ({max_pending})"
                )
            }
            ValidationError::GraceNotBelowLameDuck { grace, duration } => write!(
                f,
                "lame duck grace period ({}) should be strictly lower than lame duck duration ({})",
                duration_text(*grace),
                duration_text(*duration)
            ),
            ValidationError::ServerNameWithSpaces => {
                f.write_str("server name cannot contain spaces")
            }
            ValidationError::NoAuthUserWithoutUsers { user } => {
                write!(
                    f,
                    "no_auth_user: {} present, but users/nkeys are not defined",
                    quoted(user)
                )
            }
            ValidationError::NoAuthUserUnknown { user } => write!(
                f,
                "no_auth_user: {} not present as user or nkey in authorization block or account configuration",
                quoted(user)
            ),
            ValidationError::JetStreamOnSystemAccount => {
                f.write_str("Not allowed to enable JetStream on the system account")
            }
            ValidationError::Trust(text) => f.write_str(text),
            ValidationError::TlsCertificateMissing => {
                f.write_str("TLS Server certificate must be present and valid")
            }
            ValidationError::TlsKeyMissing => {
                f.write_str("TLS Server private key must be present and valid")
            }
            ValidationError::SystemAccountMissing => {
                f.write_str("error resolving system account: account missing")
            }
            ValidationError::ClientPort { host, port } => {
                let host = if host.contains(':') {
                    format!("[{host}]")
                } else {
                    host.clone()
                };
                write!(
                    f,
                    "Error listening on port: {host}:{port}, \"listen tcp: address {port}: invalid port\""
                )
            }
            ValidationError::MonitorPort { port } => write!(
                f,
                "Can't start monitoring: can't listen to the monitor port: \
                 listen tcp: address {port}: invalid port"
            ),
            ValidationError::WebSocket { text } => f.write_str(text),
            ValidationError::WebSocketAdvertise { reason } => {
                write!(f, "Unable to get websocket connect URLs: {reason}")
            }
            ValidationError::WebSocketPort { port } => write!(
                f,
                "Unable to listen for websocket connections: listen tcp: address {port}: invalid port"
            ),
            ValidationError::ClientAdvertise { value, reason } => {
                write!(
                    f,
                    "Error setting server INFO with ClientAdvertise value of {value}, err={reason}"
                )
            }
        }
    }
}

impl std::error::Error for ValidationError {}

/// Options that work but deserve a warning in the log at the start and after a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caution {
    PlainTextPasswords,
    LargePayloads,
}

impl fmt::Display for Caution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Caution::PlainTextPasswords => "Plaintext passwords detected, use nkeys or bcrypt",
            Caution::LargePayloads => {
                "Maximum payloads over 8.00 MB are generally discouraged and could lead to poor performance"
            }
        })
    }
}

/// Checks options with their defaults filled in. Returns what to warn about.
pub fn validate(options: &Options) -> Result<Vec<Caution>, ValidationError> {
    if options.max_payload > options.max_pending {
        return Err(ValidationError::PayloadAbovePending {
            max_payload: options.max_payload,
            max_pending: options.max_pending,
        });
    }
    if options.server_name.contains(' ') {
        return Err(ValidationError::ServerNameWithSpaces);
    }
    if options.lame_duck_grace_period >= options.lame_duck_duration {
        return Err(ValidationError::GraceNotBelowLameDuck {
            grace: options.lame_duck_grace_period,
            duration: options.lame_duck_duration,
        });
    }
    check_trust(options)?;
    check_no_auth_user(options)?;
    check_system_account(options)?;
    websocket::validate(options)?;
    check_ports(options)?;
    check_advertise(&options.client_advertise)?;
    Ok(cautions(options))
}

fn check_no_auth_user(options: &Options) -> Result<(), ValidationError> {
    let authorization = &options.authorization;
    let user = &authorization.no_auth_user;
    if user.is_empty() {
        return Ok(());
    }
    if authorization.users.is_empty() {
        return Err(ValidationError::NoAuthUserWithoutUsers { user: user.clone() });
    }
    let known = |known: &UserConfig| known.user == *user || known.nkey == *user;
    if !authorization.users.iter().any(known) {
        return Err(ValidationError::NoAuthUserUnknown { user: user.clone() });
    }
    Ok(())
}

fn check_trust(options: &Options) -> Result<(), ValidationError> {
    let users = !options.authorization.users.is_empty();
    let no_auth_user = !options.authorization.no_auth_user.is_empty();
    options
        .trust
        .check(users, !options.accounts.is_empty(), no_auth_user)
        .map_err(ValidationError::Trust)
}

fn check_system_account(options: &Options) -> Result<(), ValidationError> {
    let named = options.named_system_account();
    if options.trust.is_on() {
        return match named.map(|name| options.trust.check_account(name)) {
            Some(Err(text)) => Err(ValidationError::Trust(format!(
                "error resolving system account: {text}"
            ))),
            _ => Ok(()),
        };
    }
    let known = |name: &str| options.accounts.iter().any(|account| account.name == name);
    match named {
        Some(name) if !known(name) => return Err(ValidationError::SystemAccountMissing),
        _ => {}
    }
    let system = named.unwrap_or(DEFAULT_SYSTEM_ACCOUNT);
    let enabled = |rules: &JetStreamRules| matches!(rules, JetStreamRules::Enabled(_));
    let refused = options.jetstream.enabled
        && options
            .accounts
            .iter()
            .any(|account| account.name == system && enabled(&account.jetstream));
    if refused {
        return Err(ValidationError::JetStreamOnSystemAccount);
    }
    Ok(())
}

fn check_ports(options: &Options) -> Result<(), ValidationError> {
    let valid = |port: i64| port == defaults::RANDOM_PORT || u16::try_from(port).is_ok();
    if !valid(options.port) {
        return Err(ValidationError::ClientPort {
            host: options.host.clone(),
            port: options.port,
        });
    }
    if !valid(options.http_port) {
        return Err(ValidationError::MonitorPort {
            port: options.http_port,
        });
    }
    Ok(())
}

fn check_advertise(value: &str) -> Result<(), ValidationError> {
    match advertise_problem(value) {
        None => Ok(()),
        Some(reason) => Err(ValidationError::ClientAdvertise {
            value: value.to_owned(),
            reason,
        }),
    }
}

/// What is wrong with an address that should be `host` or `host:port`.
pub(super) fn advertise_problem(value: &str) -> Option<String> {
    match split_host_port(value) {
        Some((_, port)) if port.trim().parse::<i64>().is_ok() => None,
        Some((_, port)) => Some(format!(
            "strconv.Atoi: parsing {}: invalid syntax",
            quoted(port)
        )),
        None if !value.starts_with('[') && value.matches(':').count() > 1 => {
            Some(format!("address {value}: too many colons in address"))
        }
        // No port: ours goes along.
        None => None,
    }
}

fn cautions(options: &Options) -> Vec<Caution> {
    let mut cautions = Vec::new();
    let authorization = &options.authorization;
    let single = !authorization.password.is_empty() && !is_bcrypt(&authorization.password);
    if single
        || authorization
            .users
            .iter()
            .any(|user| user.nkey.is_empty() && !is_bcrypt(&user.password))
    {
        cautions.push(Caution::PlainTextPasswords);
    }
    if options.max_payload > defaults::MAX_PAYLOAD_WARNING {
        cautions.push(Caution::LargePayloads);
    }
    cautions
}
