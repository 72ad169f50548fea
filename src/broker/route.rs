//! A subject resolved to its targets, and the cache of those.

use std::sync::Arc;

use hashbrown::HashTable;

use super::accounts::Crossing;
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
/// Memory of all cached routes together, in bytes; beyond it the cache starts anew.
pub const CACHED_ROUTES_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Targets that a cached route may have room for beyond twice what it holds:
/// memory is kept for reuse, but not that of a large fan-out for a small one.
const SPARE_TARGETS_MAX: usize = 16;
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

impl Group {
    /// The core of member number `at` among those on other cores.
    pub fn core_of(&self, mut at: u64) -> Option<CoreId> {
        for &(core, weight) in &self.remote {
            if at < u64::from(weight) {
                return Some(core);
            }
            at -= u64::from(weight);
        }
        None
    }
}

/// Where a subject leads beyond its account.
#[derive(Debug, Default)]
pub struct Beyond {
    pub crossings: Vec<Crossing>,
    /// It may be the reply subject of a request that crossed.
    pub responses: bool,
}

/// Everyone who wants a subject.
#[derive(Default)]
pub struct Route {
    /// Plain subscriptions on this core.
    pub locals: Vec<SubId>,
    /// Bit n: core n has plain interest.
    pub cores: u64,
    pub groups: Vec<Group>,
    pub beyond: Option<Arc<Beyond>>,
    /// Groups beyond the current ones, kept for their memory.
    spare: Vec<Group>,
}

impl Route {
    fn clear(&mut self) {
        self.locals.clear();
        self.cores = 0;
        self.beyond = None;
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
        let mut responses = false;
        account.for_each_target(me, subs, subject, |target| match target {
            Target::Responses => responses = true,
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
        if responses || account.has_links() {
            let crossings = account.links.crossings(subject);
            if responses || !crossings.is_empty() {
                self.beyond = Some(Arc::new(Beyond {
                    crossings,
                    responses,
                }));
            }
        }
    }

    /// Nobody wants the subject.
    pub fn is_empty(&self) -> bool {
        self.locals.is_empty() && self.cores == 0 && self.groups.is_empty() && self.beyond.is_none()
    }

    /// Gives back memory that is out of proportion to what the route holds.
    fn trim(&mut self) {
        let wasteful = |capacity: usize, len: usize| capacity > 2 * len + SPARE_TARGETS_MAX;
        if wasteful(self.locals.capacity(), self.locals.len()) {
            self.locals.shrink_to_fit();
        }
        if wasteful(
            self.groups.capacity() + self.spare.capacity(),
            self.groups.len(),
        ) {
            self.groups.shrink_to_fit();
            self.spare = Vec::new();
        }
        for group in self.groups.iter_mut().chain(&mut self.spare) {
            if wasteful(group.local.capacity(), group.local.len()) {
                group.local.shrink_to_fit();
            }
            if wasteful(group.remote.capacity(), group.remote.len()) {
                group.remote.shrink_to_fit();
            }
        }
    }

    /// Memory in use, what is kept for reuse included.
    fn memory_bytes(&self) -> usize {
        let group = |group: &Group| {
            group.local.capacity() * size_of::<SubId>()
                + group.remote.capacity() * size_of::<(CoreId, u32)>()
        };
        let crossings = self.beyond.iter().flat_map(|beyond| &beyond.crossings);
        size_of::<Self>()
            + crossings
                .map(|crossing| size_of::<Crossing>() + crossing.subject.len())
                .sum::<usize>()
            + self.locals.capacity() * size_of::<SubId>()
            + (self.groups.capacity() + self.spare.capacity()) * size_of::<Group>()
            + self
                .groups
                .iter()
                .chain(&self.spare)
                .map(group)
                .sum::<usize>()
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
    /// `None` while it is being delivered.
    route: Option<Box<Route>>,
    /// Memory of the route, as counted in [`RouteCache::bytes`].
    bytes: usize,
}

/// Routes by subject, bounded, with second-chance eviction.
pub struct RouteCache {
    hash: TextHash,
    table: HashTable<u32>,
    entries: Vec<Entry>,
    free: Vec<u32>,
    hand: usize,
    /// Memory of all routes together, those of free places included.
    bytes: usize,
    /// For routes that are not cached; `None` while it is being delivered.
    scratch: Option<Box<Route>>,
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
            bytes: 0,
            scratch: None,
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
            return self.resolve_again(at, me, account, subs, subject);
        }
        self.misses += 1;
        self.insert(me, account_id, account, subs, subject, hash)
    }

    /// Brings a cached route up to date. It may have outgrown the cache.
    fn resolve_again(
        &mut self,
        at: u32,
        me: CoreId,
        account: &Account,
        subs: &Subscriptions,
        subject: &[u8],
    ) -> RouteRef {
        let entry = &mut self.entries[at as usize];
        entry.generation = account.generation;
        let route = entry.route.get_or_insert_default();
        route.resolve(me, account, subs, subject);
        route.trim();
        let bytes = route.memory_bytes();
        let fits = route.targets() <= CACHED_TARGETS_MAX;
        self.bytes = self.bytes - entry.bytes + bytes;
        entry.bytes = bytes;
        if fits && self.bytes <= CACHED_ROUTES_BYTES_MAX {
            return RouteRef(at);
        }
        self.scratch = entry.route.take();
        if fits {
            self.clear();
        } else {
            self.bytes -= bytes;
            entry.bytes = 0;
            self.evict(at);
            self.entries[at as usize].subject.clear();
            self.free.push(at);
        }
        SCRATCH
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
        let scratch = self.scratch.get_or_insert_default();
        scratch.resolve(me, account, subs, subject);
        if subject.len() > CACHED_SUBJECT_BYTES_MAX || scratch.targets() > CACHED_TARGETS_MAX {
            return SCRATCH;
        }
        scratch.trim();
        let bytes = scratch.memory_bytes();
        if self.bytes + bytes > CACHED_ROUTES_BYTES_MAX {
            self.clear();
        }
        let at = self.place();
        let entry = &mut self.entries[at as usize];
        entry.subject.clear();
        entry.subject.extend_from_slice(subject);
        entry.account = account_id;
        entry.generation = account.generation;
        entry.used = false;
        std::mem::swap(&mut entry.route, &mut self.scratch);
        self.bytes = self.bytes - entry.bytes + bytes;
        entry.bytes = bytes;
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
                bytes: 0,
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
        self.bytes = 0;
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

    /// A look at a route that is not being delivered.
    pub fn peek(&self, at: RouteRef) -> Option<&Route> {
        match self.entries.get(at.0 as usize) {
            Some(entry) => entry.route.as_deref(),
            None => self.scratch.as_deref(),
        }
    }

    /// Takes the route out while it is being delivered.
    #[inline]
    pub fn take(&mut self, at: RouteRef) -> Box<Route> {
        match self.entries.get_mut(at.0 as usize) {
            Some(entry) => entry.route.take().unwrap_or_default(),
            None => self.scratch.take().unwrap_or_default(),
        }
    }

    /// Puts it back.
    #[inline]
    pub fn put(&mut self, at: RouteRef, route: Box<Route>) {
        match self.entries.get_mut(at.0 as usize) {
            Some(entry) => entry.route = Some(route),
            None => self.scratch = Some(route),
        }
    }
}
