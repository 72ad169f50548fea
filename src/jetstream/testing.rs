//! Several cores in one process: a bus that routes at once, and a disk that is memory.
//!
//! The bus keeps what the broker's promises: a message comes once for each subscription,
//! records and interest in order. Interest is in force on all cores as soon as it is asked for.

use std::collections::{BTreeMap, VecDeque};

use super::JetStream;
use super::bus::{Bus, Delivery, Incoming, Outgoing, Token};
use super::settings::JetStreamSettings;
use crate::broker::{CoreId, LogLevel, Now};
use crate::store::disk::DirEntry;
use crate::store::{Aligned, Completed, Disk, DiskError, FileId, Op, OpenMode, Output, Tag};
use crate::subject::matches;

/// A message that was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    pub account: u16,
    pub to: Vec<u8>,
    pub subject: Vec<u8>,
    pub reply: Vec<u8>,
    pub header: Vec<u8>,
    pub payload: Vec<u8>,
    pub origin: u64,
}

impl Message {
    /// Header and payload as text; line ends are `|`.
    pub fn text(&self) -> String {
        let header = String::from_utf8_lossy(&self.header).replace("\r\n", "|");
        format!("{header}{}", String::from_utf8_lossy(&self.payload))
    }
}

enum Arrival {
    Message { token: Token, message: Message },
    Interest { token: Token, interested: bool },
    Record { from: CoreId, bytes: Vec<u8> },
}

struct Subscription {
    core: usize,
    account: u16,
    pattern: Vec<u8>,
    token: Token,
}

/// What all cores share.
#[derive(Default)]
struct Network {
    subscriptions: Vec<Subscription>,
    watches: Vec<Subscription>,
    /// Patterns that the client has subscribed to.
    client: Vec<(u16, Vec<u8>)>,
    received: VecDeque<Message>,
    inboxes: Vec<VecDeque<Arrival>>,
    now: Now,
    random: u64,
}

impl Network {
    fn has_interest(&self, account: u16, subject: &[u8]) -> bool {
        let own = &self.subscriptions;
        own.iter()
            .any(|s| s.account == account && matches(&s.pattern, subject))
            || self
                .client
                .iter()
                .any(|(a, pattern)| *a == account && matches(pattern, subject))
    }

    fn publish(&mut self, message: Message) -> Delivery {
        let mut delivery = Delivery::Nobody;
        for one in &self.subscriptions {
            if one.account == message.account && matches(&one.pattern, &message.to) {
                self.inboxes[one.core].push_back(Arrival::Message {
                    token: one.token,
                    message: message.clone(),
                });
                delivery = Delivery::Sent;
            }
        }
        for (account, pattern) in &self.client {
            if *account == message.account && matches(pattern, &message.to) {
                self.received.push_back(message.clone());
                delivery = Delivery::Sent;
            }
        }
        delivery
    }

    /// Tells watches of interest that came or went.
    fn changed(&mut self, before: &[bool]) {
        for (at, &was) in before.iter().enumerate() {
            let watch = &self.watches[at];
            let is = self.has_interest(watch.account, &watch.pattern);
            if is != was {
                self.inboxes[watch.core].push_back(Arrival::Interest {
                    token: watch.token,
                    interested: is,
                });
            }
        }
    }

    fn interests(&self) -> Vec<bool> {
        self.watches
            .iter()
            .map(|watch| self.has_interest(watch.account, &watch.pattern))
            .collect()
    }
}

struct TestBus<'a> {
    core: usize,
    network: &'a mut Network,
}

impl Bus for TestBus<'_> {
    fn now(&self) -> Now {
        self.network.now
    }

    fn random(&mut self) -> u64 {
        self.network.random = self
            .network
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.network.random ^ (self.network.random >> 29)
    }

    fn core(&self) -> CoreId {
        CoreId(self.core as u8)
    }

    fn cores(&self) -> usize {
        self.network.inboxes.len()
    }

    fn publish(&mut self, account: u16, message: &Outgoing<'_>) -> Delivery {
        self.network.publish(Message {
            account,
            to: message.to.to_vec(),
            subject: message.subject.to_vec(),
            reply: message.reply.to_vec(),
            header: message.header.to_vec(),
            payload: message.payload.to_vec(),
            origin: 0,
        })
    }

    fn has_interest(&mut self, account: u16, subject: &[u8]) -> bool {
        self.network.has_interest(account, subject)
    }

    fn is_subscribed(&mut self, account: u16, subject: &[u8]) -> bool {
        let client = &self.network.client;
        client.iter().any(|(a, p)| *a == account && p == subject)
    }

    fn subscribe(&mut self, account: u16, pattern: &[u8], token: Token) {
        let before = self.network.interests();
        self.network.subscriptions.push(Subscription {
            core: self.core,
            account,
            pattern: pattern.to_vec(),
            token,
        });
        self.network.changed(&before);
    }

    fn unsubscribe(&mut self, account: u16, pattern: &[u8], token: Token) {
        let before = self.network.interests();
        let core = self.core;
        let all = &mut self.network.subscriptions;
        let at = all.iter().position(|s| {
            s.core == core && s.account == account && s.pattern == pattern && s.token == token
        });
        all.remove(at.expect("it was subscribed to"));
        self.network.changed(&before);
    }

    fn watch(&mut self, account: u16, subject: &[u8], token: Token) {
        let interested = self.network.has_interest(account, subject);
        self.network.watches.push(Subscription {
            core: self.core,
            account,
            pattern: subject.to_vec(),
            token,
        });
        self.network.inboxes[self.core].push_back(Arrival::Interest { token, interested });
    }

    fn unwatch(&mut self, account: u16, subject: &[u8], token: Token) {
        let core = self.core;
        let all = &mut self.network.watches;
        let at = all.iter().position(|s| {
            s.core == core && s.account == account && s.pattern == subject && s.token == token
        });
        all.remove(at.expect("it was watched"));
    }

    fn barrier(&self) -> u64 {
        0
    }

    fn passed(&self, _barrier: u64) -> bool {
        true
    }

    fn send(&mut self, core: CoreId, record: &[u8]) {
        let from = CoreId(self.core as u8);
        self.network.inboxes[usize::from(core.0)].push_back(Arrival::Record {
            from,
            bytes: record.to_vec(),
        });
    }

    fn log(&mut self, level: LogLevel, text: String) {
        // Shown by tests that fail.
        println!("core {}: {level:?} {text}", self.core);
    }
}

/// Files of all cores, in memory.
#[derive(Clone, Debug, Default)]
pub struct Files {
    files: BTreeMap<String, Vec<u8>>,
    directories: std::collections::BTreeSet<String>,
}

impl Files {
    fn list(&self, path: &str) -> Result<Output, DiskError> {
        let prefix = if path.is_empty() {
            String::new()
        } else {
            format!("{path}/")
        };
        if !path.is_empty() && !self.directories.contains(path) {
            return Err(DiskError::NotFound);
        }
        let inside = |full: &String| {
            full.strip_prefix(&prefix)
                .filter(|rest| !rest.is_empty() && !rest.contains('/'))
                .map(str::to_owned)
        };
        let files = self.files.iter().filter_map(|(full, bytes)| {
            Some(DirEntry {
                name: inside(full)?,
                is_dir: false,
                length: bytes.len() as u64,
            })
        });
        let directories = self.directories.iter().filter_map(|full| {
            Some(DirEntry {
                name: inside(full)?,
                is_dir: true,
                length: 0,
            })
        });
        Ok(Output::Names(files.chain(directories).collect()))
    }
}

/// The disk of one core: every operation is over at once, its completion comes in the next round.
#[derive(Default)]
struct TestDisk {
    open: BTreeMap<FileId, String>,
    done: Vec<Completed>,
}

struct DiskView<'a> {
    disk: &'a mut TestDisk,
    files: &'a mut Files,
}

impl DiskView<'_> {
    fn run(&mut self, op: Op) -> (Result<Output, DiskError>, Option<Aligned>) {
        let files = &mut self.files.files;
        let name = |file: FileId| self.disk.open.get(&file).cloned().ok_or(DiskError::Io(9));
        let result = match op {
            Op::MakeDir { path } => {
                let parts: Vec<&str> = path.split('/').collect();
                for end in 1..=parts.len() {
                    self.files.directories.insert(parts[..end].join("/"));
                }
                Ok(Output::Done)
            }
            Op::List { path } => self.files.list(&path),
            Op::Open { file, path, mode } => match (files.get(&path), mode) {
                (None, OpenMode::Read | OpenMode::Write { create: false }) => {
                    Err(DiskError::NotFound)
                }
                _ => {
                    let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
                    if directory.is_empty() || self.files.directories.contains(directory) {
                        let length = files.entry(path.clone()).or_default().len() as u64;
                        self.disk.open.insert(file, path);
                        Ok(Output::Opened { length })
                    } else {
                        Err(DiskError::NotFound)
                    }
                }
            },
            Op::Close { file } => {
                self.disk.open.remove(&file);
                Ok(Output::Done)
            }
            Op::Read {
                file,
                offset,
                mut buffer,
            } => {
                let result = name(file).map(|path| {
                    let bytes = files.get(&path).map_or(&[][..], Vec::as_slice);
                    let start = (offset as usize).min(bytes.len());
                    let count = buffer.len().min(bytes.len() - start);
                    buffer[..count].copy_from_slice(&bytes[start..start + count]);
                    Output::Read { bytes: count }
                });
                return (result, Some(buffer));
            }
            Op::Write {
                file,
                offset,
                buffer,
                range,
                ..
            } => {
                let result = name(file).map(|path| {
                    let bytes = files.entry(path).or_default();
                    let end = offset as usize + range.len();
                    if bytes.len() < end {
                        bytes.resize(end, 0);
                    }
                    bytes[offset as usize..end].copy_from_slice(&buffer[range]);
                    Output::Done
                });
                return (result, Some(buffer));
            }
            Op::Sync { .. } | Op::SyncDir { .. } => Ok(Output::Done),
            Op::Allocate { file, length } => name(file).map(|path| {
                let bytes = files.entry(path).or_default();
                if (bytes.len() as u64) < length {
                    bytes.resize(length as usize, 0);
                }
                Output::Done
            }),
            Op::Truncate { file, length } => name(file).map(|path| {
                files.entry(path).or_default().resize(length as usize, 0);
                Output::Done
            }),
            Op::Rename { from, to } => match files.remove(&from) {
                Some(bytes) => {
                    files.insert(to, bytes);
                    Ok(Output::Done)
                }
                None => Err(DiskError::NotFound),
            },
            Op::Remove { path } => match files.remove(&path) {
                Some(_) => Ok(Output::Done),
                None => Err(DiskError::NotFound),
            },
            Op::RemoveTree { path } => {
                let inside = format!("{path}/");
                files.retain(|full, _| !full.starts_with(&inside));
                self.files
                    .directories
                    .retain(|full| *full != path && !full.starts_with(&inside));
                Ok(Output::Done)
            }
        };
        (result, None)
    }
}

impl Disk for DiskView<'_> {
    fn submit(&mut self, tag: Tag, op: Op) {
        let (result, buffer) = self.run(op);
        self.disk.done.push(Completed {
            tag,
            result,
            buffer,
        });
    }
}

/// Several cores with JetStream, and one client.
pub struct Cluster {
    nodes: Vec<JetStream>,
    disks: Vec<TestDisk>,
    pub files: Files,
    network: Network,
    next_inbox: u64,
}

/// Rounds after which nothing may be under way any more.
const ROUNDS_MAX: usize = 10_000;

impl Cluster {
    /// `cores` cores on what is in `files`, started.
    pub fn new(cores: usize, settings: &JetStreamSettings, files: Files) -> Self {
        let mut cluster = Self {
            nodes: (0..cores)
                .map(|core| JetStream::new(CoreId(core as u8), cores, settings.clone()))
                .collect(),
            disks: (0..cores).map(|_| TestDisk::default()).collect(),
            files,
            network: Network {
                inboxes: (0..cores).map(|_| VecDeque::new()).collect(),
                now: Now {
                    mono_ns: 1_000_000_000,
                    unix_ns: 1_795_000_000_000_000_000,
                },
                random: 42,
                ..Network::default()
            },
            next_inbox: 0,
        };
        for core in 0..cores {
            cluster.on(core, |node, bus, disk| node.start(bus, disk));
        }
        cluster.run();
        assert!(cluster.nodes.iter().all(JetStream::is_ready));
        cluster
    }

    fn on(&mut self, core: usize, call: impl FnOnce(&mut JetStream, &mut dyn Bus, &mut dyn Disk)) {
        let mut bus = TestBus {
            core,
            network: &mut self.network,
        };
        let mut disk = DiskView {
            disk: &mut self.disks[core],
            files: &mut self.files,
        };
        call(&mut self.nodes[core], &mut bus, &mut disk);
    }

    /// Runs until nothing is under way.
    pub fn run(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let mut worked = false;
            for core in 0..self.nodes.len() {
                worked |= self.turn(core);
            }
            if !worked {
                return;
            }
            self.network.now.mono_ns += 1_000;
            self.network.now.unix_ns += 1_000;
        }
        panic!("something is under way for ever");
    }

    fn turn(&mut self, core: usize) -> bool {
        let mut worked = false;
        for done in std::mem::take(&mut self.disks[core].done) {
            worked = true;
            self.on(core, |node, bus, disk| node.completed(bus, disk, done));
        }
        while let Some(arrival) = self.network.inboxes[core].pop_front() {
            worked = true;
            self.on(core, |node, bus, disk| match arrival {
                Arrival::Message { token, message } => {
                    let incoming = Incoming {
                        account: message.account,
                        subject: &message.subject,
                        reply: &message.reply,
                        header: &message.header,
                        payload: &message.payload,
                        origin: message.origin,
                    };
                    node.message(bus, disk, token, &incoming);
                }
                Arrival::Interest { token, interested } => {
                    node.interest(bus, disk, token, interested);
                }
                Arrival::Record { from, bytes } => node.peer(bus, disk, from, &bytes),
            });
        }
        let now = self.network.now.mono_ns;
        if self.nodes[core].next_deadline().is_some_and(|at| at <= now) {
            worked = true;
            self.on(core, |node, bus, disk| node.tick(bus, disk));
        }
        self.on(core, |node, bus, disk| node.settle(bus, disk));
        worked || self.nodes[core].has_backlog()
    }

    /// Lets time pass, then runs.
    pub fn wait(&mut self, nanoseconds: u64) {
        self.network.now.mono_ns += nanoseconds;
        self.network.now.unix_ns += nanoseconds as i64;
        self.run();
    }

    /// Subscribes the client.
    pub fn subscribe(&mut self, pattern: &str) {
        let before = self.network.interests();
        self.network.client.push((0, pattern.as_bytes().to_vec()));
        self.network.changed(&before);
        self.run();
    }

    /// Publishes as the client and runs; tells whether anybody was there.
    pub fn publish(&mut self, subject: &str, reply: &str, header: &str, payload: &[u8]) -> bool {
        let delivery = self.network.publish(Message {
            account: 0,
            to: subject.as_bytes().to_vec(),
            subject: subject.as_bytes().to_vec(),
            reply: reply.as_bytes().to_vec(),
            header: header.as_bytes().to_vec(),
            payload: payload.to_vec(),
            origin: 1,
        });
        self.run();
        delivery != Delivery::Nobody
    }

    /// Publishes the same message many times before anything runs.
    pub fn flood(&mut self, subject: &str, reply: &str, times: usize) {
        for _ in 0..times {
            let _ = self.network.publish(Message {
                to: subject.as_bytes().to_vec(),
                subject: subject.as_bytes().to_vec(),
                reply: reply.as_bytes().to_vec(),
                origin: 1,
                ..Message::default()
            });
        }
        self.run();
    }

    /// What the client has received since the last call.
    pub fn received(&mut self) -> Vec<Message> {
        self.network.received.drain(..).collect()
    }

    /// A request with all answers to it, as [`Message::text`]; `no responders` if nobody was
    /// there.
    pub fn request_all(&mut self, subject: &str, header: &str, payload: &[u8]) -> Vec<String> {
        self.next_inbox += 1;
        let inbox = format!("_INBOX.{}", self.next_inbox);
        self.network.client.push((0, inbox.clone().into_bytes()));
        if !self.publish(subject, &inbox, header, payload) {
            return vec!["no responders".to_owned()];
        }
        self.network.client.pop();
        let mut answers = Vec::new();
        self.network.received.retain(|message| {
            let is_answer = message.to == inbox.as_bytes();
            if is_answer {
                answers.push(message.text());
            }
            !is_answer
        });
        answers
    }

    /// A request to the API with its one answer.
    pub fn api(&mut self, subject: &str, payload: &str) -> String {
        let subject = format!("$JS.API.{subject}");
        let answers = self.request_all(&subject, "", payload.as_bytes());
        assert!(answers.len() <= 1, "{answers:?}");
        answers.into_iter().next().unwrap_or_default()
    }

    /// Stops all cores in good order and gives back their files.
    pub fn stop(mut self) -> Files {
        for core in 0..self.nodes.len() {
            self.on(core, |node, bus, disk| node.stop(bus, disk));
        }
        self.run();
        assert!(self.nodes.iter().all(JetStream::is_stopped));
        self.files
    }

    /// The files as they are now, as after a crash behind which nothing was lost.
    pub fn crash(self) -> Files {
        self.files
    }
}

/// `text` with times, names and ids that differ from run to run replaced.
pub fn masked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("20") {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let bytes = from.as_bytes();
        let is_time = bytes.len() > 19
            && bytes[4] == b'-'
            && bytes[7] == b'-'
            && bytes[10] == b'T'
            && bytes[13] == b':';
        match from.find('Z') {
            Some(end) if is_time && end < 32 => {
                out.push_str("TIME");
                rest = &from[end + 1..];
            }
            _ => {
                out.push_str("20");
                rest = &from[2..];
            }
        }
    }
    out.push_str(rest);
    out
}
