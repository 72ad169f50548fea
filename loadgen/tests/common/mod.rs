//! Running loadgen and reading its result.
#![allow(dead_code)]

use std::path::PathBuf;
use std::process::{Command, Output};

pub const LOADGEN: &str = env!("CARGO_BIN_EXE_loadgen");

/// Runs loadgen against `server` with its result as JSON on standard output.
pub fn loadgen(server: &str, arguments: &[&str]) -> Output {
    Command::new(LOADGEN)
        .args(arguments)
        .args(["--server", server, "--json", "-", "--quiet"])
        .output()
        .unwrap()
}

/// The results, one a load.
pub fn results(output: &Output) -> Vec<serde_json::Value> {
    let results: Vec<serde_json::Value> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(!results.is_empty(), "{}", errors(output));
    results
}

pub fn result(output: &Output) -> serde_json::Value {
    results(output).swap_remove(0)
}

pub fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The faults of a result as one text.
pub fn faults(result: &serde_json::Value) -> String {
    result["faults"].to_string()
}

/// A real nats-server: `$NATS_SERVER`, on PATH, or where `.ci/clients-setup`
/// puts one.
pub fn nats_server() -> Option<PathBuf> {
    let named = std::env::var_os("NATS_SERVER").map(PathBuf::from);
    let installed =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/clients/venv/bin/nats-server");
    let on_path = std::env::var_os("PATH").and_then(|path| {
        std::env::split_paths(&path)
            .map(|directory| directory.join("nats-server"))
            .find(|file| file.is_file())
    });
    let found = [named, on_path, Some(installed)];
    found.into_iter().flatten().find(|path| path.is_file())
}

/// Whether all was measured and every message arrived as it should. A busy
/// machine may take the load generator's time away, which is no fault here.
pub fn is_sound(result: &serde_json::Value) -> bool {
    let faults = result["faults"].as_array().unwrap();
    let late = |fault: &serde_json::Value| fault.to_string().contains("behind its own schedule");
    result["complete"] == true
        && ["lost", "duplicated", "reordered", "damaged"]
            .iter()
            .all(|kind| result["counts"][*kind] == 0)
        && faults.iter().all(late)
}
