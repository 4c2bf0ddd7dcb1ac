//! `quickchat-etl doctor`.

use super::{CommandError, OUT_OF_REACH};
use crate::config::Config;
use crate::doctor::{Finding, State, examine};
use crate::output;

pub(super) async fn doctor(config: &Config) -> Result<u8, CommandError> {
    let findings = examine(config).await;
    output::print(config.output, &findings, || output::findings(&findings))?;
    let works = |finding: &Finding| finding.state != State::Failed;
    Ok(if findings.iter().all(works) { 0 } else { OUT_OF_REACH })
}
