//! The page of a comparison: one section for each workload, both servers in
//! the same plots, every run visible.

use super::curves::{
    Course, Curve, Slice, by_percentile, latency_over_time, slices_of, throughput_over_time,
};
use super::markup::{banner, command, document, escape, facts, figure, grid};
use super::numbers::{self, date, shell_line};
use super::page::machine_facts;
use super::table::{RULE, clean_sides, ratio_cell};
use super::verdict::{Spread, Verdict, verdict};
use crate::result::{
    Compared, ComparedRow, Comparison, Latencies, Pacing, RunResult, merge_intervals,
};
use std::fmt::Write;

/// Size of a strip of runs, SVG units.
const STRIP_WIDTH: f64 = 190.0;
const STRIP_LINE: f64 = 14.0;
const STRIP_MARGIN: f64 = 8.0;

/// The page.
pub fn page(comparison: &Comparison) -> String {
    let labels: Vec<&str> = comparison.sides.iter().map(|s| s.label.as_str()).collect();
    let title = labels.join(" and ");
    let runs = comparison
        .rows
        .iter()
        .flat_map(|row| row.runs.iter().map(Vec::len))
        .max()
        .unwrap_or(0);
    let mut body = format!(
        "<header>\n<h1>{}</h1>\n<p><span class=\"badge\">comparison</span>{}</p>\n</header>\n",
        escape(&title),
        escape(&format!(
            "{} workloads, {runs} runs each on a fresh server, in turn · {}",
            comparison.rows.len(),
            date(comparison.started_unix_ms)
        ))
    );
    body.push_str(&state(comparison));
    body.push_str(&servers(comparison));
    body.push_str(&glance(comparison, &labels));
    for row in &comparison.rows {
        body.push_str(&row_section(row, &labels));
    }
    body.push_str(&facts("Machine", &machine_facts(&comparison.machine)));
    body.push_str(&command("Command", &shell_line(&comparison.command)));
    let _ = write!(
        body,
        "<footer>\n<p>{}</p>\n<p>In the strips a dot is a run, the upright bar the median; in the \
         plots a thin line is a run, the thick one all runs together.</p>\n<p>loadgen {}</p>\n</footer>\n",
        escape(RULE),
        escape(&comparison.loadgen_version)
    );
    document(&format!("{title} - loadgen"), &body)
}

/// What is compared.
fn servers(comparison: &Comparison) -> String {
    let version = |side: usize| {
        let first = comparison
            .rows
            .iter()
            .find_map(|row| row.runs.get(side)?.first());
        first.map_or(String::new(), |run| run.server.version.clone())
    };
    let sides = comparison.sides.iter().enumerate();
    let mut rows: Vec<(String, String)> = sides
        .map(|(index, side)| {
            let version = version(index);
            let name = match version.as_str() {
                "" => side.label.clone(),
                version => format!("{} (version {version})", side.label),
            };
            (name, side.command.clone())
        })
        .collect();
    let cpus = comparison.server_cpus.iter();
    rows.extend(cpus.map(|cpus| ("pinned to CPUs".to_owned(), cpus.clone())));
    facts("Servers", &rows)
}

/// Faulty runs first.
fn state(comparison: &Comparison) -> String {
    let mut bad = Vec::new();
    for row in &comparison.rows {
        for (side, named) in comparison.sides.iter().enumerate() {
            if let Some(text) = row.complaint(side) {
                bad.push(format!("{}, {}: {text}", row.title, named.label));
            }
        }
    }
    if let Some(error) = &comparison.error {
        bad.push(format!("ENDED EARLY: {error}"));
    }
    let mut out = banner("bad", &bad);
    if bad.is_empty() && !comparison.rows.is_empty() {
        let text = "In every run all messages arrived exactly once, in order and unchanged.";
        out.push_str(&banner("good", &[text.to_owned()]));
    }
    out
}

/// The headline figures of all rows.
fn glance(comparison: &Comparison, labels: &[&str]) -> String {
    let mut lines = Vec::new();
    for row in &comparison.rows {
        for figure in row.figures.iter().filter(|figure| figure.headline) {
            let mut cells = vec![format!(
                "{} <small>{}</small>",
                escape(&row.title),
                escape(&figure.label)
            )];
            cells.extend((0..labels.len()).map(|side| {
                let values = figure.values.get(side).map_or(&[][..], Vec::as_slice);
                Spread::of(values).map_or("-".into(), |spread| {
                    escape(&numbers::figure(spread.median, figure.unit))
                })
            }));
            cells.push(strip(figure));
            cells.extend(judgement(figure, row, labels));
            lines.push(cells);
        }
    }
    if lines.is_empty() {
        return String::new();
    }
    format!(
        "<section class=\"row\">\n<h2>At a glance</h2>\n{}</section>\n",
        grid(&head("workload", labels), &lines)
    )
}

/// The head of a table of figures.
fn head(first: &str, labels: &[&str]) -> Vec<String> {
    let mut head = vec![first.to_owned()];
    for (side, label) in labels.iter().enumerate() {
        head.push(format!(
            "<span class=\"key bold c{side}\"><i></i>{}</span>",
            escape(label)
        ));
    }
    head.push("runs".into());
    if labels.len() > 1 {
        head.extend(["ratio".to_owned(), "verdict".to_owned()]);
    }
    head
}

/// Ratio and verdict, of two sides.
fn judgement(figure: &Compared, row: &ComparedRow, labels: &[&str]) -> Vec<String> {
    if labels.len() < 2 {
        return Vec::new();
    }
    let verdict = verdict(figure, clean_sides(row));
    vec![
        escape(&ratio_cell(figure, verdict)),
        verdict_markup(verdict, labels),
    ]
}

fn row_section(row: &ComparedRow, labels: &[&str]) -> String {
    let lines: Vec<Vec<String>> = row
        .figures
        .iter()
        .map(|figure| figure_cells(figure, row, labels))
        .collect();
    let mut out = format!(
        "<section class=\"row\">\n<h2>{}</h2>\n<p class=\"note\"><code>{}</code></p>\n{}",
        escape(&row.title),
        escape(&shell_line(&row.arguments)),
        grid(&head("figure", labels), &lines)
    );
    out.push_str(&percentiles(row, labels));
    out.push_str(&over_time(row, labels));
    out.push_str("</section>\n");
    out
}

fn figure_cells(figure: &Compared, row: &ComparedRow, labels: &[&str]) -> Vec<String> {
    let mut cells = vec![escape(&figure.label)];
    cells.extend((0..labels.len()).map(|side| spread_markup(figure, side)));
    cells.push(strip(figure));
    cells.extend(judgement(figure, row, labels));
    cells
}

fn verdict_markup(verdict: Verdict, labels: &[&str]) -> String {
    let class = if verdict.is_decided() { "wins" } else { "open" };
    let text = verdict.text(labels[0], labels[1]);
    format!("<span class=\"{class}\">{}</span>", escape(&text))
}

fn spread_markup(figure: &Compared, side: usize) -> String {
    let values = figure.values.get(side).map_or(&[][..], Vec::as_slice);
    let Some(spread) = Spread::of(values) else {
        return "-".into();
    };
    let show = |value| escape(&numbers::figure(value, figure.unit));
    format!(
        "{}<br/><small>{} to {}</small>",
        show(spread.median),
        show(spread.min),
        show(spread.max)
    )
}

/// Every run as a dot on a common axis from 0, a line for each side.
fn strip(figure: &Compared) -> String {
    let all = || figure.values.iter().flatten().copied();
    let high = all().fold(0.0, f64::max);
    let lowest = all().fold(f64::INFINITY, f64::min);
    if high <= 0.0 {
        return String::new();
    }
    // Some growths of memory are below 0.
    let low = lowest.min(0.0);
    let place = |value: f64| {
        STRIP_MARGIN + (value - low) / (high - low) * (STRIP_WIDTH - 2.0 * STRIP_MARGIN)
    };
    let height = STRIP_LINE * figure.values.len() as f64 + 4.0;
    let mut out = format!(
        "<svg class=\"strip\" viewBox=\"0 0 {STRIP_WIDTH} {height}\" role=\"img\" aria-label=\"runs\" \
         style=\"width:{STRIP_WIDTH}px\">"
    );
    for (side, values) in figure.values.iter().enumerate() {
        let Some(spread) = Spread::of(values) else {
            continue;
        };
        let y = STRIP_LINE * (side as f64 + 0.5) + 2.0;
        let _ = write!(
            out,
            "<line class=\"range c{side}\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{y}\" y2=\"{y}\"/>",
            place(spread.min),
            place(spread.max)
        );
        for value in values {
            let _ = write!(
                out,
                "<circle class=\"dot c{side}\" cx=\"{:.1}\" cy=\"{y}\" r=\"2.6\"/>",
                place(*value)
            );
        }
        let _ = write!(
            out,
            "<line class=\"median c{side}\" x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"{1:.1}\" y2=\"{2:.1}\"/>",
            place(spread.median),
            y - 5.0,
            y + 5.0
        );
    }
    out.push_str("</svg>");
    out
}

fn percentiles(row: &ComparedRow, labels: &[&str]) -> String {
    let merged: Vec<Latencies> = row
        .runs
        .iter()
        .map(|runs| {
            let mut sum = Latencies::default();
            runs.iter().for_each(|run| sum.merge(&run.latency));
            sum
        })
        .collect();
    let mut curves = Vec::new();
    for (side, runs) in row.runs.iter().enumerate() {
        if runs.len() > 1 {
            curves.extend(runs.iter().map(|run| Curve {
                label: String::new(),
                class: format!("c{side} thin"),
                latency: &run.latency,
            }));
        }
    }
    for (side, latency) in merged.iter().enumerate() {
        curves.push(Curve {
            label: labels.get(side).copied().unwrap_or_default().to_owned(),
            class: format!("c{side} bold"),
            latency,
        });
    }
    let first = row.runs.iter().flatten().next();
    let note = first.map_or(String::new(), |run| {
        let measured = match run.latency_measured.as_str() {
            "" => String::new(),
            text => format!(". Measured: {text}"),
        };
        format!("{}{measured}.", capitalized(&run.pacing.to_string()))
    });
    by_percentile(&curves).map_or(String::new(), |plot| {
        figure("Latency by percentile", &note, &plot)
    })
}

/// Latency over time where the load has a schedule, throughput where the
/// server decides it; all runs of a side together.
fn over_time(row: &ComparedRow, labels: &[&str]) -> String {
    let cut: Vec<Vec<Slice>> = row.runs.iter().map(|runs| together(runs)).collect();
    let first = row.runs.iter().flatten().next();
    let courses: Vec<Course<'_>> = cut
        .iter()
        .enumerate()
        .map(|(side, slices)| Course {
            label: labels.get(side).copied().unwrap_or_default().to_owned(),
            slices,
            measured: first.map_or(0.0, RunResult::seconds),
        })
        .collect();
    let open = first.is_some_and(|run| run.pacing == Pacing::OpenLoop);
    let (heading, note, plot) = if open {
        let note = "Of the same second of all runs together.";
        ("Latency over time", note, latency_over_time(&courses))
    } else {
        let note = "Mean of all runs.";
        ("Throughput over time", note, throughput_over_time(&courses))
    };
    plot.map_or(String::new(), |plot| figure(heading, note, &plot))
}

/// The seconds of several runs: latencies of all, counts of one on average.
fn together(runs: &[RunResult]) -> Vec<Slice> {
    let Some(first) = runs.first() else {
        return Vec::new();
    };
    let mut merged = merge_intervals(runs.iter().map(|run| run.intervals.clone()));
    let count = runs.len() as u64;
    for interval in &mut merged {
        interval.sent /= count;
        interval.received /= count;
        interval.bytes /= count;
    }
    slices_of(&merged, first.measured_ns, first.measured_received)
}

fn capitalized(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|c| c.to_uppercase().to_string());
    first.unwrap_or_default() + characters.as_str()
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::report::page::tests as run;
    use crate::result::{Better, Machine, RunResult, Side, Unit};

    /// Two rows: one that allows a verdict, one that does not.
    pub fn example() -> Comparison {
        let figure = |label: &str, headline, a: [f64; 4], b: [f64; 4]| Compared {
            label: label.into(),
            unit: Unit::Nanoseconds,
            better: Better::Lower,
            headline,
            values: vec![a.into(), b.into()],
        };
        let runs = |factor: u64| -> Vec<RunResult> {
            (0..4)
                .map(|repetition| {
                    let mut result = run::example();
                    let mut latency = Latencies::default();
                    for step in result.latency.histogram().iter_recorded() {
                        let value = step.value_iterated_to() * (factor + repetition) / 10;
                        (0..step.count_at_value()).for_each(|_| latency.record(value));
                    }
                    result.latency = latency;
                    result
                })
                .collect()
        };
        let row = |key: &str, title: &str, figures: Vec<Compared>| ComparedRow {
            key: key.into(),
            title: title.into(),
            arguments: ["fanout", "--subs", "10"].map(str::to_owned).into(),
            figures,
            runs: vec![runs(20), runs(10)],
        };
        Comparison {
            command: ["loadgen", "compare", "--a", "env GOMAXPROCS=1 <nats>"]
                .map(str::to_owned)
                .into(),
            loadgen_version: "0.1.0".into(),
            machine: Machine::read(),
            started_unix_ms: 1_764_096_148_500,
            server_cpus: Some("0".into()),
            sides: ["nats-server 2.15.1", "ringwire"]
                .map(|label| Side {
                    label: label.into(),
                    command: format!("{label} -p {{port}}"),
                })
                .into(),
            rows: vec![
                row(
                    "echo1",
                    "50 connections, one message in flight each",
                    vec![
                        figure(
                            "CPU a message",
                            true,
                            [7600., 7700., 7650., 7900.],
                            [3700., 3800., 3760., 3900.],
                        ),
                        figure(
                            "p99",
                            false,
                            [61e3, 66e3, 62e3, 70e3],
                            [60e3, 69e3, 71e3, 72e3],
                        ),
                    ],
                ),
                row(
                    "paced",
                    "ten readers",
                    vec![
                        figure(
                            "p50",
                            true,
                            [61e3, 66e3, 62e3, 70e3],
                            [40e3, 41e3, 42e3, 44e3],
                        ),
                        figure(
                            "p99",
                            true,
                            [900e3, 950e3, 1e6, 2e6],
                            [200e3, 210e3, 180e3, 1e6],
                        ),
                    ],
                ),
            ],
            error: None,
        }
    }

    #[test]
    fn the_page_shows_both_servers_and_loads_nothing() {
        let comparison = example();
        let html = page(&comparison);
        run::assert_sound(&html);
        assert!(html.contains("env GOMAXPROCS=1 &lt;nats&gt;"));
        assert!(html.contains("class=\"wins\">ringwire better"), "a verdict");
        assert!(html.contains("class=\"open\">no verdict"), "and none");
        // Two plots a row, a strip for each figure and each headline.
        assert_eq!(html.matches("<svg").count(), 2 * 2 + 4 + 3);
        assert_eq!(
            html.matches("line c0 thin").count(),
            8,
            "every run is visible"
        );
    }

    #[test]
    fn faulty_or_empty_comparisons_are_sound_too() {
        run::assert_sound(&page(&Comparison::default()));
        let mut comparison = example();
        comparison.rows[1].runs[0][2].counts.lost = 9;
        comparison.error = Some("a & b".into());
        let html = page(&comparison);
        run::assert_sound(&html);
        assert!(html.contains("9 lost") && html.contains("a &amp; b"));
        assert!(!html.contains("In every run"));
        comparison.sides.truncate(1);
        for row in &mut comparison.rows {
            row.runs.truncate(1);
            row.figures.iter_mut().for_each(|f| f.values.truncate(1));
        }
        run::assert_sound(&page(&comparison));
    }
}
