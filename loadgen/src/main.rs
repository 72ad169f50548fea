//! loadgen: load generator for NATS servers.

mod child;
mod cli;
mod compare;
mod connection;
mod engine;
mod error;
mod find_max;
mod mix;
mod payload;
mod report;
mod result;
mod schedule;
mod sequence;
mod server_process;
mod started;
mod sys;
mod work;

use clap::Parser;
use cli::{Cli, Command, Common, Place};
use engine::{Live, Observer, Work};
use error::Error;
use report::progress::{Progress, Second};
use result::RunResult;
use std::process::ExitCode;

/// Nothing could be measured.
const FAILED: u8 = 1;
/// Measured, but with faults, or not to the end.
const FAULTY: u8 = 2;

fn main() -> ExitCode {
    let mut cli = Cli::parse();
    if let Err(error) = sys::stop_on_signals() {
        eprintln!("loadgen: installing signal handlers: {error}");
        return ExitCode::from(FAILED);
    }
    let outcome = match &cli.command {
        Command::Compare(options) => compare::run(options, &cli.common),
        Command::Suite(options) => compare::run_suite(options, &cli.common),
        Command::FindMax(options) => cli
            .common
            .outputs
            .check()
            .and_then(|()| find_max::run(options, &cli.common))
            .and_then(|result| finish(&[result], &cli.common)),
        Command::Load(_) | Command::Mix(_) => run_load(&mut cli),
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

/// Runs one load or a mix. True when it was clean.
fn run_load(cli: &mut Cli) -> Result<bool, Error> {
    cli.common.outputs.check()?;
    let scenario = match &cli.command {
        Command::Mix(options) => Some(mix::Scenario::read(&options.file)?),
        _ => None,
    };
    if let Some(scenario) = &scenario {
        cli.common.seconds = scenario.seconds.unwrap_or(cli.common.seconds);
        cli.common.warmup = scenario.warmup.unwrap_or(cli.common.warmup);
    }
    let common = &cli.common;
    let place = common.place()?;
    let works = match (&cli.command, scenario) {
        (_, Some(scenario)) => Some(scenario.works(place.process)?),
        (Command::Load(command), None) => command.works(place.process)?,
        _ => None,
    };
    let mut results = match (&cli.command, works) {
        (_, Some(works)) => measure(works, common, &place)?,
        (Command::Load(command), None) => vec![command.weigh(common, &place)?],
        _ => Vec::new(),
    };
    for result in &mut results {
        if place.started.is_some() {
            result.server.command = Some(common.server.clone());
            result.server.cpus = common.server_cpus.as_ref().map(|cpus| cpus.to_string());
        }
    }
    finish(&results, common)
}

fn measure(
    works: Vec<Box<dyn Work>>,
    common: &Common,
    place: &Place,
) -> Result<Vec<RunResult>, Error> {
    cli::check_files(&works)?;
    let plan = common.plan(place);
    let mut screen = Screen(if common.quiet {
        Progress::silent()
    } else {
        Progress::new(plan.measure_ns)
    });
    let outcome = engine::run(works, &plan, &mut screen);
    screen.0.clear();
    outcome
}

/// Writes the files and the table. True when all results are clean.
fn finish(results: &[RunResult], common: &Common) -> Result<bool, Error> {
    let summaries: Vec<String> = results.iter().map(report::summary).collect();
    let text = summaries.join("\n");
    if !common.outputs.takes_stdout() {
        print!("{text}");
    } else if !common.quiet {
        eprint!("{text}");
    }
    common.outputs.write(results)?;
    Ok(results.iter().all(RunResult::is_clean))
}

/// Shows a run that goes on.
struct Screen(Progress);

impl Observer for Screen {
    fn second(&mut self, live: &Live) {
        self.0.second(&Second {
            elapsed_ns: live.elapsed_ns,
            sent_per_second: live.sent_per_second,
            received_per_second: live.received_per_second,
            latency: Some(&live.latency),
        });
    }
}
