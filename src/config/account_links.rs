//! What an account exports, imports and maps.

use super::diagnostics::{Problem, Report};
use super::text::{parse_duration, quoted};
use super::value::{Kind, Map, Value};
use super::{read, read_authorization};
use crate::broker::accounts::{
    Access, AccountRules, LatencyRule, MappingDestination, MappingRule, ResponseKind, Sampling,
    ServiceExport, ServiceImport, StreamExport, StreamImport, check_mapping,
};
use crate::subject;

/// The share of requests that are measured where a latency names none, in percent.
const DEFAULT_SAMPLING: u8 = 100;

/// Reads a list of maps, one after the other.
fn entries(
    value: &Value,
    what: &str,
    report: &mut Report,
    mut read: impl FnMut(&Map, &mut Report),
) {
    let Kind::Array(list) = &value.kind else {
        let found = value.kind.type_name();
        report.text(
            &value.position,
            format!("{what}s should be an array, got {found}"),
        );
        return;
    };
    for entry in list {
        match &entry.kind {
            Kind::Map(map) => read(map, report),
            other => {
                let found = other.type_name();
                report.text(
                    &entry.position,
                    format!("{what} Items should be a map with type entry, got {found}"),
                );
            }
        }
    }
}

pub(super) fn exports(value: &Value, rules: &mut AccountRules, report: &mut Report) {
    entries(value, "Export", report, |map, report| {
        export(map, rules, report)
    });
}

/// An export before it is known of which kind it is.
#[derive(Default)]
struct Export {
    stream: Option<String>,
    service: Option<String>,
    accounts: Vec<String>,
    response: Option<ResponseKind>,
    threshold: Option<std::time::Duration>,
    latency: Option<LatencyRule>,
    account_token_position: usize,
    allow_trace: bool,
}

fn export(map: &Map, rules: &mut AccountRules, report: &mut Report) {
    let mut export = Export::default();
    for (key, value) in map.iter() {
        let of_service = |export: &Export, what: &str, report: &mut Report| {
            if export.stream.is_some() {
                report.text(
                    &value.position,
                    format!("Detected {what} directive on non-service"),
                );
            }
            export.stream.is_none()
        };
        match key.to_lowercase().as_str() {
            kind @ ("stream" | "service") => export_subject(kind, value, &mut export, report),
            "accounts" => {
                if let Kind::Array(names) = &value.kind {
                    export.accounts = names
                        .iter()
                        .filter_map(|name| read::string(name, report))
                        .map(str::to_owned)
                        .collect();
                } else {
                    report.wrong_type(&value.position, &value.kind, "[]interface {}");
                }
            }
            "response" | "response_type" => {
                if of_service(&export, "response", report) {
                    export.response = response(value, report);
                }
            }
            "threshold" | "response_threshold" | "response_max_time" | "response_time" => {
                if of_service(&export, "response", report) {
                    export.threshold = threshold(value, report);
                }
            }
            "latency" => {
                if of_service(&export, "latency", report) {
                    export.latency = latency(value, report);
                    if export.latency.is_some() {
                        report.error(
                            &value.position,
                            Problem::NotBuilt("accounts.exports.latency".to_owned()),
                        );
                    }
                }
            }
            "account_token_position" => {
                if let Some(at) = read::integer(value, report) {
                    export.account_token_position = usize::try_from(at).unwrap_or(0);
                }
            }
            "allow_trace" => {
                if of_service(&export, "allow_trace", report) {
                    export.allow_trace = read::boolean(value, report).unwrap_or(false);
                }
            }
            _ if value.used_as_variable.get() => {}
            _ => report.error(&value.position, Problem::UnknownField(key.to_owned())),
        }
    }
    let access = if export.accounts.is_empty() {
        Access::Public
    } else {
        Access::Accounts(export.accounts)
    };
    if let Some(subject) = export.stream {
        rules.stream_exports.push(StreamExport {
            subject,
            access,
            account_token_position: export.account_token_position,
        });
    } else if let Some(subject) = export.service {
        rules.service_exports.push(ServiceExport {
            subject,
            access,
            response: export.response.unwrap_or_default(),
            threshold: export.threshold,
            latency: export.latency,
            account_token_position: export.account_token_position,
            allow_trace: export.allow_trace,
        });
    }
}

fn export_subject(kind: &str, value: &Value, export: &mut Export, report: &mut Report) {
    let Kind::String(subject) = &value.kind else {
        let found = value.kind.type_name();
        report.text(
            &value.position,
            format!("Expected {kind} name to be string, got {found}"),
        );
        return;
    };
    let (own, other, other_name) = if kind == "stream" {
        (&mut export.stream, &export.service, "service")
    } else {
        (&mut export.service, &export.stream, "stream")
    };
    if other.is_some() {
        let subject = quoted(subject);
        report.text(
            &value.position,
            format!("Detected {kind} {subject} but already saw a {other_name}"),
        );
        return;
    }
    *own = Some(subject.clone());
    if kind == "stream" {
        let what = if export.response.is_some() || export.threshold.is_some() {
            "response"
        } else if export.latency.is_some() {
            "latency"
        } else if export.allow_trace {
            "allow_trace"
        } else {
            return;
        };
        report.text(
            &value.position,
            format!("Detected {what} directive on non-service"),
        );
    }
}

fn response(value: &Value, report: &mut Report) -> Option<ResponseKind> {
    let Kind::String(text) = &value.kind else {
        let found = value.kind.type_name();
        report.text(
            &value.position,
            format!("Expected response type to be string, got {found}"),
        );
        return None;
    };
    match text.to_lowercase().as_str() {
        "single" | "singleton" => Some(ResponseKind::Singleton),
        "stream" => Some(ResponseKind::Streamed),
        "chunk" | "chunked" => Some(ResponseKind::Chunked),
        _ => {
            let text = quoted(text);
            report.text(&value.position, format!("Unknown response type: {text}"));
            None
        }
    }
}

/// A negative time is none, as nats-server takes it.
fn threshold(value: &Value, report: &mut Report) -> Option<std::time::Duration> {
    let text = "Expected response threshold to be a parseable time duration, got ";
    let Kind::String(given) = &value.kind else {
        let found = value.kind.type_name();
        report.text(&value.position, format!("{text}{found}"));
        return None;
    };
    match parse_duration(given) {
        Ok(duration) if duration.negative || duration.length.is_zero() => None,
        Ok(duration) => Some(duration.length),
        Err(_) => {
            let given = quoted(given);
            report.text(&value.position, format!("{text}{given}"));
            None
        }
    }
}

fn latency(value: &Value, report: &mut Report) -> Option<LatencyRule> {
    let map = match &value.kind {
        Kind::String(subject) => {
            return Some(LatencyRule {
                sampling: Sampling::Percent(DEFAULT_SAMPLING),
                subject: subject.clone(),
            });
        }
        Kind::Map(map) => map,
        other => {
            let found = other.type_name();
            report.text(
                &value.position,
                format!("Expected latency entry to be a map/struct or string, got {found}"),
            );
            return None;
        }
    };
    let mut rule = LatencyRule {
        sampling: Sampling::Percent(DEFAULT_SAMPLING),
        subject: String::new(),
    };
    for (key, value) in map.iter() {
        match key.to_lowercase().as_str() {
            "sampling" => {
                if let Some(sampling) = sampling(value, report) {
                    rule.sampling = sampling;
                }
            }
            "subject" => {
                if let Some(subject) = read::string(value, report) {
                    subject.clone_into(&mut rule.subject);
                }
            }
            _ => {}
        }
    }
    if rule.subject.is_empty() {
        report.text(&value.position, "Latency subject required, but missing");
        return None;
    }
    Some(rule)
}

fn sampling(value: &Value, report: &mut Report) -> Option<Sampling> {
    let percent = match &value.kind {
        Kind::Integer(percent) => *percent,
        Kind::String(text) if text.trim().eq_ignore_ascii_case("headers") => {
            return Some(Sampling::Headers);
        }
        Kind::String(text) => {
            let digits = text.strip_suffix('%').unwrap_or(text);
            match digits.parse::<i64>() {
                Ok(percent) => percent,
                Err(_) => {
                    let digits = quoted(digits);
                    report.text(
                        &value.position,
                        format!(
                            "Failed to parse latency sample: strconv.Atoi: parsing {digits}: \
                             invalid syntax"
                        ),
                    );
                    return None;
                }
            }
        }
        other => {
            let found = other.type_name();
            report.text(
                &value.position,
                format!("Expected latency sample to be a string or number, got {found}"),
            );
            return None;
        }
    };
    match u8::try_from(percent) {
        Ok(percent @ 1..=100) => Some(Sampling::Percent(percent)),
        _ => {
            report.text(&value.position, "bad sampling percentage, should be 1-100");
            None
        }
    }
}

pub(super) fn imports(value: &Value, rules: &mut AccountRules, report: &mut Report) {
    entries(value, "Import", report, |map, report| {
        import(map, rules, report)
    });
}

#[derive(Default)]
struct Import {
    stream: Option<(String, String)>,
    service: Option<(String, String)>,
    to: String,
    prefix: String,
    share: bool,
    allow_trace: bool,
}

fn import(map: &Map, rules: &mut AccountRules, report: &mut Report) {
    let mut import = Import::default();
    let mut last = None;
    for (key, value) in map.iter() {
        last = Some(&value.position);
        match key.to_lowercase().as_str() {
            kind @ ("stream" | "service") => import_source(kind, value, &mut import, report),
            "prefix" => {
                if let Some(prefix) = read::string(value, report) {
                    prefix.clone_into(&mut import.prefix);
                }
            }
            "to" => {
                if let Some(to) = read::string(value, report) {
                    to.clone_into(&mut import.to);
                }
            }
            "share" => import.share = read::boolean(value, report).unwrap_or(false),
            "allow_trace" => {
                if import.service.is_some() {
                    report.text(
                        &value.position,
                        "Detected allow_trace directive on a non-stream",
                    );
                } else {
                    import.allow_trace = read::boolean(value, report).unwrap_or(false);
                }
            }
            _ if value.used_as_variable.get() => {}
            _ => report.error(&value.position, Problem::UnknownField(key.to_owned())),
        }
    }
    if import.stream.is_some()
        && !import.to.is_empty()
        && !import.prefix.is_empty()
        && let Some(position) = last
    {
        report.text(
            position,
            "Stream import can not have a 'prefix' and a 'to' property",
        );
        return;
    }
    if let Some((account, subject)) = import.stream {
        rules.stream_imports.push(StreamImport {
            account,
            subject,
            to: import.to,
            prefix: import.prefix,
            activated: false,
            allow_trace: import.allow_trace,
        });
    } else if let Some((account, subject)) = import.service {
        let local = |import: &ServiceImport| {
            if import.to.is_empty() {
                import.subject.clone()
            } else {
                import.to.clone()
            }
        };
        let import = ServiceImport {
            account,
            subject,
            to: import.to,
            share: import.share,
            activated: false,
        };
        let here = local(&import);
        let earlier = rules.service_imports.iter().find(|e| local(e) == here);
        if let (Some(earlier), Some(position)) = (earlier, last) {
            report.text(
                position,
                format!(
                    "Duplicate service import subject {}, previously used in import for account \
                     {}, subject {}",
                    quoted(&here),
                    quoted(&earlier.account),
                    quoted(&earlier.subject)
                ),
            );
            return;
        }
        rules.service_imports.push(import);
    }
}

fn import_source(kind: &str, value: &Value, import: &mut Import, report: &mut Report) {
    let (own, other, other_name) = if kind == "stream" {
        (&mut import.stream, &import.service, "service")
    } else {
        (&mut import.service, &import.stream, "stream")
    };
    if other.is_some() {
        report.text(
            &value.position,
            format!("Detected {kind} but already saw a {other_name}"),
        );
        return;
    }
    let Kind::Map(map) = &value.kind else {
        let what = if kind == "stream" {
            "Stream"
        } else {
            "Service"
        };
        let found = value.kind.type_name();
        report.text(
            &value.position,
            format!("{what} entry should be an account map, got {found}"),
        );
        return;
    };
    let (mut account, mut subject) = (String::new(), String::new());
    for (key, value) in map.iter() {
        let target = match key.to_lowercase().as_str() {
            "account" => &mut account,
            "subject" => &mut subject,
            _ if value.used_as_variable.get() => continue,
            _ => {
                report.error(&value.position, Problem::UnknownField(key.to_owned()));
                continue;
            }
        };
        if let Some(text) = read::string(value, report) {
            text.clone_into(target);
        }
    }
    if account.is_empty() || subject.is_empty() {
        report.text(&value.position, "Expect an account name and a subject");
        return;
    }
    *own = Some((account, subject));
}

pub(super) fn mappings(value: &Value, report: &mut Report) -> Vec<MappingRule> {
    let mut rules = Vec::new();
    let Some(map) = read::map(value, report) else {
        return rules;
    };
    for (source, entry) in map.iter() {
        let blank = |c| matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0c');
        if !subject::is_valid_subscription(source.as_bytes()) || source.contains(blank) {
            let source = quoted(source);
            report.text(
                &value.position,
                format!("Subject {source} is not a valid subject"),
            );
            continue;
        }
        let destinations = match &entry.kind {
            Kind::String(subject) => Some(vec![MappingDestination {
                subject: subject.clone(),
                weight: 100,
                cluster: String::new(),
            }]),
            Kind::Array(list) => list
                .iter()
                .map(|entry| destination(entry, report))
                .collect(),
            Kind::Map(_) => destination(entry, report).map(|one| vec![one]),
            _ => {
                not_a_destination(entry, report);
                None
            }
        };
        let Some(destinations) = destinations else {
            continue;
        };
        let rule = MappingRule {
            source: source.to_owned(),
            destinations,
        };
        if let Err(error) = check_mapping(&rule) {
            let (source, plain) = (quoted(source), &entry.kind);
            let text = match plain {
                Kind::String(to) => {
                    format!(
                        "Error adding mapping for {source} to {} : {error}",
                        quoted(to)
                    )
                }
                _ => format!("Error adding mapping for {source} : {error}"),
            };
            report.text(&entry.position, text);
            continue;
        }
        rules.push(rule);
    }
    rules
}

fn not_a_destination(entry: &Value, report: &mut Report) {
    report.text(
        &entry.position,
        "Expected an entry for the mapping destination",
    );
}

fn destination(entry: &Value, report: &mut Report) -> Option<MappingDestination> {
    let Kind::Map(map) = &entry.kind else {
        not_a_destination(entry, report);
        return None;
    };
    let mut destination = MappingDestination::default();
    let mut weighted = false;
    let mut last = &entry.position;
    for (key, value) in map.iter() {
        last = &value.position;
        match key.to_lowercase().as_str() {
            "dest" | "destination" => {
                read::string(value, report)?.clone_into(&mut destination.subject);
            }
            "weight" => {
                destination.weight = weight(value, report)?;
                weighted = true;
            }
            "cluster" => read::string(value, report)?.clone_into(&mut destination.cluster),
            _ if value.used_as_variable.get() => {}
            _ => {
                let key = quoted(key);
                report.text(
                    &value.position,
                    format!("Unknown field {key} for mapping destination"),
                );
                return None;
            }
        }
    }
    if !weighted {
        let subject = quoted(&destination.subject);
        report.text(
            last,
            format!("Missing weight for mapping destination {subject}"),
        );
        return None;
    }
    Some(destination)
}

fn weight(value: &Value, report: &mut Report) -> Option<u8> {
    let percent = match &value.kind {
        Kind::Integer(percent) => *percent,
        Kind::String(text) => match text.strip_suffix('%').unwrap_or(text).parse::<i64>() {
            Ok(percent) => percent,
            Err(_) => {
                let text = quoted(text);
                report.text(
                    &value.position,
                    format!("Invalid weight {text} for mapping destination"),
                );
                return None;
            }
        },
        _ => {
            let found = read_authorization::plain(value);
            report.text(
                &value.position,
                format!("Unknown entry type for weight of {found}"),
            );
            return None;
        }
    };
    match u8::try_from(percent) {
        Ok(percent @ 0..=100) => Some(percent),
        _ => {
            report.text(
                &value.position,
                format!("Invalid weight {percent} for mapping destination"),
            );
            None
        }
    }
}
