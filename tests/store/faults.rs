//! Reads, writes and flushes that fail, and a disk that is full.

use ringwire::store::sim::Faults;
use ringwire::store::{AppendError, Fetch, LogFailure, Removal, SyncPolicy};

use crate::harness::{Harness, Message, Random, for_seeds};

fn append_some(harness: &mut Harness, random: &mut Random, count: u64) -> Result<(), AppendError> {
    for _ in 0..count {
        harness.clock += 1;
        let message = Message::random(random, harness.clock, 3000);
        harness.append(message, None)?;
    }
    Ok(())
}

#[test]
fn after_a_failed_write_nothing_more_is_acknowledged_and_the_rest_is_there() {
    for_seeds(300, |seed| {
        let mut random = Random::new(seed);
        let policy = if seed % 2 == 0 {
            SyncPolicy::Always
        } else {
            SyncPolicy::Interval
        };
        let mut harness = Harness::new(seed, policy, 256 * 1024, 1 << 16);
        append_some(&mut harness, &mut random, 20).expect("room");
        harness.settle();
        harness.disk.faults = Faults {
            writes: 100_000,
            syncs: 100_000,
            ..Faults::default()
        };
        let mut refused = false;
        for _ in 0..300 {
            refused |= append_some(&mut harness, &mut random, 3).is_err();
            harness.log.flush(&mut harness.disk);
            harness.log.sync(&mut harness.disk);
            for _ in 0..random.below(6) {
                harness.step();
            }
        }
        harness.settle();
        assert!(refused, "no fault in all that time");
        assert!(matches!(
            harness.log.failure(),
            Some(LogFailure::Write { .. })
        ));
        let durable = harness.log.durable();
        assert_eq!(harness.log.append(&no_message()), Err(AppendError::Failed));
        // All that was acknowledged is readable, now and after a restart.
        let acknowledged: Vec<u64> = harness.model.range(..=durable).map(|e| *e.0).collect();
        for sequence in acknowledged {
            harness.check_message(sequence);
        }
        assert_eq!(harness.log.next(durable + 1), None);
        harness.disk.faults = Faults::default();
        harness.disk.power_loss();
        harness.reopen();
        harness.check_promises();
    });
}

fn no_message() -> ringwire::store::NewMessage<'static> {
    ringwire::store::NewMessage {
        sequence: None,
        unix_ns: 0,
        subject: b"a",
        header: b"",
        payload: b"",
        wake: None,
    }
}

#[test]
fn a_failed_read_is_damage_and_a_later_start_reads_it() {
    let mut random = Random::new(1);
    let mut harness = Harness::new(1, SyncPolicy::Always, 256 * 1024, 0);
    append_some(&mut harness, &mut random, 200).expect("room");
    harness.settle();
    harness.disk.power_loss();
    harness.reopen();
    harness.disk.faults.reads = 1_000_000;
    assert_eq!(harness.read(1), Some(Err(())));
    assert_eq!(harness.log.damage().len(), 1);
    assert!(matches!(
        harness.log.get(1, &mut harness.disk),
        Fetch::Damaged
    ));
    harness.disk.faults.reads = 0;
    harness.check_message(100);
    harness.disk.power_loss();
    harness.reopen();
    harness.check_all();
}

#[test]
fn a_full_disk_refuses_and_work_resumes_when_there_is_room() {
    for_seeds(200, |seed| {
        let mut random = Random::new(seed);
        let mut harness = Harness::new(seed, SyncPolicy::Always, 256 * 1024, 1 << 16);
        harness.disk.faults.room = Some(1_500_000 + random.below(500_000));
        let mut refused = 0;
        for _ in 0..5000 {
            match append_some(&mut harness, &mut random, 1) {
                Ok(()) => {}
                Err(AppendError::NoSpace) => refused += 1,
                Err(error) => panic!("{error}"),
            }
            harness.log.flush(&mut harness.disk);
            if random.one_in(200) {
                harness.checkpoint();
            }
            for _ in 0..random.below(6) {
                harness.step();
            }
            if refused > 20 {
                break;
            }
        }
        assert!(refused > 20, "the disk never filled");
        for _ in 0..1000 {
            harness.step();
        }
        assert_eq!(harness.log.failure(), None);
        let durable = harness.log.durable();
        let stored: Vec<u64> = harness.model.range(..=durable).map(|e| *e.0).collect();
        for sequence in stored {
            harness.check_message(sequence);
        }
        if random.one_in(3) {
            harness.disk.power_loss();
            harness.reopen();
            harness.check_promises();
        }
        if random.one_in(2) {
            harness.disk.faults.room = None;
        } else {
            // Room by removing what is stored.
            for _ in 0..harness.model.len() / 2 {
                let first = harness.log.first_sequence();
                harness.remove(first, Removal::Keep);
            }
        }
        let mut again = 0;
        for _ in 0..1000 {
            harness.log.flush(&mut harness.disk);
            if harness.log.wants_checkpoint() {
                harness.checkpoint();
            }
            for _ in 0..20 {
                harness.step();
            }
            if append_some(&mut harness, &mut random, 1).is_ok() {
                again += 1;
            }
            if again > 20 {
                break;
            }
        }
        assert!(
            again > 20,
            "work never resumes: {:?}",
            harness
                .disk
                .files()
                .map(|(p, c)| (p.to_owned(), c.len()))
                .collect::<Vec<_>>()
        );
        harness.disk.faults.room = None;
        let _ = append_some(&mut harness, &mut random, 1);
        harness.settle();
        let _ = append_some(&mut harness, &mut random, 1);
        harness.settle();
        harness.check_all();
    });
}
