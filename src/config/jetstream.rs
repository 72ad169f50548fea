//! The `jetstream` block, `store_dir` and the flags for them.

use std::time::Duration;

use super::diagnostics::{Problem, Report};
use super::options::Options;
use super::read;
use super::text::parse_duration;
use super::value::{Kind, Map, Value};

/// When a stream's file is flushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SyncPolicy {
    /// Before each acknowledgement, for all publishers of a turn together. Ours, and the default;
    /// `sync_interval: always` asks for it, too.
    #[default]
    BeforeAck,
    /// At most so long after the acknowledgement: `sync_interval` of nats-server.
    Interval(Duration),
}

/// What JetStream is configured with. Numbers keep nats-server's signs: 0 is "not set".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JetStreamOptions {
    pub enabled: bool,
    /// Where streams are kept, below which `jetstream` is made; empty: the system's temporary
    /// directory.
    pub store_dir: String,
    /// Bytes of all streams in memory; 0 and below: three quarters of the host's memory.
    pub max_memory: i64,
    /// Bytes of all streams on disk; 0 and below: three quarters of what is free.
    pub max_file: i64,
    /// Empty: none.
    pub domain: String,
    pub sync: SyncPolicy,
    /// Unknown fields of requests are refused.
    pub strict: bool,
    /// Of a consumer; 0: no limit.
    pub max_ack_pending: i64,
    /// Of a pull request; 0: no limit.
    pub max_request_batch: i64,
    /// Longest duplicate window; zero: no limit.
    pub duplicate_window: Duration,
    pub batch_max_inflight_per_stream: i64,
    pub batch_max_inflight_total: i64,
    pub batch_max_msgs: i64,
    pub batch_timeout: Duration,
    /// Messages of a stream that wait to be stored; 0: the default.
    pub max_buffered_msgs: i64,
    /// Their bytes; 0: the default.
    pub max_buffered_size: i64,
    /// API requests that wait on a core; 0: the default.
    pub request_queue_limit: i64,
}

impl Default for JetStreamOptions {
    fn default() -> Self {
        Self {
            enabled: false,
            store_dir: String::new(),
            max_memory: 0,
            max_file: 0,
            domain: String::new(),
            sync: SyncPolicy::BeforeAck,
            strict: true,
            max_ack_pending: 0,
            max_request_batch: 0,
            duplicate_window: Duration::ZERO,
            batch_max_inflight_per_stream: 0,
            batch_max_inflight_total: 0,
            batch_max_msgs: 0,
            batch_timeout: Duration::ZERO,
            max_buffered_msgs: 0,
            max_buffered_size: 0,
            request_queue_limit: 0,
        }
    }
}

/// Handles a top-level key of JetStream; false if the key is none of these.
pub(super) fn top_level(
    name: &str,
    value: &Value,
    options: &mut Options,
    report: &mut Report,
) -> bool {
    match name {
        "jetstream" => block(value, &mut options.jetstream, report),
        "store_dir" | "storedir" => store_dir(value, &mut options.jetstream, report),
        _ => return false,
    }
    true
}

fn store_dir(value: &Value, options: &mut JetStreamOptions, report: &mut Report) {
    if !options.store_dir.is_empty() {
        report.text(&value.position, "Duplicate 'store_dir' configuration");
    } else if let Some(text) = read::string(value, report) {
        options.store_dir = text.to_owned();
    }
}

fn block(value: &Value, options: &mut JetStreamOptions, report: &mut Report) {
    match &value.kind {
        Kind::Bool(on) => options.enabled = *on,
        Kind::String(text) => match text.to_lowercase().as_str() {
            "enabled" | "enable" => options.enabled = true,
            "disabled" | "disable" => options.enabled = false,
            _ => report.text(
                &value.position,
                format!("Expected 'enabled' or 'disabled' for string value, got '{text}'"),
            ),
        },
        Kind::Map(map) => {
            options.enabled = true;
            fields(map, options, report);
        }
        other => {
            let found = other.type_name();
            report.text(
                &value.position,
                format!("Expected map, bool or string to define JetStream, got {found}"),
            );
        }
    }
}

fn set<T>(target: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *target = value;
    }
}

fn fields(map: &Map, options: &mut JetStreamOptions, report: &mut Report) {
    for (key, value) in map.iter() {
        match key.to_lowercase().as_str() {
            "enabled" | "enable" => set(&mut options.enabled, read::boolean(value, report)),
            "strict" => set(&mut options.strict, strict(value, report)),
            "store" | "store_dir" | "storedir" => store_dir(value, options, report),
            "max_memory_store" | "max_mem_store" | "max_mem" => {
                set(
                    &mut options.max_memory,
                    storage("max_mem_store", value, report),
                );
            }
            "max_file_store" | "max_file" => {
                set(
                    &mut options.max_file,
                    storage("max_file_store", value, report),
                );
            }
            "domain" => set(
                &mut options.domain,
                read::string(value, report).map(str::to_owned),
            ),
            "sync" | "sync_interval" => set(&mut options.sync, sync(key, value, report)),
            "limits" => {
                if let Some(map) = read::map(value, report) {
                    limits(map, options, report);
                }
            }
            "max_buffered_msgs" => {
                set(
                    &mut options.max_buffered_msgs,
                    storage("max_buffered_msgs", value, report),
                );
            }
            "max_buffered_size" => {
                set(
                    &mut options.max_buffered_size,
                    storage("max_buffered_size", value, report),
                );
            }
            "request_queue_limit" => {
                set(
                    &mut options.request_queue_limit,
                    storage("request_queue_limit", value, report),
                );
            }
            // Of clusters, or of how nats-server's store works: nothing to limit here.
            "unique_tag"
            | "extension_hint"
            | "info_queue_limit"
            | "max_outstanding_catchup"
            | "meta_compact"
            | "meta_compact_size"
            | "meta_compact_sync"
            | "max_concurrent_io" => {}
            "key"
            | "ek"
            | "encryption_key"
            | "prev_key"
            | "prev_ek"
            | "prev_encryption_key"
            | "cipher"
            | "tpm" => {
                report.error(
                    &value.position,
                    Problem::NotBuilt(format!("jetstream.{key}")),
                );
            }
            _ => report.error(&value.position, Problem::UnknownField(key.to_owned())),
        }
    }
}

fn strict(value: &Value, report: &mut Report) -> Option<bool> {
    match &value.kind {
        Kind::Bool(on) => Some(*on),
        other => {
            let found = other.type_name();
            report.text(
                &value.position,
                format!("Expected 'true' or 'false' for bool value, got {found}"),
            );
            None
        }
    }
}

/// A number of bytes, or a string such as "10G"; `None` if it is neither.
pub(super) fn size_of(value: &Value) -> Option<i64> {
    let mut ignored = Report::default();
    storage("", value, &mut ignored)
}

/// A number of bytes, or a string such as "10G".
fn storage(key: &str, value: &Value, report: &mut Report) -> Option<i64> {
    let text = match &value.kind {
        Kind::Integer(number) => return Some(*number),
        Kind::String(text) => text,
        other => {
            let found = other.type_name();
            report.text(
                &value.position,
                format!("Expected a parseable size for {key:?}, got {found}"),
            );
            return None;
        }
    };
    if text.is_empty() {
        return Some(0);
    }
    let split = text.char_indices().next_back().map_or(0, |(at, _)| at);
    let (digits, suffix) = text.split_at(split);
    let Ok(number) = digits.parse::<i64>() else {
        report.text(
            &value.position,
            format!("{key} strconv.ParseInt: parsing {digits:?}: invalid syntax"),
        );
        return None;
    };
    let shift = match suffix {
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => {
            report.text(
                &value.position,
                format!("{key} sizes defined as strings must end in K, M, G, T"),
            );
            return None;
        }
    };
    let bytes = number.checked_mul(1 << shift);
    if bytes.is_none() {
        report.text(&value.position, format!("{key} value is too big"));
    }
    bytes
}

fn sync(key: &str, value: &Value, report: &mut Report) -> Option<SyncPolicy> {
    if let Kind::String(text) = &value.kind
        && text.eq_ignore_ascii_case("always")
    {
        return Some(SyncPolicy::BeforeAck);
    }
    read::duration(key, value, report).map(SyncPolicy::Interval)
}

fn limits(map: &Map, options: &mut JetStreamOptions, report: &mut Report) {
    for (key, value) in map.iter() {
        match key.to_lowercase().as_str() {
            "max_ack_pending" => set(&mut options.max_ack_pending, read::integer(value, report)),
            "max_request_batch" => {
                set(&mut options.max_request_batch, read::integer(value, report));
            }
            "duplicate_window" => set(&mut options.duplicate_window, window(value, report)),
            // Of clusters.
            "max_ha_assets" => {
                read::integer(value, report);
            }
            "batch" => {
                if let Some(map) = read::map(value, report) {
                    batch(map, options, report);
                }
            }
            _ => report.error(&value.position, Problem::UnknownField(key.to_owned())),
        }
    }
}

fn window(value: &Value, report: &mut Report) -> Option<Duration> {
    let text = read::string(value, report)?;
    match parse_duration(text) {
        Ok(duration) if !duration.negative => Some(duration.length),
        Ok(_) => {
            report.text(
                &value.position,
                "duplicate_window value can not be negative",
            );
            None
        }
        Err(error) => {
            report.text(&value.position, error.to_string());
            None
        }
    }
}

fn batch(map: &Map, options: &mut JetStreamOptions, report: &mut Report) {
    for (key, value) in map.iter() {
        let target = match key.to_lowercase().as_str() {
            "max_inflight_per_stream" => &mut options.batch_max_inflight_per_stream,
            "max_inflight_total" => &mut options.batch_max_inflight_total,
            "max_msgs" => &mut options.batch_max_msgs,
            "timeout" => {
                let timeout = read::duration("timeout", value, report);
                set(&mut options.batch_timeout, timeout);
                continue;
            }
            _ => {
                report.error(&value.position, Problem::UnknownField(key.to_owned()));
                continue;
            }
        };
        set(target, read::integer(value, report));
    }
}
