//! Codes of close frames (RFC 6455, section 7.4).

/// The connection ends as it should.
pub const NORMAL: u16 = 1000;
/// The server goes away, or the connection does not work any more.
pub const GOING_AWAY: u16 = 1001;
/// The client does not follow the protocol.
pub const PROTOCOL_ERROR: u16 = 1002;
/// The text of a frame is none.
pub const INVALID_PAYLOAD: u16 = 1007;
/// The client may not do this.
pub const POLICY_VIOLATION: u16 = 1008;
/// A message is too long.
pub const MESSAGE_TOO_BIG: u16 = 1009;
/// Anything else.
pub const INTERNAL_ERROR: u16 = 1011;
/// The TLS handshake failed; never on the wire by the RFC, but nats-server sends it.
pub const TLS_HANDSHAKE: u16 = 1015;

/// Whether a client may send this code.
pub fn is_valid(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}
