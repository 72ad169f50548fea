//! The flags that name output files, and the writing of them.

use super::{compare_page, export, page};
use crate::error::Error;
use crate::result::{Comparison, RunResult};
use clap::Args;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// A file name that stands for standard output.
const STDOUT: &str = "-";

/// Files that a run leaves. `-` is standard output.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Output")]
pub struct Outputs {
    /// Result as JSON, one line a load ("-": standard output).
    #[arg(long, global = true, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// One line a second as CSV.
    #[arg(long, global = true, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// Percentile distribution, HdrHistogram text format, µs. Of several
    /// loads, the number comes before the extension.
    #[arg(long, global = true, value_name = "FILE")]
    pub hgrm: Option<PathBuf>,
    /// Interval log of HdrHistogram, one histogram a second.
    #[arg(long, global = true, value_name = "FILE")]
    pub hlog: Option<PathBuf>,
    /// Page with plots for a browser; one file, nothing loaded from elsewhere.
    #[arg(long, global = true, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

/// The same of a comparison.
pub struct ComparisonOutputs<'a>(pub &'a Outputs);

impl Outputs {
    /// Fails for what could not be written after the run; so before it.
    pub fn check(&self) -> Result<(), Error> {
        for path in self.paths() {
            if is_stdout(path) {
                continue;
            }
            File::options()
                .append(true)
                .create(true)
                .open(path)
                .map_err(Error::system(format!("opening {}", path.display())))?;
        }
        Ok(())
    }

    fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.json, &self.csv, &self.hgrm, &self.hlog, &self.report]
            .into_iter()
            .flatten()
    }

    /// Whether standard output is taken, so that the table for people goes to
    /// standard error.
    pub fn takes_stdout(&self) -> bool {
        self.paths().any(|path| is_stdout(path))
    }

    /// Writes all files that were asked for. The first failure is returned
    /// after the other files are written.
    pub fn write(&self, results: &[RunResult]) -> Result<(), Error> {
        let mut outcome = Ok(());
        let mut file = |path: &Option<PathBuf>,
                        write: &dyn Fn(&mut dyn Write) -> io::Result<()>| {
            if let Some(path) = path {
                keep_first(&mut outcome, save(path, write));
            }
        };
        file(&self.json, &|out| {
            results
                .iter()
                .try_for_each(|result| out.write_all(export::json_line(result)?.as_bytes()))
        });
        file(&self.csv, &|out| export::csv(out, results));
        file(&self.hlog, &|out| export::hlog(out, results));
        file(&self.report, &|out| {
            out.write_all(page::page(results).as_bytes())
        });
        if let Some(path) = &self.hgrm {
            for (index, result) in results.iter().enumerate() {
                let path = match results.len() {
                    1 => path.clone(),
                    _ => numbered(path, index + 1),
                };
                let written = save(&path, &|out| export::hgrm(out, &result.latency));
                keep_first(&mut outcome, written);
            }
        }
        outcome
    }
}

impl ComparisonOutputs<'_> {
    /// Flags that have no meaning for a comparison are refused.
    pub fn check(&self) -> Result<(), Error> {
        let Outputs {
            csv, hgrm, hlog, ..
        } = self.0;
        for (flag, path) in [("--csv", csv), ("--hgrm", hgrm), ("--hlog", hlog)] {
            if path.is_some() {
                return Err(Error::Usage(format!(
                    "{flag} is for a single run; a comparison has --json, --report and --markdown"
                )));
            }
        }
        self.0.check()
    }

    pub fn write(&self, comparison: &Comparison) -> Result<(), Error> {
        let mut outcome = Ok(());
        if let Some(path) = &self.0.json {
            let written = save(path, &|out| {
                out.write_all(export::json_line(comparison)?.as_bytes())
            });
            keep_first(&mut outcome, written);
        }
        if let Some(path) = &self.0.report {
            let written = save(path, &|out| {
                out.write_all(compare_page::page(comparison).as_bytes())
            });
            keep_first(&mut outcome, written);
        }
        outcome
    }
}

fn keep_first(outcome: &mut Result<(), Error>, next: Result<(), Error>) {
    if outcome.is_ok() {
        *outcome = next;
    }
}

fn is_stdout(path: &Path) -> bool {
    path.as_os_str() == STDOUT
}

fn save(path: &Path, write: &dyn Fn(&mut dyn Write) -> io::Result<()>) -> Result<(), Error> {
    let doing = || format!("writing {}", path.display());
    if is_stdout(path) {
        let mut out = io::stdout().lock();
        return write(&mut out)
            .and_then(|()| out.flush())
            .map_err(Error::system("writing to standard output"));
    }
    let file = File::create(path).map_err(Error::system(doing()))?;
    let mut out = BufWriter::new(file);
    write(&mut out)
        .and_then(|()| out.flush())
        .map_err(Error::system(doing()))
}

/// `dir/run.hgrm` becomes `dir/run.2.hgrm`.
fn numbered(path: &Path, number: usize) -> PathBuf {
    if is_stdout(path) {
        return path.to_owned();
    }
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    match extension.as_ref() {
        "" => path.with_extension(number.to_string()),
        extension => path.with_extension(format!("{number}.{extension}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::page::tests::example;

    fn outputs(directory: &Path) -> Outputs {
        let file = |name: &str| Some(directory.join(name));
        Outputs {
            json: file("out.json"),
            csv: file("out.csv"),
            hgrm: file("out.hgrm"),
            hlog: file("out.hlog"),
            report: file("out.html"),
        }
    }

    #[test]
    fn all_files_are_written() {
        let directory = tempfile::tempdir().unwrap();
        let outputs = outputs(directory.path());
        outputs.check().unwrap();
        outputs.write(&[example()]).unwrap();
        for path in outputs.paths() {
            assert!(path.metadata().unwrap().len() > 100, "{}", path.display());
        }
        outputs.write(&[example(), example()]).unwrap();
        assert!(directory.path().join("out.2.hgrm").exists());
        assert!(!outputs.takes_stdout());
    }

    #[test]
    fn what_cannot_be_written_is_told_before_the_run() {
        let directory = tempfile::tempdir().unwrap();
        let outputs = outputs(&directory.path().join("missing"));
        let text = outputs.check().unwrap_err().to_string();
        assert!(text.contains("missing"), "{text}");
        assert!(outputs.write(&[example()]).is_err());
        let refused = ComparisonOutputs(&outputs).check().unwrap_err();
        assert!(refused.to_string().contains("--csv"));
    }

    #[test]
    fn a_dash_is_standard_output() {
        let outputs = Outputs {
            json: Some("-".into()),
            ..Outputs::default()
        };
        outputs.check().unwrap();
        assert!(outputs.takes_stdout());
        assert_eq!(numbered(Path::new("a/run"), 2), Path::new("a/run.2"));
    }
}
