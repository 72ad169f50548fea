//! Fast batches: streams of messages whose flow the server paces.

use super::Stream;
use super::context::Context;
use super::publish::Progress;
use crate::jetstream::bus::Incoming;
use crate::jetstream::error::ErrorCode;

/// Fast batches in progress.
#[derive(Debug, Default)]
pub struct FastBatches {}

impl FastBatches {
    /// When the next batch is given up, in nanoseconds of the monotonic clock.
    pub fn next_deadline(&self) -> Option<u64> {
        None
    }
}

impl Stream {
    pub(super) fn ingest_fast(&mut self, cx: &mut Context<'_>, message: &Incoming<'_>) -> Progress {
        self.refuse(cx, message.reply, &ErrorCode::BatchPublishDisabled.into());
        Progress::Done
    }
}
