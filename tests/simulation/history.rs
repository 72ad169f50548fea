//! What happened in a run, as the clients saw it.

/// Place of an event in the run's order.
pub type Stamp = u64;

/// A subscription that a client asked for. Its index is its sid.
pub struct Sub {
    pub client: usize,
    pub pattern: String,
    pub queue: Option<&'static str>,
    /// The PONG after the SUB arrived.
    pub flushed: Option<Stamp>,
    /// UNSUB with a maximum.
    pub limit: Option<u64>,
    /// Deliveries by the PONG after that UNSUB.
    pub delivered_at_limit_flush: Option<u64>,
    /// UNSUB at once.
    pub unsub_sent: Option<Stamp>,
    /// The PONG after it arrived.
    pub unsub_flushed: Option<Stamp>,
    pub deliveries: u64,
}

impl Sub {
    /// It asked for no end.
    pub fn is_lasting(&self) -> bool {
        self.limit.is_none() && self.unsub_sent.is_none()
    }

    /// Whether it wants messages to `subject`.
    pub fn matches(&self, subject: &str) -> bool {
        matches(&self.pattern, subject)
    }
}

/// A message that a client published. Its index is written in its payload.
pub struct Message {
    pub publisher: usize,
    pub subject: String,
    pub reply: Option<String>,
    pub has_header: bool,
    /// Bytes of payload, the headers not included.
    pub size: usize,
    pub sent: Stamp,
    /// A 503 came back.
    pub no_responders: bool,
    /// Copies that arrived anywhere.
    pub deliveries: u64,
}

impl Message {
    /// Headers of message `index`, if it has some.
    pub fn header(&self, index: usize) -> Vec<u8> {
        if self.has_header {
            format!("NATS/1.0\r\nNumber: {index}\r\n\r\n").into_bytes()
        } else {
            Vec::new()
        }
    }

    /// Payload of message `index`: its number, then filler that depends on it.
    pub fn payload(&self, index: usize) -> Vec<u8> {
        let mut payload = format!("{index}.").into_bytes();
        payload.resize(self.size.max(payload.len()), b'a' + (index % 26) as u8);
        payload
    }

    /// Bytes of a delivery, at most.
    pub fn delivered_bytes(&self) -> usize {
        self.size + self.subject.len() + self.reply.as_ref().map_or(0, String::len) + 128
    }
}

/// How a client ended, if it did.
#[derive(Default)]
pub struct ClientRecord {
    pub echo: bool,
    /// The sid of its inbox.
    pub inbox: Option<usize>,
    /// It closed its side in order.
    pub finished: Option<Stamp>,
    /// It vanished.
    pub reset: Option<Stamp>,
    /// The server closed it, and why.
    pub closed: Option<(Stamp, String)>,
    /// It stopped reading for good.
    pub never_reads: bool,
    /// It stopped reading for a while.
    pub stalled_once: bool,
    pub pings: u64,
}

impl ClientRecord {
    /// Present and reading until the end.
    pub fn is_healthy(&self) -> bool {
        !self.never_reads
            && self.finished.is_none()
            && self.reset.is_none()
            && self.closed.is_none()
    }

    /// All it sent was read.
    pub fn was_heard(&self) -> bool {
        self.reset.is_none()
            && self
                .closed
                .as_ref()
                .is_none_or(|(_, reason)| reason == "Client Closed" && self.finished.is_some())
    }
}

/// All of it.
#[derive(Default)]
pub struct History {
    clock: Stamp,
    pub subs: Vec<Sub>,
    pub messages: Vec<Message>,
    pub clients: Vec<ClientRecord>,
}

impl History {
    /// The place of the event that happens now.
    pub fn stamp(&mut self) -> Stamp {
        self.clock += 1;
        self.clock
    }
}

/// Matching by the book, token by token.
pub fn matches(pattern: &str, subject: &str) -> bool {
    let mut subject = subject.split('.');
    for token in pattern.split('.') {
        match (token, subject.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (token, Some(other)) if token == other => {}
            _ => return false,
        }
    }
    subject.next().is_none()
}
