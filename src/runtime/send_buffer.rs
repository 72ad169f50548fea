//! What can be sent: bytes that keep their address while their owner moves.

/// Owned bytes for a send.
///
/// The ring takes the value, lets the kernel read its bytes while the send is in
/// flight, and gives the value back with the completion.
///
/// # Safety
/// From the moment the value is handed to the ring until it comes back, every
/// slice that [`for_each_part`](Self::for_each_part) visits keeps its address and
/// its bytes, though the value itself is moved (but neither touched nor dropped).
/// So bytes stored inside the value, such as an inline small-string buffer, are
/// out.
pub unsafe trait SendBuffer {
    /// Visits the parts in the order in which they are to be sent.
    ///
    /// The ring takes 1024 parts at most (`UIO_MAXIOV`); the bytes of those
    /// beyond are left for the next send, as the completion's count tells.
    fn for_each_part(&self, visit: &mut dyn FnMut(&[u8]));

    /// The bytes, if they are all in one part: spares the message head.
    fn single(&self) -> Option<&[u8]> {
        None
    }
}

// SAFETY: the bytes are on the heap (or there are none); moving a Vec moves
// pointer, length and capacity only.
unsafe impl SendBuffer for Vec<u8> {
    fn for_each_part(&self, visit: &mut dyn FnMut(&[u8])) {
        visit(self);
    }

    fn single(&self) -> Option<&[u8]> {
        Some(self)
    }
}

// SAFETY: `Bytes` is a handle; its bytes are static or on the heap.
unsafe impl SendBuffer for bytes::Bytes {
    fn for_each_part(&self, visit: &mut dyn FnMut(&[u8])) {
        visit(self);
    }

    fn single(&self) -> Option<&[u8]> {
        Some(self)
    }
}

// SAFETY: each element keeps its bytes on the heap or in statics, and the
// vector, and with it the handles, is not touched meanwhile.
unsafe impl SendBuffer for Vec<bytes::Bytes> {
    fn for_each_part(&self, visit: &mut dyn FnMut(&[u8])) {
        for part in self {
            visit(part);
        }
    }
}

// SAFETY: segments are chunks on the heap or shared `Bytes`; the list of them
// does not change while the batch is in flight, and moving it moves pointers.
unsafe impl SendBuffer for crate::broker::Batch {
    fn for_each_part(&self, visit: &mut dyn FnMut(&[u8])) {
        for segment in self.segments() {
            visit(segment.as_slice());
        }
    }

    fn single(&self) -> Option<&[u8]> {
        Some(crate::broker::Batch::single(self)?.as_slice())
    }
}
