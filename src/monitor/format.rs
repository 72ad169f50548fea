//! How nats-server writes times, durations, numbers and JSON.
//!
//! Tools parse these texts, so they are reproduced to the character. The rules were
//! read off the answers of nats-server 2.15.1.

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use serde::{Serialize, Serializer};

/// A point in time: nanoseconds since 1970-01-01T00:00:00Z.
///
/// Reaches from the year 1677 to 2262; the monitor never reads a clock itself.
pub type UnixNanos = i64;

const MICROSECOND: u64 = 1_000;
const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;

/// RFC 3339 in UTC with as many digits of the second as are needed, e.g.
/// `2026-11-22T21:52:16.22897349Z`.
pub fn rfc3339(at: UnixNanos) -> String {
    timestamp(at).to_string()
}

/// The date of an HTTP head (RFC 9110, section 5.6.7), e.g. `Sun, 22 Nov 2026 21:52:16 GMT`.
pub fn http_date(at: UnixNanos) -> String {
    // Only years below zero have no such form, and no i64 of nanoseconds reaches them.
    rfc2822::DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&timestamp(at))
        .unwrap_or_default()
}

fn timestamp(at: UnixNanos) -> Timestamp {
    // Every i64 of nanoseconds lies within jiff's range of years.
    Timestamp::from_nanosecond(i128::from(at)).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// The nanoseconds from `earlier` to `later`, zero if the clock went back between them.
pub fn elapsed(earlier: UnixNanos, later: UnixNanos) -> u64 {
    u64::try_from(later.saturating_sub(earlier)).unwrap_or(0)
}

/// A length of time in whole seconds as varz and connz write uptime and idle time:
/// `5s`, `2m5s`, `1h0m5s`, `3d1h0m5s`, `1y3d1h0m5s` (a year has 365 days).
pub fn uptime(nanos: u64) -> String {
    let seconds = nanos / SECOND;
    let (minutes, s) = (seconds / 60, seconds % 60);
    let (hours, m) = (minutes / 60, minutes % 60);
    let (days, h) = (hours / 24, hours % 24);
    let (years, d) = (days / 365, days % 365);
    match (years, days, hours, minutes) {
        (0, 0, 0, 0) => format!("{s}s"),
        (0, 0, 0, _) => format!("{m}m{s}s"),
        (0, 0, _, _) => format!("{h}h{m}m{s}s"),
        (0, _, _, _) => format!("{d}d{h}h{m}m{s}s"),
        _ => format!("{years}y{d}d{h}h{m}m{s}s"),
    }
}

/// A length of time as Go's `Duration.String` writes it: `0s`, `466µs`, `1.534589ms`, `1m0.5s`.
pub fn go_duration(nanos: u64) -> String {
    match nanos {
        0 => "0s".to_owned(),
        1..MICROSECOND => format!("{nanos}ns"),
        MICROSECOND..MILLISECOND => format!("{}µs", decimal(nanos, MICROSECOND)),
        MILLISECOND..SECOND => format!("{}ms", decimal(nanos, MILLISECOND)),
        _ => {
            let minutes = nanos / SECOND / 60;
            let seconds = decimal(nanos - minutes * 60 * SECOND, SECOND);
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{seconds}s"),
                (0, m) => format!("{m}m{seconds}s"),
                (h, m) => format!("{h}h{m}m{seconds}s"),
            }
        }
    }
}

/// A round-trip time as connz shows it: whole microseconds below a millisecond.
pub fn rtt(nanos: u64) -> String {
    if nanos < MILLISECOND {
        go_duration(nanos - nanos % MICROSECOND)
    } else {
        go_duration(nanos)
    }
}

/// `value / unit` with the digits behind the point that are not zero; `unit` is a power of ten.
fn decimal(value: u64, unit: u64) -> String {
    let (whole, rest) = (value / unit, value % unit);
    if rest == 0 {
        return whole.to_string();
    }
    let digits = unit.ilog10() as usize;
    let fraction = format!("{rest:0digits$}");
    format!("{whole}.{}", fraction.trim_end_matches('0'))
}

/// A number that Go keeps as float64: whole ones are written without a point (`2`, not `2.0`).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct GoFloat(pub f64);

impl Serialize for GoFloat {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        /// Above this not every whole number is a float64, and Go changes to exponents later.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        if self.0.fract() == 0.0 && self.0.abs() < EXACT {
            serializer.serialize_i64(self.0 as i64)
        } else if self.0.is_finite() {
            serializer.serialize_f64(self.0)
        } else {
            // JSON has no infinities; a rate of nothing over nothing is nothing.
            serializer.serialize_i64(0)
        }
    }
}

/// Pretty JSON with two blanks of indentation, `<`, `>`, `&` and the two line separators of
/// Unicode escaped, as nats-server writes it.
pub fn pretty_json<T: Serialize>(value: &T) -> Vec<u8> {
    escape_for_html(&serde_json::to_vec_pretty(value).unwrap_or_else(unwritable))
}

/// The same on one line; healthz is written so.
pub fn compact_json<T: Serialize>(value: &T) -> Vec<u8> {
    escape_for_html(&serde_json::to_vec(value).unwrap_or_else(unwritable))
}

/// Compact JSON in the form of [`pretty_json`].
pub fn indent(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len() * 2);
    let mut depth = 0;
    let mut in_text = false;
    let mut escaped = false;
    let line = |out: &mut Vec<u8>, depth: usize| {
        out.push(b'\n');
        out.resize(out.len() + 2 * depth, b' ');
    };
    for (at, &byte) in json.iter().enumerate() {
        if in_text {
            out.push(byte);
            in_text = escaped || byte != b'"';
            escaped = byte == b'\\' && !escaped;
            continue;
        }
        match byte {
            b'{' | b'[' => {
                out.push(byte);
                depth += 1;
                if !matches!(json.get(at + 1), Some(b'}' | b']')) {
                    line(&mut out, depth);
                }
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if !matches!(
                    at.checked_sub(1).and_then(|at| json.get(at)),
                    Some(b'{' | b'[')
                ) {
                    line(&mut out, depth);
                }
                out.push(byte);
            }
            b',' => {
                out.push(byte);
                line(&mut out, depth);
            }
            b':' => out.extend_from_slice(b": "),
            _ => {
                in_text = byte == b'"';
                out.push(byte);
            }
        }
    }
    out
}

/// Pretty JSON on one line: what stands between texts loses its blanks.
pub fn squeeze(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len());
    let (mut in_text, mut escaped) = (false, false);
    for &byte in json {
        if in_text {
            in_text = escaped || byte != b'"';
            escaped = byte == b'\\' && !escaped;
        } else if byte.is_ascii_whitespace() {
            continue;
        } else {
            in_text = byte == b'"';
        }
        out.push(byte);
    }
    out
}

/// Serialization into memory fails only for maps with keys that are no text; there is none here.
fn unwritable(error: serde_json::Error) -> Vec<u8> {
    debug_assert!(false, "monitoring JSON: {error}");
    b"{}".to_vec()
}

/// These characters stand only within strings, where an escape means the same.
fn escape_for_html(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len());
    let mut rest = json;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'<' => out.extend_from_slice(b"\\u003c"),
            b'>' => out.extend_from_slice(b"\\u003e"),
            b'&' => out.extend_from_slice(b"\\u0026"),
            0xe2 if tail.starts_with(&[0x80, 0xa8]) || tail.starts_with(&[0x80, 0xa9]) => {
                out.extend_from_slice(if tail[1] == 0xa8 {
                    b"\\u2028"
                } else {
                    b"\\u2029"
                });
                rest = &tail[2..];
            }
            _ => out.push(byte),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_drop_trailing_zeros() {
        assert_eq!(
            rfc3339(1_795_384_336_228_973_490),
            "2026-11-22T21:52:16.22897349Z"
        );
        assert_eq!(rfc3339(1_795_384_336_000_000_000), "2026-11-22T21:52:16Z");
        assert_eq!(rfc3339(i64::MIN), "1677-09-21T00:12:43.145224192Z");
        assert_eq!(rfc3339(i64::MAX), "2262-04-11T23:47:16.854775807Z");
    }

    #[test]
    fn squeezing_undoes_indenting() {
        let json = r#"{"a b":[1,{"c":"x \\\" y"}],"d":{}}"#.as_bytes();
        assert_eq!(squeeze(&indent(json)), json);
    }

    #[test]
    fn http_dates_are_of_fixed_length() {
        assert_eq!(
            http_date(1_795_384_336_228_973_490),
            "Sun, 22 Nov 2026 21:52:16 GMT"
        );
        assert_eq!(http_date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
    }

    #[test]
    fn uptime_starts_at_the_first_unit_that_is_not_zero() {
        let of = |seconds: u64| uptime(seconds * SECOND + 999);
        assert_eq!(of(0), "0s");
        assert_eq!(of(59), "59s");
        assert_eq!(of(125), "2m5s");
        assert_eq!(of(3_605), "1h0m5s");
        assert_eq!(of(86_400 + 2 * 3_600 + 3 * 60 + 4), "1d2h3m4s");
        assert_eq!(of(365 * 86_400), "1y0d0h0m0s");
        assert_eq!(of(366 * 86_400 + 1), "1y1d0h0m1s");
    }

    #[test]
    fn durations_are_written_as_go_does() {
        for (nanos, text) in [
            (0, "0s"),
            (1, "1ns"),
            (466_000, "466µs"),
            (1_500, "1.5µs"),
            (1_534_589, "1.534589ms"),
            (10 * SECOND, "10s"),
            (1_500 * MILLISECOND, "1.5s"),
            (60 * SECOND, "1m0s"),
            (3_600 * SECOND + 1, "1h0m0.000000001s"),
        ] {
            assert_eq!(go_duration(nanos), text);
        }
        assert_eq!(rtt(466_123), "466µs");
        assert_eq!(rtt(999), "0s");
        assert_eq!(rtt(1_534_589), "1.534589ms");
    }

    #[test]
    fn floats_and_text_follow_go() {
        let text = |value: f64| String::from_utf8(compact_json(&GoFloat(value))).unwrap();
        assert_eq!(text(2.0), "2");
        assert_eq!(text(1.5), "1.5");
        assert_eq!(text(0.5714285714285714), "0.5714285714285714");
        assert_eq!(text(f64::NAN), "0");
        assert_eq!(
            compact_json(&"a<b>&\u{2028}\u{2029}é\u{2027}"),
            "\"a\\u003cb\\u003e\\u0026\\u2028\\u2029é\u{2027}\"".as_bytes()
        );
    }
}
