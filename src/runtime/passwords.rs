//! Checks passwords against bcrypt hashes, off the data cores.
//!
//! A check takes tens of milliseconds. One thread does them in turn: a storm of
//! bad logins then takes one CPU's worth of time in the background. A
//! connection that waits longer than the authentication timeout is closed, and
//! its check is left out: the queue takes as long as the timeout, however many
//! logins come.

use std::sync::mpsc::{Sender, channel};
use std::thread;

use super::clock::Clock;
use super::control::CoreHandle;
use crate::broker::CoreId;
use crate::broker::auth::PasswordJob;

/// A password to check for a connection.
pub struct Check {
    pub core: CoreId,
    pub slot: u32,
    pub cid: u64,
    /// When the connection gives up, in nanoseconds of the monotonic clock.
    pub by: u64,
    pub job: Box<PasswordJob>,
}

/// Starts its thread with the first password.
pub struct PasswordChecker {
    cores: Vec<CoreHandle>,
    queue: Option<Sender<Check>>,
}

impl PasswordChecker {
    /// A checker that answers to these cores.
    pub fn new(cores: Vec<CoreHandle>) -> Self {
        Self { cores, queue: None }
    }

    /// Checks a password; the core hears the answer.
    pub fn check(&mut self, check: Check) {
        let cores = &self.cores;
        let queue = self.queue.get_or_insert_with(|| start(cores.clone()));
        // Without its thread the check has no answer, and the connection times out.
        let _ = queue.send(check);
    }
}

fn start(cores: Vec<CoreHandle>) -> Sender<Check> {
    let (queue, checks) = channel::<Check>();
    // Without a thread `checks` is dropped, and sending to it fails.
    let _ = thread::Builder::new()
        .name("passwords".into())
        .spawn(move || {
            let mut clock = Clock::new();
            for check in checks {
                if clock.now().mono_ns >= check.by {
                    continue;
                }
                let identity = check.job.run().then(|| check.job.identity().clone());
                let Check {
                    core, slot, cid, ..
                } = check;
                cores[usize::from(core.0)].call(Box::new(move |driver| {
                    driver.core.verified(slot, cid, identity);
                }));
            }
        });
    queue
}
