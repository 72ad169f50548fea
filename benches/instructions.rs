//! Instructions of each step of the hot path, counted by callgrind: the same number on an idle
//! machine and on a busy one, so that a regression shows in a test run.
//!
//! ```text
//! cargo bench --bench instructions                 # compares with benches/instructions.txt
//! cargo bench --bench instructions -- parse        # only cases whose name has "parse" in it
//! cargo bench --bench instructions -- --update     # writes what was counted as the new baseline
//! ```
//!
//! Needs valgrind. Each case runs in a process of its own; only its second run is counted.
//! Exit status 1 if a case needs more than the baseline and [`TOLERANCE_PERCENT`], or is not in
//! it; what needs less is said, and left to `--update`.
//!
//! Counts are exact for one program on one CPU model, and nearly so elsewhere: valgrind tells a
//! program of one feature level (AVX2 or not), whatever the CPU. They move a little with the
//! compiler and its inlining, which unrelated code of the crate may tip, and with the C
//! library's memcpy. Instructions are not time: cache misses and system calls are not in them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

mod cases;

/// How far above the baseline a case may be, in percent. Runs of one program differ by less
/// than 0.1 (hash seeds of the standard library's maps); inlining tipped by unrelated code was
/// seen to move single cases by one or two; a needless copy, check or allocation a message is
/// far more.
const TOLERANCE_PERCENT: f64 = 3.0;

/// Instructions that always pass, for cases of few: one more register saved is no regression.
const TOLERANCE_FLOOR: f64 = 3.0;

fn main() -> ExitCode {
    // cargo itself adds `--bench`.
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    match arguments
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        ["--case", name] => run_case(name),
        ["--update"] => update(),
        [] => compare(""),
        [part] if !part.starts_with('-') => compare(part),
        _ => {
            eprintln!("usage: cargo bench --bench instructions [-- --update | PART_OF_A_NAME]");
            ExitCode::from(2)
        }
    }
}

/// The part that callgrind counts: found by its name.
#[inline(never)]
fn counted_by_callgrind(run: &mut dyn FnMut()) {
    run();
}

fn run_case(name: &str) -> ExitCode {
    let Some(case) = cases::all().into_iter().find(|case| case.name == name) else {
        eprintln!("there is no case {name}");
        return ExitCode::from(2);
    };
    let mut run = (case.prepare)();
    run();
    counted_by_callgrind(&mut run);
    ExitCode::SUCCESS
}

fn baseline_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/instructions.txt")
}

/// Instructions of one operation of this case.
fn count(case: &cases::Case, directory: &Path) -> Result<f64, String> {
    let profile = directory.join("profile");
    let output = Command::new("valgrind")
        .args([
            "--tool=callgrind",
            "--toggle-collect=*counted_by_callgrind*",
        ])
        .arg(format!("--callgrind-out-file={}", profile.display()))
        .arg(std::env::current_exe().map_err(|error| error.to_string())?)
        .args(["--case", case.name])
        .output()
        .map_err(|error| format!("cannot run valgrind: {error} (apt-get install valgrind)"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{} failed under valgrind:\n{said}", case.name));
    }
    let text = std::fs::read_to_string(&profile).map_err(|error| error.to_string())?;
    let total = text
        .lines()
        .find_map(|line| line.strip_prefix("totals: ")?.trim().parse::<f64>().ok())
        .filter(|&total| total > 0.0)
        .ok_or_else(|| format!("{}: callgrind counted nothing", case.name))?;
    Ok(total / case.operations as f64)
}

/// Name to instructions, of a baseline's text.
fn parse_baseline(text: &str) -> Result<BTreeMap<String, f64>, String> {
    text.lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let (name, count) = line.split_once(' ').ok_or(line)?;
            let count = count.trim().parse().map_err(|_| line)?;
            Ok((name.to_owned(), count))
        })
        .collect::<Result<_, &str>>()
        .map_err(|line| format!("not a line of a baseline: {line:?}"))
}

fn compare(part: &str) -> ExitCode {
    let baseline = std::fs::read_to_string(baseline_path())
        .map_err(|error| error.to_string())
        .and_then(|text| parse_baseline(&text));
    let baseline = match baseline {
        Ok(baseline) => baseline,
        Err(error) => {
            eprintln!("no baseline: {error}; write one with --update");
            return ExitCode::FAILURE;
        }
    };
    let (mut worse, mut better) = (0, 0);
    let counted = for_each_count(part, |case, now| {
        let Some(&before) = baseline.get(case.name) else {
            println!("{:36} {now:10.1}            NOT IN THE BASELINE", case.name);
            worse += 1;
            return;
        };
        let change = (now / before - 1.0) * 100.0;
        let tolerance = (before * TOLERANCE_PERCENT / 100.0).max(TOLERANCE_FLOOR);
        let verdict = if now > before + tolerance {
            worse += 1;
            "  WORSE"
        } else if now < before - tolerance {
            better += 1;
            "  better"
        } else {
            ""
        };
        println!(
            "{:36} {now:10.1} {before:10.1} {change:+6.1} %{verdict}",
            case.name
        );
    });
    match counted {
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
        Ok(0) => {
            eprintln!("no case has {part:?} in its name");
            return ExitCode::FAILURE;
        }
        Ok(_) => {}
    }
    if better > 0 {
        println!("{better} better: keep them with --update");
    }
    if worse > 0 {
        println!("{worse} worse than the baseline by more than {TOLERANCE_PERCENT} %");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn update() -> ExitCode {
    let mut text = String::from(
        "# Instructions of one operation; cargo bench --bench instructions -- --update\n",
    );
    for (name, argument) in [("rustc", "--version"), ("valgrind", "--version")] {
        let version = Command::new(name).arg(argument).output();
        let version = version.map_or(String::new(), |output| {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        });
        writeln!(text, "# {version}").expect("a string takes text");
    }
    let counted = for_each_count("", |case, now| {
        println!("{:36} {now:10.1}", case.name);
        writeln!(text, "{:36} {now:10.1}", case.name).expect("a string takes text");
    });
    let written =
        counted.and_then(|_| std::fs::write(baseline_path(), text).map_err(|e| e.to_string()));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Counts every case with `part` in its name. Returns how many there were.
fn for_each_count(part: &str, mut visit: impl FnMut(&cases::Case, f64)) -> Result<usize, String> {
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let mut counted = 0;
    for case in cases::all() {
        if case.name.contains(part) {
            visit(&case, count(&case, directory.path())?);
            counted += 1;
        }
    }
    Ok(counted)
}
