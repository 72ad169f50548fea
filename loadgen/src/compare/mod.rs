//! `compare`: two servers in turn, a fresh one for each run, same workloads.

mod rows;
mod server;
mod table;

use crate::cli::Common;
use crate::error::Error;
use crate::report::Report;
use crate::sys;
use clap::Args;
use rows::Row;
use serde::Serialize;
use server::Server;
use std::process::{Command, Stdio};
use table::Line;

/// Flags of `compare`. Seconds, warm-up, credentials and `--cpu` (of the load
/// generator) are the general ones.
#[derive(Debug, Args)]
pub struct Options {
    /// Command of server A; `{port}` stands for its port.
    #[arg(long, required_unless_present = "list", default_value = "")]
    pub a: String,
    /// Command of server B; without it A is measured alone.
    #[arg(long)]
    pub b: Option<String>,
    /// Rows by name, separated by commas [default: all].
    #[arg(long, value_delimiter = ',')]
    pub rows: Vec<String>,
    /// Runs of each row on each server.
    #[arg(long, default_value_t = 5)]
    pub repeat: usize,
    /// CPU that the servers are pinned to.
    #[arg(long)]
    pub server_cpu: Option<usize>,
    /// Print the table as Markdown.
    #[arg(long)]
    pub markdown: bool,
    /// List the rows and end.
    #[arg(long)]
    pub list: bool,
}

/// One run, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Run {
    row: &'static str,
    side: char,
    repetition: usize,
    report: Report,
}

/// Runs the rows and prints the table. True when all runs were clean.
pub fn run(options: &Options, common: &Common) -> Result<bool, Error> {
    let rows = rows::select(&options.rows).map_err(|unknown| {
        let known: Vec<&str> = rows::ROWS.iter().map(|row| row.key).collect();
        Error::Usage(format!(
            "no row \"{unknown}\"; there are {}",
            known.join(", ")
        ))
    })?;
    if options.list {
        for row in rows {
            println!("{:10} {}", row.key, row.title);
        }
        return Ok(true);
    }
    let mut runs = Vec::new();
    let failure = run_all(options, common, &rows, &mut runs).err();
    if common.json {
        println!("{}", serde_json::to_string(&runs).unwrap_or_default());
    } else {
        println!("A: {}", options.a);
        if let Some(b) = &options.b {
            println!("B: {b}");
        }
        println!("Median (least to most); a ratio in brackets is within the spread.\n");
        print!("{}", table::render(&lines(&rows, &runs), options.markdown));
    }
    match failure {
        Some(error) => Err(error),
        None => Ok(runs.iter().all(|run| run.report.is_clean())),
    }
}

fn run_all(
    options: &Options,
    common: &Common,
    rows: &[&'static Row],
    runs: &mut Vec<Run>,
) -> Result<(), Error> {
    let sides: Vec<(char, &String)> = [('A', Some(&options.a)), ('B', options.b.as_ref())]
        .into_iter()
        .filter_map(|(side, command)| Some((side, command?)))
        .collect();
    for repetition in 0..options.repeat {
        for &row in rows {
            // Whoever comes first meets a machine in another state than the
            // second: take turns.
            let mut order = sides.clone();
            if repetition % 2 == 1 {
                order.reverse();
            }
            for (side, command) in order {
                if sys::stop_requested() {
                    return Ok(());
                }
                let report = run_one(row, command, options, common)?;
                let progress = row.metrics.first().and_then(|metric| {
                    Some(format!("{} {:.3}", metric.label, (metric.of)(&report)?))
                });
                eprintln!(
                    "{} of {}  {:10} {side}  {}{}",
                    repetition + 1,
                    options.repeat,
                    row.key,
                    progress.unwrap_or_default(),
                    complaint(&report)
                );
                runs.push(Run {
                    row: row.key,
                    side,
                    repetition,
                    report,
                });
            }
        }
    }
    Ok(())
}

fn complaint(report: &Report) -> String {
    match &report.error {
        Some(error) => format!("  ENDED EARLY {error}"),
        None if report.faults.any() => format!("  FAULTY {:?}", report.faults),
        None => String::new(),
    }
}

/// Starts a server, runs one workload against it in a process of its own, and
/// ends the server.
fn run_one(row: &Row, command: &str, options: &Options, common: &Common) -> Result<Report, Error> {
    let server = Server::start(command, options.server_cpu, &common.target())?;
    let program = std::env::current_exe().map_err(Error::system("finding this program"))?;
    let mut process = Command::new(program);
    process
        .args(row.arguments)
        .args([
            "--json",
            "--server",
            &format!("127.0.0.1:{}", server.port()),
        ])
        .args(["--server-pid", &server.pid().to_string()])
        .args([
            "--seconds",
            &row.seconds.unwrap_or(common.seconds).to_string(),
        ])
        .args(["--warmup", &common.warmup.to_string()]);
    let flags = [
        ("--user", &common.user),
        ("--pass", &common.pass),
        ("--token", &common.token),
        ("--cpu", &common.cpu.map(|cpu| cpu.to_string())),
    ];
    for (flag, value) in flags {
        if let Some(value) = value {
            process.args([flag, value]);
        }
    }
    if common.block {
        process.arg("--block");
    }
    let output = process
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(Error::system("running a workload"))?;
    serde_json::from_slice(&output.stdout).map_err(|_| {
        Error::Child(format!(
            "row {} gave no result against \"{command}\"; the server said:\n{}",
            row.key,
            server.last_output()
        ))
    })
}

fn lines(rows: &[&'static Row], runs: &[Run]) -> Vec<Line> {
    let mut lines = Vec::new();
    for row in rows {
        for metric in row.metrics {
            let values = |side: char| {
                runs.iter()
                    .filter(|run| run.row == row.key && run.side == side)
                    .filter_map(|run| (metric.of)(&run.report))
                    .collect()
            };
            lines.push(Line {
                work: row.title.to_owned(),
                metric: metric.label.to_owned(),
                a: values('A'),
                b: values('B'),
            });
        }
    }
    lines
}
