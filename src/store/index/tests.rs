//! The index against a naive model.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use proptest::prelude::*;

use super::filter::{Filter, FilterCursor};
use super::{Entry, Index, Place};
use crate::store::message::WakeKind;
use crate::subject::matches;

#[derive(Clone, Debug)]
enum Step {
    Append {
        gap: u64,
        subject: String,
        wake: Option<i64>,
    },
    RemoveFirst,
    Remove(u64),
    /// All cursors look for their next message.
    Advance,
}

fn subject() -> impl Strategy<Value = String> {
    prop_oneof![
        5 => "[ab]\\.[ab]\\.[ab]",
        2 => "[abc](\\.[abc*>]){0,3}",
        1 => "hot",
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let gap = prop_oneof![20 => Just(1u64), 2 => 2u64..5000, 1 => Just(1u64 << 33)];
    let append = (gap, subject(), proptest::option::weighted(0.1, 0i64..100))
        .prop_map(|(gap, subject, wake)| Step::Append { gap, subject, wake });
    proptest::collection::vec(
        prop_oneof![
            8 => append,
            1 => Just(Step::RemoveFirst),
            4 => any::<u64>().prop_map(Step::Remove),
            2 => Just(Step::Advance),
        ],
        0..600,
    )
}

const FILTERS: [&[&str]; 8] = [
    &[],
    &["hot"],
    &["a.a.a"],
    &["a.*.b"],
    &["a.>"],
    &["*.b.*", "hot"],
    &["c.>", "a.b.>", "b"],
    &["*.*.a", "a.>"],
];

type Model = BTreeMap<u64, (String, Option<i64>)>;

fn passes(filter: &[&str], subject: &str) -> bool {
    filter.is_empty()
        || filter
            .iter()
            .any(|pattern| matches(pattern.as_bytes(), subject.as_bytes()))
}

fn check(index: &Index, model: &Model, last: u64, probe: u64) -> Result<(), TestCaseError> {
    let state = index.state();
    prop_assert_eq!(state.messages, model.len() as u64);
    let first = model.keys().next().copied().unwrap_or(last + 1);
    prop_assert_eq!((state.first_sequence, state.last_sequence), (first, last));
    let bytes: u64 = model
        .values()
        .map(|(subject, _)| 30 + subject.len() as u64)
        .sum();
    prop_assert_eq!(state.bytes, bytes);
    let mut subjects: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for (sequence, (subject, _)) in model {
        subjects.entry(subject).or_default().push(*sequence);
    }
    prop_assert_eq!(state.subjects, subjects.len() as u64);
    for (subject, all) in &subjects {
        let state = index
            .find_subject(subject.as_bytes())
            .expect("it has messages");
        prop_assert_eq!((state.first, state.last), (all[0], all[all.len() - 1]));
        prop_assert_eq!(state.count, all.len() as u64);
        let behind = all.iter().copied().filter(|s| *s >= probe);
        prop_assert_eq!(
            index.count_of(state.id, probe),
            behind.clone().count() as u64
        );
        prop_assert_eq!(index.next_of(state.id, probe), behind.clone().next());
        let before = all.iter().copied().rfind(|s| *s <= probe);
        prop_assert_eq!(index.previous_of(state.id, probe), before);
    }
    for patterns in FILTERS {
        let filter = Filter::new(patterns);
        let wanted = || {
            model
                .iter()
                .filter(|(_, (s, _))| passes(patterns, s))
                .map(|e| *e.0)
        };
        prop_assert_eq!(
            index.count_matching(&filter, probe),
            wanted().filter(|s| *s >= probe).count() as u64
        );
        prop_assert_eq!(
            index.last_matching(&filter, probe),
            wanted().rfind(|s| *s <= probe)
        );
        let mut lasts: Vec<u64> = subjects
            .iter()
            .filter(|(subject, _)| passes(patterns, subject))
            .filter_map(|(_, all)| all.iter().copied().rfind(|s| *s <= probe))
            .collect();
        lasts.sort_unstable();
        prop_assert_eq!(index.last_per_subject(&filter, probe), lasts);
        for pattern in patterns {
            let mut found = Vec::new();
            index.for_each_subject(pattern.as_bytes(), b"a.b", |text, state| {
                found.push((text.to_vec(), state.count));
                ControlFlow::Continue(())
            });
            let expected: Vec<_> = subjects
                .iter()
                .filter(|(s, _)| **s >= "a.b" && matches(pattern.as_bytes(), s.as_bytes()))
                .map(|(s, all)| (s.as_bytes().to_vec(), all.len() as u64))
                .collect();
            prop_assert_eq!(found, expected, "{}", pattern);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn answers_as_a_scan_of_all_messages_would(steps in steps(), probe in any::<u64>()) {
        let mut index = Index::new(7);
        let mut model: Model = BTreeMap::new();
        let mut last = 0;
        let mut cursors: Vec<(FilterCursor, u64)> = FILTERS
            .iter()
            .map(|patterns| (FilterCursor::new(Filter::new(patterns)), 0))
            .collect();
        for step in steps {
            match step {
                Step::Append { gap, subject, wake } => {
                    last += gap;
                    let entry = Entry::new(
                        last as i64,
                        Place::default(),
                        subject.len(),
                        false,
                        false,
                    );
                    let due = wake.map(|at| (WakeKind::Expire, at));
                    index.push(last, subject.as_bytes(), entry, due).expect("room");
                    model.insert(last, (subject, wake));
                }
                Step::RemoveFirst => {
                    let removed = index.remove(index.first_sequence()).is_some();
                    prop_assert_eq!(removed, model.pop_first().is_some());
                }
                Step::Remove(n) => {
                    let at = n % (last + 1);
                    if let Some(some) = model.range(at..).next().map(|entry| *entry.0) {
                        let (subject, _) = model.remove(&some).expect("found");
                        let (_, gone) = index.remove(some).expect("there");
                        prop_assert_eq!(gone, !model.values().any(|(s, _)| *s == subject));
                    }
                }
                Step::Advance => {
                    for ((cursor, at), patterns) in cursors.iter_mut().zip(FILTERS) {
                        let next = index.next_matching(cursor, *at);
                        let expected = model
                            .range(*at..)
                            .find(|(_, (s, _))| passes(patterns, s))
                            .map(|entry| *entry.0);
                        prop_assert_eq!(next, expected);
                        if let Some(next) = next {
                            *at = next + 1;
                        }
                    }
                }
            }
        }
        check(&index, &model, last, if last == 0 { 0 } else { probe % (last + 2) })?;
        let wakes = model.iter().filter_map(|(s, (_, wake))| wake.map(|at| (at, *s)));
        let mut wakes: Vec<_> = wakes.collect();
        wakes.sort_unstable();
        let mut due = Vec::new();
        prop_assert_eq!(index.next_wake(), wakes.first().map(|wake| wake.0));
        while let Some((sequence, _)) = index.due(50) {
            due.push(sequence);
        }
        let expected: Vec<_> = wakes.iter().filter(|w| w.0 <= 50).map(|w| w.1).collect();
        prop_assert_eq!(due, expected);
    }
}

/// Long lists, so that anchors come and go; long gaps between matches, so that lists are merged.
#[test]
fn long_lists_and_sparse_filters_agree_with_a_scan() {
    let mut index = Index::new(7);
    let mut model: BTreeMap<u64, String> = BTreeMap::new();
    let mut random = 1u64;
    let mut next = move || {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        random >> 33
    };
    for sequence in 1..=60_000 {
        let subject = match next() % 1000 {
            0 => format!("rare.{}", next() % 3),
            n if n < 400 && !(20_000..40_000).contains(&sequence) => "often.x".to_owned(),
            n => format!("other.{n}"),
        };
        let entry = Entry::new(0, Place::default(), subject.len(), false, false);
        index
            .push(sequence, subject.as_bytes(), entry, None)
            .expect("room");
        model.insert(sequence, subject);
        if next() % 3 == 0 {
            let at = next() % sequence;
            if let Some(found) = model.range(at..).next().map(|entry| *entry.0) {
                model.remove(&found);
                index.remove(found).expect("there");
            }
        }
    }
    for patterns in [
        &["often.x"] as &[&str],
        &["rare.*"],
        &["often.*", "rare.1"],
        &["none.*"],
    ] {
        let filter = Filter::new(patterns);
        let mut cursor = FilterCursor::new(filter.clone());
        let wanted: Vec<u64> = model
            .iter()
            .filter(|(_, s)| passes(patterns, s))
            .map(|entry| *entry.0)
            .collect();
        let mut found = Vec::new();
        let mut at = 0;
        while let Some(sequence) = index.next_matching(&mut cursor, at) {
            found.push(sequence);
            at = sequence + 1;
        }
        assert_eq!(found, wanted, "{patterns:?}");
        for probe in (0..60_000).step_by(777) {
            let behind = wanted.partition_point(|s| *s < probe);
            assert_eq!(
                index.count_matching(&filter, probe),
                (wanted.len() - behind) as u64
            );
            assert_eq!(
                index.next_matching(&mut cursor, probe),
                wanted.get(behind).copied()
            );
        }
    }
}
