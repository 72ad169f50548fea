//! Files for other programs: the percentile and interval formats of
//! HdrHistogram, JSON and CSV.
//!
//! Formats: `.hgrm` is what `AbstractHistogram.outputPercentileDistribution`
//! of HdrHistogram 2.1 prints and its plotter reads; `.hlog` is its interval
//! log 1.3 with V2 histograms.

use crate::result::{INTERVAL_NS, Latencies, RunResult};
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{
    IntervalLogWriterBuilder, IntervalLogWriterError, Tag,
};
use serde::Serialize;
use std::io::{self, Write};
use std::time::{Duration, UNIX_EPOCH};

/// Lines of a percentile distribution for each halving of the distance to 100 %.
const TICKS_PER_HALF: u32 = 5;

/// Nanoseconds in the unit of `.hgrm` values (µs).
const HGRM_UNIT: f64 = 1_000.0;

/// Nanoseconds in the unit of the log's maximum column (ms). The histograms
/// themselves are in nanoseconds.
const HLOG_MAX_UNIT: f64 = 1_000_000.0;

/// Writes the percentile distribution, values in microseconds.
pub fn hgrm(out: &mut dyn Write, latencies: &Latencies) -> io::Result<()> {
    let histogram = latencies.histogram();
    writeln!(
        out,
        "{:>12} {:>14} {:>10} {:>14}\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    )?;
    let mut total = 0;
    for step in histogram.iter_quantiles(TICKS_PER_HALF) {
        total += step.count_since_last_iteration();
        let value = step.value_iterated_to().min(histogram.max()) as f64 / HGRM_UNIT;
        let quantile = step.quantile_iterated_to();
        write!(out, "{value:>12.3} {quantile:>2.12} {total:>10}")?;
        // The distance to 100 % is zero at the last value.
        if quantile < 1.0 {
            write!(out, " {:>14.2}", 1.0 / (1.0 - quantile))?;
        }
        writeln!(out)?;
    }
    writeln!(
        out,
        "#[Mean    = {:>12.3}, StdDeviation   = {:>12.3}]",
        histogram.mean() / HGRM_UNIT,
        histogram.stdev() / HGRM_UNIT
    )?;
    writeln!(
        out,
        "#[Max     = {:>12.3}, Total count    = {:>12}]",
        histogram.max() as f64 / HGRM_UNIT,
        histogram.len()
    )?;
    writeln!(
        out,
        "#[Buckets = {:>12}, SubBuckets     = {:>12}]",
        histogram.buckets(),
        // Not told by the library: the power of two from 2 × 10^digits on.
        (2 * 10_u64.pow(u32::from(histogram.sigfig()))).next_power_of_two()
    )
}

/// Writes the interval log: a line for each second, times from the begin of
/// the measured part. Several loads are told apart by tags.
pub fn hlog(mut out: &mut dyn Write, results: &[RunResult]) -> io::Result<()> {
    let mut serializer = V2DeflateSerializer::new();
    let started = results.first().map_or(0, |result| result.started_unix_ms);
    let start = UNIX_EPOCH + Duration::from_millis(started);
    let mut builder = IntervalLogWriterBuilder::new();
    builder
        .add_comment("[Histogram log format version 1.3]")
        .with_start_time(start)
        .with_base_time(start)
        .with_max_value_divisor(HLOG_MAX_UNIT);
    for result in results {
        builder.add_comment(&format!("{}: latencies in nanoseconds", result.title));
    }
    let mut log = builder.begin_log_with(&mut out, &mut serializer)?;
    for (index, result) in results.iter().enumerate() {
        let tag = format!("load{}", index + 1);
        let tag = (results.len() > 1).then(|| Tag::new(&tag)).flatten();
        for interval in &result.intervals {
            log.write_histogram(
                interval.latency.unpack().histogram(),
                Duration::from_nanos(interval.start_ns),
                Duration::from_nanos(INTERVAL_NS),
                tag,
            )
            .map_err(|error| match error {
                IntervalLogWriterError::IoError(error) => error,
                IntervalLogWriterError::SerializeError(error) => io::Error::other(error),
            })?;
        }
    }
    Ok(())
}

/// Names of the columns of [`csv`]. Latencies in nanoseconds; empty in seconds
/// without an arrival.
pub const CSV_HEAD: &str = "load,second,sent,received,bytes,latency_count,min_ns,mean_ns,p50_ns,p90_ns,p99_ns,p99_9_ns,p99_99_ns,max_ns";

/// Writes a line for each second of each load.
pub fn csv(out: &mut dyn Write, results: &[RunResult]) -> io::Result<()> {
    writeln!(out, "{CSV_HEAD}")?;
    for result in results {
        for interval in &result.intervals {
            let latency = interval.latency.unpack();
            write!(
                out,
                "{},{},{},{},{},{}",
                csv_field(&result.title),
                interval.start_ns / INTERVAL_NS,
                interval.sent,
                interval.received,
                interval.bytes,
                latency.count()
            )?;
            if latency.is_empty() {
                writeln!(out, ",,,,,,,,")?;
                continue;
            }
            write!(out, ",{},{:.0}", latency.min(), latency.mean())?;
            for (_, quantile) in crate::result::QUANTILES {
                write!(out, ",{}", latency.at(quantile))?;
            }
            writeln!(out, ",{}", latency.max())?;
        }
    }
    Ok(())
}

/// A field as RFC 4180 quotes it.
fn csv_field(text: &str) -> String {
    if text.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// A value as one line of JSON: a load's result, or a comparison.
pub fn json_line<T: Serialize>(value: &T) -> io::Result<String> {
    let mut line = serde_json::to_string(value)?;
    line.push('\n');
    Ok(line)
}

/// Reads back the results that [`json_line`] wrote.
pub fn read_json_lines(text: &[u8]) -> Result<Vec<RunResult>, serde_json::Error> {
    serde_json::Deserializer::from_slice(text)
        .into_iter()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::page::tests::example;
    use base64::Engine;
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    fn written(write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> String {
        let mut bytes = Vec::new();
        write(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn the_percentile_distribution_reads_back() {
        let latency = example().latency;
        let text = written(|out| hgrm(out, &latency));
        let mut lines = text.lines();
        let head: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
        assert_eq!(
            head,
            ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"]
        );
        let rows: Vec<Vec<f64>> = lines
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(|line| {
                line.split_whitespace()
                    .map(|word| word.parse().unwrap())
                    .collect()
            })
            .collect();
        assert!(rows.windows(2).all(|pair| pair[0][0] <= pair[1][0]));
        for row in &rows {
            let value = latency.at(row[1]) as f64 / 1000.0;
            assert!((row[0] - value).abs() <= value * 0.001 + 0.001, "{row:?}");
        }
        let last = rows.last().unwrap();
        assert_eq!(last.len(), 3, "nothing divides by zero");
        assert_eq!((last[1], last[2]), (1.0, latency.count() as f64));
        assert!(text.contains("#[Max     ="), "{text}");
        assert!(written(|out| hgrm(out, &Latencies::default())).contains("Total count"));
    }

    #[test]
    fn the_interval_log_reads_back() {
        let result = example();
        let text = written(|out| hlog(out, std::slice::from_ref(&result)));
        assert!(text.starts_with("#[Histogram log format version 1.3]\n"));
        let (mut intervals, mut start, mut sum) = (0, None, Latencies::default());
        for entry in IntervalLogIterator::new(text.as_bytes()) {
            match entry.unwrap() {
                LogEntry::StartTime(time) => start = Some(time),
                LogEntry::BaseTime(_) => {}
                LogEntry::Interval(interval) => {
                    assert_eq!(interval.start_timestamp().as_secs(), intervals);
                    assert_eq!(interval.tag(), None);
                    let bytes = base64::engine::general_purpose::STANDARD
                        .decode(interval.encoded_histogram())
                        .unwrap();
                    let histogram: hdrhistogram::Histogram<u64> =
                        Deserializer::new().deserialize(&mut &bytes[..]).unwrap();
                    assert!((interval.max() - histogram.max() as f64 / 1e6).abs() < 0.001);
                    sum.merge(&histogram.into());
                    intervals += 1;
                }
            }
        }
        assert_eq!(intervals, result.intervals.len() as u64);
        assert_eq!(
            start.unwrap().as_millis(),
            u128::from(result.started_unix_ms)
        );
        assert_eq!(sum, result.latency);
        let two = written(|out| hlog(out, &[result.clone(), result]));
        assert!(two.contains("Tag=load2,0.000,1.000,"));
    }

    #[test]
    fn the_table_of_seconds_reads_back() {
        let mut result = example();
        result.title = "mix, \"a\"".into();
        result.intervals.push(Default::default());
        let text = written(|out| csv(out, std::slice::from_ref(&result)));
        let mut lines = text.lines();
        let columns = lines.next().unwrap().split(',').count();
        for (line, interval) in lines.clone().zip(&result.intervals) {
            let rest = line.strip_prefix("\"mix, \"\"a\"\"\",").unwrap();
            let fields: Vec<&str> = rest.split(',').collect();
            assert_eq!(fields.len() + 1, columns, "{line}");
            assert_eq!(fields[1], interval.sent.to_string());
            let latency = interval.latency.unpack();
            let p99 = (!latency.is_empty()).then(|| latency.at(0.99).to_string());
            assert_eq!(fields[9], p99.unwrap_or_default());
        }
        assert_eq!(lines.count(), result.intervals.len());
    }

    #[test]
    fn json_reads_back_one_line_a_load() {
        let results = [example(), example()];
        let text: String = results.iter().map(|r| json_line(r).unwrap()).collect();
        assert_eq!(text.lines().count(), 2);
        assert_eq!(read_json_lines(text.as_bytes()).unwrap(), results);
        assert!(read_json_lines(b"{\"title\":3}").is_err());
        assert!(read_json_lines(b"").unwrap().is_empty());
    }
}
