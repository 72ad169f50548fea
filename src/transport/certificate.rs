//! What is shown of a client's certificate.

use sha2::{Digest as _, Sha256};
use x509_cert::Certificate;
use x509_cert::der::{Decode as _, Encode as _};

use crate::monitor::snapshot::TlsCertificate;

/// Reads a certificate that the handshake has verified, or that nobody has: what cannot be read is
/// empty.
pub fn read(der: &[u8]) -> TlsCertificate {
    let mut read = TlsCertificate {
        sha256: Sha256::digest(der).into(),
        ..TlsCertificate::default()
    };
    if let Ok(certificate) = Certificate::from_der(der) {
        let body = &certificate.tbs_certificate;
        read.subject = body.subject.to_string();
        if let Ok(key) = body.subject_public_key_info.to_der() {
            read.spki_sha256 = Sha256::digest(key).into();
        }
    }
    read
}
