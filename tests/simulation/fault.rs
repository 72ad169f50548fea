//! Links that break a promise, to show that the checker notices.

use ringwire::broker::wire::{self, Record};

/// What a broken link does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// One message vanishes.
    DropMessage,
    /// One message overtakes the next of its publisher.
    SwapMessages,
    /// One message comes twice.
    RepeatMessage,
    /// Interest is acknowledged before it was applied, so PONGs come early.
    EarlyApplied,
}

/// Added to acknowledged sequence numbers: more interest than a run has.
const EARLY_BY: u64 = 1_000_000;

/// Cuts a stream of records and passes it on with a fault.
pub struct FaultyStream {
    fault: Fault,
    /// Messages until the fault happens.
    countdown: u32,
    /// Beginning of a record.
    input: Vec<u8>,
    /// A message that waits to be overtaken.
    held: Option<(u64, Vec<u8>)>,
}

impl FaultyStream {
    /// A stream that does wrong with its `countdown`th message.
    pub fn new(fault: Fault, countdown: u32) -> Self {
        Self {
            fault,
            countdown,
            input: Vec::new(),
            held: None,
        }
    }

    /// Appends what becomes of `bytes` to `output`.
    pub fn feed(&mut self, bytes: &[u8], output: &mut Vec<u8>) {
        self.input.extend_from_slice(bytes);
        let input = std::mem::take(&mut self.input);
        let mut rest = &input[..];
        while let Some(record) = wire::record_len(rest).and_then(|len| rest.get(..len)) {
            rest = &rest[record.len()..];
            self.pass(record, output);
        }
        self.input = rest.to_vec();
    }

    fn pass(&mut self, record: &[u8], output: &mut Vec<u8>) {
        match wire::decode(record) {
            Some(Record::Applied { sequence }) if self.fault == Fault::EarlyApplied => {
                wire::put_applied(output, sequence + EARLY_BY);
            }
            // Parcels travel in their own order; their records stay in place.
            Some(Record::Message(message)) if message.tail.is_some() => {
                self.pass_message(message.origin, record, output);
            }
            _ => output.extend_from_slice(record),
        }
    }

    fn pass_message(&mut self, origin: u64, record: &[u8], output: &mut Vec<u8>) {
        self.countdown = self.countdown.saturating_sub(1);
        let strikes = self.countdown == 0;
        if strikes {
            self.countdown = u32::MAX;
        }
        match self.fault {
            Fault::DropMessage if strikes => {}
            Fault::RepeatMessage if strikes => {
                output.extend_from_slice(record);
                output.extend_from_slice(record);
            }
            Fault::SwapMessages if strikes => self.held = Some((origin, record.to_vec())),
            _ => {
                output.extend_from_slice(record);
                if let Some((_, held)) = self.held.take_if(|(other, _)| *other == origin) {
                    output.extend_from_slice(&held);
                }
            }
        }
    }
}
