//! Operator mode: users whose claims an account signed, for which an operator vouches.
//!
//! Read off nats-server 2.15.1 over a socket: the order of the checks, and the line of the debug
//! log for each.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::tz::TimeZone;

use super::job::{Refusal, decode_signature, verify_nonce};
use super::{ConnectionType, ConnectionTypes, Expiry, Identity, TokenFacts, UserKind};
use crate::broker::permissions::{PermissionRules, Permissions, ResponseRule, SubjectRules};
use crate::jwt::{
    self, AccountData, Claims, Expansion, PermissionData, ResponseData, SubjectsData, Trust,
    TrustError, UserData, UserLimits, Window,
};

/// Replies to one request and how long they may take, where claims leave it open.
const RESPONSES_MAX: i64 = 1;
const RESPONSES_EXPIRE_NANOS: i64 = 120_000_000_000;

/// When something is checked, and what the server's clocks show.
#[derive(Clone, Debug)]
pub struct Moment {
    /// Nanoseconds since 1970.
    pub unix_ns: i64,
    /// For times of the day without a place.
    pub local: TimeZone,
}

impl Moment {
    fn seconds(&self) -> i64 {
        self.unix_ns.div_euclid(1_000_000_000)
    }
}

/// An account with claims, ready to let users in.
#[derive(Debug)]
pub struct TrustedAccount {
    pub claims: Claims<AccountData>,
    /// As it came.
    pub token: Arc<str>,
    /// Users are signed by signing keys only.
    strict: bool,
    default_permissions: Option<Arc<Permissions>>,
}

/// Operators' keys and the accounts that are known. Immutable; a change makes a new one.
#[derive(Clone, Debug, Default)]
pub struct Trusted {
    trust: Trust,
    /// Why an account of these is of no use stands in its place.
    accounts: BTreeMap<String, Result<Arc<TrustedAccount>, TrustError>>,
    /// Accounts whose users are let in; `None` for all.
    pinned: Option<HashSet<String>>,
    /// Claims for clients that send none.
    sentinel: Option<Arc<str>>,
}

impl Trusted {
    /// Whom these keys vouch for.
    pub fn new(trust: Trust) -> Self {
        Self {
            trust,
            ..Self::default()
        }
    }

    /// Lets in only users of these accounts.
    pub fn pin(&mut self, accounts: impl IntoIterator<Item = String>) {
        self.pinned = Some(accounts.into_iter().collect());
    }

    /// Claims of a bearer for clients that send none.
    pub fn set_sentinel(&mut self, token: &str) {
        self.sentinel = Some(token.into());
    }

    /// Adds or renews an account. Returns whether its claims are of use.
    ///
    /// # Errors
    /// [`TrustError`]; the account is then known to be of no use.
    pub fn set_account(
        &mut self,
        name: &str,
        token: &str,
        moment: &Moment,
    ) -> Result<Arc<TrustedAccount>, TrustError> {
        let account = self.read_account(name, token, moment).map(Arc::new);
        self.accounts.insert(name.to_owned(), account.clone());
        account
    }

    /// Reads an account's claims without keeping them.
    ///
    /// # Errors
    /// [`TrustError`].
    pub fn read_account(
        &self,
        name: &str,
        token: &str,
        moment: &Moment,
    ) -> Result<TrustedAccount, TrustError> {
        let claims = self.trust.account(name, token, moment.seconds())?;
        let defaults = &claims.data.default_permissions;
        Ok(TrustedAccount {
            strict: self.trust.is_strict(&claims.issuer),
            default_permissions: compile(permissions_of_account(defaults))
                .map_err(|_| TrustError::Validation)?,
            token: token.into(),
            claims,
        })
    }

    /// Forgets an account.
    pub fn remove_account(&mut self, name: &str) {
        self.accounts.remove(name);
    }

    /// An account that is of use.
    pub fn account(&self, name: &str) -> Option<&Arc<TrustedAccount>> {
        self.accounts.get(name)?.as_ref().ok()
    }

    /// All accounts of use.
    pub fn accounts(&self) -> impl Iterator<Item = &Arc<TrustedAccount>> {
        self.accounts
            .values()
            .filter_map(|account| account.as_ref().ok())
    }

    /// What stands for clients that send no claims.
    pub(super) fn sentinel(&self) -> Option<&Arc<str>> {
        self.sentinel.as_ref()
    }

    /// After a change: why somebody that `before` let in may not stay.
    pub(super) fn dismissal(&self, before: &Self, identity: &Identity) -> Option<Dismissal> {
        let Some(token) = &identity.token else {
            return Some(Dismissal::Silent);
        };
        let Some(account) = self.account(&identity.account) else {
            return Some(Dismissal::Silent);
        };
        if account.claims.is_revoked(&identity.user, token.issued_at) {
            return Some(Dismissal::Revoked);
        }
        let scope = |account: &TrustedAccount| {
            let key = account.claims.signing_key(&token.issuer_key);
            key.map(|key| key.scope.clone())
        };
        let same_scope = before
            .account(&identity.account)
            .is_some_and(|then| scope(then) == scope(account));
        let issuer = account.claims.is_issuer(&token.issuer_key, account.strict);
        (!issuer || !same_scope).then_some(Dismissal::Silent)
    }

    fn lookup(&self, name: &str) -> Result<&Arc<TrustedAccount>, Refusal> {
        match self.accounts.get(name) {
            Some(Ok(account)) => Ok(account),
            Some(Err(error)) => Err(Refusal::because(format!(
                "Account JWT lookup error: {error}"
            ))),
            None => Err(Refusal {
                wants_account: Some(name.to_owned()),
                ..Refusal::because("Account JWT lookup error: account missing")
            }),
        }
    }
}

/// How a connection ends that may not stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dismissal {
    Silent,
    Revoked,
}

/// The check of a user's claims.
pub struct TokenJob {
    pub(super) trusted: Arc<Trusted>,
    pub(super) token: Arc<str>,
    /// The server's own claims for clients that send none.
    pub(super) is_sentinel: bool,
    pub(super) sig: Box<str>,
    pub(super) nonce: Box<str>,
    pub(super) peer: Option<IpAddr>,
    pub(super) connection: ConnectionType,
}

/// Neither claims nor signature are shown.
impl fmt::Debug for TokenJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenJob")
            .field("peer", &self.peer)
            .field("connection", &self.connection)
            .finish_non_exhaustive()
    }
}

impl TokenJob {
    /// Who connects with these claims.
    ///
    /// # Errors
    /// [`Refusal`], with the line that nats-server logs.
    pub fn run(&self, moment: &Moment) -> Result<Arc<Identity>, Refusal> {
        let user: Claims<UserData> = jwt::decode(&self.token)
            .map_err(|_| Refusal::because("Authentication requires a user JWT"))?;
        let issues = user.issues(moment.seconds());
        if !issues.is_empty() {
            let issues = issues.join(" ");
            return Err(Refusal::because(format!(
                "User JWT no longer valid: &{{Issues:[{issues}]}}"
            )));
        }
        let account_name = user.account();
        if let Some(pinned) = &self.trusted.pinned
            && !pinned.contains(account_name)
        {
            return Err(Refusal::because(format!(
                "Account {account_name} not listed as operator pinned account"
            )));
        }
        let account = self.trusted.lookup(account_name)?;
        if !account.claims.is_issuer(&user.issuer, account.strict) {
            return Err(Refusal::because("User JWT issuer is not known"));
        }
        let limits = effective_limits(account, &user)?;
        self.check_connection_type(&limits)?;
        if account.claims.time_issue(moment.seconds()).is_some() {
            return Err(Refusal {
                wants_account: Some(account_name.to_owned()),
                ..Refusal::because("Account JWT has expired")
            });
        }
        if limits.proxy_required {
            return Err(Refusal::because("Proxy is required for this user"));
        }
        if limits.bearer_token {
            if account.claims.data.limits.disallow_bearer {
                return Err(Refusal::because("Account does not allow bearer tokens"));
            }
        } else {
            let signature = decode_signature(&self.sig)?;
            verify_nonce(&user.subject, &self.nonce, &signature)?;
        }
        if account.claims.is_revoked(&user.subject, user.issued_at) {
            return Err(Refusal::because("User authentication revoked"));
        }
        if let Some(peer) = self.peer
            && !jwt::allowed_address(&limits.sources, peer)
        {
            let peer = peer.to_canonical();
            return Err(Refusal::error(format!("Bad src Ip {peer}")));
        }
        let window = jwt::allowed_time(
            &limits.times,
            &limits.times_location,
            &moment.local,
            moment.unix_ns,
        );
        if window == Window::Closed {
            return Err(Refusal::error("Outside connect times"));
        }
        self.identity(account, &user, &limits, window).map(Arc::new)
    }

    fn check_connection_type(&self, limits: &UserLimits) -> Result<(), Refusal> {
        let names = limits.allowed_connection_types.iter().map(String::as_str);
        match ConnectionTypes::from_names(names) {
            None => {
                let names: Vec<String> = limits
                    .allowed_connection_types
                    .iter()
                    .map(|name| format!("{:?}", name.to_uppercase()))
                    .collect();
                let names = names.join(" ");
                Err(Refusal::because(format!(
                    "invalid connection types [{names}]"
                )))
            }
            Some(types) if !types.allows(self.connection) => {
                Err(Refusal::because("Connection type not allowed"))
            }
            Some(_) => Ok(()),
        }
    }

    fn identity(
        &self,
        account: &TrustedAccount,
        user: &Claims<UserData>,
        limits: &UserLimits,
        window: Window,
    ) -> Result<Identity, Refusal> {
        let own = permissions(&limits.publish, &limits.subscribe, limits.responses);
        let permissions = match own {
            None => account.default_permissions.clone(),
            own => compile(own).map_err(|_| {
                Refusal::because("User JWT is not valid: permissions cannot be used")
            })?,
        };
        let user_ends = match window {
            Window::Until(end) => Some(end),
            Window::Always | Window::Closed => None,
        }
        .into_iter()
        .chain(unix_ns(user.expires))
        .min();
        let account_ends = unix_ns(account.claims.expires);
        let expires = match (user_ends, account_ends) {
            (Some(user), Some(account)) if account < user => Some(Expiry::Account(account)),
            (Some(user), _) => Some(Expiry::User(user)),
            (None, Some(account)) => Some(Expiry::Account(account)),
            (None, None) => None,
        };
        let shown = !limits.bearer_token && !self.is_sentinel;
        Ok(Identity {
            user: user.subject.clone(),
            kind: UserKind::Token,
            account: account.claims.subject.as_str().into(),
            permissions,
            token: Some(Box::new(TokenFacts {
                token: shown.then(|| Arc::clone(&self.token)),
                user_name: user.name.clone(),
                account_name: account_name(&account.claims).to_owned(),
                issuer_key: user.issuer.clone(),
                tags: user.data.tags.clone(),
                issued_at: user.issued_at,
                expires,
                max_subscriptions: u64::try_from(limits.subs).ok(),
                max_payload: [limits.payload, account.claims.data.limits.payload]
                    .into_iter()
                    .filter_map(|limit| u64::try_from(limit).ok())
                    .min(),
            })),
        })
    }
}

/// Seconds since 1970 in nanoseconds; 0 is never.
fn unix_ns(seconds: i64) -> Option<i64> {
    (seconds > 0).then(|| seconds.saturating_mul(1_000_000_000))
}

/// The name for people; accounts without one are called by their key.
pub fn account_name(claims: &Claims<AccountData>) -> &str {
    if claims.name.is_empty() {
        &claims.subject
    } else {
        &claims.name
    }
}

/// The user's own permissions and limits, or those of the scope that its signing key has.
fn effective_limits(
    account: &TrustedAccount,
    user: &Claims<UserData>,
) -> Result<UserLimits, Refusal> {
    let own = &user.data.limits;
    let scope = account
        .claims
        .signing_key(&user.issuer)
        .and_then(|key| key.scope.as_deref());
    let Some(template) = scope else {
        return Ok(own.clone());
    };
    if !own.is_absent() {
        return Err(Refusal::because(
            "User JWT is not valid: scoped users require no permissions or limits set",
        ));
    }
    let with = Expansion {
        user_name: &user.name,
        user: &user.subject,
        account_name: account_name(&account.claims),
        account: &account.claims.subject,
        user_tags: &user.data.tags,
        account_tags: &account.claims.data.tags,
    };
    jwt::expand(template, &with)
        .map_err(|error| Refusal::because(format!("User JWT is not valid: {error}")))
}

fn compile(
    rules: Option<PermissionRules>,
) -> Result<Option<Arc<Permissions>>, crate::broker::permissions::RuleError> {
    rules
        .map(|rules| Permissions::new(&rules).map(Arc::new))
        .transpose()
}

/// An account's default permissions.
pub fn permissions_of_account(data: &PermissionData) -> Option<PermissionRules> {
    permissions(&data.publish, &data.subscribe, data.responses)
}

fn permissions(
    publish: &SubjectsData,
    subscribe: &SubjectsData,
    responses: Option<ResponseData>,
) -> Option<PermissionRules> {
    let rules = |subjects: &SubjectsData| {
        (!subjects.is_empty()).then(|| SubjectRules {
            allow: (!subjects.allow.is_empty()).then(|| subjects.allow.clone()),
            deny: subjects.deny.clone(),
        })
    };
    let (mut publish, subscribe) = (rules(publish), rules(subscribe));
    if publish.is_none() && subscribe.is_none() && responses.is_none() {
        return None;
    }
    if responses.is_some() {
        // Permission to reply is all there is, unless more is granted.
        let publish = publish.get_or_insert_with(SubjectRules::default);
        publish.allow.get_or_insert_with(Vec::new);
    }
    let or = |value: i64, default: i64| if value == 0 { default } else { value };
    Some(PermissionRules {
        publish,
        subscribe,
        allow_responses: responses.map(|data| ResponseRule {
            max: or(data.max, RESPONSES_MAX),
            expires_nanos: or(data.expires_nanos, RESPONSES_EXPIRE_NANOS),
        }),
    })
}

#[cfg(test)]
#[path = "trusted_tests.rs"]
mod tests;
