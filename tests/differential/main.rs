//! Scripts of protocol lines, run against the server under test and against a real
//! `nats-server`: what the clients receive must be the same, byte for byte, after ids and other
//! values that differ by nature are taken out.
//!
//! The scripts are in `scripts/`; `script.rs` describes their language. The real server is
//! looked for as `$NATS_SERVER`, as `nats-server` on PATH, and where `.ci/clients-setup` puts
//! it; without one the test says so and does nothing.

#[path = "../common/mod.rs"]
mod common;

mod normalise;
mod oracle;
mod script;

use std::path::{Path, PathBuf};

use common::server_binary;
use script::Script;

/// All scripts, in the order of their names.
fn scripts() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential/scripts");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(dir)
        .expect("the scripts")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|e| e == "txt"))
        .collect();
    paths.sort();
    paths
}

#[test]
fn transcripts_are_those_of_nats_server() {
    let Some(oracle) = oracle::find() else {
        println!("skipped: no nats-server in $NATS_SERVER, on PATH or in target/clients");
        return;
    };
    let mut different = Vec::new();
    for path in scripts() {
        // Shown when a step waits in vain.
        println!("{}", path.display());
        let script = Script::read(&path);
        let expected = script.run(&oracle);
        let found = script.run(&server_binary());
        if expected != found {
            different.push(format!(
                "{}\n{}",
                path.display(),
                difference(&expected, &found)
            ));
        }
    }
    assert!(
        different.is_empty(),
        "{} scripts differ (- nats-server, + here):\n{}",
        different.len(),
        different.join("\n")
    );
}

#[test]
fn every_script_parses() {
    for path in scripts() {
        Script::read(&path);
    }
}

/// The first lines that differ, after the last one that is equal.
fn difference(expected: &[String], found: &[String]) -> String {
    let equal = expected
        .iter()
        .zip(found)
        .take_while(|(a, b)| a == b)
        .count();
    let shown = |mark: char, lines: &[String]| -> String {
        lines[equal..]
            .iter()
            .take(4)
            .map(|line| format!("  {mark} {line}\n"))
            .collect()
    };
    let before = equal.checked_sub(1).map_or("", |i| &expected[i]);
    format!(
        "    {before}\n{}{}",
        shown('-', expected),
        shown('+', found)
    )
}
