//! PLACEHOLDER until the api branch lands: take that branch's file in a conflict.

use super::bus::{Bus, Incoming, Token};
use super::settings::JetStreamSettings;
use crate::broker::CoreId;
use crate::store::{Completed, Disk};

/// One core's JetStream.
pub struct JetStream;

impl JetStream {
    pub fn new(_core: CoreId, _cores: usize, _settings: JetStreamSettings) -> Self {
        Self
    }

    pub fn start(&mut self, _bus: &mut dyn Bus, _disk: &mut dyn Disk) {}

    pub fn is_ready(&self) -> bool {
        true
    }

    pub fn message(
        &mut self,
        _bus: &mut dyn Bus,
        _disk: &mut dyn Disk,
        _token: Token,
        _message: &Incoming<'_>,
    ) {
    }

    pub fn interest(
        &mut self,
        _bus: &mut dyn Bus,
        _disk: &mut dyn Disk,
        _token: Token,
        _interested: bool,
    ) {
    }

    pub fn peer(
        &mut self,
        _bus: &mut dyn Bus,
        _disk: &mut dyn Disk,
        _from: CoreId,
        _record: &[u8],
    ) {
    }

    pub fn completed(&mut self, _bus: &mut dyn Bus, _disk: &mut dyn Disk, _done: Completed) {}

    pub fn tick(&mut self, _bus: &mut dyn Bus, _disk: &mut dyn Disk) {}

    pub fn next_deadline(&self) -> Option<u64> {
        None
    }

    pub fn settle(&mut self, _bus: &mut dyn Bus, _disk: &mut dyn Disk) {}

    pub fn has_backlog(&self) -> bool {
        false
    }

    pub fn stop(&mut self, _bus: &mut dyn Bus, _disk: &mut dyn Disk) {}

    pub fn is_stopped(&self) -> bool {
        true
    }
}
