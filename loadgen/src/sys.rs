//! The system calls that the standard library lacks. All `unsafe` code of the
//! program is in this file; everything it exports is safe to call.
//!
//! Sources: `epoll(7)`, `epoll_wait(2)`, `sched_setaffinity(2)`, `clock_getcpuclockid(3)`,
//! `prctl(2)`, `getrlimit(2)`, `sigaction(2)` of the Linux manual pages.

use std::io;
use std::mem;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a descriptor is watched for. Errors and hang-ups are always reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Nothing but errors and hang-ups: a peer that never reads.
    Nothing,
    Read,
    ReadWrite,
}

impl Interest {
    fn bits(self) -> u32 {
        let bits = match self {
            Interest::Nothing => 0,
            Interest::Read => libc::EPOLLIN,
            Interest::ReadWrite => libc::EPOLLIN | libc::EPOLLOUT,
        };
        bits as u32
    }
}

/// One readiness report.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    /// The token given when the descriptor was added.
    pub token: usize,
    pub writable: bool,
    /// Readable, or in a state (error, hang-up) that reading will report.
    pub readable: bool,
}

/// Room for the reports of one wait.
pub struct Events {
    slots: Vec<libc::epoll_event>,
    filled: usize,
}

impl Events {
    /// Room for `capacity` reports, at least one.
    pub fn with_capacity(capacity: usize) -> Events {
        let slots = vec![libc::epoll_event { events: 0, u64: 0 }; capacity.max(1)];
        Events { slots, filled: 0 }
    }

    pub fn len(&self) -> usize {
        self.filled
    }

    /// Report `index` of the last wait. Panics if `index >= len()`.
    pub fn get(&self, index: usize) -> Ready {
        let event = self.slots[..self.filled][index];
        let bits = event.events;
        Ready {
            token: event.u64 as usize,
            writable: bits & (libc::EPOLLOUT as u32) != 0,
            readable: bits & !(libc::EPOLLOUT as u32) != 0,
        }
    }
}

/// A level-triggered epoll instance.
pub struct Epoll(OwnedFd);

impl Epoll {
    pub fn new() -> io::Result<Epoll> {
        // SAFETY: no pointers; the result is checked before it is owned.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: `fd` was just created and has no other owner.
        Ok(Epoll(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    pub fn add(&self, fd: &impl AsRawFd, token: usize, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, token, interest)
    }

    pub fn modify(&self, fd: &impl AsRawFd, token: usize, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, token, interest)
    }

    pub fn remove(&self, fd: &impl AsRawFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, fd, 0, Interest::Nothing)
    }

    fn control(
        &self,
        operation: libc::c_int,
        fd: &impl AsRawFd,
        token: usize,
        interest: Interest,
    ) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: interest.bits(),
            u64: token as u64,
        };
        // SAFETY: `event` outlives the call and both descriptors are open.
        check(unsafe {
            libc::epoll_ctl(self.0.as_raw_fd(), operation, fd.as_raw_fd(), &mut event)
        })?;
        Ok(())
    }

    /// Waits up to `timeout_ns` nanoseconds (0: only looks) and fills `events`.
    /// An interrupting signal counts as a wait that found nothing.
    pub fn wait(&self, events: &mut Events, timeout_ns: u64) -> io::Result<()> {
        let room = events.slots.len().min(i32::MAX as usize) as i32;
        let timeout = libc::timespec {
            tv_sec: (timeout_ns / 1_000_000_000) as libc::time_t,
            tv_nsec: (timeout_ns % 1_000_000_000) as libc::c_long,
        };
        // SAFETY: the slots are valid for `room` events and `timeout` for
        // reading, both for the whole call; a null mask changes no signals.
        let found = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.0.as_raw_fd(),
                events.slots.as_mut_ptr(),
                room,
                &timeout as *const libc::timespec,
                std::ptr::null::<libc::sigset_t>(),
                0usize,
            )
        };
        events.filled = 0;
        match check(found as libc::c_int) {
            Ok(found) => events.filled = found as usize,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// Nanoseconds of `CLOCK_MONOTONIC`: one time line for all processes of a host.
pub fn monotonic_ns() -> u64 {
    read_clock(libc::CLOCK_MONOTONIC).unwrap_or(0)
}

/// CPU time, user and kernel, of all threads of process `pid` since it began,
/// those that ended included, in nanoseconds. Unlike `/proc/PID/stat` it does
/// not count in clock ticks, and unlike `schedstat` it is current for threads
/// that run at this moment.
pub fn process_cpu_ns(pid: u32) -> io::Result<u64> {
    /// The kernel's PID_MAX_LIMIT. Clock ids have no room for larger numbers
    /// and would name another process; 0 would be this one.
    const LARGEST_PID: u32 = 4 * 1024 * 1024;
    if pid == 0 || pid > LARGEST_PID {
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    let pid = pid as libc::pid_t;
    let mut clock: libc::clockid_t = 0;
    // SAFETY: `clock` is valid for the write.
    let code = unsafe { libc::clock_getcpuclockid(pid, &mut clock) };
    if code != 0 {
        return Err(io::Error::from_raw_os_error(code));
    }
    read_clock(clock)
}

fn read_clock(clock: libc::clockid_t) -> io::Result<u64> {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is valid for the write.
    check(unsafe { libc::clock_gettime(clock, &mut time) })?;
    Ok(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

/// Binds the calling thread to `cpus`, at least one.
pub fn pin_current_thread(cpus: &[usize]) -> io::Result<()> {
    let set = cpu_set(cpus)?;
    // SAFETY: `set` is a complete CPU set; pid 0 is the calling thread.
    check(unsafe { libc::sched_setaffinity(0, mem::size_of_val(&set), &set) })?;
    Ok(())
}

fn cpu_set(cpus: &[usize]) -> io::Result<libc::cpu_set_t> {
    // SAFETY: an all-zero CPU set is the valid empty set.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    for &cpu in cpus {
        if cpu >= libc::CPU_SETSIZE as usize {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // SAFETY: `cpu` was checked against the set's size.
        unsafe { libc::CPU_SET(cpu, &mut set) };
    }
    Ok(set)
}

/// Makes `command` run pinned to `cpus` (unless empty), in a process group of
/// its own, and die with this thread, so that no server survives a killed run.
pub fn prepare_child(command: &mut Command, cpus: &[usize]) -> io::Result<()> {
    let set = match cpus {
        [] => None,
        cpus => Some(cpu_set(cpus)?),
    };
    command.process_group(0);
    // SAFETY: between fork and exec the closure makes system calls only; it
    // allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(move || {
            check(libc::prctl(
                libc::PR_SET_PDEATHSIG,
                libc::SIGKILL as libc::c_ulong,
            ))?;
            if let Some(set) = &set {
                check(libc::sched_setaffinity(0, mem::size_of_val(set), set))?;
            }
            Ok(())
        });
    }
    Ok(())
}

/// Sends `SIGTERM` (or `SIGKILL` if `hard`) to the process group that
/// [`prepare_child`] gave the child `pid`.
pub fn end_group(pid: u32, hard: bool) {
    let Ok(group) = libc::pid_t::try_from(pid) else {
        return;
    };
    if group <= 1 {
        return;
    }
    let signal = if hard { libc::SIGKILL } else { libc::SIGTERM };
    // SAFETY: no pointers. A group that is already gone is not an error here.
    unsafe { libc::kill(-group, signal) };
}

/// Lets sleeps of the calling thread end when they should: by default the
/// kernel may add 50 µs.
pub fn wake_on_time() -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1 as libc::c_ulong) })?;
    Ok(())
}

/// Raises the limit of open files to the hard limit and returns it.
pub fn raise_file_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is valid for the write, then for the read.
    unsafe {
        check(libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit))?;
        limit.rlim_cur = limit.rlim_max;
        check(libc::setrlimit(libc::RLIMIT_NOFILE, &limit))?;
    }
    Ok(limit.rlim_cur)
}

static STOP: AtomicBool = AtomicBool::new(false);

extern "C" fn note_stop(_signal: libc::c_int) {
    STOP.store(true, Ordering::Relaxed);
}

/// Turns the first SIGINT or SIGTERM into [`stop_requested`], so that what was
/// measured so far is still reported; the second one ends the program.
pub fn stop_on_signals() -> io::Result<()> {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: an all-zero sigaction is valid; the handler only stores to
        // an atomic, which is safe in a signal handler.
        unsafe {
            let mut action: libc::sigaction = mem::zeroed();
            action.sa_sigaction = note_stop as extern "C" fn(libc::c_int) as usize;
            action.sa_flags = libc::SA_RESETHAND;
            check(libc::sigaction(signal, &action, std::ptr::null_mut()))?;
        }
    }
    Ok(())
}

/// Whether SIGINT or SIGTERM asked the run to end.
pub fn stop_requested() -> bool {
    STOP.load(Ordering::Relaxed)
}

/// Starts a TCP connection without waiting for it: errors of the handshake
/// appear at the first write or read.
pub fn connect_nonblocking(address: SocketAddr) -> io::Result<TcpStream> {
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    let family = match address {
        SocketAddr::V4(_) => libc::AF_INET,
        SocketAddr::V6(_) => libc::AF_INET6,
    };
    // SAFETY: no pointers; the result is checked before it is owned.
    let fd = check(unsafe { libc::socket(family, kind, 0) })?;
    // SAFETY: `fd` was just created and has no other owner.
    let stream = unsafe { TcpStream::from_raw_fd(fd) };
    let outcome = match address {
        SocketAddr::V4(v4) => {
            // SAFETY: an all-zero sockaddr_in is valid.
            let mut raw: libc::sockaddr_in = unsafe { mem::zeroed() };
            raw.sin_family = libc::AF_INET as libc::sa_family_t;
            raw.sin_port = v4.port().to_be();
            raw.sin_addr.s_addr = u32::from_ne_bytes(v4.ip().octets());
            connect(fd, &raw)
        }
        SocketAddr::V6(v6) => {
            // SAFETY: an all-zero sockaddr_in6 is valid.
            let mut raw: libc::sockaddr_in6 = unsafe { mem::zeroed() };
            raw.sin6_family = libc::AF_INET6 as libc::sa_family_t;
            raw.sin6_port = v6.port().to_be();
            raw.sin6_addr.s6_addr = v6.ip().octets();
            raw.sin6_scope_id = v6.scope_id();
            connect(fd, &raw)
        }
    };
    match outcome {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(stream),
    }
}

/// Begins to connect `fd` to `raw`, a socket address of the fd's family.
fn connect<T>(fd: libc::c_int, raw: &T) -> io::Result<libc::c_int> {
    let length = mem::size_of::<T>() as libc::socklen_t;
    // SAFETY: `raw` is valid for reads of the stated length.
    check(unsafe { libc::connect(fd, (raw as *const T).cast(), length) })
}

fn check(code: libc::c_int) -> io::Result<libc::c_int> {
    if code < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_cpu_time_grows_with_work() {
        let pid = std::process::id();
        let before = process_cpu_ns(pid).unwrap();
        let mut sum = 0u64;
        for n in 0..2_000_000u64 {
            sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(n));
        }
        assert!(process_cpu_ns(pid).unwrap() > before);
    }

    #[test]
    fn a_cpu_beyond_the_set_is_refused() {
        assert!(cpu_set(&[0, libc::CPU_SETSIZE as usize]).is_err());
    }

    #[test]
    fn epoll_reports_a_writable_pipe() {
        let (_reader, writer) = io::pipe().unwrap();
        let epoll = Epoll::new().unwrap();
        epoll.add(&writer, 7, Interest::ReadWrite).unwrap();
        let mut events = Events::with_capacity(4);
        epoll.wait(&mut events, 0).unwrap();
        assert_eq!(events.len(), 1);
        let ready = events.get(0);
        assert!(ready.writable && !ready.readable && ready.token == 7);
    }
}
