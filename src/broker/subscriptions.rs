//! The subscriptions of a core's own connections.

use std::collections::HashMap;

use super::frugal;
use super::sid::Sid;
use crate::subject::PatternId;

/// Index of a subscription of this core. Reused after removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubId(pub u32);

/// No subscription: ends a list.
pub const NO_SUB: u32 = u32::MAX;

/// Index of a queue name in [`super::interest::QueueNames`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct QueueId(pub u32);

/// A plain subscription belongs to no queue group.
pub const NO_QUEUE: QueueId = QueueId(0);

/// One subscription. 48 bytes: ten million of them must fit on a host.
pub struct Sub {
    /// Slot of the connection.
    pub conn: u32,
    pub pattern: PatternId,
    pub queue: QueueId,
    /// Neighbours in the list of the pattern's local subscriptions.
    pub next: u32,
    pub prev: u32,
    /// Ends after a number of deliveries, see [`Subscriptions::limit`].
    pub has_limit: bool,
    /// Deliveries are checked against the connection's deny rules.
    pub filtered: bool,
    /// Removed, but a route that is being delivered may still name it.
    pub dead: bool,
    /// Messages delivered since SUB.
    pub delivered: u64,
    pub sid: Sid,
}

/// A slab of subscriptions.
#[derive(Default)]
pub struct Subscriptions {
    slab: Vec<Sub>,
    free: Vec<u32>,
    limits: HashMap<SubId, u64>,
    long_sids: HashMap<SubId, Box<[u8]>>,
}

impl Subscriptions {
    /// Subscriptions that exist.
    pub fn len(&self) -> usize {
        self.slab.len() - self.free.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a subscription that is in no list yet.
    pub fn insert(
        &mut self,
        conn: u32,
        pattern: PatternId,
        queue: QueueId,
        sid: &[u8],
        filtered: bool,
    ) -> SubId {
        let inline = Sid::inline(sid);
        let sub = Sub {
            conn,
            pattern,
            queue,
            next: NO_SUB,
            prev: NO_SUB,
            has_limit: false,
            filtered,
            dead: false,
            delivered: 0,
            sid: inline.unwrap_or_else(Sid::long),
        };
        let id = match self.free.pop() {
            Some(id) => {
                self.slab[id as usize] = sub;
                SubId(id)
            }
            None => {
                frugal::push(&mut self.slab, sub);
                SubId(self.slab.len() as u32 - 1)
            }
        };
        if inline.is_none() {
            self.long_sids.insert(id, sid.into());
        }
        id
    }

    /// Forgets a subscription that is in no list any more.
    pub fn remove(&mut self, id: SubId) {
        let sub = &mut self.slab[id.0 as usize];
        debug_assert!(!sub.dead);
        sub.dead = true;
        if sub.has_limit {
            self.limits.remove(&id);
        }
        if sub.sid.as_bytes().is_none() {
            self.long_sids.remove(&id);
        }
        self.free.push(id.0);
    }

    #[inline]
    pub fn get(&self, id: SubId) -> &Sub {
        &self.slab[id.0 as usize]
    }

    #[inline]
    pub fn get_mut(&mut self, id: SubId) -> &mut Sub {
        &mut self.slab[id.0 as usize]
    }

    /// The sid as the client wrote it.
    #[inline]
    pub fn sid(&self, id: SubId) -> &[u8] {
        match self.get(id).sid.as_bytes() {
            Some(sid) => sid,
            None => self.long_sids.get(&id).map_or(&[], |sid| sid),
        }
    }

    /// Ends the subscription after `max` deliveries counted from SUB.
    pub fn set_limit(&mut self, id: SubId, max: u64) {
        self.get_mut(id).has_limit = true;
        self.limits.insert(id, max);
    }

    /// The number of deliveries after which it ends.
    pub fn limit(&self, id: SubId) -> Option<u64> {
        if self.get(id).has_limit {
            self.limits.get(&id).copied()
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_is_48_bytes() {
        assert_eq!(size_of::<Sub>(), 48);
    }

    #[test]
    fn long_sids_and_limits_leave_with_the_subscription() {
        let mut subs = Subscriptions::default();
        let long = b"a-sid-that-is-longer-than-fifteen-bytes";
        let id = subs.insert(1, PatternId(0), NO_QUEUE, long, false);
        subs.set_limit(id, 3);
        assert_eq!(subs.sid(id), long);
        assert_eq!(subs.limit(id), Some(3));
        subs.remove(id);
        let again = subs.insert(2, PatternId(0), NO_QUEUE, b"7", false);
        assert_eq!(again, id);
        assert_eq!(subs.sid(again), b"7");
        assert_eq!(subs.limit(again), None);
        assert_eq!(subs.len(), 1);
    }
}
