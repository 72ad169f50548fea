//! One core's [`JetStream`] and what joins it to the core.

use super::JetStream;
use super::bus::{Bus, ClientInfo, Delivery, Incoming, Outgoing, Token};
use crate::broker::{Arrival, Core, CoreId, Inbox, LogLevel, Now, ServerDelivery, ServerMessage};
use crate::monitor::snapshot::JetStreamSnapshot;
use crate::store::{Completed, Disk};

/// How often a turn hands over what JetStream's own messages brought about. Streams that feed
/// each other go on in the next turn.
const ROUNDS_PER_TURN: usize = 8;

/// Origins at and above this are the server's own messages.
const OWN_ORIGIN: u64 = 1 << 63;

/// The core as JetStream sees it.
struct CoreBus<'a> {
    core: &'a mut Core,
}

impl Bus for CoreBus<'_> {
    fn now(&self) -> Now {
        self.core.now()
    }

    fn random(&mut self) -> u64 {
        self.core.random()
    }

    fn core(&self) -> CoreId {
        self.core.id()
    }

    fn cores(&self) -> usize {
        self.core.cores()
    }

    #[inline]
    fn publish(&mut self, account: u16, message: &Outgoing<'_>) -> Delivery {
        let delivery = self.core.publish_server(&ServerMessage {
            account,
            to: message.to,
            subject: message.subject,
            reply: message.reply,
            header: message.header,
            payload: message.payload,
        });
        match delivery {
            ServerDelivery::Nobody => Delivery::Nobody,
            ServerDelivery::Sent => Delivery::Sent,
            ServerDelivery::Congested => Delivery::Congested,
        }
    }

    fn has_interest(&mut self, account: u16, subject: &[u8]) -> bool {
        self.core.has_interest(account, subject)
    }

    fn is_subscribed(&mut self, account: u16, subject: &[u8]) -> bool {
        self.core.is_subscribed(account, subject)
    }

    fn subscribe(&mut self, account: u16, pattern: &[u8], token: Token) {
        if self
            .core
            .subscribe_server(account, pattern, token.0)
            .is_err()
        {
            let pattern = String::from_utf8_lossy(pattern);
            self.core.log_server(
                LogLevel::Error,
                format!("JetStream cannot subscribe to {pattern:?}: the index is full"),
            );
        }
    }

    fn unsubscribe(&mut self, account: u16, pattern: &[u8], token: Token) {
        self.core.unsubscribe_server(account, pattern, token.0);
    }

    fn watch(&mut self, account: u16, subject: &[u8], token: Token) {
        self.core.watch_interest(account, subject, token.0);
    }

    fn unwatch(&mut self, account: u16, subject: &[u8], token: Token) {
        self.core.unwatch_interest(account, subject, token.0);
    }

    fn barrier(&self) -> u64 {
        self.core.interest_barrier()
    }

    fn passed(&self, barrier: u64) -> bool {
        self.core.is_in_force(barrier)
    }

    fn send(&mut self, core: CoreId, record: &[u8]) {
        self.core.send_record(core, record);
    }

    fn client(&self, origin: u64) -> Option<ClientInfo> {
        let client = self.core.server_client(origin)?;
        Some(ClientInfo {
            account: client.account,
            host: client.host,
            id: client.id,
            name: client.name,
            user: client.user,
            language: client.lang,
            version: client.version,
            start_unix_ns: client.start_unix_ns,
            rtt_ns: client.rtt_ns,
        })
    }

    fn log(&mut self, level: LogLevel, text: String) {
        self.core.log_server(level, text);
    }
}

/// JetStream of one core and what waits for it.
pub struct Service {
    pub jetstream: JetStream,
    inbox: Inbox,
}

impl Service {
    /// JetStream that is not started.
    pub fn new(jetstream: JetStream) -> Self {
        Self {
            jetstream,
            inbox: Inbox::default(),
        }
    }

    /// Opens the store.
    pub fn start(&mut self, core: &mut Core, disk: &mut dyn Disk) {
        self.jetstream.start(&mut CoreBus { core }, disk);
    }

    /// Hands over what came for JetStream in this turn and lets it end its own turn. Returns
    /// whether anything happened.
    pub fn turn(
        &mut self,
        core: &mut Core,
        disk: &mut dyn Disk,
        completed: impl Iterator<Item = Completed>,
    ) -> bool {
        let now = core.now().mono_ns;
        let bus = &mut CoreBus { core };
        let mut worked = false;
        for done in completed {
            self.jetstream.completed(bus, disk, done);
            worked = true;
        }
        if self.jetstream.next_deadline().is_some_and(|at| at <= now) {
            self.jetstream.tick(bus, disk);
            worked = true;
        }
        for _ in 0..ROUNDS_PER_TURN {
            let arrived = Self::hand_over(&mut self.jetstream, &mut self.inbox, bus, disk);
            worked |= arrived;
            self.jetstream.settle(bus, disk);
            if !bus.core.has_inbox() {
                break;
            }
        }
        worked
    }

    fn hand_over(
        jetstream: &mut JetStream,
        inbox: &mut Inbox,
        bus: &mut CoreBus<'_>,
        disk: &mut dyn Disk,
    ) -> bool {
        if !bus.core.has_inbox() {
            return false;
        }
        bus.core.take_inbox(inbox);
        let arrived = !inbox.is_empty();
        for arrival in inbox.iter() {
            match arrival {
                Arrival::Message {
                    token,
                    account,
                    origin,
                    subject,
                    reply,
                    header,
                    payload,
                } => {
                    let message = Incoming {
                        account,
                        subject,
                        reply,
                        header,
                        payload,
                        origin: if origin >= OWN_ORIGIN { 0 } else { origin },
                    };
                    jetstream.message(bus, disk, Token(token), &message);
                }
                Arrival::Record { from, bytes } => jetstream.peer(bus, disk, from, bytes),
                Arrival::Interest { token, interested } => {
                    jetstream.interest(bus, disk, Token(token), interested);
                }
            }
        }
        inbox.clear();
        arrived
    }

    /// What operators see of it.
    pub fn report(
        &mut self,
        core: &mut Core,
        disk: &mut dyn Disk,
        with_streams: bool,
    ) -> JetStreamSnapshot {
        self.jetstream
            .report(&mut CoreBus { core }, disk, with_streams)
    }

    /// Whether there is work that no event will announce.
    pub fn has_backlog(&self) -> bool {
        self.jetstream.has_backlog()
    }

    /// When JetStream must be called, in nanoseconds of the monotonic clock.
    pub fn next_deadline(&self) -> Option<u64> {
        self.jetstream.next_deadline()
    }

    /// Begins an orderly end.
    pub fn stop(&mut self, core: &mut Core, disk: &mut dyn Disk) {
        self.jetstream.stop(&mut CoreBus { core }, disk);
    }

    /// Whether the end is reached.
    pub fn is_stopped(&self) -> bool {
        self.jetstream.is_stopped()
    }
}
