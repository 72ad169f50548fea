//! Operator mode: the accounts of claims, as the rest of the server needs them.

use std::sync::Arc;

use jiff::tz::TimeZone;

use super::clock::Clock;
use super::control::ControlSender;
use super::resolver::{Fetcher, UrlResolver};
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

/// As [`trusted`], with the system account of a resolver that is asked.
///
/// # Errors
/// The text, if the resolver does not answer or has no system account.
pub fn start(options: &Options) -> Result<Option<Arc<Trusted>>, String> {
    let trusted = trusted(&options.trust);
    let (Some(base), Some(known)) = (options.trust.resolver_url(), &trusted) else {
        return Ok(trusted);
    };
    let resolver = UrlResolver::new(base);
    resolver.fetch("").map_err(|error| error.to_string())?;
    let Some(system) = options.named_system_account() else {
        return Ok(trusted);
    };
    let failed = |error: String| format!("error resolving system account: {error}");
    let token = resolver
        .fetch(system)
        .map_err(|error| failed(error.to_string()))?;
    let mut known = Trusted::clone(known);
    known
        .set_account(system, &token, &now())
        .map_err(|error| failed(error.to_string()))?;
    Ok(Some(Arc::new(known)))
}

/// What fetches accounts that are not known, if the configuration names a server for that.
pub fn fetcher(options: &TrustOptions, control: &ControlSender) -> Option<Fetcher> {
    let resolver = UrlResolver::new(options.resolver_url()?);
    Some(Fetcher::start(resolver, control.clone()))
}

/// The tables with an account whose claims came.
///
/// # Errors
/// The text, if the claims are of no use; nothing has changed then.
pub fn learned(
    trusted: &Trusted,
    accounts: &AccountTable,
    name: &str,
    token: &str,
) -> Result<(Trusted, AccountTable), String> {
    let moment = now();
    let mut trusted = trusted.clone();
    let account = trusted
        .set_account(name, token, &moment)
        .map_err(|error| error.to_string())?;
    let rules = AccountRules::of_claims(&account, &trusted, moment.unix_ns / 1_000_000_000);
    let unlinked = without_links(&rules);
    let table = accounts
        .updated(rules)
        .or_else(|_| accounts.updated(unlinked))
        .map_err(|error| error.to_string())?;
    Ok((trusted, table))
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
