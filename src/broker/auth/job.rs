//! Checks that take too long for a data core.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use nkeys::KeyPair;

use super::{Identity, Moment, PasswordJob, TokenJob, Trusted};

/// Nonces are signed in either alphabet, with or without padding.
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::URL_SAFE, LENIENT);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::STANDARD, LENIENT);

/// Bytes of an Ed25519 signature.
const SIGNATURE_BYTES: usize = 64;

/// Longest `sig` that is looked at; base64 of a signature has 86 to 88 characters.
const SIGNATURE_TEXT_MAX: usize = 256;

/// Why credentials are not accepted. The client is never told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    /// For a line of the log; empty for none. Never holds a secret.
    pub detail: String,
    /// Whether that line is an error, and not only for debugging.
    pub is_error: bool,
    /// The account whose claims are missing or over, if fresh ones would help.
    pub wants_account: Option<String>,
}

impl Refusal {
    /// With a line for the debug log.
    pub fn because(detail: impl Into<String>) -> Self {
        Self {
            detail: detail.into(),
            is_error: false,
            wants_account: None,
        }
    }

    /// With a line for the log.
    pub fn error(detail: impl Into<String>) -> Self {
        Self {
            detail: detail.into(),
            is_error: true,
            wants_account: None,
        }
    }
}

/// A check to be run off the data cores.
#[derive(Debug)]
pub enum VerifyJob {
    /// Milliseconds to seconds.
    Password(PasswordJob),
    /// Some hundred microseconds.
    Signature(SignatureJob),
    /// Two signatures, and permissions to be compiled.
    Token(TokenJob),
}

impl VerifyJob {
    /// Who connects. Blocks.
    ///
    /// # Errors
    /// [`Refusal`] if the proof is not good.
    pub fn run(&self, moment: &Moment) -> Result<Arc<Identity>, Refusal> {
        match self {
            Self::Password(job) if job.run() => Ok(Arc::clone(job.identity())),
            Self::Password(_) => Err(Refusal::default()),
            Self::Signature(job) => job.run(),
            Self::Token(job) => job.run(moment),
        }
    }

    /// Who connects if the proof is good, where that is known already.
    pub fn identity(&self) -> Option<&Arc<Identity>> {
        match self {
            Self::Password(job) => Some(job.identity()),
            Self::Signature(job) => Some(&job.identity),
            Self::Token(_) => None,
        }
    }

    /// Judges by other accounts.
    pub fn renew(&mut self, trusted: &Arc<Trusted>) {
        if let Self::Token(job) = self {
            job.trusted = Arc::clone(trusted);
        }
    }

    /// Whether it may take long beside other checks.
    pub fn is_slow(&self) -> bool {
        matches!(self, Self::Password(_))
    }
}

/// The check of a nonce's signature by the key that is the user's name.
pub struct SignatureJob {
    nonce: Box<str>,
    signature: Box<[u8]>,
    key: Box<str>,
    identity: Arc<Identity>,
}

impl SignatureJob {
    /// Of the text of `sig`.
    ///
    /// # Errors
    /// [`Refusal`] if it is no signature.
    pub(super) fn new(
        nonce: &str,
        sig: &str,
        key: &str,
        identity: &Arc<Identity>,
    ) -> Result<Self, Refusal> {
        Ok(Self {
            nonce: nonce.into(),
            signature: decode_signature(sig)?.into(),
            key: key.into(),
            identity: Arc::clone(identity),
        })
    }

    fn run(&self) -> Result<Arc<Identity>, Refusal> {
        verify_nonce(&self.key, &self.nonce, &self.signature)?;
        Ok(Arc::clone(&self.identity))
    }
}

/// No signature or nonce is shown.
impl fmt::Debug for SignatureJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignatureJob")
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

/// The bytes of a `sig` of CONNECT.
///
/// # Errors
/// [`Refusal`], with the line that nats-server logs.
pub fn decode_signature(sig: &str) -> Result<Vec<u8>, Refusal> {
    if sig.is_empty() {
        return Err(Refusal::because("Signature missing"));
    }
    if sig.len() > SIGNATURE_TEXT_MAX {
        return Err(Refusal::because("Signature not valid base64"));
    }
    let bytes = URL_SAFE
        .decode(sig)
        .or_else(|_| STANDARD.decode(sig))
        .map_err(|_| Refusal::because("Signature not valid base64"))?;
    if bytes.len() == SIGNATURE_BYTES {
        Ok(bytes)
    } else {
        Err(Refusal::because("Signature not verified"))
    }
}

/// Checks the signature of a nonce by a public key.
///
/// # Errors
/// [`Refusal`], with the line that nats-server logs.
pub fn verify_nonce(key: &str, nonce: &str, signature: &[u8]) -> Result<(), Refusal> {
    let key = KeyPair::from_public_key(key)
        .map_err(|_| Refusal::because("User nkey not valid: invalid public key"))?;
    key.verify(nonce.as_bytes(), signature)
        .map_err(|_| Refusal::because("Signature not verified"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose;

    #[test]
    fn signatures_come_in_either_alphabet() {
        let key = KeyPair::new_user();
        let nonce = "2a-p_4vZkdrsJyA";
        let bytes = key.sign(nonce.as_bytes()).unwrap();
        for text in [
            general_purpose::STANDARD.encode(&bytes),
            general_purpose::STANDARD_NO_PAD.encode(&bytes),
            general_purpose::URL_SAFE.encode(&bytes),
            general_purpose::URL_SAFE_NO_PAD.encode(&bytes),
        ] {
            let decoded = decode_signature(&text).unwrap();
            assert_eq!(verify_nonce(&key.public_key(), nonce, &decoded), Ok(()));
            assert!(verify_nonce(&key.public_key(), "another", &decoded).is_err());
        }
    }

    #[test]
    fn what_is_no_signature_is_told_apart_in_the_log() {
        let detail = |sig: &str| decode_signature(sig).unwrap_err().detail;
        assert_eq!(detail(""), "Signature missing");
        assert_eq!(detail("!!!"), "Signature not valid base64");
        assert_eq!(detail("AAAA"), "Signature not verified");
        assert_eq!(detail(&"A".repeat(5000)), "Signature not valid base64");
    }
}
