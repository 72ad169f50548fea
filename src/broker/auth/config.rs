//! The rules of authentication, and the decision by them.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::job::SignatureJob;
use super::password::{Comparison, Password, PasswordJob};
use super::trusted::Dismissal;
use super::{
    ConnectionType, ConnectionTypes, Credentials, Identity, NonceKey, Refusal, TokenJob, Trusted,
    UserKind, VerifyJob,
};
use crate::broker::permissions::{PermissionRules, Permissions, RuleError};

/// How long a client may take to authenticate, if nothing else is configured.
pub const DEFAULT_AUTH_TIMEOUT: Duration = Duration::from_secs(2);

/// The account of everybody who is configured in none.
pub const GLOBAL_ACCOUNT: &str = "$G";

/// Shown in place of a token where a user's name is expected.
pub const REDACTED_TOKEN: &str = "[REDACTED]";

/// A user as configured.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct UserRule {
    /// Compared as it is; must be unique.
    pub name: String,
    /// Plain text, or a bcrypt hash. An empty one is met by no password at all.
    pub password: String,
    /// `None` for the default permissions.
    pub permissions: Option<PermissionRules>,
    /// The kinds of connection it may use.
    pub connection_types: ConnectionTypes,
    /// Name of its account; empty for [`GLOBAL_ACCOUNT`].
    pub account: String,
}

/// A user that proves who it is with a signature.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NkeyRule {
    /// Its public key, `U...`; must be unique.
    pub nkey: String,
    /// `None` for the default permissions.
    pub permissions: Option<PermissionRules>,
    /// The kinds of connection it may use.
    pub connection_types: ConnectionTypes,
    /// Name of its account; empty for [`GLOBAL_ACCOUNT`].
    pub account: String,
}

impl fmt::Debug for UserRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserRule")
            .field("name", &self.name)
            .field("permissions", &self.permissions)
            .finish_non_exhaustive()
    }
}

/// What a configuration says about authentication. The default lets everybody in.
#[derive(Clone, PartialEq, Eq)]
pub struct AuthRules {
    /// The list of users. Empty is as good as absent.
    pub users: Vec<UserRule>,
    /// Those of the list that have an nkey.
    pub nkeys: Vec<NkeyRule>,
    /// Secret behind the nonces.
    pub nonce_key: NonceKey,
    /// `user` and `password` of the authorization block, or of the command line;
    /// excludes the other two. Default permissions do not apply to it.
    pub single_user: Option<(String, String)>,
    /// The token, plain text or a bcrypt hash; excludes the other two.
    pub token: Option<String>,
    /// The user that stands for clients without credentials; one of `users`.
    pub no_auth_user: Option<String>,
    /// For those of `users` that have none of their own.
    pub default_permissions: Option<PermissionRules>,
    /// See [`DEFAULT_AUTH_TIMEOUT`].
    pub timeout: Duration,
}

impl Default for AuthRules {
    fn default() -> Self {
        Self {
            users: Vec::new(),
            nkeys: Vec::new(),
            nonce_key: NonceKey::default(),
            single_user: None,
            token: None,
            no_auth_user: None,
            default_permissions: None,
            timeout: DEFAULT_AUTH_TIMEOUT,
        }
    }
}

impl fmt::Debug for AuthRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthRules")
            .field("users", &self.users)
            .field("nkeys", &self.nkeys)
            .field("no_auth_user", &self.no_auth_user)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// Why rules make no configuration. The texts are nats-server's where it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthError {
    /// A token beside a single user.
    SingleUserAndToken,
    /// A token beside a list of users.
    UsersAndToken,
    /// A single user beside a list of users.
    UsersAndSingleUser,
    /// A name stands twice in the list.
    DuplicateUser(String),
    /// An nkey stands twice in the list.
    DuplicateNkey(String),
    /// `no_auth_user` is not in the list.
    UnknownNoAuthUser(String),
    /// `no_auth_user` without a list of users.
    NoAuthUserWithoutUsers(String),
    /// A permission of a user cannot be read.
    UserPermissions {
        /// The user's name.
        user: String,
        /// What is wrong with it.
        error: RuleError,
    },
    /// A default permission cannot be read.
    DefaultPermissions(RuleError),
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SingleUserAndToken => f.write_str("Cannot have a user/pass and token"),
            Self::UsersAndToken => f.write_str("Can not have a token and a users array"),
            Self::UsersAndSingleUser => {
                f.write_str("Can not have a single user/pass and a users array")
            }
            Self::DuplicateUser(user) => write!(f, "Duplicate user {user:?} detected"),
            Self::DuplicateNkey(nkey) => write!(f, "Duplicate nkey {nkey:?} detected"),
            Self::UnknownNoAuthUser(user) => write!(
                f,
                "no_auth_user: {user:?} not present as user or nkey in authorization block or \
                 account configuration"
            ),
            Self::NoAuthUserWithoutUsers(user) => write!(
                f,
                "no_auth_user: {user:?} present, but users/nkeys are not defined"
            ),
            Self::UserPermissions { user, error } => write!(f, "user {user:?}: {error}"),
            Self::DefaultPermissions(error) => write!(f, "default_permissions: {error}"),
        }
    }
}

impl std::error::Error for AuthError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::UserPermissions { error, .. } | Self::DefaultPermissions(error) => Some(error),
            _ => None,
        }
    }
}

/// The answer to a client's credentials.
#[derive(Debug)]
pub enum Decision {
    /// Let in.
    Accept(Arc<Identity>),
    /// An authorization violation; the connection is closed.
    Reject(Refusal),
    /// To be settled by [`VerifyJob::run`], off the data cores.
    Verify(VerifyJob),
}

impl Decision {
    fn reject() -> Self {
        Self::Reject(Refusal::default())
    }
}

/// What becomes of a connection when the rules change.
#[derive(Debug)]
pub enum Standing {
    /// It stays; this is who it is now.
    Stays(Arc<Identity>),
    /// Its user is gone: it is closed without a word, as nats-server does it.
    Gone,
    /// Its claims count no more: it is closed without a word as well.
    Dismissed,
    /// Its claims were revoked.
    Revoked,
    /// Its credentials would not be accepted any more.
    Refused,
}

/// The rules of authentication, checked and compiled; shared by all cores.
#[derive(Debug)]
pub struct AuthConfig {
    method: Method,
    timeout: Duration,
    nonce_key: NonceKey,
    account: Arc<str>,
    /// Who everybody is that does not say more, where no one has to.
    anonymous: Arc<Identity>,
}

/// By what clients are told apart.
#[derive(Debug)]
enum Method {
    /// Everybody may connect.
    Open,
    Token(Password),
    Users {
        users: HashMap<String, User>,
        nkeys: HashMap<String, NkeyUser>,
        /// Stands for clients without credentials. Only a user whose password is
        /// plain text: nats-server compares the configured text with itself,
        /// which no hash passes, and so refuses these clients.
        no_auth_user: Option<Implicit>,
        /// Whether a `no_auth_user` is configured, be it of use or not.
        has_no_auth_user: bool,
    },
    /// Claims, for which an operator vouches.
    Trusted(Arc<Trusted>),
}

#[derive(Debug)]
struct User {
    password: Password,
    connection_types: ConnectionTypes,
    identity: Arc<Identity>,
}

#[derive(Debug)]
struct NkeyUser {
    connection_types: ConnectionTypes,
    identity: Arc<Identity>,
}

/// Who a client without credentials is.
#[derive(Clone, Debug)]
struct Implicit {
    connection_types: ConnectionTypes,
    identity: Arc<Identity>,
}

impl AuthConfig {
    /// Checks and compiles rules.
    ///
    /// # Errors
    /// If methods exclude each other, a user is listed twice or missing, or a
    /// permission cannot be read.
    pub fn new(rules: &AuthRules) -> Result<Self, AuthError> {
        let account: Arc<str> = GLOBAL_ACCOUNT.into();
        let has_users = !rules.users.is_empty() || !rules.nkeys.is_empty();
        let method = match (has_users, &rules.single_user, &rules.token) {
            (_, Some(_), Some(_)) => return Err(AuthError::SingleUserAndToken),
            (true, _, Some(_)) => return Err(AuthError::UsersAndToken),
            (true, Some(_), _) => return Err(AuthError::UsersAndSingleUser),
            (false, None, None) => Method::Open,
            (false, None, Some(token)) => Method::Token(Password::new(token)),
            (false, Some((name, password)), None) => {
                let rule = UserRule {
                    name: name.clone(),
                    password: password.clone(),
                    ..UserRule::default()
                };
                Method::Users {
                    users: HashMap::from([(name.clone(), User::new(&rule, None, &account))]),
                    nkeys: HashMap::new(),
                    no_auth_user: None,
                    has_no_auth_user: false,
                }
            }
            (true, None, None) => Method::users(rules, &account)?,
        };
        if let Some(user) = &rules.no_auth_user
            && !has_users
        {
            return Err(AuthError::NoAuthUserWithoutUsers(user.clone()));
        }
        Ok(Self {
            method,
            timeout: rules.timeout,
            nonce_key: rules.nonce_key,
            ..Self::open()
        })
    }

    /// Without rules: everybody may connect.
    pub fn open() -> Self {
        let account: Arc<str> = GLOBAL_ACCOUNT.into();
        Self {
            method: Method::Open,
            timeout: DEFAULT_AUTH_TIMEOUT,
            nonce_key: NonceKey::default(),
            anonymous: Arc::new(Identity {
                account: Arc::clone(&account),
                ..Identity::default()
            }),
            account,
        }
    }

    /// Operator mode.
    pub fn trusted(trusted: Arc<Trusted>, timeout: Duration, nonce_key: NonceKey) -> Self {
        Self {
            method: Method::Trusted(trusted),
            timeout,
            nonce_key,
            ..Self::open()
        }
    }

    /// The same with other accounts; nothing changes where there is no operator.
    pub fn with_trusted(&self, trusted: Arc<Trusted>) -> Self {
        Self::trusted(trusted, self.timeout, self.nonce_key)
    }

    /// Operator mode with another timeout; `None` outside it.
    pub fn with_timeout(&self, timeout: Duration) -> Option<Self> {
        match &self.method {
            Method::Trusted(trusted) => {
                Some(Self::trusted(Arc::clone(trusted), timeout, self.nonce_key))
            }
            _ => None,
        }
    }

    /// Whether claims decide.
    pub fn is_trusted(&self) -> bool {
        matches!(self.method, Method::Trusted(_))
    }

    /// Whether clients have to authenticate (`auth_required` of INFO).
    pub fn auth_required(&self) -> bool {
        !matches!(self.method, Method::Open)
    }

    /// Whether the first INFO of a connection says `auth_required`: it does not
    /// if there is a `no_auth_user`. Later ones do.
    pub fn auth_required_in_first_info(&self) -> bool {
        match self.method {
            Method::Open => false,
            Method::Token(_) | Method::Trusted(_) => true,
            Method::Users {
                has_no_auth_user, ..
            } => !has_no_auth_user,
        }
    }

    /// How long a client may take until it is let in.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// What connection `cid` is to sign, if any client may prove itself that way.
    pub fn nonce(&self, cid: u64) -> Option<Box<str>> {
        match &self.method {
            Method::Users { nkeys, .. } if !nkeys.is_empty() => Some(self.nonce_key.nonce(cid)),
            Method::Trusted(_) => Some(self.nonce_key.nonce(cid)),
            _ => None,
        }
    }

    /// Decides by the credentials of a CONNECT, be it the first or a later one.
    pub fn check(&self, credentials: &Credentials<'_>) -> Decision {
        if credentials.legacy_account {
            return Decision::reject();
        }
        match &self.method {
            Method::Open => Decision::Accept(self.unverified(credentials)),
            Method::Trusted(trusted) => check_claims(trusted, credentials),
            Method::Token(token) => {
                decide(token, credentials.token, || self.unverified(credentials))
            }
            Method::Users { nkeys, .. } if !nkeys.is_empty() && !credentials.nkey.is_empty() => {
                match nkeys.get(credentials.nkey) {
                    Some(user) if user.connection_types.allows(credentials.connection) => {
                        check_signature(user, credentials)
                    }
                    _ => Decision::reject(),
                }
            }
            Method::Users {
                no_auth_user,
                has_no_auth_user: true,
                ..
            } if credentials.are_empty() => implicit(no_auth_user.as_ref(), credentials.connection),
            // An unknown user is refused at once, a known one with a hash only
            // after hashing: the time tells, as it does with nats-server.
            Method::Users { users, .. } => match users.get(credentials.user) {
                Some(user) if user.connection_types.allows(credentials.connection) => {
                    decide(&user.password, credentials.pass, || {
                        Arc::clone(&user.identity)
                    })
                }
                _ => Decision::reject(),
            },
        }
    }

    /// After a reload: what becomes of a client whose claims `before` accepted.
    pub fn still_trusts(&self, before: &Self, identity: &Arc<Identity>) -> Standing {
        match (&self.method, &before.method) {
            (Method::Trusted(now), Method::Trusted(then)) => match now.dismissal(then, identity) {
                None => Standing::Stays(Arc::clone(identity)),
                Some(Dismissal::Revoked) => Standing::Revoked,
                Some(Dismissal::Silent) => Standing::Dismissed,
            },
            _ => Standing::Refused,
        }
    }

    /// After a reload: what becomes of a client that was let in by `before` as
    /// `user`, a name of this kind.
    pub fn still_accepts(&self, before: &Self, user: &str, kind: UserKind) -> Standing {
        let now = match &self.method {
            Method::Open => {
                return Standing::Stays(Arc::new(Identity {
                    user: user.to_owned(),
                    kind,
                    account: Arc::clone(&self.account),
                    ..Identity::default()
                }));
            }
            now => now,
        };
        match (now, &before.method) {
            (Method::Token(token), Method::Token(old)) if token == old => {
                Standing::Stays(Arc::clone(&self.anonymous))
            }
            (Method::Users { nkeys, .. }, Method::Users { nkeys: old, .. })
                if kind == UserKind::Nkey && old.contains_key(user) =>
            {
                match nkeys.get(user) {
                    Some(now) => Standing::Stays(Arc::clone(&now.identity)),
                    None => Standing::Gone,
                }
            }
            (Method::Users { users, .. }, Method::Users { users: old, .. }) => {
                match (users.get(user), old.get(user)) {
                    (Some(now), Some(then)) if now.password == then.password => {
                        Standing::Stays(Arc::clone(&now.identity))
                    }
                    (None, Some(_)) => Standing::Gone,
                    _ => Standing::Refused,
                }
            }
            _ => Standing::Refused,
        }
    }

    /// Decides for a client whose first verb is not CONNECT.
    pub fn check_without_connect(&self, connection: ConnectionType) -> Decision {
        match &self.method {
            Method::Open => Decision::Accept(Arc::clone(&self.anonymous)),
            Method::Token(_) | Method::Trusted(_) => Decision::reject(),
            Method::Users { no_auth_user, .. } => match no_auth_user {
                Some(user) if user.identity.kind == UserKind::Nkey => Decision::reject(),
                user => implicit(user.as_ref(), connection),
            },
        }
    }

    /// Who a client is that was not asked for a name: what it calls itself.
    fn unverified(&self, credentials: &Credentials<'_>) -> Arc<Identity> {
        let name = [credentials.nkey, credentials.user]
            .into_iter()
            .find(|name| !name.is_empty());
        let user = match name {
            Some(name) => name,
            None if !credentials.token.is_empty() => REDACTED_TOKEN,
            None => return Arc::clone(&self.anonymous),
        };
        Arc::new(Identity {
            user: user.to_owned(),
            account: Arc::clone(&self.account),
            ..Identity::default()
        })
    }
}

impl Method {
    fn users(rules: &AuthRules, account: &Arc<str>) -> Result<Self, AuthError> {
        let default_permissions =
            compile(rules.default_permissions.as_ref()).map_err(AuthError::DefaultPermissions)?;
        let permissions = |own: Option<&PermissionRules>, user: &str| {
            let own = compile(own).map_err(|error| AuthError::UserPermissions {
                user: user.to_owned(),
                error,
            })?;
            Ok(own.or_else(|| default_permissions.clone()))
        };
        let mut users = HashMap::with_capacity(rules.users.len());
        for rule in &rules.users {
            let permissions = permissions(rule.permissions.as_ref(), &rule.name)?;
            let user = User::new(rule, permissions, &account_of(&rule.account, account));
            if users.insert(rule.name.clone(), user).is_some() {
                return Err(AuthError::DuplicateUser(rule.name.clone()));
            }
        }
        let mut nkeys = HashMap::with_capacity(rules.nkeys.len());
        for rule in &rules.nkeys {
            let user = NkeyUser {
                connection_types: rule.connection_types,
                identity: Arc::new(Identity {
                    user: rule.nkey.clone(),
                    kind: UserKind::Nkey,
                    account: account_of(&rule.account, account),
                    permissions: permissions(rule.permissions.as_ref(), &rule.nkey)?,
                    token: None,
                }),
            };
            if nkeys.insert(rule.nkey.clone(), user).is_some() {
                return Err(AuthError::DuplicateNkey(rule.nkey.clone()));
            }
        }
        let no_auth_user = match &rules.no_auth_user {
            None => None,
            Some(name) => match (users.get(name), nkeys.get(name)) {
                (Some(user), _) => user.password.is_plain().then(|| Implicit {
                    connection_types: user.connection_types,
                    identity: Arc::clone(&user.identity),
                }),
                (None, Some(user)) => Some(Implicit {
                    connection_types: user.connection_types,
                    identity: Arc::clone(&user.identity),
                }),
                (None, None) => return Err(AuthError::UnknownNoAuthUser(name.clone())),
            },
        };
        Ok(Self::Users {
            users,
            nkeys,
            no_auth_user,
            has_no_auth_user: rules.no_auth_user.is_some(),
        })
    }
}

impl User {
    fn new(rule: &UserRule, permissions: Option<Arc<Permissions>>, account: &Arc<str>) -> Self {
        Self {
            password: Password::new(&rule.password),
            connection_types: rule.connection_types,
            identity: Arc::new(Identity {
                user: rule.name.clone(),
                kind: UserKind::Name,
                account: Arc::clone(account),
                permissions,
                token: None,
            }),
        }
    }
}

/// The account of this name; without one, the other.
fn account_of(name: &str, otherwise: &Arc<str>) -> Arc<str> {
    if name.is_empty() {
        Arc::clone(otherwise)
    } else {
        name.into()
    }
}

fn compile(rules: Option<&PermissionRules>) -> Result<Option<Arc<Permissions>>, RuleError> {
    rules
        .map(|rules| Permissions::new(rules).map(Arc::new))
        .transpose()
}

fn implicit(no_auth_user: Option<&Implicit>, connection: ConnectionType) -> Decision {
    match no_auth_user {
        Some(user) if user.connection_types.allows(connection) => {
            Decision::Accept(Arc::clone(&user.identity))
        }
        _ => Decision::reject(),
    }
}

fn check_claims(trusted: &Arc<Trusted>, credentials: &Credentials<'_>) -> Decision {
    let (token, is_sentinel) = match (credentials.jwt, trusted.sentinel()) {
        ("", None) => {
            return Decision::Reject(Refusal::because("Authentication requires a user JWT"));
        }
        ("", Some(sentinel)) => (Arc::clone(sentinel), true),
        (jwt, _) => (Arc::from(jwt), false),
    };
    Decision::Verify(VerifyJob::Token(TokenJob {
        trusted: Arc::clone(trusted),
        token,
        is_sentinel,
        sig: credentials.sig.into(),
        nonce: credentials.nonce.into(),
        peer: credentials.peer,
        connection: credentials.connection,
    }))
}

fn check_signature(user: &NkeyUser, credentials: &Credentials<'_>) -> Decision {
    let (nonce, sig, nkey) = (credentials.nonce, credentials.sig, credentials.nkey);
    match SignatureJob::new(nonce, sig, nkey, &user.identity) {
        Ok(job) => Decision::Verify(VerifyJob::Signature(job)),
        Err(refusal) => Decision::Reject(refusal),
    }
}

fn decide(password: &Password, given: &str, identity: impl Fn() -> Arc<Identity>) -> Decision {
    match password.compare(given) {
        Comparison::Equal => Decision::Accept(identity()),
        Comparison::Different => Decision::reject(),
        Comparison::Hash(hash) => {
            let job = PasswordJob::new(hash, given, identity());
            Decision::Verify(VerifyJob::Password(job))
        }
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
