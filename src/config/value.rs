//! What the parser makes of a configuration file: a tree of values that know where they stood.

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;

use sha2::{Digest as _, Sha256};

/// Where a value was written. Lines count from 1; columns are in bytes, from 0 on the first line
/// and from 1 on later ones (the counting of nats-server's messages). A value of a map has the
/// position of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The file as the user or the include named it.
    pub file: Rc<str>,
    pub line: u32,
    pub column: i64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// A value with its position.
#[derive(Debug, Clone)]
pub(crate) struct Value {
    pub kind: Kind,
    pub position: Position,
    /// Set when a `$name` has referred to this value: it may then have a name that no option has.
    pub used_as_variable: Cell<bool>,
}

#[derive(Debug, Clone)]
pub(crate) enum Kind {
    String(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
    /// A Zulu time as it was written, checked to exist.
    DateTime(String),
    Array(Vec<Value>),
    Map(Map),
}

impl Kind {
    /// The name of the type in nats-server's messages.
    pub fn type_name(&self) -> &'static str {
        match self {
            Kind::String(_) => "string",
            Kind::Integer(_) => "int64",
            Kind::Float(_) => "float64",
            Kind::Bool(_) => "bool",
            Kind::DateTime(_) => "time.Time",
            Kind::Array(_) => "[]interface {}",
            Kind::Map(_) => "map[string]interface {}",
        }
    }

    /// Roughly the bytes of memory that this value takes with everything below it: the measure
    /// that bounds how far variables may expand.
    pub fn weight(&self) -> usize {
        /// A value with its position and its place in a map.
        const VALUE_BYTES: usize = 128;
        VALUE_BYTES
            + match self {
                Kind::String(text) | Kind::DateTime(text) => text.len(),
                Kind::Integer(_) | Kind::Float(_) | Kind::Bool(_) => 0,
                Kind::Array(values) => values.iter().map(|v| v.kind.weight()).sum(),
                Kind::Map(map) => map.iter().map(|(k, v)| 2 * k.len() + v.kind.weight()).sum(),
            }
    }

    /// Levels of arrays and maps, 0 for a plain value.
    pub fn depth(&self) -> usize {
        match self {
            Kind::Array(values) => 1 + values.iter().map(|v| v.kind.depth()).max().unwrap_or(0),
            Kind::Map(map) => 1 + map.iter().map(|(_, v)| v.kind.depth()).max().unwrap_or(0),
            _ => 0,
        }
    }
}

/// A map that keeps the order of the file; a repeated key takes the place of the earlier one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Map {
    entries: Vec<(String, Value)>,
    index: HashMap<String, usize>,
}

impl Map {
    pub fn insert(&mut self, key: String, value: Value) {
        match self.index.get(&key) {
            Some(&at) => self.entries[at].1 = value,
            None => {
                self.index.insert(key.clone(), self.entries.len());
                self.entries.push((key, value));
            }
        }
    }

    pub fn get(&self, key: &str) -> Option<&Value> {
        self.index.get(key).map(|&at| &self.entries[at].1)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.entries
            .iter()
            .map(|(key, value)| (key.as_str(), value))
    }

    pub fn into_entries(self) -> Vec<(String, Value)> {
        self.entries
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The digest that nats-server logs and shows in varz: SHA-256 over the configuration as JSON
    /// with sorted keys and a line end. Keys that serve only as variables count.
    pub fn digest(&self) -> String {
        let mut json = String::new();
        write_map(&mut json, self);
        json.push('\n');
        let mut text = String::from("sha256:");
        for byte in Sha256::digest(json.as_bytes()) {
            text.push_str(&format!("{byte:02x}"));
        }
        text
    }
}

fn write_value(out: &mut String, kind: &Kind) {
    match kind {
        Kind::String(text) | Kind::DateTime(text) => write_string(out, text),
        Kind::Integer(number) => out.push_str(&number.to_string()),
        Kind::Float(number) => out.push_str(&json_float(*number)),
        Kind::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Kind::Array(values) => {
            out.push('[');
            for (at, value) in values.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_value(out, &value.kind);
            }
            out.push(']');
        }
        Kind::Map(map) => write_map(out, map),
    }
}

fn write_map(out: &mut String, map: &Map) {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_unstable_by_key(|(key, _)| *key);
    out.push('{');
    for (at, (key, value)) in entries.into_iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        write_string(out, key);
        out.push(':');
        write_value(out, &value.kind);
    }
    out.push('}');
}

/// A JSON string with the escapes of Go's encoder, which also hides `<`, `>` and `&`.
fn write_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                out.push_str(&format!("\\u{:04x}", c as u32))
            }
            c if (c as u32) < 0x20 => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// The shortest form that reads back, with an exponent from 1e21 and below 1e-6 as Go writes it.
fn json_float(number: f64) -> String {
    let size = number.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{number:e}");
        match text.split_once('e') {
            Some((digits, exponent)) if !exponent.starts_with('-') => {
                format!("{digits}e+{exponent}")
            }
            _ => text,
        }
    } else {
        number.to_string()
    }
}
