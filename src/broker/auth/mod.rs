//! Who may connect, and as whom.
//!
//! [`AuthRules`] is what a configuration says; [`AuthConfig`] is the same
//! checked, immutable and shared by all cores. It answers to [`Credentials`]
//! with a [`Decision`]: at once where passwords are plain text, by way of a
//! [`VerifyJob`] for another thread where they are bcrypt hashes, or where a
//! signature is to be checked.
//!
//! Read off nats-server 2.15.1 over a socket:
//!
//! - All failures look the same to the client. What is not asked for (a token
//!   beside a user, a jwt, an nkey where no user has one) is ignored.
//! - Where users have nkeys, a client that gives one is judged by it alone. An
//!   nkey can be a `no_auth_user`, but only for clients that send CONNECT.
//! - The legacy fields `account` and `new_account` are refused, even where
//!   everybody may connect.
//! - `no_auth_user` steps in when user, password and token are all empty, and
//!   when the first verb is not CONNECT. It never does for a user whose password
//!   is a bcrypt hash.
//! - A user without permissions of its own gets the default permissions; one
//!   with permissions, even empty ones, does not, nor do a single user or a
//!   token.

mod config;
mod connection_type;
mod credentials;
mod identity;
mod job;
mod nonce;
mod password;
mod trusted;
mod user_info;

pub use config::{
    AuthConfig, AuthError, AuthRules, DEFAULT_AUTH_TIMEOUT, Decision, GLOBAL_ACCOUNT, NkeyRule,
    REDACTED_TOKEN, Standing, UserRule,
};
pub use connection_type::{ConnectionType, ConnectionTypes};
pub use credentials::Credentials;
pub use identity::{Expiry, Identity, TokenFacts, UserKind};
pub use job::{Refusal, VerifyJob, decode_signature, verify_nonce};
pub use nonce::NonceKey;
pub use password::PasswordJob;
pub use trusted::{
    Moment, TokenJob, Trusted, TrustedAccount, account_name, permissions_of_account,
};
pub use user_info::user_info_json;
