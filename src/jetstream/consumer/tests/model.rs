//! Random work against a naive model: messages come, are delivered, acknowledged, refused,
//! removed and purged while time passes.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const SUBJECTS: [&str; 3] = ["s.0", "s.1", "t.0"];
const MAX_ACK_PENDING: usize = 6;
const MAX_DELIVER: u64 = 4;

#[derive(Clone, Debug)]
enum Step {
    Publish(usize),
    Pull { batch: u64, no_wait: bool },
    Ack(usize),
    Nak(usize),
    NakLater(usize),
    Term(usize),
    Progress(usize),
    Pass(u64),
    Remove(usize),
    Purge(usize),
    Update(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..SUBJECTS.len()).prop_map(Step::Publish),
        6 => (1u64..5, any::<bool>()).prop_map(|(batch, no_wait)| Step::Pull { batch, no_wait }),
        5 => any::<usize>().prop_map(Step::Ack),
        2 => any::<usize>().prop_map(Step::Nak),
        1 => any::<usize>().prop_map(Step::NakLater),
        1 => any::<usize>().prop_map(Step::Term),
        1 => any::<usize>().prop_map(Step::Progress),
        3 => (1u64..1500).prop_map(|ms| Step::Pass(ms * 1_000_000)),
        2 => any::<usize>().prop_map(Step::Remove),
        1 => any::<usize>().prop_map(Step::Purge),
        1 => any::<usize>().prop_map(Step::Update),
    ]
}

const FILTERS: [&str; 4] = [
    "",
    r#","filter_subject":"s.0""#,
    r#","filter_subject":"s.*""#,
    r#","filter_subjects":["s.1","t.*"]"#,
];

fn passes(filter: usize, subject: &str) -> bool {
    match filter {
        0 => true,
        1 => subject == "s.0",
        2 => subject.starts_with("s."),
        _ => subject != "s.0",
    }
}

/// What is known from outside.
#[derive(Default)]
struct Model {
    filter: usize,
    /// Messages that exist.
    log: BTreeMap<u64, &'static str>,
    /// Highest sequence delivered.
    last: u64,
    /// Delivered, neither acknowledged nor given up; with the number of deliveries.
    pending: BTreeMap<u64, u64>,
    /// Acknowledged, or not to be delivered again.
    done: BTreeSet<u64>,
    given_up: BTreeSet<u64>,
    ever_given_up: bool,
    /// Everything up to here was passed over by a purge.
    passed: u64,
}

impl Model {
    fn to_come(&self) -> u64 {
        let next = self.last.max(self.passed) + 1;
        self.log
            .range(next..)
            .filter(|(_, subject)| passes(self.filter, subject))
            .count() as u64
    }

    /// Takes in what was sent.
    fn deliver(&mut self, sent: &[Sent]) -> Result<(), TestCaseError> {
        for message in sent.iter().filter(|message| message.header.is_empty()) {
            let tokens: Vec<u64> = message
                .reply
                .split('.')
                .skip(4)
                .map(|token| token.parse().unwrap())
                .collect();
            let (deliveries, sequence) = (tokens[0], tokens[1]);
            prop_assert!(self.log.contains_key(&sequence), "gone: {sequence}");
            prop_assert!(!self.done.contains(&sequence), "again: {sequence}");
            if deliveries == 1 {
                prop_assert!(sequence > self.last, "out of order: {sequence}");
                prop_assert!(passes(self.filter, self.log[&sequence]));
                self.last = sequence;
                prop_assert_eq!(tokens[4], self.to_come());
            } else {
                prop_assert_eq!(self.pending.get(&sequence), Some(&(deliveries - 1)));
                prop_assert!(deliveries <= MAX_DELIVER);
            }
            self.pending.insert(sequence, deliveries);
        }
        Ok(())
    }

    fn take_events(&mut self, events: Vec<EventKind>) {
        for event in events {
            if let EventKind::MaxDeliveries {
                stream_sequence,
                deliveries,
            } = event
            {
                assert_eq!(deliveries, MAX_DELIVER);
                assert_eq!(self.pending.remove(&stream_sequence), Some(MAX_DELIVER));
                self.given_up.insert(stream_sequence);
                self.ever_given_up = true;
                self.done.insert(stream_sequence);
            }
        }
    }

    fn forget(&mut self, sequence: u64) {
        self.log.remove(&sequence);
        self.pending.remove(&sequence);
        self.given_up.remove(&sequence);
    }
}

fn config(filter: usize) -> String {
    format!(
        r#"{{"durable_name":"a","ack_policy":"explicit","ack_wait":1000000000,"max_ack_pending":{MAX_ACK_PENDING},"max_deliver":{MAX_DELIVER}{}}}"#,
        FILTERS[filter]
    )
}

fn check(world: &mut World, model: &Model) -> Result<(), TestCaseError> {
    let info = world.info("a");
    prop_assert_eq!(info.num_pending, model.to_come());
    prop_assert_eq!(info.num_ack_pending, model.pending.len() as u64);
    let again = model.pending.values().filter(|&&count| count > 1).count();
    prop_assert_eq!(info.num_redelivered, (again + model.given_up.len()) as u64);
    prop_assert!(info.ack_floor.stream_seq <= info.delivered.stream_seq);
    if let Some((&first, _)) = model.pending.first_key_value() {
        prop_assert!(info.ack_floor.stream_seq < first);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_message_is_delivered_until_it_is_acknowledged(
        filter in 0..FILTERS.len(),
        journals in any::<bool>(),
        steps in proptest::collection::vec(step(), 1..80),
    ) {
        let mut world = World::new();
        world.journals = journals;
        let mut model = Model { filter, ..Model::default() };
        world.create(&config(filter));
        for step in steps {
            let pick = |at: usize, model: &Model| {
                let all: Vec<u64> = model.pending.keys().copied().collect();
                (!all.is_empty()).then(|| all[at % all.len()])
            };
            match step {
                Step::Publish(at) => {
                    let sequence = world.publish(SUBJECTS[at], "x");
                    model.log.insert(sequence, SUBJECTS[at]);
                    world.settle();
                }
                Step::Pull { batch, no_wait } => {
                    let expires = if no_wait { 0 } else { 700_000_000u64 };
                    let body = format!(
                        r#"{{"batch":{batch},"no_wait":{no_wait},"expires":{expires}}}"#
                    );
                    world.pull("a", &body, "p");
                }
                Step::Ack(at) | Step::Term(at) => {
                    if let Some(sequence) = pick(at, &model) {
                        let verb = if matches!(step, Step::Ack(_)) { "" } else { "+TERM" };
                        model.pending.remove(&sequence);
                        model.done.insert(sequence);
                        world.ack(&format!("$JS.ACK.S.a.1.{sequence}.1.1.0"), verb, "");
                    }
                }
                Step::Nak(at) | Step::NakLater(at) | Step::Progress(at) => {
                    if let Some(sequence) = pick(at, &model) {
                        let verb = match step {
                            Step::Nak(_) => "-NAK",
                            Step::NakLater(_) => "-NAK 300ms",
                            _ => "+WPI",
                        };
                        world.ack(&format!("$JS.ACK.S.a.1.{sequence}.1.1.0"), verb, "");
                    }
                }
                Step::Pass(time) => world.pass(time),
                Step::Remove(at) => {
                    let all: Vec<u64> = model.log.keys().copied().collect();
                    if !all.is_empty() {
                        let sequence = all[at % all.len()];
                        model.forget(sequence);
                        world.remove(sequence);
                    }
                }
                Step::Purge(at) => {
                    let last = world.log.last_sequence();
                    let first = at as u64 % (last + 1) + 1;
                    for sequence in 1..first {
                        model.forget(sequence);
                    }
                    world.purge(first);
                    model.passed = model.passed.max(world.log.first_sequence() - 1);
                    world.settle();
                }
                Step::Update(at) => {
                    model.filter = at % FILTERS.len();
                    world.create(&config(model.filter));
                    world.settle();
                }
            }
            let sent = world.sent();
            let events = world.events();
            model.deliver(&sent)?;
            model.take_events(events);
            prop_assert!(model.pending.len() <= MAX_ACK_PENDING);
            check(&mut world, &model)?;
        }
        // In the end everything is delivered, and acknowledged the first time it is seen.
        for _ in 0..200 {
            let waiting: Vec<u64> = model.pending.keys().copied().collect();
            if waiting.is_empty() && model.to_come() == 0 {
                break;
            }
            world.pull("a", r#"{"batch":100,"expires":1100000000}"#, "p");
            world.pass(1_100_000_000);
            let sent = world.sent();
            let events = world.events();
            model.deliver(&sent)?;
            model.take_events(events);
            prop_assert!(model.pending.len() <= MAX_ACK_PENDING);
            for message in sent.iter().filter(|message| message.header.is_empty()) {
                world.ack(&message.reply, "", "");
                let sequence = message.reply.split('.').nth(5).unwrap().parse().unwrap();
                model.pending.remove(&sequence);
                model.done.insert(sequence);
            }
            let sent = world.sent();
            let events = world.events();
            model.deliver(&sent)?;
            model.take_events(events);
            prop_assert!(model.pending.len() <= MAX_ACK_PENDING);
        }
        prop_assert_eq!(model.to_come(), 0);
        prop_assert!(model.pending.is_empty());
        let numbers = world.numbers("a");
        prop_assert_eq!(numbers[4], 0);
        prop_assert_eq!(numbers[6], 0);
        // Messages that were given up hold the floor until a later acknowledgement.
        if !model.ever_given_up {
            prop_assert_eq!(numbers[3], numbers[1]);
        }
    }
}
