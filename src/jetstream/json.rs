//! Requests as Go's decoder reads them, with its errors.
//!
//! nats-server quotes the errors of its JSON decoder to clients (10025), so its rules are kept:
//! names of fields match without regard to case if none matches exactly, `null` leaves a field
//! as it is (or empty, for lists and nested objects), unknown fields are refused in strict mode,
//! and the first value that does not fit is reported with its path and the type of the field in
//! nats-server. All texts were asked of nats-server 2.15.1.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use crate::protocol::quote::push_quoted;

/// Nesting above which a request is refused.
pub const DEPTH_MAX: usize = 256;

/// The text of what is wrong, as Go words it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonError(pub String);

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for JsonError {}

/// A value and the text it was written in.
#[derive(Clone, Debug)]
pub struct Node<'a> {
    pub raw: &'a [u8],
    pub value: Value<'a>,
}

#[derive(Clone, Debug)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    /// As it was written.
    Number(&'a str),
    /// Unescaped; what is no UTF-8 is replaced.
    Text(Cow<'a, str>),
    Array(Vec<Node<'a>>),
    /// In order; names may repeat.
    Object(Vec<(Cow<'a, str>, Node<'a>)>),
}

/// Reads `text` into `target`; nothing but blanks reads as no change. `root` is the name of the
/// request's type in nats-server, e.g. `StreamConfigRequest`.
///
/// # Errors
/// The text for error 10025.
pub fn decode<T: Decode>(
    target: &mut T,
    text: &[u8],
    root: &'static str,
    strict: bool,
) -> Result<(), JsonError> {
    let Some(node) = parse(text)? else {
        return Ok(());
    };
    let place = Place {
        strict,
        step: Step::Root(root),
    };
    target.decode(&node, &place)
}

/// Where in the request a value stands.
#[derive(Clone, Copy)]
pub struct Place<'p> {
    strict: bool,
    step: Step<'p>,
}

#[derive(Clone, Copy)]
enum Step<'p> {
    Root(&'static str),
    Field(&'p Place<'p>, &'p str),
    Element(&'p Place<'p>, usize),
}

impl<'p> Place<'p> {
    /// The place of the field `name` of this value.
    pub fn field(&'p self, name: &'p str) -> Self {
        Self {
            strict: self.strict,
            step: Step::Field(self, name),
        }
    }

    fn element(&'p self, index: usize) -> Self {
        Self {
            strict: self.strict,
            step: Step::Element(self, index),
        }
    }

    fn push_path(&self, out: &mut String) {
        match self.step {
            Step::Root(name) => out.push_str(name),
            Step::Field(parent, name) => {
                parent.push_path(out);
                out.push('.');
                out.push_str(name);
            }
            Step::Element(parent, index) => {
                parent.push_path(out);
                out.push('.');
                out.push_str(&index.to_string());
            }
        }
    }

    /// The error for a value that is not of `go_type`, e.g. `int64` or `[]string`.
    pub fn mismatch(&self, node: &Node<'_>, go_type: &str) -> JsonError {
        let found = match node.value {
            Value::Null => Cow::Borrowed("null"),
            Value::Bool(_) => "bool".into(),
            Value::Number(text) if is_integer_type(go_type) => format!("number {text}").into(),
            Value::Number(_) => "number".into(),
            Value::Text(_) => "string".into(),
            Value::Array(_) => "array".into(),
            Value::Object(_) => "object".into(),
        };
        let mut text = format!("json: cannot unmarshal {found} into ");
        match self.step {
            Step::Root(name) => {
                text.push_str("Go value of type server.");
                text.push_str(name);
                return JsonError(text);
            }
            Step::Field(..) => text.push_str("Go struct field "),
            Step::Element(..) => {}
        }
        self.push_path(&mut text);
        text.push_str(" of type ");
        text.push_str(go_type);
        JsonError(text)
    }
}

fn is_integer_type(go_type: &str) -> bool {
    matches!(
        go_type,
        "int" | "int32" | "int64" | "uint64" | "time.Duration"
    )
}

/// A value that can be read from JSON.
pub trait Decode {
    /// Takes over what `node` says.
    ///
    /// # Errors
    /// The first value that does not fit.
    fn decode(&mut self, node: &Node<'_>, place: &Place<'_>) -> Result<(), JsonError>;
}

/// An object with named fields; implemented by [`json_object!`].
pub trait Object {
    /// The type in nats-server, e.g. `server.StreamSource`.
    const GO_TYPE: &'static str;
    const NAMES: &'static [&'static str];

    /// Reads the field `name`, which is one of [`Self::NAMES`].
    ///
    /// # Errors
    /// A value that does not fit.
    fn set(&mut self, name: &str, node: &Node<'_>, place: &Place<'_>) -> Result<(), JsonError>;
}

/// Reads an object; `null` changes nothing.
///
/// # Errors
/// What is no object, unknown fields in strict mode, and values that do not fit.
pub fn decode_object<T: Object + ?Sized>(
    target: &mut T,
    node: &Node<'_>,
    place: &Place<'_>,
) -> Result<(), JsonError> {
    let fields = match &node.value {
        Value::Null => return Ok(()),
        Value::Object(fields) => fields,
        _ => return Err(place.mismatch(node, T::GO_TYPE)),
    };
    for (name, value) in fields {
        let known = T::NAMES
            .iter()
            .find(|known| **known == name.as_ref())
            .or_else(|| T::NAMES.iter().find(|k| k.eq_ignore_ascii_case(name)));
        match known {
            Some(known) => target.set(known, value, &place.field(known))?,
            None if place.strict => {
                let mut text = b"json: unknown field ".to_vec();
                push_quoted(&mut text, name.as_bytes());
                return Err(JsonError(String::from_utf8_lossy(&text).into_owned()));
            }
            None => {}
        }
    }
    Ok(())
}

/// Makes a struct readable: `json_object!(Type, "server.Type", { "name" => field, "ttl" => ttl
/// with json::duration })`. Several paths reach into nested fields: `"x" => inner.x`.
#[macro_export]
macro_rules! json_object {
    ($type:ty, $go:literal, { $($name:literal => $($field:ident).+ $(with $read:path)?),* $(,)? }) => {
        impl $crate::jetstream::json::Object for $type {
            const GO_TYPE: &'static str = $go;
            const NAMES: &'static [&'static str] = &[$($name),*];

            fn set(
                &mut self,
                name: &str,
                node: &$crate::jetstream::json::Node<'_>,
                place: &$crate::jetstream::json::Place<'_>,
            ) -> Result<(), $crate::jetstream::json::JsonError> {
                match name {
                    $($name => $crate::json_object!(@read self.$($field).+, node, place $(, $read)?),)*
                    _ => Ok(()),
                }
            }
        }

        impl $crate::jetstream::json::Decode for $type {
            fn decode(
                &mut self,
                node: &$crate::jetstream::json::Node<'_>,
                place: &$crate::jetstream::json::Place<'_>,
            ) -> Result<(), $crate::jetstream::json::JsonError> {
                $crate::jetstream::json::decode_object(self, node, place)
            }
        }
    };
    (@read $target:expr, $node:ident, $place:ident) => {
        $crate::jetstream::json::Decode::decode(&mut $target, $node, $place)
    };
    (@read $target:expr, $node:ident, $place:ident, $read:path) => {
        $read(&mut $target, $node, $place)
    };
}

macro_rules! integers {
    ($($type:ty, $go:literal;)*) => {$(
        impl Decode for $type {
            fn decode(&mut self, node: &Node<'_>, place: &Place<'_>) -> Result<(), JsonError> {
                integer(self, node, place, $go)
            }
        }
    )*};
}

integers! { i64, "int64"; i32, "int32"; u64, "uint64"; }

fn integer<T: std::str::FromStr>(
    target: &mut T,
    node: &Node<'_>,
    place: &Place<'_>,
    go_type: &str,
) -> Result<(), JsonError> {
    match node.value {
        Value::Null => Ok(()),
        Value::Number(text) => match text.parse() {
            Ok(number) => {
                *target = number;
                Ok(())
            }
            Err(_) => Err(place.mismatch(node, go_type)),
        },
        _ => Err(place.mismatch(node, go_type)),
    }
}

/// An integer that is a `time.Duration` in nats-server: nanoseconds.
///
/// # Errors
/// A value that is no integer of 64 bits.
pub fn duration(target: &mut i64, node: &Node<'_>, place: &Place<'_>) -> Result<(), JsonError> {
    integer(target, node, place, "time.Duration")
}

/// An integer that is an `int` in nats-server.
///
/// # Errors
/// A value that is no integer of 64 bits.
pub fn int(target: &mut i64, node: &Node<'_>, place: &Place<'_>) -> Result<(), JsonError> {
    integer(target, node, place, "int")
}

/// A list of durations.
///
/// # Errors
/// A value that is no list, and the first element that is no duration.
pub fn durations(
    target: &mut Vec<i64>,
    node: &Node<'_>,
    place: &Place<'_>,
) -> Result<(), JsonError> {
    list(target, node, place, "[]time.Duration", duration)
}

impl Decode for bool {
    fn decode(&mut self, node: &Node<'_>, place: &Place<'_>) -> Result<(), JsonError> {
        match node.value {
            Value::Null => Ok(()),
            Value::Bool(value) => {
                *self = value;
                Ok(())
            }
            _ => Err(place.mismatch(node, "bool")),
        }
    }
}

impl Decode for String {
    fn decode(&mut self, node: &Node<'_>, place: &Place<'_>) -> Result<(), JsonError> {
        match &node.value {
            Value::Null => Ok(()),
            Value::Text(text) => {
                *self = text.clone().into_owned();
                Ok(())
            }
            _ => Err(place.mismatch(node, "string")),
        }
    }
}

impl<T: Decode + Default> Decode for Option<T> {
    fn decode(&mut self, node: &Node<'_>, place: &Place<'_>) -> Result<(), JsonError> {
        if matches!(node.value, Value::Null) {
            *self = None;
            return Ok(());
        }
        self.get_or_insert_default().decode(node, place)
    }
}

impl Decode for Vec<String> {
    fn decode(&mut self, node: &Node<'_>, place: &Place<'_>) -> Result<(), JsonError> {
        list(self, node, place, "[]string", String::decode)
    }
}

impl Decode for BTreeMap<String, String> {
    fn decode(&mut self, node: &Node<'_>, place: &Place<'_>) -> Result<(), JsonError> {
        match &node.value {
            Value::Null => {
                self.clear();
                Ok(())
            }
            Value::Object(fields) => {
                for (name, value) in fields {
                    let mut text = String::new();
                    text.decode(value, &place.field(name))?;
                    self.insert(name.clone().into_owned(), text);
                }
                Ok(())
            }
            _ => Err(place.mismatch(node, "map[string]string")),
        }
    }
}

/// A list of objects, whose type is `[]` and the type of an element.
///
/// # Errors
/// A value that is no list, and the first element that does not fit.
pub fn objects<T: Object + Decode + Default>(
    target: &mut Vec<T>,
    node: &Node<'_>,
    place: &Place<'_>,
) -> Result<(), JsonError> {
    let go_type = format!("[]{}", T::GO_TYPE);
    list(target, node, place, &go_type, T::decode)
}

/// As [`objects`], for a list of pointers in nats-server.
///
/// # Errors
/// A value that is no list, and the first element that does not fit.
pub fn pointers<T: Object + Decode + Default>(
    target: &mut Vec<T>,
    node: &Node<'_>,
    place: &Place<'_>,
) -> Result<(), JsonError> {
    let go_type = format!("[]*{}", T::GO_TYPE);
    list(target, node, place, &go_type, T::decode)
}

fn list<T: Default>(
    target: &mut Vec<T>,
    node: &Node<'_>,
    place: &Place<'_>,
    go_type: &str,
    mut read: impl FnMut(&mut T, &Node<'_>, &Place<'_>) -> Result<(), JsonError>,
) -> Result<(), JsonError> {
    target.clear();
    match &node.value {
        Value::Null => Ok(()),
        Value::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                let mut value = T::default();
                read(&mut value, element, &place.element(index))?;
                target.push(value);
            }
            Ok(())
        }
        _ => Err(place.mismatch(node, go_type)),
    }
}

/// One of some names; anything else is `can not unmarshal "..."`, the value quoted.
///
/// # Errors
/// That text.
pub fn choice<T: Copy>(node: &Node<'_>, names: &[(&str, T)]) -> Result<T, JsonError> {
    if let Value::Text(text) = &node.value
        && let Some((_, value)) = names.iter().find(|(name, _)| name == text)
    {
        return Ok(*value);
    }
    let mut text = b"can not unmarshal ".to_vec();
    push_quoted(&mut text, node.raw);
    Err(JsonError(String::from_utf8_lossy(&text).into_owned()))
}

/// Parses a whole request; `None` if there are only blanks. A second value behind the first is
/// checked and ignored.
///
/// # Errors
/// What is no JSON.
pub fn parse(text: &[u8]) -> Result<Option<Node<'_>>, JsonError> {
    let mut reader = Reader { text, at: 0 };
    reader.blanks();
    if reader.at == text.len() {
        return Ok(None);
    }
    let node = reader.value(0)?;
    reader.blanks();
    if reader.at < text.len() {
        reader.value(0)?;
    }
    Ok(Some(node))
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn blanks(&mut self) {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.text.get(self.at) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Result<u8, JsonError> {
        match self.text.get(self.at) {
            Some(&byte) => Ok(byte),
            None => Err(JsonError("unexpected EOF".to_owned())),
        }
    }

    /// The error for the character at the reader's place; offsets count from one.
    fn unexpected(&self, context: &str) -> JsonError {
        let rest = &self.text[self.at..];
        let mut quoted = String::from("'");
        match rest.utf8_chunks().next() {
            Some(chunk) if !chunk.valid().is_empty() => {
                let c = chunk.valid().chars().next().unwrap_or_default();
                match c {
                    '\'' => quoted.push_str("\\'"),
                    '"' => quoted.push('"'),
                    c => {
                        let mut text = Vec::new();
                        push_quoted(&mut text, c.encode_utf8(&mut [0; 4]).as_bytes());
                        quoted.push_str(&String::from_utf8_lossy(&text[1..text.len() - 1]));
                    }
                }
            }
            _ => {
                let byte = rest.first().copied().unwrap_or_default();
                quoted.push_str(&format!("\\x{byte:02x}"));
            }
        }
        quoted.push('\'');
        let offset = self.at + 1;
        JsonError(format!(
            "invalid character {quoted} {context} at offset {offset}"
        ))
    }

    fn value(&mut self, depth: usize) -> Result<Node<'a>, JsonError> {
        if depth > DEPTH_MAX {
            return Err(JsonError("exceeded max depth".to_owned()));
        }
        self.blanks();
        let start = self.at;
        let value = match self.peek()? {
            b'{' => self.object(depth)?,
            b'[' => self.array(depth)?,
            b'"' => Value::Text(self.string()?),
            b'-' | b'0'..=b'9' => Value::Number(self.number()?),
            b't' => self.literal("true", Value::Bool(true))?,
            b'f' => self.literal("false", Value::Bool(false))?,
            b'n' => self.literal("null", Value::Null)?,
            _ => return Err(self.unexpected("looking for beginning of value")),
        };
        Ok(Node {
            raw: &self.text[start..self.at],
            value,
        })
    }

    fn literal(&mut self, word: &str, value: Value<'a>) -> Result<Value<'a>, JsonError> {
        for expected in word.bytes() {
            if self.peek()? != expected {
                let expected = expected as char;
                return Err(self.unexpected(&format!("in literal {word} (expecting '{expected}')")));
            }
            self.at += 1;
        }
        Ok(value)
    }

    fn object(&mut self, depth: usize) -> Result<Value<'a>, JsonError> {
        self.at += 1;
        let mut fields = Vec::new();
        self.blanks();
        if self.peek()? == b'}' {
            self.at += 1;
            return Ok(Value::Object(fields));
        }
        loop {
            self.blanks();
            if self.peek()? != b'"' {
                return Err(self.unexpected("looking for beginning of object key string"));
            }
            let name = self.string()?;
            self.blanks();
            if self.peek()? != b':' {
                return Err(self.unexpected("after object key"));
            }
            self.at += 1;
            fields.push((name, self.value(depth + 1)?));
            self.blanks();
            match self.peek()? {
                b',' => self.at += 1,
                b'}' => {
                    self.at += 1;
                    return Ok(Value::Object(fields));
                }
                _ => return Err(self.unexpected("after object key:value pair")),
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value<'a>, JsonError> {
        self.at += 1;
        let mut elements = Vec::new();
        self.blanks();
        if self.peek()? == b']' {
            self.at += 1;
            return Ok(Value::Array(elements));
        }
        loop {
            elements.push(self.value(depth + 1)?);
            self.blanks();
            match self.peek()? {
                b',' => self.at += 1,
                b']' => {
                    self.at += 1;
                    return Ok(Value::Array(elements));
                }
                _ => return Err(self.unexpected("after array element")),
            }
        }
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        if !self.peek()?.is_ascii_digit() {
            return Err(self.unexpected("in numeric literal"));
        }
        while self.text.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        Ok(())
    }

    fn number(&mut self) -> Result<&'a str, JsonError> {
        let start = self.at;
        if self.peek()? == b'-' {
            self.at += 1;
        }
        // A leading zero stands alone.
        if self.peek()? == b'0' {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.text.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.text.get(self.at) {
            self.at += 1;
            if let Some(b'+' | b'-') = self.text.get(self.at) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(std::str::from_utf8(&self.text[start..self.at]).unwrap_or_default())
    }

    fn string(&mut self) -> Result<Cow<'a, str>, JsonError> {
        self.at += 1;
        let start = self.at;
        loop {
            match self.peek()? {
                b'"' => {
                    let text = &self.text[start..self.at];
                    self.at += 1;
                    return Ok(String::from_utf8_lossy(text));
                }
                b'\\' => break,
                0..0x20 => return Err(self.unexpected("in string")),
                _ => self.at += 1,
            }
        }
        let mut out = self.text[start..self.at].to_vec();
        loop {
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Ok(String::from_utf8_lossy(&out).into_owned().into());
                }
                b'\\' => self.escape(&mut out)?,
                0..0x20 => return Err(self.unexpected("in string")),
                byte => {
                    out.push(byte);
                    self.at += 1;
                }
            }
        }
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> Result<(), JsonError> {
        let start = self.at;
        self.at += 1;
        let plain = match self.peek()? {
            byte @ (b'"' | b'\\' | b'/') => byte,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                self.at += 1;
                let unit = self.hex(start)?;
                let mut code = unit;
                // Two halves of a surrogate pair make one character; a lone one is replaced.
                if (0xd800..0xdc00).contains(&unit)
                    && self.text.get(self.at..self.at + 2) == Some(b"\\u")
                {
                    let back = self.at;
                    self.at += 2;
                    let low = self.hex(back)?;
                    if (0xdc00..0xe000).contains(&low) {
                        code = 0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                    } else {
                        self.at = back;
                    }
                }
                let c = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return Err(self.bad_escape(start)),
        };
        self.at += 1;
        out.push(plain);
        Ok(())
    }

    fn bad_escape(&self, start: usize) -> JsonError {
        let text = String::from_utf8_lossy(&self.text[start..=self.at]);
        let offset = self.at + 1;
        JsonError(format!(
            "invalid escape sequence `{text}` in string at offset {offset}"
        ))
    }

    fn hex(&mut self, start: usize) -> Result<u32, JsonError> {
        let mut code = 0;
        for _ in 0..4 {
            let Some(digit) = (self.peek()? as char).to_digit(16) else {
                return Err(self.bad_escape(start));
            };
            code = code * 16 + digit;
            self.at += 1;
        }
        Ok(code)
    }
}

#[cfg(test)]
mod tests;
