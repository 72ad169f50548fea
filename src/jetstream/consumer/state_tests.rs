use proptest::prelude::*;

use super::*;

fn numbers(state: &State) -> (u64, u64, u64, u64) {
    (
        state.delivered.consumer,
        state.delivered.stream,
        state.floor.consumer,
        state.floor.stream,
    )
}

fn pending(state: &State) -> Vec<(u64, u64, u32)> {
    state
        .pending
        .iter()
        .map(|e| (e.stream_sequence, e.consumer_sequence, e.deliveries))
        .collect()
}

/// Asked of nats-server 2.15.1: two messages run out of deliveries, then 3 and 4 are delivered
/// twice and acknowledged.
#[test]
fn floors_wait_for_everything_before_them() {
    let mut state = State::new(1);
    state.delivered(1, Some(1));
    state.delivered(2, Some(1));
    state.redelivered(1, 2);
    state.redelivered(2, 2);
    assert_eq!(numbers(&state), (4, 2, 0, 0));
    assert_eq!(state.pending.redelivered(), 2);
    state.exhausted(1);
    state.exhausted(2);
    state.delivered(3, Some(3));
    state.delivered(4, Some(3));
    assert_eq!(numbers(&state), (6, 4, 0, 0));
    assert_eq!(state.pending.len(), 2);
    state.redelivered(3, 4);
    state.redelivered(4, 4);
    assert_eq!(state.pending.redelivered(), 4);
    state.acked(3);
    state.acked(4);
    assert_eq!(numbers(&state), (8, 4, 8, 4));
    assert_eq!(state.pending.redelivered(), 2);
    assert!(state.acked(1).is_none());
    assert!(state.pending.forget_exhausted(1));
    assert_eq!(state.pending.redelivered(), 1);
}

#[test]
fn deliveries_without_acknowledgement_take_the_floor_along() {
    let mut state = State::new(5);
    assert_eq!(numbers(&state), (0, 4, 0, 4));
    state.delivered(7, None);
    assert_eq!(numbers(&state), (1, 7, 1, 7));
}

#[test]
fn damaged_snapshots_are_refused() {
    assert_eq!(decode(b"", 0).unwrap_err(), SavedError::Malformed);
    assert_eq!(decode(b"\x09", 0).unwrap_err(), SavedError::Version(9));
    let mut bytes = Vec::new();
    encode(&mut bytes, b"{}", 5, &State::new(1), 1, &VecDeque::new());
    for end in 1..bytes.len() {
        assert!(decode(&bytes[..end], 0).is_err(), "{end}");
    }
    bytes.push(0);
    assert!(decode(&bytes, 0).is_err());
}

#[derive(Clone, Debug)]
enum Step {
    Deliver(u64),
    Redeliver(usize),
    Ack(usize),
    AckUpTo(usize),
    Exhaust(usize),
    Reset(u64),
    Pass(u64),
    Snapshot,
    Save,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1u64..4).prop_map(Step::Deliver),
        2 => any::<usize>().prop_map(Step::Redeliver),
        4 => any::<usize>().prop_map(Step::Ack),
        1 => any::<usize>().prop_map(Step::AckUpTo),
        1 => any::<usize>().prop_map(Step::Exhaust),
        1 => (1u64..20).prop_map(Step::Reset),
        1 => (1u64..4).prop_map(Step::Pass),
        1 => Just(Step::Snapshot),
        2 => Just(Step::Save),
    ]
}

proptest! {
    /// Whatever happens, and wherever snapshots and saves fall: a restart finds what was there
    /// at the last save.
    #[test]
    fn a_restart_finds_what_was_saved(steps in proptest::collection::vec(step(), 1..120)) {
        let mut state = State::new(1);
        let mut changes = Changes::default();
        let mut next = 1u64;
        let mut snapshot = Vec::new();
        encode(&mut snapshot, b"cfg", 7, &state, next, &VecDeque::new());
        let mut journal: Vec<Vec<u8>> = Vec::new();
        let pick = |state: &State, at: usize| {
            let all: Vec<u64> = state.pending.iter().map(|e| e.stream_sequence).collect();
            (!all.is_empty()).then(|| all[at % all.len()])
        };
        for step in steps.into_iter().chain([Step::Save]) {
            match step {
                Step::Deliver(gap) => {
                    let sequence = next + gap - 1;
                    state.delivered(sequence, Some(9));
                    changes.delivered(sequence);
                    next = sequence + 1;
                }
                Step::Redeliver(at) => {
                    if let Some(sequence) = pick(&state, at) {
                        state.redelivered(sequence, 9);
                        changes.redelivered(sequence);
                    }
                }
                Step::Ack(at) => {
                    if let Some(sequence) = pick(&state, at) {
                        state.acked(sequence);
                        changes.acked(sequence);
                    }
                }
                Step::AckUpTo(at) => {
                    if let Some(sequence) = pick(&state, at) {
                        // Any number may come in a subject.
                        let to = Sequences {
                            consumer: at as u64 % 200,
                            stream: sequence,
                        };
                        state.acked_up_to(to, |_| {});
                        changes.acked_up_to(to);
                    }
                }
                Step::Exhaust(at) => {
                    if let Some(sequence) = pick(&state, at) {
                        state.exhausted(sequence);
                        changes.exhausted(sequence);
                    }
                }
                Step::Reset(to) => {
                    state.reset(to);
                    changes.reset(to);
                    next = to;
                }
                Step::Pass(gap) => {
                    next += gap;
                    state.passed(next);
                    changes.passed(next);
                }
                Step::Snapshot => {
                    changes.clear();
                    journal.clear();
                    snapshot.clear();
                    encode(&mut snapshot, b"cfg", 7, &state, next, &VecDeque::new());
                }
                Step::Save => {
                    journal.push(changes.bytes().to_vec());
                    changes.clear();
                    let mut saved = decode(&snapshot, 9).unwrap();
                    for piece in &journal {
                        saved.replay(piece, true, 9).unwrap();
                    }
                    prop_assert_eq!(numbers(&saved.state), numbers(&state));
                    prop_assert_eq!(pending(&saved.state), pending(&state));
                    prop_assert!(saved.state.pending.exhausted().eq(state.pending.exhausted()));
                    prop_assert_eq!(saved.next, next);
                    prop_assert_eq!(&saved.config, b"cfg");
                    prop_assert_eq!(saved.created_unix_ns, 7);
                    // No floor is above a message that is still pending.
                    if let Some(first) = state.pending.first() {
                        prop_assert!(state.floor.stream < first.stream_sequence);
                        prop_assert!(state.floor.consumer < first.consumer_sequence);
                    }
                }
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        let mut versioned = vec![VERSION];
        versioned.extend_from_slice(&bytes);
        let _ = decode(&versioned, 0);
        // Runs of any length would be walked through; they come from our own journal only.
        if !bytes.contains(&DELIVERED) && !bytes.contains(&ACKED) {
            let _ = Saved::default().replay(&bytes, true, 0);
        }
    }
}
