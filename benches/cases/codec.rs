//! Bytes to commands and back: parser, headers, deliveries, records between cores.

use std::hint::black_box;

use ringwire::broker::output::{ChunkPool, OutQueue};
use ringwire::broker::wire::{self, MessageRecord, Outbox, Record, RunItem};
use ringwire::protocol::{Command, ParseLimits, Parser, Publish, headers, render};

use super::Case;

/// Steps of one run.
const STEPS: u64 = 1_000;

const PUB: &str = "PUB foo.bar.baz 16\r\n0123456789abcdef\r\n";
const SUBJECT: &[u8] = b"foo.bar.baz";
const TAIL: &[u8] = b" 16\r\n0123456789abcdef\r\n";

pub const CASES: &[Case] = &[
    Case {
        name: "parse/pub",
        operations: STEPS,
        prepare: || parse(PUB),
    },
    Case {
        name: "parse/pub-with-reply",
        operations: STEPS,
        prepare: || {
            parse("PUB foo.bar.baz _INBOX.abcdefghijklmnop.1234 16\r\n0123456789abcdef\r\n")
        },
    },
    Case {
        name: "parse/pub-uncanonical",
        operations: STEPS,
        prepare: || parse("PUB\tfoo.bar.baz\t16\r\n0123456789abcdef\r\n"),
    },
    Case {
        name: "parse/hpub",
        operations: STEPS,
        prepare: || parse("HPUB foo.bar.baz 12 28\r\nNATS/1.0\r\n\r\n0123456789abcdef\r\n"),
    },
    Case {
        name: "headers/third-of-four",
        operations: STEPS,
        prepare: headers_get,
    },
    Case {
        name: "headers/append",
        operations: STEPS,
        prepare: headers_append,
    },
    Case {
        name: "render/delivery",
        operations: STEPS,
        prepare: || render_delivery(true),
    },
    Case {
        name: "render/delivery-uncanonical",
        operations: STEPS,
        prepare: || render_delivery(false),
    },
    Case {
        name: "output/delivery-of-50-a-send",
        operations: STEPS,
        prepare: output,
    },
    Case {
        name: "records/run-encode",
        operations: STEPS,
        prepare: run_encode,
    },
    Case {
        name: "records/run-decode",
        operations: STEPS,
        prepare: run_decode,
    },
    Case {
        name: "records/message-encode",
        operations: STEPS,
        prepare: message_encode,
    },
    Case {
        name: "records/message-decode",
        operations: STEPS,
        prepare: message_decode,
    },
];

fn parse(command: &str) -> Box<dyn FnMut()> {
    let script = command.repeat(STEPS as usize);
    let limits = ParseLimits {
        headers: true,
        ..ParseLimits::default()
    };
    let mut parser = Parser::new();
    Box::new(move || {
        let mut rest = black_box(script.as_bytes());
        let mut commands = 0;
        while let (taken, Ok(Some(Command::Publish(message)))) = parser.next(rest, &limits) {
            black_box(message.tail);
            commands += 1;
            rest = &rest[taken..];
        }
        assert_eq!(commands, STEPS);
    })
}

fn headers_get() -> Box<dyn FnMut()> {
    let block = b"NATS/1.0\r\nContent-Type: text/plain\r\nX-Trace: 0123456789abcdef\r\n\
                  Nats-Msg-Id: 4711\r\nX-Last: 1\r\n\r\n";
    Box::new(move || {
        for _ in 0..STEPS {
            let value = headers::get(black_box(block), b"Nats-Msg-Id");
            assert_eq!(black_box(value), Some(&b"4711"[..]));
        }
    })
}

fn headers_append() -> Box<dyn FnMut()> {
    let mut block = Vec::with_capacity(256);
    Box::new(move || {
        for _ in 0..STEPS {
            block.clear();
            block.extend_from_slice(headers::EMPTY_BLOCK);
            headers::append(&mut block, "Nats-Sequence", black_box(b"4711")).expect("a block");
            black_box(&block);
        }
    })
}

fn publish(canonical: bool) -> Publish<'static> {
    let (command, limits) = (Box::leak(Box::<str>::from(PUB)), ParseLimits::default());
    // Lives for the program: what it returns points into the script.
    let parser = Box::leak(Box::new(Parser::new()));
    match parser.next(command.as_bytes(), &limits) {
        (_, Ok(Some(Command::Publish(message)))) => Publish {
            tail: message.tail.filter(|_| canonical),
            ..message
        },
        other => panic!("a publish, not {other:?}"),
    }
}

fn render_delivery(canonical: bool) -> Box<dyn FnMut()> {
    let message = publish(canonical);
    let mut out = Vec::with_capacity(64 * STEPS as usize);
    Box::new(move || {
        out.clear();
        for _ in 0..STEPS {
            render::delivery(&mut out, black_box(&message), black_box(b"17"), true);
        }
        black_box(&out);
    })
}

/// Deliveries into a connection's chunks, their batch, and the chunks back.
fn output() -> Box<dyn FnMut()> {
    const OF_ONE_SEND: u64 = 50;
    let (mut queue, mut pool) = (OutQueue::default(), ChunkPool::default());
    Box::new(move || {
        for _ in 0..STEPS / OF_ONE_SEND {
            for _ in 0..OF_ONE_SEND {
                queue.append(
                    &mut pool,
                    [b"MSG ", SUBJECT, b" ", black_box(b"17"), black_box(TAIL)],
                );
            }
            let batch = queue.take_batch(&mut pool).expect("output waits");
            black_box(batch.single());
            pool.recycle(batch);
            queue.completed();
        }
    })
}

fn item() -> RunItem<'static> {
    RunItem {
        reply_len: 0,
        header_len: None,
        body_len: 16,
        tail: TAIL,
    }
}

fn message() -> MessageRecord<'static> {
    MessageRecord {
        account: 0,
        plain: true,
        hops: 0,
        origin: 7,
        subject: SUBJECT,
        shown: b"",
        reply_len: 0,
        header_len: None,
        body_len: 16,
        tail: Some(TAIL),
        queues: &[],
    }
}

fn run_encode() -> Box<dyn FnMut()> {
    let mut outbox = Outbox::default();
    Box::new(move || {
        for _ in 0..STEPS {
            outbox.push_plain(0, 7, black_box(SUBJECT), &black_box(item()));
        }
        let waiting = outbox.unsent().len();
        outbox.advance(waiting);
    })
}

fn run_decode() -> Box<dyn FnMut()> {
    let mut outbox = Outbox::default();
    for _ in 0..STEPS {
        outbox.push_plain(0, 7, SUBJECT, &item());
    }
    let stream = outbox.unsent().to_vec();
    Box::new(move || {
        let mut messages = 0;
        for_each_record(&stream, |record| {
            if let Record::Run(run) = record {
                for item in run.items() {
                    black_box(item.tail);
                    messages += 1;
                }
            }
        });
        assert_eq!(messages, STEPS);
    })
}

fn message_encode() -> Box<dyn FnMut()> {
    let mut out = Vec::with_capacity(128 * STEPS as usize);
    Box::new(move || {
        out.clear();
        for _ in 0..STEPS {
            wire::put_message(&mut out, black_box(&message()), std::iter::empty());
        }
        black_box(&out);
    })
}

fn message_decode() -> Box<dyn FnMut()> {
    let mut stream = Vec::new();
    for _ in 0..STEPS {
        wire::put_message(&mut stream, &message(), std::iter::empty());
    }
    Box::new(move || {
        let mut messages = 0;
        for_each_record(&stream, |record| {
            if let Record::Message(message) = record {
                black_box(message.tail);
                messages += 1;
            }
        });
        assert_eq!(messages, STEPS);
    })
}

fn for_each_record(stream: &[u8], mut visit: impl FnMut(Record<'_>)) {
    let mut rest = black_box(stream);
    while let Some(len) = wire::record_len(rest).filter(|&len| len <= rest.len()) {
        visit(wire::decode(&rest[..len]).expect("a record"));
        rest = &rest[len..];
    }
    assert!(rest.is_empty());
}
