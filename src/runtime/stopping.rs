//! The order in which the cores stop.
//!
//! What a core accepted may still be on its way to a subscriber of another core.
//! So first all of them stop to read; then what is between them arrives. The
//! services tell clients of other cores too that they end, which arrives next;
//! only then are connections closed, each after what waits for it.

use std::time::{Duration, Instant};

use super::control::CoreHandle;
use super::driver::Driver;

/// How long what is between the cores may take to arrive.
const SETTLE_PATIENCE: Duration = Duration::from_secs(1);

/// Stops the cores. Each ends when its connections are gone.
pub fn stop(cores: &[CoreHandle]) {
    let reading_stopped = cores
        .iter()
        .all(|core| core.ask(Driver::stop_reading).is_some());
    if reading_stopped {
        settle(cores);
        let services_stopped = cores
            .iter()
            .all(|core| core.ask(Driver::stop_services).is_some());
        if services_stopped {
            settle(cores);
        }
    }
    for core in cores {
        core.call(Box::new(Driver::stop));
    }
}

/// Waits until nothing is on its way between cores.
fn settle(cores: &[CoreHandle]) {
    let deadline = Instant::now() + SETTLE_PATIENCE;
    // A message may be handed on by the core that it came to: what the first
    // round saw arrive may be on its way again in the second.
    let mut quiet_rounds = 0;
    while quiet_rounds < 2 && Instant::now() < deadline {
        let mut quiet = true;
        for core in cores {
            match core.ask(Driver::has_settled) {
                Some(settled) => quiet &= settled,
                None => return,
            }
        }
        quiet_rounds = if quiet { quiet_rounds + 1 } else { 0 };
    }
}
