//! Every `-ERR` text that a client connection can receive.

/// The fixed texts. Those that name a subject are in [`super::render`].
///
/// Clients classify them by prefix or substring, so they are part of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorText {
    /// A byte the protocol does not allow at this place.
    UnknownOperation,
    /// Any failed authentication, or a first verb other than CONNECT.
    AuthorizationViolation,
    /// No CONNECT within `auth_timeout`.
    AuthenticationTimeout,
    /// The user's credentials expired.
    UserAuthenticationExpired,
    /// The account revoked the user's credentials.
    UserAuthenticationRevoked,
    /// The account's credentials expired.
    AccountAuthenticationExpired,
    /// CONNECT with a `protocol` other than 0 and 1.
    InvalidClientProtocol,
    /// CONNECT with `no_responders` but without `headers`.
    NoRespondersRequiresHeaders,
    /// See [`ParseLimits::max_control_line`](super::ParseLimits::max_control_line).
    MaxControlLine,
    /// See [`ParseLimits::max_payload`](super::ParseLimits::max_payload).
    MaxPayload,
    /// `max_connections` of the server.
    MaxConnections,
    /// `max_connections` of the account.
    MaxAccountConnections,
    /// `max_subscriptions`: the SUB is refused.
    MaxSubscriptions,
    /// Too many PINGs went unanswered.
    StaleConnection,
    /// The TLS handshake did not complete in time.
    TlsRequired,
    /// `connection_rate_limit` of TLS.
    ConnectionThrottling,
    /// The account has no subscription list.
    FailedAccountRegistration,
    /// SUB with a malformed subject.
    InvalidSubject,
    /// PUB with a malformed subject on a pedantic connection; the message is processed all the same.
    InvalidPublishSubject,
    /// A client on the port for routes.
    WrongPortRoute,
    /// A client on the port for leaf nodes.
    WrongPortLeaf,
    /// A client on the port for gateways.
    WrongPortGateway,
}

impl ErrorText {
    /// All of them, for tests and documentation.
    pub const ALL: [ErrorText; 22] = [
        ErrorText::UnknownOperation,
        ErrorText::AuthorizationViolation,
        ErrorText::AuthenticationTimeout,
        ErrorText::UserAuthenticationExpired,
        ErrorText::UserAuthenticationRevoked,
        ErrorText::AccountAuthenticationExpired,
        ErrorText::InvalidClientProtocol,
        ErrorText::NoRespondersRequiresHeaders,
        ErrorText::MaxControlLine,
        ErrorText::MaxPayload,
        ErrorText::MaxConnections,
        ErrorText::MaxAccountConnections,
        ErrorText::MaxSubscriptions,
        ErrorText::StaleConnection,
        ErrorText::TlsRequired,
        ErrorText::ConnectionThrottling,
        ErrorText::FailedAccountRegistration,
        ErrorText::InvalidSubject,
        ErrorText::InvalidPublishSubject,
        ErrorText::WrongPortRoute,
        ErrorText::WrongPortLeaf,
        ErrorText::WrongPortGateway,
    ];

    /// The text between the quotes.
    pub const fn text(self) -> &'static str {
        match self {
            ErrorText::UnknownOperation => "Unknown Protocol Operation",
            ErrorText::AuthorizationViolation => "Authorization Violation",
            ErrorText::AuthenticationTimeout => "Authentication Timeout",
            ErrorText::UserAuthenticationExpired => "User Authentication Expired",
            ErrorText::UserAuthenticationRevoked => "User Authentication Revoked",
            ErrorText::AccountAuthenticationExpired => "Account Authentication Expired",
            ErrorText::InvalidClientProtocol => "invalid client protocol",
            ErrorText::NoRespondersRequiresHeaders => "no responders requires headers support",
            ErrorText::MaxControlLine => "maximum control line exceeded",
            ErrorText::MaxPayload => "Maximum Payload Violation",
            ErrorText::MaxConnections => "maximum connections exceeded",
            ErrorText::MaxAccountConnections => "maximum account active connections exceeded",
            ErrorText::MaxSubscriptions => "maximum subscriptions exceeded",
            ErrorText::StaleConnection => "Stale Connection",
            ErrorText::TlsRequired => "Secure Connection - TLS Required",
            ErrorText::ConnectionThrottling => {
                "Connection throttling is active. Please try again later."
            }
            ErrorText::FailedAccountRegistration => "Failed Account Registration",
            ErrorText::InvalidSubject => "Invalid Subject",
            ErrorText::InvalidPublishSubject => "Invalid Publish Subject",
            ErrorText::WrongPortRoute => "attempted to connect to route port",
            ErrorText::WrongPortLeaf => "attempted to connect to leaf node port",
            ErrorText::WrongPortGateway => "attempted to connect to gateway port",
        }
    }

    /// Whether the connection is closed after it.
    ///
    /// [`ErrorText::MaxSubscriptions`] also closes when a changed limit, rather than a SUB, is
    /// the cause; that is the caller's to know.
    pub const fn closes(self) -> bool {
        !matches!(
            self,
            ErrorText::MaxSubscriptions
                | ErrorText::FailedAccountRegistration
                | ErrorText::InvalidSubject
                | ErrorText::InvalidPublishSubject
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_distinct_and_fit_one_quoted_line() {
        let mut seen = std::collections::HashSet::new();
        for error in ErrorText::ALL {
            assert!(seen.insert(error.text()), "{error:?} repeats a text");
            assert!(!error.text().contains(['\'', '\r', '\n']), "{error:?}");
        }
    }
}
