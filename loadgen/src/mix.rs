//! `mix`: a scenario file with several loads, each a subcommand of loadgen
//! with its time.
//!
//! TOML, or JSON with the same names:
//!
//! ```toml
//! seconds = 10
//! warmup = 1
//!
//! [[load]]
//! name = "quotes"
//! run = "fanout --pubs 2 --subs 20 --rate 20k --arrivals poisson"
//!
//! [[load]]
//! name = "bursts"
//! run = "pubsub --rate 50k --arrivals burst:500"
//! start = 3
//! stop = 6
//! ```

use crate::cli::loads::LoadCommand;
use crate::cli::{Cli, Command};
use crate::engine::Work;
use crate::error::Error;
use crate::server_process::ServerProcess;
use crate::work::mix::Scene;
use clap::{Args, Parser};
use serde::Deserialize;

#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Scenario file, TOML or JSON.
    pub file: String,
}

/// A scenario.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Of the measured part, in place of `--seconds`.
    pub seconds: Option<f64>,
    /// In place of `--warmup`.
    pub warmup: Option<f64>,
    #[serde(rename = "load")]
    loads: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: Option<String>,
    /// Subcommand with its own flags.
    run: String,
    /// Seconds from the begin of the run, warm-up included.
    #[serde(default)]
    start: f64,
    stop: Option<f64>,
}

impl Scenario {
    pub fn read(path: &str) -> Result<Scenario, Error> {
        let text =
            std::fs::read_to_string(path).map_err(Error::system(format!("reading {path}")))?;
        let parsed = if text.trim_start().starts_with('{') {
            serde_json::from_str(&text).map_err(|error| error.to_string())
        } else {
            toml::from_str(&text).map_err(|error| error.to_string())
        };
        let scenario: Scenario =
            parsed.map_err(|why| Error::Usage(format!("{path}: {}", why.trim_end())))?;
        scenario
            .check()
            .map_err(|why| Error::Usage(format!("{path}: {why}")))?;
        Ok(scenario)
    }

    fn check(&self) -> Result<(), String> {
        let time = |value: f64| (0.0..=86_400.0).contains(&value);
        if self.loads.is_empty() {
            return Err("no load in it".into());
        }
        if !self.seconds.is_none_or(time) || !self.warmup.is_none_or(time) {
            return Err("seconds and warmup are from 0 to 86400".into());
        }
        for (index, entry) in self.loads.iter().enumerate() {
            let stop = entry.stop.unwrap_or(86_400.0);
            if !time(entry.start) || !time(stop) || entry.start >= stop {
                return Err(format!("load {}: it stops before it starts", index + 1));
            }
        }
        Ok(())
    }

    /// The works of all loads.
    pub fn works(&self, server: Option<ServerProcess>) -> Result<Vec<Box<dyn Work>>, Error> {
        let mut works: Vec<Box<dyn Work>> = Vec::new();
        for (index, entry) in self.loads.iter().enumerate() {
            let name = entry
                .name
                .clone()
                .unwrap_or_else(|| format!("load {}", index + 1));
            let command = parse(&entry.run)
                .map_err(|why| Error::Usage(format!("{name}, \"{}\": {why}", entry.run)))?;
            let parts = command.works(server)?.filter(|parts| parts.len() == 1);
            let Some(part) = parts.and_then(|mut parts| parts.pop()) else {
                return Err(Error::Usage(format!(
                    "{name}: \"{}\" cannot be part of a mix",
                    entry.run
                )));
            };
            works.push(Box::new(Scene {
                name,
                seconds: (entry.start, entry.stop.unwrap_or(f64::INFINITY)),
                work: part,
            }));
        }
        Ok(works)
    }
}

/// A subcommand that offers load. General flags are not for a single load.
fn parse(text: &str) -> Result<LoadCommand, String> {
    let words = crate::started::split(text).map_err(|error| error.to_string())?;
    let line = std::iter::once("loadgen".to_owned()).chain(words);
    let cli = Cli::try_parse_from(line).map_err(|error| {
        let text = error.to_string();
        let first = text.lines().next().unwrap_or_default().to_owned();
        first.trim_start_matches("error: ").to_owned()
    })?;
    match cli.command {
        Command::Load(command) => Ok(command),
        _ => Err("not a load".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(text: &str) -> Result<Scenario, Error> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mix");
        std::fs::write(&path, text).unwrap();
        Scenario::read(path.to_str().unwrap())
    }

    #[test]
    fn toml_and_json_mean_the_same() {
        let toml = "seconds = 3\n[[load]]\nname = \"a\"\nrun = \"pubsub --rate 5k\"\nstop = 2.5\n";
        let json =
            r#"{"seconds": 3, "load": [{"name": "a", "run": "pubsub --rate 5k", "stop": 2.5}]}"#;
        for text in [toml, json] {
            let scenario = scenario(text).unwrap();
            assert_eq!(scenario.seconds, Some(3.0));
            let works = scenario.works(None).unwrap();
            assert_eq!(works[0].title(), "a: pubsub 1 to 1");
            assert_eq!(works[0].seconds(), Some((0.0, 2.5)));
            assert_eq!(works[0].pattern().map(|pattern| pattern.rate), Some(5000));
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let said = |text: &str| {
            scenario(text)
                .and_then(|scenario| scenario.works(None).map(|_| ()))
                .unwrap_err()
                .to_string()
        };
        assert!(said("load = []").contains("no load"));
        assert!(said("[[load]]\nrn = \"pub\"").contains("rn"));
        assert!(said("[[load]]\nrun = \"pub --sise 5\"").contains("--sise"));
        assert!(said("[[load]]\nrun = \"idle\"").contains("cannot be part"));
        assert!(said("[[load]]\nrun = \"pub\"\nstart = 5\nstop = 5").contains("stops"));
    }
}
