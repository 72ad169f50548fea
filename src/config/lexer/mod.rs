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

mod characters;
mod structure;
mod values;

use self::characters::decode;
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
}
