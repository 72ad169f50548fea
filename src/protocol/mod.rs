//! Wire codec of the NATS client protocol.
