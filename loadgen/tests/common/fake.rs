//! The smallest server there is, with faults: what is published on any
//! connection goes to the connection that subscribed last.
// No test file uses all of it.
#![allow(dead_code)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// What the server does to the message of this index.
#[derive(Clone, Copy, PartialEq)]
pub enum Fault {
    None,
    Drop,
    Double,
    /// Passes it on after the next one.
    Hold,
    /// Keeps it, and all behind it, until a message has another fault.
    Stall,
    /// Changes a byte of the payload.
    Damage,
    /// Ends every connection.
    Leave,
}

struct FakeServer {
    fault: fn(u64) -> Fault,
    subscriber: Mutex<Option<TcpStream>>,
    /// Messages so far, and those that are held back.
    relayed: Mutex<(u64, Vec<u8>)>,
}

/// Starts a server that runs until the test process ends; its address.
pub fn start(fault: fn(u64) -> Fault) -> String {
    let server = Arc::new(FakeServer {
        fault,
        subscriber: Mutex::new(None),
        relayed: Mutex::new((0, Vec::new())),
    });
    accept(move |stream| server.serve(stream))
}

/// A server that says `answer` to every CONNECT, and closes.
pub fn refusing(answer: &'static str) -> String {
    accept(move |mut stream| {
        stream.write_all(b"INFO {\"auth_required\":true}\r\n")?;
        let mut line = String::new();
        let mut reader = BufReader::new(stream.try_clone()?);
        while !line.ends_with("PING\r\n") && reader.read_line(&mut line)? > 0 {}
        stream.write_all(answer.as_bytes())?;
        stream.shutdown(Shutdown::Both)
    })
}

fn accept(serve: impl Fn(TcpStream) -> std::io::Result<()> + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = Arc::clone(&serve);
            // A connection that breaks is the test's business, not ours.
            thread::spawn(move || serve(stream));
        }
    });
    address
}

impl FakeServer {
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
                    self.relay(message, body_at, &stream)?;
                }
                _ => {}
            }
            line.clear();
        }
        Ok(())
    }

    fn relay(
        &self,
        mut message: Vec<u8>,
        body_at: usize,
        publisher: &TcpStream,
    ) -> std::io::Result<()> {
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
                let held = std::mem::take(&mut relayed.1);
                // Messages that stalled come first, one that was held last.
                let before = relayed.0.checked_sub(2);
                let stalled = before.is_some_and(|index| (self.fault)(index) == Fault::Stall);
                let both = if stalled {
                    [held, message].concat()
                } else {
                    [message, held].concat()
                };
                subscriber.write_all(&both)
            }
            Fault::Drop => Ok(()),
            Fault::Double => subscriber.write_all(&[&message[..], &message].concat()),
            Fault::Hold | Fault::Stall => {
                relayed.1.extend_from_slice(&message);
                Ok(())
            }
            Fault::Damage => {
                // Behind the head of the payload, in the filler.
                message[body_at + 20] ^= 1;
                subscriber.write_all(&message)
            }
            Fault::Leave => {
                publisher.shutdown(Shutdown::Both)?;
                subscriber.shutdown(Shutdown::Both)
            }
        }
    }
}
