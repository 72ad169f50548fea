//! The payload of a generated message: a head of sixteen bytes that says who
//! sent it, its sequence number and its intended time, with a check word; then
//! filler that is the same in every message.
//!
//! Two little-endian words: source (16 bits) and sequence (48), then check
//! word (16) and time (48).

/// Bytes of the head, and so the smallest payload that can be checked.
pub const HEAD: usize = 16;

/// Bits of the sequence number and of the time.
const WIDE: u32 = 48;
const MASK: u64 = (1 << WIDE) - 1;

/// The head of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Which publisher sent it.
    pub source: u16,
    /// Per source, from 0. Only the low 48 bits are carried.
    pub sequence: u64,
    /// When it was to be sent: `CLOCK_MONOTONIC`, nanoseconds. Only the low 48
    /// bits are carried: 78 hours, which no message is under way.
    pub at: u64,
}

/// The check word: of the head and the length, so that a message cut short or
/// glued to another does not pass.
#[inline]
fn check_word(first: u64, at: u64, length: usize) -> u64 {
    let mixed = (first ^ (length as u64).rotate_left(40)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 29) ^ at).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed >> WIDE
}

impl Stamp {
    /// The head of a payload of `length` bytes.
    #[inline]
    pub fn encode(self, length: usize) -> [u8; HEAD] {
        let first = u64::from(self.source) << WIDE | self.sequence & MASK;
        let at = self.at & MASK;
        let second = check_word(first, at, length) << WIDE | at;
        let mut head = [0; HEAD];
        head[..8].copy_from_slice(&first.to_le_bytes());
        head[8..].copy_from_slice(&second.to_le_bytes());
        head
    }

    /// The head of `payload` that arrived at `now`, `None` where there is none
    /// or its check word does not fit.
    #[inline]
    pub fn decode(payload: &[u8], now: u64) -> Option<Stamp> {
        let (first, rest) = payload.split_first_chunk::<8>()?;
        let (second, _) = rest.split_first_chunk::<8>()?;
        let first = u64::from_le_bytes(*first);
        let second = u64::from_le_bytes(*second);
        let at = second & MASK;
        if second >> WIDE != check_word(first, at, payload.len()) {
            return None;
        }
        let age = now.wrapping_sub(at) & MASK;
        // The upper half of the range is a time in the future.
        let age = if age > MASK / 2 { 0 } else { age };
        Some(Stamp {
            source: (first >> WIDE) as u16,
            sequence: first & MASK,
            at: now.wrapping_sub(age),
        })
    }
}

/// The filler of a payload of `length` bytes: fixed pseudo-random letters, so
/// that shifted or exchanged parts are seen. Shorter fillers are its beginning.
fn filler(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            b'a' + (state % 26) as u8
        })
        .collect()
}

/// Checks whole payloads.
#[derive(Debug)]
pub struct Checker {
    /// What all have, `None` for any.
    length: Option<usize>,
    filler: Vec<u8>,
}

impl Checker {
    /// For payloads of `length` bytes.
    pub fn new(length: usize) -> Checker {
        Checker {
            length: Some(length),
            filler: filler(length.saturating_sub(HEAD)),
        }
    }

    /// For payloads of any length.
    pub fn any_length() -> Checker {
        Checker {
            length: None,
            filler: Vec::new(),
        }
    }

    /// The stamp of a payload that arrived at `now`, `None` if it is damaged.
    #[inline]
    pub fn stamp(&mut self, payload: &[u8], now: u64) -> Option<Stamp> {
        let stamp = Stamp::decode(payload, now)?;
        match self.length {
            Some(length) if payload.len() != length => return None,
            None if payload.len() - HEAD > self.filler.len() => {
                self.filler = filler(payload.len() - HEAD);
            }
            _ => {}
        }
        let rest = &payload[HEAD..];
        (rest == &self.filler[..rest.len()]).then_some(stamp)
    }
}

/// A publish command rendered once; each message is a copy with another head.
#[derive(Debug, Clone)]
pub struct Template {
    bytes: Vec<u8>,
    payload_at: usize,
    /// Of the payload.
    length: usize,
}

impl Template {
    /// `PUB subject size` with its payload. Payloads shorter than [`HEAD`] are
    /// filler only.
    pub fn new(subject: &str, length: usize) -> Template {
        let mut bytes = format!("PUB {subject} {length}\r\n").into_bytes();
        let payload_at = bytes.len();
        bytes.extend_from_slice(&body(length));
        bytes.extend_from_slice(b"\r\n");
        Template {
            bytes,
            payload_at,
            length,
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
        if self.length >= HEAD {
            out[at..at + HEAD].copy_from_slice(&stamp.encode(self.length));
        }
    }
}

/// A payload of `length` bytes with room for its head.
pub fn body(length: usize) -> Vec<u8> {
    let mut bytes = vec![b'.'; length.min(HEAD)];
    bytes.extend(filler(length.saturating_sub(HEAD)));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp {
        source: 3,
        sequence: 77,
        at: 1_234_567_890_123,
    };

    #[test]
    fn a_stamp_survives_its_encoding() {
        let extremes = [
            (0, 0, 0),
            (u16::MAX, MASK, MASK),
            (1, 2, u64::MAX - 5_000_000_000),
        ];
        for (source, sequence, at) in extremes {
            let stamp = Stamp {
                source,
                sequence,
                at,
            };
            let now = at.wrapping_add(5_000_000_000);
            assert_eq!(Stamp::decode(&stamp.encode(16), now), Some(stamp));
        }
        assert_eq!(Stamp::decode(&[0; HEAD - 1], 0), None);
    }

    #[test]
    fn a_time_in_the_future_counts_as_now() {
        let now = STAMP.at - 1000;
        let seen = Stamp::decode(&STAMP.encode(16), now).unwrap();
        assert_eq!(seen.at, now);
    }

    #[test]
    fn every_flipped_bit_is_damage() {
        let mut payload = body(64);
        payload[..HEAD].copy_from_slice(&STAMP.encode(64));
        let now = STAMP.at + 5;
        for mut checker in [Checker::new(64), Checker::any_length()] {
            assert_eq!(checker.stamp(&payload, now), Some(STAMP));
            for bit in 0..payload.len() * 8 {
                let mut flipped = payload.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(checker.stamp(&flipped, now), None, "bit {bit}");
            }
            assert_eq!(checker.stamp(&payload[..63], now), None, "cut short");
        }
        assert_eq!(Checker::new(65).stamp(&payload, now), None);
    }

    #[test]
    fn a_template_renders_the_command() {
        let mut out = b"before".to_vec();
        Template::new("a.b", 20).render(&mut out, STAMP);
        let mut expected = b"beforePUB a.b 20\r\n".to_vec();
        expected.extend_from_slice(&STAMP.encode(20));
        expected.extend_from_slice(&filler(4));
        expected.extend_from_slice(b"\r\n");
        assert_eq!(out, expected);

        out.clear();
        let short = Template::new("a", 3);
        short.render(&mut out, STAMP);
        assert_eq!(out, b"PUB a 3\r\n...\r\n");
        assert_eq!(short.len(), out.len());
    }
}
