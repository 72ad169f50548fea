//! The PID file and the ports file.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use serde::Serialize;

/// Addresses in the order and form of nats-server's ports file.
#[derive(Serialize)]
struct Ports {
    nats: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    monitoring: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    websocket: Vec<String>,
}

/// Writes the process id: digits only.
///
/// # Errors
/// The system's, from writing.
pub fn write_pid(path: &str) -> io::Result<()> {
    fs::write(path, std::process::id().to_string())
}

/// `DIR/PROGRAM_PID.ports`.
pub fn ports_path(dir: &str) -> PathBuf {
    let program = std::env::args()
        .next()
        .map(PathBuf::from)
        .and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
        .unwrap_or_else(|| "nats-server".to_owned());
    PathBuf::from(dir).join(format!("{program}_{}.ports", std::process::id()))
}

/// Writes the addresses that clients and monitoring can be reached at.
///
/// # Errors
/// The system's, from writing.
pub fn write_ports(
    dir: &str,
    client: SocketAddr,
    monitor: Option<SocketAddr>,
    websocket: Option<SocketAddr>,
) -> io::Result<()> {
    let urls = |scheme: &str, address: SocketAddr| {
        addresses(address.ip())
            .into_iter()
            .map(|ip| format!("{scheme}://{}", SocketAddr::new(ip, address.port())))
            .collect()
    };
    let ports = Ports {
        nats: urls("nats", client),
        monitoring: monitor
            .map(|address| urls("http", address))
            .unwrap_or_default(),
        websocket: websocket
            .map(|address| urls("ws", address))
            .unwrap_or_default(),
    };
    let json = serde_json::to_vec(&ports).map_err(io::Error::other)?;
    // Harnesses look for the file and read it at once: it appears whole.
    let path = ports_path(dir);
    let temporary = path.with_extension("ports.tmp");
    fs::write(&temporary, json)?;
    fs::rename(temporary, path)
}

/// The addresses that a bound one stands for.
fn addresses(ip: IpAddr) -> Vec<IpAddr> {
    if !ip.is_unspecified() {
        return vec![ip];
    }
    let own = interface_addresses();
    if own.is_empty() {
        vec![IpAddr::from([127, 0, 0, 1])]
    } else {
        own
    }
}

/// The addresses of this host's interfaces.
fn interface_addresses() -> Vec<IpAddr> {
    let mut list: *mut libc::ifaddrs = std::ptr::null_mut();
    // SAFETY: `list` is a valid place for the result, freed below.
    if unsafe { libc::getifaddrs(&raw mut list) } != 0 {
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut at = list;
    while !at.is_null() {
        // SAFETY: getifaddrs made a list whose entries live until freeifaddrs.
        let entry = unsafe { &*at };
        // SAFETY: an address, if there is one, has the size that its family says.
        let ip = unsafe { address_of(entry.ifa_addr) };
        found.extend(ip);
        at = entry.ifa_next;
    }
    // SAFETY: `list` came from getifaddrs, and nothing refers to it any more.
    unsafe { libc::freeifaddrs(list) };
    found
}

/// # Safety
/// `address` is null or points to a socket address of the size of its family.
unsafe fn address_of(address: *const libc::sockaddr) -> Option<IpAddr> {
    if address.is_null() {
        return None;
    }
    // SAFETY: by the caller's promise.
    match i32::from(unsafe { (*address).sa_family }) {
        libc::AF_INET => {
            // SAFETY: the family says that it is one.
            let v4 = unsafe { &*address.cast::<libc::sockaddr_in>() };
            Some(IpAddr::from(v4.sin_addr.s_addr.to_ne_bytes()))
        }
        libc::AF_INET6 => {
            // SAFETY: the family says that it is one.
            let v6 = unsafe { &*address.cast::<libc::sockaddr_in6>() };
            Some(IpAddr::from(v6.sin6_addr.s6_addr))
        }
        _ => None,
    }
}
