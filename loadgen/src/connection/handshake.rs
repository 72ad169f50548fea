//! Opening a client connection: INFO, TLS, CONNECT, PING, PONG. It blocks; the
//! measured loop takes over afterwards.

use super::credentials::{Credentials, Fields};
use super::protocol::{Op, Parser};
use super::transport::Transport;
use crate::error::Error;
use rustls::ClientConfig;
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

/// How long the server may take for each step of the handshake.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

const DEFAULT_PORT: u16 = 4222;

/// TLS as it was asked for.
#[derive(Debug, Clone)]
pub struct Tls {
    pub config: Arc<ClientConfig>,
    /// Ask for it where the server leaves the choice.
    pub wanted: bool,
    /// Begin with it, before INFO.
    pub first: bool,
}

/// Where the server is and who we are.
#[derive(Debug, Clone, Default)]
pub struct Target {
    /// Name or address of the host.
    pub host: String,
    pub port: u16,
    pub credentials: Credentials,
    /// `None`: no flag about it was given; then the system's authorities count.
    pub tls: Option<Tls>,
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
    pub tls_available: bool,
    pub jetstream: bool,
    pub nonce: Option<String>,
}

/// A server address as people write it: `[nats://|tls://][user[:pass]@]host[:port]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    pub host: String,
    pub port: u16,
    pub user: Option<String>,
    pub pass: Option<String>,
    /// The scheme was `tls`.
    pub tls: bool,
}

impl std::str::FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Url, String> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("nats", text));
        if !matches!(scheme, "nats" | "tls") {
            return Err(format!("scheme {scheme} is neither nats nor tls"));
        }
        let (user_info, place) = match rest.rsplit_once('@') {
            Some((user_info, place)) => (Some(user_info), place),
            None => (None, rest),
        };
        let place = place.trim_end_matches('/');
        let (host, port) = match place.rsplit_once(':') {
            // The last colon of a bare IPv6 address is no port's.
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => (
                host,
                port.parse().map_err(|_| format!("\"{port}\" is no port"))?,
            ),
            _ => (place, DEFAULT_PORT),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || host.contains(char::is_whitespace) {
            return Err(format!("\"{text}\" is no address of a server"));
        }
        let (user, pass) = match user_info.map(|info| info.split_once(':').unwrap_or((info, ""))) {
            Some((user, "")) => (Some(user.to_owned()), None),
            Some((user, pass)) => (Some(user.to_owned()), Some(pass.to_owned())),
            None => (None, None),
        };
        Ok(Url {
            host: host.to_owned(),
            port,
            user,
            pass,
            tls: scheme == "tls",
        })
    }
}

impl Target {
    /// The address to connect to: of those that the name resolves to, the
    /// first of IPv4, which servers are more often bound to alone.
    pub fn address(&self) -> Result<SocketAddr, Error> {
        (self.host.as_str(), self.port)
            .to_socket_addrs()
            .and_then(|found| {
                let found: Vec<SocketAddr> = found.collect();
                let first = found.iter().find(|address| address.is_ipv4());
                let first = first.or(found.first()).copied();
                first.ok_or(io::ErrorKind::NotFound.into())
            })
            .map_err(|source| Error::Connect {
                address: format!("{}:{}", self.host, self.port),
                source,
            })
    }

    /// The same server and credentials at another local port.
    pub fn at_local_port(&self, port: u16) -> Target {
        Target {
            host: "localhost".into(),
            port,
            ..self.clone()
        }
    }

    /// CONNECT and PING, in answer to `info`.
    pub fn greeting(&self, info: &ServerInfo) -> Result<String, String> {
        #[derive(Serialize)]
        struct Connect<'a> {
            verbose: bool,
            pedantic: bool,
            tls_required: bool,
            lang: &'a str,
            version: &'a str,
            protocol: u8,
            headers: bool,
            no_responders: bool,
            #[serde(flatten)]
            credentials: Fields,
        }
        let connect = Connect {
            verbose: false,
            pedantic: false,
            tls_required: self.uses_tls(info),
            lang: "loadgen",
            version: env!("CARGO_PKG_VERSION"),
            protocol: 1,
            headers: true,
            no_responders: true,
            credentials: self.credentials.fields(info.nonce.as_deref())?,
        };
        // A struct of strings and booleans always serialises.
        let json = serde_json::to_string(&connect).unwrap_or_default();
        Ok(format!("CONNECT {json}\r\nPING\r\n"))
    }

    /// Whether connections to a server with this INFO are under TLS.
    pub fn uses_tls(&self, info: &ServerInfo) -> bool {
        let wanted = self.tls.as_ref().is_some_and(|tls| tls.wanted || tls.first);
        info.tls_required || wanted
    }

    fn under_tls(&self, socket: TcpStream) -> Result<Transport, String> {
        let config = match &self.tls {
            Some(tls) => Arc::clone(&tls.config),
            None => super::transport::TlsOptions::default()
                .config()
                .map_err(|error| error.to_string())?,
        };
        Transport::tls(socket, config, &self.host)
    }

    /// Opens a connection that the server has accepted. The stream comes back
    /// blocking and without time-outs; no bytes are left unread.
    pub fn open(&self, address: SocketAddr) -> Result<(Transport, ServerInfo), Error> {
        let connect_failed = |source| Error::Connect {
            address: address.to_string(),
            source,
        };
        let socket =
            TcpStream::connect_timeout(&address, HANDSHAKE_TIMEOUT).map_err(connect_failed)?;
        socket.set_nodelay(true).map_err(connect_failed)?;
        socket
            .set_read_timeout(Some(HANDSHAKE_TIMEOUT))
            .map_err(connect_failed)?;
        let (transport, info) = self
            .shake_hands(socket)
            .map_err(|detail| Error::Handshake {
                address: address.to_string(),
                detail,
            })?;
        transport
            .socket()
            .set_read_timeout(None)
            .map_err(connect_failed)?;
        Ok((transport, info))
    }

    fn shake_hands(&self, socket: TcpStream) -> Result<(Transport, ServerInfo), String> {
        let first = self.tls.as_ref().is_some_and(|tls| tls.first);
        let mut transport = if first {
            self.under_tls(socket)?
        } else {
            Transport::Plain(socket)
        };
        let mut reader = LineReader::default();
        let info = match reader.next(&mut transport)? {
            Reply::Info(info) => info,
            Reply::Err(text) => return Err(format!("-ERR '{text}'")),
            other => return Err(format!("expected INFO, got {other:?}")),
        };
        transport = match transport {
            Transport::Plain(socket) if self.uses_tls(&info) => {
                if !info.tls_required && !info.tls_available {
                    return Err("it has no TLS".into());
                }
                self.under_tls(socket)?
            }
            other => other,
        };
        transport
            .write_all(self.greeting(&info)?.as_bytes())
            .map_err(|error| error.to_string())?;
        loop {
            match reader.next(&mut transport)? {
                Reply::Pong => return Ok((transport, info)),
                Reply::Err(text) => return Err(format!("-ERR '{text}'")),
                Reply::Ping => transport
                    .write_all(b"PONG\r\n")
                    .map_err(|error| error.to_string())?,
                Reply::Ok | Reply::Info(_) => {}
            }
        }
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
    fn next(&mut self, stream: &mut Transport) -> Result<Reply, String> {
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

    fn served_by(script: &'static [&'static str]) -> Result<(Transport, ServerInfo), Error> {
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
    fn addresses_may_have_scheme_user_and_default_port() {
        let url = |text: &str| text.parse::<Url>().unwrap();
        let place = |text: &str| (url(text).host, url(text).port);
        assert_eq!(place("nats://127.0.0.1:5"), ("127.0.0.1".into(), 5));
        assert_eq!(place("127.0.0.1"), ("127.0.0.1".into(), 4222));
        assert_eq!(place("[::1]:77"), ("::1".into(), 77));
        assert_eq!(place("::1"), ("::1".into(), 4222));
        assert!(url("tls://host/").tls);
        let named = url("nats://me:se:cret@host:1");
        assert_eq!(named.user.as_deref(), Some("me"));
        assert_eq!(named.pass.as_deref(), Some("se:cret"));
        for bad in ["", "http://host", "host:port", "a server", "nats://"] {
            assert!(bad.parse::<Url>().is_err(), "{bad}");
        }
    }
}
