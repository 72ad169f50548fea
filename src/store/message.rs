//! Messages as they go into a log and come out of it.

use std::fmt;

use super::disk::DiskError;

/// Why a message wakes its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WakeKind {
    /// It expires (`Nats-TTL`).
    Expire,
    /// It is a schedule that is due (`Nats-Schedule`).
    Schedule,
}

impl WakeKind {
    pub(super) const fn code(self) -> u8 {
        match self {
            Self::Expire => 1,
            Self::Schedule => 2,
        }
    }

    pub(super) const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Expire),
            2 => Some(Self::Schedule),
            _ => None,
        }
    }
}

/// A message to append.
#[derive(Clone, Copy, Debug)]
pub struct NewMessage<'a> {
    /// Its sequence, above the log's last one (mirrors, restore); `None` for the next.
    pub sequence: Option<u64>,
    /// Nanoseconds since 1970.
    pub unix_ns: i64,
    pub subject: &'a [u8],
    /// The whole `NATS/1.0` block, or empty.
    pub header: &'a [u8],
    pub payload: &'a [u8],
    /// When, in nanoseconds since 1970, and why the message is to be [due](super::Log::due).
    pub wake: Option<(WakeKind, i64)>,
}

/// A message read from a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored<'a> {
    pub sequence: u64,
    pub unix_ns: i64,
    pub subject: &'a [u8],
    pub header: &'a [u8],
    pub payload: &'a [u8],
}

/// The answer to [`Log::get`](super::Log::get).
#[derive(Debug, PartialEq, Eq)]
pub enum Fetch<'a> {
    Message(Stored<'a>),
    /// It is being read: ask again after a completion.
    Loading,
    /// There is no such message: never was, removed, or not yet.
    Missing,
    /// It cannot be read back as it was stored. The log [reports](super::Log::damage) it.
    Damaged,
}

/// What the index knows of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageMeta {
    /// Valid while the subject has a message.
    pub subject: u32,
    /// Bytes as nats-server counts them, see [`Log::accounted`](super::Log::accounted).
    pub size: u64,
    pub unix_ns: i64,
    pub has_wake: bool,
}

/// What [`Log::remove`](super::Log::remove) does with the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// They stay until their space is reclaimed.
    Keep,
    /// They are overwritten.
    Erase,
}

/// A message that was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removed {
    pub meta: MessageMeta,
    /// It was the last message of its subject; the subject's number is void now.
    pub subject_gone: bool,
}

/// The messages of one subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubjectState {
    /// Number of the subject in this log, valid while it has messages.
    pub id: u32,
    pub first: u64,
    pub last: u64,
    pub count: u64,
}

/// Totals of a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogState {
    pub messages: u64,
    /// Sum of what [`Log::accounted`](super::Log::accounted) says of each.
    pub bytes: u64,
    /// Of the first message; one behind the last sequence if there is none. 1 in a new log.
    pub first_sequence: u64,
    /// The last sequence ever given; 0 in a new log.
    pub last_sequence: u64,
    /// Of the first message; `None` if there is none.
    pub first_unix_ns: Option<i64>,
    /// Of the last message appended, also after its removal.
    pub last_unix_ns: Option<i64>,
    pub subjects: u64,
    /// Sequences between first and last that have no message.
    pub deleted: u64,
}

/// Bytes that nats-server's file store counts for a message: 22, its subject, 4 and the header if
/// there is one, the payload, 8 (read off nats-server 2.15.1).
pub const fn accounted(subject: usize, header: usize, payload: usize) -> u64 {
    let header = if header == 0 { 0 } else { header as u64 + 4 };
    30 + subject as u64 + header + payload as u64
}

/// Bytes that nats-server's memory store counts for a message: 16, its subject, header and payload
/// (read off nats-server 2.15.1).
pub const fn accounted_in_memory(subject: usize, header: usize, payload: usize) -> u64 {
    16 + subject as u64 + header as u64 + payload as u64
}

/// Why [`Log::append`](super::Log::append) refused; nothing was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendError {
    /// The disk is full. Room is looked for again at each following flush.
    NoSpace,
    /// More than [`PENDING_MAX`](super::PENDING_MAX) bytes wait for the disk.
    Busy,
    /// The log has failed, see [`Log::failure`](super::Log::failure), or is not open yet.
    Failed,
    /// Subject, header or payload are larger than the format can hold.
    TooLarge,
    /// The sequence given is not above the last one.
    Sequence,
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSpace => "no space left for the log",
            Self::Busy => "too much waits for the disk",
            Self::Failed => "the log does not accept writes",
            Self::TooLarge => "the message is too large for the log",
            Self::Sequence => "the sequence is not above the last one",
        })
    }
}

impl std::error::Error for AppendError {}

/// Why a log stopped accepting writes. What is stored stays readable where the disk allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogFailure {
    /// The directory or a file could not be opened, listed or read at start.
    Open { path: String, error: DiskError },
    /// A write or flush failed: nothing is acknowledged from then on.
    Write { path: String, error: DiskError },
    /// A file was written by a version this one does not know, or belongs to another log.
    Format { path: String },
}

impl fmt::Display for LogFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open { path, error } => write!(f, "{path} cannot be opened: {error}"),
            Self::Write { path, error } => write!(f, "{path} cannot be written: {error}"),
            Self::Format { path } => write!(f, "{path} is not a file of this log"),
        }
    }
}

impl std::error::Error for LogFailure {}

/// Messages that were stored and cannot be read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file that the damage is in.
    pub path: String,
    /// Byte range of that file.
    pub bytes: std::ops::Range<u64>,
    /// First and last sequence that may be affected; first above last if none is.
    pub first: u64,
    pub last: u64,
}

/// What recovery passes to the stream, in order.
pub trait Replay {
    /// The blob of the checkpoint, if there is one; before any message.
    fn checkpoint(&mut self, blob: &[u8]);
    /// A message behind the checkpoint (all messages without one), also one that a later entry
    /// of the log removes.
    fn message(&mut self, message: &Stored<'_>);
}

/// Ignores all.
impl Replay for () {
    fn checkpoint(&mut self, _blob: &[u8]) {}
    fn message(&mut self, _message: &Stored<'_>) {}
}
