//! What the options ask of the host beyond the ordinary: locked memory, huge pages, real-time
//! scheduling, polling the network card. Checked before anything starts, as far as the kernel
//! says it beforehand; each refusal with its remedy.

use std::fmt;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use crate::config::{HostOptions, Spin};

/// Numbers of capabilities (`include/uapi/linux/capability.h`).
const CAP_IPC_LOCK: u32 = 14;
const CAP_SYS_NICE: u32 = 23;

/// The kernel's own size of a huge page if `/proc/meminfo` does not say, in bytes.
const HUGE_PAGE_BYTES: u64 = 2 << 20;

/// Why the host does not give what an option asks for.
#[derive(Debug)]
pub enum PrivilegeError {
    /// All memory may not be locked under this limit, in bytes.
    LockLimit { limit: u64 },
    /// mlockall(2) refused.
    Lock { error: io::Error },
    /// Fewer huge pages are free than needed.
    HugePages {
        needed: u64,
        free: u64,
        page_bytes: u64,
    },
    /// No capability, and the limit of real-time priority is lower.
    RealtimeLimit { priority: u8, limit: u64 },
    /// sched_setscheduler(2) refused.
    Realtime { priority: u8, error: io::Error },
    /// Real-time cores that never sleep on every CPU there is.
    RealtimeEverywhere,
    /// SO_BUSY_POLL may not be set: newer kernels ask for no capability.
    BusyPollForbidden,
    /// SO_BUSY_POLL cannot be set.
    BusyPoll { error: io::Error },
}

impl fmt::Display for PrivilegeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LockLimit { limit } => write!(
                f,
                "--lock_memory: the limit of locked memory is {limit} bytes, and memory that is \
                 asked for beyond it would be refused while the server runs: lift it (`ulimit -l \
                 unlimited`, LimitMEMLOCK=infinity of the service), or give CAP_IPC_LOCK"
            ),
            Self::Lock { error } => write!(
                f,
                "--lock_memory: cannot lock memory: {error}; check the limit of locked memory \
                 (`ulimit -l`, LimitMEMLOCK= of the service) and of the control group"
            ),
            Self::HugePages {
                needed,
                free,
                page_bytes,
            } => write!(
                f,
                "--huge_pages: {needed} huge pages of {} KiB are needed, {free} are free: reserve \
                 them (`sysctl -w vm.nr_hugepages={needed}`, or hugepages={needed} on the \
                 kernel's command line)",
                page_bytes >> 10
            ),
            Self::RealtimeLimit { priority, limit } => write!(
                f,
                "--realtime: priority {priority} is not allowed: give CAP_SYS_NICE, or raise the \
                 limit of real-time priority, which is {limit} (`ulimit -r`, LimitRTPRIO= of the \
                 service)"
            ),
            Self::Realtime { priority, error } => write!(
                f,
                "--realtime: cannot run a core with priority {priority}: {error}; give \
                 CAP_SYS_NICE, and on kernels with real-time groups a share (cpu.rt_runtime_us) \
                 to the control group"
            ),
            Self::RealtimeEverywhere => f.write_str(
                "--realtime with --spin forever on every CPU would leave none to the kernel's \
                 own threads and to the rest of the host: leave one CPU out (--cpus), or let \
                 cores sleep (--spin 50us)",
            ),
            Self::BusyPollForbidden => f.write_str(
                "--busy_poll: on this kernel SO_BUSY_POLL needs CAP_NET_ADMIN \
                 (AmbientCapabilities= of the service)",
            ),
            Self::BusyPoll { error } => write!(
                f,
                "--busy_poll: this kernel does not poll network cards for sockets: {error} \
                 (CONFIG_NET_RX_BUSY_POLL)"
            ),
        }
    }
}

impl std::error::Error for PrivilegeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Lock { error } | Self::Realtime { error, .. } | Self::BusyPoll { error } => {
                Some(error)
            }
            _ => None,
        }
    }
}

/// What the kernel says that this process may do.
#[derive(Clone, Copy, Debug)]
pub struct Grants {
    /// Effective capabilities, a bit each.
    pub capabilities: u64,
    /// Limit of locked memory, in bytes.
    pub memlock: u64,
    /// Limit of real-time priority.
    pub rtprio: u64,
    pub huge_page_bytes: u64,
    /// Free and not promised to others.
    pub huge_pages_free: u64,
}

impl Grants {
    /// Asks the kernel.
    pub fn of_this_process(memlock: u64, rtprio: u64) -> Self {
        let page_bytes = huge_page_bytes();
        let directory = format!("/sys/kernel/mm/hugepages/hugepages-{}kB", page_bytes >> 10);
        let count = |name: &str| number(&format!("{directory}/{name}")).unwrap_or(0);
        Self {
            capabilities: capabilities(),
            memlock,
            rtprio,
            huge_page_bytes: page_bytes,
            huge_pages_free: count("free_hugepages").saturating_sub(count("resv_hugepages")),
        }
    }

    fn has(&self, capability: u32) -> bool {
        self.capabilities >> capability & 1 == 1
    }
}

fn number(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Size of a huge page as `MAP_HUGETLB` gives it, in bytes.
pub fn huge_page_bytes() -> u64 {
    fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| {
            let line = text.lines().find_map(|l| l.strip_prefix("Hugepagesize:"))?;
            line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
        })
        .map_or(HUGE_PAGE_BYTES, |kib| kib << 10)
}

/// Effective capabilities. Those of a user namespace do not count: the kernel asks for the
/// host's in all that matters here.
fn capabilities() -> u64 {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let is_host = map.split_whitespace().eq(["0", "0", "4294967295"]);
    if !map.is_empty() && !is_host {
        return 0;
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok())
        .unwrap_or(0)
}

/// Whether this process may lock memory beyond its limit.
pub fn may_lock_memory() -> bool {
    capabilities() >> CAP_IPC_LOCK & 1 == 1
}

/// Refuses what this process may not do. `buffer_bytes` are the receive buffers of one core.
///
/// # Errors
/// [`PrivilegeError`], with the remedy in its text.
pub fn check(
    options: &HostOptions,
    grants: &Grants,
    cores: usize,
    buffer_bytes: u64,
) -> Result<(), PrivilegeError> {
    // A limit that is only high enough today refuses memory tomorrow, and a refused allocation
    // ends the process.
    if options.lock_memory && grants.memlock != libc::RLIM_INFINITY && !grants.has(CAP_IPC_LOCK) {
        let limit = grants.memlock;
        return Err(PrivilegeError::LockLimit { limit });
    }
    if options.huge_pages {
        let page_bytes = grants.huge_page_bytes;
        let needed = cores as u64 * buffer_bytes.div_ceil(page_bytes);
        let free = grants.huge_pages_free;
        if free < needed {
            return Err(PrivilegeError::HugePages {
                needed,
                free,
                page_bytes,
            });
        }
    }
    if u64::from(options.realtime) > grants.rtprio && !grants.has(CAP_SYS_NICE) {
        return Err(PrivilegeError::RealtimeLimit {
            priority: options.realtime,
            limit: grants.rtprio,
        });
    }
    Ok(())
}

/// Tries SO_BUSY_POLL on a socket that nobody uses: kernels differ in whom they let.
///
/// # Errors
/// [`PrivilegeError::BusyPollForbidden`] and [`PrivilegeError::BusyPoll`].
pub fn check_busy_poll(micros: u32) -> Result<(), PrivilegeError> {
    std::net::UdpSocket::bind((std::net::Ipv4Addr::LOCALHOST, 0))
        .and_then(|socket| set_busy_poll(socket.as_fd(), micros))
        .map_err(busy_poll_refusal)
}

fn busy_poll_refusal(error: io::Error) -> PrivilegeError {
    match error.raw_os_error() {
        Some(libc::EPERM) => PrivilegeError::BusyPollForbidden,
        _ => PrivilegeError::BusyPoll { error },
    }
}

/// Refuses real-time cores that never sleep if they have every CPU in `online`: nothing else
/// would run but for what the kernel's limit on real-time threads leaves (5 % by default).
///
/// # Errors
/// [`PrivilegeError::RealtimeEverywhere`].
pub fn check_spin(
    realtime: u8,
    spin: Spin,
    cpus: &[usize],
    online: &[usize],
) -> Result<(), PrivilegeError> {
    let everywhere = online.iter().all(|cpu| cpus.contains(cpu));
    if realtime > 0 && spin == Spin::Forever && everywhere {
        return Err(PrivilegeError::RealtimeEverywhere);
    }
    Ok(())
}

/// The CPUs that are online.
pub fn online() -> Vec<usize> {
    let text = fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default();
    super::host::parse_list(&text)
}

/// Makes every page of the process resident, now and whenever memory is mapped later.
///
/// # Errors
/// [`PrivilegeError::Lock`].
pub fn lock_memory() -> Result<(), PrivilegeError> {
    // SAFETY: changes no memory, only where it is kept.
    if unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE) } != 0 {
        let error = io::Error::last_os_error();
        return Err(PrivilegeError::Lock { error });
    }
    Ok(())
}

/// Runs the calling thread under SCHED_FIFO; threads that it starts are ordinary ones again.
///
/// # Errors
/// [`PrivilegeError::Realtime`].
pub fn make_realtime(priority: u8) -> Result<(), PrivilegeError> {
    let parameter = libc::sched_param {
        sched_priority: i32::from(priority),
    };
    let policy = libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK;
    // SAFETY: the kernel reads a live structure.
    if unsafe { libc::sched_setscheduler(0, policy, &raw const parameter) } != 0 {
        let error = io::Error::last_os_error();
        return Err(PrivilegeError::Realtime { priority, error });
    }
    Ok(())
}

/// Lets receives on this socket poll the network card for so many microseconds.
///
/// # Errors
/// The system's error: `EPERM` without CAP_NET_ADMIN, `ENOPROTOOPT` without busy polling.
pub fn set_busy_poll(socket: BorrowedFd<'_>, micros: u32) -> io::Result<()> {
    let value = i32::try_from(micros).unwrap_or(i32::MAX);
    // SAFETY: the kernel reads one live integer of the length given.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_BUSY_POLL,
            (&raw const value).cast(),
            size_of::<i32>() as libc::socklen_t,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// The CPU that received this socket's last packet, if the kernel knows.
pub fn incoming_cpu(socket: BorrowedFd<'_>) -> Option<usize> {
    let mut cpu: i32 = -1;
    let mut length = size_of::<i32>() as libc::socklen_t;
    // SAFETY: the kernel fills one live integer of the length given.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_INCOMING_CPU,
            (&raw mut cpu).cast(),
            &raw mut length,
        )
    };
    (result == 0).then(|| usize::try_from(cpu).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Grants = Grants {
        capabilities: 0,
        memlock: 8 << 20,
        rtprio: 0,
        huge_page_bytes: 2 << 20,
        huge_pages_free: 3,
    };

    fn refusal(options: HostOptions, grants: Grants) -> Option<String> {
        check(&options, &grants, 4, 2 << 20)
            .err()
            .map(|error| error.to_string())
    }

    #[test]
    fn the_default_asks_for_nothing() {
        assert_eq!(refusal(HostOptions::default(), NOTHING), None);
    }

    #[test]
    fn each_refusal_names_limit_and_remedy() {
        let ask = HostOptions::default();
        for (options, words) in [
            (
                HostOptions {
                    lock_memory: true,
                    ..ask
                },
                ["8388608 bytes", "LimitMEMLOCK=infinity"],
            ),
            (
                HostOptions {
                    huge_pages: true,
                    ..ask
                },
                [
                    "4 huge pages of 2048 KiB are needed, 3",
                    "vm.nr_hugepages=4",
                ],
            ),
            (
                HostOptions { realtime: 7, ..ask },
                ["priority 7", "CAP_SYS_NICE"],
            ),
        ] {
            let text = refusal(options, NOTHING).expect("refused");
            assert!(words.iter().all(|word| text.contains(word)), "{text}");
        }
    }

    #[test]
    fn refusals_of_busy_polling_are_told_apart() {
        let refusal = |errno| busy_poll_refusal(io::Error::from_raw_os_error(errno)).to_string();
        assert!(refusal(libc::EPERM).contains("CAP_NET_ADMIN"));
        assert!(refusal(libc::ENOPROTOOPT).contains("CONFIG_NET_RX_BUSY_POLL"));
    }

    #[test]
    fn capabilities_and_limits_allow() {
        let all = HostOptions {
            lock_memory: true,
            huge_pages: true,
            realtime: 7,
            ..HostOptions::default()
        };
        let by_capability = Grants {
            capabilities: 1 << CAP_IPC_LOCK | 1 << CAP_SYS_NICE,
            huge_pages_free: 4,
            ..NOTHING
        };
        assert_eq!(refusal(all, by_capability), None);
        let by_limit = Grants {
            memlock: libc::RLIM_INFINITY,
            rtprio: 7,
            huge_pages_free: 4,
            ..NOTHING
        };
        assert_eq!(refusal(all, by_limit), None);
        let small_pages = Grants {
            huge_page_bytes: 64 << 10,
            huge_pages_free: 127,
            ..by_limit
        };
        assert!(refusal(all, small_pages).is_some_and(|text| text.contains("128")));
    }

    #[test]
    fn one_cpu_stays_free_of_real_time_cores_that_never_sleep() {
        let short = Spin::For(std::time::Duration::from_micros(50));
        let check = |realtime, spin, cpus: &[usize]| check_spin(realtime, spin, cpus, &[0, 1]);
        assert!(check(1, Spin::Forever, &[0, 1]).is_err());
        assert!(check(1, Spin::Forever, &[1, 0, 0]).is_err());
        assert!(check(1, Spin::Forever, &[1]).is_ok());
        assert!(check(1, short, &[0, 1]).is_ok());
        assert!(check(0, Spin::Forever, &[0, 1]).is_ok());
    }

    #[test]
    fn an_accepted_socket_knows_its_cpu() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let _client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (socket, _) = listener.accept().unwrap();
        let cpu = incoming_cpu(socket.as_fd()).expect("the kernel says");
        assert!(online().contains(&cpu));
    }
}
