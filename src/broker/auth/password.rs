//! Passwords and tokens as a configuration holds them, and their comparison.

use std::fmt;
use std::hint::black_box;
use std::sync::Arc;

use super::Identity;

/// Bytes of a password that bcrypt takes into account.
const BCRYPT_PASSWORD_BYTES: usize = 72;

/// A configured password or token.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Password {
    Plain(Box<str>),
    /// Shared, because each job takes a reference to another thread.
    Bcrypt(Arc<str>),
}

/// The answer to a password, as far as it can be given on the spot.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    Different,
    /// To be settled by hashing.
    Hash(Arc<str>),
}

impl Password {
    /// Tells a hash from plain text as nats-server does: by `$2a$NN$`, where the
    /// letter may be `a`, `b`, `x` or `y` and the Ns are digits.
    pub fn new(text: &str) -> Self {
        let is_hash = matches!(
            text.as_bytes(),
            [b'$', b'2', b'a' | b'b' | b'x' | b'y', b'$', tens, ones, b'$', ..]
                if tens.is_ascii_digit() && ones.is_ascii_digit()
        );
        if is_hash {
            Self::Bcrypt(text.into())
        } else {
            Self::Plain(text.into())
        }
    }

    /// Compares in a time that depends on nothing but the lengths.
    pub fn compare(&self, given: &str) -> Comparison {
        match self {
            Self::Plain(text) if equal_in_constant_time(text.as_bytes(), given.as_bytes()) => {
                Comparison::Equal
            }
            Self::Plain(_) => Comparison::Different,
            Self::Bcrypt(hash) => Comparison::Hash(Arc::clone(hash)),
        }
    }

    pub fn is_plain(&self) -> bool {
        matches!(self, Self::Plain(_))
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain(_) => "Plain([REDACTED])",
            Self::Bcrypt(_) => "Bcrypt([REDACTED])",
        })
    }
}

/// Whether the strings are equal; how long it takes depends on their lengths only.
fn equal_in_constant_time(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let difference = a
        .iter()
        .zip(b)
        .fold(0, |difference, (a, b)| black_box(difference | (a ^ b)));
    difference == 0
}

/// The check of a password against a bcrypt hash: milliseconds to seconds of
/// computing, by the cost that the hash states, and so nothing for a data core.
pub struct PasswordJob {
    hash: Arc<str>,
    /// No more of it than bcrypt uses.
    password: Box<[u8]>,
    identity: Arc<Identity>,
}

impl PasswordJob {
    pub(super) fn new(hash: Arc<str>, password: &str, identity: Arc<Identity>) -> Self {
        let password = password.as_bytes();
        let used = password.len().min(BCRYPT_PASSWORD_BYTES);
        Self {
            hash,
            password: password[..used].into(),
            identity,
        }
    }

    /// Whether the password is right. Blocks for as long as the hash demands.
    ///
    /// A hash that is malformed, or whose cost is not 4 to 31, fits no password.
    pub fn run(&self) -> bool {
        bcrypt::verify(&self.password, &self.hash).unwrap_or(false)
    }

    /// Who connects if the password is right.
    pub fn identity(&self) -> &Arc<Identity> {
        &self.identity
    }
}

impl fmt::Debug for PasswordJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordJob")
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn is_hash(text: &str) -> bool {
        !Password::new(text).is_plain()
    }

    #[test]
    fn hashes_are_told_by_their_prefix() {
        for text in ["$2a$10$bad", "$2b$04$", "$2x$31$x", "$2y$99$x"] {
            assert!(is_hash(text), "{text}");
        }
        for text in ["", "$2z$04$abc", "$2a$4$x", "$2a$10", "x$2a$10$", "$2a$1x$"] {
            assert!(!is_hash(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn constant_time_equality_is_equality(a in "[ab]{0,4}", b in "[ab]{0,4}") {
            prop_assert_eq!(equal_in_constant_time(a.as_bytes(), b.as_bytes()), a == b);
        }
    }
}
