//! Official clients of several languages against the server, each running the same list of
//! checks (publish, wildcards, request, queue, headers, no responders, drain, reconnect).
//!
//! `.ci/clients-setup` installs the clients into `target/clients`; a client that is not there is
//! skipped, and the test says so. A client program gets the server's URL as its argument, prints
//! `ok NAME` after each check, and `restart` when it wants the server killed and started again
//! on its port; it goes on when it reads a line. Exit status 0 means that all checks passed.

#[path = "../common/mod.rs"]
mod common;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use common::{DEADLINE, Server};

/// What every client must report, in this order.
const CHECKS: [&str; 8] = [
    "publish",
    "wildcards",
    "request",
    "queue",
    "headers",
    "no responders",
    "drain",
    "reconnect",
];

fn installed(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("target/clients")
        .join(path)
}

fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/clients")
        .join(path)
}

/// Killed when dropped, so that a failing test leaves no process.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a client program through all checks, on two cores.
fn check(client: &str, program: &Path, arguments: &[PathBuf]) {
    if !program.exists() {
        println!(
            "skipped: {client}: {} is missing, run .ci/clients-setup",
            program.display()
        );
        return;
    }
    let mut server = Server::builder().cores(2).start();
    let port = server.addr().port();
    let child = Command::new(program)
        .args(arguments)
        .arg(format!("nats://{}", server.addr()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the client program runs");
    let mut program = Program(child);
    let mut stdin = program.0.stdin.take().unwrap();
    let stdout = BufReader::new(program.0.stdout.take().unwrap());
    let (lines, received) = mpsc::channel();
    std::thread::spawn(move || {
        for line in stdout.lines().map_while(Result::ok) {
            if lines.send(line).is_err() {
                break;
            }
        }
    });
    let mut passed = Vec::new();
    loop {
        match received.recv_timeout(DEADLINE) {
            Ok(line) if line == "restart" => {
                server.kill();
                server = Server::builder().cores(2).port(port).start();
                stdin.write_all(b"\n").unwrap();
            }
            Ok(line) => match line.strip_prefix("ok ") {
                Some(name) => passed.push(name.to_owned()),
                None => println!("{client}: {line}"),
            },
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                panic!("{client} does not go on after {passed:?}")
            }
        }
    }
    let status = program.0.wait().unwrap();
    assert_eq!(passed, CHECKS, "{client}");
    assert!(status.success(), "{client}: {status}");
}

#[test]
fn python_nats_py() {
    check(
        "nats-py",
        &installed("venv/bin/python"),
        &[source("python/checks.py")],
    );
}

#[test]
fn javascript_transport_node() {
    check("@nats-io/transport-node", &installed("javascript/run"), &[]);
}

#[test]
fn go_nats_go() {
    check("nats.go", &installed("go/checks"), &[]);
}

#[test]
fn rust_async_nats() {
    check("async-nats", &installed("rust/debug/checks"), &[]);
}

#[test]
fn c_libnats() {
    check("libnats", &installed("c/checks"), &[]);
}
