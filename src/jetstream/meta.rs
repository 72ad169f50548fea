//! The catalogue of all streams, which the meta core keeps.
//!
//! It is not stored: at the start every home reports its streams. A stream is in it from the
//! moment its creation was passed on to its home, and out of it when its removal was, so that
//! requests are answered in the order in which they came.

use std::collections::{BTreeMap, HashMap};

use super::stream::config::Storage;
use super::stream::config::StreamConfig;
use crate::subject::overlaps;

/// A stream, as the meta core knows it.
#[derive(Clone, Debug)]
pub struct Known {
    pub config: StreamConfig,
    /// 0 as long as its home has not said that it is there.
    pub created_ns: i64,
}

/// All streams.
#[derive(Default)]
pub struct Catalogue {
    accounts: HashMap<u16, BTreeMap<String, Known>>,
}

/// Bytes that streams have asked for with `max_bytes`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reserved {
    pub memory: u64,
    pub storage: u64,
}

impl Catalogue {
    /// The stream of this name.
    pub fn get(&self, account: u16, name: &str) -> Option<&Known> {
        self.accounts.get(&account)?.get(name)
    }

    /// Puts a stream in, or its new configuration.
    pub fn insert(&mut self, account: u16, name: &str, known: Known) {
        self.accounts
            .entry(account)
            .or_default()
            .insert(name.to_owned(), known);
    }

    /// Takes a stream out.
    pub fn remove(&mut self, account: u16, name: &str) -> Option<Known> {
        self.accounts.get_mut(&account)?.remove(name)
    }

    /// Streams of an account.
    pub fn count(&self, account: u16) -> usize {
        self.accounts.get(&account).map_or(0, BTreeMap::len)
    }

    /// Streams of an account by name.
    pub fn streams(&self, account: u16) -> impl Iterator<Item = (&str, &Known)> {
        self.accounts
            .get(&account)
            .into_iter()
            .flatten()
            .map(|(name, known)| (name.as_str(), known))
    }

    /// Names of the streams that could store a message on `subject`; all if it is empty.
    pub fn names(&self, account: u16, subject: &str) -> Vec<&str> {
        self.streams(account)
            .filter(|(_, known)| {
                subject.is_empty()
                    || known
                        .config
                        .subjects
                        .iter()
                        .any(|own| overlaps(own.as_bytes(), subject.as_bytes()))
            })
            .map(|(name, _)| name)
            .collect()
    }

    /// What the streams of an account have reserved, without the stream `except`.
    pub fn reserved(&self, account: u16, except: &str) -> Reserved {
        let mut reserved = Reserved::default();
        for (_, known) in self.streams(account).filter(|(name, _)| *name != except) {
            let bytes = u64::try_from(known.config.max_bytes).unwrap_or(0);
            match known.config.storage {
                Storage::Memory => reserved.memory += bytes,
                Storage::File => reserved.storage += bytes,
            }
        }
        reserved
    }

    /// What the streams of all accounts have reserved, without the stream `except` of `account`.
    pub fn reserved_total(&self, account: u16, except: &str) -> Reserved {
        let mut total = Reserved::default();
        for &number in self.accounts.keys() {
            let except = if number == account { except } else { "" };
            let reserved = self.reserved(number, except);
            total.memory += reserved.memory;
            total.storage += reserved.storage;
        }
        total
    }
}

/// One page of a list: where it starts, and its elements.
pub fn page<T>(all: &[T], offset: i64, size: usize) -> (usize, &[T]) {
    let start = usize::try_from(offset).unwrap_or(0).min(all.len());
    let end = (start + size).min(all.len());
    (start, &all[start..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(subjects: &[&str], max_bytes: i64) -> Known {
        Known {
            config: StreamConfig {
                subjects: subjects.iter().map(|s| (*s).to_owned()).collect(),
                max_bytes,
                ..StreamConfig::default()
            },
            created_ns: 1,
        }
    }

    #[test]
    fn streams_are_found_by_name_and_subject() {
        let mut all = Catalogue::default();
        all.insert(0, "b", known(&["b.>", "x"], -1));
        all.insert(0, "a", known(&["a.*"], 100));
        all.insert(1, "c", known(&["b.>"], 50));
        assert_eq!(all.names(0, ""), ["a", "b"]);
        assert_eq!(all.names(0, "b.1"), ["b"]);
        assert_eq!(all.names(0, "*"), ["b"]);
        assert_eq!(all.names(0, "zz"), Vec::<&str>::new());
        assert_eq!(all.reserved(0, "").storage, 100);
        assert_eq!(all.reserved_total(0, "a").storage, 50);
        assert!(all.remove(0, "b").is_some());
        assert_eq!(all.count(0), 1);
    }

    #[test]
    fn pages_stay_inside() {
        let all = [1, 2, 3, 4];
        assert_eq!(page(&all, 0, 3), (0, &[1, 2, 3][..]));
        assert_eq!(page(&all, 3, 3), (3, &[4][..]));
        assert_eq!(page(&all, 9, 3), (4, &[][..]));
        assert_eq!(page(&all, -5, 3), (0, &[1, 2, 3][..]));
    }
}
