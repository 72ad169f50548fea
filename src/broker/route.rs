//! A subject resolved to its targets, and the cache of those.

use hashbrown::HashTable;

use super::core::CoreId;
use super::interest::{Account, Target};
use super::subscriptions::{QueueId, SubId, Subscriptions};
use crate::subject::TextHash;

/// Subjects whose route a core remembers. Publishing more distinct subjects
/// than that costs a match each; memory does not grow.
pub const CACHED_ROUTES_MAX: usize = 16 * 1024;
/// Routes with more targets than this are resolved again for each message:
/// compared with delivering to all of them, matching costs nothing.
pub const CACHED_TARGETS_MAX: usize = 4096;
/// Targets of all cached routes together; beyond it the cache starts anew.
/// 4 MiB a core.
pub const CACHED_TARGETS_TOTAL_MAX: usize = 1024 * 1024;
/// Longest subject that is cached, in bytes.
pub const CACHED_SUBJECT_BYTES_MAX: usize = 256;

/// A queue group that wants a subject.
#[derive(Default)]
pub struct Group {
    pub queue: QueueId,
    /// Members on this core.
    pub local: Vec<SubId>,
    /// Other cores with members, and how many.
    pub remote: Vec<(CoreId, u32)>,
    /// Members on all cores.
    pub weight: u64,
}

impl Default for QueueId {
    fn default() -> Self {
        super::subscriptions::NO_QUEUE
    }
}

/// Everyone who wants a subject.
#[derive(Default)]
pub struct Route {
    /// Plain subscriptions on this core.
    pub locals: Vec<SubId>,
    /// Bit n: core n has plain interest.
    pub cores: u64,
    pub groups: Vec<Group>,
    /// Groups beyond the current ones, kept for their memory.
    spare: Vec<Group>,
}

impl Route {
    fn clear(&mut self) {
        self.locals.clear();
        self.cores = 0;
        while let Some(mut group) = self.groups.pop() {
            group.local.clear();
            group.remote.clear();
            group.weight = 0;
            self.spare.push(group);
        }
    }

    fn group(&mut self, queue: QueueId) -> &mut Group {
        let at = match self.groups.iter().position(|g| g.queue == queue) {
            Some(at) => at,
            None => {
                let mut group = self.spare.pop().unwrap_or_default();
                group.queue = queue;
                self.groups.push(group);
                self.groups.len() - 1
            }
        };
        &mut self.groups[at]
    }

    /// Resolves `subject` into this route, reusing its memory.
    pub fn resolve(&mut self, me: CoreId, account: &Account, subs: &Subscriptions, subject: &[u8]) {
        self.clear();
        account.for_each_target(me, subs, subject, |target| match target {
            Target::Local(sub) => self.locals.push(sub),
            Target::LocalMember(sub, queue) => {
                let group = self.group(queue);
                group.local.push(sub);
                group.weight += 1;
            }
            Target::Core(core) => self.cores |= core.bit(),
            Target::CoreMembers(core, queue, count) => {
                let group = self.group(queue);
                group.weight += u64::from(count);
                match group.remote.iter_mut().find(|(c, _)| *c == core) {
                    Some((_, members)) => *members += count,
                    None => group.remote.push((core, count)),
                }
            }
        });
    }

    /// Nobody wants the subject.
    pub fn is_empty(&self) -> bool {
        self.locals.is_empty() && self.cores == 0 && self.groups.is_empty()
    }

    fn targets(&self) -> usize {
        self.locals.len()
            + self
                .groups
                .iter()
                .map(|g| g.local.len() + g.remote.len())
                .sum::<usize>()
    }
}

struct Entry {
    subject: Vec<u8>,
    account: u16,
    /// Generation of the account's wildcard interest that it was resolved under.
    generation: u64,
    /// Used since the clock hand passed.
    used: bool,
    /// Empty while it is being delivered.
    route: Option<Box<Route>>,
}

/// Routes by subject, bounded, with second-chance eviction.
pub struct RouteCache {
    hash: TextHash,
    table: HashTable<u32>,
    entries: Vec<Entry>,
    free: Vec<u32>,
    hand: usize,
    /// Targets of all routes together.
    targets: usize,
    /// For routes that are not cached.
    scratch: Box<Route>,
    pub hits: u64,
    pub misses: u64,
}

/// Where a route is, until the next call to [`RouteCache::find`].
#[derive(Clone, Copy)]
pub struct RouteRef(u32);

impl Default for RouteRef {
    fn default() -> Self {
        SCRATCH
    }
}

const SCRATCH: RouteRef = RouteRef(u32::MAX);

fn key(hash: &TextHash, account: u16, subject: &[u8]) -> u64 {
    hash.edge(u32::from(account), subject)
}

impl RouteCache {
    /// An empty cache; `seed` keys its hash.
    pub fn new(seed: u64) -> Self {
        Self {
            hash: TextHash::with_seed(seed),
            table: HashTable::new(),
            entries: Vec::new(),
            free: Vec::new(),
            hand: 0,
            targets: 0,
            scratch: Box::default(),
            hits: 0,
            misses: 0,
        }
    }

    /// Routes remembered now.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether none is remembered.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Targets of the cached route that has most.
    pub fn max_fanout(&self) -> usize {
        self.entries
            .iter()
            .filter_map(|e| Some(e.route.as_ref()?.targets()))
            .max()
            .unwrap_or(0)
    }

    /// Targets of all cached routes.
    pub fn total_fanout(&self) -> usize {
        self.entries
            .iter()
            .filter_map(|e| Some(e.route.as_ref()?.targets()))
            .sum()
    }

    /// As [`RouteCache::find`], after a look where the same publisher's last
    /// subject was: most publish to the same subject many times in a row.
    #[inline]
    pub fn find_near(
        &mut self,
        hint: RouteRef,
        me: CoreId,
        account_id: u16,
        account: &Account,
        subs: &Subscriptions,
        subject: &[u8],
    ) -> RouteRef {
        if let Some(entry) = self.entries.get_mut(hint.0 as usize)
            && entry.subject == subject
            && entry.account == account_id
            && entry.generation == account.generation
        {
            entry.used = true;
            self.hits += 1;
            return hint;
        }
        self.find(me, account_id, account, subs, subject)
    }

    /// The route of `subject`, from the cache or resolved now.
    pub fn find(
        &mut self,
        me: CoreId,
        account_id: u16,
        account: &Account,
        subs: &Subscriptions,
        subject: &[u8],
    ) -> RouteRef {
        let hash = key(&self.hash, account_id, subject);
        let found = self.table.find(hash, |&at| {
            let entry = &self.entries[at as usize];
            entry.account == account_id && entry.subject == subject
        });
        if let Some(&at) = found {
            let entry = &mut self.entries[at as usize];
            entry.used = true;
            if entry.generation == account.generation {
                self.hits += 1;
                return RouteRef(at);
            }
            self.misses += 1;
            entry.generation = account.generation;
            entry
                .route
                .get_or_insert_default()
                .resolve(me, account, subs, subject);
            return RouteRef(at);
        }
        self.misses += 1;
        self.insert(me, account_id, account, subs, subject, hash)
    }

    fn insert(
        &mut self,
        me: CoreId,
        account_id: u16,
        account: &Account,
        subs: &Subscriptions,
        subject: &[u8],
        hash: u64,
    ) -> RouteRef {
        self.scratch.resolve(me, account, subs, subject);
        if subject.len() > CACHED_SUBJECT_BYTES_MAX || self.scratch.targets() > CACHED_TARGETS_MAX {
            return SCRATCH;
        }
        self.targets += self.scratch.targets();
        if self.targets > CACHED_TARGETS_TOTAL_MAX {
            self.clear();
            self.targets = self.scratch.targets();
        }
        let at = self.place();
        let entry = &mut self.entries[at as usize];
        entry.subject.clear();
        entry.subject.extend_from_slice(subject);
        entry.account = account_id;
        entry.generation = account.generation;
        entry.used = false;
        std::mem::swap(entry.route.get_or_insert_default(), &mut self.scratch);
        let (entries, hasher) = (&self.entries, &self.hash);
        self.table.insert_unique(hash, at, |&at| {
            let entry = &entries[at as usize];
            key(hasher, entry.account, &entry.subject)
        });
        RouteRef(at)
    }

    /// A free place: a new one, or the one the clock hand stops at.
    fn place(&mut self) -> u32 {
        if let Some(at) = self.free.pop() {
            return at;
        }
        if self.entries.len() < CACHED_ROUTES_MAX {
            self.entries.push(Entry {
                subject: Vec::new(),
                account: 0,
                generation: 0,
                used: false,
                route: None,
            });
            return self.entries.len() as u32 - 1;
        }
        loop {
            let at = self.hand;
            self.hand = (self.hand + 1) % self.entries.len();
            let entry = &mut self.entries[at];
            if std::mem::take(&mut entry.used) {
                continue;
            }
            self.evict(at as u32);
            return at as u32;
        }
    }

    fn clear(&mut self) {
        self.table.clear();
        self.entries.clear();
        self.free.clear();
        self.hand = 0;
    }

    fn evict(&mut self, at: u32) {
        let entry = &self.entries[at as usize];
        let hash = key(&self.hash, entry.account, &entry.subject);
        if let Ok(found) = self.table.find_entry(hash, |&other| other == at) {
            found.remove();
        }
    }

    /// Forgets the route of one subject, whose literal interest changed.
    pub fn forget(&mut self, account: u16, subject: &[u8]) {
        let hash = key(&self.hash, account, subject);
        let found = self.table.find_entry(hash, |&at| {
            let entry = &self.entries[at as usize];
            entry.account == account && entry.subject == subject
        });
        if let Ok(found) = found {
            let (at, _) = found.remove();
            // An emptied place matches no subject: hints at it are void.
            self.entries[at as usize].subject.clear();
            self.free.push(at);
        }
    }

    /// Takes the route out while it is being delivered.
    #[inline]
    pub fn take(&mut self, at: RouteRef) -> Box<Route> {
        match self.entries.get_mut(at.0 as usize) {
            Some(entry) => entry.route.take().unwrap_or_default(),
            None => std::mem::take(&mut self.scratch),
        }
    }

    /// Puts it back.
    #[inline]
    pub fn put(&mut self, at: RouteRef, route: Box<Route>) {
        match self.entries.get_mut(at.0 as usize) {
            Some(entry) => entry.route = Some(route),
            None => self.scratch = route,
        }
    }
}
