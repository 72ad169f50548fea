//! The duplicate window: which message ids were stored lately, and under which sequence.

use std::collections::VecDeque;
use std::rc::Rc;

use foldhash::quality::FixedState;
use hashbrown::HashMap;

#[derive(Clone, Debug)]
struct Entry {
    id: Rc<[u8]>,
    sequence: u64,
    unix_ns: i64,
}

/// Message ids by the time they were stored. About 100 bytes and the id for each.
#[derive(Debug)]
pub struct DuplicateWindow {
    /// Nanoseconds; 0: no duplicates are told.
    window: i64,
    by_id: HashMap<Rc<[u8]>, u64, FixedState>,
    /// Oldest first.
    by_time: VecDeque<Entry>,
}

impl DuplicateWindow {
    /// An empty window of this many nanoseconds; `seed` is for the hash of ids, which clients
    /// choose.
    pub fn new(window: i64, seed: u64) -> Self {
        Self {
            window,
            by_id: HashMap::with_hasher(FixedState::with_seed(seed)),
            by_time: VecDeque::new(),
        }
    }

    /// Changes the length of the window.
    pub fn set_window(&mut self, window: i64, now_unix_ns: i64) {
        self.window = window;
        self.expire(now_unix_ns);
    }

    pub fn len(&self) -> usize {
        self.by_time.len()
    }

    /// The sequence under which `id` was stored within the window.
    pub fn find(&mut self, id: &[u8], now_unix_ns: i64) -> Option<u64> {
        self.expire(now_unix_ns);
        self.by_id.get(id).copied()
    }

    /// Remembers that `id` was stored; an id that is there already is renewed.
    pub fn insert(&mut self, id: &[u8], sequence: u64, unix_ns: i64) {
        if self.window <= 0 {
            return;
        }
        let id: Rc<[u8]> = id.into();
        self.by_id.insert(Rc::clone(&id), sequence);
        self.by_time.push_back(Entry {
            id,
            sequence,
            unix_ns,
        });
    }

    /// Forgets what has left the window.
    pub fn expire(&mut self, now_unix_ns: i64) {
        while let Some(oldest) = self.by_time.front() {
            if self.window > 0 && now_unix_ns.saturating_sub(oldest.unix_ns) < self.window {
                break;
            }
            // A renewed id has a later entry.
            if self.by_id.get(&oldest.id) == Some(&oldest.sequence) {
                self.by_id.remove(&oldest.id);
            }
            self.by_time.pop_front();
        }
    }

    /// All ids in the window, oldest first: id, sequence, time.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], u64, i64)> {
        self.by_time
            .iter()
            .map(|entry| (&*entry.id, entry.sequence, entry.unix_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ids_are_told_until_the_window_is_over() {
        let mut window = DuplicateWindow::new(100, 1);
        window.insert(b"a", 1, 0);
        window.insert(b"b", 2, 50);
        assert_eq!(window.find(b"a", 99), Some(1));
        assert_eq!(window.find(b"a", 100), None);
        assert_eq!(window.find(b"b", 149), Some(2));
        window.set_window(10, 149);
        assert_eq!(window.len(), 0);
        window.set_window(0, 149);
        window.insert(b"c", 3, 149);
        assert_eq!(window.find(b"c", 149), None);
    }

    proptest! {
        /// The window tells exactly what a list of all publishes tells.
        #[test]
        fn agrees_with_a_list(steps in prop::collection::vec((0u8..6, 0i64..40), 1..80)) {
            const WINDOW: i64 = 60;
            let mut window = DuplicateWindow::new(WINDOW, 7);
            let mut stored: Vec<(u8, u64, i64)> = Vec::new();
            let mut now = 0;
            for (sequence, (id, step)) in (1u64..).zip(steps) {
                now += step;
                let expected = stored
                    .iter()
                    .rev()
                    .find(|(stored, _, at)| *stored == id && now - at < WINDOW)
                    .map(|(_, sequence, _)| *sequence);
                prop_assert_eq!(window.find(&[id], now), expected);
                if expected.is_none() {
                    window.insert(&[id], sequence, now);
                    stored.push((id, sequence, now));
                }
                prop_assert_eq!(window.iter().count(), window.len());
            }
        }
    }
}
