//! Time of each step of the hot path: `cargo bench --bench hot_path`.
//!
//! `cargo bench --bench instructions` counts the instructions of the same steps.

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

mod cases;

fn hot_path(c: &mut Criterion) {
    for case in cases::all() {
        let mut group = c.benchmark_group("hot path");
        group.throughput(Throughput::Elements(case.operations));
        let mut run = (case.prepare)();
        group.bench_function(case.name, |b| b.iter(&mut run));
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = hot_path
}
criterion_main!(benches);
