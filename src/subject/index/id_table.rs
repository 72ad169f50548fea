//! A hash table of ids whose keys live elsewhere, and that never stops to grow.
//!
//! A plain table that doubles at ten million entries rehashes all of them at
//! once, most of a second on a core that has messages waiting. This one is a row
//! of small tables (shards) by linear hashing: the row grows by one shard at a
//! time, and each step rehashes the entries of one shard, a few hundred at most.
//! Removal shrinks it the same way.

use hashbrown::HashTable;

use super::segmented::Segmented;

/// Average entries a shard at which the row grows by a shard. Shards not yet
/// split in the current round hold up to twice as many, which just fits 256
/// buckets at hashbrown's load limit of 7/8.
const GROW_AT: usize = 100;

/// Average entries a shard below which the row shrinks; well below half of
/// [`GROW_AT`], so that entries that come and go at one size do not make it
/// swing.
const SHRINK_AT: usize = 40;

/// Ids hashed by keys that the caller keeps.
#[derive(Debug)]
pub(super) struct IdTable {
    /// Never empty.
    shards: Segmented<HashTable<u32>>,
    len: usize,
    /// Bytes of all shards' buckets.
    bucket_bytes: usize,
}

impl IdTable {
    pub(super) fn new() -> Self {
        let mut shards = Segmented::new();
        shards.push(HashTable::new());
        Self {
            shards,
            len: 0,
            bucket_bytes: 0,
        }
    }

    /// The id with this hash for which `is_key` holds.
    #[inline]
    pub(super) fn find(&self, hash: u64, mut is_key: impl FnMut(u32) -> bool) -> Option<u32> {
        self.shards[self.shard_of(hash)]
            .find(hash, |&id| is_key(id))
            .copied()
    }

    /// Adds an id that is not in the table; `hash_of` tells the hash of any id in it.
    pub(super) fn insert(&mut self, hash: u64, id: u32, hash_of: impl Fn(u32) -> u64) {
        if self.len >= self.shards.len() * GROW_AT {
            self.split_next(&hash_of);
        }
        let shard = self.shard_of(hash);
        self.insert_into(shard, hash, id, &hash_of);
        self.len += 1;
    }

    /// Takes out `id`, which must have this hash. Returns whether it was there.
    pub(super) fn remove(&mut self, hash: u64, id: u32, hash_of: impl Fn(u32) -> u64) -> bool {
        let shard = self.shard_of(hash);
        let Ok(entry) = self.shards[shard].find_entry(hash, |&other| other == id) else {
            return false;
        };
        entry.remove();
        self.len -= 1;
        if self.shards.len() > 1 && self.len < (self.shards.len() - 1) * SHRINK_AT {
            self.merge_last(&hash_of);
        }
        true
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.bucket_bytes + self.shards.memory_bytes()
    }

    /// Bits of the hash that choose a shard: neither the low ones, which choose
    /// hashbrown's bucket, nor the highest seven, which are its tag.
    #[inline]
    fn shard_bits(hash: u64) -> u32 {
        (hash >> 20) as u32
    }

    /// Linear hashing: with n shards in a round from 2^k to 2^(k+1), the first
    /// n - 2^k have been split by one more bit.
    #[inline]
    fn shard_of(&self, hash: u64) -> u32 {
        let count = self.shards.len() as u32;
        let round = Self::round_base(count);
        let bits = Self::shard_bits(hash);
        let wide = bits & (2 * round - 1);
        if wide < count { wide } else { wide - round }
    }

    /// The largest power of two not above `count`, which is positive.
    #[inline]
    fn round_base(count: u32) -> u32 {
        1 << (31 - count.leading_zeros())
    }

    /// Adds a shard and moves into it what is its own of the shard it comes from.
    fn split_next(&mut self, hash_of: impl Fn(u32) -> u64) {
        let count = self.shards.len() as u32;
        let source = count - Self::round_base(count);
        let entries = self.take_shard(source);
        // Half of the source goes to each, a few more by chance.
        let capacity = entries.len() / 2;
        self.replace_shard(source, HashTable::with_capacity(capacity));
        self.shards.push(HashTable::new());
        self.replace_shard(count, HashTable::with_capacity(capacity));
        self.reinsert(entries, hash_of);
    }

    /// Removes the last shard and moves its entries to the one it was split from.
    fn merge_last(&mut self, hash_of: impl Fn(u32) -> u64) {
        let last = self.shards.len() as u32 - 1;
        let target = last - Self::round_base(last);
        let from_last = self.take_shard(last);
        self.shards.pop();
        // The target is rebuilt as well: its buckets may be those of fuller days.
        let from_target = self.take_shard(target);
        let capacity = from_last.len() + from_target.len();
        self.replace_shard(target, HashTable::with_capacity(capacity));
        self.reinsert(from_target, &hash_of);
        self.reinsert(from_last, &hash_of);
    }

    fn take_shard(&mut self, shard: u32) -> HashTable<u32> {
        let taken = std::mem::take(&mut self.shards[shard]);
        self.bucket_bytes -= taken.allocation_size();
        taken
    }

    /// Puts `table` in the place of a shard that was taken or is new.
    fn replace_shard(&mut self, shard: u32, table: HashTable<u32>) {
        self.bucket_bytes += table.allocation_size();
        self.shards[shard] = table;
    }

    fn reinsert(&mut self, entries: HashTable<u32>, hash_of: impl Fn(u32) -> u64) {
        for id in entries {
            let hash = hash_of(id);
            let shard = self.shard_of(hash);
            self.insert_into(shard, hash, id, &hash_of);
        }
    }

    fn insert_into(&mut self, shard: u32, hash: u64, id: u32, hash_of: impl Fn(u32) -> u64) {
        let table = &mut self.shards[shard];
        let before = table.allocation_size();
        table.insert_unique(hash, id, |&id| hash_of(id));
        self.bucket_bytes = self.bucket_bytes - before + table.allocation_size();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The finaliser of SplitMix64: any hash that mixes all bits will do.
    fn mix(id: u32) -> u64 {
        let mut z = (u64::from(id) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn contains(table: &IdTable, id: u32) -> bool {
        table.find(mix(id), |other| other == id) == Some(id)
    }

    fn actual_bucket_bytes(table: &IdTable) -> usize {
        table.shards.iter().map(HashTable::allocation_size).sum()
    }

    #[test]
    fn grows_and_shrinks_without_losing_entries() {
        const COUNT: u32 = 20_000;
        let mut table = IdTable::new();
        for id in 0..COUNT {
            table.insert(mix(id), id, mix);
            assert!(contains(&table, id / 2));
        }
        assert_eq!(table.bucket_bytes, actual_bucket_bytes(&table));
        assert!((0..COUNT).all(|id| contains(&table, id)));
        assert!(!contains(&table, COUNT));
        let full = table.memory_bytes();
        for id in 0..COUNT {
            assert!(table.remove(mix(id), id, mix));
            assert!(!contains(&table, id));
            assert!(id + 1 == COUNT || contains(&table, COUNT - 1));
        }
        assert!(!table.remove(mix(0), 0, mix));
        assert_eq!(table.len, 0);
        assert_eq!(table.bucket_bytes, actual_bucket_bytes(&table));
        assert!(table.memory_bytes() < full / 10);
    }

    /// The pause of one insertion is that of rehashing one shard.
    #[test]
    fn shards_stay_small() {
        let mut table = IdTable::new();
        for id in 0..100_000 {
            table.insert(mix(id), id, mix);
        }
        let largest = table.shards.iter().map(HashTable::len).max();
        assert!(largest < Some(3 * GROW_AT), "{largest:?}");
        let per_entry = table.memory_bytes() as f64 / 100_000.0;
        assert!(per_entry < 12.0, "{per_entry}");
    }

    #[test]
    fn equal_hashes_are_told_apart_by_the_key() {
        let mut table = IdTable::new();
        for id in 0..500 {
            table.insert(7, id, |_| 7);
        }
        assert!((0..500).all(|id| table.find(7, |other| other == id) == Some(id)));
        assert!((0..500).all(|id| table.remove(7, id, |_| 7)));
    }
}
