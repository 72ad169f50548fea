//! Hostile connections that come in while the latency of another load is
//! measured.

use super::parameter;
use crate::connection::net::Net;
use crate::connection::protocol::Msg;
use crate::engine::{LastWords, Load, Share, Tally, Work};
use crate::error::Error;
use crate::result::{Growth, Pacing, Parameter};
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

/// `count` hostile connections, `per_second` of them a second, from the begin
/// of the measured part on.
pub struct Storm {
    pub count: usize,
    pub per_second: u64,
    pub server: Option<ServerProcess>,
}

impl Work for Storm {
    fn title(&self) -> String {
        format!("beside {} hostile connections", self.count)
    }

    fn pacing(&self) -> Pacing {
        Pacing::OpenLoop
    }

    fn parameters(&self) -> Vec<Parameter> {
        vec![parameter(
            "hostile connections",
            format!("{}, {} a second", self.count, self.per_second),
        )]
    }

    fn latency_measured(&self) -> &'static str {
        ""
    }

    fn connections(&self) -> usize {
        self.count
    }

    fn load(&self, share: Share) -> Box<dyn Load> {
        // One thread makes them all.
        let count = if share.thread == 0 { self.count } else { 0 };
        Box::new(StormLoad {
            count,
            per_second: self.per_second.max(1),
            server: self.server.filter(|_| count > 0),
            address: None,
            start: 0,
            conns: Vec::with_capacity(count),
            refused: 0,
            to_greet: VecDeque::new(),
            trickles: VecDeque::new(),
            next_sample: 0,
            before: 0,
            peak: 0,
            tally: Tally::default(),
        })
    }

    fn is_aside(&self) -> bool {
        true
    }
}

/// At most one connection is touched in a turn of the loop, so that the
/// storm's own work does not show as the server's latency.
struct StormLoad {
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
    tally: Tally,
}

impl StormLoad {
    /// Does the most urgent thing that is due, if any.
    fn step(&mut self, now: u64) {
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
    fn summary(&mut self) -> String {
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
    fn growth(&self) -> Option<Growth> {
        let after = self.server?.resident().ok()?;
        let count = self.conns.len() as u64;
        Some(Growth {
            what: "hostile connections".into(),
            count,
            resident_before: self.before,
            resident_after: after,
            resident_peak: self.peak.max(after),
        })
    }
}

impl Load for StormLoad {
    fn open(&mut self, _net: &mut Net) -> Result<(), Error> {
        Ok(())
    }

    fn begin(&mut self, net: &mut Net, now: u64) -> Result<(), Error> {
        self.address = Some(net.address());
        self.start = now;
        self.next_sample = now + SAMPLE_NS;
        let resident = self.server.map(|server| server.resident());
        self.before = resident.transpose()?.unwrap_or(0);
        self.peak = self.before;
        Ok(())
    }

    fn publish(&mut self, _net: &mut Net, now: u64) -> Result<(), Error> {
        self.step(now);
        Ok(())
    }

    fn next_due(&self, now: u64) -> u64 {
        // The storm has something to do all the time.
        if self.count > 0 { now } else { u64::MAX }
    }

    fn is_quiet(&self, now: u64) -> bool {
        now >= self.tally.until
    }

    fn message(&mut self, _tag: usize, _now: u64, _msg: &Msg<'_>, _out: &mut Vec<u8>) {}

    fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }

    fn conclude(&mut self, _net: &mut Net) -> LastWords {
        if self.count == 0 {
            return LastWords::default();
        }
        LastWords {
            notes: vec![self.summary()],
            growth: self.growth(),
            ..LastWords::default()
        }
    }
}
