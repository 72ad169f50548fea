//! The parser: items to values, includes and variables resolved.
//!
//! Nothing here reads a file or the environment itself; a [`Source`] does.

use std::cell::Cell;
use std::rc::Rc;

use super::lexer::{Item, ItemKind, Lexer};
use super::value::{Kind, Map, Position, Value};

/// Arrays and maps may lie this many levels inside each other. nats-server has no limit; no real
/// configuration comes near this one, and it keeps recursion over values shallow.
pub const MAX_NESTING: usize = 128;

/// Files may include each other this many levels deep. It also ends a file that includes itself.
pub const MAX_INCLUDE_DEPTH: usize = 32;

/// Files read for one configuration at most.
pub const MAX_INCLUDED_FILES: usize = 10_000;

/// What variables, environment and includes may add to a configuration, in bytes of memory
/// (roughly). Without a limit, a few lines that each use the one before twice would fill it.
pub const MAX_EXPANSION: usize = 64 << 20;

/// Environment variables that refer to each other, at most this many deep.
pub const MAX_ENVIRONMENT_DEPTH: usize = 32;

/// Where the text of files and the environment come from.
pub trait Source {
    /// The bytes of the file at `path`, or a message such as
    /// `open nope.conf: no such file or directory`.
    fn read(&self, path: &str) -> Result<Vec<u8>, String>;

    /// The value of an environment variable.
    fn environment(&self, name: &str) -> Option<String>;
}

/// A configuration that could not be read or parsed. The text is nats-server's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError(pub String);

impl std::fmt::Display for ParseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ParseError {}

/// Reads and parses the file at `path` and everything that it includes.
pub(crate) fn parse_file(source: &dyn Source, path: &str) -> Result<Map, ParseError> {
    Session {
        source,
        files: 0,
        expansion: 0,
        environment: Vec::new(),
    }
    .file(path, 0)
}

/// What is shared by all files of one configuration.
struct Session<'s> {
    source: &'s dyn Source,
    files: usize,
    expansion: usize,
    /// Environment variables being read, to notice cycles.
    environment: Vec<String>,
}

impl Session<'_> {
    fn file(&mut self, path: &str, depth: usize) -> Result<Map, ParseError> {
        if depth > MAX_INCLUDE_DEPTH {
            return Err(ParseError(format!(
                "includes are nested deeper than {MAX_INCLUDE_DEPTH} files"
            )));
        }
        self.files += 1;
        if self.files > MAX_INCLUDED_FILES {
            return Err(ParseError(format!(
                "more than {MAX_INCLUDED_FILES} files are included"
            )));
        }
        let bytes = self.source.read(path).map_err(ParseError)?;
        if depth > 0 {
            self.charge(bytes.len())?;
        }
        self.text(&bytes, path, depth)
    }

    /// Counts what a variable or an include adds.
    fn charge(&mut self, bytes: usize) -> Result<(), ParseError> {
        self.expansion = self.expansion.saturating_add(bytes);
        if self.expansion > MAX_EXPANSION {
            return Err(ParseError(format!(
                "variables and includes expand to more than {MAX_EXPANSION} bytes"
            )));
        }
        Ok(())
    }

    fn text(&mut self, bytes: &[u8], path: &str, depth: usize) -> Result<Map, ParseError> {
        let mut parser = Parser {
            session: self,
            path: path.into(),
            include_depth: depth,
            open: vec![Open::Map(Map::default())],
            keys: Vec::new(),
        };
        let mut lexer = Lexer::new(bytes);
        // A lone closing brace at the end is read as a key; files in braces end so.
        let mut dangling_key = false;
        loop {
            let item = lexer.next_item();
            match item.kind {
                ItemKind::Eof if dangling_key => {
                    return Err(ParseError(format!(
                        "config is invalid ({path}:{}:{})",
                        item.line, item.column
                    )));
                }
                ItemKind::Eof => return Ok(parser.finish()),
                _ => {}
            }
            dangling_key = item.kind == ItemKind::Key && item.text != "}";
            parser.item(item)?;
        }
    }
}

/// An array or map that is not closed yet.
enum Open {
    Array(Vec<Value>),
    Map(Map),
}

struct Parser<'p, 's> {
    session: &'p mut Session<'s>,
    path: Rc<str>,
    include_depth: usize,
    /// Never empty: the first is the file itself.
    open: Vec<Open>,
    /// Keys that wait for their value, with their positions.
    keys: Vec<(String, Position)>,
}

impl Parser<'_, '_> {
    fn finish(self) -> Map {
        match self.open.into_iter().next() {
            Some(Open::Map(map)) => map,
            _ => Map::default(),
        }
    }

    fn position(&self, item: &Item) -> Position {
        Position {
            file: Rc::clone(&self.path),
            line: item.line,
            column: item.column,
        }
    }

    fn item(&mut self, item: Item) -> Result<(), ParseError> {
        let position = self.position(&item);
        let text = item.text;
        let kind = match item.kind {
            ItemKind::Error => {
                return Err(ParseError(format!(
                    "Parse error on line {}: '{text}'",
                    item.line
                )));
            }
            ItemKind::Eof => return Ok(()),
            ItemKind::Key => {
                self.keys.push((text, position));
                return Ok(());
            }
            ItemKind::MapStart => return self.begin(Open::Map(Map::default()), item.line),
            ItemKind::ArrayStart => return self.begin(Open::Array(Vec::new()), item.line),
            ItemKind::MapEnd | ItemKind::ArrayEnd => {
                // The lexer closes nothing that is not open; the file itself stays.
                if self.open.len() < 2 {
                    return Ok(());
                }
                match self.open.pop() {
                    Some(Open::Map(map)) => Kind::Map(map),
                    Some(Open::Array(values)) => Kind::Array(values),
                    None => return Ok(()),
                }
            }
            ItemKind::String => Kind::String(text),
            ItemKind::Bool => Kind::Bool(
                ["true", "yes", "on"]
                    .iter()
                    .any(|word| text.eq_ignore_ascii_case(word)),
            ),
            ItemKind::Integer => match integer(&text)? {
                Some(number) => Kind::Integer(number),
                // Oddity of nats-server: a suffix such as `kbb` gives no value at all.
                None => return Ok(()),
            },
            ItemKind::Float => match text.parse::<f64>() {
                Ok(number) if number.is_finite() => Kind::Float(number),
                Ok(_) => return Err(ParseError(format!("float '{text}' is out of the range"))),
                Err(_) => return Err(ParseError(format!("expected float, but got '{text}'"))),
            },
            ItemKind::DateTime if is_zulu_time(&text) => Kind::DateTime(text),
            ItemKind::DateTime => {
                return Err(ParseError(format!(
                    "expected Zulu formatted DateTime, but got '{text}'"
                )));
            }
            ItemKind::Variable => self.variable(&text, item.line)?,
            ItemKind::Include => return self.include(&text),
        };
        self.put(kind, position);
        Ok(())
    }

    fn begin(&mut self, open: Open, line: u32) -> Result<(), ParseError> {
        if self.open.len() > MAX_NESTING {
            return Err(too_deep(line));
        }
        self.open.push(open);
        Ok(())
    }

    fn put(&mut self, kind: Kind, position: Position) {
        let value = |position| Value {
            kind,
            position,
            used_as_variable: Cell::new(false),
        };
        match self.open.last_mut() {
            Some(Open::Array(values)) => values.push(value(position)),
            Some(Open::Map(map)) => {
                if let Some((key, position)) = self.keys.pop() {
                    map.insert(key, value(position));
                }
            }
            None => {}
        }
    }

    fn include(&mut self, name: &str) -> Result<(), ParseError> {
        let path = join(directory(&self.path), name);
        let map = self
            .session
            .file(&path, self.include_depth + 1)
            .map_err(|error| ParseError(format!("error parsing include file '{name}', {error}")))?;
        if let Some(Open::Map(into)) = self.open.last_mut() {
            for (key, value) in map.into_entries() {
                into.insert(key, value);
            }
        }
        Ok(())
    }

    /// The value that `$name` stands for: the nearest earlier key of that name in this map or one
    /// around it, else the environment.
    fn variable(&mut self, name: &str, line: u32) -> Result<Kind, ParseError> {
        // A bcrypt hash begins with a dollar sign and needs no quotes; only this kind is known.
        if name.starts_with("2a$") {
            return Ok(Kind::String(format!("${name}")));
        }
        let found = self.open.iter().rev().find_map(|open| match open {
            Open::Map(map) => map.get(name),
            Open::Array(_) => None,
        });
        let kind = match found {
            Some(value) => {
                value.used_as_variable.set(true);
                self.session.charge(value.kind.weight())?;
                value.kind.clone()
            }
            None => self.environment(name, line)?,
        };
        if self.open.len() + kind.depth() > MAX_NESTING {
            return Err(too_deep(line));
        }
        Ok(kind)
    }

    /// The value of an environment variable is read like the value of a key.
    fn environment(&mut self, name: &str, line: u32) -> Result<Kind, ParseError> {
        let failed = |error: &str| {
            ParseError(format!(
                "variable reference for '{name}' on line {line} could not be parsed: {error}"
            ))
        };
        let session = &mut *self.session;
        if session.environment.iter().any(|open| open == name) {
            return Err(failed(&format!("variable reference cycle for '{name}'")));
        }
        if session.environment.len() >= MAX_ENVIRONMENT_DEPTH {
            return Err(failed("too many variables refer to each other"));
        }
        let Some(text) = session.source.environment(name) else {
            return Err(ParseError(format!(
                "variable reference for '{name}' on line {line} can not be found"
            )));
        };
        /// Parsing a value, however short, takes this much at least.
        const LEAST: usize = 1024;
        session.charge(text.len().max(LEAST))?;
        session.environment.push(name.to_owned());
        let parsed = session.text(format!("pk={text}").as_bytes(), "", self.include_depth);
        session.environment.pop();
        let map = parsed.map_err(|error| failed(&error.0))?;
        match map.get("pk") {
            Some(value) => Ok(value.kind.clone()),
            None => Err(ParseError(format!(
                "variable reference for '{name}' on line {line} can not be found"
            ))),
        }
    }
}

fn too_deep(line: u32) -> ParseError {
    ParseError(format!(
        "Parse error on line {line}: 'Arrays and maps are nested deeper than {MAX_NESTING} levels.'"
    ))
}

/// An integer with its size suffix: `k` is 1000, `kb`, `ki` and `kib` are 1024, and so on.
fn integer(text: &str) -> Result<Option<i64>, ParseError> {
    let digits = text
        .bytes()
        .take_while(|b| b.is_ascii_digit() || *b == b'-')
        .count();
    let (number, suffix) = text.split_at(digits);
    let out_of_range = || ParseError(format!("integer '{text}' is out of the range"));
    let number = number.parse::<i64>().map_err(|error| match error.kind() {
        std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => out_of_range(),
        _ => ParseError(format!("expected integer, but got '{text}'")),
    })?;
    let suffix = suffix.to_ascii_lowercase();
    let Some(letter) = suffix.chars().next() else {
        return Ok(Some(number));
    };
    let power = match letter {
        'k' => 1,
        'm' => 2,
        'g' => 3,
        't' => 4,
        'p' => 5,
        'e' => 6,
        _ => return Err(ParseError(format!("expected integer, but got '{text}'"))),
    };
    let base: i64 = match &suffix[1..] {
        "" => 1000,
        "b" | "i" | "ib" => 1024,
        _ => return Ok(None),
    };
    // nats-server multiplies without a check; what wraps round there is refused or odd later on.
    Ok(Some(number.wrapping_mul(base.pow(power))))
}

/// Whether text of the form 2006-01-02T15:04:05Z names a day and time that exist.
fn is_zulu_time(text: &str) -> bool {
    let number =
        |range: std::ops::Range<usize>| text.get(range).and_then(|t| t.parse::<u32>().ok());
    let (Some(year), Some(month), Some(day), Some(hour), Some(minute), Some(second)) = (
        number(0..4),
        number(5..7),
        number(8..10),
        number(11..13),
        number(14..16),
        number(17..19),
    ) else {
        return false;
    };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return false,
    };
    (1..=days).contains(&day) && hour < 24 && minute < 60 && second < 60
}

/// The directory part of a path, empty for the working directory.
fn directory(path: &str) -> &str {
    path.rfind('/').map_or("", |at| &path[..=at])
}

/// Joins and tidies a path: `.` and empty parts vanish, `..` takes the part before it away.
/// A name that begins with a slash is taken below the directory all the same, as in nats-server.
fn join(directory: &str, name: &str) -> String {
    let directory = if directory.is_empty() { "." } else { directory };
    let joined = format!("{directory}/{name}");
    let rooted = joined.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in joined.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    match (rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}
