//! The query string of a request: decoding and typed values, with nats-server's error texts.

use std::fmt::Write as _;

/// The decoded `name=value` pairs of a target, in order.
///
/// Decoded as Go's `url.ParseQuery` does: a pair with a broken escape or a semicolon is left out,
/// the first of several equal names counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query(Vec<(Vec<u8>, Vec<u8>)>);

/// A value that does not have the type asked for. Its text is the body of the 400 answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadValue {
    /// The text is no `kind`; `parser` is the name of the Go function that nats-server blames.
    Syntax {
        name: &'static str,
        kind: &'static str,
        parser: &'static str,
        value: Vec<u8>,
    },
    /// A number that the type cannot hold.
    Range {
        name: &'static str,
        kind: &'static str,
        parser: &'static str,
        value: Vec<u8>,
    },
}

impl std::fmt::Display for BadValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (BadValue::Syntax {
            name,
            kind,
            parser,
            value,
        }
        | BadValue::Range {
            name,
            kind,
            parser,
            value,
        }) = self;
        let problem = match self {
            BadValue::Syntax { .. } => "invalid syntax",
            BadValue::Range { .. } => "value out of range",
        };
        write!(
            f,
            "Error decoding {kind} for '{name}': strconv.{parser}: parsing {}: {problem}",
            go_quote(value)
        )
    }
}

impl std::error::Error for BadValue {}

impl Query {
    /// Decodes the part of a target behind the question mark.
    pub fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        Query(pairs.filter_map(decode_pair).collect())
    }

    /// Adds a value that was not part of a target; the first of a name counts.
    pub fn set(&mut self, name: &str, value: impl ToString) {
        self.0.push((name.into(), value.to_string().into_bytes()));
    }

    /// As [`Query::set`], in place of what is there.
    pub fn replace(&mut self, name: &str, value: impl ToString) {
        self.0.retain(|(key, _)| key != name.as_bytes());
        self.set(name, value);
    }

    /// The raw bytes of the first value of that name; empty if there is none.
    pub fn bytes(&self, name: &str) -> &[u8] {
        self.0
            .iter()
            .find(|(key, _)| key == name.as_bytes())
            .map_or(&[], |(_, value)| value)
    }

    /// The first value as text, bytes that are not UTF-8 replaced; empty if there is none.
    pub fn text(&self, name: &str) -> String {
        String::from_utf8_lossy(self.bytes(name)).into_owned()
    }

    /// A boolean in one of Go's spellings; absent or empty means false.
    pub fn bool(&self, name: &'static str) -> Result<bool, BadValue> {
        match self.bytes(name) {
            b"" | b"0" | b"f" | b"F" | b"false" | b"FALSE" | b"False" => Ok(false),
            b"1" | b"t" | b"T" | b"true" | b"TRUE" | b"True" => Ok(true),
            other => Err(BadValue::Syntax {
                name,
                kind: "boolean",
                parser: "ParseBool",
                value: other.to_vec(),
            }),
        }
    }

    /// A signed number; absent or empty means zero.
    pub fn int(&self, name: &'static str) -> Result<i64, BadValue> {
        self.number(name, "int", "Atoi", true)
    }

    /// An unsigned number; absent or empty means zero.
    pub fn uint(&self, name: &'static str) -> Result<u64, BadValue> {
        self.number(name, "uint64", "ParseUint", false)
    }

    fn number<N>(
        &self,
        name: &'static str,
        kind: &'static str,
        parser: &'static str,
        signs: bool,
    ) -> Result<N, BadValue>
    where
        N: std::str::FromStr + Default,
    {
        let value = self.bytes(name);
        if value.is_empty() {
            return Ok(N::default());
        }
        let digits = match value {
            [b'+' | b'-', rest @ ..] if signs => rest,
            all => all,
        };
        let fail = |range: bool| {
            let value = value.to_vec();
            if range {
                BadValue::Range {
                    name,
                    kind,
                    parser,
                    value,
                }
            } else {
                BadValue::Syntax {
                    name,
                    kind,
                    parser,
                    value,
                }
            }
        };
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return Err(fail(false));
        }
        // Only digits and at most one sign are left: what still fails is too large.
        let text = std::str::from_utf8(value).map_err(|_| fail(false))?;
        text.parse().map_err(|_| fail(true))
    }
}

fn decode_pair(pair: &str) -> Option<(Vec<u8>, Vec<u8>)> {
    if pair.contains(';') {
        return None;
    }
    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
    Some((
        percent_decode(name.as_bytes(), true)?,
        percent_decode(value.as_bytes(), true)?,
    ))
}

/// Undoes percent escapes; `None` if one is broken. In queries a plus sign means a blank.
pub fn percent_decode(text: &[u8], plus_is_blank: bool) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'%' => {
                let (digits, after) = tail.split_at_checked(2)?;
                let high = char::from(digits[0]).to_digit(16)?;
                let low = char::from(digits[1]).to_digit(16)?;
                out.push((high * 16 + low) as u8);
                rest = after;
            }
            b'+' if plus_is_blank => out.push(b' '),
            other => out.push(other),
        }
    }
    Some(out)
}

/// Text in double quotes as Go's `strconv.Quote` writes it.
fn go_quote(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            // Writing into a String cannot fail.
            let _ = match c {
                '"' => write!(out, "\\\""),
                '\\' => write!(out, "\\\\"),
                '\x07' => write!(out, "\\a"),
                '\x08' => write!(out, "\\b"),
                '\x0c' => write!(out, "\\f"),
                '\n' => write!(out, "\\n"),
                '\r' => write!(out, "\\r"),
                '\t' => write!(out, "\\t"),
                '\x0b' => write!(out, "\\v"),
                '\x00'..=' ' | '\x7f' if c != ' ' => write!(out, "\\x{:02x}", c as u32),
                _ if c.is_control() => write!(out, "\\u{:04x}", c as u32),
                _ => write!(out, "{c}"),
            };
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn int(text: &str) -> Result<i64, String> {
        let query = Query(vec![(b"limit".to_vec(), text.as_bytes().to_vec())]);
        query.int("limit").map_err(|error| error.to_string())
    }

    #[test]
    fn broken_pairs_are_left_out_and_the_first_value_counts() {
        let query = Query::parse("limit=1&limit=2&a=%zz&b=1;c=2&&d=x+y%2B&e");
        assert_eq!(query.bytes("limit"), b"1");
        assert_eq!(query.bytes("a"), b"");
        assert_eq!(query.bytes("b"), b"");
        assert_eq!(query.bytes("d"), b"x y+");
        assert_eq!(query.bytes("e"), b"");
    }

    #[test]
    fn booleans_are_spelled_as_in_go() {
        for (text, value) in [("T", true), ("True", true), ("0", false), ("", false)] {
            assert_eq!(
                Query::parse(&format!("auth={text}")).bool("auth"),
                Ok(value)
            );
        }
        let error = Query::parse("auth=a%22b%0Ac%00%C3%A9%F0%9F%98%80%ff%7f").bool("auth");
        assert_eq!(
            error.unwrap_err().to_string(),
            "Error decoding boolean for 'auth': strconv.ParseBool: \
             parsing \"a\\\"b\\nc\\x00é😀\\xff\\x7f\": invalid syntax"
        );
    }

    #[test]
    fn numbers_fail_with_the_texts_of_nats_server() {
        assert_eq!(int(""), Ok(0));
        assert_eq!(int("+3"), Ok(3));
        assert_eq!(int("-5"), Ok(-5));
        for text in ["abc", "1_0", " 1", "-", "+", "1.5", "0x1"] {
            assert_eq!(
                int(text).unwrap_err(),
                format!(
                    "Error decoding int for 'limit': strconv.Atoi: parsing \"{text}\": invalid syntax"
                )
            );
        }
        assert_eq!(
            int("99999999999999999999").unwrap_err(),
            "Error decoding int for 'limit': strconv.Atoi: \
             parsing \"99999999999999999999\": value out of range"
        );
        assert_eq!(
            Query::parse("cid=-1").uint("cid").unwrap_err().to_string(),
            "Error decoding uint64 for 'cid': strconv.ParseUint: parsing \"-1\": invalid syntax"
        );
        assert_eq!(
            Query::parse("cid=18446744073709551615").uint("cid"),
            Ok(u64::MAX)
        );
    }

    proptest! {
        #[test]
        fn no_query_is_a_panic(text in any::<String>()) {
            let query = Query::parse(&text);
            let _ = query.bool("a").map_err(|e| e.to_string());
            let _ = query.int("a").map_err(|e| e.to_string());
        }

        #[test]
        fn escaped_values_come_back(value in proptest::collection::vec(any::<u8>(), 0..40)) {
            let escaped: String = value.iter().map(|b| format!("%{b:02X}")).collect();
            let query = Query::parse(&format!("v={escaped}"));
            prop_assert_eq!(query.bytes("v"), &value[..]);
        }
    }
}
