//! One allow or deny list, compiled for matching.
//!
//! The list is a trie over subject tokens in one flat table: a lookup visits
//! each node at most once, so no subject, however it was chosen, costs more
//! than the size of the list, and the usual one costs its number of tokens.
//! Flat, so that neither matching nor dropping recurses into a long rule.

use std::collections::HashMap;

use super::rules::{Entry, RuleError};
use crate::subject;

/// An index into [`RuleSet::nodes`].
type NodeId = usize;

/// The node that stands before the first token.
const ROOT: NodeId = 0;

/// Entries `subject` and `subject queue`, to be asked about subjects.
///
/// The subject asked about is taken as text, as nats-server does: even that of
/// a subscription, whose `>` is matched by the rule's `*`. Whoever asks about a
/// subscription must know that; see [`Self::covers`].
#[derive(Debug)]
pub(super) struct RuleSet {
    nodes: Vec<Node>,
    /// The entries in the order given, for questions that the trie cannot answer.
    entries: Vec<OwnedEntry>,
}

#[derive(Debug, Default)]
struct Node {
    literal: HashMap<Box<[u8]>, NodeId>,
    any_token: Option<NodeId>,
    /// Entries that end here.
    end: Ending,
    /// Entries that go on with a last `>`.
    tail: Ending,
}

/// What the entries with one and the same subject say.
#[derive(Debug, Default)]
struct Ending {
    /// There is an entry without a queue.
    plain: bool,
    queues: Vec<Box<[u8]>>,
}

#[derive(Debug)]
struct OwnedEntry {
    subject: Box<[u8]>,
    queue: Option<Box<[u8]>>,
}

/// What a rule set says about a subject and a queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Findings {
    /// An entry without a queue matches the subject.
    pub plain: bool,
    /// An entry with a queue matches the subject, be its queue the one asked
    /// for or another.
    pub any_queue: bool,
    /// An entry matches the subject and the queue asked for.
    pub this_queue: bool,
}

impl RuleSet {
    /// Compiles a list; `parse` tells which form its entries have.
    pub fn new<'a>(
        texts: &'a [String],
        parse: impl Fn(&'a str) -> Result<Entry<'a>, RuleError>,
    ) -> Result<Self, RuleError> {
        let mut set = Self {
            nodes: vec![Node::default()],
            entries: Vec::with_capacity(texts.len()),
        };
        for text in texts {
            set.insert(parse(text)?);
        }
        Ok(set)
    }

    fn insert(&mut self, entry: Entry<'_>) {
        let mut node = ROOT;
        let mut is_tail = false;
        for token in entry.subject.as_bytes().split(|&byte| byte == b'.') {
            match token {
                b">" => is_tail = true,
                b"*" => node = self.any_token_child(node),
                _ => node = self.literal_child(node, token),
            }
        }
        let node = &mut self.nodes[node];
        let ending = if is_tail {
            &mut node.tail
        } else {
            &mut node.end
        };
        let queue = entry.queue.map(|queue| queue.as_bytes().into());
        match &queue {
            Some(queue) => ending.queues.push(Box::clone(queue)),
            None => ending.plain = true,
        }
        self.entries.push(OwnedEntry {
            subject: entry.subject.as_bytes().into(),
            queue,
        });
    }

    fn any_token_child(&mut self, node: NodeId) -> NodeId {
        let next = self.nodes.len();
        let child = *self.nodes[node].any_token.get_or_insert(next);
        self.add_if_new(child)
    }

    fn literal_child(&mut self, node: NodeId, token: &[u8]) -> NodeId {
        let next = self.nodes.len();
        let child = *self.nodes[node].literal.entry(token.into()).or_insert(next);
        self.add_if_new(child)
    }

    fn add_if_new(&mut self, child: NodeId) -> NodeId {
        if child == self.nodes.len() {
            self.nodes.push(Node::default());
        }
        child
    }

    /// What the entries say about a subject, taken as text, and a queue.
    ///
    /// A subject with an empty token is matched by no entry.
    pub fn find(&self, subject: &[u8], queue: Option<&[u8]>) -> Findings {
        let mut findings = Findings::default();
        if !subject::is_valid_publish(subject) {
            return findings;
        }
        // Branches to look at later; empty, and so not allocated, as long as no
        // rule has `*` beside a literal token.
        let mut later: Vec<(NodeId, Option<&[u8]>)> = Vec::new();
        let mut here = Some((ROOT, Some(subject)));
        while let Some((id, rest)) = here.take().or_else(|| later.pop()) {
            let node = &self.nodes[id];
            let Some(rest) = rest else {
                findings.add(&node.end, queue);
                continue;
            };
            findings.add(&node.tail, queue);
            let (token, rest) = match memchr::memchr(b'.', rest) {
                Some(end) => (&rest[..end], Some(&rest[end + 1..])),
                None => (rest, None),
            };
            here = node.literal.get(token).map(|&child| (child, rest));
            if let Some(child) = node.any_token {
                match here {
                    None => here = Some((child, rest)),
                    Some(_) => later.push((child, rest)),
                }
            }
        }
        findings
    }

    /// Whether one entry, without a queue or with this one, permits all that
    /// the subscription pattern can match. Linear in the number of entries.
    pub fn covers(&self, pattern: &[u8], queue: Option<&[u8]>) -> bool {
        self.applying(queue)
            .any(|entry| subject::is_subset(pattern, &entry.subject))
    }

    /// Whether one entry, without a queue or with this one, speaks of something
    /// that the subscription pattern can match. Linear in the number of entries.
    pub fn touches(&self, pattern: &[u8], queue: Option<&[u8]>) -> bool {
        self.applying(queue)
            .any(|entry| subject::overlaps(pattern, &entry.subject))
    }

    fn applying<'a>(&'a self, queue: Option<&'a [u8]>) -> impl Iterator<Item = &'a OwnedEntry> {
        self.entries.iter().filter(move |entry| {
            entry
                .queue
                .as_ref()
                .is_none_or(|rule| queue.is_some_and(|queue| queue_matches(queue, rule)))
        })
    }

    /// The entries as text, in the order given.
    pub fn texts(&self) -> impl Iterator<Item = String> {
        self.entries.iter().map(|entry| {
            let subject = String::from_utf8_lossy(&entry.subject).into_owned();
            match &entry.queue {
                Some(queue) => subject + " " + &String::from_utf8_lossy(queue),
                None => subject,
            }
        })
    }
}

impl Findings {
    fn add(&mut self, ending: &Ending, queue: Option<&[u8]>) {
        self.plain |= ending.plain;
        self.any_queue |= !ending.queues.is_empty();
        if let Some(queue) = queue {
            self.this_queue |= ending.queues.iter().any(|rule| queue_matches(queue, rule));
        }
    }
}

/// Whether a rule's queue speaks of this queue name.
///
/// A name may look like a pattern; a rule must then contain it, not only match
/// its text: the rule `v1.*` does not speak of the queue `v1.>`.
fn queue_matches(queue: &[u8], rule: &[u8]) -> bool {
    queue == rule || subject::is_subset(queue, rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(entries: &[&str]) -> RuleSet {
        let entries: Vec<_> = entries.iter().map(|&entry| entry.to_owned()).collect();
        RuleSet::new(&entries, Entry::subscribe).unwrap()
    }

    fn plain(set: &RuleSet, subject: &str) -> bool {
        set.find(subject.as_bytes(), None).plain
    }

    #[test]
    fn wildcards_and_literals_side_by_side() {
        let rules = set(&["a.b.c", "a.*.d", "a.*.e.>", "*.b.f"]);
        for subject in ["a.b.c", "a.b.d", "a.x.e.1", "a.b.e.1.2", "a.b.f", "x.b.f"] {
            assert!(plain(&rules, subject), "{subject}");
        }
        for subject in [
            "a.b", "a.x.c", "a.b.e", "a.b.c.d", "a", "", "a..d", "a.b.d.",
        ] {
            assert!(!plain(&rules, subject), "{subject}");
        }
    }

    #[test]
    fn a_subject_with_an_empty_token_matches_nothing() {
        let rules = set(&[">"]);
        assert!(plain(&rules, "a.b"));
        for subject in ["a..b", ".a", "a.", "..", ""] {
            assert!(!plain(&rules, subject), "{subject}");
        }
    }

    #[test]
    fn queues_are_contained_not_matched_as_text() {
        let rules = set(&["foo v1.*", "foo.> >"]);
        let this_queue =
            |subject: &str, queue: &str| rules.find(subject.as_bytes(), Some(queue.as_bytes()));
        assert!(this_queue("foo", "v1.a").this_queue);
        assert!(this_queue("foo", "v1.*").this_queue);
        assert!(this_queue("foo.x", "anything").this_queue);
        for queue in ["v1", "v1.>", "v1.a.b"] {
            let findings = this_queue("foo", queue);
            assert!(findings.any_queue && !findings.this_queue, "{queue}");
        }
    }

    #[test]
    fn a_subject_made_to_branch_visits_no_node_twice() {
        // Every token is matched by a literal and by `*`: 2^20 paths in a naive
        // search of a list that had them all; here the list has 40 nodes.
        let literal = vec!["a"; 20].join(".");
        let wild = vec!["*"; 20].join(".");
        let rules = set(&[&literal, &wild]);
        assert!(rules.nodes.len() <= 41);
        assert!(!plain(&rules, &vec!["a"; 2000].join(".")));
        assert!(plain(&rules, &literal));
    }

    #[test]
    fn a_rule_of_many_tokens_needs_no_deep_stack() {
        let long = vec!["*"; 200_000].join(".");
        let rules = set(&[&long]);
        assert!(plain(&rules, &long));
        assert!(!plain(&rules, "a"));
    }
}
