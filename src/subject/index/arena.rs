//! Storage of many short byte strings, without a heap allocation for each.
//!
//! Pages of [`PAGE_BYTES`] are cut into blocks of one size class each. A page
//! whose last block is freed goes back to the allocator and may later serve any
//! other class, so that strings that come and go in changing lengths cannot
//! pin memory class by class. A string longer than [`MAX_BLOCK_BYTES`] has a page
//! of exactly its own length.

use super::slab::{NONE, Slab};

/// Bytes of a page that is cut into blocks.
const PAGE_BYTES: usize = 16 * 1024;
/// Blocks begin at multiples of this and have multiples of it as sizes.
const UNIT_BYTES: usize = 4;
const UNITS_PER_PAGE: u32 = (PAGE_BYTES / UNIT_BYTES) as u32;
/// Largest string that shares a page with others.
const MAX_BLOCK_BYTES: usize = 2048;

/// Default limit of pages: 2^20 less one, of 16 KiB each. A block's address is 20
/// bits of page and 12 bits of unit; the last page is left out so that
/// `u32::MAX` is no block.
pub(super) const MAX_PAGES: u32 = (1 << 20) - 1;

/// Classes of one unit step, up to 256 bytes: at most three bytes wasted.
const FINE_CLASSES: usize = 64;
/// Sizes of the classes above, in units: four steps to a doubling.
const COARSE_UNITS: [u16; 12] = [80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512];
const CLASSES: usize = FINE_CLASSES + COARSE_UNITS.len();

/// Class of a page that holds one long string.
const WHOLE_PAGE: u8 = u8::MAX;
/// End of a page's list of free blocks.
const NO_BLOCK: u16 = u16::MAX;

const _: () =
    assert!(COARSE_UNITS[COARSE_UNITS.len() - 1] as usize * UNIT_BYTES == MAX_BLOCK_BYTES);
const _: () = assert!(CLASSES < WHOLE_PAGE as usize);

/// All pages are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ArenaFull;

/// Address of a stored string. The length is the owner's to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block(u32);

impl Block {
    /// Never the address of a string.
    pub(super) const NONE: Self = Self(u32::MAX);

    fn new(page: u32, unit: u16) -> Self {
        Self(page * UNITS_PER_PAGE + u32::from(unit))
    }

    #[inline]
    fn page(self) -> u32 {
        self.0 / UNITS_PER_PAGE
    }

    #[inline]
    fn unit(self) -> u16 {
        (self.0 % UNITS_PER_PAGE) as u16
    }
}

/// A page and the state of its blocks. Positions within it are in units.
#[derive(Debug)]
struct Page {
    bytes: Box<[u8]>,
    /// Neighbours in the list of pages of this class that have room.
    previous: u32,
    next: u32,
    /// First freed block; each freed block begins with the position of the next.
    free: u16,
    /// Where the blocks begin that were never used.
    fresh: u16,
    /// Number of blocks in use.
    used: u16,
    class: u8,
}

impl Page {
    fn new(bytes: usize, class: u8) -> Self {
        Self {
            bytes: vec![0; bytes].into_boxed_slice(),
            previous: NONE,
            next: NONE,
            free: NO_BLOCK,
            fresh: 0,
            used: 0,
            class,
        }
    }

    fn has_room(&self) -> bool {
        self.free != NO_BLOCK
            || self.fresh + class_units(self.class.into()) <= UNITS_PER_PAGE as u16
    }

    /// Takes a block; the page must have room.
    fn take(&mut self) -> u16 {
        self.used += 1;
        if self.free == NO_BLOCK {
            let unit = self.fresh;
            self.fresh += class_units(self.class.into());
            return unit;
        }
        let unit = self.free;
        let link = &self.bytes[byte_offset(unit)..];
        self.free = u16::from_le_bytes([link[0], link[1]]);
        unit
    }

    fn give_back(&mut self, unit: u16) {
        self.used -= 1;
        let offset = byte_offset(unit);
        self.bytes[offset..offset + 2].copy_from_slice(&self.free.to_le_bytes());
        self.free = unit;
    }
}

fn byte_offset(unit: u16) -> usize {
    usize::from(unit) * UNIT_BYTES
}

/// Size of a class's blocks.
fn class_units(class: usize) -> u16 {
    match class.checked_sub(FINE_CLASSES) {
        None => class as u16 + 1,
        Some(coarse) => COARSE_UNITS[coarse],
    }
}

/// The smallest class for a string of `len` bytes, which share pages.
fn class_for(len: usize) -> usize {
    let units = len.div_ceil(UNIT_BYTES).max(1);
    if units <= FINE_CLASSES {
        units - 1
    } else {
        FINE_CLASSES + COARSE_UNITS.partition_point(|&size| usize::from(size) < units)
    }
}

/// The strings of one index.
#[derive(Debug)]
pub(super) struct Arena {
    pages: Slab<Page>,
    /// First page with room of each class.
    roomy: [u32; CLASSES],
    /// Bytes of all pages, without their book-keeping.
    page_bytes: usize,
    max_pages: u32,
}

impl Arena {
    pub(super) const fn new() -> Self {
        Self::with_max_pages(MAX_PAGES)
    }

    /// An arena that is full earlier, for tests of that.
    pub(super) const fn with_max_pages(max_pages: u32) -> Self {
        Self {
            pages: Slab::new(),
            roomy: [NONE; CLASSES],
            page_bytes: 0,
            max_pages,
        }
    }

    /// Stores a copy of `text`.
    pub(super) fn store(&mut self, text: &[u8]) -> Result<Block, ArenaFull> {
        if text.len() > MAX_BLOCK_BYTES {
            let page = self.add_page(text.len(), WHOLE_PAGE)?;
            self.pages[page].bytes.copy_from_slice(text);
            return Ok(Block::new(page, 0));
        }
        let class = class_for(text.len());
        if self.roomy[class] == NONE {
            let page = self.add_page(PAGE_BYTES, class as u8)?;
            self.link(page);
        }
        let id = self.roomy[class];
        let page = &mut self.pages[id];
        let unit = page.take();
        let offset = byte_offset(unit);
        page.bytes[offset..offset + text.len()].copy_from_slice(text);
        if !page.has_room() {
            self.unlink(id);
        }
        Ok(Block::new(id, unit))
    }

    /// The string of `len` bytes that was stored at `block`.
    #[inline]
    pub(super) fn text(&self, block: Block, len: usize) -> &[u8] {
        let offset = byte_offset(block.unit());
        &self.pages[block.page()].bytes[offset..offset + len]
    }

    /// Forgets the string stored at `block`.
    pub(super) fn free(&mut self, block: Block) {
        let id = block.page();
        if self.pages[id].class == WHOLE_PAGE {
            self.drop_page(id);
            return;
        }
        let page = &mut self.pages[id];
        let was_roomy = page.has_room();
        page.give_back(block.unit());
        let unused = page.used == 0;
        if !was_roomy {
            self.link(id);
        }
        // The last roomy page of a class stays, so that one subscription that comes
        // and goes does not allocate and free a page each time.
        let page = &self.pages[id];
        if unused && (page.previous != NONE || page.next != NONE) {
            self.unlink(id);
            self.drop_page(id);
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.page_bytes + self.pages.memory_bytes()
    }

    fn add_page(&mut self, bytes: usize, class: u8) -> Result<u32, ArenaFull> {
        if self.pages.len() >= self.max_pages as usize {
            return Err(ArenaFull);
        }
        let page = self
            .pages
            .insert(Page::new(bytes, class))
            .ok_or(ArenaFull)?;
        self.page_bytes += bytes;
        Ok(page)
    }

    fn drop_page(&mut self, id: u32) {
        self.page_bytes -= self.pages[id].bytes.len();
        self.pages.remove(id, Page::new(0, WHOLE_PAGE));
    }

    /// Puts a page at the head of its class's list.
    fn link(&mut self, id: u32) {
        let head = &mut self.roomy[usize::from(self.pages[id].class)];
        let next = std::mem::replace(head, id);
        self.pages[id].previous = NONE;
        self.pages[id].next = next;
        if next != NONE {
            self.pages[next].previous = id;
        }
    }

    fn unlink(&mut self, id: u32) {
        let Page {
            previous,
            next,
            class,
            ..
        } = self.pages[id];
        if previous == NONE {
            self.roomy[usize::from(class)] = next;
        } else {
            self.pages[previous].next = next;
        }
        if next != NONE {
            self.pages[next].previous = previous;
        }
        self.pages[id].previous = NONE;
        self.pages[id].next = NONE;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn classes_are_the_smallest_that_fit() {
        for len in 0..=MAX_BLOCK_BYTES {
            let class = class_for(len);
            assert!(byte_offset(class_units(class)) >= len, "{len}");
            if class > 0 {
                assert!(byte_offset(class_units(class - 1)) < len, "{len}");
            }
        }
    }

    #[test]
    fn a_full_arena_says_so_and_recovers() {
        let mut arena = Arena::with_max_pages(2);
        let long = [b'x'; PAGE_BYTES];
        let first = arena.store(&long).unwrap();
        let short = arena.store(b"short").unwrap();
        assert_eq!(arena.store(&long), Err(ArenaFull));
        assert_eq!(arena.store(b"of another class"), Err(ArenaFull));
        assert!(arena.store(b"same class").is_err());
        arena.store(b"short2").unwrap();
        arena.free(first);
        arena.store(b"of another class").unwrap();
        assert_eq!(arena.text(short, 5), b"short");
    }

    #[test]
    fn memory_returns_and_serves_other_lengths() {
        let mut arena = Arena::new();
        let mut peak = 0;
        for len in [8, 40, 300, 1500] {
            let text = vec![b'x'; len];
            let blocks: Vec<_> = (0..400_000 / len)
                .map(|_| arena.store(&text).unwrap())
                .collect();
            peak = peak.max(arena.memory_bytes());
            blocks.into_iter().for_each(|block| arena.free(block));
        }
        assert!(peak < 600_000, "{peak}");
        // One page a class used remains, and the book-keeping of the pages.
        assert!(
            arena.memory_bytes() < 5 * PAGE_BYTES,
            "{}",
            arena.memory_bytes()
        );
    }

    proptest! {
        #[test]
        fn strings_stay_as_stored(
            steps in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>(), 0usize..3000), 1..300)
        ) {
            let mut arena = Arena::new();
            let mut stored: Vec<(Block, Vec<u8>)> = Vec::new();
            for (step, (remove, which, len)) in steps.into_iter().enumerate() {
                if remove && !stored.is_empty() {
                    let (block, _) = stored.swap_remove(which.index(stored.len()));
                    arena.free(block);
                } else {
                    // Squared, so that short strings are the most frequent.
                    let text = vec![step as u8; len * len / 3000];
                    stored.push((arena.store(&text).unwrap(), text));
                }
                for (block, text) in &stored {
                    prop_assert_eq!(arena.text(*block, text.len()), &text[..]);
                }
            }
        }
    }
}
