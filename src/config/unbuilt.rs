//! Options of nats-server for what this server does not have yet.
//!
//! They are refused by name, never accepted and ignored. A value that switches the feature off or
//! that configures nothing is fine, so that a file can say so.

use super::diagnostics::{Problem, Report};
use super::value::{Kind, Value};

/// When a value asks for the feature.
enum Asks {
    /// Always.
    Always,
    /// Unless the value is `false` or `disabled`, or empty (a map, a list, a string).
    UnlessEmpty,
    /// Unless the value is zero or false.
    UnlessZero,
    /// Never without a feature that is refused itself; the value only has to be a boolean.
    Never,
}

fn kind_of(name: &str) -> Option<Asks> {
    Some(match name {
        "tls" => Asks::Always,
        "cluster" | "leafnodes" | "leaf" | "gateway" | "mqtt" => Asks::UnlessEmpty,
        "proxies" | "default_js_domain" => Asks::UnlessEmpty,
        "resolver_tls" => Asks::UnlessEmpty,
        "ocsp" | "ocsp_cache" | "proxy_protocol" => Asks::UnlessEmpty,
        "https" | "https_port" | "prof_port" | "prof_block_rate" => Asks::UnlessZero,
        "allow_non_tls" => Asks::Never,
        _ => return None,
    })
}

/// Handles a top-level key of a feature that is not built; false if the key is none of these.
pub(super) fn top_level(name: &str, value: &Value, report: &mut Report) -> bool {
    let Some(asks) = kind_of(name) else {
        return false;
    };
    let asked = match asks {
        Asks::Always => true,
        Asks::UnlessEmpty => !is_off(&value.kind) && !is_empty(&value.kind),
        Asks::UnlessZero => !matches!(value.kind, Kind::Integer(0) | Kind::Bool(false)),
        Asks::Never => {
            super::read::boolean(value, report);
            false
        }
    };
    if asked {
        report.error(&value.position, Problem::NotBuilt(name.to_owned()));
    }
    true
}

fn is_off(kind: &Kind) -> bool {
    match kind {
        Kind::Bool(on) => !on,
        Kind::String(text) => {
            text.eq_ignore_ascii_case("disabled") || text.eq_ignore_ascii_case("disable")
        }
        _ => false,
    }
}

fn is_empty(kind: &Kind) -> bool {
    match kind {
        Kind::String(text) => text.is_empty(),
        Kind::Array(values) => values.is_empty(),
        Kind::Map(map) => map.is_empty(),
        _ => false,
    }
}
