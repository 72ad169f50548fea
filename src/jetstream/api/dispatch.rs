//! From a request to its answer: what is checked first, who answers, and what is told of it.

use super::direct::has_required_level;
use super::{Endpoint, response};
use crate::broker::LogLevel;
use crate::jetstream::JetStream;
use crate::jetstream::advisory::{self, Audit, Client, LimitReached};
use crate::jetstream::bus::{Bus, Incoming, Outgoing};
use crate::jetstream::error::{ApiError, ErrorCode};
use crate::jetstream::peer::{Record, Request};
use crate::store::Disk;

/// Requests answered in one turn of a core; more wait for the next one, so that a flood of them
/// does not hold up messages.
const REQUESTS_PER_TURN: usize = 64;

/// A request that is kept.
#[derive(Clone, Debug)]
pub(in crate::jetstream) struct OwnedRequest {
    pub account: u16,
    pub endpoint: Endpoint,
    pub origin: u64,
    pub subject: Vec<u8>,
    pub reply: Vec<u8>,
    pub header: Vec<u8>,
    pub payload: Vec<u8>,
}

impl OwnedRequest {
    pub fn new(endpoint: Endpoint, message: &Incoming<'_>) -> Self {
        Self {
            account: message.account,
            endpoint,
            origin: message.origin,
            subject: message.subject.to_vec(),
            reply: message.reply.to_vec(),
            header: message.header.to_vec(),
            payload: message.payload.to_vec(),
        }
    }

    /// The request of a record.
    pub fn from_record(request: &Request<'_>) -> Option<Self> {
        Some(Self {
            account: request.account,
            endpoint: Endpoint::from_number(u32::from(request.endpoint))?,
            origin: request.origin,
            subject: request.subject.to_vec(),
            reply: request.reply.to_vec(),
            header: request.header.to_vec(),
            payload: request.payload.to_vec(),
        })
    }

    pub fn as_record(&self) -> Request<'_> {
        Request {
            account: self.account,
            endpoint: self.endpoint as u8,
            origin: self.origin,
            subject: &self.subject,
            reply: &self.reply,
            header: &self.header,
            payload: &self.payload,
        }
    }

    pub fn stream(&self) -> &str {
        self.endpoint.names(&self.subject).stream
    }

    pub fn consumer(&self) -> &str {
        self.endpoint.names(&self.subject).consumer
    }
}

/// What a handler gives back.
pub(in crate::jetstream) enum Outcome {
    /// The whole response.
    Answer(Vec<u8>),
    /// It is answered later, or by another core, or not at all.
    Elsewhere,
}

pub(in crate::jetstream) type Handled = Result<Outcome, ApiError>;

/// Whether requests count only when they fail, as on nats-server.
fn is_counted_late(endpoint: Endpoint) -> bool {
    endpoint == Endpoint::MessageGet
}

impl JetStream {
    /// Takes a request of a client, to be answered at the end of the turn.
    pub(in crate::jetstream) fn enqueue(
        &mut self,
        bus: &mut dyn Bus,
        endpoint: Endpoint,
        message: &Incoming<'_>,
    ) {
        if self.queue.len() >= self.settings.request_queue_limit {
            // As nats-server: all that wait are dropped, so that the queue is short again.
            let dropped = self.queue.len();
            self.queue.clear();
            bus.log(
                LogLevel::Warn,
                format!("JetStream API queue limit reached, dropping {dropped} requests"),
            );
            let settings = &self.settings;
            advisory::publish(
                bus,
                message.account,
                "API.LIMIT_REACHED",
                "api_limit_reached",
                LimitReached {
                    server: &settings.server_name,
                    dropped,
                    domain: settings.domain.as_deref(),
                },
            );
        }
        self.queue.push_back(OwnedRequest::new(endpoint, message));
    }

    /// Answers some of the requests that wait.
    pub(in crate::jetstream) fn answer_queued(&mut self, bus: &mut dyn Bus, disk: &mut dyn Disk) {
        for _ in 0..REQUESTS_PER_TURN {
            let Some(request) = self.queue.pop_front() else {
                break;
            };
            self.answer(bus, disk, request);
        }
    }

    fn answer(&mut self, bus: &mut dyn Bus, disk: &mut dyn Disk, request: OwnedRequest) {
        if !is_counted_late(request.endpoint) {
            self.accounts.own_mut(request.account).api_total += 1;
        }
        match self.check_and_handle(bus, disk, &request) {
            Ok(Outcome::Elsewhere) => {}
            Ok(Outcome::Answer(body)) => self.respond(bus, &request, &body),
            Err(error) => self.respond_error(bus, &request, &error),
        }
    }

    fn check_and_handle(
        &mut self,
        bus: &mut dyn Bus,
        disk: &mut dyn Disk,
        request: &OwnedRequest,
    ) -> Handled {
        if request.endpoint.needs_cluster() {
            return Err(ErrorCode::ClusterRequired.into());
        }
        if !has_required_level(&request.header) {
            return Err(ErrorCode::RequiredApiLevel.into());
        }
        if self.accounts.limits(request.account).is_none() {
            return Err(ErrorCode::NotEnabledForAccount.into());
        }
        match request.endpoint {
            Endpoint::AccountInfo => self.account_info(bus, request),
            Endpoint::StreamNames => self.stream_names(request),
            Endpoint::StreamList => self.stream_list(bus, request),
            Endpoint::StreamCreate => self.stream_create(bus, disk, request),
            Endpoint::StreamUpdate => self.stream_update(bus, disk, request),
            Endpoint::StreamDelete => self.stream_delete(bus, disk, request),
            Endpoint::StreamRestore => self.stream_restore(bus, disk, request),
            _ => self.forward(bus, disk, request),
        }
    }

    /// Lets the home of the stream that the request names answer it.
    pub(in crate::jetstream) fn forward(
        &mut self,
        bus: &mut dyn Bus,
        disk: &mut dyn Disk,
        request: &OwnedRequest,
    ) -> Handled {
        let home = self.home(request.account, request.stream());
        if home == self.core {
            return self.handle_at_home(bus, disk, request);
        }
        bus.send(home, &Record::Forward(request.as_record()).to_vec());
        Ok(Outcome::Elsewhere)
    }

    /// Answers a request that the meta core has passed on.
    pub(in crate::jetstream) fn answer_forwarded(
        &mut self,
        bus: &mut dyn Bus,
        disk: &mut dyn Disk,
        request: &OwnedRequest,
    ) {
        match self.handle_at_home(bus, disk, request) {
            Ok(Outcome::Elsewhere) => {}
            Ok(Outcome::Answer(body)) => self.respond(bus, request, &body),
            Err(error) => self.respond_error(bus, request, &error),
        }
    }

    fn handle_at_home(
        &mut self,
        bus: &mut dyn Bus,
        disk: &mut dyn Disk,
        request: &OwnedRequest,
    ) -> Handled {
        match request.endpoint {
            Endpoint::StreamInfo => self.stream_info(bus, request),
            Endpoint::StreamDelete => self.home_delete(bus, disk, request),
            Endpoint::StreamPurge => self.stream_purge(bus, disk, request),
            Endpoint::StreamSnapshot => self.stream_snapshot(bus, disk, request),
            Endpoint::MessageGet => self.message_get(bus, disk, request),
            Endpoint::MessageDelete => self.message_delete(bus, disk, request),
            Endpoint::ConsumerCreate
            | Endpoint::ConsumerCreateNamed
            | Endpoint::ConsumerCreateDurable => self.consumer_create(bus, disk, request),
            Endpoint::ConsumerNames => self.consumer_names(request),
            Endpoint::ConsumerList => self.consumer_list(bus, disk, request),
            Endpoint::ConsumerInfo => self.consumer_info(bus, disk, request),
            Endpoint::ConsumerDelete => self.consumer_delete(bus, disk, request),
            Endpoint::ConsumerPause => self.consumer_pause(bus, disk, request),
            Endpoint::ConsumerReset => self.consumer_reset(bus, disk, request),
            Endpoint::ConsumerUnpin => self.consumer_unpin(bus, disk, request),
            // Answered by the meta core.
            _ => Ok(Outcome::Elsewhere),
        }
    }

    /// Sends a response, and what is told of it.
    pub(in crate::jetstream) fn respond(
        &self,
        bus: &mut dyn Bus,
        request: &OwnedRequest,
        body: &[u8],
    ) {
        self.respond_with(bus, request, b"", body);
    }

    /// Sends a response with a header block.
    pub(in crate::jetstream) fn respond_with(
        &self,
        bus: &mut dyn Bus,
        request: &OwnedRequest,
        header: &[u8],
        body: &[u8],
    ) {
        if !request.reply.is_empty() {
            let message = Outgoing {
                header,
                ..Outgoing::plain(&request.reply, body)
            };
            let _ = bus.publish(request.account, &message);
        }
        self.audit(bus, request, body);
    }

    /// Sends the response to a request that failed.
    pub(in crate::jetstream) fn respond_error(
        &mut self,
        bus: &mut dyn Bus,
        request: &OwnedRequest,
        error: &ApiError,
    ) {
        let own = self.accounts.own_mut(request.account);
        own.api_total += u64::from(is_counted_late(request.endpoint));
        // nats-server does not count what its store refuses to delete.
        let is_counted = !matches!(
            error.code,
            ErrorCode::SequenceNotFound | ErrorCode::StreamMessageDelete
        );
        own.api_errors += u64::from(is_counted);
        let body = response::failure(request.endpoint, error);
        self.respond(bus, request, &body);
    }

    fn audit(&self, bus: &mut dyn Bus, request: &OwnedRequest, body: &[u8]) {
        if !advisory::is_wanted(bus, request.account, "API") {
            return;
        }
        let (settings, account) = (&self.settings, request.account);
        let info = bus.client(request.origin);
        let audit = Audit {
            server: &settings.server_name,
            client: Client::new(
                info.as_ref(),
                self.accounts.name(account),
                &settings.server_name,
            ),
            subject: &String::from_utf8_lossy(&request.subject),
            request: &String::from_utf8_lossy(&request.payload),
            response: &String::from_utf8_lossy(body),
            domain: settings.domain.as_deref(),
        };
        advisory::publish(bus, account, "API", "api_audit", audit);
    }
}
