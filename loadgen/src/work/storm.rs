//! Hostile connections that come in while latency is measured.

use crate::report::Growth;
use crate::server_process::ServerProcess;
use crate::sys::connect_nonblocking;
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// Nanoseconds between two bytes of a connection that trickles.
const TRICKLE_NS: u64 = 1_000_000_000;

/// Nanoseconds between two looks at the server's memory.
const SAMPLE_NS: u64 = 100_000_000;

/// What a hostile connection does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Nothing at all.
    Silent,
    /// Sends its CONNECT a byte a second.
    Trickle,
    /// Sends bytes that are not NATS.
    Noise,
    /// Sends a control line without an end.
    EndlessLine,
    /// Announces a payload and sends none of it.
    HalfMessage,
}

const KINDS: [Kind; 5] = [
    Kind::Silent,
    Kind::Trickle,
    Kind::Noise,
    Kind::EndlessLine,
    Kind::HalfMessage,
];

const CONNECT: &[u8] = b"CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"storm\"}\r\n";

impl Kind {
    /// What it sends as soon as it is connected.
    fn greeting(self) -> Vec<u8> {
        match self {
            Kind::Silent | Kind::Trickle => Vec::new(),
            Kind::Noise => (0..512u32).map(|n| (n * 167 + 13) as u8).collect(),
            Kind::EndlessLine => [b"PUB ", &[b'a'; 6000][..]].concat(),
            Kind::HalfMessage => [CONNECT, b"PUB storm 1000000\r\n"].concat(),
        }
    }
}

/// The storm. At most one connection is touched in a turn of the loop, so that
/// its own work does not show as the server's latency.
pub struct Storm {
    count: usize,
    per_second: u64,
    server: Option<ServerProcess>,
    address: Option<SocketAddr>,
    start: u64,
    conns: Vec<TcpStream>,
    refused: usize,
    /// Connections not greeted yet, until their handshake is over.
    to_greet: VecDeque<(u64, usize)>,
    /// When which connection sends its next byte, and which.
    trickles: VecDeque<(u64, usize, usize)>,
    next_sample: u64,
    before: u64,
    peak: u64,
}

impl Storm {
    /// `count` connections, `per_second` of them a second.
    pub fn new(count: usize, per_second: u64, server: Option<ServerProcess>) -> Storm {
        Storm {
            count,
            per_second: per_second.max(1),
            server,
            address: None,
            start: 0,
            conns: Vec::with_capacity(count),
            refused: 0,
            to_greet: VecDeque::new(),
            trickles: VecDeque::new(),
            next_sample: 0,
            before: 0,
            peak: 0,
        }
    }

    pub fn count(&self) -> usize {
        self.count
    }

    pub fn begin(&mut self, now: u64, address: SocketAddr) {
        self.address = Some(address);
        self.start = now;
        self.next_sample = now + SAMPLE_NS;
        self.before = self
            .server
            .and_then(|server| server.resident().ok())
            .unwrap_or(0);
        self.peak = self.before;
    }

    /// Does the most urgent thing that is due, if any.
    pub fn step(&mut self, now: u64) {
        let Some(address) = self.address else {
            return;
        };
        if let Some(&(due, index)) = self.to_greet.front()
            && due <= now
        {
            self.to_greet.pop_front();
            let kind = KINDS[index % KINDS.len()];
            // A connection that was refused or closed is counted at the end.
            let _ = self.conns[index].write(&kind.greeting());
            if kind == Kind::Trickle {
                self.trickles.push_back((now, index, 0));
            }
        } else if self.conns.len() + self.refused < self.count && self.next_arrival() <= now {
            match connect_nonblocking(address) {
                Ok(stream) => {
                    /// Time for the handshake on a loaded host (ns).
                    const SETTLED: u64 = 2_000_000;
                    self.to_greet.push_back((now + SETTLED, self.conns.len()));
                    self.conns.push(stream);
                }
                Err(_) => self.refused += 1,
            }
        } else if let Some(&(due, index, sent)) = self.trickles.front()
            && due <= now
        {
            self.trickles.pop_front();
            if let Some(byte) = CONNECT.get(sent)
                && self.conns[index].write(&[*byte]).is_ok()
            {
                self.trickles.push_back((now + TRICKLE_NS, index, sent + 1));
            }
        } else if self.next_sample <= now {
            self.next_sample = now + SAMPLE_NS;
            if let Some(server) = self.server {
                self.peak = self.peak.max(server.resident_estimate().unwrap_or(0));
            }
        }
    }

    fn next_arrival(&self) -> u64 {
        let arrived = (self.conns.len() + self.refused) as u64;
        self.start + arrived * 1_000_000_000 / self.per_second
    }

    /// What became of the connections.
    pub fn summary(&mut self) -> String {
        let mut sink = [0; 4096];
        let mut closed = 0;
        for stream in &mut self.conns {
            closed += loop {
                match stream.read(&mut sink) {
                    Ok(0) => break 1,
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break 0,
                    Err(_) => break 1,
                }
            };
        }
        format!(
            "{} hostile connections came, {} could not be opened, {closed} were closed by the server",
            self.conns.len(),
            self.refused
        )
    }

    /// The server's memory with all of them there.
    pub fn growth(&self) -> Option<Growth> {
        let after = self.server?.resident().ok()?;
        let count = self.conns.len() as u64;
        Some(Growth {
            what: "hostile connections".into(),
            count,
            resident_before: self.before,
            resident_after: after,
            resident_peak: self.peak.max(after),
            bytes_each: after.saturating_sub(self.before) as f64 / count.max(1) as f64,
        })
    }
}
