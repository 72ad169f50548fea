//! Options: the configuration language of nats-server, flags, reload.
