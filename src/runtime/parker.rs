//! Sleeping without losing a wake-up.
//!
//! A core sleeps in one place for everything: in its socket ring, in the entry
//! into the kernel that waits for a completion. Sockets and the timer complete
//! there by themselves; other threads write an eventfd that the ring polls.
//!
//! # The rule
//! [`Parker::park`] is the only way to sleep, and does in this order:
//! 1. Say that the core sleeps, fence, then look at what other threads announce.
//!    They publish, fence, then look whether the core sleeps. One of the two sees
//!    the other. The first sender that sees it takes the flag down and writes the
//!    eventfd: one write a sleep, however many senders.
//! 2. Enter the kernel and wait. It looks at its own lists of work, and at the
//!    poll of the eventfd, before it sleeps and whenever it is woken.
//!
//! A signal too many is possible (a sender between wake and the next sleep) and
//! harmless: the next sleep ends at once.
//!
//! # What the kernel forgives and what not
//! An entry that does not wait runs about 20 deferred items and leaves the rest
//! on a second list without another signal. Who sleeps anywhere but in the ring,
//! as on an eventfd that the ring signals, has to look at both lists first or
//! sleeps for ever (`tests::one_entry_leaves_work_behind`). Sleeping in the ring
//! needs no such care, and one system call instead of eleven.
//!
//! The executor does not run while the core sleeps here. It has no other task; one
//! that waits for files of glommio's would need its own way to end this sleep.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use super::net_ring::NetRing;
use super::send_buffer::SendBuffer;
use super::sleep_flag::SleepFlag;

/// What a sleeper and its wakers share.
struct Bell {
    flag: SleepFlag,
    event_fd: OwnedFd,
}

impl Bell {
    /// Makes the eventfd readable.
    fn ring(&self) {
        let one = 1_u64.to_ne_bytes();
        loop {
            // SAFETY: writes eight bytes from a live array to an open descriptor.
            let written =
                unsafe { libc::write(self.event_fd.as_raw_fd(), one.as_ptr().cast(), one.len()) };
            // The only other failure is EAGAIN: the counter is at its maximum, so
            // the eventfd is readable anyhow.
            if written >= 0 || io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
                return;
            }
        }
    }

    /// Takes all signals; never blocks.
    fn empty(&self) {
        let mut count = [0_u8; 8];
        // SAFETY: reads at most eight bytes into a live array. Failure means that
        // there was nothing to read.
        unsafe { libc::read(self.event_fd.as_raw_fd(), count.as_mut_ptr().cast(), 8) };
    }
}

/// Wakes one sleeper; for any thread.
#[derive(Clone)]
pub struct Waker(Arc<Bell>);

impl Waker {
    /// Call after publishing what the sleeper is to find. Costs a fence and a load
    /// if it does not sleep; the first call after it fell asleep costs one write.
    pub fn wake(&self) {
        if self.0.flag.take_if_asleep() {
            self.0.ring();
        }
    }
}

/// The right to sleep, made before the thread that will use it.
pub struct Seat {
    bell: Arc<Bell>,
}

impl Seat {
    /// A seat and its first waker.
    ///
    /// # Errors
    /// The system's error if no eventfd is to be had.
    pub fn new() -> io::Result<(Self, Waker)> {
        // SAFETY: creates a descriptor, touches no memory.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        let bell = Arc::new(Bell {
            flag: SleepFlag::default(),
            // SAFETY: fresh, open, owned by nothing else.
            event_fd: unsafe { OwnedFd::from_raw_fd(fd) },
        });
        let waker = Waker(Arc::clone(&bell));
        Ok((Self { bell }, waker))
    }

    /// Sleeps on a plain thread (the control thread) until woken or until
    /// `timeout`, unless `nothing_to_do` finds something first.
    ///
    /// # Errors
    /// The system's error from poll(2), interruptions excepted.
    pub fn wait(
        &self,
        nothing_to_do: impl FnOnce() -> bool,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        self.bell.flag.fall_asleep();
        if nothing_to_do() {
            let mut poll = libc::pollfd {
                fd: self.bell.event_fd.as_raw_fd(),
                events: libc::POLLIN,
                revents: 0,
            };
            // Rounded up, so that a deadline has passed when the wait is over.
            let millis = timeout.map_or(-1, |timeout| {
                i32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
            });
            // SAFETY: one valid entry.
            if unsafe { libc::poll(&raw mut poll, 1, millis) } < 0 {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    self.bell.flag.wake_up();
                    return Err(error);
                }
            }
        }
        self.bell.flag.wake_up();
        self.bell.empty();
        Ok(())
    }
}

/// How a call of [`Parker::park`] went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parked {
    /// There was something to do after all: the core did not sleep.
    NotAtAll,
    /// The core slept, if only for the time of a system call, and was woken.
    Slept,
}

/// Puts one core to sleep.
pub struct Parker {
    bell: Arc<Bell>,
}

impl Parker {
    /// For the core that drives `ring`.
    ///
    /// # Errors
    /// The system's error if no descriptor is to be had.
    pub fn new<B: SendBuffer>(seat: Seat, ring: &mut NetRing<B>) -> io::Result<Self> {
        ring.watch(seat.bell.event_fd.try_clone()?);
        Ok(Self { bell: seat.bell })
    }

    /// Sleeps until the ring has work or a [`Waker`] was used, by the rule in the
    /// module's description. `nothing_inbound` looks at everything that wakers
    /// announce, and is called once. A turn of the ring must follow.
    ///
    /// # Errors
    /// The system's error from the ring.
    pub fn park<B: SendBuffer>(
        &self,
        ring: &mut NetRing<B>,
        nothing_inbound: impl FnOnce() -> bool,
    ) -> io::Result<Parked> {
        self.bell.flag.fall_asleep();
        let parked = if nothing_inbound() {
            ring.sleep()?;
            Parked::Slept
        } else {
            Parked::NotAtAll
        };
        self.bell.flag.wake_up();
        Ok(parked)
    }
}

#[cfg(test)]
mod tests;
