//! Puts the server together and runs its control thread.

use std::fmt;
use std::net::{IpAddr, SocketAddr, TcpListener, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::clock::Clock;
use super::control::{Calls, ControlEvent, ControlReceiver, ControlSender, CoreHandle};
use super::cpus::{self, CpuChoice, CpuError};
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
use super::passwords::PasswordChecker;
use super::preflight::{self, PreflightError};
use super::process::CpuMeter;
use super::signals::{self, Signal};
use super::spin::Spin;
use super::{files, http_server, identity, settings, stopping};
use crate::broker::auth::AuthConfig;
use crate::broker::core::CORES_MAX;
use crate::broker::{Core, CoreId, ServerIdentity, Settings};
use crate::config::{self, Caution, Configuration, Flags, Options, Placement, SystemSource};
use crate::monitor::ClosedRing;
use crate::monitor::snapshot::ServerSnapshot;

/// How long the cores may take to send what waits when the server stops.
const STOP_PATIENCE: Duration = Duration::from_secs(2);
/// Longest pause between two connections closed in lame duck mode.
const LAME_DUCK_STEP_MAX: Duration = Duration::from_secs(1);

/// Why the server did not start.
#[derive(Debug)]
pub enum StartError {
    Log(std::io::Error),
    Cpus(CpuError),
    Affinity(std::io::Error),
    TooManyCores {
        wanted: usize,
    },
    Preflight(PreflightError),
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
    PidFile {
        path: String,
        error: std::io::Error,
    },
    Authorization(crate::broker::auth::AuthError),
    Executor(ExecutorError),
    Core(String),
    Threads(std::io::Error),
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
            Self::TooManyCores { wanted } => {
                write!(
                    f,
                    "{wanted} cores asked for, but {CORES_MAX} is the most: lower --cores"
                )
            }
            Self::Preflight(error) => error.fmt(f),
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
            Self::PidFile { path, error } => {
                write!(f, "Could not write pidfile: open {path}: {}", reason(error))
            }
            Self::Authorization(error) => error.fmt(f),
            Self::Executor(error) => error.fmt(f),
            Self::Core(text) => f.write_str(text),
            Self::Threads(error) => write!(f, "cannot start a thread: {error}"),
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
            if count > CORES_MAX {
                return Err(StartError::TooManyCores { wanted: count });
            }
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
    } else if chosen.len() > CORES_MAX {
        return Err(StartError::TooManyCores {
            wanted: chosen.len(),
        });
    }
    Ok(chosen)
}

/// A seed that clients cannot guess.
fn random_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id())
}

/// A running server, as its control thread sees it.
struct Server {
    flags: Flags,
    options: Options,
    identity: ServerIdentity,
    auth: Arc<AuthConfig>,
    log: Logger,
    events: ControlReceiver,
    cores: Vec<CoreHandle>,
    threads: Vec<executor::Core<()>>,
    gatherer: Arc<Gatherer>,
    passwords: PasswordChecker,
    port: u16,
    http_port: u16,
    cores_running: usize,
    lame_duck: Option<LameDuck>,
    failed: bool,
}

/// The closing of connections in lame duck mode.
struct LameDuck {
    next_close: Instant,
    step: Duration,
}

/// Runs the server until it is stopped. Returns whether it ended in order.
///
/// # Errors
/// [`StartError`] if it did not start; it was logged, if the log could be opened.
pub fn run(flags: Flags, configuration: Configuration) -> Result<bool, StartError> {
    let mut log = Logger::open(&configuration.options.log).map_err(StartError::Log)?;
    match prepare(&configuration, &mut log) {
        Ok(prepared) => Ok(Server::new(flags, configuration.options, prepared, log).control()),
        Err(error) => {
            log.line(Tag::Fatal, &error.to_string());
            Err(error)
        }
    }
}

/// Logs why there is no server, before there is a log.
pub fn log_fatal(text: &str) {
    if let Ok(mut log) = Logger::open(&crate::config::LogOptions::default()) {
        log.line(Tag::Fatal, text);
    }
}

/// Everything that [`prepare`] made.
struct Prepared {
    identity: ServerIdentity,
    auth: Arc<AuthConfig>,
    events: ControlReceiver,
    cores: Vec<CoreHandle>,
    threads: Vec<executor::Core<()>>,
    gatherer: Arc<Gatherer>,
    passwords: PasswordChecker,
    port: u16,
    http_port: u16,
}

/// Checks the host, binds the ports, starts the cores.
fn prepare(configuration: &Configuration, log: &mut Logger) -> Result<Prepared, StartError> {
    let options = &configuration.options;
    let started = Clock::new().now().unix_ns;
    let cpus = choose_cpus(&options.placement)?;
    let clients = u64::try_from(options.max_connections).unwrap_or(0);
    let warnings = preflight::run(cpus.len(), clients).map_err(StartError::Preflight)?;
    let auth = Arc::new(settings::auth(&options.authorization).map_err(StartError::Authorization)?);
    let (sender, events) = ControlSender::new();
    signals::forward(sender.clone()).map_err(StartError::Threads)?;

    let mut identity = identity::new(options);
    announce(options, &identity, log, &configuration.cautions);
    for warning in warnings {
        log.line(Tag::Warn, &warning.to_string());
    }

    let monitor = if options.http_port == 0 {
        None
    } else {
        Some(bind_monitor(options)?)
    };
    let monitor_address = monitor.as_ref().map(|(_, address)| *address);
    let (listener, address) = bind(&options.host, options.port)?;
    let port = address.port();
    (identity.host, identity.port) = identity::advertised(options, port);
    let http_port = monitor_address.map_or(0, |a| a.port());

    let loads = Arc::new(Loads::new(cpus.len()));
    let core_settings = Arc::new(settings::core(options, &identity, Arc::clone(&auth)));
    let (cores, threads) = start_cores(options, &cpus, listener, &loads, &core_settings, &sender)?;
    let gatherer = Arc::new(Gatherer {
        cores: cores.clone(),
        cpus: cpus.clone(),
        loads: Arc::clone(&loads),
        identity: server_snapshot(&identity, started, cpus.len()),
        base_path: options.http_base_path.clone(),
        reloadable: Mutex::new(reloadable(options, port, http_port, started)),
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
    write_files(options, address, monitor_address, log)?;
    let at = host_port(&options.host, i64::from(address.port()));
    log.line(
        Tag::Info,
        &format!("Listening for client connections on {at}"),
    );
    log.line(Tag::Info, "Server is ready");
    Ok(Prepared {
        passwords: PasswordChecker::new(cores.clone()),
        port,
        identity,
        auth,
        events,
        cores,
        threads,
        gatherer,
        http_port,
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

fn write_files(
    options: &Options,
    client: SocketAddr,
    monitor: Option<SocketAddr>,
    log: &mut Logger,
) -> Result<(), StartError> {
    if !options.pid_file.is_empty() {
        files::write_pid(&options.pid_file).map_err(|error| StartError::PidFile {
            path: options.pid_file.clone(),
            error,
        })?;
    }
    if !options.ports_file_dir.is_empty()
        && let Err(error) = files::write_ports(&options.ports_file_dir, client, monitor)
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

fn reloadable(options: &Options, port: u16, http_port: u16, now: i64) -> Reloadable {
    Reloadable {
        options: settings::shown(options, port, http_port),
        config_load_time: now,
        config_digest: options.config_digest.clone(),
    }
}

/// Starts a pinned thread for each CPU and waits until all of them serve.
fn start_cores(
    options: &Options,
    cpus: &[usize],
    listener: OwnedFd,
    loads: &Arc<Loads>,
    core_settings: &Arc<Settings>,
    control: &ControlSender,
) -> Result<(Vec<CoreHandle>, Vec<executor::Core<()>>), StartError> {
    let nodes =
        links::mesh::<Bytes>(cpus.len(), &LinkConfig::default()).map_err(StartError::Threads)?;
    let (handles, inboxes): (Vec<_>, Vec<_>) = nodes
        .iter()
        .map(|node| CoreHandle::new(node.wakers[node.node].clone()))
        .unzip();
    let mut acceptor = Some(Acceptor::new(
        listener,
        Arc::clone(loads),
        settings::max_connections(options),
        handles.clone(),
    ));
    let (ready, readiness) = channel();
    let mut threads = Vec::new();
    for ((node, calls), &cpu) in nodes.into_iter().zip(inboxes).zip(cpus) {
        let number = node.node;
        let core = CoreStart {
            number,
            cores: cpus.len(),
            settings: Arc::clone(core_settings),
            spin: settings::spin(options.spin),
            node,
            calls,
            control: control.clone(),
            loads: Arc::clone(loads),
            acceptor: if number == 0 { acceptor.take() } else { None },
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
    spin: Spin,
    node: links::NodeLinks<Bytes>,
    calls: Calls,
    control: ControlSender,
    loads: Arc<Loads>,
    acceptor: Option<Acceptor>,
    ready: Sender<Result<(), String>>,
}

impl CoreStart {
    async fn run(self) {
        let (control, core, ready) = (self.control.clone(), self.number, self.ready.clone());
        let error = match self.driver() {
            Ok(driver) => {
                // Who waits for it gave up only if another core failed.
                let _ = ready.send(Ok(()));
                driver.run().await.err().map(|error| error.to_string())
            }
            Err(error) => {
                let _ = ready.send(Err(error.to_string()));
                Some(error.to_string())
            }
        };
        control.send(ControlEvent::CoreEnded { core, error });
    }

    fn driver(self) -> std::io::Result<Driver> {
        let mut ring = NetRing::new(&RingConfig::default()).map_err(std::io::Error::other)?;
        let parker = Parker::new(self.node.seat, &mut ring)?;
        let id = CoreId(self.number as u8);
        let mut driver = Driver::new(Parts {
            core: Core::new(id, self.cores, self.settings, random_seed()),
            ring,
            to: self.node.to,
            from: self.node.from,
            wakers: self.node.wakers,
            parker,
            clock: Clock::new(),
            spin: self.spin,
            calls: self.calls,
            control: self.control,
            loads: self.loads,
            acceptor: self.acceptor,
        });
        driver.listen()?;
        Ok(driver)
    }
}

impl Server {
    fn new(flags: Flags, options: Options, prepared: Prepared, log: Logger) -> Self {
        Self {
            flags,
            options,
            log,
            identity: prepared.identity,
            auth: prepared.auth,
            events: prepared.events,
            cores_running: prepared.cores.len(),
            cores: prepared.cores,
            threads: prepared.threads,
            gatherer: prepared.gatherer,
            passwords: prepared.passwords,
            port: prepared.port,
            http_port: prepared.http_port,
            lame_duck: None,
            failed: false,
        }
    }

    /// Reacts to events until the server is told to stop. Returns whether all went well.
    fn control(mut self) -> bool {
        loop {
            let timeout = self
                .lame_duck
                .as_ref()
                .map(|duck| duck.next_close.saturating_duration_since(Instant::now()));
            let event = self.events.next(timeout);
            let dropped = self.events.take_dropped();
            if dropped > 0 {
                self.log
                    .line(Tag::Warn, &format!("{dropped} log lines were dropped"));
            }
            let stop = match event {
                Some(event) => self.on_event(event),
                None => self.close_next_lame_duck(),
            };
            if stop {
                break;
            }
        }
        let ended_in_order = !self.failed;
        self.stop();
        ended_in_order
    }

    /// Returns whether the server is to stop.
    fn on_event(&mut self, event: ControlEvent) -> bool {
        match event {
            ControlEvent::Log { level, line } => self.log.line(level.into(), &line),
            ControlEvent::Closed(conn) => self.gatherer.note_closed(*conn),
            ControlEvent::Verify(check) => self.passwords.check(check),
            ControlEvent::Signal(signal) => return self.on_signal(signal),
            ControlEvent::CoreEnded { core, error } => {
                let error = error.unwrap_or_else(|| "for no reason".to_owned());
                self.log
                    .line(Tag::Fatal, &format!("Core {core} ended: {error}"));
                self.cores_running -= 1;
                self.failed = true;
                return true;
            }
        }
        false
    }

    fn on_signal(&mut self, signal: Signal) -> bool {
        self.log
            .line(Tag::Info, &format!("Trapped \"{}\" signal", signal.name()));
        match signal {
            Signal::Interrupt => true,
            // In lame duck mode the server goes by itself.
            Signal::Terminate => self.lame_duck.is_none(),
            Signal::Hangup => {
                self.reload();
                false
            }
            Signal::User1 => {
                self.reopen_log();
                false
            }
            Signal::User2 => self.enter_lame_duck(),
        }
    }

    fn reopen_log(&mut self) {
        if self.options.log.file.is_empty() {
            self.log
                .line(Tag::Info, "File log re-open ignored, not a file logger");
            return;
        }
        match self.log.reopen() {
            Ok(()) => self.log.line(Tag::Info, "File log re-opened"),
            Err(error) => self
                .log
                .line(Tag::Error, &format!("Unable to re-open the log: {error}")),
        }
    }

    fn reload(&mut self) {
        if let Err(text) = self.try_reload() {
            self.log.line(
                Tag::Error,
                &format!("Failed to reload server configuration: {text}"),
            );
        }
    }

    fn try_reload(&mut self) -> Result<(), String> {
        if self.options.config_file.is_empty() {
            return Err(
                "can only reload config when a file is provided using -c or --config".to_owned(),
            );
        }
        let configuration = config::load(&self.flags, &SystemSource).map_err(|e| e.to_string())?;
        let options = configuration.options;
        let changes = config::diff(&self.options, &options).map_err(|e| e.to_string())?;
        // Compiled before anything is applied: a reload is whole or not at all.
        let auth = if options.authorization == self.options.authorization {
            Arc::clone(&self.auth)
        } else {
            Arc::new(settings::auth(&options.authorization).map_err(|e| e.to_string())?)
        };
        self.log
            .reconfigure(&options.log)
            .map_err(|error| format!("error opening log file: {error}"))?;
        for caution in &configuration.cautions {
            self.log.line(Tag::Warn, &caution.to_string());
        }
        self.auth = auth;
        (self.identity.host, self.identity.port) = identity::advertised(&options, self.port);
        let core_settings = Arc::new(settings::core(
            &options,
            &self.identity,
            Arc::clone(&self.auth),
        ));
        let max_connections = settings::max_connections(&options);
        let spin = settings::spin(options.spin);
        for core in &self.cores {
            let settings = Arc::clone(&core_settings);
            core.call(Box::new(move |driver| {
                driver.reload(settings, max_connections, spin);
            }));
        }
        self.close_surplus(&options);
        if options.pid_file != self.options.pid_file
            && !options.pid_file.is_empty()
            && let Err(error) = files::write_pid(&options.pid_file)
        {
            self.log
                .line(Tag::Error, &format!("Failed to write pidfile: {error}"));
        }
        let now = Clock::new().now().unix_ns;
        self.gatherer
            .reload(reloadable(&options, self.port, self.http_port, now));
        for change in changes {
            self.log.line(Tag::Info, &change.to_string());
        }
        self.log.line(
            Tag::Info,
            &format!("Reloaded server configuration ({})", options.config_digest),
        );
        self.options = options;
        Ok(())
    }

    /// Closes connections until no more are open than new options allow.
    fn close_surplus(&mut self, options: &Options) {
        if options.max_connections == self.options.max_connections {
            return;
        }
        let Some(max) = settings::max_connections(options).filter(|&max| max > 0) else {
            return;
        };
        let surplus = self.gatherer.loads.total().saturating_sub(max);
        if surplus == 0 {
            return;
        }
        let mut left = surplus;
        let cores = self.cores.len();
        for (number, core) in self.cores.iter().enumerate() {
            // New connections are spread evenly, and so are those that go.
            let share = left.div_ceil(cores - number);
            left -= share;
            core.call(Box::new(move |driver| driver.core.close_surplus(share)));
        }
        self.log.line(
            Tag::Info,
            &format!("Closed {surplus} connections to fall within max_connections"),
        );
    }

    /// Returns whether the server can stop at once, having no clients.
    fn enter_lame_duck(&mut self) -> bool {
        if self.lame_duck.is_some() {
            return false;
        }
        self.log.line(
            Tag::Info,
            "Entering lame duck mode, stop accepting new clients",
        );
        let clients: usize = self
            .cores
            .iter()
            .filter_map(|core| {
                core.ask(|driver| {
                    driver.stop_listening();
                    driver.core.enter_lame_duck();
                    driver.core.open_connections()
                })
            })
            .sum();
        let grace = self.options.lame_duck_grace_period;
        let spread = self.options.lame_duck_duration.saturating_sub(grace);
        let step = spread / u32::try_from(clients.max(1)).unwrap_or(u32::MAX);
        self.lame_duck = Some(LameDuck {
            next_close: Instant::now() + grace,
            step: step.min(LAME_DUCK_STEP_MAX),
        });
        clients == 0
    }

    /// Closes one more client. Returns whether none is left.
    fn close_next_lame_duck(&mut self) -> bool {
        let Some(duck) = &mut self.lame_duck else {
            return false;
        };
        duck.next_close = Instant::now() + duck.step;
        if self.gatherer.loads.total() == 0 {
            return true;
        }
        let mut counts: Vec<(usize, usize)> = self
            .cores
            .iter()
            .enumerate()
            .filter_map(|(number, core)| Some((core.ask(|d| d.core.open_connections())?, number)))
            .collect();
        counts.sort_unstable();
        match counts.last() {
            Some(&(open, number)) if open > 0 => {
                self.cores[number].call(Box::new(|driver| {
                    driver.core.close_one();
                }));
                false
            }
            _ => true,
        }
    }

    /// Has the cores send what waits, and ends.
    fn stop(mut self) {
        self.log.line(Tag::Info, "Initiating Shutdown...");
        stopping::stop(&self.cores);
        let deadline = Instant::now() + STOP_PATIENCE;
        while self.cores_running > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.events.next(Some(left)) {
                Some(ControlEvent::CoreEnded { .. }) => self.cores_running -= 1,
                Some(event) => {
                    if !matches!(event, ControlEvent::Signal(_)) {
                        self.on_event(event);
                    }
                }
                None => break,
            }
        }
        if self.cores_running == 0 {
            for thread in std::mem::take(&mut self.threads) {
                // It said that it ended; how does not matter any more.
                let _ = thread.join();
            }
        }
        while let Some(event) = self.events.next(Some(Duration::ZERO)) {
            if let ControlEvent::Log { level, line } = event {
                self.log.line(level.into(), &line);
            }
        }
        for path in [
            (!self.options.pid_file.is_empty()).then(|| self.options.pid_file.clone().into()),
            (!self.options.ports_file_dir.is_empty())
                .then(|| files::ports_path(&self.options.ports_file_dir)),
        ]
        .into_iter()
        .flatten()
        {
            // Gone already is as good.
            let _ = std::fs::remove_file(path);
        }
        self.log.line(Tag::Info, "Server Exiting..");
    }
}
