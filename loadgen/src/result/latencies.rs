//! Latencies as HdrHistograms.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{
    Deserializer as HdrDeserializer, Serializer as HdrSerializer, V2DeflateSerializer, V2Serializer,
};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest latency told apart (ns): an hour. Longer ones count as this.
const LONGEST: u64 = 3_600_000_000_000;

/// Significant decimal digits: values are right to one part in a thousand.
const DIGITS: u8 = 3;

/// The quantiles that tables show, with their names.
pub const QUANTILES: [(&str, f64); 5] = [
    ("p50", 0.5),
    ("p90", 0.9),
    ("p99", 0.99),
    ("p99.9", 0.999),
    ("p99.99", 0.9999),
];

/// Samples that must lie beyond a quantile for it to mean more than chance.
pub const SAMPLES_BEYOND: u64 = 10;

/// Latencies in nanoseconds: 1 ns to an hour, three significant digits.
/// Some 260 KiB; see [`PackedLatencies`] for keeping many.
#[derive(Debug, Clone, PartialEq)]
pub struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Latencies {
        match Histogram::new_with_bounds(1, LONGEST, DIGITS) {
            Ok(histogram) => Latencies(histogram),
            Err(error) => unreachable!("the bounds are constants: {error}"),
        }
    }
}

impl Latencies {
    /// Records one latency (ns).
    #[inline]
    pub fn record(&mut self, nanoseconds: u64) {
        self.0.saturating_record(nanoseconds);
    }

    /// Adds what `other` holds.
    pub fn merge(&mut self, other: &Latencies) {
        if self.0.add(&other.0).is_err() {
            // Of other bounds, from a file: value by value.
            for step in other.0.iter_recorded() {
                let count = step.count_at_value();
                self.0.saturating_record_n(step.value_iterated_to(), count);
            }
        }
    }

    pub fn clear(&mut self) {
        self.0.reset();
    }

    pub fn count(&self) -> u64 {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Smallest, 0 when empty (ns).
    pub fn min(&self) -> u64 {
        self.0.min()
    }

    /// Largest, 0 when empty (ns).
    pub fn max(&self) -> u64 {
        self.0.max()
    }

    pub fn mean(&self) -> f64 {
        self.0.mean()
    }

    /// The latency that a share `quantile` (0 to 1) of messages did not
    /// exceed, 0 when empty (ns). Never above [`Latencies::max`].
    pub fn at(&self, quantile: f64) -> u64 {
        self.0.value_at_quantile(quantile).min(self.0.max())
    }

    /// Whether at least [`SAMPLES_BEYOND`] samples lie beyond `quantile`.
    pub fn supports(&self, quantile: f64) -> bool {
        // Half a sample of tolerance: 1 - 0.9999 is not exact.
        (1.0 - quantile) * self.count() as f64 + 0.5 >= SAMPLES_BEYOND as f64
    }

    pub fn histogram(&self) -> &Histogram<u64> {
        &self.0
    }
}

impl From<Histogram<u64>> for Latencies {
    fn from(histogram: Histogram<u64>) -> Latencies {
        Latencies(histogram)
    }
}

/// The figures beside the histogram, for readers of JSON without a decoder.
#[derive(Serialize)]
struct Shown {
    count: u64,
    min: u64,
    mean: f64,
    p50: u64,
    p90: u64,
    p99: u64,
    p99_9: u64,
    p99_99: u64,
    max: u64,
    /// HdrHistogram V2, deflated, base64: as in interval logs.
    hdr: String,
}

#[derive(Deserialize)]
struct Stored {
    hdr: String,
}

impl Serialize for Latencies {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut deflated = Vec::new();
        V2DeflateSerializer::new()
            .serialize(&self.0, &mut deflated)
            .map_err(serde::ser::Error::custom)?;
        Shown {
            count: self.count(),
            min: self.min(),
            mean: self.mean(),
            p50: self.at(0.5),
            p90: self.at(0.9),
            p99: self.at(0.99),
            p99_9: self.at(0.999),
            p99_99: self.at(0.9999),
            max: self.max(),
            hdr: STANDARD.encode(deflated),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Latencies {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Latencies, D::Error> {
        let stored = Stored::deserialize(deserializer)?;
        let deflated = STANDARD.decode(stored.hdr).map_err(D::Error::custom)?;
        HdrDeserializer::new()
            .deserialize(&mut deflated.as_slice())
            .map(Latencies)
            .map_err(D::Error::custom)
    }
}

/// [`Latencies`] in some hundred bytes to a few KiB (HdrHistogram V2 without
/// deflation), so that a run of hours can keep one for every second. Packing
/// takes tens of microseconds: not on a thread that measures.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PackedLatencies(Vec<u8>);

impl PackedLatencies {
    pub fn of(latencies: &Latencies) -> PackedLatencies {
        if latencies.is_empty() {
            return PackedLatencies::default();
        }
        let mut bytes = Vec::new();
        match V2Serializer::new().serialize(&latencies.0, &mut bytes) {
            Ok(_) => PackedLatencies(bytes),
            Err(error) => unreachable!("a vector takes all bytes: {error}"),
        }
    }

    pub fn unpack(&self) -> Latencies {
        if self.0.is_empty() {
            return Latencies::default();
        }
        match HdrDeserializer::new().deserialize(&mut self.0.as_slice()) {
            Ok(histogram) => Latencies(histogram),
            Err(error) => unreachable!("packed by this program: {error}"),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn merge(&mut self, other: &PackedLatencies) {
        if self.is_empty() {
            self.0.clone_from(&other.0);
        } else if !other.is_empty() {
            let mut sum = self.unpack();
            sum.merge(&other.unpack());
            *self = PackedLatencies::of(&sum);
        }
    }
}

impl Serialize for PackedLatencies {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.unpack().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for PackedLatencies {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<PackedLatencies, D::Error> {
        Latencies::deserialize(deserializer).map(|latencies| PackedLatencies::of(&latencies))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: impl IntoIterator<Item = u64>) -> Latencies {
        let mut latencies = Latencies::default();
        values.into_iter().for_each(|value| latencies.record(value));
        latencies
    }

    #[test]
    fn merging_is_recording_into_one() {
        let mut merged = of(1..500);
        merged.merge(&of(500..100_000));
        assert_eq!(merged, of(1..100_000));
    }

    #[test]
    fn other_bounds_merge_value_by_value() {
        let mut narrow = Latencies::from(Histogram::new_with_bounds(1, 1000, 3).unwrap());
        narrow.merge(&of([5, 900, 5_000_000]));
        assert_eq!((narrow.count(), narrow.at(0.5)), (3, 900));
        assert!(narrow.max() < 5_000_000, "saturated");
    }

    #[test]
    fn packing_loses_nothing() {
        for latencies in [of([]), of([1]), of((1..5000).map(|n| n * n))] {
            assert_eq!(PackedLatencies::of(&latencies).unpack(), latencies);
        }
        assert!(PackedLatencies::of(&of([])).is_empty());
    }

    #[test]
    fn no_quantile_exceeds_the_maximum() {
        let latencies = of([1_234_567, 98_765_432]);
        assert_eq!(latencies.at(1.0), latencies.max());
        assert!(latencies.at(0.9999) <= latencies.max());
        assert_eq!(of([]).at(0.99), 0);
        assert_eq!(of([u64::MAX]).count(), 1, "beyond an hour it still counts");
    }

    #[test]
    fn quantiles_need_samples_beyond_them() {
        assert!(of(1..=1000).supports(0.99));
        assert!(!of(1..=1000).supports(0.999));
        assert!(of(1..=100_000).supports(0.9999));
    }

    #[test]
    fn damaged_json_is_an_error() {
        for json in [r#"{"hdr":"!"}"#, r#"{"hdr":"AAAA"}"#, "{}"] {
            assert!(serde_json::from_str::<Latencies>(json).is_err(), "{json}");
        }
    }
}
