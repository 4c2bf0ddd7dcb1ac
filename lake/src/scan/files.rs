//! From data files to a Parquet scan.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, SchemaRef};
use datafusion::catalog::Session;
use datafusion::common::stats::Precision;
use datafusion::common::{ScalarValue, Statistics};
use datafusion::config::TableParquetOptions;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use deltalake::kernel::Add;
use object_store::ObjectMeta;
use object_store::path::Path;

use super::statistics::FileStatistics;
use crate::TableUrl;

/// Below this many bytes a scan is one task: a second one costs more than it saves.
const ONE_TASK_BYTES: u64 = 1 << 20;

/// Above `slots` tasks of this size there are more tasks, so that a slow or lost one costs little.
const TASK_BYTES: u64 = 64 << 20;

/// How much of a file's end is read at first, enough for most footers: one request instead of two.
const FOOTER_BYTES: usize = 64 << 10;

/// The columns of a scan, and where its files are.
pub(super) struct FileScan {
    folder: TableUrl,
    columns: TableSchema,
    file_column: Option<String>,
}

impl FileScan {
    pub(super) fn new(
        folder: TableUrl,
        stored: SchemaRef,
        logged: Vec<Arc<Field>>,
        file_column: Option<String>,
    ) -> Self {
        Self { folder, columns: TableSchema::builder(stored).with_table_partition_cols(logged).build(), file_column }
    }

    pub(super) fn is_local(&self) -> bool {
        self.folder.store().starts_with("file:")
    }

    /// All columns: those in the files, then those of the log.
    pub(super) fn schema(&self) -> &SchemaRef {
        self.columns.table_schema()
    }

    fn partitioned_file(&self, folder: &Path, file: &Add) -> DataFusionResult<PartitionedFile> {
        let location = Path::parse(format!("{folder}/{}", file.path));
        let location = location.map_err(|error| DataFusionError::External(Box::new(error)))?;
        let meta = ObjectMeta {
            location,
            last_modified: chrono::DateTime::from_timestamp_millis(file.modification_time).unwrap_or_default(),
            size: u64::try_from(file.size).unwrap_or(0),
            e_tag: None,
            version: None,
        };
        let values = self
            .columns
            .table_partition_cols()
            .iter()
            .map(|field| self.logged_value(file, field))
            .collect::<DataFusionResult<Vec<_>>>()?;
        Ok(PartitionedFile::new_from_meta(meta).with_partition_values(values).with_metadata_size_hint(FOOTER_BYTES))
    }

    fn logged_value(&self, file: &Add, field: &Field) -> DataFusionResult<ScalarValue> {
        if self.file_column.as_deref() == Some(field.name()) {
            return Ok(ScalarValue::Utf8(Some(file.path.clone())));
        }
        let text = file.partition_values.get(field.name()).cloned().flatten();
        partition_value(text.as_deref(), field.data_type())
    }
}

/// A partition value of the log, which writes them as text and null as null or the empty string.
pub(crate) fn partition_value(text: Option<&str>, kind: &DataType) -> DataFusionResult<ScalarValue> {
    match text {
        None | Some("") => ScalarValue::try_from(kind),
        Some(text) => ScalarValue::try_from_string(text.to_owned(), kind),
    }
}

/// Plans a scan of `files` that yields the columns `projection` of `scan`'s schema.
pub(super) fn plan_files(
    state: &dyn Session,
    scan: FileScan,
    files: Vec<Arc<Add>>,
    predicate: Option<Arc<dyn PhysicalExpr>>,
    projection: Vec<usize>,
) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
    let statistics = scan_statistics(&files, scan.schema());
    let folder = scan.folder.path().map_err(DataFusionError::from)?;
    let groups = balance(files, state.config().target_partitions())
        .into_iter()
        .map(|group| {
            group.iter().map(|file| scan.partitioned_file(&folder, file)).collect::<DataFusionResult<Vec<_>>>()
        })
        .map(|group| group.map(FileGroup::new))
        .collect::<DataFusionResult<Vec<_>>>()?;
    let options =
        TableParquetOptions { global: state.config_options().execution.parquet.clone(), ..Default::default() };
    let mut source = ParquetSource::new(scan.columns.clone()).with_table_parquet_options(options);
    if let Some(predicate) = predicate {
        source = source.with_predicate(predicate);
    }
    let store = ObjectStoreUrl::parse(scan.folder.store())?;
    let config = FileScanConfigBuilder::new(store, Arc::new(source))
        .with_file_groups(groups)
        .with_statistics(statistics)
        .with_projection_indices(Some(projection))?
        .build();
    Ok(DataSourceExec::from_data_source(config))
}

/// Spreads files over tasks: the largest first, each to the task that has the least so far.
///
/// Always at least one (possibly empty) group, since a scan without a partition confuses the planner.
fn balance(mut files: Vec<Arc<Add>>, slots: usize) -> Vec<Vec<Arc<Add>>> {
    let size = |file: &Add| u64::try_from(file.size).unwrap_or(0);
    let bytes: u64 = files.iter().map(|file| size(file)).sum();
    let by_size = usize::try_from(bytes.div_ceil(TASK_BYTES)).unwrap_or(usize::MAX);
    let wanted = if bytes < ONE_TASK_BYTES { 1 } else { by_size.max(slots) };
    let count = wanted.min(files.len()).max(1);
    files.sort_by(|a, b| size(b).cmp(&size(a)).then_with(|| a.path.cmp(&b.path)));
    let mut groups: Vec<Vec<Arc<Add>>> = vec![Vec::new(); count];
    // The group with the least is on top, of several the first one.
    let mut loads: BinaryHeap<Reverse<(u64, usize)>> = (0..count).map(|group| Reverse((0, group))).collect();
    for file in files {
        // `count` is at least 1, so there always is a least loaded group.
        if let Some(mut least) = loads.peek_mut() {
            let Reverse((load, group)) = &mut *least;
            *load += size(&file);
            groups[*group].push(file);
        }
    }
    groups
}

fn scan_statistics(files: &[Arc<Add>], schema: &SchemaRef) -> Statistics {
    let mut statistics = Statistics::new_unknown(schema);
    let bytes: u64 = files.iter().map(|file| u64::try_from(file.size).unwrap_or(0)).sum();
    statistics.total_byte_size = Precision::Inexact(usize::try_from(bytes).unwrap_or(usize::MAX));
    let rows: Option<usize> = files.iter().map(|file| FileStatistics::rows(file)).sum();
    // Never exact: other writers' statistics are hints, and an exact count would replace the scan.
    statistics.num_rows = rows.map_or(Precision::Absent, Precision::Inexact);
    statistics
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, size: i64) -> Arc<Add> {
        let add = serde_json::json!({
            "path": path, "size": size, "partitionValues": {}, "modificationTime": 0, "dataChange": true
        });
        Arc::new(serde_json::from_value(add).unwrap())
    }

    #[test]
    fn every_file_is_in_exactly_one_group_and_groups_are_even() {
        let files: Vec<Arc<Add>> = (0..50).map(|i| file(&format!("f{i}"), (i + 1) << 20)).collect();
        let groups = balance(files, 4);
        let mut paths: Vec<String> = groups.iter().flatten().map(|file| file.path.clone()).collect();
        paths.sort();
        paths.dedup();
        assert_eq!(paths.len(), 50);
        let loads: Vec<i64> = groups.iter().map(|group| group.iter().map(|file| file.size).sum()).collect();
        assert!(loads.iter().max().unwrap() - loads.iter().min().unwrap() <= 50 << 20, "{loads:?}");
    }

    #[test]
    fn little_data_is_one_task_and_no_data_too() {
        assert_eq!(balance(vec![file("a", 10), file("b", 10)], 8).len(), 1);
        assert_eq!(balance(Vec::new(), 8).len(), 1);
    }

    #[test]
    fn partition_values_are_read_as_the_log_writes_them() {
        let day = partition_value(Some("2026-01-31"), &DataType::Date32).unwrap();
        assert_eq!(day, ScalarValue::Date32(Some(20484)));
        assert!(partition_value(None, &DataType::Date32).unwrap().is_null());
        assert!(partition_value(Some(""), &DataType::Utf8).unwrap().is_null());
        assert!(partition_value(Some("someday"), &DataType::Date32).is_err());
    }
}
