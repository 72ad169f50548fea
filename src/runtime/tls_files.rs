//! Certificates and keys from files, and the rules of TLS from options.

use std::fmt;
use std::sync::Arc;

use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{
    ClientHello, NoServerSessionStorage, ParsedCertificate, ResolvesServerCert,
    WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion, version};

use crate::config::TlsOptions;
use crate::transport::TlsRole;

/// TLS that cannot be had; the text names the block and the file, and nothing of a key.
#[derive(Debug)]
pub struct TlsError(String);

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TlsError {}

fn reason(file: &str, error: &pem::Error, what: &str) -> String {
    match error {
        pem::Error::Io(error) if error.kind() == std::io::ErrorKind::NotFound => {
            format!("open {file}: no such file or directory")
        }
        pem::Error::Io(error) => format!("open {file}: {error}"),
        _ => format!("tls: failed to find any PEM data in {what} input"),
    }
}

/// A chain and its key, by files.
fn certified(
    provider: &CryptoProvider,
    (certificate, key): &(String, String),
) -> Result<CertifiedKey, String> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(|error| reason(certificate, &error, "certificate"))?;
    if chain.is_empty() {
        return Err("tls: failed to find any PEM data in certificate input".to_owned());
    }
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| reason(key, &error, "key"))?;
    let key = provider
        .key_provider
        .load_private_key(key)
        .map_err(|_| "tls: failed to parse private key".to_owned())?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {
            Ok(certified)
        }
        Err(_) => Err("tls: private key does not match public key".to_owned()),
    }
}

/// The first certificate that fits the client's name and signatures, else the first.
#[derive(Debug)]
struct ByName(Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello
            .server_name()
            .and_then(|name| ServerName::try_from(name.to_owned()).ok());
        let fits = |certified: &&Arc<CertifiedKey>| {
            certified
                .key
                .choose_scheme(hello.signature_schemes())
                .is_some()
                && name.as_ref().is_none_or(|name| {
                    certified
                        .end_entity_cert()
                        .ok()
                        .and_then(|der| ParsedCertificate::try_from(der).ok())
                        .is_some_and(|parsed| verify_server_name(&parsed, name).is_ok())
                })
        };
        self.0.iter().find(fits).or(self.0.first()).cloned()
    }
}

fn provider(options: &TlsOptions) -> CryptoProvider {
    use ring::cipher_suite as suites;
    let mut provider = ring::default_provider();
    let wanted = |name: &str| {
        options.cipher_suites.is_empty()
            || options.cipher_suites.iter().any(|wanted| wanted == name)
    };
    // AES with the shorter key first, as nats-server: it is the fastest where the CPU has AES.
    provider.cipher_suites = vec![
        suites::TLS13_AES_128_GCM_SHA256,
        suites::TLS13_AES_256_GCM_SHA384,
        suites::TLS13_CHACHA20_POLY1305_SHA256,
    ];
    let tls12 = [
        suites::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        suites::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        suites::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        suites::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        suites::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        suites::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ];
    provider.cipher_suites.extend(
        tls12
            .into_iter()
            .filter(|suite| suite.suite().as_str().is_some_and(wanted)),
    );
    if !options.curves.is_empty() {
        provider.kx_groups = options
            .curves
            .iter()
            .map(|curve| match curve.as_str() {
                "CurveP256" => ring::kx_group::SECP256R1,
                "CurveP384" => ring::kx_group::SECP384R1,
                _ => ring::kx_group::X25519,
            })
            .collect();
    }
    provider
}

/// Reads the files.
///
/// # Errors
/// [`TlsError`] if a file cannot be read or makes no sense.
pub fn load(options: &TlsOptions, optional: bool) -> Result<TlsRole, TlsError> {
    let failed = |text: String| {
        if options.place.is_empty() {
            TlsError(text)
        } else {
            TlsError(format!("{}: {text}", options.place))
        }
    };
    let provider = Arc::new(provider(options));
    let mut certificates = Vec::new();
    for files in &options.certificates {
        let certified = certified(&provider, files)
            .map_err(|error| failed(format!("error parsing X509 certificate/key pair: {error}")))?;
        certificates.push(Arc::new(certified));
    }
    let has_tls12 = provider
        .cipher_suites
        .iter()
        .any(|suite| suite.version() == &version::TLS12);
    let versions: &[&SupportedProtocolVersion] = if options.only_tls13 || !has_tls12 {
        &[&version::TLS13]
    } else {
        &[&version::TLS13, &version::TLS12]
    };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .map_err(|error| failed(error.to_string()))?;
    let builder = if options.verify {
        let mut roots = RootCertStore::empty();
        let file = &options.ca_file;
        let found: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(file)
            .and_then(Iterator::collect)
            .map_err(|error| match error {
                pem::Error::Io(_) => failed(reason(file, &error, "ca")),
                _ => failed("failed to parse root ca certificate".to_owned()),
            })?;
        for certificate in found {
            roots
                .add(certificate)
                .map_err(|_| failed("failed to parse root ca certificate".to_owned()))?;
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|_| failed("failed to parse root ca certificate".to_owned()))?;
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    };
    let mut config = builder.with_cert_resolver(Arc::new(ByName(certificates)));
    config.ignore_client_order = true;
    // Clients of a broker stay connected: tickets and a shared cache would cost more than they save.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(TlsRole {
        config: Arc::new(config),
        pinned: options.pinned_certs.clone(),
        optional,
    })
}
