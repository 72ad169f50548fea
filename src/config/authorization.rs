//! Who may connect and what they may do, as configured.
//!
//! Only the strings of the configuration: comparing passwords and evaluating permissions is the
//! work of the broker.

use std::fmt;
use std::time::Duration;

use super::defaults;

/// The `authorization` block, `no_auth_user` and the flags `--user`, `--pass` and `--auth`.
#[derive(Clone, PartialEq)]
pub struct AuthorizationConfig {
    /// Name of the only user; empty: not set.
    pub user: String,
    /// Its password, plain or a bcrypt hash.
    pub password: String,
    /// Token that takes the place of a user, plain or a bcrypt hash; empty: not set.
    pub token: String,
    /// How long a client may take to authenticate.
    pub timeout: Duration,
    /// The users of the block and of all accounts. Flags can add a single user or a token beside them.
    pub users: Vec<UserConfig>,
    /// The permissions of users without their own; already filled in in [`Self::users`].
    pub default_permissions: Option<PermissionsConfig>,
    /// The user that clients without credentials become; empty: they are refused.
    pub no_auth_user: String,
}

impl Default for AuthorizationConfig {
    fn default() -> Self {
        AuthorizationConfig {
            user: String::new(),
            password: String::new(),
            token: String::new(),
            timeout: defaults::AUTH_TIMEOUT,
            users: Vec::new(),
            default_permissions: None,
            no_auth_user: String::new(),
        }
    }
}

impl AuthorizationConfig {
    /// Whether clients must show credentials.
    pub fn is_required(&self) -> bool {
        !self.users.is_empty()
            || !self.user.is_empty()
            || !self.password.is_empty()
            || !self.token.is_empty()
    }
}

impl fmt::Debug for AuthorizationConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizationConfig")
            .field("user", &self.user)
            .field("password", &redacted(&self.password))
            .field("token", &redacted(&self.token))
            .field("timeout", &self.timeout)
            .field("users", &self.users)
            .field("default_permissions", &self.default_permissions)
            .field("no_auth_user", &self.no_auth_user)
            .finish()
    }
}

/// One user of the `users` list.
#[derive(Clone, PartialEq)]
pub struct UserConfig {
    /// Empty if the user has an nkey.
    pub user: String,
    /// Public key that takes the place of name and password; empty: none.
    pub nkey: String,
    /// Plain or a bcrypt hash; may be empty.
    pub password: String,
    /// Name of the account that it is listed in; empty for `authorization`.
    pub account: String,
    /// Own permissions or the default ones; none: everything is allowed.
    pub permissions: Option<PermissionsConfig>,
    /// Kinds of connection the user may use, in upper case (`STANDARD`, `WEBSOCKET`, ...);
    /// empty: all kinds.
    pub connection_types: Vec<String>,
}

impl fmt::Debug for UserConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserConfig")
            .field("user", &self.user)
            .field("nkey", &self.nkey)
            .field("password", &redacted(&self.password))
            .field("account", &self.account)
            .field("permissions", &self.permissions)
            .field("connection_types", &self.connection_types)
            .finish()
    }
}

/// Empty stays visible as empty, since it means "not set".
fn redacted(secret: &str) -> &'static str {
    if secret.is_empty() { "" } else { "[REDACTED]" }
}

/// What a user may publish and subscribe to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PermissionsConfig {
    /// None: everything.
    pub publish: Option<SubjectRules>,
    /// None: everything. Entries may be `subject queue`.
    pub subscribe: Option<SubjectRules>,
    /// Grants publishing to the reply subjects of received messages. It comes with
    /// `publish.allow` set: where the file gives no such list, to an empty one.
    pub allow_responses: Option<ResponseRule>,
}

/// Subjects with wildcards, each checked to be valid.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SubjectRules {
    /// None: everything; empty: nothing.
    pub allow: Option<Vec<String>>,
    /// Beats `allow`.
    pub deny: Vec<String>,
}

/// The bounds of `allow_responses`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseRule {
    /// Replies for each request; negative: unlimited.
    pub max: i64,
    /// How long after the request.
    pub expires: Duration,
}

impl Default for ResponseRule {
    fn default() -> Self {
        ResponseRule {
            max: defaults::ALLOW_RESPONSES_MAX,
            expires: defaults::ALLOW_RESPONSES_EXPIRES,
        }
    }
}

/// Whether a password or token is a bcrypt hash (`$2a$`, `$2b$`, `$2x$` or `$2y$`, two digits of
/// cost, a dollar sign) and not plain text.
pub fn is_bcrypt(secret: &str) -> bool {
    matches!(
        secret.as_bytes(),
        [b'$', b'2', b'a' | b'b' | b'x' | b'y', b'$', tens, ones, b'$', ..]
            if tens.is_ascii_digit() && ones.is_ascii_digit()
    )
}
