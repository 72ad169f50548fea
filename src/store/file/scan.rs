//! Going through a segment's frames at start: what is whole, what is torn, what is damaged.
//!
//! A frame that is not whole is the torn end of the log if nothing behind it was acknowledged, and
//! damage otherwise. What tells:
//! - The head of the next segment names the commit that it begins with: frames from that one on
//!   are the end that an earlier start cut off.
//! - A later frame says which commit was flushed before it was written.
//! - Of the last frame of all: sectors that a torn write left out are zero, for the file was when
//!   it was made. A frame without such a sector was written whole, and then changed.

use super::erase::FILLING;
use super::record::{
    ALIGN, FIRST_FRAME, FRAME_HEAD, FrameHead, RECORD_HEAD, Record, Seed, extent, is_whole,
    read_record, sequence_of,
};
use crate::store::disk::BLOCK;

/// Smallest unit that a disk writes wholly or not at all, in bytes.
const SECTOR: usize = 512;

/// What a scan finds, in order.
#[derive(Debug)]
pub(super) enum Found<'a> {
    /// An intact record and the file's byte where it begins.
    Record(u64, Record<'a>),
    /// A damaged stretch, given as bytes of the file; if it is a record, the sequence that it
    /// seems to have.
    Damage(std::ops::Range<u64>, Option<u64>),
    /// A record that was overwritten on purpose, and its sequence.
    Erased(u64),
    /// A frame is over.
    Frame(FrameHead),
}

/// How a segment ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// More bytes are needed, up to this one of the file (or its end).
    More(u64),
    /// No more frames: the byte behind the last one.
    End(u64),
}

/// What limits a scan.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) identity: u64,
    /// First commit of the next segment that has frames; `None` for the last segment.
    pub(super) next_commit: Option<u64>,
    /// A compacted segment: all its frames have one commit, and this is where they end.
    pub(super) compacted_end: Option<u64>,
    /// The segment's head, which is part of its first write, is not there.
    pub(super) headless: bool,
    /// Length of the file in bytes.
    pub(super) length: u64,
}

/// The position of a scan.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scan {
    /// The file's byte where the next frame begins.
    pub(super) at: u64,
    /// The commit that it must have; 0 takes any.
    pub(super) expected: u64,
}

impl Scan {
    /// Goes on with `data`, the file's bytes from `data_at` (at or before the position).
    pub(super) fn run(
        &mut self,
        data: &[u8],
        data_at: u64,
        limits: &Limits,
        found: &mut dyn FnMut(Found<'_>),
    ) -> Progress {
        let read_to = data_at + data.len() as u64;
        if limits.headless && self.at == u64::from(FIRST_FRAME) {
            if read_to < limits.length {
                return Progress::More(limits.length);
            }
            let frames = &data[(self.at.min(read_to) - data_at) as usize..];
            if !was_flushed(frames, limits.identity) {
                return Progress::End(self.at);
            }
        }
        loop {
            if let Some(end) = limits.compacted_end
                && self.at >= end
            {
                return Progress::End(self.at);
            }
            if self.is_cut(limits) || self.at + FRAME_HEAD as u64 > limits.length {
                return Progress::End(self.at);
            }
            if self.at + FRAME_HEAD as u64 > read_to {
                return Progress::More(self.at + FRAME_HEAD as u64);
            }
            let bytes = &data[(self.at - data_at) as usize..];
            let head =
                FrameHead::read(bytes, limits.identity).filter(|head| self.accepts(head, limits));
            if let Some(head) = head {
                let end = self.at + u64::from(head.length);
                if end > read_to && end <= limits.length {
                    return Progress::More(end);
                }
                if let Some(frame) = bytes.get(..head.length as usize)
                    && is_whole(&head, &frame[FRAME_HEAD..])
                    && self.deliver(&head, frame, limits, found)
                {
                    continue;
                }
            }
            if limits.compacted_end.is_some() && bytes.len() < BLOCK && used_length(bytes) == 0 {
                return Progress::End(self.at);
            }
            // Not whole. Whatever it is shows only in all that follows.
            if read_to < limits.length {
                return Progress::More(limits.length);
            }
            match self.judge(bytes, head, limits, found) {
                Some(progress) => return progress,
                None => continue,
            }
        }
    }

    /// The commit that a frame that is not whole has or had, if `next` is the next one.
    fn commit_here(&self, head: Option<FrameHead>, next: &FrameHead) -> u64 {
        match head {
            _ if self.expected > 0 => self.expected,
            Some(head) => head.commit,
            None => next.commit - 1,
        }
    }

    fn is_cut(&self, limits: &Limits) -> bool {
        limits
            .next_commit
            .is_some_and(|next| self.expected > 0 && next <= self.expected)
            && limits.compacted_end.is_none()
    }

    fn accepts(&self, head: &FrameHead, limits: &Limits) -> bool {
        self.expected == 0 || limits.compacted_end.is_some() || head.commit == self.expected
    }

    /// Passes on the records of a frame whose structure is whole. `false` if one of them is not
    /// intact and the frame may be torn.
    fn deliver(
        &mut self,
        head: &FrameHead,
        frame: &[u8],
        limits: &Limits,
        found: &mut dyn FnMut(Found<'_>),
    ) -> bool {
        let seed = Seed::of(limits.identity);
        let last = limits.next_commit.is_none()
            && limits.compacted_end.is_none()
            && self.at + u64::from(head.length) + FRAME_HEAD as u64 <= limits.length;
        let mut intact = true;
        let mut at = FRAME_HEAD;
        while let Some(record) = extent(&frame[at..]) {
            intact &= read_record(seed, &frame[at..at + record.length]).is_some();
            at += record.length;
        }
        if !intact && last && has_zero_sector(frame, self.at) {
            return false;
        }
        let mut at = FRAME_HEAD;
        while let Some(record) = extent(&frame[at..]) {
            let start = self.at + at as u64;
            match read_record(seed, &frame[at..at + record.length]) {
                Some(record) => found(Found::Record(start, record)),
                None => {
                    let bytes = &frame[at..at + record.length];
                    let sequence = sequence_of(bytes);
                    if is_erased(bytes, start) {
                        found(Found::Erased(sequence.unwrap_or(0)));
                    } else {
                        found(Found::Damage(start..start + bytes.len() as u64, sequence));
                    }
                }
            }
            at += record.length;
        }
        self.pass(head, self.at + u64::from(head.length), limits, found);
        true
    }

    fn pass(
        &mut self,
        head: &FrameHead,
        end: u64,
        limits: &Limits,
        found: &mut dyn FnMut(Found<'_>),
    ) {
        found(Found::Frame(*head));
        self.at = end;
        if limits.compacted_end.is_none() {
            self.expected = head.commit + 1;
        }
    }

    /// Decides about a frame that is not whole, with all that follows in `rest`. `None` goes on.
    fn judge(
        &mut self,
        rest: &[u8],
        head: Option<FrameHead>,
        limits: &Limits,
        found: &mut dyn FnMut(Found<'_>),
    ) -> Option<Progress> {
        let start = self.at;
        if let Some((skipped, next)) = next_frame(rest, limits.identity, self.expected)
            && (limits.compacted_end.is_some()
                || limits.next_commit.is_some()
                || next.flushed >= self.commit_here(head, &next))
        {
            salvage(Seed::of(limits.identity), &rest[..skipped], start, found);
            self.at = start + skipped as u64;
            if limits.compacted_end.is_none() {
                self.expected = next.commit;
            }
            return None;
        }
        // Nothing acknowledged follows in this file.
        if let Some(end) = limits.compacted_end {
            let length = (end.saturating_sub(start) as usize).min(rest.len());
            salvage(Seed::of(limits.identity), &rest[..length], start, found);
            self.at = end;
            return Some(Progress::End(end));
        }
        if let Some(next) = limits.next_commit {
            // The next segment goes on later than this one ends: what is between was acknowledged.
            let used = used_length(rest);
            salvage(Seed::of(limits.identity), &rest[..used], start, found);
            if used > 0 {
                self.at = start + used as u64;
                self.expected = next;
            }
            return Some(Progress::End(self.at));
        }
        let Some(length) = written_whole(rest, head, start, limits.identity) else {
            return Some(Progress::End(start));
        };
        salvage(Seed::of(limits.identity), &rest[..length], start, found);
        if let Some(head) = head {
            self.pass(&head, start + length as u64, limits, found);
        } else {
            self.at = start + length as u64;
            self.expected += u64::from(self.expected > 0);
        }
        Some(Progress::End(self.at))
    }
}

/// Bytes up to the last one that is not zero, aligned.
fn used_length(bytes: &[u8]) -> usize {
    let used = bytes.iter().rposition(|byte| *byte != 0);
    used.map_or(0, |at| (at + 1).next_multiple_of(ALIGN).min(bytes.len()))
}

/// Length of the last frame, if it was written whole and changed afterwards; `None` if it is torn
/// or nothing.
fn written_whole(rest: &[u8], head: Option<FrameHead>, at: u64, identity: u64) -> Option<usize> {
    if let Some(head) = head {
        let frame = rest.get(..head.length as usize)?;
        return (!has_zero_sector(frame, at)).then_some(frame.len());
    }
    // Its head is not intact. It was a head if it still looks like one of this log.
    let start = rest.get(..FRAME_HEAD)?;
    let mut example = [0; FRAME_HEAD];
    FrameHead {
        identity,
        ..FrameHead::default()
    }
    .write(&mut example);
    let magic = start[..4] == example[..4];
    let ours = start[8..16] == example[8..16];
    if !magic && !ours {
        return None;
    }
    let length = used_length(rest).max(FRAME_HEAD);
    (!has_zero_sector(&rest[..length], at)).then_some(length)
}

/// Whether a sector within `bytes`, which begin at byte `at` of the file, is zero; parts of sectors
/// at both ends count as sectors. What is written whole has none but in the middle of a payload of
/// zeros, for padding is not zero.
pub(in crate::store) fn has_zero_sector(bytes: &[u8], at: u64) -> bool {
    let first = SECTOR - (at % SECTOR as u64) as usize;
    let (head, rest) = bytes.split_at(first.min(bytes.len()));
    std::iter::once(head)
        .chain(rest.chunks(SECTOR))
        .any(|sector| !sector.is_empty() && sector.iter().all(|byte| *byte == 0))
}

/// Whether a record that begins at byte `at` of the file was overwritten, at least in a sector: the
/// overwriting may have been torn.
fn is_erased(record: &[u8], at: u64) -> bool {
    let body = record.get(RECORD_HEAD..).unwrap_or_default();
    let first = SECTOR - ((at + RECORD_HEAD as u64) % SECTOR as u64) as usize;
    let (head, rest) = body.split_at(first.min(body.len()));
    std::iter::once(head)
        .chain(rest.chunks(SECTOR))
        .any(|part| part.len() >= ALIGN && part.iter().all(|byte| *byte == FILLING))
}

/// The next intact head of a frame behind the start of `bytes` with a later commit than expected.
fn next_frame(bytes: &[u8], identity: u64, expected: u64) -> Option<(usize, FrameHead)> {
    let magic = b"RwF1";
    memchr::memmem::find_iter(bytes, magic).find_map(|at| {
        if at == 0 || at % ALIGN != 0 {
            return None;
        }
        let head = FrameHead::read(&bytes[at..], identity)?;
        (head.commit > expected || expected == 0).then_some((at, head))
    })
}

/// Whether a segment whose head is missing was acknowledged nevertheless, as one of its frames says.
/// Otherwise its first write was torn, and nothing that followed was flushed.
fn was_flushed(frames: &[u8], identity: u64) -> bool {
    let heads = memchr::memmem::find_iter(frames, b"RwF1")
        .filter(|at| at % ALIGN == 0)
        .filter_map(|at| FrameHead::read(&frames[at..], identity));
    let mut first = u64::MAX;
    let mut flushed = 0;
    for head in heads {
        first = first.min(head.commit);
        flushed = flushed.max(head.flushed);
    }
    flushed >= first
}

/// Finds intact records in a damaged stretch.
fn salvage(seed: Seed, bytes: &[u8], at: u64, found: &mut dyn FnMut(Found<'_>)) {
    let mut bad = 0;
    let mut here = 0;
    while here + RECORD_HEAD <= bytes.len() {
        match read_record(seed, &bytes[here..]) {
            Some(record) => {
                if bad < here {
                    found(Found::Damage(at + bad as u64..at + here as u64, None));
                }
                let length = extent(&bytes[here..]).map_or(ALIGN, |extent| extent.length);
                found(Found::Record(at + here as u64, record));
                here += length;
                bad = here;
            }
            None => here += ALIGN,
        }
    }
    if bad < bytes.len() {
        found(Found::Damage(
            at + bad as u64..at + bytes.len() as u64,
            None,
        ));
    }
}
