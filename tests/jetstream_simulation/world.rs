//! A run: the server, its disk, its clients, and the scheduler.

use std::collections::BTreeMap;

use ringwire::jetstream::settings::JetStreamSettings;
use ringwire::store::sim::{Faults, SimDisk};

use super::decode::{Decoder, Received};
use super::model::{Audit, Model, Published, StreamPlan};
use super::rng::Rng;
use super::server::Server;
use super::socket::Socket;

/// Buffer of the kernel for each connection, in bytes.
const SOCKET_BYTES: usize = 256 * 1024;
/// Time after which a delivery that was not acknowledged is repeated, in nanoseconds.
const ACK_WAIT_NS: u64 = 2_000_000_000;
/// Rounds in which everything must come to rest.
const ROUNDS_MAX: usize = 100_000;
/// Steps of the scheduler for each operation before a run counts as stuck.
const STEPS_PER_OPERATION: usize = 2_000;
/// How long an answer may take, in nanoseconds of virtual time.
const PATIENCE_NS: u64 = 30_000_000_000;

/// What varies from run to run.
#[derive(Clone, Debug)]
pub struct Plan {
    pub cores: usize,
    pub operations: usize,
    pub publishers: usize,
    pub pullers: usize,
    /// In a thousand operations.
    pub crashes: usize,
    /// Periods in which the disk fails, in a thousand operations.
    pub failures: usize,
    /// Periods in which the disk is full, in a thousand operations.
    pub shortages: usize,
    pub streams: Vec<StreamPlan>,
}

impl Plan {
    /// A plan for `cores` at the start.
    pub fn new(cores: usize, rng: &mut Rng) -> Self {
        let count = rng.between(1, 3);
        let streams = (0..count).map(|number| {
            let some = |rng: &mut Rng, most| rng.chance(40).then(|| rng.between(1, most));
            let work_queue = rng.chance(40);
            StreamPlan {
                name: format!("S{}{number}", rng.below(1000)),
                work_queue,
                discard_new: rng.chance(20),
                max_msgs: if work_queue { None } else { some(rng, 40) },
                max_per_subject: if work_queue { None } else { some(rng, 6) },
                ack_all: !work_queue && rng.chance(30),
            }
        });
        Self {
            cores,
            streams: streams.collect(),
            operations: rng.between(60, 300),
            publishers: rng.between(1, 3),
            pullers: rng.between(1, 3),
            crashes: rng.pick(&[0, 5, 20]),
            failures: rng.pick(&[0, 0, 5]),
            shortages: rng.pick(&[0, 0, 5]),
        }
    }
}

/// What a run met, to show that the tests reach what they are about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Met {
    pub published: u64,
    pub acknowledged: u64,
    pub duplicates: u64,
    pub refused: u64,
    pub deliveries: u64,
    pub redeliveries: u64,
    pub confirmed: u64,
    pub crashes: u64,
    pub audits: u64,
    pub disk_steps: u64,
    /// Of all that clients received: equal if two runs were the same.
    pub digest: u64,
}

impl Met {
    /// Adds another run.
    pub fn add(&mut self, other: &Self) {
        self.published += other.published;
        self.acknowledged += other.acknowledged;
        self.duplicates += other.duplicates;
        self.refused += other.refused;
        self.deliveries += other.deliveries;
        self.redeliveries += other.redeliveries;
        self.confirmed += other.confirmed;
        self.crashes += other.crashes;
        self.audits += other.audits;
        self.disk_steps += other.disk_steps;
        self.digest = self.digest.rotate_left(5) ^ other.digest;
    }
}

/// What an answer will be about.
#[derive(Clone, Debug)]
enum Request {
    Publish(usize),
    Pull { stream: usize, sent: u64 },
    Confirm { stream: usize, sequence: u64 },
    Plain,
}

#[derive(Default)]
struct Connection {
    decoder: Decoder,
    ready: bool,
}

struct World {
    plan: Plan,
    rng: Rng,
    now: u64,
    /// Counts what clients do and hear.
    stamp: u64,
    settings: JetStreamSettings,
    disk: SimDisk,
    server: Server,
    sockets: Vec<Socket>,
    connections: Vec<Connection>,
    /// Connections of the running server, by actor: publishers, pullers, the auditor.
    actors: Vec<usize>,
    requests: BTreeMap<(usize, usize), Request>,
    next_request: usize,
    answers: BTreeMap<usize, (String, Vec<u8>)>,
    model: Model,
    /// The disk failed since the server was started.
    failed: bool,
    met: Met,
}

/// Runs a plan.
///
/// # Errors
/// What was broken.
pub fn run(plan: Plan, seed: u64) -> Result<Met, String> {
    let mut world = World::new(plan, seed);
    world.wait_ready()?;
    world.create()?;
    world.live()?;
    world.finish()?;
    world.met.disk_steps = world.disk.steps;
    Ok(world.met)
}

impl World {
    fn new(plan: Plan, seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let settings = JetStreamSettings {
            server_name: "sim".to_owned(),
            server_id: "SIM".to_owned(),
            version: "2.15.1".to_owned(),
            max_memory: 1 << 30,
            max_storage: 1 << 30,
            cache_bytes: 256 * 1024,
            ..JetStreamSettings::default()
        };
        Self {
            now: 1_000_000_000,
            stamp: 0,
            disk: SimDisk::new(rng.next()),
            server: Server::new(plan.cores, &settings, &mut rng),
            settings,
            sockets: Vec::new(),
            connections: Vec::new(),
            actors: Vec::new(),
            requests: BTreeMap::new(),
            next_request: 0,
            answers: BTreeMap::new(),
            model: Model::new(plan.streams.clone()),
            failed: false,
            met: Met::default(),
            rng,
            plan,
        }
    }

    // The scheduler.

    fn turn(&mut self, core: usize, lazily: bool) -> bool {
        let (sockets, disk) = (&mut self.sockets, &mut self.disk);
        self.server
            .turn(core, self.now, lazily, &mut self.rng, sockets, disk)
    }

    fn disk_step(&mut self) -> bool {
        match self.disk.step() {
            Some(done) => {
                self.server.completed(done);
                true
            }
            None => false,
        }
    }

    /// Something happens.
    fn step(&mut self) -> Result<(), String> {
        self.now += self.rng.below(20_000) as u64;
        match self.rng.below(1000) {
            0..500 => {
                let core = self.rng.below(self.server.cores());
                self.turn(core, true);
            }
            500..700 => {
                self.disk_step();
            }
            700..995 if !self.actors.is_empty() => {
                let connection = self.rng.pick(&self.actors);
                let most = self.rng.between(1, 20_000);
                self.sockets[connection].transfer(most);
                self.read(connection, most)?;
            }
            995..998 => self.now += self.rng.below(5_000_000) as u64,
            998 => self.now += self.rng.below(300_000_000) as u64,
            _ => {}
        }
        Ok(())
    }

    /// Everything happens that needs no time.
    fn drain(&mut self) -> Result<(), String> {
        for _ in 0..ROUNDS_MAX {
            let mut moved = false;
            for core in 0..self.server.cores() {
                moved |= self.turn(core, false);
            }
            while self.disk_step() {
                moved = true;
            }
            for connection in self.actors.clone() {
                moved |= self.sockets[connection].transfer(usize::MAX) > 0;
                moved |= !self.sockets[connection].down.is_empty();
                self.read(connection, usize::MAX)?;
            }
            if !moved {
                return Ok(());
            }
        }
        Err("turns without end".to_owned())
    }

    /// Time passes until something is due, but no more than `most`.
    fn pass(&mut self, most: u64) {
        let due = self.server.next_deadline(&self.sockets);
        let until = due.map_or(most, |at| at.saturating_sub(self.now).min(most));
        self.now += until.max(1);
    }

    fn wait_ready(&mut self) -> Result<(), String> {
        for _ in 0..100 {
            self.drain()?;
            if self.server.is_ready() {
                self.connect();
                return self.drain();
            }
            self.pass(1_000_000_000);
        }
        Err("the store does not open".to_owned())
    }

    fn connect(&mut self) {
        self.actors.clear();
        for _ in 0..self.plan.publishers + self.plan.pullers + 1 {
            let id = self.sockets.len();
            let mut socket = Socket::new(SOCKET_BYTES);
            let hello = format!(
                "CONNECT {{\"verbose\":false,\"headers\":true,\"no_responders\":true}}\r\n\
                 SUB _I.{id}.> 1\r\nPING\r\n"
            );
            socket.up.extend(hello.as_bytes());
            self.sockets.push(socket);
            self.connections.push(Connection::default());
            let core = self.rng.below(self.server.cores());
            self.server.adopt(core, id);
            self.actors.push(id);
        }
    }

    /// The server ends in one way or the other, and another is started on the same disk.
    fn restart(&mut self) -> Result<(), String> {
        self.met.crashes += 1;
        self.disk.faults = Faults::default();
        loop {
            match self.rng.below(3) {
                0 if self.server.is_ready() && !self.failed => self.stop_orderly()?,
                1 => self.disk.kill(),
                _ => self.disk.power_loss(),
            }
            let cores = self.rng.between(1, 4);
            self.server = Server::new(cores, &self.settings, &mut self.rng);
            self.actors.clear();
            self.failed = false;
            if !self.rng.chance(25) {
                break;
            }
            // It does not get far.
            for _ in 0..self.rng.below(300) {
                self.step()?;
            }
        }
        self.wait_ready()
    }

    fn stop_orderly(&mut self) -> Result<(), String> {
        self.drain()?;
        self.server.stop(&mut self.disk);
        for _ in 0..100 {
            for core in 0..self.server.cores() {
                self.turn(core, false);
            }
            self.drain()?;
            if self.server.is_stopped() {
                self.disk.kill();
                return Ok(());
            }
            self.pass(1_000_000_000);
        }
        Err("the server does not stop".to_owned())
    }

    // Clients.

    fn send(&mut self, connection: usize, line: &str, body: Option<(&str, &[u8])>) {
        let up = &mut self.sockets[connection].up;
        match body {
            None => up.extend(format!("{line}\r\n").as_bytes()),
            Some(("", payload)) => {
                up.extend(format!("PUB {line} {}\r\n", payload.len()).as_bytes());
                up.extend(payload);
                up.extend(b"\r\n");
            }
            Some((header, payload)) => {
                let (head, all) = (header.len(), header.len() + payload.len());
                up.extend(format!("HPUB {line} {head} {all}\r\n{header}").as_bytes());
                up.extend(payload);
                up.extend(b"\r\n");
            }
        }
    }

    fn inbox(&mut self, connection: usize, request: Request) -> usize {
        self.next_request += 1;
        self.requests
            .insert((connection, self.next_request), request);
        self.next_request
    }

    /// A client does something. Returns whether it could.
    fn operate(&mut self) -> bool {
        let actor = self.rng.below(self.plan.publishers + self.plan.pullers);
        let Some(&connection) = self.actors.get(actor) else {
            return false;
        };
        if !self.connections[connection].ready || self.sockets[connection].up.len() > 100_000 {
            return false;
        }
        if actor < self.plan.publishers {
            self.publish(connection);
        } else {
            self.pull(connection);
        }
        true
    }

    fn publish(&mut self, connection: usize) {
        let open: Vec<usize> = (0..self.model.published.len())
            .filter(|&at| {
                let message = &self.model.published[at];
                message.id.is_some() && (!message.acknowledged || at % 16 == 0)
            })
            .collect();
        let at = if !open.is_empty() && self.rng.chance(25) {
            let at = self.rng.pick(&open);
            self.model.published[at].connection = None;
            at
        } else {
            let at = self.model.published.len();
            let stream = self.rng.below(self.model.streams.len());
            let name = &self.model.streams[stream].name;
            let length = match self.rng.below(20) {
                0 => self.rng.between(10_000, 40_000),
                1..5 => self.rng.between(500, 5_000),
                _ => self.rng.below(100),
            };
            let mut payload = format!("{at}:").into_bytes();
            let filler = self.rng.next();
            payload.extend((0..length).map(|n| (filler >> (n % 57)) as u8 | 0x20));
            self.met.published += 1;
            self.model.published.push(Published {
                stream,
                subject: format!("{name}.{}", self.rng.below(5)),
                id: self.rng.chance(40).then(|| format!("id-{at}")),
                payload,
                connection: Some(connection),
                sequence: None,
                acknowledged: false,
                deliveries: 0,
                ack_sent: false,
                ack_confirmed: None,
            });
            at
        };
        self.publish_message(connection, at);
    }

    fn publish_message(&mut self, connection: usize, at: usize) {
        let inbox = self.inbox(connection, Request::Publish(at));
        let message = self.model.published[at].clone();
        let line = format!("{} _I.{connection}.{inbox}", message.subject);
        let header = message.id.map_or_else(String::new, |id| {
            format!("NATS/1.0\r\nNats-Msg-Id: {id}\r\n\r\n")
        });
        self.send(connection, &line, Some((&header, &message.payload)));
    }

    fn pull(&mut self, connection: usize) {
        let stream = self.rng.below(self.model.streams.len());
        let batch = self.rng.between(1, 12);
        let how = if self.rng.chance(50) {
            "\"no_wait\":true".to_owned()
        } else {
            format!("\"expires\":{}", self.rng.between(1, 2_000) * 1_000_000)
        };
        self.pull_with(connection, stream, &format!("{{\"batch\":{batch},{how}}}"));
    }

    fn pull_with(&mut self, connection: usize, stream: usize, request: &str) {
        let sent = self.stamp;
        let inbox = self.inbox(connection, Request::Pull { stream, sent });
        self.send(
            connection,
            &format!("SUB _P.{connection}.{inbox} {}", inbox + 10),
            None,
        );
        let name = &self.model.streams[stream].name;
        let line = format!("$JS.API.CONSUMER.MSG.NEXT.{name}.C _P.{connection}.{inbox}");
        self.send(connection, &line, Some(("", request.as_bytes())));
    }

    fn read(&mut self, connection: usize, most: usize) -> Result<(), String> {
        let down = &mut self.sockets[connection].down;
        let count = most.min(down.len());
        if count == 0 {
            return Ok(());
        }
        let bytes: Vec<u8> = down.drain(..count).collect();
        for byte in &bytes {
            self.met.digest = (self.met.digest ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
        let decoder = &mut self.connections[connection].decoder;
        decoder.feed(bytes.into_iter());
        for received in decoder.drain()? {
            self.stamp += 1;
            match received {
                Received::Info => {}
                Received::Ping => self.send(connection, "PONG", None),
                Received::Pong => self.connections[connection].ready = true,
                Received::Err(text) => return Err(format!("an error of the broker: {text}")),
                Received::Message {
                    subject,
                    sid,
                    reply,
                    header,
                    payload,
                } => {
                    let header = String::from_utf8_lossy(&header).into_owned();
                    if header.starts_with("NATS/1.0 503") && !self.failed {
                        return Err(format!("503 to {subject}"));
                    }
                    self.received(connection, &subject, sid, reply, header, payload)?;
                }
            }
        }
        Ok(())
    }

    fn received(
        &mut self,
        connection: usize,
        subject: &str,
        sid: usize,
        reply: Option<String>,
        header: String,
        payload: Vec<u8>,
    ) -> Result<(), String> {
        let number = if sid == 1 {
            let last = subject.rsplit('.').next().and_then(|n| n.parse().ok());
            last.ok_or_else(|| format!("a message on {subject}"))?
        } else {
            sid - 10
        };
        let request = self.requests.get(&(connection, number)).cloned();
        match request.ok_or_else(|| format!("an answer to nothing on {subject}"))? {
            Request::Publish(at) => self.answered(at, &payload),
            Request::Pull { stream, sent } => match reply {
                Some(reply) => self.delivered(connection, stream, sent, subject, &reply, &payload),
                None => Ok(()),
            },
            Request::Confirm { stream, sequence } => {
                for at in self.model.covered(stream, sequence) {
                    self.met.confirmed += 1;
                    let confirmed = &mut self.model.published[at].ack_confirmed;
                    *confirmed = confirmed.or(Some(self.stamp));
                }
                Ok(())
            }
            Request::Plain => {
                self.answers.insert(number, (header, payload));
                Ok(())
            }
        }
    }

    fn answered(&mut self, at: usize, payload: &[u8]) -> Result<(), String> {
        let answer: serde_json::Value = serde_json::from_slice(payload)
            .map_err(|error| format!("the answer to message {at}: {error}"))?;
        if answer.get("error").is_some() {
            self.met.refused += 1;
            return Ok(());
        }
        let sequence = answer["seq"].as_u64().ok_or("an answer without sequence")?;
        let message = &mut self.model.published[at];
        if answer["duplicate"] == true {
            self.met.duplicates += 1;
            if message.id.is_none() {
                return Err(format!("message {at} without id is a duplicate"));
            }
        } else {
            self.met.acknowledged += 1;
        }
        message.acknowledged = true;
        self.model.has_sequence(at, sequence)
    }

    fn delivered(
        &mut self,
        connection: usize,
        stream: usize,
        sent: u64,
        subject: &str,
        reply: &str,
        payload: &[u8],
    ) -> Result<(), String> {
        let tokens: Vec<&str> = reply.split('.').collect();
        let sequence: u64 = tokens
            .get(5)
            .and_then(|n| n.parse().ok())
            .ok_or_else(|| format!("reply {reply}"))?;
        let at = self.model.find(payload)?;
        self.model.has_sequence(at, sequence)?;
        let message = &mut self.model.published[at];
        if message.stream != stream || message.subject != subject {
            return Err(format!("message {at} delivered on {subject}"));
        }
        if message
            .ack_confirmed
            .is_some_and(|confirmed| confirmed <= sent)
        {
            return Err(format!(
                "message {at} ({sequence}) was acknowledged and is delivered again: {reply}"
            ));
        }
        self.met.deliveries += 1;
        self.met.redeliveries += u64::from(message.deliveries > 0);
        message.deliveries += 1;
        match self.rng.below(20) {
            0..8 => self.acknowledge(connection, stream, sequence, reply, true),
            8..15 => self.acknowledge(connection, stream, sequence, reply, false),
            15..17 => self.send(connection, reply, Some(("", b"-NAK"))),
            17 => self.send(connection, reply, Some(("", b"+WPI"))),
            _ => {}
        }
        Ok(())
    }

    fn acknowledge(
        &mut self,
        connection: usize,
        stream: usize,
        sequence: u64,
        reply: &str,
        confirm: bool,
    ) {
        for at in self.model.covered(stream, sequence) {
            self.model.published[at].ack_sent = true;
        }
        let highest = &mut self.model.sent_up_to[stream];
        *highest = sequence.max(*highest);
        let line = if confirm {
            let inbox = self.inbox(connection, Request::Confirm { stream, sequence });
            format!("{reply} _I.{connection}.{inbox}")
        } else {
            reply.to_owned()
        };
        self.send(connection, &line, Some(("", b"+ACK")));
    }

    /// Asks and waits for the answer.
    fn request(&mut self, subject: &str, payload: &str) -> Result<(String, Vec<u8>), String> {
        let connection = *self.actors.last().ok_or("nobody asks")?;
        let inbox = self.inbox(connection, Request::Plain);
        let line = format!("{subject} _I.{connection}.{inbox}");
        self.send(connection, &line, Some(("", payload.as_bytes())));
        let end = self.now + PATIENCE_NS;
        while self.now < end {
            self.drain()?;
            if let Some(answer) = self.answers.remove(&inbox) {
                return Ok(answer);
            }
            self.pass(100_000_000);
        }
        Err(format!("no answer to {subject} {payload}"))
    }

    fn api(&mut self, subject: &str, payload: &str) -> Result<serde_json::Value, String> {
        let (_, answer) = self.request(&format!("$JS.API.{subject}"), payload)?;
        let answer: serde_json::Value =
            serde_json::from_slice(&answer).map_err(|error| format!("{subject}: {error}"))?;
        match answer.get("error") {
            Some(error) => Err(format!("{subject}: {error}")),
            None => Ok(answer),
        }
    }

    // The course of a run.

    fn create(&mut self) -> Result<(), String> {
        for plan in self.plan.streams.clone() {
            let name = &plan.name;
            self.api(&format!("STREAM.CREATE.{name}"), &plan.create())?;
            let request = plan.create_consumer(ACK_WAIT_NS);
            self.api(&format!("CONSUMER.DURABLE.CREATE.{name}.C"), &request)?;
        }
        Ok(())
    }

    fn live(&mut self) -> Result<(), String> {
        let mut operations = self.plan.operations;
        for _ in 0..self.plan.operations * STEPS_PER_OPERATION {
            if operations == 0 {
                break;
            }
            if !self.rng.chance(10) || !self.operate() {
                self.step()?;
                continue;
            }
            operations -= 1;
            let luck = self.rng.below(1000);
            if luck < self.plan.crashes {
                self.restart()?;
                if self.rng.chance(50) {
                    self.audit()?;
                }
            } else if self.rng.below(1000) < self.plan.failures {
                let rate = |rng: &mut Rng| rng.pick(&[0, 10_000, 200_000]);
                self.disk.faults.writes = rate(&mut self.rng);
                self.disk.faults.syncs = rate(&mut self.rng);
                self.failed = true;
            } else if self.rng.below(1000) < self.plan.shortages {
                let used: usize = self.disk.files().map(|(_, bytes)| bytes.len()).sum();
                self.disk.faults.room = Some(used as u64);
            } else if self.rng.chance(5) {
                self.disk.faults = Faults::default();
            }
        }
        Ok(())
    }

    /// Compares all streams with the model.
    fn audit(&mut self) -> Result<Vec<Audit>, String> {
        self.drain()?;
        self.met.audits += 1;
        let mut audits = Vec::new();
        for stream in 0..self.model.streams.len() {
            let name = self.model.streams[stream].name.clone();
            let info = self.api(&format!("STREAM.INFO.{name}"), "")?;
            let number = |value: &serde_json::Value| value.as_u64().unwrap_or_default();
            let state = &info["state"];
            let mut audit = Audit {
                messages: number(&state["messages"]) as usize,
                first: number(&state["first_seq"]),
                last: number(&state["last_seq"]),
                ..Audit::default()
            };
            for sequence in audit.first.max(1)..=audit.last {
                let subject = format!("$JS.API.DIRECT.GET.{name}");
                let (header, payload) =
                    self.request(&subject, &format!("{{\"seq\":{sequence}}}"))?;
                if header.starts_with("NATS/1.0 404") {
                    continue;
                }
                let subject = header
                    .lines()
                    .find_map(|line| line.strip_prefix("Nats-Subject: "))
                    .ok_or_else(|| format!("{name}: {sequence} is {header:?}"))?;
                audit.stored.insert(sequence, (subject.to_owned(), payload));
            }
            let info = self.api(&format!("CONSUMER.INFO.{name}.C"), "")?;
            audit.ack_floor = number(&info["ack_floor"]["stream_seq"]);
            audit.delivered = number(&info["delivered"]["stream_seq"]);
            audit.pending = number(&info["num_pending"]);
            audit.ack_pending = number(&info["num_ack_pending"]);
            self.model.check(stream, &audit)?;
            audits.push(audit);
        }
        Ok(audits)
    }

    /// With a disk that works, everything comes to its end.
    fn finish(&mut self) -> Result<(), String> {
        self.disk.faults = Faults::default();
        if self.failed || self.rng.chance(50) {
            self.restart()?;
        }
        self.audit()?;
        self.probe()?;
        let connection = self.actors[self.plan.publishers];
        for _ in 0..400 {
            for stream in 0..self.model.streams.len() {
                self.pull_with(connection, stream, "{\"batch\":50,\"no_wait\":true}");
            }
            self.drain()?;
            self.pass(ACK_WAIT_NS);
            let mut waiting = 0;
            for stream in 0..self.model.streams.len() {
                let name = self.model.streams[stream].name.clone();
                let info = self.api(&format!("CONSUMER.INFO.{name}.C"), "")?;
                waiting += info["num_pending"].as_u64().unwrap_or_default();
                waiting += info["num_ack_pending"].as_u64().unwrap_or_default();
            }
            if waiting == 0 {
                return self.check_end();
            }
        }
        Err("the consumers do not come to an end".to_owned())
    }

    /// Streams that take messages take one.
    fn probe(&mut self) -> Result<(), String> {
        for stream in 0..self.model.streams.len() {
            if self.model.streams[stream].discard_new {
                continue;
            }
            let connection = self.actors[0];
            let at = self.model.published.len();
            self.model.published.push(Published {
                stream,
                subject: format!("{}.probe", self.model.streams[stream].name),
                id: None,
                payload: format!("{at}:").into_bytes(),
                connection: Some(connection),
                sequence: None,
                acknowledged: false,
                deliveries: 0,
                ack_sent: false,
                ack_confirmed: None,
            });
            self.publish_message(connection, at);
            self.drain()?;
            if !self.model.published[at].acknowledged {
                return Err(format!("stream {stream} takes no message"));
            }
        }
        Ok(())
    }

    fn check_end(&mut self) -> Result<(), String> {
        let audits = self.audit()?;
        for (stream, audit) in audits.iter().enumerate() {
            if self.model.streams[stream].work_queue && audit.messages > 0 {
                return Err(format!("{} messages stay in the queue", audit.messages));
            }
        }
        for (at, message) in self.model.published.iter().enumerate() {
            let stored = &audits[message.stream].stored;
            let is_there = message.sequence.is_some_and(|s| stored.contains_key(&s));
            let queued = self.model.streams[message.stream].work_queue && message.acknowledged;
            if (is_there || queued) && message.deliveries == 0 {
                return Err(format!("message {at} was never delivered: {message:?}"));
            }
        }
        Ok(())
    }
}
