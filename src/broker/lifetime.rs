//! Credentials that end or are taken away while the connection is open.

use super::auth::Expiry;
use super::close::CloseReason;
use super::core::Core;
use super::effect::LogLevel;
use crate::protocol::ErrorText;

impl Core {
    /// Largest message that a connection may send, in bytes; -1 for no limit.
    pub(super) fn max_payload(&self, slot: u32) -> i64 {
        let of_server = self.settings.max_payload;
        match self.conn(slot).and_then(|conn| conn.max_payload) {
            Some(max) if of_server < 0 || max < of_server => max,
            _ => of_server,
        }
    }

    /// When the credentials of a connection end, on the monotonic clock; 0 for never.
    pub(super) fn credentials_end(&self, expires: Option<Expiry>) -> u64 {
        let Some(expires) = expires else {
            return 0;
        };
        let left = expires.unix_ns().saturating_sub(self.now.unix_ns);
        let left = u64::try_from(left).unwrap_or(0);
        self.now.mono_ns.saturating_add(left).max(1)
    }

    /// The time of the user or of its account is over.
    pub(super) fn expire_credentials(&mut self, slot: u32) {
        let expires = self
            .conn(slot)
            .and_then(|conn| conn.identity.as_ref())
            .and_then(|identity| identity.token.as_ref())
            .and_then(|token| token.expires);
        let error = match expires {
            Some(Expiry::Account(_)) => ErrorText::AccountAuthenticationExpired,
            Some(Expiry::User(_)) | None => ErrorText::UserAuthenticationExpired,
        };
        self.end_credentials(slot, error, CloseReason::AuthenticationExpired);
    }

    /// The account revoked the user's claims.
    pub(super) fn revoke_credentials(&mut self, slot: u32) {
        let error = ErrorText::UserAuthenticationRevoked;
        self.end_credentials(slot, error, CloseReason::CredentialsRevoked);
    }

    fn end_credentials(&mut self, slot: u32, error: ErrorText, reason: CloseReason) {
        let identity = self.conn(slot).and_then(|conn| conn.identity.clone());
        if let Some(identity) = identity {
            let tag = match &identity.token {
                Some(token) if token.account_name != *identity.account => {
                    format!("/{}", token.account_name)
                }
                _ => String::new(),
            };
            let line = format!(
                "{} - Account:{}{tag} - {}:{}",
                error.text(),
                identity.account,
                identity.kind.label(),
                identity.user
            );
            self.log_connection(LogLevel::Debug, slot, &line);
        }
        self.close_with_error(slot, error, reason);
    }
}
