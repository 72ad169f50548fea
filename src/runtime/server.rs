//! The control thread of a running server: signals, reloads, lame duck mode, the end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::clock::Clock;
use super::control::{ControlEvent, ControlReceiver, CoreHandle};
use super::credentials::{Check, CredentialChecker};
use super::executor;
use super::gather::Gatherer;
use super::log::{Logger, Tag};
use super::settings::Ports;
use super::signals::Signal;
use super::startup::{Prepared, prepare, reloadable};
use super::system::SystemHandle;
use super::{files, identity, privileges, settings, stopping, trust};
use crate::broker::ServerIdentity;
use crate::broker::accounts::AccountTable;
use crate::broker::auth::{AuthConfig, Refusal, Trusted};
use crate::config::{self, Configuration, Flags, Options, SystemSource};

pub use super::startup::StartError;

/// How long the cores may take to send what waits when the server stops.
const STOP_PATIENCE: Duration = Duration::from_secs(2);
/// Longest pause between two connections closed in lame duck mode.
const LAME_DUCK_STEP_MAX: Duration = Duration::from_secs(1);

/// A running server, as its control thread sees it.
struct Server {
    flags: Flags,
    options: Options,
    identity: ServerIdentity,
    auth: Arc<AuthConfig>,
    accounts: Arc<AccountTable>,
    trusted: Option<Arc<Trusted>>,
    log: Logger,
    events: ControlReceiver,
    cores: Vec<CoreHandle>,
    threads: Vec<executor::Core<()>>,
    gatherer: Arc<Gatherer>,
    system: SystemHandle,
    credentials: CredentialChecker,
    ports: Ports,
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

impl Server {
    fn new(flags: Flags, options: Options, prepared: Prepared, log: Logger) -> Self {
        Self {
            flags,
            options,
            log,
            identity: prepared.identity,
            auth: prepared.auth,
            accounts: prepared.accounts,
            trusted: prepared.trusted,
            events: prepared.events,
            cores_running: prepared.cores.len(),
            cores: prepared.cores,
            threads: prepared.threads,
            gatherer: prepared.gatherer,
            system: prepared.system,
            credentials: prepared.credentials,
            ports: prepared.ports,
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
            ControlEvent::Verify(check) => self.credentials.check(check),
            ControlEvent::AccountFetched {
                account,
                result,
                check,
            } => self.account_fetched(&account, result, check),
            ControlEvent::Signal(signal) => return self.on_signal(signal),
            ControlEvent::Reload(answer) => {
                // Who asked may have given up.
                let _ = answer.send(self.reload());
            }
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

    /// Claims came that a login waits for, or did not.
    fn account_fetched(&mut self, account: &str, result: Result<String, String>, check: Check) {
        let mut check = check;
        let learned = result.and_then(|token| {
            let Some(trusted) = &self.trusted else {
                return Err("account missing".to_owned());
            };
            trust::learned(trusted, &self.accounts, account, &token)
        });
        let error = match learned {
            Ok((trusted, accounts)) => {
                let trusted = Arc::new(trusted);
                self.auth = Arc::new(self.auth.with_trusted(Arc::clone(&trusted)));
                self.accounts = Arc::new(accounts);
                let settings = Arc::new(settings::core(
                    &self.options,
                    &self.identity,
                    Arc::clone(&self.auth),
                    Arc::clone(&self.accounts),
                ));
                for core in &self.cores {
                    let settings = Arc::clone(&settings);
                    core.call(Box::new(move |driver| driver.core.reload(settings)));
                }
                check.fetched = true;
                check.job.renew(&trusted);
                self.trusted = Some(trusted);
                self.credentials.check(check);
                return;
            }
            Err(error) => error,
        };
        let line = format!("Account fetch failed: {error}");
        self.log.line(Tag::Warn, &line);
        let refusal = Refusal::because(format!("Account JWT lookup error: {error}"));
        let Check {
            core, slot, cid, ..
        } = check;
        self.cores[usize::from(core.0)].call(Box::new(move |driver| {
            driver.core.verified(slot, cid, Err(refusal));
        }));
    }

    fn on_signal(&mut self, signal: Signal) -> bool {
        self.log
            .line(Tag::Info, &format!("Trapped \"{}\" signal", signal.name()));
        match signal {
            Signal::Interrupt => true,
            // In lame duck mode the server goes by itself.
            Signal::Terminate => self.lame_duck.is_none(),
            Signal::Hangup => {
                // What went wrong is in the log.
                let _ = self.reload();
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

    fn reload(&mut self) -> Result<(), String> {
        let reloaded = self.try_reload();
        if let Err(text) = &reloaded {
            self.log.line(
                Tag::Error,
                &format!("Failed to reload server configuration: {text}"),
            );
        }
        reloaded
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
        privileges::check_spin(
            options.host_options.realtime,
            options.spin,
            &self.gatherer.cpus,
            &privileges::online(),
        )
        .map_err(|error| error.to_string())?;
        // Compiled before anything is applied: a reload is whole or not at all.
        let trust_changed = options.trust != self.options.trust;
        let trusted = if trust_changed {
            trust::trusted(&options.trust)
        } else {
            self.trusted.clone()
        };
        let auth = if options.authorization == self.options.authorization && !trust_changed {
            Arc::clone(&self.auth)
        } else {
            let auth = settings::auth(&options.authorization, trusted.as_ref());
            Arc::new(auth.map_err(|e| e.to_string())?)
        };
        let accounts = if options.account_rules() == self.options.account_rules() && !trust_changed
        {
            Arc::clone(&self.accounts)
        } else {
            let table = trust::accounts(&options, trusted.as_deref(), Some(&self.accounts));
            Arc::new(table.map_err(|e| e.to_string())?)
        };
        self.log
            .reconfigure(&options.log)
            .map_err(|error| format!("error opening log file: {error}"))?;
        for caution in &configuration.cautions {
            self.log.line(Tag::Warn, &caution.to_string());
        }
        self.auth = auth;
        self.trusted = trusted;
        self.accounts = accounts;
        (self.identity.host, self.identity.port) =
            identity::advertised(&options, self.ports.client);
        self.identity.tags.clone_from(&options.server_tags);
        self.identity.metadata.clone_from(&options.server_metadata);
        self.system.rename(self.identity.clone());
        let core_settings = Arc::new(settings::core(
            &options,
            &self.identity,
            Arc::clone(&self.auth),
            Arc::clone(&self.accounts),
        ));
        let transports = Arc::new(settings::transports(&options));
        let max_connections = settings::max_connections(&options);
        let spin = settings::spin(options.spin);
        for core in &self.cores {
            let settings = Arc::clone(&core_settings);
            let transports = Arc::clone(&transports);
            core.call(Box::new(move |driver| {
                driver.reload(settings, transports, max_connections, spin);
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
        self.gatherer.reload(reloadable(&options, self.ports, now));
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
        self.system.announce_leaving("LAMEDUCK");
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
        self.system.announce_leaving("SHUTDOWN");
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
