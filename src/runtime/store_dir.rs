//! Where JetStream keeps its streams, and what it may take there.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::control::CoreHandle;
use super::disk::{Answer, AnswerSink, RingDisk};
use super::log::{Logger, Tag};
use super::persistence::Persistence;
use crate::broker::accounts::{
    AccountTable, GLOBAL_ACCOUNT_ID, JetStreamLimits, JetStreamRules, SYSTEM_ACCOUNT_ID,
};
use crate::broker::{CoreId, ServerIdentity};
use crate::config::{JetStreamOptions, Options, SyncPolicy};
use crate::jetstream::settings::{
    API_LEVEL, AccountSettings, Durability, JetStreamSettings, ServerLimits,
};
use crate::jetstream::{JetStream, Service};
use crate::monitor::snapshot::JetStreamSnapshot;

/// The part of the host's memory, and of the free space on disk, that JetStream may take unless
/// it is configured: as nats-server, three quarters.
const SHARE_NUMERATOR: u64 = 3;
const SHARE_DENOMINATOR: u64 = 4;

/// Why there is no place for streams.
#[derive(Debug)]
pub enum StoreDirError {
    NotADirectory,
    Create(io::Error),
    NotWritable(io::Error),
}

impl fmt::Display for StoreDirError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotADirectory => f.write_str("storage directory is not a directory"),
            Self::Create(error) => write!(f, "could not create storage directory - {error}"),
            Self::NotWritable(error) => {
                write!(f, "storage directory is not writable - {error}")
            }
        }
    }
}

impl std::error::Error for StoreDirError {}

/// The directory and the settings of JetStream.
#[derive(Clone)]
pub struct StoreDir {
    path: PathBuf,
    settings: JetStreamSettings,
}

impl StoreDir {
    /// Makes the directory.
    ///
    /// # Errors
    /// If it cannot be made or written.
    pub fn prepare(
        options: &Options,
        identity: &ServerIdentity,
        accounts: &AccountTable,
    ) -> Result<Self, StoreDirError> {
        let js = &options.jetstream;
        let path = if js.store_dir.is_empty() {
            std::env::temp_dir().join("nats").join("jetstream")
        } else {
            Path::new(&js.store_dir).join("jetstream")
        };
        match fs::metadata(&path) {
            Ok(found) if !found.is_dir() => return Err(StoreDirError::NotADirectory),
            Ok(_) => {}
            Err(_) => fs::create_dir_all(&path).map_err(StoreDirError::Create)?,
        }
        let probe = path.join(format!(".probe-{}", std::process::id()));
        fs::write(&probe, b"").map_err(StoreDirError::NotWritable)?;
        fs::remove_file(&probe).map_err(StoreDirError::NotWritable)?;
        // What is in force is what the log shows, whatever the working directory becomes.
        let path = fs::canonicalize(&path).unwrap_or(path);
        let settings = JetStreamSettings {
            accounts: account_settings(accounts),
            ..settings(js, options, identity, &path)
        };
        Ok(Self { path, settings })
    }

    /// The settings as monitoring shows them.
    pub fn shown(&self) -> JetStreamSnapshot {
        let settings = &self.settings;
        JetStreamSnapshot {
            max_memory: settings.max_memory,
            max_storage: settings.max_storage,
            store_dir: self.path.display().to_string(),
            sync_interval: match settings.durability {
                Durability::Flushed => 0,
                Durability::Interval(nanos) => nanos,
            },
            strict: settings.strict,
            domain: settings.domain.clone().unwrap_or_default(),
            max_ack_pending: settings.limits.max_ack_pending,
            max_request_batch: settings.limits.max_request_batch,
            default_max_consumers: settings.limits.default_max_consumers,
            api_level: u64::from(API_LEVEL),
            ..JetStreamSnapshot::default()
        }
    }

    /// Names of the accounts that may use it.
    pub fn accounts(&self) -> Vec<String> {
        let accounts = self.settings.accounts.iter();
        accounts
            .filter(|account| account.limits.is_some())
            .map(|account| account.name.clone())
            .collect()
    }

    /// The lines that nats-server logs when JetStream starts, and what an acknowledgement means.
    pub fn announce(&self, log: &mut Logger) {
        let mut line = |text: &str| log.line(Tag::Info, text);
        line("Starting JetStream");
        line("---------------- JETSTREAM ----------------");
        line(&format!("  Strict:          {}", self.settings.strict));
        line(&format!(
            "  Max Memory:      {}",
            friendly_bytes(self.settings.max_memory)
        ));
        line(&format!(
            "  Max Storage:     {}",
            friendly_bytes(self.settings.max_storage)
        ));
        line(&format!("  Store Directory: \"{}\"", self.path.display()));
        if let Some(domain) = &self.settings.domain {
            line(&format!("  Domain:          {domain}"));
        }
        line(&format!("  API Level:       {API_LEVEL}"));
        line(&match self.settings.durability {
            Durability::Flushed => "  Acknowledged:    when flushed to disk".to_owned(),
            Durability::Interval(nanos) => format!(
                "  Acknowledged:    before the flush, which follows within {:?}",
                std::time::Duration::from_nanos(nanos)
            ),
        });
        line("-------------------------------------------");
    }

    /// JetStream of one core.
    ///
    /// # Errors
    /// If its thread for files cannot be started.
    pub fn open(
        self,
        id: CoreId,
        cores: usize,
        handle: CoreHandle,
    ) -> io::Result<Box<Persistence>> {
        let answers: AnswerSink = Box::new(move |answer: Answer| {
            handle.call(Box::new(move |driver| driver.disk_answered(answer)));
        });
        let name = format!("files-{}", id.0);
        let disk = RingDisk::new(self.path, &name, answers)?;
        let service = Service::new(JetStream::new(id, cores, self.settings));
        Ok(Box::new(Persistence::new(service, disk)))
    }
}

fn settings(
    js: &JetStreamOptions,
    options: &Options,
    identity: &ServerIdentity,
    path: &Path,
) -> JetStreamSettings {
    let share =
        |bytes: u64| i64::try_from(bytes / SHARE_DENOMINATOR * SHARE_NUMERATOR).unwrap_or(i64::MAX);
    let positive = |configured: i64, default: i64| {
        if configured > 0 { configured } else { default }
    };
    let count = |configured: i64, default: usize| {
        usize::try_from(configured)
            .ok()
            .filter(|&n| n > 0)
            .unwrap_or(default)
    };
    let nanos = |time: std::time::Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let defaults = JetStreamSettings::default();
    let limits = ServerLimits::default();
    JetStreamSettings {
        server_name: identity.server_name.clone(),
        server_id: identity.server_id.clone(),
        version: identity.version.clone(),
        domain: (!js.domain.is_empty()).then(|| js.domain.clone()),
        max_memory: positive(js.max_memory, share(memory_bytes())),
        max_storage: positive(js.max_file, share(free_bytes(path))),
        max_payload: usize::try_from(options.max_payload).unwrap_or(usize::MAX),
        strict: js.strict,
        durability: match js.sync {
            SyncPolicy::BeforeAck => Durability::Flushed,
            SyncPolicy::Interval(time) => Durability::Interval(nanos(time)),
        },
        request_queue_limit: count(js.request_queue_limit, defaults.request_queue_limit),
        max_buffered_messages: count(js.max_buffered_msgs, defaults.max_buffered_messages),
        max_buffered_bytes: count(js.max_buffered_size, defaults.max_buffered_bytes),
        limits: ServerLimits {
            max_ack_pending: positive(js.max_ack_pending, -1),
            max_request_batch: positive(js.max_request_batch, -1),
            duplicate_window_ns: i64::try_from(js.duplicate_window.as_nanos()).unwrap_or(i64::MAX),
            batches_per_stream: count(js.batch_max_inflight_per_stream, limits.batches_per_stream),
            batches_total: count(js.batch_max_inflight_total, limits.batches_total),
            batch_messages: count(js.batch_max_msgs, limits.batch_messages),
            batch_timeout_ns: if js.batch_timeout.is_zero() {
                limits.batch_timeout_ns
            } else {
                nanos(js.batch_timeout)
            },
            ..limits
        },
        ..defaults
    }
}

/// The accounts and what JetStream may use for each. The global one may use it where there is no
/// other.
fn account_settings(table: &AccountTable) -> Vec<AccountSettings> {
    let system = SYSTEM_ACCOUNT_ID;
    let alone = table.existing().all(|entry| entry.id <= system);
    table
        .existing()
        .map(|entry| AccountSettings {
            number: entry.id,
            name: entry.name().to_owned(),
            limits: match &entry.rules.jetstream {
                JetStreamRules::Enabled(limits) => Some(limits.clone()),
                JetStreamRules::Unset if alone && entry.id == GLOBAL_ACCOUNT_ID => {
                    Some(JetStreamLimits::default())
                }
                JetStreamRules::Unset | JetStreamRules::Disabled => None,
            },
        })
        .collect()
}

/// Memory of the host, in bytes.
fn memory_bytes() -> u64 {
    // SAFETY: both calls only read numbers of the system.
    let (pages, size) = unsafe {
        (
            libc::sysconf(libc::_SC_PHYS_PAGES),
            libc::sysconf(libc::_SC_PAGESIZE),
        )
    };
    u64::try_from(pages).unwrap_or(0) * u64::try_from(size).unwrap_or(0)
}

/// Free space where `path` is, in bytes.
fn free_bytes(path: &Path) -> u64 {
    use std::os::unix::ffi::OsStrExt;

    let Ok(path) = std::ffi::CString::new(path.as_os_str().as_bytes()) else {
        return 0;
    };
    // SAFETY: all-zero is a valid statvfs, which the call overwrites.
    let mut found: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: a string that ends in zero, and a place for the answer.
    if unsafe { libc::statvfs(path.as_ptr(), &raw mut found) } != 0 {
        return 0;
    }
    found.f_bavail * found.f_frsize
}

/// "17.66 GB": in units of 1024, as nats-server's log has it.
fn friendly_bytes(bytes: i64) -> String {
    const UNITS: [&str; 6] = ["KB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut size = bytes as f64 / 1024.0;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.2} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_as_in_nats_servers_log() {
        assert_eq!(friendly_bytes(512), "512 B");
        assert_eq!(friendly_bytes(1024), "1.00 KB");
        assert_eq!(friendly_bytes(18_962_000_000), "17.66 GB");
    }
}
