//! Subscription ids, 16 bytes each.

/// A subscription id as the client chose it: any bytes without blanks.
///
/// Clients count upwards, so nearly all fit in 15 bytes and live inline.
/// Longer ones are kept by [`super::subscriptions::Subscriptions`] in a side
/// table, so that every subscription does not pay for them.
#[derive(Clone, Copy)]
pub struct Sid {
    len: u8,
    bytes: [u8; INLINE_BYTES],
}

/// Longest sid stored inline, in bytes.
pub const INLINE_BYTES: usize = 15;

/// Marks a sid that lives in the side table.
const LONG: u8 = u8::MAX;

impl Sid {
    /// The sid inline, or `None` when it needs the side table.
    pub fn inline(sid: &[u8]) -> Option<Self> {
        if sid.len() > INLINE_BYTES {
            return None;
        }
        let mut bytes = [0; INLINE_BYTES];
        bytes[..sid.len()].copy_from_slice(sid);
        Some(Self {
            len: sid.len() as u8,
            bytes,
        })
    }

    /// A placeholder for a sid in the side table.
    pub fn long() -> Self {
        Self {
            len: LONG,
            bytes: [0; INLINE_BYTES],
        }
    }

    /// The bytes, unless they are in the side table.
    #[inline]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        self.bytes.get(..usize::from(self.len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fifteen_bytes_are_inline_and_sixteen_are_not() {
        let sid = Sid::inline(b"123456789012345").expect("fits");
        assert_eq!(sid.as_bytes(), Some(&b"123456789012345"[..]));
        assert!(Sid::inline(b"1234567890123456").is_none());
        assert_eq!(Sid::long().as_bytes(), None);
        assert_eq!(size_of::<Sid>(), 16);
    }
}
