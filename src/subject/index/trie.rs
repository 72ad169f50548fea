//! The trie of the patterns that have wildcards.
//!
//! Nodes lie in a slab and know their parent; the edges with names are found in
//! one hash table by parent and token, the edge `*` in the parent itself. The
//! walk over all nodes that a subject reaches follows the parents back instead
//! of keeping a stack, so that it needs neither memory nor recursion however
//! many tokens a subject has. It visits each node reachable once: a node has one
//! depth, and so consumes one fixed number of tokens.

use super::PatternId;
use super::arena::{Arena, ArenaFull, Block};
use super::id_table::IdTable;
use super::slab::{NONE, Slab};
use super::text_hash::TextHash;
use crate::subject::token::{SEPARATOR, TAIL, WILDCARD, tokens};

/// Where all patterns begin; allocated with the first pattern, freed never.
const ROOT: u32 = 0;

/// A prefix of patterns, in whole tokens.
#[derive(Debug)]
struct Node {
    parent: u32,
    /// Child by the token `*`.
    star: u32,
    /// Pattern that ends here.
    end: u32,
    /// Pattern that ends with the token `>` after this node.
    tail: u32,
    /// Number of children by name.
    names: u32,
    /// The token that leads here from the parent. Its length is zero at the root
    /// and at a child by `*`, whose tokens are not stored.
    token: Block,
    token_len: u32,
}

impl Node {
    const VACANT: Self = Self {
        parent: NONE,
        star: NONE,
        end: NONE,
        tail: NONE,
        names: 0,
        token: Block::NONE,
        token_len: 0,
    };

    fn is_unused(&self) -> bool {
        self.star == NONE && self.end == NONE && self.tail == NONE && self.names == 0
    }
}

/// Patterns with wildcards, by their ids. Tokens are stored in the index's arena.
#[derive(Debug)]
pub(super) struct Trie {
    nodes: Slab<Node>,
    edges: IdTable,
    len: usize,
}

impl Trie {
    pub(super) fn new() -> Self {
        Self {
            nodes: Slab::new(),
            edges: IdTable::new(),
            len: 0,
        }
    }

    /// Whether there is no pattern.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a pattern that is not in the trie. On failure it is as it was before.
    pub(super) fn insert(
        &mut self,
        pattern: &[u8],
        id: PatternId,
        hash: &TextHash,
        arena: &mut Arena,
    ) -> Result<(), ArenaFull> {
        if self.nodes.id_bound() == 0 {
            self.nodes.insert(Node::VACANT).ok_or(ArenaFull)?;
        }
        let mut node = ROOT;
        for token in tokens(pattern) {
            if token == TAIL {
                self.nodes[node].tail = id.0;
                self.len += 1;
                return Ok(());
            }
            node = match self.child(node, token, hash, arena) {
                Some(child) => child,
                None => match self.add_child(node, token, hash, arena) {
                    Ok(child) => child,
                    Err(full) => {
                        self.prune(node, hash, arena);
                        return Err(full);
                    }
                },
            };
        }
        self.nodes[node].end = id.0;
        self.len += 1;
        Ok(())
    }

    /// Takes out a pattern and the nodes that only it used.
    pub(super) fn remove(&mut self, pattern: &[u8], hash: &TextHash, arena: &mut Arena) {
        let mut node = ROOT;
        let mut ends_here = true;
        for token in tokens(pattern) {
            if token == TAIL {
                ends_here = false;
                break;
            }
            match self.child(node, token, hash, arena) {
                Some(child) => node = child,
                None => return debug_assert!(false, "pattern is not in the trie"),
            }
        }
        if ends_here {
            self.nodes[node].end = NONE;
        } else {
            self.nodes[node].tail = NONE;
        }
        self.len -= 1;
        self.prune(node, hash, arena);
    }

    /// Visits every pattern that matches `subject`, which has no empty token.
    ///
    /// The order depends on the patterns alone, not on the seed: a pattern that
    /// ends with `>` comes before longer ones, a name before `*`.
    #[inline]
    pub(super) fn for_each_match(
        &self,
        subject: &[u8],
        hash: &TextHash,
        arena: &Arena,
        mut visit: impl FnMut(PatternId),
    ) {
        if self.is_empty() {
            return;
        }
        // Begin of the next token; one past the length when all are consumed.
        let mut start = 0;
        let mut id = ROOT;
        loop {
            let node = &self.nodes[id];
            let mut next = NONE;
            if start > subject.len() {
                if node.end != NONE {
                    visit(PatternId(node.end));
                }
            } else {
                if node.tail != NONE {
                    visit(PatternId(node.tail));
                }
                let rest = &subject[start..];
                let len = memchr::memchr(SEPARATOR, rest).unwrap_or(rest.len());
                if node.names != 0 {
                    next = self.name_child(id, &rest[..len], hash, arena);
                }
                if next == NONE {
                    next = node.star;
                }
                if next != NONE {
                    id = next;
                    start += len + 1;
                    continue;
                }
            }
            // Climb until a child by name has a sibling by `*`, which is still to be visited.
            loop {
                if id == ROOT {
                    return;
                }
                let node = &self.nodes[id];
                let star = self.nodes[node.parent].star;
                if node.token_len != 0 && star != NONE {
                    id = star;
                    break;
                }
                id = node.parent;
                let consumed = &subject[..start - 1];
                start = memchr::memrchr(SEPARATOR, consumed).map_or(0, |at| at + 1);
            }
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.nodes.memory_bytes() + self.edges.memory_bytes()
    }

    #[cfg(test)]
    pub(super) fn node_count(&self) -> usize {
        self.nodes.len()
    }

    fn child(&self, parent: u32, token: &[u8], hash: &TextHash, arena: &Arena) -> Option<u32> {
        let child = if token == WILDCARD {
            self.nodes[parent].star
        } else {
            self.name_child(parent, token, hash, arena)
        };
        (child != NONE).then_some(child)
    }

    /// The child by the name `token`, or [`NONE`].
    #[inline]
    fn name_child(&self, parent: u32, token: &[u8], hash: &TextHash, arena: &Arena) -> u32 {
        self.edges
            .find(hash.edge(parent, token), |id| {
                let node = &self.nodes[id];
                node.parent == parent
                    && node.token_len as usize == token.len()
                    && arena.text(node.token, token.len()) == token
            })
            .unwrap_or(NONE)
    }

    fn add_child(
        &mut self,
        parent: u32,
        token: &[u8],
        hash: &TextHash,
        arena: &mut Arena,
    ) -> Result<u32, ArenaFull> {
        if token == WILDCARD {
            let child = self.nodes.insert(Node {
                parent,
                ..Node::VACANT
            });
            let child = child.ok_or(ArenaFull)?;
            self.nodes[parent].star = child;
            return Ok(child);
        }
        let block = arena.store(token)?;
        let child = self.nodes.insert(Node {
            parent,
            token: block,
            token_len: token.len() as u32,
            ..Node::VACANT
        });
        let Some(child) = child else {
            arena.free(block);
            return Err(ArenaFull);
        };
        self.nodes[parent].names += 1;
        let nodes = &self.nodes;
        self.edges.insert(hash.edge(parent, token), child, |id| {
            edge_hash(nodes, id, hash, arena)
        });
        Ok(child)
    }

    /// Removes `node` and its ancestors as far as no pattern needs them.
    fn prune(&mut self, mut node: u32, hash: &TextHash, arena: &mut Arena) {
        while node != ROOT && self.nodes[node].is_unused() {
            let Node {
                parent,
                token,
                token_len,
                ..
            } = self.nodes[node];
            if token_len == 0 {
                self.nodes[parent].star = NONE;
            } else {
                let nodes = &self.nodes;
                let own_hash = edge_hash(nodes, node, hash, arena);
                self.edges
                    .remove(own_hash, node, |id| edge_hash(nodes, id, hash, arena));
                self.nodes[parent].names -= 1;
                arena.free(token);
            }
            self.nodes.remove(node, Node::VACANT);
            node = parent;
        }
    }
}

/// Hash of the edge that leads to a child by name.
fn edge_hash(nodes: &Slab<Node>, id: u32, hash: &TextHash, arena: &Arena) -> u64 {
    let node = &nodes[id];
    hash.edge(node.parent, arena.text(node.token, node.token_len as usize))
}
