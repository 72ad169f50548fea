//! What the host must offer, checked before anything starts, each failure with its
//! remedy.
//!
//! The checks are pure functions of what the system says, so that each can be
//! tested; [`run`] asks the system and applies them.

use std::fmt;
use std::io;

use super::net_event::RingConfig;
use super::privileges::{self, Grants, PrivilegeError};
use crate::config::HostOptions;

/// The oldest kernel that has all that the rings use.
///
/// Provided-buffer rings and multishot accept came with 5.19, multishot receive
/// and `SINGLE_ISSUER` with 6.0, `DEFER_TASKRUN` with 6.1 (io_uring_setup(2),
/// io_uring_enter(2)).
pub const MINIMUM_KERNEL: KernelVersion = KernelVersion { major: 6, minor: 1 };

/// Locked memory that the file rings of one core register, in bytes. glommio
/// refuses to start below it.
pub const MEMLOCK_BYTES: u64 = 512 * 1024;

/// Descriptors that the broker needs besides those of clients: listeners, rings,
/// eventfds, log and store files; for every core.
pub const RESERVED_FILES_PER_CORE: u64 = 32;

/// Descriptors that the broker needs once.
pub const RESERVED_FILES: u64 = 64;

/// A kernel's version as far as features depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KernelVersion {
    pub major: u32,
    pub minor: u32,
}

impl KernelVersion {
    /// Reads a release as uname(2) gives it, such as `6.1.0-28-amd64`; `None` if it
    /// does not begin with two numbers.
    pub fn parse(release: &str) -> Option<Self> {
        let mut numbers = release.split(|c: char| !c.is_ascii_digit());
        let major = numbers.next()?.parse().ok()?;
        let minor = numbers.next()?.parse().ok()?;
        Some(Self { major, minor })
    }
}

impl fmt::Display for KernelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Why the broker cannot run here. The text names cause and remedy.
#[derive(Debug)]
pub enum PreflightError {
    /// The kernel lacks features.
    KernelTooOld { release: String },
    /// `kernel.io_uring_disabled` is 1 or 2.
    DisabledBySysctl { value: u8 },
    /// A filter or security module forbids io_uring (`EPERM`, `EACCES`).
    Forbidden { error: io::Error },
    /// The kernel was built without io_uring, or a filter hides it (`ENOSYS`).
    Absent,
    /// The ring was refused for want of locked memory (`ENOMEM`), or the limit is
    /// below what a core registers.
    MemlockTooLow { limit: u64, needed: u64 },
    /// The ring was refused for another reason.
    Refused { error: io::Error },
    /// Not even the broker's own files fit.
    FilesTooFew { limit: u64, needed: u64 },
    /// An option asks for what the host does not give.
    Privilege(PrivilegeError),
    /// A limit could not be read or raised.
    Limit {
        name: &'static str,
        error: io::Error,
    },
}

impl fmt::Display for PreflightError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KernelTooOld { release } => write!(
                f,
                "kernel {release} is too old: Ringwire needs Linux {MINIMUM_KERNEL} or newer \
                 (io_uring with DEFER_TASKRUN); upgrade the kernel"
            ),
            Self::DisabledBySysctl { value } => write!(
                f,
                "io_uring is disabled on this host (kernel.io_uring_disabled = {value}): \
                 run `sysctl -w kernel.io_uring_disabled=0`, or with 1 add the user to the \
                 group of kernel.io_uring_group"
            ),
            Self::Forbidden { error } => write!(
                f,
                "io_uring is forbidden to this process ({error}), most often by a container's \
                 seccomp profile or a security module: allow io_uring_setup, io_uring_enter and \
                 io_uring_register (docker: --security-opt seccomp=PROFILE)"
            ),
            Self::Absent => f.write_str(
                "this system has no io_uring (ENOSYS): the kernel was built without \
                 CONFIG_IO_URING, or a seccomp profile or sandbox hides it; \
                 there is no fallback",
            ),
            Self::MemlockTooLow { limit, needed } => write!(
                f,
                "the limit of locked memory is {limit} bytes, too low for {needed}: raise it \
                 (`ulimit -l`, LimitMEMLOCK= of the service, or memlock in limits.conf)"
            ),
            Self::Refused { error } => write!(f, "the kernel refused an io_uring: {error}"),
            Self::FilesTooFew { limit, needed } => write!(
                f,
                "the limit of open files is {limit}, but the broker alone needs {needed}: raise \
                 it (`ulimit -n`, LimitNOFILE= of the service)"
            ),
            Self::Privilege(error) => error.fmt(f),
            Self::Limit { name, error } => write!(f, "cannot read or raise {name}: {error}"),
        }
    }
}

impl std::error::Error for PreflightError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Forbidden { error } | Self::Refused { error } | Self::Limit { error, .. } => {
                Some(error)
            }
            Self::Privilege(error) => Some(error),
            _ => None,
        }
    }
}

/// What the operator should know though the broker starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// The hard limit of open files lets in fewer clients than configured.
    FewerConnections {
        limit: u64,
        wanted: u64,
        possible: u64,
    },
    /// The kernel polls the network card for single receives, not for a core that sleeps.
    NoNapi { error: String },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FewerConnections {
                limit,
                wanted,
                possible,
            } => write!(
                f,
                "the limit of open files ({limit}) allows about {possible} of {wanted} \
                 connections: raise the hard limit (`ulimit -Hn`, LimitNOFILE= of the service)"
            ),
            Self::NoNapi { error } => write!(
                f,
                "--busy_poll: the kernel does not poll the network card for a core that sleeps \
                 (io_uring with NAPI, Linux 6.9): {error}; use --spin"
            ),
        }
    }
}

/// Refuses kernels before [`MINIMUM_KERNEL`]. A release that cannot be read passes:
/// the trial ring decides.
pub fn check_kernel(release: &str) -> Result<(), PreflightError> {
    match KernelVersion::parse(release) {
        Some(version) if version < MINIMUM_KERNEL => Err(PreflightError::KernelTooOld {
            release: release.to_owned(),
        }),
        _ => Ok(()),
    }
}

/// Explains why a trial ring was refused. `sysctl` is the content of
/// `/proc/sys/kernel/io_uring_disabled`, if that exists.
pub fn explain_refusal(
    error: io::Error,
    sysctl: Option<&str>,
    release: &str,
    memlock: u64,
) -> PreflightError {
    let disabled = sysctl.and_then(|text| text.trim().parse::<u8>().ok());
    match (error.raw_os_error(), disabled) {
        (Some(libc::EPERM), Some(value @ 1..)) => PreflightError::DisabledBySysctl { value },
        (Some(libc::EPERM | libc::EACCES), _) => PreflightError::Forbidden { error },
        (Some(libc::ENOSYS), _) => PreflightError::Absent,
        (Some(libc::ENOMEM), _) => PreflightError::MemlockTooLow {
            limit: memlock,
            needed: memlock.saturating_mul(2).max(MEMLOCK_BYTES),
        },
        // Unknown set-up flags: the version lied or was not readable.
        (Some(libc::EINVAL), _) => PreflightError::KernelTooOld {
            release: release.to_owned(),
        },
        _ => PreflightError::Refused { error },
    }
}

/// Refuses a limit of locked memory below [`MEMLOCK_BYTES`].
pub fn check_memlock(limit: u64) -> Result<(), PreflightError> {
    if limit < MEMLOCK_BYTES {
        return Err(PreflightError::MemlockTooLow {
            limit,
            needed: MEMLOCK_BYTES,
        });
    }
    Ok(())
}

/// Descriptors that a broker of so many cores needs besides those of clients.
fn own_files(cores: usize) -> u64 {
    RESERVED_FILES + RESERVED_FILES_PER_CORE * cores as u64
}

/// Judges the limit of open files for so many cores and clients.
pub fn check_files(
    limit: u64,
    cores: usize,
    connections: u64,
) -> Result<Option<Warning>, PreflightError> {
    let own = own_files(cores);
    if limit <= own {
        return Err(PreflightError::FilesTooFew { limit, needed: own });
    }
    let possible = limit - own;
    Ok(
        (possible < connections).then_some(Warning::FewerConnections {
            limit,
            wanted: connections,
            possible,
        }),
    )
}

/// Checks the host for a broker of `cores` cores and `connections` clients that asks
/// for these options, and raises the soft limit of open files to the hard one.
///
/// # Errors
/// [`PreflightError`], with the remedy in its text.
pub fn run(
    cores: usize,
    connections: u64,
    options: &HostOptions,
) -> Result<Vec<Warning>, PreflightError> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = release.trim();
    check_kernel(release)?;
    let (memlock, _) = limit(libc::RLIMIT_MEMLOCK, "the limit of locked memory")?;
    check_memlock(memlock)?;
    let files = raise_files()?;
    let mut warnings = Vec::new();
    warnings.extend(check_files(files, cores, connections)?);
    reserve_descriptors(files.min(own_files(cores) + connections));
    let sysctl = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok();
    let ring = super::submission::Submission::new(8, 16)
        .map_err(|error| explain_refusal(error, sysctl.as_deref(), release, memlock))?;
    let (rtprio, _) = limit(libc::RLIMIT_RTPRIO, "the limit of real-time priority")?;
    let grants = Grants::of_this_process(memlock, rtprio);
    let buffers = RingConfig::default().receive_bytes();
    privileges::check(options, &grants, cores, buffers).map_err(PreflightError::Privilege)?;
    if options.busy_poll > 0 {
        privileges::check_busy_poll(options.busy_poll).map_err(PreflightError::Privilege)?;
        let napi = ring.poll_network(options.busy_poll);
        warnings.extend(napi.err().map(|error| Warning::NoNapi {
            error: error.to_string(),
        }));
    }
    Ok(warnings)
}

/// Most descriptors that [`reserve_descriptors`] makes room for; more grow the table
/// as they come.
pub const RESERVED_DESCRIPTORS_MAX: u64 = 1 << 20;

/// Lets the kernel's table of descriptors grow now, to `count`: eight bytes each.
///
/// A table that grows while the process has several threads waits for an RCU grace
/// period, some ten milliseconds, in the system call that needed the descriptor: a
/// core that accepts would stand still at 64, 128, 256 and so on connections. Must
/// run before the first thread starts. Best effort: without it the server is as
/// good, but for those pauses.
fn reserve_descriptors(count: u64) {
    let Ok(last) = libc::c_int::try_from(count.min(RESERVED_DESCRIPTORS_MAX).saturating_sub(1))
    else {
        return;
    };
    // SAFETY: plain system calls on descriptors; the duplicate has no other owner.
    unsafe {
        let duplicate = libc::fcntl(libc::STDERR_FILENO, libc::F_DUPFD_CLOEXEC, last);
        if duplicate >= 0 {
            libc::close(duplicate);
        }
    }
}

/// Soft and hard value of a resource limit.
fn limit(
    resource: libc::__rlimit_resource_t,
    name: &'static str,
) -> Result<(u64, u64), PreflightError> {
    let mut value = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the kernel fills a live structure.
    if unsafe { libc::getrlimit(resource, &raw mut value) } != 0 {
        let error = io::Error::last_os_error();
        return Err(PreflightError::Limit { name, error });
    }
    Ok((value.rlim_cur, value.rlim_max))
}

/// Raises the soft limit of open files to the hard one; returns it.
fn raise_files() -> Result<u64, PreflightError> {
    let name = "the limit of open files";
    let (soft, hard) = limit(libc::RLIMIT_NOFILE, name)?;
    if soft >= hard {
        return Ok(soft);
    }
    let value = libc::rlimit {
        rlim_cur: hard,
        rlim_max: hard,
    };
    // SAFETY: the kernel reads a live structure.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const value) } != 0 {
        let error = io::Error::last_os_error();
        return Err(PreflightError::Limit { name, error });
    }
    Ok(hard)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_read() {
        let version = |major, minor| Some(KernelVersion { major, minor });
        for (release, expected) in [
            ("6.1.0-28-amd64", version(6, 1)),
            ("5.15.0", version(5, 15)),
            ("6.12-rc1", version(6, 12)),
            ("10.0", version(10, 0)),
            ("6", None),
            ("", None),
            ("linux", None),
            ("99999999999.1", None),
        ] {
            assert_eq!(KernelVersion::parse(release), expected, "{release}");
        }
    }

    #[test]
    fn old_kernels_are_refused_by_name() {
        let refused = check_kernel("5.15.0-91-generic").unwrap_err().to_string();
        assert!(refused.contains("5.15.0-91-generic") && refused.contains("6.1"));
        for release in ["6.1.0", "6.18.44", "7.0", "strange"] {
            check_kernel(release).unwrap();
        }
    }

    #[test]
    fn each_refusal_has_its_remedy() {
        let explain = |errno, sysctl| {
            explain_refusal(
                io::Error::from_raw_os_error(errno),
                sysctl,
                "6.1.0",
                64 << 10,
            )
            .to_string()
        };
        for (errno, sysctl, remedy) in [
            (libc::EPERM, Some("2\n"), "kernel.io_uring_disabled=0"),
            (libc::EPERM, Some("0\n"), "seccomp"),
            (libc::EPERM, None, "seccomp"),
            (libc::ENOSYS, Some("0"), "CONFIG_IO_URING"),
            (libc::ENOMEM, None, "ulimit -l"),
            (libc::EINVAL, None, "upgrade the kernel"),
            (libc::EMFILE, None, "refused"),
        ] {
            let text = explain(errno, sysctl);
            assert!(text.contains(remedy), "{text}");
        }
    }

    #[test]
    fn limits_are_judged() {
        assert!(check_memlock(MEMLOCK_BYTES).is_ok());
        assert!(check_memlock(64 << 10).is_err());
        assert!(matches!(check_files(1 << 20, 4, 65_536), Ok(None)));
        assert!(matches!(
            check_files(1024, 2, 65_536),
            Ok(Some(Warning::FewerConnections { possible: 896, .. }))
        ));
        assert!(check_files(128, 2, 10).is_err());
    }

    #[test]
    fn this_host_passes() {
        run(1, 16, &HostOptions::default()).unwrap();
    }
}
