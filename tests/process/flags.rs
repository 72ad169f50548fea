//! Command line and configuration errors, and what is printed and exited with.

use std::io::Write;
use std::net::TcpListener;
use std::process::{Command, Output};

use crate::common::{Client, Server, is_ringwire, server_binary};

/// Runs the program to its end with these arguments.
fn run(args: &[&str]) -> Output {
    Command::new(server_binary())
        .args(args)
        .output()
        .expect("the server under test runs")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn config_file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

#[test]
fn version_is_printed_as_harnesses_look_for_it() {
    for flag in ["--version", "-v", "-version"] {
        let output = run(&[flag]);
        assert!(output.status.success(), "{flag}");
        let text = String::from_utf8(output.stdout).unwrap();
        let version = text.split(" v").nth(1).expect("a version after ` v`");
        let parts = version.trim().split('.').take(3);
        assert_eq!(
            parts
                .filter(|p| p.starts_with(|c: char| c.is_ascii_digit()))
                .count(),
            3,
            "{text}"
        );
    }
}

#[test]
fn help_names_the_flags() {
    let output = run(&["--help"]);
    assert!(output.status.success());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for flag in ["--port", "--config", "--signal", "--ports_file_dir"] {
        assert!(text.contains(flag), "{flag}");
    }
}

#[test]
fn t_tests_a_configuration_and_exits() {
    let good = config_file("port: 4222\nmax_payload: 1MB\n");
    let path = good.path().to_str().unwrap();
    let output = run(&["-t", "-c", path]);
    assert!(output.status.success());
    assert!(
        stderr(&output).contains(&format!("configuration file {path} is valid (sha256:")),
        "{}",
        stderr(&output)
    );
}

#[test]
fn an_unknown_field_is_an_error_with_its_place() {
    let bad = config_file("port: 4222\nfoo: bar\n");
    let path = bad.path().to_str().unwrap();
    for args in [&["-t", "-c", path][..], &["-c", path]] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(1));
        let expected = format!("{path}:2:1: unknown field \"foo\"");
        assert!(stderr(&output).contains(&expected), "{}", stderr(&output));
    }
}

#[test]
fn a_missing_configuration_file_is_an_error() {
    let output = run(&["-c", "/nonexistent/server.conf"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("/nonexistent/server.conf: no such file or directory"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn an_unknown_flag_is_named() {
    let output = run(&["--nosuch"]);
    assert!(
        stderr(&output).contains("flag provided but not defined: -nosuch"),
        "{}",
        stderr(&output)
    );
    if is_ringwire() {
        assert!(!output.status.success(), "nats-server exits with 0 here");
    }
}

#[test]
fn a_word_that_is_no_flag_is_an_error() {
    let output = run(&["extra"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("unrecognized command: \"extra\""),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_taken_port_is_a_fatal_error() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut server = Server::builder().port(port).spawn();
    let (status, log) = server.wait_output();
    assert_eq!(status.code(), Some(1));
    let line = format!(
        "[FTL] Error listening on port: 127.0.0.1:{port}, \
         \"listen tcp 127.0.0.1:{port}: bind: address already in use\""
    );
    assert!(log.contains(&line), "{log}");
}

#[test]
fn flags_take_one_or_two_dashes_and_values_after_a_blank_or_an_equals_sign() {
    for args in [
        &["-server_name", "n"][..],
        &["--server_name", "n"],
        &["-server_name=n"],
        &["--server_name=n"],
        &["-n", "n"],
        &["--name=n"],
    ] {
        let server = Server::builder().args(args.iter().copied()).start();
        let info = Client::connect(server.addr()).info;
        assert_eq!(info["server_name"], "n", "{args:?}");
    }
}

#[test]
fn flags_override_the_file() {
    let server = Server::builder()
        .config("server_name: file\nlisten: \"0.0.0.0:1\"\nmax_payload: 77\n")
        .args(["--name", "flag"])
        .start();
    let info = Client::connect(server.addr()).info;
    assert_eq!(info["server_name"], "flag");
    assert_eq!(info["host"], "127.0.0.1");
    assert_eq!(info["max_payload"], 77);
}

/// What later versions bring must not be accepted and ignored today.
#[test]
fn features_that_are_not_built_are_refused_by_name() {
    if !is_ringwire() {
        println!("skipped: nats-server has them");
        return;
    }
    for (feature, config) in [
        ("cluster", "cluster { port: -1 }\n"),
        ("leafnodes", "leafnodes { port: -1 }\n"),
        ("gateway", "gateway { name: a, port: -1 }\n"),
        ("mqtt", "mqtt { port: -1 }\n"),
        ("tls", "tls { cert_file: \"a\", key_file: \"b\" }\n"),
        ("proxies", "proxies { trusted: [{key: a}] }\n"),
        (
            "auth_callout",
            "authorization { auth_callout { issuer: a } }\n",
        ),
    ] {
        let file = config_file(config);
        let path = file.path().to_str().unwrap();
        let output = run(&["-p", "-1", "-a", "127.0.0.1", "-c", path]);
        assert_eq!(output.status.code(), Some(1), "{feature}");
        let text = stderr(&output).to_lowercase();
        assert!(text.contains(feature), "{feature}: {text}");
    }
}
