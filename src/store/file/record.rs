//! The format of a segment: head, frames, records.
//!
//! A segment begins with one [block](BLOCK) of head. Behind it are frames, each written by one
//! operation and begun where the one before ends, at a multiple of 8. A frame is a head and
//! records; a record is a head and, for a message, when it is due, subject, header and payload,
//! padded to 8. All numbers are little-endian; what is not written is zero, and padding is not.
//!
//! Every record has a checksum over all of it; a frame's head has one over itself, and in it a
//! digest over the checksums of its records. So a message is verified alone, and a frame as a
//! whole at the price of four bytes a record.

use crc32fast::Hasher;

use super::bytes::{Reader, put_varint};
use crate::store::disk::BLOCK;
use crate::store::message::WakeKind;

/// Version of the format in this file.
const VERSION: u32 = 1;
const SEGMENT_MAGIC: u32 = u32::from_le_bytes(*b"RwS1");
const FRAME_MAGIC: u32 = u32::from_le_bytes(*b"RwF1");
/// Bytes of a segment's head that carry something.
const SEGMENT_HEAD: usize = 96;
/// Where the first frame of a segment begins.
pub(super) const FIRST_FRAME: u32 = BLOCK as u32;
/// Bytes of a frame's head.
pub(super) const FRAME_HEAD: usize = 64;
/// Bytes of a record's head.
pub(super) const RECORD_HEAD: usize = 32;
/// All records and frames begin at multiples of this.
pub(super) const ALIGN: usize = 8;

/// What records are padded with: not zero, so that what was not written shows.
pub(in crate::store) const PADDING: u8 = 0x55;

pub(super) fn checksum(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// What the checksums of a log's records begin with. Payloads are chosen by clients, who do not
/// know it: none can look like a record where one is searched for in a damaged stretch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Seed(u32);

impl Seed {
    pub(in crate::store) const fn of(identity: u64) -> Self {
        Self((identity ^ identity >> 32) as u32)
    }

    pub(super) fn checksum(self, bytes: &[u8]) -> u32 {
        let mut hasher = Hasher::new_with_initial(self.0);
        hasher.update(bytes);
        hasher.finalize()
    }
}

/// What a segment says about itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SegmentHead {
    pub(super) identity: u64,
    /// A compacted segment stands for all of a range of numbers.
    pub(super) number: u32,
    pub(super) last_number: u32,
    pub(super) generation: u32,
    /// Of a compacted segment, where its last frame ends; 0 otherwise.
    pub(super) end: u32,
    /// Of the first frame.
    pub(super) first_commit: u64,
    /// Of a compacted segment, the last commit that it stands for.
    pub(super) last_commit: u64,
    /// The log's last sequence before the segment; of a compacted one, behind it.
    pub(super) last_sequence: u64,
    /// Time of the log's last message at that point; 0 without one.
    pub(super) last_unix_ns: i64,
}

impl SegmentHead {
    /// Fills the first block of a segment.
    pub(super) fn write(&self, block: &mut [u8]) {
        block[..BLOCK].fill(0);
        block[0..4].copy_from_slice(&SEGMENT_MAGIC.to_le_bytes());
        block[8..12].copy_from_slice(&VERSION.to_le_bytes());
        block[16..24].copy_from_slice(&self.identity.to_le_bytes());
        block[24..28].copy_from_slice(&self.number.to_le_bytes());
        block[28..32].copy_from_slice(&self.last_number.to_le_bytes());
        block[32..36].copy_from_slice(&self.generation.to_le_bytes());
        block[36..40].copy_from_slice(&self.end.to_le_bytes());
        block[40..48].copy_from_slice(&self.first_commit.to_le_bytes());
        block[48..56].copy_from_slice(&self.last_commit.to_le_bytes());
        block[56..64].copy_from_slice(&self.last_sequence.to_le_bytes());
        block[64..72].copy_from_slice(&self.last_unix_ns.to_le_bytes());
        let sum = checksum(&block[8..SEGMENT_HEAD]);
        block[4..8].copy_from_slice(&sum.to_le_bytes());
    }

    pub(super) fn read(block: &[u8]) -> HeadRead {
        let Some(head) = block.get(..SEGMENT_HEAD) else {
            return HeadRead::Empty;
        };
        if head.iter().all(|byte| *byte == 0) {
            return HeadRead::Empty;
        }
        match Self::parse(head) {
            Some((VERSION, head)) => HeadRead::Valid(head),
            Some(_) => HeadRead::Foreign,
            None => HeadRead::Damaged,
        }
    }

    fn parse(head: &[u8]) -> Option<(u32, Self)> {
        let mut reader = Reader::new(head);
        if reader.u32()? != SEGMENT_MAGIC || reader.u32()? != checksum(&head[8..]) {
            return None;
        }
        let version = reader.u32()?;
        reader.u32()?;
        let head = Self {
            identity: reader.u64()?,
            number: reader.u32()?,
            last_number: reader.u32()?,
            generation: reader.u32()?,
            end: reader.u32()?,
            first_commit: reader.u64()?,
            last_commit: reader.u64()?,
            last_sequence: reader.u64()?,
            last_unix_ns: reader.i64()?,
        };
        Some((version, head))
    }
}

/// What was found where a segment's head should be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HeadRead {
    Valid(SegmentHead),
    /// Nothing was ever written.
    Empty,
    /// Of a version that is not known here.
    Foreign,
    Damaged,
}

/// The head of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FrameHead {
    pub(super) identity: u64,
    /// Ascends by one from frame to frame.
    pub(super) commit: u64,
    /// A commit known to be flushed when this one was written.
    pub(super) flushed: u64,
    /// Bytes of the frame, this head included.
    pub(super) length: u32,
    pub(super) records: u32,
    /// The log's last sequence with this frame.
    pub(super) last_sequence: u64,
    /// Checksum over the checksums of the records.
    pub(super) digest: u32,
    /// Time of the log's last message; 0 without one.
    pub(super) last_unix_ns: i64,
}

impl FrameHead {
    pub(super) fn write(&self, to: &mut [u8]) {
        let to = &mut to[..FRAME_HEAD];
        to[0..4].copy_from_slice(&FRAME_MAGIC.to_le_bytes());
        to[8..16].copy_from_slice(&self.identity.to_le_bytes());
        to[16..24].copy_from_slice(&self.commit.to_le_bytes());
        to[24..32].copy_from_slice(&self.flushed.to_le_bytes());
        to[32..36].copy_from_slice(&self.length.to_le_bytes());
        to[36..40].copy_from_slice(&self.records.to_le_bytes());
        to[40..48].copy_from_slice(&self.last_sequence.to_le_bytes());
        to[48..56].copy_from_slice(&self.last_unix_ns.to_le_bytes());
        to[56..60].copy_from_slice(&self.digest.to_le_bytes());
        to[60..64].fill(0);
        let sum = checksum(&to[8..]);
        to[4..8].copy_from_slice(&sum.to_le_bytes());
    }

    /// The head at the start of `bytes`, if it is one of this log.
    pub(super) fn read(bytes: &[u8], identity: u64) -> Option<Self> {
        let bytes = bytes.get(..FRAME_HEAD)?;
        let mut reader = Reader::new(bytes);
        if reader.u32()? != FRAME_MAGIC {
            return None;
        }
        let sum = reader.u32()?;
        let head = Self {
            identity: reader.u64()?,
            commit: reader.u64()?,
            flushed: reader.u64()?,
            length: reader.u32()?,
            records: reader.u32()?,
            last_sequence: reader.u64()?,
            last_unix_ns: reader.i64()?,
            digest: reader.u32()?,
        };
        let sane = head.identity == identity
            && head.length as usize >= FRAME_HEAD
            && (head.length as usize).is_multiple_of(ALIGN)
            && head.records as usize <= head.length as usize / RECORD_HEAD;
        (sane && sum == checksum(&bytes[8..])).then_some(head)
    }
}

/// The digest of a frame, as its records come.
#[derive(Clone, Debug, Default)]
pub(super) struct Digest(Hasher);

impl Digest {
    pub(super) fn add(&mut self, record_checksum: u32) {
        self.0.update(&record_checksum.to_le_bytes());
    }

    pub(super) fn finish(&self) -> u32 {
        self.0.clone().finalize()
    }
}

const MESSAGE: u8 = 1;
const REMOVED: u8 = 2;

/// Bytes of a message's record with its padding.
pub(super) const fn message_length(text: usize, has_wake: bool) -> usize {
    let wake = if has_wake { 8 } else { 0 };
    (RECORD_HEAD + wake + text).next_multiple_of(ALIGN)
}

/// What a message's record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct MessageRecord<'a> {
    pub(in crate::store) sequence: u64,
    pub(in crate::store) unix_ns: i64,
    pub(in crate::store) wake: Option<(WakeKind, i64)>,
    pub(in crate::store) subject: &'a [u8],
    pub(in crate::store) header: &'a [u8],
    pub(in crate::store) payload: &'a [u8],
}

impl MessageRecord<'_> {
    fn text(&self) -> usize {
        self.subject.len() + self.header.len() + self.payload.len()
    }

    /// Bytes of the record with its padding.
    pub(super) fn length(&self) -> usize {
        message_length(self.text(), self.wake.is_some())
    }

    /// Writes the record to the start of `to`, which has [`length`](Self::length) bytes. Returns
    /// its checksum. A subject is shorter than 64 KiB, and all of it than 2 GiB.
    pub(super) fn write(&self, seed: Seed, to: &mut [u8]) -> u32 {
        let wake = if self.wake.is_some() { 8 } else { 0 };
        let length = RECORD_HEAD + wake + self.text();
        to[4..8].copy_from_slice(&(length as u32).to_le_bytes());
        to[8..16].copy_from_slice(&self.sequence.to_le_bytes());
        to[16..24].copy_from_slice(&self.unix_ns.to_le_bytes());
        to[24..28].copy_from_slice(&(self.header.len() as u32).to_le_bytes());
        to[28..30].copy_from_slice(&(self.subject.len() as u16).to_le_bytes());
        to[30] = MESSAGE;
        to[31] = self.wake.map_or(0, |(kind, _)| kind.code());
        let mut at = RECORD_HEAD;
        if let Some((_, unix_ns)) = self.wake {
            to[at..at + 8].copy_from_slice(&unix_ns.to_le_bytes());
            at += 8;
        }
        for part in [self.subject, self.header, self.payload] {
            to[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        to[at..].fill(PADDING);
        let sum = seed.checksum(&to[4..length]);
        to[..4].copy_from_slice(&sum.to_le_bytes());
        sum
    }
}

/// Appends a record that says which sequences have no message any more, as ascending ranges
/// (first, last). Returns its checksum.
pub(super) fn write_removed(seed: Seed, ranges: &[(u64, u64)], out: &mut Vec<u8>) -> u32 {
    let start = out.len();
    out.resize(start + RECORD_HEAD, 0);
    let mut previous = 0;
    for (first, last) in ranges {
        put_varint(out, first - previous);
        put_varint(out, last - first);
        previous = *last;
    }
    let length = out.len() - start;
    out.resize(start + length.next_multiple_of(ALIGN), PADDING);
    let record = &mut out[start..];
    record[4..8].copy_from_slice(&(length as u32).to_le_bytes());
    record[24..28].copy_from_slice(&(ranges.len() as u32).to_le_bytes());
    record[30] = REMOVED;
    let sum = seed.checksum(&record[4..length]);
    record[..4].copy_from_slice(&sum.to_le_bytes());
    sum
}

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) enum Record<'a> {
    Message(MessageRecord<'a>),
    /// Ranges (first, last) of sequences.
    Removed(Vec<(u64, u64)>),
}

/// What a record's head says about its extent, to be believed only if a digest agrees.
pub(super) struct Extent {
    pub(super) checksum: u32,
    /// With padding.
    pub(super) length: usize,
}

/// Reads the extent of the record at the start of `bytes`.
pub(super) fn extent(bytes: &[u8]) -> Option<Extent> {
    let mut reader = Reader::new(bytes.get(..RECORD_HEAD)?);
    let checksum = reader.u32()?;
    let length = (reader.u32()? as usize).next_multiple_of(ALIGN);
    (length >= RECORD_HEAD && length <= bytes.len()).then_some(Extent { checksum, length })
}

/// Whether the record at the start of `bytes` is as it was written.
pub(in crate::store) fn is_intact(seed: Seed, bytes: &[u8]) -> bool {
    let mut reader = Reader::new(bytes);
    let (Some(sum), Some(length)) = (reader.u32(), reader.u32()) else {
        return false;
    };
    let length = length as usize;
    length >= RECORD_HEAD
        && bytes
            .get(4..length)
            .is_some_and(|covered| seed.checksum(covered) == sum)
}

/// The sequence in the head of a message's record.
pub(super) fn sequence_of(bytes: &[u8]) -> Option<u64> {
    Reader::new(bytes.get(8..16)?).u64()
}

/// Reads the record at the start of `bytes`; `None` if it is not intact.
pub(in crate::store) fn read_record(seed: Seed, bytes: &[u8]) -> Option<Record<'_>> {
    is_intact(seed, bytes)
        .then(|| parse_record(bytes))
        .flatten()
}

/// Reads an intact record.
pub(super) fn parse_record(bytes: &[u8]) -> Option<Record<'_>> {
    let mut reader = Reader::new(bytes);
    reader.u32()?;
    let length = reader.u32()? as usize;
    let sequence = reader.u64()?;
    let unix_ns = reader.i64()?;
    let header = reader.u32()? as usize;
    let subject = usize::from(reader.u16()?);
    let kind = reader.u8()?;
    let wake = reader.u8()?;
    let mut body = Reader::new(bytes.get(RECORD_HEAD..length)?);
    match kind {
        MESSAGE => {
            let wake = match wake {
                0 => None,
                code => Some((WakeKind::from_code(code)?, body.i64()?)),
            };
            let subject = body.bytes(subject)?;
            let header = body.bytes(header)?;
            let payload = body.rest();
            Some(Record::Message(MessageRecord {
                sequence,
                unix_ns,
                wake,
                subject,
                header,
                payload,
            }))
        }
        REMOVED => {
            // A range takes two bytes at least: the count cannot make this allocate much.
            let mut ranges = Vec::with_capacity(header.min(length));
            let mut previous = 0u64;
            for _ in 0..header {
                let first = previous.checked_add(body.varint()?)?;
                let last = first.checked_add(body.varint()?)?;
                ranges.push((first, last));
                previous = last;
            }
            body.is_empty().then_some(Record::Removed(ranges))
        }
        _ => None,
    }
}

/// Whether the lengths of the records in a frame's body can be believed: they end where the body
/// ends, there are as many as the head says, and their checksums make its digest.
pub(super) fn is_whole(head: &FrameHead, body: &[u8]) -> bool {
    let mut digest = Digest::default();
    let mut records = 0;
    let mut rest = body;
    while !rest.is_empty() {
        let Some(extent) = extent(rest) else {
            return false;
        };
        digest.add(extent.checksum);
        records += 1;
        rest = &rest[extent.length..];
    }
    records == head.records && digest.finish() == head.digest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SEED: Seed = Seed::of(7);

    proptest! {
        #[test]
        fn messages_come_back_and_flipped_bits_do_not(
            sequence: u64,
            unix_ns: i64,
            wake in proptest::option::of(any::<i64>()),
            subject in proptest::collection::vec(any::<u8>(), 0..40),
            header in proptest::collection::vec(any::<u8>(), 0..40),
            payload in proptest::collection::vec(any::<u8>(), 0..200),
            flip: usize,
        ) {
            let message = MessageRecord {
                sequence,
                unix_ns,
                wake: wake.map(|at| (WakeKind::Schedule, at)),
                subject: &subject,
                header: &header,
                payload: &payload,
            };
            let mut bytes = vec![0xaa; message.length()];
            message.write(SEED, &mut bytes);
            let length = extent(&bytes).expect("fits").length;
            prop_assert_eq!(length, bytes.len());
            prop_assert_eq!(read_record(SEED, &bytes), Some(Record::Message(message)));
            let meaningful = bytes[4..8].iter().rev().fold(0, |n, b| n << 8 | usize::from(*b));
            let bit = flip % (meaningful * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(read_record(SEED, &bytes), None);
        }

        #[test]
        fn removals_come_back(gaps in proptest::collection::vec((0u64..1 << 40, 0u64..9), 0..50)) {
            let mut at = 0;
            let ranges: Vec<_> = gaps
                .into_iter()
                .map(|(gap, length)| {
                    let first = at + gap;
                    at = first + length;
                    (first, at)
                })
                .collect();
            let mut bytes = Vec::new();
            write_removed(SEED, &ranges, &mut bytes);
            prop_assert_eq!(read_record(SEED, &bytes), Some(Record::Removed(ranges)));
        }

        #[test]
        fn heads_come_back(number: u32, commit: u64, unix_ns: i64, flip in 0usize..FRAME_HEAD * 8) {
            let head = SegmentHead {
                identity: 7,
                number,
                last_number: number,
                generation: 1,
                end: 5,
                first_commit: commit,
                last_commit: 9,
                last_sequence: 3,
                last_unix_ns: unix_ns,
            };
            let mut block = vec![1; BLOCK];
            head.write(&mut block);
            prop_assert_eq!(SegmentHead::read(&block), HeadRead::Valid(head));
            let frame = FrameHead {
                identity: 7,
                commit,
                length: 128,
                records: 1,
                last_unix_ns: unix_ns,
                ..FrameHead::default()
            };
            let mut bytes = vec![1; FRAME_HEAD];
            frame.write(&mut bytes);
            prop_assert_eq!(FrameHead::read(&bytes, 7), Some(frame));
            prop_assert_eq!(FrameHead::read(&bytes, 8), None);
            bytes[flip / 8] ^= 1 << (flip % 8);
            prop_assert_eq!(FrameHead::read(&bytes, 7), None);
        }
    }
}
