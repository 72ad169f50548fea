//! Medians, spreads and ratios of repeated runs, as a table.

use std::fmt::Write;

/// Values of one metric on both sides, one for each repetition.
#[derive(Debug, Clone, Default)]
pub struct Line {
    pub work: String,
    pub metric: String,
    pub a: Vec<f64>,
    pub b: Vec<f64>,
}

/// Median and extremes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    pub median: f64,
    pub low: f64,
    pub high: f64,
}

/// `None` for no values.
pub fn summarize(values: &[f64]) -> Option<Summary> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (*sorted.first()?, *sorted.last()?);
    let middle = sorted.len() / 2;
    let median = if sorted.len() % 2 == 1 {
        sorted[middle]
    } else {
        (sorted[middle - 1] + sorted[middle]) / 2.0
    };
    Some(Summary { median, low, high })
}

/// Renders the lines. The ratio is B by A of the medians; it stands in
/// brackets where the ranges of the two sides overlap.
pub fn render(lines: &[Line], markdown: bool) -> String {
    let mut cells = vec![["work", "", "A", "B", "B / A"].map(str::to_owned)];
    let mut last_work = "";
    for line in lines {
        let (a, b) = (summarize(&line.a), summarize(&line.b));
        let work = if line.work == last_work {
            ""
        } else {
            &line.work
        };
        last_work = &line.work;
        cells.push([
            work.to_owned(),
            line.metric.clone(),
            show(a),
            show(b),
            ratio(a, b),
        ]);
    }
    let mut widths = [0; 5];
    for row in &cells {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    for (index, row) in cells.iter().enumerate() {
        let padded: Vec<String> = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        // Writing to a string cannot fail.
        let _ = if markdown {
            writeln!(out, "| {} |", padded.join(" | "))
        } else {
            writeln!(out, "{}", padded.join("  ").trim_end())
        };
        if markdown && index == 0 {
            let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
            let _ = writeln!(out, "| {} |", rule.join(" | "));
        }
    }
    out
}

fn show(summary: Option<Summary>) -> String {
    let Some(Summary { median, low, high }) = summary else {
        return "-".into();
    };
    format!("{} ({} to {})", figure(median), figure(low), figure(high))
}

fn ratio(a: Option<Summary>, b: Option<Summary>) -> String {
    let (Some(a), Some(b)) = (a, b) else {
        return "-".into();
    };
    if a.median == 0.0 {
        return "-".into();
    }
    let ratio = format!("{:.2}", b.median / a.median);
    let apart = a.high < b.low || b.high < a.low;
    if apart { ratio } else { format!("[{ratio}]") }
}

/// Three significant digits, or whole numbers above that.
fn figure(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_and_even_counts() {
        assert_eq!(summarize(&[]), None);
        assert_eq!(summarize(&[3.0, 1.0, 2.0]).unwrap().median, 2.0);
        let four = summarize(&[4.0, 1.0, 2.0, 3.0]).unwrap();
        assert_eq!((four.median, four.low, four.high), (2.5, 1.0, 4.0));
    }

    #[test]
    fn a_ratio_within_the_spread_stands_in_brackets() {
        let line = |b: &[f64]| Line {
            work: "echo".into(),
            metric: "CPU".into(),
            a: vec![10.0, 11.0],
            b: b.to_vec(),
        };
        let text = render(&[line(&[5.0, 6.0]), line(&[10.5, 12.0]), line(&[])], true);
        assert!(text.contains("| 0.52 "), "{text}");
        assert!(text.contains("[1.07]"), "{text}");
        assert_eq!(text.matches("echo").count(), 1, "{text}");
        assert_eq!(text.lines().count(), 5);
        assert!(!render(&[line(&[5.0])], false).contains('|'));
    }
}
