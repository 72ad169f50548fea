//! Where log lines go: standard error, a file with rotation by size, or syslog.
//!
//! Only the control thread writes; every line is flushed, because harnesses
//! and operators read the file while the server runs.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use crate::broker::LogLevel;
use crate::config::LogOptions;

/// Where local syslog daemons listen.
const SYSLOG_SOCKET: &str = "/dev/log";
/// Syslog facility "daemon", as nats-server uses.
const SYSLOG_FACILITY: u8 = 3 << 3;

enum Sink {
    Stderr,
    File {
        file: File,
        path: PathBuf,
        written: u64,
    },
    Syslog(UnixDatagram),
    RemoteSyslog(std::net::UdpSocket),
}

/// The log.
pub struct Logger {
    sink: Sink,
    options: LogOptions,
    pid: u32,
    zone: TimeZone,
}

/// A severity as lines show it; fatal is only said before the end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Tag {
    Info,
    Warn,
    Error,
    Fatal,
    Debug,
    Trace,
}

impl From<LogLevel> for Tag {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Info => Self::Info,
            LogLevel::Warn => Self::Warn,
            LogLevel::Error => Self::Error,
            LogLevel::Debug => Self::Debug,
            LogLevel::Trace => Self::Trace,
        }
    }
}

impl Tag {
    fn text(self) -> &'static str {
        match self {
            Self::Info => "INF",
            Self::Warn => "WRN",
            Self::Error => "ERR",
            Self::Fatal => "FTL",
            Self::Debug => "DBG",
            Self::Trace => "TRC",
        }
    }

    /// Syslog severity (RFC 5424, table 2).
    fn severity(self) -> u8 {
        match self {
            Self::Fatal => 2,
            Self::Error => 3,
            Self::Warn => 4,
            Self::Info => 5,
            Self::Debug | Self::Trace => 7,
        }
    }
}

fn zone(options: &LogOptions) -> TimeZone {
    if options.time_utc {
        TimeZone::UTC
    } else {
        TimeZone::system()
    }
}

impl Logger {
    /// Opens the log.
    ///
    /// # Errors
    /// If the file or syslog cannot be opened.
    pub fn open(options: &LogOptions) -> io::Result<Self> {
        Ok(Self {
            sink: open_sink(options)?,
            options: options.clone(),
            pid: std::process::id(),
            zone: zone(options),
        })
    }

    /// Other options, after a reload.
    ///
    /// # Errors
    /// If the new place cannot be opened; the old one stays in use.
    pub fn reconfigure(&mut self, options: &LogOptions) -> io::Result<()> {
        let place = |o: &LogOptions| (o.file.clone(), o.syslog, o.remote_syslog.clone());
        if place(options) != place(&self.options) {
            self.sink = open_sink(options)?;
        }
        self.options = options.clone();
        self.zone = zone(options);
        Ok(())
    }

    /// Opens the file anew, after somebody moved it away.
    ///
    /// # Errors
    /// If it cannot be opened; the old one stays in use.
    pub fn reopen(&mut self) -> io::Result<()> {
        if matches!(self.sink, Sink::File { .. }) {
            self.sink = open_sink(&self.options)?;
        }
        Ok(())
    }

    /// Writes a line. What cannot be written is lost: there is no one to tell.
    pub fn line(&mut self, tag: Tag, text: &str) {
        match &mut self.sink {
            Sink::Syslog(socket) => {
                let _ = socket.send(syslog_line(tag, self.pid, text).as_bytes());
                return;
            }
            Sink::RemoteSyslog(socket) => {
                let _ = socket.send(syslog_line(tag, self.pid, text).as_bytes());
                return;
            }
            Sink::Stderr | Sink::File { .. } => {}
        }
        let line = self.format(tag, text);
        match &mut self.sink {
            Sink::File { file, written, .. } => {
                if file.write_all(line.as_bytes()).is_ok() {
                    *written += line.len() as u64;
                }
                self.rotate_if_large();
            }
            _ => {
                let _ = io::stderr().lock().write_all(line.as_bytes());
            }
        }
    }

    fn format(&self, tag: Tag, text: &str) -> String {
        let pid = self.pid;
        let tag = tag.text();
        if !self.options.time {
            return format!("[{pid}] [{tag}] {text}\n");
        }
        let now = Zoned::new(Timestamp::now(), self.zone.clone());
        let stamp = now.strftime("%Y/%m/%d %H:%M:%S%.6f");
        format!("[{pid}] {stamp} [{tag}] {text}\n")
    }

    fn rotate_if_large(&mut self) {
        let Sink::File { path, written, .. } = &self.sink else {
            return;
        };
        let limit = u64::try_from(self.options.size_limit).unwrap_or(0);
        if limit == 0 || *written < limit {
            return;
        }
        let path = path.clone();
        let stamp = Zoned::new(Timestamp::now(), self.zone.clone())
            .strftime("%Y.%m.%d.%H.%M.%S.%9f")
            .to_string();
        let mut backup = path.clone().into_os_string();
        backup.push(format!(".{stamp}"));
        let rotated = fs::rename(&path, &backup).and_then(|()| open_file(&path));
        match rotated {
            Ok(sink) => {
                self.sink = sink;
                let backup = PathBuf::from(backup);
                self.line(
                    Tag::Info,
                    &format!(
                        "Rotated log, backup saved as {:?}",
                        backup.display().to_string()
                    ),
                );
                self.remove_old_backups(&path);
            }
            Err(error) => {
                // Do not try again with every line.
                self.options.size_limit = 0;
                self.line(
                    Tag::Error,
                    &format!("Unable to rotate the log, keep writing to it: {error}"),
                );
            }
        }
    }

    fn remove_old_backups(&mut self, path: &Path) {
        let keep = usize::try_from(self.options.max_files).unwrap_or(0);
        let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|n| n.to_str()))
        else {
            return;
        };
        if keep == 0 {
            return;
        }
        let folder = if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            folder
        };
        let prefix = format!("{name}.");
        let mut backups: Vec<PathBuf> = fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| {
                let name = entry.file_name();
                let stamp = name.to_str().and_then(|n| n.strip_prefix(&prefix));
                stamp.is_some_and(|s| s.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
            })
            .map(|entry| entry.path())
            .collect();
        backups.sort();
        // The file in use counts as one.
        let surplus = (backups.len() + 1).saturating_sub(keep);
        for old in backups.into_iter().take(surplus) {
            if let Err(error) = fs::remove_file(&old) {
                self.line(
                    Tag::Error,
                    &format!(
                        "Unable to remove backup log file {}: {error}",
                        old.display()
                    ),
                );
            }
        }
    }
}

fn open_sink(options: &LogOptions) -> io::Result<Sink> {
    if !options.file.is_empty() {
        return open_file(Path::new(&options.file));
    }
    if !options.remote_syslog.is_empty() {
        let target = options.remote_syslog.trim_start_matches("udp://");
        let socket = std::net::UdpSocket::bind(("0.0.0.0", 0))?;
        socket.connect(target)?;
        return Ok(Sink::RemoteSyslog(socket));
    }
    if options.syslog {
        let socket = UnixDatagram::unbound()?;
        socket.connect(SYSLOG_SOCKET)?;
        return Ok(Sink::Syslog(socket));
    }
    Ok(Sink::Stderr)
}

fn open_file(path: &Path) -> io::Result<Sink> {
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    let written = file.metadata()?.len();
    Ok(Sink::File {
        file,
        path: path.to_owned(),
        written,
    })
}

fn syslog_line(tag: Tag, pid: u32, text: &str) -> String {
    format!(
        "<{}>nats-server[{pid}]: {text}",
        SYSLOG_FACILITY | tag.severity()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(file: &Path) -> LogOptions {
        LogOptions {
            file: file.display().to_string(),
            time_utc: true,
            ..LogOptions::default()
        }
    }

    #[test]
    fn lines_look_like_those_of_nats_server() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("log");
        let mut log = Logger::open(&options(&path)).expect("opens");
        log.line(Tag::Info, "Server is ready");
        let text = fs::read_to_string(&path).expect("readable");
        let (head, tail) = text.split_once("] ").expect("pid");
        assert_eq!(head, format!("[{}", std::process::id()));
        let (stamp, tail) = tail.split_at("2026/11/22 20:37:06.214979".len());
        assert!(
            stamp
                .chars()
                .all(|c| c.is_ascii_digit() || " /:.".contains(c)),
            "{stamp}"
        );
        assert_eq!(tail, " [INF] Server is ready\n");
    }

    #[test]
    fn a_large_file_is_moved_away_and_old_ones_go() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("log");
        let mut log = Logger::open(&LogOptions {
            size_limit: 200,
            max_files: 3,
            ..options(&path)
        })
        .expect("opens");
        for n in 0..100 {
            log.line(Tag::Info, &format!("line {n} of a log that grows"));
        }
        let files = fs::read_dir(dir.path()).expect("readable").count();
        assert_eq!(files, 3);
    }
}
