//! Numbers as people read them: three significant digits, units, thousands.

use crate::result::Unit;

/// A latency or a cost in nanoseconds, in the unit that suits it: "41.2 µs".
pub fn nanoseconds(value: f64) -> String {
    let size = value.abs();
    // Just below a unit's end, rounding would give 1000 of the smaller one.
    match size {
        _ if size < 999.5 => format!("{} ns", digits(value)),
        _ if size < 999.5e3 => format!("{} µs", digits(value / 1e3)),
        _ if size < 999.5e6 => format!("{} ms", digits(value / 1e6)),
        _ => format!("{} s", digits(value / 1e9)),
    }
}

/// Three significant digits; whole numbers with thousands from 1000 on.
pub fn digits(value: f64) -> String {
    let size = value.abs();
    match size {
        _ if size >= 99.95 => count(value.round()),
        _ if size >= 9.995 => format!("{value:.1}"),
        _ if size >= 0.9995 => format!("{value:.2}"),
        _ if size == 0.0 => "0".into(),
        _ => format!("{value:.3}"),
    }
}

/// A whole number with thousands: "1,234,567".
pub fn count(value: f64) -> String {
    let plain = format!("{:.0}", value.abs());
    let mut text = String::new();
    if value < 0.0 && plain != "0" {
        text.push('-');
    }
    for (index, digit) in plain.chars().enumerate() {
        if index > 0 && (plain.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

pub fn whole(value: u64) -> String {
    count(value as f64)
}

/// Bytes in KiB, MiB or GiB.
pub fn bytes(value: f64) -> String {
    const KIB: f64 = 1024.0;
    let size = value.abs();
    match size {
        _ if size < 10.0 * KIB => format!("{} B", digits(value)),
        _ if size < KIB * KIB => format!("{} KiB", digits(value / KIB)),
        _ if size < KIB * KIB * KIB => format!("{} MiB", digits(value / KIB / KIB)),
        _ => format!("{} GiB", digits(value / KIB / KIB / KIB)),
    }
}

/// Messages a second in few characters: "199k", "1.25M".
pub fn short_rate(value: f64) -> String {
    match value {
        _ if value < 9_999.5 => count(value),
        _ if value < 999.5e3 => format!("{}k", digits(value / 1e3)),
        _ => format!("{}M", digits(value / 1e6)),
    }
}

/// A figure in its unit.
pub fn figure(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Nanoseconds => nanoseconds(value),
        Unit::Bytes => bytes(value),
        Unit::PerSecond => format!("{}/s", count(value)),
    }
}

/// Seconds without needless digits: "10 s", "0.5 s".
pub fn seconds(nanoseconds: u64) -> String {
    let text = format!("{:.2}", nanoseconds as f64 / 1e9);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text} s")
}

/// A share as a percentage.
pub fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// A moment as RFC 3339 writes it, but for people.
pub fn date(unix_ms: u64) -> String {
    i64::try_from(unix_ms)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        .map(|time| time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
        .unwrap_or_default()
}

/// Words as a shell takes them: quoted where one would split or expand them.
pub fn shell_line(words: &[String]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| shell_word(word)).collect();
    quoted.join(" ")
}

fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_and_a_unit_that_suits() {
        for (value, text) in [
            (0.0, "0 ns"),
            (850.0, "850 ns"),
            (999.6, "1.00 µs"),
            (41_234.0, "41.2 µs"),
            (999_600.0, "1.00 ms"),
            (5_400_000_000.0, "5.40 s"),
            (63.4, "63.4 ns"),
            (3_600e9, "3,600 s"),
        ] {
            assert_eq!(nanoseconds(value), text);
        }
        assert_eq!(digits(0.0312), "0.031");
        assert_eq!(digits(-12_345.0), "-12,345");
    }

    #[test]
    fn thousands_bytes_and_rates() {
        assert_eq!(count(1_234_567.0), "1,234,567");
        assert_eq!((count(999.0), count(-0.2)), ("999".into(), "0".into()));
        assert_eq!(bytes(1153.0), "1,153 B");
        assert_eq!(bytes(52_289.0), "51.1 KiB");
        assert_eq!(bytes(14.0 * 1024.0 * 1024.0), "14.0 MiB");
        assert_eq!(short_rate(19_998.0), "20.0k");
        assert_eq!(short_rate(4_250_000.0), "4.25M");
        assert_eq!(figure(1000.0, Unit::PerSecond), "1,000/s");
        assert_eq!(seconds(500_000_000), "0.5 s");
        assert_eq!(seconds(10_000_000_000), "10 s");
        assert_eq!(seconds(4_999_500_000), "5 s");
        assert_eq!(seconds(0), "0 s");
        assert_eq!(date(0), "1970-01-01 00:00:00 UTC");
    }

    #[test]
    fn a_command_can_be_pasted_into_a_shell() {
        let words = ["loadgen", "--a", "env A=1 'x' {port}", ""].map(str::to_owned);
        assert_eq!(
            shell_line(&words),
            r"loadgen --a 'env A=1 '\''x'\'' {port}' ''"
        );
    }
}
