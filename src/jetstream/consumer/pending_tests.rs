use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[test]
fn what_is_due_is_queued_by_sequence() {
    let mut pending = Pending::default();
    for seq in 1..=4 {
        pending.insert(seq, seq, 1, 100 + seq);
    }
    assert!(pending.postpone(1, 300));
    assert!(pending.postpone(4, 50));
    assert_eq!(pending.next_due(), Some(50));
    assert_eq!(pending.expire(102), 2);
    assert_eq!(pending.next_queued().unwrap().stream_sequence, 2);
    assert_eq!(pending.next_due(), Some(103));
    // Acknowledged while it is queued.
    pending.remove(2);
    assert_eq!(pending.next_queued().unwrap().stream_sequence, 4);
    assert_eq!(pending.queued(), 1);
    assert!(!pending.enqueue(4));
    // A negative acknowledgement goes to the end.
    assert!(pending.enqueue(3));
    assert_eq!(pending.next_queued().unwrap().stream_sequence, 4);
    assert_eq!(pending.next_due(), Some(300));
}

#[test]
fn exhausted_messages_count_until_they_are_acknowledged() {
    let mut pending = Pending::default();
    pending.insert(1, 1, 1, 10);
    assert_eq!(pending.delivered_again(1), Some(2));
    assert_eq!(pending.redelivered(), 1);
    pending.exhaust(1);
    assert_eq!((pending.len(), pending.redelivered()), (0, 1));
    pending.forget_exhausted(1);
    assert_eq!(pending.redelivered(), 0);
}

#[derive(Clone, Debug)]
enum Step {
    Deliver { gap: u64, wait: u64 },
    Ack(u64),
    AckUpTo(u64),
    Postpone(u64, u64),
    Enqueue(u64),
    Redeliver { wait: u64 },
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1u64..3, 1u64..50).prop_map(|(gap, wait)| Step::Deliver { gap, wait }),
        3 => (0u64..40).prop_map(Step::Ack),
        1 => (0u64..40).prop_map(Step::AckUpTo),
        1 => (0u64..40, 0u64..80).prop_map(|(seq, by)| Step::Postpone(seq, by)),
        1 => (0u64..40).prop_map(Step::Enqueue),
        2 => (1u64..50).prop_map(|wait| Step::Redeliver { wait }),
        2 => (1u64..30).prop_map(Step::Pass),
    ];
    proptest::collection::vec(step, 1..200)
}

/// What is pending, told without any cleverness.
#[derive(Default)]
struct Model {
    /// Sequence to deadline (none: queued) and deliveries.
    entries: BTreeMap<u64, (Option<u64>, u32)>,
    queue: Vec<u64>,
}

impl Model {
    fn dequeue(&mut self, seq: u64) {
        self.queue.retain(|&queued| queued != seq);
    }

    fn expire(&mut self, now: u64) {
        for (&seq, entry) in &mut self.entries {
            if entry.0.is_some_and(|at| at <= now) {
                entry.0 = None;
                self.queue.push(seq);
            }
        }
    }
}

proptest! {
    #[test]
    fn agrees_with_a_naive_model(steps in steps()) {
        let mut pending = Pending::default();
        let mut model = Model::default();
        let (mut now, mut last, mut base) = (0u64, 0u64, 0u64);
        for step in steps {
            match step {
                Step::Deliver { gap, wait } => {
                    last += gap;
                    pending.insert(last, last, 1, now + wait);
                    model.entries.insert(last, (Some(now + wait), 1));
                }
                Step::Ack(back) => {
                    let seq = base + back;
                    let removed = pending.remove(seq).is_some();
                    prop_assert_eq!(removed, model.entries.remove(&seq).is_some());
                    model.dequeue(seq);
                }
                Step::AckUpTo(back) => {
                    let seq = base + back;
                    let mut left = Vec::new();
                    pending.remove_up_to(seq, |entry| left.push(entry.stream_sequence));
                    let rest = model.entries.split_off(&(seq + 1));
                    prop_assert!(left.iter().eq(model.entries.keys()));
                    model.entries = rest;
                    for seq in left {
                        model.dequeue(seq);
                    }
                }
                Step::Postpone(back, by) => {
                    let seq = base + back;
                    let known = pending.postpone(seq, now + by);
                    prop_assert_eq!(known, model.entries.contains_key(&seq));
                    if let Some(entry) = model.entries.get_mut(&seq) {
                        entry.0 = Some(now + by);
                        model.dequeue(seq);
                    }
                }
                Step::Enqueue(back) => {
                    let seq = base + back;
                    let queued = pending.enqueue(seq);
                    let mut expected = false;
                    if let Some(entry) = model.entries.get_mut(&seq) {
                        expected = entry.0.take().is_some();
                        if expected {
                            model.queue.push(seq);
                        }
                    }
                    prop_assert_eq!(queued, expected);
                }
                Step::Redeliver { wait } => {
                    let next = pending.next_queued().map(|entry| entry.stream_sequence);
                    prop_assert_eq!(next, model.queue.first().copied());
                    if let Some(seq) = next {
                        let count = pending.delivered_again(seq);
                        pending.postpone(seq, now + wait);
                        model.queue.remove(0);
                        let entry = model.entries.get_mut(&seq).unwrap();
                        entry.0 = Some(now + wait);
                        entry.1 += 1;
                        prop_assert_eq!(count, Some(entry.1));
                    }
                }
                Step::Pass(time) => {
                    now += time;
                    let next = model.entries.values().filter_map(|entry| entry.0).min();
                    prop_assert!(pending.earliest() <= next.unwrap_or(u64::MAX));
                    prop_assert_eq!(pending.next_due(), next);
                    pending.expire(now);
                    model.expire(now);
                }
            }
            base = last.saturating_sub(20);
            prop_assert_eq!(pending.len(), model.entries.len());
            prop_assert_eq!(pending.queued(), model.queue.len());
            let redelivered = model.entries.values().filter(|entry| entry.1 > 1).count();
            prop_assert_eq!(pending.redelivered(), redelivered);
            let first = pending.first().map(|entry| entry.stream_sequence);
            prop_assert_eq!(first, model.entries.keys().next().copied());
            let all = pending.iter().map(|entry| (entry.stream_sequence, entry.deliveries));
            let expected = model.entries.iter().map(|(&seq, entry)| (seq, entry.1));
            prop_assert!(all.eq(expected));
        }
    }
}
