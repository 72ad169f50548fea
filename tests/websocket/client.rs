//! A WebSocket client made of a socket: what it sends is up to the test.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::common::{DEADLINE, Server};

pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;
pub const FINAL: u8 = 0x80;
pub const COMPRESSED: u8 = 0x40;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const MASK: [u8; 4] = [0x12, 0xff, 0, 0x80];

/// The WebSocket listener of a server, by its log.
pub fn listener(server: &Server) -> SocketAddr {
    let line = server.wait_log("Listening for websocket clients on ws://");
    let (_, address) = line.split_once("ws://").unwrap();
    address.trim().parse().expect("an address in the log")
}

/// A frame as it came: its first byte and its payload.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    pub first: u8,
    pub payload: Vec<u8>,
}

pub struct WebSocket {
    socket: TcpStream,
    input: Vec<u8>,
}

/// An upgrade request with these headers on top of, or instead of, the usual ones; `-` leaves one out.
pub fn request(line: &str, change: &[(&str, &str)]) -> String {
    let mut headers = vec![
        ("Host", "localhost"),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", KEY),
        ("Sec-WebSocket-Version", "13"),
    ];
    for &(name, value) in change {
        headers.retain(|header| header.0 != name);
        if value != "-" {
            headers.push((name, value));
        }
    }
    let lines: String = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    format!("{line} HTTP/1.1\r\n{lines}\r\n")
}

impl WebSocket {
    pub fn open(at: SocketAddr) -> WebSocket {
        let socket = TcpStream::connect(at).expect("the server listens");
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        socket.set_nodelay(true).unwrap();
        WebSocket {
            socket,
            input: Vec::new(),
        }
    }

    /// Connects, and has the upgrade granted.
    #[track_caller]
    pub fn connect(at: SocketAddr, headers: &[(&str, &str)]) -> WebSocket {
        let mut client = WebSocket::open(at);
        client.send_raw(request("GET /", headers).as_bytes());
        let head = client.read_head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        client
    }

    /// The same, with INFO read and CONNECT sent.
    #[track_caller]
    pub fn ready(at: SocketAddr, headers: &[(&str, &str)]) -> WebSocket {
        let mut client = WebSocket::connect(at, headers);
        client.expect("INFO {");
        client.send("CONNECT {\"verbose\":false}\r\n");
        client.sync();
        client
    }

    pub fn send_raw(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
    }

    /// One masked frame with this first byte.
    pub fn send_frame(&mut self, first: u8, payload: &[u8]) {
        let mut bytes = vec![first];
        match payload.len() {
            short @ 0..=125 => bytes.push(0x80 | short as u8),
            middle @ 126..=0xffff => {
                bytes.push(0x80 | 126);
                bytes.extend((middle as u16).to_be_bytes());
            }
            long => {
                bytes.push(0x80 | 127);
                bytes.extend((long as u64).to_be_bytes());
            }
        }
        bytes.extend(MASK);
        bytes.extend(payload.iter().enumerate().map(|(at, b)| b ^ MASK[at % 4]));
        self.send_raw(&bytes);
    }

    pub fn send(&mut self, text: &str) {
        self.send_frame(FINAL | BINARY, text.as_bytes());
    }

    /// Reads until the server has carried out what was sent.
    #[track_caller]
    pub fn sync(&mut self) {
        self.send("PING\r\n");
        self.expect("PONG\r\n");
    }

    fn read_more(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        match self.socket.read(&mut buffer) {
            Ok(0) => false,
            Ok(count) => {
                self.input.extend_from_slice(&buffer[..count]);
                true
            }
            // A reset is an end as well.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => false,
            Err(error) => panic!("nothing came: {error}"),
        }
    }

    /// The head of an HTTP answer.
    pub fn read_head(&mut self) -> String {
        loop {
            if let Some(end) = self.input.windows(4).position(|w| w == b"\r\n\r\n") {
                let head: Vec<u8> = self.input.drain(..end + 4).collect();
                return String::from_utf8(head).expect("a head is text");
            }
            assert!(self.read_more(), "the connection ended in a head");
        }
    }

    /// All until the server ends the connection.
    pub fn read_end(&mut self) -> Vec<u8> {
        while self.read_more() {}
        std::mem::take(&mut self.input)
    }

    /// The next frame; nothing at the end.
    pub fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some((frame, used)) = parse(&self.input) {
                self.input.drain(..used);
                return Some(frame);
            }
            if !self.read_more() {
                assert!(self.input.is_empty(), "half a frame at the end");
                return None;
            }
        }
    }

    /// Data of the next frames until it ends with `text`; or, if that is "X {", has it.
    #[track_caller]
    pub fn expect(&mut self, text: &str) -> String {
        let mut data = Vec::new();
        while let Some(frame) = self.frame() {
            assert!(
                frame.first & 0x0f <= BINARY,
                "{frame:?} in place of {text:?}"
            );
            assert_eq!(frame.first & COMPRESSED, 0, "not agreed");
            data.extend(frame.payload);
            let so_far = String::from_utf8_lossy(&data);
            if so_far.contains(text) {
                return so_far.into_owned();
            }
        }
        panic!(
            "{text:?} did not come, but {:?}",
            String::from_utf8_lossy(&data)
        );
    }
}

fn parse(bytes: &[u8]) -> Option<(Frame, usize)> {
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    assert_eq!(second & 0x80, 0, "the server masks");
    let (length, at) = match second {
        126 => {
            let length = u16::from_be_bytes(bytes.get(2..4)?.try_into().unwrap());
            (usize::from(length), 4)
        }
        127 => {
            let length = u64::from_be_bytes(bytes.get(2..10)?.try_into().unwrap());
            (length as usize, 10)
        }
        short => (usize::from(short), 2),
    };
    let payload = bytes.get(at..at + length)?.to_vec();
    Some((Frame { first, payload }, at + length))
}
