//! The lexer of the nats-server configuration language.
//!
//! The language has no grammar on paper; what the real server accepts is the
//! definition. Its lexer knows *places* (top level, inside a map, after an
//! array element, ...) and keeps a stack of the places to return to, and many
//! oddities follow from that: a top-level `}` is skipped or becomes a key, `5]`
//! is a string, a NUL byte ends things like the end of the file does. This lexer
//! keeps the same places (see [`Place`]) and scans strings and numbers in plain
//! loops. It never recurses, and every call makes progress or ends.
//!
//! Positions are those of nats-server's messages: lines count from 1; columns
//! are in bytes, from 0 on the first line of a file and from 1 on all others.

use super::text::lossy;

/// What the end of the input reads as. A NUL byte in the file reads the same.
const EOF: char = '\0';

/// The kinds of items that the parser is fed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ItemKind {
    Error,
    Eof,
    Key,
    String,
    Bool,
    Integer,
    Float,
    DateTime,
    Variable,
    Include,
    ArrayStart,
    ArrayEnd,
    MapStart,
    MapEnd,
}

/// One lexical item with the place it was found at.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Item {
    pub kind: ItemKind,
    /// The text of the item without quotes; the message of an error.
    pub text: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in bytes: from 0 on line 1, from 1 on later lines.
    pub column: i64,
}

/// Where the lexer is between two items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before a key at the top level.
    Top,
    /// After a value at the top level.
    TopValueEnd,
    /// Inside braces around the whole file, before a key.
    Block,
    /// Inside braces around the whole file, after a value.
    BlockValueEnd,
    /// After the closing brace of such braces.
    BlockEnd,
    /// A key is next (top level or block).
    KeyStart,
    /// After a key, before its separator.
    KeyEnd,
    /// A value is next, on the same line.
    Value,
    ArrayValue,
    ArrayValueEnd,
    MapKey,
    MapKeyEnd,
    MapValue,
    MapValueEnd,
    /// Everything has been handed out.
    Done,
}

/// How a `/` goes on.
enum Slash {
    Comment,
    Lone,
}

/// Turns the bytes of one file into items, one [`Lexer::next_item`] at a time.
pub(super) struct Lexer<'a> {
    input: &'a [u8],
    /// Where the current item begins.
    start: usize,
    pos: usize,
    /// Bytes of the character read last; [`Lexer::backup`] steps back by it.
    width: usize,
    line: u32,
    /// Offset of the line end before the current line (0 on the first line).
    line_start: usize,
    /// The same for the line on which the current item begins.
    item_line_start: usize,
    /// Decoded beginning of a string that contains escapes.
    decoded: Option<Vec<u8>>,
    place: Place,
    /// Places to return to when a value, comment or block ends.
    returns: Vec<Place>,
    ready: Option<Item>,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        Lexer {
            input,
            start: 0,
            pos: 0,
            width: 0,
            line: 1,
            line_start: 0,
            item_line_start: 0,
            decoded: None,
            place: Place::Top,
            returns: Vec::new(),
            ready: None,
        }
    }

    /// The next item. After [`ItemKind::Eof`] or [`ItemKind::Error`] there is nothing more to ask
    /// for; the end is repeated.
    pub(super) fn next_item(&mut self) -> Item {
        loop {
            if let Some(item) = self.ready.take() {
                return item;
            }
            match self.place {
                Place::Top => self.top(),
                Place::TopValueEnd => self.top_value_end(),
                Place::Block => self.block(),
                Place::BlockValueEnd => self.block_value_end(),
                Place::BlockEnd => self.block_end(),
                Place::KeyStart => self.key_start(),
                Place::KeyEnd => self.key_end(),
                Place::Value => self.value(),
                Place::ArrayValue => self.array_value(),
                Place::ArrayValueEnd => self.array_value_end(),
                Place::MapKey => self.map_key(),
                Place::MapKeyEnd => self.map_key_end(),
                Place::MapValue => self.map_value(),
                Place::MapValueEnd => self.map_value_end(),
                Place::Done => self.emit(ItemKind::Eof),
            }
        }
    }

    // --- Reading characters ---------------------------------------------------------------

    fn next(&mut self) -> char {
        let Some(&byte) = self.input.get(self.pos) else {
            self.width = 0;
            return EOF;
        };
        if byte == b'\n' {
            self.line += 1;
            self.line_start = self.pos;
        }
        let (c, width) = decode(&self.input[self.pos..]);
        self.width = width;
        self.pos += width;
        c
    }

    fn backup(&mut self) {
        self.pos = self.pos.saturating_sub(self.width);
        if self.input.get(self.pos) == Some(&b'\n') && self.width > 0 {
            self.line -= 1;
        }
    }

    fn peek(&mut self) -> char {
        let c = self.next();
        self.backup();
        c
    }

    /// Forgets what was read of the current item.
    fn ignore(&mut self) {
        self.start = self.pos;
        self.item_line_start = self.line_start;
    }

    /// Forgets what was read and goes on at `place`.
    fn skip_to(&mut self, place: Place) {
        self.ignore();
        self.place = place;
    }

    /// Goes back to where the finished value, comment or block was met.
    fn go_back(&mut self) {
        match self.returns.pop() {
            Some(place) => self.place = place,
            None => self.fail("BUG in lexer: no states to pop.".to_owned()),
        }
    }

    // --- Handing out items ----------------------------------------------------------------

    fn emit(&mut self, kind: ItemKind) {
        let mut raw = self.decoded.take().unwrap_or_default();
        raw.extend_from_slice(&self.input[self.start..self.pos]);
        let column = self.pos as i64 - self.item_line_start as i64 - raw.len() as i64;
        self.ready = Some(Item {
            kind,
            text: lossy(&raw),
            line: self.line,
            column,
        });
        self.ignore();
    }

    fn end(&mut self) {
        self.place = Place::Done;
        self.emit(ItemKind::Eof);
    }

    fn fail(&mut self, message: String) {
        let column = self.pos as i64 - self.line_start as i64;
        self.place = Place::Done;
        self.ready = Some(Item {
            kind: ItemKind::Error,
            text: message,
            line: self.line,
            column,
        });
    }

    /// The end of the input, or a NUL byte, where a value cannot end: an end between items is
    /// fine, an end inside one is an error.
    fn end_or_fail(&mut self) {
        if self.pos > self.start {
            self.fail("Unexpected EOF.".to_owned());
        } else {
            self.end();
        }
    }

    // --- Comments -------------------------------------------------------------------------

    /// Skips the rest of the line.
    fn comment(&mut self) {
        loop {
            let c = self.peek();
            if is_line_end(c) || c == EOF {
                self.ignore();
                return;
            }
            self.next();
        }
    }

    /// After a `/`: the second one of a comment is consumed, anything else is left.
    fn slash(&mut self) -> Slash {
        if self.next() == '/' {
            Slash::Comment
        } else {
            self.backup();
            Slash::Lone
        }
    }

    fn comment_then(&mut self, place: Place) {
        self.comment();
        self.place = place;
    }

    // --- Top level and braces around it ---------------------------------------------------

    fn top(&mut self) {
        let c = self.next();
        match c {
            c if c.is_whitespace() => self.ignore(),
            '{' => {
                self.returns.push(Place::Top);
                self.skip_to(Place::Block);
            }
            '#' => self.comment(),
            '/' => match self.slash() {
                Slash::Comment => self.comment(),
                Slash::Lone => self.end_or_fail(),
            },
            EOF => self.end_or_fail(),
            _ => {
                self.backup();
                self.returns.push(Place::TopValueEnd);
                self.place = Place::KeyStart;
            }
        }
    }

    fn top_value_end(&mut self) {
        match self.next() {
            '#' => self.comment_then(Place::Top),
            '/' => {
                if let Slash::Comment = self.slash() {
                    self.comment_then(Place::Top);
                }
            }
            '\t' | ' ' => {}
            '\n' | '\r' | EOF | ';' | ',' | '}' => self.skip_to(Place::Top),
            c => self.fail(format!(
                "Expected a top-level value to end with a new line, comment or EOF, but got '{}' instead.",
                shown(c)
            )),
        }
    }

    fn block(&mut self) {
        match self.next() {
            c if c.is_whitespace() => self.ignore(),
            '{' => {
                self.returns.push(Place::BlockEnd);
                self.ignore();
            }
            '}' => {
                self.ignore();
                self.go_back();
            }
            '#' => self.comment(),
            '/' => match self.slash() {
                Slash::Comment => self.comment(),
                Slash::Lone => self.end_or_fail(),
            },
            EOF => self.end_or_fail(),
            _ => {
                self.backup();
                self.returns.push(Place::BlockValueEnd);
                self.place = Place::KeyStart;
            }
        }
    }

    fn block_value_end(&mut self) {
        match self.next() {
            '#' => self.comment(),
            '/' => {
                if let Slash::Comment = self.slash() {
                    self.comment();
                }
            }
            '\t' | ' ' => {}
            '\n' | '\r' | ';' | ',' => self.skip_to(Place::Block),
            '}' => {
                self.backup();
                self.place = Place::BlockEnd;
            }
            c => self.fail(format!(
                "Expected a block-level value to end with a new line, comment or EOF, but got '{}' instead.",
                shown(c)
            )),
        }
    }

    fn block_end(&mut self) {
        match self.next() {
            '#' => self.comment(),
            '/' => {
                if let Slash::Comment = self.slash() {
                    self.comment();
                }
            }
            '\n' | '\r' | '\t' | ' ' => {}
            ';' | ',' => self.skip_to(Place::Top),
            '}' => {
                self.ignore();
                self.go_back();
            }
            c => self.fail(format!(
                "Expected a block-level to end with a '}}', but got '{}' instead.",
                shown(c)
            )),
        }
    }

    // --- Keys -----------------------------------------------------------------------------

    fn key_start(&mut self) {
        match self.peek() {
            c @ ('=' | ':') => self.fail(format!("Unexpected key separator '{c}'")),
            c if c.is_whitespace() => {
                self.next();
                self.ignore();
            }
            quote @ ('"' | '\'') => {
                self.next();
                self.ignore();
                loop {
                    match self.peek() {
                        c if c == quote => {
                            self.emit(ItemKind::Key);
                            self.next();
                            return self.skip_to(Place::KeyEnd);
                        }
                        EOF => return self.end_or_fail(),
                        _ => {
                            self.next();
                        }
                    }
                }
            }
            _ => {
                self.ignore();
                self.next();
                self.bare_key();
            }
        }
    }

    /// A key without quotes at the top level or in a block; its first character is read.
    fn bare_key(&mut self) {
        loop {
            match self.peek() {
                c if c.is_whitespace() => {
                    if self.is_include() {
                        self.include();
                    } else {
                        self.emit(ItemKind::Key);
                        self.place = Place::KeyEnd;
                    }
                    return;
                }
                '=' | ':' | EOF => {
                    self.emit(ItemKind::Key);
                    self.place = Place::KeyEnd;
                    return;
                }
                _ => {
                    self.next();
                }
            }
        }
    }

    fn key_end(&mut self) {
        match self.next() {
            c if c.is_whitespace() => self.ignore(),
            '=' | ':' => self.skip_to(Place::Value),
            EOF => self.end(),
            _ => {
                self.backup();
                self.place = Place::Value;
            }
        }
    }

    fn map_key(&mut self) {
        match self.peek() {
            c @ ('=' | ':') => {
                self.next();
                self.fail(format!("Unexpected key separator '{c}'."));
            }
            c if c.is_whitespace() => {
                self.next();
                self.ignore();
            }
            '}' => {
                self.next();
                self.map_end();
            }
            '#' => {
                self.next();
                self.comment();
            }
            '/' => {
                self.next();
                match self.slash() {
                    Slash::Comment => self.comment(),
                    // A lone slash is dropped and the key goes on after it.
                    Slash::Lone => self.bare_map_key(),
                }
            }
            quote @ ('"' | '\'') => {
                self.next();
                self.ignore();
                loop {
                    match self.peek() {
                        EOF if quote == '"' => {
                            return self.fail(
                                "Unexpected EOF processing double quoted map key.".to_owned(),
                            );
                        }
                        EOF => {
                            return self
                                .fail("Unexpected EOF processing quoted map key.".to_owned());
                        }
                        c if c == quote => {
                            self.emit(ItemKind::Key);
                            self.next();
                            return self.skip_to(Place::MapKeyEnd);
                        }
                        _ => {
                            self.next();
                        }
                    }
                }
            }
            EOF => self.fail("Unexpected EOF processing map.".to_owned()),
            _ => self.bare_map_key(),
        }
    }

    fn bare_map_key(&mut self) {
        self.ignore();
        self.next();
        loop {
            match self.peek() {
                EOF => return self.fail("Unexpected EOF processing map key.".to_owned()),
                c if c.is_whitespace() => {
                    if self.is_include() {
                        self.returns.push(Place::MapValueEnd);
                        self.include();
                    } else {
                        self.emit(ItemKind::Key);
                        self.place = Place::MapKeyEnd;
                    }
                    return;
                }
                '=' | ':' => {
                    self.emit(ItemKind::Key);
                    self.place = Place::MapKeyEnd;
                    return;
                }
                _ => {
                    self.next();
                }
            }
        }
    }

    fn map_key_end(&mut self) {
        match self.next() {
            c if c.is_whitespace() => self.ignore(),
            '=' | ':' => self.skip_to(Place::MapValue),
            _ => {
                self.backup();
                self.place = Place::MapValue;
            }
        }
    }

    // --- Includes -------------------------------------------------------------------------

    fn is_include(&self) -> bool {
        self.input[self.start..self.pos].eq_ignore_ascii_case(b"include")
    }

    /// After the word `include`: a file name, quoted or up to a blank.
    fn include(&mut self) {
        self.ignore();
        while matches!(self.peek(), ' ' | '\t') {
            self.next();
            self.ignore();
        }
        let refused = match self.next() {
            quote @ ('\'' | '"') => {
                self.ignore();
                return self.quoted_include(quote);
            }
            '[' => "start of an array",
            '{' => "start of a map",
            '(' => "start of a block",
            '-' => "start of a number",
            c if is_digit(c) => "start of a number",
            '\\' => "escape sequence",
            '\n' | '\r' => "new line",
            _ => {
                self.backup();
                return self.bare_include();
            }
        };
        self.fail(format!("Expected include value but found {refused}"));
    }

    fn quoted_include(&mut self, quote: char) {
        loop {
            match self.next() {
                c if c == quote => {
                    self.backup();
                    self.emit(ItemKind::Include);
                    self.next();
                    self.ignore();
                    return self.go_back();
                }
                EOF if quote == '"' => {
                    return self.fail("Unexpected EOF in double quoted include".to_owned());
                }
                EOF => return self.fail("Unexpected EOF in quoted include".to_owned()),
                _ => {}
            }
        }
    }

    fn bare_include(&mut self) {
        loop {
            match self.next() {
                '\n' | '\r' | EOF | ';' | '}' | ' ' | '\t' => {
                    self.backup();
                    self.emit(ItemKind::Include);
                    return self.go_back();
                }
                '\'' => {
                    self.backup();
                    self.emit(ItemKind::Include);
                    self.next();
                    self.ignore();
                    return self.go_back();
                }
                _ => {}
            }
        }
    }

    // --- Arrays and maps ------------------------------------------------------------------

    fn array_value(&mut self) {
        match self.next() {
            c if c.is_whitespace() => self.ignore(),
            '#' => self.comment(),
            '/' => match self.slash() {
                Slash::Comment => self.comment(),
                Slash::Lone => self.fail("Unexpected array value terminator ','.".to_owned()),
            },
            ',' => self.fail("Unexpected array value terminator ','.".to_owned()),
            ']' => self.array_end(),
            _ => {
                self.backup();
                self.returns.push(Place::ArrayValueEnd);
                self.place = Place::Value;
            }
        }
    }

    fn array_value_end(&mut self) {
        match self.next() {
            ' ' | '\t' => self.ignore(),
            '#' => self.comment(),
            '/' => match self.slash() {
                Slash::Comment => self.comment(),
                // A lone slash separates like a comma.
                Slash::Lone => self.skip_to(Place::ArrayValue),
            },
            ',' | '\n' | '\r' => self.skip_to(Place::ArrayValue),
            ']' => self.array_end(),
            c => self.fail(format!(
                "Expected an array value terminator \",\" or an array terminator \"]\", but got '{}' instead.",
                shown(c)
            )),
        }
    }

    fn array_end(&mut self) {
        self.ignore();
        self.emit(ItemKind::ArrayEnd);
        self.go_back();
    }

    fn map_value(&mut self) {
        match self.next() {
            c if c.is_whitespace() => self.ignore(),
            ',' => self.fail("Unexpected map value terminator \",\".".to_owned()),
            '}' => self.map_end(),
            _ => {
                self.backup();
                self.returns.push(Place::MapValueEnd);
                self.place = Place::Value;
            }
        }
    }

    fn map_value_end(&mut self) {
        match self.next() {
            ' ' | '\t' => self.ignore(),
            '#' => self.comment(),
            '/' => match self.slash() {
                Slash::Comment => self.comment(),
                // A lone slash separates like a comma.
                Slash::Lone => self.skip_to(Place::MapKey),
            },
            ';' | ',' | '\n' | '\r' => self.skip_to(Place::MapKey),
            '}' => self.map_end(),
            c => self.fail(format!(
                "Expected a map value terminator \",\" or a map terminator \"}}\", but got '{}' instead.",
                shown(c)
            )),
        }
    }

    fn map_end(&mut self) {
        self.ignore();
        self.emit(ItemKind::MapEnd);
        self.go_back();
    }

    // --- Values ---------------------------------------------------------------------------

    fn value(&mut self) {
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
    fn emit_value(&mut self, kind: ItemKind) {
        self.backup();
        self.emit(kind);
        self.go_back();
    }

    /// Hands out a string that ended with a quote, which is dropped.
    fn emit_quoted(&mut self) {
        self.backup();
        self.emit(ItemKind::String);
        self.next();
        self.ignore();
        self.go_back();
    }

    fn single_quoted(&mut self) {
        loop {
            match self.next() {
                '\'' => return self.emit_quoted(),
                EOF => return self.end_or_fail(),
                _ => {}
            }
        }
    }

    fn double_quoted(&mut self) {
        loop {
            match self.next() {
                '\\' => {
                    if !self.escape() {
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
    fn bare_string(&mut self) {
        loop {
            match self.next() {
                '\\' => {
                    if !self.escape() {
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

    fn bare_string_kind(&mut self) -> ItemKind {
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

    /// After a backslash. Returns false after an error.
    fn escape(&mut self) -> bool {
        let end = self.pos - 1;
        let mut decoded = self.decoded.take().unwrap_or_default();
        decoded.extend_from_slice(&self.input[self.start..end]);
        self.start = self.pos;
        let byte = match self.next() {
            'x' => match self.hex_escape() {
                Some(byte) => byte,
                None => return false,
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
                return false;
            }
        };
        decoded.push(byte);
        self.decoded = Some(decoded);
        self.start = self.pos;
        true
    }

    fn hex_escape(&mut self) -> Option<u8> {
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
    fn parenthesised(&mut self) {
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
    fn number(&mut self) {
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
    fn size(&mut self) {
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

    fn negative_number(&mut self) {
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
    fn float(&mut self) {
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
    fn date_after_year(&mut self) {
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

/// The first character of `bytes` and its length; a byte that is not UTF-8 counts as one.
fn decode(bytes: &[u8]) -> (char, usize) {
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

fn is_line_end(c: char) -> bool {
    c == '\n' || c == '\r'
}

/// A decimal digit of any script, as in the real lexer; the parser then refuses all but ASCII.
fn is_digit(c: char) -> bool {
    c.is_ascii_digit() || (!c.is_ascii() && is_decimal_digit(c))
}

/// The decimal digits outside ASCII that matter are those of General Category Nd. The standard
/// library only knows "numeric"; letters such as Roman numerals and fractions are told apart by
/// the blocks of ten in which Unicode lays out decimal digits.
fn is_decimal_digit(c: char) -> bool {
    const ZEROS: [u32; 20] = [
        0x0660, 0x06F0, 0x07C0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66, 0x0CE6,
        0x0D66, 0x0DE6, 0x0E50, 0x0ED0, 0x0F20, 0x1040, 0x17E0, 0x1810, 0xFF10,
    ];
    let code = c as u32;
    ZEROS.iter().any(|&zero| (zero..zero + 10).contains(&code))
}

fn is_size_suffix(c: char) -> bool {
    matches!(c.to_ascii_lowercase(), 'k' | 'm' | 'g' | 't' | 'p' | 'e')
}

/// What may follow a number. Note that `]` is not among them: `[1, 2]` does not end.
fn ends_number(c: char) -> bool {
    matches!(c, '\n' | '\r' | EOF | '}' | ';' | ',' | ' ' | '\t') || is_digit(c)
}

/// A character as error messages show it.
fn shown(c: char) -> String {
    match c {
        '\n' => "\\n".to_owned(),
        c => c.to_string(),
    }
}
