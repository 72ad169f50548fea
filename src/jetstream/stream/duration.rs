//! Durations in Go's text form, and the times to live of messages.

const NANOS: i64 = 1_000_000_000;

/// Units of Go's durations in nanoseconds.
const UNITS: [(&str, i64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", NANOS),
    ("m", 60 * NANOS),
    ("h", 3_600 * NANOS),
];

/// Reads a duration as Go's `time.ParseDuration` does: signed decimal numbers, each with a unit,
/// as `1h30m`, `1.5s`, `-2us`. `None` for anything else, and beyond 64 bits of nanoseconds.
pub fn parse_duration(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut sum: i128 = 0;
    while !rest.is_empty() {
        let (whole, behind) = split_digits(rest);
        let (fraction, behind) = match behind.strip_prefix('.') {
            Some(behind) => split_digits(behind),
            None => ("", behind),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let unit_end = behind
            .find(|c: char| c == '.' || c.is_ascii_digit())
            .unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(unit_end);
        let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit)?;
        let scale = i128::from(*scale);
        if !whole.is_empty() {
            sum += i128::from(whole.parse::<i64>().ok()?) * scale;
        }
        // Digits beyond a quintillionth are below a nanosecond of any unit.
        let mut part = scale;
        for digit in fraction.bytes().take(18) {
            sum_fraction(&mut sum, &mut part, digit);
        }
        if sum > i128::from(i64::MAX) {
            return None;
        }
        rest = behind;
    }
    let sum = i64::try_from(sum).ok()?;
    Some(if negative { -sum } else { sum })
}

/// Adds one digit of a fraction, whose place is worth a tenth of `part`.
fn sum_fraction(sum: &mut i128, part: &mut i128, digit: u8) {
    let value = *part * i128::from(digit - b'0') / 10;
    *sum += value;
    *part /= 10;
}

fn split_digits(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text.split_at(end)
}

/// Writes a duration as Go's `time.Duration` prints it: `1h0m0s`, `1.5s`, `250ms`, `0s`.
pub fn push_duration(out: &mut Vec<u8>, nanos: i64) {
    use std::io::Write as _;
    if nanos < 0 {
        out.push(b'-');
    }
    let nanos = nanos.unsigned_abs();
    // Writing to a vector cannot fail.
    let _ = match nanos {
        0 => write!(out, "0s"),
        1..1_000 => write!(out, "{nanos}ns"),
        1_000..1_000_000 => write_fraction(out, nanos, 1_000, "µs"),
        1_000_000..1_000_000_000 => write_fraction(out, nanos, 1_000_000, "ms"),
        _ => {
            let seconds = nanos / 1_000_000_000;
            let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
            if hours > 0 {
                let _ = write!(out, "{hours}h");
            }
            if hours > 0 || minutes > 0 {
                let _ = write!(out, "{minutes}m");
            }
            write_fraction(out, nanos % 60_000_000_000, 1_000_000_000, "s")
        }
    };
}

fn write_fraction(out: &mut Vec<u8>, value: u64, unit: u64, name: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    let (whole, fraction) = (value / unit, value % unit);
    if fraction == 0 {
        return write!(out, "{whole}{name}");
    }
    let width = unit.ilog10() as usize;
    let digits = format!("{fraction:0width$}");
    write!(out, "{whole}.{}{name}", digits.trim_end_matches('0'))
}

/// How long a message lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeToLive {
    /// Whole seconds, at least one.
    Seconds(i64),
    /// Not even as long as `max_age` says.
    Never,
}

impl TimeToLive {
    /// Reads the value of `Nats-TTL`: seconds, a duration of at least one, or `never`.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.eq_ignore_ascii_case(b"never") {
            return Some(Self::Never);
        }
        let seconds = if text.iter().all(u8::is_ascii_digit) {
            std::str::from_utf8(text).ok()?.parse().ok()?
        } else if text.first() == Some(&b'+') {
            return None;
        } else {
            parse_duration(text)? / NANOS
        };
        (seconds >= 1).then_some(Self::Seconds(seconds))
    }

    /// When a message of this time ends; `None` if it never does.
    pub fn end(self, unix_ns: i64) -> Option<i64> {
        match self {
            Self::Seconds(seconds) => Some(unix_ns.saturating_add(seconds.saturating_mul(NANOS))),
            Self::Never => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        for (text, expected) in [
            ("1s", Some(NANOS)),
            ("1.5s", Some(1_500_000_000)),
            ("1h30m", Some(5400 * NANOS)),
            ("-2us", Some(-2000)),
            ("+5m", Some(300 * NANOS)),
            (".5s", Some(500_000_000)),
            ("1.s", Some(NANOS)),
            ("0", Some(0)),
            ("100ms", Some(100_000_000)),
            ("2562048h", None),
            ("1", None),
            ("", None),
            ("s", None),
            (".s", None),
            ("1d", None),
            ("1 s", None),
            ("--1s", None),
        ] {
            assert_eq!(parse_duration(text.as_bytes()), expected, "{text}");
        }
        for (nanos, expected) in [
            (0, "0s"),
            (NANOS, "1s"),
            (3600 * NANOS, "1h0m0s"),
            (90 * NANOS, "1m30s"),
            (1_500_000_000, "1.5s"),
            (250_000_000, "250ms"),
            (1_500, "1.5µs"),
            (-NANOS, "-1s"),
            (5, "5ns"),
        ] {
            let mut out = Vec::new();
            push_duration(&mut out, nanos);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    /// Asked of nats-server 2.15.1.
    #[test]
    fn times_to_live_are_whole_seconds() {
        use TimeToLive::{Never, Seconds};
        for (text, expected) in [
            ("1", Some(Seconds(1))),
            ("9999999999", Some(Seconds(9_999_999_999))),
            ("1s", Some(Seconds(1))),
            ("1500ms", Some(Seconds(1))),
            ("1.5s", Some(Seconds(1))),
            ("1h", Some(Seconds(3600))),
            ("never", Some(Never)),
            ("Never", Some(Never)),
            ("0", None),
            ("-1", None),
            ("+5", None),
            ("x", None),
            ("500ms", None),
            ("1.5", None),
            ("1d", None),
        ] {
            assert_eq!(TimeToLive::parse(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(Seconds(i64::MAX).end(5), Some(i64::MAX));
    }
}
