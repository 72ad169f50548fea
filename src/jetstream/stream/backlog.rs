//! Messages that wait because one before them needs something read from the disk.

use std::collections::VecDeque;

use crate::jetstream::bus::Incoming;

/// A message of its own memory.
#[derive(Clone, Debug)]
pub struct OwnedMessage {
    text: Box<[u8]>,
    subject: usize,
    reply: usize,
    header: usize,
    account: u16,
    origin: u64,
}

impl OwnedMessage {
    pub fn new(message: &Incoming<'_>) -> Self {
        Self {
            text: [
                message.subject,
                message.reply,
                message.header,
                message.payload,
            ]
            .concat()
            .into(),
            subject: message.subject.len(),
            reply: message.reply.len(),
            header: message.header.len(),
            account: message.account,
            origin: message.origin,
        }
    }

    /// Bytes of its memory.
    pub fn bytes(&self) -> usize {
        self.text.len()
    }

    pub fn view(&self) -> Incoming<'_> {
        let (subject, rest) = self.text.split_at(self.subject);
        let (reply, rest) = rest.split_at(self.reply);
        let (header, payload) = rest.split_at(self.header);
        Incoming {
            account: self.account,
            subject,
            reply,
            header,
            payload,
            origin: self.origin,
        }
    }
}

/// Messages in their order, bounded by the settings' `max_buffered_messages` and
/// `max_buffered_bytes`.
#[derive(Debug, Default)]
pub struct Backlog {
    messages: VecDeque<OwnedMessage>,
    bytes: usize,
}

impl Backlog {
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Adds a message; false if there is no room.
    pub fn push(&mut self, message: &Incoming<'_>, max_messages: usize, max_bytes: usize) -> bool {
        let message = OwnedMessage::new(message);
        if self.messages.len() >= max_messages || self.bytes + message.bytes() > max_bytes {
            return false;
        }
        self.bytes += message.bytes();
        self.messages.push_back(message);
        true
    }

    pub fn pop(&mut self) -> Option<OwnedMessage> {
        let message = self.messages.pop_front()?;
        self.bytes -= message.bytes();
        Some(message)
    }

    /// Gives back a message that was popped.
    pub fn unpop(&mut self, message: OwnedMessage) {
        self.bytes += message.bytes();
        self.messages.push_front(message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_keep_their_order_and_the_bounds_hold() {
        let message = |subject: &'static [u8]| Incoming {
            account: 3,
            subject,
            reply: b"r",
            header: b"",
            payload: b"pp",
            origin: 9,
        };
        let mut backlog = Backlog::default();
        assert!(backlog.push(&message(b"a"), 2, 100));
        assert!(backlog.push(&message(b"b"), 2, 100));
        assert!(!backlog.push(&message(b"c"), 2, 100));
        assert!(!backlog.push(&message(b"c"), 3, 8));
        let first = backlog.pop().unwrap();
        assert_eq!(first.view(), message(b"a"));
        backlog.unpop(first);
        assert_eq!(backlog.pop().unwrap().view().subject, b"a");
        assert_eq!(backlog.pop().unwrap().view(), message(b"b"));
        assert!(backlog.is_empty() && backlog.bytes == 0);
    }
}
