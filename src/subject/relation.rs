//! How two subjects relate: a pattern matches a literal, contains another
//! pattern, or shares a literal with it.
//!
//! All three walk both subjects once, token by token. Patterns are expected to
//! be [valid subscriptions](super::is_valid_subscription); for others the answer
//! is unspecified.

use super::token::{TAIL, WILDCARD, is_valid_publish, tokens};

/// Whether a message published to `literal` is one for `pattern`.
///
/// On the side of the literal `*` and `>` are text. A literal with an empty
/// token is matched by nothing.
pub fn matches(pattern: &[u8], literal: &[u8]) -> bool {
    let mut names = tokens(literal);
    for token in tokens(pattern) {
        if token == TAIL {
            return names.rest().is_some_and(is_valid_publish);
        }
        let Some(name) = names.next() else {
            return false;
        };
        let matched = if token == WILDCARD {
            !name.is_empty()
        } else {
            token == name
        };
        if !matched {
            return false;
        }
    }
    names.next().is_none()
}

/// Whether every literal that `inner` matches is matched by `outer`, too.
pub fn is_subset(inner: &[u8], outer: &[u8]) -> bool {
    let mut inner = tokens(inner);
    for allowed in tokens(outer) {
        let Some(asked) = inner.next() else {
            return false;
        };
        if allowed == TAIL {
            return true;
        }
        // A wildcard asked for where a name is allowed differs from it as text.
        let contained = if allowed == WILDCARD {
            asked != TAIL
        } else {
            asked == allowed
        };
        if !contained {
            return false;
        }
    }
    inner.next().is_none()
}

/// Whether some literal is matched by both patterns.
pub fn overlaps(a: &[u8], b: &[u8]) -> bool {
    let (mut a, mut b) = (tokens(a), tokens(b));
    loop {
        match (a.next(), b.next()) {
            (None, None) => return true,
            (None, Some(_)) | (Some(_), None) => return false,
            (Some(x), Some(y)) => {
                if x == TAIL || y == TAIL {
                    return true;
                }
                if x != y && x != WILDCARD && y != WILDCARD {
                    return false;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subject::is_valid_subscription;

    /// Every subject of one to `depth` tokens drawn from `names`.
    fn enumerate(names: &[&str], depth: usize) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        let mut longest: Vec<String> = vec![String::new()];
        for _ in 0..depth {
            longest = longest
                .iter()
                .flat_map(|head| {
                    names.iter().map(move |name| match head.as_str() {
                        "" => (*name).to_owned(),
                        head => format!("{head}.{name}"),
                    })
                })
                .collect();
            all.extend_from_slice(&longest);
        }
        all
    }

    #[test]
    fn matching_as_observed_on_nats_server() {
        // Published subject, patterns of the list below that received it.
        let patterns = [
            ">",
            "*.>",
            "foo.*",
            "foo.>",
            "foo.*.bar",
            "foo",
            "foo>.b",
            "*",
            "foo*",
        ];
        let observed: [(&str, &[&str]); 17] = [
            ("foo", &[">", "foo", "*"]),
            ("foo.*", &[">", "*.>", "foo.*", "foo.>"]),
            ("foo.>", &[">", "*.>", "foo.*", "foo.>"]),
            ("foo..bar", &[]),
            (".foo", &[]),
            ("foo.", &[]),
            ("foo.x.bar", &[">", "*.>", "foo.>", "foo.*.bar"]),
            ("foo.>.bar", &[">", "*.>", "foo.>", "foo.*.bar"]),
            ("*", &[">", "*"]),
            (">", &[">", "*"]),
            ("foo>.b", &[">", "*.>", "foo>.b"]),
            ("foo*", &[">", "*", "foo*"]),
            ("fooo", &[">", "*"]),
            ("FOO", &[">", "*"]),
            ("..", &[]),
            (".", &[]),
            ("foo.x..y", &[]),
        ];
        for (subject, expected) in observed {
            let matched: Vec<_> = patterns
                .into_iter()
                .filter(|pattern| matches(pattern.as_bytes(), subject.as_bytes()))
                .collect();
            assert_eq!(matched, expected, "{subject}");
        }
    }

    /// Three names on the literal side: one more than patterns use, so that a
    /// wildcard is told from the set of names that patterns can spell. Literals
    /// go one token deeper than patterns, for `>`.
    #[test]
    fn subset_and_overlap_agree_with_enumeration() {
        let literals = enumerate(&["a", "b", "c"], 4);
        let patterns: Vec<_> = enumerate(&["a", "b", "*", ">"], 3)
            .into_iter()
            .filter(|pattern| is_valid_subscription(pattern.as_bytes()))
            .collect();
        let matched: Vec<Vec<bool>> = patterns
            .iter()
            .map(|pattern| {
                literals
                    .iter()
                    .map(|literal| matches(pattern.as_bytes(), literal.as_bytes()))
                    .collect()
            })
            .collect();
        for (a, in_a) in patterns.iter().zip(&matched) {
            for (b, in_b) in patterns.iter().zip(&matched) {
                let mut both = in_a.iter().zip(in_b);
                let subset = both.clone().all(|(&a, &b)| !a || b);
                let shared = both.any(|(&a, &b)| a && b);
                assert_eq!(is_subset(a.as_bytes(), b.as_bytes()), subset, "{a} in {b}");
                assert_eq!(overlaps(a.as_bytes(), b.as_bytes()), shared, "{a} and {b}");
            }
        }
    }
}
