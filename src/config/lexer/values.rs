//! The values themselves: strings of all kinds, numbers, and what only looks like a number.

use super::super::text::lossy;
use super::characters::{ends_number, is_digit, is_line_end, is_size_suffix, shown};
use super::{EOF, ItemKind, Lexer, Place};

impl Lexer<'_> {
    // --- Values ---------------------------------------------------------------------------

    pub(super) fn value(&mut self) {
        match self.next() {
            ' ' | '\t' => self.ignore(),
            '[' => {
                self.ignore();
                self.emit(ItemKind::ArrayStart);
                self.place = Place::ArrayValue;
            }
            '{' => {
                self.ignore();
                self.emit(ItemKind::MapStart);
                self.place = Place::MapKey;
            }
            '\'' => {
                self.ignore();
                self.single_quoted();
            }
            '"' => {
                self.ignore();
                self.double_quoted();
            }
            '-' => self.negative_number(),
            '(' => {
                self.ignore();
                self.parenthesised();
            }
            c if is_digit(c) => self.number(),
            '.' => self.fail("Floats must start with a digit".to_owned()),
            '\n' | '\r' => self.fail("Expected value but found new line".to_owned()),
            _ => {
                self.backup();
                self.bare_string();
            }
        }
    }

    /// Hands out the finished value, which ends before the current character.
    pub(super) fn emit_value(&mut self, kind: ItemKind) {
        self.backup();
        self.emit(kind);
        self.go_back();
    }

    /// Hands out a string that ended with a quote, which is dropped.
    pub(super) fn emit_quoted(&mut self) {
        self.backup();
        self.emit(ItemKind::String);
        self.next();
        self.ignore();
        self.go_back();
    }

    pub(super) fn single_quoted(&mut self) {
        loop {
            match self.next() {
                '\'' => return self.emit_quoted(),
                EOF => return self.end_or_fail(),
                _ => {}
            }
        }
    }

    pub(super) fn double_quoted(&mut self) {
        loop {
            match self.next() {
                '\\' => {
                    self.escape();
                    if self.place == Place::Done {
                        return;
                    }
                }
                '"' => return self.emit_quoted(),
                EOF => return self.end_or_fail(),
                _ => {}
            }
        }
    }

    /// A string without quotes, up to a blank or a separator. `true` and the like become booleans
    /// and `$name` a variable here.
    pub(super) fn bare_string(&mut self) {
        loop {
            match self.next() {
                '\\' => {
                    self.escape();
                    if self.place == Place::Done {
                        return;
                    }
                }
                '\n' | '\r' | EOF | ';' | ',' | ']' | '}' | ' ' | '\t' => {
                    self.backup();
                    let kind = self.bare_string_kind();
                    self.emit(kind);
                    return self.go_back();
                }
                '\'' => return self.emit_quoted(),
                _ => {}
            }
        }
    }

    pub(super) fn bare_string_kind(&mut self) -> ItemKind {
        if self.decoded.is_some() {
            return ItemKind::String;
        }
        let text = &self.input[self.start..self.pos];
        const BOOLS: [&[u8]; 6] = [b"true", b"false", b"on", b"off", b"yes", b"no"];
        if BOOLS.iter().any(|b| text.eq_ignore_ascii_case(b)) {
            return ItemKind::Bool;
        }
        if text.first() == Some(&b'$') {
            self.start += 1;
            return ItemKind::Variable;
        }
        ItemKind::String
    }

    /// After a backslash. An error leaves the lexer at [`Place::Done`].
    pub(super) fn escape(&mut self) {
        let end = self.pos - 1;
        let mut decoded = self.decoded.take().unwrap_or_default();
        decoded.extend_from_slice(&self.input[self.start..end]);
        self.start = self.pos;
        let byte = match self.next() {
            'x' => match self.hex_escape() {
                Some(byte) => byte,
                None => return,
            },
            't' => b'\t',
            'n' => b'\n',
            'r' => b'\r',
            '"' => b'"',
            '\\' => b'\\',
            c => {
                self.fail(format!(
                    "Invalid escape character '{}'. Only the following escape characters are allowed: \
                     \\xXX, \\t, \\n, \\r, \\\", \\\\.",
                    shown(c)
                ));
                return;
            }
        };
        decoded.push(byte);
        self.decoded = Some(decoded);
        self.start = self.pos;
    }

    pub(super) fn hex_escape(&mut self) -> Option<u8> {
        for _ in 0..2 {
            let c = self.next();
            if is_line_end(c) {
                self.fail(
                    "Expected two hexadecimal digits after '\\x', but hit end of line".to_owned(),
                );
                return None;
            }
        }
        let digits = &self.input[self.pos - 2..self.pos];
        let byte = std::str::from_utf8(digits)
            .ok()
            .and_then(|d| match d.as_bytes() {
                [a, b] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => {
                    u8::from_str_radix(d, 16).ok()
                }
                _ => None,
            });
        if byte.is_none() {
            let found = lossy(digits);
            self.fail(format!(
                "Expected two hexadecimal digits after '\\x', but got '{found}'"
            ));
        }
        byte
    }

    /// Text in parentheses; the closing one stands on a line of its own.
    pub(super) fn parenthesised(&mut self) {
        loop {
            match self.next() {
                ')' => {
                    let alone = self.pos >= 2 && self.input[self.pos - 2] == b'\n';
                    let after = self.input.get(self.pos).copied();
                    match after {
                        Some(b'\n' | 0) if alone => return self.emit_quoted(),
                        // At the very end of the file nats-server keeps the parenthesis as text.
                        None if alone => {
                            self.emit(ItemKind::String);
                            return self.go_back();
                        }
                        _ => {}
                    }
                }
                EOF => return self.fail("Unexpected EOF processing block.".to_owned()),
                _ => {}
            }
        }
    }

    // --- Numbers, and what only looks like one --------------------------------------------

    /// After a first digit: an integer with or without a size suffix, a float, a date, an IP
    /// address, or after all a string.
    pub(super) fn number(&mut self) {
        loop {
            match self.next() {
                '-' => {
                    if self.pos - self.start != "2006-".len() {
                        return self
                            .fail("All ISO8601 dates must be in full Zulu form.".to_owned());
                    }
                    return self.date_after_year();
                }
                c if is_digit(c) => {}
                '.' => return self.float(),
                c if is_size_suffix(c) => return self.size(),
                c if ends_number(c) => return self.emit_value(ItemKind::Integer),
                _ => return self.bare_string(),
            }
        }
    }

    /// After the first letter of a size suffix.
    pub(super) fn size(&mut self) {
        loop {
            match self.next() {
                'b' | 'B' | 'i' | 'I' => {}
                c => {
                    if ends_number(c) {
                        return self.emit_value(ItemKind::Integer);
                    }
                    self.backup();
                    return self.bare_string();
                }
            }
        }
    }

    pub(super) fn negative_number(&mut self) {
        let c = self.next();
        if !is_digit(c) {
            let message = if c == '.' {
                "Floats must start with a digit, not '.'.".to_owned()
            } else {
                format!("Expected a digit but got '{}'.", shown(c))
            };
            return self.fail(message);
        }
        loop {
            match self.next() {
                c if is_digit(c) => {}
                '.' => return self.float(),
                c if is_size_suffix(c) => return self.size(),
                _ => return self.emit_value(ItemKind::Integer),
            }
        }
    }

    /// After the point of a float; a second point makes it an IP address.
    pub(super) fn float(&mut self) {
        let c = self.next();
        if !is_digit(c) {
            return self.fail(format!(
                "Floats must have a digit after the '.', but got '{}' instead.",
                shown(c)
            ));
        }
        loop {
            match self.next() {
                c if is_digit(c) => {}
                '.' => break,
                _ => return self.emit_value(ItemKind::Float),
            }
        }
        loop {
            match self.next() {
                '.' | ':' | '-' => {}
                c if is_digit(c) => {}
                _ => return self.emit_value(ItemKind::String),
            }
        }
    }

    /// After the year and its dash.
    pub(super) fn date_after_year(&mut self) {
        for expected in "00-00T00:00:00Z".chars() {
            let c = self.next();
            if expected == '0' {
                if !is_digit(c) {
                    return self.fail(format!(
                        "Expected digit in ISO8601 datetime, but found '{}' instead.",
                        shown(c)
                    ));
                }
            } else if c != expected {
                return self.fail(format!(
                    "Expected '{expected}' in ISO8601 datetime, but found '{}' instead.",
                    shown(c)
                ));
            }
        }
        self.emit(ItemKind::DateTime);
        self.go_back();
    }
}
