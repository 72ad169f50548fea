//! The loop of one core: drives its [`Core`] from its rings.
//!
//! A turn enters the kernel once: that submits what the last turn wanted to
//! send and collects what completed. Then every completion, every record from
//! other cores and every request from the control thread is handed to the
//! state machine, and what it wants sent is queued, one send a connection.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use super::clock::Clock;
use super::control::{Calls, ControlEvent, ControlSender, CoreHandle};
use super::credentials::Check;
use super::disk::Answer;
use super::encoding::Encodings;
use super::figures::{Figures, Work};
use super::leaving::{Leaving, Step};
use super::links::{LinkConfig, LinkReceiver, LinkSender};
use super::loads::Loads;
use super::net_event::{End, Event};
use super::net_ring::NetRing;
use super::outgoing::Outgoing;
use super::parker::{Parked, Parker, Waker};
use super::persistence::Persistence;
use super::privileges;
use super::spin::{Spin, Spinner};
use super::system::SystemEvent;
use bytes::Bytes;

use crate::broker::{CloseMode, Core, CoreId, Effect, Kind, NewConnection, Settings};
use crate::config::Accept;
use crate::protocol::ErrorText;
use crate::system::events::ClientEvent;
use crate::transport::Transports;

/// Accepting goes on this long after it failed for want of descriptors.
pub const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// Turns between looks at glommio's own queues while the core is busy.
const TURNS_PER_YIELD: u32 = 1024;

/// Listeners by their number on the ring of the core that accepts.
const LISTENERS: [Kind; 2] = [Kind::Client, Kind::WebSocket];

/// New connections are numbered and spread by the core that accepts.
pub struct Acceptor {
    /// Not with the ring yet.
    listeners: Vec<(Kind, OwnedFd)>,
    pub loads: Arc<Loads>,
    pub max_connections: Option<usize>,
    /// One for each core, the own one included.
    pub cores: Vec<CoreHandle>,
    /// Their CPUs.
    cpus: Vec<usize>,
    retry_at: Option<u64>,
}

impl Acceptor {
    pub fn new(
        listeners: Vec<(Kind, OwnedFd)>,
        loads: Arc<Loads>,
        max_connections: Option<usize>,
        cores: Vec<CoreHandle>,
        cpus: Vec<usize>,
    ) -> Self {
        Self {
            listeners,
            loads,
            max_connections,
            cores,
            cpus,
            retry_at: None,
        }
    }

    /// The core for this connection.
    fn assign(&self, socket: &OwnedFd) -> CoreId {
        let near = match self.loads.accept() {
            Accept::IncomingCpu => privileges::incoming_cpu(socket.as_fd())
                .and_then(|cpu| self.cpus.iter().position(|&of_core| of_core == cpu))
                .map(|core| CoreId(core as u8)),
            Accept::Least | Accept::RoundRobin => None,
        };
        self.loads.assign(near)
    }
}

/// Whether something waits for another core that its ring has room for.
fn can_send(core: &mut Core, to: &[Option<LinkSender<Bytes>>]) -> bool {
    to.iter().enumerate().any(|(to, sender)| {
        sender.as_ref().is_some_and(|sender| {
            let outbox = core.outbox(CoreId(to as u8));
            (!outbox.unsent().is_empty() && sender.space() > 0)
                || (outbox.has_parcel() && sender.has_parcel_space())
        })
    })
}

/// What one core's thread owns.
pub struct Driver {
    pub core: Core,
    pub(super) ring: NetRing<Outgoing>,
    /// Of connections that are not plain.
    pub(super) encodings: Encodings,
    transports: Arc<Transports>,
    to: Vec<Option<LinkSender<Bytes>>>,
    from: Vec<Option<LinkReceiver<Bytes>>>,
    /// Of all cores.
    wakers: Vec<Waker>,
    parker: Parker,
    clock: Clock,
    spinner: Spinner,
    /// Microseconds; 0: not.
    busy_poll: u32,
    calls: Calls,
    pub(super) control: ControlSender,
    loads: Arc<Loads>,
    pub acceptor: Option<Acceptor>,
    pub persistence: Option<Box<Persistence>>,
    /// Told once the core can serve clients.
    ready: Option<Sender<Result<(), String>>>,
    pub(super) leaving: Leaving,
    pub figures: Figures,
    stopping: bool,
    now: u64,
    /// When the last turn began and what it did, if that is not in the figures yet.
    last_turn: Option<(u64, Work)>,
    /// Reused lists.
    dirty: Vec<u32>,
    effects: Vec<Effect>,
    /// Connections that are being closed and whose output made progress.
    flushing: Vec<u32>,
    /// Tail of a record that the ring's wrap-around or end cut, per core.
    partial: Vec<Vec<u8>>,
}

/// What a driver is made of.
pub struct Parts {
    pub core: Core,
    pub ring: NetRing<Outgoing>,
    pub transports: Arc<Transports>,
    pub to: Vec<Option<LinkSender<Bytes>>>,
    pub from: Vec<Option<LinkReceiver<Bytes>>>,
    pub wakers: Vec<Waker>,
    pub parker: Parker,
    pub clock: Clock,
    pub spin: Spin,
    /// How long receives poll the network card, in microseconds; 0: not.
    pub busy_poll: u32,
    pub calls: Calls,
    pub control: ControlSender,
    pub loads: Arc<Loads>,
    pub acceptor: Option<Acceptor>,
    pub persistence: Option<Box<Persistence>>,
    pub ready: Sender<Result<(), String>>,
}

impl Driver {
    /// A driver that has not started.
    pub fn new(parts: Parts) -> Self {
        let peers = parts.loads.cores();
        Self {
            core: parts.core,
            ring: parts.ring,
            encodings: Encodings::default(),
            transports: parts.transports,
            to: parts.to,
            from: parts.from,
            wakers: parts.wakers,
            parker: parts.parker,
            clock: parts.clock,
            spinner: Spinner::new(parts.spin),
            busy_poll: parts.busy_poll,
            calls: parts.calls,
            control: parts.control,
            loads: parts.loads,
            acceptor: parts.acceptor,
            persistence: parts.persistence,
            ready: Some(parts.ready),
            leaving: Leaving::default(),
            figures: Figures::default(),
            stopping: false,
            now: 0,
            last_turn: None,
            dirty: Vec::new(),
            effects: Vec::new(),
            flushing: Vec::new(),
            partial: (0..peers).map(|_| Vec::new()).collect(),
        }
    }

    /// Starts to accept, on the core that does.
    pub fn start_listening(&mut self) {
        let Some(acceptor) = &mut self.acceptor else {
            return;
        };
        for (kind, listener) in acceptor.listeners.drain(..) {
            let Some(number) = (0..).zip(LISTENERS).find(|&(_, of)| of == kind) else {
                continue;
            };
            if let Err(refused) = self.ring.listen(number.0, listener) {
                self.control
                    .error(format!("cannot accept connections: {:?}", refused.reason));
            }
        }
    }

    /// Runs until [`Driver::stop`] was called and all connections are gone.
    ///
    /// # Errors
    /// What the ring cannot recover from.
    pub async fn run(mut self) -> io::Result<()> {
        self.figures.started = self.clock.now().mono_ns;
        self.figures.window_began = self.figures.started;
        let mut turns = 0u32;
        loop {
            let worked = self.turn()?;
            turns = turns.wrapping_add(1);
            if self.stopping && self.is_done() {
                return Ok(());
            }
            if turns.is_multiple_of(TURNS_PER_YIELD) {
                glommio::executor().yield_task_queue_now().await;
            }
            if worked {
                self.spinner.worked();
                continue;
            }
            let now = self.now;
            if self.spinner.may_sleep(|| Duration::from_nanos(now)) {
                self.sleep()?;
            }
        }
    }

    /// Sleeps until there is work.
    fn sleep(&mut self) -> io::Result<()> {
        if let Some(deadline) = self.next_deadline() {
            self.ring.set_timer(Duration::from_nanos(deadline));
        }
        let (from, calls, to, core) = (&self.from, &self.calls, &self.to, &mut self.core);
        let nothing = || {
            calls.is_empty()
                && from.iter().flatten().all(LinkReceiver::is_empty)
                && !can_send(core, to)
        };
        let before = self.now;
        let parked = self.parker.park(&mut self.ring, nothing)?;
        if parked == Parked::Slept {
            self.figures.parks += 1;
            self.figures.slept_ns += self.clock.now().mono_ns - before;
            self.spinner.worked();
        }
        Ok(())
    }

    /// The helper thread's answer about a file.
    pub fn disk_answered(&mut self, answer: Answer) {
        if let Some(persistence) = &mut self.persistence {
            persistence.on_helper(answer, &self.control);
        }
    }

    fn report_ready(&mut self) {
        if self.ready.is_none() || !self.persistence.as_ref().is_none_or(|p| p.is_ready()) {
            return;
        }
        if let Some(ready) = self.ready.take() {
            // Who waits for it gave up only if another core failed.
            let _ = ready.send(Ok(()));
        }
    }

    fn next_deadline(&self) -> Option<u64> {
        let retry = self.acceptor.as_ref().and_then(|a| a.retry_at);
        [
            self.core.next_deadline(),
            retry,
            self.leaving.next_deadline(),
            self.persistence.as_ref().and_then(|p| p.next_deadline()),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// One turn. Returns whether anything happened.
    fn turn(&mut self) -> io::Result<bool> {
        let completions = self.ring.turn()?;
        let now = self.clock.now();
        // What the last turn wanted to send is with the kernel now.
        if let Some((began, work)) = self.last_turn.take() {
            self.figures.turn(now.mono_ns - began, work);
        }
        self.now = now.mono_ns;
        self.core.begin_turn(now);
        let mut worked = completions > 0;
        while let Some(event) = self.ring.next_event() {
            self.on_event(event);
        }
        worked |= self.receive_from_cores();
        while let Some(call) = self.calls.next() {
            call(self);
            worked = true;
        }
        if self.core.next_deadline().is_some_and(|at| at <= self.now) {
            self.core.tick();
            worked = true;
        }
        if let Some(persistence) = &mut self.persistence {
            worked |= persistence.turn(&mut self.core);
            persistence.submit(&mut self.ring);
            worked |= persistence.has_backlog();
        }
        self.core.finish_turn();
        worked |= self.core.has_backlog();
        self.report_ready();
        let sends = self.flush() + self.send_waiting();
        worked |= self.send_to_cores();
        self.carry_out_effects();
        self.continue_leaving();
        worked |= self.encodings.has_waiting();
        self.retry_accept();
        self.loads.publish(
            self.core.id(),
            self.core.counters().connections_total,
            self.core.open_connections(),
        );
        if worked {
            // Always followed by another turn, never by a sleep.
            self.last_turn = Some((self.now, Work { completions, sends }));
        }
        Ok(worked)
    }

    fn on_event(&mut self, event: Event<Outgoing>) {
        match event {
            Event::Received { slot, data } => match self.encodings.get(slot) {
                None => self.core.receive(slot, &data),
                Some(_) => self.receive_encoded(slot, data),
            },
            Event::Sent {
                slot,
                buffer,
                result,
            } => {
                match buffer {
                    Outgoing::Plain(batch) => self.core.sent(slot, batch, result),
                    Outgoing::Encoded(encoded) => self.encoded_sent(slot, encoded, result),
                }
                if self.leaving.contains(slot) {
                    self.flushing.push(slot);
                }
            }
            Event::ReceiveEnded { slot, cause } => match cause {
                End::Eof => self.on_end(slot, None),
                End::Error(errno) => self.on_end(slot, Some(errno)),
                End::Paused => {}
            },
            Event::Drained { slot } => {
                self.leaving.forget(slot);
                self.encodings.remove(slot);
                self.core.released(slot);
            }
            Event::Accepted { listener, fd } => self.accepted(listener, fd),
            Event::AcceptFailed { errno, .. } => {
                let error = io::Error::from_raw_os_error(errno);
                self.control
                    .error(format!("Error accepting a connection: {error}"));
                if let Some(acceptor) = &mut self.acceptor {
                    acceptor.retry_at = Some(self.now + ACCEPT_RETRY.as_nanos() as u64);
                }
            }
            Event::File { index, result } => {
                if let Some(persistence) = &mut self.persistence {
                    persistence.on_ring(index, result);
                }
            }
            Event::ListenerClosed { .. } | Event::Timer => {}
        }
    }

    fn on_end(&mut self, slot: u32, errno: Option<i32>) {
        if self.leaving.contains(slot) {
            let step = self.leaving.peer_ended(slot);
            self.take_step(slot, step);
        } else {
            self.core.receive_ended(slot, errno);
        }
    }

    fn accepted(&mut self, listener: u32, fd: OwnedFd) {
        let Some(acceptor) = &mut self.acceptor else {
            return;
        };
        let kind = LISTENERS[listener as usize % LISTENERS.len()];
        let cid = acceptor.loads.next_cid();
        let refused = acceptor
            .max_connections
            .is_some_and(|max| acceptor.loads.total() >= max)
            .then_some(ErrorText::MaxConnections);
        let to = acceptor.assign(&fd);
        if to == self.core.id() {
            self.adopt(fd, kind, cid, refused);
        } else {
            acceptor.cores[usize::from(to.0)]
                .call(Box::new(move |driver| driver.adopt(fd, kind, cid, refused)));
        }
    }

    /// Takes a new connection.
    pub fn adopt(&mut self, fd: OwnedFd, kind: Kind, cid: u64, refused: Option<ErrorText>) {
        let stream = TcpStream::from(fd);
        // A peer that is gone already has no address; reading will find its end.
        let peer = stream
            .peer_addr()
            .unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0)));
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        if let Err(error) = stream.set_nodelay(true) {
            self.control.error(format!(
                "{peer} - cid:{cid} - cannot set TCP_NODELAY: {error}"
            ));
        }
        if self.busy_poll > 0
            && let Err(error) = privileges::set_busy_poll(stream.as_fd(), self.busy_poll)
        {
            self.control.error(format!(
                "{peer} - cid:{cid} - cannot set SO_BUSY_POLL: {error}"
            ));
        }
        let (opening, transport) = self.transports.open(kind);
        let slot = self.core.arrive(NewConnection {
            cid,
            peer,
            kind,
            opening,
            refused,
        });
        if let Some(transport) = transport {
            self.encodings.insert(slot, transport);
        }
        if let Err(refused) = self.ring.open(slot, OwnedFd::from(stream)) {
            self.control
                .error(format!("{peer} - cid:{cid} - {:?}", refused.reason));
            self.core.receive_ended(slot, None);
        }
    }

    fn retry_accept(&mut self) {
        if let Some(acceptor) = &mut self.acceptor
            && acceptor.retry_at.is_some_and(|at| at <= self.now)
        {
            acceptor.retry_at = None;
            for (number, _) in (0..).zip(LISTENERS) {
                self.ring.accept_again(number);
            }
        }
    }

    /// Takes over what a reload changed.
    pub fn reload(
        &mut self,
        settings: Arc<Settings>,
        transports: Arc<Transports>,
        max_connections: Option<usize>,
        spin: Spin,
    ) {
        if let Some(acceptor) = &mut self.acceptor {
            acceptor.max_connections = max_connections;
        }
        self.spinner = Spinner::new(spin);
        self.transports = transports;
        self.core.reload(settings);
    }

    /// Stops accepting.
    pub fn stop_listening(&mut self) {
        if self.acceptor.is_some() {
            for (number, _) in (0..).zip(LISTENERS) {
                self.ring.stop_listening(number);
            }
        }
    }

    /// First step of stopping: nothing more is accepted.
    pub fn stop_reading(&mut self) {
        self.stop_listening();
        self.core.stop_reading();
    }

    /// Takes what other cores sent. Returns whether nothing waits to be sent to them.
    pub fn has_settled(&mut self) -> bool {
        self.receive_from_cores();
        self.persistence.as_ref().is_none_or(|p| p.is_quiet())
            && !self.core.has_inbox()
            && (0..self.to.len()).all(|to| self.core.outbox(CoreId(to as u8)).is_empty())
    }

    /// Lets the services write down what they have, and tell those that wait for them.
    pub fn stop_services(&mut self) {
        // Sent before this call, and perhaps after the turn looked.
        self.receive_from_cores();
        if let Some(persistence) = &mut self.persistence {
            persistence.stop(&mut self.core);
        }
    }

    /// Ends the loop once all connections are gone.
    pub fn stop(&mut self) {
        self.stop_listening();
        self.stop_services();
        self.core.shut_down();
        self.stopping = true;
    }

    fn is_done(&self) -> bool {
        self.core.open_connections() == 0
            && self.leaving.is_empty()
            && self.effects.is_empty()
            && self.persistence.as_ref().is_none_or(|p| p.is_stopped())
    }

    /// Always empties the rings: a core that stopped to read while its own
    /// output waits would stop the core that waits for it.
    fn receive_from_cores(&mut self) -> bool {
        let config = LinkConfig::default();
        let mut worked = false;
        for (from, receiver) in self.from.iter_mut().enumerate() {
            let Some(receiver) = receiver else { continue };
            if receiver.is_empty() {
                continue;
            }
            worked = true;
            let id = CoreId(from as u8);
            let (core, partial) = (&mut self.core, &mut self.partial[from]);
            let mut bodies = 0;
            while let Some(body) = receiver.pop_parcel() {
                core.receive_parcel(id, body);
                bodies += 1;
            }
            if bodies > 0 && !partial.is_empty() {
                let used = core.receive_records(id, partial);
                partial.drain(..used);
            }
            let taken = receiver.read(|first, second| {
                for part in [first, second] {
                    if partial.is_empty() {
                        let used = core.receive_records(id, part);
                        partial.extend_from_slice(&part[used..]);
                    } else {
                        partial.extend_from_slice(part);
                        let used = core.receive_records(id, partial);
                        partial.drain(..used);
                    }
                }
                first.len() + second.len()
            });
            // The ring may have been full, and its sender asleep over what is left.
            if taken >= config.bytes / 2 || bodies >= config.parcels / 2 {
                self.wakers[from].wake();
            }
        }
        worked
    }

    /// Moves what waits for other cores into their rings, as far as there is
    /// room; their cores wake this one when they made more. Returns whether
    /// that let publishers go on.
    fn send_to_cores(&mut self) -> bool {
        for (to, sender) in self.to.iter_mut().enumerate() {
            let Some(sender) = sender else { continue };
            let outbox = self.core.outbox(CoreId(to as u8));
            if outbox.is_empty() {
                continue;
            }
            while let Some(body) = outbox.next_parcel() {
                if let Err(body) = sender.push_parcel(body) {
                    outbox.return_parcel(body);
                    break;
                }
            }
            let count = sender.push_bytes(outbox.unsent());
            if count > 0 {
                outbox.advance(count);
            }
            sender.announce();
        }
        self.core.outboxes_drained()
    }

    /// Queues a send for every connection with output. Returns how many.
    fn flush(&mut self) -> usize {
        let mut dirty = std::mem::take(&mut self.dirty);
        self.core.take_dirty(&mut dirty);
        let mut sends = 0;
        for slot in dirty.drain(..) {
            if self.encodings.get(slot).is_some() {
                sends += self.send_encoded(slot);
            } else if let Some(batch) = self.core.take_batch(slot) {
                self.ring.send(slot, Outgoing::Plain(batch));
                sends += 1;
            }
        }
        self.dirty = dirty;
        sends
    }

    fn carry_out_effects(&mut self) {
        let mut effects = std::mem::take(&mut self.effects);
        self.core.take_effects(&mut effects);
        for effect in effects.drain(..) {
            match effect {
                Effect::Close { slot, mode } => self.leave(slot, mode),
                Effect::Pause { slot } => self.ring.pause(slot),
                Effect::Resume { slot } => self.ring.resume(slot),
                Effect::CancelSend { slot } => self.ring.cancel_send(slot),
                Effect::Verify { slot, cid, by, job } => {
                    self.control.send(ControlEvent::Verify(Check {
                        core: self.core.id(),
                        slot,
                        cid,
                        by,
                        job,
                        fetched: false,
                    }))
                }
                Effect::Log { level, line } => self.control.log(level, line),
                Effect::Closed(snapshot) => self.control.send(ControlEvent::Closed(snapshot)),
                Effect::Connected(conn) => self
                    .control
                    .system(SystemEvent::Client(ClientEvent::Connected(conn))),
                Effect::Disconnected(conn) => self
                    .control
                    .system(SystemEvent::Client(ClientEvent::Disconnected(conn))),
                Effect::System(request) => self.control.system(SystemEvent::Request(request)),
            }
        }
        self.effects = effects;
    }

    fn leave(&mut self, slot: u32, mode: CloseMode) {
        if mode == CloseMode::Now {
            self.leaving.close_now(slot);
            self.ring.close(slot);
            return;
        }
        // It may have been paused; its end must be noticed now.
        self.ring.resume(slot);
        self.leaving.begin(slot, self.now);
        if self.ring.has_ended(slot) {
            self.leaving.peer_ended(slot);
        }
        self.flushing.push(slot);
    }

    /// Moves on with the sockets that are being closed.
    fn continue_leaving(&mut self) {
        for slot in std::mem::take(&mut self.flushing) {
            if self.has_sent_all(slot) {
                let step = self.leaving.flushed(slot);
                self.take_step(slot, step);
            }
        }
        while let Some(slot) = self.leaving.overdue(self.now) {
            self.ring.close(slot);
        }
    }

    fn take_step(&mut self, slot: u32, step: Step) {
        match step {
            Step::Wait => {}
            Step::ShutdownWrite => self.ring.shutdown_write(slot),
            Step::Close => self.ring.close(slot),
        }
    }

    /// When this turn began, in nanoseconds of the monotonic clock.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// For each other core: its number, the size of the ring to it in bytes,
    /// and how many wait in the ring and beside it.
    pub fn outboxes(&mut self) -> Vec<(usize, u64, u64, u64)> {
        let capacity = LinkConfig::default().bytes;
        let mut depths = Vec::new();
        for (to, sender) in self.to.iter().enumerate() {
            if let Some(sender) = sender {
                let overflow = self.core.outbox(CoreId(to as u8)).pending();
                let depth = capacity - sender.space();
                depths.push((to, capacity as u64, depth as u64, overflow as u64));
            }
        }
        depths
    }
}
