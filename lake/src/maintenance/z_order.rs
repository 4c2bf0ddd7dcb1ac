//! Z-order: rows that are alike in any of several columns lie close to each other.
//!
//! Each value is first replaced by its *rank among 1024 ranges* that hold about equally many rows; the bits of the
//! ranks of a row's columns, interleaved, are what rows are sorted by. A file or page then spans a small part of each
//! column, so a filter on any of them leaves out most.
//!
//! Ranks, not the values' own bytes (which is what delta-rs interleaves): ids of one column begin alike for many
//! bytes and those of another do not, hexadecimal digits use half of each byte, and ids made by time come in bursts.
//! With bytes, the column whose varying digits come first decides alone; with ranks, each column's first bit halves
//! the rows. The ranges come from a sample that a query takes of the rows in question, at most some 16,000 of
//! them with the ordered columns only; exact ranks would need a global sort per column.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{cast, concat, sort, take};
use arrow::datatypes::{DataType, Int32Type};
use arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::common::utils::SingleRowListArrayBuilder;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, lit,
};
use datafusion::prelude::{Expr, ident};
use datafusion::scalar::ScalarValue;

/// Ranges that a column's values are sorted into: 2 to this power.
const RANK_BITS: usize = 10;

/// No more columns than ranks fit into the sort key; the benefit is gone long before.
pub(super) const MOST_COLUMNS: usize = 63 / RANK_BITS;

/// About how many rows are looked at to find the ranges: 16 for each range of a column.
pub(super) const SAMPLE_ROWS: u64 = 16 << RANK_BITS;

/// `range_index(boundaries, value)`: how many of the ascending boundaries are not larger than the value; 0 for null.
pub(crate) fn range_index() -> ScalarUDF {
    ScalarUDF::from(RangeIndex { signature: Signature::variadic_any(Volatility::Immutable) })
}

/// `interleave_bits(a, b, …)`: the lowest ten bits of some numbers, interleaved, those of the first number foremost.
pub(crate) fn interleave_bits() -> ScalarUDF {
    ScalarUDF::from(InterleaveBits { signature: Signature::variadic_any(Volatility::Immutable) })
}

/// The order of some rows, made from a sample of them.
#[derive(Debug)]
pub(super) struct ZOrder {
    columns: Vec<(String, ArrayRef)>,
    /// The keys of the sampled rows, ascending.
    keys: Vec<i64>,
}

impl ZOrder {
    /// The order by the columns of a sample.
    pub(super) fn from_sample(columns: &[String], sample: &[RecordBatch]) -> Result<Self> {
        let mut bounded = Vec::with_capacity(columns.len());
        let mut ranks = Vec::with_capacity(columns.len());
        for name in columns {
            let parts = sample
                .iter()
                .map(|batch| batch.column_by_name(name).ok_or_else(|| missing(name)))
                .collect::<Result<Vec<_>>>()?;
            let parts: Vec<&dyn Array> = parts.into_iter().map(AsRef::as_ref).collect();
            let values = match parts.is_empty() {
                true => return Err(missing(name)),
                false => concat(&parts)?,
            };
            let boundaries = quantiles(&values, 1 << RANK_BITS)?;
            ranks.push(range_of(&boundaries, &values)?);
            bounded.push((name.clone(), boundaries));
        }
        let mut keys: Vec<i64> = interleave(&ranks.iter().collect::<Vec<_>>()).values().to_vec();
        keys.sort_unstable();
        Ok(Self { columns: bounded, keys })
    }

    /// What rows are sorted by.
    pub(super) fn key(&self) -> Expr {
        let rank = |(name, boundaries): &(String, ArrayRef)| {
            range_index().call(vec![lit(list(Arc::clone(boundaries))), ident(name)])
        };
        interleave_bits().call(self.columns.iter().map(rank).collect())
    }

    /// Which of `count` ranges of about equally many rows a row's key, in column `key`, belongs to.
    pub(super) fn range(&self, key: &str, count: u64) -> Result<Expr> {
        let keys: ArrayRef = Arc::new(Int64Array::from(self.keys.clone()));
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        Ok(range_index().call(vec![lit(list(quantiles(&keys, count)?)), ident(key)]))
    }
}

fn missing(column: &str) -> DataFusionError {
    DataFusionError::Execution(format!("a sample of rows came without column {column}"))
}

fn list(values: ArrayRef) -> ScalarValue {
    SingleRowListArrayBuilder::new(values).build_list_scalar()
}

/// The smallest values of the second to the last of `count` ranges with equally many values; nulls are left out.
///
/// A frequent value may begin several ranges. That is meant: its rank then tells how many values are smaller, so that
/// a column with few values spreads over all ranks too.
fn quantiles(values: &ArrayRef, count: usize) -> Result<ArrayRef> {
    let sorted = sort(values, None)?;
    // Nulls come first.
    let (nulls, known) = (sorted.null_count(), sorted.len() - sorted.null_count());
    let at = (1..count).map(|range| nulls + range * known / count);
    let at: UInt32Array = at.filter(|_| known > 0).map(|at| u32::try_from(at).ok()).collect();
    Ok(take(&sorted, &at, None)?)
}

/// For each value, how many of the boundaries are not larger.
fn range_of(boundaries: &ArrayRef, values: &ArrayRef) -> Result<Int32Array> {
    let boundaries = match boundaries.data_type() == values.data_type() {
        true => Arc::clone(boundaries),
        false => cast(boundaries, values.data_type())?,
    };
    let converter = RowConverter::new(vec![SortField::new(values.data_type().clone())])?;
    let bounds = converter.convert_columns(&[boundaries])?;
    let bounds: Vec<OwnedRow> = bounds.iter().map(|row| row.owned()).collect();
    let rows = converter.convert_columns(&[Arc::clone(values)])?;
    let index = |row: arrow::row::Row<'_>| bounds.partition_point(|bound| bound.row() <= row);
    Ok(rows.iter().map(|row| i32::try_from(index(row)).ok()).collect())
}

fn interleave(ranks: &[&Int32Array]) -> Int64Array {
    let rows = ranks.first().map_or(0, |first| first.len());
    let key = |row: usize| {
        let bits = (0..RANK_BITS).rev();
        let bits = bits.flat_map(|bit| ranks.iter().map(move |rank| i64::from((rank.value(row) >> bit) & 1)));
        bits.fold(0, |key: i64, bit| (key << 1) | bit)
    };
    (0..rows).map(|row| Some(key(row))).collect()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct RangeIndex {
    signature: Signature,
}

impl ScalarUDFImpl for RangeIndex {
    fn name(&self) -> &str {
        "range_index"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int32)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [ColumnarValue::Scalar(ScalarValue::List(boundaries)), values] = args.args.as_slice() else {
            return Err(DataFusionError::Plan("range_index needs a constant list and a value".to_owned()));
        };
        let values = values.to_array(args.number_rows)?;
        Ok(ColumnarValue::Array(Arc::new(range_of(&boundaries.value(0), &values)?)))
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct InterleaveBits {
    signature: Signature,
}

impl ScalarUDFImpl for InterleaveBits {
    fn name(&self) -> &str {
        "interleave_bits"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if args.args.len() > MOST_COLUMNS {
            return Err(DataFusionError::Plan(format!("interleave_bits takes at most {MOST_COLUMNS} numbers")));
        }
        let ranks: Vec<ArrayRef> = args
            .args
            .iter()
            .map(|rank| rank.cast_to(&DataType::Int32, None)?.to_array(args.number_rows))
            .collect::<Result<_>>()?;
        let ranks: Vec<&Int32Array> = ranks.iter().map(|rank| rank.as_primitive::<Int32Type>()).collect();
        Ok(ColumnarValue::Array(Arc::new(interleave(&ranks))))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::StringArray;
    use arrow::datatypes::{Field, Schema};

    use super::*;

    fn numbers(values: impl IntoIterator<Item = i64>) -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(values))
    }

    #[test]
    fn ranges_hold_equally_many_values() {
        let values = numbers((0..1000).map(|at| (at * 7919) % 1000));
        let bounds = quantiles(&values, 4).unwrap();
        assert_eq!(bounds.as_ref(), numbers([250, 500, 750]).as_ref());
        let ranges = range_of(&bounds, &values).unwrap();
        for range in 0..4 {
            assert_eq!(ranges.iter().filter(|own| *own == Some(range)).count(), 250);
        }
    }

    #[test]
    fn nulls_are_in_the_first_range_and_count_for_nothing() {
        let values: ArrayRef =
            Arc::new(StringArray::from(vec![None, Some("b"), None, Some("a"), Some("c"), Some("d")]));
        let bounds = quantiles(&values, 2).unwrap();
        assert_eq!(bounds.as_ref(), &StringArray::from(vec!["c"]) as &dyn Array);
        assert_eq!(range_of(&bounds, &values).unwrap(), Int32Array::from(vec![0, 0, 0, 0, 1, 1]));
        let nothing: ArrayRef = Arc::new(StringArray::new_null(3));
        assert_eq!(quantiles(&nothing, 8).unwrap().len(), 0);
    }

    #[test]
    fn few_values_spread_over_all_ranks() {
        let values = numbers((0..100).map(|at| at % 2));
        let bounds = quantiles(&values, 8).unwrap();
        assert_eq!(range_of(&bounds, &numbers([0, 1])).unwrap(), Int32Array::from(vec![3, 7]));
    }

    #[test]
    fn bits_take_turns() {
        let a = Int32Array::from(vec![0b11, 0b00, 0b10]);
        let b = Int32Array::from(vec![0b00, 0b11, 0b01]);
        assert_eq!(interleave(&[&a, &b]), Int64Array::from(vec![0b1010, 0b0101, 0b1001]));
        assert_eq!(interleave(&[&a]), Int64Array::from(vec![0b11, 0b00, 0b10]));
    }

    /// The share of 16 equal pieces in which a value of a column can be, by the smallest and largest value of each.
    fn share(values: &[i64], wanted: i64) -> f64 {
        let pieces = values.chunks(values.len() / 16);
        let hits = pieces.clone().filter(|piece| {
            let (low, high) = (piece.iter().min().unwrap(), piece.iter().max().unwrap());
            (low..=high).contains(&&wanted)
        });
        hits.count() as f64 / pieces.count() as f64
    }

    #[test]
    fn a_filter_on_either_column_leaves_out_most() {
        // The one column's values are all large and skewed, the other's small.
        let hash = |at: u64| at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
        let a: Vec<i64> = (0..4096).map(|at| (1 << 40) + (hash(at) % 64).pow(4) as i64).collect();
        let b: Vec<i64> = (0..4096).map(|at| (hash(at + 5000) % 500) as i64).collect();
        let schema =
            Schema::new(vec![Field::new("a", DataType::Int64, false), Field::new("b", DataType::Int64, false)]);
        let sample = RecordBatch::try_new(Arc::new(schema), vec![numbers(a.clone()), numbers(b.clone())]).unwrap();
        let order = ZOrder::from_sample(&["a".to_owned(), "b".to_owned()], &[sample]).unwrap();
        let ranks: Vec<Int32Array> = order
            .columns
            .iter()
            .zip([&a, &b])
            .map(|((_, bounds), values)| range_of(bounds, &numbers(values.clone())).unwrap())
            .collect();
        let keys = interleave(&ranks.iter().collect::<Vec<_>>());
        let mut rows: Vec<usize> = (0..4096).collect();
        rows.sort_by_key(|row| keys.value(*row));
        for column in [&a, &b] {
            let sorted: Vec<i64> = rows.iter().map(|row| column[*row]).collect();
            let median = {
                let mut all = column.clone();
                all.sort_unstable();
                all[all.len() / 3]
            };
            assert!(share(&sorted, median) <= 0.5, "{} of the pieces", share(&sorted, median));
            assert_eq!(share(column, median), 1.0, "as the rows came, every piece");
        }
    }
}
