//! Classes of characters as the configuration language sees them.

use super::EOF;

/// The first character of `bytes` and its length; a byte that is not UTF-8 counts as one.
pub(super) fn decode(bytes: &[u8]) -> (char, usize) {
    let head = &bytes[..bytes.len().min(4)];
    let valid = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default(),
    };
    match valid.chars().next() {
        Some(c) => (c, c.len_utf8()),
        None => (char::REPLACEMENT_CHARACTER, 1),
    }
}

pub(super) fn is_line_end(c: char) -> bool {
    c == '\n' || c == '\r'
}

/// A decimal digit of any script, as in the real lexer; the parser then refuses all but ASCII.
pub(super) fn is_digit(c: char) -> bool {
    c.is_ascii_digit() || (!c.is_ascii() && is_decimal_digit(c))
}

/// The decimal digits outside ASCII that matter are those of General Category Nd. The standard
/// library only knows "numeric"; letters such as Roman numerals and fractions are told apart by
/// the blocks of ten in which Unicode lays out decimal digits.
pub(super) fn is_decimal_digit(c: char) -> bool {
    const ZEROS: [u32; 20] = [
        0x0660, 0x06F0, 0x07C0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66, 0x0CE6,
        0x0D66, 0x0DE6, 0x0E50, 0x0ED0, 0x0F20, 0x1040, 0x17E0, 0x1810, 0xFF10,
    ];
    let code = c as u32;
    ZEROS.iter().any(|&zero| (zero..zero + 10).contains(&code))
}

pub(super) fn is_size_suffix(c: char) -> bool {
    matches!(c.to_ascii_lowercase(), 'k' | 'm' | 'g' | 't' | 'p' | 'e')
}

/// What may follow a number. Note that `]` is not among them: `[1, 2]` does not end.
pub(super) fn ends_number(c: char) -> bool {
    matches!(c, '\n' | '\r' | EOF | '}' | ';' | ',' | ' ' | '\t')
}

/// A character as error messages show it.
pub(super) fn shown(c: char) -> String {
    match c {
        '\n' => "\\n".to_owned(),
        c => c.to_string(),
    }
}
