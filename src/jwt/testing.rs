//! Makes tokens for tests.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use serde_json::{Value, json};

/// 2026-11-25, 12:00 UTC.
pub(crate) const NOW: i64 = 1_795_608_000;

/// A token of these claims, signed as version 2.
pub(crate) fn sign(claims: &Value, key: &KeyPair) -> String {
    let header = URL_SAFE_NO_PAD.encode(br#"{"typ":"JWT","alg":"ed25519-nkey"}"#);
    let body = URL_SAFE_NO_PAD.encode(claims.to_string());
    let signed = format!("{header}.{body}");
    let signature = URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()).unwrap());
    format!("{signed}.{signature}")
}

/// Claims of a kind, with more fields in `nats`.
pub(crate) fn claims(kind: &str, subject: &str, issuer: &KeyPair, nats: Value) -> Value {
    let mut data = json!({"type": kind, "version": 2});
    merge(&mut data, nats);
    json!({
        "iss": issuer.public_key(), "sub": subject, "name": "some", "iat": NOW - 10, "nats": data,
    })
}

/// Puts the fields of one object into another.
pub(crate) fn merge(into: &mut Value, from: Value) {
    if let (Some(into), Value::Object(from)) = (into.as_object_mut(), from) {
        into.extend(from);
    }
}

/// Limits that limit nothing.
pub(crate) fn unlimited() -> Value {
    json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true,
        "conn": -1, "leaf": -1,
    })
}
