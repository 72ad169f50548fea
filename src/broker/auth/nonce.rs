//! What clients with nkeys sign.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// Random bytes behind a nonce, as in nats-server; 15 characters in base64.
const NONCE_BYTES: usize = 11;

/// A secret of the process, from the system's random source. Nonces are derived from it and the
/// number of the connection, so that a core needs no random source of its own: who sees many
/// nonces still cannot tell the next.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct NonceKey(pub [u8; 32]);

impl NonceKey {
    /// The nonce of connection `cid`.
    pub fn nonce(&self, cid: u64) -> Box<str> {
        let mut hash = Sha256::new();
        hash.update(b"nonce");
        hash.update(self.0);
        hash.update(cid.to_le_bytes());
        URL_SAFE_NO_PAD
            .encode(&hash.finalize()[..NONCE_BYTES])
            .into()
    }
}

impl fmt::Debug for NonceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NonceKey([REDACTED])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonces_differ_by_key_and_connection() {
        let nonce = |key: u8, cid| NonceKey([key; 32]).nonce(cid);
        assert_eq!(nonce(1, 1).len(), 15);
        assert_eq!(nonce(1, 1), nonce(1, 1));
        assert_ne!(nonce(1, 1), nonce(1, 2));
        assert_ne!(nonce(1, 1), nonce(2, 1));
    }
}
