//! Requests about one stream: the meta core checks and passes on, the home carries out.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use serde::Serialize;

use super::dispatch::{Handled, Outcome, OwnedRequest};
use super::request::{self, PurgeRequest, StreamInfoRequest};
use super::{Endpoint, SUBJECTS_PAGE, response};
use crate::broker::accounts::JetStreamLimits;
use crate::jetstream::JetStream;
use crate::jetstream::advisory;
use crate::jetstream::bus::Bus;
use crate::jetstream::bus::STREAM_SLOTS_MAX;
use crate::jetstream::entry::{Entry, NewEntry, Phase};
use crate::jetstream::error::{ApiError, ErrorCode};
use crate::jetstream::held::{Held, What};
use crate::jetstream::layout::{self, Operation};
use crate::jetstream::meta::Known;
use crate::jetstream::node::META_CORE;
use crate::jetstream::peer::Record;
use crate::jetstream::stream::Purge;
use crate::jetstream::stream::config::{Storage, StreamConfig, StreamRequest};
use crate::jetstream::stream::info::{ClusterInfo, StreamInfo};
use crate::jetstream::stream::validate::{Surroundings, check_create, check_update};
use crate::store::Disk;

/// Length of a stream's identity.
const IDENTITY_LENGTH: usize = 8;

/// Where a page of subjects is.
#[derive(Default, Serialize)]
struct Paging {
    total: u64,
    offset: u64,
    limit: usize,
}

impl JetStream {
    /// Calls `check` with what a configuration of the stream `name` is checked against.
    fn with_surroundings<R>(
        &self,
        account: u16,
        name: &str,
        pedantic: bool,
        check: impl FnOnce(&Surroundings<'_>) -> R,
    ) -> Option<R> {
        let catalogue = &self.meta.as_ref()?.catalogue;
        let find = |name: &str| {
            catalogue
                .get(account, name)
                .map(|known| known.config.clone())
        };
        let other_subjects = |visit: &mut dyn FnMut(&str)| {
            for (other, known) in catalogue.streams(account) {
                if other != name {
                    known
                        .config
                        .subjects
                        .iter()
                        .for_each(|subject| visit(subject));
                }
            }
        };
        Some(check(&Surroundings {
            settings: &self.settings,
            limits: self.accounts.limits(account)?,
            pedantic,
            find: &find,
            other_subjects: &other_subjects,
        }))
    }

    /// Whether the bytes that a configuration reserves are there.
    fn check_reservation(&self, account: u16, config: &StreamConfig) -> Result<(), ApiError> {
        let (Some(meta), Some(limits)) = (&self.meta, self.accounts.limits(account)) else {
            return Ok(());
        };
        let Ok(wanted) = u64::try_from(config.max_bytes) else {
            return Ok(());
        };
        let own = meta.catalogue.reserved(account, &config.name);
        let all = meta.catalogue.reserved_total(account, &config.name);
        let exceeds = |reserved: u64, limit: i64| {
            u64::try_from(limit).is_ok_and(|limit| reserved.saturating_add(wanted) > limit)
        };
        match config.storage {
            Storage::Memory
                if exceeds(own.memory, limits.max_memory)
                    || exceeds(all.memory, self.settings.max_memory) =>
            {
                Err(ErrorCode::MemoryResourcesExceeded.into())
            }
            Storage::File
                if exceeds(own.storage, limits.max_storage)
                    || exceeds(all.storage, self.settings.max_storage) =>
            {
                Err(ErrorCode::StorageResourcesExceeded.into())
            }
            _ => Ok(()),
        }
    }

    fn check_stream_count(&self, account: u16, limits: &JetStreamLimits) -> Result<(), ApiError> {
        let count = self
            .meta
            .as_ref()
            .map_or(0, |meta| meta.catalogue.count(account));
        match usize::try_from(limits.max_streams) {
            Ok(limit) if limit > 0 && count >= limit => Err(ErrorCode::MaximumStreamsLimit.into()),
            _ => Ok(()),
        }
    }

    pub(in crate::jetstream) fn stream_create(
        &mut self,
        bus: &mut dyn Bus,
        disk: &mut dyn Disk,
        request: &OwnedRequest,
    ) -> Handled {
        let asked = StreamRequest::parse(&request.payload, self.settings.strict)
            .map_err(|error| ErrorCode::InvalidJson.with(error))?;
        let (account, name) = (request.account, request.stream());
        if asked.config.name != name {
            return Err(ErrorCode::StreamMismatch.into());
        }
        let config = self.check_new(account, asked.config, asked.pedantic)?;
        self.pass_creation(bus, disk, request, config)
    }

    /// Checks the configuration of a stream that is to be made, or is there already.
    pub(in crate::jetstream) fn check_new(
        &self,
        account: u16,
        config: StreamConfig,
        pedantic: bool,
    ) -> Result<StreamConfig, ApiError> {
        let known = self
            .meta
            .as_ref()
            .and_then(|meta| meta.catalogue.get(account, &config.name));
        if known.is_none()
            && let Some(limits) = self.accounts.limits(account)
        {
            self.check_stream_count(account, limits)?;
        }
        let name = config.name.clone();
        let config = self
            .with_surroundings(account, &name, pedantic, |around| {
                check_create(config, around)
            })
            .ok_or(ErrorCode::NotEnabledForAccount)??;
        match known {
            Some(known) if known.config == config => {}
            Some(_) => return Err(ErrorCode::StreamNameExists.into()),
            None => self.check_reservation(account, &config)?,
        }
        Ok(config)
    }

    /// Enters a stream in the catalogue and lets its home make it.
    pub(in crate::jetstream) fn pass_creation(
        &mut self,
        bus: &mut dyn Bus,
        disk: &mut dyn Disk,
        request: &OwnedRequest,
        config: StreamConfig,
    ) -> Handled {
        let (account, name) = (request.account, request.stream());
        if let Some(meta) = &mut self.meta
            && meta.catalogue.get(account, name).is_none()
        {
            let known = Known {
                config: config.clone(),
                created_ns: 0,
            };
            meta.catalogue.insert(account, name, known);
        }
        let home = self.home(account, name);
        if home == self.core {
            self.home_create(bus, disk, request.clone(), config);
        } else {
            let config = response::json(&config);
            let record = Record::Create {
                request: request.as_record(),
                config: &config,
            };
            bus.send(home, &record.to_vec());
        }
        Ok(Outcome::Elsewhere)
    }

    /// Makes a stream whose home this is.
    pub(in crate::jetstream) fn home_create(
        &mut self,
        bus: &mut dyn Bus,
        disk: &mut dyn Disk,
        request: OwnedRequest,
        config: StreamConfig,
    ) {
        let account = request.account;
        if let Some(slot) = self.slot(account, &config.name)
            && let Some(Some(entry)) = self.entries.get(slot as usize)
        {
            match entry.phase() {
                Phase::Removing => self.waiting_creates.push_back((request, config)),
                Phase::Failed => {
                    let error = ErrorCode::StreamOfflineReason
                        .with(entry.problem.as_deref().unwrap_or_default());
                    self.respond_error(bus, &request, &error);
                }
                _ => {
                    let incarnation = entry.incarnation;
                    self.hold(Held {
                        request,
                        slot,
                        incarnation,
                        barrier: None,
                        what: What::Created { fresh: false },
                    });
                    self.touch(slot);
                }
            }
            return;
        }
        if request.endpoint == Endpoint::StreamRestore {
            self.home_restore(bus, disk, request, config);
            return;
        }
        let what = What::Created { fresh: true };
        match self.make_stream(bus, disk, account, config) {
            Ok((slot, incarnation)) => self.hold(Held {
                request,
                slot,
                incarnation,
                barrier: None,
                what,
            }),
            Err(error) => {
                let record = Record::Absent {
                    account,
                    name: request.stream(),
                };
                bus.send(META_CORE, &record.to_vec());
                self.respond_error(bus, &request, &error);
            }
        }
    }

    /// Starts to make a stream; gives its slot and incarnation.
    pub(in crate::jetstream) fn make_stream(
        &mut self,
        bus: &mut dyn Bus,
        disk: &mut dyn Disk,
        account: u16,
        config: StreamConfig,
    ) -> Result<(u32, u64), ApiError> {
        let created_ns = bus.now().unix_ns;
        let name = config.name.clone();
        let on_disk = config.storage == Storage::File;
        let directory = layout::stream_directory(self.accounts.name(account), &name, created_ns);
        let new = self.new_entry(bus, account, directory, created_ns)?;
        let (slot, incarnation) = (new.slot, new.incarnation);
        let identity = advisory::random_text(bus, IDENTITY_LENGTH);
        let entry = Entry::create(new, config, identity);
        let op = entry.make_directory();
        self.entries[slot as usize] = Some(Box::new(entry));
        self.by_name.entry(account).or_default().insert(name, slot);
        if on_disk {
            self.submit(disk, Operation::MakeStream { slot, incarnation }, op);
        } else if let Some((entry, mut parts)) = self.split(slot, bus, disk) {
            entry.directory_made(&mut parts);
        }
        self.touch(slot);
        Ok((slot, incarnation))
    }

    fn new_entry(
        &mut self,
        bus: &mut dyn Bus,
        account: u16,
        directory: String,
        created_ns: i64,
    ) -> Result<NewEntry, ApiError> {
        let slot = match self.free_slots.pop() {
            Some(slot) => slot,
            None => {
                let slot = self.entries.len() as u32;
                if slot >= STREAM_SLOTS_MAX {
                    return Err(ErrorCode::MaximumStreamsLimit.into());
                }
                self.entries.push(None);
                slot
            }
        };
        let incarnation = self.next_incarnation;
        self.next_incarnation += 1;
        Ok(NewEntry {
            account,
            account_name: self.accounts.name(account).to_owned(),
            slot,
            incarnation,
            directory,
            created_ns,
            seed: bus.random(),
        })
    }

    /// Opens a stream of an earlier run.
    pub(in crate::jetstream) fn open_stream(
        &mut self,
        bus: &mut dyn Bus,
        disk: &mut dyn Disk,
        account: u16,
        directory: String,
        created_ns: i64,
    ) {
        let Ok(new) = self.new_entry(bus, account, directory, created_ns) else {
            return;
        };
        let slot = new.slot;
        let entry = Entry::open(new, &mut self.parts(account, bus, disk));
        self.entries[slot as usize] = Some(Box::new(entry));
        self.touch(slot);
    }

    pub(in crate::jetstream) fn stream_update(
        &mut self,
        bus: &mut dyn Bus,
        disk: &mut dyn Disk,
        request: &OwnedRequest,
    ) -> Handled {
        let asked = StreamRequest::parse(&request.payload, self.settings.strict)
            .map_err(|error| ErrorCode::InvalidJson.with(error))?;
        let (account, name) = (request.account, request.stream());
        // nats-server looks at the configuration before it compares the names.
        let config = asked.config;
        if !config.name.is_empty() && config.name != name {
            return Err(ErrorCode::StreamMismatch.into());
        }
        let old = self
            .meta
            .as_ref()
            .and_then(|meta| meta.catalogue.get(account, name))
            .map(|known| known.config.clone());
        let checked = self.with_surroundings(account, name, asked.pedantic, |around| match &old {
            Some(old) => check_update(old, config, around),
            None => check_create(config, around),
        });
        let config = checked.ok_or(ErrorCode::NotEnabledForAccount)??;
        if old.is_none() {
            return Err(ErrorCode::StreamNotFound.into());
        }
        self.check_reservation(account, &config)?;
        if let Some(meta) = &mut self.meta {
            let known = Known {
                config: config.clone(),
                created_ns: meta
                    .catalogue
                    .get(account, name)
                    .map_or(0, |known| known.created_ns),
            };
            meta.catalogue.insert(account, name, known);
        }
        let home = self.home(account, name);
        if home == self.core {
            self.home_update(bus, disk, request.clone(), config);
        } else {
            let config = response::json(&config);
            let record = Record::Update {
                request: request.as_record(),
                config: &config,
            };
            bus.send(home, &record.to_vec());
        }
        Ok(Outcome::Elsewhere)
    }

    /// Changes a stream whose home this is.
    pub(in crate::jetstream) fn home_update(
        &mut self,
        bus: &mut dyn Bus,
        disk: &mut dyn Disk,
        request: OwnedRequest,
        config: StreamConfig,
    ) {
        let found = self
            .running(request.account, request.stream())
            .map(|(slot, entry)| (slot, entry.incarnation));
        let Some((slot, incarnation)) = found else {
            let error = ErrorCode::StreamNotFound.into();
            self.respond_error(bus, &request, &error);
            return;
        };
        if let Some((entry, mut parts)) = self.split(slot, bus, disk) {
            let limits = &config.consumer_limits;
            let beyond = entry
                .consumers
                .beyond(limits.max_ack_pending, limits.inactive_threshold);
            if !beyond.is_empty() {
                let text = format!("change to limits violates consumers: {}", beyond.join(", "));
                // The meta core has the new configuration already.
                entry.announce(parts.bus);
                self.respond_error(bus, &request, &ErrorCode::StreamUpdate.with(text));
                return;
            }
            entry.update(&mut parts, config);
        }
        self.touch(slot);
        self.hold(Held {
            request,
            slot,
            incarnation,
            barrier: None,
            what: What::Updated,
        });
    }

    pub(in crate::jetstream) fn stream_delete(
        &mut self,
        bus: &mut dyn Bus,
        disk: &mut dyn Disk,
        request: &OwnedRequest,
    ) -> Handled {
        if !request::is_empty(&request.payload) {
            return Err(ErrorCode::NotEmptyRequest.into());
        }
        if let Some(meta) = &mut self.meta {
            meta.catalogue.remove(request.account, request.stream());
        }
        self.forward(bus, disk, request)
    }

    /// Removes a stream whose home this is.
    pub(in crate::jetstream) fn home_delete(
        &mut self,
        bus: &mut dyn Bus,
        disk: &mut dyn Disk,
        request: &OwnedRequest,
    ) -> Handled {
        let account = request.account;
        let slot = self
            .slot(account, request.stream())
            .ok_or(ErrorCode::StreamNotFound)?;
        let phase = match self.entries.get(slot as usize) {
            Some(Some(entry)) => entry.phase(),
            _ => return Err(ErrorCode::StreamNotFound.into()),
        };
        if phase == Phase::Removing {
            return Err(ErrorCode::StreamNotFound.into());
        }
        let was_running = phase == Phase::Running;
        let Some((entry, mut parts)) = self.split(slot, bus, disk) else {
            return Err(ErrorCode::StreamNotFound.into());
        };
        let incarnation = entry.incarnation;
        let consumers: Vec<String> = entry
            .consumers
            .names()
            .map(|(name, _)| name.to_owned())
            .collect();
        entry.destroy(&mut parts);
        for consumer in &consumers {
            advisory::consumer_action(
                parts.bus,
                account,
                &entry.name,
                consumer,
                "delete",
                parts.settings,
            );
        }
        if was_running {
            let own = self.accounts.own_mut(account);
            own.streams = own.streams.saturating_sub(1);
            own.consumers = own.consumers.saturating_sub(consumers.len() as u64);
        }
        self.touch(slot);
        self.hold(Held {
            request: request.clone(),
            slot,
            incarnation,
            barrier: Some(bus.barrier()),
            what: What::Deleted,
        });
        Ok(Outcome::Elsewhere)
    }

    /// The stream in a slot as answers show it.
    pub(in crate::jetstream) fn info(&self, bus: &dyn Bus, slot: u32) -> Option<StreamInfo> {
        let entry = self.entries.get(slot as usize)?.as_deref()?;
        let stream = entry.stream.as_deref()?;
        let state = stream.state(entry.consumers.len() as u64, false);
        Some(stream.info(state, &self.settings.version, bus.now().unix_ns))
    }

    pub(in crate::jetstream) fn put_stream_info(
        &self,
        bus: &dyn Bus,
        slot: u32,
        body: &mut response::Body,
    ) {
        if let Some(info) = self.info(bus, slot) {
            body.fields(&info);
        }
    }

    /// A stream as lists show it: JSON.
    pub(in crate::jetstream) fn listed_info(
        &self,
        bus: &dyn Bus,
        account: u16,
        name: &str,
    ) -> Option<Vec<u8>> {
        let (slot, entry) = self.running(account, name)?;
        let mut info = self.info(bus, slot)?;
        info.config = entry.config()?.clone();
        Some(response::json(&info))
    }

    pub(in crate::jetstream) fn stream_info(
        &mut self,
        bus: &mut dyn Bus,
        request: &OwnedRequest,
    ) -> Handled {
        let asked: StreamInfoRequest = request::parse(
            &request.payload,
            "JSApiStreamInfoRequest",
            self.settings.strict,
        )?;
        let (slot, entry) = self.find(request)?;
        let mut info = self.info(bus, slot).ok_or(ErrorCode::StreamNotFound)?;
        let stream = entry.stream.as_deref().ok_or(ErrorCode::StreamNotFound)?;
        if asked.deleted_details {
            info.state = stream.state(entry.consumers.len() as u64, true);
        }
        let mut paging = Paging::default();
        if !asked.subjects_filter.is_empty() {
            let filter = asked.subjects_filter.as_bytes();
            let offset = u64::try_from(asked.offset).unwrap_or(0);
            let mut subjects = BTreeMap::new();
            stream
                .log()
                .for_each_subject_from(filter, b"", |subject, state| {
                    if paging.total >= offset && subjects.len() < SUBJECTS_PAGE {
                        let subject = String::from_utf8_lossy(subject).into_owned();
                        subjects.insert(subject, state.count);
                    }
                    paging.total += 1;
                    ControlFlow::Continue(())
                });
            if paging.total > 0 {
                paging.offset = offset;
                paging.limit = SUBJECTS_PAGE;
            }
            info.state.subjects = (!subjects.is_empty()).then_some(subjects);
        }
        info.cluster = Some(ClusterInfo {
            leader: self.settings.server_name.clone(),
        });
        let mut body = response::Body::new(request.endpoint);
        body.fields(&paging).fields(&info);
        Ok(Outcome::Answer(body.finish()))
    }

    /// The running stream that a request names.
    pub(in crate::jetstream) fn find(
        &self,
        request: &OwnedRequest,
    ) -> Result<(u32, &Entry), ApiError> {
        if let Some(found) = self.running(request.account, request.stream()) {
            return Ok(found);
        }
        let failed = self
            .slot(request.account, request.stream())
            .and_then(|slot| self.entries.get(slot as usize)?.as_deref())
            .filter(|entry| entry.phase() == Phase::Failed);
        match failed {
            Some(entry) => {
                Err(ErrorCode::StreamOfflineReason
                    .with(entry.problem.as_deref().unwrap_or_default()))
            }
            None => Err(ErrorCode::StreamNotFound.into()),
        }
    }

    pub(in crate::jetstream) fn stream_purge(
        &mut self,
        bus: &mut dyn Bus,
        disk: &mut dyn Disk,
        request: &OwnedRequest,
    ) -> Handled {
        let asked: PurgeRequest = request::parse(
            &request.payload,
            "JSApiStreamPurgeRequest",
            self.settings.strict,
        )?;
        if asked.seq > 0 && asked.keep > 0 {
            return Err(ErrorCode::BadRequest.into());
        }
        let (slot, _) = self.find(request)?;
        let purge = Purge {
            sequence: asked.seq,
            keep: asked.keep,
            filter: asked.filter,
        };
        let (entry, mut parts) = self
            .split(slot, bus, disk)
            .ok_or(ErrorCode::StreamNotFound)?;
        let purged = entry
            .with_stream(&mut parts, |stream, cx| stream.purge(cx, &purge))
            .ok_or(ErrorCode::StreamNotFound)??;
        self.touch(slot);
        let mut body = response::Body::new(request.endpoint);
        body.field("success", &true).field("purged", &purged);
        self.hold_removal(request, slot, body.finish())
    }
}
