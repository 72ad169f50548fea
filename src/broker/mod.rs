//! The state machine of one core: events in, effects out.
