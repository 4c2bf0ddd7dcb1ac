//! What an operator may choose about the scheduler, already validated.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// Where the scheduler listens and when it gives an executor up.
#[derive(Debug, Clone)]
pub struct SchedulerConfig {
    /// Address that both listeners bind. Loopback by default: neither gRPC nor REST asks for
    /// credentials, and whoever reaches them can run plans.
    pub bind_host: IpAddr,
    /// Port of the gRPC service; 0 takes any free one.
    pub port: u16,
    /// Port of the HTTP listener (REST, health); `None` opens none, 0 takes any free one.
    pub http_port: Option<u16>,
    /// Host name under which executors reach this scheduler to report task results. `None` takes
    /// the bound address, or the machine's host name when the bound address is a wildcard.
    pub external_host: Option<String>,
    /// When executors count as lost.
    pub liveness: Liveness,
    /// How long the results of a finished job stay on the executors for the client to fetch.
    pub keep_results: Duration,
    /// How long a finished job stays listed.
    pub keep_jobs: Duration,
}

impl Default for SchedulerConfig {
    fn default() -> Self {
        Self {
            bind_host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 50050,
            http_port: Some(8080),
            external_host: None,
            liveness: Liveness::default(),
            keep_results: Duration::from_secs(300),
            keep_jobs: Duration::from_secs(3600),
        }
    }
}

/// When an executor counts as lost. Ballista keeps these times in whole seconds; fractions are
/// rounded up.
#[derive(Debug, Clone, Copy)]
pub struct Liveness {
    /// An executor that has not sent a heartbeat for this long is lost, and its tasks run again
    /// elsewhere.
    pub executor_timeout: Duration,
    /// How often lost executors are looked for.
    pub check_interval: Duration,
    /// The same as `executor_timeout` for an executor that has announced its end: it goes on
    /// sending heartbeats while it finishes its tasks, so silence means that it is gone.
    pub terminating_timeout: Duration,
    /// When every executor is lost, how long running jobs wait for a new one before they fail.
    pub no_executors_grace: Duration,
}

impl Default for Liveness {
    /// Four to five missed heartbeats of three seconds: 15 s of silence and 2 s until the next
    /// check, so a death is noticed within 17 s and a busy machine's late heartbeat is forgiven.
    fn default() -> Self {
        Self {
            executor_timeout: Duration::from_secs(15),
            check_interval: Duration::from_secs(2),
            terminating_timeout: Duration::from_secs(6),
            no_executors_grace: Duration::from_secs(30),
        }
    }
}

impl Liveness {
    /// For a scheduler whose only executor lives in the same process. They die together, so
    /// silence only means that the process was suspended (a closed laptop, a debugger), and giving
    /// the executor up on waking would end a cluster that is perfectly well.
    #[must_use]
    pub fn same_process() -> Self {
        const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
        Self {
            executor_timeout: YEAR,
            check_interval: Duration::from_secs(3600),
            terminating_timeout: YEAR,
            no_executors_grace: YEAR,
        }
    }
}

/// Whole seconds, rounded up, because Ballista reads several of its intervals' 0 as "never".
pub(crate) fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_executor_is_noticed_in_under_30_seconds() {
        let liveness = Liveness::default();
        assert!(liveness.executor_timeout + liveness.check_interval < Duration::from_secs(30));
    }

    #[test]
    fn fractions_of_a_second_are_rounded_up() {
        assert_eq!(whole_seconds(Duration::from_millis(1)), 1);
        assert_eq!(whole_seconds(Duration::from_secs(2)), 2);
        assert_eq!(whole_seconds(Duration::ZERO), 0);
    }
}
