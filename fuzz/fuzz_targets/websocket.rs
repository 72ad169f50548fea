//! WebSocket: any bytes from a client, as a request and as frames, are read without a panic, and alike
//! however they are cut; nothing inflates beyond its limit.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use ringwire::protocol::websocket::{Deflater, Heard, Rules, Session};

const INFLATED_MAX: usize = 100_000;
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n";

/// How many bytes of the client protocol came, and what went out.
fn run(upgraded: bool, data: &[u8], piece: usize) -> (usize, bool, Vec<u8>) {
    let rules = Arc::new(Rules { compression: true, same_origin: true, ..Rules::default() });
    let mut session = Session::new(rules, false);
    let (mut came, mut failed, mut out) = (0, false, Vec::new());
    let mut hear = |session: &mut Session, bytes: &[u8]| {
        session.hear(&mut bytes.to_vec(), &String::new, Some(INFLATED_MAX), |heard| match heard {
            Heard::Data(bytes) => came += bytes.len(),
            Heard::Failed(_) => failed = true,
            _ => {}
        });
    };
    if upgraded {
        hear(&mut session, REQUEST);
    }
    for bytes in data.chunks(piece) {
        hear(&mut session, bytes);
    }
    session.close(1001, "end");
    session.encode(&mut Deflater::default(), std::iter::empty(), &mut out);
    (came, failed, out)
}

fuzz_target!(|data: &[u8]| {
    let Some((&first, rest)) = data.split_first() else { return };
    let piece = usize::from(first >> 1) + 1;
    let whole = run(first & 1 == 1, rest, rest.len().max(1));
    let cut = run(first & 1 == 1, rest, piece);
    if first & 1 == 1 {
        assert_eq!(whole.1, cut.1);
    }
    assert!(whole.2.len() < 70_000);
});
