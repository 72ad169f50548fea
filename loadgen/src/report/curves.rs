//! The plots of runs: latency by percentile, latency and throughput over time.

use super::numbers::{count, nanoseconds, seconds};
use super::plot::{
    Axis, Band, Hit, Line, Plot, latency_axis, log_rate_axis, nines, nines_axis, percent_at,
    rate_axis, seconds_axis,
};
use crate::result::{INTERVAL_NS, Interval, Latencies, RunResult, SAMPLES_BEYOND, Search};

/// Points of a curve for each halving of the distance to 100 %.
const TICKS_PER_HALF: u32 = 8;

/// Columns of a percentile plot that tell their values.
const COLUMNS: usize = 80;

/// Points of a plot over time; more seconds are put together.
const POINTS_MAX: usize = 600;

/// A last second with less than this share of the usual messages is only the
/// end of the run.
const TAIL_SHARE: f64 = 0.01;

/// One curve of a percentile plot.
pub struct Curve<'a> {
    /// For the legend and the tips; empty: neither.
    pub label: String,
    pub class: String,
    pub latency: &'a Latencies,
}

/// Latency by percentile, `None` where nothing was measured.
pub fn by_percentile(curves: &[Curve<'_>]) -> Option<Plot> {
    let filled = || curves.iter().filter(|curve| !curve.latency.is_empty());
    let most = filled().map(|curve| curve.latency.count()).max()?;
    let end = (most as f64).log10().max(1.0);
    let lines: Vec<Line> = filled()
        .map(|curve| Line {
            label: curve.label.clone(),
            class: curve.class.clone(),
            points: percentile_points(curve.latency),
        })
        .collect();
    let named: Vec<&Curve<'_>> = filled().filter(|curve| !curve.label.is_empty()).collect();
    let fewest = named.iter().map(|curve| curve.latency.count()).min()?;
    let thin_from = (fewest as f64 / SAMPLES_BEYOND as f64).log10().max(0.0);
    let width = end / COLUMNS as f64;
    let hits = (0..COLUMNS)
        .map(|column| {
            let from = column as f64 * width;
            let middle = from + width / 2.0;
            let quantile = 1.0 - 10_f64.powf(-middle);
            let mut text = percent_at(middle);
            for curve in &named {
                let value = nanoseconds(curve.latency.at(quantile) as f64);
                text.push_str(&format!("\n{}: {value}", curve.label));
            }
            Hit {
                from,
                to: from + width,
                text,
            }
        })
        .collect();
    Some(Plot {
        label: "Latency by percentile".into(),
        x: nines_axis(end),
        y: latency_axis(values(&lines), "latency"),
        lines,
        bands: vec![Band {
            from: thin_from,
            to: end,
            label: format!("fewer than {SAMPLES_BEYOND} messages beyond"),
        }],
        hits,
    })
}

fn percentile_points(latency: &Latencies) -> Vec<Option<(f64, f64)>> {
    let last = (latency.count() as f64).log10();
    let mut points: Vec<Option<(f64, f64)>> = Vec::new();
    for step in latency.histogram().iter_quantiles(TICKS_PER_HALF) {
        let place = nines(step.quantile_iterated_to()).min(last);
        let value = step.value_iterated_to().min(latency.max());
        points.push(Some((place, value.max(1) as f64)));
    }
    points
}

fn values(lines: &[Line]) -> impl Iterator<Item = f64> {
    lines
        .iter()
        .flat_map(|line| line.points.iter().flatten())
        .map(|point| point.1)
}

/// Some seconds of a run together.
pub struct Slice {
    /// From the begin of the measured part, seconds.
    pub from: f64,
    pub length: f64,
    pub sent: u64,
    pub received: u64,
    pub latency: Latencies,
}

impl Slice {
    fn middle(&self) -> f64 {
        self.from + self.length / 2.0
    }
}

/// The seconds of a run as plots show them.
pub fn slices(result: &RunResult) -> Vec<Slice> {
    slices_of(
        &result.intervals,
        result.measured_ns,
        result.measured_received,
    )
}

/// The same of intervals: `measured_ns` long, with `received` messages in it.
pub fn slices_of(intervals: &[Interval], measured_ns: u64, received: u64) -> Vec<Slice> {
    let mut intervals = intervals;
    // What was still under way at the end comes within a blink: no second of
    // its own. After a stall it is worth seeing.
    let usual = received as f64 / (measured_ns as f64 / 1e9).max(1.0);
    if let Some((last, rest)) = intervals.split_last()
        && last.start_ns >= measured_ns
        && (last.received as f64) < usual * TAIL_SHARE
    {
        intervals = rest;
    }
    let together = intervals.len().div_ceil(POINTS_MAX).max(1);
    intervals
        .chunks(together)
        .map(|chunk| {
            let mut latency = Latencies::default();
            for interval in chunk {
                latency.merge(&interval.latency.unpack());
            }
            let from = chunk.first().map_or(0, |interval| interval.start_ns);
            let mut to = from + chunk.len() as u64 * INTERVAL_NS;
            if from < measured_ns {
                // The last second may be a part of one.
                to = to.min(measured_ns);
            }
            Slice {
                from: from as f64 / 1e9,
                length: (to - from) as f64 / 1e9,
                sent: chunk.iter().map(|interval| interval.sent).sum(),
                received: chunk.iter().map(|interval| interval.received).sum(),
                latency,
            }
        })
        .collect()
}

/// A run in a plot over time.
pub struct Course<'a> {
    /// Stands before the names of its lines; empty when it is the only one.
    pub label: String,
    pub slices: &'a [Slice],
    /// Length of the measured part, seconds.
    pub measured: f64,
}

/// Latency over time: of one run p50, p99 and maximum, of several p99 and p50.
pub fn latency_over_time(courses: &[Course<'_>]) -> Option<Plot> {
    let p50: Value = |slice| slice.latency.at(0.5);
    let p99: Value = |slice| slice.latency.at(0.99);
    let max: Value = |slice| slice.latency.max();
    let mut lines = Vec::new();
    if let [course] = courses {
        lines.push(latency_line("max", "c1", course, max));
        lines.push(latency_line("p99", "c0 bold", course, p99));
        lines.push(latency_line("p50", "c2", course, p50));
    } else {
        for (index, course) in courses.iter().enumerate() {
            let color = format!("c{}", index % 6);
            let name = |what: &str| format!("{} {what}", course.label);
            lines.push(latency_line(
                &name("p99"),
                &format!("{color} bold"),
                course,
                p99,
            ));
            lines.push(latency_line(
                &name("p50"),
                &format!("{color} dash"),
                course,
                p50,
            ));
        }
    }
    if lines
        .iter()
        .all(|line| line.points.iter().all(Option::is_none))
    {
        return None;
    }
    let y = latency_axis(values(&lines), "latency");
    over_time("Latency over time", y, lines, courses)
}

/// Messages a second over time.
pub fn throughput_over_time(courses: &[Course<'_>]) -> Option<Plot> {
    let mut lines = Vec::new();
    for (index, course) in courses.iter().enumerate() {
        let (color, prefix) = match courses.len() {
            1 => ("c0".to_owned(), String::new()),
            _ => (format!("c{}", index % 6), format!("{} ", course.label)),
        };
        let line = |what: &str, style: &str, of: fn(&Slice) -> u64| Line {
            label: format!("{prefix}{what}"),
            class: format!("{color} {style}"),
            points: course
                .slices
                .iter()
                .filter(|slice| slice.length > 0.0)
                .map(|slice| Some((slice.middle(), of(slice) as f64 / slice.length)))
                .collect(),
        };
        lines.push(line("received", "bold", |slice| slice.received));
        lines.push(line("sent", "dash", |slice| slice.sent));
    }
    if values(&lines).all(|rate| rate == 0.0) {
        return None;
    }
    let y = rate_axis(values(&lines), "messages a second");
    over_time("Throughput over time", y, lines, courses)
}

type Value = fn(&Slice) -> u64;

fn latency_line(label: &str, class: &str, course: &Course<'_>, of: Value) -> Line {
    Line {
        label: label.to_owned(),
        class: class.to_owned(),
        points: course
            .slices
            .iter()
            .map(|slice| {
                let filled = !slice.latency.is_empty();
                filled.then(|| (slice.middle(), of(slice).max(1) as f64))
            })
            .collect(),
    }
}

/// `None` for less than two points: that is no course.
fn over_time(label: &str, y: Axis, lines: Vec<Line>, courses: &[Course<'_>]) -> Option<Plot> {
    let end = courses
        .iter()
        .filter_map(|course| course.slices.last())
        .map(|slice| slice.from + slice.length)
        .fold(1.0, f64::max);
    let measured = courses.iter().map(|c| c.measured).fold(0.0, f64::max);
    let longest = courses.iter().max_by_key(|course| course.slices.len());
    let count = longest.map_or(0, |course| course.slices.len());
    if count < 2 {
        return None;
    }
    let hits = (0..count)
        .filter_map(|index| {
            let slice = &longest?.slices[index];
            let mut text = format!("from {}", seconds((slice.from * 1e9) as u64));
            for course in courses {
                if let Some(slice) = course.slices.get(index) {
                    text.push_str(&tip(&course.label, slice));
                }
            }
            Some(Hit {
                from: slice.from,
                to: slice.from + slice.length,
                text,
            })
        })
        .collect();
    Some(Plot {
        label: label.to_owned(),
        x: seconds_axis(end),
        y,
        lines,
        bands: vec![Band {
            from: measured,
            to: end,
            label: "after publishing ended".into(),
        }],
        hits,
    })
}

fn tip(label: &str, slice: &Slice) -> String {
    let mut text = String::new();
    if !label.is_empty() {
        text.push_str(&format!("\n{label}"));
    }
    let length = slice.length.max(1e-9);
    text.push_str(&format!(
        "\nsent {}/s, received {}/s",
        count(slice.sent as f64 / length),
        count(slice.received as f64 / length)
    ));
    if !slice.latency.is_empty() {
        text.push_str(&format!(
            "\np50 {}, p99 {}, max {}",
            nanoseconds(slice.latency.at(0.5) as f64),
            nanoseconds(slice.latency.at(0.99) as f64),
            nanoseconds(slice.latency.max() as f64)
        ));
    }
    text
}

/// Latency by rate of a search, the rates that failed shaded.
pub fn by_rate(search: &Search) -> Option<Plot> {
    let mut steps: Vec<(f64, Latencies, Option<&String>)> = search
        .steps
        .iter()
        .filter(|step| step.rate > 0)
        .map(|step| {
            let latency = step.latency.unpack();
            (step.rate as f64, latency, step.objection.as_ref())
        })
        .collect();
    steps.sort_by(|a, b| a.0.total_cmp(&b.0));
    // A rate that failed is tried again, and the last run decides. The sort
    // keeps the order of equal ones.
    steps.reverse();
    steps.dedup_by(|later, first| later.0 == first.0);
    steps.reverse();
    let x = log_rate_axis(
        steps.iter().map(|step| step.0),
        "messages a second asked for",
    );
    let (low, high) = (steps.first()?.0, steps.last()?.0);
    let line = |label: &str, class: &str, of: fn(&Latencies) -> u64| Line {
        label: label.to_owned(),
        class: class.to_owned(),
        points: steps
            .iter()
            .filter(|step| !step.1.is_empty())
            .map(|step| Some((step.0, of(&step.1).max(1) as f64)))
            .collect(),
    };
    let limit = search.limit_ns.max(1) as f64;
    let lines = vec![
        line("max", "c1", Latencies::max),
        line("p99", "c0 bold", |latency| latency.at(0.99)),
        line("p50", "c2", |latency| latency.at(0.5)),
        Line {
            label: search.objective.clone(),
            class: "c3 dash".into(),
            points: vec![Some((low, limit)), Some((high, limit))],
        },
    ];
    let y = latency_axis(values(&lines), "latency");
    // Halfway to the next rate is what a pointer at a rate may mean.
    let edge = |a: f64, b: f64| (a * b).sqrt();
    let hits = steps
        .iter()
        .enumerate()
        .map(|(index, (rate, latency, objection))| {
            let before = index.checked_sub(1).map_or(rate / 1.1, |i| steps[i].0);
            let after = steps.get(index + 1).map_or(rate * 1.1, |step| step.0);
            let mut text = format!("{}/s: ", count(*rate));
            text.push_str(objection.map_or("holds", |why| why.as_str()));
            if !latency.is_empty() {
                text.push_str(&format!(
                    "\np50 {}, p99 {}, max {}",
                    nanoseconds(latency.at(0.5) as f64),
                    nanoseconds(latency.at(0.99) as f64),
                    nanoseconds(latency.max() as f64)
                ));
            }
            Hit {
                from: edge(before, *rate),
                to: edge(*rate, after),
                text,
            }
        })
        .collect();
    let held = steps.iter().filter(|step| step.2.is_none());
    let held = held.map(|step| step.0).fold(0.0, f64::max);
    let failed = steps.iter().find(|step| step.2.is_some() && step.0 > held);
    let bands = failed.map(|step| Band {
        from: edge(held.max(step.0 / 1.1), step.0),
        to: high * 1.15,
        label: "does not hold".into(),
    });
    Some(Plot {
        label: "Latency by rate".into(),
        x,
        y,
        lines,
        bands: bands.into_iter().collect(),
        hits,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::page::tests::example;

    #[test]
    fn a_percentile_curve_ends_at_the_maximum() {
        let result = example();
        let points = percentile_points(&result.latency);
        let (place, value) = points.last().unwrap().unwrap();
        assert_eq!(value, result.latency.max() as f64);
        assert!((place - (result.latency.count() as f64).log10()).abs() < 1e-9);
        let rising = |pair: &[Option<(f64, f64)>]| pair[0].unwrap().1 <= pair[1].unwrap().1;
        assert!(points.windows(2).all(rising));
        assert!(by_percentile(&[]).is_none());
    }

    #[test]
    fn hours_are_condensed_and_nothing_is_lost() {
        let mut result = example();
        let interval = result.intervals[0].clone();
        result.intervals = (0..7200)
            .map(|second| Interval {
                start_ns: second * INTERVAL_NS,
                ..interval.clone()
            })
            .collect();
        result.measured_ns = 7200 * INTERVAL_NS;
        let slices = slices(&result);
        assert!(slices.len() <= POINTS_MAX);
        let sum: u64 = slices.iter().map(|slice| slice.received).sum();
        assert_eq!(sum, 7200 * interval.received);
        let last = slices.last().unwrap();
        assert_eq!(last.from + last.length, 7200.0);
    }

    #[test]
    fn the_last_part_of_a_second_counts_as_such() {
        let mut result = example();
        result.intervals.truncate(3);
        result.measured_ns = 2_500_000_000;
        let shown = slices(&result);
        assert_eq!((shown.len(), shown[2].length), (3, 0.5));
        result.measured_ns = 2_000_000_000;
        result.intervals[2].received = 0;
        assert_eq!(slices(&result).len(), 2, "a tail without messages");
    }

    #[test]
    fn a_run_without_arrivals_has_no_plots() {
        let empty = Course {
            label: String::new(),
            slices: &[],
            measured: 5.0,
        };
        let courses = [empty];
        assert!(latency_over_time(&courses).is_none());
        assert!(throughput_over_time(&courses).is_none());
    }
}
