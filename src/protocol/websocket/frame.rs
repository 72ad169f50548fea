//! The head of a frame (RFC 6455, section 5.2).

use std::fmt;

use super::{CONTROL_BYTES_MAX, close_code};

/// The final frame of its message.
const FINAL: u8 = 0x80;
/// The message is compressed; on its first frame.
pub(super) const COMPRESSED: u8 = 0x40;
/// Bits that no extension uses here.
const RESERVED: u8 = 0x30;
const OPCODE: u8 = 0x0f;
/// The payload is masked.
const MASKED: u8 = 0x80;
const LENGTH: u8 = 0x7f;
/// The length follows in 2 bytes.
const LENGTH_16: u8 = 126;
/// The length follows in 8 bytes.
const LENGTH_64: u8 = 127;
/// Longest head, in bytes.
pub(super) const HEAD_MAX: usize = 14;

pub(super) const CONTINUATION: u8 = 0;
pub(super) const TEXT: u8 = 1;
pub(super) const BINARY: u8 = 2;
pub(super) const CLOSE: u8 = 8;
pub(super) const PING: u8 = 9;
pub(super) const PONG: u8 = 10;

/// What of a frame is no WebSocket as this server speaks it. The texts are nats-server's: they go
/// into the log and into the close frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameError {
    ReservedBits,
    UnknownOpcode(u8),
    NotMasked,
    ControlTooLong,
    ControlNotFinal,
    ControlCompressed,
    /// A continuation of nothing, or one that says it is compressed.
    InvalidContinuation,
    /// A message began before the last frame of the one before.
    MessageNotFinished,
    CompressionNotNegotiated,
    /// The highest bit of a 64-bit length is set.
    InvalidLength,
    CloseOneByte,
    InvalidCloseCode(u16),
    InvalidCloseText,
    /// What is compressed inflates to more than a message may have.
    MessageTooLong,
    /// What shall be inflated is not deflated data.
    CorruptDeflate,
}

impl FrameError {
    /// The code of the close frame that answers.
    pub fn close_code(self) -> u16 {
        match self {
            Self::InvalidCloseText => close_code::INVALID_PAYLOAD,
            Self::MessageTooLong => close_code::MESSAGE_TOO_BIG,
            _ => close_code::PROTOCOL_ERROR,
        }
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ReservedBits => "RSV2 and RSV3 must be clear",
            Self::UnknownOpcode(opcode) => return write!(f, "unknown opcode {opcode}"),
            Self::NotMasked => "mask bit missing",
            Self::ControlTooLong => "control frame length bigger than maximum allowed of 125 bytes",
            Self::ControlNotFinal => "control frame does not have final bit set",
            Self::ControlCompressed => "control frame must not be compressed",
            Self::InvalidContinuation => "invalid continuation frame",
            Self::MessageNotFinished => {
                "new message started before final frame for previous message was received"
            }
            Self::CompressionNotNegotiated => {
                "compressed frame received without negotiated permessage-deflate"
            }
            Self::InvalidLength => "invalid 64-bit payload length",
            Self::CloseOneByte => "close frame payload cannot be 1 byte",
            Self::InvalidCloseCode(code) => {
                return write!(f, "invalid close status code {code}");
            }
            Self::InvalidCloseText => "invalid utf8 body in close frame",
            Self::MessageTooLong => "maximum payload exceeded",
            Self::CorruptDeflate => "flate: corrupt input",
        })
    }
}

impl std::error::Error for FrameError {}

/// A frame's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub fin: bool,
    pub compressed: bool,
    pub opcode: u8,
    /// Bytes of payload.
    pub length: u64,
    pub mask: Option<[u8; 4]>,
}

impl Head {
    pub fn is_control(&self) -> bool {
        self.opcode >= CLOSE
    }
}

/// What the first two bytes say about the rest of the head: its length with them, in bytes.
/// Refuses what can be refused by then.
pub(super) fn head_length(first: u8, second: u8) -> Result<usize, FrameError> {
    let opcode = first & OPCODE;
    if first & RESERVED != 0 {
        return Err(FrameError::ReservedBits);
    }
    match opcode {
        CONTINUATION | TEXT | BINARY => {}
        CLOSE | PING | PONG => {
            if usize::from(second & LENGTH) > CONTROL_BYTES_MAX {
                return Err(FrameError::ControlTooLong);
            }
            if first & FINAL == 0 {
                return Err(FrameError::ControlNotFinal);
            }
            if first & COMPRESSED != 0 {
                return Err(FrameError::ControlCompressed);
            }
        }
        other => return Err(FrameError::UnknownOpcode(other)),
    }
    let mask = if second & MASKED == 0 { 0 } else { 4 };
    let length = match second & LENGTH {
        LENGTH_16 => 2,
        LENGTH_64 => 8,
        _ => 0,
    };
    Ok(2 + length + mask)
}

/// The head that `bytes` are, as long as [`head_length`] says.
pub(super) fn read_head(bytes: &[u8]) -> Result<Head, FrameError> {
    let (first, second) = (bytes[0], bytes[1]);
    let rest = &bytes[2..];
    let (length, rest) = match second & LENGTH {
        LENGTH_16 => {
            let (length, rest) = rest.split_at(2);
            (u64::from(u16::from_be_bytes([length[0], length[1]])), rest)
        }
        LENGTH_64 => {
            let (length, rest) = rest.split_at(8);
            let length = length
                .iter()
                .fold(0, |value, &byte| value << 8 | u64::from(byte));
            if length > i64::MAX as u64 {
                return Err(FrameError::InvalidLength);
            }
            (length, rest)
        }
        short => (u64::from(short), rest),
    };
    Ok(Head {
        fin: first & FINAL != 0,
        compressed: first & COMPRESSED != 0,
        opcode: first & OPCODE,
        length,
        mask: (second & MASKED != 0).then(|| [rest[0], rest[1], rest[2], rest[3]]),
    })
}

/// Appends the head of a frame to a client: these are not masked.
pub(super) fn write_head(
    into: &mut Vec<u8>,
    opcode: u8,
    fin: bool,
    compressed: bool,
    length: usize,
) {
    let mut first = opcode;
    if fin {
        first |= FINAL;
    }
    if compressed {
        first |= COMPRESSED;
    }
    into.push(first);
    if length < usize::from(LENGTH_16) {
        into.push(length as u8);
    } else if let Ok(length) = u16::try_from(length) {
        into.push(LENGTH_16);
        into.extend_from_slice(&length.to_be_bytes());
    } else {
        into.push(LENGTH_64);
        into.extend_from_slice(&(length as u64).to_be_bytes());
    }
}
