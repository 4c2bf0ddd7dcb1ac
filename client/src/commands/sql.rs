//! `quickchat-etl sql`.

use clap::Args;
use quickchat_jobs::Catalog;

use super::{CommandError, cluster};
use crate::config::Config;
use crate::output;
use crate::tables::LakeView;

#[derive(Debug, Args)]
pub(super) struct SqlArguments {
    /// One SELECT; tables are named layer.table, older versions of them layer.table@v12, @2026-01-31 (as the table was
    /// when that day began) or @2026-01-31T13:00:00Z
    query: String,
}

pub(super) async fn sql(config: &Config, arguments: &SqlArguments) -> Result<u8, CommandError> {
    let catalog = Catalog::builtin()?;
    let cluster = cluster(config).await?;
    let view = LakeView::new(config.lake.clone(), cluster.engine().tables().clone(), &catalog);
    let batches = view.sql(&cluster, &arguments.query).await;
    cluster.stop().await;
    output::print_rows(config.output, &batches?)?;
    Ok(0)
}
