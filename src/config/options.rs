//! All options of the server, typed and with their defaults filled in.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use super::authorization::AuthorizationConfig;
use super::defaults;
use super::jetstream::JetStreamOptions;
use super::trust::TrustOptions;
use super::websocket::WebSocketOptions;
use crate::broker::accounts::{AccountRules, GLOBAL_ACCOUNT_NAME, MappingRule};

/// What happens to a client whose socket takes no bytes for the write deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WriteTimeout {
    /// The policy of the connection's kind: clients are closed, links between servers retry.
    #[default]
    Default,
    /// The connection is closed.
    Close,
    /// The connection stays as long as some bytes went out.
    Retry,
}

impl WriteTimeout {
    /// The name in log lines of nats-server; the default has none.
    pub fn name(self) -> &'static str {
        match self {
            WriteTimeout::Default => "",
            WriteTimeout::Close => "close",
            WriteTimeout::Retry => "retry",
        }
    }
}

/// Which CPUs the cores of the server are pinned to. An extension of ours.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Placement {
    /// One core for each CPU of the affinity mask.
    #[default]
    All,
    /// This many cores, on the first CPUs of the affinity mask.
    Count(NonZeroU32),
    /// One core on each of these CPUs, ascending and without repetition, never empty.
    Cpus(Vec<u32>),
}

/// How long an idle core polls before it sleeps. An extension of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spin {
    /// For this long; zero sleeps at once.
    For(Duration),
    /// A core never sleeps.
    Forever,
}

impl Default for Spin {
    fn default() -> Self {
        Spin::For(defaults::SPIN)
    }
}

/// Which core a new connection goes to. An extension of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Accept {
    /// The one with the fewest connections.
    #[default]
    Least,
    /// One after the other.
    RoundRobin,
    /// The one on the CPU that the connection's packets come in on (SO_INCOMING_CPU); the one
    /// with the fewest connections if there is no core.
    IncomingCpu,
}

impl Accept {
    /// The name in flags and files.
    pub fn name(self) -> &'static str {
        match self {
            Accept::Least => "least",
            Accept::RoundRobin => "round_robin",
            Accept::IncomingCpu => "incoming_cpu",
        }
    }
}

/// What the cores ask of the host. Extensions of ours, fixed at the start; the default asks for
/// nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HostOptions {
    /// How long the kernel polls the network card for a core that would sleep, in microseconds;
    /// 0: not at all.
    pub busy_poll: u32,
    /// No page of the server is ever swapped out or faulted in.
    pub lock_memory: bool,
    /// The receive buffers lie in huge pages.
    pub huge_pages: bool,
    /// Priority of the cores under SCHED_FIFO, 1 to 99; 0: they are scheduled like any thread.
    pub realtime: u8,
    pub accept: Accept,
}

/// Logging. All of it can change at run time except the two size settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogOptions {
    pub debug: bool,
    pub trace: bool,
    /// Also trace the system account.
    pub trace_verbose: bool,
    /// Trace only headers, not payloads.
    pub trace_headers: bool,
    /// Bytes of a traced message that are printed; 0 and below: all of it.
    pub max_traced_msg_len: i64,
    /// Lines begin with the time.
    pub time: bool,
    /// That time is UTC.
    pub time_utc: bool,
    /// File that takes the log instead of standard error; empty: none.
    pub file: String,
    /// Size in bytes at which the file is rotated; 0: never.
    pub size_limit: i64,
    /// Rotated files kept, the current one included; 0: all.
    pub max_files: i64,
    pub syslog: bool,
    /// Address of a syslog server (`udp://host:port`); empty: the local one.
    pub remote_syslog: String,
}

impl Default for LogOptions {
    fn default() -> Self {
        LogOptions {
            debug: false,
            trace: false,
            trace_verbose: false,
            trace_headers: false,
            max_traced_msg_len: 0,
            time: true,
            time_utc: false,
            file: String::new(),
            size_limit: 0,
            max_files: 0,
            syslog: false,
            remote_syslog: String::new(),
        }
    }
}

/// The options of one server. Empty strings mean "not set". Numbers keep nats-server's signs.
/// Debug output shows no password: [`AuthorizationConfig`] redacts its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The configuration file as it was named on the command line; empty: none.
    pub config_file: String,
    /// `sha256:` and hex digits over the parsed file; empty without a file.
    pub config_digest: String,

    /// Address that clients connect to.
    pub host: String,
    /// Port that clients connect to; [`defaults::RANDOM_PORT`] for any.
    pub port: i64,
    /// `host:port` to hand to clients instead of our own addresses.
    pub client_advertise: String,
    /// The name of this server; empty: its ID.
    pub server_name: String,
    pub server_tags: Vec<String>,
    pub server_metadata: BTreeMap<String, String>,
    /// Switches of nats-server's experimental features; shown, none has an effect here.
    pub feature_flags: BTreeMap<String, bool>,

    /// Address of the monitoring port; as `host` unless set.
    pub http_host: String,
    /// Monitoring port; 0: none, [`defaults::RANDOM_PORT`] for any.
    pub http_port: i64,
    /// What monitoring paths begin with.
    pub http_base_path: String,

    pub pid_file: String,
    /// Directory for the file that lists our ports.
    pub ports_file_dir: String,
    pub log: LogOptions,

    /// Client connections at a time; negative: none may connect.
    pub max_connections: i64,
    /// Subscriptions of a connection; 0 and below: unlimited.
    pub max_subscriptions: i64,
    /// Tokens in the subject of a subscription; 0: unlimited.
    pub max_sub_tokens: u8,
    /// Bytes.
    pub max_control_line: i64,
    /// Bytes; negative: unlimited.
    pub max_payload: i64,
    /// Bytes.
    pub max_pending: i64,
    pub max_closed_clients: i64,

    pub ping_interval: Duration,
    pub ping_max: i64,
    pub write_deadline: Duration,
    pub write_timeout: WriteTimeout,
    /// Never slow publishers down for a reader that falls behind.
    pub no_fast_producer_stall: bool,
    pub no_header_support: bool,
    pub disable_sublist_cache: bool,
    /// Nobody may use the system account.
    pub no_system_account: bool,
    pub connect_error_reports: i64,
    pub reconnect_error_reports: i64,
    pub lame_duck_duration: Duration,
    pub lame_duck_grace_period: Duration,

    pub authorization: AuthorizationConfig,
    /// The accounts of the file; their users are in `authorization`.
    pub accounts: Vec<AccountRules>,
    /// Subject mappings of the global account.
    pub global_mappings: Vec<MappingRule>,
    /// Empty: the default one.
    pub system_account: String,
    pub trust: TrustOptions,
    pub jetstream: JetStreamOptions,
    pub websocket: WebSocketOptions,

    pub placement: Placement,
    pub spin: Spin,
    pub host_options: HostOptions,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            config_file: String::new(),
            config_digest: String::new(),
            host: defaults::HOST.to_owned(),
            port: defaults::PORT,
            client_advertise: String::new(),
            server_name: String::new(),
            server_tags: Vec::new(),
            server_metadata: BTreeMap::new(),
            feature_flags: BTreeMap::new(),
            http_host: defaults::HOST.to_owned(),
            http_port: 0,
            http_base_path: String::new(),
            pid_file: String::new(),
            ports_file_dir: String::new(),
            log: LogOptions::default(),
            max_connections: defaults::MAX_CONNECTIONS,
            max_subscriptions: 0,
            max_sub_tokens: 0,
            max_control_line: defaults::MAX_CONTROL_LINE,
            max_payload: defaults::MAX_PAYLOAD,
            max_pending: defaults::MAX_PENDING,
            max_closed_clients: defaults::MAX_CLOSED_CLIENTS,
            ping_interval: defaults::PING_INTERVAL,
            ping_max: defaults::PING_MAX,
            write_deadline: defaults::WRITE_DEADLINE,
            write_timeout: WriteTimeout::Default,
            no_fast_producer_stall: false,
            no_header_support: false,
            disable_sublist_cache: false,
            no_system_account: false,
            connect_error_reports: defaults::CONNECT_ERROR_REPORTS,
            reconnect_error_reports: defaults::RECONNECT_ERROR_REPORTS,
            lame_duck_duration: defaults::LAME_DUCK_DURATION,
            lame_duck_grace_period: defaults::LAME_DUCK_GRACE_PERIOD,
            authorization: AuthorizationConfig::default(),
            accounts: Vec::new(),
            global_mappings: Vec::new(),
            system_account: String::new(),
            trust: TrustOptions::default(),
            jetstream: JetStreamOptions::default(),
            websocket: WebSocketOptions::default(),
            placement: Placement::All,
            spin: Spin::default(),
            host_options: HostOptions::default(),
        }
    }
}

impl Options {
    /// The accounts that there shall be, the global one included.
    pub fn account_rules(&self) -> Vec<AccountRules> {
        let global = AccountRules {
            mappings: self.global_mappings.clone(),
            ..AccountRules::named(GLOBAL_ACCOUNT_NAME)
        };
        let mut rules = self.accounts.clone();
        rules.push(global);
        rules
    }

    /// The configured system account.
    pub fn named_system_account(&self) -> Option<&str> {
        Some(self.system_account.as_str()).filter(|name| !name.is_empty())
    }

    /// Puts the default where zero or nothing was set, as nats-server does before it starts.
    pub(super) fn fill_defaults(&mut self) {
        fn number(value: &mut i64, default: i64) {
            if *value == 0 {
                *value = default;
            }
        }
        fn time(value: &mut Duration, default: Duration) {
            if value.is_zero() {
                *value = default;
            }
        }
        if self.host.is_empty() {
            self.host = defaults::HOST.to_owned();
        }
        if self.http_host.is_empty() {
            self.http_host = self.host.clone();
        }
        self.websocket.fill_defaults();
        number(&mut self.port, defaults::PORT);
        number(&mut self.max_connections, defaults::MAX_CONNECTIONS);
        number(&mut self.max_control_line, defaults::MAX_CONTROL_LINE);
        number(&mut self.max_payload, defaults::MAX_PAYLOAD);
        number(&mut self.max_pending, defaults::MAX_PENDING);
        number(&mut self.max_closed_clients, defaults::MAX_CLOSED_CLIENTS);
        number(&mut self.ping_max, defaults::PING_MAX);
        number(
            &mut self.connect_error_reports,
            defaults::CONNECT_ERROR_REPORTS,
        );
        number(
            &mut self.reconnect_error_reports,
            defaults::RECONNECT_ERROR_REPORTS,
        );
        time(&mut self.ping_interval, defaults::PING_INTERVAL);
        time(&mut self.write_deadline, defaults::WRITE_DEADLINE);
        time(&mut self.lame_duck_duration, defaults::LAME_DUCK_DURATION);
        time(
            &mut self.lame_duck_grace_period,
            defaults::LAME_DUCK_GRACE_PERIOD,
        );
        time(&mut self.authorization.timeout, defaults::AUTH_TIMEOUT);
    }
}
