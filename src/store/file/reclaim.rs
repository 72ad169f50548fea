//! Space of messages that were removed: segments without any are dropped, sparse ones compacted.
//!
//! A removal is a record in a later segment than the message. Before that segment goes, the
//! removals in it that older segments still need are said again at the end of the log.

use super::FileLog;
use super::segment::Segment;
use crate::store::disk::{Disk, Op};
use crate::store::index::Index;
use crate::store::log::Mark;

/// Garbage of a segment, in bytes, that is worth compaction; it must be half of the segment, too.
const GARBAGE_MIN: u64 = 64 * 1024;
/// So many segments in a row are made one if that is no larger than half a segment may be.
const RUN_MIN: usize = 8;
/// Segments of one compaction.
const RUN_MAX: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Reclaim {
    /// Something changed since the last look.
    pub(super) look: bool,
    /// Segments to drop when these changes are flushed.
    dropping: Vec<(u32, Mark)>,
}

impl FileLog {
    pub(super) fn maintain(&mut self, index: &mut Index, disk: &mut dyn Disk) {
        self.drop_segments(disk);
        if std::mem::take(&mut self.reclaim.look) {
            self.choose_drops(index);
            if self.compaction.is_none() && !self.checkpoint.is_active() {
                if let Some(run) = self.choose_run() {
                    self.start_compaction(run, index, disk);
                }
            } else {
                // Look again when they are done.
                self.reclaim.look = self.segments.len() > 1;
            }
        }
        self.compaction_work(index, disk);
        self.erase_work(disk);
    }

    /// The newest segment, which stays: it knows the last sequence and commit.
    fn newest(&self) -> Option<u32> {
        let newest = self.segments.iter().max_by_key(|(_, s)| s.name.number);
        newest.map(|(key, _)| *key)
    }

    /// Whether a start would replay the segment: the checkpoint names messages whose removal
    /// stands in it.
    fn is_replayed(&self, segment: &Segment) -> bool {
        self.checkpoint
            .replays_from
            .is_some_and(|from| segment.name.last_number >= from)
    }

    fn choose_drops(&mut self, index: &mut Index) {
        let newest = self.newest();
        let empty: Vec<u32> = self
            .segments
            .iter()
            .filter(|(key, segment)| {
                segment.sealed
                    && segment.live == 0
                    && !segment.dropping
                    && !segment.damaged
                    && Some(**key) != newest
                    && !self.writer.uses(**key)
            })
            .map(|(key, _)| *key)
            .collect();
        let compacting = self.compaction.as_ref();
        let found = empty.len();
        let empty: Vec<u32> = empty
            .into_iter()
            .filter(|key| compacting.is_none_or(|compaction| !compaction.uses(*key)))
            .filter(|key| self.segments.get(key).is_some_and(|s| !self.is_replayed(s)))
            .collect();
        // Those that wait for a later checkpoint should not wait for long.
        self.checkpoint.stale |= empty.len() < found && compacting.is_none();
        if empty.is_empty() {
            return;
        }
        for key in &empty {
            if let Some(segment) = self.segments.get_mut(key) {
                segment.dropping = true;
            }
        }
        self.carry(&empty, index);
        let mark = self.mark();
        let dropping = empty.into_iter().map(|key| (key, mark));
        self.reclaim.dropping.extend(dropping);
    }

    /// Says again what records in these segments say about messages in older ones.
    pub(super) fn carry(&mut self, leaving: &[u32], index: &Index) {
        if leaving.contains(&self.writer.front_segment) {
            self.writer.front_moved = true;
        }
        let hulls: Vec<(u32, (u64, u64))> = leaving
            .iter()
            .filter_map(|key| {
                let segment = self.segments.get(key)?;
                Some((segment.name.number, segment.removals?))
            })
            .collect();
        let needs = |segment: &Segment| {
            (segment.total > segment.live || segment.damaged)
                && hulls.iter().any(|(number, hull)| {
                    segment.name.number < *number
                        && hull.0 <= segment.sequences.1
                        && segment.sequences.0 <= hull.1
                })
        };
        let stretches: Vec<(u64, u64)> = self
            .segments
            .iter()
            .filter(|(key, segment)| !leaving.contains(key) && needs(segment))
            .map(|(_, segment)| segment.sequences)
            .collect();
        for (first, last) in stretches {
            let mut at = first.max(index.first_sequence());
            while at <= last {
                let next = index.next(at).unwrap_or(last + 1).min(last + 1);
                if next > at {
                    self.note_range(at, next - 1);
                }
                at = next + 1;
            }
        }
    }

    fn drop_segments(&mut self, disk: &mut dyn Disk) {
        let flushed = self.writer.flushed.commit;
        let mut at = 0;
        while let Some((key, mark)) = self.reclaim.dropping.get(at).copied() {
            let reading = self.segments.get(&key).is_some_and(|s| s.reads > 0);
            if mark.0 > flushed || reading {
                at += 1;
                continue;
            }
            self.reclaim.dropping.swap_remove(at);
            self.drop_segment(key, disk);
        }
    }

    /// Removes a segment's file.
    pub(super) fn drop_segment(&mut self, key: u32, disk: &mut dyn Disk) {
        let Some(mut segment) = self.segments.remove(&key) else {
            return;
        };
        self.operations.close_reader(&mut segment, disk);
        self.reads.forget(key);
        self.config.cache.forget(self.owner, Some(key));
        let path = self.path(&segment.name.file());
        self.operations
            .submit(super::Doing::Nothing, Op::Remove { path }, disk);
    }

    /// Segments, one behind the other in the log, that are worth compaction.
    fn choose_run(&self) -> Option<Vec<u32>> {
        let mut all: Vec<(&u32, &Segment)> = self.segments.iter().collect();
        all.sort_unstable_by_key(|(_, segment)| segment.name.number);
        let newest = self.newest();
        let usable = |key: u32, segment: &Segment| {
            segment.sealed
                && Some(key) != newest
                && !self.is_replayed(segment)
                && !segment.damaged
                && !segment.dropping
                && segment.live > 0
                && !self.writer.uses(key)
        };
        let limit = u64::from(self.config.segment_bytes) / 2;
        let mut run: Vec<u32> = Vec::new();
        let mut run_bytes = 0;
        for (key, segment) in all {
            if !usable(*key, segment) {
                if run.len() >= RUN_MIN {
                    break;
                }
                run.clear();
                run_bytes = 0;
                continue;
            }
            if segment.garbage() > GARBAGE_MIN && segment.garbage() > segment.live_bytes {
                return Some(vec![*key]);
            }
            if run_bytes + segment.live_bytes > limit || run.len() == RUN_MAX {
                if run.len() >= RUN_MIN {
                    break;
                }
                run.clear();
                run_bytes = 0;
            }
            run.push(*key);
            run_bytes += segment.live_bytes;
        }
        (run.len() >= RUN_MIN).then_some(run)
    }
}
