//! Statistics of data files, as the log holds them, and pruning with them.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, StringArray, UInt64Array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Schema, SchemaRef, TimeUnit};
use datafusion::common::Column;
use datafusion::common::ScalarValue;
use datafusion::common::cast::as_boolean_array;
use datafusion::common::pruning::PruningStatistics;
use datafusion::error::Result as DataFusionResult;
use datafusion::physical_expr::utils::{collect_columns, reassign_expr_columns};
use datafusion::physical_expr::{PhysicalExpr, split_conjunction};
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use deltalake::kernel::Add;
use serde_json::{Map, Value};

use super::files::partition_value;

/// The parsed statistics of one file. Anything absent is unknown, never zero.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct FileStatistics {
    num_records: Option<u64>,
    min_values: Map<String, Value>,
    max_values: Map<String, Value>,
    null_count: Map<String, Value>,
}

impl FileStatistics {
    /// Parses a file's statistics; what cannot be understood is unknown.
    pub(crate) fn of(file: &Add) -> Self {
        file.stats.as_deref().and_then(|stats| serde_json::from_str(stats).ok()).unwrap_or_default()
    }

    /// The number of rows in a file.
    pub(crate) fn rows(file: &Add) -> Option<usize> {
        Self::of(file).num_records.and_then(|rows| usize::try_from(rows).ok())
    }

    /// Smallest and largest value of a string column; none when either is unknown.
    pub(crate) fn string_range(&self, column: &str) -> Option<(&str, &str)> {
        Some((self.min_values.get(column)?.as_str()?, self.max_values.get(column)?.as_str()?))
    }
}

impl FileStatistics {
    /// The range of a column of times, microseconds since 1970; none when it is unknown.
    pub(crate) fn time_range(&self, column: &str) -> Option<(i64, i64)> {
        let micros =
            |text: String| chrono::DateTime::parse_from_rfc3339(&text).ok().map(|time| time.timestamp_micros());
        let (smallest, largest) = (self.smallest(column)?, self.largest(column)?);
        Some((micros(smallest)?, micros(largest)?.saturating_add(CUT_MICROS)))
    }

    /// The smallest value of a column as text, as [`Self::largest`].
    pub(crate) fn smallest(&self, column: &str) -> Option<String> {
        self.min_values.get(column).and_then(text)
    }

    /// The largest value of a column as text; for times, ISO text, so that the order of texts is that of times.
    pub(crate) fn largest(&self, column: &str) -> Option<String> {
        self.max_values.get(column).and_then(text)
    }
}

/// Leaves out the files whose partition values do not satisfy what `predicate` asks of them.
///
/// Exact, unlike [`prune`], which knows a partition value only as a range of one value and gives up on long lists.
pub(super) fn prune_partitions(
    files: Vec<Arc<Add>>,
    predicate: &Arc<dyn PhysicalExpr>,
    schema: &SchemaRef,
    partition_columns: &[String],
) -> DataFusionResult<Vec<Arc<Add>>> {
    let concerns_partitions = |part: &&Arc<dyn PhysicalExpr>| {
        let columns = collect_columns(part);
        !columns.is_empty() && columns.iter().all(|column| partition_columns.iter().any(|name| name == column.name()))
    };
    let parts: Vec<Arc<dyn PhysicalExpr>> =
        split_conjunction(predicate).into_iter().filter(concerns_partitions).cloned().collect();
    if parts.is_empty() || files.is_empty() {
        return Ok(files);
    }
    let mut fields = Vec::with_capacity(partition_columns.len());
    let mut values = Vec::with_capacity(partition_columns.len());
    for column in partition_columns {
        let field = schema.field_with_name(column)?.clone().with_nullable(true);
        let of_file = |file: &Arc<Add>| {
            partition_value(file.partition_values.get(column).and_then(Option::as_deref), field.data_type())
        };
        let column = files.iter().map(of_file).collect::<DataFusionResult<Vec<_>>>()?;
        values.push(ScalarValue::iter_to_array(column)?);
        fields.push(field);
    }
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), values)?;
    let mut kept = vec![true; files.len()];
    for part in parts {
        let part = reassign_expr_columns(part, &batch.schema())?;
        let verdict = part.evaluate(&batch)?.into_array(batch.num_rows())?;
        let verdict = as_boolean_array(&verdict)?;
        for (row, keep) in kept.iter_mut().enumerate() {
            *keep &= verdict.is_valid(row) && verdict.value(row);
        }
    }
    Ok(files.into_iter().zip(kept).filter_map(|(file, keep)| keep.then_some(file)).collect())
}

/// Leaves out the files in which no row can satisfy `predicate`.
pub(super) fn prune(
    files: Vec<Arc<Add>>,
    predicate: &Arc<dyn PhysicalExpr>,
    schema: &SchemaRef,
    partition_columns: &[String],
) -> DataFusionResult<Vec<Arc<Add>>> {
    let pruning =
        PruningPredicateBuilder::new().with_file_schema(Arc::clone(schema)).try_build(Arc::clone(predicate))?;
    if pruning.always_true() {
        return Ok(files);
    }
    let statistics = FileSet {
        parsed: files.iter().map(|file| FileStatistics::of(file)).collect(),
        files: &files,
        schema,
        partition_columns,
    };
    let kept = pruning.prune(&statistics)?;
    Ok(files.into_iter().zip(kept).filter_map(|(file, keep)| keep.then_some(file)).collect())
}

struct FileSet<'a> {
    files: &'a [Arc<Add>],
    parsed: Vec<FileStatistics>,
    schema: &'a SchemaRef,
    partition_columns: &'a [String],
}

impl FileSet<'_> {
    fn bound(&self, column: &Column, upper: bool) -> Option<ArrayRef> {
        let kind = self.schema.field_with_name(&column.name).ok()?.data_type();
        if self.partition_columns.contains(&column.name) {
            return self.partition_values(&column.name, kind);
        }
        if !is_exact(kind) {
            return None;
        }
        let texts: StringArray = self
            .parsed
            .iter()
            .map(|stats| if upper { &stats.max_values } else { &stats.min_values })
            .map(|values| values.get(&column.name).and_then(text))
            .collect();
        let bounds = safe_cast(&texts, kind)?;
        if upper { widen(bounds) } else { Some(bounds) }
    }

    fn partition_values(&self, column: &str, kind: &DataType) -> Option<ArrayRef> {
        let values = self
            .files
            .iter()
            .map(|file| partition_value(file.partition_values.get(column)?.as_deref(), kind).ok())
            .collect::<Option<Vec<_>>>()?;
        ScalarValue::iter_to_array(values).ok()
    }
}

/// A bound as text. Nested columns have objects here, which are of no use for pruning.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Whether bounds of a type hold for every row of a file.
///
/// Not for floating-point numbers, since writers leave NaN out of the bounds while it is larger than any number when
/// rows are compared; nor for decimals, whose bounds writers round to doubles.
fn is_exact(kind: &DataType) -> bool {
    !kind.is_floating() && !kind.is_decimal()
}

/// A value that does not parse is unknown.
fn safe_cast(texts: &StringArray, kind: &DataType) -> Option<ArrayRef> {
    cast_with_options(texts, kind, &CastOptions { safe: true, ..Default::default() }).ok()
}

/// Writers cut timestamps to milliseconds, so an upper bound may be too small by up to this.
const CUT_MICROS: i64 = 999;

fn widen(bounds: ArrayRef) -> Option<ArrayRef> {
    use arrow::array::{AsArray, TimestampMicrosecondArray};
    let DataType::Timestamp(TimeUnit::Microsecond, zone) = bounds.data_type().clone() else { return Some(bounds) };
    let times = bounds.as_primitive::<arrow::datatypes::TimestampMicrosecondType>();
    let wide: TimestampMicrosecondArray =
        times.iter().map(|time| time.map(|time| time.saturating_add(CUT_MICROS))).collect();
    Some(Arc::new(wide.with_timezone_opt(zone)))
}

impl PruningStatistics for FileSet<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bound(column, false)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bound(column, true)
    }

    fn num_containers(&self) -> usize {
        self.files.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        if self.partition_columns.contains(&column.name) {
            let kind = self.schema.field_with_name(&column.name).ok()?.data_type();
            let values = self.partition_values(&column.name, kind)?;
            let rows = self.parsed.iter().map(|stats| stats.num_records);
            let nulls = rows.enumerate().map(|(i, rows)| if values.is_null(i) { rows } else { Some(0) });
            return Some(Arc::new(nulls.collect::<UInt64Array>()));
        }
        let counts = self.parsed.iter().map(|stats| stats.null_count.get(&column.name).and_then(Value::as_u64));
        Some(Arc::new(counts.collect::<UInt64Array>()))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::new(self.parsed.iter().map(|stats| stats.num_records).collect::<UInt64Array>()))
    }

    fn contained(&self, _column: &Column, _values: &std::collections::HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
