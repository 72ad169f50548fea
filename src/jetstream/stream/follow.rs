//! Mirrors and sources: following other streams.

use super::Stream;
use super::config::StreamConfig;
use super::context::Context;
use super::info::SourceInfo;
use crate::jetstream::bus::Incoming;

/// The streams that are followed.
#[derive(Debug, Default)]
pub struct Followers {}

impl Followers {
    /// When the next timer is due, in nanoseconds of the monotonic clock.
    pub fn next_deadline(&self) -> Option<u64> {
        None
    }
}

impl Stream {
    pub(super) fn follow(&mut self, _cx: &mut Context<'_>) {}
    pub(super) fn unfollow(&mut self, _cx: &mut Context<'_>) {}
    pub(super) fn refollow(&mut self, _cx: &mut Context<'_>, _old: &StreamConfig) {}
    pub(super) fn followed(&mut self, _cx: &mut Context<'_>, _detail: u32, _m: &Incoming<'_>) {}
    pub(super) fn tick_followers(&mut self, _cx: &mut Context<'_>) {}
    pub(super) fn settle_followers(&mut self, _cx: &mut Context<'_>) {}

    pub(super) fn mirror_info(&self, _now: i64) -> Option<SourceInfo> {
        None
    }

    pub(super) fn source_infos(&self, _now: i64) -> Vec<SourceInfo> {
        Vec::new()
    }
}
