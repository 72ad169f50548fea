//! The places between values: top level, braces, keys, includes, arrays and maps.

use super::characters::{is_digit, is_line_end, shown};
use super::{EOF, ItemKind, Lexer, Place, Slash};

impl Lexer<'_> {
    // --- Comments -------------------------------------------------------------------------

    /// Skips the rest of the line.
    pub(super) fn comment(&mut self) {
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
    pub(super) fn slash(&mut self) -> Slash {
        if self.next() == '/' {
            Slash::Comment
        } else {
            self.backup();
            Slash::Lone
        }
    }

    pub(super) fn comment_then(&mut self, place: Place) {
        self.comment();
        self.place = place;
    }

    // --- Top level and braces around it ---------------------------------------------------

    pub(super) fn top(&mut self) {
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

    pub(super) fn top_value_end(&mut self) {
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

    pub(super) fn block(&mut self) {
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

    pub(super) fn block_value_end(&mut self) {
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

    pub(super) fn block_end(&mut self) {
        match self.next() {
            '#' => self.comment(),
            '/' => {
                if let Slash::Comment = self.slash() {
                    self.comment();
                }
            }
            '\n' | '\r' | '\t' | ' ' => {}
            ';' | ',' => self.skip_to(Place::Block),
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

    pub(super) fn key_start(&mut self) {
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
    pub(super) fn bare_key(&mut self) {
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

    pub(super) fn key_end(&mut self) {
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

    pub(super) fn map_key(&mut self) {
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
            ']' => self.fail("Unexpected array end ']' processing map.".to_owned()),
            _ => self.bare_map_key(),
        }
    }

    pub(super) fn bare_map_key(&mut self) {
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

    pub(super) fn map_key_end(&mut self) {
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

    pub(super) fn is_include(&self) -> bool {
        self.input[self.start..self.pos].eq_ignore_ascii_case(b"include")
    }

    /// After the word `include`: a file name, quoted or up to a blank.
    pub(super) fn include(&mut self) {
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

    pub(super) fn quoted_include(&mut self, quote: char) {
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

    pub(super) fn bare_include(&mut self) {
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

    pub(super) fn array_value(&mut self) {
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

    pub(super) fn array_value_end(&mut self) {
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

    pub(super) fn array_end(&mut self) {
        self.ignore();
        self.emit(ItemKind::ArrayEnd);
        self.go_back();
    }

    pub(super) fn map_value(&mut self) {
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

    pub(super) fn map_value_end(&mut self) {
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

    pub(super) fn map_end(&mut self) {
        self.ignore();
        self.emit(ItemKind::MapEnd);
        self.go_back();
    }
}
