//! A decoder that has all bytes at once and follows RFC 6455 word for word; for tests.

use std::io::Read;

use flate2::read::DeflateDecoder;

/// What a peer said, in order; data of neighbouring frames is joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    Data(Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    Close(Vec<u8>),
}

/// One frame as it lies in the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub fin: bool,
    pub compressed: bool,
    pub opcode: u8,
    pub payload: Vec<u8>,
}

/// Joins data of neighbours.
pub fn push_data(said: &mut Vec<Said>, data: &[u8]) {
    if data.is_empty() {
        return;
    }
    match said.last_mut() {
        Some(Said::Data(all)) => all.extend_from_slice(data),
        _ => said.push(Said::Data(data.to_vec())),
    }
}

/// Writes a frame; with a mask as clients do.
pub fn write(frame: &Frame, mask: Option<[u8; 4]>) -> Vec<u8> {
    let mut bytes = vec![frame.opcode | u8::from(frame.fin) << 7 | u8::from(frame.compressed) << 6];
    let flag = u8::from(mask.is_some()) << 7;
    match frame.payload.len() {
        short @ 0..=125 => bytes.push(flag | short as u8),
        middle @ 126..=65535 => {
            bytes.push(flag | 126);
            bytes.extend((middle as u16).to_be_bytes());
        }
        long => {
            bytes.push(flag | 127);
            bytes.extend((long as u64).to_be_bytes());
        }
    }
    let key = mask.unwrap_or_default();
    if mask.is_some() {
        bytes.extend(key);
    }
    let masked = frame.payload.iter().enumerate();
    bytes.extend(masked.map(|(at, byte)| byte ^ key[at % 4]));
    bytes
}

/// All whole frames at the start of the bytes.
pub fn frames(mut bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let Some((frame, used)) = one_frame(bytes) {
        frames.push(frame);
        bytes = &bytes[used..];
    }
    frames
}

fn one_frame(bytes: &[u8]) -> Option<(Frame, usize)> {
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    let mut at = 2;
    let length = match second & 127 {
        126 => {
            at = 4;
            u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?).into()
        }
        127 => {
            at = 10;
            u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)
        }
        short => u64::from(short),
    };
    let mut key = [0; 4];
    if second & 128 != 0 {
        key.copy_from_slice(bytes.get(at..at + 4)?);
        at += 4;
    }
    let end = at.checked_add(usize::try_from(length).ok()?)?;
    let payload = bytes.get(at..end)?;
    let payload = payload.iter().enumerate().map(|(at, b)| b ^ key[at % 4]);
    let frame = Frame {
        fin: first & 128 != 0,
        compressed: first & 64 != 0,
        opcode: first & 15,
        payload: payload.collect(),
    };
    Some((frame, end))
}

/// What whole, valid frames say.
pub fn said(frames: &[Frame]) -> Vec<Said> {
    let mut said = Vec::new();
    let mut deflated: Option<Vec<u8>> = None;
    for frame in frames {
        match frame.opcode {
            8 => {
                said.push(Said::Close(frame.payload.clone()));
                break;
            }
            9 => said.push(Said::Ping(frame.payload.clone())),
            10 => said.push(Said::Pong),
            opcode => {
                if opcode != 0 && frame.compressed {
                    deflated = Some(Vec::new());
                }
                let Some(all) = &mut deflated else {
                    push_data(&mut said, &frame.payload);
                    continue;
                };
                all.extend_from_slice(&frame.payload);
                if frame.fin {
                    push_data(&mut said, &inflate(all));
                    deflated = None;
                }
            }
        }
    }
    said
}

/// Inflates a whole message.
pub fn inflate(deflated: &[u8]) -> Vec<u8> {
    let mut whole = deflated.to_vec();
    whole.extend([0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff]);
    let mut inflated = Vec::new();
    DeflateDecoder::new(whole.as_slice())
        .read_to_end(&mut inflated)
        .expect("deflated data");
    inflated
}
