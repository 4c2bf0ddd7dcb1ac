//! How long to wait between two questions after a job's state.
//!
//! Ballista can push a job's state, but not its id before the first change of state, and without the id a job cannot
//! be cancelled; it also drops notifications when the receiver is slow. So the client asks. A fixed pause would either
//! delay small jobs or pester the scheduler during long ones; here the pause is an eighth of the time that has
//! passed, so a job's end is seen at most an eighth late, and never more than a tenth of a second.

use std::time::{Duration, Instant};

const SHORTEST: Duration = Duration::from_micros(500);
const LONGEST: Duration = Duration::from_millis(100);

/// Pauses that grow with the job.
#[derive(Debug)]
pub(super) struct Pace {
    started: Instant,
}

impl Pace {
    pub(super) fn start() -> Self {
        Self { started: Instant::now() }
    }

    /// Time since the start.
    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Waits until it is time to ask again.
    pub(super) async fn wait(&self) {
        tokio::time::sleep(pause_after(self.elapsed())).await;
    }
}

fn pause_after(elapsed: Duration) -> Duration {
    (elapsed / 8).clamp(SHORTEST, LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_jobs_are_asked_often_and_long_ones_rarely() {
        assert_eq!(pause_after(Duration::ZERO), SHORTEST);
        assert_eq!(pause_after(Duration::from_millis(80)), Duration::from_millis(10));
        assert_eq!(pause_after(Duration::from_secs(3600)), LONGEST);
    }
}
