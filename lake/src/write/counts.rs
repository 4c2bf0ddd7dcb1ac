//! How many of the written rows have which values: told with the receipts, so that nobody must read the files to know.

use std::collections::{BTreeMap, HashMap};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::error::Result;

/// Rows by the values of some columns, as text.
pub type Groups = BTreeMap<Vec<Option<String>>, i64>;

/// Counts one task's rows by the values of some columns. What it holds grows with the number of different values.
pub(super) struct GroupCounter {
    columns: Vec<usize>,
    converter: RowConverter,
    counts: HashMap<OwnedRow, i64>,
}

impl GroupCounter {
    /// A counter; none if there are no columns to count by.
    pub(super) fn over(columns: &[String], input: &SchemaRef) -> Result<Option<Self>> {
        if columns.is_empty() {
            return Ok(None);
        }
        let columns = columns.iter().map(|name| input.index_of(name)).collect::<Result<Vec<_>, _>>()?;
        let converter = RowConverter::new(vec![SortField::new(DataType::Utf8); columns.len()])?;
        Ok(Some(Self { columns, converter, counts: HashMap::new() }))
    }

    pub(super) fn count(&mut self, batch: &RecordBatch) -> Result<()> {
        let texts = self.columns.iter().map(|index| cast(batch.column(*index), &DataType::Utf8));
        let rows = self.converter.convert_columns(&texts.collect::<Result<Vec<_>, _>>()?)?;
        // Rows of a group often follow each other.
        let mut start = 0;
        while start < rows.num_rows() {
            let row = rows.row(start);
            let end = (start + 1..rows.num_rows()).find(|next| rows.row(*next) != row).unwrap_or(rows.num_rows());
            *self.counts.entry(row.owned()).or_default() += i64::try_from(end - start).unwrap_or(i64::MAX);
            start = end;
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<Groups> {
        let (keys, counts): (Vec<OwnedRow>, Vec<i64>) = self.counts.into_iter().unzip();
        let columns: Vec<ArrayRef> = self.converter.convert_rows(keys.iter().map(OwnedRow::row))?;
        let value = |column: &ArrayRef, row: usize| {
            let texts = column.as_string::<i32>();
            texts.is_valid(row).then(|| texts.value(row).to_owned())
        };
        let groups = counts.into_iter().enumerate();
        Ok(groups.map(|(row, count)| (columns.iter().map(|column| value(column, row)).collect(), count)).collect())
    }
}
