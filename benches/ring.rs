//! The link between two pinned threads: bytes there and back, by batch size.
//!
//! Both threads spin, so this is the cost of the ring and of moving cache lines
//! between the cores, not of waking a thread. Needs two CPUs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ringwire::runtime::links::{LinkConfig, LinkReceiver, LinkSender, mesh};

/// Bytes of a record: a small message.
const RECORD: usize = 96;
/// Batches under way at a time in the stream.
const WINDOW: usize = 8;

type Sender = LinkSender<()>;
type Receiver = LinkReceiver<()>;

/// Pins the calling thread; without that CPU the numbers mean less, no more.
fn pin(cpu: usize) {
    // SAFETY: the set is a plain bit mask on this stack, of the size given.
    let pinned = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set)
    };
    if pinned != 0 {
        eprintln!("CPU {cpu} is not to be had; not pinned");
    }
}

/// Copies out what there is, up to `left` bytes. Returns how many.
fn take(from: &mut Receiver, into: &mut [u8], left: usize) -> usize {
    from.read(|first, second| {
        let mut taken = 0;
        for part in [first, second] {
            let count = part.len().min(left - taken).min(into.len());
            into[..count].copy_from_slice(&part[..count]);
            taken += count;
        }
        taken
    })
}

fn push(to: &mut Sender, bytes: &[u8]) {
    let mut sent = 0;
    while sent < bytes.len() {
        sent += to.push_bytes(&bytes[sent..]);
        to.announce();
    }
}

/// Sends back all it receives until told to stop.
fn echo(mut from: Receiver, mut to: Sender, stop: &AtomicBool) {
    let mut buffer = vec![0; 64 * 1024];
    while !stop.load(Ordering::Relaxed) {
        let limit = buffer.len();
        let mut bytes = 0;
        from.read(|first, _| {
            bytes = first.len().min(limit);
            buffer[..bytes].copy_from_slice(&first[..bytes]);
            bytes
        });
        push(&mut to, &buffer[..bytes]);
    }
}

fn links(c: &mut Criterion) {
    let mut nodes = mesh::<()>(2, &LinkConfig::default()).expect("eventfds");
    let mut far = nodes.pop().expect("two nodes");
    let mut near = nodes.pop().expect("two nodes");
    let (from_near, to_near) = (
        far.from[0].take().expect("a link"),
        far.to[0].take().expect("a link"),
    );
    let (mut from, mut to) = (
        near.from[1].take().expect("a link"),
        near.to[1].take().expect("a link"),
    );
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let thread = std::thread::spawn(move || {
        pin(1);
        echo(from_near, to_near, &stopped);
    });
    pin(0);
    let mut buffer = vec![0; 64 * 1024];
    for records in [1, 8, 64] {
        let batch = vec![7; records * RECORD];
        let mut group = c.benchmark_group("link, records there and back");
        group.throughput(Throughput::Elements(records as u64));
        group.bench_function(BenchmarkId::new("one batch at a time", records), |b| {
            b.iter(|| exchange(&mut from, &mut to, &batch, &mut buffer, 1));
        });
        group.throughput(Throughput::Elements((records * WINDOW) as u64));
        group.bench_function(BenchmarkId::new("eight batches under way", records), |b| {
            b.iter(|| exchange(&mut from, &mut to, &batch, &mut buffer, WINDOW));
        });
        group.finish();
    }
    stop.store(true, Ordering::Relaxed);
    thread.join().expect("the echo");
}

fn exchange(from: &mut Receiver, to: &mut Sender, batch: &[u8], buffer: &mut [u8], times: usize) {
    for _ in 0..times {
        push(to, batch);
    }
    let mut left = batch.len() * times;
    while left > 0 {
        left -= take(from, buffer, left);
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(1));
    targets = links
}
criterion_main!(benches);
