//! The `authorization` block of the configuration file.

use std::collections::HashSet;
use std::time::Duration;

use super::authorization::{
    AuthorizationConfig, PermissionsConfig, ResponseRule, SubjectRules, UserConfig,
};
use super::diagnostics::{Problem, Report};
use super::text::{parse_duration, quoted};
use super::value::{Kind, Position, Value};
use super::{defaults, read};

/// The kinds of connection that a user can be bound to.
const CONNECTION_TYPES: [&str; 7] = [
    "STANDARD",
    "WEBSOCKET",
    "LEAFNODE",
    "LEAFNODE_WS",
    "MQTT",
    "MQTT_WS",
    "IN_PROCESS",
];

/// Reads the block into `config`; `no_auth_user` stands elsewhere and stays as it is.
pub(super) fn authorization(value: &Value, config: &mut AuthorizationConfig, report: &mut Report) {
    let Some(block) = read::map(value, report) else {
        return;
    };
    let mut users: Option<Vec<UserConfig>> = None;
    for (key, value) in block.iter() {
        match key.to_lowercase().as_str() {
            "user" | "username" => set(&mut config.user, read::string(value, report)),
            "pass" | "password" => set(&mut config.password, read::string(value, report)),
            "token" => set(&mut config.token, read::string(value, report)),
            "timeout" => {
                if let Some(timeout) = timeout(value, report) {
                    config.timeout = timeout;
                }
            }
            "users" => users = read_users(value, report),
            "default_permission" | "default_permissions" | "permissions" => {
                config.default_permissions = permissions(value, report);
            }
            "auth_callout" | "auth_hook" => {
                report.error(&value.position, Problem::NotBuilt(key.to_owned()));
            }
            "proxy_required" => refuse_if_true(key, value, report),
            _ if value.used_as_variable.get() => {}
            _ => report.error(&value.position, Problem::UnknownField(key.to_owned())),
        }
    }
    check_together(value, config, users.as_deref(), report);
    config.users = users.unwrap_or_default();
    if let Some(default) = &config.default_permissions {
        for user in config
            .users
            .iter_mut()
            .filter(|user| user.permissions.is_none())
        {
            user.permissions = Some(default.clone());
        }
    }
}

fn set(target: &mut String, text: Option<&str>) {
    if let Some(text) = text {
        *target = text.to_owned();
    }
}

fn check_together(
    block: &Value,
    config: &AuthorizationConfig,
    users: Option<&[UserConfig]>,
    report: &mut Report,
) {
    let position = &block.position;
    let single_user = !config.user.is_empty() || !config.password.is_empty();
    let token = !config.token.is_empty();
    if single_user && token {
        report.text(position, "Cannot have a user/pass and token");
    }
    let Some(users) = users else { return };
    if single_user {
        report.text(
            position,
            "Can not have a single user/pass and a users array",
        );
    }
    if token {
        report.text(position, "Can not have a token and a users array");
    }
    let mut seen = HashSet::new();
    let twice = users
        .iter()
        .find(|user| !seen.insert((user.user.as_str(), user.nkey.as_str())));
    if let Some(twice) = twice {
        let (what, name) = if twice.nkey.is_empty() {
            ("user", &twice.user)
        } else {
            ("nkey", &twice.nkey)
        };
        report.text(
            position,
            format!("Duplicate {what} {} detected", quoted(name)),
        );
    }
}

/// Seconds as a number, or a duration string.
pub(super) fn timeout(value: &Value, report: &mut Report) -> Option<Duration> {
    let seconds = match &value.kind {
        Kind::Integer(seconds) => *seconds as f64,
        Kind::Float(seconds) => *seconds,
        Kind::String(text) => match parse_duration(text) {
            Ok(duration) if !duration.negative => return Some(duration.length),
            Ok(_) => -1.0,
            Err(error) => {
                report.text(
                    &value.position,
                    format!("error parsing authorization config, 'timeout' {error}"),
                );
                return None;
            }
        },
        _ => {
            report.text(
                &value.position,
                "error parsing authorization config, 'timeout' wrong type",
            );
            return None;
        }
    };
    match Duration::try_from_secs_f64(seconds) {
        Ok(timeout) => Some(timeout),
        Err(_) => {
            report.text(
                &value.position,
                "error parsing authorization config, 'timeout' is out of range",
            );
            None
        }
    }
}

pub(super) fn read_users(value: &Value, report: &mut Report) -> Option<Vec<UserConfig>> {
    let Kind::Array(entries) = &value.kind else {
        let found = plain(value);
        report.text(
            &value.position,
            format!("Expected users field to be an array, got {found}"),
        );
        return None;
    };
    Some(
        entries
            .iter()
            .filter_map(|entry| read_user(entry, report))
            .collect(),
    )
}

fn read_user(entry: &Value, report: &mut Report) -> Option<UserConfig> {
    let Kind::Map(map) = &entry.kind else {
        let found = plain(entry);
        report.text(
            &entry.position,
            format!("Expected user entry to be a map/struct, got {found}"),
        );
        return None;
    };
    let mut user = UserConfig {
        user: String::new(),
        nkey: String::new(),
        password: String::new(),
        account: String::new(),
        permissions: None,
        connection_types: Vec::new(),
    };
    let mut last = &entry.position;
    for (key, value) in map.iter() {
        last = &value.position;
        match key.to_lowercase().as_str() {
            "user" | "username" => set(&mut user.user, read::string(value, report)),
            "pass" | "password" => set(&mut user.password, read::string(value, report)),
            "nkey" => set(&mut user.nkey, read::string(value, report)),
            "permission" | "permissions" | "authorization" => {
                user.permissions = permissions(value, report)
            }
            "allowed_connection_types" | "connection_types" | "clients" => {
                user.connection_types = connection_types(value, report);
            }
            "proxy_required" => refuse_if_true(key, value, report),
            _ if value.used_as_variable.get() => {}
            _ => report.error(&value.position, Problem::UnknownField(key.to_owned())),
        }
    }
    if !user.nkey.is_empty() {
        if !is_user_nkey(&user.nkey) {
            report.text(last, "Not a valid public nkey for a user");
            return None;
        }
        if !user.user.is_empty() || !user.password.is_empty() {
            report.text(last, "Nkey users do not take usernames or passwords");
            return None;
        }
    } else if user.user.is_empty() {
        report.text(last, "User entry requires a user");
        return None;
    }
    Some(user)
}

/// Whether this is a public nkey of a user.
fn is_user_nkey(text: &str) -> bool {
    text.starts_with('U') && nkeys::KeyPair::from_public_key(text).is_ok()
}

fn refuse_if_true(key: &str, value: &Value, report: &mut Report) {
    if read::boolean(value, report) == Some(true) {
        report.error(&value.position, Problem::NotBuilt(key.to_owned()));
    }
}

fn connection_types(value: &Value, report: &mut Report) -> Vec<String> {
    let names = match &value.kind {
        Kind::String(name) => vec![name.to_uppercase()],
        Kind::Array(values) => values
            .iter()
            .filter_map(|value| read::string(value, report))
            .map(str::to_uppercase)
            .collect(),
        _ => {
            report.text(
                &value.position,
                "error parsing allowed connection types: unsupported type",
            );
            return Vec::new();
        }
    };
    let (known, unknown): (Vec<String>, Vec<String>) = names
        .into_iter()
        .partition(|name| CONNECTION_TYPES.contains(&name.as_str()));
    if !unknown.is_empty() {
        let list: Vec<String> = unknown.iter().map(|name| quoted(name)).collect();
        report.text(
            &value.position,
            format!("invalid connection types [{}]", list.join(" ")),
        );
    }
    known
}

pub(super) fn permissions(value: &Value, report: &mut Report) -> Option<PermissionsConfig> {
    let Kind::Map(map) = &value.kind else {
        let found = plain(value);
        report.text(
            &value.position,
            format!("Expected permissions to be a map/struct, got {found}"),
        );
        return None;
    };
    let mut permissions = PermissionsConfig::default();
    for (key, value) in map.iter() {
        match key.to_lowercase().as_str() {
            // `import` and `export` are the names that links between servers use for the same.
            "pub" | "publish" | "import" => {
                permissions.publish = subject_rules(value, Entries::Subjects, report);
            }
            "sub" | "subscribe" | "export" => {
                permissions.subscribe = subject_rules(value, Entries::SubjectsAndQueues, report);
            }
            "publish_allow_responses" | "allow_responses" => {
                permissions.allow_responses = response_rule(value, report);
            }
            _ if value.used_as_variable.get() => {}
            _ => report.text(
                &value.position,
                format!("Unknown field {} parsing permissions", quoted(key)),
            ),
        }
    }
    if permissions.allow_responses.is_some() {
        let publish = permissions
            .publish
            .get_or_insert_with(SubjectRules::default);
        publish.allow.get_or_insert_with(Vec::new);
    }
    Some(permissions)
}

/// What the entries of a list of permissions may be.
#[derive(Clone, Copy)]
enum Entries {
    Subjects,
    SubjectsAndQueues,
}

fn subject_rules(value: &Value, entries: Entries, report: &mut Report) -> Option<SubjectRules> {
    let Kind::Map(map) = &value.kind else {
        // The oracle's message about a list of the wrong type has no position here.
        let allow = subjects(value, None, entries, report)?;
        return Some(SubjectRules {
            allow,
            deny: Vec::new(),
        });
    };
    let mut rules = SubjectRules::default();
    for (key, value) in map.iter() {
        match key.to_lowercase().as_str() {
            "allow" => rules.allow = subjects(value, Some(&value.position), entries, report).flatten(),
            "deny" => {
                let list = subjects(value, Some(&value.position), entries, report).flatten();
                rules.deny = list.unwrap_or_default();
            }
            _ if value.used_as_variable.get() => {}
            _ => report.text(
                &value.position,
                format!(
                    "Unknown field name {} parsing subject permissions, only 'allow' or 'deny' are permitted",
                    quoted(key)
                ),
            ),
        }
    }
    Some(rules)
}

/// One subject or a list; an empty list is as good as none.
fn subjects(
    value: &Value,
    position: Option<&Position>,
    entries: Entries,
    report: &mut Report,
) -> Option<Option<Vec<String>>> {
    let list: Vec<String> = match &value.kind {
        Kind::String(subject) => vec![subject.clone()],
        Kind::Array(values) => {
            let mut list = Vec::with_capacity(values.len());
            for value in values {
                match &value.kind {
                    Kind::String(subject) => list.push(subject.clone()),
                    _ => {
                        report.text(
                            &value.position,
                            "Subject in permissions array cannot be cast to string",
                        );
                        return None;
                    }
                }
            }
            list
        }
        other => {
            let text = format!(
                "Expected subject permissions to be a subject, or array of subjects, got {}",
                other.type_name()
            );
            match position {
                Some(position) => report.text(position, text),
                None => report.placeless(text),
            }
            return None;
        }
    };
    for entry in &list {
        if let Err(message) = check_entry(entry, entries) {
            report.placeless(message);
            return None;
        }
    }
    Some(if list.is_empty() { None } else { Some(list) })
}

fn check_entry(entry: &str, entries: Entries) -> Result<(), String> {
    let bad_subject = |subject: &str| format!("subject {} is not a valid subject", quoted(subject));
    if let Entries::SubjectsAndQueues = entries {
        let parts: Vec<&str> = entry.split_whitespace().collect();
        if let [subject, queue] = parts[..] {
            if !is_valid_subject(subject) {
                return Err(bad_subject(subject));
            }
            if !is_valid_subject(queue) {
                return Err(format!("queue {} is not a valid queue", quoted(queue)));
            }
            return Ok(());
        }
    }
    if is_valid_subject(entry) {
        Ok(())
    } else {
        Err(bad_subject(entry))
    }
}

/// Tokens are not empty and hold no blanks; `>` as a token is the last one.
fn is_valid_subject(subject: &str) -> bool {
    let mut tokens = subject.split('.').peekable();
    while let Some(token) = tokens.next() {
        let blank = token.contains([' ', '\t', '\n', '\r', '\x0c']);
        if token.is_empty() || blank || (token == ">" && tokens.peek().is_some()) {
            return false;
        }
    }
    true
}

fn response_rule(value: &Value, report: &mut Report) -> Option<ResponseRule> {
    let map = match &value.kind {
        Kind::Bool(true) => return Some(ResponseRule::default()),
        Kind::Bool(false) => return None,
        Kind::Map(map) => map,
        _ => {
            report.text(
                &value.position,
                "error parsing response permissions, expected a boolean or a map",
            );
            return None;
        }
    };
    let mut rule = ResponseRule::default();
    for (key, value) in map.iter() {
        match key.to_lowercase().as_str() {
            "max" | "max_msgs" | "max_messages" | "max_responses" => {
                match read::integer(value, report)? {
                    0 => rule.max = defaults::ALLOW_RESPONSES_MAX,
                    max => rule.max = max,
                }
            }
            "expires" | "expiration" | "ttl" => rule.expires = expires(value, report)?,
            _ if value.used_as_variable.get() => {}
            _ => report.text(
                &value.position,
                format!("Unknown field {} parsing permissions", quoted(key)),
            ),
        }
    }
    Some(rule)
}

/// Zero means the default; a negative one never expires in nats-server, here the longest time.
fn expires(value: &Value, report: &mut Report) -> Option<Duration> {
    let Kind::String(text) = &value.kind else {
        report.text(
            &value.position,
            "error parsing expires, not a duration string",
        );
        return None;
    };
    match parse_duration(text) {
        Ok(duration) if duration.negative => Some(Duration::MAX),
        Ok(duration) if duration.length.is_zero() => Some(defaults::ALLOW_RESPONSES_EXPIRES),
        Ok(duration) => Some(duration.length),
        Err(error) => {
            report.text(&value.position, format!("error parsing expires: {error}"));
            None
        }
    }
}

/// A value as messages show it; of arrays and maps only the type.
pub(super) fn plain(value: &Value) -> String {
    match &value.kind {
        Kind::String(text) | Kind::DateTime(text) => text.clone(),
        Kind::Integer(number) => number.to_string(),
        Kind::Float(number) => number.to_string(),
        Kind::Bool(on) => on.to_string(),
        other => other.type_name().to_owned(),
    }
}
