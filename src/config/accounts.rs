//! The blocks `accounts` and `mappings`, and `system_account`.

use std::collections::HashSet;

use super::account_links::{exports, imports, mappings};
use super::authorization::{AuthorizationConfig, PermissionsConfig, UserConfig};
use super::diagnostics::{Problem, Report};
use super::options::Options;
use super::text::quoted;
use super::value::{Kind, Map, Value};
use super::{read, read_authorization};
use crate::broker::accounts::{
    AccountLimits, AccountRules, AccountTable, JetStreamLimits, JetStreamRules,
};

/// Name of the account of everybody who is configured in none.
const GLOBAL_ACCOUNT: &str = "$G";

/// Length of a public nkey of an account in base32.
const NKEY_LEN: usize = 56;

/// Keys of an account that are refused by name, not accepted and ignored.
const UNBUILT: &[&str] = &["msg_trace", "trace_dest"];

/// Handles a top-level key of accounts that needs nothing else of the file; false if it is none
/// of these.
pub(super) fn top_level(
    name: &str,
    value: &Value,
    options: &mut Options,
    report: &mut Report,
) -> bool {
    match name {
        "system_account" | "system" => match &value.kind {
            Kind::String(name) => options.system_account = name.clone(),
            _ => report.text(&value.position, "system account name must be a string"),
        },
        "mappings" | "maps" => {
            options.global_mappings = mappings(value, report);
        }
        // Read when everything else is: users are compared with those of `authorization`.
        "accounts" => {}
        _ => return false,
    }
    true
}

/// Reads the accounts of a file whose other keys are read.
pub(super) fn read_accounts(map: &Map, options: &mut Options, report: &mut Report) {
    for (key, value) in map.iter() {
        if key.to_lowercase() == "accounts" {
            accounts(value, options, report);
        }
    }
}

fn accounts(value: &Value, options: &mut Options, report: &mut Report) {
    let errors = report.errors.len();
    match &value.kind {
        // Names alone.
        Kind::Array(names) => {
            let mut seen = HashSet::new();
            for name in names {
                let Some(text) = read::string(name, report) else {
                    continue;
                };
                if text == GLOBAL_ACCOUNT {
                    reserved(text, value, report);
                } else if seen.insert(text.to_owned()) {
                    options.accounts.push(AccountRules::named(text));
                } else {
                    report.text(&name.position, format!("Duplicate Account Entry: {text}"));
                }
            }
        }
        Kind::Map(map) => {
            for (name, value) in map.iter() {
                account(name, value, options, report);
            }
        }
        // nats-server takes anything else for nothing.
        _ => {}
    }
    if report.errors.len() == errors {
        let table = AccountTable::compile(options.account_rules(), options.named_system_account());
        if let Err(error) = table {
            report.text(&value.position, error.to_string());
        }
    }
}

fn reserved(name: &str, value: &Value, report: &mut Report) {
    report.text(
        &value.position,
        format!("{} is a Reserved Account", quoted(name)),
    );
}

fn account(name: &str, value: &Value, options: &mut Options, report: &mut Report) {
    let Kind::Map(map) = &value.kind else {
        report.text(&value.position, "Expected map entries for accounts");
        return;
    };
    if name == GLOBAL_ACCOUNT {
        reserved(name, value, report);
        return;
    }
    let mut rules = AccountRules::named(name);
    let mut users = None;
    let mut default_permissions = None;
    for (key, value) in map.iter() {
        if UNBUILT.contains(&key.to_lowercase().as_str()) {
            report.error(
                &value.position,
                Problem::NotBuilt(format!("accounts.{key}")),
            );
            continue;
        }
        match key.to_lowercase().as_str() {
            "nkey" => {
                if let Some(key) = read::string(value, report) {
                    if is_account_nkey(key) {
                        rules.nkey = key.to_owned();
                    } else {
                        let key = quoted(key);
                        report.text(
                            &value.position,
                            format!("Not a valid public nkey for an account: {key}"),
                        );
                    }
                }
            }
            "users" => users = Some((value, read_account_users(value, report))),
            "exports" => exports(value, &mut rules, report),
            "imports" => imports(value, &mut rules, report),
            "mappings" | "maps" => rules.mappings = mappings(value, report),
            "limits" => limits(value, &mut rules.limits, report),
            "default_permissions" => {
                default_permissions = read_authorization::permissions(value, report);
            }
            "jetstream" => rules.jetstream = jetstream(value, report),
            _ if value.used_as_variable.get() => {}
            _ => report.error(&value.position, Problem::UnknownField(key.to_owned())),
        }
    }
    if let Some((value, users)) = users {
        add_users(
            value,
            name,
            users,
            default_permissions,
            &mut options.authorization,
            report,
        );
    }
    options.accounts.push(rules);
}

fn read_account_users(value: &Value, report: &mut Report) -> Vec<UserConfig> {
    if let Kind::Array(_) = value.kind {
        read_authorization::read_users(value, report).unwrap_or_default()
    } else {
        let found = read_authorization::plain(value);
        report.placeless(format!("Expected users field to be an array, got {found}"));
        Vec::new()
    }
}

/// Puts the users of an account beside those of `authorization`.
fn add_users(
    value: &Value,
    account: &str,
    users: Vec<UserConfig>,
    default_permissions: Option<PermissionsConfig>,
    authorization: &mut AuthorizationConfig,
    report: &mut Report,
) {
    if !users.is_empty() {
        if !authorization.token.is_empty() {
            report.text(&value.position, "Can not have a token and accounts");
        }
        if !authorization.user.is_empty() || !authorization.password.is_empty() {
            report.text(
                &value.position,
                "Can not have a single user/pass and accounts",
            );
        }
    }
    let mut seen: HashSet<String> = authorization.users.iter().map(|u| u.user.clone()).collect();
    for mut user in users {
        if !user.user.is_empty() && !seen.insert(user.user.clone()) {
            let name = quoted(&user.user);
            report.text(&value.position, format!("Duplicate user {name} detected"));
            return;
        }
        account.clone_into(&mut user.account);
        if user.permissions.is_none() {
            user.permissions.clone_from(&default_permissions);
        }
        authorization.users.push(user);
    }
}

/// Whether the text has the form of a public nkey of an account. (Its checksum is of no use
/// here: the key only names the account.)
fn is_account_nkey(text: &str) -> bool {
    let base32 = |byte: u8| byte.is_ascii_uppercase() || (b'2'..=b'7').contains(&byte);
    text.len() == NKEY_LEN && text.starts_with('A') && text.bytes().all(base32)
}

fn limits(value: &Value, limits: &mut AccountLimits, report: &mut Report) {
    let Kind::Map(map) = &value.kind else {
        let found = read_authorization::plain(value);
        report.text(
            &value.position,
            format!("Expected account limits to be a map/struct, got {found}"),
        );
        return;
    };
    for (key, value) in map.iter() {
        let target = match key.to_lowercase().as_str() {
            "max_connections" | "max_conn" => &mut limits.max_connections,
            "max_subscriptions" | "max_subs" => &mut limits.max_subscriptions,
            "max_payload" | "max_pay" => &mut limits.max_payload,
            "max_leafnodes" | "max_leafs" => &mut limits.max_leaf_nodes,
            _ if value.used_as_variable.get() => continue,
            _ => {
                let key = quoted(key);
                report.text(
                    &value.position,
                    format!("Unknown field {key} parsing account limits"),
                );
                continue;
            }
        };
        if let Some(limit) = read::integer(value, report) {
            *target = u64::try_from(limit).ok();
        }
    }
}

fn jetstream(value: &Value, report: &mut Report) -> JetStreamRules {
    match &value.kind {
        Kind::Bool(true) => JetStreamRules::Enabled(JetStreamLimits::default()),
        Kind::Bool(false) => JetStreamRules::Disabled,
        Kind::String(text) => match text.to_lowercase().as_str() {
            "enabled" | "enable" => JetStreamRules::Enabled(JetStreamLimits::default()),
            "disabled" | "disable" => JetStreamRules::Disabled,
            _ => {
                report.placeless(format!(
                    "Expected 'enabled' or 'disabled' for string value, got '{text}'"
                ));
                JetStreamRules::Unset
            }
        },
        Kind::Map(map) => JetStreamRules::Enabled(jetstream_limits(map, report)),
        other => {
            let found = other.type_name();
            report.placeless(format!(
                "Expected map, bool or string to define JetStream, got {found}"
            ));
            JetStreamRules::Unset
        }
    }
}

fn jetstream_limits(map: &Map, report: &mut Report) -> JetStreamLimits {
    let mut limits = JetStreamLimits::default();
    for (key, value) in map.iter() {
        let name = key.to_lowercase();
        let target = match name.as_str() {
            "max_memory" | "max_mem" | "mem" | "memory" => &mut limits.max_memory,
            "max_store" | "max_file" | "max_disk" | "store" | "disk" => &mut limits.max_storage,
            "max_streams" | "streams" => &mut limits.max_streams,
            "max_consumers" | "consumers" => &mut limits.max_consumers,
            "max_ack_pending" => &mut limits.max_ack_pending,
            "mem_max_stream_bytes" | "memory_max_stream_bytes" => {
                &mut limits.memory_max_stream_bytes
            }
            "disk_max_stream_bytes" | "store_max_stream_bytes" => {
                &mut limits.storage_max_stream_bytes
            }
            "max_bytes_required" | "max_stream_bytes" | "max_bytes" => {
                match value.kind {
                    Kind::Bool(on) => limits.max_bytes_required = on,
                    _ => {
                        let found = read_authorization::plain(value);
                        report.text(
                            &value.position,
                            format!("Expected a parseable bool for {key:?}, got {found}"),
                        );
                    }
                }
                continue;
            }
            // Of clusters.
            "cluster_traffic" => {
                cluster_traffic(key, value, report);
                continue;
            }
            _ if value.used_as_variable.get() => continue,
            _ => {
                report.error(&value.position, Problem::UnknownField(key.to_owned()));
                continue;
            }
        };
        match super::jetstream::size_of(value) {
            Some(number) => *target = number,
            None => {
                let found = read_authorization::plain(value);
                report.text(
                    &value.position,
                    format!("Expected a parseable size for {key:?}, got {found}"),
                );
            }
        }
    }
    limits
}

fn cluster_traffic(key: &str, value: &Value, report: &mut Report) {
    match &value.kind {
        Kind::String(text) if text == "system" || text == "owner" => {}
        Kind::String(text) => report.text(
            &value.position,
            format!("Expected 'system' or 'owner' string value for {key:?}, got {text}"),
        ),
        _ => {
            let found = read_authorization::plain(value);
            report.text(
                &value.position,
                format!(
                    "Expected either 'system' or 'owner' string value for {key:?}, got {found}"
                ),
            );
        }
    }
}
