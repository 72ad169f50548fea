//! Connections to a server: who we are, TLS, the handshake, the protocol, and
//! the event loop that drives many of them.

pub mod credentials;
pub mod handshake;
pub mod net;
pub mod protocol;
pub mod transport;
