//! The content of a snapshot: a tar archive in S2 framing.
//!
//! Backup tools store it as it comes and give it back unread. The frame is that of S2 streams, with
//! every block stored uncompressed (<https://github.com/google/snappy/blob/main/framing_format.txt>,
//! chunk type 1; S2 differs in the identifier). Inside is a POSIX tar:
//!
//! | file | what |
//! |---|---|
//! | `stream.json` | the configuration |
//! | `messages/<n>` | messages by sequence, see [`put_message`] |
//! | `consumers/<name>` | the state of a consumer |
//! | `end.json` | the last sequence |
//!
//! A snapshot of nats-server has other content and is refused.

use std::borrow::Cow;

use crate::store::{Stored, WakeKind};

/// First bytes of an S2 stream.
const IDENTIFIER: &[u8] = b"\xff\x06\x00\x00S2sTwO";
const UNCOMPRESSED: u8 = 1;
/// Bytes in a block of the frame.
const FRAME_BLOCK: usize = 64 * 1024;
/// Largest block that is read.
const FRAME_BLOCK_MAX: usize = 4 * 1024 * 1024;
/// Tar's unit.
const TAR_BLOCK: usize = 512;
/// Largest file in an archive: some messages, or a consumer with all that is pending.
pub const FILE_MAX: usize = 128 * 1024 * 1024;

/// What is wrong with an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArchiveError {
    /// The frame is broken.
    Frame,
    /// The tar archive is broken, or holds what this server has not written.
    Content(&'static str),
}

impl std::fmt::Display for ArchiveError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Frame => f.write_str("s2: corrupt input"),
            Self::Content(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for ArchiveError {}

/// CRC-32C of `bytes`, bit by bit: snapshots are rare.
fn crc32c(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (POLYNOMIAL & 0u32.wrapping_sub(crc & 1))
        })
    })
}

/// The checksum as the frame carries it.
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Writes an archive.
#[derive(Debug)]
pub struct Writer {
    /// Framed bytes that were not taken.
    out: Vec<u8>,
    /// Bytes of the tar that are not framed.
    tar: Vec<u8>,
}

impl Writer {
    pub fn new() -> Self {
        Self {
            out: IDENTIFIER.to_vec(),
            tar: Vec::new(),
        }
    }

    /// Adds a file.
    pub fn file(&mut self, name: &str, content: &[u8]) {
        let mut header = [0u8; TAR_BLOCK];
        let name = name.as_bytes();
        // Names of consumers may be longer than tar's field: the rest goes into the prefix field.
        let cut = name.len().min(100);
        header[..cut].copy_from_slice(&name[..cut]);
        let rest = &name[cut..name.len().min(cut + 155)];
        header[345..345 + rest.len()].copy_from_slice(rest);
        let mut octal = |at: usize, width: usize, value: u64| {
            let text = format!("{value:0digits$o}\0", digits = width - 1);
            header[at..at + width].copy_from_slice(text.as_bytes());
        };
        octal(100, 8, 0o600);
        octal(108, 8, 0);
        octal(116, 8, 0);
        octal(124, 12, content.len() as u64);
        octal(136, 12, 0);
        header[148..156].fill(b' ');
        header[156] = b'0';
        header[257..265].copy_from_slice(b"ustar\x0000");
        let sum: u64 = header.iter().map(|&byte| u64::from(byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.tar.extend_from_slice(&header);
        self.tar.extend_from_slice(content);
        let padded = self.tar.len().next_multiple_of(TAR_BLOCK);
        self.tar.resize(padded, 0);
        self.frame(FRAME_BLOCK);
    }

    /// Ends the archive.
    pub fn end(&mut self) {
        self.tar.resize(self.tar.len() + 2 * TAR_BLOCK, 0);
        self.frame(1);
    }

    fn frame(&mut self, at_least: usize) {
        let mut start = 0;
        while self.tar.len() - start >= at_least {
            let end = (start + FRAME_BLOCK).min(self.tar.len());
            let block = &self.tar[start..end];
            let length = (block.len() + 4) as u32;
            self.out.push(UNCOMPRESSED);
            self.out.extend_from_slice(&length.to_le_bytes()[..3]);
            self.out.extend_from_slice(&masked_crc(block).to_le_bytes());
            self.out.extend_from_slice(block);
            start = end;
        }
        self.tar.drain(..start);
    }

    /// Bytes that can be taken.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Takes the next `count` bytes, or what there is.
    pub fn take(&mut self, count: usize) -> Vec<u8> {
        let count = count.min(self.out.len());
        let rest = self.out.split_off(count);
        std::mem::replace(&mut self.out, rest)
    }
}

/// Reads an archive from pieces of any size.
#[derive(Debug, Default)]
pub struct Reader {
    framed: Vec<u8>,
    tar: Vec<u8>,
    identified: bool,
    /// Two blocks of zeros were read.
    ended: bool,
}

impl Reader {
    /// Takes the next piece.
    ///
    /// # Errors
    /// A broken frame.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), ArchiveError> {
        self.framed.extend_from_slice(piece);
        let mut start = 0;
        loop {
            let rest = &self.framed[start..];
            let Some((head, body)) = rest.split_first_chunk::<4>() else {
                break;
            };
            let length = u32::from_le_bytes([head[1], head[2], head[3], 0]) as usize;
            if length > FRAME_BLOCK_MAX {
                return Err(ArchiveError::Frame);
            }
            if !self.identified && !IDENTIFIER.starts_with(head) {
                return Err(ArchiveError::Frame);
            }
            let Some(body) = body.get(..length) else {
                break;
            };
            match head[0] {
                0xff if body == &IDENTIFIER[4..] => self.identified = true,
                UNCOMPRESSED if self.identified => {
                    let (sum, block) = body.split_first_chunk::<4>().ok_or(ArchiveError::Frame)?;
                    if u32::from_le_bytes(*sum) != masked_crc(block) {
                        return Err(ArchiveError::Frame);
                    }
                    self.tar.extend_from_slice(block);
                }
                0x00 if self.identified => {
                    return Err(ArchiveError::Content(
                        "the snapshot was not made by this server",
                    ));
                }
                // Padding and other skippable blocks.
                0x80..=0xfe if self.identified => {}
                _ => return Err(ArchiveError::Frame),
            }
            start += 4 + length;
        }
        self.framed.drain(..start);
        Ok(())
    }

    /// The next file that is there as a whole: its name and content.
    ///
    /// # Errors
    /// A broken archive.
    pub fn next(&mut self) -> Result<Option<(String, Vec<u8>)>, ArchiveError> {
        const BROKEN: ArchiveError = ArchiveError::Content("the archive is broken");
        if self.ended {
            return Ok(None);
        }
        let Some(header) = self.tar.get(..TAR_BLOCK) else {
            return Ok(None);
        };
        if header.iter().all(|&byte| byte == 0) {
            self.ended = true;
            return Ok(None);
        }
        let text = |range: std::ops::Range<usize>| {
            let field = &header[range];
            let end = field.iter().position(|&b| b == 0).unwrap_or(field.len());
            String::from_utf8_lossy(&field[..end])
        };
        let size = usize::from_str_radix(text(124..136).trim(), 8).map_err(|_| BROKEN)?;
        if size > FILE_MAX || &header[257..262] != b"ustar" {
            return Err(BROKEN);
        }
        let mut name = header[..100].to_vec();
        name.extend_from_slice(&header[345..500]);
        let end = name.iter().position(|&b| b == 0).unwrap_or(name.len());
        name.truncate(end);
        let end = TAR_BLOCK + size.next_multiple_of(TAR_BLOCK);
        let Some(content) = self.tar.get(TAR_BLOCK..end) else {
            return Ok(None);
        };
        let content = content[..size].to_vec();
        self.tar.drain(..end);
        Ok(Some((String::from_utf8_lossy(&name).into_owned(), content)))
    }

    /// Whether the end of the archive was read.
    pub fn is_ended(&self) -> bool {
        self.ended
    }
}

/// Appends a message: sequence, time, wake (kind and time, zeros for none) of eight bytes each,
/// three lengths of four, all little-endian; then subject, header and payload.
pub fn put_message(out: &mut Vec<u8>, stored: &Stored<'_>, wake: Option<(WakeKind, i64)>) {
    let (kind, at) = match wake {
        None => (0, 0),
        Some((WakeKind::Expire, at)) => (1, at),
        Some((WakeKind::Schedule, at)) => (2, at),
    };
    out.extend_from_slice(&stored.sequence.to_le_bytes());
    out.extend_from_slice(&stored.unix_ns.to_le_bytes());
    out.extend_from_slice(&u64::to_le_bytes(kind));
    out.extend_from_slice(&at.to_le_bytes());
    for part in [stored.subject, stored.header, stored.payload] {
        out.extend_from_slice(&(part.len() as u32).to_le_bytes());
    }
    for part in [stored.subject, stored.header, stored.payload] {
        out.extend_from_slice(part);
    }
}

/// A message and its wake.
pub type ArchivedMessage<'a> = (Stored<'a>, Option<(WakeKind, i64)>);

/// Takes the next message off `rest`; `None` at the end.
///
/// # Errors
/// A record that is cut.
pub fn take_message<'a>(rest: &mut &'a [u8]) -> Result<Option<ArchivedMessage<'a>>, ArchiveError> {
    const CUT: ArchiveError = ArchiveError::Content("a message is cut");
    fn array<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
        let (array, tail) = rest.split_first_chunk::<N>()?;
        *rest = tail;
        Some(*array)
    }
    if rest.is_empty() {
        return Ok(None);
    }
    let sequence = u64::from_le_bytes(array(rest).ok_or(CUT)?);
    let unix_ns = i64::from_le_bytes(array(rest).ok_or(CUT)?);
    let kind = u64::from_le_bytes(array(rest).ok_or(CUT)?);
    let at = i64::from_le_bytes(array(rest).ok_or(CUT)?);
    let mut lengths = [0; 3];
    for length in &mut lengths {
        *length = u32::from_le_bytes(array(rest).ok_or(CUT)?) as usize;
    }
    let mut parts = [&[][..]; 3];
    for (part, length) in parts.iter_mut().zip(lengths) {
        (*part, *rest) = rest.split_at_checked(length).ok_or(CUT)?;
    }
    let wake = match kind {
        0 => None,
        1 => Some((WakeKind::Expire, at)),
        2 => Some((WakeKind::Schedule, at)),
        _ => return Err(CUT),
    };
    let [subject, header, payload] = parts;
    let stored = Stored {
        sequence,
        unix_ns,
        subject,
        header,
        payload,
    };
    Ok(Some((stored, wake)))
}

/// Name of a consumer's file in the archive.
pub fn consumer_name(file: &str) -> Option<Cow<'_, str>> {
    file.strip_prefix("consumers/").map(Cow::Borrowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn checksums_are_those_of_the_frame() {
        // RFC 3720, appendix B.4.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    proptest! {
        #[test]
        fn archives_are_read_as_they_were_written(
            sizes in prop::collection::vec(0usize..200_000, 0..5),
            piece in 1usize..100_000,
        ) {
            let mut writer = Writer::new();
            let files: Vec<_> = sizes
                .iter()
                .enumerate()
                .map(|(n, &size)| (format!("consumers/{n}{}", "x".repeat(n * 45)), vec![n as u8; size]))
                .collect();
            for (name, content) in &files {
                writer.file(name, content);
            }
            writer.end();
            let bytes = writer.take(usize::MAX);
            let mut reader = Reader::default();
            let mut read = Vec::new();
            for part in bytes.chunks(piece) {
                reader.push(part).unwrap();
                while let Some(file) = reader.next().unwrap() {
                    read.push(file);
                }
            }
            prop_assert!(reader.is_ended());
            prop_assert_eq!(read, files);
        }

        #[test]
        fn arbitrary_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            let mut reader = Reader::default();
            let _ = reader.push(&bytes);
            let mut framed = Writer::new();
            framed.tar = bytes.clone();
            framed.end();
            let mut reader = Reader::default();
            reader.push(&framed.take(usize::MAX)).unwrap();
            while let Ok(Some(_)) = reader.next() {}
            let mut rest = bytes.as_slice();
            while let Ok(Some(_)) = take_message(&mut rest) {}
        }
    }

    #[test]
    fn messages_keep_everything() {
        let stored = Stored {
            sequence: 7,
            unix_ns: -5,
            subject: b"s",
            header: b"NATS/1.0\r\n\r\n",
            payload: b"",
        };
        let mut out = Vec::new();
        put_message(&mut out, &stored, Some((WakeKind::Schedule, 9)));
        put_message(&mut out, &stored, None);
        let mut rest = out.as_slice();
        assert_eq!(
            take_message(&mut rest),
            Ok(Some((stored, Some((WakeKind::Schedule, 9)))))
        );
        assert_eq!(take_message(&mut rest), Ok(Some((stored, None))));
        assert_eq!(take_message(&mut rest), Ok(None));
        let mut cut = &out[..out.len() - 1];
        assert!(take_message(&mut cut).is_ok());
        assert!(take_message(&mut cut).is_err());
    }

    #[test]
    fn what_is_no_archive_is_refused() {
        assert_eq!(Reader::default().push(b"garbage"), Err(ArchiveError::Frame));
        let mut writer = Writer::new();
        writer.file("stream.json", b"{}");
        writer.end();
        let mut bytes = writer.take(usize::MAX);
        *bytes.last_mut().unwrap() ^= 1;
        assert_eq!(Reader::default().push(&bytes), Err(ArchiveError::Frame));
    }
}
