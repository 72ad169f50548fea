//! Checks credentials off the data cores: passwords against bcrypt hashes, and signatures.
//!
//! A bcrypt hash takes tens of milliseconds, a signature some hundred microseconds. One thread
//! does the hashes in turn, another the signatures: a storm of bad logins then takes one CPU's
//! worth of time in the background, and holds up nobody who signs. A connection that waits
//! longer than the authentication timeout is closed, and its check is left out: the queues take
//! as long as the timeout, however many logins come, and hold one check a connection.

use std::sync::mpsc::{Sender, channel};
use std::thread;

use jiff::tz::TimeZone;

use super::clock::Clock;
use super::control::CoreHandle;
use super::resolver::Fetcher;
use crate::broker::CoreId;
use crate::broker::auth::{Moment, VerifyJob};

/// Credentials to check for a connection.
pub struct Check {
    pub core: CoreId,
    pub slot: u32,
    pub cid: u64,
    /// When the connection gives up, in nanoseconds of the monotonic clock.
    pub by: u64,
    pub job: Box<VerifyJob>,
    /// The account's claims were fetched for it.
    pub fetched: bool,
}

/// Starts its threads with the first check of each kind.
pub struct CredentialChecker {
    cores: Vec<CoreHandle>,
    passwords: Option<Sender<Check>>,
    signatures: Option<Sender<Check>>,
    fetcher: Option<Fetcher>,
}

impl CredentialChecker {
    /// A checker that answers to these cores, and fetches accounts that are not known.
    pub fn new(cores: Vec<CoreHandle>, fetcher: Option<Fetcher>) -> Self {
        Self {
            cores,
            passwords: None,
            signatures: None,
            fetcher,
        }
    }

    /// Checks credentials; the core hears the answer.
    pub fn check(&mut self, check: Check) {
        let (queue, name) = if check.job.is_slow() {
            (&mut self.passwords, "passwords")
        } else {
            (&mut self.signatures, "signatures")
        };
        let (cores, fetcher) = (&self.cores, &self.fetcher);
        let queue = queue.get_or_insert_with(|| start(name, cores.clone(), fetcher.clone()));
        // Without its thread the check has no answer, and the connection times out.
        let _ = queue.send(check);
    }
}

fn start(name: &str, cores: Vec<CoreHandle>, fetcher: Option<Fetcher>) -> Sender<Check> {
    let (queue, checks) = channel::<Check>();
    // Without a thread `checks` is dropped, and sending to it fails.
    let _ = thread::Builder::new().name(name.into()).spawn(move || {
        let mut clock = Clock::new();
        for check in checks {
            let now = clock.now();
            if now.mono_ns >= check.by {
                continue;
            }
            let moment = Moment {
                unix_ns: now.unix_ns,
                local: TimeZone::system(),
            };
            let result = check.job.run(&moment);
            if let (Err(refusal), Some(fetcher), false) = (&result, &fetcher, check.fetched)
                && let Some(account) = &refusal.wants_account
            {
                fetcher.fetch(account.clone(), check);
                continue;
            }
            let Check {
                core, slot, cid, ..
            } = check;
            cores[usize::from(core.0)].call(Box::new(move |driver| {
                driver.core.verified(slot, cid, result);
            }));
        }
    });
    queue
}
