//! The payload of a generated message: a head of sixteen bytes that says who
//! sent it, its sequence number and its time, then filler.

/// Bytes of the head, and so the smallest payload that can be checked.
pub const HEAD: usize = 16;

/// Bits of the sequence number; the rest of the word is the source.
const SEQUENCE_BITS: u32 = 48;

/// The head of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Which publisher sent it.
    pub source: u16,
    /// Per source, from 0. Only the low 48 bits are carried.
    pub sequence: u64,
    /// When it was to be sent: `CLOCK_MONOTONIC`, nanoseconds.
    pub at: u64,
}

impl Stamp {
    pub fn encode(self) -> [u8; HEAD] {
        let word =
            u64::from(self.source) << SEQUENCE_BITS | self.sequence & ((1 << SEQUENCE_BITS) - 1);
        let mut head = [0; HEAD];
        head[..8].copy_from_slice(&word.to_le_bytes());
        head[8..].copy_from_slice(&self.at.to_le_bytes());
        head
    }

    /// The head of `payload`, `None` where it is too short for one.
    #[inline]
    pub fn decode(payload: &[u8]) -> Option<Stamp> {
        let (word, rest) = payload.split_first_chunk::<8>()?;
        let (at, _) = rest.split_first_chunk::<8>()?;
        let word = u64::from_le_bytes(*word);
        Some(Stamp {
            source: (word >> SEQUENCE_BITS) as u16,
            sequence: word & ((1 << SEQUENCE_BITS) - 1),
            at: u64::from_le_bytes(*at),
        })
    }
}

/// A publish command rendered once; each message is a copy with another head.
#[derive(Debug, Clone)]
pub struct Template {
    bytes: Vec<u8>,
    payload_at: usize,
    carries_head: bool,
}

impl Template {
    /// `PUB subject [reply] size` with its payload. Payloads shorter than
    /// [`HEAD`] are filler only.
    pub fn new(subject: &str, reply: Option<&str>, size: usize) -> Template {
        let line = match reply {
            Some(reply) => format!("PUB {subject} {reply} {size}\r\n"),
            None => format!("PUB {subject} {size}\r\n"),
        };
        let mut bytes = line.into_bytes();
        let payload_at = bytes.len();
        bytes.resize(payload_at + size, b'.');
        bytes.extend_from_slice(b"\r\n");
        Template {
            bytes,
            payload_at,
            carries_head: size >= HEAD,
        }
    }

    /// Bytes of one command on the wire.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Appends one command.
    #[inline]
    pub fn render(&self, out: &mut Vec<u8>, stamp: Stamp) {
        let at = out.len() + self.payload_at;
        out.extend_from_slice(&self.bytes);
        if self.carries_head {
            out[at..at + HEAD].copy_from_slice(&stamp.encode());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_survives_its_encoding() {
        for stamp in [
            Stamp {
                source: 0,
                sequence: 0,
                at: 0,
            },
            Stamp {
                source: u16::MAX,
                sequence: (1 << 48) - 1,
                at: u64::MAX,
            },
            Stamp {
                source: 3,
                sequence: 77,
                at: 1_234_567_890_123,
            },
        ] {
            assert_eq!(Stamp::decode(&stamp.encode()), Some(stamp));
        }
        assert_eq!(Stamp::decode(&[0; HEAD - 1]), None);
    }

    #[test]
    fn a_template_renders_the_command() {
        let stamp = Stamp {
            source: 1,
            sequence: 2,
            at: 3,
        };
        let mut out = b"before".to_vec();
        Template::new("a.b", Some("r"), 20).render(&mut out, stamp);
        let mut expected = b"beforePUB a.b r 20\r\n".to_vec();
        expected.extend_from_slice(&stamp.encode());
        expected.extend_from_slice(b"....\r\n");
        assert_eq!(out, expected);

        out.clear();
        let short = Template::new("a", None, 3);
        short.render(&mut out, stamp);
        assert_eq!(out, b"PUB a 3\r\n...\r\n");
        assert_eq!(short.len(), out.len());
    }
}
