//! The language of the scripts, and how one is run.
//!
//! A line is one of
//!
//! | line | meaning |
//! |---|---|
//! | `# text`, empty | nothing |
//! | `config: text` | one more line of the server's configuration file; before all others |
//! | `NAME open` | connects; the INFO goes into the transcript |
//! | `NAME > text` | sends the text and CRLF |
//! | `NAME >> text` | sends the text alone |
//! | `NAME take N` | receives N lines into the transcript, PINGs of the server left out |
//! | `NAME sync` | sends PING and receives up to its PONG, or up to the close |
//! | `NAME sync sorted` | the same, for what may come in any order: lines are sorted |
//! | `NAME closed` | receives up to the close |
//! | `NAME drop` | closes the connection from this side |
//!
//! In a text, `\r \n \t \\` and `\xHH` are escapes, and `@N@` stands for N letters `a`.
//!
//! Texts that one connection sends one after the other travel in one write, with the PING of a
//! `sync` that follows: nats-server's answers to some bad lines depend on where a read ends.
//!
//! A message crosses cores in its own time: where one connection's message must reach another,
//! the script takes it there with `take` before it goes on.

use std::collections::BTreeMap;
use std::path::Path;

use super::common::{Client, Server};
use super::normalise;

/// Stands in a transcript for the end of a connection.
const CLOSED: &str = "(closed)";

enum Step {
    Open,
    Send(Vec<u8>),
    Take(usize),
    Sync { sorted: bool },
    Closed,
    Drop,
}

pub struct Script {
    config: String,
    /// The connection's name, the step, and its text for the transcript.
    steps: Vec<(String, Step, String)>,
}

impl Script {
    /// Reads and parses a file.
    ///
    /// Panics with the file and the line number on a line that means nothing.
    pub fn read(path: &Path) -> Script {
        let text = std::fs::read_to_string(path).expect("a script");
        let mut script = Script {
            config: String::new(),
            steps: Vec::new(),
        };
        for (i, line) in text.lines().enumerate() {
            let understood = script.add(line);
            assert!(
                understood.is_some(),
                "{}:{}: {line:?}",
                path.display(),
                i + 1
            );
        }
        script
    }

    fn add(&mut self, line: &str) -> Option<()> {
        if line.is_empty() || line.starts_with('#') {
            return Some(());
        }
        if let Some(config) = line.strip_prefix("config: ") {
            self.config.push_str(config);
            self.config.push('\n');
            return Some(());
        }
        let (name, action) = line.split_once(' ')?;
        let step = match action.split_once(' ').unwrap_or((action, "")) {
            ("open", "") => Step::Open,
            (">", text) => Step::Send([unescape(text)?, b"\r\n".to_vec()].concat()),
            (">>", text) => Step::Send(unescape(text)?),
            ("take", n) => Step::Take(n.parse().ok()?),
            ("sync", "") => Step::Sync { sorted: false },
            ("sync", "sorted") => Step::Sync { sorted: true },
            ("closed", "") => Step::Closed,
            ("drop", "") => Step::Drop,
            _ => return None,
        };
        self.steps.push((name.to_owned(), step, line.to_owned()));
        Some(())
    }

    /// Runs the script on a fresh server and returns the transcript.
    pub fn run(&self, server: &Path) -> Vec<String> {
        let mut builder = Server::builder().binary(server);
        if !self.config.is_empty() {
            builder = builder.config(&self.config);
        }
        let server = builder.start();
        let mut clients: BTreeMap<&str, Client> = BTreeMap::new();
        let mut transcript = Vec::new();
        let mut unsent = Vec::new();
        for (i, (name, step, text)) in self.steps.iter().enumerate() {
            transcript.push(text.clone());
            if let Step::Send(bytes) = step {
                unsent.extend_from_slice(bytes);
            }
            if let Step::Sync { .. } = step {
                unsent.extend_from_slice(b"PING\r\n");
            }
            let more = matches!(step, Step::Send(_))
                && matches!(
                    self.steps.get(i + 1),
                    Some((next, Step::Send(_) | Step::Sync { .. }, _)) if next == name
                );
            if !more && !unsent.is_empty() {
                open(&mut clients, name).send_anyway(&unsent);
                unsent.clear();
            }
            let received = match step {
                Step::Open => {
                    let mut client = Client::open(server.addr());
                    let info = client.line();
                    clients.insert(name, client);
                    vec![info]
                }
                Step::Drop => {
                    clients.remove(name.as_str());
                    Vec::new()
                }
                Step::Send(_) => Vec::new(),
                Step::Take(n) => {
                    let client = open(&mut clients, name);
                    (0..*n).map(|_| line_but_ping(client)).collect()
                }
                Step::Sync { sorted } => synced(open(&mut clients, name), *sorted),
                Step::Closed => closed(open(&mut clients, name)),
            };
            transcript.extend(
                received
                    .iter()
                    .map(|line| format!("    {name}: {}", normalise::line(line))),
            );
        }
        transcript
    }
}

fn open<'a>(clients: &'a mut BTreeMap<&str, Client>, name: &str) -> &'a mut Client {
    clients
        .get_mut(name)
        .unwrap_or_else(|| panic!("{name} is not open"))
}

/// What arrives up to the PONG or the close.
fn synced(client: &mut Client, sorted: bool) -> Vec<String> {
    let mut lines = Vec::new();
    let end = loop {
        match client.line_or_close() {
            Some(line) if line == "PONG" => break line,
            Some(line) => lines.push(line),
            None => break CLOSED.to_owned(),
        }
    };
    if sorted {
        lines.sort();
    }
    lines.push(end);
    lines
}

/// What arrives up to the close.
fn closed(client: &mut Client) -> Vec<String> {
    let rest = client.rest();
    let text = String::from_utf8_lossy(&rest);
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.push(CLOSED.to_owned());
    lines
}

fn line_but_ping(client: &mut Client) -> String {
    loop {
        let line = client.line();
        if line != "PING" {
            return line;
        }
        client.send_anyway("PONG\r\n");
    }
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match first {
            b'\\' => {
                let (kind, after) = rest.split_first()?;
                rest = after;
                bytes.push(match kind {
                    b'r' => b'\r',
                    b'n' => b'\n',
                    b't' => b'\t',
                    b'\\' => b'\\',
                    b'x' => {
                        let (digits, after) = rest.split_at_checked(2)?;
                        rest = after;
                        u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?
                    }
                    _ => return None,
                });
            }
            b'@' => {
                let end = rest.iter().position(|b| *b == b'@')?;
                let n: usize = std::str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
                bytes.resize(bytes.len() + n, b'a');
                rest = &rest[end + 1..];
            }
            other => bytes.push(*other),
        }
    }
    Some(bytes)
}

#[test]
fn escapes() {
    assert_eq!(unescape(r"a\r\n\t\\\x00b").unwrap(), b"a\r\n\t\\\0b");
    assert_eq!(unescape("@5@.@1@").unwrap(), b"aaaaa.a");
    assert_eq!(unescape(r"\q"), None);
}
