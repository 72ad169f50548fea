//! Signals become events of the control thread.

use std::io;
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;

use super::control::{ControlEvent, ControlSender};

/// The signals that mean something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    Hangup,
    Interrupt,
    Terminate,
    User1,
    User2,
}

impl Signal {
    fn from_number(number: i32) -> Option<Self> {
        Some(match number {
            SIGHUP => Self::Hangup,
            SIGINT => Self::Interrupt,
            SIGTERM => Self::Terminate,
            SIGUSR1 => Self::User1,
            SIGUSR2 => Self::User2,
            _ => return None,
        })
    }

    /// As nats-server's log calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hangup => "hangup",
            Self::Interrupt => "interrupt",
            Self::Terminate => "terminated",
            Self::User1 => "user defined signal 1",
            Self::User2 => "user defined signal 2",
        }
    }
}

/// Has a thread forward signals from now on.
///
/// # Errors
/// The system's, from installing the handlers or starting the thread.
pub fn forward(control: ControlSender) -> io::Result<()> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2])?;
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            for signal in signals.forever().filter_map(Signal::from_number) {
                control.send(ControlEvent::Signal(signal));
            }
        })?;
    Ok(())
}
