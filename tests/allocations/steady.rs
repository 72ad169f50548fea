//! No allocation for a message in the steady state.

use std::fmt::Write as _;

use crate::cluster::{Client, Cluster, settings};
use crate::counting::measure;

/// Messages of one measurement.
const MESSAGES: usize = 100_000;
/// Messages that one read brings.
const PER_READ: usize = 20;

/// Publishes `MESSAGES` messages, some with each read, and asserts that after a
/// first round nothing is allocated and that `copies` of each were delivered.
///
/// `render` writes the command for the n-th message.
#[track_caller]
fn assert_steady(
    cluster: &mut Cluster,
    publisher: Client,
    copies: u64,
    render: impl Fn(&mut String, usize),
) {
    let mut reads = Vec::new();
    for first in (0..MESSAGES / 10).step_by(PER_READ) {
        let mut read = String::new();
        for n in first..first + PER_READ {
            render(&mut read, n);
        }
        reads.push(read);
    }
    let round = |cluster: &mut Cluster| {
        for read in &reads {
            cluster.exchange(publisher, read.as_bytes());
        }
    };
    round(cluster);
    let before = cluster.delivered();
    let usage = measure(|| {
        for _ in 0..10 {
            round(cluster);
        }
    });
    assert_eq!(cluster.delivered() - before, MESSAGES as u64 * copies);
    assert_eq!(
        usage.allocations, 0,
        "allocations for {MESSAGES} messages; {} bytes more are in use",
        usage.live_bytes
    );
}

fn publish(out: &mut String, subject: &str, payload: &str) {
    let len = payload.len();
    write!(out, "PUB {subject} {len}\r\n{payload}\r\n").expect("a string");
}

fn subscribe(cluster: &mut Cluster, client: Client, lines: &str) {
    cluster.exchange(client, lines.as_bytes());
}

#[test]
fn one_to_one() {
    let mut cluster = Cluster::new(1, settings());
    let (publisher, reader) = (cluster.client(0), cluster.client(0));
    subscribe(&mut cluster, reader, "SUB foo 1\r\n");
    assert_steady(&mut cluster, publisher, 1, |out, _| {
        publish(out, "foo", "payload");
    });
}

#[test]
fn fan_out_to_fifty() {
    let mut cluster = Cluster::new(1, settings());
    let publisher = cluster.client(0);
    for _ in 0..50 {
        let reader = cluster.client(0);
        subscribe(&mut cluster, reader, "SUB foo 1\r\n");
    }
    assert_steady(&mut cluster, publisher, 50, |out, _| {
        publish(out, "foo", "payload");
    });
}

#[test]
fn headers_to_readers_with_and_without_them() {
    let mut cluster = Cluster::new(1, settings());
    let publisher = cluster.client(0);
    for options in ["\"headers\":true", "\"headers\":false"] {
        let reader = cluster.client_with(0, options);
        subscribe(&mut cluster, reader, "SUB foo 1\r\n");
    }
    assert_steady(&mut cluster, publisher, 2, |out, _| {
        out.push_str("HPUB foo 22 29\r\nNATS/1.0\r\nKey: val\r\n\r\npayload\r\n");
    });
}

#[test]
fn requests_with_replies() {
    let mut cluster = Cluster::new(1, settings());
    let (requester, responder) = (cluster.client(0), cluster.client(0));
    subscribe(&mut cluster, requester, "SUB _INBOX.abc.* 1\r\n");
    subscribe(&mut cluster, responder, "SUB service 1\r\n");
    // Each request has a reply subject of its own, as client libraries do.
    let exchanges: Vec<_> = (0..1000)
        .map(|n| {
            (
                format!("PUB service _INBOX.abc.{n} 4\r\nping\r\n"),
                format!("PUB _INBOX.abc.{n} 4\r\npong\r\n"),
            )
        })
        .collect();
    let round = |cluster: &mut Cluster| {
        for (request, reply) in &exchanges {
            cluster.exchange(requester, request.as_bytes());
            cluster.exchange(responder, reply.as_bytes());
        }
    };
    round(&mut cluster);
    let usage = measure(|| {
        for _ in 0..50 {
            round(&mut cluster);
        }
    });
    assert_eq!(usage.allocations, 0);
}

#[test]
fn requests_that_nobody_answers() {
    let mut cluster = Cluster::new(1, settings());
    let requester = cluster.client(0);
    subscribe(&mut cluster, requester, "SUB _INBOX.abc.* 1\r\n");
    assert_steady(&mut cluster, requester, 0, |out, n| {
        let n = n % 1000;
        write!(out, "PUB nobody _INBOX.abc.{n} 4\r\nping\r\n").expect("a string");
    });
}

#[test]
fn queue_groups() {
    let mut cluster = Cluster::new(1, settings());
    let publisher = cluster.client(0);
    for queue in ["workers", "audit"] {
        for _ in 0..5 {
            let member = cluster.client(0);
            subscribe(&mut cluster, member, &format!("SUB jobs {queue} 1\r\n"));
        }
    }
    assert_steady(&mut cluster, publisher, 2, |out, _| {
        publish(out, "jobs", "payload");
    });
}

#[test]
fn two_cores() {
    let mut cluster = Cluster::new(2, settings());
    let publisher = cluster.client(0);
    for core in [0, 1, 1] {
        let reader = cluster.client(core);
        subscribe(&mut cluster, reader, "SUB foo 1\r\nSUB foo workers 2\r\n");
    }
    // Three plain subscriptions and one member of the group.
    assert_steady(&mut cluster, publisher, 4, |out, _| {
        publish(out, "foo", "payload");
    });
}

#[test]
fn messages_cut_by_the_ends_of_reads() {
    let mut cluster = Cluster::new(1, settings());
    let (publisher, reader) = (cluster.client(0), cluster.client(0));
    subscribe(&mut cluster, reader, "SUB foo 1\r\n");
    let payload = "x".repeat(500);
    let mut stream = String::new();
    for _ in 0..2_000 {
        publish(&mut stream, "foo", &payload);
    }
    // Every length of read from 1 byte to a few messages.
    let mut reads = Vec::new();
    let mut rest = stream.as_bytes();
    for len in (1..1_800).cycle() {
        if rest.is_empty() {
            break;
        }
        let (read, left) = rest.split_at(len.min(rest.len()));
        reads.push(read);
        rest = left;
    }
    let round = |cluster: &mut Cluster| {
        for read in &reads {
            cluster.exchange(publisher, read);
        }
    };
    round(&mut cluster);
    let before = cluster.delivered();
    let usage = measure(|| {
        for _ in 0..50 {
            round(&mut cluster);
        }
    });
    assert_eq!(cluster.delivered() - before, 100_000);
    assert_eq!(usage.allocations, 0);
}

#[test]
fn wildcards_and_many_cached_subjects() {
    let mut cluster = Cluster::new(1, settings());
    let (publisher, reader) = (cluster.client(0), cluster.client(0));
    subscribe(
        &mut cluster,
        reader,
        "SUB orders.*.new 1\r\nSUB orders.> 2\r\n",
    );
    assert_steady(&mut cluster, publisher, 2, |out, n| {
        publish(out, &format!("orders.{n}.new"), "payload");
    });
}

#[test]
fn subjects_too_long_for_the_cache() {
    let mut cluster = Cluster::new(1, settings());
    let (publisher, reader) = (cluster.client(0), cluster.client(0));
    subscribe(&mut cluster, reader, "SUB long.> 1\r\n");
    let subject = format!("long.{}", "x".repeat(300));
    assert_steady(&mut cluster, publisher, 1, |out, _| {
        publish(out, &subject, "payload");
    });
}

#[test]
fn verbose_publishers() {
    let mut cluster = Cluster::new(1, settings());
    let publisher = cluster.client(0);
    let reader = cluster.client(0);
    subscribe(&mut cluster, reader, "SUB foo 1\r\n");
    cluster.exchange(
        publisher,
        b"CONNECT {\"verbose\":true,\"pedantic\":true}\r\n",
    );
    assert_steady(&mut cluster, publisher, 1, |out, _| {
        publish(out, "foo", "payload");
    });
}

#[test]
fn a_stream_that_fills_many_chunks_in_one_turn() {
    let mut cluster = Cluster::new(1, settings());
    let (publisher, reader) = (cluster.client(0), cluster.client(0));
    subscribe(&mut cluster, reader, "SUB foo 1\r\n");
    let mut read = String::new();
    // About 256 KiB, four chunks.
    for _ in 0..500 {
        publish(&mut read, "foo", &"x".repeat(512));
    }
    let round = |cluster: &mut Cluster| cluster.exchange(publisher, read.as_bytes());
    for _ in 0..3 {
        round(&mut cluster);
    }
    let usage = measure(|| {
        for _ in 0..200 {
            round(&mut cluster);
        }
    });
    assert_eq!(usage.allocations, 0);
}

#[test]
fn pings() {
    let mut cluster = Cluster::new(2, settings());
    let client = cluster.client(0);
    cluster.exchange(client, b"PING\r\n");
    let usage = measure(|| {
        for _ in 0..100_000 {
            cluster.exchange(client, b"PING\r\n");
        }
    });
    assert_eq!(usage.allocations, 0);
}
