//! Header blocks: `NATS/1.0[ <code>[ <description>]]` CRLF, `Name: value` CRLF lines, CRLF.
//!
//! Blocks from clients are not validated on the wire, so everything here takes any bytes.
//! Names are compared case-sensitively, as nats-server does.

use std::fmt;

use super::number::push_decimal;

/// First line of a block, without status and line end.
const VERSION: &[u8] = b"NATS/1.0";
const CRLF: &[u8] = b"\r\n";

/// The block that says nothing.
pub const EMPTY_BLOCK: &[u8] = b"NATS/1.0\r\n\r\n";

/// The status of a block, as servers send it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status<'a> {
    /// Three digits.
    pub code: u16,
    /// May be empty.
    pub description: &'a [u8],
}

/// A block that does not end in an empty line, so that nothing can be added to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MalformedBlock;

impl fmt::Display for MalformedBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("header block does not end in an empty line")
    }
}

impl std::error::Error for MalformedBlock {}

/// The lines of a block, the first included, without their ends; up to the first empty one. A
/// last line without CRLF is no line.
fn lines(block: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = block;
    std::iter::from_fn(move || {
        let end = line_end(rest)?;
        let line = &rest[..end];
        rest = &rest[end + CRLF.len()..];
        (!line.is_empty()).then_some(line)
    })
}

/// Where the first CRLF is. Not by a search for both bytes at once: building one costs more than
/// a header line is long.
fn line_end(bytes: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'\n', bytes)
        .filter_map(|at| at.checked_sub(1))
        .find(|&before| bytes[before] == b'\r')
}

/// Name and value of a line; spaces before the value are not part of it.
fn field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr::memchr(b':', line)?;
    let value = &line[colon + 1..];
    let spaces = value.iter().take_while(|&&b| b == b' ').count();
    Some((&line[..colon], &value[spaces..]))
}

/// All fields in order; equal names may repeat. Lines without a colon are left out.
pub fn fields(block: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    lines(block).skip(1).filter_map(field)
}

/// Value of the first field of this name.
pub fn get<'a>(block: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    fields(block)
        .find(|&(candidate, _)| candidate == name)
        .map(|(_, value)| value)
}

/// The status on the first line, if there is one.
pub fn status(block: &[u8]) -> Option<Status<'_>> {
    let line = lines(block).next()?;
    let rest = line.strip_prefix(VERSION)?.strip_prefix(b" ")?;
    let (digits, description) = rest.split_at_checked(3)?;
    let code = std::str::from_utf8(digits).ok()?;
    if !code.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let description = match description {
        [] => description,
        [b' ', text @ ..] => text,
        _ => return None,
    };
    let code = code.parse().ok()?;
    Some(Status { code, description })
}

/// Adds `name: value` before the final CRLF; an empty `block` becomes one. CR and LF in the value
/// become spaces, so that a value cannot add fields of its own.
///
/// # Errors
/// [`MalformedBlock`] if the block is neither empty nor ends in an empty line; it stays as it is.
pub fn append(block: &mut Vec<u8>, name: &str, value: &[u8]) -> Result<(), MalformedBlock> {
    debug_assert!(!name.contains([':', '\r', '\n']), "no name: {name:?}");
    if block.is_empty() {
        block.extend_from_slice(EMPTY_BLOCK);
    } else if !block.ends_with(b"\r\n\r\n") {
        return Err(MalformedBlock);
    }
    block.truncate(block.len() - CRLF.len());
    block.extend_from_slice(name.as_bytes());
    block.extend_from_slice(b": ");
    block.extend(value.iter().map(|&byte| match byte {
        b'\r' | b'\n' => b' ',
        byte => byte,
    }));
    block.extend_from_slice(b"\r\n\r\n");
    Ok(())
}

/// Appends `block` to `out` without the fields whose names are `unwanted`. Nothing at all is
/// appended if no field and no status is left, which is how nats-server drops an empty block.
/// A block that is none, as it does not end in an empty line, is copied as it is.
pub fn strip(block: &[u8], unwanted: impl Fn(&[u8]) -> bool, out: &mut Vec<u8>) {
    if !block.ends_with(b"\r\n\r\n") {
        out.extend_from_slice(block);
        return;
    }
    let start = out.len();
    let mut taken = 0;
    for (number, line) in lines(block).enumerate() {
        taken += line.len() + CRLF.len();
        let drop = number > 0 && field(line).is_some_and(|(name, _)| unwanted(name));
        if !drop {
            out.extend_from_slice(line);
            out.extend_from_slice(CRLF);
        }
    }
    // The empty line and whatever a sender hid behind it.
    out.extend_from_slice(&block[taken..]);
    if &out[start..] == EMPTY_BLOCK {
        out.truncate(start);
    }
}

/// Appends the whole 503 message that tells a requester that nobody received `subject`. CR in
/// the subject stays, as on the real server.
pub fn render_no_responders(out: &mut Vec<u8>, reply: &[u8], sid: &[u8], subject: &[u8]) {
    const START: &[u8] = b"NATS/1.0 503\r\nNats-Subject: ";
    const END: &[u8] = b"\r\n\r\n";
    let size = START.len() + subject.len() + END.len();
    out.extend_from_slice(b"HMSG ");
    out.extend_from_slice(reply);
    out.push(b' ');
    out.extend_from_slice(sid);
    for _ in 0..2 {
        out.push(b' ');
        push_decimal(out, size);
    }
    out.extend_from_slice(CRLF);
    out.extend_from_slice(START);
    out.extend_from_slice(subject);
    out.extend_from_slice(END);
    out.extend_from_slice(CRLF);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BLOCK: &[u8] = b"NATS/1.0\r\nA: 1\r\nB:2\r\na:   x y \r\nA: 3\r\nC:\r\nno field\r\n\r\n";

    #[test]
    fn finds_the_first_field_of_exactly_this_name() {
        assert_eq!(get(BLOCK, b"A"), Some(&b"1"[..]));
        assert_eq!(get(BLOCK, b"B"), Some(&b"2"[..]));
        assert_eq!(get(BLOCK, b"a"), Some(&b"x y "[..]));
        assert_eq!(get(BLOCK, b"C"), Some(&b""[..]));
        assert_eq!(get(BLOCK, b"b"), None);
        assert_eq!(get(BLOCK, b"NATS/1.0"), None);
        assert_eq!(get(b"A: 1\r\n\r\n", b"A"), None);
        assert_eq!(get(b"NATS/1.0\r\nA: 1", b"A"), None);
        assert_eq!(fields(BLOCK).count(), 5);
    }

    #[test]
    fn reads_the_status() {
        let parsed = |block: &'static str| {
            status(block.as_bytes()).map(|s| (s.code, std::str::from_utf8(s.description).unwrap()))
        };
        assert_eq!(parsed("NATS/1.0 503\r\n\r\n"), Some((503, "")));
        let both = parsed("NATS/1.0 409 Server Shutdown\r\nA: 1\r\n\r\n");
        assert_eq!(both, Some((409, "Server Shutdown")));
        for block in [
            "NATS/1.0\r\n\r\n",
            "NATS/1.0 50x\r\n\r\n",
            "NATS/1.0 5031\r\n\r\n",
            "",
            "x",
        ] {
            assert_eq!(parsed(block), None, "{block:?}");
        }
    }

    #[test]
    fn appends_before_the_final_line_and_never_more_than_one_field() {
        let mut block = Vec::new();
        append(&mut block, "A", b"1").unwrap();
        append(&mut block, "B", b"x\r\nEvil: 1").unwrap();
        assert_eq!(block, b"NATS/1.0\r\nA: 1\r\nB: x  Evil: 1\r\n\r\n");
        let mut junk = b"junk".to_vec();
        assert_eq!(append(&mut junk, "A", b"1"), Err(MalformedBlock));
        assert_eq!(junk, b"junk");
    }

    #[test]
    fn strips_fields_and_then_empty_blocks() {
        let stripped = |block: &[u8], name: &'static [u8]| {
            let mut out = b"x".to_vec();
            strip(block, |candidate| candidate == name, &mut out);
            String::from_utf8(out.split_off(1)).unwrap()
        };
        let expected = "NATS/1.0\r\nB:2\r\na:   x y \r\nC:\r\nno field\r\n\r\n";
        assert_eq!(stripped(BLOCK, b"A"), expected);
        assert_eq!(stripped(b"NATS/1.0\r\nA: 1\r\n\r\n", b"A"), "");
        let status = b"NATS/1.0 100 Idle\r\nA: 1\r\n\r\n";
        assert_eq!(stripped(status, b"A"), "NATS/1.0 100 Idle\r\n\r\n");
        assert_eq!(stripped(b"junk", b"A"), "junk");
    }

    /// Asked of nats-server 2.15.1.
    #[test]
    fn renders_the_503() {
        let mut out = Vec::new();
        render_no_responders(&mut out, b"r", b"7", b"no\rbo");
        let expected = "HMSG r 7 37 37\r\nNATS/1.0 503\r\nNats-Subject: no\rbo\r\n\r\n\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    proptest! {
        #[test]
        fn what_is_appended_is_found_and_can_be_stripped(
            pairs in prop::collection::vec(("[A-C]{1,2}", "[a-z:]{0,6}"), 0..6),
        ) {
            let mut block = Vec::new();
            for (name, value) in &pairs {
                append(&mut block, name, value.as_bytes()).unwrap();
            }
            let read: Vec<_> = fields(&block).map(|(n, v)| (n.to_vec(), v.to_vec())).collect();
            let written: Vec<_> = pairs
                .iter()
                .map(|(n, v)| (n.clone().into_bytes(), v.clone().into_bytes()))
                .collect();
            prop_assert_eq!(read, written);
            let mut out = Vec::new();
            strip(&block, |_| true, &mut out);
            prop_assert!(out.is_empty());
            strip(&block, |_| false, &mut out);
            prop_assert_eq!(out, block);
        }

        #[test]
        fn arbitrary_bytes_do_no_harm(block in "(NATS/1.0)?[ :\r\nA1-9]{0,40}(\r\n\r\n)?") {
            let block = block.as_bytes();
            let _ = (status(block), get(block, b"A"), fields(block).count());
            let mut out = Vec::new();
            strip(block, |_| false, &mut out);
            prop_assert!(out == block || (out.is_empty() && block == EMPTY_BLOCK));
        }
    }
}
