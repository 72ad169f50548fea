//! What a client with a key says.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;

use crate::common::Client;

/// The fields of CONNECT by which a client proves that it has the key.
pub fn proof(client: &Client, key: &KeyPair) -> String {
    let nonce = client.info["nonce"].as_str().expect("a nonce");
    let signature = key.sign(nonce.as_bytes()).expect("a private key");
    let sig = URL_SAFE_NO_PAD.encode(signature);
    format!(r#""nkey":"{}","sig":"{sig}""#, key.public_key())
}

/// Only the signature.
pub fn signature(client: &Client, key: &KeyPair) -> String {
    let nonce = client.info["nonce"].as_str().expect("a nonce");
    URL_SAFE_NO_PAD.encode(key.sign(nonce.as_bytes()).expect("a private key"))
}
