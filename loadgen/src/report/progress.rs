//! What is seen while a run goes on: one line that is drawn over on a
//! terminal, a line each second elsewhere. On standard error.

use super::numbers::{nanoseconds, short_rate};
use crate::result::Latencies;
use std::io::{self, IsTerminal, Write};

/// Longest line drawn over (columns): a longer one would wrap and stay.
const COLUMNS: usize = 79;

/// Columns of the bar.
const BAR: usize = 12;

/// The state of a run, once a second.
#[derive(Debug, Clone, Default)]
pub struct Second<'a> {
    /// From the begin of the measured part (ns); negative in the warm-up.
    pub elapsed_ns: i64,
    pub sent_per_second: f64,
    pub received_per_second: f64,
    /// Of the last second that is complete.
    pub latency: Option<&'a Latencies>,
}

/// The progress of one run.
pub struct Progress {
    out: Box<dyn Write>,
    redraws: bool,
    measure_ns: u64,
    /// Whether a line is there that the next one is drawn over.
    drawn: bool,
}

impl Progress {
    /// On standard error, of a run that measures for `measure_ns`.
    pub fn new(measure_ns: u64) -> Progress {
        let redraws = io::stderr().is_terminal();
        Progress::to(Box::new(io::stderr()), redraws, measure_ns)
    }

    /// Shows nothing.
    pub fn silent() -> Progress {
        Progress::to(Box::new(io::sink()), false, 0)
    }

    fn to(out: Box<dyn Write>, redraws: bool, measure_ns: u64) -> Progress {
        Progress {
            out,
            redraws,
            measure_ns,
            drawn: false,
        }
    }

    pub fn second(&mut self, second: &Second<'_>) {
        let line = if self.redraws {
            format!("{} {}", self.bar(second.elapsed_ns), figures(second))
        } else {
            format!(
                "{:>5} s  {}",
                whole_seconds(second.elapsed_ns),
                figures(second)
            )
        };
        self.show(&line);
    }

    /// Takes the line away, before what comes after the run.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.drawn) {
            let _ = write!(self.out, "\r{:COLUMNS$}\r", "");
            let _ = self.out.flush();
        }
    }

    fn show(&mut self, line: &str) {
        if self.redraws {
            let line: String = line.chars().take(COLUMNS).collect();
            // Nobody to tell when standard error is gone.
            let _ = write!(self.out, "\r{line:COLUMNS$}");
            let _ = self.out.flush();
            self.drawn = true;
        } else {
            let _ = writeln!(self.out, "{}", line.trim_end());
        }
    }

    fn bar(&self, elapsed_ns: i64) -> String {
        let total = self.measure_ns.max(1) as f64;
        let share = (elapsed_ns.max(0) as f64 / total).min(1.0);
        let full = (share * BAR as f64) as usize;
        let time = if elapsed_ns < 0 {
            "warm-up".to_owned()
        } else {
            let of = (total / 1e9).ceil();
            format!("{}/{of} s", whole_seconds(elapsed_ns))
        };
        format!("[{}{}] {time:<8}", "#".repeat(full), "-".repeat(BAR - full))
    }
}

fn whole_seconds(elapsed_ns: i64) -> i64 {
    // The clock is read a little before or after the full second.
    (elapsed_ns as f64 / 1e9).round() as i64
}

fn figures(second: &Second<'_>) -> String {
    let mut text = format!(
        "sent {}/s  received {}/s",
        short_rate(second.sent_per_second),
        short_rate(second.received_per_second)
    );
    if let Some(latency) = second.latency.filter(|latency| !latency.is_empty()) {
        for (name, value) in [
            ("p50", latency.at(0.5)),
            ("p99", latency.at(0.99)),
            ("max", latency.max()),
        ] {
            text.push_str(&format!("  {name} {}", nanoseconds(value as f64)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Screen(Arc<Mutex<Vec<u8>>>);

    impl Write for Screen {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn shown(redraws: bool) -> String {
        let screen = Screen::default();
        let mut progress = Progress::to(Box::new(screen.clone()), redraws, 10_000_000_000);
        let mut latency = Latencies::default();
        latency.record(41_234);
        for elapsed_ns in [-500_000_000, 999_900_000, 5_000_100_000] {
            progress.second(&Second {
                elapsed_ns,
                sent_per_second: 1_234_567.0,
                received_per_second: 12_345_678.0,
                latency: Some(&latency),
            });
        }
        progress.clear();
        String::from_utf8(screen.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn elsewhere_a_line_each_second() {
        let text = shown(false);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert_eq!(
            lines[2],
            "    5 s  sent 1.23M/s  received 12.3M/s  p50 41.2 µs  p99 41.2 µs  max 41.2 µs"
        );
        assert!(!text.contains('\r'));
    }

    #[test]
    fn on_a_terminal_one_line_that_fits() {
        let text = shown(true);
        assert!(text.contains("[######------] 5/10 s"), "{text}");
        assert!(text.contains("warm-up"));
        let rest = text.rsplit('\r').nth(1).unwrap();
        assert!(text.ends_with('\r') && rest.trim().is_empty(), "{text:?}");
        for line in text.split('\r') {
            assert!(line.trim_end_matches('\n').chars().count() <= COLUMNS);
        }
    }
}
