//! The measured loop's connections: one epoll, coalesced writes, and one
//! receive buffer shared by all.

use super::handshake::{ServerInfo, Target};
use super::protocol::{Msg, Op, Parser, subscribe};
use super::transport::Transport;
use crate::error::Error;
use crate::sys::{Epoll, Events, Interest, Ready, connect_nonblocking, monotonic_ns};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};

/// Bytes asked for by one read. Small enough to stay in the second-level cache.
const READ_SIZE: usize = 128 * 1024;

/// Connections served in one turn; the rest follow in the next.
const EVENTS_PER_TURN: usize = 256;

/// Sent bytes at the front of a send buffer that are worth moving the rest for.
const COMPACT_FROM: usize = 1024 * 1024;

/// A server that makes no progress with a barrier for this long is given up (ns).
const BARRIER_PATIENCE: u64 = 30_000_000_000;

/// Index of a connection.
pub type ConnId = usize;

/// Whose connection something happened on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub conn: ConnId,
    /// Index of the load that opened it.
    pub load: usize,
    /// The number that the load gave it.
    pub tag: usize,
}

/// What becomes of the run when the server ends a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnClose {
    EndRun,
    GoOn,
}

/// Receives what arrives. What is appended to `out` is sent on the same
/// connection, together with all that the same read provokes.
pub trait Handler {
    /// A message, read at `now` (monotonic nanoseconds).
    fn message(&mut self, place: Place, now: u64, msg: &Msg<'_>, out: &mut Vec<u8>);

    /// A PONG arrived.
    fn pong(&mut self, _place: Place, _now: u64, _out: &mut Vec<u8>) {}

    /// INFO arrived; the JSON.
    fn info(&mut self, _place: Place, _json: &[u8], _out: &mut Vec<u8>) {}

    /// The server (or an error, `how`) ended a connection.
    fn closed(&mut self, _place: Place, _how: &str) -> OnClose {
        OnClose::EndRun
    }
}

/// One connection.
struct Conn {
    transport: Transport,
    place: Place,
    parser: Parser,
    /// The beginning of an operation that the last read cut off.
    carry: Vec<u8>,
    out: Vec<u8>,
    /// How much of `out` is with the kernel.
    sent: usize,
    interest: Interest,
    open: bool,
    /// In the list of those to flush.
    dirty: bool,
}

/// All connections of a thread.
pub struct Net {
    target: Target,
    address: SocketAddr,
    epoll: Epoll,
    events: Events,
    conns: Vec<Conn>,
    /// Connections that were closed by us and may be replaced.
    free: Vec<ConnId>,
    dirty: Vec<ConnId>,
    scratch: Vec<u8>,
    info: ServerInfo,
    /// `-ERR` texts: how many, and the first.
    server_errors: (u64, Option<String>),
    busy_ns: u64,
    /// The load that opens connections at present.
    load: usize,
}

impl Net {
    pub fn new(target: Target) -> Result<Net, Error> {
        Ok(Net {
            address: target.address()?,
            target,
            epoll: Epoll::new().map_err(Error::system("creating an epoll"))?,
            events: Events::with_capacity(EVENTS_PER_TURN),
            conns: Vec::new(),
            free: Vec::new(),
            dirty: Vec::new(),
            scratch: vec![0; READ_SIZE],
            info: ServerInfo::default(),
            server_errors: (0, None),
            busy_ns: 0,
            load: 0,
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn target(&self) -> &Target {
        &self.target
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

    /// Adds time that was spent on work outside [`Net::turn`].
    pub fn worked(&mut self, nanoseconds: u64) {
        self.busy_ns += nanoseconds;
    }

    /// Connections opened from now on belong to load `index`.
    pub fn for_load(&mut self, index: usize) {
        self.load = index;
    }

    pub fn connections(&self) -> usize {
        self.conns.len() - self.free.len()
    }

    /// Opens a connection and waits until the server accepted it.
    pub fn connect(&mut self, tag: usize) -> Result<ConnId, Error> {
        let (transport, info) = self.target.open(self.address)?;
        transport
            .socket()
            .set_nonblocking(true)
            .map_err(Error::system("making a socket non-blocking"))?;
        self.info = info;
        self.adopt(transport, tag)
    }

    /// Begins to open a plain connection. The handler learns of INFO and has
    /// to answer it; errors come as an end of the connection.
    pub fn begin_connect(&mut self, tag: usize) -> Result<ConnId, Error> {
        let doing = || format!("connecting to {}", self.address);
        let stream = connect_nonblocking(self.address).map_err(Error::system(doing()))?;
        self.adopt(Transport::Plain(stream), tag)
    }

    fn adopt(&mut self, transport: Transport, tag: usize) -> Result<ConnId, Error> {
        let id = self.free.pop().unwrap_or(self.conns.len());
        self.epoll
            .add(transport.socket(), id, Interest::Read)
            .map_err(Error::system("watching a socket"))?;
        let conn = Conn {
            transport,
            place: Place {
                conn: id,
                load: self.load,
                tag,
            },
            parser: Parser::default(),
            carry: Vec::new(),
            out: Vec::new(),
            sent: 0,
            interest: Interest::Read,
            open: true,
            dirty: false,
        };
        match self.conns.get_mut(id) {
            Some(place) => *place = conn,
            None => self.conns.push(conn),
        }
        Ok(id)
    }

    /// Ends a connection. Not from within a handler. The id may be given to a
    /// later connection.
    pub fn close(&mut self, id: ConnId) -> Result<(), Error> {
        let conn = &mut self.conns[id];
        if conn.open {
            conn.open = false;
            self.epoll
                .remove(conn.transport.socket())
                .map_err(Error::system("forgetting a socket"))?;
        }
        // A peer that is gone already is no error.
        let _ = conn.transport.socket().shutdown(Shutdown::Both);
        self.free.push(id);
        Ok(())
    }

    /// Opens a connection per entry, each with its subscription (sid 1) and
    /// its tag, and returns when all are in force.
    pub fn connect_subscribers(
        &mut self,
        entries: impl IntoIterator<Item = (usize, String, Option<String>)>,
    ) -> Result<Vec<ConnId>, Error> {
        let mut ids = Vec::new();
        for (tag, subject, queue) in entries {
            let id = self.connect(tag)?;
            subscribe(self.out(id), &subject, queue.as_deref(), 1);
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
            match self.conns[id].transport.read(&mut self.scratch) {
                Ok(0) => return true,
                Ok(count) => total += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return error.kind() != ErrorKind::WouldBlock,
            }
        }
        false
    }

    /// The buffer of what is to be sent on a connection at the next flush.
    #[inline]
    pub fn out(&mut self, id: ConnId) -> &mut Vec<u8> {
        let conn = &mut self.conns[id];
        if !conn.dirty {
            conn.dirty = true;
            self.dirty.push(id);
        }
        &mut conn.out
    }

    /// Bytes not yet taken by the kernel.
    #[inline]
    pub fn unsent(&self, id: ConnId) -> usize {
        self.conns[id].out.len() - self.conns[id].sent
    }

    /// Sends what was appended since the last flush.
    pub fn flush(&mut self) -> Result<(), Error> {
        while let Some(id) = self.dirty.pop() {
            self.conns[id].dirty = false;
            self.send(id)?;
        }
        Ok(())
    }

    /// Sends PING on the connections and waits for all PONGs: what was sent
    /// before is in force. For set-up only: messages that arrive are dropped.
    pub fn barrier(&mut self, ids: &[ConnId]) -> Result<(), Error> {
        struct Pongs(usize);
        impl Handler for Pongs {
            fn message(&mut self, _: Place, _: u64, _: &Msg<'_>, _: &mut Vec<u8>) {}
            fn pong(&mut self, _: Place, _: u64, _: &mut Vec<u8>) {
                self.0 += 1;
            }
        }
        const LOOK_EVERY: u64 = 100_000_000;
        for &id in ids {
            self.out(id).extend_from_slice(b"PING\r\n");
        }
        self.flush()?;
        let mut pongs = Pongs(0);
        let mut progress = (0, monotonic_ns());
        while pongs.0 < ids.len() {
            self.turn(&mut pongs, LOOK_EVERY)?;
            if pongs.0 > progress.0 {
                progress = (pongs.0, monotonic_ns());
            } else if monotonic_ns() - progress.1 > BARRIER_PATIENCE || crate::sys::stop_requested()
            {
                return Err(Error::Handshake {
                    address: self.address.to_string(),
                    detail: format!("{} of {} PINGs unanswered", ids.len() - pongs.0, ids.len()),
                });
            }
        }
        Ok(())
    }

    /// Waits up to `timeout_ns`, reads and handles what has come, and sends
    /// what the handler replied.
    pub fn turn(&mut self, handler: &mut impl Handler, timeout_ns: u64) -> Result<(), Error> {
        self.epoll
            .wait(&mut self.events, timeout_ns)
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
            if writable || self.unsent(token) > 0 || self.conns[token].transport.wants_write() {
                self.send(token)?;
            }
        }
        self.busy_ns += monotonic_ns() - begin;
        Ok(())
    }

    fn receive(&mut self, id: ConnId, handler: &mut impl Handler) -> Result<(), Error> {
        loop {
            let conn = &mut self.conns[id];
            let kept = conn.carry.len();
            if self.scratch.len() < kept + READ_SIZE / 2 {
                self.scratch.resize(kept + READ_SIZE, 0);
            }
            self.scratch[..kept].copy_from_slice(&conn.carry);
            let count = match conn.transport.read(&mut self.scratch[kept..]) {
                Ok(0) => return self.closed(id, "the server closed it", handler),
                Ok(count) => count,
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
                {
                    return Ok(());
                }
                Err(error) => return self.closed(id, &error.to_string(), handler),
            };
            self.parse(id, kept + count, handler)?;
            if self.conns[id].transport.is_plain() {
                return Ok(());
            }
        }
    }

    /// Handles the operations in the first `length` bytes of `scratch`.
    fn parse(
        &mut self,
        id: ConnId,
        length: usize,
        handler: &mut impl Handler,
    ) -> Result<(), Error> {
        let conn = &mut self.conns[id];
        let place = conn.place;
        let now = monotonic_ns();
        let data = &self.scratch[..length];
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
                Op::Msg(msg) => handler.message(place, now, &msg, &mut conn.out),
                Op::Ping => conn.out.extend_from_slice(b"PONG\r\n"),
                Op::Pong => handler.pong(place, now, &mut conn.out),
                Op::Info(json) => handler.info(place, json, &mut conn.out),
                Op::Err(text) => {
                    self.server_errors.0 += 1;
                    self.server_errors
                        .1
                        .get_or_insert_with(|| String::from_utf8_lossy(text).into_owned());
                }
                Op::Ok => {}
            }
        }
        conn.carry.clear();
        conn.carry.extend_from_slice(&data[at..]);
        Ok(())
    }

    /// Sends as much as the kernel takes; the rest follows when it has room.
    fn send(&mut self, id: ConnId) -> Result<(), Error> {
        let conn = &mut self.conns[id];
        if !conn.open {
            conn.out.clear();
            conn.sent = 0;
            return Ok(());
        }
        while conn.sent < conn.out.len() {
            match conn.transport.write(&conn.out[conn.sent..]) {
                Ok(count) => conn.sent += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // The reason (an -ERR, a reset) is found by reading.
                Err(_) => break,
            }
        }
        if conn.sent == conn.out.len() {
            conn.out.clear();
            conn.sent = 0;
            if conn.transport.wants_write() {
                // What does not go out now is flushed when the socket is writable.
                let _ = conn.transport.flush();
            }
        } else if conn.sent >= COMPACT_FROM && conn.sent >= conn.out.len() / 2 {
            conn.out.drain(..conn.sent);
            conn.sent = 0;
        }
        let done = conn.out.is_empty() && !conn.transport.wants_write();
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
                .modify(conn.transport.socket(), id, interest)
                .map_err(Error::system("watching a socket"))?;
            conn.interest = interest;
        }
        Ok(())
    }

    fn closed(&mut self, id: ConnId, how: &str, handler: &mut impl Handler) -> Result<(), Error> {
        let conn = &mut self.conns[id];
        conn.open = false;
        // Shut down on both sides, the socket would report a hang-up for ever.
        if let Err(error) = self.epoll.remove(conn.transport.socket()) {
            return Err(Error::system("forgetting a socket")(error));
        }
        match handler.closed(conn.place, how) {
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
