//! `compare` and `suite`: two servers in turn, a fresh one for each run, same
//! workloads.

mod rows;

use crate::child::{self, Seconds, Site};
use crate::cli::Common;
use crate::error::Error;
use crate::report::{ComparisonOutputs, comparison_table, suite_table};
use crate::result::{Compared, ComparedRow, Comparison, Machine, RunResult, Side};
use crate::server_process::ServerProcess;
use crate::started::{self, Started};
use crate::sys;
use clap::Args;
use rows::Row;
use std::path::PathBuf;

/// Flags of `compare`. Seconds, warm-up, credentials, `--cpus` (of the load
/// generator) and `--server-cpus` are the general ones.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Command of server A; {port} stands for its port, {store} for a
    /// directory of its own.
    #[arg(long, required_unless_present = "list", default_value = "")]
    pub a: String,
    /// Command of server B; without it A is measured alone.
    #[arg(long)]
    pub b: Option<String>,
    /// Rows by name, separated by commas [default: all; those of JetStream if
    /// the commands have {store}].
    #[arg(long, value_delimiter = ',')]
    pub rows: Vec<String>,
    /// Runs of each row on each server.
    #[arg(long, default_value_t = 5, value_parser = crate::cli::values::some)]
    pub repeat: usize,
    /// Print the table as Markdown.
    #[arg(long)]
    pub markdown: bool,
    /// List the rows and end.
    #[arg(long)]
    pub list: bool,
}

/// Flags of `suite`.
#[derive(Debug, Clone, Args)]
pub struct SuiteOptions {
    /// Command of ringwire; {port} stands for its port, {store} for a
    /// directory of its own.
    #[arg(long, required_unless_present = "nats_server")]
    pub ringwire: Option<String>,
    /// Command of nats-server.
    #[arg(long)]
    pub nats_server: Option<String>,
    /// Rows by name, separated by commas.
    #[arg(long, value_delimiter = ',')]
    pub rows: Vec<String>,
    /// Runs of each row on each server.
    #[arg(long, default_value_t = 5, value_parser = crate::cli::values::some)]
    pub repeat: usize,
    /// File for the table; it is printed without one.
    #[arg(long)]
    pub out: Option<PathBuf>,
}

/// Runs `compare`. True when all runs were clean.
pub fn run(options: &Options, common: &Common) -> Result<bool, Error> {
    if options.list {
        for row in rows::ROWS {
            println!("{:10} {}", row.key, row.title);
        }
        return Ok(true);
    }
    let mut sides = vec![side("A", &options.a)];
    sides.extend(options.b.as_deref().map(|command| side("B", command)));
    let course = Course::new(sides, &options.rows, options.repeat, common)?;
    let comparison = course.run();
    let mut text = String::new();
    for side in &comparison.sides {
        text.push_str(&format!("{}: {}\n", side.label, side.command));
    }
    text.push('\n');
    text.push_str(&comparison_table(&comparison, options.markdown));
    finish(&comparison, &text, common)
}

/// Runs `suite`. True when all runs were clean.
pub fn run_suite(options: &SuiteOptions, common: &Common) -> Result<bool, Error> {
    let named = [
        ("nats-server", &options.nats_server),
        ("ringwire", &options.ringwire),
    ];
    let sides = named
        .into_iter()
        .filter_map(|(label, command)| Some(side(label, command.as_deref()?)))
        .collect();
    let course = Course::new(sides, &options.rows, options.repeat, common)?;
    let comparison = course.run();
    let table = suite_table(&comparison);
    match &options.out {
        Some(path) => {
            std::fs::write(path, &table)
                .map_err(Error::system(format!("writing {}", path.display())))?;
            finish(&comparison, "", common)
        }
        None => finish(&comparison, &table, common),
    }
}

fn finish(comparison: &Comparison, text: &str, common: &Common) -> Result<bool, Error> {
    if common.outputs.takes_stdout() {
        eprint!("{text}");
    } else {
        print!("{text}");
    }
    ComparisonOutputs(&common.outputs).write(comparison)?;
    let runs = || {
        comparison
            .rows
            .iter()
            .flat_map(|row| row.runs.iter().flatten())
    };
    match &comparison.error {
        Some(error) if runs().next().is_none() => Err(Error::Child(error.clone())),
        Some(_) => Ok(false),
        None => Ok(runs().all(RunResult::is_clean)),
    }
}

fn side(label: &str, command: &str) -> Side {
    Side {
        label: label.into(),
        command: command.into(),
    }
}

/// A comparison on its way.
struct Course<'a> {
    common: &'a Common,
    repeat: usize,
    rows: Vec<&'static Row>,
    comparison: Comparison,
}

impl<'a> Course<'a> {
    fn new(
        sides: Vec<Side>,
        keys: &[String],
        repeat: usize,
        common: &'a Common,
    ) -> Result<Course<'a>, Error> {
        ComparisonOutputs(&common.outputs).check()?;
        let stores = sides
            .iter()
            .all(|side| side.command.contains(started::STORE));
        let rows = rows::select(keys, stores).map_err(|unknown| {
            let known: Vec<&str> = rows::ROWS.iter().map(|row| row.key).collect();
            Error::Usage(format!(
                "no row \"{unknown}\"; there are {}",
                known.join(", ")
            ))
        })?;
        for side in &sides {
            if !side.command.contains(started::PORT) {
                return Err(Error::Usage(format!(
                    "the command of {} has no {}: \"{}\"",
                    side.label,
                    started::PORT,
                    side.command
                )));
            }
        }
        let empty = |row: &&'static Row| ComparedRow {
            key: row.key.into(),
            title: row.title.into(),
            arguments: row.arguments.iter().map(|&word| word.into()).collect(),
            figures: Vec::new(),
            runs: vec![Vec::new(); sides.len()],
        };
        let comparison = Comparison {
            command: std::env::args().collect(),
            loadgen_version: env!("CARGO_PKG_VERSION").into(),
            machine: Machine::read(),
            started_unix_ms: std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(0, |since| since.as_millis() as u64),
            server_cpus: common.server_cpus.as_ref().map(|cpus| cpus.to_string()),
            rows: rows.iter().map(empty).collect(),
            sides,
            error: None,
        };
        Ok(Course {
            common,
            repeat,
            rows,
            comparison,
        })
    }

    /// Runs all; an error ends it, and what was measured so far stays.
    fn run(mut self) -> Comparison {
        if let Err(error) = self.run_all() {
            self.comparison.error = Some(error.to_string());
        }
        for (row, compared) in self.rows.iter().zip(&mut self.comparison.rows) {
            compared.figures = figures(row, &compared.runs);
        }
        self.comparison
    }

    fn run_all(&mut self) -> Result<(), Error> {
        for repetition in 0..self.repeat {
            for index in 0..self.rows.len() {
                // Whoever comes first meets a machine in another state than
                // the second: take turns.
                let mut order: Vec<usize> = (0..self.comparison.sides.len()).collect();
                if repetition % 2 == 1 {
                    order.reverse();
                }
                for side in order {
                    if sys::stop_requested() {
                        return Err(Error::Child("stopped by a signal".into()));
                    }
                    let row = self.rows[index];
                    let result = self.run_one(row, side)?;
                    self.show(repetition, row, side, &result);
                    self.comparison.rows[index].runs[side].push(result);
                }
            }
        }
        Ok(())
    }

    fn show(&self, repetition: usize, row: &Row, side: usize, result: &RunResult) {
        if self.common.quiet {
            return;
        }
        let metric = row.metrics.first();
        let value = metric.and_then(|metric| Some((metric.label, (metric.of)(result)?)));
        let figure = value.map(|(label, value)| format!("{label} {value:.1}"));
        let complaint = if result.is_clean() {
            String::new()
        } else {
            let faults = result.faults.join("; ");
            format!("  FAULTY, lost {}; {faults}", result.counts.lost)
        };
        eprintln!(
            "{} of {}  {:10} {:12} {}{complaint}",
            repetition + 1,
            self.repeat,
            row.key,
            self.comparison.sides[side].label,
            figure.unwrap_or_default(),
        );
    }

    /// Starts a server, runs one workload against it in a process of its own,
    /// and ends the server.
    fn run_one(&self, row: &Row, side: usize) -> Result<RunResult, Error> {
        let command = &self.comparison.sides[side].command;
        let target = self.common.local_target()?;
        let server = Started::start(command, self.common.server_cpus(), &target)?;
        ServerProcess::new(server.pid())?;
        let site = Site {
            server: format!("localhost:{}", server.port()),
            pid: Some(server.pid()),
        };
        let arguments: Vec<String> = row.arguments.iter().map(|&word| word.into()).collect();
        let seconds = Seconds {
            measured: row.seconds.0,
            warmup: row.seconds.1,
        };
        child::run(&arguments, &site, self.common, seconds).map_err(|error| {
            Error::Child(format!(
                "row {} against \"{command}\": {error}; the server said:\n{}",
                row.key,
                server.last_output()
            ))
        })
    }
}

fn figures(row: &Row, runs: &[Vec<RunResult>]) -> Vec<Compared> {
    row.metrics
        .iter()
        .enumerate()
        .map(|(index, metric)| Compared {
            label: metric.label.into(),
            unit: metric.unit,
            better: metric.better,
            headline: index < row.headlines,
            values: runs
                .iter()
                .map(|side| side.iter().filter_map(metric.of).collect())
                .collect(),
        })
        .collect()
}
