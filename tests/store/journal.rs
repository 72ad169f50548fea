//! Journals against a list of changes, with crashes.

use ringwire::store::sim::SimDisk;
use ringwire::store::{Disk, Journal, JournalConfig, Op, Recovered, Tag};

use crate::harness::{Random, for_seeds};

fn config() -> JournalConfig {
    JournalConfig {
        path: "account/stream/consumers/c.1".to_owned(),
        identity: 99,
        memory: false,
    }
}

/// State after each number of changes.
struct Model {
    states: Vec<Recovered>,
}

impl Model {
    fn last(&self) -> &Recovered {
        &self.states[self.states.len() - 1]
    }
}

/// A disk with the journal's directory.
fn disk(seed: u64) -> SimDisk {
    let mut disk = SimDisk::new(seed);
    let path = "account/stream/consumers".to_owned();
    disk.submit(Tag { owner: 0, op: 0 }, Op::MakeDir { path });
    disk.step();
    disk
}

fn open(disk: &mut SimDisk) -> Journal {
    let mut journal = Journal::open(3, config(), disk);
    while !journal.is_ready() && journal.failure().is_none() {
        let done = disk.step().expect("something is under way");
        journal.completed(done, disk);
    }
    assert_eq!(journal.failure(), None);
    journal
}

#[test]
fn a_journal_comes_back_as_it_was_acknowledged() {
    for_seeds(1500, |seed| {
        let mut random = Random::new(seed);
        let mut disk = disk(seed);
        let mut journal = Journal::create(3, config(), b"start", &mut disk);
        let start = Recovered {
            snapshot: b"start".to_vec(),
            deltas: Vec::new(),
        };
        // Index 0 is "no journal".
        let mut model = Model {
            states: vec![Recovered::default(), start],
        };
        let mut exists = false;
        for _ in 0..100 + random.below(200) {
            match random.below(20) {
                0..8 => {
                    let most = if random.one_in(20) { 20_000 } else { 60 };
                    let length = random.below(most);
                    let delta = vec![random.below(255) as u8 + 1; length as usize];
                    let mut state = model.last().clone();
                    state.deltas.push(delta.clone());
                    model.states.push(state);
                    assert_eq!(journal.append(&delta), model.states.len() as u64 - 1);
                    journal.flush(&mut disk);
                }
                8 => {
                    let snapshot = vec![7; random.below(10_000) as usize];
                    model.states.push(Recovered {
                        snapshot: snapshot.clone(),
                        deltas: Vec::new(),
                    });
                    assert_eq!(journal.snapshot(&snapshot), model.states.len() as u64 - 1);
                    journal.flush(&mut disk);
                }
                9 => {
                    let durable = journal.durable() as usize;
                    exists |= durable > 0;
                    if random.one_in(2) {
                        disk.kill();
                    } else {
                        disk.power_loss();
                    }
                    journal = open(&mut disk);
                    assert_eq!(journal.damage(), &[]);
                    let Some(found) = journal.recovered() else {
                        assert!(!exists, "an acknowledged journal is gone");
                        return;
                    };
                    let at = model.states.iter().rposition(|state| *state == found);
                    let at = at.unwrap_or_else(|| {
                        panic!(
                            "a state that never was: {found:?}, expected {:?}",
                            model.states
                        )
                    });
                    assert!(at >= durable, "state {at} is older than {durable}");
                    model.states = vec![found];
                }
                _ => {
                    for _ in 0..random.below(5) {
                        if let Some(done) = disk.step() {
                            journal.completed(done, &mut disk);
                        }
                    }
                }
            }
        }
        while !journal.is_idle() {
            journal.flush(&mut disk);
            if let Some(done) = disk.step() {
                journal.completed(done, &mut disk);
            }
        }
        assert_eq!(journal.durable(), model.states.len() as u64 - 1);
        journal.close(&mut disk);
        while let Some(done) = disk.step() {
            journal.completed(done, &mut disk);
        }
        assert_eq!(disk.open_paths(), Vec::<&str>::new());
        let mut journal = open(&mut disk);
        assert_eq!(journal.recovered().as_ref(), Some(model.last()));
        journal.destroy(&mut disk);
        while let Some(done) = disk.step() {
            journal.completed(done, &mut disk);
        }
        assert_eq!(disk.files().count(), 0);
    });
}

#[test]
fn a_flipped_bit_in_a_journal_is_reported() {
    for_seeds(300, |seed| {
        let mut random = Random::new(seed);
        let mut disk = disk(seed);
        let mut journal = Journal::create(3, config(), &[5; 100], &mut disk);
        for at in 0..1 + random.below(30) {
            journal.append(&[at as u8 + 1; 50]);
            while !journal.is_idle() {
                journal.flush(&mut disk);
                if let Some(done) = disk.step() {
                    journal.completed(done, &mut disk);
                }
            }
        }
        disk.power_loss();
        let (path, used) = disk
            .files()
            .map(|(path, content)| {
                let used = content.iter().rposition(|b| *b != 0).map_or(0, |at| at + 1);
                (path.to_owned(), used)
            })
            .next()
            .expect("a file");
        disk.flip(
            &path,
            random.below(used as u64) as usize,
            random.below(8) as u8,
        );
        let mut journal = open(&mut disk);
        let whole = journal.damage().is_empty();
        assert!(!whole, "the flip went unnoticed: {:?}", journal.recovered());
    });
}
