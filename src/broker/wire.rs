//! Records that cores send each other, as bytes in a ring.
//!
//! Every record starts with its length (including these four bytes) and its
//! kind. Integers are little-endian. A message for plain subscriptions joins the
//! run before it where it can ([`Outbox::push_plain`]). The stream may be cut anywhere: a reader
//! gets what it has and keeps the incomplete rest.
//!
//! The peers are threads of one process, so a record that does not decode is a
//! bug, not bad input; decoding still never reads out of bounds.

use bytes::Bytes;

/// Tails of at least this many bytes travel as a shared body beside the bytes.
pub const PARCEL_BYTES_MIN: usize = 16 * 1024;

const MESSAGE: u8 = 1;
const INTEREST: u8 = 2;
const APPLIED: u8 = 3;
const SLOW: u8 = 4;
const RUN: u8 = 5;
const RECOVERED: u8 = 6;
const SERVICE: u8 = 7;

const PLAIN: u8 = 1;
const PARCEL: u8 = 2;
const SHOWN: u8 = 4;

/// Value of `header_len` in a record for a message without headers.
const NO_HEADERS: u32 = u32::MAX;

/// A message for the receiving core's subscriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageRecord<'a> {
    pub account: u16,
    /// For the receiver's plain subscriptions.
    pub plain: bool,
    /// Times it was handed on because a queue group's member had left.
    pub hops: u8,
    /// The publisher's connection, for echo and back-pressure.
    pub origin: u64,
    pub subject: &'a [u8],
    /// The subject that readers see; empty if it is `subject`.
    pub shown: &'a [u8],
    pub reply_len: usize,
    pub header_len: Option<usize>,
    /// Bytes of headers and payload.
    pub body_len: usize,
    /// " [reply ]sizes\r\nbody\r\n", or `None` if it is the next parcel.
    pub tail: Option<&'a [u8]>,
    /// Queue groups to serve, encoded; see [`queues`].
    pub queues: &'a [u8],
}

/// Messages of one publisher on one subject for the receiving core's plain
/// subscriptions. A stream of small messages needs its subject, and the
/// receiver's look for their route, once for many of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunRecord<'a> {
    pub account: u16,
    /// The publisher's connection, for back-pressure.
    pub origin: u64,
    pub subject: &'a [u8],
    /// The messages, encoded; see [`RunRecord::items`].
    encoded: &'a [u8],
}

/// What differs between the messages of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunItem<'a> {
    pub reply_len: usize,
    pub header_len: Option<usize>,
    /// Bytes of headers and payload.
    pub body_len: usize,
    /// " [reply ]sizes\r\nbody\r\n".
    pub tail: &'a [u8],
}

impl<'a> RunRecord<'a> {
    /// The messages in the order they were published.
    #[inline]
    pub fn items(&self) -> impl Iterator<Item = RunItem<'a>> + use<'a> {
        let mut reader = Reader(self.encoded);
        std::iter::from_fn(move || {
            let [tail_len, reply_len, header_len, body_len] = reader.words()?;
            Some(RunItem {
                reply_len: reply_len as usize,
                header_len: (header_len != NO_HEADERS).then_some(header_len as usize),
                body_len: body_len as usize,
                tail: reader.take(tail_len as usize)?,
            })
        })
    }

    /// Bytes of all tails together, and a little more.
    #[inline]
    pub fn tail_bytes_max(&self) -> usize {
        self.encoded.len()
    }

    /// More messages than this are not in it.
    #[inline]
    pub fn count_max(&self) -> usize {
        self.encoded.len() / (RUN_ITEM_HEAD + TAIL_BYTES_MIN)
    }
}

/// A record, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    Message(MessageRecord<'a>),
    Run(RunRecord<'a>),
    /// The sender's interest in a pattern is now `weight`.
    Interest {
        sequence: u64,
        account: u16,
        weight: u32,
        pattern: &'a [u8],
        queue: &'a [u8],
    },
    /// The sender has applied the receiver's interest up to `sequence`.
    Applied {
        sequence: u64,
    },
    /// All that connection `origin` reaches on the sender's core is slow.
    Slow {
        origin: u64,
    },
    /// From the sender's services (JetStream) to the receiver's; theirs to decode.
    Service(&'a [u8]),
    /// A reader on the sender's core that was slow is not any more.
    Recovered,
}

fn start(out: &mut Vec<u8>, kind: u8) -> usize {
    let at = out.len();
    out.extend_from_slice(&[0, 0, 0, 0, kind]);
    at
}

fn finish(out: &mut [u8], at: usize) {
    let len = (out.len() - at) as u32;
    out[at..at + 4].copy_from_slice(&len.to_le_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Bytes of a run before its subject.
const RUN_HEAD: usize = 4 + 1 + 2 + 8 + 4;
/// Bytes before the tail of each message of a run: four lengths.
const RUN_ITEM_HEAD: usize = 4 * 4;
/// The shortest tail: " 0\r\n\r\n".
const TAIL_BYTES_MIN: usize = 6;
/// Bytes at which a run is full; it may exceed them by one message. The ring's
/// reader copies records that the ring's end cuts, so they stay far below its size.
pub const RUN_BYTES_MAX: usize = 8 * 1024;

/// Bytes of a message record before its variable part.
const MESSAGE_HEAD: usize = 4 + 1 + 1 + 1 + 2 + 8 + 4 * 5;

/// Appends a message. `queue_names` are the groups to serve; `parcel` says that
/// the tail travels beside the bytes.
#[inline]
pub fn put_message<'q>(
    out: &mut Vec<u8>,
    message: &MessageRecord<'_>,
    queue_names: impl Iterator<Item = &'q [u8]>,
) {
    let at = out.len();
    let tail_len = message.tail.map_or(0, <[u8]>::len);
    out.reserve(MESSAGE_HEAD + message.subject.len() + tail_len);
    let mut head = [0u8; MESSAGE_HEAD];
    head[4] = MESSAGE;
    let flag = |set: bool, bit: u8| if set { bit } else { 0 };
    head[5] = flag(message.plain, PLAIN)
        | flag(message.tail.is_none(), PARCEL)
        | flag(!message.shown.is_empty(), SHOWN);
    head[6] = message.hops;
    head[7..9].copy_from_slice(&message.account.to_le_bytes());
    head[9..17].copy_from_slice(&message.origin.to_le_bytes());
    let words = [
        message.subject.len() as u32,
        message.reply_len as u32,
        message.header_len.map_or(NO_HEADERS, |len| len as u32),
        message.body_len as u32,
        tail_len as u32,
    ];
    for (n, word) in words.into_iter().enumerate() {
        head[17 + 4 * n..21 + 4 * n].copy_from_slice(&word.to_le_bytes());
    }
    out.extend_from_slice(&head);
    out.extend_from_slice(message.subject);
    out.extend_from_slice(message.tail.unwrap_or_default());
    if !message.shown.is_empty() {
        put_bytes(out, message.shown);
    }
    for name in queue_names {
        put_bytes(out, name);
    }
    finish(out, at);
}

/// Appends a change of interest.
pub fn put_interest(
    out: &mut Vec<u8>,
    sequence: u64,
    account: u16,
    weight: u32,
    pattern: &[u8],
    queue: &[u8],
) {
    let at = start(out, INTEREST);
    out.extend_from_slice(&sequence.to_le_bytes());
    out.extend_from_slice(&account.to_le_bytes());
    out.extend_from_slice(&weight.to_le_bytes());
    put_bytes(out, pattern);
    put_bytes(out, queue);
    finish(out, at);
}

/// Appends the acknowledgement of interest.
pub fn put_applied(out: &mut Vec<u8>, sequence: u64) {
    let at = start(out, APPLIED);
    out.extend_from_slice(&sequence.to_le_bytes());
    finish(out, at);
}

/// Appends a report of recovered readers.
pub fn put_recovered(out: &mut Vec<u8>) {
    let at = start(out, RECOVERED);
    finish(out, at);
}

/// Appends a report of slow readers.
pub fn put_slow(out: &mut Vec<u8>, origin: u64) {
    let at = start(out, SLOW);
    out.extend_from_slice(&origin.to_le_bytes());
    finish(out, at);
}

/// Appends a record of the server's services.
pub fn put_service(out: &mut Vec<u8>, record: &[u8]) {
    let at = start(out, SERVICE);
    out.extend_from_slice(record);
    finish(out, at);
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    #[inline]
    fn words<const N: usize>(&mut self) -> Option<[u32; N]> {
        let (words, rest) = self.0.split_at_checked(4 * N)?;
        self.0 = rest;
        let (words, _) = words.as_chunks::<4>();
        Some(std::array::from_fn(|n| u32::from_le_bytes(words[n])))
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = self.u32()? as usize;
        self.take(len)
    }
}

/// Length of the record that `stream` starts with, if its head is there.
#[inline]
pub fn record_len(stream: &[u8]) -> Option<usize> {
    stream
        .first_chunk::<4>()
        .map(|len| u32::from_le_bytes(*len) as usize)
}

/// Decodes one whole record (of [`record_len`] bytes).
#[inline]
pub fn decode(record: &[u8]) -> Option<Record<'_>> {
    let mut reader = Reader(record.get(4..)?);
    Some(match reader.u8()? {
        MESSAGE => {
            // One check for the whole fixed part.
            let head: [u8; MESSAGE_HEAD - 5] = reader.array()?;
            let word = |n: usize| {
                let at = 12 + 4 * n;
                u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]])
            };
            let [
                flags,
                hops,
                account_low,
                account_high,
                origin @ ..,
                _,
                _,
                _,
                _,
                _,
                _,
                _,
                _,
                _,
                _,
                _,
                _,
                _,
                _,
                _,
                _,
                _,
                _,
                _,
                _,
            ] = head;
            let account = u16::from_le_bytes([account_low, account_high]);
            let origin = u64::from_le_bytes(origin);
            let reply_len = word(1) as usize;
            let header_len = word(2);
            let body_len = word(3) as usize;
            let subject = reader.take(word(0) as usize)?;
            let tail = reader.take(word(4) as usize)?;
            let shown = if flags & SHOWN != 0 {
                reader.bytes()?
            } else {
                &[]
            };
            Record::Message(MessageRecord {
                account,
                plain: flags & PLAIN != 0,
                hops,
                origin,
                subject,
                shown,
                reply_len,
                header_len: (header_len != NO_HEADERS).then_some(header_len as usize),
                body_len,
                tail: (flags & PARCEL == 0).then_some(tail),
                queues: reader.0,
            })
        }
        RUN => Record::Run(RunRecord {
            account: reader.u16()?,
            origin: reader.u64()?,
            subject: reader.bytes()?,
            encoded: reader.0,
        }),
        INTEREST => Record::Interest {
            sequence: reader.u64()?,
            account: reader.u16()?,
            weight: reader.u32()?,
            pattern: reader.bytes()?,
            queue: reader.bytes()?,
        },
        APPLIED => Record::Applied {
            sequence: reader.u64()?,
        },
        SLOW => Record::Slow {
            origin: reader.u64()?,
        },
        SERVICE => Record::Service(reader.0),
        RECOVERED => Record::Recovered,
        _ => return None,
    })
}

/// The queue names of a message record.
pub fn queues(encoded: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut reader = Reader(encoded);
    std::iter::from_fn(move || reader.bytes())
}

/// Whether the record needs the next parcel.
pub fn wants_parcel(record: &Record<'_>) -> bool {
    matches!(record, Record::Message(message) if message.tail.is_none())
}

/// Records on their way to one core: the stream of bytes and the bodies that
/// travel beside it. The runtime moves both into the ring of that core, bodies
/// first; what the ring has no room for stays here.
#[derive(Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    /// Bytes at the front that are already in the ring.
    taken: usize,
    parcels: std::collections::VecDeque<Bytes>,
    parcel_bytes: usize,
    run: Option<OpenRun>,
}

/// A run that the next message may join: the last record of an outbox, of which
/// no byte has been taken.
struct OpenRun {
    /// Where it begins.
    at: usize,
    account: u16,
    origin: u64,
    subject_len: usize,
}

impl Outbox {
    /// Bytes that wait, bodies included.
    #[inline]
    pub fn pending(&self) -> usize {
        self.bytes.len() - self.taken + self.parcel_bytes
    }

    /// Whether a body waits.
    pub fn has_parcel(&self) -> bool {
        !self.parcels.is_empty()
    }

    /// Whether nothing waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.bytes.len() == self.taken && self.parcels.is_empty()
    }

    /// Where records are appended.
    #[inline]
    pub fn stream(&mut self) -> &mut Vec<u8> {
        self.run = None;
        &mut self.bytes
    }

    /// Appends a message for plain subscriptions, to the run that the messages
    /// before it made if it has the same publisher and subject.
    #[inline]
    pub fn push_plain(&mut self, account: u16, origin: u64, subject: &[u8], item: &RunItem<'_>) {
        let at = match &self.run {
            Some(run)
                if run.origin == origin
                    && run.account == account
                    && run.subject_len == subject.len()
                    && self.bytes.len() - run.at < RUN_BYTES_MAX
                    && self.bytes[run.at + RUN_HEAD..].starts_with(subject) =>
            {
                run.at
            }
            _ => self.start_run(account, origin, subject),
        };
        // One store: lengths written one by one and copied together would wait
        // for each other.
        let lengths = item.tail.len() as u128
            | (item.reply_len as u128) << 32
            | u128::from(item.header_len.map_or(NO_HEADERS, |len| len as u32)) << 64
            | (item.body_len as u128) << 96;
        self.bytes.reserve(RUN_ITEM_HEAD + item.tail.len());
        self.bytes.extend_from_slice(&lengths.to_le_bytes());
        self.bytes.extend_from_slice(item.tail);
        finish(&mut self.bytes, at);
    }

    #[cold]
    fn start_run(&mut self, account: u16, origin: u64, subject: &[u8]) -> usize {
        let at = start(&mut self.bytes, RUN);
        self.bytes.extend_from_slice(&account.to_le_bytes());
        self.bytes.extend_from_slice(&origin.to_le_bytes());
        put_bytes(&mut self.bytes, subject);
        self.run = Some(OpenRun {
            at,
            account,
            origin,
            subject_len: subject.len(),
        });
        at
    }

    /// Appends a body, whose record follows in the stream.
    pub fn push_parcel(&mut self, body: Bytes) {
        self.parcel_bytes += body.len();
        self.parcels.push_back(body);
    }

    /// The next body for the ring.
    pub fn next_parcel(&mut self) -> Option<Bytes> {
        let body = self.parcels.pop_front()?;
        self.parcel_bytes -= body.len();
        Some(body)
    }

    /// A body that the ring had no room for.
    pub fn return_parcel(&mut self, body: Bytes) {
        self.parcel_bytes += body.len();
        self.parcels.push_front(body);
    }

    /// The bytes that are not in the ring yet.
    #[inline]
    pub fn unsent(&self) -> &[u8] {
        &self.bytes[self.taken..]
    }

    /// `count` of them are now.
    pub fn advance(&mut self, count: usize) {
        self.run = None;
        self.taken += count;
        debug_assert!(self.taken <= self.bytes.len());
        if self.taken == self.bytes.len() {
            self.taken = 0;
            self.bytes.clear();
            if self.bytes.capacity() > RETAINED_BYTES_MAX {
                self.bytes = Vec::new();
            }
        } else if self.taken > COMPACT_BYTES {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
    }
}

/// Capacity an empty outbox keeps, in bytes.
const RETAINED_BYTES_MAX: usize = 1024 * 1024;
/// Sent bytes at the front of an outbox before the rest is moved down.
const COMPACT_BYTES: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_survive_the_way() {
        let message = MessageRecord {
            account: 3,
            plain: true,
            hops: 1,
            origin: 77,
            subject: b"a.b",
            shown: b"",
            reply_len: 1,
            header_len: Some(12),
            body_len: 14,
            tail: Some(b" r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n"),
            queues: b"",
        };
        let mut out = Vec::new();
        put_message(&mut out, &message, [&b"q1"[..], b"q2"].into_iter());
        put_interest(&mut out, 9, 0, 2, b"foo.*", b"q");
        put_applied(&mut out, 9);
        put_slow(&mut out, 5);
        put_recovered(&mut out);

        let len = record_len(&out).expect("head");
        let Some(Record::Message(decoded)) = decode(&out[..len]) else {
            panic!("a message")
        };
        assert_eq!(queues(decoded.queues).collect::<Vec<_>>(), [b"q1", b"q2"]);
        assert_eq!(
            MessageRecord {
                queues: b"",
                ..decoded
            },
            message
        );

        let rest = &out[len..];
        let len = record_len(rest).expect("head");
        assert_eq!(
            decode(&rest[..len]),
            Some(Record::Interest {
                sequence: 9,
                account: 0,
                weight: 2,
                pattern: b"foo.*",
                queue: b"q"
            })
        );
        let rest = &rest[len..];
        let len = record_len(rest).expect("head");
        assert_eq!(decode(&rest[..len]), Some(Record::Applied { sequence: 9 }));
        let rest = &rest[len..];
        let len = record_len(rest).expect("head");
        assert_eq!(decode(&rest[..len]), Some(Record::Slow { origin: 5 }));
        assert_eq!(decode(&rest[len..]), Some(Record::Recovered));
    }

    fn run_items<'a>(record: &Record<'a>) -> Vec<RunItem<'a>> {
        let Record::Run(run) = record else {
            panic!("a run, not {record:?}")
        };
        run.items().collect()
    }

    /// The records of an outbox, decoded.
    fn records(stream: &[u8]) -> Vec<Record<'_>> {
        let mut records = Vec::new();
        let mut rest = stream;
        while let Some(len) = record_len(rest) {
            records.push(decode(&rest[..len]).expect("a record"));
            rest = &rest[len..];
        }
        assert!(rest.is_empty());
        records
    }

    fn item(tail: &[u8]) -> RunItem<'_> {
        RunItem {
            reply_len: 0,
            header_len: None,
            body_len: tail.len() - 6,
            tail,
        }
    }

    #[test]
    fn messages_of_one_publisher_on_one_subject_share_a_record() {
        let (first, second) = (item(b" 2\r\nab\r\n"), item(b" 0\r\n\r\n"));
        let third = RunItem {
            reply_len: 1,
            header_len: Some(12),
            body_len: 14,
            tail: b" r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n",
        };
        let mut outbox = Outbox::default();
        for item in [&first, &second, &third] {
            outbox.push_plain(1, 7, b"a.b", item);
        }
        let records = records(outbox.unsent());
        assert_eq!(records.len(), 1);
        assert_eq!(run_items(&records[0]), [first, second, third]);
        let Record::Run(run) = records[0] else {
            panic!("a run")
        };
        assert_eq!((run.account, run.origin, run.subject), (1, 7, &b"a.b"[..]));
        assert!(run.count_max() >= 3);
    }

    #[test]
    fn what_differs_or_comes_between_starts_another_record() {
        let item = item(b" 2\r\nab\r\n");
        let mut outbox = Outbox::default();
        outbox.push_plain(1, 7, b"a.b", &item);
        outbox.push_plain(1, 7, b"a", &item);
        outbox.push_plain(1, 7, b"a.b", &item);
        outbox.push_plain(1, 8, b"a.b", &item);
        outbox.push_plain(2, 8, b"a.b", &item);
        put_applied(outbox.stream(), 1);
        outbox.push_plain(2, 8, b"a.b", &item);
        assert_eq!(records(outbox.unsent()).len(), 7);
    }

    #[test]
    fn a_run_of_which_a_byte_is_taken_grows_no_more() {
        let item = item(b" 2\r\nab\r\n");
        let mut outbox = Outbox::default();
        outbox.push_plain(1, 7, b"a.b", &item);
        let mut ring = outbox.unsent()[..5].to_vec();
        outbox.advance(5);
        outbox.push_plain(1, 7, b"a.b", &item);
        ring.extend_from_slice(outbox.unsent());
        let records = records(&ring);
        assert_eq!(records.len(), 2);
        assert_eq!(run_items(&records[0]), [item]);
        assert_eq!(run_items(&records[1]), [item]);
    }

    #[test]
    fn a_run_is_bounded() {
        let tail = [&b" 100\r\n"[..], &[b'x'; 100], b"\r\n"].concat();
        let item = RunItem {
            body_len: 100,
            ..item(&tail)
        };
        let mut outbox = Outbox::default();
        for _ in 0..1000 {
            outbox.push_plain(1, 7, b"a.b", &item);
        }
        let stream = outbox.unsent();
        let records = records(stream);
        assert_eq!(
            records.iter().map(|r| run_items(r).len()).sum::<usize>(),
            1000
        );
        let longest = RUN_BYTES_MAX + RUN_ITEM_HEAD + tail.len();
        assert!(record_len(stream).is_some_and(|len| len < longest));
    }

    #[test]
    fn a_cut_record_does_not_decode() {
        let mut out = Vec::new();
        put_interest(&mut out, 9, 0, 2, b"foo.*", b"q");
        for cut in 0..out.len() {
            assert_eq!(decode(&out[..cut]), None, "cut at {cut}");
        }
    }

    #[test]
    fn an_outbox_gives_its_bytes_in_order() {
        let mut outbox = Outbox::default();
        outbox.stream().extend_from_slice(b"hello");
        outbox.advance(2);
        outbox.stream().extend_from_slice(b" world");
        assert_eq!(outbox.unsent(), b"llo world");
        outbox.advance(9);
        assert!(outbox.is_empty());
    }
}
