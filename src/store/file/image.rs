//! The index as bytes: the format of a checkpoint.
//!
//! A checkpoint is a row of sections, each a head (magic, checksum over the rest, kind, length)
//! and a body, padded to 8; the last one says how many there are. Subjects come before the
//! messages that refer to them by the numbers that they had. An entry is about ten bytes: what
//! can be guessed from the entry before is not written.
//!
//! It is written in steps while the log goes on, and is right nevertheless: it speaks only of
//! messages up to the last one at its start, and all changes since stand in the log behind the
//! position that it names, where replaying them once more does no harm.

use super::bytes::{Reader, put_signed, put_varint};
use super::record::{ALIGN, checksum, message_length};
use super::segment::{Name, ReadHandle, Segment};
use crate::store::index::{Entry, Index, Place};
use crate::store::message::WakeKind;

const MAGIC: u32 = u32::from_le_bytes(*b"RwC1");
pub(super) const SECTION_HEAD: usize = 16;
/// Body of a section, in bytes, from which on another one is begun.
const SECTION: usize = 64 * 1024;

const START: u32 = 1;
const BLOB: u32 = 2;
const SEGMENTS: u32 = 3;
const SUBJECTS: u32 = 4;
const ENTRIES: u32 = 5;
const WAKES: u32 = 6;
const END: u32 = 9;

/// What a checkpoint says about the log as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) identity: u64,
    /// Where the log goes on: number of a segment and byte. 0 and 0 if there is none yet.
    pub(super) segment: u32,
    pub(super) offset: u32,
    /// The commit that is expected there.
    pub(super) commit: u64,
    pub(super) last_sequence: u64,
    pub(super) last_unix_ns: Option<i64>,
    /// The last sequence that the blob knows of, at most `last_sequence`.
    pub(super) blob_sequence: u64,
    pub(super) front_segment: u32,
}

/// Appends sections.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    out: Vec<u8>,
    section: usize,
    sections: u64,
    entries: u64,
    previous: Previous,
}

/// What the next entry is guessed from.
#[derive(Clone, Copy, Debug, Default)]
struct Previous {
    sequence: u64,
    unix_ns: i64,
    place: Place,
    length: u32,
}

impl Encoder {
    fn begin(&mut self, kind: u32) {
        self.section = self.out.len();
        self.out.extend_from_slice(&MAGIC.to_le_bytes());
        self.out.extend_from_slice(&[0; 4]);
        self.out.extend_from_slice(&kind.to_le_bytes());
        self.out.extend_from_slice(&[0; 4]);
    }

    fn end(&mut self) {
        let section = &mut self.out[self.section..];
        let length = (section.len() - SECTION_HEAD) as u32;
        section[12..16].copy_from_slice(&length.to_le_bytes());
        let sum = checksum(&section[8..]);
        section[4..8].copy_from_slice(&sum.to_le_bytes());
        let padded = self.out.len().next_multiple_of(ALIGN);
        self.out.resize(padded, 0);
        self.sections += 1;
    }

    fn is_full(&self) -> bool {
        self.out.len() - self.section >= SECTION
    }

    /// Takes what was encoded.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    pub(super) fn start(&mut self, start: &Start, blob: &[u8]) {
        self.begin(START);
        let out = &mut self.out;
        out.extend_from_slice(&start.identity.to_le_bytes());
        put_varint(out, start.segment.into());
        put_varint(out, start.offset.into());
        put_varint(out, start.commit);
        put_varint(out, start.last_sequence);
        put_varint(out, u64::from(start.last_unix_ns.is_some()));
        put_signed(out, start.last_unix_ns.unwrap_or(0));
        put_varint(out, start.blob_sequence);
        put_varint(out, start.front_segment.into());
        self.end();
        for part in blob.chunks(SECTION) {
            self.begin(BLOB);
            self.out.extend_from_slice(part);
            self.end();
        }
    }

    pub(super) fn segments<'a>(&mut self, all: impl Iterator<Item = (u32, &'a Segment)>) {
        self.begin(SEGMENTS);
        for (key, segment) in all {
            if self.is_full() {
                self.end();
                self.begin(SEGMENTS);
            }
            let out = &mut self.out;
            let removals = segment.removals.map_or((1, 0), |r| r);
            for number in [
                u64::from(key),
                segment.name.number.into(),
                segment.name.last_number.into(),
                segment.name.generation.into(),
                segment.first_commit,
                segment.end.into(),
                segment.total,
                segment.sequences.0,
                segment.sequences.1,
                removals.0,
                removals.1,
                u64::from(segment.damaged),
            ] {
                put_varint(out, number);
            }
        }
        self.end();
    }

    /// Subjects from number `from` on. Where to go on, or `None` if these were all.
    pub(super) fn subjects(&mut self, index: &Index, from: u32) -> Option<u32> {
        let bound = index.subject_bound() as u32;
        self.begin(SUBJECTS);
        put_varint(&mut self.out, from.into());
        let mut id = from;
        let mut gap = 0;
        while id < bound && !self.is_full() {
            if index.subject_state(id).is_some() {
                let text = index.subject(id);
                put_varint(&mut self.out, gap);
                put_varint(&mut self.out, text.len() as u64);
                self.out.extend_from_slice(text);
                gap = 0;
            } else {
                gap += 1;
            }
            id += 1;
        }
        self.end();
        (id < bound).then_some(id)
    }

    /// Messages from `from` to `last`. Where to go on, or `None` if these were all.
    pub(super) fn entries(&mut self, index: &Index, from: u64, last: u64) -> Option<u64> {
        self.begin(ENTRIES);
        let mut next = index.next(from);
        while let Some(sequence) = next.filter(|sequence| *sequence <= last) {
            if self.is_full() {
                self.end();
                return Some(sequence);
            }
            if let Some(entry) = index.get(sequence) {
                self.entry(sequence, entry);
            }
            next = index.next(sequence + 1);
        }
        self.end();
        None
    }

    fn entry(&mut self, sequence: u64, entry: &Entry) {
        let previous = self.previous;
        let out = &mut self.out;
        put_varint(out, sequence - previous.sequence);
        put_signed(out, entry.unix_ns.wrapping_sub(previous.unix_ns));
        put_varint(out, entry.subject.into());
        let flags = u64::from(entry.has_header()) | u64::from(entry.has_stored_wake()) << 1;
        put_varint(out, (entry.text() as u64) << 2 | flags);
        let moved = entry.place.segment != previous.place.segment;
        let guess = i64::from(previous.place.offset) + i64::from(previous.length);
        let ahead = (i64::from(entry.place.offset) - guess) / ALIGN as i64;
        put_signed(out, ahead << 1 | i64::from(moved));
        if moved {
            put_varint(out, entry.place.segment.into());
        }
        self.previous = Previous {
            sequence,
            unix_ns: entry.unix_ns,
            place: entry.place,
            length: message_length(entry.text(), entry.has_stored_wake()) as u32,
        };
        self.entries += 1;
    }

    /// Wakes of messages from `from` to `last`. Where to go on, or `None` if these were all.
    pub(super) fn wakes(&mut self, index: &Index, from: u64, last: u64) -> Option<u64> {
        self.begin(WAKES);
        let mut at = from;
        while let Some((sequence, kind, unix_ns)) = index.wake_from(at).filter(|w| w.0 <= last) {
            if self.is_full() {
                self.end();
                return Some(sequence);
            }
            put_varint(&mut self.out, sequence);
            self.out.push(kind.code());
            put_signed(&mut self.out, unix_ns);
            at = sequence + 1;
        }
        self.end();
        None
    }

    pub(super) fn finish(&mut self) {
        let (sections, entries) = (self.sections, self.entries);
        self.begin(END);
        put_varint(&mut self.out, sections);
        put_varint(&mut self.out, entries);
        self.end();
    }
}

/// New numbers of subjects by their old ones, in pages: old ones may be far apart.
#[derive(Debug, Default)]
struct Renumbered {
    pages: Vec<Option<Box<[u32; RENUMBERED_PAGE]>>>,
}

const RENUMBERED_PAGE: usize = 1024;
/// Numbers of subjects are below this.
const SUBJECTS_MAX: u64 = 1 << 31;

impl Renumbered {
    fn set(&mut self, old: u64, new: u32) -> Option<()> {
        if old >= SUBJECTS_MAX {
            return None;
        }
        let (page, at) = (
            old as usize / RENUMBERED_PAGE,
            old as usize % RENUMBERED_PAGE,
        );
        if self.pages.len() <= page {
            self.pages.resize_with(page + 1, || None);
        }
        self.pages[page].get_or_insert_with(|| Box::new([u32::MAX; RENUMBERED_PAGE]))[at] = new;
        Some(())
    }

    fn get(&self, old: u64) -> Option<u32> {
        let old = usize::try_from(old).ok()?;
        let page = self.pages.get(old / RENUMBERED_PAGE)?.as_deref()?;
        Some(page[old % RENUMBERED_PAGE]).filter(|new| *new != u32::MAX)
    }
}

/// Builds an index from the sections of a checkpoint.
#[derive(Debug)]
pub(super) struct Decoder {
    pub(super) index: Index,
    pub(super) start: Start,
    pub(super) blob: Vec<u8>,
    /// With no messages counted in yet.
    pub(super) segments: Vec<(u32, Segment)>,
    subjects: Renumbered,
    sections: u64,
    entries: u64,
    previous: Previous,
    ended: bool,
}

impl Decoder {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            index: Index::new(seed),
            start: Start::default(),
            blob: Vec::new(),
            segments: Vec::new(),
            subjects: Renumbered::default(),
            sections: 0,
            entries: 0,
            previous: Previous::default(),
            ended: false,
        }
    }

    /// Whether all was there.
    pub(super) fn is_complete(&self) -> bool {
        self.ended
    }

    /// Takes whole sections from the start of `bytes`; returns how many bytes those are. `None`
    /// if the checkpoint is damaged.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while !self.ended {
            let rest = &bytes[at..];
            let Some(head) = rest.get(..SECTION_HEAD) else {
                break;
            };
            let mut reader = Reader::new(head);
            let (magic, sum) = (reader.u32()?, reader.u32()?);
            let (kind, length) = (reader.u32()?, reader.u32()? as usize);
            if magic != MAGIC {
                return None;
            }
            let Some(section) = rest.get(8..SECTION_HEAD + length) else {
                break;
            };
            if checksum(section) != sum {
                return None;
            }
            self.section(kind, &section[8..])?;
            self.sections += 1;
            at += (SECTION_HEAD + length).next_multiple_of(ALIGN);
            if at > bytes.len() {
                return Some(bytes.len());
            }
        }
        Some(at)
    }

    /// Bytes of the section at the start of `bytes`, as far as that is known.
    pub(super) fn wanted(bytes: &[u8]) -> usize {
        let length = bytes
            .get(12..SECTION_HEAD)
            .and_then(|length| Reader::new(length).u32());
        SECTION_HEAD + length.unwrap_or(0) as usize
    }

    fn section(&mut self, kind: u32, body: &[u8]) -> Option<()> {
        if (self.sections == 0) != (kind == START) {
            return None;
        }
        let mut reader = Reader::new(body);
        match kind {
            START => self.read_start(reader),
            BLOB => {
                self.blob.extend_from_slice(body);
                Some(())
            }
            SEGMENTS => self.read_segments(reader),
            SUBJECTS => self.read_subjects(reader),
            ENTRIES => self.read_entries(reader),
            WAKES => self.read_wakes(reader),
            END => {
                let counts = (reader.varint()?, reader.varint()?);
                self.ended = counts == (self.sections, self.entries);
                if self.ended {
                    self.index.skip_to(self.start.last_sequence);
                    self.index.set_last_unix_ns(self.start.last_unix_ns);
                }
                self.ended.then_some(())
            }
            _ => None,
        }
    }

    fn read_start(&mut self, mut reader: Reader<'_>) -> Option<()> {
        let identity = reader.u64()?;
        let segment = reader.varint()?.try_into().ok()?;
        let offset = reader.varint()?.try_into().ok()?;
        let commit = reader.varint()?;
        let last_sequence = reader.varint()?;
        let has_time = reader.varint()? == 1;
        let unix_ns = reader.signed()?;
        self.start = Start {
            identity,
            segment,
            offset,
            commit,
            last_sequence,
            last_unix_ns: has_time.then_some(unix_ns),
            blob_sequence: reader.varint()?,
            front_segment: reader.varint()?.try_into().ok()?,
        };
        Some(())
    }

    fn read_segments(&mut self, mut reader: Reader<'_>) -> Option<()> {
        while !reader.is_empty() {
            let key = reader.varint()?.try_into().ok()?;
            let mut small = || reader.varint()?.try_into().ok();
            let name = Name {
                number: small()?,
                last_number: small()?,
                generation: small()?,
            };
            let mut segment = Segment::new(name, reader.varint()?);
            segment.end = reader.varint()?.try_into().ok()?;
            segment.total = reader.varint()?;
            segment.sequences = (reader.varint()?, reader.varint()?);
            let removals = (reader.varint()?, reader.varint()?);
            segment.removals = (removals.0 <= removals.1).then_some(removals);
            segment.damaged = reader.varint()? == 1;
            segment.written = segment.end;
            segment.sealed = true;
            segment.reader = ReadHandle::Closed;
            self.segments.push((key, segment));
        }
        Some(())
    }

    fn read_subjects(&mut self, mut reader: Reader<'_>) -> Option<()> {
        let mut id = reader.varint()?;
        while !reader.is_empty() {
            id = id.checked_add(reader.varint()?)?;
            let length = usize::try_from(reader.varint()?).ok()?;
            let text = reader.bytes(length)?;
            let new = self.index.intern(text).ok()?;
            self.subjects.set(id, new)?;
            id += 1;
        }
        Some(())
    }

    fn read_entries(&mut self, mut reader: Reader<'_>) -> Option<()> {
        while !reader.is_empty() {
            let previous = self.previous;
            let gap = reader.varint()?;
            let sequence = previous.sequence.checked_add(gap)?;
            let unix_ns = previous.unix_ns.wrapping_add(reader.signed()?);
            let subject = self.subjects.get(reader.varint()?)?;
            let text = reader.varint()?;
            let ahead = reader.signed()?;
            let mut segment = previous.place.segment;
            if ahead & 1 == 1 {
                segment = reader.varint()?.try_into().ok()?;
            }
            let guess = i64::from(previous.place.offset) + i64::from(previous.length);
            let offset = guess.checked_add((ahead >> 1).checked_mul(ALIGN as i64)?)?;
            let place = Place {
                segment,
                offset: offset.try_into().ok()?,
            };
            let (header, wake) = (text & 1 == 1, text & 2 == 2);
            let text = usize::try_from(text >> 2).ok()?;
            if text > crate::store::index::TEXT_MAX || gap == 0 {
                return None;
            }
            let mut entry = Entry::new(unix_ns, place, text, header, false);
            entry.set_stored_wake(wake);
            self.index.push_interned(sequence, subject, entry)?;
            self.previous = Previous {
                sequence,
                unix_ns,
                place,
                length: message_length(text, wake) as u32,
            };
            self.entries += 1;
        }
        Some(())
    }

    fn read_wakes(&mut self, mut reader: Reader<'_>) -> Option<()> {
        while !reader.is_empty() {
            let sequence = reader.varint()?;
            let kind = WakeKind::from_code(reader.u8()?)?;
            let unix_ns = reader.signed()?;
            self.index.set_wake(sequence, Some((kind, unix_ns)));
        }
        Some(())
    }

    /// Subjects that came without a message: all of theirs were removed while the checkpoint was
    /// written.
    pub(super) fn drop_unused(&mut self) {
        for id in 0..self.index.subject_bound() as u32 {
            self.index.drop_unused(id);
        }
    }
}
