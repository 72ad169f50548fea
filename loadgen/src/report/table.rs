//! Comparisons as text: a full table for the terminal or as Markdown, and the
//! short table that the README shows.

use super::numbers;
use super::verdict::{self, Spread, Verdict, verdict};
use crate::result::{Compared, ComparedRow, Comparison, Unit};
use std::fmt::Write;

/// The rule, for whoever reads a table.
pub const RULE: &str = "Median (smallest to largest, ± median absolute deviation). The ratio is the second \
     median by the first. A side is called better only where both have at least four runs, their \
     ranges do not overlap, and its own runs were all without a fault.";

/// All figures of all rows.
pub fn comparison_table(comparison: &Comparison, markdown: bool) -> String {
    let labels: Vec<&str> = comparison.sides.iter().map(|s| s.label.as_str()).collect();
    let mut head = vec!["work".to_owned(), "figure".to_owned()];
    head.extend(labels.iter().map(|label| (*label).to_owned()));
    if labels.len() > 1 {
        head.extend([ratio_head(&labels), "verdict".to_owned()]);
    }
    let mut lines = vec![head];
    for row in &comparison.rows {
        for (index, figure) in row.figures.iter().enumerate() {
            let title = if index == 0 { row.title.as_str() } else { "" };
            let mut cells = vec![title.to_owned(), figure.label.clone()];
            cells.extend((0..labels.len()).map(|side| spread_cell(figure, side)));
            if labels.len() > 1 {
                let verdict = verdict(figure, clean_sides(row));
                cells.push(ratio_cell(figure, verdict));
                cells.push(verdict.text(labels[0], labels[1]));
            }
            lines.push(cells);
        }
    }
    let mut out = render(&lines, markdown);
    for complaint in complaints(comparison) {
        let _ = writeln!(out, "{}{complaint}", if markdown { "\n" } else { "" });
    }
    let _ = writeln!(out, "\n{RULE}");
    out
}

/// One line for each row, headline figures only: for a README.
pub fn suite_table(comparison: &Comparison) -> String {
    let labels: Vec<&str> = comparison.sides.iter().map(|s| s.label.as_str()).collect();
    let mut head = vec!["row".to_owned(), "work".to_owned()];
    head.extend(labels.iter().map(|label| (*label).to_owned()));
    if labels.len() > 1 {
        head.push("ratio".to_owned());
    }
    let mut lines = vec![head];
    for row in &comparison.rows {
        let headline: Vec<&Compared> = row.figures.iter().filter(|f| f.headline).collect();
        let mut title = row.title.clone();
        if headline.len() > 1 {
            let names: Vec<&str> = headline.iter().map(|f| f.label.as_str()).collect();
            title = format!("{title}: {}", names.join(", "));
        }
        let mut cells = vec![format!("`{}`", row.key), title];
        for side in 0..labels.len() {
            let mark = row.complaint(side).map_or("", |_| " (faulty)");
            cells.push(format!("{}{mark}", headline_cell(&headline, side)));
        }
        if labels.len() > 1 {
            let ratios: Vec<String> = headline
                .iter()
                .map(|figure| ratio_cell(figure, verdict(figure, clean_sides(row))))
                .collect();
            cells.push(ratios.join(", "));
        }
        lines.push(cells);
    }
    let mut out = render(&lines, true);
    for complaint in complaints(comparison) {
        let _ = writeln!(out, "\n{complaint}");
    }
    out
}

fn complaints(comparison: &Comparison) -> Vec<String> {
    let mut complaints = Vec::new();
    for row in &comparison.rows {
        for (side, named) in comparison.sides.iter().enumerate() {
            if let Some(text) = row.complaint(side) {
                complaints.push(format!("FAULTY: {} on {}: {text}", row.key, named.label));
            }
        }
    }
    if let Some(error) = &comparison.error {
        complaints.push(format!("ENDED EARLY: {error}"));
    }
    complaints
}

/// Of which sides all runs were.
pub fn clean_sides(row: &ComparedRow) -> [bool; 2] {
    [0, 1].map(|side| row.complaint(side).is_none())
}

fn ratio_head(labels: &[&str]) -> String {
    format!("{} / {}", labels[1], labels[0])
}

/// The ratio, in brackets where there is no verdict.
pub fn ratio_cell(figure: &Compared, verdict: Verdict) -> String {
    match verdict::ratio(figure) {
        None => "-".into(),
        Some(ratio) if verdict.is_decided() => show_ratio(ratio),
        Some(ratio) => format!("[{}]", show_ratio(ratio)),
    }
}

/// Two digits that mean something.
fn show_ratio(ratio: f64) -> String {
    match ratio < 0.095 {
        true => format!("{ratio:.3}"),
        false => format!("{ratio:.2}"),
    }
}

fn spread_cell(figure: &Compared, side: usize) -> String {
    let values = figure.values.get(side).map_or(&[][..], Vec::as_slice);
    let Some(spread) = Spread::of(values) else {
        return "-".into();
    };
    let show = |value| numbers::figure(value, figure.unit);
    if spread.runs == 1 {
        return show(spread.median);
    }
    format!(
        "{} ({} to {}, ± {})",
        show(spread.median),
        show(spread.min),
        show(spread.max),
        show(spread.deviation)
    )
}

fn headline_cell(headline: &[&Compared], side: usize) -> String {
    let cells: Vec<String> = headline
        .iter()
        .map(|figure| {
            let values = figure.values.get(side).map_or(&[][..], Vec::as_slice);
            Spread::of(values).map_or("-".into(), |spread| {
                // A README wants bytes exactly where they are few.
                match figure.unit {
                    Unit::Bytes if spread.median < 100_000.0 => {
                        format!("{} B", numbers::count(spread.median))
                    }
                    unit => numbers::figure(spread.median, unit),
                }
            })
        })
        .collect();
    cells.join(", ")
}

/// Lines of cells in columns.
fn render(lines: &[Vec<String>], markdown: bool) -> String {
    let columns = lines.first().map_or(0, Vec::len);
    let escape = |cell: &String| {
        if markdown {
            cell.replace('|', "\\|")
        } else {
            cell.clone()
        }
    };
    let lines: Vec<Vec<String>> = lines
        .iter()
        .map(|cells| cells.iter().map(escape).collect())
        .collect();
    let mut widths = vec![0; columns];
    for cells in &lines {
        for (width, cell) in widths.iter_mut().zip(cells) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    for (index, cells) in lines.iter().enumerate() {
        let padded: Vec<String> = cells
            .iter()
            .zip(&widths)
            .map(|(cell, &width)| format!("{cell:width$}"))
            .collect();
        // Writing to a string cannot fail.
        let _ = if markdown {
            writeln!(out, "| {} |", padded.join(" | "))
        } else {
            writeln!(out, "{}", padded.join("  ").trim_end())
        };
        if markdown && index == 0 {
            let rule: Vec<String> = widths.iter().map(|&width| "-".repeat(width)).collect();
            let _ = writeln!(out, "| {} |", rule.join(" | "));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::compare_page::tests::example;

    #[test]
    fn ratios_without_a_verdict_stand_in_brackets() {
        let comparison = example();
        let text = comparison_table(&comparison, true);
        assert!(text.contains("ringwire better"), "{text}");
        assert!(text.contains("no verdict: ranges overlap"), "{text}");
        assert!(text.contains("| 0.49 "), "{text}");
        assert!(text.contains("[1.09]"), "{text}");
        let columns = |line: &str| line.matches(" | ").count();
        let table = text.lines().filter(|line| line.starts_with('|'));
        let counts: Vec<usize> = table.map(columns).collect();
        assert!(counts.iter().all(|&count| count == counts[0]), "{text}");
        assert!(!comparison_table(&comparison, false).contains('|'));
    }

    #[test]
    fn the_suite_has_one_line_a_row() {
        let text = suite_table(&example());
        assert_eq!(text.lines().count(), 2 + example().rows.len(), "{text}");
        assert!(text.contains("`echo1`"), "{text}");
        assert!(text.contains("p50, p99"), "{text}");
    }

    #[test]
    fn faulty_runs_and_early_ends_are_told() {
        let mut comparison = example();
        comparison.rows[0].runs[1][0].counts.lost = 5;
        comparison.error = Some("no server".into());
        for text in [
            comparison_table(&comparison, false),
            suite_table(&comparison),
        ] {
            assert!(text.contains("FAULTY: echo1 on ringwire"), "{text}");
            assert!(text.contains("ENDED EARLY: no server"), "{text}");
        }
        // What looks better is the faulty one; its other rows stay.
        let table = comparison_table(&comparison, false);
        assert!(table.contains("no verdict: faulty runs"), "{table}");
        assert!(table.contains("ringwire better"), "{table}");
    }

    #[test]
    fn one_side_alone_has_no_ratio() {
        let mut comparison = example();
        comparison.sides.truncate(1);
        for row in &mut comparison.rows {
            row.runs.truncate(1);
            row.figures.iter_mut().for_each(|f| f.values.truncate(1));
        }
        let text = comparison_table(&comparison, false);
        assert!(
            !text.contains("no verdict") && !text.contains(" / "),
            "{text}"
        );
        assert!(!suite_table(&comparison).contains("ratio"));
    }
}
