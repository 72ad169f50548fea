//! A server process: started with its log on a pipe, waited for by its log lines, killed and
//! reaped when the test ends, however it ends.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::time::Instant;

use tempfile::TempDir;

use super::http;
use super::wait::{DEADLINE, eventually};

/// Cores of a server whose test does not say how many: two, so that every test may meet
/// messages between cores. `RINGWIRE_TEST_CORES` overrides it.
const DEFAULT_CORES: usize = 2;

/// The server under test: see the module above.
pub fn server_binary() -> PathBuf {
    std::env::var_os("RINGWIRE_TEST_SERVER")
        .map_or_else(|| env!("CARGO_BIN_EXE_ringwire").into(), PathBuf::from)
}

/// Whether the server under test is Ringwire, by what its `--version` says.
pub fn is_ringwire() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| {
        let output = Command::new(server_binary())
            .arg("--version")
            .output()
            .expect("the server under test runs");
        String::from_utf8_lossy(&output.stdout)
            .to_lowercase()
            .contains("ringwire")
    })
}

/// What a server is started with.
pub struct ServerBuilder {
    args: Vec<OsString>,
    config: Option<String>,
    cores: Option<usize>,
    port: Option<u16>,
    binary: PathBuf,
}

impl ServerBuilder {
    /// Adds command line arguments.
    pub fn args<I: Into<OsString>>(mut self, args: impl IntoIterator<Item = I>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// The text of a configuration file.
    pub fn config(mut self, text: &str) -> Self {
        self.config = Some(text.to_owned());
        self
    }

    /// How many cores; servers that are not Ringwire are not told.
    pub fn cores(mut self, cores: usize) -> Self {
        self.cores = Some(cores);
        self
    }

    /// A port instead of one that the system chooses.
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// A monitoring port that the system chooses.
    pub fn monitor(self) -> Self {
        self.args(["-m", "-1"])
    }

    /// Another binary than the one under test.
    pub fn binary(mut self, binary: impl Into<PathBuf>) -> Self {
        self.binary = binary.into();
        self
    }

    /// Starts the server and waits until it says on standard error that it is ready.
    #[track_caller]
    pub fn start(self) -> Server {
        let mut server = self.spawn();
        server.wait_ready();
        server
    }

    /// Starts the process and waits for nothing.
    #[track_caller]
    pub fn spawn(self) -> Server {
        let dir = TempDir::new().expect("a directory for the server");
        let mut command = Command::new(&self.binary);
        let port = self.port.map_or("-1".to_owned(), |p| p.to_string());
        command.args(["-a", "127.0.0.1", "-p", &port]);
        if let Some(text) = &self.config {
            let path = dir.path().join("server.conf");
            std::fs::write(&path, text).expect("the configuration file");
            command.arg("-c").arg(path);
        }
        if self.binary == server_binary() && is_ringwire() {
            let cores = self.cores.unwrap_or_else(default_cores);
            command.args(["--cores", &cores.to_string()]);
        }
        let child = command
            .args(&self.args)
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("cannot run {}: {e}", self.binary.display()));
        Server::watch(child, dir)
    }
}

fn default_cores() -> usize {
    std::env::var("RINGWIRE_TEST_CORES")
        .ok()
        .map_or(DEFAULT_CORES, |n| {
            n.parse().expect("RINGWIRE_TEST_CORES: a number")
        })
}

/// Lines that the process wrote to standard error so far.
#[derive(Default)]
struct Log {
    lines: Vec<String>,
    /// The process closed its standard error.
    ended: bool,
}

/// A running server and its working directory; killed when dropped.
pub struct Server {
    child: Child,
    status: Option<ExitStatus>,
    log: Arc<(Mutex<Log>, Condvar)>,
    dir: TempDir,
    addr: Option<SocketAddr>,
    monitor: Option<SocketAddr>,
}

impl Server {
    /// A server without options on 127.0.0.1.
    #[track_caller]
    pub fn start() -> Server {
        Server::builder().start()
    }

    /// One with a configuration file.
    #[track_caller]
    pub fn with_config(text: &str) -> Server {
        Server::builder().config(text).start()
    }

    pub fn builder() -> ServerBuilder {
        ServerBuilder {
            args: Vec::new(),
            config: None,
            cores: None,
            port: None,
            binary: server_binary(),
        }
    }

    fn watch(mut child: Child, dir: TempDir) -> Server {
        let log = Arc::new((Mutex::new(Log::default()), Condvar::new()));
        let stderr = child.stderr.take().expect("standard error is piped");
        std::thread::spawn({
            let log = Arc::clone(&log);
            move || collect(stderr, &log)
        });
        Server {
            child,
            status: None,
            log,
            dir,
            addr: None,
            monitor: None,
        }
    }

    /// Waits for the log line that says so, and learns the ports from those before it.
    #[track_caller]
    pub fn wait_ready(&mut self) {
        self.wait_log("Server is ready");
        let lines = self.log_lines();
        let port_after = |text: &str| {
            lines.iter().find_map(|line| {
                let (_, addr) = line.split_once(text)?;
                Some(addr.trim().parse().expect("an address in the log"))
            })
        };
        self.addr = port_after("Listening for client connections on ");
        self.monitor = port_after("Starting http monitor on ");
    }

    /// Waits until standard error has a line with this text, and returns the line.
    #[track_caller]
    pub fn wait_log(&self, text: &str) -> String {
        let end = Instant::now() + DEADLINE;
        let (log, changed) = &*self.log;
        let mut log = log.lock().unwrap();
        loop {
            if let Some(line) = log.lines.iter().find(|line| line.contains(text)) {
                return line.clone();
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(
                !log.ended && !left.is_zero(),
                "no log line {text:?} in:\n{}",
                log.lines.join("\n")
            );
            log = changed.wait_timeout(log, left).unwrap().0;
        }
    }

    /// What is on standard error so far.
    pub fn log_lines(&self) -> Vec<String> {
        self.log.0.lock().unwrap().lines.clone()
    }

    /// Where clients connect.
    #[track_caller]
    pub fn addr(&self) -> SocketAddr {
        self.addr.expect("the server listens for clients")
    }

    /// Where the monitoring answers.
    #[track_caller]
    pub fn monitor(&self) -> SocketAddr {
        self.monitor.expect("the server was started with monitor()")
    }

    /// A monitoring document.
    #[track_caller]
    pub fn get_json(&self, path: &str) -> serde_json::Value {
        http::get_json(self.monitor(), path)
    }

    /// Waits until a number in a monitoring document is this; `pointer` as in RFC 6901.
    #[track_caller]
    pub fn wait_number(&self, path: &str, pointer: &str, expected: u64) {
        let mut last = None;
        let reached = || {
            last = self
                .get_json(path)
                .pointer(pointer)
                .and_then(|v| v.as_u64());
            (last == Some(expected)).then_some(())
        };
        eventually(&format!("{path}{pointer} = {expected}"), reached);
    }

    /// The working directory; `server.conf` in it is the configuration.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Replaces the configuration file.
    pub fn rewrite_config(&self, text: &str) {
        std::fs::write(self.dir().join("server.conf"), text).expect("the configuration file");
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, as `kill -NAME` does.
    #[track_caller]
    pub fn signal(&self, name: &str) {
        assert!(
            self.status.is_none(),
            "the process was reaped, its id may be another's"
        );
        let status = Command::new("kill")
            .args([&format!("-{name}"), &self.pid().to_string()])
            .status()
            .expect("kill");
        assert!(status.success(), "kill -{name}");
    }

    /// Whether the process still runs.
    pub fn is_running(&mut self) -> bool {
        if self.status.is_none() {
            self.status = self.child.try_wait().expect("wait for the server");
        }
        self.status.is_none()
    }

    /// Waits until the process has ended.
    #[track_caller]
    pub fn wait_exit(&mut self) -> ExitStatus {
        eventually("the server's end", || (!self.is_running()).then_some(()));
        self.status.expect("it ended")
    }

    /// Waits until the process has ended and all that it wrote was read; returns the text.
    #[track_caller]
    pub fn wait_output(&mut self) -> (ExitStatus, String) {
        let status = self.wait_exit();
        eventually("the end of standard error", || {
            self.log.0.lock().unwrap().ended.then_some(())
        });
        (status, self.log_lines().join("\n"))
    }

    /// SIGKILL, and reaps the process.
    pub fn kill(&mut self) {
        if self.is_running() {
            let _ = self.child.kill();
            self.status = self.child.wait().ok();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("the server's log:\n{}", self.log_lines().join("\n"));
        }
    }
}

/// Reads the pipe until its end, so that a full one never blocks the server.
fn collect(stderr: ChildStderr, log: &(Mutex<Log>, Condvar)) {
    for line in BufReader::new(stderr).split(b'\n') {
        let Ok(line) = line else { break };
        let line = String::from_utf8_lossy(&line).into_owned();
        log.0.lock().unwrap().lines.push(line);
        log.1.notify_all();
    }
    log.0.lock().unwrap().ended = true;
    log.1.notify_all();
}
