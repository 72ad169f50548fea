//! Tokens: any bytes are refused or give claims, never a panic, a hang or a full memory. A token
//! made of the bytes as claims passes for all kinds as far as its signature, so that the readers of
//! claims are reached by way of a signing key of our own.
#![no_main]

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use libfuzzer_sys::fuzz_target;
use nkeys::KeyPair;
use ringwire::jwt::{
    AccountData, ActivationData, Claims, ClaimsData, Expansion, OperatorData, UserData, decode,
    expand,
};

static ACCOUNT: LazyLock<KeyPair> = LazyLock::new(KeyPair::new_account);
static OPERATOR: LazyLock<KeyPair> = LazyLock::new(KeyPair::new_operator);

/// The bytes are the fields of `nats`.
fn signed<D: ClaimsData>(fields: &str, key: &KeyPair) -> Option<Claims<D>> {
    let header = URL_SAFE_NO_PAD.encode(br#"{"typ":"JWT","alg":"ed25519-nkey"}"#);
    let claims = format!(
        r#"{{"iss":"{}","sub":"x","nats":{{"type":"{}","version":2,{fields}}}}}"#,
        key.public_key(),
        D::KIND,
    );
    let body = URL_SAFE_NO_PAD.encode(claims);
    let text = format!("{header}.{body}");
    let signature = URL_SAFE_NO_PAD.encode(key.sign(text.as_bytes()).ok()?);
    decode(&format!("{text}.{signature}")).ok()
}

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    assert!(decode::<UserData>(&text).is_err());
    if let Some(user) = signed::<UserData>(&text, &ACCOUNT) {
        let _ = user.issues(1);
        let with = Expansion {
            user_name: "n",
            user: "u",
            account_name: "a",
            account: "a",
            user_tags: &user.data.tags,
            account_tags: &user.data.tags,
        };
        let _ = expand(&user.data.limits, &with);
    }
    if let Some(account) = signed::<AccountData>(&text, &OPERATOR) {
        let _ = account.issues();
    }
    let _ = signed::<ActivationData>(&text, &ACCOUNT);
    if let Some(operator) = signed::<OperatorData>(&text, &OPERATOR) {
        let _ = operator.issues(1);
    }
});
