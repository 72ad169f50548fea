//! What a stream knows only because of the messages it has stored: it is in the log's checkpoint
//! and comes back by replaying the messages behind it.

use std::collections::{BTreeMap, BTreeSet};

use super::dedup::DuplicateWindow;
use super::duration::TimeToLive;
use super::headers::PublishHeaders;
use super::source_header::SourceHeader;
use crate::store::{Replay, Stored};

/// First byte of a checkpoint's blob.
const VERSION: u8 = 1;

/// State derived from messages.
#[derive(Debug)]
pub struct Derived {
    pub window: DuplicateWindow,
    /// Of the last message; empty if it had none.
    pub last_msg_id: Vec<u8>,
    /// Messages that never expire, not even by age.
    pub never: BTreeSet<u64>,
    /// Messages that are subject delete markers.
    pub markers: BTreeSet<u64>,
    /// The last sequence taken from each source, by the source's key.
    pub sourced: BTreeMap<Vec<u8>, u64>,
    /// Whether messages are sourced, so that their headers are of interest.
    pub has_sources: bool,
}

impl Derived {
    pub fn new(window: i64, seed: u64, has_sources: bool) -> Self {
        Self {
            window: DuplicateWindow::new(window, seed),
            last_msg_id: Vec::new(),
            never: BTreeSet::new(),
            markers: BTreeSet::new(),
            sourced: BTreeMap::new(),
            has_sources,
        }
    }

    /// Takes note of a message with headers that was stored.
    pub fn note(&mut self, sequence: u64, unix_ns: i64, headers: &PublishHeaders<'_>) {
        self.last_msg_id.clear();
        if let Some(id) = headers.msg_id {
            self.last_msg_id.extend_from_slice(id);
            // Ids are a matter between a publisher and the stream it publishes to.
            if headers.stream_source.is_none() {
                self.window.insert(id, sequence, unix_ns);
            }
        }
        if headers
            .ttl
            .is_some_and(|ttl| TimeToLive::parse(ttl) == Some(TimeToLive::Never))
        {
            self.never.insert(sequence);
        }
        if headers.marker_reason.is_some() {
            self.markers.insert(sequence);
        }
        if self.has_sources
            && let Some(origin) = headers.stream_source.and_then(SourceHeader::parse)
        {
            let known = self.sourced.entry(origin.key()).or_insert(0);
            *known = origin.sequence.max(*known);
        }
    }

    /// Takes note of a message without headers.
    pub fn note_plain(&mut self) {
        self.last_msg_id.clear();
    }

    /// Takes note that a message is gone.
    pub fn forget(&mut self, sequence: u64) {
        if !self.never.is_empty() {
            self.never.remove(&sequence);
        }
        if !self.markers.is_empty() {
            self.markers.remove(&sequence);
        }
    }

    /// The blob of a checkpoint.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        push_text(&mut out, &self.last_msg_id);
        push_number(&mut out, self.window.len() as u64);
        for (id, sequence, unix_ns) in self.window.iter() {
            push_text(&mut out, id);
            push_number(&mut out, sequence);
            push_number(&mut out, unix_ns as u64);
        }
        for set in [&self.never, &self.markers] {
            push_number(&mut out, set.len() as u64);
            set.iter().for_each(|number| push_number(&mut out, *number));
        }
        push_number(&mut out, self.sourced.len() as u64);
        for (key, sequence) in &self.sourced {
            push_text(&mut out, key);
            push_number(&mut out, *sequence);
        }
        out
    }

    /// Takes over a blob; `None` if it is damaged, and then as much as could be read.
    fn decode(&mut self, blob: &[u8]) -> Option<()> {
        let (&version, mut rest) = blob.split_first()?;
        if version != VERSION {
            return None;
        }
        let rest = &mut rest;
        self.last_msg_id = take_text(rest)?.to_vec();
        for _ in 0..take_number(rest)? {
            let id = take_text(rest)?;
            let sequence = take_number(rest)?;
            self.window.insert(id, sequence, take_number(rest)? as i64);
        }
        for set in [&mut self.never, &mut self.markers] {
            for _ in 0..take_number(rest)? {
                set.insert(take_number(rest)?);
            }
        }
        for _ in 0..take_number(rest)? {
            let key = take_text(rest)?.to_vec();
            self.sourced.insert(key, take_number(rest)?);
        }
        Some(())
    }
}

fn push_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_le_bytes());
}

fn push_text(out: &mut Vec<u8>, text: &[u8]) {
    push_number(out, text.len() as u64);
    out.extend_from_slice(text);
}

fn take_number(rest: &mut &[u8]) -> Option<u64> {
    let (number, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(u64::from_le_bytes(*number))
}

fn take_text<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take_number(rest)?).ok()?;
    let (text, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    Some(text)
}

impl Replay for Derived {
    fn checkpoint(&mut self, blob: &[u8]) {
        // The log checks its checkpoints; a blob of another version is as good as none.
        let _ = self.decode(blob);
    }

    fn message(&mut self, message: &Stored<'_>) {
        if message.header.is_empty() {
            self.note_plain();
        } else {
            let headers = PublishHeaders::parse(message.header);
            // So that a long log does not fill the window with ids that have left it.
            self.window.expire(message.unix_ns);
            self.note(message.sequence, message.unix_ns, &headers);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(sequence: u64, header: &[u8]) -> Stored<'_> {
        Stored {
            sequence,
            unix_ns: sequence as i64,
            subject: b"s",
            header,
            payload: b"",
        }
    }

    #[test]
    fn a_checkpoint_and_the_messages_behind_it_give_the_same_state() {
        let messages: [&[u8]; 6] = [
            b"NATS/1.0\r\nNats-Msg-Id: a\r\n\r\n",
            b"NATS/1.0\r\nNats-TTL: never\r\n\r\n",
            b"",
            b"NATS/1.0\r\nNats-Marker-Reason: MaxAge\r\nNats-TTL: 1s\r\n\r\n",
            b"NATS/1.0\r\nNats-Msg-Id: c\r\nNats-Stream-Source: ORIG 5 > > a.b\r\n\r\n",
            b"NATS/1.0\r\nNats-Msg-Id: b\r\n\r\n",
        ];
        let mut whole = Derived::new(1000, 1, true);
        for (at, header) in messages.iter().enumerate() {
            whole.message(&message(at as u64 + 1, header));
        }
        for cut in 0..=messages.len() {
            let mut first = Derived::new(1000, 1, true);
            let mut second = Derived::new(1000, 2, true);
            for (at, header) in messages.iter().enumerate().take(cut) {
                first.message(&message(at as u64 + 1, header));
            }
            second.checkpoint(&first.encode());
            for (at, header) in messages.iter().enumerate().skip(cut) {
                second.message(&message(at as u64 + 1, header));
            }
            assert_eq!(second.encode(), whole.encode());
            assert_eq!(second.window.find(b"a", 6), Some(1));
            assert_eq!(second.window.find(b"c", 6), None);
        }
        assert_eq!(whole.last_msg_id, b"b");
        assert!(whole.never.contains(&2) && whole.markers.contains(&4));
        assert_eq!(whole.sourced.len(), 1);
        whole.forget(2);
        assert!(whole.never.is_empty());
    }

    proptest! {
        #[test]
        fn damaged_blobs_do_no_harm(blob in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut derived = Derived::new(1000, 1, true);
            derived.checkpoint(&blob);
        }
    }
}
