//! Responses that wait: what they say must be durable, and in force on every core.

use super::JetStream;
use super::advisory;
use super::api::consumers::identity_header;
use super::api::dispatch::{Handled, Outcome, OwnedRequest};
use super::api::{Endpoint, response};
use super::bus::Bus;
use super::consumer::ConsumerInfo;
use super::entry::Phase;
use super::error::ErrorCode;
use super::node::META_CORE;
use super::peer::Record;
use super::time::Time;
use crate::store::{Disk, Mark, Op};

/// A response that waits.
pub(super) struct Held {
    pub request: OwnedRequest,
    pub slot: u32,
    pub incarnation: u64,
    /// Interest that must be in force; `None` as long as it is not complete.
    pub barrier: Option<u64>,
    pub what: What,
}

/// What the response is about.
pub(super) enum What {
    /// The stream is made; `fresh` if it was not there before.
    Created { fresh: bool },
    /// The stream is changed.
    Updated,
    /// The stream is gone.
    Deleted,
    /// The consumer is made or changed.
    Consumer {
        name: String,
        /// As it was made; `None` if it was there before.
        initial: Option<Box<ConsumerInfo>>,
        /// What the response says of the stream, if it does.
        identity: Option<String>,
    },
    /// The consumer is gone, with its journal of this number.
    ConsumerDeleted { owner: Option<u32> },
    /// The stream can be restored by chunks sent there.
    Restoring { subject: String },
    /// Messages are removed, which this mark is behind.
    Removed { body: Vec<u8>, mark: Mark },
    /// The stream is restored.
    Restored { start: Time, bytes: u64 },
}

/// What becomes of a held response now.
enum Fate {
    Wait,
    Send,
    Fail(ErrorCode, String),
    Drop,
}

/// What a request to remove messages says if the disk fails under it.
fn removal_failed(request: &OwnedRequest) -> ErrorCode {
    match request.endpoint {
        Endpoint::StreamPurge => ErrorCode::StreamPurge,
        _ => ErrorCode::StreamMessageDelete,
    }
}

impl JetStream {
    pub(super) fn hold(&mut self, held: Held) {
        self.held.push_back(held);
    }

    /// Holds the response to a request that removed messages until that is durable.
    pub(super) fn hold_removal(
        &mut self,
        request: &OwnedRequest,
        slot: u32,
        body: Vec<u8>,
    ) -> Handled {
        let entry = self.entries.get(slot as usize).and_then(Option::as_ref);
        let (Some(entry), Some(stream)) = (entry, entry.and_then(|entry| entry.stream.as_ref()))
        else {
            return Err(ErrorCode::StreamNotFound.into());
        };
        let mark = stream.log().mark();
        let incarnation = entry.incarnation;
        self.hold(Held {
            request: request.clone(),
            slot,
            incarnation,
            barrier: None,
            what: What::Removed { body, mark },
        });
        Ok(Outcome::Elsewhere)
    }

    /// Sends responses whose time has come.
    pub(super) fn release_held(&mut self, bus: &mut dyn Bus, disk: &mut dyn Disk) {
        for _ in 0..self.held.len() {
            let Some(mut held) = self.held.pop_front() else {
                break;
            };
            match self.fate(bus, &mut held) {
                Fate::Wait => self.held.push_back(held),
                Fate::Send => self.send_held(bus, disk, held),
                Fate::Fail(code, reason) => {
                    self.respond_error(bus, &held.request, &code.with(reason));
                }
                Fate::Drop => {}
            }
        }
    }

    fn fate(&self, bus: &dyn Bus, held: &mut Held) -> Fate {
        let is_there = self.is_incarnation(held.slot, held.incarnation);
        if let What::Deleted = held.what {
            let passed = held.barrier.is_none_or(|barrier| bus.passed(barrier));
            return if !is_there && passed {
                Fate::Send
            } else {
                Fate::Wait
            };
        }
        let entry = match self.entries.get(held.slot as usize) {
            Some(Some(entry)) if is_there => entry,
            // It went in the meantime.
            _ => return Fate::Fail(ErrorCode::StreamNotFound, String::new()),
        };
        match entry.phase() {
            Phase::Running => {}
            Phase::Restoring if matches!(held.what, What::Restoring { .. }) => {}
            Phase::Failed => {
                let reason = entry.problem.clone().unwrap_or_default();
                return Fate::Fail(ErrorCode::StreamCreate, reason);
            }
            Phase::Removing => return Fate::Fail(ErrorCode::StreamNotFound, String::new()),
            _ => return Fate::Wait,
        }
        if let What::Removed { mark, .. } = held.what {
            let Some(stream) = &entry.stream else {
                return Fate::Wait;
            };
            return match stream.log().failure() {
                Some(failure) => Fate::Fail(removal_failed(&held.request), failure.to_string()),
                None if stream.log().reached(mark) => Fate::Send,
                None => Fate::Wait,
            };
        }
        let barrier = *held.barrier.get_or_insert_with(|| bus.barrier());
        if !bus.passed(barrier) {
            return Fate::Wait;
        }
        let is_durable = match &held.what {
            What::Created { .. }
            | What::Updated
            | What::Restoring { .. }
            | What::Restored { .. } => entry.is_saved() && entry.is_durable(),
            What::Consumer { name, .. } => match entry.consumers.find(name) {
                Some(slot) => entry.consumers.is_durable(slot),
                None => return Fate::Drop,
            },
            What::ConsumerDeleted { owner } => {
                owner.is_none_or(|owner| !entry.consumers.owns(owner))
            }
            What::Deleted | What::Removed { .. } => true,
        };
        if is_durable { Fate::Send } else { Fate::Wait }
    }

    fn send_held(&mut self, bus: &mut dyn Bus, disk: &mut dyn Disk, held: Held) {
        let request = &held.request;
        match held.what {
            What::Created { fresh } => {
                if fresh {
                    let stream = request.stream();
                    let settings = &self.settings;
                    advisory::stream_action(bus, request.account, stream, "create", settings);
                }
                let mut body = response::Body::new(request.endpoint);
                self.put_stream_info(bus, held.slot, &mut body);
                body.field("did_create", &true);
                self.respond(bus, request, &body.finish());
            }
            What::Restoring { subject } => {
                let mut body = response::Body::new(request.endpoint);
                body.field("deliver_subject", &subject);
                self.respond(bus, request, &body.finish());
            }
            What::Restored { start, bytes } => {
                let stream = request.stream();
                advisory::stream_action(bus, request.account, stream, "create", &self.settings);
                let end = Time::from_unix_ns(bus.now().unix_ns);
                let suffix = format!("STREAM.RESTORE_COMPLETE.{stream}");
                self.tell_transfer(bus, request, &suffix, "restore_complete", |transfer| {
                    transfer.start = Some(start);
                    transfer.end = Some(end);
                    transfer.bytes = Some(bytes);
                });
                let mut body = response::Body::new(Endpoint::StreamCreate);
                self.put_stream_info(bus, held.slot, &mut body);
                self.respond(bus, request, &body.finish());
            }
            What::Updated => {
                let stream = request.stream();
                advisory::stream_action(bus, request.account, stream, "modify", &self.settings);
                let mut body = response::Body::new(request.endpoint);
                self.put_stream_info(bus, held.slot, &mut body);
                self.respond(bus, request, &body.finish());
            }
            What::Removed { body, .. } => self.respond(bus, request, &body),
            What::Deleted => {
                let stream = request.stream();
                advisory::stream_action(bus, request.account, stream, "delete", &self.settings);
                self.respond(bus, request, &response::success(request.endpoint));
            }
            What::Consumer {
                name,
                initial,
                identity,
            } => {
                let fresh = initial.is_some();
                let body =
                    self.consumer_body(bus, disk, held.slot, request.endpoint, &name, initial);
                let Some(body) = body else {
                    return;
                };
                let header = identity.map(|identity| identity_header(&identity));
                if fresh {
                    let stream = request.stream();
                    let settings = &self.settings;
                    advisory::consumer_action(
                        bus,
                        request.account,
                        stream,
                        &name,
                        "create",
                        settings,
                    );
                }
                self.respond_with(bus, request, &header.unwrap_or_default(), &body);
            }
            What::ConsumerDeleted { .. } => {
                self.respond(bus, request, &response::success(request.endpoint));
            }
        }
    }

    /// A stream has come to another phase while it settled.
    pub(super) fn phase_changed(
        &mut self,
        bus: &mut dyn Bus,
        disk: &mut dyn Disk,
        slot: u32,
        phase: Phase,
    ) {
        match phase {
            Phase::Recovering => self.list_consumers(bus, disk, slot),
            Phase::Running => self.stream_runs(bus, slot),
            Phase::Removing => {
                // Nothing was ever made here.
                self.touch(slot);
            }
            Phase::Failed => {
                let reason = self.entries[slot as usize]
                    .as_ref()
                    .and_then(|entry| entry.problem.clone())
                    .unwrap_or_default();
                self.fail(bus, slot, &reason);
            }
            Phase::Making | Phase::Reading | Phase::Opening | Phase::Restoring => {}
        }
        if !self.reported {
            self.report_when_open(bus);
        }
    }

    fn list_consumers(&mut self, bus: &mut dyn Bus, disk: &mut dyn Disk, slot: u32) {
        let Some(Some(entry)) = self.entries.get_mut(slot as usize) else {
            return;
        };
        let named = *self
            .by_name
            .entry(entry.account)
            .or_default()
            .entry(entry.name.clone())
            .or_insert(slot);
        if named != slot {
            self.fail(bus, slot, "another directory holds a stream of this name");
            return;
        }
        let Some(Some(entry)) = self.entries.get_mut(slot as usize) else {
            return;
        };
        if entry.wants_consumers_listed() {
            let path = format!("{}/consumers", entry.directory);
            let incarnation = entry.incarnation;
            let operation = super::layout::Operation::ListConsumers { slot, incarnation };
            self.submit(disk, operation, Op::List { path });
        }
        self.touch(slot);
    }

    fn stream_runs(&mut self, bus: &mut dyn Bus, slot: u32) {
        let Some(Some(entry)) = self.entries.get(slot as usize) else {
            return;
        };
        let own = self.accounts.own_mut(entry.account);
        own.streams += 1;
        own.consumers += entry.consumers.len() as u64;
        if self.reported {
            entry.announce(bus);
        }
        self.touch(slot);
    }

    /// A stream has failed: the meta core forgets it if it never was.
    pub(super) fn phase_changed_to_failed(&mut self, bus: &mut dyn Bus, slot: u32) {
        let Some(Some(entry)) = self.entries.get(slot as usize) else {
            return;
        };
        if !entry.name.is_empty() && self.reported {
            let record = Record::Absent {
                account: entry.account,
                name: &entry.name,
            };
            bus.send(META_CORE, &record.to_vec());
        }
        if !self.reported {
            self.report_when_open(bus);
        }
    }

    /// Removes what is left of the streams that are closed.
    pub(super) fn remove_closed(&mut self, disk: &mut dyn Disk, slot: u32) {
        let Some(Some(entry)) = self.entries.get_mut(slot as usize) else {
            return;
        };
        if !entry.is_closed() || entry.is_removed {
            return;
        }
        entry.is_removed = true;
        let incarnation = entry.incarnation;
        let on_disk = entry.is_on_disk();
        let path = entry.directory.clone();
        if on_disk {
            let operation = super::layout::Operation::RemoveStream { slot, incarnation };
            self.submit(disk, operation, Op::RemoveTree { path });
        } else {
            self.vacate(slot);
        }
    }

    /// Frees the slot of a stream that is gone.
    pub(super) fn vacate(&mut self, slot: u32) {
        let Some(entry) = self.entries.get_mut(slot as usize).and_then(Option::take) else {
            return;
        };
        for owner in entry.owners() {
            self.owners.remove(&owner);
        }
        if let Some(names) = self.by_name.get_mut(&entry.account)
            && names.get(&entry.name) == Some(&slot)
        {
            names.remove(&entry.name);
        }
        self.free_slots.push(slot);
        if let Some(position) = self.waiting_creates.iter().position(|(request, config)| {
            request.account == entry.account && config.name == entry.name
        }) && let Some((request, config)) = self.waiting_creates.remove(position)
        {
            self.released_creates.push((request, config));
        }
    }
}
