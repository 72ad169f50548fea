//! What a core's sends carry: output as it is, or what a transport made of it.

use super::send_buffer::SendBuffer;
use crate::broker::Batch;

/// One send.
pub enum Outgoing {
    /// Output of a plain connection.
    Plain(Batch),
    /// Output of a connection with a transport.
    Encoded(Encoded),
}

/// Bytes that a transport made.
pub struct Encoded {
    pub bytes: Vec<u8>,
    /// So many of them have gone.
    pub sent: usize,
    /// What they were made of, if of anything but the transport's own words. The core counts it as
    /// waiting until all of them have gone.
    pub batch: Option<Batch>,
}

// SAFETY: a batch is a send buffer itself; of the encoded form the bytes are on the heap, and the
// vector is not touched while the value is with the ring.
unsafe impl SendBuffer for Outgoing {
    fn for_each_part(&self, visit: &mut dyn FnMut(&[u8])) {
        match self {
            Self::Plain(batch) => batch.for_each_part(visit),
            Self::Encoded(encoded) => visit(encoded.rest()),
        }
    }

    fn single(&self) -> Option<&[u8]> {
        match self {
            Self::Plain(batch) => SendBuffer::single(batch),
            Self::Encoded(encoded) => Some(encoded.rest()),
        }
    }
}

impl Encoded {
    /// What is still to go.
    pub fn rest(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }
}
