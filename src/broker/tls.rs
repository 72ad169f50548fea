//! What a core knows of the TLS under a connection.

use super::connection::Phase;
use super::core::Core;
use super::effect::LogLevel;
use crate::monitor::snapshot::{TlsCertificate, TlsSnapshot};

/// What TLS says to clients; absent without TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TlsRules {
    /// Plain text is let in as well (`allow_non_tls`).
    pub optional: bool,
    /// Clients must show a certificate.
    pub verify: bool,
}

/// What a handshake settled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFacts {
    /// `1.2` or `1.3`.
    pub version: &'static str,
    /// IANA's name of the cipher suite.
    pub cipher_suite: &'static str,
    /// The client's certificates, its own first.
    pub certificates: Vec<TlsCertificate>,
}

impl Core {
    /// The handshake of a connection is over.
    pub fn secured(&mut self, slot: u32, facts: TlsFacts) {
        if self.settings.debug {
            let (version, suite) = (facts.version, facts.cipher_suite);
            let line = format!("TLS version {version}, cipher suite {suite}");
            self.log_connection(LogLevel::Debug, slot, "TLS handshake complete");
            self.log_connection(LogLevel::Debug, slot, &line);
        }
        let Some(conn) = self.conn_mut(slot) else {
            return;
        };
        let first = conn.opening.as_ref().is_some_and(|o| !o.informed);
        conn.tls = Some(Box::new(TlsSnapshot {
            version: facts.version,
            cipher_suite: facts.cipher_suite,
            certificates: facts.certificates,
            first,
        }));
    }

    /// Whether the connection's transport is not up yet.
    pub fn is_opening(&self, slot: u32) -> bool {
        self.conn(slot).is_some_and(|c| c.phase == Phase::Opening)
    }
}
