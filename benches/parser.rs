//! Cost of one command in the parser: `cargo bench --bench parser`.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringwire::protocol::{Command, ParseLimits, Parser};

/// Commands in one measured script.
const COMMANDS: usize = 10_000;

/// Bytes handed to the parser at a time, as from one receive buffer.
const RECEIVED: usize = 64 * 1024;

/// Feeds the whole script and returns the number of commands.
fn parse(parser: &mut Parser, script: &[u8], received: usize, limits: &ParseLimits) -> usize {
    let mut commands = 0;
    for mut piece in script.chunks(received) {
        loop {
            let (taken, result) = parser.next(piece, limits);
            match result {
                Ok(Some(Command::Publish(message))) => {
                    black_box(message.tail);
                    commands += 1;
                }
                Ok(Some(_)) => commands += 1,
                Ok(None) | Err(_) => break,
            }
            piece = &piece[taken..];
        }
    }
    commands
}

fn benches(criterion: &mut Criterion) {
    let limits = ParseLimits {
        headers: true,
        ..ParseLimits::default()
    };
    let kilobyte = format!("PUB foo.bar.baz 1024\r\n{}\r\n", "x".repeat(1024));
    let small = "PUB foo.bar.baz 16\r\n0123456789abcdef\r\n";
    let request = "PUB foo.bar.baz _INBOX.abcdefghijklmnop.1234 16\r\n0123456789abcdef\r\n";
    let headers = "HPUB foo.bar.baz 12 28\r\nNATS/1.0\r\n\r\n0123456789abcdef\r\n";
    let mut group = criterion.benchmark_group("parser");
    group.throughput(Throughput::Elements(COMMANDS as u64));
    for (name, command, received) in [
        ("pub of 16 bytes", small, RECEIVED),
        ("pub of 16 bytes with reply", request, RECEIVED),
        (
            "pub of 16 bytes, uncanonical line",
            &small.replace(' ', "\t"),
            RECEIVED,
        ),
        ("pub of 16 bytes, each cut", small, 30),
        ("pub of 1 KiB", &kilobyte, RECEIVED),
        ("hpub of 28 bytes", headers, RECEIVED),
        ("sub", "SUB foo.bar.baz 16\r\n", RECEIVED),
        ("ping", "PING\r\n", RECEIVED),
    ] {
        let script = command.repeat(COMMANDS);
        let mut parser = Parser::new();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let commands = parse(&mut parser, black_box(script.as_bytes()), received, &limits);
                assert_eq!(commands, COMMANDS);
            });
        });
    }
    group.finish();
}

criterion_group!(parser, benches);
criterion_main!(parser);
