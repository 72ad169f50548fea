//! What JetStream is configured with. The `config` layer fills it in; nothing here is read from
//! a file or the environment.

use crate::broker::accounts::JetStreamLimits;

/// Queued API requests of one core above which further ones are dropped.
pub const REQUEST_QUEUE_LIMIT: usize = 10_000;
/// Consumers of one stream, unless the stream says otherwise (nats-server 2.15.1).
pub const CONSUMERS_PER_STREAM: i64 = 1_000;
/// Messages that wait for the log of one stream before publishers are refused.
pub const BUFFERED_MESSAGES: usize = 100_000;
/// Bytes that wait for the log of one stream before publishers are refused.
pub const BUFFERED_BYTES: usize = 128 * 1024 * 1024;
/// Duplicate window of a stream that names none, in nanoseconds.
pub const DUPLICATE_WINDOW_NS: i64 = 120_000_000_000;
/// Atomic batches in progress on one stream.
pub const BATCHES_PER_STREAM: usize = 50;
/// Atomic batches in progress on the server.
pub const BATCHES_TOTAL: usize = 1_000;
/// Messages of an atomic batch.
pub const BATCH_MESSAGES: usize = 1_000;
/// Nanoseconds without a message after which a batch is abandoned.
pub const BATCH_TIMEOUT_NS: u64 = 10_000_000_000;
/// Fast batches in progress on one stream, and on the server.
pub const FAST_BATCHES_PER_STREAM: usize = 1_000;
pub const FAST_BATCHES_TOTAL: usize = 50_000;
/// The API level of nats-server 2.15.
pub const API_LEVEL: u32 = 5;

/// When file storage is durable, and so when a publish is acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Flushed before the acknowledgement, over all publishers of a turn together.
    #[default]
    Flushed,
    /// Acknowledged when it is handed to the disk, flushed after at most this many nanoseconds:
    /// `sync_interval` of nats-server.
    Interval(u64),
}

/// An account that the broker knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountSettings {
    /// Its number in the broker.
    pub number: u16,
    /// Its name, which stands in paths and advisories.
    pub name: String,
    /// `None`: JetStream is not enabled for it (10039).
    pub limits: Option<JetStreamLimits>,
}

/// Limits of the whole server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    /// -1: none.
    pub max_ack_pending: i64,
    /// -1: none.
    pub max_request_batch: i64,
    /// Largest and default duplicate window in nanoseconds; 0: the default.
    pub duplicate_window_ns: i64,
    /// Consumers of a stream that does not say; -1: none.
    pub default_max_consumers: i64,
    pub batches_per_stream: usize,
    pub batches_total: usize,
    pub batch_messages: usize,
    pub batch_timeout_ns: u64,
    pub fast_batches_per_stream: usize,
    pub fast_batches_total: usize,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            max_ack_pending: -1,
            max_request_batch: -1,
            duplicate_window_ns: 0,
            default_max_consumers: CONSUMERS_PER_STREAM,
            batches_per_stream: BATCHES_PER_STREAM,
            batches_total: BATCHES_TOTAL,
            batch_messages: BATCH_MESSAGES,
            batch_timeout_ns: BATCH_TIMEOUT_NS,
            fast_batches_per_stream: FAST_BATCHES_PER_STREAM,
            fast_batches_total: FAST_BATCHES_TOTAL,
        }
    }
}

/// The settings of JetStream; all cores have the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JetStreamSettings {
    pub server_name: String,
    pub server_id: String,
    /// Version that clients see, e.g. `2.15.1`.
    pub version: String,
    /// Its API is at `$JS.<domain>.API` as well.
    pub domain: Option<String>,
    /// Bytes that streams in memory may take on the whole server.
    pub max_memory: i64,
    /// Bytes that streams on disk may take on the whole server.
    pub max_storage: i64,
    /// Largest message that the broker takes, in bytes.
    pub max_payload: usize,
    /// Unknown fields of requests are refused.
    pub strict: bool,
    pub durability: Durability,
    /// Caches of all logs of one core, in bytes.
    pub cache_bytes: usize,
    pub request_queue_limit: usize,
    /// Of a stream.
    pub max_buffered_messages: usize,
    /// Of a stream.
    pub max_buffered_bytes: usize,
    pub limits: ServerLimits,
    /// `$G` is among them.
    pub accounts: Vec<AccountSettings>,
}

/// Caches of all logs of one core, in bytes.
pub const CACHE_BYTES: usize = 128 * 1024 * 1024;

impl Default for JetStreamSettings {
    fn default() -> Self {
        Self {
            server_name: String::new(),
            server_id: String::new(),
            version: String::new(),
            domain: None,
            max_memory: i64::MAX,
            max_storage: i64::MAX,
            max_payload: 1024 * 1024,
            strict: true,
            durability: Durability::Flushed,
            cache_bytes: CACHE_BYTES,
            request_queue_limit: REQUEST_QUEUE_LIMIT,
            max_buffered_messages: BUFFERED_MESSAGES,
            max_buffered_bytes: BUFFERED_BYTES,
            limits: ServerLimits::default(),
            accounts: vec![AccountSettings {
                number: 0,
                name: "$G".to_owned(),
                limits: Some(JetStreamLimits::default()),
            }],
        }
    }
}

impl JetStreamSettings {
    /// The account of this number in the broker.
    pub fn account(&self, number: u16) -> Option<&AccountSettings> {
        self.accounts
            .iter()
            .find(|account| account.number == number)
    }

    /// The account of this name.
    pub fn account_named(&self, name: &str) -> Option<&AccountSettings> {
        self.accounts.iter().find(|account| account.name == name)
    }
}
