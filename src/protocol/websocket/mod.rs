//! WebSocket (RFC 6455) below the client protocol, as nats-server speaks it: the HTTP upgrade, frames,
//! permessage-deflate (RFC 7692) without context takeover.
//!
//! Bytes in, values out, and back, like the rest of the codec. [`Session`] is one connection; what
//! it is made of:
//!
//! | module | task |
//! |---|---|
//! | `upgrade` | the request's head, and why it is refused |
//! | `origin` | the check of the `Origin` header |
//! | `frame` | the head of a frame, and why it is refused |
//! | `decoder` | frames to bytes: unmasking, fragments, inflating |
//! | `encoder` | bytes to frames: splitting, deflating |
//! | `close_code` | codes of close frames |
//! | `session` | these in their order |
//!
//! Where it is stricter than nats-server: the head of a request is bounded by [`HEAD_BYTES_MAX`]
//! and [`HEADERS_MAX`], a masked frame is unmasked even after `Nats-No-Masking` was agreed, and a path is
//! taken as it is (no redirection of `//` and `..`).

pub mod close_code;
mod decoder;
mod encoder;
mod frame;
pub mod origin;
mod session;
mod upgrade;

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

pub use decoder::{Decoder, Piece};
pub use encoder::{Deflater, Encoder};
pub use frame::FrameError;
pub use session::{Heard, Session};
pub use upgrade::{Cookies, HandshakeError, Malformed, Rules, Upgrade, Verdict, judge};

/// Longest head of an upgrade request, in bytes. nats-server takes a megabyte, from anybody.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Most headers of an upgrade request.
pub const HEADERS_MAX: usize = 100;
/// Longest payload of a control frame, in bytes (RFC 6455, section 5.5).
pub const CONTROL_BYTES_MAX: usize = 125;
/// Longest frame sent to a browser, in bytes of payload.
pub const BROWSER_FRAME_BYTES: usize = 4096;
/// Shorter output is sent as it is even if the client inflates, in bytes. As nats-server.
pub const DEFLATE_BYTES_MIN: usize = 65;
