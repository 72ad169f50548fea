//! The `tls` block.

use std::time::Duration;

use super::diagnostics::{Problem, Report};
use super::read;
use super::text::{parse_duration, quoted};
use super::value::{Kind, Map, Value};

/// How long a handshake may take unless the file says otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long `handshake_first: auto` waits for the client.
pub const AUTO_PAUSE: Duration = Duration::from_millis(50);

/// Cipher suites that can be asked for by name. Those of TLS 1.3 cannot be left out, as in
/// nats-server.
pub const CIPHER_SUITES: [&str; 9] = [
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
];

/// Curves that can be asked for by name.
pub const CURVES: [&str; 3] = ["X25519", "CurveP256", "CurveP384"];

/// Whether INFO waits for the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HandshakeFirst {
    /// INFO goes first.
    #[default]
    No,
    /// It waits.
    Yes,
    /// It waits so long.
    For(Duration),
}

/// TLS of a listener. Keys are named here, never held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsOptions {
    /// Where the block is, for messages; empty: on the command line.
    pub place: String,
    /// Files of certificate chains and their keys.
    pub certificates: Vec<(String, String)>,
    /// Who signs clients' certificates; empty: nobody.
    pub ca_file: String,
    /// Clients must show a certificate that `ca_file` signed.
    pub verify: bool,
    pub timeout: Duration,
    pub handshake_first: HandshakeFirst,
    /// Of [`CIPHER_SUITES`]; empty: all.
    pub cipher_suites: Vec<String>,
    /// Of [`CURVES`], the most wanted first; empty: all.
    pub curves: Vec<String>,
    /// TLS 1.2 is refused.
    pub only_tls13: bool,
    /// SHA-256 of public keys that clients may have; empty: any.
    pub pinned_certs: Vec<[u8; 32]>,
}

impl Default for TlsOptions {
    fn default() -> Self {
        Self {
            place: String::new(),
            certificates: Vec::new(),
            ca_file: String::new(),
            verify: false,
            timeout: DEFAULT_TIMEOUT,
            handshake_first: HandshakeFirst::No,
            cipher_suites: Vec::new(),
            curves: Vec::new(),
            only_tls13: false,
            pinned_certs: Vec::new(),
        }
    }
}

/// Reads the block; `None` with an error in the report.
pub(super) fn block(value: &Value, report: &mut Report) -> Option<TlsOptions> {
    let map = read::map(value, report)?;
    let errors = report.errors.len();
    let mut options = TlsOptions {
        place: value.position.to_string(),
        ..TlsOptions::default()
    };
    let (mut certificate, mut key) = (String::new(), String::new());
    for (name, entry) in map.iter() {
        match name.to_lowercase().as_str() {
            "cert_file" => certificate = file("cert_file", entry, report),
            "key_file" => key = file("key_file", entry, report),
            other => field(other, name, entry, &mut options, report),
        }
    }
    match (certificate.is_empty(), key.is_empty()) {
        (false, false) if !options.certificates.is_empty() => report.text(
            &value.position,
            "error parsing tls config, cannot combine 'cert_file' option with 'certs' option",
        ),
        (false, false) => options.certificates.push((certificate, key)),
        (false, true) => {
            report.text(&value.position, "missing 'key_file' in TLS configuration");
        }
        (true, false) => {
            report.text(&value.position, "missing 'cert_file' in TLS configuration");
        }
        // nats-server starts and then fails every handshake.
        (true, true) if options.certificates.is_empty() => {
            report.text(&value.position, "missing 'cert_file' in TLS configuration");
        }
        (true, true) => {}
    }
    if options.verify && options.ca_file.is_empty() {
        report.error(
            &value.position,
            Problem::NotBuilt("verify without ca_file".to_owned()),
        );
    }
    (report.errors.len() == errors).then_some(options)
}

fn file(name: &str, value: &Value, report: &mut Report) -> String {
    if let Kind::String(text) = &value.kind {
        return text.clone();
    }
    report.text(
        &value.position,
        format!("error parsing tls config, expected '{name}' to be filename"),
    );
    String::new()
}

fn boolean(name: &str, value: &Value, report: &mut Report) -> bool {
    if let Kind::Bool(on) = value.kind {
        return on;
    }
    report.text(
        &value.position,
        format!("error parsing tls config, expected '{name}' to be a boolean"),
    );
    false
}

fn field(name: &str, written: &str, value: &Value, options: &mut TlsOptions, report: &mut Report) {
    match name {
        "ca_file" => options.ca_file = file(name, value, report),
        "verify" => options.verify = boolean(name, value, report),
        // For connections that this server makes; clients' certificates are verified anyhow.
        "insecure" => {
            boolean(name, value, report);
        }
        // Asks for nothing by itself: insecure suites are refused by name.
        "allow_insecure_cipher_suites" => {
            boolean(name, value, report);
        }
        "timeout" => options.timeout = timeout(value, report),
        "min_version" => options.only_tls13 = min_version(value, report),
        "handshake_first" | "first" | "immediate" => {
            options.handshake_first = handshake_first(written, value, report);
        }
        "cipher_suites" => {
            for (suite, at) in names(name, value, report) {
                if CIPHER_SUITES.contains(&suite.as_str()) {
                    options.cipher_suites.push(suite);
                } else if suite.starts_with("TLS_") {
                    report.error(
                        &at.position,
                        Problem::NotBuilt(format!("cipher suite {suite}")),
                    );
                } else {
                    report.text(&at.position, format!("unrecognized cipher {suite}"));
                }
            }
        }
        "curve_preferences" => {
            for (curve, at) in names(name, value, report) {
                if CURVES.contains(&curve.as_str()) {
                    options.curves.push(curve);
                } else if curve == "CurveP521" || curve.contains("MLKEM") {
                    report.error(&at.position, Problem::NotBuilt(format!("curve {curve}")));
                } else {
                    report.text(
                        &at.position,
                        format!("unrecognized curve preference {curve}"),
                    );
                }
            }
        }
        "pinned_certs" => options.pinned_certs = pinned_certs(value, report),
        "certs" => options.certificates.append(&mut certs(value, report)),
        "verify_cert_and_check_known_urls" => report.text(
            &value.position,
            "verify_cert_and_check_known_urls not supported in this context",
        ),
        "verify_and_map" | "ocsp_peer" if matches!(value.kind, Kind::Bool(false)) => {}
        "connection_rate_limit" if matches!(value.kind, Kind::Integer(0)) => {}
        "verify_and_map"
        | "connection_rate_limit"
        | "ocsp_peer"
        | "cert_store"
        | "cert_match_by"
        | "cert_match"
        | "ca_certs_match"
        | "cert_match_skip_invalid" => {
            report.error(&value.position, Problem::NotBuilt(format!("tls.{name}")));
        }
        _ => report.text(
            &value.position,
            format!(
                "error parsing tls config, unknown field {}",
                quoted(written)
            ),
        ),
    }
}

fn timeout(value: &Value, report: &mut Report) -> Duration {
    let seconds = match &value.kind {
        Kind::Integer(seconds) => Some(*seconds as f64),
        Kind::Float(seconds) => Some(*seconds),
        Kind::String(text) => match parse_duration(text) {
            Ok(duration) if !duration.negative => Some(duration.length.as_secs_f64()),
            _ => None,
        },
        _ => {
            report.text(
                &value.position,
                "error parsing tls config, 'timeout' wrong type",
            );
            return DEFAULT_TIMEOUT;
        }
    };
    match seconds.map(Duration::try_from_secs_f64) {
        // Zero is "not set".
        Some(Ok(timeout)) if timeout.is_zero() => DEFAULT_TIMEOUT,
        Some(Ok(timeout)) => timeout,
        _ => {
            report.text(
                &value.position,
                "error parsing tls config, invalid 'timeout'",
            );
            DEFAULT_TIMEOUT
        }
    }
}

/// Whether TLS 1.2 is refused.
fn min_version(value: &Value, report: &mut Report) -> bool {
    let text = match &value.kind {
        Kind::String(text) => text.as_str(),
        Kind::Float(number) => {
            report.text(
                &value.position,
                format!("error parsing tls config: 'min_version' wrong type: {number}"),
            );
            return false;
        }
        _ => "",
    };
    match text {
        "1.2" => return false,
        "1.3" => return true,
        "1.0" | "1.1" => report.text(
            &value.position,
            format!("error parsing tls config: unsupported TLS version: TLS {text}"),
        ),
        _ => report.text(
            &value.position,
            format!("error parsing tls config: unknown version: {text}"),
        ),
    }
    false
}

fn handshake_first(name: &str, value: &Value, report: &mut Report) -> HandshakeFirst {
    match &value.kind {
        Kind::Bool(true) => HandshakeFirst::Yes,
        Kind::Bool(false) => HandshakeFirst::No,
        Kind::String(text) => match text.to_lowercase().as_str() {
            "true" | "on" => HandshakeFirst::Yes,
            "false" | "off" => HandshakeFirst::No,
            "auto" | "auto_fallback" => HandshakeFirst::For(AUTO_PAUSE),
            other => match parse_duration(other) {
                Ok(duration) if !duration.negative => HandshakeFirst::For(duration.length),
                _ => {
                    report.text(
                        &value.position,
                        format!("field {}'s value {} is invalid", quoted(name), quoted(text)),
                    );
                    HandshakeFirst::No
                }
            },
        },
        other => {
            report.text(
                &value.position,
                format!(
                    "field {} should be a boolean or a string, got {}",
                    quoted(name),
                    other.type_name()
                ),
            );
            HandshakeFirst::No
        }
    }
}

/// A list of names that must not be empty.
fn names<'v>(name: &str, value: &'v Value, report: &mut Report) -> Vec<(String, &'v Value)> {
    let Kind::Array(values) = &value.kind else {
        report.wrong_type(&value.position, &value.kind, "[]interface {}");
        return Vec::new();
    };
    if values.is_empty() {
        report.text(
            &value.position,
            format!("error parsing tls config, '{name}' cannot be empty"),
        );
    }
    values
        .iter()
        .filter_map(|value| Some((read::string(value, report)?.to_owned(), value)))
        .collect()
}

fn pinned_certs(value: &Value, report: &mut Report) -> Vec<[u8; 32]> {
    let Kind::Array(values) = &value.kind else {
        report.text(
            &value.position,
            "error parsing tls config, expected 'pinned_certs' to be a list of hex-encoded sha256 of DER encoded SubjectPublicKeyInfo",
        );
        return Vec::new();
    };
    let mut pinned = Vec::new();
    for value in values {
        let Some(text) = read::string(value, report) else {
            continue;
        };
        match sha256(text) {
            Some(hash) => pinned.push(hash),
            None => report.text(
                &value.position,
                format!(
                    "error parsing tls config, 'pinned_certs' key {} does not look like hex-encoded sha256 of DER encoded SubjectPublicKeyInfo",
                    text.to_lowercase()
                ),
            ),
        }
    }
    pinned
}

fn sha256(text: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, at) in hash.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
    }
    Some(hash)
}

fn certs(value: &Value, report: &mut Report) -> Vec<(String, String)> {
    let Kind::Array(values) = &value.kind else {
        report.text(
            &value.position,
            format!(
                "error parsing certificates config: unsupported type {}",
                value.kind.type_name()
            ),
        );
        return Vec::new();
    };
    values
        .iter()
        .filter_map(|value| pair(read::map(value, report)?, value, report))
        .collect()
}

fn pair(map: &Map, value: &Value, report: &mut Report) -> Option<(String, String)> {
    let (mut certificate, mut key) = (String::new(), String::new());
    for (name, entry) in map.iter() {
        match name {
            "cert_file" => certificate = file(name, entry, report),
            "key_file" => key = file(name, entry, report),
            _ => {
                report.text(
                    &value.position,
                    format!(
                        "error parsing tls certs config, unknown field {}",
                        quoted(name)
                    ),
                );
                return None;
            }
        }
    }
    if certificate.is_empty() || key.is_empty() {
        report.text(
            &value.position,
            "error parsing certificates config: both 'cert_file' and 'cert_key' options are required",
        );
        return None;
    }
    Some((certificate, key))
}
