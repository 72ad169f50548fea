//! Drives one [`Core`] in unit tests, without a runtime.

use std::sync::Arc;

use super::connection::Phase;
use super::core::{Core, CoreId, Now};
use super::effect::Effect;
use super::settings::Settings;

/// A second, in the clock's unit.
pub const SECOND: u64 = 1_000_000_000;

/// Settings as nats-server's defaults, for everybody.
pub fn settings() -> Settings {
    Settings::default()
}

/// A core and its clock.
pub struct Bench {
    pub core: Core,
    now: u64,
    cid: u64,
    pub effects: Vec<Effect>,
}

impl Bench {
    /// Core 0 of `cores`; the others are never heard.
    pub fn new(cores: usize, settings: Settings) -> Self {
        let mut bench = Self {
            core: Core::new(CoreId(0), cores, Arc::new(settings), 1),
            now: SECOND,
            cid: 0,
            effects: Vec::new(),
        };
        bench.advance(0);
        bench
    }

    /// Lets time pass, in nanoseconds, and fires what became due.
    pub fn advance(&mut self, nanos: u64) {
        self.now += nanos;
        self.core.begin_turn(Now {
            mono_ns: self.now,
            unix_ns: self.now as i64,
        });
        self.core.tick();
        self.core.take_effects(&mut self.effects);
    }

    /// A client that has sent nothing yet.
    pub fn accept(&mut self) -> u32 {
        self.cid += 1;
        let peer = ([127, 0, 0, 1], 4000).into();
        self.core.connect(self.cid, peer, None)
    }

    /// A client after a CONNECT that asks for headers and 503s, and for no +OK.
    pub fn client(&mut self) -> u32 {
        let slot = self.accept();
        self.receive(
            slot,
            b"CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true}\r\n",
        );
        slot
    }

    pub fn receive(&mut self, slot: u32, bytes: &[u8]) {
        self.core.receive(slot, bytes);
        self.core.take_effects(&mut self.effects);
    }

    /// Sends all that waits for a client, and returns it as text.
    pub fn output(&mut self, slot: u32) -> String {
        let mut text = Vec::new();
        while let Some(batch) = self.core.take_batch(slot) {
            text.extend(batch.to_vec());
            let len = batch.len();
            self.core.sent(slot, batch, Ok(len));
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    pub fn phase(&self, slot: u32) -> Option<Phase> {
        self.core.conn(slot).map(|conn| conn.phase)
    }
}
