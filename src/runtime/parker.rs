//! Sleeping without losing a wake-up.
//!
//! A core sleeps in one place for everything: glommio waits for an eventfd (and
//! for its own files and timers); the socket ring and the other threads write it.
//!
//! # The hazard
//! The kernel signals the ring's eventfd when its list of deferred work goes from
//! empty to not empty, and when an entry posts completions; otherwise never. Two
//! ways to sleep for ever follow, both shown by tests:
//! - An entry whose `to_submit` is not exactly the queue's length returns before it
//!   runs deferred work: nothing is posted, the signal of the work's arrival was
//!   already read, and none follows
//!   (`submission::tests::a_count_beyond_the_queue_skips_deferred_work`).
//! - An entry takes the whole list but runs only about 20 items of it; the rest
//!   waits on a second list. Whoever reads the eventfd between entry and sleep, or
//!   has signals off during the entry, has spent the last signal when more than 20
//!   sockets became ready at once (`tests::one_entry_before_sleep_loses_work`).
//!
//! A third way lies in glommio and is closed in [`super::executor`].
//!
//! Signals that stay on would make up for the second, at the price of one eventfd
//! write a turn and of sleeps that end at once. So they are off while the core is
//! awake, and what comes meanwhile is looked for.
//!
//! # The rule
//! [`Parker::park`] is the only way to sleep, and does in this order:
//! 1. Turn the ring's signals on, then enter the kernel once more. The kernel adds
//!    work before it looks whether to signal; we turn signals on before we look
//!    for work. One of the two sees the other.
//! 2. If the ring has anything left (completions, `IORING_SQ_TASKRUN`,
//!    `IORING_SQ_CQ_OVERFLOW`, unsubmitted entries), do not sleep.
//! 3. Say that the core sleeps, fence, then look at the rings of the other cores.
//!    They publish, fence, then look whether the core sleeps. Again one of the two
//!    sees the other. The first sender that sees it takes the flag down and writes
//!    the eventfd: one write a sleep, however many senders.
//! 4. Wait for the eventfd, then empty it.
//!
//! A signal too many is possible (a sender between 4's wake and the next sleep)
//! and harmless: the next sleep ends at once.
//!
//! An eventfd must never be polled by the socket ring itself: the kernel does not
//! signal an eventfd from within the signal of another, but puts it off for a
//! grace period, milliseconds.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use glommio::io::PollableFd;

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

impl AsFd for Seat {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.event_fd.as_fd()
    }
}

/// Lends the eventfd's number to glommio while sharing its ownership.
struct SharedFd(Arc<Bell>);

impl AsRawFd for SharedFd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.event_fd.as_raw_fd()
    }
}

/// How a call of [`Parker::park`] went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parked {
    /// There was something to do after all: the core did not sleep.
    NotAtAll,
    /// The core slept and was woken.
    Slept,
}

/// Puts one core to sleep.
pub struct Parker {
    bell: Arc<Bell>,
    readable: PollableFd<SharedFd>,
}

impl Parker {
    /// On the core's executor, for its ring.
    ///
    /// # Errors
    /// The system's error if the ring or the executor refuses the eventfd.
    pub fn new<B: SendBuffer>(seat: Seat, ring: &mut NetRing<B>) -> io::Result<Self> {
        ring.register_event_fd(seat.as_fd())?;
        let readable =
            PollableFd::new(SharedFd(Arc::clone(&seat.bell))).map_err(io::Error::other)?;
        Ok(Self {
            bell: seat.bell,
            readable,
        })
    }

    /// Sleeps until the ring has work or a [`Waker`] was used, by the rule in the
    /// module's description. `nothing_inbound` looks at everything that wakers
    /// announce, and is called once.
    ///
    /// # Errors
    /// The system's error from the ring or the executor.
    pub async fn park<B: SendBuffer>(
        &self,
        ring: &mut NetRing<B>,
        nothing_inbound: impl FnOnce() -> bool,
    ) -> io::Result<Parked> {
        let awake = Awake { parker: self, ring };
        if !awake.ring.listen_for_work()? {
            return Ok(Parked::NotAtAll);
        }
        self.bell.flag.fall_asleep();
        if !nothing_inbound() {
            return Ok(Parked::NotAtAll);
        }
        self.readable.readable().await.map_err(io::Error::other)?;
        Ok(Parked::Slept)
    }
}

/// Sets everything back to awake on every way out of `park`, its cancellation
/// included.
struct Awake<'a, B: SendBuffer> {
    parker: &'a Parker,
    ring: &'a mut NetRing<B>,
}

impl<B: SendBuffer> Drop for Awake<'_, B> {
    fn drop(&mut self) {
        self.ring.stop_listening_for_work();
        self.parker.bell.flag.wake_up();
        // Whatever the signals announced is found by the turn that follows.
        self.parker.bell.empty();
    }
}

#[cfg(test)]
mod tests;
