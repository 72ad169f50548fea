//! Requests about consumers.

use serde::Serialize;

use super::dispatch::{Handled, Outcome, OwnedRequest};
use super::request::{self, ConsumersRequest, PauseRequest, ResetRequest, UnpinRequest};
use super::{Endpoint, LIST_PAGE, NAMES_PAGE, response};
use crate::jetstream::JetStream;
use crate::jetstream::bus::Bus;
use crate::jetstream::consumer::{
    Allowed, ConsumerInfo, CreateConsumerRequest, CreateSubject, Plan,
};
use crate::jetstream::entry::Entry;
use crate::jetstream::error::{ApiError, ErrorCode};
use crate::jetstream::held::{Held, What};
use crate::jetstream::layout;
use crate::jetstream::meta::page;
use crate::jetstream::node::Owner;
use crate::jetstream::settings::API_LEVEL;
use crate::jetstream::stream::config::{Retention, Storage};
use crate::protocol::headers;
use crate::store::Disk;

/// Header that names the stream as it was when the client last saw it.
const IDENTITY_HEADER: &[u8] = b"Nats-Stream-Identity";

#[derive(Serialize)]
struct Page<'a, T: Serialize> {
    total: usize,
    offset: usize,
    limit: usize,
    consumers: &'a [T],
}

/// The smaller of two limits, of which values below 1 are none.
fn tighter(a: i64, b: i64) -> i64 {
    match (a > 0, b > 0) {
        (true, true) => a.min(b),
        (true, false) => a,
        (false, _) => b,
    }
}

/// The header block that tells which stream it is.
pub(in crate::jetstream) fn identity_header(identity: &str) -> Vec<u8> {
    [
        b"NATS/1.0\r\n",
        IDENTITY_HEADER,
        b": ",
        identity.as_bytes(),
        b"\r\n\r\n",
    ]
    .concat()
}

impl JetStream {
    pub(in crate::jetstream) fn consumer_create(
        &mut self,
        bus: &mut dyn Bus,
        disk: &mut dyn Disk,
        request: &OwnedRequest,
    ) -> Handled {
        let mut asked = CreateConsumerRequest::parse(&request.payload, self.settings.strict)?;
        let names = request.endpoint.names(&request.subject);
        let subject = match request.endpoint {
            Endpoint::ConsumerCreate => CreateSubject::Unnamed,
            Endpoint::ConsumerCreateDurable => CreateSubject::Durable {
                consumer: names.consumer,
            },
            _ => CreateSubject::Named {
                consumer: names.consumer,
                filter: (!names.filter.is_empty()).then_some(names.filter),
            },
        };
        if asked.stream_name != names.stream {
            return Err(ErrorCode::StreamMismatch.into());
        }
        let (slot, entry) = self.find(request)?;
        let incarnation = entry.incarnation;
        let identity = Self::check_identity(request, entry, asked.config.sourcing)?;
        asked.reconcile(names.stream, subject)?;
        let plan = self.plan(bus, request, entry, asked)?;
        let (entry, mut parts) = self
            .split(slot, bus, disk)
            .ok_or(ErrorCode::StreamNotFound)?;
        let (name, initial) = match plan {
            Plan::Create(name, config) => {
                let in_memory = config.mem_storage
                    || entry
                        .config()
                        .is_none_or(|stream| stream.storage == Storage::Memory);
                let journal = if in_memory {
                    None
                } else {
                    let file = layout::consumer_file(&name).ok_or(
                        ErrorCode::ConsumerCreate.with("error creating store for consumer"),
                    )?;
                    let owner = parts.allocate(Owner::Consumer(slot));
                    entry.consumer_owners.insert(name.clone(), owner);
                    Some((owner, entry.consumer_journal(&file)))
                };
                let created = name.clone();
                entry.with_consumers(&mut parts, |consumers, cx| {
                    consumers.create(cx, created, *config, journal)
                });
                parts.usage.accounts.own_mut(request.account).consumers += 1;
                let initial = entry.with_consumers(&mut parts, |consumers, cx| {
                    let slot = consumers.find(&name)?;
                    consumers.info(cx, slot)
                });
                (name, initial.flatten())
            }
            Plan::Update(consumer, config) => {
                let name = entry
                    .consumers
                    .get(consumer)
                    .map(|consumer| consumer.name().to_owned())
                    .unwrap_or_default();
                entry.with_consumers(&mut parts, |consumers, cx| {
                    consumers.update(cx, consumer, *config);
                });
                if let Some(stream) = &mut entry.stream {
                    stream.consumers_changed();
                }
                (name, None)
            }
            Plan::Keep(consumer) => {
                let name = entry
                    .consumers
                    .get(consumer)
                    .map(|consumer| consumer.name().to_owned())
                    .unwrap_or_default();
                (name, None)
            }
        };
        self.touch(slot);
        self.hold(Held {
            request: request.clone(),
            slot,
            incarnation,
            barrier: None,
            what: What::Consumer {
                name,
                initial: initial.map(Box::new),
                identity,
            },
        });
        Ok(Outcome::Elsewhere)
    }

    /// What the answer to a sourcing consumer's creation says of the stream, as nats-server
    /// does: another server sources from it, and must learn if it was made anew. The header
    /// means nothing for other consumers.
    fn check_identity(
        request: &OwnedRequest,
        entry: &Entry,
        sourcing: bool,
    ) -> Result<Option<String>, ApiError> {
        if !sourcing {
            return Ok(None);
        }
        let identity = entry.stream.as_ref().map_or("", |stream| stream.identity());
        let meant = headers::get(&request.header, IDENTITY_HEADER).unwrap_or_default();
        if !meant.is_empty() && meant != identity.as_bytes() {
            return Err(ErrorCode::StreamIdentityMismatch.with(identity));
        }
        Ok(Some(identity.to_owned()))
    }

    fn plan(
        &self,
        bus: &mut dyn Bus,
        request: &OwnedRequest,
        entry: &Entry,
        asked: CreateConsumerRequest,
    ) -> Result<Plan, ApiError> {
        let config = entry.config().ok_or(ErrorCode::StreamNotFound)?;
        let limits = self
            .accounts
            .limits(request.account)
            .ok_or(ErrorCode::NotEnabledForAccount)?;
        let allowed = Allowed {
            work_queue: config.retention == Retention::WorkQueue,
            interest: config.retention == Retention::Interest,
            subjects: &config.subjects,
            max_ack_pending: tighter(
                config.consumer_limits.max_ack_pending,
                tighter(limits.max_ack_pending, self.settings.limits.max_ack_pending),
            ),
            inactive_threshold: config.consumer_limits.inactive_threshold,
            max_request_batch: self.settings.limits.max_request_batch,
            stream_replicas: config.num_replicas,
        };
        // A stream without a limit of its own has the server's.
        let own = if config.max_consumers > 0 {
            config.max_consumers
        } else {
            self.settings.limits.default_max_consumers
        };
        let max_consumers = match tighter(own, limits.max_consumers) {
            limit if limit > 0 => limit,
            _ => -1,
        };
        entry
            .consumers
            .plan(asked, &allowed, max_consumers, || bus.random())
    }

    /// The response that shows a consumer; `None` if it is gone.
    pub(in crate::jetstream) fn consumer_body(
        &mut self,
        bus: &mut dyn Bus,
        disk: &mut dyn Disk,
        slot: u32,
        endpoint: Endpoint,
        name: &str,
        initial: Option<Box<ConsumerInfo>>,
    ) -> Option<Vec<u8>> {
        let mut info = self.shown_consumer(bus, disk, slot, name)?;
        if let Some(initial) = initial {
            // Clients count down what was pending when the consumer was made.
            info = ConsumerInfo {
                config: info.config,
                push_bound: info.push_bound,
                ts: info.ts,
                ..*initial
            };
        }
        let mut body = response::Body::new(endpoint);
        body.fields(&info);
        Some(body.finish())
    }

    pub(in crate::jetstream) fn consumer_of(
        &mut self,
        bus: &mut dyn Bus,
        disk: &mut dyn Disk,
        slot: u32,
        name: &str,
    ) -> Option<ConsumerInfo> {
        let (entry, mut parts) = self.split(slot, bus, disk)?;
        let consumer = entry.consumers.find(name)?;
        entry
            .with_consumers(&mut parts, |consumers, cx| consumers.info(cx, consumer))
            .flatten()
    }

    /// A consumer with what the server adds to its metadata.
    fn shown_consumer(
        &mut self,
        bus: &mut dyn Bus,
        disk: &mut dyn Disk,
        slot: u32,
        name: &str,
    ) -> Option<ConsumerInfo> {
        let version = self.settings.version.clone();
        let mut info = self.consumer_of(bus, disk, slot, name)?;
        let metadata = &mut info.config.metadata;
        metadata.insert("_nats.level".to_owned(), API_LEVEL.to_string());
        metadata.insert("_nats.ver".to_owned(), version);
        Some(info)
    }

    /// Slot of the stream that a request names, and that the consumer is there.
    fn find_consumer(&self, request: &OwnedRequest) -> Result<(u32, u32), ApiError> {
        let (slot, entry) = self.find(request)?;
        let consumer = entry
            .consumers
            .find(request.consumer())
            .ok_or(ErrorCode::ConsumerNotFound)?;
        Ok((slot, consumer))
    }

    pub(in crate::jetstream) fn consumer_names(&mut self, request: &OwnedRequest) -> Handled {
        let asked: ConsumersRequest = request::parse(
            &request.payload,
            "JSApiConsumersRequest",
            self.settings.strict,
        )?;
        let (_, entry) = self.find(request)?;
        let names: Vec<&str> = entry.consumers.names().map(|(name, _)| name).collect();
        let (offset, consumers) = page(&names, asked.offset, NAMES_PAGE);
        let mut body = response::Body::new(request.endpoint);
        body.fields(&Page {
            total: names.len(),
            offset,
            limit: NAMES_PAGE,
            consumers,
        });
        Ok(Outcome::Answer(body.finish()))
    }

    pub(in crate::jetstream) fn consumer_list(
        &mut self,
        bus: &mut dyn Bus,
        disk: &mut dyn Disk,
        request: &OwnedRequest,
    ) -> Handled {
        let asked: ConsumersRequest = request::parse(
            &request.payload,
            "JSApiConsumersRequest",
            self.settings.strict,
        )?;
        let (slot, entry) = self.find(request)?;
        let names: Vec<String> = entry
            .consumers
            .names()
            .map(|(name, _)| name.to_owned())
            .collect();
        let (offset, shown) = page(&names, asked.offset, LIST_PAGE);
        let consumers: Vec<ConsumerInfo> = shown
            .iter()
            .filter_map(|name| self.consumer_of(bus, disk, slot, name))
            .collect();
        let mut body = response::Body::new(request.endpoint);
        body.fields(&Page {
            total: names.len(),
            offset,
            limit: LIST_PAGE,
            consumers: &consumers,
        });
        Ok(Outcome::Answer(body.finish()))
    }

    pub(in crate::jetstream) fn consumer_info(
        &mut self,
        bus: &mut dyn Bus,
        disk: &mut dyn Disk,
        request: &OwnedRequest,
    ) -> Handled {
        if !request::is_empty(&request.payload) {
            return Err(ErrorCode::NotEmptyRequest.into());
        }
        let (slot, _) = self.find_consumer(request)?;
        let info = self
            .shown_consumer(bus, disk, slot, request.consumer())
            .ok_or(ErrorCode::ConsumerNotFound)?;
        let mut body = response::Body::new(request.endpoint);
        body.fields(&info);
        Ok(Outcome::Answer(body.finish()))
    }

    pub(in crate::jetstream) fn consumer_delete(
        &mut self,
        bus: &mut dyn Bus,
        disk: &mut dyn Disk,
        request: &OwnedRequest,
    ) -> Handled {
        if !request::is_empty(&request.payload) {
            return Err(ErrorCode::NotEmptyRequest.into());
        }
        let (slot, _) = self.find_consumer(request)?;
        let (entry, mut parts) = self
            .split(slot, bus, disk)
            .ok_or(ErrorCode::StreamNotFound)?;
        let incarnation = entry.incarnation;
        let owner = entry
            .delete_consumer(&mut parts, request.consumer())
            .ok_or(ErrorCode::ConsumerNotFound)?;
        self.touch(slot);
        self.hold(Held {
            request: request.clone(),
            slot,
            incarnation,
            barrier: None,
            what: What::ConsumerDeleted { owner },
        });
        Ok(Outcome::Elsewhere)
    }

    pub(in crate::jetstream) fn consumer_pause(
        &mut self,
        bus: &mut dyn Bus,
        disk: &mut dyn Disk,
        request: &OwnedRequest,
    ) -> Handled {
        let asked: PauseRequest = request::parse(
            &request.payload,
            "JSApiConsumerPauseRequest",
            self.settings.strict,
        )?;
        let (slot, consumer) = self.find_consumer(request)?;
        let until = (!asked.pause_until.is_zero()).then_some(asked.pause_until);
        let (entry, mut parts) = self
            .split(slot, bus, disk)
            .ok_or(ErrorCode::StreamNotFound)?;
        let info = entry
            .with_consumers(&mut parts, |consumers, cx| {
                consumers.pause(cx, consumer, until)
            })
            .flatten()
            .ok_or(ErrorCode::ConsumerNotFound)?;
        self.touch(slot);
        let mut body = response::Body::new(request.endpoint);
        body.fields(&info);
        Ok(Outcome::Answer(body.finish()))
    }

    pub(in crate::jetstream) fn consumer_reset(
        &mut self,
        bus: &mut dyn Bus,
        disk: &mut dyn Disk,
        request: &OwnedRequest,
    ) -> Handled {
        // nats-server says nothing about a consumer that it does not have.
        let Ok((slot, consumer)) = self.find_consumer(request) else {
            return Ok(Outcome::Elsewhere);
        };
        let asked: ResetRequest = match request.payload.is_empty() {
            true => ResetRequest::default(),
            false => request::parse_whole(&request.payload, "JSApiConsumerResetRequest")?,
        };
        let sequence = (asked.seq > 0).then_some(asked.seq);
        let (entry, mut parts) = self
            .split(slot, bus, disk)
            .ok_or(ErrorCode::StreamNotFound)?;
        let reset = entry
            .with_consumers(&mut parts, |consumers, cx| {
                consumers.reset(cx, consumer, sequence)
            })
            .ok_or(ErrorCode::ConsumerNotFound)??;
        entry.drop_acknowledged(&mut parts);
        self.touch(slot);
        let info = self
            .shown_consumer(bus, disk, slot, request.consumer())
            .ok_or(ErrorCode::ConsumerNotFound)?;
        let mut body = response::Body::new(request.endpoint);
        body.fields(&info).field("reset_seq", &reset);
        // The value is not compared.
        let header = headers::get(&request.header, IDENTITY_HEADER).map(|_| {
            let stream = self.entries[slot as usize]
                .as_ref()
                .and_then(|entry| entry.stream.as_ref());
            identity_header(stream.map_or("", |stream| stream.identity()))
        });
        self.respond_with(bus, request, &header.unwrap_or_default(), &body.finish());
        Ok(Outcome::Elsewhere)
    }

    pub(in crate::jetstream) fn consumer_unpin(
        &mut self,
        bus: &mut dyn Bus,
        disk: &mut dyn Disk,
        request: &OwnedRequest,
    ) -> Handled {
        if request.payload.is_empty() {
            return Err(ErrorCode::InvalidJson.with(request::UNEXPECTED_END));
        }
        let asked: UnpinRequest =
            request::parse_whole(&request.payload, "JSApiConsumerUnpinRequest")?;
        if asked.group.is_empty() {
            return Err(ErrorCode::InvalidJson.with("consumer group not specified"));
        }
        let (slot, consumer) = self.find_consumer(request)?;
        let (entry, mut parts) = self
            .split(slot, bus, disk)
            .ok_or(ErrorCode::StreamNotFound)?;
        entry
            .with_consumers(&mut parts, |consumers, cx| {
                consumers.unpin(cx, consumer, &asked.group)
            })
            .ok_or(ErrorCode::ConsumerNotFound)??;
        self.touch(slot);
        Ok(Outcome::Answer(
            response::Body::new(request.endpoint).finish(),
        ))
    }
}
