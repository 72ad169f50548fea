//! Rings between the threads of the broker: one pair for each ordered pair of
//! nodes, single producer, single consumer, bounded.
//!
//! A *node* is a core or the control thread. Each link is a ring of bytes, for
//! messages, and a small ring of parcels, for things that are not bytes (accepted
//! sockets, shared payloads, commands). There is no order between the two.
//!
//! A sender publishes as much as it likes and then calls [`LinkSender::announce`]
//! once: the receiver is woken only if it sleeps.

use std::io;

use rtrb::{Consumer, Producer, RingBuffer};

use super::parker::{Seat, Waker};

/// Sizes of the links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkConfig {
    /// Bytes of each byte ring; touched pages stay resident. Default 256 KiB.
    pub bytes: usize,
    /// Entries of each parcel ring. Default 256.
    pub parcels: usize,
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self {
            bytes: 256 * 1024,
            parcels: 256,
        }
    }
}

/// The sending end of a link.
pub struct LinkSender<P> {
    bytes: Producer<u8>,
    parcels: Producer<P>,
    receiver: Waker,
    /// Published since the last announcement.
    dirty: bool,
}

impl<P> LinkSender<P> {
    /// Bytes that fit now; at least as many will fit until the next push.
    pub fn space(&self) -> usize {
        self.bytes.slots()
    }

    /// Publishes the beginning of `bytes`, as much as fits, at once. Returns its
    /// length. Frames that must not be cut: compare with [`space`](Self::space).
    pub fn push_bytes(&mut self, bytes: &[u8]) -> usize {
        let (pushed, _) = self.bytes.push_partial_slice(bytes);
        let length = pushed.len();
        self.dirty |= length > 0;
        length
    }

    /// Publishes a parcel.
    ///
    /// # Errors
    /// The parcel, if the ring is full.
    pub fn push_parcel(&mut self, parcel: P) -> Result<(), P> {
        match self.parcels.push(parcel) {
            Ok(()) => {
                self.dirty = true;
                Ok(())
            }
            Err(rtrb::PushError::Full(parcel)) => Err(parcel),
        }
    }

    /// Whether another parcel fits.
    pub fn has_parcel_space(&self) -> bool {
        !self.parcels.is_full()
    }

    /// Wakes the receiver if it sleeps and something was published since the last
    /// call. Call once a turn, after all pushes and always before sleeping.
    pub fn announce(&mut self) {
        if std::mem::take(&mut self.dirty) {
            self.receiver.wake();
        }
    }

    /// Whether the receiving end is gone.
    pub fn is_abandoned(&self) -> bool {
        self.bytes.is_abandoned()
    }
}

/// The receiving end of a link.
pub struct LinkReceiver<P> {
    bytes: Consumer<u8>,
    parcels: Consumer<P>,
}

impl<P> LinkReceiver<P> {
    /// Shows all published bytes, in two slices where the ring wraps, and frees as
    /// many as `take` returns (no more than shown). Returns that count; 0 without
    /// calling `take` if there are none.
    pub fn read(&mut self, take: impl FnOnce(&[u8], &[u8]) -> usize) -> usize {
        let published = self.bytes.slots();
        if published == 0 {
            return 0;
        }
        let Ok(chunk) = self.bytes.read_chunk(published) else {
            return 0;
        };
        let (first, second) = chunk.as_slices();
        let taken = take(first, second).min(published);
        chunk.commit(taken);
        taken
    }

    /// The oldest parcel.
    pub fn pop_parcel(&mut self) -> Option<P> {
        self.parcels.pop().ok()
    }

    /// Nothing published that was not taken: the look before sleeping.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.parcels.is_empty()
    }

    /// Whether the sending end is gone; what it published can still be read.
    pub fn is_abandoned(&self) -> bool {
        self.bytes.is_abandoned()
    }
}

/// All that one node needs to talk to the others.
pub struct NodeLinks<P> {
    /// This node's number.
    pub node: usize,
    /// Where this node sleeps.
    pub seat: Seat,
    /// The senders by receiving node; `None` at this node's own number.
    pub to: Vec<Option<LinkSender<P>>>,
    /// The receivers by sending node; `None` at this node's own number.
    pub from: Vec<Option<LinkReceiver<P>>>,
    /// The wakers of all nodes, this one included.
    pub wakers: Vec<Waker>,
}

/// Connects `nodes` nodes, each with each other.
///
/// # Errors
/// The system's error if an eventfd is not to be had.
pub fn mesh<P: Send>(nodes: usize, config: &LinkConfig) -> io::Result<Vec<NodeLinks<P>>> {
    let mut seats = Vec::with_capacity(nodes);
    let mut wakers = Vec::with_capacity(nodes);
    for _ in 0..nodes {
        let (seat, waker) = Seat::new()?;
        seats.push(seat);
        wakers.push(waker);
    }
    let mut links: Vec<NodeLinks<P>> = seats
        .into_iter()
        .enumerate()
        .map(|(node, seat)| NodeLinks {
            node,
            seat,
            to: Vec::with_capacity(nodes),
            from: Vec::with_capacity(nodes),
            wakers: wakers.clone(),
        })
        .collect();
    for sender in 0..nodes {
        for receiver in 0..nodes {
            if sender == receiver {
                links[sender].to.push(None);
                links[receiver].from.push(None);
                continue;
            }
            let (bytes_in, bytes_out) = RingBuffer::new(config.bytes);
            let (parcels_in, parcels_out) = RingBuffer::new(config.parcels);
            links[sender].to.push(Some(LinkSender {
                bytes: bytes_in,
                parcels: parcels_in,
                receiver: wakers[receiver].clone(),
                dirty: false,
            }));
            links[receiver].from.push(Some(LinkReceiver {
                bytes: bytes_out,
                parcels: parcels_out,
            }));
        }
    }
    Ok(links)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(bytes: usize) -> (NodeLinks<u32>, NodeLinks<u32>) {
        let config = LinkConfig { bytes, parcels: 2 };
        let mut nodes = mesh::<u32>(2, &config).unwrap();
        let second = nodes.pop().unwrap();
        (nodes.pop().unwrap(), second)
    }

    #[test]
    fn everyone_reaches_everyone_else() {
        let mut nodes = mesh::<(usize, usize)>(4, &LinkConfig::default()).unwrap();
        for (sender, node) in nodes.iter_mut().enumerate() {
            for receiver in (0..4).filter(|receiver| *receiver != sender) {
                let link = node.to[receiver].as_mut().unwrap();
                link.push_parcel((sender, receiver)).unwrap();
                link.push_bytes(&[sender as u8]);
                link.announce();
            }
        }
        for (receiver, node) in nodes.iter_mut().enumerate() {
            assert!(node.to[receiver].is_none());
            for (sender, link) in node.from.iter_mut().enumerate() {
                let Some(link) = link else {
                    assert_eq!(sender, receiver);
                    continue;
                };
                assert_eq!(link.pop_parcel(), Some((sender, receiver)));
                link.read(|first, second| {
                    assert_eq!((first, second), (&[sender as u8][..], &[][..]));
                    1
                });
                assert!(link.is_empty());
            }
        }
    }

    #[test]
    fn a_full_link_takes_what_fits_and_refuses_parcels() {
        let (mut left, mut right) = pair(8);
        let to = left.to[1].as_mut().unwrap();
        assert_eq!(to.push_bytes(b"0123456789"), 8);
        assert_eq!(to.space(), 0);
        assert_eq!(to.push_bytes(b"x"), 0);
        assert_eq!(to.push_parcel(1), Ok(()));
        assert_eq!(to.push_parcel(2), Ok(()));
        assert_eq!(to.push_parcel(3), Err(3));
        let from = right.from[0].as_mut().unwrap();
        assert_eq!(from.read(|first, _| first.len() - 3), 5);
        let to = left.to[1].as_mut().unwrap();
        assert_eq!(to.push_bytes(b"abcdef"), 5);
        let from = right.from[0].as_mut().unwrap();
        let mut seen = Vec::new();
        from.read(|first, second| {
            seen.extend_from_slice(first);
            seen.extend_from_slice(second);
            seen.len()
        });
        assert_eq!(seen, b"567abcde");
    }

    #[test]
    fn a_byte_stream_crosses_threads_unharmed_and_wakes_its_reader() {
        const TOTAL: usize = 300_000;
        let (mut left, mut right) = pair(512);
        let sender = std::thread::spawn(move || {
            let to = left.to[1].as_mut().unwrap();
            let mut sent = 0;
            while sent < TOTAL {
                let end = TOTAL.min(sent + 1 + sent % 97);
                let bytes: Vec<u8> = (sent..end).map(|number| number as u8).collect();
                let pushed = to.push_bytes(&bytes);
                to.announce();
                sent += pushed;
                if pushed == 0 {
                    std::thread::yield_now();
                }
            }
            left
        });
        let mut received = 0_usize;
        while received < TOTAL {
            let from = right.from[0].as_mut().unwrap();
            let taken = from.read(|first, second| {
                for byte in first.iter().chain(second) {
                    assert_eq!(*byte, received as u8);
                    received += 1;
                }
                first.len() + second.len()
            });
            if taken == 0 {
                // Sleeps without a timeout: a lost wake-up hangs the test.
                right.seat.wait(|| from.is_empty(), None).unwrap();
            }
        }
        sender.join().unwrap();
    }

    #[test]
    fn the_loss_of_the_other_end_is_seen() {
        let (left, right) = pair(8);
        drop(right);
        assert!(left.to[1].as_ref().unwrap().is_abandoned());
        assert!(left.from[1].as_ref().unwrap().is_abandoned());
    }
}
