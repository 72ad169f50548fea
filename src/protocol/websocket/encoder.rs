//! Bytes to frames.

use flate2::{Compress, Compression, FlushCompress};

use super::frame::{self, write_head};
use super::{BROWSER_FRAME_BYTES, CONTROL_BYTES_MAX, DEFLATE_BYTES_MIN};

/// What ends the output of a flush and is not sent (RFC 7692, section 7.2.1).
const FLUSH_END: [u8; 4] = [0, 0, 0xff, 0xff];
/// Room made at a time for deflated bytes.
const DEFLATED_BYTES: usize = 16 * 1024;
/// What takes the place of the end of a reason that is too long.
const ELLIPSIS: &str = "...";

/// Deflates messages. Keeps nothing from one to the next, so that all connections of a core share one: it
/// is some 300 KiB large.
#[derive(Debug, Default)]
pub struct Deflater {
    /// Made when first used.
    state: Option<Box<Compress>>,
    output: Vec<u8>,
}

impl Deflater {
    /// The deflated parts, without what ends a flush.
    fn deflate<'p>(&mut self, parts: impl Iterator<Item = &'p [u8]>) -> &[u8] {
        let state = self
            .state
            .get_or_insert_with(|| Box::new(Compress::new(Compression::fast(), false)));
        state.reset();
        self.output.clear();
        for part in parts {
            Self::step(state, &mut self.output, part, FlushCompress::None);
        }
        Self::step(state, &mut self.output, &[], FlushCompress::Sync);
        if self.output.ends_with(&FLUSH_END) {
            self.output.truncate(self.output.len() - FLUSH_END.len());
        }
        &self.output
    }

    fn step(state: &mut Compress, output: &mut Vec<u8>, mut input: &[u8], flush: FlushCompress) {
        loop {
            output.reserve(DEFLATED_BYTES);
            let before = state.total_in();
            // Fails only after the end of a stream, and there is none here.
            let _ = state.compress_vec(input, output, flush);
            input = &input[(state.total_in() - before) as usize..];
            if input.is_empty() && output.len() < output.capacity() {
                return;
            }
        }
    }
}

/// How output for one client is framed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Encoder {
    /// The client inflates.
    pub deflate: bool,
    /// The client is a browser: frames have at most [`BROWSER_FRAME_BYTES`].
    pub browser: bool,
    /// A browser that does not put compressed fragments together: these messages are one frame.
    pub whole_deflated: bool,
}

impl Encoder {
    /// Appends the frames for output that came in parts.
    pub fn data<'p>(
        &self,
        deflater: &mut Deflater,
        parts: impl Iterator<Item = &'p [u8]> + Clone,
        into: &mut Vec<u8>,
    ) {
        let length: usize = parts.clone().map(<[u8]>::len).sum();
        if length == 0 {
            return;
        }
        if self.deflate && length >= DEFLATE_BYTES_MIN {
            let deflated = deflater.deflate(parts);
            self.deflated(deflated, into);
        } else if self.browser {
            for part in parts {
                for piece in part.chunks(BROWSER_FRAME_BYTES) {
                    write_head(into, frame::BINARY, true, false, piece.len());
                    into.extend_from_slice(piece);
                }
            }
        } else {
            write_head(into, frame::BINARY, true, false, length);
            for part in parts {
                into.extend_from_slice(part);
            }
        }
    }

    /// One message: only its first frame says that it is compressed.
    fn deflated(&self, deflated: &[u8], into: &mut Vec<u8>) {
        let longest = if self.browser && !self.whole_deflated {
            BROWSER_FRAME_BYTES
        } else {
            deflated.len().max(1)
        };
        let count = deflated.len().div_ceil(longest);
        for (number, piece) in (1..).zip(deflated.chunks(longest)) {
            let first = number == 1;
            let opcode = if first {
                frame::BINARY
            } else {
                frame::CONTINUATION
            };
            write_head(into, opcode, number == count, first, piece.len());
            into.extend_from_slice(piece);
        }
    }
}

/// Appends a pong; `payload` is that of a ping, at most 125 bytes.
pub(super) fn pong(payload: &[u8], into: &mut Vec<u8>) {
    write_head(into, frame::PONG, true, false, payload.len());
    into.extend_from_slice(payload);
}

/// Appends the answer to a close frame; `payload` is that frame's.
pub(super) fn close_answer(payload: &[u8], into: &mut Vec<u8>) {
    write_head(into, frame::CLOSE, true, false, payload.len());
    into.extend_from_slice(payload);
}

/// Appends a close frame. A reason that is too long is cut.
pub(super) fn close(code: u16, reason: &str, into: &mut Vec<u8>) {
    const TEXT_MAX: usize = CONTROL_BYTES_MAX - 2;
    let (text, ellipsis) = if reason.len() > TEXT_MAX {
        let end = reason.floor_char_boundary(TEXT_MAX - ELLIPSIS.len());
        (&reason[..end], ELLIPSIS)
    } else {
        (reason, "")
    };
    write_head(
        into,
        frame::CLOSE,
        true,
        false,
        2 + text.len() + ellipsis.len(),
    );
    into.extend_from_slice(&code.to_be_bytes());
    into.extend_from_slice(text.as_bytes());
    into.extend_from_slice(ellipsis.as_bytes());
}
