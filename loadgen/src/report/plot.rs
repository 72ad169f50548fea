//! Plots as inline SVG. Colours are classes of the page's style sheet, so
//! that one picture serves light, dark and paper.

use super::markup::escape;
use super::numbers::short_rate;
use std::fmt::Write;

/// Size of a plot and its margins, SVG units.
const WIDTH: f64 = 880.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 68.0;
const RIGHT: f64 = 18.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 44.0;

/// Half the width of a long label of the x axis.
const LABEL_HALF: f64 = 30.0;

/// Characters that have room at the right end even so.
const LABEL_SHORT: usize = 4;

/// Points up to which each is drawn as a dot besides the line.
const DOTS_MAX: usize = 40;

/// From data to the length of an axis.
#[derive(Debug, Clone, Copy)]
pub enum Scale {
    Linear {
        from: f64,
        to: f64,
    },
    /// Both ends above 0.
    Log {
        from: f64,
        to: f64,
    },
}

impl Scale {
    /// 0 to 1 along the axis, for values outside too.
    fn place(self, value: f64) -> f64 {
        match self {
            Scale::Linear { from, to } => (value - from) / (to - from),
            Scale::Log { from, to } => (value.max(from).ln() - from.ln()) / (to.ln() - from.ln()),
        }
    }
}

#[derive(Debug, Clone)]
pub struct Tick {
    pub at: f64,
    /// Without one it is a faint grid line.
    pub label: Option<String>,
}

#[derive(Debug, Clone)]
pub struct Axis {
    pub scale: Scale,
    pub ticks: Vec<Tick>,
    pub title: String,
}

/// A series. Gaps where there is no value.
#[derive(Debug, Clone)]
pub struct Line {
    /// For the legend; empty for none.
    pub label: String,
    /// Classes of the style sheet: a colour `c0` to `c5`, and `bold`, `thin`
    /// or `dash`.
    pub class: String,
    pub points: Vec<Option<(f64, f64)>>,
}

/// A shaded part of the x axis with a word in it.
#[derive(Debug, Clone)]
pub struct Band {
    pub from: f64,
    pub to: f64,
    pub label: String,
}

/// A column that tells its values when pointed at.
#[derive(Debug, Clone)]
pub struct Hit {
    pub from: f64,
    pub to: f64,
    pub text: String,
}

#[derive(Debug, Clone)]
pub struct Plot {
    /// What it shows, for those who do not see it.
    pub label: String,
    pub x: Axis,
    pub y: Axis,
    pub lines: Vec<Line>,
    pub bands: Vec<Band>,
    pub hits: Vec<Hit>,
}

impl Plot {
    pub fn svg(&self) -> String {
        let mut out = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
            escape(&self.label)
        );
        self.draw_bands(&mut out);
        self.draw_axes(&mut out);
        for line in &self.lines {
            self.draw_line(&mut out, line);
        }
        self.draw_hits(&mut out);
        out.push_str("</svg>");
        out
    }

    fn x(&self, value: f64) -> f64 {
        LEFT + self.x.scale.place(value) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - self.y.scale.place(value) * (HEIGHT - TOP - BOTTOM)
    }

    fn draw_bands(&self, out: &mut String) {
        for band in &self.bands {
            let (from, to) = (self.x(band.from), self.x(band.to).min(WIDTH - RIGHT));
            if to - from < 0.5 {
                continue;
            }
            let height = HEIGHT - TOP - BOTTOM;
            let _ = write!(
                out,
                "<rect class=\"band\" x=\"{from:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{height}\"/>",
                to - from
            );
            let _ = write!(
                out,
                "<text class=\"word\" x=\"{:.1}\" y=\"{}\" text-anchor=\"end\">{}</text>",
                to - 6.0,
                HEIGHT - BOTTOM - 8.0,
                escape(&band.label)
            );
        }
    }

    fn draw_axes(&self, out: &mut String) {
        let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
        for tick in &self.y.ticks {
            let y = self.y(tick.at);
            let class = if tick.label.is_some() {
                "grid"
            } else {
                "faint"
            };
            let _ = write!(
                out,
                "<line class=\"{class}\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>"
            );
            if let Some(label) = &tick.label {
                let _ = write!(
                    out,
                    "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                    LEFT - 8.0,
                    y + 4.0,
                    escape(label)
                );
            }
        }
        for tick in &self.x.ticks {
            let x = self.x(tick.at);
            let _ = write!(
                out,
                "<line class=\"faint\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/>"
            );
            if let Some(label) = &tick.label {
                // At the right end there is no room for half of it.
                let long = label.chars().count() > LABEL_SHORT;
                let (x, anchor) = match long && right - x < LABEL_HALF {
                    true => (WIDTH - 2.0, "end"),
                    false => (x, "middle"),
                };
                let _ = write!(
                    out,
                    "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"{anchor}\">{}</text>",
                    bottom + 17.0,
                    escape(label)
                );
            }
        }
        let _ = write!(
            out,
            "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{bottom}\" y2=\"{bottom}\"/>"
        );
        let _ = write!(
            out,
            "<text class=\"word\" x=\"{right}\" y=\"{}\" text-anchor=\"end\">{}</text>",
            HEIGHT - 6.0,
            escape(&self.x.title)
        );
        let _ = write!(
            out,
            "<text class=\"word\" x=\"{}\" y=\"{}\">{}</text>",
            LEFT + 6.0,
            TOP + 10.0,
            escape(&self.y.title)
        );
    }

    fn draw_line(&self, out: &mut String, line: &Line) {
        let mut path = String::new();
        let mut pen_down = false;
        for point in &line.points {
            match *point {
                Some((x, y)) => {
                    let command = if pen_down { 'L' } else { 'M' };
                    let _ = write!(path, "{command}{:.1} {:.1}", self.x(x), self.y(y));
                    pen_down = true;
                }
                None => pen_down = false,
            }
        }
        let _ = write!(
            out,
            "<path class=\"line {}\" d=\"{path}\"/>",
            escape(&line.class)
        );
        if line.points.len() <= DOTS_MAX && !line.class.contains("thin") {
            for (x, y) in line.points.iter().flatten() {
                let _ = write!(
                    out,
                    "<circle class=\"dot {}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"2.4\"/>",
                    escape(&line.class),
                    self.x(*x),
                    self.y(*y)
                );
            }
        }
    }

    fn draw_hits(&self, out: &mut String) {
        for hit in &self.hits {
            let (from, to) = (self.x(hit.from), self.x(hit.to));
            let _ = write!(
                out,
                "<rect class=\"hit\" x=\"{from:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{}\"><title>{}</title></rect>",
                (to - from).max(0.5),
                HEIGHT - TOP - BOTTOM,
                escape(&hit.text)
            );
        }
    }
}

/// A logarithmic axis of nanoseconds around the values.
pub fn latency_axis(values: impl Iterator<Item = f64>, title: &str) -> Axis {
    let (mut low, mut high) = (f64::INFINITY, 0.0_f64);
    for value in values.filter(|value| *value > 0.0) {
        low = low.min(value);
        high = high.max(value);
    }
    if high == 0.0 {
        (low, high) = (1e3, 1e6);
    }
    let from = steps_125(low).rev_below(low);
    let to = steps_125(high).above(high);
    let wide = (to / from).log10() > 3.0;
    let mut ticks = Vec::new();
    let mut decade = 10_f64.powf(from.log10().floor());
    while decade <= to * 1.001 {
        for step in [1.0, 2.0, 5.0] {
            let at = decade * step;
            if at < from * 0.999 || at > to * 1.001 {
                continue;
            }
            let label = (!wide || step == 1.0).then(|| tick_label(at));
            ticks.push(Tick { at, label });
        }
        decade *= 10.0;
    }
    Axis {
        scale: Scale::Log { from, to },
        ticks,
        title: title.to_owned(),
    }
}

/// The numbers 1, 2 and 5 times powers of ten around a value.
struct Steps {
    decade: f64,
}

fn steps_125(value: f64) -> Steps {
    Steps {
        decade: 10_f64.powf(value.log10().floor()),
    }
}

impl Steps {
    /// The largest not above `value`, and really below it so that a line at
    /// the smallest value is not on the axis.
    fn rev_below(&self, value: f64) -> f64 {
        [5.0, 2.0, 1.0]
            .into_iter()
            .map(|step| step * self.decade)
            .find(|at| *at < value * 0.98)
            .unwrap_or(self.decade / 2.0)
    }

    fn above(&self, value: f64) -> f64 {
        [1.0, 2.0, 5.0]
            .into_iter()
            .map(|step| step * self.decade)
            .find(|at| *at > value * 1.02)
            .unwrap_or(self.decade * 10.0)
    }
}

/// 1, 2 or 5 times a power of ten nanoseconds, without decimals.
fn tick_label(nanoseconds: f64) -> String {
    let units = [(1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns")];
    let (size, unit) = units
        .into_iter()
        .find(|(size, _)| nanoseconds >= size * 0.999)
        .unwrap_or((1.0, "ns"));
    let value = nanoseconds / size;
    match value < 0.999 {
        true => format!("{value:.1} {unit}"),
        false => format!("{value:.0} {unit}"),
    }
}

/// An axis of messages a second from 0.
pub fn rate_axis(values: impl Iterator<Item = f64>, title: &str) -> Axis {
    let high = values.fold(0.0, f64::max);
    let (to, step) = round_up(if high > 0.0 { high * 1.05 } else { 1.0 });
    let mut ticks = Vec::new();
    let mut at = 0.0;
    while at <= to * 1.001 {
        ticks.push(Tick {
            at,
            label: Some(rate_label(at)),
        });
        at += step;
    }
    Axis {
        scale: Scale::Linear { from: 0.0, to },
        ticks,
        title: title.to_owned(),
    }
}

/// A round rate without needless decimals: "50k".
fn rate_label(rate: f64) -> String {
    let text = short_rate(rate);
    let Some(unit) = text.chars().last().filter(|unit| !unit.is_ascii_digit()) else {
        return text;
    };
    let number = text.trim_end_matches(unit);
    let number = match number.contains('.') {
        true => number.trim_end_matches('0').trim_end_matches('.'),
        false => number,
    };
    format!("{number}{unit}")
}

/// A logarithmic axis of messages a second around the values, all above 0.
pub fn log_rate_axis(values: impl Iterator<Item = f64>, title: &str) -> Axis {
    let (mut low, mut high) = (f64::INFINITY, 0.0_f64);
    for value in values {
        low = low.min(value.max(1.0));
        high = high.max(value.max(1.0));
    }
    if high == 0.0 {
        (low, high) = (1.0, 10.0);
    }
    let (from, to) = (low / 1.15, high * 1.15);
    let wide = (to / from).log10() > 3.0;
    let mut ticks = Vec::new();
    let mut decade = 10_f64.powf(from.log10().floor());
    while decade <= to {
        for step in [1.0, 2.0, 5.0] {
            let at = decade * step;
            if at >= from && at <= to {
                let label = (!wide || step == 1.0).then(|| rate_label(at));
                ticks.push(Tick { at, label });
            }
        }
        decade *= 10.0;
    }
    Axis {
        scale: Scale::Log { from, to },
        ticks,
        title: title.to_owned(),
    }
}

/// An axis of seconds from 0.
pub fn seconds_axis(end: f64) -> Axis {
    let (_, step) = round_up(end.max(1.0) / 2.0);
    let step = step.max(1.0);
    let mut ticks = Vec::new();
    let mut at = 0.0;
    while at <= end * 1.001 {
        ticks.push(Tick {
            at,
            label: Some(format!("{at:.0}")),
        });
        at += step;
    }
    Axis {
        scale: Scale::Linear {
            from: 0.0,
            to: end.max(1.0),
        },
        ticks,
        title: "seconds".into(),
    }
}

/// The end of an axis that holds `value`, and the step between its ticks.
fn round_up(value: f64) -> (f64, f64) {
    let decade = 10_f64.powf(value.log10().floor());
    let step = [0.2, 0.5, 1.0, 2.0]
        .into_iter()
        .map(|step| step * decade)
        .find(|step| value / step <= 6.0)
        .unwrap_or(2.0 * decade);
    ((value / step).ceil() * step, step)
}

/// The place of a quantile on an axis of nines: 0.9 at 1, 0.99 at 2.
pub fn nines(quantile: f64) -> f64 {
    -(1.0 - quantile).log10()
}

/// An axis of nines up to `end`.
pub fn nines_axis(end: f64) -> Axis {
    let mut ticks = vec![
        Tick {
            at: 0.0,
            label: Some("0 %".into()),
        },
        Tick {
            at: nines(0.5),
            label: Some("50 %".into()),
        },
    ];
    let mut at = 1.0;
    while at <= end {
        ticks.push(Tick {
            at,
            label: Some(percent_at(at)),
        });
        at += 1.0;
    }
    Axis {
        scale: Scale::Linear { from: 0.0, to: end },
        ticks,
        title: "share of messages that were as fast or faster".into(),
    }
}

/// The percentage at a place of an axis of nines, with as many decimals as
/// tell it from 100.
pub fn percent_at(place: f64) -> String {
    let share = 100.0 * (1.0 - 10_f64.powf(-place));
    let whole_nines = (place - place.round()).abs() < 1e-9;
    let decimals = (place.ceil() as usize).saturating_sub(if whole_nines { 2 } else { 0 });
    format!("{share:.decimals$} %")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_lie_within_their_axis() {
        for (low, high) in [(41_234.0, 41_234.0), (1.0, 5.4e9), (1000.0, 2000.0)] {
            let axis = latency_axis([low, high].into_iter(), "latency");
            for value in [low, high] {
                let place = axis.scale.place(value);
                assert!((0.0..=1.0).contains(&place), "{low} {high}: {place}");
            }
            assert!(axis.ticks.iter().filter(|t| t.label.is_some()).count() >= 2);
        }
        let none = latency_axis(std::iter::empty(), "latency");
        assert!(none.scale.place(1e4) > 0.0);
        assert_eq!(tick_label(200_000.0), "200 µs");
        assert_eq!(tick_label(0.5), "0.5 ns");
    }

    #[test]
    fn rates_and_seconds_have_round_ticks() {
        let axis = rate_axis([199_980.0].into_iter(), "messages/s");
        let labels: Vec<_> = axis.ticks.iter().filter_map(|t| t.label.clone()).collect();
        assert_eq!(labels.first().unwrap(), "0");
        assert!((4..=7).contains(&labels.len()), "{labels:?}");
        assert!(axis.scale.place(199_980.0) < 1.0);
        for end in [1.0, 5.0, 10.0, 61.0, 3600.0] {
            let count = seconds_axis(end).ticks.len();
            assert!((2..=14).contains(&count), "{end}: {count}");
        }
        assert!(rate_axis([0.0].into_iter(), "").ticks.len() > 1);
        let labels = [0.0, 500.0, 50_000.0, 150_000.0, 1_000_000.0, 2_500_000.0].map(rate_label);
        assert_eq!(labels, ["0", "500", "50k", "150k", "1M", "2.5M"]);
    }

    #[test]
    fn nines_are_named_as_percentages() {
        assert_eq!(percent_at(1.0), "90 %");
        assert_eq!(percent_at(2.0), "99 %");
        assert_eq!(percent_at(3.0), "99.9 %");
        assert_eq!(percent_at(5.0), "99.999 %");
        assert_eq!(percent_at(nines(0.5)), "50.0 %");
        assert_eq!(percent_at(2.3), "99.499 %");
        assert!((nines(0.999) - 3.0).abs() < 1e-9);
    }

    #[test]
    fn gaps_lift_the_pen() {
        let plot = Plot {
            label: "a <b>".into(),
            x: seconds_axis(3.0),
            y: rate_axis([2.0].into_iter(), "y"),
            lines: vec![Line {
                label: "l".into(),
                class: "c0".into(),
                points: vec![Some((0.0, 1.0)), None, Some((2.0, 2.0)), Some((3.0, 1.0))],
            }],
            bands: Vec::new(),
            hits: Vec::new(),
        };
        let svg = plot.svg();
        let path = svg.split("d=\"").nth(1).unwrap().split('"').next().unwrap();
        assert_eq!(path.matches('M').count(), 2);
        assert_eq!(path.matches('L').count(), 1);
        assert!(svg.contains("a &lt;b&gt;"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
