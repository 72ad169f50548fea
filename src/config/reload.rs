//! What a change of the options means for a running server.

use std::fmt;
use std::time::Duration;

use super::authorization::{AuthorizationConfig, UserConfig};
use super::defaults;
use super::options::{Options, Spin};
use super::text::duration_text;
use crate::broker::accounts::{DEFAULT_SYSTEM_ACCOUNT, GLOBAL_ACCOUNT_NAME, JetStreamRules};

/// One change that a running server applies. Its text is the line that nats-server logs.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    ClientAdvertise(String),
    Trace(bool),
    Debug(bool),
    TraceVerbose(bool),
    TraceHeaders(bool),
    LogTime(bool),
    LogTimeUtc(bool),
    /// More connections than this are closed.
    MaxConnections(i64),
    /// Comes with every reload, as the log line of nats-server does. If `changed`, clients are
    /// authenticated anew and those that may not stay are closed.
    AuthorizationUsers {
        changed: bool,
    },
    /// Of those, users with nkeys.
    AuthorizationNkeys,
    /// The same for accounts, of which there is one.
    Accounts,
    Username,
    Password,
    Token,
    PingInterval(Duration),
    PingMax(i64),
    AuthTimeout(Duration),
    MaxControlLine(i64),
    MaxPayload(i64),
    NoFastProducerStall(bool),
    PidFile(String),
    PortsFileDir(String),
    LogFile(String),
    Syslog(bool),
    RemoteSyslog(String),
    WriteDeadline(Duration),
    MaxTracedMsgLen(i64),
    ConnectErrorReports(i64),
    ReconnectErrorReports(i64),
    Tags,
    Metadata,
    /// Comes with every reload if there is TLS: the files are read again.
    Tls(bool),
    /// An extension of ours.
    Spin(Spin),
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // nats-server spells this one differently.
            Change::ClientAdvertise(value) => {
                return write!(f, "Reload: client_advertise = {value}");
            }
            _ => f.write_str("Reloaded: ")?,
        }
        match self {
            Change::ClientAdvertise(_) => Ok(()),
            Change::Tls(on) => {
                write!(f, "tls = {}", if *on { "enabled" } else { "disabled" })
            }
            Change::Trace(on) => write!(f, "trace = {on}"),
            Change::Debug(on) => write!(f, "debug = {on}"),
            Change::TraceVerbose(on) => write!(f, "trace_verbose = {on}"),
            Change::TraceHeaders(on) => write!(f, "trace_headers = {on}"),
            Change::LogTime(on) => write!(f, "logtime = {on}"),
            Change::LogTimeUtc(on) => write!(f, "logtime_utc = {on}"),
            Change::MaxConnections(limit) => write!(f, "max_connections = {limit}"),
            Change::AuthorizationNkeys => f.write_str("authorization nkey users"),
            Change::AuthorizationUsers { .. } => f.write_str("authorization users"),
            Change::Accounts => f.write_str("accounts"),
            Change::Username => f.write_str("authorization username"),
            Change::Password => f.write_str("authorization password"),
            Change::Token => f.write_str("authorization token"),
            Change::PingInterval(time) => write!(f, "ping_interval = {}", duration_text(*time)),
            Change::PingMax(count) => write!(f, "ping_max = {count}"),
            Change::AuthTimeout(time) => {
                write!(f, "authorization timeout = {}", time.as_secs_f64())
            }
            Change::MaxControlLine(bytes) => write!(f, "max_control_line = {bytes}"),
            Change::MaxPayload(bytes) => write!(f, "max_payload = {bytes}"),
            Change::NoFastProducerStall(true) => f.write_str("fast producers will not be stalled"),
            Change::NoFastProducerStall(false) => f.write_str("fast producers will be stalled"),
            Change::PidFile(path) => write!(f, "pid_file = {path}"),
            Change::PortsFileDir(path) => write!(f, "ports_file_dir = {path}"),
            Change::LogFile(path) => write!(f, "log_file = {path}"),
            Change::Syslog(on) => write!(f, "syslog = {on}"),
            Change::RemoteSyslog(address) => write!(f, "remote_syslog = {address}"),
            Change::WriteDeadline(time) => write!(f, "write_deadline = {}", duration_text(*time)),
            Change::MaxTracedMsgLen(bytes) => write!(f, "max_traced_msg_len = {bytes}"),
            Change::ConnectErrorReports(count) => write!(f, "connect_error_reports = {count}"),
            Change::ReconnectErrorReports(count) => write!(f, "reconnect_error_reports = {count}"),
            Change::Tags => f.write_str("tags"),
            Change::Metadata => f.write_str("metadata"),
            Change::Spin(Spin::Forever) => f.write_str("spin = forever"),
            Change::Spin(Spin::For(time)) => write!(f, "spin = {}", duration_text(*time)),
        }
    }
}

/// An option that cannot change at run time did: nothing of the reload applies. The text follows
/// `Failed to reload server configuration: ` in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReloadError {
    /// The field of nats-server's options, or ours.
    pub field: &'static str,
    pub old: String,
    pub new: String,
}

impl fmt::Display for ReloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "config reload not supported for {}: old={}, new={}",
            self.field, self.old, self.new
        )
    }
}

impl std::error::Error for ReloadError {}

/// The steps from the options in force to new ones, in the order of nats-server's log lines.
///
/// Both have their defaults filled in and the flags applied ([`super::load`] does). `old` may
/// name the ports that were opened; a new [`defaults::RANDOM_PORT`] then means "the same".
pub fn diff(old: &Options, new: &Options) -> Result<Vec<Change>, ReloadError> {
    refuse_fixed(old, new)?;
    let mut changes = Vec::new();
    if old.client_advertise != new.client_advertise {
        changes.push(Change::ClientAdvertise(new.client_advertise.clone()));
    }
    logging(old, new, &mut changes);
    push(
        &mut changes,
        &old.max_connections,
        &new.max_connections,
        Change::MaxConnections,
    );
    authorization(old, new, &mut changes);
    push(
        &mut changes,
        &old.ping_interval,
        &new.ping_interval,
        Change::PingInterval,
    );
    push(&mut changes, &old.ping_max, &new.ping_max, Change::PingMax);
    push(
        &mut changes,
        &old.authorization.timeout,
        &new.authorization.timeout,
        Change::AuthTimeout,
    );
    push(
        &mut changes,
        &old.max_control_line,
        &new.max_control_line,
        Change::MaxControlLine,
    );
    push(
        &mut changes,
        &old.max_payload,
        &new.max_payload,
        Change::MaxPayload,
    );
    push(
        &mut changes,
        &old.no_fast_producer_stall,
        &new.no_fast_producer_stall,
        Change::NoFastProducerStall,
    );
    push(&mut changes, &old.pid_file, &new.pid_file, Change::PidFile);
    push(
        &mut changes,
        &old.ports_file_dir,
        &new.ports_file_dir,
        Change::PortsFileDir,
    );
    push(&mut changes, &old.log.file, &new.log.file, Change::LogFile);
    push(
        &mut changes,
        &old.log.syslog,
        &new.log.syslog,
        Change::Syslog,
    );
    push(
        &mut changes,
        &old.log.remote_syslog,
        &new.log.remote_syslog,
        Change::RemoteSyslog,
    );
    push(
        &mut changes,
        &old.write_deadline,
        &new.write_deadline,
        Change::WriteDeadline,
    );
    push(
        &mut changes,
        &old.log.max_traced_msg_len,
        &new.log.max_traced_msg_len,
        Change::MaxTracedMsgLen,
    );
    push(
        &mut changes,
        &old.connect_error_reports,
        &new.connect_error_reports,
        Change::ConnectErrorReports,
    );
    push(
        &mut changes,
        &old.reconnect_error_reports,
        &new.reconnect_error_reports,
        Change::ReconnectErrorReports,
    );
    if old.server_tags != new.server_tags {
        changes.push(Change::Tags);
    }
    if old.server_metadata != new.server_metadata {
        changes.push(Change::Metadata);
    }
    if old.tls.is_some() || new.tls.is_some() {
        changes.push(Change::Tls(new.tls.is_some()));
    }
    push(&mut changes, &old.spin, &new.spin, Change::Spin);
    Ok(changes)
}

fn push<T: PartialEq + Clone>(
    changes: &mut Vec<Change>,
    old: &T,
    new: &T,
    change: fn(T) -> Change,
) {
    if old != new {
        changes.push(change(new.clone()));
    }
}

fn logging(old: &Options, new: &Options, changes: &mut Vec<Change>) {
    let (old, new) = (&old.log, &new.log);
    push(changes, &old.trace, &new.trace, Change::Trace);
    push(changes, &old.debug, &new.debug, Change::Debug);
    push(
        changes,
        &old.trace_verbose,
        &new.trace_verbose,
        Change::TraceVerbose,
    );
    push(
        changes,
        &old.trace_headers,
        &new.trace_headers,
        Change::TraceHeaders,
    );
    push(changes, &old.time, &new.time, Change::LogTime);
    push(changes, &old.time_utc, &new.time_utc, Change::LogTimeUtc);
}

fn authorization(old: &Options, new: &Options, changes: &mut Vec<Change>) {
    let (old, new) = (&old.authorization, &new.authorization);
    let changed = old.users != new.users
        || old.user != new.user
        || old.password != new.password
        || old.token != new.token
        || old.default_permissions != new.default_permissions;
    let nkeys = |config: &AuthorizationConfig| -> Vec<UserConfig> {
        let users = config.users.iter().filter(|user| !user.nkey.is_empty());
        users.cloned().collect()
    };
    if nkeys(old) != nkeys(new) {
        changes.push(Change::AuthorizationNkeys);
    }
    changes.push(Change::AuthorizationUsers { changed });
    changes.push(Change::Accounts);
    if old.user != new.user {
        changes.push(Change::Username);
    }
    if old.password != new.password {
        changes.push(Change::Password);
    }
    if old.token != new.token {
        changes.push(Change::Token);
    }
}

/// The accounts that may use JetStream: fixed at the start so far. The name `$G` stands for the
/// global account where there is no other.
fn jetstream_accounts(options: &Options) -> Vec<(&str, &JetStreamRules)> {
    let mut list: Vec<(&str, &JetStreamRules)> = options
        .accounts
        .iter()
        .filter(|account| matches!(account.jetstream, JetStreamRules::Enabled(_)))
        .map(|account| (account.name.as_str(), &account.jetstream))
        .collect();
    let system = options
        .named_system_account()
        .unwrap_or(DEFAULT_SYSTEM_ACCOUNT);
    if options
        .accounts
        .iter()
        .all(|account| account.name == system)
    {
        list.push((GLOBAL_ACCOUNT_NAME, &JetStreamRules::Unset));
    }
    list
}

/// Refuses changes of what is fixed at the start.
fn refuse_fixed(old: &Options, new: &Options) -> Result<(), ReloadError> {
    fn same<T: PartialEq>(
        field: &'static str,
        old: &T,
        new: &T,
        text: impl Fn(&T) -> String,
    ) -> Result<(), ReloadError> {
        if old == new {
            Ok(())
        } else {
            Err(ReloadError {
                field,
                old: text(old),
                new: text(new),
            })
        }
    }
    fn plain<T: PartialEq + fmt::Display>(
        field: &'static str,
        old: &T,
        new: &T,
    ) -> Result<(), ReloadError> {
        same(field, old, new, T::to_string)
    }
    let port = |old: i64, new: i64| {
        if new == defaults::RANDOM_PORT && old > 0 {
            old
        } else {
            new
        }
    };
    let time = |time: &Duration| duration_text(*time);

    plain("ServerName", &old.server_name, &new.server_name)?;
    plain("Host", &old.host, &new.host)?;
    plain("Port", &old.port, &port(old.port, new.port))?;
    plain(
        "NoSublistCache",
        &old.disable_sublist_cache,
        &new.disable_sublist_cache,
    )?;
    plain(
        "NoHeaderSupport",
        &old.no_header_support,
        &new.no_header_support,
    )?;
    plain("MaxSubs", &old.max_subscriptions, &new.max_subscriptions)?;
    plain("MaxSubTokens", &old.max_sub_tokens, &new.max_sub_tokens)?;
    plain(
        "NoAuthUser",
        &old.authorization.no_auth_user,
        &new.authorization.no_auth_user,
    )?;
    plain(
        "NoSystemAccount",
        &old.no_system_account,
        &new.no_system_account,
    )?;
    if old.jetstream.enabled {
        let (old, new) = (jetstream_accounts(old), jetstream_accounts(new));
        same("JetStreamAccounts", &old, &new, |list| {
            let names: Vec<&str> = list.iter().map(|(name, _)| *name).collect();
            format!("{names:?}")
        })?;
    }
    plain("SystemAccount", &old.system_account, &new.system_account)?;
    let tokens = |list: &Vec<String>| format!("[{}]", list.join(" "));
    let (old_trust, new_trust) = (&old.trust, &new.trust);
    let (before, after) = (&old_trust.operators, &new_trust.operators);
    same("TrustedOperators", before, after, tokens)?;
    let (before, after) = (&old_trust.trusted_keys, &new_trust.trusted_keys);
    same("TrustedKeys", before, after, tokens)?;
    let (before, after) = (&old_trust.resolver, &new_trust.resolver);
    same("AccountResolver", before, after, |resolver| {
        format!("{resolver:?}")
    })?;
    let (old_js, new_js) = (&old.jetstream, &new.jetstream);
    plain("JetStream", &old_js.enabled, &new_js.enabled)?;
    plain("StoreDir", &old_js.store_dir, &new_js.store_dir)?;
    plain("JetStreamMaxMemory", &old_js.max_memory, &new_js.max_memory)?;
    plain("JetStreamMaxStore", &old_js.max_file, &new_js.max_file)?;
    plain("JetStreamDomain", &old_js.domain, &new_js.domain)?;
    same("JetStreamLimits", old_js, new_js, |o| format!("{o:?}"))?;
    plain("HTTPHost", &old.http_host, &new.http_host)?;
    plain(
        "HTTPPort",
        &old.http_port,
        &port(old.http_port, new.http_port),
    )?;
    plain("HTTPBasePath", &old.http_base_path, &new.http_base_path)?;
    let mut new_websocket = new.websocket.clone();
    new_websocket.port = port(old.websocket.port, new_websocket.port);
    plain("Websocket", &old.websocket, &new_websocket)?;
    plain("MaxPending", &old.max_pending, &new.max_pending)?;
    plain("LogSizeLimit", &old.log.size_limit, &new.log.size_limit)?;
    plain("LogMaxFiles", &old.log.max_files, &new.log.max_files)?;
    same(
        "WriteTimeout",
        &old.write_timeout,
        &new.write_timeout,
        |policy| policy.name().to_owned(),
    )?;
    plain(
        "MaxClosedClients",
        &old.max_closed_clients,
        &new.max_closed_clients,
    )?;
    same(
        "LameDuckDuration",
        &old.lame_duck_duration,
        &new.lame_duck_duration,
        time,
    )?;
    same(
        "LameDuckGracePeriod",
        &old.lame_duck_grace_period,
        &new.lame_duck_grace_period,
        time,
    )?;
    same(
        "FeatureFlags",
        &old.feature_flags,
        &new.feature_flags,
        |flags| {
            let list: Vec<String> = flags
                .iter()
                .map(|(flag, on)| format!("{flag}:{on}"))
                .collect();
            format!("map[{}]", list.join(" "))
        },
    )?;
    same("Placement", &old.placement, &new.placement, |placement| {
        format!("{placement:?}")
    })?;
    let (old, new) = (&old.host_options, &new.host_options);
    plain("BusyPoll", &old.busy_poll, &new.busy_poll)?;
    plain("LockMemory", &old.lock_memory, &new.lock_memory)?;
    plain("HugePages", &old.huge_pages, &new.huge_pages)?;
    plain("Realtime", &old.realtime, &new.realtime)?;
    plain("Accept", &old.accept.name(), &new.accept.name())
}
