//! What was asked of the server and what it promised, and the checks of that.

use std::collections::{BTreeMap, BTreeSet};

/// A stream of a run, with its one durable consumer.
#[derive(Clone, Debug)]
pub struct StreamPlan {
    pub name: String,
    pub work_queue: bool,
    pub discard_new: bool,
    pub max_msgs: Option<usize>,
    pub max_per_subject: Option<usize>,
    pub ack_all: bool,
}

impl StreamPlan {
    /// The request that makes it.
    pub fn create(&self) -> String {
        let (name, limit) = (&self.name, |n: Option<usize>| n.map_or(-1, |n| n as i64));
        let retention = if self.work_queue {
            "workqueue"
        } else {
            "limits"
        };
        let discard = if self.discard_new { "new" } else { "old" };
        format!(
            "{{\"name\":\"{name}\",\"subjects\":[\"{name}.*\"],\"retention\":\"{retention}\",\
             \"discard\":\"{discard}\",\"max_msgs\":{},\"max_msgs_per_subject\":{},\
             \"storage\":\"file\",\"allow_direct\":true}}",
            limit(self.max_msgs),
            limit(self.max_per_subject)
        )
    }

    /// The request that makes its consumer.
    pub fn create_consumer(&self, ack_wait_ns: u64) -> String {
        let policy = if self.ack_all { "all" } else { "explicit" };
        format!(
            "{{\"stream_name\":\"{}\",\"config\":{{\"durable_name\":\"C\",\
             \"ack_policy\":\"{policy}\",\"ack_wait\":{ack_wait_ns},\"max_ack_pending\":40}}}}",
            self.name
        )
    }
}

/// A message that a client published, once or (with an id) several times.
#[derive(Clone, Debug)]
pub struct Published {
    pub stream: usize,
    pub subject: String,
    pub id: Option<String>,
    pub payload: Vec<u8>,
    /// Connection of the only attempt; `None` if there were several.
    pub connection: Option<usize>,
    /// As the server said it: in an acknowledgement, a delivery or an audit.
    pub sequence: Option<u64>,
    pub acknowledged: bool,
    pub deliveries: u32,
    /// The consumer has sent an acknowledgement.
    pub ack_sent: bool,
    /// When the server confirmed one.
    pub ack_confirmed: Option<u64>,
}

/// What an audit found of a stream.
#[derive(Debug, Default)]
pub struct Audit {
    pub messages: usize,
    pub first: u64,
    pub last: u64,
    /// By sequence: subject and payload.
    pub stored: BTreeMap<u64, (String, Vec<u8>)>,
    pub ack_floor: u64,
    pub delivered: u64,
    pub pending: u64,
    pub ack_pending: u64,
}

/// The history of a run.
pub struct Model {
    pub streams: Vec<StreamPlan>,
    pub published: Vec<Published>,
    sequences: BTreeMap<(usize, u64), usize>,
    /// By stream: the highest sequence whose acknowledgement stands for all before.
    pub sent_up_to: Vec<u64>,
}

impl Model {
    /// Nothing has happened.
    pub fn new(streams: Vec<StreamPlan>) -> Self {
        Self {
            sent_up_to: vec![0; streams.len()],
            streams,
            published: Vec::new(),
            sequences: BTreeMap::new(),
        }
    }

    /// The message of this payload.
    pub fn find(&self, payload: &[u8]) -> Result<usize, String> {
        let number = payload.split(|&b| b == b':').next();
        number
            .and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok())
            .filter(|&at: &usize| self.published.get(at).is_some_and(|m| m.payload == payload))
            .ok_or_else(|| {
                let shown = String::from_utf8_lossy(&payload[..payload.len().min(40)]);
                format!("a payload that nobody sent: {shown:?}")
            })
    }

    /// The server says that message `at` has this sequence.
    pub fn has_sequence(&mut self, at: usize, sequence: u64) -> Result<(), String> {
        let message = &mut self.published[at];
        if let Some(before) = message.sequence
            && before != sequence
        {
            return Err(format!("message {at} is {sequence} and was {before}"));
        }
        message.sequence = Some(sequence);
        let key = (message.stream, sequence);
        match self.sequences.insert(key, at) {
            Some(other) if other != at => Err(format!(
                "sequence {sequence} is message {at} and was message {other}"
            )),
            _ => Ok(()),
        }
    }

    /// The message of a sequence, if it is known.
    pub fn of_sequence(&self, stream: usize, sequence: u64) -> Option<usize> {
        self.sequences.get(&(stream, sequence)).copied()
    }

    /// Acknowledgement of everything up to a sequence, or of that alone. Returns whom it is for.
    pub fn covered(&self, stream: usize, sequence: u64) -> Vec<usize> {
        let from = if self.streams[stream].ack_all {
            0
        } else {
            sequence
        };
        self.sequences
            .range((stream, from)..=(stream, sequence))
            .map(|(_, &at)| at)
            .collect()
    }

    /// Compares what is there with what must and may be.
    pub fn check(&mut self, stream: usize, audit: &Audit) -> Result<(), String> {
        let plan = self.streams[stream].clone();
        let name = &plan.name;
        if audit.messages != audit.stored.len() {
            return Err(format!(
                "{name}: {} messages, {} can be read",
                audit.messages,
                audit.stored.len()
            ));
        }
        let mut seen = BTreeSet::new();
        let mut subjects: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        let mut newest: BTreeMap<usize, (usize, u64)> = BTreeMap::new();
        for (&sequence, (subject, payload)) in &audit.stored {
            let at = self.find(payload)?;
            if !seen.insert(at) {
                return Err(format!("{name}: message {at} is there twice"));
            }
            let message = &self.published[at];
            if message.subject != *subject || message.stream != stream {
                return Err(format!("{name}: message {at} is on {subject}"));
            }
            if let Some(connection) = message.connection {
                if let Some(&(before, other)) = newest.get(&connection)
                    && before > at
                {
                    return Err(format!(
                        "{name}: message {at} is {sequence}, message {before} of the same \
                         publisher, sent later, is {other}"
                    ));
                }
                newest.insert(connection, (at, sequence));
            }
            subjects.entry(subject).or_default().push(sequence);
        }
        for (&sequence, (_, payload)) in &audit.stored {
            let at = self.find(payload)?;
            self.has_sequence(at, sequence)?;
        }
        if plan.max_msgs.is_some_and(|most| audit.messages > most) {
            return Err(format!("{name}: {} messages", audit.messages));
        }
        if let Some(most) = plan.max_per_subject
            && let Some((subject, some)) = subjects.iter().find(|(_, some)| some.len() > most)
        {
            return Err(format!("{name}: {} messages on {subject}", some.len()));
        }
        self.check_present(stream, &plan, audit, &subjects)?;
        self.check_consumer(stream, &plan, audit)
    }

    /// What the server promised to keep is there, or there is a reason.
    fn check_present(
        &self,
        stream: usize,
        plan: &StreamPlan,
        audit: &Audit,
        subjects: &BTreeMap<&str, Vec<u64>>,
    ) -> Result<(), String> {
        let name = &plan.name;
        for (at, message) in self.published.iter().enumerate() {
            let Some(sequence) = message.sequence.filter(|_| message.stream == stream) else {
                continue;
            };
            if sequence > audit.last {
                return Err(format!(
                    "{name}: message {at} has sequence {sequence}, the last is {}",
                    audit.last
                ));
            }
            if audit.stored.contains_key(&sequence) {
                if plan.work_queue && message.ack_confirmed.is_some() {
                    return Err(format!(
                        "{name}: message {at} ({sequence}) was acknowledged and is there"
                    ));
                }
                continue;
            }
            let newer = audit.stored.range(sequence..).count();
            let newer_on_subject = subjects.get(message.subject.as_str()).map_or(0, |some| {
                some.iter().filter(|&&other| other > sequence).count()
            });
            let excused = plan.work_queue
                && (message.ack_sent || plan.ack_all && sequence <= self.sent_up_to[stream])
                || !plan.discard_new && plan.max_msgs.is_some_and(|most| newer >= most)
                || plan
                    .max_per_subject
                    .is_some_and(|most| newer_on_subject >= most);
            if !excused {
                return Err(format!(
                    "{name}: message {at} ({sequence}) is lost: {message:?}"
                ));
            }
        }
        Ok(())
    }

    fn check_consumer(
        &self,
        stream: usize,
        plan: &StreamPlan,
        audit: &Audit,
    ) -> Result<(), String> {
        let name = &plan.name;
        for &sequence in audit.stored.range(..=audit.ack_floor).map(|(s, _)| s) {
            let at = self.of_sequence(stream, sequence);
            let all = plan.ack_all && sequence <= self.sent_up_to[stream];
            if !all && !at.is_some_and(|at| self.published[at].ack_sent) {
                return Err(format!(
                    "{name}: the floor is {}, and nobody acknowledged {sequence}",
                    audit.ack_floor
                ));
            }
        }
        let pending = audit.stored.range(audit.delivered + 1..).count() as u64;
        if pending != audit.pending {
            return Err(format!(
                "{name}: num_pending is {}, {pending} are behind {}",
                audit.pending, audit.delivered
            ));
        }
        Ok(())
    }
}
