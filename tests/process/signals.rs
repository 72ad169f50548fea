//! Signals, and starting again after them.

use std::process::Command;

use crate::common::{Client, Frame, Server, server_binary};

#[test]
fn term_and_int_end_the_server_with_status_0() {
    for signal in ["TERM", "INT"] {
        let mut server = Server::start();
        let mut client = Client::ready(server.addr());
        server.signal(signal);
        client.expect_closed();
        assert_eq!(server.wait_exit().code(), Some(0), "SIG{signal}");
    }
}

#[test]
fn a_shutdown_loses_no_message_already_accepted() {
    const MESSAGES: usize = 8000;
    let mut server = Server::builder().cores(2).start();
    // On both cores; the burst fills the ring between them.
    let mut subscribers: Vec<Client> = (0..4).map(|_| Client::ready(server.addr())).collect();
    for subscriber in &mut subscribers {
        subscriber.send("SUB a 1\r\n");
        subscriber.flush();
    }
    let burst: String = (0..MESSAGES)
        .map(|i| format!("PUB a 100\r\n{i:0100}\r\n"))
        .collect();
    let mut publisher = Client::ready(server.addr());
    publisher.send(burst);
    publisher.flush();
    server.signal("TERM");
    for subscriber in &mut subscribers {
        for i in 0..MESSAGES {
            assert_eq!(subscriber.msg().text(), format!("{i:0100}"));
        }
        subscriber.expect_closed();
    }
    assert_eq!(server.wait_exit().code(), Some(0));
}

/// Stops a server by these means and starts another on its port at once.
fn starts_again_after(stop: impl Fn(&mut Server)) {
    let mut server = Server::start();
    let port = server.addr().port();
    for _ in 0..5 {
        let mut clients: Vec<Client> = (0..5).map(|_| Client::ready(server.addr())).collect();
        stop(&mut server);
        server = Server::builder().port(port).start();
        assert_eq!(server.addr().port(), port);
        Client::ready(server.addr());
        clients.clear();
    }
}

#[test]
fn a_server_starts_at_once_on_the_port_of_a_killed_one() {
    starts_again_after(Server::kill);
}

#[test]
fn a_server_starts_at_once_on_the_port_of_a_stopped_one() {
    starts_again_after(|server| {
        server.signal("TERM");
        server.wait_exit();
    });
}

#[test]
fn usr2_enters_lame_duck_mode() {
    let mut server =
        Server::with_config("lame_duck_duration: \"30s\"\nlame_duck_grace_period: \"100ms\"\n");
    let mut client = Client::connect(server.addr());
    client.login(r#""protocol":1"#);
    client.send("PING\r\n");
    assert_eq!(client.frame(), Frame::Pong);
    assert!(matches!(client.frame(), Frame::Info(_)));
    server.signal("USR2");
    // A second one does no harm.
    server.signal("USR2");
    let Frame::Info(info) = client.frame() else {
        panic!("no INFO on lame duck");
    };
    assert_eq!(info["ldm"], true);
    client.expect_closed();
    assert_eq!(server.wait_exit().code(), Some(0));
    server.wait_log("Entering lame duck mode, stop accepting new clients");
}

/// `--signal` of a second process, to this server.
fn send(server: &Server, signal: &str) -> std::process::Output {
    Command::new(server_binary())
        .args(["--signal", &format!("{signal}={}", server.pid())])
        .output()
        .expect("the server under test runs")
}

#[test]
fn the_signal_flag_reaches_another_process() {
    let mut server = Server::with_config("max_payload: 100\n");
    server.rewrite_config("max_payload: 200\n");
    assert!(send(&server, "reload").status.success());
    server.wait_log("Reloaded server configuration");
    assert!(send(&server, "stop").status.success());
    server.wait_exit();
}

#[test]
fn the_signal_flag_takes_a_pid_file() {
    let mut server = Server::builder().args(["-P", "server.pid"]).start();
    let path = server.dir().join("server.pid");
    let output = Command::new(server_binary())
        .args(["-sl", &format!("ldm={}", path.display())])
        .output()
        .expect("the server under test runs");
    assert!(output.status.success());
    assert_eq!(server.wait_exit().code(), Some(0));
}

#[test]
fn the_signal_flag_refuses_unknown_signals_and_processes() {
    let server = Server::start();
    let output = send(&server, "bogus");
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("unknown signal \"bogus\""), "{text}");
    // Beyond the largest process id of Linux.
    let output = Command::new(server_binary())
        .args(["--signal", "stop=4194305"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("no such process"), "{text}");
}
