//! Files that the server writes: log, PID, ports.

use std::path::{Path, PathBuf};

use crate::common::{Client, Server, ServerBuilder, eventually, server_binary};

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// A server whose log goes to a file; ready when the file says so.
fn with_log_file(builder: ServerBuilder) -> (Server, PathBuf) {
    let server = builder.args(["-l", "server.log"]).spawn();
    let log = server.dir().join("server.log");
    eventually("ready in the log file", || {
        read(&log).contains("Server is ready").then_some(())
    });
    (server, log)
}

/// The address after the words that harnesses look for.
fn address_in(log: &str) -> std::net::SocketAddr {
    let (_, rest) = log
        .split_once("client connections on ")
        .expect("the line about client connections");
    rest.lines().next().unwrap().trim().parse().unwrap()
}

#[test]
fn log_lines_have_pid_time_and_level() {
    let server = Server::start();
    let line = server.wait_log("Server is ready");
    let pid = format!("[{}] ", server.pid());
    let rest = line
        .strip_prefix(&pid)
        .expect("the line starts with the pid");
    let (time, text) = rest.split_at("2026/11/22 22:37:06.214979".len());
    let shape: String = time
        .chars()
        .map(|c| if c.is_ascii_digit() { '9' } else { c })
        .collect();
    assert_eq!(shape, "9999/99/99 99:99:99.999999");
    assert_eq!(text, " [INF] Server is ready");
}

#[test]
fn the_log_file_has_the_address_at_its_first_match() {
    let (_server, log) = with_log_file(Server::builder());
    let text = read(&log);
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| line.contains("client connections on"))
        .collect();
    assert_eq!(lines.len(), 1, "{text}");
    Client::ready(address_in(&text));
}

#[test]
fn listening_is_said_before_ready() {
    let server = Server::start();
    let lines = server.log_lines();
    let position = |text: &str| lines.iter().position(|line| line.contains(text)).unwrap();
    assert!(position("Listening for client connections on 127.0.0.1:") < position("is ready"));
}

#[test]
fn the_pid_file_holds_the_digits_only() {
    let server = Server::builder().args(["-P", "server.pid"]).start();
    let pid = read(&server.dir().join("server.pid"));
    assert_eq!(pid, server.pid().to_string());
}

#[test]
fn the_ports_file_lists_the_urls_and_goes_with_the_server() {
    let mut server = Server::builder()
        .args(["--ports_file_dir", "."])
        .monitor()
        .start();
    let binary = server_binary();
    let name = binary.file_name().unwrap().to_str().unwrap();
    let path = server.dir().join(format!("{name}_{}.ports", server.pid()));
    let ports: serde_json::Value =
        eventually("the ports file", || serde_json::from_str(&read(&path)).ok());
    assert_eq!(ports["nats"][0], format!("nats://{}", server.addr()));
    let monitoring = ports["monitoring"].as_array().unwrap();
    let url = format!("http://{}", server.monitor());
    assert!(monitoring.iter().any(|u| *u == *url), "{ports}");
    server.signal("TERM");
    server.wait_exit();
    assert!(!path.exists());
}

#[test]
fn usr1_opens_the_log_file_anew() {
    let (server, log) = with_log_file(Server::builder());
    let moved = server.dir().join("moved.log");
    std::fs::rename(&log, &moved).unwrap();
    server.signal("USR1");
    eventually("a new log file", || {
        read(&log).contains("File log re-opened").then_some(())
    });
    Client::ready(address_in(&read(&moved)));
}

#[test]
fn the_log_is_rotated_by_size() {
    let (server, log) = with_log_file(Server::builder().args(["-DV", "--log_size_limit", "4096"]));
    let mut client = Client::ready(address_in(&read(&log)));
    let rotated = |dir: &Path| {
        std::fs::read_dir(dir)
            .unwrap()
            .filter(|e| {
                let name = e.as_ref().unwrap().file_name();
                let name = name.to_string_lossy().into_owned();
                name.starts_with("server.log.")
            })
            .count()
    };
    eventually("a rotated log", || {
        client.publish("some.subject", "with a payload that is traced");
        client.flush();
        (rotated(server.dir()) > 0).then_some(())
    });
}
