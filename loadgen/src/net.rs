//! The measured loop's connections: one epoll, coalesced writes, and one
//! receive buffer shared by all.

use crate::error::Error;
use crate::handshake::{ServerInfo, Target};
use crate::protocol::{Msg, Op, Parser};
use crate::sys::{Epoll, Events, Interest, Ready, monotonic_ns};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// Bytes asked for by one read. Small enough to stay in the second-level cache.
const READ_SIZE: usize = 128 * 1024;

/// Connections served in one turn; the rest follow in the next.
const EVENTS_PER_TURN: usize = 256;

/// Index of a connection, in the order they were opened.
pub type ConnId = usize;

/// What becomes of the run when the server ends a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnClose {
    EndRun,
    GoOn,
}

/// Receives what arrives.
pub trait Handler {
    /// A message for connection `conn`, read at `now` (monotonic nanoseconds).
    /// What is appended to `out` is sent on the same connection, together with
    /// all that the same read provokes.
    fn message(&mut self, conn: ConnId, now: u64, msg: &Msg<'_>, out: &mut Vec<u8>);

    /// A PONG arrived.
    fn pong(&mut self, _conn: ConnId) {}

    /// The server ended a connection.
    fn closed(&mut self, _conn: ConnId) -> OnClose {
        OnClose::EndRun
    }
}

/// One connection.
struct Conn {
    stream: TcpStream,
    parser: Parser,
    /// The beginning of an operation that the last read cut off.
    carry: Vec<u8>,
    out: Vec<u8>,
    /// How much of `out` is with the kernel.
    sent: usize,
    interest: Interest,
    open: bool,
}

/// All connections of a run.
pub struct Net {
    target: Target,
    address: SocketAddr,
    epoll: Epoll,
    events: Events,
    conns: Vec<Conn>,
    scratch: Vec<u8>,
    info: ServerInfo,
    /// `-ERR` texts: how many, and the first.
    server_errors: (u64, Option<String>),
    busy_ns: u64,
}

impl Net {
    pub fn new(target: Target) -> Result<Net, Error> {
        Ok(Net {
            address: target.address()?,
            target,
            epoll: Epoll::new().map_err(Error::system("creating an epoll"))?,
            events: Events::with_capacity(EVENTS_PER_TURN),
            conns: Vec::new(),
            scratch: vec![0; READ_SIZE],
            info: ServerInfo::default(),
            server_errors: (0, None),
            busy_ns: 0,
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// INFO of the newest connection.
    pub fn info(&self) -> &ServerInfo {
        &self.info
    }

    /// `-ERR` lines received: their number, and the text of the first.
    pub fn server_errors(&self) -> (u64, Option<&str>) {
        (self.server_errors.0, self.server_errors.1.as_deref())
    }

    /// Nanoseconds spent on work, as opposed to waiting or looking for it.
    pub fn busy_ns(&self) -> u64 {
        self.busy_ns
    }

    /// Adds time that a workload spent on work outside [`Net::turn`].
    pub fn worked(&mut self, nanoseconds: u64) {
        self.busy_ns += nanoseconds;
    }

    /// Opens a connection and waits until the server accepted it.
    pub fn connect(&mut self) -> Result<ConnId, Error> {
        let (stream, info) = self.target.open(self.address)?;
        stream
            .set_nonblocking(true)
            .map_err(Error::system("making a socket non-blocking"))?;
        self.info = info;
        let id = self.conns.len();
        self.epoll
            .add(&stream, id, Interest::Read)
            .map_err(Error::system("watching a socket"))?;
        self.conns.push(Conn {
            stream,
            parser: Parser::default(),
            carry: Vec::new(),
            out: Vec::new(),
            sent: 0,
            interest: Interest::Read,
            open: true,
        });
        Ok(id)
    }

    /// Opens a connection per entry of `subjects`, each with its subscription
    /// (sid 1), and returns when all are in force.
    pub fn connect_subscribers(
        &mut self,
        subjects: impl IntoIterator<Item = (String, Option<String>)>,
    ) -> Result<Vec<ConnId>, Error> {
        let mut ids = Vec::new();
        for (subject, queue) in subjects {
            let id = self.connect()?;
            crate::protocol::subscribe(self.out(id), &subject, queue.as_deref(), 1);
            ids.push(id);
        }
        self.barrier(&ids)?;
        Ok(ids)
    }

    /// Stops reading from a connection, for good: a subscriber that stalls.
    pub fn stop_reading(&mut self, id: ConnId) -> Result<(), Error> {
        self.watch(id, Interest::Nothing)
    }

    /// Reads and throws away what a stalled connection still holds, up to
    /// `limit` bytes. True when the server ended the connection.
    pub fn drain_stalled(&mut self, id: ConnId, limit: usize) -> bool {
        let mut total = 0;
        while total < limit {
            match self.conns[id].stream.read(&mut self.scratch) {
                Ok(0) => return true,
                Ok(count) => total += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return error.kind() != ErrorKind::WouldBlock,
            }
        }
        false
    }

    /// The buffer of what is to be sent on a connection at the next flush.
    pub fn out(&mut self, id: ConnId) -> &mut Vec<u8> {
        &mut self.conns[id].out
    }

    /// Bytes not yet taken by the kernel.
    pub fn unsent(&self, id: ConnId) -> usize {
        self.conns[id].out.len() - self.conns[id].sent
    }

    /// Sends PING on the connections and waits for all PONGs: what was sent
    /// before is in force. For set-up only: messages that arrive are dropped.
    pub fn barrier(&mut self, ids: &[ConnId]) -> Result<(), Error> {
        struct Pongs(usize);
        impl Handler for Pongs {
            fn message(&mut self, _: ConnId, _: u64, _: &Msg<'_>, _: &mut Vec<u8>) {}
            fn pong(&mut self, _: ConnId) {
                self.0 += 1;
            }
        }
        /// A server that makes no progress for this long is given up (ns).
        const PATIENCE: u64 = 30_000_000_000;
        for &id in ids {
            self.out(id).extend_from_slice(b"PING\r\n");
            self.flush(id)?;
        }
        let mut pongs = Pongs(0);
        let mut progress = (0, monotonic_ns());
        while pongs.0 < ids.len() {
            self.turn(&mut pongs, 100)?;
            if pongs.0 > progress.0 {
                progress = (pongs.0, monotonic_ns());
            } else if monotonic_ns() - progress.1 > PATIENCE || crate::sys::stop_requested() {
                return Err(Error::Handshake {
                    address: self.address.to_string(),
                    detail: format!("{} of {} PINGs unanswered", ids.len() - pongs.0, ids.len()),
                });
            }
        }
        Ok(())
    }

    /// Waits up to `timeout_ms`, reads and handles what has come, and sends
    /// what the handler replied.
    pub fn turn(&mut self, handler: &mut impl Handler, timeout_ms: i32) -> Result<(), Error> {
        self.epoll
            .wait(&mut self.events, timeout_ms)
            .map_err(Error::system("waiting for sockets"))?;
        if self.events.len() == 0 {
            return Ok(());
        }
        let begin = monotonic_ns();
        for index in 0..self.events.len() {
            let Ready {
                token,
                writable,
                readable,
            } = self.events.get(index);
            if readable {
                self.receive(token, handler)?;
            }
            if writable || self.unsent(token) > 0 {
                self.flush(token)?;
            }
        }
        self.busy_ns += monotonic_ns() - begin;
        Ok(())
    }

    fn receive(&mut self, id: ConnId, handler: &mut impl Handler) -> Result<(), Error> {
        let conn = &mut self.conns[id];
        let kept = conn.carry.len();
        if self.scratch.len() < kept + READ_SIZE / 2 {
            self.scratch.resize(kept + READ_SIZE, 0);
        }
        self.scratch[..kept].copy_from_slice(&conn.carry);
        let count = match conn.stream.read(&mut self.scratch[kept..]) {
            Ok(0) => return self.closed(id, "the server closed it", handler),
            Ok(count) => count,
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                return Ok(());
            }
            Err(error) => return self.closed(id, &error.to_string(), handler),
        };
        let now = monotonic_ns();
        let data = &self.scratch[..kept + count];
        let mut at = 0;
        loop {
            let (op, used) = match conn.parser.next(&data[at..]) {
                Ok(Some(step)) => step,
                Ok(None) => break,
                Err(error) => {
                    return Err(Error::Closed {
                        connection: id,
                        detail: error.to_string(),
                    });
                }
            };
            at += used;
            match op {
                Op::Msg(msg) => handler.message(id, now, &msg, &mut conn.out),
                Op::Ping => conn.out.extend_from_slice(b"PONG\r\n"),
                Op::Pong => handler.pong(id),
                Op::Err(text) => {
                    self.server_errors.0 += 1;
                    self.server_errors
                        .1
                        .get_or_insert_with(|| String::from_utf8_lossy(text).into_owned());
                }
                Op::Ok | Op::Info(_) => {}
            }
        }
        conn.carry.clear();
        conn.carry.extend_from_slice(&data[at..]);
        Ok(())
    }

    /// Sends as much as the kernel takes; the rest follows when it has room.
    pub fn flush(&mut self, id: ConnId) -> Result<(), Error> {
        let conn = &mut self.conns[id];
        if !conn.open {
            conn.out.clear();
            conn.sent = 0;
            return Ok(());
        }
        while conn.sent < conn.out.len() {
            match conn.stream.write(&conn.out[conn.sent..]) {
                Ok(count) => conn.sent += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // The reason (an -ERR, a reset) is found by reading.
                Err(_) => break,
            }
        }
        let done = conn.sent == conn.out.len();
        if done {
            conn.out.clear();
            conn.sent = 0;
        }
        match (done, conn.interest) {
            (true, Interest::ReadWrite) => self.watch(id, Interest::Read),
            (false, Interest::Read) => self.watch(id, Interest::ReadWrite),
            _ => Ok(()),
        }
    }

    fn watch(&mut self, id: ConnId, interest: Interest) -> Result<(), Error> {
        let conn = &mut self.conns[id];
        if conn.interest != interest {
            self.epoll
                .modify(&conn.stream, id, interest)
                .map_err(Error::system("watching a socket"))?;
            conn.interest = interest;
        }
        Ok(())
    }

    fn closed(&mut self, id: ConnId, how: &str, handler: &mut impl Handler) -> Result<(), Error> {
        let conn = &mut self.conns[id];
        conn.open = false;
        // Shut down on both sides, the socket would report a hang-up for ever.
        if let Err(error) = self.epoll.remove(&conn.stream) {
            return Err(Error::system("forgetting a socket")(error));
        }
        match handler.closed(id) {
            OnClose::GoOn => Ok(()),
            OnClose::EndRun => Err(Error::Closed {
                connection: id,
                detail: match &self.server_errors.1 {
                    Some(text) => format!("{how} (it said -ERR '{text}')"),
                    None => how.to_owned(),
                },
            }),
        }
    }
}
