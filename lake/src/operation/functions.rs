//! The functions that operations need in their plans.
//!
//! Plans name them only, so every process of a cluster registers [`functions`].

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, FixedSizeBinaryBuilder, Int32Array};
use arrow::datatypes::{DataType, Int32Type};
use arrow::row::{RowConverter, Rows, SortField};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use xxhash_rust::xxh3::xxh3_128;

use crate::maintenance::{interleave_bits, range_index};

const HASH_BYTES: i32 = 16;

/// All functions that this crate's plans name.
pub fn functions() -> Vec<ScalarUDF> {
    vec![row_hash(), row_bucket(), range_index(), interleave_bits()]
}

/// `row_bucket(count, a, b, …)`: a number from 0 to `count` - 1 that is equal for equal values of the columns.
pub(crate) fn row_bucket() -> ScalarUDF {
    ScalarUDF::from(RowBucket { signature: Signature::variadic_any(Volatility::Immutable) })
}

/// `row_hash(a, b, …)`: 128 bits that are equal for equal values, nested ones included, with null a value of its own.
///
/// Comparing hashes lets an upsert join narrow rows in place of wide ones.
pub fn row_hash() -> ScalarUDF {
    ScalarUDF::from(RowHash { signature: Signature::variadic_any(Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct RowHash {
    signature: Signature,
}

impl ScalarUDFImpl for RowHash {
    fn name(&self) -> &str {
        "row_hash"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::FixedSizeBinary(HASH_BYTES))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = encode_rows(&args.args, args.number_rows)?;
        let mut hashes = FixedSizeBinaryBuilder::with_capacity(args.number_rows, HASH_BYTES);
        for row in &rows {
            hashes.append_value(xxh3_128(row.as_ref()).to_le_bytes())?;
        }
        Ok(ColumnarValue::Array(Arc::new(hashes.finish())))
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct RowBucket {
    signature: Signature,
}

impl ScalarUDFImpl for RowBucket {
    fn name(&self) -> &str {
        "row_bucket"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int32)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some((counts, columns)) = args.args.split_first() else {
            return Err(DataFusionError::Plan("row_bucket needs the number of buckets".to_owned()));
        };
        let counts = counts.cast_to(&DataType::Int32, None)?.to_array(args.number_rows)?;
        let rows = encode_rows(columns, args.number_rows)?;
        let buckets = counts.as_primitive::<Int32Type>().iter().zip(&rows).map(|(count, row)| {
            let count = u128::try_from(count.unwrap_or(1)).unwrap_or(1).max(1);
            // Smaller than `count`, so it fits.
            i32::try_from(xxh3_128(row.as_ref()) % count).unwrap_or(0)
        });
        Ok(ColumnarValue::Array(Arc::new(buckets.collect::<Int32Array>())))
    }
}

fn encode_rows(columns: &[ColumnarValue], number_rows: usize) -> Result<Rows> {
    let columns: Vec<ArrayRef> = columns.iter().map(|column| column.to_array(number_rows)).collect::<Result<_>>()?;
    let fields = columns.iter().map(|column| SortField::new(column.data_type().clone())).collect();
    Ok(RowConverter::new(fields)?.convert_columns(&columns)?)
}
