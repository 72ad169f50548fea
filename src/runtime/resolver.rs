//! Accounts' claims from an HTTP server: `resolver: URL(...)`.

use std::fmt;
use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use super::control::{ControlEvent, ControlSender};
use super::credentials::Check;
use crate::jwt::TOKEN_BYTES_MAX;

/// How long each step of a fetch may take: connecting, sending, each part of the answer.
const FETCH_TIMEOUT: Duration = Duration::from_secs(2);

/// Longest head of an answer, in bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Header lines of an answer.
const HEADERS_MAX: usize = 64;

/// Why there are no claims. Texts as those of nats-server.
#[derive(Debug)]
pub struct FetchError {
    url: String,
    reason: String,
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "could not fetch <{:?}>: {}", self.url, self.reason)
    }
}

impl std::error::Error for FetchError {}

/// Asks an HTTP server for claims: the account's name behind a base address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlResolver {
    /// `http://host[:port]/path/`
    base: String,
}

impl UrlResolver {
    /// Asks at this address, which the configuration has checked.
    pub fn new(base: &str) -> Self {
        Self {
            base: base.to_owned(),
        }
    }

    /// Fetches the claims of an account; with an empty name only asks whether the server answers.
    ///
    /// # Errors
    /// [`FetchError`].
    pub fn fetch(&self, account: &str) -> Result<String, FetchError> {
        let url = format!("{}{account}", self.base);
        get(&url).map_err(|reason| FetchError { url, reason })
    }
}

fn get(url: &str) -> Result<String, String> {
    let rest = url
        .strip_prefix("http://")
        .ok_or_else(|| format!("Get {url:?}: unsupported protocol scheme"))?;
    let (host, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    let failed = |error: std::io::Error| format!("Get {url:?}: {error}");
    let address = if host.contains(':') {
        host.to_owned()
    } else {
        format!("{host}:80")
    };
    let addresses = address.to_socket_addrs().map_err(failed)?;
    let mut stream = None;
    let mut last = "no address".to_owned();
    for address in addresses {
        match TcpStream::connect_timeout(&address, FETCH_TIMEOUT) {
            Ok(connected) => {
                stream = Some(connected);
                break;
            }
            Err(error) => last = format!("Get {url:?}: {error}"),
        }
    }
    let mut stream = stream.ok_or(last)?;
    stream
        .set_read_timeout(Some(FETCH_TIMEOUT))
        .map_err(failed)?;
    stream
        .set_write_timeout(Some(FETCH_TIMEOUT))
        .map_err(failed)?;
    // HTTP/1.0: the answer ends with the connection and has no chunks.
    let request = format!("GET {path} HTTP/1.0\r\nHost: {host}\r\nAccept: */*\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let mut answer = Vec::new();
    let most = (HEAD_BYTES_MAX + TOKEN_BYTES_MAX) as u64;
    stream.take(most).read_to_end(&mut answer).map_err(failed)?;
    body(&answer).map_err(|reason| format!("Get {url:?}: {reason}"))
}

/// The body of a good answer.
fn body(answer: &[u8]) -> Result<String, String> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let head = match response.parse(answer) {
        Ok(httparse::Status::Complete(head)) => head,
        Ok(httparse::Status::Partial) => return Err("unexpected EOF".to_owned()),
        Err(error) => return Err(format!("malformed HTTP response: {error}")),
    };
    if response.code != Some(200) {
        let code = response.code.unwrap_or(0);
        return Err(format!("{code} {}", response.reason.unwrap_or_default()));
    }
    let text = std::str::from_utf8(&answer[head..]).map_err(|_| "not text".to_owned())?;
    Ok(text.trim().to_owned())
}

/// Fetches accounts for logins that wait for them, one after the other, on a thread of its own.
#[derive(Clone)]
pub struct Fetcher {
    queue: Sender<(String, Check)>,
}

impl Fetcher {
    /// Answers come to the control thread.
    pub fn start(resolver: UrlResolver, control: ControlSender) -> Self {
        let (queue, wanted) = channel::<(String, Check)>();
        // Without a thread `wanted` is dropped, and sending to it fails.
        let _ = thread::Builder::new()
            .name("resolver".into())
            .spawn(move || {
                for (account, check) in wanted {
                    let result = resolver.fetch(&account).map_err(|error| error.to_string());
                    control.send(ControlEvent::AccountFetched {
                        account,
                        result,
                        check,
                    });
                }
            });
        Self { queue }
    }

    /// Fetches an account; the login is judged when it is there.
    pub fn fetch(&self, account: String, check: Check) {
        // Without its thread the login has no answer, and times out.
        let _ = self.queue.send((account, check));
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Answers one request with these bytes and returns the request.
    fn serve(answer: &'static [u8]) -> (String, thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}/jwt/", listener.local_addr().unwrap());
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut buffer = [0; 1024];
            while !request.ends_with(b"\r\n\r\n") {
                let read = stream.read(&mut buffer).unwrap();
                request.extend_from_slice(&buffer[..read]);
            }
            stream.write_all(answer).unwrap();
            String::from_utf8(request).unwrap()
        });
        (base, server)
    }

    #[test]
    fn an_account_is_asked_for_by_its_name() {
        let (base, server) = serve(b"HTTP/1.1 200 OK\r\nContent-Type: x\r\n\r\na.b.c\n");
        assert_eq!(UrlResolver::new(&base).fetch("AX").unwrap(), "a.b.c");
        let request = server.join().unwrap();
        assert!(request.starts_with("GET /jwt/AX HTTP/1.0\r\n"), "{request}");
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        for (answer, reason) in [
            (&b"HTTP/1.1 404 Not Found\r\n\r\n"[..], "404 Not Found"),
            (b"HTTP/1.1 200 OK\r\n", "unexpected EOF"),
            (b"junk\r\n\r\n", "malformed HTTP response"),
        ] {
            let (base, server) = serve(answer);
            let error = UrlResolver::new(&base).fetch("AX").unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
            server.join().unwrap();
        }
        let closed = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        assert!(
            UrlResolver::new(&format!("http://{closed}/"))
                .fetch("")
                .is_err()
        );
    }
}
