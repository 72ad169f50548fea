//! Numbers, durations and quoted strings as clients read them.

use crate::protocol::quote::push_quoted;

/// Digits of the largest `u64`.
const MAX_DIGITS: usize = 20;

const PAIRS: &[u8; 200] = b"0001020304050607080910111213141516171819\
2021222324252627282930313233343536373839\
4041424344454647484950515253545556575859\
6061626364656667686970717273747576777879\
8081828384858687888990919293949596979899";

/// Appends `number` in decimal, two digits at a time.
#[inline]
pub fn push_u64(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; MAX_DIGITS];
    let mut at = MAX_DIGITS;
    while number >= 100 {
        let pair = (number % 100) as usize * 2;
        number /= 100;
        at -= 2;
        digits[at..at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
    }
    if number >= 10 {
        let pair = number as usize * 2;
        at -= 2;
        digits[at..at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
    } else {
        at -= 1;
        digits[at] = b'0' + number as u8;
    }
    out.extend_from_slice(&digits[at..]);
}

/// Digits of `number` in decimal.
pub fn width(number: u64) -> usize {
    number.checked_ilog10().map_or(1, |log| log as usize + 1)
}

/// Reads decimal digits, nothing else.
#[inline]
pub fn parse_u64(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > MAX_DIGITS {
        return None;
    }
    let mut number = 0u64;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    Some(number)
}

/// `nanoseconds` as Go prints a duration, e.g. `1m0s` or `50ms`.
pub fn duration(nanoseconds: i64) -> String {
    let mut out = String::new();
    if nanoseconds == 0 {
        return "0s".to_owned();
    }
    if nanoseconds < 0 {
        out.push('-');
    }
    let ns = nanoseconds.unsigned_abs();
    let fraction = |out: &mut String, value: u64, unit: u64, name: &str| {
        out.push_str(&(value / unit).to_string());
        let rest = value % unit;
        if rest > 0 {
            let digits = width(unit - 1);
            let text = format!("{rest:0digits$}");
            out.push('.');
            out.push_str(text.trim_end_matches('0'));
        }
        out.push_str(name);
    };
    match ns {
        0..1_000 => fraction(&mut out, ns, 1, "ns"),
        1_000..1_000_000 => fraction(&mut out, ns, 1_000, "\u{b5}s"),
        1_000_000..1_000_000_000 => fraction(&mut out, ns, 1_000_000, "ms"),
        _ => {
            let minutes = ns / 60_000_000_000;
            if minutes >= 60 {
                out.push_str(&format!("{}h", minutes / 60));
            }
            if minutes > 0 {
                out.push_str(&format!("{}m", minutes % 60));
            }
            fraction(&mut out, ns % 60_000_000_000, 1_000_000_000, "s");
        }
    }
    out
}

/// Reads a duration such as `10s` or `1m30s`, in nanoseconds.
pub fn parse_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0f64;
    while !rest.is_empty() {
        let digits = rest
            .bytes()
            .take_while(|b| b.is_ascii_digit() || *b == b'.')
            .count();
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest
            .bytes()
            .take_while(|b| !b.is_ascii_digit() && *b != b'.')
            .count();
        let unit = match &rest[..letters] {
            "ns" => 1.0,
            "us" | "\u{b5}s" | "\u{3bc}s" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        rest = &rest[letters..];
        total += number * unit;
    }
    if total > i64::MAX as f64 {
        return None;
    }
    let total = total.round() as i64;
    Some(if negative { -total } else { total })
}

/// `text` in double quotes, as Go's `%q` writes it.
pub fn quoted(text: &str) -> String {
    let mut out = Vec::new();
    push_quoted(&mut out, text.as_bytes());
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_read_and_print_as_in_go() {
        for (ns, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5\u{b5}s"),
            (50_000_000, "50ms"),
            (1_000_000_000, "1s"),
            (10_500_000_000, "10.5s"),
            (60_000_000_000, "1m0s"),
            (3_600_000_000_000, "1h0m0s"),
            (5_400_000_000_001, "1h30m0.000000001s"),
            (-2_000_000, "-2ms"),
        ] {
            assert_eq!(duration(ns), text);
            assert_eq!(parse_duration(text), Some(ns), "{text}");
        }
        for bad in ["", "s", "10", "10x", "-", "1..2s", "99999999999h"] {
            assert_eq!(parse_duration(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn numbers_read_and_print_as_in_the_standard_library(n in any::<u64>(), shift in 0u32..64) {
            let n = n >> shift;
            let mut out = b"x".to_vec();
            push_u64(&mut out, n);
            prop_assert_eq!(String::from_utf8(out.clone()).unwrap(), format!("x{n}"));
            prop_assert_eq!(parse_u64(&out[1..]), Some(n));
            prop_assert_eq!(width(n), out.len() - 1);
        }

        #[test]
        fn what_is_no_number_is_refused(text in "[0-9a]{0,22}") {
            prop_assert_eq!(parse_u64(text.as_bytes()), text.parse().ok().filter(|_| text.len() <= 20));
        }
    }
}
