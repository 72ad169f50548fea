//! Tokens of a subject and what makes a subject valid.

use std::iter::FusedIterator;

/// The byte between two tokens.
pub const SEPARATOR: u8 = b'.';

/// The token of a pattern that stands for any one token.
pub const WILDCARD: &[u8] = b"*";

/// The last token of a pattern that stands for one or more tokens.
pub const TAIL: &[u8] = b">";

/// Splits a subject at its separators.
///
/// An invalid subject gives its empty tokens as they are: `a..b` has three
/// tokens, `a.` two, and the empty subject one.
pub fn tokens(subject: &[u8]) -> Tokens<'_> {
    Tokens {
        rest: Some(subject),
    }
}

/// Iterator over the tokens of a subject, made by [`tokens`].
#[derive(Clone, Debug)]
pub struct Tokens<'a> {
    /// What follows the last separator passed; `None` after the last token.
    rest: Option<&'a [u8]>,
}

impl<'a> Tokens<'a> {
    /// The part of the subject that was not yet iterated; `None` at the end.
    pub fn rest(&self) -> Option<&'a [u8]> {
        self.rest
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        match memchr::memchr(SEPARATOR, rest) {
            Some(end) => {
                self.rest = Some(&rest[end + 1..]);
                Some(&rest[..end])
            }
            None => {
                self.rest = None;
                Some(rest)
            }
        }
    }
}

impl FusedIterator for Tokens<'_> {}

/// Number of tokens; one for a subject without a separator.
pub fn token_count(subject: &[u8]) -> usize {
    memchr::memchr_iter(SEPARATOR, subject).count() + 1
}

/// Whether a message published to `subject` can reach anybody: no token is empty.
///
/// nats-server accepts a publish to an invalid subject and delivers it to
/// nobody; a pedantic client also gets an error, and gets it as well for a
/// subject that is not [literal](is_literal), which is delivered nevertheless.
pub fn is_valid_publish(subject: &[u8]) -> bool {
    // The byte before the first token counts as a separator, as does the one after the last.
    let mut after_separator = true;
    for &byte in subject {
        let separator = byte == SEPARATOR;
        if separator && after_separator {
            return false;
        }
        after_separator = separator;
    }
    !after_separator
}

/// Whether `pattern` may be subscribed to: no token is empty, and `>` is last.
pub fn is_valid_subscription(pattern: &[u8]) -> bool {
    let mut tail_passed = false;
    tokens(pattern).all(|token| {
        let valid = !token.is_empty() && !tail_passed;
        tail_passed = token == TAIL;
        valid
    })
}

/// Whether `subject` has no wildcard token, so that as a pattern it matches only itself.
pub fn is_literal(subject: &[u8]) -> bool {
    // Most subjects have neither byte anywhere: one vectorised scan decides.
    memchr::memchr2(WILDCARD[0], TAIL[0], subject).is_none()
        || tokens(subject).all(|token| token != WILDCARD && token != TAIL)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Accepted by nats-server 2.15.1 in SUB.
    const VALID_PATTERNS: [&[u8]; 18] = [
        b"foo",
        b"foo*",
        b"*foo",
        b"foo>",
        b">foo",
        b"foo>.b",
        b">",
        b"*",
        b"*.>",
        b"*.*",
        b"**",
        b">>",
        b"foo.**",
        b"f\0o",
        b"f\xff.\x01",
        b"a.>x.b",
        b"a.*x.b",
        "zürich.東京".as_bytes(),
    ];

    /// Refused by nats-server 2.15.1 with 'Invalid Subject'.
    const INVALID_PATTERNS: [&[u8]; 9] = [
        b"",
        b".",
        b"..",
        b".foo",
        b"foo.",
        b"foo..bar",
        b"foo.>.bar",
        b"foo.>.>",
        b">.foo",
    ];

    #[test]
    fn patterns_are_accepted_and_refused_as_nats_server_does() {
        for pattern in VALID_PATTERNS {
            assert!(is_valid_subscription(pattern), "{}", pattern.escape_ascii());
        }
        for pattern in INVALID_PATTERNS {
            assert!(
                !is_valid_subscription(pattern),
                "{}",
                pattern.escape_ascii()
            );
        }
    }

    #[test]
    fn only_empty_tokens_make_a_publish_unreachable() {
        for subject in VALID_PATTERNS {
            assert!(is_valid_publish(subject), "{}", subject.escape_ascii());
        }
        for subject in [b"foo.>.bar" as &[u8], b"foo.>.>", b">.foo"] {
            assert!(is_valid_publish(subject), "{}", subject.escape_ascii());
        }
        for subject in [b"" as &[u8], b".", b"..", b".a", b"a.", b"a..b", b"a.b.."] {
            assert!(!is_valid_publish(subject), "{}", subject.escape_ascii());
        }
    }

    #[test]
    fn wildcards_are_whole_tokens() {
        for literal in [b"foo" as &[u8], b"foo*", b">foo.b*", b"**", b">>.*>"] {
            assert!(is_literal(literal), "{}", literal.escape_ascii());
        }
        for pattern in [b"*" as &[u8], b">", b"a.*", b"*.a", b"a.>", b"a*.*.b"] {
            assert!(!is_literal(pattern), "{}", pattern.escape_ascii());
        }
    }

    #[test]
    fn tokens_keep_empty_ones() {
        let split = |subject: &'static [u8]| tokens(subject).collect::<Vec<_>>();
        assert_eq!(split(b"a.bc.d"), [b"a" as &[u8], b"bc", b"d"]);
        assert_eq!(split(b"a..b"), [b"a" as &[u8], b"", b"b"]);
        assert_eq!(split(b"a."), [b"a" as &[u8], b""]);
        assert_eq!(split(b""), [b"" as &[u8]]);
        for subject in [b"a.bc.d" as &[u8], b"a..b", b"a.", b"", b"abc"] {
            assert_eq!(token_count(subject), tokens(subject).count());
        }
    }
}
