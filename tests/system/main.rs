//! The system account over sockets: requests, events, actions.

#[path = "../common/mod.rs"]
mod common;

mod actions;
mod events;
mod requests;

use common::{Client, Msg, Server};
use serde_json::Value;

/// A system account and two others.
const CONFIG: &str = r#"
server_name: srv
server_tags: ["az:1", "x"]
accounts {
  SYS { users: [{user: sys, password: s}] }
  A { users: [{user: a, password: a}] }
  B { users: [{user: b, password: b}] }
}
system_account: SYS
"#;

fn start(cores: usize) -> Server {
    Server::builder().config(CONFIG).cores(cores).start()
}

/// A connection of `user`, whose password is its first letter.
fn login(server: &Server, user: &str, fields: &str) -> Client {
    let comma = if fields.is_empty() { "" } else { "," };
    let password = &user[..1];
    Client::ready_with(
        server.addr(),
        &format!(r#""user":"{user}","pass":"{password}"{comma}{fields}"#),
    )
}

fn id(client: &Client) -> String {
    client.info["server_id"].as_str().expect("an id").to_owned()
}

/// Asks and gives the answer.
fn request(client: &mut Client, subject: &str, payload: &str) -> Msg {
    client.send(format!(
        "SUB answer 77\r\nUNSUB 77 1\r\nPUB {subject} answer {}\r\n{payload}\r\n",
        payload.len()
    ));
    let answer = client.msg();
    assert_eq!(answer.subject, "answer");
    answer
}

fn ask(client: &mut Client, subject: &str, payload: &str) -> Value {
    let answer = request(client, subject, payload);
    serde_json::from_slice(&answer.payload).unwrap_or_else(|e| panic!("{subject}: {e}: {answer:?}"))
}

/// Nobody is there to answer.
fn assert_unknown(client: &mut Client, subject: &str) {
    let answer = request(client, subject, "");
    let headers = answer.headers.expect("a status");
    assert!(headers.starts_with(b"NATS/1.0 503"), "{subject}");
}

/// The next message, which is JSON.
fn next(client: &mut Client) -> (String, Value) {
    let msg = client.msg();
    let body = serde_json::from_slice(&msg.payload).expect("JSON");
    (msg.subject, body)
}
