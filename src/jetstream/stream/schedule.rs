//! Message schedules.

use super::Stream;
use super::context::Context;
use super::headers::PublishHeaders;
use crate::jetstream::error::{ApiError, ErrorCode};

/// When and how a scheduled message is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// In nanoseconds since 1970.
    pub next: i64,
}

impl Stream {
    pub(super) fn check_schedule(
        &self,
        _cx: &Context<'_>,
        _subject: &[u8],
        headers: &PublishHeaders<'_>,
    ) -> Result<Option<Schedule>, ApiError> {
        if headers.scheduler.is_some() || headers.schedule_next.is_some() {
            return Err(ErrorCode::MessageSchedulesSchedulerInvalid.into());
        }
        if headers.schedule.is_none() {
            return Ok(None);
        }
        Err(ErrorCode::MessageSchedulesDisabled.into())
    }

    pub(super) fn fire_schedules(&mut self, _cx: &mut Context<'_>) {}
}
