//! Output that waits for a connection's socket.
//!
//! Small deliveries are copied into chunks, which come from a pool of the core
//! and go back to it when they are sent: an idle connection owns none. Large
//! bodies that several connections receive are referenced, not copied.

use std::collections::VecDeque;

use bytes::Bytes;

/// Size of the first chunk of a connection that was idle, in bytes. One small
/// delivery touches few cache lines of it.
pub const SMALL_CHUNK_BYTES: usize = 2 * 1024;
/// Size of the chunks of a connection that streams, in bytes.
pub const LARGE_CHUNK_BYTES: usize = 64 * 1024;
/// Chunks of each size that a core keeps for reuse; more are freed.
pub const POOLED_SMALL_CHUNKS_MAX: usize = 1024;
/// See [`POOLED_SMALL_CHUNKS_MAX`]; 64 of 64 KiB are 4 MiB a core.
pub const POOLED_LARGE_CHUNKS_MAX: usize = 64;
/// Lists of the segments of large sends that a core keeps for reuse.
const POOLED_LISTS_MAX: usize = 64;
/// Chunks handed to the allocator per turn, so that cutting off a reader with
/// a long backlog does not stop the core while megabytes are unmapped.
const FREED_PER_TURN: usize = 4;
/// Bytes handed to the kernel by one send. Bounds how long a completion (and
/// with it the knowledge that the reader makes progress) can take.
pub const SEND_BYTES_MAX: usize = 1024 * 1024;

/// One piece of output.
#[derive(Debug)]
pub enum Segment {
    /// Rendered bytes, owned by this connection.
    Chunk(Vec<u8>),
    /// A body that several connections share.
    Shared(Bytes),
}

impl Segment {
    /// The bytes to send.
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Chunk(chunk) => chunk,
            Self::Shared(bytes) => bytes,
        }
    }
}

/// What one send carries: never empty.
#[derive(Debug)]
pub struct Batch {
    first: Segment,
    rest: Vec<Segment>,
    len: usize,
}

impl Batch {
    /// Bytes in the batch.
    #[expect(clippy::len_without_is_empty, reason = "a batch is never empty")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The segments in order.
    pub fn segments(&self) -> impl Iterator<Item = &Segment> + Clone {
        std::iter::once(&self.first).chain(&self.rest)
    }

    /// The only segment, if there is just one.
    pub fn single(&self) -> Option<&Segment> {
        self.rest.is_empty().then_some(&self.first)
    }

    /// All bytes, joined. For tests and the simulator.
    pub fn to_vec(&self) -> Vec<u8> {
        self.segments()
            .flat_map(|s| s.as_slice())
            .copied()
            .collect()
    }
}

/// Free chunks of a core.
#[derive(Debug, Default)]
pub struct ChunkPool {
    small: Vec<Vec<u8>>,
    large: Vec<Vec<u8>>,
    /// For [`Batch::rest`]; empty.
    lists: Vec<Vec<Segment>>,
    /// Output of connections that were cut off, freed a little each turn.
    graveyard: VecDeque<Segment>,
}

impl ChunkPool {
    fn take_small(&mut self) -> Vec<u8> {
        self.small
            .pop()
            .unwrap_or_else(|| Vec::with_capacity(SMALL_CHUNK_BYTES))
    }

    fn take_large(&mut self) -> Vec<u8> {
        self.large
            .pop()
            .unwrap_or_else(|| Vec::with_capacity(LARGE_CHUNK_BYTES))
    }

    fn give(&mut self, segment: Segment) {
        let Segment::Chunk(mut chunk) = segment else {
            return;
        };
        chunk.clear();
        if chunk.capacity() == SMALL_CHUNK_BYTES {
            if self.small.len() < POOLED_SMALL_CHUNKS_MAX {
                self.small.push(chunk);
            }
        } else if chunk.capacity() == LARGE_CHUNK_BYTES
            && self.large.len() < POOLED_LARGE_CHUNKS_MAX
        {
            self.large.push(chunk);
        }
    }

    /// Takes back what a completed send carried.
    pub fn recycle(&mut self, batch: Batch) {
        self.give(batch.first);
        let mut list = batch.rest;
        if list.capacity() == 0 {
            return;
        }
        for segment in list.drain(..) {
            self.give(segment);
        }
        if self.lists.len() < POOLED_LISTS_MAX {
            self.lists.push(list);
        }
    }

    /// Frees a few of the segments of connections that were cut off; call once
    /// a turn. Returns whether more wait.
    pub fn bury(&mut self) -> bool {
        for _ in 0..FREED_PER_TURN {
            match self.graveyard.pop_front() {
                Some(segment) => self.give(segment),
                None => return false,
            }
        }
        !self.graveyard.is_empty()
    }
}

/// Copies `from` to `to`. Up to 32 bytes are copied by two loads and stores that
/// may overlap: a call of memcpy costs more than they do.
///
/// # Safety
/// `from.len()` bytes behind `to` are writable and do not overlap `from`.
#[inline]
unsafe fn copy_short(from: &[u8], to: *mut u8) {
    /// Copies the first and the last `size_of::<T>()` bytes of `len`.
    ///
    /// # Safety
    /// `len` is at least that size and at most twice as much, and `len` bytes
    /// are readable at `from` and writable at `to`.
    #[inline]
    unsafe fn ends<T: Copy>(from: *const u8, to: *mut u8, len: usize) {
        let last = len - size_of::<T>();
        // SAFETY: by the caller's promise both places lie within `len` bytes.
        unsafe {
            let head = from.cast::<T>().read_unaligned();
            let tail = from.add(last).cast::<T>().read_unaligned();
            to.cast::<T>().write_unaligned(head);
            to.add(last).cast::<T>().write_unaligned(tail);
        }
    }
    let (source, len) = (from.as_ptr(), from.len());
    // SAFETY: each arm's sizes fit `ends`; the rest is by the caller's promise.
    unsafe {
        match len {
            0 => {}
            1 => *to = *source,
            2..=3 => ends::<u16>(source, to, len),
            4..=7 => ends::<u32>(source, to, len),
            8..=15 => ends::<u64>(source, to, len),
            16..=32 => ends::<u128>(source, to, len),
            _ => std::ptr::copy_nonoverlapping(source, to, len),
        }
    }
}

/// A connection's waiting output.
#[derive(Debug, Default)]
pub struct OutQueue {
    /// Sealed segments, oldest first.
    full: VecDeque<Segment>,
    /// The chunk being filled; without capacity if there is none.
    tail: Vec<u8>,
    /// Bytes in `full`.
    full_bytes: usize,
    /// Bytes of the send under way.
    in_flight: usize,
    /// The last send was more than a small chunk holds, so start with a large one.
    streaming: bool,
}

impl OutQueue {
    /// Bytes accepted and not yet taken by the kernel.
    #[inline]
    pub fn pending(&self) -> usize {
        self.full_bytes + self.tail.len() + self.in_flight
    }

    /// Whether there is something to send that is not under way.
    #[inline]
    pub fn has_output(&self) -> bool {
        !self.tail.is_empty() || !self.full.is_empty()
    }

    /// Whether a send is under way.
    #[inline]
    pub fn is_sending(&self) -> bool {
        self.in_flight > 0
    }

    /// Makes room for `len` more bytes in one chunk and returns that chunk.
    /// `len` above [`LARGE_CHUNK_BYTES`] gets a chunk of its own size.
    #[inline]
    pub fn reserve(&mut self, pool: &mut ChunkPool, len: usize) -> &mut Vec<u8> {
        if self.tail.capacity() - self.tail.len() < len {
            self.roll(pool, len);
        }
        &mut self.tail
    }

    #[cold]
    fn roll(&mut self, pool: &mut ChunkPool, len: usize) {
        let was_empty = !self.has_output();
        self.seal(pool);
        // Between shared bodies stand heads of a few bytes each: large chunks for
        // them would be many times what is counted as waiting.
        let behind_shared = matches!(self.full.back(), Some(Segment::Shared(_)));
        self.tail = if len > LARGE_CHUNK_BYTES {
            Vec::with_capacity(len)
        } else if len <= SMALL_CHUNK_BYTES && (behind_shared || was_empty && !self.streaming) {
            pool.take_small()
        } else {
            pool.take_large()
        };
    }

    fn seal(&mut self, pool: &mut ChunkPool) {
        let tail = std::mem::take(&mut self.tail);
        if tail.is_empty() {
            if tail.capacity() > 0 {
                pool.give(Segment::Chunk(tail));
            }
        } else {
            self.full_bytes += tail.len();
            self.full.push_back(Segment::Chunk(tail));
        }
    }

    /// Appends the parts one after the other, by copying them: one check for
    /// room, and no call for the few bytes that most parts are.
    #[inline]
    pub fn append<const N: usize>(&mut self, pool: &mut ChunkPool, parts: [&[u8]; N]) {
        let len = parts.iter().map(|part| part.len()).sum::<usize>();
        let tail = self.reserve(pool, len);
        let start = tail.len();
        debug_assert!(tail.capacity() - start >= len);
        // SAFETY: `reserve` made room for `len` bytes behind the first `start`;
        // exactly these are written, since `copy_short` writes `part.len()` each
        // and they add up to `len`. The parts cannot overlap the chunk, which is
        // borrowed mutably.
        unsafe {
            let mut at = tail.as_mut_ptr().add(start);
            for part in parts {
                copy_short(part, at);
                at = at.add(part.len());
            }
            tail.set_len(start + len);
        }
    }

    /// Appends bytes by copying them.
    #[inline]
    pub fn push(&mut self, pool: &mut ChunkPool, bytes: &[u8]) {
        self.reserve(pool, bytes.len()).extend_from_slice(bytes);
    }

    /// Appends a body by reference.
    pub fn push_shared(&mut self, pool: &mut ChunkPool, bytes: Bytes) {
        self.seal(pool);
        self.full_bytes += bytes.len();
        self.full.push_back(Segment::Shared(bytes));
    }

    /// The next batch to send, unless one is under way or there is nothing.
    pub fn take_batch(&mut self, pool: &mut ChunkPool) -> Option<Batch> {
        if self.is_sending() || !self.has_output() {
            return None;
        }
        let mut batch = match self.full.pop_front() {
            None => {
                let tail = std::mem::take(&mut self.tail);
                Batch {
                    len: tail.len(),
                    first: Segment::Chunk(tail),
                    rest: Vec::new(),
                }
            }
            Some(first) => {
                let len = first.as_slice().len();
                self.full_bytes -= len;
                Batch {
                    len,
                    first,
                    rest: Vec::new(),
                }
            }
        };
        while batch.len < SEND_BYTES_MAX {
            let next = match self.full.pop_front() {
                Some(next) => {
                    self.full_bytes -= next.as_slice().len();
                    next
                }
                None if !self.tail.is_empty() => Segment::Chunk(std::mem::take(&mut self.tail)),
                None => break,
            };
            batch.len += next.as_slice().len();
            if batch.rest.capacity() == 0 {
                batch.rest = pool.lists.pop().unwrap_or_default();
            }
            batch.rest.push(next);
        }
        self.in_flight = batch.len;
        self.streaming = batch.len > SMALL_CHUNK_BYTES;
        Some(batch)
    }

    /// The send under way ended, whatever its result.
    pub fn completed(&mut self) {
        self.in_flight = 0;
    }

    /// The send under way ended after `sent` bytes: the rest goes first next time.
    pub fn give_back(&mut self, pool: &mut ChunkPool, batch: Batch, sent: usize) {
        self.in_flight = 0;
        let mut gone = sent;
        let mut left = Vec::new();
        let (first, mut rest) = (batch.first, batch.rest);
        for segment in std::iter::once(first).chain(rest.drain(..)) {
            let len = segment.as_slice().len();
            if gone >= len {
                gone -= len;
                pool.give(segment);
                continue;
            }
            left.push(match segment {
                Segment::Chunk(mut chunk) => {
                    chunk.drain(..gone);
                    Segment::Chunk(chunk)
                }
                Segment::Shared(bytes) => Segment::Shared(bytes.slice(gone..)),
            });
            gone = 0;
        }
        for segment in left.into_iter().rev() {
            self.full_bytes += segment.as_slice().len();
            self.full.push_front(segment);
        }
    }

    /// Pieces of output that wait, the one being filled included.
    pub fn pieces(&self) -> usize {
        self.full.len() + usize::from(!self.tail.is_empty())
    }

    /// Drops everything that is not under way; the memory is freed over the
    /// following turns.
    pub fn discard(&mut self, pool: &mut ChunkPool) {
        self.seal(pool);
        self.full_bytes = 0;
        pool.graveyard.append(&mut self.full);
        self.full = VecDeque::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_leave_in_the_order_they_came() {
        let mut pool = ChunkPool::default();
        let mut out = OutQueue::default();
        let mut expected = Vec::new();
        for n in 0..5000u32 {
            let line = format!("line {n}\r\n").into_bytes();
            out.push(&mut pool, &line);
            expected.extend_from_slice(&line);
            if n % 1000 == 0 {
                let body = Bytes::from(vec![n as u8; 100]);
                out.push_shared(&mut pool, body.clone());
                expected.extend_from_slice(&body);
            }
        }
        assert_eq!(out.pending(), expected.len());
        let mut sent = Vec::new();
        while let Some(batch) = out.take_batch(&mut pool) {
            assert!(out.take_batch(&mut pool).is_none(), "one send at a time");
            sent.extend(batch.to_vec());
            pool.recycle(batch);
            out.completed();
        }
        assert_eq!(sent, expected);
        assert_eq!(out.pending(), 0);
    }

    #[test]
    fn parts_of_every_length_are_appended_whole() {
        let mut pool = ChunkPool::default();
        let mut out = OutQueue::default();
        let bytes: Vec<u8> = (0..=255).collect();
        let mut expected = Vec::new();
        for len in 0..200 {
            let (a, b) = (&bytes[..len], &bytes[len / 2..len]);
            out.append(&mut pool, [a, b, b"|"]);
            expected.extend_from_slice(a);
            expected.extend_from_slice(b);
            expected.push(b'|');
        }
        let mut sent = Vec::new();
        while let Some(batch) = out.take_batch(&mut pool) {
            sent.extend(batch.to_vec());
            out.completed();
        }
        assert_eq!(sent, expected);
    }

    #[test]
    fn heads_between_shared_bodies_take_small_chunks() {
        let mut pool = ChunkPool::default();
        let mut out = OutQueue::default();
        for _ in 0..100 {
            out.append(&mut pool, [b"MSG a 1"]);
            out.push_shared(&mut pool, Bytes::from_static(b" 0\r\n\r\n"));
        }
        let held: usize = out
            .full
            .iter()
            .map(|segment| match segment {
                Segment::Chunk(chunk) => chunk.capacity(),
                Segment::Shared(_) => 0,
            })
            .sum();
        assert_eq!(held, 100 * SMALL_CHUNK_BYTES);
    }

    #[test]
    fn what_a_send_left_goes_first() {
        for sent in 0..=11 {
            let mut pool = ChunkPool::default();
            let mut out = OutQueue::default();
            out.push(&mut pool, b"abc");
            out.push_shared(&mut pool, Bytes::from_static(b"shared"));
            out.push(&mut pool, b"de");
            let batch = out.take_batch(&mut pool).expect("output");
            assert_eq!(batch.len(), 11);
            out.push(&mut pool, b"new");
            out.give_back(&mut pool, batch, sent);
            assert_eq!(out.pending(), 14 - sent);
            let batch = out.take_batch(&mut pool).expect("output");
            assert_eq!(batch.to_vec(), b"abcshareddenew"[sent..]);
        }
    }

    #[test]
    fn an_idle_queue_owns_no_chunk() {
        let mut pool = ChunkPool::default();
        let mut out = OutQueue::default();
        out.push(&mut pool, b"PONG\r\n");
        let batch = out.take_batch(&mut pool).expect("output");
        pool.recycle(batch);
        out.completed();
        assert_eq!(out.tail.capacity(), 0);
        assert_eq!(pool.small.len(), 1);
    }

    #[test]
    fn a_cut_off_backlog_is_freed_little_by_little() {
        let mut pool = ChunkPool::default();
        let mut out = OutQueue::default();
        for _ in 0..100 {
            out.push(&mut pool, &[0; LARGE_CHUNK_BYTES]);
        }
        out.discard(&mut pool);
        assert_eq!(out.pending(), 0);
        let mut turns = 1;
        while pool.bury() {
            turns += 1;
        }
        assert_eq!(turns, 100_usize.div_ceil(FREED_PER_TURN));
    }
}
