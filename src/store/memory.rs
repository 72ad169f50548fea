//! Records of a memory log: segments of memory, dropped when empty and squeezed when sparse.

use std::collections::VecDeque;

use super::index::{Index, Place};
use super::message::{NewMessage, Stored};

/// Size of a segment, in bytes; the first ones of a log are smaller. A larger message has a
/// segment of its own.
const SEGMENT: usize = 256 * 1024;
const FIRST_SEGMENT: usize = 4096;
/// Dead bytes that are tolerated beside as many live ones.
const SLACK: usize = SEGMENT;
/// Bytes moved at most for one removal.
const SQUEEZE_STEP: usize = 16 * 1024;

/// Sequence, length of header, length of payload.
const HEAD: usize = 16;

#[derive(Debug)]
struct Segment {
    bytes: Vec<u8>,
    /// Bytes of records that are not removed.
    live: usize,
}

/// The records; where each is stands in the [`Index`].
#[derive(Debug, Default)]
pub(super) struct Memory {
    segments: VecDeque<Segment>,
    /// Number of the first segment.
    first: u32,
    live: usize,
    used: usize,
    /// How far the first segment was squeezed.
    squeezed: usize,
}

fn number(bytes: &[u8], at: usize) -> usize {
    bytes[at..at + 4]
        .iter()
        .rev()
        .fold(0, |n, b| n << 8 | usize::from(*b))
}

impl Memory {
    /// Bytes allocated.
    pub(super) fn memory_bytes(&self) -> usize {
        self.segments.iter().map(|s| s.bytes.capacity()).sum()
    }

    pub(super) fn append(&mut self, sequence: u64, message: &NewMessage<'_>) -> Place {
        let (header, payload) = (message.header.len() as u32, message.payload.len() as u32);
        let length = HEAD + message.header.len() + message.payload.len();
        self.store(length, |bytes| {
            bytes.extend_from_slice(&sequence.to_le_bytes());
            bytes.extend_from_slice(&header.to_le_bytes());
            bytes.extend_from_slice(&payload.to_le_bytes());
            bytes.extend_from_slice(message.header);
            bytes.extend_from_slice(message.payload);
        })
    }

    fn store(&mut self, length: usize, write: impl FnOnce(&mut Vec<u8>)) -> Place {
        let fits = self
            .segments
            .back()
            .is_some_and(|last| last.bytes.len() + length <= last.bytes.capacity());
        if !fits {
            let size = (self.used * 2).clamp(FIRST_SEGMENT, SEGMENT).max(length);
            self.segments.push_back(Segment {
                bytes: Vec::with_capacity(size),
                live: 0,
            });
        }
        let last = self.segments.len() - 1;
        let segment = &mut self.segments[last];
        let offset = segment.bytes.len() as u32;
        write(&mut segment.bytes);
        segment.live += length;
        self.live += length;
        self.used += length;
        Place {
            segment: self.first.wrapping_add(last as u32),
            offset,
        }
    }

    fn record(&self, place: Place) -> Option<(&[u8], usize)> {
        let at = place.segment.wrapping_sub(self.first) as usize;
        let bytes = self.segments.get(at)?.bytes.get(place.offset as usize..)?;
        let header = number(bytes, 8);
        let length = HEAD + header + number(bytes, 12);
        Some((&bytes[..length], header))
    }

    pub(super) fn get<'a>(&'a self, index: &'a Index, sequence: u64) -> Option<Stored<'a>> {
        let entry = index.get(sequence)?;
        let (record, header) = self.record(entry.place)?;
        Some(Stored {
            sequence,
            unix_ns: entry.unix_ns,
            subject: index.subject(entry.subject),
            header: &record[HEAD..HEAD + header],
            payload: &record[HEAD + header..],
        })
    }

    /// Gives up a record; `erase` overwrites it.
    pub(super) fn remove(&mut self, place: Place, erase: bool, index: &mut Index) {
        let Some((record, _)) = self.record(place) else {
            return;
        };
        let length = record.len();
        let at = place.segment.wrapping_sub(self.first) as usize;
        let segment = &mut self.segments[at];
        segment.live -= length;
        self.live -= length;
        if erase {
            let start = place.offset as usize;
            segment.bytes[start + HEAD..start + length].fill(0);
        }
        let is_last = at + 1 == self.segments.len();
        let segment = &mut self.segments[at];
        if segment.live == 0 && is_last {
            self.used -= segment.bytes.len();
            segment.bytes.clear();
            if at == 0 {
                self.squeezed = 0;
            }
        } else if segment.live == 0 && at > 0 {
            // Its number must stay.
            self.used -= segment.bytes.len();
            segment.bytes = Vec::new();
        }
        self.drop_empty();
        if self.used > 2 * self.live + SLACK {
            self.squeeze(index);
        }
    }

    fn drop_empty(&mut self) {
        while self.segments.len() > 1 && self.segments[0].live == 0 {
            self.used -= self.segments[0].bytes.len();
            self.segments.pop_front();
            self.first = self.first.wrapping_add(1);
            self.squeezed = 0;
        }
    }

    /// Moves live records of the first segment behind all others, a step at a time.
    fn squeeze(&mut self, index: &mut Index) {
        let mut budget = SQUEEZE_STEP;
        while self.segments.len() > 1 && budget > 0 {
            let segment = &self.segments[0];
            if self.squeezed >= segment.bytes.len() {
                break;
            }
            let place = Place {
                segment: self.first,
                offset: self.squeezed as u32,
            };
            let Some((record, _)) = self.record(place) else {
                break;
            };
            let length = record.len();
            let sequence = number(record, 0) as u64 | (number(record, 4) as u64) << 32;
            if index
                .get(sequence)
                .is_some_and(|entry| entry.place == place)
            {
                let copy = record.to_vec();
                let moved = self.store(length, |bytes| bytes.extend_from_slice(&copy));
                index.set_place(sequence, moved);
                self.segments[0].live -= length;
                self.live -= length;
            }
            self.squeezed += length;
            budget = budget.saturating_sub(length);
        }
        self.drop_empty();
    }
}
