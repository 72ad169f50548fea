//! The seeded hash of subjects and tokens.

use std::hash::Hasher;

use foldhash::SharedSeed;
use foldhash::quality::FoldHasher;

/// Hashes byte strings under a seed that clients cannot know, so that they
/// cannot choose subjects that fall into one bucket.
///
/// The `quality` variant, because [`IdTable`](super::id_table::IdTable) uses bits
/// from all over the hash.
#[derive(Clone, Debug)]
pub(super) struct TextHash {
    shared: SharedSeed,
    seed: u64,
}

impl TextHash {
    pub(super) const fn with_seed(seed: u64) -> Self {
        Self {
            shared: SharedSeed::from_u64(seed),
            seed,
        }
    }

    #[inline]
    pub(super) fn text(&self, text: &[u8]) -> u64 {
        let mut hasher = FoldHasher::with_seed(self.seed, &self.shared);
        hasher.write(text);
        hasher.finish()
    }

    /// Hash of a token below a node of the trie.
    #[inline]
    pub(super) fn edge(&self, parent: u32, token: &[u8]) -> u64 {
        let mut hasher = FoldHasher::with_seed(self.seed, &self.shared);
        hasher.write_u32(parent);
        hasher.write(token);
        hasher.finish()
    }
}
