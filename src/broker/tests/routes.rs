//! Interest and cached routes against a naive model.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use crate::broker::CoreId;
use crate::broker::interest::{Account, QueueNames};
use crate::broker::route::{Route, RouteCache};
use crate::broker::subscriptions::{NO_QUEUE, SubId, Subscriptions};
use crate::subject;

const ME: CoreId = CoreId(1);
const ACCOUNT: u16 = 0;
const PATTERNS: [&str; 8] = ["a", "b", "a.b", "a.*", "*.b", "a.>", ">", "*"];
const SUBJECTS: [&str; 6] = ["a", "b", "a.b", "b.b", "a.b.c", "c"];
const QUEUES: [&str; 3] = ["", "red", "blue"];

#[derive(Clone, Debug)]
enum Step {
    Attach {
        pattern: usize,
        queue: usize,
    },
    /// Detaches one of the subscriptions there are, by its place.
    Detach(usize),
    SetRemote {
        core: u8,
        pattern: usize,
        queue: usize,
        weight: u32,
    },
    /// Asks for the route of a subject, and so caches it.
    Route(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let (pattern, queue) = (0..PATTERNS.len(), 0..QUEUES.len());
    prop_oneof![
        2 => (pattern.clone(), queue.clone())
            .prop_map(|(pattern, queue)| Step::Attach { pattern, queue }),
        2 => any::<usize>().prop_map(Step::Detach),
        2 => (prop::sample::select(vec![0u8, 2]), pattern, queue, 0..4u32).prop_map(
            |(core, pattern, queue, weight)| Step::SetRemote { core, pattern, queue, weight }
        ),
        3 => (0..SUBJECTS.len()).prop_map(Step::Route),
    ]
}

/// Of one queue group: here, and how many on other cores.
type Members = (BTreeSet<SubId>, BTreeMap<u8, u32>);

/// A route in a form that can be compared: without order, names instead of ids.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plain {
    locals: BTreeSet<SubId>,
    cores: u64,
    groups: BTreeMap<Vec<u8>, Members>,
}

/// What a core does about subscriptions and remote interest, and the model of it:
/// the list of subscriptions, and a map of remote weights.
struct Fixture {
    account: Account,
    subs: Subscriptions,
    queues: QueueNames,
    cache: RouteCache,
    attached: Vec<(SubId, &'static str, &'static str)>,
    remote: BTreeMap<(u8, &'static str, &'static str), u32>,
}

impl Fixture {
    fn new() -> Self {
        Self {
            account: Account::new("$G", 3),
            subs: Subscriptions::default(),
            queues: QueueNames::default(),
            cache: RouteCache::new(5),
            attached: Vec::new(),
            remote: BTreeMap::new(),
        }
    }

    fn void_routes(&mut self, pattern: &str) {
        if subject::is_literal(pattern.as_bytes()) {
            self.cache.forget(ACCOUNT, pattern.as_bytes());
        } else {
            self.account.generation += 1;
        }
    }

    /// The number of the model's members, as the other cores must learn it.
    fn weight(&self, pattern: &str, queue: &str) -> u32 {
        let count = self
            .attached
            .iter()
            .filter(|(_, p, q)| *p == pattern && *q == queue)
            .count() as u32;
        if queue.is_empty() {
            count.min(1)
        } else {
            count
        }
    }

    fn apply(&mut self, step: &Step) {
        match *step {
            Step::Attach { pattern, queue } => {
                let (pattern, queue) = (PATTERNS[pattern], QUEUES[queue]);
                let before = self.weight(pattern, queue);
                let pattern_id = self.account.pattern(pattern.as_bytes()).expect("room");
                let queue_id = self.queues.acquire(queue.as_bytes());
                let id = self.subs.insert(0, pattern_id, queue_id, b"1", false);
                let announced = self.account.attach(ME, &mut self.subs, id);
                self.attached.push((id, pattern, queue));
                self.void_routes(pattern);
                let after = self.weight(pattern, queue);
                assert_eq!(
                    announced.map(|a| a.weight),
                    (before != after).then_some(after)
                );
            }
            Step::Detach(place) => {
                if self.attached.is_empty() {
                    return;
                }
                let (id, pattern, queue) = self.attached.swap_remove(place % self.attached.len());
                let sub = self.subs.get(id);
                let (pattern_id, queue_id) = (sub.pattern, sub.queue);
                let announced = self.account.detach(ME, &mut self.subs, id);
                self.void_routes(pattern);
                self.account.settle(pattern_id);
                self.queues.release(queue_id);
                self.subs.remove(id);
                let after = self.weight(pattern, queue);
                let changed = !queue.is_empty() || after == 0;
                assert_eq!(announced.map(|a| a.weight), changed.then_some(after));
            }
            Step::SetRemote {
                core,
                pattern,
                queue,
                weight,
            } => {
                let (pattern, queue) = (PATTERNS[pattern], QUEUES[queue]);
                self.account
                    .set_remote(
                        &mut self.queues,
                        CoreId(core),
                        pattern.as_bytes(),
                        queue.as_bytes(),
                        weight,
                    )
                    .expect("room");
                self.void_routes(pattern);
                if weight == 0 {
                    self.remote.remove(&(core, pattern, queue));
                } else {
                    self.remote.insert((core, pattern, queue), weight);
                }
            }
            Step::Route(subject) => {
                self.cached(SUBJECTS[subject]);
            }
        }
    }

    /// The model's answer.
    fn expected(&self, subject: &str) -> Plain {
        let matches = |pattern: &str| subject::matches(pattern.as_bytes(), subject.as_bytes());
        let mut plain = Plain::default();
        for &(id, pattern, queue) in &self.attached {
            if !matches(pattern) {
                continue;
            }
            if queue.is_empty() {
                plain.locals.insert(id);
            } else {
                let group = plain.groups.entry(queue.as_bytes().to_vec()).or_default();
                group.0.insert(id);
            }
        }
        for (&(core, pattern, queue), &weight) in &self.remote {
            if !matches(pattern) {
                continue;
            }
            if queue.is_empty() {
                plain.cores |= CoreId(core).bit();
            } else {
                let group = plain.groups.entry(queue.as_bytes().to_vec()).or_default();
                *group.1.entry(core).or_default() += weight;
            }
        }
        plain
    }

    fn plain(&self, route: &Route) -> Plain {
        let mut plain = Plain {
            locals: route.locals.iter().copied().collect(),
            cores: route.cores,
            groups: BTreeMap::new(),
        };
        assert_eq!(plain.locals.len(), route.locals.len(), "each once");
        for group in &route.groups {
            assert_ne!(group.queue, NO_QUEUE);
            let local: BTreeSet<_> = group.local.iter().copied().collect();
            assert_eq!(local.len(), group.local.len(), "each once");
            let remote: BTreeMap<_, _> = group.remote.iter().map(|&(c, w)| (c.0, w)).collect();
            let members = local.len() as u64 + remote.values().map(|&w| u64::from(w)).sum::<u64>();
            assert_eq!(group.weight, members);
            let name = self.queues.name(group.queue).to_vec();
            assert!(plain.groups.insert(name, (local, remote)).is_none());
        }
        plain
    }

    fn cached(&mut self, subject: &str) -> Plain {
        let at = self
            .cache
            .find(ME, ACCOUNT, &self.account, &self.subs, subject.as_bytes());
        let route = self.cache.take(at);
        let plain = self.plain(&route);
        self.cache.put(at, route);
        plain
    }

    fn check(&mut self) {
        for subject in SUBJECTS {
            let expected = self.expected(subject);
            let mut fresh = Route::default();
            fresh.resolve(ME, &self.account, &self.subs, subject.as_bytes());
            assert_eq!(self.plain(&fresh), expected, "fresh route of {subject}");
            assert_eq!(self.cached(subject), expected, "cached route of {subject}");
        }
    }
}

proptest! {
    #[test]
    fn cached_routes_are_what_a_fresh_look_finds(
        steps in prop::collection::vec(step(), 0..60),
    ) {
        let mut fixture = Fixture::new();
        for step in &steps {
            fixture.apply(step);
            fixture.check();
        }
        // Nothing is left of interest that is gone.
        while !fixture.attached.is_empty() {
            fixture.apply(&Step::Detach(0));
        }
        for (core, pattern, queue) in fixture.remote.keys().copied().collect::<Vec<_>>() {
            fixture
                .account
                .set_remote(
                    &mut fixture.queues,
                    CoreId(core),
                    pattern.as_bytes(),
                    queue.as_bytes(),
                    0,
                )
                .expect("room");
        }
        prop_assert!(fixture.account.index().is_empty());
        prop_assert_eq!(fixture.queues.find(b"red"), None);
        prop_assert_eq!(fixture.queues.find(b"blue"), None);
    }
}
