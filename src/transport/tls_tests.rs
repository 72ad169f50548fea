use std::sync::Arc;

use super::*;

#[test]
fn a_record_is_completed_by_what_its_head_says() {
    assert_eq!(missing_bytes(&[23, 3, 3, 0, 10, 1], &[9; 100]), 9);
    assert_eq!(missing_bytes(&[23, 3], &[3, 0, 4, 9, 9, 9, 9, 9, 9]), 7);
    assert_eq!(missing_bytes(&[22, 3, 3, 0, 1, 9], &[9; 100]), 100);
    assert_eq!(missing_bytes(&[23, 3], &[3]), 1);
    assert_eq!(missing_bytes(&[23, 3], &[3, 0]), 2);
}

fn role(optional: bool) -> Arc<TlsRole> {
    struct NoCertificate;
    impl fmt::Debug for NoCertificate {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("NoCertificate")
        }
    }
    impl rustls::server::ResolvesServerCert for NoCertificate {
        fn resolve(
            &self,
            _: rustls::server::ClientHello<'_>,
        ) -> Option<Arc<rustls::sign::CertifiedKey>> {
            None
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(NoCertificate));
    Arc::new(TlsRole {
        config: Arc::new(config),
        pinned: Vec::new(),
        optional,
    })
}

fn events(tls: &mut Tls, bytes: &[u8]) -> (Vec<String>, Vec<u8>) {
    let (mut seen, mut output) = (Vec::new(), Vec::new());
    let mut input = bytes.to_vec();
    let mut note = |received: Received<'_>| seen.push(format!("{received:?}"));
    tls.receive(&mut input, &mut output, &mut note);
    tls.advance(&mut output, &mut note);
    (seen, output)
}

#[test]
fn plain_text_is_refused_or_let_through() {
    let (seen, output) = events(&mut Tls::new(role(false)), b"CONNECT {}\r\n");
    assert_eq!(
        (seen.as_slice(), output.len()),
        (["NoHandshake".to_owned()].as_slice(), 0)
    );
    let mut tls = Tls::new(role(true));
    let (seen, _) = events(&mut tls, b"PING\r\n");
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0], "Established");
    assert!(tls.is_plain());
}

#[test]
fn garbage_ends_in_an_alert() {
    let mut tls = Tls::new(role(false));
    // A ServerHello, which no client sends.
    let (seen, output) = events(&mut tls, b"\x16\x03\x01\x00\x04\x02\x00\x00\x00");
    assert_eq!(seen[0], "Began");
    assert!(seen[1].starts_with("TlsFailed"), "{seen:?}");
    assert_eq!(output.first(), Some(&21));
    let (seen, output) = events(&mut tls, b"more");
    assert!(seen.is_empty() && output.is_empty());
    let (seen, _) = events(&mut Tls::new(role(false)), b"\x16\x03\x01\x00\x05hello");
    assert!(seen[1].starts_with("TlsFailed"), "{seen:?}");
}

#[test]
fn an_endless_handshake_is_bounded() {
    let mut tls = Tls::new(role(false));
    let mut failed = false;
    for n in 0..200 {
        // A handshake message of 16 MiB that never comes to its end, in small records.
        let mut record = vec![22, 3, 1, 4, 0];
        record.extend_from_slice(if n == 0 { &[1, 255, 255, 255] } else { &[0; 4] });
        record.resize(5 + 1024, 0);
        let (seen, _) = events(&mut tls, &record);
        failed |= seen.iter().any(|event| event.starts_with("TlsFailed"));
        assert!(tls.pending.len() <= PENDING_BYTES_MAX + record.len());
    }
    assert!(failed);
}
