//! Reading single values of a parsed file: types checked, problems reported in nats-server's words.

use std::time::Duration;

use super::diagnostics::{Problem, Report};
use super::text::{parse_duration, quoted};
use super::value::{Kind, Map, Value};

/// The value as a string, or an error in the report.
pub(super) fn string<'v>(value: &'v Value, report: &mut Report) -> Option<&'v str> {
    match &value.kind {
        Kind::String(text) => Some(text),
        other => {
            report.wrong_type(&value.position, other, "string");
            None
        }
    }
}

pub(super) fn integer(value: &Value, report: &mut Report) -> Option<i64> {
    match &value.kind {
        Kind::Integer(number) => Some(*number),
        other => {
            report.wrong_type(&value.position, other, "int64");
            None
        }
    }
}

pub(super) fn boolean(value: &Value, report: &mut Report) -> Option<bool> {
    match &value.kind {
        Kind::Bool(on) => Some(*on),
        other => {
            report.wrong_type(&value.position, other, "bool");
            None
        }
    }
}

pub(super) fn map<'v>(value: &'v Value, report: &mut Report) -> Option<&'v Map> {
    match &value.kind {
        Kind::Map(map) => Some(map),
        other => {
            report.wrong_type(&value.position, other, "map[string]interface {}");
            None
        }
    }
}

/// A size in bytes that must fit nats-server's 32 bits.
pub(super) fn size(key: &str, value: &Value, report: &mut Report) -> Option<i64> {
    let number = integer(value, report)?;
    if number > super::defaults::MAX_SIZE {
        report.text(&value.position, format!("{key} value is too big"));
        return None;
    }
    Some(number)
}

/// A duration string; a bare number counts as seconds and draws a warning.
pub(super) fn duration(key: &str, value: &Value, report: &mut Report) -> Option<Duration> {
    if let Kind::String(_) = value.kind {
        return duration_string(key, value, report);
    }
    report.warn(Some(&value.position), Problem::BareSeconds(key.to_owned()));
    let seconds = integer(value, report)?;
    match u64::try_from(seconds) {
        Ok(seconds) if seconds <= i64::MAX as u64 / 1_000_000_000 => {
            Some(Duration::from_secs(seconds))
        }
        Ok(_) => {
            report.text(&value.position, format!("{key} value is too big"));
            None
        }
        Err(_) => {
            negative(key, value, report);
            None
        }
    }
}

/// A duration that must be written as a string.
pub(super) fn duration_string(key: &str, value: &Value, report: &mut Report) -> Option<Duration> {
    let text = string(value, report)?;
    match parse_duration(text) {
        Ok(duration) if duration.negative => {
            negative(key, value, report);
            None
        }
        Ok(duration) => Some(duration.length),
        Err(error) => {
            report.text(&value.position, format!("error parsing {key}: {error}"));
            None
        }
    }
}

/// nats-server takes negative durations and then spins or never fires; here they are refused.
fn negative(key: &str, value: &Value, report: &mut Report) {
    report.text(&value.position, format!("{key} value can not be negative"));
}

/// An address: a port alone, or `host:port`.
pub(super) struct Listen {
    pub host: Option<String>,
    pub port: i64,
}

pub(super) fn listen(value: &Value, report: &mut Report) -> Option<Listen> {
    let text = match &value.kind {
        Kind::Integer(port) => {
            return Some(Listen {
                host: None,
                port: *port,
            });
        }
        Kind::String(text) => text,
        other => {
            let found = other.type_name();
            report.text(
                &value.position,
                format!("expected port or host:port, got {found}"),
            );
            return None;
        }
    };
    let Some((host, port)) = split_host_port(text) else {
        report.text(
            &value.position,
            format!("could not parse address string {}", quoted(text)),
        );
        return None;
    };
    match port.parse::<i64>() {
        Ok(port) => Some(Listen {
            host: Some(host.to_owned()),
            port,
        }),
        Err(_) => {
            report.text(
                &value.position,
                format!("could not parse port {}", quoted(port)),
            );
            None
        }
    }
}

/// Splits `host:port` or `[v6]:port`. The host may be empty; nothing is checked about the port.
pub(super) fn split_host_port(text: &str) -> Option<(&str, &str)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once("]:")?;
        let clean = |part: &str| !part.contains(['[', ']']);
        return (clean(host) && clean(port) && !port.contains(':')).then_some((host, port));
    }
    let (host, port) = text.rsplit_once(':')?;
    (!host.contains([':', '[', ']']) && !port.contains(['[', ']'])).then_some((host, port))
}
