//! Put: a few rows that the calling process has in hand, in place of earlier ones.
//!
//! For the records that a program keeps about itself, where a job on the cluster would cost more than the rows and may
//! be the very thing that failed. One small file and one commit, both made here; the table has no partitions.
//!
//! Rows that are replaced are found by a column and a value, such as the id of a run. They usually fill a file of their
//! own, which the log's statistics tell, and that file is removed without being read. Only when a compaction has moved
//! them among others is its file read, at most as large as a compaction makes it, and its other rows written again.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray};
use arrow::compute::kernels::cmp::distinct;
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::TaskContext;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::physical_plan::collect;
use datafusion::prelude::{SessionConfig, SessionContext};
use deltalake::kernel::Add;
use deltalake::protocol::{DeltaOperation, SaveMode};

use super::buckets::Buckets;
use super::replace::removal;
use super::{CommitNote, Target, Written, discard::discard};
use crate::commit::{Commit, Outcome, ReadSet, commit};
use crate::scan::{DeltaScan, FileStatistics, Subset};
use crate::snapshot::{PinnedTable, Tables};
use crate::write::{FILE_BYTES, Receipts, WriteExec};
use crate::{LakeError, Result};

/// How often a commit is tried when others keep coming first. Each time one of them is done, so as many writers may
/// start at once.
const ATTEMPTS: usize = 32;

/// Rows, and what they take the place of.
#[derive(Debug)]
pub struct Put<'a> {
    /// The table, which has no partitions; it is made if need be.
    pub target: &'a Target,
    /// The rows, with the target's columns.
    pub rows: RecordBatch,
    /// A text column and a value: stored rows that have it are replaced.
    pub replaces: Option<(&'a str, &'a str)>,
}

/// Puts rows into a table, in this process, and gives the version that was made.
///
/// Another writer's commit in between is answered by another attempt on the newer version.
pub async fn put(tables: &Tables, put: &Put<'_>, note: &CommitNote<'_>) -> Result<u64> {
    tables.stores().ensure_creates_once(&put.target.url).await?;
    let mut reason = String::new();
    for _ in 0..ATTEMPTS {
        let base = tables.latest(&put.target.url).await?;
        if let Some(base) = &base {
            put.target.check_is_ours(base)?;
        }
        let replaced = put.replaced(tables, base.as_deref()).await?;
        let adds = put.write(tables, &replaced.kept).await?;
        let change = put.commit(base.as_deref(), adds.clone(), &replaced.files, note)?;
        match commit(tables, &put.target.url, base.as_deref(), change).await? {
            Outcome::Committed(version) => return Ok(version),
            Outcome::Outdated { reason: newer } => {
                discard(tables, &put.target.url, &adds).await;
                reason = newer;
            }
        }
    }
    let reason = format!("{reason}, and others came first {ATTEMPTS} times");
    Err(LakeError::Conflict { table: put.target.url.to_string(), reason })
}

/// Stored files that are removed, and what of their rows stays.
#[derive(Debug, Default)]
struct Replaced {
    files: Vec<Add>,
    kept: Vec<RecordBatch>,
}

impl Put<'_> {
    async fn replaced(&self, tables: &Tables, base: Option<&PinnedTable>) -> Result<Replaced> {
        let (Some((column, value)), Some(base)) = (self.replaces, base) else { return Ok(Replaced::default()) };
        let own = base.adds().filter(|file| {
            FileStatistics::of(file).string_range(column).is_some_and(|(low, high)| low == value && high == value)
        });
        let own: Vec<Add> = own.cloned().collect();
        if !own.is_empty() {
            return Ok(Replaced { files: own, kept: Vec::new() });
        }
        let mut replaced = Replaced::default();
        let may_hold = base.adds().filter(|file| {
            FileStatistics::of(file).string_range(column).is_none_or(|(low, high)| low <= value && value <= high)
        });
        for file in may_hold {
            let rows = self.query("read rows that are replaced", read(tables, base, file).await)?;
            let kept = self.query("find rows that are replaced", without(&rows, column, value))?;
            let count = |batches: &[RecordBatch]| batches.iter().map(RecordBatch::num_rows).sum::<usize>();
            if count(&kept) < count(&rows) {
                replaced.files.push(file.clone());
                replaced.kept.extend(kept);
            }
        }
        Ok(replaced)
    }

    /// Writes the new rows and those that stay into one file.
    async fn write(&self, tables: &Tables, kept: &[RecordBatch]) -> Result<Vec<Add>> {
        let spec = self.target.write_spec(false, &Buckets::default(), FILE_BYTES)?;
        let written = async {
            let mut batches = vec![conform(&self.rows, &self.target.schema)?];
            for batch in kept {
                batches.push(conform(batch, &self.target.schema)?);
            }
            let rows = MemorySourceConfig::try_new_exec(&[batches], Arc::clone(&self.target.schema), None)?;
            let writer = WriteExec::try_new(rows, Arc::new(spec))?;
            collect(Arc::new(writer), Arc::new(TaskContext::default().with_runtime(runtime(tables)?))).await
        };
        Ok(Receipts::decode(&self.query("write rows", written.await)?)?.files(0))
    }

    fn commit(
        &self,
        base: Option<&PinnedTable>,
        adds: Vec<Add>,
        replaced: &[Add],
        note: &CommitNote<'_>,
    ) -> Result<Commit> {
        let written = Written {
            version: None,
            written: self.rows.num_rows() as u64,
            unchanged: 0,
            files: adds.len() as u64,
            bytes: adds.iter().map(|add| u64::try_from(add.size).unwrap_or(0)).sum(),
        };
        let predicate = self.replaces.map(|(column, value)| format!("{column} = '{}'", value.replace('\'', "''")));
        let is_append = replaced.is_empty();
        Ok(Commit {
            adds,
            removes: replaced.iter().map(removal).collect(),
            metadata: self.target.metadata_after(base)?,
            operation: DeltaOperation::Write {
                mode: if is_append { SaveMode::Append } else { SaveMode::Overwrite },
                partition_by: None,
                predicate: predicate.filter(|_| !is_append),
            },
            transaction: note.transaction.clone(),
            info: (note.info)(&written),
            // Rows that others add are none of our business; files that others remove are noticed by their names.
            reads: if is_append { ReadSet::Nothing } else { ReadSet::Partitions(HashSet::new()) },
        })
    }

    fn query<T>(&self, action: &'static str, result: DataFusionResult<T>) -> Result<T> {
        result.map_err(|error| LakeError::query(action, &self.target.url, error))
    }
}

async fn read(tables: &Tables, base: &PinnedTable, file: &Add) -> DataFusionResult<Vec<RecordBatch>> {
    let config = SessionConfig::new().with_target_partitions(1);
    let context = SessionContext::new_with_config_rt(config, runtime(tables)?);
    let scan = DeltaScan::part_of(tables, base, Subset::Paths(vec![file.path.clone()]));
    context.read_table(Arc::new(scan))?.collect().await
}

fn runtime(tables: &Tables) -> DataFusionResult<Arc<RuntimeEnv>> {
    RuntimeEnvBuilder::new().with_object_store_registry(Arc::new(tables.stores().clone())).build_arc()
}

fn without(batches: &[RecordBatch], column: &str, value: &str) -> DataFusionResult<Vec<RecordBatch>> {
    let value = StringArray::new_scalar(value);
    let mut kept = Vec::with_capacity(batches.len());
    for batch in batches {
        let values = batch
            .column_by_name(column)
            .ok_or_else(|| DataFusionError::Plan(format!("there is no column {column}")))?;
        let others = distinct(&cast(values, &DataType::Utf8)?, &value)?;
        kept.push(filter_record_batch(batch, &others)?);
    }
    Ok(kept)
}

/// The batch with exactly these columns.
fn conform(batch: &RecordBatch, schema: &SchemaRef) -> DataFusionResult<RecordBatch> {
    let mut columns = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let column = batch
            .column_by_name(field.name())
            .ok_or_else(|| DataFusionError::Plan(format!("the rows have no column {}", field.name())))?;
        columns.push(cast(column, field.data_type())?);
    }
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}
