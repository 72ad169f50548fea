//! What is removed gives its space back, and what is erased is gone from the disk.

use ringwire::store::{Removal, SyncPolicy};

use crate::harness::{Harness, Message, Random, for_seeds};

fn file_bytes(harness: &Harness) -> usize {
    harness.disk.files().map(|(_, content)| content.len()).sum()
}

fn turn(harness: &mut Harness) {
    harness.log.flush(&mut harness.disk);
    if harness.log.wants_checkpoint() {
        harness.checkpoint();
    }
    for _ in 0..20 {
        harness.step();
    }
}

/// Appends four megabytes while the log holds a hundred messages; `keep` never go.
fn churn(seed: u64, keep: u64) -> Harness {
    let mut random = Random::new(seed);
    let mut harness = Harness::new(seed, SyncPolicy::Always, 256 * 1024, 1 << 16);
    for n in 0..4000u64 {
        harness.clock += 1;
        let mut message = Message::random(&mut random, harness.clock, 2000);
        message.payload.resize(1000, 1);
        harness.append(message, None).expect("room");
        if n % 4 == 0 {
            turn(&mut harness);
        }
        while harness.model.len() as u64 > 100 + keep {
            // Every fortieth message stays until there are enough of them.
            let next = harness
                .model
                .keys()
                .find(|sequence| *sequence % 40 != 0 || *sequence / 40 > keep);
            let sequence = *next.expect("not all stay");
            harness.remove(sequence, Removal::Keep);
        }
    }
    harness.settle();
    for _ in 0..50 {
        turn(&mut harness);
        harness.settle();
    }
    harness
}

#[test]
fn a_log_that_is_consumed_from_the_front_stays_small() {
    for_seeds(5, |seed| {
        let mut harness = churn(seed, 0);
        let bytes = file_bytes(&harness);
        assert!(bytes < 1_500_000, "{bytes} bytes of files");
        harness.check_all();
    });
}

#[test]
fn messages_that_stay_do_not_hold_the_space_of_others() {
    for_seeds(5, |seed| {
        let mut harness = churn(seed, 50);
        let bytes = file_bytes(&harness);
        assert!(bytes < 1_800_000, "{bytes} bytes of files");
        harness.check_all();
        harness.disk.power_loss();
        harness.reopen();
        harness.check_promises();
    });
}

#[test]
fn what_is_erased_is_nowhere_on_the_disk() {
    for_seeds(50, |seed| {
        let mut random = Random::new(seed);
        let mut harness = Harness::new(seed, SyncPolicy::Always, 256 * 1024, 1 << 16);
        let secret = b"a secret that nobody is to read again";
        let mut sequence = 0;
        for n in 0..50 {
            harness.clock += 1;
            let mut message = Message::random(&mut random, harness.clock, 3000);
            if n == 25 {
                message.payload = secret.to_vec();
                message.payload.resize(100 + random.below(5000) as usize, 1);
            }
            let given = harness.append(message, None).expect("room");
            if n == 25 {
                sequence = given;
            }
            if random.one_in(3) {
                turn(&mut harness);
            }
        }
        if random.one_in(2) {
            harness.settle();
        }
        harness.remove(sequence, Removal::Erase);
        harness.settle();
        for (path, content) in harness.disk.files() {
            let found = content.windows(secret.len()).any(|window| window == secret);
            assert!(!found, "it is still in {path}");
        }
        harness.check_all();
        harness.disk.power_loss();
        harness.reopen();
        harness.check_promises();
    });
}
