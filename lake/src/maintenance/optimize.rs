//! Optimize: the chosen files of some partitions are read, written anew by the cluster, and exchanged in one commit.
//!
//! Invariants:
//!
//! * The new files hold the rows of the old ones, each once: their numbers are compared before the commit.
//! * The commit says that no data changed, and is made only if every old file is still part of the table; an old file
//!   that an upsert has replaced meanwhile would bring back its old rows. Rows that others add meanwhile are no matter.
//! * Fingerprints of partitions (which a replace compares) stay what they were. They are not computed again: the sum
//!   over the files of a partition is the same if the new files carry the sum of the old ones' tags, also when only
//!   some of a partition's files are rewritten, and when their fingerprints are of columns that the table had then.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::datasource::provider_as_source;
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::{LogicalPlanBuilder, lit};
use datafusion::prelude::{DataFrame, Expr, ident};
use deltalake::kernel::{Add, Remove};
use deltalake::protocol::DeltaOperation;
use serde_json::{Map, Value, json};

use super::plan::{Batch, ORDER_TAG, OptimizePlan, order_tag};
use super::z_order::{MOST_COLUMNS, SAMPLE_ROWS, ZOrder};
use crate::commit::{Commit, Outcome, ReadSet, TransactionId, partition_path};
use crate::operation::{BUCKET, Buckets, CommitNote, Lake, Target, Written, discard, removal, row_bucket};
use crate::scan::{DeltaScan, FileStatistics, Subset};
use crate::snapshot::PinnedTable;
use crate::write::{Distribution, FINGERPRINT_TAG, Sink, WriteSpec, fingerprint_tag, fingerprint_total};
use crate::{LakeError, Result};

/// Name of the column that holds a row's place in the order. It exists only while rows are on their way to a writer.
const KEY: &str = "_z";

/// How often a partition is tried that others change meanwhile. After that it is left for the next time.
const ATTEMPTS: u8 = 2;

/// About how many bytes of a file a row takes, to guess the number of rows of files that do not tell.
const ROW_BYTES: u64 = 64;

/// What an optimize did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Optimized {
    /// The newest version that it made; none if there was nothing worth doing.
    pub version: Option<u64>,
    /// Partitions whose files were exchanged.
    pub partitions: u64,
    /// Files that were replaced.
    pub files_removed: u64,
    /// Their size.
    pub bytes_removed: u64,
    /// Files that took their place.
    pub files_added: u64,
    /// Their size.
    pub bytes_added: u64,
    /// Rows that were written anew.
    pub rows: u64,
    /// Partitions that others kept changing; they are left for the next time.
    pub postponed: u64,
}

impl Lake {
    /// Writes many small files of a table anew as few large ones, and with `z_order` puts rows that are alike in these
    /// columns close to each other. Does nothing, and commits nothing, where it is not worth it.
    ///
    /// Work is done in batches of partitions, each with a commit of its own, so that an optimize that is stopped or
    /// disturbed has not been in vain. `note` is asked for the information of each of them.
    pub async fn optimize(&self, target: &Target, z_order: &[String], note: &CommitNote<'_>) -> Result<Optimized> {
        let mut done = Optimized::default();
        let mut attempts: HashMap<String, u8> = HashMap::new();
        for step in 0.. {
            let base = self.tables().latest(&target.url).await?;
            let base = base.ok_or_else(|| LakeError::NoTable { table: target.url.to_string() })?;
            target.check_is_ours(&base)?;
            let stored = as_stored(target, &base);
            check_columns(&stored, z_order)?;
            let plan = OptimizePlan::of(&base, z_order, self.file_bytes());
            let Some(batch) = plan.next_batch(&attempts, ATTEMPTS) else { break };
            let transaction = TransactionId { sequence: note.transaction.sequence + step, ..note.transaction.clone() };
            let note = CommitNote { transaction, info: note.info };
            let rewrite = Rewriting { lake: self, target: &stored, base: &base, batch: &batch, z_order };
            let is_done = rewrite.run(&note, &mut done).await?;
            for partition in &batch.partitions {
                let tried = attempts.entry(partition.path.clone()).or_default();
                *tried = if is_done { ATTEMPTS } else { *tried + 1 };
                done.postponed += u64::from(!is_done && *tried == ATTEMPTS);
            }
        }
        Ok(done)
    }
}

/// The target with the columns that the table has now: an optimize changes no metadata, and so writes no new column.
fn as_stored(target: &Target, base: &PinnedTable) -> Target {
    let known = |names: &[String]| -> Vec<String> {
        names.iter().filter(|name| base.schema.column_with_name(name).is_some()).cloned().collect()
    };
    Target {
        schema: Arc::clone(&base.schema),
        key: known(&target.key),
        metadata_columns: known(&target.metadata_columns),
        statistics_columns: known(&target.statistics_columns),
        ..target.clone()
    }
}

fn check_columns(target: &Target, z_order: &[String]) -> Result<()> {
    let refuse = |reason: String| {
        let error = datafusion::error::DataFusionError::Plan(reason);
        Err(LakeError::query("put rows in order", &target.url, error))
    };
    if z_order.len() > MOST_COLUMNS {
        return refuse(format!("at most {MOST_COLUMNS} columns are possible, not {}", z_order.len()));
    }
    let unusable =
        |name: &&String| target.partition_columns.contains(name) || target.schema.column_with_name(name).is_none();
    match z_order.iter().find(unusable) {
        Some(name) => refuse(format!("{name} is no column of its files")),
        None => Ok(()),
    }
}

/// One batch, on one version of the table.
struct Rewriting<'a> {
    lake: &'a Lake,
    target: &'a Target,
    base: &'a PinnedTable,
    batch: &'a Batch<'a>,
    z_order: &'a [String],
}

impl Rewriting<'_> {
    /// Writes and commits; adds what was done to `done`. False if others came first.
    async fn run(&self, note: &CommitNote<'_>, done: &mut Optimized) -> Result<bool> {
        let (rows, spec) = if self.batch.orders() { self.ordered().await? } else { self.compacted()? };
        let receipts = self.lake.write(rows, spec).await?;
        let mut adds = receipts.files(0);
        let rows = u64::try_from(receipts.count(0)).unwrap_or(0);
        if let Err(error) = self.check_rows(rows) {
            discard(self.lake.tables(), &self.target.url, &adds).await;
            return Err(error);
        }
        self.mark(&mut adds);
        let step = self.step(&adds, rows);
        match self.lake.commit(self.target, Some(self.base), self.commit(&adds, &step, note)).await? {
            Outcome::Committed(version) => {
                done.add(&step, version);
                Ok(true)
            }
            Outcome::Outdated { reason } => {
                tracing::info!(table = %self.target.url, reason, "another writer came first; nothing was exchanged");
                discard(self.lake.tables(), &self.target.url, &adds).await;
                Ok(false)
            }
        }
    }

    /// The rows with the writers that they go to, in whatever order they come.
    fn compacted(&self) -> Result<(DataFrame, WriteSpec)> {
        let buckets = Buckets::expected(self.batch.files(), 0, self.lake.file_bytes());
        let mut spec = self.target.write_spec(false, &buckets, self.lake.file_bytes())?;
        file_per_bucket(&mut spec, !buckets.is_empty(), self.lake.file_bytes());
        let spread = || {
            let rows = self.rows()?;
            if buckets.is_empty() { Ok(rows) } else { rows.with_column(BUCKET, buckets.column(self.target)?) }
        };
        Ok((self.plan("plan a compaction", spread())?, spec))
    }

    /// The rows in z-order. If they make several files, each file gets a range of the order.
    async fn ordered(&self) -> Result<(DataFrame, WriteSpec)> {
        let sample = self.plan("plan a sample", self.sample())?;
        let label = format!("{} (sample)", self.target.name);
        let sample = self.lake.run(sample.into_unoptimized_plan(), &label).await?;
        let order = self.plan("find an order", ZOrder::from_sample(self.z_order, &sample))?;
        let files = self.batch.ranges(self.lake.file_bytes());
        let mut spec = self.target.write_spec(false, &Buckets::default(), self.lake.file_bytes())?;
        let mut spread = self.target.partition_columns.clone();
        if files > 1 {
            spread.push(BUCKET.to_owned());
        }
        file_per_bucket(&mut spec, files > 1, self.lake.file_bytes());
        spec.distribution = Distribution::Clustered { spread, order: vec![KEY.to_owned()] };
        let rows = || {
            let rows = self.rows()?.with_column(KEY, order.key())?;
            if files > 1 { rows.with_column(BUCKET, order.range(KEY, files)?) } else { Ok(rows) }
        };
        Ok((self.plan("plan an order", rows())?, spec))
    }

    fn plan<T>(&self, action: &'static str, planned: DataFusionResult<T>) -> Result<T> {
        planned.map_err(|error| LakeError::query(action, &self.target.url, error))
    }

    fn rows(&self) -> DataFusionResult<DataFrame> {
        let paths = self.batch.files().map(|file| file.path.clone()).collect();
        let scan = DeltaScan::part_of(self.lake.tables(), self.base, Subset::Paths(paths));
        let plan = LogicalPlanBuilder::scan("stored", provider_as_source(Arc::new(scan)), None)?.build()?;
        Ok(self.lake.frame(plan))
    }

    /// The ordered columns of some rows, chosen by their key, so that another run chooses the same.
    fn sample(&self) -> DataFusionResult<DataFrame> {
        let guess = |file: &Add| u64::try_from(file.size).unwrap_or(0) / ROW_BYTES;
        let rows: u64 = self
            .batch
            .files()
            .map(|file| FileStatistics::rows(file).map_or_else(|| guess(file), |rows| rows as u64))
            .sum();
        let columns: Vec<Expr> = self.z_order.iter().map(ident).collect();
        let share = i32::try_from(rows / SAMPLE_ROWS).unwrap_or(i32::MAX);
        if share <= 1 {
            return self.rows()?.select(columns);
        }
        let key = if self.target.key.is_empty() { self.target.content_columns() } else { self.target.key.clone() };
        let bucket = row_bucket().call(std::iter::once(lit(share)).chain(key.iter().map(ident)).collect());
        self.rows()?.filter(bucket.eq(lit(0_i32)))?.select(columns)
    }

    /// As many rows must come out as went in.
    fn check_rows(&self, found: u64) -> Result<()> {
        let expected: Option<u64> = self.batch.files().map(|file| Some(FileStatistics::rows(file)? as u64)).sum();
        if expected.is_none_or(|expected| expected == found) {
            return Ok(());
        }
        let detail = format!("{found} rows were written in place of {}", expected.unwrap_or(0));
        Err(LakeError::Counts { table: self.target.url.to_string(), detail })
    }

    /// Gives new files the fingerprints of those that they replace, and says whether they are in order.
    fn mark(&self, adds: &mut [Add]) {
        let order = order_tag(self.z_order).filter(|_| self.batch.orders());
        let mut fingerprints: HashMap<&str, String> = HashMap::new();
        for partition in &self.batch.partitions {
            let tags = partition.files.iter().map(|file| file.tags.as_ref()?.get(FINGERPRINT_TAG)?.as_deref());
            if let Some((rows, sum)) = fingerprint_total(tags) {
                fingerprints.insert(&partition.path, fingerprint_tag(sum, rows));
            }
        }
        for add in adds {
            add.data_change = false;
            let tags = add.tags.get_or_insert_default();
            if let Some(own) = fingerprints.get_mut(partition_path(&add.partition_values).as_str()) {
                // The first file of a partition carries all of it, the others add nothing.
                let tag = std::mem::replace(own, fingerprint_tag(0, 0));
                tags.insert(FINGERPRINT_TAG.to_owned(), Some(tag));
            }
            if let Some(order) = &order {
                tags.insert(ORDER_TAG.to_owned(), Some(order.clone()));
            }
        }
    }

    fn step(&self, adds: &[Add], rows: u64) -> Optimized {
        let size = |add: &Add| u64::try_from(add.size).unwrap_or(0);
        Optimized {
            version: None,
            partitions: self.batch.partitions.len() as u64,
            files_removed: self.batch.files().count() as u64,
            bytes_removed: self.batch.files().map(size).sum(),
            files_added: adds.len() as u64,
            bytes_added: adds.iter().map(size).sum(),
            rows,
            postponed: 0,
        }
    }

    fn commit(&self, adds: &[Add], step: &Optimized, note: &CommitNote<'_>) -> Commit {
        let written = Written {
            version: None,
            written: 0,
            unchanged: step.rows,
            files: step.files_added,
            bytes: step.bytes_added,
        };
        let mut info = (note.info)(&written);
        info.insert("operationMetrics".to_owned(), Value::Object(step.metrics()));
        Commit {
            adds: adds.to_vec(),
            removes: self.batch.files().map(|file| Remove { data_change: false, ..removal(file) }).collect(),
            metadata: None,
            operation: DeltaOperation::Optimize {
                predicate: None,
                target_size: i64::try_from(self.lake.file_bytes()).unwrap_or(i64::MAX),
            },
            transaction: note.transaction.clone(),
            info,
            // What others add, or remove of other files, does not touch the exchanged rows; a commit is refused in any
            // case if one of the removed files is not there any more.
            reads: ReadSet::Nothing,
        }
    }
}

/// Has each bucket (or, if there are none, each partition) become one file.
///
/// What is rewritten is of known size, so the number of buckets bounds that of their files. The writer, which guesses
/// what it has not compressed yet, would start another file a little too early now and then; two files that became two
/// files again would be rewritten for ever. So its own bound is only a stop for what nobody expected.
fn file_per_bucket(spec: &mut WriteSpec, has_buckets: bool, file_bytes: u64) {
    for output in &mut spec.outputs {
        if let Sink::Files(files) = &mut output.sink {
            files.split_columns.extend(has_buckets.then(|| BUCKET.to_owned()));
            files.file_bytes = file_bytes * 2;
        }
    }
}

impl Optimized {
    fn add(&mut self, step: &Self, version: u64) {
        self.version = Some(version);
        self.partitions += step.partitions;
        self.files_removed += step.files_removed;
        self.bytes_removed += step.bytes_removed;
        self.files_added += step.files_added;
        self.bytes_added += step.bytes_added;
        self.rows += step.rows;
    }

    /// Under the names that other programs use, as texts, as they write them.
    fn metrics(&self) -> Map<String, Value> {
        let text = |number: u64| json!(number.to_string());
        Map::from_iter([
            ("numRemovedFiles".to_owned(), text(self.files_removed)),
            ("numRemovedBytes".to_owned(), text(self.bytes_removed)),
            ("numAddedFiles".to_owned(), text(self.files_added)),
            ("numAddedBytes".to_owned(), text(self.bytes_added)),
        ])
    }
}
