//! The vocabulary of [`super::net_ring`]: its sizes, its events, its refusals.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;

use super::buffer_ring::Chunk;
#[cfg(doc)]
use super::net_ring::NetRing;

/// Sizes of a ring. See [`RingConfig::default`] for what fits most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingConfig {
    /// Entries of the submission queue, 64 bytes each. When it is full the ring
    /// submits early. Default 512.
    pub submission_entries: u32,
    /// Entries of the completion queue, 16 bytes each. When it is full the kernel
    /// keeps completions back in memory of its own. Default 4096.
    pub completion_entries: u32,
    /// Receive buffers of the core, a power of two up to 32768. Default 64.
    pub receive_buffers: u16,
    /// Bytes of one receive buffer. Default 32 KiB.
    pub receive_buffer_bytes: u32,
    /// Most slots. Default 1,048,576.
    pub max_slots: u32,
    /// Size of the huge pages for the receive buffers in bytes, which must be the
    /// system's default size. Default `None`: ordinary pages.
    pub huge_page_bytes: Option<usize>,
    /// How long a sleep polls the network card first, in microseconds. Default 0:
    /// not at all.
    pub busy_poll_micros: u32,
}

impl RingConfig {
    /// All receive buffers of a core, in bytes.
    pub fn receive_bytes(&self) -> u64 {
        u64::from(self.receive_buffers) * u64::from(self.receive_buffer_bytes)
    }
}

impl Default for RingConfig {
    fn default() -> Self {
        Self {
            submission_entries: 512,
            completion_entries: 4096,
            receive_buffers: 64,
            receive_buffer_bytes: 32 * 1024,
            max_slots: 1 << 20,
            huge_page_bytes: None,
            busy_poll_micros: 0,
        }
    }
}

/// Why a ring could not be made.
#[derive(Debug)]
pub enum RingError {
    /// `io_uring_setup` refused; [`super::preflight`] explains such refusals.
    Setup(io::Error),
    /// The receive buffers could not be mapped or registered.
    ReceiveBuffers(io::Error),
}

impl fmt::Display for RingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setup(error) => write!(f, "cannot set up the socket ring: {error}"),
            Self::ReceiveBuffers(error) => {
                write!(
                    f,
                    "cannot provide receive buffers to the socket ring: {error}"
                )
            }
        }
    }
}

impl std::error::Error for RingError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Setup(error) | Self::ReceiveBuffers(error) => Some(error),
        }
    }
}

/// Why [`NetRing::open`] or [`NetRing::listen`] refused; the descriptor comes back.
#[derive(Debug)]
pub struct NotOpened {
    pub reason: NotOpenedReason,
    pub fd: OwnedFd,
}

/// See [`NotOpened`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotOpenedReason {
    /// The number is not below [`RingConfig::max_slots`].
    OutOfRange,
    /// The number is in use; it is free again after [`Event::Drained`].
    InUse,
}

/// Why a socket receives no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The peer closed its side.
    Eof,
    /// The socket failed with this errno (`ECONNRESET` and the like).
    Error(i32),
    /// [`NetRing::pause`] took effect; [`NetRing::resume`] goes on.
    Paused,
}

/// What happened.
#[derive(Debug)]
pub enum Event<B> {
    /// A connection came in; the socket is blocking and close-on-exec.
    Accepted { listener: u32, fd: OwnedFd },
    /// Accepting stopped with this errno, usually for want of descriptors or
    /// memory. Call [`NetRing::accept_again`] after a while.
    AcceptFailed { listener: u32, errno: i32 },
    /// [`NetRing::stop_listening`] took effect: the listener's socket is closed.
    ListenerClosed { listener: u32 },
    /// Bytes came in. Drop the chunk soon: it is a buffer of the whole core.
    Received { slot: u32, data: Chunk },
    /// Nothing more will be received, for good or until resumed.
    ReceiveEnded { slot: u32, cause: End },
    /// The send is over. `Ok` is the count of bytes taken, all of them unless the
    /// buffer has too many parts or the connection was closed meanwhile; `Err` an
    /// errno.
    Sent {
        slot: u32,
        buffer: B,
        result: Result<usize, i32>,
    },
    /// An operation of [`NetRing::push_file`] is over: its number and what the system call would
    /// have returned, or minus the errno.
    File { index: u32, result: i32 },
    /// Last event of a closed slot: its socket is closed, its number free.
    Drained { slot: u32 },
    /// The deadline of [`NetRing::set_timer`] passed, or an earlier one that it
    /// replaced. No timer is set now.
    Timer,
}
