//! Random work, with crashes in between.

use ringwire::store::{Removal, SyncPolicy};

use crate::harness::{Harness, Message, Random, for_seeds};

/// One run: appends, removals, reads, checkpoints and crashes by chance.
fn run(seed: u64, sync: SyncPolicy) {
    let mut random = Random::new(seed);
    let segment = 256 * 1024 * (1 + random.below(2) as u32);
    let cache = [0, 64 * 1024, 1 << 20][random.below(3) as usize];
    let large = [300, 5000, 100_000][random.below(3) as usize];
    let keep = 20 + random.below(400) as usize;
    let mut harness = Harness::new(seed, sync, segment, cache);
    let steps = 100 + random.below(900);
    for _ in 0..steps {
        match random.below(100) {
            0..45 => {
                for _ in 0..=random.below(5) {
                    harness.clock += random.below(1000) as i64;
                    let message = Message::random(&mut random, harness.clock, large);
                    let gap = random
                        .one_in(50)
                        .then(|| harness.last + 1 + random.below(5000));
                    harness.append(message, gap).expect("room");
                }
                harness.log.flush(&mut harness.disk);
            }
            45..50 => {
                let at = random.below(harness.last + 1);
                if let Some(sequence) = harness.log.next(at) {
                    let how = if random.one_in(4) {
                        Removal::Erase
                    } else {
                        Removal::Keep
                    };
                    harness.remove(sequence, how);
                }
            }
            50..55 => {
                while harness.model.len() > keep {
                    let first = harness.log.first_sequence();
                    harness.remove(first, Removal::Keep);
                }
                harness.log.flush(&mut harness.disk);
            }
            55..58 => {
                let at = random.below(harness.last + 1);
                if let Some(sequence) = harness.log.next(at) {
                    harness.check_message(sequence);
                }
            }
            58 => {
                if random.one_in(4) {
                    while let Some(sequence) = harness.log.next(0) {
                        harness.remove(sequence, Removal::Keep);
                    }
                    harness.last += 10;
                    harness.log.skip_to(harness.last);
                }
            }
            59..61 => {
                if random.one_in(2) || harness.log.wants_checkpoint() {
                    harness.checkpoint();
                }
            }
            61..63 => {
                if random.one_in(3) {
                    harness.settle();
                    harness.check_all();
                }
            }
            63..65 => {
                if random.one_in(2) {
                    harness.disk.kill();
                } else {
                    harness.disk.power_loss();
                }
                harness.reopen();
                harness.check_promises();
            }
            _ => {
                for _ in 0..random.below(12) {
                    harness.step();
                }
                harness.log.flush(&mut harness.disk);
                if random.one_in(5) {
                    harness.log.sync(&mut harness.disk);
                }
            }
        }
    }
    harness.settle();
    harness.check_all();
    harness.disk.power_loss();
    harness.reopen();
    harness.check_promises();
}

#[test]
fn what_is_acknowledged_survives_every_crash() {
    for_seeds(1500, |seed| run(seed, SyncPolicy::Always));
}

#[test]
fn with_an_interval_what_was_flushed_survives() {
    for_seeds(300, |seed| run(seed, SyncPolicy::Interval));
}
