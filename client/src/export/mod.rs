//! Export: a table, or some of its rows, as files for those who do not read Delta.
//!
//! The rows are computed on the cluster and come as a stream, a few batches at a time, so memory does not grow with the
//! table. They are encoded and written here, in a thread of their own beside the network.
//!
//! Invariant: the folder is there with all of its files or not at all. Everything is written into a hidden sibling of
//! it, which takes its name at the end; when the command fails or is interrupted, the sibling is removed. A folder that
//! is overwritten is exchanged for the new one in one step where the system can do that (Linux on local disks), else in
//! two. Only a folder that an earlier export made is overwritten, so that a slip of the hand cannot empty another one.
//!
//! Beside the data lies `_export.json`, which says what the folder holds; readers of data files skip names that begin
//! with `_`.
//!
//! Rejected: letting the executors write the files. They would have to reach the folder, which is usually one of the
//! machine on which the command is given, and a failure of one would leave parts behind.

mod csv;
mod folder;
mod part;

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::logical_expr::LogicalPlan;
use futures::{Stream, TryStreamExt};
use serde::Serialize;
use tokio::sync::mpsc;

use crate::cluster::{Cluster, ClusterError};
use crate::tables::{LakeView, ViewError};

pub use part::Part;

use folder::Partial;
use part::Parts;

/// How many batches may wait for the writer.
const WAITING: usize = 4;

/// How often the newest version is looked up when another one is committed at the same moment.
const LOOKUPS: usize = 5;

/// What is exported, and where to.
#[derive(Debug, Clone)]
pub struct ExportOptions {
    /// The table, `layer.table`.
    pub table: String,
    /// An SQL condition that rows must satisfy, over the table's columns.
    pub condition: Option<String>,
    /// Form of the files.
    pub format: Format,
    /// The folder to make.
    pub folder: PathBuf,
    /// Whether an earlier export in that folder is replaced.
    pub overwrite: bool,
}

/// Form of exported files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Parquet, with all types.
    Parquet,
    /// Comma-separated values: a header, UTF-8, lists, maps and structs as JSON text, null as nothing at all, an empty
    /// text as "".
    Csv,
    /// A JSON object a line, with nulls.
    Json,
}

/// What was exported. The JSON form is stable: fields are added, never renamed.
#[derive(Debug, Clone, Serialize)]
pub struct Exported {
    /// The table.
    pub table: String,
    /// Its version; null for what is computed from several tables.
    pub version: Option<u64>,
    /// The condition.
    #[serde(rename = "where")]
    pub condition: Option<String>,
    /// Form of the files.
    pub format: Format,
    /// Rows of all files.
    pub rows: u64,
    /// Size of all files.
    pub bytes: u64,
    /// The files in the order of the rows.
    pub files: Vec<Part>,
    /// Version of the program.
    pub program: &'static str,
}

/// An export that failed; nothing is left of it.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The table or the condition.
    #[error(transparent)]
    View(#[from] ViewError),
    /// The cluster.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The folder is not on this machine.
    #[error("cannot export to {to}: give a folder of this machine, not an address")]
    NotLocal {
        /// What was given.
        to: String,
    },
    /// The folder is there.
    #[error("cannot export to {}: it exists; name another folder, or replace an earlier export with --overwrite", folder.display())]
    Exists {
        /// The folder.
        folder: PathBuf,
    },
    /// The folder holds something else.
    #[error(
        "cannot overwrite {}: no earlier export made it (it has no _export.json); name another folder, or remove it by hand",
        folder.display()
    )]
    NotAnExport {
        /// The folder.
        folder: PathBuf,
    },
    /// The disk.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The encoder.
    #[error("cannot write rows into {}: {source}", path.display())]
    Encode {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: ArrowError,
    },
    /// The thread that writes.
    #[error("the thread that writes the files ended before them; please report this")]
    Stopped,
}

impl ExportError {
    fn file(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::File { action, path: path.to_owned(), source }
    }
}

/// Exports a table.
///
/// # Errors
/// See [`ExportError`]; the folder is as it was.
pub async fn export(view: &LakeView, cluster: &Cluster, options: &ExportOptions) -> Result<Exported, ExportError> {
    // Before anything is computed in vain.
    folder::check(&options.folder, options.overwrite)?;
    let (plan, version) = plan(view, cluster, options).await?;
    let job = cluster.submit(&plan, &format!("export {}", options.table)).await?;
    let rows = job.stream().await?;
    let partial = Partial::make(&options.folder)?;
    let (partial, parts) = write(partial, options.format, job.schema(), rows).await?;
    let exported = Exported {
        table: options.table.clone(),
        version,
        condition: options.condition.clone(),
        format: options.format,
        rows: parts.iter().map(|part| part.rows).sum(),
        bytes: parts.iter().map(|part| part.bytes).sum(),
        files: parts,
        program: env!("CARGO_PKG_VERSION"),
    };
    partial.describe(&exported)?;
    partial.publish(options.overwrite)?;
    Ok(exported)
}

/// The plan, and the version of the table that it reads.
async fn plan(
    view: &LakeView,
    cluster: &Cluster,
    options: &ExportOptions,
) -> Result<(LogicalPlan, Option<u64>), ExportError> {
    // The name is one of the catalog's, hence no way to smuggle SQL in.
    let table = &view.contract(&options.table)?.table;
    let query = match &options.condition {
        // On a line of its own, so that a comment at its end does not swallow the bracket.
        Some(condition) => format!("SELECT * FROM {table} WHERE (\n{condition}\n)"),
        None => format!("SELECT * FROM {table}"),
    };
    let mut before = view.newest(table).await?.map(|pinned| pinned.version);
    for _ in 0..LOOKUPS {
        let plan = view.plan(cluster, &query).await?;
        let after = view.newest(table).await?.map(|pinned| pinned.version);
        if before == after {
            return Ok((plan, after));
        }
        before = after;
    }
    // Versions come faster than they can be read: the rows are of one of them, and nobody can say of which.
    Ok((view.plan(cluster, &query).await?, None))
}

/// Has the rows written by a thread, and waits for both.
async fn write(
    partial: Partial,
    format: Format,
    schema: SchemaRef,
    rows: impl Stream<Item = Result<RecordBatch, ClusterError>> + Unpin,
) -> Result<(Partial, Vec<Part>), ExportError> {
    let (send, receive) = mpsc::channel(WAITING);
    let writer = tokio::task::spawn_blocking(move || {
        let parts = write_all(&partial, format, schema, receive)?;
        Ok::<_, ExportError>((partial, parts))
    });
    let sent = send_all(rows, send).await;
    let written = writer.await.map_err(|_| ExportError::Stopped)?;
    // When rows fail to come, the writer notices only that they do.
    sent?;
    written
}

/// What the writer is told.
enum Message {
    Rows(RecordBatch),
    /// That was all. Without it the sender has given up.
    End,
}

async fn send_all(
    mut rows: impl Stream<Item = Result<RecordBatch, ClusterError>> + Unpin,
    send: mpsc::Sender<Message>,
) -> Result<(), ClusterError> {
    while let Some(batch) = rows.try_next().await? {
        if send.send(Message::Rows(batch)).await.is_err() {
            // The writer has failed, and says itself why.
            return Ok(());
        }
    }
    // As above.
    drop(send.send(Message::End).await);
    Ok(())
}

fn write_all(
    partial: &Partial,
    format: Format,
    schema: SchemaRef,
    mut receive: mpsc::Receiver<Message>,
) -> Result<Vec<Part>, ExportError> {
    let mut parts = Parts::new(partial.path(), format, schema);
    loop {
        match receive.blocking_recv() {
            Some(Message::Rows(batch)) => parts.write(&batch)?,
            Some(Message::End) => return parts.finish(),
            None => return Err(ExportError::Stopped),
        }
    }
}
