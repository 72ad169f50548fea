//! A workload in a process of its own, as `compare` and `find-max` run them:
//! each begins with a fresh address space, and its result comes as JSON.

use crate::cli::Common;
use crate::error::Error;
use crate::report::read_json_lines;
use crate::result::RunResult;
use std::process::{Command, Stdio};

/// Where a child finds its server.
#[derive(Debug, Clone)]
pub struct Site {
    /// As `--server` takes it.
    pub server: String,
    pub pid: Option<u32>,
}

/// Seconds that differ from the general ones.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seconds {
    pub measured: Option<f64>,
    pub warmup: Option<f64>,
}

/// Runs `arguments` (a subcommand with its flags) against `site`. The child
/// says on standard error why it has no result.
pub fn run(
    arguments: &[String],
    site: &Site,
    common: &Common,
    seconds: Seconds,
) -> Result<RunResult, Error> {
    let program = std::env::current_exe().map_err(Error::system("finding this program"))?;
    let mut process = Command::new(program);
    process
        .args(arguments)
        .args(["--json", "-", "--quiet", "--server", &site.server])
        .args(common.access.arguments());
    let mut flag = |name: &str, value: String| {
        process.args([name, &value]);
    };
    flag(
        "--seconds",
        seconds.measured.unwrap_or(common.seconds).to_string(),
    );
    flag(
        "--warmup",
        seconds.warmup.unwrap_or(common.warmup).to_string(),
    );
    flag("--patience", common.patience.to_string());
    if let Some(pid) = site.pid {
        flag("--server-pid", pid.to_string());
    }
    match &common.cpus {
        Some(cpus) => flag("--cpus", cpus.to_string()),
        None => flag("--threads", common.threads.to_string()),
    }
    if common.block {
        process.arg("--block");
    }
    let output = process
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .map_err(Error::system("running a workload"))?;
    let mut results = read_json_lines(&output.stdout).unwrap_or_default();
    if results.is_empty() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Error::Child(format!(
            "\"{}\" gave no result: {}",
            arguments.join(" "),
            said.trim().trim_start_matches("loadgen: ")
        )));
    }
    Ok(results.swap_remove(0))
}
