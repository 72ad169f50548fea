//! The pull parser of one client connection.

use super::command::{Command, Recognised, Verb};
use super::parse_error::ParseError;
use super::scan::{Incomplete, ParseLimits, Scan, scan};
use super::scan_publish::{canonical_publish, canonical_publish_with_headers};

/// Capacity of the carry-over that is kept from one cut command to the next, in bytes, so that a
/// stream of messages cut by the ends of receive buffers does not allocate for each.
pub const KEPT_CARRY: usize = 64 * 1024;

/// Most memory taken on the strength of an announced size alone, in bytes. Beyond it the
/// carry-over at most doubles what has really arrived, so that announcing is not an attack.
const CARRY_STEP: usize = 4 * 1024;

/// Longest stretch of a control line moved to the carry-over before it is looked at, in bytes:
/// bounds what an endless line costs. Any value works.
const LINE_STEP: usize = 4096;

/// Turns the bytes of one connection into commands, without copying them: a command is parsed
/// where it lies, and only one that the end of the input cuts is copied and completed here.
///
/// How the bytes are split over calls makes no difference to the commands and the error that
/// come out. In the steady state nothing is allocated, and an idle connection holds no memory
/// after [`Parser::trim`].
///
/// After an error the stream has no meaning any more: close the connection.
#[derive(Debug, Default)]
pub struct Parser {
    /// The start of a cut command: its verb, at most one blank, its arguments and payload.
    carry: Vec<u8>,
    /// Length of the carried command once its line is complete; 0 before.
    total: usize,
    /// The carried command was handed out; the next call drops it.
    handed_out: bool,
}

impl Parser {
    /// A parser at the start of a stream. Allocates nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Consumes bytes from the start of `input`: returns how many, and the next command if they
    /// complete one. Call again with the rest until it returns no command; then all of `input`
    /// is consumed. The command is valid until the next call.
    ///
    /// `limits` may change between calls; a command already begun may meet either.
    ///
    /// # Errors
    /// Every [`ParseError`]; the number of bytes consumed then says nothing.
    pub fn next<'p>(
        &'p mut self,
        input: &'p [u8],
        limits: &ParseLimits,
    ) -> (usize, Result<Option<Command<'p>>, ParseError>) {
        // All that most calls execute, in one stretch.
        if self.carry.is_empty()
            && let Some((taken, publish)) = canonical_publish(input, limits)
        {
            return (taken, Ok(Some(Command::Publish(publish))));
        }
        self.next_in_general(input, limits)
    }

    fn next_in_general<'p>(
        &'p mut self,
        input: &'p [u8],
        limits: &ParseLimits,
    ) -> (usize, Result<Option<Command<'p>>, ParseError>) {
        if self.handed_out {
            self.recycle();
            return self.next(input, limits);
        }
        if self.carry.is_empty() {
            return self.next_in_place(input, limits);
        }
        let taken = match self.complete(input, limits) {
            (taken, Ok(true)) => taken,
            (taken, Ok(false)) => return (taken, Ok(None)),
            (taken, Err(error)) => return (taken, Err(error)),
        };
        self.handed_out = true;
        let command = match scan(&self.carry, limits) {
            Ok(Scan::Command(_, command)) => Ok(Some(command)),
            Ok(Scan::Incomplete(_)) => Ok(None),
            Err(error) => Err(error),
        };
        (taken, command)
    }

    /// The verb and arguments of the command that [`next`](Self::next) refused, for the
    /// log; `input` is what that call was given. `None` if there is no verb or the line
    /// has no end.
    pub fn refused<'p>(&'p self, input: &'p [u8]) -> Option<(Verb, &'p [u8])> {
        let bytes = if self.carry.is_empty() {
            input
        } else {
            &self.carry
        };
        let Recognised::Verb(verb) = Verb::recognise(bytes) else {
            return None;
        };
        let line = &bytes[verb.name().len()..];
        let line = line[..memchr::memchr(b'\n', line)?].trim_ascii_start();
        Some((verb, line.strip_suffix(b"\r").unwrap_or(line)))
    }

    /// Bytes held of a command that is not complete.
    pub fn carried(&self) -> usize {
        if self.handed_out { 0 } else { self.carry.len() }
    }

    /// Bytes of memory held beyond the parser itself.
    pub fn memory(&self) -> usize {
        self.carry.capacity()
    }

    /// Gives memory back: all of it between commands, all but the carried bytes within one. For
    /// connections that have gone quiet.
    pub fn trim(&mut self) {
        if self.handed_out {
            self.recycle();
        }
        self.carry.shrink_to_fit();
    }

    fn recycle(&mut self) {
        self.handed_out = false;
        self.total = 0;
        self.carry.clear();
        if self.carry.capacity() > KEPT_CARRY {
            self.carry.shrink_to(KEPT_CARRY);
        }
    }

    fn next_in_place<'p>(
        &mut self,
        input: &'p [u8],
        limits: &ParseLimits,
    ) -> (usize, Result<Option<Command<'p>>, ParseError>) {
        if input.is_empty() {
            return (0, Ok(None));
        }
        if let Some((taken, publish)) = canonical_publish_with_headers(input, limits) {
            return (taken, Ok(Some(Command::Publish(publish))));
        }
        match scan(input, limits) {
            Ok(Scan::Command(taken, command)) => (taken, Ok(Some(command))),
            Ok(Scan::Incomplete(place)) => {
                self.keep(input, place);
                (input.len(), Ok(None))
            }
            Err(error) => (0, Err(error)),
        }
    }

    /// Starts the carry-over with a cut command.
    fn keep(&mut self, input: &[u8], place: Incomplete) {
        if let Incomplete::Payload { total, .. } = place {
            self.reserve_towards(total);
        }
        match place {
            Incomplete::Verb => self.carry.extend_from_slice(input),
            Incomplete::Ignored { verb } => self.carry.extend_from_slice(&input[..verb]),
            Incomplete::Line { verb, arguments } => {
                self.keep_line(input, verb, arguments);
            }
            Incomplete::Payload {
                verb,
                arguments,
                total,
            } => {
                let dropped = self.keep_line(input, verb, arguments);
                self.total = total - dropped;
            }
        }
    }

    /// Keeps a verb, one of the blanks behind it if there are any, and the rest. Returns how
    /// many blanks it dropped: there is no limit on them.
    fn keep_line(&mut self, input: &[u8], verb: usize, arguments: usize) -> usize {
        let separated = arguments.min(verb + 1);
        self.carry.extend_from_slice(&input[..separated]);
        self.carry.extend_from_slice(&input[arguments..]);
        arguments - separated
    }

    /// Moves from `input` what the carried command still lacks: how much that was, and whether
    /// the command is complete.
    fn complete(
        &mut self,
        input: &[u8],
        limits: &ParseLimits,
    ) -> (usize, Result<bool, ParseError>) {
        let mut taken = 0;
        while taken < input.len() {
            let rest = &input[taken..];
            if self.total == 0 {
                // Once the verb is settled, a scan of less than a line tells nothing but
                // whether it is too long, which takes at least as many bytes.
                let settled = self.carry.len() > Verb::LONGEST;
                let (step, line_ended) = self.extend_line(rest);
                taken += step;
                if settled && !line_ended && self.carry.len() <= limits.max_control_line {
                    continue;
                }
            } else {
                taken += self.extend_payload(rest);
                if self.total > self.carry.len() + 1 {
                    // The payload's CRLF, which a scan would check, is not reached.
                    continue;
                }
            }
            let place = match scan(&self.carry, limits) {
                Ok(Scan::Command(..)) => return (taken, Ok(true)),
                Ok(Scan::Incomplete(place)) => place,
                Err(error) => return (taken, Err(error)),
            };
            match place {
                Incomplete::Verb => {}
                Incomplete::Ignored { verb } => self.carry.truncate(verb),
                // Arguments begun, or blanks of which one suffices.
                Incomplete::Line { verb, arguments } => self.drop_blanks(verb, arguments),
                Incomplete::Payload {
                    verb,
                    arguments,
                    total,
                } => {
                    let before = self.carry.len();
                    self.drop_blanks(verb, arguments);
                    self.total = total - (before - self.carry.len());
                }
            }
        }
        (taken, Ok(false))
    }

    /// Drops all blanks but one between a verb and its arguments.
    fn drop_blanks(&mut self, verb: usize, arguments: usize) {
        if arguments > verb + 1 {
            self.carry.drain(verb + 1..arguments);
        }
    }

    /// Takes up to the end of the line, or a stretch of it: how much, and whether the line ended.
    fn extend_line(&mut self, rest: &[u8]) -> (usize, bool) {
        let window = &rest[..rest.len().min(LINE_STEP)];
        let line_feed = memchr::memchr(b'\n', window);
        let step = line_feed.map_or(window.len(), |line_feed| line_feed + 1);
        self.carry.extend_from_slice(&window[..step]);
        (step, line_feed.is_some())
    }

    /// Takes what the payload lacks, or all there is.
    fn extend_payload(&mut self, rest: &[u8]) -> usize {
        let step = rest.len().min(self.total - self.carry.len());
        self.reserve_towards(self.total);
        self.carry.extend_from_slice(&rest[..step]);
        step
    }

    /// Makes room for a command of `total` bytes, in steps that what has arrived justifies.
    fn reserve_towards(&mut self, total: usize) {
        let length = self.carry.len();
        if self.carry.capacity() == length {
            let step = (total.saturating_sub(length)).min(length.max(CARRY_STEP));
            self.carry.reserve_exact(step);
        }
    }
}
