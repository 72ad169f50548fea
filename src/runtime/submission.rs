//! The raw ring: exact submission, never a lost entry, and when it is quiet.
//!
//! Kernel facts this file rests on (`io_uring/io_uring.c`; checked by the tests
//! of [`super::parker`] on 6.18):
//!
//! - With `DEFER_TASKRUN`, work that arrives for the ring is queued and run only
//!   inside `io_uring_enter` with `GETEVENTS`, on the ring's own thread.
//! - If fewer entries were submitted than `to_submit` says, the call returns
//!   before it runs that work. So `to_submit` is always the queue's exact length.
//! - One entry with `min_complete` 0 runs about 20 queued items and leaves the
//!   rest on a retry list; with `TASKRUN_FLAG` the kernel keeps
//!   `IORING_SQ_TASKRUN` set in shared memory.
//! - An entry that waits (`min_complete` 1) runs both lists first and sleeps only
//!   if no completion came of it and none is in the queue; work that arrives
//!   meanwhile wakes it.
//! - Completions that find the queue full are kept in the kernel (`NODROP`), are
//!   announced by `IORING_SQ_CQ_OVERFLOW` and come with a later entry.

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsRawFd;

use io_uring::{EnterFlags, IoUring, squeue};

/// One completion, copied out of the shared queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Completion {
    pub user_data: u64,
    pub result: i32,
    pub flags: u32,
}

/// `IORING_REGISTER_NAPI` and its argument, `struct io_uring_napi`, of the kernel's
/// `include/uapi/linux/io_uring.h`.
const REGISTER_NAPI: u32 = 27;

#[repr(C)]
#[derive(Default)]
struct Napi {
    /// Microseconds.
    busy_poll_to: u32,
    prefer_busy_poll: u8,
    opcode: u8,
    pad: [u8; 2],
    op_param: u32,
    resv: u32,
}

/// The ring with a backlog for entries that find its submission queue full.
pub(super) struct Submission {
    ring: IoUring,
    /// In order; only ever non-empty while the kernel refuses submissions.
    backlog: VecDeque<squeue::Entry>,
    messages: Messages,
}

impl Submission {
    /// Must be called on the thread that will drive the ring (`SINGLE_ISSUER`).
    pub fn new(submission_entries: u32, completion_entries: u32) -> io::Result<Self> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            // One refused entry does not hold up those behind it.
            .setup_submit_all()
            .setup_clamp()
            .setup_cqsize(completion_entries)
            .dontfork()
            .build(submission_entries)?;
        let params = ring.params();
        if !params.is_feature_nodrop() || !params.is_feature_submit_stable() {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "io_uring lacks NODROP or SUBMIT_STABLE",
            ));
        }
        Ok(Self {
            ring,
            backlog: VecDeque::new(),
            messages: Messages::default(),
        })
    }

    /// Has each sleep poll the network cards of the ring's sockets for `micros`
    /// microseconds first.
    ///
    /// # Errors
    /// `EINVAL` before Linux 6.9, `EOPNOTSUPP` without CONFIG_NET_RX_BUSY_POLL.
    pub fn poll_network(&self, micros: u32) -> io::Result<()> {
        let mut napi = Napi {
            busy_poll_to: micros,
            ..Napi::default()
        };
        // SAFETY: the kernel reads, and overwrites with the former values, one live
        // structure of the size that it knows.
        let result = unsafe {
            libc::syscall(
                libc::SYS_io_uring_register,
                self.ring.as_raw_fd(),
                REGISTER_NAPI,
                &raw mut napi,
                1,
            )
        };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    pub fn ring(&self) -> &IoUring {
        &self.ring
    }

    /// Queues `entry`; it reaches the kernel with the next [`enter`](Self::enter)
    /// at the latest.
    ///
    /// # Safety
    /// Data that the entry points to must stay until its last completion. Heads
    /// that the kernel copies when it takes the entry (`msghdr`, `iovec`,
    /// `timespec`) must stay until [`is_submitted`](Self::is_submitted).
    pub unsafe fn push(&mut self, entry: squeue::Entry) {
        if !self.backlog.is_empty() {
            self.backlog.push_back(entry);
            return;
        }
        // SAFETY: as this function's contract.
        if unsafe { self.ring.submission().push(&entry) }.is_ok() {
            return;
        }
        // Full: hand over what is there. An error here comes again, and is
        // reported, at the next `enter`; the entry waits in the backlog.
        let _ = self.submit(EnterFlags::empty(), 0);
        // SAFETY: as above.
        if unsafe { self.ring.submission().push(&entry) }.is_err() {
            self.backlog.push_back(entry);
        }
    }

    /// A message head over `parts` for `sendmsg`, valid until
    /// [`is_submitted`](Self::is_submitted). Parts beyond the system's limit
    /// (`UIO_MAXIOV`, 1024) are left out; the send's result tells.
    pub fn message(&mut self, fill: impl FnOnce(&mut MessageParts)) -> *const libc::msghdr {
        self.messages.next(fill)
    }

    /// Whether everything pushed was taken by the kernel.
    pub fn is_submitted(&mut self) -> bool {
        self.backlog.is_empty() && self.ring.submission().is_empty()
    }

    /// Whether the kernel holds work or completions that need an entry to come out.
    pub fn has_kernel_work(&mut self) -> bool {
        let queue = self.ring.submission();
        queue.taskrun() || queue.cq_overflow()
    }

    /// Nothing to submit, nothing to reap, nothing waiting in the kernel.
    pub fn is_quiet(&mut self) -> bool {
        self.is_submitted() && !self.has_kernel_work() && self.ring.completion().is_empty()
    }

    /// Enters the kernel once: submits everything and runs deferred work.
    pub fn enter(&mut self) -> io::Result<()> {
        loop {
            self.submit(EnterFlags::GETEVENTS, 0)?;
            if self.backlog.is_empty() || !self.refill() {
                break;
            }
        }
        if self.is_submitted() {
            self.messages.recycle();
        }
        Ok(())
    }

    /// Like [`enter`](Self::enter), but without a system call if none is needed.
    pub fn enter_if_needed(&mut self) -> io::Result<()> {
        if self.is_submitted() && !self.has_kernel_work() {
            return Ok(());
        }
        self.enter()
    }

    /// Moves the backlog into the queue; false if it had no room at all.
    fn refill(&mut self) -> bool {
        let mut moved = false;
        let mut queue = self.ring.submission();
        while let Some(entry) = self.backlog.front() {
            // SAFETY: entries of the backlog came through `push` and its contract.
            if unsafe { queue.push(entry) }.is_err() {
                break;
            }
            self.backlog.pop_front();
            moved = true;
        }
        moved
    }

    fn submit(&mut self, flags: EnterFlags, min_complete: u32) -> io::Result<()> {
        loop {
            let length = self.ring.submission().len() as u32;
            // SAFETY: no argument is passed; the entries obey `push`'s contract.
            let entered = unsafe {
                self.ring.submitter().enter::<libc::sigset_t>(
                    length,
                    min_complete,
                    flags.bits(),
                    None,
                )
            };
            match entered {
                Ok(_) => return Ok(()),
                Err(error) => match error.raw_os_error() {
                    Some(libc::EINTR) => {}
                    // The kernel wants its completions reaped first (EBUSY) or is
                    // short of memory (EAGAIN): the entries stay and come again.
                    Some(libc::EBUSY | libc::EAGAIN) => return Ok(()),
                    _ => return Err(error),
                },
            }
        }
    }

    /// Enters the kernel as [`enter`](Self::enter) does and stays there until a
    /// completion is in the queue, if it has to: the only place where a core
    /// sleeps. May return early.
    pub fn sleep(&mut self) -> io::Result<()> {
        if !self.backlog.is_empty() {
            return self.enter();
        }
        self.submit(EnterFlags::GETEVENTS, 1)?;
        if self.is_submitted() {
            self.messages.recycle();
        }
        Ok(())
    }

    /// Waits for at least one completion, no longer than `timeout`: for the
    /// teardown and for tests.
    pub fn wait(&mut self, timeout: std::time::Duration) -> io::Result<()> {
        self.refill();
        let timeout = io_uring::types::Timespec::from(timeout);
        let arguments = io_uring::types::SubmitArgs::new().timespec(&timeout);
        match self.ring.submitter().submit_with_args(1, &arguments) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }

    /// Moves the completions that are in the shared queue to the end of `batch`.
    pub fn reap(&mut self, batch: &mut VecDeque<Completion>) {
        batch.extend(self.ring.completion().map(|entry| Completion {
            user_data: entry.user_data(),
            result: entry.result(),
            flags: entry.flags(),
        }));
    }
}

/// Most parts of one `sendmsg` (`UIO_MAXIOV` of the kernel).
pub(super) const MAX_PARTS: usize = 1024;

/// Heads kept for reuse between turns; more are freed after a burst.
const KEPT_MESSAGES: usize = 64;

/// Parts that a kept head may keep room for.
const KEPT_PARTS: usize = 64;

/// The parts of one message while it is being put together.
#[derive(Default)]
pub(super) struct MessageParts {
    vectors: Vec<libc::iovec>,
}

impl MessageParts {
    pub fn add(&mut self, part: &[u8]) {
        if !part.is_empty() && self.vectors.len() < MAX_PARTS {
            self.vectors.push(libc::iovec {
                iov_base: part.as_ptr().cast_mut().cast(),
                iov_len: part.len(),
            });
        }
    }
}

struct Message {
    head: libc::msghdr,
    parts: MessageParts,
}

/// Message heads for the sends of one turn. The kernel copies head and vectors
/// when it takes the entry (`SUBMIT_STABLE`), so all are free again after the
/// turn's submission and connections own none.
#[derive(Default)]
struct Messages {
    // Boxed: the kernel reads them by address while the list grows.
    #[allow(clippy::vec_box)]
    heads: Vec<Box<Message>>,
    used: usize,
}

impl Messages {
    fn next(&mut self, fill: impl FnOnce(&mut MessageParts)) -> *const libc::msghdr {
        if self.used == self.heads.len() {
            self.heads.push(Box::new(Message {
                // SAFETY: all-zero is a valid msghdr: no name, no vectors, no control data.
                head: unsafe { std::mem::zeroed() },
                parts: MessageParts::default(),
            }));
        }
        let message = &mut *self.heads[self.used];
        self.used += 1;
        message.parts.vectors.clear();
        fill(&mut message.parts);
        message.head.msg_iov = message.parts.vectors.as_mut_ptr();
        message.head.msg_iovlen = message.parts.vectors.len() as _;
        &raw const message.head
    }

    fn recycle(&mut self) {
        if self.used == 0 {
            return;
        }
        self.heads.truncate(KEPT_MESSAGES);
        for message in self.heads.iter_mut().take(self.used) {
            message.parts.vectors.clear();
            message.parts.vectors.shrink_to(KEPT_PARTS);
        }
        self.used = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use io_uring::opcode;

    #[test]
    fn entries_beyond_the_queue_are_not_lost() {
        let mut submission = Submission::new(4, 8).unwrap();
        let mut seen = VecDeque::new();
        const TOTAL: u64 = 1000;
        for number in 0..TOTAL {
            // SAFETY: a no-op points to nothing.
            unsafe { submission.push(opcode::Nop::new().build().user_data(number)) };
        }
        // Far more than the completion queue holds: the kernel keeps the rest.
        while !submission.is_quiet() {
            submission.enter().unwrap();
            submission.reap(&mut seen);
        }
        let numbers: Vec<u64> = seen.iter().map(|completion| completion.user_data).collect();
        assert_eq!(numbers, (0..TOTAL).collect::<Vec<_>>());
    }

    /// The kernel fact behind the exact count.
    #[test]
    fn a_count_beyond_the_queue_skips_deferred_work() {
        use std::io::Write;
        use std::os::unix::net::UnixStream;

        let mut submission = Submission::new(4, 8).unwrap();
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let fd = io_uring::types::Fd(ours.as_raw_fd());
        // SAFETY: a poll points to no memory.
        unsafe { submission.push(opcode::PollAdd::new(fd, libc::POLLIN as u32).build()) };
        submission.enter().unwrap();
        theirs.write_all(b"x").unwrap();
        assert!(submission.has_kernel_work());
        // SAFETY: the queue is empty; the kernel finds nothing to submit.
        let entered = unsafe {
            submission.ring.submitter().enter::<libc::sigset_t>(
                1,
                0,
                EnterFlags::GETEVENTS.bits(),
                None,
            )
        };
        assert_eq!(entered.unwrap(), 0);
        assert!(submission.ring.completion().is_empty());
        assert!(submission.has_kernel_work());
        submission.enter().unwrap();
        assert_eq!(submission.ring.completion().len(), 1);
    }

    #[test]
    fn message_heads_are_reused_after_submission() {
        let mut messages = Messages::default();
        let bytes = [0_u8; 8];
        for _ in 0..3 {
            for _ in 0..KEPT_MESSAGES * 2 {
                let head = messages.next(|parts| {
                    for _ in 0..MAX_PARTS + 5 {
                        parts.add(&bytes);
                    }
                    parts.add(&[]);
                });
                // SAFETY: valid until `recycle`.
                assert_eq!(unsafe { (*head).msg_iovlen }, MAX_PARTS);
            }
            messages.recycle();
            assert_eq!(messages.heads.len(), KEPT_MESSAGES);
        }
    }
}
