//! Users of the configuration that sign a nonce.

use nkeys::KeyPair;

use crate::common::{Client, Server};
use crate::signer::{proof, signature};

const VIOLATION: &str = "Authorization Violation";

fn connected(server: &Server, fields: impl Fn(&Client) -> String) -> Client {
    let mut client = Client::connect(server.addr());
    let fields = fields(&client);
    client.login(&fields);
    client
}

#[track_caller]
fn accepted(server: &Server, fields: impl Fn(&Client) -> String) -> Client {
    let mut client = connected(server, fields);
    client.flush();
    client
}

#[track_caller]
fn refused(server: &Server, fields: impl Fn(&Client) -> String) {
    connected(server, fields).expect_err_and_close(VIOLATION);
}

fn users(entries: &[String]) -> String {
    format!("authorization {{ users: [ {} ] }}\n", entries.join(", "))
}

#[test]
fn a_nonce_comes_when_users_have_nkeys() {
    let server = Server::start();
    assert!(Client::connect(server.addr()).info.get("nonce").is_none());

    let key = KeyPair::new_user();
    let server = Server::with_config(&users(&[format!("{{nkey: {}}}", key.public_key())]));
    let nonces = [(); 2].map(|()| {
        let client = Client::connect(server.addr());
        client.info["nonce"].as_str().expect("a nonce").to_owned()
    });
    assert_eq!(nonces[0].len(), 15);
    assert_ne!(nonces[0], nonces[1]);
}

#[test]
fn the_signature_of_the_nonce_lets_in() {
    let [known, other, unknown] = [(); 3].map(|()| KeyPair::new_user());
    let nkey = known.public_key();
    let server = Server::builder()
        .config(&users(&[
            format!("{{nkey: {nkey}, permissions: {{publish: a}}}}"),
            format!(
                "{{nkey: {}, connection_types: [WEBSOCKET]}}",
                other.public_key()
            ),
            "{user: bob, password: x}".to_owned(),
        ]))
        .monitor()
        .args(["-D"])
        .start();
    let mut client = accepted(&server, |client| proof(client, &known));
    client.send("PUB b 0\r\n\r\n");
    client.expect_err("Permissions Violation for Publish to \"b\"");
    let connz = server.get_json("/connz?auth=1");
    assert_eq!(connz["connections"][0]["authorized_user"], nkey.as_str());
    assert_eq!(connz["connections"][0]["issuer_key"], "$G");

    refused(&server, |_| format!(r#""nkey":"{nkey}""#));
    server.wait_log("Signature missing");
    refused(&server, |_| format!(r#""nkey":"{nkey}","sig":"!!!""#));
    server.wait_log("Signature not valid base64");
    refused(&server, |client| {
        format!(r#""nkey":"{nkey}","sig":"{}""#, signature(client, &other))
    });
    server.wait_log("Signature not verified");
    let line = server.wait_log("authentication error - Nkey");
    assert!(line.contains(&nkey), "{line}");
    // The nonce of another connection.
    let first = Client::connect(server.addr());
    refused(&server, |_| proof(&first, &known));
    refused(&server, |client| proof(client, &unknown));
    // A kind of connection that this is not.
    refused(&server, |client| proof(client, &other));
    refused(&server, |_| "".to_owned());

    accepted(&server, |_| r#""user":"bob","pass":"x""#.to_owned());
    // An nkey counts more than name and password.
    refused(&server, |_| {
        format!(
            r#""user":"bob","pass":"x","nkey":"{}""#,
            unknown.public_key()
        )
    });
}

#[test]
fn an_nkey_can_stand_for_clients_that_say_nothing() {
    let key = KeyPair::new_user();
    let nkey = key.public_key();
    let config = format!(
        "{}no_auth_user: {nkey}\n",
        users(&[format!("{{nkey: {nkey}}}")])
    );
    let server = Server::builder().config(&config).monitor().start();
    let _client = accepted(&server, |_| "".to_owned());
    let connz = server.get_json("/connz?auth=1");
    assert_eq!(connz["connections"][0]["authorized_user"], nkey.as_str());
    refused(&server, |_| r#""user":"x""#.to_owned());
    let mut silent = Client::connect(server.addr());
    silent.send("PING\r\n");
    silent.expect_err_and_close(VIOLATION);
}

#[test]
fn a_reload_keeps_those_that_are_still_listed() {
    let [stays, goes] = [(); 2].map(|()| KeyPair::new_user());
    let entry = |key: &KeyPair| format!("{{nkey: {}}}", key.public_key());
    // On one core, so that both connections hear of the reload in one turn.
    let config = |entries: &[String]| format!("ringwire {{ cores: 1 }}\n{}", users(entries));
    let server = Server::with_config(&config(&[entry(&stays), entry(&goes)]));
    let mut kept = accepted(&server, |client| proof(client, &stays));
    let mut gone = accepted(&server, |client| proof(client, &goes));
    server.rewrite_config(&config(&[format!(
        "{{nkey: {}, permissions: {{publish: c}}}}",
        stays.public_key()
    )]));
    server.signal("HUP");
    server.wait_log("Reloaded: authorization nkey users");
    gone.expect_closed();
    kept.send("PUB a 0\r\n\r\n");
    kept.expect_err("Permissions Violation for Publish to \"a\"");
    refused(&server, |client| proof(client, &goes));
}
