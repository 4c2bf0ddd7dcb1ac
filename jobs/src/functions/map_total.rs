//! `map_total(map)`: the sum of the longs of a map.

use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{exec_err, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

/// A null value counts as 0, and so does an empty or null map; a sum beyond a long is the nearest long.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct MapTotal {
    signature: Signature,
}

impl MapTotal {
    pub(super) fn new() -> Self {
        Self { signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for MapTotal {
    fn name(&self) -> &str {
        "map_total"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments {
            [DataType::Map(..)] => Ok(DataType::Int64),
            other => plan_err!("{} takes a map, not {other:?}", self.name()),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let array = args.args[0].to_array(args.number_rows)?;
        let Some(map) = array.as_map_opt() else {
            return exec_err!("{} takes a map, not {}", self.name(), array.data_type());
        };
        let Some(values) = map.values().as_primitive_opt::<Int64Type>() else {
            return exec_err!("{} adds longs, not {}", self.name(), map.values().data_type());
        };
        let totals: Int64Array = map
            .offsets()
            .windows(2)
            .enumerate()
            .map(|(row, ends)| {
                // Offsets are never negative.
                let [from, to] = [ends[0], ends[1]].map(|end| usize::try_from(end).unwrap_or_default());
                let entries = if map.is_null(row) { 0..0 } else { from..to };
                let valid = entries.filter(|at| values.is_valid(*at));
                let sum: i128 = valid.map(|at| i128::from(values.value(at))).sum();
                Some(i64::try_from(sum).unwrap_or(if sum < 0 { i64::MIN } else { i64::MAX }))
            })
            .collect();
        Ok(ColumnarValue::Array(Arc::new(totals)))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, MapArray, StringArray, StructArray};
    use arrow::buffer::{NullBuffer, OffsetBuffer};

    use super::super::testing::invoke;
    use super::*;
    use crate::column::map_of;

    #[test]
    fn the_longs_of_a_map_are_added_up() {
        let DataType::Map(entry, _) = map_of(DataType::Utf8, DataType::Int64) else { panic!("no map") };
        let DataType::Struct(fields) = entry.data_type().clone() else { panic!("no struct") };
        let keys: ArrayRef = Arc::new(StringArray::from(vec!["a", "b", "c", "d", "e"]));
        let values: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, i64::MAX, 1, 9]));
        let entries = StructArray::new(fields, vec![keys, values], None);
        let nulls = NullBuffer::from(vec![true, true, true, false]);
        let lengths = OffsetBuffer::from_lengths([2, 0, 2, 1]);
        let map: ArrayRef = Arc::new(MapArray::new(entry, lengths, entries, Some(nulls), false));
        let totals = invoke(MapTotal::new(), vec![map]);
        assert_eq!(totals.as_ref(), &Int64Array::from(vec![3, 0, i64::MAX, 0]));
        assert!(MapTotal::new().return_type(&[DataType::Int64]).is_err());
    }
}
