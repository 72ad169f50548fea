//! Frames to bytes.

use flate2::{Decompress, FlushDecompress, Status};

use super::frame::{self, FrameError, HEAD_MAX, Head, head_length, read_head};
use super::{CONTROL_BYTES_MAX, close_code};

/// Bytes inflated at a time.
const INFLATED_BYTES: usize = 16 * 1024;

/// What the sender left out of a deflated message (RFC 7692, section 7.2.1), and a last block: with
/// it a message that was cut off is told from a whole one.
const DEFLATE_END: [u8; 9] = [0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff];

/// What a client sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Bytes of the client protocol. Frames and messages may end anywhere in it.
    Data(&'a [u8]),
    /// To be answered with a pong of the same payload.
    Ping(&'a [u8]),
    Pong,
    /// Nothing follows. To be answered with the same payload.
    Close(&'a [u8]),
}

/// One client's frames. Holds no payload but that of a control frame, so that nothing is ever allocated
/// by what a frame says about its length.
#[derive(Debug)]
pub struct Decoder {
    /// Frames must be masked.
    masked: bool,
    /// permessage-deflate was agreed.
    deflate: bool,
    /// Of the frame whose head is not complete.
    head: [u8; HEAD_MAX],
    head_have: usize,
    /// The frame whose payload comes.
    frame: Option<Head>,
    /// Bytes of its payload that came.
    have: u64,
    /// A data message has begun and its final frame not ended.
    in_message: bool,
    /// That message is compressed.
    message_compressed: bool,
    control: [u8; CONTROL_BYTES_MAX],
    /// From the first compressed message on.
    inflater: Option<Box<Inflater>>,
    closed: bool,
}

impl Decoder {
    /// `masked`: unmasked frames are refused; `deflate`: messages may be compressed.
    pub fn new(masked: bool, deflate: bool) -> Self {
        Self {
            masked,
            deflate,
            head: [0; HEAD_MAX],
            head_have: 0,
            frame: None,
            have: 0,
            in_message: false,
            message_compressed: false,
            control: [0; CONTROL_BYTES_MAX],
            inflater: None,
            closed: false,
        }
    }

    /// Whether the client sent a close frame; what it sends after that is ignored.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Reads what came; the bytes are overwritten. A compressed message may inflate to `inflated_max`
    /// bytes.
    ///
    /// # Errors
    /// [`FrameError`]; the rest is not read, and nothing after it can be.
    pub fn decode(
        &mut self,
        input: &mut [u8],
        inflated_max: Option<usize>,
        mut each: impl FnMut(Piece<'_>),
    ) -> Result<(), FrameError> {
        let mut rest = input;
        while !self.closed {
            let Some(head) = self.frame else {
                let (used, whole) = self.read_head(rest)?;
                rest = &mut rest[used..];
                if whole {
                    continue;
                }
                return Ok(());
            };
            let left = head.length - self.have;
            let count = usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
            let (payload, after) = rest.split_at_mut(count);
            rest = after;
            if let Some(mask) = head.mask {
                unmask(payload, mask, self.have);
            }
            let at = self.have;
            self.have += count as u64;
            let ends = self.have == head.length;
            if !head.is_control() {
                if self.message_compressed {
                    self.inflate(payload, ends && head.fin, inflated_max, &mut each)?;
                } else if !payload.is_empty() {
                    each(Piece::Data(payload));
                }
                if ends && head.fin {
                    self.in_message = false;
                }
            } else {
                // At most 125 bytes, by the head.
                let at = at as usize;
                self.control[at..at + count].copy_from_slice(payload);
                if ends {
                    self.control_frame(head, &mut each)?;
                }
            }
            if ends {
                self.frame = None;
            } else {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Takes the bytes of a head from the front. Returns how many, and whether the head is complete.
    fn read_head(&mut self, input: &[u8]) -> Result<(usize, bool), FrameError> {
        let mut used = 0;
        loop {
            let needed = if self.head_have < 2 {
                2
            } else {
                head_length(self.head[0], self.head[1])?
            };
            let count = (needed - self.head_have).min(input.len() - used);
            self.head[self.head_have..self.head_have + count]
                .copy_from_slice(&input[used..used + count]);
            used += count;
            self.head_have += count;
            if self.head_have < needed {
                return Ok((used, false));
            }
            if self.head_have == 2 && head_length(self.head[0], self.head[1])? > 2 {
                continue;
            }
            let head = read_head(&self.head[..self.head_have])?;
            self.begin(head)?;
            self.head_have = 0;
            self.have = 0;
            self.frame = Some(head);
            return Ok((used, true));
        }
    }

    /// Whether this frame may come now.
    fn begin(&mut self, head: Head) -> Result<(), FrameError> {
        if !head.is_control() {
            let continues = head.opcode == frame::CONTINUATION;
            if continues && (!self.in_message || head.compressed) {
                return Err(FrameError::InvalidContinuation);
            }
            if !continues {
                if self.in_message {
                    return Err(FrameError::MessageNotFinished);
                }
                if head.compressed && !self.deflate {
                    return Err(FrameError::CompressionNotNegotiated);
                }
                self.in_message = true;
                self.message_compressed = head.compressed;
                if head.compressed {
                    self.inflater.get_or_insert_with(Box::default).begin();
                }
            }
        }
        if self.masked && head.mask.is_none() {
            return Err(FrameError::NotMasked);
        }
        Ok(())
    }

    fn inflate(
        &mut self,
        payload: &[u8],
        last: bool,
        max: Option<usize>,
        each: &mut impl FnMut(Piece<'_>),
    ) -> Result<(), FrameError> {
        let Some(inflater) = &mut self.inflater else {
            return Err(FrameError::CorruptDeflate);
        };
        inflater.inflate(payload, max, each)?;
        // Nothing at all is an empty message, though no deflated one.
        if last && (inflater.ended || inflater.state.total_in() > 0) {
            inflater.inflate(&DEFLATE_END, max, each)?;
            if !inflater.ended {
                return Err(FrameError::CorruptDeflate);
            }
        }
        Ok(())
    }

    fn control_frame(
        &mut self,
        head: Head,
        each: &mut impl FnMut(Piece<'_>),
    ) -> Result<(), FrameError> {
        let payload = &self.control[..head.length as usize];
        match head.opcode {
            frame::PING => each(Piece::Ping(payload)),
            frame::PONG => each(Piece::Pong),
            _ => {
                match *payload {
                    [] => {}
                    [_] => return Err(FrameError::CloseOneByte),
                    [high, low, ref text @ ..] => {
                        let code = u16::from_be_bytes([high, low]);
                        if !close_code::is_valid(code) {
                            return Err(FrameError::InvalidCloseCode(code));
                        }
                        if std::str::from_utf8(text).is_err() {
                            return Err(FrameError::InvalidCloseText);
                        }
                    }
                }
                self.closed = true;
                each(Piece::Close(payload));
            }
        }
        Ok(())
    }
}

/// Takes the mask off bytes of a payload, the first of which stands at `at` in it.
fn unmask(payload: &mut [u8], mut mask: [u8; 4], at: u64) {
    mask.rotate_left((at % 4) as usize);
    let word = u64::from_ne_bytes([
        mask[0], mask[1], mask[2], mask[3], mask[0], mask[1], mask[2], mask[3],
    ]);
    let mut words = payload.chunks_exact_mut(8);
    for chunk in &mut words {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(chunk);
        chunk.copy_from_slice(&(u64::from_ne_bytes(bytes) ^ word).to_ne_bytes());
    }
    for (byte, mask) in words.into_remainder().iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

/// Inflates one message after the other.
#[derive(Debug)]
struct Inflater {
    state: Decompress,
    output: Vec<u8>,
    /// The last block of the message ended: what follows in it means nothing.
    ended: bool,
}

impl Default for Inflater {
    fn default() -> Self {
        Self {
            state: Decompress::new(false),
            output: vec![0; INFLATED_BYTES],
            ended: false,
        }
    }
}

impl Inflater {
    fn begin(&mut self) {
        self.state.reset(false);
        self.ended = false;
    }

    fn inflate(
        &mut self,
        mut input: &[u8],
        max: Option<usize>,
        each: &mut impl FnMut(Piece<'_>),
    ) -> Result<(), FrameError> {
        // Once without input, too: output may be left.
        while !self.ended {
            let (read, written) = (self.state.total_in(), self.state.total_out());
            let status = self
                .state
                .decompress(input, &mut self.output, FlushDecompress::None)
                .map_err(|_| FrameError::CorruptDeflate)?;
            let used = (self.state.total_in() - read) as usize;
            let made = (self.state.total_out() - written) as usize;
            input = &input[used..];
            if max.is_some_and(|max| self.state.total_out() > max as u64) {
                return Err(FrameError::MessageTooLong);
            }
            if made > 0 {
                each(Piece::Data(&self.output[..made]));
            }
            self.ended = status == Status::StreamEnd;
            if input.is_empty() && made < self.output.len() {
                break;
            }
            if used == 0 && made == 0 && !self.ended {
                return Err(FrameError::CorruptDeflate);
            }
        }
        Ok(())
    }
}
