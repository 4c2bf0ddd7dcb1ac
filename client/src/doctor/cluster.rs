//! The cluster, as its scheduler presents itself.

use std::time::{Duration, Instant, SystemTime};

use axum::body::Body;
use axum::http::header::DATE;
use axum::http::{Request, StatusCode};
use ballista_core::utils::create_grpc_client_endpoint;
use chrono::DateTime;
use quickchat_executor::SchedulerUrl;
use tonic::client::GrpcService;

use super::{Finding, State};
use crate::cluster::{Cluster, ClusterError};
use crate::config::Config;
use crate::with_causes;

/// How long the front page may take, of a scheduler that has just answered.
const PATIENCE: Duration = Duration::from_secs(5);
/// More than the page is long.
const MAX_PAGE_BYTES: usize = 64 << 10;

/// The cluster, if a remote one is configured: an embedded one is this process.
pub(super) async fn look(config: &Config) -> Finding {
    let Some(url) = &config.scheduler else {
        return Finding::not_configured(
            "cluster",
            "jobs run inside this process; SCHEDULER_URL names a remote cluster",
        );
    };
    let finding = look_at(url).await.unwrap_or_else(|error| Finding::failed("cluster", with_causes(&error)));
    finding.at(url.to_string())
}

async fn look_at(url: &SchedulerUrl) -> Result<Finding, ClusterError> {
    let cluster = Cluster::connect(url).await?;
    let asked = Instant::now();
    let executors = cluster.executors().await?.len() as u64;
    let latency = asked.elapsed();
    let page = tokio::time::timeout(PATIENCE, front_page(url)).await.ok().flatten().unwrap_or_default();
    let mut finding = Finding::new("cluster", State::Ok).latency(latency).clock(page.clock_ahead_millis);
    finding.version = page.version;
    finding.counts.insert("executors".to_owned(), Some(executors));
    if executors == 0 {
        finding.fail(
            "no executor is there, so that no job can run; start quickchat-executor with this scheduler's address"
                .to_owned(),
        );
    }
    Ok(finding)
}

/// What a scheduler says of itself to whoever comes to its address.
#[derive(Debug, Default, PartialEq, Eq)]
struct FrontPage {
    version: Option<String>,
    /// Servers tell whole seconds.
    clock_ahead_millis: Option<i64>,
}

/// Asks for the page over a connection of its own: the head of the answer has the scheduler's time, and [`Cluster::api`]
/// gives bodies. None if something else than the page is answered.
async fn front_page(url: &SchedulerUrl) -> Option<FrontPage> {
    let mut channel = create_grpc_client_endpoint(url.endpoint(), None).ok()?.connect().await.ok()?;
    std::future::poll_fn(|context| GrpcService::poll_ready(&mut channel, context)).await.ok()?;
    let request = Request::get("/").body(tonic::body::Body::empty()).ok()?;
    let response = GrpcService::call(&mut channel, request).await.ok()?;
    let received = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?;
    if response.status() != StatusCode::OK {
        return None;
    }
    let date = response.headers().get(DATE).and_then(|date| date.to_str().ok()).map(str::to_owned);
    let body = axum::body::to_bytes(Body::new(response.into_body()), MAX_PAGE_BYTES).await.ok()?;
    Some(FrontPage {
        version: version(&String::from_utf8_lossy(&body)),
        clock_ahead_millis: date.and_then(|date| clock_ahead_millis(&date, received)),
    })
}

/// The last word of the first line, `QuickChat ETL scheduler 1.2.3`.
fn version(page: &str) -> Option<String> {
    let (name, version) = page.lines().next()?.rsplit_once(' ')?;
    name.ends_with("scheduler").then(|| version.to_owned())
}

/// How far a clock is ahead that showed a date of HTTP so long after 1970 by this machine's.
fn clock_ahead_millis(date: &str, received: Duration) -> Option<i64> {
    let there = DateTime::parse_from_rfc2822(date).ok()?.timestamp_millis();
    Some(there - i64::try_from(received.as_millis()).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_scheduler_says_of_itself() {
        assert_eq!(version("QuickChat ETL scheduler 1.2.3\n\n/healthz …\n"), Some("1.2.3".to_owned()));
        for other in ["", "<html>\n<title>nginx 1.2", "Welcome to nginx 1.2"] {
            assert_eq!(version(other), None, "{other}");
        }
        let received = Duration::from_millis(784_111_777_250);
        assert_eq!(clock_ahead_millis("Sun, 06 Nov 1994 08:49:37 GMT", received), Some(-250));
        assert_eq!(clock_ahead_millis("Sun, 06 Nov 1994 09:49:37 GMT", received), Some(3_600_000 - 250));
        assert_eq!(clock_ahead_millis("soon", received), None);
    }
}
