//! Who wants what: an account's patterns, with this core's subscriptions and
//! the other cores' interest attached to each.

use std::collections::HashMap;
use std::sync::Arc;

use super::accounts::Links;
use super::core::CoreId;
use super::cross::RESPONSES;
use super::frugal;
use super::subscriptions::{NO_QUEUE, NO_SUB, QueueId, SubId, Subscriptions};
use crate::subject::{Index, IndexFull, PatternId};

/// Ends a list of [`Share`]s.
const NO_SHARE: u32 = u32::MAX;

/// Names of queue groups, interned per core: comparing two is comparing two numbers.
#[derive(Default)]
pub struct QueueNames {
    /// Index 0 is [`NO_QUEUE`].
    names: Vec<(Box<[u8]>, u32)>,
    ids: HashMap<Box<[u8]>, QueueId>,
    free: Vec<QueueId>,
}

impl QueueNames {
    /// The id of `name`, counted up by one use.
    pub fn acquire(&mut self, name: &[u8]) -> QueueId {
        if name.is_empty() {
            return NO_QUEUE;
        }
        if self.names.is_empty() {
            self.names.push((Box::default(), 0));
        }
        if let Some(&id) = self.ids.get(name) {
            self.names[id.0 as usize].1 += 1;
            return id;
        }
        let id = match self.free.pop() {
            Some(id) => {
                self.names[id.0 as usize] = (name.into(), 1);
                id
            }
            None => {
                self.names.push((name.into(), 1));
                QueueId(self.names.len() as u32 - 1)
            }
        };
        self.ids.insert(name.into(), id);
        id
    }

    /// The id of `name`, if anything uses it.
    pub fn find(&self, name: &[u8]) -> Option<QueueId> {
        self.ids.get(name).copied()
    }

    /// Ends one use.
    pub fn release(&mut self, id: QueueId) {
        if id == NO_QUEUE {
            return;
        }
        let (name, uses) = &mut self.names[id.0 as usize];
        *uses -= 1;
        if *uses == 0 {
            self.ids.remove(name);
            *name = Box::default();
            self.free.push(id);
        }
    }

    /// The name; empty for [`NO_QUEUE`].
    pub fn name(&self, id: QueueId) -> &[u8] {
        self.names.get(id.0 as usize).map_or(&[], |(name, _)| name)
    }
}

/// How many members one core has in a queue group of one pattern (or, without
/// a queue, that another core has plain interest).
#[derive(Clone, Copy)]
struct Share {
    core: CoreId,
    queue: QueueId,
    count: u32,
    next: u32,
}

/// What hangs on one pattern.
#[derive(Clone, Copy)]
struct PatternState {
    /// First of this core's subscriptions.
    local: u32,
    /// Number of this core's plain subscriptions.
    plain: u32,
    /// First of the shares: other cores' interest, and this core's queue groups.
    shares: u32,
}

const UNUSED: PatternState = PatternState {
    local: NO_SUB,
    plain: 0,
    shares: NO_SHARE,
};

/// A change of this core's interest that the other cores must learn.
#[derive(Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Members now (0: none left). Without a queue only 0 and 1 are used.
    pub weight: u32,
}

/// One account's interest on one core.
pub struct Account {
    pub name: Box<str>,
    /// What crosses its boundary.
    pub links: Arc<Links>,
    index: Index,
    patterns: Vec<PatternState>,
    shares: Vec<Share>,
    free_shares: Vec<u32>,
    /// Goes up whenever a wildcard pattern's interest changes: cached routes of
    /// an older generation are void. (A change on a literal pattern voids only
    /// the route of that subject.)
    pub generation: u64,
}

/// What a walk over the matches of a subject meets.
pub enum Target {
    /// Subscribed for the responses of requests that crossed into this account.
    Responses,
    Local(SubId),
    LocalMember(SubId, QueueId),
    Core(CoreId),
    CoreMembers(CoreId, QueueId, u32),
}

impl Account {
    /// An account without interest; `seed` keys the index's hash.
    pub fn new(name: &str, seed: u64) -> Self {
        Self {
            name: name.into(),
            links: Arc::default(),
            index: Index::with_seed(seed),
            patterns: Vec::new(),
            shares: Vec::new(),
            free_shares: Vec::new(),
            generation: 0,
        }
    }

    /// Whether messages may cross into other accounts.
    pub fn has_links(&self) -> bool {
        !self.links.streams.is_empty() || !self.links.services.is_empty()
    }

    /// The index, for figures.
    pub fn index(&self) -> &Index {
        &self.index
    }

    fn state(&mut self, id: PatternId) -> &mut PatternState {
        let at = id.0 as usize;
        while at >= self.patterns.len() {
            frugal::push(&mut self.patterns, UNUSED);
        }
        &mut self.patterns[at]
    }

    /// Makes the pattern exist, so that a subscription can be attached.
    pub fn pattern(&mut self, pattern: &[u8]) -> Result<PatternId, IndexFull> {
        let (id, new) = self.index.insert(pattern)?;
        if new {
            *self.state(id) = UNUSED;
        }
        Ok(id)
    }

    fn drop_if_unused(&mut self, id: PatternId) {
        let state = &self.patterns[id.0 as usize];
        if state.local == NO_SUB && state.shares == NO_SHARE {
            self.index.remove(id);
        }
    }

    /// Attaches a subscription of this core (made for this pattern).
    /// `me` is this core. The announcement is what other cores must learn.
    pub fn attach(
        &mut self,
        me: CoreId,
        subs: &mut Subscriptions,
        id: SubId,
    ) -> Option<Announcement> {
        let (pattern, queue) = {
            let sub = subs.get(id);
            (sub.pattern, sub.queue)
        };
        let state = self.state(pattern);
        let head = std::mem::replace(&mut state.local, id.0);
        if head != NO_SUB {
            subs.get_mut(SubId(head)).prev = id.0;
        }
        let sub = subs.get_mut(id);
        sub.next = head;
        sub.prev = NO_SUB;
        if queue == NO_QUEUE {
            let state = self.state(pattern);
            state.plain += 1;
            (state.plain == 1).then_some(Announcement { weight: 1 })
        } else {
            let weight = self.share(pattern, me, queue).map_or(0, |s| s.count) + 1;
            self.set_share(pattern, me, queue, weight);
            Some(Announcement { weight })
        }
    }

    /// Detaches a subscription of this core.
    pub fn detach(
        &mut self,
        me: CoreId,
        subs: &mut Subscriptions,
        id: SubId,
    ) -> Option<Announcement> {
        let (pattern, queue, next, prev) = {
            let sub = subs.get(id);
            (sub.pattern, sub.queue, sub.next, sub.prev)
        };
        if next != NO_SUB {
            subs.get_mut(SubId(next)).prev = prev;
        }
        if prev == NO_SUB {
            self.state(pattern).local = next;
        } else {
            subs.get_mut(SubId(prev)).next = next;
        }
        if queue == NO_QUEUE {
            let state = self.state(pattern);
            state.plain -= 1;
            (state.plain == 0).then_some(Announcement { weight: 0 })
        } else {
            let weight = self.share(pattern, me, queue).map_or(1, |s| s.count) - 1;
            self.set_share(pattern, me, queue, weight);
            Some(Announcement { weight })
        }
    }

    /// After [`Account::detach`] and once nobody needs the pattern's bytes.
    pub fn settle(&mut self, pattern: PatternId) {
        self.drop_if_unused(pattern);
    }

    fn share(&mut self, pattern: PatternId, core: CoreId, queue: QueueId) -> Option<&mut Share> {
        let mut at = self.state(pattern).shares;
        while at != NO_SHARE {
            let share = self.shares[at as usize];
            if share.core == core && share.queue == queue {
                return Some(&mut self.shares[at as usize]);
            }
            at = share.next;
        }
        None
    }

    fn set_share(&mut self, pattern: PatternId, core: CoreId, queue: QueueId, count: u32) {
        if count > 0 {
            if let Some(share) = self.share(pattern, core, queue) {
                share.count = count;
                return;
            }
            let next = self.state(pattern).shares;
            let share = Share {
                core,
                queue,
                count,
                next,
            };
            let at = match self.free_shares.pop() {
                Some(at) => {
                    self.shares[at as usize] = share;
                    at
                }
                None => {
                    frugal::push(&mut self.shares, share);
                    self.shares.len() as u32 - 1
                }
            };
            self.state(pattern).shares = at;
            return;
        }
        let mut before = NO_SHARE;
        let mut at = self.state(pattern).shares;
        while at != NO_SHARE {
            let share = self.shares[at as usize];
            if share.core == core && share.queue == queue {
                if before == NO_SHARE {
                    self.state(pattern).shares = share.next;
                } else {
                    self.shares[before as usize].next = share.next;
                }
                self.free_shares.push(at);
                return;
            }
            before = at;
            at = share.next;
        }
    }

    /// Another core's interest in `pattern` is now `weight`. Returns whether the
    /// pattern is a wildcard, `None` if nothing changed, and whether a use of
    /// the queue name began or ended through `queue_uses`.
    pub fn set_remote(
        &mut self,
        queues: &mut QueueNames,
        core: CoreId,
        pattern: &[u8],
        queue: &[u8],
        weight: u32,
    ) -> Result<(), IndexFull> {
        let id = if weight == 0 {
            match self.index.find(pattern) {
                Some(id) => id,
                None => return Ok(()),
            }
        } else {
            self.pattern(pattern)?
        };
        let queue = queues.acquire(queue);
        let had = self.share(id, core, queue).is_some();
        self.set_share(id, core, queue, weight);
        // A share that exists holds one use of the name.
        if had || weight == 0 {
            queues.release(queue);
        }
        if had && weight == 0 {
            queues.release(queue);
        }
        self.drop_if_unused(id);
        Ok(())
    }

    /// The pattern's bytes.
    pub fn subject(&self, id: PatternId) -> &[u8] {
        self.index.pattern(id)
    }

    /// Whether the pattern has a wildcard.
    pub fn is_wildcard(&self, id: PatternId) -> bool {
        self.index.is_wildcard(id)
    }

    /// Visits everything that wants `subject`.
    pub fn for_each_target(
        &self,
        me: CoreId,
        subs: &Subscriptions,
        subject: &[u8],
        mut visit: impl FnMut(Target),
    ) {
        self.index.for_each_match(subject, |pattern| {
            let state = self.patterns[pattern.0 as usize];
            let mut at = state.local;
            while at != NO_SUB {
                let id = SubId(at);
                let sub = subs.get(id);
                if sub.conn == RESPONSES {
                    visit(Target::Responses);
                } else if sub.queue == NO_QUEUE {
                    visit(Target::Local(id));
                } else {
                    visit(Target::LocalMember(id, sub.queue));
                }
                at = sub.next;
            }
            let mut at = state.shares;
            while at != NO_SHARE {
                let share = self.shares[at as usize];
                if share.core != me {
                    if share.queue == NO_QUEUE {
                        visit(Target::Core(share.core));
                    } else {
                        visit(Target::CoreMembers(share.core, share.queue, share.count));
                    }
                }
                at = share.next;
            }
        });
    }
}
