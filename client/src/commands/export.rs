//! `quickchat-etl tables export`.

use std::path::PathBuf;

use clap::Args;
use quickchat_jobs::Catalog;

use super::{CommandError, INTERRUPTED, cluster, interrupted};
use crate::config::Config;
use crate::export::{ExportError, ExportOptions, Format, export as export_table};
use crate::output::{self, bytes, count};
use crate::tables::LakeView;

/// What to export.
#[derive(Debug, Args)]
pub(super) struct ExportArguments {
    /// Name of the table
    table: String,
    /// Form of the files; csv has lists, maps and structs as JSON text, json has an object a line
    #[arg(long, value_enum, default_value = "parquet")]
    format: Format,
    /// Folder to make on this machine; it appears when it is complete
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Only rows that satisfy this SQL condition, for example "feature_date = '2026-01-31'"
    #[arg(long = "where", value_name = "CONDITION")]
    condition: Option<String>,
    /// Replace an earlier export
    #[arg(long)]
    overwrite: bool,
}

pub(super) async fn export(config: &Config, arguments: &ExportArguments) -> Result<u8, CommandError> {
    let catalog = Catalog::builtin()?;
    let options = ExportOptions {
        table: arguments.table.clone(),
        condition: arguments.condition.clone(),
        format: arguments.format,
        folder: arguments.to.clone(),
        overwrite: arguments.overwrite,
    };
    let cluster = cluster(config).await?;
    let view = LakeView::new(config.lake.clone(), cluster.engine().tables().clone(), &catalog);
    let exported = tokio::select! {
        exported = export_table(&view, &cluster, &options) => Some(exported),
        () = interrupted() => None,
    };
    let Some(exported) = exported else {
        tracing::warn!("interrupted: nothing was exported");
        tokio::select! {
            () = async { cluster.settle().await; cluster.stop().await } => {}
            () = interrupted() => {}
        }
        return Ok(INTERRUPTED);
    };
    cluster.stop().await;
    let exported = exported.map_err(|error| match error {
        ExportError::View(error) => CommandError::View(error),
        ExportError::Cluster(error) => CommandError::Cluster(error),
        other => CommandError::Export(other),
    })?;
    output::print(config.output, &exported, || {
        let mut table = output::table(&["file", "#rows", "#size"]);
        for file in &exported.files {
            table.add_row([&file.name, &count(file.rows), &bytes(file.bytes)]);
        }
        table
    })?;
    Ok(0)
}
