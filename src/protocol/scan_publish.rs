//! The hot paths of the parser: a `PUB`, or an `HPUB`, that any client library writes, whole in
//! the input.

use super::command::{Publish, SizeWidths};
use super::number::MAX_SIZE_DIGITS;
use super::scan::{CRLF, ParseLimits};

/// The hot path: a whole `PUB` with a canonical line, in one pass and without looking for the
/// line end first. Anything else, however slightly off, is `None` and goes the general way,
/// which decides; so this may be incomplete but never disagree.
#[inline(always)]
pub(super) fn canonical_publish<'a>(
    bytes: &'a [u8],
    limits: &ParseLimits,
) -> Option<(usize, Publish<'a>)> {
    let (verb, rest) = bytes.split_first_chunk::<4>()?;
    // Clearing the case bit maps nothing but the letters' other case onto the letters.
    if u32::from_le_bytes(*verb) & 0xFFDF_DFDF != u32::from_le_bytes(*b"PUB ") {
        return None;
    }
    let subject_end = token_end(rest)?;
    if subject_end == 0 || rest[subject_end] != b' ' {
        return None;
    }
    let mut at = subject_end + 1;
    let mut reply = &rest[..0];
    let (size, digits) = match canonical_size(&rest[at..]) {
        Some(found) => found,
        None => {
            let end = at + token_end(&rest[at..])?;
            if end == at || rest[end] != b' ' {
                return None;
            }
            reply = &rest[at..end];
            at = end + 1;
            canonical_size(&rest[at..])?
        }
    };
    let arguments = at + digits;
    if arguments > limits.max_control_line
        || (limits.max_payload >= 0 && i64::from(size) > limits.max_payload)
    {
        return None;
    }
    let body_start = arguments + CRLF.len();
    let body_end = body_start + size as usize;
    let end = body_end + CRLF.len();
    if rest.get(body_end..end)? != CRLF {
        return None;
    }
    let publish = Publish {
        subject: &rest[..subject_end],
        reply,
        header_len: None,
        body: &rest[body_start..body_end],
        widths: SizeWidths {
            header: 0,
            // At most nine.
            total: digits as u8,
        },
        tail: Some(&rest[subject_end..end]),
    };
    Some((verb.len() + end, publish))
}

/// The same for a whole `HPUB`. Header size 0 is not canonical: it is delivered as `MSG`.
#[inline]
pub(super) fn canonical_publish_with_headers<'a>(
    bytes: &'a [u8],
    limits: &ParseLimits,
) -> Option<(usize, Publish<'a>)> {
    let (verb, rest) = bytes.split_first_chunk::<4>()?;
    // As above.
    if u32::from_le_bytes(*verb) & 0xDFDF_DFDF != u32::from_le_bytes(*b"HPUB")
        || !limits.headers
        || rest.first() != Some(&b' ')
    {
        return None;
    }
    let (verb, rest) = bytes.split_at(verb.len() + 1);
    let subject_end = token_end(rest)?;
    if subject_end == 0 || rest[subject_end] != b' ' {
        return None;
    }
    let mut at = subject_end + 1;
    let mut reply = &rest[..0];
    let sizes = match canonical_sizes(&rest[at..]) {
        Some(found) => found,
        None => {
            let end = at + token_end(&rest[at..])?;
            if end == at || rest[end] != b' ' {
                return None;
            }
            reply = &rest[at..end];
            at = end + 1;
            canonical_sizes(&rest[at..])?
        }
    };
    let (header, header_digits) = sizes.header;
    let (size, digits) = sizes.total;
    let arguments = at + header_digits + 1 + digits;
    if arguments > limits.max_control_line
        || header == 0
        || header > size
        || (limits.max_payload >= 0 && i64::from(size) > limits.max_payload)
    {
        return None;
    }
    let body_start = arguments + CRLF.len();
    let body_end = body_start + size as usize;
    let end = body_end + CRLF.len();
    if rest.get(body_end..end)? != CRLF {
        return None;
    }
    let publish = Publish {
        subject: &rest[..subject_end],
        reply,
        header_len: Some(header as usize),
        body: &rest[body_start..body_end],
        // At most nine each.
        widths: SizeWidths {
            header: header_digits as u8,
            total: digits as u8,
        },
        tail: Some(&rest[subject_end..end]),
    };
    Some((verb.len() + end, publish))
}

/// The two sizes of an `HPUB`, each with its number of digits.
struct Sizes {
    header: (u32, usize),
    total: (u32, usize),
}

/// Two sizes with a space between and CRLF behind.
#[inline(always)]
fn canonical_sizes(bytes: &[u8]) -> Option<Sizes> {
    let header = digits(bytes);
    let (_, count) = header;
    if count == 0 || count > MAX_SIZE_DIGITS || *bytes.get(count)? != b' ' {
        return None;
    }
    let total = canonical_size(&bytes[count + 1..])?;
    Some(Sizes { header, total })
}

/// A size that CRLF follows, and its number of digits.
#[inline(always)]
fn canonical_size(bytes: &[u8]) -> Option<(u32, usize)> {
    let (size, count) = digits(bytes);
    if count == 0 || count > MAX_SIZE_DIGITS || bytes.get(count..count + 2)? != CRLF {
        return None;
    }
    Some((size, count))
}

/// The number that the first digits are and how many they are, one more than
/// [`MAX_SIZE_DIGITS`] at most.
#[inline(always)]
fn digits(bytes: &[u8]) -> (u32, usize) {
    let window = &bytes[..bytes.len().min(MAX_SIZE_DIGITS + 1)];
    let mut size = 0u32;
    let mut count = 0;
    for &byte in window {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        // Ten digits can pass 2^32; the length check below refuses them.
        size = size.wrapping_mul(10).wrapping_add(u32::from(digit));
        count += 1;
    }
    (size, count)
}

/// Position of the first byte at or below SPACE, eight bytes at a time.
#[inline(always)]
fn token_end(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH_BITS: u64 = ONES << 7;
    let mut at = 0;
    while let Some(chunk) = bytes[at..].first_chunk::<8>() {
        let word = u64::from_le_bytes(*chunk);
        // The high bit of each byte below 0x21 is set; borrows can also set it in bytes above
        // the lowest such one, never below it, and only the lowest is used.
        let found = word.wrapping_sub(ONES * 0x21) & !word & HIGH_BITS;
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    let rest = bytes[at..].iter().position(|&byte| byte <= b' ')?;
    Some(at + rest)
}
