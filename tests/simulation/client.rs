//! A simulated client: what it sends, and what it makes of what it reads.

use std::collections::VecDeque;

use super::check::{Arrival, Checker, Promise, Violation};
use super::decode::{Decoder, Received};
use super::history::{ClientRecord, History, Message, Sub};
use super::plan::Plan;
use super::rng::Rng;
use super::socket::Socket;

const SUBJECTS: [&str; 6] = ["a.b", "a.c", "b.c", "d", "e.f.g", "void.x"];
const PATTERNS: [&str; 11] = [
    "a.b", "a.c", "b.c", "d", "e.f.g", "a.*", "a.>", "*.c", "e.*.g", "e.>", "*",
];
const QUEUES: [&str; 2] = ["q1", "q2"];

/// Unread requests of a client above which it waits, in bytes.
const UNSENT_MAX: usize = 256 * 1024;
/// Smallest payload of those that travel as parcels.
const LARGE_PAYLOAD: usize = 16 * 1024;

/// What one PING covers.
#[derive(Default)]
struct Covered {
    subs: Vec<usize>,
    limits: Vec<usize>,
    unsubs: Vec<usize>,
}

/// One client.
pub struct Client {
    id: usize,
    pub core: usize,
    decoder: Decoder,
    /// Since the last PING.
    fresh: Covered,
    pings: VecDeque<Covered>,
    /// Its subscriptions that it has not ended.
    sids: Vec<usize>,
    /// Steps of the scheduler during which it does not read.
    pub stalled: usize,
}

impl Client {
    /// Connects: CONNECT, its inbox, PING.
    pub fn connect(
        id: usize,
        core: usize,
        rng: &mut Rng,
        history: &mut History,
        up: &mut Socket,
    ) -> Self {
        let mut client = Self {
            id,
            core,
            decoder: Decoder::default(),
            fresh: Covered::default(),
            pings: VecDeque::new(),
            sids: Vec::new(),
            stalled: 0,
        };
        let echo = !rng.chance(20);
        let connect = format!(
            "CONNECT {{\"verbose\":false,\"pedantic\":false,\"protocol\":1,\"echo\":{echo},\
             \"headers\":true,\"no_responders\":true}}\r\n"
        );
        up.up.extend(connect.as_bytes());
        history.clients.push(ClientRecord {
            echo,
            inbox: Some(history.subs.len()),
            ..ClientRecord::default()
        });
        let inbox = format!("_INBOX.{id}.*");
        client.subscribe(history, up, inbox, None);
        client.ping(history, up);
        client
    }

    /// Waits for PONGs.
    pub fn is_waiting(&self) -> bool {
        !self.pings.is_empty()
    }

    /// Does something.
    pub fn act(&mut self, plan: &Plan, rng: &mut Rng, history: &mut History, up: &mut Socket) {
        if up.up.len() > UNSENT_MAX {
            return;
        }
        if rng.chance(plan.leave_percent) {
            self.leave(plan, rng, history, up);
            return;
        }
        match rng.below(100) {
            0..22 => {
                let pattern = rng.pick(&PATTERNS).to_owned();
                let queue = rng.chance(40).then(|| rng.pick(&QUEUES));
                let sid = self.subscribe(history, up, pattern, queue);
                if rng.chance(15) {
                    self.limit(history, up, sid, rng.between(1, 6) as u64);
                }
                if rng.chance(80) {
                    self.ping(history, up);
                }
            }
            22..34 => {
                let at = rng.below(self.sids.len());
                // The inbox, which is first, stays.
                if at > 0 {
                    self.unsubscribe(history, up, at);
                    if rng.chance(80) {
                        self.ping(history, up);
                    }
                }
            }
            34..88 => {
                for _ in 0..rng.between(1, 8) {
                    self.publish(plan, rng, history, up);
                }
                if rng.chance(20) {
                    self.ping(history, up);
                }
            }
            88..94 => self.ping(history, up),
            94..97 if plan.unreliable_clients => {
                self.stalled = rng.between(10, 600);
                history.clients[self.id].stalled_once = true;
            }
            97 if plan.unreliable_clients => {
                up.reset = true;
                up.up.clear();
                history.clients[self.id].reset = Some(history.stamp());
            }
            _ => {}
        }
    }

    /// Says what it has to say and closes its side.
    fn leave(&mut self, plan: &Plan, rng: &mut Rng, history: &mut History, up: &mut Socket) {
        for _ in 0..rng.between(0, 8) {
            self.publish(plan, rng, history, up);
        }
        up.fin = true;
        history.clients[self.id].finished = Some(history.stamp());
    }

    /// Subscribes to much and never reads again.
    pub fn stop_reading(&mut self, history: &mut History, up: &mut Socket) {
        for pattern in ["a.>", "b.c", "d"] {
            self.subscribe(history, up, pattern.to_owned(), None);
        }
        history.clients[self.id].never_reads = true;
    }

    fn subscribe(
        &mut self,
        history: &mut History,
        up: &mut Socket,
        pattern: String,
        queue: Option<&'static str>,
    ) -> usize {
        let sid = history.subs.len();
        let line = match queue {
            Some(queue) => format!("SUB {pattern} {queue} {sid}\r\n"),
            None => format!("SUB {pattern} {sid}\r\n"),
        };
        up.up.extend(line.as_bytes());
        history.subs.push(Sub {
            client: self.id,
            pattern,
            queue,
            flushed: None,
            limit: None,
            delivered_at_limit_flush: None,
            unsub_sent: None,
            unsub_flushed: None,
            deliveries: 0,
        });
        self.sids.push(sid);
        self.fresh.subs.push(sid);
        sid
    }

    fn limit(&mut self, history: &mut History, up: &mut Socket, sid: usize, limit: u64) {
        up.up.extend(format!("UNSUB {sid} {limit}\r\n").as_bytes());
        history.subs[sid].limit = Some(limit);
        self.fresh.limits.push(sid);
    }

    fn unsubscribe(&mut self, history: &mut History, up: &mut Socket, at: usize) {
        let sid = self.sids.swap_remove(at);
        up.up.extend(format!("UNSUB {sid}\r\n").as_bytes());
        history.subs[sid].unsub_sent = Some(history.stamp());
        self.fresh.unsubs.push(sid);
    }

    /// PING: the flush of a client library.
    pub fn ping(&mut self, history: &mut History, up: &mut Socket) {
        up.up.extend(b"PING\r\n");
        history.clients[self.id].pings += 1;
        self.pings.push_back(std::mem::take(&mut self.fresh));
    }

    fn publish(&mut self, plan: &Plan, rng: &mut Rng, history: &mut History, up: &mut Socket) {
        let index = history.messages.len();
        let size = if rng.chance(plan.large_percent) {
            rng.between(LARGE_PAYLOAD - 20, plan.payload_max)
        } else {
            rng.below(plan.payload_max.min(2000))
        };
        let reply = rng
            .chance(30)
            .then(|| format!("_INBOX.{}.{index}", self.id));
        let message = Message {
            publisher: self.id,
            subject: rng.pick(&SUBJECTS).to_owned(),
            reply,
            has_header: rng.chance(25),
            size,
            sent: history.stamp(),
            no_responders: false,
            deliveries: 0,
        };
        let (header, payload) = (message.header(index), message.payload(index));
        let reply = message
            .reply
            .as_ref()
            .map_or(String::new(), |reply| format!("{reply} "));
        let (subject, total) = (&message.subject, header.len() + payload.len());
        let line = if message.has_header {
            format!("HPUB {subject} {reply}{} {total}\r\n", header.len())
        } else {
            format!("PUB {subject} {reply}{total}\r\n")
        };
        for part in [line.as_bytes(), &header, &payload, b"\r\n"] {
            up.up.extend(part);
        }
        history.messages.push(message);
    }

    /// Reads up to `most` bytes.
    pub fn read(
        &mut self,
        most: usize,
        socket: &mut Socket,
        history: &mut History,
        checker: &mut Checker,
    ) -> Result<(), Violation> {
        let count = most.min(socket.down.len());
        self.decoder.feed(socket.down.drain(..count));
        let all = self.decoder.drain();
        for received in all.map_err(|text| Violation::new(Promise::Protocol, text))? {
            match received {
                Received::Info => {}
                Received::Ping => {
                    if !socket.fin && !socket.reset {
                        socket.up.extend(b"PONG\r\n");
                    }
                }
                Received::Pong => self.pong(history)?,
                Received::Err(line) => return Err(Violation::new(Promise::Protocol, line)),
                Received::Message {
                    subject,
                    sid,
                    reply,
                    header,
                    payload,
                } => {
                    let arrival = Arrival {
                        client: self.id,
                        sid,
                        subject,
                        reply,
                        header,
                        payload,
                    };
                    checker.arrived(history, &arrival)?;
                }
            }
        }
        Ok(())
    }

    fn pong(&mut self, history: &mut History) -> Result<(), Violation> {
        let Some(covered) = self.pings.pop_front() else {
            let text = format!("client {} got a PONG for no PING", self.id);
            return Err(Violation::new(Promise::Protocol, text));
        };
        let now = history.stamp();
        if history.clients[self.id].finished.is_some() {
            // A connection that ends lets its PONGs go: its interest is void.
            return Ok(());
        }
        for sid in covered.subs {
            history.subs[sid].flushed = Some(now);
        }
        for sid in covered.limits {
            let sub = &mut history.subs[sid];
            sub.delivered_at_limit_flush = Some(sub.deliveries);
        }
        for sid in covered.unsubs {
            history.subs[sid].unsub_flushed = Some(now);
        }
        Ok(())
    }
}
