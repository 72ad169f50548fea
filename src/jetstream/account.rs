//! What accounts use, and what they may.
//!
//! A core knows its own use exactly and that of the others as they last told it: every time it has
//! changed by a small part of a limit. So a limit in bytes may be overrun by that part for each
//! core, and by what is on its way.

use std::collections::HashMap;
use std::sync::Arc;

use super::error::ErrorCode;
use super::peer::Usage;
use super::settings::{JetStreamSettings, ServerLimits};
use super::stream::config::Storage;
use super::stream::context;
use crate::broker::accounts::JetStreamLimits;

/// A change is told when it is this part of a limit.
const TOLD_PART: i64 = 4_096;

#[derive(Default)]
struct Account {
    own: Usage,
    /// What the other cores know of `own`.
    told: Usage,
    /// By core.
    others: Vec<Usage>,
}

/// The use of all accounts, as one core knows it.
pub struct Accounts {
    settings: Arc<JetStreamSettings>,
    accounts: HashMap<u16, Account>,
    cores: usize,
}

impl Accounts {
    pub fn new(settings: Arc<JetStreamSettings>, cores: usize) -> Self {
        Self {
            settings,
            accounts: HashMap::new(),
            cores,
        }
    }

    /// Name of an account; empty if there is none of this number.
    pub fn name(&self, account: u16) -> &str {
        self.settings
            .account(account)
            .map_or("", |account| account.name.as_str())
    }

    /// Limits of an account that may use JetStream.
    pub fn limits(&self, account: u16) -> Option<&JetStreamLimits> {
        self.settings.account(account)?.limits.as_ref()
    }

    /// This core's own use, to be changed.
    pub fn own_mut(&mut self, account: u16) -> &mut Usage {
        &mut self.entry(account).own
    }

    /// This core's own use.
    pub fn own(&self, account: u16) -> Usage {
        self.accounts
            .get(&account)
            .map(|account| account.own)
            .unwrap_or_default()
    }

    fn entry(&mut self, account: u16) -> &mut Account {
        let cores = self.cores;
        self.accounts.entry(account).or_insert_with(|| Account {
            others: vec![Usage::default(); cores],
            ..Account::default()
        })
    }

    /// Takes over what another core uses.
    pub fn heard(&mut self, core: usize, account: u16, usage: Usage) {
        if let Some(known) = self.entry(account).others.get_mut(core) {
            *known = usage;
        }
    }

    /// What an account uses on all cores, as far as is known here.
    pub fn total(&self, account: u16) -> Usage {
        let mut total = Usage::default();
        if let Some(account) = self.accounts.get(&account) {
            total.add(&account.own);
            for other in &account.others {
                total.add(other);
            }
        }
        total
    }

    /// What all accounts use on all cores.
    pub fn server_total(&self) -> Usage {
        let mut total = Usage::default();
        for account in self.accounts.values() {
            total.add(&account.own);
            for other in &account.others {
                total.add(other);
            }
        }
        total
    }

    /// Bytes that may still be stored: the error that the next one above them is, and how many.
    pub fn room(&self, account: u16, storage: Storage) -> (u64, ErrorCode) {
        let total = self.total(account);
        let server = self.server_total();
        let limits = self.limits(account);
        let (limit, used, server_limit, server_used, full) = match storage {
            Storage::Memory => (
                limits.map_or(0, |limits| limits.max_memory),
                total.memory,
                self.settings.max_memory,
                server.memory,
                ErrorCode::MemoryResourcesExceeded,
            ),
            Storage::File => (
                limits.map_or(0, |limits| limits.max_storage),
                total.storage,
                self.settings.max_storage,
                server.storage,
                ErrorCode::StorageResourcesExceeded,
            ),
        };
        let of_server = left(server_limit, server_used);
        let of_account = left(limit, used);
        if of_account <= of_server {
            (of_account, ErrorCode::AccountResourcesExceeded)
        } else {
            (of_server, full)
        }
    }

    /// Tells of accounts whose use has changed enough; with `all` of every change.
    pub fn tell_changes(&mut self, all: bool, tell: &mut dyn FnMut(u16, Usage)) {
        let settings = &self.settings;
        for (&number, account) in &mut self.accounts {
            let (own, told) = (&account.own, &account.told);
            if own == told {
                continue;
            }
            let limits = settings.account(number).and_then(|a| a.limits.as_ref());
            let differs = |now: u64, then: u64, limits: [i64; 2]| {
                let step = limits
                    .into_iter()
                    .filter(|&limit| limit >= 0)
                    .min()
                    .map_or(i64::MAX, |limit| limit / TOLD_PART);
                now.abs_diff(then) > step as u64
            };
            let account_limits = limits.cloned().unwrap_or_default();
            let worth = all
                || own.consumers != told.consumers
                || own.streams != told.streams
                || differs(
                    own.memory,
                    told.memory,
                    [account_limits.max_memory, settings.max_memory],
                )
                || differs(
                    own.storage,
                    told.storage,
                    [account_limits.max_storage, settings.max_storage],
                );
            if worth {
                account.told = account.own;
                tell(number, account.own);
            }
        }
    }
}

/// Batches in progress on this core.
#[derive(Clone, Copy, Debug, Default)]
pub struct BatchCounts {
    atomic: usize,
    fast: usize,
}

/// The use of one account, as its streams are handed it.
pub struct AccountUsage<'a> {
    pub accounts: &'a mut Accounts,
    pub account: u16,
    pub batches: &'a mut BatchCounts,
    pub limits: &'a ServerLimits,
}

fn begin(count: &mut usize, limit: usize) -> bool {
    let has_room = *count < limit;
    if has_room {
        *count += 1;
    }
    has_room
}

impl context::Usage for AccountUsage<'_> {
    fn room(&self, storage: Storage, bytes: u64) -> context::Room {
        match self.accounts.room(self.account, storage) {
            (left, _) if bytes <= left => context::Room::Enough,
            (_, ErrorCode::AccountResourcesExceeded) => context::Room::AccountFull,
            _ => context::Room::ServerFull,
        }
    }

    fn used(&mut self, storage: Storage, bytes: i64) {
        let own = self.accounts.own_mut(self.account);
        let used = match storage {
            Storage::Memory => &mut own.memory,
            Storage::File => &mut own.storage,
        };
        debug_assert!(used.checked_add_signed(bytes).is_some(), "use below zero");
        *used = used.saturating_add_signed(bytes);
    }

    fn begin_batch(&mut self) -> bool {
        begin(&mut self.batches.atomic, self.limits.batches_total)
    }

    fn end_batch(&mut self) {
        self.batches.atomic = self.batches.atomic.saturating_sub(1);
    }

    fn begin_fast_batch(&mut self) -> bool {
        begin(&mut self.batches.fast, self.limits.fast_batches_total)
    }

    fn end_fast_batch(&mut self) {
        self.batches.fast = self.batches.fast.saturating_sub(1);
    }
}

/// What is left of a limit; a negative limit is none.
fn left(limit: i64, used: u64) -> u64 {
    match u64::try_from(limit) {
        Ok(limit) => limit.saturating_sub(used),
        Err(_) => u64::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jetstream::settings::AccountSettings;

    fn accounts(limits: JetStreamLimits) -> Accounts {
        let settings = JetStreamSettings {
            max_storage: 10_000,
            accounts: vec![AccountSettings {
                number: 0,
                name: "$G".to_owned(),
                limits: Some(limits),
            }],
            ..JetStreamSettings::default()
        };
        Accounts::new(Arc::new(settings), 2)
    }

    #[test]
    fn the_nearer_limit_names_the_error() {
        let mut accounts = accounts(JetStreamLimits {
            max_storage: 9_000,
            ..JetStreamLimits::default()
        });
        let room = |accounts: &Accounts| accounts.room(0, Storage::File);
        assert_eq!(
            room(&accounts),
            (9_000, ErrorCode::AccountResourcesExceeded)
        );
        accounts.own_mut(0).storage = 4_000;
        accounts.heard(
            1,
            0,
            Usage {
                storage: 3_000,
                ..Usage::default()
            },
        );
        assert_eq!(
            room(&accounts),
            (2_000, ErrorCode::AccountResourcesExceeded)
        );
        accounts.own_mut(7).storage = 2_500;
        assert_eq!(room(&accounts), (500, ErrorCode::StorageResourcesExceeded));
        let memory = accounts.room(0, Storage::Memory);
        assert_eq!(memory.0, i64::MAX as u64);
    }

    #[test]
    fn small_changes_are_not_told() {
        let mut accounts = accounts(JetStreamLimits::default());
        let told = |accounts: &mut Accounts, all| {
            let mut told = Vec::new();
            accounts.tell_changes(all, &mut |number, usage| told.push((number, usage.storage)));
            told
        };
        accounts.own_mut(0).storage = 2;
        assert_eq!(told(&mut accounts, false), []);
        accounts.own_mut(0).storage = 3;
        assert_eq!(told(&mut accounts, false), [(0, 3)]);
        assert_eq!(told(&mut accounts, false), []);
        accounts.own_mut(0).storage = 4;
        assert_eq!(told(&mut accounts, true), [(0, 4)]);
        accounts.own_mut(0).consumers = 1;
        assert_eq!(told(&mut accounts, false), [(0, 4)]);
    }
}
