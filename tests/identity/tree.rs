//! Operators, accounts and users, and the configuration that trusts them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use serde_json::{Value, json};

use crate::common::Client;
use crate::signer::signature;

/// Seconds since 1970.
pub fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.expect("after 1970").as_secs() as i64
}

/// A token of these claims.
pub fn sign(claims: &Value, key: &KeyPair) -> String {
    let header = URL_SAFE_NO_PAD.encode(br#"{"typ":"JWT","alg":"ed25519-nkey"}"#);
    let body = URL_SAFE_NO_PAD.encode(claims.to_string());
    let signed = format!("{header}.{body}");
    let signature = URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()).expect("a private key"));
    format!("{signed}.{signature}")
}

fn merged(mut into: Value, from: &Value) -> Value {
    if let (Some(into), Some(from)) = (into.as_object_mut(), from.as_object()) {
        into.extend(from.clone());
    }
    into
}

/// A token about `subject`, with fields of `nats` and at the top.
pub fn token(kind: &str, subject: &str, key: &KeyPair, nats: &Value, top: &Value) -> String {
    let nats = merged(json!({"type": kind, "version": 2}), nats);
    let claims = json!({
        "iss": key.public_key(), "sub": subject, "name": kind, "iat": now() - 10, "nats": nats,
    });
    sign(&merged(claims, top), key)
}

/// An operator with a system account and one other.
pub struct Tree {
    pub operator: KeyPair,
    pub system: KeyPair,
    pub account: KeyPair,
    pub user: KeyPair,
}

impl Tree {
    pub fn new() -> Self {
        Self {
            operator: KeyPair::new_operator(),
            system: KeyPair::new_account(),
            account: KeyPair::new_account(),
            user: KeyPair::new_user(),
        }
    }

    /// The token of an account of this operator.
    pub fn account_token(&self, account: &KeyPair, nats: &Value, top: &Value) -> String {
        let limits = json!({"limits": {
            "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true,
            "conn": -1, "leaf": -1,
        }});
        let nats = merged(limits, nats);
        token("account", &account.public_key(), &self.operator, &nats, top)
    }

    /// A configuration with these accounts beside the system account.
    pub fn config_of(&self, accounts: &[(&KeyPair, String)], more: &str) -> String {
        let none = json!({});
        let operator = token(
            "operator",
            &self.operator.public_key(),
            &self.operator,
            &none,
            // A reload with another token is refused, so that it does not change with the second.
            &json!({"iat": 1_700_000_000}),
        );
        let system = self.account_token(&self.system, &none, &none);
        let mut preload = format!("{}: {system}\n", self.system.public_key());
        for (account, token) in accounts {
            preload.push_str(&format!("{}: {token}\n", account.public_key()));
        }
        format!(
            "operator: {operator}\nsystem_account: {}\nresolver: MEMORY\n\
             resolver_preload {{\n{preload}}}\n{more}\n",
            self.system.public_key()
        )
    }

    /// A configuration whose account has these fields.
    pub fn config(&self, nats: &Value) -> String {
        let token = self.account_token(&self.account, nats, &json!({}));
        self.config_of(&[(&self.account, token)], "")
    }

    /// The token of the user, without limits unless `nats` has some.
    pub fn user_token(&self, nats: &Value, top: &Value) -> String {
        let nats = merged(json!({"subs": -1, "data": -1, "payload": -1}), nats);
        token("user", &self.user.public_key(), &self.account, &nats, top)
    }

    /// The fields of CONNECT with a token and the nonce signed by the user.
    pub fn login(&self, client: &Client, token: &str) -> String {
        let sig = signature(client, &self.user);
        format!(r#""jwt":"{token}","sig":"{sig}""#)
    }
}
