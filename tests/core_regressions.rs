//! Bugs that were found once, as short scripts for one or two cores.

use std::sync::Arc;

use ringwire::broker::{Core, CoreId, Effect, Now, Settings};

const MAX_PENDING: usize = 64 * 1024;
const CONNECT: &str = "CONNECT {\"verbose\":false,\"pedantic\":false,\"protocol\":1}\r\n";

fn core(id: u8, cores: usize) -> Core {
    let settings = Settings {
        max_pending: MAX_PENDING,
        ..Settings::default()
    };
    let mut core = Core::new(CoreId(id), cores, Arc::new(settings), 7);
    core.begin_turn(Now {
        mono_ns: 1_000_000_000,
        unix_ns: 0,
    });
    core
}

/// Connects a client and throws the greeting away.
fn client(core: &mut Core, cid: u64) -> u32 {
    let slot = core.connect(cid, ([127, 0, 0, 1], 4000).into(), None);
    core.receive(slot, CONNECT.as_bytes());
    output(core, slot);
    slot
}

/// Everything that waits for a client, taken by its socket.
fn output(core: &mut Core, slot: u32) -> String {
    let mut text = Vec::new();
    while let Some(batch) = core.take_batch(slot) {
        text.extend(batch.to_vec());
        let sent = batch.len();
        core.sent(slot, batch, Ok(sent));
    }
    String::from_utf8(text).expect("ASCII")
}

/// Moves all records and bodies from one core to another.
fn carry(from: &mut Core, to: &mut Core) {
    from.finish_turn();
    let sender = from.id();
    let outbox = from.outbox(to.id());
    while let Some(body) = outbox.next_parcel() {
        to.receive_parcel(sender, body);
    }
    let bytes = outbox.unsent().to_vec();
    outbox.advance(bytes.len());
    assert_eq!(to.receive_records(sender, &bytes), bytes.len());
}

fn publish(subject: &str, size: usize) -> String {
    format!("PUB {subject} {size}\r\n{}\r\n", "x".repeat(size))
}

fn effects(core: &mut Core) -> Vec<&'static str> {
    let mut effects = Vec::new();
    core.take_effects(&mut effects);
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Pause { .. } => Some("pause"),
            Effect::Resume { .. } => Some("resume"),
            Effect::Close { .. } => Some("close"),
            _ => None,
        })
        .collect()
}

#[test]
fn the_second_subscriber_of_a_pattern_waits_for_the_first_ones_announcement() {
    let (mut a, mut b) = (core(0, 2), core(1, 2));
    let (first, second) = (client(&mut a, 1), client(&mut a, 2));
    a.receive(first, b"SUB foo 1\r\n");
    a.receive(second, b"SUB foo 1\r\nPING\r\n");
    assert_eq!(output(&mut a, second), "", "core 1 knows nothing yet");
    carry(&mut a, &mut b);
    carry(&mut b, &mut a);
    assert!(output(&mut a, second).starts_with("PONG\r\n"));
}

#[test]
fn a_burst_piles_up_no_more_than_the_limit_before_the_cut() {
    // One core lets no more than the limit go at a time; two do together.
    let (mut a, mut b, mut c) = (core(0, 3), core(1, 3), core(2, 3));
    let reader = client(&mut a, 1);
    a.receive(reader, b"SUB foo 1\r\n");
    for (cid, writers) in [(2, &mut b), (3, &mut c)] {
        carry(&mut a, writers);
        let writer = client(writers, cid);
        writers.receive(writer, publish("foo", 1000).repeat(300).as_bytes());
    }
    carry(&mut b, &mut a);
    carry(&mut c, &mut a);
    let mut effects = Vec::new();
    a.take_effects(&mut effects);
    let pending = effects.iter().find_map(|effect| match effect {
        Effect::Closed(snapshot) => Some(snapshot.figures.pending_bytes as usize),
        _ => None,
    });
    let pending = pending.expect("the reader is cut off");
    assert!(
        pending > MAX_PENDING && pending < MAX_PENDING + 1100,
        "{pending}"
    );
    assert_eq!(a.counters().slow_consumers, 1);
}

#[test]
fn what_a_paused_client_sent_before_it_closed_is_carried_out() {
    let (mut a, mut b) = (core(0, 2), core(1, 2));
    let reader = client(&mut b, 1);
    b.receive(reader, b"SUB big 1\r\nSUB last 2\r\n");
    carry(&mut b, &mut a);
    let writer = client(&mut a, 2);
    let count = a.outbox_pause_bytes() / 100_000 + 2;
    let burst = publish("big", 100_000).repeat(count) + &publish("last", 1);
    a.receive(writer, burst.as_bytes());
    assert_eq!(effects(&mut a), ["pause"]);
    a.receive_ended(writer, None);
    assert_eq!(effects(&mut a), [""; 0], "not closed yet");
    while !a.outbox(CoreId(1)).is_empty() {
        let outbox = a.outbox(CoreId(1));
        while outbox.next_parcel().is_some() {}
        let count = outbox.unsent().len();
        let last = outbox.unsent().windows(4).any(|four| four == b"last");
        outbox.advance(count);
        assert!(a.outboxes_drained() || last);
    }
    assert_eq!(effects(&mut a), ["close"]);
    assert_eq!(a.counters().received.messages, count as u64 + 1);
}

#[test]
fn a_publisher_that_goes_on_after_its_pause_asks_for_another_turn() {
    let (mut a, mut b) = (core(0, 2), core(1, 2));
    let reader = client(&mut b, 1);
    b.receive(reader, b"SUB big 1\r\n");
    carry(&mut b, &mut a);
    let writer = client(&mut a, 2);
    let count = a.outbox_pause_bytes() / 100_000 + 1;
    let burst = publish("big", 100_000).repeat(count) + "PING\r\n";
    a.receive(writer, burst.as_bytes());
    assert_eq!(effects(&mut a), ["pause"]);
    carry(&mut a, &mut b);
    // Without another turn, nobody would send the PONG.
    assert!(a.outboxes_drained());
    assert!(output(&mut a, writer).starts_with("PONG\r\n"));
    assert!(!a.outboxes_drained());
}

#[test]
fn a_stalled_publisher_goes_on_as_soon_as_its_reader_recovered() {
    let mut core = core(0, 1);
    let (reader, writer) = (client(&mut core, 1), client(&mut core, 2));
    core.receive(reader, b"SUB foo 1\r\n");
    let mut sent = 0;
    while effects(&mut core) != ["pause"] {
        core.receive(writer, publish("foo", 1000).as_bytes());
        sent += 1;
        assert!(sent * 1000 < MAX_PENDING, "stalled before the cut");
    }
    output(&mut core, reader);
    assert_eq!(effects(&mut core), ["resume"]);
}

#[test]
fn a_client_that_pings_and_never_reads_is_cut_off_at_its_limit() {
    let mut core = core(0, 1);
    let flood = client(&mut core, 1);
    core.receive(flood, b"PING\r\n");
    output(&mut core, flood);
    core.receive(flood, "PING\r\n".repeat(MAX_PENDING / 6).as_bytes());
    assert_eq!(effects(&mut core), [""; 0]);
    core.receive(flood, "PING\r\n".repeat(2).as_bytes());
    assert_eq!(effects(&mut core), ["close"]);
    assert_eq!(core.counters().slow_consumers, 1);
}

#[test]
fn what_follows_a_ping_that_waits_for_other_cores_is_bounded() {
    let mut core = core(0, 2);
    let flood = client(&mut core, 1);
    core.receive(flood, b"SUB foo 1\r\nPING\r\n");
    core.receive(flood, "PING\r\n".repeat(64 * 1024 / 6).as_bytes());
    assert_eq!(effects(&mut core), [""; 0]);
    core.receive(flood, b"PING\r\n");
    assert_eq!(effects(&mut core), ["pause"]);
}
