//! Decimal numbers as the protocol writes them.

/// Most digits of a size, leading zeros counted. As in nats-server: more are a protocol violation.
pub const MAX_SIZE_DIGITS: usize = 9;

/// Largest size that nine digits can announce, in bytes.
pub const MAX_ANNOUNCED_SIZE: u32 = 999_999_999;

/// One to nine digits, leading zeros allowed; nothing else.
pub(super) fn parse_size(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || digits.len() > MAX_SIZE_DIGITS {
        return None;
    }
    digits.iter().try_fold(0u32, |size, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit <= 9).then(|| size * 10 + u32::from(digit))
    })
}

/// Digits of the largest `usize`.
const MAX_DIGITS: usize = 20;

/// Appends `number` in decimal.
pub fn push_decimal(out: &mut Vec<u8>, number: usize) {
    push_padded_decimal(out, number, 1);
}

/// Appends `number` in decimal, with leading zeros up to `width` digits (at most 20).
pub fn push_padded_decimal(out: &mut Vec<u8>, number: usize, width: u8) {
    let mut digits = [b'0'; MAX_DIGITS];
    let mut at = MAX_DIGITS;
    let mut rest = number;
    while rest > 0 {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    let padded = at.min(MAX_DIGITS.saturating_sub(usize::from(width)));
    out.extend_from_slice(&digits[padded..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_are_one_to_nine_digits() {
        assert_eq!(parse_size(b"0"), Some(0));
        assert_eq!(parse_size(b"007"), Some(7));
        assert_eq!(parse_size(b"999999999"), Some(MAX_ANNOUNCED_SIZE));
        for bad in [
            "",
            "-1",
            "+1",
            "1x",
            "0x1",
            "1000000000",
            "0000000001",
            "1 ",
        ] {
            assert_eq!(parse_size(bad.as_bytes()), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn decimals_agree_with_the_standard_library(number in any::<usize>(), shift in 0u32..64) {
            let number = number >> shift;
            let mut out = b"x".to_vec();
            push_decimal(&mut out, number);
            prop_assert_eq!(String::from_utf8(out).unwrap(), format!("x{number}"));
        }

        #[test]
        fn padding_agrees_with_the_standard_library(
            number in any::<usize>(),
            shift in 0u32..64,
            width in 0u8..=20,
        ) {
            let number = number >> shift;
            let mut out = Vec::new();
            push_padded_decimal(&mut out, number, width.max(1));
            let expected = format!("{number:0width$}", width = usize::from(width));
            prop_assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
