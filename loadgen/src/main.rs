//! loadgen: load generator for NATS servers.

mod cli;
mod compare;
mod driver;
mod error;
mod handshake;
mod meter;
mod net;
mod payload;
mod protocol;
// Until the workloads use it.
#[allow(dead_code, unused_imports)]
mod report;
// Until the workloads fill it.
#[allow(dead_code, unused_imports)]
mod result;
mod sequence;
mod server_process;
mod sys;
mod work;

use clap::Parser;
use cli::{Cli, Command};
use std::process::ExitCode;

/// Nothing could be measured.
const FAILED: u8 = 1;
/// Measured, but with faults, or not to the end.
const FAULTY: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(error) = sys::stop_on_signals() {
        eprintln!("loadgen: installing signal handlers: {error}");
        return ExitCode::from(FAILED);
    }
    let outcome = match &cli.command {
        Command::Compare(options) => compare::run(options, &cli.common),
        command => cli::measure(&cli.common, command).map(|report| {
            if cli.common.json {
                // A report has string keys only, which always serialises.
                println!("{}", serde_json::to_string(&report).unwrap_or_default());
            } else {
                print!("{report}");
            }
            report.is_clean()
        }),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FAULTY),
        Err(error) => {
            eprintln!("loadgen: {error}");
            ExitCode::from(FAILED)
        }
    }
}
