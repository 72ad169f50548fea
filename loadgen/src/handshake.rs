//! Opening a client connection: INFO, CONNECT, PING, PONG. It blocks; the
//! measured loop takes over afterwards.

use crate::error::Error;
use crate::protocol::{Op, Parser};
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

/// How long the server may take for each step of the handshake.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Where the server is and who we are.
#[derive(Debug, Clone, Default)]
pub struct Target {
    /// `host:port`, with or without `nats://` before it.
    pub server: String,
    pub user: Option<String>,
    pub pass: Option<String>,
    pub token: Option<String>,
}

/// What the server's INFO says, as far as it matters here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServerInfo {
    pub server_name: String,
    pub version: String,
    /// Bytes; 0 when not stated.
    pub max_payload: usize,
    pub tls_required: bool,
}

impl Target {
    /// The address to connect to: the first that the name resolves to.
    pub fn address(&self) -> Result<SocketAddr, Error> {
        let plain = self.server.strip_prefix("nats://").unwrap_or(&self.server);
        let with_port = if plain.contains(':') {
            plain.to_owned()
        } else {
            format!("{plain}:4222")
        };
        with_port
            .to_socket_addrs()
            .and_then(|mut found| found.next().ok_or(io::ErrorKind::NotFound.into()))
            .map_err(|source| Error::Connect {
                address: with_port,
                source,
            })
    }

    /// The CONNECT line.
    fn connect_line(&self) -> String {
        #[derive(Serialize)]
        struct Connect<'a> {
            verbose: bool,
            pedantic: bool,
            lang: &'a str,
            version: &'a str,
            protocol: u8,
            headers: bool,
            no_responders: bool,
            #[serde(skip_serializing_if = "Option::is_none")]
            user: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            pass: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            auth_token: Option<&'a str>,
        }
        let connect = Connect {
            verbose: false,
            pedantic: false,
            lang: "loadgen",
            version: env!("CARGO_PKG_VERSION"),
            protocol: 1,
            headers: true,
            no_responders: true,
            user: self.user.as_deref(),
            pass: self.pass.as_deref(),
            auth_token: self.token.as_deref(),
        };
        // A struct of strings and booleans always serialises.
        let json = serde_json::to_string(&connect).unwrap_or_default();
        format!("CONNECT {json}\r\n")
    }

    /// Opens a connection that the server has accepted. The stream comes back
    /// blocking and without time-outs; no bytes are left unread.
    pub fn open(&self, address: SocketAddr) -> Result<(TcpStream, ServerInfo), Error> {
        let connect_failed = |source| Error::Connect {
            address: address.to_string(),
            source,
        };
        let refused = |detail: String| Error::Handshake {
            address: address.to_string(),
            detail,
        };
        let mut stream =
            TcpStream::connect_timeout(&address, HANDSHAKE_TIMEOUT).map_err(connect_failed)?;
        stream.set_nodelay(true).map_err(connect_failed)?;
        stream
            .set_read_timeout(Some(HANDSHAKE_TIMEOUT))
            .map_err(connect_failed)?;

        let mut reader = LineReader::default();
        let info = match reader.next(&mut stream).map_err(&refused)? {
            Reply::Info(info) => info,
            Reply::Err(text) => return Err(refused(format!("-ERR '{text}'"))),
            other => return Err(refused(format!("expected INFO, got {other:?}"))),
        };
        if info.tls_required {
            return Err(refused(
                "it requires TLS, which loadgen does not speak".into(),
            ));
        }
        stream
            .write_all(format!("{}PING\r\n", self.connect_line()).as_bytes())
            .map_err(connect_failed)?;
        loop {
            match reader.next(&mut stream).map_err(&refused)? {
                Reply::Pong => break,
                Reply::Err(text) => return Err(refused(format!("-ERR '{text}'"))),
                Reply::Ping => stream.write_all(b"PONG\r\n").map_err(connect_failed)?,
                Reply::Ok | Reply::Info(_) => {}
            }
        }
        stream.set_read_timeout(None).map_err(connect_failed)?;
        Ok((stream, info))
    }
}

#[derive(Debug)]
enum Reply {
    Info(ServerInfo),
    Ping,
    Pong,
    Ok,
    Err(String),
}

/// Reads operations before any subscription exists.
#[derive(Default)]
struct LineReader {
    parser: Parser,
    data: Vec<u8>,
}

impl LineReader {
    fn next(&mut self, stream: &mut TcpStream) -> Result<Reply, String> {
        loop {
            if let Some((op, used)) = self.parser.next(&self.data).map_err(|e| e.to_string())? {
                let reply = match op {
                    Op::Info(json) => Reply::Info(
                        serde_json::from_slice(json)
                            .map_err(|error| format!("INFO is not valid JSON: {error}"))?,
                    ),
                    Op::Ping => Reply::Ping,
                    Op::Pong => Reply::Pong,
                    Op::Ok => Reply::Ok,
                    Op::Err(text) => Reply::Err(String::from_utf8_lossy(text).into_owned()),
                    Op::Msg(_) => return Err("a message before any subscription".into()),
                };
                self.data.drain(..used);
                return Ok(reply);
            }
            let mut chunk = [0; 4096];
            match stream.read(&mut chunk) {
                Ok(0) => return Err("it closed the connection".into()),
                Ok(count) => self.data.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(format!("no answer for {HANDSHAKE_TIMEOUT:?}"));
                }
                Err(error) => return Err(error.to_string()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn served_by(script: &'static [&'static str]) -> Result<(TcpStream, ServerInfo), Error> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            for (index, part) in script.iter().enumerate() {
                if index > 0 {
                    let mut request = [0; 1024];
                    let count = stream.read(&mut request).unwrap();
                    assert!(request[..count].starts_with(b"CONNECT {\"verbose\":false"));
                }
                stream.write_all(part.as_bytes()).unwrap();
            }
        });
        let outcome = Target::default().open(address);
        server.join().unwrap();
        outcome
    }

    #[test]
    fn opens_and_reads_info() {
        let (_, info) = served_by(&[
            "INFO {\"version\":\"2.15.1\",\"max_payload\":77,\"new\":[]}\r\n",
            "PING\r\n+OK\r\nPONG\r\n",
        ])
        .unwrap();
        assert_eq!((info.version.as_str(), info.max_payload), ("2.15.1", 77));
    }

    #[test]
    fn says_why_it_was_refused() {
        let said = |script| served_by(script).unwrap_err().to_string();
        assert!(said(&["INFO {}\r\n", "-ERR 'Authorization Violation'\r\n"]).contains("Auth"));
        assert!(said(&["INFO {\"tls_required\":true}\r\n"]).contains("TLS"));
        assert!(said(&["SSH-2.0-OpenSSH\r\n"]).contains("not NATS"));
        assert!(said(&["INFO {}\r\n", "PO"]).contains("closed"));
    }

    #[test]
    fn a_port_without_server_is_named() {
        let port = {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap()
        };
        let error = Target::default().open(port).unwrap_err().to_string();
        assert!(error.contains("is a server listening"), "{error}");
    }

    #[test]
    fn addresses_may_have_scheme_and_default_port() {
        let address = |server: &str| {
            Target {
                server: server.into(),
                ..Target::default()
            }
            .address()
            .unwrap()
            .to_string()
        };
        assert_eq!(address("nats://127.0.0.1:5"), "127.0.0.1:5");
        assert_eq!(address("127.0.0.1"), "127.0.0.1:4222");
    }
}
