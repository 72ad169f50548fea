//! Promise 5: a reader that falls behind is cut off alone; healthy ones lose nothing; a slow
//! reader that is all a publisher feeds is waited for, within bounds.

use std::sync::Barrier;
use std::thread;

use crate::common::{Client, Server};
use crate::on_cores;

on_cores!(
    a_slow_consumer_is_cut_off_and_healthy_ones_get_everything,
    bulk_transfer_to_one_slow_reader_is_not_cut_off,
    floods_between_all_cores_arrive_whole,
);

/// Small enough that a reader who stopped passes it soon; the deadline is out of the way, so
/// that the number of bytes decides.
const SMALL_BUFFERS: &str = "max_pending: 4MB\nmax_payload: 1MB\nwrite_deadline: \"60s\"\n";

const KIB: [u8; 1024] = [b'k'; 1024];

fn a_slow_consumer_is_cut_off_and_healthy_ones_get_everything(cores: usize) {
    // What the kernel's two socket buffers may take, the limit, and some.
    const MESSAGES: usize = 24 * 1024;
    let server = Server::builder()
        .config(SMALL_BUFFERS)
        .cores(cores)
        .monitor()
        .start();
    let mut slow = Client::ready_with(server.addr(), r#""name":"slow""#);
    slow.send("SUB data 1\r\n");
    slow.flush();
    let mut healthy: Vec<Client> = (0..4).map(|_| Client::ready(server.addr())).collect();
    for reader in &mut healthy {
        reader.send("SUB data 1\r\n");
        reader.flush();
    }
    let mut publisher = Client::ready(server.addr());
    // Publisher and readers meet after each batch: only the one that stopped falls behind.
    let meeting = Barrier::new(healthy.len() + 1);
    thread::scope(|scope| {
        for reader in &mut healthy {
            scope.spawn(|| {
                for _ in 0..MESSAGES / 64 {
                    for _ in 0..64 {
                        assert_eq!(reader.msg().payload, KIB);
                    }
                    meeting.wait();
                }
            });
        }
        for _ in 0..MESSAGES / 64 {
            publisher.send(batch_of_64());
            meeting.wait();
        }
    });
    server.wait_number("/varz", "/slow_consumers", 1);
    // Bytes in the kernel's buffers may still arrive, then the end.
    assert!(slow.rest().len() < MESSAGES * 1024);
    server.wait_number("/connz?state=closed", "/num_connections", 1);
    let connz = server.get_json("/connz?state=closed");
    let gone = &connz["connections"][0];
    assert_eq!(gone["name"], "slow");
    assert_eq!(gone["reason"], "Slow Consumer (Pending Bytes)");
    for reader in &mut healthy {
        reader.flush();
    }
}

fn bulk_transfer_to_one_slow_reader_is_not_cut_off(cores: usize) {
    // Many times what may be pending.
    const MESSAGES: usize = 64 * 1024;
    let server = Server::builder()
        .config(&SMALL_BUFFERS.replace("4MB", "8MB"))
        .cores(cores)
        .monitor()
        .start();
    let mut reader = Client::ready(server.addr());
    reader.send("SUB data 1\r\n");
    reader.flush();
    let addr = server.addr();
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut publisher = Client::ready(addr);
            for _ in 0..MESSAGES / 64 {
                publisher.send(batch_of_64());
            }
            publisher.flush();
        });
        // Slower than the publisher: each message is copied several times here.
        for _ in 0..MESSAGES {
            assert_eq!(reader.msg().payload, KIB);
        }
    });
    reader.flush();
    server.wait_number("/varz", "/slow_consumers", 0);
}

fn batch_of_64() -> Vec<u8> {
    let mut message = b"PUB data 1024\r\n".to_vec();
    message.extend_from_slice(&KIB);
    message.extend_from_slice(b"\r\n");
    message.repeat(64)
}

fn floods_between_all_cores_arrive_whole(cores: usize) {
    const MESSAGES: usize = 32 * 1024;
    let server = Server::builder().cores(cores).start();
    let addr = server.addr();
    let mut readers: Vec<Client> = (0..4).map(|_| Client::ready(addr)).collect();
    for (i, reader) in readers.iter_mut().enumerate() {
        reader.send(format!("SUB to.{i} 1\r\n"));
        reader.flush();
    }
    thread::scope(|scope| {
        for (i, reader) in readers.iter_mut().enumerate() {
            scope.spawn(move || {
                for n in 0..MESSAGES {
                    assert_eq!(reader.msg().text(), n.to_string(), "reader {i}");
                }
            });
            scope.spawn(move || {
                let mut publisher = Client::ready(addr);
                let mut batch = Vec::new();
                for n in 0..MESSAGES {
                    let text = n.to_string();
                    let line = format!("PUB to.{i} {}\r\n{text}\r\n", text.len());
                    batch.extend_from_slice(line.as_bytes());
                    if n % 256 == 255 {
                        publisher.send(&batch);
                        batch.clear();
                    }
                }
                publisher.flush();
            });
        }
    });
}
