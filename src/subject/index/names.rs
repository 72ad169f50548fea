//! Texts under dense ids, without the trie: for sets that are never matched.

use super::arena::Arena;
use super::id_table::IdTable;
use super::slab::Slab;
use super::text_hash::TextHash;
use super::{IndexFull, MAX_PATTERN_LEN, Slot};

/// A set of texts, each under an id: dense, from zero, reused after removal.
///
/// Costs what a literal costs in an [`Index`](super::Index). Any bytes are a text, and `*` and `>`
/// mean nothing.
#[derive(Debug)]
pub struct Names {
    hash: TextHash,
    arena: Arena,
    slots: Slab<Slot>,
    by_text: IdTable,
}

impl Names {
    /// An empty set whose hash is seeded, so that texts cannot be chosen to collide.
    pub fn with_seed(seed: u64) -> Self {
        Self {
            hash: TextHash::with_seed(seed),
            arena: Arena::new(),
            slots: Slab::new(),
            by_text: IdTable::new(),
        }
    }

    /// Adds a text. Returns its id and whether it is new.
    ///
    /// # Errors
    /// [`IndexFull`]; the set is then as it was before.
    pub fn insert(&mut self, text: &[u8]) -> Result<(u32, bool), IndexFull> {
        let text_hash = self.hash.text(text);
        if let Some(id) = self.find_hashed(text_hash, text) {
            return Ok((id, false));
        }
        if text.len() > MAX_PATTERN_LEN {
            return Err(IndexFull);
        }
        let block = self.arena.store(text).map_err(|_| IndexFull)?;
        let slot = Slot {
            block,
            len_and_flag: text.len() as u32,
        };
        let Some(id) = self.slots.insert(slot) else {
            self.arena.free(block);
            return Err(IndexFull);
        };
        let (slots, arena, hash) = (&self.slots, &self.arena, &self.hash);
        self.by_text
            .insert(text_hash, id, |other| hash.text(slots[other].text(arena)));
        Ok((id, true))
    }

    /// The id of a text.
    pub fn find(&self, text: &[u8]) -> Option<u32> {
        self.find_hashed(self.hash.text(text), text)
    }

    /// The text of an id; empty if the id is not in use.
    pub fn text(&self, id: u32) -> &[u8] {
        match self.slots.get(id) {
            Some(slot) if !slot.is_vacant() => slot.text(&self.arena),
            _ => &[],
        }
    }

    /// Removes a text, if the id is in use. The id may be given to another text from now on.
    pub fn remove(&mut self, id: u32) {
        let slot = match self.slots.get(id) {
            Some(slot) if !slot.is_vacant() => *slot,
            _ => return,
        };
        // The table finds its entries by their text, so that goes last.
        let text_hash = self.hash.text(slot.text(&self.arena));
        let (slots, arena, hash) = (&self.slots, &self.arena, &self.hash);
        self.by_text
            .remove(text_hash, id, |other| hash.text(slots[other].text(arena)));
        self.arena.free(slot.block);
        self.slots.remove(id, Slot::VACANT);
    }

    /// Number of texts.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All ids are below this.
    pub fn id_bound(&self) -> usize {
        self.slots.id_bound()
    }

    /// Bytes allocated.
    pub fn memory_bytes(&self) -> usize {
        self.arena.memory_bytes() + self.slots.memory_bytes() + self.by_text.memory_bytes()
    }

    fn find_hashed(&self, text_hash: u64, text: &[u8]) -> Option<u32> {
        self.by_text
            .find(text_hash, |id| self.slots[id].text(&self.arena) == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_are_a_text_and_ids_are_reused() {
        let mut names = Names::with_seed(1);
        for text in [b"a.>.b" as &[u8], b"", b"*", b"a..b"] {
            let (id, new) = names.insert(text).expect("room");
            assert!(new);
            assert_eq!(names.insert(text), Ok((id, false)));
            assert_eq!((names.find(text), names.text(id)), (Some(id), text));
        }
        let id = names.find(b"*").expect("inserted");
        names.remove(id);
        names.remove(id);
        assert_eq!((names.find(b"*"), names.len()), (None, 3));
        assert_eq!(names.insert(b"new"), Ok((id, true)));
        assert_eq!(names.id_bound(), 4);
    }
}
