//! One client connection as its core sees it.

use core::net::SocketAddr;
use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashTable;

use super::auth::Identity;
use super::close::CloseReason;
use super::opening::{Kind, OpeningState, UpgradeFacts};
use super::output::OutQueue;
use super::permissions::{ConnectionPermissions, ResponseLimits};
use super::route::RouteRef;
use crate::monitor::snapshot::TlsSnapshot;
use crate::protocol::{ConnectOptions, Parser};

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Its transport (TLS, WebSocket) is coming up; see [`super::opening`].
    Opening,
    /// Credentials are required and have not come.
    Unauthenticated,
    /// A helper thread checks the password; nothing more is read meanwhile.
    Verifying,
    /// In use.
    Open,
    /// Ending: nothing more is read, what waits may still be sent.
    Closing,
}

/// Reasons not to read from a connection, as bits.
pub mod pause {
    /// A ring to another core is full.
    pub const OUTBOX: u8 = 1;
    /// All readers it feeds are slow.
    pub const STALL: u8 = 2;
    /// Its password is being checked.
    pub const VERIFY: u8 = 4;
    /// The server stops.
    pub const STOP: u8 = 8;
    /// A PONG waits for its subscriptions to be in force on every core. What follows the PING
    /// waits too, so that answers and deliveries keep the order of their commands. Short (one
    /// exchange between cores), so receiving goes on.
    pub const BARRIER: u8 = 16;
}

/// Where a connection's sends are with their deadline, if they are tried again
/// (`write_timeout: retry`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteState {
    /// No deadline passed since output last went out whole.
    InTime,
    /// The send that was late is being given up, to see whether anything moved.
    Cancelling {
        /// When the first late send began.
        since: u64,
    },
    /// What did not go is being sent again.
    Retrying {
        /// When the first late send began.
        since: u64,
    },
}

/// Replies that wait for interest to be in force on every core.
#[derive(Default)]
pub struct Gate {
    /// Bytes up to `.1` of `held` may go once all cores applied `.0`.
    pub steps: VecDeque<(u64, usize)>,
    /// Replies in order. A reply that needs no barrier itself waits behind one that does.
    pub held: Vec<u8>,
}

/// Messages and bytes of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    pub messages: u64,
    pub bytes: u64,
}

/// A connection. Times are nanoseconds of the monotonic clock unless they say otherwise.
pub struct Connection {
    pub cid: u64,
    pub peer: SocketAddr,
    pub kind: Kind,
    pub account: u16,
    /// The account that counts it.
    pub entered: Option<u16>,
    /// Subjects that it publishes to may be mapped.
    pub mapped: bool,
    /// Bytes of headers and payload that its user and account allow, if they say so.
    pub max_payload: Option<i64>,
    /// Subscriptions that its user and account allow, if they say so.
    pub max_subscriptions: Option<usize>,
    pub phase: Phase,
    /// With TLS.
    pub tls: Option<Box<TlsSnapshot>>,
    /// In [`Phase::Opening`] alone.
    pub opening: Option<Box<OpeningState>>,
    /// What the WebSocket upgrade said, as far as it matters later.
    pub upgrade: Option<Box<UpgradeFacts>>,
    /// Why it is closing.
    pub close_reason: Option<CloseReason>,
    /// Bits of [`pause`].
    pub paused: u8,
    /// The runtime was told not to read its socket.
    pub halted: bool,
    pub verbose: bool,
    pub pedantic: bool,
    pub echo: bool,
    /// Headers were negotiated.
    pub headers: bool,
    pub no_responders: bool,
    /// CONNECT said that further INFO lines are understood.
    pub async_info: bool,
    pub connected: bool,
    /// The INFO that follows the first PONG went out.
    pub greeted: bool,
    /// In the core's list of connections with output.
    pub dirty: bool,
    /// Above the stall threshold when last looked at.
    pub slow: bool,
    /// Above the threshold for publishers on other cores when last looked at, and
    /// not below it since: they are told when it recovers.
    pub pressed: bool,
    pub write: WriteState,
    pub parser: Parser,
    pub out: OutQueue,
    /// Subscriptions by sid.
    pub sids: HashTable<u32>,
    /// Received while paused.
    pub stash: Vec<u8>,
    /// The peer sends nothing after the stash.
    pub ended: bool,
    pub gate: Option<Box<Gate>>,
    /// The newest change of interest this connection made.
    pub interest_sequence: u64,
    pub options: Option<Box<ConnectOptions>>,
    pub identity: Option<Arc<Identity>>,
    /// Only of users that have some.
    pub permissions: Option<Box<ConnectionPermissions>>,
    pub received: Traffic,
    pub delivered: Traffic,
    pub started_unix_ns: i64,
    pub last_activity_unix_ns: i64,
    pub last_received: u64,
    /// When the earliest timer entry for this connection fires.
    pub timer_at: u64,
    /// A timer entry that was overtaken by an earlier one and is still to fire;
    /// 0 without one.
    pub overtaken_timer_at: u64,
    pub ping_at: u64,
    pub ping_sent: u64,
    pub pings_out: u32,
    /// Round trip of the last PING of ours, in nanoseconds; 0 before the first.
    pub rtt_ns: u64,
    /// Credentials must have come by then; 0 when they have.
    pub auth_by: u64,
    /// Its credentials end then; 0 for never.
    pub expires_at: u64,
    /// What it may prove itself with by signing it.
    pub nonce: Option<Box<str>>,
    /// When the send under way began; 0 without one.
    pub send_began: u64,
    pub stall: Stall,
    /// Where the route of its last message was.
    pub route_hint: RouteRef,
}

/// A publisher's share in back-pressure, see [`super::stall`].
#[derive(Default)]
pub struct Stall {
    /// When reading resumes at the latest.
    pub until: u64,
    /// Bytes it may publish before it is stalled again.
    pub credit: usize,
    /// A connection of this core that took one of its messages while healthy.
    pub healthy_reader: Option<u32>,
    /// When that was.
    pub healthy_at: u64,
    /// Cores that reported only slow readers for it, as bits.
    pub slow_cores: u64,
    /// When the last such report came.
    pub slow_cores_at: u64,
    /// Times it was stalled.
    pub count: u64,
}

impl Connection {
    /// A fresh connection in the state before CONNECT, where verbose, pedantic
    /// and echo are on.
    pub fn new(cid: u64, peer: SocketAddr, now: u64, unix_ns: i64) -> Self {
        Self {
            cid,
            peer,
            kind: Kind::Client,
            account: 0,
            entered: None,
            mapped: false,
            max_payload: None,
            max_subscriptions: None,
            phase: Phase::Open,
            tls: None,
            opening: None,
            upgrade: None,
            close_reason: None,
            paused: 0,
            halted: false,
            verbose: true,
            pedantic: true,
            echo: true,
            headers: false,
            no_responders: false,
            async_info: false,
            connected: false,
            greeted: false,
            dirty: false,
            slow: false,
            pressed: false,
            write: WriteState::InTime,
            parser: Parser::new(),
            out: OutQueue::default(),
            sids: HashTable::new(),
            stash: Vec::new(),
            ended: false,
            gate: None,
            interest_sequence: 0,
            options: None,
            identity: None,
            permissions: None,
            received: Traffic::default(),
            delivered: Traffic::default(),
            started_unix_ns: unix_ns,
            last_activity_unix_ns: unix_ns,
            last_received: now,
            timer_at: u64::MAX,
            overtaken_timer_at: 0,
            ping_at: u64::MAX,
            ping_sent: 0,
            pings_out: 0,
            rtt_ns: 0,
            auth_by: 0,
            nonce: None,
            expires_at: 0,
            send_began: 0,
            stall: Stall::default(),
            route_hint: RouteRef::default(),
        }
    }

    /// Whether it is no client yet: its WebSocket upgrade has not come.
    pub fn is_before_upgrade(&self) -> bool {
        self.kind == Kind::WebSocket && self.opening.is_some()
    }

    /// Bytes of output that wait, those behind the flush barrier included.
    pub fn waiting(&self) -> usize {
        self.out.pending() + self.gate.as_ref().map_or(0, |gate| gate.held.len())
    }

    /// Becomes this user of the account of this id. It has no subscriptions if that is another
    /// account than before.
    pub fn set_identity(&mut self, identity: Arc<Identity>, account: u16) {
        debug_assert!(self.account == account || self.sids.is_empty());
        self.account = account;
        self.permissions = identity.permissions.as_ref().map(|rules| {
            Box::new(ConnectionPermissions::new(
                Arc::clone(rules),
                ResponseLimits::default(),
            ))
        });
        self.identity = Some(identity);
    }
}
