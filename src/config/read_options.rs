//! The top level of the configuration file: keys to options.

use std::collections::BTreeMap;

use super::diagnostics::{FileError, Problem, Report};
use super::options::{Options, WriteTimeout};
use super::parser::{Source, parse_file};
use super::text::{duration_text, parse_duration, quoted};
use super::trust;
use super::unbuilt;
use super::value::{Kind, Map, Value};
use super::{accounts, defaults, extensions, jetstream, read, read_authorization, websocket};

/// The options of a file over the defaults, and what it was warned about.
#[derive(Debug)]
pub(super) struct FileOptions {
    pub options: Options,
    /// Never holds errors.
    pub warnings: Report,
}

/// Reads a configuration file. Where zero means "the default", zero is still in place: flags come
/// first, then [`Options::fill_defaults`].
pub(super) fn read_file(source: &dyn Source, path: &str) -> Result<FileOptions, FileError> {
    let map = parse_file(source, path)?;
    let mut report = Report::default();
    if map.is_empty() {
        report.warn(
            None,
            Problem::Text(format!("{path}: config has no values or is empty")),
        );
    }
    let mut options = Options {
        config_file: path.to_owned(),
        config_digest: map.digest(),
        // Taken from `host` unless the file sets it.
        http_host: String::new(),
        ..Options::default()
    };
    read_map(&map, &mut options, &mut report);
    trust::read(&map, source, &mut options.trust, &mut report);
    if options.system_account.is_empty()
        && let Some(account) = options.trust.system_account()
    {
        options.system_account = account;
    }
    if report.errors.is_empty() {
        Ok(FileOptions {
            options,
            warnings: report,
        })
    } else {
        Err(FileError::Values(report))
    }
}

fn read_map(map: &Map, options: &mut Options, report: &mut Report) {
    for (key, value) in map.iter() {
        let name = key.to_lowercase();
        let known = listeners(&name, value, options, report)
            || logging(&name, value, options, report)
            || limits(&name, value, options, report)
            || times(&name, value, options, report)
            || identity(&name, value, options, report)
            || switches(&name, value, options, report)
            || jetstream::top_level(&name, value, options, report)
            || websocket::top_level(&name, value, options, report)
            || accounts::top_level(&name, value, options, report)
            || trust::is_key(&name)
            || unbuilt::top_level(&name, value, report);
        if !known && !value.used_as_variable.get() {
            report.error(&value.position, Problem::UnknownField(key.to_owned()));
        }
    }
    accounts::read_accounts(map, options, report);
}

/// Puts a value into its option unless reading it failed.
fn set<T>(target: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *target = value;
    }
}

fn set_text(target: &mut String, value: &Value, report: &mut Report) {
    set(target, read::string(value, report).map(str::to_owned));
}

fn listeners(name: &str, value: &Value, options: &mut Options, report: &mut Report) -> bool {
    match name {
        "listen" => {
            if let Some(listen) = read::listen(value, report) {
                set(&mut options.host, listen.host);
                options.port = listen.port;
            }
        }
        "host" | "net" => set_text(&mut options.host, value, report),
        "port" => set(&mut options.port, read::integer(value, report)),
        "client_advertise" => set_text(&mut options.client_advertise, value, report),
        "http" => {
            if let Some(listen) = read::listen(value, report) {
                set(&mut options.http_host, listen.host);
                options.http_port = listen.port;
            }
        }
        "http_port" | "monitor_port" => set(&mut options.http_port, read::integer(value, report)),
        "http_base_path" => set_text(&mut options.http_base_path, value, report),
        "pid_file" | "pidfile" => set_text(&mut options.pid_file, value, report),
        "ports_file_dir" => set_text(&mut options.ports_file_dir, value, report),
        _ => return false,
    }
    true
}

fn logging(name: &str, value: &Value, options: &mut Options, report: &mut Report) -> bool {
    let log = &mut options.log;
    match name {
        "debug" => set(&mut log.debug, read::boolean(value, report)),
        "trace" => set(&mut log.trace, read::boolean(value, report)),
        "trace_verbose" => {
            if let Some(on) = read::boolean(value, report) {
                log.trace_verbose = on;
                log.trace = on;
            }
        }
        "trace_headers" => {
            if let Some(on) = read::boolean(value, report) {
                log.trace_headers = on;
                log.trace = on;
            }
        }
        "max_traced_msg_len" => set(&mut log.max_traced_msg_len, read::integer(value, report)),
        "logtime" => set(&mut log.time, read::boolean(value, report)),
        "logtime_utc" => set(&mut log.time_utc, read::boolean(value, report)),
        "log_file" | "logfile" => set_text(&mut log.file, value, report),
        "log_size_limit" | "logfile_size_limit" => {
            set(&mut log.size_limit, read::integer(value, report))
        }
        "log_max_num" | "logfile_max_num" => set(&mut log.max_files, read::integer(value, report)),
        "syslog" => set(&mut log.syslog, read::boolean(value, report)),
        "remote_syslog" => set_text(&mut log.remote_syslog, value, report),
        _ => return false,
    }
    true
}

fn limits(name: &str, value: &Value, options: &mut Options, report: &mut Report) -> bool {
    match name {
        // Zero in the file means that nobody may connect, unlike the zero of an unset option.
        "max_connections" | "max_conn" => {
            let limit =
                read::integer(value, report).map(|limit| if limit == 0 { -1 } else { limit });
            set(&mut options.max_connections, limit);
        }
        "max_subscriptions" | "max_subs" => {
            set(&mut options.max_subscriptions, read::integer(value, report))
        }
        "max_sub_tokens" | "max_subscription_tokens" => {
            set(&mut options.max_sub_tokens, sub_tokens(value, report));
        }
        "max_control_line" => {
            set(
                &mut options.max_control_line,
                read::size("max_control_line", value, report),
            );
        }
        "max_payload" => set(
            &mut options.max_payload,
            read::size("max_payload", value, report),
        ),
        "max_pending" => set(&mut options.max_pending, read::integer(value, report)),
        "max_closed_clients" => match read::integer(value, report) {
            // nats-server crashes on these.
            Some(count) if count < 0 => {
                report.text(
                    &value.position,
                    "max_closed_clients value can not be negative",
                );
            }
            count => set(&mut options.max_closed_clients, count),
        },
        "connect_error_reports" => set(
            &mut options.connect_error_reports,
            read::integer(value, report),
        ),
        "reconnect_error_reports" => set(
            &mut options.reconnect_error_reports,
            read::integer(value, report),
        ),
        "ping_max" => set(&mut options.ping_max, read::integer(value, report)),
        _ => return false,
    }
    true
}

fn sub_tokens(value: &Value, report: &mut Report) -> Option<u8> {
    let tokens = read::integer(value, report)?;
    if tokens > defaults::MAX_SUB_TOKENS {
        report.text(&value.position, "max_sub_tokens value is too big");
    } else if tokens < 0 {
        report.text(&value.position, "max_sub_tokens value can not be negative");
    }
    u8::try_from(tokens).ok()
}

fn times(name: &str, value: &Value, options: &mut Options, report: &mut Report) -> bool {
    match name {
        "ping_interval" => set(
            &mut options.ping_interval,
            read::duration("ping_interval", value, report),
        ),
        "write_deadline" => set(
            &mut options.write_deadline,
            read::duration("write_deadline", value, report),
        ),
        "write_timeout" => {
            let policy = match read::string(value, report) {
                Some("default") => WriteTimeout::Default,
                Some("close") => WriteTimeout::Close,
                Some("retry") => WriteTimeout::Retry,
                Some(_) => {
                    report.text(
                        &value.position,
                        "write_timeout must be 'default', 'close' or 'retry'",
                    );
                    return true;
                }
                None => return true,
            };
            options.write_timeout = policy;
        }
        "lame_duck_duration" => {
            let Some(text) = read::string(value, report) else {
                return true;
            };
            match parse_duration(text) {
                Err(error) => {
                    report.text(
                        &value.position,
                        format!("error parsing lame_duck_duration: {error}"),
                    );
                }
                Ok(d) if d.negative || d.length < defaults::MIN_LAME_DUCK_DURATION => {
                    let sign = if d.negative { "-" } else { "" };
                    let length = duration_text(d.length);
                    report.text(
                        &value.position,
                        format!(
                            "invalid lame_duck_duration of {sign}{length}, minimum is 30 seconds"
                        ),
                    );
                }
                Ok(d) => options.lame_duck_duration = d.length,
            }
        }
        "lame_duck_grace_period" => {
            let Some(text) = read::string(value, report) else {
                return true;
            };
            match parse_duration(text) {
                Err(error) => {
                    report.text(
                        &value.position,
                        format!("error parsing lame_duck_grace_period: {error}"),
                    );
                }
                Ok(d) if d.negative => {
                    report.text(
                        &value.position,
                        "invalid lame_duck_grace_period, needs to be positive",
                    );
                }
                Ok(d) => options.lame_duck_grace_period = d.length,
            }
        }
        _ => return false,
    }
    true
}

fn identity(name: &str, value: &Value, options: &mut Options, report: &mut Report) -> bool {
    match name {
        "server_name" => {
            if let Some(name) = read::string(value, report) {
                if name.contains(' ') {
                    report.text(&value.position, "server name cannot contain spaces");
                } else {
                    options.server_name = name.to_owned();
                }
            }
        }
        "server_tags" => set(&mut options.server_tags, tags(value, report)),
        "server_metadata" => set(&mut options.server_metadata, metadata(value, report)),
        "feature_flags" => set(&mut options.feature_flags, feature_flags(value, report)),
        "authorization" => {
            read_authorization::authorization(value, &mut options.authorization, report)
        }
        "no_auth_user" => set_text(&mut options.authorization.no_auth_user, value, report),
        "ringwire" => extensions::block(value, options, report),
        _ => return false,
    }
    true
}

/// A list or one string. Tags are trimmed, in lower case and without repetition.
fn tags(value: &Value, report: &mut Report) -> Option<Vec<String>> {
    let list: Vec<&str> = match &value.kind {
        Kind::String(text) => vec![text],
        Kind::Array(values) => {
            let texts: Option<Vec<&str>> = values
                .iter()
                .map(|value| match &value.kind {
                    Kind::String(text) => Some(text.as_str()),
                    _ => None,
                })
                .collect();
            let Some(texts) = texts else {
                let text =
                    "error parsing tags: unsupported type *conf.token where string is expected";
                report.text(&value.position, text);
                return None;
            };
            texts
        }
        other => {
            let found = other.type_name();
            report.text(
                &value.position,
                format!("error parsing tags: unsupported type {found}"),
            );
            return None;
        }
    };
    let mut tags: Vec<String> = Vec::new();
    for tag in list {
        let tag = tag.trim().to_lowercase();
        if !tag.is_empty() && !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    Some(tags)
}

fn metadata(value: &Value, report: &mut Report) -> Option<BTreeMap<String, String>> {
    let Kind::Map(map) = &value.kind else {
        let found = value.kind.type_name();
        report.text(
            &value.position,
            format!("error parsing metadata: unsupported type {found}"),
        );
        return None;
    };
    let mut metadata = BTreeMap::new();
    for (key, value) in map.iter() {
        metadata.insert(key.to_owned(), read::string(value, report)?.to_owned());
    }
    Some(metadata)
}

fn feature_flags(value: &Value, report: &mut Report) -> Option<BTreeMap<String, bool>> {
    let Kind::Map(map) = &value.kind else {
        let found = value.kind.type_name();
        report.text(
            &value.position,
            format!("error parsing feature flags: unsupported type {found}"),
        );
        return None;
    };
    let mut flags = BTreeMap::new();
    for (key, value) in map.iter() {
        let Kind::Bool(on) = value.kind else {
            let found = value.kind.type_name();
            let flag = quoted(key);
            report.text(
                &value.position,
                format!("error parsing feature flag {flag}: expected bool, got {found}"),
            );
            return None;
        };
        flags.insert(key.to_owned(), on);
    }
    Some(flags)
}

fn switches(name: &str, value: &Value, options: &mut Options, report: &mut Report) -> bool {
    let target = match name {
        "no_fast_producer_stall" => &mut options.no_fast_producer_stall,
        "no_header_support" => &mut options.no_header_support,
        "disable_sublist_cache" | "no_sublist_cache" => &mut options.disable_sublist_cache,
        "no_system_account" | "no_system" | "no_sys_acc" => &mut options.no_system_account,
        _ => return false,
    };
    set(target, read::boolean(value, report));
    true
}
