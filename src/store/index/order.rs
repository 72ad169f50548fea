//! The subjects of a log in the order of their bytes: a crit-bit tree over subject numbers.
//!
//! It answers "the first subject not below this text" and "in order from here", which is all that
//! a wildcard filter needs: it reads the stretch under its literal beginning and leaps over what
//! cannot match. 12 bytes a subject, beside the text, which the caller looks up by number.

/// A child: a subject's number or an inner node's, told apart by the highest bit.
type Child = u32;
const LEAF: u32 = 1 << 31;
const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Node {
    /// Position of the bit where the two sides differ: nine bits a byte, the first says that there
    /// is a byte at all.
    bit: u32,
    children: [Child; 2],
}

/// Subject numbers in the order of their texts.
#[derive(Debug)]
pub(super) struct Order {
    root: Child,
    nodes: Vec<Node>,
    /// First vacant node; the next is in `children[0]`.
    vacant: u32,
}

/// Whether `text` has bit `bit` set.
fn has(text: &[u8], bit: u32) -> usize {
    let (byte, bit) = ((bit / 9) as usize, bit % 9);
    match text.get(byte) {
        None => 0,
        Some(_) if bit == 0 => 1,
        Some(byte) => usize::from(byte >> (8 - bit) & 1),
    }
}

/// The first bit where two texts differ.
fn first_difference(a: &[u8], b: &[u8]) -> Option<u32> {
    let common = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    match (a.get(common), b.get(common)) {
        (None, None) => None,
        (Some(a), Some(b)) => Some(common as u32 * 9 + 1 + (a ^ b).leading_zeros()),
        _ => Some(common as u32 * 9),
    }
}

impl Default for Order {
    fn default() -> Self {
        Self {
            root: NONE,
            nodes: Vec::new(),
            vacant: NONE,
        }
    }
}

impl Order {
    /// Adds a subject that is not in the tree. Numbers are below 2^31.
    pub(super) fn insert<'a>(&mut self, id: u32, text: &[u8], text_of: impl Fn(u32) -> &'a [u8]) {
        if self.root == NONE {
            self.root = LEAF | id;
            return;
        }
        let near = self.nearest(text);
        let Some(bit) = first_difference(text, text_of(near)) else {
            return;
        };
        let side = has(text, bit);
        // Where the path meets a node behind the difference, the new node goes in between.
        let mut parent: Option<(u32, usize)> = None;
        let mut at = self.root;
        while at & LEAF == 0 && self.nodes[at as usize].bit < bit {
            let direction = has(text, self.nodes[at as usize].bit);
            parent = Some((at, direction));
            at = self.nodes[at as usize].children[direction];
        }
        let mut children = [at; 2];
        children[side] = LEAF | id;
        let node = self.allocate(Node { bit, children });
        match parent {
            None => self.root = node,
            Some((parent, direction)) => self.nodes[parent as usize].children[direction] = node,
        }
    }

    /// Removes a subject.
    pub(super) fn remove(&mut self, id: u32, text: &[u8]) {
        let mut grandparent: Option<(u32, usize)> = None;
        let mut parent: Option<(u32, usize)> = None;
        let mut at = self.root;
        if at == NONE {
            return;
        }
        while at & LEAF == 0 {
            let direction = has(text, self.nodes[at as usize].bit);
            grandparent = parent;
            parent = Some((at, direction));
            at = self.nodes[at as usize].children[direction];
        }
        if at != LEAF | id {
            return;
        }
        let Some((node, direction)) = parent else {
            self.root = NONE;
            return;
        };
        let sibling = self.nodes[node as usize].children[1 - direction];
        match grandparent {
            None => self.root = sibling,
            Some((above, side)) => self.nodes[above as usize].children[side] = sibling,
        }
        self.nodes[node as usize].children[0] = self.vacant;
        self.vacant = node;
    }

    /// The subject that shares the path of `text`.
    fn nearest(&self, text: &[u8]) -> u32 {
        let mut at = self.root;
        while at & LEAF == 0 {
            let node = &self.nodes[at as usize];
            at = node.children[has(text, node.bit)];
        }
        at & !LEAF
    }

    fn allocate(&mut self, node: Node) -> u32 {
        if self.vacant == NONE {
            self.nodes.push(node);
            return self.nodes.len() as u32 - 1;
        }
        let at = self.vacant;
        self.vacant = self.nodes[at as usize].children[0];
        self.nodes[at as usize] = node;
        at
    }

    /// Walks over subjects in order, from the first not below `from`. `visit` says how to go on.
    pub(super) fn walk<'a>(
        &self,
        from: &[u8],
        text_of: impl Fn(u32) -> &'a [u8],
        mut visit: impl FnMut(u32) -> Step,
    ) {
        let mut from = from.to_vec();
        let mut path = Vec::new();
        loop {
            path.clear();
            let mut next = self.seek(&from, &text_of, &mut path);
            loop {
                let Some(id) = next else { return };
                match visit(id) {
                    Step::Next => next = self.advance(&mut path),
                    Step::Leap(to) => {
                        debug_assert!(to.as_slice() > text_of(id));
                        from = to;
                        break;
                    }
                    Step::Stop => return,
                }
            }
        }
    }

    /// The first subject not below `from`. `path` becomes the right siblings that follow it.
    fn seek<'a>(
        &self,
        from: &[u8],
        text_of: &impl Fn(u32) -> &'a [u8],
        path: &mut Vec<Child>,
    ) -> Option<u32> {
        if self.root == NONE {
            return None;
        }
        let difference = first_difference(from, text_of(self.nearest(from)));
        let mut at = self.root;
        while at & LEAF == 0 {
            let node = self.nodes[at as usize];
            if difference.is_some_and(|bit| node.bit > bit) {
                break;
            }
            let direction = has(from, node.bit);
            if direction == 0 {
                path.push(node.children[1]);
            }
            at = node.children[direction];
        }
        // All below `at` compare to `from` alike: at the difference, or there is none.
        match difference {
            Some(bit) if has(from, bit) == 1 => self.advance(path),
            _ => Some(self.first_below(at, path)),
        }
    }

    fn advance(&self, path: &mut Vec<Child>) -> Option<u32> {
        let at = path.pop()?;
        Some(self.first_below(at, path))
    }

    fn first_below(&self, mut at: Child, path: &mut Vec<Child>) -> u32 {
        while at & LEAF == 0 {
            let node = &self.nodes[at as usize];
            path.push(node.children[1]);
            at = node.children[0];
        }
        at & !LEAF
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.nodes.capacity() * size_of::<Node>()
    }
}

/// How a [walk](Order::walk) goes on.
pub(super) enum Step {
    /// To the next subject.
    Next,
    /// To the first subject not below this text, which is above the present one.
    Leap(Vec<u8>),
    Stop,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn behaves_like_an_ordered_map(
            steps in proptest::collection::vec((any::<bool>(), "[ab.\\x00]{1,6}"), 0..200),
            probes in proptest::collection::vec("[ab.\\x00]{0,7}", 10),
        ) {
            let mut texts: Vec<String> = Vec::new();
            let mut model: BTreeMap<String, u32> = BTreeMap::new();
            let mut order = Order::default();
            for (insert, text) in steps {
                match (insert, model.get(&text).copied()) {
                    (true, None) => {
                        let id = texts.len() as u32;
                        texts.push(text.clone());
                        order.insert(id, text.as_bytes(), |id| texts[id as usize].as_bytes());
                        model.insert(text, id);
                    }
                    (false, Some(id)) => {
                        order.remove(id, text.as_bytes());
                        model.remove(&text);
                    }
                    _ => {}
                }
            }
            for probe in probes {
                let mut found = Vec::new();
                order.walk(
                    probe.as_bytes(),
                    |id| texts[id as usize].as_bytes(),
                    |id| {
                        found.push(id);
                        Step::Next
                    },
                );
                let expected: Vec<u32> = model.range(probe..).map(|entry| *entry.1).collect();
                prop_assert_eq!(found, expected);
            }
        }
    }
}
