//! `find-max`: the highest rate at which a latency objective holds. The rate
//! is doubled until it fails, then the gap is halved, on a logarithmic scale.

use crate::child::{self, Seconds, Site};
use crate::cli::{Common, values};
use crate::error::Error;
use crate::result::{Figure, Pacing, PackedLatencies, RunResult, Search as Searched, Step};
use crate::sys;
use clap::Args;
use std::str::FromStr;

/// Messages of a run that must be sent for it to count (share). Whether it kept
/// its schedule, the run itself judges.
const RATE_KEPT: f64 = 0.9;

/// Flags of `find-max`. `--seconds` is the length of each run.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Percentile and limit: p99.9=1ms, max=20ms.
    #[arg(long, default_value = "p99=1ms")]
    pub objective: Objective,
    /// First rate.
    #[arg(long, default_value = "1k", value_parser = values::rate)]
    pub from: u64,
    /// Highest rate that is tried.
    #[arg(long, default_value = "50M", value_parser = values::rate)]
    pub to: u64,
    /// The search ends when the gap is this small, in percent.
    #[arg(long, default_value_t = 5.0)]
    pub precision: f64,
    /// A failed rate is run again this often before it counts as failed.
    #[arg(long, default_value_t = 1)]
    pub retry: usize,
    /// An open-loop subcommand with its flags, without --rate.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub load: Vec<String>,
}

/// A latency that is not to be exceeded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Objective {
    /// 1 for the maximum.
    quantile: f64,
    limit_ns: u64,
}

impl FromStr for Objective {
    type Err = String;

    fn from_str(text: &str) -> Result<Objective, String> {
        let bad = || "not an objective such as p99.9=1ms or max=20ms".to_owned();
        let (name, limit) = text.split_once('=').ok_or_else(bad)?;
        let quantile = match name.strip_prefix('p') {
            Some(percent) => percent.parse::<f64>().map_err(|_| bad())? / 100.0,
            None if name == "max" => 1.0,
            None => return Err(bad()),
        };
        let (digits, unit) = [
            ("ns", 1.0),
            ("us", 1e3),
            ("µs", 1e3),
            ("ms", 1e6),
            ("s", 1e9),
        ]
        .into_iter()
        .find_map(|(suffix, unit)| Some((limit.strip_suffix(suffix)?, unit)))
        .ok_or_else(bad)?;
        let limit_ns = digits.trim().parse::<f64>().map_err(|_| bad())? * unit;
        if !(0.0..=1.0).contains(&quantile) || !limit_ns.is_finite() || limit_ns < 1.0 {
            return Err(bad());
        }
        Ok(Objective {
            quantile,
            limit_ns: limit_ns as u64,
        })
    }
}

impl std::fmt::Display for Objective {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let limit = self.limit_ns as f64 / 1e6;
        if self.quantile >= 1.0 {
            write!(f, "max ≤ {limit} ms")
        } else {
            // 99.9 and not 99.90000000000001.
            let percent = (self.quantile * 1e8).round() / 1e6;
            write!(f, "p{percent} ≤ {limit} ms")
        }
    }
}

/// Why a rate does not hold, `None` if it does.
fn objection(result: &RunResult, rate: u64, objective: Objective) -> Option<String> {
    let counts = result.counts;
    if !result.is_clean() {
        return Some(result.faults.first().cloned().unwrap_or_else(|| {
            format!(
                "lost {}, duplicated {}, reordered {}, damaged {}",
                counts.lost, counts.duplicated, counts.reordered, counts.damaged
            )
        }));
    }
    if result.sent_per_second() < rate as f64 * RATE_KEPT - 1.0 {
        return Some(format!(
            "only {:.0} a second were sent",
            result.sent_per_second()
        ));
    }
    if result.latency.is_empty() {
        return Some("no latency was measured".into());
    }
    let found = match objective.quantile {
        quantile if quantile >= 1.0 => result.latency.max(),
        quantile => result.latency.at(quantile),
    };
    (found > objective.limit_ns).then(|| format!("{:.3} ms", found as f64 / 1e6))
}

/// The search, without time and servers.
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    from: u64,
    to: u64,
    /// Ratio of the two ends at which it is over, above 1.
    close: f64,
    /// The highest rate that held, the lowest that failed.
    held: Option<u64>,
    failed: Option<u64>,
}

impl Search {
    /// From rate `from` up to `to`, to `precision` percent.
    pub fn new(from: u64, to: u64, precision: f64) -> Search {
        Search {
            from: from.clamp(1, to.max(1)),
            to: to.max(1),
            close: 1.0 + precision.clamp(0.1, 100.0) / 100.0,
            held: None,
            failed: None,
        }
    }

    /// The next rate to try, `None` when the search is over.
    pub fn next(&self) -> Option<u64> {
        match (self.held, self.failed) {
            (None, None) => Some(self.from),
            (Some(held), None) if held >= self.to => None,
            (Some(held), None) => Some(held.saturating_mul(2).min(self.to)),
            (None, Some(1)) => None,
            (None, Some(failed)) => Some((failed / 2).max(1)),
            (Some(held), Some(failed)) => {
                if failed as f64 <= held as f64 * self.close || failed <= held + 1 {
                    return None;
                }
                let middle = (held as f64 * failed as f64).sqrt() as u64;
                Some(middle.clamp(held + 1, failed - 1))
            }
        }
    }

    /// What became of `rate`.
    pub fn tell(&mut self, rate: u64, holds: bool) {
        if holds {
            self.held = Some(self.held.map_or(rate, |held| held.max(rate)));
        } else {
            self.failed = Some(self.failed.map_or(rate, |failed| failed.min(rate)));
        }
    }

    /// The highest rate that held.
    pub fn held(&self) -> Option<u64> {
        self.held
    }
}

/// Runs the search. The result of the best run, with the rate as a figure.
pub fn run(options: &Options, common: &Common) -> Result<RunResult, Error> {
    let place = common.place()?;
    let site = Site {
        server: match &place.started {
            Some(started) => format!("localhost:{}", started.port()),
            None => common.server.clone(),
        },
        pid: match &place.started {
            Some(started) => Some(started.pid()),
            None => common.server_pid,
        },
    };
    let mut search = Search::new(options.from, options.to, options.precision);
    let mut steps = Vec::new();
    let mut best = None;
    let mut last = None;
    while let Some(rate) = search.next() {
        let mut held = false;
        for _ in 0..=options.retry {
            if sys::stop_requested() {
                break;
            }
            let mut arguments = options.load.clone();
            arguments.extend(["--rate".into(), rate.to_string()]);
            let result = child::run(&arguments, &site, common, Seconds::default())?;
            if result.pacing != Pacing::OpenLoop {
                return Err(Error::Usage("find-max needs an open-loop load".into()));
            }
            let why = objection(&result, rate, options.objective);
            if !common.quiet {
                let verdict = why
                    .as_ref()
                    .map_or("holds".into(), |why| format!("fails: {why}"));
                eprintln!("{rate:>10}/s  {verdict}");
            }
            steps.push(Step {
                rate,
                objection: why.clone(),
                sent_per_second: result.sent_per_second(),
                received_per_second: result.received_per_second(),
                latency: PackedLatencies::of(&result.latency),
            });
            if why.is_none() {
                best = Some(result);
                held = true;
                break;
            }
            last = Some(result);
        }
        if sys::stop_requested() {
            break;
        }
        search.tell(rate, held);
    }
    let mut result = best
        .or(last)
        .ok_or_else(|| Error::Usage("stopped before anything was measured".into()))?;
    let quantile = options.objective.quantile;
    if quantile < 1.0 && !result.latency.supports(quantile) {
        result.notes.push(format!(
            "{} messages are too few for {}: chance decides it; take more --seconds",
            result.latency.count(),
            options.objective
        ));
    }
    result.command = std::env::args().collect();
    result.search = Some(Searched {
        objective: options.objective.to_string(),
        limit_ns: options.objective.limit_ns,
        steps,
    });
    result.complete &= !sys::stop_requested();
    match search.held() {
        Some(rate) => {
            result.figures.push(Figure {
                name: format!("highest rate with {}", options.objective),
                value: rate as f64,
                unit: "messages/s".into(),
            });
            if search.failed.is_none() {
                result
                    .notes
                    .push(format!("no rate up to {} failed", options.to));
            }
        }
        None => result.faults.push(format!(
            "no rate was found at which {} holds",
            options.objective
        )),
    }
    if result.busiest().is_some_and(|busy| busy > 0.9) {
        result.notes.push(
            "the load generator was busy: the server may do more with more --cpus for loadgen"
                .into(),
        );
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches a server that holds up to `limit`; the rates that were tried.
    fn search(from: u64, to: u64, limit: u64) -> (Option<u64>, Vec<u64>) {
        let mut search = Search::new(from, to, 5.0);
        let mut tried = Vec::new();
        while let Some(rate) = search.next() {
            tried.push(rate);
            assert!(tried.len() < 100, "it ends: {tried:?}");
            search.tell(rate, rate <= limit);
        }
        (search.held(), tried)
    }

    #[test]
    fn the_limit_is_found_to_the_precision() {
        for limit in [1, 2, 3, 50, 999, 1000, 1001, 77_777, 1_000_000] {
            let (held, tried) = search(1000, 10_000_000, limit);
            let held = held.unwrap();
            assert!(
                held <= limit && limit as f64 <= held as f64 * 1.05 + 1.0,
                "{tried:?}"
            );
            assert!(tried.len() < 25, "{tried:?}");
        }
    }

    #[test]
    fn a_server_that_always_or_never_holds_ends_the_search() {
        assert_eq!(search(1000, 9000, u64::MAX).0, Some(9000));
        let (held, tried) = search(1000, 9000, 0);
        assert_eq!((held, tried.last()), (None, Some(&1)));
    }

    #[test]
    fn objectives_have_units() {
        let objective = |text: &str| text.parse::<Objective>();
        assert_eq!(objective("p99.9=1ms").unwrap().to_string(), "p99.9 ≤ 1 ms");
        assert_eq!(objective("max=0.5s").unwrap().limit_ns, 500_000_000);
        assert_eq!(objective("p50=80us").unwrap().limit_ns, 80_000);
        for bad in ["p99", "99=1ms", "p101=1ms", "p99=1", "p99=-1ms", "p99=0ns"] {
            assert!(objective(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_run_that_lost_or_came_late_does_not_hold() {
        let objective: Objective = "p99=1ms".parse().unwrap();
        let mut result = RunResult {
            complete: true,
            measured_ns: 1_000_000_000,
            measured_sent: 1000,
            ..RunResult::default()
        };
        result.latency.record(900_000);
        assert_eq!(objection(&result, 1000, objective), None);
        assert!(
            objection(&result, 2000, objective)
                .unwrap()
                .contains("1000")
        );
        result.counts.lost = 1;
        assert!(
            objection(&result, 1000, objective)
                .unwrap()
                .contains("lost 1")
        );
        result.counts.lost = 0;
        result.latency.record(2_000_000);
        assert!(
            objection(&result, 1000, objective)
                .unwrap()
                .contains("2.00")
        );
    }
}
