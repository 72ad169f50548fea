//! The files of a run, read back as other programs would.

mod common;
#[path = "common/fake.rs"]
mod fake;

use common::LOADGEN;
use fake::Fault;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const FILES: [(&str, &str); 5] = [
    ("--json", "out.json"),
    ("--csv", "out.csv"),
    ("--hgrm", "out.hgrm"),
    ("--hlog", "out.hlog"),
    ("--report", "out.html"),
];

/// 1500 messages in three halves of a second, with all files in `directory`.
fn run(server: &str, directory: &Path) -> Output {
    let load = "pubsub --rate 1000 --size 64 --warmup 0 --seconds 1.5 --quiet --server";
    let mut command = Command::new(LOADGEN);
    command.args(load.split(' ')).arg(server);
    for (flag, name) in FILES {
        command.arg(flag).arg(directory.join(name));
    }
    command.output().unwrap()
}

#[test]
fn all_files_tell_the_same_story() {
    let directory = tempfile::tempdir().unwrap();
    let output = run(&fake::start(|_| Fault::None), directory.path());
    assert!(output.status.success(), "{}", common::errors(&output));
    let read = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();

    let json: serde_json::Value = serde_json::from_str(read("out.json").trim_end()).unwrap();
    assert_eq!(json["latency"]["count"], 1500);

    let csv = read("out.csv");
    let column = |name: &str| {
        let head = csv.lines().next().unwrap();
        let index = head.split(',').position(|title| title == name).unwrap();
        // No title of a load has a comma here.
        let value = move |line: &str| line.split(',').nth(index).unwrap().parse::<u64>();
        csv.lines().skip(1).filter_map(move |line| value(line).ok())
    };
    assert_eq!(column("sent").sum::<u64>(), 1500);
    assert_eq!(column("latency_count").sum::<u64>(), 1500);
    let max = column("max_ns").max().unwrap();
    assert_eq!(json["latency"]["max"], max);

    let hgrm = read("out.hgrm");
    let last = hgrm.lines().rfind(|line| line.starts_with(' ')).unwrap();
    let last: Vec<f64> = last
        .split_whitespace()
        .map(|word| word.parse().unwrap())
        .collect();
    assert_eq!((last[1], last[2]), (1.0, 1500.0));
    assert!((last[0] - max as f64 / 1000.0).abs() < 0.001);

    let hlog = read("out.hlog");
    let maxima: Vec<f64> = IntervalLogIterator::new(hlog.as_bytes())
        .filter_map(|entry| match entry.unwrap() {
            LogEntry::Interval(interval) => Some(interval.max()),
            _ => None,
        })
        .collect();
    assert_eq!(maxima.len(), column("sent").count());
    let highest = maxima.iter().copied().fold(0.0, f64::max);
    assert!((highest - max as f64 / 1e6).abs() < 0.001);

    let page = read("out.html");
    assert!(page.contains("pubsub --rate 1000 --size 64"));
    assert_eq!(page.matches("<svg").count(), 3);
}

#[test]
fn a_loss_is_the_first_line_and_in_every_file() {
    let directory = tempfile::tempdir().unwrap();
    let drop_some = |index| {
        if index % 500 == 7 {
            Fault::Drop
        } else {
            Fault::None
        }
    };
    let output = run(&fake::start(drop_some), directory.path());
    assert_eq!(output.status.code(), Some(2));
    let summary = String::from_utf8(output.stdout).unwrap();
    assert!(summary.starts_with("FAULTY: 3 lost"), "{summary}");
    let page = fs::read_to_string(directory.path().join("out.html")).unwrap();
    let (fault, tiles) = (page.find("3 lost"), page.find("class=\"tiles\""));
    assert!(fault.is_some() && fault < tiles);
    let json = fs::read_to_string(directory.path().join("out.json")).unwrap();
    assert!(json.contains("\"lost\":3"), "{json}");
}

#[test]
fn a_run_that_broke_off_leaves_its_files() {
    let directory = tempfile::tempdir().unwrap();
    let leave = |index| {
        if index == 700 {
            Fault::Leave
        } else {
            Fault::None
        }
    };
    let output = run(&fake::start(leave), directory.path());
    assert_eq!(output.status.code(), Some(2), "{}", common::errors(&output));
    let summary = String::from_utf8(output.stdout).unwrap();
    assert!(summary.contains("ENDED EARLY"), "{summary}");
    for (_, name) in FILES {
        let length = directory.path().join(name).metadata().unwrap().len();
        assert!(length > 100, "{name}");
    }
}

#[test]
fn a_path_that_cannot_be_written_is_told_before_the_run() {
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new(LOADGEN)
        // Nobody listens there: the path has to be the first complaint.
        .args(["pubsub", "--server", "127.0.0.1:1", "--report"])
        .arg(directory.path().join("missing/out.html"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = common::errors(&output);
    assert!(text.contains("missing/out.html"), "{text}");
}

#[test]
fn what_takes_standard_output_moves_the_summary() {
    let server = fake::start(|_| Fault::None);
    let load = "pubsub --rate 1000 --size 64 --warmup 0 --seconds 0.1 --hgrm - --server";
    let output = Command::new(LOADGEN)
        .args(load.split(' '))
        .arg(&server)
        .output()
        .unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.trim_start().starts_with("Value "), "{text}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("p99"));
}
