//! A log, the disk below it, and what the log promised.

use std::collections::BTreeMap;

use ringwire::store::sim::SimDisk;
use ringwire::store::{
    AppendError, BlockCache, Compression, Fetch, Log, LogConfig, Mark, NewMessage, Removal, Replay,
    StorageKind, Stored, SyncPolicy, WakeKind, accounted,
};

/// Runs a test for many seeds, or for the one in `STORE_SEED`; names the seed that fails.
pub fn for_seeds(cases: u64, test: impl Fn(u64) + std::panic::RefUnwindSafe) {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    if let Some(seed) = number("STORE_SEED") {
        test(seed);
        return;
    }
    let cases = number("STORE_CASES").unwrap_or(cases);
    let mut failed = Vec::new();
    for seed in 0..cases {
        if std::panic::catch_unwind(|| test(seed)).is_err() {
            eprintln!("failed with STORE_SEED={seed}");
            failed.push(seed);
            // A few tell more than one.
            if failed.len() == FAILURES_MAX {
                break;
            }
        }
    }
    assert!(
        failed.is_empty(),
        "failed with STORE_SEED one of {failed:?}"
    );
}

/// Failing seeds after which a test gives up.
const FAILURES_MAX: usize = 5;

/// Chance from a seed.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678_9abc_def1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub unix_ns: i64,
    pub subject: Vec<u8>,
    pub header: Vec<u8>,
    pub payload: Vec<u8>,
    pub wake: Option<(WakeKind, i64)>,
}

impl Message {
    /// A message whose bytes are all not zero, so that a sector of zeros is never part of one.
    pub fn random(random: &mut Random, unix_ns: i64, large: u64) -> Self {
        let length = match random.below(20) {
            0 => random.below(large),
            1..5 => random.below(2000),
            _ => random.below(200),
        };
        let first = random.next();
        let payload = (0..length)
            .map(|at| ((first + at) % 255) as u8 + 1)
            .collect();
        let header = if random.one_in(3) {
            format!("NATS/1.0\r\nA: {}\r\n\r\n", random.below(1000)).into_bytes()
        } else {
            Vec::new()
        };
        Self {
            unix_ns,
            subject: format!("s.{}.{}", random.below(3), random.below(30)).into_bytes(),
            header,
            payload,
            wake: random
                .one_in(10)
                .then(|| (WakeKind::Expire, unix_ns + random.below(1000) as i64)),
        }
    }

    fn new_message(&self, sequence: Option<u64>) -> NewMessage<'_> {
        NewMessage {
            sequence,
            unix_ns: self.unix_ns,
            subject: &self.subject,
            header: &self.header,
            payload: &self.payload,
            wake: self.wake,
        }
    }
}

/// What recovery told the stream.
#[derive(Default)]
pub struct Told {
    pub blob: Option<Vec<u8>>,
    pub sequences: Vec<u64>,
}

impl Replay for Told {
    fn checkpoint(&mut self, blob: &[u8]) {
        assert!(self.sequences.is_empty());
        self.blob = Some(blob.to_vec());
    }

    fn message(&mut self, message: &Stored<'_>) {
        self.sequences.push(message.sequence);
    }
}

pub struct Harness {
    pub disk: SimDisk,
    pub log: Log,
    pub told: Told,
    pub sync: SyncPolicy,
    pub segment_bytes: u32,
    pub cache_bytes: usize,
    /// What is stored, as far as the log said.
    pub model: BTreeMap<u64, Message>,
    /// Removed, and not durably so before the mark is reached.
    pub removed: Vec<(u64, Message, Option<Mark>)>,
    pub last: u64,
    pub clock: i64,
    /// Blobs of checkpoints that were started: the last sequence at that time.
    pub checkpoints: Vec<u64>,
    /// Sequences up to here were said to be flushed.
    pub flushed: u64,
}

pub const DIRECTORY: &str = "account/stream";

impl Harness {
    pub fn config(&self) -> LogConfig {
        config(self.sync, self.segment_bytes, self.cache_bytes)
    }

    pub fn new(seed: u64, sync: SyncPolicy, segment_bytes: u32, cache_bytes: usize) -> Self {
        let mut disk = SimDisk::new(seed);
        disk.trace = std::env::var_os("STORE_TRACE").is_some();
        let log = Log::create(7, config(sync, segment_bytes, cache_bytes), &mut disk);
        Self {
            disk,
            log,
            told: Told::default(),
            sync,
            segment_bytes,
            cache_bytes,
            model: BTreeMap::new(),
            removed: Vec::new(),
            last: 0,
            clock: 1,
            checkpoints: Vec::new(),
            flushed: 0,
        }
    }

    /// Carries out one operation of the disk.
    pub fn step(&mut self) -> bool {
        let Some(done) = self.disk.step() else {
            return false;
        };
        self.log.completed(done, &mut self.disk, &mut self.told);
        self.note();
        true
    }

    /// Until nothing is under way.
    pub fn settle(&mut self) {
        for _ in 0..1_000_000 {
            self.log.flush(&mut self.disk);
            self.log.sync(&mut self.disk);
            if !self.step() && self.log.is_idle() && !self.log.wants_sync() {
                return;
            }
            if self.log.failure().is_some() && !self.disk.is_busy() {
                return;
            }
        }
        panic!("the log never settles");
    }

    fn note(&mut self) {
        if self.sync == SyncPolicy::Always && self.log.is_ready() {
            let durable = self.log.durable();
            assert!(durable >= self.flushed, "durable went back");
            self.flushed = durable;
        } else if !self.log.wants_sync() && self.log.is_ready() {
            self.flushed = self.flushed.max(self.log.durable().min(self.last));
        }
        for (_, _, mark) in &mut self.removed {
            if mark.is_some_and(|mark| self.log.reached(mark))
                && (self.sync == SyncPolicy::Always || !self.log.wants_sync())
            {
                *mark = None;
            }
        }
    }

    pub fn append(&mut self, message: Message, sequence: Option<u64>) -> Result<u64, AppendError> {
        let sequence = self.log.append(&message.new_message(sequence))?;
        assert!(sequence > self.last);
        self.last = sequence;
        self.model.insert(sequence, message);
        Ok(sequence)
    }

    pub fn remove(&mut self, sequence: u64, how: Removal) {
        let removed = self.log.remove(sequence, how);
        let message = self.model.remove(&sequence);
        assert_eq!(removed.is_some(), message.is_some());
        if let Some(message) = message {
            let mark = self.log.mark();
            self.removed.push((sequence, message, Some(mark)));
        }
    }

    /// Reads a message, however many operations that takes.
    pub fn read(&mut self, sequence: u64) -> Option<Result<Message, ()>> {
        for _ in 0..100_000 {
            match self.log.get(sequence, &mut self.disk) {
                Fetch::Message(stored) => {
                    let message = Message {
                        unix_ns: stored.unix_ns,
                        subject: stored.subject.to_vec(),
                        header: stored.header.to_vec(),
                        payload: stored.payload.to_vec(),
                        wake: None,
                    };
                    return Some(Ok(message));
                }
                Fetch::Missing => return None,
                Fetch::Damaged => return Some(Err(())),
                Fetch::Loading => {
                    self.log.flush(&mut self.disk);
                    assert!(self.step(), "loading, and nothing is under way");
                }
            }
        }
        panic!("message {sequence} never loads");
    }

    pub fn check_message(&mut self, sequence: u64) {
        let expected = self.model.get(&sequence).cloned();
        let found = self.read(sequence);
        match (expected, found) {
            (None, None) => {}
            (Some(expected), Some(Ok(found))) => {
                let expected = Message {
                    wake: None,
                    ..expected
                };
                assert_eq!(found, expected, "message {sequence}");
            }
            (expected, found) => panic!(
                "message {sequence}: expected {}, found {found:?}",
                expected.is_some()
            ),
        }
    }

    /// All messages and totals as in the model.
    pub fn check_all(&mut self) {
        let sequences: Vec<u64> = self.model.keys().copied().collect();
        let mut at = 0;
        for sequence in &sequences {
            assert_eq!(self.log.next(at), Some(*sequence));
            at = sequence + 1;
            self.check_message(*sequence);
            let wake = self.model[sequence].wake;
            assert_eq!(self.log.wake(*sequence), wake, "wake of {sequence}");
        }
        assert_eq!(self.log.next(at), None);
        self.check_state();
        assert_eq!(self.log.damage(), &[]);
        assert_eq!(self.log.failure(), None);
    }

    pub fn check_state(&mut self) {
        let state = self.log.state();
        assert_eq!(state.messages, self.model.len() as u64);
        let bytes: u64 = self
            .model
            .values()
            .map(|m| accounted(m.subject.len(), m.header.len(), m.payload.len()))
            .sum();
        assert_eq!(state.bytes, bytes);
        let first = self.model.keys().next().copied();
        assert_eq!(state.first_sequence, first.unwrap_or(self.last + 1));
        assert_eq!(state.last_sequence, self.last);
        let mut subjects: Vec<&[u8]> = self.model.values().map(|m| &m.subject[..]).collect();
        subjects.sort_unstable();
        subjects.dedup();
        let mut found: Vec<Vec<u8>> = Vec::new();
        self.log
            .for_each_subject(b">", |text, _| found.push(text.to_vec()));
        assert_eq!(found, subjects);
    }

    /// Opens the log anew; nothing is left of the one before.
    pub fn reopen(&mut self) {
        self.told = Told::default();
        self.log = Log::open(7, self.config(), &mut self.disk);
        for _ in 0..1_000_000 {
            if self.log.is_ready() || self.log.failure().is_some() {
                break;
            }
            assert!(self.step(), "opening, and nothing is under way");
        }
    }

    /// After a crash: what was promised is there, and the model becomes what is there.
    pub fn check_promises(&mut self) {
        assert_eq!(self.log.failure(), None);
        assert_eq!(self.log.damage(), &[]);
        let found: Vec<u64> =
            std::iter::successors(self.log.next(0), |at| self.log.next(at + 1)).collect();
        for sequence in self.model.range(..=self.flushed).map(|entry| entry.0) {
            assert!(
                found.contains(sequence),
                "acknowledged {sequence} is lost; flushed {}, last {:?}, found {:?} to {:?}, blob {:?}, told {:?}, files {:?}",
                self.flushed,
                self.model
                    .range(..=self.flushed)
                    .map(|e| *e.0)
                    .filter(|s| !found.contains(s))
                    .collect::<Vec<_>>(),
                found.first(),
                found.last(),
                self.told.blob,
                self.told.sequences,
                self.disk
                    .files()
                    .map(|(path, bytes)| (path, bytes.len()))
                    .collect::<Vec<_>>()
            );
        }
        let present = found.last().copied().unwrap_or(0);
        let state = self.log.state();
        assert!(state.last_sequence >= self.flushed.min(self.last));
        assert!(state.last_sequence <= self.last.max(self.flushed));
        let mut model = BTreeMap::new();
        let removed = std::mem::take(&mut self.removed);
        for sequence in &found {
            let known = self.model.get(sequence).cloned();
            let back = removed.iter().find(|(removed, _, _)| removed == sequence);
            let message = match (known, back) {
                (Some(message), _) => message,
                (None, Some((_, message, Some(_)))) => message.clone(),
                (None, Some((_, _, None))) => panic!("removed {sequence} came back"),
                (None, None) => panic!("{sequence} was never stored"),
            };
            model.insert(*sequence, message);
        }
        // Nothing is there without what came before it.
        for sequence in self.model.keys().filter(|s| **s < present) {
            assert!(
                found.contains(sequence),
                "{sequence} is missing before {present}"
            );
        }
        self.model = model;
        self.last = state.last_sequence;
        self.flushed = self.last;
        let blob = self.told.blob.clone();
        let told = std::mem::take(&mut self.told.sequences);
        assert!(told.is_sorted_by(|a, b| a < b), "told out of order");
        let from = match blob {
            Some(blob) => {
                let at = u64::from_le_bytes(blob.try_into().expect("eight bytes"));
                assert!(self.checkpoints.contains(&at), "a blob of nobody");
                at
            }
            None => 0,
        };
        for sequence in found.iter().filter(|sequence| **sequence > from) {
            assert!(told.contains(sequence), "{sequence} was not told");
        }
        assert!(told.iter().all(|sequence| *sequence > from));
        self.check_all();
    }

    pub fn checkpoint(&mut self) {
        let blob = self.last.to_le_bytes();
        self.checkpoints.push(self.last);
        self.log.checkpoint(&blob, &mut self.disk);
    }
}

pub fn config(sync: SyncPolicy, segment_bytes: u32, cache_bytes: usize) -> LogConfig {
    LogConfig {
        directory: DIRECTORY.to_owned(),
        storage: StorageKind::File,
        sync,
        compression: Compression::None,
        identity: 0x1122_3344_5566_7788,
        seed: 5,
        first_sequence: 0,
        segment_bytes,
        cache: BlockCache::new(cache_bytes),
    }
}
