//! Official clients: nats.js in Node.js and in a browser, nats.py.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use crate::client::listener;
use crate::common::{DEADLINE, Server};
use crate::server;

fn installed(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("target/clients")
        .join(path)
}

/// Whether it is there; if not, says what is skipped for it.
fn is_there(test: &str, path: &Path) -> bool {
    let found = path.exists();
    if !found {
        let path = path.display();
        println!("skipped: {test}: {path} is missing, run .ci/clients-setup");
    }
    found
}

fn url(server: &Server) -> String {
    format!("ws://{}", listener(server))
}

/// Killed when dropped.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run(command: &mut Command) {
    let output = command.output().expect("the client program runs");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn javascript_in_node() {
    let program = installed("javascript/websocket.js");
    if !is_there("wsconnect", &program) {
        return;
    }
    for compression in [false, true] {
        let server = server(&format!("compression: {compression}"), "");
        run(Command::new("node").arg(&program).arg(url(&server)));
    }
}

#[test]
fn python_nats_py() {
    let python = installed("venv/bin/python");
    let has_aiohttp = || {
        let check = Command::new(&python)
            .args(["-c", "import aiohttp"])
            .output();
        check.is_ok_and(|output| output.status.success())
    };
    if !is_there("nats.py", &python) {
        return;
    }
    if !has_aiohttp() {
        println!("skipped: nats.py: no aiohttp for it, run .ci/clients-setup");
        return;
    }
    let server = server("", "");
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/websocket/checks.py");
    run(Command::new(&python).arg(program).arg(url(&server)));
}

/// A browser that can run without a screen.
fn browser() -> Option<&'static str> {
    ["chromium", "chromium-browser", "google-chrome"]
        .into_iter()
        .find(|name| {
            let version = Command::new(name).arg("--version").output();
            version.is_ok_and(|output| output.status.success())
        })
}

#[test]
fn javascript_in_a_browser() {
    let bundle = installed("javascript/browser.js");
    if !is_there("nats.js in a browser", &bundle) {
        return;
    }
    let Some(browser) = browser() else {
        println!("skipped: nats.js in a browser: no chromium");
        return;
    };
    for compression in [false, true] {
        let server = server(&format!("compression: {compression}"), "");
        let (page, reports) = serve_page(&bundle);
        let profile = tempfile::tempdir().unwrap();
        let child = Command::new(browser)
            .args(["--headless", "--no-sandbox", "--disable-gpu"])
            .args(["--no-first-run", "--disable-dev-shm-usage"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(format!("http://{page}/?{}", url(&server)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the browser runs");
        let browser = Program(child);
        // Starting a browser takes its time on a busy machine.
        let report = reports.recv_timeout(2 * DEADLINE).expect("a report");
        drop(browser);
        assert_eq!(report, "ok");
    }
}

const PAGE: &str = r#"<!doctype html><title>checks</title><script type="module">
import nats from "/browser.js";
import { check } from "/checks.js";
const report = (text) => fetch("/report/" + encodeURIComponent(text));
check(nats, location.search.slice(1)).then(() => report("ok"), (e) => report(`${e.stack ?? e}`));
</script>"#;

/// Serves the page and what it loads; gives what it reports.
fn serve_page(bundle: &Path) -> (std::net::SocketAddr, mpsc::Receiver<String>) {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let bundle = std::fs::read(bundle).unwrap();
    let checks = include_str!("checks.js");
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in socket.incoming().map_while(Result::ok) {
            let mut reader = BufReader::new(&stream);
            let mut line = String::new();
            if reader.read_line(&mut line).is_err() {
                continue;
            }
            let path = line.split(' ').nth(1).unwrap_or_default();
            match path.split('?').next().unwrap_or_default() {
                "/" => answer(&stream, "text/html", PAGE.as_bytes()),
                "/browser.js" => answer(&stream, "text/javascript", &bundle),
                "/checks.js" => answer(&stream, "text/javascript", checks.as_bytes()),
                other => {
                    answer(&stream, "text/plain", b"");
                    let report = other.strip_prefix("/report/").map(str::to_owned);
                    if report.is_some_and(|report| sender.send(report).is_err()) {
                        return;
                    }
                }
            }
        }
    });
    (address, receiver)
}

fn answer(mut stream: &TcpStream, content_type: &str, body: &[u8]) {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(head.as_bytes());
    let _ = stream.write_all(body);
    // What of the request is unread would make the kernel reset the connection.
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let _ = stream.set_read_timeout(Some(DEADLINE));
    let _ = std::io::copy(&mut stream.take(64 * 1024), &mut std::io::sink());
}
