//! Requests to the monitoring port, over a bare socket: what is tested includes the HTTP.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use super::wait::DEADLINE;

/// An answer of the monitoring port.
pub struct Response {
    pub status: u16,
    /// The status line and the headers, without the empty line after them.
    pub head: String,
    pub body: String,
}

impl Response {
    /// The value of a header, its name compared without case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|e| panic!("{e} in the body {:?}", self.body))
    }
}

/// `GET path`, the connection closed by the server after its answer.
#[track_caller]
pub fn get(monitor: SocketAddr, path: &str) -> Response {
    // HTTP/1.0 keeps the body free of chunks.
    let request = format!("GET {path} HTTP/1.0\r\nHost: {monitor}\r\n\r\n");
    let mut socket = TcpStream::connect_timeout(&monitor, DEADLINE).expect("monitoring port");
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket.write_all(request.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    socket.read_to_end(&mut bytes).expect("an HTTP answer");
    let text = String::from_utf8(bytes).expect("UTF-8 from the monitoring port");
    let (head, body) = text
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no HTTP head in {text:?}"));
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|s| s.parse().ok())
        .unwrap_or_else(|| panic!("no HTTP status in {head:?}"));
    Response {
        status,
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

/// `GET path`, which must answer 200 with JSON.
#[track_caller]
pub fn get_json(monitor: SocketAddr, path: &str) -> Value {
    let response = get(monitor, path);
    assert_eq!(
        response.status, 200,
        "GET {path}: {}{}",
        response.head, response.body
    );
    response.json()
}
