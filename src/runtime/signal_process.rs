//! `--signal COMMAND[=TARGET]`: tells another server what to do.

use std::fmt;
use std::fs;

use crate::config::{SignalCommand, SignalRequest};

/// Why no signal was sent.
#[derive(Debug)]
pub enum SignalError {
    /// The target is neither a number nor a PID file.
    BadTarget(String),
    /// No server runs, or it cannot be found.
    NoServer,
    /// Several run: the message lists their ids.
    Several(Vec<i32>),
    /// There is no process of that number.
    NoProcess,
    /// The system refused.
    System(std::io::Error),
}

impl fmt::Display for SignalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadTarget(target) => write!(f, "invalid pid: {target}"),
            Self::NoServer => f.write_str("no nats-server processes running"),
            Self::Several(pids) => {
                f.write_str("multiple nats-server processes running:\n")?;
                for pid in pids {
                    writeln!(f, "{pid}")?;
                }
                Ok(())
            }
            Self::NoProcess => f.write_str("no such process"),
            Self::System(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SignalError {}

/// Names of the program under which a server may run.
const PROGRAMS: [&str; 2] = ["nats-server", "ringwire"];

/// Sends the signal.
///
/// # Errors
/// [`SignalError`].
pub fn send(request: &SignalRequest) -> Result<(), SignalError> {
    let pid = if request.target.is_empty() {
        the_only_server()?
    } else {
        target(&request.target)?
    };
    let signal = match request.command {
        SignalCommand::Stop => libc::SIGKILL,
        SignalCommand::Quit => libc::SIGINT,
        SignalCommand::Term => libc::SIGTERM,
        SignalCommand::Reopen => libc::SIGUSR1,
        SignalCommand::Reload => libc::SIGHUP,
        SignalCommand::LameDuck => libc::SIGUSR2,
    };
    // SAFETY: a system call without pointers; `pid` is positive, so it names one process.
    if unsafe { libc::kill(pid, signal) } == 0 {
        return Ok(());
    }
    let error = std::io::Error::last_os_error();
    if error.raw_os_error() == Some(libc::ESRCH) {
        Err(SignalError::NoProcess)
    } else {
        Err(SignalError::System(error))
    }
}

fn target(text: &str) -> Result<i32, SignalError> {
    let number = |text: &str| text.trim().parse::<i32>().ok().filter(|&pid| pid > 0);
    number(text)
        .or_else(|| number(&fs::read_to_string(text).ok()?))
        .ok_or_else(|| SignalError::BadTarget(text.to_owned()))
}

fn the_only_server() -> Result<i32, SignalError> {
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let mut found: Vec<i32> = fs::read_dir("/proc")
        .map_err(SignalError::System)?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|&pid| pid != own && is_server(pid))
        .collect();
    found.sort_unstable();
    match found[..] {
        [] => Err(SignalError::NoServer),
        [pid] => Ok(pid),
        _ => Err(SignalError::Several(found)),
    }
}

fn is_server(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm"))
        .is_ok_and(|name| PROGRAMS.contains(&name.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_number_or_a_file_with_one() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("pid");
        fs::write(&path, "4242").expect("writable");
        assert_eq!(target("17").expect("a number"), 17);
        assert_eq!(target(path.to_str().expect("text")).expect("a file"), 4242);
        for bad in ["-1", "0", "nothing/here"] {
            assert!(
                matches!(target(bad), Err(SignalError::BadTarget(_))),
                "{bad}"
            );
        }
    }
}
