//! Cron expressions of six fields, seconds first: `second minute hour day month weekday`.
//!
//! A field is a list of `*`, `?`, numbers, ranges `a-b`, and steps `/n` behind these; months and
//! weekdays may be named by their first three letters. Weekdays count from Sunday, 0 to 6. As in
//! nats-server 2.15.1, a day must match both day fields if either is a star, else any of both.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Weekday};
use jiff::tz::TimeZone;

/// Years looked ahead for the next time; an expression without one is invalid.
const YEARS_AHEAD: i16 = 5;

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// One bit for each value that matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Field {
    bits: u64,
    /// It was `*` or `?`.
    star: bool,
}

impl Field {
    fn has(self, value: i8) -> bool {
        self.bits & (1 << value) != 0
    }

    /// The first value from `from` on that matches.
    fn next(self, from: i8) -> Option<i8> {
        let rest = self.bits.checked_shr(u32::from(from.unsigned_abs()))?;
        (rest != 0).then(|| from + rest.trailing_zeros() as i8)
    }
}

/// A parsed expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cron {
    second: Field,
    minute: Field,
    hour: Field,
    day: Field,
    month: Field,
    weekday: Field,
}

impl Cron {
    /// Reads an expression, or one of `@hourly`, `@daily` (`@midnight`), `@weekly`, `@monthly`,
    /// `@yearly` (`@annually`).
    pub fn parse(text: &str) -> Option<Self> {
        let text = match text {
            "@yearly" | "@annually" => "0 0 0 1 1 *",
            "@monthly" => "0 0 0 1 * *",
            "@weekly" => "0 0 0 * * 0",
            "@daily" | "@midnight" => "0 0 0 * * *",
            "@hourly" => "0 0 * * * *",
            text => text,
        };
        let mut fields = text.split_ascii_whitespace();
        let mut next =
            |first, last, names: &[&str]| parse_field(fields.next()?, first, last, names);
        let cron = Self {
            second: next(0, 59, &[])?,
            minute: next(0, 59, &[])?,
            hour: next(0, 23, &[])?,
            day: next(1, 31, &[])?,
            month: next(1, 12, &MONTHS)?,
            weekday: next(0, 6, &WEEKDAYS)?,
        };
        fields.next().is_none().then_some(cron)
    }

    /// The next time behind `unix_ns` in nanoseconds since 1970, by the clock of `zone`.
    pub fn next(&self, unix_ns: i64, zone: &TimeZone) -> Option<i64> {
        let second = unix_ns.div_euclid(1_000_000_000) + 1;
        let mut at = zone.to_datetime(Timestamp::from_second(second).ok()?);
        let last_year = at.year() + YEARS_AHEAD;
        loop {
            at = self.next_civil(at, last_year)?;
            // A time that the clock skips does not come that day; one that comes twice, once.
            let instant = zone.to_ambiguous_timestamp(at).compatible().ok()?;
            if zone.to_datetime(instant) == at && instant.as_second() >= second {
                return instant.as_second().checked_mul(1_000_000_000);
            }
            at = at.checked_add(jiff::Span::new().seconds(1)).ok()?;
        }
    }

    fn matches_day(&self, date: Date) -> bool {
        let weekday = date.weekday().to_sunday_zero_offset();
        debug_assert_eq!(Weekday::Sunday.to_sunday_zero_offset(), 0);
        let (day, weekday) = (self.day.has(date.day()), self.weekday.has(weekday));
        if self.day.star || self.weekday.star {
            day && weekday
        } else {
            day || weekday
        }
    }

    /// The first time from `at` on that matches.
    fn next_civil(&self, at: DateTime, last_year: i16) -> Option<DateTime> {
        let mut date = at.date();
        let (mut hour, mut minute, mut second) = (at.hour(), at.minute(), at.second());
        loop {
            if date.year() > last_year {
                return None;
            }
            if !self.month.has(date.month()) {
                date = date.last_of_month().tomorrow().ok()?;
                (hour, minute, second) = (0, 0, 0);
                continue;
            }
            if self.matches_day(date)
                && let Some(time) = self.next_time(hour, minute, second)
            {
                return Some(date.at(time.0, time.1, time.2, 0));
            }
            date = date.tomorrow().ok()?;
            (hour, minute, second) = (0, 0, 0);
        }
    }

    /// The first time of a day from this one on.
    fn next_time(&self, hour: i8, minute: i8, second: i8) -> Option<(i8, i8, i8)> {
        let first_minute = self.minute.next(0)?;
        let first_second = self.second.next(0)?;
        if self.hour.has(hour) {
            if self.minute.has(minute)
                && let Some(second) = self.second.next(second)
            {
                return Some((hour, minute, second));
            }
            if let Some(minute) = self.minute.next(minute + 1) {
                return Some((hour, minute, first_second));
            }
        }
        let hour = self.hour.next(hour + 1)?;
        Some((hour, first_minute, first_second))
    }
}

fn parse_field(text: &str, first: i8, last: i8, names: &[&str]) -> Option<Field> {
    let mut field = Field {
        bits: 0,
        star: false,
    };
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step.parse::<u8>().ok().filter(|s| *s > 0)?)),
            None => (part, None),
        };
        let number = |text: &str| -> Option<i8> {
            let named = names
                .iter()
                .position(|name| text.eq_ignore_ascii_case(name));
            let value = match named {
                Some(at) => first + at as i8,
                None if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok()?,
                None => return None,
            };
            (first..=last).contains(&value).then_some(value)
        };
        let (low, high) = match range {
            "*" | "?" => {
                field.star |= step.is_none_or(|step| step == 1);
                (first, last)
            }
            range => match range.split_once('-') {
                Some((low, high)) => (number(low)?, number(high)?),
                // `a/n` goes on from there.
                None if step.is_some() => (number(range)?, last),
                None => (number(range)?, number(range)?),
            },
        };
        if low > high {
            return None;
        }
        let step = usize::from(step.unwrap_or(1));
        (low..=high)
            .step_by(step)
            .for_each(|value| field.bits |= 1 << value);
    }
    Some(field)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::TimeZoneDatabase;

    /// Asked of nats-server 2.15.1; whether there is a next time was part of the question.
    #[test]
    fn expressions_are_accepted_and_refused_as_nats_server_does() {
        for good in [
            "@hourly",
            "@daily",
            "@midnight",
            "@weekly",
            "@monthly",
            "@yearly",
            "@annually",
            "* * * * * *",
            "0 0 0 1 1 *",
            "*/5 * * * * *",
            "0 0 12 * * MON-FRI",
            "? * * * * *",
            "1-5/2 * * * * *",
            "1,2 * * * * *",
            "0 0 0 * JAN SUN",
            "0 0 0 * * 0",
            "5/10 * * * * *",
            " * * * * * *",
            "* *  * * * *",
            "0 0 0 * jan sun",
            "0 0 0 ? * ?",
        ] {
            let next = Cron::parse(good).and_then(|cron| cron.next(0, &TimeZone::UTC));
            assert!(next.is_some(), "{good}");
        }
        for bad in [
            "@foo",
            "* * * * *",
            "60 * * * * *",
            "0 0 0 30 2 *",
            "x",
            "0 0 0 L * *",
            "0 0 0 * * 7",
            "0 0 24 * * *",
            "0 0 0 0 * *",
            "0 0 0 1 13 *",
            "*/0 * * * * *",
            "5-1 * * * * *",
            "0 0 0 1 1 * 2027",
            "TZ=UTC * * * * * *",
            "@reboot",
            "@HOURLY",
            "",
            "+1 * * * * *",
            "1- * * * * *",
            ", * * * * *",
        ] {
            let next = Cron::parse(bad).and_then(|cron| cron.next(0, &TimeZone::UTC));
            assert_eq!(next, None, "{bad}");
        }
    }

    fn next_after(expression: &str, zone: &TimeZone, after: &str) -> String {
        let after: Timestamp = after.parse().unwrap();
        let next = Cron::parse(expression)
            .unwrap()
            .next(after.as_nanosecond() as i64, zone)
            .unwrap();
        Timestamp::from_second(next / 1_000_000_000)
            .unwrap()
            .to_string()
    }

    #[test]
    fn the_next_time_is_found() {
        for (expression, after, expected) in [
            (
                "* * * * * *",
                "2026-11-25T19:40:22.4Z",
                "2026-11-25T19:40:23Z",
            ),
            (
                "* * * * * *",
                "2026-12-31T23:59:59Z",
                "2027-01-01T00:00:00Z",
            ),
            (
                "*/5 * * * * *",
                "2026-11-25T19:40:25Z",
                "2026-11-25T19:40:30Z",
            ),
            (
                "0 30 */2 * * *",
                "2026-11-25T19:40:25Z",
                "2026-11-25T20:30:00Z",
            ),
            (
                "0 0 12 * * MON-FRI",
                "2026-11-27T12:00:00Z",
                "2026-11-30T12:00:00Z",
            ),
            (
                "0 0 0 29 2 *",
                "2026-01-01T00:00:00Z",
                "2028-02-29T00:00:00Z",
            ),
            // The thirteenth, or any Friday.
            (
                "0 0 0 13 * FRI",
                "2026-11-10T00:00:00Z",
                "2026-11-13T00:00:00Z",
            ),
            (
                "0 0 0 13 * FRI",
                "2026-12-11T00:00:00Z",
                "2026-12-13T00:00:00Z",
            ),
            ("@weekly", "2026-11-25T00:00:00Z", "2026-11-29T00:00:00Z"),
        ] {
            assert_eq!(
                next_after(expression, &TimeZone::UTC, after),
                expected,
                "{expression}"
            );
        }
    }

    #[test]
    fn zones_have_their_own_days_and_skipped_hours() {
        let berlin = TimeZoneDatabase::bundled().get("Europe/Berlin").unwrap();
        let next = |expression, after| next_after(expression, &berlin, after);
        assert_eq!(
            next("@daily", "2026-11-25T19:00:00Z"),
            "2026-11-25T23:00:00Z"
        );
        assert_eq!(
            next("@daily", "2026-07-01T12:00:00Z"),
            "2026-07-01T22:00:00Z"
        );
        // On 2026-03-29 there is no half past two.
        assert_eq!(
            next("0 30 2 * * *", "2026-03-28T02:00:00Z"),
            "2026-03-30T00:30:00Z"
        );
        // On 2026-10-25 it comes twice.
        assert_eq!(
            next("0 30 2 * * *", "2026-10-24T12:00:00Z"),
            "2026-10-25T00:30:00Z"
        );
        assert_eq!(
            next("0 30 2 * * *", "2026-10-25T00:30:00Z"),
            "2026-10-26T01:30:00Z"
        );
    }
}
