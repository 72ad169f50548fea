//! Operator mode: the accounts of claims, as the rest of the server needs them.

use std::sync::Arc;

use jiff::tz::TimeZone;

use super::clock::Clock;
use crate::broker::accounts::{AccountError, AccountRules, AccountTable};
use crate::broker::auth::{Moment, Trusted};
use crate::config::{Options, TrustOptions};

/// Now, for claims.
pub fn now() -> Moment {
    Moment {
        unix_ns: Clock::new().now().unix_ns,
        local: TimeZone::system(),
    }
}

/// Whom the server trusts, with the accounts that are preloaded; `None` outside operator mode.
pub fn trusted(options: &TrustOptions) -> Option<Arc<Trusted>> {
    if !options.is_on() {
        return None;
    }
    let moment = now();
    let mut trusted = Trusted::new(options.trust());
    if !options.pinned.is_empty() {
        trusted.pin(options.pinned.iter().cloned());
    }
    if !options.default_sentinel.is_empty() {
        trusted.set_sentinel(&options.default_sentinel);
    }
    for (name, token) in &options.preload {
        // One that is of no use lets nobody in, and says why then.
        let _ = trusted.set_account(name, token, &moment);
    }
    Some(Arc::new(trusted))
}

/// The accounts of the configuration and of claims; after a reload those that were, `before`,
/// keep their ids.
///
/// Claims of others must not keep the server from starting: an account whose imports, exports or
/// mappings cannot be has none of them.
///
/// # Errors
/// As [`AccountTable::compile`].
pub fn accounts(
    options: &Options,
    trusted: Option<&Trusted>,
    before: Option<&AccountTable>,
) -> Result<AccountTable, AccountError> {
    let compile = |rules: Vec<AccountRules>| match before {
        Some(before) => before.replaced(rules),
        None => AccountTable::compile(rules, options.named_system_account()),
    };
    let configured = options.account_rules();
    let Some(trusted) = trusted else {
        return compile(configured);
    };
    let seconds = now().unix_ns / 1_000_000_000;
    let of_claims: Vec<AccountRules> = trusted
        .accounts()
        .map(|account| AccountRules::of_claims(account, trusted, seconds))
        .collect();
    let with = |more: &[AccountRules]| compile([&configured[..], more].concat());
    if let Ok(table) = with(&of_claims) {
        return Ok(table);
    }
    let mut kept: Vec<AccountRules> = of_claims.iter().map(without_links).collect();
    for (number, rules) in of_claims.into_iter().enumerate() {
        let unlinked = std::mem::replace(&mut kept[number], rules);
        if with(&kept).is_err() {
            kept[number] = unlinked;
        }
    }
    with(&kept)
}

fn without_links(rules: &AccountRules) -> AccountRules {
    AccountRules {
        stream_exports: Vec::new(),
        service_exports: Vec::new(),
        stream_imports: Vec::new(),
        service_imports: Vec::new(),
        mappings: Vec::new(),
        ..rules.clone()
    }
}
