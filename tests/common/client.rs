//! A client that sees the protocol as it is on the wire.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use serde_json::Value;

use super::wait::DEADLINE;

/// A message as it was delivered: `MSG` has no headers, `HMSG` has.
#[derive(Clone, PartialEq, Eq)]
pub struct Msg {
    pub subject: String,
    pub sid: String,
    pub reply: Option<String>,
    pub headers: Option<Vec<u8>>,
    pub payload: Vec<u8>,
}

impl Msg {
    /// The payload as text, for comparisons that print well.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.payload).into_owned()
    }
}

impl std::fmt::Debug for Msg {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let start: String = self.text().chars().take(80).collect();
        let size = self.payload.len();
        write!(
            f,
            "{start:?} ({size} bytes) to {} sid {}",
            self.subject, self.sid
        )?;
        if let Some(reply) = &self.reply {
            write!(f, " reply {reply}")?;
        }
        if let Some(headers) = &self.headers {
            write!(f, " headers {:?}", String::from_utf8_lossy(headers))?;
        }
        Ok(())
    }
}

/// One thing that a server sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    Info(Value),
    Msg(Msg),
    Ok,
    /// The text between the quotes.
    Err(String),
    Ping,
    Pong,
}

/// A connection. Every read has [`DEADLINE`] and panics after it.
pub struct Client {
    socket: TcpStream,
    /// Received and not consumed yet: `buffer[consumed..]`.
    buffer: Vec<u8>,
    consumed: usize,
    /// The first `INFO`.
    pub info: Value,
}

impl Client {
    /// Connects and reads `INFO`; sends nothing.
    #[track_caller]
    pub fn connect(server: SocketAddr) -> Client {
        let mut client = Client::open(server);
        match client.raw_frame() {
            Frame::Info(info) => client.info = info,
            other => panic!("expected INFO first, got {other:?}"),
        }
        client
    }

    /// Opens the socket only.
    #[track_caller]
    pub fn open(server: SocketAddr) -> Client {
        let socket = TcpStream::connect_timeout(&server, DEADLINE).expect("connect");
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        socket.set_write_timeout(Some(DEADLINE)).unwrap();
        socket.set_nodelay(true).unwrap();
        Client {
            socket,
            buffer: Vec::new(),
            consumed: 0,
            info: Value::Null,
        }
    }

    /// Connects as most clients do: not verbose, with headers and no-responders.
    #[track_caller]
    pub fn ready(server: SocketAddr) -> Client {
        Client::ready_with(server, "")
    }

    /// The same with more CONNECT fields, `"name":"x"` for example.
    #[track_caller]
    pub fn ready_with(server: SocketAddr, fields: &str) -> Client {
        let mut client = Client::connect(server);
        client.login(fields);
        client.flush();
        client
    }

    /// Sends the CONNECT of [`Client::ready_with`] and waits for nothing.
    #[track_caller]
    pub fn login(&mut self, fields: &str) {
        let comma = if fields.is_empty() { "" } else { "," };
        self.send(format!(
            "CONNECT {{\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true{comma}{fields}}}\r\n"
        ));
    }

    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.socket.write_all(bytes.as_ref()).expect("send");
    }

    /// Sends though the server may have closed the connection already.
    pub fn send_anyway(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.socket.write_all(bytes.as_ref());
    }

    /// `PUB` with a payload.
    #[track_caller]
    pub fn publish(&mut self, subject: &str, payload: impl AsRef<[u8]>) {
        let payload = payload.as_ref();
        let mut bytes = format!("PUB {subject} {}\r\n", payload.len()).into_bytes();
        bytes.extend_from_slice(payload);
        bytes.extend_from_slice(b"\r\n");
        self.send(bytes);
    }

    /// The next frame; the server's own PINGs are answered and passed over.
    #[track_caller]
    pub fn frame(&mut self) -> Frame {
        loop {
            match self.raw_frame() {
                Frame::Ping => self.send_anyway("PONG\r\n"),
                other => return other,
            }
        }
    }

    /// The next frame, whatever it is.
    #[track_caller]
    pub fn raw_frame(&mut self) -> Frame {
        let line = self.line();
        let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
        match verb {
            "INFO" => Frame::Info(serde_json::from_str(rest).expect("JSON in INFO")),
            "+OK" => Frame::Ok,
            "PING" => Frame::Ping,
            "PONG" => Frame::Pong,
            "-ERR" => Frame::Err(
                rest.strip_prefix('\'')
                    .and_then(|r| r.strip_suffix('\''))
                    .unwrap_or_else(|| panic!("unquoted error: {line}"))
                    .to_owned(),
            ),
            "MSG" | "HMSG" => Frame::Msg(self.message(verb == "HMSG", rest)),
            _ => panic!("not a server's line: {line:?}"),
        }
    }

    fn message(&mut self, with_headers: bool, rest: &str) -> Msg {
        let fields: Vec<&str> = rest.split(' ').collect();
        let sizes = if with_headers { 2 } else { 1 };
        let named = fields.len() - sizes;
        assert!(named == 2 || named == 3, "fields of {rest:?}");
        let size = |i: usize| -> usize { fields[i].parse().expect("a size") };
        let total = size(fields.len() - 1);
        let head = if with_headers { size(named) } else { 0 };
        let mut body = self.bytes(total + 2);
        assert_eq!(body.split_off(total), b"\r\n", "end of payload of {rest:?}");
        let payload = body.split_off(head);
        Msg {
            subject: fields[0].to_owned(),
            sid: fields[1].to_owned(),
            reply: (named == 3).then(|| fields[2].to_owned()),
            headers: with_headers.then_some(body),
            payload,
        }
    }

    /// The next frame, which must be a message.
    #[track_caller]
    pub fn msg(&mut self) -> Msg {
        match self.frame() {
            Frame::Msg(msg) => msg,
            other => panic!("expected a message, got {other:?}"),
        }
    }

    /// The next frame must be this error.
    #[track_caller]
    pub fn expect_err(&mut self, text: &str) {
        assert_eq!(self.frame(), Frame::Err(text.to_owned()));
    }

    /// The next frame must be `+OK`.
    #[track_caller]
    pub fn expect_ok(&mut self) {
        assert_eq!(self.frame(), Frame::Ok);
    }

    /// Everything before this on the connection is in force; nothing else may have arrived.
    #[track_caller]
    pub fn flush(&mut self) {
        let before = self.sync();
        assert!(
            before.is_empty(),
            "before the PONG came {} frames, the first is {:?}",
            before.len(),
            before[0]
        );
    }

    /// PING, and all that arrives before its PONG.
    #[track_caller]
    pub fn sync(&mut self) -> Vec<Frame> {
        self.send("PING\r\n");
        let mut frames = Vec::new();
        loop {
            match self.frame() {
                Frame::Pong => return frames,
                other => frames.push(other),
            }
        }
    }

    /// As [`Client::sync`], when only messages may arrive.
    #[track_caller]
    pub fn sync_messages(&mut self) -> Vec<Msg> {
        self.sync()
            .into_iter()
            .map(|frame| match frame {
                Frame::Msg(msg) => msg,
                other => panic!("expected messages only, got {other:?}"),
            })
            .collect()
    }

    /// The server closes the connection, and sends nothing before it but PINGs.
    #[track_caller]
    pub fn expect_closed(&mut self) {
        let rest = String::from_utf8_lossy(&self.rest()).replace("PING\r\n", "");
        assert_eq!(rest, "", "before the connection closed");
    }

    /// This error, then the close.
    #[track_caller]
    pub fn expect_err_and_close(&mut self, text: &str) {
        self.expect_err(text);
        self.expect_closed();
    }

    /// All bytes up to the close. A reset counts as one: bytes that the server had not read when
    /// it closed make the kernel send it.
    #[track_caller]
    pub fn rest(&mut self) -> Vec<u8> {
        while self.fill() {}
        let rest = self.buffer.split_off(self.consumed);
        self.buffer.clear();
        self.consumed = 0;
        rest
    }

    /// The next line, without its CRLF.
    #[track_caller]
    pub fn line(&mut self) -> String {
        let line = self.line_or_close();
        line.unwrap_or_else(|| panic!("closed within the line {:?}", self.pending()))
    }

    /// The next line, without its CRLF; none when the connection ends before a line does.
    #[track_caller]
    pub fn line_or_close(&mut self) -> Option<String> {
        // How much of the unread bytes is known to hold no line end.
        let mut scanned = 0;
        loop {
            let unread = &self.buffer[self.consumed..];
            if let Some(i) = unread[scanned..].iter().position(|b| *b == b'\n') {
                let end = scanned + i;
                let line = unread[..end].strip_suffix(b"\r");
                let line = String::from_utf8_lossy(line.expect("CRLF at a line's end"));
                let line = line.into_owned();
                self.consumed += end + 1;
                return Some(line);
            }
            scanned = unread.len();
            if !self.fill() {
                return None;
            }
        }
    }

    fn bytes(&mut self, n: usize) -> Vec<u8> {
        while self.buffer.len() - self.consumed < n {
            assert!(self.fill(), "closed within a payload of {n} bytes");
        }
        let bytes = self.buffer[self.consumed..self.consumed + n].to_vec();
        self.consumed += n;
        bytes
    }

    fn pending(&self) -> String {
        String::from_utf8_lossy(&self.buffer[self.consumed..]).into_owned()
    }

    /// Receives some bytes; false at the connection's end.
    #[track_caller]
    fn fill(&mut self) -> bool {
        self.buffer.drain(..self.consumed);
        self.consumed = 0;
        let mut chunk = [0; 64 * 1024];
        loop {
            match self.socket.read(&mut chunk) {
                Ok(0) => return false,
                Ok(n) => {
                    self.buffer.extend_from_slice(&chunk[..n]);
                    return true;
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                // A reset that follows a close is the second kind.
                Err(e)
                    if matches!(e.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) =>
                {
                    return false;
                }
                Err(e) => panic!("{e}; received so far: {:?}", self.pending()),
            }
        }
    }

    /// Ends the sending side only: a half-open socket.
    pub fn shutdown_write(&mut self) {
        self.socket.shutdown(Shutdown::Write).unwrap();
    }

    /// The same, though the server may have closed the connection already.
    pub fn shutdown_write_anyway(&mut self) {
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    /// The port of this end, as the server sees it.
    pub fn local_port(&self) -> u16 {
        self.socket.local_addr().unwrap().port()
    }

    /// The bare socket.
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }
}
