//! One scenario cut at every operation of the disk: wherever the power goes, the promises hold.

use ringwire::store::{Removal, SyncPolicy};

use crate::harness::{Harness, Message, Random};

/// The scenario up to the given number of disk operations. Returns whether it was cut.
fn run(seed: u64, cut: u64, power: bool) -> bool {
    let mut random = Random::new(seed);
    let mut harness = Harness::new(seed, SyncPolicy::Always, 256 * 1024, 1 << 16);
    let mut ended = false;
    'work: for round in 0..30 {
        for _ in 0..10 {
            harness.clock += 1;
            let message = Message::random(&mut random, harness.clock, 30_000);
            harness.append(message, None).expect("room");
            harness.log.flush(&mut harness.disk);
        }
        while harness.model.len() > 60 {
            let first = harness.log.first_sequence();
            harness.remove(first, Removal::Keep);
        }
        for _ in 0..3 {
            if let Some(sequence) = harness.log.next(random.below(harness.last + 1)) {
                harness.remove(sequence, Removal::Erase);
            }
        }
        if round % 9 == 5 {
            harness.checkpoint();
        }
        harness.log.flush(&mut harness.disk);
        for _ in 0..20 {
            if harness.disk.steps >= cut {
                break 'work;
            }
            if !harness.step() {
                break;
            }
        }
        ended = round == 29;
    }
    if power {
        harness.disk.power_loss();
    } else {
        harness.disk.kill();
    }
    harness.reopen();
    harness.check_promises();
    // It goes on from there, and that survives, too.
    for _ in 0..5 {
        harness.clock += 1;
        let message = Message::random(&mut random, harness.clock, 3000);
        harness.append(message, None).expect("room");
    }
    harness.settle();
    harness.disk.power_loss();
    harness.reopen();
    harness.check_promises();
    !ended
}

#[test]
fn the_promises_hold_wherever_a_scenario_is_cut() {
    for power in [true, false] {
        let seed = random_seed(power);
        let mut cut = 0;
        while run(seed, cut, power) {
            cut += 1;
        }
        assert!(cut > 100, "the scenario is short");
    }
}

/// `STORE_SEED`, or one that is always the same.
fn random_seed(power: bool) -> u64 {
    let given = std::env::var("STORE_SEED").ok();
    let seed = given.and_then(|text| text.parse().ok());
    seed.unwrap_or(u64::from(power))
}
