//! Decimal integers of any size, for counters.

use std::cmp::Ordering;

/// Digits that a counter can have. nats-server has no limit; a header is at most 64 KiB.
pub const DIGITS_MAX: usize = 64 * 1024;

/// A signed decimal integer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counter {
    negative: bool,
    /// Values of the digits, the lowest first, without leading zeros; empty for zero.
    digits: Vec<u8>,
}

impl Counter {
    /// Reads an optional sign and digits; leading zeros are fine.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (negative, digits) = match text {
            [b'-', digits @ ..] => (true, digits),
            [b'+', digits @ ..] => (false, digits),
            digits => (false, digits),
        };
        if digits.is_empty() || digits.len() > DIGITS_MAX || !digits.iter().all(u8::is_ascii_digit)
        {
            return None;
        }
        let digits = digits.iter().rev().map(|digit| digit - b'0').collect();
        Some(Self::from_parts(negative, digits))
    }

    fn from_parts(negative: bool, mut digits: Vec<u8>) -> Self {
        while digits.last() == Some(&0) {
            digits.pop();
        }
        Self {
            negative: negative && !digits.is_empty(),
            digits,
        }
    }

    /// Reads the value out of a counter's stored message, `{"val":"3"}`.
    pub fn from_payload(payload: &[u8]) -> Option<Self> {
        let stored: serde_json::Value = serde_json::from_slice(payload).ok()?;
        Self::parse(stored.get("val")?.as_str()?.as_bytes())
    }

    pub fn is_zero(&self) -> bool {
        self.digits.is_empty()
    }

    /// The sum of both.
    pub fn plus(&self, other: &Self) -> Self {
        if self.negative == other.negative {
            return Self::from_parts(self.negative, add(&self.digits, &other.digits));
        }
        match compare(&self.digits, &other.digits) {
            Ordering::Less => {
                Self::from_parts(other.negative, subtract(&other.digits, &self.digits))
            }
            _ => Self::from_parts(self.negative, subtract(&self.digits, &other.digits)),
        }
    }

    /// This less `other`.
    pub fn minus(&self, other: &Self) -> Self {
        let mut negated = other.clone();
        negated.negative = !other.negative && !other.is_zero();
        self.plus(&negated)
    }

    /// Appends it in decimal.
    pub fn push(&self, out: &mut Vec<u8>) {
        if self.negative {
            out.push(b'-');
        }
        if self.digits.is_empty() {
            out.push(b'0');
        }
        out.extend(self.digits.iter().rev().map(|digit| digit + b'0'));
    }
}

fn compare(a: &[u8], b: &[u8]) -> Ordering {
    (a.len().cmp(&b.len())).then_with(|| a.iter().rev().cmp(b.iter().rev()))
}

fn add(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut carry = 0;
    let length = a.len().max(b.len()) + 1;
    (0..length)
        .map(|at| {
            let sum = a.get(at).unwrap_or(&0) + b.get(at).unwrap_or(&0) + carry;
            carry = sum / 10;
            sum % 10
        })
        .collect()
}

/// `a` less `b`, which is not larger.
fn subtract(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut borrow = 0;
    (0..a.len())
        .map(|at| {
            let lower = b.get(at).unwrap_or(&0) + borrow;
            borrow = u8::from(a[at] < lower);
            a[at] + 10 * borrow - lower
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(counter: &Counter) -> String {
        let mut out = Vec::new();
        counter.push(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn parsed(text: &str) -> Counter {
        Counter::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn sums_go_beyond_every_machine_word() {
        let sum = parsed("4").plus(&parsed("99999999999999999999999999999999999"));
        assert_eq!(text(&sum), "100000000000000000000000000000000003");
        for bad in [
            "", "+", "-", "x", "1.5", "1e3", "0x10", "1_000", "++1", "1 ",
        ] {
            assert_eq!(Counter::parse(bad.as_bytes()), None, "{bad}");
        }
        for zero in ["0", "00", "+0", "-0"] {
            assert_eq!(text(&parsed(zero)), "0");
        }
        assert_eq!(
            Counter::from_payload(br#"{"val":"-12"}"#),
            Some(parsed("-12"))
        );
        assert_eq!(Counter::from_payload(b"5"), None);
    }

    proptest! {
        #[test]
        fn sums_agree_with_wide_integers(
            a in -(1i128 << 100)..1i128 << 100,
            b in -(1i128 << 100)..1i128 << 100,
            shift in 0u32..100,
        ) {
            let b = b >> shift;
            let (x, y) = (parsed(&a.to_string()), parsed(&b.to_string()));
            prop_assert_eq!(text(&x.plus(&y)), (a + b).to_string());
            prop_assert_eq!(text(&x.minus(&y)), (a - b).to_string());
        }
    }
}
