//! `connect`: connections come at a rate, each greets the server, waits for
//! its PONG, and leaves after a while.

use super::{Cell, parameter, pattern_parameters};
use crate::connection::handshake::{ServerInfo, Target};
use crate::connection::net::{ConnId, Net, OnClose};
use crate::connection::protocol::Msg;
use crate::engine::{CountedBy, LastWords, Load, Share, Tally, Work};
use crate::error::Error;
use crate::result::{Figure, Pacing, Parameter, RunResult};
use crate::schedule::{Pattern, Schedule};
use std::collections::VecDeque;
use std::sync::Arc;

/// What became of connections, all threads together.
#[derive(Default)]
struct Board {
    accepted: Cell,
    refused: Cell,
    /// The first reason.
    reason: std::sync::OnceLock<String>,
}

pub struct Connect {
    pattern: Pattern,
    /// Nanoseconds that a connection stays.
    hold_ns: u64,
    board: Arc<Board>,
}

impl Connect {
    pub fn new(pattern: Pattern, hold_ns: u64) -> Connect {
        Connect {
            pattern,
            hold_ns,
            board: Arc::default(),
        }
    }
}

impl Work for Connect {
    fn title(&self) -> String {
        format!("connect, each held {:.1} s", self.hold_ns as f64 / 1e9)
    }

    fn pacing(&self) -> Pacing {
        Pacing::OpenLoop
    }

    fn parameters(&self) -> Vec<Parameter> {
        let mut parameters = pattern_parameters(&self.pattern);
        parameters.push(parameter(
            "hold",
            format!("{:.1} s", self.hold_ns as f64 / 1e9),
        ));
        parameters
    }

    fn latency_measured(&self) -> &'static str {
        "intended time of the connection to its first PONG"
    }

    fn counted_by(&self) -> CountedBy {
        CountedBy::Published
    }

    fn pattern(&self) -> Option<Pattern> {
        Some(self.pattern)
    }

    fn connections(&self) -> usize {
        /// Time to be accepted and to be closed (s).
        const MARGIN: f64 = 1.0;
        let together = self.pattern.rate as f64 * (self.hold_ns as f64 / 1e9 + MARGIN);
        together as usize + 1
    }

    fn load(&self, share: Share) -> Box<dyn Load> {
        Box::new(ConnectLoad {
            schedule: Schedule::new(self.pattern, share.threads, vec![share.thread]),
            hold_ns: self.hold_ns,
            board: Arc::clone(&self.board),
            guests: Vec::new(),
            free: Vec::new(),
            leaving: VecDeque::new(),
            gone: Vec::new(),
            target: None,
            tally: Tally::default(),
        })
    }

    fn conclude(&mut self, _target: &Target, result: &mut RunResult) {
        let mut figure = |name: &str, value: u64| {
            result.figures.push(Figure {
                name: name.into(),
                value: value as f64,
                unit: "connections".into(),
            });
        };
        figure("accepted", self.board.accepted.get());
        figure("refused or broken off", self.board.refused.get());
        if let Some(reason) = self.board.reason.get() {
            let count = self.board.refused.get();
            result
                .faults
                .push(format!("{count} connections failed, the first: {reason}"));
        }
    }
}

/// A connection on its way. Its tag is its place.
struct Guest {
    conn: ConnId,
    due: u64,
    accepted: bool,
    present: bool,
    /// When it goes, once accepted.
    leaves: u64,
}

struct ConnectLoad {
    schedule: Schedule,
    hold_ns: u64,
    board: Arc<Board>,
    guests: Vec<Guest>,
    free: Vec<usize>,
    /// When the accepted ones leave.
    leaving: VecDeque<(u64, usize)>,
    /// Those that the server ended.
    gone: Vec<usize>,
    target: Option<Target>,
    tally: Tally,
}

impl ConnectLoad {
    fn dismiss(&mut self, tag: usize, net: &mut Net) -> Result<(), Error> {
        self.guests[tag].present = false;
        self.free.push(tag);
        net.close(self.guests[tag].conn)
    }

    fn refuse(&mut self, why: &str) {
        self.board.refused.add(1);
        self.board.reason.get_or_init(|| why.to_owned());
    }
}

impl Load for ConnectLoad {
    fn open(&mut self, net: &mut Net) -> Result<(), Error> {
        // The first one shows what the server asks for.
        let conn = net.connect(usize::MAX)?;
        net.close(conn)?;
        if net.target().uses_tls(net.info()) {
            return Err(Error::Usage(
                "connect makes plain connections, and this server asks for TLS".into(),
            ));
        }
        self.target = Some(net.target().clone());
        Ok(())
    }

    fn start(&mut self, _net: &mut Net, from: u64) -> Result<(), Error> {
        self.schedule.start(from);
        Ok(())
    }

    fn publish(&mut self, net: &mut Net, now: u64) -> Result<(), Error> {
        while let Some(tag) = self.gone.pop() {
            self.dismiss(tag, net)?;
        }
        while let Some(&(at, tag)) = self.leaving.front()
            && at <= now
        {
            self.leaving.pop_front();
            let guest = &self.guests[tag];
            if guest.present && guest.accepted && guest.leaves == at {
                self.dismiss(tag, net)?;
            }
        }
        let due = self.schedule.due();
        if due > now || due >= self.tally.until {
            return Ok(());
        }
        self.schedule.advance();
        self.tally.lag(due, now);
        self.tally.sent += 1;
        let tag = self.free.pop().unwrap_or(self.guests.len());
        let conn = match net.begin_connect(tag) {
            Ok(conn) => conn,
            Err(error) => {
                if tag < self.guests.len() {
                    self.free.push(tag);
                }
                self.refuse(&error.to_string());
                return Ok(());
            }
        };
        self.tally.awaited += 1;
        let guest = Guest {
            conn,
            due,
            accepted: false,
            present: true,
            leaves: u64::MAX,
        };
        match self.guests.get_mut(tag) {
            Some(place) => *place = guest,
            None => self.guests.push(guest),
        }
        Ok(())
    }

    fn next_due(&self, _now: u64) -> u64 {
        let leaving = self.leaving.front().map_or(u64::MAX, |&(at, _)| at);
        self.schedule.due().min(leaving)
    }

    fn is_quiet(&self, _now: u64) -> bool {
        self.schedule.due() >= self.tally.until
    }

    fn message(&mut self, _tag: usize, _now: u64, _msg: &Msg<'_>, _out: &mut Vec<u8>) {}

    fn info(&mut self, tag: usize, json: &[u8], out: &mut Vec<u8>) {
        if self.guests.get(tag).is_none_or(|guest| guest.accepted) {
            return;
        }
        let info: ServerInfo = serde_json::from_slice(json).unwrap_or_default();
        let greeting = self.target.as_ref().map(|target| target.greeting(&info));
        match greeting {
            Some(Ok(greeting)) => out.extend_from_slice(greeting.as_bytes()),
            Some(Err(why)) => self.refuse(&why),
            None => {}
        }
    }

    fn pong(&mut self, tag: usize, now: u64, _out: &mut Vec<u8>) {
        let Some(guest) = self.guests.get_mut(tag).filter(|guest| !guest.accepted) else {
            return;
        };
        guest.accepted = true;
        self.board.accepted.add(1);
        self.tally.received += 1;
        self.tally.arrived += 1;
        guest.leaves = now + self.hold_ns;
        self.tally.latency(guest.due, now);
        self.leaving.push_back((now + self.hold_ns, tag));
    }

    fn closed(&mut self, tag: usize, how: &str) -> OnClose {
        if let Some(guest) = self.guests.get_mut(tag)
            && guest.present
        {
            if !guest.accepted {
                self.tally.arrived += 1;
            }
            self.gone.push(tag);
            let why = how.to_owned();
            self.refuse(&why);
        }
        OnClose::GoOn
    }

    fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }

    fn conclude(&mut self, _net: &mut Net) -> LastWords {
        let waiting = |guest: &&Guest| guest.present && !guest.accepted;
        let unanswered = self.guests.iter().filter(waiting).count();
        let unanswered = unanswered.saturating_sub(self.gone.len());
        LastWords {
            lost: unanswered as u64,
            notes: match unanswered {
                0 => Vec::new(),
                count => vec![format!("{count} connections were never answered")],
            },
            ..LastWords::default()
        }
    }
}
