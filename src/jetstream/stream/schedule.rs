//! Message schedules: messages that are published later, once or again and again.
//!
//! A schedule is a message with `Nats-Schedule`. When it is due, its payload (or that of the last
//! message of another subject) is published on its target; a schedule of one time is then removed,
//! a recurring one is due again. Headers, texts and times were asked of nats-server 2.15.1.

use std::collections::BTreeSet;

use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::Stream;
use super::context::Context;
use super::cron::Cron;
use super::duration::{TimeToLive, parse_duration};
use super::headers::{PublishHeaders, name};
use super::limits::Record;
use super::publish::Rollup;
use crate::jetstream::error::{ApiError, ErrorCode};
use crate::jetstream::time::Time;
use crate::protocol::headers as blocks;
use crate::store::{Fetch, Removal, WakeKind};
use crate::subject::{is_literal, matches};

const SECOND: i64 = 1_000_000_000;

/// `Nats-Schedule-Next` of a schedule that does not come again.
const PURGE: &[u8] = b"purge";

/// A checked schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// In nanoseconds since 1970.
    pub next: i64,
}

/// What `Nats-Schedule` says.
#[derive(Clone, Debug)]
enum Pattern {
    /// At this time, in nanoseconds since 1970.
    At(i64),
    /// Every so many nanoseconds, whole seconds.
    Every(i64),
    Cron(Cron, TimeZone),
}

/// Which schedules are known to be in time.
#[derive(Debug, Default)]
pub struct Schedules {
    /// Recurring schedules that were stored or set anew since the stream was opened. One that was
    /// not may have missed times: it is not made up for.
    armed: BTreeSet<u64>,
}

impl Schedules {
    pub fn forget(&mut self, sequence: u64) {
        if !self.armed.is_empty() {
            self.armed.remove(&sequence);
        }
    }

    pub fn forget_below(&mut self, first: u64) {
        self.armed = self.armed.split_off(&first);
    }
}

impl Pattern {
    fn parse(text: &[u8], zone: Option<&[u8]>) -> Result<Self, ErrorCode> {
        let invalid = ErrorCode::MessageSchedulesPatternInvalid;
        let zone_of = match zone {
            Some(zone) => Some(find_zone(zone).ok_or(ErrorCode::MessageSchedulesTimeZoneInvalid)?),
            None => None,
        };
        let text = std::str::from_utf8(text).map_err(|_| invalid)?;
        if let Some(time) = text.strip_prefix("@at ") {
            let time = Time::parse(time).map_err(|_| invalid)?;
            return match zone_of {
                Some(_) => Err(invalid),
                None => Ok(Self::At(time.unix_ns())),
            };
        }
        if let Some(every) = text.strip_prefix("@every ") {
            let every = parse_duration(every.as_bytes()).unwrap_or(0);
            if every < SECOND || zone_of.is_some() {
                return Err(invalid);
            }
            return Ok(Self::Every(every - every % SECOND));
        }
        let cron = Cron::parse(text).ok_or(invalid)?;
        Ok(Self::Cron(cron, zone_of.unwrap_or(TimeZone::UTC)))
    }

    /// The first time behind `unix_ns`; a time that was given stays.
    fn next(&self, unix_ns: i64) -> Option<i64> {
        match self {
            Self::At(at) => Some(*at),
            Self::Every(every) => Some(unix_ns - unix_ns.rem_euclid(SECOND) + every),
            Self::Cron(cron, zone) => cron.next(unix_ns, zone),
        }
    }

    fn is_recurring(&self) -> bool {
        !matches!(self, Self::At(_))
    }
}

/// A time zone by its name; `Local` is UTC, so that all servers agree.
fn find_zone(name: &[u8]) -> Option<TimeZone> {
    let name = std::str::from_utf8(name).ok()?;
    match name {
        "" => None,
        "UTC" | "Local" => Some(TimeZone::UTC),
        // The database finds names in any case; nats-server does not.
        name => {
            let zone = TimeZoneDatabase::bundled().get(name).ok()?;
            (zone.iana_name() == Some(name)).then_some(zone)
        }
    }
}

impl Stream {
    /// # Errors
    /// 10188 to 10192, 10203, 10212, 10223.
    pub(super) fn check_schedule(
        &self,
        cx: &Context<'_>,
        subject: &[u8],
        header: &[u8],
        headers: &PublishHeaders<'_>,
    ) -> Result<Option<Schedule>, ApiError> {
        self.check_scheduler(subject, headers)?;
        let Some(text) = headers.schedule else {
            return Ok(None);
        };
        if !self.config.allow_msg_schedules {
            return Err(ErrorCode::MessageSchedulesDisabled.into());
        }
        // A zone that is there and empty is no zone.
        let zone = blocks::get(header, b"Nats-Schedule-Time-Zone");
        let pattern = Pattern::parse(text, zone)?;
        let now = self.next_time(cx);
        let Some(next) = pattern.next(now) else {
            return Err(ErrorCode::MessageSchedulesPatternInvalid.into());
        };
        if let Some(ttl) = headers.schedule_ttl {
            if TimeToLive::parse(ttl).is_none() {
                return Err(ErrorCode::MessageSchedulesTtlInvalid.into());
            }
            if !self.config.allow_msg_ttl {
                return Err(ErrorCode::MessageTtlDisabled.into());
            }
        }
        let is_sub = |value: &[u8]| value.eq_ignore_ascii_case(b"sub");
        if !headers.schedule_rollup.is_none_or(is_sub) || !headers.rollup.is_none_or(is_sub) {
            return Err(ErrorCode::MessageSchedulesRollupInvalid.into());
        }
        let target = headers.schedule_target.unwrap_or_default();
        if target == subject || !self.takes(target) {
            return Err(ErrorCode::MessageSchedulesTargetInvalid.into());
        }
        if let Some(source) = headers.schedule_source
            && (source == subject || source == target || !self.takes(source))
        {
            return Err(ErrorCode::MessageSchedulesSourceInvalid.into());
        }
        Ok(Some(Schedule { next }))
    }

    /// Whether a message of this subject could be stored here.
    fn takes(&self, subject: &[u8]) -> bool {
        is_literal(subject) && (self.config.subjects.iter()).any(|s| matches(s.as_bytes(), subject))
    }

    /// Only a message that ends a schedule may say which schedule it comes from.
    fn check_scheduler(
        &self,
        subject: &[u8],
        headers: &PublishHeaders<'_>,
    ) -> Result<(), ApiError> {
        let invalid = Err(ErrorCode::MessageSchedulesSchedulerInvalid.into());
        match (headers.scheduler, headers.schedule_next) {
            (None, None) => Ok(()),
            (Some(scheduler), Some(PURGE)) if scheduler != subject => {
                match self.log.find_subject(scheduler) {
                    Some(state) if !self.is_schedule(state.last) => invalid,
                    _ => Ok(()),
                }
            }
            _ => invalid,
        }
    }

    fn is_schedule(&self, sequence: u64) -> bool {
        matches!(self.log.wake(sequence), Some((WakeKind::Schedule, _)))
    }

    /// The schedule that a client's message ends goes.
    pub(super) fn end_schedule(&mut self, cx: &mut Context<'_>, headers: &PublishHeaders<'_>) {
        if let (Some(scheduler), Some(PURGE)) = (headers.scheduler, headers.schedule_next)
            && let Some(state) = self.log.find_subject(scheduler)
            && self.is_schedule(state.last)
        {
            self.remove(cx, state.last, Removal::Keep);
        }
    }

    /// When a schedule that comes from a snapshot is due.
    pub(super) fn restored_schedule(
        &self,
        headers: &PublishHeaders<'_>,
        unix_ns: i64,
    ) -> Option<i64> {
        let text = headers
            .schedule
            .filter(|_| self.config.allow_msg_schedules)?;
        let pattern = Pattern::parse(text, headers.schedule_time_zone).ok()?;
        pattern.next(unix_ns)
    }

    /// A schedule was stored.
    pub(super) fn arm(&mut self, sequence: u64) {
        self.schedules.armed.insert(sequence);
    }

    /// Publishes what schedules have come due for.
    pub(super) fn fire_schedules(&mut self, cx: &mut Context<'_>) {
        // Those of a mirror are for the origin to fire.
        if self.config.mirror.is_some() || !self.config.allow_msg_schedules {
            self.due_schedules.clear();
        }
        while let Some(sequence) = self.due_schedules.front().copied() {
            if !self.fire(cx, sequence) {
                break;
            }
            self.due_schedules.pop_front();
        }
    }

    /// Publishes for one schedule; false while something is being read.
    fn fire(&mut self, cx: &mut Context<'_>, sequence: u64) -> bool {
        let now = self.next_time(cx);
        let (subject, header, payload) = match self.log.get(sequence, cx.disk) {
            Fetch::Message(stored) => (
                stored.subject.to_vec(),
                stored.header.to_vec(),
                stored.payload.to_vec(),
            ),
            Fetch::Loading => return false,
            Fetch::Missing | Fetch::Damaged => return true,
        };
        let headers = PublishHeaders::parse(&header);
        let pattern = headers
            .schedule
            .map(|text| Pattern::parse(text, headers.schedule_time_zone));
        let (Some(Ok(pattern)), Some(target)) = (pattern, headers.schedule_target) else {
            return true;
        };
        let next = pattern.next(now).filter(|_| pattern.is_recurring());
        if next.is_some() && self.schedules.armed.insert(sequence) {
            self.rearm(sequence, next, &headers);
            return true;
        }
        let Some((base, payload)) = self.scheduled_body(cx, &headers, &header, payload) else {
            return false;
        };
        self.store_scheduled(cx, &subject, target, &base, &payload, &headers, next);
        if next.is_some() {
            self.rearm(sequence, next, &headers);
        } else {
            self.remove(cx, sequence, Removal::Keep);
        }
        true
    }

    /// Sets when a schedule is next due, or expires if that is sooner.
    fn rearm(&mut self, sequence: u64, next: Option<i64>, headers: &PublishHeaders<'_>) {
        let stored = self.log.meta(sequence).map_or(0, |meta| meta.unix_ns);
        let end = headers
            .ttl
            .and_then(TimeToLive::parse)
            .and_then(|ttl| ttl.end(stored));
        let wake = earlier(next, end);
        self.log.set_wake(sequence, wake);
    }

    /// Header and payload to publish: the schedule's own, or those of the last message of its
    /// source. `None` while it is being read.
    fn scheduled_body(
        &mut self,
        cx: &mut Context<'_>,
        headers: &PublishHeaders<'_>,
        header: &[u8],
        payload: Vec<u8>,
    ) -> Option<(Vec<u8>, Vec<u8>)> {
        let mut base = Vec::new();
        let source = headers
            .schedule_source
            .and_then(|source| self.log.find_subject(source));
        if let Some(source) = source {
            match self.log.get(source.last, cx.disk) {
                Fetch::Message(stored) => {
                    blocks::strip(stored.header, is_scheduling, &mut base);
                    return Some((base, stored.payload.to_vec()));
                }
                Fetch::Loading => return None,
                Fetch::Missing | Fetch::Damaged => {}
            }
        }
        blocks::strip(header, is_scheduling, &mut base);
        Some((base, payload))
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one message")]
    fn store_scheduled(
        &mut self,
        cx: &mut Context<'_>,
        subject: &[u8],
        target: &[u8],
        base: &[u8],
        payload: &[u8],
        schedule: &PublishHeaders<'_>,
        next: Option<i64>,
    ) {
        let mut header = base.to_vec();
        let mut append = |name: &str, value: &[u8]| {
            // A block from which fields were stripped is well-formed or empty.
            let _ = blocks::append(&mut header, name, value);
        };
        append(name::SCHEDULER, subject);
        match next {
            Some(next) => append(
                name::SCHEDULE_NEXT,
                Time::from_unix_ns(next).to_string().as_bytes(),
            ),
            None => append(name::SCHEDULE_NEXT, PURGE),
        }
        if let Some(ttl) = schedule.schedule_ttl {
            append(name::TTL, ttl);
        }
        if let Some(rollup) = schedule.schedule_rollup {
            append(name::ROLLUP, rollup);
        }
        let headers = PublishHeaders::parse(&header);
        let record = Record {
            sequence: None,
            unix_ns: self.next_time(cx),
            subject: target,
            header: &header,
            payload,
            headers: &headers,
            ttl: schedule.schedule_ttl.and_then(TimeToLive::parse),
            rollup: schedule.schedule_rollup.map(|_| Rollup::Subject),
            due: None,
        };
        // Nobody waits for an answer; a log that takes nothing says so to publishers.
        let _ = self.try_store(cx, &record);
    }
}

/// Whether a header is about the schedule and not for the message that is published.
fn is_scheduling(field: &[u8]) -> bool {
    field.starts_with(b"Nats-Schedule")
        || matches!(
            field,
            b"Nats-TTL" | b"Nats-Rollup" | b"Nats-Msg-Id" | b"Nats-Expected-Stream"
        )
        || field.starts_with(b"Nats-Expected-Last")
        || field.starts_with(b"Nats-Batch")
}

/// What a message is to wake the stream for first: the schedule, or its own end.
pub(super) fn earlier(due: Option<i64>, end: Option<i64>) -> Option<(WakeKind, i64)> {
    match (due, end) {
        (Some(due), Some(end)) if end < due => Some((WakeKind::Expire, end)),
        (Some(due), _) => Some((WakeKind::Schedule, due)),
        (None, Some(end)) => Some((WakeKind::Expire, end)),
        (None, None) => None,
    }
}
