//! loadgen pointed at servers that lose, double, reorder, refuse or leave:
//! it has to tell.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::thread;

const LOADGEN: &str = env!("CARGO_BIN_EXE_loadgen");

/// What the server does to the message of this index instead of passing it on.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    Drop,
    Double,
    /// Passes it on after the next one.
    Hold,
    /// Ends every connection.
    Leave,
}

/// The smallest server there is: what is published on any connection goes to
/// the connection that subscribed last.
struct FakeServer {
    fault: fn(u64) -> Fault,
    subscriber: Mutex<Option<TcpStream>>,
    relayed: Mutex<(u64, Vec<u8>)>,
}

impl FakeServer {
    /// Serves until the test process ends; the address.
    fn start(fault: fn(u64) -> Fault) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = Arc::new(FakeServer {
            fault,
            subscriber: Mutex::new(None),
            relayed: Mutex::new((0, Vec::new())),
        });
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = Arc::clone(&server);
                // A connection that breaks is the test's business, not ours.
                thread::spawn(move || server.serve(stream));
            }
        });
        address
    }

    fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        stream.write_all(b"INFO {\"version\":\"fake\"}\r\n")?;
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut line = String::new();
        while reader.read_line(&mut line)? > 0 {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.first().copied() {
                Some("PING") => stream.write_all(b"PONG\r\n")?,
                Some("SUB") => *self.subscriber.lock().unwrap() = Some(stream.try_clone()?),
                Some("PUB") => {
                    let size: usize = words.last().unwrap().parse().unwrap();
                    let mut message = format!("MSG {} 1 {size}\r\n", words[1]).into_bytes();
                    let body_at = message.len();
                    message.resize(body_at + size + 2, 0);
                    reader.read_exact(&mut message[body_at..])?;
                    self.relay(&message, &stream)?;
                }
                _ => {}
            }
            line.clear();
        }
        Ok(())
    }

    fn relay(&self, message: &[u8], publisher: &TcpStream) -> std::io::Result<()> {
        let mut relayed = self.relayed.lock().unwrap();
        let fault = (self.fault)(relayed.0);
        relayed.0 += 1;
        let mut subscriber = self.subscriber.lock().unwrap();
        // Published to nobody, as `pub` does.
        let Some(subscriber) = subscriber.as_mut() else {
            return Ok(());
        };
        match fault {
            Fault::None => {
                subscriber.write_all(message)?;
                let held = std::mem::take(&mut relayed.1);
                subscriber.write_all(&held)
            }
            Fault::Drop => Ok(()),
            Fault::Double => subscriber.write_all(&[message, message].concat()),
            Fault::Hold => {
                relayed.1 = message.to_vec();
                Ok(())
            }
            Fault::Leave => {
                publisher.shutdown(std::net::Shutdown::Both)?;
                subscriber.shutdown(std::net::Shutdown::Both)
            }
        }
    }
}

fn loadgen(server: &str, arguments: &[&str]) -> Output {
    Command::new(LOADGEN)
        .args(arguments)
        .args(["--server", server, "--json"])
        .output()
        .unwrap()
}

/// Exactly 500 messages or so at a rate that any machine keeps.
const PACED: &[&str] = &[
    "paced",
    "--rate",
    "1000",
    "--subs",
    "1",
    "--size",
    "64",
    "--warmup",
    "0",
    "--seconds",
    "0.5",
];

fn report(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn a_sound_server_gives_a_clean_report() {
    let output = loadgen(&FakeServer::start(|_| Fault::None), PACED);
    let report = report(&output);
    assert!(output.status.success(), "{report}");
    assert_eq!(report["faults"]["lost"], 0);
    assert!(report["latency"]["count"].as_u64() > Some(0));
    assert_eq!(report["server"]["version"], "fake");
}

#[test]
fn losses_doubles_and_reordering_are_counted() {
    let address = FakeServer::start(|index| match index {
        10 | 20 | 21 => Fault::Drop,
        30 | 40 => Fault::Double,
        50 => Fault::Hold,
        _ => Fault::None,
    });
    let output = loadgen(&address, PACED);
    let report = report(&output);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(report["faults"]["lost"], 3, "{report}");
    assert_eq!(report["faults"]["duplicated"], 2, "{report}");
    assert_eq!(report["faults"]["reordered"], 1, "{report}");
}

#[test]
fn a_server_that_leaves_is_named_and_the_rest_reported() {
    let address = FakeServer::start(|index| match index {
        100 => Fault::Leave,
        _ => Fault::None,
    });
    let output = loadgen(&address, PACED);
    let report = report(&output);
    assert_eq!(output.status.code(), Some(2));
    assert!(report["error"].as_str().unwrap().contains("ended"));
    // How many of the hundred were read before the end was seen is open.
    assert!(report["published"].as_u64() >= Some(100), "{report}");
}

#[test]
fn all_closed_loops_run_against_the_fake_server() {
    for arguments in [
        &["pubsub", "--subs", "1"][..],
        &["echo", "--conns", "1", "--inflight", "7"],
        &["fanout", "--subs", "1"],
        &["pub"],
    ] {
        let short = [arguments, &["--warmup", "0", "--seconds", "0.1"]].concat();
        let output = loadgen(&FakeServer::start(|_| Fault::None), &short);
        assert!(output.status.success(), "{arguments:?} {}", report(&output));
    }
}

#[test]
fn nobody_listening_is_a_clear_error() {
    let address = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().to_string()
    };
    let output = loadgen(&address, PACED);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("is a server listening there?"), "{text}");
}
