use std::sync::mpsc::channel;
use std::time::Duration;

use super::super::net_event::{Event, RingConfig};
use super::*;
use crate::store::OpenMode;

/// A disk and its ring, driven to the end of each operation.
struct Bench {
    ring: NetRing<Vec<u8>>,
    disk: RingDisk,
    answers: std::sync::mpsc::Receiver<Answer>,
    next: u32,
    _root: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let (sink, answers) = channel();
        let sink: AnswerSink = Box::new(move |answer| sink.send(answer).unwrap());
        Self {
            ring: NetRing::new(&RingConfig::default()).unwrap(),
            disk: RingDisk::new(root.path().to_owned(), "disk-test", sink).unwrap(),
            answers,
            next: 0,
            _root: root,
        }
    }

    fn submit(&mut self, op: Op) -> Tag {
        self.next += 1;
        let tag = Tag {
            owner: 1,
            op: self.next,
        };
        self.disk.submit(tag, op);
        tag
    }

    /// Until the next answers.
    fn answers(&mut self) -> Vec<Completed> {
        let mut completed = Vec::new();
        while completed.is_empty() {
            self.disk.send_to(&mut self.ring);
            self.ring.turn().unwrap();
            while let Some(event) = self.ring.next_event() {
                if let Event::File { index, result } = event {
                    self.disk.on_ring(index, result);
                }
            }
            if let Ok(answer) = self.answers.recv_timeout(Duration::from_millis(1)) {
                self.disk.on_helper(answer);
            }
            self.disk.take_completed(&mut completed);
        }
        completed
    }

    fn run(&mut self, op: Op) -> Completed {
        let tag = self.submit(op);
        let mut completed = self.answers();
        let completed = completed.pop().expect("one");
        assert_eq!(completed.tag, tag);
        completed
    }
}

fn file(number: u32) -> FileId {
    FileId { owner: 1, number }
}

fn open(number: u32, path: &str, mode: OpenMode) -> Op {
    Op::Open {
        file: file(number),
        path: path.to_owned(),
        mode,
    }
}

#[test]
fn what_is_written_is_read_and_the_end_is_short() {
    let mut bench = Bench::new();
    let path = "a/b".to_owned();
    assert!(bench.run(Op::MakeDir { path }).result.is_ok());
    let create = OpenMode::Write { create: true };
    assert!(bench.run(open(1, "a/b/log", create)).result.is_ok());
    let mut buffer = Aligned::new(2 * BLOCK);
    buffer[BLOCK..].fill(7);
    let written = bench.run(Op::Write {
        file: file(1),
        offset: BLOCK as u64,
        buffer,
        range: BLOCK..2 * BLOCK,
        sync: true,
    });
    assert!(matches!(written.result, Ok(Output::Done)));
    assert!(written.buffer.is_some());
    let read = bench.run(Op::Read {
        file: file(1),
        offset: 0,
        buffer: Aligned::new(4 * BLOCK),
    });
    let Ok(Output::Read { bytes }) = read.result else {
        panic!("{:?}", read.result)
    };
    assert_eq!(bytes, 2 * BLOCK);
    let buffer = read.buffer.expect("comes back");
    assert!(buffer[..BLOCK].iter().all(|&b| b == 0));
    assert!(buffer[BLOCK..bytes].iter().all(|&b| b == 7));
    assert!(bench.run(Op::Sync { file: file(1) }).result.is_ok());
    let length = 16 * BLOCK as u64;
    let allocate = Op::Allocate {
        file: file(1),
        length,
    };
    assert!(bench.run(allocate).result.is_ok());
    let path = "a/b".to_owned();
    let Ok(Output::Names(names)) = bench.run(Op::List { path }).result else {
        panic!("a list")
    };
    assert_eq!(names.len(), 1);
    assert_eq!((names[0].name.as_str(), names[0].length), ("log", length));
}

#[test]
fn a_close_waits_for_the_writes_before_it() {
    let mut bench = Bench::new();
    let create = OpenMode::Write { create: true };
    assert!(bench.run(open(1, "log", create)).result.is_ok());
    let mut tags: Vec<u32> = (0..8)
        .map(|n| {
            let write = Op::Write {
                file: file(1),
                offset: n * BLOCK as u64,
                buffer: Aligned::new(BLOCK),
                range: 0..BLOCK,
                sync: true,
            };
            bench.submit(write).op
        })
        .collect();
    let close = bench.submit(Op::Close { file: file(1) }).op;
    while !tags.is_empty() {
        for completed in bench.answers() {
            assert!(completed.result.is_ok());
            assert!(completed.tag.op != close || tags.is_empty());
            tags.retain(|&tag| tag != completed.tag.op);
        }
    }
    // The file is gone for later operations, also while it is being closed.
    let late = bench.run(Op::Sync { file: file(1) });
    assert!(late.result.is_err() || late.tag.op == close);
}

#[test]
fn a_file_that_is_written_by_another_is_refused() {
    let mut bench = Bench::new();
    let create = OpenMode::Write { create: true };
    assert!(bench.run(open(1, "log", create)).result.is_ok());
    let second = bench.run(open(2, "log", create));
    assert!(matches!(second.result, Err(DiskError::Locked)));
    assert!(bench.run(open(3, "log", OpenMode::Read)).result.is_ok());
    let missing = bench.run(open(4, "none", OpenMode::Read));
    assert!(matches!(missing.result, Err(DiskError::NotFound)));
}
