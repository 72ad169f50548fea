//! Matching a subject against the index itself, as for a route that is not cached.

use std::hint::black_box;

use ringwire::subject::Index;

use super::Case;

/// Patterns in the index, and subjects asked for.
const PATTERNS: usize = 10_000;
const STEPS: u64 = 1_000;

pub const CASES: &[Case] = &[
    Case {
        name: "match/literal",
        operations: STEPS,
        prepare: || matching(&[]),
    },
    Case {
        name: "match/literal-and-wildcards",
        operations: STEPS,
        prepare: || matching(&["orders.*.*.update", "orders.>", "*.7.>"]),
    },
    Case {
        name: "match/adversarial-1024-hits",
        operations: 10,
        prepare: adversarial,
    },
    Case {
        name: "index/insert-and-remove",
        operations: STEPS,
        prepare: churn,
    },
];

fn subject(n: usize) -> Vec<u8> {
    format!("orders.{}.{n}.update", n % 97).into_bytes()
}

fn literals() -> Index {
    let mut index = Index::with_seed(1);
    for n in 0..PATTERNS {
        index.insert(&subject(n)).expect("the index has room");
    }
    index
}

fn matching(wildcards: &[&str]) -> Box<dyn FnMut()> {
    let mut index = literals();
    for pattern in wildcards {
        index.insert(pattern.as_bytes()).expect("room");
    }
    let probes: Vec<_> = (0..STEPS as usize)
        .map(|n| subject(n * 7 % PATTERNS))
        .collect();
    Box::new(move || {
        let mut hits = 0;
        for probe in &probes {
            index.for_each_match(black_box(probe), |_| hits += 1);
        }
        assert!(hits >= STEPS);
    })
}

/// All patterns of `a` and `*` of ten tokens: every node of the trie is reached.
fn adversarial() -> Box<dyn FnMut()> {
    let mut index = Index::with_seed(1);
    for bits in 0..1 << 10 {
        let tokens: Vec<_> = (0..10)
            .map(|bit| if bits >> bit & 1 == 1 { "*" } else { "a" })
            .collect();
        index.insert(tokens.join(".").as_bytes()).expect("room");
    }
    Box::new(move || {
        let mut hits = 0;
        for _ in 0..10 {
            index.for_each_match(black_box(b"a.a.a.a.a.a.a.a.a.a"), |_| hits += 1);
        }
        assert_eq!(hits, 10 << 10);
    })
}

fn churn() -> Box<dyn FnMut()> {
    let mut index = literals();
    let others: Vec<_> = (0..STEPS as usize).map(|n| subject(PATTERNS + n)).collect();
    Box::new(move || {
        for other in &others {
            let (id, _) = index.insert(black_box(other)).expect("room");
            index.remove(id);
        }
    })
}
