//! A stream from a sequence of chunks.
//!
//! The meta core checks and enters the stream in the catalogue; its home makes it, takes the
//! chunks, each of which is answered when it was taken, and lets the stream run at the end. Until
//! then nobody can use it.

use super::archive::{Reader, consumer_name, take_message};
use super::dispatch::{Handled, OwnedRequest};
use super::{Endpoint, request, response};
use crate::jetstream::JetStream;
use crate::jetstream::advisory;
use crate::jetstream::bus::{Bus, Incoming, Kind, Outgoing, Token};
use crate::jetstream::entry::{Entry, Phase};
use crate::jetstream::error::ErrorCode;
use crate::jetstream::held::{Held, What};
use crate::jetstream::json::{Decode, JsonError, Node, Place};
use crate::jetstream::layout;
use crate::jetstream::node::{META_CORE, Owner, Parts};
use crate::jetstream::peer::Record;
use crate::jetstream::stream::StreamConfig;
use crate::jetstream::stream::context::Usage as _;
use crate::jetstream::time::Time;
use crate::json_object;
use crate::store::{Disk, NewMessage};

/// Nanoseconds without a chunk after which a restore is given up.
const STALLED_NS: u64 = 30_000_000_000;

/// A value that is not looked at.
#[derive(Clone, Debug, Default)]
struct Ignored;

impl Decode for Ignored {
    fn decode(&mut self, _: &Node<'_>, _: &Place<'_>) -> Result<(), JsonError> {
        Ok(())
    }
}

#[derive(Clone, Debug, Default)]
struct RestoreRequest {
    config: StreamConfig,
    state: Ignored,
}

json_object!(RestoreRequest, "server.JSApiStreamRestoreRequest", {
    "config" => config,
    "state" => state,
});

#[derive(Clone, Debug, Default)]
struct End {
    last_seq: u64,
}

json_object!(End, "End", { "last_seq" => last_seq });

/// Streams that are being restored at this core.
#[derive(Default)]
pub(in crate::jetstream) struct Restores {
    running: Vec<Restore>,
    next_number: u32,
}

struct Restore {
    number: u32,
    request: OwnedRequest,
    slot: u32,
    incarnation: u64,
    subject: String,
    reader: Reader,
    /// Chunks that came before the stream was there.
    waiting: Vec<OwnedRequest>,
    bytes: u64,
    start: Time,
    last_ns: u64,
    /// Bytes of the stream that were counted.
    counted: u64,
    error: Option<String>,
}

impl Restores {
    pub fn next_deadline(&self) -> Option<u64> {
        let ends = self.running.iter().map(|one| one.last_ns + STALLED_NS);
        ends.min()
    }

    pub fn is_empty(&self) -> bool {
        self.running.is_empty()
    }
}

impl JetStream {
    pub(in crate::jetstream) fn stream_restore(
        &mut self,
        bus: &mut dyn Bus,
        disk: &mut dyn Disk,
        request: &OwnedRequest,
    ) -> Handled {
        if request.payload.is_empty() {
            return Err(ErrorCode::BadRequest.into());
        }
        let asked: RestoreRequest = request::parse(
            &request.payload,
            "JSApiStreamRestoreRequest",
            self.settings.strict,
        )?;
        let _ = asked.state;
        let (account, name) = (request.account, request.stream());
        let mut config = asked.config;
        if config.name.is_empty() {
            return Err(ErrorCode::BadRequest.into());
        }
        if config.name != name {
            return Err(ErrorCode::StreamMismatch.into());
        }
        if let Some(meta) = &self.meta
            && meta.catalogue.get(account, name).is_some()
        {
            return Err(ErrorCode::StreamNameExistsRestore.into());
        }
        // A sealed stream can be restored, though not made.
        let sealed = std::mem::take(&mut config.sealed);
        let mut config = self.check_new(account, config, false)?;
        config.sealed = sealed;
        self.pass_creation(bus, disk, request, config)
    }

    /// Makes a stream whose home this is and waits for its content.
    pub(in crate::jetstream) fn home_restore(
        &mut self,
        bus: &mut dyn Bus,
        disk: &mut dyn Disk,
        request: OwnedRequest,
        config: StreamConfig,
    ) {
        let account = request.account;
        let (slot, incarnation) = match self.make_stream(bus, disk, account, config) {
            Ok(made) => made,
            Err(error) => {
                self.forget(bus, &request);
                self.respond_error(bus, &request, &error);
                return;
            }
        };
        if let Some(Some(entry)) = self.entries.get_mut(slot as usize) {
            entry.is_restoring = true;
        }
        let number = self.restores.next_number;
        self.restores.next_number = number.wrapping_add(1);
        let subject = format!(
            "$JS.SNAPSHOT.RESTORE.{}.{}",
            request.stream(),
            advisory::unique_id(bus)
        );
        let token = Token::new(Kind::Restore, slot, number);
        bus.subscribe(account, subject.as_bytes(), token);
        let now = bus.now();
        let suffix = format!("STREAM.RESTORE_CREATE.{}", request.stream());
        self.tell_transfer(bus, &request, &suffix, "restore_create", |_| {});
        self.restores.running.push(Restore {
            number,
            slot,
            incarnation,
            subject: subject.clone(),
            reader: Reader::default(),
            waiting: Vec::new(),
            bytes: 0,
            start: Time::from_unix_ns(now.unix_ns),
            last_ns: now.mono_ns,
            counted: 0,
            error: None,
            request: request.clone(),
        });
        self.hold(Held {
            request,
            slot,
            incarnation,
            barrier: Some(bus.barrier()),
            what: What::Restoring { subject },
        });
    }

    fn forget(&mut self, bus: &mut dyn Bus, request: &OwnedRequest) {
        let record = Record::Absent {
            account: request.account,
            name: request.stream(),
        };
        bus.send(META_CORE, &record.to_vec());
    }

    /// A chunk.
    pub(in crate::jetstream) fn restore_message(
        &mut self,
        bus: &mut dyn Bus,
        disk: &mut dyn Disk,
        number: u32,
        message: &Incoming<'_>,
    ) {
        let now = bus.now().mono_ns;
        let Some(one) = self
            .restores
            .running
            .iter_mut()
            .find(|one| one.number == number)
        else {
            return;
        };
        one.last_ns = now;
        one.waiting
            .push(OwnedRequest::new(Endpoint::StreamRestore, message));
        self.proceed_restores(bus, disk);
    }

    /// Takes chunks for streams that are there.
    pub(in crate::jetstream) fn proceed_restores(
        &mut self,
        bus: &mut dyn Bus,
        disk: &mut dyn Disk,
    ) {
        let mut running = std::mem::take(&mut self.restores.running);
        running.retain_mut(|one| !self.proceed_restore(bus, disk, one));
        running.append(&mut self.restores.running);
        self.restores.running = running;
    }

    /// Whether the restore is over.
    fn proceed_restore(
        &mut self,
        bus: &mut dyn Bus,
        disk: &mut dyn Disk,
        one: &mut Restore,
    ) -> bool {
        if one.waiting.is_empty() {
            return false;
        }
        if !self.is_incarnation(one.slot, one.incarnation) {
            return true;
        }
        let Some((entry, mut parts)) = self.split(one.slot, bus, disk) else {
            return true;
        };
        match entry.phase() {
            Phase::Restoring => {}
            Phase::Failed | Phase::Removing => {
                one.error = Some("the stream could not be made".to_owned());
            }
            _ => return false,
        }
        let mut last = None;
        for chunk in std::mem::take(&mut one.waiting) {
            if chunk.payload.is_empty() {
                last = Some(chunk);
                break;
            }
            one.bytes += chunk.payload.len() as u64;
            if one.error.is_none()
                && let Err(error) = entry.take_chunk(&mut parts, one, &chunk.payload)
            {
                one.error = Some(error);
            }
            let reply = Outgoing::plain(&chunk.reply, b"");
            let _ = parts.bus.publish(chunk.account, &reply);
        }
        let Some(last) = last else {
            self.touch(one.slot);
            return false;
        };
        if one.error.is_none() && !one.reader.is_ended() {
            one.error = Some("unexpected EOF".to_owned());
        }
        if one.error.is_none() {
            entry.finish_restore();
        }
        let token = Token::new(Kind::Restore, one.slot, one.number);
        bus.unsubscribe(one.request.account, one.subject.as_bytes(), token);
        let request = OwnedRequest {
            reply: last.reply,
            payload: Vec::new(),
            ..one.request.clone()
        };
        match one.error.take() {
            Some(error) => {
                self.abandon_restore(bus, disk, one);
                let error = ErrorCode::StreamRestore.with(error);
                let body = response::failure(Endpoint::StreamCreate, &error);
                self.accounts.own_mut(request.account).api_errors += 1;
                self.respond(bus, &request, &body);
            }
            None => self.hold(Held {
                request,
                slot: one.slot,
                incarnation: one.incarnation,
                barrier: None,
                what: What::Restored {
                    start: one.start,
                    bytes: one.bytes,
                },
            }),
        }
        self.touch(one.slot);
        true
    }

    fn abandon_restore(&mut self, bus: &mut dyn Bus, disk: &mut dyn Disk, one: &Restore) {
        self.forget(bus, &one.request);
        if let Some((entry, mut parts)) = self.split(one.slot, bus, disk) {
            entry.destroy(&mut parts);
        }
        self.touch(one.slot);
    }

    /// Gives up restores whose chunks do not come.
    pub(in crate::jetstream) fn tick_restores(&mut self, bus: &mut dyn Bus, disk: &mut dyn Disk) {
        let now = bus.now().mono_ns;
        while let Some(at) = self
            .restores
            .running
            .iter()
            .position(|one| now >= one.last_ns + STALLED_NS)
        {
            let one = self.restores.running.remove(at);
            let token = Token::new(Kind::Restore, one.slot, one.number);
            bus.unsubscribe(one.request.account, one.subject.as_bytes(), token);
            self.abandon_restore(bus, disk, &one);
        }
    }
}

impl Entry {
    fn take_chunk(
        &mut self,
        parts: &mut Parts<'_>,
        one: &mut Restore,
        chunk: &[u8],
    ) -> Result<(), String> {
        one.reader.push(chunk).map_err(|error| error.to_string())?;
        while let Some((name, content)) = one.reader.next().map_err(|error| error.to_string())? {
            self.take_file(parts, &name, &content)?;
        }
        let Some(stream) = self.stream.as_deref() else {
            return Ok(());
        };
        let bytes = stream.log().state().bytes;
        let added = bytes as i64 - one.counted as i64;
        parts.usage.used(stream.storage(), added);
        one.counted = bytes;
        Ok(())
    }

    fn take_file(
        &mut self,
        parts: &mut Parts<'_>,
        name: &str,
        content: &[u8],
    ) -> Result<(), String> {
        let stream = self.stream.as_deref_mut().ok_or("the stream is gone")?;
        if name.starts_with("messages/") {
            let mut rest = content;
            while let Some((stored, wake)) =
                take_message(&mut rest).map_err(|error| error.to_string())?
            {
                let message = NewMessage {
                    sequence: Some(stored.sequence),
                    unix_ns: stored.unix_ns,
                    subject: stored.subject,
                    header: stored.header,
                    payload: stored.payload,
                    wake,
                };
                stream
                    .log_mut()
                    .append(&message)
                    .map_err(|error| error.to_string())?;
            }
            stream.log_mut().flush(parts.disk);
            return Ok(());
        }
        if name == "end.json" {
            let mut end = End::default();
            crate::jetstream::json::decode(&mut end, content, "End", false)
                .map_err(|error| error.to_string())?;
            stream.log_mut().skip_to(end.last_seq);
            return Ok(());
        }
        if let Some(consumer) = consumer_name(name) {
            let in_memory = !self.is_on_disk();
            let journal = match layout::consumer_file(&consumer) {
                Some(file) if !in_memory => {
                    let owner = parts.allocate(Owner::Consumer(self.slot));
                    self.consumer_owners.insert(consumer.to_string(), owner);
                    Some((owner, self.consumer_journal(&file)))
                }
                _ => None,
            };
            return self
                .with_consumers(parts, |consumers, cx| {
                    consumers.import(cx, consumer.into_owned(), content, journal)
                })
                .unwrap_or(Ok(()));
        }
        Ok(())
    }
}
