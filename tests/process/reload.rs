//! SIGHUP: what can change at run time does, what cannot says so, and clients stay.

use crate::common::{Client, Server, eventually};

fn reload(server: &Server, config: &str) {
    server.rewrite_config(config);
    server.signal("HUP");
}

#[test]
fn hup_applies_new_limits_to_new_and_old_connections() {
    let server = Server::with_config("max_payload: 100\n");
    let mut client = Client::ready(server.addr());
    reload(&server, "max_payload: 200\n");
    server.wait_log("Reloaded: max_payload = 200");
    server.wait_log("Reloaded server configuration");
    assert_eq!(Client::connect(server.addr()).info["max_payload"], 200);
    client.send("SUB a 1\r\n");
    client.publish("a", [b'x'; 150]);
    assert_eq!(client.msg().payload.len(), 150);
}

#[test]
fn hup_with_a_broken_file_changes_nothing() {
    let server = Server::with_config("max_payload: 100\n");
    let mut client = Client::ready(server.addr());
    reload(&server, "max_payload: 200\nfoo: 1\n");
    let line = server.wait_log("Failed to reload server configuration");
    assert!(
        line.contains("[ERR]") && line.contains("unknown field \"foo\""),
        "{line}"
    );
    assert_eq!(Client::connect(server.addr()).info["max_payload"], 100);
    client.flush();
}

#[test]
fn hup_without_a_file_says_so() {
    let server = Server::start();
    server.signal("HUP");
    server.wait_log("can only reload config when a file is provided using -c or --config");
    Client::ready(server.addr());
}

#[test]
fn hup_keeps_connections_and_their_subscriptions() {
    let server = Server::with_config("max_payload: 100\n");
    let mut subscriber = Client::ready(server.addr());
    subscriber.send("SUB a 1\r\n");
    subscriber.flush();
    reload(&server, "max_payload: 200\n");
    server.wait_log("Reloaded server configuration");
    let mut publisher = Client::ready(server.addr());
    publisher.publish("a", "x");
    assert_eq!(subscriber.msg().text(), "x");
}

#[test]
fn hup_closes_the_connections_of_removed_users() {
    let users = |names: &[&str]| {
        let users: Vec<String> = names
            .iter()
            .map(|name| format!("{{user: {name}, password: p}}"))
            .collect();
        format!("authorization {{ users = [ {} ] }}\n", users.join(", "))
    };
    let server = Server::with_config(&users(&["a", "b"]));
    let mut a = Client::ready_with(server.addr(), r#""user":"a","pass":"p""#);
    let mut b = Client::ready_with(server.addr(), r#""user":"b","pass":"p""#);
    reload(&server, &users(&["a", "c"]));
    server.wait_log("Reloaded server configuration");
    let text = String::from_utf8_lossy(&b.rest()).into_owned();
    assert!(
        text.is_empty() || text == "-ERR 'Authorization Violation'\r\n",
        "{text}"
    );
    a.flush();
    Client::ready_with(server.addr(), r#""user":"c","pass":"p""#);
}

#[test]
fn hup_applies_new_permissions() {
    let config = |subject: &str| {
        format!(
            "authorization {{ users = [ {{user: a, password: p, \
             permissions: {{ publish: \"{subject}\" }} }} ] }}\n"
        )
    };
    let server = Server::with_config(&config("old"));
    reload(&server, &config("new"));
    server.wait_log("Reloaded server configuration");
    let mut client = Client::ready_with(server.addr(), r#""user":"a","pass":"p""#);
    client.publish("new", "");
    client.flush();
    client.publish("old", "");
    client.expect_err("Permissions Violation for Publish to \"old\"");
}

#[test]
fn hup_leaves_what_the_command_line_says() {
    let server = Server::builder()
        .config("host: 127.0.0.1\nmax_payload: 100\n")
        .start();
    reload(&server, "host: 127.0.0.2\nmax_payload: 100\n");
    // The command line says the host here, and it wins: nothing changes.
    eventually("an answer to the signal", || {
        server
            .log_lines()
            .iter()
            .any(|line| line.contains("eload") && line.contains("server configuration"))
            .then_some(())
    });
    Client::ready(server.addr());
}
