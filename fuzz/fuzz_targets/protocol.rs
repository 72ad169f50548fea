//! Any bytes, cut anywhere, must give the same commands and the same error as in one piece, and
//! a delivery made from a tail must be the one rendered from the parts.
//!
//! The first byte of the input sets the limits, the second the size of the pieces.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringwire::protocol::{Command, ConnectOptions, ParseLimits, Parser, Publish, info, render};

fuzz_target!(|data: &[u8]| {
    let [flags, size, script @ ..] = data else {
        return;
    };
    let limits = ParseLimits {
        max_control_line: if flags & 1 == 0 { 4096 } else { 24 },
        max_payload: if flags & 2 == 0 { -1 } else { 40 },
        headers: flags & 4 == 0,
    };
    let whole = outcome(script, script.len().max(1), &limits);
    let cut = outcome(script, usize::from(*size).max(1), &limits);
    assert_eq!(whole, cut);
});

/// Everything that came out of a script, as text.
fn outcome(script: &[u8], size: usize, limits: &ParseLimits) -> Vec<String> {
    let mut parser = Parser::new();
    let mut events = Vec::new();
    for mut piece in script.chunks(size) {
        loop {
            let (taken, result) = parser.next(piece, limits);
            match result {
                Ok(Some(command)) => {
                    examine(&command);
                    events.push(format!("{command:?}"));
                }
                Ok(None) => {
                    assert_eq!(taken, piece.len());
                    break;
                }
                Err(error) => {
                    events.push(format!("{error:?}"));
                    return events;
                }
            }
            piece = &piece[taken..];
        }
    }
    events
}

fn examine(command: &Command<'_>) {
    match command {
        Command::Connect(json) => drop(ConnectOptions::default().apply(json)),
        Command::Info(json) => drop(info::tolerated_from_client(json)),
        Command::Publish(message) => {
            let plain = Publish {
                tail: None,
                ..*message
            };
            let (mut copied, mut rendered) = (Vec::new(), Vec::new());
            render::delivery(&mut copied, message, b"1", true);
            render::delivery(&mut rendered, &plain, b"1", true);
            assert_eq!(copied, rendered);
        }
        _ => {}
    }
}
