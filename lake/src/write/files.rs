//! One task's data files of one output.
//!
//! Rows come sorted by partition value (and by what else begins a file), so one file is open at a time. The Parquet encoding and the statistics of the
//! log are delta-rs' (`DeltaWriter`), which also starts a new file at 128 MiB. What it does not do is done here:
//! exact schemas (nulls where none may be), fingerprints, and aborting uploads of a task that is cancelled.

use std::num::NonZeroU64;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::SchemaRef;
use arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::execution::object_store::ObjectStoreUrl;
use deltalake::DeltaTableError;
use deltalake::datafile::writer::{DeltaWriter, WriterConfig};
use deltalake::kernel::Add;
use deltalake::parquet::basic::{Compression, ZstdLevel};
use deltalake::parquet::file::properties::{EnabledStatistics, WriterProperties};
use deltalake::parquet::schema::types::ColumnPath;
use object_store::prefix::PrefixStore;

use super::fingerprint::{self, FINGERPRINT_TAG, Fingerprints};
use super::output::FileOutput;
use crate::LakeError;

/// Rows per row group: enough for good compression, few enough to bound an open file's memory.
const ROW_GROUP_ROWS: usize = 256 << 10;

/// The same bound for rows that are so wide that their number bounds nothing.
const ROW_GROUP_BYTES: usize = 64 << 20;

/// By these words the refusal of nulls in a required column is known again: what a task says comes back from the
/// cluster as text.
const NULLS_REFUSED: &str = "but the table's contract says it never is";

/// Whether an error says that a writer refused rows because of nulls in a column that the table requires.
pub fn refuses_nulls(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.to_string().contains(NULLS_REFUSED) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Writes the rows of one output into files.
pub(super) struct FileSink {
    store: Arc<PrefixStore<Arc<dyn object_store::ObjectStore>>>,
    config: WriterConfig,
    schema: SchemaRef,
    /// For each column of `schema`, its place in the input.
    sources: Vec<usize>,
    partition: PartitionKey,
    /// Finds where in the input a new file begins whatever the partition.
    split: PartitionKey,
    range: Option<OwnedRow>,
    statistics_columns: Vec<String>,
    fingerprints: Option<Fingerprints>,
    open: Option<OpenFile>,
    done: Vec<(Add, i64)>,
    folder: String,
}

/// The file of the current partition value. On drop (error, cancellation) its upload is aborted.
struct OpenFile {
    value: Option<OwnedRow>,
    writer: Option<DeltaWriter>,
    rows: u64,
    sum: u128,
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        let (Some(writer), Ok(runtime)) = (self.writer.take(), tokio::runtime::Handle::try_current()) else { return };
        runtime.spawn(async move {
            if let Err(error) = writer.abort().await {
                tracing::warn!(%error, "an upload that was given up could not be aborted");
            }
        });
    }
}

impl FileSink {
    pub(super) fn open(output: &FileOutput, input: &SchemaRef, context: &TaskContext) -> Result<Self> {
        let schema = output.arrow_schema()?;
        let sources =
            schema.fields().iter().map(|field| input.index_of(field.name())).collect::<Result<Vec<_>, _>>()?;
        let root = context.runtime_env().object_store(ObjectStoreUrl::parse(output.folder.store())?)?;
        let store = Arc::new(PrefixStore::new(root, output.folder.path()?));
        let fingerprints = match output.fingerprint_columns.as_slice() {
            [] => None,
            columns => Some(Fingerprints::over(columns, &schema)?),
        };
        Ok(Self {
            store,
            config: writer_config(output, &schema),
            partition: PartitionKey::over(&output.partition_columns, &schema)?,
            split: PartitionKey::over(&output.split_columns, input)?,
            range: None,
            statistics_columns: output.statistics_columns.clone(),
            schema,
            sources,
            fingerprints,
            open: None,
            done: Vec::new(),
            folder: output.folder.to_string(),
        })
    }

    pub(super) async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let mut start = 0;
        for run in self.split.runs(batch)? {
            if run.value != self.range {
                self.finish().await?;
                self.range = run.value;
            }
            self.write_range(&batch.slice(start, run.rows)).await?;
            start += run.rows;
        }
        Ok(())
    }

    async fn write_range(&mut self, batch: &RecordBatch) -> Result<()> {
        let batch = self.conform(batch)?;
        let mut start = 0;
        for run in self.partition.runs(&batch)? {
            let rows = batch.slice(start, run.rows);
            start += run.rows;
            self.switch_to(run.value).await?;
            self.append(&rows).await?;
        }
        Ok(())
    }

    pub(super) async fn close(mut self) -> Result<Vec<(Add, i64)>> {
        self.finish().await?;
        Ok(std::mem::take(&mut self.done))
    }

    async fn append(&mut self, rows: &RecordBatch) -> Result<()> {
        let sum = match &self.fingerprints {
            Some(fingerprints) => fingerprints.sum(rows)?,
            None => 0,
        };
        let Some(OpenFile { writer: Some(writer), rows: count, sum: total, .. }) = &mut self.open else {
            return Err(DataFusionError::Internal("rows without an open file".to_owned()));
        };
        *count += rows.num_rows() as u64;
        *total = total.wrapping_add(sum);
        writer.write(rows).await.map_err(|error| write_error(&self.folder, error))
    }

    async fn switch_to(&mut self, value: Option<OwnedRow>) -> Result<()> {
        if self.open.as_ref().is_some_and(|open| open.value == value) {
            return Ok(());
        }
        self.finish().await?;
        let store: Arc<dyn object_store::ObjectStore> = Arc::clone(&self.store) as _;
        let writer = Some(DeltaWriter::new(store, self.config.clone()));
        self.open = Some(OpenFile { value, writer, rows: 0, sum: 0 });
        Ok(())
    }

    async fn finish(&mut self) -> Result<()> {
        let Some(mut open) = self.open.take() else { return Ok(()) };
        let Some(writer) = open.writer.take() else { return Ok(()) };
        // In a task of its own: if this one is cancelled, the upload still ends, and leaves a file that vacuum finds
        // in place of parts of one that it does not.
        let closed = tokio::spawn(writer.close()).await.map_err(|error| DataFusionError::External(Box::new(error)))?;
        let mut adds = closed.map_err(|error| write_error(&self.folder, error))?;
        if self.fingerprints.is_some() {
            tag_partition(&mut adds, open.sum, open.rows);
        }
        for mut add in adds {
            keep_statistics(&mut add, &self.statistics_columns)?;
            let rows = crate::scan::FileStatistics::rows(&add).and_then(|rows| i64::try_from(rows).ok());
            let rows = rows.ok_or_else(|| DataFusionError::Internal("a written file has no row count".to_owned()))?;
            self.done.push((add, rows));
        }
        Ok(())
    }

    /// The rows with exactly the table's columns and types.
    fn conform(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let strict = CastOptions { safe: false, ..Default::default() };
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.sources.len());
        for (field, source) in self.schema.fields().iter().zip(&self.sources) {
            let column = match batch.column(*source) {
                column if column.data_type() == field.data_type() => Arc::clone(column),
                column => cast_with_options(column, field.data_type(), &strict)?,
            };
            if !field.is_nullable() && column.null_count() > 0 {
                return Err(DataFusionError::Execution(format!(
                    "cannot write {}: column {} is null in {} of {} rows, {NULLS_REFUSED}",
                    self.folder,
                    field.name(),
                    column.null_count(),
                    batch.num_rows()
                )));
            }
            columns.push(column);
        }
        self.partition.refuse_empty_texts(&columns, &self.schema, &self.folder)?;
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }
}

/// Leaves only statistics of the named columns.
///
/// delta-rs chooses by the names of leaves, so a field inside a struct that is named like a column comes along.
fn keep_statistics(add: &mut Add, columns: &[String]) -> Result<()> {
    let failed = |error| DataFusionError::External(Box::<dyn std::error::Error + Send + Sync>::from(error));
    let Some(text) = add.stats.as_deref() else { return Ok(()) };
    let mut stats: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(text).map_err(|error: serde_json::Error| failed(error))?;
    for kind in ["minValues", "maxValues", "nullCount"] {
        if let Some(serde_json::Value::Object(values)) = stats.get_mut(kind) {
            values.retain(|column, value| columns.contains(column) && !value.is_null());
        }
    }
    add.stats = Some(serde_json::to_string(&stats).map_err(failed)?);
    Ok(())
}

/// A partition value that spans several files has its fingerprint on the first; the others add nothing to it.
fn tag_partition(adds: &mut [Add], sum: u128, rows: u64) {
    for (index, add) in adds.iter_mut().enumerate() {
        let value = if index == 0 { fingerprint::tag(sum, rows) } else { fingerprint::tag(0, 0) };
        add.tags.get_or_insert_default().insert(FINGERPRINT_TAG.to_owned(), Some(value));
    }
}

/// Finds runs of equal partition values in sorted rows.
struct PartitionKey {
    columns: Vec<usize>,
    converter: Option<RowConverter>,
}

struct Run {
    value: Option<OwnedRow>,
    rows: usize,
}

impl PartitionKey {
    fn over(columns: &[String], schema: &SchemaRef) -> Result<Self> {
        let columns = columns.iter().map(|name| schema.index_of(name)).collect::<Result<Vec<_>, _>>()?;
        let fields: Vec<_> =
            columns.iter().map(|index| SortField::new(schema.field(*index).data_type().clone())).collect();
        let converter = if fields.is_empty() { None } else { Some(RowConverter::new(fields)?) };
        Ok(Self { columns, converter })
    }

    /// The log has no empty text: it means null there, and the rows would come back as others than they went.
    fn refuse_empty_texts(&self, columns: &[ArrayRef], schema: &SchemaRef, folder: &str) -> Result<()> {
        for index in &self.columns {
            let texts = columns[*index].as_string_opt::<i32>();
            if texts.is_some_and(|texts| texts.iter().any(|text| text == Some(""))) {
                let name = schema.field(*index).name();
                return Err(DataFusionError::Execution(format!(
                    "cannot write {folder}: column {name} holds an empty text, which a partition column cannot; use null"
                )));
            }
        }
        Ok(())
    }

    fn runs(&self, batch: &RecordBatch) -> Result<Vec<Run>> {
        if batch.num_rows() == 0 {
            return Ok(Vec::new());
        }
        let Some(converter) = &self.converter else {
            return Ok(vec![Run { value: None, rows: batch.num_rows() }]);
        };
        let columns: Vec<ArrayRef> = self.columns.iter().map(|index| Arc::clone(batch.column(*index))).collect();
        let values = converter.convert_columns(&columns)?;
        let runs = arrow::compute::partition(&columns)?;
        Ok(runs
            .ranges()
            .into_iter()
            .map(|range| Run { value: Some(values.row(range.start).owned()), rows: range.len() })
            .collect())
    }
}

fn writer_config(output: &FileOutput, schema: &SchemaRef) -> WriterConfig {
    let compression = match output.temporary {
        true => Compression::LZ4_RAW,
        false => Compression::ZSTD(ZstdLevel::try_new(1).unwrap_or_default()),
    };
    let mut properties = WriterProperties::builder()
        .set_compression(compression)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
        .set_created_by(concat!("quickchat-lake ", env!("CARGO_PKG_VERSION")).to_owned());
    if output.temporary {
        // Read back once and soon, and as a whole: dictionaries and statistics cost more than they save.
        properties = properties.set_dictionary_enabled(false).set_statistics_enabled(EnabledStatistics::None);
        for column in &output.statistics_columns {
            let column = ColumnPath::from(column.as_str());
            properties = properties.set_column_statistics_enabled(column, EnabledStatistics::Chunk);
        }
    }
    for column in &output.unique_columns {
        properties = properties.set_column_dictionary_enabled(ColumnPath::from(column.as_str()), false);
    }
    // delta-rs parses the names as SQL, in which most are no identifiers without quotes.
    let statistics = output.statistics_columns.iter().map(|name| format!("\"{}\"", name.replace('"', "\"\"")));
    WriterConfig::new(
        Arc::clone(schema),
        output.partition_columns.clone(),
        Some(properties.build()),
        NonZeroU64::new(output.file_bytes),
        Some(8192),
        // Has no effect beside the named columns.
        Default::default(),
        Some(statistics.collect()),
    )
}

/// A store's faults may pass, and are told to Ballista as such; everything else will not.
fn write_error(folder: &str, error: DeltaTableError) -> DataFusionError {
    LakeError::log("write a data file", folder, error).into()
}
