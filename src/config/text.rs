//! Text forms that nats-server inherits from Go: quoted strings and durations.
//!
//! Messages and log lines must read the same, so these follow the documented output of Go's
//! `strconv.Quote`, `time.ParseDuration` and `time.Duration.String`.

use std::fmt::Write as _;
use std::time::Duration;

/// Longest duration of the configuration language, in nanoseconds (the range of a signed 64-bit
/// count, about 292 years).
const MAX_NANOS: u64 = i64::MAX as u64;

/// Text from bytes; each byte that is not UTF-8 becomes one U+FFFD, as Go's JSON reader does with
/// the passwords of CONNECT, so that the two still compare equal.
pub(super) fn lossy(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes;
    loop {
        match std::str::from_utf8(rest) {
            Ok(valid) => {
                text.push_str(valid);
                return text;
            }
            Err(error) => {
                let (valid, broken) = rest.split_at(error.valid_up_to());
                text.push_str(std::str::from_utf8(valid).unwrap_or_default());
                text.push(char::REPLACEMENT_CHARACTER);
                rest = &broken[1..];
            }
        }
    }
}

/// Text in double quotes with escapes, as the `%q` of nats-server's messages.
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0b' => out.push_str("\\v"),
            '\x0c' => out.push_str("\\f"),
            c if (c as u32) < 0x20 || c == '\x7f' => {
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A duration with its sign; the configuration language knows negative ones and most options
/// refuse them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SignedDuration {
    pub negative: bool,
    pub length: Duration,
}

/// Reads a duration such as `1h30m`, `1.5s` or `100ms`. The error is the text of nats-server's
/// message after the colon.
pub(super) fn parse_duration(text: &str) -> Result<SignedDuration, String> {
    let invalid = || format!("time: invalid duration {}", quoted_bytes(text));
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(SignedDuration {
            negative: false,
            length: Duration::ZERO,
        });
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut nanos: u64 = 0;
    while !rest.is_empty() {
        let whole_len = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (whole, after) = rest.split_at(whole_len);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => after.split_at(after.bytes().take_while(u8::is_ascii_digit).count()),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(invalid());
        }
        let unit_len = after
            .bytes()
            .take_while(|b| *b != b'.' && !b.is_ascii_digit())
            .count();
        let (unit, after) = after.split_at(unit_len);
        if unit.is_empty() {
            return Err(format!(
                "time: missing unit in duration {}",
                quoted_bytes(text)
            ));
        }
        let Some(scale) = unit_nanos(unit) else {
            return Err(format!(
                "time: unknown unit {} in duration {}",
                quoted_bytes(unit),
                quoted_bytes(text)
            ));
        };
        let whole = if whole.is_empty() {
            0
        } else {
            whole.parse::<u64>().map_err(|_| invalid())?
        };
        let part = whole
            .checked_mul(scale)
            .and_then(|n| n.checked_add(fraction_nanos(fraction, scale)))
            .ok_or_else(invalid)?;
        nanos = nanos
            .checked_add(part)
            .filter(|&n| n <= MAX_NANOS)
            .ok_or_else(invalid)?;
        rest = after;
    }
    Ok(SignedDuration {
        negative: negative && nanos > 0,
        length: Duration::from_nanos(nanos),
    })
}

fn unit_nanos(unit: &str) -> Option<u64> {
    Some(match unit {
        "ns" => 1,
        // The micro sign and the Greek letter are both in use.
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60 * 1_000_000_000,
        "h" => 3600 * 1_000_000_000,
        _ => return None,
    })
}

/// The nanoseconds of the digits behind the point; below one unit, so it never overflows.
fn fraction_nanos(digits: &str, scale: u64) -> u64 {
    /// More digits than this are below a nanosecond even of an hour.
    const MAX_DIGITS: usize = 18;
    let mut value: u128 = 0;
    let mut divisor: u128 = 1;
    for digit in digits.bytes().take(MAX_DIGITS) {
        value = value * 10 + u128::from(digit - b'0');
        divisor *= 10;
    }
    (value * u128::from(scale) / divisor) as u64
}

/// Durations are quoted byte by byte: everything outside printable ASCII as `\xNN`.
fn quoted_bytes(text: &str) -> String {
    let mut out = String::from("\"");
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => {
                out.push('\\');
                out.push(byte as char);
            }
            b' '..=b'~' => out.push(byte as char),
            _ => {
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
    }
    out.push('"');
    out
}

/// A duration as nats-server prints it: `2m0s`, `1.5s`, `100ms`.
pub fn duration_text(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    if nanos == 0 {
        return "0s".to_owned();
    }
    let small = [
        (1_000u128, 1u128, "ns"),
        (1_000_000, 1_000, "\u{b5}s"),
        (1_000_000_000, 1_000_000, "ms"),
    ];
    for (below, unit, name) in small {
        if nanos < below {
            return format!("{}{name}", decimal(nanos, unit));
        }
    }
    let second: u128 = 1_000_000_000;
    let minutes = nanos / (60 * second);
    let seconds = decimal(nanos % (60 * second), second);
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m{seconds}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// `nanos / unit` with as many decimals as it takes. The unit is a power of ten.
fn decimal(nanos: u128, unit: u128) -> String {
    let whole = nanos / unit;
    let rest = nanos % unit;
    if rest == 0 {
        return whole.to_string();
    }
    let digits = unit.ilog10() as usize;
    let fraction = format!("{rest:0digits$}");
    format!("{whole}.{}", fraction.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nanos(text: &str) -> Result<i128, String> {
        parse_duration(text).map(|d| {
            let n = d.length.as_nanos() as i128;
            if d.negative { -n } else { n }
        })
    }

    /// Accepted and refused forms, each checked against nats-server 2.15.1.
    #[test]
    fn durations_read_as_nats_server_reads_them() {
        assert_eq!(nanos("1h30m"), Ok(5_400_000_000_000));
        assert_eq!(nanos("1.5h30m"), Ok(7_200_000_000_000));
        assert_eq!(nanos(".5s"), Ok(500_000_000));
        assert_eq!(nanos("5.s"), Ok(5_000_000_000));
        assert_eq!(nanos("5\u{b5}s"), Ok(5_000));
        assert_eq!(nanos("0"), Ok(0));
        assert_eq!(nanos("-5s"), Ok(-5_000_000_000));
        assert_eq!(nanos("+5s"), Ok(5_000_000_000));
        for (text, message) in [
            ("", r#"time: invalid duration """#),
            ("-", r#"time: invalid duration "-""#),
            ("s", r#"time: invalid duration "s""#),
            ("5", r#"time: missing unit in duration "5""#),
            ("1.2.3s", r#"time: missing unit in duration "1.2.3s""#),
            ("5 s", r#"time: unknown unit " s" in duration "5 s""#),
            ("1h-5m", r#"time: unknown unit "h-" in duration "1h-5m""#),
            ("1d", r#"time: unknown unit "d" in duration "1d""#),
            ("a\nb", r#"time: invalid duration "a\x0ab""#),
            ("2562048h", r#"time: invalid duration "2562048h""#),
            (
                "99999999999999999999h",
                r#"time: invalid duration "99999999999999999999h""#,
            ),
        ] {
            assert_eq!(nanos(text), Err(message.to_owned()), "{text:?}");
        }
    }

    #[test]
    fn durations_print_as_nats_server_prints_them() {
        for (nanos, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5\u{b5}s"),
            (100_000_000, "100ms"),
            (1_050_000_000, "1.05s"),
            (120_000_000_000, "2m0s"),
            (90_500_000_000, "1m30.5s"),
            (3_600_000_000_000, "1h0m0s"),
        ] {
            assert_eq!(duration_text(Duration::from_nanos(nanos)), text);
        }
    }

    #[test]
    fn quoting_escapes_what_does_not_print() {
        assert_eq!(quoted("a\"b\\\n\x01"), r#""a\"b\\\n\x01""#);
        assert_eq!(lossy(b"a\xff\xc3\xa9"), "a\u{fffd}\u{e9}");
    }

    proptest::proptest! {
        #[test]
        fn printed_durations_read_back(nanos in 0..MAX_NANOS) {
            let duration = Duration::from_nanos(nanos);
            let read = parse_duration(&duration_text(duration));
            proptest::prop_assert_eq!(read, Ok(SignedDuration { negative: false, length: duration }));
        }

        #[test]
        fn no_text_breaks_the_reader(text in "\\PC*|[-+0-9.hmsuµn]*") {
            let _ = parse_duration(&text);
        }
    }
}
