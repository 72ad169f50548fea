//! Subjects of a log: text, order, and the ends of each one's list of messages.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use super::order::{Order, Step};
use crate::store::message::SubjectState;
use crate::subject::{IndexFull, Names, SEPARATOR, TAIL, WILDCARD, matches, tokens};

/// Messages between two anchors of a subject. A walk along its list is never longer.
const ANCHOR_EVERY: u64 = 256;

/// A message that a walk along its subject may start from.
#[derive(Clone, Copy, Debug)]
struct Anchor {
    sequence: u64,
    /// Messages of the subject from here to the next anchor.
    count: u64,
}

/// The list of one subject: 32 bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct List {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) count: u64,
    /// Ascending; those before the first one are at most [`ANCHOR_EVERY`].
    // Boxed: most subjects have no anchors, and there are millions of them.
    #[allow(clippy::box_collection)]
    anchors: Option<Box<VecDeque<Anchor>>>,
}

const _: () = assert!(size_of::<List>() == 32);

impl List {
    /// Counts a message behind all others; its links are the caller's.
    pub(super) fn push(&mut self, sequence: u64) {
        if self.count == 0 {
            self.first = sequence;
        }
        self.last = sequence;
        let behind = match &self.anchors {
            Some(anchors) => anchors.back().map_or(0, |anchor| anchor.count),
            None => self.count,
        };
        if behind >= ANCHOR_EVERY {
            let anchors = self.anchors.get_or_insert_default();
            anchors.push_back(Anchor { sequence, count: 1 });
        } else if let Some(anchor) = self.anchors.as_mut().and_then(|a| a.back_mut()) {
            anchor.count += 1;
        }
        self.count += 1;
    }

    /// Uncounts a message whose neighbour behind is `next`; `first` and `last` are the caller's.
    pub(super) fn remove(&mut self, sequence: u64, next: Option<u64>) {
        self.count -= 1;
        let Some(anchors) = &mut self.anchors else {
            return;
        };
        let Some(at) = anchors
            .partition_point(|anchor| anchor.sequence <= sequence)
            .checked_sub(1)
        else {
            return;
        };
        let anchor = &mut anchors[at];
        anchor.count -= 1;
        if anchor.count == 0 {
            anchors.remove(at);
            if anchors.is_empty() {
                self.anchors = None;
            }
        } else if anchor.sequence == sequence
            && let Some(next) = next
        {
            anchor.sequence = next;
        }
    }

    /// A message of the list at or before `sequence` and near it, and how many messages there are
    /// behind the stretch that it begins. `sequence` is not before the first message.
    pub(super) fn near(&self, sequence: u64) -> (u64, u64) {
        let Some(anchors) = &self.anchors else {
            return (self.first, 0);
        };
        let at = anchors.partition_point(|anchor| anchor.sequence <= sequence);
        let behind = anchors.range(at..).map(|anchor| anchor.count).sum();
        match at.checked_sub(1) {
            Some(at) => (anchors[at].sequence, behind),
            None => (self.first, behind),
        }
    }

    /// The last message of the stretch that begins at or before `sequence`: before the next anchor.
    pub(super) fn near_end(&self, sequence: u64) -> u64 {
        let Some(anchors) = &self.anchors else {
            return u64::MAX;
        };
        let at = anchors.partition_point(|anchor| anchor.sequence <= sequence);
        anchors.get(at).map_or(u64::MAX, |next| next.sequence - 1)
    }
}

/// All subjects that have messages.
#[derive(Debug)]
pub(super) struct Subjects {
    names: Names,
    lists: Vec<List>,
    order: Order,
}

impl Subjects {
    pub(super) fn with_seed(seed: u64) -> Self {
        Self {
            names: Names::with_seed(seed),
            lists: Vec::new(),
            order: Order::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    pub(super) fn id_bound(&self) -> usize {
        self.names.id_bound()
    }

    pub(super) fn text(&self, id: u32) -> &[u8] {
        self.names.text(id)
    }

    /// The number of a subject that has messages.
    pub(super) fn find(&self, text: &[u8]) -> Option<u32> {
        self.names.find(text)
    }

    pub(super) fn find_or_insert(&mut self, text: &[u8]) -> Result<u32, IndexFull> {
        let (id, new) = self.names.insert(text)?;
        if new {
            if id >= 1 << 31 {
                self.names.remove(id);
                return Err(IndexFull);
            }
            let names = &self.names;
            self.order.insert(id, text, |id| names.text(id));
            if self.lists.len() <= id as usize {
                self.lists.resize_with(id as usize + 1, List::default);
            }
            self.lists[id as usize] = List::default();
        }
        Ok(id)
    }

    pub(super) fn remove(&mut self, id: u32) {
        self.order.remove(id, self.names.text(id));
        self.names.remove(id);
        self.lists[id as usize] = List::default();
    }

    /// The list of a subject; of one that has no messages, an empty one.
    pub(super) fn list(&self, id: u32) -> Option<&List> {
        self.lists.get(id as usize).filter(|list| list.count > 0)
    }

    pub(super) fn list_mut(&mut self, id: u32) -> &mut List {
        &mut self.lists[id as usize]
    }

    pub(super) fn state(&self, id: u32) -> Option<SubjectState> {
        let list = self.list(id)?;
        Some(SubjectState {
            id,
            first: list.first,
            last: list.last,
            count: list.count,
        })
    }

    /// Visits the subjects that a pattern matches, in the order of their bytes, from the first
    /// not below `from`.
    pub(super) fn for_each_match(
        &self,
        pattern: &[u8],
        from: &[u8],
        mut visit: impl FnMut(u32, &[u8]) -> ControlFlow<()>,
    ) {
        let beginning = literal_beginning(pattern);
        if beginning.len() == pattern.len() {
            if pattern >= from
                && let Some(id) = self.find(pattern)
            {
                let _ = visit(id, pattern);
            }
            return;
        }
        let names = &self.names;
        self.order.walk(
            beginning.max(from),
            |id| names.text(id),
            |id| {
                let text = names.text(id);
                if !text.starts_with(beginning) {
                    return Step::Stop;
                }
                if matches(pattern, text) {
                    return match visit(id, text) {
                        ControlFlow::Continue(()) => Step::Next,
                        ControlFlow::Break(()) => Step::Stop,
                    };
                }
                leap(pattern, text)
            },
        );
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let anchors = |list: &List| {
            list.anchors
                .as_ref()
                .map_or(0, |a| a.capacity() * size_of::<Anchor>())
        };
        self.names.memory_bytes()
            + self.lists.capacity() * size_of::<List>()
            + self.lists.iter().map(anchors).sum::<usize>()
            + self.order.memory_bytes()
    }
}

/// What every subject that matches begins with: all before the first wildcard token.
fn literal_beginning(pattern: &[u8]) -> &[u8] {
    let mut end = 0;
    for token in tokens(pattern) {
        if token == WILDCARD || token == TAIL {
            return &pattern[..end];
        }
        end += token.len() + 1;
    }
    pattern
}

/// Where a walk goes on from `text`, which does not match: nothing in between matches either.
fn leap(pattern: &[u8], text: &[u8]) -> Step {
    let mut names = tokens(text);
    let mut start = 0;
    for token in tokens(pattern) {
        let Some(name) = names.next() else {
            // Too short: longer ones follow.
            return Step::Next;
        };
        if token == TAIL {
            return Step::Next;
        }
        if token != WILDCARD && token != name {
            let wanted = [&text[..start], token].concat();
            if wanted.as_slice() > text {
                return Step::Leap(wanted);
            }
            return match start.checked_sub(1) {
                Some(separator) => Step::Leap(behind(&text[..separator])),
                None => Step::Stop,
            };
        }
        start += name.len() + 1;
    }
    // Too long: so is all that begins with the tokens so far.
    if names.rest().is_some() && start > 0 {
        return Step::Leap(behind(&text[..start - 1]));
    }
    Step::Next
}

/// The first text behind all that begin with `tokens` and a separator.
fn behind(tokens: &[u8]) -> Vec<u8> {
    let mut text = tokens.to_vec();
    text.push(SEPARATOR + 1);
    text
}
