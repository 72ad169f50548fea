//! Requests to the JetStream API, one at a time, on a connection that blocks:
//! for what happens before and after a run.

use crate::connection::handshake::Target;
use crate::connection::protocol::{Op, Parser, subscribe};
use crate::connection::transport::Transport;
use crate::error::Error;
use crate::work::unique_subject;
use serde_json::Value;
use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

/// How long an answer may take: removing a large stream is the slowest.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

pub struct Api {
    transport: Transport,
    parser: Parser,
    data: Vec<u8>,
    inbox: String,
    count: u64,
}

/// What came back: the status of the header block, and the payload.
struct Answer {
    status: Option<u16>,
    payload: Vec<u8>,
}

impl Api {
    pub fn connect(target: &Target) -> Result<Api, Error> {
        let (transport, _) = target.open(target.address()?)?;
        transport
            .socket()
            .set_read_timeout(Some(ANSWER_TIMEOUT))
            .map_err(Error::system("setting a time-out"))?;
        let mut api = Api {
            transport,
            parser: Parser::default(),
            data: Vec::new(),
            inbox: format!("_INBOX.{}", unique_subject("api")),
            count: 0,
        };
        let mut line = Vec::new();
        subscribe(&mut line, &format!("{}.*", api.inbox), None, 1);
        api.send(&line)?;
        Ok(api)
    }

    /// The JSON answer to `$JS.API.` + `subject`.
    pub fn request(&mut self, subject: &str, body: &str) -> Result<Value, Error> {
        let failed = |detail: String| Error::JetStream {
            request: subject.to_owned(),
            detail,
        };
        let answer = self.ask(&format!("$JS.API.{subject}"), b"", body.as_bytes())?;
        if answer.status == Some(503) {
            return Err(failed("nobody answers: the server has no JetStream".into()));
        }
        let value: Value = serde_json::from_slice(&answer.payload)
            .map_err(|error| failed(format!("the answer is not valid JSON: {error}")))?;
        match value.get("error") {
            Some(error) => Err(failed(format!(
                "{} ({})",
                error["description"].as_str().unwrap_or("error"),
                error["err_code"]
            ))),
            None => Ok(value),
        }
    }

    /// Publishes `commands` (PUBs without reply, rendered) and one more
    /// message, whose acknowledgement it waits for.
    pub fn store(&mut self, commands: &[u8], subject: &str, last: &[u8]) -> Result<(), Error> {
        let answer = self.ask(subject, commands, last)?;
        let text = String::from_utf8_lossy(&answer.payload).into_owned();
        if answer.status.is_some() || text.contains("\"error\"") {
            return Err(Error::JetStream {
                request: format!("publish to {subject}"),
                detail: match answer.status {
                    Some(503) => "no stream takes it".into(),
                    _ => text,
                },
            });
        }
        Ok(())
    }

    fn ask(&mut self, subject: &str, before: &[u8], body: &[u8]) -> Result<Answer, Error> {
        self.count += 1;
        let reply = format!("{}.{}", self.inbox, self.count);
        let mut out = before.to_vec();
        out.extend_from_slice(format!("PUB {subject} {reply} {}\r\n", body.len()).as_bytes());
        out.extend_from_slice(body);
        out.extend_from_slice(b"\r\n");
        self.send(&out)?;
        self.answer(&reply)
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.transport
            .write_all(bytes)
            .map_err(Error::system("writing to the server"))
    }

    fn answer(&mut self, to: &str) -> Result<Answer, Error> {
        let failed = |detail: String| Error::JetStream {
            request: "waiting for an answer".into(),
            detail,
        };
        loop {
            let step = self
                .parser
                .next(&self.data)
                .map_err(|error| failed(error.to_string()))?;
            if let Some((op, used)) = step {
                let (mut answer, mut ping) = (None, false);
                match op {
                    Op::Msg(msg) if msg.subject == to.as_bytes() => {
                        answer = Some(Answer {
                            status: msg.status(),
                            payload: msg.payload.to_vec(),
                        });
                    }
                    Op::Ping => ping = true,
                    Op::Err(text) => {
                        return Err(failed(format!("-ERR '{}'", String::from_utf8_lossy(text))));
                    }
                    _ => {}
                }
                self.data.drain(..used);
                if let Some(answer) = answer {
                    return Ok(answer);
                }
                if ping {
                    self.send(b"PONG\r\n")?;
                }
                continue;
            }
            let mut chunk = [0; 16 * 1024];
            match self.transport.read(&mut chunk) {
                Ok(0) => return Err(failed("the server closed the connection".into())),
                Ok(count) => self.data.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Err(failed(format!("none for {ANSWER_TIMEOUT:?}")));
                }
                Err(error) => return Err(failed(error.to_string())),
            }
        }
    }
}
