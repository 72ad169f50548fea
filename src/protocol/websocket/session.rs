//! One connection, from the request to the last close frame.

use std::sync::Arc;

use super::HEAD_BYTES_MAX;
use super::decoder::{Decoder, Piece};
use super::encoder::{self, Deflater, Encoder};
use super::frame::FrameError;
use super::upgrade::{HandshakeError, Malformed, Rules, Upgrade, Verdict, judge};

/// Pongs that wait, in bytes, before further pings go unanswered: a client that does not read gets
/// no more of them (RFC 6455, section 5.5.3 lets the newest stand for all).
const PONG_BYTES_MAX: usize = 4096;

/// What [`Session::hear`] found.
#[derive(Debug)]
pub enum Heard<'a> {
    /// A request was refused, and that goes into the log. Another may follow.
    Refused(HandshakeError),
    /// Nothing more is read before the upgrade: the connection ends after what waits.
    Hopeless,
    /// The connection is a WebSocket now.
    Upgraded(&'a Upgrade),
    /// Bytes of the client protocol.
    Data(&'a [u8]),
    /// The client said that it closes.
    Ended,
    /// The client broke the protocol: nothing more is read.
    Failed(FrameError),
}

#[derive(Debug)]
enum State {
    /// The request has not come, or those that came were refused.
    Handshake {
        head: Vec<u8>,
        /// So many of its bytes were looked at: they are again when a line has ended, lest a client that
        /// sends them one by one costs their square.
        seen: usize,
        /// Bytes of a refused request's body that are still to come.
        body_left: u64,
    },
    Open(Box<Decoder>),
    /// Nothing is read any more.
    Deaf,
}

/// The frame that ends the session.
#[derive(Debug)]
enum Goodbye {
    /// The client began: its own payload goes back.
    Answer(Vec<u8>),
    Code(u16, String),
}

/// A server's side of a connection. What it has to say by itself waits in it for [`Session::encode`].
#[derive(Debug)]
pub struct Session {
    rules: Arc<Rules>,
    /// The bytes come by TLS.
    secure: bool,
    state: State,
    /// The connection is a WebSocket.
    upgraded: bool,
    encoder: Encoder,
    output: Vec<u8>,
    goodbye: Option<Goodbye>,
    /// The close frame was written.
    closed: bool,
}

impl Session {
    pub fn new(rules: Arc<Rules>, secure: bool) -> Self {
        Self {
            rules,
            secure,
            state: State::Handshake {
                head: Vec::new(),
                seen: 0,
                body_left: 0,
            },
            upgraded: false,
            encoder: Encoder::default(),
            output: Vec::new(),
            goodbye: None,
            closed: false,
        }
    }

    /// Bytes came from the client; they are overwritten. `date` gives the time as HTTP writes it, a
    /// compressed message may inflate to `inflated_max` bytes.
    pub fn hear(
        &mut self,
        input: &mut [u8],
        date: &dyn Fn() -> String,
        inflated_max: Option<usize>,
        mut each: impl FnMut(Heard<'_>),
    ) {
        match &mut self.state {
            State::Handshake { .. } => self.hear_requests(input, date, &mut each),
            State::Open(decoder) => {
                let (output, goodbye) = (&mut self.output, &mut self.goodbye);
                let result = decoder.decode(input, inflated_max, |piece| match piece {
                    Piece::Data(data) => each(Heard::Data(data)),
                    Piece::Ping(payload) if output.len() < PONG_BYTES_MAX => {
                        encoder::pong(payload, output);
                    }
                    Piece::Ping(_) | Piece::Pong => {}
                    Piece::Close(payload) => {
                        *goodbye = Some(Goodbye::Answer(payload.to_vec()));
                        each(Heard::Ended);
                    }
                });
                if let Err(error) = result {
                    self.goodbye = Some(Goodbye::Code(error.close_code(), error.to_string()));
                    self.state = State::Deaf;
                    each(Heard::Failed(error));
                }
            }
            State::Deaf => {}
        }
    }

    fn hear_requests(
        &mut self,
        input: &[u8],
        date: &dyn Fn() -> String,
        each: &mut impl FnMut(Heard<'_>),
    ) {
        let State::Handshake {
            head,
            seen,
            body_left,
        } = &mut self.state
        else {
            return;
        };
        head.extend_from_slice(input);
        loop {
            let skipped = head
                .len()
                .min(usize::try_from(*body_left).unwrap_or(usize::MAX));
            head.drain(..skipped);
            *body_left -= skipped as u64;
            let new = &head[(*seen).min(head.len())..];
            if !new.contains(&b'\n') && head.len() <= HEAD_BYTES_MAX {
                *seen = head.len();
                return;
            }
            *seen = head.len();
            match judge(head, &self.rules, self.secure) {
                Verdict::Incomplete => return,
                Verdict::Malformed(malformed) => {
                    malformed.answer(&mut self.output);
                    self.state = State::Deaf;
                    return each(Heard::Hopeless);
                }
                Verdict::Refused { length, refusal } => {
                    refusal.answer(&date(), &mut self.output);
                    head.drain(..length);
                    *seen = 0;
                    *body_left = refusal.body;
                    let ends = !refusal.keep_alive;
                    each(Heard::Refused(refusal.error));
                    if ends {
                        self.state = State::Deaf;
                        return each(Heard::Hopeless);
                    }
                }
                Verdict::Granted { length, .. } if head.len() > length => {
                    self.state = State::Deaf;
                    each(Heard::Refused(HandshakeError::EarlyData));
                    return each(Heard::Hopeless);
                }
                Verdict::Granted { upgrade, .. } => {
                    self.output.extend_from_slice(&upgrade.answer);
                    self.encoder = Encoder {
                        deflate: upgrade.deflate,
                        browser: upgrade.browser,
                        whole_deflated: upgrade.whole_deflated,
                    };
                    self.upgraded = !upgrade.leafnode;
                    let decoder = Decoder::new(!upgrade.no_masking, upgrade.deflate);
                    self.state = State::Open(Box::new(decoder));
                    return each(Heard::Upgraded(&upgrade));
                }
            }
        }
    }

    /// Answers a request that was not finished in time, as nats-server does.
    fn end_handshake(&mut self) {
        if let State::Handshake { head, .. } = &self.state
            && !head.is_empty()
        {
            Malformed::Request.answer(&mut self.output);
            self.state = State::Deaf;
        }
    }

    /// Whether something waits for [`Session::encode`].
    pub fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    /// Appends what the session has to say, and then the frames for the bytes in `parts`.
    pub fn encode<'p>(
        &mut self,
        deflater: &mut Deflater,
        parts: impl Iterator<Item = &'p [u8]> + Clone,
        into: &mut Vec<u8>,
    ) {
        into.append(&mut self.output);
        if self.upgraded && !self.closed {
            self.encoder.data(deflater, parts, into);
        }
    }

    /// Nothing more will be encoded: says goodbye. The code is for the case that the session has no better.
    pub fn close(&mut self, code: u16, reason: &str) {
        if self.closed {
            return;
        }
        self.closed = true;
        if !self.upgraded {
            self.end_handshake();
            return;
        }
        match self.goodbye.take() {
            Some(Goodbye::Answer(payload)) => encoder::close_answer(&payload, &mut self.output),
            Some(Goodbye::Code(code, reason)) => encoder::close(code, &reason, &mut self.output),
            None => encoder::close(code, reason, &mut self.output),
        }
    }
}
