//! Pull requests that wait to be served.

use std::collections::VecDeque;

/// For a request that does not expire.
pub const NEVER: u64 = u64::MAX;

/// A request that waits. Times are in nanoseconds of the monotonic clock.
#[derive(Debug, Default)]
pub struct Waiting {
    pub reply: Vec<u8>,
    /// Messages still wanted.
    pub left: u64,
    /// Bytes still wanted, if the request limits them.
    pub bytes_left: Option<u64>,
    /// [`NEVER`] if it does not expire.
    pub expires_at: u64,
    /// Between two heartbeats; 0 for none.
    pub heartbeat: u64,
    /// When the next heartbeat is due.
    pub beat_at: u64,
    pub no_wait: bool,
    /// The request asked to expire: it waits although it says `no_wait`.
    pub was_delivered: bool,
    /// Serve it only if as many messages are pending, or waiting for acknowledgement; 0: always.
    pub min_pending: u64,
    pub min_ack_pending: u64,
    /// 0 comes first.
    pub priority: u8,
    /// The pin that its client holds; empty: none.
    pub pin: Vec<u8>,
}

/// The requests of one consumer: those that wait, in the order in which they are served.
#[derive(Debug, Default)]
pub struct WaitingQueue {
    /// Buffers of requests that left are used again.
    slots: Vec<Waiting>,
    free: Vec<u32>,
    order: VecDeque<u32>,
    /// Not later than the first expiry or heartbeat.
    next_at: Option<u64>,
    /// Requests are served by priority.
    prioritised: bool,
}

impl WaitingQueue {
    pub fn set_prioritised(&mut self, prioritised: bool) {
        self.prioritised = prioritised;
    }

    pub fn len(&self) -> usize {
        self.order.len()
    }

    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Adds a request that `fill` writes into a cleared one.
    pub fn add(&mut self, fill: impl FnOnce(&mut Waiting)) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Waiting::default());
            (self.slots.len() - 1) as u32
        });
        let request = &mut self.slots[slot as usize];
        request.reply.clear();
        request.pin.clear();
        *request = Waiting {
            reply: std::mem::take(&mut request.reply),
            pin: std::mem::take(&mut request.pin),
            expires_at: NEVER,
            ..Waiting::default()
        };
        fill(request);
        let at = wake_at(request);
        if at != NEVER {
            self.next_at = Some(self.next_at.map_or(at, |next| next.min(at)));
        }
        self.push(slot);
    }

    /// Behind all requests of its priority.
    fn push(&mut self, slot: u32) {
        if self.prioritised {
            let priority = self.slots[slot as usize].priority;
            let at = self
                .order
                .partition_point(|&other| self.slots[other as usize].priority <= priority);
            self.order.insert(at, slot);
        } else {
            self.order.push_back(slot);
        }
    }

    /// The request at `position` in the order.
    #[inline]
    pub fn get(&self, position: usize) -> Option<&Waiting> {
        let &slot = self.order.get(position)?;
        self.slots.get(slot as usize)
    }

    #[inline]
    pub fn get_mut(&mut self, position: usize) -> Option<&mut Waiting> {
        let &slot = self.order.get(position)?;
        self.slots.get_mut(slot as usize)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Waiting> {
        self.order.iter().map(|&slot| &self.slots[slot as usize])
    }

    /// Takes the request at `position` out.
    pub fn remove(&mut self, position: usize) {
        if let Some(slot) = self.order.remove(position) {
            self.free.push(slot);
        }
    }

    /// The request at `position` was served: the others of its priority come first now.
    #[inline]
    pub fn rotate(&mut self, position: usize) {
        if position + 1 == self.order.len() {
            return;
        }
        if let Some(slot) = self.order.remove(position) {
            self.push(slot);
        }
    }

    /// Sum of the messages wanted.
    pub fn wanted(&self) -> u64 {
        self.iter()
            .fold(0, |sum, request| sum.saturating_add(request.left))
    }

    /// Not later than the first expiry or heartbeat.
    #[inline]
    pub fn next_at(&self) -> Option<u64> {
        self.next_at
    }

    /// Looks at all requests again for the next expiry or heartbeat.
    pub fn reschedule(&mut self) {
        let next = self.iter().map(wake_at).min();
        self.next_at = next.filter(|&at| at != NEVER);
    }
}

fn wake_at(request: &Waiting) -> u64 {
    if request.heartbeat > 0 {
        request.expires_at.min(request.beat_at)
    } else {
        request.expires_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replies(queue: &WaitingQueue) -> Vec<&str> {
        queue
            .iter()
            .map(|request| std::str::from_utf8(&request.reply).unwrap())
            .collect()
    }

    fn add(queue: &mut WaitingQueue, reply: &str, priority: u8, expires_at: u64) {
        queue.add(|request| {
            request.reply.extend_from_slice(reply.as_bytes());
            request.priority = priority;
            request.expires_at = expires_at;
            request.left = 2;
        });
    }

    #[test]
    fn requests_take_turns() {
        let mut queue = WaitingQueue::default();
        for reply in ["a", "b", "c"] {
            add(&mut queue, reply, 0, NEVER);
        }
        queue.rotate(0);
        assert_eq!(replies(&queue), ["b", "c", "a"]);
        queue.rotate(2);
        assert_eq!(replies(&queue), ["b", "c", "a"]);
        queue.remove(1);
        assert_eq!(replies(&queue), ["b", "a"]);
        assert_eq!(queue.wanted(), 4);
        // A buffer that is used again remembers nothing.
        add(&mut queue, "d", 0, NEVER);
        assert_eq!(replies(&queue), ["b", "a", "d"]);
        assert_eq!(queue.slots.len(), 3);
    }

    #[test]
    fn lower_priorities_come_first_and_take_turns_among_themselves() {
        let mut queue = WaitingQueue::default();
        queue.set_prioritised(true);
        for (reply, priority) in [("a", 1), ("b", 0), ("c", 1), ("d", 0)] {
            add(&mut queue, reply, priority, NEVER);
        }
        assert_eq!(replies(&queue), ["b", "d", "a", "c"]);
        queue.rotate(0);
        assert_eq!(replies(&queue), ["d", "b", "a", "c"]);
    }

    #[test]
    fn the_next_wake_is_never_late() {
        let mut queue = WaitingQueue::default();
        add(&mut queue, "a", 0, 50);
        add(&mut queue, "b", 0, 30);
        queue.add(|request| {
            request.heartbeat = 5;
            request.beat_at = 20;
        });
        assert_eq!(queue.next_at(), Some(20));
        queue.remove(2);
        queue.reschedule();
        assert_eq!(queue.next_at(), Some(30));
        queue.remove(1);
        queue.remove(0);
        queue.reschedule();
        assert_eq!(queue.next_at(), None);
    }
}
