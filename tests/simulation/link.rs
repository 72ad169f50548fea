//! The simulated ring from one core to another: bounded, in two parts (bytes
//! and parcels) that keep no order between each other, as the real one.

use std::collections::VecDeque;

use bytes::Bytes;

use super::fault::FaultyStream;

/// One direction between two cores.
pub struct Link {
    bytes_max: usize,
    parcels_max: usize,
    bytes: VecDeque<u8>,
    parcels: VecDeque<Bytes>,
    fault: Option<FaultyStream>,
    /// What a faulty link took and has no room for.
    beyond: Vec<u8>,
}

impl Link {
    /// An empty ring.
    pub fn new(bytes_max: usize, parcels_max: usize, fault: Option<FaultyStream>) -> Self {
        Self {
            bytes_max,
            parcels_max,
            bytes: VecDeque::new(),
            parcels: VecDeque::new(),
            fault,
            beyond: Vec::new(),
        }
    }

    /// Nothing to read.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.parcels.is_empty()
    }

    /// Bytes that can be read.
    pub fn readable(&self) -> usize {
        self.bytes.len()
    }

    /// Takes the beginning of `bytes`, as much as there is room for.
    pub fn push_bytes(&mut self, bytes: &[u8]) -> usize {
        if let Some(fault) = &mut self.fault {
            fault.feed(bytes, &mut self.beyond);
            self.refill();
            return bytes.len();
        }
        let count = bytes.len().min(self.bytes_max - self.bytes.len());
        self.bytes.extend(&bytes[..count]);
        count
    }

    fn refill(&mut self) {
        let count = self.beyond.len().min(self.bytes_max - self.bytes.len());
        self.bytes.extend(self.beyond.drain(..count));
    }

    /// Takes a parcel, or gives it back if the ring is full.
    pub fn push_parcel(&mut self, parcel: Bytes) -> Result<(), Bytes> {
        if self.parcels.len() == self.parcels_max {
            return Err(parcel);
        }
        self.parcels.push_back(parcel);
        Ok(())
    }

    /// The oldest parcel.
    pub fn pop_parcel(&mut self) -> Option<Bytes> {
        self.parcels.pop_front()
    }

    /// The oldest `count` bytes.
    pub fn take(&mut self, count: usize) -> Vec<u8> {
        let taken = self.bytes.drain(..count.min(self.bytes.len())).collect();
        self.refill();
        taken
    }
}

/// The links of a server, one for each ordered pair of cores.
pub struct Mesh {
    cores: usize,
    links: Vec<Link>,
}

impl Mesh {
    /// `make` builds each link.
    pub fn new(cores: usize, mut make: impl FnMut() -> Link) -> Self {
        Self {
            cores,
            links: (0..cores * cores).map(|_| make()).collect(),
        }
    }

    /// The link between two cores.
    pub fn link(&mut self, from: usize, to: usize) -> &mut Link {
        &mut self.links[from * self.cores + to]
    }

    /// Whether nothing is under way to a core.
    pub fn is_empty_to(&self, to: usize) -> bool {
        (0..self.cores).all(|from| self.links[from * self.cores + to].is_empty())
    }
}
