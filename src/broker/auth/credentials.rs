//! What a client says about itself in CONNECT.

use std::fmt;
use std::net::IpAddr;

use super::ConnectionType;

/// The fields of CONNECT that decide who is connecting; empty if not given.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Credentials<'a> {
    /// `user`.
    pub user: &'a str,
    /// `pass`, always in plain text.
    pub pass: &'a str,
    /// `auth_token`.
    pub token: &'a str,
    /// `nkey`, a public key.
    pub nkey: &'a str,
    /// `sig`, the nonce signed by it.
    pub sig: &'a str,
    /// `jwt`, a user's claims.
    pub jwt: &'a str,
    /// The address that it comes from.
    pub peer: Option<IpAddr>,
    /// The nonce that the connection was given; empty for none.
    pub nonce: &'a str,
    /// Over what the client came.
    pub connection: ConnectionType,
    /// Whether the legacy field `account` is not empty or `new_account` is true.
    pub legacy_account: bool,
}

impl Credentials<'_> {
    /// Whether the client leaves open who it is, so that a `no_auth_user` is meant.
    pub(super) fn are_empty(&self) -> bool {
        self.user.is_empty() && self.pass.is_empty() && self.token.is_empty()
    }
}

/// Shows no secret, so that credentials may stand in log lines.
impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let redact = |secret: &str| if secret.is_empty() { "" } else { "[REDACTED]" };
        f.debug_struct("Credentials")
            .field("user", &self.user)
            .field("pass", &redact(self.pass))
            .field("token", &redact(self.token))
            .field("nkey", &self.nkey)
            .field("connection", &self.connection)
            .field("legacy_account", &self.legacy_account)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let shown = format!(
            "{:?}",
            Credentials {
                user: "ann",
                pass: "s3cret",
                token: "t0ken",
                ..Credentials::default()
            }
        );
        assert!(shown.contains("ann"));
        assert!(!shown.contains("s3cret") && !shown.contains("t0ken"));
    }
}
