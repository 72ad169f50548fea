//! Messages that cross between cores in runs arrive as if there were one core.

use proptest::prelude::*;

use super::driver::{Client, World, settings};

/// One line of a publisher: subject, reply, headers, bytes of payload.
#[derive(Clone, Debug)]
struct Publication {
    subject: &'static str,
    reply: bool,
    headers: bool,
    payload_bytes: usize,
}

impl Publication {
    fn write(&self, number: usize, out: &mut String) {
        let reply = if self.reply { " answer.here" } else { "" };
        let payload = format!("{number:0width$}", width = self.payload_bytes);
        let subject = self.subject;
        if self.headers {
            let block = "NATS/1.0\r\nn: 1\r\n\r\n";
            let (header_len, len) = (block.len(), block.len() + payload.len());
            out.push_str(&format!(
                "HPUB {subject}{reply} {header_len} {len}\r\n{block}{payload}\r\n"
            ));
        } else {
            let len = payload.len();
            out.push_str(&format!("PUB {subject}{reply} {len}\r\n{payload}\r\n"));
        }
    }
}

fn publication() -> impl Strategy<Value = Publication> {
    let subject = prop_oneof![8 => Just("a.b"), 1 => Just("a.c"), 1 => Just("a")];
    let payload_bytes = prop_oneof![5 => 0..40_usize, 1 => 0..3000_usize];
    let rarely = || prop::bool::weighted(0.1);
    (subject, rarely(), rarely(), payload_bytes).prop_map(
        |(subject, reply, headers, payload_bytes)| Publication {
            subject,
            reply,
            headers,
            payload_bytes,
        },
    )
}

/// What makes delivery look at each message, or at none.
#[derive(Clone, Copy, Debug)]
enum Reader {
    Plain,
    Wildcard,
    Limited,
    Headless,
    Twice,
}

const READERS: [Reader; 5] = [
    Reader::Plain,
    Reader::Wildcard,
    Reader::Limited,
    Reader::Headless,
    Reader::Twice,
];

impl Reader {
    fn subscribe(self, world: &mut World, client: Client) {
        let lines = match self {
            Self::Plain => "SUB a.b 1\r\n",
            Self::Wildcard => "SUB a.* 22\r\n",
            Self::Limited => "SUB a.b 1\r\nUNSUB 1 7\r\n",
            Self::Headless => "CONNECT {\"verbose\":false,\"headers\":false}\r\nSUB a.b 1\r\n",
            Self::Twice => "SUB a.b 1\r\nSUB a.> 2\r\n",
        };
        world.send(client, lines);
    }
}

/// What the readers get with all of them on core `at`.
fn run(at: usize, readers: &[Reader], publications: &[Publication]) -> Vec<Vec<(String, String)>> {
    let mut world = World::new(at + 1, settings());
    let publisher = world.client(0);
    let clients: Vec<Client> = readers.iter().map(|_| world.client(at)).collect();
    for (reader, &client) in readers.iter().zip(&clients) {
        reader.subscribe(&mut world, client);
    }
    let mut lines = String::new();
    for (number, publication) in publications.iter().enumerate() {
        publication.write(number, &mut lines);
    }
    world.send(publisher, lines);
    clients
        .into_iter()
        .map(|client| {
            let mut messages = messages(&world.output(client));
            // Which of a connection's subscriptions comes first is drawn anew
            // for each message; the order within each is what counts.
            messages.sort_by(|a, b| a.0.cmp(&b.0));
            messages
        })
        .collect()
}

/// The messages in a client's output: sid, and all of its bytes.
fn messages(mut output: &str) -> Vec<(String, String)> {
    let mut messages = Vec::new();
    while let Some((line, rest)) = output.split_once("\r\n") {
        if !line.contains("MSG ") {
            output = rest;
            continue;
        }
        let words: Vec<&str> = line.split(' ').collect();
        let len: usize = words[words.len() - 1].parse().expect("a size");
        messages.push((words[2].to_owned(), format!("{line} {}", &rest[..len])));
        output = &rest[len + 2..];
    }
    messages
}

proptest! {
    #[test]
    fn crossing_changes_nothing(
        readers in prop::collection::vec(prop::sample::select(&READERS[..]), 1..4),
        publications in prop::collection::vec(publication(), 1..200),
    ) {
        prop_assert_eq!(run(1, &readers, &publications), run(0, &readers, &publications));
    }
}
