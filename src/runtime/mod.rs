//! Threads, rings, sockets, clocks and files: the only layer that does I/O.

pub mod buffer_ring;
mod clock;
mod control;
pub mod cpus;
mod credentials;
mod disk;
mod driver;
mod encoding;
pub mod executor;
mod figures;
mod files;
mod gather;
pub mod host;
mod http_server;
mod identity;
mod leaving;
pub mod links;
pub mod listener;
mod loads;
mod log;
pub mod net_event;
pub mod net_ring;
mod operation;
mod outgoing;
pub mod parker;
mod persistence;
pub mod preflight;
mod privileges;
mod process;
mod resolver;
pub mod send_buffer;
pub mod server;
mod settings;
pub mod signal_process;
mod signals;
mod sleep_flag;
pub mod spin;
pub mod startup;
mod stopping;
mod store_dir;
mod submission;
mod system;
mod trust;

/// The atomics of [`sleep_flag`], by a name that its loom model can replace.
mod atomics {
    pub use std::sync::atomic::{AtomicBool, Ordering, fence};
}
