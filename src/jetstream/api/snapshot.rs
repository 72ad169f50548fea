//! A stream as a sequence of chunks, and back.

use super::dispatch::{Handled, OwnedRequest};
use crate::jetstream::JetStream;
use crate::jetstream::bus::{Bus, Incoming};
use crate::jetstream::entry::Entry;
use crate::jetstream::error::ErrorCode;
use crate::jetstream::node::Parts;
use crate::store::Disk;

/// Snapshots of one stream that are being sent.
#[derive(Default)]
pub(in crate::jetstream) struct Snapshots {}

impl Snapshots {
    pub fn next_deadline(&self) -> Option<u64> {
        None
    }

    pub fn has_backlog(&self) -> bool {
        false
    }
}

/// Streams that are being restored.
#[derive(Default)]
pub(in crate::jetstream) struct Restores {}

impl Restores {
    pub fn next_deadline(&self) -> Option<u64> {
        None
    }
}

impl JetStream {
    pub(in crate::jetstream) fn stream_snapshot(
        &mut self,
        _bus: &mut dyn Bus,
        _disk: &mut dyn Disk,
        _request: &OwnedRequest,
    ) -> Handled {
        Err(ErrorCode::StreamSnapshot.with("not built"))
    }

    pub(in crate::jetstream) fn stream_restore(
        &mut self,
        _bus: &mut dyn Bus,
        _disk: &mut dyn Disk,
        _request: &OwnedRequest,
    ) -> Handled {
        Err(ErrorCode::StreamRestore.with("not built"))
    }

    pub(in crate::jetstream) fn restore_message(
        &mut self,
        _bus: &mut dyn Bus,
        _disk: &mut dyn Disk,
        _number: u32,
        _message: &Incoming<'_>,
    ) {
    }

    pub(in crate::jetstream) fn restored(
        &mut self,
        _bus: &mut dyn Bus,
        _request: &OwnedRequest,
        _body: &[u8],
    ) {
    }

    pub(in crate::jetstream) fn tick_restores(&mut self, _bus: &mut dyn Bus, _disk: &mut dyn Disk) {
    }
}

impl Entry {
    pub fn snapshot_acknowledged(
        &mut self,
        _parts: &mut Parts<'_>,
        _number: u32,
        _message: &Incoming<'_>,
    ) {
    }

    pub fn tick_snapshots(&mut self, _parts: &mut Parts<'_>) {}

    pub fn proceed_snapshots(&mut self, _parts: &mut Parts<'_>) {}
}
