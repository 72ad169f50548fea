//! The thread of the system account's services: gathers from the cores what requests and events
//! need, and hands the messages to the cores. Nothing of it waits on the data path.

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, channel as answers, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::clock::Clock;
use super::control::{ControlEvent, ControlSender, CoreHandle};
use super::gather::Gatherer;
use super::process;
use crate::broker::system::SYSTEM_ACCOUNT;
use crate::broker::{LogLevel, ServerIdentity, ServerMessage, SystemRequest};
use crate::monitor::Request;
use crate::monitor::snapshot::{AccountSnapshot, Snapshot};
use crate::monitor::statsz::Statsz;
use crate::subject;
use crate::system::events::{Announcement, Announcer, ClientEvent};
use crate::system::{Answer, Ask, Due, Schedule, Stamper, patterns};

/// Requests and events that may wait. What comes beyond is dropped: a requester asks again, a
/// listener sees a gap, the cores never wait.
pub const QUEUE_MAX: usize = 1024;
/// Events that are looked at together: one gathering serves them.
const BATCH_MAX: usize = 256;
/// Requests of other accounts about themselves that may wait.
pub const OWN_REQUESTS_MAX: usize = 32;
/// The services keep the cores busy for at most one part in so many of the time.
const REST_FACTOR: u32 = 4;
/// Longest rest after a gathering.
const REST_MAX: Duration = Duration::from_secs(1);
/// The same after a request of another account.
const OWN_REST_MAX: Duration = Duration::from_millis(20);
/// A gathering that takes less needs no rest.
const REST_FREE: Duration = Duration::from_millis(1);
/// How long a reload may take before the requester is told nothing.
const RELOAD_PATIENCE: Duration = Duration::from_secs(30);

/// What cores have for the system services.
pub enum SystemEvent {
    Request(Box<SystemRequest>),
    Client(ClientEvent),
}

/// A core's way to the services.
#[derive(Clone)]
pub struct SystemSender {
    events: SyncSender<SystemEvent>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    dropped: AtomicU64,
    /// Requests of other accounts about themselves that wait.
    own: AtomicUsize,
}

/// A request of an account other than the system account.
fn is_own(event: &SystemEvent) -> bool {
    matches!(event, SystemEvent::Request(request) if request.only.is_some())
}

impl SystemSender {
    /// Hands on, or drops if too much waits.
    pub fn send(&self, event: SystemEvent) {
        let own = is_own(&event);
        let full = own && self.counts.own.fetch_add(1, Ordering::Relaxed) >= OWN_REQUESTS_MAX;
        if full || self.events.try_send(event).is_err() {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
            if own {
                self.counts.own.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }
}

/// The services' end.
pub struct SystemReceiver {
    events: Receiver<SystemEvent>,
    counts: Arc<Counts>,
}

/// The way from the cores to the services.
pub fn channel() -> (SystemSender, SystemReceiver) {
    let (events, inbox) = sync_channel(QUEUE_MAX);
    let counts = Arc::new(Counts::default());
    let sender = SystemSender {
        events,
        counts: Arc::clone(&counts),
    };
    (
        sender,
        SystemReceiver {
            events: inbox,
            counts,
        },
    )
}

/// The services, as the control thread sees them.
#[derive(Clone)]
pub struct SystemHandle {
    stamper: Arc<Mutex<Stamper>>,
    cores: Vec<CoreHandle>,
}

impl SystemHandle {
    /// Services of a server that is called `server`.
    pub fn new(server: ServerIdentity, seed: u64, cores: Vec<CoreHandle>) -> Self {
        Self {
            stamper: Arc::new(Mutex::new(Stamper::new(server, seed))),
            cores,
        }
    }

    /// Subscribes the services and answers from a thread until the process ends.
    ///
    /// # Errors
    /// If the thread does not start.
    pub fn serve(
        &self,
        events: SystemReceiver,
        gatherer: Arc<Gatherer>,
        control: ControlSender,
    ) -> io::Result<()> {
        let patterns = patterns(&self.stamper().server.server_id);
        self.cores[0].call(Box::new(move |driver| {
            if driver.core.subscribe_system(&patterns).is_err() {
                driver.core.log_server(
                    LogLevel::Error,
                    "The system services cannot subscribe: the index is full".to_owned(),
                );
            }
        }));
        let services = Services {
            handle: self.clone(),
            events,
            gatherer,
            control,
            clock: Clock::new(),
            changed: BTreeSet::new(),
            rest_until: Instant::now(),
        };
        thread::Builder::new()
            .name("system".into())
            .spawn(move || services.run())?;
        Ok(())
    }

    fn stamper(&self) -> MutexGuard<'_, Stamper> {
        // All it guards is a counter and names.
        self.stamper.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over what a reload changed.
    pub fn rename(&self, server: ServerIdentity) {
        self.stamper().server = server;
    }

    /// Says that the server leaves, `SHUTDOWN` or `LAMEDUCK`.
    pub fn announce_leaving(&self, how: &str) {
        let now = Clock::new().now().unix_ns;
        let announcement = Announcer {
            stamper: &mut self.stamper(),
            now,
        }
        .leaving(how);
        self.announce(vec![announcement]);
    }

    /// Publishes in the system account, and waits until that is done.
    fn announce(&self, announcements: Vec<Announcement>) {
        // A core that does not answer is about to end the process.
        let _ = self.cores[0].ask(move |driver| {
            for Announcement { subject, body } in &announcements {
                // An account may be called what no subject can hold.
                if !subject::is_valid_publish(subject.as_bytes())
                    || !subject::is_literal(subject.as_bytes())
                {
                    continue;
                }
                driver.core.publish_server(&ServerMessage {
                    account: SYSTEM_ACCOUNT,
                    to: subject.as_bytes(),
                    subject: subject.as_bytes(),
                    reply: b"",
                    header: b"",
                    payload: body,
                });
            }
        });
    }

    /// Whether anybody listens to one of these subjects of the system account.
    fn is_heard(&self, subjects: Vec<String>) -> bool {
        self.cores[0]
            .ask(move |driver| {
                subjects
                    .iter()
                    .any(|subject| driver.core.has_interest(SYSTEM_ACCOUNT, subject.as_bytes()))
            })
            .unwrap_or(false)
    }
}

struct Services {
    handle: SystemHandle,
    events: SystemReceiver,
    gatherer: Arc<Gatherer>,
    control: ControlSender,
    clock: Clock,
    /// Accounts whose count of connections may have changed and was not told.
    changed: BTreeSet<String>,
    /// No gathering that can wait begins before.
    rest_until: Instant,
}

impl Services {
    fn run(mut self) {
        let mut schedule = Schedule::new(self.clock.now().mono_ns);
        loop {
            let now = self.clock.now().mono_ns;
            while let Some(due) = schedule.take(now) {
                match due {
                    Due::Statsz => self.tell_figures(),
                    Due::Accounts => self.tell_accounts(),
                }
            }
            let mut wait = Duration::from_nanos(schedule.next().saturating_sub(now));
            if !self.changed.is_empty() {
                let rest = self.rest_until.saturating_duration_since(Instant::now());
                if rest.is_zero() {
                    self.tell_changes();
                } else {
                    wait = wait.min(rest);
                }
            }
            match self.events.events.recv_timeout(wait) {
                Ok(event) => self.take(event),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Handles an event, and those that wait behind it together.
    fn take(&mut self, first: SystemEvent) {
        let mut clients = Vec::new();
        let mut next = Some(first);
        while let Some(event) = next {
            match event {
                SystemEvent::Client(event) => clients.push(event),
                SystemEvent::Request(request) => {
                    // In order: who asks sees what happened before.
                    self.tell_clients(std::mem::take(&mut clients));
                    self.answer(&request);
                    if request.only.is_some() {
                        self.events.counts.own.fetch_sub(1, Ordering::Relaxed);
                        let rest = self.rest_until.saturating_duration_since(Instant::now());
                        thread::sleep(rest.min(OWN_REST_MAX));
                    }
                }
            }
            next = if clients.len() < BATCH_MAX {
                self.events.events.try_recv().ok()
            } else {
                None
            };
        }
        self.tell_clients(clients);
        let dropped = self.events.counts.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            self.control.log(
                LogLevel::Warn,
                format!("{dropped} requests and events of the system account were dropped"),
            );
        }
    }

    fn unix_ns(&self) -> i64 {
        Clock::new().now().unix_ns
    }

    fn gather(&mut self, request: &Request, now: i64) -> Snapshot {
        let began = Instant::now();
        let snapshot = self.gatherer.snapshot(request, now);
        let took = began.elapsed();
        if took > REST_FREE {
            self.rest_until = Instant::now() + (took * REST_FACTOR).min(REST_MAX);
        }
        snapshot
    }

    fn accounts(&mut self, only: Vec<String>, now: i64) -> Snapshot {
        self.gather(&Request::of_accounts(true, only), now)
    }

    fn tell_clients(&mut self, clients: Vec<ClientEvent>) {
        if clients.is_empty() {
            return;
        }
        let accounts = clients.iter().filter_map(ClientEvent::counted_account);
        self.changed.extend(accounts.map(str::to_owned));
        if Instant::now() >= self.rest_until {
            self.tell_changes();
        }
        let now = self.unix_ns();
        let announcements = {
            let mut announcer = Announcer {
                stamper: &mut self.handle.stamper(),
                now,
            };
            clients
                .iter()
                .flat_map(|event| announcer.client(event))
                .collect()
        };
        self.handle.announce(announcements);
    }

    /// Tells how many connections the accounts have in which clients came or went.
    fn tell_changes(&mut self) {
        let changed = std::mem::take(&mut self.changed);
        if changed.is_empty()
            || !self
                .handle
                .is_heard(changed.iter().flat_map(|a| counts(a)).collect())
        {
            return;
        }
        let now = self.unix_ns();
        let mut accounts = self.accounts(Vec::new(), now).accounts;
        accounts.retain(|account| changed.contains(&account.name));
        self.tell_counts(&accounts, now);
    }

    fn tell_counts(&self, accounts: &[AccountSnapshot], now: i64) {
        let announcements = {
            let mut announcer = Announcer {
                stamper: &mut self.handle.stamper(),
                now,
            };
            accounts
                .iter()
                .flat_map(|account| announcer.account(account))
                .collect()
        };
        self.handle.announce(announcements);
    }

    fn tell_figures(&mut self) {
        let id = self.handle.stamper().server.server_id.clone();
        if !self
            .handle
            .is_heard(vec![format!("$SYS.SERVER.{id}.STATSZ")])
        {
            return;
        }
        let now = self.unix_ns();
        let snapshot = self.accounts(Vec::new(), now);
        let announcement = Announcer {
            stamper: &mut self.handle.stamper(),
            now,
        }
        .statsz(&snapshot);
        self.handle.announce(vec![announcement]);
    }

    fn tell_accounts(&mut self) {
        let heard = self.handle.cores[0].ask(|driver| driver.core.announces_any_count());
        if !heard.unwrap_or(false) {
            return;
        }
        let now = self.unix_ns();
        let mut accounts = self.accounts(Vec::new(), now).accounts;
        accounts.retain(|a| a.client_connections > 0 && a.name != "$G");
        self.tell_counts(&accounts, now);
    }

    fn answer(&mut self, request: &SystemRequest) {
        let asked = Ask::read(request, &self.handle.stamper().server);
        let Some(asked) = asked else {
            return;
        };
        let acts = matches!(asked, Ok(Ask::Kick(_) | Ask::Leave(_) | Ask::Reload));
        if request.reply.is_empty() && !acts {
            return;
        }
        let now = self.unix_ns();
        let answer = match asked {
            Ok(ask) => self.carry_out(ask, now),
            Err(text) => Answer::Refused(400, text),
        };
        let body = answer.body(&mut self.handle.stamper(), now);
        if let Some(body) = body
            && !request.reply.is_empty()
        {
            let (account, reply) = (request.account, request.reply.clone());
            self.handle.cores[usize::from(request.via.0)].call(Box::new(move |driver| {
                driver.core.publish_server(&ServerMessage {
                    account,
                    to: &reply,
                    subject: &reply,
                    reply: b"",
                    header: b"",
                    payload: &body,
                });
            }));
        }
    }

    fn carry_out(&mut self, ask: Ask, now: i64) -> Answer {
        match ask {
            Ask::Monitor(request, part) => {
                let snapshot = self.gather(&request, now);
                Answer::of_monitor(&request, &part, &snapshot)
            }
            Ask::Statsz => {
                let snapshot = self.accounts(Vec::new(), now);
                Answer::Statsz(Box::new(Statsz::new(&snapshot)))
            }
            Ask::Identity => Answer::identity(&self.handle.stamper().server),
            Ask::Connections(name) => {
                let accounts = self.accounts(vec![name.clone()], now).accounts;
                // Nothing is told of accounts without connections.
                let active = |a: &&AccountSnapshot| a.name == name && a.client_connections > 0;
                let Some(account) = accounts.iter().find(active) else {
                    return Answer::Silence;
                };
                let mut announcer = Announcer {
                    stamper: &mut self.handle.stamper(),
                    now,
                };
                Answer::Bare(announcer.account_body(account))
            }
            Ask::Subscribers { account, subject } => self.subscribers(account, subject, now),
            Ask::Kick(cid) => {
                if self.any_core(move |driver| driver.core.kick(cid)) {
                    Answer::Done
                } else {
                    Answer::Refused(500, "no such client or leafnode id".to_owned())
                }
            }
            Ask::Leave(cid) => {
                if self.any_core(move |driver| driver.core.ask_to_leave(cid)) {
                    Answer::Done
                } else {
                    Answer::Refused(500, "no such client id".to_owned())
                }
            }
            Ask::Reload => self.reload(),
            Ask::Memory => Answer::of_memory(process::resident_bytes()),
            Ask::Fixed(json) => Answer::Data(json.as_bytes().to_vec()),
            Ask::Profile(name) => Answer::no_profile(&name),
        }
    }

    fn any_core(
        &self,
        ask: impl Fn(&mut super::driver::Driver) -> bool + Clone + Send + 'static,
    ) -> bool {
        self.handle
            .cores
            .iter()
            .any(|core| core.ask(ask.clone()) == Some(true))
    }

    fn subscribers(&mut self, account: String, subject: String, now: i64) -> Answer {
        let snapshot = self.accounts(Vec::new(), now);
        let account = if account.is_empty() {
            snapshot.server.options.system_account
        } else {
            account
        };
        if !snapshot.accounts.iter().any(|a| a.name == account) {
            return Answer::Silence;
        }
        let count: u64 = self
            .handle
            .cores
            .iter()
            .filter_map(|core| {
                let (account, subject) = (account.clone(), subject.clone());
                core.ask(move |driver| driver.core.count_subscribers(&account, subject.as_bytes()))
            })
            .sum();
        Answer::Bare(count.to_string().into_bytes())
    }

    fn reload(&self) -> Answer {
        let (answer, told) = answers();
        self.control.send(ControlEvent::Reload(answer));
        match told.recv_timeout(RELOAD_PATIENCE) {
            Ok(Ok(())) => Answer::Done,
            Ok(Err(text)) => Answer::Refused(500, text),
            Err(_) => Answer::Silence,
        }
    }
}

/// Where an account's connections are told.
fn counts(account: &str) -> [String; 2] {
    [
        format!("$SYS.SERVER.ACCOUNT.{account}.CONNS"),
        format!("$SYS.ACCOUNT.{account}.SERVER.CONNS"),
    ]
}
