//! Bits flip and files are lost behind the log's back: it is reported, the rest is readable, and
//! nothing is cut off in silence.

use ringwire::store::SyncPolicy;

use crate::harness::{DIRECTORY, Harness, Message, Random, for_seeds};

fn filled(seed: u64, random: &mut Random) -> Harness {
    let mut harness = Harness::new(seed, SyncPolicy::Always, 256 * 1024, 1 << 16);
    for _ in 0..10 + random.below(100) {
        for _ in 0..=random.below(20) {
            harness.clock += 1;
            let message = Message::random(random, harness.clock, 5000);
            harness.append(message, None).expect("room");
        }
        harness.settle();
    }
    harness
}

/// Each message is as it was, or damage that covers it is reported.
fn check(harness: &mut Harness) {
    assert_eq!(harness.log.failure(), None);
    let mut covered = 0;
    let sequences: Vec<u64> = harness.model.keys().copied().collect();
    for sequence in sequences {
        match harness.read(sequence) {
            Some(Ok(found)) => {
                let mut expected = harness.model[&sequence].clone();
                expected.wake = None;
                assert_eq!(found, expected);
            }
            Some(Err(())) | None => {
                let damage = harness.log.damage();
                let reported = damage
                    .iter()
                    .any(|d| d.first <= sequence && sequence <= d.last);
                assert!(reported, "{sequence} is lost without a word: {damage:?}");
                covered += 1;
            }
        }
    }
    for damage in harness.log.damage() {
        assert!(damage.last < damage.first || damage.last - damage.first < 300);
    }
    assert!(covered < 300, "too much is lost: {covered}");
    assert_eq!(harness.log.last_sequence(), harness.last);
}

#[test]
fn a_flipped_bit_is_reported_and_costs_one_record_or_frame() {
    for_seeds(600, |seed| {
        let mut random = Random::new(seed);
        let mut harness = filled(seed, &mut random);
        if random.one_in(3) {
            harness.checkpoint();
            harness.settle();
        }
        if random.one_in(3) {
            harness.disk.kill();
        } else {
            harness.disk.power_loss();
        }
        let files: Vec<(String, usize)> = harness
            .disk
            .files()
            .map(|(path, content)| {
                let used = content.iter().rposition(|b| *b != 0).map_or(0, |at| at + 1);
                (path.to_owned(), used)
            })
            .filter(|(_, used)| *used > 0)
            .collect();
        let (path, used) = &files[random.below(files.len() as u64) as usize];
        let byte = random.below(*used as u64) as usize;
        harness.disk.flip(path, byte, random.below(8) as u8);
        harness.reopen();
        check(&mut harness);
        // What comes after it is safe, and the damage is still told.
        for _ in 0..3 {
            harness.clock += 1;
            let message = Message::random(&mut random, harness.clock, 500);
            harness.append(message, None).expect("room");
        }
        harness.settle();
        harness.disk.power_loss();
        harness.reopen();
        check(&mut harness);
    });
}

#[test]
fn a_lost_segment_is_reported_if_a_checkpoint_knew_it() {
    for_seeds(50, |seed| {
        let mut random = Random::new(seed);
        let mut harness = filled(seed, &mut random);
        harness.checkpoint();
        harness.settle();
        harness.disk.power_loss();
        let segment = harness
            .disk
            .files()
            .map(|(path, _)| path.to_owned())
            .find(|path| path.ends_with(".seg"))
            .expect("there is one");
        harness.disk.lose(&segment);
        harness.reopen();
        assert_eq!(harness.log.failure(), None);
        let sequences: Vec<u64> = harness.model.keys().copied().collect();
        let mut lost = 0;
        for sequence in sequences {
            if !matches!(harness.read(sequence), Some(Ok(_))) {
                lost += 1;
                let damage = harness.log.damage();
                let reported = damage
                    .iter()
                    .any(|d| d.first <= sequence && sequence <= d.last);
                assert!(reported, "{sequence} is lost without a word");
            }
        }
        assert!(lost > 0);
    });
}

#[test]
fn without_its_checkpoint_a_log_is_rebuilt() {
    for_seeds(50, |seed| {
        let mut random = Random::new(seed);
        let mut harness = filled(seed, &mut random);
        harness.checkpoint();
        harness.settle();
        harness.disk.power_loss();
        let checkpoint = harness
            .disk
            .files()
            .map(|(path, content)| (path.to_owned(), content.len()))
            .find(|(path, _)| path.starts_with(DIRECTORY) && path.ends_with(".index"))
            .expect("there is one");
        if random.one_in(2) {
            harness.disk.lose(&checkpoint.0);
        } else {
            let byte = random.below(checkpoint.1 as u64 / 2) as usize;
            harness.disk.flip(&checkpoint.0, byte, 3);
        }
        harness.reopen();
        harness.check_all();
    });
}
