//! A runtime for tests: sockets are byte vectors that can be made to stop
//! taking bytes, time passes when a test says so.

use core::net::{Ipv4Addr, SocketAddr};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::broker::accounts::AccountRules;
use crate::broker::auth::{AuthConfig, AuthRules, VerifyJob};
use crate::broker::{Batch, CloseMode, Core, CoreId, Effect, Now, Settings};

/// ECANCELED: what a send reports whose socket was closed.
const CANCELED: i32 = 125;

pub use crate::broker::testing::settings;

/// Settings with these rules of authentication.
pub fn settings_with_auth(rules: &AuthRules) -> Settings {
    Settings {
        auth: Arc::new(AuthConfig::new(rules).expect("good rules")),
        ..settings()
    }
}

/// A connection of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Client {
    pub core: usize,
    pub slot: u32,
    pub cid: u64,
}

#[derive(Default)]
struct Socket {
    received: Vec<u8>,
    /// Takes no more bytes.
    blocked: bool,
    in_flight: Option<Batch>,
    /// Told to close, and how.
    closing: Option<CloseMode>,
    reason: Option<String>,
    paused: bool,
}

/// Some cores and their clients.
pub struct World {
    settings: Arc<Settings>,
    pub cores: Vec<Core>,
    pub now: Now,
    sockets: BTreeMap<Client, Socket>,
    next_cid: u64,
    /// Records between cores stay where they are.
    pub mesh_blocked: bool,
    /// Passwords to check.
    pub jobs: Vec<(Client, Box<VerifyJob>)>,
}

impl World {
    /// `cores` cores with these settings.
    pub fn new(cores: usize, settings: Settings) -> Self {
        let settings = Arc::new(settings);
        Self {
            settings: Arc::clone(&settings),
            cores: (0..cores)
                .map(|n| Core::new(CoreId(n as u8), cores, Arc::clone(&settings), 99 + n as u64))
                .collect(),
            now: Now {
                mono_ns: 1_000_000_000,
                unix_ns: 1_700_000_000_000_000_000,
            },
            sockets: BTreeMap::new(),
            next_cid: 0,
            mesh_blocked: false,
            jobs: Vec::new(),
        }
    }

    /// A socket was accepted. INFO is taken from its output.
    pub fn accept(&mut self, core: usize) -> Client {
        self.next_cid += 1;
        let cid = self.next_cid;
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1024));
        self.cores[core].begin_turn(self.now);
        let slot = self.cores[core].connect(cid, peer, None);
        let client = Client { core, slot, cid };
        self.sockets.insert(client, Socket::default());
        self.settle();
        let info = self.output(client);
        assert!(info.starts_with("INFO {"), "{info}");
        client
    }

    /// A client that said CONNECT, without verbose and pedantic.
    pub fn client(&mut self, core: usize) -> Client {
        let client = self.accept(core);
        self.send(
            client,
            "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true}\r\n",
        );
        client
    }

    /// Several of them on core 0.
    pub fn clients<const N: usize>(&mut self) -> [Client; N] {
        std::array::from_fn(|_| self.client(0))
    }

    /// Accounts by other rules from now on, if they are good.
    pub fn reload_accounts(&mut self, rules: Vec<AccountRules>) -> bool {
        let Ok(table) = self.settings.accounts.replaced(rules) else {
            return false;
        };
        self.settings = Arc::new(Settings {
            accounts: Arc::new(table),
            ..Settings::clone(&self.settings)
        });
        for core in &mut self.cores {
            core.begin_turn(self.now);
            core.reload(Arc::clone(&self.settings));
        }
        self.settle();
        true
    }

    /// Bytes come from a client, and all that follows from them happens.
    pub fn send(&mut self, client: Client, bytes: impl AsRef<[u8]>) {
        self.cores[client.core].begin_turn(self.now);
        self.cores[client.core].receive(client.slot, bytes.as_ref());
        self.settle();
    }

    /// What a client received since the last call.
    pub fn output(&mut self, client: Client) -> String {
        let received = std::mem::take(&mut self.socket(client).received);
        String::from_utf8(received).expect("tests use text")
    }

    /// What a client receives in answer to these bytes.
    pub fn ask(&mut self, client: Client, bytes: impl AsRef<[u8]>) -> String {
        self.send(client, bytes);
        self.output(client)
    }

    /// Why a connection ended, once it did.
    pub fn ended(&mut self, client: Client) -> Option<&str> {
        self.socket(client).reason.as_deref()
    }

    /// How a connection ends, once it does.
    pub fn closing(&mut self, client: Client) -> Option<CloseMode> {
        self.socket(client).closing
    }

    /// Whether a client is not read.
    pub fn paused(&mut self, client: Client) -> bool {
        self.socket(client).paused
    }

    /// A client stops (or goes on) taking bytes.
    pub fn block(&mut self, client: Client, blocked: bool) {
        self.socket(client).blocked = blocked;
    }

    fn socket(&mut self, client: Client) -> &mut Socket {
        self.sockets
            .get_mut(&client)
            .expect("a client of this test")
    }

    /// Time passes, then what is due happens.
    pub fn pass(&mut self, time: Duration) {
        self.now.mono_ns += time.as_nanos() as u64;
        self.now.unix_ns += time.as_nanos() as i64;
        self.settle();
    }

    /// Turns until nothing moves.
    pub fn settle(&mut self) {
        while (0..self.cores.len()).fold(false, |moved, core| moved | self.turn(core)) {}
    }

    fn turn(&mut self, at: usize) -> bool {
        self.cores[at].begin_turn(self.now);
        let mut moved = self.complete_sends(at);
        let core = &mut self.cores[at];
        core.tick();
        core.finish_turn();
        let mut dirty = Vec::new();
        core.take_dirty(&mut dirty);
        for slot in dirty {
            if let Some(batch) = core.take_batch(slot)
                && let Some((_, socket)) = by_slot(&mut self.sockets, at, slot)
            {
                socket.in_flight = Some(batch);
                moved = true;
            }
        }
        moved |= self.carry_out_effects(at);
        self.release_closed(at);
        moved | self.exchange_records(at)
    }

    fn complete_sends(&mut self, at: usize) -> bool {
        let mut moved = false;
        for (client, socket) in self.sockets.iter_mut().filter(|(c, _)| c.core == at) {
            let canceled = socket.closing == Some(CloseMode::Now);
            if socket.blocked && !canceled {
                continue;
            }
            if let Some(batch) = socket.in_flight.take() {
                let result = if canceled {
                    Err(CANCELED)
                } else {
                    socket.received.extend(batch.to_vec());
                    Ok(batch.len())
                };
                self.cores[at].sent(client.slot, batch, result);
                moved = true;
            }
        }
        moved
    }

    fn carry_out_effects(&mut self, at: usize) -> bool {
        let mut effects = Vec::new();
        self.cores[at].take_effects(&mut effects);
        let moved = !effects.is_empty();
        for effect in effects {
            match effect {
                Effect::Close { slot, mode } => {
                    if let Some((_, socket)) = by_slot(&mut self.sockets, at, slot) {
                        socket.closing = Some(mode);
                    }
                }
                Effect::Pause { slot } | Effect::Resume { slot } => {
                    let paused = matches!(effect, Effect::Pause { .. });
                    if let Some((_, socket)) = by_slot(&mut self.sockets, at, slot) {
                        assert_ne!(socket.paused, paused, "asked twice");
                        socket.paused = paused;
                    }
                }
                Effect::Verify { slot, job, .. } => {
                    if let Some((client, _)) = by_slot(&mut self.sockets, at, slot) {
                        self.jobs.push((client, job));
                    }
                }
                Effect::Closed(snapshot) => {
                    let cid = snapshot.figures.cid;
                    if let Some((_, socket)) = self
                        .sockets
                        .iter_mut()
                        .find(|(client, _)| client.cid == cid)
                    {
                        assert_eq!(socket.reason, None, "ended twice");
                        socket.reason = Some(snapshot.reason);
                    }
                }
                Effect::Log { .. }
                | Effect::CancelSend { .. }
                | Effect::Connected(_)
                | Effect::Disconnected(_)
                | Effect::System(_) => {}
            }
        }
        moved
    }

    /// Frees the slots of the sockets that are closed and have nothing to send.
    fn release_closed(&mut self, at: usize) {
        let core = &mut self.cores[at];
        for (client, socket) in self.sockets.iter_mut().filter(|(c, _)| c.core == at) {
            let released = socket.closing.is_some()
                && socket.in_flight.is_none()
                && core.is_flushed(client.slot)
                && core.conn(client.slot).is_some_and(|c| c.cid == client.cid);
            if released {
                core.released(client.slot);
            }
        }
    }

    fn exchange_records(&mut self, at: usize) -> bool {
        if self.mesh_blocked {
            return false;
        }
        let mut moved = false;
        for to in (0..self.cores.len()).filter(|&to| to != at) {
            let [from, to_core] = self.cores.get_disjoint_mut([at, to]).expect("two cores");
            let outbox = from.outbox(CoreId(to as u8));
            if outbox.is_empty() {
                continue;
            }
            to_core.begin_turn(self.now);
            while let Some(body) = outbox.next_parcel() {
                to_core.receive_parcel(CoreId(at as u8), body);
            }
            let len = outbox.unsent().len();
            let used = to_core.receive_records(CoreId(at as u8), outbox.unsent());
            assert_eq!(used, len, "records are whole");
            outbox.advance(len);
            moved = true;
        }
        // What came of it is sent by the next turn, which `settle` takes anyway.
        let _ = self.cores[at].outboxes_drained();
        moved
    }
}

/// The socket that has a slot now: of those that had it, the newest.
fn by_slot(
    sockets: &mut BTreeMap<Client, Socket>,
    core: usize,
    slot: u32,
) -> Option<(Client, &mut Socket)> {
    sockets
        .iter_mut()
        .rfind(|(client, _)| client.core == core && client.slot == slot)
        .map(|(client, socket)| (*client, socket))
}
