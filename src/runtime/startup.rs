//! Puts the server together: checks the host, binds the ports, starts the cores.

use std::fmt;
use std::net::{IpAddr, SocketAddr, TcpListener, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use bytes::Bytes;

use super::clock::Clock;
use super::control::{Calls, ControlEvent, ControlReceiver, ControlSender, CoreHandle};
use super::cpus::{self, CpuChoice, CpuError};
use super::credentials::CredentialChecker;
use super::driver::{Acceptor, Driver, Parts};
use super::executor::{self, ExecutorConfig, ExecutorError};
use super::gather::{Gatherer, Reloadable};
use super::links::{self, LinkConfig};
use super::listener;
use super::loads::Loads;
use super::log::{Logger, Tag};
use super::net_event::RingConfig;
use super::net_ring::NetRing;
use super::parker::Parker;
use super::preflight::{self, PreflightError};
use super::privileges::{self, PrivilegeError};
use super::process::CpuMeter;
use super::settings::Ports;
use super::signals;
use super::spin::Spin;
use super::store_dir::{StoreDir, StoreDirError};
use super::system::{self, SystemHandle};
use super::tls_files::TlsError;
use super::{files, host, http_server, identity, settings, trust};
use crate::broker::accounts::AccountTable;
use crate::broker::auth::{AuthConfig, Trusted};
use crate::broker::core::CORES_MAX;
use crate::broker::{Core, CoreId, Kind, ServerIdentity, Settings};
use crate::config::{self, Caution, Configuration, HostOptions, Options, Placement};
use crate::monitor::ClosedRing;
use crate::monitor::snapshot::ServerSnapshot;
use crate::transport::Transports;

/// Why the server did not start.
#[derive(Debug)]
pub enum StartError {
    Log(std::io::Error),
    Cpus(CpuError),
    Affinity(std::io::Error),
    Preflight(PreflightError),
    Privilege(PrivilegeError),
    Resolve {
        host: String,
        error: std::io::Error,
    },
    Listen {
        host: String,
        port: i64,
        error: std::io::Error,
    },
    Monitor {
        address: String,
        error: std::io::Error,
    },
    WebSocket {
        address: String,
        error: std::io::Error,
    },
    PidFile {
        path: String,
        error: std::io::Error,
    },
    Authorization(crate::broker::auth::AuthError),
    Accounts(crate::broker::accounts::AccountError),
    Tls(TlsError),
    /// Operator mode, with the text.
    Trust(String),
    Executor(ExecutorError),
    Core(String),
    Threads(std::io::Error),
    JetStream(StoreDirError),
}

/// "address already in use", as the system's message without its number.
fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| {
        first.to_lowercase().chain(letters).collect()
    })
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log(error) => write!(f, "error opening log file: {error}"),
            Self::Cpus(error) => error.fmt(f),
            Self::Affinity(error) => write!(f, "cannot read the affinity mask: {error}"),
            Self::Preflight(error) => error.fmt(f),
            Self::Privilege(error) => error.fmt(f),
            Self::Resolve { host, error } => write!(
                f,
                "Error listening on port: {host}, \"lookup {host}: {}\"",
                reason(error)
            ),
            Self::Listen { host, port, error } => {
                let at = host_port(host, *port);
                write!(
                    f,
                    "Error listening on port: {at}, \"listen tcp {at}: bind: {}\"",
                    reason(error)
                )
            }
            Self::Monitor { address, error } => write!(
                f,
                "Can't listen to the monitor port: can't listen to the monitor port: listen tcp {address}: bind: {}",
                reason(error)
            ),
            Self::WebSocket { address, error } => write!(
                f,
                "Unable to listen for websocket connections: listen tcp {address}: bind: {}",
                reason(error)
            ),
            Self::PidFile { path, error } => {
                write!(f, "Could not write pidfile: open {path}: {}", reason(error))
            }
            Self::Authorization(error) => error.fmt(f),
            Self::Accounts(error) => error.fmt(f),
            Self::Tls(error) => error.fmt(f),
            Self::Trust(text) => f.write_str(text),
            Self::Executor(error) => error.fmt(f),
            Self::Core(text) => f.write_str(text),
            Self::Threads(error) => write!(f, "cannot start a thread: {error}"),
            Self::JetStream(error) => write!(f, "Can't start JetStream: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

fn host_port(host: &str, port: i64) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

fn resolve(host: &str) -> Result<IpAddr, StartError> {
    let failed = |error| StartError::Resolve {
        host: host.to_owned(),
        error,
    };
    if let Ok(ip) = host.parse() {
        return Ok(ip);
    }
    let found: Vec<SocketAddr> = (host, 0).to_socket_addrs().map_err(failed)?.collect();
    // As nats-server: IPv4 first where a name has both.
    found
        .iter()
        .find(|a| a.is_ipv4())
        .or(found.first())
        .map(SocketAddr::ip)
        .ok_or_else(|| failed(std::io::Error::other("no such host")))
}

/// Binds; port -1 is any.
fn bind(host: &str, port: i64) -> Result<(OwnedFd, SocketAddr), StartError> {
    let ip = resolve(host)?;
    let number = u16::try_from(port).unwrap_or(0);
    listener::listen(ip, number).map_err(|error| StartError::Listen {
        host: host.to_owned(),
        port,
        error: error.error,
    })
}

/// The CPUs of the cores. More cores than CPUs is for tests only; they share.
fn choose_cpus(placement: &Placement) -> Result<Vec<usize>, StartError> {
    let allowed = cpus::allowed().map_err(StartError::Affinity)?;
    let choice = match placement {
        Placement::All => CpuChoice::All,
        Placement::Count(count) => {
            let count = count.get() as usize;
            if count > allowed.len() && !allowed.is_empty() {
                return Ok(allowed.iter().copied().cycle().take(count).collect());
            }
            CpuChoice::Count(count)
        }
        Placement::Cpus(list) => CpuChoice::List(list.iter().map(|&cpu| cpu as usize).collect()),
    };
    let mut chosen = cpus::choose(&choice, &allowed).map_err(StartError::Cpus)?;
    if matches!(choice, CpuChoice::All) {
        chosen.truncate(CORES_MAX);
    }
    Ok(chosen)
}

/// A seed that clients cannot guess.
fn random_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id())
}

/// Everything that [`prepare`] made.
pub(super) struct Prepared {
    pub identity: ServerIdentity,
    pub auth: Arc<AuthConfig>,
    pub accounts: Arc<AccountTable>,
    pub trusted: Option<Arc<Trusted>>,
    pub events: ControlReceiver,
    pub cores: Vec<CoreHandle>,
    pub threads: Vec<executor::Core<()>>,
    pub gatherer: Arc<Gatherer>,
    pub system: SystemHandle,
    pub credentials: CredentialChecker,
    pub ports: Ports,
}

/// Checks the host, binds the ports, starts the cores.
pub(super) fn prepare(
    configuration: &Configuration,
    log: &mut Logger,
) -> Result<Prepared, StartError> {
    let options = &configuration.options;
    let started = Clock::new().now().unix_ns;
    let cpus = choose_cpus(&options.placement)?;
    let clients = u64::try_from(options.max_connections).unwrap_or(0);
    let host_options = &options.host_options;
    let warnings =
        preflight::run(cpus.len(), clients, host_options).map_err(StartError::Preflight)?;
    privileges::check_spin(
        host_options.realtime,
        options.spin,
        &cpus,
        &privileges::online(),
    )
    .map_err(StartError::Privilege)?;
    let trusted = trust::start(options).map_err(StartError::Trust)?;
    let auth = settings::auth(&options.authorization, trusted.as_ref());
    let auth = Arc::new(auth.map_err(StartError::Authorization)?);
    let accounts =
        trust::accounts(options, trusted.as_deref(), None).map_err(StartError::Accounts)?;
    let accounts = Arc::new(accounts);
    let (to_system, from_cores) = system::channel();
    let transports = Arc::new(settings::transports(options).map_err(StartError::Tls)?);
    let (sender, events) = ControlSender::new(to_system);
    let fetcher = trust::fetcher(&options.trust, &sender);
    signals::forward(sender.clone()).map_err(StartError::Threads)?;

    let mut identity = identity::new(options);
    announce(options, &identity, log, &configuration.cautions);
    for warning in warnings {
        log.line(Tag::Warn, &warning.to_string());
    }
    warn_of_host(options, &cpus, log);

    let monitor = if options.http_port == 0 {
        None
    } else {
        Some(bind_monitor(options)?)
    };
    let monitor_address = monitor.as_ref().map(|(_, address)| *address);
    let websocket = if options.websocket.is_on() {
        Some(bind_websocket(options)?)
    } else {
        None
    };
    let websocket_address = websocket.as_ref().map(|(_, address)| *address);
    let (listener, address) = bind(&options.host, options.port)?;
    let port = address.port();
    let mut listeners = vec![(Kind::Client, listener)];
    listeners.extend(websocket.map(|(listener, _)| (Kind::WebSocket, listener)));
    identity.websocket_port = websocket_address.map_or(0, |a| a.port());
    (identity.host, identity.port) = identity::advertised(options, port);
    let ports = Ports {
        client: port,
        http: monitor_address.map_or(0, |a| a.port()),
        websocket: identity.websocket_port,
    };

    let store = if options.jetstream.enabled {
        Some(StoreDir::prepare(options, &identity, &accounts).map_err(StartError::JetStream)?)
    } else {
        None
    };
    if let Some(store) = &store {
        store.announce(log);
    }
    let began = Clock::new().now().mono_ns;
    let loads = Arc::new(Loads::new(cpus.len(), host_options.accept));
    let core_settings = Arc::new(settings::core(
        options,
        &identity,
        Arc::clone(&auth),
        Arc::clone(&accounts),
    ));
    let (cores, threads) = start_cores(
        options,
        &cpus,
        listeners,
        &transports,
        &loads,
        &core_settings,
        store.as_ref(),
        &sender,
    )?;
    if store.is_some() {
        let took = Duration::from_nanos(Clock::new().now().mono_ns - began);
        log.line(Tag::Info, &format!("Took {took:?} to start JetStream"));
    }
    if host_options.lock_memory {
        privileges::lock_memory().map_err(StartError::Privilege)?;
    }
    let gatherer = Arc::new(Gatherer {
        cores: cores.clone(),
        jetstream: store.as_ref().map(StoreDir::shown),
        jetstream_accounts: store.as_ref().map(StoreDir::accounts).unwrap_or_default(),
        cpus: cpus.clone(),
        loads: Arc::clone(&loads),
        identity: server_snapshot(&identity, started, cpus.len()),
        base_path: options.http_base_path.clone(),
        reloadable: Mutex::new(reloadable(options, ports, started)),
        closed: Mutex::new(ClosedRing::new(
            usize::try_from(options.max_closed_clients).unwrap_or(0),
        )),
        cut_off: Mutex::default(),
        requests: Mutex::default(),
        cpu: Mutex::new(CpuMeter::new()),
    });
    if let Some((listener, address)) = monitor {
        let at = host_port(&options.http_host, i64::from(address.port()));
        log.line(Tag::Info, &format!("Starting http monitor on {at}"));
        http_server::serve(listener, Arc::clone(&gatherer)).map_err(StartError::Threads)?;
    }
    let system = SystemHandle::new(identity.clone(), random_seed(), cores.clone());
    system
        .serve(from_cores, Arc::clone(&gatherer), sender.clone())
        .map_err(StartError::Threads)?;
    write_files(options, address, monitor_address, websocket_address, log)?;
    cores[0].call(Box::new(Driver::start_listening));
    if let Some(address) = websocket_address {
        let at = host_port(&options.websocket.host, i64::from(address.port()));
        log.line(
            Tag::Info,
            &format!("Listening for websocket clients on ws://{at}"),
        );
        log.line(
            Tag::Warn,
            "Websocket not configured with TLS. DO NOT USE IN PRODUCTION!",
        );
    }
    let at = host_port(&options.host, i64::from(address.port()));
    log.line(
        Tag::Info,
        &format!("Listening for client connections on {at}"),
    );
    if options.tls.is_some() {
        let must = if options.allow_non_tls {
            "available"
        } else {
            "required"
        };
        log.line(Tag::Info, &format!("TLS {must} for client connections"));
    }
    log.line(Tag::Info, "Server is ready");
    Ok(Prepared {
        credentials: CredentialChecker::new(cores.clone(), fetcher),
        ports,
        identity,
        auth,
        accounts,
        trusted,
        events,
        cores,
        threads,
        gatherer,
        system,
    })
}

/// The first lines of the log.
fn announce(options: &Options, identity: &ServerIdentity, log: &mut Logger, cautions: &[Caution]) {
    log.line(Tag::Info, "Starting nats-server");
    log.line(Tag::Info, &format!("  Version:  {}", identity.version));
    let commit = if identity.git_commit.is_empty() {
        "not set"
    } else {
        &identity.git_commit
    };
    log.line(Tag::Info, &format!("  Git:      [{commit}]"));
    log.line(
        Tag::Info,
        &format!("  Ringwire: {}", identity::RINGWIRE_VERSION),
    );
    log.line(Tag::Info, &format!("  Name:     {}", identity.server_name));
    log.line(Tag::Info, &format!("  ID:       {}", identity.server_id));
    for caution in cautions {
        log.line(Tag::Warn, &caution.to_string());
    }
    if !options.config_file.is_empty() {
        let (file, digest) = (&options.config_file, &options.config_digest);
        log.line(
            Tag::Info,
            &format!("Using configuration file: {file} ({digest})"),
        );
    }
    announce_operators(options, log);
}

/// The operators that are trusted, in nats-server's form.
fn announce_operators(options: &Options, log: &mut Logger) {
    let operators = options.trust.operator_claims();
    if operators.is_empty() {
        return;
    }
    let time = |seconds: i64| match jiff::Timestamp::from_second(seconds) {
        Ok(time) if seconds > 0 => time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string(),
        _ => "Never".to_owned(),
    };
    log.line(Tag::Info, "Trusted Operators");
    for operator in operators {
        let system = &operator.data.system_account;
        log.line(Tag::Info, &format!("  System  : {system:?}"));
        log.line(Tag::Info, &format!("  Operator: {:?}", operator.name));
        let issued = time(operator.issued_at);
        log.line(Tag::Info, &format!("  Issued  : {issued}"));
        let expires = time(operator.expires);
        log.line(Tag::Info, &format!("  Expires : {expires}"));
    }
    if options.named_system_account().is_none() {
        let line = "Trusted Operators should utilize a System Account";
        log.line(Tag::Warn, line);
    }
}

/// One line about what of the host costs latency; what to do about each with `-D`.
fn warn_of_host(options: &Options, cpus: &[usize], log: &mut Logger) {
    let spins_forever = options.spin == config::Spin::Forever;
    let realtime = options.host_options.realtime > 0;
    let usage = host::Use {
        dedicated: matches!(options.placement, Placement::Cpus(_))
            || options.spin != config::Spin::default()
            || options.host_options.busy_poll > 0
            || realtime,
        spins_forever,
        realtime,
        locks_freely: privileges::may_lock_memory(),
    };
    let findings = host::survey(std::path::Path::new("/"), cpus, usage);
    if findings.is_empty() {
        return;
    }
    log.line(Tag::Warn, &host::Summary(&findings).to_string());
    if options.log.debug {
        for host::Finding { state, remedy } in &findings {
            log.line(Tag::Debug, &format!("Host: {state}: {remedy}"));
        }
    }
}

fn bind_monitor(options: &Options) -> Result<(TcpListener, SocketAddr), StartError> {
    let (host, port) = (&options.http_host, options.http_port);
    match bind(host, port) {
        Ok((fd, address)) => Ok((TcpListener::from(fd), address)),
        Err(StartError::Listen { error, .. }) => Err(StartError::Monitor {
            address: host_port(host, port),
            error,
        }),
        Err(other) => Err(other),
    }
}

fn bind_websocket(options: &Options) -> Result<(OwnedFd, SocketAddr), StartError> {
    let (host, port) = (&options.websocket.host, options.websocket.port);
    bind(host, port).map_err(|error| match error {
        StartError::Listen { error, .. } => StartError::WebSocket {
            address: host_port(host, port.max(0)),
            error,
        },
        other => other,
    })
}

fn write_files(
    options: &Options,
    client: SocketAddr,
    monitor: Option<SocketAddr>,
    websocket: Option<SocketAddr>,
    log: &mut Logger,
) -> Result<(), StartError> {
    if !options.pid_file.is_empty() {
        files::write_pid(&options.pid_file).map_err(|error| StartError::PidFile {
            path: options.pid_file.clone(),
            error,
        })?;
    }
    if !options.ports_file_dir.is_empty()
        && let Err(error) = files::write_ports(&options.ports_file_dir, client, monitor, websocket)
    {
        log.line(
            Tag::Error,
            &format!(
                "Error writing ports file in {}: {error}",
                options.ports_file_dir
            ),
        );
    }
    Ok(())
}

fn server_snapshot(identity: &ServerIdentity, start: i64, cores: usize) -> ServerSnapshot {
    ServerSnapshot {
        server_id: identity.server_id.clone(),
        server_name: identity.server_name.clone(),
        version: identity.version.clone(),
        ringwire_version: identity::RINGWIRE_VERSION.to_owned(),
        git_commit: identity.git_commit.clone(),
        compiler: identity.compiler.clone(),
        start,
        host_cpus: thread::available_parallelism().map_or(1, usize::from),
        cores,
        ..ServerSnapshot::default()
    }
}

pub(super) fn reloadable(options: &Options, ports: Ports, now: i64) -> Reloadable {
    Reloadable {
        options: settings::shown(options, ports),
        config_load_time: now,
        config_digest: options.config_digest.clone(),
    }
}

/// Starts a pinned thread for each CPU and waits until all of them serve.
#[expect(clippy::too_many_arguments, reason = "what all cores share")]
fn start_cores(
    options: &Options,
    cpus: &[usize],
    listeners: Vec<(Kind, OwnedFd)>,
    transports: &Arc<Transports>,
    loads: &Arc<Loads>,
    core_settings: &Arc<Settings>,
    store: Option<&StoreDir>,
    control: &ControlSender,
) -> Result<(Vec<CoreHandle>, Vec<executor::Core<()>>), StartError> {
    let nodes =
        links::mesh::<Bytes>(cpus.len(), &LinkConfig::default()).map_err(StartError::Threads)?;
    let (handles, inboxes): (Vec<_>, Vec<_>) = nodes
        .iter()
        .map(|node| CoreHandle::new(node.wakers[node.node].clone()))
        .unzip();
    let mut acceptor = Some(Acceptor::new(
        listeners,
        Arc::clone(loads),
        settings::max_connections(options),
        handles.clone(),
        cpus.to_vec(),
    ));
    let (ready, readiness) = channel();
    let mut threads = Vec::new();
    for ((node, calls), &cpu) in nodes.into_iter().zip(inboxes).zip(cpus) {
        let number = node.node;
        let core = CoreStart {
            number,
            cores: cpus.len(),
            settings: Arc::clone(core_settings),
            transports: Arc::clone(transports),
            spin: settings::spin(options.spin),
            host_options: options.host_options,
            node,
            calls,
            control: control.clone(),
            loads: Arc::clone(loads),
            acceptor: if number == 0 { acceptor.take() } else { None },
            store: store.cloned(),
            handle: handles[number].clone(),
            ready: ready.clone(),
        };
        let name = format!("core-{number}");
        let thread = executor::start(cpu, &name, &ExecutorConfig::default(), move || core.run())
            .map_err(StartError::Executor)?;
        threads.push(thread);
    }
    drop(ready);
    for _ in cpus {
        match readiness.recv() {
            Ok(Ok(())) => {}
            Ok(Err(text)) => return Err(StartError::Core(text)),
            Err(_) => return Err(StartError::Core("a core ended while it started".to_owned())),
        }
    }
    Ok((handles, threads))
}

/// What goes to a core's thread.
struct CoreStart {
    number: usize,
    cores: usize,
    settings: Arc<Settings>,
    transports: Arc<Transports>,
    spin: Spin,
    host_options: HostOptions,
    node: links::NodeLinks<Bytes>,
    calls: Calls,
    control: ControlSender,
    loads: Arc<Loads>,
    acceptor: Option<Acceptor>,
    store: Option<StoreDir>,
    handle: CoreHandle,
    ready: Sender<Result<(), String>>,
}

impl CoreStart {
    async fn run(self) {
        let (control, core, ready) = (self.control.clone(), self.number, self.ready.clone());
        let error = match self.driver() {
            Ok(driver) => driver.run().await.err().map(|error| error.to_string()),
            Err(error) => {
                let _ = ready.send(Err(error.to_string()));
                Some(error.to_string())
            }
        };
        control.send(ControlEvent::CoreEnded { core, error });
    }

    fn driver(self) -> std::io::Result<Driver> {
        let HostOptions {
            busy_poll,
            huge_pages,
            realtime,
            ..
        } = self.host_options;
        let config = RingConfig {
            huge_page_bytes: huge_pages.then(|| privileges::huge_page_bytes() as usize),
            busy_poll_micros: busy_poll,
            ..RingConfig::default()
        };
        let mut ring = NetRing::new(&config).map_err(std::io::Error::other)?;
        let parker = Parker::new(self.node.seat, &mut ring)?;
        let id = CoreId(self.number as u8);
        let persistence = match self.store {
            Some(store) => Some(store.open(id, self.cores, self.handle)?),
            None => None,
        };
        let driver = Driver::new(Parts {
            core: Core::new(id, self.cores, self.settings, random_seed()),
            ring,
            transports: self.transports,
            to: self.node.to,
            from: self.node.from,
            wakers: self.node.wakers,
            parker,
            clock: Clock::new(),
            spin: self.spin,
            busy_poll,
            calls: self.calls,
            control: self.control,
            loads: self.loads,
            acceptor: self.acceptor,
            persistence,
            ready: self.ready,
        });
        // Last: setting up is no work for it, and what this starts stays ordinary.
        if realtime > 0 {
            privileges::make_realtime(realtime).map_err(std::io::Error::other)?;
        }
        Ok(driver)
    }
}
