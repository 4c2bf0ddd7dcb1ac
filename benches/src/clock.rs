//! Wall time and CPU time of this process.
//!
//! CPU time is what "per core" means: it does not depend on what else the machine does. It is read from `/proc`, since
//! the standard library has no call for it; where there is no `/proc`, it is absent. Rejected: a crate around
//! `getrusage`, whose features would have the whole dependency tree built anew for this one number.

use std::time::Instant;

use serde::{Deserialize, Serialize};

/// Clock ticks a second in `/proc`, the same on every Linux architecture that Rust supports.
const TICKS_PER_SECOND: f64 = 100.0;

/// A running measurement.
#[derive(Debug)]
pub struct Stopwatch {
    started: Instant,
    cpu_at_start: Option<f64>,
}

/// What a measurement took.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Took {
    /// Wall time.
    pub seconds: f64,
    /// User and system time of all threads of this process, in steps of 10 ms; absent where it is not known.
    pub cpu_seconds: Option<f64>,
}

impl Stopwatch {
    /// Starts to measure.
    #[must_use]
    pub fn start() -> Self {
        Self { cpu_at_start: process_cpu_seconds(), started: Instant::now() }
    }

    /// What has passed since the start.
    #[must_use]
    pub fn stop(&self) -> Took {
        let seconds = self.started.elapsed().as_secs_f64();
        let cpu_seconds = process_cpu_seconds().zip(self.cpu_at_start).map(|(now, start)| now - start);
        Took { seconds, cpu_seconds }
    }
}

fn process_cpu_seconds() -> Option<f64> {
    cpu_seconds(&std::fs::read_to_string("/proc/self/stat").ok()?)
}

/// User and system time in a `/proc/<pid>/stat`. The name of the program may hold spaces, so fields are counted from
/// the parenthesis behind it: state is the first, user time the twelfth.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_ascii_whitespace().skip(11).map(str::parse::<u64>);
    let (user, system) = (times.next()?.ok()?, times.next()?.ok()?);
    Some((user + system) as f64 / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_any_name() {
        let stat = "42 (a) b (c) R 1 2 3 4 5 6 7 8 9 10 250 125 0 0 20 0 1 0 5 6 7";
        assert_eq!(cpu_seconds(stat), Some(3.75));
        assert_eq!(cpu_seconds("42 (short) R 1 2"), None);
    }

    #[test]
    fn work_takes_time() {
        let watch = Stopwatch::start();
        let mut sum = 0_u64;
        while watch.started.elapsed().as_millis() < 60 {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        let took = watch.stop();
        assert!(took.seconds >= 0.06, "{took:?}");
        if cfg!(target_os = "linux") {
            assert!(took.cpu_seconds.is_some_and(|seconds| seconds >= 0.01), "{took:?}");
        }
    }
}
