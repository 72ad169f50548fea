//! Publishing through whole cores, without sockets: parsing, routing, delivery
//! into output buffers and their way back to the pool.
//!
//! Times are for one message published, all its deliveries included.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

#[path = "../tests/allocations/cluster.rs"]
mod cluster;

use cluster::{Client, Cluster, settings};

/// Messages that one read brings.
const PER_READ: usize = 100;
/// Payload, in bytes.
const PAYLOAD: usize = 16;

fn messages(subject: &str) -> String {
    format!("PUB {subject} {PAYLOAD}\r\n{}\r\n", "x".repeat(PAYLOAD)).repeat(PER_READ)
}

/// Measures a publisher on core 0 that sends to `foo`.
fn bench_publish(c: &mut Criterion, name: &str, parameter: usize, mut cluster: Cluster) {
    let publisher = cluster.client(0);
    let read = messages("foo");
    let mut group = c.benchmark_group(name);
    group.throughput(Throughput::Elements(PER_READ as u64));
    group.bench_function(BenchmarkId::from_parameter(parameter), |b| {
        b.iter(|| cluster.exchange(publisher, black_box(read.as_bytes())));
    });
    group.finish();
    black_box(cluster.delivered() + cluster.sent_bytes);
}

fn subscribers(cluster: &mut Cluster, core: usize, count: usize, line: &str) -> Vec<Client> {
    (0..count)
        .map(|_| {
            let client = cluster.client(core);
            cluster.exchange(client, line.as_bytes());
            client
        })
        .collect()
}

fn fan_out(c: &mut Criterion) {
    for count in [0, 1, 10, 50] {
        let mut cluster = Cluster::new(1, settings());
        subscribers(&mut cluster, 0, count, "SUB foo 1\r\n");
        bench_publish(c, "fan-out", count, cluster);
    }
}

fn queue_group(c: &mut Criterion) {
    for count in [1, 10] {
        let mut cluster = Cluster::new(1, settings());
        subscribers(&mut cluster, 0, count, "SUB foo workers 1\r\n");
        bench_publish(c, "queue group", count, cluster);
    }
}

fn other_core(c: &mut Criterion) {
    for count in [1, 10] {
        let mut cluster = Cluster::new(2, settings());
        subscribers(&mut cluster, 1, count, "SUB foo 1\r\n");
        bench_publish(c, "fan-out on another core", count, cluster);
    }
}

/// One subscription comes and goes while a message is routed by a wildcard:
/// every message meets a stale route.
fn churn(c: &mut Criterion) {
    for (name, subscribe, unsubscribe) in [
        ("literal", "SUB other 9\r\n", "UNSUB 9\r\n"),
        ("wildcard", "SUB other.* 9\r\n", "UNSUB 9\r\n"),
    ] {
        for cores in [1, 2] {
            let mut cluster = Cluster::new(cores, settings());
            subscribers(&mut cluster, 0, 10, "SUB foo 1\r\n");
            let (publisher, other) = (cluster.client(0), cluster.client(0));
            let message = format!("PUB foo {PAYLOAD}\r\n{}\r\n", "x".repeat(PAYLOAD));
            c.bench_function(
                &format!("SUB, PUB to 10, UNSUB, PUB/{name}, {cores} cores"),
                |b| {
                    b.iter(|| {
                        for line in [subscribe, unsubscribe] {
                            cluster.exchange(other, line.as_bytes());
                            cluster.exchange(publisher, message.as_bytes());
                        }
                    });
                },
            );
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(1));
    targets = fan_out, queue_group, other_core, churn
}
criterion_main!(benches);
