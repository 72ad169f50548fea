//! What repeated runs allow to say: medians, spreads, ratios, and a verdict
//! only where the spreads are apart.
//!
//! The rule: each side has at least [`RUNS_MIN`] runs, the ranges from the
//! smallest to the largest value do not overlap, and all runs of the better
//! side are clean: a server that loses messages may look fast, never be called
//! so. With four runs each, two equal servers fulfil it by chance once in 35
//! times, with five once in 126 (2 / C(2n, n)). Nothing is assumed about the
//! distribution.

use crate::result::{Better, Compared};

/// Runs of each side that a verdict needs.
pub const RUNS_MIN: usize = 4;

/// Median and spread of the runs of one side.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    pub runs: usize,
    pub median: f64,
    pub min: f64,
    pub max: f64,
    /// Median absolute deviation from the median: half of the runs are closer
    /// to the median than this.
    pub deviation: f64,
}

impl Spread {
    /// `None` for no values.
    pub fn of(values: &[f64]) -> Option<Spread> {
        let median = median(values)?;
        let distances: Vec<f64> = values.iter().map(|value| (value - median).abs()).collect();
        Some(Spread {
            runs: values.len(),
            median,
            min: values.iter().copied().fold(f64::INFINITY, f64::min),
            max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            deviation: self::median(&distances)?,
        })
    }

    fn is_apart(&self, other: &Spread) -> bool {
        self.max < other.min || other.max < self.min
    }
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        count if count % 2 == 1 => Some(sorted[middle]),
        _ => Some((sorted[middle - 1] + sorted[middle]) / 2.0),
    }
}

/// What may be said of one figure of two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    FirstBetter,
    SecondBetter,
    /// The ranges overlap.
    Overlap,
    TooFewRuns,
    /// The side that looks better lost, doubled, reordered or damaged
    /// messages, was behind its schedule, or ended early.
    Faulty,
    /// There is nothing to compare.
    OneSided,
}

impl Verdict {
    /// Whether the spread allows one.
    pub fn is_decided(self) -> bool {
        matches!(self, Verdict::FirstBetter | Verdict::SecondBetter)
    }

    /// For people; the names are those of the sides.
    pub fn text(self, first: &str, second: &str) -> String {
        match self {
            Verdict::FirstBetter => format!("{first} better"),
            Verdict::SecondBetter => format!("{second} better"),
            Verdict::Overlap => "no verdict: ranges overlap".into(),
            Verdict::TooFewRuns => format!("no verdict: fewer than {RUNS_MIN} runs"),
            Verdict::Faulty => "no verdict: faulty runs".into(),
            Verdict::OneSided => String::new(),
        }
    }
}

/// Judges one figure. `clean`: of which sides all runs were.
pub fn verdict(figure: &Compared, clean: [bool; 2]) -> Verdict {
    let [first, second] = spreads(figure);
    let (Some(first), Some(second)) = (first, second) else {
        return Verdict::OneSided;
    };
    if first.runs.min(second.runs) < RUNS_MIN {
        return Verdict::TooFewRuns;
    }
    if !first.is_apart(&second) {
        return Verdict::Overlap;
    }
    let first_better = (first.median < second.median) == (figure.better == Better::Lower);
    match (first_better, clean) {
        (true, [true, _]) => Verdict::FirstBetter,
        (false, [_, true]) => Verdict::SecondBetter,
        _ => Verdict::Faulty,
    }
}

/// The spreads of both sides.
pub fn spreads(figure: &Compared) -> [Option<Spread>; 2] {
    [0, 1].map(|side| Spread::of(figure.values.get(side)?))
}

/// The second median by the first; `None` where that means nothing.
pub fn ratio(figure: &Compared) -> Option<f64> {
    let [first, second] = spreads(figure);
    let (first, second) = (first?, second?);
    (first.median > 0.0).then(|| second.median / first.median)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::Unit;

    fn figure(better: Better, a: &[f64], b: &[f64]) -> Compared {
        Compared {
            label: "CPU".into(),
            unit: Unit::Nanoseconds,
            better,
            headline: true,
            values: vec![a.to_vec(), b.to_vec()],
        }
    }

    #[test]
    fn medians_and_spreads() {
        assert_eq!(Spread::of(&[]), None);
        let odd = Spread::of(&[3.0, 1.0, 20.0, 2.0, 4.0]).unwrap();
        assert_eq!((odd.median, odd.min, odd.max), (3.0, 1.0, 20.0));
        assert_eq!(odd.deviation, 1.0, "one outlier does not move it");
        assert_eq!(Spread::of(&[4.0, 1.0, 2.0, 3.0]).unwrap().median, 2.5);
        let one = Spread::of(&[7.0]).unwrap();
        assert_eq!((one.median, one.deviation, one.runs), (7.0, 0.0, 1));
    }

    #[test]
    fn ranges_that_are_apart_allow_a_verdict() {
        let (low, high) = ([1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]);
        let judge = |better, a: &[f64], b: &[f64]| verdict(&figure(better, a, b), [true; 2]);
        assert_eq!(judge(Better::Lower, &low, &high), Verdict::FirstBetter);
        assert_eq!(judge(Better::Lower, &high, &low), Verdict::SecondBetter);
        assert_eq!(judge(Better::Higher, &low, &high), Verdict::SecondBetter);
        assert_eq!(judge(Better::Higher, &high, &low), Verdict::FirstBetter);
        assert_eq!(ratio(&figure(Better::Lower, &low, &high)), Some(6.5 / 2.5));
    }

    #[test]
    fn overlap_few_runs_and_faults_allow_none() {
        let (low, high) = ([1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]);
        let touching = [4.0, 5.0, 6.0, 7.0];
        let judge = |a: &[f64], b: &[f64]| verdict(&figure(Better::Lower, a, b), [true; 2]);
        assert_eq!(judge(&low, &touching), Verdict::Overlap);
        assert_eq!(judge(&low, &[2.0, 2.1, 2.2, 2.3]), Verdict::Overlap);
        assert_eq!(judge(&low, &high[..3]), Verdict::TooFewRuns);
        assert_eq!(judge(&low, &[]), Verdict::OneSided);
        let equal = [2.0; 4];
        assert_eq!(judge(&equal, &equal), Verdict::Overlap);
        let apart = figure(Better::Lower, &low, &high);
        assert_eq!(verdict(&apart, [false, true]), Verdict::Faulty);
        assert_eq!(verdict(&apart, [true, false]), Verdict::FirstBetter);
        assert_eq!(ratio(&figure(Better::Lower, &[0.0], &[1.0])), None);
        for undecided in [Verdict::Overlap, Verdict::TooFewRuns, Verdict::Faulty] {
            assert!(!undecided.is_decided());
            assert!(undecided.text("A", "B").starts_with("no verdict"));
        }
    }
}
