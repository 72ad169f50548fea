//! Messages through whole cores without sockets: parsed, routed, delivered into output, the
//! output sent and its memory back in the pool.

use std::hint::black_box;

use super::Case;
use super::cluster::{Client, Cluster, settings};

/// Messages of one run, and of one read from a socket.
const STEPS: u64 = 1_000;
const PER_READ: usize = 100;

/// Literals subscribed to beside what a case needs.
const OTHERS: usize = 1_000;
/// Subjects published to in turn so that none is in the cache: more than it holds.
const UNCACHED: usize = 20_000;

pub const CASES: &[Case] = &[
    Case {
        name: "publish/nobody",
        operations: STEPS,
        prepare: || cached(1, 0, ""),
    },
    Case {
        name: "publish/1-reader",
        operations: STEPS,
        prepare: || cached(1, 1, "SUB foo 1\r\n"),
    },
    Case {
        name: "publish/1-reader-by-wildcard",
        operations: STEPS,
        prepare: || cached(1, 1, "SUB > 1\r\n"),
    },
    Case {
        name: "publish/50-readers",
        operations: STEPS,
        prepare: || cached(1, 50, "SUB foo 1\r\n"),
    },
    Case {
        name: "publish/queue-of-10",
        operations: STEPS,
        prepare: || cached(1, 10, "SUB foo workers 1\r\n"),
    },
    Case {
        name: "publish/uncached-literal",
        operations: STEPS,
        prepare: || uncached(&[]),
    },
    Case {
        name: "publish/uncached-wildcard",
        operations: STEPS,
        prepare: || uncached(&["SUB orders.*.*.update 1\r\n", "SUB orders.> 2\r\n"]),
    },
    Case {
        name: "publish/1-reader-on-another-core",
        operations: STEPS,
        prepare: || cached(2, 1, "SUB foo 1\r\n"),
    },
    Case {
        name: "subscribe-and-unsubscribe",
        operations: STEPS,
        prepare: subscriptions,
    },
];

fn message(subject: &str) -> String {
    format!("PUB {subject} 16\r\n0123456789abcdef\r\n")
}

/// A client of the last core that subscribed to `count` subjects nobody publishes to.
fn subscribe_others(cluster: &mut Cluster, core: usize, count: usize) -> Client {
    let client = cluster.client(core);
    for n in 0..count {
        cluster.exchange(client, format!("SUB other.{n} {n}\r\n").as_bytes());
    }
    client
}

/// Readers on the last of so many cores, the publisher on the first.
fn cached(cores: usize, readers: usize, line: &'static str) -> Box<dyn FnMut()> {
    let mut cluster = Cluster::new(cores, settings());
    subscribe_others(&mut cluster, cores - 1, OTHERS);
    for _ in 0..readers {
        let reader = cluster.client(cores - 1);
        cluster.exchange(reader, line.as_bytes());
    }
    let publisher = cluster.client(0);
    let read = message("foo").repeat(PER_READ);
    let mut run = move || {
        for _ in 0..STEPS as usize / PER_READ {
            cluster.exchange(publisher, black_box(read.as_bytes()));
        }
    };
    run();
    Box::new(run)
}

/// Every message on a subject that is not in the cache; besides `lines`, one subject in two has
/// a subscription of its own.
fn uncached(lines: &[&str]) -> Box<dyn FnMut()> {
    let mut cluster = Cluster::new(1, settings());
    let subject = |n: usize| format!("orders.{}.{n}.update", n % 97);
    let literals = cluster.client(0);
    for n in (0..UNCACHED).step_by(2) {
        cluster.exchange(literals, format!("SUB {} {n}\r\n", subject(n)).as_bytes());
    }
    for line in lines {
        let reader = cluster.client(0);
        cluster.exchange(reader, line.as_bytes());
    }
    let publisher = cluster.client(0);
    let reads: Vec<String> = (0..UNCACHED)
        .map(|n| message(&subject(n)))
        .collect::<Vec<_>>()
        .chunks(PER_READ)
        .map(|messages| messages.concat())
        .collect();
    for read in &reads {
        cluster.exchange(publisher, read.as_bytes());
    }
    let mut next = 0;
    Box::new(move || {
        for _ in 0..STEPS as usize / PER_READ {
            cluster.exchange(publisher, black_box(reads[next].as_bytes()));
            next = (next + 1) % reads.len();
        }
    })
}

fn subscriptions() -> Box<dyn FnMut()> {
    let mut cluster = Cluster::new(1, settings());
    let client = subscribe_others(&mut cluster, 0, OTHERS);
    let lines: String = (0..PER_READ)
        .map(|n| format!("SUB mine.{n} a{n}\r\nUNSUB a{n}\r\n"))
        .collect();
    let mut run = move || {
        for _ in 0..STEPS as usize / PER_READ {
            cluster.exchange(client, black_box(lines.as_bytes()));
        }
    };
    run();
    Box::new(run)
}
