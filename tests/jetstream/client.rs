//! Requests to JetStream, as client libraries make them.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::common::{Client, Msg};

/// A connection with an inbox.
pub struct Js {
    pub client: Client,
    inbox: String,
    requests: u64,
}

impl Js {
    #[track_caller]
    pub fn connect(server: SocketAddr) -> Js {
        let mut client = Client::ready(server);
        let inbox = format!("_INBOX.{}", client.info["client_id"]);
        client.send(format!("SUB {inbox}.> inbox\r\n"));
        client.flush();
        Js {
            client,
            inbox,
            requests: 0,
        }
    }

    /// A new reply subject of this connection.
    pub fn reply(&mut self) -> String {
        self.requests += 1;
        format!("{}.{}", self.inbox, self.requests)
    }

    /// Publishes with a reply subject, and headers if there are any; does not wait.
    #[track_caller]
    pub fn send(&mut self, subject: &str, headers: &[(&str, &str)], payload: &[u8]) -> String {
        let reply = self.reply();
        self.send_to(subject, &reply, headers, payload);
        reply
    }

    #[track_caller]
    pub fn send_to(
        &mut self,
        subject: &str,
        reply: &str,
        headers: &[(&str, &str)],
        payload: &[u8],
    ) {
        let mut bytes = Vec::new();
        if headers.is_empty() {
            bytes.extend(format!("PUB {subject} {reply} {}\r\n", payload.len()).bytes());
        } else {
            let mut block = String::from("NATS/1.0\r\n");
            for (name, value) in headers {
                block += &format!("{name}: {value}\r\n");
            }
            block += "\r\n";
            let (head, total) = (block.len(), block.len() + payload.len());
            bytes.extend(format!("HPUB {subject} {reply} {head} {total}\r\n{block}").bytes());
        }
        bytes.extend_from_slice(payload);
        bytes.extend_from_slice(b"\r\n");
        self.client.send(bytes);
    }

    /// A request and its answer; messages to other inboxes must not be under way.
    #[track_caller]
    pub fn request(&mut self, subject: &str, payload: impl AsRef<[u8]>) -> Msg {
        let reply = self.send(subject, &[], payload.as_ref());
        let msg = self.client.msg();
        assert_eq!(msg.subject, reply, "{msg:?}");
        msg
    }

    /// A request to the API: its answer, errors included.
    #[track_caller]
    pub fn api(&mut self, subject: &str, body: Value) -> Value {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let msg = self.request(&format!("$JS.API.{subject}"), body);
        serde_json::from_slice(&msg.payload).unwrap_or_else(|e| panic!("{e}: {msg:?}"))
    }

    /// The same, which must succeed.
    #[track_caller]
    pub fn api_ok(&mut self, subject: &str, body: Value) -> Value {
        let answer = self.api(subject, body);
        assert_eq!(answer["error"], Value::Null, "{subject}: {answer}");
        answer
    }

    /// Creates a stream on its subjects; `more` are further fields of its configuration.
    #[track_caller]
    pub fn add_stream(&mut self, name: &str, subjects: &[&str], more: Value) -> Value {
        let mut config = json!({"name": name, "subjects": subjects});
        merge(&mut config, more);
        self.api_ok(&format!("STREAM.CREATE.{name}"), config)
    }

    /// Creates a pull consumer with explicit acknowledgement.
    #[track_caller]
    pub fn add_consumer(&mut self, stream: &str, name: &str, more: Value) -> Value {
        let mut config = json!({"durable_name": name, "name": name, "ack_policy": "explicit"});
        merge(&mut config, more);
        self.api_ok(
            &format!("CONSUMER.CREATE.{stream}.{name}"),
            json!({"stream_name": stream, "config": config, "action": ""}),
        )
    }

    /// Publishes and waits for the acknowledgement.
    #[track_caller]
    pub fn publish(&mut self, subject: &str, payload: impl AsRef<[u8]>) -> Value {
        self.publish_with(subject, &[], payload)
    }

    #[track_caller]
    pub fn publish_with(
        &mut self,
        subject: &str,
        headers: &[(&str, &str)],
        payload: impl AsRef<[u8]>,
    ) -> Value {
        let reply = self.send(subject, headers, payload.as_ref());
        let msg = self.client.msg();
        assert_eq!(msg.subject, reply, "{msg:?}");
        serde_json::from_slice(&msg.payload).unwrap_or_else(|e| panic!("{e}: {msg:?}"))
    }

    /// `state` of a stream.
    #[track_caller]
    pub fn state(&mut self, stream: &str) -> Value {
        self.api_ok(&format!("STREAM.INFO.{stream}"), Value::Null)["state"].take()
    }

    /// Payload of a stored message.
    #[track_caller]
    pub fn stored(&mut self, stream: &str, seq: u64) -> Result<Vec<u8>, Value> {
        let answer = self.api(&format!("STREAM.MSG.GET.{stream}"), json!({"seq": seq}));
        match answer["message"].as_object() {
            Some(message) => Ok(base64(
                message.get("data").and_then(Value::as_str).unwrap_or(""),
            )),
            None => Err(answer["error"].clone()),
        }
    }

    /// Asks for up to `batch` messages that are there now and returns them.
    #[track_caller]
    pub fn fetch(&mut self, stream: &str, consumer: &str, batch: usize) -> Vec<Msg> {
        let body = json!({"batch": batch, "no_wait": true}).to_string();
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}");
        self.send(&subject, &[], body.as_bytes());
        let mut messages = Vec::new();
        while messages.len() < batch {
            let msg = self.client.msg();
            if is_status(&msg) {
                break;
            }
            messages.push(msg);
        }
        messages
    }

    /// Waits for one message of a consumer.
    #[track_caller]
    pub fn next(&mut self, stream: &str, consumer: &str) -> Msg {
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}");
        self.send(&subject, &[], b"{\"batch\":1,\"expires\":10000000000}");
        let msg = self.client.msg();
        assert!(!is_status(&msg), "{msg:?}");
        msg
    }

    /// Acknowledges a message and waits for the confirmation.
    #[track_caller]
    pub fn ack(&mut self, msg: &Msg) {
        let to = msg.reply.clone().expect("an ack subject");
        let confirmed = self.request(&to, "+ACK");
        assert!(confirmed.payload.is_empty() && confirmed.headers.is_none());
    }
}

/// Whether the message is a status, not a stored message.
pub fn is_status(msg: &Msg) -> bool {
    msg.payload.is_empty()
        && msg
            .headers
            .as_deref()
            .is_some_and(|h| h.starts_with(b"NATS/1.0 "))
}

/// Sequence in the stream, from the ack subject.
pub fn stream_sequence(msg: &Msg) -> u64 {
    let reply = msg.reply.as_deref().expect("an ack subject");
    let token = reply.split('.').nth(5).expect("a sequence");
    token.parse().expect("a number")
}

fn merge(into: &mut Value, more: Value) {
    if let (Some(into), Value::Object(more)) = (into.as_object_mut(), more) {
        into.extend(more);
    }
}

fn base64(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::new();
    let mut bits = 0_u32;
    let mut count = 0;
    for letter in text.bytes().filter(|&b| b != b'=') {
        let value = ALPHABET.iter().position(|&a| a == letter).expect("base64");
        bits = bits << 6 | value as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}
