//! Users with claims that an account signed, for which an operator vouches.

use nkeys::KeyPair;
use serde_json::{Value, json};

use crate::common::{Client, Server};
use crate::tree::{Tree, now, token};

const VIOLATION: &str = "Authorization Violation";

fn connected(server: &Server, tree: &Tree, token: &str) -> Client {
    let mut client = Client::connect(server.addr());
    let fields = tree.login(&client, token);
    client.login(&fields);
    client
}

#[track_caller]
fn accepted(server: &Server, tree: &Tree, token: &str) -> Client {
    let mut client = connected(server, tree, token);
    client.flush();
    client
}

#[track_caller]
fn refused(server: &Server, tree: &Tree, token: &str, line: &str) {
    connected(server, tree, token).expect_err_and_close(VIOLATION);
    server.wait_log(line);
}

fn start(config: &str) -> Server {
    let builder = Server::builder().config(config).monitor();
    builder.args(["-D"]).start()
}

#[test]
fn claims_let_in_on_any_number_of_cores() {
    for cores in [1, 2] {
        let tree = Tree::new();
        let builder = Server::builder().config(&tree.config(&json!({})));
        let server = builder.cores(cores).monitor().start();
        let token = tree.user_token(&json!({"tags": ["x:1"]}), &json!({"name": "joe"}));
        let mut first = accepted(&server, &tree, &token);
        let mut second = accepted(&server, &tree, &token);
        first.send("SUB foo 1\r\n");
        first.flush();
        second.publish("foo", "hello");
        assert_eq!(first.msg().payload, b"hello");
        let connz = server.get_json("/connz?auth=1");
        let conn = &connz["connections"][0];
        assert_eq!(conn["authorized_user"], tree.user.public_key().as_str());
        assert_eq!(conn["account"], tree.account.public_key().as_str());
        assert_eq!(conn["issuer_key"], tree.account.public_key().as_str());
        assert_eq!(conn["name_tag"], "account");
        assert_eq!(conn["jwt"], token.as_str());
        assert_eq!(conn["tags"], json!(["x:1"]));
    }
}

#[test]
fn what_is_wrong_is_only_logged() {
    let tree = Tree::new();
    let server = start(&tree.config(&json!({})));
    let none = json!({});
    let good = tree.user_token(&none, &none);
    accepted(&server, &tree, &good);
    let mut silent = Client::connect(server.addr());
    silent.login("");
    silent.expect_err_and_close(VIOLATION);
    server.wait_log("Authentication requires a user JWT");
    for token in ["a", "a.b.c", &good[..good.len() - 9]] {
        refused(&server, &tree, token, "Authentication requires a user JWT");
    }
    let mut unsigned = Client::connect(server.addr());
    unsigned.login(&format!(r#""jwt":"{good}""#));
    unsigned.expect_err_and_close(VIOLATION);
    server.wait_log("Signature missing");
    for (nats, top, line) in [
        (
            none.clone(),
            json!({"exp": now() - 5}),
            "[claim is expired]",
        ),
        (
            none.clone(),
            json!({"nbf": now() + 50}),
            "[claim is not yet valid]",
        ),
        (
            json!({"src": ["10.0.0.0/8"]}),
            none.clone(),
            "Bad src Ip 127.0.0.1",
        ),
        (
            json!({"allowed_connection_types": ["MQTT"]}),
            none.clone(),
            "Connection type not allowed",
        ),
    ] {
        refused(&server, &tree, &tree.user_token(&nats, &top), line);
    }
    let stranger = KeyPair::new_account();
    let by_stranger = token("user", &tree.user.public_key(), &stranger, &none, &none);
    refused(
        &server,
        &tree,
        &by_stranger,
        "Account JWT lookup error: account missing",
    );
    let bearer = tree.user_token(&json!({"bearer_token": true}), &none);
    let mut client = Client::ready_with(server.addr(), &format!(r#""jwt":"{bearer}""#));
    client.flush();
    let connz = server.get_json("/connz?auth=1");
    let cid = client.info["client_id"].clone();
    let list = connz["connections"].as_array().expect("a list");
    let conn = list.iter().find(|conn| conn["cid"] == cid).expect("it");
    assert_eq!(conn["jwt"], Value::Null);
    assert!(!server.log_lines().iter().any(|line| line.contains(&good)));
}

#[test]
fn claims_end_while_connected() {
    let tree = Tree::new();
    let short = KeyPair::new_account();
    let none = json!({});
    // Claims are good for their last second.
    let until = json!({"exp": now() + 2});
    let accounts = [
        (
            &tree.account,
            tree.account_token(&tree.account, &none, &none),
        ),
        (&short, tree.account_token(&short, &none, &until)),
    ];
    let server = start(&tree.config_of(&accounts, ""));
    let mut of_user = accepted(
        &server,
        &tree,
        &tree.user_token(&none, &json!({"exp": now() + 2})),
    );
    let limits = json!({"subs": -1, "data": -1, "payload": -1});
    let by_short = token("user", &tree.user.public_key(), &short, &limits, &none);
    let mut of_account = accepted(&server, &tree, &by_short);
    of_user.expect_err_and_close("User Authentication Expired");
    of_account.expect_err_and_close("Account Authentication Expired");
}

#[test]
fn limits_and_permissions_are_those_of_the_claims() {
    let tree = Tree::new();
    let server = start(&tree.config(&json!({})));
    let nats = json!({"subs": 1, "payload": 5, "pub": {"deny": ["no"]}});
    let mut client = accepted(&server, &tree, &tree.user_token(&nats, &json!({})));
    client.send("PUB no 0\r\n\r\n");
    client.expect_err("Permissions Violation for Publish to \"no\"");
    client.send("SUB a 1\r\nSUB b 2\r\n");
    client.expect_err("maximum subscriptions exceeded");
    client.send("PUB x 6\r\n123456\r\n");
    client.expect_err_and_close("Maximum Payload Violation");
}

#[test]
fn revocation_takes_a_connection_away() {
    let tree = Tree::new();
    let server = start(&tree.config(&json!({})));
    let token = tree.user_token(&json!({}), &json!({}));
    let mut client = accepted(&server, &tree, &token);
    server.rewrite_config(&tree.config(&json!({
        "revocations": {tree.user.public_key(): now() + 100}
    })));
    server.signal("HUP");
    client.expect_err_and_close("User Authentication Revoked");
    refused(&server, &tree, &token, "User authentication revoked");
}

#[test]
fn a_sentinel_stands_for_clients_without_claims() {
    let tree = Tree::new();
    let none = json!({});
    let sentinel = tree.user_token(&json!({"bearer_token": true}), &none);
    let account = tree.account_token(&tree.account, &none, &none);
    let config = tree.config_of(
        &[(&tree.account, account)],
        &format!("default_sentinel: {sentinel}"),
    );
    let server = start(&config);
    let mut client = Client::ready_with(server.addr(), r#""user":"u","pass":"x""#);
    client.flush();
    let connz = server.get_json("/connz?auth=1");
    let user = &connz["connections"][0]["authorized_user"];
    assert_eq!(user, tree.user.public_key().as_str());
}

#[test]
fn operators_exclude_users_of_the_configuration() {
    let tree = Tree::new();
    for (more, text) in [
        (
            "authorization { users: [{user: a, password: b}] }",
            "operators do not allow users to be configured directly",
        ),
        (
            "accounts { A {} }",
            "operators do not allow Accounts to be configured directly",
        ),
        (
            "no_auth_user: x",
            "no_auth_user not compatible with Trusted Operator",
        ),
    ] {
        let config = tree.config_of(&[], more);
        let mut server = Server::builder().config(&config).spawn();
        let (status, output) = server.wait_output();
        assert!(!status.success());
        assert!(output.contains(text), "{output}");
    }
}

#[test]
fn accounts_come_from_an_http_server_when_they_are_needed() {
    use std::io::{Read as _, Write as _};

    let tree = Tree::new();
    let none = json!({});
    let accounts: std::collections::HashMap<String, String> = [&tree.system, &tree.account]
        .map(|account| {
            (
                account.public_key(),
                tree.account_token(account, &none, &none),
            )
        })
        .into();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = Vec::new();
            let mut buffer = [0; 1024];
            while !request.ends_with(b"\r\n\r\n") {
                match stream.read(&mut buffer) {
                    Ok(0) | Err(_) => break,
                    Ok(read) => request.extend_from_slice(&buffer[..read]),
                }
            }
            let request = String::from_utf8_lossy(&request).into_owned();
            let path = request.split(' ').nth(1).unwrap_or_default();
            let name = path.trim_start_matches("/jwt/");
            let answer = match accounts.get(name) {
                Some(token) => format!("HTTP/1.0 200 OK\r\n\r\n{token}"),
                None if name.is_empty() => "HTTP/1.0 200 OK\r\n\r\n".to_owned(),
                None => "HTTP/1.0 404 Not Found\r\n\r\n".to_owned(),
            };
            // A server that is gone needs no answer.
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    let operator = token(
        "operator",
        &tree.operator.public_key(),
        &tree.operator,
        &none,
        &none,
    );
    let config = format!(
        "operator: {operator}\nsystem_account: {}\nresolver: URL(http://{address}/jwt/)\n",
        tree.system.public_key()
    );
    let server = Server::builder()
        .config(&config)
        .cores(2)
        .args(["-D"])
        .start();
    let user = tree.user_token(&none, &none);
    let mut first = accepted(&server, &tree, &user);
    let mut second = accepted(&server, &tree, &user);
    first.send("SUB foo 1\r\n");
    first.flush();
    second.publish("foo", "hello");
    assert_eq!(first.msg().payload, b"hello");
    let stranger = KeyPair::new_account();
    let by_stranger = token("user", &tree.user.public_key(), &stranger, &none, &none);
    refused(&server, &tree, &by_stranger, "Account fetch failed");
    // Nobody else was disturbed.
    second.publish("foo", "again");
    assert_eq!(first.msg().payload, b"again");
}
