//! What a user may publish and subscribe to.
//!
//! [`PermissionRules`] is what a configuration says; [`Permissions`] is the same
//! compiled, immutable, shared by all connections of a user on all cores;
//! [`ConnectionPermissions`] adds what one connection remembers: decisions taken
//! before and replies granted.
//!
//! The evaluation was read off nats-server 2.15.1 over a socket:
//!
//! - No allow list, or an empty one, permits everything. Deny beats allow.
//! - A subscription's subject is compared with the rules as text, so that `>`
//!   passes as one token: allow `a.*` accepts `SUB a.>`, deny `a.*` refuses it.
//! - A subscription that matches more than it may see is accepted, and each
//!   message is checked at delivery.
//! - If a rule names the queue of a subject (`"foo v1"`), then in an allow list
//!   the rules with queues alone decide about queue subscriptions to it; in a
//!   deny list they refuse these queues besides what plain rules refuse.
//! - With `allow_responses`, nothing but replies may be published unless a
//!   publish allow list says so. A granted reply beats a deny rule.
//!
//! Two deliberate differences:
//!
//! - nats-server, having accepted `SUB a.>` for allow `a.*`, delivers `a.b.c`,
//!   which no rule permits. Here it is accepted, too, but only what the allow
//!   list permits is delivered.
//! - nats-server takes one reply *off* a grant when the same reply subject comes
//!   with another message; here each delivered message adds its replies.

mod cache;
mod connection;
mod responses;
mod rule_set;
mod rules;

pub use cache::{PUBLISH_CACHE_SLOTS, PUBLISH_CACHE_SUBJECT_BYTES, PublishCache};
pub use connection::ConnectionPermissions;
pub use responses::{
    MAX_RESPONSE_GRANT_BYTES, MAX_RESPONSE_GRANTS, ResponseLimits, ResponseTracker,
};
pub use rules::{
    DEFAULT_RESPONSE_EXPIRES_NANOS, DEFAULT_RESPONSE_MAX, PermissionRules, ResponseRule, RuleError,
    SubjectRules,
};

use rule_set::RuleSet;
use rules::Entry;

use crate::subject;

/// The compiled permissions of a user.
#[derive(Debug)]
pub struct Permissions {
    publish: Direction,
    subscribe: Direction,
    responses: Option<ResponseRule>,
}

/// The lists of one direction; an absent list says nothing.
#[derive(Debug)]
struct Direction {
    allow: Option<RuleSet>,
    deny: Option<RuleSet>,
}

/// The answer to a SUB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubscribeVerdict {
    /// Refused: a permissions violation, the connection stays open.
    Denied,
    /// Accepted; no message that matches it needs a check.
    Allowed,
    /// Accepted, but [`Permissions::can_deliver`] must be asked for each message.
    AllowedFiltered,
}

impl Permissions {
    /// Compiles rules, filling in the defaults of `allow_responses`.
    ///
    /// # Errors
    /// If an entry is not a subject, or not a subject and a queue.
    pub fn new(rules: &PermissionRules) -> Result<Self, RuleError> {
        let mut publish = Direction::new(rules.publish.as_ref(), Entry::publish)?;
        let subscribe = Direction::new(rules.subscribe.as_ref(), Entry::subscribe)?;
        let responses = rules.allow_responses.map(ResponseRule::with_defaults);
        if responses.is_some() && publish.allow.is_none() {
            // An empty list: replies are all that may be published.
            publish.allow = Some(RuleSet::new(&[], Entry::publish)?);
        }
        Ok(Self {
            publish,
            subscribe,
            responses,
        })
    }

    /// Whether a message to `subject` may be published, granted replies aside.
    ///
    /// Evaluates the rules anew; [`PublishCache`] remembers.
    pub fn can_publish(&self, subject: &[u8]) -> bool {
        let Direction { allow, deny } = &self.publish;
        allow
            .as_ref()
            .is_none_or(|allow| allow.find(subject, None).plain)
            && !deny
                .as_ref()
                .is_some_and(|deny| deny.find(subject, None).plain)
    }

    /// Whether `SUB subject [queue]` is accepted.
    ///
    /// To be asked before the subject is validated: nats-server reports a
    /// violation even for an invalid subject that the rules do not permit.
    pub fn can_subscribe(&self, subject: &[u8], queue: Option<&[u8]>) -> SubscribeVerdict {
        let Direction { allow, deny } = &self.subscribe;
        let admitted = allow.as_ref().is_none_or(|allow| {
            let findings = allow.find(subject, queue);
            if queue.is_some() && findings.any_queue {
                findings.this_queue
            } else {
                findings.plain
            }
        });
        if !admitted || self.is_denied(subject, queue) {
            return SubscribeVerdict::Denied;
        }
        let sees_too_much = !subject::is_literal(subject)
            && (allow
                .as_ref()
                .is_some_and(|allow| !allow.covers(subject, queue))
                || deny
                    .as_ref()
                    .is_some_and(|deny| deny.touches(subject, queue)));
        if sees_too_much {
            SubscribeVerdict::AllowedFiltered
        } else {
            SubscribeVerdict::Allowed
        }
    }

    /// Whether a message to `subject` may be delivered to a subscription that
    /// was [accepted with a filter](SubscribeVerdict::AllowedFiltered).
    pub fn can_deliver(&self, subject: &[u8], queue: Option<&[u8]>) -> bool {
        // Unlike for SUB, a plain rule counts even where another names queues:
        // it may be the one by which the subscription was accepted.
        let permitted = self.subscribe.allow.as_ref().is_none_or(|allow| {
            let findings = allow.find(subject, queue);
            findings.plain || findings.this_queue
        });
        permitted && !self.is_denied(subject, queue)
    }

    fn is_denied(&self, subject: &[u8], queue: Option<&[u8]>) -> bool {
        self.subscribe.deny.as_ref().is_some_and(|deny| {
            let findings = deny.find(subject, queue);
            findings.plain || findings.this_queue
        })
    }

    /// Whether publishing is free of any rule, so that nothing needs a check.
    pub fn publishes_freely(&self) -> bool {
        self.publish.allow.is_none() && self.publish.deny.is_none()
    }

    /// The rule for replies to delivered messages, defaults filled in.
    pub fn responses(&self) -> Option<ResponseRule> {
        self.responses
    }

    /// The rules in their normal form, as `$SYS.REQ.USER.INFO` shows them:
    /// empty lists absent, entries with single spaces, defaults filled in.
    pub fn rules(&self) -> PermissionRules {
        PermissionRules {
            publish: Some(self.publish.rules()),
            subscribe: Some(self.subscribe.rules()),
            allow_responses: self.responses,
        }
    }
}

impl Direction {
    fn new<'a>(
        rules: Option<&'a SubjectRules>,
        parse: impl Fn(&'a str) -> Result<Entry<'a>, RuleError>,
    ) -> Result<Self, RuleError> {
        let compile = |list: &'a [String]| match list {
            [] => Ok(None),
            list => RuleSet::new(list, &parse).map(Some),
        };
        let (allow, deny) = rules.map_or((&[][..], &[][..]), |rules| {
            (rules.allow.as_deref().unwrap_or(&[]), &rules.deny[..])
        });
        Ok(Self {
            allow: compile(allow)?,
            deny: compile(deny)?,
        })
    }

    fn rules(&self) -> SubjectRules {
        let texts = |list: &Option<RuleSet>| -> Vec<String> {
            list.iter().flat_map(RuleSet::texts).collect()
        };
        let allow = texts(&self.allow);
        SubjectRules {
            allow: (!allow.is_empty()).then_some(allow),
            deny: texts(&self.deny),
        }
    }
}

#[cfg(test)]
mod observed_tests;
#[cfg(test)]
mod property_tests;
