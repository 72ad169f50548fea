//! Matching over a thousand to ten million patterns.
//!
//! Ten million take a while to insert and about half a gigabyte: set
//! `RINGWIRE_BENCH_LARGE=1`.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ringwire::subject::Index;

/// Subjects asked for in turn: more than a cache holds of the larger indexes,
/// as a broker with many subjects meets them.
const PROBES: usize = 1 << 16;

fn sizes() -> Vec<usize> {
    let mut sizes = vec![1_000, 100_000, 1_000_000];
    if std::env::var_os("RINGWIRE_BENCH_LARGE").is_some() {
        sizes.push(10_000_000);
    }
    sizes
}

fn subject(n: usize) -> Vec<u8> {
    format!("orders.{}.{n}.update", n % 97).into_bytes()
}

/// Spreads consecutive numbers over `0..count`.
fn spread(n: usize, count: usize) -> usize {
    (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16) % count
}

fn literals(count: usize) -> Index {
    let mut index = Index::with_seed(1);
    for n in 0..count {
        index.insert(&subject(n)).expect("the index has room");
    }
    index
}

fn count_matches(index: &Index, subject: &[u8]) -> usize {
    let mut matches = 0;
    index.for_each_match(black_box(subject), |_| matches += 1);
    matches
}

fn bench_probes(c: &mut Criterion, name: &str, count: usize, index: &Index, probes: &[Vec<u8>]) {
    let mut group = c.benchmark_group(name);
    group.throughput(Throughput::Elements(1));
    let mut next = 0;
    group.bench_function(BenchmarkId::from_parameter(count), |b| {
        b.iter(|| {
            next = (next + 1) % probes.len();
            count_matches(index, &probes[next])
        });
    });
    group.finish();
}

fn matching(c: &mut Criterion) {
    for count in sizes() {
        let mut index = literals(count);
        println!(
            "{count} literals: {:.1} bytes each with their text",
            index.memory_bytes() as f64 / count as f64
        );
        let hits: Vec<_> = (0..PROBES).map(|n| subject(spread(n, count))).collect();
        let misses: Vec<_> = (0..PROBES).map(|n| subject(count + n)).collect();
        bench_probes(c, "literal hit", count, &index, &hits);
        bench_probes(c, "literal miss", count, &index, &misses);

        for pattern in ["orders.*.*.update", "orders.>", "audit.*.>", "*.7.>"] {
            index
                .insert(pattern.as_bytes())
                .expect("the index has room");
        }
        bench_probes(c, "literal hit and few wildcards", count, &index, &hits);

        for n in 0..count / 10 {
            let pattern = format!("orders.*.{n}.>");
            index
                .insert(pattern.as_bytes())
                .expect("the index has room");
        }
        bench_probes(c, "literal hit and many wildcards", count, &index, &hits);
    }
}

/// Patterns made to be slow to match.
fn adversarial(c: &mut Criterion) {
    // All patterns of `a` and `*` of ten tokens: 2^11 nodes, all reached, 2^10 hits.
    let mut binary = Index::with_seed(1);
    for bits in 0..1 << 10 {
        let tokens: Vec<_> = (0..10)
            .map(|bit| if bits >> bit & 1 == 1 { "*" } else { "a" })
            .collect();
        binary.insert(tokens.join(".").as_bytes()).expect("room");
    }
    c.bench_function("adversarial/binary trie, 1024 hits", |b| {
        b.iter(|| count_matches(&binary, b"a.a.a.a.a.a.a.a.a.a"));
    });

    // Thousands of siblings behind stars, of which one is reached.
    let mut siblings = Index::with_seed(1);
    for n in 0..10_000 {
        siblings
            .insert(format!("*.*.*.a{n}").as_bytes())
            .expect("room");
    }
    c.bench_function("adversarial/10,000 siblings behind stars", |b| {
        b.iter(|| count_matches(&siblings, b"x.y.z.a77"));
    });

    // The longest subject of the default control line.
    let mut deep = Index::with_seed(1);
    for pattern in [vec!["*"; 2048].join("."), vec!["a"; 1024].join(".") + ".>"] {
        deep.insert(pattern.as_bytes()).expect("room");
    }
    let subject = vec!["a"; 2048].join(".");
    c.bench_function("adversarial/2048 tokens", |b| {
        b.iter(|| count_matches(&deep, subject.as_bytes()));
    });
}

fn churn(c: &mut Criterion) {
    let mut index = literals(1_000_000);
    let mut next = 0;
    c.bench_function("insert and remove a literal among a million", |b| {
        b.iter(|| {
            next += 1;
            let (id, _) = index.insert(&subject(1_000_000 + next)).expect("room");
            index.remove(id);
        });
    });
    c.bench_function("insert and remove a wildcard among a million", |b| {
        b.iter(|| {
            let (id, _) = index.insert(b"orders.*.77.>").expect("room");
            index.remove(id);
        });
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(1));
    targets = matching, adversarial, churn
}
criterion_main!(benches);
