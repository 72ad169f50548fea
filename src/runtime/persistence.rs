//! JetStream of one core, with its files.

use crate::broker::{Core, LogLevel};
use crate::jetstream::Service;
use crate::monitor::snapshot::JetStreamSnapshot;
use crate::store::Completed;

use super::control::ControlSender;
use super::disk::{Answer, RingDisk};
use super::net_ring::NetRing;
use super::send_buffer::SendBuffer;

/// JetStream beside a core.
pub struct Persistence {
    pub service: Service,
    disk: RingDisk,
    completed: Vec<Completed>,
    started: bool,
}

impl Persistence {
    /// Not started; the first turn does that.
    pub fn new(service: Service, disk: RingDisk) -> Self {
        Self {
            service,
            disk,
            completed: Vec::new(),
            started: false,
        }
    }

    /// The kernel is done with a file operation.
    pub fn on_ring(&mut self, index: u32, result: i32) {
        self.disk.on_ring(index, result);
    }

    /// The helper thread is done with a request.
    pub fn on_helper(&mut self, answer: Answer, control: &ControlSender) {
        if let Some(warning) = &answer.warning {
            control.log(LogLevel::Warn, warning.clone());
        }
        self.disk.on_helper(answer);
    }

    /// Its part of the core's turn. Returns whether anything happened.
    pub fn turn(&mut self, core: &mut Core) -> bool {
        if !self.started {
            self.started = true;
            self.service.start(core, &mut self.disk);
        }
        self.disk.take_completed(&mut self.completed);
        let completed = !self.completed.is_empty();
        let worked = self
            .service
            .turn(core, &mut self.disk, self.completed.drain(..));
        worked || completed
    }

    /// Hands what JetStream wants of its files to the ring.
    pub fn submit<B: SendBuffer>(&mut self, ring: &mut NetRing<B>) {
        if self.disk.has_unsent() {
            self.disk.send_to(ring);
        }
    }

    /// Whether there is work that no event will announce.
    pub fn has_backlog(&self) -> bool {
        !self.started || self.disk.has_completed() || self.service.has_backlog()
    }

    /// When JetStream must be called, in nanoseconds of the monotonic clock.
    pub fn next_deadline(&self) -> Option<u64> {
        self.service.next_deadline()
    }

    /// Whether clients can use JetStream.
    pub fn is_ready(&self) -> bool {
        self.started && self.service.jetstream.is_ready()
    }

    /// What operators see of it.
    pub fn report(&mut self, core: &mut Core, with_streams: bool) -> JetStreamSnapshot {
        self.service.report(core, &mut self.disk, with_streams)
    }

    /// Begins an orderly end.
    pub fn stop(&mut self, core: &mut Core) {
        self.service.stop(core, &mut self.disk);
    }

    /// Whether all that was asked of the disk is done.
    pub fn is_quiet(&self) -> bool {
        self.disk.is_quiet()
    }

    /// Whether the end is reached.
    pub fn is_stopped(&self) -> bool {
        self.service.is_stopped() && self.disk.is_quiet()
    }
}
