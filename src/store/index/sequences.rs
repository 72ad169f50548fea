//! Entries by sequence.
//!
//! Sequences are cut into chunks of [`CHUNK`]. A full chunk is an array; one that lost half of its
//! messages is packed; an empty one is gone. Chunks hang in pages, so that a log whose sequences
//! go far beyond its messages (a key-value bucket) pays 8 bytes for each 1024 sequences, and
//! nothing for stretches of four million without a message.

use std::collections::BTreeMap;

use super::entry::Entry;

/// Sequences of a chunk.
pub(super) const CHUNK: usize = 1024;
const WORDS: usize = CHUNK / 64;
/// Chunks of a page.
const PAGE: usize = 4096;

#[derive(Debug)]
struct Chunk {
    /// A bit for each sequence that has a message.
    live: [u64; WORDS],
    /// One entry for each sequence from the chunk's first on, or, if packed, for each live one.
    entries: Vec<Entry>,
    packed: bool,
}

impl Chunk {
    fn new() -> Self {
        Self {
            live: [0; WORDS],
            entries: Vec::new(),
            packed: false,
        }
    }

    fn has(&self, at: usize) -> bool {
        self.live[at / 64] & (1 << (at % 64)) != 0
    }

    /// Live sequences below `at`.
    fn rank(&self, at: usize) -> usize {
        let whole: u32 = self.live[..at / 64].iter().map(|w| w.count_ones()).sum();
        let mut rank = whole as usize;
        if !at.is_multiple_of(64) {
            rank += (self.live[at / 64] & ((1 << (at % 64)) - 1)).count_ones() as usize;
        }
        rank
    }

    fn slot(&self, at: usize) -> usize {
        if self.packed { self.rank(at) } else { at }
    }

    fn get(&self, at: usize) -> Option<&Entry> {
        self.has(at).then(|| &self.entries[self.slot(at)])
    }

    fn get_mut(&mut self, at: usize) -> Option<&mut Entry> {
        if !self.has(at) {
            return None;
        }
        let slot = self.slot(at);
        Some(&mut self.entries[slot])
    }

    /// Keeps only the entries of live sequences.
    fn pack(&mut self, live: usize) {
        let mut packed = Vec::with_capacity(live);
        for at in 0..self.entries.len() {
            if self.has(at) {
                packed.push(self.entries[at]);
            }
        }
        self.entries = packed;
        self.packed = true;
    }

    fn insert(&mut self, at: usize, entry: Entry, live: usize) {
        // Sequences far apart do not pay for those between them.
        if !self.packed && at > 2 * live + 16 {
            self.pack(live + 1);
        }
        if self.packed {
            let slot = self.rank(at);
            self.entries.insert(slot, entry);
        } else if at < self.entries.len() {
            self.entries[at] = entry;
        } else {
            self.entries.resize(at, Entry::default());
            self.entries.push(entry);
        }
        self.live[at / 64] |= 1 << (at % 64);
    }

    /// Takes the entry at `at`, which there is; `live` is the number of those that remain.
    fn remove(&mut self, at: usize, live: usize) -> Entry {
        let slot = self.slot(at);
        let entry = if self.packed {
            self.entries.remove(slot)
        } else {
            self.entries[slot]
        };
        self.live[at / 64] &= !(1 << (at % 64));
        let oversized = self.entries.capacity() > 4 * live.max(4);
        if !self.packed && self.entries.len() == CHUNK && live < CHUNK / 2 {
            self.pack(live);
        } else if self.packed && oversized {
            self.entries.shrink_to(2 * live);
        }
        entry
    }

    fn next(&self, at: usize) -> Option<usize> {
        let mut word = at / 64;
        let mut bits = self.live.get(word)? & (u64::MAX << (at % 64));
        loop {
            if bits != 0 {
                return Some(word * 64 + bits.trailing_zeros() as usize);
            }
            word += 1;
            bits = *self.live.get(word)?;
        }
    }

    fn previous(&self, at: usize) -> Option<usize> {
        let mut word = at / 64;
        let mut bits = self.live[word] & (u64::MAX >> (63 - at % 64));
        loop {
            if bits != 0 {
                return Some(word * 64 + 63 - bits.leading_zeros() as usize);
            }
            word = word.checked_sub(1)?;
            bits = self.live[word];
        }
    }
}

#[derive(Debug, Default)]
struct Page {
    chunks: Vec<Option<Box<Chunk>>>,
    /// Messages of each chunk.
    counts: Vec<u16>,
    count: u64,
}

impl Page {
    fn next_chunk(&self, from: usize) -> Option<usize> {
        let found = self.counts.get(from..)?.iter().position(|&count| count > 0);
        found.map(|skipped| from + skipped)
    }

    fn previous_chunk(&self, from: usize) -> Option<usize> {
        let end = self.counts.len().min(from + 1);
        self.counts[..end].iter().rposition(|&count| count > 0)
    }
}

/// Entries by sequence.
#[derive(Debug, Default)]
pub(super) struct Sequences {
    pages: BTreeMap<u64, Page>,
    count: u64,
}

const fn split(sequence: u64) -> (u64, usize, usize) {
    let chunk = sequence / CHUNK as u64;
    (
        chunk / PAGE as u64,
        (chunk % PAGE as u64) as usize,
        (sequence % CHUNK as u64) as usize,
    )
}

const fn join(page: u64, chunk: usize, at: usize) -> u64 {
    (page * PAGE as u64 + chunk as u64) * CHUNK as u64 + at as u64
}

impl Sequences {
    pub(super) fn len(&self) -> u64 {
        self.count
    }

    fn chunk(&self, page: u64, chunk: usize) -> Option<&Chunk> {
        self.pages.get(&page)?.chunks.get(chunk)?.as_deref()
    }

    pub(super) fn get(&self, sequence: u64) -> Option<&Entry> {
        let (page, chunk, at) = split(sequence);
        self.chunk(page, chunk)?.get(at)
    }

    pub(super) fn get_mut(&mut self, sequence: u64) -> Option<&mut Entry> {
        let (page, chunk, at) = split(sequence);
        let page = self.pages.get_mut(&page)?;
        page.chunks.get_mut(chunk)?.as_deref_mut()?.get_mut(at)
    }

    /// Adds an entry under a sequence that has none.
    pub(super) fn insert(&mut self, sequence: u64, entry: Entry) {
        let (page, chunk, at) = split(sequence);
        let page = self.pages.entry(page).or_default();
        if page.chunks.len() <= chunk {
            page.chunks.resize_with(chunk + 1, || None);
            page.counts.resize(chunk + 1, 0);
        }
        page.chunks[chunk]
            .get_or_insert_with(|| Box::new(Chunk::new()))
            .insert(at, entry, page.counts[chunk].into());
        page.counts[chunk] += 1;
        page.count += 1;
        self.count += 1;
    }

    pub(super) fn remove(&mut self, sequence: u64) -> Option<Entry> {
        let (number, chunk, at) = split(sequence);
        let page = self.pages.get_mut(&number)?;
        let slot = page.chunks.get_mut(chunk)?;
        let owned = slot.as_deref_mut()?;
        if !owned.has(at) {
            return None;
        }
        let left = page.counts[chunk] - 1;
        let entry = owned.remove(at, left as usize);
        page.counts[chunk] = left;
        if left == 0 {
            *slot = None;
        }
        page.count -= 1;
        if page.count == 0 {
            self.pages.remove(&number);
        }
        self.count -= 1;
        Some(entry)
    }

    /// The first sequence from `from` on that has a message.
    pub(super) fn next(&self, from: u64) -> Option<u64> {
        let (first_page, first_chunk, at) = split(from);
        if let Some(found) = self
            .chunk(first_page, first_chunk)
            .and_then(|chunk| chunk.next(at))
        {
            return Some(join(first_page, first_chunk, found));
        }
        for (&number, page) in self.pages.range(first_page..) {
            let start = if number == first_page {
                first_chunk + 1
            } else {
                0
            };
            if let Some(chunk) = page.next_chunk(start)
                && let Some(at) = page.chunks[chunk].as_deref().and_then(|c| c.next(0))
            {
                return Some(join(number, chunk, at));
            }
        }
        None
    }

    /// The last sequence up to `from` that has a message.
    pub(super) fn previous(&self, from: u64) -> Option<u64> {
        let (last_page, last_chunk, at) = split(from);
        if let Some(found) = self
            .chunk(last_page, last_chunk)
            .and_then(|chunk| chunk.previous(at))
        {
            return Some(join(last_page, last_chunk, found));
        }
        for (&number, page) in self.pages.range(..=last_page).rev() {
            let end = if number < last_page {
                PAGE - 1
            } else if let Some(end) = last_chunk.checked_sub(1) {
                end
            } else {
                continue;
            };
            if let Some(chunk) = page.previous_chunk(end)
                && let Some(at) = page.chunks[chunk]
                    .as_deref()
                    .and_then(|c| c.previous(CHUNK - 1))
            {
                return Some(join(number, chunk, at));
            }
        }
        None
    }

    /// Messages from `from` on.
    pub(super) fn count_from(&self, from: u64) -> u64 {
        let (first_page, first_chunk, at) = split(from);
        let mut below = 0;
        for (&number, page) in self.pages.range(..=first_page) {
            if number < first_page {
                below += page.count;
                continue;
            }
            let whole = first_chunk.min(page.counts.len());
            below += page.counts[..whole]
                .iter()
                .map(|&c| u64::from(c))
                .sum::<u64>();
            if let Some(Some(chunk)) = page.chunks.get(first_chunk) {
                below += chunk.rank(at) as u64;
            }
        }
        self.count - below
    }

    /// The first sequence whose time is at or behind `unix_ns`, if times ascend.
    pub(super) fn at_time(&self, unix_ns: i64) -> Option<u64> {
        let time = |sequence: u64| self.get(sequence).map_or(i64::MAX, |entry| entry.unix_ns);
        let mut low = self.next(0)?;
        let last = self.previous(u64::MAX)?;
        if time(last) < unix_ns {
            return None;
        }
        // Invariant: the answer is in low..=high, and `high` is a message that qualifies.
        let mut high = last;
        while low < high {
            let middle = low + (high - low) / 2;
            // There is a message at or behind the middle, at the latest `high`.
            let probe = self.next(middle)?;
            if time(probe) >= unix_ns {
                // Those between the middle and the probe do not exist.
                match self.previous(middle) {
                    _ if probe < high => high = probe,
                    Some(before) if before >= low && before < high => {
                        if time(before) < unix_ns {
                            return Some(probe);
                        }
                        high = before;
                    }
                    _ => return Some(probe),
                }
            } else {
                low = self.next(probe + 1)?;
            }
        }
        Some(high)
    }

    /// Bytes allocated.
    pub(super) fn memory_bytes(&self) -> usize {
        self.pages
            .values()
            .map(|page| {
                page.chunks.capacity() * 8
                    + page.counts.capacity() * 2
                    + page
                        .chunks
                        .iter()
                        .flatten()
                        .map(|chunk| size_of::<Chunk>() + chunk.entries.capacity() * 32)
                        .sum::<usize>()
            })
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::entry::Place;
    use super::*;

    fn entry(number: u32) -> Entry {
        let place = Place {
            segment: 0,
            offset: number,
        };
        Entry::new(i64::from(number), place, 1, false, false)
    }

    proptest! {
        #[test]
        fn behaves_like_an_ordered_map(
            steps in proptest::collection::vec(
                prop_oneof![
                    6 => (1u64..4).prop_map(|gap| (true, gap)),
                    1 => (1u64..3_000_000_000).prop_map(|gap| (true, gap)),
                    5 => any::<u64>().prop_map(|n| (false, n)),
                ],
                0..4000,
            ),
            probes in proptest::collection::vec(any::<u64>(), 20),
        ) {
            let mut sequences = Sequences::default();
            let mut model = BTreeMap::new();
            let mut last = 0;
            for (append, n) in steps {
                if append {
                    last += n;
                    sequences.insert(last, entry(last as u32 / 2));
                    model.insert(last, last as u32 / 2);
                } else if let Some((&some, _)) = model.range(n % (last + 1)..).next() {
                    prop_assert!(sequences.remove(some).is_some());
                    model.remove(&some);
                }
            }
            prop_assert_eq!(sequences.len(), model.len() as u64);
            for probe in probes.into_iter().map(|n| n % (last + 2)).chain([0, last, u64::MAX]) {
                prop_assert_eq!(sequences.next(probe), model.range(probe..).next().map(|e| *e.0));
                prop_assert_eq!(
                    sequences.previous(probe),
                    model.range(..=probe).next_back().map(|e| *e.0)
                );
                prop_assert_eq!(
                    sequences.count_from(probe),
                    model.range(probe..).count() as u64
                );
                prop_assert_eq!(
                    sequences.get(probe).map(|e| e.place.offset),
                    model.get(&probe).copied()
                );
            }
        }

        #[test]
        fn finds_a_time_as_a_scan_does(
            gaps in proptest::collection::vec((1u64..2000, 0i64..3), 1..300),
            times in proptest::collection::vec(0i64..600, 20),
        ) {
            let mut sequences = Sequences::default();
            let mut model = Vec::new();
            let (mut sequence, mut time) = (0, 0);
            for (gap, later) in gaps {
                sequence += gap;
                time += later;
                sequences.insert(sequence, Entry::new(time, Place::default(), 1, false, false));
                model.push((sequence, time));
            }
            for time in times {
                let expected = model.iter().find(|(_, t)| *t >= time).map(|(s, _)| *s);
                prop_assert_eq!(sequences.at_time(time), expected);
            }
        }
    }
}
