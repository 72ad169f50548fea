//! Pull requests: the payload of `$JS.API.CONSUMER.MSG.NEXT` and of `+NXT`.

use std::borrow::Cow;

use crate::jetstream::json;
use crate::json_object;

use super::ack::plain_number;

/// A pull request. Durations are in nanoseconds; what is not given is 0 or empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PullRequest<'a> {
    /// Messages wanted; below 1 means 1.
    pub batch: i64,
    /// Negative: it has expired when it comes.
    pub expires: i64,
    pub max_bytes: i64,
    pub no_wait: bool,
    pub idle_heartbeat: i64,
    pub group: Cow<'a, [u8]>,
    pub min_pending: i64,
    pub min_ack_pending: i64,
    /// The pin that the client holds.
    pub id: Cow<'a, [u8]>,
    pub priority: i64,
}

impl<'a> PullRequest<'a> {
    /// Reads a payload: nothing, a number, or JSON. Anything else asks for one message.
    ///
    /// # Errors
    /// Go's text for what is wrong with the JSON.
    pub fn parse(payload: &'a [u8]) -> Result<Self, String> {
        let payload = payload.trim_ascii();
        if payload.first() != Some(&b'{') {
            let batch = plain_number(payload).and_then(|n| i64::try_from(n).ok());
            return Ok(Self {
                batch: batch.unwrap_or(1),
                ..Self::default()
            });
        }
        Self::scan(payload).map_or_else(|| Self::decode(payload), Ok)
    }

    /// Messages wanted.
    pub fn wanted(&self) -> u64 {
        u64::try_from(self.batch).unwrap_or(0).max(1)
    }

    /// JSON as clients write it: one flat object, no escapes. `None` for anything else, which
    /// the general reader then decides.
    fn scan(text: &'a [u8]) -> Option<Self> {
        let mut request = Self::default();
        let mut rest = text.strip_prefix(b"{")?.trim_ascii_start();
        if rest == b"}" {
            return Some(request);
        }
        loop {
            let (name, after) = string(rest)?;
            rest = after
                .trim_ascii_start()
                .strip_prefix(b":")?
                .trim_ascii_start();
            match name {
                b"batch" => request.batch = integer(&mut rest)?,
                b"expires" => request.expires = integer(&mut rest)?,
                b"max_bytes" => request.max_bytes = integer(&mut rest)?,
                b"idle_heartbeat" => request.idle_heartbeat = integer(&mut rest)?,
                b"min_pending" => request.min_pending = integer(&mut rest)?,
                b"min_ack_pending" => request.min_ack_pending = integer(&mut rest)?,
                b"priority" => request.priority = integer(&mut rest)?,
                b"no_wait" => {
                    let (value, after) = match rest {
                        [b't', b'r', b'u', b'e', after @ ..] => (true, after),
                        [b'f', b'a', b'l', b's', b'e', after @ ..] => (false, after),
                        _ => return None,
                    };
                    request.no_wait = value;
                    rest = after;
                }
                b"group" | b"id" => {
                    let (value, after) = string(rest)?;
                    if name == b"id" {
                        request.id = value.into();
                    } else {
                        request.group = value.into();
                    }
                    rest = after;
                }
                _ => return None,
            }
            rest = rest.trim_ascii_start();
            match rest {
                b"}" => return Some(request),
                [b',', after @ ..] => rest = after.trim_ascii_start(),
                _ => return None,
            }
        }
    }

    fn decode(text: &[u8]) -> Result<Self, String> {
        let mut fields = Fields::default();
        json::decode(&mut fields, text, "", false).map_err(|e| match e.0.as_str() {
            "unexpected EOF" => "unexpected end of JSON input".to_owned(),
            _ => e.0,
        })?;
        Ok(Self {
            batch: fields.batch,
            expires: fields.expires,
            max_bytes: fields.max_bytes,
            no_wait: fields.no_wait,
            idle_heartbeat: fields.idle_heartbeat,
            group: fields.group.into_bytes().into(),
            min_pending: fields.min_pending,
            min_ack_pending: fields.min_ack_pending,
            id: fields.id.into_bytes().into(),
            priority: fields.priority,
        })
    }
}

#[derive(Default)]
struct Fields {
    batch: i64,
    expires: i64,
    max_bytes: i64,
    no_wait: bool,
    idle_heartbeat: i64,
    group: String,
    min_pending: i64,
    min_ack_pending: i64,
    id: String,
    priority: i64,
}

json_object!(Fields, "struct", {
    "expires" => expires with json::duration,
    "batch" => batch with json::int,
    "max_bytes" => max_bytes with json::int,
    "no_wait" => no_wait,
    "idle_heartbeat" => idle_heartbeat with json::duration,
    "group" => group,
    "min_pending" => min_pending,
    "min_ack_pending" => min_ack_pending,
    "id" => id,
    "priority" => priority with json::int,
});

/// A string without escapes, and what follows.
fn string(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = text.strip_prefix(b"\"")?;
    let end = text
        .iter()
        .position(|&b| b == b'"' || b == b'\\' || !(0x20..0x80).contains(&b))?;
    (text[end] == b'"').then(|| (&text[..end], &text[end + 1..]))
}

/// An integer without leading zeros, of at most 18 digits; moves `text` behind it.
fn integer(text: &mut &[u8]) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, *text),
    };
    let length = digits.iter().take_while(|b| b.is_ascii_digit()).count();
    let leading_zero = length > 1 && digits[0] == b'0';
    if length == 0 || length > 18 || leading_zero {
        return None;
    }
    let number = digits[..length]
        .iter()
        .fold(0i64, |number, digit| number * 10 + i64::from(digit - b'0'));
    *text = &digits[length..];
    Some(if negative { -number } else { number })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<PullRequest<'_>, String> {
        PullRequest::parse(text.as_bytes())
    }

    /// Asked of nats-server 2.15.1.
    #[test]
    fn payloads_have_many_forms() {
        for (payload, wanted) in [
            ("", 1),
            ("0", 1),
            ("-3", 1),
            ("3 ", 3),
            ("abc", 1),
            ("[1]", 1),
            ("null", 1),
            ("99999999999999999999", 1),
            (r#"{"batch":7}"#, 7),
            (r#"{"batch":-7}"#, 1),
            ("{}", 1),
            ("{ }", 1),
        ] {
            assert_eq!(parse(payload).unwrap().wanted(), wanted, "{payload}");
        }
        let request = parse(
            r#"{"expires":30000000000, "batch":5,"max_bytes":9,"no_wait":true,"idle_heartbeat":-4,"group":"A","min_pending":1,"min_ack_pending":2,"id":"x","priority":3}"#,
        )
        .unwrap();
        let expected = PullRequest {
            batch: 5,
            expires: 30_000_000_000,
            max_bytes: 9,
            no_wait: true,
            idle_heartbeat: -4,
            group: b"A"[..].into(),
            min_pending: 1,
            min_ack_pending: 2,
            id: b"x"[..].into(),
            priority: 3,
        };
        assert_eq!(request, expected);
        assert!(matches!(request.group, Cow::Borrowed(_)));
    }

    /// Asked of nats-server 2.15.1.
    #[test]
    fn bad_json_has_the_texts_of_go() {
        for (payload, text) in [
            ("{", "unexpected end of JSON input"),
            (
                r#"{"batch":"x"}"#,
                "json: cannot unmarshal string into Go struct field .batch of type int",
            ),
            (
                r#"{"batch":1.5}"#,
                "json: cannot unmarshal number 1.5 into Go struct field .batch of type int",
            ),
        ] {
            assert_eq!(parse(payload).unwrap_err(), text, "{payload}");
        }
        // Unknown fields do not matter here, nor does the case of names.
        assert_eq!(parse(r#"{"Batch":3,"foo":{"bar":1}}"#).unwrap().batch, 3);
    }

    proptest! {
        #[test]
        fn the_fast_way_agrees_with_the_general_one(
            text in r#"\{("(batch|expires|no_wait|id|group|x)" ?: ?(-?[0-9]{1,3}|true|false|"[a-z]{0,3}"|null|[1-9]{17,21}),?){0,4}\}"#
        ) {
            if let Some(fast) = PullRequest::scan(text.as_bytes()) {
                prop_assert_eq!(Ok(fast), PullRequest::decode(text.as_bytes()));
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = PullRequest::parse(&bytes);
        }
    }
}
