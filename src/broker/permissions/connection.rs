//! What one connection may do, and what it remembers about that.

use std::sync::Arc;
use std::time::Duration;

use super::{Permissions, PublishCache, ResponseLimits, ResponseTracker, SubscribeVerdict};

/// The permissions of one connection.
///
/// A connection whose user has no permissions needs none of this. When the
/// permissions change, make a new one.
#[derive(Debug)]
pub struct ConnectionPermissions {
    permissions: Arc<Permissions>,
    cache: PublishCache,
    responses: Option<ResponseTracker>,
}

impl ConnectionPermissions {
    /// The state of a connection that has published and received nothing yet.
    pub fn new(permissions: Arc<Permissions>, limits: ResponseLimits) -> Self {
        let responses = permissions
            .responses()
            .map(|rule| ResponseTracker::new(rule, limits));
        Self {
            permissions,
            cache: PublishCache::default(),
            responses,
        }
    }

    /// The compiled rules.
    pub fn permissions(&self) -> &Arc<Permissions> {
        &self.permissions
    }

    /// Whether a message to `subject` may be published at `now`; uses up a
    /// granted reply if only that permits it.
    ///
    /// `now` as for [`ResponseTracker`].
    pub fn may_publish(&mut self, subject: &[u8], now: Duration) -> bool {
        self.is_listed(subject)
            || self
                .responses
                .as_mut()
                .is_some_and(|responses| responses.try_use(subject, now))
    }

    /// Notes that a message was delivered to this connection at `now`, which
    /// may grant replies to its reply subject.
    pub fn delivered(&mut self, reply: &[u8], now: Duration) {
        if self.responses.is_none() || self.is_listed(reply) {
            return;
        }
        if let Some(responses) = &mut self.responses {
            responses.grant(reply, now);
        }
    }

    /// Whether deliveries with a reply subject have to be told to
    /// [`Self::delivered`]; otherwise that call does nothing.
    pub fn tracks_responses(&self) -> bool {
        self.responses.is_some()
    }

    /// See [`Permissions::can_subscribe`].
    pub fn can_subscribe(&self, subject: &[u8], queue: Option<&[u8]>) -> SubscribeVerdict {
        self.permissions.can_subscribe(subject, queue)
    }

    /// See [`Permissions::can_deliver`].
    pub fn can_deliver(&self, subject: &[u8], queue: Option<&[u8]>) -> bool {
        self.permissions.can_deliver(subject, queue)
    }

    fn is_listed(&mut self, subject: &[u8]) -> bool {
        self.permissions.publishes_freely() || self.cache.can_publish(&self.permissions, subject)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::permissions::{PermissionRules, ResponseRule, SubjectRules};

    fn connection(allow: Option<&str>, deny: &[&str], max: i64) -> ConnectionPermissions {
        let rules = PermissionRules {
            publish: Some(SubjectRules {
                allow: allow.map(|allow| vec![allow.to_owned()]),
                deny: deny.iter().map(|&deny| deny.to_owned()).collect(),
            }),
            subscribe: None,
            allow_responses: Some(ResponseRule {
                max,
                expires_nanos: 1_000_000_000,
            }),
        };
        let permissions = Arc::new(Permissions::new(&rules).unwrap());
        ConnectionPermissions::new(permissions, ResponseLimits::default())
    }

    const NOW: Duration = Duration::from_secs(5);

    #[test]
    fn without_an_allow_list_only_replies_may_be_published() {
        let mut connection = connection(None, &[], 1);
        assert!(!connection.may_publish(b"inbox.1", NOW));
        connection.delivered(b"inbox.1", NOW);
        assert!(connection.may_publish(b"inbox.1", NOW));
        assert!(!connection.may_publish(b"inbox.1", NOW));
        assert!(!connection.may_publish(b"other", NOW));
    }

    #[test]
    fn a_granted_reply_is_literal_and_beats_deny() {
        let mut connection = connection(Some("ok"), &["inbox.bad"], 2);
        connection.delivered(b"inbox.bad", NOW);
        connection.delivered(b"inbox.*", NOW);
        assert!(connection.may_publish(b"inbox.bad", NOW));
        assert!(connection.may_publish(b"inbox.*", NOW));
        assert!(!connection.may_publish(b"inbox.a", NOW));
    }

    #[test]
    fn what_is_permitted_anyway_uses_up_no_grant() {
        let mut connection = connection(Some("ok"), &[], 1);
        connection.delivered(b"ok", NOW);
        assert!(
            connection
                .responses
                .as_ref()
                .is_some_and(ResponseTracker::is_empty)
        );
        for _ in 0..5 {
            assert!(connection.may_publish(b"ok", NOW));
        }
    }

    #[test]
    fn a_grant_ends_with_its_time() {
        let mut connection = connection(None, &[], -1);
        connection.delivered(b"r", NOW);
        assert!(connection.may_publish(b"r", NOW + Duration::from_secs(1)));
        assert!(!connection.may_publish(b"r", NOW + Duration::from_millis(1001)));
    }
}
