//! `quickchat-etl doctor`.

use quickchat_engine::Engine;

use super::{CommandError, OUT_OF_REACH};
use crate::cluster::Cluster;
use crate::config::Config;
use crate::doctor::{Finding, State, examine};
use crate::output;
use crate::with_causes;

pub(super) async fn doctor(config: &Config) -> Result<u8, CommandError> {
    let (cluster, unreachable) = match &config.scheduler {
        None => (None, None),
        Some(url) => match Cluster::connect_with(Engine::default(), url).await {
            Ok(cluster) => (Some(cluster), None),
            Err(error) => (None, Some(with_causes(&error))),
        },
    };
    let mut findings = examine(config, cluster.as_ref()).await;
    if let Some(why) = unreachable {
        for finding in findings.iter_mut().filter(|finding| finding.system == "cluster") {
            finding.state = State::Failed;
            finding.notes = vec![why.clone()];
        }
    }
    if let Some(cluster) = cluster {
        cluster.stop().await;
    }
    output::print(config.output, &findings, || output::findings(&findings))?;
    let works = |finding: &Finding| finding.state != State::Failed;
    Ok(if findings.iter().all(works) { 0 } else { OUT_OF_REACH })
}
