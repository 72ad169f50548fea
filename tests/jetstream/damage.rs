//! Damage on disk is told, and what is whole stays readable.

use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::Node;
use super::common::is_ringwire;

/// The files below a directory.
fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// Flips a bit of the first place where `text` stands in a file below `dir`.
fn flip(dir: &Path, text: &[u8]) {
    let mut paths = Vec::new();
    files(dir, &mut paths);
    for path in paths {
        let mut bytes = Vec::new();
        let mut file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .expect("a file of the store");
        file.read_to_end(&mut bytes).expect("its bytes");
        if let Some(at) = bytes.windows(text.len()).position(|w| w == text) {
            file.seek(SeekFrom::Start(at as u64)).unwrap();
            file.write_all(&[bytes[at] ^ 1]).unwrap();
            file.sync_all().unwrap();
            return;
        }
    }
    panic!("{:?} is in no file", String::from_utf8_lossy(text));
}

#[test]
fn a_flipped_bit_is_reported_and_costs_one_message() {
    if !is_ringwire() {
        println!("skipped: nats-server has its own ways");
        return;
    }
    let mut node = Node::start(2);
    let mut js = node.js();
    js.add_stream("S", &["s"], json!({}));
    for n in 0..100 {
        js.publish("s", format!("payload-number-{n:03}"));
    }
    node.server.kill();
    flip(node.store.path(), b"payload-number-041");
    node.restart(2);
    let mut js = node.js();
    let state = js.state("S");
    assert_eq!(state["last_seq"], 100, "nothing is cut off: {state}");
    assert_eq!(js.stored("S", 41), Ok(b"payload-number-040".to_vec()));
    assert!(
        js.stored("S", 42).is_err(),
        "the damaged message is not served"
    );
    assert_eq!(js.stored("S", 43), Ok(b"payload-number-042".to_vec()));
    assert_eq!(js.publish("s", "more")["seq"], 101);
    // Once it was met, health tells of it by name.
    let health = super::common::get(node.server.monitor(), "/healthz");
    let body = health.body.clone();
    assert_eq!(health.status, 503, "{body}");
    assert!(
        body.contains("\\\"S\\\"") || body.contains("'S'") || body.contains(" S"),
        "{body}"
    );
}
