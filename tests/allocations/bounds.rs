//! Memory is bounded, and what clients hold costs what it should.

use std::fmt::Write as _;

use crate::cluster::{Cluster, settings};
use crate::counting::measure;

const MIB: i64 = 1024 * 1024;

/// What the route cache of a core may take, however many subjects are published:
/// 8 MiB of routes, and 16 Ki entries with a subject of up to 256 bytes each.
const ROUTE_CACHE_BYTES_MAX: i64 = 16 * MIB;

/// Bytes of an idle connection with one subscription.
const CONNECTION_BYTES_MAX: i64 = 3 * 1024;

/// Bytes of a subscription to a subject of its own, the subject included.
const SUBSCRIPTION_BYTES_MAX: i64 = 120;

/// Publishes to `count` distinct subjects.
fn publish_distinct(cluster: &mut Cluster, publisher: crate::cluster::Client, count: usize) {
    let mut read = String::with_capacity(64 * 1024);
    for n in 0..count {
        write!(read, "PUB sensors.{n}.temperature 2\r\n20\r\n").expect("a string");
        if n % 100 == 99 {
            cluster.exchange(publisher, read.as_bytes());
            read.clear();
        }
    }
}

#[test]
fn a_million_subjects_do_not_grow_memory_without_readers() {
    let mut cluster = Cluster::new(1, settings());
    let publisher = cluster.client(0);
    let usage = measure(|| publish_distinct(&mut cluster, publisher, 1_000_000));
    println!("{} bytes", usage.live_bytes);
    assert!(usage.live_bytes < ROUTE_CACHE_BYTES_MAX, "{usage:?}");
}

#[test]
fn a_million_subjects_do_not_grow_memory_with_readers() {
    let mut cluster = Cluster::new(1, settings());
    let publisher = cluster.client(0);
    for _ in 0..10 {
        let reader = cluster.client(0);
        cluster.exchange(reader, b"SUB sensors.> 1\r\n");
    }
    let usage = measure(|| publish_distinct(&mut cluster, publisher, 1_000_000));
    println!("{} bytes", usage.live_bytes);
    assert!(usage.live_bytes < ROUTE_CACHE_BYTES_MAX, "{usage:?}");
}

#[test]
fn a_large_fan_out_does_not_leave_its_memory_with_other_routes() {
    let mut cluster = Cluster::new(1, settings());
    let publisher = cluster.client(0);
    let reader = cluster.client(0);
    let mut subscriptions = String::new();
    for sid in 0..5_000 {
        write!(subscriptions, "SUB everyone {sid}\r\n").expect("a string");
    }
    cluster.exchange(reader, subscriptions.as_bytes());
    let usage = measure(|| {
        for n in 0..5_000 {
            let read = format!("PUB everyone 0\r\n\r\nPUB other.{n} 0\r\n\r\n");
            cluster.exchange(publisher, read.as_bytes());
        }
    });
    println!("{} bytes", usage.live_bytes);
    assert!(usage.live_bytes < ROUTE_CACHE_BYTES_MAX, "{usage:?}");
}

#[test]
fn routes_that_grow_while_cached_stay_within_the_bound() {
    let mut cluster = Cluster::new(1, settings());
    let publisher = cluster.client(0);
    publish_distinct(&mut cluster, publisher, 10_000);
    let reader = cluster.client(0);
    let mut subscriptions = String::new();
    for sid in 0..1_000 {
        write!(subscriptions, "SUB sensors.> {sid}\r\n").expect("a string");
    }
    cluster.exchange(reader, subscriptions.as_bytes());
    let usage = measure(|| publish_distinct(&mut cluster, publisher, 10_000));
    println!("{} bytes", usage.live_bytes);
    assert!(usage.live_bytes < ROUTE_CACHE_BYTES_MAX, "{usage:?}");
}

#[test]
fn an_idle_connection_with_one_subscription() {
    const COUNT: usize = 10_000;
    let mut cluster = Cluster::new(1, settings());
    let usage = measure(|| {
        for n in 0..COUNT {
            let client = cluster.client_with(
                0,
                "\"headers\":true,\"name\":\"sensor\",\"lang\":\"go\",\"version\":\"1.2.3\"",
            );
            cluster.exchange(client, format!("SUB device.{n}.commands 1\r\n").as_bytes());
        }
    });
    let each = usage.live_bytes / COUNT as i64;
    println!("{each} bytes");
    assert!(each <= CONNECTION_BYTES_MAX, "{each} bytes");
}

#[test]
fn a_subscription() {
    const COUNT: usize = 100_000;
    let mut cluster = Cluster::new(1, settings());
    let clients: Vec<_> = (0..100).map(|_| cluster.client(0)).collect();
    let usage = measure(|| {
        for n in 0..COUNT {
            let (client, sid) = (clients[n % clients.len()], n / clients.len());
            let line = format!("SUB orders.{}.{n}.update {sid}\r\n", n % 97);
            cluster.receive(client, line.as_bytes());
        }
    });
    let each = usage.live_bytes / COUNT as i64;
    println!("{each} bytes");
    assert!(each <= SUBSCRIPTION_BYTES_MAX, "{each} bytes");
}
