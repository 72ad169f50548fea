//! The subscription index: a set of patterns under dense ids, and the question
//! which of them match a subject.
//!
//! Every pattern, with wildcards or without, is stored once in an [arena](arena)
//! and found by its text in a [hash table](id_table). Patterns with wildcards are
//! in a [trie](trie) besides. A subject is matched by one look into the table
//! and, if there are wildcards at all, one walk through the trie.
//!
//! # Memory
//! A literal costs its length rounded up to 4 bytes, 8 bytes of slot, and 6 to 12
//! of hash table (one 5-byte bucket at a load between 7/16 and 7/8): about 20
//! bytes beside its text. A pattern with wildcards costs as much, and for each
//! of its tokens that no other pattern leads to 28 bytes of node, 6 to 12 of
//! table and the token. Freed memory serves any later pattern; pages of text and
//! shards of tables also return to the allocator.
//!
//! # Time
//! No operation moves more than a few hundred entries at once, at any size: what
//! is large grows in segments or shards. Matching visits each node of the trie
//! that the subject reaches once; it does not allocate or recurse.

mod arena;
mod id_table;
mod names;
mod segmented;
mod slab;
#[cfg(test)]
mod tests;
mod text_hash;
mod trie;

use std::fmt;

use self::arena::{Arena, Block};
use self::id_table::IdTable;
pub use self::names::Names;
use self::slab::Slab;
pub use self::text_hash::TextHash;
use self::trie::Trie;
use super::token::{is_literal, is_valid_publish, is_valid_subscription};

/// A pattern of one [`Index`]: dense, from zero, reused after removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PatternId(pub u32);

/// The index has no room for another pattern: it holds 2^32 - 1 patterns or
/// nodes, or 16 GiB of text, or the pattern has 2 GiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexFull;

impl fmt::Display for IndexFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the subscription index is full")
    }
}

impl std::error::Error for IndexFull {}

/// Seed of [`Index::new`]; any number does.
const DEFAULT_SEED: u64 = 0x5269_6e67_7769_7265;

/// Length limit of a pattern: the length shares its 32 bits with a flag.
const MAX_PATTERN_LEN: usize = (Slot::WILDCARD_FLAG - 1) as usize;

/// Where a pattern's text is; 8 bytes, for there are millions.
#[derive(Clone, Copy, Debug)]
struct Slot {
    /// [`Block::NONE`] while the id is not in use.
    block: Block,
    len_and_flag: u32,
}

impl Slot {
    const WILDCARD_FLAG: u32 = 1 << 31;
    const VACANT: Self = Self {
        block: Block::NONE,
        len_and_flag: 0,
    };

    fn is_vacant(self) -> bool {
        self.block == Block::NONE
    }

    fn is_wildcard(self) -> bool {
        self.len_and_flag & Self::WILDCARD_FLAG != 0
    }

    fn text(self, arena: &Arena) -> &[u8] {
        arena.text(
            self.block,
            (self.len_and_flag & !Self::WILDCARD_FLAG) as usize,
        )
    }
}

/// A set of patterns that tells which of them match a subject.
///
/// ```
/// use ringwire::subject::Index;
///
/// let mut index = Index::with_seed(42);
/// let (orders, new) = index.insert(b"orders.*.new")?;
/// assert!(new);
/// index.insert(b"orders.eu.paid")?;
///
/// let mut hits = Vec::new();
/// index.for_each_match(b"orders.eu.new", |id| hits.push(id));
/// assert_eq!(hits, [orders]);
/// # Ok::<(), ringwire::subject::IndexFull>(())
/// ```
#[derive(Debug)]
pub struct Index {
    hash: TextHash,
    arena: Arena,
    slots: Slab<Slot>,
    /// All patterns by their text.
    by_text: IdTable,
    /// Those of them that have wildcards.
    wildcards: Trie,
}

impl Default for Index {
    fn default() -> Self {
        Self::new()
    }
}

impl Index {
    /// An empty index with a fixed seed, for tests and for patterns that no
    /// client chooses. Elsewhere use [`with_seed`](Self::with_seed).
    pub fn new() -> Self {
        Self::with_seed(DEFAULT_SEED)
    }

    /// An empty index whose hash is seeded. With a seed that clients cannot know
    /// they cannot choose subjects that collide. Results and their order do not
    /// depend on it.
    pub fn with_seed(seed: u64) -> Self {
        Self::with_arena(seed, Arena::new())
    }

    fn with_arena(seed: u64, arena: Arena) -> Self {
        Self {
            hash: TextHash::with_seed(seed),
            arena,
            slots: Slab::new(),
            by_text: IdTable::new(),
            wildcards: Trie::new(),
        }
    }

    /// Adds a pattern, which must be a [valid subscription](is_valid_subscription).
    /// Returns its id and whether it is new.
    ///
    /// # Errors
    /// [`IndexFull`]; the index is then as it was before.
    pub fn insert(&mut self, pattern: &[u8]) -> Result<(PatternId, bool), IndexFull> {
        debug_assert!(is_valid_subscription(pattern));
        let text_hash = self.hash.text(pattern);
        if let Some(id) = self.find_hashed(text_hash, pattern) {
            return Ok((id, false));
        }
        if pattern.len() > MAX_PATTERN_LEN {
            return Err(IndexFull);
        }
        let block = self.arena.store(pattern).map_err(|_| IndexFull)?;
        let wildcard = !is_literal(pattern);
        let flag = if wildcard { Slot::WILDCARD_FLAG } else { 0 };
        let slot = Slot {
            block,
            len_and_flag: pattern.len() as u32 | flag,
        };
        let Some(id) = self.slots.insert(slot) else {
            self.arena.free(block);
            return Err(IndexFull);
        };
        let id = PatternId(id);
        if wildcard
            && self
                .wildcards
                .insert(pattern, id, &self.hash, &mut self.arena)
                .is_err()
        {
            self.slots.remove(id.0, Slot::VACANT);
            self.arena.free(block);
            return Err(IndexFull);
        }
        let (slots, arena, hash) = (&self.slots, &self.arena, &self.hash);
        self.by_text
            .insert(text_hash, id.0, |other| hash.text(slots[other].text(arena)));
        Ok((id, true))
    }

    /// The id of a pattern, compared as text.
    pub fn find(&self, pattern: &[u8]) -> Option<PatternId> {
        self.find_hashed(self.hash.text(pattern), pattern)
    }

    /// Removes a pattern. Its id may be given to another pattern from now on.
    ///
    /// # Panics
    /// If there is no such pattern.
    pub fn remove(&mut self, id: PatternId) {
        let slot = self.slot(id);
        // The table finds its entries by their text, so that goes last.
        let text_hash = self.hash.text(slot.text(&self.arena));
        let (slots, arena, hash) = (&self.slots, &self.arena, &self.hash);
        self.by_text
            .remove(text_hash, id.0, |other| hash.text(slots[other].text(arena)));
        if slot.is_wildcard() {
            // The trie frees tokens in the arena that the text lies in.
            let pattern = slot.text(&self.arena).to_vec();
            self.wildcards.remove(&pattern, &self.hash, &mut self.arena);
        }
        self.arena.free(slot.block);
        self.slots.remove(id.0, Slot::VACANT);
    }

    /// The text of a pattern.
    ///
    /// # Panics
    /// If there is no such pattern.
    pub fn pattern(&self, id: PatternId) -> &[u8] {
        self.slot(id).text(&self.arena)
    }

    /// Whether a pattern has a wildcard token.
    ///
    /// # Panics
    /// If there is no such pattern.
    pub fn is_wildcard(&self, id: PatternId) -> bool {
        self.slot(id).is_wildcard()
    }

    /// Calls `visit` for every pattern that matches `subject`, each once.
    ///
    /// `*` and `>` in the subject are text; a subject with an empty token matches
    /// nothing. The order is the same in every index with the same patterns.
    #[inline]
    pub fn for_each_match(&self, subject: &[u8], mut visit: impl FnMut(PatternId)) {
        // A subject such as `a.*` finds the pattern of the same text here; that one
        // is visited by the walk.
        if let Some(id) = self.find(subject)
            && !self.slots[id.0].is_wildcard()
        {
            visit(id);
        }
        if !self.wildcards.is_empty() && is_valid_publish(subject) {
            self.wildcards
                .for_each_match(subject, &self.hash, &self.arena, visit);
        }
    }

    /// Replaces what `matched` holds by the patterns that match `subject`, as
    /// [`for_each_match`](Self::for_each_match) visits them.
    pub fn match_all(&self, subject: &[u8], matched: &mut Vec<PatternId>) {
        matched.clear();
        self.for_each_match(subject, |id| matched.push(id));
    }

    /// Number of patterns.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is no pattern.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All ids are below this, so that callers can keep an array beside the index.
    /// It is the largest number of patterns there ever was.
    pub fn id_bound(&self) -> usize {
        self.slots.id_bound()
    }

    /// Bytes allocated by the index, without the allocator's own overhead.
    pub fn memory_bytes(&self) -> usize {
        self.arena.memory_bytes()
            + self.slots.memory_bytes()
            + self.by_text.memory_bytes()
            + self.wildcards.memory_bytes()
    }

    /// All patterns and their ids, by ascending id.
    pub fn iter(&self) -> impl Iterator<Item = (PatternId, &[u8])> {
        (0..)
            .map(PatternId)
            .zip(self.slots.iter())
            .filter(|(_, slot)| !slot.is_vacant())
            .map(|(id, slot)| (id, slot.text(&self.arena)))
    }

    #[inline]
    fn find_hashed(&self, text_hash: u64, pattern: &[u8]) -> Option<PatternId> {
        self.by_text
            .find(text_hash, |id| self.slots[id].text(&self.arena) == pattern)
            .map(PatternId)
    }

    fn slot(&self, id: PatternId) -> Slot {
        match self.slots.get(id.0) {
            Some(slot) if !slot.is_vacant() => *slot,
            _ => panic!("pattern id {} is not in use", id.0),
        }
    }
}
