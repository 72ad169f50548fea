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
pub struct TextHash {
    shared: SharedSeed,
    seed: u64,
}

impl TextHash {
    /// A hash keyed by `seed`.
    pub const fn with_seed(seed: u64) -> Self {
        Self {
            shared: SharedSeed::from_u64(seed),
            seed,
        }
    }

    #[inline]
    /// Hash of a text.
    pub fn text(&self, text: &[u8]) -> u64 {
        let mut hasher = FoldHasher::with_seed(self.seed, &self.shared);
        hasher.write(text);
        hasher.finish()
    }

    /// Hash of a text that belongs to a number: a token below a node of the trie,
    /// a subject of an account.
    #[inline]
    pub fn edge(&self, parent: u32, token: &[u8]) -> u64 {
        let mut hasher = FoldHasher::with_seed(self.seed, &self.shared);
        hasher.write_u32(parent);
        hasher.write(token);
        hasher.finish()
    }
}
