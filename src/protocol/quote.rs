//! Subjects in double quotes, as Go's `%q` writes them: part of the texts that clients match.

/// Appends `text` quoted: printable characters as they are, `"` and `\` escaped, everything else
/// as `\n`, `\x01`, `\u00a0`, `\U000e0001`; bytes that are no UTF-8 as `\xff`.
///
/// Which characters are printable follows the standard library's Unicode tables, which have the
/// same rule as Go's (no controls, separators or unassigned) but perhaps another Unicode version.
pub fn push_quoted(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            push_char(out, c);
        }
        for &byte in chunk.invalid() {
            push_hex(out, b"\\x", u32::from(byte), 2);
        }
    }
    out.push(b'"');
}

fn push_char(out: &mut Vec<u8>, c: char) {
    let short = match c {
        '"' | '\\' => c,
        '\u{07}' => 'a',
        '\u{08}' => 'b',
        '\u{0C}' => 'f',
        '\n' => 'n',
        '\r' => 'r',
        '\t' => 't',
        '\u{0B}' => 'v',
        _ => return push_plain(out, c),
    };
    out.extend_from_slice(&[b'\\', short as u8]);
}

fn push_plain(out: &mut Vec<u8>, c: char) {
    let code = u32::from(c);
    if is_printable(c) {
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    } else if code < 0x80 {
        push_hex(out, b"\\x", code, 2);
    } else if code < 0x1_0000 {
        push_hex(out, b"\\u", code, 4);
    } else {
        push_hex(out, b"\\U", code, 8);
    }
}

fn is_printable(c: char) -> bool {
    match c {
        ' '..='~' => true,
        _ if c.is_ascii() => false,
        _ => {
            // The table is private to the standard library; what escapes a character that does
            // not start a string (where combining marks are escaped too) is this table alone.
            let mut pair = [b'a', 0, 0, 0, 0];
            let length = c.encode_utf8(&mut pair[1..]).len();
            let pair = std::str::from_utf8(&pair[..=length]).unwrap_or_default();
            pair.escape_debug().nth(1) == Some(c)
        }
    }
}

fn push_hex(out: &mut Vec<u8>, prefix: &[u8], value: u32, digits: u32) {
    out.extend_from_slice(prefix);
    for place in (0..digits).rev() {
        let digit = (value >> (4 * place)) & 0xF;
        out.push(b"0123456789abcdef"[digit as usize]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quoted(text: &[u8]) -> String {
        let mut out = Vec::new();
        push_quoted(&mut out, text);
        String::from_utf8(out).unwrap()
    }

    /// Asked of nats-server 2.15.1 with subjects it refuses.
    #[test]
    fn quotes_as_the_real_server_does() {
        for (text, expected) in [
            (&b"foo.*.>"[..], "foo.*.>"),
            (b"a\"b", "a\\\"b"),
            (b"a'b", "a'b"),
            (b"a\\b", "a\\\\b"),
            (
                b"\x00\x01\x07\x08\x0b\x0c\x7f\r",
                "\\x00\\x01\\a\\b\\v\\f\\x7f\\r",
            ),
            (b"\xff\xfe", "\\xff\\xfe"),
            (b"\xc2", "\\xc2"),
            (b"\xe2\x82", "\\xe2\\x82"),
            (b"\xed\xa0\x80", "\\xed\\xa0\\x80"),
            (b"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"),
            ("é😀\u{301}\u{fffd}".as_bytes(), "é😀\u{301}\u{fffd}"),
            ("\u{2028}\u{a0}\u{ad}".as_bytes(), "\\u2028\\u00a0\\u00ad"),
            (
                "\u{feff}\u{200d}\u{e000}".as_bytes(),
                "\\ufeff\\u200d\\ue000",
            ),
            ("\u{378}\u{85}\u{3000}".as_bytes(), "\\u0378\\u0085\\u3000"),
            ("\u{e0001}".as_bytes(), "\\U000e0001"),
        ] {
            assert_eq!(quoted(text), format!("\"{expected}\""));
        }
    }
}
