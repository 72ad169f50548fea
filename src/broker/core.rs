//! The state of one core and its entry points.

use core::net::SocketAddr;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use super::close::CloseReason;
use super::connection::{Connection, Phase, Traffic, pause};
use super::effect::{CloseMode, Effect, LogLevel};
use super::interest::{Account, QueueNames};
use super::internal::Internal;
use super::opening::{Kind, NewConnection, Opening};
use super::output::{Batch, ChunkPool};
use super::responses::Responses;
use super::route::{RouteCache, RouteRef};
use super::settings::Settings;
use super::snapshot::Ended;
use super::subscriptions::{QueueId, SubId, Subscriptions};
use super::wire::Outbox;
use crate::protocol::{ErrorText, ServerInfo, render};
use crate::subject::TextHash;

/// Cores of one server: interest in a subject is one bit per core.
pub const CORES_MAX: usize = 64;

/// Number of a core, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CoreId(pub u8);

impl CoreId {
    /// This core in a set of cores.
    #[inline]
    pub fn bit(self) -> u64 {
        1 << self.0
    }

    pub(super) fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// The time, as the runtime read it at the start of a turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Monotonic clock, in nanoseconds.
    pub mono_ns: u64,
    /// Wall clock, in nanoseconds since 1970.
    pub unix_ns: i64,
}

/// Sums over a core's connections, past ones included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub received: Traffic,
    pub delivered: Traffic,
    pub connections_total: u64,
    pub subscribed: u64,
    pub unsubscribed: u64,
    pub slow_consumers: u64,
    pub slow_by_write_deadline: u64,
    pub stale_connections: u64,
    pub stalls: u64,
    /// Messages left out for a slow reader because of `no_fast_producer_stall`.
    pub dropped_for_slow: u64,
    /// Messages for a queue group whose members were gone everywhere.
    pub queue_orphans: u64,
    /// Messages handed on because the chosen member had left.
    pub handed_on: u64,
    pub mesh_messages_out: u64,
    pub mesh_messages_in: u64,
}

/// What waits for the end of a delivery, because it changes the route in use.
pub(super) enum Deferred {
    /// The subscription had its last message.
    Finished(SubId),
    /// The connection is over its limit of waiting bytes.
    Overflow(u32),
}

/// What a core keeps about another.
#[derive(Default)]
pub(super) struct Peer {
    pub outbox: Outbox,
    /// Bodies that came and whose records have not.
    pub parcels: VecDeque<Bytes>,
    /// Our interest that it has applied.
    pub applied_ours: u64,
    /// Its interest that we have applied.
    pub applied_theirs: u64,
    /// What we told it of that.
    pub told: u64,
    /// Where the route of the last message from it was.
    pub route_hint: RouteRef,
    /// Publishers of its connections whose readers here are all slow.
    pub slow_origins: Vec<u64>,
    /// It was told of slow readers here and not of a recovery since.
    pub told_slow: bool,
    /// A slow reader recovered: to be told.
    pub recovered: bool,
}

/// xorshift64*: enough to spread messages over queue members.
pub(super) struct Rng(u64);

impl Rng {
    #[inline]
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Uniform in `0..bound` (bias below 2^-32 for the bounds in use).
    #[inline]
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }
}

/// One core of the broker.
pub struct Core {
    pub(super) id: CoreId,
    pub(super) settings: Arc<Settings>,
    pub(super) now: Now,
    pub(super) rng: Rng,
    /// Keys hashes.
    pub(super) seed: u64,
    pub(super) accounts: Vec<Account>,
    /// Requests to services of other accounts that wait for responses.
    pub(super) responses: Responses,
    /// Queue groups that are served in another account, while a message is delivered.
    pub(super) skipped_groups: Vec<QueueId>,
    pub(super) conns: Vec<Option<Box<Connection>>>,
    pub(super) free_slots: Vec<u32>,
    pub(super) open: usize,
    pub(super) subs: Subscriptions,
    pub(super) queues: QueueNames,
    pub(super) routes: RouteCache,
    pub(super) pool: ChunkPool,
    pub(super) dirty: Vec<u32>,
    pub(super) effects: Vec<Effect>,
    pub(super) deferred: Vec<Deferred>,
    /// Indexed by core; the own entry is unused.
    pub(super) peers: Vec<Peer>,
    /// Number of the newest change of this core's interest.
    pub(super) interest_sequence: u64,
    /// Connections with a [`super::connection::Gate`].
    pub(super) gated: Vec<u32>,
    /// Publishers paused because readers are slow.
    pub(super) stalled: Vec<u32>,
    /// Publishers paused because an outbox is full.
    pub(super) outbox_paused: Vec<u32>,
    pub(super) timers: BinaryHeap<Reverse<(u64, u32, u64)>>,
    pub(super) counters: Counters,
    /// Figures of connections that ended, by account.
    pub(super) ended_connections: Vec<Ended>,
    /// Memory for rendering, reused.
    pub(super) scratch: Vec<u8>,
    /// Memory for a message without its headers, reused.
    pub(super) headless: Vec<u8>,
    /// Memory for the 503 of a request that nobody receives, reused.
    pub(super) status_line: Vec<u8>,
    /// Head of the messages of a run, for one subscription.
    pub(super) run_head: Vec<u8>,
    /// Queue groups whose member was picked on another core, reused.
    pub(super) queue_picks: Vec<(CoreId, QueueId)>,
    pub(super) sid_hash: TextHash,
    pub(super) cid_slots: std::collections::HashMap<u64, u32>,
    /// Messages of the system this core has sent.
    pub(super) system_sequence: u64,
    pub(super) lame_duck: bool,
    pub(super) has_more_to_bury: bool,
    /// Subscriptions of the server's own services.
    pub(super) internal: Internal,
}

impl Core {
    /// Core `id` of `cores`. `seed` keys hashes and queue picks.
    ///
    /// # Panics
    /// If `cores` is more than [`CORES_MAX`] or `id` is not below it.
    pub fn new(id: CoreId, cores: usize, settings: Arc<Settings>, seed: u64) -> Self {
        assert!(cores <= CORES_MAX && id.index() < cores);
        let mut core = Self {
            id,
            settings,
            now: Now::default(),
            rng: Rng(seed | 1),
            seed,
            accounts: Vec::new(),
            responses: Responses::new(seed.rotate_left(43) ^ u64::from(id.0)),
            skipped_groups: Vec::new(),
            conns: Vec::new(),
            free_slots: Vec::new(),
            open: 0,
            subs: Subscriptions::default(),
            queues: QueueNames::default(),
            routes: RouteCache::new(seed.rotate_left(17)),
            pool: ChunkPool::default(),
            dirty: Vec::new(),
            effects: Vec::new(),
            deferred: Vec::new(),
            peers: (0..cores).map(|_| Peer::default()).collect(),
            interest_sequence: 0,
            gated: Vec::new(),
            stalled: Vec::new(),
            outbox_paused: Vec::new(),
            timers: BinaryHeap::new(),
            counters: Counters::default(),
            ended_connections: Vec::new(),
            scratch: Vec::new(),
            headless: Vec::new(),
            status_line: Vec::new(),
            run_head: Vec::new(),
            queue_picks: Vec::new(),
            sid_hash: TextHash::with_seed(seed.rotate_left(31)),
            cid_slots: std::collections::HashMap::new(),
            system_sequence: 0,
            lame_duck: false,
            has_more_to_bury: false,
            internal: Internal::default(),
        };
        core.accounts_changed();
        core
    }

    /// This core's number.
    pub fn id(&self) -> CoreId {
        self.id
    }

    /// Connections that are not closing.
    pub fn open_connections(&self) -> usize {
        self.open
    }

    /// The wall clock of this turn, in nanoseconds since 1970.
    pub fn unix_ns(&self) -> i64 {
        self.now.unix_ns
    }

    /// Sums since the start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Starts a turn: everything until [`Core::finish_turn`] happens at `now`.
    pub fn begin_turn(&mut self, now: Now) {
        debug_assert!(now.mono_ns >= self.now.mono_ns);
        self.now = now;
    }

    /// Ends a turn: collects what accumulated over it.
    pub fn finish_turn(&mut self) {
        self.settle_mesh();
        self.has_more_to_bury = self.pool.bury();
    }

    /// Whether there is work that no event will announce, so that the core must
    /// take another turn.
    pub fn has_backlog(&self) -> bool {
        self.has_more_to_bury
    }

    /// Requests to the runtime, oldest first.
    pub fn take_effects(&mut self, into: &mut Vec<Effect>) {
        into.append(&mut self.effects);
    }

    /// A new client that speaks plain text; see [`Core::arrive`].
    pub fn connect(&mut self, cid: u64, peer: SocketAddr, refused: Option<ErrorText>) -> u32 {
        self.arrive(NewConnection {
            cid,
            peer,
            kind: Kind::Client,
            opening: Opening::Plain,
            refused,
        })
    }

    /// A new connection. The slot names it from now on.
    pub fn arrive(&mut self, arrival: NewConnection) -> u32 {
        let NewConnection {
            cid,
            peer,
            kind,
            opening,
            refused,
        } = arrival;
        let slot = match self.free_slots.pop() {
            Some(slot) => slot,
            None => {
                self.conns.push(None);
                self.conns.len() as u32 - 1
            }
        };
        let mut conn = Box::new(Connection::new(
            cid,
            peer,
            self.now.mono_ns,
            self.now.unix_ns,
        ));
        self.counters.connections_total += 1;
        self.open += 1;
        conn.kind = kind;
        conn.nonce = self.settings.auth_of(kind).nonce(cid);
        let greets = self.begin_opening(&mut conn, opening);
        self.conns[slot as usize] = Some(conn);
        self.cid_slots.insert(cid, slot);
        if opening == Opening::Plain {
            self.expect_commands(slot);
        }
        if greets {
            self.send_first_info(slot);
        }
        self.schedule(slot);
        if kind == Kind::WebSocket && !greets {
            if let Some(opening) = self.conn_mut(slot).and_then(|c| c.opening.as_deref_mut()) {
                opening.refused = refused;
            }
            return slot;
        }
        self.log_connection(LogLevel::Debug, slot, "Client connection created");
        if let Some(error) = refused {
            self.close_with_error(slot, error, CloseReason::MaxConnectionsExceeded);
        }
        slot
    }

    /// From now on the client has to say who it is, and is asked whether it is still there.
    pub(super) fn expect_commands(&mut self, slot: u32) {
        let now = self.now.mono_ns;
        let Some(kind) = self.conn(slot).map(|conn| conn.kind) else {
            return;
        };
        let auth = self.settings.auth_of(kind);
        let auth_by = auth
            .auth_required()
            .then(|| now + auth.timeout().as_nanos() as u64);
        let first_ping = now + self.first_ping_delay(kind);
        let Some(conn) = self.conn_mut(slot) else {
            return;
        };
        conn.phase = Phase::Open;
        if let Some(auth_by) = auth_by {
            conn.phase = Phase::Unauthenticated;
            conn.auth_by = auth_by;
        }
        conn.ping_at = first_ping;
    }

    pub(super) fn send_first_info(&mut self, slot: u32) {
        let info = self.render_info(slot, InfoKind::First);
        self.reply(slot, &info);
    }

    pub(super) fn render_info(&self, slot: u32, kind: InfoKind) -> Vec<u8> {
        let Some(conn) = self.conn(slot) else {
            return Vec::new();
        };
        let settings = &self.settings;
        let client_ip = conn.peer.ip().to_string();
        let after_connect = kind == InfoKind::AfterConnect;
        let tls = settings.tls.filter(|_| conn.kind == Kind::Client);
        let auth = settings.auth_of(conn.kind);
        let (host, port) = match conn.kind {
            Kind::WebSocket => (&settings.websocket.host, settings.websocket.port),
            Kind::Client => (&settings.identity.host, settings.identity.port),
        };
        let info = ServerInfo {
            auth_required: match kind {
                // As nats-server, which looks for `no_auth_user` on the client port alone.
                InfoKind::First if conn.kind == Kind::Client => auth.auth_required_in_first_info(),
                InfoKind::First | InfoKind::AfterConnect | InfoKind::Update => auth.auth_required(),
            },
            tls_required: tls.is_some_and(|tls| !tls.optional),
            tls_verify: tls.is_some_and(|tls| tls.verify),
            tls_available: tls.is_some_and(|tls| tls.optional),
            max_payload: self.max_payload(slot),
            client_id: conn.cid,
            client_ip: &client_ip,
            nonce: match kind {
                InfoKind::First => conn.nonce.as_deref().unwrap_or_default(),
                InfoKind::AfterConnect | InfoKind::Update => "",
            },
            ldm: self.lame_duck,
            host,
            port,
            connect_info: after_connect,
            remote_account: if after_connect {
                &self.accounts[usize::from(conn.account)].name
            } else {
                ""
            },
            ..settings.identity.info()
        };
        let mut line = Vec::with_capacity(512);
        info.render(&mut line);
        line
    }

    pub(super) fn conn(&self, slot: u32) -> Option<&Connection> {
        self.conns.get(slot as usize)?.as_deref()
    }

    pub(super) fn conn_mut(&mut self, slot: u32) -> Option<&mut Connection> {
        self.conns.get_mut(slot as usize)?.as_deref_mut()
    }

    /// Queues a reply to the connection's own commands. It waits behind a PONG
    /// that waits for the flush barrier. Replies count towards `max_pending`.
    pub(super) fn reply(&mut self, slot: u32, bytes: &[u8]) {
        let max_pending = self.settings.max_pending;
        let Some(conn) = self
            .conns
            .get_mut(slot as usize)
            .and_then(Option::as_deref_mut)
        else {
            return;
        };
        if let Some(gate) = &mut conn.gate {
            gate.held.extend_from_slice(bytes);
            if let Some(last) = gate.steps.back_mut() {
                last.1 = gate.held.len();
            }
            if conn.waiting() > max_pending {
                self.note_overflow(slot);
            }
            return;
        }
        conn.out.push(&mut self.pool, bytes);
        if conn.waiting() > max_pending {
            self.note_overflow(slot);
        }
        self.mark_dirty(slot);
    }

    pub(super) fn reply_error(&mut self, slot: u32, error: ErrorText) {
        let mut line = Vec::with_capacity(64);
        render::error(&mut line, error);
        self.reply_line(slot, &line);
    }

    /// A reply that is traced.
    pub(super) fn reply_line(&mut self, slot: u32, line: &[u8]) {
        if self.settings.trace {
            self.trace_out(slot, line);
        }
        self.reply(slot, line);
    }

    #[inline]
    pub(super) fn mark_dirty(&mut self, slot: u32) {
        if let Some(conn) = self
            .conns
            .get_mut(slot as usize)
            .and_then(Option::as_deref_mut)
            && !conn.dirty
        {
            conn.dirty = true;
            self.dirty.push(slot);
        }
    }

    /// Takes the connections with new output; the runtime sends what
    /// [`Core::take_batch`] gives for each.
    pub fn take_dirty(&mut self, into: &mut Vec<u32>) {
        for &slot in &self.dirty {
            if let Some(conn) = self.conns[slot as usize].as_deref_mut() {
                conn.dirty = false;
                into.push(slot);
            }
        }
        self.dirty.clear();
    }

    /// What to send next on a connection, if no send is under way.
    pub fn take_batch(&mut self, slot: u32) -> Option<Batch> {
        let now = self.now.mono_ns;
        let conn = self.conns.get_mut(slot as usize)?.as_deref_mut()?;
        let batch = conn.out.take_batch(&mut self.pool)?;
        conn.send_began = now;
        if now + self.settings.write_deadline.as_nanos() as u64 <= self.next_timer(slot) {
            self.schedule(slot);
        }
        Some(batch)
    }

    /// A send ended: `sent` bytes of it were taken by the kernel, or the error number.
    pub fn sent(&mut self, slot: u32, batch: Batch, sent: Result<usize, i32>) {
        let whole = matches!(sent, Ok(count) if count == batch.len());
        if !whole && self.is_giving_up(slot) {
            self.send_given_up(slot, batch, sent.unwrap_or(0));
            return;
        }
        self.pool.recycle(batch);
        let Some(conn) = self.conn_mut(slot) else {
            return;
        };
        conn.out.completed();
        conn.send_began = 0;
        if whole {
            if conn.out.has_output() {
                self.mark_dirty(slot);
            }
            self.note_sent(slot);
        } else {
            self.close(slot, CloseReason::WriteError, CloseMode::Now);
        }
        self.note_recovery(slot);
    }

    /// Nothing more will be received: the peer closed (`None`), or the error number.
    /// What came before it while the connection was paused is still carried out.
    pub fn receive_ended(&mut self, slot: u32, error: Option<i32>) {
        if error.is_none()
            && let Some(conn) = self.conn_mut(slot)
            && conn.paused != 0
            && !conn.stash.is_empty()
        {
            conn.ended = true;
            return;
        }
        if self.is_opening(slot) && self.conn(slot).is_some_and(|c| c.kind == Kind::Client) {
            self.opening_ended(slot);
            return;
        }
        let reason = match error {
            None => CloseReason::ClientClosed,
            Some(_) => CloseReason::ReadError,
        };
        // What the peer was sent before it closed is still delivered.
        let mode = if error.is_none() {
            CloseMode::AfterFlush
        } else {
            CloseMode::Now
        };
        self.close(slot, reason, mode);
    }

    /// The socket is closed and all its requests have ended: the slot is free.
    pub fn released(&mut self, slot: u32) {
        let Some(mut conn) = self.conns.get_mut(slot as usize).and_then(Option::take) else {
            return;
        };
        debug_assert_eq!(conn.phase, Phase::Closing);
        conn.out.discard(&mut self.pool);
        self.free_slots.push(slot);
    }

    /// Whether [`CloseMode::AfterFlush`] has nothing more to send.
    pub fn is_flushed(&self, slot: u32) -> bool {
        self.conn(slot)
            .is_none_or(|conn| !conn.out.has_output() && !conn.out.is_sending())
    }

    /// Bytes that wait for a connection and that its socket has not taken.
    pub fn waiting_output(&self, slot: u32) -> usize {
        self.conn(slot).map_or(0, |conn| conn.out.pending())
    }

    /// Enters lame duck mode: tells the clients.
    pub fn enter_lame_duck(&mut self) {
        self.lame_duck = true;
        let slots: Vec<u32> = self.slots().collect();
        for slot in slots {
            self.send_info_update(slot);
        }
    }

    pub(super) fn send_info_update(&mut self, slot: u32) {
        if self
            .conn(slot)
            .is_some_and(|c| c.async_info && c.greeted && c.phase == Phase::Open)
        {
            let info = self.render_info(slot, InfoKind::Update);
            self.reply(slot, &info);
        }
    }

    /// Closes one connection (lame duck), the oldest slot first. Returns whether there was one.
    pub fn close_one(&mut self) -> bool {
        let slot = self.slots().next();
        if let Some(slot) = slot {
            self.close(slot, CloseReason::ServerShutdown, CloseMode::AfterFlush);
        }
        slot.is_some()
    }

    /// Reads from no connection any more: what was accepted until now is all
    /// that is still delivered. [`Core::shut_down`] follows.
    pub fn stop_reading(&mut self) {
        let slots: Vec<u32> = self.slots().collect();
        for slot in slots {
            self.pause(slot, pause::STOP);
        }
    }

    /// Closes all connections after what waits for them is sent.
    pub fn shut_down(&mut self) {
        let slots: Vec<u32> = self.slots().collect();
        for slot in slots {
            self.close(slot, CloseReason::ServerShutdown, CloseMode::AfterFlush);
        }
    }

    /// Slots of the connections that are not closing.
    pub(super) fn slots(&self) -> impl Iterator<Item = u32> {
        (0u32..)
            .zip(&self.conns)
            .filter(|(_, conn)| conn.as_ref().is_some_and(|c| c.phase != Phase::Closing))
            .map(|(slot, _)| slot)
    }

    /// Tells the client why, then closes.
    pub(super) fn close_with_error(&mut self, slot: u32, error: ErrorText, reason: CloseReason) {
        self.reply_error(slot, error);
        self.close(slot, reason, CloseMode::AfterFlush);
    }

    /// Ends a connection: its subscriptions go at once, its socket when the
    /// runtime has done what `mode` says.
    pub(super) fn close(&mut self, slot: u32, reason: CloseReason, mode: CloseMode) {
        let Some(conn) = self.conn_mut(slot) else {
            return;
        };
        if conn.phase == Phase::Closing {
            return;
        }
        conn.close_reason = Some(reason);
        let was_client = !conn.is_before_upgrade();
        self.release_gate(slot, u64::MAX);
        if was_client {
            self.report_closed(slot, reason);
            self.log_connection(
                LogLevel::Debug,
                slot,
                &format!("Client connection closed: {}", reason.text()),
            );
        }
        let Some(conn) = self.conn_mut(slot) else {
            return;
        };
        conn.phase = Phase::Closing;
        conn.stash = Vec::new();
        let pressed = std::mem::take(&mut conn.pressed);
        let cid = conn.cid;
        self.cid_slots.remove(&cid);
        self.open -= 1;
        self.leave_account(slot);
        self.drop_subscriptions(slot);
        if mode == CloseMode::Now
            && let Some(conn) = self.conns[slot as usize].as_deref_mut()
        {
            conn.out.discard(&mut self.pool);
        }
        self.effects.push(Effect::Close { slot, mode });
        // A slow reader that is gone no longer holds anybody up.
        if pressed {
            self.report_recovered();
        }
        self.resume_stalled();
    }
}

/// Which of the INFO lines of a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum InfoKind {
    /// On accept.
    First,
    /// After the first PONG.
    AfterConnect,
    /// When something changed.
    Update,
}
