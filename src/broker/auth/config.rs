//! The rules of authentication, and the decision by them.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::Credentials;
use super::password::{Comparison, Password, PasswordJob};
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

/// Who a connection is.
#[derive(Debug)]
pub struct Identity {
    /// The user's name as monitoring shows it; empty for nobody in particular.
    pub user: String,
    /// The account that it belongs to.
    pub account: Arc<str>,
    /// What it may do; `None` for everything.
    pub permissions: Option<Arc<Permissions>>,
}

/// The answer to a client's credentials.
#[derive(Debug)]
pub enum Decision {
    /// Let in.
    Accept(Arc<Identity>),
    /// An authorization violation; the connection is closed.
    Reject,
    /// To be settled by [`PasswordJob::run`], off the data cores.
    Verify(PasswordJob),
}

/// The rules of authentication, checked and compiled; shared by all cores.
#[derive(Debug)]
pub struct AuthConfig {
    method: Method,
    timeout: Duration,
    account: Arc<str>,
    /// Who everybody is that does not say more, where no one has to.
    anonymous: Arc<Identity>,
}

/// By what clients are told apart. (Nkeys, JWT, callouts and certificates will
/// be further methods.)
#[derive(Debug)]
enum Method {
    /// Everybody may connect.
    Open,
    Token(Password),
    Users {
        users: HashMap<String, User>,
        /// Stands for clients without credentials. Only a user whose password is
        /// plain text: nats-server compares the configured text with itself,
        /// which no hash passes, and so refuses these clients.
        no_auth_user: Option<Arc<Identity>>,
        /// Whether a `no_auth_user` is configured, be it of use or not.
        has_no_auth_user: bool,
    },
}

#[derive(Debug)]
struct User {
    password: Password,
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
        let method = match (&rules.users[..], &rules.single_user, &rules.token) {
            (_, Some(_), Some(_)) => return Err(AuthError::SingleUserAndToken),
            ([_, ..], _, Some(_)) => return Err(AuthError::UsersAndToken),
            ([_, ..], Some(_), _) => return Err(AuthError::UsersAndSingleUser),
            ([], None, None) => Method::Open,
            ([], None, Some(token)) => Method::Token(Password::new(token)),
            ([], Some((name, password)), None) => {
                let user = User::new(name, password, None, &account);
                Method::Users {
                    users: HashMap::from([(name.clone(), user)]),
                    no_auth_user: None,
                    has_no_auth_user: false,
                }
            }
            (users, None, None) => Method::users(users, rules, &account)?,
        };
        if let Some(user) = &rules.no_auth_user
            && rules.users.is_empty()
        {
            return Err(AuthError::NoAuthUserWithoutUsers(user.clone()));
        }
        Ok(Self {
            method,
            timeout: rules.timeout,
            ..Self::open()
        })
    }

    /// Without rules: everybody may connect.
    pub fn open() -> Self {
        let account: Arc<str> = GLOBAL_ACCOUNT.into();
        Self {
            method: Method::Open,
            timeout: DEFAULT_AUTH_TIMEOUT,
            anonymous: Arc::new(Identity {
                user: String::new(),
                account: Arc::clone(&account),
                permissions: None,
            }),
            account,
        }
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
            Method::Token(_) => true,
            Method::Users {
                has_no_auth_user, ..
            } => !has_no_auth_user,
        }
    }

    /// How long a client may take until it is let in.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Decides by the credentials of a CONNECT, be it the first or a later one.
    pub fn check(&self, credentials: &Credentials<'_>) -> Decision {
        if credentials.legacy_account {
            return Decision::Reject;
        }
        match &self.method {
            Method::Open => Decision::Accept(self.unverified(credentials)),
            Method::Token(token) => {
                decide(token, credentials.token, || self.unverified(credentials))
            }
            Method::Users {
                no_auth_user,
                has_no_auth_user: true,
                ..
            } if credentials.are_empty() => implicit(no_auth_user.as_ref()),
            // An unknown user is refused at once, a known one with a hash only
            // after hashing: the time tells, as it does with nats-server.
            Method::Users { users, .. } => match users.get(credentials.user) {
                Some(user) => decide(&user.password, credentials.pass, || {
                    Arc::clone(&user.identity)
                }),
                None => Decision::Reject,
            },
        }
    }

    /// After a reload: who a client let in by `before` as `user` is now, or
    /// `None` if its credentials would not be accepted any more.
    pub fn still_accepts(&self, before: &Self, user: &str) -> Option<Arc<Identity>> {
        match (&self.method, &before.method) {
            (Method::Open, _) => Some(Arc::new(Identity {
                user: user.to_owned(),
                account: Arc::clone(&self.account),
                permissions: None,
            })),
            (Method::Token(token), Method::Token(old)) if token == old => {
                Some(Arc::clone(&self.anonymous))
            }
            (Method::Users { users, .. }, Method::Users { users: old, .. }) => {
                let (now, then) = (users.get(user)?, old.get(user)?);
                (now.password == then.password).then(|| Arc::clone(&now.identity))
            }
            _ => None,
        }
    }

    /// Decides for a client whose first verb is not CONNECT.
    pub fn check_without_connect(&self) -> Decision {
        match &self.method {
            Method::Open => Decision::Accept(Arc::clone(&self.anonymous)),
            Method::Token(_) => Decision::Reject,
            Method::Users { no_auth_user, .. } => implicit(no_auth_user.as_ref()),
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
            permissions: None,
        })
    }
}

impl Method {
    fn users(rules: &[UserRule], auth: &AuthRules, account: &Arc<str>) -> Result<Self, AuthError> {
        let default_permissions =
            compile(auth.default_permissions.as_ref()).map_err(AuthError::DefaultPermissions)?;
        let mut users = HashMap::with_capacity(rules.len());
        for rule in rules {
            let own =
                compile(rule.permissions.as_ref()).map_err(|error| AuthError::UserPermissions {
                    user: rule.name.clone(),
                    error,
                })?;
            let permissions = own.or_else(|| default_permissions.clone());
            let account = match rule.account.as_str() {
                "" => account,
                name => &Arc::from(name),
            };
            let user = User::new(&rule.name, &rule.password, permissions, account);
            if users.insert(rule.name.clone(), user).is_some() {
                return Err(AuthError::DuplicateUser(rule.name.clone()));
            }
        }
        let no_auth_user = match &auth.no_auth_user {
            None => None,
            Some(name) => {
                let user = users
                    .get(name)
                    .ok_or_else(|| AuthError::UnknownNoAuthUser(name.clone()))?;
                user.password.is_plain().then(|| Arc::clone(&user.identity))
            }
        };
        Ok(Self::Users {
            users,
            no_auth_user,
            has_no_auth_user: auth.no_auth_user.is_some(),
        })
    }
}

impl User {
    fn new(
        name: &str,
        password: &str,
        permissions: Option<Arc<Permissions>>,
        account: &Arc<str>,
    ) -> Self {
        Self {
            password: Password::new(password),
            identity: Arc::new(Identity {
                user: name.to_owned(),
                account: Arc::clone(account),
                permissions,
            }),
        }
    }
}

fn compile(rules: Option<&PermissionRules>) -> Result<Option<Arc<Permissions>>, RuleError> {
    rules
        .map(|rules| Permissions::new(rules).map(Arc::new))
        .transpose()
}

fn implicit(no_auth_user: Option<&Arc<Identity>>) -> Decision {
    no_auth_user.map_or(Decision::Reject, |identity| {
        Decision::Accept(Arc::clone(identity))
    })
}

fn decide(password: &Password, given: &str, identity: impl Fn() -> Arc<Identity>) -> Decision {
    match password.compare(given) {
        Comparison::Equal => Decision::Accept(identity()),
        Comparison::Different => Decision::Reject,
        Comparison::Hash(hash) => Decision::Verify(PasswordJob::new(hash, given, identity())),
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
