//! Received bytes become commands, commands become actions.

use super::auth::{Credentials, Decision, Identity, Refusal, Standing};
use super::close::CloseReason;
use super::connection::{Phase, pause};
use super::core::{Core, InfoKind};
use super::effect::{CloseMode, Effect, LogLevel};
use super::permissions::SubscribeVerdict;
use super::publish::quoted;
use super::subscriptions::{NO_QUEUE, SubId};
use super::timers::nanos;
use crate::protocol::info::tolerated_from_client;
use crate::protocol::render::{self, PermissionsViolation};
use crate::protocol::websocket::Cookies;
use crate::protocol::{
    Command, ConnectError, ConnectOptions, ErrorText, ParseError, ParseLimits, Verb, Violation,
};
use crate::subject;

use std::sync::Arc;

/// Nothing secret stays in memory once it was checked.
fn forget_secrets(options: &mut ConnectOptions) {
    for secret in [
        &mut options.pass,
        &mut options.auth_token,
        &mut options.jwt,
        &mut options.sig,
    ] {
        *secret = Box::default();
    }
}

/// Each cookie stands for a field that CONNECT leaves out.
fn fill_from_cookies(options: &mut ConnectOptions, cookies: &Cookies) {
    for (field, cookie) in [
        (&mut options.jwt, &cookies.jwt),
        (&mut options.user, &cookies.user),
        (&mut options.pass, &cookies.pass),
        (&mut options.auth_token, &cookies.token),
    ] {
        if field.is_empty() && !cookie.is_empty() {
            *field = cookie.as_str().into();
        }
    }
}

/// Whether a CONNECT said who the client is.
fn names_credentials(options: &ConnectOptions) -> bool {
    [
        &options.user,
        &options.pass,
        &options.auth_token,
        &options.nkey,
        &options.jwt,
    ]
    .iter()
    .any(|field| !field.is_empty())
}

/// Bytes received from a paused connection before its socket is no longer read. What is under
/// way when reading stops may come on top.
const STASH_BYTES_MAX: usize = 64 * 1024;

/// The same while its password is being checked, for who knows who it is: it is closed then. A plain
/// connection does not come near, but one that inflates can make megabytes of what was read at once.
const UNVERIFIED_BYTES_MAX: usize = 1024 * 1024;

/// Queue group names that clients may not use.
const RESERVED_QUEUE: &[u8] = b"_sys_";

impl Core {
    /// Bytes came from a connection.
    pub fn receive(&mut self, slot: u32, data: &[u8]) {
        let now = self.now;
        let Some(conn) = self.conn_mut(slot) else {
            return;
        };
        if conn.phase == Phase::Closing {
            return;
        }
        conn.last_received = now.mono_ns;
        conn.last_activity_unix_ns = now.unix_ns;
        if conn.paused != 0 {
            conn.stash.extend_from_slice(data);
            let (stashed, phase) = (conn.stash.len(), conn.phase);
            if stashed > STASH_BYTES_MAX {
                self.halt(slot);
            }
            if phase == Phase::Verifying && stashed > UNVERIFIED_BYTES_MAX {
                self.refuse_credentials(slot);
            }
            return;
        }
        self.parse(slot, data);
    }

    /// Parses what came while the connection was paused.
    pub(super) fn resume(&mut self, slot: u32, reason: u8) {
        let Some(conn) = self.conn_mut(slot) else {
            return;
        };
        if conn.paused & reason == 0 || conn.phase == Phase::Closing {
            return;
        }
        conn.paused &= !reason;
        if conn.paused != 0 {
            return;
        }
        let stash = std::mem::take(&mut conn.stash);
        if !stash.is_empty() {
            self.parse(slot, &stash);
        }
        let Some(conn) = self.conn_mut(slot) else {
            return;
        };
        if conn.paused != 0 || conn.phase == Phase::Closing {
            return;
        }
        if conn.ended {
            self.receive_ended(slot, None);
        } else if std::mem::take(&mut conn.halted) {
            self.effects.push(Effect::Resume { slot });
        }
    }

    /// Has the runtime stop reading the socket, unless it did before.
    fn halt(&mut self, slot: u32) {
        if let Some(conn) = self.conn_mut(slot)
            && !std::mem::replace(&mut conn.halted, true)
        {
            self.effects.push(Effect::Pause { slot });
        }
    }

    /// Stops reading from a connection for a reason of [`pause`].
    pub(super) fn pause(&mut self, slot: u32, reason: u8) {
        if let Some(conn) = self.conn_mut(slot) {
            conn.paused |= reason;
            self.halt(slot);
        }
    }

    fn parse(&mut self, slot: u32, data: &[u8]) {
        let Some(conn) = self.conn_mut(slot) else {
            return;
        };
        let mut parser = std::mem::take(&mut conn.parser);
        let mut headers = conn.headers;
        let mut max_payload = self.max_payload(slot);
        let mut rest = data;
        loop {
            let limits = ParseLimits {
                max_control_line: self.settings.max_control_line,
                max_payload,
                headers,
            };
            let input = rest;
            let (used, result) = parser.next(input, &limits);
            rest = &rest[used..];
            let publishes = match result {
                Ok(Some(command)) => {
                    let publishes = matches!(command, Command::Publish(_));
                    self.command(slot, command);
                    // Before the next command, which may reuse the sid of a finished subscription.
                    if !self.deferred.is_empty() {
                        self.settle_deferred();
                    }
                    publishes
                }
                Ok(None) => break,
                Err(error) => {
                    self.parse_error(slot, error, parser.refused(input));
                    break;
                }
            };
            let Some(conn) = self.conn_mut(slot) else {
                return;
            };
            if conn.phase == Phase::Closing {
                break;
            }
            if conn.paused != 0 {
                conn.stash.extend_from_slice(rest);
                break;
            }
            if !publishes {
                headers = conn.headers;
                max_payload = self.max_payload(slot);
            }
        }
        if let Some(conn) = self.conn_mut(slot)
            && conn.phase != Phase::Closing
        {
            conn.parser = parser;
        }
    }

    /// `line` is the command that was refused, if it is understood that far.
    #[cold]
    fn parse_error(&mut self, slot: u32, error: ParseError, line: Option<(Verb, &[u8])>) {
        let reason = match error {
            ParseError::MaxPayload { .. } => CloseReason::MaxPayloadExceeded,
            ParseError::MaxControlLine { .. } => CloseReason::MaxControlLineExceeded,
            ParseError::UnknownOperation | ParseError::ProtocolViolation { .. } => {
                CloseReason::ProtocolViolation
            }
        };
        if self
            .conn(slot)
            .is_some_and(|c| c.phase == Phase::Unauthenticated)
            && !matches!(error, ParseError::MaxControlLine { .. })
        {
            // Whatever it was, it was not CONNECT.
            self.refuse_credentials(slot);
            return;
        }
        let mut text = error.to_string();
        let quotes = match error {
            ParseError::ProtocolViolation { cause, .. } => cause != Violation::HeadersNotSupported,
            _ => false,
        };
        if let Some((verb, arguments)) = line {
            if !matches!(
                error,
                ParseError::UnknownOperation | ParseError::MaxControlLine { .. }
            ) {
                self.trace_refused(slot, verb, arguments);
            }
            if quotes {
                text = format!("{text}: {}", quoted(arguments));
            }
        }
        self.log_connection(LogLevel::Error, slot, &text);
        match error.error() {
            Some(error) => self.close_with_error(slot, error, reason),
            None => self.close(slot, reason, CloseMode::AfterFlush),
        }
    }

    #[inline]
    fn command(&mut self, slot: u32, command: Command<'_>) {
        if self.settings.trace {
            self.trace_in(slot, &command);
        }
        if self
            .conn(slot)
            .is_some_and(|c| c.phase == Phase::Unauthenticated)
            && !matches!(command, Command::Connect(_))
            && !self.use_no_auth_user(slot)
        {
            self.refuse_credentials(slot);
            return;
        }
        if matches!(
            command,
            Command::Subscribe { .. } | Command::Unsubscribe { .. }
        ) {
            // What an earlier message of this read finished is finished for them.
            self.settle_finished();
        }
        match command {
            Command::Publish(publish) => self.publish(slot, &publish),
            Command::Ping => self.on_ping(slot),
            Command::Pong => self.on_pong(slot),
            Command::Subscribe {
                subject,
                queue,
                sid,
            } => self.on_subscribe(slot, subject, queue, sid),
            Command::Unsubscribe { sid, max } => self.on_unsubscribe(slot, sid, max),
            Command::Connect(json) => self.on_connect(slot, json),
            Command::Err(text) => {
                let text = String::from_utf8_lossy(text).into_owned();
                self.log_connection(LogLevel::Error, slot, &format!("Client Error {text}"));
                self.close(slot, CloseReason::ParseError, CloseMode::AfterFlush);
            }
            Command::Info(json) => {
                if !tolerated_from_client(json) {
                    self.close(slot, CloseReason::ProtocolViolation, CloseMode::AfterFlush);
                }
            }
            Command::Ok => {}
        }
    }

    pub(super) fn reply_violation(&mut self, slot: u32, violation: &PermissionsViolation<'_>) {
        let mut line = Vec::with_capacity(96);
        render::permissions_violation(&mut line, violation);
        self.reply_line(slot, &line);
    }

    fn reply_ok(&mut self, slot: u32) {
        if self.settings.trace {
            self.trace_out(slot, b"+OK\r\n");
        }
        self.reply(slot, b"+OK\r\n");
    }

    pub(super) fn reply_ok_if_verbose(&mut self, slot: u32) {
        if self.conn(slot).is_some_and(|c| c.verbose) {
            self.reply_ok(slot);
        }
    }

    fn on_connect(&mut self, slot: u32, json: &[u8]) {
        let Some(conn) = self.conn_mut(slot) else {
            return;
        };
        let nonce = conn.nonce.clone().unwrap_or_default();
        let peer = conn.peer.ip();
        // A second CONNECT replaces the options; what it leaves out stays.
        let mut options = conn.options.take().unwrap_or_default();
        // Of the credentials, these are all that is left.
        let names = (
            std::mem::take(&mut options.user),
            std::mem::take(&mut options.nkey),
        );
        if let Err(error) = options.apply(json) {
            self.refuse_connect(slot, &error);
            return;
        }
        let kind = conn.kind;
        if let Some(upgrade) = &conn.upgrade {
            fill_from_cookies(&mut options, &upgrade.cookies);
        }
        let again = std::mem::replace(&mut conn.connected, true);
        // The credentials stay as well. They were good, and a reload would have looked.
        let known = if again && !names_credentials(&options) {
            (options.user, options.nkey) = names;
            conn.identity.take()
        } else {
            None
        };
        conn.verbose = options.verbose;
        conn.pedantic = options.pedantic;
        conn.echo = options.echo;
        if again {
            conn.identity = None;
            conn.permissions = None;
            self.drop_subscriptions(slot);
        }
        let credentials = Credentials {
            user: &options.user,
            pass: &options.pass,
            token: &options.auth_token,
            nkey: &options.nkey,
            sig: &options.sig,
            jwt: &options.jwt,
            peer: Some(peer),
            nonce: &nonce,
            connection: kind.into(),
            legacy_account: !options.account.is_empty() || options.new_account,
        };
        let decision = match known {
            Some(identity) if !credentials.legacy_account => Decision::Accept(identity),
            _ => self.settings.auth_of(kind).check(&credentials),
        };
        forget_secrets(&mut options);
        if let Some(conn) = self.conn_mut(slot) {
            conn.options = Some(options);
        }
        match decision {
            Decision::Accept(identity) => self.accept_identity(slot, identity),
            Decision::Verify(job) => {
                let by = self.now.mono_ns + nanos(self.settings.auth_of(kind).timeout());
                let Some(conn) = self.conn_mut(slot) else {
                    return;
                };
                conn.phase = Phase::Verifying;
                // A later CONNECT has as long as the first.
                if conn.auth_by == 0 {
                    conn.auth_by = by;
                }
                let (cid, by) = (conn.cid, conn.auth_by);
                self.schedule(slot);
                self.pause(slot, pause::VERIFY);
                self.effects.push(Effect::Verify {
                    slot,
                    cid,
                    by,
                    job: Box::new(job),
                });
            }
            Decision::Reject(refusal) => self.refuse_login(slot, &refusal),
        }
    }

    fn refuse_connect(&mut self, slot: u32, error: &ConnectError) {
        self.log_connection(LogLevel::Error, slot, &error.to_string());
        self.close(slot, CloseReason::ProtocolViolation, CloseMode::AfterFlush);
    }

    /// Refuses the credentials of a CONNECT, in nats-server's words.
    fn refuse_login(&mut self, slot: u32, refusal: &Refusal) {
        if !refusal.detail.is_empty() {
            let level = if refusal.is_error {
                LogLevel::Error
            } else {
                LogLevel::Debug
            };
            self.log_connection(level, slot, &refusal.detail);
        }
        let options = self.conn(slot).and_then(|conn| conn.options.as_deref());
        let who = match options {
            Some(options) if !options.nkey.is_empty() => {
                format!("authentication error - Nkey {:?}", options.nkey)
            }
            Some(options) if !options.user.is_empty() => {
                format!("authentication error - User {:?}", options.user)
            }
            _ => "authentication error".to_owned(),
        };
        self.log_connection(LogLevel::Error, slot, &who);
        self.refuse_credentials(slot);
    }

    pub(super) fn refuse_credentials(&mut self, slot: u32) {
        self.close_with_error(
            slot,
            ErrorText::AuthorizationViolation,
            CloseReason::AuthenticationFailure,
        );
    }

    /// A helper thread checked the credentials of connection `cid`.
    pub fn verified(&mut self, slot: u32, cid: u64, result: Result<Arc<Identity>, Refusal>) {
        let Some(conn) = self.conn_mut(slot) else {
            return;
        };
        if conn.cid != cid || conn.phase != Phase::Verifying {
            return;
        }
        let kind = conn.kind;
        match result {
            Ok(identity) => {
                // A reload may have changed what the user is allowed meanwhile.
                let identity = conn.identity.take().unwrap_or(identity);
                let auth = self.settings.auth_of(kind);
                if identity.token.is_some()
                    && !matches!(auth.still_trusts(auth, &identity), Standing::Stays(_))
                {
                    self.refuse_login(slot, &Refusal::default());
                    return;
                }
                self.accept_identity(slot, identity);
                self.resume(slot, pause::VERIFY);
            }
            Err(refusal) => self.refuse_login(slot, &refusal),
        }
    }

    /// The credentials are good: checks the rest of CONNECT.
    fn accept_identity(&mut self, slot: u32, identity: Arc<Identity>) {
        let Some(account) = self.settings.accounts.id(&identity.account) else {
            // It ended while the credentials were checked.
            self.refuse_credentials(slot);
            return;
        };
        let header_support = self.settings.identity.headers;
        let Some(kind) = self.conn(slot).map(|conn| conn.kind) else {
            return;
        };
        let first_ping = self.now.mono_ns + self.first_ping_delay(kind);
        let Some(conn) = self.conn_mut(slot) else {
            return;
        };
        conn.phase = Phase::Open;
        conn.auth_by = 0;
        if conn.pings_out == 0 && conn.rtt_ns == 0 {
            conn.ping_at = first_ping;
        }
        let token = identity.token.as_deref();
        let expires = token.and_then(|token| token.expires);
        let takes_no_subscription = token.is_some_and(|t| t.max_subscriptions == Some(0));
        conn.set_identity(identity, account);
        if !self.enter_account(slot, account) {
            return;
        }
        let end = self.credentials_end(expires);
        let Some(conn) = self.conn_mut(slot) else {
            return;
        };
        conn.expires_at = end;
        if end != 0 {
            self.schedule(slot);
        }
        if takes_no_subscription {
            self.close_with_error(
                slot,
                ErrorText::MaxSubscriptions,
                CloseReason::MaxSubscriptionsExceeded,
            );
            return;
        }
        let Some(conn) = self.conn_mut(slot) else {
            return;
        };
        let Some(options) = &conn.options else {
            return;
        };
        conn.async_info = options.protocol >= 1;
        conn.headers = header_support && options.headers;
        conn.no_responders = options.no_responders;
        match options.refusal(header_support) {
            None => {
                self.reply_ok_if_verbose(slot);
                self.report_connected(slot);
            }
            Some(error) => {
                let reason = match error {
                    ErrorText::NoRespondersRequiresHeaders => {
                        CloseReason::NoRespondersRequiresHeaders
                    }
                    _ => CloseReason::BadClientProtocolVersion,
                };
                self.close_with_error(slot, error, reason);
            }
        }
    }

    /// Without CONNECT, the configured `no_auth_user` is who it is.
    fn use_no_auth_user(&mut self, slot: u32) -> bool {
        let Some(kind) = self.conn(slot).map(|conn| conn.kind) else {
            return false;
        };
        let auth = self.settings.auth_of(kind);
        let Decision::Accept(identity) = auth.check_without_connect(kind.into()) else {
            return false;
        };
        let Some(account) = self.settings.accounts.id(&identity.account) else {
            return false;
        };
        if let Some(conn) = self.conn_mut(slot) {
            conn.phase = Phase::Open;
            conn.auth_by = 0;
            conn.set_identity(identity, account);
        }
        self.enter_account(slot, account)
    }

    fn on_ping(&mut self, slot: u32) {
        if self.settings.trace {
            self.trace_out(slot, b"PONG\r\n");
        }
        let applied = self.applied_everywhere();
        let Some(conn) = self.conn_mut(slot) else {
            return;
        };
        // nats-server answers the first PING after CONNECT with the account's INFO as well.
        let greet = !conn.greeted && conn.connected && conn.async_info;
        if conn.connected {
            conn.greeted = true;
        }
        let waits = conn.gate.is_some() || conn.interest_sequence > applied;
        if waits {
            self.hold(slot, b"PONG\r\n");
            if let Some(conn) = self.conn_mut(slot) {
                conn.paused |= pause::BARRIER;
            }
        } else {
            self.reply(slot, b"PONG\r\n");
        }
        if greet {
            let info = self.render_info(slot, InfoKind::AfterConnect);
            self.reply(slot, &info);
        }
    }

    fn on_pong(&mut self, slot: u32) {
        let now = self.now.mono_ns;
        if let Some(conn) = self.conn_mut(slot) {
            conn.pings_out = 0;
            if conn.ping_sent != 0 {
                conn.rtt_ns = (now - conn.ping_sent).max(1);
                conn.ping_sent = 0;
            }
        }
    }

    pub(super) fn may_subscribe(
        &self,
        slot: u32,
        subject: &[u8],
        queue: &[u8],
    ) -> SubscribeVerdict {
        match self.conn(slot).and_then(|c| c.permissions.as_deref()) {
            None => SubscribeVerdict::Allowed,
            Some(permissions) => {
                permissions.can_subscribe(subject, (!queue.is_empty()).then_some(queue))
            }
        }
    }

    fn on_subscribe(&mut self, slot: u32, pattern: &[u8], queue: &[u8], sid: &[u8]) {
        let hash = self.hash_sid(sid);
        let Some(conn) = self.conn(slot) else {
            return;
        };
        let account = conn.account;
        if let Some(max) = self.settings.max_subscription_tokens
            && subject::token_count(pattern) > max
        {
            self.reply_violation(
                slot,
                &PermissionsViolation::TooManyTokens { subject: pattern },
            );
            return;
        }
        let verdict = if queue == RESERVED_QUEUE {
            SubscribeVerdict::Denied
        } else {
            self.may_subscribe(slot, pattern, queue)
        };
        if verdict == SubscribeVerdict::Denied {
            self.reply_violation(
                slot,
                &PermissionsViolation::Subscribe {
                    subject: pattern,
                    queue,
                },
            );
            self.log_subscription_violation(slot, pattern, queue, sid);
            return;
        }
        let Some(conn) = self.conn(slot) else {
            return;
        };
        let of_server = self.settings.max_subscriptions;
        if let Some(max) = of_server.into_iter().chain(conn.max_subscriptions).min()
            && conn.sids.len() >= max
        {
            self.log_connection(LogLevel::Error, slot, "maximum subscriptions exceeded");
            self.reply_error(slot, ErrorText::MaxSubscriptions);
            return;
        }
        let exists = conn
            .sids
            .find(hash, |&id| self.subs.sid(SubId(id)) == sid)
            .is_some();
        // In nats-server's order: a sid that is taken hides whatever is wrong with the subject.
        if !exists {
            if !subject::is_valid_subscription(pattern) {
                self.reply_error(slot, ErrorText::InvalidSubject);
                return;
            }
            if !self.add_subscription(slot, account, pattern, queue, sid, hash, verdict) {
                self.reply_error(slot, ErrorText::MaxSubscriptions);
                return;
            }
        }
        self.reply_ok_if_verbose(slot);
    }

    /// Returns false if the index is full.
    #[expect(clippy::too_many_arguments, reason = "the parts of one SUB")]
    fn add_subscription(
        &mut self,
        slot: u32,
        account: u16,
        pattern: &[u8],
        queue: &[u8],
        sid: &[u8],
        hash: u64,
        verdict: SubscribeVerdict,
    ) -> bool {
        let entry = &mut self.accounts[usize::from(account)];
        let Ok(pattern_id) = entry.pattern(pattern) else {
            return false;
        };
        let queue_id = self.queues.acquire(queue);
        let filtered = verdict == SubscribeVerdict::AllowedFiltered;
        let id = self.subs.insert(slot, pattern_id, queue_id, sid, filtered);
        self.counters.subscribed += 1;
        let announcement = entry.attach(self.id, &mut self.subs, id);
        self.interest_changed(account, pattern_id);
        if let Some(conn) = self.conns[slot as usize].as_deref_mut() {
            let hasher = &self.sid_hash;
            let subs = &self.subs;
            conn.sids
                .insert_unique(hash, id.0, |&id| hasher.text(subs.sid(SubId(id))));
        }
        match announcement {
            Some(announcement) => {
                self.announce(Some(slot), account, pattern, queue, announcement.weight);
            }
            None => self.rely_on_announced(slot),
        }
        true
    }

    fn hash_sid(&self, sid: &[u8]) -> u64 {
        self.sid_hash.text(sid)
    }

    fn on_unsubscribe(&mut self, slot: u32, sid: &[u8], max: Option<u64>) {
        let hash = self.hash_sid(sid);
        let found = self.conn(slot).and_then(|conn| {
            conn.sids
                .find(hash, |&id| self.subs.sid(SubId(id)) == sid)
                .map(|&id| SubId(id))
        });
        if let Some(id) = found {
            match max {
                Some(max) if max > self.subs.get(id).delivered => self.subs.set_limit(id, max),
                _ => self.remove_subscription(slot, id),
            }
        }
        self.reply_ok_if_verbose(slot);
    }

    /// Ends one subscription of a connection.
    pub(super) fn remove_subscription(&mut self, slot: u32, id: SubId) {
        let hash = self.hash_sid(self.subs.sid(id));
        if let Some(conn) = self.conns[slot as usize].as_deref_mut()
            && let Ok(entry) = conn.sids.find_entry(hash, |&other| other == id.0)
        {
            entry.remove();
        }
        self.detach_subscription(slot, id);
    }

    /// Ends all subscriptions of a connection.
    pub(super) fn drop_subscriptions(&mut self, slot: u32) {
        let Some(conn) = self.conn_mut(slot) else {
            return;
        };
        let mut sids = std::mem::take(&mut conn.sids);
        for id in sids.drain() {
            self.detach_subscription(slot, SubId(id));
        }
    }

    fn detach_subscription(&mut self, slot: u32, id: SubId) {
        let Some(conn) = self.conn(slot) else {
            return;
        };
        let account = conn.account;
        let (pattern, queue) = {
            let sub = self.subs.get(id);
            (sub.pattern, sub.queue)
        };
        self.trace_end(slot, id);
        let entry = &mut self.accounts[usize::from(account)];
        self.counters.unsubscribed += 1;
        let announcement = entry.detach(self.id, &mut self.subs, id);
        self.interest_changed(account, pattern);
        if let Some(announcement) = announcement
            && self.peers.len() > 1
        {
            let subject = self.accounts[usize::from(account)]
                .subject(pattern)
                .to_vec();
            let name = self.queues.name(queue).to_vec();
            self.announce(Some(slot), account, &subject, &name, announcement.weight);
        }
        self.accounts[usize::from(account)].settle(pattern);
        if queue != NO_QUEUE {
            self.queues.release(queue);
        }
        self.subs.remove(id);
    }
}
