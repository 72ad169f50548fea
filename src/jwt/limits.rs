//! Where from and when a user may connect.

use std::net::IpAddr;

use jiff::civil::Time;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

use super::user::TimeRange;

/// Bits of a network, and its address.
pub(super) fn network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let bits: u8 = bits.parse().ok()?;
    let max = if address.is_ipv4() { 32 } else { 128 };
    (bits <= max).then_some((address, bits))
}

fn contains(network: (IpAddr, u8), address: IpAddr) -> bool {
    let (base, bits) = network;
    let differing = |a: u128, b: u128, width: u32| -> bool {
        let shift = width - u32::from(bits);
        // A network of zero bits is everything.
        (a ^ b).checked_shr(shift).unwrap_or(0) != 0
    };
    match (base.to_canonical(), address.to_canonical()) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            !differing(u128::from(a.to_bits()), u128::from(b.to_bits()), 32)
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => !differing(a.to_bits(), b.to_bits(), 128),
        _ => false,
    }
}

/// Whether an address lies in one of the networks; in an empty list everything does.
pub fn allowed_address(networks: &[String], address: IpAddr) -> bool {
    networks.is_empty()
        || networks
            .iter()
            .filter_map(|text| network(text))
            .any(|network| contains(network, address))
}

/// `15:04:05`.
pub(super) fn time_of_day(text: &str) -> Option<Time> {
    let mut parts = text.split(':');
    let mut number = |width: std::ops::RangeInclusive<usize>| -> Option<i8> {
        let part = parts.next()?;
        let digits = part.bytes().all(|byte| byte.is_ascii_digit());
        (digits && width.contains(&part.len())).then(|| part.parse().ok())?
    };
    let (hour, minute, second) = (number(1..=2)?, number(2..=2)?, number(2..=2)?);
    match parts.next() {
        None => Time::new(hour, minute, second, 0).ok(),
        Some(_) => None,
    }
}

/// Whether a user may be connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// At any time.
    Always,
    /// Until then, in nanoseconds since 1970.
    Until(i64),
    /// Not now, or the ranges make no sense.
    Closed,
}

/// Whether it is one of the times of the day in `location`, or in `local` if that is empty.
///
/// A range that ends before it starts ends the next day.
pub fn allowed_time(
    ranges: &[TimeRange],
    location: &str,
    local: &TimeZone,
    now_unix_ns: i64,
) -> Window {
    if ranges.is_empty() {
        return Window::Always;
    }
    let zone = if location.is_empty() {
        Some(local.clone())
    } else {
        TimeZone::get(location).ok()
    };
    let now = Timestamp::from_nanosecond(i128::from(now_unix_ns)).ok();
    let (Some(zone), Some(now)) = (zone, now) else {
        return Window::Closed;
    };
    let today = now.to_zoned(zone.clone()).date();
    let instant = |date: jiff::civil::Date, time: Time| {
        let zoned = zone.to_ambiguous_zoned(date.to_datetime(time));
        zoned.compatible().ok().map(|zoned| zoned.timestamp())
    };
    for range in ranges {
        let (Some(start), Some(end)) = (time_of_day(&range.start), time_of_day(&range.end)) else {
            return Window::Closed;
        };
        let days = if start > end {
            [
                (Some(today), today.checked_add(1.day()).ok()),
                (today.checked_sub(1.day()).ok(), Some(today)),
            ]
        } else {
            [(Some(today), Some(today)); 2]
        };
        for (first, last) in days {
            let (Some(first), Some(last)) = (first, last) else {
                continue;
            };
            if let (Some(start), Some(end)) = (instant(first, start), instant(last, end))
                && start < now
                && now < end
            {
                return Window::Until(i64::try_from(end.as_nanosecond()).unwrap_or(i64::MAX));
            }
        }
    }
    Window::Closed
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn networks_hold_addresses() {
        let within = |networks: &[&str], address: &str| {
            let networks: Vec<String> = networks.iter().map(|&n| n.to_owned()).collect();
            allowed_address(&networks, address.parse().unwrap())
        };
        assert!(within(&[], "1.2.3.4"));
        assert!(within(&["10.0.0.0/8", "1.2.3.0/24"], "1.2.3.4"));
        assert!(within(&["0.0.0.0/0"], "1.2.3.4"));
        assert!(within(&["1.2.3.4/32"], "::ffff:1.2.3.4"));
        assert!(within(&["fe80::/10"], "fe80::1"));
        assert!(!within(&["1.2.3.0/24"], "1.2.4.4"));
        assert!(!within(&["0.0.0.0/0"], "::1"));
        assert!(!within(&["x", "1.2.3.4", "1.2.3.4/33"], "1.2.3.4"));
    }

    fn range(start: &str, end: &str) -> TimeRange {
        TimeRange {
            start: start.to_owned(),
            end: end.to_owned(),
        }
    }

    #[test]
    fn times_of_the_day_are_those_of_a_place() {
        // 2026-11-25 12:00:00 UTC, 13:00 in Berlin.
        let noon = 1_795_608_000_000_000_000;
        let at =
            |ranges: &[TimeRange], place: &str| allowed_time(ranges, place, &TimeZone::UTC, noon);
        assert_eq!(at(&[], "nowhere"), Window::Always);
        let lunch = [range("01:00:00", "02:00:00"), range("11:30:00", "12:30:00")];
        assert_eq!(at(&lunch, ""), Window::Until(noon + 1_800_000_000_000));
        assert_eq!(at(&lunch, "Europe/Berlin"), Window::Closed);
        assert_eq!(at(&lunch, "nowhere"), Window::Closed);
        let late = [range("11:00:00", "03:00:00")];
        assert_eq!(at(&late, ""), Window::Until(noon + 15 * 3_600_000_000_000));
        let night = [range("20:00:00", "13:00:00")];
        assert_eq!(at(&night, ""), Window::Until(noon + 3_600_000_000_000));
        assert_eq!(at(&[range("20:00:00", "11:00:00")], ""), Window::Closed);
        assert_eq!(at(&[range("11:0", "13:00:00")], ""), Window::Closed);
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_parsers(text in "[0-9:/.a-f ]{0,24}", now in any::<i64>()) {
            let _ = network(&text);
            let ranges = [range(&text, "10:00:00")];
            let _ = allowed_time(&ranges, &text, &TimeZone::UTC, now);
        }
    }
}
