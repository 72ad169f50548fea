//! What a stream is handed with every event.

use crate::jetstream::bus::Bus;
use crate::jetstream::settings::JetStreamSettings;
use crate::store::{Disk, Log};

use super::config::Storage;

/// The consumers of a stream, as the stream sees them. They learn of every message that comes or
/// goes, in order.
pub trait Consumers {
    /// A message was stored; `log` has it.
    fn stored(&mut self, log: &Log, sequence: u64, subject: &[u8]);

    /// A message is gone, for whatever reason.
    fn removed(&mut self, sequence: u64, subject: &[u8]);

    /// Many messages are gone at once: what is counted must be counted anew from `log`.
    fn purged(&mut self, log: &Log);

    /// Whether any consumer would deliver messages of this subject (interest retention).
    fn is_interested(&mut self, subject: &[u8]) -> bool;

    /// Whether any consumer that delivers this subject has yet to have this message acknowledged
    /// (interest and work queue retention).
    fn needs(&mut self, sequence: u64, subject: &[u8]) -> bool;
}

/// A stream without consumers.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoConsumers;

impl Consumers for NoConsumers {
    fn stored(&mut self, _log: &Log, _sequence: u64, _subject: &[u8]) {}
    fn removed(&mut self, _sequence: u64, _subject: &[u8]) {}
    fn purged(&mut self, _log: &Log) {}
    fn is_interested(&mut self, _subject: &[u8]) -> bool {
        false
    }
    fn needs(&mut self, _sequence: u64, _subject: &[u8]) -> bool {
        false
    }
}

/// Whether there is room for more in an account and on the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    Enough,
    /// The account's limit is reached (10002).
    AccountFull,
    /// The server's limit is reached (10028 in memory, 10047 on disk).
    ServerFull,
}

/// The use that accounts make of storage, and what the whole server has in progress.
pub trait Usage {
    /// Whether `bytes` more can be stored for the stream's account.
    fn room(&self, storage: Storage, bytes: u64) -> Room;

    /// The stream stores `bytes` more, or less.
    fn used(&mut self, storage: Storage, bytes: i64);

    /// Counts an atomic batch in progress; false if the server has too many.
    fn begin_batch(&mut self) -> bool;
    fn end_batch(&mut self);

    /// Counts a fast batch in progress; false if the server has too many.
    fn begin_fast_batch(&mut self) -> bool;
    fn end_fast_batch(&mut self);
}

/// Use without limits.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoLimits;

impl Usage for NoLimits {
    fn room(&self, _storage: Storage, _bytes: u64) -> Room {
        Room::Enough
    }
    fn used(&mut self, _storage: Storage, _bytes: i64) {}
    fn begin_batch(&mut self) -> bool {
        true
    }
    fn end_batch(&mut self) {}
    fn begin_fast_batch(&mut self) -> bool {
        true
    }
    fn end_fast_batch(&mut self) {}
}

/// What surrounds a stream while it handles an event.
pub struct Context<'a> {
    pub bus: &'a mut dyn Bus,
    pub disk: &'a mut dyn Disk,
    pub consumers: &'a mut dyn Consumers,
    pub usage: &'a mut dyn Usage,
    pub settings: &'a JetStreamSettings,
}
