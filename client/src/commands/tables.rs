//! `quickchat-etl tables`.

use clap::Subcommand;
use quickchat_jobs::{Catalog, View};
use serde::Serialize;

use super::jobs::{ColumnView, add_columns, columns};
use super::{CommandError, cluster};
use crate::config::Config;
use crate::output::{self, bytes, count};
use crate::tables::LakeView;

#[derive(Debug, Subcommand)]
pub(super) enum TablesCommand {
    /// All tables with their versions and sizes, and all views
    List,
    /// One table or view: columns with meanings, version, files
    Show {
        /// Name of the table, for example gold.daily_metrics
        table: String,
    },
    /// The versions of a table, newest first
    History {
        /// Name of the table
        table: String,
        /// How many versions
        #[arg(long, default_value_t = 20)]
        limit: usize,
    },
    /// A table as Parquet, CSV or JSON files
    Export(super::export::ExportArguments),
    /// Some rows of a table
    Preview {
        /// Name of the table
        table: String,
        /// How many rows
        #[arg(long, default_value_t = 10)]
        limit: usize,
    },
}

#[derive(Serialize)]
struct TableView {
    table: String,
    kind: &'static str,
    summary: &'static str,
    version: Option<u64>,
    files: u64,
    bytes: u64,
    rows: Option<u64>,
    partitions: u64,
    file_sizes: FileSizesView,
    columns: Vec<ColumnView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sql: Option<&'static str>,
}

/// Sizes of a table's files, in bytes.
#[derive(Serialize)]
struct FileSizesView {
    smallest: u64,
    median: u64,
    largest: u64,
}

pub(super) async fn tables(config: &Config, command: &TablesCommand) -> Result<u8, CommandError> {
    let catalog = Catalog::builtin()?;
    let engine = super::engine(config)?;
    let view = LakeView::new(config.lake.clone(), engine.tables().clone(), &catalog);
    match command {
        TablesCommand::List => list(config, &view).await?,
        TablesCommand::Show { table } => show(config, &view, table).await?,
        TablesCommand::History { table, limit } => history(config, &view, table, *limit).await?,
        TablesCommand::Export(arguments) => return super::export::export(config, arguments).await,
        TablesCommand::Preview { table, limit } => preview(config, &view, table, *limit).await?,
    }
    Ok(0)
}

async fn list(config: &Config, view: &LakeView) -> Result<(), CommandError> {
    let tables = view.list().await?;
    output::print(config.output, &tables, || {
        let mut out = output::table(&["table", "#version", "#rows", "#files", "#size", "holds"]);
        for table in &tables {
            let version = match table.version {
                Some(version) => version.to_string(),
                None if table.kind == "view" => "view".to_owned(),
                None => "never written".to_owned(),
            };
            let rows = table.rows.map(count).unwrap_or_default();
            out.add_row([&table.table, &version, &rows, &count(table.files), &bytes(table.bytes), table.summary]);
        }
        out
    })?;
    Ok(())
}

async fn show(config: &Config, view: &LakeView, name: &str) -> Result<(), CommandError> {
    let contract = view.contract(name)?;
    let shown_view = view.view(&contract.table);
    let pinned = view.newest(&contract.table).await?;
    let sizes = pinned.as_ref().map(|pinned| pinned.file_sizes()).unwrap_or_default();
    let shown = TableView {
        table: name.to_owned(),
        kind: if shown_view.is_some() { "view" } else { "table" },
        summary: contract.summary,
        version: pinned.as_ref().map(|pinned| pinned.version),
        files: pinned.as_ref().map_or(0, |pinned| pinned.files.len() as u64),
        bytes: pinned.as_ref().map_or(0, |pinned| pinned.bytes()),
        rows: pinned.as_ref().and_then(|pinned| pinned.rows()),
        partitions: pinned.as_ref().map_or(0, |pinned| pinned.partitions()),
        file_sizes: FileSizesView { smallest: sizes.smallest, median: sizes.median, largest: sizes.largest },
        columns: columns(contract),
        sql: shown_view.map(View::sql),
    };
    output::print(config.output, &shown, || {
        let mut out = output::table(&["column", "type", "meaning"]);
        let state = match shown.version {
            None if shown.sql.is_some() => "view".to_owned(),
            None => "never written".to_owned(),
            Some(version) => format!(
                "version {version}, {} rows\n{} files in {} partitions, {}\n{} to {} each, median {}",
                shown.rows.map_or_else(|| "an unknown number of".to_owned(), count),
                count(shown.files),
                count(shown.partitions),
                bytes(shown.bytes),
                bytes(shown.file_sizes.smallest),
                bytes(shown.file_sizes.largest),
                bytes(shown.file_sizes.median)
            ),
        };
        out.add_row([name, &state, contract.summary]);
        add_columns(&mut out, contract);
        if let Some(sql) = shown.sql {
            out.add_row(["query", "", sql]);
        }
        out
    })?;
    Ok(())
}

async fn history(config: &Config, view: &LakeView, name: &str, limit: usize) -> Result<(), CommandError> {
    let versions = view.history(name, limit).await?;
    output::print(config.output, &versions, || {
        let titles = ["#version", "committed at", "operation", "#files", "#added", "#removed", "run", "note"];
        let mut out = output::table(&titles);
        for version in &versions {
            out.add_row([
                version.version.to_string(),
                version.committed_at.map(|instant| instant.to_rfc3339()).unwrap_or_default(),
                version.operation.clone(),
                format!("+{} -{}", count(version.files_added), count(version.files_removed)),
                bytes(version.bytes_added),
                bytes(version.bytes_removed),
                version.run_id.clone().unwrap_or_default(),
                if version.note.is_null() { String::new() } else { version.note.to_string() },
            ]);
        }
        out
    })?;
    Ok(())
}

async fn preview(config: &Config, view: &LakeView, name: &str, limit: usize) -> Result<(), CommandError> {
    // The name is one of the catalog's, hence no way to smuggle SQL in.
    let contract = view.contract(name)?;
    let cluster = cluster(config).await?;
    let batches = view.sql(&cluster, &format!("SELECT * FROM {} LIMIT {limit}", contract.table)).await;
    cluster.stop().await;
    output::print_rows(config.output, &batches?)?;
    Ok(())
}
