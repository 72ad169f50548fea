//! What a core measures about itself.

use hdrhistogram::Histogram;

use crate::monitor::snapshot::Spread;

/// Longest value a histogram tells apart, 60 s in nanoseconds.
const HISTOGRAM_MAX_NS: u64 = 60_000_000_000;

/// A histogram over a window, with sums over all time.
pub struct Distribution {
    window: Option<Histogram<u32>>,
    count: u64,
    sum: u64,
}

impl Distribution {
    const fn new() -> Self {
        Self {
            window: None,
            count: 0,
            sum: 0,
        }
    }

    #[inline]
    fn record(&mut self, value: u64) {
        self.count += 1;
        self.sum += value;
        // Made when first needed: an idle broker's memory is not for histograms.
        let window = self.window.get_or_insert_with(|| {
            Histogram::new_with_bounds(1, HISTOGRAM_MAX_NS, 2).expect("valid bounds")
        });
        window.saturating_record(value);
    }

    /// The spread since the last call with `reset`, and the sums.
    pub fn spread(&mut self, reset: bool) -> Spread {
        let mut spread = Spread {
            count: self.count,
            sum: self.sum,
            ..Spread::default()
        };
        if let Some(window) = &mut self.window {
            spread.p50 = window.value_at_quantile(0.5);
            spread.p90 = window.value_at_quantile(0.9);
            spread.p99 = window.value_at_quantile(0.99);
            spread.p999 = window.value_at_quantile(0.999);
            spread.p9999 = window.value_at_quantile(0.9999);
            spread.max = window.max();
            if reset {
                window.reset();
            }
        }
        spread
    }
}

/// What a turn did.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    pub completions: usize,
    pub sends: usize,
}

/// A core's figures.
pub struct Figures {
    pub turns: u64,
    pub parks: u64,
    pub slept_ns: u64,
    /// Length of turns that did something: from taking a completion until the kernel
    /// has been given what it causes to be sent, by the system call that also
    /// collects what came meanwhile.
    pub turn_ns: Distribution,
    pub completions: Distribution,
    pub sends: Distribution,
    /// When the loop began and when the window did.
    pub started: u64,
    pub window_began: u64,
}

impl Default for Figures {
    fn default() -> Self {
        Self {
            turns: 0,
            parks: 0,
            slept_ns: 0,
            turn_ns: Distribution::new(),
            completions: Distribution::new(),
            sends: Distribution::new(),
            started: 0,
            window_began: 0,
        }
    }
}

impl Figures {
    /// Counts a turn that did something.
    #[inline]
    pub fn turn(&mut self, nanos: u64, work: Work) {
        self.turns += 1;
        self.turn_ns.record(nanos);
        self.completions.record(work.completions as u64);
        self.sends.record(work.sends as u64);
    }
}
