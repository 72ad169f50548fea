//! Permissions as a configuration states them, and the parsing of one entry.
//!
//! The forms and the error texts are those of nats-server's configuration; the
//! defaults are those it shows for such a user in `$SYS.REQ.USER.INFO`.

use std::fmt;

use crate::subject;

/// Replies that one delivered message permits if `max` is 0 or not given.
pub const DEFAULT_RESPONSE_MAX: i64 = 1;

/// How long replies to one message are permitted if `expires` is 0 or not
/// given, in nanoseconds: two minutes.
pub const DEFAULT_RESPONSE_EXPIRES_NANOS: i64 = 120_000_000_000;

/// What a user may do. The default permits everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PermissionRules {
    /// Subjects to publish to; `None` permits all of them.
    pub publish: Option<SubjectRules>,
    /// Subjects to subscribe to; `None` permits all of them.
    pub subscribe: Option<SubjectRules>,
    /// Whether replies to delivered messages are permitted beyond `publish`.
    pub allow_responses: Option<ResponseRule>,
}

/// Subjects permitted and refused, for one direction.
///
/// An entry is a subject with or without wildcards; for `subscribe` also
/// `"subject queue"`, which speaks of one queue group (or of several, since the
/// queue may hold wildcards, too).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SubjectRules {
    /// Absent or empty permits everything, as in nats-server.
    pub allow: Option<Vec<String>>,
    /// Beats `allow`.
    pub deny: Vec<String>,
}

/// How many replies each delivered message permits, and for how long.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ResponseRule {
    /// Replies to one message; 0 stands for [`DEFAULT_RESPONSE_MAX`], a
    /// negative number for no limit.
    pub max: i64,
    /// Nanoseconds from the delivery; 0 stands for
    /// [`DEFAULT_RESPONSE_EXPIRES_NANOS`], a negative number for no limit.
    pub expires_nanos: i64,
}

impl ResponseRule {
    /// The same rule with the defaults filled in.
    pub fn with_defaults(self) -> Self {
        let or_default = |value, default| if value == 0 { default } else { value };
        Self {
            max: or_default(self.max, DEFAULT_RESPONSE_MAX),
            expires_nanos: or_default(self.expires_nanos, DEFAULT_RESPONSE_EXPIRES_NANOS),
        }
    }
}

/// Why an entry is no permission. The texts are nats-server's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleError {
    /// The subject has an empty token, a `>` that is not last, or white space.
    Subject {
        /// The entry as it was given.
        entry: String,
    },
    /// The queue of a `"subject queue"` entry is not formed like a subject.
    Queue {
        /// The queue part of the entry.
        queue: String,
    },
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subject { entry } => write!(f, "subject {entry:?} is not a valid subject"),
            Self::Queue { queue } => write!(f, "queue {queue:?} is not a valid queue"),
        }
    }
}

impl std::error::Error for RuleError {}

/// One entry of an allow or deny list, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub subject: &'a str,
    pub queue: Option<&'a str>,
}

impl<'a> Entry<'a> {
    /// Parses an entry of a publish list, which knows no queues.
    pub fn publish(text: &'a str) -> Result<Self, RuleError> {
        match Self::split(text) {
            Some((subject, None)) => Ok(Self {
                subject,
                queue: None,
            }),
            _ => Err(Self::refused(text)),
        }
    }

    /// Parses an entry of a subscribe list: a subject, or a subject and a queue.
    pub fn subscribe(text: &'a str) -> Result<Self, RuleError> {
        let (subject, queue) = Self::split(text).ok_or_else(|| Self::refused(text))?;
        match queue {
            Some(queue) if !subject::is_valid_subscription(queue.as_bytes()) => {
                Err(RuleError::Queue {
                    queue: queue.to_owned(),
                })
            }
            _ => Ok(Self { subject, queue }),
        }
    }

    /// The one or two words of the text; `None` if the first is no subject, or
    /// if there are more.
    fn split(text: &'a str) -> Option<(&'a str, Option<&'a str>)> {
        let mut words = text.split_ascii_whitespace();
        let (subject, queue) = (words.next()?, words.next());
        let valid = words.next().is_none() && subject::is_valid_subscription(subject.as_bytes());
        valid.then_some((subject, queue))
    }

    fn refused(text: &str) -> RuleError {
        RuleError::Subject {
            entry: text.to_owned(),
        }
    }
}

impl fmt::Display for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.queue {
            Some(queue) => write!(f, "{} {queue}", self.subject),
            None => f.write_str(self.subject),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_a_subject_and_perhaps_a_queue() {
        let entry = Entry::subscribe("  foo.>   v1.*\t").unwrap();
        assert_eq!((entry.subject, entry.queue), ("foo.>", Some("v1.*")));
        assert_eq!(entry.to_string(), "foo.> v1.*");
        assert_eq!(Entry::subscribe("foo*").unwrap().queue, None);
    }

    #[test]
    fn errors_read_as_those_of_nats_server() {
        let text = |result: Result<Entry<'_>, RuleError>| result.unwrap_err().to_string();
        for entry in ["a..b", "a b c", "a.>.b", ""] {
            let expected = format!("subject \"{entry}\" is not a valid subject");
            assert_eq!(text(Entry::subscribe(entry)), expected);
        }
        assert_eq!(
            text(Entry::subscribe("foo v..1")),
            "queue \"v..1\" is not a valid queue"
        );
        assert_eq!(
            text(Entry::publish("foo q")),
            "subject \"foo q\" is not a valid subject"
        );
    }

    #[test]
    fn zero_stands_for_the_default_and_a_negative_number_stays() {
        assert_eq!(
            ResponseRule::default().with_defaults(),
            ResponseRule {
                max: 1,
                expires_nanos: 120_000_000_000
            }
        );
        let unlimited = ResponseRule {
            max: -5,
            expires_nanos: -1,
        };
        assert_eq!(unlimited.with_defaults(), unlimited);
    }
}
