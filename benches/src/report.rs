//! The form of results: one JSON object, with the machine and the build that made it.

use std::io::Write;

use anyhow::{Context, Result};
use serde::{Serialize, Serializer};

use crate::clock::Took;

/// Middle and ends of repeated measurements.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// The value in the middle; of an even number, the mean of the two there.
    #[serde(serialize_with = "rounded")]
    pub median: f64,
    /// The smallest.
    #[serde(serialize_with = "rounded")]
    pub min: f64,
    /// The largest.
    #[serde(serialize_with = "rounded")]
    pub max: f64,
}

/// Shares of measurements at or below a value, by nearest rank.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Percentiles {
    /// The smallest.
    #[serde(serialize_with = "rounded")]
    pub min: f64,
    /// Half are at or below.
    #[serde(serialize_with = "rounded")]
    pub p50: f64,
    /// Nine of ten.
    #[serde(serialize_with = "rounded")]
    pub p90: f64,
    /// 99 of 100.
    #[serde(serialize_with = "rounded")]
    pub p99: f64,
    /// The largest.
    #[serde(serialize_with = "rounded")]
    pub max: f64,
}

/// Where and how it was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// Cores that this process may use.
    pub cores: usize,
    /// What the processor calls itself; absent where `/proc` does not say.
    pub processor: Option<String>,
    /// Memory of the machine; absent where `/proc` does not say.
    pub memory_bytes: Option<u64>,
}

#[derive(Serialize)]
struct Report<'a, O, R> {
    bench: &'a str,
    version: &'a str,
    build: &'a str,
    machine: Machine,
    options: &'a O,
    results: &'a R,
}

impl Spread {
    /// The spread of some values; all zero if there are none.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let values = sorted(values);
        let (Some(min), Some(max)) = (values.first(), values.last()) else {
            return Self { median: 0.0, min: 0.0, max: 0.0 };
        };
        let middle = values.len() / 2;
        let median = match values.len() % 2 {
            1 => values[middle],
            _ => f64::midpoint(values[middle - 1], values[middle]),
        };
        Self { median, min: *min, max: *max }
    }

    /// How much of `amount` is done in a second, given the seconds that it took each time.
    #[must_use]
    pub fn rate(amount: f64, seconds: impl IntoIterator<Item = f64>) -> Self {
        Self::of(seconds.into_iter().map(|seconds| amount / seconds.max(f64::EPSILON)))
    }

    /// The spread of wall times.
    #[must_use]
    pub fn wall(rounds: &[Took]) -> Self {
        Self::of(rounds.iter().map(|took| took.seconds))
    }

    /// The spread of CPU times; none if a round's is not known.
    #[must_use]
    pub fn cpu(rounds: &[Took]) -> Option<Self> {
        rounds.iter().map(|took| took.cpu_seconds).collect::<Option<Vec<_>>>().map(Self::of)
    }
}

impl Percentiles {
    /// The percentiles of some values; all zero if there are none.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let values = sorted(values);
        let rank = |percent: usize| {
            let index = (values.len() * percent).div_ceil(100).saturating_sub(1);
            values.get(index).copied().unwrap_or(0.0)
        };
        Self { min: rank(0), p50: rank(50), p90: rank(90), p99: rank(99), max: rank(100) }
    }
}

/// Figures are no better than a millionth, and easier to read without the rest.
pub(crate) fn rounded<S: Serializer>(value: &f64, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_f64((value * 1e6).round() / 1e6)
}

fn sorted(values: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values
}

impl Machine {
    /// The machine that this runs on.
    #[must_use]
    pub fn this() -> Self {
        let line = |file: &str, key: &str| {
            let text = std::fs::read_to_string(file).ok()?;
            let line = text.lines().find(|line| line.starts_with(key))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let kibibytes =
            line("/proc/meminfo", "MemTotal").and_then(|text| text.strip_suffix(" kB")?.parse::<u64>().ok());
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            processor: line("/proc/cpuinfo", "model name"),
            memory_bytes: kibibytes.map(|number| number * 1024),
        }
    }
}

/// Prints the results of a benchmark to standard output.
pub fn print<O: Serialize, R: Serialize>(bench: &str, options: &O, results: &R) -> Result<()> {
    let build = if cfg!(debug_assertions) { "dev" } else { "release" };
    if build == "dev" {
        crate::progress("note: this is a dev build; its figures say nothing about a release");
    }
    let report =
        Report { bench, version: env!("CARGO_PKG_VERSION"), build, machine: Machine::this(), options, results };
    let text = serde_json::to_string_pretty(&report).context("cannot write the results as JSON")?;
    writeln!(std::io::stdout().lock(), "{text}").context("cannot print the results")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Spread { median: 2.0, min: 1.0, max: 3.0 });
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]).median, 2.5);
        assert_eq!(Spread::of([]).median, 0.0);
        assert_eq!(Spread::rate(100.0, [2.0, 4.0]), Spread { median: 37.5, min: 25.0, max: 50.0 });
    }

    #[test]
    fn percentiles_are_values_that_occurred() {
        let hundred = Percentiles::of((1..=100).rev().map(f64::from));
        assert_eq!(hundred, Percentiles { min: 1.0, p50: 50.0, p90: 90.0, p99: 99.0, max: 100.0 });
        let three = Percentiles::of([1.0, 2.0, 3.0]);
        assert_eq!((three.p50, three.p90, three.max), (2.0, 3.0, 3.0));
    }

    #[test]
    fn figures_are_rounded_when_written() {
        let text = serde_json::to_string(&Spread::of([0.1 + 0.2])).unwrap();
        assert_eq!(text, r#"{"median":0.3,"min":0.3,"max":0.3}"#);
    }

    #[test]
    fn an_unknown_cpu_time_is_not_taken_for_none() {
        let known = Took { seconds: 1.0, cpu_seconds: Some(2.0) };
        let unknown = Took { cpu_seconds: None, ..known };
        assert_eq!(Spread::cpu(&[known, known]).map(|spread| spread.median), Some(2.0));
        assert_eq!(Spread::cpu(&[known, unknown]), None);
    }
}
