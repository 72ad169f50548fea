//! A server process that loadgen starts, and ends.

use crate::connection::handshake::Target;
use crate::error::Error;
use crate::sys;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Stands for the port in a server's command.
pub const PORT: &str = "{port}";

/// Stands for a directory of its own, removed with the server.
pub const STORE: &str = "{store}";

/// How long a server may take from its start to its first PONG.
const START_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a server may take to end after SIGTERM.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Between two looks at a server that starts or ends.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Bytes of the server's output shown when it does not start.
const OUTPUT_SHOWN: usize = 2000;

/// A running server. It ends with this value.
pub struct Started {
    child: Child,
    target: Target,
    output: PathBuf,
    store: Option<tempfile::TempDir>,
}

impl Started {
    /// Starts `command` with [`PORT`] replaced by a free port and [`STORE`] by
    /// an empty directory, pinned to `cpus` (unless empty), and waits until it
    /// accepts clients.
    pub fn start(command: &str, cpus: &[usize], target: &Target) -> Result<Started, Error> {
        let port = free_port()?;
        let doing = || format!("starting \"{command}\"");
        let mut line = command.replace(PORT, &port.to_string());
        let mut store = None;
        if line.contains(STORE) {
            let directory = tempfile::Builder::new()
                .prefix("loadgen-store-")
                .tempdir()
                .map_err(Error::system(doing()))?;
            line = line.replace(STORE, &directory.path().to_string_lossy());
            store = Some(directory);
        }
        let words = split(&line)?;
        let Some((program, arguments)) = words.split_first() else {
            return Err(Error::Usage("the server command is empty".into()));
        };
        let output = std::env::temp_dir().join(format!("loadgen-server-{port}.log"));
        let log = File::create(&output).map_err(Error::system(doing()))?;
        let log_too = log.try_clone().map_err(Error::system(doing()))?;
        let mut process = Command::new(program);
        process
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(log_too);
        sys::prepare_child(&mut process, cpus).map_err(Error::system(doing()))?;
        let child = process.spawn().map_err(Error::system(doing()))?;
        let mut server = Started {
            child,
            target: target.at_local_port(port),
            output,
            store,
        };
        server.wait_until_ready(command)?;
        Ok(server)
    }

    /// How to connect to it.
    pub fn target(&self) -> &Target {
        &self.target
    }

    pub fn port(&self) -> u16 {
        self.target.port
    }

    /// Process id of the started program. `env VAR=… server` becomes the
    /// server itself; a program that starts the server as a child does not.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn wait_until_ready(&mut self, command: &str) -> Result<(), Error> {
        let address = self.target.address()?;
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            let problem = match self.target.open(address) {
                Ok(_) => return Ok(()),
                Err(error @ Error::Handshake { .. }) => return Err(error),
                Err(error) => error,
            };
            let status = self
                .child
                .try_wait()
                .map_err(Error::system("watching a server"))?;
            let ended = status.map(|status| format!("it ended with {status}"));
            if ended.is_some() || Instant::now() > deadline || sys::stop_requested() {
                let reason = ended.unwrap_or_else(|| problem.to_string());
                return Err(Error::Child(format!(
                    "\"{command}\" did not start: {reason}\n{}",
                    self.last_output()
                )));
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// The end of what the server wrote.
    pub fn last_output(&self) -> String {
        let bytes = fs::read(&self.output).unwrap_or_default();
        let shown = &bytes[bytes.len().saturating_sub(OUTPUT_SHOWN)..];
        String::from_utf8_lossy(shown).into_owned()
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let deadline = Instant::now() + STOP_TIMEOUT;
        sys::end_group(self.child.id(), false);
        while let Ok(None) = self.child.try_wait() {
            if Instant::now() > deadline {
                sys::end_group(self.child.id(), true);
                let _ = self.child.wait();
                break;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        let _ = fs::remove_file(&self.output);
        if let Some(store) = self.store.take() {
            // What is left of it is in the directory for temporary files.
            let _ = store.close();
        }
    }
}

fn free_port() -> Result<u16, Error> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(Error::system("looking for a free port"))
}

/// Splits a command at white space; single and double quotes keep it together.
pub fn split(command: &str) -> Result<Vec<String>, Error> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for character in command.chars() {
        match quote {
            Some(open) if character == open => quote = None,
            Some(_) => word.get_or_insert_default().push(character),
            None if character == '\'' || character == '"' => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            None if character.is_whitespace() => words.extend(word.take()),
            None => word.get_or_insert_default().push(character),
        }
    }
    if quote.is_some() {
        return Err(Error::Usage(format!("unbalanced quotes in \"{command}\"")));
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_like_a_shell_without_expansion() {
        let words = split("env A=1 'my server' -p  42 \"\" x\"y z\"").unwrap();
        assert_eq!(words, ["env", "A=1", "my server", "-p", "42", "", "xy z"]);
        assert!(split("a 'b").is_err());
        assert!(split("  ").unwrap().is_empty());
    }

    #[test]
    fn a_server_that_ends_at_once_shows_what_it_said() {
        let command = "sh -c 'echo no such flag {port} >&2; exit 3'";
        let error = Started::start(command, &[], &Target::default());
        let text = error.err().unwrap().to_string();
        assert!(
            text.contains("did not start") && text.contains("no such flag"),
            "{text}"
        );
    }
}
