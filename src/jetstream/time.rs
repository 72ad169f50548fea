//! Times as JSON carries them: RFC 3339 with up to nine digits of a second, as Go writes and
//! reads them.

use std::fmt;

use jiff::civil::Date;
use serde::{Serialize, Serializer};

use super::json::{Decode, JsonError, Node, Place, Value};

/// Seconds from `0001-01-01T00:00:00Z`, Go's zero time, to 1970.
const ZERO_SECONDS: i64 = -62_135_596_800;
const NANOS: i64 = 1_000_000_000;

/// A point in time with the offset it was written with.
#[derive(Clone, Copy, Debug)]
pub struct Time {
    /// Since 1970.
    seconds: i64,
    nanos: u32,
    /// Minutes east of UTC, for writing only.
    offset: i16,
}

/// Two times are equal if they are the same instant.
impl PartialEq for Time {
    fn eq(&self, other: &Self) -> bool {
        (self.seconds, self.nanos) == (other.seconds, other.nanos)
    }
}

impl Eq for Time {}

impl Time {
    /// `0001-01-01T00:00:00Z`, which stands for no time.
    pub const ZERO: Self = Self {
        seconds: ZERO_SECONDS,
        nanos: 0,
        offset: 0,
    };

    /// From nanoseconds since 1970.
    pub fn from_unix_ns(unix_ns: i64) -> Self {
        Self {
            seconds: unix_ns.div_euclid(NANOS),
            nanos: unix_ns.rem_euclid(NANOS) as u32,
            offset: 0,
        }
    }

    /// Nanoseconds since 1970; times outside the range of 64 bits are its nearest end.
    pub fn unix_ns(self) -> i64 {
        self.seconds
            .saturating_mul(NANOS)
            .saturating_add(i64::from(self.nanos))
    }

    pub fn is_zero(self) -> bool {
        self == Self::ZERO
    }

    /// Appends the time in RFC 3339, without trailing zeros of the fraction.
    pub fn push(self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.to_string().as_bytes());
    }

    /// Reads RFC 3339 as Go does.
    ///
    /// # Errors
    /// Go's text for what is wrong.
    pub fn parse(text: &str) -> Result<Self, JsonError> {
        Parser {
            text,
            rest: text.as_bytes(),
        }
        .time()
    }
}

impl Default for Time {
    fn default() -> Self {
        Self::ZERO
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let local = self.seconds + i64::from(self.offset) * 60;
        let (days, second) = (local.div_euclid(86_400), local.rem_euclid(86_400));
        let (year, month, day) = civil(days);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"
        )?;
        if self.nanos > 0 {
            let digits = format!("{:09}", self.nanos);
            write!(f, ".{}", digits.trim_end_matches('0'))?;
        }
        match self.offset {
            0 => f.write_str("Z"),
            offset => {
                let sign = if offset < 0 { '-' } else { '+' };
                let minutes = offset.unsigned_abs();
                write!(f, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)
            }
        }
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Decode for Time {
    fn decode(&mut self, node: &Node<'_>, place: &Place<'_>) -> Result<(), JsonError> {
        match &node.value {
            Value::Null => Ok(()),
            Value::Text(text) => {
                *self = Self::parse(text)?;
                Ok(())
            }
            _ => Err(place.mismatch(node, "time.Time")),
        }
    }
}

/// Year, month and day of a number of days since 1970 (proleptic Gregorian calendar).
fn civil(days: i64) -> (i64, i64, i64) {
    // Years of 400 are all alike: 146,097 days. Years begin in March, so that leap days end them.
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

struct Parser<'a> {
    text: &'a str,
    rest: &'a [u8],
}

impl Parser<'_> {
    /// The error that names the part of the layout which does not fit.
    fn cannot(&self, layout: &str) -> JsonError {
        self.cannot_from(self.rest, layout)
    }

    fn cannot_from(&self, rest: &[u8], layout: &str) -> JsonError {
        let text = self.text;
        let rest = String::from_utf8_lossy(rest);
        JsonError(format!(
            "parsing time \"{text}\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"{rest}\" as \"{layout}\""
        ))
    }

    fn failed(&self, why: &str) -> JsonError {
        JsonError(format!("parsing time \"{}\": {why}", self.text))
    }

    fn digits(&mut self, count: usize, layout: &str) -> Result<i64, JsonError> {
        let digits = match self.rest.split_at_checked(count) {
            Some((digits, _)) if digits.iter().all(u8::is_ascii_digit) => digits,
            _ => return Err(self.cannot(layout)),
        };
        self.rest = &self.rest[count..];
        Ok(digits
            .iter()
            .fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')))
    }

    fn literal(&mut self, expected: u8) -> Result<(), JsonError> {
        match self.rest.split_first() {
            Some((&byte, rest)) if byte == expected => {
                self.rest = rest;
                Ok(())
            }
            _ => Err(self.cannot(&char::from(expected).to_string())),
        }
    }

    fn time(mut self) -> Result<Time, JsonError> {
        let year = self.digits(4, "2006")?;
        self.literal(b'-')?;
        let month = self.digits(2, "01")?;
        if !(1..=12).contains(&month) {
            return Err(self.failed("month out of range"));
        }
        self.literal(b'-')?;
        let day = self.digits(2, "02")?;
        self.literal(b'T')?;
        let hour = self.digits(2, "15")?;
        if hour > 23 {
            return Err(self.failed("hour out of range"));
        }
        self.literal(b':')?;
        let minute = self.digits(2, "04")?;
        if minute > 59 {
            return Err(self.failed("minute out of range"));
        }
        self.literal(b':')?;
        let second = self.digits(2, "05")?;
        if second > 59 {
            return Err(self.failed("second out of range"));
        }
        let nanos = self.fraction();
        let offset = self.zone()?;
        if !self.rest.is_empty() {
            let extra = String::from_utf8_lossy(self.rest);
            return Err(self.failed(&format!("extra text: \"{extra}\"")));
        }
        // The ranges above fit the narrow types.
        let Ok(date) = Date::new(year as i16, month as i8, day as i8) else {
            return Err(self.failed("day out of range"));
        };
        let days = i64::from(
            date.since(jiff::civil::date(1970, 1, 1))
                .map_or(0, |s| s.get_days()),
        );
        let seconds = days * 86_400 + hour * 3600 + minute * 60 + second - offset * 60;
        Ok(Time {
            seconds,
            nanos,
            offset: offset as i16,
        })
    }

    /// A fraction of a second; digits behind the ninth are dropped.
    fn fraction(&mut self) -> u32 {
        let [b'.' | b',', digits @ ..] = self.rest else {
            return 0;
        };
        let count = digits.iter().take_while(|b| b.is_ascii_digit()).count();
        if count == 0 {
            return 0;
        }
        let nanos = (0..9).fold(0, |sum, at| {
            let digit = if at < count { digits[at] - b'0' } else { 0 };
            sum * 10 + u32::from(digit)
        });
        self.rest = &digits[count..];
        nanos
    }

    /// Minutes east of UTC.
    fn zone(&mut self) -> Result<i64, JsonError> {
        const LAYOUT: &str = "Z07:00";
        let start = self.rest;
        let sign = match self.rest.first() {
            Some(b'Z') => {
                self.rest = &self.rest[1..];
                return Ok(0);
            }
            Some(b'+') => 1,
            Some(b'-') => -1,
            _ => return Err(self.cannot(LAYOUT)),
        };
        let [_, h1, h2, b':', m1, m2, rest @ ..] = start else {
            return Err(self.cannot(LAYOUT));
        };
        let digits = [h1, h2, m1, m2];
        if !digits.iter().all(|d| d.is_ascii_digit()) {
            return Err(self.cannot_from(start, LAYOUT));
        }
        let number = |a: &u8, b: &u8| i64::from(a - b'0') * 10 + i64::from(b - b'0');
        let (hours, minutes) = (number(h1, h2), number(m1, m2));
        if hours > 24 {
            return Err(self.failed("time zone offset hour out of range"));
        }
        if minutes > 60 {
            return Err(self.failed("time zone offset minute out of range"));
        }
        self.rest = rest;
        Ok(sign * (hours * 60 + minutes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts asked of nats-server 2.15.1.
    #[test]
    fn what_is_no_time_is_told_as_go_tells_it() {
        for (text, expected) in [
            (
                "foo",
                r#"parsing time "foo" as "2006-01-02T15:04:05Z07:00": cannot parse "foo" as "2006""#,
            ),
            (
                "2026-01-01",
                r#"parsing time "2026-01-01" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "T""#,
            ),
            (
                "2026-13-01T00:00:00Z",
                r#"parsing time "2026-13-01T00:00:00Z": month out of range"#,
            ),
            (
                "2026-01-32T00:00:00Z",
                r#"parsing time "2026-01-32T00:00:00Z": day out of range"#,
            ),
            (
                "2026-02-30T00:00:00Z",
                r#"parsing time "2026-02-30T00:00:00Z": day out of range"#,
            ),
            (
                "2026-01-01T25:00:00Z",
                r#"parsing time "2026-01-01T25:00:00Z": hour out of range"#,
            ),
            (
                "2026-01-01T00:00:00",
                r#"parsing time "2026-01-01T00:00:00" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "Z07:00""#,
            ),
            (
                "2026-01-01T00:00:00.5+01:00x",
                r#"parsing time "2026-01-01T00:00:00.5+01:00x": extra text: "x""#,
            ),
            (
                "2026-01-01 00:00:00Z",
                r#"parsing time "2026-01-01 00:00:00Z" as "2006-01-02T15:04:05Z07:00": cannot parse " 00:00:00Z" as "T""#,
            ),
        ] {
            assert_eq!(Time::parse(text).unwrap_err().0, expected);
        }
    }

    #[test]
    fn times_keep_their_offset_and_are_equal_by_instant() {
        for text in [
            "2026-11-22T20:07:43.815658259Z",
            "0001-01-01T00:00:00Z",
            "2026-02-28T23:59:59.5+05:30",
            "2024-02-29T00:00:00-11:00",
            "9999-12-31T23:59:59Z",
        ] {
            assert_eq!(Time::parse(text).unwrap().to_string(), text);
        }
        let utc = Time::parse("2026-01-01T00:00:00Z").unwrap();
        assert_eq!(Time::parse("2026-01-01T01:00:00+01:00").unwrap(), utc);
        assert_eq!(utc.unix_ns(), 1_767_225_600_000_000_000);
        assert_eq!(Time::from_unix_ns(utc.unix_ns()), utc);
        assert_eq!(
            Time::from_unix_ns(-1).to_string(),
            "1969-12-31T23:59:59.999999999Z"
        );
        assert!(Time::parse("0001-01-01T00:00:00Z").unwrap().is_zero());
    }
}
