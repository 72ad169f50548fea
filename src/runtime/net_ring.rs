//! The ring of one core: accept, receive, send, one timer, and the file operations
//! of [`super::disk`], on a raw io_uring.
//!
//! A turn of the core is: [`NetRing::turn`] (one kernel entry), then
//! [`NetRing::next_event`] until it is `None`, calling [`send`](NetRing::send),
//! [`close`](NetRing::close) and the rest freely in between. What they ask for
//! goes to the kernel with the next turn. Nothing here blocks but
//! [`NetRing::sleep`]; when to call it is the business of [`super::parker`].
//!
//! Memory of a connection: one slot, 24 bytes and a `SendBuffer`. Receive buffers
//! belong to the core ([`super::buffer_ring`]), message heads to the turn.
//!
//! # Life of a slot
//! `open` … events … `close` → the last completions, the send's buffer among
//! them → [`Event::Drained`]: the descriptor is closed and the number free again.
//! A receive that ended (peer gone) closes nothing: the consumer may still send
//! and calls `close` when it is done.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::time::Duration;

use io_uring::types::{CancelBuilder, Fd, TimeoutFlags, Timespec};
use io_uring::{cqueue, opcode, squeue};

use super::buffer_ring::{self, BufferRing, Chunk};
use super::net_event::{End, Event, NotOpened, NotOpenedReason, RingConfig, RingError};
use super::operation::{Kind, Tag, next_generation};
use super::send_buffer::SendBuffer;
use super::submission::{Completion, Submission};

/// Later deadlines are as good as this one, 34,000 years after boot; beyond 2^63
/// nanoseconds the kernel itself takes no difference.
const LATEST_DEADLINE: Duration = Duration::from_secs(1 << 40);

/// Marks a slot without a socket.
const NO_FD: RawFd = -1;

struct Slot<B> {
    fd: RawFd,
    /// Use count of this number, see [`super::operation`].
    generation: u32,
    /// Operations of which the last completion has not come.
    operations: u8,
    /// A receive is with the kernel.
    receiving: bool,
    /// The consumer wants to receive.
    reading: bool,
    /// End of file or an error was reported.
    ended: bool,
    /// In the queue of those that wait for a receive buffer.
    starved: bool,
    closing: bool,
    sending: Option<B>,
}

impl<B> Slot<B> {
    fn free() -> Self {
        Self {
            fd: NO_FD,
            generation: 0,
            operations: 0,
            receiving: false,
            reading: false,
            ended: false,
            starved: false,
            closing: false,
            sending: None,
        }
    }
}

struct Listener {
    fd: Option<OwnedFd>,
    generation: u32,
    /// An accept is with the kernel.
    accepting: bool,
    closing: bool,
}

/// The socket ring of one core. Not `Send`: it stays on the thread that made it.
pub struct NetRing<B: SendBuffer> {
    submission: Submission,
    buffers: BufferRing,
    slots: Vec<Slot<B>>,
    max_slots: u32,
    listeners: Vec<Listener>,
    /// Completions of this turn that are not handled yet.
    batch: VecDeque<Completion>,
    /// Events that follow from a call or go with one just returned.
    follow_ups: VecDeque<Event<B>>,
    /// Slots whose receive found no buffer, in the order of their misfortune,
    /// with their generation.
    starved: VecDeque<(u32, u32)>,
    /// Operations of which the last completion has not come.
    in_flight: usize,
    /// Other threads wake the core by it; see [`NetRing::watch`].
    watched: Option<OwnedFd>,
    /// Deadline of the timer that the kernel has, `CLOCK_MONOTONIC`.
    timer: Option<Duration>,
    /// Read by the kernel when it takes a timer's entry; boxed to stay in place.
    timer_spec: Box<Timespec>,
}

impl<B: SendBuffer> NetRing<B> {
    /// Sets up ring and buffers, for the calling thread alone.
    ///
    /// # Errors
    /// [`RingError`] with the system's reason.
    pub fn new(config: &RingConfig) -> Result<Self, RingError> {
        let submission = Submission::new(config.submission_entries, config.completion_entries)
            .map_err(RingError::Setup)?;
        if config.busy_poll_micros > 0 {
            // Kernels before 6.9 cannot; `preflight` has warned.
            let _ = submission.poll_network(config.busy_poll_micros);
        }
        let buffers = BufferRing::new(
            config.receive_buffers,
            config.receive_buffer_bytes,
            config.huge_page_bytes,
        )
        .map_err(RingError::ReceiveBuffers)?;
        // SAFETY: `drop` waits for the last completion before the pool goes, or
        // leaks the pool.
        unsafe { buffers.register(submission.ring()) }.map_err(RingError::ReceiveBuffers)?;
        Ok(Self {
            submission,
            buffers,
            slots: Vec::new(),
            max_slots: config.max_slots,
            listeners: Vec::new(),
            batch: VecDeque::new(),
            follow_ups: VecDeque::new(),
            starved: VecDeque::new(),
            in_flight: 0,
            watched: None,
            timer: None,
            timer_spec: Box::new(Timespec::new()),
        })
    }

    // ---- listeners -------------------------------------------------------

    /// Starts accepting on a listening socket under a number of the caller's
    /// choice; small numbers, the ring keeps a table.
    ///
    /// # Errors
    /// [`NotOpened`] if the number is in use or absurd.
    pub fn listen(&mut self, listener: u32, fd: OwnedFd) -> Result<(), NotOpened> {
        if listener >= self.max_slots {
            let reason = NotOpenedReason::OutOfRange;
            return Err(NotOpened { reason, fd });
        }
        while self.listeners.len() <= listener as usize {
            self.listeners.push(Listener {
                fd: None,
                generation: 0,
                accepting: false,
                closing: false,
            });
        }
        let entry = &mut self.listeners[listener as usize];
        if entry.fd.is_some() {
            let reason = NotOpenedReason::InUse;
            return Err(NotOpened { reason, fd });
        }
        entry.fd = Some(fd);
        entry.closing = false;
        entry.generation = next_generation(entry.generation);
        self.arm_accept(listener);
        Ok(())
    }

    /// Goes on after [`Event::AcceptFailed`].
    pub fn accept_again(&mut self, listener: u32) {
        self.arm_accept(listener);
    }

    /// Stops accepting and closes the socket; [`Event::ListenerClosed`] follows.
    /// Connections that the kernel accepted before may still come.
    pub fn stop_listening(&mut self, listener: u32) {
        let Some(entry) = self.listeners.get_mut(listener as usize) else {
            return;
        };
        if entry.fd.is_none() || entry.closing {
            return;
        }
        entry.closing = true;
        if entry.accepting {
            let target = Tag::new(Kind::Accept, entry.generation, listener);
            let tag = Tag::new(Kind::StopAccept, entry.generation, listener);
            self.push_cancel(CancelBuilder::user_data(target.encode()), tag);
        } else {
            entry.fd = None;
            self.follow_ups
                .push_back(Event::ListenerClosed { listener });
        }
    }

    fn arm_accept(&mut self, listener: u32) {
        let Some(entry) = self.listeners.get_mut(listener as usize) else {
            return;
        };
        let Some(fd) = &entry.fd else { return };
        if entry.accepting || entry.closing {
            return;
        }
        entry.accepting = true;
        let tag = Tag::new(Kind::Accept, entry.generation, listener);
        let operation = opcode::AcceptMulti::new(Fd(fd.as_raw_fd()))
            .flags(libc::SOCK_CLOEXEC)
            .build();
        // SAFETY: points to no memory; the descriptor is open until the accept ended.
        unsafe { self.push(operation, tag) };
    }

    // ---- connections -----------------------------------------------------

    /// Takes over a connected socket and starts to receive.
    ///
    /// # Errors
    /// [`NotOpened`] if the number is in use or beyond the limit.
    pub fn open(&mut self, slot: u32, fd: OwnedFd) -> Result<(), NotOpened> {
        if slot >= self.max_slots {
            let reason = NotOpenedReason::OutOfRange;
            return Err(NotOpened { reason, fd });
        }
        let index = slot as usize;
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, Slot::free);
        }
        let entry = &mut self.slots[index];
        if entry.fd != NO_FD {
            let reason = NotOpenedReason::InUse;
            return Err(NotOpened { reason, fd });
        }
        *entry = Slot {
            fd: fd.into_raw_fd(),
            generation: next_generation(entry.generation),
            reading: true,
            ..Slot::free()
        };
        self.arm_receive(slot);
        Ok(())
    }

    /// The socket of an open slot.
    pub fn socket(&self, slot: u32) -> Option<BorrowedFd<'_>> {
        let entry = self.slots.get(slot as usize)?;
        if entry.fd == NO_FD {
            return None;
        }
        // SAFETY: the slot owns the descriptor, and closing it needs `&mut self`.
        Some(unsafe { BorrowedFd::borrow_raw(entry.fd) })
    }

    /// Sends all of `buffer`; [`Event::Sent`] gives it back. One send at a time:
    /// with one in flight the answer is `EALREADY`, on a slot that is not open or
    /// is closing `EBADF`.
    pub fn send(&mut self, slot: u32, buffer: B) {
        let refusal = match self.slots.get(slot as usize) {
            Some(entry) if entry.fd != NO_FD && !entry.closing => {
                entry.sending.is_some().then_some(libc::EALREADY)
            }
            _ => Some(libc::EBADF),
        };
        if let Some(errno) = refusal {
            let result = Err(errno);
            self.follow_ups.push_back(Event::Sent {
                slot,
                buffer,
                result,
            });
            return;
        }
        let entry = &mut self.slots[slot as usize];
        let fd = Fd(entry.fd);
        let tag = Tag::new(Kind::Send, entry.generation, slot);
        entry.operations += 1;
        // MSG_WAITALL: the kernel goes on after a short write by itself.
        const FLAGS: i32 = libc::MSG_WAITALL | libc::MSG_NOSIGNAL;
        let operation = match buffer.single() {
            // Longer than an entry can say: the rest is for the next send.
            Some(bytes) => {
                let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                opcode::Send::new(fd, bytes.as_ptr(), length)
                    .flags(FLAGS)
                    .build()
            }
            None => {
                let message = self
                    .submission
                    .message(|parts| buffer.for_each_part(&mut |part| parts.add(part)));
                opcode::SendMsg::new(fd, message)
                    .flags(FLAGS as u32)
                    .build()
            }
        };
        entry.sending = Some(buffer);
        // SAFETY: the bytes stay (contract of SendBuffer) as long as `sending`
        // holds the value, which is until the completion; the message head stays
        // until the submission.
        unsafe { self.push(operation, tag) };
    }

    /// Gives up the send in flight; its [`Event::Sent`] tells how much of it went, or
    /// `ECANCELED` if nothing. It may have ended by itself meanwhile.
    pub fn cancel_send(&mut self, slot: u32) {
        let Some(entry) = self.open_slot(slot) else {
            return;
        };
        if entry.sending.is_some() {
            entry.operations += 1;
            let target = Tag::new(Kind::Send, entry.generation, slot).encode();
            let tag = Tag::new(Kind::Abandon, entry.generation, slot);
            self.push_cancel(CancelBuilder::user_data(target), tag);
        }
    }

    /// Whether the peer's end of file, or an error, was reported.
    pub fn has_ended(&self, slot: u32) -> bool {
        self.slots
            .get(slot as usize)
            .is_some_and(|entry| entry.fd != NO_FD && entry.ended)
    }

    /// Whether a send of this slot is in flight.
    pub fn is_sending(&self, slot: u32) -> bool {
        self.slots
            .get(slot as usize)
            .is_some_and(|entry| entry.sending.is_some())
    }

    /// Stops receiving: [`End::Paused`] follows, after what was received before.
    /// The peer's end of file is not noticed while paused.
    pub fn pause(&mut self, slot: u32) {
        let Some(entry) = self.open_slot(slot) else {
            return;
        };
        if !entry.reading || entry.ended {
            return;
        }
        entry.reading = false;
        if entry.receiving {
            entry.operations += 1;
            let target = Tag::new(Kind::Receive, entry.generation, slot);
            let tag = Tag::new(Kind::Pause, entry.generation, slot);
            self.push_cancel(CancelBuilder::user_data(target.encode()), tag);
        } else {
            let cause = End::Paused;
            self.follow_ups
                .push_back(Event::ReceiveEnded { slot, cause });
        }
    }

    /// Receives again. If the pause has not taken effect yet, its
    /// [`End::Paused`] will not come.
    pub fn resume(&mut self, slot: u32) {
        let Some(entry) = self.open_slot(slot) else {
            return;
        };
        if entry.reading || entry.ended {
            return;
        }
        entry.reading = true;
        // Otherwise the end of the running receive, or a buffer that comes free,
        // starts the next.
        if !entry.receiving && !entry.starved {
            self.arm_receive(slot);
        }
    }

    /// Tells the peer that nothing more comes. Only after the last send is over.
    pub fn shutdown_write(&mut self, slot: u32) {
        let Some(entry) = self.open_slot(slot) else {
            return;
        };
        entry.operations += 1;
        let tag = Tag::new(Kind::ShutdownWrite, entry.generation, slot);
        let operation = opcode::Shutdown::new(Fd(entry.fd), libc::SHUT_WR).build();
        // SAFETY: points to no memory.
        unsafe { self.push(operation, tag) };
    }

    /// Gives everything of the slot up, a send in flight included, and closes the
    /// socket. [`Event::Sent`] (if a send was in flight) and then
    /// [`Event::Drained`] follow, nothing else.
    pub fn close(&mut self, slot: u32) {
        let Some(entry) = self.open_slot(slot) else {
            return;
        };
        entry.closing = true;
        entry.reading = false;
        if entry.operations == 0 {
            self.finish(slot);
            return;
        }
        // By identity, not by descriptor: for that the kernel would search all
        // waiting operations of the ring.
        let generation = entry.generation;
        let targets = [
            (entry.receiving, Kind::Receive),
            (entry.sending.is_some(), Kind::Send),
        ];
        for (running, kind) in targets {
            if running {
                self.slots[slot as usize].operations += 1;
                let target = Tag::new(kind, generation, slot).encode();
                let tag = Tag::new(Kind::Abandon, generation, slot);
                self.push_cancel(CancelBuilder::user_data(target), tag);
            }
        }
    }

    /// The slot, if it is open and not closing.
    fn open_slot(&mut self, slot: u32) -> Option<&mut Slot<B>> {
        self.slots
            .get_mut(slot as usize)
            .filter(|entry| entry.fd != NO_FD && !entry.closing)
    }

    fn arm_receive(&mut self, slot: u32) {
        let Some(entry) = self.open_slot(slot) else {
            return;
        };
        entry.receiving = true;
        entry.operations += 1;
        let tag = Tag::new(Kind::Receive, entry.generation, slot);
        let operation = opcode::RecvMulti::new(Fd(entry.fd), buffer_ring::GROUP).build();
        // SAFETY: the kernel writes into buffers of the pool only, which outlives
        // the operation.
        unsafe { self.push(operation, tag) };
    }

    /// Closes the socket of a slot without operations in flight.
    fn finish(&mut self, slot: u32) {
        let entry = &mut self.slots[slot as usize];
        debug_assert!(entry.operations == 0 && entry.sending.is_none());
        // SAFETY: the slot owned the descriptor and forgets it here; no operation
        // of the kernel refers to it any more.
        drop(unsafe { OwnedFd::from_raw_fd(entry.fd) });
        entry.fd = NO_FD;
        self.follow_ups.push_back(Event::Drained { slot });
    }

    // ---- timer -----------------------------------------------------------

    /// Asks for [`Event::Timer`] at `deadline`, an absolute time of
    /// `CLOCK_MONOTONIC`. There is one timer. An earlier deadline replaces a
    /// later one; a later one is left to the event of the earlier, after which
    /// the consumer sets the timer anew: the event may come early, never late,
    /// and moving a deadline back costs nothing.
    pub fn set_timer(&mut self, deadline: Duration) {
        let deadline = deadline.min(LATEST_DEADLINE);
        let operation = match self.timer {
            Some(armed) if armed <= deadline => return,
            Some(_) => {
                *self.timer_spec = Timespec::from(deadline);
                let target = Tag::of_ring(Kind::Timer).encode();
                let operation = opcode::TimeoutUpdate::new(target, &raw const *self.timer_spec)
                    .flags(TimeoutFlags::ABS)
                    .build();
                (operation, Kind::TimerUpdate)
            }
            None => {
                *self.timer_spec = Timespec::from(deadline);
                let operation = opcode::Timeout::new(&raw const *self.timer_spec)
                    .flags(TimeoutFlags::ABS)
                    .build();
                (operation, Kind::Timer)
            }
        };
        self.timer = Some(deadline);
        // SAFETY: the box stays with the ring; the kernel copies the time when it
        // takes the entry. If several wait for that, all take the last value,
        // which is the one asked for.
        unsafe { self.push(operation.0, Tag::of_ring(operation.1)) };
    }

    // ---- files -----------------------------------------------------------

    /// Has the kernel carry out an operation on a file; [`Event::File`] tells of its end.
    ///
    /// # Safety
    /// The memory and the descriptor that `operation` names must stay until that event, or for
    /// ever if the ring is dropped before.
    pub(super) unsafe fn push_file(&mut self, operation: squeue::Entry, index: u32) {
        // SAFETY: as this function's contract.
        unsafe { self.push(operation, Tag::new(Kind::File, 0, index)) };
    }

    // ---- the turn --------------------------------------------------------

    /// Submits everything asked for, lets the kernel run what is due, and takes
    /// its completions, with one system call, or none if there is nothing to do.
    /// Returns how many completions [`next_event`](Self::next_event) will go
    /// through (not every one is an event).
    ///
    /// # Errors
    /// What `io_uring_enter` says beyond interruptions and temporary refusals,
    /// which are retried with the next turn. Such an error is a defect or the
    /// end of the ring.
    pub fn turn(&mut self) -> io::Result<usize> {
        self.feed_starved();
        self.submission.enter_if_needed()?;
        self.submission.reap(&mut self.batch);
        Ok(self.batch.len() + self.follow_ups.len())
    }

    /// The next event of this turn; `None` ends the turn.
    pub fn next_event(&mut self) -> Option<Event<B>> {
        loop {
            if let Some(event) = self.follow_ups.pop_front() {
                return Some(event);
            }
            let completion = self.batch.pop_front()?;
            if let Some(event) = self.complete(completion) {
                return Some(event);
            }
        }
    }

    /// Nothing to submit, to reap, to hand out, or waiting in the kernel.
    pub fn is_quiescent(&mut self) -> bool {
        self.batch.is_empty()
            && self.follow_ups.is_empty()
            && (self.starved.is_empty() || self.buffers.available() == 0)
            && self.submission.is_quiet()
    }

    /// Operations in flight; multishot ones count as one.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// From now on each write to `event_fd`, an eventfd, ends a
    /// [`sleep`](Self::sleep). It is never read: the poll notices every write,
    /// whatever the counter says.
    pub fn watch(&mut self, event_fd: OwnedFd) {
        self.watched = Some(event_fd);
        self.arm_watch();
    }

    fn arm_watch(&mut self) {
        let Some(fd) = &self.watched else { return };
        let operation = opcode::PollAdd::new(Fd(fd.as_raw_fd()), libc::POLLIN as u32)
            .multi(true)
            .build();
        // SAFETY: a poll points to no memory.
        unsafe { self.push(operation, Tag::of_ring(Kind::Wake)) };
    }

    /// Submits everything asked for and sleeps until there is a completion; not
    /// at all if there is one. [`turn`](Self::turn) takes it.
    ///
    /// # Errors
    /// As [`turn`](Self::turn).
    pub fn sleep(&mut self) -> io::Result<()> {
        let has_work = !self.batch.is_empty()
            || !self.follow_ups.is_empty()
            || (!self.starved.is_empty() && self.buffers.available() > 0);
        if has_work {
            return Ok(());
        }
        self.submission.sleep()
    }

    /// Receives again for slots that found no buffer: as many as there are
    /// buffers, the longest waiting first.
    fn feed_starved(&mut self) {
        for _ in 0..self.buffers.available() {
            let Some((slot, generation)) = self.starved.pop_front() else {
                return;
            };
            let entry = &mut self.slots[slot as usize];
            if entry.generation != generation {
                continue;
            }
            entry.starved = false;
            if entry.reading && !entry.receiving {
                self.arm_receive(slot);
            }
        }
    }

    fn complete(&mut self, completion: Completion) -> Option<Event<B>> {
        let last = !cqueue::more(completion.flags);
        if last {
            self.in_flight -= 1;
        }
        let result = completion.result;
        // Whatever else comes of it, a buffer that the completion names is ours.
        // SAFETY: every completion passes here once.
        let data = cqueue::buffer_select(completion.flags)
            .and_then(|id| unsafe { self.buffers.chunk(id, result.max(0) as u32) });
        let tag = Tag::decode(completion.user_data)?;
        match tag.kind {
            Kind::Receive => self.on_receive(tag, data, result, last),
            Kind::Send => self.on_send(tag, result),
            Kind::Pause | Kind::Abandon | Kind::ShutdownWrite => {
                self.current(tag)?.operations -= 1;
                self.finish_if_last(tag.index);
                None
            }
            Kind::Accept => self.on_accept(tag, result, last),
            Kind::Timer => {
                self.timer = None;
                Some(Event::Timer)
            }
            Kind::Wake => {
                if last {
                    self.arm_watch();
                }
                None
            }
            Kind::File => Some(Event::File {
                index: tag.index,
                result,
            }),
            Kind::StopAccept | Kind::TimerUpdate | Kind::CancelAll => None,
        }
    }

    /// The slot of `tag`, unless the number has been reused since.
    fn current(&mut self, tag: Tag) -> Option<&mut Slot<B>> {
        self.slots
            .get_mut(tag.index as usize)
            .filter(|entry| entry.fd != NO_FD && entry.generation == tag.generation)
    }

    fn finish_if_last(&mut self, slot: u32) {
        let entry = &self.slots[slot as usize];
        if entry.closing && entry.operations == 0 {
            self.finish(slot);
        }
    }

    fn on_receive(
        &mut self,
        tag: Tag,
        data: Option<Chunk>,
        result: i32,
        last: bool,
    ) -> Option<Event<B>> {
        let slot = tag.index;
        let entry = self.current(tag)?;
        if last {
            entry.receiving = false;
            entry.operations -= 1;
        }
        if entry.closing {
            self.finish_if_last(slot);
            return None;
        }
        let cause = match result {
            1.. => None,
            0 => Some(End::Eof),
            _ => match -result {
                libc::ENOBUFS => {
                    if entry.reading && !entry.starved {
                        entry.starved = true;
                        self.starved.push_back((slot, tag.generation));
                        return None;
                    }
                    None
                }
                // Our own cancellation, or nothing of the connection's.
                libc::ECANCELED | libc::EINTR | libc::EAGAIN => None,
                errno => Some(End::Error(errno)),
            },
        };
        if let Some(cause) = cause {
            entry.ended = true;
            entry.reading = false;
            return Some(Event::ReceiveEnded { slot, cause });
        }
        if last {
            if entry.reading {
                self.arm_receive(slot);
            } else {
                let cause = End::Paused;
                self.follow_ups
                    .push_back(Event::ReceiveEnded { slot, cause });
            }
        }
        let data = data.filter(|_| result > 0)?;
        Some(Event::Received { slot, data })
    }

    fn on_send(&mut self, tag: Tag, result: i32) -> Option<Event<B>> {
        let slot = tag.index;
        let entry = self.current(tag)?;
        entry.operations -= 1;
        let buffer = entry.sending.take();
        self.finish_if_last(slot);
        let result = usize::try_from(result).map_err(|_| -result);
        Some(Event::Sent {
            slot,
            buffer: buffer?,
            result,
        })
    }

    fn on_accept(&mut self, tag: Tag, result: i32, last: bool) -> Option<Event<B>> {
        let listener = tag.index;
        // SAFETY: a fresh descriptor that nothing else owns.
        let fd = (result >= 0).then(|| unsafe { OwnedFd::from_raw_fd(result) });
        let entry = self
            .listeners
            .get_mut(listener as usize)
            .filter(|entry| entry.generation == tag.generation)?;
        if last {
            entry.accepting = false;
            if entry.closing {
                entry.fd = None;
                self.follow_ups
                    .push_back(Event::ListenerClosed { listener });
            } else if fd.is_some() || is_peers_fault(-result) {
                self.arm_accept(listener);
            } else {
                let errno = -result;
                return Some(Event::AcceptFailed { listener, errno });
            }
        }
        fd.map(|fd| Event::Accepted { listener, fd })
    }

    fn push_cancel(&mut self, target: CancelBuilder, tag: Tag) {
        // SAFETY: a cancellation points to no memory.
        unsafe { self.push(opcode::AsyncCancel2::new(target).build(), tag) };
    }

    /// # Safety
    /// As [`Submission::push`].
    unsafe fn push(&mut self, operation: squeue::Entry, tag: Tag) {
        self.in_flight += 1;
        // SAFETY: as this function's contract.
        unsafe { self.submission.push(operation.user_data(tag.encode())) };
    }
}

/// Errors of accept(2) that concern one incoming connection, not the listener.
fn is_peers_fault(errno: i32) -> bool {
    matches!(
        errno,
        libc::ECONNABORTED
            | libc::EPROTO
            | libc::ENETDOWN
            | libc::ENOPROTOOPT
            | libc::EHOSTDOWN
            | libc::ENONET
            | libc::EHOSTUNREACH
            | libc::EOPNOTSUPP
            | libc::ENETUNREACH
            | libc::EPERM
            | libc::EINTR
            | libc::EAGAIN
    )
}

/// How long a dropped ring waits for one more of its last completions. They come
/// at once after a cancellation; this bounds a defect.
const TEARDOWN_WAIT: Duration = Duration::from_millis(200);

impl<B: SendBuffer> Drop for NetRing<B> {
    /// Cancels everything and waits for the last completion, so that memory and
    /// sockets are free when the ring is gone and a successor can bind the port.
    fn drop(&mut self) {
        // So that handling the last completions starts nothing anew.
        self.watched = None;
        for listener in &mut self.listeners {
            listener.closing = true;
        }
        for slot in &mut self.slots {
            slot.reading = false;
        }
        if self.in_flight > 0 {
            self.push_cancel(CancelBuilder::any(), Tag::of_ring(Kind::CancelAll));
        }
        loop {
            while let Some(completion) = self.batch.pop_front() {
                // Accepted sockets must not outlive the ring; `complete` owns them.
                drop(self.complete(completion));
            }
            if self.in_flight == 0 || self.submission.wait(TEARDOWN_WAIT).is_err() {
                break;
            }
            self.submission.reap(&mut self.batch);
        }
        if self.in_flight > 0 {
            // The kernel may still use this memory.
            self.buffers.leak();
            for slot in &mut self.slots {
                std::mem::forget(slot.sending.take());
            }
        }
        for slot in &mut self.slots {
            if slot.fd != NO_FD {
                // SAFETY: the slot owned it and forgets it.
                drop(unsafe { OwnedFd::from_raw_fd(slot.fd) });
                slot.fd = NO_FD;
            }
        }
    }
}

#[cfg(test)]
mod tests;
