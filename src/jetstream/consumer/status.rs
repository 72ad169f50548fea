//! Status messages: header blocks without a payload, rendered into a buffer that is used again.

use super::text::push_u64;

/// Makes `out` the block `NATS/1.0 <status>`.
pub fn plain(out: &mut Vec<u8>, status: &[u8]) {
    out.clear();
    out.extend_from_slice(b"NATS/1.0 ");
    out.extend_from_slice(status);
    out.extend_from_slice(b"\r\n\r\n");
}

/// A status that says what of a pull request was not served.
pub fn with_pending(out: &mut Vec<u8>, status: &[u8], messages: u64, bytes: u64) {
    plain(out, status);
    add_number(out, b"Nats-Pending-Messages", messages);
    add_number(out, b"Nats-Pending-Bytes", bytes);
}

/// An idle heartbeat that says how far deliveries have come. `stalled` is the subject of a
/// flow control request that was not answered; empty: none.
pub fn heartbeat(out: &mut Vec<u8>, last_consumer: u64, last_stream: u64, stalled: &[u8]) {
    plain(out, b"100 Idle Heartbeat");
    add_number(out, b"Nats-Last-Consumer", last_consumer);
    add_number(out, b"Nats-Last-Stream", last_stream);
    if !stalled.is_empty() {
        add_field(out, b"Nats-Consumer-Stalled", stalled);
    }
}

/// Adds a field with a number to a block, or starts one if `out` is empty.
pub fn add_number(out: &mut Vec<u8>, name: &[u8], value: u64) {
    open(out);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    push_u64(out, value);
    out.extend_from_slice(b"\r\n\r\n");
}

/// Adds a field to a block, or starts one if `out` is empty.
pub fn add_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    open(out);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n\r\n");
}

/// Takes the empty line off, so that a field can follow.
fn open(out: &mut Vec<u8>) {
    if out.ends_with(b"\r\n\r\n") {
        out.truncate(out.len() - 2);
    } else {
        out.clear();
        out.extend_from_slice(b"NATS/1.0\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Captured from nats-server 2.15.1.
    #[test]
    fn statuses_read_as_those_of_nats_server() {
        let mut out = b"what was there before".to_vec();
        plain(&mut out, b"404 No Messages");
        assert_eq!(out, b"NATS/1.0 404 No Messages\r\n\r\n");
        with_pending(&mut out, b"408 Request Timeout", 8, 12);
        assert_eq!(
            out,
            b"NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 8\r\nNats-Pending-Bytes: 12\r\n\r\n"
        );
        heartbeat(&mut out, 1, 15, b"");
        assert_eq!(
            out,
            b"NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 1\r\nNats-Last-Stream: 15\r\n\r\n"
        );
        heartbeat(&mut out, 1, 15, b"$JS.FC.S.C.x");
        assert!(out.ends_with(b": 15\r\nNats-Consumer-Stalled: $JS.FC.S.C.x\r\n\r\n"));
        let mut header = Vec::new();
        add_number(&mut header, b"Nats-Msg-Size", 7);
        assert_eq!(header, b"NATS/1.0\r\nNats-Msg-Size: 7\r\n\r\n");
        add_field(&mut header, b"Nats-Pin-Id", b"abc");
        assert_eq!(
            header,
            b"NATS/1.0\r\nNats-Msg-Size: 7\r\nNats-Pin-Id: abc\r\n\r\n"
        );
    }
}
