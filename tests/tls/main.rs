//! TLS over sockets: certificates made by `openssl`, a rustls client.

#[path = "../common/mod.rs"]
mod common;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tempfile::TempDir;

use common::{DEADLINE, Server, get_json};

type Stream = StreamOwned<ClientConnection, TcpStream>;

/// An authority, a server's certificate and a client's, or `None` without `openssl`.
fn certificates() -> Option<TempDir> {
    let dir = TempDir::new().expect("a directory");
    let run = |arguments: &str| {
        Command::new("openssl")
            .args(arguments.split(' '))
            .current_dir(dir.path())
            .output()
            .is_ok_and(|output| output.status.success())
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    if !run(&format!(
        "req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=authority"
    )) {
        println!("skipped: needs openssl");
        return None;
    }
    for (name, names) in [
        ("server", "DNS:localhost,IP:127.0.0.1"),
        ("client", "email:a@b.c"),
    ] {
        let extensions = dir.path().join("ext");
        std::fs::write(extensions, format!("subjectAltName={names}\n")).expect("a file");
        assert!(run(&format!(
            "req {key} -keyout {name}.key -out {name}.csr -subj /CN={name}"
        )));
        let sign = "-CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext";
        assert!(run(&format!(
            "x509 -req -in {name}.csr {sign} -out {name}.pem"
        )));
    }
    Some(dir)
}

fn config(dir: &Path, more: &str) -> String {
    let dir = dir.display();
    format!("tls {{ cert_file: \"{dir}/server.pem\", key_file: \"{dir}/server.key\", {more} }}\n")
}

fn client(dir: &Path, own: bool) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(dir.join("ca.pem")).expect("a certificate");
    roots.add(authority).expect("an authority");
    let builder =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots);
    let config = if own {
        let chain = vec![CertificateDer::from_pem_file(dir.join("client.pem")).expect("one")];
        let key = PrivateKeyDer::from_pem_file(dir.join("client.key")).expect("a key");
        builder.with_client_auth_cert(chain, key).expect("a pair")
    } else {
        builder.with_no_client_auth()
    };
    Arc::new(config)
}

fn socket(server: &Server) -> TcpStream {
    let socket = TcpStream::connect(server.addr()).expect("a connection");
    socket.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    socket
}

/// Reads up to a line end.
fn line(stream: &mut impl std::io::Read) -> String {
    let (mut line, mut byte) = (Vec::new(), [0]);
    while !line.ends_with(b"\n") {
        match stream.read(&mut byte) {
            Ok(1) => line.push(byte[0]),
            _ => break,
        }
    }
    String::from_utf8(line).expect("text")
}

fn secured(socket: TcpStream, config: &Arc<ClientConfig>) -> Stream {
    let name = ServerName::try_from("localhost").expect("a name");
    let connection = ClientConnection::new(Arc::clone(config), name).expect("a client");
    StreamOwned::new(connection, socket)
}

fn say(stream: &mut Stream, text: &str) {
    stream.write_all(text.as_bytes()).expect("it is sent");
    stream.flush().expect("it is sent");
}

const HELLO: &str = "CONNECT {\"verbose\":false}\r\nPING\r\n";

#[test]
fn info_comes_first_in_plain_text_and_messages_are_secret() {
    let Some(dir) = certificates() else { return };
    let server = Server::builder()
        .config(&config(dir.path(), ""))
        .monitor()
        .start();
    let tls = client(dir.path(), false);
    let mut plain = socket(&server);
    let info = line(&mut plain);
    assert!(info.contains("\"tls_required\":true"), "{info}");
    let mut stream = secured(plain, &tls);
    say(&mut stream, HELLO);
    assert_eq!(line(&mut stream), "PONG\r\n");
    // Larger than records and than receive buffers, and small ones around it.
    let body = "x".repeat(300_000);
    say(
        &mut stream,
        &format!(
            "SUB a 1\r\nPUB a 2\r\nhi\r\nPUB a {}\r\n{body}\r\nPUB a 1\r\nz\r\n",
            body.len()
        ),
    );
    assert_eq!(line(&mut stream), "MSG a 1 2\r\n");
    assert_eq!(line(&mut stream), "hi\r\n");
    assert_eq!(line(&mut stream), "MSG a 1 300000\r\n");
    let mut received = vec![0; body.len() + 2];
    stream.read_exact(&mut received).expect("the body");
    assert!(received.starts_with(body.as_bytes()));
    assert_eq!(line(&mut stream), "MSG a 1 1\r\n");
    let connz = get_json(server.monitor(), "/connz");
    let connection = &connz["connections"][0];
    assert_eq!(connection["tls_version"], "1.3");
    assert_eq!(connection["tls_cipher_suite"], "TLS_AES_128_GCM_SHA256");
}

#[test]
fn a_certificate_is_asked_for_and_checked() {
    let Some(dir) = certificates() else { return };
    let ca = dir.path().join("ca.pem");
    let more = format!("ca_file: \"{}\", verify: true", ca.display());
    let server = Server::with_config(&config(dir.path(), &more));
    for own in [true, false] {
        let mut plain = socket(&server);
        assert!(line(&mut plain).contains("\"tls_verify\":true"));
        let mut stream = secured(plain, &client(dir.path(), own));
        let sent = stream.write_all(HELLO.as_bytes());
        let answer = line(&mut stream);
        assert_eq!(sent.is_ok() && answer == "PONG\r\n", own, "{answer}");
    }
}

#[test]
fn the_handshake_may_come_first() {
    let Some(dir) = certificates() else { return };
    let server = Server::with_config(&config(dir.path(), "handshake_first: true"));
    let mut stream = secured(socket(&server), &client(dir.path(), false));
    assert!(line(&mut stream).starts_with("INFO {"));
    say(&mut stream, HELLO);
    assert_eq!(line(&mut stream), "PONG\r\n");
}

#[test]
fn plain_text_and_garbage_are_closed_and_nobody_else_is() {
    let Some(dir) = certificates() else { return };
    let server = Server::with_config(&config(dir.path(), ""));
    let mut plain = socket(&server);
    line(&mut plain);
    let mut good = secured(plain, &client(dir.path(), false));
    say(&mut good, HELLO);
    assert_eq!(line(&mut good), "PONG\r\n");
    for bytes in [
        &b"CONNECT {}\r\nPING\r\n"[..],
        b"\x16\x03\x01\x00\x05hello",
        b"\x16\x03\x01\xff\xff",
    ] {
        let mut bad = socket(&server);
        line(&mut bad);
        bad.write_all(bytes).expect("it is sent");
        let mut rest = Vec::new();
        // Closed, or after the timeout of the handshake; a reset is as good.
        let _ = bad.read_to_end(&mut rest);
        assert!(rest.is_empty() || rest[0] == 21, "{rest:?}");
    }
    say(&mut good, "PING\r\n");
    assert_eq!(line(&mut good), "PONG\r\n");
}

#[test]
fn plain_text_is_let_in_where_it_may() {
    let Some(dir) = certificates() else { return };
    let text = format!("allow_non_tls: true\n{}", config(dir.path(), ""));
    let server = Server::with_config(&text);
    let mut plain = socket(&server);
    assert!(line(&mut plain).contains("\"tls_available\":true"));
    plain.write_all(HELLO.as_bytes()).expect("it is sent");
    assert_eq!(line(&mut plain), "PONG\r\n");
    let mut other = socket(&server);
    line(&mut other);
    let mut stream = secured(other, &client(dir.path(), false));
    say(&mut stream, HELLO);
    assert_eq!(line(&mut stream), "PONG\r\n");
}
