//! Threads, rings, sockets, clocks and files: the only layer that does I/O.

pub mod buffer_ring;
pub mod cpus;
pub mod signal_process;
mod signals;
mod settings;
pub mod server;
mod process;
mod passwords;
mod log;
mod loads;
mod leaving;
mod identity;
mod http_server;
mod gather;
mod files;
mod figures;
mod driver;
mod control;
mod clock;
pub mod executor;
pub mod links;
pub mod listener;
pub mod net_event;
pub mod net_ring;
mod operation;
pub mod parker;
pub mod preflight;
pub mod send_buffer;
mod sleep_flag;
pub mod spin;
mod submission;

/// The atomics of [`sleep_flag`], by a name that its loom model can replace.
mod atomics {
    pub use std::sync::atomic::{AtomicBool, Ordering, fence};
}
