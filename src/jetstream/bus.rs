//! What JetStream asks of the broker's core beside it.
//!
//! The core implements [`Bus`]; tests and the simulator bring their own. Messages and changes of
//! interest come back through [`super::JetStream::message`] and [`super::JetStream::interest`],
//! named by the [`Token`] given when asking. Nothing here re-enters JetStream: what a publish
//! brings about is queued and handed over later in the same turn.

use crate::broker::{CoreId, LogLevel, Now};

/// Names a subscription or a watch of JetStream to itself.
///
/// | bits | meaning |
/// |---|---|
/// | 56..64 | [`Kind`] |
/// | 32..56 | slot of the stream |
/// | 0..32 | the owner's own detail |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(pub u64);

/// Who a [`Token`] belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// An API pattern of the meta core; the detail is the endpoint.
    Api = 1,
    /// A subject that a stream stores.
    Publish = 2,
    /// `$JS.API.CONSUMER.MSG.NEXT.<stream>.*`.
    Next = 3,
    /// `$JS.ACK.<stream>.>`.
    Ack = 4,
    /// `$JS.FC.<stream>.>`.
    FlowControl = 5,
    /// `$JS.API.DIRECT.GET.<stream>`.
    DirectGet = 6,
    /// `$JS.API.DIRECT.GET.<stream>.>`.
    DirectGetLast = 7,
    /// The stream's own: inboxes of mirrors and sources. The detail is the stream's.
    Stream = 8,
    /// A consumer's own: watches of reply and deliver subjects. The detail is
    /// `consumer slot << 8 | the consumer's own number`.
    Consumer = 9,
    /// A snapshot's acknowledgements; the detail is its number.
    Snapshot = 10,
    /// A restore's chunks; the detail is its number.
    Restore = 11,
    /// `$JS.<domain>.API.>`.
    Domain = 12,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Api,
            2 => Self::Publish,
            3 => Self::Next,
            4 => Self::Ack,
            5 => Self::FlowControl,
            6 => Self::DirectGet,
            7 => Self::DirectGetLast,
            8 => Self::Stream,
            9 => Self::Consumer,
            10 => Self::Snapshot,
            11 => Self::Restore,
            12 => Self::Domain,
            _ => return None,
        })
    }
}

/// Slots of streams that a token can name.
pub const STREAM_SLOTS_MAX: u32 = 1 << 24;

impl Token {
    /// Token of `kind` for the stream in `stream` (below [`STREAM_SLOTS_MAX`]).
    #[inline]
    pub fn new(kind: Kind, stream: u32, detail: u32) -> Self {
        debug_assert!(stream < STREAM_SLOTS_MAX);
        Self((kind as u64) << 56 | u64::from(stream) << 32 | u64::from(detail))
    }

    /// A consumer's token: `own` is the consumer's business.
    #[inline]
    pub fn consumer(stream: u32, consumer: u32, own: u8) -> Self {
        Self::new(Kind::Consumer, stream, consumer << 8 | u32::from(own))
    }

    /// Whose it is, if it is one of ours.
    #[inline]
    pub fn kind(self) -> Option<Kind> {
        Kind::from_byte((self.0 >> 56) as u8)
    }

    /// Slot of the stream.
    #[inline]
    pub fn stream(self) -> u32 {
        (self.0 >> 32) as u32 & (STREAM_SLOTS_MAX - 1)
    }

    /// The owner's detail.
    #[inline]
    pub fn detail(self) -> u32 {
        self.0 as u32
    }

    /// Slot and own number of a consumer's token.
    #[inline]
    pub fn consumer_detail(self) -> (u32, u8) {
        (self.detail() >> 8, self.0 as u8)
    }
}

/// A message that JetStream sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outgoing<'a> {
    /// The subject it is routed on.
    pub to: &'a [u8],
    /// The subject that receivers see; mostly the same.
    pub subject: &'a [u8],
    /// Empty: none.
    pub reply: &'a [u8],
    /// A whole header block, or empty.
    pub header: &'a [u8],
    pub payload: &'a [u8],
}

impl<'a> Outgoing<'a> {
    /// A message without headers and reply.
    #[inline]
    pub fn plain(subject: &'a [u8], payload: &'a [u8]) -> Self {
        Self {
            to: subject,
            subject,
            payload,
            ..Self::default()
        }
    }

    /// A message that is a header block only: a status.
    #[inline]
    pub fn status(subject: &'a [u8], header: &'a [u8]) -> Self {
        Self {
            to: subject,
            subject,
            header,
            ..Self::default()
        }
    }
}

/// What became of a publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a congested receiver must not be fed on"]
pub enum Delivery {
    /// Nobody wants it.
    Nobody,
    Sent,
    /// It was sent, but the receivers (or the ring to their core) are behind: send no more to
    /// this subject before a later turn.
    Congested,
}

/// A message for one of JetStream's subscriptions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Incoming<'a> {
    pub account: u16,
    pub subject: &'a [u8],
    /// Empty: none.
    pub reply: &'a [u8],
    /// A whole header block, or empty.
    pub header: &'a [u8],
    pub payload: &'a [u8],
    /// The connection it came from; 0 for JetStream's own messages.
    pub origin: u64,
}

/// The publisher of a request, for the audit advisory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientInfo {
    pub account: String,
    pub host: String,
    pub id: u64,
    pub name: String,
    pub user: String,
    pub language: String,
    pub version: String,
    /// Wall clock, in nanoseconds since 1970.
    pub start_unix_ns: i64,
    pub rtt_ns: u64,
}

/// The broker's core, as JetStream sees it.
pub trait Bus {
    /// The time of this turn.
    fn now(&self) -> Now;
    fn random(&mut self) -> u64;
    fn core(&self) -> CoreId;
    fn cores(&self) -> usize;

    /// Routes a message as if a client had published it. It may reach JetStream's own
    /// subscriptions, later in this turn.
    fn publish(&mut self, account: u16, message: &Outgoing<'_>) -> Delivery;
    /// Whether anybody, on any core, would receive a message on `subject`.
    fn has_interest(&mut self, account: u16, subject: &[u8]) -> bool;
    /// Whether somebody subscribed to `subject` itself; a wildcard that matches it does not count.
    fn is_subscribed(&mut self, account: u16, subject: &[u8]) -> bool {
        self.has_interest(account, subject)
    }

    /// Receives messages for `pattern` under `token`. A pattern may be subscribed several times
    /// under different tokens; a message comes once for each.
    fn subscribe(&mut self, account: u16, pattern: &[u8], token: Token);
    fn unsubscribe(&mut self, account: u16, pattern: &[u8], token: Token);

    /// Reports every change between interest and none in `subject` under `token`, and the state
    /// at the start (later in the same turn).
    fn watch(&mut self, account: u16, subject: &[u8], token: Token);
    fn unwatch(&mut self, account: u16, subject: &[u8], token: Token);

    /// Names all changes of this core's interest so far.
    fn barrier(&self) -> u64;
    /// Whether they are in force on all cores.
    fn passed(&self, barrier: u64) -> bool;

    /// Sends a record to JetStream on another core, in order with messages and interest.
    /// `core` may be this one: then it arrives later in this turn.
    fn send(&mut self, core: CoreId, record: &[u8]);

    /// The connection behind [`Incoming::origin`], if it is one of this core and still open.
    fn client(&self, origin: u64) -> Option<ClientInfo> {
        let _ = origin;
        None
    }

    fn log(&mut self, level: LogLevel, text: String);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_give_back_their_parts() {
        let token = Token::consumer(STREAM_SLOTS_MAX - 1, 0xab_cdef, 7);
        assert_eq!(token.kind(), Some(Kind::Consumer));
        assert_eq!(token.stream(), STREAM_SLOTS_MAX - 1);
        assert_eq!(token.consumer_detail(), (0xab_cdef, 7));
        for byte in 0..=u8::MAX {
            if let Some(kind) = Kind::from_byte(byte) {
                assert_eq!(kind as u8, byte);
                assert_eq!(Token::new(kind, 5, u32::MAX).kind(), Some(kind));
            }
        }
        assert_eq!(Token(0).kind(), None);
    }
}
