//! JSON with the escapes of Go's encoder, for output that is compared byte for byte.

use std::io;

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

/// Appends `value` as Go's `json.Marshal` writes it: compact, and with `<`, `>`, `&`, U+2028 and
/// U+2029 escaped.
///
/// # Errors
/// Whatever the value's own `Serialize` reports; writing itself cannot fail.
pub fn append<T: Serialize + ?Sized>(
    out: &mut Vec<u8>,
    value: &T,
) -> Result<(), serde_json::Error> {
    value.serialize(&mut Serializer::with_formatter(out, GoEscapes))
}

struct GoEscapes;

impl Formatter for GoEscapes {
    fn write_string_fragment<W>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()>
    where
        W: ?Sized + io::Write,
    {
        let mut plain = 0;
        for (at, c) in fragment.char_indices() {
            let escape: &[u8] = match c {
                '<' => b"\\u003c",
                '>' => b"\\u003e",
                '&' => b"\\u0026",
                '\u{2028}' => b"\\u2028",
                '\u{2029}' => b"\\u2029",
                _ => continue,
            };
            writer.write_all(&fragment.as_bytes()[plain..at])?;
            writer.write_all(escape)?;
            plain = at + c.len_utf8();
        }
        writer.write_all(&fragment.as_bytes()[plain..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_go_escapes() {
        let mut out = b"x".to_vec();
        append(&mut out, "a<b>&'c'é\u{2028}\"\\\u{1}").unwrap();
        let expected = r#"x"a\u003cb\u003e\u0026'c'é\u2028\"\\\u0001""#;
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
