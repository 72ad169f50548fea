//! Listening sockets.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::{FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// How long binding is tried again while the port is taken. A ring keeps its
/// listening socket for some milliseconds after its process was killed, so a
/// server started again at once must wait for its predecessor. A port that is
/// really taken must be reported within 2 s: test harnesses wait no longer.
pub const BIND_PATIENCE: Duration = Duration::from_millis(1500);

/// Pause between two tries.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// Connections that the kernel completes ahead of accept, as far as
/// `net.core.somaxconn` allows.
pub const BACKLOG: i32 = 4096;

/// Why a listener failed. The text names address and remedy.
#[derive(Debug)]
pub struct ListenError {
    pub address: SocketAddr,
    pub error: io::Error,
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, error } = self;
        write!(f, "cannot listen on {address}: {error}")?;
        match error.raw_os_error() {
            Some(libc::EADDRINUSE) => f.write_str(
                "; another process has the port: stop it, or choose another with --port",
            ),
            Some(libc::EADDRNOTAVAIL) => {
                f.write_str("; the address is not one of this host: choose another with --addr")
            }
            Some(libc::EACCES) => {
                f.write_str("; ports below 1024 need CAP_NET_BIND_SERVICE: choose a higher one")
            }
            _ => Ok(()),
        }
    }
}

impl std::error::Error for ListenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// Binds and listens; port 0 takes any free one. The unspecified addresses,
/// `0.0.0.0` as well as `::`, listen on IPv4 and IPv6 as nats-server does, or on
/// IPv4 alone where the host has no IPv6. Returns the address in effect.
///
/// Blocks up to [`BIND_PATIENCE`] while the port is taken: for start-up threads.
///
/// # Errors
/// [`ListenError`].
pub fn listen(host: IpAddr, port: u16) -> Result<(OwnedFd, SocketAddr), ListenError> {
    let asked = SocketAddr::new(host, port);
    let give_up = Instant::now() + BIND_PATIENCE;
    loop {
        match try_listen(asked) {
            Ok(listening) => return Ok(listening),
            Err(error)
                if error.raw_os_error() == Some(libc::EADDRINUSE) && Instant::now() < give_up =>
            {
                std::thread::sleep(RETRY_PAUSE);
            }
            Err(error) => {
                let address = asked;
                return Err(ListenError { address, error });
            }
        }
    }
}

fn try_listen(asked: SocketAddr) -> io::Result<(OwnedFd, SocketAddr)> {
    if !asked.ip().is_unspecified() {
        return bind(asked);
    }
    let dual = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), asked.port());
    match bind(dual) {
        Err(error)
            if matches!(
                error.raw_os_error(),
                Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL)
            ) =>
        {
            bind(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), asked.port()))
        }
        bound => bound,
    }
}

fn bind(address: SocketAddr) -> io::Result<(OwnedFd, SocketAddr)> {
    let family = if address.is_ipv6() {
        libc::AF_INET6
    } else {
        libc::AF_INET
    };
    // SAFETY: creates a descriptor, touches no memory.
    let fd = checked(unsafe { libc::socket(family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: fresh, open, owned by nothing else.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    // Lets a restarted server have the port despite old connections in TIME_WAIT;
    // not SO_REUSEPORT, with which two servers would share it unnoticed.
    set_option(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
    if address.is_ipv6() {
        let only = i32::from(!address.ip().is_unspecified());
        set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, only)?;
    }
    let (raw, length) = raw_address(address);
    // SAFETY: `raw` is a live socket address of which `length` bytes are filled.
    checked(unsafe { libc::bind(fd, (&raw const raw).cast(), length) })?;
    // SAFETY: touches no memory.
    checked(unsafe { libc::listen(fd, BACKLOG) })?;
    let listener = TcpListener::from(socket);
    let bound = listener.local_addr()?;
    Ok((listener.into(), bound))
}

fn raw_address(address: SocketAddr) -> (libc::sockaddr_storage, libc::socklen_t) {
    // SAFETY: all-zero is a valid storage, large and aligned enough for any family.
    let mut storage: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
    let length = match address {
        SocketAddr::V4(v4) => {
            let raw = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr {
                    s_addr: u32::from_ne_bytes(v4.ip().octets()),
                },
                sin_zero: [0; 8],
            };
            // SAFETY: see above.
            unsafe { (&raw mut storage).cast::<libc::sockaddr_in>().write(raw) };
            size_of::<libc::sockaddr_in>()
        }
        SocketAddr::V6(v6) => {
            let raw = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: v6.flowinfo(),
                sin6_addr: libc::in6_addr {
                    s6_addr: v6.ip().octets(),
                },
                sin6_scope_id: v6.scope_id(),
            };
            // SAFETY: see above.
            unsafe { (&raw mut storage).cast::<libc::sockaddr_in6>().write(raw) };
            size_of::<libc::sockaddr_in6>()
        }
    };
    (storage, length as libc::socklen_t)
}

fn set_option(fd: i32, level: i32, name: i32, value: i32) -> io::Result<()> {
    // SAFETY: the kernel reads one live integer of the length given.
    checked(unsafe {
        libc::setsockopt(
            fd,
            level,
            name,
            (&raw const value).cast(),
            size_of::<i32>() as libc::socklen_t,
        )
    })?;
    Ok(())
}

fn checked(result: i32) -> io::Result<i32> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    #[test]
    fn any_port_is_told() {
        let (_fd, address) = listen(Ipv4Addr::LOCALHOST.into(), 0).unwrap();
        assert_ne!(address.port(), 0);
        TcpStream::connect(address).unwrap();
    }

    #[test]
    fn the_unspecified_address_answers_on_both_families() {
        let (_fd, address) = listen(Ipv4Addr::UNSPECIFIED.into(), 0).unwrap();
        TcpStream::connect((Ipv4Addr::LOCALHOST, address.port())).unwrap();
        if address.is_ipv6() {
            TcpStream::connect((Ipv6Addr::LOCALHOST, address.port())).unwrap();
        }
    }

    #[test]
    fn a_taken_port_is_refused_with_a_remedy() {
        let (_fd, address) = listen(Ipv4Addr::LOCALHOST.into(), 0).unwrap();
        let refused = listen(address.ip(), address.port()).unwrap_err();
        assert_eq!(refused.error.kind(), io::ErrorKind::AddrInUse);
        assert!(refused.to_string().contains("--port"));
    }

    #[test]
    fn a_port_that_comes_free_is_taken() {
        let (fd, address) = listen(Ipv4Addr::LOCALHOST.into(), 0).unwrap();
        let waits = std::thread::spawn(move || listen(address.ip(), address.port()));
        drop(fd);
        assert_eq!(waits.join().unwrap().unwrap().1, address);
    }

    #[test]
    fn foreign_addresses_are_refused_at_once() {
        // TEST-NET-1, no host's address (RFC 5737).
        let refused = listen(Ipv4Addr::new(192, 0, 2, 1).into(), 0).unwrap_err();
        assert!(refused.to_string().contains("--addr"));
    }
}
