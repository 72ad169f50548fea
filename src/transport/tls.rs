//! The server's side of TLS on one connection: records in, records out.
//!
//! Received bytes are decrypted where they lie. What is left of a record that is not complete
//! waits in the session, at most one record and one handshake message ([`PENDING_BYTES_MAX`]).
//!
//! A handshake costs a core some tenths of a millisecond. So its bytes are only collected as they
//! come, and [`Tls::advance`], which the runtime calls for a few connections a turn, does the work.

use std::fmt;
use std::sync::Arc;

use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncryptError, UnbufferedStatus};
use rustls::{ProtocolVersion, ServerConfig};

use super::Received;
use super::certificate;
use crate::broker::TlsFacts;

/// Bytes of an unfinished handshake that are kept, in bytes: the longest handshake message and a
/// record. Who sends more without finishing is refused.
pub const PENDING_BYTES_MAX: usize = 96 * 1024;
/// First byte of a TLS handshake.
const HANDSHAKE_RECORD: u8 = 0x16;
/// Plain text of a full record, in bytes.
const RECORD_BYTES: usize = 16 * 1024;
/// More than encrypting adds to a record, in bytes.
const RECORD_OVERHEAD: usize = 64;
/// More than all that rustls may add of its own before data (a change of keys), in bytes.
const CONTROL_BYTES: usize = 256;

/// What all connections of a listener share.
#[derive(Clone)]
pub struct TlsRole {
    /// Certificates and rules. Holds the private keys, and shows nothing of them.
    pub config: Arc<ServerConfig>,
    /// SHA-256 of the public keys that clients may have; empty: any.
    pub pinned: Vec<[u8; 32]>,
    /// Plain text is let in as well.
    pub optional: bool,
}

impl fmt::Debug for TlsRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsRole")
            .field("optional", &self.optional)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing came yet.
    Silent,
    Handshake,
    Open,
    /// The client speaks plain text, and may.
    Plain,
    /// The peer says nothing more; it may still be told something.
    Ended,
    /// Over by an error: the session is not used any more.
    Over,
}

/// TLS on one connection.
pub struct Tls {
    role: Arc<TlsRole>,
    connection: Option<Box<UnbufferedServerConnection>>,
    stage: Stage,
    /// Received and not complete.
    pending: Vec<u8>,
    /// Joins small pieces of output into records; empty between calls.
    staging: Vec<u8>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("stage", &self.stage)
            .field("pending", &self.pending.len())
            .finish_non_exhaustive()
    }
}

impl Tls {
    /// A connection from which nothing came yet.
    pub fn new(role: Arc<TlsRole>) -> Self {
        Self {
            role,
            connection: None,
            stage: Stage::Silent,
            pending: Vec::new(),
            staging: Vec::new(),
        }
    }

    /// Whether output goes as it is: before the handshake, and to who speaks plain text. Once TLS
    /// began, what cannot be encrypted any more is never sent at all.
    pub fn is_plain(&self) -> bool {
        match self.stage {
            Stage::Silent | Stage::Handshake | Stage::Plain => true,
            Stage::Open | Stage::Ended => false,
            Stage::Over => self.connection.is_none(),
        }
    }

    /// Whether bytes of a handshake wait for [`Tls::advance`].
    pub fn wants_to_advance(&self) -> bool {
        self.stage == Stage::Handshake && !self.pending.is_empty()
    }

    /// Bytes came. What TLS has to say goes to `output`.
    pub fn receive(
        &mut self,
        input: &mut [u8],
        output: &mut Vec<u8>,
        deliver: &mut dyn FnMut(Received<'_>),
    ) {
        match self.stage {
            Stage::Plain => deliver(Received::Data(input)),
            Stage::Ended | Stage::Over => {}
            Stage::Open if self.pending.is_empty() => {
                let used = self.process(input, output, deliver);
                if self.stage == Stage::Open {
                    self.pending.extend_from_slice(&input[used..]);
                }
            }
            Stage::Open => {
                // First the record that is under way, which is all that is copied.
                let missing = missing_bytes(&self.pending, input);
                let (head, rest) = input.split_at_mut(missing.min(input.len()));
                self.pending.extend_from_slice(head);
                self.process_pending(output, deliver);
                if self.pending.len() > PENDING_BYTES_MAX {
                    self.give_up("tls: handshake is too long", deliver);
                }
                if !rest.is_empty() {
                    self.receive(rest, output, deliver);
                }
            }
            Stage::Silent => self.first_bytes(input, output, deliver),
            Stage::Handshake => {
                self.pending.extend_from_slice(input);
                if self.pending.len() > PENDING_BYTES_MAX {
                    self.advance(output, deliver);
                    if self.stage == Stage::Handshake && self.pending.len() > PENDING_BYTES_MAX {
                        self.give_up("tls: handshake is too long", deliver);
                    }
                }
            }
        }
    }

    fn first_bytes(
        &mut self,
        input: &mut [u8],
        output: &mut Vec<u8>,
        deliver: &mut dyn FnMut(Received<'_>),
    ) {
        let Some(&first) = input.first() else {
            return;
        };
        if first == HANDSHAKE_RECORD {
            deliver(Received::Began);
            match UnbufferedServerConnection::new(Arc::clone(&self.role.config)) {
                Ok(connection) => {
                    self.connection = Some(Box::new(connection));
                    self.stage = Stage::Handshake;
                    self.receive(input, output, deliver);
                }
                Err(error) => self.give_up(&error.to_string(), deliver),
            }
        } else if self.role.optional {
            self.stage = Stage::Plain;
            deliver(Received::Established);
            deliver(Received::Data(input));
        } else {
            self.stage = Stage::Over;
            deliver(Received::NoHandshake);
        }
    }

    /// Works on the handshake with what came.
    pub fn advance(&mut self, output: &mut Vec<u8>, deliver: &mut dyn FnMut(Received<'_>)) {
        if self.stage == Stage::Handshake {
            self.process_pending(output, deliver);
        }
    }

    fn process_pending(&mut self, output: &mut Vec<u8>, deliver: &mut dyn FnMut(Received<'_>)) {
        let mut pending = std::mem::take(&mut self.pending);
        let used = self.process(&mut pending, output, deliver);
        if matches!(self.stage, Stage::Ended | Stage::Over) {
            return;
        }
        pending.drain(..used);
        // An idle connection keeps no memory for this.
        if !pending.is_empty() {
            self.pending = pending;
        }
    }

    /// Nothing more is read, nor said.
    fn give_up(&mut self, text: &str, deliver: &mut dyn FnMut(Received<'_>)) {
        self.stage = Stage::Over;
        self.pending = Vec::new();
        deliver(Received::TlsFailed(text));
    }

    /// What TLS wants to tell the peer about an error in `input`, of which it may remember a part.
    fn collect_alert(&mut self, input: &mut [u8], output: &mut Vec<u8>) {
        let Some(connection) = &mut self.connection else {
            return;
        };
        while let Ok(state) = connection.process_tls_records(input).state {
            match state {
                ConnectionState::EncodeTlsData(mut data) => {
                    if !grow_until(output, |space| match data.encode(space) {
                        Ok(count) => Ok(count),
                        Err(rustls::unbuffered::EncodeError::InsufficientSize(size)) => {
                            Err(Some(size.required_size))
                        }
                        Err(_) => Err(None),
                    }) {
                        return;
                    }
                }
                ConnectionState::TransmitTlsData(data) => data.done(),
                _ => return,
            }
        }
    }

    /// Goes on with the records in `input` as far as they are complete. Returns how many bytes of
    /// it are done with.
    fn process(
        &mut self,
        input: &mut [u8],
        output: &mut Vec<u8>,
        deliver: &mut dyn FnMut(Received<'_>),
    ) -> usize {
        let mut used = 0;
        loop {
            let Some(connection) = self.connection.as_deref_mut() else {
                return used;
            };
            let UnbufferedStatus { discard, state, .. } =
                connection.process_tls_records(&mut input[used..]);
            let mut more = true;
            let mut failure = None;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        match record {
                            Ok(record) => deliver(Received::Data(record.payload)),
                            Err(error) => failure = Some(error.to_string()),
                        }
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    grow_until(output, |space| match data.encode(space) {
                        Ok(count) => Ok(count),
                        Err(rustls::unbuffered::EncodeError::InsufficientSize(size)) => {
                            Err(Some(size.required_size))
                        }
                        Err(_) => Err(None),
                    });
                }
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::WriteTraffic(_)) => {
                    more = false;
                    if self.stage == Stage::Handshake {
                        match self.facts() {
                            Ok(facts) => {
                                self.stage = Stage::Open;
                                deliver(Received::Secured(facts));
                                deliver(Received::Established);
                                // Data may have come with the last of the handshake.
                                more = true;
                            }
                            Err(text) => failure = Some(text),
                        }
                    }
                }
                Ok(ConnectionState::PeerClosed) => {
                    let was_open = self.stage == Stage::Open;
                    self.stage = Stage::Ended;
                    if was_open {
                        deliver(Received::Ended);
                    } else {
                        deliver(Received::TlsFailed("EOF"));
                    }
                    return used + discard;
                }
                Ok(_) => more = false,
                Err(error) => failure = Some(error_text(&error)),
            }
            used += discard;
            if let Some(text) = failure {
                self.collect_alert(&mut input[used..], output);
                self.give_up(&text, deliver);
                return used;
            }
            if !more {
                return used;
            }
        }
    }

    /// What the handshake settled, or why that is not good enough.
    fn facts(&self) -> Result<TlsFacts, String> {
        let Some(connection) = &self.connection else {
            return Ok(TlsFacts::default());
        };
        let version = match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "1.2",
            _ => "1.3",
        };
        let cipher_suite = connection
            .negotiated_cipher_suite()
            .and_then(|suite| suite.suite().as_str())
            .unwrap_or_default();
        let certificates = connection.peer_certificates().unwrap_or_default();
        let certificates: Vec<_> = certificates
            .iter()
            .map(|der| certificate::read(der))
            .collect();
        let pinned = &self.role.pinned;
        if !pinned.is_empty()
            && !certificates
                .first()
                .is_some_and(|own| pinned.contains(&own.spki_sha256))
        {
            return Err("certificate not pinned".to_owned());
        }
        Ok(TlsFacts {
            version,
            // rustls names suites of TLS 1.3 its own way.
            cipher_suite: iana_name(cipher_suite),
            certificates,
        })
    }

    /// Appends `plain` as records. It may wait in the staging area for [`Tls::flush`].
    pub fn encrypt(&mut self, plain: &[u8], into: &mut Vec<u8>) {
        if self.staging.is_empty() && plain.len() >= RECORD_BYTES {
            self.encrypt_now(plain, into);
            return;
        }
        if self.staging.len() + plain.len() > RECORD_BYTES {
            self.flush(into);
            if plain.len() >= RECORD_BYTES {
                self.encrypt_now(plain, into);
                return;
            }
        }
        self.staging.extend_from_slice(plain);
    }

    /// Appends the last record.
    pub fn flush(&mut self, into: &mut Vec<u8>) {
        if self.staging.is_empty() {
            return;
        }
        let staging = std::mem::take(&mut self.staging);
        self.encrypt_now(&staging, into);
        // An idle connection keeps no memory for this.
    }

    fn encrypt_now(&mut self, plain: &[u8], into: &mut Vec<u8>) {
        if self.stage == Stage::Over {
            return;
        }
        let Some(connection) = self.connection.as_deref_mut() else {
            return;
        };
        loop {
            match connection.process_tls_records(&mut self.pending).state {
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    encrypt_traffic(&mut traffic, plain, into);
                    return;
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    if !grow_until(into, |space| match data.encode(space) {
                        Ok(count) => Ok(count),
                        Err(rustls::unbuffered::EncodeError::InsufficientSize(size)) => {
                            Err(Some(size.required_size))
                        }
                        Err(_) => Err(None),
                    }) {
                        return;
                    }
                }
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                // Ended meanwhile: nobody can read this any more.
                _ => return,
            }
        }
    }

    /// Says goodbye.
    pub fn close(&mut self, output: &mut Vec<u8>) {
        if self.stage != Stage::Open && self.stage != Stage::Ended {
            return;
        }
        let Some(connection) = self.connection.as_deref_mut() else {
            return;
        };
        if let Ok(ConnectionState::WriteTraffic(mut traffic)) =
            connection.process_tls_records(&mut self.pending).state
        {
            grow_until(output, |space| {
                traffic.queue_close_notify(space).map_err(required)
            });
        }
        self.stage = Stage::Over;
    }
}

fn required(error: EncryptError) -> Option<usize> {
    match error {
        EncryptError::InsufficientSize(size) => Some(size.required_size),
        EncryptError::EncryptExhausted => None,
    }
}

fn encrypt_traffic<Data>(
    traffic: &mut rustls::unbuffered::WriteTraffic<'_, Data>,
    plain: &[u8],
    into: &mut Vec<u8>,
) {
    let records = plain.len().div_ceil(RECORD_BYTES);
    let start = into.len();
    into.resize(
        start + plain.len() + records * RECORD_OVERHEAD + CONTROL_BYTES,
        0,
    );
    match traffic.encrypt(plain, &mut into[start..]) {
        Ok(count) => into.truncate(start + count),
        Err(error) => {
            into.truncate(start);
            if let Some(needed) = required(error) {
                into.resize(start + needed, 0);
                let count = traffic.encrypt(plain, &mut into[start..]).unwrap_or(0);
                into.truncate(start + count);
            }
        }
    }
}

/// Appends what `write` writes, giving it the space it asks for. False if it gave up.
fn grow_until(
    output: &mut Vec<u8>,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, Option<usize>>,
) -> bool {
    let start = output.len();
    let mut space = CONTROL_BYTES;
    for _ in 0..2 {
        output.resize(start + space, 0);
        match write(&mut output[start..]) {
            Ok(count) => {
                output.truncate(start + count);
                return true;
            }
            Err(Some(needed)) => space = needed,
            Err(None) => break,
        }
    }
    output.truncate(start);
    false
}

/// Bytes of `next` that complete the record that `pending` begins.
fn missing_bytes(pending: &[u8], next: &[u8]) -> usize {
    const HEAD: usize = 5;
    let at = |index: usize| {
        pending
            .get(index)
            .or_else(|| next.get(index - pending.len()))
    };
    match (at(3), at(4)) {
        (Some(&high), Some(&low)) => {
            let len = HEAD + usize::from(u16::from_be_bytes([high, low]));
            // A whole record that waits is part of a message over several.
            match len.saturating_sub(pending.len()) {
                0 => next.len(),
                missing => missing,
            }
        }
        _ => next.len(),
    }
}

fn iana_name(name: &'static str) -> &'static str {
    match name {
        "TLS13_AES_128_GCM_SHA256" => "TLS_AES_128_GCM_SHA256",
        "TLS13_AES_256_GCM_SHA384" => "TLS_AES_256_GCM_SHA384",
        "TLS13_CHACHA20_POLY1305_SHA256" => "TLS_CHACHA20_POLY1305_SHA256",
        other => other,
    }
}

/// Why a handshake failed, in nats-server's words where it has some.
fn error_text(error: &rustls::Error) -> String {
    use rustls::{CertificateError, Error};
    match error {
        Error::NoCertificatesPresented => "tls: client didn't provide a certificate".to_owned(),
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "tls: failed to verify certificate: x509: certificate signed by unknown authority"
                .to_owned()
        }
        Error::InvalidCertificate(error) => {
            format!("tls: failed to verify certificate: {error}")
        }
        Error::AlertReceived(alert) => format!("remote error: tls: {alert:?}"),
        other => format!("tls: {other}"),
    }
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
