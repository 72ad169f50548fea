//! Subject transforms: a pattern for subjects, and how those that match are rewritten.
//!
//! A destination is tokens, of which some are filled in: `$N` or `{{wildcard(N)}}` by the text
//! of the source's Nth `*`, `>` at its end by what the source's `>` stood for, and functions in
//! `{{ }}` by a part of a token, a hash of tokens, or a number drawn at random. A function fills
//! a whole token; anything else is text. All rules and texts were asked of nats-server 2.15.1.

use std::fmt;

use super::relation::matches;
use super::token::{SEPARATOR, TAIL, WILDCARD, is_valid_subscription, tokens};
use crate::protocol::number::push_decimal;

/// Why a transform cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransformError {
    /// The source is no pattern.
    Source(String),
    /// The destination is no subject.
    Destination,
    /// A token of the destination follows `>`.
    BehindTail(String),
    /// Source and destination do not fit: a `>` or `*` in one only.
    Mismatch,
    UnknownFunction(String),
    InvalidArgument(String),
    TooFewArguments(String),
    TooManyArguments(String),
    /// The token, and the index if the source has wildcards at all.
    IndexOutOfRange(String, Option<i32>),
}

impl fmt::Display for TransformError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(source) => write!(f, "invalid subject {source}"),
            Self::Mismatch => f.write_str("invalid subject"),
            Self::Destination => f.write_str("invalid mapping destination: invalid transform"),
            Self::BehindTail(token) => {
                write!(
                    f,
                    "invalid mapping destination: invalid transform in {token}"
                )
            }
            Self::UnknownFunction(token) => {
                write!(
                    f,
                    "invalid mapping destination: unknown function in {token}"
                )
            }
            Self::InvalidArgument(token) => write!(
                f,
                "invalid mapping destination: function argument is invalid or in the wrong format in {token}"
            ),
            Self::TooFewArguments(token) => write!(
                f,
                "invalid mapping destination: not enough arguments passed to the function in {token}"
            ),
            Self::TooManyArguments(token) => write!(
                f,
                "invalid mapping destination: too many arguments passed to the function in {token}"
            ),
            Self::IndexOutOfRange(token, index) => {
                write!(
                    f,
                    "invalid mapping destination: wildcard index out of range in {token}"
                )?;
                match index {
                    Some(index) => write!(f, ": [{index}]"),
                    None => Ok(()),
                }
            }
        }
    }
}

impl std::error::Error for TransformError {}

/// A part of a token, cut by number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// Two tokens, the first of this many bytes.
    SplitFromLeft,
    /// Two tokens, the last of this many bytes.
    SplitFromRight,
    /// Tokens of this many bytes, what is left over last.
    SliceFromLeft,
    /// Tokens of this many bytes, what is left over first.
    SliceFromRight,
    /// The first bytes.
    Left,
    /// The last bytes.
    Right,
}

/// What a token of the destination becomes. Places count the tokens of the subject from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(Box<[u8]>),
    Token(usize),
    Cut(Cut, usize, i32),
    Split(usize, Box<[u8]>),
    /// FNV-1a of the tokens at these places (of the whole subject if there are none), modulo.
    Partition(u32, Box<[usize]>),
    Random(i32),
    /// Whatever `>` of the source stands for.
    Tail,
}

/// A compiled transform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transform {
    source: Box<[u8]>,
    pieces: Box<[Piece]>,
    /// Tokens of the source before its `>`.
    before_tail: usize,
}

impl Transform {
    /// Compiles a transform from `source` (empty: `>`) to `destination`.
    ///
    /// # Errors
    /// What nats-server refuses, with its text.
    pub fn new(source: &[u8], destination: &[u8]) -> Result<Self, TransformError> {
        let source = if source.is_empty() { TAIL } else { source };
        if !is_well_formed(source) {
            return Err(TransformError::Source(lossy(source)));
        }
        let pieces = parse_destination(destination, &Wildcards::of(source))?;
        let source_tail = tokens(source).any(|token| token == TAIL);
        let has_tail = pieces.last() == Some(&Piece::Tail);
        let has_wildcard = tokens(destination).any(|token| token == WILDCARD);
        if has_wildcard || source_tail != has_tail {
            return Err(TransformError::Mismatch);
        }
        Ok(Self {
            source: source.into(),
            pieces: pieces.into(),
            before_tail: tokens(source).take_while(|token| *token != TAIL).count(),
        })
    }

    /// The pattern of the subjects that are transformed.
    pub fn source(&self) -> &[u8] {
        &self.source
    }

    /// Appends the transformed `subject` to `out` if it matches the source; `random` is what
    /// `{{random(n)}}` draws from.
    pub fn apply(&self, subject: &[u8], random: u64, out: &mut Vec<u8>) -> bool {
        if !matches(&self.source, subject) {
            return false;
        }
        for (number, piece) in self.pieces.iter().enumerate() {
            if number > 0 {
                out.push(SEPARATOR);
            }
            self.push(piece, subject, random, out);
        }
        true
    }

    fn push(&self, piece: &Piece, subject: &[u8], random: u64, out: &mut Vec<u8>) {
        match piece {
            Piece::Text(text) => out.extend_from_slice(text),
            Piece::Token(place) => out.extend_from_slice(token_at(subject, *place)),
            Piece::Cut(cut, place, size) => push_cut(*cut, token_at(subject, *place), *size, out),
            Piece::Split(place, delimiter) => push_split(token_at(subject, *place), delimiter, out),
            Piece::Partition(count, places) => {
                let hash = if places.is_empty() {
                    fnv1a(FNV_OFFSET, subject)
                } else {
                    places.iter().fold(FNV_OFFSET, |hash, place| {
                        fnv1a(hash, token_at(subject, *place))
                    })
                };
                push_decimal(out, hash.checked_rem(*count).unwrap_or(0) as usize);
            }
            Piece::Random(bound) => {
                let bound = u64::try_from(*bound).unwrap_or(0);
                push_decimal(out, random.checked_rem(bound).unwrap_or(0) as usize);
            }
            Piece::Tail => {
                let mut rest = tokens(subject);
                for _ in 0..self.before_tail {
                    rest.next();
                }
                out.extend_from_slice(rest.rest().unwrap_or_default());
            }
        }
    }
}

fn lossy(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

/// Whether `pattern` can be subscribed to, over the wire too: no blanks.
fn is_well_formed(pattern: &[u8]) -> bool {
    is_valid_subscription(pattern)
        && !pattern
            .iter()
            .any(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0x0c))
}

/// What a destination can refer to.
struct Wildcards {
    /// Places of the `*` in the source.
    places: Vec<usize>,
    /// Whether the source has `*` or `>` at all.
    any: bool,
}

impl Wildcards {
    fn of(source: &[u8]) -> Self {
        Self {
            places: tokens(source)
                .enumerate()
                .filter(|(_, token)| *token == WILDCARD)
                .map(|(place, _)| place)
                .collect(),
            any: tokens(source).any(|token| token == WILDCARD || token == TAIL),
        }
    }

    /// The place of the wildcard of this index. Below one it is the first token, as in
    /// nats-server.
    fn place(&self, token: &[u8], index: i32) -> Result<usize, TransformError> {
        let Some(from_one) = usize::try_from(index).ok().filter(|index| *index > 0) else {
            return Ok(0);
        };
        self.places
            .get(from_one - 1)
            .copied()
            .ok_or_else(|| TransformError::IndexOutOfRange(lossy(token), self.any.then_some(index)))
    }
}

fn token_at(subject: &[u8], place: usize) -> &[u8] {
    tokens(subject).nth(place).unwrap_or_default()
}

const FNV_OFFSET: u32 = 0x811c_9dc5;
const FNV_PRIME: u32 = 0x0100_0193;

fn fnv1a(hash: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(hash, |hash, &b| {
        (hash ^ u32::from(b)).wrapping_mul(FNV_PRIME)
    })
}

fn push_cut(cut: Cut, token: &[u8], size: i32, out: &mut Vec<u8>) {
    let size = usize::try_from(size).unwrap_or(0);
    // A cut at or beyond an end leaves the token whole.
    if size == 0 || size >= token.len() {
        out.extend_from_slice(token);
        return;
    }
    let rest = token.len() - size;
    let mut push_pair = |at: usize| {
        out.extend_from_slice(&token[..at]);
        out.push(SEPARATOR);
        out.extend_from_slice(&token[at..]);
    };
    match cut {
        Cut::SplitFromLeft => push_pair(size),
        Cut::SplitFromRight => push_pair(rest),
        Cut::Left => out.extend_from_slice(&token[..size]),
        Cut::Right => out.extend_from_slice(&token[rest..]),
        Cut::SliceFromLeft => push_slices(&token[..0], token, size, out),
        Cut::SliceFromRight => {
            let (first, others) = token.split_at(token.len() % size);
            push_slices(first, others, size, out);
        }
    }
}

fn push_slices(first: &[u8], others: &[u8], size: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(first);
    for (number, slice) in others.chunks(size).enumerate() {
        if number > 0 || !first.is_empty() {
            out.push(SEPARATOR);
        }
        out.extend_from_slice(slice);
    }
}

/// The parts of `token` between delimiters as tokens, empty ones left out. An empty delimiter
/// parts every character from the next.
fn push_split(token: &[u8], delimiter: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    let mut push = |part: &[u8]| {
        if !part.is_empty() {
            if out.len() > start {
                out.push(SEPARATOR);
            }
            out.extend_from_slice(part);
        }
    };
    if delimiter.is_empty() {
        for chunk in token.utf8_chunks() {
            for c in chunk.valid().chars() {
                push(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
            chunk.invalid().chunks(1).for_each(&mut push);
        }
        return;
    }
    let mut rest = token;
    while let Some(at) = memchr::memmem::find(rest, delimiter) {
        push(&rest[..at]);
        rest = &rest[at + delimiter.len()..];
    }
    push(rest);
}

fn parse_destination(
    destination: &[u8],
    wildcards: &Wildcards,
) -> Result<Vec<Piece>, TransformError> {
    let mut pieces = Vec::new();
    let mut tail_passed = false;
    for token in tokens(destination) {
        if tail_passed {
            return Err(TransformError::BehindTail(lossy(token)));
        }
        if token.is_empty() {
            return Err(TransformError::Destination);
        }
        tail_passed = token == TAIL;
        pieces.push(if tail_passed {
            Piece::Tail
        } else {
            parse_token(token, wildcards)?
        });
    }
    Ok(pieces)
}

fn parse_token(token: &[u8], wildcards: &Wildcards) -> Result<Piece, TransformError> {
    let text = || Piece::Text(token.into());
    if let Some(digits) = token.strip_prefix(b"$") {
        return match go_integer(digits) {
            Some(index) => Ok(Piece::Token(wildcards.place(token, index)?)),
            None => Ok(text()),
        };
    }
    let Some(call) = token
        .strip_prefix(b"{{")
        .and_then(|rest| rest.strip_suffix(b"}}"))
        .filter(|call| !call.is_empty())
    else {
        return if is_well_formed(token) {
            Ok(text())
        } else {
            Err(TransformError::Destination)
        };
    };
    parse_call(token, call.trim_ascii(), wildcards)
}

/// A number as Go's `strconv.Atoi` reads it, of 32 bits.
fn go_integer(digits: &[u8]) -> Option<i32> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Whether `name` is `parts` joined, each part with its first letter in either case.
fn is_function(name: &[u8], parts: &[&str]) -> bool {
    let mut rest = name;
    for part in parts {
        let Some((head, behind)) = rest.split_at_checked(part.len()) else {
            return false;
        };
        if !head[..1].eq_ignore_ascii_case(&part.as_bytes()[..1])
            || head[1..] != part.as_bytes()[1..]
        {
            return false;
        }
        rest = behind;
    }
    rest.is_empty()
}

fn parse_call(token: &[u8], call: &[u8], wildcards: &Wildcards) -> Result<Piece, TransformError> {
    let unknown = || TransformError::UnknownFunction(lossy(token));
    let call = call.strip_suffix(b")").ok_or_else(unknown)?;
    let open = memchr::memchr(b'(', call).ok_or_else(unknown)?;
    let (name, arguments) = (&call[..open], &call[open + 1..]);
    let arguments: Vec<&[u8]> = arguments
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .collect();
    let reader = Arguments {
        token,
        arguments: &arguments,
        wildcards,
    };
    let cut = |cut| {
        reader.exactly(2)?;
        let place = reader.place(0)?;
        Ok(Piece::Cut(cut, place, reader.integer(1)?))
    };
    let is = |parts: &[&str]| is_function(name, parts);
    if is(&["wildcard"]) {
        reader.exactly(1)?;
        Ok(Piece::Token(reader.place(0)?))
    } else if is(&["partition"]) {
        // Of more than 31 bits is out of range; a negative count is taken as a large one.
        let count = reader.integer(0)? as u32;
        let places: Result<Box<[usize]>, _> = (1..arguments.len())
            .map(|number| reader.place(number))
            .collect();
        Ok(Piece::Partition(count, places?))
    } else if is(&["random"]) {
        let bound = reader.integer(0)?;
        reader.exactly(1)?;
        Ok(Piece::Random(bound))
    } else if is(&["split"]) {
        reader.exactly(2)?;
        let place = reader.place(0)?;
        Ok(Piece::Split(place, arguments[1].into()))
    } else if is(&["split", "from", "left"]) {
        cut(Cut::SplitFromLeft)
    } else if is(&["split", "from", "right"]) {
        cut(Cut::SplitFromRight)
    } else if is(&["slice", "from", "left"]) {
        cut(Cut::SliceFromLeft)
    } else if is(&["slice", "from", "right"]) {
        cut(Cut::SliceFromRight)
    } else if is(&["left"]) {
        cut(Cut::Left)
    } else if is(&["right"]) {
        cut(Cut::Right)
    } else {
        Err(unknown())
    }
}

struct Arguments<'a> {
    token: &'a [u8],
    arguments: &'a [&'a [u8]],
    wildcards: &'a Wildcards,
}

impl Arguments<'_> {
    fn exactly(&self, count: usize) -> Result<(), TransformError> {
        let given = match self.arguments {
            [[]] => 0,
            all => all.len(),
        };
        match given.cmp(&count) {
            std::cmp::Ordering::Less => Err(TransformError::TooFewArguments(lossy(self.token))),
            std::cmp::Ordering::Equal => Ok(()),
            std::cmp::Ordering::Greater => Err(TransformError::TooManyArguments(lossy(self.token))),
        }
    }

    fn integer(&self, number: usize) -> Result<i32, TransformError> {
        self.arguments
            .get(number)
            .and_then(|digits| go_integer(digits))
            .ok_or_else(|| TransformError::InvalidArgument(lossy(self.token)))
    }

    fn place(&self, number: usize) -> Result<usize, TransformError> {
        self.wildcards.place(self.token, self.integer(number)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn applied(source: &str, destination: &str, subject: &str) -> String {
        let transform = match Transform::new(source.as_bytes(), destination.as_bytes()) {
            Ok(transform) => transform,
            Err(error) => return error.to_string(),
        };
        let mut out = Vec::new();
        if transform.apply(subject.as_bytes(), 12, &mut out) {
            String::from_utf8(out).unwrap()
        } else {
            assert!(out.is_empty());
            "-".to_owned()
        }
    }

    /// Asked of nats-server 2.15.1, by streams with such a transform.
    #[test]
    fn subjects_are_rewritten_as_nats_server_does() {
        for (source, destination, subject, expected) in [
            ("a.*", "b.{{wildcard(0)}}", "a.x", "b.a"),
            ("a.*", "b", "a.x", "b"),
            ("a.*.*", "b.$2", "a.x.y", "b.y"),
            ("a.*.*", "b.$2.$1", "a.x.y", "b.y.x"),
            ("a.*", "b.{{partition(5,1)}}", "a.x", "b.0"),
            ("a.*", "b.{{partition(5,1)}}", "a.y", "b.1"),
            ("a.*", "b.{{partition(5,1)}}", "a.foo", "b.3"),
            ("a.*.*", "b.{{partition(5,1,2)}}", "a.x.y", "b.2"),
            ("a.*.*", "b.{{partition(5,1,2)}}", "a.xy.z", "b.3"),
            ("a.*.*", "b.{{partition(5,1,2)}}", "a.x.yz", "b.3"),
            ("*.*", "b.{{partition(10,2,1)}}", "a.x", "b.6"),
            ("a.*", "b.{{partition(5)}}", "a.x", "b.1"),
            ("a.*", "b.{{partition(5)}}", "a.y", "b.0"),
            ("a.*", "b.{{partition(0,1)}}", "a.x", "b.0"),
            ("a.*", "b.{{partition(-1,1)}}", "a.x", "b.4245442695"),
            (
                "a.*",
                "b.{{partition(2147483647,1)}}",
                "a.x",
                "b.2097959048",
            ),
            ("a.*", "b.x{{wildcard(1)}}", "a.x", "b.x{{wildcard(1)}}"),
            ("a.*", "b.{{wildcard(1)}}x", "a.x", "b.{{wildcard(1)}}x"),
            ("a.*", "b.{{", "a.x", "b.{{"),
            ("a.*", "b.{{}}", "a.x", "b.{{}}"),
            ("a.*", "b.$x", "a.q", "b.$x"),
            ("a.*", "b.$1x", "a.q", "b.$1x"),
            ("a.*", "b.$01", "a.q", "b.q"),
            ("a.*", "b.$+1", "a.q", "b.q"),
            ("a.*", "b.$-1", "a.q", "b.a"),
            ("a.>", "b.>", "a.x.y", "b.x.y"),
            ("a.>", "b.>", "a", "-"),
            ("a.*.>", "b.$1.>", "a.x.y.z", "b.x.y.z"),
            ("a.*.>", "b.$1.>", "a.x", "-"),
            ("a.*.>", "b.>", "a.x.y.z", "b.y.z"),
            ("", "b.>", "a.x", "b.a.x"),
            ("a.*", "a.{{random(5)}}", "a.x", "a.2"),
            ("a.*", "a.{{random(0)}}", "a.x", "a.0"),
            ("a.*", "b.{{ wildcard( 1 ) }}", "a.x", "b.x"),
            ("a.*", "{{wildcard(1)}}", "a.$JS", "$JS"),
            ("a.x", "b.y", "a.x", "b.y"),
            ("a.x", "b.y", "a.z", "-"),
            ("a.*.*", "b.{{split(2,-)}}.c", "a.x.q-w", "b.q.w.c"),
            ("a.*", "b.{{split(1,.)}}", "a.q", "b.{{split(1,.)}}"),
        ] {
            let found = applied(source, destination, subject);
            assert_eq!(found, expected, "{source} {destination} {subject}");
        }
    }

    /// Asked of nats-server 2.15.1.
    #[test]
    fn tokens_are_cut_as_nats_server_does() {
        for (function, expected) in [
            ("splitfromleft(1,3)", ["abc.def", "ab-.cd-ef", "-ab.--cd-"]),
            ("SplitFromLeft(1,3)", ["abc.def", "ab-.cd-ef", "-ab.--cd-"]),
            ("splitFromLeft(1, 3)", ["abc.def", "ab-.cd-ef", "-ab.--cd-"]),
            ("splitfromleft(1,0)", ["abcdef", "ab-cd-ef", "-ab--cd-"]),
            ("splitfromleft(1,-1)", ["abcdef", "ab-cd-ef", "-ab--cd-"]),
            ("splitfromleft(1,99)", ["abcdef", "ab-cd-ef", "-ab--cd-"]),
            ("splitfromleft(1,6)", ["abcdef", "ab-cd-.ef", "-ab--c.d-"]),
            ("splitfromright(1,3)", ["abc.def", "ab-cd.-ef", "-ab--.cd-"]),
            (
                "slicefromleft(1,2)",
                ["ab.cd.ef", "ab.-c.d-.ef", "-a.b-.-c.d-"],
            ),
            ("slicefromleft(1,6)", ["abcdef", "ab-cd-.ef", "-ab--c.d-"]),
            ("sliceFromRight(1,4)", ["ab.cdef", "ab-c.d-ef", "-ab-.-cd-"]),
            ("slicefromright(1,0)", ["abcdef", "ab-cd-ef", "-ab--cd-"]),
            ("split(1,-)", ["abcdef", "ab.cd.ef", "ab.cd"]),
            (
                "split(1,)",
                ["a.b.c.d.e.f", "a.b.-.c.d.-.e.f", "-.a.b.-.-.c.d.-"],
            ),
            ("split(1,ab)", ["cdef", "-cd-ef", "-.--cd-"]),
            ("split(1,--)", ["abcdef", "ab-cd-ef", "-ab.cd-"]),
            ("left(1,2)", ["ab", "ab", "-a"]),
            ("left(1,0)", ["abcdef", "ab-cd-ef", "-ab--cd-"]),
            ("right(1,2)", ["ef", "ef", "d-"]),
            ("right(1,99)", ["abcdef", "ab-cd-ef", "-ab--cd-"]),
            ("left(0,2)", ["a", "a", "a"]),
            ("partition(3,1)", ["2", "1", "0"]),
        ] {
            for (subject, expected) in ["a.abcdef", "a.ab-cd-ef", "a.-ab--cd-"]
                .iter()
                .zip(expected)
            {
                let found = applied("a.*", &format!("b.{{{{{function}}}}}"), subject);
                assert_eq!(found, format!("b.{expected}"), "{function} {subject}");
            }
        }
    }

    /// Asked of nats-server 2.15.1.
    #[test]
    fn impossible_transforms_are_refused_with_its_texts() {
        const IN: &str = "invalid mapping destination: ";
        for (source, destination, expected) in [
            (
                "a.*",
                "b.{{wildcard(2)}}",
                "wildcard index out of range in {{wildcard(2)}}: [2]",
            ),
            ("a.*", "b.$2", "wildcard index out of range in $2: [2]"),
            (
                "foo.>",
                "b.{{wildcard(1)}}.>",
                "wildcard index out of range in {{wildcard(1)}}: [1]",
            ),
            ("a", "b.$1", "wildcard index out of range in $1"),
            ("a.*", "b..", "invalid transform"),
            ("a.*", "b c", "invalid transform"),
            ("a.>", "b.>.c", "invalid transform in c"),
            ("a.*", "b.{{foo}}", "unknown function in {{foo}}"),
            (
                "a.*",
                "b.{{WILDCARD(1)}}",
                "unknown function in {{WILDCARD(1)}}",
            ),
            (
                "a.*",
                "b.{{wildCard(1)}}",
                "unknown function in {{wildCard(1)}}",
            ),
            ("a.*", "b.{{wildcard}}", "unknown function in {{wildcard}}"),
            (
                "a.*",
                "b.{{wildcard()}}",
                "not enough arguments passed to the function in {{wildcard()}}",
            ),
            (
                "a.*",
                "b.{{wildcard(1,2)}}",
                "too many arguments passed to the function in {{wildcard(1,2)}}",
            ),
            (
                "a.*",
                "b.{{wildcard(x)}}",
                "function argument is invalid or in the wrong format in {{wildcard(x)}}",
            ),
            (
                "a.*",
                "b.{{partition()}}",
                "function argument is invalid or in the wrong format in {{partition()}}",
            ),
            (
                "a.*",
                "b.{{partition(2147483648,1)}}",
                "function argument is invalid or in the wrong format in {{partition(2147483648,1)}}",
            ),
            (
                "a.*",
                "b.{{partition(5,2)}}",
                "wildcard index out of range in {{partition(5,2)}}: [2]",
            ),
            (
                "a.*",
                "b.{{left(1)}}",
                "not enough arguments passed to the function in {{left(1)}}",
            ),
            (
                "a.*",
                "b.{{split(1,2,3)}}",
                "too many arguments passed to the function in {{split(1,2,3)}}",
            ),
            (
                "a.*",
                "b.{{random()}}",
                "function argument is invalid or in the wrong format in {{random()}}",
            ),
        ] {
            let found = applied(source, destination, "");
            assert_eq!(found, format!("{IN}{expected}"), "{source} {destination}");
        }
        for (source, destination) in [
            ("a.*", "b.>"),
            ("a.*", "b.*"),
            ("a.>", "b.*"),
            ("a.>", "b"),
            ("a", "b.>"),
            ("a.*.*", "b.$2.*"),
        ] {
            assert_eq!(applied(source, destination, ""), "invalid subject");
        }
        assert_eq!(applied("a..", "b", ""), "invalid subject a..");
    }

    proptest! {
        #[test]
        fn arbitrary_transforms_do_no_harm(
            source in "[a*>.]{0,8}",
            destination in "[ab*>.$0-9{}(),a-z]{0,24}",
            subject in "[ab.]{0,12}",
            random in any::<u64>(),
        ) {
            if let Ok(transform) = Transform::new(source.as_bytes(), destination.as_bytes()) {
                let mut out = Vec::new();
                transform.apply(subject.as_bytes(), random, &mut out);
            }
        }

        #[test]
        fn slices_joined_again_are_the_token(token in "[a-z]{1,20}", size in -1i32..25) {
            for function in ["slicefromleft", "slicefromright", "splitfromleft", "splitfromright"] {
                let out = applied("*", &format!("{{{{{function}(1,{size})}}}}"), &token);
                prop_assert_eq!(out.replace('.', ""), token.clone());
            }
        }
    }
}
