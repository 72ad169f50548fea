//! What a completion belongs to: the 64 bits of `user_data` that travel with
//! every submission and come back with its completions.
//!
//! ```text
//! 63      56 55                    32 31                              0
//! +---------+------------------------+--------------------------------+
//! |  kind   |   generation (24 bit)  |  index: slot or listener       |
//! +---------+------------------------+--------------------------------+
//! ```
//!
//! The generation counts the uses of an index. A completion whose generation is
//! not the current one belongs to a former user and is dropped. (The ring also
//! counts operations in flight and frees an index only at zero, so the
//! generation is the second lock on the same door.)

/// The operation a completion answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Multishot receive of a slot.
    Receive = 1,
    /// The one send in flight of a slot.
    Send,
    /// Cancellation of a slot's receive, for a pause.
    Pause,
    /// Cancellation of a slot's receive or send, for its closing or because the
    /// send is late.
    Abandon,
    /// Half-close of a slot's socket.
    ShutdownWrite,
    /// Multishot accept of a listener.
    Accept,
    /// Cancellation of a listener's accept.
    StopAccept,
    /// The ring's one timer.
    Timer,
    /// A change of the timer's deadline.
    TimerUpdate,
    /// Cancellation of everything in the ring, before it is dropped.
    CancelAll,
    /// Multishot poll of the descriptor by which other threads wake the core.
    Wake,
    /// An operation on a file; the index is its owner's.
    File,
}

/// Generations wrap at this many bits.
const GENERATION_BITS: u32 = 24;
const GENERATION_MASK: u32 = (1 << GENERATION_BITS) - 1;

/// Identity of one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    pub kind: Kind,
    /// Use count of `index`, of which the low 24 bits are kept.
    pub generation: u32,
    /// Slot or listener number; 0 for operations of the ring itself.
    pub index: u32,
}

impl Tag {
    pub fn new(kind: Kind, generation: u32, index: u32) -> Self {
        Self {
            kind,
            generation: generation & GENERATION_MASK,
            index,
        }
    }

    /// An operation of the ring itself.
    pub fn of_ring(kind: Kind) -> Self {
        Self::new(kind, 0, 0)
    }

    pub fn encode(self) -> u64 {
        (self.kind as u64) << 56 | u64::from(self.generation) << 32 | u64::from(self.index)
    }

    /// `None` for a number that no [`Tag`] encodes to.
    pub fn decode(user_data: u64) -> Option<Self> {
        let kind = match (user_data >> 56) as u8 {
            1 => Kind::Receive,
            2 => Kind::Send,
            3 => Kind::Pause,
            4 => Kind::Abandon,
            5 => Kind::ShutdownWrite,
            6 => Kind::Accept,
            7 => Kind::StopAccept,
            8 => Kind::Timer,
            9 => Kind::TimerUpdate,
            10 => Kind::CancelAll,
            11 => Kind::Wake,
            12 => Kind::File,
            _ => return None,
        };
        Some(Self {
            kind,
            generation: (user_data >> 32) as u32 & GENERATION_MASK,
            index: user_data as u32,
        })
    }
}

/// The generation that follows `generation`.
pub(super) fn next_generation(generation: u32) -> u32 {
    generation.wrapping_add(1) & GENERATION_MASK
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KINDS: [Kind; 12] = [
        Kind::Receive,
        Kind::Send,
        Kind::Pause,
        Kind::Abandon,
        Kind::ShutdownWrite,
        Kind::Accept,
        Kind::StopAccept,
        Kind::Timer,
        Kind::TimerUpdate,
        Kind::CancelAll,
        Kind::Wake,
        Kind::File,
    ];

    proptest! {
        #[test]
        fn tags_survive_the_round_trip(kind in 0..KINDS.len(), generation: u32, index: u32) {
            let tag = Tag::new(KINDS[kind], generation, index);
            prop_assert_eq!(Tag::decode(tag.encode()), Some(tag));
        }

        #[test]
        fn decoding_never_panics_and_is_the_inverse(user_data: u64) {
            if let Some(tag) = Tag::decode(user_data) {
                prop_assert_eq!(tag.encode(), user_data);
            }
        }
    }

    #[test]
    fn generations_wrap() {
        assert_eq!(next_generation(GENERATION_MASK), 0);
        assert_eq!(next_generation(7), 8);
    }
}
