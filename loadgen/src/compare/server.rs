//! A server process that lives for one workload.

use crate::error::Error;
use crate::handshake::Target;
use crate::sys;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take from its start to its first PONG.
const START_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a server may take to end after SIGTERM.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Between two looks at a server that starts or ends.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Bytes of the server's output shown when it does not start.
const OUTPUT_SHOWN: usize = 2000;

/// A running server. It ends with this value.
pub struct Server {
    child: Child,
    port: u16,
    output: PathBuf,
}

impl Server {
    /// Starts `command` with `{port}` replaced by a free port, pinned to
    /// `cpu`, and waits until it accepts clients.
    pub fn start(command: &str, cpu: Option<usize>, target: &Target) -> Result<Server, Error> {
        let port = free_port()?;
        let words = split(&command.replace("{port}", &port.to_string()))?;
        let Some((program, arguments)) = words.split_first() else {
            return Err(Error::Usage("the server command is empty".into()));
        };
        let output = std::env::temp_dir().join(format!("loadgen-server-{port}.log"));
        let doing = || format!("starting \"{command}\"");
        let log = File::create(&output).map_err(Error::system(doing()))?;
        let log_too = log.try_clone().map_err(Error::system(doing()))?;
        let mut process = Command::new(program);
        process
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(log_too);
        sys::prepare_child(&mut process, cpu).map_err(Error::system(doing()))?;
        let child = process.spawn().map_err(Error::system(doing()))?;
        let mut server = Server {
            child,
            port,
            output,
        };
        server.wait_until_ready(command, target)?;
        Ok(server)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Process id of the started program. `env VAR=… server` becomes the
    /// server itself; a program that starts the server as a child does not.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn wait_until_ready(&mut self, command: &str, target: &Target) -> Result<(), Error> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            let problem = match target.open(address) {
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

impl Drop for Server {
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
    }
}

fn free_port() -> Result<u16, Error> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(Error::system("looking for a free port"))
}

/// Splits a command at white space; single and double quotes keep it together.
fn split(command: &str) -> Result<Vec<String>, Error> {
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
        let error = Server::start(command, None, &Target::default());
        let text = error.err().unwrap().to_string();
        assert!(
            text.contains("did not start") && text.contains("no such flag"),
            "{text}"
        );
    }
}
